"""The gateway against a simulated provider over real sockets: keys, faults, streams, fallbacks."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import httpx
import pytest
from gateway_runs import FULL, IMPATIENT, QUICK, Falls, Settled, Told, ask, key, now, running
from simulated_provider import WORDS, Account, Fault, SimulatedProvider

from jupyter_server_ext.config import KeySettings, Limit, Secret, Settings
from jupyter_server_ext.errors import ModelNotServed, NoCapacity, UpstreamFailed, UpstreamRefused, UpstreamTimeout
from jupyter_server_ext.messages import TokenUsage, Used

pytestmark = pytest.mark.asyncio(loop_factories=["virtual"])


async def test_a_stream_passes_through_and_its_last_chunk_tells_how_it_went():
    limits = Settled()
    async with SimulatedProvider() as provider, running(key(provider), limits=limits) as gateway:
        told = await ask(gateway)

    assert (told.text, told.done, told.error) == (FULL, True, None)
    assert told.events[-1]["choices"][0]["finish_reason"] == "stop"
    assert told.rsql["attempts"] == 1
    assert told.rsql["key"] == "sim-1"
    assert not any("usage" in event and event["usage"] for event in told.events), "nobody asked for the usage"
    assert limits.usages == [TokenUsage(7, 8)]


async def test_the_usage_is_passed_on_to_who_asks_for_it():
    async with SimulatedProvider() as provider, running(key(provider)) as gateway:
        told = await ask(gateway, stream_options={"include_usage": True})

    assert told.events[-1]["usage"]["completion_tokens"] == 8
    assert told.events[-1]["rsql"]["request_id"] == "r1"


async def test_a_body_is_passed_on_with_one_member_more():
    limits = Settled()
    async with SimulatedProvider() as provider, running(key(provider), limits=limits) as gateway:
        told = await ask(gateway, stream=False, temperature=0.5, unknown={"field": [1]})

    assert told.text == FULL
    assert told.rsql["attempts"] == 1
    assert provider.requests[0].body["unknown"] == {"field": [1]}
    assert limits.usages == [TokenUsage(7, 8)]


@pytest.mark.parametrize("stream", [True, False])
async def test_several_answers_tools_images_and_logprobs_are_passed_on_as_they_are(stream):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}}
    body = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture], "name": "ada"}],
        "n": 3,
        "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "logprobs": True,
        "top_logprobs": 5,
        "logit_bias": {"50256": -100},
    }
    limits = Settled()
    async with SimulatedProvider() as provider, running(key(provider), limits=limits) as gateway:
        await ask(gateway, stream=stream, **body)

    assert {name: provider.requests[0].body[name] for name in body} == body
    assert limits.usages[0].completion_tokens == 8, "what the provider says it was, is counted"


async def test_a_key_appears_only_as_its_public_id():
    secret = "gsk_abcdefghijklmnop"
    async with (
        SimulatedProvider() as provider,
        running(replace(key(provider), key=Secret(secret), name="groq-2")) as gateway,
    ):
        told = await ask(gateway)
        shown = json.dumps([told.events, gateway.status(), repr(gateway.pool)], ensure_ascii=False)

    assert provider.requests[0].key == secret
    assert told.rsql["key"] == "groq-2"
    assert secret not in shown


async def test_an_unknown_model_is_refused_before_anything_is_sent():
    async with SimulatedProvider() as provider, running(key(provider, models=("m",))) as gateway:
        with pytest.raises(ModelNotServed) as refused:
            await ask(gateway, model="other")

    assert refused.value.param == "model"
    assert not provider.requests


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", 500),
        Fault("status", 503),
        Fault("status", 429, headers={"retry-after": "0.05"}),
        Fault("status", 429),
        Fault("reset"),
        Fault("malformed", after=0),
        Fault("cut", after=0),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_what_happens_once_with_one_key_is_mended_by_a_second_try(fault, stream):
    async with SimulatedProvider() as provider, running(key(provider)) as gateway:
        provider.next("m", fault)
        told = await ask(gateway, stream=stream)

    assert told.text == FULL
    assert told.rsql["attempts"] == 2
    assert len(provider.requests) == 2


async def test_a_retry_waits_as_long_as_the_provider_says():
    async with SimulatedProvider() as provider, running(key(provider)) as gateway:
        provider.next("m", Fault("status", 429, headers={"retry-after-ms": "200"}))
        told = await ask(gateway)

    first, second = provider.requests
    assert 0.2 <= second.at - first.at < 2
    assert told.rsql["rate_limited"] is True


async def test_another_key_answers_at_once_where_one_fails():
    async with SimulatedProvider() as provider, running(key(provider, "k1"), key(provider, "k2")) as gateway:
        provider.always["k1"] = Fault("status", 503)
        start = now()
        told = [await ask(gateway) for _ in range(3)]

        assert all(t.text == FULL for t in told)
        assert now() - start < 0.2, "nobody waited for the key that rests"
        assert len(provider.of("k1")) == 1
        assert repr(gateway.pool).startswith("<KeyPool 1 ready, 1 cooling")


@pytest.mark.slow
async def test_attempts_are_bounded():
    async with SimulatedProvider() as provider, running(key(provider)) as gateway:
        provider.always["m"] = Fault("status", 503)
        with pytest.raises(UpstreamFailed):
            await ask(gateway)

    assert len(provider.requests) == QUICK.attempts


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_retired_and_another_answers(status):
    async with SimulatedProvider() as provider, running(key(provider, "bad"), key(provider, "good")) as gateway:
        provider.always["bad"] = Fault("status", status)
        told = [await ask(gateway) for _ in range(4)]

        assert all(t.text == FULL for t in told)
        assert len(provider.of("bad")) <= 1
        assert gateway.status()["keys"] == {"ready": 1, "cooling": 0, "exhausted": 0, "paused": 0, "retired": 1}


async def test_with_all_keys_retired_the_error_says_where_to_look():
    async with SimulatedProvider() as provider, running(key(provider)) as gateway:
        provider.always["k1"] = Fault("status", 401)
        with pytest.raises(UpstreamFailed, match="does not accept the gateway's key"):
            await ask(gateway)
        with pytest.raises(NoCapacity, match="GET admin/api/keys"):
            await ask(gateway)

    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("status", 400, {"error": {"message": "temperature must be a number", "param": "temperature"}}), None),
        (
            Fault("status", 400, {"error": {"message": "no", "code": "content_policy_violation"}}),
            "content_policy_violation",
        ),
        (
            Fault("status", 400, {"error": {"message": "long", "code": "context_length_exceeded"}}),
            "context_length_exceeded",
        ),
        (Fault("status", 422, {"detail": "bad tool"}), None),
    ],
    ids=["bad request", "content filter", "context length", "unprocessable"],
)
async def test_a_callers_fault_is_theirs_alone(fault, code):
    async with SimulatedProvider() as provider, running(key(provider, "k1"), key(provider, "k2")) as gateway:
        provider.always["m"] = fault
        with pytest.raises(UpstreamRefused) as refused:
            await ask(gateway)

        assert len(provider.requests) == 1, "never retried, never sent with another key"
        assert repr(gateway.pool) == "<KeyPool 2 ready>"

    assert refused.value.status == fault.status
    assert code is None or refused.value.code == code
    if fault.body.get("error", {}).get("param"):
        assert refused.value.param == "temperature"


async def test_silence_ends_in_time_and_is_not_tried_again_at_the_same_place():
    async with SimulatedProvider() as provider, running(key(provider), pool=IMPATIENT) as gateway:
        provider.always["m"] = Fault("hang")
        start = now()
        with pytest.raises(UpstreamTimeout):
            await ask(gateway)

    assert now() - start < 2
    assert len(provider.requests) == 1


@pytest.mark.slow
async def test_after_silence_another_address_is_tried_first():
    async with SimulatedProvider() as silent, SimulatedProvider() as other:
        keys = [key(silent, "s1"), key(silent, "s2"), key(other, "o1")]
        async with running(*keys, pool=IMPATIENT) as gateway:
            silent.always["m"] = Fault("hang")
            other.next("m", Fault("status", 500))
            for _ in range(3):
                assert (await ask(gateway)).text == FULL

    assert len(silent.requests) <= 3, "a silent key rests"


async def test_comments_are_no_content():
    async with SimulatedProvider() as provider, running(key(provider), pool=IMPATIENT) as gateway:
        provider.always["m"] = Fault("comments")
        with pytest.raises(UpstreamTimeout):
            await ask(gateway)


@pytest.mark.parametrize("kind", ["cut", "stall", "error"])
async def test_what_breaks_after_the_first_content_ends_in_an_error_event(kind):
    limits = Settled()
    async with (
        SimulatedProvider(pace=0.01) as provider,
        running(key(provider), limits=limits, pool=IMPATIENT) as gateway,
    ):
        provider.next("m", Fault(kind, after=3))
        start = now()
        told = await ask(gateway)

        assert told.text == " ".join(WORDS[:3]), "what arrived is kept"
        assert told.error is not None
        assert told.error["request_id"] == "r1"
        assert not told.done
        assert now() - start < 1.0
        assert len(provider.requests) == 1
        assert limits.usages[0].estimated
        assert limits.usages[0].completion_tokens == 4, "and billed"
        assert (await ask(gateway)).text == FULL, "the gateway is well afterwards"


@pytest.mark.parametrize("kind", ["cut", "stall", "error", "damaged"])
async def test_a_stream_that_broke_gives_its_place_to_the_next(kind):
    async with (
        SimulatedProvider(pace=0.01) as provider,
        running(key(provider, concurrency=1), pool=IMPATIENT) as gateway,
    ):
        provider.next("m", Fault(kind, after=3))
        await ask(gateway)
        async with asyncio.timeout(5.0):
            assert (await ask(gateway)).text == FULL


async def test_a_stream_without_done_is_complete():
    async with SimulatedProvider() as provider, running(key(provider)) as gateway:
        provider.next("m", Fault("no_done"))
        told = await ask(gateway, stream_options={"include_usage": True})

    assert (told.text, told.done) == (FULL, True)
    assert told.events[-1]["usage"]["completion_tokens"] == 8


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
async def test_a_usage_that_is_not_told_is_estimated_and_marked(stream):
    limits = Settled()
    options = {"stream_options": {"include_usage": True}} if stream else {}
    async with SimulatedProvider() as provider, running(key(provider), limits=limits) as gateway:
        provider.next("m", Fault("no_usage"))
        told = await ask(gateway, stream=stream, **options)

    assert limits.usages[0].estimated
    assert limits.usages[0].completion_tokens == -(-len(FULL) // 4)
    if stream:
        assert told.events[-1]["usage"]["estimated"] is True


async def test_an_empty_stream_is_tried_again():
    async with SimulatedProvider() as provider, running(key(provider)) as gateway:
        provider.next("m", Fault("empty"))

        assert (await ask(gateway)).text == FULL


async def left_by(asking: asyncio.Task[Told], provider: SimulatedProvider) -> float:
    """Let the caller leave; seconds until the provider's connection was closed."""
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    left = now()
    while provider.requests[0].ended is None:
        await asyncio.sleep(0.01)
    return provider.requests[0].ended - left


