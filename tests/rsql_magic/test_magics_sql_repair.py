"""%%sql_ai, typed: drafts that do not work, and what comes of them."""

from __future__ import annotations

import pandas as pd
import pytest
from written_sql import sql

from rsql_magic.errors import NoQuery, QueryFailed, QueryRejected


@pytest.mark.slow
def test_a_wrong_name_goes_back_with_the_facts(ip, con, gateway):
    gateway.replies = [sql("SELECT avg(turnover) AS a FROM orders"), sql("SELECT avg(total) AS a FROM orders")]
    result = ip.run("%%sql_ai con\nmean total")
    assert [len(attempt.problems) for attempt in result.attempts] == [1, 0]
    assert "turnover" in gateway.sent
    assert "This query does not work" in gateway.sent
    assert gateway.sent.endswith("Write the corrected query, in one ```sql block.")
    assert "Question: mean total\n\nThis query does not work" in gateway.sent
    assert "<details><summary>draft 1" in result.shown().markdown
    assert result.usage.requests == 2


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_mended_draft_that_finds_nothing_is_doubted_like_any_other(ip, con, gateway):
    con.execute("CREATE TABLE towns AS SELECT * FROM (VALUES ('Rome'), ('Oslo')) t(town)")
    right = "SELECT count(*) AS n FROM towns WHERE town = 'Rome'"
    gateway.replies = [sql("SELECT town FROM town WHERE town = 'rome'"), sql(right)]
    result = ip.run("%%sql_ai con\nhow many towns are called Rome?")
    assert result.sql == right
    assert ["town → towns" in attempt.mended for attempt in result.attempts] == [False, True, False]
    assert "'Rome'" in result.attempts[1].problems[0]


@pytest.mark.slow
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


def test_words_in_place_of_a_query_stand_in_the_error_alone(con, assistant, gateway):
    from rsql_magic.display import Screen

    class Kept(Screen):
        text = ""

        def draft(self, text):
            self.text += text

        def restart(self, why):
            self.text = ""

    gateway.replies = ["There is no column for weather here."]
    screen = Kept()
    with pytest.raises(NoQuery) as caught:
        assistant.sql_ai("how was the weather?", con, screen=screen)
    assert screen.text == ""
    assert str(caught.value) == "There is no column for weather here."


@pytest.mark.slow
def test_three_blocks_and_a_cut_block(ip, con, gateway):
    gateway.replies = [sql("SELECT 1 AS a FROM orders LIMIT 1") + sql("SELECT 2 AS a") + sql("SELECT 3 AS a")]
    result = ip.run("%%sql_ai con\nwhat?")
    assert result.df.a[0] == 1
    assert "3 queries; the first one is used" in result.notes[0]
    gateway.replies = ["```sql\nSELECT count(*) AS n FROM or", sql("SELECT count(*) AS n FROM orders")]
    result = ip.run("%%sql_ai con\nwhat?")
    assert "not complete" in result.attempts[0].problems[0]


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_empty_result_that_a_spelling_explains_goes_back_once(ip, con, gateway):
    con.execute(
        "CREATE TABLE places AS SELECT * FROM (VALUES ('USA', 'Ada'), ('UK', 'Bob'), ('UK', 'Cy')) t(country, who)"
    )
    count = "SELECT who FROM places WHERE country = '{}'"
    gateway.replies = [sql(count.format("usa")), sql(count.format("USA"))]
    result = ip.run("%%sql_ai con\nwho is in the usa?")
    assert result.df.who.tolist() == ["Ada"]
    assert result.attempts[0].problems == ("country is never 'usa'. Did you mean 'USA'?",)
    gateway.replies = [sql(count.format("france"))] * 2
    result = ip.run("%%sql_ai con\nwho is in france?")
    assert result.count == "0 rows"
    assert any("No row of places has country = 'france'" in note for note in result.notes)


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_worse_repair_does_not_lose_what_ran(ip, con, gateway):
    con.execute("CREATE TABLE places AS SELECT 'USA' AS country")
    gateway.replies = [sql("SELECT * FROM places WHERE country = 'usa'"), sql("SELECT nope FROM places")]
    result = ip.run("%%sql_ai con --retries 1\nwhat of the usa?")
    assert result.count == "0 rows"
    assert result.sql.endswith("'usa'")
    assert result.problems == ()


@pytest.mark.slow
def test_nothing_of_the_values_is_told_when_only_names_may_leave(ip, con, gateway):
    con.execute("CREATE TABLE places AS SELECT 'USA' AS country")
    gateway.replies = [sql("SELECT * FROM places WHERE country = 'usa'")] * 2
    assert ip.run("%%sql_ai con --privacy names\nwhat of the usa?").count == "0 rows"
    assert "- No row of places has country = 'usa'.\n" in gateway.sent
    assert "USA" not in gateway.sent


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_query_over_its_time_is_not_tried_again(ip, con, gateway):
    con.execute("CREATE TABLE t AS SELECT range AS i FROM range(100000)")
    gateway.replies = [sql("SELECT count(*) AS n FROM t a JOIN t b ON a.i <> b.i JOIN t c ON c.i <> b.i")]
    with pytest.raises(QueryFailed, match=r"stopped after 0.2 s"):
        ip.run("%%sql_ai con --timeout 0.2\nhow many?")


