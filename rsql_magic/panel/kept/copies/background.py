"""Work that is done beside, a moment after it was asked for, and again, ever more seldom, until nothing is left."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

GATHER = 10.0  # seconds in which what is asked for becomes one piece of work
LONGEST_PAUSE = 600.0  # seconds until what could not be done is tried again, at most


class Undone(NamedTuple):
    """What is left of a piece of work."""

    names: Collection[str] = ()  # to be done again
    more: bool = False  # whether something else is left


class Background:
    """Does work on named things on a thread of its own, which is there while there is some.

    Args:
        work: Does what was asked for, and says what is left; it is called with what it is about, also with nothing.

    Example:
        >>> done = []
        >>> beside = Background(lambda names: done.extend(names) or Undone())
        >>> beside.ask("a", hurry=True)
        >>> beside.settle(5.0), done
        (True, ['a'])
        >>> beside.close(5.0)
    """

    def __init__(self, work: Callable[[Collection[str]], Undone]) -> None:
        self.turn = threading.RLock()  # held while work is done: nothing else may be done then
        self._work = work
        self._there = threading.Condition()
        self._asked: dict[str, None] = {}
        self._next = 0.0  # when that is done, in monotonic time
        self._hurry = self._is_working = self._closed = False
        self._thread: threading.Thread | None = None

    def ask(self, *names: str, hurry: bool = False) -> None:
        """Have work done, on these names among others, a moment later or at once."""
        with self._there:
            if self._closed:
                return
            self._asked |= dict.fromkeys(names)
            self._hurry |= hurry
            soon = time.monotonic() + GATHER
            if self._thread is None:
                self._next = soon
                self._thread = threading.Thread(target=self._run, daemon=True, name="rsql-copies")
                self._thread.start()
            self._next = min(self._next, soon)
            self._there.notify_all()

    def drop(self, *names: str) -> None:
        """Leave these out of what is to be done."""
        with self._there:
            for name in names:
                self._asked.pop(name, None)

    def drop_all(self) -> None:
        """Leave all out of what is to be done."""
        with self._there:
            self._asked.clear()

    def settle(self, seconds: float) -> bool:
        """Wait until what was to be done at once was tried, for so many seconds at most; whether it was."""
        with self._there:
            return self._there.wait_for(lambda: not (self._hurry or self._is_working), seconds)

    def finish(self) -> None:
        """Do what was asked for in this thread; what is left of it is done beside."""
        with self.turn:
            left = self._work(names) if (names := self._taken()) else Undone()
        if left.names or left.more:
            self.ask(*left.names)

    def close(self, seconds: float) -> None:
        """Have done what was asked for, and nothing after that; waits for so many seconds at most."""
        with self._there:
            self._closed, thread = True, self._thread
            self._there.notify_all()
        if thread is not None:
            thread.join(seconds)

    def _taken(self) -> Collection[str]:
        with self._there:
            asked, self._asked = self._asked, {}
            return list(asked)

    def _run(self) -> None:
        pause, goes_on = GATHER, True
        while goes_on:
            with self._there:
                while not (self._hurry or self._closed) and (rest := self._next - time.monotonic()) > 0:
                    self._there.wait(rest)
            with self.turn:
                with self._there:
                    self._hurry, self._is_working = False, True
                names = self._taken()
                left = Undone() if self._closed and not names else self._work(names)
            with self._there:
                is_left, is_new = bool(left.names or left.more), bool(self._asked)
                self._asked = dict.fromkeys([*left.names, *self._asked])
                pause = min(2 * pause, LONGEST_PAUSE) if is_left else GATHER
                self._next = time.monotonic() + (GATHER if is_new else pause)
                goes_on = not self._closed and bool(is_left or self._asked or self._hurry)
                self._thread = self._thread if goes_on else None
                self._is_working = False
                self._there.notify_all()
