"""Stopping from another thread what one thread asked for: Ctrl-C reaches the main thread only.

A thread that waits for a gateway waits in the system's ``recv``. Shutting its socket down ends that at once, and with
the connection the request at the provider.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_current: ContextVar[Stop | None] = ContextVar("rsql_stop", default=None)


class Stop:
    """Stops what a thread does.

    Example:
        >>> stop = Stop()
        >>> with stop.governs():
        ...     stop()
        ...     current().asked
        True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[Callable[[], None]] = []
        self.asked = False
        """Whether the user wants it to stop."""

    def __call__(self) -> None:
        """Stop now; harmless when nothing is under way."""
        with self._lock:
            self.asked = True
            ends, self._ends = self._ends, []
        for end in ends:
            end()

    @contextmanager
    def governs(self) -> Iterator[None]:
        """What this thread asks for in the meantime is stopped by this."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def ends(self, end: Callable[[], None]) -> None:
        """Have something called when it is time to stop; at once when it is already."""
        with self._lock:
            if not self.asked:
                self._ends.append(end)
                return
        end()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the socket of a new connection; for httpx's request extension ``trace``."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self.ends(lambda: _shut(info["return_value"].get_extra_info("socket")))


def current() -> Stop | None:
    """What stops the thread that asks, or None where Ctrl-C does."""
    return _current.get()


def _shut(sock: socket.socket | None) -> None:
    if sock is not None:
        with suppress(OSError):  # it is closed already
            sock.shutdown(socket.SHUT_RDWR)