async def test_the_provider_is_left_when_the_caller_leaves():
    limits = Settled()
    async with SimulatedProvider(pace=0.05, words=50) as provider, running(key(provider), limits=limits) as gateway:
        told = Told()
        asking = asyncio.create_task(ask(gateway, told=told))
        while not told.text:
            await asyncio.sleep(0.01)
        took = await left_by(asking, provider)
        await asyncio.sleep(0)

        assert provider.requests[0].left
        assert took < 2, "of the 2.5 s that the answer lasts"
        assert limits.usages[0].estimated
        assert limits.usages[0].completion_tokens > 0, "what was generated is billed"


async def test_who_leaves_while_an_answer_is_gathered_pays_for_what_was_written():
    limits = Settled()
    async with SimulatedProvider(pace=0.02, words=500) as provider, running(key(provider), limits=limits) as gateway:
        told = Told()
        asking = asyncio.create_task(ask(gateway, told=told, whole=True))
        while not provider.requests or provider.requests[0].sent < 10:
            await asyncio.sleep(0.01)
        took = await left_by(asking, provider)

        assert not told.text, "nothing is passed on before the end"
        assert took < 5, "of the 10 s that the answer lasts"
        assert limits.usages[0].completion_tokens >= 10


@pytest.mark.slow
async def test_who_waits_for_a_whole_answer_is_told_that_it_is_under_way():
    async with SimulatedProvider(pace=0.1, words=13) as provider, running(key(provider)) as gateway:
        told = await ask(gateway, whole=True)

    assert [news.position for news in told.news] == [0] * len(told.news)
    assert told.news
    assert (len(told.text.split()), told.done) == (13, True)


