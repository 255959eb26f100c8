"""A key with its circuit breaker per model, its windows and its headers' limits; and all keys by their public ids."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.keys.windows.usage import Grant, Observation, Offer, Unit, WindowSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jupyter_server_ext.config import KeySettings, Limit
    from jupyter_server_ext.keys.pool import Lease
    from jupyter_server_ext.keys.windows.memory import MemoryWindows

_FIRST_COOL_DOWN = 0.5  # seconds after a key's first failure; doubled with each further one
_LONGEST_COOL_DOWN = 15.0  # seconds, so that a provider that is back is soon noticed
_LEAST_AFTER_SEVERAL = 2.0  # seconds after several failures, whatever a provider names
_LONG_WINDOW = 600.0  # a key whose window of this length or more is full is exhausted rather than busy
_MOST_MODELS = 200  # whose offers a key remembers

State = Literal["ready", "cooling", "exhausted", "paused", "retired"]
STATES: tuple[State, ...] = get_args(State)


class Rate(NamedTuple):
    """One limit in a provider's headers."""

    unit: Unit  # what is limited
    limit: int  # how much
    remaining: int  # what is left of it
    reset: float | None = None  # seconds until it is full again, where they name it
    rounding: float = 0.01  # how far ``reset`` may be off
    seconds: float | None = None  # the length of the window where the provider's documentation says so


@dataclass(slots=True)
class CircuitBreaker:
    """Whether one key serves one model: it cools down until ``until``, then one half-open probe decides."""

    until: float = -math.inf
    failures: int = 0
    since: float = -math.inf  # when it failed last
    reason: str = ""
    probe: Lease | None = None

    def available_at(self) -> float:
        """When the next request may start: a probe that takes long keeps the others waiting only for so long."""
        if self.failures and self.probe is not None:
            return max(self.until, self.probe.at + _LONGEST_COOL_DOWN)
        return self.until

    @property
    def is_limited(self) -> bool:
        """Whether it cools down for a limit: only time ends that."""
        return self.reason in {"rate_limit", "quota_exhausted"}

    def cool_down(self, started: float, now: float, seconds: float | None, reason: str) -> None:
        """Open for so long, or for twice as long as after the last failure."""
        # Requests that were in flight together fail together; only the first of them counts.
        if started > self.since:
            self.failures += 1
            self.since = now
            self.reason = reason
            own = min(_LONGEST_COOL_DOWN, _FIRST_COOL_DOWN * 2 ** min(self.failures - 1, 10))
            # A time that a provider named is believed once; where it keeps naming too short ones, not for ever.
            least = min(own / 2, _LEAST_AFTER_SEVERAL) if self.failures > 1 else 0.0
            seconds = own if seconds is None else max(seconds, least)
        if seconds is not None:
            self.until = max(self.until, now + seconds)

    def close(self, started: float) -> None:
        """Close after the answer to a request that started after the last failure."""
        if started > self.since:
            self.until, self.failures, self.reason = -math.inf, 0, ""


@dataclass(slots=True)
class Key:
    """One key and its state."""

    settings: KeySettings  # what was configured, presets filled in
    id: str  # the public id, the only form in which the key appears anywhere
    shared: tuple[WindowSpec, ...] = ()  # windows that a request takes from whatever the key
    added: bool = False  # whether an administrator added it at run time
    paused: bool = False
    retired: str = ""  # why
    retired_by_hand: bool = False
    circuits: dict[str, CircuitBreaker] = field(default_factory=dict)  # by model
    without: dict[str, float] = field(default_factory=dict)  # models it has no access to, and until when that holds
    offers: dict[str, Offer] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The keys that share this one's limits."""
        return self.settings.quota_group or self.id

    def serves(self, model: str) -> bool:
        """Whether it is meant for this model."""
        return not self.settings.models or model in self.settings.models

    def bar(self, model: str, now: float) -> str:
        """What keeps it from being used for a model, in words; empty for nothing but a cool-down."""
        if self.retired:
            return "not accepted by the provider" if self.retired == "credential" else "retired"
        if self.paused:
            return "paused"
        return "without this model" if self.without.get(model, now) > now else ""

    def available_at(self, model: str, now: float) -> float:
        """When it may next be tried for this model."""
        circuit = self.circuits.get(model)
        return now if circuit is None else circuit.available_at()

    def offer(self, model: str) -> Offer:
        """The windows a request for ``model`` takes from."""
        offer = self.offers.get(model)
        if offer is None:
            if len(self.offers) >= _MOST_MODELS:  # callers name models freely where none are configured
                self.offers.clear()
            offer = self.offers[model] = Offer(self.id, (*self._windows(model), *self.shared))
        return offer

    def state(self, windows: MemoryWindows, now: float) -> tuple[State, float]:
        """Whether it can be used, and when it can again."""
        if self.retired:
            return "retired", math.inf
        if self.paused:
            return "paused", math.inf
        until = max((circuit.until for circuit in self.circuits.values()), default=-math.inf)
        if until > now:
            return "cooling", until
        long = [spec for spec in self._all_windows().values() if spec.seconds >= _LONG_WINDOW]
        full = max((now + row.wait for row in windows.report(long, now).values()), default=now)
        return ("exhausted", full) if full > now else ("ready", now)

    def status(self, windows: MemoryWindows, now: float) -> dict[str, Any]:
        """Its row of the status page; no key text."""
        specs, (state, until) = self._all_windows(), self.state(windows, now)
        reports = windows.report(list(specs.values()), now)
        row: dict[str, Any] = {
            "key": self.id,
            "provider": self.settings.provider,
            "quota_group": self.settings.quota_group or None,
            "state": state,
            "limits": [],
            **({"added": True} if self.added else {}),
        }
        for name, report in reports.items():
            spec = specs[name]
            configured = spec.amount if report.limit != spec.amount else None
            shown = {"model": spec.model, "configured": configured, "bucket": report.bucket, "counts": report.counts}
            shown["used_by_others"] = report.others
            use = {"unit": spec.unit, "seconds": spec.seconds, "used": report.used, "limit": report.limit}
            row["limits"].append(use | {name: value for name, value in shown.items() if value})
        if state in {"cooling", "exhausted"}:
            row["ready_in"] = round(max(0.0, until - now), 3)
        if reason := self.retired or next((one.reason for one in self.circuits.values() if one.until > now), ""):
            row["reason"] = reason
        if without := [model for model, until_then in self.without.items() if until_then > now]:
            row["without"] = without
        return row

    def _all_windows(self) -> dict[str, WindowSpec]:
        """The windows of all models that it is configured or was used for, by id."""
        for model in self.settings.models:
            self.offer(model)
        of_all = [self._window(limit, "") for limit in self.settings.limits if not limit.model]
        all_of_them = chain(of_all, *(offer.windows for offer in self.offers.values()))
        return {spec.id: spec for spec in all_of_them if spec not in self.shared}

    def _windows(self, model: str) -> Iterator[WindowSpec]:
        for limit in self.settings.limits:
            if limit.model in {"", "*", model}:
                yield self._window(limit, model)
        if self.settings.concurrency is not None:
            yield WindowSpec(f"{self.id}//concurrent", "concurrent", self.settings.concurrency)

    def _window(self, limit: Limit, model: str) -> WindowSpec:
        scope = model if limit.model else ""
        name = f"{self.group}/{scope}/{limit.unit}/{limit.seconds:g}"
        own = limit.unit, limit.amount, limit.seconds, limit.zone, scope, limit.assumed
        return WindowSpec(name, *own, bool(self.settings.bucket), self.settings.counts)


