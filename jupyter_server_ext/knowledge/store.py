"""Documents in the ledger's database, found by their indexes, always within a tenant."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jupyter_server_ext.knowledge.indexes import LISTED, make_index
from jupyter_server_ext.knowledge.meaning_search import as_kept, by_meaning, by_vectors, index_signs
from jupyter_server_ext.knowledge.meanings import fused, signs_of
from jupyter_server_ext.knowledge.passage_index import best_by_words, nearest_by_signs
from jupyter_server_ext.knowledge.values import Found, NewDocument, SharedDocument
from jupyter_server_ext.knowledge.word_search import PASSAGES, by_words
from jupyter_server_ext.ledger import document_passages, documents, passage_signs, shared_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_server_ext.knowledge.indexes import PassageIndexes
    from jupyter_server_ext.knowledge.meanings import QuestionVector
    from jupyter_server_ext.knowledge.passage_index import Searched

_JOINT = " › "  # between the headings of a path
_DEEP = 100  # places of each ranking that are fused
_RESCORED = 200  # passages whose vectors are compared, of those that are nearest by their signs
_LOCK = 7_715_102  # with a tenant's hash: two that write for one tenant take turns


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
        size = sum(passage.size for passage in sent.passages)
        if sent.model:
            index_signs(self._engine, sent.passages[0].vector)
        with self._engine.begin() as db:
            take_turns(db, tenant)
            _delete(db, documents.c.expires <= now)
            _delete(db, documents.c.tenant == tenant, documents.c.name == sent.name)
            count = db.execute(sa.select(sa.func.count()).where(documents.c.tenant == tenant)).scalar() or 0
            if count >= most or held_bytes(db, tenant) + size > most_bytes:
                db.rollback()
                return f"{most:,} documents" if count >= most else f"{most_bytes / 1e6:,.0f} MB"
            row = {"tenant": tenant, "name": sent.name, "bytes": size, "added": now, "expires": expires}
            row["model"] = sent.model or None
            number = secrets.token_hex(8)
            db.execute(documents.insert(), {"id": number, "passages": len(sent.passages), **row})
            rows = [
                {
                    "document": number,
                    "tenant": tenant,
                    "heading": _JOINT.join(passage.path),
                    "part": passage.part,
                    "first_line": passage.first,
                    "last_line": passage.last,
                    "text": passage.text,
                    "vector": passage.vector or None,
                }
                for passage in sent.passages
            ]
            if not sent.model:
                db.execute(document_passages.insert(), rows)
            else:
                numbered = document_passages.insert().returning(document_passages.c.id, sort_by_parameter_order=True)
                ids = db.execute(numbered, rows).scalars().all()
                signs = [
                    {"passage": id_, "signs": as_kept(db, signs_of(one.vector)), "document": number, "tenant": tenant}
                    for id_, one in zip(ids, sent.passages, strict=True)
                ]
                db.execute(passage_signs.insert(), signs)
        return SharedDocument(sent.name, tenant, len(sent.passages), size, now, expires, sent.model or None)

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
        """Remove a document with its passages; whether there was one."""
        with self._engine.begin() as db:
            return _delete(db, documents.c.tenant == tenant, documents.c.name == name) > 0

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

    def make_index(self, tenant: str, name: str) -> None:
        """Make the index of a document, which the first search would have to make."""
        with self._engine.connect() as db:
            for row in db.execute(LISTED.where(documents.c.tenant == tenant, documents.c.name == name)).all():
                make_index(db, row.id, row.model or "")

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
    path = tuple(filter(None, row.heading.split(_JOINT)))
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


def _delete(db: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
    gone = sa.select(documents.c.id).where(*conditions)
    db.execute(sa.delete(passage_signs).where(passage_signs.c.document.in_(gone)))
    db.execute(sa.delete(document_passages).where(document_passages.c.document.in_(gone)))
    return db.execute(sa.delete(documents).where(*conditions)).rowcount
