"""The way to the providers: an httpx transport that leases a key for each request and tries another when one fails.

Rotation sits below the client, so nothing above knows about keys::

    client = httpx.AsyncClient(transport=KeyRotatingTransport(queue, settings, transport=httpx.MockTransport(answer)))
    await client.post("http://rsql/chat/completions", json={"model": "m", "messages": [...]})

A request is tried again only while nothing of an answer was passed on. After that it ends as it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from jupyter_server_ext.errors import BadRequest, NoCapacity, RsqlGatewayError, UnknownModel
from jupyter_server_ext.messages import Caller, ChatRequest, Usage
from jupyter_server_ext.queue import Ticket

from .answers import Answer, BodyAnswer, StreamAnswer
from .expected import Expectation
from .failures import Failure
from .openai import provider_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.key_pool import Key, Lease
    from jupyter_server_ext.queue import KeyQueue
    from jupyter_server_ext.settings import PoolSettings

    from .openai import OpenAIProvider

_LONGEST_BODY = 64_000_000
_AN_HOUR = 3600.0


@dataclass(slots=True)
class Trace:
    """What happened to a request on its way, for the reply and the ledger."""

    key: str = ""
    model: str = ""
    attempts: int = 0
    queue_seconds: float = 0.0
    upstream_seconds: float = 0.0
    first_token_seconds: float | None = None
    rate_limited: bool = False


@dataclass(slots=True)
class Job:
    """A request on its way to a provider.

    Args:
        caller: Who asks.
        request: What is asked.
        deadline: Until when it may wait for a key, in the pool's clock.
        weight: The share of its tenant in the queue.
        fallbacks: Models that may answer in its place.
        size: Bytes of its body.
    """

    caller: Caller
    request: ChatRequest
    deadline: float
    weight: float = 1.0
    fallbacks: tuple[str, ...] = ()
    size: int = 0
    trace: Trace = field(default_factory=Trace)
    ticket: Ticket | None = None  # while it waits


class KeyRotatingTransport(httpx.AsyncBaseTransport):
    """Sends each request with a leased key.

    Args:
        queue: Where requests wait for keys.
        settings: Attempts and timeouts.
        transport_of: What carries the requests of a key; one transport may serve all.
        expectation: What answers are expected to take.

    Example:
        ::

            transport = KeyRotatingTransport(KeyQueue(pool, settings), settings, lambda key: httpx.MockTransport(reply))
            httpx.AsyncClient(transport=transport)
    """

    def __init__(
        self,
        queue: KeyQueue,
        settings: PoolSettings,
        transport_of: Callable[[Key], httpx.AsyncBaseTransport],
        expectation: Expectation | None = None,
    ) -> None:
        self._queue = queue
        self._pool = queue.pool
        self._settings = settings
        self._transport_of = transport_of
        self._providers: dict[str, OpenAIProvider] = {}
        self.stall_seconds = settings.stall_timeout_seconds
        self.expectation = expectation or Expectation()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one chat completion; ``request.extensions["rsql"]`` may hold its ``Job``."""
        job = request.extensions.get("rsql") or self._job_of(request)
        answer = await self.answer(job)
        return httpx.Response(200, headers=answer.headers, stream=answer, request=request)

    async def answer(self, job: Job) -> Answer:
        """The answer to a request, from the first key and model that give one.

        Raises:
            RsqlGatewayError: None did; the error says why the last one failed.
        """
        left = [job.request.model, *job.fallbacks]
        tries: dict[str, int] = {}
        avoid: frozenset[str] = frozenset()
        error: RsqlGatewayError | None = None
        while left:
            model = left[0] if len(left) == 1 else self._soonest(job, left, avoid)
            try:
                lease = await self._lease(job, model, avoid)
            except (NoCapacity, UnknownModel) as none:
                error = error or none
                left.remove(model)
                continue
            outcome = await self._attempt(job, lease)
            if isinstance(outcome, Answer):
                return outcome
            error = outcome.as_error()
            tries[model] = tries.get(model, 0) + 1
            self._suffer(lease, outcome)
            what = outcome.consequence.request
            if what == "stop":
                break
            if what == "elsewhere":
                avoid |= self._pool.at_address(lease.key.settings.base_url)
            if what == "other_model" or tries[model] >= self._settings.attempts:
                left.remove(model)
        assert error is not None  # noqa: S101 - left was not empty
        raise error

    async def check(self, key: Key) -> dict[str, Any]:
        """Try a key with the cheapest call there is, the list of models; revive it if it rests, retire it if it is refused."""
        provider = self._provider(key)
        start = self._pool.clock()
        try:
            async with asyncio.timeout(self._settings.first_byte_timeout_seconds):
                response = await self._transport_of(key).handle_async_request(provider.request(key, "/models", b""))
                text = await _read(response)
                await response.aclose()
        except (httpx.HTTPError, TimeoutError):
            return {"key": key.id, "ok": False, "reason": "connection"}
        seconds = round(self._pool.clock() - start, 4)
        if response.status_code >= 400:
            failure = provider.failure(response.status_code, response.headers, text)
            if failure.consequence.key == "retire":
                self._pool.retire(key.id, failure.kind)
            return {"key": key.id, "ok": False, "reason": failure.kind, "seconds": seconds}
        if not key.paused:
            self._pool.resume(key.id)
        return {"key": key.id, "ok": True, "seconds": seconds}

    def ticket(self, job: Job, model: str, avoid: frozenset[str] = frozenset()) -> Ticket:
        """The job's place in the queue for a model."""
        return Ticket(
            job.caller,
            model,
            self.expectation.cost(job.caller.name, job.request),
            deadline=job.deadline,
            weight=job.weight,
            interactive=job.request.interactive,
            size=job.size,
            avoid=avoid,
        )

    async def _lease(self, job: Job, model: str, avoid: frozenset[str]) -> Lease:
        start = self._pool.clock()
        job.ticket = self.ticket(job, model, avoid)
        try:
            return await self._queue.lease(job.ticket)
        finally:
            job.ticket = None
            job.trace.queue_seconds += self._pool.clock() - start

    def _soonest(self, job: Job, models: list[str], avoid: frozenset[str]) -> str:
        """The first model that can start soon; if none can, the one that can start first."""
        waits = []
        for model in models:
            wait = self._queue.eta(self.ticket(job, model, avoid))
            if wait <= self._settings.fallback_after_seconds:
                return model
            waits.append((wait, model))
        return min(waits, key=lambda row: row[0])[1]

    async def _attempt(self, job: Job, lease: Lease) -> Answer | Failure:
        """Try once, with this key."""
        job.trace.attempts += 1
        job.trace.key = lease.key.id
        job.trace.model = lease.model
        provider = self._provider(lease.key)
        stream = job.request.stream
        body = provider.body(job.request.body, lease.model, stream=stream)
        request = provider.request(lease.key, "/chat/completions", body)
        patience = self._first_byte(job, lease.model) if stream else self._settings.answer_timeout_seconds
        request.extensions["timeout"] = {"connect": 10.0, "read": None, "write": 30.0, "pool": None}
        response: httpx.Response | None = None
        failure: Failure | None = None
        answer: Answer | None = None
        try:
            async with asyncio.timeout(patience):
                response = await self._transport_of(lease.key).handle_async_request(request)
                lease.counted(provider.rates(response.headers))
                if response.status_code >= 400:
                    text = await _read(response)
                    failure = provider.failure(response.status_code, response.headers, text)
                else:
                    make = StreamAnswer if stream else BodyAnswer
                    answer = make(response, lease, job, self)
                    failure = await answer.begin()
        except TimeoutError:
            kind = "timeout" if response is None else "silence"
            failure = Failure(kind)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            lease.unused()
            failure = Failure("connection")
        except httpx.HTTPError:
            failure = Failure("connection")
        except BaseException:
            lease.settle(None)
            if response is not None:
                await response.stream.aclose()
            raise
        if failure is None and answer is not None:
            self._pool.answered(lease)
            return answer
        if response is not None:
            with contextlib.suppress(httpx.HTTPError):
                await response.stream.aclose()
        lease.settle(Usage() if response is not None and response.status_code >= 400 else None)
        return failure or Failure("malformed")

    def _suffer(self, lease: Lease, failure: Failure) -> None:
        """What the failure means for the key."""
        what = failure.consequence.key
        if what == "rest":
            self._pool.rest(lease, None, failure.kind)
        elif what == "limit":
            self._pool.rest(lease, failure.retry_after, failure.kind, group=True)
        elif what == "until_reset":
            self._pool.rest(lease, failure.retry_after or _AN_HOUR, failure.kind, group=True)
        elif what == "not_this_model":
            self._pool.refuse_model(lease, _AN_HOUR)
        elif what == "retire":
            self._pool.retire(lease.key.id, failure.kind)

    def _first_byte(self, job: Job, model: str) -> float:
        elsewhere = job.fallbacks and model != job.fallbacks[-1]
        settings = self._settings
        return settings.fallback_first_byte_seconds if elsewhere else settings.first_byte_timeout_seconds

    def _provider(self, key: Key) -> OpenAIProvider:
        name = key.settings.provider
        provider = self._providers.get(name)
        if provider is None:
            provider = self._providers[name] = provider_of(name)
        return provider

    def _job_of(self, request: httpx.Request) -> Job:
        """A job for a request that comes from a plain client."""
        try:
            body: Any = msgspec.json.decode(request.content)
            model = body["model"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise BadRequest("The body must be a JSON object with a 'model'.", param="model") from error
        chat = ChatRequest(model, body, stream=bool(body.get("stream")))
        deadline = self._pool.clock() + self._settings.queue_deadline_seconds
        return Job(Caller("client"), chat, deadline, size=len(request.content))


async def _read(response: httpx.Response) -> bytes:
    """The whole body, if it is not absurdly long."""
    parts, size = [], 0
    async for chunk in response.stream:  # type: ignore[union-attr]
        parts.append(chunk)
        size += len(chunk)
        if size > _LONGEST_BODY:
            break
    return b"".join(parts)
