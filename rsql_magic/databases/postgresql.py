"""PostgreSQL: four catalog queries for everything, and its own statistics in place of questions to the tables."""

# Below the guard: a `READ ONLY` transaction with limits on statements, locks and idling, set for this transaction only;
# the extended protocol, which takes a single statement; and always a rollback. The strongest layer is still a role that
# may only read (docs/databases.md).

# ruff: noqa: S608 - statements are put together from constants
from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.databases.base import Failure, Picked, Plan, Reply, Step, Structure, grouped, plan_of_steps
from rsql_magic.databases.postgresql_names import refuse_made_by_users
from rsql_magic.databases.postgresql_values import exact_values, load_exactly
from rsql_magic.databases.profiles import SHOWN, categories, span
from rsql_magic.databases.sqlalchemy import SQLAlchemy
from rsql_magic.errors import QueryFailed
from rsql_magic.sql import LONGEST, Column, ForeignKey, Profile, Table, date_form, value_kind

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from rsql_magic.databases.sqlalchemy import Stream

    Rows = Sequence[tuple[Any, ...]]

# Seconds that the server's own limit is longer than ours, which gives the clearer message.
_SLACK = 1.0
# Rows of a table without statistics that are read in full; of a larger one blocks are picked.
_LARGE = 20_000

# Pages of a table that are read at once for its values: 8 MB.
_PAGES_OF_A_PART = 1_000
# The version from which on a server finds blocks without reading those before them.
_TID_RANGES = 140_000
_PAGES = """
    SELECT
        current_setting('server_version_num')::integer,
        pg_relation_size(%s::regclass) / current_setting('block_size')::integer
"""
_ROWS_WRITTEN = """
    SELECT n_tup_ins, n_tup_upd, n_tup_del, pg_relation_filenode(relid), pg_relation_size(relid)
    FROM (SELECT %s::regclass::oid AS relid) AS asked LEFT JOIN pg_stat_all_tables USING (relid)
"""

_EXPECTED = re.compile(r'"Plan Rows"\W+(\d+)')
_STEPS = re.compile(r'"Node Type"\W+(\w[\w ]*)')
# Steps of a plan that keep the order of rows.
_PASSING = frozenset({"Seq Scan", "Subquery Scan", "Index Scan", "Result", "Append"})


