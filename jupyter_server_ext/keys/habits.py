"""How often callers ask, from what they did lately: what quota is to be kept for them.

The rate of a caller is the number of its requests over the time in which it could have made them: while it waits, it
makes none. Both fade with that time, so a caller that waited for a minute is as well known as before.

A caller that has asked for several at once may be about to do so again, or may never come back. So much is expected of
it for a while: once use is spread over a window, that keeps nothing idle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_server_ext.keys.windows.base import Cost

if TYPE_CHECKING:
    from collections.abc import Mapping

_MEMORY = 60.0  # seconds of a caller's own time, after which what it did counts for a third; less sees bursts, no habit
_SILENT = 4.0  # of a caller's usual pauses between occasions, after which it is taken to have left …
_GONE = 75.0  # … and seconds after which any caller is …
_SEVERAL_GONE = 40.0  # … or one that asked for several at once, and never again
_AT_ONCE = 1.0  # seconds between requests that are of one occasion
_ONE = 1.5  # requests on one occasion, beyond which these are several
_FEW = 64  # callers that are kept without a look whether they have left
_LEARN = 0.1


@dataclass(slots=True)
class Habit:
    """One caller's requests for one model."""

    weight: float = 1.0
    at: float = 0.0
    waiting: int = 0
    _asked: float = 0.0
    _occasions: float = 0.0
    _comes_back: bool = False  # whether it has asked on more than one occasion
    _free: float = 0.0  # seconds in which it could ask
    _pause: float = math.inf
    _last: float = 0.0  # when it asked
    _seen: float = 0.0  # when it asked or was served

    def ask(self, now: float) -> None:
        """Count a request."""
        self._pass(now)
        if not self._asked:
            self._occasions = 1.0
        elif now - self._last > _AT_ONCE:
            self._comes_back = True
            self._pause = self._free / self._occasions
            self._occasions += 1.0
        self._asked += 1.0
        self._last = self._seen = now

    def wait(self, more: int, now: float) -> None:
        """So many more of its requests wait, or so many less."""
        self._pass(now)
        self.waiting += more
        self._seen = now

    def rate(self, now: float) -> float:
        """Requests a second that are to be expected; infinite where only one occasion is known and it is just over."""
        if self.is_gone(now):
            return 0.0
        self._pass(now)
        if not self._comes_back and self.at_once > _ONE and now - self._seen >= _SEVERAL_GONE:
            return 0.0
        return self._asked / self._free if self._free else math.inf

    @property
    def at_once(self) -> float:
        """How many it asks on one occasion, on average."""
        return self._asked / self._occasions if self._occasions else 1.0

    def is_gone(self, now: float) -> bool:
        """Whether it has been silent for too long."""
        return not self.waiting and now - self._seen > min(_GONE, _SILENT * max(_AT_ONCE, self._pause))

    def _pass(self, now: float) -> None:
        if not self.waiting:
            fades = math.exp(min(0.0, self.at - now) / _MEMORY)
            self._asked *= fades
            self._occasions *= fades
            self._free = self._free * fades + _MEMORY * (1.0 - fades)
        self.at = max(self.at, now)


class Habits:
    """All callers of one model.

    Example:
        >>> habits = Habits()
        >>> for second in (0.0, 5.0, 10.0, 15.0):
        ...     habits.ask("ada", 1.0, Cost(), second)
        >>> habits.of(20.0)["ada"].rate(20.0) < 0.25
        True
        >>> "ada" in habits.of(60.0)
        False
    """

    def __init__(self) -> None:
        self._callers: dict[str, Habit] = {}
        self._most = _FEW
        self._usual = (1.0, 1.0)

    @property
    def usual(self) -> Cost:
        """What a request takes, on average."""
        return Cost(round(self._usual[0]), round(self._usual[1]))

    def ask(self, caller: str, weight: float, usual: Cost, now: float) -> None:
        """A caller asks for something that will likely take so much."""
        if len(self._callers) >= self._most:
            self.of(now)
            self._most = 2 * len(self._callers) + _FEW
        prompt, completion = self._usual if self._callers else (usual.prompt, usual.completion)
        self._usual = prompt + _LEARN * (usual.prompt - prompt), completion + _LEARN * (usual.completion - completion)
        habit = self._callers.get(caller)
        if habit is None:
            habit = self._callers[caller] = Habit(at=now)
        habit.weight = weight
        habit.ask(now)

    def wait(self, caller: str, more: int, now: float) -> None:
        """So many more requests of a caller wait, or so many less."""
        if habit := self._callers.get(caller):
            habit.wait(more, now)

    def of(self, now: float) -> Mapping[str, Habit]:
        """The callers that have lately asked."""
        self._callers = {name: habit for name, habit in self._callers.items() if not habit.is_gone(now)}
        return self._callers

    def __len__(self) -> int:
        return len(self._callers)
