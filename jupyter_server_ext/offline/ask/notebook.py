"""The notebook around a question, the language of the answer's code, and what a frame, object or result is in words."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from rsql_magic.sql import Catalog, Column, Table

from ..sql import columns_named, listed, values_named
from ..tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..request import Described, DescribedField, OfflineRequest

Language = Literal["python", "r", "sql"]

_SHOWN = 12  # columns; an answer is read at a glance, and all columns are in the prompt
_SYNTACTIC = re.compile(r"(?:[A-Za-z]|\.(?!\d))[A-Za-z0-9._]*")
_RESERVED = frozenset("if else repeat while function for next break TRUE FALSE NULL Inf NaN NA in".split())  # noqa: SIM905
PATTERNS = {name: re.compile("".join(texts)) for name, texts in table("ask/patterns").items()}
_LANGUAGES: tuple[Language, ...] = ("r", "sql", "python")


@dataclass(frozen=True)
class Notebook:
    """What a question is asked about."""

    request: OfflineRequest
    question: str

    @cached_property
    def frames(self) -> list[Described]:
        """The data frames."""
        return [item for item in self.request.objects if item.is_frame]

    @cached_property
    def named(self) -> list[Described]:
        """The objects the question names, in the order of the question."""
        # “a” and “I” are words of every sentence.
        places = {item: named_at(item, self.question) for item in self.request.objects if item.name not in {"a", "I"}}
        return sorted((item for item in places if places[item] >= 0), key=places.__getitem__)

    @cached_property
    def subject(self) -> Described | None:
        """The frame the question is about: the one it names, else the only one there is or that has the columns."""
        fitting = [frame for frame in self.frames if self.asked in {None, "sql"} or (self.asked == "r") == frame.is_r]
        named = next((item for item in self.named if item in fitting), None)
        # A frame that is not named is known by a column of its own.
        if len(fitting) > 1 and named is None:
            fitting = [frame for frame in fitting if self.columns_in(frame, self.question)]
        return named or (fitting[0] if len(fitting) == 1 else None)

    @cached_property
    def asked(self) -> Language | None:
        """The language the user asks for, by the option or in words; None when it is open."""
        if self.request.language:
            return self.request.language
        return next((one for one in _LANGUAGES if PATTERNS[f"in {one}"].search(self.question)), None)

    def language_for(self, frame: Described | None) -> Language:
        """The language of code about a frame."""
        return self.asked or ("r" if frame is not None and frame.is_r else "python")

    def uses(self, package: str) -> bool:
        """Whether a package is attached, imported, used in a cell, or named by the question."""
        text = "\n".join([*self.request.session, *self.request.cells, self.question])
        return re.search(rf"(?<![\w.]){re.escape(package)}(?![\w.])", text) is not None

    def catalog(self, frames: list[Described]) -> Catalog:
        """Frames as tables, so that questions about them are read by the rules for questions about tables."""
        return Catalog(tuple(_table(frame) for frame in frames), "duckdb")

    def columns_in(self, frame: Described, text: str) -> list[DescribedField]:
        """The columns of a frame that a text names, in the order of the text."""
        found = [frame.get(name) for name in columns_named(text, self.catalog([frame]))]
        return [column for column in found if column is not None]

    def names_part(self, frame: Described, text: str) -> bool:
        """Whether a text speaks of a column or a value of a frame, and so not of all of it."""
        catalog = self.catalog([frame])
        return bool(columns_named(text, catalog)) or values_named(text, catalog)


def named_at(item: Described, text: str) -> int:
    """Where a text names an object, and not a part of it as in ``df.price``; -1 where it does not."""
    match = re.search(rf"(?<![\w.$]){re.escape(item.name)}(?!\w|\(|\[|[.$]\w)", text)
    return match.start() if match else -1


def _table(frame: Described) -> Table:
    def kind(column: DescribedField) -> str:
        times = "TIMESTAMP" if column.is_time else "VARCHAR" if column.is_text else "BOOLEAN"
        return "DOUBLE" if column.is_number else times

    columns = (
        Column(column.name, kind(column), description=column.description, unit=column.unit, profile=column.profile)
        for column in frame.columns
        if column.many == 1
    )
    return Table(frame.name, tuple(columns), kind="frame", rows=frame.rows)


def nearest(name: str, known: Iterable[str], *, least: float = 0.5) -> str | None:
    """The known name that looks most like a name, or that it starts or ends; None when none is near.

    Example:
        >>> nearest("wind", ["temp", "wind_speed"]), nearest("tmep", ["temp", "humid"]), nearest("x", ["temp"])
        ('wind_speed', 'temp', None)
    """
    candidates = list(dict.fromkeys(known))
    parts = [other for other in candidates if len(name) >= 3 and _is_part(name.lower(), other.lower())]
    if parts:
        return min(parts, key=len)
    # wind_speed and windSpeed are the same name, written in two ways.
    folded = {one: one.lower().replace("_", "") for one in (name, *candidates)}
    likeness = {other: SequenceMatcher(None, folded[name], folded[other]).ratio() for other in candidates}
    best = max(candidates, key=likeness.__getitem__, default=None)
    return best if best is not None and likeness[best] >= least else None


def _is_part(one: str, two: str) -> bool:
    return one != two and (two.startswith(one) or two.endswith(one) or (len(two) >= 3 and one.startswith(two)))


def r_name(text: str) -> str:
    """A name as R writes it, in backticks where it must be.

    Example:
        >>> r_name("mpg"), r_name("unit price")
        ('mpg', '`unit price`')
    """
    plain = _SYNTACTIC.fullmatch(text) and text not in _RESERVED
    return text if plain else "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"


def r_string(text: str) -> str:
    """A text as R writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def describe(item: Described) -> str:
    """A short description in Markdown: shape, keys, missing values, and what the columns hold."""
    if not item.is_frame:
        return _describe_object(item)
    lines = []
    for column in item.columns[:_SHOWN]:
        many, facts = f" ({column.many:,} columns)" if column.many > 1 else "", facts_of(item, column)
        lines.append(f"- `{column.name}` ({column.type}){many}" + (f": {facts}" if facts else ""))
    kind = f"R {item.label}" if item.is_r and not item.label.startswith("R ") else item.label
    parts = [f"`{item.name}` is {_a(kind)} with {size(item)}."]
    if any("≈" in line for line in lines):
        parts.append(f"Figures marked ≈ {'come from a sample or ' if item.sampled else ''}are rounded.")
    # A key says most about a table.
    if unique := [f"`{column.name}`" for column in item.columns if item.is_unique(column)]:
        parts.append(f"{listed(unique)} {'identifies' if len(unique) == 1 else 'each identify'} a row.")
    parts += [missing(item)] if missing(item) else []
    parts += ["It has no rows."] if item.rows == 0 else []
    if rest := max(len(item.columns) - _SHOWN, 0) + item.hidden:
        lines.append(f"- … and {_count(rest, 'more column')}")
    return " ".join(parts) + "\n\n" + "\n".join(lines)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeio" or noun.startswith("R ") else f"a {noun}"


