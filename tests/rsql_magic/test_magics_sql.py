"""%sql_ai and %%sql_ai, typed: from the question to the frame."""

from __future__ import annotations

import sqlite3

import duckdb
import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter

from rsql_magic.errors import BadInput, ConnectionProblem, QueryFailed, QueryRejected, UnknownName


@pytest.fixture
def sales(ip):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N", "S", "N"] * 5, "amount": range(15)})
    return ip


@pytest.fixture
def con(ip, tmp_path):
    connection = duckdb.connect(tmp_path / "shop.duckdb")
    connection.execute("CREATE TABLE orders AS SELECT i AS id, i % 3 AS shop, i * 1.5 AS total FROM range(3000) t(i)")
    ip.user_ns["con"] = connection
    yield connection
    connection.close()


def sql(text, says="", chart=""):
    return f"```sql\n{text}\n```\n{says}" + (f"\n```json\n{chart}\n```" if chart else "")


def test_a_question_over_the_live_frames(sales, gateway, capsys):
    gateway.replies = [sql("SELECT region, sum(amount) AS total FROM sales GROUP BY region ORDER BY region", "Sums.")]

    result = sales.run("%%sql_ai -o out\nWhat did each region sell?")

    assert sales.user_ns["out"] is result.df
    assert result.df.to_dict("list") == {"region": ["N", "S"], "total": [70, 35]}
    assert result.sql.startswith("SELECT region")
    assert [attempt.problems for attempt in result.attempts] == [()]
    assert "CREATE TABLE sales" in gateway.sent
    assert 'dialect="duckdb"' in gateway.sent
    assert gateway.sent.endswith("Question: What did each region sell?")
    assert gateway.requests[0]["headers"]["x-rsql-task"] == "sql_ai"
    out = capsys.readouterr().out
    assert "2 rows" in out
    assert "Sums." in out


