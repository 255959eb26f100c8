"""What the ledger's tables say: sums, entries, what was used and spent, and whether the hash chains are whole."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from jupyter_server_ext.ledger.analytics import SqlAnalytics
from jupyter_server_ext.ledger.api_keys import SqlApiKeys
from jupyter_server_ext.ledger.changes import SqlChanges
from jupyter_server_ext.ledger.files import ChainHead
from jupyter_server_ext.ledger.notes import SqlNotes
from jupyter_server_ext.ledger.records import TRAIL_OF
from jupyter_server_ext.ledger.rows import GENESIS, day_of, entry_of
from jupyter_server_ext.ledger.schema import (
    chains,
    decisions,
    entries,
    kept_answers,
    totals,
)
from jupyter_server_ext.ledger.trail import AuditTrail
from jupyter_server_ext.ledger.verification import problems_in, unknown_in
from jupyter_server_ext.messages import INLINE, Used

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator

    from jupyter_server_ext.messages import Entry

EXPORTED = tuple(c for c in entries.columns if c.name not in {"prompt", "answer", "content_hash", "chain_hash"})
_UNKNOWN_SECONDS = 60.0  # that an answer may go on at a provider after a crash
_tokens = entries.c.prompt_tokens + entries.c.completion_tokens
# As ``Entry.counts``.
_counts = sa.and_(
    entries.c.cache != "repeat",
    sa.or_(entries.c.attempts > 0, entries.c.status.in_((0, 200))),
    sa.or_(
        entries.c.status.in_((0, 200)),
        _tokens > 0,
        sa.and_(entries.c.status.between(400, 499), entries.c.status.not_in((404, 429, 499))),
    ),
)
_USED = (
    sa.case((entries.c.key != "", 1), else_=0).label("requests"),
    entries.c.prompt_tokens,
    entries.c.completion_tokens,
    sa.case((_counts, 1), else_=0).label("counted"),
    sa.case((_counts, _tokens), else_=0).label("counted_tokens"),
)


class SqlLedgerReader:
    """Reads the ledger's tables. Methods block."""

    _write_turn: threading.Lock | None = None  # SQLite lets one write at a time

    def __init__(self, engine: sa.Engine, instance: str, zone: str = "UTC") -> None:
        self._engine = engine  # the database
        self._instance = instance  # name of this gateway, whose chain ``head`` is the end of
        self._zone = ZoneInfo(zone)  # time zone whose midnight begins a day

    @property
    def instance(self) -> str:
        """The name of this gateway, which no other living one of the ledger has."""
        return self._instance

    def day(self, at: float) -> str:
        """The calendar day of a Unix time in the ledger's zone, ``2026-11-21``."""
        return day_of(at, self._zone)

    def totals(
        self, *, since: str, until: str = "9999", caller: str | None = None, tenant: str | None = None
    ) -> list[dict[str, Any]]:
        """Sums per day, caller, tenant, model and task, for the days ``since`` to ``until`` (inclusive)."""
        query = sa.select(totals).where(totals.c.day >= since, totals.c.day <= until)
        if tenant is not None:
            query = query.where(totals.c.tenant == tenant)
        if caller is not None:
            query = query.where(totals.c.caller == caller)
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(query.order_by(totals.c.day)).mappings()]

    def spent(self, since: str) -> list[tuple[str, str, str, int]]:
        """What callers have spent since a day: (caller, tenant, day, nanodollars), without those that spent nothing."""
        cost = sa.func.sum(totals.c.cost_nanodollars)
        of = (totals.c.caller, totals.c.tenant, totals.c.day)
        query = sa.select(*of, cost).where(totals.c.day >= since).group_by(*of).having(cost > 0)
        with self._engine.connect() as db:
            # PostgreSQL sums whole numbers as decimals.
            return [(caller, tenant, day, int(sum_)) for caller, tenant, day, sum_ in db.execute(query)]

    def read(
        self, *, since: float = 0.0, caller: str | None = None, limit: int | None = None, failed: bool = False
    ) -> list[Entry]:
        """Entries begun at or after ``since``, newest first; with ``failed`` only those that did not end well."""
        query = sa.select(entries).where(entries.c.at >= since, sa.not_(entries.c.forgotten))
        if caller is not None:
            query = query.where(entries.c.caller == caller)
        if failed:
            query = query.where(sa.or_(entries.c.status >= 400, entries.c.status == 0))
        with self._engine.connect() as db:
            newest = query.order_by(entries.c.at.desc()).limit(limit)
            return [entry_of(row) for row in db.execute(newest).mappings()]

    def find(self, request_id: str) -> list[Entry]:
        """The entries of one request: its attempts in order."""
        query = sa.select(entries).where(entries.c.request_id == request_id, sa.not_(entries.c.forgotten))
        with self._engine.connect() as db:
            return [entry_of(row) for row in db.execute(query.order_by(entries.c.attempt)).mappings()]

    def used(self, since: float, *, exact: float) -> Iterator[Used]:
        """What was used by what began from a Unix time on, oldest first; before ``exact`` summed by the minute."""
        # What is older than an hour before that is summed by ten minutes. It counts from the end of the answer, when
        # some providers count its tokens; what a crash left behind had no end that anybody knows, and is given a
        # minute.
        lasted = sa.case((entries.c.status == 0, _UNKNOWN_SECONDS), else_=entries.c.duration_seconds)
        ended = entries.c.at + lasted
        by = (entries.c.caller, entries.c.tenant, entries.c.key, entries.c.model)
        more = (entries.c.api_key, sa.case((entries.c.task == INLINE, 1), else_=0).label("is_inline"))
        hour = max(since, exact - 3_600.0)

        def summed(start: float, end: float, seconds: int) -> sa.Select[Any]:
            sums = (sa.func.sum(c).label(c.name) for c in _USED)
            within = sa.select(sa.func.max(ended).label("at"), *by, *sums, *more).where(
                entries.c.at >= start, entries.c.at < end
            )
            return within.group_by(sa.func.floor(entries.c.at / seconds), *by, *more)

        new = sa.select(ended.label("at"), *by, *_USED, *more).where(entries.c.at >= max(since, exact))
        with self._engine.connect() as db:
            for query in (summed(since, hour, 600), summed(hour, exact, 60), new):
                for row in db.execution_options(yield_per=1000).execute(query.order_by("at")):
                    yield Used._make([*row[:5], *map(int, row[5:-2]), row[-2], bool(row[-1])])

    def spent_by_keys(self, since: str) -> dict[str, dict[str, int]]:
        """Nano-dollars by virtual API key and by day, from a day on."""
        own = (entries.c.api_key != "", entries.c.day >= since)
        query = sa.select(entries.c.api_key, entries.c.day, sa.func.sum(entries.c.cost_nanodollars)).where(*own)
        spent: dict[str, dict[str, int]] = {}
        with self._engine.connect() as db:
            for key, day, amount in db.execute(query.group_by(entries.c.api_key, entries.c.day)):
                spent.setdefault(key, {})[day] = int(amount)
        return spent

    def spent_by_key(self, key: str) -> int:
        """Nano-dollars that a virtual API key has spent."""
        own = (entries.c.api_key == key, entries.c.api_key != "")  # by the index of those that have one
        query = sa.select(sa.func.coalesce(sa.func.sum(entries.c.cost_nanodollars), 0)).where(*own)
        with self._engine.connect() as db:
            return int(db.execute(query).scalar_one())

    def rows(self, *, since: str = "", until: str = "9999") -> Iterator[dict[str, Any]]:
        """All entries of these days as plain values without prompts, oldest first, a few at a time."""
        query = sa.select(*EXPORTED).where(entries.c.day >= since, entries.c.day <= until)
        with self._engine.connect() as db:
            ordered = query.order_by(entries.c.at, entries.c.instance, entries.c.number)
            for row in db.execution_options(yield_per=1000).execute(ordered).mappings():
                yield dict(row)

    def __len__(self) -> int:
        with self._engine.connect() as db:
            return db.execute(sa.select(sa.func.count()).select_from(entries)).scalar_one()

    def head(self) -> ChainHead:
        """The end of this gateway's chain of entries, as it is on disk."""
        return self.end_of(self._instance)

    def end_of(self, instance: str) -> ChainHead:
        """The end of a gateway's chain of entries, or of its trail where its name has ``TRAIL_OF`` before it."""
        if instance.startswith(TRAIL_OF):
            return AuditTrail(self._engine, instance.removeprefix(TRAIL_OF)).head()
        with self._engine.connect() as db:
            newest = sa.select(entries.c.number, entries.c.chain_hash).where(entries.c.instance == instance)
            row = db.execute(newest.order_by(entries.c.number.desc()).limit(1)).first()
            return ChainHead(instance, *(row or self._start_of_chain(db, instance)))

    def verify(self, heads: Iterable[ChainHead] = ()) -> list[str]:
        """Check every chain, the trail with what it vouches for, and the sums; what is wrong, one sentence each.

        Entries must be there up to ``heads``, ends of chains as they were written down elsewhere.
        """
        with _snapshot(self._engine) as db:
            return problems_in(db, heads)

    def unverifiable(self) -> list[str]:
        """What ``verify`` cannot know of this ledger beside what an anchor would show, one sentence each."""
        with _snapshot(self._engine) as db:
            return unknown_in(db)

    def kept_answer(self, name: str, now: float) -> bytes | None:
        """The answer kept by this name, if its time is not over."""
        query = sa.select(kept_answers.c.answer).where(kept_answers.c.name == name, kept_answers.c.until > now)
        with self._engine.connect() as db:
            return db.execute(query).scalar()

    def decided(self, name: str) -> str:
        """What an administrator changed; empty for nothing."""
        with self._engine.connect() as db:
            return db.execute(sa.select(decisions.c.value).where(decisions.c.name == name)).scalar() or ""

    @property
    def api_keys(self) -> SqlApiKeys:
        """Virtual API keys, in the same database."""
        return SqlApiKeys(self._engine)

    @property
    def changes(self) -> SqlChanges:
        """What was changed at run time, in the same database."""
        return SqlChanges(self._engine, self.trail)

    @property
    def analytics(self) -> SqlAnalytics:
        """What administrators look at, in the same database."""
        return SqlAnalytics(self._engine, self._write_turn, self._zone)

    @property
    def trail(self) -> AuditTrail:
        """Who changed, rated, read and exported, in the same database."""
        return AuditTrail(self._engine, self._instance)

    def unfolded(self) -> int:
        """How many entries of this gateway are in no sum yet."""
        return self.analytics.unfolded(self._instance)

    @property
    def notes(self) -> SqlNotes:
        """Feedback and conversations, in the same database."""
        return SqlNotes(self._engine, self.trail)

    def _start_of_chain(self, db: sa.Connection, instance: str = "") -> tuple[int, str]:
        """Number and hash before the oldest entry of a gateway, this one by default."""
        start = db.execute(sa.select(chains).where(chains.c.instance == (instance or self._instance))).first()
        return (start.first_number - 1, start.first_hash) if start else (0, GENESIS)


@contextmanager
def _snapshot(engine: sa.Engine) -> Iterator[sa.Connection]:
    """All tables as they are at one moment, while others go on writing."""
    with engine.connect() as db:
        if db.dialect.name == "sqlite":
            db.exec_driver_sql("BEGIN")
        else:
            db.execution_options(isolation_level="REPEATABLE READ")
        yield db