async def test_leaving_before_the_answer_begins_gives_the_key_back():
    limited = Limit(1, "requests", 0.2)
    async with (
        SimulatedProvider(first_token=5.0) as provider,
        running(key(provider, limits=(limited,), concurrency=1)) as gateway,
    ):
        asking = asyncio.create_task(ask(gateway))
        while not provider.requests:
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        provider.first_token = 0.0

        assert (await ask(gateway)).text == FULL


@pytest.mark.slow
async def test_a_fallback_answers_where_the_model_cannot_and_is_named():
    async with SimulatedProvider() as provider, running(key(provider), policy=Falls("small")) as gateway:
        provider.always["m"] = Fault("status", 503)
        told = await ask(gateway)

    assert told.text == FULL
    assert told.events[0]["model"] == told.rsql["model"] == "small"
    assert len(provider.of("m")) == QUICK.attempts


async def test_a_fallback_follows_silence_at_once():
    async with (
        SimulatedProvider() as provider,
        running(key(provider), policy=Falls("small"), pool=IMPATIENT) as gateway,
    ):
        provider.always["m"] = Fault("hang")
        told = await ask(gateway)

    assert told.rsql["model"] == "small"
    assert len(provider.of("m")) == 1


async def test_a_longer_model_may_take_what_is_too_long():
    long = Fault("status", 400, {"error": {"message": "long", "code": "context_length_exceeded"}})
    async with SimulatedProvider() as provider, running(key(provider), policy=Falls("long")) as gateway:
        provider.always["m"] = long
        told = await ask(gateway)

    assert told.rsql["model"] == "long"
    assert len(provider.of("m")) == 1


