"""One contract for the windows of keys, in memory, Redis and a Redis Cluster; and what two gateways do together."""

from __future__ import annotations

import asyncio
import math
import random
import time
from contextlib import asynccontextmanager
from itertools import count

import pytest

from jupyter_server_ext.keys import Cost, MemoryWindows
from jupyter_server_ext.keys.windows.usage import Grant, Observation, Offer, Refused, WindowSpec

REQUESTS = WindowSpec("org//requests/0.4", "requests", 3, 0.4)
TOKENS = WindowSpec("org//tokens/60", "tokens", 1000, 60.0)
PLACES = WindowSpec("a//concurrent", "concurrent", 2)
ONE = Offer("a", (REQUESTS, TOKENS, PLACES))
COST = Cost(100, 50)
ENDED = COST._replace(known=True)
now = time.monotonic
_prefixes = count()


@pytest.fixture(params=["memory", "redis", "redis_cluster"])
def opened(request):
    """``async with opened() as windows``; a second time in one test opens another gateway's."""
    if request.param == "memory":
        windows = MemoryWindows(0.05)

        @asynccontextmanager
        async def opening():
            yield windows

        return opening
    from jupyter_server_ext.keys import RedisWindows
    from jupyter_server_ext.limits import RedisCounters
    from jupyter_server_ext.redis import RedisCoordinator

    url = f"{request.getfixturevalue(request.param).url}?prefix=w{next(_prefixes)}"

    @asynccontextmanager
    async def opening_redis():
        link = RedisCoordinator(url, timeout=5.0)
        RedisCounters(link)
        windows = RedisWindows(link, 0.05)
        try:
            yield windows
        finally:
            await link.close()

    return opening_redis


async def serve(windows, *offers, cost=COST, used=None, keep=False):
    """One request from lease to end; None when there is no room."""
    grant = await windows.take(offers or (ONE,), cost, now())
    if isinstance(grant, Refused):
        return None
    windows.sent(grant, now())
    windows.counted(grant, now())
    if not keep:
        windows.settle(grant, used or cost._replace(known=True), now())
    return grant


async def told(windows):
    """What was let go has reached the others."""
    await asyncio.sleep(0.1 if hasattr(windows, "_redis") else 0)


@pytest.mark.asyncio
async def test_all_windows_of_a_key_are_taken_or_none(opened):
    async with opened() as windows:
        held = [await serve(windows, keep=True) for _ in range(2)]
        refused = await windows.take((ONE,), COST, now())
        assert isinstance(refused, Refused)
        assert refused.key == "a"
        windows.settle(held[0], None, now())  # never sent after all: but it was, so it counts
        await told(windows)
        assert await serve(windows) is not None
        report = windows.report([REQUESTS, TOKENS, PLACES], now())
        assert (report[PLACES.id].used, report[REQUESTS.id].limit) == (1, 3)


@pytest.mark.asyncio
async def test_what_is_over_is_free_again(opened):
    async with opened() as windows:
        for _ in range(3):
            assert await serve(windows)
        refused = await windows.take((ONE,), COST, now())
        assert 0.1 < refused.wait <= 0.46
        await asyncio.sleep(refused.wait + 0.01)
        assert await serve(windows)


@pytest.mark.asyncio
async def test_a_place_is_free_when_the_provider_has_noticed_that_nobody_listens(opened):
    async with opened() as windows:
        offer = Offer("a", (PLACES,))
        held = [await serve(windows, offer, keep=True) for _ in range(2)]
        windows.settle(held[0], COST, now())  # no end was seen
        assert await serve(windows, offer) is None
        await asyncio.sleep(0.3)
        assert await serve(windows, offer) is not None


@pytest.mark.asyncio
async def test_what_was_never_sent_counts_nowhere(opened):
    async with opened() as windows:
        for _ in range(6):
            grant = await windows.take((ONE,), COST, now())
            windows.settle(grant, None, now())
        await told(windows)
        assert {row.used for row in windows.report([REQUESTS, TOKENS, PLACES], now()).values()} == {0}


@pytest.mark.asyncio
async def test_the_key_with_more_room_is_taken(opened):
    async with opened() as windows:
        other = Offer("b", (WindowSpec("b//requests/60", "requests", 100, 60.0),))
        assert (await serve(windows, ONE, other)).key == "b"


@pytest.mark.asyncio
async def test_tokens_are_corrected_by_what_was_used(opened):
    async with opened() as windows:
        offer = Offer("a", (TOKENS,))
        assert await serve(windows, offer, cost=Cost(100, 800), used=Cost(100, 20, known=True))
        assert await serve(windows, offer, cost=Cost(700, 100))
        assert await windows.take((offer,), Cost(300, 0), now()) != None  # noqa: E711
        assert isinstance(await windows.take((offer,), Cost(1001, 0), now()), Refused)
        assert math.isinf((await windows.take((offer,), Cost(1001, 0), now())).wait)


@pytest.mark.asyncio
async def test_two_gateways_share_windows_and_places(opened):
    async with opened() as here, opened() as there:
        first, second = await serve(here, keep=True), await serve(there, keep=True)
        assert await serve(here) is None
        assert await serve(there) is None
        here.settle(first, ENDED, now())
        await told(here)
        assert await serve(there) is not None
        assert await serve(here) is None  # three requests are in the window
        there.settle(second, COST, now())


@pytest.mark.asyncio
async def test_headers_that_tell_of_a_sibling_tell_nothing_new(opened):
    async with opened() as here, opened() as there:
        minute = WindowSpec("org//requests/60", "requests", 10, 60.0)
        offer = Offer("a", (minute,))
        for _ in range(4):
            await serve(there, offer)
        grant = await serve(here, offer)
        here.observe(grant, [Observation(minute.id, 10, 5)], now())
        assert here.report([minute], now())[minute.id].others == 0
        grant = await serve(here, offer)
        here.observe(grant, [Observation(minute.id, 10, 1)], now())  # somebody else has taken three
        assert here.report([minute], now())[minute.id].others == 3
        await told(here)
        assert await serve(there, offer) is not None
        assert await serve(there, offer) is None


class Provider:
    """Counts by the strictest reading of its limit: so many in any stretch of time."""

    def __init__(self, limit, seconds):
        self.limit, self.seconds, self.times = limit, seconds, []

    async def answer(self):
        await asyncio.sleep(random.uniform(0, 0.01))
        self.times.append(now())
        await asyncio.sleep(random.uniform(0, 0.01))

    def most(self):
        return max(sum(1 for other in self.times if at <= other < at + self.seconds) for at in self.times)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_two_gateways_together_never_overrun_a_key_and_use_it_well(opened):
    async with opened() as here, opened() as there:
        spec = WindowSpec("org//requests/0.3", "requests", 12, 0.3)
        provider, offer, end = Provider(12, 0.3), Offer("a", (spec,)), now() + 1.5

        async def work(windows):
            while now() < end:
                grant = await windows.take((offer,), COST, now())
                if not isinstance(grant, Grant):
                    await asyncio.sleep(min(grant.wait, 0.02))
                    continue
                windows.sent(grant, now())
                await provider.answer()
                windows.counted(grant, now())
                windows.settle(grant, COST, now())

        await asyncio.gather(*(work(windows) for windows in (here, there) for _ in range(8)))
        assert provider.most() <= 12
        assert len(provider.times) >= 36  # of 60 that a perfect sender with no way to go would send
