"""A conversation outside the panel: as a Markdown file, or as cells of the notebook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.databases import FRAMES
from rsql_magic.display import safe_markdown
from rsql_magic.gateway import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rsql_magic.panel.threads import MessagePair, Thread

Cell = dict[str, str]  # `{"kind": "markdown" | "code", "source": …}`

_RUNNABLE = {"python", "r", "sql"}
_EXTENSIONS = {"%%R": "rpy2.ipython", "%%sql": "sql"}  # who brings a cell magic: rpy2 and JupySQL
_FILES = {".duckdb": "duckdb", ".ddb": "duckdb", ".db": "sqlite", ".sqlite": "sqlite", ".sqlite3": "sqlite"}


def file_name(thread: Thread) -> str:
    """A name for the file of an export."""
    words = re.findall(r"\w+", thread.name.lower())[:8]
    return f"{'-'.join(words) or 'conversation'}.md"


def as_cell(code: str, language: str, connection: str = "") -> str:
    r"""The code as a cell of a Python notebook.

    ``connection`` is what SQL is for: a variable, a URL or a file; ``frames`` for the live frames, which DuckDB finds
    by their names.

    Example:
        >>> as_cell("SELECT 1", "sql", "con")
        '%%sql con\nSELECT 1'
        >>> print(as_cell("SELECT * FROM flights", "sql", "frames"))
        import duckdb
        <BLANKLINE>
        duckdb.sql('''
        SELECT * FROM flights
        ''').df()
    """
    if language == "r":
        return f"%%R\n{code}"
    if language != "sql":
        return code
    if connection == FRAMES:
        text = code.replace("\\", "\\\\").replace("'''", "\\'\\'\\'")
        return f"import duckdb\n\nduckdb.sql('''\n{text}\n''').df()"
    return f"%%sql {_named(connection)}".rstrip() + f"\n{code}"


# A connection as JupySQL takes it; one with a password in it is not written down.
def _named(connection: str) -> str:
    if "://" in connection:
        return "" if "@" in connection else connection
    scheme = next((scheme for end, scheme in _FILES.items() if connection.endswith(end)), "")
    return f"{scheme}:///{connection}" if scheme else connection


def with_extensions(cells: Iterable[Cell], known: Callable[[str], bool]) -> list[Cell]:
    """Cells, with one before them that loads what their magics need where the shell does not know them."""
    cells = list(cells)
    used = {cell["source"].split(maxsplit=1)[0] for cell in cells if cell["kind"] == "code" and cell["source"].strip()}
    missing = [f"%load_ext {name}" for magic, name in _EXTENSIONS.items() if magic in used and not known(magic)]
    return [*([_code("\n".join(missing))] if missing else []), *cells]


def cells(thread: Thread, connection: str = "") -> list[Cell]:
    """A conversation as cells: words as Markdown, code as code; ``connection`` is for SQL that names none."""
    return [cell for pair in thread.pairs for cell in _cells(pair, connection)]


def _cells(pair: MessagePair, connection: str) -> list[Cell]:
    made = [_markdown("\n".join(f"> {line}".rstrip() for line in pair.question.splitlines()))]
    if pair.result:
        connection = str(pair.result.get("connection") or connection)
        made.append(_code(as_cell(str(pair.result["sql"]), "sql", connection)))
    rest = pair.answer
    for block in blocks_of(pair.answer):
        if block.language not in _RUNNABLE or block.code not in rest:
            continue
        before, _, rest = rest.partition(block.code)
        made += [_markdown(_without_fence(before)), _code(as_cell(block.code, block.language, connection))]
        rest = re.sub(r"^\n?[ \t]*(`{3,}|~{3,})[ \t]*(\n|\Z)", "", rest)
    made.append(_markdown(rest))
    return [cell for cell in made if cell["source"].strip()]


def _code(source: str) -> Cell:
    return {"kind": "code", "source": source}


def _markdown(source: str) -> Cell:
    return {"kind": "markdown", "source": safe_markdown(source)}


def _without_fence(text: str) -> str:
    return re.sub(r"[ \t]*(`{3,}|~{3,})[^\n`]*\n[ \t]*\Z", "", text)
