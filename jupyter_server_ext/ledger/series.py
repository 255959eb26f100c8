"""What administrators look at, folded from the entries: sums of time, rankings, conversations."""

# Entries are folded a few hundred at a time, in the order of their chains and each exactly once: how far a chain is
# folded stands in the same transaction. So writing an entry costs nothing more, a clock that goes back loses nothing,
# and a question over a million requests reads some thousand rows. What an older version has written is folded at the
# first start. Half a day is read by five minutes, three days by the hour, and more by the day.
#
# Names are anybody's to make up, so of a day only the first models have rows of their own.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import sqlalchemy as sa

from jupyter_server_ext.ledger.schema import chains, entries, folded, rankings, series, sessions
from jupyter_server_ext.ledger.statements import Prepared, insert_into
from jupyter_server_ext.ledger.sums import DAY, FINE, HOUR, SERIES_COUNTS, SERIES_SECONDS, WITHIN, heat_at
from jupyter_server_ext.messages import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OTHER = "other"  # stands for names beyond the first ones
_FINE_KEPT = 3 * DAY  # seconds for which the finest slots are kept
_HOURS_KEPT = 30 * DAY
_RANKED_KEPT = 366 * DAY  # for which something that nobody asks for any more keeps its rank
_MOST_MODELS = 500  # of which a day has sums of their own
_KEYS = ("grain", "start", "tenant", "model", "task")
_SUMS = (*SERIES_COUNTS, *SERIES_SECONDS)
_PLACES = {name: place for place, name in enumerate(_SUMS)}
_RANKED = ("kind", "scope", "name", "requests", "failed", "tokens", "cost_nanodollars", "first_at", "last_at")
_ADDED = ("requests", "failed", "tokens", "cost_nanodollars")


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


def scope_of_tenant(tenant: str | None) -> str:
    """The scope of a tenant in ``rankings``; None is everyone."""
    return "" if tenant is None else f"tenant:{tenant}"


def fold_some(db: sa.Connection, most: int = 200) -> int:
    """Fold entries that are not folded yet, at most so many; return how many. Others must not fold meanwhile."""
    rows = _unfolded(db, most)
    if rows:
        _add_series(db, rows)
        requests = [row for row in rows if row.is_request]
        _add_rankings(db, requests)
        _add_sessions(db, requests)
        ends = {row.instance: row.number for row in rows}  # the last one of each, as they are in order
        _PUT_FOLDED.run(db, [{"instance": name, "number": number} for name, number in sorted(ends.items())])
    return len(rows)


def _unfolded(db: sa.Connection, most: int) -> list[Execution]:
    done = {row.instance: row.number for row in db.execute(sa.select(folded))}
    rows: list[Execution] = []
    for instance in names_of(db, entries.c.instance):
        after = {"own": instance, "after": done.get(instance, 0), "most": most - len(rows)}
        rows += map(Execution._make, _UNFOLDED.run(db, [after]).fetchall())
        if len(rows) >= most:
            break
    return rows


def names_of(db: sa.Connection, column: sa.Column[str], *where: sa.ColumnElement[bool]) -> list[str]:
    """All values of a column, each by one step in its index."""
    found: list[str] = []
    while True:
        after = (column > found[-1],) if found else ()
        name = db.execute(sa.select(sa.func.min(column)).where(*where, *after)).scalar()
        if name is None:
            return found
        found.append(name)


# Sums of time -------------------------------------------------------------------------------------------------------


