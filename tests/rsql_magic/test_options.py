"""An option is declared once: parsing, help, completion, documentation and the ``rsql`` command have it then."""

from __future__ import annotations

import json
import subprocess
import sys

_ADDED = """
import contextlib, io, json
from rsql_magic import options

def number(text):
    return int(text)

added = options.Option(
    ("--schema-tokens",), "Most tokens spent on tables.", metavar="N", type=number, more="Default: all.", command=True
)
options.SQL_AI = (*options.SQL_AI, added)

from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from rsql_magic.cli import main
from rsql_magic.notebook import load

shell = InteractiveShell.instance()
magics = load(shell)
with provisionalcompleter():
    found = {"completed": [each.text for each in shell.Completer.completions("%sql_ai --schema-", 17)]}
given = []
magics.assistant.sql_ai = lambda question, *_, options, **__: given.append(options.schema_tokens) or 1 / 0
with contextlib.suppress(ZeroDivisionError):
    magics.sql_ai("--schema-tokens 7 how many?", None)
found["given"] = given
for name, call in (("magic", lambda: magics.sql_ai("--help", None)), ("command", lambda: main(["sql", "--help"]))):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        call()
    found[name] = out.getvalue()
found["docs"] = options.options_table(options.SQL_AI)
print(json.dumps(found))
"""


def test_an_option_is_added_in_one_place(programs):
    done = subprocess.run([sys.executable, "-c", _ADDED], stdout=subprocess.PIPE, text=True, check=True, timeout=240)
    found = json.loads(done.stdout.splitlines()[-1])
    assert "--schema-tokens" in found["completed"]
    assert found["given"] == [7]
    for help_text in (found["magic"], found["command"]):
        assert "--schema-tokens N" in help_text
        assert "Most tokens spent on tables." in " ".join(help_text.split())
    assert "| `--schema-tokens N` | Most tokens spent on tables. Default: all. |" in found["docs"]
