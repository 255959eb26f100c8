"""What administrators do to keys while the gateway runs: a line of the trail, for a restart and for other gateways."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from jupyter_server_ext.config import read_key, with_preset
from jupyter_server_ext.errors import BadRequest, ConfigError
from jupyter_server_ext.ledger import NEW_KEY, Thing
from jupyter_server_ext.logs import hide
from jupyter_server_ext.messages import is_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.config import KeySettings
    from jupyter_server_ext.keys import KeyPool
    from jupyter_server_ext.ledger import PromptVault
    from jupyter_server_ext.tenants import RuntimeSettings

KeyAction = Literal["pause", "resume", "retire"]

_KIND = "key"
_REASON = "retired by an administrator"
_MOST_ADDED = 200  # keys at run time


class NoKeyAdded(BadRequest):
    """There is no such key, or the configuration has it."""

    status, code = 404, "unknown_key"


@dataclass(eq=False, repr=False)
class KeyChanges:
    """Keys that are paused, resumed, retired, added or removed by hand."""

    pool: KeyPool
    runtime: RuntimeSettings  # keeps what was done, and tells what other gateways did
    vault: PromptVault | None = None  # encrypts keys that are added; without it they last as long as the process
    _seen: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by public id
    _texts: dict[str, str] = field(default_factory=dict)  # of keys that were added here, by public id

    @property
    def lasts(self) -> bool:
        """Whether a key that is added outlasts this process."""
        return self.runtime.lasts and self.vault is not None

    @property
    def lost(self) -> list[str]:
        """Keys that were added and whose text is gone, as it could not be kept or cannot be read here."""
        there = {key.id for key in self.pool.keys}
        return sorted(thing.name for thing in self.runtime.state if thing.kind == NEW_KEY and thing.name not in there)

    async def add(self, given: Mapping[str, Any], administrator: str) -> str:
        """Add a key, in the form of ``[[keys]]``, and return its public id.

        Raises:
            BadRequest: A name or value is wrong, or there is a key of this name.
            LedgerUnavailable: It cannot be kept; nothing is changed then.
        """
        settings = _read(given)
        text = settings.key.reveal()
        taken = {key.id for key in self.pool.keys} | {name.name for name in self.runtime.state if name.kind == NEW_KEY}
        if any(key.settings.key == settings.key and text for key in self.pool.keys):
            raise BadRequest("This key is there already. GET admin/api/keys lists them.", param="key")
        if settings.name in taken:
            raise BadRequest(f"There is a key '{settings.name}'. Choose another name.", param="name")
        name = settings.name or next(one for n in count(1) if (one := f"{settings.provider}-{n}") not in taken)
        hide([text])
        rules = {field: value for field, value in given.items() if field != "key"} | {"name": name}
        if self.lasts and self.vault is not None:
            rules["sealed"] = self.vault.seal(text.encode()).decode()
        self._texts[name] = text

        def edit(state: Mapping[Thing, Any]) -> dict[Thing, Any]:
            if sum(thing.kind == NEW_KEY for thing in state) >= _MOST_ADDED:
                raise BadRequest(f"Not more than {_MOST_ADDED} keys may be added here. List them in the rsql.toml.")
            return {Thing(NEW_KEY, name): rules}

        await self.runtime.change(edit, administrator)
        self.take_over()
        return name

    async def remove(self, key: str, administrator: str) -> None:
        """Remove a key that was added at run time.

        Raises:
            NoKeyAdded: There is none; one of the configuration is retired instead.
            LedgerUnavailable: It cannot be kept; nothing is changed then.
        """
        if Thing(NEW_KEY, key) not in self.runtime.state:
            words = f"'{key[:40]}' was not added at run time. Retire it, or take it out of the configuration."
            raise NoKeyAdded(words, param="key")
        await self.runtime.change(lambda _: {Thing(NEW_KEY, key): {}, Thing(_KIND, key): {}}, administrator)
        self.take_over()

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
        self._take_over_added()
        done: dict[str, Mapping[str, Any]] = {
            thing.name: rules for thing, rules in self.runtime.state.items() if thing.kind == _KIND
        }
        before, self._seen = self._seen, done
        for key in {key.id for key in self.pool.keys} & {*done, *before}:
            if done.get(key) != before.get(key):
                self._apply(key, done.get(key, {}).get("action", "resume"))

    def _take_over_added(self) -> None:
        wanted = {thing.name: rules for thing, rules in self.runtime.state.items() if thing.kind == NEW_KEY}
        there = {key.id for key in self.pool.keys}
        for name in {key.id for key in self.pool.keys if getattr(key, "added", False)} - {*wanted}:
            self.pool.keys.remove(name)
            self._seen.pop(name, None)
        for name in {*wanted} - there:
            text = self._text_of(name, wanted[name])
            if text is None:  # it lasted as long as the process that it was added to
                continue
            given = {field: value for field, value in wanted[name].items() if field != "sealed"}
            with suppress(BadRequest):  # of a provider that this version does not know any more; ``lost`` names it
                settings = replace(_read(given | {"key": text}), name=name)
                self.pool.keys.add(with_preset(settings), added=True)

    def _text_of(self, name: str, rules: Mapping[str, Any]) -> str | None:
        if "sealed" in rules and self.vault is not None:
            opened = self.vault.open(rules["sealed"].encode())
            if opened is not None:
                hide([opened.decode()])
                return opened.decode()
        return self._texts.get(name)

    def _apply(self, key: str, action: str) -> None:
        keys = self.pool.keys
        if action == "retire":
            keys.retire(key, _REASON)
        else:
            (keys.pause if action == "pause" else keys.resume)(key)


def _read(given: Mapping[str, Any]) -> KeySettings:
    try:
        settings = read_key(given, where="The body")
    except ConfigError as error:
        raise BadRequest(error.message) from None
    name = settings.name or settings.provider
    if not is_name(name) or "/" in name:
        raise BadRequest("'name' and 'provider' may have no slash and no control characters.", param="name")
    return settings
