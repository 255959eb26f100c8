"""Models that answer about rows wrongly: no row has another's value, and what failed is asked about anew and alone."""

from __future__ import annotations

import json
import re
import string
from collections import Counter

import pytest
from hostile_rows import FINISHED, WAYS
from many_cases import check_each
from rows_world import RETURNS, World, asker, outcomes, truth

from rsql_magic.answers.row_jobs import ask_by_job
from rsql_magic.answers.row_types import NotBelieved, columns_of, read_rows
from rsql_magic.answers.rows import counts_of, tokens_of
from rsql_magic.gateway import Done, Patience, Text
from rsql_magic.redaction import redact

TEXTS = [f"row {n:02d}{'x' * (n % 7)}" for n in range(6)]
ALONE = {"one token for two", "a line each"}  # say the same as a wrong answer under the right token, of one row
SOME = sorted(WAYS.keys() - ALONE)[::9]  # by way of real requests; all of them in a sweep


class Hostile(World):
    """Answers wrongly in one way: always, the first times, or while a request has several rows."""

    def __init__(self, way, times=10**6, least=1):
        super().__init__()
        self.way, self.times, self.least = way, times, least

    def __call__(self, messages, **options):
        with self.lock:
            said, reason = self.said(messages)
        yield Text(said)
        yield Done(usage={"prompt_tokens": 1, "completion_tokens": 1}, finish_reason=reason)

    def said(self, messages):
        text, count, _ = self.answer(messages)
        if self.calls > self.times or count < self.least:
            return text, "stop"
        return WAYS[self.way](json.loads(text)["rows"]), FINISHED.get(self.way, "stop")


def wrong_values(asking):
    """Rows with a value that is not theirs."""
    there = zip(TEXTS, outcomes(asking, TEXTS), strict=True)
    return [text for text, one in there for name, value in one.values.items() if value not in (None, truth(text)[name])]


def test_there_are_forty_ways_and_more():
    assert len(WAYS) >= 40


@pytest.mark.parametrize("count", [1, 2, 20])
def test_no_wrong_answer_gives_a_row_a_value_that_is_not_its_own(count):
    columns, tokens = columns_of(RETURNS), tokens_of([str(n) for n in range(count)])
    rows = [{"row": token, **truth("x" * n)} for n, token in enumerate(tokens)]

    def check(way):
        try:
            read = read_rows(WAYS[way](rows), columns, tokens)
        except NotBelieved:
            return
        for said, row in zip(read, rows, strict=True):
            assert said.problems
            assert all(value in (None, row[name]) for name, value in said.values.items())

    check_each(check, [(way,) for way in WAYS if way not in (FINISHED.keys() | (ALONE if count == 1 else set()))])


def always_wrong(way):
    asking = asker(TEXTS, Hostile(way), at_once=1)
    asking.ask()
    assert wrong_values(asking) == []
    assert counts_of(asking) == {"different": 6, "known": 0, "answered": 0, "failed": 6, "unasked": 0}


def wrong_at_first(way, hostile):
    asking = asker(TEXTS, Hostile(way, **hostile), at_once=1)
    asking.ask()
    assert [outcome.values for outcome in outcomes(asking, TEXTS)] == [truth(text) for text in TEXTS]


FIRST = ({"times": 1}, {"least": 2})


def test_a_model_that_always_answers_wrongly_answers_no_row():
    check_each(always_wrong, [(way,) for way in {*SOME, *FINISHED}])


def test_a_model_that_answers_wrongly_once_or_of_several_rows_loses_no_row():
    check_each(wrong_at_first, [(way, FIRST[n % 2]) for n, way in enumerate(SOME)])


@pytest.mark.sweep
def test_every_way_to_answer_wrongly_by_requests():
    check_each(always_wrong, [(way,) for way in WAYS if way not in ALONE])
    check_each(wrong_at_first, [(way, how) for way in WAYS for how in FIRST])


@pytest.mark.parametrize("together", [2, 20])
def test_what_is_asked_again_is_asked_in_smaller_requests(together):
    sizes = []

    def send(messages, **options):
        sizes.append(messages[1]["content"].count('"row": "'))
        yield Text("no")
        yield Done()

    asking = asker([f"row {n}" for n in range(20)], send, together=together, at_once=1)
    asking.ask()
    assert sizes[0] == together
    assert sizes[-1] == 1
    assert len(set(sizes)) > 1
    assert sum(sizes) <= 6 * 20
    assert {outcome.state for outcome in asking.outcomes.values()} == {"failed"}


# What is asked anew.