@pytest.mark.slow
def test_a_costly_plan_is_asked_about_first(ip, con, gateway, monkeypatch, assistant):
    assistant.settings.plan_rows = 100
    gateway.replies = [sql("SELECT count(*) AS n FROM orders a JOIN orders b ON a.shop = b.shop")] * 3
    asked = []
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "y")
    assert ip.run("%%sql_ai con --retries 0\nhow many?").df.n[0] == 3_000_000
    assert "expects to handle about" in asked[0]
    monkeypatch.setattr("builtins.input", lambda _: "")
    with pytest.raises(QueryFailed, match="are allowed without asking"):
        ip.run("%%sql_ai con --retries 0\nhow many?")
    assistant.batch = True
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("nobody is there to be asked"))
    with pytest.raises(QueryFailed, match="are allowed without asking"):
        ip.run("%%sql_ai con --retries 0\nhow many?")


@pytest.mark.slow
def test_a_draft_is_not_blamed_for_a_schema_that_changed_a_moment_ago(ip, con, gateway, monkeypatch):
    monkeypatch.setattr(
        "rsql_magic.databases.engines.SLOW_PROBE", -1.0
    )  # so the database is not asked again for two seconds
    gateway.replies = [sql("SELECT sum(total) AS s FROM orders"), sql("SELECT sum(amount) AS s FROM orders")]
    ip.run("%%sql_ai con\nTotal?")
    con.execute("ALTER TABLE orders RENAME COLUMN total TO amount")
    result = ip.run("%%sql_ai con\nTotal?")
    assert [attempt.problems for attempt in result.attempts] == [()]


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_statement_without_a_plan_runs(ip, con, gateway):
    gateway.replies = [sql("DESCRIBE orders")]
    assert "total" in list(ip.run("%%sql_ai con\nWhich columns has orders?").df["column_name"])


@pytest.mark.slow
def test_a_join_is_proposed_to_the_model_and_made_alone_only_where_no_round_is_left(ip, con, gateway):
    con.execute("CREATE TABLE shops (shop INTEGER PRIMARY KEY, city VARCHAR)")
    con.execute("INSERT INTO shops VALUES (0, 'Oslo'), (1, 'Lima'), (2, 'Rome')")
    con.execute("CREATE TABLE bills (id INTEGER, shop INTEGER REFERENCES shops (shop))")
    con.execute("INSERT INTO bills SELECT range, range % 3 FROM range(9)")
    forgot = sql("SELECT city, count(*) AS n FROM bills GROUP BY city")
    gateway.replies = [forgot, sql("SELECT shop, count(*) AS n FROM bills GROUP BY shop")]
    result = ip.run("%%sql_ai con\nbills by shop")
    assert "This one compiles. Answer with it if it asks what the question asks" in gateway.sent
    assert "FROM bills JOIN shops ON bills.shop = shops.shop GROUP BY" in gateway.sent
    assert "JOIN" not in result.sql
    gateway.replies = [forgot]
    result = ip.run("%%sql_ai con --retries 0\nbills by city")
    assert "JOIN shops" in result.sql
    assert result.rounds()[-1][0].startswith("mended without asking: city → JOIN shops")
    assert any(note.startswith("The model wrote no better query: city → JOIN shops") for note in result.notes)


@pytest.mark.slow
def test_a_join_that_nothing_needs_goes_back_once_with_the_query_without_it(ip, con, gateway):
    con.execute("CREATE TABLE shops (shop INTEGER PRIMARY KEY, city VARCHAR)")
    con.execute("INSERT INTO shops VALUES (0, 'Oslo'), (1, 'Lima')")
    con.execute("CREATE TABLE bills (id INTEGER, shop INTEGER REFERENCES shops (shop))")
    con.execute("INSERT INTO bills VALUES (1, 0), (2, 0), (3, 1)")
    gateway.replies = [
        sql("SELECT s.city FROM shops s JOIN bills b ON b.shop = s.shop"),
        sql("SELECT city FROM shops"),
        sql("SELECT city FROM shops"),
        sql("SELECT city FROM shops"),
    ]
    result = ip.run("%%sql_ai con\nwhich cities are there?")
    asked = gateway.requests[1]["messages"][-1]["content"]
    assert "bills is joined, but nothing else of it is read, and the question does not name it." in asked
    assert "This one compiles." in asked
    assert "SELECT s.city FROM shops AS s\n```" in asked
    assert sorted(result.df.city) == ["Lima", "Oslo"]


@pytest.mark.slow
def test_a_join_made_for_a_column_of_another_table_is_left_out_where_the_model_insists(ip, con, gateway):
    con.execute("CREATE TABLE film (id INTEGER PRIMARY KEY, title VARCHAR, studio VARCHAR)")
    con.execute("INSERT INTO film VALUES (1, 'Ran', 'Toho'), (2, 'Ikiru', 'Toho')")
    con.execute("CREATE TABLE estimates (film_id INTEGER REFERENCES film (id), gross INTEGER)")
    con.execute("INSERT INTO estimates VALUES (1, 5)")
    query = "SELECT f.title FROM film f JOIN estimates e ON e.film_id = f.id WHERE {}.studio = 'Toho'"
    gateway.replies = [sql(query.format("e")), *[sql(query.format("f"))] * 3]
    result = ip.run("%%sql_ai con\ntitles of the films of Toho")
    assert "estimates is joined, but nothing else of it is read" in gateway.sent
    assert sorted(result.df.title) == ["Ikiru", "Ran"]
    assert "The model joined estimates for a column of another table; it is left out." in result.notes
    gateway.replies = [sql(query.format("f"))] * 4
    assert list(ip.run("%%sql_ai con --new\ntitles of the films of Toho").df.title) == ["Ran"]  # its own choice
