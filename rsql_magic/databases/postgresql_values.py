"""Values of PostgreSQL that its drivers fail on, or change: they come as the text that the server writes."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rsql_magic.databases.columns import AsText
from rsql_magic.diagnostics import log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Types with values that Python has no room for: infinity, years before Christ, 24:00.
_TIMES = ("date", "time", "timetz", "timestamp", "timestamptz")


def load_exactly(cursor: Any) -> None:
    """Have a cursor of psycopg's give every value as it is stored, in arrays, ranges and records as well."""
    from psycopg.pq import Format
    from psycopg.types.json import set_json_loads

    known = cursor.adapters
    for name in (*_TIMES, "interval"):
        oid = known.types[name].oid
        known.register_loader(oid, _or_text(known.get_loader(oid, Format.TEXT), is_span=name == "interval"))
    set_json_loads(_json, cursor)


# The server's numbers of the types of dates, times and intervals, and of their arrays, ranges and multiranges.
_OF_TIMES = (
    *(1082, 1182, 3912, 3913, 4535, 1083, 1183, 1266, 1270, 1114, 1115, 3908, 3909, 4533),
    *(1184, 1185, 3910, 3911, 4534, 1186, 1187),
)
_OF_JSON = (114, 3802)
# What psycopg2 and pg8000 change without an error: infinity to the last day, 24:00 to 0:00, a month to 30 days.
_BEYOND = re.compile(r"infinity| BC\b|\b24:00|mon|year|\d{5,}-\d\d-")


@contextmanager
def exact_values(driver: Any) -> Iterator[None]:
    """Meanwhile have a connection of psycopg2's or pg8000's give every value as it is stored; others are left alone."""
    module = type(driver).__module__.partition(".")[0]
    types: dict[int, Any] = getattr(driver, {"psycopg2": "string_types", "pg8000": "pg_types"}.get(module, ""), {})
    before = dict(types)
    if module in {"psycopg2", "pg8000"}:
        make = _for_psycopg2 if module == "psycopg2" else _for_pg8000
        types.update({oid: make(types, oid) for oid in (*_OF_TIMES, *_OF_JSON)})
    try:
        yield
    finally:
        types.clear()
        types.update(before)


def _for_psycopg2(types: dict[int, Any], oid: int) -> Any:
    from psycopg2 import extensions

    usual = types.get(oid) or extensions.string_types.get(oid)

    def cast(text: str | None, cursor: Any) -> Any:
        return None if text is None else _exact(text, oid, lambda given: usual(given, cursor) if usual else given)

    return extensions.new_type((oid,), f"EXACT{oid}", cast)


def _for_pg8000(types: dict[int, Any], oid: int) -> Callable[[str], Any]:
    usual = types[oid]
    return lambda text: _exact(text, oid, usual)


def _exact(text: str, oid: int, usual: Callable[[str], Any]) -> Any:
    """What a driver makes of a value, or its text where Python has no such value."""
    if oid in _OF_JSON:
        return _json(text)
    if _BEYOND.search(text):
        return AsText(text)
    try:
        return usual(text)
    except Exception:
        log.debug("a value is given as its text", exc_info=True)
        return AsText(text)


def _or_text(usual: Any, *, is_span: bool) -> Any:
    """A loader that gives the text of what the usual one fails on, and of an interval with months and years."""
    from psycopg import Error
    from psycopg.adapt import Loader

    class OrText(Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._load: Callable[[Any], Any] = usual(oid, context).load

        def load(self, data: Any) -> Any:
            text = bytes(data)
            if is_span and (b"year" in text or b"mon" in text):  # psycopg takes a month for 30 days
                return AsText(text.decode())
            try:
                return self._load(data)
            except Error:
                return AsText(text.decode())

    return OrText


def _json(data: str | bytes) -> Any:
    return json.loads(data, parse_float=_number)


def _number(text: str) -> float | Decimal:
    """A number as a float where that is the same number."""
    exact, number = Decimal(text), float(text)
    return number if Decimal(repr(number)) == exact else exact
