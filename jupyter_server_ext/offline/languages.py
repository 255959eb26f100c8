"""Which language a question is in, as far as the offline model must know to say that it reads only English."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path


@cache
def _languages() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def only_english(question: str) -> str:
    """The sentence, in the question's language, that only English is understood; empty for an English question.

    Example:
        >>> only_english("How many flights?"), only_english("Wie viele Flüge gibt es?")[:19]
        ('', 'Das Offline-Modell ')
    """
    letters = [char for char in question if char.isalpha()]
    if letters and sum(ord(char) > 0x24F for char in letters) > len(letters) / 2:  # a script that is not Latin
        return _languages()["other"]["says"]
    words = re.findall(r"[^\W\d_]+", question.lower())
    counts = {name: sum(w in each.get("words", "").split() for w in words) for name, each in _languages().items()}
    english = counts.pop("en")
    best = max(counts, key=counts.__getitem__)
    return _languages()[best]["says"] if counts[best] >= 2 and counts[best] > english else ""
