"""Python code of an answer held to the dictionary: ids added up, restricted columns shown, filters left out.

Only what the code says by itself is claimed: which column of which described frame a figure is of. A frame or column
that is made anew, and a step that is not known, ends what can be said, for a false alarm costs more than a slip.
"""

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.answers.columns_given import KnownFrames, groups, holder, is_column, method, root, texts, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rsql_magic.gateway import Block
    from rsql_magic.knowledge import Dictionary
    from rsql_magic.sql import Catalog, Column, Definition, PlainMetric, Table

# What adds values up, of a column, a group, or as a text in `agg`.
_ADDING = frozenset({"sum", "mean", "median", "std", "var", "average", "nansum", "nanmean"})
_FIGURES = _ADDING | {"count", "nunique", "n_unique", "size", "len", "any", "all"}
# Methods that give values of the same column, or rows of the same frame.
_SAME = frozenset(
    """
    head tail copy sample dropna fillna drop_nulls fill_null astype cast query filter sort sort_values sort_index lazy
    collect nlargest nsmallest reset_index round abs drop_duplicates unique limit slice
    """.split()
)
_SHOWING = frozenset({"print", "display", "show"})
_VALUES = _SAME | set("value_counts tolist to_list to_markdown to_string max min mode first last".split())
_METRICS = 5  # of a question
_UNORDERED = "adding up its values means nothing."


@dataclass
class DefinedFrames:
    """The frames of a notebook as a dictionary describes them, and the metrics of theirs that a question names."""

    source: str  # the dictionary's name
    catalog: Catalog
    metrics: Sequence[Definition] = ()
    hidden: frozenset[str] = frozenset()  # tables of the dictionary that have restricted columns
    unsure: str = field(default="", init=False)  # metrics that code could not be held to

    @classmethod
    def of(cls, dictionary: Dictionary, frames: Mapping[str, Sequence[str]], question: str) -> DefinedFrames:
        """What a dictionary says of frames, which are given by their columns."""
        from rsql_magic.sql import Catalog, Column, Table, named_metrics

        written = [Table(name, tuple(map(Column, columns)), kind="frame") for name, columns in frames.items()]
        tables, definitions = dictionary.applied(written)
        catalog = Catalog(tables, "duckdb", definitions=definitions)
        hidden = frozenset(
            name
            for entry in dictionary.tables.values()
            if any(column.restricted for column in entry.columns)
            for name in (entry.name, entry.stored.rpartition(".")[2])
            if name
        )
        metrics = named_metrics(question, catalog)[:_METRICS]
        return cls(dictionary.name or "the dictionary", catalog, metrics, hidden)

    @property
    def stated(self) -> str:
        """The definitions of the metrics that the question names, as a prompt has them."""
        from rsql_magic.sql import stated_definition

        return "\n".join(map(stated_definition, self.metrics))

    def against(self, blocks: Sequence[Block]) -> list[str]:
        """What in the Python code of an answer goes against the dictionary, one sentence each."""
        from rsql_magic.sql import plain_metric

        self.unsure = ""
        codes = [block.code for block in blocks if block.language == "python"]
        if not any(block.language in {"python", "r"} for block in blocks):
            return []
        check = MeaningCheck({table.name: table for table in self.catalog})
        wrong = [said for code in codes for said in check.read(code)]
        if not any(" is restricted" in said for said in wrong):
            wrong += self.not_followed(codes)
        told = check.held_to([plain_metric(one, self.catalog) for one in self.metrics], codes)
        for one, is_held in zip(self.metrics, told, strict=True):
            where = f" ({one.source})" if one.source else ""
            if is_held is False:
                wrong.append(f"This computes {one.name} without its condition {' and '.join(one.where)}{where}.")
        unsure = [one.name for one, is_held in zip(self.metrics, told, strict=True) if is_held is None]
        self.unsure = f"not checked against the definition of {', '.join(unsure)}" if unsure else ""
        return list(dict.fromkeys(wrong))

    def not_followed(self, codes: Sequence[str]) -> list[str]:
        """That code may show a restricted column, where it is not shown that it does not."""
        from rsql_magic.answers.restricted_code import may_tell

        frames = {table.name: [column.name for column in table.columns] for table in self.catalog}
        named = {t.name: [c.name for c in t.columns if c.meaning and c.meaning.restricted] for t in self.catalog}
        restricted = {name: frozenset(columns) for name, columns in named.items() if columns}
        if not (restricted or self.hidden) or not may_tell(codes, frames, restricted, self.hidden):
            return []
        listed = ", ".join(f"{frame}.{column}" for frame, columns in restricted.items() for column in sorted(columns))
        what = listed or ", ".join(sorted(self.hidden))
        return [
            f"This may show what the dictionary restricts ({what}), or cannot be followed. "
            "Choose the other columns by name first, and use restricted ones in counts only."
        ]


class ColumnFigure(NamedTuple):
    """A figure in code: what is computed of which column of which frame."""

    function: str
    frame: str
    column: str


