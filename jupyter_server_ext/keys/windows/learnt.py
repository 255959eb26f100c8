"""What is learnt of a provider from its headers and refusals: limits, their reliability, delays, token buckets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Observation, WindowSpec
    from .charging import Charging

_CALM = 10  # windows without a refusal, after which what it taught is tried again without
_LONGEST = 86_400.0  # seconds that anything learnt is kept
_OFTEN_BELIED = 4  # refusals of what was left by headers, after which they are not believed
_PATIENCE = 5  # times the margin, that an answer is waited for where answers often come within it …
_OFTEN_PROMPT = 0.25  # … which this share of them is
_LEARNING = 0.03
_WIDEST = 4  # times the margin, that refusals can make it


class EffectiveLimit:
    """The least of the configured limit, the one in headers, and what refusals leave; headers go before a preset's.

    Args:
        spec: The configured limit.

    Example:
        >>> from jupyter_server_ext.keys.windows.base import WindowSpec
        >>> effective = EffectiveLimit(WindowSpec("k", "requests", 30, 60.0))
        >>> effective.lower(20, 0.0, 1.0)
        >>> effective.limit
        20
        >>> effective.advance(61.0)  # a little higher is tried after a window
        True
        >>> effective.limit
        25
    """

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec
        self._observed = 0  # in headers, last
        self._left = math.inf  # after a refusal that our count does not explain
        self._patience = spec.seconds
        self._raise_at = math.inf
        self._refused_at = -math.inf

    @property
    def limit(self) -> int:
        """How much may be taken in one window."""
        most = self._observed or self.spec.amount
        return int(max(1, min(most if self.spec.assumed else min(most, self.spec.amount), self._left)))

    def observe(self, limit: int) -> None:
        """Take the limit of a header."""
        if limit > 0:
            self._observed = limit

    def lower(self, limit: int, taken: float, now: float) -> None:
        """Lower the limit for a while, and longer each time, after the refusal of a request ``taken`` then."""
        if limit >= self.limit:
            return
        self._left = limit
        self._raise_at = now + self._patience
        if taken >= self._refused_at:
            self._refused_at = now
            self._patience = min(self._patience * 2, _LONGEST)

    def advance(self, now: float) -> bool:
        """Try a higher limit when it is time to, and one still higher a window later; whether it was time."""
        if now < self._raise_at:
            return False
        self._left += max(1, self._left // 4)
        most = self._observed if self.spec.assumed and self._observed else self.spec.amount
        self._raise_at = now + self.spec.seconds if self._left < most else math.inf
        return True


class HeaderReliability:
    """Whether headers are believed that leave more than our own count: some are of another limit, or wrong.

    Args:
        window: Length of the limit's window in seconds.

    Example:
        >>> headers = HeaderReliability(60.0)
        >>> for second in (10.0, 20.0, 29.0, 30.0):
        ...     headers.belied(second)
        >>> headers.are_believed(30.0), headers.are_believed(630.0)
        (False, True)
    """

    def __init__(self, window: float) -> None:
        self._least = self._calm = _CALM * window
        self._times = 0
        self._belied_at = -math.inf
        self._believed_from = -math.inf

    def are_believed(self, now: float) -> bool:
        """Whether headers are believed at this moment."""
        return now >= self._believed_from

    def belied(self, now: float) -> None:
        """Learn from a refusal of what was left by headers."""
        if not self.are_believed(now):
            return
        if now - self._belied_at > self._calm + self._least:
            self._times, self._calm = 0, self._least
        self._belied_at = now
        self._times += 1
        if self._times >= _OFTEN_BELIED:
            self._believed_from, self._times = now + self._calm, _OFTEN_BELIED - 1
            self._calm = min(2 * self._calm, _LONGEST)


class TravelMargin:
    """Seconds that a request may travel: as configured, and wider for a while after a refusal that this explains.

    Args:
        seconds: As configured.
        window: Length of the limit's window in seconds.

    Example:
        >>> from jupyter_server_ext.keys.windows.charging import Charging
        >>> margin, charging = TravelMargin(0.25, 60.0), Charging("requests", 60.0)
        >>> margin.explains(0.0, 1.0, charging), margin.seconds
        (True, 0.5)
        >>> margin.advance(600.0, charging), margin.advance(601.0, charging), margin.seconds
        (False, True, 0.25)
    """

    def __init__(self, seconds: float, window: float) -> None:
        self.seconds = self._least = seconds
        self._prompt = 0.6  # share of answers that came within it
        self._calm = _CALM * window
        self._calm_at = math.inf
        self._refused_at = -math.inf

    @property
    def _is_prompt(self) -> bool:
        """Whether answers often come within it."""
        return self._prompt > _OFTEN_PROMPT

    @property
    def patience(self) -> float:
        """Seconds after which a request counts that has had no answer yet."""
        return self.seconds * (_PATIENCE if self._is_prompt else 1)

    def answered(self, seconds: float) -> None:
        """Learn that an answer began so many seconds after its request."""
        self._prompt += _LEARNING * ((seconds <= self.seconds) - self._prompt)

    def explains(self, taken: float, now: float, charging: Charging) -> bool:
        """Allow for a later count of what was sent before a refused request; False where all was allowed.

        Where answers are prompt, a network that stalls is allowed for, by a wider margin. Where they take long, perhaps
        the provider counts a request when it ends. Requests that were refused together do so once.

        Args:
            taken: When the refused request was reserved.
            now: The time.
            charging: When requests are taken to count; the later count is allowed for there.
        """
        is_stall = self._is_prompt or charging.is_late
        if is_stall and self.seconds >= _WIDEST * self._least:
            return False
        if taken >= self._refused_at:
            self._refused_at = now
            self._calm_at = now + self._calm
            if is_stall:
                self.seconds *= 2
            else:
                charging.is_suspected = True
        return True

    def advance(self, now: float, charging: Charging) -> bool:
        """Try half the margin, and earlier counts, when it is time to; whether it was.

        Where a later count had been suspected, the next try of that comes twice as late.
        """
        if now < self._calm_at:
            return False
        if charging.is_suspected:
            charging.is_suspected = False
            self._calm = min(2 * self._calm, _LONGEST)
        self.seconds = max(self._least, self.seconds / 2)
        self._calm_at = now + self._calm if self.seconds > self._least else math.inf
        return True


class BucketDetector:
    """Tells a token bucket by its headers: the time to full is ``used · W / limit`` over a range of ``used``.

    Args:
        seconds: The length of the window.
        configured: Whether it is configured to be a bucket, which holds until a header or a refusal shows otherwise.
    """

    def __init__(self, seconds: float, *, configured: bool = False) -> None:
        self._seconds = seconds
        self._low = self._high = 0
        self._fits = 0
        self._is_sure = False
        self.is_configured = configured
        self.is_refuted = False  # whether taking it for one has failed
        self.is_possible = True  # by the last headers

    def looks_like_one(self, seen: Observation, *, believed: bool) -> bool:
        """Take in one reply's headers; whether they show a bucket, if they are believed, or leave a configured one."""
        is_sure = self._look(seen) and believed
        return is_sure or (self.is_configured and not self.is_refuted and self.is_possible)

    def _look(self, seen: Observation) -> bool:
        used = seen.limit - seen.remaining
        if seen.reset is None or used <= 0 or seen.limit <= 0:
            return self._is_sure
        unit = self._seconds / seen.limit
        self.is_possible = abs(seen.reset - used * unit) <= unit + seen.rounding
        if not self.is_possible:
            self._fits, self._is_sure = 0, False
            return False
        self._low = min(self._low, used) if self._fits else used
        self._high = max(self._high, used) if self._fits else used
        self._fits += 1
        # Another kind of window fits by accident only within a unit or two of one value.
        if self._fits >= 3 and self._high - self._low >= 4 + 2 * seen.rounding / unit:
            self._is_sure = True
        return self._is_sure
