"""Lists of words, written as people read them."""

from __future__ import annotations


def names(text: str) -> frozenset[str]:
    """The words of a text.

    Example:
        >>> sorted(names("users orders"))
        ['orders', 'users']
    """
    return frozenset(text.split())
