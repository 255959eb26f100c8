"""What all routes share: callers, bounded bodies, errors as JSON, headers, figures, an end when the client leaves."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from http.client import responses
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
from tornado.iostream import StreamClosedError
from tornado.log import access_log, app_log
from tornado.web import HTTPError, RequestHandler, stream_request_body

from jupyter_server_ext.errors import (
    BadRequest,
    LedgerUnavailable,
    NoCapacity,
    NotAuthenticated,
    NotPermitted,
    RsqlGatewayError,
)
from jupyter_server_ext.handlers.described import description_of
from jupyter_server_ext.handlers.parameters import check_names
from jupyter_server_ext.handlers.requests import IncomingBody
from jupyter_server_ext.identity import open_to_all, scopes_needed
from jupyter_server_ext.ledger import LedgerPage
from jupyter_server_ext.logs import current_request
from jupyter_server_ext.messages import Caller, is_name
from jupyter_server_ext.plugins import left_out
from jupyter_server_ext.tenants import change_made

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tornado.http1connection import HTTP1Connection

    from jupyter_server_ext.config import Settings
    from jupyter_server_ext.handlers.chat import PlainChats, Ratings
    from jupyter_server_ext.handlers.completions import RelayHandler
    from jupyter_server_ext.handlers.figures import Metrics
    from jupyter_server_ext.handlers.overview import Overviews
    from jupyter_server_ext.handlers.reading import BodyReader
    from jupyter_server_ext.handlers.requests import BodyBudget
    from jupyter_server_ext.handlers.routes import Route
    from jupyter_server_ext.identity import Authenticator, HubAccess, Policy, VirtualKeys
    from jupyter_server_ext.keys import Headroom
    from jupyter_server_ext.knowledge import Documents, SharedTexts
    from jupyter_server_ext.ledger import SqlAnalytics
    from jupyter_server_ext.limits import Limits
    from jupyter_server_ext.pipeline import Accounting, Gateway, JobRunner, Jobs, KeptSessions, KeyChanges, NotebookRuns
    from jupyter_server_ext.tenants import LimitOverrides, RuntimeSettings, Tenants
    from jupyter_server_ext.webhooks import EventDetector, Webhooks

T = TypeVar("T")

# The handlers are plain tornado: in a Jupyter Server they stand beside its own without its per-request work, which
# would halve what one core serves, and alone they need no Jupyter Server at all.

_NO_BOUND = 1 << 62  # of tornado, which would close the connection without a reply
_SMALL_BODY = 256_000  # bytes; of routes that do not ask a model
_PREFLIGHT_SECONDS = 600  # for which a browser remembers what a page of another origin may send
# Headers that such a page may send and read; never a cookie or what stands for one.
_SENT = ", ".join(
    (
        *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"),
        *("traceparent", "X-API-Key", "X-Request-Id", "X-RSQL-Session", "X-RSQL-Task"),
    )
)
_EXPOSED = "ETag, Retry-After, x-request-id, X-RSQL-Change, X-RSQL-Earlier-Turns, X-RSQL-Session, X-RSQL-Turns-Kept"
_PATIENCE_SECONDS = 1.0  # with the body of a request that is refused anyway
_PATIENCE_BYTES = 32_000_000  # likewise; who sends more is answered in the middle


class JsonHandler(RequestHandler):
    """Replies and errors as JSON, with an id for each request."""

    request_id: str
    app: AppContext
    route: str

    def set_default_headers(self) -> None:
        """Headers of every reply, errors included."""
        self.request_id = getattr(self, "request_id", None) or f"req-{secrets.token_hex(16)}"
        self.clear_header("Server")  # names tornado's version, which concerns nobody
        self.set_header("x-request-id", self.request_id)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")  # replies hold what only their caller may see
        self.set_header("X-Content-Type-Options", "nosniff")  # or text of a model might be taken for a page
        if hasattr(self, "app"):  # a reply that begins anew, as an error
            self.allow_origin()

    def allow_origin(self) -> bool:
        """Let pages of the configured origins read the reply; whether this request is of one."""
        # No credentials are allowed: a page of another origin sends a token that it was given, never a cookie.
        origins = self.app.settings.server.cors_origins
        origin = self.request.headers.get("Origin", "")
        if not origins:
            return False
        self.set_header("Vary", "Origin")
        if origin not in origins:
            return False
        self.set_header("Access-Control-Allow-Origin", origin)
        self.set_header("Access-Control-Expose-Headers", _EXPOSED)
        return True

    def check_xsrf_cookie(self) -> None:
        """Nothing to check."""
        # What changes anything needs a token in a header, which no other site can send.

    def compute_etag(self) -> None:
        """No reply is worth hashing."""

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """A part of the path or the query as text."""
        text = super().decode_argument(value, name)
        if not is_name(text if name is None else text[:255]):
            raise BadRequest("The address holds a part that is too long, or control characters.", param=name)
        return text

    def reply(self, value: object, *, status: int = 200) -> None:
        """Send JSON."""
        self.set_status(status)
        self.finish(msgspec.json.encode(value))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error; our own know their status."""
        error = _error_of(kwargs)
        super().send_error(error.status if error else status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The body of an error, in OpenAI's shape; a browser that is not logged in to the hub is sent there."""
        if status_code == NotAuthenticated.status and self.app.hub is not None and self._opens_page():
            browsers, path = self.app.hub.browsers, self.request.path
            # Where there are no pages, the gateway's root says so.
            self.redirect(
                browsers.begin(self, path) if browsers.are_here(self) else browsers.address(path) or self.app.base
            )
            return
        self.finish(self.error_reply(_error_of(kwargs) or plain_error(status_code)))

    def _opens_page(self) -> bool:
        headers = self.request.headers
        # A program that accepts anything must see the error, not the page of a login.
        html = self.request.method == "GET" and "text/html" in headers.get("Accept", "")
        return html and "Authorization" not in headers and "token" not in self.request.query_arguments

    def error_reply(self, error: RsqlGatewayError) -> bytes:
        """The body of an error, whose status and headers are set."""
        self.set_status(error.status)
        if error.status == NotAuthenticated.status:
            self.set_header("WWW-Authenticate", "Bearer")
        if error.retry_after is not None:
            self.set_header("Retry-After", str(max(1, math.ceil(error.retry_after))))
        return msgspec.json.encode(error.as_json(self.request_id))

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:  # noqa: ARG002  (tornado's)
        """Log faults of the gateway only; without the URL, which may hold a secret by mistake."""
        # These have told the client what is wrong; a line each would let clients fill the log.
        if not isinstance(value, RsqlGatewayError | HTTPError | StreamClosedError):
            app_log.error("%s %s failed (%s)", self.request.method, self.route, self.request_id, exc_info=value)


@stream_request_body
class GatewayHandler(JsonHandler):
    """The base of all handlers: admits a request, takes in its body within bounds, and ends work without a client."""

    # A subclass marks each of its methods with ``needs_scope`` or ``open_to_all``; what is not marked is refused at
    # import. ``self.caller`` asks, ``self.body`` holds the bytes that came, ``self.refusal`` an error found before
    # them.

    caller: Caller | None
    takes_large_bodies = False  # as those are that a model is asked with

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("get", "head", "post", "put", "patch", "delete", "options"):
            if name in cls.__dict__ and scopes_needed(cls.__dict__[name]) is None:
                msg = f"{cls.__name__}.{name} needs @needs_scope or @open_to_all"
                raise TypeError(msg)

    def initialize(self, app: AppContext, route: str) -> None:
        """Called by tornado with the arguments of the route."""
        self.app = app
        self.route = route
        self.allow_origin()
        self.caller = None
        self.connection = cast("HTTP1Connection", self.request.connection)
        largest = int(app.settings.server.max_body_mb * 1_000_000)
        self.most_bytes = largest if self.takes_large_bodies else min(_SMALL_BODY, largest)
        self.incoming = IncomingBody(app.bodies, self.request.headers, self.most_bytes)
        self._started = time.monotonic()
        self._counted = False
        self.refusal: RsqlGatewayError | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[Any] | None = None

    async def prepare(self) -> None:
        """Check the method, the caller and the size of the body before any of it is read."""
        if self.settings.get("over"):  # what it needs is being closed; a proxy sends it to another gateway
            self.detach().close()
            return
        self.app.metrics.under_way += 1
        current_request.set(self.request_id)
        headers = self.request.headers
        if "Authorization" not in headers and (key := headers.get("X-API-Key")):  # as Anthropic's clients send a token
            headers["Authorization"] = f"Bearer {key}"
        # From here on ``ended`` is called once, however the request ends.
        self._counted = True
        self.connection.set_max_body_size(_NO_BOUND)  # it is bounded here, with a reply
        try:
            await self._admit()
        except RsqlGatewayError as error:
            if self.request.headers.get("Expect", "").lower() == "100-continue":  # the body waits for us
                raise
            if self.incoming.follows:
                self._refuse(error)
            else:  # answered after the end of the request, or tornado would close a connection that others go on using
                self.refusal = copy(error)  # a raised one keeps the frames that keep this handler
        else:
            if self.incoming.follows:  # tornado's own timeout would take a task for each body
                self._later(self._give_up, self.incoming.seconds)

    @open_to_all
    def options(self, *_: str) -> None:
        """What a page of another origin may send here; closed but for the configured origins."""
        if not self.allow_origin():
            raise plain_error(405)
        known = ("get", "head", "post", "put", "patch", "delete")
        methods = [name.upper() for name in known if scopes_needed(getattr(self, name, None)) is not None]
        self.set_header("Access-Control-Allow-Methods", ", ".join(methods))
        self.set_header("Access-Control-Allow-Headers", _SENT)
        self.set_header("Access-Control-Max-Age", str(_PREFLIGHT_SECONDS))
        self.set_status(204)
        self.clear_header("Content-Type")
        self.finish()

    async def _admit(self) -> None:
        if getattr(self.connection.stream, "is_spare", False):  # see ``connections.BoundedServer``
            self.set_header("Connection", "close")
            if self.route != "health":
                words = "The gateway has as many connections as it can hold. Close some, or try again."
                raise NoCapacity(words, code="too_many_connections", retry_after=_PATIENCE_SECONDS)
        scopes = scopes_needed(getattr(self, str(self.request.method).lower(), None))
        if scopes is None:
            raise plain_error(405)
        if scopes:
            self.caller = await self.app.auth.caller(self, *scopes)
            await self.app.limits.admit(self.caller, self.route)
        self._described = description_of(getattr(self, str(self.request.method).lower(), None))
        known = () if self._described is None else self._described.parameters
        if known or self.route.startswith("admin/"):
            check_names(self.request.query_arguments, known)
        self.incoming.announce(self.caller)

    def _give_up(self) -> None:
        words = "The body came too slowly. Send the request again, over a better connection or in smaller parts."
        self._refuse(BadRequest(words, code="body_too_slow", status=408))
        self._answer_in_the_middle()

    def _refuse(self, error: RsqlGatewayError) -> None:
        # Answer with an error, after a while in which the client may send the rest of its body.
        # Most clients read nothing before they have sent everything, and lose an answer if the connection closes
        # meanwhile. So some of it is read and thrown away. A client that sends more, or nothing at all, is answered in
        # the middle of it and soon cut off.
        self.refusal = copy(error)
        self.incoming.drop()
        self._later(self._answer_in_the_middle)

    def _later(self, step: Callable[[], None], seconds: float = _PATIENCE_SECONDS) -> None:
        self.wait_no_longer()
        self._cut = asyncio.get_running_loop().call_later(seconds, step)

    def wait_no_longer(self) -> None:
        """Cut nothing off any more: the body has come, or the answer has gone."""
        if self._cut is not None:
            self._cut.cancel()

    def _answer_in_the_middle(self) -> None:
        if self.refusal is None or self._headers_written:
            return
        body = self.error_reply(self.refusal)
        self.set_limit_headers()
        self.set_header("Connection", "close")
        # With a length the client knows that the answer is whole, though the connection closes.
        self.set_header("Content-Length", len(body))
        self.write(body)
        self.flush()
        self._later(self.end_refused)

    def end_refused(self) -> None:
        """The body of a refused request has ended, or its time has: answer, unless that has been done."""
        if not self._headers_written and self.refusal is not None:
            raise copy(self.refusal)
        if not self._finished:
            self.finish()

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece of the body, unless the request is refused or this is too much."""
        if self.refusal is None:
            try:
                self.incoming.add(chunk)
            except RsqlGatewayError as error:
                self._refuse(error)
            return
        self.incoming.received += len(chunk)
        if self.incoming.received > self.most_bytes + _PATIENCE_BYTES:
            self._answer_in_the_middle()

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.incoming.chunks)

    @property
    def asker(self) -> Caller:
        """The caller, on a route that needs a scope."""
        if self.caller is None:
            raise NotAuthenticated("This route does not know who asks.")
        return self.caller

    def query(self) -> dict[str, Any]:
        """The values of what this route takes in its address, as ``described`` names them.

        Raises:
            BadRequest: A value is wrong.
        """
        known = self._described.parameters if self._described is not None else ()
        return {one.name: one.value(self.get_query_argument(one.name, None)) for one in known}

    def page(self) -> LedgerPage:
        """Which part of a list is wanted, by ``limit`` and ``after``.

        Raises:
            BadRequest: One of them is wrong.
        """
        asked = self.query()
        return LedgerPage.after(asked["after"], asked["limit"])

    def tenant_seen(self) -> str | None:
        """The group whose figures are asked for, by ``tenant``; an instructor sees the own one only; None for all.

        Raises:
            NotPermitted: It is another group than an instructor's.
        """
        own, asked = self.app.tenants.scope(self.asker), self.query().get("tenant")
        if own is not None and asked not in (None, own):
            raise NotPermitted("You see your own group only.", param="tenant")
        return own if own is not None else asked

    async def analyze(self, question: Callable[[SqlAnalytics], T]) -> T:
        """What the ledger's sums and rankings say; see ``Ledger.analyze``."""
        return await self.app.accounting.ledger.analyze(question)

    def default_model(self) -> str:
        """The configured model, if the caller may use it; else the first of the caller's; empty for none."""
        return default_model_of(self.asker, self.app.policy, self.app.gateway, self.app.settings.default_model)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Awaitable[None]:  # type: ignore[override]
        """Send the end of the reply, with the caller's limits in its headers."""
        if not self._headers_written:
            self.set_limit_headers()
        return super().finish(chunk)

    def set_limit_headers(self) -> None:
        """Put what the caller has left into the headers, and whether this gateway has a next request left."""
        # Clients with a kept connection find the next gateway by a new one.
        if self.settings.get("leaving"):
            self.set_header("Connection", "close")
        if change := change_made.get():
            self.set_header("X-RSQL-Change", change)
        if self.caller is not None:
            for name, value in self.app.limits.headers(self.caller).items():
                self.set_header(name, value)

    def on_finish(self) -> None:
        """Count the request as answered."""
        self.wait_no_longer()
        self.incoming.give_back()
        self._count()

    def on_connection_close(self) -> None:
        """The client has gone: stop working for it."""
        super().on_connection_close()
        self.wait_no_longer()
        self.incoming.drop()
        if self._work is not None:
            self._work.cancel()
        else:
            self._count()

    def _count(self) -> None:
        if self._counted:
            self._counted = False
            self.app.metrics.ended(self.route or "/", self.get_status(), time.monotonic() - self._started)

    def client_left(self) -> bool:
        """Whether the client's connection is closed."""
        return self.connection.stream.closed()


def default_model_of(caller: Caller, policy: Policy, gateway: Gateway, wanted: str) -> str:
    """The wanted model, if a caller may use it; else the first of the caller's; empty for none."""
    served = [wanted] if wanted else []
    return next(iter(policy.models(caller, [*served, *gateway.models()])), "")


def log_request(handler: RequestHandler) -> None:
    """One line for each request at level debug: the path without its query, which may hold what it should not."""
    milliseconds = 1000.0 * handler.request.request_time()
    request = handler.request
    access_log.debug("%d %s %s %.1f ms", handler.get_status(), request.method, request.path, milliseconds)


def _error_of(kwargs: dict[str, Any]) -> RsqlGatewayError | None:
    error = (kwargs.get("exc_info") or (None, None))[1]
    return error if isinstance(error, RsqlGatewayError) else None


_PLAIN = {
    400: ("bad_request", "The request could not be read."),
    404: ("not_found", "There is no such route. The routes are listed at 'docs' below the gateway's URL."),
    405: ("method_not_allowed", "This route does not know that method. See 'docs' below the gateway's URL."),
    500: ("internal_error", "The gateway failed. Its administrator finds the reason in the log, by the request id."),
}


def plain_error(status: int) -> RsqlGatewayError:
    """An error of which only the HTTP status is known."""
    code, message = _PLAIN.get(
        status, (responses.get(status, "error").lower().replace(" ", "_"), "The request failed.")
    )
    kind = BadRequest if 400 <= status < 500 else RsqlGatewayError
    return kind(message, code=code, status=status)


_LAST_WORDS_SECONDS = 2.0  # that answers may take to end when the gateway does


@dataclass(frozen=True)
class AppContext:
    """Everything a handler may use."""

    settings: Settings  # as read
    gateway: Gateway  # answers requests
    auth: Authenticator  # finds the caller of a request
    virtual_keys: VirtualKeys  # keys that callers make for their scripts
    policy: Policy  # what tenants may do
    limits: Limits  # what callers have left
    accounting: Accounting  # the ledger, prices and budgets
    documents: Documents  # what tenants share
    shared: SharedTexts  # the same of dictionaries and examples
    sessions: KeptSessions  # conversations that callers keep here
    jobs: Jobs  # files of requests that wait for spare quota
    runner: JobRunner  # works them off
    notebooks: NotebookRuns  # has notebooks among them run
    runtime: RuntimeSettings  # the settings in force, with what was changed at run time
    overrides: LimitOverrides  # limits among them, as administrators change them
    tenants: Tenants  # the same of tenants
    webhooks: Webhooks  # who is told of what
    watch: EventDetector  # sees it
    conversations: PlainChats  # turns of ``POST chat``
    ratings: Ratings  # what people think of answers
    metrics: Metrics  # figures for Prometheus
    headroom: Headroom  # what keys had left over the last hours
    overviews: Overviews  # what the console shows first
    routes: tuple[Route, ...]  # what is served, for the docs
    base: str  # the path they are below, with a slash at both ends
    bodies: BodyBudget  # how much is held of bodies that come in
    reader: BodyReader  # reads them
    key_changes: KeyChanges  # what administrators did to keys
    hub: HubAccess | None = None  # the JupyterHub whose service this is, if any
    shares_origin: bool = False  # whether this is in a user's server, with those of others on the same origin
    # What is being answered, to be ended with a word when the gateway ends.
    under_way: set[RelayHandler] = field(default_factory=set)
    started: float = field(default_factory=time.monotonic)

    async def follow(self) -> None:
        """Follow what administrators do at other gateways of the same ledger, tell webhooks, and work, for ever."""
        ledger = self.accounting.ledger
        telling = self.webhooks.run(self.watch.look)
        following = [self.runtime.follow(), self.conversations.follow(ledger)]
        if self.hub is not None:
            following.append(self.hub.watch_origin())
        await asyncio.gather(*following, telling, self.runner.run(), self.remember_headroom())

    async def remember_headroom(self) -> None:
        """Remember what keys have left, for ever."""
        while True:
            await self.look_at_headroom()
            await asyncio.sleep(self.headroom.every)

    async def look_at_headroom(self) -> None:
        """Remember what keys have left now, in the ledger where there is one, for all gateways."""
        headroom, ledger = self.headroom, self.accounting.ledger
        seen, moment, since = headroom.look(self.gateway.status().get("pool", ())), headroom.moment, headroom.since
        if seen and ledger.keeps:
            with suppress(LedgerUnavailable):  # health tells
                await ledger.ask(lambda store: store.analytics.keep_headroom(moment, seen, since=since))

    async def close(self) -> None:
        """End what is open; what is being answered ends with an error that says so."""
        ending = [task for answer in self.under_way if (task := answer.end_early()) is not None]
        if ending:
            await asyncio.wait(ending, timeout=_LAST_WORDS_SECONDS)
        await self.runner.close()
        self.reader.close()
        self.documents.close()
        await self.webhooks.close()
        await self.gateway.close()
        if self.accounting.traces is not None:
            await asyncio.to_thread(self.accounting.traces.close)


def health(app: AppContext) -> Mapping[str, Any]:
    """What everybody may know: whether the gateway can answer, and its version."""
    status = app.gateway.status()
    lost = status.get("keys_lost", 0)
    states = status.get("keys", {})
    can_wait = states.get("ready") or states.get("cooling") or states.get("exhausted")
    checks = {"keys": "ok" if states.get("ready") and not lost else "degraded" if can_wait else "unavailable"}
    checks |= status.get("checks", {}) | ({"plugins": "degraded"} if left_out() else {})
    worst = next((word for word in ("unavailable", "degraded") if word in checks.values()), "ok")
    state = {"status": worst, "version": installed_version(), "checks": checks}
    return state | {"keys_lost": lost} if lost else state


def installed_version() -> str:
    """The version of this package."""
    try:
        return version("rsql-jupyter")
    except PackageNotFoundError:  # the sources, on a path
        return "unknown"
