"""One key: its public id, its health per model, the windows its requests take from, and what its headers tell."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from jupyter_server_ext.keys.windows.base import Observation, Offer, WindowSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jupyter_server_ext.config import KeySettings, Limit
    from jupyter_server_ext.keys.pool import Lease
    from jupyter_server_ext.keys.windows.base import Grant, Unit, WindowReport

_FIRST_REST = 0.5  # seconds that a key rests after its first failure; doubled with each further one
_LONGEST_REST = 15.0
_LONGEST_DOUBT = 2.0  # seconds at least, after several failures, whatever a provider names
_MOST_MODELS = 200  # whose offers a key remembers

State = Literal["ready", "cooling", "exhausted", "paused", "retired"]
STATES: tuple[State, ...] = get_args(State)


class Rate(NamedTuple):
    """One limit as a provider's headers tell it.

    Args:
        unit: What is limited.
        limit: How much.
        remaining: What is left of it.
        reset: Seconds until it is full again, if told.
        rounding: How far ``reset`` may be off.
        seconds: The length of the window where the provider's documentation says so.
    """

    unit: Unit
    limit: int
    remaining: int
    reset: float | None = None
    rounding: float = 0.01
    seconds: float | None = None


@dataclass(slots=True)
class CircuitBreaker:
    """Whether one key serves one model: it rests until ``until``, then lets one request through to try."""

    until: float = -math.inf
    failures: int = 0
    since: float = -math.inf  # when it failed last
    reason: str = ""
    trial: Lease | None = None

    def opens(self) -> float:
        """When the next request may start: one whose trial takes long keeps the others waiting only for so long."""
        if self.failures and self.trial is not None:
            return max(self.until, self.trial.at + _LONGEST_REST)
        return self.until

    @property
    def is_limited(self) -> bool:
        """Whether it rests for a limit: only time ends that."""
        return self.reason in {"rate_limit", "quota_exhausted"}

    @property
    def is_failing(self) -> bool:
        """Whether it has failed more than once, for no limit."""
        return self.failures > 1 and not self.is_limited

    def rest(self, started: float, now: float, seconds: float | None, reason: str) -> None:
        """Rest for so long, or for twice as long as after the last failure.

        Requests that were under way together fail together; only the first of them counts.
        """
        if started > self.since:
            self.failures += 1
            self.since = now
            self.reason = reason
            own = min(_LONGEST_REST, _FIRST_REST * 2 ** min(self.failures - 1, 10))
            # A time that a provider named is believed once; where it keeps naming too short ones, not for ever.
            least = min(own / 2, _LONGEST_DOUBT) if self.failures > 1 else 0.0
            seconds = own if seconds is None else max(seconds, least)
        if seconds is not None:
            self.until = max(self.until, now + seconds)

    def recover(self, started: float) -> None:
        """A request that started after the last failure was answered."""
        if started > self.since:
            self.until, self.failures, self.reason = -math.inf, 0, ""


@dataclass(slots=True)
class Key:
    """One key and its state.

    Args:
        settings: What was configured, presets filled in.
        id: The public id, the only form in which the key appears anywhere.
        shared: Windows that a request takes from whatever the key.
    """

    settings: KeySettings
    id: str
    shared: tuple[WindowSpec, ...] = ()  # windows of all keys together
    paused: bool = False
    retired: str = ""  # why
    retired_by_hand: bool = False
    health: dict[str, CircuitBreaker] = field(default_factory=dict)
    without: dict[str, float] = field(default_factory=dict)  # models it has no access to, and until when that holds
    offers: dict[str, Offer] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The keys that share this one's limits."""
        return self.settings.quota_group or self.id

    def serves(self, model: str) -> bool:
        """Whether it is meant for this model."""
        return not self.settings.models or model in self.settings.models

    def opens(self, model: str, now: float) -> float:
        """When it may next be tried for this model."""
        health = self.health.get(model)
        return now if health is None else health.opens()

    def offer(self, model: str) -> Offer:
        """The windows a request for ``model`` takes from."""
        offer = self.offers.get(model)
        if offer is None:
            if len(self.offers) >= _MOST_MODELS:  # callers name models freely where none are configured
                self.offers.clear()
            offer = self.offers[model] = Offer(self.id, (*self._windows(model), *self.shared))
        return offer

    def windows(self) -> dict[str, WindowSpec]:
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
        return WindowSpec(
            f"{self.group}/{scope}/{limit.unit}/{limit.seconds:g}",
            limit.unit,
            limit.amount,
            limit.seconds,
            limit.zone,
            scope,
            limit.assumed,
            bool(self.settings.bucket),
            self.settings.counts,
        )


def limit_row(spec: WindowSpec, report: WindowReport) -> dict[str, Any]:
    """One window for the status page."""
    row: dict[str, Any] = {"unit": spec.unit, "seconds": spec.seconds, "used": report.used, "limit": report.limit}
    if spec.model:
        row["model"] = spec.model
    if report.limit != spec.amount:
        row["configured"] = spec.amount
    if report.bucket:
        row["bucket"] = True
    if report.counts:
        row["counts"] = report.counts
    if report.others:
        row["used_by_others"] = report.others
    return row


def _may_be(spec: WindowSpec, rate: Rate) -> bool:
    return spec.assumed or rate.limit <= spec.amount


def window_of(grant: Grant, rate: Rate) -> Observation | None:
    """The window a header speaks of: the one of this amount, else of this length, else the only one of this unit.

    One that allows more than was configured, nobody knows in what time, may well be of a day: it tells nothing.
    """
    same = [spec for spec in grant.windows if spec.unit == rate.unit]
    fits = (
        [spec for spec in same if spec.amount == rate.limit]
        or [spec for spec in same if spec.seconds == rate.seconds]
        or [spec for spec in same if len(same) == 1 and rate.seconds is None and _may_be(spec, rate)]
    )
    if not fits:
        return None
    return Observation(fits[0].id, rate.limit, rate.remaining, rate.reset, rate.rounding)
