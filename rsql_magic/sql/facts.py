"""Texts for prompts: what is known of a column and of a frame, what a text costs in tokens, the fence around data."""

# sales: pandas DataFrame, 1,000,000 rows × 8 columns (≈ from 10,000 rows)
# - id int64: 1..1000000; unique
# - region str: values: 'N', 'S', 'E', 'W'
# - note str: ≈9,800 distinct; 3% NA
# - metric_0..metric_199 float64 (200 columns)
# (+183 columns not shown)

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, TypeAlias

from rsql_magic.sql.dialects.records import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from rsql_magic.sql.catalog import Column, Profile
    from rsql_magic.sql.definitions import Meaning


# Tokens. Providers count with byte-pair encodings of 100,000 to 200,000 entries (cl100k, o200k, Llama 3, Qwen). They
# all split text in the same way first: words with the blank before them, up to three digits at a time, runs of
# punctuation, runs of white space; and then cut each piece into entries of their vocabulary. We split the same way
# (as OpenAI published it with tiktoken) and estimate the cut: a plain English word of up to eight letters is one
# entry, a longer one about one more per four letters; words of other Latin languages and abbreviations are cut more
# finely, and other scripts have their own price per letter. The result is meant to be high rather than low, so that a
# budget is never exceeded: ``docs/context.md`` compares it with two encodings on many kinds of text.


@cache
def _pieces() -> re.Pattern[str]:
    # Made at first use: it takes 3 ms, which a check of SQL need not wait for.
    return re.compile(
        r"(?P<wide>[\u0e00-\u0eff\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef]+)"
        r"|(?P<long>[A-Za-z0-9+/]{24,})"
        r"|(?P<word>[A-Za-z]+)(?![\u00c0-\u024f])"
        r"|(?P<latin>[A-Za-z\u00c0-\u024f]+)"
        r"|(?P<digits>[0-9]+)"
        r"|(?P<blank> (?![0-9\s]))"
        r"|(?P<space>\s+)"
        r"|(?P<cyrillic>[\u0400-\u052f]+)"
        r"|(?P<indic>[\u0900-\u0dff]+)"
        r"|(?P<letters>[\u0370-\u03ff\u0530-\u08ff\u0f00-\u10ff\u1200-\u1aff]+)"
        r"|(?P<other_letters>[^\W\d_]+)"
        r"|(?P<run>(?P<mark>[!-/:-@\[-`{-~])(?P=mark){7,})"
        r"|(?P<marks>[!-/:-@\[-`{-~]+)\n*"
        r"|(?P<other>.)",
        re.DOTALL,
    )


_ACCENTED = re.compile(r"[\u00c0-\u024f]")
_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Z]")
_VOWELS = frozenset("aeiouyAEIOUY")
_WORDS_OF_SQL = WORDS["one token each"]


def count_tokens(text: str) -> int:
    """Estimate, on the high side, how many tokens a model counts for a text.

    Example:
        >>> count_tokens("How many flights left New York in 2013?")
        11
    """
    cost = sum(_COST[match.lastgroup or "other"](match[match.lastgroup or 0]) for match in _pieces().finditer(text))
    # Vocabularies hold English words whole; those of other Latin languages, where more than every hundredth letter has
    # an accent, are cut more finely than the pattern tells.
    is_foreign = not text.isascii() and 100 * len(_ACCENTED.findall(text)) > len(text)
    return ceil(cost * (1.25 if is_foreign else 1))


def _word(word: str) -> float:
    return 1 if word == "DataFrame" else sum(_hump(hump) for hump in _HUMP.findall(word))


def _hump(hump: str) -> float:
    """One part of a camel-case word. Parts without vowels and in capitals are abbreviations, cut every two letters."""
    size = len(hump)
    if size <= 2 or hump in _WORDS_OF_SQL:
        return 1
    if not _VOWELS.intersection(hump):
        return 1.5 if size == 3 else size / 1.7
    if hump.isupper():
        return ceil(size / 2.7)
    return 1 if size <= 8 else 1 + (size - 8) / 4


def _long(text: str) -> float:
    """Many letters and digits in a row: a word, a hash, or base64, whose letters change case all the time."""
    classes = ["digit" if char.isdigit() else "capital" if char.isupper() else "small" for char in text]
    changes = sum(one != two for one, two in pairwise(classes))
    if changes > 0.25 * len(text) and len(set(classes)) > 2:
        return len(text) / 1.35
    return sum(_word(part) if part.isalpha() else ceil(len(part) / 3) for part in _RUNS.findall(text))


