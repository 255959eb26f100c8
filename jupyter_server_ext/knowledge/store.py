"""Documents in the ledger's database, found by their indexes, always within a tenant."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jupyter_server_ext.knowledge.indexes import LISTED
from jupyter_server_ext.knowledge.meaning_search import as_kept, by_meaning, by_vectors, index_signs
from jupyter_server_ext.knowledge.meanings import fused, signs_of
from jupyter_server_ext.knowledge.passage_index import best_by_words, nearest_by_signs, with_numbers
from jupyter_server_ext.knowledge.preparing import JOINT, head_of, heading_of
from jupyter_server_ext.knowledge.values import Found, NewDocument, SharedDocument
from jupyter_server_ext.knowledge.word_search import PASSAGES, by_words
from jupyter_server_ext.ledger import deferred_fsync, document_passages, documents, passage_signs, shared_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_server_ext.knowledge.indexes import PassageIndexes
    from jupyter_server_ext.knowledge.meanings import QuestionVector
    from jupyter_server_ext.knowledge.passage_index import Searched
    from jupyter_server_ext.knowledge.preparing import DocumentHead
    from jupyter_server_ext.knowledge.values import SharedPassage

_DEEP = 100  # places of each ranking that are fused
_RESCORED = 200  # passages whose vectors are compared, of those that are nearest by their signs
_HIDDEN = "\x01"  # begins names that nobody can give
_ABANDONED = 3_600.0  # seconds after which nobody goes on to write a document
_LOCK = 7_715_102  # with a tenant's hash: two that write for one tenant take turns


@dataclass(eq=False, repr=False)
class DocumentDraft:
    """A document that is being written."""

    number: str
    tenant: str
    head: DocumentHead
    now: float  # Unix time
    expires: float | None
    ids: list[int] = field(default_factory=list)  # of its passages, as far as they are written

    @property
    def hidden(self) -> str:
        """Its name until it is finished."""
        return _HIDDEN + self.number

    @property
    def of_it(self) -> dict[str, str]:
        """What says in another table whose it is."""
        return {"document": self.number, "tenant": self.tenant}


class SqlDocuments:
    """Reads and writes them; each method is a transaction, and blocks."""

    # Every statement that reads names the tenants that may be read, on the passages themselves.

    def __init__(self, engine: sa.Engine, indexes: PassageIndexes | None = None) -> None:
        """Search by indexes in memory, or by those of the database when None."""
        self._engine = engine
        self._indexes = indexes

    def put(
        self, sent: NewDocument, tenant: str, *, now: float, expires: float | None, most: int, most_bytes: int
    ) -> SharedDocument | str:
        """Keep a document in place of the tenant's one of that name; what its quota lacks where it does not fit."""
        draft = self.begin(head_of(sent), tenant, now=now, expires=expires, most=most, most_bytes=most_bytes)
        if isinstance(draft, str):
            return draft
        self.add(draft, sent.passages)
        kept = self.finish(draft)
        while self.sweep(now):
            pass
        return kept

    # A document is written in steps, between which others may write: its passages count and are searched when it is
    # finished. What is not finished, or replaced, stands under a name that nobody can give, and has expired.

    def begin(
        self, head: DocumentHead, tenant: str, *, now: float, expires: float | None, most: int, most_bytes: int
    ) -> DocumentDraft | str:
        """Begin to write a document; what the tenant's quota lacks where it does not fit."""
        if head.model:
            index_signs(self._engine, head.vector)
        draft = DocumentDraft(secrets.token_hex(8), tenant, head, now, expires)
        counted = sa.and_(documents.c.tenant == tenant, documents.c.name != head.name, _good(now))
        unfinished = sa.and_(documents.c.tenant == tenant, documents.c.expires < min(0.0, _ABANDONED - now))
        with self._engine.begin() as db:
            take_turns(db, tenant)
            others = sa.select(sa.func.count(), sa.func.sum(documents.c.bytes)).where(sa.or_(counted, unfinished))
            count, size = db.execute(others).one()
            texts = sa.select(sa.func.sum(shared_texts.c.bytes)).where(shared_texts.c.tenant == tenant)
            size = int(size or 0) + int(db.execute(texts).scalar() or 0)
            if count >= most or size + head.size > most_bytes:
                db.rollback()
                return f"{most:,} documents" if count >= most else f"{most_bytes / 1e6:,.0f} MB"
            row = {"tenant": tenant, "name": draft.hidden, "bytes": head.size, "added": now, "expires": -now - 1}
            db.execute(
                documents.insert(),
                {"id": draft.number, "passages": head.passages, "model": head.model or None, **row},
            )
        return draft

    def add(self, draft: DocumentDraft, passages: Sequence[SharedPassage]) -> None:
        """Write some passages of a document, in their order."""
        rows = [
            {
                "document": draft.number,
                "tenant": draft.tenant,
                "heading": heading_of(passage),
                "part": passage.part,
                "first_line": passage.first,
                "last_line": passage.last,
                "text": passage.text,
                "vector": passage.vector or None,
            }
            for passage in passages
        ]
        # A power cut takes back what is not finished, and nothing else.
        with self._engine.connect() as db, deferred_fsync(db):
            numbered = document_passages.insert().returning(document_passages.c.id, sort_by_parameter_order=True)
            ids = db.execute(numbered, rows).scalars().all()
            if draft.head.model:
                signs = [
                    {"passage": id_, "signs": as_kept(db, signs_of(one.vector)), **draft.of_it}
                    for id_, one in zip(ids, passages, strict=True)
                ]
                db.execute(passage_signs.insert(), signs)
        draft.ids += ids

    def finish(self, draft: DocumentDraft, index: bytes | None = None) -> SharedDocument:
        """Have a document stand in place of the one of its name; its index is made by a search where there is none."""
        head, own = draft.head, documents.c.id == draft.number
        packed = None if index is None else with_numbers(index, draft.ids)
        before = sa.and_(documents.c.tenant == draft.tenant, documents.c.name == head.name)
        with self._engine.begin() as db:
            take_turns(db, draft.tenant)
            replaced = sa.literal(_HIDDEN).concat(documents.c.id)
            db.execute(sa.update(documents).where(before).values(name=replaced, expires=0.0))
            db.execute(
                sa.update(documents).where(own).values(name=head.name, expires=draft.expires, search_index=packed)
            )
        return SharedDocument(
            head.name, draft.tenant, head.passages, head.size, draft.now, draft.expires, head.model or None
        )

    def sweep(self, now: float, most: int = 24) -> int:
        """Delete up to so many passages of documents that have expired or were never finished; return how many rows."""
        abandoned = documents.c.expires.between(-(now - _ABANDONED), -1e-9)
        with self._engine.connect() as db, deferred_fsync(db):
            ended = sa.or_(documents.c.expires.between(0.0, now), abandoned)
            number = db.execute(sa.select(documents.c.id).where(ended).limit(1)).scalar()
            if number is None:
                return 0
            some = sa.select(document_passages.c.id).where(document_passages.c.document == number).limit(most)
            ids = db.execute(some).scalars().all()
            for table, column in ((passage_signs, "passage"), (document_passages, "id")):
                db.execute(sa.delete(table).where(table.c[column].in_(ids)))
            if len(ids) < most:
                db.execute(sa.delete(documents).where(documents.c.id == number))
            return len(ids) + 1

    def all(self, tenants: Sequence[str], now: float) -> list[SharedDocument]:
        """The documents of tenants, by name."""
        columns = (documents.c[name] for name in ("name", "tenant", "passages", "bytes", "added", "expires", "model"))
        query = sa.select(*columns).where(documents.c.tenant.in_(tenants), _good(now))
        with self._engine.connect() as db:
            return [SharedDocument(*row) for row in db.execute(query.order_by(documents.c.name, documents.c.tenant))]

    def count(self, tenants: Sequence[str], now: float) -> int:
        """How many documents tenants have."""
        query = sa.select(sa.func.count()).select_from(documents).where(documents.c.tenant.in_(tenants), _good(now))
        with self._engine.connect() as db:
            return int(db.execute(query).scalar() or 0)

    def remove(self, tenant: str, name: str) -> bool:
        """Remove a document; whether there was one. Its passages go with the next ``sweep``."""
        hidden = {"name": sa.literal(_HIDDEN).concat(documents.c.id), "expires": 0.0}
        named = sa.and_(documents.c.tenant == tenant, documents.c.name == name)
        with self._engine.begin() as db:
            return db.execute(sa.update(documents).where(named).values(hidden)).rowcount > 0

    def models(self, tenants: Sequence[str], now: float) -> list[str]:
        """The models that gave the passages of tenants' documents vectors."""
        query = sa.select(documents.c.model).distinct().where(documents.c.tenant.in_(tenants), _good(now))
        with self._engine.connect() as db:
            return sorted(db.execute(query.where(documents.c.model.is_not(None))).scalars())

    def search(
        self,
        tenants: Sequence[str],
        question: str,
        *,
        now: float,
        names: Sequence[str] = (),
        most: int = 10,
        meaning: QuestionVector | None = None,
    ) -> list[Found]:
        """The passages of tenants' documents that hold words of a question or mean what it means, the best first."""
        if not tenants:
            return []
        of_them = [documents.c.tenant.in_(tenants), _good(now)]
        of_them += [documents.c.name.in_(names)] if names else []
        allowed = [document_passages.c.tenant.in_(tenants), *of_them]
        deep = _DEEP if meaning else most
        with self._engine.connect() as db:
            if (parts := self._searched(db, tenants, names, now)) is not None:
                scores = dict(best_by_words(parts, question, deep))
                near = _nearest(db, parts, meaning) if meaning else []
            else:
                scores = by_words(db, question, allowed, deep)
                signs = [passage_signs.c.tenant.in_(tenants), *of_them]
                near = by_meaning(db, meaning, signs, _DEEP) if meaning else []
            if near:
                scores = fused([*scores], near)
            best = dict(list(scores.items())[:most])
            columns = ("id", "tenant", "text", "heading", "first_line", "last_line", "part")
            query = sa.select(documents.c.name, *(document_passages.c[name] for name in columns))
            query = query.select_from(PASSAGES).where(document_passages.c.id.in_(best), *allowed)
            found = {row.id: _found(row, best[row.id]) for row in db.execute(query)}
        return [found[number] for number in best if number in found]  # another may have removed some meanwhile

    def _searched(
        self, db: sa.Connection, tenants: Sequence[str], names: Sequence[str], now: float
    ) -> list[Searched] | None:
        """The indexes to search in memory, with the passages of each that a search is about; None to search without."""
        if self._indexes is None:
            return None
        rows = db.execute(LISTED.where(documents.c.tenant.in_(tenants), _good(now))).all()
        if (parts := self._indexes.of(db, rows)) is None:
            return None
        wanted = {row.id for row in rows if not names or row.name in names}
        return [(part, part.within(wanted)) for part in parts]


