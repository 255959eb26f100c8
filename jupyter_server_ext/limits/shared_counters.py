"""Counters that many gateways share by way of Redis, and each gateway's share of them while Redis is lost."""

# What this gateway has taken is known here to the last request. What the others have taken is known from the replies of
# Redis and from its news. When it is lost, a limit ``L`` of which all have used ``U`` has ``L - U`` left, and of that
# each of ``N`` gateways takes no more than its ``1/N`` beside what it has used itself. That is no more than ``L``
# together. When all that was used before the loss has left the window, each has ``L / N``, and because none uses more
# than that even before, it is no more than ``L`` then, too. Rounding up adds one request per gateway at most.

from __future__ import annotations

import asyncio
import math
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.errors import RsqlGatewayError
from jupyter_server_ext.limits.counters import Charge, Counter, Demand, Shortfall, Use, scope_of
from jupyter_server_ext.redis import MICROSECONDS, Lost, RedisCall, RedisCoordinator, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EXACT = 2_000  # requests up to which each is kept by its own time
_PARTS = 1_000  # otherwise parts of a window …
_PARTS_SHOWN = 120  # … and of one without a limit
_PATIENCE = 60 * MICROSECONDS  # for which what others had in flight when Redis was lost is taken to be so still
_LONGEST_SHARED_ANEW = 86_400 * MICROSECONDS  # sums over longer times are not dealt out anew
_NEWS_SECONDS = 0.05  # after which news has reached all gateways
_MOST_COUNTS = 20_000  # beyond it, those that count nothing are forgotten
_CHUNK = 100  # counters in one call

# Which counters the news of each kind are about, by their id.
_IS_MEANT: dict[str, Callable[[str, str], bool]] = {
    "clear": lambda counter, period: counter.endswith(f"/{period}"),
    "forget": lambda counter, scope: scope_of(counter) == scope,
}


class StateUnavailable(RsqlGatewayError):
    """What others use is not known, and the administrator wants nothing to be answered then."""

    status, code = 503, "state_unavailable"


class SharedCount:
    """What this gateway knows of one counter: its own part to the last, and the others' as of some time."""

    __slots__ = ("_loss", "others", "others_at", "own", "pending", "slots", "span")

    def __init__(self, span: int) -> None:
        self.span = span  # the length of the window in µs; 0 counts what is in flight
        self.slots: dict[int, int] = {}  # own amounts, oldest first
        self.own = 0
        self.pending: dict[int, int] = {}  # differences that Redis does not know, by slot
        self.others = 0
        self.others_at = 0
        self._loss = (-1, 0.0)  # its number, and what this gateway may have until all is dealt out anew

    def used(self, now: int) -> int:
        """What counts of it now, own and others'."""
        others = self.others if self.others_at + (self.span or _PATIENCE) > now else 0
        return self.advance(now) + others

    def advance(self, now: int) -> int:
        """What counts of the own part."""
        while self.span and self.slots:
            slot = next(iter(self.slots))
            if slot + self.span > now:
                break
            self.own -= self.slots.pop(slot)
        return self.own

    def add(self, slot: int, amount: int) -> None:
        """Count an own part."""
        if self.span:
            self.slots[slot] = self.slots.get(slot, 0) + amount
        self.own += amount

    def add_pending(self, slot: int, amount: int) -> None:
        """Count an own part that Redis does not know yet."""
        self.add(slot, amount)
        if self.span:
            self.pending[slot] = self.pending.get(slot, 0) + amount

    def correct(self, slot: int, difference: int, now: int) -> bool:
        """Change an own part, if it still counts."""
        self.advance(now)
        if self.span and slot not in self.slots:
            return False
        self.add_pending(slot, difference)
        return True

    def learn(self, used: int, now: int) -> bool:
        """Take Redis' sum of what all use; whether Redis still knows of all that this gateway has reported."""
        own = self.advance(now)
        # Redis sums what all have reported: less than our own part means that it has lost some.
        if self.span and used < own - sum(self.pending.values()):
            return False
        self.others, self.others_at = max(0, used - own), now
        return True

    def on_news(self, used: int, now: int) -> None:
        """Take another gateway's sum of what all use, which may be a moment old."""
        self.others, self.others_at = max(0, used - self.advance(now)), now

    def full_again(self, now: int) -> float:
        """Seconds until nothing counts any more."""
        last = max(next(reversed(self.slots), 0), self.others_at if self.others else 0)
        return max(0.0, (last + self.span - now) / MICROSECONDS)

    def changes(self) -> list[tuple[int, int]]:
        """What is to be reported to Redis: differences by slot, or the sum of what is in flight; once."""
        changes = list(self.pending.items()) if self.span else [(0, self.own)]
        self.pending = {}
        return changes

    def wait_alone(self, amount: int, limit: int, now: int, redis: RedisCoordinator) -> float | None:
        """Seconds until this gateway alone may take an amount of a limit; None for at once."""
        own, most = self.advance(now), self._share(limit, now, redis)
        if own + amount <= most if self.span > _LONGEST_SHARED_ANEW else own < most:
            return None
        if not limit:
            return math.inf
        if not self.span:
            return 0.0
        anew = redis.lost_at + self.span
        for slot, taken in self.slots.items():
            own -= taken
            if own < most:
                over = slot + self.span
                return (min(over, anew) if anew > now else over) / MICROSECONDS - now / MICROSECONDS
        return max(MICROSECONDS, anew - now) / MICROSECONDS

    def _share(self, limit: int, now: int, redis: RedisCoordinator) -> float:
        """What this gateway alone may have of a limit."""
        share = limit / redis.instances
        is_dealt_anew = self.span <= _LONGEST_SHARED_ANEW
        if is_dealt_anew and now >= redis.lost_at + (self.span or _PATIENCE):
            return share
        if self._loss[0] != redis.losses:
            mine = self.advance(now) + max(0, limit - self.used(now)) / redis.instances
            self._loss = (redis.losses, min(share, mine) if is_dealt_anew else mine)
        return self._loss[1]


