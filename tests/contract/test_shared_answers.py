"""Answers that gateways share behind their memory."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import servers
from slow_proxy import proxied

from jupyter_server_ext.app.assembly import open_answers
from jupyter_server_ext.pipeline import AnswerCache
from jupyter_server_ext.pipeline.cache import Cached

_prefixes = count()


def caches(port, number=2, ttl=60.0):
    url = f"redis://:{servers.PASSWORD}@127.0.0.1:{port}/1?prefix=c{next(_prefixes)}&max_mb=1"
    return [AnswerCache(1_000_000, ttl, clock=time.monotonic, behind=open_answers(url)) for _ in range(number)]


ANSWER = Cached(b"{}", 7)


async def shared(here, there):
    """What one finds of what the other keeps; again where a busy machine makes Redis look away."""
    for _ in range(20):
        here.behind._away_until = there.behind._away_until = 0.0
        await here.keep("k", ANSWER)
        if (found := await there.find("k")) is not None:
            return found
    return None


def test_what_one_gateway_was_answered_the_other_need_not_ask(redis):
    async def scenario():
        here, there = caches(redis.port, ttl=0.5)
        assert await shared(here, there) == ANSWER
        assert await there.find("other") is None
        await asyncio.sleep(0.51)
        assert await there.find("k") is None
        for cache in (here, there):
            await cache.close()

    asyncio.run(scenario())


def test_a_slow_or_missing_redis_is_asked_once_in_a_while_and_never_for_long(redis):
    async def scenario():
        async with proxied(redis.port) as proxy:
            here, there = caches(proxy.port)
            await here.keep("k", ANSWER)
            proxy.delay = 60.0
            start = time.monotonic()
            for _ in range(50):
                assert await there.find("k") is None
            await here.keep("l", ANSWER)
            seconds = time.monotonic() - start
            assert seconds < 30.0, "less than one reply takes"
            assert len(there.behind._under_way) <= 1 + seconds, "how often it was asked"
            proxy.cut()
            proxy.mend()
            assert await shared(here, there) == ANSWER
            for cache in (here, there):
                await cache.close()

    asyncio.run(scenario())


def test_what_no_gateway_has_written_is_no_answer(redis):
    async def scenario():
        [here] = caches(redis.port, 1)
        for other in (b"", b"nothing", b"-1\n{}", b"x\n{}"):
            await here.behind.put("k", other, 60.0)
            assert await here.find("k") is None
        await here.close()

    asyncio.run(scenario())


def test_memory_shares_nothing():
    assert open_answers("memory://?max_mb=1") is None
