"""Replies in the shapes of providers mean the same read directly and behind a gateway: text, ending, or failure."""

from __future__ import annotations

import json

import httpx
import pytest
from many_cases import check_each
from recorded_shapes import THOUGHT, recorded

from jupyter_server_ext.upstream.sse import BrokenStream, EventReader
from rsql_magic.errors import AnswerCut, GatewayError
from rsql_magic.gateway import Reply, ending_of
from rsql_magic.gateway.client import LLMClient, ModelRecords, context_exceeded, refused_parameter
from rsql_magic.gateway.events import parse_sse, without_thoughts

LIBRARY = list(recorded())


def read(content):
    """The text of a stream, and how it ended."""
    lines = httpx.Response(200, content=content).iter_lines()
    reply = Reply()
    try:
        for _ in reply.read(lambda: parse_sse(lines)):
            pass
    except AnswerCut as error:
        return error.partial, "error"
    except GatewayError:
        return "", "error"
    return reply.text, ending_of(reply.done.finish_reason)


def passed_on(content, size):
    """What a gateway makes of a stream that comes in pieces of so many bytes."""
    reader, passed = EventReader(), b""
    try:
        for start in range(0, len(content), size):
            if reader.done:
                break
            passed += reader.feed(content[start : start + size])
        reader.end()
    except BrokenStream as broken:
        return passed + broken.before
    ends = [event.data for event in reader.tail]
    return passed + b"".join(b"data: " + data + b"\n\n" for data in [*ends, b"[DONE]"])


def test_the_library_has_a_hundred_and_twenty_replies():
    assert len({one.name for one in LIBRARY}) == len(LIBRARY) >= 120


def test_a_reply_means_what_its_provider_means():
    def check(one):
        if one.ending == "error" or (not one.stream.rstrip().endswith(b"[DONE]") and "behind" not in one.name):
            return  # what ends without [DONE] is whole behind a gateway only
        assert read(one.stream) == (one.text, one.ending)
        if one.thinks:
            assert THOUGHT not in read(one.stream)[0]

    check_each(check, [(one,) for one in LIBRARY])


def test_an_error_within_a_stream_is_one_and_keeps_what_came():
    cases = [one for one in LIBRARY if ", told error" in one.name]
    assert len(cases) >= 28
    check_each(
        lambda one: (read(one.stream) == ("There ", "error")) or pytest.fail(one.name), [(one,) for one in cases]
    )


@pytest.mark.parametrize("size", [7, 10_000])
def test_behind_a_gateway_it_means_the_same(size):
    def check(one):
        passed = passed_on(one.stream, size)
        text, ending = read(passed)
        assert (text, ending) == (one.text, one.ending) or (one.ending == "error" and ending == "error")
        assert b"Ignore that." not in passed
        data = [line for line in passed.decode().splitlines() if line.startswith("data:")]
        assert all(line.startswith("data: ") for line in data if "[DONE]" in line)

    check_each(check, [(one,) for one in LIBRARY])


def test_an_answer_that_the_filter_ended_says_so(ip, gateway):
    lines = ['data: {"choices": [{"delta": {"content": "The "}}]}']
    lines += ['data: {"choices": [{"delta": {}, "finish_reason": "content_filter"}]}', "data: [DONE]"]
    gateway.replies = [lines]
    answer = ip.run("%%ask\nanything")
    assert answer.text == "The "
    assert "The provider's filter ended the answer" in answer.shown().bundle()["text/plain"]


def test_the_query_behind_the_thoughts_is_run(ip, gateway, con):
    thoughts = "We need SELECT 1 maybe.\n```sql\nSELECT 1\n```\nno, rather count.</think>\n\n"
    gateway.replies = [f"{thoughts}```sql\nSELECT count(*) AS n FROM orders\n```"]
    result = ip.run("%%sql_ai con\nHow many orders are there?")
    assert "count(*)" in result.sql.lower()


def test_a_query_that_a_filter_ended_is_not_run(ip, gateway, con):
    query = "```sql\nSELECT count(*) AS n FROM orders\n```"
    gateway.replies = [list(gateway.stream(query, "content_filter")), query]
    ip.run("%%sql_ai con\nHow many orders are there?")
    assert len(gateway.requests) == 2


def test_a_server_without_stream_options_is_asked_without_them_from_then_on():
    asked, words = [], "Extra inputs are not permitted: body.stream_options.include_usage"

    def answer(request):
        body = json.loads(request.content)
        asked.append("stream_options" in body)
        if asked[-1]:
            return httpx.Response(422, json={"error": {"message": words}})
        return httpx.Response(200, json={"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]})

    client = LLMClient("http://x/v1/", transport=httpx.MockTransport(answer), records=ModelRecords())
    for _ in range(2):
        list(client.stream([{"role": "user", "content": "x"}]))
    assert asked == [True, False, False]
    assert refused_parameter(GatewayError("No.", status=422), ["stream_options"]) == ""


def test_a_context_that_is_exceeded_is_known_from_a_server_that_fails():
    assert context_exceeded(GatewayError("Context size has been exceeded.", status=500)) == 0
    assert context_exceeded(GatewayError("The context of the call is lost.", status=500)) is None


def test_an_answer_that_shows_how_thoughts_are_marked_stays_whole():
    for said in (
        "Models write\n```\n<think>\nhm\n</think>\n```\nfirst.",
        "It ends with `</think>`, always.",
        "a </think> b",
    ):
        assert without_thoughts(said) == said
