"""``rsql console``: the gateway's console on this machine's loopback; its token stays in this process."""

# Where users' servers share the gateway's origin, their pages could act for an administrator there, so the gateway
# shows none. Here are pages of the gateway only, under a port that no other program has. A port does not part cookies,
# so there are none: a page shows the code that its link ends in, which counts once, for a secret that it keeps in its
# memory and sends with each request. Neither the page nor the browser ever has the gateway's token.

from __future__ import annotations

import getpass
import hmac
import json
import re
import secrets
import sys
import tempfile
import threading
import webbrowser
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rsql_magic.errors import BadInput, NotAllowed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import httpx

    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import Address

_LARGEST = 10_000_000  # bytes of a body, as a gateway takes by default
_SECONDS = 60.0  # without a byte of a reply
_SENT = ("Accept", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match")  # of a page, to the gateway
_SHOWN = re.compile(
    r"content-(?:type|disposition|security-policy|encoding)|cache-control|etag|retry-after|referrer-policy"
    r"|cross-origin-opener-policy|x-content-type-options|x-request-id|x-rsql-[\w-]+|x-ratelimit-[\w-]+"
)
_PATH = re.compile(r"[A-Za-z0-9_.~@:+,;=!*'()/%-]*")
_UP = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)|//|%2f|%5c", re.IGNORECASE)
_NEW_LINK = "This page may ask no more. Press Enter where 'rsql console' runs: it gives another link."