class PostgreSQL(SQLAlchemy):
    """A PostgreSQL server, or one that speaks its protocol."""

    speaks_our_sql = True
    may_read_all_values = True

    def __init__(self, engine: Any, *, ours: bool = False) -> None:
        super().__init__(engine, ours=ours)
        self._written: Hashable = None
        self._state: Hashable = None

    @override
    def begin(self, session: Connection, seconds: float) -> Connection:
        session = session.execution_options(isolation_level="READ COMMITTED", postgresql_readonly=True)
        milliseconds = int(1000 * (seconds + _SLACK))
        limits = {
            "transaction_read_only": "on",
            "statement_timeout": f"{milliseconds}",
            "lock_timeout": f"{min(milliseconds, 5000)}",
            # A kernel that is stopped in the middle keeps no lock: the server ends its transaction by itself.
            "idle_in_transaction_session_timeout": f"{milliseconds + 60_000}",
            "standard_conforming_strings": "on",  # the guard reads backslashes as this says
        }
        calls = ", ".join(f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in limits.items())
        session.exec_driver_sql("SELECT " + calls)
        return session

    @override
    def run_here(self, session: Connection, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        """By the extended protocol where the driver has it, so that nothing can follow a statement."""
        if (driver := _psycopg(session)) is None:
            return super().run_here(session, sql, parameters)
        with driver.cursor() as cursor:
            rows: list[tuple[Any, ...]] = cursor.execute(sql, parameters or None, prepare=True).fetchall()
        return rows

    @contextmanager
    @override
    def stream(self, session: Connection, sql: str, max_rows: int, *, query: bool) -> Iterator[Stream]:
        """By a cursor on the server, which psycopg declares by the extended protocol."""
        if (driver := _psycopg(session)) is None:
            driver = session.connection.driver_connection
            with exact_values(driver), super().stream(session, sql, max_rows, query=query) as stream:
                yield stream
            return
        with driver.cursor("rsql") if query else driver.cursor() as cursor:
            load_exactly(cursor)
            cursor.execute(sql, **({} if query else {"prepare": True}))
            if cursor.description is None:
                raise QueryFailed("This statement gives no rows.", hint="Ask with a SELECT.")
            yield [column.name for column in cursor.description], cursor.fetchmany

    @override
    def verify(self, session: Connection, sql: str, allowed: frozenset[str], /) -> None:
        refuse_made_by_users(lambda statement, *parameters: self.run(session, statement, parameters), sql, allowed)

    explain = "EXPLAIN (FORMAT json) "

    @override
    def read_plan(self, rows: Reply, /) -> Plan:
        reply = rows[0][0]
        return plan_of_steps(_step((json.loads(reply) if isinstance(reply, str) else reply)[0]["Plan"]))

    @override
    def failure(self, error: BaseException, /) -> Failure:
        return "timeout" if "statement timeout" in str(error) else super().failure(error)

    @override
    def time_zone(self) -> str:
        return str(self.rows("SELECT current_setting('TimeZone')")[0][0])

    @override
    def state(self) -> Hashable:
        """Transaction numbers of the catalog's rows; not looked at again while nothing at all was written."""
        with self.reading(10.0) as session:
            written = self.run(session, _WRITTEN)[0]
            if written != self._written:
                self._state, self._written = self.run(session, _STATE)[0], written
        return self._state

    knows_work_of_views = True

    @override
    def sample(self, table: Table) -> Picked | None:
        """All rows of a small table, else blocks of it, the same each time."""
        name, width = self.full_name(table), len(table.columns)
        if table.kind == "view":
            # All of a view that is little work, the first rows of one that only passes rows on, nothing of others.
            plan = json.dumps(self.rows(f"EXPLAIN (FORMAT json) SELECT * FROM {name}", seconds=10.0)[0][0])
            work = sum(map(int, _EXPECTED.findall(plan)))
            if work <= _LARGE * 10:
                return Picked(name, work * width)
            return super().sample(table) if set(_STEPS.findall(plan)) <= _PASSING else None
        if table.rows is None:
            return super().sample(table)
        if table.rows <= _LARGE:
            return Picked(name, table.rows * width)
        share = 100 * _LARGE / table.rows
        source = f"(SELECT * FROM {name} TABLESAMPLE SYSTEM ({share:.6f}) REPEATABLE (0)) AS picked"
        return Picked(source, _LARGE * width, 0)

    @override
    def parts(self, table: Table) -> Iterator[str]:
        """Blocks of a table; those of its partitions stand by themselves, and older servers would look for them."""
        name = self.full_name(table)
        [(version, pages)] = self.rows(_PAGES, [name])
        if table.rows is not None and table.rows <= _LARGE:
            yield name
        elif version < _TID_RANGES or not pages:
            yield from super().parts(table)
        else:
            for start in range(0, pages, _PAGES_OF_A_PART):
                ends = f"'({start},0)'::tid AND ctid < '({start + _PAGES_OF_A_PART},0)'::tid"
                yield f"(SELECT * FROM {name} WHERE ctid >= {ends}) AS part"

    @override
    def mark(self, table: Table, columns: Sequence[str], /) -> str:
        """How many rows were written, as the server counts them, and which file holds them."""
        return str(self.rows(_ROWS_WRITTEN, [self.full_name(table)])[0])

    @override
    def structure(self) -> Structure:
        with self.reading(60.0) as session:
            database, schema = self.run(session, "SELECT current_database(), current_schema()")[0]
            tables, columns = self.run(session, _TABLES), self.run(session, _COLUMNS)
            constraints, indexes = self.run(session, _CONSTRAINTS), self.run(session, _UNIQUE_INDEXES)
            views, parts = self.run(session, _VIEWS), self.run(session, _PARTS)
        made = _PostgreSQLTables(schema or "", tables, columns)
        return replace(made.build(constraints, indexes, views, database), parts=made.parts(parts))

    @override
    def statistics(self, tables: Sequence[Table], /) -> Mapping[str, dict[str, Profile]]:
        """What ANALYZE, or autovacuum, found out about the columns."""
        found: dict[str, dict[str, Profile]] = {}
        known = {(table.schema, table.name): (table, {c.name: c for c in table.columns}) for table in tables}
        for schema, name, column, *facts in self.rows(_STATISTICS, ([t.name for t in tables],)):
            table, columns = known.get((schema, name), (None, {}))
            if table and column in columns:
                found.setdefault(table.full_name, {})[column] = _profile(columns[column], table.rows or 0, facts)
        return found

    @override
    def query_log(self, most: int, /) -> list[str]:
        """What ``pg_stat_statements`` keeps of this database: queries with ``$1`` in place of values."""
        try:
            return [str(query) for (query,) in self.rows(_LOGGED, [most])]
        except QueryFailed:  # the extension is not there, or its view may not be read
            return []


_LOGGED = """
    SELECT s.query FROM pg_stat_statements s JOIN pg_catalog.pg_database d ON d.oid = s.dbid
    WHERE d.datname = current_database() AND s.query ~* '^\\s*(select|with)\\M'
    ORDER BY s.calls DESC LIMIT %s"""
_FACTS = ("Relation Name", "Index Name", "Hash Cond", "Merge Cond", "Join Filter", "Index Cond", "Filter", "Sort Key")


def _step(node: dict[str, Any]) -> Step:
    """A step of PostgreSQL's plan."""
    facts = [str(node[name]) for name in _FACTS if node.get(name)]
    before = tuple(map(_step, node.get("Plans") or ()))
    return Step(" ".join([node["Node Type"], *facts]), int(node["Plan Rows"]), before)


def _psycopg(session: Connection) -> Any:
    """The driver's connection, when the driver is psycopg 3."""
    driver = session.connection.driver_connection
    return driver if type(driver).__module__.partition(".")[0] == "psycopg" else None


_USERS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname NOT LIKE 'pg\\_temp\\_%'"
_MAY_READ = "has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
_TABLES = f"""
    SELECT c.oid, n.nspname, c.relname, c.relkind IN ('v'), d.description,
        CASE WHEN c.relkind = 'p' THEN (
            SELECT sum(GREATEST(part.reltuples, 0)) FROM pg_catalog.pg_inherits i
            JOIN pg_catalog.pg_class part ON part.oid = i.inhrelid WHERE i.inhparent = c.oid
        ) ELSE c.reltuples END::bigint,
        {_MAY_READ},
        has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_description d
        ON d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND {_USERS}
    ORDER BY n.nspname, c.oid"""
_COLUMNS = f"""
    SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, d.description
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_description d
        ON d.objoid = a.attrelid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = a.attnum
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND {_USERS}
        AND a.attnum > 0 AND NOT a.attisdropped
        AND CASE WHEN {_MAY_READ} THEN true
            ELSE has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, a.attnum, 'SELECT') END
    ORDER BY a.attrelid, a.attnum"""
_CONSTRAINTS = """
    SELECT conrelid, contype::text, conkey, confrelid, confkey FROM pg_catalog.pg_constraint
    WHERE contype IN ('p', 'u', 'f') AND conrelid <> 0 ORDER BY conrelid, conname"""
_UNIQUE_INDEXES = """
    SELECT indrelid, ARRAY(SELECT unnest(indkey)) FROM pg_catalog.pg_index
    WHERE indisunique AND NOT indisprimary AND indisvalid AND indpred IS NULL AND indexprs IS NULL"""
_VIEWS = f"""
    SELECT c.oid, pg_get_viewdef(c.oid) FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND {_USERS}"""
_PARTS = """
    SELECT c.oid, n.nspname, c.relname, i.inhparent FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f')"""
_WRITTEN = """
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text,
        current_user, current_schema()"""
_STATE = """
    SELECT current_user, current_schema(),
        (SELECT sum(xmin::text::bigint) || '/' || count(*) FROM pg_catalog.pg_class
            WHERE oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'f')),
        (SELECT sum(xmin::text::bigint) || '/' || count(*) FROM pg_catalog.pg_attribute
            WHERE attrelid >= 16384 AND attnum > 0),
        (SELECT sum(xmin::text::bigint) || '/' || count(*) FROM pg_catalog.pg_description WHERE objoid >= 16384),
        (SELECT sum(xmin::text::bigint) || '/' || count(*) FROM pg_catalog.pg_constraint WHERE oid >= 16384)"""
_STATISTICS = f"""
    SELECT CASE WHEN s.schemaname = current_schema() THEN '' ELSE s.schemaname END, s.tablename, s.attname,
        s.null_frac, s.n_distinct, s.most_common_vals::text::text[], s.most_common_freqs,
        (s.histogram_bounds::text::text[])[1], (s.histogram_bounds::text::text[])[array_length(s.histogram_bounds, 1)],
        ARRAY(SELECT left(bound, {LONGEST + 1}) FROM unnest(s.histogram_bounds::text::text[]) AS bound),
        ARRAY(
            SELECT e.enumlabel::text FROM pg_catalog.pg_enum e
            JOIN pg_catalog.pg_attribute a ON a.atttypid = e.enumtypid AND a.attname = s.attname
            JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relname = s.tablename
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = s.schemaname
            ORDER BY e.enumsortorder)
    FROM pg_catalog.pg_stats s WHERE s.tablename = ANY (%s)"""


class _PostgreSQLTables:
    """Puts the rows of the catalog queries together."""

    def __init__(self, schema: str, tables: Rows, columns: Rows) -> None:
        self._schema, self._tables = schema, tables
        self._names = {oid: (schema, name) for oid, schema, name, *_ in tables}
        self._columns: dict[int, dict[int, Column]] = {}
        for oid, number, name, type_name, not_null, comment in columns:
            self._columns.setdefault(oid, {})[number] = Column(name, type_name, not not_null, comment or "")

    def build(self, constraints: Rows, indexes: Rows, views: Rows, database: str) -> Structure:
        """Tables with their keys; what may not be read is left out, and said."""
        keys = grouped(constraints)
        made = [self._table(row, keys.get(row[0], [])) for row in self._tables if self._columns.get(row[0])]
        unique: dict[str, list[tuple[str, ...]]] = {}
        for oid, numbers in indexes:
            if oid in self._names and (names := self._numbered(oid, numbers)):
                unique.setdefault(self._full(oid), []).append(names)
        definitions = {self._full(oid): sql for oid, sql in views if oid in self._names}
        return Structure(tuple(made), unique, tuple(self._problems()), self._schema, database, definitions)

    def _table(self, row: tuple[Any, ...], keys: Rows) -> Table:
        oid, schema, name, view, comment, rows, *_ = row
        return Table(
            name,
            tuple(self._columns[oid].values()),
            schema="" if schema == self._schema else schema,
            kind="view" if view else "table",
            rows=rows if rows is not None and rows >= 0 and not view else None,
            primary_key=next((self._numbered(oid, own) for kind, own, *_ in keys if kind == "p"), ()),
            foreign_keys=tuple(
                ForeignKey(self._numbered(oid, own), self._full(other), self._numbered(other, referred))
                for kind, own, other, referred in keys
                if kind == "f" and other in self._columns
            ),
            description=comment or "",
        )

    def parts(self, rows: Rows) -> dict[str, str]:
        """Partitions, by each way to write them, with their tables."""
        above = {oid: of for oid, *_, of in rows}
        found = {}
        for oid, schema, name, _ in rows:
            whole = oid
            while whole in above:  # a partition may have partitions
                whole = above[whole]
            if whole in self._names:
                found[f"{schema}.{name}"] = self._full(whole)
        own = f"{self._schema}."
        return found | {name.removeprefix(own): whole for name, whole in found.items() if name.startswith(own)}

    def _full(self, oid: int) -> str:
        schema, name = self._names[oid]
        return name if schema == self._schema else f"{schema}.{name}"

    def _numbered(self, oid: int, numbers: Sequence[int]) -> tuple[str, ...]:
        """Column names by number; empty when one may not be seen."""
        columns = self._columns.get(oid, {})
        return tuple(columns[n].name for n in numbers) if all(n in columns for n in numbers) else ()

    def _problems(self) -> Iterator[str]:
        hidden = [self._full(row[0]) for row in self._tables if not row[-2] and not row[-1]]
        partly = [self._full(row[0]) for row in self._tables if not row[-2] and row[-1]]
        if hidden:
            yield f"{_count(hidden)} may not be read with this login and left out: {_some(hidden)}."
        if partly:
            yield f"{_count(partly)} may be read in part with this login: {_some(partly)}."


def _count(names: Sequence[str]) -> str:
    return f"{len(names):,} table{'s' if len(names) > 1 else ''}"


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:5], "…"] if len(names) > 5 else names)


def _profile(column: Column, rows: int, facts: Sequence[Any]) -> Profile:
    """A profile from the facts of ``pg_stats`` (postgresql.org/docs/current/view-pg-stats.html)."""
    nulls, distinct, common, shares, low, high, bounds, labels = facts
    kind = value_kind(column.type)
    # pg_stats gives what grows with the table as a negative share of its rows.
    count = round(-distinct * rows) if distinct < 0 else round(distinct)
    profile = Profile(distinct=count or None, nulls=nulls, approximate=True)
    if labels:  # an enum's labels are part of its definition: all that may ever stand there, however rare
        return replace(profile, values=tuple(labels[:SHOWN]), complete=len(labels) <= SHOWN)
    if count == 0 or kind == "other":
        return profile
    if kind in {"number", "time"}:
        return span(profile, [text for text in (low, high, *(common or ())) if text is not None])
    if kind == "text":
        values = zip(common or (), (round(share * rows) for share in shares or ()), strict=False)
        profile = replace(profile, form=date_form([*(bounds or ()), *(common or ())]))
        return categories(profile, list(values), complete=low is None)  # no histogram: these are all there are
    return profile