def _nearest(db: sa.Connection, parts: Sequence[Searched], meaning: QuestionVector) -> list[int]:
    near = nearest_by_signs(parts, meaning.model, meaning.vector, _RESCORED)
    return by_vectors(db, meaning, near, _DEEP)


def _found(row: Any, score: float) -> Found:
    path = tuple(filter(None, row.heading.split(JOINT)))
    return Found(row.name, row.tenant, row.text, path, row.first_line, row.last_line, row.part, score)


def _good(now: float) -> sa.ColumnElement[bool]:
    return sa.or_(documents.c.expires.is_(None), documents.c.expires > now)


def held_bytes(db: sa.Connection, tenant: str) -> int:
    """How much a tenant shares, of every kind."""
    sums = (
        sa.select(sa.func.sum(table.c.bytes)).where(table.c.tenant == tenant) for table in (documents, shared_texts)
    )
    return sum(int(db.execute(query).scalar() or 0) for query in sums)


def take_turns(db: sa.Connection, tenant: str) -> None:
    """Let no other transaction change what this tenant shares until this one ends."""
    if db.dialect.name == "postgresql":
        db.execute(sa.text("SELECT pg_advisory_xact_lock(:lock, hashtext(:tenant))"), {"lock": _LOCK, "tenant": tenant})
    else:
        db.exec_driver_sql("BEGIN IMMEDIATE")