def console_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql console`` takes."""
    parser.add_argument("--port", type=int, default=0, metavar="N", help="the port here; a free one without it")
    parser.add_argument("--no-browser", action="store_true", help="print the link, and open nothing")


def console(assistant: Assistant, options: argparse.Namespace) -> None:
    """Serve the console to a browser on this machine until Ctrl-C.

    Raises:
        BadInput: There is no gateway but the one of this command itself, or the port is in use.
        NotAllowed: The token is of nobody who may see a console.
    """
    address = _address(assistant)
    me = assistant.locator.client_of(address).get("me", timeout=10.0)
    if not {"admin", "instructor"} & set(me.get("scopes", ())):
        raise NotAllowed(
            f"{me.get('caller', 'This token')} is no administrator and no instructor there.",
            hint="Put the token of one into RSQL_GATEWAY_TOKEN.",
        )
    try:
        server = ConsoleServer(address, options.port)
    except OSError as error:
        raise BadInput(f"Port {options.port} cannot be used: {error.strerror}.", hint="Leave --port out.") from None
    with server, tempfile.TemporaryDirectory(prefix="rsql-console-") as folder:
        threading.Thread(target=server.serve_forever, name="rsql-console", daemon=True).start()
        sys.stderr.write("Ctrl-C ends it, Enter gives another link: each opens one page, once.\n")
        while True:
            link = server.link()
            sys.stdout.write(f"{link}\n")
            sys.stdout.flush()
            if not options.no_browser:
                _open(link, Path(folder))
            if not sys.stdin.readline():
                threading.Event().wait()  # nobody presses a key here


def _address(assistant: Assistant) -> Address:
    # The gateway with a token: the one of the environment, or as it is typed.
    locator = assistant.locator
    if not locator.is_within_reach():
        raise BadInput("Which gateway?", hint="rsql console --gateway URL, with its token in RSQL_GATEWAY_TOKEN.")
    _ = locator.gateway  # finds it
    address = locator.address
    if address is None or address.how == "embedded":
        raise BadInput("A gateway of a command's own has no console.", hint="Name one: --gateway URL.")
    if not address.token and sys.stdin.isatty():
        address = type(address)(address.url, getpass.getpass("Token of the gateway: ").strip(), address.how)
    return address


def _open(link: str, folder: Path) -> None:
    # By way of a file that only this user reads: others see what a browser is started with.
    page = folder / "console.html"
    page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={link}">', encoding="utf-8")
    webbrowser.open(page.as_uri())


@dataclass(eq=False)
class OneTimeCodes:
    """Codes that are worth a secret once, and the secrets that they were given for.

    Example:
        >>> codes = OneTimeCodes()
        >>> code = codes.new()
        >>> secret = codes.spend(code)
        >>> codes.knows(secret), codes.spend(code), codes.knows("")
        (True, None, False)
    """

    _codes: set[str] = field(default_factory=set)
    _secrets: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new(self) -> str:
        """A code; those before it that nobody used are worth nothing any more."""
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._codes = {code}
        return code

    def spend(self, code: str) -> str | None:
        """The secret that a code is worth; None where it is worth none."""
        with self._lock:
            if not _is_among(code, self._codes):
                return None
            self._codes.clear()
            secret = secrets.token_urlsafe(32)
            self._secrets.add(secret)
            return secret

    def knows(self, secret: str) -> bool:
        """Whether this is a secret that was given."""
        return _is_among(secret, self._secrets)


def _is_among(text: str, known: set[str]) -> bool:
    given = text.encode("utf-8", "replace")
    return any(hmac.compare_digest(given, one.encode()) for one in known)


class ConsoleServer(ThreadingHTTPServer):
    """Passes on what the console's page asks, with the gateway's token, and nothing else."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: Address, port: int = 0) -> None:
        import httpx

        super().__init__(("127.0.0.1", port), ConsoleRequest)
        self.codes = OneTimeCodes()
        self.base = urlsplit(address.url).path
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"
        parts = urlsplit(address.url)
        token = {"Authorization": f"Bearer {address.token}", "Accept-Encoding": "identity"}
        self.upstream = httpx.Client(
            base_url=f"{parts.scheme}://{parts.netloc}",
            headers=token,
            timeout=_SECONDS,
            follow_redirects=False,
            trust_env=parts.hostname not in {"127.0.0.1", "localhost", "::1"},
        )

    def link(self) -> str:
        """The address of the console, with a new code."""
        return f"{self.origin}{self.base}admin#code={self.codes.new()}"

    def server_close(self) -> None:
        """End it, with its connections to the gateway."""
        super().server_close()
        self.upstream.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that leaves is no error."""


class ConsoleRequest(BaseHTTPRequestHandler):
    """One request of a browser."""

    server: ConsoleServer
    server_version, sys_version = "rsql", ""
    timeout = _SECONDS

    def answer(self) -> None:
        """Answer it, or say why not."""
        path = urlsplit(self.path).path
        route = path.removeprefix(self.server.base)
        # The page and its files hold nothing of anybody.
        is_open = self.command == "GET" and (route == "admin" or route.startswith("assets/"))
        if wrong := self._wrong(path, is_open=is_open):
            self._refuse(*wrong)
        elif is_open:
            self._pass_on()
        elif route == "console-code":
            secret = self.server.codes.spend(self.headers.get("X-RSQL-Code", "")) if self.command == "POST" else None
            self._refuse(401, _NEW_LINK) if secret is None else self._reply(200, {"secret": secret})
        elif self.server.codes.knows(self.headers.get("X-RSQL-Page", "")):
            self._pass_on()
        else:
            self._refuse(401, _NEW_LINK)

    def _wrong(self, path: str, *, is_open: bool) -> tuple[int, str] | None:
        """Why a request is refused whoever asks: its status, and a sentence."""
        # The name that the browser used: a page of another name that was made to lead here gets nothing.
        if self.headers.get_all("Host") != [urlsplit(self.server.origin).netloc]:
            return 403, "Open the address that 'rsql console' printed."
        if not path.startswith(self.server.base) or not _PATH.fullmatch(path) or _UP.search(path):
            return 404, "There is no such page."
        if not is_open and self.headers.get("Origin", self.server.origin) != self.server.origin:
            return 403, "Another page may not ask here."
        return None

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815  (http.server's names)

    def _pass_on(self) -> None:
        import httpx

        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= _LARGEST or "Transfer-Encoding" in self.headers:
            return self._refuse(413, "That is too large.")
        headers = {name: self.headers[name] for name in _SENT if name in self.headers}
        content = self.rfile.read(length) if length else None
        try:
            with self.server.upstream.stream(self.command, self.path, headers=headers, content=content) as reply:
                self._head(reply.status_code, reply.headers)
                for piece in reply.iter_raw():
                    self.wfile.write(piece)
                    self.wfile.flush()
        except (httpx.HTTPError, OSError) as error:
            if isinstance(error, httpx.ConnectError):
                self._refuse(502, "The gateway does not answer.")
            self.close_connection = True
        return None

    def _head(self, status: int, headers: httpx.Headers) -> None:
        self.send_response(status)
        for name, value in headers.multi_items():
            if _SHOWN.fullmatch(name.lower()):
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def _refuse(self, status: int, message: str) -> None:
        self._reply(status, {"error": {"message": message, "code": "console_refused", "type": "permission_error"}})

    def _reply(self, status: int, value: Mapping[str, object]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, told in (("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")):
            self.send_header(name, told)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (http.server's)
        """Say nothing of each request."""
