"""R code for the steps of a query: base R, or dplyr where the user has it attached or names it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from ..sql import NotUnderstood
from .conditions import Grammar, sign_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .tree import DatePart, Measure, Steps

_FUNCTIONS = {
    "mean": "mean",
    "sum": "sum",
    "min": "min",
    "max": "max",
    "median": "median",
    "std": "sd",
    "var": "var",
    "filled": "length",
}
_SYNTACTIC = re.compile(r"(?:[A-Za-z]|\.(?!\d))[A-Za-z0-9._]*")
_RESERVED = frozenset(
    {
        "if",
        "else",
        "repeat",
        "while",
        "function",
        "for",
        "next",
        "break",
        "TRUE",
        "FALSE",
        "NULL",
        "Inf",
        "NaN",
        "NA",
        "in",
    }
)


def r_name(text: str) -> str:
    """A name as R writes it, in backticks where it must be.

    Example:
        >>> r_name("mpg"), r_name("unit price")
        ('mpg', '`unit price`')
    """
    plain = _SYNTACTIC.fullmatch(text) and text not in _RESERVED
    return text if plain else "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def string(text: str) -> str:
    """A text as R writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(node: exp.Expr) -> str:
    """A constant as R writes it."""
    if isinstance(node, exp.Literal):
        return string(node.name) if node.is_string else node.name
    return node.sql()


_FORMATS = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "week": "%V", "weekday": "%w"}


def _part(column: str, part: str) -> str:
    """A part of dates as a number."""
    if part == "date":
        return f"as.Date({column})"
    if part == "quarter":
        return f"((as.integer(format({column}, {string('%m')})) + 2) %/% 3)"
    return f"as.integer(format({column}, {string(_FORMATS[part])}))"


def _made(part: DatePart) -> str:
    """A part of dates as a column."""
    column = r_name(part.column)
    return f"{r_name(part.name)} = {f'weekdays({column})' if part.part == 'weekday' else _part(column, part.part)}"


def _call(function: str, column: str) -> str:
    return f"sum(!is.na({column}))" if function == "filled" else f"{_FUNCTIONS[function]}({column}, na.rm = TRUE)"


_R = Grammar(
    r_name,
    lambda name, part: _part(r_name(name), part),
    literal,
    string,
    overall=_call,
    operand=lambda part: f"({part})" if " | " in part or " & " in part else part,
    negated="!({part})",
    missing="is.na({c})",
    among="{c} %in% c({values})",
    between="{c} >= {low} & {c} <= {high}",
    starts="startsWith({c}, {text})",
    ends="endsWith({c}, {text})",
    contains="grepl({text}, {c}, fixed = TRUE)",
)
"""Conditions in the names of a frame's columns, as ``subset`` and ``filter`` take them."""


def base(steps: Steps) -> str:
    """Base R code that does the steps and shows the result.

    Raises:
        NotUnderstood: A step has no plain counterpart in base R.
    """
    lines: list[str] = []
    data = r_name(steps.frame)
    for join in steps.joins:
        keys = (
            f"by = {string(join.left)}"
            if join.left == join.right
            else f"by.x = {string(join.left)}, by.y = {string(join.right)}"
        )
        lines.append(f"data <- merge({data}, {r_name(join.frame)}, {keys})")
        data = "data"
    if steps.parts:
        lines.append(f"data <- transform({data}, {', '.join(_made(part) for part in steps.parts)})")
        data = "data"
    if steps.where is not None:
        subset = f"subset({data}, {_R.write(steps.where)})"
        if not steps.measures and not steps.group:
            return "\n".join([*lines, _shown(steps, subset, lines)])
        lines.append(f"rows <- {subset}")
        data = "rows"
    if steps.group:
        lines += _base_grouped(steps, data)
    elif steps.measures:
        lines += [_base_value(measure, data) for measure in steps.measures]
    else:
        lines.append(_shown(steps, data, lines))
    return "\n".join(lines)


def _shown(steps: Steps, data: str, lines: list[str]) -> str:
    """Columns, ordering and number of rows, on data that may be an expression."""
    if steps.order and not _SYNTACTIC.fullmatch(data):
        lines.append(f"rows <- {data}")
        data = "rows"
    rows = _order(data, steps.order)
    columns = f"c({', '.join(string(c) for c in steps.columns)})" if steps.columns else ""
    code = f"{data}[{rows}, {columns}]" if rows or columns else data
    if steps.distinct:
        code = f"unique({code})"
    return f"head({code}, {steps.limit})" if steps.limit else code


def _order(data: str, terms: Sequence[tuple[str, bool]]) -> str:
    """``order(…)`` of the rows; ``xtfrm`` makes numbers of texts where only some terms go down."""
    columns = [f"{data}${r_name(column)}" for column, _ in terms]
    downs = [down for _, down in terms]
    if not terms:
        return ""
    if len(set(downs)) == 1:
        return f"order({', '.join(columns)}{', decreasing = TRUE' if downs[0] else ''})"
    mixed = [f"-xtfrm({column})" if down else column for column, down in zip(columns, downs, strict=True)]
    return f"order({', '.join(mixed)})"


