"""A tenant's rules as they were sent, laid over others; and the bounds within which an instructor sets them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.config import CallerLimits, TenantSettings, read_tenant
from jupyter_server_ext.errors import BadRequest, ConfigError, NotPermitted
from jupyter_server_ext.limits import merged
from jupyter_server_ext.messages import is_name

if TYPE_CHECKING:
    from collections.abc import Mapping

Rules = dict[str, Any]

OF_ADMINISTRATORS = ("weight", "keep_prompts")
"""What an instructor may not set: how much faster one's own group is served, and whether questions are kept."""

_LONGEST_PROMPT = 8_000  # characters that go with every question of a tenant
_MOST_MODELS = 200
# From what lets least out of a kernel to what lets out most.
_FLOORS = ("names", "stats", "sample", "")


def checked(name: str, rules: Mapping[str, Any]) -> None:
    """Check rules, but for their limits, in the form of ``[tenants.NAME]``.

    Raises:
        BadRequest: A name or value is wrong.
    """
    known = {field.name for field in dataclasses.fields(TenantSettings)} - {"name"}
    if unknown := rules.keys() - known:
        word = min(unknown)[:40]
        raise BadRequest(f"'{word}' is none of: {', '.join(sorted(known))}.", param=word)
    given = {field: value for field, value in rules.items() if value is not None and field != "limits"}
    try:
        read = read_tenant(name, given, where="The body")
    except ConfigError as error:
        raise BadRequest(error.message) from None
    if len(read.system_prompt) > _LONGEST_PROMPT:
        raise BadRequest(f"'system_prompt' may have {_LONGEST_PROMPT:,} characters.", param="system_prompt")
    if len(read.models) > _MOST_MODELS or not all(model and is_name(model) for model in read.models):
        raise BadRequest(f"'models' may name up to {_MOST_MODELS} models.", param="models")


def overlaid(base: TenantSettings, rules: Mapping[str, Any], where: str = "the rules") -> TenantSettings:
    """A tenant's rules with others, in the form of ``[tenants.NAME]``, in their place.

    In ``limits`` None is the limit that all tenants have.

    Raises:
        ConfigError: They are not in that form.

    Example:
        >>> overlaid(TenantSettings("lab", weight=2.0), {"models": ["small"]})
        ... # doctest: +ELLIPSIS
        TenantSettings(name='lab', weight=2.0, models=('small',), ...)
    """
    limits = rules.get("limits", {}) if isinstance(rules, dict) else {}
    if not isinstance(limits, dict):
        read_tenant(base.name, rules, where=where)  # which refuses it
    given = {name: value for name, value in limits.items() if value is not None}
    own = read_tenant(base.name, {**rules, "limits": given} if isinstance(rules, dict) else rules, where=where)
    values = {name: getattr(own, name) for name in rules if name != "limits"}
    amounts = {name: getattr(own.limits, name) for name in limits}
    return dataclasses.replace(base, **values, limits=dataclasses.replace(base.limits, **amounts))


def bounded(base: TenantSettings, own: Mapping[str, Any], default: CallerLimits) -> TenantSettings:
    """A tenant's rules with those of its instructor, as far as they let through no more than the base does.

    ``default`` are the limits of every tenant.

    Example:
        >>> lab = TenantSettings("lab", models=("small", "large"), limits=CallerLimits(requests_per_day=100))
        >>> ours = bounded(lab, {"models": ["small"], "limits": {"requests_per_day": 500}}, CallerLimits())
        >>> ours.models, ours.limits.requests_per_day
        (('small',), 100)
    """
    wanted = overlaid(base, {name: value for name, value in own.items() if name not in OF_ADMINISTRATORS})
    most, limits = merged(default, base.limits), {}
    for field in dataclasses.fields(CallerLimits):
        amounts = [getattr(most, field.name), getattr(wanted.limits, field.name)]
        limits[field.name] = min((amount for amount in amounts if amount is not None), default=None)
    models = tuple(name for name in wanted.models if name in base.models) if base.models else wanted.models
    return dataclasses.replace(
        wanted,
        models=models or base.models,  # none left must not come to mean all
        privacy_floor=min(base.privacy_floor, wanted.privacy_floor, key=_FLOORS.index),
        cache=False if base.cache is False else wanted.cache,
        limits=CallerLimits(**limits),
    )


def check_bounds(base: TenantSettings, own: Mapping[str, Any], default: CallerLimits) -> None:
    """Check that an instructor's rules let through no more than the base does.

    Raises:
        NotPermitted: They do; the message names the bound.
    """
    for name in OF_ADMINISTRATORS:
        if name in own:
            raise NotPermitted(f"'{name}' is your administrator's to set.")
    most = merged(default, base.limits)
    for name, amount in (own.get("limits") or {}).items():
        bound = getattr(most, name)
        if amount is not None and bound is not None and amount > bound:
            raise NotPermitted(f"'{name}' of your group may be {bound:g} at most. Ask your administrator for more.")
    others = [model for model in own.get("models") or () if base.models and model not in base.models]
    if others:
        raise NotPermitted(f"Your group may use {', '.join(base.models)}, and not {others[0]}.")
    floor = own.get("privacy_floor")
    if floor is not None and _FLOORS.index(floor) > _FLOORS.index(base.privacy_floor):
        raise NotPermitted(f"'privacy_floor' of your group is {base.privacy_floor}; you can only make it stricter.")
    if own.get("cache") and base.cache is False:
        raise NotPermitted("Your administrator has switched the cache off for your group.")
