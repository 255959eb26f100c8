"""Meters that many gateways share by way of Redis, and each gateway's share of them while Redis is lost.

What this gateway has taken is known here to the last request. What the others have taken is known from the replies of
Redis and from its news. When it is lost, a limit ``L`` of which all have used ``U`` has ``L - U`` left, and of that
each of ``N`` gateways takes no more than its ``1/N`` beside what it has used itself. That is no more than ``L``
together. When all that was used before the loss has left the window, each has ``L / N``, and because nobody uses more
than that even before, it is no more than ``L`` then, too. Rounding up adds one request per gateway at most.
"""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.errors import RsqlGatewayError
from jupyter_server_ext.limits.counters import Demand, Part, Shortfall, Use, account_of
from jupyter_server_ext.redis import MICROSECONDS, Call, Lost, RedisCoordinator, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_server_ext.limits.counters import Counter

_EXACT = 2_000  # requests up to which each is kept by its own time
_PARTS = 1_000  # otherwise parts of a window …
_PARTS_SHOWN = 120  # … and of one without a limit
_PATIENCE = 60 * MICROSECONDS  # for which what was under way with others when Redis was lost is taken to be so still
_LONGEST_SHARED_ANEW = 86_400 * MICROSECONDS  # sums over longer times are not dealt out anew
_HEARD_SECONDS = 0.05  # after which all have heard what was published
_MOST_COUNTS = 20_000
_CHUNK = 100  # meters in one call


_MEANT: dict[str, Callable[[str, str], bool]] = {
    "clear": lambda meter, period: meter.endswith(f"/{period}"),
    "forget": lambda meter, account: account_of(meter) == account,
}
"""Which meters the news of each kind are about, by their id."""


class StateUnavailable(RsqlGatewayError):
    """What others use is not known, and the administrator wants nothing to be answered then."""

    status = 503
    code = "state_unavailable"


class _Count:
    """What this gateway knows of one meter: its own part to the last, and the others' as of some time."""

    __slots__ = ("loss", "others", "others_at", "own", "pending", "slots", "span")

    def __init__(self, span: int) -> None:
        self.span = span
        self.slots: dict[int, int] = {}  # own amounts, oldest first
        self.own = 0
        self.pending: dict[int, int] = {}  # differences that Redis has not been told
        self.others = 0
        self.others_at = 0
        self.loss = (0, 0.0)  # its number, and what this gateway may have until all is dealt out anew

    def used(self, now: int) -> int:
        """What counts of it now, own and others'."""
        return self.advance(now) + self.of_others(now)

    def of_others(self, now: int) -> int:
        """What counts of the others' part."""
        return self.others if self.others_at + (self.span or _PATIENCE) > now else 0

    def advance(self, now: int) -> int:
        """What counts of the own part."""
        if self.span:
            while self.slots:
                slot = next(iter(self.slots))
                if slot + self.span > now:
                    break
                self.own -= self.slots.pop(slot)
        return self.own

    def add(self, slot: int, amount: int) -> None:
        """Count an own part."""
        self.slots[slot] = self.slots.get(slot, 0) + amount
        self.own += amount

    def correct(self, slot: int, difference: int, now: int) -> bool:
        """Change an own part, if it still counts."""
        if not self.span:
            self.own += difference
            return True
        self.advance(now)
        if slot not in self.slots:
            return False
        self.add(slot, difference)
        self.pending[slot] = self.pending.get(slot, 0) + difference
        return True

    def learn(self, used: int, now: int) -> bool:
        """Redis says that so much is used by all; whether it still knows of all that this gateway has told it."""
        own = self.advance(now)
        if self.span and used < own - sum(self.pending.values()):
            return False
        self.others, self.others_at = max(0, used - own), now
        return True

    def hear(self, used: int, now: int) -> None:
        """Another gateway has seen that so much is used by all, which may be a moment old."""
        self.others, self.others_at = max(0, used - self.advance(now)), now

    def last(self) -> int:
        """When something was taken last."""
        return max(next(reversed(self.slots), 0), self.others_at if self.others else 0)


