"""%%sql_ai, typed: which database or frames a question is asked of."""

from __future__ import annotations

import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from types import ModuleType

import duckdb
import pandas as pd
import pytest
from written_sql import sql

from rsql_magic.databases import Connections, engines, open_engine
from rsql_magic.errors import BadInput, ConnectionProblem


@pytest.mark.slow
def test_a_connection_by_its_name_is_remembered_and_said(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")] * 3
    first = ip.run("%%sql_ai con\nHow many orders?")
    second = ip.run("%%sql_ai\nHow many orders?")
    third = ip.run("%sql_ai con how many orders?")
    assert [int(result.df.n[0]) for result in (first, second, third)] == [3000] * 3
    assert "on con, as before" in second.shown().footer
    assert "as before" not in first.shown().footer


@pytest.mark.slow
def test_a_connection_that_does_not_answer_is_not_used_again(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")] * 2
    ip.run("import duckdb\ngone = duckdb.connect()\ngone.close()")
    ip.run("%sql_ai con how many orders?")
    with pytest.raises(ConnectionProblem, match="is closed"):
        ip.run("%sql_ai gone how many orders?")
    assert "on con, as before" in ip.run("%sql_ai how many orders?").shown().footer


@pytest.mark.slow
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
    assert "You write SQL for SQLite." in gateway.requests[-1]["messages"][0]["content"]
    made.close()


def test_a_file_of_data_on_the_line_is_no_word_of_the_question(ip, tmp_path):
    (tmp_path / "my sales.csv").write_text("a\n1\n")
    with pytest.raises(BadInput, match=r'data = pd.read_csv\("'):
        ip.run(f'%sql_ai "{tmp_path}/my sales.csv" how many?')


def test_a_database_without_tables_may_be_a_mistyped_path(ip, tmp_path):
    ip.run(f"import sqlite3; con = sqlite3.connect('{tmp_path}/shpo.db')")
    with pytest.raises(BadInput, match="mistyped"):
        ip.run("%%sql_ai con\nhow many orders?")


def test_the_one_frame_that_has_no_columns_is_named(ip):
    ip.user_ns["df"] = pd.DataFrame()
    with pytest.raises(ConnectionProblem, match="the frame df has no columns"):
        ip.run("%%sql_ai\nhow many rows?")


def test_who_works_in_r_is_told_how_its_frames_come_here(ip, monkeypatch):
    monkeypatch.setitem(sys.modules, "rpy2.ipython", ModuleType("rpy2.ipython"))
    with pytest.raises(ConnectionProblem, match="%R -o NAME"):
        ip.run("%%sql_ai\nmean mpg in cars")


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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_connection_itself_from_python(ip, con, assistant, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")] * 2
    for _ in range(2):
        assert assistant.sql_ai("how many orders?", con).df.n[0] == 3000
    gateway.replies = [sql("SELECT sum(a) AS s FROM f")]
    assert assistant.sql_ai("sum", {"f": pd.DataFrame({"a": [1, 2]})}).df.s[0] == 3


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_named_result_is_a_table_of_the_next_question(ip, con, gateway):
    gateway.replies = [
        sql("SELECT shop, sum(total) AS total FROM orders GROUP BY shop"),
        sql("SELECT max(total) AS most FROM delays"),
    ]
    ip.run("%%sql_ai con -o delays\ntotal per shop")
    result = ip.run("%%sql_ai\nWhat is the highest total in delays?")
    assert "CREATE TABLE delays" in gateway.sent
    assert result.df.most[0] > 0


@pytest.mark.slow
def test_no_progress_bar_is_shown_and_the_users_setting_stays(ip, con, gateway):
    con.execute("SET enable_progress_bar = true")
    gateway.replies = [sql("SELECT current_setting('enable_progress_bar') AS shown FROM orders LIMIT 1")]
    assert not ip.run("%%sql_ai con\nis there a bar?").df.shown[0]
    assert con.execute("SELECT current_setting('enable_progress_bar')").fetchone() == (True,)


@pytest.fixture
def beside():
    """A thread beside this one, as the panel answers requests in."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def test_what_one_thread_only_looks_at_is_not_in_use_in_another(beside):
    connections, databases = Connections(), {"shop": duckdb.connect(), "other": duckdb.connect()}
    with connections.undecided():
        connections.engine("shop", databases)
        assert connections.last == "shop"
        assert beside(lambda: connections.last).result() == ""
        beside(connections.engine, "other", databases).result()
    assert connections.last == "other"


def test_a_database_that_two_threads_look_into_is_opened_once(beside, monkeypatch):
    connections, databases, second = Connections(), {"shop": duckdb.connect()}, []

    def opened(target):
        if not second:
            second.append(beside(connections.again, "shop", databases))
            wait(second, timeout=0.2)  # it goes on when this one is open
        return open_engine(target)

    monkeypatch.setattr(engines, "open_engine", opened)
    first = connections.again("shop", databases)
    assert second[0].result() is first
    assert list(first.catalog()) == []  # it is still open


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


def test_a_table_of_two_thousand_columns(simulation, ip, gateway):
    wide = ip.user_ns["wide"] = duckdb.connect()
    wide.execute(f"CREATE TABLE readings AS SELECT {', '.join(f'{i} AS sensor_{i}' for i in range(2000))}")
    gateway.replies = [sql("SELECT max(sensor_1234) AS top FROM readings")]
    result = ip.run("%%sql_ai wide\nwhat is the highest sensor_1234?")
    assert result.df.top[0] == 1234
    assert "sensor_1234" in gateway.sent
    assert len(gateway.sent) < 32_000
    wide.close()
