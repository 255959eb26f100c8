"""The kernel's main thread: cells run there, and R knows no other."""

# A panel answers in threads of its own so that neither waits for the other. What has to be done on the main thread (R,
# code that the user runs) is put into its event loop and waits there until the running cell ends.

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from rsql_magic.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class MainThread:
    """The way to the main thread, by its event loop as tornado has it; None as in a plain script, which has none."""

    def __init__(self, loop: Any = None) -> None:
        self._loop = loop

    @classmethod
    def of(cls, shell: Any) -> MainThread:
        """That of a shell's kernel."""
        return cls(getattr(getattr(shell, "kernel", None), "io_loop", None))

    def call(
        self,
        work: Callable[[], T],
        *,
        patience: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
        waiting: Callable[[], None] = lambda: None,
    ) -> T:
        """Do something on the main thread, where Ctrl-C interrupts it, and wait for it.

        ``patience`` bounds the seconds until it starts, ``stopped`` is asked now and then whether the user gave up, and
        ``waiting`` is called once when it does not start at once.

        Raises:
            TimeoutError: It did not start in time, and will not.
            Stopped: The user gave up.
        """
        if threading.current_thread() is threading.main_thread() or self._loop is None:
            return work()
        begun, done = threading.Event(), Future[T]()
        self._loop.add_callback(_carry_out, work, begun, done)
        announced, spent = False, 0.0
        while not begun.wait(0.05):  # seconds between two looks at whether the user gave up
            spent += 0.05
            gave_up = stopped()
            if (gave_up or (patience is not None and spent >= patience)) and done.cancel():
                raise Stopped("Stopped.") if gave_up else TimeoutError
            if not announced and spent >= 0.2:
                announced = True
                waiting()
        return done.result()

    def later(self, work: Callable[[], None]) -> None:
        """Do something on the main thread when it is free, without waiting for it."""
        if self._loop is None:
            work()
        else:
            self._loop.add_callback(work)


def _carry_out(work: Callable[[], T], begun: threading.Event, done: Future[T]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    begun.set()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # between cells a kernel ignores SIGINT
    try:
        done.set_result(work())
    except KeyboardInterrupt:
        done.set_exception(Stopped("Stopped."))
    except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
        done.set_exception(error)
    finally:
        signal.signal(signal.SIGINT, before)
