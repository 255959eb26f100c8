"""How many lines of a job are asked at once: more while it goes well, half as many after a refusal."""

# As TCP's congestion control: doubled at first, then one more for each round, halved at a refusal (V. Jacobson,
# "Congestion avoidance and control", 1988).

from __future__ import annotations

from dataclasses import dataclass

_FIRST = 4  # lines at once
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0  # seconds for which a job waits that was not told for how long
_LONGEST_TOLD = 600.0  # seconds after which it looks again, whatever it was told: limits may be raised


@dataclass
class Pace:
    """The pace of one job at this gateway. Times are Unix time.

    Example:
        >>> pace = Pace(most=32)
        >>> for _ in range(4):
        ...     pace.went_well()
        >>> pace.at_once(0.0)
        8
        >>> pace.refused(now=0.0, seconds=20.0, why="Your limit is reached.")
        >>> pace.at_once(19.0), pace.at_once(20.0)
        (0, 4)
    """

    most: int  # lines at once
    _width: float = _FIRST
    _steady: float = float("inf")  # the width from which on it grows slowly
    _until: float = 0.0
    _pauses: int = 0  # in a row
    waits_for: str = ""  # why it pauses, or paused last

    def at_once(self, now: float) -> int:
        """How many lines may be under way now."""
        return 0 if now < self._until else min(self.most, int(self._width))

    def went_well(self) -> None:
        """A line was answered."""
        self._width = min(self.most, self._width + (1.0 if self._width < self._steady else 1.0 / self._width))
        self._pauses, self.waits_for = 0, ""

    def narrow(self, most: int) -> None:
        """No more lines fit at once; those under way make room as they end."""
        self._width = self._steady = max(1.0, min(self._width, most))

    def refused(self, now: float, seconds: float | None, why: str) -> None:
        """A line has to wait: for so long, as far as that is known. Of several at once the first counts."""
        if now < self._until:
            return
        self._width = self._steady = max(1.0, min(self._width, self.most) / 2)
        own = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._pauses)
        self._pauses = min(self._pauses + 1, 10)
        self._until = now + (own if seconds is None else min(_LONGEST_TOLD, max(seconds, _FIRST_PAUSE)))
        self.waits_for = why
