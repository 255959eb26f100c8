"""OpenAI's routes, and how answers pass to clients: any client that speaks OpenAI's protocol works with these."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from tornado.iostream import StreamClosedError

from jupyter_server_ext.config import ASKING, OFFLINE
from jupyter_server_ext.errors import ModelNotServed, NoCapacity, RsqlGatewayError
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.base import GatewayHandler, plain_error
from jupyter_server_ext.handlers.described import Object, described
from jupyter_server_ext.handlers.shapes.callers import ModelRow, ModelsReply
from jupyter_server_ext.identity import needs_scope, require
from jupyter_server_ext.messages import INLINE, QueueNews

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

    from jupyter_server_ext.config import ModelSettings
    from jupyter_server_ext.handlers.base import AppContext
    from jupyter_server_ext.handlers.reading import Shape
    from jupyter_server_ext.handlers.requests import ReadBody
    from jupyter_server_ext.messages import ChatRequest
    from jupyter_server_ext.pipeline import Price


# Silence in a stream after which a comment is due, by which clients tell a slow model from a lost connection.
HEARTBEAT_SECONDS = 10.0

_STALLED_CLIENT_SECONDS = 120.0  # a client that reads nothing for so long has gone
_CLIENT_LEFT = 499  # as nginx has it in its logs; no client sees it


class Heartbeat:
    """Beats while nothing else is sent: one timer for a stream rather than one for each event."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat  # is called each time
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(HEARTBEAT_SECONDS, self._look)

    def sent(self) -> None:
        """Note that something was sent."""
        self._last = self._loop.time()

    def stop(self) -> None:
        """Beat no more."""
        self._timer.cancel()

    def _look(self) -> None:
        left = self._last + HEARTBEAT_SECONDS - self._loop.time()
        if left <= 0:
            self._beat()
            self.sent()
            left = HEARTBEAT_SECONDS
        self._timer = self._loop.call_later(left, self._look)


class RelayHandler(GatewayHandler):
    """A handler that passes on what ``Gateway.complete`` yields."""

    takes_large_bodies = True

    async def read_body(self, shape: Shape) -> ReadBody:
        """What was sent; large bodies are read in another process, so ``shape`` is a function of a module."""
        body = b"".join(self.incoming.chunks)
        # The parts and the whole would both be held while the body is read.
        self.incoming.chunks.clear()
        try:
            if len(body) > requests.LARGE:
                return await self.app.reader.read(body, shape)
            return requests.read(body, shape)
        finally:
            self.incoming.give_back()

    def chat_request(self, read: ReadBody, sent: object = None) -> ChatRequest:
        """The request that a body in OpenAI's form makes."""
        # ``sent`` is the client's own body, where it has another form.
        headers = self.request.headers
        fingerprint = ""
        if "Idempotency-Key" in headers:
            fingerprint = read.fingerprint or requests.fingerprint_of(sent or read.asked)
        return requests.chat_request(
            read.asked,
            headers,
            default_model=self.default_model,
            request_id=self.request_id,
            fingerprint=fingerprint,
            weighed=read.weighed,
        )

    async def relay(
        self, request: ChatRequest, replied: Callable[[bytes], bytes] = bytes, turned: Callable[[bytes], bytes] = bytes
    ) -> None:
        """Answer a request, as a stream or a body; the work is cancelled when the client leaves."""
        # ``replied`` makes the reply of a body, ``turned`` the events to send of whole events of a stream.
        assert self.caller is not None  # noqa: S101 - these routes need a scope
        task = self._work = asyncio.current_task()
        self.app.under_way.add(self)
        answering = cast("AsyncGenerator[QueueNews | bytes]", self.app.gateway.complete(self.caller, request))
        try:
            async with aclosing(answering) as events:
                if request.stream:
                    await self._stream(events, turned)
                else:
                    body = b"".join([event async for event in events if isinstance(event, bytes)])
                    self.finish(replied(body))
        except (asyncio.CancelledError, StreamClosedError) as error:
            if task is None or not (self.client_left() or _ends_early(error)):
                raise
            if isinstance(error, asyncio.CancelledError):
                task.uncancel()
            if not self.client_left():
                raise _gateway_ends() from None
            if not self._headers_written:
                self.set_status(_CLIENT_LEFT, "Client Closed Request")
            if not self._finished:
                self.finish()
        finally:
            self._work = None
            self.app.under_way.discard(self)

    def end_early(self) -> asyncio.Task[Any] | None:
        """End what is under way with an error, as the gateway ends; the task that does."""
        if self._work is not None:
            self._work.cancel(_gateway_ends())
        return self._work

    async def _stream(self, events: AsyncIterator[QueueNews | bytes], turned: Callable[[bytes], bytes]) -> None:
        heartbeat = Heartbeat(self._beat)
        try:
            async for event in events:
                self._begin_events()
                heartbeat.sent()
                if isinstance(event, QueueNews):  # a comment: every client ignores it, and ours shows it
                    queued = b": queued position=%d eta=%.1f\n\n" % (event.position, event.eta)
                    await self._send(queued if event.position else b": answering\n\n")
                else:
                    await self._send(turned(event))
        except StreamClosedError:
            raise
        except (Exception, asyncio.CancelledError) as error:  # the status has gone out, so only an event can tell
            if not self._headers_written or not await self._send_error(error, turned):
                raise
        finally:
            heartbeat.stop()
        self.finish()

    async def _send_error(self, error: BaseException, turned: Callable[[bytes], bytes]) -> bool:
        """End a stream with an error; not where the client has left."""
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or self.client_left() or not _ends_early(error):
                return False
            task.uncancel()
            error = _gateway_ends()
        else:
            self.log_exception(type(error), error, error.__traceback__)
        public = error if isinstance(error, RsqlGatewayError) else plain_error(500)
        await self._send(turned(public.as_event(self.request_id)))
        return True

    def _beat(self) -> None:
        # Say that this gateway is still there, so that a client notices when what is between them is not.
        # A client that reads nothing has no use for another comment, and its buffer would grow.
        if not (self._finished or self.client_left() or self.connection.stream.writing()):
            self._begin_events()
            self.write(b": heartbeat\n\n")
            self.flush()

    def _begin_events(self) -> None:
        if self._headers_written:
            return
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-RSQL-Heartbeat", f"{HEARTBEAT_SECONDS:g}")
        self.set_header("X-Accel-Buffering", "no")  # nginx: pass on each event as it comes
        self.set_limit_headers()
        self.connection.stream.set_nodelay(True)  # or each event may wait 40 ms

    async def _send(self, event: bytes) -> None:
        self.write(event)
        sent = self.flush()
        stream = self.connection.stream
        if not stream.writing():
            return
        try:  # the client is slower than the model: wait for it, but not for ever
            async with asyncio.timeout(_STALLED_CLIENT_SECONDS):
                await sent
        except TimeoutError:
            # Its task ends as if the client had closed the connection.
            stream.close()
            raise StreamClosedError from None


