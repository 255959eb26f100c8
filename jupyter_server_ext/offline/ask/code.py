"""Code for a question over one frame: read as one about a table, its query becomes code (``libraries.toml``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from rsql_magic.sql import laid_out

from ..sql import NotUnderstood, day, write
from ..tables import table
from .notebook import PATTERNS, r_name, r_string

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .notebook import Language, Notebook

_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Avg: "mean", exp.Sum: "sum", exp.Min: "min", exp.Max: "max",
    exp.Median: "median", exp.Stddev: "std", exp.Variance: "var",
}  # fmt: skip
_SIGNS: dict[type[exp.Expr], str] = {
    exp.EQ: "==", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_ONLY_SQL = "I can only write this as SQL"


def computed(notebook: Notebook, question: str) -> tuple[Language, str, str]:
    """Language, code and notes for a question that asks for rows or figures of a frame."""
    asked = notebook.asked
    frames = [item for item in notebook.named if item.is_frame] or [
        frame for frame in notebook.frames if asked in {None, "sql"} or frame.is_r == (asked == "r")
    ]
    if not frames:
        raise NotUnderstood("I see no data frame")
    bare = PATTERNS["tail"].sub("", PATTERNS["lead"].sub("", question.strip()))
    written = write(bare, notebook.catalog(frames), "duckdb", notebook.request.day)
    if written.chart:
        raise NotUnderstood("A chart is asked for")
    source = written.query.args["from_"].this.name
    frame = next((frame for frame in frames if frame.name == source), None)
    language, notes = notebook.language_for(frame), " ".join(written.notes[:2])
    if language == "sql":
        return "sql", laid_out(written.query, "duckdb"), notes
    # Joins and conditions on groups differ too much between the libraries to be written safely.
    if any(written.query.args.get(part) for part in ("joins", "having")):
        raise NotUnderstood(_ONLY_SQL)
    library = "r" if language == "r" else "polars" if frame is not None and frame.is_polars else "pandas"
    return language, "\n".join(_CodeWriter(written.query, library).lines()), notes


class _Figure(NamedTuple):
    """A figure: its name in the result, the function, and its column; ``rows`` counts rows and has none."""

    name: str
    function: str
    column: str = ""


@dataclass
class _CodeWriter:
    """One query over one frame, written for one library."""

    query: exp.Select
    library: str

    def __post_init__(self) -> None:
        self.is_r = self.library == "r"
        self._name = r_name if self.is_r else repr
        own = table("ask/libraries")[self.library]
        self._templates = own if self.is_r else table("ask/libraries")["python"] | own
        terms = [term for term in self.query.expressions if not isinstance(term, exp.Star)]
        group, order = self.query.args.get("group"), self.query.args.get("order")
        self.groups = [_column(term) for term in group.expressions] if group else []
        self.figures = [_figure(term.unalias(), term.alias) for term in terms if term.find(exp.AggFunc)]
        self.columns = [_column(term) for term in terms if not term.find(exp.AggFunc)]  # none for all of them
        self.order = {_column(term.this): bool(term.args.get("desc")) for term in (order.expressions if order else ())}

    def _write(self, step: str, **names: object) -> str:
        return str(self._templates[step]).format_map(names)

    def _function(self, name: str) -> str:
        return str(self._templates.get("functions", {}).get(name, name))

    def lines(self) -> Iterator[str]:
        """The lines of code, the last of which shows the result."""
        frame, where = self.query.args["from_"].this.name, self.query.args.get("where")
        rows, load = r_name(frame) if self.is_r else frame, self._templates.get("load", "")
        if where:
            kept = self._write("filter", rows=rows, where=self._condition(where.this, rows))
            if not (self.figures or self.columns or self.order):
                yield load + self._headed(kept)
                return
            # What follows names the rows more than once.
            yield load + self._write("assign", code=kept)
            rows, load = "rows", ""
        if self.figures and not self.groups:
            yield load + ("\n" if self.is_r else ", ").join(self._figure(one, rows) for one in self.figures)
            return
        yield from self._ordered(load + (self._grouped(rows) if self.groups else self._chosen(rows)))

    def _headed(self, code: str) -> str:
        limit = self.query.args.get("limit")
        return self._write("head", code=code, n=limit.expression.name) if limit else code

    def _figure(self, figure: _Figure, rows: str) -> str:
        if figure.function == "rows":
            return self._write("rows", rows=rows)
        step = figure.function if figure.function in self._templates else "figure"
        return self._write(step, rows=rows, c=self._name(figure.column), f=self._function(figure.function))

    def _chosen(self, rows: str) -> str:
        wanted = list(dict.fromkeys([*self.columns, *self.order])) if self.columns else []
        names, texts = ", ".join(map(self._name, wanted)), ", ".join(map(r_string, wanted))
        code = self._write("columns", rows=rows, names=names, texts=texts) if wanted else rows
        return self._write("distinct", code=code) if self.query.args.get("distinct") else code

    def _grouped(self, rows: str) -> str:
        if self.is_r:
            return self._aggregate(rows)
        keys, figures = _python_list(self.groups), self.figures
        if [one.function for one in figures] == ["rows"]:
            return self._write("count by", rows=rows, keys=keys, name=repr(figures[0].name))
        each = (
            self._write(
                "rows by" if one.function == "rows" else "figure by",
                label=one.name, name=repr(one.name), c=repr(one.column), key=repr(self.groups[0]),
                f=self._function(one.function),
            )
            for one in figures
        )  # fmt: skip
        return self._write("figures by", rows=rows, keys=keys, figures=", ".join(each))

    def _aggregate(self, rows: str) -> str:
        # aggregate computes one function of one or several columns; table counts rows.
        functions = {one.function for one in self.figures}
        if functions == {"rows"}:
            keys = ", ".join(f"{r_name(name)} = {rows}${r_name(name)}" for name in self.groups)
            return f"as.data.frame(table({keys}), responseName = {r_string(self.figures[0].name)})"
        (function,) = functions if len(functions) == 1 else ("rows",)
        # aggregate passes over missing values in its own way, so that its counts would be others.
        if function in {"rows", "count", "nunique"}:
            raise NotUnderstood(_ONLY_SQL)
        columns = [r_name(one.column) for one in self.figures]
        left = columns[0] if len(columns) == 1 else f"cbind({', '.join(columns)})"
        # A formula leaves out a row that lacks any of its columns; each column has gaps of its own.
        gaps = ", na.rm = TRUE, na.action = na.pass" if len(columns) > 1 else ""
        keys = " + ".join(map(r_name, self.groups))
        return f"aggregate({left} ~ {keys}, data = {rows}, FUN = {self._function(function)}{gaps})"

    def _ordered(self, code: str) -> Iterator[str]:
        """The result in order, with as many rows as are wanted."""
        names, downs = list(self.order), list(self.order.values())
        if not names:
            yield self._headed(code)
        elif self.is_r:
            labels = {one.name: one.column for one in self.figures if one.function != "rows"}
            by = [f"result${r_name(labels.get(name, name))}" for name in names]
            # xtfrm makes numbers of texts where only some terms go down.
            terms = by if all(downs) else [f"-xtfrm({c})" if down else c for c, down in zip(by, downs, strict=True)]
            yield f"result <- {code}"
            yield self._headed(f"result[order({', '.join(terms)}{', decreasing = TRUE' if all(downs) else ''}), ]")
        else:
            ways = {"ups": _python_list([not down for down in downs]), "downs": _python_list(downs)}
            yield self._headed(self._write("order", code=code, names=_python_list(names), **ways))

    def _condition(self, node: exp.Expr, rows: str) -> str:
        if isinstance(node, exp.Connector):
            sign = " & " if isinstance(node, exp.And) else " | "
            return sign.join(self._part(self._condition(one, rows)) for one in node.flatten())
        if isinstance(node, exp.Paren):
            return self._condition(node.this, rows)
        if isinstance(node, exp.Not) and isinstance(node.this, exp.Between):
            # The opposite of "between" would keep rows that lack the value.
            column, low, high = node.this.this, node.this.args["low"], node.this.args["high"]
            below, above = exp.LT(this=column, expression=low), exp.GT(this=column, expression=high)
            return self._condition(exp.Or(this=below, expression=above), rows)
        if isinstance(node, exp.Not):
            return self._write("not", part=self._condition(node.this, rows))
        return self._compared(node, self._named(node.this, rows), rows)

    def _part(self, code: str) -> str:
        return code if self.is_r and not {"&", "|"} & {*code} else self._write("part", part=code)

    def _named(self, node: exp.Expr, rows: str) -> str:
        return self._write("column", rows=rows, c=self._name(_column(node)))

    def _compared(self, node: exp.Expr, column: str, rows: str) -> str:
        if isinstance(node, exp.Is):
            return self._write("missing", c=column)
        if isinstance(node, exp.In) and node.expressions:
            return self._write("in", c=column, values=", ".join(map(self._constant, node.expressions)))
        if isinstance(node, exp.Between):
            ends = {end: self._constant(node.args[end]) for end in ("low", "high")}
            return self._write("between", c=column, **ends)
        if isinstance(node, exp.Like | exp.ILike):
            pattern = node.expression.name
            # The patterns are those of meanings.py: %x, x% and %x%.
            step = "ends" if pattern.startswith("%") else "starts"
            step = "contains" if pattern.startswith("%") and pattern.endswith("%") else step
            return self._write(step, c=column, text=self._constant(exp.Literal.string(pattern.strip("%"))))
        if type(node) not in _SIGNS:
            raise NotUnderstood("I can only write this condition as SQL")
        return f"{column} {_SIGNS[type(node)]} {self._other(node.expression, rows)}"

    def _other(self, node: exp.Expr, rows: str) -> str:
        if isinstance(node, exp.Column):
            return self._named(node, rows)
        # What is left is a figure over all rows: "above the average".
        if not isinstance(node, exp.Subquery):
            return self._constant(node)
        figure = _figure(node.this.expressions[0].unalias(), "")
        column = self._named(exp.column(figure.column), rows)
        return self._write("overall", c=column, f=self._function(figure.function))

    def _constant(self, node: exp.Expr) -> str:
        if not node.is_string:
            return node.name or str(node.this)
        if self.library == "polars" and (one := day(node.name)):  # polars compares a date with no text
            return f"pl.date({one.start.year}, {one.start.month}, {one.start.day})"
        return r_string(node.name) if self.is_r else repr(node.name)


def _python_list(values: Sequence[object]) -> str:
    # A single value stands by itself: sort_values('a').
    return repr(values[0] if len(values) == 1 else list(values))


def _figure(node: exp.Expr, name: str) -> _Figure:
    if isinstance(node, exp.Count):
        distinct = node.find(exp.Distinct)
        if distinct:
            return _Figure(name, "nunique", _column(distinct.expressions[0]))
        return _Figure(name, "rows") if isinstance(node.this, exp.Star) else _Figure(name, "count", _column(node.this))
    if type(node) not in _FUNCTIONS:
        raise NotUnderstood(_ONLY_SQL)
    return _Figure(name, _FUNCTIONS[type(node)], _column(node.this))


def _column(node: exp.Expr) -> str:
    if not isinstance(node, exp.Column):
        raise NotUnderstood(_ONLY_SQL)
    return node.name
