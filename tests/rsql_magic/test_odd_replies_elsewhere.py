"""Replies of any shape in the panel and by the command: an answer or one sentence, and its exit code."""

from __future__ import annotations

import io
import random

import pytest
from odd_replies import replies
from panel_talk import Talk

from rsql_magic.assistant import Assistant
from rsql_magic.cli import command as cli

REPLIES = sorted(replies())
QUESTIONS = ["Why?", "/sql how many orders?", "/quiz orders"]
COMMANDS = [["ask", "why?"], ["ask", "why?", "--format", "json"], ["sql", "how many orders?"]]
PICKED = random.Random(23)
FOR_THE_PANEL = PICKED.sample(REPLIES, 6)
FOR_THE_COMMAND = [
    pytest.param(name, marks=pytest.mark.slow if name == "r" else ())  # R itself reads the code
    for name in ("an empty block", *PICKED.sample(REPLIES, 6))
]
pytestmark = pytest.mark.usefixtures("without_r")


@pytest.fixture
def talk(ip, assistant, con):
    talk = Talk(ip, assistant)
    yield talk
    talk.panel.close()


@pytest.fixture
def rsql(client, con, monkeypatch, capsys, tmp_path):
    """Runs the command against the fake gateway, over the orders where it asks a database."""
    con.close()
    monkeypatch.setattr(cli, "Assistant", lambda: Assistant(client=client, environ={}))
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    def run(*argv):
        code = cli.main([*argv, *(["--on", str(tmp_path / "shop.duckdb")] if argv[0] == "sql" else [])])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def assert_one_sentence(text):
    assert text.strip()
    assert "\n" not in text.strip()
    assert len(text) < 1_000
    assert "Traceback" not in text


def assert_the_panel_ends_well(talk, gateway, name, question):
    gateway.replies = [replies()[name] for _ in range(8)]
    told = talk.ask(question)
    assert told["state"] in {"done", "failed", "stopped"}
    assert "Traceback" not in str(told)
    if told["state"] == "failed":
        assert_one_sentence(f"{told['error']['message']} {told['error']['hint']}")
        assert not told["error"]["kind"].endswith("Error") or told["error"]["kind"] == "GatewayError"


def assert_the_command_ends_well(rsql, gateway, name, command):
    gateway.replies = [replies()[name] for _ in range(8)]
    code, out, err = rsql(*command)
    assert code in {0, 1, 3}
    assert "Traceback" not in out + err
    if code:
        assert_one_sentence(err)
    else:
        assert out.strip()


@pytest.mark.slow
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", FOR_THE_PANEL)
def test_the_panel_ends_in_an_answer_or_a_sentence(talk, gateway, name, question):
    assert_the_panel_ends_well(talk, gateway, name, question)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", FOR_THE_COMMAND)
def test_the_command_does_too(rsql, gateway, name, command):
    assert_the_command_ends_well(rsql, gateway, name, command)


@pytest.mark.sweep
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("name", REPLIES)
def test_the_panel_ends_well_with_every_reply(talk, gateway, name, question):
    assert_the_panel_ends_well(talk, gateway, name, question)


@pytest.mark.sweep
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("name", REPLIES)
def test_the_command_ends_well_with_every_reply(rsql, gateway, name, command):
    assert_the_command_ends_well(rsql, gateway, name, command)
