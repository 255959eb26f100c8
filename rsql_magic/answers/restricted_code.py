"""Whether Python code may show a restricted column of a frame: it is free only where each use of the frame is followed.

Code is read, never run. What holds restricted values is followed through names, rows and columns that are chosen,
groups and aggregates; counts let it go. A use that is not known, in a loop, a function or a library, is not followed,
and then the code is refused. Frames without restricted columns are of no concern.
"""

# ruff: noqa: C901, PLR0911, SIM905 - rules of an interpreter, a case each; lists of words read better as text

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from rsql_magic.answers.columns_given import holder, method, texts, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind = Literal["rows", "group", "hidden group", "sizes", "values", "truths", "chosen", "lost"]

_ROWS = frozenset(
    """
    head tail sample copy dropna drop_nulls drop_duplicates unique fillna fill_null sort_values sort_index sort
    reset_index query filter limit slice where nlargest nsmallest merge join loc iloc at iat reindex
    """.split()
)
_COUNTS = frozenset("count nunique n_unique null_count size ngroups len".split())
_FIGURES = frozenset("sum mean median std var min max".split())
_OF_POLARS = frozenset("col sum mean median std var min max first last count len n_unique lit".split())
_MISSING = frozenset("isna isnull notna notnull is_null is_not_null".split())
_SHAPE = frozenset("shape columns dtypes dtype size ndim empty name width height schema".split())
_REACHING = frozenset("globals locals vars eval exec getattr get_ipython compile open __import__ dir".split())
_SQL = re.compile(r"\b(?:select|from|summarize|describe|table|pivot)\b", re.IGNORECASE)


@dataclass(frozen=True)
class _RestrictedValue:
    """What an expression holds.

    Rows of a frame, groups of them, such by a restricted column and their sizes, values of such a column, truths about
    them, values that restricted ones chose, or something that is not followed.
    """

    kind: Kind
    restricted: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()  # the columns that may be shown
    chosen: bool = False  # whether restricted values decide which rows these are, or by which groups


_LOST = _RestrictedValue("lost")


class _Tells(Exception):
    """Code that may show restricted values."""


