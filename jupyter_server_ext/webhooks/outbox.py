"""The outbox: what is to be told to webhooks, beside the ledger's entries, and what came of it."""

# A delivery that is due is leased to one gateway, for longer than sending takes. Where that gateway dies, or cannot say
# what came of it, the lease ends and another sends the same again, by the same id: at least once.

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from jupyter_server_ext.ledger import webhook_deliveries as table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

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


_ANEW = ("state", "attempts", "tried", "status", "reason", "due")


class SqlOutbox:
    """The outbox in a database. Methods block.

    Example:
        >>> from jupyter_server_ext.webhooks.kept import outbox_in_memory
        >>> outbox = outbox_in_memory()
        >>> outbox.add([Delivery("msg_1", "w1", "key.retired", "", "{}", made=0.0, until=9.0, due=0.0)])
        >>> [one.id for one in outbox.lease("w1", now=1.0, until=60.0, owner="one", most=5)]
        ['msg_1']
        >>> outbox.lease("w1", now=2.0, until=60.0, owner="two", most=5)
        []
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._is_sqlite = engine.dialect.name == "sqlite"

    def add(self, deliveries: Sequence[Delivery]) -> None:
        """Keep what is to be sent; what is there by its id stays as it is."""
        insert = sqlite.insert(table) if self._is_sqlite else postgresql.insert(table)
        with self._engine.begin() as db:
            db.execute(insert.on_conflict_do_nothing(), [asdict(one) for one in deliveries])

    def due(self, now: float) -> list[str]:
        """The webhooks for which there is something to send."""
        with self._engine.connect() as db:
            return list(db.execute(sa.select(table.c.webhook).where(_is_due(now)).distinct()).scalars())

    def lease(self, webhook: str, *, now: float, until: float, owner: str, most: int) -> list[Delivery]:
        """Take deliveries that are due, the oldest first, which nobody else sends until a Unix time."""
        wanted = sa.select(table.c.id).where(table.c.webhook == webhook, _is_due(now))
        wanted = wanted.order_by(table.c.due).limit(most).with_for_update(skip_locked=True)
        with self._engine.begin() as db:
            if self._is_sqlite:
                db.exec_driver_sql("BEGIN IMMEDIATE")
            ids = list(db.execute(wanted).scalars())
            if not ids:
                return []
            db.execute(sa.update(table).where(table.c.id.in_(ids)).values(lease=owner, leased=until))
            return [Delivery(**row) for row in db.execute(table.select().where(table.c.id.in_(ids))).mappings()]

    def settle(self, delivery: Delivery) -> None:
        """Note what came of a delivery, unless another gateway has taken it over."""
        values = {name: getattr(delivery, name) for name in _ANEW} | {"lease": "", "leased": 0.0}
        mine = sa.and_(table.c.id == delivery.id, table.c.lease == delivery.lease)
        with self._engine.begin() as db:
            db.execute(sa.update(table).where(mine).values(values))

    def again(self, webhook: str, delivery: str, *, now: float, until: float, owner: str) -> Delivery | None:
        """Take a delivery as if it were new; None where there is none of this id that is not being sent."""
        this = sa.and_(table.c.webhook == webhook, table.c.id == delivery)
        values = {"state": "waiting", "attempts": 0, "due": now, "until": now + A_DAY, "lease": owner, "leased": until}
        with self._engine.begin() as db:
            if not db.execute(sa.update(table).where(this, table.c.leased <= now).values(values)).rowcount:
                return None
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
    return sa.and_(table.c.state == "waiting", table.c.due <= now, table.c.leased <= now)
