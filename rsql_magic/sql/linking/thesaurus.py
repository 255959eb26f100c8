"""Words that stand for one another, read from ``synonyms.txt`` and ``abbreviations.txt``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import permutations
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.words import stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORM, SYNONYM, KIND = 0.9, 0.6, 0.35
"""How surely a word stands for another: a form of it (sell, sale), a synonym, a kind of it (vehicle, bus)."""


@dataclass(frozen=True)
class Thesaurus:
    """Which phrases stand for which. A phrase is its stems, joined by spaces.

    Args:
        near: For a phrase, those that may stand for it and how surely.
        short: For a short form, the long phrases it may mean.
        words: All its words as they are written, for telling words from other letters.
        stems: The stems of these.
    """

    near: Mapping[str, Mapping[str, float]]
    short: Mapping[str, tuple[str, ...]]
    words: frozenset[str]
    stems: frozenset[str]


LONGEST_PHRASE = 4
"""The most words that a phrase of the thesaurus has."""


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
