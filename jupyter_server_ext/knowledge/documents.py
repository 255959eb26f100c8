"""Documents of tenants, and the passages that a search finds."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, NotPermitted
from jupyter_server_ext.knowledge.access import end_of, tenant_written, tenants_read, whose
from jupyter_server_ext.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jupyter_server_ext.config import DocumentSettings
    from jupyter_server_ext.knowledge.indexes import PassageIndexes
    from jupyter_server_ext.knowledge.meanings import QuestionVector
    from jupyter_server_ext.knowledge.store import DocumentDraft, SqlDocuments
    from jupyter_server_ext.knowledge.values import Found, SharedDocument, SharedPassage
    from jupyter_server_ext.ledger import Ledger, SqlLedgerStore
    from jupyter_server_ext.messages import Caller

T = TypeVar("T")


class NoSuchDocument(BadRequest):
    """There is no document of this name, or not for this caller."""

    status, code = 404, "document_not_found"


@dataclass(eq=False, repr=False)
class Documents:
    """Keeps, finds and removes them, for a caller each time."""

    ledger: Ledger  # whose database holds them; without one there are none
    settings: DocumentSettings  # how many, how large and how long
    clock: Callable[[], float] = time.time  # Unix time
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _worker: Worker = field(default_factory=lambda: Worker("rsql-documents", nice=10))

    @cached_property
    def _indexes(self) -> PassageIndexes:
        from jupyter_server_ext.knowledge.indexes import PassageIndexes

        return PassageIndexes(int(self.settings.memory_mb * 1e6))

    def _of(self, store: SqlLedgerStore) -> SqlDocuments:
        from jupyter_server_ext.knowledge.store import SqlDocuments

        return SqlDocuments(store.engine, self._indexes)

    async def put(self, caller: Caller, body: bytes) -> SharedDocument:
        """Keep a document as it was sent, in place of the one of its name.

        Raises:
            NotPermitted: It is another tenant's, or the quota is used up.
            BadRequest: It has another form, or would be kept for too long.
            LedgerUnavailable: There is no database (404), or it cannot be written (503).
        """
        from jupyter_server_ext.knowledge.preparing import made_ready

        ready = await made_ready(self._worker, body)
        head, now = ready.head, self.clock()
        tenant = tenant_written(caller, head.tenant)
        expires = end_of(self.settings, head.days, now)
        most, most_bytes = self.settings.most_per_tenant, int(self.settings.mb_per_tenant * 1e6)
        draft = await self.ledger.write(
            lambda store: self._of(store).begin(
                head, tenant, now=now, expires=expires, most=most, most_bytes=most_bytes
            )
        )
        if isinstance(draft, str):
            words = f"The documents of {whose(tenant)} may be {draft} in all. Delete some first."
            raise NotPermitted(words, code="documents_full")
        for some in ready.pieces:
            await self._write(partial(_add, draft=draft, passages=some))
        kept = await self._write(lambda documents: documents.finish(draft, ready.index))
        await self._sweep()
        return kept

    async def _write(self, step: Callable[[SqlDocuments], T]) -> T:
        # Entries are written by the same thread: of all documents one step at a time waits for it, and it has as much
        # time for others as for these.
        async with self._turn:
            start = time.perf_counter()
            done = await self.ledger.write(lambda store: step(self._of(store)))
            await asyncio.sleep(time.perf_counter() - start)
            return done

    async def _sweep(self) -> None:
        now = self.clock()
        with suppress(LedgerUnavailable):  # the next one does it
            while await self._write(lambda documents: documents.sweep(now)):
                pass

    def close(self) -> None:
        """End the process in which documents are made ready."""
        self._worker.close()

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
        await self._sweep()
        return of


def _add(documents: SqlDocuments, *, draft: DocumentDraft, passages: list[SharedPassage]) -> None:
    documents.add(draft, passages)
