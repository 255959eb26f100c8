"""Rate windows that many gateways share by way of Redis."""

# Each gateway counts its own requests as ``window.py`` does: only it knows when they were sent, answered and settled.
# Redis holds how much each uses of each window at this moment, and one Lua call takes from a key's windows if all of
# these together leave room. What a gateway lets go it reports at once. What a dead one used counts for the length of
# the window after its last sign of life.
#
# While Redis is lost each gateway has its share of what was left, as in ``limits/shared_counters.py``.

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.keys.windows.memory import MemoryWindows
from jupyter_server_ext.keys.windows.usage import EXACT, Refused
from jupyter_server_ext.redis import MICROSECONDS, Lost, RedisCall, RedisCoordinator, packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jupyter_server_ext.keys.windows.usage import (
        Cost,
        Excess,
        Grant,
        Offer,
        Offers,
        RateWindow,
        Reservations,
        WindowSpec,
    )

_PATIENCE = 60.0  # seconds after which slots that others had when Redis was lost are dealt out anew
_TICK = 0.05  # seconds between two looks at what is over
_RETRY = 0.1  # seconds until a key is tried again that has no room left of its share
_LEAST_RETRY = 0.01  # seconds until a key is tried again that another gateway was quicker to take
_MOST_OFFERS = 8  # keys in one call
_CHUNK = 200  # windows in one report
_MOST_NAMES = 10_000  # of windows, beyond which those without use are forgotten


