"""What stops requests of a view that are under way, or wait to be: by the view's own number for each."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rsql_magic.errors import Stopped
from rsql_magic.gateway import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stops:
    """The requests of one kind that can be stopped.

    Example:
        >>> stops = Stops()
        >>> stops.expect("7")
        >>> with stops.governing("7"):
        ...     stops.stop("7")  # by another thread, as a rule
        >>> stops.stop("7")  # it is over: harmless
    """

    def __init__(self) -> None:
        self._known: dict[str, Stop] = {}

    def expect(self, number: str) -> None:
        """Note a request that is about to wait for its turn, so that no stop of it can come too early."""
        self._known.setdefault(number, Stop())

    def stop(self, number: str) -> None:
        """Stop one; harmless when there is none."""
        if (stop := self._known.get(number)) is not None:
            stop()

    def stop_all(self) -> None:
        """Stop all of them."""
        for stop in list(self._known.values()):
            stop()

    @contextmanager
    def governing(self, number: str) -> Iterator[None]:
        """Let one be stopped until the end of the block.

        Raises:
            Stopped: It was, before its turn came.
        """
        stop = self._known.setdefault(number, Stop())
        try:
            if stop.asked:
                raise Stopped("Stopped.")
            with stop.governs():
                yield
        finally:
            self._known.pop(number, None)
