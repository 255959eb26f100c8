"""Virtual API keys, for scripts and CI: made by callers for themselves within their limits, or by administrators."""

# The text of a key is in one reply, when it is made. It stands for its owner: what it uses counts as the owner's, and
# limits of its own come on top. It begins with ``rsql_``, so nothing else is asked about it.

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from jupyter_server_ext.config import ASKING, PERSON, CallerLimits, Secret, held
from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, NotPermitted
from jupyter_server_ext.identity.auth import IdentityUnavailable, token_of
from jupyter_server_ext.ledger import ApiKey, MemoryApiKeys
from jupyter_server_ext.messages import Caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tornado.web import RequestHandler

    from jupyter_server_ext.config import VirtualKeySettings
    from jupyter_server_ext.identity.auth import Identity
    from jupyter_server_ext.ledger import Ledger, SqlApiKeys
    from jupyter_server_ext.messages import Owner

T = TypeVar("T")

PREFIX = "rsql_"
_DAY = 86_400.0
_MOST_CALLERS = 10_000  # whose owners are remembered
_NAME = re.compile(r"[\w.@+-][\w .@+-]{0,63}")


class NoSuchKey(BadRequest):
    """There is no virtual key of this id, or not for this caller."""

    status, code = 404, "key_not_found"


@dataclass(eq=False, repr=False)
class VirtualKeys:
    """Makes, finds and revokes keys."""

    ledger: Ledger  # whose database holds them; without one they are kept until the end of the process
    settings: VirtualKeySettings  # how many and how long
    # Returns the owner of a name, or of a mark, where a hub knows it: None when the hub has no such user any more.
    owner: Callable[[str, str], Awaitable[Owner | None]] | None = None
    _: KW_ONLY
    max_age: float = 60.0  # seconds for which a caller's owner is remembered
    clock: Callable[[], float] = time.time  # Unix time

    def __post_init__(self) -> None:
        self._followed: OrderedDict[str, float] = OrderedDict()  # until when
        self._memory = MemoryApiKeys()

    async def make(
        self,
        owner: Caller,
        name: str,
        *,
        days: float | None = None,
        limits: CallerLimits | None = None,
        scopes: frozenset[str] | None = None,  # None: to ask, as far as the caller may
        is_counted: bool = True,  # False for one that the gateway makes for itself
    ) -> tuple[ApiKey, Secret]:
        """A new key of a caller, for the configured days when None; its text is in the reply and nowhere else.

        Raises:
            BadRequest: No such name, or too many days.
            NotPermitted: The caller has too many, or lacks a scope that the key is to have.
        """
        # A place that was given by hand is looked up whenever the key is used, and may be taken back.
        owner = owner.as_known or owner
        scopes = ASKING & held(owner.scopes) if scopes is None else scopes
        if not scopes <= held(owner.scopes):
            raise NotPermitted("A key of yours may do no more than you. Leave 'scopes' out.")
        if is_counted and len(await self.of(owner.name)) >= self.settings.most_per_caller:
            raise NotPermitted(f"You have {self.settings.most_per_caller} keys, which is the most. Revoke one first.")
        draft = replace(self._draft(owner.name, name, days, limits), scopes=scopes)
        if self.owner is None or ":" in owner.name:  # a service of the hub is no user of it
            return await self._keep(replace(draft, tenant=owner.tenant))
        known = await self.owner(owner.name, "")
        return await self._keep(replace(draft, tenant=None, mark=known.mark if known else ""))

    async def make_for(
        self,
        owner: str,
        name: str,
        *,
        tenant: str,
        days: float | None = None,
        limits: CallerLimits | None = None,
        scopes: frozenset[str] | None = None,
    ) -> tuple[ApiKey, Secret]:
        """A new key that an administrator makes, for a caller who need not be known anywhere else.

        Raises:
            BadRequest: No such name, or too many days.
        """
        _check_name(owner, "owner")
        draft = self._draft(owner, name, days, limits)
        return await self._keep(replace(draft, tenant=tenant, scopes=scopes or ASKING))

    async def of(self, owner: str | None) -> list[ApiKey]:
        """The valid keys of a caller, or of all callers."""
        now = self.clock()
        if owner is not None:
            await self._follow(owner)
        return [key for key in await self._read(lambda store: store.all(owner)) if key.expires > now]

    async def tenants(self) -> set[str]:
        """The groups of keys that administrators made for others."""
        return {key.tenant for key in await self._read(lambda store: store.all(None)) if key.tenant}

    async def revoke(self, key_id: str, owner: str | None) -> ApiKey:
        """End a key, which must be the owner's; of anybody for an administrator, None.

        Raises:
            NoSuchKey: There is none, or it is another caller's.
        """
        if owner is not None:
            await self._follow(owner)
        found = next((key for key in await self._read(lambda store: store.all(owner)) if key.id == key_id), None)
        if found is None:
            raise NoSuchKey("There is no such key. GET keys lists yours.")
        await self._write(lambda store: store.remove(key_id))
        return found

    async def caller_by(self, text: str) -> Caller | None:
        """The caller that a key stands for now; None when it is unknown, revoked or expired, or its owner has gone.

        Raises:
            IdentityUnavailable: The keys, or the hub, cannot be read now.
        """
        digest = _digest(text)
        try:
            key = await self._read(lambda store: store.find(digest))
        except LedgerUnavailable as error:
            raise IdentityUnavailable("Virtual keys cannot be checked at the moment. Try again in 5 s.") from error
        return None if key is None else await self._caller_of(key)

    async def caller_with(self, key_id: str) -> Caller | None:
        """The caller that the key of this public id stands for now, as ``caller_by``."""
        found = next((key for key in await self._read(lambda store: store.all(None)) if key.id == key_id), None)
        return None if found is None else await self._caller_of(found)

    async def _caller_of(self, key: ApiKey) -> Caller | None:
        if key.expires <= self.clock():
            return None
        if key.tenant is not None:
            return Caller(key.owner, key.tenant, key.scopes, key=key.id, limits=key.limits)
        owner = await self._owner_of(key)
        if owner is None:
            return None
        # What its owner has lost, the key has lost.
        return Caller(owner.name, owner.tenant, key.scopes & held(owner.scopes), key=key.id, limits=key.limits)

    async def _owner_of(self, key: ApiKey) -> Caller | None:
        """The owner as it is now, whose new name is kept; None when there is no such user any more."""
        found = await self.owner(key.owner, key.mark) if self.owner is not None else None
        if found is None:
            return None
        if found.caller.name != key.owner:
            await self._write(lambda store: store.rename(key.id, found.caller.name))
        return found.caller

    async def _follow(self, owner: str) -> None:
        """Find keys that a caller made by an earlier name, and leave those that another made by this one."""
        if self.owner is None or ":" in owner or self.clock() < self._followed.get(owner, 0.0):
            return
        with suppress(IdentityUnavailable):  # while the hub is away they are whose they were
            known = await self.owner(owner, "")
            self._followed[owner] = self.clock() + self.max_age
            if len(self._followed) > _MOST_CALLERS:
                self._followed.popitem(last=False)
            if known is not None and known.mark:
                for key in await self._read(lambda store: store.all(None)):
                    if key.tenant is None and key.mark and (key.mark == known.mark) != (key.owner == owner):
                        await self._settle(key)

    async def _settle(self, key: ApiKey) -> None:
        """Give a key to its owner's name of now; it ends when the hub has no such user."""
        if await self._owner_of(key) is None:
            await self._write(lambda store: store.remove(key.id))

    def _draft(self, owner: str, name: str, days: float | None, limits: CallerLimits | None) -> ApiKey:
        """A key that opens nothing yet."""
        _check_name(name, "name")
        days = self.settings.default_days if days is None else days
        if not 0 < days <= self.settings.most_days:
            raise BadRequest(f"'days' must be more than 0 and at most {self.settings.most_days:g}.", param="days")
        now = self.clock()
        end = now + days * _DAY
        return ApiKey(secrets.token_hex(4), "", owner, name, made=now, expires=end, limits=limits or CallerLimits())

    async def _keep(self, draft: ApiKey) -> tuple[ApiKey, Secret]:
        text = PREFIX + secrets.token_urlsafe(32)
        key = replace(draft, digest=_digest(text))
        await self._write(lambda store: store.add(key))
        return key, Secret(text)

    async def _read(self, question: Callable[[MemoryApiKeys | SqlApiKeys], T]) -> T:
        if not self.ledger.keeps:
            return question(self._memory)
        return await self.ledger.ask(lambda store: question(store.api_keys))

    async def _write(self, change: Callable[[MemoryApiKeys | SqlApiKeys], T]) -> T:
        if not self.ledger.keeps:
            return change(self._memory)
        return await self.ledger.write(lambda store: change(store.api_keys))


