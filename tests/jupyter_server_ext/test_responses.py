"""``v1/responses``: what it asks of a chat completion, and what it makes of the answer."""

from __future__ import annotations

import json

import pytest

from jupyter_server_ext.errors import BadRequest, UpstreamFailed
from jupyter_server_ext.handlers.response_events import EventTranslator, ResponseFrame, response_of
from jupyter_server_ext.handlers.responses import chat_body
from jupyter_server_ext.messages import QueueNews

CALL = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'}


def chunk(**delta):
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def ending(finish="stop", **more):
    last = {"choices": [{"delta": {}, "finish_reason": finish}], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}
    return b"data: " + json.dumps(last | more).encode() + b"\n\ndata: [DONE]\n\n"


def events_of(*pieces, **body):
    translate = EventTranslator(ResponseFrame("r1", "m", body, 7))
    sent = b"".join(translate.feed(piece) for piece in pieces).decode()
    return [json.loads(line[6:]) for line in sent.splitlines() if line.startswith("data: ")]


# What is asked


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ("Hi", [{"role": "user", "content": "Hi"}]),
        ([{"role": "developer", "content": "Be brief."}], [{"role": "system", "content": "Be brief."}]),
        (
            [
                {
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
                }
            ],
            [{"role": "assistant", "content": "ab"}],
        ),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "u"}],
                }
            ],
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}],
                }
            ],
        ),
        (
            [{"type": "reasoning", "id": "x", "summary": []}, CALL, {**CALL, "call_id": "c2"}],
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": n, "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
                        for n in ("c1", "c2")
                    ],
                }
            ],
        ),
        (
            [{"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "sun"}]}],
            [{"role": "tool", "tool_call_id": "c1", "content": "sun"}],
        ),
    ],
)
def test_input_becomes_messages(given, messages):
    assert chat_body({"input": given})["messages"] == messages


def test_settings_have_their_counterparts():
    schema = {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True}
    asked = chat_body(
        {
            "model": "m",
            "input": "x",
            "instructions": "Be brief.",
            "stream": True,
            "max_output_tokens": 9,
            "reasoning": {"effort": "low"},
            "text": {"format": schema, "verbosity": "low"},
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": None}],
            "tool_choice": {"type": "function", "name": "f"},
            "store": True,
            "include": ["reasoning.encrypted_content"],
        }
    )
    assert asked.pop("messages")[0] == {"role": "system", "content": "Be brief."}
    assert asked == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 9,
        "reasoning_effort": "low",
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {k: v for k, v in schema.items() if k != "type"}},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "user", "content": 3}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": "x", "previous_response_id": "r"}, "previous_response_id"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": "x", "tools": "all"}, "tools"),
        ({"input": "x", "text": "json"}, "text"),
        ({"input": "x", "instructions": 3}, "instructions"),
        ({"input": "x", "max_output_tokens": -1}, "max_output_tokens"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(body, param):
    with pytest.raises(BadRequest) as caught:
        chat_body(body)
    assert caught.value.param == param


# What is answered


def test_a_whole_answer():
    message = {"content": "Hi.", "reasoning_content": "Hm.", "tool_calls": [{"id": "c1", "function": {"name": "f"}}]}
    reply = {"model": "m2", "choices": [{"message": message, "finish_reason": "length"}], "rsql": {"attempts": 1}}
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 1}}
    told = json.loads(response_of(json.dumps(reply | {"usage": usage}).encode(), ResponseFrame("r1", "m", {}, 7)))
    assert [item["type"] for item in told["output"]] == ["reasoning", "message", "function_call"]
    assert (told["status"], told["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert (told["model"], told["rsql"], told["usage"]["total_tokens"]) == ("m2", {"attempts": 1}, 8)


def test_a_stream_of_words():
    events = events_of(chunk(role="assistant", content=""), chunk(content="He") + chunk(content="y"), ending())
    assert [event["type"].removeprefix("response.") for event in events] == [
        *(
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
        ),
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert [event["sequence_number"] for event in events] == list(range(10))
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Hey"
    assert events[-1]["response"]["usage"]["input_tokens"] == 4


def test_a_stream_of_thoughts_and_calls():
    calls = [{"index": n, "id": f"c{n}", "function": {"name": "f", "arguments": "{}"}} for n in (0, 1)]
    events = events_of(chunk(reasoning="Hm."), chunk(tool_calls=calls), ending("tool_calls"))
    output = events[-1]["response"]["output"]
    assert [(item["type"], item.get("call_id")) for item in output] == [
        ("reasoning", None),
        ("function_call", "c0"),
        ("function_call", "c1"),
    ]
    assert [event["item"]["id"] for event in events if event["type"].endswith("item.done")] == [o["id"] for o in output]


def test_calls_that_all_count_as_the_first_stay_apart():
    calls = [{"index": 0, "id": f"c{n}", "function": {"name": "f", "arguments": f"{{{n}"}} for n in (0, 1)]
    rest = [{"index": 0, "function": {"arguments": "}"}}]
    output = events_of(chunk(tool_calls=calls), chunk(tool_calls=rest), ending("tool_calls"))[-1]["response"]["output"]
    assert [(item["call_id"], item["arguments"]) for item in output] == [("c0", "{0"), ("c1", "{1}")]


def test_an_empty_answer_is_an_empty_message():
    assert events_of(ending())[-1]["response"]["output"][0]["content"][0]["text"] == ""


def test_a_failure_in_the_middle_keeps_what_came():
    error = {"error": {"message": "It broke off.", "code": "upstream_failed"}}
    events = events_of(chunk(content="He"), b"data: " + json.dumps(error).encode() + b"\n\n")
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["error"] == {"code": "upstream_failed", "message": "It broke off."}
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "He"


def test_comments_pass():
    assert EventTranslator(ResponseFrame("r", "m", {}, 0)).feed(b": queued position=1 eta=2.0\n\n") == (
        b": queued position=1 eta=2.0\n\n"
    )


# Over HTTP


@pytest.mark.asyncio
async def test_the_route_answers_whole(served):
    async with served() as gateway:
        reply = await gateway.ask({"input": "Hi"}, path="v1/responses")
    assert reply.json()["output"][0]["content"][0]["text"] == "Hello."
    assert reply.json()["id"] == f"resp_{reply.headers['x-request-id']}"
    assert gateway.gateway.asked[0][1].body["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.asyncio
async def test_the_route_streams_with_news_of_the_queue(served):
    async with served() as gateway:
        gateway.gateway.events = [QueueNews(2, 1.0), chunk(content="Hey"), ending()]
        reply = await gateway.ask({"input": "Hi", "stream": True}, path="v1/responses")
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.text.startswith(": queued position=2")
    assert "event: response.completed\n" in reply.text
    assert "[DONE]" not in reply.text


@pytest.mark.asyncio
async def test_refusals_are_those_of_completions(served):
    async with served() as gateway:
        wrong = await gateway.ask({"input": 3}, path="v1/responses")
        gateway.gateway.events = [UpstreamFailed("No.")]
        failed = await gateway.ask({"input": "x"}, path="v1/responses")
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "input")
    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "upstream_failed")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "param"), [({"model": "m"}, "input"), ({"input": "x"}, "model"), ({"input": 3, "model": "m"}, "input")]
)
async def test_embeddings_name_what_is_wrong(served, body, param):
    async with served() as gateway:
        reply = await gateway.ask(body, path="v1/embeddings")
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


@pytest.mark.asyncio
async def test_the_offline_model_has_no_embeddings(served):
    async with served() as gateway:
        reply = await gateway.ask({"input": "x", "model": "offline"}, path="v1/embeddings")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "model_not_found")
