"""The gateway: what happens to a request, in order."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from jupyter_server_ext.errors import RsqlGatewayError, UnknownModel
from jupyter_server_ext.key_pool import KeyPool
from jupyter_server_ext.messages import Usage, Waiting
from jupyter_server_ext.queue import KeyQueue
from jupyter_server_ext.records import Records
from jupyter_server_ext.settings import KeySettings, Settings
from jupyter_server_ext.storage.memory import MemoryWindows
from jupyter_server_ext.upstream.presets import with_preset
from jupyter_server_ext.upstream.transport import Job, KeyRotatingTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

    import httpx

    from jupyter_server_ext.budgets import Hold
    from jupyter_server_ext.key_pool import Key
    from jupyter_server_ext.messages import Caller, ChatRequest, Entry
    from jupyter_server_ext.upstream.answers import Answer

_NEWS_SECONDS = 1.0  # between two comments to a stream that waits
_PATIENCE = 0.05  # before the first of them


class Taken(Protocol):
    """What one request has taken from its caller's limits."""

    def settle(self, usage: Usage) -> None:
        """It was answered, wholly or in part, and has used this."""


class Limits(Protocol):
    """The limits of callers; see ``limits.Limits``."""

    def take(self, caller: Caller, request: ChatRequest) -> contextlib.AbstractAsyncContextManager[Taken]:
        """Take what the request needs; leaving gives back what was not used."""


class Policy(Protocol):
    """The tenants' rules; see ``policy.Policy``."""

    def apply(self, caller: Caller, request: ChatRequest) -> ChatRequest:
        """The request as the caller's tenant allows it."""

    def weight(self, caller: Caller) -> float:
        """The caller's share in the queue."""

    def fallbacks(self, caller: Caller, model: str) -> tuple[str, ...]:
        """Models that may answer in place of ``model``."""


