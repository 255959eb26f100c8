"""The names that a failed cell asks for and that are not there, each with the one that was probably meant."""

# A small model that knows only of "no attribute 'costs'" makes up such a column; one that knows of `cost` corrects the
# name. The interpreter suggests names of its own only when it prints a traceback, and none of columns.

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from inspect import ismodule
from typing import TYPE_CHECKING, Any

from rsql_magic.answers.code_checks import Unknown, unknown_in_python
from rsql_magic.context import python_frames
from rsql_magic.diagnostics import ignoring

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ALIKE = 0.7  # from where on a name is another spelling: "total" is none of "tail"
_UNDEFINED = re.compile(r"name '(\w+)' is not defined")


def missing_names(
    code: str,
    error: BaseException | str | None,
    namespace: Mapping[str, Any],
    suppressed: frozenset[str] = frozenset(),
) -> list[str]:
    """What Python code asks for in vain, a sentence each; ``suppressed`` columns are not listed, as they are values.

    Example:
        >>> missing_names("flihgts.head()", "NameError: name 'flihgts' is not defined", {"flights": 1})
        ["There is no 'flihgts'. Did you mean 'flights'?"]
    """
    frames = python_frames(namespace)
    (unknown,) = unknown_in_python([code], frames.columns, frames.attributes, suppressed, frames.polars)

    def elsewhere(name: str) -> str:
        holders = [frame for frame, columns in frames.columns.items() if name in columns and name not in suppressed]
        return ", ".join(holders[:3])

    def said_of(each: Unknown) -> str:
        if each.is_method or each.is_attribute or get_close_matches(each.column, each.columns, 1):
            return str(each)
        if holders := elsewhere(each.column):
            return f"{each} {holders} has it."
        return str(replace(each, column="…"))  # a text that is no name of anything may be a value

    said = [said_of(each) for each in unknown]
    if name := _undefined(error):
        holders = elsewhere(name)
        column = f"{name} is no variable, but a column of {holders}: write {name!r}."
        said.append(column if holders else _nearest(name, namespace))
    elif isinstance(error, AttributeError) and isinstance(error.name, str) and not said:
        with ignoring("listing attributes"):  # of a class of other people's, which may not say what it has
            said.append(_nearest(error.name, vars(error.obj) if ismodule(error.obj) else dir(type(error.obj))))
    return list(filter(None, said))


def _undefined(error: BaseException | str | None) -> str:
    if isinstance(error, NameError):
        return error.name if isinstance(error.name, str) else ""
    found = _UNDEFINED.search(error) if isinstance(error, str) else None
    return found[1] if found else ""


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, [each for each in known if not each.startswith("_")], 1, _ALIKE)
    return f"There is no {name!r}. Did you mean {close[0]!r}?" if close else ""