_RUNS = re.compile(r"[A-Za-z]+|[0-9]+|[+/]+")


def _other(text: str) -> float:
    """A sign: frequent typographic ones have an entry, the rest is spelled in bytes."""
    return 1 if text in "_×…–—“”‘’•·§°±µ«»→ " else min(3.0, len(text.encode("utf-8", "replace")) - 1.0) or 1


_COST: dict[str, Callable[[str], float]] = {
    "wide": lambda text: 1.3 * len(text),
    "long": _long,
    "word": _word,
    "latin": lambda text: max(1.0, len(text) / 3.4),
    "digits": lambda text: ceil(len(text) / 3),
    "blank": lambda _: 0,  # belongs to the word or mark after it
    "space": lambda text: 1 + len(text) // 128,
    "cyrillic": lambda text: len(text) / 1.7,
    "indic": lambda text: 1.3 * len(text),
    "letters": lambda text: 1.05 * len(text),
    "other_letters": lambda text: len(text) / 2,
    "mark": lambda _: 1,
    "run": lambda text: 1 + len(text) / 32,
    "marks": lambda text: ceil(len(text) / 2) if len(text) < 4 else len(text) / 1.7,
    "other": _other,
}


def cut(text: str, tokens: int) -> str:
    """A text that costs no more than some tokens: whole lines first, then a part of the next, and "…".

    Example:
        >>> cut("one two three four five six", 4)
        'one two three…'
    """
    if count_tokens(text) <= tokens:
        return text
    kept: list[str] = []
    left = tokens - 1
    for line in text.splitlines():
        left -= count_tokens(line) + 1
        if left < 0:
            return "\n".join([*kept, _part(line, left + count_tokens(line) + 1) + "…"])
        kept.append(line)
    return "\n".join(kept)


