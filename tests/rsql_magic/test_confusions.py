"""Ways to be misunderstood by IPython, JupySQL, R or the magics: each works, or says in one sentence why not."""

from __future__ import annotations

import pandas as pd
import pytest
from written_sql import sql

from rsql_magic import load_ipython_extension
from rsql_magic.answers import unfilled
from rsql_magic.context import r as rside
from rsql_magic.errors import BadInput, ConnectionProblem, NoQuery
from rsql_magic.notebook import loaded

# --- loading and asking in one cell


@pytest.mark.parametrize(
    "asking",
    [
        "%sql_ai how many rows?",
        "answer = %ask what is x?",
        "x = 1\n%ask what is x?",
        "%%ask\nwhat is x?",
        "%%sql_ai con -o df\nhow many?",
        "%rsql context what is x?",
    ],
)
@pytest.mark.parametrize("loading", ["%load_ext rsql_magic", "import os\n%load_ext rsql_magic"])
def test_a_question_in_the_cell_that_loads_the_magics_is_told_why_it_is_not_read(shell, loading, asking):
    with pytest.raises(BadInput, match=r"is loaded now, but IPython had read .* Run the question in a cell of its own"):
        shell.run(f"{loading}\n{asking}")
    assert "ask" in shell.magics_manager.magics["line"]
    shell.run("%load_ext rsql_magic\n%rsql help status")
    shell.run("%unload_ext rsql_magic")


@pytest.mark.parametrize("rest", ["", "\n%rsql help status", "\n%ask?", "\nx = '%ask what?'", "\n# %ask what?"])
def test_what_ipython_reads_rightly_runs_in_the_cell_that_loads(shell, rest):
    shell.run(f"%load_ext rsql_magic{rest}")
    shell.run("%unload_ext rsql_magic")


def test_magics_that_the_sidebar_loaded_stay_when_a_cell_loads_them(shell, capsys):
    load_ipython_extension(shell)
    magics = loaded(shell)
    shell.run("%load_ext rsql_magic")
    assert capsys.readouterr().out == ""
    assert loaded(shell) is magics
    shell.run("%reload_ext rsql_magic")
    assert loaded(shell) not in {None, magics}
    shell.run("%unload_ext rsql_magic")
    assert loaded(shell) is None


# --- {name} and $name

HERE = {"city": "Oslo", "price": 3, "x": 1, "y": 2, "n": 4, "i": 0, "name": "Ada", "df": pd.DataFrame({"a": [1]})}


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("customers from {city}", "{{city}}"),
        ("customers from $city?", "{{city}}"),
        ("customers from ${city}?", "{{city}}"),
        ("customers from '{city}' in {n} shops", "{{city}} and {{n}}"),
        ("what is in {df}?", "{{df}}"),
        ("is $price, or $x, more?", "{{price}} and {{x}}"),
        ("kunder fra {city}.", "{{city}}"),
    ],
)
def test_a_live_name_in_single_braces_is_asked_about(question, meant):
    assert unfilled(question, HERE).endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    "question",
    [
        "customers from {{city}}",
        "what does f'{city}' print?",
        'why is f"{x} and {y}" wrong?',
        "what is {'name': x}?",
        'read {"city": 1}',
        "`{city}` in code, and ```\nprint('{city}')\n```",
        r"solve \frac{x}{y} and x_{i} and e^{x}",
        "$x$ and $x + y$ and $$x$$",
        "it costs $5 and $price$",
        "SELECT * FROM t WHERE city = '{city}'",
        "run: SELECT '$city'",
        "df$price and df$x in R",
        "mtcars[{{ name }}]",
        "{nobody} and $nowhere",
        "set(x) {x: y}",
        "glue({x})",
        r"a \{city\} and \$city",
    ],
)
def test_code_formulas_and_other_names_raise_no_alarm(question):
    assert unfilled(question, HERE) == ""


def test_the_hint_stands_under_the_answer_and_nothing_else_changes(sales, gateway):
    sales.user_ns["city"] = "Oslo"
    gateway.replies = ["Fine.", sql("SELECT count(*) AS n FROM sales")]
    answer = sales.run("%%ask\nwho lives in {city}?")
    assert "did you mean {{city}}?" in answer.shown(footer=True).footer
    assert gateway.sent.endswith("who lives in {city}?")
    result = sales.run("%%sql_ai\nrows of sales for {city}?")
    assert "did you mean {{city}}?" in result.shown().footer
    assert "{city}?" in gateway.sent


