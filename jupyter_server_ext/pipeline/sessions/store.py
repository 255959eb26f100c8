"""Callers' conversations and files in the ledger's database, sealed, always within one caller."""

from __future__ import annotations

import sqlalchemy as sa

from jupyter_server_ext.ledger import drop_expired_copies, session_copies, session_files
from jupyter_server_ext.pipeline.sessions.values import CopyRow, SessionFileRow

_LISTED = ("id", "caller", "tenant", "head", "bytes", "changed", "expires", "shared_until")
_FILE = ("id", "session", "kind", "head", "bytes", "digest", "made")
_LOCK = 7_715_103  # with a caller's hash: two requests of one caller that write take turns
_copy, _file = session_copies.c, session_files.c


class SqlSessions:
    """Reads and writes them; each method is a transaction, and blocks."""

    # Every statement but that of a link names the caller.

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, new: CopyRow, *, most: int, most_bytes: int, expected: float | None = None) -> str | None:
        """Keep a conversation in place of the caller's one of its id; what the quota lacks where it does not fit.

        ``expected`` is when that one was changed last, 0 for none; where it was not, nothing is kept, and this is None.
        """
        own = (_copy.caller == new.caller, _copy.id == new.id)
        with self._engine.begin() as db:
            _take_turns(db, new.caller)
            drop_expired_copies(db, new.changed)
            found = db.execute(sa.select(_copy.bytes, _copy.changed).where(*own)).first()
            before, changed = (None, 0.0) if found is None else found
            if expected is not None and expected != changed:
                return None
            count = db.execute(sa.select(sa.func.count()).where(_copy.caller == new.caller)).scalar() or 0
            if count + (before is None) > most:
                return f"{most:,} conversations"
            if _held(db, new.caller) - (before or 0) + new.bytes > most_bytes:
                return _megabytes(most_bytes)
            values = {name: getattr(new, name) for name in ("tenant", "head", "bytes", "changed", "expires", "body")}
            if before is None:
                db.execute(session_copies.insert(), {"id": new.id, "caller": new.caller, **values})
            else:
                db.execute(sa.update(session_copies).where(*own).values(**values))
        return ""

    def all(self, caller: str, now: float) -> list[CopyRow]:
        """A caller's conversations, the last changed first, without what was said."""
        query = sa.select(*(_copy[name] for name in _LISTED)).where(_copy.caller == caller, _good(now))
        with self._engine.connect() as db:
            return [CopyRow(*row) for row in db.execute(query.order_by(_copy.changed.desc(), _copy.id))]

    def one(self, caller: str, session: str, now: float) -> CopyRow | None:
        """One conversation, whole."""
        return self._one(_copy.caller == caller, _copy.id == session, _good(now))

    def shared_until(self, caller: str, session: str) -> float | None:
        """Until when the link to a conversation is good; None where it has none."""
        query = sa.select(_copy.shared_until).where(_copy.caller == caller, _copy.id == session)
        with self._engine.connect() as db:
            return db.execute(query).scalar()

    def linked(self, link: str, now: float) -> CopyRow | None:
        """The conversation that is shared by a link, given by its hash."""
        return self._one(_copy.link == link, _copy.shared_until > now, _good(now))

    def _one(self, *where: sa.ColumnElement[bool]) -> CopyRow | None:
        query = sa.select(*(_copy[name] for name in (*_LISTED, "body"))).where(*where)
        with self._engine.connect() as db:
            row = db.execute(query).first()
        return CopyRow(*row) if row else None

    def share(self, caller: str, session: str, link: str | None, until: float | None) -> bool:
        """Make a link, given by its hash, or take it back; whether there is such a conversation."""
        own = sa.update(session_copies).where(_copy.caller == caller, _copy.id == session)
        with self._engine.begin() as db:
            return db.execute(own.values(link=link, shared_until=until)).rowcount > 0

    def remove(self, caller: str, session: str) -> bool:
        """Delete a conversation with its files; whether there was one."""
        with self._engine.begin() as db:
            gone = db.execute(sa.delete(session_copies).where(_copy.caller == caller, _copy.id == session)).rowcount
            db.execute(sa.delete(session_files).where(_file.caller == caller, _file.session == session))
            return gone > 0

    def add_file(self, caller: str, new: SessionFileRow, *, most_bytes: int, now: float) -> str | None:
        """Keep a file; what the quota lacks where it does not fit, and None where there is no such conversation."""
        with self._engine.begin() as db:
            _take_turns(db, caller)
            drop_expired_copies(db, now)
            own = sa.select(_copy.id).where(_copy.caller == caller, _copy.id == new.session)
            # Whoever deletes the conversation, which goes before its files, waits until this one is among them.
            if db.execute(own.with_for_update(read=True)).first() is None:
                return None
            if _held(db, caller) + new.bytes > most_bytes:
                return _megabytes(most_bytes)
            row = {name: getattr(new, name) for name in (*_FILE, "body")}
            db.execute(session_files.insert(), {"caller": caller, **row})
        return ""

    def files(self, caller: str, session: str, now: float) -> list[SessionFileRow] | None:
        """The files of a conversation, the newest first, without their bytes; None where there is no conversation."""
        own = sa.select(_copy.id).where(_copy.caller == caller, _copy.id == session, _good(now))
        query = sa.select(*(_file[name] for name in _FILE)).where(_file.caller == caller, _file.session == session)
        with self._engine.connect() as db:
            if db.execute(own).first() is None:
                return None
            return [SessionFileRow(*row) for row in db.execute(query.order_by(_file.made.desc(), _file.id))]

    def file(self, caller: str, kind: str, name: str, now: float) -> SessionFileRow | None:
        """One file, whole; None where there is none, or its conversation's time is over."""
        of_good = sa.and_(_copy.caller == _file.caller, _copy.id == _file.session, _good(now))
        query = sa.select(*(_file[each] for each in (*_FILE, "body"))).join(session_copies, of_good)
        with self._engine.connect() as db:
            row = db.execute(query.where(_file.caller == caller, _file.kind == kind, _file.id == name)).first()
        return SessionFileRow(*row) if row else None

    def remove_file(self, caller: str, kind: str, name: str) -> bool:
        """Delete a file; whether there was one."""
        own = (_file.caller == caller, _file.kind == kind, _file.id == name)
        with self._engine.begin() as db:
            return db.execute(sa.delete(session_files).where(*own)).rowcount > 0


def _good(now: float) -> sa.ColumnElement[bool]:
    return sa.or_(_copy.expires.is_(None), _copy.expires > now)


def _megabytes(most: int) -> str:
    return f"{most / 1e6:,g} MB of conversations and files"


def _held(db: sa.Connection, caller: str) -> int:
    sums = (
        sa.select(sa.func.sum(table.c.bytes)).where(table.c.caller == caller)
        for table in (session_copies, session_files)
    )
    return sum(int(db.execute(query).scalar() or 0) for query in sums)


def _take_turns(db: sa.Connection, caller: str) -> None:
    if db.dialect.name == "postgresql":
        db.execute(sa.text("SELECT pg_advisory_xact_lock(:lock, hashtext(:caller))"), {"lock": _LOCK, "caller": caller})
    else:
        db.exec_driver_sql("BEGIN IMMEDIATE")