def _part(line: str, tokens: int) -> str:
    """The longest beginning of a line that costs no more than some tokens."""
    words = line[: tokens * 12].split(" ")
    while words and count_tokens(" ".join(words)) > tokens:
        words = words[: len(words) * 4 // 5]  # counting costs more than a word or two of the budget
    return " ".join(words)


def fence(kind: str, name: str, text: str) -> str:
    """Put text from data inside a fence that it cannot close; the name is of what the text describes.

    The kind is ``schema``, ``frame``, ``r``, ``session``, ``cell``, ``error``, ``object``, ``help``, ``example`` or
    ``result``.

    Example:
        >>> print(fence("frame", "sales", "sales: pandas DataFrame, 2 rows × 1 column"))
        <data kind="frame" name="sales" id="120651de">
        sales: pandas DataFrame, 2 rows × 1 column
        </data 120651de>
    """
    from hashlib import sha256  # 3 ms, which a check of SQL need not wait for

    mark = sha256(f"{kind}{name}{text}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f'<data kind="{_attribute(kind)}" name="{_attribute(name)}" id="{mark}">\n{text}\n</data {mark}>'


def _attribute(text: str) -> str:
    """Text that stays inside its quotes and on its line."""
    line = " ".join(text.split())[:80]
    return line.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


# Fewest like columns that are shown as one line.
RUN = 4

_PLAIN_NAME = re.compile(r"[^\W\d](?:[\w.$%-]*[\w$%])?|[._]\w[\w.]*")
_NUMBER = re.compile(r"[0-9]+")
_LONGEST_NAME = 80
# Python's ``'\xa0'``, which R would read as a byte and not as a character.
_BYTE = re.compile(r"(?<!\\)((?:\\\\)*)\\x([0-9a-f]{2})")
_LONGEST_VALUE = 40
_LONGEST_TEXT = 200
_MOST_MEANINGS = 20
_MOST_SYNONYMS = 6
_MEASURES = {"id": "an id, not to be added up", "ordinal": "an order, not to be added up"}


def facts(column: Column, rows: int | None = None, missing: str = "NA") -> str:
    """What is known of a column: range, values, form of dates, distinct, missing, unit, description, what values mean.

    The rows of its table tell a unique column. A ``missing`` value is ``NA`` in frames and ``NULL`` in databases.

    Example:
        >>> from rsql_magic.sql.catalog import Column, Profile
        >>> facts(Column("distance", "float64", unit="miles", profile=Profile("17", "4983", nulls=0.01)))
        '17..4983; 1% NA; [miles]'
    """
    known = _profile_facts(column.profile, rows, missing) if column.profile else []
    unit = f"[{one_line(column.unit)}]" if column.unit else ""
    meaning = _meaning_facts(column.meaning) if column.meaning else []
    return "; ".join(part for part in [*known, unit, _description(column), *meaning] if part)


def as_stated(column: Column) -> Column:
    """A column with no more in it than ``facts`` states: cut texts, shares in whole percent.

    Example:
        >>> from rsql_magic.sql.catalog import Column, Profile
        >>> as_stated(Column("delay", profile=Profile("0", "9", nulls=0.0342))).profile.nulls
        0.03
    """
    if (profile := column.profile) is not None:
        profile = replace(
            profile,
            values=tuple(one_line(value, _LONGEST_VALUE) for value in profile.values),
            distinct=None if profile.complete else profile.distinct,
            nulls=_stated_share(profile.nulls) if profile.nulls else None,
        )
    unit = one_line(column.unit) if column.unit else ""
    meaning = stated_meaning(column.meaning) if column.meaning else None
    return replace(column, nullable=True, unit=unit, description=_description(column), profile=profile, meaning=meaning)


def _description(column: Column) -> str:
    """A column's description, first without secrets, then cut: half a secret is not found."""
    if not column.description:
        return ""
    # Imported here, since its expressions take 25 ms to compile, which checking a query need not wait for.
    from rsql_magic.redaction import redact

    return one_line(redact(column.description)[0], _LONGEST_TEXT)


def stated_meaning(meaning: Meaning) -> Meaning | None:
    """What a dictionary says of a column's values, cut to what is stated; None where that is nothing."""
    listed = () if meaning.restricted else meaning.values[:_MOST_MEANINGS]
    values = tuple((one_line(value, _LONGEST_VALUE), _said(means)) for value, means in listed)
    synonyms = tuple(map(_said, meaning.synonyms[:_MOST_SYNONYMS]))
    stated = replace(meaning, values=values, synonyms=synonyms, source="")
    return stated if stated != type(meaning)() else None


def _said(text: str) -> str:
    """A text that somebody wrote, without secrets and on one line."""
    from rsql_magic.redaction import redact

    return one_line(redact(text)[0], _LONGEST_NAME)


def _meaning_facts(meaning: Meaning) -> list[str]:
    stated = stated_meaning(meaning)
    if stated is None:
        return []
    values = ", ".join(
        f"{quoted_value(value)} = {means}" if means else quoted_value(value) for value, means in stated.values
    )
    more = ", …" if values and len(meaning.values) > len(stated.values) else ""
    return [
        values + more,
        f"also called {', '.join(stated.synonyms)}" if stated.synonyms else "",
        _MEASURES.get(stated.measure, ""),
        "restricted: not to be shown" if stated.restricted else "",
    ]


def _stated_share(part: float) -> float:
    """The share that `share` states; one that stands for less than a percent is a thousandth."""
    percent = round(part * 100)
    return 0.99 if percent == 100 and part < 1 else percent / 100 or 0.001


def _profile_facts(profile: Profile, rows: int | None, missing: str) -> list[str]:
    """The range, the values, the form of dates as text, the count of distinct ones and the share of missing ones."""
    about = "≈" if profile.approximate else ""
    ends, values, distinct = "", "", ""
    if profile.low is not None and profile.high is not None:
        # Each end is marked when it is rounded or comes from a sample.
        ends = "..".join(end if end.startswith("≈") else about + end for end in (profile.low, profile.high))
    if profile.values:
        more = () if profile.complete else ("…",)
        values = "values: " + ", ".join([*map(quoted_value, profile.values), *more])
    if profile.distinct is not None and not profile.complete:
        is_unique = rows is not None and rows > 1 and profile.distinct == rows and not profile.nulls and not about
        distinct = "unique" if is_unique else f"{about}{profile.distinct:,} distinct"
    dates = f"{'dates' if '%Y' in profile.form.upper() else 'times'} as text: {profile.form}" if profile.form else ""
    return [ends, values, dates, distinct, f"{share(profile.nulls)} {missing}" if profile.nulls else ""]


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


class Written(str):
    """A text that is shown as it is written, and not quoted."""

    __slots__ = ()


class RName(str):
    """A name of R's, which is shown as R's code takes it."""

    __slots__ = ()


def shown_name(name: object) -> str:
    r"""A column's name as code takes it: plain where it can be, quoted where it must be, with all that is invisible.

    Example:
        >>> print(shown_name("price"), shown_name("price "), shown_name("a\u00a0b"), shown_name(RName("a\u00a0b")))
        price 'price ' 'a\xa0b' 'a\u00a0b'
    """
    if isinstance(name, Written):
        return name
    if isinstance(name, str):
        short = str(name) if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
        if _PLAIN_NAME.fullmatch(short):
            return short
        return _BYTE.sub(r"\1\\u00\2", repr(short)) if isinstance(name, RName) else repr(short)
    return one_line(repr(name))


@dataclass(frozen=True, slots=True)
class Run:
    """Columns that are alike, by their places in order: the same type, and names that differ only in a number."""

    columns: tuple[int, ...]


def runs(names: Sequence[object], types: Sequence[str], apart: Collection[int] = ()) -> list[Run]:
    """Groups of columns that are alike, by the place of the first; others, and those ``apart``, stand by themselves."""
    alike: dict[tuple[str, str], list[int]] = {}
    for place, (name, kind) in enumerate(zip(names, types, strict=True)):
        alike.setdefault((_stem(name, place), kind), []).append(place)
    found = [Run(tuple(group)) for group in alike.values() if len(group) >= RUN]
    found += [Run((place,)) for group in alike.values() if len(group) < RUN for place in group]
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


@dataclass(frozen=True, slots=True)
class ColumnLine:
    """A line on columns that are alike: its text, and what it states of how many columns."""

    text: str
    stated: Column
    many: int


# The names of the first and the last of a run, or of the only one, and what is known of that: all, or name and type.
Look: TypeAlias = "Callable[[Run, bool], tuple[list[str], Column]]"


def fit(
    head: str, runs_: Sequence[Run], look: Look, must: Collection[int], budget: int, *, rows: int | None
) -> tuple[str, list[ColumnLine]]:
    """As many lines as a budget of tokens holds, and a word on the rest; and those lines."""
    # Lines are made one at a time and no more of them than the budget can hold, because making one reads data. Those
    # of ``must`` are shown whatever they cost. When not all fit, half of the budget goes to the first lines in full
    # and the rest to as many names and types as possible.
    free = budget - count_tokens(head) - 10
    lines = {place: _line(runs_[place], *look(runs_[place], True), rows) for place in sorted(must)}
    free -= sum(_cost(line.text) for line in lines.values())
    spent = 0
    for place, run in enumerate(runs_):
        if place not in lines:
            made = _line(run, *look(run, True), rows)
            spent += _cost(made.text)
            if spent > free:
                break
            lines[place] = made
    if len(lines) < len(runs_):
        kept, spent = {place: lines[place] for place in must}, 0
        for place, line in lines.items():
            spent += 0 if place in must else _cost(line.text)
            if spent <= free / 2:
                kept[place] = line
        lines = kept
    left = free - sum(_cost(line.text) for line in lines.values())
    brief = _brief([run for place, run in enumerate(runs_) if place not in lines], look, left)
    shown = [*(lines[place] for place in sorted(lines)), *brief]
    more = len(runs_) - len(shown)
    rest = [f"(+{more:,} column{'s' * (more != 1)} not shown)"] if more else []
    return "\n".join([head, *(line.text for line in shown), *rest]), shown


def _brief(runs_: Sequence[Run], look: Look, left: float) -> list[ColumnLine]:
    """The lines with name and type alone, as far as the budget goes."""
    lines: list[ColumnLine] = []
    for run in runs_:
        line = _line(run, *look(run, False), None) if left > 0 else None
        left -= _cost(line.text.removeprefix("- ") if line else "") + 1
        if line and left > 0:
            lines.append(line)
    return lines


def _line(run: Run, names: Sequence[str], column: Column, rows: int | None) -> ColumnLine:
    many, name, kind = len(run.columns), "..".join(map(shown_name, names)), one_line(column.type, 60)
    text = f"- {name} {kind}" + (f" ({many:,} columns)" if many > 1 else "")
    known = facts(column, rows)
    stated = replace(as_stated(column), name=name if many > 1 else str(names[0]), type=kind)
    return ColumnLine(f"{text}: {known}" if known else text, stated, many)


def _cost(line: str) -> int:
    return count_tokens(line) + 1