class RedisCounters:
    """The meters of all gateways on one Redis.

    Args:
        link: The way to it.
        fail_closed: Whether nothing is taken while it is lost.
    """

    tick = math.inf
    """See ``Participant.tick``: every change is told of."""

    def __init__(self, link: RedisCoordinator, *, fail_closed: bool = False) -> None:
        self._link = link
        self._fail_closed = fail_closed
        self._counts: dict[str, _Count] = {}  # by the name of its hash
        self._dirty: dict[str, None] = {}
        self._most = _MOST_COUNTS
        self._restored: dict[Counter, dict[int, int]] = {}  # what the ledger remembers, by slot
        link.join(self)

    @property
    def health(self) -> str:
        """See ``Counters.health``."""
        return self._link.health

    async def take(self, wants: Sequence[Demand]) -> list[Part] | list[Shortfall]:
        """See ``Counters.take``: one call, and alone when Redis does not answer it.

        Raises:
            StateUnavailable: It does not, and that is not to be.
        """
        shared = [want for want in wants if want.meter.seconds or want.meter.limit is not None]
        try:
            return await self._link.call(self._call(shared), partial(self._digest, wants, shared), self._undo)
        except Lost:
            if self._fail_closed:
                msg = "The gateway cannot reach its Redis, so nothing is answered. Try again in a moment."
                raise StateUnavailable(msg, retry_after=1.0) from None
            return self._take_alone(wants)

    def add(self, meter: Counter, amount: int = 1) -> Part:
        """See ``Counters.add``."""
        part = self._taken(meter, amount, self._link.now())
        if meter.seconds:
            pending = self._count(meter).pending
            pending[part.place] = pending.get(part.place, 0) + amount
        self._mark(meter)
        return part

    def change(self, part: Part, amount: int) -> None:
        """See ``Counters.change``."""
        count = self._count(part.meter)
        if (difference := amount - part.amount) and count.correct(part.place, difference, self._link.now()):
            self._mark(part.meter)
        part.amount = amount

    def use(self, meter: Counter) -> Use:
        """See ``Counters.use``."""
        count, now = self._counts.get(self._name(meter)), self._link.now()
        used = count.used(now) if count is not None else 0
        if count is None or not used or not count.span:
            return Use(used, 0.0)
        return Use(used, max(0.0, (count.last() + count.span - now) / MICROSECONDS))

    async def read(self, meters: Sequence[Counter]) -> None:
        """See ``Counters.read``."""
        shared = [meter for meter in meters if meter.seconds or meter.limit is not None]
        call = Call("read", self._keys(shared), [_span(meter) for meter in shared])
        with suppress(Lost):
            await self._link.call(call, partial(self._learn_all, shared))

    def _learn_all(self, meters: Sequence[Counter], reply: Any) -> None:
        for meter, used, last in zip(meters, reply[1::2], reply[2::2], strict=True):
            count = self._count(meter)
            self._learn(count, used, reply[0])
            count.others_at = last or reply[0]

    async def clear(self, period: str) -> int:
        """See ``Counters.clear``."""
        now = self._link.now()
        names = {name for name, count in self._counts.items() if name.endswith(f"/{period}") and count.used(now)}
        for _ in range(2):
            names |= await self._wipe("clear", period, f"*/{period}") or set()
        return len({account_of(name) for name in names})

    async def forget(self, account: str) -> bool:
        """See ``Counters.forget``."""
        some = re.sub(r"([*?\[\]\\])", r"\\\1", account)
        return None not in [await self._wipe("forget", account, f"{some}/*") for _ in range(2)]

    async def _wipe(self, kind: str, what: str, pattern: str) -> set[str] | None:
        """Delete meters in Redis and at all gateways; which had something to forget, None if Redis is away.

        To be done twice: what is gone from Redis is told anew by who has not heard.
        """
        self.heard(kind, what)
        await self._link.publish(kind, what)
        await asyncio.sleep(_HEARD_SECONDS)
        start = f"{self._link.prefix}m:"
        is_meant = _MEANT[kind]
        return await self._link.delete(start + pattern, lambda name: is_meant(name.removeprefix(start), what))

    def restore(self, meter: Counter, amount: int, age: float = 0.0) -> None:
        """See ``Counters.restore``: told to a Redis that knows nothing yet; any other knows."""
        slots, slot = self._restored.setdefault(meter, {}), _slot(meter, self._link.now() - int(age * MICROSECONDS))
        slots[slot] = slots.get(slot, 0) + amount
        count = self._count(meter)
        count.others += amount
        count.others_at = max(count.others_at, slot)

    async def close(self) -> None:
        """See ``Counters.close``."""
        await self._link.close()

    # What the link asks and tells

    def lost(self) -> None:
        """See ``Participant.lost``: what may be taken alone is reckoned when somebody asks."""

    def everything(self) -> list[Call]:
        """See ``Participant.everything``."""
        now = self._link.now()
        calls = [
            self._replacement(name, count)
            for name, count in self._counts.items()
            if count.advance(now) or not count.span
        ]
        if self._link.is_new:
            for meter, slots in self._restored.items():
                parts = [value for slot in slots.items() for value in slot]
                args: list[str | int] = ["ledger", self._link.channel, _span(meter), *parts]
                calls.append(Call("replace", self._keys([meter]), args))
        self._restored.clear()
        return calls

    def _replacement(self, name: str, count: _Count) -> Call:
        count.pending.clear()
        parts = [value for slot in count.slots.items() for value in slot] if count.span else [0, count.own]
        args: list[str | int] = [self._link.instance, self._link.channel, count.span, *parts]
        return Call("replace", [self._link.live_key, name, f"{name}:t"], args)

    def changes(self) -> list[Call]:
        """See ``Participant.changes``."""
        if not self._dirty:
            return []
        dirty, self._dirty = list(self._dirty), {}
        calls = []
        for start in range(0, len(dirty), _CHUNK):
            keys: list[str] = [self._link.live_key]
            args: list[str | int] = [self._link.instance, self._link.channel]
            for name in dirty[start : start + _CHUNK]:
                count = self._counts[name]
                told = count.pending.items() if count.span else [(0, count.own)]
                for slot, amount in told:
                    keys += [name, f"{name}:t"]
                    args += [count.span, slot, amount]
                count.pending = {}
            calls.append(Call("change", keys, args))
        return calls

    def told(self, call: Call, reply: Any) -> None:
        """See ``Participant.told``."""
        used_last = dict(zip(call.keys[1::2], reply[1:], strict=True))  # of several parts of one meter
        for name, used in used_last.items():
            if name in self._counts:
                self._learn(self._counts[name], used, reply[0])

    def heard(self, kind: str, news: Any) -> None:
        """See ``Participant.heard``."""
        if kind in _MEANT:
            self._forget(kind, news)
        elif kind == "used" and self._link.state != "lost":
            now = self._link.now()
            for name, used, span in zip(news[::3], news[1::3], news[2::3], strict=True):
                self._named(name, int(span)).hear(int(used), now)

    # How it is kept

    def _name(self, meter: Counter) -> str:
        return f"{self._link.prefix}m:{meter.id}"

    def _keys(self, meters: Sequence[Counter]) -> list[str]:
        keys = [self._link.live_key]
        for meter in meters:
            name = self._name(meter)
            keys += [name, f"{name}:t"]
        return keys

    def _count(self, meter: Counter) -> _Count:
        return self._named(self._name(meter), _span(meter))

    def _named(self, name: str, span: int) -> _Count:
        count = self._counts.get(name)
        if count is None:
            if len(self._counts) >= self._most:
                self._forget_idle()
            count = self._counts[name] = _Count(span)
        return count

    def _forget_idle(self) -> None:
        now = self._link.now()
        kept = {name: count for name, count in self._counts.items() if count.used(now) or name in self._dirty}
        self._counts, self._most = kept, max(_MOST_COUNTS, 2 * len(kept))

    def _call(self, wants: Sequence[Demand]) -> Call:
        asked: list[int] = []
        for meter, amount in wants:
            limit = -1 if meter.limit is None else meter.limit
            asked += [limit, amount, _span(meter), _grain(meter)]
        args = (self._link.instance, self._link.channel, packed(asked))
        return Call("take", self._keys([want.meter for want in wants]), args)

    def _digest(self, wants: Sequence[Demand], shared: Sequence[Demand], reply: Any) -> list[Part] | list[Shortfall]:
        """What the reply to a take means; remembered before anything else is asked."""
        now = reply[1]
        if not reply[0]:
            rows = zip(reply[2::3], reply[3::3], reply[4::3], strict=True)
            return [self._short(shared[place - 1].meter, used, wait, now) for place, used, wait in rows]
        parts = [self._taken(want.meter, want.amount, now) for want in wants]
        for want, used in zip(shared, reply[2:], strict=True):
            self._learn(self._count(want.meter), used, now)
        return parts

    def _short(self, meter: Counter, used: int, wait: int, now: int) -> Shortfall:
        self._learn(self._count(meter), used, now)
        return Shortfall(meter, math.inf if wait < 0 or not meter.limit else wait / MICROSECONDS)

    def _learn(self, count: _Count, used: int, now: int) -> None:
        if not count.learn(used, now):
            self._link.has_forgotten()

    def _undo(self, got: list[Part] | list[Shortfall]) -> None:
        """Whoever asked has gone meanwhile."""
        for part in got:
            if isinstance(part, Part):
                self.change(part, 0)

    def _taken(self, meter: Counter, amount: int, now: int) -> Part:
        slot, count = _slot(meter, now), self._count(meter)
        if count.span:
            count.add(slot, amount)
        else:
            count.own += amount
        return Part(meter, amount, slot)

    def _mark(self, meter: Counter) -> None:
        """Redis is to be told of a change."""
        if meter.seconds or meter.limit is not None:
            self._dirty[self._name(meter)] = None
            self._link.changed()

    def _forget(self, kind: str, what: str) -> None:
        start, is_meant = f"{self._link.prefix}m:", _MEANT[kind]
        for name, count in list(self._counts.items()):
            if count.span and is_meant(name.removeprefix(start), what):
                self._dirty.pop(name, None)
                del self._counts[name]

    # Deciding alone

    def _take_alone(self, wants: Sequence[Demand]) -> list[Part] | list[Shortfall]:
        now = self._link.now()
        shorts = [short for want in wants if (short := self._short_alone(want, now)) is not None]
        return shorts or [self.add(want.meter, want.amount) for want in wants]

    def _short_alone(self, want: Demand, now: int) -> Shortfall | None:
        meter, count = want.meter, self._count(want.meter)
        if meter.limit is None:
            return None
        own, most = count.advance(now), self._may_have(count, meter.limit, now)
        if own + want.amount <= most if count.span > _LONGEST_SHARED_ANEW else own < most:
            return None
        return Shortfall(meter, self._wait_alone(count, most, now) if meter.limit else math.inf)

    def _may_have(self, count: _Count, limit: int, now: int) -> float:
        """What this gateway alone may have of a limit."""
        share = limit / self._link.instances
        dealt_anew = count.span <= _LONGEST_SHARED_ANEW
        if dealt_anew and now >= self._link.lost_at + (count.span or _PATIENCE):
            return share
        if count.loss[0] != self._link.losses:
            mine = count.advance(now) + max(0, limit - count.used(now)) / self._link.instances
            count.loss = (self._link.losses, min(share, mine) if dealt_anew else mine)
        return count.loss[1]

    def _wait_alone(self, count: _Count, most: float, now: int) -> float:
        """Seconds until there is room again: when enough of the own part is over, or all is dealt out anew."""
        if not count.span:
            return 0.0
        own = count.own
        anew = self._link.lost_at + count.span
        for slot, amount in count.slots.items():
            own -= amount
            if own < most:
                over = slot + count.span
                return (min(over, anew) if anew > now else over) / MICROSECONDS - now / MICROSECONDS
        return max(MICROSECONDS, anew - now) / MICROSECONDS


def _span(meter: Counter) -> int:
    return int(meter.seconds * MICROSECONDS)


def _grain(meter: Counter) -> int:
    """The length of a slot in µs; 1 keeps every time."""
    if meter.grain:
        return int(meter.grain * MICROSECONDS)
    if meter.limit is None:
        return max(1, _span(meter) // _PARTS_SHOWN)
    return 1 if meter.limit <= _EXACT else max(1, _span(meter) // _PARTS)


def _slot(meter: Counter, now: int) -> int:
    """The end of the slot of a moment; a gauge has only one."""
    if not meter.seconds:
        return 0
    grain = _grain(meter)
    return now // grain * grain + grain - 1
