"""Tables that repeat: one per day or tenant, and copies of others; the question says which are called for."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.words import stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rsql_magic.sql.catalog import Table
    from rsql_magic.sql.linking.lexicon import Naming


# So many alike tables are a family; two may well be two things.
_FEWEST = 3
_MOST_SHOWN = 4
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = re.compile(rf"(?<![a-z])({'|'.join(_MONTHS)})[a-z]*(?![a-z])")
_DIGITS = re.compile(r"\d+")
_DAY = re.compile(r"\b(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\b")


@dataclass(frozen=True)
class Family:
    """Tables that say one thing, ordered by the numbers in their names; mostly a single one."""

    members: tuple[Table, ...]

    @property
    def model(self) -> Table:
        """The member that stands for all: the latest."""
        return self.members[-1]

    def shown_for(self, question: str) -> list[Table]:
        """The members that the question's dates call for, else the latest; the first says how many there are."""
        if len(self.members) == 1:
            return [self.model]
        dates = _dates(question)
        called = [max(self.members, key=lambda m: _agreement(m, date)) for date in dates]
        called = [member for member, date in zip(called, dates, strict=True) if _agreement(member, date)]
        first, *others = list(dict.fromkeys(m.full_name for m in called))[:_MOST_SHOWN] or [self.model.full_name]
        by_name = {member.full_name: member for member in self.members}
        return [self._described(by_name[first]), *(by_name[name] for name in others)]

    def _described(self, table: Table) -> Table:
        low, high = self.members[0].full_name, self.members[-1].full_name
        note = f"one of {len(self.members):,} tables with these columns, {low} to {high}"
        return replace(table, description="; ".join(part for part in (note, table.description) if part))


def families(tables: Iterable[Table]) -> list[Family]:
    """The tables, repeated ones together, in the order of their first members."""
    alike: dict[object, list[Table]] = defaultdict(list)
    for table in tables:
        alike[_kind(table)].append(table)
    return [family for members in alike.values() for family in _families(members)]


def _families(members: list[Table]) -> Iterator[Family]:
    if len(members) >= _FEWEST:
        yield Family(tuple(sorted(members, key=lambda t: _numbers(t.full_name))))
    else:
        yield from (Family((table,)) for table in members)


def _kind(table: Table) -> object:
    """What members of a family have in common."""
    name = table.full_name.casefold()
    pattern = _MONTH.sub("#", _DIGITS.sub("#", name))
    if pattern == name:
        return name
    return pattern, frozenset(column.name.casefold() for column in table.columns)


def _numbers(name: str) -> tuple[tuple[int, ...], str]:
    months = (str(_MONTHS.index(match[1]) + 1) for match in _MONTH.finditer(name.casefold()))
    return tuple(map(int, (*_DIGITS.findall(name), *months))), name


def _dates(question: str) -> list[str]:
    """Dates and numbers of a question as the digits that names would hold: "March 2021" is 202103."""
    text = question.casefold()
    whole = [f"{year}{int(month):02}{int(day):02}" for year, month, day in _DAY.findall(text)]
    text = _DAY.sub(" ", text)
    months = [f"{_MONTHS.index(month) + 1:02}" for month in re.findall(rf"\b({'|'.join(_MONTHS)})[a-z]*\b", text)]
    years = re.findall(r"\b(?:19|20)\d\d\b", text)
    together = [year + month for year in years for month in months]
    numbers = (number for number in re.findall(r"\b\d+\b", text) if not together or number not in years)
    return list(dict.fromkeys([*whole, *together, *numbers]))


def _agreement(table: Table, date: str) -> int:
    """How many digits of a date the numbers in a table's name begin with, none when they contradict it."""
    digits = "".join(_DIGITS.findall(table.name))
    # Names write a year in two digits too: sales_21 is of 2021.
    runs = [digits, *_DIGITS.findall(table.name), *(f"20{run}" for run in _DIGITS.findall(table.name) if len(run) == 2)]
    return max((len(date) for run in runs if run.startswith(date) or run == date.lstrip("0")), default=0)


# What a mark means, and the words of a question that ask for it.
_MARKS = {
    "history": "history historical past former previous earlier change changed version",
    "archive": "archive archived archival past former old",
    "old": "old past former previous earlier closed returned",
    "deleted": "deleted removed discarded withdrawn",
    "backup": "backup copy",
    "temporary": "temporary temp",
    "staging": "staging stage staged loaded",
    "log": "log logged audit change changed history",
    "copy": "copy copied",
    "test": "test",
}
_WRITTEN = {
    "history": "history hist histories hst historic",
    "archive": "archive archived archives arch arc",
    "old": "old prev previous legacy",
    "deleted": "deleted del removed purged",
    "backup": "backup bak bkp bck backups",
    "temporary": "temporary temp tmp",
    "staging": "staging stage stg stag",
    "log": "log logs audit aud audits",
    "copy": "copy cpy dup zz snapshot snap",
    "test": "test tst demo",
}
_MARK = {word: mark for mark, words in _WRITTEN.items() for word in words.split()}
# Marks that are written without a seam: ``deletedbiblio``.
_GLUED = ("deleted", "archived", "old")
_ASKED = {mark: frozenset(map(stem, words.split())) for mark, words in _MARKS.items()}
# So many of a table's columns are in its copy, or so many of the copy's in the table.
_ALIKE = 0.6


@dataclass(frozen=True)
class Copy:
    """What a table is a copy of."""

    original: int  # The place of the other table
    mark: str  # What its name adds, such as ``history``, or a number

    def asked_for(self, stems: Iterable[str]) -> bool:
        """Whether the words of a question ask for such copies."""
        return not _ASKED.get(self.mark, frozenset({self.mark})).isdisjoint(stems)


def copies(tables: Sequence[Table], naming: Naming) -> Mapping[int, Copy]:
    """The tables that are copies of others, by their places."""
    written = [(*prefix, *name) for prefix, name in zip(naming.prefixes, naming.names, strict=True)]
    called = {"".join(name): place for names in (naming.names, written) for place, name in enumerate(names)}
    found = {}
    for place, name in enumerate(naming.names):
        for mark, rest in _readings(name):
            original = called.get(rest, place)
            if original != place and _same_columns(tables[original], tables[place]):
                found[place] = Copy(original, mark)
    return found


def _readings(name: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The marks that a name may have, and the name without."""
    whole = "".join(name)
    for word in name:
        rest = "".join(w for w in name if w != word)
        if word.isdigit() or word in _MARK:
            yield _MARK.get(word, word), rest
    yield from ((_MARK[word], whole.removeprefix(word)) for word in _GLUED if whole.startswith(word))


def _same_columns(original: Table, copy: Table) -> bool:
    ours, theirs = ({column.name.casefold() for column in table.columns} for table in (original, copy))
    return len(ours & theirs) >= _ALIKE * min(len(ours), len(theirs))
