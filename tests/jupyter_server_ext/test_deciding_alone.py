"""Gateways that start, end and lose their Redis in any order refuse nobody while nearly all of a budget is left."""

from __future__ import annotations

import asyncio
import random

import pytest
import redis_model
import virtual_time

from jupyter_server_ext.keys import Cost, RedisWindows
from jupyter_server_ext.keys.windows.usage import Grant, Offer, WindowSpec
from jupyter_server_ext.limits import Counter, Demand, RedisCounters
from jupyter_server_ext.limits.counters import Charge
from jupyter_server_ext.redis import RedisCoordinator

SPANS = (60.0, 3_600.0, 86_400.0, 2 * 86_400.0, 33 * 86_400.0)
LIMIT = 3_000  # of which each of three gateways has a thousand, and fewer than a hundred are asked for
GATEWAYS = 3


class Gateway:
    """The counting of one gateway, which may be started and closed."""

    def __init__(self, server, clock):
        self.link = RedisCoordinator("redis://nowhere", expected=GATEWAYS)
        self.link._connection, self.link._client = redis_model.Connection(server), redis_model.Client(server)
        self.link._clock, self.link._ahead = clock, 0.0
        self.counters = RedisCounters(self.link)

    async def ask(self, counters):
        """What came of a request that is answered a moment later for less than was held."""
        got = await self.counters.take([Demand(counter, 2) for counter in counters])
        await asyncio.sleep(0.3)
        for charge in got:
            if isinstance(charge, Charge):
                self.counters.change(charge, 1)
        return got


async def in_any_order(seed, loop):
    """What was refused while gateways came and went, and what Redis knows at the end of what was answered."""
    draw, server = random.Random(seed), redis_model.Server(loop.time)
    counters = [Counter(f"everyone/usd/{span:.0f}", LIMIT, span, min(3_600.0, span / 60)) for span in SPANS]
    made, asked = [Gateway(server, loop.time) for _ in range(GATEWAYS)], []
    for _ in range(40):
        match draw.choice(("ask", "ask", "ask", "restart", "away", "back", "slow", "quick", "wait")):
            case "ask":
                asked += [asyncio.create_task(draw.choice(made).ask(counters)) for _ in range(draw.randrange(1, 4))]
            case "restart":
                number = draw.randrange(GATEWAYS)
                asked.append(asyncio.create_task(made[number].ask(counters)))  # one that comes at the last moment
                closing = asyncio.create_task(made[number].counters.close())
                await asyncio.sleep(draw.choice((0, 0.002)))
                asked.append(asyncio.create_task(made[number].ask(counters)))  # and one that comes after it
                await closing
                made[number] = Gateway(server, loop.time)
                asked.append(asyncio.create_task(made[number].ask(counters)))
            case "away" | "back" as state:
                server.is_up = state == "back"
            case "slow" | "quick" as state:
                server.delay = draw.choice((0.02, 0.06, 0.5, 3.0)) if state == "slow" else 0.001
            case "wait":
                await asyncio.sleep(draw.choice((0.001, 0.05, 0.4, 7.0)))
    server.is_up, server.delay = True, 0.001
    results = [await asyncio.wait_for(one, 30) for one in asked]
    for one in made:
        await one.counters.close()
    return [got for got in results if not all(isinstance(part, Charge) for part in got)]


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, 200, 50))
def test_nobody_is_refused_while_nearly_all_is_left(start):
    for seed in range(start, start + 50):
        assert virtual_time.run(lambda loop, seed=seed: in_any_order(seed, loop)) == [], seed


@pytest.mark.parametrize("seconds", SPANS)
def test_a_key_is_leased_before_redis_is_reached(seconds):
    """Also on a machine that has just been started, whose clock begins at zero."""

    async def scenario(loop):
        server = redis_model.Server(loop.time)
        server.delay = 1.0
        gateway = Gateway(server, loop.time)
        windows = RedisWindows(gateway.link)
        windows._clock = loop.time
        offer = Offer("a", (WindowSpec("a//requests", "requests", 9, seconds),))
        got = [await windows.take([offer], Cost(), loop.time()) for _ in range(4)]
        assert [isinstance(one, Grant) for one in got] == [True] * 3 + [False]  # a third of nine
        await gateway.counters.close()

    virtual_time.run(scenario)


def test_all_that_start_without_redis_together_take_no_more_than_there_is():
    async def scenario(loop):
        server = redis_model.Server(loop.time)
        server.delay = 0.5  # longer than a decision waits, and then it does not answer either
        made = [Gateway(server, loop.time) for _ in range(GATEWAYS)]
        month = Counter("everyone/usd/2026-11", 30, SPANS[-1], 3_600.0)

        async def passed():
            return sum([isinstance((await one.counters.take([Demand(month, 1)]))[0], Charge) for one in made])

        early = sum([await passed() for _ in range(12)])
        server.is_up = False
        await asyncio.sleep(3.0)
        late = sum([await passed() for _ in range(30)])
        assert early + late == 30
        for one in made:
            await one.counters.close()

    virtual_time.run(scenario)