def test_as_jupysql_writes_it(sales, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM sales")] * 3
    sales.run("%sql_ai a << how many?")
    sales.run("%%sql_ai b <<\nhow many?")
    sales.run("%%sql_ai frames c <<\nhow many?")
    assert [int(sales.user_ns[name].n[0]) for name in "abc"] == [15, 15, 15]


def test_a_connection_by_its_name_is_remembered_and_said(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")] * 3
    first = ip.run("%%sql_ai con\nHow many orders?")
    second = ip.run("%%sql_ai\nHow many orders?")
    third = ip.run("%sql_ai con how many orders?")
    assert [int(result.df.n[0]) for result in (first, second, third)] == [3000] * 3
    assert "on con, as before" in second.shown().footer
    assert "as before" not in first.shown().footer


def test_a_connection_that_does_not_answer_is_not_used_again(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")] * 2
    ip.run("import duckdb\ngone = duckdb.connect()\ngone.close()")
    ip.run("%sql_ai con how many orders?")
    with pytest.raises(ConnectionProblem, match="is closed"):
        ip.run("%sql_ai gone how many orders?")
    assert "on con, as before" in ip.run("%sql_ai how many orders?").shown().footer


def test_the_users_connection_stays_open(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")]
    ip.run("%%sql_ai con\nHow many orders?")
    assert con.execute("SELECT 1").fetchone() == (1,)


def test_sqlite_and_urls(ip, gateway, tmp_path):
    path = tmp_path / "a.db"
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE t (x INTEGER)")
    made.execute("INSERT INTO t VALUES (1), (2)")
    made.commit()
    ip.user_ns |= {"lite": made, "url": f"sqlite:///{path}"}
    gateway.replies = [sql("SELECT sum(x) AS s FROM t")] * 4
    for name in ("lite", "url", f"sqlite:///{path}", str(path)):
        assert ip.run(f"%%sql_ai {name}\nsum of x").df.s[0] == 3
    assert 'dialect="sqlite"' in gateway.sent
    made.close()


def test_a_wrong_name_goes_back_with_the_facts(ip, con, gateway):
    gateway.replies = [sql("SELECT avg(turnover) AS a FROM orders"), sql("SELECT avg(total) AS a FROM orders")]
    result = ip.run("%%sql_ai con\nmean total")
    assert [len(attempt.problems) for attempt in result.attempts] == [1, 0]
    assert "turnover" in gateway.sent
    assert "This query does not work" in gateway.sent
    assert gateway.sent.endswith("The question is still: mean total")
    assert "<details><summary>draft 1" in result.shown().markdown
    assert result.usage.requests == 2


def test_a_slip_is_mended_without_asking_and_shown(ip, con, gateway):
    gateway.replies = [sql("SELECT count(totals) AS n FROM ordrs")]
    result = ip.run("%%sql_ai con\nhow many?")
    assert int(result.df.n[0]) == 3000
    assert len(gateway.requests) == result.usage.requests == 1
    assert [attempt.mended for attempt in result.attempts] == [(), ("ordrs → orders", "totals → total")]
    folded = result.shown().markdown
    assert "<summary>mended without asking: ordrs → orders; totals → total</summary>" in folded
    assert folded.index("draft 1: There is no table ordrs") < folded.index("mended without asking")
    assert "-- mended without asking: ordrs → orders" in str(result)


def test_a_mended_draft_that_finds_nothing_is_doubted_like_any_other(ip, con, gateway):
    con.execute("CREATE TABLE towns AS SELECT * FROM (VALUES ('Rome'), ('Oslo')) t(town)")
    right = "SELECT count(*) AS n FROM towns WHERE town = 'Rome'"
    gateway.replies = [sql("SELECT town FROM town WHERE town = 'rome'"), sql(right)]
    result = ip.run("%%sql_ai con\nhow many towns are called Rome?")
    assert result.sql == right
    assert ["town → towns" in attempt.mended for attempt in result.attempts] == [False, True, False]
    assert "'Rome'" in result.attempts[1].problems[0]


def test_what_never_gets_right_is_an_error_with_the_last_draft(ip, con, gateway):
    gateway.replies = [sql("SELECT nope FROM orders")] * 3
    with pytest.raises(QueryFailed, match=r"No query passed its checks in 3 attempts") as caught:
        ip.run("%%sql_ai con --retries 2\nwhat?")
    assert caught.value.sql == "SELECT nope FROM orders"


@pytest.mark.parametrize(
    "statement", ["DROP TABLE orders", "DELETE FROM orders", "SELECT 1; DROP TABLE orders", "COPY orders TO 'x.csv'"]
)
def test_a_write_is_refused_in_one_line(ip, con, gateway, capsys, statement):
    gateway.replies = [sql(statement)]
    done = ip.run_cell("%%sql_ai con\nclean up")
    assert isinstance(done.error_in_exec, QueryRejected)
    assert len(capsys.readouterr().out.strip().splitlines()) == 1
    assert len(gateway.requests) == 1
    assert con.execute("SELECT count(*) FROM orders").fetchone() == (3000,)


def test_a_reply_without_sql_carries_the_models_words(ip, con, gateway):
    gateway.replies = ["There is no column for weather here."]
    with pytest.raises(QueryFailed, match="There is no column for weather here"):
        ip.run("%%sql_ai con\nhow was the weather?")


def test_three_blocks_and_a_cut_block(ip, con, gateway):
    gateway.replies = [sql("SELECT 1 AS a FROM orders LIMIT 1") + sql("SELECT 2 AS a") + sql("SELECT 3 AS a")]
    result = ip.run("%%sql_ai con\nwhat?")
    assert result.df.a[0] == 1
    assert "3 queries; the first one is used" in result.notes[0]
    gateway.replies = ["```sql\nSELECT count(*) AS n FROM or", sql("SELECT count(*) AS n FROM orders")]
    result = ip.run("%%sql_ai con\nwhat?")
    assert "not complete" in result.attempts[0].problems[0]


def test_rows_are_counted_truthfully(ip, con, gateway, capsys):
    gateway.replies = [sql("SELECT * FROM orders")]
    result = ip.run("%%sql_ai con --max-rows 1000\nall")
    assert len(result.df) == 1000
    assert result.count == "first 1,000 of 3,000 rows"
    assert "first 1,000 of 3,000 rows, 10 shown" in capsys.readouterr().out


def test_no_run_keeps_the_sql(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")]
    result = ip.run("%%sql_ai con --no-run -o query\nhow many?")
    assert (result.df, ip.user_ns["query"]) == (None, "SELECT count(*) AS n FROM orders")


def test_only_these_tables(ip, con, gateway):
    con.execute("CREATE TABLE shops (id INTEGER)")
    gateway.replies = [sql("SELECT count(*) AS n FROM shops")]
    ip.run("%%sql_ai con --tables shops\nhow many?")
    assert "CREATE TABLE orders" not in gateway.sent
    assert "1 of 2 tables are shown" in gateway.sent
    with pytest.raises(UnknownName, match="Did you mean shops"):
        ip.run("%%sql_ai con --tables shosp\nhow many?")


def test_a_chart_when_asked_for(ip, con, gateway):
    gateway.replies = [sql("SELECT shop, count(*) AS n FROM orders GROUP BY shop ORDER BY shop")] * 2
    assert ip.run("%%sql_ai con --plot bar\nper shop").chart.to_dict()["mark"]["type"] == "bar"
    assert ip.run("%%sql_ai con\nper shop").chart is None


def test_a_chart_when_the_model_describes_one(ip, con, gateway):
    query = "SELECT shop, count(*) AS n FROM orders GROUP BY shop"
    gateway.replies = [sql(query, chart='{"chart": "pie", "x": "shop", "y": "n", "color": null}')]
    assert ip.run("%%sql_ai con\nper shop, as a pie").chart.to_dict()["mark"]["type"] == "arc"


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


def test_explain_shows_the_plan_and_says_it_in_words(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders"), "It counts the rows of orders."]
    result = ip.run("%%sql_ai con --explain\nhow many?")
    assert result.plan
    assert result.says == "It counts the rows of orders."
    assert '<session dialect="duckdb">' in gateway.sent


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
        ("%%sql_ai con extra\nhow many?", BadInput, "'extra'"),
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


def test_a_file_that_is_no_database(ip, gateway, tmp_path):
    (tmp_path / "x.duckdb").write_text("not a database at all")
    with pytest.raises(ConnectionProblem):
        ip.run(f"%%sql_ai {tmp_path}/x.duckdb\nhow many?")


def test_a_frame_of_no_rows(ip, gateway):
    ip.user_ns["empty"] = pd.DataFrame({"a": pd.Series([], dtype="int64")})
    gateway.replies = [sql("SELECT * FROM empty")]
    result = ip.run("%%sql_ai --plot\nall")
    assert result.count == "0 rows"
    assert "no rows to draw" in result.notes[0]


def test_a_frame_without_columns_does_not_keep_the_others_from_being_asked(sales, gateway):
    sales.user_ns["nothing"] = pd.DataFrame()
    gateway.replies = ["```sql\nSELECT count(*) AS n FROM sales\n```"]
    assert sales.run("%sql_ai how many rows?").df.n[0] > 0


def test_a_database_that_is_gone_does_not_stop_other_questions(ip, gateway):
    with pytest.raises(ConnectionProblem):
        ip.run("%sql_ai postgresql://127.0.0.1:1/shop How many orders?")
    gateway.replies = ["Four."]
    assert ip.run("%ask how much is two and two?").text == "Four. "
    with pytest.raises(ConnectionProblem):
        ip.run("%rsql catalog")


def test_local_variables_are_seen(ip, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM inner_frame")]
    ip.run(
        "import pandas as pd\n"
        "def f():\n"
        "    inner_frame = pd.DataFrame({'a': [1, 2]})\n"
        "    return get_ipython().run_line_magic('sql_ai', 'how many rows?')\n"
        "result = f()"
    )
    assert ip.user_ns["result"].df.n[0] == 2


def test_html_in_data_stays_text(ip, gateway):
    ip.user_ns["evil"] = pd.DataFrame({"<b>x</b>": ["<script>alert(1)</script>", "$a$ | `b`\n\nc"]})
    gateway.replies = [sql("SELECT * FROM evil", "Look: <img src=x onerror=alert(1)> ![i](http://x/y.png)")]
    shown = ip.run("%%sql_ai\nall").shown().markdown
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "![" not in shown
    assert "\n\nc" not in shown


def test_a_frame_that_is_mentioned_wins_over_the_connection_before(ip, con, gateway):
    gateway.replies = [
        sql("SELECT count(*) AS n FROM orders"),
        sql("SELECT count(*) AS n FROM late"),
        sql("SELECT 1 AS n FROM late"),
    ]
    ip.run("%%sql_ai con\nHow many orders?")
    ip.user_ns["late"] = pd.DataFrame({"id": [1, 2]})
    second = ip.run("%%sql_ai\nHow many rows has late?")
    assert second.df.n[0] == 2
    assert "on the frame late, not on con" in second.shown().footer
    assert ip.run("%%sql_ai\nand the first?").connection == second.connection


def test_jupysqls_connection_is_used_when_nothing_is_named(ip, gateway, monkeypatch):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    connection_module = pytest.importorskip("sql.connection")
    engine = sqlalchemy.create_engine("sqlite://")
    monkeypatch.setattr(connection_module.ConnectionManager, "current", None)
    current = connection_module.SQLAlchemyConnection(engine, config=None)
    with engine.connect() as made:
        made.execute(sqlalchemy.text("CREATE TABLE t (x INTEGER)"))
        made.commit()
    monkeypatch.setattr(connection_module.ConnectionManager, "current", current)
    gateway.replies = [sql("SELECT count(*) AS n FROM t")]
    result = ip.run("%%sql_ai\nhow many?")
    assert result.df.n[0] == 0
    assert "on JupySQL's connection" in result.shown().footer
    current.close()
    engine.dispose()


def test_a_connection_itself_from_python(ip, con, assistant, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")] * 2
    for _ in range(2):
        assert assistant.sql_ai("how many orders?", con).df.n[0] == 3000
    gateway.replies = [sql("SELECT sum(a) AS s FROM f")]
    assert assistant.sql_ai("sum", {"f": pd.DataFrame({"a": [1, 2]})}).df.s[0] == 3


def test_what_may_not_leave_is_found_all_the_same(ip, gateway):
    ip.user_ns["people"] = pd.DataFrame({"mail": ["ada@example.org", "bob@example.org"], "n": [1, 2]})
    gateway.replies = [
        sql("SELECT nn FROM people WHERE mail = '[email]'"),
        sql("SELECT n FROM people WHERE mail = '[email]'"),
    ]
    result = ip.run("%%sql_ai\nn in people of bob@example.org?")
    assert result.df.n.tolist() == [2]
    assert "bob@example.org" in result.sql
    assert "bob@example.org" not in str(gateway.requests)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[0] * 1000], columns=[f"c{i}" for i in range(1000)]),
        pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]),
        pd.DataFrame({"a": pd.Series([], dtype="float64")}),
        pd.DataFrame({0: [1], None: [2], ("x", "y"): [3]}),
        pd.DataFrame({"select": [1], 'we"ird; DROP': [2], "🎉 x": [3], "x" * 10_000: [4]}),
    ],
    ids=["1,000 columns", "duplicate names", "no rows", "names that are no text", "odd names"],
)
def test_odd_frames_are_told_and_queried(ip, gateway, frame):
    ip.user_ns["odd"] = frame
    gateway.replies = ["An odd frame.", sql("SELECT count(*) AS n FROM odd")]
    ip.run("%%ask\nWhat is in odd?")
    assert 'name="odd"' in gateway.sent
    assert ip.run("%%sql_ai\nHow many rows in odd?").df.n[0] == len(frame)


def test_an_empty_result_that_a_spelling_explains_goes_back_once(ip, con, gateway):
    con.execute(
        "CREATE TABLE places AS SELECT * FROM (VALUES ('USA', 'Ada'), ('UK', 'Bob'), ('UK', 'Cy')) t(country, who)"
    )
    count = "SELECT who FROM places WHERE country = '{}'"
    gateway.replies = [sql(count.format("usa")), sql(count.format("USA"))]
    result = ip.run("%%sql_ai con\nwho is in the usa?")
    assert result.df.who.tolist() == ["Ada"]
    assert result.attempts[0].problems == ("country is never 'usa'. Did you mean 'USA'?",)
    gateway.replies = [sql(count.format("france"))]
    assert ip.run("%%sql_ai con\nwho is in france?").count == "0 rows"


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        ("sql placeholder", "is not a query that reads"),
        ("SELECT margin(sum(total), 2) FROM orders", "no function margin"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT count(* FROM orders", "does not read as SQL"),
        ("SELECT count(*) FROM orders_new", "Did you mean orders?"),
        ("SELECT a.id FROM orders a, orders b, orders c, orders d", "joined without a condition"),
        ("", "no SQL"),
    ],
)
def test_a_slip_that_the_guard_finds_is_repaired(ip, con, gateway, slip, told):
    gateway.replies = [sql(slip), sql("SELECT count(*) AS n FROM orders")]
    result = ip.run("%%sql_ai con\nHow many orders?")
    assert int(result.df.n[0]) == 3000
    assert told in result.attempts[0].problems[0]


def test_a_worse_repair_does_not_lose_what_ran(ip, con, gateway):
    con.execute("CREATE TABLE places AS SELECT 'USA' AS country")
    gateway.replies = [sql("SELECT * FROM places WHERE country = 'usa'"), sql("SELECT nope FROM places")]
    result = ip.run("%%sql_ai con --retries 1\nwhat of the usa?")
    assert result.count == "0 rows"
    assert result.sql.endswith("'usa'")
    assert result.problems == ()


def test_nothing_of_the_values_is_told_when_only_names_may_leave(ip, con, gateway):
    con.execute("CREATE TABLE places AS SELECT 'USA' AS country")
    gateway.replies = [sql("SELECT * FROM places WHERE country = 'usa'")]
    assert ip.run("%%sql_ai con --privacy names\nwhat of the usa?").count == "0 rows"


def test_what_the_data_has_against_a_query_goes_back_without_the_data(ip, con, gateway):
    con.execute("CREATE TABLE notes AS SELECT 'Smith' AS note")
    gateway.replies = [
        sql("SELECT CAST(note AS INTEGER) AS n FROM notes"),
        sql("SELECT TRY_CAST(note AS INTEGER) AS n FROM notes"),
    ]
    result = ip.run("%%sql_ai con\nnumbers in notes")
    assert "Could not convert" in result.attempts[0].problems[0]
    assert "Smith" not in gateway.sent
    assert len(result.df) == 1


def test_a_query_over_its_time_is_not_tried_again(ip, con, gateway):
    con.execute("CREATE TABLE t AS SELECT range AS i FROM range(100000)")
    gateway.replies = [sql("SELECT count(*) AS n FROM t a JOIN t b ON a.i <> b.i JOIN t c ON c.i <> b.i")]
    with pytest.raises(QueryFailed, match=r"stopped after 0.2 s"):
        ip.run("%%sql_ai con --timeout 0.2\nhow many?")


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


def test_a_join_that_counts_rows_twice_is_said(ip, con, gateway, capsys):
    con.execute("CREATE TABLE shops (shop INTEGER PRIMARY KEY, rent INTEGER)")
    con.execute("INSERT INTO shops VALUES (0, 10), (1, 20), (2, 30)")
    gateway.replies = [sql("SELECT sum(s.rent) AS rent FROM shops s JOIN orders o ON o.shop = s.shop")]
    result = ip.run("%%sql_ai con\nrent of all shops with orders")
    assert result.notes == (
        "A row of shops comes once for each matching row of orders, so sum(s.rent) counts it several times.",
    )
    assert "counts it several times" in capsys.readouterr().out


def test_values_as_they_are_stored_are_told(ip, gateway):
    ip.user_ns["trips"] = pd.DataFrame({"origin": ["JFK", "EWR"] * 10, "n": range(20)})
    gateway.replies = [sql("SELECT count(*) AS n FROM trips WHERE origin = 'JFK'")] * 2
    ip.run("%%sql_ai\nHow many trips from jfk?")
    assert "-- 'jfk' is stored as 'JFK' in trips.origin" in gateway.sent
    ip.run("%%sql_ai --privacy names\nHow many trips from jfk?")
    assert "JFK" not in gateway.sent


def test_a_result_is_saved_by_the_ending_of_the_file(ip, con, gateway, tmp_path):
    gateway.replies = [sql("SELECT shop, sum(total) AS total FROM orders GROUP BY shop ORDER BY shop")]
    files = [tmp_path / f"totals{ending}" for ending in (".csv", ".parquet", ".sql", ".svg")]
    result = ip.run(f"%%sql_ai con --plot bar --save {' '.join(map(str, files))}\ntotal per shop")
    assert pd.read_csv(files[0]).to_dict("list") == result.df.astype(float).astype({"shop": int}).to_dict("list")
    assert len(pd.read_parquet(files[1])) == 3
    assert files[2].read_text(encoding="utf-8").startswith("-- total per shop\nSELECT shop")
    assert "<svg" in files[3].read_text(encoding="utf-8")


def test_a_file_that_says_nothing_is_refused_before_anything_is_asked(ip, con, gateway):
    with pytest.raises(BadInput, match="its ending says nothing"):
        ip.run("%%sql_ai con --save totals.xyz\ntotal per shop")
    assert gateway.requests == []


def test_no_chart_of_that_kind(ip, con, gateway):
    with pytest.raises(BadInput, match="no chart of the kind 'nope'") as caught:
        ip.run("%%sql_ai con --plot nope\ntotal per shop")
    assert "bar" in caught.value.hint


@pytest.mark.parametrize("kind", ["polars", "arrow", "pandas"])
def test_a_result_as_another_frame(ip, con, gateway, kind):
    gateway.replies = [sql("SELECT 1.50::DECIMAL(4, 2) AS price, count(*) AS n FROM orders")]
    ip.run(f"%%sql_ai con --as {kind} -o out\nprice")
    assert type(ip.user_ns["out"]).__module__.split(".")[0] == {"arrow": "pyarrow"}.get(kind, kind)
    assert str(ip.user_ns["out"]["price"][0]) == "1.50"


def test_an_answer_in_words_needs_leave_to_send_rows(ip, con, gateway):
    with pytest.raises(BadInput, match="sends rows of the result"):
        ip.run("%%sql_ai con --answer\nwie viele?")
    gateway.replies = [sql("SELECT count(*) AS n FROM orders"), "Es sind 3000 Bestellungen."]
    result = ip.run("%%sql_ai con --answer --privacy sample\nwie viele?")
    assert result.answer == "Es sind 3000 Bestellungen."
    assert "n\n3000" in gateway.sent
    assert "Es sind 3000" in result.shown().markdown


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


def test_a_costly_plan_is_asked_about_first(ip, con, gateway, monkeypatch, assistant):
    assistant.settings.plan_rows = 100
    gateway.replies = [sql("SELECT count(*) AS n FROM orders a JOIN orders b ON a.shop = b.shop")] * 3
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "y")
    assert ip.run("%%sql_ai con\nhow many?").df.n[0] == 3_000_000
    assert "expects to handle about" in asked[0]
    monkeypatch.setattr("builtins.input", lambda _: "")
    with pytest.raises(QueryFailed, match="are allowed without asking"):
        ip.run("%%sql_ai con --retries 0\nhow many?")
    assistant.batch = True
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("nobody is there to be asked"))
    with pytest.raises(QueryFailed, match="are allowed without asking"):
        ip.run("%%sql_ai con --retries 0\nhow many?")


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


