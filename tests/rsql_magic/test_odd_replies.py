"""Replies of any shape: each ends in an answer or one sentence, wherever it is asked, and no traceback is seen."""

from __future__ import annotations

import json
import random
import time
from itertools import product

import duckdb
import httpx
import pytest
from odd_replies import COUNT, ODD, QUERIES, TEXTS, streamed, whole

from rsql_magic.errors import AnswerCut, GatewayUnreachable, RsqlError
from rsql_magic.gateway.events import repeats, spoken

CELLS = [
    "%%ask\nhow many orders?",
    "%%sql_ai con\nhow many orders?",
    "%%ask --as quiz\norders",
    "%ask --format json -- why?",
]


def asked(ip, cell):
    """What a cell says: its result, or the one sentence of its error."""
    try:
        return str(ip.run(cell))
    except RsqlError as error:
        said = str(error)
        assert "\n" not in said.strip()
        assert "Traceback" not in said
        return said


def assert_a_text_ends_well(ip, gateway, name, cell):
    gateway.replies = [TEXTS[name]] * 8
    asked(ip, cell)


def assert_a_piece_ends_well(ip, gateway, chunk, cell):
    gateway.replies = [streamed(chunk) for _ in range(8)]
    asked(ip, cell)
    gateway.replies = [httpx.Response(200, json=whole(chunk)) for _ in range(8)]
    asked(ip, cell)


PICKED = random.Random(5)
SAMPLE = [
    pytest.param(name, cell, marks=pytest.mark.slow if name == "r" else ())  # R itself reads the code
    for name, cell in PICKED.sample(list(product(TEXTS, CELLS)), 16)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cell"), SAMPLE)
def test_a_text_ends_in_an_answer_or_a_sentence(ip, gateway, con, name, cell):
    assert_a_text_ends_well(ip, gateway, name, cell)


@pytest.mark.slow
@pytest.mark.parametrize(("chunk", "cell"), PICKED.sample(list(product(ODD, CELLS)), 16))
def test_a_piece_of_any_shape_does_too(ip, gateway, con, chunk, cell):
    assert_a_piece_ends_well(ip, gateway, chunk, cell)


@pytest.mark.sweep
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", TEXTS)
def test_every_text_ends_well(ip, gateway, con, name, cell):
    assert_a_text_ends_well(ip, gateway, name, cell)


@pytest.mark.sweep
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("chunk", ODD, ids=json.dumps)
def test_every_piece_ends_well(ip, gateway, con, chunk, cell):
    assert_a_piece_ends_well(ip, gateway, chunk, cell)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_found_in_it(ip, gateway, con, name):
    gateway.replies = [QUERIES[name]] * 4
    assert ip.run("%%sql_ai con\nhow many orders?").df.iloc[0, 0] == 3000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sentence"),
    [("empty", "answered with nothing"), ("thinking", "thought, and ended"), ("NUL", "answered with nothing")],
)
def test_silence_is_said(ip, gateway, con, name, sentence):
    gateway.replies = [TEXTS[name]] * 2
    assert sentence in " ".join(ip.run("%%ask\nhow many orders?").problems)
    assert sentence in asked(ip, "%%sql_ai con\nhow many orders?")


def test_a_call_of_a_tool_is_said(ip, gateway):
    chunk = {"choices": [{"delta": {"tool_calls": [{}]}, "finish_reason": "tool_calls"}]}
    gateway.replies = [[f"data: {json.dumps(chunk)}", "data: [DONE]"]]
    assert ip.run("%ask why?").problems == ("The model asked for a tool instead of answering, and there is none.",)


def test_an_answer_that_repeats_itself_is_stopped_and_kept(ip, gateway, assistant):
    gateway.replies = [TEXTS["the same again"]]
    with pytest.raises(AnswerCut, match="again and again"):
        ip.run("%ask why?")
    assert 3_000 < len(assistant.chat.turns[-1].answer) < 10_000


