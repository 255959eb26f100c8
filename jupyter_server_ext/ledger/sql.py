"""The ledger in SQL: SQLite on one machine, PostgreSQL for many. Through SQLAlchemy Core, with Alembic migrations.

All methods block; ``ledger.py`` calls them from one thread. Writes come in groups, one transaction each, and a repeated
delivery of the same (request_id, attempt) changes nothing. The entries of each instance form a hash chain; see
``chain.py``.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext
from datetime import datetime
from itertools import takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger import statements
from jupyter_server_ext.ledger.anchor import Head
from jupyter_server_ext.ledger.apart import apart, is_of_a_row
from jupyter_server_ext.ledger.api_keys import SqlApiKeys
from jupyter_server_ext.ledger.chain import GENESIS, content_hash, link, problems_of
from jupyter_server_ext.ledger.engine import at_start, hasty, migrate, open_engine
from jupyter_server_ext.ledger.forgotten import NAMELESS, Forgotten, remember
from jupyter_server_ext.ledger.schema import api_keys, chains, decisions, entries, kept_answers, requests_open, totals
from jupyter_server_ext.ledger.statements import TOTAL_KEYS, TOTAL_SUMS, insert_into
from jupyter_server_ext.ledger.store import Used
from jupyter_server_ext.messages import Entry, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jupyter_server_ext.ledger.instances import Instance

_EXPORTED = tuple(c for c in entries.columns if c.name not in {"prompt", "content_hash", "chain_hash"})
_UNKNOWN_SECONDS = 60.0  # that an answer may go on at a provider after a crash
_PAUSE = 0.001  # seconds between two chunks, in which who waits to write an entry has its turn
_CHAIN_LOCK = 7_715_102  # any number; two that write to one chain take turns


class SqlLedgerStore:
    """The ledger's tables in one database.

    Args:
        url: ``sqlite:///path`` or ``postgresql://…``.
        instance: Stable name of this gateway, such as ``127.0.0.1:8899``; what it left open is its own to close.
        zone: Time zone whose midnight begins a day of the totals.
        held: The lock on the instance's name, given back with the store.

    Raises:
        ConfigError: The database cannot be opened, or a newer version has written it.

    Example:
        >>> store = SqlLedgerStore("sqlite://", instance="test")
        >>> store.finish([Entry("r1", at=0.0, caller="ada")])
        1
    """

    is_away = False
    """See ``LedgerStore.is_away``."""

    def __init__(self, url: str, *, instance: str, zone: str = "UTC", held: Instance | None = None) -> None:
        self._engine = open_engine(url)
        self._instance = instance
        self._held = held
        self._zone = ZoneInfo(zone)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        # SQLite lets one write at a time, and who waits for it looks again more and more rarely.
        self._turn_to_write = threading.Lock() if self._is_sqlite else nullcontext()
        self._at_hand: sa.Connection | None = None
        try:
            with at_start(self._engine):
                migrate(self._engine)
        except ConfigError:
            self.close()
            raise

    # Writing

    def begin(self, begun: Sequence[Entry]) -> None:
        """Remember that these requests are under way, with what they hold; of one told twice the latter counts.

        Nobody waits for the disk here, which those would feel whose answers end meanwhile: no end of these was seen.

        Raises:
            RowsRefused: Some cannot be kept as they are.
        """
        try:
            self._begin_all(begun)
        except Exception as error:
            if not is_of_a_row(error):
                raise
            apart((self._begin_all, begun))

    def _begin_all(self, begun: Sequence[Entry]) -> None:
        with self._connection() as db, hasty(db):
            self._begin(db, begun)

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        """The connection that entries are written with. SQLite's stays at hand: getting one takes as long as writing.

        PostgreSQL's goes back each time: the pool sees whether it still stands before it is used again.
        """
        with self._turn_to_write:
            db, self._at_hand = self._at_hand or self._engine.connect(), None
            try:
                yield db
                if self._is_sqlite:
                    self._at_hand = db
            finally:
                if self._at_hand is None:
                    db.close()

    def _begin(self, db: sa.Connection, begun: Sequence[Entry]) -> None:
        if begun:
            statements.put_open.run(db, [{"instance": self._instance} | _request_row(entry) for entry in begun])

    def finish(self, ended: Sequence[Entry], begun: Sequence[Entry] = ()) -> int:
        """Append these entries, durably, and drop them from the open ones; ``begun`` as ``begin``, in one transaction.

        Returns:
            How many were new.

        Raises:
            RowsRefused: Some cannot be kept as they are.
        """
        try:
            return self._finish_all(ended, begun)
        except Exception as error:
            if not is_of_a_row(error):
                raise
            return apart((self._begin_all, begun), (self._finish_all, ended))

    def _finish_all(self, ended: Sequence[Entry], begun: Sequence[Entry] = ()) -> int:
        if not ended:
            return 0
        with self._connection() as db, db.begin():
            self._take_turn(db, ended)
            self._begin(db, begun)
            new = self._not_yet_there(db, ended)
            rows = self._linked(db, new, Forgotten.since(db, min(entry.at for entry in ended)))
            if rows:
                statements.append.run(db, [_stored(row) for row in rows])
                self._add_to_totals(db, rows)
        return len(rows)

    def _linked(self, db: sa.Connection, new: Sequence[Entry], forgotten: Forgotten) -> list[dict[str, Any]]:
        """Rows for these entries at the end of the chain; of who was forgotten only the totals learn the group."""
        last, chain = self._end_of_chain(db)
        rows = []
        for number, entry in enumerate(new, last + 1):
            row = self._entry_row(entry, number)
            chain = link(chain, row["content_hash"])
            late = {"caller": "", "forgotten": True} if (entry.caller, entry.at) in forgotten else {}
            rows.append(row | late | {"chain_hash": chain})
        return rows

    def close_unfinished(self) -> int:
        """Turn what an earlier life of this instance left open into entries with status 0; return how many."""
        with at_start(self._engine):
            with self._engine.connect() as db:
                own = sa.select(requests_open).where(requests_open.c.instance == self._instance)
                ended = [_from_row(row, status=0, error="gateway_stopped") for row in db.execute(own).mappings()]
            return self.finish(ended) if ended else 0

    def _take_turn(self, db: sa.Connection, ended: Sequence[Entry]) -> None:
        """Drop these from the open ones, and let no other process write to this chain until the end of the transaction.

        SQLite's first write locks the database, so what is read afterwards stays true.
        """
        if db.dialect.name == "postgresql":
            statements.take_turn.run(db, [{"lock": _CHAIN_LOCK, "name": self._instance}])
        statements.drop_open.run(db, [{"request_id": entry.request_id, "attempt": entry.attempt} for entry in ended])

    def _not_yet_there(self, db: sa.Connection, ended: Sequence[Entry]) -> list[Entry]:
        """The entries without those already delivered, and without repeats within the group."""
        seen = statements.known(db, [entry.request_id for entry in ended])
        new = []
        for entry in ended:
            if (entry.request_id, entry.attempt) not in seen:
                seen.add((entry.request_id, entry.attempt))
                new.append(entry)
        return new

    def _entry_row(self, entry: Entry, number: int) -> dict[str, Any]:
        row = {"instance": self._instance, "number": number} | _request_row(entry)
        row |= {
            "status": entry.status,
            "error": entry.error,
            "attempts": entry.attempts,
            "queue_seconds": entry.queue_seconds,
            "upstream_seconds": entry.upstream_seconds,
            "first_token_seconds": entry.first_token_seconds,
            "duration_seconds": entry.duration_seconds,
            "cached": entry.cached,
            "cache": entry.cache,
            "saved_nanodollars": entry.saved_nanodollars,
            "prompt": entry.prompt,
            "day": self.day(entry.at),
        }
        return row | {"content_hash": content_hash(row), "forgotten": False}

    def _add_to_totals(self, db: sa.Connection, rows: Iterable[dict[str, Any]]) -> None:
        sums: dict[tuple[str, ...], dict[str, int]] = {}
        for row in rows:
            key = tuple(row[name] for name in TOTAL_KEYS)
            total = sums.setdefault(key, dict.fromkeys(TOTAL_SUMS, 0))
            for name, amount in _amounts(row).items():
                total[name] += amount
        self._add_sums(db, [dict(zip(TOTAL_KEYS, key, strict=True)) | total for key, total in sums.items()])

    def _add_sums(self, db: sa.Connection, sums: list[dict[str, Any]]) -> None:
        sums.sort(key=itemgetter(*TOTAL_KEYS))  # in one order gateways never wait for each other's rows in a ring
        statements.add_to_totals.run(db, sums)

    # Reading

    def day(self, at: float) -> str:
        """The calendar day of a Unix time in the ledger's zone, ``2026-11-21``."""
        return datetime.fromtimestamp(at, self._zone).date().isoformat()

    def totals(self, *, since: str, until: str = "9999", caller: str | None = None) -> list[dict[str, Any]]:
        """Sums per day, caller, tenant, model and task, for the days ``since`` to ``until`` (inclusive)."""
        query = sa.select(totals).where(totals.c.day >= since, totals.c.day <= until)
        if caller is not None:
            query = query.where(totals.c.caller == caller)
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(query.order_by(totals.c.day)).mappings()]

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
            return [_from_row(row) for row in db.execute(newest).mappings()]

    def find(self, request_id: str) -> list[Entry]:
        """The entries of one request: its attempts in order."""
        query = sa.select(entries).where(entries.c.request_id == request_id, sa.not_(entries.c.forgotten))
        with self._engine.connect() as db:
            return [_from_row(row) for row in db.execute(query.order_by(entries.c.attempt)).mappings()]

    def used(self, since: float, *, exact: float) -> Iterator[Used]:
        """What was used by what began from a Unix time on, oldest first; before ``exact`` it is summed by the minute.

        What is older than an hour before that is summed by ten minutes. It counts from the end of the answer, when some
        providers count its tokens; what a crash left behind had no end that anybody knows, and is given a minute.
        """
        lasted = sa.case((entries.c.status == 0, _UNKNOWN_SECONDS), else_=entries.c.duration_seconds)
        ended = entries.c.at + lasted
        by = (entries.c.caller, entries.c.tenant, entries.c.key, entries.c.model)
        key = entries.c.api_key
        hour = max(since, exact - 3_600.0)

        def summed(start: float, end: float, seconds: int) -> sa.Select[Any]:
            sums = (sa.func.sum(c).label(c.name) for c in _USED)
            within = sa.select(sa.func.max(ended).label("at"), *by, *sums, key).where(
                entries.c.at >= start, entries.c.at < end
            )
            return within.group_by(sa.func.floor(entries.c.at / seconds), *by, key)

        new = sa.select(ended.label("at"), *by, *_USED, key).where(entries.c.at >= max(since, exact))
        with self._engine.connect() as db:
            for query in (summed(since, hour, 600), summed(hour, exact, 60), new):
                for row in db.execution_options(yield_per=1000).execute(query.order_by("at")):
                    yield Used._make([*row[:5], *map(int, row[5:-1]), row[-1]])

    def spent_by_keys(self, since: str) -> dict[str, dict[str, int]]:
        """Nano-dollars by virtual API key and by day, from a day on."""
        own = (entries.c.api_key != "", entries.c.day >= since)
        query = sa.select(entries.c.api_key, entries.c.day, sa.func.sum(entries.c.cost_nanodollars)).where(*own)
        spent: dict[str, dict[str, int]] = {}
        with self._engine.connect() as db:
            for key, day, amount in db.execute(query.group_by(entries.c.api_key, entries.c.day)):
                spent.setdefault(key, {})[day] = int(amount)
        return spent

    def rows(self, *, since: str = "", until: str = "9999") -> Iterator[dict[str, Any]]:
        """All entries of these days as plain values without prompts, oldest first, a few at a time."""
        query = sa.select(*_EXPORTED).where(entries.c.day >= since, entries.c.day <= until)
        with self._engine.connect() as db:
            ordered = query.order_by(entries.c.at, entries.c.instance, entries.c.number)
            for row in db.execution_options(yield_per=1000).execute(ordered).mappings():
                yield dict(row)

    def __len__(self) -> int:
        with self._engine.connect() as db:
            return db.execute(sa.select(sa.func.count()).select_from(entries)).scalar_one()

    def head(self) -> Head:
        """The end of this gateway's chain, as it is on disk."""
        with self._engine.connect() as db:
            return Head(self._instance, *self._end_of_chain(db))

    def verify(self, heads: Iterable[Head] = ()) -> list[str]:
        """Check every chain; return what is wrong, one sentence each, empty when all is well.

        Args:
            heads: Ends of chains as they were written down elsewhere; the entries up to them must be there.
        """
        problems: list[str] = []
        with self._snapshot() as db:
            problems += [wrong for head in dict.fromkeys(heads) if (wrong := self._missing(db, head))]
            starts = {row.instance: (row.first_number, row.first_hash) for row in db.execute(sa.select(chains))}
            ordered = sa.select(entries).order_by(entries.c.instance, entries.c.number)
            instance, number, chain = "", 0, GENESIS
            for mapping in db.execution_options(yield_per=1000).execute(ordered).mappings():
                row = dict(mapping)
                if row["instance"] != instance:
                    instance = row["instance"]
                    first, chain = starts.get(instance, (1, GENESIS))
                    number = first - 1
                number += 1
                problems += problems_of(row, number, chain)
                number, chain = row["number"], row["chain_hash"]
        return problems

    def _missing(self, db: sa.Connection, head: Head) -> str:
        """What is wrong with a chain that once ended there; empty for nothing."""
        own = sa.select(entries.c.chain_hash).where(entries.c.instance == head.instance)
        found = db.execute(own.where(entries.c.number == head.number)).scalar()
        start = db.execute(sa.select(chains.c.first_number).where(chains.c.instance == head.instance)).scalar()
        if found == head.chain_hash or head.number == 0 or (start is not None and head.number < start):
            return ""
        if found is not None:
            return f"{head.instance} #{head.number}: it is another entry than was written down elsewhere."
        last = db.execute(sa.select(sa.func.max(entries.c.number)).where(entries.c.instance == head.instance)).scalar()
        return f"{head.instance}: the newest entries are missing, {(last or 0) + 1} to {head.number} at least."

    @contextmanager
    def _snapshot(self) -> Iterator[sa.Connection]:
        """All tables as they are at one moment, while others go on writing."""
        with self._engine.connect() as db:
            if db.dialect.name == "sqlite":
                db.exec_driver_sql("BEGIN")
            else:
                db.execution_options(isolation_level="REPEATABLE READ")
            yield db

    # Forgetting

    def forget(self, caller: str, at: float, *, chunk: int = 200) -> int:
        """Blank everything that names this caller, in chunks; what was used and spent stays in the nameless totals.

        What was begun up to the Unix time ``at`` and arrives later is without the name, too.
        """
        with self._engine.begin() as db:
            remember(db, caller, at)
        gone = 0
        while batch := self._forget_some(caller, chunk):
            gone += batch
            time.sleep(_PAUSE)
        own = totals.c.caller == caller
        with self._engine.begin() as db:
            db.execute(sa.delete(requests_open).where(requests_open.c.caller == caller))
            db.execute(sa.delete(kept_answers).where(kept_answers.c.caller == caller))
            db.execute(sa.delete(api_keys).where(api_keys.c.owner == caller))
            db.execute(sa.update(decisions).where(decisions.c.caller == caller).values(caller=""))
            # Read within the transaction that the first write began, so that nothing is added in between.
            rows = [
                dict(row)
                for row in db.execute(
                    sa.select(totals).where(own).order_by(*totals.primary_key).with_for_update()
                ).mappings()
            ]
            db.execute(sa.delete(totals).where(own))
            if rows:
                self._add_sums(db, [row | {"caller": ""} for row in rows])
        return gone

    def _forget_some(self, caller: str, chunk: int) -> int:
        with self._turn_to_write, self._engine.begin() as db:
            some = sa.select(entries.c.instance, entries.c.number).where(entries.c.caller == caller).limit(chunk)
            rows = [NAMELESS | {"of": row.instance, "at_number": row.number} for row in db.execute(some)]
            if rows:
                statements.blank.run(db, rows)
            return len(rows)

    def expire(self, before: float, *, chunk: int = 200) -> int:
        """Delete entries begun before a Unix time, oldest first and in chunks; their chain then starts later."""
        with self._engine.connect() as db:
            instances = db.execute(sa.select(entries.c.instance).distinct()).scalars().all()
        gone = 0
        for instance in instances:
            while batch := self._expire_some(instance, before, chunk):
                gone += batch
                time.sleep(_PAUSE)
        return gone

    def _expire_some(self, instance: str, before: float, chunk: int) -> int:
        """Delete the longest run of old entries from the start of a chain, at most ``chunk``."""
        own = entries.c.instance == instance
        with self._turn_to_write, self._engine.begin() as db:
            oldest = sa.select(entries.c.number, entries.c.at, entries.c.chain_hash).where(own)
            rows = db.execute(oldest.order_by(entries.c.number).limit(chunk)).all()
            run = list(takewhile(lambda row: row.at < before, rows))
            if run:
                db.execute(sa.delete(entries).where(own, entries.c.number <= run[-1].number))
                start = {"instance": instance, "first_number": run[-1].number + 1, "first_hash": run[-1].chain_hash}
                statement = insert_into(db.dialect.name, chains)
                moved = {name: statement.excluded[name] for name in ("first_number", "first_hash")}
                db.execute(statement.on_conflict_do_update(index_elements=["instance"], set_=moved), start)
            return len(run)

    # What else is kept

    def keep_answer(self, name: str, caller: str, answer: bytes, until: float) -> None:
        """Keep an answer for repeats until a Unix time; the first one of a name stays."""
        row = {"name": name, "caller": caller, "answer": answer, "until": until}
        with self._engine.begin() as db:
            db.execute(insert_into(db.dialect.name, kept_answers).on_conflict_do_nothing(), row)

    def kept_answer(self, name: str, now: float) -> bytes | None:
        """The answer kept by this name, if its time is not over."""
        query = sa.select(kept_answers.c.answer).where(kept_answers.c.name == name, kept_answers.c.until > now)
        with self._engine.connect() as db:
            return db.execute(query).scalar()

    def drop_answers(self, before: float, *, chunk: int = 500) -> int:
        """Delete kept answers whose time was over before a Unix time; return how many."""
        gone = 0
        old = sa.select(kept_answers.c.name).where(kept_answers.c.until <= before).limit(chunk)
        while True:
            with self._engine.begin() as db:
                batch = db.execute(sa.delete(kept_answers).where(kept_answers.c.name.in_(old))).rowcount
            gone += batch
            if batch < chunk:
                return gone

    def decide(self, name: str, value: str, caller: str, at: float) -> None:
        """Remember what an administrator changed, in place of an earlier value; an empty value takes it back."""
        with self._engine.begin() as db:
            db.execute(sa.delete(decisions).where(decisions.c.name == name))
            if value:
                db.execute(sa.insert(decisions), {"name": name, "value": value, "caller": caller, "at": at})

    def decided(self, name: str) -> str:
        """What an administrator changed; empty for nothing."""
        with self._engine.connect() as db:
            return db.execute(sa.select(decisions.c.value).where(decisions.c.name == name)).scalar() or ""

    @property
    def api_keys(self) -> SqlApiKeys:
        """Virtual API keys, in the same database."""
        return SqlApiKeys(self._engine)

    # Opening and closing

    def close(self) -> None:
        """Give the connections back."""
        if self._at_hand is not None:
            self._at_hand.close()
            self._at_hand = None
        self._engine.dispose()
        if self._held is not None:
            self._held.close()

    def _end_of_chain(self, db: sa.Connection) -> tuple[int, str]:
        if row := statements.last_link.run(db, [{"instance": self._instance}]).fetchone():
            return row[0], row[1]
        start = db.execute(sa.select(chains).where(chains.c.instance == self._instance)).first()
        return (start.first_number - 1, start.first_hash) if start else (0, GENESIS)