class Repeating(World):
    """A model behind a gateway that repeats an answer for a day: to the same key, and to the same messages."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong, self.kept, self.repeats = wrong, {}, 0

    def __call__(self, messages, **options):
        for name in (options["repeat_key"], json.dumps(messages)):
            if name in self.kept:
                self.repeats += 1
                yield from self.kept[name]
                return
        text, *_ = self.answer(messages)
        rows = json.loads(text)["rows"]
        said = WAYS["counted from 0"](rows) if self.wrong(messages[1]["content"]) else text
        events = [Text(said), Done()]
        self.kept |= {options["repeat_key"]: events, json.dumps(messages): events}
        yield from events


def test_failed_rows_alone_are_asked_anew_and_no_bad_answer_comes_twice(tmp_path):
    world = Repeating(lambda content: "row 03" in content)
    first = asker(TEXTS, world, tmp_path / "rows.db", at_once=1)
    first.ask()
    assert counts_of(first) == {"different": 6, "known": 0, "answered": 5, "failed": 1, "unasked": 0}
    asked, world.wrong = world.asked.copy(), lambda _: False
    again = asker(TEXTS, world, tmp_path / "rows.db", at_once=1)
    again.ask()
    assert world.repeats == 0
    assert list(world.asked - asked) == ["row 03xxx"]
    assert counts_of(again) == {"different": 6, "known": 5, "answered": 6, "failed": 0, "unasked": 0}
    assert wrong_values(again) == []


def test_an_answer_that_was_lost_on_its_way_is_not_paid_for_twice(tmp_path):
    world, lost = Repeating(lambda _: False), []

    def send(messages, **options):
        events = list(world(messages, **options))
        if not lost:
            lost.append(True)
            raise KeyboardInterrupt
        yield from events

    for _ in range(2):
        asking = asker(TEXTS, send, tmp_path / "rows.db", at_once=1)
        try:
            asking.ask()
        except KeyboardInterrupt:
            continue
    assert world.repeats == 1
    assert set(world.asked.values()) == {1}


# By a job.


class Jobs:
    """A gateway whose job answers in one way."""

    def __init__(self, way):
        self.way, self.lines_of = way, []

    def upload(self, name, content, *, purpose):
        self.requests = [json.loads(line) for line in content.splitlines()]
        return {"id": "file-1"}

    def post(self, path, body):
        return {"id": "job-1", "status": "completed", "output_file_id": "out"}

    def get(self, path):
        return {"id": "job-1", "status": "completed", "output_file_id": "out"}

    def delete(self, path):
        return {}

    def lines(self, path):
        for request in self.requests:
            text, *_ = World().answer(request["body"]["messages"])
            said = WAYS[self.way](json.loads(text)["rows"])
            choice = {"message": {"content": said}, "finish_reason": FINISHED.get(self.way, "stop")}
            yield json.dumps({"custom_id": request["custom_id"], "response": {"body": {"choices": [choice]}}})


def test_a_job_that_answers_wrongly_gives_no_row_a_value_that_is_not_its_own():
    def check(way):
        jobs, asking = Jobs(way), asker(TEXTS, World(), at_once=1)
        first = asking.tokens.of([0, 1])
        ask_by_job(asking, lambda: jobs, Patience(lambda: 5.0))
        assert all(outcome.values == truth(TEXTS[place]) for place, outcome in asking.outcomes.items())
        assert asking.open
        assert asking.tokens.of(asking.open[:1]) != first[:1], "what is asked again is asked by other tokens"

    check_each(check, [(way,) for way in WAYS])


def test_results_of_a_job_under_another_requests_number_are_not_believed():
    asking = asker(TEXTS, World(), together=3)

    class Swapped(Jobs):
        def lines(self, path):
            for line in map(json.loads, super().lines(path)):
                yield json.dumps({**line, "custom_id": str(1 - int(line["custom_id"]))})

    WAYS["rightly"] = lambda rows: json.dumps({"rows": rows})
    try:
        jobs = Swapped("rightly")
        ask_by_job(asking, lambda: jobs, Patience(lambda: 5.0))
    finally:
        del WAYS["rightly"]
    assert asking.outcomes == {}


# Tokens.


@pytest.mark.spine
def test_tokens_are_no_two_alike_no_words_and_pass_the_filter_for_secrets():
    tokens = tokens_of([f"mark {n}" for n in range(500)])
    assert len(set(tokens)) == 500
    assert all(re.fullmatch("[bcdfghjkmnpqrstvwxz]{5}", token) for token in tokens)
    assert set("".join(tokens)) < set(string.ascii_lowercase)
    for name in ("text", "password", "card", "token"):
        told = "\n".join(json.dumps({name: "fine", "row": token}) for token in tokens)
        kept = Counter(re.findall(r'"row": "(\w+)"', redact(told)[0]))
        assert kept == Counter(tokens), name


def test_an_answer_in_a_fence_or_behind_words_is_read():
    columns, tokens = columns_of(RETURNS), ["bcd", "fgh"]
    rows = [{"row": token, "label": "good", "score": 1, "why": "`so` {it} is"} for token in tokens]
    said = json.dumps({"rows": rows})
    for text in (
        said,
        f"```json\n{said}\n```\n",
        f"Here it is:\n\n```\n{said}\n```",
        json.dumps(rows),
        f"Here:\n{said}\n",
    ):
        assert [read.values for read in read_rows(text, columns, tokens)] == [{"label": "good", "score": 1.0}] * 2
    with pytest.raises(NotBelieved, match="leaves out"):
        read_rows(json.dumps(rows[:1]), columns, tokens)
