"""What administrators ask of the ledger: sums of time, what is asked most, who asks, what failed."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from jupyter_server_ext.ledger.ranks import Different, count_ranks, ranked_rows
from jupyter_server_ext.ledger.schema import entries, key_headroom, series, totals
from jupyter_server_ext.ledger.series import drop_old, fold_some, unfolded_entries
from jupyter_server_ext.ledger.sketch import unpacked
from jupyter_server_ext.ledger.statements import PreparedStatement, deferred_fsync, least, merging
from jupyter_server_ext.ledger.sums import (
    DAY,
    FINE,
    HOUR,
    MOST_HOURLY,
    SERIES_COUNTS,
    SERIES_SECONDS,
    day_start,
    grain_for,
    slot_starts,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from jupyter_server_ext.keys import LimitOfKey
    from jupyter_server_ext.ledger.pages import LedgerPage, LogFilter

    Row = dict[str, Any]

_FOLD_LOCK = 7_715_104  # any number; gateways that fold take turns
_SUMS = (*SERIES_COUNTS, *SERIES_SECONDS)
_SHOWN = [c for c in entries.columns if c.name not in {"prompt", "answer", "content_hash", "chain_hash", "forgotten"}]
_PLACE = ("at", "instance", "number")  # the order of entries
_GROUPS = ("tenant", "model", "task")
_LIMIT = ("key", "model", "unit", "seconds")
_PAUSE = 0.005  # seconds between two groups that are folded, in which entries that wait are written


class SqlAnalytics:
    """Sums and lists for administrators. Methods block."""

    def __init__(self, engine: sa.Engine, turn: threading.Lock | None = None, zone: ZoneInfo | None = None) -> None:
        self._engine = engine
        self._zone = zone or ZoneInfo("UTC")  # whose midnight begins a day
        self._turn: AbstractContextManager[Any] = turn or nullcontext()  # SQLite's one write at a time

    # Folding

    @contextmanager
    def folding(self) -> Iterator[sa.Connection]:
        """A transaction beside which nobody else folds."""
        # What a power cut takes back is folded again, so that nothing waits for the disk.
        with self._turn, self._engine.connect() as db, deferred_fsync(db):
            if db.dialect.name == "postgresql":
                db.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _FOLD_LOCK})
            else:
                db.exec_driver_sql("BEGIN IMMEDIATE")
            yield db

    def fold(self, most: int | None = None, *, at_once: int = 2_000) -> int:
        """Fold entries into sums and rankings, all that there are or so many; return how many.

        They are folded in groups of ``at_once``, between which others may write.
        """
        done = 0
        while most is None or done < most:
            with self.folding() as db:
                some = fold_some(db, self._zone, at_once)
            done += some
            if some < at_once:
                break
            time.sleep(_PAUSE)
        return done

    def drop_old(self, now: float, keep_days: int) -> None:
        """Delete sums and ranks that are too old to be asked for."""
        with self.folding() as db:
            drop_old(db, now, keep_days)

    def unfolded(self, instance: str) -> int:
        """How many entries of one gateway are in no sum yet."""
        with self._engine.connect() as db:
            return unfolded_entries(db, instance)

    # Sums of time

    def sums(self, now: float, hours: float, *, by: Iterable[str] = (), tenant: str | None = None) -> list[Row]:
        """Sums of the last hours until a Unix time, for each group of ``by``.

        Groups are of ``start``, ``tenant``, ``model`` and ``task``; ``durations`` is a sketch. The first slot counts
        whole: of five minutes, of an hour for more than 12 hours, of a day for more than 72.
        """
        grain = grain_for(hours)
        return self._sums(grain, _first(grain, now - hours * 3600, self._zone), by, tenant, until=now)

    def first_slot(self, now: float, hours: float) -> int:
        """The Unix time from which ``sums`` counts."""
        return _first(grain_for(hours), now - hours * 3600, self._zone)

    def sums_of_today(self, now: float, tenant: str | None = None) -> Row:
        """Sums since midnight."""
        return self._sums_of(DAY, day_start(now, self._zone), tenant, until=now)

    def sums_of_slots(self, now: float, hours: float, step: int, tenant: str | None = None) -> list[Row]:
        """Sums of the last hours by slots of ``step`` seconds, the oldest first, without those that had no requests.

        Slots are no finer than sums are kept for so many hours.
        """
        grain = _grain_of(hours, step)
        return self._sums(grain, _first(grain, now - hours * 3600, self._zone), ("start",), tenant, until=now)

    def slots(self, now: float, hours: float, step: int) -> tuple[int, list[int]]:
        """The width of the slots of ``sums_of_slots``, and when each begins, also those that had no requests."""
        grain = _grain_of(hours, step)
        return grain, slot_starts(now - hours * 3600, now, grain, self._zone)

    def sums_of_all(self, tenant: str | None = None) -> Row:
        """Sums of all time."""
        return self._sums_of(DAY, 0, tenant)

    def latest(self) -> float:
        """The Unix time of the latest entry, by the clock of the gateway that wrote it; 0 without any."""
        with self._engine.connect() as db:
            return float(db.execute(sa.select(sa.func.max(entries.c.at))).scalar() or 0.0)

    def _sums_of(self, grain: int, since: int, tenant: str | None, until: float = math.inf) -> Row:
        return next(iter(self._sums(grain, since, (), tenant, until)), dict.fromkeys((*_SUMS, "durations"), 0))

    def _sums(
        self, grain: int, since: int, by: Iterable[str], tenant: str | None, until: float = math.inf
    ) -> list[Row]:
        # What lies in the future was written before a clock was set back, and is no part of the time before now.
        groups = [series.c[name] for name in by]
        wanted = [series.c.grain == grain, series.c.start >= since]
        if math.isfinite(until):
            wanted.append(series.c.start <= until)
        if tenant is not None:
            wanted.append(series.c.tenant == tenant)
        query = sa.select(*groups, *(sa.func.sum(series.c[name]).label(name) for name in _SUMS)).where(*wanted)
        if groups:
            query = query.group_by(*groups).order_by(*groups)
        sketches = sa.select(*groups, series.c.durations).where(*wanted, series.c.durations.is_not(None))
        durations: dict[tuple[Any, ...], int] = {}
        with self._engine.connect() as db:
            rows = [dict(row) for row in db.execute(query).mappings()]
            for *group, stored in db.execute(sketches):
                durations[*group] = durations.get((*group,), 0) + unpacked(stored)
        # PostgreSQL sums whole numbers as decimals; of no rows the sum is null.
        whole = dict.fromkeys(SERIES_COUNTS, int) | dict.fromkeys(SERIES_SECONDS, float)
        return [
            row
            | {name: kind(row[name] or 0) for name, kind in whole.items()}
            | {"durations": durations.get(tuple(row[column.name] for column in groups), 0)}
            for row in rows
        ]

    # Rankings

    def ranked(
        self,
        kind: str,
        page: LedgerPage,
        *,
        tenant: str | None = None,
        by: str = "requests",
        name: str | None = None,
        holds: str | None = None,  # only names that hold this
    ) -> list[Row]:
        """What is asked for most, by ``requests``, by ``heat`` or by ``last_at``, of everyone or of one tenant.

        By ``heat`` questions that were asked once are left out, and by ``last_at`` questions are not ranked.
        """
        with self._engine.connect() as db:
            return ranked_rows(db, kind, page, tenant=tenant, by=by, name=name, holds=holds)

    def count_ranked(self, kind: str, *, since: float = 0.0, tenant: str | None = None) -> Different:
        """How many different questions, tables or callers there were, and how many since a Unix time."""
        with self._engine.connect() as db:
            return count_ranks(db, kind, since=since, tenant=tenant)

    def kept_prompts(self, questions: Iterable[str]) -> dict[str, bytes]:
        """The latest prompt that is kept of each of these questions, encrypted as it is."""
        found: dict[str, bytes] = {}
        with self._engine.connect() as db:
            for name in questions:
                query = sa.select(entries.c.prompt).where(entries.c.question == name, entries.c.prompt.is_not(None))
                prompt = db.execute(query.order_by(entries.c.at.desc()).limit(1)).scalar()
                if prompt is not None:
                    found[name] = prompt
        return found

    # Executions

    def executions(self, page: LedgerPage, *, failed: bool = False, **wanted: str | None) -> list[Row]:
        """Entries without their texts, the latest first; ``wanted`` are columns and the values that they must have."""
        query = sa.select(*_SHOWN).where(sa.not_(entries.c.forgotten))
        if failed:
            query = query.where(sa.text("(status >= 400 OR status = 0)"))
        if wanted.get("session") is not None:
            query = query.where(sa.text("session <> ''"))  # as the index has it
        for name, value in wanted.items():
            if value is not None:
                query = query.where(entries.c[name] == value)
        ordered = page.of(query, entries.c.at, entries.c.instance, entries.c.number)
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(ordered).mappings()]

    def log(self, page: LedgerPage, wanted: LogFilter) -> list[Row]:
        """Requests without their texts and their tries, the latest first, as the filter wants them."""
        found = page.of(sa.select(*(entries.c[name] for name in _PLACE)).where(*_wanted(wanted)), *_by_place(entries))
        places = found.subquery()
        same = sa.and_(*(entries.c[name] == places.c[name] for name in _PLACE[1:]))
        query = sa.select(*_SHOWN).select_from(places.join(entries, same))
        with self._engine.connect() as db:
            rows = db.execute(query.order_by(*(column.desc() for column in _by_place(places)))).mappings()
            return [dict(row) for row in rows]

    def usage(self, page: LedgerPage, since: str, tenant: str | None = None) -> list[Row]:
        """Sums per day, caller, tenant, model and task, from a day on, the latest first."""
        query = sa.select(totals).where(totals.c.day >= since)
        query = query if tenant is None else query.where(totals.c.tenant == tenant)
        query = page.of(query, *totals.primary_key.columns)
        with self._engine.connect() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    def days_of(self, caller: str, since: str, tenant: str | None = None) -> list[Row]:
        """A caller's sums by day, from a day such as ``2026-11-01`` on, the latest first."""
        names = ("requests", "errors", "cache_hits", "prompt_tokens", "completion_tokens", "cost_nanodollars")
        query = sa.select(totals.c.day, *(sa.func.sum(totals.c[name]).label(name) for name in names))
        query = query.where(totals.c.caller == caller, totals.c.day >= since)
        query = query if tenant is None else query.where(totals.c.tenant == tenant)
        with self._engine.connect() as db:
            rows = db.execute(query.group_by(totals.c.day).order_by(totals.c.day.desc())).mappings()
            return [{name: value if name == "day" else int(value) for name, value in row.items()} for row in rows]

    def tenants_of(self, caller: str, since: str) -> set[str]:
        """The tenants in which a caller has asked something, from a day such as ``2026-11-01`` on."""
        query = sa.select(totals.c.tenant).where(totals.c.caller == caller, totals.c.day >= since).distinct()
        with self._engine.connect() as db:
            return set(db.execute(query).scalars())

    # Keys

    def keep_headroom(self, at: int, left: Mapping[LimitOfKey, float], *, since: float) -> None:
        """Note which part of limits is left now, by key, model, unit and seconds; what is older than ``since`` goes.

        Of what several gateways see of one limit at one moment the least stays.
        """
        rows = [limit._asdict() | {"at": at, "part": part} for limit, part in sorted(left.items())]
        with self._turn, self._engine.connect() as db, deferred_fsync(db):
            db.execute(sa.delete(key_headroom).where(key_headroom.c.at < since))
            _KEEP_LEAST.run(db, rows)

    def headroom(self, since: float, key: str | None = None) -> list[Row]:
        """Each limit with its points of Unix time and the part that was left, oldest first; of one key, or of all."""
        query = sa.select(*(key_headroom.c[name] for name in (*_LIMIT, "at", "part")))
        query = query.where(key_headroom.c.at >= since)
        query = query if key is None else query.where(key_headroom.c.key == key)
        found: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
        with self._engine.connect() as db:
            for *limit, at, part in db.execute(query.order_by(key_headroom.c.at)):
                found.setdefault(tuple(limit), []).append((at, part))
        return [dict(zip(_LIMIT, limit, strict=True)) | {"points": past} for limit, past in sorted(found.items())]

    # The database

    def state(self) -> Row:
        """What database it is, how long a question takes it in milliseconds, and its size in bytes."""
        start = time.perf_counter()
        with self._engine.connect() as db:
            db.execute(sa.text("SELECT 1")).scalar()
            milliseconds = (time.perf_counter() - start) * 1000
            if db.dialect.name == "postgresql":
                size = db.execute(sa.text("SELECT pg_database_size(current_database())")).scalar()
            else:
                pages, each = (db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("page_count", "page_size"))
                size = int(pages or 0) * int(each or 0)
            version = ".".join(map(str, db.dialect.server_version_info or ()))
        known = {"kind": db.dialect.name, "version": version, "bytes": int(size or 0)}
        return known | {"milliseconds": round(milliseconds, 2)}


