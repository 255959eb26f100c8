"""%sql_ai and %%sql_ai, typed: from the question to the frame."""

from __future__ import annotations

import re
import sqlite3

import httpx
import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from written_sql import sql

from rsql_magic.errors import BadInput, ConnectionProblem, UnknownName


def test_a_question_over_the_live_frames(sales, gateway, capsys):
    gateway.replies = [sql("SELECT region, sum(amount) AS total FROM sales GROUP BY region ORDER BY region", "Sums.")]

    result = sales.run("%%sql_ai -o out\nWhat did each region sell?")

    assert sales.user_ns["out"] is result.df
    assert result.df.to_dict("list") == {"region": ["N", "S"], "total": [70, 35]}
    assert result.sql.startswith("SELECT region")
    assert [attempt.problems for attempt in result.attempts] == [()]
    assert "CREATE TABLE sales" in gateway.sent
    assert "You write SQL for DuckDB." in gateway.requests[-1]["messages"][0]["content"]
    assert gateway.sent.endswith("Question: What did each region sell?")
    assert gateway.requests[0]["headers"]["x-rsql-task"] == "sql_ai"
    out = capsys.readouterr().out
    assert "2 rows" in out
    assert "Sums." in out


@pytest.mark.slow
def test_as_jupysql_writes_it(sales, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM sales")] * 3
    sales.run("%sql_ai a << how many?")
    sales.run("%%sql_ai b <<\nhow many?")
    sales.run("%%sql_ai frames c <<\nhow many?")
    assert [int(sales.user_ns[name].n[0]) for name in "abc"] == [15, 15, 15]


@pytest.mark.slow
def test_only_these_tables(ip, con, gateway):
    con.execute("CREATE TABLE shops (id INTEGER)")
    gateway.replies = [sql("SELECT count(*) AS n FROM shops")]
    ip.run("%%sql_ai con --tables shops\nhow many?")
    assert "CREATE TABLE orders" not in gateway.sent
    assert "1 of 2 tables are shown" in gateway.sent
    with pytest.raises(UnknownName, match="Did you mean shops"):
        ip.run("%%sql_ai con --tables shosp\nhow many?")


@pytest.mark.slow
def test_follow_ups_share_the_conversation(ip, con, gateway):
    gateway.replies = [
        sql("SELECT count(*) AS n FROM orders"),
        sql("SELECT count(*) AS n FROM orders WHERE shop = 1"),
        "It counts.",
    ]
    ip.run("%%sql_ai con\nHow many orders?")
    ip.run("%%sql_ai\nonly for shop 1")
    roles = [message["role"] for message in gateway.requests[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert gateway.requests[1]["messages"][1]["content"] == "How many orders?"
    assert "CREATE TABLE orders" in gateway.sent
    ip.run("%ask what does the last query do?")
    assert "WHERE shop = 1" in gateway.requests[2]["messages"][-2]["content"]


def test_show_context_sends_nothing(ip, con, gateway, capsys):
    ip.run("%%sql_ai con --show-context\nhow many?")
    assert "CREATE TABLE orders" in capsys.readouterr().out
    assert gateway.calls == ["stats"]
    assert gateway.requests == []


@pytest.mark.slow
def test_another_dialect_is_written_and_the_native_one_run(ip, con, gateway):
    gateway.replies = [sql("SELECT TOP 2 id FROM orders ORDER BY id")]
    result = ip.run("%%sql_ai con --dialect tsql\nfirst two")
    assert result.df.id.tolist() == [0, 1]
    assert result.sql.startswith("SELECT TOP 2")


@pytest.mark.parametrize(
    ("cell", "error", "words"),
    [
        ("%%sql_ai\n ", BadInput, "There is no question."),
        ("%%sql_ai\nhow many?", ConnectionProblem, "neither a database nor a frame"),
        ("%%sql_ai cno\nhow many?", UnknownName, "There is no connection 'cno'. Did you mean con?"),
        ("%%sql_ai con extra\nhow many?", BadInput, "'extra' is left over on the first line. The question stands"),
        ("%%sql_ai sales.csv\nhow many?", BadInput, 'without a connection: sales = pd.read_csv("sales.csv").'),
        ("%sql_ai con how many? --plot", BadInput, "--plot stands behind the question; options come first."),
        ("%sql_ai con how many? --plot bar", BadInput, "--plot stands behind the question"),
        ("%%sql_ai con --plot pizza\nhow many?", BadInput, "'pizza'"),
        ("%%sql_ai con --max-rows many\nhow many?", BadInput, "--max-rows takes a whole number, not 'many'."),
        ("%%sql_ai con --max-rows 0\nhow many?", BadInput, "at least 1"),
        ("%%sql_ai nothing.db\nhow many?", ConnectionProblem, "nothing.db"),
        ("%%sql_ai number\nhow many?", BadInput, "number"),
        ("%%sql_ai con --dialect klingon\nhow many?", BadInput, "klingon"),
    ],
)
def test_bad_input_is_one_clear_line(ip, gateway, capsys, request, cell, error, words):  # noqa: PLR0917
    ip.user_ns["number"] = 3
    if "con" in words or " con" in cell:
        request.getfixturevalue("con")
    done = ip.run_cell(cell)
    assert isinstance(done.error_in_exec, error)
    assert words in str(done.error_in_exec)
    assert gateway.requests == []
    assert len(capsys.readouterr().out.strip().splitlines()) <= 2


@pytest.mark.slow
def test_two_dashes_make_an_option_behind_a_question_part_of_it(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")]
    ip.run("%sql_ai con -- how many? --plot")
    assert "how many? --plot" in gateway.sent


@pytest.mark.slow
def test_the_steps_are_told_as_they_come(con, assistant, gateway):
    from rsql_magic.display import Screen

    class Told(Screen):
        words: list[str] = []  # noqa: RUF012 - one object, one test

        def status(self, word):
            self.words.append(word)

        def restart(self, why):
            self.words.append(why.split(":")[0])

    gateway.replies = [sql("SELECT nope FROM orders"), sql("SELECT count(*) AS n FROM orders")]
    assistant.sql_ai("how many orders?", con, screen=Told())
    assert Told.words == ["linking", "writing", "checking", "repairing", "repairing", "checking", "running"]


def test_values_as_they_are_stored_are_told(ip, gateway):
    ip.user_ns["trips"] = pd.DataFrame({"origin": ["JFK", "EWR"] * 10, "n": range(20)})
    gateway.replies = [sql("SELECT count(*) AS n FROM trips WHERE origin = 'JFK'")] * 2
    ip.run("%%sql_ai\nHow many trips from jfk?")
    assert "-- 'jfk' is stored as 'JFK' in trips.origin" in gateway.sent
    ip.run("%%sql_ai --privacy names\nHow many trips from jfk?")
    assert "JFK" not in gateway.sent


@pytest.mark.slow
def test_a_question_with_two_readings_is_asked_back(ip, con, gateway):
    for schema in ("north", "south"):
        con.execute(f"CREATE SCHEMA {schema}")
        con.execute(f"CREATE TABLE {schema}.visitors (id INTEGER, name VARCHAR)")
    with pytest.raises(BadInput, match=r"asked of (north|south)\.visitors or (north|south)\.visitors") as caught:
        ip.run("%%sql_ai con --ask\nHow many visitors?")
    assert "--tables" in caught.value.hint
    gateway.replies = [sql("SELECT count(*) AS n FROM north.visitors")] * 2
    ip.run("%%sql_ai con --ask --tables north.visitors\nHow many visitors?")
    ip.run("%%sql_ai con\nHow many visitors?")


@pytest.mark.slow
def test_without_a_person_the_better_of_two_readings_is_taken_and_said(ip, con, gateway, assistant):
    assistant.batch = True
    con.execute("CREATE SCHEMA hr; CREATE SCHEMA us")
    for schema, more in (("hr", ""), ("us", ", region VARCHAR")):
        con.execute(f"CREATE TABLE {schema}.employee (id INTEGER, salary DOUBLE{more})")
    gateway.replies = [sql("SELECT avg(salary) AS a FROM hr.employee")] * 2
    result = ip.run("%%sql_ai con --ask\nTell us the average salary of employees")
    assert (
        "This can be asked of hr.employee or us.employee; hr.employee was taken. Say which with --tables."
        in result.notes
    )
    assert "us.employee" not in gateway.sent
    result = ip.run("%%sql_ai con --ask\naverage salary of employees in hr")
    assert not [note for note in result.notes if "taken" in note]


@pytest.mark.slow
def test_a_verified_question_is_shown_when_one_resembles_it(ip, con, gateway, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="no result to verify"):
        ip.run("%rsql verify")
    gateway.replies = [sql("SELECT shop, sum(total) AS total FROM orders GROUP BY shop")] * 4
    ip.run("%%sql_ai con\nTotal of orders per shop")
    ip.run("%rsql verify")
    assert "Total of orders per shop" in (tmp_path / "rsql_verified.jsonl").read_text(encoding="utf-8")
    ip.run("%%sql_ai con --new\nWhat is the total of orders per shop in May?")
    assert '<data kind="verified"' in gateway.sent
    assert "Total of orders per shop\n```sql\nSELECT shop" in gateway.sent
    ip.run("%%sql_ai con --new\nWho is tall?")
    assert "verified" not in gateway.sent
    con.execute("ALTER TABLE orders RENAME COLUMN total TO amount")
    ip.run("%rsql refresh")
    gateway.replies = [sql("SELECT sum(amount) AS total FROM orders")]
    ip.run("%%sql_ai con --new\nTotal of orders per shop")
    assert "verified" not in gateway.sent


@pytest.mark.slow
def test_names_are_completed_in_the_cell(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")]
    ip.run("%%sql_ai con\nhow many?")
    with provisionalcompleter():
        for text, word in (
            ("%%sql_ai con\nHow many ord", "orders"),
            ("%%sql con\nSELECT tot", "total"),
            ("%%sql con\nSELECT TOT", "total"),
        ):
            assert word in {one.text for one in ip.Completer.completions(text, len(text))}, text


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%sql_ai --plot pizza\nhow many?", "no chart of the kind 'pizza'"),
        ("%%sql_ai --save /nonexistent/a.csv\nhow many?", "there is no folder /nonexistent"),
        ("%%sql_ai\nhow many?\n%%sql_ai\nhow much?", "A second %%sql_ai stands in this cell"),
        ("%%ask\n%ask how many?", "A second %ask stands in this cell"),
        ("%%sql_ai sales\nhow many?", "Leave it out: the live frames are the tables."),
        ("%%sql_ai", "Write it below %%sql_ai."),
    ],
)
def test_slips_are_said_before_anything_is_asked(sales, gateway, cell, words):
    with pytest.raises(BadInput) as caught:
        sales.run(cell)
    assert words in str(caught.value)
    assert gateway.requests == []


@pytest.mark.slow
def test_a_mistyped_name_in_the_question_is_read_as_the_name_and_said(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")]
    result = ip.run("%%sql_ai con\nhow many ordrs?")
    assert "how many orders?" in gateway.sent
    assert result.question == "how many ordrs?"
    assert "“ordrs” was read as orders." in result.notes


@pytest.mark.slow
def test_a_chart_and_the_day_are_spoken_of_only_where_the_question_does(ip, con, gateway):
    gateway.replies = [sql("SELECT 1"), sql("SELECT 1"), sql("SELECT 1")]
    ip.run("%%sql_ai con\nhow many orders?")
    assert "chart" not in gateway.sent
    assert "today" not in gateway.sent
    ip.run("%%sql_ai con\nplot the orders by shop")
    assert '"chart"' in gateway.sent
    ip.run("%%sql_ai con\nhow many orders yesterday?")
    assert "<session today=" in gateway.sent
    assert all(request["temperature"] == 0 and request["seed"] == 1 for request in gateway.requests)


def test_tables_stand_in_the_order_in_which_they_were_made(ip, gateway):
    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE zoo (id INTEGER PRIMARY KEY); CREATE TABLE keeper (id INTEGER PRIMARY KEY);"
        "CREATE TABLE animal (zoo INTEGER REFERENCES zoo (id), keeper INTEGER REFERENCES keeper (id));"
    )
    ip.user_ns["zoos"] = connection
    for question in ("how many animals?", "which keeper has the zoo?"):
        gateway.replies = [sql("SELECT count(*) FROM animal")]
        ip.run(f"%%sql_ai zoos\n{question}")
    made = [re.findall(r"CREATE TABLE (\w+)", request["messages"][-1]["content"]) for request in gateway.requests]
    assert made == [["zoo", "keeper", "animal"]] * 2
    assert re.findall(r"FOREIGN KEY \((\w+)", gateway.sent) == ["zoo", "keeper"]
    connection.close()


@pytest.mark.parametrize("words", ["This model's maximum context length is 900 tokens.", "context_length_exceeded"])
def test_fewer_tables_are_shown_where_the_context_is_exceeded(ip, gateway, words):
    connection = sqlite3.connect(":memory:")
    for n in range(40):
        connection.execute(f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT)")
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, placed TEXT)")
    ip.user_ns["wide"] = connection
    refusal = httpx.Response(400, json={"error": {"message": words, "code": "context_length_exceeded"}})
    gateway.replies = [refusal, sql("SELECT count(*) AS n FROM orders")]
    result = ip.run("%%sql_ai wide\nhow many orders?")
    assert "CREATE TABLE orders" in gateway.sent
    assert len(gateway.sent) < len(gateway.requests[0]["messages"][-1]["content"]) / 1.8
    assert any(note.startswith("The model's context is short: ") for note in result.notes)
    connection.close()
