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
