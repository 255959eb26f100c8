"""``python -m jupyter_server_ext.app.supervisor``: holds the port of a hub's service and runs the gateway behind it."""

# A hub looks after its services every half minute. This starts a gateway that has ended at once, and meanwhile requests
# wait at the port instead of being refused: an upgrade or a crash costs those who ask a second. It needs nothing but
# the standard library, so it is small and has little to fail by itself.
#
# A restart (SIGUSR1) starts the next gateway beside the one that runs. Only when it says that it answers, the earlier
# one is told to leave: it takes no new requests, and ends its streams. One that cannot start, as with a typo in the
# rsql.toml, changes nothing, and the gateway that goes on says so.
#
# When the hub has gone without ending it, the gateway goes on for those whom it knows, until there is a hub again,
# which starts its own.

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

LISTEN_VARIABLE = "RSQL_LISTEN_FD"  # what tells the gateway which open socket is its port
NEWS_VARIABLE = "RSQL_SUPERVISOR_FD"  # the socket over which both tell each other what is new, a JSON object a line
BESIDE_VARIABLE = "RSQL_BESIDE"  # how many keys the gateway has that runs, and the number of the new one's place

_LOOK_SECONDS = 0.5  # between two looks at what is wanted, and whether the hub that started this is still there
_SHORT_LIFE = 5.0  # seconds; a gateway that ends sooner with an error has failed, even if it answered
_MOST_FAILURES = 3  # in a row, of one that has run before
_PAUSE = 2.0  # seconds before the next start
_BIND_SECONDS = 30.0  # for which the port of a gateway that is leaving is waited for
_START_SECONDS = 60.0  # that a new gateway has to answer before the earlier one leaves


class _Child:
    """A gateway's process, and the socket over which it tells how it is."""

    def __init__(self, command: Sequence[str], listening: int, place: int, keys_before: int) -> None:
        self.place = place  # by which gateways that run at the same time have different names in the ledger
        self.keys = 0  # that it has
        self.answered = False  # whether it ever answered
        self._news, its = socket.socketpair()
        numbers = [listening, its.fileno()]
        numbered = zip((LISTEN_VARIABLE, NEWS_VARIABLE), map(str, numbers), strict=True)
        variables = dict(numbered) | {BESIDE_VARIABLE: f"{keys_before} {place}"}
        self.process = subprocess.Popen(command, env={**os.environ, **variables}, pass_fds=numbers)  # noqa: S603 - our own module
        self.began = time.monotonic()
        its.close()
        self._text = b""

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def hear(self, seconds: float) -> dict[str, Any]:
        """The next thing it tells within so many seconds; empty for nothing."""
        self._news.settimeout(max(seconds, 0.001))
        with contextlib.suppress(OSError, ValueError):
            while b"\n" not in self._text:
                piece = self._news.recv(65_536)
                if not piece:
                    return {}
                self._text += piece
            line, _, self._text = self._text.partition(b"\n")
            news: dict[str, Any] = json.loads(line)
            self.keys = int(news.get("keys", self.keys))
            self.answered = self.answered or bool(news.get("ready"))
            return news
        return {}

    def tell(self, **news: object) -> None:
        """Tell it what is new."""
        with contextlib.suppress(OSError):
            self._news.sendall(json.dumps(news).encode() + b"\n")

    def signal(self, number: int) -> None:
        """Send it a signal, while it runs."""
        if self.runs:
            self.process.send_signal(number)

    def close(self) -> None:
        """Let go of what belongs to a process that has ended."""
        self._news.close()


@dataclass
class Supervisor:
    """Runs a command behind a listening socket until it is stopped."""

    _command: Sequence[str]  # starts the gateway
    _listening: socket.socket
    _api_url: str  # the hub's REST API
    _parent: int = field(default_factory=os.getppid)
    _ending: bool = False
    _restarts: bool = False  # whether a restart is wanted
    _child: _Child | None = None  # the gateway that takes requests
    _leaving: list[_Child] = field(default_factory=list)  # those before it, which end their streams

    def run(self) -> int:
        """Keep it running; the exit code of the last one."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._end())
        signal.signal(signal.SIGHUP, lambda *_: self._pass_on(signal.SIGHUP))
        signal.signal(signal.SIGUSR1, lambda *_: self._restart())
        lived, failures = False, 0
        while True:
            self._child = self._start()
            code = self._wait()
            child = self._child
            short = not child.answered or time.monotonic() - child.began < _SHORT_LIFE
            lived, failures = lived or child.answered, failures + 1 if code and short else 0
            # One that cannot start, as with a wrong rsql.toml, is for the hub to report; nobody should wait for it.
            if self._ending or failures > (_MOST_FAILURES if lived else 0):
                for other in self._leaving:
                    other.process.wait()
                return code
            if failures:
                time.sleep(_PAUSE)

    def _start(self, beside: _Child | None = None) -> _Child:
        """Start a gateway, beside one that runs or alone."""
        others = [*self._leaving, *([] if beside is None else [beside])]
        taken = {one.place for one in others if one.runs}
        place = next(number for number in range(len(taken) + 1) if number not in taken)
        child = _Child(self._command, self._listening.fileno(), place, 0 if beside is None else beside.keys)
        if self._ending:  # a signal came meanwhile
            child.signal(signal.SIGTERM)
        return child

    def _wait(self) -> int:
        """Wait until the gateway that takes requests has ended, whichever that is by then; its exit code."""
        while True:
            assert self._child is not None  # noqa: S101 - it was started
            child = self._child
            if self._restarts and not self._ending:
                self._restarts = False
                self._replace(child)
                continue
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.process.wait(_LOOK_SECONDS)
                child.hear(0.0)
                child.close()
                return code
            child.hear(0.0)
            self._bury()
            # The hub that started this is gone, and another one answers, which starts a gateway of its own.
            if os.getppid() != self._parent and self._hub_answers():
                self._end()

    def _replace(self, child: _Child) -> None:
        """Have another gateway take the port, and then this one leave; where that one does not answer, keep this."""
        child.hear(0.0)
        new = self._start(child)
        why = self._not_ready(new)
        if why:
            print(f"rsql supervisor: the gateway goes on as it was. {why}", file=sys.stderr, flush=True)  # noqa: T201
            child.tell(refused=why)
            new.signal(signal.SIGTERM)
            self._leaving.append(new)
            return
        self._child = new
        child.tell(leave=True)
        self._leaving.append(child)

    def _not_ready(self, new: _Child) -> str:
        """Wait until a gateway answers; why it does not, empty where it does."""
        deadline = new.began + _START_SECONDS
        while new.runs and not self._ending and time.monotonic() < deadline:
            news = new.hear(0.2)
            if news.get("ready"):
                return ""
            if news.get("failed"):
                return str(news["failed"])
        if self._ending:
            return "It is being ended."
        if new.runs:
            return f"The new one did not answer within {_START_SECONDS:.0f} s."
        last = new.hear(0.0)
        return str(last.get("failed") or f"The new one ended with the exit code {new.process.returncode}; see its log.")

    def _bury(self) -> None:
        for one in [one for one in self._leaving if not one.runs]:
            one.close()
            self._leaving.remove(one)

    def _restart(self) -> None:
        self._restarts = True

    def _end(self) -> None:
        self._ending = True
        self._pass_on(signal.SIGTERM)
        for one in self._leaving:
            one.signal(signal.SIGTERM)

    def _pass_on(self, number: int) -> None:
        if self._child is not None:
            self._child.signal(number)

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
