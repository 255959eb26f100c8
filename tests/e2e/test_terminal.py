"""A model's words in IPython on a real terminal: nothing of them that a terminal would obey gets there."""

from __future__ import annotations

import json
import os
import re
import sys

import pexpect
import pytest
from e2e import panel_lab
from e2e.conftest import TOKEN

ACTING = (
    "\x1b]52;c;ZXZpbA==\x07",  # the clipboard
    "\x1b]8;;http://canary.invalid\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]0;title\x07",
    "\x1b[7;3H\x1b[37A\x1b[31;43m",
    "\x1b[?1049h\x1b[5n",
    "\x1bPq#0\x1b\\",
    "\x1bc",
    "\x9b31;43m",
    "\x9d52;c;ZXZpbA==\x9c",
    "\u202egnp.exe\u2066",
)
HOSTILE = "Here: " + " ".join(f"{number}{acting}." for number, acting in enumerate(ACTING)) + " There."
OBEYED = re.compile(r"\x1b[\]PX^_c]|\x1b\[(?:7;3H|37A|31;43m|\?1049h|5n)|[\x80-\x9f\u202e\u2066]|ZXZpbA|canary|31;43")
SETUP = f"""
%load_ext rsql_magic
import pandas as pd
from rsql_magic.errors import RsqlError
hostile = {HOSTILE!r}
frame = pd.DataFrame({{"a": [hostile]}})
"""
CELLS = (
    "%ask answer",
    "kept = %ask answer",
    "print(kept)",
    "kept",
    "%sql_ai --retries 0 words",
    "%sql_ai --retries 0 mistaken",
    "%sql_ai --retries 0 table",
    "%ask --as flashcards cards",
    "raise RsqlError(hostile)",
)


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """Types lines into IPython, and gives what comes to the terminal."""
    folder = tmp_path_factory.mktemp("terminal")
    setup = folder / "setup.ipy"
    setup.write_text(SETUP, encoding="utf-8")
    with panel_lab.provider() as provider, panel_lab.gateway(folder, provider.url) as (url, _):
        provider.answers |= {
            "answer": (list(HOSTILE), 0.0),
            "words": (list(HOSTILE), 0.0),
            "mistaken": (f'```sql\nSELECT "{HOSTILE}" FROM frame\n```', 0.0),
            "table": (f"{HOSTILE}\n\n```sql\nSELECT '{HOSTILE}' AS \"{HOSTILE}\", a FROM frame\n```", 0.0),
            "cards": (json.dumps({"title": HOSTILE, "items": [{"front": HOSTILE, "back": HOSTILE}]}), 0.0),
        }
        told = {"RSQL_GATEWAY_URL": url, "RSQL_GATEWAY_TOKEN": TOKEN, "IPYTHONDIR": str(folder)}
        terminal = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", "--no-banner", "--no-term-title", "--no-confirm-exit", "-i", str(setup)],
            env=os.environ | told | {"PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm-256color"},
            cwd=str(folder),
            encoding="utf-8",
            timeout=240,
            dimensions=(50, 200),
        )

        def type_(line):
            terminal.send(f"{line}\r")
            terminal.send("print('the ' + 'end')\r")
            terminal.expect("the end\r?\n")
            return terminal.before

        yield type_
        terminal.close(force=True)


@pytest.mark.spine(cases=3)
@pytest.mark.parametrize("line", CELLS)
def test_nothing_a_terminal_obeys_gets_there(typed, line):
    shown = typed(line)
    assert "There." in shown
    assert OBEYED.findall(shown) == []


def test_the_same_words_as_written_get_there(typed):
    assert len(OBEYED.findall(typed("print(hostile)"))) > 10
