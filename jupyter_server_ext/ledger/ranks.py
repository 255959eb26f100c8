"""What is asked for most, folded from the entries: questions, tables, callers, of everyone and of each tenant."""

# Most questions are asked once. Each of these is one short row without an index (``asked_once``), and a second request
# makes it a rank: folding 2,000 new questions costs 24 µs each where two rows in four indexes took 59, and no count is
# estimated.

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import sqlalchemy as sa

from jupyter_server_ext.ledger.schema import asked_once, rankings
from jupyter_server_ext.ledger.statements import PreparedStatement, insert_into, merging, names_of, rows_named
from jupyter_server_ext.ledger.sums import heat_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jupyter_server_ext.ledger.pages import LedgerPage
    from jupyter_server_ext.ledger.series import Execution

K = TypeVar("K")

COUNTED = ("requests", "failed", "tokens", "cost_nanodollars")
_KINDS: dict[str, sa.ColumnElement[str]] = {
    kind: sa.literal_column(f"'{kind}'") for kind in ("question", "table", "caller")
}  # as the indexes have them
_ONCE = ("failed", "tokens", "cost_nanodollars", "task", "tables")


class Group(NamedTuple):
    """Requests that are added up before they are counted for their caller, their tables and their conversation."""

    caller: str
    tenant: str
    session: str
    tables: str


