"""`rsql_magic.sql` is a library: pure, light to import, and as docs/sql-library.md says."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rsql_magic.sql
from jupyter_server_ext.offline.request import read as read_request
from jupyter_server_ext.offline.transport import answer
from rsql_magic.answers.code_checks import parse_sql
from rsql_magic.errors import BadInput
from rsql_magic.reports import transpile
from rsql_magic.sql import Unreadable, own_tree, own_trees

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "rsql_magic" / "sql"
PAGE = ROOT / "docs" / "sql-library.md"

OUTSIDE = {"rsql_magic.errors", "rsql_magic.redaction"}
"""What it may import of ours."""
NEVER = ("IPython", "duckdb", "sqlite3", "sqlalchemy", "pandas", "httpx", "rpy2", "psycopg", "pymysql")
ACTING = ("os", "random", "socket", "subprocess", "threading", "time", "urllib")
NOT_BEFORE_LINKING = ("numpy",)


def test_the_page_is_true():
    assert doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS).failed == 0


def test_the_page_names_what_the_door_has():
    named = set(re.findall(r"^>>> from rsql_magic\.sql import (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert {name.strip() for line in named for name in line.split(",")} <= set(rsql_magic.sql.__all__)


@pytest.mark.slow
def test_sqlglot_reads_no_text_that_was_not_looked_at_first():
    # Its parser is compiled: a text that takes it too deep ends the kernel, or the gateway of a whole hub.
    parsing = re.compile(r"^(?! *>>>).*\b(?:sqlglot\.(?:parse|transpile)|parse_one|maybe_parse)\(", re.MULTILINE)
    packages = (path for name in ("rsql_magic", "jupyter_server_ext") for path in (ROOT / name).rglob("*.py"))
    assert [path.relative_to(ROOT).as_posix() for path in packages if parsing.search(path.read_text("utf-8"))] == []


@pytest.mark.slow
@pytest.mark.parametrize("text", ["SELECT 1 " + "FROM " * 40_000, "SELECT " + "(" * 40_000])
def test_what_would_end_the_process_is_refused(text):
    for read in (own_tree, own_trees):
        with pytest.raises(Unreadable):
            read(text, "duckdb")
    assert parse_sql(text, "duckdb")
    with pytest.raises(BadInput):
        transpile(text, "duckdb", "mysql")
    for task in ("sql", "explain"):
        assert answer(read_request({"task": task, "question": text, "sql": text, "dialect": "duckdb"}))


@pytest.mark.parametrize("text", ["", "  ;", "-- later", "/* none */"])
def test_a_text_without_a_statement_has_no_trees(text):
    assert own_trees(text, "duckdb") == []
    assert parse_sql(text, "duckdb") == ""
    with pytest.raises(Unreadable):
        own_tree(text, "duckdb")


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda path: path.relative_to(ROOM).as_posix())
def test_it_imports_nothing_that_acts(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            ours = name.startswith("rsql_magic") and not name.startswith("rsql_magic.sql")
            assert not ours or name in OUTSIDE, name
            assert name.split(".")[0] not in {
                *NEVER,
                "time",
                "os",
                "random",
                "threading",
                "subprocess",
                "logging.config",
            }
    calls = {node.func.id for node in ast.walk(ast.parse(path.read_text())) if _is_plain_call(node)}
    assert not calls & {"open", "print", "input", "exec", "eval"}


def _is_plain_call(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def test_what_its_import_brings(programs):
    """In a process of its own: the guard, validation and autofix without numpy, everything without a driver."""
    code = f"""
import sys
from rsql_magic.sql import Catalog, check, ddl, fix_query, validate
shop = Catalog.from_ddl("CREATE TABLE t (id INT, name TEXT)", "sqlite")
check("SELECT name FROM t", "sqlite", shop), validate("SELECT nme FROM t", "sqlite", shop), ddl(shop["t"])
found = [name for name in {NEVER + NOT_BEFORE_LINKING} if name in sys.modules]
from rsql_magic.sql import link
link("names?", shop)
print(found, [name for name in {NEVER} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[] []"
