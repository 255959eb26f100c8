"""How providers are spoken to: bodies, headers, limits that headers tell, what answers are expected to take."""

from __future__ import annotations

import json

import httpx
import pytest

from jupyter_server_ext.config import PRESETS, KeySettings, Limit, Secret, with_preset
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.keys import Cost, Key, KeyPool, Rate
from jupyter_server_ext.messages import ChatRequest, TokenUsage
from jupyter_server_ext.upstream.openai import Expectation, Lengths, provider_of
from jupyter_server_ext.upstream.sse import EventReader, MalformedStream, ReportedUsage, StreamError


def request(text: str = "x" * 400, **body) -> ChatRequest:
    return ChatRequest("m", {"messages": [{"role": "user", "content": text}], **body})


def test_the_callers_fields_pass_through_and_keys_do_not():
    body = {"model": "a", "messages": [], "tools": [{"type": "function"}], "seed": 7, "api_key": "x", "apiKey_b": "y"}
    sent = json.loads(provider_of("groq").body(body, "b", stream=False))

    assert sent == {"model": "b", "messages": [], "tools": [{"type": "function"}], "seed": 7}


def test_a_stream_is_asked_for_its_usage_where_the_provider_knows_how():
    body = {"messages": [], "stream": True, "stream_options": {"other": 1}}

    assert json.loads(provider_of("openai").body(body, "m", stream=True))["stream_options"] == {
        "other": 1,
        "include_usage": True,
    }
    assert json.loads(provider_of("mistral").body(body, "m", stream=True))["stream_options"] == {"other": 1}


def test_a_request_carries_the_keys_secret_and_address():
    key = Key(KeySettings("groq", Secret("gsk_1234"), "https://example.org/v1/"), "groq-1")
    sent = provider_of("groq").request(key, "/chat/completions", b"{}")

    assert str(sent.url) == "https://example.org/v1/chat/completions"
    assert sent.headers["authorization"] == "Bearer gsk_1234"
    bare = provider_of("ollama").request(Key(KeySettings("ollama", base_url="http://127.0.0.1"), "o"), "/models", b"")
    assert (bare.method, "authorization" in bare.headers) == ("GET", False)


def test_openais_headers():
    told = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
    }

    assert provider_of("openai").rates(httpx.Headers(told)) == [
        Rate("requests", 60, 59, 1.0, 1.0, 60.0),
        Rate("tokens", 150_000, 149_984, 360.0, 1.0, 60.0),
    ]


def test_groqs_requests_are_of_the_day_and_its_tokens_of_the_minute():
    told = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-tokens": "7.66s",
    }
    requests, tokens = provider_of("groq").rates(httpx.Headers(told))

    assert requests == Rate("requests", 14400, 14370, 179.56, 0.01, 86_400.0)
    assert tokens == Rate("tokens", 18000, 17997, 7.66, 0.01, 60.0)


def test_anthropics_headers():
    told = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:00Z",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-input-tokens-remaining": "29000",
    }

    assert [(r.unit, r.remaining, r.reset) for r in provider_of("anthropic").rates(httpx.Headers(told))] == [
        ("requests", 49, None),
        ("input_tokens", 29_000, None),
    ]


@pytest.mark.parametrize("value", ["", "-1", "many", "1.5", "1e3", "²", "9" * 5000])
def test_headers_that_are_nonsense_teach_nothing(value):
    told = {b"x-ratelimit-limit-requests": b"60", b"x-ratelimit-remaining-requests": value.encode("latin-1")}

    assert provider_of("openai").rates(httpx.Headers(told)) == []


def lease(*limits: Limit, provider: str = "sim"):
    pool = KeyPool([KeySettings(provider, Secret("k"), "http://127.0.0.1/v1", limits=limits)], clock=lambda: 0.0)
    with pytest.raises(StopIteration) as stop:
        pool.lease("m", Cost(10, 10)).send(None)
    return pool, stop.value.value


def used(pool: KeyPool) -> dict[tuple[str, float], tuple[int, int]]:
    rows = pool.status()["list"][0]["limits"]
    return {(row["unit"], row["seconds"]): (row["used"], row["limit"]) for row in rows}


def test_a_header_speaks_of_the_window_of_its_amount():
    pool, one = lease(Limit(30, "requests", 60.0), Limit(1000, "requests", 86_400.0))
    one.counted([Rate("requests", 1000, 900, 60.0, seconds=86_400.0)])

    assert used(pool) == {("requests", 60.0): (1, 30), ("requests", 86_400.0): (100, 1000)}


