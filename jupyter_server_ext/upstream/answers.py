"""Answers of providers on their way to the caller: streams and whole bodies.

An answer owns its lease and the provider's response, and gives both back when it is closed, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING

import httpx
import msgspec

from jupyter_server_ext.messages import Usage

from .failures import Failure, classify
from .sse import EventReader, Malformed, StreamError
from .wire import Reply, read_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jupyter_server_ext.key_pool import Lease

    from .transport import Job, KeyRotatingTransport

_CHARACTERS_PER_TOKEN = 4.0


class Answer(httpx.AsyncByteStream):
    """What stream and body have in common.

    Args:
        response: The provider's reply, not read yet.
        lease: The key's lease, settled when the answer is closed.
        job: The request.
        transport: Where what is learnt goes.
    """

    def __init__(self, response: httpx.Response, lease: Lease, job: Job, transport: KeyRotatingTransport) -> None:
        self._response = response
        self._lease = lease
        self._job = job
        self._transport = transport
        self._closed = False

    @property
    def usage(self) -> Usage:
        """Tokens of this answer so far."""
        raise NotImplementedError

    @property
    def headers(self) -> dict[str, str]:
        """What a client needs to read it."""
        return {"content-type": self._response.headers.get("content-type", "application/json")}

    async def begin(self) -> Failure | None:
        """Read until there is content, or until it is clear that none comes."""
        raise NotImplementedError

    def parts(self) -> AsyncIterator[bytes]:
        """The answer as it came, except for what ``ending`` holds.

        Raises:
            RsqlGatewayError: It broke off.
        """
        raise NotImplementedError

    def ending(self, extra: bytes = b"") -> bytes:
        """The last part; ``extra`` is JSON members to add, such as ``"rsql":{…}``."""
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self.parts():
            yield part
        yield self.ending()

    async def aclose(self) -> None:
        """Close the provider's reply and settle the lease."""
        if self._closed:
            return
        self._closed = True
        usage = self.usage
        self._job.trace.upstream_seconds += self._lease.seconds()
        self._lease.settle(usage)
        self._transport.expectation.learn(self._job.caller.name, self._job.request, usage)
        with contextlib.suppress(httpx.HTTPError):
            await self._response.stream.aclose()  # type: ignore[union-attr]

    def _estimate(self, characters: int) -> Usage:
        prompt = self._lease.grant.cost.prompt
        return Usage(prompt, round(characters / _CHARACTERS_PER_TOKEN), estimated=True)


class StreamAnswer(Answer):
    """A stream of events."""

    def __init__(self, response: httpx.Response, lease: Lease, job: Job, transport: KeyRotatingTransport) -> None:
        super().__init__(response, lease, job, transport)
        self._reader = EventReader()
        self._head = b""
        self._chunks = response.stream.__aiter__()  # type: ignore[union-attr]
        self._over = False
        self._stalled = False
        self._reading_since = math.inf
        self._watch: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def usage(self) -> Usage:
        """What the provider told, or an estimate from the length of what came."""
        return self._reader.usage or self._estimate(self._reader.characters)

    async def begin(self) -> Failure | None:
        """Read up to the first content; what comes before it is kept to be passed on with it."""
        reader = self._reader
        try:
            while not reader.characters and not (reader.finished or reader.done):
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    self._over = True
                    reader.end()
                    break
                self._head += reader.feed(chunk)
        except StreamError as error:
            return classify(200, error.body)
        except Malformed:
            return Failure("malformed")
        if self._over and not (reader.finished or reader.done or reader.characters):
            return Failure("malformed")
        return None

    async def parts(self) -> AsyncIterator[bytes]:
        """See ``Answer.parts``."""
        reader = self._reader
        if self._head:
            yield self._head
            self._head = b""
        loop = asyncio.get_running_loop()
        self._look()
        try:
            while not (self._over or reader.done):
                self._reading_since = loop.time()
                chunk = await anext(self._chunks, None)
                self._reading_since = math.inf
                if chunk is None:
                    reader.end()
                    break
                if events := reader.feed(chunk):
                    yield events
        except StreamError as error:
            raise classify(200, error.body).as_error() from None
        except Malformed:
            raise Failure("malformed").as_error() from None
        except httpx.HTTPError:
            raise Failure("silence" if self._stalled else "connection").as_error() from None
        finally:
            if self._watch is not None:
                self._watch.cancel()
        if not (reader.done or reader.finished):
            raise Failure("connection").as_error()

    def ending(self, extra: bytes = b"") -> bytes:
        """The events that end the stream, the last of them with ``extra``, then ``[DONE]``."""
        asked = (self._job.request.body.get("stream_options") or {}).get("include_usage")
        tail = [event for event in self._reader.tail if asked or not _is_usage_only(event)]
        if not tail:
            tail = [b'data: {"object":"chat.completion.chunk","choices":[]}']
        if extra:
            tail[-1] = tail[-1].rstrip()[:-1] + b"," + extra + b"}"
        return b"\n\n".join([*tail, b"data: [DONE]\n\n"])

    def _look(self) -> None:
        """Look whether the provider has been silent for too long: one timer for a stream, not one for each event."""
        loop = asyncio.get_running_loop()
        left = self._transport.stall_seconds - max(0.0, loop.time() - self._reading_since)
        if left <= 0:
            self._stalled = True
            self._watch = None
            self._closing = loop.create_task(self._response.stream.aclose())  # type: ignore[union-attr]  # which ends the pending read
        else:
            self._watch = loop.call_later(left, self._look)


def _is_usage_only(event: bytes) -> bool:
    return b'"choices":[]' in event or b'"choices": []' in event


class BodyAnswer(Answer):
    """One JSON body."""

    def __init__(self, response: httpx.Response, lease: Lease, job: Job, transport: KeyRotatingTransport) -> None:
        super().__init__(response, lease, job, transport)
        self._body = b""
        self._reply = Reply()

    @property
    def usage(self) -> Usage:
        """What the provider told, or an estimate from the length of the body."""
        told = self._reply.counts()
        return told.as_usage() if told else self._estimate(self._reply.characters())

    async def begin(self) -> Failure | None:
        """Read the whole body."""
        parts = [chunk async for chunk in self._response.stream]  # type: ignore[union-attr]
        self._body = b"".join(parts).strip()
        try:
            self._reply = read_reply(self._body)
        except msgspec.DecodeError:
            return Failure("malformed")
        if self._reply.failed():
            return classify(200, self._body)
        return None if self._reply.choices else Failure("malformed")

    async def parts(self) -> AsyncIterator[bytes]:
        """Nothing: a body is given whole at the end."""
        return
        yield b""

    def ending(self, extra: bytes = b"") -> bytes:
        """The body, with ``extra``."""
        return self._body[:-1] + b"," + extra + b"}" if extra else self._body
