"""The audit trail: who changed a rule, rated an answer, read a kept prompt or took an export, as chains of hashes."""

# Each gateway adds to a chain of its own, as it does for entries (``rows.py``), in the transaction of what it records.
# A record of something that is kept elsewhere, a change or a rating, holds the hash of that row: whoever changes,
# removes or puts in such a row breaks the trail. All others say what happened themselves.
#
# Forgetting a caller blanks the names of its records and keeps their hashes, so chains stay whole.

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jupyter_server_ext.ledger.files import ChainHead
from jupyter_server_ext.ledger.records import TRAIL_OF, TrailRecord, digest, hash_of_change, hash_of_rating
from jupyter_server_ext.ledger.schema import changes, feedback, trail

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_GENESIS = "0" * 64
_LOCK = 7_715_104  # any number; two that add to one chain take turns
_HASHED = ("instance", "number", "at", "kind", "caller", "subject", "detail")


class AuditTrail:
    """The trail of one gateway, and a reader of all. Methods block.

    Args:
        engine: The ledger's database.
        instance: The name of this gateway, whose chain is added to.

    Example:
        >>> from jupyter_server_ext.ledger import opened
        >>> with opened("sqlite://", instance="one") as store:
        ...     store.trail.note(TrailRecord("read", "root", "r1"), at=0.0)
        ...     store.trail.problems()
        []
    """

    def __init__(self, engine: sa.Engine, instance: str) -> None:
        self._engine, self._instance = engine, instance

    def note(self, record: TrailRecord, at: float | None = None) -> None:
        """Add a record, in a transaction of its own; ``at`` is the Unix time, now by default."""
        with self._engine.begin() as db:
            if db.dialect.name == "sqlite":
                db.exec_driver_sql("BEGIN IMMEDIATE")
            self.add(db, [record], time.time() if at is None else at)

    def add(self, db: sa.Connection, records: Sequence[TrailRecord], at: float) -> None:
        """Add records in a transaction that has begun to write."""
        if db.dialect.name == "postgresql":
            turn = sa.text("SELECT pg_advisory_xact_lock(:lock, hashtext(:name))")
            db.execute(turn, {"lock": _LOCK, "name": self._instance})
        number, chain = self._end(db, self._instance)
        rows: list[dict[str, Any]] = []
        for number, record in enumerate(records, number + 1):  # noqa: B020 - goes on where the chain ends
            row: dict[str, Any] = {"instance": self._instance, "number": number, "at": float(at), "forgotten": False}
            row |= {name: getattr(record, name) for name in ("kind", "caller", "subject", "detail")}
            row["content_hash"] = digest([row[name] for name in _HASHED])
            chain = _link(chain, row["content_hash"])
            rows.append(row | {"chain_hash": chain})
        if rows:
            db.execute(sa.insert(trail), rows)

    def head(self) -> ChainHead:
        """The end of this gateway's trail."""
        with self._engine.connect() as db:
            return ChainHead(TRAIL_OF + self._instance, *self._end(db, self._instance))

    def read(self, *, before: float | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """What was done before a Unix time, the latest first: plain values without hashes of the chain."""
        names = (trail.c[name] for name in ("at", "instance", "number", "kind", "caller", "subject", "detail"))
        query = sa.select(*names).order_by(trail.c.at.desc(), trail.c.instance, trail.c.number.desc()).limit(limit)
        query = query if before is None else query.where(trail.c.at < before)
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    @staticmethod
    def forget(db: sa.Connection, caller: str) -> None:
        """Take a caller's name out of the records of what it did; the chains stay whole."""
        own = sa.update(trail).where(trail.c.caller == caller)
        db.execute(own.values(caller="", forgotten=True))

    def problems(self) -> list[str]:
        """What was changed, removed or put in, of the trail or of the changes and ratings that it vouches for."""
        with self._engine.connect() as db:
            return problems_of_trail(db)

    @staticmethod
    def _end(db: sa.Connection, instance: str) -> tuple[int, str]:
        own = sa.select(trail.c.number, trail.c.chain_hash).where(trail.c.instance == instance)
        last = db.execute(own.order_by(trail.c.number.desc()).limit(1)).first()
        return (last.number, last.chain_hash) if last else (0, _GENESIS)


def problems_of_trail(db: sa.Connection) -> list[str]:
    """As ``AuditTrail.problems``, of a snapshot of the database."""
    problems: list[str] = []
    vouched: dict[str, dict[str, str]] = {"change": {}, "rating": {}}  # the latest hash by what it is of
    instance, number, chain = "", 0, _GENESIS
    ordered = sa.select(trail).order_by(trail.c.instance, trail.c.number)
    for row in db.execution_options(yield_per=1000).execute(ordered).mappings():
        if row["instance"] != instance:
            instance, number, chain = row["instance"], 0, _GENESIS
        where = f"{TRAIL_OF}{instance} #{row['number']}"
        if row["number"] != number + 1:
            problems.append(f"{where}: records {number + 1} to {row['number'] - 1} are missing.")
        elif row["chain_hash"] != _link(chain, row["content_hash"]):
            problems.append(f"{where}: the chain is broken here; a record was changed, removed or put in.")
        if not row["forgotten"] and digest([row[name] for name in _HASHED]) != row["content_hash"]:
            problems.append(f"{where}: the record was changed after it was written.")
        number, chain = row["number"], row["chain_hash"]
        if row["kind"] in vouched:
            vouched[row["kind"]][row["subject"]] = row["detail"]
    return [*problems, *_changed_since(db, vouched["change"]), *_rated_otherwise(db, vouched["rating"])]


def _changed_since(db: sa.Connection, vouched: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the changes that were recorded, and those since the first of them that were not."""
    if not vouched:
        return
    first = min(map(int, vouched))
    found = db.execute(sa.select(changes).where(changes.c.number >= first).order_by(changes.c.number)).mappings()
    there = {str(row["number"]): hash_of_change(dict(row)) for row in found}
    for number in sorted({*vouched, *there}, key=int):
        if number not in vouched:
            yield f"change {number}: it was put in; no gateway recorded it."
        elif number in there and vouched[number] != there[number]:
            yield f"change {number}: it was changed after it was made."
        elif number not in there and vouched[number]:  # of one that was forgotten the record holds no hash
            yield f"change {number}: it was removed."


def _rated_otherwise(db: sa.Connection, vouched: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the ratings; those from before the trail are not known to it."""
    if not vouched:
        return
    began = sa.select(sa.func.min(trail.c.at)).where(trail.c.kind == "rating").scalar_subquery()
    found = db.execute(sa.select(feedback).where(feedback.c.at >= began)).mappings()
    there = {row["request_id"]: hash_of_rating(dict(row)) for row in found}
    for request in sorted({*vouched, *there}):
        if request not in vouched:
            yield f"the rating of {request} was put in; no gateway recorded it."
        elif request in there and there[request] != vouched[request]:
            yield f"the rating of {request} was changed after it was given."
        elif request not in there and vouched[request]:
            yield f"the rating of {request} was removed."


def _link(chain: str, content: str) -> str:
    return hashlib.sha256((chain + content).encode()).hexdigest()
