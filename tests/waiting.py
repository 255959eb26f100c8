"""Waiting for what comes true in another thread or program."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Found = TypeVar("Found")

SECONDS = 240.0  # a machine with other work is slow, which is no fault


def eventually(find: Callable[[], Found], why: str = "it did not come true") -> Found:
    """What ``find`` finds, as soon as it finds something.

    Raises:
        AssertionError: Nothing was found in four minutes.
    """
    deadline = time.monotonic() + SECONDS
    while not (found := find()):
        assert time.monotonic() < deadline, why
        time.sleep(0.005)
    return found
