"""What administrators look at, folded from the entries: sums of time, rankings, conversations."""

# Entries are folded a few hundred at a time, in the order of their chains and each exactly once: how far a chain is
# folded stands in the same transaction. So writing an entry costs nothing more, a clock that goes back loses nothing,
# and a question over a million requests reads some thousand rows. What an older version has written is folded at the
# first start. Half a day is read by five minutes, three days by the hour, and more by the day.
#
# Names are anybody's to make up, so of a day only the first models have rows of their own.

from __future__ import annotations

from bisect import bisect_left
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import sqlalchemy as sa

from jupyter_server_ext.ledger.schema import chains, entries, folded, rankings, series, sessions
from jupyter_server_ext.ledger.statements import Prepared, insert_into
from jupyter_server_ext.ledger.sums import DAY, FINE, HOUR, SERIES_COUNTS, SERIES_SECONDS, WITHIN, heat_at
from jupyter_server_ext.messages import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

K = TypeVar("K")

OTHER = "other"  # stands for names beyond the first ones
_FINE_KEPT = 3 * DAY  # seconds for which the finest slots are kept
_HOURS_KEPT = 30 * DAY
_RANKED_KEPT = 366 * DAY  # for which something that nobody asks for any more keeps its rank
_MOST_MODELS = 500  # of which a day has sums of their own
_KEYS = ("grain", "start", "tenant", "model", "task")
_SUMS = (*SERIES_COUNTS, *SERIES_SECONDS)
_PLACES = {name: place for place, name in enumerate(_SUMS)}
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
        requests = [(row, _Addition.of(row)) for row in rows if row.is_request]
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
        if key not in fine:
            fine[key] = [0] * len(_SUMS)
        _add_amounts(fine[key], row)
    known: dict[int, set[str]] = {}
    sums: dict[tuple[Any, ...], list[Any]] = {}
    for (start, tenant, model, task), amounts in fine.items():
        named = _one_of_few(db, known, start // DAY * DAY, model)
        for grain in (FINE, HOUR, DAY):
            slot = (grain, start // grain * grain, tenant, named, task)
            total = sums.get(slot)
            sums[slot] = amounts if total is None else list(map(add, total, amounts))
    # In one order, so that gateways never wait for each other's rows in a ring.
    _ADD_TO_SERIES.run(db, [dict(zip((*_KEYS, *_SUMS), (*key, *sums[key]), strict=True)) for key in sorted(sums)])


def _add_amounts(sums: list[Any], row: Execution) -> None:
    # Add what an entry adds to each of the sums; those that it does not concern are not looked at.
    at = _PLACES
    sums[at["prompt_tokens"]] += row.prompt_tokens
    sums[at["completion_tokens"]] += row.completion_tokens
    sums[at["cached_tokens"]] += row.cached_tokens
    sums[at["cost_nanodollars"]] += row.cost_nanodollars
    sums[at["saved_nanodollars"]] += row.saved_nanodollars
    if not row.is_request:
        sums[at["retries"]] += 1
        return
    outcome = outcome_of(row.status)
    sums[at["requests"]] += 1
    sums[at[outcome]] += 1
    sums[at["cache_hits"]] += int(row.cached)
    sums[at["queue_seconds"]] += row.queue_seconds
    sums[at["upstream_seconds"]] += row.upstream_seconds
    sums[at["duration_seconds"]] += row.duration_seconds
    if outcome == "success":
        for place in range(at["within_1"] + bisect_left(WITHIN, row.duration_seconds), at["within_1"] + len(WITHIN)):
            sums[place] += 1
        if row.first_token_seconds is not None:
            sums[at["first_tokens"]] += 1
            sums[at["first_token_seconds"]] += row.first_token_seconds


def _one_of_few(db: sa.Connection, known: dict[int, set[str]], day: int, model: str) -> str:
    """The model, or what stands for all beyond the first ones of their day."""
    if day not in known:
        of_day = sa.select(series.c.model).where(series.c.grain == DAY, series.c.start == day).distinct()
        known[day] = set(db.execute(of_day).scalars())
    if model not in known[day] and len(known[day]) < _MOST_MODELS:
        known[day].add(model)
    return model if model in known[day] else OTHER


# Rankings and conversations -----------------------------------------------------------------------------------------


class _Addition(NamedTuple):
    """What requests add to a rank or a conversation."""

    requests: int
    failed: int
    tokens: int
    cost_nanodollars: int
    heat: float
    first_at: float
    last_at: float
    task: str
    tables: str

    @classmethod
    def of(cls, row: Execution) -> _Addition:
        failed, tokens = int(not 200 <= row.status < 300), row.prompt_tokens + row.completion_tokens
        sums = (1, failed, tokens, row.cost_nanodollars, heat_at(row.at))
        return cls(*sums, row.at, row.at, row.task, row.tables)

    def and_of(self, more: _Addition) -> _Addition:
        """Both together; what they were for is that of the later one."""
        earlier, later = (self, more) if self.last_at <= more.last_at else (more, self)
        return _Addition(
            self.requests + more.requests,
            self.failed + more.failed,
            self.tokens + more.tokens,
            self.cost_nanodollars + more.cost_nanodollars,
            self.heat + more.heat,
            min(self.first_at, more.first_at),
            later.last_at,
            later.task,
            later.tables or earlier.tables,
        )


def _add_up(parts: dict[K, _Addition], key: K, part: _Addition) -> None:
    known = parts.get(key)
    parts[key] = part if known is None else known.and_of(part)


def _add_rankings(db: sa.Connection, requests: Iterable[tuple[Execution, _Addition]]) -> None:
    by_tenant: dict[tuple[str, str, str], _Addition] = {}
    for row, part in requests:
        for kind, name in (("question", row.question), ("caller", row.caller), ("table", row.tables)):
            if name:
                _add_up(by_tenant, (kind, name, row.tenant), part)
    new: dict[tuple[str, str, str], _Addition] = {}
    for (kind, names, tenant), part in by_tenant.items():
        for name in names.split(",") if kind == "table" else (names,):
            for scope in ("", scope_of_tenant(tenant)) if tenant else ("",):
                _add_up(new, (kind, scope, name), part)
    if new:
        keys = ("kind", "scope", "name")
        _ADD_TO_RANKINGS.run(db, [dict(zip(keys, key, strict=True)) | new[key]._asdict() for key in sorted(new)])


def _add_sessions(db: sa.Connection, requests: Iterable[tuple[Execution, _Addition]]) -> None:
    new: dict[tuple[str, str], _Addition] = {}
    tenants: dict[tuple[str, str], str] = {}
    for row, part in requests:
        if row.session and row.caller:
            key = (row.caller, row.session)
            _add_up(new, key, part)
            tenants[key] = row.tenant
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
