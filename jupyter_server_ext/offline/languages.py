"""Which language a question is in, as far as the offline model must know to say that it reads only English."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path


@cache
def _languages() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def language(question: str) -> str:
    """``en``, ``de``, ``fr``, ``es``, or ``other`` for a script that is not Latin.

    Example:
        >>> [language(q) for q in ("How many flights?", "Wie viele Flüge gibt es?", "Combien de vols y a-t-il?")]
        ['en', 'de', 'fr']
    """
    letters = [char for char in question if char.isalpha()]
    if letters and sum(ord(char) > 0x24F for char in letters) > len(letters) / 2:
        return "other"
    words = re.findall(r"[^\W\d_]+", question.lower())
    known = {name: frozenset(each.get("words", "").split()) for name, each in _languages().items()}
    counts = {name: sum(word in marks for word in words) for name, marks in known.items()}
    best = max(counts, key=lambda name: counts[name] if name != "en" else -1)
    return best if counts[best] >= 2 and counts[best] > counts["en"] else "en"


def only_english(question: str) -> str:
    """The sentence, in the question's language, that only English is understood; empty for an English question."""
    found = language(question)
    return "" if found == "en" else _languages()[found]["says"]
