"""Repeated tables, one for each year, day, release or area: which are one family, and which a question calls for."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rsql_magic.sql.linking.lexicon import skeleton
from rsql_magic.sql.linking.questions import question_of
from rsql_magic.sql.linking.words import stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rsql_magic.sql.catalog import Table

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# So many alike tables are a family; two may well be two things.
_FEWEST = 3
# The share of their columns that two members have in common: tables of another year gain and lose columns, while
# ``student_2`` and ``student_3`` may be two things.
_ALIKE_OVER_TIME, _ALIKE = 0.5, 0.8
# A table is compared with so many kinds of tables of its pattern, the latest.
_LOOKED_BACK = 8
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAME = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?"
)
_TOKEN = re.compile(rf"\d+|(?<![a-z])(?:{_MONTH_NAME})(?![a-z])|[a-z]+")
_RUN = re.compile(rf"\d+|(?<![a-z])(?:{_MONTH_NAME})(?![a-z])")


# What a table for each day or each year is worth where a month is asked for.
_MEETS = 0.5


class Period(NamedTuple):
    """Days from one to another, each as the number ``yyyymmdd``; a month is from its day 0 to its day 99."""

    first: int
    last: int

    def meets(self, other: Period) -> bool:
        """Whether they have a day in common."""
        return self.first <= other.last and other.first <= self.last


def _period(year: int, month: int = 0, day: int = 0) -> Period:
    if day:
        return Period(10_000 * year + 100 * month + day, 10_000 * year + 100 * month + day)
    first = 10_000 * year + 100 * month
    return Period(first, first + (99 if month else 9_999))


def _is_year(year: int) -> bool:
    return 1600 <= year < 2100


@dataclass(frozen=True)
class Called:
    """The times and numbers that a question names."""

    periods: tuple[Period, ...] = ()
    months: frozenset[int] = frozenset()  # 1 to 12
    numbers: tuple[tuple[int, frozenset[str]], ...] = ()  # Each with the words beside it


_YEAR = r"(?:1[6-9]|20)\d\d"
_POINT = re.compile(
    rf"(?<!\d[.,])(?:"
    rf"\b(?P<y1>{_YEAR})[-/.](?P<m1>\d{{1,2}})(?:[-/.](?P<d1>\d{{1,2}}))?\b"
    rf"|\b(?P<y2>{_YEAR})(?P<m2>0[1-9]|1[0-2])(?P<d2>[0-3]\d)?\b"
    rf"|\b(?P<n3>{_MONTH_NAME})\b\.? (?P<d3>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,? (?:of )?(?P<y3>{_YEAR})\b)?"
    rf"|\b(?P<d4>\d{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<n4>{_MONTH_NAME})\b(?:,? (?:of )?(?P<y4>{_YEAR})\b)?"
    rf"|\b(?P<n5>{_MONTH_NAME})\b\.?(?:,? (?:of |in )?(?P<y5>{_YEAR})\b)?"
    rf"|\b(?P<decade>{_YEAR[:-4]}\d0)(?:['’]?s)\b"
    rf"|\b(?P<y7>{_YEAR})\b)"
)
_TO = re.compile(r"\s*(?:(and)|to|through|thru|until|till|up to|[-–—])\s*(?:the\s+)?")
_SINCE = re.compile(r"\b(?:since|after|starting (?:in|from|with))\s+(?:the\s+)?$")
_BEFORE = re.compile(r"\b(?:before|until|till|up to|prior to)\s+(?:the\s+)?$")
_ONWARDS = re.compile(r"\s*(?:onwards?|or later|and later)\b")
_EVER = 99_999_999


@lru_cache(maxsize=64)
def called(question: str) -> Called:
    """The times and numbers that a question names.

    Example:
        >>> called("Compare 2010 with March 2021").periods
        (Period(first=20100000, last=20109999), Period(first=20210300, last=20210399))
        >>> called("between 2010 and 2014").periods
        (Period(first=20100000, last=20149999),)
    """
    text = question.casefold()
    found = list(_POINT.finditer(text))
    years = [_year_of(match) for match in found]
    points: list[tuple[int, int, Period]] = []
    months = set()
    for place, match in enumerate(found):
        month, day = _month_and_day(match)
        # A date without a year is of the year that is named next, or last.
        year = years[place] or next(filter(None, (*years[place:], *reversed(years[:place]))), 0)
        months |= {month} if month else set()
        if match["decade"]:
            points.append((match.start(), match.end(), Period(10_000 * year, 10_000 * (year + 9) + 9_999)))
        elif year:
            points.append((match.start(), match.end(), _period(year, month, day)))
    return Called(tuple(dict.fromkeys(_ranges(text, points))), frozenset(months), tuple(_numbers(text)))


def _year_of(match: re.Match[str]) -> int:
    return int(next((match[n] for n in ("y1", "y2", "y3", "y4", "y5", "decade", "y7") if match[n]), 0))


def _month_and_day(match: re.Match[str]) -> tuple[int, int]:
    name = match["n3"] or match["n4"] or match["n5"]
    month = _MONTHS.index(name[:3]) + 1 if name else int(match["m1"] or match["m2"] or 0)
    day = int(match["d1"] or match["d2"] or match["d3"] or match["d4"] or 0)
    return (month, day) if month <= 12 and day <= 31 else (0, 0)


def _ranges(text: str, points: Sequence[tuple[int, int, Period]]) -> Iterator[Period]:
    """The points of time, two that a range joins as one, and open ranges."""
    place = 0
    while place < len(points):
        start, end, period = points[place]
        place += 1
        if place < len(points):
            joint = _TO.fullmatch(text, end, points[place][0])
            if joint and (not joint[1] or re.search(r"\bbetween\W+(?:\w+\W+){0,3}$", text[:start])):
                end, period = points[place][1], Period(period.first, max(period.last, points[place][2].last))
                place += 1
                yield period
                continue
        if _SINCE.search(text, 0, start) or _ONWARDS.match(text, end):
            yield Period(period.first, _EVER)
        elif _BEFORE.search(text, 0, start):
            yield Period(0, period.last)
        else:
            yield period


_NUMBER = re.compile(
    r"(?P<before>[a-z]+)?[\s_#.-]{0,2}(?<!\d)(?P<number>\d{1,9})(?!\d)(?=(?:[\s_-]?(?P<after>[a-z]+))?)"
)
_WRITTEN = {"one": "1", "two": "2", "three": "3", "five": "5", "ten": "10"}
_WRITTEN_NUMBER = re.compile(rf"\b({'|'.join(_WRITTEN)})(?=[ -](?:year|month|week|day))")
_AND = frozenset({"and", "or", "to", "with", "versus", "vs"})
_ORDINAL = ("st", "nd", "rd", "th")


def _numbers(text: str) -> Iterator[tuple[int, frozenset[str]]]:
    """The numbers, each with the words beside it; of ``versions 3 and 5`` both have ``versions``."""
    text = _WRITTEN_NUMBER.sub(lambda match: _WRITTEN[match[1]], text)
    before = ""
    for match in _NUMBER.finditer(text):
        before = before if match["before"] in _AND or not match["before"] else match["before"]
        after = match["after"] or ""
        if after in _ORDINAL:
            after = next(iter(re.findall(r"[a-z]+", text[match.end("after") :])), "")
        yield int(match["number"]), frozenset({before, after} - {""})


@dataclass(frozen=True)
class _Slot:
    """Where the names of a family differ."""

    kind: str  # year, month, day, date, or number
    values: tuple[int, ...]  # Of each member
    beside: frozenset[str]  # The words beside it
    short: bool = False  # Whether all are two digits, which may be a year

    def meant(self, numbers: Iterable[tuple[int, frozenset[str]]], words: frozenset[str]) -> set[int]:
        """The values that a question's numbers mean: those beside a word like the one beside it in the name."""
        return {number for number, said in numbers if any(_like(one, self.beside, words) for one in said)}


