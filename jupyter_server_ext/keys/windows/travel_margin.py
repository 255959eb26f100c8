"""How long a request may travel to its provider before it counts there."""

from __future__ import annotations

import math

_PATIENCE = 5  # times the margin, that an answer is waited for where answers often come within it
_OFTEN = 0.25
_LEARNING = 0.03
_WIDEST = 4  # times the margin, that refusals can make it
_CALM = 10  # windows without such a refusal, after which it is halved
_LONGEST_CALM = 86_400.0


class TravelMargin:
    """Seconds that a request may travel: as configured, and wider for a while after a refusal that this explains.

    Args:
        seconds: As configured.
        window: Length of the limit's window in seconds.

    Example:
        >>> margin = TravelMargin(0.25, 60.0)
        >>> margin.widen()
        >>> margin.rest(0.0)
        >>> margin.seconds
        0.5
        >>> margin.is_over(599.0), margin.is_over(600.0)
        (False, True)
    """

    def __init__(self, seconds: float, window: float) -> None:
        self.seconds = self._least = seconds
        self._prompt = 0.6  # share of answers that came within it
        self._calm = _CALM * window
        self._calm_at = math.inf

    @property
    def is_prompt(self) -> bool:
        """Whether answers often come within it."""
        return self._prompt > _OFTEN

    @property
    def patience(self) -> float:
        """Seconds after which a request counts that has had no answer yet."""
        return self.seconds * (_PATIENCE if self.is_prompt else 1)

    def answered(self, seconds: float) -> None:
        """An answer began so many seconds after its request."""
        self._prompt += _LEARNING * ((seconds <= self.seconds) - self._prompt)

    @property
    def is_widest(self) -> bool:
        """Whether it has been made wider as often as it may."""
        return self.seconds >= _WIDEST * self._least

    def widen(self) -> None:
        """Allow for twice the time."""
        self.seconds *= 2

    def rest(self, now: float) -> None:
        """What is allowed for holds for some windows from now on."""
        self._calm_at = now + self._calm

    def is_over(self, now: float) -> bool:
        """Whether these are over."""
        return now >= self._calm_at

    def narrow(self, now: float, *, later: bool) -> None:
        """Try half of it, and go on until it is as configured.

        Args:
            now: The time.
            later: Whether what was believed beside it has failed before: the next try of that comes twice as late.
        """
        if later:
            self._calm = min(2 * self._calm, _LONGEST_CALM)
        self.seconds = max(self._least, self.seconds / 2)
        self._calm_at = now + self._calm if self.seconds > self._least else math.inf
