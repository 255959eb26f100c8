"""Which key can start a request now, and what its answer or failure means for the key."""

# The pool leases; it does not wait (that is ``queue``) and does not talk to providers (that is ``upstream``). What
# counts against a limit is kept by ``windows``; a circuit breaker per key and model is kept by the key.

from __future__ import annotations

import math
import time
from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from jupyter_server_ext.errors import ModelNotServed
from jupyter_server_ext.keys.key import STATES, CircuitBreaker, Key, Keyring, Rate, window_of
from jupyter_server_ext.keys.windows.memory import MemoryWindows
from jupyter_server_ext.keys.windows.usage import Cost, Grant, Offer, Refused, Reservation, Unit, WindowSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jupyter_server_ext.config import KeySettings
    from jupyter_server_ext.messages import TokenUsage, Used


class KeysBusy(NamedTuple):
    """No key can start now."""

    wait: float  # seconds until one can; infinite when waiting does not help
    reason: str  # why not now, for people
    key: str = ""  # the key that will be first
    too_large: bool = False  # whether the request is more than any key allows at all


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
        """The provider has begun to answer; ``rates`` are the limits in its headers."""
        windows, now = self._pool.windows, self._pool.clock()
        windows.counted(self.grant, now)
        if seen := [one for rate in rates if (one := window_of(self.grant, rate))]:
            windows.observe(self.grant, seen, now)

    def settle(self, usage: TokenUsage | None) -> None:
        """The request is over; without a usage, what was reserved is taken as used."""
        known = usage and Cost(usage.prompt_tokens, usage.completion_tokens, known=not usage.estimated)
        self._give_back(known or self.grant.cost)

    def unused(self) -> None:
        """The request was never sent."""
        self._give_back(None)

    def _give_back(self, cost: Cost | None) -> None:
        if not self._open:
            return
        self._open = False
        self._pool.windows.settle(self.grant, cost, self._pool.clock())
        circuit = self.key.circuits.get(self.model)
        if circuit is not None and circuit.probe is self:
            circuit.probe = None
        self._pool.changed()


