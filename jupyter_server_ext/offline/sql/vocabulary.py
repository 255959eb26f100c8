"""What adjectives and verbs measure, and the values of words for months, numbers and places (``vocabulary.toml``)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

_WORDS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _each(table: str) -> dict[str, Any]:
    return {word: meaning for words, meaning in _WORDS[table].items() for word in words.split()}


def _degrees(place: int) -> dict[str, tuple[str, bool]]:
    """Comparatives (0) or superlatives (1): the words of what they measure, and whether more of it is larger."""
    return {
        words.split()[place].replace("_", " "): (nouns, table == "more")
        for table in ("more", "less")
        for words, nouns in _WORDS[table].items()
    }


COMPARATIVES, SUPERLATIVES = _degrees(0), _degrees(1)
MEASURING: dict[str, tuple[str, bool]] = {verb: (nouns, True) for verb, nouns in _each("verbs").items()}
"""What verbs measure: what costs 50 has a price of 50."""
MONTHS: dict[str, int] = _each("months")
ORDINALS: dict[str, int] = _each("ordinals")
NUMBERS: dict[str, int] = _each("numbers")
