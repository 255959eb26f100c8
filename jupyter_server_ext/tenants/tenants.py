"""Tenants as people see and set them: administrators all, instructors their own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jupyter_server_ext.config import TenantSettings
from jupyter_server_ext.errors import BadRequest, LimitExceeded, NotPermitted
from jupyter_server_ext.ledger import GIVEN_BACK, NEW_KEY, Thing
from jupyter_server_ext.messages import is_name
from jupyter_server_ext.tenants.overrides import check_limits
from jupyter_server_ext.tenants.rules import check_bounds, checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jupyter_server_ext.ledger import AdminChange
    from jupyter_server_ext.messages import Caller
    from jupyter_server_ext.tenants.overrides import KnownGroups
    from jupyter_server_ext.tenants.rules import Rules
    from jupyter_server_ext.tenants.runtime import RuntimeSettings, State

_MOST_A_DAY = 500  # changes of one tenant, beyond which its instructors have to wait
_DAY = 86_400.0
_MOST_TENANTS = 1_000  # with rules that were given at run time
_MOST_MEMBERS = 10_000  # that were put into tenants by hand


class NoSuchTenant(BadRequest):
    """There is no tenant of this name, or not for this caller."""

    status, code = 404, "unknown_tenant"


class TenantExists(BadRequest):
    """A tenant of this name has rules already."""

    status, code = 409, "tenant_exists"


@dataclass(eq=False, repr=False)
class Tenants:
    """What may be seen and set of tenants, for a caller each time."""

    runtime: RuntimeSettings  # the rules in force
    groups: KnownGroups  # the groups that there are

    def scope(self, caller: Caller) -> str | None:
        """The one tenant that a caller sees and sets; None for all.

        Raises:
            NotPermitted: It is an instructor of none.
        """
        if "admin" in caller.scopes:
            return None
        if "instructor" not in caller.scopes or not caller.tenant:
            raise NotPermitted("You teach no group. Ask your administrator.")
        return caller.tenant

    async def all(self, caller: Caller) -> list[dict[str, Any]]:
        """The tenants that a caller sees."""
        own = self.scope(caller)
        names = await self.groups.all() if own is None else {own}
        return [self.report(name) for name in sorted(names)]

    async def one(self, caller: Caller, name: str) -> dict[str, Any]:
        """One tenant.

        Raises:
            NoSuchTenant: There is none, or the caller does not see it.
        """
        await self._check(caller, name)
        return self.report(name)

    def report(self, name: str) -> dict[str, Any]:
        """The rules in force of a tenant, and who decided what of them."""
        rules = asdict(self.runtime.rules_of(name) or TenantSettings(name))
        state = self.runtime.state
        return {
            "name": rules.pop("name"),
            "rules": rules,
            "sources": self.runtime.sources(name),
            "decided": state.get(Thing("tenant", name), {}),
            "by_instructors": state.get(Thing("course", name), {}),
            "members": len(self._members(name)),
        }

    async def make(self, caller: Caller, name: str, rules: Mapping[str, Any]) -> dict[str, Any]:
        """Make a tenant.

        Raises:
            BadRequest: The name or a rule is wrong.
            TenantExists: It has rules.
        """
        if not name or not is_name(name) or name != name.strip():
            words = "'name' may have 1 to 255 characters, and no control characters or blanks around it."
            raise BadRequest(words, param="name")
        given = _read(name, rules)

        def edit(state: State) -> State:
            if self.runtime.rules_of(name) is not None:
                raise TenantExists(f"There is a group '{name[:40]}'. PATCH changes its rules.", param="name")
            if sum(thing.kind == "tenant" for thing in state) >= _MOST_TENANTS:
                raise BadRequest(f"Not more than {_MOST_TENANTS:,} tenants may have rules that were given by hand.")
            return {Thing("tenant", name): {"weight": 1.0} | _merged({}, given)}

        await self.runtime.change(edit, caller.name)
        return self.report(name)

    async def set(self, caller: Caller, name: str, rules: Mapping[str, Any]) -> dict[str, Any]:
        """Set rules of a tenant; those that are not named stay, None takes one back.

        Raises:
            BadRequest: A rule is wrong.
            NoSuchTenant: There is none, or the caller does not see it.
            NotPermitted: It is not an instructor's to set, or beyond what administrators grant.
        """
        await self._check(caller, name)
        given = _read(name, rules)
        kind = "tenant" if "admin" in caller.scopes else "course"
        if kind == "course":
            await self.check_pace(name)
        thing = Thing(kind, name)

        def edit(state: State) -> State:
            if kind == "course":
                check_bounds(self.runtime.granted(name), given, self.runtime.settings.tenant)
            return {thing: _merged(state.get(thing, {}), given)}

        await self.runtime.change(edit, caller.name)
        return self.report(name)

    async def drop(self, caller: Caller, name: str) -> dict[str, Any]:
        """Take back what was decided at run time: of an instructor its own, of an administrator all, with members.

        Raises:
            NoSuchTenant: There is none, or the caller does not see it.
        """
        await self._check(caller, name)
        things = [Thing("course", name)]
        if "admin" not in caller.scopes:
            await self.check_pace(name)
        if "admin" in caller.scopes:
            things += [Thing("tenant", name), *(Thing("member", member) for member in self._members(name))]
        await self.runtime.change(lambda _: {thing: {} for thing in things}, caller.name)
        return self.report(name)

    async def members(self, caller: Caller, name: str) -> list[dict[str, Any]]:
        """Who was put into a tenant by hand, and who of them teaches."""
        await self._check(caller, name)
        found = self._members(name)
        return [{"caller": one, "instructor": bool(found[one].get("instructor"))} for one in sorted(found)]

    async def add(self, caller: Caller, name: str, member: str, *, instructor: bool) -> None:
        """Put a caller that has no other tenant into this one.

        Raises:
            BadRequest: It is in another one already, or its name can be nobody's.
            NoSuchTenant: There is none.
        """
        await self._check(caller, name)
        if not member or not is_name(member):
            raise BadRequest("'caller' may have 1 to 255 characters, and no control characters.", param="caller")
        thing = Thing("member", member)

        def edit(state: State) -> State:
            if (now := state.get(thing, {}).get("tenant", name)) != name:
                raise BadRequest(f"{member} was put into '{now}'. Take it out of there first.", param="caller")
            if sum(each.kind == "member" for each in state) >= _MOST_MEMBERS:
                raise BadRequest(f"Not more than {_MOST_MEMBERS:,} callers may be put into tenants by hand.")
            return {thing: {"tenant": name, **({"instructor": True} if instructor else {})}}

        await self.runtime.change(edit, caller.name)

    async def remove(self, caller: Caller, name: str, member: str) -> None:
        """Take a caller out of a tenant.

        Raises:
            NoSuchTenant: It is not in it, or there is no such tenant.
        """
        await self._check(caller, name)
        if member not in self._members(name):
            raise NoSuchTenant("This caller was not put into that group by hand.", param="caller")
        await self.runtime.change(lambda _: {Thing("member", member): {}}, caller.name)

    # The trail

    async def history(self, caller: Caller, before: int | None, limit: int) -> list[AdminChange]:
        """What was changed, the newest first: all, or what concerns the instructor's own tenant."""
        return await self.runtime.history(self.scope(caller), before, limit)

    async def undo(self, caller: Caller, change_id: str) -> Sequence[AdminChange]:
        """Take a change back; of an instructor, one that instructors made of its own tenant.

        Raises:
            NoSuchChange: There is none of this id, or it is not the caller's to take back.
            ChangedSince: It cannot be taken back any more.
        """
        own = self.scope(caller)
        if own is not None:
            await self.check_pace(own)

        def may(line: AdminChange) -> bool:
            return own is None or (line.kind == "course" and line.name == own)

        return await self.runtime.undo(change_id, caller.name, may)

    async def check_pace(self, name: str) -> None:
        """Refuse instructors of one tenant more changes a day than a trail should have to keep."""
        lines = await self.runtime.history(name, None, _MOST_A_DAY)
        if len(lines) == _MOST_A_DAY and (wait := lines[-1].at + _DAY - self.runtime.clock()) > 0:
            words = f"Your group was changed {_MOST_A_DAY:,} times within a day. Try again later."
            raise LimitExceeded(words, retry_after=wait)

    def _members(self, name: str) -> dict[str, Rules]:
        state = self.runtime.state.items()
        return {thing.name: rules for thing, rules in state if thing.kind == "member" and rules["tenant"] == name}

    async def _check(self, caller: Caller, name: str) -> None:
        own = self.scope(caller)
        if own is None:
            try:
                await self.groups.check([name])
            except BadRequest as error:
                raise NoSuchTenant(error.message, param="name") from None
        elif name != own:
            raise NoSuchTenant("You see your own group only.", param="name")


