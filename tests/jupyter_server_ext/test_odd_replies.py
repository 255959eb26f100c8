"""Replies that are damaged, nonsense or untrue: other keys answer, what cannot be costs nothing, the log says why."""

from __future__ import annotations

import itertools
import json
import logging
from collections import OrderedDict
from contextlib import AsyncExitStack

import httpx
import pytest
from virtual_time import run

from jupyter_server_ext.config import KeySettings, PoolSettings, Secret
from jupyter_server_ext.errors import NoCapacity, UpstreamFailed
from jupyter_server_ext.keys import KeyPool, KeyQueue
from jupyter_server_ext.logs import Log
from jupyter_server_ext.messages import Caller, ChatRequest, TokenUsage
from jupyter_server_ext.upstream import Job, KeyRotatingTransport
from jupyter_server_ext.upstream.failures import classify
from jupyter_server_ext.upstream.openai import checked
from jupyter_server_ext.upstream.sse import EventReader, MalformedStream, ReportedUsage, read_completion

GOOD = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
PAGE = b"<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head></html>"


def whole(usage=None):
    return httpx.Response(200, json=GOOD | ({} if usage is None else {"usage": usage}))


def told_of(raw):
    return read_completion(b'{"usage":%s}' % raw).reported()


class Asking:
    """Requests through a pool of keys ``a`` to ``e``, in virtual time; ``reply`` is given the key's name."""

    def __init__(self, reply, names="abcde", **settings):
        self.reply, self.names, self.settings = reply, names, PoolSettings(**settings)
        self.tries: list[tuple[float, str]] = []

    async def __call__(self, loop, requests=1, *, stream=False, **body):
        keys = [
            KeySettings("sim", Secret(f"sk-{name}-0123456789"), "http://h/v1", name=name, models=("m",))
            for name in self.names
        ]
        self.pool = KeyPool(keys, clock=loop.time)

        def answer(request):
            name = request.headers["authorization"].split("-")[1]
            self.tries.append((loop.time(), name))
            return self.reply(name)

        outcomes = []
        async with AsyncExitStack() as stack:
            queue = KeyQueue(self.pool, self.settings)
            stack.push_async_callback(queue.close)
            transport = KeyRotatingTransport(queue, self.settings, lambda _: httpx.MockTransport(answer))
            asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream, **body}
            for _ in range(requests):
                job = Job(Caller("ada"), ChatRequest("m", asked, stream=stream, request_id="req-1"), loop.time() + 60)
                try:
                    given = await transport.answer(job)
                    text = b"".join([part async for part in given])
                    await given.aclose()
                    outcomes.append((text, given.usage))
                except (UpstreamFailed, NoCapacity) as error:
                    outcomes.append(error)
        return outcomes


def ask(asking, **options):
    return run(lambda loop: asking(loop, **options))


REFUSALS = {
    "401": httpx.Response(401, json={"error": {"message": "no", "code": "invalid_api_key"}}),
    "403": httpx.Response(403, json={"error": {"message": "no"}}),
    "429": httpx.Response(429, json={"error": {"message": "slow"}}),
    "429 at once": httpx.Response(429, json={"error": {"message": "slow"}}, headers={"retry-after": "0"}),
    "500": httpx.Response(500, text="boom"),
    "503": httpx.Response(503, text="busy"),
    "page": httpx.Response(403, content=PAGE),
    "no connection": None,
}


@pytest.mark.parametrize("name", REFUSALS)
def test_while_one_key_can_serve_no_request_fails(name):
    def reply(key):
        if key == "e":
            return whole()
        if REFUSALS[name] is None:
            raise httpx.ConnectError("refused")
        return REFUSALS[name]

    asking = Asking(reply, attempts=3)
    outcomes = ask(asking, requests=40)

    assert not [error for error in outcomes if isinstance(error, Exception)]
    assert len(asking.tries) < 40 + 60, "keys that fail rest"


@pytest.mark.parametrize(
    "fault", [httpx.ReadError("cut"), httpx.RemoteProtocolError("no HTTP"), httpx.ReadTimeout("?")]
)
def test_tries_that_may_be_billed_end_at_attempts(fault):
    def reply(_):
        raise fault

    asking = Asking(reply, attempts=3)
    assert isinstance(ask(asking)[0], UpstreamFailed)
    assert len(asking.tries) == 3


def test_where_every_key_refuses_each_is_asked_once():
    asking = Asking(lambda _: REFUSALS["500"], attempts=3)
    assert isinstance(ask(asking)[0], UpstreamFailed)
    assert sorted(name for _, name in asking.tries) == list("abcde")


@pytest.mark.parametrize(
    "told", ["0", "-5", "-0", "0.0", "nonsense", "1e-400", "Thu, 01 Jan 1970 00:00:10 GMT", "٣", ""]
)
def test_a_key_that_refuses_rests_whatever_it_says(told):
    headers = [(b"retry-after", told.encode())]
    asking = Asking(lambda _: httpx.Response(429, json={}, headers=headers), "a", attempts=4)
    ask(asking)
    times = [time for time, _ in asking.tries]

    assert [later - earlier for earlier, later in itertools.pairwise(times)] == pytest.approx([0.5, 1, 2], abs=0.2)