def identity(settings: KeySettings) -> tuple[object, ...]:
    """What makes a key of a new configuration the same as one that is there."""
    return settings.provider, settings.base_url, settings.key, settings.name, settings.models


def window_of(grant: Grant, rate: Rate) -> Observation | None:
    """The window of a header's limit: the one of this amount, else of this length, else the only one of this unit."""
    # A limit of unknown length that allows more than the configured one may well be of a day, and is ignored.
    same = [spec for spec in grant.windows if spec.unit == rate.unit]
    is_only = len(same) == 1 and rate.seconds is None
    fits = (
        [spec for spec in same if spec.amount == rate.limit]
        or [spec for spec in same if spec.seconds == rate.seconds]
        or [spec for spec in same if is_only and (spec.assumed or rate.limit <= spec.amount)]
    )
    if not fits:
        return None
    return Observation(fits[0].id, rate.limit, rate.remaining, rate.reset, rate.rounding)


class Keyring:
    """All keys of a pool by their public ids: which there are, which are paused or retired, which are for a model."""

    def __init__(
        self, clock: Callable[[], float], on_change: Callable[[], None], *, at_once: int | None = None
    ) -> None:
        self._clock = clock  # seconds, never going back
        self._changed = on_change  # called when a request may start that could not before
        self._shared = _in_flight(at_once)  # with all keys together; None is unlimited
        self._keys: dict[str, Key] = {}

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._keys.values()))

    def find(self, key: str) -> Key | None:
        """The key with this public id, if there is one."""
        return self._keys.get(key)

    def get(self, key: str) -> Key:
        """The key with this public id."""
        found = self._keys.get(key)
        if found is None:
            raise BadRequest(f"There is no key '{key}'.", param="key", status=404)
        return found

    def configure(self, keys: Iterable[KeySettings]) -> None:
        """Have exactly these keys, and those that were added at run time.

        Those there are already keep their name, health and counts; requests go on.
        """
        wanted = {identity(settings): settings for settings in keys}
        for key in self:
            if key.added:
                continue
            settings = wanted.pop(identity(key.settings), None)
            if settings is None:
                del self._keys[key.id]
            else:
                key.settings = settings
                key.offers.clear()
        for settings in wanted.values():
            self.add(settings)
        self._changed()

    def add(self, settings: KeySettings, *, added: bool = False) -> Key:
        """Add a key, ``added`` by an administrator. Its public id is its name, or its provider's with a number."""
        names = [settings.name] if settings.name else []
        if not names and not settings.key.reveal():
            names = [settings.provider]
        numbered = (f"{settings.name or settings.provider}-{number}" for number in count(1))
        public = next(name for name in chain(names, numbered) if name not in self._keys)
        key = self._keys[public] = Key(settings, public, self._shared, added)
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
        """Close a key's circuits after a check that it works: a person's decision stays, and a limit's cool-down."""
        # A check does not show whether the key answers questions, so after failures there is a half-open probe first.
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

    @property
    def providers(self) -> set[str]:
        """Providers that there are keys of."""
        return {key.settings.provider for key in self._keys.values()}

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
