"""The ledger in SQL: SQLite on one machine, PostgreSQL for many. Through SQLAlchemy Core, with Alembic migrations."""

# All methods block; ``ledger.py`` calls them from one thread. Writes come in groups, one transaction each, and a
# repeated delivery of the same (request_id, attempt) changes nothing. The entries of each instance form a chain
# (``rows.py``).
#
# The statements that every entry goes through are compiled once and then run by the driver itself. SQLAlchemy makes
# them, so they are right in SQLite and in PostgreSQL; its own way of running one takes ten times as long as SQLite's
# work (60 and 6 us), which a gateway on one core pays for every answer. PostgreSQL's driver is still called through it,
# as it knows from the driver's errors which connections are lost.

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager, nullcontext
from itertools import takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.ledger.leases import database_time
from jupyter_server_ext.ledger.notes import drop_ratings
from jupyter_server_ext.ledger.reader import SqlLedgerReader
from jupyter_server_ext.ledger.rows import (
    NAMELESS,
    TOTAL_SUMS,
    ForgottenCallers,
    added_to_totals,
    apart,
    entry_of,
    entry_row,
    hash_of,
    is_of_a_row,
    link,
    request_row,
)
from jupyter_server_ext.ledger.schema import (
    api_keys,
    at_start,
    chains,
    decisions,
    entries,
    forgotten,
    kept_answers,
    migrate,
    open_engine,
    rankings,
    requests_open,
    session_copies,
    session_files,
    sessions,
    totals,
)
from jupyter_server_ext.ledger.statements import PreparedStatement, deferred_fsync, insert_into, rows_named
from jupyter_server_ext.ledger.sums import TOTAL_KEYS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from jupyter_server_ext.ledger.files import Instance
    from jupyter_server_ext.ledger.leases import DatabaseClock
    from jupyter_server_ext.messages import Entry

    Row = dict[str, Any]

_PAUSE = 0.001  # seconds between two chunks, in which entries that wait are written
_CHAIN_LOCK = 7_715_102  # any number; two that write to one chain take turns
_RESERVED = ("key", "model", "prompt_tokens", "completion_tokens", "cost_nanodollars")


