"""Answers of providers on their way to the caller: streams and whole bodies."""

# An answer owns its lease and the provider's reply, and gives both back when it is closed, however it ends.

from __future__ import annotations

import asyncio
import contextlib
import math
from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

import msgspec

from jupyter_server_ext.http_client import httpx
from jupyter_server_ext.logs import log
from jupyter_server_ext.messages import TokenUsage, wants_usage

from .failures import Failure, broken
from .openai import Expectation, checked
from .sse import BrokenStream, Completion, EventReader, ReportedUsage, StreamError, read_completion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jupyter_server_ext.keys import Lease

    from .openai import OpenAIProvider
    from .transport import Job

_CHARACTERS_PER_TOKEN = 4.0  # of an answer whose usage nobody tells
_LONGEST_BODY = 64_000_000  # bytes
_LONGEST_ERROR = 1_000_000  # bytes; more is somebody's page
_LONGEST_OPENING = 1_000_000  # bytes of a stream before its first content
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SHORTEST_SECRET = 8  # what is shorter, such as the "none" of local servers, is no secret, and may be any word


class _Broken(Exception):
    """A stream has broken off after its first content."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


@dataclass(eq=False, repr=False)
class ProviderAnswer(httpx.AsyncByteStream, ABC):
    """What streams and whole bodies have in common."""

    _job: Job  # the request
    _lease: Lease  # the key's lease
    _provider: OpenAIProvider  # the key's provider
    _expectation: Expectation  # learns from the usage

    def __post_init__(self) -> None:
        self._response: httpx.Response | None = None
        self._closed = False
        self._settled: TokenUsage | None = None  # what it was closed with

    @property
    def began(self) -> bool:
        """Whether the provider has begun to answer."""
        return self._response is not None

    @property
    def _usage_is_known(self) -> bool:
        # Whether its usage is known at least roughly; else the reservation counts.
        return self.began

    @property
    def headers(self) -> dict[str, str]:
        """Its content type."""
        kind = self._response.headers.get("content-type") if self._response is not None else None
        return {"content-type": kind or "application/json"}

    @property
    def usage(self) -> TokenUsage:
        """Tokens so far: as reported by the provider if that can be, or an estimate from the length of the text."""
        return self._settled or self._checked()[0]

    @property
    @abstractmethod
    def _counts(self) -> tuple[ReportedUsage | None, int]:
        """Tokens as the provider counted them, and the length of the text that came."""

    def _checked(self) -> tuple[TokenUsage, tuple[str, ...]]:
        reported, characters = self._counts
        written = math.ceil(characters / _CHARACTERS_PER_TOKEN)
        return checked(reported, TokenUsage(self._lease.grant.cost.prompt, written, estimated=True), self._job.request)

    @property
    def written(self) -> TokenUsage:
        """Tokens of an answer that is not passed on, as far as one can see: none while it has not begun."""
        return TokenUsage()

    async def open(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> Failure | None:
        """Send the request, in the provider's form, and read up to the first content.

        Raises:
            httpx.HTTPError: The connection failed.
        """
        response = self._response = await transport.handle_async_request(request)
        self._lease.counted(self._provider.rates(response.headers))
        if response.status_code >= 400:
            body = self._public(await read_all(response, _LONGEST_ERROR))
            return self._provider.failure(response.status_code, response.headers, body)
        return await self._begin(response)

    async def gather(self) -> Failure | None:
        """Take all of it before any is passed on, as it may break; a body is there already.

        Raises:
            httpx.HTTPError: It is absurdly long.
        """
        return None

    @abstractmethod
    def parts(self) -> AsyncIterator[bytes]:
        """The answer as it comes, without what ``ending`` holds.

        Raises:
            RsqlGatewayError: It broke off.
        """

    @abstractmethod
    def ending(self, extra: bytes = b"", *, usage: bool | None = None) -> bytes:
        """The last part, with ``extra`` JSON members such as ``"rsql":{…}`` added to its last object.

        ``usage`` is whether a stream tells its usage; None for as the request has it.
        """

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self.parts():
            yield part
        yield self.ending()

    async def aclose(self) -> None:
        """Close the provider's reply, settle the lease, learn from its usage."""
        if not self._closed:
            (usage, faults), key, request = self._checked(), self._lease.key, self._job.request
            if faults:
                which = {"key": key.id, "provider": key.settings.provider, "model": self._lease.model}
                log.warning("usage_implausible", **which, counts=",".join(faults), request_id=request.request_id)
            self._lease.settle(usage if self._usage_is_known else None)
            self._expectation.learn(self._job.caller.name, request, self._lease.model, usage)
            self._settled = usage
            await self._close()

    async def abandon(self, failure: Failure) -> None:
        """Close it without an answer. A refused request counts as a request but has used no tokens."""
        self._lease.settle(TokenUsage() if failure.status >= 400 else None)
        await self._close()

    async def _close(self) -> None:
        self._closed = True
        if self._response is not None:
            await _close_stream(self._response)

    @abstractmethod
    async def _begin(self, response: httpx.Response) -> Failure | None:
        """Read up to the first content."""

    def _public(self, error: bytes) -> bytes:
        # A provider's error with the key's public id in place of the key, should it repeat that.
        key = self._lease.key
        secret = key.settings.key.reveal()
        return error.replace(secret.encode(), key.id.encode()) if len(secret) >= _SHORTEST_SECRET else error


