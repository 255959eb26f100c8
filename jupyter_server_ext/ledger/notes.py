"""What people say beside asking: feedback, and names of conversations."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jupyter_server_ext.ledger.records import TrailRecord, hash_of_rating
from jupyter_server_ext.ledger.schema import entries, feedback, session_copies, session_files, sessions
from jupyter_server_ext.messages import Rating

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jupyter_server_ext.ledger.pages import LedgerPage
    from jupyter_server_ext.ledger.trail import AuditTrail


def drop_expired_copies(db: sa.Connection, now: float) -> int:
    """Delete conversations that callers kept here, with their files, whose time is over at a Unix time; how many."""
    # The conversations go first: one that its caller sends anew meanwhile waits for the end of this transaction.
    over = sa.delete(session_copies).where(session_copies.c.expires <= now)
    gone = db.execute(over.returning(session_copies.c.caller, session_copies.c.id)).all()
    for caller, session in gone:
        db.execute(sa.delete(session_files).where(session_files.c.caller == caller, session_files.c.session == session))
    return len(gone)


def drop_ratings(db: sa.Connection, trail: AuditTrail, caller: str, at: float) -> None:
    """Delete a caller's ratings; ``at`` is the Unix time of the record that says so."""
    own = sa.delete(feedback).where(feedback.c.caller == caller).returning(feedback.c.request_id)
    trail.add(db, [TrailRecord("rating", "", request) for request in db.execute(own).scalars().all()], at)


class SqlNotes:
    """Feedback and names of conversations in the ledger's database. Methods block."""

    def __init__(self, engine: sa.Engine, trail: AuditTrail) -> None:
        self._engine, self._trail = engine, trail

    # Feedback

    def rate(self, rating: Rating) -> None:
        """Keep a rating; a later one of the same request takes its place."""
        with self._engine.begin() as db:
            db.execute(sa.delete(feedback).where(feedback.c.request_id == rating.request_id))
            row = asdict(rating)
            db.execute(sa.insert(feedback), row)
            record = TrailRecord("rating", rating.caller, rating.request_id, hash_of_rating(row))
            self._trail.add(db, [record], rating.at)

    def ratings(self, page: LedgerPage, tenant: str | None = None) -> Sequence[Rating]:
        """Ratings, the latest first."""
        query = sa.select(feedback)
        if tenant is not None:
            query = query.where(feedback.c.tenant == tenant)
        with self._engine.connect() as db:
            return [
                Rating(**row) for row in db.execute(page.of(query, feedback.c.at, feedback.c.request_id)).mappings()
            ]

    # Conversations

    def conversations(
        self, page: LedgerPage, *, caller: str | None = None, tenant: str | None = None, task: str | None = None
    ) -> list[dict[str, Any]]:
        """Conversations and the sums of their requests, the latest first."""
        query = sa.select(sessions).where(sessions.c.deleted_at.is_(None))
        for column, wanted in ((sessions.c.caller, caller), (sessions.c.tenant, tenant), (sessions.c.task, task)):
            if wanted is not None:
                query = query.where(column == wanted)
        ordered = page.of(query, sessions.c.last_at, sessions.c.caller, sessions.c.session)
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(ordered).mappings()]

    def name_conversation(self, caller: str, session: str, name: str) -> bool:
        """Give a conversation a name; whether there is one."""
        own = sessions.c.caller == caller, sessions.c.session == session, sessions.c.deleted_at.is_(None)
        with self._engine.begin() as db:
            return db.execute(sa.update(sessions).where(*own).values(name=name)).rowcount > 0

    def last_texts(self, caller: str, session: str) -> tuple[bytes, bytes] | None:
        """Messages and answer, as they are kept, of the latest request of a conversation that was answered."""
        query = sa.select(entries.c.prompt, entries.c.answer).where(
            sa.text("session <> ''"),  # as the index has it
            entries.c.session == session,
            entries.c.caller == caller,
            entries.c.status == 200,
            entries.c.cache != "repeat",
            entries.c.prompt.is_not(None),
            entries.c.answer.is_not(None),
        )
        with self._engine.connect() as db:
            found = db.execute(query.order_by(entries.c.at.desc()).limit(1)).one_or_none()
        return None if found is None else (found.prompt, found.answer)

    def delete_conversations(
        self, at: float, session: str, caller: str | None = None, tenant: str | None = None
    ) -> list[tuple[str, str]]:
        """Delete the conversation of this id, of everybody where no caller is named, with the texts of its requests.

        ``at`` is the Unix time, until which it is forgotten. What was used and spent stays in the sums.

        Returns:
            The callers and ids of what was deleted.
        """
        own = [sessions.c.session == session, sessions.c.deleted_at.is_(None)]
        own += [sessions.c.caller == caller] if caller is not None else []
        own += [sessions.c.tenant == tenant] if tenant is not None else []
        with self._engine.begin() as db:
            found = [(row.caller, row.session) for row in db.execute(sa.select(sessions).where(*own))]
            for owner, name in found:
                same = sessions.c.caller == owner, sessions.c.session == name
                db.execute(sa.update(sessions).where(*same).values(deleted_at=at, name=""))
                texts = sa.text("session <> ''"), entries.c.session == name, entries.c.caller == owner
                with_text = sa.or_(entries.c.prompt.is_not(None), entries.c.answer.is_not(None))
                db.execute(sa.update(entries).where(*texts, with_text).values(prompt=None, answer=None))
        return found

    def delete_all(self, at: float, caller: str) -> list[str]:
        """Delete all that a caller has said: conversations, copies, texts, ratings; the ids of the conversations.

        ``at`` is the Unix time. What was used and spent stays, as do the entries without their texts.
        """
        own = sessions.c.caller == caller, sessions.c.deleted_at.is_(None)
        with self._engine.begin() as db:
            found = list(db.execute(sa.select(sessions.c.session).where(*own)).scalars())
            db.execute(sa.update(sessions).where(*own).values(deleted_at=at, name=""))
            with_text = sa.or_(entries.c.prompt.is_not(None), entries.c.answer.is_not(None))
            texts = sa.update(entries).where(entries.c.caller == caller, with_text)
            db.execute(texts.values(prompt=None, answer=None))
            drop_ratings(db, self._trail, caller, at)
            for table in (session_copies, session_files):  # a file that is being added holds its conversation
                db.execute(sa.delete(table).where(table.c.caller == caller))
        return found

    def drop_expired_copies(self, now: float) -> int:
        """Delete the conversations that callers kept here whose time is over at a Unix time; how many."""
        with self._engine.begin() as db:
            return drop_expired_copies(db, now)

    def deleted_conversations(self, since: float) -> list[tuple[str, str, float]]:
        """Callers, ids and times of conversations that were deleted at or after a Unix time."""
        query = sa.select(sessions.c.caller, sessions.c.session, sessions.c.deleted_at)
        with self._engine.connect() as db:
            return [tuple(row) for row in db.execute(query.where(sessions.c.deleted_at >= since))]
