"""Which words of a question name which tables, columns and values.

Every table and column is compared with every stretch of the question; a stretch keeps all candidates that fit it about
equally well, so that later steps can choose by what stands around them. Stretches do not overlap: the longest, best
fitting ones win.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..words import Token, stem, tokens
from .lexicon import ABBREVIATIONS, ARTICLES, GENERIC, likeness

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .schema import Column, Schema, Table

_INNER = ARTICLES | {"of", "in", "for", "on", "at", "per"}
_MIN_FIT = 0.45


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
        literal: True for quoted text, a proper noun or a date that no known value matches.
        insisted: True for a backticked or snake_case name that the schema does not have.
    """

    start: int
    end: int
    text: str
    tables: tuple[tuple[Table, float], ...] = ()
    columns: tuple[tuple[Column, float], ...] = ()
    values: tuple[tuple[Column, str], ...] = ()
    number: float | None = None
    literal: bool = False
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


@dataclass(frozen=True, slots=True)
class _Fit:
    start: int
    end: int
    score: float
    words: int
    table: Table | None = None
    column: Column | None = None


@lru_cache(maxsize=8192)
def expanded(words: tuple[str, ...]) -> tuple[str, ...]:
    """Words of a name with multi-word abbreviations opened: ``lname`` becomes ``last name``."""
    opened: list[str] = []
    for word in words:
        full = ABBREVIATIONS.get(word, ())
        opened += full if len(full) > 1 else (word,)
    return tuple(opened)


def link(question: Sequence[Token], schema: Schema) -> list[Mention]:
    """The mentions of a question, in order, without overlaps.

    Args:
        question: Tokens of the question.
        schema: The tables to look for.
    """
    fits = [*_schema_fits(question, schema)]
    values = _value_mentions(question, schema)
    chosen: list[Mention] = list(_numbers(question))
    taken = {i for m in chosen for i in range(m.start, m.end)}
    for mention in _ranked(question, fits, values):
        span = range(mention.start, mention.end)
        if not taken.intersection(span):
            chosen.append(mention)
            taken.update(span)
    chosen += _literals(question, taken)
    return sorted(chosen, key=lambda m: m.start)


def _numbers(question: Sequence[Token]) -> Iterator[Mention]:
    for index, token in enumerate(question):
        if token.kind == "number":
            yield Mention(index, index + 1, token.text, number=token.value)


# --- tables and columns ------------------------------------------------------------------------------------------


def _schema_fits(question: Sequence[Token], schema: Schema) -> Iterator[_Fit]:
    grid = _Grid(question)
    for table in schema.tables:
        own = expanded(table.words)
        for start, end, score, words in grid.runs(own, optional=frozenset({"table", "data", "list", "info", "ref"})):
            yield _Fit(start, end, score, words, table=table)
        optional = frozenset(own) | frozenset(stem(word) for word in own)
        for column in table.columns:
            names = expanded(column.words)
            for start, end, score, words in grid.runs(names, optional=optional, generic=True):
                yield _Fit(start, end, score, words, column=column)


class _Grid:
    """The question as a grid: for each word of a name, the tokens that may mean it."""

    def __init__(self, question: Sequence[Token]) -> None:
        self.question = question
        self._hits: dict[str, list[tuple[int, int, float]]] = {}
        self._joined = self._runs_together()

    def _runs_together(self) -> dict[str, list[tuple[int, int]]]:
        """Two or three neighbouring words written as one, as in ``birthdate``; and "how many" for ``num``."""
        joined: dict[str, list[tuple[int, int]]] = {}
        for start, token in enumerate(self.question):
            text = token.lower if token.kind == "word" else ""
            for end in range(start + 2, min(start + 4, len(self.question) + 1)):
                last = self.question[end - 1]
                if not text or last.kind != "word":
                    break
                for whole in {text + last.lower, text + last.stem}:
                    joined.setdefault(whole, []).append((start, end))
                text += last.lower
        return joined

    def hits(self, word: str) -> list[tuple[int, int, float]]:
        """Stretches (start, end, likeness) that may mean one word of a name."""
        found = self._hits.get(word)
        if found is None:
            found = [
                (index, index + 1, fit)
                for index, token in enumerate(self.question)
                if token.kind in {"word", "name", "text"} and (fit := likeness(token.stem, word)) > 0
            ]
            found += [(start, end, 1.0) for start, end in self._joined.get(word, ())]
            if word in {"num", "number", "no", "count"}:
                found += [(i, i + 2, 0.9) for i in range(len(self.question) - 1) if self._is_how_many(i)]
            self._hits[word] = found
        return found

    def _is_how_many(self, index: int) -> bool:
        return self.question[index].lower == "how" and self.question[index + 1].lower == "many"

    def runs(
        self, words: tuple[str, ...], *, optional: frozenset[str], generic: bool = False
    ) -> Iterator[tuple[int, int, float, int]]:
        """Stretches that name something with these words: (start, end, fit, number of words said)."""
        hits = sorted(
            (start, end, fit, place) for place, word in enumerate(words) for start, end, fit in self.hits(word)
        )
        if not hits:
            return
        weights = _weights(words, optional, generic=generic)
        seen: set[tuple[int, int]] = set()
        for first in range(len(hits)):
            run = self._extend(hits, first)
            start, end = run[0][0], run[-1][1]
            if (start, end) in seen or any(s <= start and end <= e for s, e in seen):
                continue
            seen.add((start, end))
            score = _score(words, weights, run)
            if score >= _MIN_FIT:
                yield start, end, score, len(run)

    def _extend(self, hits: list[tuple[int, int, float, int]], first: int) -> list[tuple[int, int, float, int]]:
        """The longest stretch from a first hit in which every hit means another word of the name."""
        run = [hits[first]]
        used = {hits[first][3]}
        for hit in hits[first + 1 :]:
            last = run[-1]
            if hit[0] < last[1]:
                if hit[0] == last[0] and hit[2] > last[2] and hit[3] not in used - {last[3]}:
                    used.discard(last[3])
                    used.add(hit[3])
                    run[-1] = hit
                continue
            between = self.question[last[1] : hit[0]]
            if hit[3] in used or len(between) > 2 or any(token.lower not in _INNER for token in between):
                if any(token.lower not in _INNER for token in between):
                    break
                continue
            run.append(hit)
            used.add(hit[3])
        return run