def _stored(row: dict[str, Any]) -> dict[str, Any]:
    return row | NAMELESS if row["forgotten"] else row


def _amounts(row: dict[str, Any]) -> dict[str, int]:
    """What one entry adds to its totals; a request counts once, however many attempts it took."""
    last = row["attempts"] > 0 or not row["key"] or row["status"] == 0
    return {
        "requests": int(last),
        "errors": int(last and not 200 <= row["status"] < 300),
        "cache_hits": int(row["cached"]),
        **{name: row[name] for name in TOTAL_SUMS[3:]},
    }


def _request_row(entry: Entry) -> dict[str, Any]:
    return {
        "request_id": entry.request_id,
        "attempt": entry.attempt,
        "at": float(entry.at),  # the hash is over what the database gives back
        "caller": entry.caller,
        "tenant": entry.tenant,
        "task": entry.task,
        "model": entry.model,
        "key": entry.key,
        "prompt_tokens": entry.usage.prompt_tokens,
        "completion_tokens": entry.usage.completion_tokens,
        "cached_tokens": entry.usage.cached_tokens,
        "estimated": entry.usage.estimated,
        "cost_nanodollars": entry.cost_nanodollars,
        "prompt_hash": entry.prompt_hash,
        "api_key": entry.api_key,
    }


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
_USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens", "estimated")
_ENTRY = {name for name in Entry.__struct_fields__ if name != "usage"}


def _from_row(row: Any, **changes: Any) -> Entry:
    values = {name: row[name] for name in _ENTRY if name in row}
    return Entry(**(values | changes), usage=Usage(**{name: row[name] for name in _USAGE}))


@contextmanager
def opened(url: str, *, instance: str, zone: str = "UTC") -> Iterator[SqlLedgerStore]:
    """A store for one command, closed at its end."""
    store = SqlLedgerStore(url, instance=instance, zone=zone)
    try:
        yield store
    finally:
        store.close()
