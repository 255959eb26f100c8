"""Outputs as plain values for a view: SQL results, code that the user runs, formulas and coloured code.

Code runs on the main thread, as a cell does: Python in the user's namespace, R in the R session, SQL through the guard
on the connection it was written for. Formulas and colours come from the kernel, as a browser would need heavy libraries
for them; a view shows the text as it was written until it has them.
"""

from __future__ import annotations

from base64 import b64encode
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from rsql_magic.display import table_html, tables
from rsql_magic.errors import BadInput, RsqlError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping

    import pandas as pd

    from rsql_magic.assistant import Assistant
    from rsql_magic.text2sql import SQLResult

Output = dict[str, Any]  # one output: `{"kind": "text" | "error" | "table" | "image" | "html", …}`

_LONGEST = 20_000  # characters of a printed text that a view gets
_LONGEST_FORMULA = 4_000  # characters; a longer one is shown as it was written
_LONGEST_CODE = 60_000  # characters; a longer piece stays without colours


def sql_result(result: SQLResult, variable: str, connection: str = "") -> dict[str, Any]:
    """A SQL answer as values: its query, first rows as text, the variable that holds them, whether it has a chart."""
    table = {"columns": [], "rows": []} if result.df is None else _table(result)
    return {
        "sql": result.sql,
        "count": result.count,
        "variable": variable,
        "connection": connection,
        "drafts": [{"why": title, "mended": bool(attempt.mended)} for title, attempt in result.rounds()],
        "chart": result.drawing is not None,
        **table,
    }


def _table(result: SQLResult) -> dict[str, Any]:
    frame = result.frame
    part = frame.iloc[: result.shown_rows, : result.shown_columns]
    columns = [
        {"name": str(name), "right": right} for name, right in zip(part.columns, tables.on_the_right(part), strict=True)
    ]
    rows = [["NULL" if text is None else text for text in row] for row in tables.texts_by_row(part)]
    return {"columns": columns, "rows": rows, "more": max(0, len(frame) - len(part))}


def kept(frame: pd.DataFrame, namespace: MutableMapping[str, Any]) -> str:
    """Keep a frame under the next free name: ``sql_1``, ``sql_2``, …. Nothing of the user's is overwritten."""
    name = next(name for name in map("sql_{}".format, count(1)) if name not in namespace)
    namespace[name] = frame
    return name


def run(code: str, language: str, *, shell: Any, assistant: Assistant, connection: str = "") -> list[Output]:
    """Run code on the main thread: what it printed and showed, an error last; code without a language counts as Python.

    ``connection`` is the one that SQL was written for; empty for the one in use.
    """
    ways: Mapping[str, Callable[[], list[Output]]] = {
        "python": lambda: _python(code, shell),
        "": lambda: _python(code, shell),
        "r": lambda: _r(code),
        "sql": lambda: _sql(code, connection, shell, assistant),
    }
    if language not in ways:
        raise BadInput(f"Code in {language} cannot be run here.", hint="Copy it, or insert it as a cell.")
    try:
        return ways[language]()
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
    return [{"kind": "html", "html": html}, {"kind": "text", "text": rows.count}]


@lru_cache(maxsize=512)
def mathml(tex: str, *, block: bool = False) -> str:
    r"""A formula, without its dollars, as MathML; empty for one that cannot be read, which is shown as it was written.

    Example:
        >>> mathml("x")
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>x</mi></mrow></math>'
    """
    from latex2mathml.converter import convert

    if len(tex) > _LONGEST_FORMULA:
        return ""
    try:
        return str(convert(tex, display="block" if block else "inline"))
    except Exception:  # noqa: BLE001 - its errors have no common class, and a model writes anything
        return ""


def coloured(code: str, language: str) -> list[tuple[str, str]]:
    """Code as pieces, each with its kind in Pygments' short form: ``k`` keyword, ``s`` string, ``c`` comment, ….

    A language that Pygments does not know has one piece.

    Example:
        >>> coloured("x = 1", "python")
        [('n', 'x'), ('', ' '), ('o', '='), ('', ' '), ('mi', '1')]
    """
    from pygments.lexers import get_lexer_by_name
    from pygments.token import STANDARD_TYPES
    from pygments.util import ClassNotFound

    if len(code) > _LONGEST_CODE:
        return [("", code)]
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return [("", code)]
    return [
        ("" if (kind := STANDARD_TYPES.get(token, "")) == "w" else kind, text) for token, text in lexer.get_tokens(code)
    ]