class RedisWindows(MemoryWindows):
    """The windows of all gateways on one Redis."""

    are_shared = True

    def __init__(self, redis: RedisCoordinator, jitter: float = 0.25) -> None:
        super().__init__(jitter)
        self._redis = redis  # the way to it
        self._reported: dict[str, int] = {}  # to Redis, by the name of the hash
        self._names: dict[str, WindowSpec] = {}
        self._of_others: dict[str, int] = {}  # use of windows that this gateway has not used, by name
        self._touched: set[str] = set()  # windows taken from, or settled, since the last report
        self._restored: list[tuple[WindowSpec, int, float]] = []
        self._shares: dict[str, tuple[int, float]] = {}  # number of the loss, and what may be used in it
        self._lost_at = self._clock()
        redis.join(self)

    @property
    def tick(self) -> float:
        """See ``Participant.tick``."""
        return _TICK if self._reported else math.inf

    async def take(
        self, offers: Offers, cost: Cost, now: float, reservations: Reservations = (), caller: str = ""
    ) -> Grant | Refused:
        """See ``MemoryWindows.take``: one call, and alone when Redis does not answer it."""
        if not any(offer.windows for offer in offers):
            return await super().take(offers, cost, now, reservations, caller)
        fitting, soonest = self._in_order(offers, cost, now, reservations)
        if not fitting:
            return soonest
        try:
            asked = fitting[:_MOST_OFFERS]  # the others come next, if these have no room
            call = self._call(asked, cost)
            read = partial(self._read_take, call, asked, offers, cost, reservations, caller)
            return await self._redis.call(call, read, self._undo)
        except Lost:
            got = await super().take(offers, cost, self._clock(), reservations, caller)
            return got._replace(wait=max(got.wait, _RETRY)) if isinstance(got, Refused) else got

    def settle(self, grant: Grant, cost: Cost | None, now: float) -> None:
        """See ``MemoryWindows.settle``."""
        super().settle(grant, cost, now)
        self._touched.update(self._name(spec) for spec in grant.windows)
        self._redis.changed()

    def restore(self, window: WindowSpec, amount: int, at: float, now: float) -> None:  # noqa: ARG002
        """See ``MemoryWindows.restore``: counted where Redis knows nothing yet; else it knows."""
        self._restored.append((window, amount, at))

    # As a participant

    def on_loss(self) -> None:
        """See ``Participant.on_loss``."""
        self._lost_at = self._clock()
        self._count_restored(only_if=True)
        for name, spec in self._names.items():
            self._share(name, self.window(spec))

    def snapshot(self) -> list[RedisCall]:
        """See ``Participant.snapshot``."""
        self._count_restored(only_if=self._redis.is_new)
        now = self._clock()
        return self._report({name: self._used(spec, now) for name, spec in self._names.items()})

    def changes(self) -> list[RedisCall]:
        """See ``Participant.changes``."""
        now, changed = self._clock(), {}
        touched, self._touched = self._touched, set()
        for name in touched.union(self._reported):
            if (used := self._used(self._names[name], now)) != self._reported.get(name, 0):
                changed[name] = used
        return self._report(changed)

    def on_reply(self, call: RedisCall, reply: Any) -> None:
        """See ``Participant.on_reply``."""
        self._learn(zip(call.keys[1:], reply[1:], strict=True))

    def on_news(self, kind: str, news: Any) -> None:
        """See ``Participant.on_news``."""
        if kind != "leased" or self._redis.state == "lost":
            return
        names = [name.decode() if isinstance(name, bytes) else name for name in news[::2]]
        known = [(name, int(used) - self._reported.get(name, 0)) for name, used in zip(names, news[1::2], strict=True)]
        if self._learn((name, max(0, others)) for name, others in known):
            self._redis.notify()

    # How it is kept

    def _call(self, offers: Offers, cost: Cost) -> RedisCall:
        places: dict[str, int] = {}
        rows: list[int] = []
        for offer in offers:
            for spec in offer.windows:
                place = places.setdefault(self._name(spec), len(places) + 2)
                limit = self.window(spec).limit
                rows += [place, limit, cost.part(spec.unit, limit)[0], _span(spec)]
        sizes = [len(offer.windows) for offer in offers]
        args = (self._redis.instance, self._redis.channel, packed([len(offers), *sizes, *rows]))
        return RedisCall("lease", [self._redis.live_key, *places], args)

    def _read_take(  # noqa: PLR0917 - the call and its reply
        self,
        call: RedisCall,
        asked: Offers,
        offers: Offers,
        cost: Cost,
        reservations: Reservations,
        caller: str,
        reply: Any,
    ) -> Grant | Refused:
        # The grant or refusal by the reply to a lease; remembered before anything else is asked.
        seen = [(name, others) for name, others in zip(call.keys[1:], reply[2:], strict=True) if others >= 0]
        self._learn(seen)
        now = self._clock()
        if not reply[1]:
            fitting, soonest = self._in_order(offers, cost, now, reservations)
            return Refused(_LEAST_RETRY, fitting[0].key) if fitting else soonest
        offer = asked[reply[1] - 1]
        for spec in offer.windows:
            name = self._name(spec)
            self._reported[name] = self._reported.get(name, 0) + cost.part(spec.unit, self.window(spec).limit)[0]
        return self._grant(offer, cost, now, caller)

    def _undo(self, got: Grant | Refused) -> None:
        """Give back what was taken for a caller that has gone meanwhile."""
        if not isinstance(got, Refused):
            self.settle(got, None, self._clock())

    def _report(self, amounts: Mapping[str, int]) -> list[RedisCall]:
        calls = []
        names = list(amounts)
        for start in range(0, len(names), _CHUNK):
            some = names[start : start + _CHUNK]
            args: list[str | int] = [self._redis.instance, self._redis.channel]
            for name in some:
                args += [_span(self._names[name]), amounts[name]]
                self._reported[name] = amounts[name]
                if not amounts[name]:
                    del self._reported[name]
            calls.append(RedisCall("hold", [self._redis.live_key, *some], args))
        return calls

    def _learn(self, used: Iterable[tuple[str, int]]) -> bool:
        # Take what the others use; whether that is less of anything than before.
        less = False
        for name, amount in used:
            if name in self._names:
                window = self.window(self._names[name])
                less |= amount < window.siblings
                window.siblings = amount
            elif len(self._of_others) < _MOST_NAMES:
                self._of_others[name] = amount
        return less

    def _used(self, spec: WindowSpec, now: float) -> int:
        window = self.window(spec)
        window.room(now)  # lets go what is over
        return max(0, window.used)

    def _name(self, spec: WindowSpec) -> str:
        name = f"{self._redis.prefix}k:{spec.id}"
        if name not in self._names and len(self._names) >= _MOST_NAMES:
            self._names = {name: self._names[name] for name in self._touched.union(self._reported)}
        self._names[name] = spec
        return name

    def _grant(self, offer: Offer, cost: Cost, now: float, caller: str) -> Grant:
        self._touched.update(self._name(spec) for spec in offer.windows)
        return super()._grant(offer, cost, now, caller)

    def _make(self, spec: WindowSpec, before: RateWindow | None) -> RateWindow:
        window = super()._make(spec, before)
        name = self._name(spec)
        window.siblings = self._of_others.pop(name, window.siblings)
        return window

    def _count_restored(self, *, only_if: bool) -> None:
        restored, self._restored = self._restored, []
        for spec, amount, at in restored if only_if else ():
            super().restore(spec, amount, at, self._clock())

    # Deciding alone

    def _room(self, window: RateWindow, now: float, excess: Excess = EXACT) -> float:
        room = super()._room(window, now, excess)
        if self._redis.state == "ok":
            return room
        return self._share(f"{self._redis.prefix}k:{window.spec.id}", window) - window.used

    def _share(self, name: str, window: RateWindow) -> float:
        number, instances = self._redis.losses, self._redis.instances
        share = window.limit / instances
        over = self._lost_at + (window.spec.seconds + 1.0 if window.spec.seconds else _PATIENCE)
        if self._clock() < over:
            if self._shares.get(name, (-1, 0.0))[0] != number:
                left = max(0, window.limit - window.used - window.siblings)
                # A gateway beyond its share takes no more, and then there is one less to share what is left.
                self._shares[name] = number, min(share, window.used + left / max(1, instances - 1))
            share = self._shares[name][1]
        return math.ceil(share) if window.spec.unit in {"requests", "concurrent"} else math.floor(share)


def _span(spec: WindowSpec) -> int:
    return int(spec.seconds * MICROSECONDS)