async def test_a_refused_content_is_not_taken_to_another_model():
    fault = Fault("status", 400, {"error": {"message": "no", "code": "content_filter"}})
    async with SimulatedProvider() as provider, running(key(provider), policy=Falls("other")) as gateway:
        provider.always["m"] = fault
        with pytest.raises(UpstreamRefused, match="It says: no"):
            await ask(gateway)

    assert not provider.of("other")


@pytest.mark.slow
async def test_a_flapping_model_is_left_alone_while_it_is_down_and_comes_back():
    async with SimulatedProvider() as provider, running(key(provider), policy=Falls("small")) as gateway:
        provider.always["m"] = Fault("status", 503)
        for _ in range(5):
            assert (await ask(gateway)).rsql["model"] == "small"
        down = len(provider.of("m"))
        del provider.always["m"]
        gateway.pool.keys.get("sim-1").circuits["m"].until = 0.0  # the rest is over
        told = await ask(gateway)

    assert down <= 8, "not three tries for each request"
    assert told.rsql["model"] == "m"


async def test_limits_are_kept_and_nobody_is_refused():
    accounts = {"k1": Account("rolling", minute=0.5, rpm=5), "k2": Account("rolling", minute=0.5, rpm=5)}
    limits = (Limit(5, "requests", 0.5),)
    pool = replace(QUICK, jitter_ms=20.0)
    async with SimulatedProvider(accounts) as provider:
        keys = (key(provider, "k1", limits=limits), key(provider, "k2", limits=limits))
        async with running(*keys, pool=pool) as gateway:
            start = now()
            told = await asyncio.gather(*(ask(gateway, caller=f"c{n}") for n in range(24)))

    assert all(t.text == FULL for t in told)
    assert [account.refused for account in accounts.values()] == [0, 0]
    assert now() - start < 1.5
    assert max(t.rsql["queue_seconds"] for t in told) > 0.4


