"""The mentions of a question: what names a table or a column, what is a value, what is a number.

Stretches do not overlap: the longest, best fitting ones win. A stretch keeps all candidates that fit it about equally
well, so that later steps can choose by what stands around them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..words import stem, word_set
from .lexicon import ARTICLES, RELATION_VERBS
from .naming import Fit, fits
from .values import literals, stored_values, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..words import Token
    from .schema import Column, Schema, Table


@dataclass(frozen=True, slots=True)
class Mention:
    """A stretch of the question and what it may name.

    Args:
        start: Index of its first token.
        end: Index after its last token.
        text: The words as written.
        tables: Candidate tables with their fit, best first.
        columns: Candidate columns with their fit, best first.
        values: Candidate columns that hold this value, with the value as stored.
        number: The number, when it is one.
        unit: Its unit of time, as in "an hour".
        literal: True for quoted text, a proper noun or a date that no known value matches.
        quoted: True for a literal in quotes.
        insisted: True for a backticked or snake_case name that the schema does not have.
    """

    start: int
    end: int
    text: str
    tables: tuple[tuple[Table, float], ...] = ()
    columns: tuple[tuple[Column, float], ...] = ()
    values: tuple[tuple[Column, str], ...] = ()
    number: float | None = None
    unit: str = ""
    literal: bool = False
    quoted: bool = False
    insisted: bool = False

    @property
    def letter(self) -> str:
        """The kind as one letter: T table, C column, B both, V stored value, L literal, N number, I insisted name."""
        if self.insisted:
            return "I"
        if self.number is not None:
            return "N"
        if self.tables:
            return "B" if self.columns else "T"
        if self.columns:
            return "C"
        return "L" if self.literal else "V"

    @property
    def is_participle(self) -> bool:
        """True for one word such as "directed", which says how things belong together."""
        return " " not in self.text and self.text.lower().endswith("ed")

    @property
    def is_verb(self) -> bool:
        """True for one word that is a verb rather than a thing: "opened", "advising", "advise"."""
        word = self.text.lower()
        return " " not in word and (word.endswith(("ed", "ing")) or word in RELATION_VERBS)


def link(question: Sequence[Token], schema: Schema) -> list[Mention]:
    """The mentions of a question, in order, without overlaps.

    Args:
        question: Tokens of the question.
        schema: The tables to look for.
    """
    chosen = list(_numbers(question, _spans(question, schema)))
    taken = {i for mention in chosen for i in range(mention.start, mention.end)}
    for mention in _ranked(question, schema):
        span = range(mention.start, mention.end)
        if not taken.intersection(span):
            chosen.append(mention)
            taken.update(span)
    chosen = [_widened(question, mention, taken) for mention in chosen]
    chosen = _compounds(question, chosen)
    chosen = _proper_names(question, chosen, taken)
    chosen += _rows(question, schema, chosen, taken)
    for start, end, insisted in literals(question, taken):
        text, quoted = text_of(question, start, end), question[start].kind == "text"
        chosen.append(Mention(start, end, text, literal=not insisted, quoted=quoted, insisted=insisted))
    return sorted(chosen, key=lambda mention: mention.start)


ROWS = word_set(
    """
    row rows record records entry entries observation observations everything data dataset table dataframe frame set
    """
)
"""Words for the rows of the one table there is."""


def _rows(question: Sequence[Token], schema: Schema, chosen: list[Mention], taken: set[int]) -> list[Mention]:
    """The first "rows" or "data" as the one table there is, when the question does not name it."""
    if len(schema.tables) != 1:
        return []
    table = schema.tables[0]
    for place, mention in enumerate(chosen):
        if any(other.tables for other in chosen):
            return []
        if len(mention.text.split()) == 1 and mention.columns and _is_key_of(mention.columns[0][0], mention.text):
            chosen[place] = replace(mention, tables=((table, 1.0),), columns=())
    start = next((i for i, token in enumerate(question) if i not in taken and _names_rows(token, table)), None)
    if start is None or any(mention.tables for mention in chosen) or question[start].lower == "set":
        return []
    end = start + 1
    while end < len(question) and end not in taken and _names_rows(question[end], table):
        end += 1
    taken.update(range(start, end))
    return [Mention(start, end, text_of(question, start, end), tables=((table, 1.0),))]


def _is_key_of(column: Column, noun: str) -> bool:
    """Whether a column identifies each of the things a noun names: ``order_id`` each of the "orders"."""
    words = column.words
    return column.facts.unique and len(words) == 2 and words[1] in {"id", "no", "nr", "key"} and words[0] == stem(noun)


def _names_rows(token: Token, table: Table) -> bool:
    """Whether a word stands for rows: "records", and "cars" for a frame called ``mtcars``."""
    plural = token.lower if token.lower.endswith("s") else f"{token.lower}s"
    ending = len(plural) >= 4 and table.name.lower().endswith(plural)
    return token.kind == "word" and (token.lower in ROWS or ending)


def _compounds(question: Sequence[Token], chosen: list[Mention]) -> list[Mention]:
    """Take "engine type" as one column ``engine``, although there is a column ``type`` too."""
    columns = {mention.end: mention for mention in chosen if mention.columns and not mention.tables}
    second = [
        mention
        for mention in chosen
        if mention.columns and mention.start in columns and question[mention.start].lower in _KIND_NOUNS
    ]
    gone = [columns[mention.start] for mention in second]
    kept = [mention for mention in chosen if mention not in second and mention not in gone]
    return kept + [replace(columns[mention.start], end=mention.end) for mention in second]


def _proper_names(question: Sequence[Token], chosen: list[Mention], taken: set[int]) -> list[Mention]:
    """Leave out a table that is only part of a capitalised name: "United Air Lines" names no airlines table."""
    kept = []
    for mention in chosen:
        words = question[mention.start : mention.end]
        before = question[mention.start - 1] if mention.start else None
        inside = before is not None and before.capital and mention.start - 1 not in taken and mention.start > 1
        if inside and len(words) > 1 and mention.tables and all(word.capital for word in words):
            taken.difference_update(range(mention.start, mention.end))
        else:
            kept.append(mention)
    return kept


def _numbers(question: Sequence[Token], spans: list[Mention]) -> Iterator[Mention]:
    yield from spans
    inside = {index for span in spans for index in range(span.start, span.end)}
    for index, token in enumerate(question):
        if token.kind == "number" and index not in inside:
            yield Mention(index, index + 1, token.text, number=token.value)


_UNITS = {
    "second": "second",
    "minute": "minute",
    "min": "minute",
    "hour": "hour",
    "hr": "hour",
    "day": "day",
    "week": "week",
}
_BEFORE_SPAN = word_set("than over above under below least most exceeding exceeds within by")


def _spans(question: Sequence[Token], schema: Schema) -> list[Mention]:
    """Lengths of time after a comparison: "more than an hour". Not where a column measures in that unit by its name."""
    numbers = [column for column in schema.columns() if column.is_number]
    measured = {stem(word) for column in numbers if len(column.words) > 1 for word in column.words}
    measured |= {column.name.lower() for column in numbers} - set(_UNITS)
    found = []
    for index, token in enumerate(question[1:-1], start=1):
        unit = _UNITS.get(question[index + 1].stem, "")
        amount = token.value if token.kind == "number" else 1.0 if token.lower in {"a", "an", "one"} else None
        named = unit in measured or f"{unit}s" in measured
        if unit and amount is not None and not named and question[index - 1].lower in _BEFORE_SPAN:
            found.append(Mention(index, index + 2, f"{amount:g} {unit}", number=amount, unit=unit))
    return found


def _ranked(question: Sequence[Token], schema: Schema) -> list[Mention]:
    """All candidate mentions, the ones to take first first."""
    spans: dict[tuple[int, int], list[Fit]] = {}
    for fit in fits(question, schema):
        spans.setdefault((fit.start, fit.end), []).append(fit)
    ranked = [(_span_rank(question, group), _schema_mention(question, span, group)) for span, group in spans.items()]
    for (start, end), columns in stored_values(question, schema).items():
        mention = Mention(start, end, text_of(question, start, end), values=tuple(columns))
        ranked.append((_value_rank(question, mention), mention))
    ranked.sort(key=lambda item: (-item[0], item[1].start))
    return [mention for _, mention in ranked]


def _span_rank(question: Sequence[Token], group: list[Fit]) -> float:
    """More words said and a better fit come first; an exact table name counts as a little more than a weak column."""
    best = max(group, key=lambda fit: (fit.words * fit.score, fit.score))
    if question[best.start].kind == "text":
        return -1.0
    quoted = 3.0 if question[best.start].kind == "name" else 0.0
    return best.words * best.score + quoted + (0.05 if best.table else 0.0)


def _value_rank(question: Sequence[Token], mention: Mention) -> float:
    first = question[mention.start]
    words = sum(token.lower not in ARTICLES for token in question[mention.start : mention.end])
    if first.kind in {"text", "name"}:
        return 10.0
    capital = first.capital and mention.start > 0
    return words * (1.15 if capital else 0.95 if words > 1 else 0.85)


def _schema_mention(question: Sequence[Token], span: tuple[int, int], group: list[Fit]) -> Mention:
    """The candidates of a stretch: tables or columns alone when they fit clearly better than the others."""
    best = max(fit.score for fit in group)  # weak candidates stay: the table spoken of may yet make them the best
    best_table = max((fit.score for fit in group if fit.table), default=0.0)
    best_column = max((fit.score for fit in group if fit.column), default=0.0)
    kept = sorted((fit for fit in group if fit.score >= best - 0.55), key=lambda fit: -fit.score)
    tables: dict[str, tuple[Table, float]] = {}
    for fit in kept:
        if fit.table is not None and best_table > best_column - 0.1:
            tables.setdefault(fit.table.name, (fit.table, fit.score))
    found: dict[tuple[str, str], tuple[Column, float]] = {}
    for fit in kept:
        if fit.column is not None and best_column > best_table - 0.1:
            found.setdefault((fit.column.table, fit.column.name), (fit.column, fit.score))
    columns = tuple(found.values())
    return Mention(*span, text_of(question, *span), tables=tuple(tables.values()), columns=columns)


_KIND_NOUNS = word_set("type types kind kinds category categories status level")
_TRAILING = word_set(
    """
    number numbers name names code codes value values amount amounts status statuses type types level levels
    percentage figure figures score scores id ids
    """
)


_MEMBERS = word_set("member members record records entry entries row rows observation observations")


def _widened(question: Sequence[Token], mention: Mention, taken: set[int]) -> Mention:
    """A column's stretch with a general noun after it: "phone numbers" for ``phone``."""
    end = mention.end
    if end >= len(question) or end in taken:
        return mention
    word = question[end].lower
    if not (word in _MEMBERS if mention.tables else mention.columns and word in _TRAILING):
        return mention
    taken.add(end)
    return replace(mention, end=end + 1)
