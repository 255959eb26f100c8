"""Virtual API keys: callers make, list and revoke their own; administrators everybody's."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.config import ASKING, GRANTABLE, SCOPES, CallerLimits, held
from jupyter_server_ext.errors import BadRequest, NotPermitted
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.shapes.callers import NewVirtualKey, VirtualKeyRow, VirtualKeysReply
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.messages import Caller, is_name
from jupyter_server_ext.tenants import check_limits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from jupyter_server_ext.config import Secret
    from jupyter_server_ext.ledger import ApiKey


class OwnKeys(GatewayHandler):
    """``keys``."""

    @needs_scope("keys")
    @described(VirtualKeysReply)
    async def get(self) -> None:
        """Your virtual API keys, without their texts."""
        keys = await self.app.virtual_keys.of(person(self).name)
        self.reply(with_scopes(keys, GRANTABLE & held(self.asker.scopes)))

    @needs_scope("keys")
    @described(NewVirtualKey, status=201)
    async def post(self) -> None:
        """Make a virtual API key for a script: it stands for you, and is shown this once."""
        body = requests.own_object(self.body, *_KEY_FIELDS)
        made = await self.app.virtual_keys.make(
            person(self),
            requests.required_text(body, "name"),
            days=days_of(body),
            limits=limits_of(body),
            scopes=scopes_of(body),
        )
        self.reply(shown_once(*made), status=201)


class OwnKey(GatewayHandler):
    """``keys/{id}``."""

    @needs_scope("keys")
    @described(VirtualKeyRow)
    async def delete(self, key_id: str) -> None:
        """Revoke one of your virtual API keys."""
        self.reply(public_fields(await revoked(self, key_id, person(self).name)))


class AllKeys(GatewayHandler):
    """``admin/api/api-keys``."""

    @needs_scope("admin")
    @described(VirtualKeysReply)
    async def get(self) -> None:
        """Everybody's virtual API keys, without their texts."""
        self.reply(with_scopes(await self.app.virtual_keys.of(None), GRANTABLE))

    @needs_scope("admin")
    @described(NewVirtualKey, status=201)
    async def post(self) -> None:
        """Make a virtual API key for somebody, who need not be known otherwise, with the rules of ``tenant``."""
        body = requests.own_object(self.body, "owner", "tenant", *_KEY_FIELDS)
        owner, name = requests.required_text(body, "owner"), requests.required_text(body, "name")
        tenant = requests.optional_text(body, "tenant")
        if not is_name(tenant):
            raise BadRequest("'tenant' may have up to 255 characters, and no control characters.", param="tenant")
        more: dict[str, Any] = {"days": days_of(body), "limits": limits_of(body), "scopes": scopes_of(body)}
        made = await self.app.virtual_keys.make_for(owner, name, tenant=tenant, **more)
        await self.app.runtime.note(f"made the API key {made[0].id}", self.asker.name, tenant)
        self.reply(shown_once(*made), status=201)


class OneKeyOfAll(GatewayHandler):
    """``admin/api/api-keys/{id}``."""

    @needs_scope("admin")
    @described(VirtualKeyRow)
    async def delete(self, key_id: str) -> None:
        """Revoke anybody's virtual API key."""
        key = await revoked(self, key_id, None)
        await self.app.runtime.note(f"revoked the API key {key_id}", self.asker.name, key.tenant or "")
        self.reply(public_fields(key))


def person(handler: GatewayHandler) -> Caller:
    """The caller, unless it is a virtual key itself."""
    # Else one leaked key could make others, which would survive its revocation.
    if handler.asker.key:
        raise NotPermitted("A virtual key looks after no keys. Use a token of your own.")
    return handler.asker


async def revoked(handler: GatewayHandler, key_id: str, owner: str | None) -> ApiKey:
    """End a key, here at once and elsewhere when what is remembered of it grows old."""
    key = await handler.app.virtual_keys.revoke(key_id, owner)
    handler.app.auth.forget(key.owner)
    return key


def public_fields(key: ApiKey) -> dict[str, Any]:
    """The fields of a key that may be shown."""
    limits = {name: value for name, value in dataclasses.asdict(key.limits).items() if value is not None}
    same = {name: getattr(key, name) for name in ("id", "name", "owner")}
    return {
        **same,
        "scopes": sorted(key.scopes),
        "made": _date(key.made),
        "expires": _date(key.expires),
        "limits": limits,
    }


def with_scopes(keys: Iterable[ApiKey], grantable: Collection[str]) -> dict[str, Any]:
    """Keys as they may be shown, and what a new one may be made with."""
    return {
        "keys": [public_fields(key) for key in keys],
        "grantable": {scope: does for scope, does in SCOPES.items() if scope in grantable},
        "usual": [scope for scope in SCOPES if scope in ASKING and scope in grantable],
    }


def shown_once(key: ApiKey, text: Secret) -> dict[str, Any]:
    """What its maker sees of a new key."""
    return {**public_fields(key), "key": text.reveal()}


_KEY_FIELDS = ("name", "days", "limits", "scopes")


def days_of(body: Mapping[str, Any]) -> float | None:
    """How long a key is asked to last."""
    days = body.get("days")
    # In Python True is a number, too.
    if days is not None and (isinstance(days, bool) or not isinstance(days, int | float)):
        raise BadRequest("'days' must be a number.", param="days")
    return days


def limits_of(body: Mapping[str, Any]) -> CallerLimits:
    """The limits that a key is asked to have."""
    given = body.get("limits")
    return CallerLimits(**check_limits("limits", {} if given is None else given))


def scopes_of(body: Mapping[str, Any]) -> frozenset[str] | None:
    """What a key is asked to be for; no key makes keys, or administers the gateway."""
    if (given := body.get("scopes")) is None:
        return None
    if not (isinstance(given, list) and given and all(isinstance(one, str) and one in GRANTABLE for one in given)):
        known = ", ".join(scope for scope in SCOPES if scope in GRANTABLE)
        raise BadRequest(f"'scopes' must be a list of one or more of: {known}.", param="scopes")
    return frozenset(given)


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