def test_the_hint_stands_behind_the_words_of_a_model_that_wrote_no_query(sales, gateway):
    sales.user_ns["city"] = "Oslo"
    gateway.replies = ["I do not know."]
    with pytest.raises(NoQuery) as caught:
        sales.run("%%sql_ai\nrows of sales for {city}?")
    assert "did you mean {{city}}?" in str(caught.value)


# --- errors that JupySQL prints


@pytest.fixture
def jupysql(ip, tmp_path):
    """Real JupySQL with a SQLite database."""
    pytest.importorskip("sql")
    ip.run("%load_ext sql")
    ip.run("%config SqlMagic.feedback = 0")
    ip.run(f"%sql sqlite:///{tmp_path}/shop.db")
    ip.run("%sql CREATE TABLE t (x INTEGER)")
    yield ip
    ip.run("%sql --close sqlite:///" + f"{tmp_path}/shop.db")


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.mark.slow
@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("query", ["SELECT y FROM t", "SELECT x FROM nowhere", "SELEC 1"])
def test_an_error_that_jupysql_printed_is_explained(jupysql, gateway, query, short):
    jupysql.run(f"%config SqlMagic.short_errors = {short}")
    jupysql.run_cell(f"%%sql\n{query}", store_history=True)
    gateway.replies = ["There is no such thing."]
    jupysql.run("%ask")
    assert "There is no error" not in gateway.sent
    assert "no such" in gateway.sent or "syntax error" in gateway.sent


@pytest.mark.slow
def test_what_jupysql_says_of_its_own_line_is_none(jupysql):
    jupysql.run_cell("%sqlplot nonsense --table t --column x", store_history=True)
    with pytest.raises(BadInput, match="There is no error of your code"):
        jupysql.run("%ask")


# --- the connection that was chosen stays


@pytest.mark.slow
def test_a_question_on_a_frame_leaves_jupysqls_connection_in_use(jupysql, gateway):
    jupysql.user_ns["late"] = pd.DataFrame({"id": [1, 2]})
    gateway.replies = [
        sql("SELECT count(*) AS n FROM t"),
        sql("SELECT count(*) AS n FROM late"),
        sql("SELECT max(id) AS n FROM late"),
        sql("SELECT count(*) AS n FROM t"),
    ]
    assert "on JupySQL's connection" in jupysql.run("%%sql_ai\nhow many things?").shown().footer
    aside = jupysql.run("%%sql_ai\nHow many rows has late?")
    assert "on the frame late, not on JupySQL's connection" in aside.shown().footer
    assert jupysql.run("%%sql_ai\nand the largest of those?").connection == aside.connection
    assert "on JupySQL's connection" in jupysql.run("%%sql_ai\nHow many things?").shown().footer


@pytest.mark.slow
def test_a_question_on_a_frame_leaves_the_named_connection_in_use(ip, con, gateway):
    ip.user_ns["late"] = pd.DataFrame({"id": [1, 2]})
    gateway.replies = [sql("SELECT count(*) AS n FROM orders"), sql("SELECT 1 AS n FROM late")]
    gateway.replies += [sql("SELECT count(*) AS n FROM orders")]
    ip.run("%%sql_ai con\nHow many orders?")
    ip.run("%%sql_ai\nHow many rows has late?")
    assert "on con, as before" in ip.run("%%sql_ai\nHow many orders?").shown().footer


# --- frames of R


@pytest.fixture
def penguins(real_r):
    """A frame in a real R session."""
    import rpy2.rinterface as ri

    rside.survey()
    ri.evalr("penguins <- data.frame(mass = c(3.5, 4.2))")


@pytest.mark.usefixtures("penguins")
def test_a_frame_of_r_that_a_query_cannot_see_is_told(sales, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM sales")] * 2
    told = sales.run("%%sql_ai\nmean mass of the penguins?").shown().footer
    assert "penguins is a frame of R" in told
    assert "%R -o penguins" in told
    assert "frame of R" not in sales.run("%%sql_ai\nmean amount of sales?").shown().footer


@pytest.mark.usefixtures("penguins")
def test_with_nothing_but_frames_of_r_the_way_is_named(ip):
    with pytest.raises(ConnectionProblem) as caught:
        ip.run("%%sql_ai\nmean mass of the penguins?")
    assert "%R -o penguins makes it a frame of Python's" in str(caught.value)