def test_a_header_speaks_of_the_window_of_its_length_where_the_amount_is_new():
    pool, one = lease(Limit(30, "requests", 60.0), Limit(1000, "requests", 86_400.0))
    one.counted([Rate("requests", 500, 499, 60.0, seconds=86_400.0)])

    assert used(pool) == {("requests", 60.0): (1, 30), ("requests", 86_400.0): (1, 500)}


def test_a_header_of_the_day_is_not_taken_for_the_minute():
    pool, one = lease(Limit(30, "requests", 60.0))
    one.counted([Rate("requests", 14_400, 14_000, 60.0, seconds=86_400.0)])

    assert used(pool) == {("requests", 60.0): (1, 30)}


def test_keys_of_one_organisation_share_their_limits():
    limits = (Limit(2, "requests", 60.0),)
    keys = [KeySettings("groq", Secret(f"k{n}"), "http://x/v1", quota_group="org", limits=limits) for n in range(3)]
    pool = KeyPool(keys, clock=lambda: 0.0)
    got = []
    for _ in range(3):
        with pytest.raises(StopIteration) as stop:
            pool.lease("m", Cost()).send(None)
        got.append(type(stop.value.value).__name__)

    assert got == ["Lease", "Lease", "KeysBusy"]


def test_limits_of_each_model_are_apart():
    pool, _ = lease(Limit(1, "requests", 60.0, model="*"))
    with pytest.raises(StopIteration) as stop:
        pool.lease("other", Cost()).send(None)

    assert type(stop.value.value).__name__ == "Lease"


def test_presets_know_where_providers_are():
    for name, preset in PRESETS.items():
        assert preset.base_url.startswith("http"), name
        assert name == "offline" or preset.source.startswith("https://"), name
    groq = with_preset(KeySettings("groq", Secret("k")))
    assert groq.base_url == "https://api.groq.com/openai/v1"
    assert all(limit.assumed for limit in groq.limits)


def test_what_is_configured_goes_before_a_preset():
    own = with_preset(KeySettings("groq", base_url="http://127.0.0.1:1/v1", limits=(Limit(5, "requests", 1.0),)))

    assert (own.base_url, own.limits) == ("http://127.0.0.1:1/v1", (Limit(5, "requests", 1.0),))
    assert with_preset(KeySettings("groq", base_url="http://127.0.0.1:1/v1")).limits == (), "another server's limits"
    with pytest.raises(ConfigError, match="base_url"):
        with_preset(KeySettings("nobody"))


def test_answers_are_expected_a_little_longer_than_the_longest_of_late():
    seen = Expectation()
    assert seen.cost("ada", request(), "m").completion == 1024
    seen.learn("ada", request(), "m", TokenUsage(100, 60))
    seen.learn("bob", request(), "m", TokenUsage(100, 10))

    assert seen.cost("bob", request(), "m").completion == 90
    assert seen.cost("new", request(), "m").completion == 90
    assert seen.cost("ada", request(), "other").completion == 1024


def test_a_caller_with_many_answers_is_known_by_them():
    seen = Expectation()
    seen.learn("ada", request(), "m", TokenUsage(100, 60))
    for _ in range(50):
        seen.learn("bob", request(), "m", TokenUsage(100, 10))

    assert seen.cost("bob", request(), "m").completion == 10
    assert seen.cost("ada", request(), "m").completion == 90


def test_lengths_that_hardly_differ_need_hardly_a_margin():
    lengths = Lengths()
    for n in range(400):
        lengths.add(50 + n % 10)
    assert lengths.bound() == 59

    lengths.add(300)
    assert lengths.bound() == 450
    for _ in range(200):
        lengths.add(50)
    assert lengths.bound() == 50, "what is long ago is forgotten"


def test_max_tokens_is_what_an_answer_may_take():
    seen = Expectation()

    assert seen.cost("ada", request(max_tokens=20, n=3), "m")[1:3] == (60, 60)
    assert seen.cost("ada", request(max_completion_tokens=30), "m").completion == 30


def test_each_of_several_answers_is_expected_to_be_as_long():
    seen = Expectation()
    for _ in range(50):
        seen.learn("ada", request(n=4), "m", TokenUsage(100, 40))

    assert seen.cost("ada", request(), "m").completion == 10
    assert seen.cost("ada", request(n=3), "m").completion == 30
    for odd in ("3", 0, -2, None, 1.5):
        assert seen.cost("ada", request(n=odd), "m").completion == 10


def test_prompts_are_estimated_from_their_length_at_the_rate_that_was_seen():
    seen = Expectation()
    assert seen.cost("ada", request(), "m").prompt >= 400 / 4
    seen.learn("ada", request(), "m", TokenUsage(80, 5))

    assert 80 <= seen.cost("ada", request(), "m").prompt <= 84
    assert seen.cost("ada", request("x" * 4000), "m").prompt >= 790


