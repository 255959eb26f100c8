"""All keys by their public ids: which there are, which are paused or retired, and which are meant for a model."""

from __future__ import annotations

from itertools import chain, count
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.keys.key import Key, identity
from jupyter_server_ext.keys.windows.base import WindowSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jupyter_server_ext.config import KeySettings


class Keyring:
    """The keys of a pool.

    Args:
        clock: Seconds, never going back.
        on_change: Called when a request may start that could not before.
        at_once: Requests in flight with all keys together; None is unlimited.
    """

    def __init__(
        self, clock: Callable[[], float], on_change: Callable[[], None], *, at_once: int | None = None
    ) -> None:
        self._clock = clock
        self._changed = on_change
        self._shared = _in_flight(at_once)
        self._keys: dict[str, Key] = {}

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._keys.values()))

    def find(self, key: str) -> Key | None:
        """The key with this public id, if there is one."""
        return self._keys.get(key)

    def get(self, key: str) -> Key:
        """The key with this public id.

        Raises:
            BadRequest: There is none.
        """
        found = self._keys.get(key)
        if found is None:
            raise BadRequest(f"There is no key '{key}'.", param="key", status=404)
        return found

    def configure(self, keys: Iterable[KeySettings]) -> None:
        """Have exactly these keys. Those there are already keep their name, health and counts; requests go on."""
        wanted = {identity(settings): settings for settings in keys}
        for key in self:
            settings = wanted.pop(key.identity, None)
            if settings is None:
                del self._keys[key.id]
            else:
                key.settings = settings
                key.offers.clear()
        for settings in wanted.values():
            self.add(settings)
        self._changed()

    def add(self, settings: KeySettings) -> Key:
        """Add a key while running. Its public id is its name, or its provider's with a number."""
        names = [settings.name] if settings.name else []
        if not names and not settings.key.reveal():
            names = [settings.provider]
        numbered = (f"{settings.name or settings.provider}-{number}" for number in count(1))
        public = next(name for name in chain(names, numbered) if name not in self._keys)
        key = self._keys[public] = Key(settings, public, self._shared)
        self._changed()
        return key

    def remove(self, key: str) -> None:
        """Forget a key; what is in flight goes on."""
        del self._keys[self.get(key).id]
        self._changed()

    def pause(self, key: str) -> None:
        """Start nothing new with this key; what is in flight goes on."""
        self.get(key).paused = True

    def resume(self, key: str) -> None:
        """Use a paused, cooling or retired key again."""
        found = self.get(key)
        found.paused, found.retired, found.retired_by_hand = False, "", False
        found.circuits.clear()
        found.without.clear()
        self._changed()

    def retire(self, key: str, reason: str, *, by_hand: bool = True) -> None:
        """Never use this key again, unless it is resumed, or closed when it was not retired by hand."""
        found = self.get(key)
        found.retired, found.retired_by_hand = reason, by_hand
        self._changed()

    def close(self, key: str) -> None:
        """Close a key's circuits after a check that it works: a person's decision stays, and a limit's cool-down.

        A check does not show whether the key answers questions, so after failures there is a half-open probe first.
        """
        found = self.get(key)
        if not found.paused and not found.retired_by_hand:
            circuits, now = dict(found.circuits), self._clock()
            self.resume(key)
            found.circuits.update(circuits)
            for circuit in circuits.values():
                if not circuit.is_limited:
                    circuit.until = min(circuit.until, now)
            self._changed()

    def unhealthy(self) -> list[Key]:
        """Keys that cool down for no limit, or that a provider refused: those that a check may bring back."""
        now = self._clock()
        return [
            key
            for key in self
            if (key.retired and not key.retired_by_hand)
            or any(circuit.until > now and not circuit.is_limited for circuit in key.circuits.values())
        ]

    def limit_concurrency(self, at_once: int | None) -> None:
        """Let so many requests be in flight with all keys together; None is unlimited."""
        self._shared = _in_flight(at_once)
        for key in self:
            key.shared = self._shared
            key.offers.clear()
        self._changed()

    def longest_window(self) -> float:
        """Seconds for which a request can count; 0 where nothing is limited."""
        return max((limit.seconds for key in self for limit in key.settings.limits), default=0.0)

    def at_address(self, base_url: str) -> frozenset[str]:
        """Public ids of the keys of one address."""
        return frozenset(key.id for key in self if key.settings.base_url == base_url)

    def models(self) -> list[str]:
        """Models that keys are configured for, in the order of configuration."""
        return list(dict.fromkeys(model for key in self for model in key.settings.models))

    def serves(self, model: str) -> bool:
        """Whether any key, usable or not, is meant for ``model``."""
        return any(key.serves(model) for key in self._keys.values())

    def meant_for(self, model: str) -> Iterator[Key]:
        """Keys, usable or not, that are meant for ``model``."""
        return (key for key in self._keys.values() if key.serves(model))

    def usable(self, model: str) -> Iterator[Key]:
        """Keys for ``model`` that nothing but a cool-down keeps from being used."""
        now = self._clock()
        return (key for key in self.meant_for(model) if not key.bar(model, now))

    def in_entry(self, public: str) -> Key | None:
        """The key of a ledger's entry; older versions' public ids ended in the last letters of the secret."""
        name, _, letters = public.partition(" …")
        key = self._keys.get(public) or self._keys.get(name)
        if key is None or key.id == public:
            return key
        return key if letters and key.settings.key.reveal().endswith(letters) else None


def _in_flight(at_once: int | None) -> tuple[WindowSpec, ...]:
    return () if at_once is None else (WindowSpec("//concurrent", "concurrent", at_once),)
