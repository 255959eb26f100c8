"""Limits of callers, tenants, routes and everyone that administrators override while the gateway runs."""

from __future__ import annotations

import math
from dataclasses import InitVar, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.config import MOST, MOST_WHOLE, CallerLimits
from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.ledger import GIVEN_BACK, Thing
from jupyter_server_ext.messages import is_name
from jupyter_server_ext.tenants.runtime import GENERAL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from jupyter_server_ext.config import Settings
    from jupyter_server_ext.tenants.rules import Rules
    from jupyter_server_ext.tenants.runtime import RuntimeSettings, State

_RESET = "daily-reset"
_NAMED = ("tenants", "callers", "routes")
_WHOLE = {field.name for field in fields(CallerLimits) if not field.name.startswith("usd_")}
_LIMITS = tuple(field.name for field in fields(CallerLimits))
_OF_ROUTES = tuple(name for name in _LIMITS if name.startswith("requests_"))
_SHOWN = 30  # groups in a message
_MOST_NAMES = 1_000  # callers and tenants with limits of their own

Overrides = dict[str, Any]


@dataclass(eq=False, repr=False)
class KnownGroups:
    """The groups that callers can be in."""

    settings: InitVar[Settings]  # those with rules, and those of ``api_keys``
    of_keys: Callable[[], Awaitable[Iterable[str]]]  # returns those of virtual keys
    at_hub: Callable[[str], Awaitable[bool]] | None = None  # whether the hub has a group; None where there is no hub
    in_force: Callable[[], Iterable[str]] = tuple  # returns those with rules, whoever gave them

    def __post_init__(self, settings: Settings) -> None:
        configured = {tenant.name for tenant in settings.tenants} | {key.tenant for key in settings.api_keys}
        self._configured = configured - {""}

    async def all(self) -> set[str]:
        """Those that are known without asking the hub."""
        return self._configured | {*self.in_force(), *await self.of_keys()} - {""}

    async def check(self, names: Iterable[str]) -> None:
        """Check that there are groups of these names.

        Raises:
            BadRequest: One is unknown; the message names those that are known.
            IdentityUnavailable: The hub does not answer.
        """
        unknown = [name for name in names if name not in self._configured]
        known = await self.all() if unknown else set()
        for name in unknown:
            if name in known or (self.at_hub is not None and await self.at_hub(name)):
                continue
            there_are = f"There are: {', '.join(sorted(known)[:_SHOWN])}." if known else "None is configured."
            hub = " The hub has none of this name, either." if self.at_hub is not None else ""
            words = f"There is no group '{name[:40]}'. {there_are}{hub}"
            raise BadRequest(words, param=f"tenants.{name[:40]}", code="unknown_group")


