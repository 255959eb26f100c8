"""Groups of the hub as tenants: the rules of each, and which one counts for a user who is in several."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any

from tornado.log import app_log

from jupyter_server_ext.config import TenantSettings, read_tenant
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.identity.auth import IdentityUnavailable
from jupyter_server_ext.limits import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jupyter_server_ext.config import CallerLimits, Settings
    from jupyter_server_ext.identity.hub.api import HubApi

PROPERTY = "rsql"
"""The property of a hub's group that holds its rules, in the form of ``[tenants.NAME]``."""

_GENEROUS = (
    *("usd_per_month", "usd_per_day", "tokens_per_day", "tokens_per_minute"),
    *("requests_per_day", "requests_per_hour", "requests_per_minute", "concurrency"),
)


class HubGroups:
    """The rules of groups: those of ``rsql.toml``, over which the hub's properties go."""

    def __init__(
        self,
        api: HubApi,
        settings: Settings,  # ``tenants``, ``[limits.tenant]`` and ``[hub]``
        learn: Callable[[TenantSettings], None] = lambda _: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api  # asks the hub for properties
        self._configured = {tenant.name: tenant for tenant in settings.tenants}
        self._default = settings.tenant
        self._order = settings.hub.groups
        self._max_age = settings.hub.cache_max_age
        self._learn = learn  # called with the rules of a tenant whenever they are new or have changed
        self._clock = clock  # seconds, never going back
        self._rules: dict[str, tuple[float, TenantSettings | None]] = {}

    async def tenant(self, names: Sequence[str]) -> str:
        """The group that counts for a member of these: the first of the configured order, else the most generous.

        A group without rules counts only where no other does. Empty for a member of none.
        """
        ruled = [rules for name in names if (rules := await self._of(name)) is not None]
        if not ruled:
            return min(names, default="")
        return min(
            ruled, key=lambda rules: (self._place(rules.name), _stinginess(rules, self._default), rules.name)
        ).name

    def _place(self, name: str) -> int:
        return self._order.index(name) if name in self._order else len(self._order)

    async def _of(self, name: str) -> TenantSettings | None:
        until, rules = self._rules.get(name, (-math.inf, None))
        if self._clock() < until:
            return rules
        try:
            properties = await self._api.properties(name)
        except IdentityUnavailable:
            if until == -math.inf:
                raise
            return rules
        known = self._configured.get(name) if until == -math.inf else rules
        fresh = self._read(name, properties.get(PROPERTY), known)
        if fresh != known:  # overrides of a group stay as long as its properties do
            self._learn(fresh or TenantSettings(name))
        self._rules[name] = (self._clock() + self._max_age, fresh)
        return fresh

    def _read(self, name: str, rules: Any, known: TenantSettings | None) -> TenantSettings | None:
        """The rules of a group; a mistake in its properties leaves them as they were."""
        configured = self._configured.get(name)
        if rules is None:
            return configured
        try:
            return overlaid(configured or TenantSettings(name), rules)
        except ConfigError as error:
            app_log.error("rsql: the rules of a group stay as they were. %s", error.message)
            return known or configured


def overlaid(base: TenantSettings, rules: Mapping[str, Any]) -> TenantSettings:
    """A tenant's rules, with those of a group's property in their place.

    Raises:
        ConfigError: The property is not in the form of ``[tenants.NAME]``.

    Example:
        >>> overlaid(TenantSettings("lab", weight=2.0), {"models": ["small"]})
        ... # doctest: +ELLIPSIS
        TenantSettings(name='lab', weight=2.0, models=('small',), ...)
    """
    own = read_tenant(base.name, rules, where=f"property '{PROPERTY}' of the group '{base.name}'")
    given = {name: getattr(own, name) for name in rules if name != "limits"}
    return dataclasses.replace(base, **given, limits=merged(base.limits, own.limits))


def _stinginess(rules: TenantSettings, default: CallerLimits) -> tuple[float, ...]:
    limits = merged(default, rules.limits)
    amounts = [math.inf if (most := getattr(limits, name)) is None else most for name in _GENEROUS]
    return tuple(-amount for amount in (*amounts, len(rules.models) or math.inf, rules.weight))
