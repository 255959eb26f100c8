"""What a question asks about: words and phrases, each with what may stand for it in a schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.lexicon import LONGEST_PHRASE, language_of, thesaurus, translated
from rsql_magic.sql.linking.words import SMALL_WORDS, STOP_WORDS, WORD, spaced, stem

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from rsql_magic.sql.linking.index import Weights

_QUOTES = "\"'‘“«`"
# Stands where camelCase is taken apart, so that it can be put together again.
_SEAM = "\x1f"
_NAME = re.compile(r"""[\w.$]*\w|`[^`]+`|"[^"]+"|'[^']+'""")
# Values of more words are texts, and no question repeats them.
_LONGEST_VALUE = 6
_DIRECTION = r"(?:ascending|descending|alphabetic(?:al)?|chronological|increasing|decreasing|reversed?)"
# How the answer should be sorted says nothing about tables; "ordered by" is not about orders.
_SORTING = re.compile(
    rf"\b(?:in|by)\s+(?:the\s+|an?\s+)?(?:{_DIRECTION}\s+)+order(?:\s+(?:of|by))?\b"
    r"|\b(?:in|by)\s+(?:the\s+|an?\s+)?(?:\w+\s+)?order\s+(?:of|by)\b"
    r"|(?<!were )(?<!was )(?<!been )\b(?:order|sort|rank|group)(?:ed|ing)\b"
    rf"(?=\s+(?:by|alphabetically|in\s+(?:the\s+|an?\s+)?{_DIRECTION}|from\s+(?:the\s+)?\w+\s+to)\b)"
    r"|(?:^|(?<=[,.;:] )|(?<=\band )|(?<=\bthen ))(?:order|sort|rank|group)\b(?=\s+(?:\w+\s+){0,3}?(?:by|in|from)\b)"
    rf"|\b(?:{_DIRECTION}|alphabetically|respectively|corresponding|sorted)\b",
    re.IGNORECASE,
)

# Words that ask for a rank; still, a column may be called ``max_temperature``.
_EXTREMES = frozenset(
    """
    max maximum maximal min minimum minimal highest lowest largest smallest higher lower larger smaller biggest greatest
    top bottom best worst first last longest shortest oldest youngest earliest latest cheapest common popular
    """.split()  # noqa: SIM905 - words read better as text
)
_YEAR = re.compile(r"(1[89]|2[01])\d\d")
# May is left out: it is a word of every other question.
_MONTHS = frozenset(
    """
    january february march april june july august september october november december
    """.split()  # noqa: SIM905
)
_DATE = ("date", "year", "month", "day", "time")
# What a question word asks for, as words of a schema.
_INTENTS = {
    "when": _DATE,
    "where": ("location", "address", "city", "place", "country"),
    "who": ("person", "people", "employee", "member"),
}


@dataclass(frozen=True)
class Concept:
    """One word or phrase of the question."""

    options: Mapping[str, float]  # Phrases (stems joined by spaces) that may stand for it, and how surely, 0 to 1
    weight: float = 1.0  # How much it counts
    value: str = ""  # The stored value that it is, as stems, or empty


class Question:
    """The words of a question, and which of them look like names or quoted values."""

    def __init__(self, text: str) -> None:
        # What may be the name of a table as it is written, in lower case: words with dots, and what is in quotes.
        self.mentions = {n.casefold() for found in _NAME.findall(text) for n in (found, found.strip(_QUOTES))}
        self._language = language_of(text)
        text = spaced(_SORTING.sub(" ", text), _SEAM)
        found = list(WORD.finditer(text))
        self._text = text
        self._starts, self._ends = [m.start() for m in found], [m.end() for m in found]
        self.words = [match.group().lower() for match in found]
        self.stems = [stem(word) for word in self.words]
        self.named = {i for i, m in enumerate(found) if (i and m.group()[0].isupper()) or _quoted(text, m.start())}

    def concepts(self, values: Container[str], weights: Weights) -> list[Concept]:
        """The phrases and words of the question, the rarest first; ``values`` are stored ones, as stems."""
        inside: set[int] = set()
        concepts = [*self._values(values, weights, inside), *self._phrases(inside, weights), *self._intents(weights)]
        return [*concepts, *self._words(weights, inside)]

    def _spans(self, longest: int, shortest: int, inside: set[int]) -> Iterator[tuple[int, int, str]]:
        """Runs of words that touch no run taken before, the longest first."""
        for n in range(longest, shortest - 1, -1):
            for i in range(len(self.words) - n + 1):
                if inside.isdisjoint(range(i, i + n)):
                    yield i, n, " ".join(self.stems[i : i + n])

    def value_phrases(self, values: Container[str]) -> list[tuple[str, str]]:
        """Phrases as written, and their stems, that are stored values; the longest first, none inside another."""
        inside: set[int] = set()
        phrases = []
        for i, n, phrase in self._spans(_LONGEST_VALUE, 1, inside):
            if self._is_value(i, n, phrase, values):
                inside.update(range(i, i + n))
                written = self._text[self._starts[i] : self._ends[i + n - 1]].replace(_SEAM, "")
                phrases.append((written, phrase))
        return phrases

    def _is_value(self, i: int, n: int, phrase: str, values: Container[str]) -> bool:
        return phrase in values and not STOP_WORDS.issuperset(self.words[i : i + n])

    def _values(self, values: Container[str], weights: Weights, inside: set[int]) -> Iterator[Concept]:
        for i, n, phrase in self._spans(_LONGEST_VALUE, 1, inside):
            if not self._is_value(i, n, phrase, values):
                continue
            # A single plain word may be a value by chance, so it stays a word as well.
            if n > 1 or i in self.named:
                inside.update(range(i, i + n))
                yield Concept({}, weights.full_value, phrase)
            else:
                yield Concept({}, weights.word_value, phrase)

    def _phrases(self, inside: set[int], weights: Weights) -> Iterator[Concept]:
        near = thesaurus().near
        for i, n, phrase in self._spans(LONGEST_PHRASE, 2, inside):
            if phrase in near:
                inside.update(range(i, i + n))
                figure = STOP_WORDS.issuperset(self.words[i : i + n])
                yield Concept({phrase: 1.0, **near[phrase]}, weights.extreme if figure else 1.0)

    def _intents(self, weights: Weights) -> Iterator[Concept]:
        asked = [marks for word, marks in _INTENTS.items() if word in self.words]
        if any(word in _MONTHS or _YEAR.fullmatch(word) for word in self.words):
            asked.append(_DATE)
        for marks in dict.fromkeys(asked):
            yield Concept({stem(mark): 1.0 for mark in marks}, weights.intent)

    def _words(self, weights: Weights, inside: set[int]) -> Iterator[Concept]:
        seen: set[str] = set()
        small = SMALL_WORDS[self._language]
        for i, (word, root) in enumerate(zip(self.words, self.stems, strict=True)):
            if word in STOP_WORDS or word in small or root in seen:
                continue
            seen.add(root)
            weight = _weight(word, weights) * (weights.inside if i in inside else 1.0)
            meanings = translated(word, self._language) if self._language != "en" else ()
            for group in meanings or ((),):
                yield Concept(_options((root, *(stem(one) for one in group if one not in STOP_WORDS))), weight)


# The `Question` of a text: one question is read by ranking, values and slips alike.
question_of = lru_cache(maxsize=64)(Question)


def _options(roots: Sequence[str]) -> dict[str, float]:
    """What may stand for any of these words, the first of which was said."""
    options: dict[str, float] = {}
    for root in roots:
        near = {root: 1.0, **thesaurus().near.get(root, {})}
        options |= {other: sure for other, sure in near.items() if sure > options.get(other, 0.0)}
    return options


def _weight(word: str, weights: Weights) -> float:
    """What a plain word counts."""
    return weights.number if word.isdigit() else weights.extreme if word in _EXTREMES else 1.0


def _quoted(text: str, start: int) -> bool:
    return start > 0 and text[start - 1] in _QUOTES
