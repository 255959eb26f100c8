"""Documents in the ledger's database: found by SQLite's FTS5 or PostgreSQL's text search, always within a tenant."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jupyter_server_ext.knowledge.values import Found, NewDocument, SharedDocument
from jupyter_server_ext.ledger import document_passages, documents, shared_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

_JOINT = " › "  # between the headings of a path
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_MOST_WORDS = 30  # of a question
_LONGEST_WORD = 60  # characters
# Words that say nothing of what is asked, as PostgreSQL's English leaves out too.
_SMALL = frozenset(
    re.findall(
        r"\w+",
        "a about an and any are as at be by can do does for from has have how i if in into is it its many me much my"
        " no not of on or our should that the their there they this to was we what when where which who why with"
        " you your",
    )
)
_LOCK = 7_715_102  # with a tenant's hash: two that write for one tenant take turns


class SqlDocuments:
    """Reads and writes them; each method is a transaction, and blocks."""

    # Every statement that reads names the tenants that may be read, on the passages themselves.

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(
        self, sent: NewDocument, tenant: str, *, now: float, expires: float | None, most: int, most_bytes: int
    ) -> SharedDocument | str:
        """Keep a document in place of the tenant's one of that name; what its quota lacks where it does not fit."""
        size = sum(passage.size for passage in sent.passages)
        with self._engine.begin() as db:
            take_turns(db, tenant)
            _delete(db, documents.c.expires <= now)
            _delete(db, documents.c.tenant == tenant, documents.c.name == sent.name)
            count = db.execute(sa.select(sa.func.count()).where(documents.c.tenant == tenant)).scalar() or 0
            if count >= most or held_bytes(db, tenant) + size > most_bytes:
                db.rollback()
                return f"{most:,} documents" if count >= most else f"{most_bytes / 1e6:,.0f} MB"
            row = {"tenant": tenant, "name": sent.name, "bytes": size, "added": now, "expires": expires}
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
                }
                for passage in sent.passages
            ]
            db.execute(document_passages.insert(), rows)
        return SharedDocument(sent.name, tenant, len(sent.passages), size, now, expires)

    def all(self, tenants: Sequence[str], now: float) -> list[SharedDocument]:
        """The documents of tenants, by name."""
        columns = (documents.c[name] for name in ("name", "tenant", "passages", "bytes", "added", "expires"))
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

    def search(
        self, tenants: Sequence[str], question: str, *, now: float, names: Sequence[str] = (), most: int = 10
    ) -> list[Found]:
        """The passages of tenants' documents that hold words of a question, the best first."""
        asked = (word[:_LONGEST_WORD] for word in _WORD.findall(question.lower()) if word not in _SMALL)
        words = list(dict.fromkeys(asked))[:_MOST_WORDS]
        if not words or not tenants:
            return []
        with self._engine.connect() as db:
            rank, condition, given = _matching(db.dialect.name, words)
            part = document_passages.c
            query = (
                sa.select(
                    documents.c.name,
                    part.tenant,
                    part.text,
                    part.heading,
                    part.first_line,
                    part.last_line,
                    part.part,
                    sa.text(f"{rank} AS score"),
                )
                .select_from(document_passages.join(documents, documents.c.id == part.document))
                .where(part.tenant.in_(tenants), documents.c.tenant == part.tenant, _good(now), sa.text(condition))
                .order_by(sa.text("score DESC"), part.id)
                .limit(most)
            )
            if db.dialect.name == "sqlite":
                query = query.join(sa.text("document_words"), sa.text("document_words.rowid = document_passages.id"))
            query = query.where(documents.c.name.in_(names)) if names else query
            rows = db.execute(query, given).all()
        return [_found(row) for row in rows]


def _found(row: Any) -> Found:
    name, tenant, text, heading, first, last, part, score = row
    path = tuple(filter(None, heading.split(_JOINT)))
    return Found(name, tenant, text, path, first, last, part, float(score))


def _matching(dialect: str, words: Sequence[str]) -> tuple[str, str, dict[str, Any]]:
    """How well a passage matches, whether it does, and the values of both; headings count more."""
    if dialect == "sqlite":
        # Each word is quoted, so none is an operator. FTS5's bm25 is the smaller the better.
        quoted = " OR ".join('"' + word.replace('"', "") + '"' for word in words)
        return "-bm25(document_words, 2.0, 1.0)", "document_words MATCH :asked", {"asked": quoted}
    asked = " | ".join(re.sub(r"\W", "", word) for word in words)
    query = "to_tsquery('english', :asked)"
    return f"ts_rank(words, {query}, 1)", f"words @@ {query}", {"asked": asked}


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
    db.execute(sa.delete(document_passages).where(document_passages.c.document.in_(gone)))
    return db.execute(sa.delete(documents).where(*conditions)).rowcount
