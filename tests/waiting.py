"""Waiting for what comes true in another thread or program."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Found = TypeVar("Found")

SECONDS = 240.0  # a machine with other work is slow, which is no fault


def eventually(
    find: Callable[[], Found],
    why: Callable[[], object] = lambda: "it did not come true",
    seconds: float = SECONDS,
) -> Found:
    """What ``find`` finds, as soon as it finds something; ``why`` says what is so where it finds nothing.

    Raises:
        AssertionError: Nothing was found in so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.01)
    return found
