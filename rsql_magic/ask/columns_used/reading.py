"""Reads Python one statement after the other, and remembers what the names hold."""

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import ast
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from rsql_magic.ask.columns_used import asked
from rsql_magic.ask.columns_used.given import given, groups, other_of
from rsql_magic.ask.columns_used.trees import holder, method, root, texts, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rsql_magic.ask.columns_used.given import Columns


@dataclass(frozen=True, slots=True)
class Unknown:
    """A column that is not there.

    Args:
        frame: The frame's name in the code.
        column: The column asked for.
        columns: What the frame has.
        is_attribute: Whether the column is there, but is no attribute: ``sales.region`` in polars.
    """

    frame: str
    column: str
    columns: Sequence[str] = field(repr=False)
    is_attribute: bool = False

    def __str__(self) -> str:
        if self.is_attribute:
            return f"{self.frame} has no attribute {self.column!r}. Did you mean {self.frame}[{self.column!r}]?"
        close = get_close_matches(self.column, self.columns, 1)
        known = f" It has: {', '.join(map(repr, self.columns[:8]))}." if self.columns else ""
        return f"{self.frame} has no column {self.column!r}.{f' Did you mean {close[0]!r}?' if close else known}"


def unknown_in_python(
    codes: Iterable[str],
    frames: Mapping[str, Sequence[str]],
    attributes: frozenset[str] = frozenset(),
    unsaid: frozenset[str] = frozenset(),
    polars: frozenset[str] = frozenset(),
) -> list[list[Unknown]]:
    """Columns that Python code asks of frames which do not have them.

    Args:
        codes: Pieces of code that are run one after the other.
        frames: The columns of each pandas or polars frame of the session.
        attributes: What such frames, their groups and their columns answer to, beside columns. Without it columns
            that are asked for as attributes (``sales.regoin``) are not looked at.
        unsaid: Columns that a message must not list, because their names are values.
        polars: Which of the frames are of polars, where a column is no attribute and names are not taken from an index.

    Returns:
        For each piece what it asks for in vain, once each. Code that does not parse asks for nothing.

    Example:
        >>> str(unknown_in_python(["sales['regoin'].mean()"], {"sales": ["region", "amount"]})[0][0])
        "sales has no column 'regoin'. Did you mean 'region'?"
    """
    reader = _Reader({name: frozenset(columns) for name, columns in frames.items()}, attributes, unsaid, polars)
    return [reader.read(code) for code in codes]


_PLAIN = frozenset("pandas polars numpy matplotlib seaborn plotly scipy statsmodels sklearn duckdb IPython".split())


