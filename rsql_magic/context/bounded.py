"""Run other people's code for a limited time and in a fence of errors: a ``repr`` may raise, or never end."""

# On the main thread an alarm interrupts the call, which then really stops. Elsewhere (and on Windows) a daemon thread
# runs it, is told to stop when it takes too long, and is left behind where it does not.

from __future__ import annotations

import ctypes
import signal
import threading
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from rsql_magic.errors import RsqlError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_AGAIN = 0.05
# How often a thread that was left behind is told to stop.
_TIMES = 20


class TooSlow(BaseException):
    """A call was stopped because it took too long. Not an `Exception`, so that the code it stops cannot swallow it."""


def within(seconds: float, call: Callable[[], T], *, apart: bool = False) -> T:
    """The result of a call that is stopped after some time.

    Args:
        seconds: How long it may take.
        call: What to do.
        apart: Whether to do it in a thread of its own in any case, as for what runs in another library without Python.

    Raises:
        TooSlow: It took longer.
    """
    if not apart and threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        return _with_alarm(seconds, call)
    return _in_thread(seconds, call)


def _with_alarm(seconds: float, call: Callable[[], T]) -> T:
    """Raise `TooSlow` in the main thread when the time is over, and again if the code swallows it."""
    over = False

    def stop(_number: int, _frame: object) -> None:
        if not over:
            raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        return call()
    finally:
        over = True  # first: it may ring until it is off, as while what the call made is thrown away
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
        if left:  # an alarm of the user's own goes on
            signal.setitimer(signal.ITIMER_REAL, left, interval)


def _in_thread(seconds: float, call: Callable[[], T]) -> T:
    results: list[T] = []
    problems: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        try:
            results.append(context.run(call))
        except BaseException as problem:  # noqa: BLE001 - handed to the caller's thread
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True, name="rsql-describe")
    thread.start()
    thread.join(seconds)
    if problems:
        raise problems[0]
    if not results:
        threading.Thread(target=_end, args=(thread,), daemon=True, name="rsql-end").start()
        raise TooSlow
    return results[0]


def _end(thread: threading.Thread) -> None:
    """Raise `TooSlow` in a thread, so that an endless loop does not compute for ever; one that sleeps wakes to it."""
    for _ in range(_TIMES):
        if thread.ident is None or not thread.is_alive():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TooSlow))
        thread.join(_AGAIN)


@dataclass
class Fences:
    """A fence of errors around each object: what fails is not asked again, and the others are as before.

    Args:
        seconds: How long an object may take to answer.

    Example:
        >>> fences = Fences()
        >>> fences.ask("x", lambda: 1 / 0, "nothing"), fences.ask("y", lambda: 1, "nothing"), fences.failed
        ('nothing', 1, {'x': 'it raised ZeroDivisionError'})
    """

    seconds: float = 5.0
    # Why, by the object's name. An error's own words are left out: they may hold data.
    failed: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, call: Callable[[], T], otherwise: T, seconds: float | None = None) -> T:
        """The result of a call into an object, or something else where it fails, failed before or takes too long.

        Args:
            name: What the user calls the object.
            call: What to ask of it.
            otherwise: What to give where there is no answer.
            seconds: How long it may take, where that is not the same for all.
        """
        if name in self.failed:
            return otherwise
        try:
            return within(self.seconds if seconds is None else seconds, call)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # noqa: BLE001 - other people's objects raise anything
            self.failed[name] = why(problem)
            return otherwise


def why(problem: BaseException) -> str:
    """Why an object could not be read, without the words of its error unless they are ours."""
    if isinstance(problem, RsqlError):
        return problem.message.rstrip(".")
    return "it took too long" if isinstance(problem, TooSlow) else f"it raised {_name_of(type(problem))}"


def _name_of(cls: type) -> str:
    return str(type.__getattribute__(cls, "__name__"))[:40]
