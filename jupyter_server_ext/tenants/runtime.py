"""The settings in force: those of rsql.toml and of the hub's groups, with what was changed while the gateway runs."""

# A change is kept as lines of a trail in the ledger's database (``ledger/changes.py``). It goes before rsql.toml and
# the hub also after a restart, until it is taken back. Other gateways of the same ledger follow within a few seconds.
#
# Kinds of things, and what their names are:
#
#     limits     caller, tenant, everyone     the limits of each caller, of each tenant, of all together
#     callers    a caller                     limits of this one
#     routes     a route                      limits of each caller on it
#     tenant     a tenant                     its rules, by administrators
#     course     a tenant                     its rules, by its instructors, within the bounds of the others
#     webhook    its id                       where what is told (``webhooks/``)
#     given back a caller                     when what counted against the limits was forgotten
#     member     a caller                     the tenant that an administrator put it in, and whether it teaches there
#     key        a key's public id            whether it is paused, retired or was resumed
#     new key    a key's public id            a provider's key that was added, encrypted

from __future__ import annotations

import asyncio
import json
import secrets
import time
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import KW_ONLY, InitVar, dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from jupyter_server_ext.config import TEACHES, CallerLimits, TenantSettings
from jupyter_server_ext.errors import BadRequest, LedgerUnavailable
from jupyter_server_ext.ledger import DID, GIVEN_BACK, AdminChange, MemoryChanges, Thing
from jupyter_server_ext.logs import log
from jupyter_server_ext.messages import Caller, as_name
from jupyter_server_ext.tenants.rules import Rules, bounded, overlaid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jupyter_server_ext.config import Settings
    from jupyter_server_ext.ledger import Ledger, SqlChanges

T = TypeVar("T")

State = dict[Thing, Rules]

GENERAL = ("caller", "tenant", "everyone")
_OF_TENANTS = ("tenant", "course")
_WITH_TENANT = ("member", "webhook")  # things whose rules say whose they are
_FOLLOW_SECONDS = 2.0  # between two looks at what other gateways have changed
_TRIES = 5  # of a change that others come before
change_made: ContextVar[str] = ContextVar("rsql_change", default="")
"""The id of the change that the request at hand has made, for its reply; empty for none."""


class ChangedSince(BadRequest):
    """What is to be taken back is no longer as that change left it, or never had another state."""

    status, code = 409, "changed_since"


class NoSuchChange(BadRequest):
    """There is no change of this id, or not for this caller."""

    status, code = 404, "unknown_change"


