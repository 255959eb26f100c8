"""The rsql command."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime

import httpx
import msgspec
import pytest
from rich.console import Console

from jupyter_server_ext.handlers.shapes.analytics import Rates
from jupyter_server_ext.handlers.shapes.console import OverviewReply
from rsql_magic import reports
from rsql_magic.assistant import Assistant
from rsql_magic.cli import command as cli
from rsql_magic.cli import monitor, r
from rsql_magic.cli.terminal import rendered
from rsql_magic.display import safe_markdown
from rsql_magic.errors import BadInput, GatewayUnreachable, LimitReached
from rsql_magic.gateway import LLMClient


@pytest.fixture
def rsql(client, monkeypatch, capsys):
    """Runs the command against the fake gateway: exit code, output, errors."""
    monkeypatch.setattr(cli, "Assistant", lambda: Assistant(client=client, environ={}))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    def run(*argv):
        code = cli.main(argv)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_an_answer_is_printed(rsql, gateway):
    gateway.replies = ["It keeps every row."]
    code, out, err = rsql("ask", "what", "is a left join?")
    assert (code, err) == (0, "")
    assert out.startswith("It keeps every row.")
    assert "100 + 20 tokens" in out
    assert gateway.sent.endswith("Question: what is a left join?")


HOSTILE = "So \x1b]52;c;aGk=\x07**bold** `x <- 1` \x1b[2J\x9b1A\u202e<b>raw</b>\n\n- a\n  ```r\n  df$y < 1\n  ```\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_escape_sequences_of_a_model_do_not_reach_a_pipe(programs, rsql, gateway):
    gateway.replies = [HOSTILE]
    _, out, _ = rsql("ask", "what?")
    assert out.startswith("So **bold** `x <- 1` <b>raw</b>\n\n- a\n")


def test_markdown_is_drawn_on_a_terminal(programs, rsql, gateway, monkeypatch):
    gateway.replies = [HOSTILE]
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    code, _, err = rsql("ask", "what?")
    told = terminal.getvalue()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", told)  # rich's own
    assert (code, err) == (0, "")
    assert set(re.findall(r"\x1b(?!\[)|\x1b\[2J|[\x80-\x9f\u202e\x07]", told)) == set()
    assert "So bold x <- 1 <b>raw</b>" in shown
    assert "df$y < 1" in shown
    assert "tokens" in shown.splitlines()[-1]


def test_one_empty_line_stands_between_blocks_on_a_terminal():
    markdown = (
        "## Steps\n\n- a\n- b\n\n```r\nx\n\n\ny\n```\n\n| a |\n|---|\n| 1 |\n\nSee https://a.b/c and [it](http://d.e)."
    )
    out = io.StringIO()
    Console(file=out, width=60).print(rendered(safe_markdown(markdown)))
    shown = "Steps\n\n • a\n • b\n\n x\n\n\n y\n\n a\n ─\n 1\n\nSee https://a.b/c and it (http://d.e).\n"
    assert out.getvalue() == shown


def test_an_error_of_a_model_does_not_reach_a_terminal(rsql, gateway, tmp_path):
    gateway.replies = ["I \x1b]52;c;aGk=\x07cannot \x1b[2Jsay."] * 4
    with closing(sqlite3.connect(tmp_path / "x.db")) as con:
        con.execute("CREATE TABLE t (a)")
    code, out, err = rsql("sql", "what?", "--on", str(tmp_path / "x.db"))
    assert code == 1
    assert "I cannot say." in err
    assert "\x1b" not in out + err


@pytest.mark.parametrize("words", [("--gateway", "ftp://x", "models"), ("models", "--gateway", "ftp://x")])
def test_the_gateway_is_named_before_or_after_the_command(rsql, gateway, monkeypatch, words):
    monkeypatch.setenv("RSQL_GATEWAY_URL", "")
    rsql(*words)
    assert os.environ["RSQL_GATEWAY_URL"] == "ftp://x"


def test_what_is_piped_in_goes_along_as_data(rsql, gateway, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("Error in x: object 'x' not found"))
    gateway.replies = ["x is missing."]
    rsql("ask", "why?")
    assert "object 'x' not found" in gateway.sent
    assert '<data kind="object" name="standard input"' in gateway.sent


def test_json_is_json(rsql, gateway):
    gateway.replies = ["hi"]
    assert json.loads(rsql("ask", "hello", "--format", "json")[1].rsplit("}", 1)[0] + "}")["model"] == "llama"


def test_a_query_over_a_file(rsql, gateway, tmp_path):
    path = tmp_path / "a.db"
    made = sqlite3.connect(path)
    made.execute("CREATE TABLE t (x INTEGER)")
    made.execute("INSERT INTO t VALUES (20), (22)")
    made.commit()
    made.close()
    gateway.replies = ["```sql\nSELECT sum(x) AS s FROM t\n```"] * 2
    code, out, _ = rsql("sql", "sum of x", "--on", str(path))
    assert code == 0
    assert "42" in out
    assert "42" not in rsql("sql", "sum of x", "--on", str(path), "--no-run")[1]


def test_errors_are_one_line_and_an_exit_code(rsql, gateway, monkeypatch):
    code, out, err = rsql("sql", "sum", "--on", "missing.db")
    assert (code, out) == (1, "")
    assert err == "BadInput: 'missing.db' is neither a URL nor a DuckDB or SQLite file that exists. rsql sql --help.\n"

    def unreachable(*_, **__):
        raise GatewayUnreachable("No gateway.", hint="%rsql doctor finds out why.")

    monkeypatch.setattr(Assistant, "ask", unreachable)
    assert rsql("ask", "hello") == (4, "", "GatewayUnreachable: No gateway. rsql doctor finds out why.\n")

    def unknown(*_, **__):
        raise BadInput("There is no table t here.", hint="%rsql catalog lists the tables.")

    monkeypatch.setattr(Assistant, "ask", unknown)
    assert rsql("ask", "hello") == (1, "", "BadInput: There is no table t here.\n")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Assistant, "ask", interrupted)
    assert rsql("ask", "hello")[0] == 130


def test_a_wrong_command_line(rsql):
    with pytest.raises(SystemExit) as caught:
        rsql("aks", "hello")
    assert caught.value.code == 2


def test_status_usage_models_and_doctor(rsql, gateway, monkeypatch):
    monkeypatch.setattr(
        reports, "r_session", lambda: reports.Finding("R", True, "not looked at")
    )  # it would start R for good
    gateway.paths |= {"status": {"keys": {"ready": 3}}, "stats": {"caller": "ada"}, "health": {"status": "ok"}}
    gateway.replies = ["1 2 3"]
    assert "keys     3 ready" in rsql("status")[1]
    assert "ada" in rsql("usage")[1]
    assert "qwen" in rsql("models")[1]
    assert rsql("doctor")[0] == 0
    gateway.paths["health"] = {"status": "down"}
    gateway.replies = ["1 2 3"]
    code, _, err = rsql("doctor")
    assert code == 1
    assert "Not as it should be: gateway." in err


def test_the_monitor_looks_again(rsql, gateway):
    gateway.paths["status"] = {"keys": {"ready": 3}}
    gateway.paths["stats"] = {"limits": {"minute": {"current": 2, "limit": 10}}}
    lines = rsql("monitor", "--every", "0", "--times", "3")[1].splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["ready=3 queue=0 requests_this_minute=2"] * 3


# Scripts


def test_exit_codes_tell_what_happened(rsql, gateway, tmp_path, monkeypatch):
    database = made(tmp_path)
    gateway.replies = ["```sql\nDROP TABLE t\n```"]
    code, _, err = rsql("sql", "run: drop t", "--on", database)
    assert (code, err.split(":")[0]) == (3, "QueryRejected")

    def limited(*_, **__):
        raise LimitReached("10 requests per minute are used up.", retry_after=8)

    monkeypatch.setattr(Assistant, "ask", limited)
    assert rsql("ask", "hello")[0] == 75


def made(folder):
    path = folder / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (x INTEGER); INSERT INTO t VALUES (20), (22)")
    return str(path)


def test_a_query_from_a_file_meets_the_guard(rsql, tmp_path, monkeypatch):
    database, query = made(tmp_path), tmp_path / "q.sql"
    query.write_text("SELECT sum(x) AS s -- all\nFROM t;")
    code, out, _ = rsql("run", str(query), "--on", database)
    assert (code, out.split()) == (0, ["s", "42", "1", "row"])
    monkeypatch.setattr("sys.stdin", io.StringIO("DELETE FROM t"))
    assert rsql("run", "-", "--on", database)[0] == 3
    assert "needs a database" in rsql("run", str(query))[2]
    assert "no file" in rsql("run", "none.sql", "--on", database)[2]
    assert "neither a notebook nor a query" in rsql("run", "a.txt")[2]
    query.write_bytes("SELECT 'é'".encode("latin-1"))
    assert "is not UTF-8 text" in rsql("run", str(query), "--on", database)[2]


def notebook(folder, *cells):
    import nbformat

    path = folder / "n.ipynb"
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])))
    return path


def test_a_notebook_runs_without_a_person(programs, rsql, tmp_path):
    path = notebook(tmp_path, "import os; print(os.environ['RSQL_BATCH'])", "6 * 7")
    code, out, _ = rsql("run", str(path), "-o", str(tmp_path / "done.ipynb"))
    assert (code, out) == (0, f"{tmp_path}/done.ipynb: 2 cells ran\n")
    assert '"42"' in (tmp_path / "done.ipynb").read_text()
    assert '"42"' not in path.read_text()


def test_a_kernel_that_runs_a_notebook_has_nothing_to_warn_of(programs, tmp_path):
    program = "import sys; from rsql_magic.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", program, "run", str(notebook(tmp_path, "1"))]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ran.stderr == ""


def test_a_cell_that_fails_is_one_line_and_what_was_shown_is_kept(rsql, tmp_path, programs):
    path = notebook(tmp_path, "print('so far')", "1 / 0", "print('never')")
    code, _, err = rsql("run", str(path))
    assert (code, err) == (1, f"CodeFailed: n.ipynb failed: ZeroDivisionError: division by zero. {path} shows where.\n")
    assert "so far" in path.read_text()
    (tmp_path / "x.ipynb").write_text("no")
    assert "is not a notebook" in rsql("run", str(tmp_path / "x.ipynb"))[2]


# The monitor

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
TOLD = {
    "status": {
        "keys": {"ready": 3, "cooling": 1},
        "queue": {"length": 2, "expected_wait_seconds": 1.5},
        "models": ["m"],
    },
    "stats": {
        "caller": "ada",
        "tenant": "stats101",
        "limits": {"minute": {"current": 5, "limit": 10}, "day": {"current": 7, "limit": None}},
        "cost": {"today": 0.1234, "limit": 5.0},
    },
}


def drawn(look, width=100, **options):
    """The lines that a terminal shows of a page."""
    from rich.console import Console

    console = Console(
        width=width, height=60, file=io.StringIO(), highlight=False, force_terminal=True, color_system=None
    )
    console.print(monitor.page(look, NOW, "http://g/rsql/", **options))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_page_of_the_monitor():
    assert drawn(TOLD) == [
        "rsql · http://g/rsql/ · 09:30:00 · Ctrl-C ends",
        "",
        f"keys      {'█' * 18}{'░' * 6}  3 ready, 1 cooling",
        "queue     2 waiting, about 2 s",
        "models    m",
        "you       ada in stats101",
        f"requests  {'█' * 12}{'░' * 12}  5 of 10 this minute",
        "money     $0.12 of $5.00 today",
    ]


RATES = dict.fromkeys(Rates.__annotations__, 0) | {"queue_seconds": 0.4, "first_token_seconds": None}
RATES |= {"p50_seconds": 0.2, "p95_seconds": 3.0, "p99_seconds": 12.0}
HUB = {
    "overview": {
        "at": NOW.timestamp(),
        "seconds": 420.0,
        "recent": RATES | {"requests": 90, "success": 84, "failure": 4, "refused": 2},
        "today": RATES | {"requests": 900, "success": 850, "cost_usd": 12.5},
        "series": [RATES | {"start": NOW.timestamp() // 300 * 300 - 300, "success": 42}],
        "keys": [
            {"key": "groq-1", "state": "ready", "why": "", "limits": [{"unit": "requests", "limit": 30, "used": 15}]},
            {"key": "groq-2", "state": "retired", "why": "Its provider does not accept it.", "limits": []},
        ],
        "budgets": [{"whose": "tenant:stats101", "period": "day", "part": 0.5}],
        "findings": [
            {
                "level": "bad",
                "what": "Key groq-2 is lost.",
                "do": "Put another one in its place.",
                "part": "keys",
                "name": "groq-2",
            }
        ],
        "status": "degraded",
        "version": "0.2.0",
        "queue": {},
        "checks": {},
    },
    "errors": {
        "errors": [
            {"at": NOW.timestamp() - 60, "caller": "bob", "model": "m", "error": "timeout", "error_text": "No answer."}
        ]
    },
}


def test_the_overview_of_these_tests_is_one_of_a_gateway():
    assert msgspec.convert(HUB["overview"], OverviewReply) == HUB["overview"]


def test_an_administrator_sees_the_whole_gateway():
    lines = drawn(TOLD | HUB)
    assert [line for line in lines if line][1:8] == [
        f"keys     {'█' * 18}{'░' * 6}  3 ready, 1 cooling",
        "queue    2 waiting, about 2 s",
        "models   m",
        f"answers  {'▁' * 22}█▁  12.0 a minute",
        "errors   4 failure, 2 refused of 90 in 7 min",
        "took     50 of 100 in 0.2 s, 95 of 100 in 3 s, 99 of 100 in 12 s",
        "waits    0.4 s in the queue",
    ]
    assert "cost     $12.50 today, 850 answers" in lines
    assert f"budget   {'█' * 12}{'░' * 12}  50% of tenant:stats101 this day" in lines
    assert "●  Key groq-2 is lost." in lines
    assert "   Put another one in its place." in lines
    table = next(n for n, line in enumerate(lines) if line.startswith("key "))
    assert re.split(r" {2,}", lines[table + 1]) == ["groq-2", "retired", "Its provider does not accept it."]
    assert re.split(r" {2,}", lines[table + 2]) == ["groq-1", "ready", f"{'█' * 12}{'░' * 12} 50%"]
    assert re.split(r" {2,}", lines[table + 5]) == ["09:29:00", "bob", "m", "timeout: No answer."]
    assert "you       ada in stats101" in lines, "and the own part"


def test_a_page_bears_what_is_not_known_and_what_is_too_much():
    bare = {"at": NOW.timestamp(), "seconds": 1.0, "recent": None, "today": None, "series": [], "keys": []}
    lines = drawn({"status": {}, "stats": {}, "overview": bare})
    assert "answers  no records are kept" in lines
    assert "Nothing is wrong." in lines
    many = HUB["overview"] | {"keys": [{"key": f"k{n}", "state": "ready"} for n in range(40)]}
    assert "and 30 more" in drawn(TOLD | {"overview": many}, keys=10)


def test_nothing_of_the_gateways_is_obeyed_by_the_terminal():
    bad = "[red]x[/] \x1b]52;c;aGk=\x07\x1b[2J\u202e\x9b1A\nend"
    overview = HUB["overview"] | {
        "keys": [{"key": bad, "state": bad, "why": bad}],
        "findings": [{"level": bad, "what": bad, "do": bad}],
        "budgets": [{"whose": bad, "period": bad, "part": 0.1}],
    }
    failed = [{"at": 0.0, "caller": bad, "model": bad, "error": bad, "error_text": bad}]
    told = TOLD | {"stats": TOLD["stats"] | {"caller": bad}, "overview": overview, "errors": {"errors": failed}}
    text = "\n".join(drawn(told))
    assert "[red]x[/]" in text, "no markup either"
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_who_may_not_see_all_of_it_is_not_asked_again(rsql, gateway):
    gateway.paths |= {"status": {"keys": {"ready": 1}}, "stats": {}, "admin/api/overview": HUB["overview"]}
    lines = rsql("monitor", "--every", "0", "--times", "3")[1].splitlines()
    assert {line.split(" ", 1)[1] for line in lines} == {
        "ready=1 queue=0 requests_this_minute=0 answers_a_minute=12.0 failed=4 refused=2 cost_today=12.5000"
        " p50_seconds=0.2 p95_seconds=3 p99_seconds=12"
    }
    assert gateway.calls.count("admin/api/errors") == 1
    assert gateway.calls.count("admin/api/overview") == 3


def test_a_gateway_that_goes_away_is_said_and_looked_for_again(rsql, gateway, monkeypatch):
    gateway.paths |= {"status": {"keys": {"ready": 1}}, "stats": {}}
    real, looks = LLMClient.get, []

    def away_at_the_second_look(self, path, **options):
        looks.append(path)
        if looks.count("status") == 2:
            raise GatewayUnreachable("No gateway.")
        return real(self, path, **options)

    monkeypatch.setattr(LLMClient, "get", away_at_the_second_look)
    lines = rsql("monitor", "--every", "0", "--times", "3")[1].splitlines()
    assert [line.split(" ", 1)[1].split(" ")[0] for line in lines] == ["ready=1", "error='No", "ready=1"]


# RStudio


@pytest.fixture
def rstudio_terminal(monkeypatch, tmp_path):
    monkeypatch.setenv("RSTUDIO", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "analysis.R").write_text("library(DBI)\nx <- jsonlite::toJSON(1)\nlibrary(notinstalled)\n")


def test_in_rstudios_terminal_r_goes_along(rsql, gateway, rstudio_terminal, real_r):
    gateway.replies = ["Use httr2."]
    assert rsql("ask", "How do I use httr2 here?")[0] == 0
    assert '<data kind="session" name="RStudio"' in gateway.sent
    assert "A terminal of RStudio. R 4." in gateway.sent
    assert "attached in a new session: stats" in gateway.sent
    assert "named in the question: httr2 " in gateway.sent
    used = next(line for line in gateway.sent.splitlines() if line.startswith("used by the scripts"))
    assert "DBI 1." in used
    assert "jsonlite 1." in used
    assert "notinstalled" not in gateway.sent


def test_outside_rstudio_or_on_demand_it_does_not(rsql, gateway, rstudio_terminal, monkeypatch):
    gateway.replies = ["Hello."] * 2
    rsql("ask", "--no-r", "hello")
    assert "RStudio" not in gateway.sent
    monkeypatch.delenv("RSTUDIO")
    rsql("ask", "hello")
    assert "RStudio" not in gateway.sent


def test_a_broken_r_is_no_hindrance(programs, tmp_path):
    assert r.session({"PATH": str(tmp_path)}, "hello") == ""
    broken = tmp_path / "Rscript"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert r.session({"PATH": str(tmp_path)}, "hello") == ""


# For other programs


@pytest.fixture
def piped(rsql, monkeypatch):
    def run(command, value):
        monkeypatch.setattr("sys.stdin", io.StringIO(value if isinstance(value, str) else json.dumps(value)))
        code, out, err = rsql(command)
        return (json.loads(out) if out.startswith("{") else out) if code == 0 else (code, err)

    return run


DDL = "CREATE TABLE orders (id INTEGER, amount REAL);\nCREATE TABLE people (id INTEGER, mail TEXT);"


def test_check_gives_the_statement_or_what_is_wrong(piped):
    def check(sql):
        return piped("check", {"sql": sql, "dialect": "sqlite", "ddl": DDL})

    assert check("SELECT amount -- all\nFROM orders;") == {"sql": "SELECT amount\nFROM orders"}
    assert check("SELECT amounts FROM orders") == {
        "problems": ["There is no column amounts in orders. Did you mean orders.amount?"]
    }
    assert "no table" in check("SELECT 1 FROM order_lines")["problems"][0].lower()
    assert check("DELETE FROM orders")[0] == 3
    assert check("SELECT 1; DELETE FROM orders")[0] == 3


@pytest.mark.slow
def test_check_mends_what_can_mean_one_thing(piped):
    def check(sql, **more):
        return piped("check", {"sql": sql, "dialect": "sqlite", "ddl": DDL, "mend": True, **more})

    assert check("SELECT amounts FROM orders") == {
        "sql": "SELECT amount FROM orders",
        "mended": ["amounts → amount"],
        "wrong": ["There is no column amounts in orders. Did you mean orders.amount?"],
    }
    assert check("SELECT amount FROM orders") == {"sql": "SELECT amount FROM orders"}
    assert "problems" in check("SELECT nonsense FROM orders")
    other = check(
        "SELECT mail FROM bills",
        ddl="CREATE TABLE people (id INTEGER PRIMARY KEY, mail TEXT);\n"
        "CREATE TABLE bills (person INTEGER REFERENCES people (id))",
    )
    assert set(other) == {"problems", "proposed"}  # another join is for the model to decide
    assert other["proposed"].startswith("SELECT people.mail FROM bills JOIN people ON")
    assert check("DELETE FROM order")[0] == 3
    draft = "SELECT id, SUM(amount) AS total FROM orders WHERE total > 3 GROUP BY id"
    told = check(draft, refused="misuse of aggregate: sum()")
    assert told["sql"].endswith("HAVING SUM(amount) > 3")
    assert told["wrong"] == ["misuse of aggregate: sum()"]
    assert check("SELECT amount FROM orders", refused="disk I/O error") == {"problems": ["disk I/O error"]}


SHOP = "CREATE TABLE orders (id INTEGER, amount REAL, status INTEGER, email TEXT);"
DICTIONARY = """
tables:
  orders:
    columns: {id: {kind: id}, email: {display: restricted}, amount: {unit: EUR}}
    metrics: {revenue: {expression: SUM(amount), where: status <> 3}}
