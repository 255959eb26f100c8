"""Earlier queries as evidence: tables that they used, tables that they joined, questions that they answered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.sql.linking.words import STOP_WORDS, split, stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What earlier queries of a database tell of its tables, all by their full names.

    Example:
        >>> evidence = Evidence(joined={("orders", "customers"): 3}, asked=(("Who orders most?", ("orders",)),))
        >>> evidence.resembling("Which customers order most often?")
        {'orders': 0.5}
    """

    used: Mapping[str, int] = field(default_factory=dict)  # How many queries use a table
    joined: Mapping[tuple[str, str], int] = field(default_factory=dict)  # How many join two tables
    asked: tuple[tuple[str, tuple[str, ...]], ...] = ()  # Questions with the tables of their queries

    def resembling(self, question: str) -> dict[str, float]:
        """The tables of questions like this one, with the likeness of the one most like it, 0 to 1."""
        # The share of the words in common (cosine), rare words counting more (idf).
        found: dict[str, float] = {}
        words = _words(question)
        own = self._weight(words)
        for (_, tables), theirs in zip(self.asked, self._asked_words, strict=True):
            common = self._weight(words & theirs)
            likeness = common**2 / max(own * self._weight(theirs), 1e-9)
            for table in tables if common else ():
                found[table] = max(likeness, found.get(table, 0.0))
        return found

    def _weight(self, words: frozenset[str]) -> float:
        return sum(self._rarity.get(word, self._rarest) for word in words)

    @cached_property
    def _asked_words(self) -> Sequence[frozenset[str]]:
        return [_words(question) for question, _ in self.asked]

    @cached_property
    def _rarest(self) -> float:
        return float(np.log(1 + len(self.asked)))

    @cached_property
    def _rarity(self) -> Mapping[str, float]:
        counts = Counter(word for words in self._asked_words for word in words)
        return {word: float(np.log(1 + len(self.asked) / count)) for word, count in counts.items()}

    def shares(self, question: str, places: Mapping[str, int]) -> tuple[Floats, Floats]:
        """For each place of a table how like the questions about it are, and how often it is used, both 0 to 1."""
        tables = max(places.values(), default=-1) + 1
        likeness, use = np.zeros(tables), np.zeros(tables)
        for name, share in self.resembling(question).items():
            if (place := places.get(name)) is not None:
                likeness[place] = max(likeness[place], share)
        for name, times in self.used.items():
            if (place := places.get(name)) is not None:
                use[place] += times
        return likeness, np.log1p(use) / max(float(np.log1p(use).max(initial=0.0)), 1e-9)

    def keys(self, places: Mapping[str, int]) -> Iterator[tuple[int, int]]:
        """The places of tables that were joined."""
        for one, other in self.joined:
            if one in places and other in places and places[one] != places[other]:
                yield places[one], places[other]


def _words(question: str) -> frozenset[str]:
    return frozenset(stem(word) for word in split(question) if word not in STOP_WORDS)
