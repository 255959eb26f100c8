"""How much of each key's limits was left, over the last hours, as this gateway sees it.

Where there is a ledger, all gateways note it there: this is what they note, and what one knows while that is away.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MOST_WINDOWS = 400  # whose past is remembered; of keys that serve many models those that were seen first


class LimitOfKey(NamedTuple):
    """One limit of one key."""

    key: str  # the key's public id
    model: str  # empty for all models together
    unit: str  # what is counted
    seconds: float  # the length of the window; 0 for what is under way at once


@dataclass(eq=False, repr=False)
class Headroom:
    """The part of each limit that was left at each of the last looks.

    Example:
        >>> headroom = Headroom(clock=lambda: 60.0)
        >>> limit = {"unit": "requests", "seconds": 60.0, "used": 3, "limit": 12}
        >>> seen = headroom.look([{"key": "groq-1", "state": "ready", "limits": [limit]}])
        >>> seen[LimitOfKey("groq-1", "", "requests", 60.0)]
        0.75
        >>> [row["points"] for row in headroom.report("groq-1")]
        [[(60.0, 0.75)]]
    """

    every: float = 30.0  # seconds between two looks
    points: int = 360  # looks that are remembered of each limit
    _: KW_ONLY
    clock: Callable[[], float] = time.time  # Unix time
    _past: dict[LimitOfKey, deque[tuple[float, float]]] = field(default_factory=dict)

    @property
    def moment(self) -> int:
        """The Unix time of the look that is due, the same for all gateways."""
        return int(self.clock() // self.every * self.every)

    @property
    def since(self) -> float:
        """The Unix time from which on looks are remembered."""
        return self.clock() - self.every * self.points

    def look(self, rows: Iterable[Mapping[str, Any]]) -> dict[LimitOfKey, float]:
        """Remember what is left now, and return it; ``rows`` are keys as ``Gateway.status`` has them."""
        now, seen = self.clock(), {}
        for row in rows:
            for one in row.get("limits", ()):
                limit = LimitOfKey(row["key"], one.get("model", ""), one["unit"], one["seconds"])
                if not one["limit"] or (limit not in self._past and len(self._past) >= _MOST_WINDOWS):
                    continue
                left = round(max(0.0, 1 - one["used"] / one["limit"]), 4)
                self._past.setdefault(limit, deque(maxlen=self.points)).append((now, left))
                seen[limit] = left
        # Keys that are gone make room for others.
        self._past = {limit: past for limit, past in self._past.items() if past[-1][0] > self.since}
        return seen

    def report(self, key: str | None = None) -> list[dict[str, Any]]:
        """Each limit with its points of Unix time and the part that was left, oldest first; of one key, or of all."""
        found = [(limit, past) for limit, past in self._past.items() if key in (None, limit.key)]
        return [limit._asdict() | {"points": [*past]} for limit, past in sorted(found)]