def _add_series(db: sa.Connection, rows: Iterable[Execution]) -> None:
    fine: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        model = "" if row.error in {"model_not_found", "model_gone"} else row.model  # anybody can make up names
        key = (int(row.at // FINE) * FINE, row.tenant, model, row.task)
        amounts = _amounts(row)
        total = fine.get(key)
        fine[key] = amounts if total is None else list(map(sum, zip(total, amounts, strict=True)))
    known: dict[int, set[str]] = {}
    sums: dict[tuple[Any, ...], list[Any]] = {}
    for (start, tenant, model, task), amounts in fine.items():
        named = _one_of_few(db, known, start // DAY * DAY, model)
        for grain in (FINE, HOUR, DAY):
            slot = (grain, start // grain * grain, tenant, named, task)
            total = sums.get(slot)
            sums[slot] = amounts if total is None else list(map(sum, zip(total, amounts, strict=True)))
    # In one order, so that gateways never wait for each other's rows in a ring.
    _ADD_TO_SERIES.run(db, [dict(zip((*_KEYS, *_SUMS), (*key, *sums[key]), strict=True)) for key in sorted(sums)])


def _amounts(row: Execution) -> list[Any]:
    """What an entry adds to each of the sums."""
    amounts: list[Any] = [0] * len(_SUMS)
    for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_nanodollars", "saved_nanodollars"):
        amounts[_PLACES[name]] = getattr(row, name)
    if not row.is_request:
        amounts[_PLACES["retries"]] = 1
        return amounts
    outcome = outcome_of(row.status)
    amounts[_PLACES["requests"]] = amounts[_PLACES[outcome]] = 1
    amounts[_PLACES["cache_hits"]] = int(row.cached)
    amounts[_PLACES["queue_seconds"]] = row.queue_seconds
    amounts[_PLACES["upstream_seconds"]] = row.upstream_seconds
    amounts[_PLACES["duration_seconds"]] = row.duration_seconds
    if outcome == "success":
        first = _PLACES["within_1"]
        for place, seconds in enumerate(WITHIN, start=first):
            amounts[place] = int(row.duration_seconds <= seconds)
        if row.first_token_seconds is not None:
            amounts[_PLACES["first_tokens"]] = 1
            amounts[_PLACES["first_token_seconds"]] = row.first_token_seconds
    return amounts


def _one_of_few(db: sa.Connection, known: dict[int, set[str]], day: int, model: str) -> str:
    """The model, or what stands for all beyond the first ones of their day."""
    if day not in known:
        of_day = sa.select(series.c.model).where(series.c.grain == DAY, series.c.start == day).distinct()
        known[day] = set(db.execute(of_day).scalars())
    if model not in known[day] and len(known[day]) < _MOST_MODELS:
        known[day].add(model)
    return model if model in known[day] else OTHER


# Rankings and conversations -----------------------------------------------------------------------------------------


def _add_rankings(db: sa.Connection, rows: Sequence[Execution]) -> None:
    new: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        names = [("question", row.question), ("caller", row.caller)]
        if row.tables:
            names += [("table", name) for name in row.tables.split(",")]
        scopes = ("", f"tenant:{row.tenant}") if row.tenant else ("",)
        heat = heat_at(row.at)
        for kind, name in names:
            for scope in scopes if name else ():
                key = (kind, scope, name)
                new[key] = known = _added(new.get(key), row)
                known["heat"] = known.get("heat", 0.0) + heat
                known["tables"] = row.tables or known.get("tables", "")
    if new:
        keys = ("kind", "scope", "name")
        _ADD_TO_RANKINGS.run(db, [dict(zip(keys, key, strict=True)) | new[key] for key in sorted(new)])


def _add_sessions(db: sa.Connection, rows: Sequence[Execution]) -> None:
    new: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row.session and row.caller:
            key = (row.caller, row.session)
            new[key] = _added(new.get(key), row) | {"tenant": row.tenant}
    if new:
        unnamed = {"name": "", "deleted_at": None}
        ordered = [{"caller": key[0], "session": key[1], **unnamed, **new[key]} for key in sorted(new)]
        _ADD_TO_SESSIONS.run(db, ordered)


def _added(old: dict[str, Any] | None, row: Execution) -> dict[str, Any]:
    failed = int(not 200 <= row.status < 300)
    tokens = row.prompt_tokens + row.completion_tokens
    if old is None:
        sums = {"requests": 1, "failed": failed, "tokens": tokens, "cost_nanodollars": row.cost_nanodollars}
        return {**sums, "first_at": row.at, "last_at": row.at, "task": row.task}
    old["requests"] += 1
    old["failed"] += failed
    old["tokens"] += tokens
    old["cost_nanodollars"] += row.cost_nanodollars
    old["first_at"], old["last_at"] = min(old["first_at"], row.at), max(old["last_at"], row.at)
    old["task"] = row.task
    return old


# Tidying --------------------------------------------------------------------------------------------------------------


def drop_old(db: sa.Connection, now: float, keep_days: int) -> None:
    """Delete what is too old to be asked for: fine slots, ranks of what nobody asks for any more, conversations."""
    for grain, seconds in {FINE: _FINE_KEPT, HOUR: _HOURS_KEPT}.items():
        db.execute(sa.delete(series).where(series.c.grain == grain, series.c.start < now - seconds))
    detail = min(_RANKED_KEPT, keep_days * DAY) if keep_days else _RANKED_KEPT
    for kind in ("question", "table", "caller"):
        of_kind = rankings.c.kind == kind
        for scope in names_of(db, rankings.c.scope, of_kind):
            old = rankings.c.last_at < now - detail
            db.execute(sa.delete(rankings).where(of_kind, rankings.c.scope == scope, old))
    db.execute(sa.delete(sessions).where(sessions.c.last_at < now - detail))


def unfolded_entries(db: sa.Connection, instance: str) -> int:
    """How many entries of one gateway are not folded yet."""
    last = db.execute(sa.select(sa.func.max(entries.c.number)).where(entries.c.instance == instance)).scalar() or 0
    start = db.execute(sa.select(chains.c.first_number).where(chains.c.instance == instance)).scalar() or 1
    done = db.execute(sa.select(folded.c.number).where(folded.c.instance == instance)).scalar() or 0
    return max(0, last - max(done, start - 1))


# Statements -----------------------------------------------------------------------------------------------------------


def _merging(dialect: str, table: sa.Table, more: Mapping[str, Any] | None = None, added: Iterable[str] = ()) -> Any:
    """The INSERT of a row; what there is of it is added to, and its first and last times are kept."""
    insert = insert_into(dialect, table)
    old, new = table.c, insert.excluded
    least, greatest = ("least", "greatest") if dialect == "postgresql" else ("min", "max")
    values: dict[str, Any] = {name: old[name] + new[name] for name in added}
    if "first_at" in old:
        values["first_at"] = getattr(sa.func, least)(old.first_at, new.first_at)
        values["last_at"] = getattr(sa.func, greatest)(old.last_at, new.last_at)
        values["task"] = new.task
    for name, make in (more or {}).items():
        values[name] = make(old, new)
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=values)


# Entries of a gateway after one of them, in order. Row: ``own``, ``after``, ``most``.
_UNFOLDED = Prepared(
    lambda _: cast(
        "sa.ClauseElement",
        sa.text(
            f"SELECT {', '.join(Execution._fields)} FROM entries WHERE instance = :own AND number > :after"  # noqa: S608
            " ORDER BY number LIMIT :most"
        ),
    )
)
_PUT_FOLDED = Prepared(lambda dialect: _merging(dialect, folded, {"number": lambda _, new: new.number}))
_ADD_TO_SERIES = Prepared(lambda dialect: _merging(dialect, series, added=_SUMS))
_ADD_TO_RANKINGS = Prepared(
    lambda dialect: _merging(
        dialect,
        rankings,
        {"tables": lambda old, new: sa.case((new.tables != sa.literal_column("''"), new.tables), else_=old.tables)},
        (*_ADDED, "heat"),
    )
)
# A conversation that goes on after it was deleted is there again.
_ADD_TO_SESSIONS = Prepared(
    lambda dialect: _merging(
        dialect,
        sessions,
        {
            "tenant": lambda _, new: new.tenant,
            "deleted_at": lambda old, new: sa.case((new.last_at > old.deleted_at, sa.null()), else_=old.deleted_at),
        },
        _ADDED,
    )
)
