"""Run other people's code for a limited time: a ``repr`` or ``__len__`` may take minutes, or never end.

On the main thread an alarm interrupts the call, which then really stops. Elsewhere (and on Windows) a daemon thread
runs it and is left behind when it takes too long.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
_AGAIN = 0.05


class TooSlow(BaseException):
    """A call was stopped because it took too long. Not an `Exception`, so that the code it stops cannot swallow it."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call that is stopped after some time.

    Args:
        seconds: How long it may take.
        call: What to do.

    Raises:
        TooSlow: It took longer.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        with _alarm(seconds):
            return call()
    return _in_thread(seconds, call)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in the main thread when the time is over, and again if the code swallows it."""

    def stop(_number: int, _frame: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        try:  # an alarm may ring even here
            signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
        if left:  # an alarm of the user's own goes on
            signal.setitimer(signal.ITIMER_REAL, left, interval)


def _in_thread(seconds: float, call: Callable[[], T]) -> T:
    results: list[T] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as problem:  # noqa: BLE001 - handed to the caller's thread
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True, name="rsql-describe")
    thread.start()
    thread.join(seconds)
    if problems:
        raise problems[0]
    if not results:
        raise TooSlow
    return results[0]