class SqlLedgerStore(SqlLedgerReader):
    """The ledger's tables in one database.

    Args:
        url: ``sqlite:///path`` or ``postgresql://…``.
        instance: Stable name of this gateway, such as ``127.0.0.1:8899``; what it left open is its own to close.
        zone: Time zone whose midnight begins a day of the totals.
        held: The lock on the instance's name, given back with the store.

    Raises:
        ConfigError: The database cannot be opened, or a newer version has written it.

    Example:
        >>> from jupyter_server_ext.messages import Entry
        >>> store = SqlLedgerStore("sqlite://", instance="test")
        >>> store.finish([Entry("r1", at=0.0, caller="ada")])
        1
    """

    is_away = False  # whether entries go to this machine's disk for now, to be delivered later

    def __init__(
        self,
        url: str,
        *,
        instance: str,
        zone: str = "UTC",
        held: Instance | None = None,
        now: DatabaseClock = database_time,  # Unix time, by which leases end
    ) -> None:
        super().__init__(open_engine(url), instance, zone)
        self.now = now
        self._held = held
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        # SQLite lets one write at a time, and a thread that waits for it looks again more and more rarely.
        self._write_turn = threading.Lock() if self._is_sqlite else None
        self._turn_to_write = self._write_turn or nullcontext()
        self._at_hand: sa.Connection | None = None
        try:
            with at_start(self._engine):
                migrate(self._engine)
        except ConfigError:
            self.close()
            raise

    # Writing

    @property
    def engine(self) -> sa.Engine:
        """The database, for what is kept beside the entries."""
        return self._engine

    def begin(self, begun: Sequence[Entry]) -> None:
        """Remember that these requests are under way, with what they hold; a second delivery replaces the first.

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
        with self._connection() as db, deferred_fsync(db):
            self._begin(db, begun)

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        """The connection that entries are written with."""
        # SQLite's stays at hand: getting one takes as long as writing. PostgreSQL's goes back each time: the pool sees
        # whether it still stands before it is used again.
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
            _PUT_OPEN.run(db, [{"instance": self._instance} | request_row(entry) for entry in begun])

    def finish(self, ended: Sequence[Entry], begun: Sequence[Entry] = ()) -> int:
        """Append these entries, durably, and drop them from the open ones; return how many were new.

        ``begun`` are remembered as by ``begin``, in the same transaction.

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
            # First, as what follows reads what no other process may change any more.
            self._take_turn(db, ended)
            self._begin(db, begun)
            new = self._not_yet_there(db, ended)
            if new:
                rows = self._linked(db, new)
                sums = added_to_totals(rows)
                _APPEND.run(db, [row | NAMELESS if row["forgotten"] else row for row in rows])
                self._add_sums(db, sums)
        return len(new)

    def _linked(self, db: sa.Connection, new: Sequence[Entry]) -> list[dict[str, Any]]:
        """Rows for these entries at the end of the chain; of who was forgotten only the totals learn the group."""
        newest = _LAST_LINK.run(db, [{"instance": self._instance}]).fetchone()
        last, chain = newest or self._start_of_chain(db)
        forgotten = self.forgotten_since(db, min(entry.at for entry in new))
        rows = []
        for number, entry in enumerate(new, last + 1):
            row = entry_row(entry, self._instance, number, self._zone)
            chain = link(chain, row["content_hash"])
            late = {"caller": "", "forgotten": True} if (entry.caller, entry.at) in forgotten else {}
            rows.append(row | late | {"chain_hash": chain})
        return rows

    def close_unfinished(self) -> int:
        """Turn what an earlier life of this instance left open into entries with status 0; return how many."""
        with at_start(self._engine):
            with self._engine.connect() as db:
                own = sa.select(requests_open).where(requests_open.c.instance == self._instance)
                ended = [entry_of(row, status=0, error="gateway_stopped") for row in db.execute(own).mappings()]
            return self.finish(ended) if ended else 0

    def close_lost(self, client_ids: Collection[str]) -> int:
        """Turn what gateways left open that are gone into entries, by what callers named it; return how many."""
        with self._engine.connect() as db:
            lost = sa.select(requests_open).where(requests_open.c.client_id.in_(client_ids))
            ended = [entry_of(row, status=0, error="gateway_stopped") for row in db.execute(lost).mappings()]
        return self.finish(ended) if ended else 0

    def _take_turn(self, db: sa.Connection, ended: Sequence[Entry]) -> None:
        """Drop these from the open ones, and let no other process write to this chain until the transaction ends."""
        # SQLite's first write locks the database, so what is read afterwards stays true.
        if db.dialect.name == "postgresql":
            _TAKE_TURN.run(db, [{"lock": _CHAIN_LOCK, "name": self._instance}])
        _DROP_OPEN.run(db, [{"request_id": entry.request_id, "attempt": entry.attempt} for entry in ended])

    def _not_yet_there(self, db: sa.Connection, ended: Sequence[Entry]) -> list[Entry]:
        """The entries without those already delivered, and without repeats within the group."""
        seen = _known(db, [entry.request_id for entry in ended])
        first: dict[tuple[str, int], Entry] = {}
        for entry in ended:
            first.setdefault((entry.request_id, entry.attempt), entry)
        return [entry for name, entry in first.items() if name not in seen]

    def _add_sums(self, db: sa.Connection, sums: list[dict[str, Any]]) -> None:
        sums.sort(key=itemgetter(*TOTAL_KEYS))  # in one order gateways never wait for each other's rows in a ring
        _ADD_TO_TOTALS.run(db, sums)

    @staticmethod
    def forgotten_since(db: sa.Connection, at: float) -> ForgottenCallers:
        """Callers forgotten at or after a Unix time: no others matter to entries begun since."""
        return ForgottenCallers(dict(_FORGOTTEN_SINCE.run(db, [{"since": at}]).fetchall()))

    # Forgetting

    def forget(self, caller: str, at: float, *, chunk: int = 200) -> int:
        """Blank everything that names this caller, in chunks; what was used and spent stays in the nameless totals.

        What was begun up to the Unix time ``at`` and arrives later is without the name, too.
        """
        with self._engine.begin() as db:
            _remember(db, caller, at)
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
            for said in (session_files, session_copies):
                db.execute(sa.delete(said).where(said.c.caller == caller))
            drop_ratings(db, self.trail, caller, at)
            self.trail.forget(db, caller)
            # Read within the transaction that the first write began, so that nothing is added in between.
            sums = sa.select(totals).where(own).order_by(*totals.primary_key).with_for_update()
            rows = [dict(row) for row in db.execute(sums).mappings()]
            db.execute(sa.delete(totals).where(own))
            if rows:
                self._add_sums(db, [row | {"caller": ""} for row in rows])
        with self.analytics.folding() as db:
            db.execute(sa.delete(sessions).where(sessions.c.caller == caller))
            db.execute(sa.delete(rankings).where(rankings.c.kind == "caller", rankings.c.name == caller))
        return gone

    def _forget_some(self, caller: str, chunk: int) -> int:
        with self._turn_to_write, self._engine.begin() as db:
            some = sa.select(entries.c.instance, entries.c.number).where(entries.c.caller == caller).limit(chunk)
            rows = [NAMELESS | {"of": row.instance, "at_number": row.number} for row in db.execute(some)]
            if rows:
                _BLANK.run(db, rows)
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
                # Verification begins where the deleted run ended.
                db.execute(_put(db.dialect.name, chains, ("first_number", "first_hash")), start)
            return len(run)

    def drop_texts(self, before: float, *, chunk: int = 200) -> int:
        """Delete prompts and answers of what was begun before a Unix time, in chunks; return of how many entries."""
        gone = 0
        old = sa.select(entries.c.instance, entries.c.number).where(entries.c.at < before, _WITH_TEXT).limit(chunk)
        while True:
            with self._turn_to_write, self._engine.begin() as db:
                rows = [{"of": row.instance, "at_number": row.number} for row in db.execute(old)]
                if rows:
                    _DROP_TEXT.run(db, rows)
            gone += len(rows)
            if len(rows) < chunk:
                return gone
            time.sleep(_PAUSE)

    # What else is kept

    def keep_answer(self, name: str, caller: str, answer: bytes, until: float) -> None:
        """Keep an answer for repeats until a Unix time; the first one of a name stays."""
        row = {"name": name, "caller": caller, "answer": answer, "until": until}
        with self._engine.begin() as db:
            db.execute(insert_into(db.dialect.name, kept_answers).on_conflict_do_nothing(), row)

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

    # Opening and closing

    def close(self) -> None:
        """Give the connections back."""
        if self._at_hand is not None:
            self._at_hand.close()
            self._at_hand = None
        self._engine.dispose()
        if self._held is not None:
            self._held.close()


