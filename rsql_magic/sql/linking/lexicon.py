"""What words of a question and of a schema have to do with each other: synonyms, abbreviations, short forms."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import groupby, permutations
from typing import TYPE_CHECKING

from rsql_magic.sql.dialects.records import names
from rsql_magic.sql.linking.words import SMALL_WORDS, STOP_WORDS, WORD, split, stem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rsql_magic.sql.catalog import Table
    from rsql_magic.sql.linking.index import Weights

    Words = tuple[str, ...]


# Parts of compounds that stand in no thesaurus.
_PREFIXES = names("super sub pre post micro multi inter under over out self non anti auto")
# Shorter parts are found in words by chance.
_SHORTEST_PART = 3


class Lexicon:
    """The words of one catalog, of whose tables and columns it takes all names."""

    # Words that stand alone in some name are words. The weights say what short forms and parts of compounds count.

    def __init__(self, called: Iterable[str], weights: Weights) -> None:
        self._weights = weights
        self._readings: dict[str, Sequence[tuple[str, float]]] = {}
        self._words: dict[str, frozenset[str]] = {}
        self._meanings_of: dict[str, Sequence[tuple[str, float]]] = {}
        self._learned: Mapping[str, Sequence[str]] = {}
        words = {word for name in called for word in split(name)}
        self._known = thesaurus().words | _PREFIXES | {word for word in words if len(word) > _SHORTEST_PART}
        self._languages = languages_of(words)

    def learn(self, described: Iterable[tuple[str, str]]) -> None:
        """Learn short forms from names and what describes them."""
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


_SHORTEST, _LONGEST = 3, 6
# So often a description must say the word before it explains a short form: once may be chance.
_FEWEST = 2
# A longer description says more than what the name means.
_MOST_WORDS = 12


def skeleton(word: str) -> str:
    """The first letter and the consonants after it, none twice in a row: ``account`` is ``acnt``."""
    letters = word[:1] + "".join(letter for letter in word[1:] if letter not in "aeiouy")
    return "".join(letter for letter, _ in groupby(letters))


def shortens(short: str, word: str) -> bool:
    """Whether the letters may stand for the word: its beginning, or its consonants."""
    if not _SHORTEST <= len(short) <= _LONGEST or len(word) < len(short) + 2 or short[:1] != word[:1]:
        return False
    return word.startswith(short) or skeleton(word).startswith(skeleton(short)) or _beginning_and_end(short, word)


def _beginning_and_end(short: str, word: str) -> bool:
    """Whether it is the beginning and a later consonant, as ``dept``."""
    return len(short) > _SHORTEST and word.startswith(short[:-1]) and short[-1] in skeleton(word[len(short) - 1 :])


def meanings(named: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Mapping[str, Sequence[str]]:
    """For each short form the words that descriptions beside it often explain it with, most often first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for shorts, words in named:
        for short in dict.fromkeys(shorts):
            counts[short].update(set(_explained(short, words[:_MOST_WORDS])))
    return {short: _usual(count) for short, count in counts.items() if _usual(count)}


def _explained(short: str, words: Sequence[str]) -> Iterator[str]:
    yield from (word for word in words if shortens(short, word))
    if len(short) > 1:
        initials = "".join(word[:1] for word in words)
        if (start := initials.find(short)) >= 0:
            yield " ".join(words[start : start + len(short)])


def _usual(count: Counter[str]) -> list[str]:
    top = max(count.values(), default=0)
    return [word for word, n in count.most_common(3) if n >= _FEWEST and 2 * n >= top]


# How surely a word stands for another: a form of it (sell, sale), a synonym, a kind of it (vehicle, bus).
FORM, SYNONYM, KIND = 0.9, 0.6, 0.35


@dataclass(frozen=True)
class Thesaurus:
    """Which phrases stand for which. A phrase is its stems, joined by spaces."""

    near: Mapping[str, Mapping[str, float]]  # For a phrase, those that may stand for it and how surely
    short: Mapping[str, tuple[str, ...]]  # For a short form, the long phrases it may mean
    words: frozenset[str]  # All its words as they are written, to tell words from other letters
    stems: frozenset[str]  # The stems of these


