"""Code for a question over one frame: it is read as one about a table, and the query becomes code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlglot import exp

from ..sql import NotUnderstood, laid_out, write
from .libraries import PANDAS, POLARS, R, r_name, r_string

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .libraries import Library
    from .notebook import Language, Notebook

_LEAD = re.compile(
    r"^\W*(?:please |can you |could you )*(?:"
    r"(?:how (?:do|can|would|should) (?:i|we|you)|how to|show me how to|write (?:the |some )?code (?:to|for|that)|"
    r"give me (?:the )?code (?:to|for)|code (?:to|for))(?: (?:get|compute|calculate|find|obtain|select|see))?|"
    r"please|can you|could you)\s+",
    re.IGNORECASE,
)
_TAIL = re.compile(r"\s+(?:in|with|using|as) (?:base )?(?:r|python|pandas|polars|sql)\W*$", re.IGNORECASE)
_FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Avg: "mean", exp.Sum: "sum", exp.Min: "min", exp.Max: "max",
    exp.Median: "median", exp.Stddev: "std", exp.Variance: "var",
}  # fmt: skip
_SIGNS: dict[type[exp.Expr], str] = {
    exp.EQ: "==", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip


def computed(notebook: Notebook, question: str) -> tuple[Language, str, str]:
    """Language, code and notes for a question that asks for rows or figures of a frame."""
    asked = notebook.asked
    frames = [item for item in notebook.named if item.is_frame] or [
        frame for frame in notebook.frames if asked in {None, "sql"} or frame.is_r == (asked == "r")
    ]
    if not frames:
        raise NotUnderstood("I see no data frame")
    bare = _TAIL.sub("", _LEAD.sub("", question.strip()))
    written = write(bare, notebook.catalog(frames), "duckdb", notebook.request.day)
    if written.chart:
        raise NotUnderstood("A chart is asked for")
    source = written.query.args["from_"].this.name
    frame = next((frame for frame in frames if frame.name == source), None)
    language, notes = notebook.language_for(frame), " ".join(written.notes[:2])
    if language == "sql":
        return "sql", laid_out(written.query, "duckdb"), notes
    python = POLARS if frame is not None and frame.is_polars else PANDAS
    return language, code_of(written.query, R if language == "r" else python), notes


class Figure(NamedTuple):
    """A figure: its name in the result, the function, and its column; ``rows`` counts rows and has none."""

    name: str
    function: str
    column: str = ""


def code_of(query: exp.Select, library: Library) -> str:
    """Code that computes what a query over one frame does, and shows it."""
    if any(query.args.get(part) for part in ("joins", "having")):
        raise NotUnderstood("I can only write this as SQL")
    return "\n".join(_Writer(query, library).lines())


@dataclass
class _Writer:
    """One query, written for one library."""

    query: exp.Select
    library: Library

    def lines(self) -> Iterator[str]:
        """The lines of code, the last of which shows the result."""
        frame, where = self.query.args["from_"].this.name, self.query.args.get("where")
        rows = r_name(frame) if self.library is R else frame
        load = self.library.templates.get("load", "")
        plain = not (self.figures or self.columns or self.order)
        if where:
            kept = self.library.write("filter", rows=rows, where=self.condition(where.this, rows))
            if plain:
                yield load + self.headed(kept)
                return
            yield load + self.library.write("assign", code=kept)
            rows, load = "rows", ""
        if self.figures and not self.groups:
            separator = "\n" if self.library is R else ", "
            yield load + separator.join(self.figure(one, rows) for one in self.figures)
            return
        code = self.grouped(rows) if self.groups else self.chosen(rows)
        yield from self.ordered(load + code)

    @property
    def groups(self) -> list[str]:
        """The columns that make groups."""
        group = self.query.args.get("group")
        return [_column(term) for term in group.expressions] if group else []

    @property
    def figures(self) -> list[Figure]:
        """The figures that are shown."""
        return [_figure(term.unalias(), term.alias) for term in self.query.expressions if term.find(exp.AggFunc)]

    @property
    def columns(self) -> list[str]:
        """The plain columns that are shown; none for all of them."""
        shown = (term for term in self.query.expressions if not isinstance(term, exp.Star))
        return [_column(term) for term in shown if not term.find(exp.AggFunc)]

    @property
    def order(self) -> list[tuple[str, bool]]:
        """The columns of the result to order by, and whether each goes down."""
        order = self.query.args.get("order")
        return [(_column(term.this), bool(term.args.get("desc"))) for term in (order.expressions if order else ())]

    def headed(self, code: str) -> str:
        """As many rows as are wanted."""
        limit = self.query.args.get("limit")
        return self.library.write("head", code=code, n=limit.expression.name) if limit else code

    def figure(self, figure: Figure, rows: str) -> str:
        """One figure of all rows."""
        if figure.function == "rows":
            return self.library.write("rows", rows=rows)
        step = figure.function if figure.function in self.library.templates else "figure"
        return self.library.write(
            step, rows=rows, c=self.library.name(figure.column), f=self.library.functions[figure.function]
        )

    def chosen(self, rows: str) -> str:
        """The columns that are shown or ordered by."""
        wanted = list(dict.fromkeys([*self.columns, *(name for name, _ in self.order)])) if self.columns else []
        names, texts = ", ".join(map(self.library.name, wanted)), ", ".join(map(r_string, wanted))
        code = self.library.write("columns", rows=rows, names=names, texts=texts) if wanted else rows
        return self.library.write("distinct", code=code) if self.query.args.get("distinct") else code

    def grouped(self, rows: str) -> str:
        """The figures of each group."""
        if self.library is R:
            return self._aggregate(rows)
        keys, figures = _python_list(self.groups), self.figures
        if [one.function for one in figures] == ["rows"]:
            return self.library.write("count by", rows=rows, keys=keys, name=repr(figures[0].name))
        each = (
            self.library.write(
                "rows by" if one.function == "rows" else "figure by",
                label=one.name, name=repr(one.name), c=repr(one.column), key=repr(self.groups[0]),
                f=self.library.functions.get(one.function),
            )
            for one in figures
        )  # fmt: skip
        return self.library.write("figures by", rows=rows, keys=keys, figures=", ".join(each))

    def _aggregate(self, rows: str) -> str:
        """R's ``aggregate`` computes one function of one or several columns; ``table`` counts rows."""
        functions = {one.function for one in self.figures}
        if functions == {"rows"}:
            keys = ", ".join(f"{r_name(name)} = {rows}${r_name(name)}" for name in self.groups)
            return f"as.data.frame(table({keys}), responseName = {r_string(self.figures[0].name)})"
        (function,) = functions if len(functions) == 1 else ("rows",)
        if function in {"rows", "count", "nunique"}:
            raise NotUnderstood("I can only write this as SQL")
        columns = [r_name(one.column) for one in self.figures]
        left = columns[0] if len(columns) == 1 else f"cbind({', '.join(columns)})"
        # A formula leaves out a row that lacks any of its columns; each column has gaps of its own.
        gaps = ", na.rm = TRUE, na.action = na.pass" if len(columns) > 1 else ""
        keys, name = " + ".join(map(r_name, self.groups)), self.library.functions[function]
        return f"aggregate({left} ~ {keys}, data = {rows}, FUN = {name}{gaps})"

    def ordered(self, code: str) -> Iterator[str]:
        """The result in order, with as many rows as are wanted."""
        names, downs = [name for name, _ in self.order], [down for _, down in self.order]
        if not names:
            yield self.headed(code)
        elif self.library is R:
            labels = {one.name: one.column for one in self.figures if one.function != "rows"}
            by = [f"result${r_name(labels.get(name, name))}" for name in names]
            # xtfrm makes numbers of texts where only some terms go down.
            terms = by if all(downs) else [f"-xtfrm({c})" if down else c for c, down in zip(by, downs, strict=True)]
            yield f"result <- {code}"
            yield self.headed(f"result[order({', '.join(terms)}{', decreasing = TRUE' if all(downs) else ''}), ]")
        else:
            ways = {"ups": _python_list([not down for down in downs]), "downs": _python_list(downs)}
            yield self.headed(self.library.write("order", code=code, names=_python_list(names), **ways))

    def condition(self, node: exp.Expr, rows: str) -> str:
        """A condition on rows."""
        if isinstance(node, exp.Connector):
            sign = " & " if isinstance(node, exp.And) else " | "
            return sign.join(self._part(self.condition(one, rows)) for one in node.flatten())
        if isinstance(node, exp.Paren):
            return self.condition(node.this, rows)
        if isinstance(node, exp.Not) and isinstance(node.this, exp.Between):
            # The opposite of "between" would keep rows that lack the value.
            low, high = (node.this.args[end] for end in ("low", "high"))
            outside = exp.Or(
                this=exp.LT(this=node.this.this, expression=low),
                expression=exp.GT(this=node.this.this, expression=high),
            )
            return self.condition(outside, rows)
        if isinstance(node, exp.Not):
            return self.library.write("not", part=self.condition(node.this, rows))
        return self._compared(node, self._named(node.this, rows), rows)

    def _part(self, code: str) -> str:
        return code if self.library is R and not {"&", "|"} & {*code} else self.library.write("part", part=code)

    def _named(self, node: exp.Expr, rows: str) -> str:
        return self.library.write("column", rows=rows, c=self.library.name(_column(node)))

    def _compared(self, node: exp.Expr, column: str, rows: str) -> str:
        if isinstance(node, exp.Is):
            return self.library.write("missing", c=column)
        if isinstance(node, exp.In) and node.expressions:
            return self.library.write("in", c=column, values=", ".join(map(self.library.constant, node.expressions)))
        if isinstance(node, exp.Between):
            ends = {end: self.library.constant(node.args[end]) for end in ("low", "high")}
            return self.library.write("between", c=column, **ends)
        if isinstance(node, exp.Like | exp.ILike):
            pattern = node.expression.name
            step = "ends" if pattern.startswith("%") else "starts"
            step = "contains" if pattern.startswith("%") and pattern.endswith("%") else step
            return self.library.write(
                step, c=column, text=self.library.constant(exp.Literal.string(pattern.strip("%")))
            )
        if type(node) not in _SIGNS:
            raise NotUnderstood("I can only write this condition as SQL")
        return f"{column} {_SIGNS[type(node)]} {self._other(node.expression, rows)}"

    def _other(self, node: exp.Expr, rows: str) -> str:
        """The right side: a constant, another column, or a figure over all rows."""
        if isinstance(node, exp.Column):
            return self._named(node, rows)
        if not isinstance(node, exp.Subquery):
            return self.library.constant(node)
        figure = _figure(node.this.expressions[0].unalias(), "")
        return self.library.write(
            "overall", c=self._named(exp.column(figure.column), rows), f=self.library.functions[figure.function]
        )


def _python_list(values: Sequence[object]) -> str:
    """Values as an argument, a single one as itself."""
    return repr(values[0] if len(values) == 1 else list(values))


def _figure(node: exp.Expr, name: str) -> Figure:
    if isinstance(node, exp.Count):
        distinct = node.find(exp.Distinct)
        if distinct:
            return Figure(name, "nunique", _column(distinct.expressions[0]))
        return Figure(name, "rows") if isinstance(node.this, exp.Star) else Figure(name, "count", _column(node.this))
    if type(node) not in _FUNCTIONS:
        raise NotUnderstood("I can only write this as SQL")
    return Figure(name, _FUNCTIONS[type(node)], _column(node.this))


def _column(node: exp.Expr) -> str:
    if not isinstance(node, exp.Column):
        raise NotUnderstood("I can only write this as SQL")
    return node.name