def test_a_time_that_is_always_too_short_is_not_believed_for_ever():
    asking = Asking(lambda _: httpx.Response(429, json={}, headers={"retry-after": "0.001"}), "a", attempts=4)
    ask(asking)

    assert asking.tries[-1][0] - asking.tries[0][0] > 1.0


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, PAGE, "web_page"),
        (403, b"error code: 1020", "web_page"),
        (403, b"", "web_page"),
        (401, b"\xef\xbb\xbf  <html>", "web_page"),
        (404, PAGE, "web_page"),
        (403, b'{"error": {"message": "no"}}', "credential"),
        (401, b"Unauthorized", "credential"),
        (429, PAGE, "rate_limit"),
        (503, PAGE, "overloaded"),
    ],
)
def test_a_web_page_is_no_word_of_the_provider(status, body, kind):
    failure = classify(status, body)

    assert failure.kind == kind
    assert "<" not in failure.message


DAMAGED = {
    "no UTF-8": b'{"choices":[{"message":{"content":"\xff\xfe"}}]}',
    "no UTF-8 beside": b'{"id":"\xff","choices":[{"message":{"content":"Hi"}}]}',
    "half a character": b'{"choices":[{"message":{"content":"\\ud800"}}]}',
    "deep": b'{"choices":[{"message":{"content":' + b"[" * 50_000 + b"]" * 50_000 + b"}}]}",
    "no message": b'{"choices":[{}]}',
    "empty": b"",
    "list": b"[]",
    "NaN": b'{"choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":NaN}}',
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
def test_after_a_damaged_reply_another_key_answers(name, stream):
    damaged = DAMAGED[name]
    if stream:
        damaged = b"data: " + damaged.replace(b'"message"', b'"delta"') + b"\n\n"
    replies = {"a": damaged, "b": STREAM if stream else json.dumps(GOOD).encode()}
    asking = Asking(lambda key: httpx.Response(200, content=replies[key]), "ab")

    ((text, _),) = ask(asking, stream=stream)
    assert b"Hi" in text
    assert [key for _, key in asking.tries] == ["a", "b"]

    (alone,) = ask(Asking(lambda _: httpx.Response(200, content=damaged), "a", attempts=1), stream=stream)
    assert isinstance(alone, UpstreamFailed)
    assert alone.status == 502


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "mark"])
@pytest.mark.parametrize("ends", [(b"\n",), (b"\r\n",), (b"\r",), (b"\r\n", b"\n"), (b"\n", b"\r", b"\r\n")])
@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_lines_may_end_in_any_way_and_a_mark_may_come_first(mark, ends, size):
    lines = STREAM.split(b"\n")
    stream = mark + b"".join(line + ends[number % len(ends)] for number, line in enumerate(lines[:-1]))
    reader = EventReader()
    passed = b"".join(reader.feed(stream[at : at + size]) for at in range(0, len(stream), size))

    assert passed == STREAM.split(b"\n\n")[0] + b"\n\n"
    assert (reader.characters, reader.done, reader.finished) == (2, True, True)


@pytest.mark.parametrize(
    "endless",
    [b"x" * 65_536, b"data: {}\n\n" * 6000, b'data: {"choices":[{"finish_reason":"stop"}]}\n\n' * 1500],
    ids=["line", "events", "ends"],
)
def test_a_stream_without_end_ends(endless, monkeypatch):
    for bound in ("_LONGEST_STREAM", "_LONGEST_EVENT"):
        monkeypatch.setattr(f"jupyter_server_ext.upstream.sse.{bound}", 400_000)
    reader = EventReader()
    with pytest.raises(MalformedStream):
        b"".join(reader.feed(endless) for _ in range(30))


# What a request took ------------------------------------------------------------------------------------------------

TEXT = "How many flights left JFK in the first week of January, and how late were they?"
ESTIMATE = TokenUsage(25, 10, estimated=True)
UNTRUE = [
    b'{"prompt_tokens":1000000000000000000,"completion_tokens":5}',
    b'{"prompt_tokens":5,"completion_tokens":1000000000000000000}',
    b'{"prompt_tokens":1000000,"completion_tokens":1000000}',
    b'{"prompt_tokens":-5,"completion_tokens":-5}',
    b'{"prompt_tokens":0,"completion_tokens":0}',
    b'{"prompt_tokens":20.5,"completion_tokens":0.1}',
    b'{"prompt_tokens":"20","completion_tokens":"5"}',
    b'{"prompt_tokens":true,"completion_tokens":true}',
    b'{"prompt_tokens":[20],"completion_tokens":{"n":5}}',
    b'{"prompt_tokens":1e400,"completion_tokens":5}',
    b'{"prompt_tokens":' + b"9" * 5000 + b"}",
    b'{"prompt_tokens":20,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":21}}',
    b'{"prompt_tokens":20,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":-1}}',
    b'"many"',
]


