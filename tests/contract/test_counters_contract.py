"""One contract for the counters of limits and budgets, in memory, in Redis and in a Redis Cluster."""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count

import pytest

from jupyter_server_ext.config import CallerLimits, Settings
from jupyter_server_ext.errors import LimitExceeded
from jupyter_server_ext.limits import Counter, Demand, Limits, MemoryCounters, Shortfall
from jupyter_server_ext.limits.counters import Charge
from jupyter_server_ext.limits.limits import Need
from jupyter_server_ext.messages import Caller, ChatRequest, TokenUsage
from jupyter_server_ext.pipeline import Budgets

MINUTE = Counter("caller:ada/requests/minute", 3, 60.0)
TOKENS = Counter("caller:ada/tokens/minute", 100, 60.0)
SOON = Counter("caller:ada/requests/soon", 2, 0.2)
PLACES = Counter("caller:ada/concurrent", 2)
SHOWN = Counter("caller:ada/requests/day", None, 86_400.0)
ADA = Caller("ada")
REQUEST = ChatRequest("m", {"messages": []})
_prefixes = count()


@pytest.fixture(params=["memory", "redis", "redis_cluster"])
def opened(request):
    """``async with opened() as counters``; a second time in one test, another gateway's of the same data."""
    if request.param == "memory":
        counters = MemoryCounters()

        @asynccontextmanager
        async def opening(**_options):
            yield counters

        return opening
    from jupyter_server_ext.limits import RedisCounters
    from jupyter_server_ext.redis import RedisCoordinator

    url = f"{request.getfixturevalue(request.param).url}?prefix=t{next(_prefixes)}"

    @asynccontextmanager
    async def opening_redis(**options):
        counters = RedisCounters(RedisCoordinator(url, timeout=5.0), **options)  # the machine of the tests may be busy
        try:
            yield counters
        finally:
            await counters.close()

    return opening_redis


async def take(counters, *wants):
    return await counters.take(
        [Demand(*want) if isinstance(want, tuple) and not isinstance(want, Counter) else want for want in wants]
    )


async def told(counters):
    """What was changed has reached the others."""
    await asyncio.sleep(0.05 if hasattr(counters, "_redis") else 0)


def used(counters, *which):
    return [counters.use(counter).used for counter in which]


@pytest.mark.asyncio
async def test_all_is_taken_or_nothing(opened):
    async with opened() as counters:
        parts = await take(counters, (MINUTE, 3), (TOKENS, 40))
        assert [part.amount for part in parts] == [3, 40]
        [short] = await take(counters, (TOKENS, 40), (MINUTE, 1))
        assert isinstance(short, Shortfall)
        assert short.counter == MINUTE
        assert 59 < short.wait <= 60
        assert used(counters, MINUTE, TOKENS) == [3, 40]


@pytest.mark.asyncio
async def test_the_wait_is_that_for_as_many_as_are_lacking(opened):
    many = Counter("caller:ada/tokens/hour", 40, 3600.0)
    async with opened() as counters:
        taken = [moment((await take(counters, (many, 1)))[0]) for _ in range(40)]
        for lacking in (1, 17, 40):
            [short] = await take(counters, (many, lacking))
            now = taken[lacking - 1] + 3600.0 - short.wait  # as the first so many have left by then
            assert taken[-1] - 0.1 <= now <= taken[-1] + 5.0
        assert (await take(counters, (many, 41)))[0].wait == math.inf


@pytest.mark.asyncio
async def test_every_meter_without_room_is_told(opened):
    async with opened() as counters:
        await take(counters, (MINUTE, 3), (TOKENS, 100), (PLACES, 2))
        shorts = await take(counters, (MINUTE, 1), (TOKENS, 1), (PLACES, 1), (SHOWN, 1))
        assert [short.counter for short in shorts] == [MINUTE, TOKENS, PLACES]
        assert shorts[2].wait == 0  # nobody knows


