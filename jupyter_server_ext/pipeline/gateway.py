"""The gateway: the ten steps of a request, in order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from jupyter_server_ext.config import OFFLINE, CallerLimits, KeySettings, Settings, with_preset
from jupyter_server_ext.errors import ConfigError, ModelNotServed, RsqlGatewayError
from jupyter_server_ext.identity import Policy
from jupyter_server_ext.keys import KeyPool, KeyQueue, MemoryWindows
from jupyter_server_ext.limits import Limits, MemoryCounters
from jupyter_server_ext.messages import INLINE, CacheResult, Caller, ChatRequest, QueueNews, TokenUsage
from jupyter_server_ext.pipeline.cache import AnswerCache, Cached, SingleFlight, cache_key, ended_whole
from jupyter_server_ext.pipeline.idempotency import IdempotencyStore
from jupyter_server_ext.pipeline.money import NANODOLLARS, Hold
from jupyter_server_ext.pipeline.request_context import Accounting, AnswerEnd, RequestContext, UpstreamResult, replayed
from jupyter_server_ext.upstream import Job, KeyRotatingTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from jupyter_server_ext.http_client import httpx
    from jupyter_server_ext.keys import Key
    from jupyter_server_ext.limits import Counters
    from jupyter_server_ext.pipeline.shared import RedisLocks
    from jupyter_server_ext.redis import RedisCoordinator

_NEWS_SECONDS = 1.0  # between two comments to a stream that waits
_PATIENCE = 0.05  # before the first of them
_REACH_SECONDS = 2.0  # that a start waits for Redis

Piece = QueueNews | bytes | AnswerEnd  # what an answer consists of for one caller


class Gateway:
    """Answers requests with the keys it has.

    Example:
        ::

            gateway = Gateway(Settings())
            async with aclosing(gateway.complete(Caller("ada"), ChatRequest("offline", body))) as answer:
                async for part in answer:
                    ...
    """

    def __init__(
        self,
        settings: Settings,  # the configuration. With no key, the model ``offline`` is served
        *,
        limits: Limits | None = None,  # the limits of callers; none by default
        policy: Policy | None = None,  # the rules of tenants; none by default
        accounting: Accounting | None = None,  # ledger and budgets; by default nothing is kept and nothing held
        cache: AnswerCache | None = None,  # answers given before; by default none are kept
        transport: httpx.AsyncBaseTransport | None = None,  # in place of real connections to providers; for tests
        state: State | None = None,  # where limits are counted; this process's memory by default
        clock: Callable[[], float] = time.monotonic,  # seconds, never going back
    ) -> None:
        self._settings = settings
        self.configuration = ""  # why the configuration's file, as it is now, was not taken; empty where it was
        self._clock = clock
        self._limits = limits or Limits(Settings(everyone=CallerLimits()))
        self._policy = policy or Policy(Settings())
        self.accounting = accounting or Accounting()
        self.cache = AnswerCache(0, 0.0, clock=clock) if cache is None else cache  # an empty one is false
        self._flights: SingleFlight[QueueNews | bytes | UpstreamResult] = SingleFlight(
            lambda piece: isinstance(piece, QueueNews)
        )
        self._network = transport  # in place of real connections to providers
        self._offline: httpx.AsyncBaseTransport | None = None
        self._checking: asyncio.Task[None] | None = None
        keys = [with_preset(key) for key in settings.keys or (KeySettings("offline"),)]
        jitter = settings.pool.jitter_ms / 1000
        self._state = state or State(MemoryCounters(clock=clock), MemoryWindows(jitter, clock=clock))
        self.pool = KeyPool(keys, windows=self._state.windows, clock=clock, at_once=settings.everyone.concurrency)
        for key in self.pool.keys:
            if key.settings.provider != "offline":
                self._transport_of(key)  # now, as the first request should not wait for it
        if self._state.link is not None:
            self._state.link.on_change.append(self.pool.changed)
        self._idempotency = IdempotencyStore(self.accounting.ledger, self._state.locks)
        self.queue = KeyQueue(self.pool, settings.pool)
        self.upstream = KeyRotatingTransport(self.queue, settings.pool, self._transport_of)
        # The model of fixed rules beside those of keys: for whoever names it, and never in place of another.
        rules = KeyPool([with_preset(KeySettings(OFFLINE))], windows=MemoryWindows(jitter, clock=clock), clock=clock)
        self._rules_queue = KeyQueue(rules, settings.pool)
        self._rules = KeyRotatingTransport(self._rules_queue, settings.pool, self._transport_of)

    async def complete(self, caller: Caller, request: ChatRequest) -> AsyncIterator[QueueNews | bytes]:
        """Answer one request, in ten steps, each a method of this name.

        1. *record*: the ledger's entry is opened; it is written however the request ends
        2. *repeat*: the same Idempotency-Key gets the same answer, and nothing of 3, 4 and 6 to 9 happens
        3. *apply policy*: the tenant's models and system prompt
        4. *limit*: what the caller may still use; given back unless something was answered
        5. *look up*: the cache's answer, a part in an identical request in flight, or a provider's:
        6. *hold*: the most it can cost is set aside in every budget
        7. *send*: with a leased key, after waiting for one if need be, and with others while nothing was answered
        8. *pass on*: events as they come
        9. *settle*: key, budgets and entry get the true usage, however the answer ended
        10. *end*: when the entry is on disk, the last event with the member ``rsql``

        Close the generator (``contextlib.aclosing``) to stop: the provider's connection is closed at once, unless
        others listen to the same answer.

        Yields:
            For a stream: news while it waits, then whole events. Otherwise: one JSON body.

        Raises:
            RsqlGatewayError: Before the first bytes. Afterwards a failure is an error event, and no ``[DONE]`` follows.
        """
        async with self._record(caller, request) as context, self._repeat(context) as earlier:
            if earlier is None:
                self._apply_policy(context)
            async with self._limit(context) if earlier is None else nullcontext():
                try:
                    async with aclosing(await self._look_up(context, earlier)) as pieces:
                        async for piece in pieces:
                            if isinstance(piece, bytes):
                                await context.pass_on()
                            yield await self._end(context, piece) if isinstance(piece, AnswerEnd) else piece
                except RsqlGatewayError as error:
                    if not context.has_begun:
                        raise
                    context.failed(error)
                    yield error.as_event(request.request_id)

    # The ten steps ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _record(self, caller: Caller, request: ChatRequest) -> AsyncIterator[RequestContext]:
        if self._settings.pool.check_seconds > 0 and self._checking is None:
            self._checking = asyncio.create_task(_check_for_ever(self, self._settings.pool.check_seconds))
        rules = self._policy.of(caller)
        deadline = self._clock() + self._settings.pool.queue_deadline_seconds
        fallbacks = self._policy.fallbacks(caller, request.model) if rules.fallbacks else ()
        share = self._settings.inline_completion.provider_share if request.task == INLINE else None
        job = Job(caller, request, deadline, weight=rules.weight, share=share, fallbacks=fallbacks)
        context = RequestContext(job, rules, self.accounting.open(caller, request), self.accounting, self._clock)
        try:
            yield context
        except RsqlGatewayError as error:
            context.failed(error)
            error.cost_nanodollars = context.cost + context.wasted
            raise
        except asyncio.CancelledError as cancelled:
            if cancelled.args and isinstance(cancelled.args[0], RsqlGatewayError):  # the gateway ends, not the caller
                context.failed(cancelled.args[0])
            raise
        finally:
            # Listeners of a shared answer may go on; the last of them writes the entry.
            context.has_left = True
            if not context.in_flight:  # else it is written when the last listener has left
                await context.write()

    def _repeat(self, context: RequestContext) -> AbstractAsyncContextManager[bytes | None]:
        if not context.request.repeat_key:
            return nullcontext()
        return self._idempotency.turn(context.job.caller.name, context.request)

    def _apply_policy(self, context: RequestContext) -> None:
        caller, asked = context.job.caller, context.request.model
        with contextlib.suppress(ModelNotServed):
            admitted = self._policy.apply(caller, context.request)
            if self.pool.keys.serves(admitted.model) or self._upstream_of(admitted.model) is self._rules:
                context.admit(admitted)
                return
        named = context.rules.models
        own = [name for name in named or self.models() if self.pool.keys.serves(name)]
        words = f"There is no model '{asked}' for you. There are: {', '.join(own)}."
        if named and not own:
            words = f"Your group may use {', '.join(named)}, and none of that is served here. Tell your administrator."
        raise ModelNotServed(words, param="model")

    @asynccontextmanager
    async def _limit(self, context: RequestContext) -> AsyncIterator[None]:
        async with self._limits.take(context.job.caller, context.request) as taken:
            try:
                yield
            finally:
                if (used := context.used()) is not None:
                    taken.settle(used)

    async def _look_up(self, context: RequestContext, earlier: bytes | None) -> AsyncGenerator[Piece]:
        request = context.request
        if earlier is not None:
            return _again(request, Cached(earlier), "repeat")
        use = self._cache_use(context)
        if not use:
            return self._listen(context, self._call(context), "")
        tenant = context.job.caller.tenant
        if request.weighed is None:
            key = cache_key(request, tenant)
        else:  # hashing much lets others go on
            key = await asyncio.to_thread(cache_key, request, tenant)
        if use == "bypass":
            return self._listen(context, self._call(context, key), "bypass")
        if (found := await self.cache.find(key, request.max_age)) is not None:
            return _again(request, found, "hit")
        flight = f"{key} whole" if request.whole else key  # a live one may break
        if self._flights.is_under_way(flight):
            # Of one that joins a flight nothing is reserved: the first pays.
            context.begin(1, TokenUsage(), 0)
        return self._listen(context, self._flights.share(flight, lambda: self._call(context, key)), "shared")

    def _hold(self, context: RequestContext) -> AbstractAsyncContextManager[Hold]:
        job, upstream = context.job, self._upstream_of(context.job.request.model)
        providers = {OFFLINE} if upstream is self._rules else self.pool.keys.providers
        context.expected = upstream.expected(job)
        return self.accounting.hold(job.caller, job.request.model, providers, context.expected)

    async def _send(self, context: RequestContext, hold: Hold) -> AsyncGenerator[QueueNews]:
        """Yields news until the answer is there."""
        job, started = context.job, partial(context.begin_attempt, hold)
        upstream = self._upstream_of(job.request.model)
        if not job.request.stream or (not job.request.whole and await upstream.lease_now(job)):
            context.answer = await upstream.answer(job, started)
            return
        sending = asyncio.create_task(upstream.answer(job, started))
        try:
            # An answer that comes soon needs no news before it.
            await asyncio.wait({sending}, timeout=_PATIENCE)
            while not sending.done():
                if job.queued is not None and job.queued.granted is not None:
                    yield self.queue.news(job.queued)
                elif job.request.whole and job.trace.attempts:
                    yield QueueNews(0, 0.0)
                await asyncio.wait({sending}, timeout=_NEWS_SECONDS)
        except BaseException:  # the caller has left
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, RsqlGatewayError):
                await (await sending).aclose()  # an answer that came too late to be given
            raise
        context.answer = sending.result()

    def _upstream_of(self, model: str) -> KeyRotatingTransport:
        by_rules = model == OFFLINE and self._settings.offline and model not in self.pool.keys.models()
        return self._rules if by_rules else self.upstream

    async def _pass_on(self, context: RequestContext, parts: list[bytes] | None) -> AsyncGenerator[bytes]:
        # Yields parts, which are kept in ``parts`` too, unless that is None.
        assert context.answer is not None  # noqa: S101 - it was sent
        async for part in context.answer.parts():
            if parts is not None:
                parts.append(part)
            yield part

    @asynccontextmanager
    async def _settle(self, context: RequestContext, hold: Hold) -> AsyncIterator[None]:
        try:
            yield
        finally:
            try:
                if context.answer is not None:
                    await context.answer.aclose()
            finally:
                context.bill()
                hold.settle(context.cost + context.wasted)

    async def _end(self, context: RequestContext, end: AnswerEnd) -> bytes:
        context.status, context.error, context.cache, context.saved = 200, "", end.cache, end.saved
        context.first_token()
        if end.cache:
            self.cache.count(end.cache, end.saved)
        request = context.request
        repeatable = request.repeat_key and end.cache != "repeat"
        if (repeatable or context.keeps_answer) and (body := end.body()):
            context.answered(body)
            if repeatable:
                await self._idempotency.keep(context.job.caller.name, request, body)
        await context.write()
        return end.last(b'"rsql":' + msgspec.json.encode(context.metadata()))

    # Between them ----------------------------------------------------------------------------------------------------

    def _cache_use(self, context: RequestContext) -> Literal["", "use", "bypass"]:
        """What the cache has to do with a request, by the tenant's policy and the caller's header."""
        asked, own = context.request.cache, context.rules.cache
        allowed = self._policy.caches if own is None else own
        if not (asked or allowed) or asked == "never" or allowed is False or not self.cache.keeps:
            return ""
        if asked:
            return "use" if asked == "use" else "bypass" if allowed else ""
        return "use"

    async def _call(self, context: RequestContext, key: str = "") -> AsyncGenerator[QueueNews | bytes | UpstreamResult]:
        """Steps 6 to 9: the answer of a provider, for all its listeners; ``key`` is the cache's, empty for none."""
        context.in_flight = True
        context.job.deadline = self._clock() + self._settings.pool.queue_deadline_seconds
        parts: list[bytes] = []  # kept only for those who may ask the same
        try:
            async with self._hold(context) as hold, self._settle(context, hold):
                async with aclosing(self._send(context, hold)) as waiting:
                    async for news in waiting:
                        yield news
                keeps = bool(key or context.request.repeat_key or context.keeps_answer)
                async with aclosing(self._pass_on(context, parts if keeps else None)) as on:
                    async for part in on:
                        yield part
            result = UpstreamResult(context, parts)
            if key and context.job.trace.model == context.request.model and (body := result.body) and ended_whole(body):
                await self.cache.keep(key, Cached(body, context.cost))
            context.in_flight = False
            yield result
        finally:
            context.in_flight = False
            if context.has_left:
                await context.write()

    async def _listen(
        self, context: RequestContext, pieces: AsyncGenerator[QueueNews | bytes | UpstreamResult], result: CacheResult
    ) -> AsyncGenerator[Piece]:
        """A provider's answer as this caller gets it, be it to the caller's own request or to an identical one."""
        streamed = False
        async with aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, UpstreamResult):
                    if result == "shared" and piece.context is context:
                        result = "miss"
                    for part in piece.end_for(context.request, result, streamed=streamed):
                        yield part
                elif isinstance(piece, QueueNews) or context.request.stream:
                    streamed = streamed or isinstance(piece, bytes)
                    yield piece

    # State and life --------------------------------------------------------------------------------------------------

    def models(self) -> list[str]:
        """Models that can be asked for."""
        models = self.pool.keys.models()
        default = self._settings.default_model
        return models if not default or default in models else [default, *models]

    def offline_models(self) -> list[str]:
        """Models that the embedded model answers: those of its keys, or the one beside them."""
        if self._upstream_of(OFFLINE) is self._rules:
            return [OFFLINE]
        keys = [key.settings for key in self.pool.keys if key.settings.provider == "offline"]
        return list(dict.fromkeys(model for key in keys for model in key.models))

    def most(self, caller: Caller, request: ChatRequest) -> int | None:
        """The most that an answer may cost, in nano-dollars; None where a price is not known.

        A request that limits its answer (``max_tokens``) can cost no more; of another it is what was seen until now.
        """
        with contextlib.suppress(ModelNotServed):
            request = self._policy.apply(caller, request)
        upstream = self._upstream_of(request.model)
        if upstream is self._rules:
            return 0
        prices = self.accounting.prices
        models = [request.model, *self._policy.fallbacks(caller, request.model)]
        places = {(model, key.settings.provider) for model in models for key in self.pool.keys.meant_for(model)}
        if not all(prices.known(*place) for place in places):
            return None
        expected = upstream.expected(Job(caller, request, 0.0))
        sent = len(msgspec.json.encode(request.body)) if request.weighed is None else request.weighed.size
        usage = TokenUsage(
            max(expected.prompt_tokens, sent), expected.completion_tokens
        )  # no token is shorter than a byte
        return max((prices.cost(usage, *place) for place in places), default=0)

    def status(self) -> dict[str, Any]:
        """Keys by state and those that providers accept no longer, the queue, models, what else health depends on."""
        keys, models = self.pool.status(), self.models()
        expected_wait = self.queue.expected_wait(self._settings.default_model or next(iter(models), ""))
        return {
            "keys": keys["by_state"],
            "keys_lost": sum(bool(key.retired) and not key.retired_by_hand for key in self.pool.keys),
            "queue": {"length": len(self.queue), "expected_wait_seconds": expected_wait},
            "models": models,
            "checks": ({"ledger": self.accounting.ledger.health} if self.accounting.ledger.keeps else {})
            | ({"state": self._state.link.health} if self._state.link is not None else {})
            | ({"configuration": "degraded"} if self.configuration else {}),
            "configuration": self.configuration,
            "cache": self.cache.figures() | {"saved_usd": self.cache.saved_nanodollars / NANODOLLARS},
            "pool": keys["list"],
        }

    async def check_keys(self, key: str | None = None) -> list[dict[str, Any]]:
        """Try each key, or the one with this public id, with the cheapest call there is.

        Raises:
            BadRequest: There is no such key.
        """
        wanted = self.pool.keys if key is None else [self.pool.keys.get(key)]
        return await asyncio.gather(*(self.upstream.check(one) for one in wanted))

    def reload(self, settings: Settings) -> None:
        """Have the keys of another configuration from now on; requests under way and waiting go on.

        Raises:
            ConfigError: It has none, where there are some.
        """
        check_keys_are_left(settings, provider_keys(self._settings))
        self._settings = settings
        self.pool.keys.configure([with_preset(key) for key in settings.keys or (KeySettings("offline"),)])

    async def start(self) -> None:
        """Reach the other gateways before the first request, which would go by this gateway's share alone."""
        if self._state.link is not None:
            await self._state.link.start(_REACH_SECONDS)

    async def close(self) -> None:
        """Refuse what waits and close all connections."""
        if self._checking is not None:
            self._checking.cancel()
        await asyncio.gather(self.queue.close(), self._rules_queue.close())
        await self.accounting.ledger.close()
        await self._state.counters.close()
        await self.cache.close()
        if self._network is not None:
            await self._network.aclose()

    def _transport_of(self, key: Key) -> httpx.AsyncBaseTransport:
        if key.settings.provider == "offline":
            if self._offline is None:
                from jupyter_server_ext.offline import OfflineTransport

                self._offline = OfflineTransport()
            return self._offline
        if self._network is None:
            # Loading it is a third of the gateway's start, which the offline model saves.
            from jupyter_server_ext.upstream import ProviderTransport

            self._network = ProviderTransport()
        return self._network


