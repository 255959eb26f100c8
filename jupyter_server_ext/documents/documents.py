"""Documents of tenants: who reads which, how much there may be, and for how long."""

# A caller reads the documents of its tenant and those for everyone, which have no tenant. Nothing else is ever read:
# the tenants are decided here, from the caller alone, and stand in every statement of the store.

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, NotPermitted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_server_ext.config import DocumentSettings
    from jupyter_server_ext.documents.store import SqlDocuments
    from jupyter_server_ext.documents.values import Found, NewDocument, SharedDocument
    from jupyter_server_ext.ledger import Ledger, SqlLedgerStore
    from jupyter_server_ext.messages import Caller

_DAY = 86_400.0


class NoSuchDocument(BadRequest):
    """There is no document of this name, or not for this caller."""

    status, code = 404, "document_not_found"


@dataclass(eq=False, repr=False)
class Documents:
    """Keeps, finds and removes them, for a caller each time."""

    ledger: Ledger  # whose database holds them; without one there are none
    settings: DocumentSettings  # how many, how large and how long
    clock: Callable[[], float] = time.time  # Unix time

    async def put(self, caller: Caller, sent: NewDocument) -> SharedDocument:
        """Keep a document, in place of the one of its name.

        Raises:
            NotPermitted: It is another tenant's, or the quota is used up.
            BadRequest: It would be kept for too long.
            LedgerUnavailable: There is no database (404), or it cannot be written (503).
        """
        tenant = self._writes(caller, sent.tenant)
        days = self.settings.default_days if sent.days is None else sent.days
        if days < 0 or (self.settings.most_days and not 0 < days <= self.settings.most_days):
            raise BadRequest(f"'days' must be more than 0 and at most {self.settings.most_days:g}.", param="days")
        now = self.clock()
        expires = now + days * _DAY if days else None
        most, most_bytes = self.settings.most_per_tenant, int(self.settings.mb_per_tenant * 1e6)
        kept = await self.ledger.write(
            lambda store: _of(store).put(sent, tenant, now=now, expires=expires, most=most, most_bytes=most_bytes)
        )
        if isinstance(kept, str):
            raise NotPermitted(f"{_whose(tenant)} may be {kept} in all. Delete some first.", code="documents_full")
        return kept

    async def all(self, caller: Caller) -> list[SharedDocument]:
        """The documents that a caller may search; none without a database."""
        if not self.ledger.keeps:
            return []
        return await self.ledger.ask(lambda store: _of(store).all(_reads(caller), self.clock()))

    async def count(self, caller: Caller) -> int:
        """How many a caller may search; none while they cannot be read."""
        try:
            return await self.ledger.ask(lambda store: _of(store).count(_reads(caller), self.clock()))
        except LedgerUnavailable:
            return 0

    async def search(self, caller: Caller, question: str, names: Sequence[str] = (), most: int = 10) -> list[Found]:
        """The passages that a caller may read and that hold words of a question; none without a database."""
        if not self.ledger.keeps:
            return []
        now = self.clock()
        return await self.ledger.ask(
            lambda store: _of(store).search(_reads(caller), question, now=now, names=names, most=most)
        )

    async def remove(self, caller: Caller, name: str, tenant: str | None = None) -> None:
        """Remove a document of a tenant, the caller's when None.

        Raises:
            NotPermitted: It is another tenant's.
            NoSuchDocument: There is none of that name.
        """
        whose = self._writes(caller, tenant)
        if not await self.ledger.write(lambda store: _of(store).remove(whose, name)):
            raise NoSuchDocument("There is no such document. GET documents lists them.")

    @staticmethod
    def _writes(caller: Caller, tenant: str | None) -> str:
        """The tenant whose documents are to be changed, if the caller may do that."""
        wanted = caller.tenant if tenant is None else tenant
        if "admin" in caller.scopes:
            return wanted
        if "instructor" not in caller.scopes or wanted != caller.tenant:
            raise NotPermitted("These documents are not yours to change. Ask your administrator.")
        if not caller.tenant:
            raise NotPermitted("You are in no group, and what is for everyone is your administrator's to change.")
        return wanted


def _reads(caller: Caller) -> tuple[str, ...]:
    return (caller.tenant, "") if caller.tenant else ("",)


def _whose(tenant: str) -> str:
    return f"The documents of {tenant}" if tenant else "The documents for everyone"


def _of(store: SqlLedgerStore) -> SqlDocuments:
    from jupyter_server_ext.documents.store import SqlDocuments

    return SqlDocuments(store.engine)