# The most words that a phrase of the thesaurus has.
LONGEST_PHRASE = 4


@cache
def thesaurus() -> Thesaurus:
    """The thesaurus of this package, read once."""
    near: dict[str, dict[str, float]] = {}
    for one, other, sure in _pairs(_lines("synonyms.txt")):
        known = near.setdefault(one, {})
        known[other] = max(sure, known.get(other, 0.0))
    short = dict(_short(line) for line in _lines("abbreviations.txt"))
    words = {word for line in _lines("synonyms.txt") for word in re.findall(r"[a-z]+", line)}
    return Thesaurus(near, short, frozenset(words), frozenset(map(stem, words)))


def phrase(text: str) -> str:
    """The stems of a phrase, joined by spaces."""
    return " ".join(map(stem, text.lower().replace("-", " ").split()))


def _lines(name: str) -> Iterator[str]:
    text = files("rsql_magic.sql.linking").joinpath(name).read_text(encoding="utf-8")
    return (line for line in text.splitlines() if line and not line.startswith("#"))


def _short(line: str) -> tuple[str, tuple[str, ...]]:
    word, _, meanings = line.partition(":")
    return stem(word.strip()), tuple(phrase(m) for m in meanings.split(","))


def _pairs(lines: Iterator[str]) -> Iterator[tuple[str, str, float]]:
    for line in lines:
        head, _, members = line.rpartition(">")
        if head:
            for member in members.split(","):
                yield phrase(head), phrase(member), KIND
                yield phrase(member), phrase(head), KIND
            continue
        separator, sure = ("=", FORM) if "=" in line else (",", SYNONYM)
        for one, other in permutations(map(phrase, line.split(separator)), 2):
            yield one, other, sure


# So many tables, and this share of a group, begin alike before the beginning is a prefix.
_FEWEST_TABLES, _SHARE = 8, 0.15
# A plain word is a prefix only when so many tables of a group begin with it: ``course_`` mostly means something.
_NEARLY_ALL = 0.8


def group_and_name(table: Table) -> tuple[str, str]:
    """The part of a name that says where a table belongs, and its own: ``hr__employees`` is of hr."""
    group, _, name = table.name.rpartition("__")
    return " ".join(part for part in (table.database, table.schema, group) if part), name or table.name


class Naming:
    """The groups and own names of tables."""

    def __init__(self, tables: Sequence[Table]) -> None:
        both = [group_and_name(table) for table in tables]
        self.groups = [group for group, _ in both]
        words = [split(name) for _, name in both]
        members = defaultdict(list)
        for place, group in enumerate(self.groups):
            members[group].append(place)
        lengths = dict.fromkeys(range(len(tables)), 0)
        for places in members.values():
            lengths.update(_prefixes({place: words[place] for place in places}))
        self.prefixes = [words[place][: lengths[place]] for place in range(len(tables))]
        self.names = [words[place][lengths[place] :] for place in range(len(tables))]

    def belongs(self, place: int) -> str:
        """The words that say where a table belongs: its group and prefix."""
        return " ".join((self.groups[place], *self.prefixes[place]))


def _prefixes(words: dict[int, Words], depth: int = 0) -> Iterator[tuple[int, int]]:
    """How many first words of each name of a group are shared with many others."""
    begin = defaultdict(list)
    for place, name in words.items():
        if len(name) > depth + 1:
            begin[name[depth]].append(place)
    for word, places in begin.items():
        if len(places) >= _FEWEST_TABLES and len(places) >= len(words) * (
            _NEARLY_ALL if depth or _is_distinctive(word) else _SHARE
        ):
            yield from ((place, depth + 1) for place in places)
            yield from _prefixes({place: words[place] for place in places}, depth + 1)


