"""Who of several gateways answers a request that may have been sent to two of them: one has its name, the others wait.

A claim ends with the gateway that has it. That a name was answered is remembered for a day; the answer is elsewhere.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager


@dataclass(slots=True)
class DistributedLock:
    """A name that is claimed.

    Attributes:
        known: What the gateways know of it: ``new``, ``answered``, ``other`` for something else by that name; or
            ``unknown``, as nobody can be asked.
        is_answered: To be set when the answer is kept.
    """

    known: Literal["new", "answered", "other", "unknown"] = "unknown"
    is_answered: bool = False


class DistributedLocks(Protocol):
    """Claims of all gateways."""

    def hold(self, name: str, mark: str) -> AbstractAsyncContextManager[DistributedLock]:
        """Wait for a name and have it; ``mark`` tells two requests of one name apart."""


class NoLocks:
    """Claims of a gateway that knows of no other."""

    @asynccontextmanager
    async def hold(self, name: str, mark: str) -> AsyncIterator[DistributedLock]:  # noqa: ARG002
        """See ``DistributedLocks.hold``."""
        yield DistributedLock()