def test_images_and_tools_are_counted():
    parts = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:" + "x" * 100_000}}]
    picture = ChatRequest("m", {"messages": [{"role": "user", "content": parts}]})
    seen = Expectation()

    assert 1000 < seen.cost("ada", picture, "m").prompt < 5000
    tools = seen.cost("ada", request("hi", tools=[{"function": {"name": "f", "description": "y" * 900}}]), "m")
    assert tools.prompt > 300
    calls = [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "z" * 900}}]}]
    assert seen.cost("ada", request("hi", messages=calls), "m").prompt > 300


def event(**delta) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode() + b"\n\n"


def test_events_pass_whole_however_they_arrive():
    stream = event(role="assistant") + event(content="Hé") + event(content="llo") + b"data: [DONE]\n\n"
    whole = EventReader().feed(stream)
    reader = EventReader()
    parts = b"".join(reader.feed(stream[n : n + 1]) for n in range(len(stream)))

    assert whole == parts == stream.removesuffix(b"data: [DONE]\n\n")
    assert (reader.characters, reader.done) == (5, True)


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n"])
def test_line_ends_of_both_kinds(end):
    reader = EventReader()
    passed = b"".join(reader.feed(bytes([byte])) for byte in event(content="Hi").replace(b"\n\n", end))

    assert passed == event(content="Hi")


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x"},
        {"reasoning_content": "x"},
        {"tool_calls": [{"index": 0}]},
        {"refusal": "no"},
        {"content": [{"type": "text", "text": "x"}]},
    ],
)
def test_what_counts_as_content(delta):
    reader = EventReader()
    reader.feed(event(**delta))

    assert reader.characters > 0


@pytest.mark.parametrize("delta", [{"role": "assistant"}, {"content": ""}, {"content": None}, {"tool_calls": None}, {}])
def test_what_does_not(delta):
    reader = EventReader()
    reader.feed(event(**delta))

    assert reader.characters == 0


def test_comments_and_unknown_events_pass():
    reader = EventReader()
    comment = b": keep-alive\n\n"
    named = b'event: ping\ndata: {"type": "ping"}\n\n'
    odd = b'data: {"choices": "none"}\n\n'

    assert reader.feed(comment + named + odd) == comment + named + odd


def test_an_error_in_the_stream_and_damage_are_told():
    with pytest.raises(StreamError):
        EventReader().feed(b'data: {"error": {"message": "no"}}\n\n')
    with pytest.raises(MalformedStream):
        EventReader().feed(b'data: {"choices":[{"delta":{"content":"\n\n')
    assert EventReader().feed(event(content="x").replace(b"}]}", b'}], "error": null}'))


DAMAGED = b'data: {"choices":[{"delta":{"content":"\n\n'
END = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


def usage_of(tokens: int) -> bytes:
    return b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":%d}}\n\n' % tokens


@pytest.mark.parametrize(
    ("rest", "has_gaps"),
    [
        (END + usage_of(2), False),
        (END + usage_of(3), True),
        (END, True),
        (usage_of(2) + b"data: [DONE]\n\n", True),
        (END + usage_of(2) + b"data: [DONE]\n\n", False),
    ],
    ids=["all counted", "one more counted", "nothing counted", "no end", "all counted, [DONE]"],
)
def test_a_damaged_event_is_left_out_and_missed_only_if_it_held_text(rest, has_gaps):
    reader = EventReader()
    passed = reader.feed(event(content="a") + DAMAGED + event(content="b") + rest)

    assert passed == event(content="a") + event(content="b")
    assert reader.has_gaps is has_gaps


def test_one_damaged_event_after_the_other_is_no_stream():
    reader = EventReader()
    reader.feed(event(content="a") + 3 * DAMAGED)
    with pytest.raises(MalformedStream):
        reader.feed(DAMAGED)


def test_usage_in_groqs_place():
    reader = EventReader()
    reader.feed(b'data: {"choices":[],"x_groq":{"usage":{"prompt_tokens":5,"completion_tokens":2}}}\n\n')

    assert reader.reported == ReportedUsage(5, 2)


def test_usage_that_cannot_be_is_read_as_it_stands():
    reader = EventReader()
    counts = b'{"prompt_tokens":-5,"completion_tokens":9e30,"prompt_tokens_details":{"cached_tokens":7}}'
    reader.feed(b'data: {"choices":[],"usage":' + counts.replace(b"9e30", b"9" * 30) + b"}\n\n")

    assert reader.reported == ReportedUsage(-5, int("9" * 30), 7), "nonsense, and seen as such where it is checked"
