"""Limits of callers, tenants and everyone that administrators override while the gateway runs."""

# The ledger keeps an override, which goes before rsql.toml also after a restart, until it is taken back. Other gateways
# of the same ledger follow it within a few seconds.

from __future__ import annotations

import asyncio
import json
import math
import time
from contextlib import suppress
from dataclasses import KW_ONLY, InitVar, asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.config import MOST, MOST_WHOLE, CallerLimits, TenantSettings, merged_tables
from jupyter_server_ext.errors import BadRequest, LedgerUnavailable
from jupyter_server_ext.messages import is_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from jupyter_server_ext.config import Settings
    from jupyter_server_ext.ledger import Ledger

_NAME = "limits"
_RESET = "daily-reset"
_GENERAL = ("caller", "tenant", "everyone")
_NAMED = ("tenants", "callers")
_WHOLE = {field.name for field in fields(CallerLimits) if not field.name.startswith("usd_")}
_LIMITS = tuple(field.name for field in fields(CallerLimits))
_FOLLOW_SECONDS = 2.0  # between two looks at what other gateways have overridden
_SHOWN = 30  # groups in a message
_MOST_NAMES = 1_000  # callers and tenants with limits of their own

Overrides = dict[str, Any]


@dataclass(eq=False, repr=False)
class KnownGroups:
    """The groups that callers can be in."""

    settings: InitVar[Settings]  # those with rules, and those of ``api_keys``
    of_keys: Callable[[], Awaitable[Iterable[str]]]  # returns those of virtual keys
    at_hub: Callable[[str], Awaitable[bool]] | None = None  # whether the hub has a group; None where there is no hub

    def __post_init__(self, settings: Settings) -> None:
        configured = {tenant.name for tenant in settings.tenants} | {key.tenant for key in settings.api_keys}
        self._configured = configured - {""}

    async def check(self, names: Iterable[str]) -> None:
        """Check that there are groups of these names.

        Raises:
            BadRequest: One is unknown; the message names those that are known.
            IdentityUnavailable: The hub does not answer.
        """
        unknown = [name for name in names if name not in self._configured]
        known = self._configured | (set(await self.of_keys()) - {""}) if unknown else set()
        for name in unknown:
            if name in known or (self.at_hub is not None and await self.at_hub(name)):
                continue
            there_are = f"There are: {', '.join(sorted(known)[:_SHOWN])}." if known else "None is configured."
            hub = " The hub has none of this name, either." if self.at_hub is not None else ""
            words = f"There is no group '{name[:40]}'. {there_are}{hub}"
            raise BadRequest(words, param=f"tenants.{name[:40]}", code="unknown_group")


