"""The columns of an expression's result, where they are certain."""

# A result may be given more names than it has, such as the keys of groups, which pandas keeps in the index: that only
# means that less is claimed.

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

POLARS = frozenset({"pl", "polars"})  # what polars is called
# Functions of polars that stand for `pl.col(…)` and a method.
AGGREGATES = frozenset("col sum mean max min median std var first last n_unique cum_sum approx_n_unique".split())

Columns = frozenset[str] | None  # the columns of what an expression gives; None when that is not known


# Methods that give a frame of the same columns.
_SAME = frozenset(
    """
    head tail copy sample sort_values sort_index query dropna drop_duplicates fillna ffill bfill limit sort filter slice
    lazy collect clone unique nlargest nsmallest reverse gather_every fill_null fill_nan drop_nulls drop_nans round clip
    convert_dtypes infer_objects astype cast where mask explode truncate top_k bottom_k rechunk shift set_index
    """.split()
)
# What groups of pandas give one row each for, in columns of the same names.
_PER_GROUP = frozenset(
    "sum mean max min median std var count first last head tail nth nunique prod sem any all".split()
)
_INDEX = frozenset({"index", "level_0", "level_1", "level_2"})


# Small questions about syntax trees.
_OWN_NAMES = frozenset({"name", "struct", "unnest", "exclude", "prefix", "suffix"})


