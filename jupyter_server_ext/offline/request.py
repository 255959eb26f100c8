"""What the offline model is asked: the member ``rsql`` of a request, as values."""

# The kernel sends it beside the messages where the gateway announces that this model answers (docs/offline.md). It
# holds what the messages state and nothing else, so the prompts themselves are never read here.

from __future__ import annotations

import re
from datetime import date
from typing import Any, Literal

import msgspec

from rsql_magic.sql import Catalog, Definition, Definitions, Profile, Table, Unreadable, canonical

from .tables import table

Task = Literal["sql", "repair", "ask", "study", "explain", "result"]
Sheet = Literal["summary", "flashcards", "quiz", "exam"]

_NUMBERS = ("int", "uint", "float", "decimal", "dbl", "double", "num", "i32", "i64", "f32", "f64")
_FRAME = re.compile(r"data\.?frame|lazyframe|tibble|data\.table|arrow|\btable\b", re.IGNORECASE)
_SQL = re.compile(r"```sql[^\n]*\n(.*?)```", re.DOTALL | re.IGNORECASE)


class MalformedRequest(ValueError):
    """The member has another form; the message says where."""


class EarlierTurn(msgspec.Struct, frozen=True):
    """An earlier question and the answer it got."""

    question: str
    answer: str

    @property
    def sql(self) -> str:
        """The query of the answer; empty where it holds none."""
        found = _SQL.search(self.answer)
        return found[1].strip() if found else ""


class DescribedField(msgspec.Struct, frozen=True):
    """A column of a frame, or several alike: ``many``, whose name is then a range of names."""

    name: str = ""  # a frame may have a column whose name is empty
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
        # One end alone is no range.
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
    """An object of the session: a data frame, a vector, a model, a number."""

    kind: str  # ``frame`` and ``object`` are Python's, ``r`` is R's
    name: str = ""  # what the user calls it
    label: str = ""  # what it is: ``pandas DataFrame``, ``R lm model; formula y ~ x``, ``int 3``
    width: int | None = None  # number of all columns; None for what has none
    rows: int | None = None  # number of rows, where it is known
    columns: tuple[DescribedField, ...] = ()  # the columns that are described
    hidden: int = 0  # how many are not
    sampled: bool = False  # whether figures come from a sample

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

    def get(self, name: str) -> DescribedField | None:
        """The column of that name, case ignored when no exact match exists."""
        # R and Python mind the case, people who ask do not.
        exact = next((c for c in self.columns if c.name == name), None)
        return exact or next((c for c in self.columns if c.name.lower() == name.lower()), None)

    def is_unique(self, column: DescribedField) -> bool:
        """Whether no value of a column repeats."""
        known = column.known
        is_exact = not (known.nulls or known.approximate)
        return is_exact and (self.rows or 0) > 1 and known.distinct == self.rows


class SentPassage(msgspec.Struct, frozen=True):
    """A passage of a document, with its headings as its first line."""

    name: str  # its number, document and line: ``2: guide.md:12``
    text: str


class OfflineRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request."""

    task: Task  # what the answer must be
    question: str  # the user's words
    dialect: str = ""  # sqlglot's name of the SQL dialect; empty where none is known
    today: str = ""  # the day of the question in ISO's form, where the question counts from it
    tables: tuple[Table, ...] = ()  # as the privacy level allows
    definitions: tuple[Definition, ...] = ()  # metrics, and named filters and values of rows
    source: str = ""  # ``frames`` where the tables are the live frames
    objects: tuple[Described, ...] = ()  # what the session holds
    joins: tuple[Any, ...] = ()  # sent with the objects, as the help pages are; not read
    help: tuple[Any, ...] = ()
    documents: tuple[SentPassage, ...] = ()  # that fit the question
    error: str = ""  # the last error, where the question is about it
    cells: tuple[str, ...] = ()  # recent cells, newest last
    session: tuple[str, ...] = ()  # what runs, with its packages
    language: Literal["", "r", "python", "sql"] = ""  # that code is wanted in
    history: tuple[EarlierTurn, ...] = ()  # earlier turns, oldest first
    sql: str = ""  # the query to repair or to explain
    problems: tuple[str, ...] = ()  # what is wrong with it
    sheet: Sheet = "quiz"  # the kind of study material
    count: int | None = None  # how many items of it
    rows: str = ""  # the first rows of a result as CSV
    returned: str = ""  # how many there are

    @property
    def catalog(self) -> Catalog:
        """The tables with their dialect and definitions."""
        return Catalog(self.tables, self.dialect, definitions=Definitions(self.definitions))

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


def only_english(question: str) -> str:
    """The sentence, in the question's language, that only English is understood; empty for an English question.

    Example:
        >>> only_english("How many flights?"), only_english("Wie viele Flüge gibt es?")[:19]
        ('', 'Das Offline-Modell ')
    """
    languages, letters = table("languages"), [char for char in question if char.isalpha()]
    if letters and sum(ord(char) > 0x24F for char in letters) > len(letters) / 2:  # a script that is not Latin
        return str(languages["other"]["says"])
    words = re.findall(r"[^\W\d_]+", question.lower())
    counts = {name: sum(w in each.get("words", "").split() for w in words) for name, each in languages.items()}
    english = counts.pop("en")
    best = max(counts, key=counts.__getitem__)
    # One word may be a name; two small words of a language are a sentence of it.
    return str(languages[best]["says"]) if counts[best] >= 2 and counts[best] > english else ""
