"""Errors of providers on their way: what the caller may see of them, and when to come back."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import httpx
import pytest
from virtual_time import run

from jupyter_server_ext.config import KeySettings, PoolSettings, Secret, with_preset
from jupyter_server_ext.errors import NoCapacity, UpstreamRefused
from jupyter_server_ext.keys import Cost, KeyPool, KeyQueue
from jupyter_server_ext.keys.pool import KeysBusy
from jupyter_server_ext.upstream import KeyRotatingTransport
from jupyter_server_ext.upstream.openai import provider_of
from jupyter_server_ext.upstream.sse import EventReader, MalformedStream, StreamError

SECRET = "sk-a-real-secret-a1b2"
NOON = 1_800_000_000.0


def keys(*names, secret=SECRET):
    return [KeySettings("sim", Secret(secret), "http://127.0.0.1/v1", name=name, models=("m",)) for name in names]


def asked(reply, *names, stream=False, attempts=3, secret=SECRET):
    """What a client gets, and how often it was asked upstream."""
    tries = []

    def answer(request):
        tries.append(request)
        return reply(request)

    async def ask(loop):
        settings = PoolSettings(attempts=attempts)
        pool = KeyPool(keys(*names, secret=secret), clock=loop.time)
        async with AsyncExitStack() as stack:
            queue = KeyQueue(pool, settings)
            stack.push_async_callback(queue.close)
            transport = KeyRotatingTransport(queue, settings, lambda _: httpx.MockTransport(answer))
            client = await stack.enter_async_context(httpx.AsyncClient(transport=transport))
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
            return await client.post("http://rsql/chat/completions", json=body)

    return ask, tries


def refused(message, status=400, **headers):
    return lambda _: httpx.Response(status, json={"error": {"message": message}}, headers=headers)


def streamed(*events):
    text = "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in events)
    return lambda _: httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


def word(text):
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


@pytest.mark.parametrize(
    ("reply", "stream"),
    [
        (refused(f"Bad header Authorization: Bearer {SECRET}"), False),
        (lambda _: httpx.Response(200, json={"error": {"message": f"No: {SECRET}", "code": 400}}), False),
        (streamed({"error": {"message": f"No: {SECRET}", "code": 400}}), True),
    ],
    ids=["status", "body", "event"],
)
def test_a_key_that_a_provider_repeats_is_shown_by_its_public_id(reply, stream):
    ask, _ = asked(reply, "k", stream=stream)

    with pytest.raises(UpstreamRefused) as refusal:
        run(ask)

    assert SECRET not in str(refusal.value)
    assert str(refusal.value).endswith((": k", " k"))


def test_a_word_that_stands_for_no_key_is_left_in_the_words_of_an_error():
    ask, _ = asked(refused("There is none such field: message."), "k", secret="message")

    with pytest.raises(UpstreamRefused, match="There is none such field: message"):
        run(ask)


def test_a_refusal_for_limits_tells_when_the_first_key_is_free():
    waits = iter((30, 5, 90))

    def refuse(request):
        return refused("Slow down", 429, **{"retry-after": str(next(waits))})(request)

    ask, tries = asked(refuse, "a", "b", "c")

    with pytest.raises(NoCapacity) as refusal:
        run(ask)

    assert len(tries) == 3
    assert refusal.value.status == 429
    assert refusal.value.retry_after == pytest.approx(5.0, abs=0.5), "not 90, which is what the last one said"


def test_a_refusal_without_a_time_tells_one():
    ask, _ = asked(refused("Slow down", 429), "a", attempts=1)

    with pytest.raises(NoCapacity) as refusal:
        run(ask)

    assert refusal.value.retry_after == pytest.approx(0.5, abs=0.1)


def test_keys_without_limits_take_turns():
    async def leased(loop):
        pool = KeyPool(keys("a", "b", "c"), clock=loop.time)
        return [(await pool.lease("m", Cost())).key.settings.name for _ in range(6)]

    assert run(leased) == ["a", "b", "c", "a", "b", "c"]


def test_a_key_tells_which_models_it_is_refused():
    async def status(loop):
        pool = KeyPool(keys("a"), clock=loop.time)
        pool.refuse_model(await pool.lease("m", Cost()), 3600.0)
        return pool.status()["list"][0]

    assert run(status)["without"] == ["m"]


@pytest.mark.parametrize(
    "fault", [b'data: {"error":{"message":"boom"}}\n\n', b"data: {no\n\n" * 5], ids=["error", "bad"]
)
def test_words_that_came_with_a_fault_are_kept(fault):
    reader = EventReader()
    reader.feed(b"data: " + json.dumps(word("Hel")).encode() + b"\n\n")
    last = b"data: " + json.dumps(word("lo")).encode() + b"\n\n"

    with pytest.raises((StreamError, MalformedStream)) as broken:
        reader.feed(last + fault)

    assert broken.value.before == last
    assert reader.characters == 5


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": f"{NOON + 20:.0f}"}, {}, 20.0),
        ({"retry-after": f"{(NOON + 20) * 1000:.0f}"}, {}, 20.0),
        ({"retry-after": "999999"}, {}, 86_400.0),
        ({"retry-after": "9999999999999999"}, {}, None),
        ({"x-ratelimit-reset": f"{(NOON + 15) * 1000:.0f}", "x-ratelimit-remaining": "0"}, {}, 15.0),
        ({"x-ratelimit-reset": "12", "x-ratelimit-remaining": "0"}, {}, 12.0),
        ({"x-ratelimit-reset": "12", "x-ratelimit-remaining": "3"}, {}, None),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": f"{(NOON + 15) * 1000:.0f}"}}}, 15.0),
        ({"retry-after": "3"}, {"metadata": {"headers": {"X-RateLimit-Reset": f"{(NOON + 15) * 1000:.0f}"}}}, 3.0),
    ],
)
def test_instants_of_resets_are_read_and_no_key_rests_for_more_than_a_day(headers, body, seconds):
    provider = provider_of("openrouter")
    provider._wall = lambda: NOON
    error = json.dumps({"error": {"message": "Rate limit exceeded", "code": 429, **body}}).encode()

    assert provider.failure(429, httpx.Headers(headers), error).retry_after == seconds


@pytest.mark.parametrize(
    ("name", "url", "header"),
    [
        ("openai", "https://api.openai.com/v1/models", ("authorization", f"Bearer {SECRET}")),
        ("openrouter", "https://openrouter.ai/api/v1/key", ("authorization", f"Bearer {SECRET}")),
        ("huggingface", "https://huggingface.co/api/whoami-v2", ("authorization", f"Bearer {SECRET}")),
        ("anthropic", "https://api.anthropic.com/v1/models", ("x-api-key", SECRET)),
    ],
)
def test_a_check_asks_what_only_a_good_key_is_told(name, url, header):
    [key] = KeyPool([with_preset(KeySettings(name, Secret(SECRET)))]).keys
    request = provider_of(name).check(key)

    assert (request.method, str(request.url)) == ("GET", url)
    assert request.headers[header[0]] == header[1]
    assert ("authorization" in request.headers) == (name != "anthropic")


def test_a_check_at_another_address_lists_the_models():
    [key] = KeyPool([with_preset(KeySettings("anthropic", Secret(SECRET), "http://127.0.0.1/v1"))]).keys

    assert str(provider_of("anthropic").check(key).url) == "http://127.0.0.1/v1/models"


def test_after_a_check_one_request_tries_a_key_that_had_failed():
    async def leased(loop):
        pool = KeyPool(keys("a"), clock=loop.time)
        failed = await pool.lease("m", Cost())
        pool.cool_down(failed, None, "overloaded")
        failed.settle(None)
        pool.keys.close("a")
        return pool, await pool.lease("m", Cost()), await pool.lease("m", Cost())

    pool, first, second = run(leased)

    assert pool.status()["by_state"]["ready"] == 1
    assert first.key.settings.name == "a"
    assert isinstance(second, KeysBusy), "it waits for what comes of the first"
