"""What all routes share: who asks, bounded bodies, errors as JSON, headers, and passing on an answer as it comes.

The handlers are plain tornado: in a Jupyter Server they stand beside its own without its per-request work, which would
halve what one core serves, and alone they need no Jupyter Server at all.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from contextlib import aclosing
from copy import copy
from http.client import responses
from typing import TYPE_CHECKING, Any, cast

import msgspec
from tornado.iostream import StreamClosedError
from tornado.log import app_log
from tornado.web import HTTPError, RequestHandler, stream_request_body

from jupyter_server_ext.errors import BadRequest, NoCapacity, NotAuthenticated, RsqlGatewayError, TooLarge
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.connections import is_spare
from jupyter_server_ext.handlers.heart import HEARTBEAT_SECONDS, Heart
from jupyter_server_ext.handlers.parts import default_model
from jupyter_server_ext.identity import scope_of
from jupyter_server_ext.messages import is_name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from tornado.http1connection import HTTP1Connection

    from jupyter_server_ext.handlers.parts import AppContext
    from jupyter_server_ext.handlers.reading import Read, Shape
    from jupyter_server_ext.messages import Caller, ChatRequest, Waiting

_NO_BOUND = 1 << 62
_BODY_SECONDS = 120.0  # that a body may take to come
_FIRST_SECONDS = 20.0  # that the smallest may take
_SLOWEST = 100_000.0  # bytes a second of larger ones
_SMALL_BODY = 256_000  # bytes; of routes that do not ask a model
_PATIENCE_SECONDS = 1.0  # with the body of a request that is refused anyway
_PATIENCE_BYTES = 32_000_000
_STALLED_CLIENT_SECONDS = 120.0  # a client that reads nothing for so long has gone
_CLIENT_LEFT = 499
_HEARTBEAT = b": heartbeat\n\n"


@stream_request_body
class GatewayHandler(RequestHandler):
    """The base of all handlers.

    A subclass marks each of its methods with ``needs_scope`` or ``open_to_all``; what is not marked is refused at
    import. ``self.caller`` is who asks, ``self.body`` the bytes that came, ``self.refusal`` an error found before them.
    """

    request_id: str
    parts: AppContext
    caller: Caller | None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("get", "head", "post", "put", "patch", "delete", "options"):
            if name in cls.__dict__ and scope_of(cls.__dict__[name]) is None:
                msg = f"{cls.__name__}.{name} needs @needs_scope or @open_to_all"
                raise TypeError(msg)

    def initialize(self, parts: AppContext, route: str) -> None:
        """Called by tornado with the arguments of the route."""
        self.parts = parts
        self.route = route
        self.caller = None
        self._chunks: list[bytes] = []
        self._received = 0
        self._held = 0
        self._sender = ""
        self._started = time.monotonic()
        self._counted = False
        self.refusal: RsqlGatewayError | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[Any] | None = None

    def set_default_headers(self) -> None:
        """Headers of every reply, errors included."""
        self.request_id = getattr(self, "request_id", None) or f"req-{secrets.token_hex(16)}"
        self.clear_header("Server")
        self.set_header("x-request-id", self.request_id)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def check_xsrf_cookie(self) -> None:
        """Nothing to check: what changes anything needs a token in a header, which no other site can send."""

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """A part of the path or the query as text.

        Raises:
            BadRequest: It holds what no name has.
        """
        text = super().decode_argument(value, name)
        if not is_name(text if name is None else text[:255]):
            raise BadRequest("The address holds a part that is too long, or control characters.", param=name)
        return text

    def compute_etag(self) -> None:
        """No reply is worth hashing."""

    async def prepare(self) -> None:
        """Before the body is read: is there such a method, who asks, is the body small enough."""
        self.parts.metrics.begun()
        self._counted = True
        self._connection.set_max_body_size(_NO_BOUND)  # it is bounded here, with a reply
        try:
            await self._admit()
        except RsqlGatewayError as error:
            if self._waits_for_us():
                raise
            if self._body_follows():
                self._refuse(error)
            else:  # answered after the end of the request, or tornado would close a connection that others go on using
                self.refusal = copy(error)  # a raised one keeps the frames that keep this handler
        else:
            if self._body_follows():  # tornado's own timeout would take a task for each body
                self._later(self._give_up, self._body_seconds())

    async def _admit(self) -> None:
        if is_spare(self._connection.stream):
            self.set_header("Connection", "close")
            if self.route != "health":
                words = "The gateway has as many connections as it can hold. Close some, or try again."
                raise NoCapacity(words, code="too_many_connections", retry_after=_PATIENCE_SECONDS)
        scope = scope_of(getattr(self, str(self.request.method).lower(), None))
        if scope is None:
            raise _plain_error(405)
        if scope:
            self.caller = await self.parts.auth.caller(self, scope)
        length = self._length()
        if length > self.most_bytes:
            raise self._too_large()
        self._hold(length)

    def _length(self) -> int:
        """Bytes of the body, as far as that is told before."""
        length = self.request.headers.get("Content-Length", "0")
        return int(length[:20]) if length.isdecimal() else 0

    def _hold(self, amount: int) -> None:
        """Count bytes of the body before they are kept.

        Raises:
            LimitExceeded: The caller is sending too much.
            NoCapacity: All are.
        """
        if amount:
            if not self._held:
                self._sender = self.caller.name if self.caller is not None else ""
            self.parts.bodies.take(self._sender, amount)
            self._held += amount

    def give_back(self) -> None:
        """The body was read, or is no longer wanted."""
        if self._held:
            self.parts.bodies.give_back(self._sender, self._held)
            self._held = 0

    @property
    def most_bytes(self) -> int:
        """The largest body that is read; those of most routes are small."""
        return min(_SMALL_BODY, self.parts.max_body_bytes)

    def _body_seconds(self) -> float:
        """How long the body may take: by its length, or as long as the largest where that is not told."""
        length = self._length() or self.most_bytes
        return min(_BODY_SECONDS, _FIRST_SECONDS + length / _SLOWEST)

    def _give_up(self) -> None:
        """The body did not come in time."""
        words = "The body came too slowly. Send the request again, over a better connection or in smaller parts."
        self._refuse(BadRequest(words, code="body_too_slow", status=408))
        self._answer_in_the_middle()

    def _waits_for_us(self) -> bool:
        return self.request.headers.get("Expect", "").lower() == "100-continue"

    def _body_follows(self) -> bool:
        headers = self.request.headers
        return headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers

    def _refuse(self, error: RsqlGatewayError) -> None:
        """Answer with an error, after a while in which the client may send the rest of its body.

        Most clients read nothing before they have sent everything, and lose an answer if the connection closes
        meanwhile. So some of it is read and thrown away. A client that sends more, or nothing at all, is answered in
        the middle of it and soon cut off.
        """
        self.refusal = copy(error)
        self._chunks.clear()
        self.give_back()
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
        body = self._error_reply(self.refusal)
        self.tell_limits()
        self.set_header("Connection", "close")
        self.set_header("Content-Length", len(body))
        self.write(body)
        self.flush()
        self._later(self.end_refused)

    def end_refused(self) -> None:
        """The body of a refused request has ended, or its time has: answer, unless that has been done.

        Raises:
            RsqlGatewayError: The refusal.
        """
        if not self._headers_written and self.refusal is not None:
            raise copy(self.refusal)
        if not self._finished:
            self.finish()

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece of the body, unless the request is refused or this is too much."""
        self._received += len(chunk)
        if self.refusal is None:
            self._keep(chunk)
        elif self._received > self.most_bytes + _PATIENCE_BYTES:
            self._answer_in_the_middle()

    def _keep(self, chunk: bytes) -> None:
        try:
            if self._received > self.most_bytes:
                raise self._too_large()
            self._hold(max(0, self._received - self._held))  # nothing, where the length was told
        except RsqlGatewayError as error:
            self._refuse(error)
        else:
            self._chunks.append(chunk)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self.most_bytes / 1e6:g} MB. Send less.")

    @property
    def _connection(self) -> HTTP1Connection:
        return cast("HTTP1Connection", self.request.connection)

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self._chunks)

    @property
    def asker(self) -> Caller:
        """Who asks, on a route that needs a scope.

        Raises:
            NotAuthenticated: On another route.
        """
        if self.caller is None:
            raise NotAuthenticated("This route does not know who asks.")
        return self.caller

    def reply(self, value: object, *, status: int = 200) -> None:
        """Send JSON."""
        self.set_status(status)
        self.finish(msgspec.json.encode(value))

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Awaitable[None]:  # type: ignore[override]
        """Send the end of the reply, with the caller's limits in its headers."""
        if not self._headers_written:
            self.tell_limits()
        return super().finish(chunk)

    def tell_limits(self) -> None:
        """Put what the caller has left into the headers, and whether this gateway has a next request left."""
        if self.settings.get("leaving"):
            self.set_header("Connection", "close")
        if self.caller is not None:
            for name, value in self.parts.limits.headers(self.caller).items():
                self.set_header(name, value)

    def on_finish(self) -> None:
        """Count the request as answered."""
        self.wait_no_longer()
        self.give_back()
        self._count()

    def on_connection_close(self) -> None:
        """The client has gone: stop working for it."""
        super().on_connection_close()
        self.wait_no_longer()
        self.give_back()
        self._chunks.clear()
        if self._work is not None:
            self._work.cancel()
        else:
            self._count()

    def _count(self) -> None:
        if self._counted:
            self._counted = False
            self.parts.metrics.ended(self.route or "/", self.get_status(), time.monotonic() - self._started)

    async def while_connected(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` in this task, and cancel it when the client leaves."""
        task = self._work = asyncio.current_task()
        self.parts.under_way.add(self)
        try:
            await work()
        except (asyncio.CancelledError, StreamClosedError) as error:
            if task is None or not (self._client_left() or self._ends_early(error)):
                raise
            if isinstance(error, asyncio.CancelledError):
                task.uncancel()
            if not self._client_left():
                raise _gateway_ends() from None
            self._end_unread()
        finally:
            self._work = None
            self.parts.under_way.discard(self)

    def end_early(self) -> asyncio.Task[Any] | None:
        """End what is under way with an error, as the gateway ends; the task that does."""
        if self._work is not None:
            self._work.cancel(_gateway_ends())
        return self._work

    @staticmethod
    def _ends_early(error: BaseException) -> bool:
        return isinstance(error, asyncio.CancelledError) and bool(error.args)

    def _client_left(self) -> bool:
        return self._connection.stream.closed()

    def _end_unread(self) -> None:
        if not self._headers_written:
            self.set_status(_CLIENT_LEFT, "Client Closed Request")
        if not self._finished:
            self.finish()

    # Errors ----------------------------------------------------------------------------------------------------------

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error; our own know their status."""
        error = _error_of(kwargs)
        super().send_error(error.status if error else status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The body of an error, in OpenAI's shape; a browser that is not logged in to the hub is sent there."""
        if status_code == NotAuthenticated.status and self.parts.hub is not None and self._opens_page():
            self.redirect(self.parts.hub.browsers.begin(self, self.request.path))
            return
        self.finish(self._error_reply(_error_of(kwargs) or _plain_error(status_code)))

    def _opens_page(self) -> bool:
        headers = self.request.headers
        html = self.request.method == "GET" and "text/html" in headers.get("Accept", "")
        return html and "Authorization" not in headers and "token" not in self.request.query_arguments

    def _error_reply(self, error: RsqlGatewayError) -> bytes:
        """Sets the status and headers of an error and gives its body."""
        self.set_status(error.status)
        if error.status == NotAuthenticated.status:
            self.set_header("WWW-Authenticate", "Bearer")
        if error.retry_after is not None:
            self.set_header("Retry-After", str(max(1, math.ceil(error.retry_after))))
        return msgspec.json.encode(error.as_json(self.request_id))

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:  # noqa: ARG002  (tornado's)
        """Only what is a fault of ours; without the URL, which may hold what somebody should not have put there."""
        if not isinstance(value, RsqlGatewayError | HTTPError | StreamClosedError):
            app_log.error("%s %s failed (%s)", self.request.method, self.route, self.request_id, exc_info=value)


class RelayHandler(GatewayHandler):
    """A handler that passes on what ``Gateway.complete`` yields."""

    @property
    def most_bytes(self) -> int:
        """The largest body that is read, as configured."""
        return self.parts.max_body_bytes

    async def read_body(self, shape: Shape) -> Read:
        """What was sent; large bodies are read in another process.

        Args:
            shape: Makes a body in OpenAI's form of it; a function of a module.

        Raises:
            BadRequest: It is not JSON, or a field is wrong.
        """
        body = self.body
        self._chunks.clear()
        try:
            return await self.parts.reader.read(body, shape)
        finally:
            self.give_back()

    def chat_request(self, read: Read, sent: object = None) -> ChatRequest:
        """The request that a body in OpenAI's form makes.

        Args:
            read: The messages and what belongs to them.
            sent: What the client sent, where that is something else.
        """
        headers = self.request.headers
        return requests.chat_request(
            read.asked,
            headers,
            default_model=default_model(self.parts, self.asker),
            request_id=self.request_id,
            fingerprint=self._fingerprint(read, sent) if "Idempotency-Key" in headers else "",
            weighed=read.weighed,
        )

    def _fingerprint(self, read: Read, sent: object) -> str:
        return read.fingerprint or requests.fingerprint_of(sent or read.asked)

    async def relay(
        self, request: ChatRequest, replied: Callable[[bytes], bytes] = bytes, turned: Callable[[bytes], bytes] = bytes
    ) -> None:
        """Answer a request, as a stream or a body, as long as the client is there.

        Args:
            request: What is asked.
            replied: Turns the body of an answer that is no stream into the reply.
            turned: Turns whole events of a stream into those to send.
        """
        answering = cast("AsyncGenerator[Waiting | bytes]", self.parts.gateway.complete(self.asker, request))
        async with aclosing(answering) as events:
            if request.stream:
                await self._stream(events, turned)
            else:
                body = b"".join([event async for event in events if isinstance(event, bytes)])
                self.finish(replied(body))

    async def _stream(self, events: AsyncIterator[Waiting | bytes], turned: Callable[[bytes], bytes]) -> None:
        heart = Heart(self._beat)
        try:
            async for event in events:
                self._begin_events()
                heart.sent()
                await self._send(turned(event) if isinstance(event, bytes) else _queued(event))
        except StreamClosedError:
            raise
        except (Exception, asyncio.CancelledError) as error:  # the status has gone out, so only an event can tell
            if not self._headers_written or not await self._tell(error, turned):
                raise
        finally:
            heart.stop()
        self.finish()

    async def _tell(self, error: BaseException, turned: Callable[[bytes], bytes]) -> bool:
        """End a stream with an error; not where the client has left."""
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or self._client_left() or not self._ends_early(error):
                return False
            task.uncancel()
            error = _gateway_ends()
        else:
            self.log_exception(type(error), error, error.__traceback__)
        await self._send(turned(self._error_event(error)))
        return True

    def _beat(self) -> None:
        """Say that this gateway is still there, so that a client notices when what is between them is not."""
        if not (self._finished or self._client_left() or self._connection.stream.writing()):
            self._begin_events()
            self.write(_HEARTBEAT)
            self.flush()

    def _begin_events(self) -> None:
        if self._headers_written:
            return
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-RSQL-Heartbeat", f"{HEARTBEAT_SECONDS:g}")
        self.set_header("X-Accel-Buffering", "no")  # nginx: pass on each event as it comes
        self.tell_limits()
        self._connection.stream.set_nodelay(True)  # or each event may wait 40 ms

    async def _send(self, event: bytes) -> None:
        self.write(event)
        sent = self.flush()
        stream = self._connection.stream
        if not stream.writing():
            return
        try:  # the client is slower than the model: wait for it, but not for ever
            async with asyncio.timeout(_STALLED_CLIENT_SECONDS):
                await sent
        except TimeoutError:
            stream.close()
            raise StreamClosedError from None

    def _error_event(self, error: BaseException) -> bytes:
        known = error if isinstance(error, RsqlGatewayError) else _plain_error(500)
        return b"data: " + msgspec.json.encode(known.as_json(self.request_id)) + b"\n\n"


def _gateway_ends() -> NoCapacity:
    return NoCapacity("The gateway is being restarted, and could not wait for this answer. Ask again.", retry_after=1.0)


def _queued(waiting: Waiting) -> bytes:
    """A comment: every client ignores it, and ours shows it."""
    if waiting.position == 0:
        return b": answering\n\n"
    return b": queued position=%d eta=%.1f\n\n" % (waiting.position, waiting.eta)


def _error_of(kwargs: dict[str, Any]) -> RsqlGatewayError | None:
    error = (kwargs.get("exc_info") or (None, None))[1]
    return error if isinstance(error, RsqlGatewayError) else None


_PLAIN = {
    400: ("bad_request", "The request could not be read."),
    404: ("not_found", "There is no such route. The routes are listed at 'docs' below the gateway's URL."),
    405: ("method_not_allowed", "This route does not know that method. See 'docs' below the gateway's URL."),
    500: ("internal_error", "The gateway failed. Its administrator finds the reason in the log, by the request id."),
}


def _plain_error(status: int) -> RsqlGatewayError:
    code, message = _PLAIN.get(
        status, (responses.get(status, "error").lower().replace(" ", "_"), "The request failed.")
    )
    kind = BadRequest if 400 <= status < 500 else RsqlGatewayError
    return kind(message, code=code, status=status)