async def test_a_waiting_stream_hears_of_its_place():
    limits = (Limit(1, "requests", 0.3),)
    async with SimulatedProvider() as provider, running(key(provider, limits=limits)) as gateway:
        _, second, third = await asyncio.gather(*(ask(gateway, caller=f"c{n}") for n in range(3)))

    assert second.news[0].position == 1
    assert third.news[0].position == 2
    assert 0 < second.news[0].eta <= 0.3
    assert 0.3 < third.news[0].eta <= 0.7


async def test_a_wait_that_is_too_long_is_refused_at_once_with_the_time_to_come_back():
    limits = (Limit(1, "requests", 30.0),)
    pool = replace(QUICK, queue_deadline_seconds=1.0)
    async with SimulatedProvider() as provider, running(key(provider, limits=limits), pool=pool) as gateway:
        await ask(gateway)
        start = now()
        with pytest.raises(NoCapacity) as refused:
            await ask(gateway)

    assert now() - start < 0.9
    assert 29.0 < refused.value.retry_after <= 30.4  # a window is held for one percent longer


async def test_a_request_larger_than_any_key_allows_is_told_so():
    limits = (Limit(10, "tokens", 60.0),)
    async with SimulatedProvider() as provider, running(key(provider, limits=limits)) as gateway:
        with pytest.raises(NoCapacity) as refused:
            await ask(gateway, max_tokens=500)

    assert refused.value.status == 413


async def test_keys_can_be_added_paused_and_retired_while_running():
    async with SimulatedProvider() as provider, running(key(provider, "k1")) as gateway:
        gateway.pool.keys.add(key(provider, "k2"))
        gateway.pool.keys.pause("sim-1")
        for _ in range(3):
            await ask(gateway)
        assert not provider.of("k1")
        gateway.pool.keys.resume("sim-1")
        gateway.pool.keys.retire("sim-2", "by hand")
        await ask(gateway)

        assert provider.requests[-1].key == "k1"
        assert gateway.status()["pool"][1]["reason"] == "by hand"


async def test_a_request_that_waits_is_served_by_a_key_that_is_added():
    limits = (Limit(1, "requests", 30.0),)
    async with SimulatedProvider() as provider, running(key(provider, limits=limits)) as gateway:
        await ask(gateway)
        waiting = asyncio.create_task(ask(gateway))
        await asyncio.sleep(0.05)
        gateway.pool.keys.add(key(provider, "k2"))

        assert (await waiting).rsql["key"] == "sim-2"


async def test_a_check_retires_and_revives_keys():
    accounts = {"good": Account()}
    async with (
        SimulatedProvider(accounts) as provider,
        running(key(provider, "good"), key(provider, "bad")) as gateway,
    ):
        rows = await gateway.check_keys()
        assert [(row["ok"], row.get("reason")) for row in rows] == [(True, None), (False, "credential")]
        assert gateway.status()["keys"]["retired"] == 1
        accounts["bad"] = Account()
        assert all(row["ok"] for row in await gateway.check_keys())
        assert gateway.status()["keys"]["ready"] == 2


async def test_plain_httpx_clients_can_use_the_transport():
    async with (
        SimulatedProvider() as provider,
        running(key(provider)) as gateway,
        httpx.AsyncClient(transport=gateway.upstream) as client,
    ):
        messages = [{"role": "user", "content": "Hi"}]
        reply = await client.post("http://rsql/chat/completions", json={"model": "m", "messages": messages})

    assert reply.json()["choices"][0]["message"]["content"] == FULL


async def test_without_keys_the_offline_model_is_served():
    async with running() as gateway:
        assert gateway.models() == ["offline"]
        assert gateway.status()["keys"]["ready"] == 1