def _weights(words: tuple[str, ...], optional: frozenset[str], *, generic: bool) -> list[float]:
    weights = []
    for place, word in enumerate(words):
        is_optional = (word in optional or stem(word) in optional) and len(words) > 1
        is_generic = generic and word in GENERIC and len(words) > 1 and place == len(words) - 1
        weights.append(0.15 if is_optional else 0.35 if is_generic else 1.0)
    return weights


def _score(words: tuple[str, ...], weights: list[float], run: list[tuple[int, int, float, int]]) -> float:
    said = {place: fit for _, _, fit, place in run}
    total = sum(weights)
    score = sum(max(weights[place], 0.35) * fit for place, fit in said.items())
    score /= total + sum(max(0.35 - weights[place], 0) for place in said)
    # The last word names the thing: "flight" alone is no good name for flight_number, nor "number" for flights.
    head = max((place for place, weight in enumerate(weights) if weight >= 1), default=len(words) - 1)
    return score if head in said else score * 0.8


# --- values ------------------------------------------------------------------------------------------------------


def _value_mentions(question: Sequence[Token], schema: Schema) -> list[Mention]:
    index: dict[str, list[tuple[tuple[str, ...], Column, str]]] = {}
    for column in schema.columns():
        for value in column.facts.values:
            words = _value_words(value)
            if words:
                index.setdefault(words[0], []).append((words, column, value))
    found: dict[tuple[int, int], dict[tuple[str, str], tuple[Column, str]]] = {}
    for start, token in enumerate(question):
        for words, column, value in index.get(_plain(token), ()):
            end = _match_end(question, start, words)
            if end and _worth(question, start, end, value):
                found.setdefault((start, end), {})[column.table, column.name] = (column, value)
    return [_value_mention(question, span, list(columns.values())) for span, columns in found.items()]


def _value_mention(question: Sequence[Token], span: tuple[int, int], columns: list[tuple[Column, str]]) -> Mention:
    return Mention(*span, _text(question, *span), values=tuple(columns))


@lru_cache(maxsize=4096)
def _value_words(value: str) -> tuple[str, ...]:

    return tuple(_plain(token) for token in tokens(value) if token.lower not in ARTICLES)[:12]


def _plain(token: Token) -> str:
    return token.stem if token.kind == "word" else token.lower


def _match_end(question: Sequence[Token], start: int, words: tuple[str, ...]) -> int:
    """The index after a value's words when they stand at ``start``, else 0; a quoted token must match as a whole."""
    if question[start].kind in {"text", "name"}:
        return start + 1 if _value_words(question[start].text) == words else 0
    position = start
    for word in words:
        while position < len(question) and question[position].lower in ARTICLES and position > start:
            position += 1
        if position >= len(question) or _plain(question[position]) != word:
            return 0
        position += 1
    return position


def _worth(question: Sequence[Token], start: int, end: int, value: str) -> bool:
    """Whether words in a question are likely to mean a stored value: not "no" for 'No', nor "a" for 'A'."""
    first = question[start]
    if first.kind in {"text", "name"} or end - start > 1:
        return True
    if first.kind == "number":
        return False
    if len(value) == 1:
        return first.text == value and first.text not in {"A", "I"}
    if value.isupper() and len(value) <= 3:
        return first.text == value
    return first.lower not in _NO_VALUES


