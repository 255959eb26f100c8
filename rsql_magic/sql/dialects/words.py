"""Lists of words, written as people read them."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def ascii_lower(text: str) -> str:
    """A text with A to Z in lower case and all else as it is, which is how most engines compare names.

    Example:
        >>> ascii_lower("ÄSſK")
        'Äsſk'
    """
    return text.translate(_LOWER)


def names(text: str) -> frozenset[str]:
    """The words of a text.

    Example:
        >>> sorted(names("users orders"))
        ['orders', 'users']
    """
    return frozenset(text.split())
