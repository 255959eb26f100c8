"""How much a limit is believed to allow: what is configured, what headers tell, and what refusals leave of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import WindowSpec

_LONGEST_PATIENCE = 86_400.0


class EffectiveLimit:
    """The least of what is configured, told and left after refusals; what a preset only assumes gives way to the told.

    Args:
        spec: What is configured.

    Example:
        >>> from jupyter_server_ext.keys.windows.base import WindowSpec
        >>> believed = EffectiveLimit(WindowSpec("k", "requests", 30, 60.0))
        >>> believed.lower(20, 0.0, 1.0)
        >>> believed.limit
        20
        >>> believed.advance(61.0)  # a little higher is tried after a window
        True
        >>> believed.limit
        25
    """

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec
        self._told = 0  # by headers, last
        self._left = math.inf  # after a refusal that our count does not explain
        self._patience = spec.seconds
        self._raise_at = math.inf
        self._refused_at = -math.inf

    @property
    def limit(self) -> int:
        """How much may be taken in one window."""
        return int(max(1, min(self._most, self._left)))

    def tell(self, limit: int) -> None:
        """Headers tell it."""
        if limit > 0:
            self._told = limit

    def lower(self, limit: int, taken: float, now: float) -> None:
        """A request that was ``taken`` then was refused: have a lower limit for a while, and for longer each time."""
        if limit >= self.limit:
            return
        self._left = limit
        self._raise_at = now + self._patience
        if taken >= self._refused_at:
            self._refused_at = now
            self._patience = min(self._patience * 2, _LONGEST_PATIENCE)

    def advance(self, now: float) -> bool:
        """Try a higher limit when it is time to, and one still higher a window later; whether it was time."""
        if now < self._raise_at:
            return False
        self._left += max(1, self._left // 4)
        most = self._told if self.spec.assumed and self._told else self.spec.amount
        self._raise_at = now + self.spec.seconds if self._left < most else math.inf
        return True

    @property
    def _most(self) -> int:
        told = self._told or self.spec.amount
        return told if self.spec.assumed else min(told, self.spec.amount)