class RedisCounters:
    """The counters of all gateways on one Redis. Only ``take``, ``read``, ``clear`` and ``forget`` wait for it."""

    tick = math.inf  # see ``Participant.tick``: every change is reported

    def __init__(self, redis: RedisCoordinator, *, fail_closed: bool = False) -> None:
        self._redis = redis  # the way to it
        self._start = f"{redis.prefix}m:"
        self._fail_closed = fail_closed  # whether nothing is taken while it is lost
        self._counts: dict[str, SharedCount] = {}  # by the name of its hash
        self._dirty: dict[str, None] = {}
        self._most = _MOST_COUNTS
        self._restored: dict[Counter, dict[int, int]] = {}  # what the ledger remembers, by slot
        redis.join(self)

    @property
    def health(self) -> str:
        """See ``MemoryCounters.health``."""
        return self._redis.health

    async def take(self, demands: Sequence[Demand]) -> list[Charge] | list[Shortfall]:
        """See ``MemoryCounters.take``: one call, and alone when Redis does not answer it.

        Raises:
            StateUnavailable: It does not, and that is not to be.
        """
        shared = [one for one in demands if one.counter.seconds or one.counter.limit is not None]
        asked: list[int] = []
        for counter, amount in shared:
            limit = -1 if counter.limit is None else counter.limit
            asked += [limit, amount, _span(counter), _grain(counter)]
        args = (self._redis.instance, self._redis.channel, packed(asked))
        call = RedisCall("take", self._keys([counter for counter, _ in shared]), args)
        try:
            return await self._redis.call(call, partial(self._read_take, demands, shared), self._undo)
        except Lost:
            if self._fail_closed:
                msg = "The gateway cannot reach its Redis, so nothing is answered. Try again in a moment."
                raise StateUnavailable(msg, retry_after=1.0) from None
            return self._take_alone(demands)

    def add(self, counter: Counter, amount: int = 1) -> Charge:
        """See ``MemoryCounters.add``."""
        slot = _slot(counter, self._redis.now())
        self._count(counter).add_pending(slot, amount)
        self._mark(counter)
        return Charge(counter, amount, slot)

    def change(self, charge: Charge, amount: int) -> None:
        """See ``MemoryCounters.change``."""
        count = self._count(charge.counter)
        if (difference := amount - charge.amount) and count.correct(charge.place, difference, self._redis.now()):
            self._mark(charge.counter)
        charge.amount = amount

    def use(self, counter: Counter) -> Use:
        """See ``MemoryCounters.use``."""
        count, now = self._counts.get(f"{self._start}{counter.id}"), self._redis.now()
        used = count.used(now) if count is not None else 0
        return Use(used, count.full_again(now) if count is not None and used and count.span else 0.0)

    async def read(self, counters: Sequence[Counter]) -> None:
        """See ``MemoryCounters.read``."""
        shared = [counter for counter in counters if counter.seconds or counter.limit is not None]
        call = RedisCall("read", self._keys(shared), [_span(counter) for counter in shared])

        def learn(reply: Any) -> None:
            for counter, used, last in zip(shared, reply[1::2], reply[2::2], strict=True):
                self._learn(counter, used, reply[0]).others_at = last or reply[0]

        with suppress(Lost):
            await self._redis.call(call, learn)

    async def clear(self, period: str) -> int:
        """See ``MemoryCounters.clear``."""
        now = self._redis.now()
        names = {name for name, count in self._counts.items() if name.endswith(f"/{period}") and count.used(now)}
        # Twice: see ``_wipe``.
        for _ in range(2):
            names |= await self._wipe("clear", period, f"*/{period}") or set()
        return len({scope_of(name) for name in names})

    async def forget(self, scope: str) -> bool:
        """See ``MemoryCounters.forget``."""
        escaped = re.sub(r"([*?\[\]\\])", r"\\\1", scope)
        return None not in [await self._wipe("forget", scope, f"{escaped}/*") for _ in range(2)]

    async def _wipe(self, kind: str, what: str, pattern: str) -> set[str] | None:
        # Delete counters in Redis and at all gateways; which had something to forget, None if Redis is away.
        # To be done twice: a gateway that the news has not reached reports anew what is gone from Redis.
        self.on_news(kind, what)
        await self._redis.publish(kind, what)
        await asyncio.sleep(_NEWS_SECONDS)
        is_meant = _IS_MEANT[kind]
        return await self._redis.delete(
            self._start + pattern, lambda name: is_meant(name.removeprefix(self._start), what)
        )

    def restore(self, counter: Counter, amount: int, age: float = 0.0) -> None:
        """See ``MemoryCounters.restore``: reported to a Redis that knows nothing yet; any other knows."""
        slot = _slot(counter, self._redis.now() - int(age * MICROSECONDS))
        slots = self._restored.setdefault(counter, {})
        slots[slot] = slots.get(slot, 0) + amount
        count = self._count(counter)
        count.others += amount
        count.others_at = max(count.others_at, slot)

    async def close(self) -> None:
        """See ``MemoryCounters.close``."""
        await self._redis.close()

    # As a participant

    def on_loss(self) -> None:
        """See ``Participant.on_loss``: each counter's share is computed when it is asked for."""

    def snapshot(self) -> list[RedisCall]:
        """See ``Participant.snapshot``."""
        now, channel = self._redis.now(), self._redis.channel
        calls = []
        for name, count in self._counts.items():
            if count.advance(now) or not count.span:
                count.pending.clear()
                amounts = [value for slot in count.slots.items() for value in slot] if count.span else [0, count.own]
                keys = [self._redis.live_key, name, f"{name}:t"]
                calls.append(RedisCall("replace", keys, [self._redis.instance, channel, count.span, *amounts]))
        for counter, slots in self._restored.items() if self._redis.is_new else ():
            amounts = [value for slot in slots.items() for value in slot]
            calls.append(RedisCall("replace", self._keys([counter]), ["ledger", channel, _span(counter), *amounts]))
        self._restored.clear()
        return calls

    def changes(self) -> list[RedisCall]:
        """See ``Participant.changes``."""
        dirty, self._dirty = list(self._dirty), {}
        calls = []
        for start in range(0, len(dirty), _CHUNK):
            keys: list[str] = [self._redis.live_key]
            args: list[str | int] = [self._redis.instance, self._redis.channel]
            for name in dirty[start : start + _CHUNK]:
                count = self._counts[name]
                for slot, amount in count.changes():
                    keys += [name, f"{name}:t"]
                    args += [count.span, slot, amount]
            calls.append(RedisCall("change", keys, args))
        return calls

    def on_reply(self, call: RedisCall, reply: Any) -> None:
        """See ``Participant.on_reply``."""
        last_used = dict(zip(call.keys[1::2], reply[1:], strict=True))  # of several changes of one counter
        for name, used in last_used.items():
            if name in self._counts and not self._counts[name].learn(used, reply[0]):
                self._redis.has_forgotten()

    def on_news(self, kind: str, news: Any) -> None:
        """See ``Participant.on_news``."""
        if is_meant := _IS_MEANT.get(kind):
            for name, count in list(self._counts.items()):
                if count.span and is_meant(name.removeprefix(self._start), news):
                    # What was not reported yet is forgotten with it.
                    self._dirty.pop(name, None)
                    del self._counts[name]
        elif kind == "used" and self._redis.state != "lost":
            now = self._redis.now()
            for name, used, span in zip(news[::3], news[1::3], news[2::3], strict=True):
                self._named(name, int(span)).on_news(int(used), now)

    # How it is kept

    def _keys(self, counters: Sequence[Counter]) -> list[str]:
        names = [f"{self._start}{counter.id}" for counter in counters]
        return [self._redis.live_key, *(key for name in names for key in (name, f"{name}:t"))]

    def _count(self, counter: Counter) -> SharedCount:
        return self._named(f"{self._start}{counter.id}", _span(counter))

    def _named(self, name: str, span: int) -> SharedCount:
        count = self._counts.get(name)
        if count is None:
            if len(self._counts) >= self._most:
                now = self._redis.now()
                self._counts = {one: of for one, of in self._counts.items() if of.used(now) or one in self._dirty}
                self._most = max(_MOST_COUNTS, 2 * len(self._counts))
            count = self._counts[name] = SharedCount(span)
        return count

    def _read_take(
        self, demands: Sequence[Demand], shared: Sequence[Demand], reply: Any
    ) -> list[Charge] | list[Shortfall]:
        # Charges or shortfalls by the reply to a take; remembered before anything else is asked.
        now = reply[1]
        if not reply[0]:
            shortfalls = []
            for place, used, wait in zip(reply[2::3], reply[3::3], reply[4::3], strict=True):
                counter = shared[place - 1].counter
                self._learn(counter, used, now)
                never = wait < 0 or not counter.limit
                shortfalls.append(Shortfall(counter, math.inf if never else wait / MICROSECONDS))
            return shortfalls
        charges = []
        for counter, amount in demands:
            charges.append(Charge(counter, amount, _slot(counter, now)))
            self._count(counter).add(charges[-1].place, amount)
        for (counter, _), used in zip(shared, reply[2:], strict=True):
            self._learn(counter, used, now)
        return charges

    def _learn(self, counter: Counter, used: int, now: int) -> SharedCount:
        count = self._count(counter)
        if not count.learn(used, now):
            self._redis.has_forgotten()
        return count

    def _undo(self, got: list[Charge] | list[Shortfall]) -> None:
        # Give back what was taken for a caller that has gone meanwhile.
        for charge in got:
            if isinstance(charge, Charge):
                self.change(charge, 0)

    def _take_alone(self, demands: Sequence[Demand]) -> list[Charge] | list[Shortfall]:
        now = self._redis.now()
        shortfalls = []
        for counter, amount in demands:
            if counter.limit is not None:
                wait = self._count(counter).wait_alone(amount, counter.limit, now, self._redis)
                if wait is not None:
                    shortfalls.append(Shortfall(counter, wait))
        return shortfalls or [self.add(counter, amount) for counter, amount in demands]

    def _mark(self, counter: Counter) -> None:
        if counter.seconds or counter.limit is not None:
            self._dirty[f"{self._start}{counter.id}"] = None
            self._redis.changed()


def _span(counter: Counter) -> int:
    return int(counter.seconds * MICROSECONDS)


def _grain(counter: Counter) -> int:
    # The length of a slot in µs; 1 keeps every time.
    if counter.grain:
        return int(counter.grain * MICROSECONDS)
    if counter.limit is None:
        return max(1, _span(counter) // _PARTS_SHOWN)
    return 1 if counter.limit <= _EXACT else max(1, _span(counter) // _PARTS)


def _slot(counter: Counter, now: int) -> int:
    # The end of the slot of a moment; what is in flight has only one.
    if not counter.seconds:
        return 0
    grain = _grain(counter)
    return now // grain * grain + grain - 1
