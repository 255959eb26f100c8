"""Values of PostgreSQL that psycopg fails on, or changes: they come as the text that the server writes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rsql_magic.databases.columns import AsText

if TYPE_CHECKING:
    from collections.abc import Callable

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
