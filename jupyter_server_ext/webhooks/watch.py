"""What is worth telling, seen where it happens: requests that end, keys, budgets, storage."""

from __future__ import annotations

import time
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from jupyter_server_ext.messages import outcome_of
from jupyter_server_ext.webhooks.event_types import EVENTS
from jupyter_server_ext.webhooks.webhooks import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jupyter_server_ext.messages import Entry

THRESHOLDS = (100, 80)  # per cent of a budget, the highest first


@dataclass(eq=False, repr=False)
class EventDetector:
    """Turns what a gateway sees into events."""

    tell: Callable[[Event], None]
    status: Callable[[], Mapping[str, Any]]  # ``Gateway.status``
    budgets: Callable[[], Iterable[tuple[str, str, float]]]  # returns whose, ``day`` or ``month``, and the part spent
    _: KW_ONLY
    zone: str = "UTC"  # whose midnight begins a day of budgets
    clock: Callable[[], float] = time.time  # Unix time
    _states: dict[str, str] = field(default_factory=dict)  # of keys, at the last look
    _refused: str = ""  # why a configuration was not taken, at the last look
    _health: Mapping[str, str] = field(default_factory=dict)
    _told: dict[tuple[str, str], str] = field(default_factory=dict)  # the day or month and threshold of each budget

    def ended(self, entry: Entry, limit: str) -> None:
        """A request has ended, or one of its tries; ``limit`` is the kind of the limit that refused it, if one did."""
        if limit:
            self._limit_reached(entry, limit)
        # Of a try that was followed by another the caller has seen nothing.
        elif entry.status and outcome_of(entry.status) in {"failure", "timeout"} and (entry.attempts or not entry.key):
            names = ("request_id", "caller", "tenant", "task", "model", "status", "error")
            data = {name: getattr(entry, name) for name in names}
            same = f"{entry.tenant}|{entry.model}|{entry.error}"
            self.tell(event("request.failed", same, data, entry.tenant, entry.caller))

    def _limit_reached(self, entry: Entry, limit: str) -> None:
        whose, _, what = limit.partition(" ")
        names = {"everyone": (), "tenant": ("tenant",)}.get(whose, ("tenant", "caller"))
        data = {"of": whose, "limit": what.replace(" ", " per ")} | {name: getattr(entry, name) for name in names}
        tenant = entry.tenant if "tenant" in names else ""
        caller = entry.caller if "caller" in names else ""
        self.tell(event("limit.reached", f"{limit}|{tenant}|{caller}", data, tenant, caller))

    def look(self) -> None:
        """See whether keys, budgets or storage have changed since the last look."""
        status = self.status()
        self._look_at_keys(status.get("pool", ()))
        self._look_at_budgets()
        refused, known = str(status.get("configuration", "")), self._refused
        self._refused = refused
        if refused not in {"", known}:
            self.tell(event("config.refused", refused, {"reason": refused}))
        health, before = dict(status.get("checks", {})), self._health
        self._health = health
        for part, word in health.items():
            if part != "configuration" and word not in {"ok", before.get(part, "ok")}:
                self.tell(event("storage.degraded", f"{part}|{word}", {"part": part, "state": word}))

    def _look_at_keys(self, rows: Sequence[Mapping[str, Any]]) -> None:
        before, self._states = self._states, {row["key"]: row["state"] for row in rows}
        for row in rows:
            key, state = row["key"], row["state"]
            if state != before.get(key, "ready") and f"key.{state}" in EVENTS:
                data = {name: row.get(name) for name in ("key", "provider", "reason", "ready_in")}
                self.tell(event(f"key.{state}", key, data))

    def _look_at_budgets(self) -> None:
        now = datetime.fromtimestamp(self.clock(), ZoneInfo(self.zone))
        for whose, period, part in self.budgets():
            threshold = next((one for one in THRESHOLDS if part * 100 >= one), None)
            if threshold is None:
                continue
            when = f"{now:%Y-%m-%d}" if period == "day" else f"{now:%Y-%m}"
            passed = f"{when} {threshold}"
            if self._told.get((whose, period), "") != passed and self._told.get((whose, period)) != f"{when} 100":
                self._told[whose, period] = passed
                kind, _, tenant = whose.partition(":")
                data = {"of": kind, "tenant": tenant, "period": period, "percent": threshold, "spent": round(part, 4)}
                self.tell(event("budget.threshold", f"{whose}|{period}|{passed}", data, tenant))


def event(name: str, subject: str, data: Mapping[str, Any], tenant: str = "", caller: str = "") -> Event:
    """An event of a declared type.

    Example:
        >>> event("key.cooling", "groq-1", {"key": "groq-1"}).every
        900.0
    """
    return Event(name, subject, data, tenant, caller, every=EVENTS[name].every)