def provider_keys(settings: Settings) -> int:
    """How many keys of providers a configuration has; ``offline`` needs none.

    Example:
        >>> provider_keys(Settings(keys=(KeySettings("offline"), KeySettings("groq"))))
        1
    """
    return sum(key.provider != OFFLINE for key in settings.keys)


def check_keys_are_left(settings: Settings, before: int) -> None:
    """Take no configuration without keys in place of one with so many: a file may be empty by an accident.

    Raises:
        ConfigError: It has none.

    Example:
        >>> check_keys_are_left(Settings(), 0)
    """
    if before and not provider_keys(settings):
        had = "the gateway has one" if before == 1 else f"the gateway has {before:,}"
        words = f"There are no [[keys]] of providers any more, and {had}."
        raise ConfigError(f"{words} To take all away, stop the gateway and start it.")


async def _check_for_ever(gateway: Gateway, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await asyncio.gather(*(gateway.upstream.check(key) for key in gateway.pool.keys.unhealthy()))


async def _again(request: ChatRequest, answer: Cached, result: CacheResult) -> AsyncGenerator[Piece]:
    for piece in replayed(request, answer, result):
        yield piece


@dataclass(frozen=True)
class State:
    """What counts: of callers, tenants and everyone (``counters``), and of keys (``windows``)."""

    counters: Counters  # limits and budgets
    windows: MemoryWindows  # what providers allow
    link: RedisCoordinator | None = None  # the way to Redis, where it is kept there
    locks: RedisLocks | None = None  # which gateway answers what was sent to several; None where there is one