@pytest.mark.asyncio
async def test_what_counts_leaves_after_its_time_and_not_before(opened):
    async with opened() as counters:
        await take(counters, (SOON, 1))
        await asyncio.sleep(0.1)
        await take(counters, (SOON, 1))
        [short] = await take(counters, (SOON, 1))
        assert 0.05 < short.wait <= 0.1
        await asyncio.sleep(short.wait + 0.001)
        [part] = await take(counters, (SOON, 1))
        assert isinstance(part, Charge)
        assert isinstance((await take(counters, (SOON, 1)))[0], Shortfall)


@pytest.mark.asyncio
async def test_a_correction_counts_at_once_and_stays_where_it_was(opened):
    async with opened() as counters:
        [part] = await take(counters, (TOKENS, 90))
        counters.change(part, 20)
        await told(counters)
        [more] = await take(counters, (TOKENS, 80))
        assert isinstance(more, Charge)
        counters.change(more, 90)  # more than was thought
        await told(counters)
        assert used(counters, TOKENS) == [110]
        assert (await take(counters, (TOKENS, 1)))[0].wait <= 60


@pytest.mark.asyncio
async def test_what_is_given_back_is_free(opened):
    async with opened() as counters:
        parts = await take(counters, (MINUTE, 3), (PLACES, 2))
        for part in parts:
            counters.change(part, 0)
            counters.change(part, 0)
        await told(counters)
        assert used(counters, MINUTE, PLACES) == [0, 0]
        assert isinstance((await take(counters, (MINUTE, 3), (PLACES, 2)))[0], Charge)


@pytest.mark.asyncio
async def test_a_correction_after_its_time_changes_nothing(opened):
    async with opened() as counters:
        [part] = await take(counters, (SOON, 1))
        await asyncio.sleep(0.21)
        counters.change(part, 100)
        await told(counters)
        assert used(counters, SOON) == [0]
        assert isinstance((await take(counters, (SOON, 2)))[0], Charge)


@pytest.mark.asyncio
async def test_nothing_is_allowed_by_zero_and_all_without_a_limit(opened):
    async with opened() as counters:
        [short] = await take(counters, (MINUTE._replace(limit=0), 1))
        assert short.wait == math.inf
        for _ in range(20):
            assert isinstance((await take(counters, (SHOWN, 1), (PLACES._replace(limit=None), 1)))[0], Charge)
        assert used(counters, SHOWN) == [20]


@pytest.mark.asyncio
async def test_a_limit_that_is_changed_holds_at_once(opened):
    async with opened() as counters:
        await take(counters, (MINUTE, 3))
        assert isinstance((await take(counters, (MINUTE._replace(limit=4), 1)))[0], Charge)
        assert isinstance((await take(counters, (MINUTE._replace(limit=4), 1)))[0], Shortfall)


@pytest.mark.asyncio
async def test_a_period_is_forgotten_for_all_accounts(opened):
    async with opened() as counters:
        open_parts = await take(counters, (SHOWN, 5), (MINUTE, 1), (Counter("everyone/tokens/day", 9, 86_400.0), 9))
        assert await counters.clear("day") == 2
        counters.change(open_parts[0], 2)
        await told(counters)
        assert used(counters, SHOWN, MINUTE) == [0, 1]
        assert await counters.clear("day") == 0


@pytest.mark.asyncio
async def test_an_account_is_forgotten_with_its_name(opened):
    name = "a*[d]?\\a"
    own, seen, places, money = (
        Counter(f"caller:{name}/{unit}", limit, seconds)
        for unit, limit, seconds in (
            *(("requests/minute", 3, 60.0), ("requests/day", None, 86_400.0), ("concurrent", 2, 0.0)),
            ("usd/2026-11", 9, 99_999.0),
        )
    )
    other = Counter(f"caller:{name}/b/requests/minute", 3, 60.0)
    async with opened() as here, opened() as there:
        parts = await take(here, (own, 2), (seen, 2), (places, 1), (money, 9), (other, 1), (MINUTE, 1))
        await take(there, (own, 1), (money, 0), (MINUTE, 1))
        assert await here.forget(f"caller:{name}")
        here.change(parts[0], 5)
        await told(here)
        for counters in (here, there):
            await counters.read([own, seen, places, money, other, MINUTE])
            assert used(counters, own, seen, money, other, places, MINUTE) == [0, 0, 0, 1, 1, 2]
            assert counters.health == "ok"
        here.change(parts[2], 0)
        await told(here)
        if here is not there:
            start = f"{here._redis.prefix}m:"
            kept = {name.decode() async for name in here._redis._client.scan_iter(f"{start}*")}
            assert kept == {f"{start}{counter.id}{end}" for counter in (MINUTE, other) for end in ("", ":t")}