def size(frame: Described) -> str:
    """``26,115 rows and 8 columns``; of a frame whose rows are not told, ``8 columns``."""
    rows = f"{_count(frame.rows, 'row')} and " if frame.rows is not None else ""
    return rows + _count(frame.width or 0, "column")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def missing(frame: Described) -> str:
    """Which columns have missing values, and how many; empty when none is known to."""
    # The largest gaps first, as not all are listed.
    gaps = sorted((c for c in frame.columns if c.known.nulls), key=lambda c: -(c.known.nulls or 0))
    if not gaps:
        return ""
    named = [f"`{c.name}` ({_percent(c)})" for c in gaps[:8]]
    return f"Values are missing in {listed(named)}{' and others' if len(gaps) > 8 else ''}."


def _percent(column: DescribedField) -> str:
    share = column.known.nulls or 0
    return "less than 1%" if share < 0.01 else f"{share:.0%}"


def facts_of(frame: Described, column: DescribedField) -> str:
    """What is known of a column's values, in words; empty when nothing is."""
    known = column.known
    said = []
    if column.ends:
        said.append(f"from {column.ends[0]} to {column.ends[1]}{f' {column.unit}' if column.unit else ''}")
    if known.values:
        more = ", …" if len(known.values) > 8 or not known.complete else ""
        said.append(f"{'one of' if known.complete else 'such as'} {', '.join(known.values[:8])}{more}")
    if frame.is_unique(column):
        said.append("no value repeats")
    elif known.distinct is not None:
        said.append(("≈" if known.approximate else "") + _count(known.distinct, "different value"))
    if known.nulls:
        said.append(f"{_percent(column)} missing")
    if column.description:
        said.append(column.description)
    return "; ".join(said)


def _describe_object(item: Described) -> str:
    if match := PATTERNS["model"].search(item.label):
        return _linear(item, match)
    if match := re.search(r"function\((?P<arguments>.*)\)$", item.label):
        arguments = match["arguments"].strip()
        return f"`{item.name}` is a function {f'of {arguments}' if arguments else 'without arguments'}."
    if match := PATTERNS["vector"].search(item.label):
        facts = facts_of(item, item.columns[0]) if item.columns else ""
        length = f" of length {item.rows:,}" if item.rows is not None else ""
        return f"`{item.name}` is {_a(match['what'])}{length}{f': {facts}' if facts else ''}."
    return f"`{item.name}` is {_a(item.label)}."


def _linear(item: Described, match: re.Match[str]) -> str:
    kind = "a generalized linear model" if "glm" in match["what"] else "a linear model"
    left, _, right = match["formula"].strip().partition("~")
    # The intercept and the dot of “all others” are no names.
    predictors = [f"`{word.strip()}`" for word in re.split(r"[+*:]", right) if word.strip() not in {"", "1", "."}]
    observations = re.search(r"([\d,]+) observations", item.label)
    coefficients = re.search(r"coefficients (.+)$", item.label)
    return (
        f"`{item.name}` is {kind}: it predicts `{left.strip()}` from {listed(predictors) or 'a constant'} "
        f"(`{match['formula'].strip()}`){f', fitted to {observations[1]} observations' if observations else ''}."
        f"{f' Its coefficients include {coefficients[1]}.' if coefficients else ''}\n\n```r\n"
        f"summary({r_name(item.name)})  # estimates, standard errors, R squared\n```"
    )


def result_in_words(request: OfflineRequest) -> str:
    """The one row of a result, or the first of several, from its first rows as CSV."""
    header, *rows = csv.reader(request.rows.splitlines()) if request.rows.strip() else [[]]
    if not rows:
        return "The result has no rows."
    first = listed([f"`{name}` is {value or 'missing'}" for name, value in zip(header, rows[0], strict=False)])
    return f"{first}." if len(rows) == 1 else f"In the first row, {first} ({request.returned})."
