"""Documents of tenants, and the passages that a search finds."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, NotPermitted
from jupyter_server_ext.knowledge.access import end_of, tenant_written, tenants_read, whose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_server_ext.config import DocumentSettings
    from jupyter_server_ext.knowledge.indexes import PassageIndexes
    from jupyter_server_ext.knowledge.meanings import QuestionVector
    from jupyter_server_ext.knowledge.store import SqlDocuments
    from jupyter_server_ext.knowledge.values import Found, NewDocument, SharedDocument
    from jupyter_server_ext.ledger import Ledger, SqlLedgerStore
    from jupyter_server_ext.messages import Caller


class NoSuchDocument(BadRequest):
    """There is no document of this name, or not for this caller."""

    status, code = 404, "document_not_found"


@dataclass(eq=False, repr=False)
class Documents:
    """Keeps, finds and removes them, for a caller each time."""

    ledger: Ledger  # whose database holds them; without one there are none
    settings: DocumentSettings  # how many, how large and how long
    clock: Callable[[], float] = time.time  # Unix time

    @cached_property
    def _indexes(self) -> PassageIndexes:
        from jupyter_server_ext.knowledge.indexes import PassageIndexes

        return PassageIndexes(int(self.settings.memory_mb * 1e6))

    def _of(self, store: SqlLedgerStore) -> SqlDocuments:
        from jupyter_server_ext.knowledge.store import SqlDocuments

        return SqlDocuments(store.engine, self._indexes)

    async def put(self, caller: Caller, sent: NewDocument) -> SharedDocument:
        """Keep a document, in place of the one of its name.

        Raises:
            NotPermitted: It is another tenant's, or the quota is used up.
            BadRequest: It would be kept for too long.
            LedgerUnavailable: There is no database (404), or it cannot be written (503).
        """
        tenant, now = tenant_written(caller, sent.tenant), self.clock()
        expires = end_of(self.settings, sent.days, now)
        most, most_bytes = self.settings.most_per_tenant, int(self.settings.mb_per_tenant * 1e6)
        kept = await self.ledger.write(
            lambda store: self._of(store).put(sent, tenant, now=now, expires=expires, most=most, most_bytes=most_bytes)
        )
        if isinstance(kept, str):
            words = f"The documents of {whose(tenant)} may be {kept} in all. Delete some first."
            raise NotPermitted(words, code="documents_full")
        with suppress(LedgerUnavailable):  # a search makes it, too; not in the writer's thread, where entries wait
            await self.ledger.ask(lambda store: self._of(store).make_index(tenant, kept.name))
        return kept

    async def all(self, caller: Caller) -> list[SharedDocument]:
        """The documents that a caller may search; none without a database."""
        if not self.ledger.keeps:
            return []
        return await self.ledger.ask(lambda store: self._of(store).all(tenants_read(caller), self.clock()))

    async def count(self, caller: Caller) -> int:
        """How many a caller may search; none while they cannot be read."""
        try:
            return await self.ledger.ask(lambda store: self._of(store).count(tenants_read(caller), self.clock()))
        except LedgerUnavailable:
            return 0

    async def search(
        self,
        caller: Caller,
        question: str,
        names: Sequence[str] = (),
        most: int = 10,
        meaning: QuestionVector | None = None,
    ) -> list[Found]:
        """The passages that a caller may read and that hold words of a question, or mean what it means.

        There are none without a database.
        """
        if not self.ledger.keeps:
            return []
        now, reads = self.clock(), tenants_read(caller)
        return await self.ledger.ask(
            lambda store: self._of(store).search(reads, question, now=now, names=names, most=most, meaning=meaning)
        )

    async def models(self, caller: Caller) -> list[str]:
        """The models whose vectors the documents have that a caller may search."""
        if not self.ledger.keeps:
            return []
        return await self.ledger.ask(lambda store: self._of(store).models(tenants_read(caller), self.clock()))

    async def remove(self, caller: Caller, name: str, tenant: str | None = None) -> str:
        """Remove a document of a tenant, the caller's when None; whose it was.

        Raises:
            NotPermitted: It is another tenant's.
            NoSuchDocument: There is none of that name.
        """
        of = tenant_written(caller, tenant)
        if not await self.ledger.write(lambda store: self._of(store).remove(of, name)):
            raise NoSuchDocument("There is no such document. GET documents lists them.")
        return of
