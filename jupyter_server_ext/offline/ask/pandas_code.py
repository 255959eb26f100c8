"""pandas code for the steps of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .conditions import Grammar
from .python_code import METHODS, join_keys, kept_groups, literal

if TYPE_CHECKING:
    from .tree import Measure, Steps

_PARTS = {"week": "isocalendar().week", "weekday": "day_name()"}


def _grammar(frame: str) -> Grammar:
    """Conditions on the columns of one frame."""

    def column(name: str) -> str:
        return f"{frame}[{name!r}]"

    def part(name: str, part: str) -> str:
        if part == "weekday":
            return f"(({column(name)}.dt.dayofweek + 1) % 7)"
        return f"{column(name)}.dt.{_PARTS.get(part, part)}"

    return Grammar(
        column,
        part,
        literal,
        repr,
        overall=lambda function, column: f"{column}.{METHODS[function]}()",
        operand="({})".format,
        negated="~({part})",
        missing="{c}.isna()",
        among="{c}.isin([{values}])",
        between="{c}.between({low}, {high})",
        starts="{c}.str.startswith({text}, na=False)",
        ends="{c}.str.endswith({text}, na=False)",
        contains="{c}.str.contains({text}, case=False, regex=False, na=False)",
    )


def pandas(steps: Steps) -> str:
    """Pandas code that does the steps and shows the result.

    Raises:
        NotUnderstood: A step has no plain pandas counterpart.
    """
    lines: list[str] = []
    source = steps.frame
    if steps.joins:
        merged = source + "".join(_merge(join.frame, join.left, join.right) for join in steps.joins)
        lines.append(f"data = {merged}")
        source = "data"
    if steps.parts:
        made = ", ".join(f"{p.name}={source}[{p.column!r}].dt.{_PARTS.get(p.part, p.part)}" for p in steps.parts)
        lines.append(f"data = {source}.assign({made})")
        source = "data"
    if steps.where is not None:
        rows = f"{source}[{_grammar(source).write(steps.where)}]"
        if steps.only_filters:
            return "\n".join([*lines, _headed(rows, steps)])
        lines.append(f"rows = {rows}")
        source = "rows"
    return "\n".join([*lines, _result(steps, source)])


def _merge(frame: str, left: str, right: str) -> str:
    return f".merge({frame}, {join_keys(left, right)})"


def _result(steps: Steps, source: str) -> str:
    if steps.measures and not steps.group:
        return ", ".join(_value(measure, source) for measure in steps.measures)
    code = _grouped(steps, source) if steps.group else _columns(steps, source)
    return _headed(code + _sorted(steps), steps)


def _sorted(steps: Steps) -> str:
    if not steps.order:
        return ""
    names = [name for name, _ in steps.order]
    ups = [not down for _, down in steps.order]
    ascending = "" if all(ups) else f", ascending={ups[0] if len(ups) == 1 else ups}"
    return f".sort_values({(names[0] if len(names) == 1 else names)!r}{ascending})"


def _headed(code: str, steps: Steps) -> str:
    return f"{code}.head({steps.limit})" if steps.limit else code


def _columns(steps: Steps, source: str) -> str:
    needed = list(dict.fromkeys([*steps.columns, *(name for name, _ in steps.order)]))
    code = f"{source}[{needed!r}]" if steps.columns else source
    return f"{code}.drop_duplicates()" if steps.distinct else code


def _grouped(steps: Steps, source: str) -> str:
    keys = steps.group[0] if len(steps.group) == 1 else list(steps.group)
    if not steps.measures:
        return f"{source}[{list(steps.group)!r}].drop_duplicates()"
    if len(steps.measures) == 1 and steps.measures[0].function == "count":
        code = f"{source}.groupby({keys!r}).size().reset_index(name={steps.measures[0].name!r})"
    else:
        shares = ", ".join(f"{m.name}={_indicator(m, source)}" for m in steps.measures if m.condition is not None)
        frame = f"{source}.assign({shares})" if shares else source
        measures = ", ".join(_aggregation(m, steps) for m in steps.measures)
        code = f"{frame}.groupby({keys!r}, as_index=False).agg({measures})"
    return code + (f".query({kept_groups(steps)!r})" if steps.having is not None else "")


def _aggregation(measure: Measure, steps: Steps) -> str:
    if measure.function == "count":
        return f"{measure.name}=({steps.group[0]!r}, 'size')"
    if measure.condition is not None:
        return f"{measure.name}=({measure.name!r}, 'mean')"
    return f"{measure.name}=({measure.column!r}, {METHODS[measure.function]!r})"


def _indicator(measure: Measure, source: str) -> str:
    """One where the condition of a share holds; a hundred for a percentage."""
    condition = _grammar(source).write(measure.condition) if measure.condition is not None else "True"
    return f"({condition}) * 100" if measure.function == "percentage" else f"({condition})"


def _value(measure: Measure, source: str) -> str:
    """One figure over all rows."""
    if measure.function == "count":
        return f"len({source})"
    if measure.condition is not None:
        return f"({_indicator(measure, source)}).mean()"
    return f"{source}[{measure.column!r}].{METHODS[measure.function]}()"
