"""The set of questions that the repository carries, and the tool that asks them."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
import servers
import sqlglot
from sqlglot import exp

import evaluation.databases
from evaluation import frames, results, run_frames
from evaluation.__main__ import OWN
from evaluation.databases import opened
from evaluation.questions import Question, read
from evaluation.replies import Reply
from evaluation.results import same
from rsql_magic.sql import check

QUESTIONS = read(OWN / "questions.jsonl")
SCRIPTS = sorted((OWN / "databases").iterdir())


@pytest.fixture(scope="module")
def server(programs):
    """The URL of a PostgreSQL server, started when it is first asked for."""
    with ExitStack() as stack:
        yield cache(lambda: stack.enter_context(servers.postgresql()).url)


@pytest.fixture(scope="module")
def databases(server):
    """The databases of the set, by name."""
    names = sorted({question.database for question in QUESTIONS})
    with ExitStack() as stack:
        yield {name: stack.enter_context(opened(OWN / "databases", name, server)) for name in names}


def test_questions_are_spread_over_databases_and_hardness():
    assert Counter(question.database for question in QUESTIONS) == {"hospital": 50, "fieldstudy": 50, "library": 50}
    assert Counter(question.hardness for question in QUESTIONS) == {"easy": 50, "medium": 60, "hard": 40}
    assert len({question.text for question in QUESTIONS}) == len({question.gold for question in QUESTIONS}) == 150


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_both_ways_of_asking_are_given_the_same_remarks(script):
    """The plain prompt has the CREATE statements as written; rsql reads the comments of the database."""
    text = script.read_text(encoding="utf-8")
    remarks = re.findall(r"^  (\w+) .*?,? -- (.*)$", text, re.MULTILINE)
    comments = re.findall(r"^COMMENT ON COLUMN \w+\.(\w+) IS '(.*)';$", text, re.MULTILINE)
    assert len(remarks) > 10
    if not script.name.endswith(".sqlite.sql"):
        assert [(column, comment.replace("''", "'")) for column, comment in comments] == remarks


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_data_are_the_same_on_every_run(script):
    assert not re.search(r"random|\bnow\b|current_|today", script.read_text(encoding="utf-8"), re.IGNORECASE)


@pytest.mark.parametrize("name", ["hospital", "fieldstudy", "library"])
def test_databases_are_of_a_size_that_an_analyst_meets(databases, name):
    tables = re.findall(r"CREATE TABLE (\w+)", databases[name].ddl)
    sizes = {table: databases[name].rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables}
    assert 6 <= len(tables) <= 9
    assert 5_000 < sum(sizes.values()) < 12_000
    assert min(sizes.values()) >= 8


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: f"{question.database}-{question.number}")
def test_gold_tells_answers_apart(databases, question):
    database = databases[question.database]
    rows = database.rows(question.gold)
    assert rows
    assert any(value not in (None, 0, 1) for row in rows for value in row)
    assert same(database.rows(question.gold), rows, ordered=question.ordered)
    check(question.gold, database.dialect)  # or rsql could never give it


@pytest.mark.parametrize(
    "question", [question for question in QUESTIONS if "ORDER BY" in question.gold], ids=lambda question: question.text
)
def test_gold_has_one_order_where_order_counts(databases, question):
    """Also that of the first row that a LIMIT leaves out."""
    database = databases[question.database]
    dialect = database.dialect.replace("postgresql", "postgres")
    tree = sqlglot.parse_one(question.gold, dialect=dialect)
    order = tree.args.get("order")
    assert question.ordered == bool(order)
    if order:
        if limit := tree.args.get("limit"):
            tree = tree.limit(int(limit.expression.name) + 1)
        names, keys = tree.named_selects, [key.this for key in order.expressions]
        missing = [key for key in keys if key.name not in names]
        rows = database.rows(tree.select(*(exp.alias_(key, "key") for key in missing)).sql(dialect))
        at = [names.index(key.name) if key.name in names else len(names) + missing.index(key) for key in keys]
        found = [tuple(row[column] for column in at) for row in rows]
        assert len(set(found)) == len(found)


def test_a_reply_that_calls_a_tool_is_no_first_draft():
    stream = 'data: {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}\n\ndata: [DONE]'
    assert Reply({}, 200, stream, 0.0).calls
    assert not Reply({}, 200, '{"choices": [{"message": {"content": "x", "tool_calls": null}}]}', 0.0).calls


@pytest.mark.parametrize("module", [results, frames, run_frames], ids=lambda module: module.__name__)
def test_examples_of_the_comparison(module):
    done = doctest.testmod(module)
    assert (done.failed, done.attempted > 0) == (0, True)


@pytest.mark.parametrize(
    ("found", "gold", "ordered", "equal"),
    [
        ([(1, "a"), (2, "b")], [("b", 2), ("a", 1)], False, True),
        ([(1, "a"), (2, "b")], [("b", 2), ("a", 1)], True, False),
        ([(1,), (1,), (2,)], [(1,), (2,), (2,)], False, False),
        ([(1, 2), (2, 1)], [(1, 1), (2, 2)], False, False),
        ([(Decimal("2.50"),)], [(2.5,)], True, True),
        ([(float("nan"),)], [(None,)], True, True),
        ([(0.1 + 0.2,)], [(0.3,)], True, True),
        ([(33.3,)], [(33.333,)], True, False),
        ([], [(0,)], False, False),
        ([(1, 2)], [(1,)], False, False),
    ],
)
def test_same_rows(found, gold, ordered, equal):
    assert same(found, gold, ordered=ordered) is equal


@pytest.mark.parametrize(
    ("gold", "ordered"),
    [
        ("SELECT a FROM t ORDER BY count(*)", True),
        ("SELECT a FROM t order  by (a)", True),
        ("SELECT rank() OVER (PARTITION BY a ORDER BY count(*) DESC) FROM t", False),
        ("SELECT a FROM t WHERE a = (SELECT a FROM t GROUP BY a ORDER BY count(*) DESC LIMIT 1)", False),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(a)) FROM t", False),
        ("WITH s AS (SELECT a FROM t ORDER BY abs(a) LIMIT 3) SELECT a FROM s", False),
    ],
)
def test_an_order_within_brackets_is_none_of_the_rows(gold, ordered):
    assert Question(0, "", "", gold, "").ordered is ordered


@pytest.mark.parametrize("name", ["hospital", "fieldstudy", "library"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "COMMIT; DROP TABLE {}"])
def test_no_draft_changes_the_data(databases, name, change):
    database = databases[name]
    table = re.findall(r"CREATE TABLE (\w+)", database.ddl)[-1]
    before = database.rows(f"SELECT count(*) FROM {table}")
    with pytest.raises(Exception, match=r"statement|read-only|multiple commands"):
        database.rows(f"SELECT 1; {change.format(table)}")
    assert database.rows(f"SELECT count(*) FROM {table}") == before


@pytest.mark.parametrize("name", ["hospital", "fieldstudy", "library"])
def test_endless_drafts_end(databases, name, monkeypatch):
    monkeypatch.setattr(evaluation.databases, "_MOST_SECONDS", 0.2)
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 0 FROM n) SELECT count(*) FROM n"
    with pytest.raises(Exception, match=r"(?i)interrupt|timeout"):
        databases[name].rows(endless)
    assert databases[name].rows("SELECT 1") == [(1,)]


class Model(ThreadingHTTPServer):
    """An OpenAI-compatible server on 127.0.0.1 that answers each question with replies that a test wrote down.

    The first is given to the question, the next to each request that shows a draft which did not pass.
    """

    daemon_threads = True

    def __init__(self, replies):
        super().__init__(("127.0.0.1", 0), Endpoint)
        self.replies = replies
        self.asked = 0
        self.told = []

    @classmethod
    @contextmanager
    def with_replies(cls, replies):
        model = cls(replies)
        thread = threading.Thread(target=model.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield model
        finally:
            model.shutdown()
            model.server_close()
            thread.join()

    def reply(self, messages):
        self.asked += 1
        told = "\n".join(message["content"] for message in messages if message["role"] == "user")
        self.told.append(told)
        replies = next(replies for question, replies in self.replies.items() if question in told)
        before = sum(message["role"] == "assistant" for message in messages) + told.count("This query does not work")
        return replies[min(before, len(replies) - 1)]


class Endpoint(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send("application/json", json.dumps({"data": [{"id": "scripted"}]}))

    def do_POST(self):
        if self.path == "/v1/chat/completions":
            self.complete()
        else:
            self.send_error(404)

    def complete(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reply, usage = self.server.reply(body["messages"]), {"prompt_tokens": 90, "completion_tokens": 20}
        if body.get("stream"):
            chunks = [{"choices": [{"delta": {"content": reply}}]}]
            chunks += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
            lines = [*map(json.dumps, chunks), "[DONE]"]
            self.send("text/event-stream", "".join(f"data: {line}\n\n" for line in lines))
        else:
            choice = {"message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}
            self.send("application/json", json.dumps({"choices": [choice], "usage": usage}))

    def send(self, kind, text):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


def evaluate(model, folder, questions=OWN, *options, **environment):
    """What ``make eval`` prints, errors included, and its records."""
    url = f"http://127.0.0.1:{model.server_port}"
    command = [sys.executable, "-m", "evaluation", "--url", url, "--model", "scripted"]
    done = subprocess.run(
        [*command, "--set", str(questions), "--to", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    way = "".join(option.replace("--", "-") for option in options)
    lines = (folder / f"{questions.name}-scripted{way}" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return done.stdout, [json.loads(line) for line in lines]


def sql(query):
    return f"```sql\n{query}\n```"


def ends(records):
    return {record["question"]["text"]: (record["plain"]["ended"], record["ours"]["ended"]) for record in records}


SMALL = {
    "How many books are there?": "SELECT count(*) FROM books",
    "How many pages has the longest book?": "SELECT max(pages) FROM books",
    "How many books have no pages?": "SELECT count(*) FROM books WHERE pages IS NULL",
    "Who wrote Emma?": "SELECT author FROM books WHERE title = 'Emma'",
}
REPLIES = {
    "How many books are there?": [sql("SELECT count(*) AS n FROM books")],
    "How many pages has the longest book?": [sql("SELECT min(title) FROM books")],
    "How many books have no pages?": [
        sql("SELECT count(*) FROM books WHERE sheets IS NULL AND papers = 0"),
        sql("SELECT count(*) FROM books WHERE pages IS NULL"),
    ],
    "Who wrote Emma?": ["The table does not say that."],
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A set of five questions, one of which has no answer."""
    questions = tmp_path_factory.mktemp("sets") / "small"
    (questions / "databases").mkdir(parents=True)
    (questions / "databases" / "shelf.sqlite.sql").write_text(
        "CREATE TABLE books (title TEXT PRIMARY KEY, author TEXT, pages INTEGER);\n"
        "INSERT INTO books VALUES ('Emma', 'Jane Austen', 474), ('Persuasion', 'Jane Austen', NULL);\n"
    )
    asked = SMALL | {"How many sheets are there?": "SELECT sum(sheets) FROM books"}
    lines = [{"database": "shelf", "question": text, "gold": gold} for text, gold in asked.items()]
    (questions / "questions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return questions


@pytest.fixture(scope="module")
def two_runs(programs, small, tmp_path_factory):
    """What two runs over a small set print and record, and how often the model was asked by the end of each."""
    folder = tmp_path_factory.mktemp("evaluation")
    with Model.with_replies(REPLIES) as model:
        return [(*evaluate(model, folder, small), model.asked) for _ in range(2)]


def test_right_wrong_repaired_and_refused_answers_are_told_apart(two_runs):
    printed, records, _ = two_runs[0]
    assert ends(records) == {
        "How many books are there?": ("right", "right"),
        "How many pages has the longest book?": ("wrong", "wrong"),
        "How many books have no pages?": ("fails", "right"),
        "Who wrote Emma?": ("refused", "refused"),
    }
    assert "4 shelf: left out, as the gold query is no answer: no such column: sheets" in printed
    repaired = records[2]["ours"]
    assert (repaired["first"], repaired["drafts"], repaired["rounds"]) == ("fails", 2, 4)  # two more are compared
    assert (repaired["compared"], repaired["agreed"], repaired["prompt_tokens"]) == (3, 1, 360)
    assert "sheets" in repaired["first_sql"]
    assert "rsql alone is right 1 times, the plain prompt alone 0 times (McNemar p = 1.000)" in printed
    assert "1 first drafts did not run, of which 1 ended right." in printed
    page = Path(printed.rsplit("\n\n", 1)[1].split(" shows ")[0]).read_text(encoding="utf-8")
    assert page.index("<h2>Won</h2>") < page.index("<h2>Both wrong</h2>") < page.index("<h2>Both right</h2>")


def test_examples_are_the_other_questions_of_the_database_and_never_the_question_itself(two_runs, small, tmp_path):
    with Model.with_replies(REPLIES) as model:
        evaluate(model, tmp_path, small, "--examples")
    (asked,) = {
        told for told in model.told if told.endswith("Question: How many books are there?") and "checked" in told
    }
    assert f"How many books have no pages?\n{sql(SMALL['How many books have no pages?'])}" in asked
    assert sql(SMALL["How many books are there?"]) not in asked


def test_a_second_run_asks_the_model_nothing_again(two_runs):
    (_, records, asked), (_, again, asked_by_then) = two_runs
    assert asked == asked_by_then == sum(record[way]["rounds"] for record in records for way in ("plain", "ours"))
    assert ends(again) == ends(records)


ASK = OWN.parent / "ask"
ASKED = [json.loads(line) for line in (ASK / "questions.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(params=["pandas", "polars", "r"])
def kind(request, programs):
    """A kind of frames; R is left out where there is none."""
    if request.param == "r":
        request.getfixturevalue("real_r")
    return request.param


RUN_IN_TURN = """
for (.folder in commandArgs(TRUE)) {
  rm(list = ls())
  setwd(.folder)
  source(Sys.getenv("RUN_FRAMES"))
}
"""


@pytest.fixture(scope="module")
def rows_in_r(real_r, tmp_path_factory):
    """What each piece of gold code in R gives, by its frames and itself: one R runs them all, each as by itself."""
    folders = {}
    for one in ASKED:
        for way in (one, one.get("again", {})):
            if way.get("kind") == "r":
                name = one["frames"], way["gold"]
                folder = folders.setdefault(name, tmp_path_factory.mktemp("gold"))
                (folder / "code.R").write_text(way["gold"])
                (folder / "load.R").write_text(frames._r_load(ASK / "frames" / one["frames"]))
    program = str(Path(run_frames.__file__).with_suffix(".R"))
    command = ["Rscript", "--vanilla", "-e", RUN_IN_TURN, *map(str, folders.values())]
    subprocess.run(command, check=True, timeout=120, env={**os.environ, "RUN_FRAMES": program, "TZ": "UTC"})
    return {name: frames.as_rows(json.loads((at / "result.json").read_text())) for name, at in folders.items()}


@pytest.fixture
def gold_rows(request):
    """Gives the rows of gold code: of Python in this process, as it is our own."""

    def rows(kind, name, code):
        if kind == "r":
            return request.getfixturevalue("rows_in_r")[name, code]
        found = run_frames.rows(run_frames.value(code, run_frames.namespace(kind, ASK / "frames" / name)))
        return frames.as_rows(json.loads(json.dumps(found)))

    return rows


def test_questions_about_frames_are_spread_over_kinds_and_hardness():
    assert Counter(one["kind"] for one in ASKED) == {"pandas": 50, "polars": 50, "r": 50}
    assert min(Counter((one["kind"], one["hardness"]) for one in ASKED).values()) >= 10
    assert min(Counter(one["frames"] for one in ASKED).values()) >= 45
    assert len({one["question"] for one in ASKED}) == 150


def test_gold_code_tells_answers_apart(kind, gold_rows):
    for one in (one for one in ASKED if one["kind"] == kind):
        rows = gold_rows(kind, one["frames"], one["gold"])
        assert rows, one
        assert all(value is not None for row in rows for value in row), one
        assert any(value not in (0, 1) for row in rows for value in row), one


def test_gold_code_agrees_with_that_of_another_library(kind, gold_rows, real_r):
    twice = [one for one in ASKED if one["kind"] == kind and "again" in one]
    assert len(twice) >= 10
    for one in twice:
        first, again = (gold_rows(way["kind"], one["frames"], way["gold"]) for way in (one, one["again"]))
        assert same(again, first, ordered=False), one


@pytest.mark.parametrize(
    ("code", "rows"),
    [
        ("trees.groupby('plot').size()", [("A", 2), ("B", 1)]),
        ("trees.groupby('plot', as_index=False).size()", [("A", 2), ("B", 1)]),
        ("trees[trees['plot'] == 'B']", [("B",), (None,)]),
        ("trees['kg'].dropna().tolist()", [(3.5,), (4.0,)]),
        ("n = len(trees)", [(3,)]),
        ("n = 1\nn += len(trees)", [(4,)]),
        ("print(f'There are {len(trees)} trees.')", [(3,)]),
        ("print('A has', 2, 'and', trees['kg'].sum())", [(7.5,)]),
        ("(trees['plot'].iloc[0], trees['kg'].max())", [("A",), (4.0,)]),
        ("trees['kg'].isna()", [(False,), (False,), (True,)]),
        ("pd.Timestamp('2024-05-01') - pd.Timestamp('2024-04-29')", [(2.0,)]),
        ("pd.to_datetime(pd.Series(['2024-05-01'])).to_numpy()", [("2024-05-01",)]),
        ("pd.to_datetime('2024-05-01 10:30')", [("2024-05-01T10:30:00",)]),
    ],
)
def test_values_of_code_as_rows(code, rows):
    names = {"pd": pd, "trees": pd.DataFrame({"plot": ["A", "A", "B"], "kg": [3.5, 4.0, None]})}
    assert frames.as_rows(json.loads(json.dumps(run_frames.rows(run_frames.value(code, names))))) == rows


@pytest.mark.parametrize(
    ("code", "rows"),
    [
        ("n <- with(stations, tapply(docks, zone > 2, sum))", [("FALSE", 158), ("TRUE", 72)]),
        ("aggregate(docks ~ zone, stations, length)", [(1, 3), (2, 5), (3, 4)]),
        ("stations[stations$docks > 24, c('name', 'docks')]", [("Botanic Garden",), (30,)]),
        ("cat('Mean:', mean(c(1, 2)), '\\n')", [(1.5,)]),
        ("print(summary(c(1, 2, 6))[['Max.']])", [(6,)]),
        ("as.Date('2024-05-03') - as.Date('2024-05-01')", [(2,)]),
        ("c(max = NA)", [(None,)]),
    ],
)
def test_values_of_r_code_as_rows(real_r, code, rows):
    with frames.opened(ASK / "frames" / "bikes", "r") as database:
        assert database.rows(code) == rows


def test_endless_and_failing_code_ends(kind, monkeypatch):
    with frames.opened(ASK / "frames" / "bikes", kind) as database:
        assert database.rows("nrow(rides)" if kind == "r" else "len(rides)") == [(260,)]
        with pytest.raises(RuntimeError, match="lorries"):
            database.rows("lorries")
        with pytest.raises(RuntimeError, match="the last line has no value"):
            database.rows("for (i in 1:3) i" if kind == "r" else "for i in range(3): i")
        monkeypatch.setattr(frames, "_MOST_SECONDS", 1)
        with pytest.raises(TimeoutError, match="longer than 1 seconds"):
            database.rows("while (TRUE) 1" if kind == "r" else "while True: pass\n1")


def block(language, code):
    return f"```{language}\n{code}\n```"


ASK_REPLIES = {
    "How many trees are in plot A?": (
        "pandas",
        "2",
        block("python", "n = (trees['plot'] == 'A').sum()\nprint('Trees:', n)"),
    ),
    "How heavy was the best harvest?": ("polars", "trees['kg'].max()", block("python", "trees['kg'].min()")),
    "How much was picked in plot A?": (
        "pandas",
        "trees.loc[trees['plot'] == 'A', 'kg'].sum()",
        block("python", "1 / 0"),
    ),
    "How many plots are there?": ("polars", "trees['plot'].n_unique()", "trees['plot'].n_unique()"),
    "Which plots are there?": ("polars", "trees['plot'].unique()", "That is not known."),
}


@pytest.fixture(scope="module")
def two_runs_over_frames(programs, tmp_path_factory):
    """What two runs of ``make eval`` over frames print and record, and how often the model was asked by then."""
    folder = tmp_path_factory.mktemp("frames")
    questions = folder / "orchard"
    (questions / "frames" / "plots").mkdir(parents=True)
    (questions / "frames" / "plots" / "trees.csv").write_text("plot,kg\nA,3.5\nA,4.0\nB,\n")
    lines = [
        {"frames": "plots", "kind": kind, "question": text, "gold": gold}
        for text, (kind, gold, _) in ASK_REPLIES.items()
    ]
    lines.append({"frames": "plots", "kind": "r", "question": "How many trees are there?", "gold": "nrow(trees)"})
    (questions / "questions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    replies = {text: [reply] for text, (_, _, reply) in ASK_REPLIES.items()}
    replies["How many trees are there?"] = [block("r", "n <- nrow(trees)\ncat('Trees:', n)")]
    with Model.with_replies(replies) as model:
        return [(*evaluate(model, folder / "to", questions), model.asked) for _ in range(2)]


@pytest.mark.sweep  # a set of questions about databases shows both
def test_right_wrong_failing_and_missing_code_are_told_apart(two_runs_over_frames, real_r):
    printed, records, _ = two_runs_over_frames[0]
    assert ends(records) == {
        "How many trees are in plot A?": ("right", "right"),
        "How heavy was the best harvest?": ("wrong", "wrong"),
        "How much was picked in plot A?": ("fails", "fails"),
        "How many plots are there?": ("right", "right"),  # code without a block
        "Which plots are there?": ("refused", "refused"),
        "How many trees are there?": ("right", "right"),
    }
    assert "McNemar" in printed
    assert next(record["ours"]["why"] for record in records if record["ours"]["ended"] == "fails").startswith("ZeroDiv")


@pytest.mark.sweep  # a set of questions about databases shows both
def test_a_second_run_over_frames_asks_nothing_again(two_runs_over_frames):
    (_, records, asked), (_, again, asked_by_then) = two_runs_over_frames
    assert asked == asked_by_then == sum(record[way]["rounds"] for record in records for way in ("plain", "ours"))
    assert ends(again) == ends(records)


def test_questions_in_r_are_left_out_without_r(programs, tmp_path):
    (tmp_path / "set" / "frames" / "plots").mkdir(parents=True)
    line = {"frames": "plots", "kind": "r", "question": "How many trees are there?", "gold": "nrow(trees)"}
    (tmp_path / "set" / "questions.jsonl").write_text(f"{json.dumps(line)}\n")
    with Model.with_replies({}) as model:
        printed, records = evaluate(model, tmp_path / "to", tmp_path / "set", PATH=str(tmp_path), R_HOME=str(tmp_path))
    assert "plots.r: 1 questions are left out: " in printed
    assert (records, model.asked) == ([], 0)


@pytest.mark.sweep
def test_a_model_that_knows_every_answer_is_right(tmp_path, server):
    """rsql refuses none of the golds and spoils none. Their beginnings are looked for, as it puts slips right."""
    with Model.with_replies({question.text[:40]: [sql(question.gold)] for question in QUESTIONS}) as model:
        _, records = evaluate(model, tmp_path, EVAL_POSTGRESQL=server())
    assert {text: end for text, end in ends(records).items() if end != ("right", "right")} == {}
    assert len(records) == 150


@pytest.mark.sweep
def test_a_model_that_knows_every_answer_about_frames_is_right(tmp_path, real_r):
    """None of the gold code is refused or changed, and its value is the same in a process of its own."""
    known = {
        f"Question: {one['question']}": [block("r" if one["kind"] == "r" else "python", one["gold"])] for one in ASKED
    }
    with Model.with_replies(known) as model:
        _, records = evaluate(model, tmp_path, ASK)
    assert {text: end for text, end in ends(records).items() if end != ("right", "right")} == {}
    assert (len(records), model.asked) == (150, 300)