@pytest.mark.asyncio
async def test_two_gateways_share_what_they_take_and_read(opened):
    async with opened() as here, opened() as there:
        parts = await take(here, (MINUTE, 2), (PLACES, 1))
        await take(there, (MINUTE, 1), (PLACES, 1))
        assert isinstance((await take(here, (MINUTE, 1)))[0], Shortfall)
        assert isinstance((await take(there, (PLACES, 1)))[0], Shortfall)
        await there.read([MINUTE, PLACES])
        assert used(there, MINUTE, PLACES) == [3, 2]
        for part in parts:
            here.change(part, 0)
        await told(here)
        assert isinstance((await take(there, (MINUTE, 2), (PLACES, 1)))[0], Charge)


@pytest.mark.asyncio
async def test_two_hundred_at_once_pass_exactly_as_many_as_the_limit(opened):
    async with opened() as here, opened() as there:
        for limit in (10, 60, 150):
            counter = Counter(f"caller:{limit}/requests/minute", limit, 60.0)
            wide = Counter(f"caller:{limit}/requests/day", limit + 1, 86_400.0)
            got = await asyncio.gather(
                *(take(random.choice([here, there]), (counter, 1), (wide, 1)) for _ in range(200))
            )
            assert sum(isinstance(one[0], Charge) for one in got) == limit
            await here.read([counter, wide])
            assert used(here, counter, wide) == [limit, limit]


def moment(part):
    """When something was taken, in seconds of whoever counts."""
    return microseconds(part) / 1e6


def microseconds(part):
    """When something was taken, in microseconds of whoever counts; whole ones in Redis."""
    return part.place if isinstance(part.place, int) else part.place[1].at * 1e6


@pytest.mark.slow
@pytest.mark.asyncio
async def test_minute_after_minute_each_limit_is_used_and_never_overrun(opened):
    spans = {10: 0.1, 25: 0.4, 50: 1.6}  # as 10 a minute, 60 an hour and 500 a day, of which each binds at times
    counters = [Counter(f"caller:ada/requests/{limit}", limit, seconds) for limit, seconds in spans.items()]
    async with opened() as here, opened() as there:
        taken, end = [], asyncio.get_running_loop().time() + 2.5
        while asyncio.get_running_loop().time() < end:
            asked = (take(random.choice([here, there]), *((counter, 1) for counter in counters)) for _ in range(20))
            taken += [microseconds(one[0]) for one in await asyncio.gather(*asked) if isinstance(one[0], Charge)]
            await asyncio.sleep(0.02)
        taken.sort()
        for limit, seconds in spans.items():
            assert max(sum(at <= other < at + seconds * 1e6 for other in taken) for at in taken) == limit
        assert 50 + 25 <= len(taken) <= 100  # the first sixteen tenths, and what followed


@pytest.mark.asyncio
async def test_who_leaves_while_asking_takes_nothing(opened):
    async with opened() as counters:
        asking = [asyncio.ensure_future(take(counters, (MINUTE, 1), (PLACES, 1))) for _ in range(2)]
        await asyncio.sleep(0)
        for one in asking:
            one.cancel()
        done = await asyncio.gather(*asking, return_exceptions=True)
        await told(counters)
        await counters.read([MINUTE, PLACES])
        kept = sum(isinstance(one, list) for one in done)
        assert used(counters, MINUTE, PLACES) == [kept, kept]


