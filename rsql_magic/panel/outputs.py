"""Outputs as plain values for a view: SQL results, code that the user runs, formulas, coloured code, and cells."""

# Formulas and colours come from the kernel, as a browser would need heavy libraries for them; a view shows the text as
# it was written until it has them.

from __future__ import annotations

import json
import re
from base64 import b64encode
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from rsql_magic.databases import FRAMES
from rsql_magic.diagnostics import log
from rsql_magic.display import on_the_right, safe_markdown, table_html, texts_by_row
from rsql_magic.errors import BadInput, RsqlError, Stopped
from rsql_magic.gateway import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping

    import pandas as pd

    from rsql_magic.assistant import Assistant
    from rsql_magic.panel.threads import MessagePair, Thread
    from rsql_magic.text2sql import SQLResult

Output = dict[str, Any]  # one output: `{"kind": "text" | "error" | "table" | "image" | "html", …}`

_LONGEST = 20_000  # characters of a printed text that a view gets
_LONGEST_FORMULA = 4_000  # characters; a longer one is shown as it was written
_LONGEST_CODE = 60_000  # characters; a longer piece stays without colours
Cell = dict[str, str]  # `{"kind": "markdown" | "code", "source": …}`

_RUNNABLE = {"python", "r", "sql"}
_EXTENSIONS = {"%%R": "rpy2.ipython", "%%sql": "sql"}  # who brings a cell magic: rpy2 and JupySQL
_FILES = {".duckdb": "duckdb", ".ddb": "duckdb", ".db": "sqlite", ".sqlite": "sqlite", ".sqlite3": "sqlite"}


def sql_result(result: SQLResult, variable: str, connection: str = "") -> dict[str, Any]:
    """A SQL answer as values: its query, first rows as text, the variable that holds them, whether it has a chart."""
    table: dict[str, Any] = {"columns": [], "rows": []}
    if result.df is not None:
        part = result.frame.iloc[: result.shown_rows, : result.shown_columns]
        sides = zip(part.columns, on_the_right(part), strict=True)
        table["columns"] = [{"name": str(name), "right": right} for name, right in sides]
        table["rows"] = [["NULL" if text is None else text for text in row] for row in texts_by_row(part)]
        table["more"] = max(0, len(result.frame) - len(part))
    return {
        "sql": result.sql,
        "count": result.count,
        "variable": variable,
        "connection": connection,
        "drafts": [{"why": title, "mended": bool(attempt.mended)} for title, attempt in result.rounds()],
        "chart": result.drawing is not None,
        **table,
    }


def kept(frame: pd.DataFrame, namespace: MutableMapping[str, Any]) -> str:
    """Keep a frame under the next free name: ``sql_1``, ``sql_2``, …. Nothing of the user's is overwritten."""
    name = next(name for name in map("sql_{}".format, count(1)) if name not in namespace)
    namespace[name] = frame
    return name


def refuse_other_languages(language: str) -> None:
    """Refuse code that is none of those that are run here.

    Raises:
        BadInput: It is in another language.
    """
    if language not in {"", *_RUNNABLE}:
        raise BadInput(f"Code in {language} cannot be run here.", hint="Copy it, or insert it as a cell.")


def run(code: str, language: str, *, shell: Any, assistant: Assistant, connection: str = "") -> list[Output]:
    """Run code on the main thread: what it printed and showed, an error last; ``connection`` is for SQL."""
    # Code without a language counts as Python, and an empty connection is the one in use.
    refuse_other_languages(language)
    try:
        if language == "sql":
            return _sql(code, connection, shell, assistant)
        return _r(code) if language == "r" else _python(code, shell)
    except (KeyboardInterrupt, Stopped):
        return [{"kind": "error", "text": "Stopped."}]
    except RsqlError as error:
        return [{"kind": "error", "text": str(error)}]


def _python(code: str, shell: Any) -> list[Output]:
    from IPython.utils.capture import capture_output

    with capture_output() as captured, _results(shell) as results:
        done = shell.run_cell(code, store_history=True)
    printed = [_text("text", captured.stdout), _text("text", captured.stderr)]
    shown = [_shown(output.data) for output in captured.outputs] + [_shown(result["data"]) for result in results]
    error = done.error_before_exec or done.error_in_exec
    if error is not None:
        # IPython has printed the traceback; a panel has room for the last line of it.
        printed = [] if not captured.outputs and printed[0] and "Traceback" in str(printed[0]["text"]) else printed
        shown.append({"kind": "error", "text": f"{type(error).__name__}: {error}"})
    return [each for each in (*printed, *shown) if each]


