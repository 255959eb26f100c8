"""Data frames, series and arrays of any library, described from a small sample and never copied."""

# pandas is read directly, because its frames may have duplicate, missing or non-text column names; everything else goes
# through narwhals. A lazy frame (polars `LazyFrame`, DuckDB relation, dask, ibis, Spark) is not collected: its columns
# and types are all that is said. No library is imported that the user has not imported: an object is known by the
# module of its class.

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rsql_magic.context.gathered import Frame, FrameColumn
from rsql_magic.context.reader import positions, read, reader_of
from rsql_magic.context.sources import Fences
from rsql_magic.context.value_names import SessionValues, by_filling, looked_at, starred
from rsql_magic.plain_text import counted
from rsql_magic.redaction import all_clean, names_settings, says_personal, says_secret
from rsql_magic.sql import Column, Profile, Table, count_tokens, facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rsql_magic.context.reader import Reader, Summary
    from rsql_magic.context.sources import Detail

# A text column with more distinct values than this is free text, and gives none of them.
CATEGORIES = 30
# Most categories that are shown of one column.
SHOWN = 12
# Rows that the level `sample` shows.
ROWS = 5
# Most rows that are looked at for names of secrets.
_SETTINGS = 1_000
# Most columns that are shown of sample rows.
WIDEST = 20


class FrameSource:
    """Frames, series and arrays as a context source."""

    kind = "frame"

    def matches(self, obj: Any) -> bool:
        """Whether the object is a frame, a series or an array of a known library."""
        return reader_of(obj) is not None

    def columns(self, obj: Any) -> list[str]:
        """The column names that can be typed."""
        return [name for name in read(obj).names if isinstance(name, str)]

    def suppressed(self, reader: Reader) -> set[str]:
        """Columns that are named by values, as those of a pivot table are: no text may be shown for being one."""
        return {str(reader.names[place]) for place in by_filling(reader, at_least=5, all_of_them=bool(reader.named_by))}

    def reader(self, obj: Any) -> Reader:
        """What reads the object."""
        return read(obj)

    def describe(self, obj: Any, name: str, detail: Detail) -> str:
        """The frame's text: a line for the frame, and lines for its columns as far as the budget goes."""
        return describe_frame(detail.reader or read(obj), name, detail)


def describe_frame(reader: Reader, name: str, detail: Detail) -> str:
    """The text of anything that has a reader."""
    return _Description(reader, name, detail).text()


def named_by_values(
    frames: Mapping[str, Any], at_least: int = 5, *, no_values: bool = False, fences: Fences | None = None
) -> frozenset[str]:
    """Names of columns that are values which may not be said, of frames of any known library by name."""
    # A value that ``at_least`` so many rows have may be said, unless no value may. ``fences`` keep a frame that fails
    # from spoiling the rest.
    fences = fences or Fences()
    readers = {name: fences.ask(name, lambda: read(frame), None) for name, frame in frames.items()}  # noqa: B023
    known = {name: reader for name, reader in readers.items() if reader is not None}
    return SessionValues(known, at_least, no_values=no_values, fences=fences).names


def singles(reader: Reader, detail: Detail, most: int = 25) -> list[int]:
    """The columns that a description may look at: those that are shown on their own, and those that may be values."""
    asked = _asked(reader, detail)
    alone = [run.columns[0] for run in facts.runs(reader.names, reader.types) if len(run.columns) == 1]
    return sorted({*asked, *alone[:most], *looked_at(reader)})


def _asked(reader: Reader, detail: Detail) -> set[int]:
    if not detail.columns:
        return set()
    return {place for place, name in enumerate(reader.names) if isinstance(name, str) and name in detail.columns}


