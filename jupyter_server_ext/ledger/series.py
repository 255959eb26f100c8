"""What administrators look at, folded from the entries: sums of time, rankings, conversations."""

# Entries are folded a few hundred at a time, in the order of their chains and each exactly once: how far a chain is
# folded stands in the same transaction. So writing an entry costs nothing more, a clock that goes back loses nothing,
# and a question over a million requests reads some thousand rows. What an older version has written is folded at the
# first start. Half a day is read by five minutes, three days by the hour, and more by the day.
#
# Names are anybody's to make up, so of a day only the first models have rows of their own.

from __future__ import annotations

from functools import partial
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import sqlalchemy as sa

from jupyter_server_ext.ledger.ranks import COUNTED, add_ranks, add_up, drop_old_ranks, parts_of
from jupyter_server_ext.ledger.schema import chains, entries, folded, series, sessions
from jupyter_server_ext.ledger.sketch import packed, sketch_of, unpacked
from jupyter_server_ext.ledger.statements import PreparedStatement, merging, names_of
from jupyter_server_ext.ledger.sums import DAY, FINE, HOUR, OUTCOMES, SERIES_COUNTS, SERIES_SECONDS, day_start
from jupyter_server_ext.messages import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from zoneinfo import ZoneInfo

    from jupyter_server_ext.ledger.ranks import Addition, Group

OTHER = "other"  # stands for names beyond the first ones
_FINE_KEPT = 3 * DAY  # seconds for which the finest slots are kept
_HOURS_KEPT = 30 * DAY
_RANKED_KEPT = 366 * DAY  # for which something that nobody asks for any more keeps its rank
_MOST_MODELS = 500  # of which a day has sums of their own
_KEYS = ("grain", "start", "tenant", "model", "task")
_SUMS = (*SERIES_COUNTS, *SERIES_SECONDS)
_DURATIONS = len(_SUMS)  # where the sketch stands, behind the sums
# Where each sum stands among them.
_REQUESTS, _RETRIES, _HITS, _SAVED = map(_SUMS.index, ("requests", "retries", "cache_hits", "saved_nanodollars"))
_PROMPT, _COMPLETION, _CACHED = map(_SUMS.index, ("prompt_tokens", "completion_tokens", "cached_tokens"))
_COST, _FIRSTS, _QUEUE = map(_SUMS.index, ("cost_nanodollars", "first_tokens", "queue_seconds"))
_FIRST_SECONDS, _UPSTREAM, _DURATION = map(_SUMS.index, SERIES_SECONDS[1:])
_OUTCOMES = {outcome: _SUMS.index(outcome) for outcome in OUTCOMES}


class Execution(NamedTuple):
    """What is folded of an entry."""

    instance: str
    number: int
    at: float
    caller: str
    tenant: str
    task: str
    model: str
    key: str
    status: int
    error: str
    attempts: int
    cached: bool
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_nanodollars: int
    saved_nanodollars: int
    queue_seconds: float
    first_token_seconds: float | None
    upstream_seconds: float
    duration_seconds: float
    session: str
    question: str
    tables: str

    @property
    def is_request(self) -> bool:
        """Whether it stands for a request, and not for a try of it that was followed by others."""
        return self.attempts > 0 or not self.key or self.status == 0


_execution = partial(tuple.__new__, Execution)  # as ``Execution._make`` does, which takes three times as long


def fold_some(db: sa.Connection, zone: ZoneInfo, most: int = 200) -> int:
    """Fold entries that are not folded yet, at most so many; return how many. Others must not fold meanwhile.

    Days begin at midnight of ``zone``.
    """
    rows = _unfolded(db, most)
    if rows:
        _add_series(db, rows, zone)
        questions, groups = parts_of(rows)
        add_ranks(db, questions, groups)
        _add_sessions(db, groups)
        ends = {row.instance: row.number for row in rows}  # the last one of each, as they are in order
        _PUT_FOLDED.run(db, [{"instance": name, "number": number} for name, number in sorted(ends.items())])
    return len(rows)