@pytest.mark.parametrize("raw", UNTRUE, ids=range(len(UNTRUE)))
def test_a_usage_that_cannot_be_is_replaced_by_an_estimate(raw):
    request = ChatRequest("m", {"messages": [{"role": "user", "content": TEXT}]})
    usage, faults = checked(told_of(raw), ESTIMATE, request)

    assert faults
    assert usage.estimated
    assert usage.prompt_tokens in {5, 20, 25}
    assert usage.completion_tokens in {5, 10}
    assert usage.cached_tokens == 0


@pytest.mark.parametrize(
    ("told", "body"),
    [
        (ReportedUsage(20, 10), {}),
        (ReportedUsage(20, 10, 20), {}),
        (ReportedUsage(15_000, 10), {}),  # search results of the provider's
        (ReportedUsage(20, 90_000), {}),  # a reasoning that is not shown
        (ReportedUsage(20, 120), {"max_tokens": 100}),
        (ReportedUsage(20, 390), {"max_tokens": 100, "n": 4}),
        (
            ReportedUsage(80_000, 10),
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        ),
    ],
)
def test_a_usage_that_can_be_is_believed(told, body):
    request = ChatRequest("m", {"messages": [{"role": "user", "content": TEXT}], **body})
    usage, faults = checked(told, ESTIMATE, request)

    assert not faults
    assert usage == TokenUsage(told.prompt, told.completion, told.cached or 0)


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@pytest.mark.parametrize("number", ["1" + "0" * 18, "-3", "0.5", '"7"'])
def test_what_a_provider_counts_is_checked_on_the_way(stream, number, caplog):
    usage = f'"usage":{{"prompt_tokens":{number},"completion_tokens":{number}}}'.encode()
    body = json.dumps(GOOD).encode()[:-1] + b"," + usage + b"}"
    ends = STREAM.replace(b"data: [DONE]", b'data: {"choices":[],' + usage + b"}\n\ndata: [DONE]")
    asking = Asking(lambda _: httpx.Response(200, content=ends if stream else body), "a")
    with caplog.at_level(logging.WARNING, "tornado.application"):
        ((_, used),) = ask(asking, stream=stream, max_tokens=50)

    assert used.estimated
    assert 0 < used.total_tokens < 100


# The log ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lines(monkeypatch):
    """Lines of the log: text, as the host would get it."""
    written = []
    monkeypatch.setattr("jupyter_server_ext.logs.log._known", OrderedDict())
    writer, logger = Writer(written), logging.getLogger("tornado.application")
    logger.addHandler(writer)
    yield written
    logger.removeHandler(writer)


class Writer(logging.Handler):
    def __init__(self, written):
        super().__init__()
        self.written = written

    def emit(self, record):
        self.written.append(record.getMessage())


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (REFUSALS["401"], "reason=credential status=401"),
        (REFUSALS["503"], "reason=overloaded status=503"),
        (REFUSALS["page"], "reason=web_page status=403"),
        (httpx.Response(429, json={}, headers={"retry-after": "7"}), "reason=rate_limit status=429 retry_after=7.0"),
        (httpx.ConnectError("refused"), "reason=connection detail=refused"),
        (httpx.RemoteProtocolError("The reply's head is too long."), "reason=malformed detail=\"The reply's head"),
        (httpx.Response(200, content=b"{"), "reason=malformed"),
    ],
)
def test_every_failure_is_a_line(reply, words, lines):
    def answer(_):
        if isinstance(reply, Exception):
            raise reply
        return reply

    ask(Asking(answer, "a", attempts=1))

    failed = [line for line in lines if line.startswith("rsql: key_failed ")]
    assert len(failed) == 1
    assert 'key="a …6789"' in failed[0] or "key=" in failed[0]
    assert words in failed[0]
    assert "request_id=req-1" in failed[0]
    assert not any("sk-a" in line or "hi" in line.split() for line in lines)


def test_a_key_that_is_lost_is_a_line_of_its_own(lines):
    ask(Asking(lambda _: REFUSALS["401"], "a", attempts=1))

    assert any(line.startswith("rsql: key_retired ") and "reason=credential" in line for line in lines)


def test_equal_lines_are_counted_rather_than_written(lines):
    now = [0.0]
    log = Log(lambda: now[0])
    for number in range(1000):
        log.warning("key_failed", key="a", reason="overloaded", request_id=f"req-{number}")
    now[0] = 61.0
    log.warning("key_failed", key="a", reason="overloaded", request_id="req-last")

    first = [f"rsql: key_failed key=a reason=overloaded request_id=req-{number}" for number in range(20)]
    assert lines == [*first, "rsql: key_failed key=a reason=overloaded request_id=req-last repeated=980"]


def test_a_line_is_one_line_whatever_is_in_it(lines):
    Log().warning("key_failed", detail='a\n"b"\x1b[31m \u2028')

    assert lines == ['rsql: key_failed detail="a\\n\\"b\\"\\u001b[31m \u2028"']