def _like(said: str, beside: Iterable[str], words: Iterable[str]) -> bool:
    """Whether a word is one of a name, or what one beside the number shortens: ``version`` of ``v``, ``chr``."""
    return stem(said) in words or any(said[0] == one[0] and skeleton(said).startswith(skeleton(one)) for one in beside)


@dataclass(frozen=True)
class Family:
    """Tables that say one thing, ordered by the numbers in their names; mostly a single one."""

    members: tuple[Table, ...]

    @cached_property
    def model(self) -> Table:
        """What stands for all: the latest member, with the columns that only others have."""
        latest = self.members[-1]
        names = {column.name.casefold() for column in latest.columns}
        others = {c.name.casefold(): c for t in self.members[:-1] for c in t.columns if c.name.casefold() not in names}
        return latest.with_columns((*latest.columns, *others.values())) if others else latest

    @cached_property
    def _slots(self) -> tuple[_Slot, ...]:
        return tuple(_slots([table.full_name.casefold() for table in self.members]))

    @cached_property
    def _called(self) -> Mapping[str, int]:
        """The names of the members, with and without their schemas, and their places."""
        names = ((name.casefold(), p) for p, t in enumerate(self.members) for name in (t.name, t.full_name))
        return dict(names)

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(map(stem, re.findall(r"[a-z]{2,}", self.members[0].name.casefold())))

    @cached_property
    def periods(self) -> Sequence[Period | None]:
        """The time that each member is about, as far as its name says it."""
        return [_time(self._slots, place) for place in range(len(self.members))]

    def called_for(self, question: str) -> list[Table]:
        """The members that the question names, else those that its times and numbers call for, in their order."""
        asked, places = called(question), range(len(self.members))
        if named := sorted({self._called[name] for name in question_of(question).mentions if name in self._called}):
            return [self.members[place] for place in named]
        some = [p for p in places if (of := self.periods[p]) and any(map(of.meets, asked.periods))]
        for slot in self._slots:
            meant: set[int] = set()
            if slot.kind == "number":
                meant = slot.meant(asked.numbers, self._words)
            elif slot.kind == "month" and not any(self.periods):
                meant = set(asked.months)
            hits = [p for p in some or places if slot.values[p] in meant]
            if not hits and slot.short and not some:
                hits = [p for p in places if any(map(_short_year(slot.values[p]).meets, asked.periods))]
            some = hits or some
        return [self.members[place] for place in some]

    def shown_for(self, question: str, most: int) -> list[Table]:
        """The members that the question calls for, else the latest; of more than ``most`` the first and the last.

        The description of the first says how many there are.
        """
        if len(self.members) == 1:
            return [self.members[0]]
        some = self.called_for(question)
        first, *others = (some if len(some) <= most else [some[0], some[-1]]) or [self.members[-1]]
        return [self._described(first, len(some) if len(some) > most else 0), *others]

    def _described(self, table: Table, fitting: int) -> Table:
        low, high = self.members[0].full_name, self.members[-1].full_name
        alike = "these" if self.model is self.members[-1] else "about these"
        note = f"one of {len(self.members):,} tables with {alike} columns, {low} to {high}"
        fits = f"{fitting:,} of them are of the time or number asked for" if fitting else ""
        return replace(table, description="; ".join(part for part in (note, fits, table.description) if part))


