"""What the offline model is asked: the member ``rsql`` of a request, as values.

The kernel sends it beside the messages where the gateway announces that this model answers (docs/offline.md). It holds
what the messages state and nothing else, so the prompts themselves are never read here.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Literal

import msgspec

from rsql_magic.sql import Catalog, Profile, Table, Unreadable, canonical

Task = Literal["sql", "repair", "ask", "study", "explain", "result"]
Sheet = Literal["summary", "flashcards", "quiz", "exam"]

_NUMBERS = ("int", "uint", "float", "decimal", "dbl", "double", "num", "i32", "i64", "f32", "f64")
_FRAME = re.compile(r"data\.?frame|lazyframe|tibble|data\.table|arrow|\btable\b", re.IGNORECASE)
_SQL = re.compile(r"```sql[^\n]*\n(.*?)```", re.DOTALL | re.IGNORECASE)


class MalformedRequest(ValueError):
    """The member has another form; the message says where."""


class Turn(msgspec.Struct, frozen=True):
    """An earlier question and the answer it got."""

    question: str
    answer: str

    @property
    def sql(self) -> str:
        """The query of the answer; empty where it holds none."""
        found = _SQL.search(self.answer)
        return found[1].strip() if found else ""


class FrameColumn(msgspec.Struct, frozen=True):
    """A column of a frame, or several alike: ``many``, whose name is then a range of names."""

    name: str
    type: str = ""
    unit: str = ""
    description: str = ""
    profile: Profile | None = None
    many: int = 1

    @property
    def known(self) -> Profile:
        """What is known of its values."""
        return self.profile or Profile()

    @property
    def ends(self) -> tuple[str, str] | None:
        """The smallest and the largest value; one that is rounded or of a sample begins with ≈."""
        low, high = self.known.low, self.known.high
        if low is None or high is None:
            return None
        mark = "≈" if self.known.approximate else ""
        return mark + low.removeprefix("≈") if mark else low, mark + high.removeprefix("≈") if mark else high

    @property
    def is_number(self) -> bool:
        """Whether its type is one of numbers: of pandas, polars, Arrow or R."""
        return self._kind.startswith(_NUMBERS)

    @property
    def is_time(self) -> bool:
        """Whether it holds dates or times."""
        return self._kind.startswith(("date", "time", "posix", "dttm"))

    @property
    def is_text(self) -> bool:
        """Whether it holds text or categories."""
        return not (self.is_number or self.is_time or self._kind.startswith(("bool", "logical", "lgl", "list")))

    @property
    def _kind(self) -> str:
        return self.type.lower().strip("<>")


class Described(msgspec.Struct, frozen=True):
    """An object of the session: a data frame, a vector, a model, a number.

    Args:
        kind: ``frame`` and ``object`` are Python's, ``r`` is R's.
        name: What the user calls it.
        label: What it is: ``pandas DataFrame``, ``R lm model; formula y ~ x``, ``int 3``.
        width: Number of all columns, ``hidden`` of them not described; None for what has none.
        rows: Number of rows, where it is known; ``sampled`` where figures come from a sample.
        columns: The columns that are described.
    """

    kind: str
    name: str
    label: str = ""
    width: int | None = None
    rows: int | None = None
    columns: tuple[FrameColumn, ...] = ()
    hidden: int = 0
    sampled: bool = False

    @property
    def is_r(self) -> bool:
        """Whether it lives in R."""
        return self.kind == "r" or self.label.startswith("R ")

    @property
    def is_frame(self) -> bool:
        """Whether it is a data frame, with named columns."""
        return self.width is not None and _FRAME.search(self.label) is not None

    @property
    def is_polars(self) -> bool:
        """Whether it is a frame of polars."""
        return "polars" in self.label.lower()

    def get(self, name: str) -> FrameColumn | None:
        """The column of that name, case ignored when no exact match exists."""
        exact = next((c for c in self.columns if c.name == name), None)
        return exact or next((c for c in self.columns if c.name.lower() == name.lower()), None)

    def is_unique(self, column: FrameColumn) -> bool:
        """Whether no value of a column repeats."""
        known = column.known
        return bool(self.rows and self.rows > 1 and known.distinct == self.rows and not known.nulls) and (
            not known.approximate
        )


class OfflineRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request.

    Args:
        task: What the answer must be.
        question: The user's words.
        dialect: sqlglot's name of the SQL dialect; empty where none is known.
        today: The day of the question in ISO's form, where the question counts from it.
        tables: Tables, as the privacy level allows; ``source`` is ``frames`` for the live frames.
        objects: What the session holds; ``joins`` and ``help`` (pages) are sent with them and not read.
        error: The last error, where the question is about it.
        cells: Recent cells, newest last; ``session`` is what runs, with its packages.
        language: The language of code that is wanted, or empty.
        history: Earlier turns, oldest first.
        sql: The query to repair or to explain; ``problems`` is what is wrong with it.
        sheet: The kind of study material, and in ``count`` how many items.
        rows: The first rows of a result as CSV, and in ``returned`` how many there are.
    """

    task: Task
    question: str
    dialect: str = ""
    today: str = ""
    tables: tuple[Table, ...] = ()
    source: str = ""
    objects: tuple[Described, ...] = ()
    joins: tuple[Any, ...] = ()
    help: tuple[Any, ...] = ()
    error: str = ""
    cells: tuple[str, ...] = ()
    session: tuple[str, ...] = ()
    language: Literal["", "r", "python", "sql"] = ""
    history: tuple[Turn, ...] = ()
    sql: str = ""
    problems: tuple[str, ...] = ()
    sheet: Sheet = "quiz"
    count: int | None = None
    rows: str = ""
    returned: str = ""

    @property
    def catalog(self) -> Catalog:
        """The tables with their dialect."""
        return Catalog(self.tables, self.dialect)

    @property
    def day(self) -> date | None:
        """The day of the question."""
        try:
            return date.fromisoformat(self.today)
        except ValueError:
            return None


def read(member: Any) -> OfflineRequest:
    """The request that a member ``rsql`` makes.

    Raises:
        MalformedRequest: It has another form.

    Example:
        >>> read({"task": "sql", "question": "How many?", "tables": [{"name": 3}]})
        Traceback (most recent call last):
            ...
        jupyter_server_ext.offline.request.MalformedRequest: Expected `str`, got `int` - at `$.tables[0].name`
    """
    try:
        request = msgspec.convert(member, OfflineRequest)
        if request.dialect:
            canonical(request.dialect)
    except (msgspec.ValidationError, Unreadable) as wrong:
        raise MalformedRequest(str(wrong)) from None
    return request
