"""Which columns a call names."""

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import ast
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from rsql_magic.ask.columns_used.trees import POLARS, method, pairs, root, texts, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Methods that take columns, by the names of those parameters; "0" is the first positional one, "*" all of them.
TAKES: dict[str, tuple[str, ...]] = {
    "groupby": ("0", "by"),
    "group_by": ("*", "by"),
    "group_by_dynamic": ("0", "index_column"),
    "rolling": ("on", "index_column"),
    "resample": ("on",),
    "sort_values": ("0", "by"),
    "sort": ("*", "by"),
    "set_index": ("0", "keys"),
    "drop": ("columns",),
    "drop_duplicates": ("0", "subset"),
    "dropna": ("subset",),
    "drop_nulls": ("0", "subset"),
    "unique": ("0", "subset"),
    "nlargest": ("1", "columns"),
    "nsmallest": ("1", "columns"),
    "top_k": ("by",),
    "bottom_k": ("by",),
    "explode": ("0", "column", "columns"),
    "pivot": ("on", "index", "columns", "values"),
    "pivot_table": ("values", "index", "columns"),
    "melt": ("id_vars", "value_vars"),
    "unpivot": ("0", "on", "index"),
    "select": ("*",),
    "plot": ("x", "y"),
    "partition_by": ("*",),
    "get_column": ("0",),
    "merge": ("on", "left_on"),
    "join": ("on", "left_on"),
    "value_counts": ("0", "subset"),
    "describe": (),
}
PLOTS = frozenset("bar barh line scatter area hist box kde pie hexbin density".split())
CHARTS = frozenset("sns seaborn px plt express".split())
_AESTHETICS = ("x", "y", "hue", "color", "col", "row", "size", "style", "facet_col", "facet_row", "symbol", "names")
_IN_FORMULA = re.compile(r"(?<![\w.])([A-Za-z_]\w*)(?![\w.]*\(|\.)")
# Functions of polars that stand for `pl.col(…)` and a method.
AGGREGATES = frozenset("col sum mean max min median std var first last n_unique cum_sum approx_n_unique".split())
_FILTERS = frozenset("items like regex axis".split())


def of_frame(call: ast.Call, known: frozenset[str], *, in_polars: bool) -> Iterator[str]:
    """The columns that a method asks of the frame it is called on."""
    name = method(call)
    yield from _at(call, TAKES.get(name, ()))
    yield from in_expressions([*call.args, *(each.value for each in call.keywords)])
    if name == "query" and call.args:
        yield from _in_query(call.args[0], known)
    if name == "filter" and in_polars:
        yield from (each.arg for each in call.keywords if each.arg and each.arg not in _FILTERS)
    if name in {"drop", "rename"}:
        yield from _dropped(call, in_polars=in_polars)
    if name == "astype" and call.args and isinstance(call.args[0], ast.Dict):
        yield from (text for key in call.args[0].keys for text in texts(key) or ())
    yield from (text for part in call.args if method(part) == "Grouper" for text in texts(_word_of(part, "key")) or ())


def of_groups(call: ast.Call) -> Iterator[str]:
    """``agg({"a": "mean"})``, ``agg(total=("a", "sum"))`` and ``agg(pl.col("a").sum())``."""
    keys = [key for arg in call.args if isinstance(arg, ast.Dict) for key in arg.keys if key]
    values = [each.value for each in call.keywords]
    named = [value.elts[0] for value in values if isinstance(value, ast.Tuple) and len(value.elts) == 2]
    yield from (text for value in [*keys, *named] for text in texts(value) or ())
    yield from in_expressions([*call.args, *values])


def of_other(call: ast.Call) -> list[str]:
    """The columns that a join asks of the frame on the right."""
    found = texts(word(call, "right_on")) or texts(word(call, "on"))
    return found or []


def of_chart(call: ast.Call) -> list[str]:
    """``px.bar(df, x="a")``."""
    return _at(call, _AESTHETICS)


def of_plot(call: ast.Call) -> list[str]:
    """``df.plot.bar(x="a")``."""
    return _at(call, ("x", "y"))


def in_formula(call: ast.Call) -> list[str]:
    """``smf.ols("y ~ x", data=df)``."""
    formula = word(call, "formula") or (call.args[0] if call.args else None)
    said = texts(formula) if isinstance(formula, ast.Constant) else None
    if not said or "~" not in said[0]:
        return []
    bare = re.sub(r"Q\((['\"]).*?\1\)|(['\"]).*?\2", "", said[0])
    return [name for name in _IN_FORMULA.findall(bare) if name not in {"C", "I", "np"}]


def in_expressions(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """``pl.col("a")``, ``pl.sum("a")``, ``pl.col.a`` and ``….over("a")``; not inside a call on another frame."""
    for node in nodes:
        if isinstance(node, ast.Lambda) or (isinstance(node, ast.Call) and root(node.func) not in {*POLARS, "col", ""}):
            continue
        if isinstance(node, ast.Call) and is_column(node.func):
            yield from (text for arg in node.args for text in texts(arg) or () if text[:1] not in {"^", "*"})
        elif method(node) in {"over", "sort_by"} and root(node) in {*POLARS, "col"}:
            yield from (text for arg in node.args for text in texts(arg) or ())  # type: ignore[attr-defined]
        elif isinstance(node, ast.Attribute) and is_column(node.value) and ast.unparse(node.value).endswith("col"):
            yield node.attr
        yield from in_expressions(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))


def is_column(func: ast.AST) -> bool:
    """Whether a function of polars names columns: ``pl.col``, ``pl.sum``, ``col``."""
    if isinstance(func, ast.Attribute):
        return func.attr in AGGREGATES and isinstance(func.value, ast.Name) and func.value.id in POLARS
    return isinstance(func, ast.Name) and func.id == "col"


def _word_of(node: ast.AST, name: str) -> ast.expr | None:
    return word(node, name) if isinstance(node, ast.Call) else None


def _at(call: ast.Call, where: tuple[str, ...]) -> list[str]:
    """The texts at these places of a call."""
    given = [each.value for each in call.keywords if each.arg in where]
    given += [arg for place, arg in enumerate(call.args) if "*" in where or str(place) in where]
    # A pattern of polars (^…$) and a star are no names.
    return [text for value in given for text in texts(value) or () if not text.startswith("^") and text != "*"]


def _dropped(call: ast.Call, *, in_polars: bool) -> list[str]:
    """What is dropped or renamed by place: columns in polars and where an axis says so; else perhaps rows."""
    axis = word(call, "axis")
    first = call.args[0] if call.args else None
    found = list(pairs(first) or ()) if method(call) == "rename" else (texts(first) or [])
    if in_polars or (isinstance(axis, ast.Constant) and axis.value in {1, "columns"}):
        return found
    return []


def _in_query(node: ast.expr, known: frozenset[str]) -> list[str]:
    """Names in the text of ``df.query``; only slips are told, because an index has a name too."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return []
    try:
        tree = ast.parse(re.sub(r"@\w+|`[^`]*`", "0", node.value), mode="eval")
    except SyntaxError:
        return []
    called = {part.func.id for part in ast.walk(tree) if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)}
    names = [part.id for part in ast.walk(tree) if isinstance(part, ast.Name) and part.id not in called]
    return [name for name in names if name not in known and get_close_matches(name, known, 1, 0.75)]