@dataclass(eq=False, repr=False)
class RuntimeSettings:
    """What is in force, and how it is changed.

    Example:
        >>> from jupyter_server_ext.config import Settings
        >>> from jupyter_server_ext.ledger import Ledger
        >>> runtime, lab = RuntimeSettings(Settings(), Ledger(None)), Thing("tenant", "lab")
        >>> [line] = asyncio.run(runtime.change(lambda state: {lab: {"weight": 2.0}}, "teacher"))
        >>> runtime.rules_of("lab").weight
        2.0
        >>> _ = asyncio.run(runtime.undo(line.id, "teacher"))
        >>> runtime.rules_of("lab") is None
        True
    """

    file: InitVar[Settings]  # as read
    ledger: Ledger  # whose database keeps changes; without one they last as long as the process
    apply: Callable[[Settings], None] = lambda _: None  # called with the settings whenever they change
    _: KW_ONLY
    clock: Callable[[], float] = time.time  # Unix time

    def __post_init__(self, file: Settings) -> None:
        self.settings = self._file = file
        self._memory = MemoryChanges()
        self._of_file = {tenant.name: tenant for tenant in file.tenants}
        self._of_hub: dict[str, TenantSettings] = {}
        self._in_force = self._of_file
        self._seen = 0
        self._texts: Mapping[Thing, str] = {}
        self.state: State = {}

    @property
    def lasts(self) -> bool:
        """Whether changes outlast the process."""
        return self.ledger.keeps

    # What is in force

    def rules_of(self, tenant: str) -> TenantSettings | None:
        """The rules of a tenant, or None where nobody gave it any."""
        return self._in_force.get(tenant)

    def granted(self, tenant: str) -> TenantSettings:
        """The rules of a tenant without those of its instructors, which they bound."""
        base = self._of_hub.get(tenant) or self._of_file.get(tenant) or TenantSettings(tenant)
        return overlaid(base, self.state.get(Thing("tenant", tenant), {}))

    def sources(self, tenant: str) -> list[str]:
        """Who gave a tenant rules: ``file``, ``hub``, ``administrator``, ``instructor``."""
        given = {
            "file": tenant in self._of_file,
            "hub": tenant in self._of_hub,
            "administrator": Thing("tenant", tenant) in self.state,
            "instructor": Thing("course", tenant) in self.state,
        }
        return [name for name, is_given in given.items() if is_given]

    def placed(self, caller: Caller) -> Caller:
        """A caller in the tenant that an administrator put it in; one that has another tenant stays there."""
        member = self.state.get(Thing("member", caller.name))
        if member is None or caller.tenant not in ("", member["tenant"]):
            return caller
        # A virtual key has the scopes that it was made with.
        more = TEACHES if member.get("instructor") and not caller.key else frozenset[str]()
        return replace(caller, tenant=member["tenant"], scopes=caller.scopes | more, as_known=caller)

    def learn(self, tenant: TenantSettings) -> None:
        """Have these rules for a group of the hub from now on; those of rsql.toml, or none, are not the hub's."""
        if tenant == self._of_file.get(tenant.name, TenantSettings(tenant.name)):
            self._of_hub.pop(tenant.name, None)
        else:
            self._of_hub[tenant.name] = tenant
        self._put_in_force()

    # Changing it

    def recall(self) -> None:
        """Have what was changed before; before serving, as it blocks."""
        if self.ledger.keeps:
            self._take_over(*self.ledger.changed())

    async def follow(self, seconds: float = _FOLLOW_SECONDS) -> None:
        """Have what other gateways change, for ever."""
        while self.ledger.keeps:
            await asyncio.sleep(seconds)
            with suppress(LedgerUnavailable):  # health shows it
                await self.catch_up()

    async def catch_up(self) -> None:
        """Have what other gateways have changed by now.

        Raises:
            LedgerUnavailable: It cannot be read.
        """
        newest = await self._read(lambda store: store.newest())
        if newest != self._seen:
            self._take_over(newest, await self._read(lambda store: store.state()))

    async def change(
        self, edit: Callable[[State], Mapping[Thing, Rules]], caller: str, *, undoes: str = ""
    ) -> list[AdminChange]:
        """Change things to what ``edit`` makes of the state; empty rules take everything back that was decided of one.

        Args:
            edit: Called with the state that is changed, again where another comes before.
            caller: Who changes it.
            undoes: The id of the change that this takes back.

        Returns:
            The lines that were added; none where nothing differs.

        Raises:
            LedgerUnavailable: It cannot be kept; nothing is changed then.
            ChangedSince: Others change the same all the time.
        """
        for _ in range(_TRIES):
            await self.catch_up()
            number, at = secrets.token_hex(6), self.clock()
            lines = []
            for thing, rules in edit(self.state).items():
                before, after = self._texts.get(thing, ""), _text(rules)
                if _rules(before) != _rules(after):
                    whose = self._tenant_of(thing, rules)
                    lines.append(AdminChange(number, at, caller, *thing, whose, before, after, undoes))
            if not lines or await self._add(lines):
                return lines
        raise ChangedSince("Others are changing the same at this moment. Try again.")

    async def undo(
        self, change_id: str, caller: str, may: Callable[[AdminChange], bool] = lambda _: True
    ) -> list[AdminChange]:
        """Take a change back, if everything is as it left it.

        Raises:
            NoSuchChange: There is none of this id for which ``may`` is true.
            ChangedSince: Something was changed again since, or cannot be taken back.
            LedgerUnavailable: It cannot be kept.
        """
        found = await self._read(lambda store: store.by_id(change_id))
        if not found or not all(map(may, found)):
            raise NoSuchChange("There is no such change. GET admin/api/changes lists them.", param="id")
        if any(line.kind in {DID, GIVEN_BACK} for line in found):
            raise ChangedSince("This cannot be taken back.")
        await self.catch_up()
        if any(self._texts.get(line.thing, "") != line.after for line in found):
            raise ChangedSince("It was changed again since. Take the later change back first.")
        at, number = self.clock(), secrets.token_hex(6)
        lines = [
            replace(line, id=number, at=at, caller=caller, before=line.after, after=line.before, undoes=change_id)
            for line in found
        ]
        if not await self._add(lines):
            raise ChangedSince("It was changed again at this moment. Look at it, and try again.")
        return lines

    async def note(self, what: str, caller: str, tenant: str = "") -> None:
        """Add a line about what has no state, such as ``paused the key groq-1``; nothing where it cannot be kept."""
        line = AdminChange(secrets.token_hex(6), self.clock(), caller, DID, as_name(what), tenant)
        log.warning("administrator_change", what=line.name, administrator=caller)
        with suppress(LedgerUnavailable):  # what was done is done
            await self._write(lambda store: store.add([line]))

    async def history(self, tenant: str | None, before: int | None, limit: int) -> list[AdminChange]:
        """Lines of the trail, the newest first; of a tenant, or all.

        Raises:
            LedgerUnavailable: It cannot be read.
        """
        return await self._read(lambda store: store.read(tenant=tenant, before=before, limit=limit))

    async def forget(self, caller: str) -> None:
        """Drop what was decided about a caller, and the caller's name from the trail.

        Raises:
            LedgerUnavailable: It cannot be written.
        """
        await self._write(lambda store: store.forget(caller))
        await self.note("forgot a caller", "")
        await self.catch_up()

    def _tenant_of(self, thing: Thing, rules: Rules) -> str:
        if thing.kind in _OF_TENANTS:
            return thing.name
        if thing.kind == GIVEN_BACK:  # of an instructor
            return str(rules.get("tenant", ""))
        own = rules or self.state.get(thing, {})
        return str(own["tenant"]) if thing.kind in _WITH_TENANT else ""

    async def _add(self, lines: list[AdminChange]) -> bool:
        added = await self._write(lambda store: store.add(lines))
        for line in lines if added else ():
            what = f"{line.kind} {line.name}"
            change_made.set(line.id)
            log.warning("administrator_change", what=what, change=line.id, administrator=line.caller)
        await self.catch_up()
        return added

    async def _read(self, question: Callable[[MemoryChanges | SqlChanges], T]) -> T:
        if not self.ledger.keeps:
            return question(self._memory)
        return await self.ledger.ask(lambda store: question(store.changes))

    async def _write(self, change: Callable[[MemoryChanges | SqlChanges], T]) -> T:
        if not self.ledger.keeps:
            return change(self._memory)
        return await self.ledger.write(lambda store: change(store.changes))

    def _take_over(self, newest: int, texts: Mapping[Thing, str]) -> None:
        self._seen = newest
        if texts != self._texts:
            self._texts = texts
            self.state = {thing: _rules(text) for thing, text in texts.items()}
            self._put_in_force()

    def _put_in_force(self) -> None:
        self.settings = self._effective()
        self._in_force = {tenant.name: tenant for tenant in self.settings.tenants}
        self.apply(self.settings)

    def _effective(self) -> Settings:
        of = self._of_kind
        general = {
            name: replace(getattr(self._file, name), **self.state.get(Thing("limits", name), {})) for name in GENERAL
        }
        courses = of("course")
        names = [*self._of_file, *self._of_hub, *of("tenant"), *courses]
        tenants = []
        for name in dict.fromkeys(names):
            rules = self.granted(name)
            tenants.append(bounded(rules, courses[name], general["tenant"]) if name in courses else rules)
        callers = tuple((name, CallerLimits(**own)) for name, own in of("callers").items())
        routes = dict(self._file.routes)
        for name, own in of("routes").items():
            routes[name] = replace(routes.get(name, CallerLimits()), **own)
        return replace(self._file, **general, tenants=tuple(tenants), callers=callers, routes=tuple(routes.items()))

    def _of_kind(self, kind: str) -> dict[str, Rules]:
        return {thing.name: rules for thing, rules in self.state.items() if thing.kind == kind}


def _text(rules: Rules) -> str:
    return json.dumps(rules, sort_keys=True) if rules else ""


def _rules(text: str) -> Rules:
    rules: Rules = json.loads(text) if text else {}
    return rules
