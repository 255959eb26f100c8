"""Stop R: when the user interrupts the kernel, and when a call takes too long."""

# Python sees a signal only after the call into R has returned, so by itself R cannot be interrupted from a notebook: a
# loop runs to its end. R does look at a flag of its own now and then (`R_interrupts_pending`). A thread that is told of
# signals at once, through the file descriptor of `signal.set_wakeup_fd`, raises that flag. It may do so because the
# call into R has released Python's lock. A sleeping R wakes up because the signal itself interrupts its sleep.

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_END = b"\x00"


@dataclass
class Interruption:
    """Whether the user asked R to stop."""

    by_user: bool = False

    def note(self, _number: int, _frame: object) -> None:
        """Python's handler of SIGINT meanwhile: an exception raised inside R's callbacks would be lost."""
        self.by_user = True


@contextmanager
def stoppable(rlib: Any, seconds: float | None = None) -> Iterator[Interruption]:
    """Let SIGINT, and the end of some time, stop what R does, on the main thread; says whether a user did."""
    stop = Interruption()
    if not hasattr(signal, "pthread_kill"):  # Windows: R ends by itself
        yield stop
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    watcher = threading.Thread(
        target=_watch, args=(rlib, stop, reading, seconds, threading.get_ident()), daemon=True, name="rsql-stop-r"
    )
    alarm = signal.signal(signal.SIGALRM, lambda *_: None)
    interrupt = signal.signal(signal.SIGINT, stop.note)
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup)
        os.write(writing, _END)
        watcher.join()
        for number, handler in ((signal.SIGALRM, alarm), (signal.SIGINT, interrupt)):
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
        rlib.R_interrupts_pending = 0


def _watch(rlib: Any, stop: Interruption, reading: int, seconds: float | None, main: int) -> None:
    """Wait for a signal, the time or the end of the call, whichever comes first."""
    while True:
        ready, _, _ = select.select([reading], [], [], seconds)
        if not ready:
            rlib.R_interrupts_pending = 1
            signal.pthread_kill(main, signal.SIGALRM)  # wakes R when it sleeps
            seconds = 0.2  # and again, should R code swallow the interrupt
            continue
        told = os.read(reading, 64)
        if _END in told:
            return
        if signal.SIGINT in told:
            stop.by_user = True
            rlib.R_interrupts_pending = 1
