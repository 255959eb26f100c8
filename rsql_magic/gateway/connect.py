"""Find the gateway, in the order of docs/architecture.md, or start one of our own.

1. ``%rsql connect URL`` or ``RSQL_GATEWAY_URL`` (with ``RSQL_GATEWAY_TOKEN``). What was named is never passed over.
2. On a JupyterHub, the hub's service, with the server's own ``JUPYTERHUB_API_TOKEN``.
3. The Jupyter Server of this kernel: its extension hands kernels ``RSQL_SERVER_URL`` and ``RSQL_SERVER_TOKEN``.
4. An embedded gateway: a child process on loopback with a random token. It watches this process and a pipe whose other
   end only this process holds, so it ends with this process however that ends, ``kill -9`` included.
"""

from __future__ import annotations

import os
import re
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit, urlunsplit

from rsql_magic.errors import BadInput, GatewayUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

How = Literal["chosen", "environment", "hub", "server", "embedded"]

IN_WORDS: dict[How, str] = {
    "chosen": "named by %rsql connect",
    "environment": "named by RSQL_GATEWAY_URL",
    "hub": "the JupyterHub's service",
    "server": "the Jupyter Server of this kernel",
    "embedded": "started for this session",
}

_TAIL = 16_384  # bytes of the child's log that its last words are taken from
_OF_R = re.compile(r"/(usr/)?lib(/|$)|.*/jvm/")  # folders that the start of R puts before all others
_READY = re.compile(r"ready at (http://\S+)")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a gateway is, with a slash at its end, the bearer token that opens it, and which way found it."""

    url: str
    token: str = field(default="", repr=False)
    how: How = "chosen"

    def __str__(self) -> str:
        return f"{self.url} ({IN_WORDS[self.how]})"


def base_url(text: str) -> str:
    """The base URL of what a person typed: with a slash at its end and ``v1`` and what follows left out.

    A server without a path gets ``rsql/``: a Jupyter Server with the gateway on. A URL holds no password.

    Example:
        >>> base_url("http://localhost:8888"), base_url("http://localhost:11434/v1")
        ('http://localhost:8888/rsql/', 'http://localhost:11434/')
    """
    parts = urlsplit(text.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInput(f"{text!r} is not the URL of a gateway.", hint="It looks like http://HOST:PORT/rsql/.")
    if parts.password or parts.username or "token=" in parts.query:
        raise BadInput(
            "The URL of a gateway holds no password or token.", hint="Put the token into RSQL_GATEWAY_TOKEN."
        )
    path = re.sub(r"/v1(/chat/completions)?/?$", "/", parts.path) if "/v1" in parts.path else parts.path or "/rsql/"
    path = "/rsql/" if parts.path in {"", "/"} else path
    return urlunsplit((parts.scheme, parts.netloc, path.rstrip("/") + "/", "", ""))


def named(environ: Mapping[str, str], url: str = "", token: str = "") -> Address | None:
    """The gateway that the settings (``url``) or else the environment name, or None."""
    chosen = url or environ.get("RSQL_GATEWAY_URL", "").strip()
    if not chosen:
        return None
    address = base_url(chosen)
    token = token or environ.get("RSQL_GATEWAY_TOKEN", "") or _hub_token(address, environ)
    return Address(address, token, "chosen" if url else "environment")


# The server's hub token, for a service of the hub; it goes nowhere else.
def _hub_token(address: str, environ: Mapping[str, str]) -> str:
    ours = {
        urlsplit(url).netloc
        for url in (environ.get("JUPYTERHUB_PUBLIC_HUB_URL", ""), environ.get("RSQL_GATEWAY_URL", ""))
    }
    parts = urlsplit(address)
    return environ.get("JUPYTERHUB_API_TOKEN", "") if "/services/" in parts.path and parts.netloc in ours else ""


def discovered(environ: Mapping[str, str], service: str = "rsql") -> list[Address]:
    """Gateways that the environment offers without naming one, best first: the hub's service, then the server's own."""
    offers = []
    hub, hub_token = environ.get("JUPYTERHUB_PUBLIC_HUB_URL", ""), environ.get("JUPYTERHUB_API_TOKEN", "")
    if hub and hub_token:  # …/hub/ is beside …/services/
        offers.append(Address(re.sub(r"/hub/?$", "", hub).rstrip("/") + f"/services/{service}/", hub_token, "hub"))
    if server := environ.get("RSQL_SERVER_URL", ""):
        offers.append(Address(server.rstrip("/") + "/", environ.get("RSQL_SERVER_TOKEN", ""), "server"))
    return offers


@dataclass
class Embedded:
    """The gateway that this process starts for itself, once; ``environ`` is the child's, beside its token."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    timeout: float = 20.0
    command: tuple[str, ...] = ("-m", "jupyter_server_ext", "--embedded")
    clock: Callable[[], float] = time.monotonic
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _address: Address | None = field(default=None, repr=False)
    _words: IO[bytes] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        """Whether the child is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The child's process id, or None."""
        return self._process.pid if self._process is not None and self.running else None

    def address(self) -> Address:
        """Where it is; started when it is not running. An error holds the child's last words."""
        if not self.running or self._address is None:
            self._address = self._start()
        return self._address

    def _start(self) -> Address:
        self.close()  # what is left of one that died
        token = secrets.token_urlsafe(32)
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the child writes into it
        process = subprocess.Popen(  # noqa: S603 - our own module, run by this very Python
            # -P: a file beside the notebook, such as queue.py, is not one of the gateway's modules.
            [sys.executable, "-P", *self.command, f"--parent-pid={os.getpid()}"],
            stdin=subprocess.PIPE,  # its end of life: the child stops when this pipe closes
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**_without_libraries_of_r(self.environ), "JUPYTER_TOKEN": token, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # an interrupt of the kernel's process group is not for the gateway
        )
        self._process = process
        # A forked worker that outlives the kernel must not hold the pipe open.
        os.register_at_fork(after_in_child=cast("IO[bytes]", process.stdin).close)
        try:
            return Address(self._ready(cast("IO[bytes]", process.stdout)), token, "embedded")
        except BaseException:
            self.close()
            raise

    def last_words(self, lines: int = 20) -> list[str]:
        """The last lines that the child wrote to its log."""
        if self._words is None:
            return []
        # The child writes where this file stands, so it is read without moving.
        start = max(0, os.fstat(self._words.fileno()).st_size - _TAIL)
        tail = os.pread(self._words.fileno(), _TAIL, start).decode("utf-8", "replace")
        return [line.strip()[:300] for line in tail.splitlines() if line.strip()][-lines:]

    def _ready(self, out: IO[bytes]) -> str:
        deadline = self.clock() + self.timeout
        output = b""
        with selectors.DefaultSelector() as waiting:
            waiting.register(out, selectors.EVENT_READ)
            while (left := deadline - self.clock()) > 0:
                if not waiting.select(left):
                    continue
                piece = os.read(out.fileno(), 4096)
                output += piece
                if ready := _READY.search(output.decode("utf-8", "replace")):
                    return ready[1].rstrip("/") + "/"
                if not piece:
                    break
        why = f"was not ready within {self.timeout:g} s" if left <= 0 else "ended at once"
        last = "".join(line.removeprefix("jupyter rsql: ") for line in self.last_words(1))
        hint = "Correct it, and run the cell again." if last else "%rsql doctor finds out why."
        raise GatewayUnreachable(f"The embedded gateway {why}{f': {last}' if last else '.'}", hint=hint)

    def close(self) -> None:
        """End the child; harmless when there is none."""
        process, words, self._process, self._words, self._address = self._process, self._words, None, None, None
        if words is not None:
            words.close()
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


# The environment as it was before R. R, also in this process by rpy2, puts its own and the system's folders before all
# libraries; a Python started then may load the system's libpython in place of its own.
def _without_libraries_of_r(environ: Mapping[str, str]) -> dict[str, str]:
    kept = dict(environ)
    if home := kept.get("R_HOME"):
        folders = kept.pop("LD_LIBRARY_PATH", "").split(":")
        others = [each for each in folders if each and not _OF_R.match(each) and not each.startswith(home)]
        kept |= {"LD_LIBRARY_PATH": ":".join(others)} if others else {}
    return kept
