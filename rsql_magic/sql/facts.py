"""The text of what is known of a column, and of a frame: compact, bounded, the same for every source.

sales: pandas DataFrame, 1,000,000 rows × 8 columns (≈ from 10,000 rows)
- id int64: 1..1000000; unique
- region str: values: 'N', 'S', 'E', 'W'
- note str: ≈9,800 distinct; 3% NA
- metric_0..metric_199 float64 (200 columns)
(+183 columns not shown)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rsql_magic.sql.tokens import count_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rsql_magic.sql.catalog import Column, Profile

# Fewest like columns that are shown as one line.
RUN = 4

_PLAIN_NAME = re.compile(r"[^\W\d](?:[\w.$%-]*[\w$%])?|[._]\w[\w.]*")
_NUMBER = re.compile(r"[0-9]+")
_LONGEST_NAME = 80
_LONGEST_VALUE = 40
_LONGEST_TEXT = 200


def facts(column: Column, rows: int | None = None, missing: str = "NA") -> str:
    """What is known of a column, in the order range, values, distinct, missing, unit, description.

    Args:
        column: The column, with its profile.
        rows: Rows of its table, to tell a unique column.
        missing: What a missing value is called: ``NA`` in frames, ``NULL`` in databases.

    Returns:
        Facts joined by "; ", empty when nothing is known.

    Example:
        >>> from rsql_magic.sql.catalog import Column, Profile
        >>> facts(Column("distance", "float64", unit="miles", profile=Profile("17", "4983", nulls=0.01)))
        '17..4983; 1% NA; [miles]'
    """
    known = _profile_facts(column.profile, rows, missing) if column.profile else []
    unit = f"[{one_line(column.unit)}]" if column.unit else ""
    description = _description(column)
    return "; ".join(part for part in [*known, unit, description] if part)


def as_stated(column: Column) -> Column:
    """A column with no more in it than ``facts`` states: cut texts, shares in whole percent.

    Example:
        >>> from rsql_magic.sql.catalog import Column, Profile
        >>> as_stated(Column("delay", profile=Profile("0", "9", nulls=0.0342))).profile.nulls
        0.03
    """
    profile = column.profile
    if profile is not None:
        profile = replace(
            profile,
            values=tuple(one_line(value, _LONGEST_VALUE) for value in profile.values),
            distinct=None if profile.complete else profile.distinct,
            nulls=_stated_share(profile.nulls) if profile.nulls else None,
        )
    description = _description(column)
    return replace(
        column,
        nullable=True,
        unit=one_line(column.unit) if column.unit else "",
        description=description,
        profile=profile,
    )


def _description(column: Column) -> str:
    """A column's description, first without secrets, then cut: half a secret is not found."""
    if not column.description:
        return ""
    # Imported here, since its expressions take 25 ms to compile, which checking a query need not wait for.
    from rsql_magic.redaction import redact

    return one_line(redact(column.description)[0], _LONGEST_TEXT)


def _stated_share(part: float) -> float:
    """The share that `share` states; one that stands for less than a percent is a thousandth."""
    percent = round(part * 100)
    return 0.99 if percent == 100 and part < 1 else percent / 100 or 0.001


def _profile_facts(profile: Profile, rows: int | None, missing: str) -> list[str]:
    about = "≈" if profile.approximate else ""
    return [
        _range(profile, about),
        _values(profile),
        _distinct(profile, rows, about),
        f"{share(profile.nulls)} {missing}" if profile.nulls else "",
    ]


def _range(profile: Profile, about: str) -> str:
    """The smallest and the largest value; each is marked when it is rounded or comes from a sample."""
    if profile.low is None or profile.high is None:
        return ""
    return "..".join(end if end.startswith("≈") else about + end for end in (profile.low, profile.high))


def _values(profile: Profile) -> str:
    if not profile.values:
        return ""
    quoted = [quoted_value(value) for value in profile.values]
    return "values: " + ", ".join(quoted if profile.complete else [*quoted, "…"])


def _distinct(profile: Profile, rows: int | None, about: str) -> str:
    if profile.distinct is None or profile.complete:
        return ""
    if rows is not None and rows > 1 and profile.distinct == rows and not profile.nulls and not about:
        return "unique"
    return f"{about}{profile.distinct:,} distinct"


_UNIQUE = re.compile(r"(?m)^- (\S+) [^:\n]*: (?:[^;\n]*; )*unique(?:;|$)")


def unique_columns(text: str) -> set[str]:
    r"""The columns that a frame's text says to be unique.

    Example:
        >>> unique_columns("t: pandas DataFrame, 9 rows × 2 columns\n- id int64: 1..9; unique\n- x int64: 1..2")
        {'id'}
    """
    return set(_UNIQUE.findall(text))


