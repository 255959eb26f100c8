"""The indexes of tenants' passages in a gateway's memory: read once, bounded, and never older than the database."""

# A document that is shared again gets another number, so its index never changes, and there is nothing to invalidate:
# every search reads the numbers of the documents that there are now, from the database that all gateways share.

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jupyter_server_ext.knowledge.passage_index import PassageIndex, merged
from jupyter_server_ext.ledger import document_passages, documents

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    Row = sa.Row[*tuple[Any, ...]]

_MADE_AT_ONCE = 2_000_000  # bytes of passages whose index one search makes
_READ_AT_ONCE = 100  # indexes of documents
# What a search wants to know of documents, of those that it may read.
LISTED = sa.select(
    *(documents.c[name] for name in ("id", "tenant", "name", "model", "bytes")),
    sa.func.length(documents.c.search_index).label("indexed"),
)


@dataclass(eq=False, repr=False)
class _Shelf:
    parts: list[PassageIndex] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)  # one that reads what is new; others would read the same

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


class PassageIndexes:
    """Those of the tenants that searched last.

    Args:
        most: Bytes of memory for all together. What is merged at the moment comes on top, and is at most as large.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()  # by tenant, the one used last at the end
        self._lock = Lock()

    @property
    def size(self) -> int:
        """Bytes of memory that they take."""
        with self._lock:
            return sum(shelf.size for shelf in self._shelves.values())

    def of(self, db: sa.Connection, rows: Sequence[Row]) -> list[PassageIndex] | None:
        """The indexes of these documents, which may have others as well.

        None where they are too large for the memory, or not all made yet; then some are made.
        """
        if sum(row.indexed or row.bytes for row in rows) > self._most or not _made(db, rows):
            return None
        found: list[PassageIndex] = []
        for tenant in dict.fromkeys(row.tenant for row in rows):
            own = {row.id: row for row in rows if row.tenant == tenant}
            with self._lock:
                shelf = self._shelves.setdefault(tenant, _Shelf())
                self._shelves.move_to_end(tenant)
            with shelf.lock:
                known = {number for part in shelf.parts for number in part.documents}
                new = _read(db, [row for number, row in own.items() if number not in known])
                shelf.parts = _tidied([*shelf.parts, *new], own.keys())
                found += shelf.parts
        self._make_room()
        return found

    def _make_room(self) -> None:
        with self._lock:
            size = sum(shelf.size for shelf in self._shelves.values())
            while size > self._most and self._shelves:
                _, oldest = self._shelves.popitem(last=False)
                size -= oldest.size


def make_index(db: sa.Connection, number: str, model: str) -> PassageIndex | None:
    """Make the index of a document and keep it beside it; None where the document is gone meanwhile."""
    part = document_passages.c
    query = sa.select(part.id, part.heading, part.text, part.vector).where(part.document == number)
    passages = [(id_, heading, text, vector) for id_, heading, text, vector in db.execute(query.order_by(part.id))]
    if not passages:
        return None
    made = PassageIndex.of(number, model, passages)
    db.execute(sa.update(documents).where(documents.c.id == number).values(search_index=made.packed()))
    db.commit()
    return made


def _made(db: sa.Connection, rows: Sequence[Row]) -> bool:
    """Whether all are made, at last; of those that are not, as much is made as a search may wait for."""
    left = _MADE_AT_ONCE
    for row in rows:
        if row.indexed is None:
            if left <= 0:
                return False
            left -= row.bytes
            try:
                make_index(db, row.id, row.model or "")
            except sa.exc.DBAPIError:  # a full disk, or another who writes for long
                db.rollback()
                return False
    return True


def _read(db: sa.Connection, rows: Sequence[Row]) -> list[PassageIndex]:
    """The indexes of documents as one; those of documents that are gone meanwhile are not in it."""
    models = {row.id: row.model or "" for row in rows}
    query = sa.select(documents.c.id, documents.c.search_index)
    found: list[PassageIndex | None] = []
    for first in range(0, len(rows), _READ_AT_ONCE):
        some = [row.id for row in rows[first : first + _READ_AT_ONCE]]
        for number, kept in db.execute(query.where(documents.c.id.in_(some))).all():
            read = PassageIndex.unpacked(number, models[number], kept) if kept else None
            found.append(read or make_index(db, number, models[number]))
    there = [each for each in found if each is not None]
    return [merged(there)] if there else []


def _tidied(parts: Sequence[PassageIndex], documents: AbstractSet[str]) -> list[PassageIndex]:
    """Few parts, each more than twice as large as the next, and at most half of it of documents that are gone."""
    kept: list[PassageIndex] = []
    for part in parts:
        there = part.within(documents)
        if there is not None and 2 * int(there.sum()) < len(there):
            part = part.only(documents)  # noqa: PLW2901
        kept += [part] if part.documents else []
    while len(kept) > 1 and 2 * len(kept[-1].ids) >= len(kept[-2].ids):
        kept[-2:] = [merged([part.only(documents) for part in kept[-2:]])]
    return kept
