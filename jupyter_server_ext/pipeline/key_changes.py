"""What administrators do to keys while the gateway runs: a line of the trail, for a restart and for other gateways."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from jupyter_server_ext.ledger import Thing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.keys import KeyPool
    from jupyter_server_ext.tenants import RuntimeSettings

KeyAction = Literal["pause", "resume", "retire"]

_KIND = "key"
_REASON = "retired by an administrator"


@dataclass(eq=False, repr=False)
class KeyChanges:
    """Keys that are paused, resumed or retired by hand."""

    pool: KeyPool
    runtime: RuntimeSettings  # keeps what was done, and tells what other gateways did
    _seen: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by public id

    async def change(self, key: str, action: KeyAction, administrator: str) -> None:
        """Pause a key, resume it, or retire it until it is resumed.

        Raises:
            BadRequest: There is no such key.
            LedgerUnavailable: It cannot be kept; nothing is changed then.
        """
        self.pool.keys.get(key)
        # With the time, so that a key that its provider has refused, too, is resumed everywhere.
        done = {"action": action, "at": time.time()}
        await self.runtime.change(lambda _: {Thing(_KIND, key): done}, administrator)
        self.take_over()

    def take_over(self) -> None:
        """Have what was done to keys since the last look, here or at another gateway."""
        done: dict[str, Mapping[str, Any]] = {
            thing.name: rules for thing, rules in self.runtime.state.items() if thing.kind == _KIND
        }
        before, self._seen = self._seen, done
        for key in {key.id for key in self.pool.keys} & {*done, *before}:
            if done.get(key) != before.get(key):
                self._apply(key, done.get(key, {}).get("action", "resume"))

    def _apply(self, key: str, action: str) -> None:
        keys = self.pool.keys
        if action == "retire":
            keys.retire(key, _REASON)
        else:
            (keys.pause if action == "pause" else keys.resume)(key)