class Completions(RelayHandler):
    """``POST v1/chat/completions``."""

    @needs_scope("chat", "completion")
    @described(Object)
    async def post(self) -> None:
        """Answer messages, as a stream of events or whole. Unknown fields pass through to the provider."""
        request = self.chat_request(await self.read_body(requests.as_sent))
        if request.task != INLINE:
            require(self.asker, "chat")
        await self.relay(request)


class ModelList(GatewayHandler):
    """``GET v1/models``."""

    @needs_scope(*ASKING)
    @described(ModelsReply)
    def get(self) -> None:
        """Models that the caller may use."""
        models = self.app.policy.models(self.asker, self.app.gateway.models())
        prices = _prices_of(models, self.app)
        told = dict(self.app.settings.models)
        listed = [_model(name, prices.get(name), told.get(name)) for name in models]
        self.reply({"object": "list", "data": listed, "default": self.default_model()})


class OneModel(GatewayHandler):
    """``GET v1/models/{model}``."""

    @needs_scope(*ASKING)
    @described(ModelRow)
    def get(self, name: str) -> None:
        """One model, if the caller may use it."""
        if name not in self.app.policy.models(self.asker, self.app.gateway.models()):
            raise ModelNotServed("There is no model of this name for you. GET v1/models lists yours.", param="model")
        told = dict(self.app.settings.models).get(name)
        self.reply(_model(name, _prices_of([name], self.app).get(name), told))


class Embeddings(RelayHandler):
    """``POST v1/embeddings``."""

    @needs_scope("embeddings")
    @described(Object)
    async def post(self) -> None:
        """Vectors for texts, from providers that have them. ``model`` names the provider's model for that."""
        read = await self.read_body(requests.as_sent)
        request = requests.embeddings_request(
            read.asked, self.request.headers, request_id=self.request_id, weighed=read.weighed
        )
        if request.model == OFFLINE:
            raise ModelNotServed(
                "The model 'offline' has no embeddings. Name one that a provider serves.", param="model"
            )
        await self.relay(request)


class Unsupported(GatewayHandler):
    """OpenAI routes that clients may try and the gateway does not have."""

    @needs_scope(*ASKING)
    @described(Object)
    def post(self, name: str) -> None:
        """Refuse, with the route to use in its place."""
        del name
        message = "The gateway has no such route. Use POST v1/chat/completions, v1/responses or v1/embeddings."
        raise ModelNotServed(message, code="not_found")

    get = post


def _prices_of(models: Iterable[str], app: AppContext) -> dict[str, Price]:
    """The price of each model, the highest of those that its keys' providers ask; none where one is not known."""
    prices, found = app.accounting.prices, {}
    for model in models:
        providers = {key.settings.provider for key in app.gateway.pool.keys.meant_for(model)}
        if providers and all(prices.known(model, name) for name in providers):
            found[model] = max((prices.price(model, name) for name in providers), key=lambda one: one.output)
    return found


def _model(name: str, price: Price | None, told: ModelSettings | None) -> dict[str, object]:
    """A model in OpenAI's form, with its price, dollars for one token, and what it takes, as OpenRouter writes them.

    Neither is there where it is not known.
    """
    row: dict[str, object] = {"id": name, "object": "model", "created": 0, "owned_by": "rsql"}
    if price is not None:
        row["pricing"] = {"prompt": f"{price.input / 1e6:.12f}", "completion": f"{price.output / 1e6:.12f}"}
    if told is not None:
        row["architecture"] = {"input_modalities": ["text", "image"] if told.pictures else ["text"]}
    return row


def _ends_early(error: BaseException) -> bool:
    # Whether an error is the end of the gateway, as ``end_early`` tells it.
    return isinstance(error, asyncio.CancelledError) and bool(error.args)


def _gateway_ends() -> NoCapacity:
    # The error of an answer that the gateway could not wait for at its own end.
    return NoCapacity("The gateway is being restarted, and could not wait for this answer. Ask again.", retry_after=1.0)