def test_an_answer_takes_no_longer_than_it_may(ip, gateway, assistant):
    assistant.settings.answer_timeout = 5.0
    times = iter(range(10_000))
    assistant.chat._clock = lambda: float(next(times))
    gateway.replies = ["many words " * 50]
    with pytest.raises(AnswerCut, match="longer than 5 s"):
        ip.run("%ask why?")
    assert assistant.chat.turns[-1].answer.startswith("many words")


class WithoutEnd(httpx.SyncByteStream):
    """Some lines, and then one line again and again."""

    def __init__(self, first, again):
        self.first, self.again = first, again

    def __iter__(self):
        yield f"{self.first}\n\n".encode()
        for _ in range(2_000):
            time.sleep(0.005)
            yield f"{self.again}\n\n".encode()


BEATS = [": heartbeat", ": OPENROUTER PROCESSING", "event: ping", ""]
THOUGHT = 'data: {"choices": [{"delta": {"reasoning_content": "hm"}}]}'


@pytest.mark.slow
@pytest.mark.parametrize("again", [*BEATS, "data: {}", THOUGHT])
@pytest.mark.parametrize("first", ['data: {"choices": [{"delta": {"content": "many words"}}]}', THOUGHT])
def test_an_answer_that_is_only_kept_open_takes_no_longer_either(ip, gateway, assistant, first, again):
    assistant.settings.answer_timeout = 0.3
    headers = {"content-type": "text/event-stream"}
    gateway.replies = [httpx.Response(200, headers=headers, stream=WithoutEnd(first, again))]
    started = time.monotonic()
    with pytest.raises(AnswerCut, match=r"longer than 0\.3 s"):
        ip.run("%ask why?")
    assert time.monotonic() - started < 8
    assert first == THOUGHT or assistant.chat.turns[-1].answer.startswith("many words")


@pytest.mark.slow
@pytest.mark.parametrize("beat", BEATS)
def test_a_stream_without_a_word_ends_as_silence(ip, gateway, beat):
    headers = {"content-type": "text/event-stream"}
    gateway.replies = [httpx.Response(200, headers=headers, stream=WithoutEnd("", beat))]
    with pytest.raises(GatewayUnreachable, match="said nothing"):
        ip.run("%ask --timeout 0.3 -- why?")


def test_the_most_tokens_of_an_answer_are_sent_where_they_are_set(ip, gateway, assistant):
    gateway.replies = ["yes", "yes"]
    ip.run("%ask why?")
    assistant.settings.answer_tokens = 300
    ip.run("%ask why?")
    assert "max_tokens" not in gateway.requests[0]
    assert gateway.requests[1]["max_tokens"] == 300


@pytest.mark.parametrize(
    "text", ["| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 50, "x, " * 200, "word " + "different words " * 20, "=" * 80]
)
def test_ordinary_repetition_is_none(text):
    assert not repeats(text)


def test_thinking_is_left_out_piece_by_piece():
    assert spoken("<think>a</think>b") == "b"


def test_what_was_asked_at_a_laxer_level_is_not_told_at_a_stricter_one(ip, gateway):
    gateway.replies = ["Ann has 3.", "yes", "yes"]
    ip.run("%%ask --privacy sample\nwho has most?")
    ip.run("%%ask --privacy names\nand only those in Oslo?")
    assert "Ann" not in json.dumps(gateway.requests[-1]["messages"])
    ip.run("%%ask --privacy sample\nand only those in Rome?")


@pytest.mark.slow
def test_what_was_asked_of_another_connection_is_not_told(ip, gateway, con):
    with duckdb.connect() as other:
        other.execute("CREATE TABLE visits AS SELECT 1 AS id")
        ip.user_ns["other"] = other
        gateway.replies = [f"```sql\n{COUNT}\n```", "```sql\nSELECT count(*) FROM visits\n```"]
        ip.run("%%sql_ai con\nhow many orders?")
        ip.run("%%sql_ai other\nand only those of visits?")
        assert "FROM orders" not in json.dumps(gateway.requests[-1]["messages"])
