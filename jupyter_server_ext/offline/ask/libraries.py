"""How pandas, polars and base R write names, constants and the steps of a query: one table of templates for each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..sql import day

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlglot import exp

    from .notebook import Language

_SYNTACTIC = re.compile(r"(?:[A-Za-z]|\.(?!\d))[A-Za-z0-9._]*")
_RESERVED = frozenset("if else repeat while function for next break TRUE FALSE NULL Inf NaN NA in".split())  # noqa: SIM905


def r_name(text: str) -> str:
    """A name as R writes it, in backticks where it must be.

    Example:
        >>> r_name("mpg"), r_name("unit price")
        ('mpg', '`unit price`')
    """
    plain = _SYNTACTIC.fullmatch(text) and text not in _RESERVED
    return text if plain else "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def r_string(text: str) -> str:
    """A text as R writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _constant(text: Callable[[str], str]) -> Callable[[exp.Expr], str]:
    def written(node: exp.Expr) -> str:
        return text(node.name) if node.is_string else node.name or str(node.this)

    return written


def _polars_constant(node: exp.Expr) -> str:
    """A constant; polars compares a date with no text."""
    if node.is_string and (one := day(node.name)):
        return f"pl.date({one.start.year}, {one.start.month}, {one.start.day})"
    return _constant(repr)(node)


@dataclass(frozen=True)
class Library:
    """How one library writes code.

    Args:
        language: Its language.
        name: A name as code.
        constant: A constant as code.
        functions: Its names of figures.
        templates: Code for each step, in which ``{rows}`` are the rows so far and ``{c}`` is a column.
    """

    language: Language
    name: Callable[[str], str]
    constant: Callable[[exp.Expr], str]
    functions: Mapping[str, str]
    templates: Mapping[str, str]

    def write(self, step: str, **names: object) -> str:
        """The code of one step."""
        return self.templates[step].format_map(names)


_PLAIN = {name: name for name in ("mean", "sum", "min", "max", "median", "std", "var", "nunique", "count")}
_PYTHON = {
    "assign": "rows = {code}",
    "column": "{rows}[{c}]",
    "columns": "{rows}[[{names}]]",
    "rows": "len({rows})",
    "figure": "{rows}[{c}].{f}()",
    "head": "{code}.head({n})",
    "missing": "{c}.isna()",
    "overall": "{c}.{f}()",
    "not": "~({part})",
    "part": "({part})",
}
PANDAS = Library("python", repr, _constant(repr), _PLAIN, _PYTHON | {
    "filter": "{rows}[{where}]",
    "distinct": "{code}.drop_duplicates()",
    "count by": "{rows}.groupby({keys}).size().reset_index(name={name})",
    "figures by": "{rows}.groupby({keys}, as_index=False).agg({figures})",
    "figure by": "{label}=({c}, '{f}')",
    "rows by": "{label}=({key}, 'size')",
    "order": "{code}.sort_values({names}, ascending={ups})",
    "in": "{c}.isin([{values}])",
    "between": "{c}.between({low}, {high})",
    "starts": "{c}.str.startswith({text}, na=False)",
    "ends": "{c}.str.endswith({text}, na=False)",
    "contains": "{c}.str.contains({text}, case=False, regex=False, na=False)",
})  # fmt: skip
POLARS = Library("python", repr, _polars_constant, _PLAIN | {"nunique": "n_unique"}, _PYTHON | {
    "load": "import polars as pl\n\n",
    "filter": "{rows}.filter({where})",
    "column": "pl.col({c})",
    "distinct": "{code}.unique()",
    "count by": "{rows}.group_by({keys}).agg(pl.len().alias({name}))",
    "figures by": "{rows}.group_by({keys}).agg({figures})",
    "figure by": "pl.col({c}).{f}().alias({name})",
    "rows by": "pl.len().alias({name})",
    "order": "{code}.sort({names}, descending={downs}, nulls_last=True)",
    "missing": "{c}.is_null()",
    "in": "{c}.is_in([{values}])",
    "between": "{c}.is_between({low}, {high})",
    "starts": "{c}.str.starts_with({text})",
    "ends": "{c}.str.ends_with({text})",
    "contains": "{c}.str.contains({text}, literal=True)",
})  # fmt: skip
R = Library("r", r_name, _constant(r_string), _PLAIN | {"std": "sd", "var": "var"}, {
    "assign": "rows <- {code}",
    "filter": "subset({rows}, {where})",
    "column": "{c}",
    "columns": "{rows}[, c({texts})]",
    "rows": "nrow({rows})",
    "figure": "{f}({rows}${c}, na.rm = TRUE)",
    "overall": "{f}({c}, na.rm = TRUE)",
    "nunique": "length(unique({rows}${c}))",
    "count": "sum(!is.na({rows}${c}))",
    "distinct": "unique({code})",
    "head": "head({code}, {n})",
    "missing": "is.na({c})",
    "not": "!({part})",
    "part": "({part})",
    "in": "{c} %in% c({values})",
    "between": "{c} >= {low} & {c} <= {high}",
    "starts": "startsWith({c}, {text})",
    "ends": "endsWith({c}, {text})",
    "contains": "grepl({text}, {c}, fixed = TRUE)",
})  # fmt: skip
"""Base R; its groups and orders are written by `code`, as they have no form that fits a template."""