def may_tell(
    codes: Iterable[str],
    frames: Mapping[str, Iterable[str]],
    restricted: Mapping[str, frozenset[str]],
    tables: Iterable[str],
) -> bool:
    """Whether pieces of code, one after the other, may show a restricted column, or cannot be followed.

    Args:
        codes: Python code.
        frames: The frames of the session with their columns.
        restricted: The frames that have restricted columns, with these.
        tables: Names of tables that have restricted columns, in SQL that the code may run.

    Example:
        >>> frames, hidden = {"people": ["name", "city"]}, {"people": frozenset({"name"})}
        >>> codes = "people.groupby('city').size()", "people.name.nunique()", "print(people)", "people.name == 'Bo'"
        >>> [may_tell([code], frames, hidden, ()) for code in codes]
        [False, False, True, True]
    """
    known = {
        name: _RestrictedValue("rows", hidden, frozenset(frames[name]) - hidden) for name, hidden in restricted.items()
    }
    names = frozenset().union(*restricted.values()) if restricted else frozenset()
    reader = _CodeFollower(
        dict(known), {name: frozenset(map(str, columns)) for name, columns in frames.items()}, names, frozenset(tables)
    )
    try:
        for code in codes:
            reader.body(_parsed(code).body)
    except (_Tells, SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return False


def _parsed(code: str) -> ast.Module:
    from IPython.core.inputtransformer2 import TransformerManager

    return ast.parse(TransformerManager().transform_cell(code))  # type: ignore[no-untyped-call]


@dataclass
class _CodeFollower:
    """Reads statements in order; ``held`` are the names that hold something restricted."""

    held: dict[str, _RestrictedValue]
    frames: Mapping[str, frozenset[str]]
    names: frozenset[str]  # of restricted columns
    tables: frozenset[str]
    depth: int = field(default=0)

    def body(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        self._refuse_reaching(node)
        if isinstance(node, ast.Assign):
            value = self.value(node.value)
            for target in node.targets:
                self._assign(target, value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._assign(node.target, self.value(node.value))
        elif isinstance(node, ast.If | ast.While):
            self._free(node.test)
            self._inner([*node.body, *node.orelse])
        elif isinstance(node, ast.For):
            self._free(node.iter)
            self._inner([*node.body, *node.orelse])
        elif isinstance(node, ast.With):
            for item in node.items:
                self._free(item.context_expr)
            self._inner(node.body)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Try):
            held = self.held.keys() - {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
            if any(isinstance(part, ast.Name) and part.id in held for part in ast.walk(node)):
                raise _Tells
        else:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self._free(child)

    def _inner(self, statements: list[ast.stmt]) -> None:
        self.depth += 1
        for _ in range(2):  # what a round of a loop leaves is there in the next
            self.body(statements)
        self.depth -= 1

    def _assign(self, target: ast.expr, value: _RestrictedValue | None) -> None:
        if isinstance(target, ast.Name):
            if value is not None:
                self.held[target.id] = value
            elif not self.depth:  # within a branch the name may still hold what it held
                self.held.pop(target.id, None)
            return
        if value is not None:
            raise _Tells
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id in self.held:
            made, frame = texts(target.slice), self.held[target.value.id]
            if made is None or frame.kind != "rows":
                raise _Tells
            self.held[target.value.id] = replace(frame, free=frame.free | frozenset(made) - frame.restricted)

    def _free(self, node: ast.expr) -> None:
        if self.value(node) is not None:
            raise _Tells

    def _refuse_reaching(self, node: ast.stmt) -> None:
        """Refuse what reaches frames without their names: by functions for that, or by SQL."""
        for part in ast.walk(node):
            if (
                self.held
                and isinstance(part, ast.Name)
                and (part.id in _REACHING or re.fullmatch(r"Out|_+\d*", part.id))
            ):
                raise _Tells
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and _SQL.search(part.value):
                said = {one.casefold() for one in re.findall(r"\w+", part.value)}
                if said & {one.casefold() for one in (*self.tables, *self.held)}:
                    raise _Tells

    # Values

    def value(self, node: ast.expr | None) -> _RestrictedValue | None:
        """What an expression holds; None where nothing of it is restricted."""
        if node is None:
            return None
        if isinstance(node, ast.Name):
            return self.held.get(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp | ast.NamedExpr):
            inside = any(isinstance(part, ast.Name) and part.id in self.held for part in ast.walk(node))
            return _LOST if inside else None
        parts = [
            held for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr) and (held := self.value(child))
        ]
        if not parts:
            return None
        if any(part.kind in {"rows", "group", "hidden group", "sizes", "lost"} for part in parts):
            return _LOST
        logical = isinstance(node, ast.Compare | ast.UnaryOp) or (
            isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr)
        )
        return _RestrictedValue("truths") if logical else _RestrictedValue("values")

    def _attribute(self, node: ast.Attribute) -> _RestrictedValue | None:
        of = self.value(node.value)
        if of is None or of.kind == "lost":
            return of
        if of.kind == "rows":
            if node.attr in {"loc", "iloc", "at", "iat"}:
                return of
            if node.attr in of.free | of.restricted:
                return self._column(of, node.attr)
        if of.kind == "group":
            return self._of_group(of, [node.attr])
        if node.attr in _SHAPE:
            return None
        return (
            _RestrictedValue("values") if of.kind == "values" and node.attr in {"str", "dt", "cat", "values"} else _LOST
        )

    @staticmethod
    def _column(of: _RestrictedValue, name: str) -> _RestrictedValue | None:
        if name in of.restricted:
            return _RestrictedValue("values")
        if name in of.free:
            return _RestrictedValue("chosen") if of.chosen else None
        return _LOST

    def _columns(self, of: _RestrictedValue, names: list[str]) -> _RestrictedValue | None:
        if not set(names) <= of.free | of.restricted:
            return _LOST
        hidden = of.restricted & set(names)
        return replace(of, restricted=hidden, free=frozenset(names) - hidden) if hidden or of.chosen else None

    def _of_group(self, of: _RestrictedValue, names: list[str]) -> _RestrictedValue | None:
        if not set(names) <= of.free | of.restricted:
            return _LOST if set(names) - _COUNTS else of
        hidden = of.restricted & set(names)
        return replace(of, restricted=hidden) if hidden or of.chosen else None

    def _subscript(self, node: ast.Subscript) -> _RestrictedValue | None:
        of, chosen = self.value(node.value), self.value(node.slice) if not isinstance(node.slice, ast.Tuple) else None
        if of is None:
            return None if chosen is None else _LOST
        if of.kind == "group":
            names = texts(node.slice)
            return _LOST if names is None else self._of_group(of, names)
        if of.kind != "rows":
            return of
        index, rows = node.slice, None
        if isinstance(index, ast.Tuple) and len(index.elts) == 2:
            rows, index = self.value(index.elts[0]), index.elts[1]
            names = texts(index)
            if names is None:
                return of if rows is None and isinstance(index, ast.Slice) else _LOST
            of = replace(of, chosen=of.chosen or rows is not None)
            return self._column(of, names[0]) if isinstance(index, ast.Constant) else self._columns(of, names)
        if (names := texts(index)) is not None and not isinstance(index, ast.Slice):
            return self._column(of, names[0]) if isinstance(index, ast.Constant) else self._columns(of, names)
        if chosen is None:
            return of
        return replace(of, chosen=True) if chosen.kind in {"truths", "values", "chosen"} else _LOST

    # Calls

    def _call(self, node: ast.Call) -> _RestrictedValue | None:
        given = [*node.args, *(one.value for one in node.keywords)]
        parts = [held for one in given if (held := self.value(one)) is not None]
        if isinstance(node.func, ast.Name):
            return None if node.func.id in {"len", "type", "isinstance"} or not parts else _LOST
        name, of = method(node), self.value(holder(node))
        if of is None:
            if not parts:
                return None
            joined = name in {"concat", "merge", "join"} and all(part.kind == "rows" for part in parts)
            return self._joined(parts, node) if joined else _LOST
        if of.kind == "lost":
            return _LOST
        if of.kind == "rows":
            return self._of_rows(of, name, node, parts)
        if of.kind == "group":
            return self._of_groups(of, name, node)
        if of.kind == "hidden group":
            return _RestrictedValue("sizes") if name in _COUNTS else _LOST
        if of.kind == "sizes":
            return None if name in _FIGURES else _LOST
        if name in _COUNTS or (of.kind == "values" and name in _MISSING):
            return None
        if of.kind == "truths":
            return None if name in {"sum", "mean"} else of
        if of.kind == "chosen":
            return None if name in {"sum", "mean", "median", "std"} else of
        return _LOST if parts else of

    def _joined(self, parts: list[_RestrictedValue], node: ast.Call) -> _RestrictedValue:
        others = [self.frames.get(part.id, frozenset()) for part in ast.walk(node) if isinstance(part, ast.Name)]
        restricted = frozenset().union(*(part.restricted for part in parts))
        free = frozenset().union(*(part.free for part in parts), *others) - restricted
        return _RestrictedValue("rows", restricted, free, any(part.chosen for part in parts) or self._mentions(node))

    def _mentions(self, node: ast.Call) -> bool:
        """Whether what a call is given names a restricted column, in a text or a condition."""
        given = [*node.args, *(one.value for one in node.keywords)]
        said = [part.value for one in given for part in ast.walk(one) if isinstance(part, ast.Constant)]
        words = {each for one in said if isinstance(one, str) for each in (one, *re.findall(r"\w+", one))}
        attributes = {part.attr for one in given for part in ast.walk(one) if isinstance(part, ast.Attribute)}
        return bool((words | attributes) & self.names)

    def _of_rows(
        self, of: _RestrictedValue, name: str, node: ast.Call, parts: list[_RestrictedValue]
    ) -> _RestrictedValue | None:
        first = node.args[0] if node.args else None
        if name in {"merge", "join"}:
            if any(part.kind != "rows" for part in parts):
                return _LOST
            return self._joined([of, *parts], node)
        if name in _ROWS:
            lost = any(part.kind not in {"values", "truths", "chosen"} for part in parts)
            return _LOST if lost else replace(of, chosen=of.chosen or bool(parts) or self._mentions(node))
        if name == "drop":
            names = texts(word(node, "columns") or first)
            return _LOST if names is None else self._columns(of, sorted((of.free | of.restricted) - set(names)))
        if name in {"groupby", "group_by"}:
            names = texts(word(node, "by") or first)
            # Groups of one row each would tell by their counts which rows were chosen.
            single = of.chosen and any(one.casefold().endswith("id") for one in names or ())
            if names is None or single or not set(names) <= of.free | of.restricted:
                return _LOST
            return replace(of, kind="group" if set(names) <= of.free else "hidden group")
        if name == "pivot_table" and not of.chosen and not node.args:
            return None if self._pivots_free(of, node) else _LOST
        if name == "select" and node.args and not node.keywords:
            given = [texts(one) for one in node.args]
            if None not in given:
                return self._columns(of, [each for some in given for each in some or ()])
            return None if not of.chosen and all(self._is_free_polars(of, one) for one in node.args) else _LOST
        if name == "assign" and not parts and not any(isinstance(one.value, ast.Lambda) for one in node.keywords):
            made = {one.arg for one in node.keywords if one.arg}
            left = of.restricted - made
            return replace(of, restricted=left, free=of.free | made) if left or of.chosen else None
        return None if name in _COUNTS | _MISSING | {"info"} else _LOST

    def _of_groups(self, of: _RestrictedValue, name: str, node: ast.Call) -> _RestrictedValue | None:
        if name in _COUNTS:
            return None
        polars = node.args and not any(isinstance(one, ast.Dict | ast.Constant) for one in node.args)
        if name == "agg" and not of.chosen and polars and not node.keywords:
            return None if all(self._is_free_polars(of, one) for one in node.args) else _LOST
        if name in {"agg", "aggregate"} and not of.chosen:
            pairs = [one.value for one in node.keywords]
            for pair in pairs:
                if not (isinstance(pair, ast.Tuple) and len(pair.elts) == 2):
                    return _LOST
                column, figure = texts(pair.elts[0]), texts(pair.elts[1])
                if not self._may_be_shown(of, column, figure):
                    return _LOST
            if node.args and not (isinstance(node.args[0], ast.Dict) and self._all_may(of, node.args[0])):
                return _LOST
            return None if pairs or node.args else _LOST
        return _LOST

    @staticmethod
    def _pivots_free(of: _RestrictedValue, node: ast.Call) -> bool:
        """Whether a table of figures is made of free columns alone, each of which is named."""
        named = {one.arg: texts(one.value) for one in node.keywords}
        figure = named.pop("aggfunc", ["mean"])
        if not named.keys() <= {"index", "columns", "values"} or not {"index", "values"} <= named.keys():
            return False
        return figure is not None and all(names and set(names) <= of.free for names in named.values())

    def _is_free_polars(self, of: _RestrictedValue, node: ast.expr) -> bool:
        """Whether an expression of polars takes columns that may be shown alone, each by its name."""
        if isinstance(node, ast.Constant):
            return node.value in of.free
        modules = set()
        for part in ast.walk(node):
            if isinstance(part, ast.Lambda) or (isinstance(part, ast.Constant) and part.value in of.restricted):
                return False
            if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
                modules.add(id(part.value))
                if part.attr not in _OF_POLARS or part.value.id in self.held:
                    return False
            if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and part.func.attr != "lit":
                of_module = isinstance(part.func.value, ast.Name)
                names = [one.value if isinstance(one, ast.Constant) else None for one in part.args]
                # Without a name `first` and `last` take a column by its place, which may be any.
                unnamed = not names and part.func.attr not in {"len", "count"}
                if of_module and (unnamed or part.keywords or not set(names) <= of.free):
                    return False
        names_there = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
        return bool(modules) and all(id(part) in modules for part in names_there)

    def _all_may(self, of: _RestrictedValue, told: ast.Dict) -> bool:
        pairs = zip(told.keys, told.values, strict=True)
        return all(
            self._may_be_shown(of, texts(key) if key is not None else None, texts(value)) for key, value in pairs
        )

    @staticmethod
    def _may_be_shown(of: _RestrictedValue, columns: list[str] | None, figures: list[str] | None) -> bool:
        if not columns or figures is None:
            return False
        return set(columns) <= of.free or (set(columns) <= of.restricted and set(figures) <= _COUNTS)
