"""write_sql alone: a generator that talks to nobody."""

from __future__ import annotations

import pytest

from rsql_magic.errors import QueryFailed, QueryRejected
from rsql_magic.gateway import Reply, drafts
from rsql_magic.gateway.events import Done
from rsql_magic.text2sql.drafts import read_draft, write_sql

ASK = [{"role": "system", "content": "Write SQL."}, {"role": "user", "content": "Question: how many?"}]


def said(sql, words=""):
    return Reply(text=f"```sql\n{sql}\n```\n{words}")


def written(replies, problems, retries=3, anew=None):
    """Drive the generator with replies, and with what the check says of each draft."""
    sent = []

    def send(messages):
        sent.append(messages)
        return replies[len(sent) - 1]

    steps = write_sql(
        ASK,
        check=lambda sql: problems.get(sql, []),
        repair=lambda sql, wrong: f"fix {sql}: {'; '.join(wrong)}",
        retries=retries,
        anew=anew,
    )
    return drafts.drive(steps, send), sent


def test_a_draft_that_passes_is_one_round():
    attempts, sent = written([said("SELECT 1", "One.")], {})
    assert [(a.draft.sql, a.draft.says, a.problems) for a in attempts] == [("SELECT 1", "One.", ())]
    assert sent == [ASK]


def test_a_repair_sends_the_last_draft_and_its_problems_only():
    replies = [said("A"), said("B"), said("C")]
    attempts, sent = written(replies, {"A": ["no a"], "B": ["no b", "nor c"]})
    assert [a.draft.sql for a in attempts] == ["A", "B", "C"]
    assert sent[2] == [ASK[0], {"role": "user", "content": "Question: how many?\n\nfix B: no b; nor c"}]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_the_rounds_are_counted(retries):
    drafts_ = "ABCD"
    attempts, sent = written([said(sql) for sql in drafts_], {sql: ["no"] for sql in drafts_}, retries)
    assert len(sent) == retries + 1
    assert attempts[-1].problems == ("no",)


def test_the_rounds_end_when_nothing_changes():
    _, sent = written([said("A"), said("A"), said("B")], {"A": ["no"]})
    assert len(sent) == 2


def test_the_approach_changes_after_two_drafts_that_failed():
    other = [{"role": "user", "content": "another way"}]
    seen = []

    def anew(failed, problems):
        seen.append((failed, problems))
        return other

    attempts, sent = written([said("A"), said("B"), said("C"), said("D")], {sql: ["no"] for sql in "ABC"}, anew=anew)
    assert seen == [(["A", "B"], ["no", "no"])]
    assert sent[2] == other
    assert sent[3] == [{"role": "user", "content": "another way\n\nfix C: no"}]
    assert [attempt.draft.sql for attempt in attempts] == list("ABCD")


def test_a_refusal_of_the_guard_ends_it():
    def refuse(sql):
        raise QueryRejected("no", piece=sql)

    steps = write_sql(ASK, check=refuse, repair=lambda *_: "", retries=3)
    next(steps)
    with pytest.raises(QueryRejected):
        steps.send(said("DROP TABLE x"))


def test_a_query_that_was_cut_goes_back():
    attempts, _ = written([Reply(text="```sql\nSELECT 1 FR"), said("SELECT 1")], {})
    assert "not complete" in attempts[0].problems[0]


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("```sql\nSELECT 1\n```", "SELECT 1"),
        ("```SQL\nSELECT 1;\n```", "SELECT 1;"),
        ("```\nWITH a AS (SELECT 1) SELECT * FROM a\n```", "WITH a AS (SELECT 1) SELECT * FROM a"),
        ("Here:\n\n   ```sql\n   SELECT 1\n   ```\n", "SELECT 1"),
        ("SELECT 1", "SELECT 1"),
        ("-- count\nselect 1", "-- count\nselect 1"),
        ("```python\nx\n```\n```sql\nSELECT 2\n```", "SELECT 2"),
        ("```duckdb\nFROM t\n```", "FROM t"),
        ("```postgresql\nSELECT 1\n```", "SELECT 1"),
        ("Sure!\nSELECT a\nFROM t\n\nThat is all.", "SELECT a\nFROM t"),
        (
            "The tables are `a` and `b`. The query is `SELECT x FROM a JOIN b USING (k)`.",
            "SELECT x FROM a JOIN b USING (k)",
        ),
        ("It is Oslo. <sql>\nSELECT city FROM t\n</sql>", "SELECT city FROM t"),
        ("<SQL>select city from t", "select city from t"),
        ("SELECT `a` FROM `t`", "SELECT `a` FROM `t`"),
        ("", ""),
    ],
)
def test_a_query_is_found_in_a_reply(text, sql):
    assert read_draft(Reply(text=text)).sql == sql


@pytest.mark.parametrize(
    "text",
    [
        "I cannot know the weather.",
        "```python\nprint(1)\n```\nNo SQL is needed.",
        "With respect: no.",
        "`SELECT` alone does not tell `from`.",
    ],
)
def test_a_reply_without_a_query_carries_the_models_words(text):
    with pytest.raises(QueryFailed) as caught:
        read_draft(Reply(text=text))
    assert "```" not in str(caught.value)
    assert (text.rsplit("\n", 1)[-1] or "no query") in str(caught.value)


def test_words_and_chart_around_a_query():
    draft = read_draft(
        Reply(text='Sure.\n```sql\nSELECT 1\n```\n```json\n{"chart": "bar"}\n```\nDone.\n```sql\nSELECT 2\n```')
    )
    assert (draft.says, draft.chart, draft.others) == ("Sure. Done.", '{"chart": "bar"}', 1)


def test_a_bare_query_that_ran_out_of_tokens_is_cut():
    assert read_draft(Reply(text="SELECT 1 FR", done=Done(finish_reason="length"))).cut