@dataclass(eq=False, repr=False)
class StreamAnswer(ProviderAnswer):
    """A stream of events."""

    _: KW_ONLY
    patience: tuple[float, float]  # seconds of silence that end it, and seconds without text, whatever else comes
    # Is called with the failure of a stream that breaks after a part of it was passed on.
    on_failure: Callable[[Failure], object]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._reader = EventReader()
        self._head = b""  # what came before and with the first content
        self._chunks: AsyncIterator[bytes] | None = None

    @property
    def _counts(self) -> tuple[ReportedUsage | None, int]:
        return self._reader.reported, self._reader.characters

    @property
    def written(self) -> TokenUsage:
        """See ``Answer.written``."""
        return self.usage if self._reader.characters else TokenUsage()

    async def parts(self) -> AsyncIterator[bytes]:
        """See ``Answer.parts``."""
        yield self._head
        self._head = b""
        try:
            async for events in self._rest():
                yield events
        except _Broken as broken:
            self.on_failure(broken.failure)
            raise broken.failure.as_error() from None

    async def gather(self) -> Failure | None:
        """See ``Answer.gather``."""
        parts, size = [self._head], 0
        try:
            async for events in self._rest():
                parts.append(events)
                size += len(events)
                if size > _LONGEST_BODY:
                    raise httpx.RemoteProtocolError("The stream is too long.")
        except _Broken as broken:
            return broken.failure
        self._head = b"".join(parts)
        return None

    async def _rest(self) -> AsyncIterator[bytes]:
        reader = self._reader
        try:
            while chunk := await self._next():
                pieces = reader.pieces
                events = reader.feed(chunk)
                if reader.pieces > pieces:
                    self._watch.waited = 0.0  # text has come
                if events:
                    yield events
            reader.end()
        except BrokenStream as fault:
            if fault.before:
                yield fault.before
            raise _Broken(self._meaning(fault)) from None
        except httpx.HTTPError as error:
            if not reader.finished:  # some say that it has ended, and then nothing more
                raise _Broken(self._interruption(error)) from None
        finally:
            self._watch.stop()
        if not reader.complete:
            raise _Broken(Failure("cut"))
        if reader.has_gaps:
            raise _Broken(Failure("malformed"))

    def ending(self, extra: bytes = b"", *, usage: bool | None = None) -> bytes:
        """See ``Answer.ending``: the events that end the stream, then ``[DONE]``."""
        usage = wants_usage(self._job.request) if usage is None else usage
        tail = self._reader.tail
        if not usage:
            tail = [event for event in tail if event.brings_choice]
        ends = [event.data for event in tail] or [b'{"object":"chat.completion.chunk","choices":[]}']
        if usage and self._reader.reported is None:
            used = self.usage
            counts = {"prompt_tokens": used.prompt_tokens, "completion_tokens": used.completion_tokens}
            counts |= {"total_tokens": used.total_tokens, "estimated": True}
            ends.append(msgspec.json.encode({"object": "chat.completion.chunk", "choices": [], "usage": counts}))
        if extra:
            ends[-1] = ends[-1][:-1] + b"," + extra + b"}"
        return b"".join(b"data: " + data + b"\n\n" for data in [*ends, b"[DONE]"])

    async def _begin(self, response: httpx.Response) -> Failure | None:
        # Read up to the first content; what comes before it is passed on with it, or never.
        reader = self._reader
        self._watch = _StallTimer(response, *self.patience)
        self._chunks = aiter(_stream_of(response))
        try:
            while not (reader.characters or reader.complete):
                chunk = await anext(self._chunks, b"")
                if not chunk:
                    reader.end()
                    break
                self._head += reader.feed(chunk)
                if reader.size > _LONGEST_OPENING and not reader.characters:
                    return Failure("malformed", detail="nothing but empty events")
        except BrokenStream as fault:
            return self._meaning(fault)
        return None if reader.characters or reader.complete else Failure("cut")

    def _interruption(self, error: httpx.HTTPError) -> Failure:
        failure = broken(error)
        if failure.kind == "connection":
            return Failure("silence") if self._watch.ended else Failure("cut", detail=failure.detail)
        return failure

    async def _next(self) -> bytes:
        if self._reader.done:
            return b""
        assert self._chunks is not None  # noqa: S101 - set by _begin
        with self._watch:
            return await anext(self._chunks, b"")

    def _meaning(self, fault: BrokenStream) -> Failure:
        if isinstance(fault, StreamError):
            return self._provider.failure(200, {}, self._public(fault.body))
        return Failure("malformed")


