"""What comes before the first content may break and be asked for again; nothing of it reaches the caller twice."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from virtual_time import run

from jupyter_server_ext.config import PRESETS, KeySettings, PoolSettings, Secret, with_preset
from jupyter_server_ext.errors import RsqlGatewayError
from jupyter_server_ext.keys import KeyPool, KeyQueue
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.upstream import Job, KeyRotatingTransport


def event(delta=None, *, finish=None, **members) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"id": "c", "choices": choices, **members}).encode() + b"\n\n"


USAGE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
WHOLE = [
    event({"role": "assistant", "content": ""}),
    event({"content": "Yes."}),
    event({}, finish="stop"),
    event(usage=USAGE),
    b"data: [DONE]\n\n",
]
NO_CONTENT = {
    "nothing": [],
    "role": [event({"role": "assistant"})],
    "role and empty content": [event({"role": "assistant", "content": ""}), event({"content": ""})],
    "null content": [event({"role": "assistant", "content": None, "refusal": None, "tool_calls": None})],
    "empty lists": [event({"role": "assistant", "content": "", "tool_calls": [], "function_call": {}})],
    "comments": [b": keepalive\n\n", b": keepalive\n\n"],
    "event names and times": [b"event: ping\nid: 7\nretry: 100\n\n"],
    "usage before anything": [event(usage=USAGE)],
    "usage with the role": [event({"role": "assistant", "content": ""}, usage=USAGE)],
    "content filter results": [event(prompt_filter_results=[{"prompt_index": 0}])],
    "half an event": [event({"role": "assistant"}), b'data: {"choices":[{"ind'],
}
CONTENT = {
    "text": [event({"role": "assistant", "content": "Y"})],
    "a tool call": [event({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": ""}}]})],
    "a function call": [event({"function_call": {"name": "f", "arguments": ""}})],
    "reasoning": [event({"role": "assistant", "content": None, "reasoning_content": "Hm"})],
    "a refusal": [event({"refusal": "No."})],
    "a blank": [event({"content": " "})],
}
ENDS = ["closed", "reset", "stalled", "malformed", "error"]


class Scripted(httpx.AsyncBaseTransport):
    """The first request gets some events and breaks, later ones a whole answer."""

    def __init__(self, events: list[bytes], end: str) -> None:
        self._scripts = [(events, end)]
        self.asked = 0

    async def handle_async_request(self, request):
        self.asked += 1
        events, end = self._scripts.pop() if self._scripts else (WHOLE, "closed")
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Script(events, end))


class Script(httpx.AsyncByteStream):
    def __init__(self, events: list[bytes], end: str) -> None:
        self._events, self._end = events, end

    async def __aiter__(self):
        for data in self._events:
            await asyncio.sleep(0.01)
            yield data
        if self._end == "reset":
            raise httpx.ReadError("reset")
        if self._end == "stalled":
            await asyncio.sleep(1e6)
        if self._end == "malformed":
            yield b"data: {no json\n\n"
        if self._end == "error":
            yield event(error={"message": "The server had an error", "type": "server_error"})


def answered(provider: Scripted) -> tuple[bytes, RsqlGatewayError | None]:
    """What a caller gets of a stream, and how it ends."""
    return given(provider, [KeySettings("sim", Secret(f"key-{n}"), "http://sim/v1") for n in "12"])


def given(provider: httpx.AsyncBaseTransport, keys: list[KeySettings]) -> tuple[bytes, RsqlGatewayError | None]:
    """What a caller gets of a stream from one of some keys, and how it ends."""

    async def main(loop):
        pool = KeyPool(keys, clock=loop.time)
        settings = PoolSettings(first_byte_timeout_seconds=5.0, stall_timeout_seconds=5.0)
        queue = KeyQueue(pool, settings)
        transport = KeyRotatingTransport(queue, settings, lambda key: provider)
        request = ChatRequest("m", {"messages": [], "stream": True}, stream=True)
        parts: list[bytes] = []
        try:
            answer = await transport.answer(Job(Caller("ada"), request, loop.time() + 600.0))
            try:
                async for part in answer.parts():
                    parts.append(part)  # noqa: PERF401 - it may break
                parts.append(answer.ending())
            finally:
                await answer.aclose()
        except RsqlGatewayError as error:
            return b"".join(parts), error
        finally:
            await queue.close()
        return b"".join(parts), None

    return run(main)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("before", NO_CONTENT)
def test_what_breaks_before_the_first_content_is_asked_for_again(before, end):
    provider = Scripted(NO_CONTENT[before], end)

    told, error = answered(provider)

    assert error is None
    assert provider.asked == 2
    assert told.count(b'"role"') == 1, "of the first answer nothing is passed on"
    assert told.count(b"Yes.") == told.count(b"[DONE]") == 1
    assert b"keepalive" not in told
    assert b"prompt_filter_results" not in told


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("first", CONTENT)
def test_what_breaks_after_content_ends_in_one_error(first, end):
    provider = Scripted(CONTENT[first], end)

    told, error = answered(provider)

    assert error is not None
    assert provider.asked == 1
    assert told == b"".join(CONTENT[first]), "what arrived is kept"


def test_events_with_a_usage_of_their_own_keep_their_order():
    """Some providers count along in every event."""
    script = [
        event({"role": "assistant", "content": ""}, usage=USAGE),
        event({"content": "Yes."}, usage=USAGE),
        event({"content": ""}, usage=USAGE),
        event({"content": " No."}, usage=USAGE),
        event({}, finish="stop", usage=USAGE),
    ]

    told, error = answered(Scripted([*script, event(usage=USAGE), b"data: [DONE]\n\n"], "closed"))

    assert error is None
    assert told.startswith(b"".join(script[:4]))
    assert told.count(b"finish_reason") == len(script)


class Slow(httpx.AsyncBaseTransport):
    """A model on a small machine: it takes a request at once, and reads for long before it writes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def handle_async_request(self, request):
        stream = Reading(WHOLE[:1], WHOLE[1:], self._seconds)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)


class Reading(httpx.AsyncByteStream):
    def __init__(self, opening: list[bytes], events: list[bytes], seconds: float) -> None:
        self._opening, self._events, self._seconds = opening, events, seconds

    async def __aiter__(self):
        for data in self._opening:
            yield data
        await asyncio.sleep(self._seconds)
        for data in self._events:
            yield data


@pytest.mark.parametrize("provider", sorted(PRESETS))
def test_a_model_on_ones_own_machine_may_read_for_as_long_as_it_takes(provider):
    is_own = PRESETS[provider].base_url.startswith("http://127.0.0.1")

    told, error = given(Slow(150.0), [with_preset(KeySettings(provider, Secret("key")))])

    assert (error is None) == is_own
    assert (b"Yes." in told) == is_own


@pytest.mark.parametrize(("seconds", "answers"), [(50.0, True), (70.0, False)])
def test_a_key_may_have_a_patience_of_its_own(seconds, answers):
    key = KeySettings("sim", Secret("key"), "http://sim/v1", first_byte_timeout_seconds=60.0)

    _, error = given(Slow(seconds), [key])

    assert (error is None) == answers