@dataclass
class MeaningCheck:
    """Pieces of code, one after the other, over frames that a dictionary describes.

    Example:
        >>> from rsql_magic.sql import Column, Meaning, Table
        >>> orders = Table("orders", (Column("id", meaning=Meaning("id", source="d.yaml, line 4")), Column("amount")))
        >>> MeaningCheck({"orders": orders}).read("orders[orders.amount > 3]['id'].mean()")
        ['orders.id is an id (d.yaml, line 4): adding up its values means nothing.']
    """

    frames: Mapping[str, Table]
    figures: list[ColumnFigure] = field(default_factory=list, init=False)
    _of: dict[str, str] = field(default_factory=dict, init=False)  # names, each with the frame whose rows it holds
    _made: set[tuple[str, str]] = field(default_factory=set, init=False)  # columns that the code made anew
    _known: KnownFrames = field(default_factory=lambda: KnownFrames({}), init=False)

    def __post_init__(self) -> None:
        self._of = {name: name for name in self.frames}
        self._known.held = {name: frozenset(c.name for c in table.columns) for name, table in self.frames.items()}

    def read(self, code: str) -> list[str]:
        """What in a piece of code goes against the dictionary, one sentence each."""
        from IPython.core.inputtransformer2 import TransformerManager

        try:
            tree = ast.parse(TransformerManager().transform_cell(code))  # type: ignore[no-untyped-call]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []
        plain = all(isinstance(one, ast.Assign | ast.Expr | ast.Import | ast.ImportFrom) for one in tree.body)
        found: list[str] = []
        for place, statement in enumerate(tree.body if plain else ()):
            found += self._added_up(statement)
            if isinstance(statement, ast.Assign):
                self._assign(statement)
            elif isinstance(statement, ast.Expr):
                found += self._shown(statement.value, is_last=place == len(tree.body) - 1)
        return list(dict.fromkeys(found))

    def held_to(self, metrics: Iterable[PlainMetric | None], codes: Iterable[str]) -> list[bool | None]:
        """For each metric whether code computes it with the columns of its conditions; None where that is not told.

        False is certain only where its column is added up and none of the code mentions a column of its conditions.
        """
        said = " ".join(codes)
        found: list[bool | None] = []
        for one in metrics:
            of_it = one is not None and any(
                (f.function, f.column) == (one.function, one.column) and self.frames[f.frame].name == one.table.name
                for f in self.figures
            )
            names = [name for table, name in one.conditions if table == one.table.full_name] if one and of_it else []
            is_told = one is not None and of_it and len(names) == len(one.conditions)
            mentioned = [re.search(rf"\b{re.escape(name)}\b", said) is not None for name in names]
            found.append(None if not is_told else True if all(mentioned) else None if any(mentioned) else False)
        return found

    # What names hold

    def _assign(self, node: ast.Assign) -> None:
        columns, frame = self._known.columns(node.value), self._frame(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._known.held[target.id] = columns
                self._of.pop(target.id, None)
                if frame:
                    self._of[target.id] = frame
            elif isinstance(target, ast.Subscript):
                index = target.slice.elts[-1] if isinstance(target.slice, ast.Tuple) else target.slice
                made = texts(index)
                self._made |= {(self._of.get(root(target), ""), name) for name in made or ()}
                if made is None:
                    self._of.pop(root(target), None)
            else:
                self._of.pop(root(target), None)

    def _frame(self, node: ast.expr | None) -> str:
        """The described frame whose rows an expression gives; empty where that is not certain."""
        if isinstance(node, ast.Name):
            return self._of.get(node.id, "")
        if isinstance(node, ast.Call) and method(node) in _SAME:
            return self._frame(holder(node))
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant | ast.Tuple | ast.Name):
            within = (
                node.value.value if isinstance(node.value, ast.Attribute) and node.value.attr == "loc" else node.value
            )
            return self._frame(within)
        return ""

    def _column(self, node: ast.expr | None) -> tuple[str, Column] | None:
        """The described column whose values an expression gives, with its frame."""
        while isinstance(node, ast.Call) and method(node) in _SAME:
            node = holder(node)
        name, frame = "", ""
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            name, frame = str(node.slice.value), self._rows(node.value)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "loc":
            cells = node.slice.elts[-1] if isinstance(node.slice, ast.Tuple) else None
            name, frame = (
                (str(cells.value), self._frame(node.value.value)) if isinstance(cells, ast.Constant) else ("", "")
            )
        elif isinstance(node, ast.Subscript):  # df["a"][mask]
            return self._column(node.value) if not isinstance(node.slice, ast.List | ast.Name) else None
        elif isinstance(node, ast.Attribute):
            name, frame = node.attr, self._rows(node.value)
        return self._described(frame, name)

    def _rows(self, node: ast.expr) -> str:
        """The frame of an expression, or of its groups."""
        return (
            self._frame(holder(node)) if groups(node) is not None and isinstance(node, ast.Call) else self._frame(node)
        )

    def _described(self, frame: str, name: str) -> tuple[str, Column] | None:
        column = self.frames[frame].column(name) if frame and (frame, name) not in self._made else None
        return (frame, column) if column is not None and column.name == name else None

    # Figures

    def _added_up(self, node: ast.AST) -> Iterator[str]:
        for call in (part for part in ast.walk(node) if isinstance(part, ast.Call)):
            for function, (frame, column) in self._figures(call):
                self.figures.append(ColumnFigure("mean" if function == "average" else function, frame, column.name))
                meaning = column.meaning
                if function in _ADDING and meaning is not None and meaning.measure in {"id", "ordinal"}:
                    kind = "an id" if meaning.measure == "id" else "an ordinal"
                    where = f" ({meaning.source})" if meaning.source else ""
                    yield f"{frame}.{column.name} is {kind}{where}: {_UNORDERED}"

    def _figures(self, call: ast.Call) -> Iterator[tuple[str, tuple[str, Column]]]:
        """The figures that a call computes of described columns."""
        name = method(call)
        if name in _FIGURES and not call.args and (found := self._column(holder(call))):
            yield name, found
        function = (
            name if root(call.func) in {"np", "numpy"} else call.func.id if isinstance(call.func, ast.Name) else ""
        )
        if function in _ADDING and len(call.args) == 1 and (found := self._column(call.args[0])):
            yield function, found
        if name in {"agg", "aggregate"}:
            yield from self._in_agg(call)
        if name == "pivot_table" and (frame := self._frame(holder(call))):
            functions = texts(word(call, "aggfunc")) if word(call, "aggfunc") is not None else ["mean"]
            of = [found for one in texts(word(call, "values")) or () if (found := self._described(frame, one))]
            yield from ((function, each) for function in functions or () for each in of)
        if name in {"select", "agg", "with_columns"}:
            yield from self._in_polars(call)

    def _in_agg(self, call: ast.Call) -> Iterator[tuple[str, tuple[str, Column]]]:
        on = holder(call)
        frame = self._rows(on) if on is not None else ""
        pairs = [pair for one in call.keywords if (pair := _pair(one.value))]
        first = call.args[0] if call.args else None
        if isinstance(first, ast.Dict):
            pairs += [(key, value) for key, value in zip(first.keys, first.values, strict=True) if key is not None]
        for column, functions in pairs:
            for name in texts(column) or ():
                if found := self._described(frame, name):
                    yield from ((function, found) for function in texts(functions) or ())
        if first is not None and not isinstance(first, ast.Dict) and on is not None and (found := self._column(on)):
            yield from ((function, found) for function in texts(first) or ())

    def _in_polars(self, call: ast.Call) -> Iterator[tuple[str, tuple[str, Column]]]:
        frame = self._rows(on) if (on := holder(call)) is not None else ""
        inner = [part for value in (*call.args, *(k.value for k in call.keywords)) for part in ast.walk(value)]
        for part in (each for each in inner if isinstance(each, ast.Call) and frame):
            of = holder(part)
            if is_column(part.func) and isinstance(part.func, ast.Attribute) and part.func.attr != "col":
                function, column = part.func.attr, part
            elif method(part) in _FIGURES and isinstance(of, ast.Call) and is_column(of.func) and _is_col(of):
                function, column = method(part), of
            else:
                continue
            for name in texts(column.args[0]) or () if len(column.args) == 1 else ():
                if found := self._described(frame, name):
                    yield function, found

    # What is shown

    def _shown(self, node: ast.expr, *, is_last: bool) -> Iterator[str]:
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SHOWING
        shown = node.args if is_call and isinstance(node, ast.Call) else [node] if is_last else []
        for frame, column in (found for one in shown for found in self._let_out(one)):
            if column.meaning is not None and column.meaning.restricted:
                where = f" ({column.meaning.source})" if column.meaning.source else ""
                name = f"{frame}.{column.name} is restricted{where} and must not be shown."
                yield f"{name} Leave it out, or count its values."

    def _let_out(self, node: ast.expr) -> list[tuple[str, Column]]:
        """The described columns whose values an expression shows."""
        at: ast.expr | None = node
        while (found := self._column(at)) is None and self._known.columns(at) is None:
            if not (isinstance(at, ast.Call) and method(at) in _VALUES):
                return []
            at = holder(at)
        if found is not None:
            return [found]
        columns, frame = self._known.columns(at) or frozenset(), self._frame(at) or self._frame(_chosen_from(at))
        return [one for name in columns if (one := self._described(frame, name)) is not None]


def _pair(node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """The column and the function of a named aggregate."""
    return (node.elts[0], node.elts[1]) if isinstance(node, ast.Tuple) and len(node.elts) == 2 else None


def _is_col(call: ast.Call) -> bool:
    return method(call) == "col" or (isinstance(call.func, ast.Name) and call.func.id == "col")


def _chosen_from(node: ast.expr | None) -> ast.expr | None:
    """What columns were chosen from or left out of: ``df[["a"]]``, ``df.drop(columns="a")``, ``df.select("a")``."""
    while isinstance(node, ast.Call) and method(node) in _SAME | {"drop", "select"}:
        node = holder(node)
    return node.value if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.List) else node