def _base_value(measure: Measure, data: str) -> str:
    if measure.function == "count":
        return f"nrow({data})"
    if measure.condition is not None:
        scale = "100 * " if measure.function == "percentage" else ""
        return f"{scale}with({data}, mean({_R.write(measure.condition)}, na.rm = TRUE))"
    column = f"{data}${r_name(measure.column)}"
    return f"length(unique({column}))" if measure.function == "nunique" else _call(measure.function, column)


def _base_grouped(steps: Steps, data: str) -> list[str]:
    functions = {measure.function for measure in steps.measures}
    several_counts = len(steps.measures) > 1 and bool(functions & {"count", "nunique", "filled"})
    if len(functions) != 1 or steps.having is not None or several_counts:
        raise NotUnderstood("this needs dplyr")
    keys = " + ".join(r_name(column) for column in steps.group)
    measure = steps.measures[0]
    result = _base_summary(steps, data, keys, measure)
    label = measure.name if measure.function in {"count", "share", "percentage"} else measure.column
    if not steps.order and not steps.limit:
        return [result]
    lines = [f"result <- {result}"]
    known = {measure.name: label}
    order = _order("result", [(known.get(column, column), down) for column, down in steps.order])
    code = f"result[{order}, ]" if order else "result"
    return [*lines, f"head({code}, {steps.limit})" if steps.limit else code]


def _base_summary(steps: Steps, data: str, keys: str, measure: Measure) -> str:
    if measure.function == "count":
        columns = ", ".join(f"{r_name(c)} = {data}${r_name(c)}" for c in steps.group)
        return f"as.data.frame(table({columns}), responseName = {string(measure.name)})"
    if measure.condition is not None:
        scale = "100 * " if measure.function == "percentage" else ""
        inside = f"transform({data}, {r_name(measure.name)} = {scale}({_R.write(measure.condition)}))"
        return f"aggregate({r_name(measure.name)} ~ {keys}, data = {inside}, FUN = mean)"
    if measure.function == "nunique":
        return f"aggregate({r_name(measure.column)} ~ {keys}, data = {data}, FUN = function(x) length(unique(x)))"
    measured = [r_name(m.column) for m in steps.measures]
    function = _FUNCTIONS[measure.function]
    if len(measured) == 1:
        return f"aggregate({measured[0]} ~ {keys}, data = {data}, FUN = {function})"
    # A formula leaves out a row that lacks any of its columns; each column has gaps of its own.
    gaps = "na.rm = TRUE, na.action = na.pass"
    return f"aggregate(cbind({', '.join(measured)}) ~ {keys}, data = {data}, FUN = {function}, {gaps})"


# --- dplyr ---


def dplyr(steps: Steps) -> str:
    """Dplyr code that does the steps and shows the result."""
    return "library(dplyr)\n\n" + " |>\n  ".join([r_name(steps.frame), *_dplyr_rows(steps), *_dplyr_result(steps)])


def _dplyr_rows(steps: Steps) -> Iterator[str]:
    """The verbs that make the rows."""
    for join in steps.joins:
        keys = string(join.left) if join.left == join.right else f"c({string(join.left)} = {string(join.right)})"
        yield f"inner_join({r_name(join.frame)}, by = {keys})"
    if steps.parts:
        yield f"mutate({', '.join(_made(part) for part in steps.parts)})"
    if steps.where is not None:
        yield f"filter({_R.write(steps.where)})"


def _dplyr_result(steps: Steps) -> Iterator[str]:
    """The verbs that compute, order and choose."""
    if steps.group:
        yield f"group_by({', '.join(r_name(column) for column in steps.group)})"
    if steps.measures:
        measures = ", ".join(f"{r_name(m.name)} = {_dplyr_measure(m)}" for m in steps.measures)
        yield f"summarise({measures}{', .groups = ' + string('drop') if steps.group else ''})"
    elif steps.group:
        yield "distinct()"
    if steps.having is not None:
        yield f"filter({_dplyr_having(steps)})"
    if steps.order:
        terms = [f"desc({r_name(column)})" if down else r_name(column) for column, down in steps.order]
        yield f"arrange({', '.join(terms)})"
    if steps.columns and not steps.group and not steps.measures:
        yield f"{'distinct' if steps.distinct else 'select'}({', '.join(r_name(c) for c in steps.columns)})"
    if steps.limit:
        yield f"slice_head(n = {steps.limit})"


def _dplyr_measure(measure: Measure) -> str:
    if measure.function == "count":
        return "n()"
    if measure.condition is not None:
        return (
            f"{'100 * ' if measure.function == 'percentage' else ''}mean({_R.write(measure.condition)}, na.rm = TRUE)"
        )
    if measure.function == "nunique":
        return f"n_distinct({r_name(measure.column)})"
    return _call(measure.function, r_name(measure.column))


def _dplyr_having(steps: Steps) -> str:
    node = steps.having or exp.null()
    return f"{r_name(steps.measures[-1].name)} {sign_of(node)} {literal(node.expression)}"