def share(part: float) -> str:
    """A share of missing values, rounded so that it never says none or all when that is not so."""
    percent = round(part * 100)
    if percent == 0:
        return "<1%"
    return "99%" if percent == 100 and part < 1 else f"{percent}%"


def quoted_value(value: str) -> str:
    """A value as a SQL literal on one line, cut where it is long."""
    return "'" + one_line(value, _LONGEST_VALUE).replace("'", "''") + "'"


def one_line(text: str, longest: int = _LONGEST_NAME) -> str:
    """A text on one line, without control characters, cut with "…" where it is long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: longest * 4]).split())
    return line if len(line) <= longest and len(text) <= longest * 4 else line[: longest - 1] + "…"


def shown_name(name: object) -> str:
    """A column's name as it is written in code: plain where it can be, quoted where it must be."""
    if isinstance(name, str):
        line = one_line(name)
        return line if _PLAIN_NAME.fullmatch(line) else repr(line)
    return one_line(repr(name))


@dataclass(frozen=True, slots=True)
class Run:
    """Columns that are alike, by their places in order: the same type, and names that differ only in a number."""

    columns: tuple[int, ...]


def runs(names: Sequence[object], types: Sequence[str], apart: Collection[int] = ()) -> list[Run]:
    """Groups of columns that are alike, in order of their first; any other, and those ``apart``, are a run by itself."""
    alike: dict[tuple[str, str], list[int]] = {}
    for place, (name, kind) in enumerate(zip(names, types, strict=True)):
        alike.setdefault((_stem(name, place), kind), []).append(place)
    grouped = [
        [Run(tuple(group))] if len(group) >= RUN else [Run((place,)) for place in group] for group in alike.values()
    ]
    found = [run for group in grouped for run in group]
    found += [Run((place,)) for run in found if len(run.columns) > 1 for place in run.columns if place in apart]
    return sorted(found, key=lambda run: (run.columns[0], -len(run.columns)))


def _stem(name: object, place: int) -> str:
    """A name with its numbers taken out, or something unlike any other when it has none."""
    if isinstance(name, int):
        return "#"
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return f"\0{place}"
    stem, numbers = _NUMBER.subn("#", name)
    return stem if numbers else f"\0{place}"


def run_line(first: object, last: object, kind: str, count: int) -> str:
    """The one line of like columns."""
    return f"- {shown_name(first)}..{shown_name(last)} {kind} ({count:,} columns)"


def fit(
    head: str,
    runs_: Sequence[Callable[[], str]],
    brief: Sequence[Callable[[], str]],
    must: Collection[int],
    budget: int,
) -> str:
    """As many lines as a budget of tokens holds, and a word on the rest."""
    # Lines are made one at a time and no more of them than the budget can hold, because making one reads data. Those
    # of ``must`` are shown whatever they cost. When not all fit, half of the budget goes to the first lines in full
    # and the rest to as many names and types (``brief``) as possible.
    free = budget - count_tokens(head) - 10
    lines = {place: runs_[place]() for place in sorted(must)}
    free -= sum(map(_cost, lines.values()))
    spent = 0
    for place, line in enumerate(runs_):
        if place not in lines:
            made = line()
            spent += _cost(made)
            if spent > free:
                break
            lines[place] = made
    if len(lines) < len(runs_):
        lines = _first_half(lines, must, free)
    return "\n".join([head, *(lines[place] for place in sorted(lines)), *_rest(lines, brief, free)])


def _first_half(lines: dict[int, str], must: Collection[int], free: float) -> dict[int, str]:
    kept, spent = {place: lines[place] for place in must}, 0
    for place, line in lines.items():
        spent += 0 if place in must else _cost(line)
        if spent <= free / 2:
            kept[place] = line
    return kept


def _rest(lines: dict[int, str], brief: Sequence[Callable[[], str]], free: float) -> list[str]:
    """The columns without a line: by name and type as far as the budget goes, then counted."""
    left = free - sum(_cost(line) for line in lines.values())
    named: list[str] = []
    counted = 0
    for place, write in enumerate(brief):
        if place in lines:
            continue
        if left <= 0:
            counted += 1
            continue
        text = write()
        left -= _cost(text) + 1
        if left > 0:
            named.append(text)
        else:
            counted += 1
    return [
        *(f"- {text}" for text in named),
        *([f"(+{counted:,} column{'s' * (counted != 1)} not shown)"] if counted else []),
    ]


def _cost(line: str) -> int:
    return count_tokens(line) + 1
