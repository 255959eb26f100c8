"""The rsql command."""

from __future__ import annotations

import io
import json
import sqlite3

import pytest

from rsql_magic import cli
from rsql_magic.assistant import Assistant
from rsql_magic.errors import GatewayUnreachable


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
        raise GatewayUnreachable("No gateway.")

    monkeypatch.setattr(Assistant, "ask", unreachable)
    assert rsql("ask", "hello") == (4, "", "GatewayUnreachable: No gateway.\n")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Assistant, "ask", interrupted)
    assert rsql("ask", "hello")[0] == 130


def test_a_wrong_command_line(rsql):
    with pytest.raises(SystemExit) as caught:
        rsql("aks", "hello")
    assert caught.value.code == 2


def test_status_usage_models_and_doctor(rsql, gateway):
    gateway.paths |= {"status": {"keys": {"ready": 3}}, "stats": {"caller": "ada"}, "health": {"status": "ok"}}
    gateway.replies = ["1 2 3"]
    assert "keys ready  3" in rsql("status")[1]
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