class _Reader:
    """Reads one piece of code after another and remembers what the names hold."""

    def __init__(
        self,
        frames: dict[str, frozenset[str]],
        attributes: frozenset[str],
        unsaid: frozenset[str],
        polars: frozenset[str],
    ) -> None:
        self.frames: dict[str, Columns] = dict(frames)
        self.polars = set(polars)
        self.attributes = attributes
        self.unsaid = unsaid
        self.extended = False
        self.found: dict[tuple[str, str], Unknown] = {}

    def read(self, code: str) -> list[Unknown]:
        from IPython.core.inputtransformer2 import TransformerManager

        try:
            tree = ast.parse(TransformerManager().transform_cell(code))  # type: ignore[no-untyped-call]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
        for name in _bound_elsewhere(tree):
            self.frames.pop(name, None)
        self.extended = self.extended or _may_extend(tree)
        self.found = {}
        for statement in tree.body:
            self.statement(statement)
        return list(self.found.values())

    def statement(self, node: ast.AST) -> None:
        """Look at what a statement reads, then at what it writes; blocks one statement after the other."""
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            made = self.columns(node.value) if node.value else None
            self.uses(node.value)
            for target in targets:
                self.assign(target, made)
                self.remember(target, node.value)
            return
        for _, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                    self.statement(child)
                elif isinstance(child, ast.AST):
                    self.uses(child)
        if isinstance(node, ast.Expr):
            self.changed(node.value)
        if isinstance(node, ast.Delete):
            for target in node.targets:
                self.forget(root(target))

    def remember(self, target: ast.expr, value: ast.expr | None) -> None:
        """Whether a name holds something of polars from now on."""
        if isinstance(target, ast.Name):
            (self.polars.add if self.is_polars(value) else self.polars.discard)(target.id)

    def assign(self, target: ast.expr, made: Columns) -> None:
        if isinstance(target, ast.Name):
            self.frames[target.id] = made
        elif isinstance(target, ast.Subscript):
            self.add(target)
        elif isinstance(target, ast.Attribute):  # df.columns = …
            self.forget(root(target))
        else:
            for part in getattr(target, "elts", ()):
                self.assign(part, None)

    def add(self, target: ast.Subscript) -> None:
        """``df["new"] = …`` and ``df.loc[:, "new"] = …`` make columns."""
        index = target.slice.elts[-1] if isinstance(target.slice, ast.Tuple) else target.slice
        name, made = root(target), texts(index)
        known = self.frames.get(name)
        if known is not None:
            self.frames[name] = known | set(made) if made is not None else None

    def changed(self, node: ast.expr) -> None:
        """``df.insert(0, "new", …)``, ``df.rename(…, inplace=True)``, ``df.pop("x")`` change the frame itself."""
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            return
        inplace = any(word.arg == "inplace" for word in node.keywords)
        if inplace or node.func.attr in {"insert", "pop", "insert_column", "eval", "update", "replace_column"}:
            self.forget(root(node.func))

    def forget(self, name: str) -> None:
        if name in self.frames:
            self.frames[name] = None

    # What is asked for

    def uses(self, node: ast.AST | None) -> None:
        """Every column that an expression asks of a frame whose columns are known."""
        parts = list(ast.walk(node)) if node else []
        called = {id(part.func) for part in parts if isinstance(part, ast.Call)}
        for part in parts:
            if isinstance(part, ast.Attribute) and id(part) not in called:
                self.attribute(part)
            elif isinstance(part, ast.Subscript):
                self.subscript(part)
            elif isinstance(part, ast.Call):
                self.call(part)

    def attribute(self, node: ast.Attribute) -> None:
        """``df.regoin``; where an import may have taught frames new attributes only what is close to a column."""
        grouped = self.grouped(node.value)
        known = grouped if grouped is not None else self.columns(node.value)
        if not self.attributes or known is None or node.attr in self.attributes or node.attr.startswith("_"):
            return
        if self.is_polars(node.value) and node.attr in known:
            frame = root(node.value)
            self.found.setdefault((frame, node.attr), Unknown(frame, node.attr, (), is_attribute=True))
        if not self.extended or get_close_matches(node.attr, known, 1, 0.75):
            self.want(node.value, known, [node.attr])

    def subscript(self, node: ast.Subscript) -> None:
        frame = node.value
        index: ast.expr = node.slice
        if isinstance(frame, ast.Attribute) and frame.attr in {"loc", "at"}:
            if not isinstance(index, ast.Tuple):
                return
            frame, index = frame.value, index.elts[-1]
        elif isinstance(frame, ast.Subscript) and isinstance(frame.value, ast.Attribute) and frame.value.attr == "iloc":
            if not isinstance(frame.slice, ast.Constant):
                return
            frame = frame.value.value  # df.iloc[0]["a"] is a row's cell
        grouped = self.grouped(frame)
        known = grouped if grouped is not None else self.columns(frame)
        if known is not None and isinstance(node.ctx, ast.Load) and not isinstance(index, ast.Tuple):
            self.want(frame, known, texts(index) or [])

    def call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Attribute):
            self.of_data(node)
            return
        frame, name = node.func.value, node.func.attr
        known, grouped = self.columns(frame), self.grouped(frame)
        if known is not None:
            self.want(frame, known, asked.of_frame(node, known, in_polars=self.is_polars(frame)))
        elif grouped is not None and name in {"agg", "aggregate"}:
            self.want(frame, grouped, asked.of_groups(node))
        elif name in asked.PLOTS and isinstance(frame, ast.Attribute) and frame.attr == "plot":
            of = self.columns(frame.value)
            if of is not None:
                self.want(frame.value, of, asked.of_plot(node))
        self.join(node, name)
        self.function(node, known if known is not None else grouped)
        self.of_data(node)

    def join(self, node: ast.Call, name: str) -> None:
        """What a join asks of both sides; ``df.join`` of pandas looks into the index on the right."""
        is_pandas_merge = name == "merge" and root(node.func) in {"pd", "pandas"}
        other = other_of(node, 1 if is_pandas_merge else 0)
        known = self.columns(other)
        if name not in {"merge", "join"} or other is None:
            return
        if known is not None and (name == "merge" or self.is_polars(other)):
            self.want(other, known, asked.of_other(node))
        left = node.args[0] if is_pandas_merge and node.args else None
        of_left = self.columns(left)
        if left is not None and of_left is not None:
            self.want(left, of_left, texts(word(node, "left_on", "on")) or [])

    def function(self, node: ast.Call, known: Columns) -> None:
        """``df.assign(b=lambda d: d["a"])``, ``df.pipe(lambda d: …)``, ``df.apply(lambda row: …, axis=1)``."""
        name, axis = method(node), word(node, "axis")
        by_row = isinstance(axis, ast.Constant) and axis.value in {1, "columns"}
        if known is None or not (name in {"assign", "pipe"} or (name == "apply" and (by_row or groups(holder(node))))):
            return
        for value, made in [*((arg, None) for arg in node.args), *((each.value, each.arg) for each in node.keywords)]:
            if isinstance(value, ast.Lambda) and len(value.args.args) == 1 and isinstance(node.func, ast.Attribute):
                with self.holding(value.args.args[0].arg, known):
                    self.uses(value.body)
            known = known | {made} if made and name == "assign" else known

    @contextmanager
    def holding(self, name: str, known: Columns) -> Iterator[None]:
        """While a function's argument holds a frame."""
        before = self.frames.get(name)
        self.frames[name] = known
        try:
            yield
        finally:
            self.frames[name] = before

    def of_data(self, node: ast.Call) -> None:
        """``sns.barplot(data=df, x="a")``, ``px.bar(df, x="a")``, ``smf.ols("y ~ x", data=df)``."""
        is_chart = root(node.func) in asked.CHARTS
        data = word(node, "data", "data_frame") or (node.args[0] if is_chart and node.args else None)
        known = self.columns(data)
        if data is None or known is None:
            return
        if is_chart:
            self.want(data, known, asked.of_chart(node))
        self.want(data, known, asked.in_formula(node))

    def want(self, frame: ast.expr, known: frozenset[str], names: Iterable[str]) -> None:
        for name in names:
            if name not in known:
                said = root(frame) or "the frame"
                self.found.setdefault((said, name), Unknown(said, name, tuple(sorted(known - self.unsaid))))

    # What an expression gives

    def is_polars(self, node: ast.expr | None) -> bool:
        """Whether an expression starts with a frame of polars."""
        return root(node) in self.polars

    def columns(self, node: ast.expr | None) -> Columns:
        """The columns of the frame that an expression gives; None when it gives none, or it is not certain."""
        if isinstance(node, ast.Name):
            return self.frames.get(node.id)
        if isinstance(node, ast.Subscript):
            return self.part(node)
        return given(node, self) if isinstance(node, ast.Call) else None

    def part(self, node: ast.Subscript) -> Columns:
        """``df[["a", "b"]]`` has these, ``df[mask]`` and ``df[1:3]`` have all; ``df["a"]`` is no frame."""
        if isinstance(node.value, ast.Attribute) and node.value.attr in {"loc", "iloc"}:
            if isinstance(node.slice, ast.Tuple | ast.Constant | ast.Name):
                return None  # columns, or one row
            return self.columns(node.value.value)
        known = self.columns(node.value)
        if known is None or isinstance(node.slice, ast.Constant | ast.Name | ast.Tuple):
            return None
        if isinstance(node.slice, ast.List):
            names = texts(node.slice)
            return None if names is None else frozenset(names)
        return known if isinstance(node.slice, ast.Compare | ast.BinOp | ast.UnaryOp | ast.Slice | ast.Call) else None

    def grouped(self, node: ast.expr) -> Columns:
        """The columns of the frame that was grouped: ``df.groupby("a")``."""
        if not isinstance(node, ast.Call):
            return None
        grouping = groups(node)
        return self.columns(holder(grouping)) if grouping is not None else None


def _may_extend(tree: ast.AST) -> bool:
    """Whether code imports what may register accessors: ``import hvplot.pandas`` makes ``df.hvplot``."""
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([each.name for each in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    return not imported <= _PLAIN | sys.stdlib_module_names


def _bound_elsewhere(tree: ast.AST) -> Iterator[str]:
    """Names that something else than an assignment binds: what they hold is not followed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.comprehension | ast.For):
            yield from (part.id for part in ast.walk(node.target) if isinstance(part, ast.Name))
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            yield node.optional_vars.id
        elif isinstance(node, ast.NamedExpr):
            yield node.target.id
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
