"""Single functions and rules of the gateway, an example each."""

from __future__ import annotations

import math
import zlib

from jupyter_server_ext.app.assembly import RSQLGatewayApp
from jupyter_server_ext.app.command import _plainly
from jupyter_server_ext.app.subcommands import ClassDemand, group_rate
from jupyter_server_ext.config.settings import KeySettings, Limit
from jupyter_server_ext.handlers.chat import asked_of
from jupyter_server_ext.handlers.requests import cache_wish
from jupyter_server_ext.handlers.response_events import EventTranslator, ResponseFrame
from jupyter_server_ext.handlers.responses import chat_body
from jupyter_server_ext.keys.model_queue import QueuedRequest
from jupyter_server_ext.keys.shares import Habits
from jupyter_server_ext.keys.turns import TurnsOfTenants
from jupyter_server_ext.keys.windows.learnt import Charging, EffectiveLimit, HeaderReliability, TravelMargin
from jupyter_server_ext.keys.windows.projection import WindowProjection
from jupyter_server_ext.keys.windows.usage import (
    Cost,
    Excess,
    RemainingLowerBound,
    ReservationVariance,
    WindowEntry,
    WindowSpec,
)
from jupyter_server_ext.keys.windows.window import TimeWindow
from jupyter_server_ext.limits.counters import scope_of
from jupyter_server_ext.limits.limits import duration as header_duration
from jupyter_server_ext.limits.limits import in_words
from jupyter_server_ext.logs import Log
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.pipeline.cache import as_body, cache_key
from jupyter_server_ext.redis.client import address_of
from jupyter_server_ext.upstream.connection import Unpacking
from jupyter_server_ext.upstream.failures import classify, duration
from jupyter_server_ext.upstream.openai import Lengths
from jupyter_server_ext.upstream.sse import EventReader


def test_deficit_round_robin():
    flows = TurnsOfTenants()
    for name in ("ada", "bob"):
        flows.push(QueuedRequest(Caller(name), "m", Cost()))
    flows.serve(flows.head())
    for name in ("ada", "eve"):  # ada is back, and eve has come
        flows.push(QueuedRequest(Caller(name), "m", Cost()))
    assert [request.caller.name for request in flows.order()] == ["bob", "eve", "ada"]


def test_habits():
    habits = Habits()
    for second in (0.0, 5.0, 10.0, 15.0):
        habits.ask(QueuedRequest(Caller("ada"), "m", Cost()), second)
    assert habits.of(20.0)["ada"].rate(20.0) < 0.25
    assert "ada" not in habits.of(60.0)


def test_effective_limit():
    effective = EffectiveLimit(WindowSpec("k", "requests", 30, 60.0))
    effective.lower(20, 0.0, 1.0)
    assert effective.limit == 20
    assert effective.advance(61.0)
    assert effective.limit == 25


def test_header_reliability():
    headers = HeaderReliability(60.0)  # the length of the limit's window
    for second in (10.0, 20.0, 29.0, 30.0):
        headers.belied(second)
    assert (headers.are_believed(30.0), headers.are_believed(630.0)) == (False, True)


def test_travel_margin():
    margin, charging = TravelMargin(0.25, 60.0), Charging("requests", 60.0)
    assert (margin.explains(0.0, 1.0, charging), margin.seconds) == (True, 0.5)
    assert (margin.advance(600.0, charging), margin.advance(601.0, charging), margin.seconds) == (False, True, 0.25)


def test_window_projection():
    projection = WindowProjection(2, left=1, seconds=60.0, frees=[(10.0, 1)])
    projection.take(1, 0.0)
    assert [projection.opens(amount, 0.0) for amount in (1, 2, 3)] == [10.0, 60.0, math.inf]


def test_reservation_variance():
    variance = ReservationVariance([Excess(30, 30), Excess(40, 40)])
    assert variance.saved() == 20.0
    assert round(variance.saved(Excess(120, 120)), 3) == 60.0


