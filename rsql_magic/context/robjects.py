"""Tables, vectors and other objects of R, described from what R said about them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rsql_magic.context.frames import describe_frame
from rsql_magic.context.r import GROUP, UNIT, RObject, listed
from rsql_magic.context.reader import Marks, Reader, Summary
from rsql_magic.redaction import clean, says_personal
from rsql_magic.sql import Column, Table, cut, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.context.reader import Family
    from rsql_magic.context.sources import Detail


class RReader(Reader):
    """A table or vector of R whose columns were looked at in R."""

    def __init__(self, each: RObject) -> None:
        super().__init__(each.label, each.columns, each.types, each.rows, each.description)
        self._columns = {}
        self._labels: tuple[str, ...] = ()
        for line in each.said or ():
            place, *facts = line.split(UNIT)
            if place == "labels":
                self._labels = listed(facts[0])
            if place.isdigit():
                self._columns[int(place) - 1] = facts

    def note(self, place: int) -> tuple[str, str]:
        """The column's ``label`` and ``units`` attributes."""
        facts = self._columns.get(place)
        return (facts[8], facts[9]) if facts else ("", "")

    def summary(self, place: int, positions: list[int] | None) -> Summary | None:  # noqa: ARG002 - R chose the rows
        """What R counted; None for a column that was not looked at."""
        facts = self._columns.get(place)
        if facts is None:
            return None
        family: Family = facts[0]  # type: ignore[assignment]
        size, missing = int(facts[1]), int(facts[2])
        top = facts[7].split(GROUP) if facts[7] else []
        return Summary(
            family=family,
            size=size,
            missing=missing,
            low=_value(facts[3], family),
            high=_value(facts[4], family),
            distinct=int(facts[5]) if facts[5] else None,
            once=int(facts[6]) if facts[6] else 0,
            top=tuple((value, int(count)) for value, count in zip(top[::2], top[1::2], strict=True)),
        )

    def head(self, places: Sequence[int], rows: int) -> list[list[Any]]:
        """The first rows, as far as they were brought along and for the columns that were looked at."""
        columns = [listed(self._columns[place][11])[:rows] if place in self._columns else () for place in places]
        shown = [
            [_cell(column[row]) if row < len(column) else _Written("…") for column in columns] for row in range(rows)
        ]
        return shown[: max(map(len, columns), default=0)]

    def labels(self, rows: int) -> list[str]:
        """The names of the first rows, or of a vector's first values."""
        return list(self._labels[:rows])

    def family(self, place: int) -> Family:
        """What kind of values the column holds, by its class as far as it was not looked at."""
        facts = self._columns.get(place)
        return facts[0] if facts else _FAMILIES.get(self.types[place], "other")  # type: ignore[return-value]

    def marks(self, place: int) -> Marks | None:
        """How a column of numbers or flags is filled."""
        facts = self._columns.get(place)
        if facts is None or len(facts) < 14 or facts[0] not in {"bool", "integer", "number"}:
            return None
        return Marks(
            int(facts[1]), int(facts[12]), facts[13] == "flag", int(facts[13]) if facts[13].isdigit() else None
        )

    def sorted_key(self, place: int) -> tuple[int, int] | None:
        """The ends of a strictly increasing column of whole numbers."""
        ends = self._columns[place][10].split(GROUP) if place in self._columns else [""]
        return (int(ends[0]), int(ends[1])) if len(ends) == 2 else None


_FAMILIES: dict[str, Family] = {
    "numeric": "number",
    "double": "number",
    "integer": "integer",
    "logical": "bool",
    "character": "text",
    "factor": "text",
    "ordered": "text",
}


def _value(text: str, family: Family) -> Any:
    if not text:
        return None
    return int(text) if family == "integer" else float(text) if family == "number" else text


class _Written(str):
    """A value as R writes it, which is not quoted again."""

    __slots__ = ()


def _cell(text: str) -> Any:
    """A value of a sample row: text begins with a quote, everything else is shown as R writes it."""
    return text[1:] if text.startswith("'") else _Written(text)


_VALUE_SAID = re.compile(r"^(R (?:numeric|integer|logical)) \S+$")


class RSource:
    """Objects of R as a context source."""

    kind = "r"

    def matches(self, obj: Any) -> bool:
        """Whether the object stands for one of R's."""
        return type(obj) is RObject

    def columns(self, obj: RObject) -> Sequence[str]:
        """The names of a table's columns."""
        return obj.columns

    def reader(self, obj: RObject) -> Reader | None:
        """What reads a table or a vector."""
        return RReader(obj) if obj.rows is not None else None

    def table(self, obj: RObject, name: str, detail: Detail) -> Table:
        """The object as a table, without looking at its values."""
        columns = tuple(Column(column, kind) for column, kind in zip(obj.columns, obj.types, strict=True))
        table = Table(name, columns, kind="frame", rows=obj.rows)
        return detail.dictionary.describe(table) if detail.dictionary else table

    def describe(self, obj: RObject, name: str, detail: Detail) -> str:
        """The object's text."""
        if obj.rows is not None:
            return describe_frame(RReader(obj), name, detail)
        said = clean(obj.said[0], detail.redacted) if obj.said else ""
        if says_personal(name):
            said = _VALUE_SAID.sub(r"\1", said)
        described = f" ({one_line(clean(obj.description, detail.redacted), 200)})" if obj.description else ""
        return cut(f"{name}: {said or obj.label}{described}", detail.budget)
