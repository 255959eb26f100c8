"""The outbox: what is to be told to webhooks, beside the ledger's entries, and what came of it."""

# A delivery that is due is leased to one gateway (``leases.py`` of the ledger), for longer than sending takes, and each
# try is counted before it is made. Where that gateway dies, or cannot say what came of it, the lease ends and another
# sends the same again, by the same id: at least once.

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from jupyter_server_ext.ledger import NO_LEASE, RowLease, database_time, is_free, lease_rows
from jupyter_server_ext.ledger import webhook_deliveries as table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from jupyter_server_ext.ledger import DatabaseClock

A_DAY = 86_400.0
"""Seconds for which a delivery is tried."""

DeliveryState = Literal["waiting", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one webhook, and what came of it. All times are Unix time."""

    id: str  # the receiver's ``webhook-id``: that of an event for a webhook, whoever sends it and how often
    webhook: str
    event: str  # its type
    caller: str  # whom it names, if anybody
    body: str  # JSON
    made: float
    until: float  # when to give up
    due: float  # when to send it next
    state: DeliveryState = "waiting"
    attempts: int = 0
    tried: float | None = None  # when it was sent last
    status: int | None = None  # what the receiver answered then
    reason: str = ""  # why that was no success
    lease: str = ""  # who sends it now
    leased: float = 0.0  # until when
    fence: int = 0  # the number of that lease


_ANEW = ("state", "status", "reason")


class SqlOutbox:
    """The outbox in a database. Methods block.

    Example:
        >>> from jupyter_server_ext.webhooks.kept import outbox_in_memory
        >>> outbox = outbox_in_memory()
        >>> outbox.add([Delivery("msg_1", "w1", "key.retired", "", "{}", made=0.0, until=9.0, due=0.0)])
        >>> [one.id for one in outbox.lease("w1", RowLease("one"), most=5)]
        ['msg_1']
        >>> outbox.lease("w1", RowLease("two"), most=5)
        []
    """

    def __init__(self, engine: sa.Engine, now: DatabaseClock = database_time) -> None:
        self._engine = engine
        self._now = now  # Unix time; no gateway's own is used, as they differ
        self._is_sqlite = engine.dialect.name == "sqlite"

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Keep what is to be sent from now on; what is there by its id stays as it is."""
        insert = sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)
        with self._engine.begin() as db:
            now = self._now(db)
            rows = [asdict(replace(one, made=now, due=now, until=now + one.until - one.made)) for one in deliveries]
            db.execute(insert.on_conflict_do_nothing(), rows)

    def due(self) -> tuple[list[str], float]:
        """The webhooks for which there is something to send, and the Unix time now."""
        with self._engine.connect() as db:
            now = self._now(db)
            return list(db.execute(sa.select(table.c.webhook).where(_is_due(now)).distinct()).scalars()), now

    def lease(self, webhook: str, lease: RowLease, most: int) -> list[Delivery]:
        """Take deliveries that are due, the oldest first, which nobody else sends for as long as the lease."""
        with self._engine.begin() as db:
            if self._is_sqlite:
                db.exec_driver_sql("BEGIN IMMEDIATE")
            now = self._now(db)
            wanted = sa.select(table.c.id).where(table.c.webhook == webhook, _is_due(now))
            wanted = wanted.order_by(table.c.due).limit(most).with_for_update(skip_locked=True)
            ids = list(db.execute(wanted).scalars())
            if not ids:
                return []
            lease_rows(db, table.c.id.in_(ids), table, lease, now)
            return [Delivery(**row) for row in db.execute(table.select().where(table.c.id.in_(ids))).mappings()]

    def begin(self, delivery: Delivery) -> Delivery | None:
        """Count a try that is about to be made; None where the lease is over, and another may make it."""
        with self._engine.begin() as db:
            now = self._now(db)
            tried = {"attempts": table.c.attempts + 1, "tried": now}
            if not db.execute(sa.update(table).where(_still(delivery), table.c.leased > now).values(tried)).rowcount:
                return None
            return Delivery(**db.execute(table.select().where(table.c.id == delivery.id)).mappings().one())

    def settle(self, delivery: Delivery, pause: float = 0.0) -> None:
        """Note what came of a delivery, and after how many seconds it is tried again, unless another has taken it."""
        values = {name: getattr(delivery, name) for name in _ANEW} | NO_LEASE
        with self._engine.begin() as db:
            values["due"] = self._now(db) + pause
            db.execute(sa.update(table).where(_still(delivery)).values(values))

    def again(self, webhook: str, delivery: str, lease: RowLease) -> Delivery | None:
        """Take a delivery as if it were new; None where there is none of this id that is not being sent."""
        this = sa.and_(table.c.webhook == webhook, table.c.id == delivery)
        with self._engine.begin() as db:
            now = self._now(db)
            values = {"state": "waiting", "attempts": 0, "due": now, "until": now + A_DAY}
            if not db.execute(sa.update(table).where(this, is_free(table, now)).values(values)).rowcount:
                return None
            lease_rows(db, this, table, lease, now)
            return Delivery(**db.execute(table.select().where(this)).mappings().one())

    def log(self, webhook: str, limit: int) -> list[Delivery]:
        """The deliveries of a webhook, the newest first."""
        query = table.select().where(table.c.webhook == webhook).order_by(table.c.made.desc(), table.c.id).limit(limit)
        with self._engine.connect() as db:
            return [Delivery(**row) for row in db.execute(query).mappings()]

    def waiting(self, webhooks: Iterable[str]) -> dict[str, int]:
        """How many deliveries of each webhook are still to be made."""
        counted = sa.select(table.c.webhook, sa.func.count()).group_by(table.c.webhook)
        query = counted.where(table.c.state == "waiting", table.c.webhook.in_([*webhooks]))
        with self._engine.connect() as db:
            return {row[0]: row[1] for row in db.execute(query)}

    def drop(self, webhook: str) -> None:
        """Forget all of a webhook."""
        with self._engine.begin() as db:
            db.execute(sa.delete(table).where(table.c.webhook == webhook))

    def forget(self, caller: str) -> None:
        """Forget what names a caller."""
        with self._engine.begin() as db:
            db.execute(sa.delete(table).where(table.c.caller == caller))

    def tidy(self, before: float, known: Collection[str]) -> None:
        """Forget what was made before a Unix time, and what is for webhooks that there are no more."""
        with self._engine.begin() as db:
            old = sa.and_(table.c.state != "waiting", table.c.made < before)
            orphaned = sa.and_(table.c.until < before, table.c.webhook.not_in([*known]))
            db.execute(sa.delete(table).where(sa.or_(old, orphaned)))


def _is_due(now: float) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.state == "waiting", table.c.due <= now, is_free(table, now))


def _still(delivery: Delivery) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.id == delivery.id, table.c.fence == delivery.fence, table.c.lease == delivery.lease)
