"""The same question is paid for once, and nobody notices but the bill."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_shapes import recorded

from jupyter_server_ext.messages import ChatRequest
from jupyter_server_ext.pipeline import AnswerCache
from jupyter_server_ext.pipeline.cache import Cached, SingleFlight, as_body, cache_key, ended_whole

ASK = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (ASK, ASK | {"stream": True, "user": "ada"}, True),
        (ASK, ASK | {"temperature": 0}, False),
        (ASK, ASK | {"seed": 1}, False),
        (ASK, {"messages": [{"role": "user", "content": "hi "}]}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
    ],
)
def test_what_makes_two_requests_the_same(one, two, same):
    assert (cache_key(ChatRequest("m", one), "t") == cache_key(ChatRequest("m", two), "t")) is same


def test_models_and_tenants_are_kept_apart():
    assert len({cache_key(ChatRequest(m, ASK), t) for m in "ab" for t in "cd"}) == 4


@pytest.mark.parametrize("reply", list(recorded()), ids=lambda reply: reply.name)
def test_what_a_filter_or_a_failure_ended_is_not_kept(reply):
    body = as_body(reply.stream)
    if reply.ending == "error":
        return  # such a stream is broken off, and no answer
    if reply.ending in {"filter", "failed", "unknown"}:
        assert body is None or not ended_whole(body)
    elif body is not None:
        assert ended_whole(body)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"error": {"code": 502}}]}', b"\xff"]
)
def test_what_is_no_answer_is_not_kept(body):
    assert not ended_whole(body)


def test_old_answers_are_gone():
    now = [0.0]
    cache = AnswerCache(10_000, 60.0, clock=lambda: now[0])
    cache.put("k", b"answer")
    now[0] = 59.9
    assert cache.get("k") == b"answer"
    now[0] = 60.0
    assert cache.get("k") is None
    assert (len(cache), cache.bytes) == (0, 0)


def test_the_one_used_longest_ago_goes_first():
    cache = AnswerCache(1000, 60.0, clock=lambda: 0.0)
    for name in "abc":
        cache.put(name, bytes(100))
    cache.get("a")
    cache.put("d", bytes(100))
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a", "c", "d"]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 2000)), max_size=60))
def test_bytes_are_bounded_and_counted(puts):
    cache = AnswerCache(3000, 60.0, clock=lambda: 0.0)
    for name, size in puts:
        cache.put(name, bytes(size))
        assert cache.bytes <= 3000
    kept = [cache.get(name) for name in "abcdefgh"]
    assert cache.bytes == sum(len(body) + 200 for body in kept if body is not None)


@pytest.mark.asyncio
async def test_an_answer_that_is_too_old_for_the_caller_is_not_found():
    now = [0.0]
    cache = AnswerCache(10_000, 60.0, clock=lambda: now[0])
    await cache.keep("k", Cached(b"{}", 7))
    now[0] = 20.0
    assert await cache.find("k", max_age=20.0) == Cached(b"{}", 7)
    assert await cache.find("k", max_age=19.9) is None


class Behind:
    """A shared store."""

    def __init__(self):
        self.kept = {}

    async def get(self, key):
        return self.kept.get(key)

    async def put(self, key, answer, seconds):
        self.kept[key] = (answer, seconds)


@pytest.mark.asyncio
async def test_what_another_gateway_has_is_found_behind_the_memory():
    behind, now = Behind(), [0.0]
    one, two = (AnswerCache(10_000, 60.0, clock=lambda: now[0], behind=behind) for _ in range(2))
    await one.keep("k", Cached(b"{}", 7))
    behind.kept["k"] = (behind.kept["k"][0], 30.0)
    assert await two.find("k", max_age=10.0) is None
    assert await two.find("k") == Cached(b"{}", 7)
    behind.kept.clear()
    now[0] = 29.0
    assert await two.find("k") == Cached(b"{}", 7), "now in its own memory"
    now[0] = 30.0
    assert await two.find("k") is None


# Flights


class Upstream:
    """Counts calls; gives three pieces, or fails after so many."""

    def __init__(self, *, fail_at=None, failures=1):
        self.calls, self.ended, self.fail_at, self.failures = 0, [], fail_at, failures
        self.go_on = asyncio.Event()

    async def answer(self):
        self.calls += 1
        call = self.calls
        try:
            for number in range(3):
                if number == self.fail_at and call <= self.failures:
                    raise ConnectionResetError(call)
                yield f"{number}"
                await self.go_on.wait()
        finally:
            self.ended.append(call)


async def listen(flights, upstream, take=None):
    heard = []
    async with aclosing(flights.share("k", upstream.answer)) as pieces:
        async for piece in pieces:
            heard.append(piece)
            if len(heard) == take:
                break
    return heard


@pytest.mark.asyncio
async def test_a_class_of_thirty_makes_one_call():
    flights, upstream = SingleFlight(), Upstream()
    tasks = [asyncio.create_task(listen(flights, upstream)) for _ in range(30)]
    await asyncio.sleep(0.01)
    upstream.go_on.set()
    assert await asyncio.gather(*tasks) == [["0", "1", "2"]] * 30
    assert (upstream.calls, len(flights)) == (1, 0)


@pytest.mark.asyncio
async def test_late_listeners_hear_it_from_the_start():
    flights, upstream = SingleFlight(), Upstream()
    first = asyncio.create_task(listen(flights, upstream))
    await asyncio.sleep(0.01)
    late = asyncio.create_task(listen(flights, upstream))
    await asyncio.sleep(0.01)
    upstream.go_on.set()
    assert await first == await late == ["0", "1", "2"]
    assert upstream.calls == 1


@pytest.mark.asyncio
async def test_the_flight_goes_on_when_the_one_who_started_it_leaves():
    flights, upstream = SingleFlight(), Upstream()
    first = asyncio.create_task(listen(flights, upstream))
    await asyncio.sleep(0.01)
    other = asyncio.create_task(listen(flights, upstream))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0.01)
    upstream.go_on.set()
    assert await other == ["0", "1", "2"]
    assert upstream.calls == 1


@pytest.mark.asyncio
async def test_the_upstream_is_closed_when_the_last_listener_leaves():
    flights, upstream = SingleFlight(), Upstream()
    tasks = [asyncio.create_task(listen(flights, upstream)) for _ in range(2)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert upstream.ended == [1]
    assert len(flights) == 0


@pytest.mark.asyncio
async def test_nobody_boards_a_flight_that_is_called_off():
    flights, upstream = SingleFlight(), Upstream()
    assert await listen(flights, upstream, take=1) == ["0"]
    upstream.go_on.set()
    assert await listen(flights, upstream) == ["0", "1", "2"]
    assert upstream.calls == 2


@pytest.mark.asyncio
async def test_when_the_leader_fails_the_others_are_not_failed_with_it():
    flights, upstream = SingleFlight(), Upstream(fail_at=0)
    upstream.go_on.set()
    results = await asyncio.gather(*(listen(flights, upstream) for _ in range(5)), return_exceptions=True)
    assert isinstance(results[0], ConnectionResetError)
    assert results[1:] == [["0", "1", "2"]] * 4
    assert upstream.calls == 2


@pytest.mark.asyncio
async def test_a_listener_who_has_heard_pieces_gets_the_failure():
    flights, upstream = SingleFlight(), Upstream(fail_at=2)
    upstream.go_on.set()
    results = await asyncio.gather(*(listen(flights, upstream) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionResetError] * 3
    assert upstream.calls == 1
