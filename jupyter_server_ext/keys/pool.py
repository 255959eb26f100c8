"""All keys: which can start a request now, which must rest, which are gone.

The pool leases; it does not wait (that is ``queue``) and does not talk to providers (that is ``upstream``). What counts
against a limit is kept by ``storage``; whether a key is healthy is kept here, per key and model.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from itertools import chain, count
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from jupyter_server_ext.errors import BadRequest, UnknownModel
from jupyter_server_ext.keys.key import STATES, CircuitBreaker, Key, Rate, limit_row, window_of
from jupyter_server_ext.keys.windows.base import Cost, Grant, Offer, Refused, Reservation, WindowSpec
from jupyter_server_ext.keys.windows.memory import MemoryWindows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jupyter_server_ext.config import KeySettings
    from jupyter_server_ext.keys.key import State
    from jupyter_server_ext.keys.windows.base import Unit, Windows
    from jupyter_server_ext.ledger import Used
    from jupyter_server_ext.messages import Usage

_LONG_WINDOW = 600.0  # a key whose window of this length or more is full is exhausted rather than busy


class Busy(NamedTuple):
    """No key can start now.

    Args:
        wait: Seconds until one can; infinite when waiting does not help.
        reason: Why not now, for people.
        key: The key that will be first.
        too_large: Whether the request is more than any key allows at all.
    """

    wait: float
    reason: str
    key: str = ""
    too_large: bool = False


class Lease:
    """The right to send one request with one key, to be given back with ``settle`` or ``unused``; twice is harmless."""

    __slots__ = ("_open", "_pool", "at", "grant", "key", "model")

    def __init__(self, pool: KeyPool, key: Key, model: str, grant: Grant) -> None:
        self._pool = pool
        self._open = True
        self.key = key
        self.model = model
        self.grant = grant
        self.at = grant.at

    def sent(self) -> None:
        """The request is on its way."""
        self._pool.windows.sent(self.grant, self._pool.clock())

    def counted(self, rates: Iterable[Rate] = ()) -> None:
        """The provider has begun to answer; ``rates`` is what its headers told."""
        self._pool.counted(self, rates)

    def seconds(self) -> float:
        """How long it has been held."""
        return self._pool.clock() - self.at

    def settle(self, usage: Usage | None) -> None:
        """The request is over; without a usage, what was reserved is taken as used."""
        if self._open:
            self._open = False
            self._pool.give_back(self, self.grant.cost if usage is None else _cost_of(usage))

    def unused(self) -> None:
        """The request was never sent."""
        if self._open:
            self._open = False
            self._pool.give_back(self, None)


class KeyPool:
    """All keys.

    Args:
        keys: Their settings, presets filled in.
        windows: Where limits are counted.
        clock: Seconds, never going back.
        at_once: Requests under way with all keys together; None is unlimited.

    Example:
        >>> from jupyter_server_ext.config.settings import KeySettings, Secret
        >>> KeyPool([KeySettings("groq", Secret("gsk_0123456789a1b2"), base_url="http://127.0.0.1/v1")])
        <KeyPool 1 ready>
    """

    def __init__(
        self,
        keys: Iterable[KeySettings],
        *,
        windows: Windows | None = None,
        clock: Callable[[], float] = time.monotonic,
        at_once: int | None = None,
    ) -> None:
        self.clock = clock
        self._shared = () if at_once is None else (WindowSpec("//concurrent", "concurrent", at_once),)
        self.windows: Windows = windows or MemoryWindows(clock=clock)
        self.on_change: list[Callable[[], None]] = []  # called when a request that waits may start
        self._keys: dict[str, Key] = {}
        self._leased = 0
        self.configure(keys)

    def __repr__(self) -> str:
        now = self.clock()
        states = [self._state(key, now) for key in self._keys.values()]
        longest = max((until - now for state, until in states if state == "cooling"), default=0.0)
        counts = {name: sum(state == name for state, _ in states) for name in STATES}
        words = [f"{n} {name}" + f" {longest:.0f}s" * (name == "cooling") for name, n in counts.items() if n]
        return f"<KeyPool {', '.join(words) or 'no keys'}>"

    def configure(self, keys: Iterable[KeySettings]) -> None:
        """Have exactly these keys. Those there are already keep their name, health and counts; requests go on."""
        wanted = {_identity(settings): settings for settings in keys}
        for key in self.all():
            settings = wanted.pop(_identity(key.settings), None)
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

    def get(self, key: str) -> Key:
        """The key with this public id.

        Raises:
            BadRequest: There is none.
        """
        found = self._keys.get(key)
        if found is None:
            raise BadRequest(f"There is no key '{key}'.", param="key", status=404)
        return found

    def pause(self, key: str) -> None:
        """Start nothing new with this key; what is under way goes on."""
        self.get(key).paused = True

    def resume(self, key: str) -> None:
        """Use a paused, resting or retired key again."""
        found = self.get(key)
        found.paused, found.retired, found.retired_by_hand = False, "", False
        found.health.clear()
        found.without.clear()
        self._changed()

    def revive(self, key: str) -> None:
        """A check has found the key to work: what a person decided about it stays, and so does a limit's rest.

        Whether it answers questions a check does not tell, so after failures one request tries it before the others.
        """
        found = self.get(key)
        if not found.paused and not found.retired_by_hand:
            known, now = dict(found.health), self.clock()
            self.resume(key)
            found.health.update(known)
            for health in known.values():
                if not health.is_limited:
                    health.until = min(health.until, now)
            self._changed()

    def retire(self, key: str, reason: str, *, by_hand: bool = True) -> None:
        """Never use this key again, unless it is resumed, or a check finds it to work and nobody retired it by hand."""
        found = self.get(key)
        found.retired, found.retired_by_hand = reason, by_hand
        self._changed()

    def remove(self, key: str) -> None:
        """Forget a key; what is under way goes on."""
        del self._keys[self.get(key).id]
        self._changed()

    def restore(self, used: Iterable[Used], unix: float) -> None:
        """Count what was used before this process started.

        Args:
            used: Oldest first.
            unix: Unix time now.
        """
        now = self.clock()
        for row in used:
            key = self._keys.get(row.key) or self._formerly(row.key)
            cost = Cost(row.prompt_tokens, row.completion_tokens, known=True)
            for spec in key.offer(row.model).windows if key is not None else ():
                amount = row.requests if spec.unit == "requests" else cost.of(spec.unit)
                self.windows.restore(spec, amount, now - max(0.0, unix - row.at), now)

    def _formerly(self, public: str) -> Key | None:
        """The key of an entry of older versions, whose public ids ended in the last letters of the secret."""
        name, _, letters = public.partition(" …")
        key = self._keys.get(name)
        return key if letters and key is not None and key.settings.key.reveal().endswith(letters) else None

    def allow_at_once(self, at_once: int | None) -> None:
        """Let so many requests be under way with all keys together; None is unlimited."""
        self._shared = () if at_once is None else (WindowSpec("//concurrent", "concurrent", at_once),)
        for key in self.all():
            key.shared = self._shared
            key.offers.clear()
        self._changed()

    def longest_window(self) -> float:
        """Seconds for which a request can count; 0 where nothing is limited."""
        return max((limit.seconds for key in self.all() for limit in key.settings.limits), default=0.0)

    def unwell(self) -> list[Key]:
        """Keys that rest for no limit, or that a provider refused: those that a check may bring back."""
        now = self.clock()
        return [
            key
            for key in self.all()
            if (key.retired and not key.retired_by_hand)
            or any(health.until > now and not health.is_limited for health in key.health.values())
        ]

    def all(self) -> list[Key]:
        """All keys, also those not in use."""
        return list(self._keys.values())

    def at_address(self, base_url: str) -> frozenset[str]:
        """Public ids of the keys of one address."""
        return frozenset(key.id for key in self._keys.values() if key.settings.base_url == base_url)

    def models(self) -> list[str]:
        """Models that keys are configured for, in the order of configuration."""
        return list(dict.fromkeys(model for key in self._keys.values() for model in key.settings.models))

    def serves(self, model: str) -> bool:
        """Whether any key, usable or not, is meant for ``model``."""
        return any(key.serves(model) for key in self._keys.values())

    async def lease(
        self,
        model: str,
        cost: Cost,
        avoid: frozenset[str] = frozenset(),
        claims: Sequence[Reservation] = (),
        caller: str = "",
    ) -> Lease | Busy:
        """Take what a request costs from the key that can start it now and has most headroom left.

        Args:
            model: The model asked for.
            cost: Tokens reserved.
            avoid: Public ids of keys that are not to be used.
            claims: What those before it wait for.
            caller: Whose request it is.

        Raises:
            UnknownModel: No key is meant for this model.
        """
        now = self.clock()
        offers, opens, reason = self._offers(model, avoid, now)
        turn = self._leased % len(offers) if offers else 0
        in_turn = offers[turn:] + offers[:turn]  # of those with equal headroom the first is taken
        got: Grant | Refused = Refused(math.inf)
        if offers:
            got = await self.windows.take(in_turn, cost, now, claims, caller)
        if isinstance(got, Refused):
            if opens - now < got.wait:
                return Busy(opens - now, reason)
            too_large = bool(offers) and math.isinf(got.wait)
            return Busy(got.wait, "all keys are at their limits" if offers else reason, got.key, too_large)
        key = self._keys[got.key]
        lease = Lease(self, key, model, got)
        self._leased += 1
        health = key.health.get(model)
        if health is not None and health.failures:
            health.trial = lease
        return lease

    def is_cooling(self, model: str) -> bool:
        """Whether every key that could serve ``model`` rests."""
        now = self.clock()
        return all(key.opens(model, now) > now for key in self._usable(model))

    def is_failing(self, model: str) -> bool:
        """Whether every key that could serve ``model`` has failed again and again, for no limit."""
        now = self.clock()
        return all(key.opens(model, now) > now and key.health[model].is_failing for key in self._usable(model))

    def counted(self, lease: Lease, rates: Iterable[Rate]) -> None:
        """See ``Lease.counted``."""
        now = self.clock()
        self.windows.counted(lease.grant, now)
        if seen := [told for rate in rates if (told := window_of(lease.grant, rate))]:
            self.windows.observe(lease.grant, seen, now)

    def give_back(self, lease: Lease, cost: Cost | None) -> None:
        """See ``Lease.settle`` and ``Lease.unused``."""
        self.windows.settle(lease.grant, cost, self.clock())
        health = lease.key.health.get(lease.model)
        if health is not None and health.trial is lease:
            health.trial = None
        self._changed()

    def answered(self, lease: Lease) -> None:
        """The key has given content: it is healthy."""
        health = lease.key.health.get(lease.model)
        if health is not None and health.failures:
            health.recover(lease.at)
            self._changed()

    def rest(self, lease: Lease, seconds: float | None, reason: str, *, group: bool = False) -> None:
        """Let the lease's key rest for its model, or all keys of its quota group.

        Args:
            lease: The request that failed.
            seconds: How long; None is longer each time.
            reason: Why, for the status page.
            group: Whether what failed is shared by the quota group.
        """
        now = self.clock()
        for key in self._keys.values():
            if key is lease.key or (group and key.group == lease.key.group):
                key.health.setdefault(lease.model, CircuitBreaker()).rest(lease.at, now, seconds, reason)

    def limited(self, lease: Lease, seconds: float | None, unit: Unit | None, per: float | None) -> None:
        """The provider refused for a limit that by our count was not reached.

        Args:
            lease: The request that was refused.
            seconds: How long to wait, if the provider said.
            unit: Which limit it was, if the provider said.
            per: The length of its window, if the provider said.
        """
        now = self.clock()
        self.rest(lease, seconds, "rate_limit", group=True)
        window = self._suspect(lease.grant, unit, per, now)
        if window is not None:
            self.windows.on_refusal(lease.grant, window, now)

    def _suspect(self, grant: Grant, unit: Unit | None, per: float | None, now: float) -> str | None:
        """The window whose limit is lower than believed: the one named, else the fullest if it is half full."""
        windows = [spec for spec in grant.windows if spec.unit != "concurrent"]
        named = [w for w in windows if w.unit == unit and (len(windows) == 1 or per is None or w.seconds == per)]
        reports = self.windows.report(named or windows, now)
        fullest = max(reports, key=lambda name: reports[name].used / reports[name].limit, default=None)
        if fullest is None:
            return None
        half_full = reports[fullest].used * 2 >= reports[fullest].limit
        return fullest if named or half_full else None

    def refuse_model(self, lease: Lease, seconds: float) -> None:
        """The key has no access to the lease's model for now."""
        lease.key.without[lease.model] = self.clock() + seconds

    def status(self) -> dict[str, Any]:
        """Keys by state, and each key's windows; no key text."""
        now = self.clock()
        states = [(key, *self._state(key, now)) for key in self._keys.values()]
        by_state = {name: sum(state == name for _, state, _ in states) for name in STATES}
        return {"by_state": by_state, "list": [self._row(key, state, until, now) for key, state, until in states]}

    def ways(self, model: str, avoid: frozenset[str] = frozenset()) -> list[tuple[float, Offer]]:
        """The keys for a model: seconds until each may be used, and its windows; of keys with the same windows, one."""
        now = self.clock()
        ways: dict[tuple[WindowSpec, ...], tuple[float, Offer]] = {}
        for key in self._usable(model):
            if key.id not in avoid:
                way = max(0.0, key.opens(model, now) - now), key.offer(model)
                ways[way[1].windows] = min(ways.get(way[1].windows, way), way, key=itemgetter(0))
        return list(ways.values())

    def counts_tokens(self, model: str) -> bool:
        """Whether what a request can start with depends on how large it is."""
        return any(limit.unit != "requests" for key in self._usable(model) for limit in key.settings.limits)

    def claim(self, model: str, cost: Cost, key: str, by: float) -> Reservation | None:
        """What a request needs that waits for ``key``; None where it is not windows that it waits for."""
        if key not in self._keys:
            return None
        windows = [spec for spec in self._keys[key].offer(model).windows if spec.unit != "concurrent"]
        return Reservation({spec.id: cost.part(spec.unit, spec.amount)[0] for spec in windows}, by)

    def _offers(self, model: str, avoid: frozenset[str], now: float) -> tuple[list[Offer], float, str]:
        """What usable keys offer, and when and why the first of those that rest comes back."""
        offers: list[Offer] = []
        opens, reason = math.inf, ""
        meant = False
        for key in self._keys.values():
            if not key.serves(model):
                continue
            meant = True
            if key.paused or key.retired or key.id in avoid or key.without.get(model, now) > now:
                continue
            at = key.opens(model, now)
            if at <= now:
                offers.append(key.offer(model))
            elif at < opens:
                opens, reason = at, key.health[model].reason
        if not meant:
            raise UnknownModel(f"No key serves the model '{model}'. GET v1/models lists those that are.", param="model")
        return offers, opens, reason or ("" if offers else self._why_none(model, now))

    def _why_none(self, model: str, now: float) -> str:
        """What keeps every key from being used, without naming one."""
        bars = Counter(_bar(key, model, now) for key in self._keys.values() if key.serves(model))
        return f"no key can be used ({', '.join(f'{number} {bar}' for bar, number in bars.items())})"

    def _usable(self, model: str) -> Iterator[Key]:
        now = self.clock()
        for key in self._keys.values():
            if key.serves(model) and not key.paused and not key.retired and key.without.get(model, now) <= now:
                yield key

    def _state(self, key: Key, now: float) -> tuple[State, float]:
        if key.retired:
            return "retired", math.inf
        if key.paused:
            return "paused", math.inf
        until = max((health.until for health in key.health.values()), default=-math.inf)
        if until > now:
            return "cooling", until
        full = self._full_until(key, now)
        return ("exhausted", full) if full > now else ("ready", now)

    def _full_until(self, key: Key, now: float) -> float:
        """When the last of its full long windows has room again."""
        windows = [spec for spec in key.windows().values() if spec.seconds >= _LONG_WINDOW]
        return max((now + row.wait for row in self.windows.report(windows, now).values()), default=now)

    def _row(self, key: Key, state: State, until: float, now: float) -> dict[str, Any]:
        windows = key.windows()
        reports = self.windows.report(list(windows.values()), now)
        row: dict[str, Any] = {
            "key": key.id,
            "provider": key.settings.provider,
            "quota_group": key.settings.quota_group or None,
            "state": state,
            "limits": [limit_row(windows[name], report) for name, report in reports.items()],
        }
        if state in {"cooling", "exhausted"}:
            row["ready_in"] = round(max(0.0, until - now), 3)
        if reason := key.retired or next((h.reason for h in key.health.values() if h.until > now), ""):
            row["reason"] = reason
        if without := [model for model, until_then in key.without.items() if until_then > now]:
            row["without"] = without
        return row

    def made_room(self) -> None:
        """Others that share the keys have made room."""
        self._changed()

    def _changed(self) -> None:
        for tell in self.on_change:
            tell()


_RETIRED = {"credential": "not accepted by the provider"}


def _bar(key: Key, model: str, now: float) -> str:
    if key.retired:
        return _RETIRED.get(key.retired, "retired")
    if key.paused:
        return "paused"
    return "without this model" if key.without.get(model, now) > now else "tried"


def _identity(settings: KeySettings) -> tuple[object, ...]:
    """What makes a key of a new configuration the same as one that is there."""
    return settings.provider, settings.base_url, settings.key, settings.name, settings.models


def _cost_of(usage: Usage) -> Cost:
    return Cost(usage.prompt_tokens, usage.completion_tokens, known=not usage.estimated)