class Addition(NamedTuple):
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
    def of(cls, row: Execution) -> Addition:
        """What one request adds."""
        failed, tokens = int(not 200 <= row.status < 300), row.prompt_tokens + row.completion_tokens
        return cls(1, failed, tokens, row.cost_nanodollars, heat_at(row.at), row.at, row.at, row.task, row.tables)

    def and_of(self, more: Addition) -> Addition:
        """Both together; what they were for is that of the later one."""
        earlier, later = (self, more) if self.last_at <= more.last_at else (more, self)
        return Addition(
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


def add_up(parts: dict[K, Addition], key: K, part: Addition) -> None:
    """Add to the part of a key."""
    known = parts.get(key)
    parts[key] = part if known is None else known.and_of(part)


def parts_of(rows: Iterable[Execution]) -> tuple[dict[tuple[str, str], Addition], dict[Group, Addition]]:
    """What requests add, by question and tenant, and by group."""
    questions: dict[tuple[str, str], Addition] = {}
    groups: dict[Group, Addition] = {}
    for row in rows:
        if row.is_request:
            part = Addition.of(row)
            if row.question:
                add_up(questions, (row.question, row.tenant), part)
            add_up(groups, Group(row.caller, row.tenant, row.session, row.tables), part)
    return questions, groups


def scope_of_tenant(tenant: str | None) -> str:
    """The scope of a tenant in ``rankings``; None is everyone."""
    return "" if tenant is None else f"tenant:{tenant}"


# Writing --------------------------------------------------------------------------------------------------------------


def add_ranks(db: sa.Connection, questions: dict[tuple[str, str], Addition], groups: Mapping[Group, Addition]) -> None:
    """Add what ``parts_of`` requests there are to the ranks. Others must not fold meanwhile."""
    others: dict[tuple[str, str, str], Addition] = {}  # by kind, names and tenant
    for group, part in groups.items():
        if group.caller:
            add_up(others, ("caller", group.caller, group.tenant), part)
        if group.tables:
            add_up(others, ("table", group.tables, group.tenant), part)
    ranked: dict[tuple[str, str, str], Addition] = {}
    for (question, tenant), part in _asked_again(db, questions).items():
        _add_to_scopes(ranked, "question", question, tenant, part)
    for (kind, names, tenant), part in others.items():
        for name in names.split(",") if kind == "table" else (names,):
            _add_to_scopes(ranked, kind, name, tenant, part)
    if ranked:
        keys = ("kind", "scope", "name")
        _ADD_TO_RANKINGS.run(db, [dict(zip(keys, key, strict=True)) | ranked[key]._asdict() for key in sorted(ranked)])


def _add_to_scopes(
    ranked: dict[tuple[str, str, str], Addition], kind: str, name: str, tenant: str, part: Addition
) -> None:
    add_up(ranked, (kind, "", name), part)
    if tenant:
        add_up(ranked, (kind, scope_of_tenant(tenant), name), part)


def _asked_again(db: sa.Connection, questions: dict[tuple[str, str], Addition]) -> dict[tuple[str, str], Addition]:
    """Those of the questions that are ranks by now, with what was asked once before; all others are asked once."""
    if not questions:
        return {}
    names = sorted({name for name, _ in questions})
    earlier = rows_named(db, asked_once.c.name, names, *(asked_once.c[name] for name in ("tenant", "at", *_ONCE)))
    again = {name for name, *_ in rows_named(db, rankings.c.name, names, where="kind = 'question' AND scope = ''")}
    for name, tenant, at, failed, tokens, cost, task, tables in earlier:
        again.add(name)
        add_up(questions, (name, tenant), Addition(1, failed, tokens, cost, heat_at(at), at, at, task, tables))
    if earlier:
        _DROP_ONCE.run(db, [{"asked": row[0]} for row in earlier])
    seen: set[str] = set()
    for (name, _), part in questions.items():
        if name in seen or part.requests > 1:
            again.add(name)
        seen.add(name)
    once = [(name, tenant, part) for (name, tenant), part in questions.items() if name not in again]
    if once:
        _PUT_ONCE.run(
            db,
            [
                {
                    "name": name,
                    "tenant": tenant,
                    "at": part.last_at,
                    "failed": part.failed,
                    "tokens": part.tokens,
                    "cost_nanodollars": part.cost_nanodollars,
                    "task": part.task,
                    "tables": part.tables,
                }
                for name, tenant, part in sorted(once)
            ],
        )
    return {key: part for key, part in questions.items() if key[0] in again}


def drop_old_ranks(db: sa.Connection, before: float) -> None:
    """Delete the ranks of what nobody has asked for since a Unix time."""
    for kind in _KINDS:
        of_kind = rankings.c.kind == kind
        for scope in names_of(db, rankings.c.scope, of_kind):
            db.execute(sa.delete(rankings).where(of_kind, rankings.c.scope == scope, rankings.c.last_at < before))
    db.execute(sa.delete(asked_once).where(asked_once.c.at < before))


class Different(NamedTuple):
    """How many different ones there are."""

    all: int
    lately: int


# Reading --------------------------------------------------------------------------------------------------------------


def ranked_rows(
    db: sa.Connection, kind: str, page: LedgerPage, *, tenant: str | None, by: str, name: str | None, holds: str | None
) -> list[dict[str, Any]]:
    """A page of what is asked for most and one row more; see ``SqlAnalytics.ranked``."""
    query = sa.select(rankings).where(rankings.c.kind == _KINDS[kind], rankings.c.scope == scope_of_tenant(tenant))
    query = query if name is None else query.where(rankings.c.name == name)
    query = query if holds is None else query.where(rankings.c.name.icontains(holds, autoescape=True))
    if kind == "question" and by == "heat":
        query = query.where(sa.text("requests > 1"))
    rows = [dict(row) for row in db.execute(page.of(query, rankings.c[by], rankings.c.name)).mappings()]
    if kind != "question" or by != "requests" or (len(rows) > page.limit and rows[-1]["requests"] > 1):
        return rows
    # After those that were asked again come those that were asked once, by the same order.
    reached = page.last[1:] if page.last and page.last[0] <= 1 else ()
    once = page._replace(last=reached).of(sa.select(asked_once).where(*_once_of(tenant)), asked_once.c.name)
    rows += [_as_rank(row, scope_of_tenant(tenant)) for row in db.execute(once).mappings()]
    return sorted(rows, key=lambda row: (row["requests"], row["name"]), reverse=True)[: page.limit + 1]


def count_ranks(db: sa.Connection, kind: str, *, since: float, tenant: str | None) -> Different:
    """How many different ones there are; see ``SqlAnalytics.count_ranked``."""
    query = sa.select(*_counts(rankings.c.last_at, since)).select_from(rankings)
    query = query.where(rankings.c.kind == _KINDS[kind], rankings.c.scope == scope_of_tenant(tenant))
    found = Different(*db.execute(query).one())
    if kind != "question":
        return found
    once = sa.select(*_counts(asked_once.c.at, since)).select_from(asked_once).where(*_once_of(tenant))
    return Different(*map(add, found, db.execute(once).one()))


def _counts(at: sa.Column[float], since: float) -> tuple[sa.ColumnElement[int], sa.ColumnElement[int]]:
    # Both by one look at the rows.
    return sa.func.count(), sa.func.count(sa.case((at >= since, 1)))


def _once_of(tenant: str | None) -> list[sa.ColumnElement[bool]]:
    return [] if tenant is None else [asked_once.c.tenant == tenant]


def _as_rank(row: sa.RowMapping, scope: str) -> dict[str, Any]:
    of_rank = {"kind": "question", "scope": scope, "name": row["name"], "requests": 1}
    times = {"heat": heat_at(row["at"]), "first_at": row["at"], "last_at": row["at"]}
    return of_rank | times | {name: row[name] for name in _ONCE}


# Statements -----------------------------------------------------------------------------------------------------------

_ADD_TO_RANKINGS = PreparedStatement(
    lambda dialect: merging(
        dialect,
        rankings,
        {"tables": lambda old, new: sa.case((new.tables != sa.literal_column("''"), new.tables), else_=old.tables)},
        (*COUNTED, "heat"),
    )
)
_PUT_ONCE = PreparedStatement(lambda dialect: insert_into(dialect, asked_once))
_DROP_ONCE = PreparedStatement(lambda _: sa.delete(asked_once).where(asked_once.c.name == sa.bindparam("asked")))
