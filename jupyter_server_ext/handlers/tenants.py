"""Tenants at run time: administrators make and set them, instructors see and set their own; and the trail of it all."""

from __future__ import annotations

from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.parameters import whole
from jupyter_server_ext.handlers.shapes.administration import ChangesReply, MembersReply, TenantReply, TenantsReply
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.tenants import shown

_LINES = whole("limit", "How many lines at most.", least=1, most=1000, default=100)
_BEFORE = whole("before", "The `number` of a line, for those before it.", least=1, most=999_999_999, default=None)


class AllTenants(GatewayHandler):
    """``admin/api/tenants``."""

    @needs_scope("instructor")
    @described(TenantsReply)
    async def get(self) -> None:
        """The tenants: all for an administrator, one's own for an instructor."""
        self.reply({"tenants": await self.app.tenants.all(self.asker)})

    @needs_scope("admin")
    @described(TenantReply, status=201)
    async def post(self) -> None:
        """Make a tenant, with rules as in ``[tenants.NAME]``: its ``name``, and any of them."""
        body = requests.json_object(self.body)
        name = requests.required_text(body, "name")
        rules = {field: value for field, value in body.items() if field != "name"}
        self.reply(await self.app.tenants.make(self.asker, name, rules), status=201)


class OneTenant(GatewayHandler):
    """``GET``, ``PATCH`` (or ``PUT``, ``POST``) and ``DELETE admin/api/tenants/{name}``."""

    @needs_scope("instructor")
    @described(TenantReply)
    async def get(self, name: str) -> None:
        """A tenant's rules in force, where they come from, and what of them was decided at run time."""
        self.reply(await self.app.tenants.one(self.asker, name))

    @needs_scope("instructor")
    @described(TenantReply)
    async def patch(self, name: str) -> None:
        """Set rules of a tenant, such as ``{"weight": 2, "limits": {"usd_per_day": 5}}``; null takes one back.

        An instructor sets ``system_prompt``, ``models``, ``privacy_floor``, ``fallbacks``, ``cache`` and ``limits``
        of the own group, and gets no more by that than administrators grant.
        """
        self.reply(await self.app.tenants.set(self.asker, name, requests.json_object(self.body)))

    put = post = patch

    @needs_scope("instructor")
    @described(TenantReply)
    async def delete(self, name: str) -> None:
        """Take back what was decided at run time: an instructor what instructors did, an administrator all."""
        self.reply(await self.app.tenants.drop(self.asker, name))


class Members(GatewayHandler):
    """``admin/api/tenants/{name}/members``."""

    @needs_scope("instructor")
    @described(MembersReply)
    async def get(self, name: str) -> None:
        """The callers that an administrator put into a tenant; groups of the hub are listed at the hub."""
        self.reply({"members": await self.app.tenants.members(self.asker, name)})

    @needs_scope("admin")
    @described(MembersReply, status=201)
    async def post(self, name: str) -> None:
        """Put a ``caller`` who has no other group into this one; with ``instructor`` it teaches there."""
        body = requests.own_object(self.body, "caller", "instructor")
        member, teaches = requests.required_text(body, "caller"), requests.optional_truth(body, "instructor")
        await self.app.tenants.add(self.asker, name, member, instructor=teaches)
        self.reply({"members": await self.app.tenants.members(self.asker, name)}, status=201)


class OneMember(GatewayHandler):
    """``admin/api/tenants/{name}/members/{caller}``."""

    @needs_scope("admin")
    @described(MembersReply)
    async def delete(self, name: str, member: str) -> None:
        """Take a caller out of a tenant."""
        await self.app.tenants.remove(self.asker, name, member)
        self.reply({"members": await self.app.tenants.members(self.asker, name)})


class Changes(GatewayHandler):
    """``admin/api/changes``."""

    @needs_scope("instructor")
    @described(ChangesReply, _LINES, _BEFORE)
    async def get(self) -> None:
        """What was changed at run time, the newest first, and by whom: all, or for an instructor the own group's.

        ``limit`` lines, 100 when it is not given; ``before`` is the number of a line, for those before it.
        """
        asked = self.query()
        lines = await self.app.tenants.history(self.asker, asked["before"], asked["limit"])
        self.reply({"changes": [shown(line) for line in lines]})


class UndoneChange(GatewayHandler):
    """``POST admin/api/changes/{id}/undo``."""

    @needs_scope("instructor")
    @described(ChangesReply)
    async def post(self, change_id: str) -> None:
        """Take a change back, if nothing of it was changed again since."""
        lines = await self.app.tenants.undo(self.asker, change_id)
        self.reply({"changes": [shown(line) for line in lines]})


def tenant_seen(handler: GatewayHandler) -> str | None:
    """The tenant whose figures the caller sees; None for all."""
    return handler.app.tenants.scope(handler.asker)