def _unfolded(db: sa.Connection, most: int) -> list[Execution]:
    done = {row.instance: row.number for row in db.execute(sa.select(folded))}
    rows: list[Execution] = []
    for instance in names_of(db, entries.c.instance):
        after = {"own": instance, "after": done.get(instance, 0), "most": most - len(rows)}
        rows += map(_execution, _UNFOLDED.run(db, [after]).fetchall())
        if len(rows) >= most:
            break
    return rows


# Sums of time -------------------------------------------------------------------------------------------------------


def _add_series(db: sa.Connection, rows: Iterable[Execution], zone: ZoneInfo) -> None:
    fine: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        model = "" if row.error in {"model_not_found", "model_gone"} else row.model  # anybody can make up names
        key = (int(row.at // FINE) * FINE, row.tenant, model, row.task)
        if key not in fine:
            fine[key] = [0] * (len(_SUMS) + 1)
        _add_amounts(fine[key], row)
    known: dict[int, set[str]] = {}
    sums: dict[tuple[Any, ...], list[Any]] = {}
    days: dict[int, int] = {}
    for (start, tenant, model, task), amounts in fine.items():
        if start not in days:
            days[start] = day_start(start, zone)
        named = _one_of_few(db, known, days[start], model)
        for slot in ((FINE, start), (HOUR, start // HOUR * HOUR), (DAY, days[start])):
            own = (*slot, tenant, named, task)
            total = sums.get(own)
            sums[own] = [*amounts] if total is None else list(map(add, total, amounts))
    _add_durations(db, sums)
    # In one order, so that gateways never wait for each other's rows in a ring.
    names = (*_KEYS, *_SUMS, "durations")
    _ADD_TO_SERIES.run(db, [dict(zip(names, (*key, *sums[key]), strict=True)) for key in sorted(sums)])


def _add_durations(db: sa.Connection, sums: dict[tuple[Any, ...], list[Any]]) -> None:
    # A database cannot add sketches, so those of the slots are read, as only one folds at a time.
    for grain, start in sorted({key[:2] for key in sums}):
        for *group, stored in _DURATIONS_OF.run(db, [{"of_grain": grain, "of_start": start}]).fetchall():
            amounts = sums.get((grain, start, *group))
            if amounts is not None:
                amounts[_DURATIONS] += unpacked(stored)
    for amounts in sums.values():
        amounts[_DURATIONS] = packed(amounts[_DURATIONS]) or None


def _add_amounts(sums: list[Any], row: Execution) -> None:
    # Add what an entry adds to each of the sums; those that it does not concern are not looked at.
    sums[_PROMPT] += row.prompt_tokens
    sums[_COMPLETION] += row.completion_tokens
    sums[_COST] += row.cost_nanodollars
    if row.cached_tokens:
        sums[_CACHED] += row.cached_tokens
    if row.saved_nanodollars:
        sums[_SAVED] += row.saved_nanodollars
    if not row.is_request:
        sums[_RETRIES] += 1
        return
    outcome = outcome_of(row.status)
    sums[_REQUESTS] += 1
    sums[_OUTCOMES[outcome]] += 1
    sums[_QUEUE] += row.queue_seconds
    sums[_UPSTREAM] += row.upstream_seconds
    sums[_DURATION] += row.duration_seconds
    if row.cached:
        sums[_HITS] += 1
    if outcome == "success":
        sums[_DURATIONS] += sketch_of(row.duration_seconds)
        if row.first_token_seconds is not None:
            sums[_FIRSTS] += 1
            sums[_FIRST_SECONDS] += row.first_token_seconds


def _one_of_few(db: sa.Connection, known: dict[int, set[str]], day: int, model: str) -> str:
    """The model, or what stands for all beyond the first ones of their day."""
    if day not in known:
        of_day = sa.select(series.c.model).where(series.c.grain == DAY, series.c.start == day).distinct()
        known[day] = set(db.execute(of_day).scalars())
    if model not in known[day] and len(known[day]) < _MOST_MODELS:
        known[day].add(model)
    return model if model in known[day] else OTHER


# Conversations ------------------------------------------------------------------------------------------------------


def _add_sessions(db: sa.Connection, groups: Mapping[Group, Addition]) -> None:
    new: dict[tuple[str, str], Addition] = {}
    tenants: dict[tuple[str, str], str] = {}
    for group, part in sorted(groups.items(), key=lambda known: known[1].last_at):
        if group.session and group.caller:
            key = (group.caller, group.session)
            add_up(new, key, part)
            tenants[key] = group.tenant  # the latest one's
    if new:
        unnamed = {"name": "", "deleted_at": None}
        ordered = [(key, {"caller": key[0], "session": key[1], "tenant": tenants[key]}) for key in sorted(new)]
        _ADD_TO_SESSIONS.run(db, [own | new[key]._asdict() | unnamed for key, own in ordered])


# Tidying --------------------------------------------------------------------------------------------------------------


def drop_old(db: sa.Connection, now: float, keep_days: int) -> None:
    """Delete what is too old to be asked for: fine slots, ranks of what nobody asks for any more, conversations."""
    for grain, seconds in {FINE: _FINE_KEPT, HOUR: _HOURS_KEPT}.items():
        db.execute(sa.delete(series).where(series.c.grain == grain, series.c.start < now - seconds))
    detail = min(_RANKED_KEPT, keep_days * DAY) if keep_days else _RANKED_KEPT
    drop_old_ranks(db, now - detail)
    db.execute(sa.delete(sessions).where(sessions.c.last_at < now - detail))


def unfolded_entries(db: sa.Connection, instance: str) -> int:
    """How many entries of one gateway are not folded yet."""
    last = db.execute(sa.select(sa.func.max(entries.c.number)).where(entries.c.instance == instance)).scalar() or 0
    start = db.execute(sa.select(chains.c.first_number).where(chains.c.instance == instance)).scalar() or 1
    done = db.execute(sa.select(folded.c.number).where(folded.c.instance == instance)).scalar() or 0
    return max(0, last - max(done, start - 1))


# Statements -----------------------------------------------------------------------------------------------------------


# Entries of a gateway after one of them, in order. Row: ``own``, ``after``, ``most``.
_UNFOLDED = PreparedStatement(
    lambda _: cast(
        "sa.ClauseElement",
        sa.text(
            f"SELECT {', '.join(Execution._fields)} FROM entries WHERE instance = :own AND number > :after"  # noqa: S608
            " ORDER BY number LIMIT :most"
        ),
    )
)
_PUT_FOLDED = PreparedStatement(lambda dialect: merging(dialect, folded, {"number": lambda _, new: new.number}))
# The sketches of a slot: tenant, model, task and what is stored. Row: ``of_grain``, ``of_start``.
_DURATIONS_OF = PreparedStatement(
    lambda _: sa.select(series.c.tenant, series.c.model, series.c.task, series.c.durations).where(
        series.c.grain == sa.bindparam("of_grain"),
        series.c.start == sa.bindparam("of_start"),
        series.c.durations.is_not(None),
    )
)
_ADD_TO_SERIES = PreparedStatement(
    lambda dialect: merging(dialect, series, {"durations": lambda _, new: new.durations}, _SUMS)
)
# A conversation that goes on after it was deleted is there again.
_ADD_TO_SESSIONS = PreparedStatement(
    lambda dialect: merging(
        dialect,
        sessions,
        {
            "tenant": lambda _, new: new.tenant,
            "deleted_at": lambda old, new: sa.case((new.last_at > old.deleted_at, sa.null()), else_=old.deleted_at),
        },
        COUNTED,
    )
)