"""


@pytest.fixture
def described(tmp_path, monkeypatch):
    """R's working directory, with a dictionary."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dictionary.yaml").write_text(DICTIONARY, encoding="utf-8")
    return tmp_path


def test_link_tells_what_a_dictionary_says(piped, described):
    asked = {"question": "What is the revenue?", "ddl": SHOP, "dialect": "sqlite"}
    told = piped("link", asked)
    assert "-- [EUR]" in told["context"]
    assert "MEASURE(revenue): SUM(amount) of orders where status <> 3" in told["context"]
    assert "as in SELECT MEASURE(revenue)" in told["more"]
    assert "described by dictionary.yaml" in told["note"]
    assert [one["name"] for one in told["rsql"]["definitions"]] == ["revenue"]
    assert "definitions" not in piped("link", asked | {"dictionary": False})["rsql"]
    (described / "other.yaml").write_text("tables: {orders: What was bought.}", encoding="utf-8")
    assert "What was bought." in piped("link", asked | {"dictionary": "other.yaml"})["context"]


@pytest.mark.slow
@pytest.mark.usefixtures("described")
def test_check_holds_a_query_to_the_dictionary(piped):
    def check(sql, question="", **more):
        asked = {"sql": sql, "dialect": "sqlite", "ddl": SHOP, "mend": True, "question": question}
        return piped("check", asked | more)

    told = check("SELECT MEASURE(revenue) FROM orders", "revenue")
    assert " ".join(told["sql"].split()) == "SELECT SUM(amount) AS revenue FROM orders WHERE status <> 3"
    assert told["said"] == ["By the definition of revenue (dictionary.yaml, line 5)."]
    forgotten = check("SELECT SUM(amount) FROM orders", "What is the revenue?")
    assert forgotten["mended"] == ["revenue by its definition"]
    assert "status <> 3" in forgotten["sql"]
    assert "no defined metric" in check("SELECT MEASURE(profit) FROM orders")["problems"][0]
    added = check("SELECT AVG(id) FROM orders")
    assert "orders.id is an id" in added["problems"][0]
    assert added["told"]
    again = check("SELECT AVG(id) FROM orders", told=True)
    assert "orders.id is an id" in again["said"][0]
    assert check("SELECT amount, email FROM orders")["sql"].split() == ["SELECT", "amount", "FROM", "orders"]
    for sql in ("SELECT email FROM orders", "SELECT emial FROM orders", "SELECT MAX(email) FROM orders"):
        for is_told in (False, True):
            assert "must not be shown" in check(sql, told=is_told)["problems"][0]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("status = 9", "No row of orders has status = 9."),
        ("status IN (3, 32)", "No row of orders has status = 32."),
        ("status = 1 AND status = 2", "No row can have status = 1 and status = 2 at once."),
        ("id NOT IN (SELECT NULLIF(status, 1) FROM orders)", "add WHERE NULLIF(status, 1) IS NOT NULL inside"),
        ("status = 3", ""),
    ],
)
def test_check_says_what_numbers_tell_of_a_query(piped, where, said):
    asked = {"sql": f"SELECT COUNT(*) FROM orders WHERE {where}", "dialect": "sqlite", "ddl": SHOP, "dictionary": False}
    assert "asks" not in piped("check", asked)
    found = piped("check", asked | {"look": True})
    connection = sqlite3.connect(":memory:")
    connection.execute(SHOP)
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", [(n, n, n % 4, "x") for n in range(40)])
    told = [ask["said"][min(connection.execute(ask["sql"]).fetchone()[0], 2)] for ask in found["asks"]]
    connection.close()
    notes = [*found["found"], *(note for notes in told for note in notes)]
    assert any(said in note for note in notes) if said else notes == []