_NO_VALUES = frozenset(
    [
        "yes",
        "no",
        "true",
        "false",
        "other",
        "all",
        "none",
        "one",
        "any",
        "each",
        "both",
        "more",
        "most",
        "less",
        "least",
        "and",
        "or",
        "not",
        "name",
        "year",
        "day",
        "date",
        "month",
        "total",
        "average",
        "high",
        "low",
        "in",
        "on",
        "of",
        "at",
        "it",
        "number",
        "count",
        "first",
        "last",
        "new",
        "many",
        "to",
        "for",
        "from",
        "with",
        "by",
        "is",
        "are",
        "was",
    ]
)


def _quoted_start(tokens: Sequence[Token], index: int) -> bool:
    return tokens[index].kind in {"text", "name"}


# --- choosing ----------------------------------------------------------------------------------------------------


def _ranked(question: Sequence[Token], fits: list[_Fit], values: list[Mention]) -> list[Mention]:
    """All candidate mentions, the ones to take first first."""
    spans: dict[tuple[int, int], list[_Fit]] = {}
    for fit in fits:
        spans.setdefault((fit.start, fit.end), []).append(fit)
    ranked = [(_span_rank(question, group), _schema_mention(question, span, group)) for span, group in spans.items()]
    ranked += [(_value_rank(question, mention), mention) for mention in values]
    ranked.sort(key=lambda item: (-item[0], item[1].start))
    return [mention for _, mention in ranked]


def _span_rank(question: Sequence[Token], group: list[_Fit]) -> float:
    """More words said and a better fit come first; an exact table name counts as a little more than a weak column."""
    best = max(group, key=lambda fit: (fit.words * fit.score, fit.score))
    quoted = 3.0 if question[best.start].kind == "name" else 0.0
    if question[best.start].kind == "text":
        return -1.0
    return best.words * best.score + quoted + (0.05 if best.table else 0.0)


def _value_rank(question: Sequence[Token], mention: Mention) -> float:
    first = question[mention.start]
    words = sum(token.lower not in ARTICLES for token in question[mention.start : mention.end])
    if first.kind in {"text", "name"}:
        return 10.0
    capital = first.capital and mention.start > 0
    return words * (1.15 if capital else 0.95 if words > 1 else 0.85)


def _schema_mention(question: Sequence[Token], span: tuple[int, int], group: list[_Fit]) -> Mention:
    best = max(fit.score for fit in group)
    kept = sorted((fit for fit in group if fit.score >= best - 0.3), key=lambda fit: -fit.score)
    tables = tuple((fit.table, fit.score) for fit in kept if fit.table is not None)
    columns = tuple((fit.column, fit.score) for fit in kept if fit.column is not None)
    return Mention(*span, _text(question, *span), tables=tables, columns=columns)


def _text(question: Iterable[Token], start: int, end: int) -> str:
    return " ".join(token.text for token in list(question)[start:end])


# --- literals ----------------------------------------------------------------------------------------------------


def _literals(question: Sequence[Token], taken: set[int]) -> Iterator[Mention]:
    """Quoted text, dates, insisted names, and runs of capitalised words that nothing else has claimed."""
    index = 0
    while index < len(question):
        token = question[index]
        if index in taken:
            index += 1
        elif token.kind == "name" or (token.kind == "word" and "_" in token.text):
            yield Mention(index, index + 1, token.text, insisted=True)
            index += 1
        elif token.kind == "text":
            yield Mention(index, index + 1, token.text, literal=True)
            index += 1
        elif _is_proper(question, index):
            end = _proper_end(question, index, taken)
            yield Mention(index, end, _text(question, index, end), literal=True)
            index = end
        else:
            index += 1


def _is_proper(question: Sequence[Token], index: int) -> bool:
    token = question[index]
    if not token.capital or token.lower in _NOT_PROPER:
        return False
    starts = index == 0 or question[index - 1].text in {".", "?", "!", ":"}
    return not starts or (len(token.text) > 1 and token.text.isupper() and token.lower not in _STARTERS)


def _proper_end(question: Sequence[Token], index: int, taken: set[int]) -> int:
    end = index + 1
    while end < len(question) and end not in taken:
        token = question[end]
        joins = token.lower in {"of", "de", "la", "van", "von", "and", "&", "the"} and end + 1 < len(question)
        if token.capital or (token.kind == "number" and end + 1 == len(question)):
            end += 1
        elif joins and token.lower != "and" and question[end + 1].capital and end + 1 not in taken:
            end += 2
        else:
            break
    return end


_NOT_PROPER = frozenset({"i", "sql", "id", "ids", "null", "please", "i'm", "and", "or", "not", "in", "of"})
_STARTERS = frozenset(
    {
        "what",
        "which",
        "who",
        "how",
        "list",
        "show",
        "find",
        "count",
        "give",
        "tell",
        "display",
        "plot",
        "for",
        "where",
        "when",
    }
)
