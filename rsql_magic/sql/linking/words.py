"""From names and questions to stems: ``custNo`` and "customers" meet here."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from rsql_magic.sql.dialects.records import listed, names

if TYPE_CHECKING:
    from collections.abc import Iterable

# Not before the s of a plural: URLs and IDs are one word.
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])(?![A-Z]s(?![a-z]))")
_UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
# A word or a number; in scripts that write no blanks between words (Chinese, Japanese, Thai), a character.
WORD = re.compile(rf"[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+|\d+")

# Shorter words are left alone: their last letter is seldom an ending.
_SHORT = 3
# British and American spellings of stems, the British first.
_SPELLINGS = (
    (re.compile(r"(?<=[a-z]{3})our(?=$|it|abl|al|less|hood|ful)"), "or"),
    (re.compile(r"(?<=[a-z]{4})is(?=$|ation$|er$)"), "iz"),
    (re.compile(r"(?<=[a-z]{2})tr$"), "ter"),
    (re.compile(r"(?<=[a-z]{2})ogu$"), "og"),
    (re.compile(r"(?<=[a-z]{3})ll(?=ment$)"), "l"),
    (re.compile(r"(?<=[aeiouy][a-z][aeiou]l)l$|(?<=[aeiouy][a-z]{2}[aeiou]l)l$"), ""),
)

# Words that name nothing in a database, and the ones that ask for a figure rather than for a table.
SMALL_WORDS = {language: frozenset(words) for language, words in listed("linking/small_words")}
STOP_WORDS = SMALL_WORDS["en"]

# Words whose ending tells nothing, or something wrong.
_IRREGULAR = {
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "feet": "foot",
    "mice": "mouse",
    "geese": "goose",
    "teeth": "tooth",
    "data": "data",
    "indices": "index",
    "matrices": "matrix",
    "criteria": "criterion",
    "lives": "life",
    "wives": "wife",
    "series": "series",
    "species": "species",
    "news": "news",
}


def spaced(text: str, blank: str = " ") -> str:
    """The text with a blank where the case changes inside a word: ``HomeTown`` is Home Town."""
    return _CAMEL.sub(blank, text)


@lru_cache(maxsize=65536)
def split(text: str) -> tuple[str, ...]:
    """The words and numbers of an identifier or a sentence, in lower case: ``HomeTown_id`` is home, town, id."""
    return tuple(word.lower() for word in WORD.findall(spaced(text)))


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The word, in lower case, without its inflection: plural, past, -ing. Lighter than Porter's, which merges more."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < _SHORT:
        return word
    return _one_spelling(_without_vowel(_without_verb_ending(_singular(word))))


def _singular(word: str) -> str:
    if word.endswith(("ss", "us", "is")):
        return word
    if word.endswith(("ies", "sses", "shes", "ches", "xes", "zes", "uses")):
        return word[:-2]
    return word.removesuffix("s")


def _without_verb_ending(word: str) -> str:
    for ending in ("ing", "ed"):
        if (rest := word.removesuffix(ending)) != word and len(rest) >= _SHORT and re.search("[aeiouy]", rest):
            is_doubled = len(rest) > _SHORT and rest[-1] == rest[-2] and rest[-1] not in "lsz"  # stopp(ing)
            return rest[:-1] if is_doubled else rest
    return word


def _without_vowel(word: str) -> str:
    """One form for ``city`` and ``citi(es)``, ``move`` and ``mov(ing)``, ``movie`` and ``movi(es)``."""
    if len(word) <= _SHORT:
        return word
    word = word.removesuffix("e")
    return word[:-1] + "i" if word.endswith("y") else word


def _one_spelling(word: str) -> str:
    """One form for British and American: ``colour`` is color, ``theatre`` is theater, ``enroll`` is enrol."""
    for british, american in _SPELLINGS:
        word = british.sub(american, word)
    return word


@lru_cache(maxsize=65536)
def stems(text: str) -> tuple[str, ...]:
    """Stems of a text or name, stop words kept: a table may be called ``number``."""
    return tuple(map(stem, split(text)))


def slips(one: str, other: str, most: int = 2) -> int:
    """Slips of the fingers between two words: a letter left out, added or wrong, or two swapped."""
    # The optimal string alignment distance (a restricted Damerau-Levenshtein distance); above ``most`` counting ends.
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    above = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
        before, above = above, row
    return min(above[-1], most + 1)


def mistyped(one: str, other: str) -> bool:
    """Whether a word is most likely another one mistyped: one slip in five letters or more, two in nine or more."""
    # The first letter is seldom wrong, and numbers are no slips: ``A1`` is not ``A10``.
    a, b = one.casefold(), other.casefold()
    if (shorter := min(len(a), len(b))) < 5 or a[0] != b[0] or _digits(a) != _digits(b):
        return False
    return 0 < slips(a, b) <= (2 if shorter >= 9 else 1)


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


# Schemas that a question names

# What may follow "in" without being a place.
_PRONOUNS = names("it me them this that these those which all one")


def named_schemas(question: str, schemas: Iterable[str]) -> set[str]:
    """The schemas, or ``prefix__`` groups, that a question names."""
    # A name that is a small word, such as ``us`` or ``it``, is one only where it can be no other: in capitals, before
    # a dot, beside "schema" or "database", or behind "in".
    said = f" {' '.join(stems(question))} "
    return {name for name in schemas if name and (_is_said(question, name) if _is_small(name) else _is_in(said, name))}


def _is_small(name: str) -> bool:
    return name.casefold() in STOP_WORDS


def _is_in(said: str, name: str) -> bool:
    words = " ".join(stems(name))
    return bool(words) and f" {words} " in said


def _is_said(question: str, name: str) -> bool:
    """Whether a small word stands where only a name can."""
    word = re.escape(name)
    shouted = rf"(?-i:\b{re.escape(name.upper())}\b)" if question != question.upper() else "(?!)"
    places = [shouted, rf"\b{word}\.\w", rf"\b{word} (?:schema|database)\b", rf"\b(?:schema|database) {word}\b"]
    if name.casefold() not in _PRONOUNS:
        places.append(rf"\bin {word}\b")
    return re.search("|".join(places), question, re.IGNORECASE) is not None


def small_names(question: str, schemas: Iterable[str]) -> set[str]:
    """Those named whose name is a word that questions are otherwise full of."""
    return {name for name in named_schemas(question, schemas) if _is_small(name)}