@pytest.mark.usefixtures("described")
def test_an_r_session_is_described_by_the_dictionary(piped):
    columns, types = "amount\x1demail", "numeric\x1dcharacter"
    survey = ["4.3.1\x1fx\x1fC\x1f", f"orders\x1fR data.frame\x1f2\x1f{columns}\x1f{types}\x1f"]
    told = piped("describe", {"question": "Describe orders", "level": "stats", "survey": survey, "details": []})
    assert "[EUR]" in told["context"]
    assert "restricted: not to be shown" in told["context"]


def test_link_and_redact(piped):
    told = piped("link", {"question": "amount by bob@example.org", "ddl": DDL, "dialect": "sqlite"})
    assert told["question"] == "amount by [email]"
    assert told["context"].startswith('<data kind="schema" name="database"')
    assert "amount REAL" in told["context"]
    assert piped("redact", "bob@example.org") == "[email]"


@pytest.mark.parametrize("command", ["check", "link", "describe"])
@pytest.mark.parametrize("value", ["no json", [], {"sql": 3}])
def test_odd_input_is_one_line(piped, command, value):
    code, said = piped(command, value)
    assert (code, said.split(":")[0]) == (1, "BadInput")


def test_a_session_of_r_is_described_by_level(piped):
    table = "d\x1fR data.frame\x1f9\x1fx\x1finteger\x1f"
    survey = ["4.2.2\x1flinux\x1fC\x1f", table, "api_key\x1fR numeric\x1f\x1f\x1f\x1f"]
    facts = "d\x1e1\x1finteger\x1f9\x1f0\x1f1\x1f9\x1f9\x1f9\x1f\x1f\x1f\x1f\x1f"
    body = {"question": "d?", "survey": survey, "details": [facts, "api_key\x1eR numeric 12345"]}
    stats = piped("describe", body | {"level": "stats"})["context"]
    assert "- x integer: 1..9" in stats
    assert "R 4.2.2 on linux" in stats
    assert "12345" not in stats
    assert "1..9" not in piped("describe", body | {"level": "names"})["context"]
    assert piped("describe", body | {"level": "stats", "survey": ["x"]})[0] == 1


