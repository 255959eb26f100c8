"""What administrators and instructors changed at run time: a trail to which lines are added, and what follows of it."""

# The trail is the store. The last line about a thing says how it is now, so a restart and every other gateway know, and
# an undo is one more line. A line is added only while what it says was there before still is: of two who change the
# same thing at once, the second is told.

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from jupyter_server_ext.ledger.records import TrailRecord, hash_of_change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlalchemy as sa

    from jupyter_server_ext.ledger.trail import AuditTrail

GIVEN_BACK = "given back"
"""The kind of what a caller was given back of the limits: ``at``, and the nano-dollars of ``days`` until then."""

PERSONAL = ("callers", "member", GIVEN_BACK)
"""Kinds of things whose names are callers'; forgetting a caller removes their lines."""

_MOST_LINES = 10_000  # in memory
_LOCK = 7_715_103  # any number; two that change something take turns


class Thing(NamedTuple):
    """What can be changed: the limits of one caller, the rules of one tenant, and so on."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class AdminChange:
    """One line of the trail."""

    id: str  # of the request that changed it; several things may change at once
    at: float  # unix time
    caller: str  # who changed it
    kind: str  # see ``Thing``; ``did`` for what has no state, such as a key that was paused
    name: str
    tenant: str = ""  # whose it is, where it is a tenant's
    before: str = ""  # JSON; empty for nothing
    after: str = ""  # the same
    undoes: str = ""  # the id of the change that it takes back, if any
    number: int = 0  # its place in the trail, from 1 on; 0 until it is kept

    @property
    def thing(self) -> Thing:
        """What was changed."""
        return Thing(self.kind, self.name)


DID = "did"
NEW_KEY = "new key"
"""The kind of a provider's key that was added at run time; ``sealed`` in its rules is the key, encrypted."""


class MemoryChanges:
    """The trail until the end of the process, as far as its newest lines reach back."""

    def __init__(self) -> None:
        self._lines: deque[AdminChange] = deque(maxlen=_MOST_LINES)
        self._state: dict[Thing, str] = {}
        self._number = 0

    def add(self, changes: Sequence[AdminChange]) -> bool:
        """Add lines, all or none; False where something is no longer what a line says it was before."""
        if any(self._state.get(one.thing, "") != one.before for one in changes if one.kind != DID):
            return False
        for one in changes:
            self._number += 1
            self._lines.append(replace(one, number=self._number))
            if one.kind != DID:
                self._state[one.thing] = one.after
        return True

    def newest(self) -> int:
        """The number of the last line, 0 without any; it grows with every change."""
        return self._number

    def state(self) -> Mapping[Thing, str]:
        """How everything is now that was ever changed and is not as it was at first."""
        return {thing: after for thing, after in self._state.items() if after}

    def by_id(self, change_id: str) -> list[AdminChange]:
        """The lines of one request, in order."""
        return [one for one in self._lines if one.id == change_id]

    def read(self, *, tenant: str | None = None, before: int | None = None, limit: int = 100) -> list[AdminChange]:
        """Lines before a number, the newest first; of a tenant, or all."""
        found = (one for one in reversed(self._lines) if before is None or one.number < before)
        return [one for one in found if tenant is None or one.tenant == tenant][:limit]

    def forget(self, caller: str) -> None:
        """Drop what is about a caller, and the caller's name from what it changed."""
        self._state = {thing: text for thing, text in self._state.items() if not _is_about(thing, caller)}
        kept = (one for one in self._lines if not _is_about(one.thing, caller))
        named = (replace(one, caller="") if one.caller == caller else one for one in kept)
        self._lines = deque(named, maxlen=_MOST_LINES)


def _is_about(thing: Thing, caller: str) -> bool:
    return thing.kind in PERSONAL and thing.name == caller


class SqlChanges:
    """The trail in the ledger's database, with the methods of ``MemoryChanges``. They block."""

    def __init__(self, engine: sa.Engine, trail: AuditTrail) -> None:
        from jupyter_server_ext.ledger.schema import changes

        self._engine, self._table, self._trail = engine, changes, trail

    def add(self, changes: Sequence[AdminChange]) -> bool:
        """See ``MemoryChanges.add``."""
        import sqlalchemy as sa

        with self._engine.begin() as db:
            if db.dialect.name == "postgresql":
                db.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            else:
                db.exec_driver_sql("BEGIN IMMEDIATE")
            line = self._table.c
            for one in changes:
                if one.kind == DID:
                    continue
                about = sa.select(line.after).where(line.kind == one.kind, line.name == one.name)
                if (db.execute(about.order_by(line.number.desc()).limit(1)).scalar() or "") != one.before:
                    db.rollback()
                    return False
            names = ("id", "at", "caller", "kind", "name", "tenant", "before", "after", "undoes")
            rows = [{name: getattr(one, name) for name in names} for one in changes]
            # One by one: the record of each names its number.
            for row in rows:
                number = int(db.execute(self._table.insert().returning(line.number), row).scalar_one())
                self._record(db, number, row["caller"], row["at"], hash_of_change(row | {"number": number}))
        return True

    def _record(self, db: sa.Connection, number: int, caller: str, at: float, content: str) -> None:
        self._trail.add(db, [TrailRecord("change", caller, str(number), content)], at)

    def newest(self) -> int:
        """See ``MemoryChanges.newest``."""
        import sqlalchemy as sa

        with self._engine.connect() as db:
            return int(db.execute(sa.select(sa.func.max(self._table.c.number))).scalar() or 0)

    def state(self) -> Mapping[Thing, str]:
        """See ``MemoryChanges.state``."""
        import sqlalchemy as sa

        line = self._table.c
        last = sa.select(sa.func.max(line.number)).where(line.kind != DID).group_by(line.kind, line.name)
        query = sa.select(line.kind, line.name, line.after).where(line.number.in_(last), line.after != "")
        with self._engine.connect() as db:
            return {Thing(row.kind, row.name): row.after for row in db.execute(query)}

    def by_id(self, change_id: str) -> list[AdminChange]:
        """See ``MemoryChanges.by_id``."""
        line = self._table.c
        with self._engine.connect() as db:
            query = self._table.select().where(line.id == change_id).order_by(line.number)
            return [AdminChange(**row) for row in db.execute(query).mappings()]

    def read(self, *, tenant: str | None = None, before: int | None = None, limit: int = 100) -> list[AdminChange]:
        """See ``MemoryChanges.read``."""
        line = self._table.c
        query = self._table.select().order_by(line.number.desc()).limit(limit)
        query = query if tenant is None else query.where(line.tenant == tenant)
        query = query if before is None else query.where(line.number < before)
        with self._engine.connect() as db:
            return [AdminChange(**row) for row in db.execute(query).mappings()]

    def forget(self, caller: str) -> None:
        """See ``MemoryChanges.forget``."""
        line = self._table.c
        with self._engine.begin() as db:
            about = self._table.delete().where(line.kind.in_(PERSONAL), line.name == caller)
            for number in db.execute(about.returning(line.number)).scalars().all():
                self._record(db, number, "", time.time(), "")
            db.execute(self._table.update().where(line.caller == caller).values(caller=""))