def _short_year(value: int) -> Period:
    """What two digits are as a year."""
    return _period(value + (2000 if value <= 50 else 1900))


def _time(slots: Sequence[_Slot], place: int) -> Period | None:
    """The time that the slots of a member's name say: one date, or from one to another."""
    dates: list[list[int]] = []
    for slot in slots:
        value = slot.values[place]
        if slot.kind == "date":
            dates.append([value // 10_000, value // 100 % 100, value % 100])
        elif slot.kind == "year":
            dates.append([value])
        elif slot.kind in {"month", "day"} and dates:
            dates[-1].append(value)
    return Period(_period(*dates[0]).first, _period(*dates[-1]).last) if dates else None


def _slots(names: Sequence[str]) -> Iterator[_Slot]:
    """What the numbers and months in names of one pattern mean."""
    if not _RUN.search(names[0]):
        return
    rows = [_TOKEN.findall(name) for name in names]
    if len({len(row) for row in rows}) > 1:
        return
    kind = ""
    for place, column in enumerate(zip(*rows, strict=True)):
        if column[0].isdigit() or (column[0][:3] in _MONTHS and all(_RUN.fullmatch(one) for one in column)):
            values, kind = _values(column, kind)
            if kind != "number" or len(set(values)) > 1:
                words = {row[at] for row in rows[:1] for at in (place - 1, place + 1) if 0 <= at < len(row)}
                beside = frozenset(word for word in words if word.isalpha())
                yield _Slot(kind, values, beside, kind == "number" and {len(one) for one in column} == {2})


def _values(column: Sequence[str], before: str) -> tuple[tuple[int, ...], str]:
    """The values of a slot, and what they are, given what the slot before it is."""
    if not all(map(str.isdigit, column)):
        return tuple(_MONTHS.index(one[:3]) + 1 if one[0].isalpha() else int(one) for one in column), "month"
    values, lengths = tuple(map(int, column)), {len(one) for one in column}
    if lengths == {4} and all(map(_is_year, values)):
        return values, "year"
    dates = tuple(100 * value if lengths == {6} else value for value in values)
    if lengths in ({6}, {8}) and all(_is_year(d // 10_000) and d // 100 % 100 in range(1, 13) for d in dates):
        return dates, "date"
    # A single digit behind a year is rarely a month: ``county_2015_5yr``.
    if lengths in ({2}, {1, 2}) and before == "year" and all(1 <= value <= 12 for value in values):
        return values, "month"
    if lengths in ({2}, {1, 2}) and before == "month" and all(1 <= value <= 31 for value in values):
        return values, "day"
    return values, "number"


def families(tables: Iterable[Table]) -> list[Family]:
    """The tables, repeated ones together, in the order of their first members."""
    alike: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        alike[_RUN.sub("#", table.full_name.casefold())].append(table)
    return [family for members in alike.values() for family in _families(members)]


def _families(members: Sequence[Table]) -> Iterator[Family]:
    """The tables whose names have one pattern, those with similar columns together."""
    if len(members) < _FEWEST:
        yield from (Family((table,)) for table in members)
        return
    ordered = sorted(members, key=lambda table: _order(table.full_name))
    slots = _slots([table.full_name.casefold() for table in ordered])
    least = _ALIKE_OVER_TIME if any(slot.kind != "number" for slot in slots) else _ALIKE
    groups: list[list[Table]] = []
    columns: list[frozenset[str]] = []  # Of the last member of each group: columns change from year to year
    for table in ordered:
        own = column_names(table)
        late = range(max(0, len(groups) - _LOOKED_BACK), len(groups))
        place = next((place for place in late if overlap(own, columns[place]) >= least), len(groups))
        if place == len(groups):
            groups.append([])
            columns.append(own)
        groups[place].append(table)
        columns[place] = own
    for group in groups:
        yield from [Family(tuple(group))] if len(group) >= _FEWEST else (Family((table,)) for table in group)


def column_names(table: Table) -> frozenset[str]:
    """The names of a table's columns, case folded."""
    return frozenset(column.name.casefold() for column in table.columns)


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of columns in common (Jaccard)."""
    common = len(one & other)
    return common / max(len(one) + len(other) - common, 1)


def _order(name: str) -> tuple[tuple[int, ...], str]:
    """Names by the numbers and months in them."""
    runs = _RUN.findall(name.casefold())
    return tuple(int(run) if run.isdigit() else _MONTHS.index(run[:3]) + 1 for run in runs), name


class Times:
    """The times that all families are about, for those of a question to be found among them."""

    def __init__(self, families: Sequence[Family]) -> None:
        found = [(place, *period) for place, family in enumerate(families) for period in family.periods if period]
        self._places, self._first, self._last = np.array(found, np.int64).reshape(-1, 3).T

    def fit(self, question: str, tables: int) -> tuple[Floats, Floats]:
        """How well each table fits the times that the question names, 0 to 1; and 1 where it is of other times only."""
        fits, other = np.zeros(tables), np.zeros(tables)
        periods = called(question).periods if self._places.size else ()
        for first, last in periods:
            meets = (self._first <= last) & (self._last >= first)
            # A table for each month fits a month better than one for each day or year.
            same = meets & ((self._first == first) | (self._last == last))
            same &= ((self._first >= first) & (self._last <= last)) | ((self._first == first) & (self._last == last))
            fits[self._places[meets]] = np.maximum(fits[self._places[meets]], _MEETS)
            fits[self._places[same]] = 1.0
        if periods:
            other[self._places] = 1.0
            other[fits > 0] = 0.0
        return fits, other


# No more than so many tables of a schema with nearly the same columns, unless those are very few, stand together.
_MOST_TWINS, _SAME_COLUMNS, _TELLING_COLUMNS = 3, 0.8, 6


class Twins:
    """Tables of one schema whose names differ by a word and whose columns do not: for states, counties, districts."""

    def __init__(self, tables: Sequence[Table], schemas: Sequence[str]) -> None:
        self._tables, self._schemas = tables, schemas
        self._columns: dict[int, frozenset[str]] = {}

    def behind(self, ranked: Sequence[int], first: int) -> list[int]:
        """The places of ranked tables, but of many alike those after the third behind the first so many.

        Whichever is meant is among the three by its name, and the others would take the places of tables that say
        something else.
        """
        kinds: dict[str, list[list[frozenset[str]]]] = defaultdict(list)
        kept: list[int] = []
        more: list[int] = []
        for place in ranked:
            own, others = self._names(place), kinds[self._schemas[place]]
            alike = next((kind for kind in others if overlap(kind[0], own) >= _SAME_COLUMNS), [])
            if not alike and len(own) >= _TELLING_COLUMNS:
                others.append(alike)
            alike.append(own)
            (more if len(alike) > _MOST_TWINS else kept).append(place)
        return [*kept[:first], *more, *kept[first:]]

    def _names(self, place: int) -> frozenset[str]:
        if place not in self._columns:
            self._columns[place] = column_names(self._tables[place])
        return self._columns[place]