def _is_distinctive(word: str) -> bool:
    return len(word) > 2 and (word in thesaurus().words or word.removesuffix("s") in thesaurus().words)


LANGUAGES = ("de", "fr", "es")

_ENDINGS = {"de": "innen ern en er em es e n s", "fr": "ees ee es e s x", "es": "es os as o a e s"}
_SHORTEST_ROOT, _SHORTEST_FOREIGN_PART = 3, 4
# What ties the parts of a German compound together.
_LINKING = ("", "s", "es", "n", "en")
# So many words of a schema, and this share of them, make its language.
_SPOKEN_FROM, _SPOKEN_SHARE = 5, 0.15


def language_of(question: str) -> str:
    """The language of a question, ``en`` unless its words say otherwise."""
    words = [word.casefold() for word in WORD.findall(question) if word.isalpha()]
    english = sum(2 * (word in STOP_WORDS) + (word in thesaurus().words) for word in words)
    scores = {language: sum(_weight(word, language) for word in words) for language in LANGUAGES}
    best = max(LANGUAGES, key=lambda language: scores[language])
    return best if scores[best] > english else "en"


def _weight(word: str, language: str) -> int:
    if word in SMALL_WORDS[language]:
        return 2
    return int(word not in thesaurus().words and bool(translated(word, language)))


def languages_of(words: Iterable[str]) -> tuple[str, ...]:
    """The languages that the words of a schema are in, besides English."""
    long = (word for word in words if len(word) >= _SHORTEST_ROOT and word.isalpha())
    distinctive = {word for word in long if word not in thesaurus().words}
    counts = {language: sum(bool(translated(word, language)) for word in distinctive) for language in LANGUAGES}
    least = max(_SPOKEN_FROM, _SPOKEN_SHARE * len(distinctive))
    return tuple(language for language in LANGUAGES if counts[language] >= least)


@lru_cache(maxsize=65536)
def translated(word: str, language: str) -> tuple[tuple[str, ...], ...]:
    """The English words that may stand for a word of a language: one group, or one per part of a German compound."""
    folded = _folded(word, language)
    if whole := _looked_up(folded, language):
        return (whole,)
    if language != "de":
        return ()
    for cut in range(len(folded) - _SHORTEST_FOREIGN_PART, _SHORTEST_FOREIGN_PART - 1, -1):
        last = _looked_up(folded[cut:], language)
        first = next((found for tie in _LINKING if (found := _looked_up(folded[:cut].removesuffix(tie), language))), ())
        if first and last:
            return first, last
    return ()


def _looked_up(folded: str, language: str) -> tuple[str, ...]:
    return _dictionary()[language].get(_root(folded, language), ())


@cache
def _dictionary() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """For each language the roots of its words, with their English meanings."""
    found: dict[str, dict[str, list[str]]] = {language: defaultdict(list) for language in LANGUAGES}
    text = files("rsql_magic.sql.linking").joinpath("languages.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        english, *columns = (part.split(",") for part in line.split("|"))
        for language, words in zip(LANGUAGES, columns, strict=True):
            for word in filter(None, map(str.strip, words)):
                found[language][_root(_folded(word, language), language)] += [one.strip() for one in english]
    return {
        language: {root: tuple(dict.fromkeys(meanings)) for root, meanings in roots.items()}
        for language, roots in found.items()
    }


def _folded(word: str, language: str) -> str:
    """Without accents, as names are written: ``Länder`` and ``laender`` alike."""
    plain = word.casefold().replace("ß", "ss")
    letters = "".join(c for c in unicodedata.normalize("NFD", plain) if not unicodedata.combining(c))
    return re.sub(r"([aou])e(?=[^aeiou])", r"\1", letters) if language == "de" else letters


def _root(folded: str, language: str) -> str:
    """Without the commonest endings."""
    for ending in _ENDINGS[language].split():
        if folded.endswith(ending) and len(folded) - len(ending) >= _SHORTEST_ROOT:
            return folded.removesuffix(ending)
    return folded
