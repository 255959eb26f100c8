"""Which of several gateways answers a request that was sent to two of them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count

import pytest
import servers
from slow_proxy import proxied

from jupyter_server_ext.limits import RedisCounters
from jupyter_server_ext.pipeline import RedisLocks
from jupyter_server_ext.pipeline.idempotency import NoLocks
from jupyter_server_ext.redis import RedisCoordinator

LEASE = 1.0
_prefixes = count()


@pytest.fixture(params=["redis", "redis_cluster"])
def url(request):
    return f"{request.getfixturevalue(request.param).url}?prefix=i{next(_prefixes)}"


@asynccontextmanager
async def gateways(url, number=2, patience=5.0):
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(number):
            link = RedisCoordinator(url, timeout=patience, lease=LEASE)
            RedisCounters(link)
            made.append(RedisLocks(link, seconds=60.0))
            stack.push_async_callback(link.close)
            await link.start()
        yield made


def test_one_answers_and_the_others_wait_for_it(url, monkeypatch):
    monkeypatch.setattr("jupyter_server_ext.pipeline.shared._LOOK_SECONDS", 60.0)

    async def scenario():
        async with gateways(url, 3) as made:
            told = []

            async def ask(claims):
                async with claims.hold("a", "mark") as claim:
                    if claim.known == "new":
                        await asyncio.sleep(0.1)
                        claim.is_answered = True
                    told.append(claim.known)

            start = asyncio.get_running_loop().time()
            await asyncio.gather(*(ask(claims) for claims in made))
            assert told == ["new", "answered", "answered"]
            assert asyncio.get_running_loop().time() - start < 30.0, "they have heard of it"

    asyncio.run(scenario())


def test_what_failed_is_the_next_ones(url):
    async def scenario():
        async with gateways(url) as (here, there):
            with suppress(ValueError):
                async with here.hold("a", "mark") as claim:
                    raise ValueError
            async with there.hold("a", "mark") as claim:
                assert claim.known == "new"

    asyncio.run(scenario())


def test_a_name_is_for_one_request_while_it_is_under_way_and_afterwards(url):
    async def scenario():
        async with gateways(url) as (here, there):
            async with here.hold("a", "mark") as claim:
                async with there.hold("a", "another") as other:
                    assert other.known == "other"
                claim.is_answered = True
            for claims in (here, there):
                async with claims.hold("a", "another") as other:
                    assert other.known == "other"
                async with claims.hold("a", "mark") as repeat:
                    assert repeat.known == "answered"
            async with there.hold("b", "mark") as claim:
                assert claim.known == "new"

    asyncio.run(scenario())


def test_who_leaves_while_asking_has_nothing(url):
    async def scenario():
        async with gateways(url) as (here, there):

            async def ask():
                async with here.hold("a", "mark"):
                    await asyncio.Event().wait()

            asking = asyncio.create_task(ask())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            async with there.hold("a", "mark") as claim:
                assert claim.known == "new"

    asyncio.run(scenario())


def test_what_a_killed_gateway_had_under_way_is_free_after_its_lease(url):
    async def scenario():
        async with gateways(url) as (killed, there), killed.hold("a", "mark"):
            killed._redis._task.cancel()
            killed._redis.state = "lost"  # it says nothing any more, not even goodbye
            async with there.hold("a", "mark") as claim:
                assert claim.known == "new"

    asyncio.run(scenario())


def test_without_redis_nobody_knows_and_afterwards_all_do(redis):
    async def scenario():
        async with proxied(redis.port) as proxy:
            url = f"redis://:{servers.PASSWORD}@127.0.0.1:{proxy.port}/0?prefix=i{next(_prefixes)}"
            async with gateways(url, patience=0.05) as (here, there):
                proxy.cut()
                async with here.hold("a", "mark") as claim:
                    assert claim.known == "unknown"
                    claim.is_answered = True
                proxy.mend()
                while {claims._redis.health for claims in (here, there)} != {"ok"}:
                    await asyncio.sleep(0.01)
                async with there.hold("a", "mark") as claim:
                    assert claim.known == "answered"

    asyncio.run(scenario())


def test_a_gateway_alone_knows_of_no_other():
    async def scenario():
        async with NoLocks().hold("a", "mark") as claim:
            assert claim.known == "unknown"

    asyncio.run(scenario())
