"""``python -m jupyter_server_ext.app.supervisor``: holds the port of a hub's service and runs the gateway behind it."""

# A hub looks after its services every half minute. This starts a gateway that has ended at once, and meanwhile requests
# wait at the port instead of being refused: a restart (SIGUSR1), an upgrade or a crash costs those who ask a second. It
# needs nothing but the standard library, so it is small and has little to fail by itself.
#
# When the hub has gone without ending it, the gateway goes on for those whom it knows, until there is a hub again,
# which starts its own.

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

LISTEN_VARIABLE = "RSQL_LISTEN_FD"  # what tells the gateway which open socket is its port

_LOOK_SECONDS = 2.0  # between two looks whether the hub that started this is still there
_SHORT_LIFE = 5.0  # seconds; a gateway that ends sooner with an error has failed to start
_MOST_FAILURES = 3  # in a row, of one that has run before
_PAUSE = 2.0  # seconds before the next start
_BIND_SECONDS = 30.0  # for which the port of a gateway that is leaving is waited for


@dataclass
class Supervisor:
    """Runs a command behind a listening socket until it is stopped."""

    _command: Sequence[str]  # starts the gateway
    _listening: socket.socket
    _api_url: str  # the hub's REST API
    _parent: int = field(default_factory=os.getppid)
    _ending: bool = False
    _child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Keep it running; the exit code of the last one."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        signal.signal(signal.SIGHUP, lambda *_: self._pass_on(signal.SIGHUP))
        # The restart of the gateway alone: it drains and ends, and the next one takes the same socket.
        signal.signal(signal.SIGUSR1, lambda *_: self._pass_on(signal.SIGTERM))
        lived, failures = False, 0
        while True:
            began = time.monotonic()
            code = self._run_once()
            short = time.monotonic() - began < _SHORT_LIFE
            lived, failures = lived or not short, failures + 1 if code and short else 0
            # One that cannot start, as with a wrong rsql.toml, is for the hub to report; nobody should wait for it.
            if self._ending or failures > (_MOST_FAILURES if lived else 0):
                return code
            if failures:
                time.sleep(_PAUSE)

    def _run_once(self) -> int:
        number = self._listening.fileno()
        environment = {**os.environ, LISTEN_VARIABLE: str(number)}
        self._child = subprocess.Popen(self._command, env=environment, pass_fds=[number])  # noqa: S603 - our own module
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._child.wait(_LOOK_SECONDS)
            # The hub that started this is gone, and another one answers, which starts a gateway of its own.
            if os.getppid() != self._parent and self._hub_answers():
                self._end()

    def _end(self) -> None:
        self._ending = True
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: int) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)

    def _hub_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._api_url.rstrip('/')}/", timeout=1.0) as reply:  # noqa: S310 - the hub's
                return bool(reply.status == 200)
        except OSError:
            return False


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; waits for a gateway of an earlier hub that is about to leave."""
    deadline = time.monotonic() + _BIND_SECONDS
    while True:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, port), family=family, backlog=1024)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def main(arguments: Sequence[str]) -> int:
    """Listen where the hub says, and keep a gateway running there; ``arguments`` are for ``jupyter rsql``."""
    parts = urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", ""))
    if not (parts.hostname and parts.port):
        print("rsql supervisor: JUPYTERHUB_SERVICE_URL must name a host and a port.", file=sys.stderr)  # noqa: T201
        return 1
    command = [sys.executable, "-P", "-m", "jupyter_server_ext", "--hub", *arguments]
    with listen(parts.hostname, parts.port) as listening:
        return Supervisor(command, listening, os.environ.get("JUPYTERHUB_API_URL", "")).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
