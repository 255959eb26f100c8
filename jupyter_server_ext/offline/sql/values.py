"""Values in a question: stored ones that the schema's facts list, and literals that nothing else has claimed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ..words import tokens, word_set
from .letters import LETTERS, is_name
from .lexicon import ARTICLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..words import Token
    from .schema import Column, Schema

_GENDERS = {"M": ("male", "man", "boy"), "F": ("female", "woman", "girl"), "MALE": ("man",), "FEMALE": ("woman",)}
_PREPOSITIONS = word_set("by in on at to from")
_NAMING = word_set("the of all which what each every different distinct many list show")
_NO_VALUES = word_set(
    """
    yes no true false other all none one any each both more most less least and or not name year day date month
    total average high low in on of at it number count first last new many to for from with by is are was
    """
)
"""Words that are hardly ever meant as a value, even where one is stored."""

_Found = dict[tuple[int, int], list[tuple["Column", str]]]
_Index = dict[str, list[tuple[tuple[str, ...], "Column", str]]]


def text_of(question: Sequence[Token], start: int, end: int) -> str:
    """The words of a stretch as written."""
    return " ".join(token.text for token in question[start:end])


def stored_values(question: Sequence[Token], schema: Schema) -> _Found:
    """Stretches that are values the facts list, each with the columns that hold it and its stored spelling."""
    index = _index(schema)
    found: dict[tuple[int, int], dict[tuple[str, str], tuple[Column, str]]] = {}
    for start, token in enumerate(question):
        for words, column, value in index.get(_plain(token), ()):
            end = _match_end(question, start, words)
            alone = len(schema.tables) == 1
            if end and _worth(question, start, end, value, words, alone=alone):
                found.setdefault((start, end), {})[column.table, column.name] = (column, value)
    return {span: list(columns.values()) for span, columns in found.items()}


def _index(schema: Schema) -> _Index:
    """Values by their first word."""
    index: _Index = {}
    for column in schema.columns():
        for value in column.facts.values:
            words = value_words(value)
            if words:
                index.setdefault(words[0], []).append((words, column, value))
            if value.upper() in _GENDERS and {"sex", "gender"} & set(column.words):
                for word in _GENDERS[value.upper()]:
                    index.setdefault(word, []).append(((word,), column, value))
    return index


@lru_cache(maxsize=4096)
def value_words(value: str) -> tuple[str, ...]:
    """The words by which a value is found: stems, without articles."""
    found = tokens(value)
    return tuple(_plain(t) for t in found if t.lower not in ARTICLES or len(found) == 1)[:12]


def _plain(token: Token) -> str:
    return token.stem if token.kind == "word" else token.lower


def _match_end(question: Sequence[Token], start: int, words: tuple[str, ...]) -> int:
    """The index after a value's words when they stand at ``start``, else 0; a quoted token must match as a whole."""
    if question[start].kind in {"text", "name"}:
        return start + 1 if value_words(question[start].text) == words else 0
    position = start
    for word in words:
        while position < len(question) and question[position].lower in ARTICLES and position > start:
            position += 1
        if position >= len(question) or _plain(question[position]) != word:
            return 0
        position += 1
    return position


def _worth(question: Sequence[Token], start: int, end: int, value: str, words: tuple[str, ...], *, alone: bool) -> bool:
    """Whether words in a question are likely to mean a stored value: not "no" for 'No', nor "a" for 'A'."""
    first = question[start]
    if first.kind in {"text", "name"} or end - start > 1:
        return True
    if value.upper() in _GENDERS and words[0] != value.lower():
        return True
    if (
        first.kind == "number"
        or first.lower in ARTICLES - LETTERS
        or _is_other_word(question, start, end, value, words, alone=alone)
    ):
        return False
    if len(value) == 1 or (value.isupper() and len(value) <= 3):
        named = alone and start > 0 and first.capital and is_name(question, start)
        return first.text == value and (first.lower not in LETTERS or named)
    return first.lower not in _NO_VALUES


def _is_other_word(
    question: Sequence[Token], start: int, end: int, value: str, words: tuple[str, ...], *, alone: bool
) -> bool:
    """Whether a word is a verb or a plural thing rather than the value it looks like.

    "Reported by staff" is no status, and "the states" are not a department called State, though "are doctors" means
    the job Doctor. Where there is but one table (``alone``), "the pens" are those of its column.
    """
    first = question[start]
    after = question[end].lower if end < len(question) else ""
    verb = first.text.islower() and first.text.endswith(("ed", "ing")) and after in _PREPOSITIONS
    plural = first.lower not in {value.lower(), words[0]} and value.upper() not in _GENDERS
    return verb or (plural and not alone and start > 0 and question[start - 1].lower in _NAMING)


# --- literals ---

_JOINING = word_set("of de la le van von der & the a in for to on with")
_NOT_PROPER = word_set(
    """
    i sql id ids null please and or not in of january february march april may june july august september
    october november december jan feb mar apr jun jul aug sep sept oct nov dec monday tuesday wednesday thursday
    friday saturday sunday q1 q2 q3 q4 mondays tuesdays wednesdays thursdays fridays saturdays sundays
    """
)
_STARTERS = word_set("what which who how list show find count give tell display plot for where when")


def literals(question: Sequence[Token], taken: set[int]) -> Iterator[tuple[int, int, bool]]:
    """Quoted text, dates, runs of capitalised words, and names the user insists on: (start, end, insisted)."""
    index = 0
    while index < len(question):
        end = index + 1
        token = question[index]
        if index not in taken:
            insisted = token.kind == "name" or (token.kind == "word" and "_" in token.text)
            if insisted or token.kind == "text":
                yield index, end, insisted
            elif _is_proper(question, index):
                end = _proper_end(question, index, taken)
                yield index, end, False
        index = end


def _is_proper(question: Sequence[Token], index: int) -> bool:
    token = question[index]
    if not token.capital or token.lower in _NOT_PROPER:
        return False
    starts = index == 0 or question[index - 1].text in {".", "?", "!", ":"}
    return not starts or (len(token.text) > 1 and token.text.isupper() and token.lower not in _STARTERS)


def _proper_end(question: Sequence[Token], index: int, taken: set[int]) -> int:
    """The index after a run of capitalised words, small words inside it included."""
    end = index + 1
    while end < len(question) and end not in taken:
        token = question[end]
        joins = token.lower in _JOINING and end + 1 < len(question) and end + 1 not in taken
        if token.capital:
            end += 1
        elif joins and question[end + 1].capital:
            end += 2
        else:
            break
    return end
