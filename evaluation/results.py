"""Compare the rows of two queries, and two ways of answering over the same questions."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from itertools import permutations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIGITS = 4
_MOST_COLUMNS = 6
"""Columns up to which every order of them is tried."""


def same(found: Sequence[Sequence[Any]], gold: Sequence[Sequence[Any]], *, ordered: bool) -> bool:
    """Whether two results hold the same rows, with their columns in any order.

    Args:
        found: Rows of the answer.
        gold: Rows of the gold query.
        ordered: Whether the order of rows counts, as where the gold query has an ORDER BY at its top.

    Example:
        >>> same([("Oslo", 2.00001)], [(2, "Oslo")], ordered=False)
        True
        >>> same([(1,), (2,)], [(2,), (1,)], ordered=True)
        False
    """
    left, right = [_plain(row) for row in found], [_plain(row) for row in gold]
    if len(left) != len(right) or (left and len(left[0]) != len(right[0])):
        return False
    if not left:
        return True
    width = len(left[0])
    orders = permutations(range(width)) if width <= _MOST_COLUMNS else [tuple(range(width))]
    wanted = right if ordered else Counter(right)
    for order in orders:
        rows = [tuple(row[at] for at in order) for row in left]
        if (rows if ordered else Counter(rows)) == wanted:
            return True
    return False


def _plain(row: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_value(value) for value in row)


def _value(value: Any) -> Any:
    """A value as every driver gives it: numbers rounded, NaN as None, dates as text."""
    if isinstance(value, Decimal | float):
        return None if math.isnan(value) else round(float(value), _DIGITS)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime) and (value.hour, value.minute, value.second) == (0, 0, 0):
        return value.date().isoformat()
    if isinstance(value, date):
        return str(value)
    return value


def mcnemar(won: int, lost: int) -> float:
    """The chance of a split at least as uneven if both ways were equally good: the exact test of paired answers.

    Args:
        won: Questions that only the one way answered rightly.
        lost: Questions that only the other did.

    Example:
        >>> round(mcnemar(7, 13), 3), mcnemar(0, 0)
        (0.263, 1.0)
    """
    pairs, fewer = won + lost, min(won, lost)
    tail = sum(math.comb(pairs, count) for count in range(fewer + 1)) / 2.0**pairs
    return min(1.0, 2 * tail)
