"""What a word of a schema may mean: short forms spelled out, compounds taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.sql.linking.languages import languages_of, translated
from rsql_magic.sql.linking.shortened import meanings
from rsql_magic.sql.linking.thesaurus import thesaurus
from rsql_magic.sql.linking.words import STOP_WORDS, split, stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rsql_magic.sql.linking.weights import Weights

_PREFIXES = frozenset(
    "super sub pre post micro multi inter under over out self non anti auto".split()  # noqa: SIM905
)
_SHORTEST_PART = 3


class Lexicon:
    """The words of one catalog.

    Args:
        names: All names of tables and columns; words that stand alone in some name are words.
        weights: What a short form and a part of a compound count.
    """

    def __init__(self, names: Iterable[str], weights: Weights) -> None:
        self._weights = weights
        self._readings: dict[str, Sequence[tuple[str, float]]] = {}
        self._words: dict[str, frozenset[str]] = {}
        self._meanings_of: dict[str, Sequence[tuple[str, float]]] = {}
        self._learned: Mapping[str, Sequence[str]] = {}
        words = {word for name in names for word in split(name)}
        self._known = thesaurus().words | _PREFIXES | {word for word in words if len(word) > _SHORTEST_PART}
        self._languages = languages_of(words)

    def learn(self, described: Iterable[tuple[str, str]]) -> None:
        """Learn short forms from names and what describes them.

        Args:
            described: Names and descriptions.
        """
        self._learned = meanings(
            ([word for word in split(name) if not self.knows(word)], split(note)) for name, note in described if note
        )

    def knows(self, word: str) -> bool:
        """Whether the word needs no explanation: a plain one, or a short form in the list."""
        return word in thesaurus().stems or stem(word) in thesaurus().stems or stem(word) in thesaurus().short

    def read(self, text: str) -> Sequence[tuple[str, float]]:
        """The stems of a name or text, with what each counts: 1 for the word itself."""
        if text not in self._readings:
            self._readings[text] = [meaning for word in split(text) for meaning in self._word(word)]
        return self._readings[text]

    def words(self, text: str) -> frozenset[str]:
        """The stems of a name or text, without what each counts."""
        if text not in self._words:
            self._words[text] = frozenset(stem for stem, _ in self.read(text))
        return self._words[text]

    def _word(self, word: str) -> Sequence[tuple[str, float]]:
        if word not in self._meanings_of:
            self._meanings_of[word] = list(self._meanings(word))
        return self._meanings_of[word]

    def parts(self, word: str) -> tuple[str, ...]:
        """The words that a compound is made of, if it is one: ``hometown`` is home and town."""
        if len(word) < 2 * _SHORTEST_PART or not word.isalpha() or word in thesaurus().words:
            return ()
        for cut in range(len(word) - _SHORTEST_PART, _SHORTEST_PART - 1, -1):
            if word[:cut] in self._known and self.is_word(word[cut:]):
                return word[:cut], word[cut:]
        return ()

    def is_word(self, word: str) -> bool:
        """Whether this is a plain word, or one with an s behind it."""
        return word in self._known or word.removesuffix("s") in self._known or word in STOP_WORDS

    def _meanings(self, word: str) -> Iterator[tuple[str, float]]:
        yield stem(word), 1.0
        for long in thesaurus().short.get(stem(word), ()):
            yield from ((part, self._weights.short) for part in long.split())
        for long in self._learned.get(word, ()):
            yield from ((stem(part), self._weights.short) for part in long.split())
        for language in self._languages:
            for meanings_of_part in translated(word, language):
                yield from ((stem(one), self._weights.short) for one in meanings_of_part)
        for part in self.parts(word):
            yield stem(part), self._weights.part
        if word[1:] in thesaurus().words and len(word) > _SHORTEST_PART + 1 and word not in self._known:
            yield stem(word[1:]), self._weights.part