def shown(line: AdminChange) -> dict[str, Any]:
    """A line of the trail as people see it."""
    told = {name: getattr(line, name) for name in ("number", "id", "at", "caller", "kind", "name", "tenant", "undoes")}
    state = {name: json.loads(text) if (text := getattr(line, name)) else None for name in ("before", "after")}
    if line.kind == "webhook":
        state = {name: one and one | {"url": hidden_path(one["url"])} for name, one in state.items()}
    elif line.kind == GIVEN_BACK:  # the sums are for restarts, and of all groups
        state = {name: one and {"at": one["at"]} for name, one in state.items()}
    elif line.kind == NEW_KEY:
        state = {name: one and {field: one[field] for field in one if field != "sealed"} for name, one in state.items()}
    return told | state


def hidden_path(url: str) -> str:
    """An address whose path is not shown: with many receivers of webhooks it is what lets a sender in.

    Example:
        >>> hidden_path("https://hooks.example.org/services/T0/B1?key=2")
        'https://hooks.example.org/…'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"


def _read(name: str, rules: Mapping[str, Any]) -> Rules:
    """Rules as they were sent, looked at."""
    checked(name, rules)
    if rules.get("limits") is not None:
        check_limits("limits", rules["limits"])
    return dict(rules)


def _merged(before: Rules, given: Rules) -> Rules:
    """The rules after some were set; None takes one back, and of ``limits`` each by itself."""
    after = before | {name: value for name, value in given.items() if name != "limits"}
    if "limits" in given:
        after["limits"] = None if given["limits"] is None else before.get("limits", {}) | given["limits"]
    return {name: value for name, value in after.items() if value is not None and value != {}}
