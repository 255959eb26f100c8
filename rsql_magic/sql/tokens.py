"""Texts for prompts: how many tokens they cost, without a tokenizer to download; and the fence around data.

Providers count with byte-pair encodings of 100,000 to 200,000 entries (cl100k, o200k, Llama 3, Qwen). They all split
text in the same way first: words with the blank before them, up to three digits at a time, runs of punctuation, runs
of white space; and then cut each piece into entries of their vocabulary. We split the same way and estimate the cut:
a plain English word of up to eight letters is one entry, a longer one about one more per four letters; words of other
Latin languages and abbreviations are cut more finely, and other scripts have their own price per letter.

The result is meant to be high rather than low, so that a budget is never exceeded: ``docs/context.md`` compares it with
two encodings on many kinds of text. The splitting follows the one that OpenAI published with tiktoken (cl100k_base).
"""

# ruff: noqa: SIM905 - a list of words reads better as text

from __future__ import annotations

import re
from hashlib import sha256
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = re.compile(
    r"(?P<wide>[\u0e00-\u0eff\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef]+)"
    r"|(?P<long>[A-Za-z0-9+/]{24,})"
    r"|(?P<word>[A-Za-z]+)(?![\u00c0-\u024f])"
    r"|(?P<latin>[A-Za-z\u00c0-\u024f]+)"
    r"|(?P<digits>[0-9]+)"
    r"|(?P<blank> (?![0-9\s]))"
    r"|(?P<space>\s+)"
    r"|(?P<cyrillic>[\u0400-\u052f]+)"
    r"|(?P<indic>[\u0900-\u0dff]+)"
    r"|(?P<letters>[\u0370-\u03ff\u0530-\u08ff\u0f00-\u10ff\u1200-\u1aff]+)"
    r"|(?P<other_letters>[^\W\d_]+)"
    r"|(?P<run>(?P<mark>[!-/:-@\[-`{-~])(?P=mark){7,})"
    r"|(?P<marks>[!-/:-@\[-`{-~]+)\n*"
    r"|(?P<other>.)",
    re.DOTALL,
)
_ACCENTED = re.compile(r"[\u00c0-\u024f]")
_HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Z]")
_VOWELS = frozenset("aeiouyAEIOUY")
_WORDS_OF_SQL = frozenset(
    """
    SELECT FROM WHERE GROUP ORDER BY JOIN LEFT RIGHT INNER OUTER HAVING LIMIT UNION WITH CASE WHEN THEN ELSE COUNT
    DISTINCT CREATE TABLE INSERT INTO VALUES UPDATE DELETE PRIMARY DEFAULT INTEGER VARCHAR TEXT NULL
    TIMESTAMP BETWEEN LIKE CAST OVER PARTITION INDEX VIEW ALTER CONSTRAINT UNIQUE BIGINT DATE BOOLEAN DOUBLE DECIMAL
    EXISTS TRUE FALSE DESC AND NOT FOR ADD ALL END KEY SUM AVG MIN MAX SET ON AS IN OR IS
    """.split()
)


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
    cost = sum(_COST[match.lastgroup or "other"](match[match.lastgroup or 0]) for match in _PIECE.finditer(text))
    # Vocabularies hold English words whole; those of other languages are cut more finely than the pattern tells.
    return ceil(cost * (1.25 if _is_foreign(text) else 1))


def _is_foreign(text: str) -> bool:
    """Whether a text is in another Latin language than English: more than every hundredth letter has an accent."""
    return not text.isascii() and 100 * len(_ACCENTED.findall(text)) > len(text)


def _word(word: str) -> float:
    return 1 if word == "DataFrame" else sum(_hump(hump) for hump in _HUMP.findall(word))


def _hump(hump: str) -> float:
    """One part of a camel-case word. Parts without vowels and in capitals are abbreviations, cut every two letters."""
    size = len(hump)
    if size <= 2 or hump in _WORDS_OF_SQL:
        return 1
    if not _VOWELS.intersection(hump):
        return 1.5 if size == 3 else size / 1.7
    if hump.isupper():
        return ceil(size / 2.7)
    return 1 if size <= 8 else 1 + (size - 8) / 4


def _long(text: str) -> float:
    """Many letters and digits in a row: a word, a hash, or base64, whose letters change case all the time."""
    classes = ["digit" if char.isdigit() else "capital" if char.isupper() else "small" for char in text]
    changes = sum(one != two for one, two in pairwise(classes))
    if changes > 0.25 * len(text) and len(set(classes)) > 2:
        return len(text) / 1.35
    return sum(_word(part) if part.isalpha() else ceil(len(part) / 3) for part in _RUNS.findall(text))


_RUNS = re.compile(r"[A-Za-z]+|[0-9]+|[+/]+")


def _other(text: str) -> float:
    """A sign: frequent typographic ones have an entry, the rest is spelled in bytes."""
    return 1 if text in "_×…–—“”‘’•·§°±µ«»→ " else min(3.0, len(text.encode("utf-8", "replace")) - 1.0) or 1


_COST: dict[str, Callable[[str], float]] = {
    "wide": lambda text: 1.3 * len(text),
    "long": _long,
    "word": _word,
    "latin": lambda text: max(1.0, len(text) / 3.4),
    "digits": lambda text: ceil(len(text) / 3),
    "blank": lambda _: 0,  # belongs to the word or mark after it
    "space": lambda text: 1 + len(text) // 128,
    "cyrillic": lambda text: len(text) / 1.7,
    "indic": lambda text: 1.3 * len(text),
    "letters": lambda text: 1.05 * len(text),
    "other_letters": lambda text: len(text) / 2,
    "mark": lambda _: 1,
    "run": lambda text: 1 + len(text) / 32,
    "marks": lambda text: ceil(len(text) / 2) if len(text) < 4 else len(text) / 1.7,
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
        words = words[: len(words) * 4 // 5]  # counting costs more than a word or two of the budget
    return " ".join(words)


def fence(kind: str, name: str, text: str) -> str:
    """Put text from data inside a fence that it cannot close.

    Args:
        kind: ``schema``, ``frame``, ``r``, ``session``, ``cell``, ``error``, ``object``, ``help``, ``example`` or
            ``result``.
        name: What the text describes, such as a variable's name.
        text: The text itself.

    Returns:
        The text between ``<data …>`` and ``</data id>``, each on a line of its own.

    Example:
        >>> print(fence("frame", "sales", "sales: pandas DataFrame, 2 rows × 1 column"))
        <data kind="frame" name="sales" id="120651de">
        sales: pandas DataFrame, 2 rows × 1 column
        </data 120651de>
    """
    mark = sha256(f"{kind}{name}{text}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f'<data kind="{_attribute(kind)}" name="{_attribute(name)}" id="{mark}">\n{text}\n</data {mark}>'


def _attribute(text: str) -> str:
    """Text that stays inside its quotes and on its line."""
    line = " ".join(text.split())[:80]
    return line.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
