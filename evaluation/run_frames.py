"""Run the code in code.py beside the frames of a folder, and write its value as rows: ``run_frames.py KIND FOLDER``.

A program of its own, as the code is a model's. It writes result.json into the working folder.
"""

from __future__ import annotations

import ast
import json
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

_MOST_BYTES = 4 * 2**30  # of address space: what a join of all with all would take


def namespace(kind: str, folder: Path) -> dict[str, Any]:
    """The library under its usual name, and the folder's frames by the names of their files.

    Args:
        kind: pandas or polars.
        folder: Holds ``NAME.csv`` for each frame.
    """
    files = sorted(folder.glob("*.csv"))
    if kind == "polars":
        import polars as pl

        return {"pl": pl, **{file.stem: pl.read_csv(file, infer_schema_length=None) for file in files}}
    import numpy as np
    import pandas as pd

    return {"pd": pd, "np": np, **{file.stem: pd.read_csv(file) for file in files}}


def value(code: str, names: dict[str, Any]) -> Any:
    r"""The value of the last line: of an expression, of what it prints, or of the variable it sets.

    Args:
        code: Python code.
        names: Its variables, which it may change.

    Raises:
        ValueError: The last statement has no value.

    Example:
        >>> value("x = 2\nprint('Twice:', 2 * x)", {})
        4
    """
    tree = ast.parse(code)
    last = tree.body[-1] if tree.body else None
    match last:
        case ast.Expr():
            tree.body.pop()
            wanted = _shown(last.value)
        case ast.Assign(targets=[target, *_]) | ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            wanted = ast.parse(ast.unparse(target), mode="eval").body
        case _:
            raise ValueError("the last line has no value")
    exec(compile(tree, "code.py", "exec"), names)
    return eval(compile(ast.Expression(wanted), "code.py", "eval"), names)


def _shown(node: ast.expr) -> ast.expr:
    """An expression without ``print`` and the words around its values."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "display"}):
        return node
    values = [
        part.value if isinstance(part, ast.FormattedValue) else part
        for given in node.args
        for part in (given.values if isinstance(given, ast.JoinedStr) else [given])
        if not isinstance(part, ast.Constant)
    ]
    several = ast.copy_location(ast.Tuple(values, ast.Load()), node)
    return values[0] if len(values) == 1 else several


def rows(found: Any) -> list[list[Any]]:
    """A value as rows: a frame's, a column's or list's values one a row, a single value alone.

    Example:
        >>> rows({"Elstar": 2, "Gala": None}), rows(3)
        ([['Elstar', 2], ['Gala', None]], [[3]])
    """
    return [[_plain(cell) for cell in row] for row in _rows(found)]


def _rows(found: Any) -> list[Any]:
    library, name = type(found).__module__.partition(".")[0], type(found).__name__
    if library == "polars":
        found = found.collect() if name == "LazyFrame" else found
        return list(found.rows()) if hasattr(found, "rows") else [(cell,) for cell in found]
    if library == "pandas" and hasattr(found, "to_frame") and name == "Series":
        found, name = found.to_frame(), "DataFrame"
    if library == "pandas" and name == "DataFrame":
        # A named index is a key, as groupby gives it; one without a name counts rows.
        index = [found.index.get_level_values(at) for at, level in enumerate(found.index.names) if level is not None]
        return list(zip(*index, *(found.iloc[:, at] for at in range(found.shape[1])), strict=True))
    if isinstance(found, dict):
        return list(found.items())
    return [_row(one) for one in found] if _is_many(found) else [(found,)]


def _is_many(found: Any) -> bool:
    return isinstance(found, list | tuple | set | frozenset) or type(found).__name__.endswith(
        ("array", "Array", "Index")
    )


def _row(one: Any) -> tuple[Any, ...]:
    if isinstance(one, dict):
        return tuple(one.values())
    return tuple(one) if _is_many(one) else (one,)


def _plain(cell: Any) -> Any:
    cell = cell.item() if hasattr(cell, "item") else cell  # numpy's
    if cell is None or (cell != cell) is True or str(cell) in {"NaT", "<NA>", "nan"}:  # noqa: PLR0124 - NaN is not itself
        return None
    if isinstance(cell, timedelta):
        return cell / timedelta(days=1)
    if isinstance(cell, datetime) and (cell.hour, cell.minute, cell.second) == (0, 0, 0):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    return cell if isinstance(cell, bool | int | float | str) else str(cell)


def main() -> None:
    """Run code.py of the working folder."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    kind, folder = sys.argv[1:]
    found = value(Path("code.py").read_text(encoding="utf-8"), namespace(kind, Path(folder)))
    Path("result.json").write_text(json.dumps(rows(found)), encoding="utf-8")


if __name__ == "__main__":
    main()