def opened(url: str, *, instance: str) -> closing[SqlLedgerStore]:
    """A store for one command, closed at its end."""
    return closing(SqlLedgerStore(url, instance=instance))


# Statements -----------------------------------------------------------------------------------------------------------


def _put(dialect: str, table: sa.Table, names: Iterable[str], *, added: bool = False) -> Any:
    """The INSERT of a row; of one that is there, the values of these names are replaced, or added to."""
    insert = insert_into(dialect, table)
    values = {name: table.c[name] + insert.excluded[name] if added else insert.excluded[name] for name in names}
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)


# PostgreSQL only: wait for others with this ``lock`` and ``name``, until the end of the transaction. All that follows
# looks for single rows. A plan is kept from when its table was empty, when reading all of it was best: without the
# setting a group of eight takes 6.9 rather than 2.3 ms once there are 6,000 entries.
_TAKE_TURN = PreparedStatement(
    lambda _: sa.select(
        sa.text("pg_advisory_xact_lock(:lock, hashtext(:name))"), sa.text("set_config('enable_seqscan', 'off', true)")
    )
)

# Remember a request under way; a second one of a request replaces the first. Rows: those of ``requests_open``.
_PUT_OPEN = PreparedStatement(lambda dialect: _put(dialect, requests_open, _RESERVED))

# Drop a request from those under way. Rows: ``request_id``, ``attempt``.
_DROP_OPEN = PreparedStatement(
    lambda _: sa.delete(requests_open).where(
        requests_open.c.request_id == sa.bindparam("request_id"), requests_open.c.attempt == sa.bindparam("attempt")
    )
)
_APPEND = PreparedStatement(lambda _: sa.insert(entries))  # add an entry. Rows: those of ``entries``

# Add to totals, which are made if there are none. Rows: ``TOTAL_KEYS`` and ``TOTAL_SUMS``.
_ADD_TO_TOTALS = PreparedStatement(lambda dialect: _put(dialect, totals, TOTAL_SUMS, added=True))

# Put other names into an entry. Rows: ``of`` and ``at_number`` for which, and the names. One by one: SQLite looks
# through all entries for those in a list of pairs.
_BLANK = PreparedStatement(
    lambda _: (
        sa.update(entries)
        .where(entries.c.instance == sa.bindparam("of"), entries.c.number == sa.bindparam("at_number"))
        .values({name: sa.bindparam(name) for name in NAMELESS})
    )
)

# Drop an entry's texts. Row: ``of`` and ``at_number``.
_DROP_TEXT = PreparedStatement(
    lambda _: (
        sa.update(entries)
        .where(entries.c.instance == sa.bindparam("of"), entries.c.number == sa.bindparam("at_number"))
        .values(prompt=sa.null(), answer=sa.null())
    )
)
_WITH_TEXT = sa.text("(prompt IS NOT NULL OR answer IS NOT NULL)")  # as the index has it

# The number and the hash of the newest entry. Row: ``instance``.
_LAST_LINK = PreparedStatement(
    lambda _: sa.text("SELECT number, chain_hash FROM entries WHERE instance = :instance ORDER BY number DESC LIMIT 1")
)

# Callers forgotten at or after a Unix time, as (hash, Unix time). Row: ``since``.
_FORGOTTEN_SINCE = PreparedStatement(
    lambda _: sa.select(forgotten.c.caller_hash, forgotten.c.at).where(forgotten.c.at >= sa.bindparam("since"))
)


def _known(db: sa.Connection, request_ids: Sequence[str]) -> set[tuple[str, int]]:
    """Which entries there are of these requests, as (request_id, attempt)."""
    return {tuple(row) for row in rows_named(db, entries.c.request_id, request_ids, entries.c.attempt)}


def _remember(db: sa.Connection, caller: str, at: float) -> None:
    """Note that a caller was forgotten at a Unix time."""
    # PostgreSQL waits for those who looked before and have yet to write, so that they are over when entries are
    # blanked.
    if db.dialect.name == "postgresql":
        db.execute(sa.text("LOCK TABLE forgotten IN ACCESS EXCLUSIVE MODE"))
    db.execute(_put(db.dialect.name, forgotten, ("at",)), {"caller_hash": hash_of(caller), "at": at})