def root(node: ast.AST | None) -> str:
    """The name at the start of a chain: ``df`` of ``df.head()["a"]``; empty where there is none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def texts(node: ast.AST | None) -> list[str] | None:
    """A text, or the texts of a list; None where something else stands there."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else None
    if isinstance(node, ast.List | ast.Tuple):
        found = [part.value for part in node.elts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        return found if len(found) == len(node.elts) else None
    return None


def names_in(nodes: Iterable[ast.AST | None]) -> list[str] | None:
    """All texts of some nodes; None where one of them is something else."""
    found = [texts(node) for node in nodes]
    return None if any(each is None for each in found) else [text for each in found for text in each or ()]


def word(call: ast.Call, *names: str) -> ast.expr | None:
    """What a call gives for a keyword of one of these names."""
    return next((each.value for each in call.keywords if each.arg in names), None)


def pairs(node: ast.AST | None) -> dict[str, str] | None:
    """A dictionary of texts by texts; None where it is something else."""
    if not isinstance(node, ast.Dict):
        return None
    if not all(isinstance(part, ast.Constant) for part in (*node.keys, *node.values)):
        return None
    keys, values = names_in(node.keys), names_in(node.values)
    return None if keys is None or values is None else dict(zip(keys, values, strict=True))


def method(node: ast.AST | None) -> str:
    """The name of the method that a call calls; empty for anything else."""
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""


def holder(node: ast.AST) -> ast.expr | None:
    """What the method of a call is called on."""
    return node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None


def chain(node: ast.expr) -> Iterator[ast.expr]:
    """An expression, what it is called on or taken from, and so on to the start."""
    current: ast.expr | None = node
    while current is not None:
        yield current
        if isinstance(current, ast.Call):
            current = current.func
        else:
            current = current.value if isinstance(current, ast.Attribute | ast.Subscript) else None


def is_column(func: ast.AST) -> bool:
    """Whether a function of polars names columns: ``pl.col``, ``pl.sum``, ``col``."""
    if isinstance(func, ast.Attribute):
        return func.attr in AGGREGATES and isinstance(func.value, ast.Name) and func.value.id in POLARS
    return isinstance(func, ast.Name) and func.id == "col"


class Derived(NamedTuple):
    """What is known of an expression: the columns of the frame that it gives, or of the one whose groups it gives."""

    columns: Columns
    grouped: Columns
    in_polars: bool  # whether it starts with a frame of polars


@dataclass
class KnownFrames:
    """The frames that names hold, and what expressions give of them."""

    held: dict[str, Columns]
    polars: set[str] = field(default_factory=set)  # names that hold something of polars

    def is_polars(self, node: ast.expr | None) -> bool:
        """Whether an expression starts with a frame of polars."""
        return root(node) in self.polars

    def columns(self, node: ast.expr | None) -> Columns:
        """The columns of the frame that an expression gives; None when it gives none, or it is not certain."""
        if isinstance(node, ast.Name):
            return self.held.get(node.id)
        if isinstance(node, ast.Subscript):
            return self._part(node)
        return _given(node, self) if isinstance(node, ast.Call) else None

    # `df[["a", "b"]]` has these, `df[mask]` and `df[1:3]` have all; `df["a"]` is no frame.
    def _part(self, node: ast.Subscript) -> Columns:
        if isinstance(node.value, ast.Attribute) and node.value.attr in {"loc", "iloc"}:
            if isinstance(node.slice, ast.Tuple | ast.Constant | ast.Name):
                return None  # columns, or one row
            return self.columns(node.value.value)
        known = self.columns(node.value)
        if known is None or isinstance(node.slice, ast.Constant | ast.Name | ast.Tuple):
            return None
        if isinstance(node.slice, ast.List):
            return None if (names := texts(node.slice)) is None else frozenset(names)
        return known if isinstance(node.slice, ast.Compare | ast.BinOp | ast.UnaryOp | ast.Slice | ast.Call) else None

    def grouped(self, node: ast.expr) -> Columns:
        """The columns of the frame that was grouped: ``df.groupby("a")``."""
        grouping = groups(node) if isinstance(node, ast.Call) else None
        return self.columns(holder(grouping)) if grouping is not None else None

    def look(self, node: ast.expr) -> Derived:
        """All that is known of an expression."""
        return Derived(self.columns(node), self.grouped(node), self.is_polars(node))

    def forget(self, name: str) -> None:
        """The columns of this frame are not certain any more."""
        if name in self.held:
            self.held[name] = None


# What methods give.


def _given(call: ast.Call, known_by: KnownFrames) -> Columns:
    if method(call) == "merge" and root(call) in {"pd", "pandas"}:
        return _joined(call, call.args[0] if call.args else word(call, "left"), known_by, right=1)
    of_counts = _counted(call, known_by) if known_by.is_polars(call) else None
    if found := of_counts or _of_groups(call, known_by) or _of_counts(call, known_by):
        return found
    name, known = method(call), known_by.columns(holder(call))
    if known is None:
        return None
    if name in _SAME:
        return None if name == "filter" and call.args and isinstance(call.args[0], ast.List) else known
    return make(call, known, known_by) if (make := _MADE.get(name)) else None


# `assign(a=…)` and `with_columns(….alias("a"))`; None where a name cannot be read.
def _widened(call: ast.Call, known: frozenset[str], _: KnownFrames) -> Columns:
    names = {each.arg for each in call.keywords}
    parts = [part for part in ast.walk(call) if part is not call.func]
    if None in names or any(isinstance(part, ast.Attribute) and part.attr in _OWN_NAMES for part in parts):
        return None
    aliases = [texts(part.args[0]) for part in parts if isinstance(part, ast.Call) and _is_alias(part)]
    return known | {name for name in names if name} | {text for each in aliases for text in each or ()}


def _is_alias(call: ast.Call) -> bool:
    return method(call) == "alias" and bool(call.args)


def _renamed(call: ast.Call, known: frozenset[str], known_by: KnownFrames) -> Columns:
    by_place = known_by.is_polars(call) or word(call, "axis") is not None
    new = pairs(word(call, "columns") or (call.args[0] if by_place and call.args else None))
    return None if new is None else (known - new.keys()) | set(new.values())


def _dropped(call: ast.Call, known: frozenset[str], known_by: KnownFrames) -> Columns:
    by_place = known_by.is_polars(call) or word(call, "axis") is not None
    if not by_place and word(call, "columns") is None:
        return known  # rows
    gone = names_in([each for each in (word(call, "columns"), *(call.args if by_place else ())) if each is not None])
    return None if gone is None else known - set(gone)


# `melt` and `unpivot`.
def _longer(call: ast.Call, _: frozenset[str], __: KnownFrames) -> Columns:
    kept = names_in(each for each in [word(call, "id_vars", "index")] if each is not None)
    new = [word(call, "var_name", "variable_name"), word(call, "value_name")]
    if kept is None or len(call.args) > 1 or (call.args and method(call) == "melt"):
        return None
    written = [
        texts(node) if node is not None else [usual] for node, usual in zip(new, ["variable", "value"], strict=True)
    ]
    return _union([frozenset(kept), *(None if each is None else frozenset(each) for each in written)])


# `reset_index` brings the index, `with_row_index` a number of each row.
def _numbered(call: ast.Call, known: frozenset[str], _: KnownFrames) -> Columns:
    if call.args and method(call) == "with_row_index":
        return _union([known, *map(_named, call.args[:1])])
    if isinstance(drop := word(call, "drop"), ast.Constant) and drop.value is True:
        return known
    return None if word(call, "names", "level", "name") is not None or call.args else known | _INDEX


_MADE: dict[str, Callable[[ast.Call, frozenset[str], KnownFrames], Columns]] = {
    "assign": _widened,
    "with_columns": _widened,
    "rename": _renamed,
    "drop": _dropped,
    "select": lambda call, _, __: _of_expressions(call),
    "melt": _longer,
    "unpivot": _longer,
    "reset_index": _numbered,
    "with_row_index": _numbered,
    "merge": lambda call, _, known_by: _joined(call, holder(call), known_by, right=0),
    "join": lambda call, _, known_by: _joined(call, holder(call), known_by, right=0),
}


def other_of(call: ast.Call, right: int) -> ast.expr | None:
    """The frame on the right of a join."""
    return call.args[right] if len(call.args) > right else word(call, "right", "other")


# The columns of both sides, also with what is put behind names that both have.
def _joined(call: ast.Call, left: ast.expr | None, known_by: KnownFrames, right: int) -> Columns:
    both = [known_by.columns(left), known_by.columns(other_of(call, right))]
    marks = ["_x", "_y", "_right"]
    for node in (word(call, "suffixes"), word(call, "suffix"), word(call, "lsuffix"), word(call, "rsuffix")):
        written = texts(node) if node is not None else []
        if written is None:
            return None
        marks += written
    if both[0] is None or both[1] is None:
        return None
    twice = both[0] & both[1]
    indicators = texts(word(call, "indicator")) or ["_merge"]
    return both[0] | both[1] | {f"{name}{mark}" for name in twice for mark in marks} | set(indicators)


# Groups and counts


def groups(node: ast.expr | None) -> ast.Call | None:
    """The call that grouped: ``df.groupby("a")``, also with columns chosen from it; None where nothing is grouped."""
    if isinstance(node, ast.Subscript):
        node = node.value
    return node if isinstance(node, ast.Call) and method(node) in {"groupby", "group_by"} else None


# The columns of `df.groupby("a").agg(…)` and of `df.groupby("a")["b"].sum().reset_index()`.
def _of_groups(call: ast.Call, known_by: KnownFrames) -> Columns:
    reset = method(call) == "reset_index"
    inner = holder(call) if reset else call
    on = holder(inner) if isinstance(inner, ast.Call) else None
    if (grouping := groups(on)) is None or not isinstance(inner, ast.Call):
        return None
    known = known_by.columns(holder(grouping))
    keys = _keys(grouping)
    if known is None or keys is None:
        return None
    chosen = texts(on.slice) if isinstance(on, ast.Subscript) else None
    if isinstance(on, ast.Subscript) and chosen is None:
        return None
    is_series = isinstance(on, ast.Subscript) and isinstance(on.slice, ast.Constant)
    keeps_keys = word(grouping, "as_index")
    if is_series and not reset and not (isinstance(keeps_keys, ast.Constant) and keeps_keys.value is False):
        return None
    own = _per_group(inner, known, chosen)
    name = word(call, "name") if reset else None
    written = frozenset(texts(name) or ()) if name is not None else frozenset[str]()
    return _union([own, keys, written, _INDEX if reset else frozenset()])


def _per_group(call: ast.Call, known: frozenset[str], chosen: list[str] | None) -> Columns:
    if (name := method(call)) in {"agg", "aggregate"}:
        return _aggregated(call, chosen)
    if name in {"size", "len", "count"} and (name != "count" or chosen is None):
        written = names_in([*call.args[:1], *(each.value for each in call.keywords if each.arg == "name")])
        counts = None if written is None else frozenset(written or {"size", "len", "count"})
        return counts if counts is None or name != "count" else known | counts
    if name in _PER_GROUP:
        return known if chosen is None else frozenset(chosen)
    return None


# Named aggregates, a list of functions for one column, or one function for each of some columns.
def _aggregated(call: ast.Call, chosen: list[str] | None) -> Columns:
    first = call.args[0] if len(call.args) == 1 else None
    if isinstance(first, ast.Dict):
        return None if (written := pairs(first)) is None else frozenset(written)
    if chosen is not None and first is not None:
        made = texts(first)
        single = isinstance(first, ast.Constant)
        return None if made is None or (len(chosen) > 1 and not single) else frozenset(chosen if single else made)
    return _of_expressions(call)


# `select(pl.col("a"), b=…)` and `agg(…)`.
def _of_expressions(call: ast.Call) -> Columns:
    return _union([*map(_outputs, call.args), *(_one(each.arg) for each in call.keywords)])


def _keys(grouping: ast.Call) -> Columns:
    given_keys = [*grouping.args, *(each.value for each in grouping.keywords if each.arg == "by")]
    if method(grouping) == "groupby":
        return None if not (found := names_in(given_keys[:1])) else frozenset(found)
    named = [_one(each.arg) for each in grouping.keywords if each.arg not in {"by", "maintain_order"}]
    return _union([*map(_outputs, given_keys), *named])


# `df["a"].value_counts().reset_index()`.
def _of_counts(call: ast.Call, known_by: KnownFrames) -> Columns:
    inner = holder(call)
    if method(call) != "reset_index" or not isinstance(inner, ast.Call):
        return None
    counted, name = _counted(inner, known_by), word(call, "name")
    written = [] if name is None else texts(name)
    return None if counted is None or written is None else counted | set(written)


# `df["a"].value_counts()` as a frame, which it is in polars.
def _counted(call: ast.Call, known_by: KnownFrames) -> Columns:
    column = holder(call)
    if method(call) != "value_counts" or not isinstance(column, ast.Subscript | ast.Attribute):
        return None
    name, written = word(call, "name"), [column.attr] if isinstance(column, ast.Attribute) else texts(column.slice)
    new = [] if name is None else texts(name)
    if written is None or new is None or known_by.columns(column.value) is None:
        return None
    return frozenset({*written, *new, "index", "count", "proportion"})


# Expressions of polars


# The names of what an expression gives in `select` or `agg`.
def _outputs(node: ast.expr) -> Columns:
    if isinstance(node, ast.List | ast.Tuple):
        return _union([_outputs(part) for part in node.elts])
    if isinstance(node, ast.Constant):
        return _named(node)
    if isinstance(node, ast.BinOp | ast.Compare):
        return _outputs(node.left)
    return _of_chain(node) if isinstance(node, ast.Call) else None


# The last alias of a chain, or what it starts with: `pl.col("a")`, `pl.len()`, `(a + b)`.
def _of_chain(node: ast.Call) -> Columns:
    for part in chain(node):
        if isinstance(part, ast.Attribute) and part.attr in _OWN_NAMES:
            return None
        if isinstance(part, ast.BinOp | ast.Compare):
            return _outputs(part)
        if isinstance(part, ast.Call) and (_is_alias(part) or is_column(part.func)):
            return _union(list(map(_named, part.args)))
    return frozenset({"len"}) if method(node) == "len" and root(node) in POLARS and not node.args else None


# Names that are written as texts; a pattern or a star stands for others.
def _named(node: ast.expr) -> Columns:
    found = texts(node)
    return None if found is None or any(text[:1] in {"^", "*"} for text in found) else frozenset(found)


def _one(name: str | None) -> Columns:
    return None if name is None else frozenset({name})


def _union(parts: Iterable[Columns]) -> Columns:
    known = list(parts)
    return None if None in known else frozenset[str]().union(*filter(None, known))