def _first(grain: int, since: float, zone: ZoneInfo) -> int:
    # When the slot begins that a Unix time lies in.
    return day_start(since, zone) if grain == DAY else int(since // grain) * grain


def _grain_of(hours: float, step: int) -> int:
    # The width of slots that are asked for, no finer than they are kept for so many hours.
    kept = grain_for(hours, hourly=MOST_HOURLY)
    return max(kept, *(grain for grain in (FINE, HOUR, DAY) if grain <= max(step, FINE)))


def _by_place(table: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    return [table.c[name] for name in _PLACE]


def _wanted(wanted: LogFilter) -> Iterator[sa.ColumnElement[bool]]:
    # Only what the index ``entries_log`` has.
    entry = entries.c
    yield sa.not_(entry.forgotten)
    yield sa.or_(entry.attempts > 0, entry.key == "", entry.status == 0)  # not a try that was followed by others
    for name in ("tenant", "model", "task", "key"):
        if (value := getattr(wanted, name)) is not None:
            yield entry[name] == value
    if wanted.who is not None:
        yield entry.caller.icontains(wanted.who, autoescape=True)
    if wanted.since is not None:
        yield entry.at >= wanted.since
    if wanted.until is not None:
        yield entry.at < wanted.until
    if wanted.outcome is not None:
        yield _OUTCOMES[wanted.outcome](entry.status)
    if wanted.least_seconds is not None:
        yield entry.duration_seconds >= wanted.least_seconds
    if wanted.least_nanodollars is not None:
        yield entry.cost_nanodollars >= wanted.least_nanodollars


# As ``outcome_of``.
_OUTCOMES: dict[str, Callable[[sa.Column[int]], sa.ColumnElement[bool]]] = {
    "success": lambda status: status.between(200, 299),
    "timeout": lambda status: status.in_((408, 504)),
    "cancelled": lambda status: status == 499,
    "refused": lambda status: sa.and_(status.between(400, 499), status.not_in((408, 499))),
    "failure": lambda status: sa.or_(status < 200, status.between(300, 399), sa.and_(status >= 500, status != 504)),
}
_KEEP_LEAST = PreparedStatement(
    lambda dialect: merging(dialect, key_headroom, {"part": lambda old, new: least(dialect)(old.part, new.part)})
)