class KeyPool:
    """All keys, and their rate windows.

    Example:
        >>> from jupyter_server_ext.config.settings import KeySettings, Secret
        >>> KeyPool([KeySettings("groq", Secret("gsk_0123456789a1b2"), base_url="http://127.0.0.1/v1")])
        <KeyPool 1 ready>
    """

    def __init__(
        self,
        keys: Iterable[KeySettings],  # their settings, presets filled in
        *,
        windows: MemoryWindows | None = None,  # where limits are counted
        clock: Callable[[], float] = time.monotonic,  # seconds, never going back
        at_once: int | None = None,  # requests in flight with all keys together; None is unlimited
    ) -> None:
        self.clock = clock
        self.windows: MemoryWindows = windows or MemoryWindows(clock=clock)
        self.on_change: list[Callable[[], None]] = []  # called when a request that waits may start
        self.keys = Keyring(clock, self.changed, at_once=at_once)
        self._leased = 0
        self.keys.configure(keys)

    def __repr__(self) -> str:
        now = self.clock()
        states = [key.state(self.windows, now) for key in self.keys]
        longest = max((until - now for state, until in states if state == "cooling"), default=0.0)
        counts = {name: sum(state == name for state, _ in states) for name in STATES}
        words = [f"{n} {name}" + f" {longest:.0f}s" * (name == "cooling") for name, n in counts.items() if n]
        return f"<KeyPool {', '.join(words) or 'no keys'}>"

    def status(self) -> dict[str, Any]:
        """Keys by state, and each key's windows; no key text."""
        now = self.clock()
        rows = [key.status(self.windows, now) for key in self.keys]
        return {"by_state": {name: sum(row["state"] == name for row in rows) for name in STATES}, "list": rows}

    def restore(self, used: Iterable[Used], unix: float) -> None:
        """Count what was used, oldest first, before this process started; ``unix`` is Unix time now."""
        now = self.clock()
        for row in used:
            key = self.keys.in_entry(row.key)
            cost = Cost(row.prompt_tokens, row.completion_tokens, known=True)
            for spec in key.offer(row.model).windows if key is not None else ():
                amount = row.requests if spec.unit == "requests" else cost.of(spec.unit)
                self.windows.restore(spec, amount, now - max(0.0, unix - row.at), now)

    async def lease(
        self,
        model: str,
        cost: Cost,
        avoid: frozenset[str] = frozenset(),  # public ids of keys that are not to be used
        reservations: Sequence[Reservation] = (),  # what the heads of queues wait for
        caller: str = "",
    ) -> Lease | KeysBusy:
        """Take what a request costs from the key that can start it now and has most headroom left.

        Raises:
            UnknownModel: No key is meant for this model.
        """
        now = self.clock()
        ready, available, reason = self._ready(model, avoid, now)
        turn = self._leased % len(ready) if ready else 0
        in_turn = ready[turn:] + ready[:turn]  # of those with equal headroom the first is taken
        got: Grant | Refused = Refused(math.inf)
        if ready:
            offers = [key.offer(model) for key in in_turn]
            got = await self.windows.take(offers, cost, now, reservations, caller)
        if isinstance(got, Refused):
            if available - now < got.wait:
                return KeysBusy(available - now, reason)
            too_large = bool(ready) and math.isinf(got.wait)
            return KeysBusy(got.wait, "all keys are at their limits" if ready else reason, got.key, too_large)
        key = next(key for key in ready if key.id == got.key)
        lease = Lease(self, key, model, got)
        self._leased += 1
        circuit = key.circuits.get(model)
        if circuit is not None and circuit.failures:
            circuit.probe = lease
        return lease

    def is_cooling(self, model: str) -> bool:
        """Whether every key that could serve ``model`` cools down."""
        now = self.clock()
        return all(key.available_at(model, now) > now for key in self.keys.usable(model))

    def is_failing(self, model: str) -> bool:
        """Whether every key that could serve ``model`` has failed again and again, for no limit."""
        now = self.clock()
        circuits = [(key.available_at(model, now), key.circuits.get(model)) for key in self.keys.usable(model)]
        return all(at > now and one is not None and one.failures > 1 and not one.is_limited for at, one in circuits)

    def failing(self, model: str) -> str:
        """Why every key that could serve ``model`` rests, where it is for no limit: the reason of the next to be back.

        Empty where one is ready, or rests for a limit.
        """
        now = self.clock()
        resting = [(key.available_at(model, now), key.circuits.get(model)) for key in self.keys.usable(model)]
        if not all(at > now and one is not None and one.reason and not one.is_limited for at, one in resting):
            return ""
        return min(((at, one.reason) for at, one in resting if one is not None), default=(0.0, ""))[1]

    def answered(self, lease: Lease) -> None:
        """Close the circuit of a key that has given content."""
        circuit = lease.key.circuits.get(lease.model)
        if circuit is not None and circuit.failures:
            circuit.close(lease.at)
            self.changed()

    def cool_down(self, lease: Lease, seconds: float | None, reason: str, *, group: bool = False) -> None:
        """Let the lease's key cool down for its model, or all keys of its quota group.

        ``seconds`` None is longer each time; ``reason`` is for the status page.
        """
        now = self.clock()
        for key in self.keys:
            if key is lease.key or (group and key.group == lease.key.group):
                circuit = key.circuits.setdefault(lease.model, CircuitBreaker())
                circuit.cool_down(lease.at, now, seconds, reason)

    def on_rate_limit(self, lease: Lease, seconds: float | None, unit: Unit | None, per: float | None) -> None:
        """Learn from a provider's refusal for a limit that by our count was not reached.

        The seconds to wait, the limit's unit and the length ``per`` of its window are None where it did not name them.
        """
        now = self.clock()
        self.cool_down(lease, seconds, "rate_limit", group=True)
        windows = [spec for spec in lease.grant.windows if spec.unit != "concurrent"]
        named = [w for w in windows if w.unit == unit and (len(windows) == 1 or per is None or w.seconds == per)]
        reports = self.windows.report(named or windows, now)
        fullest = max(reports, key=lambda name: reports[name].used / reports[name].limit, default=None)
        # The limit of a window that is not even half full was hardly the one that was reached.
        if fullest is not None and (named or reports[fullest].used * 2 >= reports[fullest].limit):
            self.windows.on_refusal(lease.grant, fullest, now)

    def refuse_model(self, lease: Lease, seconds: float) -> None:
        """Do not use the key for the lease's model for so long, as it has no access to it."""
        lease.key.without[lease.model] = self.clock() + seconds

    def candidates(self, model: str, avoid: frozenset[str] = frozenset()) -> list[tuple[float, Offer]]:
        """The keys for a model: seconds until each may be used, and its windows; of keys with the same windows, one."""
        now = self.clock()
        found: dict[tuple[WindowSpec, ...], tuple[float, Offer]] = {}
        for key in self.keys.usable(model):
            if key.id not in avoid:
                one = max(0.0, key.available_at(model, now) - now), key.offer(model)
                found[one[1].windows] = min(found.get(one[1].windows, one), one, key=itemgetter(0))
        return list(found.values())

    def counts_tokens(self, model: str) -> bool:
        """Whether what a request can start with depends on how large it is."""
        return any(limit.unit != "requests" for key in self.keys.usable(model) for limit in key.settings.limits)

    def _ready(self, model: str, avoid: frozenset[str], now: float) -> tuple[list[Key], float, str]:
        # The keys that can be used now, and when the first of those that cool down comes back, and why it is away.
        meant = list(self.keys.meant_for(model))
        if not meant:
            raise ModelNotServed(
                f"No key serves the model '{model}'. GET v1/models lists those that are.", param="model"
            )
        ready: list[Key] = []
        available, reason = math.inf, ""
        for key in meant:
            if key.id in avoid or key.bar(model, now):
                continue
            at = key.available_at(model, now)
            if at <= now:
                ready.append(key)
            elif at < available:
                available, reason = at, key.circuits[model].reason
        if not ready and not reason:
            bars = Counter(key.bar(model, now) or "tried" for key in meant)
            reason = f"no key can be used ({', '.join(f'{number} {bar}' for bar, number in bars.items())})"
        return ready, available, reason

    def changed(self) -> None:
        """There may be room for a request that waits."""
        for tell in self.on_change:
            tell()
