"""State: the counters that a gateway keeps, of callers and of keys, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.keys import MemoryWindows
    from jupyter_server_ext.limits import Counters
    from jupyter_server_ext.pipeline.shared import RedisLocks
    from jupyter_server_ext.redis import RedisCoordinator


@dataclass(frozen=True)
class State:
    """What counts: of callers, tenants and everyone (``counters``), and of keys (``windows``)."""

    counters: Counters  # limits and budgets
    windows: MemoryWindows  # what providers allow
    link: RedisCoordinator | None = None  # the way to Redis, where it is kept there
    locks: RedisLocks | None = None  # which gateway answers what was sent to several; None where there is one

    def checks(self) -> dict[str, str]:
        """How it is, for health; nothing where it is kept in memory."""
        return {"state": self.link.health} if self.link is not None else {}

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call a function when other gateways have made room."""
        if self.link is not None:
            self.link.on_change.append(tell)

    async def start(self) -> None:
        """Open what is open only in an event loop."""
        if self.link is not None:
            await self.link.start()

    async def close(self) -> None:
        """Give everything back."""
        await self.counters.close()