class Gateway:
    """Answers requests with the keys it has.

    Args:
        settings: What is configured. With no key, the model ``offline`` is served.
        limits: The limits of callers; none by default.
        policy: The rules of tenants; none by default.
        records: Ledger and budgets; by default nothing is kept and nothing held.
        transport: What carries requests to providers, in place of real connections; for tests.
        clock: Seconds, never going back.

    Example:
        ::

            gateway = Gateway(Settings())
            async with contextlib.aclosing(gateway.complete(Caller("ada"), ChatRequest("offline", body))) as answer:
                async for part in answer:
                    ...
    """

    def __init__(
        self,
        settings: Settings,
        *,
        limits: Limits | None = None,
        policy: Policy | None = None,
        records: Records | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._limits = limits or _NoLimits()
        self._policy = policy or _NoPolicy()
        self.records = records or Records(clock=clock)
        self._transport = transport
        self._offline: httpx.AsyncBaseTransport | None = None
        self._checking: asyncio.Task[None] | None = None
        keys = settings.keys or (KeySettings("offline"),)
        if any(key.provider != "offline" for key in keys):
            self._network()  # now, as the first request should not wait for it
        windows = MemoryWindows(settings.pool.jitter_ms / 1000, clock=clock)
        self.pool = KeyPool(
            [with_preset(key) for key in keys], windows=windows, clock=clock, at_once=settings.everyone.concurrency
        )
        self.queue = KeyQueue(self.pool, settings.pool)
        self.upstream = KeyRotatingTransport(self.queue, settings.pool, self._transport_of)

    async def complete(self, caller: Caller, request: ChatRequest) -> AsyncIterator[Waiting | bytes]:
        """Answer one request.

        1. *record*: the ledger's entry is begun
        2. *policy*: the tenant's models and system prompt
        3. *limits*: what the caller may still use; given back unless something was answered
        4. *hold*: the most it can cost is set aside in every budget
        5. *key*: waiting for one if need be, sending, trying others while nothing was answered
        6. *pass on*: events as they come
        7. *settle*: key, limits, budgets and entry get what was really used, however the answer ended
        8. *end*: when the entry is on disk, the last event with the member ``rsql``

        Close the generator (``contextlib.aclosing``) to stop: the provider's connection is closed at once.

        Yields:
            For a stream: news while it waits, then whole events. Otherwise: one JSON body.

        Raises:
            RsqlGatewayError: Before the first bytes. Afterwards a failure is an error event, and no ``[DONE]`` follows.
        """
        start = self._clock()
        self._check_now_and_then()
        record = self.records.open(caller, request)
        job = self._job(caller, request)
        outcome: dict[str, Any] = {"status": 499, "error": "caller_left"}  # unless it ends in another way
        try:
            job.request = request = self._admitted(caller, request)
            async with self._limits.take(caller, request) as taken, contextlib.AsyncExitStack() as stack:
                hold = await stack.enter_async_context(self._hold(job))
                answer: Answer | None = None
                async with contextlib.aclosing(self._answers(job)) as answers:
                    async for news in answers:
                        if isinstance(news, Waiting):
                            yield news
                        else:
                            answer = news
                assert answer is not None  # noqa: S101 - or an error was raised
                stack.push_async_callback(answer.aclose)
                stack.callback(lambda: self._settle(job, answer.usage, taken, hold, outcome))
                try:
                    async for part in answer.parts():
                        record.token()
                        yield part
                except RsqlGatewayError as error:
                    outcome |= {"status": error.status, "error": error.code}
                    yield b"data: " + msgspec.json.encode(error.as_json(request.request_id)) + b"\n\n"
                    return
                record.token()
                outcome |= {"status": 200, "error": ""}
                outcome |= self._used(job, answer.usage)
                await record.close(**outcome, **self._course_of(job))
                yield answer.ending(b'"rsql":' + msgspec.json.encode(self._metadata(job, start, outcome)))
        except RsqlGatewayError as error:
            outcome |= {"status": error.status, "error": error.code}
            raise
        finally:
            await record.close(**outcome, **self._course_of(job))

    def models(self) -> list[str]:
        """Models that can be asked for."""
        models = self.pool.models()
        default = self._settings.default_model
        return models if not default or default in models else [default, *models]

    def status(self) -> dict[str, Any]:
        """Keys by state, the queue and the expected wait, models, and what else health depends on."""
        keys = self.pool.status()
        return {
            "keys": keys["by_state"],
            "queue": {"length": len(self.queue), "expected_wait_seconds": self._expected_wait()},
            "models": self.models(),
            "checks": self.records.checks(),
            "pool": keys["list"],
        }

    async def check_keys(self) -> list[dict[str, Any]]:
        """Try each key with the cheapest call there is."""
        return [await self.upstream.check(key) for key in self.pool.all()]

    def reload(self, settings: Settings) -> None:
        """Have the keys of another configuration from now on; requests under way and waiting go on."""
        self._settings = settings
        self.pool.configure([with_preset(key) for key in settings.keys or (KeySettings("offline"),)])

    def restore(self, past: Callable[[float], Iterable[Entry]]) -> None:
        """Count what was used of each key before this process started.

        Args:
            past: The ledger's entries from a Unix time on, oldest first.
        """
        if longest := self.pool.longest_window():
            unix = time.time()
            self.pool.restore(past(unix - longest), unix)

    async def close(self) -> None:
        """Refuse what waits and close all connections."""
        if self._checking is not None:
            self._checking.cancel()
        await self.queue.close()
        await self.records.ledger.close()
        if self._transport is not None:
            await self._transport.aclose()

    def _check_now_and_then(self) -> None:
        """Start the task that looks after keys that rest or are retired, where that is configured."""
        if self._settings.pool.check_seconds > 0 and self._checking is None:
            self._checking = asyncio.create_task(self._check_for_ever(self._settings.pool.check_seconds))

    async def _check_for_ever(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            for key in self.pool.unwell():
                await self.upstream.check(key)

    def _admitted(self, caller: Caller, request: ChatRequest) -> ChatRequest:
        """The request as its tenant's policy has it, for a model that there is."""
        request = self._policy.apply(caller, request)
        if not self.pool.serves(request.model):
            raise UnknownModel(
                f"There is no model '{request.model}'. There are: {', '.join(self.models())}.", param="model"
            )
        return request

    def _hold(self, job: Job) -> contextlib.AbstractAsyncContextManager[Hold]:
        providers = {key.settings.provider for key in self.pool.all()}
        return self.records.hold(job.caller, job.request.model, providers, self.upstream.expected(job))

    def _settle(self, job: Job, usage: Usage, taken: Taken, hold: Hold, outcome: dict[str, Any]) -> None:
        """Put what was really used in place of what was expected."""
        outcome |= self._used(job, usage)
        taken.settle(usage)
        hold.settle(outcome["cost_nanodollars"])

    def _used(self, job: Job, usage: Usage) -> dict[str, Any]:
        """Usage and its cost, for the entry."""
        return {"usage": usage, "cost_nanodollars": self.records.cost(usage, job.trace.model, job.trace.provider)}

    def _course_of(self, job: Job) -> dict[str, Any]:
        """What the entry says of the request's way."""
        trace = job.trace
        upstream = self._clock() - trace.upstream_start if trace.attempts else 0.0
        return {
            "key": trace.key,
            "model": trace.model or job.request.model,
            "attempts": trace.attempts,
            "attempt": max(1, trace.attempts),
            "queue_seconds": trace.queue_seconds,
            "upstream_seconds": upstream,
        }

    def _job(self, caller: Caller, request: ChatRequest) -> Job:
        return Job(
            caller,
            request,
            deadline=self._clock() + self._settings.pool.queue_deadline_seconds,
            weight=self._policy.weight(caller),
            fallbacks=self._policy.fallbacks(caller, request.model),
        )

    async def _answers(self, job: Job) -> AsyncGenerator[Waiting | Answer]:
        """The answer, after news of waiting for it."""
        if not job.request.stream or await self.upstream.lease_now(job):
            yield await self.upstream.answer(job)
            return
        sending = asyncio.create_task(self.upstream.answer(job))
        try:
            await asyncio.wait({sending}, timeout=_PATIENCE)
            while not sending.done():
                if job.ticket is not None and job.ticket.got is not None:
                    yield self.queue.news(job.ticket)
                await asyncio.wait({sending}, timeout=_NEWS_SECONDS)
        except BaseException:  # the caller has left
            await _abandon(sending)
            raise
        yield sending.result()

    def _metadata(self, job: Job, start: float, outcome: dict[str, Any]) -> dict[str, Any]:
        trace = job.trace
        now = self._clock()
        return {
            "request_id": job.request.request_id,
            "duration_seconds": round(now - start, 4),
            "queue_seconds": round(trace.queue_seconds, 4),
            "upstream_seconds": round(now - trace.upstream_start, 4),
            "attempts": trace.attempts,
            "key": trace.key,
            "model": trace.model,
            "cached": False,
            "cost_usd": self.records.dollars(outcome["cost_nanodollars"], trace.model, trace.provider),
            "rate_limited": trace.rate_limited,
        }

    def _expected_wait(self) -> float | None:
        model = self._settings.default_model or next(iter(self.models()), "")
        return self.queue.expected_wait(model)

    def _network(self) -> httpx.AsyncBaseTransport:
        """The way to real providers; loading it is a third of the gateway's start, which the offline model saves."""
        if self._transport is None:
            from jupyter_server_ext.upstream.connection import ProviderTransport

            self._transport = ProviderTransport()
        return self._transport

    def _transport_of(self, key: Key) -> httpx.AsyncBaseTransport:
        if key.settings.provider != "offline":
            return self._network()
        if self._offline is None:
            from jupyter_server_ext.upstream.offline import OfflineTransport

            self._offline = OfflineTransport()
        return self._offline


async def _abandon(sending: asyncio.Task[Answer]) -> None:
    """Stop a request whose caller has left, and close an answer that came too late to be given."""
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError, RsqlGatewayError):
        answer = await sending
        await answer.aclose()


@dataclasses.dataclass
class _NothingTaken:
    def settle(self, usage: Usage) -> None:
        """Nothing to correct."""


class _NoLimits:
    @contextlib.asynccontextmanager
    async def take(self, caller: Caller, request: ChatRequest) -> AsyncIterator[Taken]:  # noqa: ARG002
        """Nothing is limited."""
        yield _NothingTaken()


class _NoPolicy:
    def apply(self, caller: Caller, request: ChatRequest) -> ChatRequest:  # noqa: ARG002
        """Everything is allowed."""
        return request

    def weight(self, caller: Caller) -> float:  # noqa: ARG002
        """All are equal."""
        return 1.0

    def fallbacks(self, caller: Caller, model: str) -> tuple[str, ...]:  # noqa: ARG002
        """None."""
        return ()
