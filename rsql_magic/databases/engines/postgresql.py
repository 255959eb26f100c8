"""PostgreSQL: what a statement's names stand for is looked up before anything is planned.

PostgreSQL resolves a name by the types of its arguments, and a function that a user made may fit better than the
built-in one of that name: ``abs('x')``, ``a + b``, ``'x'::level``, ``(t).total``, which calls ``total(t)``. Planning
already runs what is declared immutable. So the names that a statement may call are gathered from its text
(`postgresql_names`), wider than PostgreSQL would read them, and looked up: what a user made under such a name is
refused, unless it belongs to a known extension or the catalog names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.databases.engines.postgresql_names import Named, named
from rsql_magic.databases.engines.sqlalchemy import SQLAlchemyEngine
from rsql_magic.errors import QueryRejected
from rsql_magic.sql import functions, names

if TYPE_CHECKING:
    from collections.abc import Sequence

EXTENSIONS = sorted(
    names(
        """
    bloom btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch h3 h3_postgis hstore intarray
    isn ltree pg_bigm pg_trgm pgcrypto pgrouting postgis postgis_raster postgis_sfcgal postgis_topology seg tablefunc
    timescaledb timescaledb_toolkit tsm_system_rows tsm_system_time unaccent uuid-ossp vector
    """
    )
)
"""Extensions whose functions do what their names say; which of them may be called is on the guard's list."""


class PostgreSQLEngine(SQLAlchemyEngine):
    """A PostgreSQL server."""

    @override
    def verify(self, session: Any, sql: str, /) -> None:
        found = named(sql)
        if found is None:
            return
        [[path, schemas, made]] = self._database.run(session, _PLACE)
        if not made and not found.parts:
            return
        self._database.run(session, _OWN_NAMES)
        try:
            rows = self._database.run(session, _MADE_BY_USERS, _parameters(found, schemas))
        finally:
            self._database.run(session, "SELECT pg_catalog.set_config('search_path', %s, true)", [path])
        self._refuse(rows)

    def _refuse(self, rows: Sequence[tuple[Any, ...]]) -> None:
        allowed = self._allowed_functions
        known = functions("postgres")
        for kind, name, made, own in rows:
            if name in allowed or made.replace("public.", "") in allowed or (not own and known.allows(name)):
                continue
            raise QueryRejected(
                f"{_KINDS[kind].format(name)} may run {made}, "
                f"{'which a user made' if own else 'which is not known to be harmless'}.",
                piece=name,
                hint="Use what PostgreSQL itself has, or a column of that name with its table.",
                repairable=True,
            )


def _parameters(found: Named, schemas: Sequence[str]) -> list[Any]:
    return [
        EXTENSIONS,
        [*schemas, *sorted(found.words)],
        [name for name, _ in found.calls],
        [count for _, count in found.calls],
        sorted(found.types),
        sorted(found.words),
        sorted(found.fields),
        sorted(found.parts),
        sorted(found.operators),
    ]


_KINDS = {
    "function": "The function {}",
    "field": "The field {}",
    "operator": "The operator {}",
    "type": "The type {}",
    "cast": "A cast of {}",
}

_PLACE = """
    SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_schemas(true)::text[],
        EXISTS (SELECT FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.>=) 16384::oid)"""
"""Where names are looked up, and whether there is any function that did not come with the server."""

_OWN_NAMES = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)"
"""From here on names are PostgreSQL's own, whatever a user has made."""

_MADE_BY_USERS = """
    WITH RECURSIVE trusted AS (
        SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = ANY (%s::text[])
    ), seen AS (
        SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY (%s::text[]) OR nspname LIKE 'pg\\_temp\\_%%'
    ), made AS (
        SELECT p.oid, p.proname, p.proargtypes[0] AS first, n.nspname || '.' || p.proname AS full,
            p.pronargs - p.pronargdefaults AS least,
            CASE WHEN p.provariadic = 0 THEN p.pronargs ELSE 10000 END AS most, p.oid >= 16384 AS own
        FROM pg_proc p JOIN seen n ON n.oid = p.pronamespace
        WHERE NOT EXISTS (SELECT FROM trusted WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
    ), calls AS (
        SELECT DISTINCT * FROM unnest(%s::text[], %s::int[]) AS c(name, given)
    ), types AS (
        SELECT t.oid, t.typname AS name FROM pg_type t
        WHERE t.typname = ANY (%s::text[]) AND t.typnamespace IN (SELECT oid FROM seen) AND t.oid >= 16384
    ), inside AS (
        SELECT oid, name FROM types
        UNION
        SELECT part.oid, inside.name FROM inside
        JOIN pg_type t ON t.oid = inside.oid
        LEFT JOIN pg_range r ON r.rngtypid = t.oid
        LEFT JOIN pg_attribute a ON t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem), (r.rngsubtype), (a.atttypid)) AS part(oid)
        WHERE part.oid >= 16384
    ), casts AS (
        SELECT c.castfunc, c.castsource, c.casttarget FROM pg_cast c
        WHERE c.castfunc >= 16384
            AND NOT EXISTS (SELECT FROM trusted WHERE classid = 'pg_proc'::regclass AND objid = c.castfunc)
    ), columns AS (
        SELECT DISTINCT a.atttypid AS oid, t.typelem, t.typbasetype, c.relname AS name FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.atttypid >= 16384 AND c.relname = ANY (%s::text[])
    )
    SELECT 'function', c.name, m.full, true FROM calls c JOIN made m ON m.proname = c.name
    WHERE m.own AND (c.given IS NULL OR c.given BETWEEN m.least AND m.most)
    UNION ALL
    SELECT 'field', m.proname, m.full, m.own FROM made m JOIN pg_type t ON t.oid = m.first
    WHERE m.least <= 1
        AND (m.own AND m.proname = ANY (%s::text[]) AND t.typtype IN ('c', 'd', 'p') OR m.proname = ANY (%s::text[]))
        AND NOT EXISTS (
            SELECT FROM pg_attribute a
            WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attname = m.proname AND NOT a.attisdropped
        )
    UNION ALL
    SELECT 'operator', o.oprname, n.nspname || '.' || o.oprname, true FROM pg_operator o
    JOIN seen n ON n.oid = o.oprnamespace
    WHERE o.oid >= 16384 AND o.oprname = ANY (%s::text[])
        AND NOT EXISTS (SELECT FROM trusted WHERE classid = 'pg_operator'::regclass AND objid = o.oid)
    UNION ALL
    SELECT 'type', i.name, p.proname::text, true FROM inside i
    JOIN pg_constraint k ON k.contypid = i.oid
    JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
    LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
    JOIN pg_proc p ON p.oid = CASE d.refclassid WHEN 'pg_proc'::regclass THEN d.refobjid ELSE o.oprcode END
    WHERE p.oid >= 16384 AND NOT EXISTS (SELECT FROM trusted WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
    UNION ALL
    SELECT 'cast', i.name, p.proname::text, true FROM casts c JOIN pg_proc p ON p.oid = c.castfunc
    JOIN inside i ON i.oid IN (c.castsource, c.casttarget)
    UNION ALL
    SELECT 'cast', i.name, p.proname::text, true FROM casts c JOIN pg_proc p ON p.oid = c.castfunc
    JOIN columns i ON EXISTS (
        SELECT FROM (VALUES (i.oid), (i.typelem), (i.typbasetype)) AS part(oid)
        WHERE part.oid >= 16384 AND part.oid IN (c.castsource, c.casttarget)
    )
    LIMIT 20"""