@dataclass(eq=False, repr=False)
class LimitOverrides:
    """The effective limits: those of rsql.toml with what was overridden since."""

    settings: Settings  # the effective ones; at first as read
    ledger: Ledger  # keeps overrides; without a store they last as long as the process
    apply: Callable[[Settings], None]  # called with the effective settings whenever they change
    _: KW_ONLY
    groups: KnownGroups | None = None  # the groups that there are; None believes every name

    def __post_init__(self) -> None:
        self._file = self.settings
        self._overrides: Overrides = {}

    @property
    def lasts(self) -> bool:
        """Whether overrides outlast the process."""
        return self.ledger.keeps

    def recall(self) -> None:
        """Apply the overrides of earlier processes; before serving, as it blocks."""
        self._take_over(self.ledger.decided(_NAME))

    async def follow(self, seconds: float = _FOLLOW_SECONDS) -> None:
        """Apply the overrides of other gateways, for ever."""
        while self.ledger.keeps:
            await asyncio.sleep(seconds)
            with suppress(LedgerUnavailable):  # health shows it
                await self._catch_up()

    async def remember_reset(self, caller: str) -> None:
        """Limits per day were reset now; a restart counts nothing from before that."""
        if self.ledger.keeps:
            now = time.time()
            await self.ledger.write(lambda store: store.decide(_RESET, str(now), caller, now))

    def reset_at(self) -> float:
        """When limits per day were reset last, in Unix time; before serving, as it blocks."""
        return float(self.ledger.decided(_RESET) or 0.0)

    def report(self) -> dict[str, Any]:
        """All effective limits, and what of them is overridden."""
        limits: dict[str, Any] = {name: asdict(getattr(self.settings, name)) for name in _GENERAL}
        limits["tenants"] = {tenant.name: asdict(tenant.limits) for tenant in self.settings.tenants}
        limits["callers"] = {name: asdict(own) for name, own in self.settings.callers}
        return {"limits": limits, "decided": self._overrides, "lasts": self.lasts}

    async def change(self, changes: Mapping[str, Any], caller: str) -> None:
        """Change the limits that are named; the others stay. An empty object takes all overrides back.

        Args:
            changes: Such as ``{"caller": {"requests_per_minute": 5}, "callers": {"ada": {"usd_per_day": 2}}}``. None is
                no limit, 0 allows nothing.
            caller: The administrator.

        Raises:
            BadRequest: A name or value is wrong, or a group unknown; nothing is changed then.
            LedgerUnavailable: It cannot be kept; nothing is changed then.
            IdentityUnavailable: The hub cannot tell whether there is a group; nothing is changed then.
        """
        _check(changes)
        if self.groups is not None:
            await self.groups.check(set(changes.get("tenants", ())) - set(self._overrides.get("tenants", ())))
        if self.ledger.keeps:
            await self._catch_up()
        overrides = merged_tables(self._overrides, changes) if changes else {}
        for scope in _NAMED:  # after the merge, as many small changes add up
            if len(overrides.get(scope, ())) > _MOST_NAMES:
                words = f"Not more than {_MOST_NAMES:,} '{scope}' may have limits of their own."
                raise BadRequest(words, param=scope)
        await self._keep(overrides, caller)

    async def forget(self, name: str, caller: str) -> None:
        """Take back the overrides for the caller ``name``, so that nothing names it; ``caller`` is the administrator.

        Raises:
            LedgerUnavailable: It cannot be kept; nothing is changed then.
        """
        if self.ledger.keeps:
            await self._catch_up()
        callers = self._overrides.get("callers", {})
        if name in callers:
            others = {other: own for other, own in callers.items() if other != name}
            rest = {scope: own for scope, own in self._overrides.items() if scope != "callers"}
            await self._keep(rest | ({"callers": others} if others else {}), caller)

    async def _keep(self, overrides: Overrides, caller: str) -> None:
        if self.ledger.keeps:
            text, now = json.dumps(overrides) if overrides else "", time.time()
            await self.ledger.write(lambda store: store.decide(_NAME, text, caller, now))
        self._overrides = overrides
        self._apply_overrides()

    async def _catch_up(self) -> None:
        self._take_over(await self.ledger.ask(lambda store: store.decided(_NAME)))

    def _take_over(self, kept: str) -> None:
        overrides = json.loads(kept) if kept else {}
        if overrides != self._overrides:
            self._overrides = overrides
            self._apply_overrides()

    def _apply_overrides(self) -> None:
        self.settings = with_changes(self._file, self._overrides)
        self.apply(self.settings)


def with_changes(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with other limits."""
    general = {name: replace(getattr(settings, name), **changes.get(name, {})) for name in _GENERAL}
    tenants = {tenant.name: tenant for tenant in settings.tenants}
    for name, own in changes.get("tenants", {}).items():
        tenant = tenants.get(name, TenantSettings(name))
        tenants[name] = replace(tenant, limits=replace(tenant.limits, **own))
    callers = tuple((name, CallerLimits(**own)) for name, own in changes.get("callers", {}).items())
    return replace(settings, **general, tenants=tuple(tenants.values()), callers=callers)


def _check(changes: Mapping[str, Any]) -> None:
    for scope, value in changes.items():
        if scope in _GENERAL:
            check_limits(scope, value)
        elif scope in _NAMED:
            for name, own in _object(scope, value).items():
                if not name or not is_name(name):
                    words = f"'{scope}' names what is empty, too long, or has control characters."
                    raise BadRequest(words, param=scope)
                check_limits(f"{scope}.{name}", own)
        else:
            raise BadRequest(f"'{scope[:30]}' is none of: {', '.join((*_GENERAL, *_NAMED))}.", param=scope[:30])


def check_limits(place: str, value: object) -> Mapping[str, Any]:
    """Limits as administrators send them: whole numbers, dollars, or None for no limit.

    Raises:
        BadRequest: A name or value is wrong.
    """
    for name, limit in _object(place, value).items():
        if name not in _LIMITS:
            raise BadRequest(f"'{name[:40]}' is none of: {', '.join(_LIMITS)}.", param=f"{place}.{name[:40]}")
        whole = name in _WHOLE
        right = isinstance(limit, int if whole else int | float) and not isinstance(limit, bool)
        if limit is not None and right and limit > (MOST_WHOLE if whole else MOST) and limit < math.inf:
            raise BadRequest(f"'{name}' is more than can be counted; null is no limit.", param=f"{place}.{name}")
        if limit is not None and not (right and 0 <= limit < math.inf):
            words = f"'{name}' must be {'a whole number' if whole else 'a number'} of 0 or more, or null for no limit."
            raise BadRequest(words, param=f"{place}.{name}")
    return _object(place, value)


def _object(place: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadRequest(f"'{place}' must be an object, like {{…}}.", param=place)
    return value