def test_a_field_that_may_be_a_function_is_no_answer_where_nobody_can_be_asked(piped):
    """R's own connection is not at hand here; in Python the engine asks PostgreSQL."""
    tables = "CREATE TABLE t (a integer, b text);"
    wrong = piped("check", {"sql": "SELECT (t).leak FROM t", "dialect": "postgres", "ddl": tables})
    assert "a function of that name would be called" in wrong["problems"][0]
    fine = piped("check", {"sql": "SELECT (q).a FROM t q", "dialect": "postgres", "ddl": tables})
    assert fine == {"sql": "SELECT (q).a FROM t q"}


# For administrators

KEYS = {
    "states": {"ready": 1, "cooling": 1},
    "keys": [
        {
            "key": "groq-1",
            "provider": "groq",
            "state": "ready",
            "limits": [{"unit": "requests", "used": 4, "limit": 30}],
        },
        {"key": "groq-2", "provider": "groq", "state": "cooling", "ready_in": 12.0, "reason": "429", "limits": []},
    ],
}


def test_keys_are_listed_with_what_is_left_and_why_they_rest(rsql, gateway):
    gateway.paths["admin/api/keys"] = KEYS
    code, out, _ = rsql("keys")
    assert code == 0
    assert "26 of 30 requests" in out
    assert "cooling, ready in 12 s: 429" in out


