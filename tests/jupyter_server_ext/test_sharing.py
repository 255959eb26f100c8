"""Answers that are given again: from the cache, to those who ask the same at once, to who repeats a request."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paid_provider import COST, END, KEYS, PRICES, STREAM, USAGE, body, event, whole

from jupyter_server_ext.config import CallerLimits, Settings, StorageSettings, TenantSettings
from jupyter_server_ext.config.settings import CacheSettings
from jupyter_server_ext.ledger import opened
from jupyter_server_ext.messages import Caller
from jupyter_server_ext.pipeline.cache import as_body, as_events, as_stream

ADA = Caller("ada", tenant="stats101")
ON = CacheSettings(enabled=True)
WORDS = ["Hel", "lo ", "there."]


class Provider:
    """Counts what it is asked, answers when it is told to, and fails as often as it is told."""

    def __init__(self):
        self.asked = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failures = 0
        self.left = 0

    async def __call__(self, request):
        body = json.loads(request.content)
        self.asked.append(body)
        if self.failures:
            self.failures -= 1
            return httpx.Response(400, json={"error": {"message": "no"}})
        if body.get("stream"):
            return httpx.Response(200, headers=STREAM, stream=Events(self))
        await self.go_on.wait()
        return whole("".join(WORDS))


class Events(httpx.AsyncByteStream):
    def __init__(self, provider):
        self.provider = provider

    async def __aiter__(self):
        try:
            for word in WORDS:
                yield event({"id": "c1", "choices": [{"index": 0, "delta": {"content": word}}]})
                await self.provider.go_on.wait()
            yield event({"id": "c1", **END})
        except (asyncio.CancelledError, GeneratorExit):
            self.provider.left += 1
            raise
        yield b"data: [DONE]\n\n"  # after which nobody reads on


@pytest.fixture
def sharing(served, url):
    """``async with sharing(provider, cache=…) as gateway``."""

    def serving(provider, **options):
        settings = Settings(
            default_model="m",
            keys=KEYS,
            storage=options.pop("storage", StorageSettings(ledger=url, instance="one")),
            prices=PRICES,
            **({"cache": ON} | options),
        )
        return served(settings, fake=False, transport=httpx.MockTransport(provider))

    return serving


def events_of(reply):
    lines = [line[6:] for line in reply.text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def told(reply):
    """The text, whatever the form."""
    if reply.headers["content-type"] == "text/event-stream":
        chunks = events_of(reply)
        return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk.get("choices", ()))
    return reply.json()["choices"][0]["message"]["content"]


def rsql(reply):
    return (events_of(reply)[-1] if "event-stream" in reply.headers["content-type"] else reply.json())["rsql"]


def entries(url):
    with opened(url, instance="reader") as store:
        assert store.verify() == []
        return store.read()


async def until(true):
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.005)


# The cache


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
@pytest.mark.asyncio
async def test_the_same_question_is_paid_for_once_in_either_form(sharing, url, first, second):
    provider = Provider()
    async with sharing(provider) as gateway:
        paid = await gateway.ask(body(stream=first))
        given = await gateway.ask(body(stream=second, user="ada"))
        assert told(paid) == told(given) == "Hello there."
        assert (rsql(paid)["cached"], rsql(given)["cached"]) == (False, True)
        assert (rsql(paid)["cost_usd"], rsql(given)["cost_usd"]) == (COST / 1e9, 0.0)
        assert rsql(given)["request_id"] == given.headers["x-request-id"]
        assert len(provider.asked) == 1
        stats = (await gateway.get("stats")).json()
        assert stats["limits"]["day"]["current"] == 2, "a cached answer counts as a request"
        assert stats["tokens"]["day"]["current"] == 1500, "and takes no tokens"
        assert stats["cache"] == {"requests": 2, "hits": 1, "hit_rate": 0.5, "saved_usd": COST / 1e9}
        status = (await gateway.get("status")).json()["cache"]
        assert (status["hit"], status["miss"], status["hit_rate"]) == (1, 1, 0.5)
        assert status["saved_usd"] == COST / 1e9
        metrics = (await gateway.get("metrics")).text
        assert 'rsql_cache_requests_total{result="hit"} 1.0' in metrics
        assert f"rsql_cache_saved_dollars_total {COST / 1e9}" in metrics
    hit, miss = entries(url)
    assert (hit.cache, hit.cost_nanodollars, hit.saved_nanodollars, hit.usage.total_tokens) == ("hit", 0, COST, 0)
    assert (miss.cache, miss.cost_nanodollars, miss.saved_nanodollars) == ("miss", COST, 0)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_replayed_stream_tells_its_usage_to_who_asks_for_it(sharing):
    async with sharing(Provider()) as gateway:
        await gateway.ask(body())
        plain = events_of(await gateway.ask(body(stream=True)))
        asked = events_of(await gateway.ask(body(stream=True, stream_options={"include_usage": True})))
        assert not any(chunk.get("usage") for chunk in plain)
        assert asked[-1]["usage"] == USAGE
        assert plain[-1]["rsql"]["cached"]
        assert asked[-1]["rsql"]["cached"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "header", "again"),
    [
        (False, "", 2),
        (False, "max-age=60", 1),
        (True, "", 1),
        (True, "no-cache", 2),
        (True, "max-age=0", 2),
        (True, "no-store", 2),
        (False, "no-cache", 2),
    ],
)
@pytest.mark.asyncio
async def test_answers_are_given_again_where_policy_or_request_say_so(sharing, policy, header, again):
    provider = Provider()
    async with sharing(provider, cache=CacheSettings(enabled=policy)) as gateway:
        for _ in range(2):
            reply = await gateway.ask(headers={"Cache-Control": header} if header else {})
            assert told(reply) == "Hello there."
        assert len(provider.asked) == again


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_new_answer_on_demand_takes_the_place_of_the_old_one(sharing, url):
    provider = Provider()
    async with sharing(provider) as gateway:
        await gateway.ask()
        await gateway.ask(headers={"Cache-Control": "no-cache"})
        await gateway.ask()
        assert len(provider.asked) == 2
    assert [entry.cache for entry in entries(url)] == ["hit", "bypass", "miss"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_tenants_share_nothing_and_may_refuse_the_cache(sharing):
    provider = Provider()
    async with sharing(provider) as gateway:
        await gateway.ask()  # ada is of stats101
        await gateway.ask(token="bob-token")
        assert len(provider.asked) == 2
    provider = Provider()
    async with sharing(provider, tenants=(TenantSettings("stats101", cache=False),)) as gateway:
        for _ in range(2):
            await gateway.ask(headers={"Cache-Control": "max-age=60"})
        assert len(provider.asked) == 2


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_failure_is_not_kept(sharing):
    provider = Provider()
    provider.failures = 1
    async with sharing(provider) as gateway:
        assert (await gateway.ask()).status_code == 400
        assert told(await gateway.ask()) == "Hello there."


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_spent_budget_still_gives_what_costs_nothing(sharing):
    async with sharing(Provider(), caller=CallerLimits(usd_per_day=COST * 1.2 / 1e9)) as gateway:
        assert (await gateway.ask(body(max_tokens=10))).status_code == 200
        assert (await gateway.ask(body(max_tokens=10))).json()["rsql"]["cached"]
        assert (await gateway.ask(body(max_tokens=999_999))).status_code == 429


# In flight


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.asyncio
async def test_a_class_of_thirty_is_one_call_thirty_answers_thirty_entries(sharing, url, stream):
    provider = Provider()
    provider.go_on.clear()
    async with sharing(provider, everyone=CallerLimits(concurrency=5)) as gateway:
        asking = [asyncio.create_task(gateway.ask(body(stream=stream))) for _ in range(30)]
        await until(lambda: gateway.app.limits.stats(ADA)["concurrency"]["current"] == 30)
        provider.go_on.set()
        replies = await asyncio.gather(*asking)
        assert {told(reply) for reply in replies} == {"Hello there."}
        assert len({rsql(reply)["request_id"] for reply in replies}) == 30
        assert len(provider.asked) == 1
        stats = (await gateway.get("stats")).json()
        assert stats["limits"]["day"]["current"] == 30
        assert stats["concurrency"]["current"] == 0
        assert stats["cost"]["today"] == COST / 1e9
    written = entries(url)
    assert Counter(entry.cache for entry in written) == {"shared": 29, "miss": 1}
    assert sum(entry.cost_nanodollars for entry in written) == COST
    assert sum(entry.saved_nanodollars for entry in written) == 29 * COST
    assert all(entry.first_token_seconds is not None for entry in written)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_both_forms_share_a_call(sharing):
    provider = Provider()
    provider.go_on.clear()
    async with sharing(provider) as gateway:
        asking = [asyncio.create_task(gateway.ask(body(stream=n % 2 == 0))) for n in range(6)]
        await until(lambda: gateway.app.limits.stats(ADA)["concurrency"]["current"] == 6)
        provider.go_on.set()
        assert {told(reply) for reply in await asyncio.gather(*asking)} == {"Hello there."}
        assert len(provider.asked) == 1


@pytest.mark.slow
@pytest.mark.asyncio
async def test_when_the_leader_leaves_the_others_are_answered_and_the_call_is_paid_once(sharing, url):
    provider = Provider()
    provider.go_on.clear()
    async with sharing(provider, caller=CallerLimits(usd_per_day=1.0)) as gateway:
        leader = gateway.client.build_request(
            "POST", "v1/chat/completions", json=body(stream=True), headers={"Authorization": "Bearer ada-token"}
        )
        reply = await gateway.client.send(leader, stream=True)
        pieces = reply.aiter_bytes()  # closes the reply when it is forgotten
        await anext(pieces)
        other = asyncio.create_task(gateway.ask(body(stream=True)))
        await until(lambda: gateway.app.limits.stats(ADA)["concurrency"]["current"] == 2)
        await reply.aclose()
        await until(lambda: gateway.app.limits.stats(ADA)["concurrency"]["current"] == 1)
        provider.go_on.set()
        assert told(await other) == "Hello there."
        assert (len(provider.asked), provider.left) == (1, 0)
        assert (await gateway.get("stats")).json()["cost"]["today"] == COST / 1e9
    by_cache = {entry.cache: entry for entry in entries(url)}
    assert (by_cache["shared"].status, by_cache["shared"].cost_nanodollars) == (200, 0)
    assert (by_cache[""].status, by_cache[""].error) == (499, "caller_left")
    assert (by_cache[""].cost_nanodollars, by_cache[""].usage.total_tokens) == (COST, 1500)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_when_all_leave_the_provider_is_left_too(sharing, url):
    provider = Provider()
    provider.go_on.clear()
    async with sharing(provider) as gateway:
        asking = [asyncio.create_task(gateway.ask(body(stream=True))) for _ in range(3)]
        await until(lambda: gateway.app.limits.stats(ADA)["concurrency"]["current"] == 3)
        await until(lambda: provider.asked)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await until(lambda: provider.left == 1)
        await until(lambda: gateway.app.limits.stats(ADA)["concurrency"]["current"] == 0)
    assert [entry.status for entry in entries(url)] == [499] * 3


@pytest.mark.slow
@pytest.mark.asyncio
async def test_when_the_leader_is_refused_the_others_are_not(sharing, url):
    """The one who began has no money left; the next has."""
    provider = Provider()
    provider.failures = 1
    provider.go_on.clear()
    async with sharing(provider) as gateway:
        asking = [asyncio.create_task(gateway.ask()) for _ in range(5)]
        await until(lambda: gateway.app.limits.stats(ADA)["concurrency"]["current"] == 4)
        provider.go_on.set()
        replies = await asyncio.gather(*asking)
        assert sorted(reply.status_code for reply in replies) == [200] * 4 + [400]
        assert len(provider.asked) == 2
    assert Counter(entry.cache for entry in entries(url)) == {"": 1, "miss": 1, "shared": 3}


# Idempotency-Key


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["ledger", "memory"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.asyncio
async def test_a_repeat_is_given_the_same_answer_and_costs_nothing(sharing, url, stream, kept):
    provider = Provider()
    storage = {"storage": StorageSettings()} if kept == "memory" else {}
    options = {"cache": CacheSettings(), "caller": CallerLimits(requests_per_day=1, usd_per_day=1.0)} | storage
    headers = {"Idempotency-Key": "3f2a"}
    async with sharing(provider, **options) as gateway:
        first = await gateway.ask(body(stream=stream), headers=headers)
        again = await gateway.ask(body(stream=stream), headers=headers)
        assert told(first) == told(again) == "Hello there."
        assert rsql(again)["repeated"]
        assert (await gateway.ask(body(stream=stream))).status_code == 429, "another request is one too many"
        assert (await gateway.get("stats")).json()["cost"]["today"] == COST / 1e9
    if kept == "ledger":
        async with sharing(provider, **options) as gateway:
            assert told(await gateway.ask(body(stream=stream), headers=headers)) == "Hello there.", "after a restart"
            assert (await gateway.get("stats")).json()["cost"]["today"] == COST / 1e9
        assert [entry.cache for entry in entries(url)] == ["repeat", "", "repeat", ""]
    assert len(provider.asked) == 1


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_key_that_was_used_for_another_request_is_refused(sharing):
    provider = Provider()
    async with sharing(provider) as gateway:
        headers = {"Idempotency-Key": "3f2a"}
        await gateway.ask(body(), headers=headers)
        refused = await gateway.ask(body(temperature=1), headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "idempotency_conflict")
        assert "another request" in refused.json()["error"]["message"]
        assert (await gateway.ask(body(temperature=1), headers=headers, token="bob-token")).status_code == 200
        assert (await gateway.ask(body(), headers={"Idempotency-Key": "x" * 256})).status_code == 400


@pytest.mark.slow
@pytest.mark.asyncio
async def test_repeats_at_the_same_time_wait_for_the_first(sharing):
    provider = Provider()
    provider.go_on.clear()
    async with sharing(provider, cache=CacheSettings()) as gateway:
        headers = {"Idempotency-Key": "3f2a"}
        asking = [asyncio.create_task(gateway.ask(headers=headers)) for _ in range(5)]
        await until(lambda: provider.asked)
        conflict = await gateway.ask(body(seed=1), headers=headers)
        assert conflict.status_code == 422, "also while the first is under way"
        provider.go_on.set()
        assert {told(reply) for reply in await asyncio.gather(*asking)} == {"Hello there."}
        assert len(provider.asked) == 1


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_failed_is_tried_again(sharing):
    provider = Provider()
    provider.failures = 1
    async with sharing(provider, cache=CacheSettings()) as gateway:
        headers = {"Idempotency-Key": "3f2a"}
        assert (await gateway.ask(headers=headers)).status_code == 400
        assert told(await gateway.ask(headers=headers)) == "Hello there."


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_plain_form_is_repeated_with_its_session(sharing):
    provider = Provider()
    async with sharing(provider, cache=CacheSettings()) as gateway:
        headers = {"Idempotency-Key": "3f2a"}
        replies = [await gateway.ask({"message": "Hi"}, path="chat", headers=headers) for _ in range(2)]
        assert [reply.json()["answer"] for reply in replies] == ["Hello there."] * 2
        assert replies[0].json()["session_id"] == replies[1].json()["session_id"]
        await gateway.ask({"message": "And?", "session_id": replies[0].json()["session_id"]}, path="chat")
        assert len(provider.asked) == 2
        assert [m["content"] for m in provider.asked[1]["messages"]] == ["Hi", "Hello there.", "And?"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_kept_answer_cannot_be_read_from_the_file(sharing, tmp_path):
    async with sharing(Provider()) as gateway:
        await gateway.ask(headers={"Idempotency-Key": "3f2a-secret"})
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    assert b"Hello there" not in stored
    assert b"3f2a-secret" not in stored


# From one form to the other

texts = st.text(max_size=20)
calls = st.builds(
    lambda name, arguments: {"id": "t1", "type": "function", "function": {"name": name, "arguments": arguments}},
    st.text(min_size=1, max_size=5),
    texts,
)
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": texts},
    optional={"refusal": texts, "reasoning_content": texts, "tool_calls": st.lists(calls, min_size=1, max_size=3)},
)


@given(st.lists(messages, min_size=1, max_size=3))
def test_a_whole_answer_as_a_stream_and_back_is_the_same(said):
    choices = [{"index": n, "message": message, "finish_reason": "stop"} for n, message in enumerate(said)]
    whole = {"id": "c", "model": "m", "object": "chat.completion", "choices": choices, "usage": USAGE}
    content, end = as_events(json.dumps(whole).encode(), b'"rsql":{}', usage=True)
    assert json.loads(as_body(content + end)) == whole


def test_pieces_are_put_together():
    call = [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a"'}}]
    rest = [{"index": 0, "function": {"arguments": ":1}"}}]
    deltas = [{"role": "assistant", "content": "a"}, {"content": "b"}, {"tool_calls": call}, {"tool_calls": rest}]
    stream = b": hello\n\n" + b"".join(event({"id": "c", "choices": [{"index": 0, "delta": d}]}) for d in deltas)
    stream += event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    (choice,) = json.loads(as_body(stream))["choices"]
    assert choice["message"]["content"] == "ab"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("place", [{"index": 0}, {}, {"index": None}])
def test_calls_that_all_count_as_the_first_stay_apart(place):
    pieces = [{"id": "a", "function": {"name": "f", "arguments": "{"}}, {"function": {"arguments": "}"}}]
    pieces += [{"id": "b", "function": {"name": "g", "arguments": "[]"}}]
    stream = b"".join(event({"choices": [{"delta": {"tool_calls": [place | piece]}}]}) for piece in pieces)
    (choice,) = json.loads(as_body(stream))["choices"]
    assert choice["message"]["tool_calls"] == [
        {"id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "function": {"name": "g", "arguments": "[]"}},
    ]


def test_more_calls_than_anybody_runs_are_not_kept():
    pieces = [{"index": n, "id": f"c{n}", "function": {"name": "f"}} for n in range(1001)]
    assert as_body(event({"choices": [{"delta": {"tool_calls": pieces}}]})) is None


@pytest.mark.parametrize(
    "stream", [b"", b"data: {\n\n", b"data: []\n\n", b'data: {"choices":[{"delta":{"x":1}},2]}\n\n']
)
def test_what_cannot_be_put_together_is_nothing(stream):
    assert as_body(stream) is None


def test_an_answer_replays_as_chunks():
    message = {"role": "assistant", "content": "four", "tool_calls": [{"id": "t", "type": "function"}]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    first, last, usage = as_stream({"id": "c1", "object": "chat.completion", "choices": [choice], "usage": USAGE})
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0]["delta"]["content"] == "four"
    assert first["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    assert usage["usage"] == USAGE