class _Description:
    """The text of one frame in the making."""

    def __init__(self, reader: Reader, name: str, detail: Detail) -> None:
        self.reader = reader
        self.name = name
        self.detail = detail
        self.only_names = detail.level == "names" or detail.brief or not reader.rows
        self.where = None if self.only_names else positions(reader.rows, detail.rows)
        self.asked = _asked(reader, detail)
        self.written = Table(name)  # what the data dictionary says of this frame
        if detail.dictionary:
            columns = tuple(Column(str(column)) for column in reader.names)
            self.written = detail.dictionary.describe(Table(name, columns, kind="frame"))
        self.rare = set[int]()  # columns whose names are values that may not be said, unless they were asked about
        if detail.level != "sample":
            values = detail.values or SessionValues(at_least=detail.at_least, no_values=detail.level == "names")
            self.rare = values.places(reader) - self.asked
        if detail.dictionary is not None and any(map(detail.dictionary.restricts, reader.named_by.split(", "))):
            # The names are values of a restricted column, which nothing lets out.
            self.rare = set(range(len(reader.names))) - self.asked
        elif detail.dictionary is not None:
            self.rare |= {place for place in range(len(reader.names)) if self.is_of_restricted(place)} - self.asked
        found = facts.runs(reader.names, reader.types, {*self.asked, *self.rare})
        self.runs = [run for run in found if len(run.columns) > 1 or run.columns[0] not in self.rare]
        self.spelled = facts.RName if reader.label.startswith("R ") else str  # as names of columns are in code
        self.names: dict[int, str] = {}  # names as texts, without the secrets in them, each of which is counted once

    def is_of_restricted(self, place: int) -> bool:
        """Whether a column is a mark or a figure for one value of a restricted column, which its name would tell."""
        name, figures = self.reader.names[place], self.reader.family(place) in {"bool", "integer", "number"}
        spread = self.detail.dictionary is not None and self.detail.dictionary.made_of_restricted(str(name))
        described = self.written.column(str(name))
        return figures and spread and (described is None or described.meaning is None)

    def text(self) -> str:
        must = {n for n, run in enumerate(self.runs) if len(run.columns) == 1 and run.columns[0] in self.asked}
        text, lines = facts.fit(self.head(), self.runs, self.look, must, self.detail.budget, rows=self.reader.rows)
        self.detail.stated.append(self.frame(lines))
        if self.rare:
            text += f"\n(+{counted(len(self.rare), 'column')} whose names are values{self.begun()})"
        return text + self.first_rows() if self.detail.level == "sample" and not self.only_names else text

    def frame(self, lines: Sequence[facts.ColumnLine]) -> Frame:
        """What the lines of a text state."""
        columns = tuple(
            FrameColumn(c.name, c.type, description=c.description, unit=c.unit, profile=c.profile, many=line.many)
            for line in lines
            for c in [line.stated]
        )
        rows, width = None if self.detail.level == "names" else self.reader.rows, len(self.reader.names)
        hidden = width - sum(column.many for column in columns)
        return Frame(self.reader.label, width, rows, columns, hidden, bool(self.where))

    def begun(self) -> str:
        """What many of the names that are values begin with, such as the name of the column that was spread."""
        names = [name for place in sorted(self.rare) if isinstance(name := self.reader.names[place], str)]
        return "".join(f"; {text}" for text in self.clean(*map(facts.one_line, starred(names)[:5])))

    def head(self) -> str:
        reader, size = self.reader, counted(len(self.reader.names), "column")
        if self.detail.level != "names" and reader.rows is not None:
            size = f"{counted(reader.rows, 'row')} × {size}"
        named_by, index, description = self.clean(
            facts.one_line(reader.named_by) if reader.named_by else "",
            facts.one_line(", ".join(reader.index)) if reader.index else "",
            self.written.description or reader.description,
        )
        parts = [reader.label, size, f"named by {named_by}" if named_by else "", f"index {index}" if index else ""]
        if unnamed := reader.unnamed:
            parts.append(f"index without a name: {facts.one_line(', '.join(unnamed))}")
        lazy = " (lazy: not collected)" if reader.rows is None else ""
        sampled = f" (≈ from {len(self.where):,} rows)" if self.where else ""
        said = f"; {facts.one_line(description, 200)}" if description else ""
        known = ", ".join(part for part in parts if part) + lazy + sampled + said
        return f"{facts.one_line(self.name)}: {known}"

    def look(self, run: facts.Run, in_full: bool) -> tuple[list[str], Column]:
        """The names of the first and the last of columns that are alike, and of a single one what is known of it."""
        ends = list(dict.fromkeys((run.columns[0], run.columns[-1])))
        if in_full and len(ends) == 1:
            column = self.column(ends[0])
        else:
            column = Column("", self.reader.types[ends[0]])
            self.read_names(ends)
        return [self.names[place] for place in ends], column

    def read_names(self, places: Iterable[int]) -> None:
        """Have the names of columns as texts, without the secrets in them, each of which is counted once."""
        new = [place for place in places if place not in self.names]
        for place, name in zip(new, self.clean(*map(self.as_text, new)), strict=True):
            self.names[place] = (self.spelled if isinstance(self.reader.names[place], str) else facts.Written)(name)

    def as_text(self, place: int) -> str:
        name = self.reader.names[place]
        return (name if isinstance(name, str) else facts.shown_name(name))[:10_000]

    def column(self, place: int) -> Column:
        """What is known of a column, without the secrets in it."""
        name = str(self.reader.names[place])
        summary = None if self.only_names or says_secret(name) else self.reader.summary(place, self.where)
        description, unit = self.reader.note(place)
        written = (self.written.column(name) if self.detail.dictionary else None) or Column(name)
        profile = self.profile(place, summary) if summary else None
        values = list(profile.values) if profile else []
        known, description, *values = self.clean(self.as_text(place), written.description or description, *values)
        self.names[place] = (self.spelled if isinstance(self.reader.names[place], str) else facts.Written)(known)
        profile = replace(profile, values=tuple(dict.fromkeys(values))) if profile else None
        kind, unit = self.reader.types[place], written.unit or unit
        return Column(name, kind, description=description, unit=unit, profile=profile, meaning=written.meaning)

    def profile(self, place: int, summary: Summary) -> Profile:
        """The profile of a column, whose values are not yet without secrets."""
        if self.holds_settings and summary.family != "time":  # a value may be a password, however often it is there
            summary = replace(summary, top=(), low=None, high=None, form="")
        personal = _is_personal(self.reader.names[place]) or self.is_restricted(place)
        profile = profile_of(summary, self.reader.rows, personal=personal, at_least=self.detail.at_least)
        if self.where and summary.family == "integer" and profile.distinct == self.reader.rows:
            ends = self.reader.sorted_key(place)
            return self.exact(profile, ends) if ends else profile
        return profile

    def is_restricted(self, place: int) -> bool:
        """Whether the data dictionary forbids to show a column."""
        column = self.written.column(str(self.reader.names[place])) if self.detail.dictionary else None
        return column is not None and column.meaning is not None and column.meaning.restricted

    def exact(self, profile: Profile, ends: tuple[int, int]) -> Profile:
        """The profile of a sorted key, whose ends are known and which is certainly unique."""
        if profile.low is None:
            return profile
        return replace(profile, low=integer(ends[0], -1), high=integer(ends[1], 1), approximate=False)

    def first_rows(self) -> str:
        """Five rows of as many columns as the budget holds."""
        places = [run.columns[0] for run in self.runs if len(run.columns) == 1][:WIDEST]
        while places:
            text = self.rows_of(places)
            if count_tokens(text) <= self.detail.budget or len(places) == 1:
                return "\n" + text
            places = places[: len(places) // 2]  # half each time: a text is written and priced at every turn
        return ""

    def rows_of(self, places: list[int]) -> str:
        names = [str(self.reader.names[place]) for place in places]
        hidden = {
            n
            for n, p in enumerate(places)
            if says_secret(names[n]) or _is_personal(self.reader.names[p]) or self.is_restricted(p)
        }
        rows, labels = self.reader.head(places, ROWS), self.reader.labels(ROWS)
        # Whether something in a row, or its label, says that its values are secret.
        secret = [any(map(_says_secret, (*row, *labels[n : n + 1]))) for n, row in enumerate(rows)]
        shown = [
            [
                "[withheld]" if n in hidden or (secret[at] and not _says_secret(value)) else self.value(value)
                for n, value in enumerate(row)
            ]
            for at, row in enumerate(rows)
        ]
        self.read_names(places)
        head = "first rows: " + ", ".join(facts.shown_name(self.names[place]) for place in places)
        return "\n".join([head, *(", ".join(row) for row in shown)])

    @cached_property
    def holds_settings(self) -> bool:
        """Whether the rows are names and values, and some name says that its value is a secret."""
        if len(self.reader.names) == 1:
            return any(map(says_secret, self.reader.labels(_SETTINGS)))
        places = [place for place, name in enumerate(self.reader.names) if names_settings(str(name))]
        texts = [place for place in places if self.reader.family(place) in {"text", "object"}]
        where = positions(self.reader.rows, _SETTINGS)
        return any(_says_secret(value) for place in texts for value in self.reader.sample(place, where).values)

    def value(self, value: Any) -> str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "NA"
        (text,) = self.clean(str(value)[:1000])
        return facts.quoted_value(text) if type(value) is str else facts.one_line(text, 40)

    def clean(self, *texts: str) -> list[str]:
        return all_clean(texts, self.detail.redacted)


def _says_secret(value: Any) -> bool:
    """Whether a cell is the name of a secret: ``db_password``."""
    return isinstance(value, str) and len(value) <= 80 and says_secret(value)


def _is_personal(name: Any) -> bool:
    """Whether a column is about single people; one with several levels of names when any level says so."""
    return any(says_personal(str(part)) for part in (name if isinstance(name, tuple) else (name,)))


def profile_of(summary: Summary, rows: int | None, *, personal: bool, at_least: int) -> Profile:
    """What may be said about a column, by the summary of its sample and the rows of its frame; values as they are."""
    # Of values about single people neither values, range nor estimates are given.
    known = Profile(
        nulls=summary.missing / summary.size if summary.size else None,
        distinct=estimate_distinct(summary, rows),
        approximate=rows is not None and summary.size < rows,
    )
    if personal:
        return replace(known, distinct=None) if known.approximate else known
    if summary.size - summary.missing < at_least:  # so few values are single people's
        return known
    low, high = _range(summary)
    known = replace(known, low=low, high=high, form=summary.form)
    if known.distinct is None or known.distinct > CATEGORIES:
        return known
    # The categories that name nobody: few of them, short, and each seen often enough.
    frequent = tuple(value for value, count in summary.top if count >= at_least)
    complete = bool(frequent) and len(frequent) == known.distinct and len(frequent) <= SHOWN
    return replace(known, values=frequent[:SHOWN], complete=complete)


def estimate_distinct(summary: Summary, rows: int | None) -> int | None:
    """How many distinct values the whole column has, from a sample of it."""
    # Haas and Stokes' estimator Duj1 (Estimating the number of classes in a finite population, JASA 93, 1998), which
    # PostgreSQL's ANALYZE uses too: n·d / (n − f1 + f1·n/N) for d distinct values in n of N rows, f1 of them seen once.
    seen, distinct, once = summary.size - summary.missing, summary.distinct, summary.once
    if distinct is None or rows is None or summary.size >= rows:
        return distinct
    present = rows * seen / summary.size
    return round(min(seen * distinct / (seen - once + once * seen / present), present))


def _range(summary: Summary) -> tuple[str | None, str | None]:
    low, high = summary.low, summary.high
    if low is None:
        return None, None
    if summary.family == "integer":
        return integer(low, -1), integer(high, 1)
    return (_number(low, -1), _number(high, 1)) if summary.family == "number" else _times(low, high)


def integer(value: int, outwards: int) -> str:
    """An integer with at most four leading digits; a longer one is rounded outwards and marked ≈.

    Example:
        >>> integer(2013, 1), integer(1_000_000, 1), integer(123_456, 1), integer(123_456, -1)
        ('2013', '1000000', '≈123500', '≈123400')
    """
    # An extreme value can be one person's account or salary; four digits are enough to write a query.
    unit = 10 ** max(len(str(abs(value))) - 4, 0)
    rounded = math.ceil(value / unit) * unit if outwards > 0 else value // unit * unit
    return str(rounded) if rounded == value else f"≈{rounded}"


def _number(value: float, outwards: int) -> str:
    """Three digits below a thousand, marked ≈ when there were more, and what `integer` gives above.

    Example:
        >>> _number(0.25, -1), _number(14.537, -1), _number(1257.5, 1)
        ('0.25', '≈14.5', '1258')
    """
    number = float(value)
    if not 1000 <= abs(number) < 1e15:
        text = f"{number:.3g}"
        return text if type(value)(text) == value else f"≈{text}"
    return integer(math.ceil(number) if outwards > 0 else math.floor(number), outwards)


def _times(low: Any, high: Any) -> tuple[str, str]:
    """Two times to the minute when they are of one day, as days, or as months when two years lie between them."""
    first, last = str(low).replace("T", " "), str(high).replace("T", " ")
    if not (_DAY.match(first) and _DAY.match(last)):  # durations, times of day
        return first[:20], last[:20]
    size = 16 if first[:10] == last[:10] else 7 if int(last[:4]) - int(first[:4]) > 2 else 10
    return first[:size].removesuffix(" 00:00"), last[:size].removesuffix(" 00:00")


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