def test_a_draft_is_not_blamed_for_a_schema_that_changed_a_moment_ago(ip, con, gateway, monkeypatch):
    monkeypatch.setattr(
        "rsql_magic.engines.base.SLOW_PROBE", -1.0
    )  # so the database is not asked again for two seconds
    gateway.replies = [sql("SELECT sum(total) AS s FROM orders"), sql("SELECT sum(amount) AS s FROM orders")]
    ip.run("%%sql_ai con\nTotal?")
    con.execute("ALTER TABLE orders RENAME COLUMN total TO amount")
    result = ip.run("%%sql_ai con\nTotal?")
    assert [attempt.problems for attempt in result.attempts] == [()]


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


def test_a_named_result_is_a_table_of_the_next_question(ip, con, gateway):
    gateway.replies = [
        sql("SELECT shop, sum(total) AS total FROM orders GROUP BY shop"),
        sql("SELECT max(total) AS most FROM delays"),
    ]
    ip.run("%%sql_ai con -o delays\ntotal per shop")
    result = ip.run("%%sql_ai\nWhat is the highest total in delays?")
    assert "CREATE TABLE delays" in gateway.sent
    assert result.df.most[0] > 0


def test_no_progress_bar_is_shown_and_the_users_setting_stays(ip, con, gateway):
    con.execute("SET enable_progress_bar = true")
    gateway.replies = [sql("SELECT current_setting('enable_progress_bar') AS shown FROM orders LIMIT 1")]
    assert not ip.run("%%sql_ai con\nis there a bar?").df.shown[0]
    assert con.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (True,)


