"""How many tokens a text costs, without a tokenizer to download.

Providers count with byte-pair encodings of 100,000 to 200,000 entries (cl100k, o200k, Llama 3, Qwen). They all split
text in the same way first: words with the blank before them, up to three digits at a time, runs of punctuation, runs
of white space; and then cut each piece into entries of their vocabulary. We split the same way and estimate the cut:
a plain word of up to eight letters is one entry, a longer one about one more per four letters, letters in mixed case
change entry where the case changes, and East Asian scripts take more than one entry per character.

The result is meant to be high rather than low, so that a budget is never exceeded: see ``docs/context.md`` for the
texts it was compared with. The splitting pattern follows the one that OpenAI published with tiktoken (cl100k_base).
"""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = re.compile(
    r"(?P<wide>[\u0e00-\u0eff\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef]+)"
    r"|(?P<word>[A-Za-z]+)"
    r"|(?P<digits>[0-9]+)"
    r"|(?P<blank> (?![0-9\s]))"
    r"|(?P<space>\s+)"
    r"|(?P<letters>[^\W\d_]+)"
    r"|(?P<marks>[!-/:-@\[-`{-~]+)\n*"
    r"|(?P<other>.)"
)
_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Z]")
_VOWELS = frozenset("aeiouyAEIOUY")


def count_tokens(text: str) -> int:
    """Estimate, on the high side, how many tokens a model counts for a text.

    Args:
        text: Any text.

    Returns:
        A whole number, 0 for the empty text.

    Example:
        >>> count_tokens("How many flights left New York in 2013?")
        11
    """
    return ceil(sum(_COST[match.lastgroup or "other"](match[match.lastgroup or 0]) for match in _PIECE.finditer(text)))


def _word(word: str) -> float:
    return 1 if word == "DataFrame" else sum(_hump(hump) for hump in _HUMP.findall(word))


def _hump(hump: str) -> float:
    """One part of a camel-case word. Parts without vowels and in capitals are abbreviations, cut every two letters."""
    if len(hump) <= 2:
        return 1
    if hump.isupper() or not _VOWELS.intersection(hump):
        return ceil(len(hump) / 2.5)
    return 1 if len(hump) <= 8 else 1 + (len(hump) - 8) / 4


def _other(text: str) -> float:
    """A sign: frequent typographic ones have an entry, the rest is spelled in bytes."""
    return 1 if text in "_×…–—“”‘’•·§°±µ«»→ " else min(3.0, len(text.encode("utf-8", "replace")) - 1.0) or 1


_COST: dict[str, Callable[[str], float]] = {
    "wide": lambda text: 1.3 * len(text),
    "word": _word,
    "digits": lambda text: ceil(len(text) / 3),
    "blank": lambda _: 0,  # belongs to the word or mark after it
    "space": lambda _: 1,
    "letters": lambda text: len(text) / 2,
    "marks": lambda text: ceil(len(text) / 2),
    "other": _other,
}


def cut(text: str, tokens: int) -> str:
    """A text that costs no more than some tokens: whole lines first, then a part of the next, and "…".

    Example:
        >>> cut("one two three four five six", 4)
        'one two three…'
    """
    if count_tokens(text) <= tokens:
        return text
    kept: list[str] = []
    left = tokens - 1
    for line in text.splitlines():
        left -= count_tokens(line) + 1
        if left < 0:
            return "\n".join([*kept, _part(line, left + count_tokens(line) + 1) + "…"])
        kept.append(line)
    return "\n".join(kept)


def _part(line: str, tokens: int) -> str:
    """The longest beginning of a line that costs no more than some tokens."""
    words = line[: tokens * 12].split(" ")
    while words and count_tokens(" ".join(words)) > tokens:
        words = words[: len(words) * 4 // 5]
    return " ".join(words)
