"""Where earlier queries come from: verified questions, the notebook's cells and conversation, dbt models beside it."""

# Of all of them only which tables they use, and on which columns they join, reaches a prompt; verified questions are
# shown as such (`prompt.py`). What a cell or file holds is tried as SQL and forgotten when it is none.

from __future__ import annotations

import ast
import json
import re
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from rsql_magic.context import as_cells
from rsql_magic.knowledge import VERIFIED_HERE, EarlierQuery, QueryEvidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from rsql_magic.gateway import Turn
    from rsql_magic.sql import Catalog
    from rsql_magic.text2sql.prompt import Verified

# Cells that are read, the newest; files of dbt, and how large they may be, in bytes.
_MOST_CELLS, _MOST_FILES, _LARGEST = 100, 300, 20_000_000
_LONGEST = 20_000  # characters of a cell or query
_QUERY = re.compile(r"\s*(?:--[^\n]*\n\s*)*\(*(?:select|with|from)\b", re.IGNORECASE)
_MAGIC = re.compile(
    r"\A\s*%%sql\b[^\n]*\n(?P<cell>[\s\S]*)|^[^#%\n]*%sql\s+(?P<line>[^\n]+)", re.IGNORECASE | re.MULTILINE
)
_BLOCK = re.compile(r"```sql\n(.*?)\n```", re.DOTALL)
# What stands for a table in a dbt model, and what is no SQL in it.
_REF = re.compile(r"\{\{-?\s*(?:ref|source)\s*\((?:[^)]*,)?\s*['\"]([^'\"]+)['\"]\s*\)\s*-?\}\}")
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


def earlier_queries(
    cells: Sequence[Any], turns: Iterable[Turn], folder: Path, log: Iterable[str] = ()
) -> tuple[EarlierQuery, ...]:
    """All there are: of the cells and turns of a notebook, the dbt project in its folder, and a database's log."""
    logged = (EarlierQuery(sql, source="the query log") for sql in log)
    return (*of_cells(cells), *of_turns(turns), *of_dbt(folder), *logged)


def evidence_of(examples: Iterable[Verified], earlier: Iterable[EarlierQuery], catalog: Catalog) -> QueryEvidence:
    """What verified questions and further queries tell of the tables."""
    verified = [EarlierQuery(one.sql, one.dialect, one.question, one.source) for one in examples]
    # One's own first, as of many only the first are read.
    own = [one for one in verified if one.source == VERIFIED_HERE]
    return QueryEvidence.of([*own, *earlier, *(one for one in verified if one.source != VERIFIED_HERE)], catalog)


def of_cells(cells: Sequence[Any]) -> Iterator[EarlierQuery]:
    """The queries of a notebook's cells, newest first: ``%%sql``, ``%sql`` and texts of Python that are one.

    Example:
        >>> [query.sql for query in of_cells(["import duckdb", "duckdb.sql('SELECT a FROM t')", "%sql SELECT 1"])]
        ['SELECT 1', 'SELECT a FROM t']
    """
    for cell in reversed(as_cells(cells[-_MOST_CELLS:])):
        for sql in _in_cell(cell.source):
            yield EarlierQuery(sql, source=cell.name)


@lru_cache(maxsize=512)
def _in_cell(source: str) -> tuple[str, ...]:
    """What of a cell looks like queries."""
    if len(source) > _LONGEST or not re.search(r"\b(?:select|from)\b", source, re.IGNORECASE):
        return ()
    if found := [(match["cell"] or match["line"]).strip() for match in _MAGIC.finditer(source)]:
        return tuple(filter(_QUERY.match, found))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return tuple(text for text in texts if _QUERY.match(text) and " " in text.strip())


def of_turns(turns: Iterable[Turn]) -> Iterator[EarlierQuery]:
    """The queries that answered earlier questions."""
    for turn in turns:
        if turn.task == "sql_ai" and (found := _BLOCK.search(turn.answer)):
            yield EarlierQuery(found[1], source="an earlier answer")


def of_dbt(folder: Path) -> Iterator[EarlierQuery]:
    """The models of a dbt project: as ``target/manifest.json`` has them compiled, else the files under ``models/``."""
    manifest = folder / "target" / "manifest.json"
    with suppress(OSError):
        if manifest.is_file():
            yield from _of_manifest(manifest, *_state(manifest))
        elif (folder / "dbt_project.yml").is_file():
            for path in islice(sorted((folder / "models").rglob("*.sql")), _MOST_FILES):
                yield from _of_model(path, *_state(path))


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=4)
def _of_manifest(path: Path, _changed: int, size: int) -> tuple[EarlierQuery, ...]:
    if size > _LARGEST:
        return ()
    try:
        nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"].values()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ()
    models = (node for node in nodes if isinstance(node, dict) and node.get("resource_type") == "model")
    return tuple(
        EarlierQuery(_without_jinja(str(sql)), source=f"the dbt model {node.get('name')}")
        for node in islice(models, _MOST_FILES)
        if (sql := node.get("compiled_code") or node.get("raw_code"))
    )


@lru_cache(maxsize=512)
def _of_model(path: Path, _changed: int, size: int) -> tuple[EarlierQuery, ...]:
    if size > _LONGEST:
        return ()
    try:
        return (EarlierQuery(_without_jinja(path.read_text(encoding="utf-8")), source=f"the dbt model {path.stem}"),)
    except UnicodeDecodeError:
        return ()


def _without_jinja(sql: str) -> str:
    return _JINJA.sub("", _REF.sub(r"\1", sql)).strip()
