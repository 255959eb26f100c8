"""The gateway: what happens to a request, in order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack, aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from jupyter_server_ext.config import KeySettings, Settings, with_preset
from jupyter_server_ext.errors import RsqlGatewayError, UnknownModel
from jupyter_server_ext.keys import KeyPool, KeyQueue, MemoryWindows
from jupyter_server_ext.limits import MemoryCounters
from jupyter_server_ext.messages import Usage, Waiting
from jupyter_server_ext.pipeline.accounting import Accounting
from jupyter_server_ext.pipeline.cache import AnswerCache, Cached, SingleFlight, cache_key
from jupyter_server_ext.pipeline.idempotency import IdempotencyStore
from jupyter_server_ext.pipeline.ports import NoLimits, NoPolicy
from jupyter_server_ext.pipeline.prices import NANODOLLARS
from jupyter_server_ext.pipeline.request_context import End, RequestContext, UpstreamResult, heard, replayed
from jupyter_server_ext.pipeline.state import State
from jupyter_server_ext.upstream import Job, KeyRotatingTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    import httpx

    from jupyter_server_ext.keys import Key
    from jupyter_server_ext.messages import CacheResult, Caller, ChatRequest
    from jupyter_server_ext.pipeline.budgets import Hold
    from jupyter_server_ext.pipeline.idempotency import Turn
    from jupyter_server_ext.pipeline.ports import Limits, Policy
    from jupyter_server_ext.upstream import Answer

_NEWS_SECONDS = 1.0  # between two comments to a stream that waits
_PATIENCE = 0.05  # before the first of them


class Gateway:
    """Answers requests with the keys it has.

    Args:
        settings: What is configured. With no key, the model ``offline`` is served.
        limits: The limits of callers; none by default.
        policy: The rules of tenants; none by default.
        records: Ledger and budgets; by default nothing is kept and nothing held.
        cache: Answers given before; by default none are kept.
        transport: What carries requests to providers, in place of real connections; for tests.
        state: Where limits are counted; this process's memory by default.
        clock: Seconds, never going back.

    Example:
        ::

            gateway = Gateway(Settings())
            async with aclosing(gateway.complete(Caller("ada"), ChatRequest("offline", body))) as answer:
                async for part in answer:
                    ...
    """

    def __init__(
        self,
        settings: Settings,
        *,
        limits: Limits | None = None,
        policy: Policy | None = None,
        records: Accounting | None = None,
        cache: AnswerCache | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        state: State | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._limits = limits or NoLimits()
        self._policy = policy or NoPolicy()
        self.records = records or Accounting(clock=clock)
        self.cache = AnswerCache(0, 0.0, clock=clock) if cache is None else cache  # an empty one is false
        self._flights: SingleFlight[Waiting | bytes | UpstreamResult] = SingleFlight(
            lambda piece: isinstance(piece, Waiting)
        )
        self._transport = transport
        self._offline: httpx.AsyncBaseTransport | None = None
        self._checking: asyncio.Task[None] | None = None
        keys = settings.keys or (KeySettings("offline"),)
        if any(key.provider != "offline" for key in keys):
            self._network()  # now, as the first request should not wait for it
        jitter = settings.pool.jitter_ms / 1000
        self._state = state or State(MemoryCounters(clock=clock), MemoryWindows(jitter, clock=clock))
        self.pool = KeyPool(
            [with_preset(key) for key in keys],
            windows=self._state.windows,
            clock=clock,
            at_once=settings.everyone.concurrency,
        )
        self._state.on_change(self.pool.made_room)
        self.repeats = IdempotencyStore(self.records.ledger, self._state.claims)
        self.queue = KeyQueue(self.pool, settings.pool)
        self.upstream = KeyRotatingTransport(self.queue, settings.pool, self._transport_of)

    async def complete(self, caller: Caller, request: ChatRequest) -> AsyncIterator[Waiting | bytes]:
        """Answer one request.

        1. *record*: the ledger's entry is opened
        2. *repeat*: the same Idempotency-Key gets the same answer, and nothing below happens
        3. *policy*: the tenant's models and system prompt
        4. *limits*: what the caller may still use; given back unless something was answered
        5. *cache*: an answer there is, or a part in an identical request under way
        6. *hold*: the most it can cost is set aside in every budget
        7. *key*: waiting for one if need be, sending, trying others while nothing was answered
        8. *pass on*: events as they come
        9. *settle*: key, limits, budgets and entry get what was really used, however the answer ended
        10. *end*: when the entry is on disk, the last event with the member ``rsql``

        Close the generator (``contextlib.aclosing``) to stop: the provider's connection is closed at once, unless
        others listen to the same answer.

        Yields:
            For a stream: news while it waits, then whole events. Otherwise: one JSON body.

        Raises:
            RsqlGatewayError: Before the first bytes. Afterwards a failure is an error event, and no ``[DONE]`` follows.
        """
        self._check_now_and_then()
        record = self.records.open(caller, request)
        visit = RequestContext(self._job(caller, request), record, self._clock())
        try:
            async with self.repeats.turn(caller.name, request) as turn, aclosing(self._given(visit, turn)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, End):
                        yield await self._end(visit, piece)
                    else:
                        yield piece
        except RsqlGatewayError as error:
            visit.failed(error)
            raise
        except asyncio.CancelledError as cancelled:
            if cancelled.args and isinstance(cancelled.args[0], RsqlGatewayError):  # the caller has not left
                visit.failed(cancelled.args[0])
            raise
        finally:
            await self._close(visit)

    def models(self) -> list[str]:
        """Models that can be asked for."""
        models = self.pool.models()
        default = self._settings.default_model
        return models if not default or default in models else [default, *models]

    def offline_models(self) -> list[str]:
        """Models that the embedded model answers."""
        keys = [key.settings for key in self.pool.all() if key.settings.provider == "offline"]
        return list(dict.fromkeys(model for key in keys for model in key.models))

    def status(self) -> dict[str, Any]:
        """Keys by state and those that providers accept no longer, the queue, models, what else health depends on."""
        keys = self.pool.status()
        return {
            "keys": keys["by_state"],
            "keys_lost": sum(bool(key.retired) and not key.retired_by_hand for key in self.pool.all()),
            "queue": {"length": len(self.queue), "expected_wait_seconds": self._expected_wait()},
            "models": self.models(),
            "checks": self.records.checks() | self._state.checks(),
            "cache": self.cache.figures() | {"saved_usd": self.cache.saved_nanodollars / NANODOLLARS},
            "pool": keys["list"],
        }

    async def check_keys(self) -> list[dict[str, Any]]:
        """Try each key with the cheapest call there is."""
        return await asyncio.gather(*(self.upstream.check(key) for key in self.pool.all()))

    def reload(self, settings: Settings) -> None:
        """Have the keys of another configuration from now on; requests under way and waiting go on."""
        self._settings = settings
        self.pool.configure([with_preset(key) for key in settings.keys or (KeySettings("offline"),)])

    async def start(self) -> None:
        """Reach the other gateways before the first request; it would do so itself, and wait for it."""
        await self._state.start()

    async def close(self) -> None:
        """Refuse what waits and close all connections."""
        if self._checking is not None:
            self._checking.cancel()
        await self.queue.close()
        await self.records.ledger.close()
        await self._state.close()
        await self.cache.close()
        if self._transport is not None:
            await self._transport.aclose()

    def _check_now_and_then(self) -> None:
        """Start the task that looks after keys that rest or are retired, where that is configured."""
        if self._settings.pool.check_seconds > 0 and self._checking is None:
            self._checking = asyncio.create_task(self._check_for_ever(self._settings.pool.check_seconds))

    async def _check_for_ever(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            await asyncio.gather(*(self.upstream.check(key) for key in self.pool.unwell()))

    async def _given(self, visit: RequestContext, turn: Turn) -> AsyncGenerator[Waiting | bytes | End]:
        """What the caller is given: an answer again, or one within its limits."""
        if turn.kept is not None:
            for part in replayed(visit.request, Cached(turn.kept), "repeat"):
                yield part
            return
        caller = visit.job.caller
        visit.job.request = self._admitted(caller, visit.request)
        if self._policy.keeps_prompts(caller):
            visit.record.keep_prompt(visit.request)
        async with self._limits.take(caller, visit.request) as taken:
            try:
                async with aclosing(await self._source(visit)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, bytes):
                            await visit.told()
                        yield piece
            except RsqlGatewayError as error:
                if not visit.has_told:
                    raise
                visit.failed(error)
                yield b"data: " + msgspec.json.encode(error.as_json(visit.request.request_id)) + b"\n\n"
            finally:
                if (used := visit.used(self.upstream)) is not None:
                    taken.settle(used)

    async def _source(self, visit: RequestContext) -> AsyncGenerator[Waiting | bytes | End]:
        """What gives the answer: the cache, an identical request under way, or a provider."""
        request = visit.request
        caching = self._caching(visit)
        key = await self._cache_key(visit) if caching else ""
        if caching != "use":
            return self._heard(visit, self._called(visit, key), "bypass" if caching else "")
        if (found := await self.cache.find(key, request.max_age)) is not None:
            return _again(request, found)
        flight = f"{key} whole" if request.whole else key  # a live one may break
        if self._flights.is_under_way(flight):
            visit.record.begin(1, Usage(), 0, "", request.model)
        return self._heard(visit, self._flights.share(flight, lambda: self._called(visit, key)), "shared")

    async def _cache_key(self, visit: RequestContext) -> str:
        request, tenant = visit.request, visit.job.caller.tenant
        if request.weighed is None:
            return cache_key(request, tenant)
        return await asyncio.to_thread(cache_key, request, tenant)  # hashing much lets others go on

    def _caching(self, visit: RequestContext) -> Literal["", "use", "bypass"]:
        """What the cache has to do with a request, by what the policy allows and the caller wishes."""
        allowed = self._policy.caches(visit.job.caller)
        if not self.cache.keeps or allowed is False or visit.request.cache == "never":
            return ""
        if visit.request.cache:
            return "use" if visit.request.cache == "use" else "bypass" if allowed else ""
        return "use" if allowed else ""

    async def _heard(
        self, visit: RequestContext, pieces: AsyncGenerator[Waiting | bytes | UpstreamResult], result: CacheResult
    ) -> AsyncGenerator[Waiting | bytes | End]:
        """A provider's answer as this caller gets it, be it the caller's own or somebody else's."""
        streamed = False
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, UpstreamResult):
                    if result == "shared" and piece.visit is visit:
                        result = "miss"
                    for part in heard(visit.request, piece, result, streamed=streamed):
                        yield part
                elif isinstance(piece, Waiting) or visit.request.stream:
                    streamed = streamed or isinstance(piece, bytes)
                    yield piece

    async def _called(self, visit: RequestContext, key: str) -> AsyncGenerator[Waiting | bytes | UpstreamResult]:
        """The answer of a provider, for whoever listens; what it took is settled however it ends."""
        job, said = visit.job, []
        visit.airborne = True
        job.deadline = self._clock() + self._settings.pool.queue_deadline_seconds
        try:
            async with self._hold(job) as hold, AsyncExitStack() as stack:
                stack.callback(lambda: hold.settle(visit.cost + visit.wasted))
                stack.callback(lambda: self._bill_waste(visit))
                async with aclosing(self._answers(visit, hold)) as answers:
                    async for news in answers:
                        if isinstance(news, Waiting):
                            yield news
                        else:
                            answer = news
                stack.callback(lambda: self._bill(visit, answer.usage))
                stack.push_async_callback(answer.aclose)
                async for part in answer.parts():
                    if key or job.request.repeat_key:
                        said.append(part)
                    yield part
                self._bill(visit, answer.usage)
                landed = UpstreamResult(visit, answer, said)
                if key and job.trace.model == job.request.model and (body := landed.body):
                    await self.cache.keep(key, Cached(body, visit.cost))
                visit.airborne = False
                yield landed
        finally:
            visit.airborne = False
            if visit.has_left:
                await self._write(visit)

    def _started(self, visit: RequestContext, hold: Hold) -> None:
        """A try begins: its entry is begun, and that of the failed one before it is complete."""
        trace, record = visit.job.trace, visit.record
        for failed in trace.failed[-1:]:
            cost = self.records.cost(failed.usage, failed.model, failed.provider)
            visit.wasted += cost
            record.tried(
                failed.number,
                failed.seconds,
                status=failed.status,
                error=failed.reason,
                key=failed.key,
                model=failed.model,
                usage=failed.usage,
                cost_nanodollars=cost,
            )
        record.begin(trace.attempts, self.upstream.expected(visit.job), hold.amount, trace.key, trace.model)

    async def _end(self, visit: RequestContext, end: End) -> bytes:
        """The last part, when all that will be needed is on disk."""
        visit.status, visit.error, visit.cache, visit.saved = 200, "", end.cache, end.saved
        visit.record.token()
        self.cache.count(end.cache, end.saved)
        request = visit.request
        if request.repeat_key and end.cache != "repeat" and (body := end.body()):
            await self.repeats.keep(visit.job.caller.name, request, body)
        await self._write(visit)
        return end.last(b'"rsql":' + msgspec.json.encode(self._metadata(visit)))

    async def _close(self, visit: RequestContext) -> None:
        """The caller is served, refused or gone; what others still listen to is written down when that is over."""
        visit.has_left = True
        if not visit.airborne:
            await self._write(visit)

    async def _write(self, visit: RequestContext) -> None:
        if visit.record.closed:
            return
        outcome = {"status": visit.status, "error": visit.error, "cache": visit.cache, "saved_nanodollars": visit.saved}
        if visit.billed is not None:
            outcome |= {"usage": visit.billed, "cost_nanodollars": visit.cost}
        await visit.record.close(**outcome, **self._course_of(visit.job))

    def _bill(self, visit: RequestContext, usage: Usage) -> None:
        """Note what was really used."""
        trace = visit.job.trace
        visit.billed, visit.cost = usage, self.records.cost(usage, trace.model, trace.provider)

    def _bill_waste(self, visit: RequestContext) -> None:
        """Note what was written for a caller who left before any of it was passed on, or could have none of it."""
        if visit.billed is None and visit.job.trace.wasted.total_tokens:
            self._bill(visit, visit.job.trace.wasted)

    def _admitted(self, caller: Caller, request: ChatRequest) -> ChatRequest:
        """The request as its tenant's policy has it, for a model that there is."""
        with contextlib.suppress(UnknownModel):
            admitted = self._policy.apply(caller, request)
            if self.pool.serves(admitted.model):
                return admitted
        raise UnknownModel(self.words_for_no_model(caller, request.model), param="model")

    def words_for_no_model(self, caller: Caller, model: str) -> str:
        """What is said of a model that is not there for this caller."""
        named = self._policy.named(caller)
        own = [name for name in named or self.models() if self.pool.serves(name)]
        if named and not own:
            return f"Your group may use {', '.join(named)}, and none of that is served here. Tell your administrator."
        return f"There is no model '{model}' for you. There are: {', '.join(own)}."

    def _hold(self, job: Job) -> contextlib.AbstractAsyncContextManager[Hold]:
        providers = {key.settings.provider for key in self.pool.all()}
        return self.records.hold(job.caller, job.request.model, providers, self.upstream.expected(job))

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

    async def _answers(self, visit: RequestContext, hold: Hold) -> AsyncGenerator[Waiting | Answer]:
        """The answer, after news of waiting for it."""
        job, started = visit.job, partial(self._started, visit, hold)
        if not job.request.stream or (not job.request.whole and await self.upstream.lease_now(job)):
            yield await self.upstream.answer(job, started)
            return
        sending = asyncio.create_task(self.upstream.answer(job, started))
        try:
            await asyncio.wait({sending}, timeout=_PATIENCE)
            while not sending.done():
                if (news := self._news(job)) is not None:
                    yield news
                await asyncio.wait({sending}, timeout=_NEWS_SECONDS)
        except BaseException:  # the caller has left
            await _abandon(sending)
            raise
        yield sending.result()

    def _news(self, job: Job) -> Waiting | None:
        """What there is to say while a stream has not begun."""
        if job.ticket is not None and job.ticket.got is not None:
            return self.queue.news(job.ticket)
        return Waiting(0, 0.0) if job.request.whole and job.trace.attempts else None

    def _metadata(self, visit: RequestContext) -> dict[str, Any]:
        trace = visit.job.trace
        now = self._clock()
        cached = visit.cache in {"hit", "shared", "repeat"}
        return {
            "request_id": visit.request.request_id,
            "duration_seconds": round(now - visit.start, 4),
            "queue_seconds": round(trace.queue_seconds, 4),
            "upstream_seconds": round(now - trace.upstream_start, 4) if trace.attempts else 0.0,
            "attempts": trace.attempts,
            "key": trace.key,
            "model": trace.model or visit.request.model,
            "cached": cached,
            "cost_usd": 0.0 if cached else self.records.dollars(visit.cost, trace.model, trace.provider),
            "rate_limited": trace.rate_limited,
        } | ({"repeated": True} if visit.cache == "repeat" else {})

    def _expected_wait(self) -> float | None:
        model = self._settings.default_model or next(iter(self.models()), "")
        return self.queue.expected_wait(model)

    def _network(self) -> httpx.AsyncBaseTransport:
        """The way to real providers; loading it is a third of the gateway's start, which the offline model saves."""
        if self._transport is None:
            from jupyter_server_ext.upstream import ProviderTransport

            self._transport = ProviderTransport()
        return self._transport

    def _transport_of(self, key: Key) -> httpx.AsyncBaseTransport:
        if key.settings.provider != "offline":
            return self._network()
        if self._offline is None:
            from jupyter_server_ext.offline import OfflineTransport

            self._offline = OfflineTransport()
        return self._offline


async def _again(request: ChatRequest, found: Cached) -> AsyncGenerator[Waiting | bytes | End]:
    for piece in replayed(request, found, "hit"):
        yield piece


async def _abandon(sending: asyncio.Task[Answer]) -> None:
    """Stop a request whose caller has left, and close an answer that came too late to be given."""
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError, RsqlGatewayError):
        answer = await sending
        await answer.aclose()