def test_a_key_is_paused_by_its_name_and_a_mistyped_one_is_refused(rsql, gateway):
    gateway.paths |= {"admin/api/keys": KEYS, "admin/api/keys/groq-2/pause": {"key": "groq-2", "action": "pause"}}
    assert rsql("keys", "pause", "groq-2")[0] == 0
    assert gateway.calls.count("admin/api/keys/groq-2/pause") == 1
    code, _, error = rsql("keys", "pause", "groq-3")
    assert code == 1
    assert "There are: groq-1, groq-2." in error
    assert "Which key?" in rsql("keys", "retire")[2]


def test_keys_are_tried(rsql, gateway):
    tried = [{"key": "a", "ok": True, "seconds": 0.25}, {"key": "b", "ok": False, "reason": "refused"}]
    gateway.paths["admin/health-check"] = {"keys": tried}
    out = rsql("keys", "check")[1]
    assert "works in 0.25 s" in out
    assert "refused" in out


def test_load_tells_what_users_saw(rsql, gateway):
    gateway.replies = ["yes"] * 6 + [httpx.Response(429, json={"error": {"message": "Too many."}})] * 200
    code, out, error = rsql("load", "--users", "3", "--seconds", "1", "--pause", "0.2")
    assert code == 0
    assert "real requests, which count" in error
    assert "6 (" in out
    assert "median" in out
    assert "Too many." in out
    asked = [request["messages"][0]["content"] for request in gateway.requests]
    assert len(set(asked)) == len(asked) > 6