def test_remaining_lower_bound():
    bound = RemainingLowerBound(30, 0.5, full=True)
    entry = WindowEntry(1, 0, 0, 0.0, 1)
    bound.reserve(entry)
    assert bound.left(10.0) == 29.0
    bound.count(entry, 10.0)
    assert (bound.left(11.0), bound.left(20.0)) == (29.5, 30.0)


def test_time_window():
    window = TimeWindow(WindowSpec("k", "requests", 2, 60.0), jitter=0.25)
    for second in (0.0, 10.0):
        entry = window.reserve(Cost(), second)
        window.counted(entry, second + 0.1)
    assert (window.room(20.0), round(window.wait(1, 20.0), 3)) == (0.0, 40.7)


def test_asked_of():
    assert asked_of({"message": "Hi"})["messages"] == [{"role": "user", "content": "Hi"}]


def test_cache_wish():
    assert (cache_wish("max-age=600"), cache_wish("no-cache"), cache_wish("")) == (
        ("use", 600.0),
        ("bypass", math.inf),
        ("", math.inf),
    )


def test_event_translator():
    translate = EventTranslator(ResponseFrame("req-1", "m", {}, 0))
    said = translate.feed(b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n').decode()
    assert [line[7:] for line in said.splitlines() if line.startswith("event:")][-1] == "response.output_text.delta"


def test_chat_body():
    assert chat_body({"model": "m", "instructions": "Be brief.", "input": "Hi"})["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]


def test_unpacking():
    unpacking = Unpacking(b"deflate")
    assert b"".join(unpacking.pieces(zlib.compress(b"text"))) == b"text"


def test_classify():
    assert (
        classify(429, b'{"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}').kind
        == "quota_exhausted"
    )


def test_duration():
    assert (duration("2m59.56s"), duration("17"), duration("120ms"), duration("soon")) == (179.56, 17.0, 0.12, None)


def test_log():
    Log().warning("key_failed", key="groq-1", reason="overloaded", status=500)


def test_event_reader():
    reader = EventReader()
    assert (
        reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n')
        == b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    )
    assert (reader.characters, reader.finished) == (2, False)


def test_lengths():
    lengths = Lengths()
    for tokens in [16] * 30:
        lengths.add(tokens)
    assert lengths.bound() == 16


def test_cache_key():
    ask = {"messages": [{"role": "user", "content": "hi"}]}
    assert cache_key(ChatRequest("m", ask), "a") == cache_key(ChatRequest("m", ask, stream=True), "a")
    assert cache_key(ChatRequest("m", ask), "a") != cache_key(ChatRequest("m", ask), "b")


def test_as_body():
    choice = b'{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}'
    whole = b'{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}'
    body = b'{"id":"c","object":"chat.completion","choices":[' + whole + b"]}"
    assert as_body(b'data: {"id":"c","choices":[' + choice + b"]}\n\n") == body


def test_base_below():
    assert RSQLGatewayApp(url_prefix="rsql").base_below("/user/ada/") == "/user/ada/rsql/"


def test_plainly():
    assert (
        _plainly("The 'port' trait of a RSQLGatewayApp instance expected an int, not the str 'abc'.")
        == "'port' must be a whole number, not 'abc'."
    )


def test_group_rate():
    key = KeySettings("x", limits=(Limit(30, "requests", 60), Limit(6000, "tokens", 60)))
    assert str(group_rate([key], "m", ClassDemand(prompt=1500, answer=250), 60)) == "3.4 by 6,000 tokens per minute"


def test_scope_of():
    assert scope_of("caller:ada/requests/minute") == "caller:ada"


def test_duration_of_limits():
    assert (header_duration(0.5), header_duration(359.56), header_duration(7200)) == ("500ms", "5m59.56s", "2h0m0s")


def test_in_words():
    assert (in_words(0.2), in_words(90), in_words(4000)) == ("1 s", "90 s", "67 min")


def test_addresses():
    assert address_of("redis+cluster://u:p@10.0.0.1,10.0.0.2:7000,[::1]:7001").addresses(6379) == [
        ("10.0.0.1", 6379),
        ("10.0.0.2", 7000),
        ("::1", 7001),
    ]