@pytest.mark.asyncio
async def test_limits_are_the_same_over_two_gateways(opened):
    own = CallerLimits(requests_per_minute=4, tokens_per_day=1000, concurrency=3)
    async with opened() as first, opened() as second:
        here, there = (Limits(Settings(caller=own), counters=counters) for counters in (first, second))
        async with here.take(ADA, REQUEST, Need(10, 10)) as one, there.take(ADA, REQUEST, Need(10, 10)) as two:
            two.settle(TokenUsage(5, 5))
            one.settle(TokenUsage(100, 100))
        await told(first)
        await there.refresh(ADA)
        stats = there.stats(ADA)
        assert stats["limits"]["minute"] == {"current": 2, "limit": 4, "remaining": 2}
        assert stats["tokens"]["day"]["current"] == 210
        assert stats["concurrency"]["current"] == 0
        assert there.headers(ADA)["x-ratelimit-remaining-requests"] == "2"
        assert await there.reset_daily() == 1
        await told(first)
        await here.refresh(ADA)
        assert here.stats(ADA)["tokens"]["day"]["current"] == 0


@pytest.mark.asyncio
async def test_completions_are_counted_apart_over_two_gateways(opened):
    own = CallerLimits(requests_per_day=4, tokens_per_day=4_000, concurrency=4)
    completion = ChatRequest("m", {"messages": [], "max_tokens": 10}, task="inline_completion")
    async with opened() as first, opened() as second:
        both = [Limits(Settings(caller=own), counters=counters) for counters in (first, second)]

        async def served(request):
            count = 0
            for number in range(10):
                with suppress(LimitExceeded):
                    async with both[number % 2].take(ADA, request) as taken:
                        taken.settle(TokenUsage(5, 5))
                    count += 1
            return count

        assert await served(completion) == 2
        for limits in both:
            await limits.refresh(ADA)
            assert limits.stats(ADA)["limits"]["day"] == {"current": 0, "limit": 4, "remaining": 4}
        assert await served(REQUEST) == 4
        assert await both[0].forget(ADA.name)
        await told(first)
        assert await served(completion) == 2


@pytest.mark.asyncio
async def test_a_budget_of_a_dollar_over_two_gateways_pays_for_twenty_of_a_hundred(opened):
    settings = Settings(caller=CallerLimits(usd_per_day=1.0))
    async with opened() as first, opened() as second, AsyncExitStack() as under_way:
        budgets = [Budgets(settings, clock=lambda: 1_795_000_000.0, counters=counters) for counters in (first, second)]
        passed = 0

        async def ask(number):
            nonlocal passed
            hold = await under_way.enter_async_context(budgets[number % 2].hold(ADA, 50_000_000))
            hold.settle(50_000_000)
            passed += 1

        done = await asyncio.gather(*(ask(number) for number in range(100)), return_exceptions=True)
        assert passed == 20
        assert sum(isinstance(one, LimitExceeded) for one in done) == 80
        await budgets[0].refresh(ADA)
        assert budgets[0].spent(ADA, "day").remaining == 0


@pytest.mark.asyncio
async def test_what_the_ledger_remembers_counts_once_however_many_start(opened):
    settings = Settings(caller=CallerLimits(usd_per_day=1.0))
    async with opened() as first, opened() as second:
        for counters in {id(first): first, id(second): second}.values():
            budgets = Budgets(settings, clock=lambda: 1_795_000_000.0, counters=counters)
            budgets.restore({("ada", ""): {"2026-11-18": 7}})
            assert budgets.month[:8] + "18" == "2026-11-18"
            async with budgets.hold(ADA, 1) as hold:
                hold.settle(1)
            await told(counters)
        await budgets.refresh(ADA)
        assert budgets.spent(ADA, "day").amount == 7 + (1 if first is second else 2)


@pytest.mark.asyncio
async def test_what_was_used_before_counts_until_its_time_is_over(opened):
    async with opened() as counters:
        soon = SOON._replace(seconds=2.0)
        counters.restore(soon, 1, age=1.2)
        counters.restore(soon, 1, age=0.6)
        counters.restore(TOKENS, 40, age=30.0)
        [short] = await take(counters, (soon, 1))
        assert 0 < short.wait <= 0.8
        await asyncio.sleep(short.wait + 0.01)
        assert isinstance((await take(counters, (soon, 1), (TOKENS, 60)))[0], Charge)
        assert 0 < (await take(counters, (TOKENS, 1)))[0].wait <= 30