def test_a_draft_widens_what_the_repair_is_told(ip, con, gateway, assistant):
    assistant.settings.schema_tokens = 600
    for number in range(60):
        con.execute(f"CREATE TABLE filler_{number} (thing_{number} INTEGER, stuff_{number} VARCHAR)")
    con.execute("CREATE TABLE managers (manager_name VARCHAR, shop INTEGER)")
    gateway.replies = [
        sql("SELECT manager_name, sum(total) AS t FROM orders GROUP BY 1"),
        sql("SELECT manager_name, sum(total) AS t FROM orders JOIN managers USING (shop) GROUP BY 1"),
    ]
    ip.run("%%sql_ai con\ntotals of orders")
    first, second = (request["messages"][-1]["content"] for request in gateway.requests)
    assert "CREATE TABLE managers" not in first
    assert "CREATE TABLE managers" in second


def test_a_statement_without_a_plan_runs(ip, con, gateway):
    gateway.replies = [sql("DESCRIBE orders")]
    assert "total" in list(ip.run("%%sql_ai con\nWhich columns has orders?").df["column_name"])


def test_odd_names_in_a_database(ip, gateway):
    shop = ip.user_ns["shop"] = sqlite3.connect(":memory:")
    shop.execute('CREATE TABLE "Order Details 🎉" ("select" INTEGER, "a""b" TEXT, "Ünit Price" REAL, `x]y` TEXT)')
    shop.execute("INSERT INTO \"Order Details 🎉\" VALUES (1, 'n', 2.5, 'm')")
    query = 'SELECT "select", "a""b" AS n, "{}nit price" AS price FROM "order details 🎉"'
    gateway.replies = [sql(query.format("ü")), sql(query.format("Ü"))]  # SQLite folds A to Z only
    result = ip.run("%%sql_ai shop\nall details")
    assert "no column ünit price" in result.attempts[0].problems[0]
    assert result.df.to_dict("list") == {"select": [1], "n": ["n"], "price": [2.5]}
    told = gateway.requests[0]["messages"][-1]["content"]
    assert all(f"  {name} " in told for name in ('"select"', '"a""b"', '"Ünit Price"'))
    shop.close()


def test_a_table_of_two_thousand_columns(ip, gateway):
    wide = ip.user_ns["wide"] = duckdb.connect()
    wide.execute(f"CREATE TABLE readings AS SELECT {', '.join(f'{i} AS sensor_{i}' for i in range(2000))}")
    gateway.replies = [sql("SELECT max(sensor_1234) AS top FROM readings")]
    result = ip.run("%%sql_ai wide\nwhat is the highest sensor_1234?")
    assert result.df.top[0] == 1234
    assert "sensor_1234" in gateway.sent
    assert len(gateway.sent) < 32_000
    wide.close()


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


def test_saving_a_picture_asks_for_a_chart(sales, gateway, tmp_path):
    gateway.replies = [sql("SELECT region, sum(amount) AS total FROM sales GROUP BY region")]
    sales.run(f"%%sql_ai --save {tmp_path / 'a.svg'}\nWhat did each region sell?")
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


def test_a_mistyped_name_in_the_question_is_read_as_the_name_and_said(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")]
    result = ip.run("%%sql_ai con\nhow many ordrs?")
    assert "how many orders?" in gateway.sent
    assert result.question == "how many ordrs?"
    assert "“ordrs” was read as orders." in result.notes
