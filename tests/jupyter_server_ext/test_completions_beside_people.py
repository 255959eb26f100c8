"""Inline completions take a part of what providers allow, and only of what is free; they start at once or never."""

from __future__ import annotations

import asyncio
import math
from random import Random

import httpx
import pytest
from many_cases import check_each
from virtual_time import run

from jupyter_server_ext.config import InlineCompletionSettings, KeySettings, Limit, PoolSettings, Secret, Settings
from jupyter_server_ext.errors import NoCapacity
from jupyter_server_ext.keys import Cost, KeyPool, KeyQueue, MemoryWindows, QueuedRequest
from jupyter_server_ext.messages import Caller, TokenUsage

SHARE = 0.25
UNITS = (("requests", 60.0), ("requests", 86_400.0), ("total", 60.0), ("total", 86_400.0), ("concurrent", 0.0))
COMPLETION = Cost(60, 40)


def limits_of(random):
    """Limits of one key: of some units, tokens for four requests at least."""
    units = random.sample(UNITS, random.randint(1, 4))
    return tuple(
        Limit(random.randint(4, 60) * (100 if unit == "total" else 1), unit, seconds) for unit, seconds in units
    )


class Place:
    """A queue over one key in virtual time, which classmates and their editors ask."""

    def __init__(self, loop, limits, share=SHARE):
        self.loop, self.share = loop, share
        key = KeySettings("sim", Secret("k"), "http://127.0.0.1/v1", limits=limits, models=("m",))
        self.pool = KeyPool([key], windows=MemoryWindows(0.25, clock=loop.time), clock=loop.time)
        self.queue = KeyQueue(self.pool, PoolSettings(queue_length=1000))
        self.windows = next(iter(self.pool.keys)).offer("m").windows

    def asks(self, name, *, inline, deadline=0.0):
        return self.queue.lease(
            QueuedRequest(
                Caller(name),
                "m",
                COMPLETION,
                COMPLETION,
                deadline=self.loop.time() + deadline,
                interactive=not inline,
                share=self.share if inline else None,
            )
        )

    async def completes(self, name):
        """A lease of a completion, or the error of one that may not start."""
        try:
            return await self.asks(name, inline=True)
        except NoCapacity as error:
            return error

    def free(self):
        """What is left of each limit, by its id."""
        window = self.pool.windows.window
        return {spec.id: window(spec).room(self.loop.time()) for spec in self.windows}

    def has_room(self):
        """Whether one more question may start."""
        free = self.free()
        return all(free[spec.id] >= COMPLETION.part(spec.unit, 10**9)[0] for spec in self.windows)

    def floor(self):
        """What completions leave of each limit."""
        window = self.pool.windows.window
        return {spec.id: math.floor((1 - self.share) * window(spec).limit) for spec in self.windows}

    def end(self, lease):
        lease.settle(TokenUsage(60, 40))


@pytest.mark.slow
def test_completions_never_take_what_is_left_to_questions():
    async def month(loop, random):
        place, running = Place(loop, limits_of(random)), []
        for step in range(60):
            await asyncio.sleep(random.choice([0.0, 0.1, 5.0, 20.0]))
            while running and random.random() < 0.5:
                place.end(running.pop(random.randrange(len(running))))
            if random.random() < 0.3:
                try:
                    running.append(await place.asks(f"student-{random.randrange(5)}", inline=False))
                except NoCapacity:
                    continue
                continue
            at = loop.time()
            got = await place.completes(f"student-{step % 5}")
            assert loop.time() == at, "a completion never waits"
            if isinstance(got, NoCapacity):
                assert (got.status, got.retry_after is None or got.retry_after > 0) == (429, True)
                continue
            running.append(got)
            assert all(left >= place.floor()[name] for name, left in place.free().items())
        await place.queue.close()

    check_each(lambda seed: run(lambda loop: month(loop, Random(seed))), zip(range(60)))


@pytest.mark.slow
def test_who_types_without_end_leaves_the_rest_to_questions_at_once():
    async def minute(loop, random):
        place = Place(loop, limits_of(random))
        served = 0
        while not isinstance(await place.completes(f"student-{served % 30}"), NoCapacity):
            served += 1
        assert served, "a quarter, rounded up, is one at least"
        questions = 0
        while place.has_room():
            await place.asks(f"student-{questions % 30}", inline=False)
            questions += 1
        assert questions >= 3, "each of these keys allows four requests"
        await place.queue.close()

    check_each(lambda seed: run(lambda loop: minute(loop, Random(seed))), zip(range(60)))


def test_a_completion_that_has_no_room_stands_in_nobodys_way():
    async def town(loop):
        place = Place(loop, (Limit(4, "requests", 60.0),))
        first = await place.asks("ada", inline=False)
        refused = await place.completes("bob")
        assert "left to questions" in refused.message
        assert 0 < refused.retry_after <= 66.0
        assert len(place.queue) == 0
        second = await place.asks("eve", inline=False)
        for lease in (first, second):
            place.end(lease)
        await asyncio.sleep(refused.retry_after)
        assert not isinstance(await place.completes("bob"), NoCapacity)
        await place.queue.close()

    run(town)


def test_a_model_for_completions_alone_may_be_used_up_by_them():
    async def town(loop):
        place = Place(loop, (Limit(40, "requests", 60.0),), share=1.0)
        got = [await place.completes("ada") for _ in range(30)]
        assert not any(isinstance(one, NoCapacity) for one in got)
        await place.queue.close()

    run(town)


@pytest.mark.asyncio
@pytest.mark.parametrize(("share", "allowed"), [(0.25, 2), (0.5, 4), (0.0, 0)])
async def test_the_share_of_the_settings_is_what_completions_get_of_a_key(served, share, allowed):
    def answer(_):
        return httpx.Response(200, json={"choices": [{"index": 0, "message": {"content": "x"}}]})

    key = KeySettings("vllm", Secret("k"), "http://llm.test/v1", models=("m",), limits=(Limit(8, "requests", 3600.0),))
    settings = Settings(
        default_model="m", keys=(key,), inline_completion=InlineCompletionSettings(provider_share=share)
    )
    body = {"messages": [{"role": "user", "content": "sales.gro"}], "max_tokens": 160}
    async with served(settings, fake=False, transport=httpx.MockTransport(answer)) as gateway:
        asked = [await gateway.ask(body | {"seed": n}, headers={"X-RSQL-Task": "inline_completion"}) for n in range(6)]
        assert [reply.status_code for reply in asked] == [200] * allowed + [429] * (6 - allowed)
        questions = [await gateway.ask(body | {"seed": n}) for n in range(8 - allowed)]
        assert {reply.status_code for reply in questions} == {200}
