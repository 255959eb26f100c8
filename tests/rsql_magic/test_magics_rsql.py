"""%rsql, %config, loading, completion: everything around the questions."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pandas as pd
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from traitlets import TraitError

from rsql_magic import reports
from rsql_magic.context import Catalog
from rsql_magic.errors import BadInput, GatewayUnreachable, NotAllowed, UnknownName
from rsql_magic.gateway.locator import Address
from rsql_magic.options import COMMANDS
from rsql_magic.reports import good_until
from rsql_magic.sql import Column, Table

STATUS = {"keys": {"ready": 3, "cooling": 1}, "queue": {"length": 0}, "models": ["llama", "qwen"], "privacy_floor": ""}
STATS = {
    "caller": "ada",
    "limits": {"minute": {"current": 2, "limit": 10, "remaining": 8}, "day": {"current": 3, "limit": None}},
    "cost": {"today": 0.25, "limit": 5.0, "remaining": 4.75},
    "privacy_floor": "",
}


def test_status_tells_keys_queue_and_models(ip, gateway, capsys):
    gateway.paths["status"] = STATUS
    ip.run("%rsql status")
    out = capsys.readouterr().out
    assert "keys     3 ready, 1 cooling" in out
    assert "llama, qwen" in out


def test_usage_tells_limits_money_and_this_notebook(ip, gateway, capsys):
    gateway.paths["stats"] = STATS
    gateway.replies = ["hi"]
    ip.run("%ask hello")
    ip.run("%rsql usage")
    out = capsys.readouterr().out
    assert "requests this minute  2 of 10" in out
    assert "requests this day     3\n" in out
    assert "money today           $0.25 of $5.00" in out
    assert "1 question, 100 + 20 tokens" in out


def test_an_endpoint_that_is_no_gateway_has_no_figures(ip, capsys):
    ip.run("%rsql usage")
    assert "keeps no such figures" in capsys.readouterr().out


def test_models_and_their_aliases(ip, capsys):
    ip.run("%config Rsql.aliases = {'fast': 'qwen'}")
    ip.run("%rsql models")
    assert "qwen   fast" in capsys.readouterr().out


def test_history_and_reset(ip, gateway, capsys):
    gateway.replies = ["hi there"]
    ip.run("%ask hello")
    ip.run("%rsql history")
    assert "## ask: hello\n\nhi there" in capsys.readouterr().out
    ip.run("%rsql reset")
    assert capsys.readouterr().out == "Forgot 1 turn.\n"


def test_context_ranks_without_asking(ip, gateway, capsys):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N"] * 5})
    ip.run("%rsql context what is in sales")
    assert "sales" in capsys.readouterr().out
    assert gateway.requests == []


def test_catalog_and_refresh(ip, gateway, capsys):
    ip.user_ns["sales"] = pd.DataFrame({"region": ["N"] * 5})
    ip.user_ns["other"] = pd.DataFrame({"x": [1]})
    ip.run("%rsql catalog reg")
    out = capsys.readouterr().out
    assert "sales" in out
    assert "other" not in out
    ip.run("%rsql catalog %EGIO%")
    assert "sales" in capsys.readouterr().out
    ip.run("%rsql catalog nothing")
    assert capsys.readouterr().out == "No table or column is called nothing.\n"
    ip.run("%rsql refresh")


def test_the_catalog_says_what_could_not_be_read():
    catalog = Catalog((Table("parts", (Column("id"),)),), problems=("1 table may not be read: a<b.",))
    shown = reports.catalog(catalog)
    assert "parts" in shown.plain
    assert shown.plain.endswith("⚠ 1 table may not be read: a<b.")
    assert "a&lt;b" in shown.markdown


def test_transpile_needs_no_model(ip, gateway, capsys):
    ip.run("%rsql transpile --to tsql SELECT x FROM t LIMIT 3")
    assert "TOP 3" in capsys.readouterr().out
    ip.run("%rsql transpile --from tsql --to mysql SELECT TOP 3 x FROM t")
    assert "LIMIT 3" in capsys.readouterr().out
    assert gateway.requests == []
    for line, words in (
        ("--to", "dialect and a query"),
        ("--to klingon SELECT 1", "klingon"),
        ("--to mysql SELECT (", "read as duckdb; --from names another"),
        ("--from klingon --to mysql SELECT 1", "klingon"),
    ):
        with pytest.raises(BadInput, match=words):
            ip.run(f"%rsql transpile {line}")


def test_doctor_looks_at_everything(programs, ip, gateway, capsys):
    gateway.paths["health"] = {"status": "ok", "version": "0.1.0"}
    gateway.replies = ["1 2 3"]
    ip.run("%rsql doctor")
    out = capsys.readouterr().out
    for what in ("versions", "gateway", "models", "stream", "charts", "R"):
        assert f"  {what} " in out
    assert "✗" not in out


def test_doctor_asks_no_model_that_no_key_reaches(programs, ip, gateway, capsys):
    gateway.paths |= {"health": {"status": "degraded"}, "status": {"keys": {"ready": 0, "cooling": 1}}}
    ip.run("%rsql doctor")
    out = capsys.readouterr().out
    assert "not tried, as no key is ready" in out
    assert "check their text and base_url" in out
    assert gateway.requests == []


def test_help_lists_every_command(ip, capsys):
    ip.run("%rsql")
    out = capsys.readouterr().out
    for name in COMMANDS:
        assert f"%rsql {name}" in out
    assert out.count("QUESTION]") == 1


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("stauts", BadInput, "%rsql status"),
        ("status now", BadInput, "takes nothing more, not 'now'"),
        ("help stauts", BadInput, "%rsql help lists the commands"),
        ("history --save", BadInput, "--save needs FILE"),
        ("history share", BadInput, "share needs ID. %rsql history share ID."),
        ("history sahre x", BadInput, "| forget"),
        ("keys new", BadInput, "A new key needs a name"),
        ("keys new --days 3", BadInput, "A new key needs a name"),
        ("keys new ci --dayz 3", BadInput, "no option --dayz"),
        ("keys new ci --days", BadInput, "--days needs a value"),
        ("keys new ci --into class", BadInput, "not a name for a variable"),
        ("keys revoke", BadInput, "needs its ID"),
        ("connect http://h/ --token-from", BadInput, "--token-from needs a NAME"),
        ("connect localhost", BadInput, "not the URL of a gateway"),
        ("connect http://127.0.0.1:9/rsql/", GatewayUnreachable, "No gateway answers"),
        ("connect http://h/ --token secret", BadInput, "--token-from NAME"),
        ("connect http://h/ --token-from NOPE", BadInput, "has NOPE"),
    ],
)
def test_mistakes_are_one_clear_line(ip, line, error, words):
    with pytest.raises(error) as caught:
        ip.run(f"%rsql {line}")
    assert words in str(caught.value)


def test_connect_asks_once_and_keeps_what_worked(ip, assistant, gateway, monkeypatch, capsys):
    asked = []

    def client_of(address):
        from rsql_magic.gateway import LLMClient

        def answer(request):
            asked.append(request.headers["authorization"])
            good = request.headers["authorization"] == "Bearer right"
            return httpx.Response(200, json={"data": []}) if good else httpx.Response(401)

        return LLMClient(address.url, address.token, transport=httpx.MockTransport(answer))

    monkeypatch.setattr(assistant.locator, "client_of", client_of)
    ip.user_ns |= {"good": "right", "bad": "wrong"}
    with pytest.raises(NotAllowed):
        ip.run("%rsql connect http://other:8888 --token-from bad")
    assert assistant.locator.gateway.url == "http://gateway/rsql/"
    ip.run("%rsql connect http://other:8888 --token-from good")
    assert assistant.locator.gateway.url == "http://other:8888/rsql/"
    assert capsys.readouterr().out.splitlines()[-1] == "Connected to http://other:8888/rsql/ (named by %rsql connect)."
    assert asked == ["Bearer wrong", "Bearer right"]


def test_the_gateways_privacy_floor_wins(ip, gateway):
    gateway.paths["stats"] = {**STATS, "privacy_floor": "names"}
    gateway.replies = ["ok", "ok"]
    ip.user_ns["sales"] = pd.DataFrame({"region": ["North"] * 10})
    ip.run("%ask --privacy sample what is in sales")
    assert "region" in gateway.sent
    assert "North" not in gateway.sent


def complete(ip, text):
    with provisionalcompleter():
        return {completion.text for completion in ip.Completer.completions(text, len(text))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%%ask --show", {"--show-context"}),
        ("%ask --la", {"--lang"}),
        ("%%ask --lang p", {"python"}),
        ("%%ask --with sa", {"sales"}),
        ("%%ask --with sales oth", {"other"}),
        ("%%sql_ai co", {"con"}),
        ("%%sql_ai con --plot b", {"bar"}),
        ("%%sql_ai con --model f", {"fast"}),
        ("x = %ask --priv", {"--privacy"}),
        ("%rsql stat", {"status"}),
    ],
)
def test_options_values_models_and_names_are_completed(ip, text, expected):
    import duckdb

    ip.user_ns |= {"sales": pd.DataFrame({"a": [1]}), "other": 1, "con": duckdb.connect()}
    ip.magics_manager.registry["RsqlMagics"].settings.aliases = {"fast": "qwen"}
    found = complete(ip, text)
    ip.user_ns["con"].close()
    assert expected <= found
    assert not {word for word in found if word.startswith("%")}


@pytest.mark.slow
def test_other_lines_are_left_alone(ip):
    ip.user_ns["status"] = 1
    assert "--show-context" not in complete(ip, "print(--show")
    assert "status" in complete(ip, "stat")


def test_question_marks_are_text_and_help_is_help(ip, gateway, capsys):
    gateway.replies = ["a", "b", "c"]
    ip.user_ns["sales"] = 1
    ip.run("%ask --no-context what is sales?")
    ip.run("if True:\n    x = %ask --no-context why sales??")
    assert gateway.sent.endswith("why sales??")
    assert ip.user_ns["x"].text == "b "
    assert ip.transform_cell('"""\n%ask what?\n"""') == '"""\n%ask what?\n"""\n'
    assert "pinfo" in ip.transform_cell("%ask?")
    assert "pinfo" in ip.transform_cell("%rsql?")
    assert "pinfo" not in ip.transform_cell("%rsql context what is sales?")
    assert "pinfo" in ip.transform_cell("sales?")


def test_loading_again_is_harmless(shell):
    before = set(shell.magics_manager.magics["line"])
    for _ in range(3):
        shell.run_line_magic("reload_ext", "rsql_magic")
    assert [name for name in dir(shell) if name == "rsql"] == []
    assert {"ask", "sql_ai", "rsql"} <= set(shell.magics_manager.magics["line"])
    assert [type(known).__name__ for known in shell.configurables].count("Rsql") == 1
    assert len(shell.Completer.custom_matchers) == 1
    shell.run_line_magic("unload_ext", "rsql_magic")
    assert set(shell.magics_manager.magics["line"]) == before
    assert "Rsql" not in [type(known).__name__ for known in shell.configurables]
    assert shell.Completer.custom_matchers == []


def test_a_refused_setting_does_not_come_back_at_reload(shell):
    shell.run_line_magic("load_ext", "rsql_magic")
    with pytest.raises(TraitError):
        shell.magics_manager.registry["RsqlMagics"].settings.privacy = "bad"
    shell.config.Rsql.privacy = "bad"  # as %config leaves it
    shell.run_line_magic("reload_ext", "rsql_magic")
    assert shell.magics_manager.registry["RsqlMagics"].settings.privacy == "stats"


def test_settings_come_from_ipythons_configuration(shell):
    shell.config.Rsql.max_rows = 7
    shell.run_line_magic("load_ext", "rsql_magic")
    assert shell.magics_manager.registry["RsqlMagics"].settings.max_rows == 7


def test_a_configuration_that_makes_no_sense_is_one_line(shell):
    shell.config.Rsql.privacy = "all"
    with pytest.raises(BadInput, match=r"A setting is wrong. .*privacy"):
        shell.run_line_magic("load_ext", "rsql_magic")
    shell.config.Rsql.privacy = "names"
    shell.run_line_magic("load_ext", "rsql_magic")


def test_a_setting_that_makes_no_sense_is_refused(ip):
    with pytest.raises(TraitError, match="privacy"):
        ip.magics_manager.registry["RsqlMagics"].settings.privacy = "all"


def test_loading_imports_nothing_heavy_and_opens_no_socket(programs):
    code = """
    import socket, sys
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell()
    socket.socket.connect = None
    before = set(sys.modules)
    shell.run_line_magic("load_ext", "rsql_magic")
    heavy = {"pandas", "numpy", "duckdb", "sqlalchemy", "altair", "rpy2", "httpx", "sqlglot", "narwhals", "ssl"}
    print(sorted(heavy & (set(sys.modules) - before)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_no_room_hides_a_public_name():
    import rsql_magic

    for path in Path(rsql_magic.__file__).parent.iterdir():
        if path.name[0] not in "._" and (path.suffix == ".py" or (path / "__init__.py").is_file()):
            importlib.import_module(f"rsql_magic.{path.stem}")  # which binds its name in the package
    assert all(callable(getattr(rsql_magic, name)) for name in rsql_magic.__all__)


@pytest.mark.slow
def test_from_python(shell, assistant, gateway, monkeypatch):
    import rsql_magic
    from rsql_magic.notebook import load

    load(shell, assistant)
    monkeypatch.setattr(InteractiveShell, "_instance", shell)
    gateway.replies = ["```sql\nSELECT sum(a) AS s FROM here\n```", "Fine.", "Fine."]
    here = pd.DataFrame({"a": [1, 2]})
    assert rsql_magic.sql_ai("total a").df.s[0] == 3
    assert rsql_magic.ask("what is here?").text == "Fine. "
    assert 'name="here"' in gateway.sent
    rsql_magic.ask("what is it?", with_={"it": here})
    assert 'name="it"' in gateway.sent
    with pytest.raises(UnknownName):
        rsql_magic.ask("what?", with_=["nope"])
    for wrong in ({"privacy": "all"}, {"lang": "cobol"}, {"timeout": -1}):
        with pytest.raises(BadInput, match=r"all|cobol|more than 0"):
            rsql_magic.ask("what?", **wrong)
    for name in ("max_rows", "retries", "drafts", "timeout"):
        with pytest.raises(BadInput, match=rf"{name} .*number.* 'many'"):
            rsql_magic.sql_ai("total a", **{name: "many"})
    for ask in (rsql_magic.ask, rsql_magic.sql_ai, lambda text: rsql_magic.map(here, text, privacy="sample")):
        with pytest.raises(BadInput, match="A question is text, not int"):
            ask(3)
    gateway.replies = ["```sql\nSELECT sum(a) AS s FROM here\n```"]
    assert rsql_magic.sql_ai("total a", tables="here").df.s[0] == 3
    assert callable(rsql_magic.sql_ai)


def test_a_new_key_goes_into_a_variable_and_is_not_shown(ip, gateway, capsys):
    gateway.paths["keys"] = {"id": "ab12", "name": "ci", "expires": "2027-01-01T00:00:00+00:00", "key": "rsql_secret"}
    gateway.paths["keys"]["scopes"] = ["chat", "files"]
    ip.run("%rsql keys new ci --days 30 --per-day 5 --usd-per-month 2.5 --scopes chat,files --into ci_key")
    out = capsys.readouterr().out
    assert ip.user_ns["ci_key"] == "rsql_secret"
    assert "rsql_secret" not in out
    assert "2027-01-01, for chat, files, is in the variable ci_key." in out
    assert json.loads(gateway.bodies[-1]) == {
        "name": "ci",
        "days": 30,
        "scopes": ["chat", "files"],
        "limits": {"requests_per_day": 5, "usd_per_month": 2.5},
    }


def test_keys_are_listed_and_revoked(ip, gateway, capsys):
    gateway.paths["keys"] = {
        "keys": [
            {"id": "ab12", "name": "ci", "expires": "2027-01-01T00:00:00+00:00", "limits": {"requests_per_day": 5}}
        ]
    }
    gateway.paths["keys/ab12"] = {"id": "ab12", "name": "ci"}
    ip.run("%rsql keys")
    ip.run("%rsql keys revoke ab12")
    out = capsys.readouterr().out
    assert "requests_per_day 5" in out
    assert "Revoked ci" in out


@pytest.mark.parametrize(
    "line",
    ["keys make ci", "keys new", "keys revoke", "keys new ci --days", "keys new ci --days x", "keys new ci --into 1"],
)
def test_keys_that_are_not_understood(ip, line):
    with pytest.raises(BadInput):
        ip.run(f"%rsql {line}")


@pytest.mark.slow
def test_stats_is_usage_and_status_leaves_out_what_is_nothing(ip, gateway, capsys):
    gateway.paths["stats"] = STATS
    gateway.paths["status"] = STATUS | {
        "cache": {"answers": 0, "hit": 0},
        "queue": {"length": 3, "expected_wait_seconds": 7.4},
    }
    ip.run("%rsql stats")
    assert "requests this minute  2 of 10" in capsys.readouterr().out
    ip.run("%rsql status")
    out = capsys.readouterr().out
    assert "3 waiting, about 7 s" in out
    assert "cache" not in out


def test_the_default_model_is_marked(ip, gateway, capsys):
    gateway.paths["status"] = {"default_model": "qwen"}
    ip.run("%rsql models")
    assert "qwen          default" in capsys.readouterr().out


def test_models_that_take_pictures_are_told_where_that_is_known(ip, gateway, capsys):
    ip.run("%rsql models")
    assert "pictures" not in capsys.readouterr().out
    told = {"architecture": {"input_modalities": ["text"]}}
    gateway.paths["v1/models"] = {"data": [{"id": "llama", **told}, {"id": "qwen"}], "default": "llama"}
    ip.run("%rsql models")
    out = capsys.readouterr().out
    assert "pictures" in out
    assert any(line.startswith("llama") and line.endswith("no") for line in map(str.strip, out.splitlines()))


def test_a_key_of_a_kernels_own_gateway_ends_with_it(ip, assistant, gateway, capsys):
    gateway.paths["keys"] = {"id": "ab12", "name": "ci", "expires": "2027-01-01T00:00:00+00:00", "key": "rsql_secret"}
    ip.run("%rsql keys new ci")
    assert "good until 2027-01-01, is" in capsys.readouterr().out
    assistant.locator.address = Address("http://gateway/rsql/", "t", "embedded")
    assert good_until(assistant, "2027-01-01T00:00:00+00:00") == "this kernel ends, at most until 2027-01-01"


def test_the_help_says_where_the_question_stands(ip, capsys):
    for magic in ("ask", "sql_ai"):
        ip.run(f"%{magic} --help")
        out = capsys.readouterr().out
        assert out.startswith(f"  %{magic} [--model NAME]")
        assert "[QUESTION ...]" in out
        assert "<{" not in out
        assert "<[" not in out


def test_the_help_of_one_command_and_of_the_magic(ip, capsys):
    ip.run("%rsql help keys")
    assert "--usd-per-day" in capsys.readouterr().out
    ip.run("%rsql history")
    assert "Nothing was asked yet." in capsys.readouterr().out
    assert "%rsql transpile [--from DIALECT] --to DIALECT SQL" in ip.magics_manager.magics["line"]["rsql"].__doc__


def test_a_gateway_that_does_not_answer_is_not_used(ip, assistant):
    assistant.locator.address = Address("http://gateway/rsql/", "t", "chosen")
    with pytest.raises(GatewayUnreachable, match=r"Check the URL\. http://gateway/rsql/ .* stays in use"):
        ip.run("%rsql connect http://127.0.0.1:9/rsql/")