# The value of the last line, which a shell shows by a hook of its own.
@contextmanager
def _results(shell: Any) -> Iterator[list[dict[str, Any]]]:
    from IPython.core.displayhook import CapturingDisplayHook

    results: list[dict[str, Any]] = []
    trap = shell.display_trap
    before, trap.hook = trap.hook, CapturingDisplayHook(shell, results)  # type: ignore[no-untyped-call]
    try:
        yield results
    finally:
        trap.hook = before


def _text(kind: str, text: str) -> Output | None:
    text = text.rstrip("\n")
    if not text:
        return None
    return {"kind": kind, "text": text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n… ({len(text):,} characters)"}


def _shown(data: Mapping[str, Any]) -> Output | None:
    if "image/png" in data:
        return {"kind": "image", "data": data["image/png"].replace("\n", "")}
    if "text/html" in data:
        return {"kind": "html", "html": data["text/html"][: 10 * _LONGEST]}
    return _text("text", str(data.get("text/plain", "")))


def _r(code: str) -> list[Output]:
    from rsql_magic.context import r

    done = r.run_r(code)
    plots = [{"kind": "image", "data": b64encode(plot).decode("ascii")} for plot in done.plots]
    warnings = [_text("text", f"Warning: {text}") for text in done.warnings]
    error = [_text("error", f"R stopped: {done.error.strip()}")] if done.error else []
    return [each for each in (_text("text", done.output), *warnings, *plots, *error) if each]


def _sql(code: str, connection: str, shell: Any, assistant: Assistant) -> list[Output]:
    settings = assistant.settings
    with assistant.connections.undecided():  # running a block does not change the connection in use
        engine, _ = assistant.connections.engine(connection, shell.user_ns)
    rows = engine.run(code, max_rows=settings.max_rows, timeout=settings.query_timeout)
    html = table_html(rows.df, rows=settings.shown_rows, columns=settings.shown_columns)
    return [{"kind": "html", "html": html}, {"kind": "text", "text": " ".join([rows.count, *rows.remarks])}]


@lru_cache(maxsize=512)
def mathml(tex: str, *, block: bool = False) -> str:
    """A formula, without its dollars, as MathML; empty for one that cannot be read, which is shown as written."""
    from latex2mathml.converter import convert

    if len(tex) > _LONGEST_FORMULA:
        return ""
    try:
        return str(convert(tex, display="block" if block else "inline"))
    except Exception:
        log.debug("a formula cannot be drawn", exc_info=True)
        return ""


def coloured(code: str, language: str) -> list[tuple[str, str]]:
    """Code as pieces, each with its kind in Pygments' short form: ``k`` keyword, ``s`` string, ``c`` comment, …."""
    # A language that Pygments does not know has one piece.
    from pygments.lexers import get_lexer_by_name
    from pygments.token import STANDARD_TYPES
    from pygments.util import ClassNotFound

    if len(code) > _LONGEST_CODE:
        return [("", code)]
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return [("", code)]
    kinds = ((STANDARD_TYPES.get(token, ""), text) for token, text in lexer.get_tokens(code))
    return [("" if kind == "w" else kind, text) for kind, text in kinds]


# A conversation outside the panel: as JSON, and as cells of the notebook.


def as_json(values: Mapping[str, Any]) -> str:
    """Plain values as JSON that people can read."""
    return json.dumps(values, indent=1, ensure_ascii=False, default=str)


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
    if "://" in connection:
        named = "" if "@" in connection else connection  # one with a password in it is not written down
    else:
        scheme = next((scheme for end, scheme in _FILES.items() if connection.endswith(end)), "")
        named = f"{scheme}:///{connection}" if scheme else connection
    return f"%%sql {named}".rstrip() + f"\n{code}"


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
        before = re.sub(r"[ \t]*(`{3,}|~{3,})[^\n`]*\n[ \t]*\Z", "", before)  # without the fence that opens at its end
        made += [_markdown(before), _code(as_cell(block.code, block.language, connection))]
        rest = re.sub(r"^\n?[ \t]*(`{3,}|~{3,})[ \t]*(\n|\Z)", "", rest)
    made.append(_markdown(rest))
    return [cell for cell in made if cell["source"].strip()]


def _code(source: str) -> Cell:
    return {"kind": "code", "source": source}


def _markdown(source: str) -> Cell:
    return {"kind": "markdown", "source": safe_markdown(source)}