class BodyAnswer(ProviderAnswer):
    """One JSON body."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._body = b""
        self._completion = Completion()

    @property
    def _counts(self) -> tuple[ReportedUsage | None, int]:
        return self._completion.reported(), self._completion.characters()

    @property
    def _usage_is_known(self) -> bool:
        # A body that did not arrive may have been written all the same.
        return bool(self._body)

    async def parts(self) -> AsyncIterator[bytes]:
        """See ``Answer.parts``: a body is given whole at the end, so there are none."""
        none: tuple[bytes, ...] = ()
        for part in none:
            yield part

    def ending(self, extra: bytes = b"", *, usage: bool | None = None) -> bytes:  # noqa: ARG002  (a body has it anyway)
        """See ``Answer.ending``."""
        return self._body[:-1] + b"," + extra + b"}" if extra else self._body

    async def _begin(self, response: httpx.Response) -> Failure | None:
        self._body = (await read_all(response)).removeprefix(_BYTE_ORDER_MARK).strip()
        try:
            self._completion = read_completion(self._body)
            if not self._job.request.embeds:  # others will read all of it
                msgspec.json.decode(self._body)
        except (msgspec.DecodeError, RecursionError):
            return Failure("malformed")
        if self._completion.failed():
            return self._provider.failure(200, {}, self._public(self._body))
        return None if self._completion.answers(embeds=self._job.request.embeds) else Failure("malformed")


class _StallTimer:
    """Ends a stream that is silent, or brings no text, for too long: one timer rather than one for each event."""

    # Time in which nobody reads does not count. The read under way ends; settling is for whoever reads.

    def __init__(self, response: httpx.Response, silence: float, fruitless: float) -> None:
        self._response = response  # whose stream it is
        self._silence = silence  # seconds without a byte
        self._fruitless = fruitless  # seconds without text
        self._since = math.inf  # when the read under way began
        self.waited = 0.0  # in reads since the last text
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Future[None] | None = None
        self.ended = False

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._silence, self._look)

    def __exit__(self, *_: object) -> None:
        self.waited += asyncio.get_running_loop().time() - self._since
        self._since = math.inf

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        patience = min(self._silence, self._fruitless - self.waited)
        left = self._since + patience - loop.time()
        if left > 0:
            self._timer = loop.call_later(min(left, self._silence), self._look)
        else:
            self.ended = True
            self._ending = asyncio.ensure_future(_close_stream(self._response))


async def _close_stream(response: httpx.Response) -> None:
    with contextlib.suppress(httpx.HTTPError):
        await _stream_of(response).aclose()


def _stream_of(response: httpx.Response) -> httpx.AsyncByteStream:
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - it came from an async transport
    return response.stream


async def read_all(response: httpx.Response, most: int = _LONGEST_BODY) -> bytes:
    """The whole body, unless it is absurdly long."""
    parts, size = [], 0
    async for chunk in _stream_of(response):
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            raise httpx.RemoteProtocolError("The body is too long.")
    return b"".join(parts)