async def test_closing_refuses_what_waits():
    limits = (Limit(1, "requests", 30.0),)
    async with SimulatedProvider() as provider, running(key(provider, limits=limits)) as gateway:
        await ask(gateway)
        waiting = asyncio.create_task(ask(gateway))
        await asyncio.sleep(0.05)
        await gateway.close()
        with pytest.raises(NoCapacity, match="stopping"):
            await waiting


async def test_a_new_configuration_keeps_the_counts_and_the_requests():
    limits = (Limit(2, "requests", 30.0),)
    async with SimulatedProvider(pace=0.02) as provider, running(key(provider, "k1", limits=limits)) as gateway:
        under_way = asyncio.create_task(ask(gateway))
        await asyncio.sleep(0.05)
        settings = Settings(keys=(key(provider, "k1", limits=limits), key(provider, "k2", limits=limits)), pool=QUICK)
        gateway.reload(settings)
        assert [row["limits"][0]["used"] for row in gateway.status()["pool"] if row["limits"]] == [1, 0]
        gateway.reload(replace(settings, keys=settings.keys[1:]))

        assert (await under_way).text == FULL, "its key is gone, it is not"
        assert (await ask(gateway)).rsql["key"] == "sim-2"
        assert len(gateway.status()["pool"]) == 1


async def test_what_was_used_before_a_restart_counts():
    limits = (Limit(3, "requests", 3600.0), Limit(1000, "tokens", 3600.0))
    async with SimulatedProvider() as provider, running(key(provider, limits=limits)) as gateway:
        today = time.time()
        past = [
            Used(today - 4000, "ada", "", "sim-1", "m", 1, 10, 10, 1, 20),
            Used(today - 600, "ada", "", "sim-1", "m", 2, 30, 30, 2, 60),
            Used(today - 60, "ada", "", "sim-1", "m", 1, 10, 10, 1, 20),
            Used(today - 50, "ada", "", "gone", "m", 1, 10, 10, 1, 20),
        ]
        gateway.pool.restore(past, today)
        rows = gateway.status()["pool"][0]["limits"]

    assert [row["used"] for row in rows] == [3, 80]


async def test_a_key_that_is_well_again_is_found_by_itself():
    pool = replace(QUICK, check_seconds=0.05)
    async with SimulatedProvider() as provider, running(key(provider, "k1"), key(provider, "k2"), pool=pool) as gateway:
        provider.next("k1", Fault("status", 401))
        gateway.pool.keys.retire("sim-2", "by hand")
        with pytest.raises(UpstreamFailed):
            await ask(gateway)
        await asyncio.sleep(0.15)

        assert gateway.status()["keys"] == {"ready": 1, "cooling": 0, "exhausted": 0, "paused": 0, "retired": 1}


async def test_a_check_does_not_end_the_rest_of_a_limit():
    """The list of models costs no quota, so that it is given says nothing of the limit."""
    limit = Fault("status", 429, {"error": {"message": "Too many."}}, headers={"retry-after": "30"})
    async with (
        SimulatedProvider() as provider,
        running(key(provider), pool=replace(QUICK, check_seconds=0.02)) as gateway,
    ):
        provider.next("k1", limit)
        asking = asyncio.create_task(ask(gateway))
        while not provider.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert [row["ok"] for row in await gateway.check_keys()] == [True]
        await asyncio.sleep(0.05)
        assert gateway.status()["keys"]["cooling"] == 1
        asking.cancel()

    assert len(provider.requests) == 1


async def test_keys_are_checked_side_by_side():
    """One address that is silent does not hold up the others."""
    transport = Silent()
    keys = [KeySettings("sim", Secret(f"k{n}"), "http://127.0.0.1:1/v1") for n in range(5)]
    async with running(*keys, pool=IMPATIENT, transport=transport) as gateway:
        rows = await gateway.check_keys()

    assert [row["reason"] for row in rows] == ["timeout"] * 5
    assert transport.most == 5


class Silent(httpx.AsyncBaseTransport):
    """A network in which nothing answers."""

    def __init__(self):
        self.now = self.most = 0

    async def handle_async_request(self, request):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(60)
