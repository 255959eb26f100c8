"""The types of columns in ``data-dict.yaml``, and the checks of one column."""

from __future__ import annotations

import re
from datetime import datetime
from math import isnan
from typing import TYPE_CHECKING, Any, Protocol

from rsql_magic.knowledge.data_dict_shape import is_number
from rsql_magic.knowledge.expressions.language import is_date, is_datetime

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCALARS = ("string", "number", "number(id)", "number(ordinal)", "number(quantity)", "boolean", "date", "datetime")
_TYPES = frozenset((*_SCALARS, "enum", "struct"))
_RANGED = frozenset(("number(ordinal)", "number(quantity)", "date", "datetime"))
_NUMBERS = frozenset(name for name in _SCALARS if name.startswith("number"))
_AREAS = "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc"
_ZONE = re.compile(rf"(?:naive|UTC|(?:{_AREAS})(?:/[A-Za-z0-9_+-]+)+)\Z")


class Reporter(Protocol):
    """Notes what is wrong with a column: a code, a message, and the entry that it is about."""

    def __call__(self, code: str, message: str, key: str = "name") -> None:
        """Note it."""


def innermost(type_name: str) -> str:
    """The type of the elements of a list of lists, or the type itself.

    Example:
        >>> innermost("list(list(number(id)))"), innermost("date")
        ('number(id)', 'date')
    """
    while type_name.startswith("list(") and type_name.endswith(")"):
        type_name = type_name[5:-1]
    return type_name


def check_keys(entry: Any, problem: Reporter) -> None:
    """Lists and records are no keys."""
    written = entry.get("type") or ""
    if written == "struct" or written.startswith("list("):
        for each in entry.get("constraints") or []:
            if each in ("primary_key", "foreign_key", "unique"):
                problem("S29", f"a {written} cannot be {each}", "constraints")


def check_column(entry: Any, problem: Reporter) -> None:
    """Type, units, time zone, and the values that stand for the column's."""
    written = entry.get("type")
    inner = innermost(written or "")
    if "units" in entry and inner != "number(quantity)":
        problem("S08", "only a number(quantity) has units", "units")
    if "time_zone" in entry and inner != "datetime":
        problem("S14", "only a datetime has a time_zone", "time_zone")
    if "time_zone" in entry and not _ZONE.match(entry["time_zone"]):
        problem("S15", f"{entry['time_zone']!r} is no time zone such as Europe/Paris, UTC or naive", "time_zone")
    if inner == "enum" and "values" in entry and not _are_texts(entry["values"]):
        problem("S24", "values should be texts, at least one; quote those that look like numbers", "values")
    if written is None:
        return
    if inner not in _TYPES:
        problem("S28", f"{written} is no type; there are {', '.join(sorted(_TYPES))} and list(…)", "type")
    elif wrong := list(_misrepresented(entry, inner)):
        for key, message in wrong:
            problem("S07", message, key)
    elif inner != "enum":
        _check_values(entry, inner, problem)


def _check_values(entry: Any, inner: str, problem: Reporter) -> None:
    """Range and examples hold values of the type, in order."""
    zoned = "time_zone" in entry
    strays = [
        (key, each)
        for key in ("range", "examples")
        for each in entry.get(key) or []
        if not _is_of(each, inner, zoned=zoned, open_end=key == "range")
    ]
    for key, each in strays:
        problem("S12", f"{each!r} in {key} is no {inner}{' without an offset' if zoned else ''}", key)
    if not strays and "range" in entry and not _ascends(*entry["range"]):
        problem("S13", "range descends: the first value is the least", "range")


def _are_texts(values: Any) -> bool:
    return bool(values) and all(isinstance(value, str) for value in values)


def _misrepresented(entry: Any, inner: str) -> Iterator[tuple[str, str]]:
    """Which of values, range, examples and fields are missing or out of place for a type."""
    wanted = {"struct": "fields", "enum": "values", "boolean": ""}.get(
        inner, "range" if inner in _RANGED else "examples"
    )
    allowed = {wanted, *({"range", "examples"} if inner in _RANGED or inner in _NUMBERS else ())}
    if wanted and entry.get(wanted) is None:
        yield "type", f"a {inner} needs {wanted}"
    for key in ("values", "range", "examples", "fields"):
        if key in entry and key not in allowed:
            yield key, f"a {inner} has no {key}"


def _is_of(value: Any, inner: str, *, zoned: bool, open_end: bool) -> bool:
    if isinstance(value, float) and value in {float("inf"), float("-inf")} and open_end:
        return True
    if inner in _NUMBERS:
        return is_number(value) and not isnan(value)
    if inner == "date":
        return isinstance(value, str) and is_date(value)
    if inner == "datetime":
        return isinstance(value, str) and is_datetime(value) == ("plain" if zoned else "offset")
    return isinstance(value, str)


def _ascends(low: Any, high: Any) -> bool:
    if isinstance(low, float) and abs(low) == float("inf"):
        return low < 0 and high != low
    if isinstance(high, float) and abs(high) == float("inf"):
        return high > 0
    if isinstance(low, str):
        return datetime.fromisoformat(low) <= datetime.fromisoformat(high)
    return bool(low <= high)


def kind_of(type_name: str) -> str:
    """The expression language's type of a column's."""
    if type_name.startswith("list("):
        return "list"
    if type_name not in _TYPES:
        return "unknown"
    return {"enum": "string"}.get(type_name, "number" if type_name in _NUMBERS else type_name)
