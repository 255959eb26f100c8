"""Whether headers are believed that say more is left than by our own count."""

from __future__ import annotations

import math

_OFTEN = 4  # refusals of what headers had said was left, after which they are not believed …
_CALM = 10  # … for so many windows, and for twice as many the next time; after as many quiet ones all are forgotten
_LONGEST_CALM = 86_400.0


class HeaderReliability:
    """Trust in headers, until they are belied again and again: some are of another limit, and some are wrong.

    Args:
        window: Length of the limit's window in seconds.

    Example:
        >>> trust = HeaderReliability(60.0)
        >>> for second in (10.0, 20.0, 29.0, 30.0):
        ...     trust.belied(second)
        >>> trust.holds(30.0), trust.holds(630.0)
        (False, True)
    """

    def __init__(self, window: float) -> None:
        self._least = self._calm = _CALM * window
        self._times = 0
        self._at = -math.inf
        self._again = -math.inf

    def holds(self, now: float) -> bool:
        """Whether they are believed."""
        return now >= self._again

    def belied(self, now: float) -> None:
        """A request that was sent on the word of headers was refused."""
        if not self.holds(now):
            return
        if now - self._at > self._calm + self._least:
            self._times, self._calm = 0, self._least
        self._at = now
        self._times += 1
        if self._times >= _OFTEN:
            self._again, self._times = now + self._calm, _OFTEN - 1
            self._calm = min(2 * self._calm, _LONGEST_CALM)