@pytest.mark.parametrize("words", [("--users", "0"), ("--users", "501"), ("--seconds", "0"), ("--pause", "-1")])
def test_a_load_out_of_range_is_refused(rsql, gateway, words):
    assert rsql("load", *words)[0] == 1
    assert gateway.requests == []


def test_a_configuration_is_checked_and_its_secrets_are_not_shown(tmp_path, capfd, programs):
    file = tmp_path / "rsql.toml"
    file.write_text(
        '[[keys]]\nprovider = "groq"\nkey = "gsk-hidden"\n[storage]\nledger = "postgresql://me:hidden@db/rsql"\n'
    )
    assert cli.main(["config", "check", str(file)]) == 0
    out = capfd.readouterr().out
    assert "key groq-1: groq" in out
    assert "postgresql://…@db/rsql" in out
    assert "hidden" not in out
    file.write_text("[[keyz]]\n")
    assert cli.main(["config", "check", str(file)]) == 1
    assert "keyz" in capfd.readouterr().err


def test_a_notebook_runs_with_a_recording(programs, rsql, tmp_path, monkeypatch):
    monkeypatch.setenv("RSQL_REPLAY", "")
    monkeypatch.chdir(tmp_path)
    path = notebook(tmp_path, "import os; print(os.environ['RSQL_REPLAY'])")
    (tmp_path / "a.jsonl").write_text("nonsense\n", encoding="utf-8")
    for given, code, words in (
        ("record:b.jsonl", 0, f"record:{tmp_path}/b.jsonl"),
        ("c.jsonl", 0, f"{tmp_path}/c.jsonl"),
        ("strict:none.jsonl", 1, "does not exist"),
        ("a.jsonl", 1, "Line 1 of"),
    ):
        ended, _, err = rsql("run", str(path), "-o", "done.ipynb", "--replay", given)
        assert (ended, words in (err or (tmp_path / "done.ipynb").read_text())) == (code, True), given