class KeyIdentity:
    """Callers by their virtual keys, and others by another identity."""

    def __init__(self, keys: VirtualKeys, others: Identity | None = None) -> None:
        self._keys = keys
        self._others = others

    async def caller_of(self, handler: RequestHandler) -> Caller | None:
        """See ``Identity.caller_of``."""
        token = token_of(handler)
        if token.startswith(PREFIX):
            return await self._keys.caller_by(token)
        return await self._others.caller_of(handler) if self._others else None


@dataclass(frozen=True)
class KnownCallers:
    """Callers who asked for something earlier, as they are now, without a token of theirs."""

    keys: VirtualKeys
    placed: Callable[[Caller], Caller]  # the caller in the tenant that an administrator put it in
    known: Mapping[str, Caller]  # those of the configuration, by name

    async def now(self, name: str, tenant: str, key: str) -> Caller | None:
        """A caller by its name and tenant of then, and the virtual key that it used; None where it has gone.

        Raises:
            IdentityUnavailable: The keys, or the hub, cannot be read now.
        """
        caller: Caller | None
        if key:
            caller = await self.keys.caller_with(key)
        elif name in self.known or self.keys.owner is None or ":" in name:  # a service of the hub is no user of it
            caller = self.known.get(name, Caller(name, tenant, PERSON))
        else:
            owner = await self.keys.owner(name, "")
            caller = owner.caller if owner is not None else None
        return self.placed(caller) if caller is not None else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _check_name(name: str, field: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(f"'{field}' must be up to 64 letters, digits, blanks and . @ + - _", param=field)
