"""What several reservations need together.

Each alone has to be so large that hardly any answer exceeds it. Together they need less, for answers don't all turn out
long at once: what exceeds their means adds up as the root of the sum of squares, as independent tolerances do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


class Above(NamedTuple):
    """How far one reservation is above the average of what it is for.

    Args:
        spread: The part of it that is.
        swing: Its share in what several need together, squared; at least ``spread``.
    """

    spread: int
    swing: int


EXACT = Above(0, 0)


class ReservationVariance:
    """How far some reservations reach above what they take on average, each by itself and all together.

    Example:
        >>> spread = ReservationVariance.of([Above(30, 30), Above(40, 40)])
        >>> spread.saved()  # 50 are enough for both
        20.0
        >>> round(spread.saved(Above(120, 120)), 3)  # and 130 for these and another
        60.0
    """

    __slots__ = ("_squares", "_sum")

    def __init__(self) -> None:
        self._sum = 0
        self._squares = 0

    @classmethod
    def of(cls, reservations: Iterable[Above]) -> Self:
        """The spread of all of these."""
        made = cls()
        for above in reservations:
            made.add(above)
        return made

    def add(self, above: Above) -> None:
        """One more reservation."""
        self._sum += above.spread
        self._squares += above.swing * above.swing

    def drop(self, above: Above) -> None:
        """One less."""
        self._sum -= above.spread
        self._squares -= above.swing * above.swing

    def saved(self, more: Above = EXACT) -> float:
        """By how much less they need together than one by one, with another one."""
        if not self._sum:
            return 0.0
        return max(0.0, self._sum + more.spread - math.sqrt(self._squares + more.swing * more.swing))