@dataclass(eq=False, repr=False)
class LimitOverrides:
    """The limits of ``RuntimeSettings`` as one object, which administrators read and change."""

    runtime: RuntimeSettings  # keeps them
    groups: KnownGroups | None = None  # the groups that there are; None believes every name
    routes: frozenset[str] | None = None  # the routes that there are; None believes every name

    async def remember_reset(self, caller: str) -> None:
        """Limits per day were reset now; a restart counts nothing from before that."""
        runtime = self.runtime
        now = runtime.clock()
        if runtime.ledger.keeps:
            await runtime.ledger.write(lambda store: store.decide(_RESET, str(now), caller, now))
        await runtime.note("reset the limits per day", caller)

    async def remember_given_back(self, name: str, days: Mapping[str, int], caller: str, tenant: str = "") -> None:
        """What counted against a caller's limits was forgotten now; a restart counts nothing of it.

        ``days`` are the nano-dollars that the caller has spent until now, by day of this month; ``tenant`` is that of
        the instructor who gave it back.
        """
        given = {"at": self.runtime.clock(), "days": dict(days)} | ({"tenant": tenant} if tenant else {})
        await self.runtime.change(lambda _: {Thing(GIVEN_BACK, name): given}, caller)

    def given_back_at(self) -> dict[str, float]:
        """Callers whose limits were given back, with the Unix time of the last time."""
        return {thing.name: rules["at"] for thing, rules in self.runtime.state.items() if thing.kind == GIVEN_BACK}

    def reset_at(self) -> float:
        """When limits per day were reset last, in Unix time; before serving, as it blocks."""
        return float(self.runtime.ledger.decided(_RESET) or 0.0)

    def report(self) -> dict[str, Any]:
        """All limits in force, and what of them is overridden."""
        settings = self.runtime.settings
        limits: dict[str, Any] = {name: asdict(getattr(settings, name)) for name in GENERAL}
        limits["tenants"] = {tenant.name: asdict(tenant.limits) for tenant in settings.tenants}
        limits["callers"] = {name: asdict(own) for name, own in settings.callers}
        limits["routes"] = {name: {one: getattr(own, one) for one in _OF_ROUTES} for name, own in settings.routes}
        decided: Overrides = {}
        for thing, rules in self.runtime.state.items():
            if thing.kind == "limits":
                decided[thing.name] = rules
            elif thing.kind == "tenant" and "limits" in rules:
                decided.setdefault("tenants", {})[thing.name] = rules["limits"]
            elif thing.kind in {"callers", "routes"}:
                decided.setdefault(thing.kind, {})[thing.name] = rules
        return {"limits": limits, "decided": decided, "lasts": self.runtime.lasts}

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
            await self.groups.check(changes.get("tenants", ()))
        unknown = set(changes.get("routes", ())) - self.routes if self.routes is not None else ()
        if unknown:
            name = min(unknown)[:40]
            raise BadRequest(f"There is no route '{name}'. GET docs lists them.", param=f"routes.{name}")
        await self.runtime.change(lambda state: _changed(state, changes) if changes else _taken_back(state), caller)


def _changed(state: State, changes: Mapping[str, Any]) -> State:
    """The things that a change concerns, as they are after it."""
    after: State = {}
    for scope, value in changes.items():
        if scope in GENERAL:
            after[Thing("limits", scope)] = state.get(Thing("limits", scope), {}) | value
        elif scope == "tenants":
            for name, own in value.items():
                rules = state.get(Thing("tenant", name), {})
                after[Thing("tenant", name)] = rules | {"limits": rules.get("limits", {}) | own}
        else:
            after |= {Thing(scope, name): state.get(Thing(scope, name), {}) | own for name, own in value.items()}
    for kind in ("callers", "tenant"):  # after the merge, as many small changes add up
        if len({thing.name for thing in {*state, *after} if thing.kind == kind}) > _MOST_NAMES:
            scope = "tenants" if kind == "tenant" else kind
            words = f"Not more than {_MOST_NAMES:,} '{scope}' may have limits of their own."
            raise BadRequest(words, param=scope)
    return after


def _taken_back(state: State) -> State:
    """All limits as rsql.toml and the hub have them; other rules of tenants stay."""
    limits: State = {thing: {} for thing in state if thing.kind in {"limits", "callers", "routes"}}
    return limits | {thing: _without_limits(rules) for thing, rules in state.items() if thing.kind == "tenant"}


def _without_limits(rules: Rules) -> Rules:
    return {name: value for name, value in rules.items() if name != "limits"}


def _check(changes: Mapping[str, Any]) -> None:
    for scope, value in changes.items():
        if scope in GENERAL:
            check_limits(scope, value)
        elif scope in _NAMED:
            for name, own in _object(scope, value).items():
                if not name or not is_name(name):
                    words = f"'{scope}' names what is empty, too long, or has control characters."
                    raise BadRequest(words, param=scope)
                given = check_limits(f"{scope}.{name}", own)
                if scope == "routes" and (others := given.keys() - {*_OF_ROUTES}):
                    words = f"'{min(others)}' is none of: {', '.join(_OF_ROUTES)}."
                    raise BadRequest(words, param=f"{scope}.{name}.{min(others)}")
        else:
            raise BadRequest(f"'{scope[:30]}' is none of: {', '.join((*GENERAL, *_NAMED))}.", param=scope[:30])


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
