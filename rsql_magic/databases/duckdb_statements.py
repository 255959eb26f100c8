"""How DuckDB checks what a guarded statement names."""

# A name that DuckDB finds nowhere is looked for among files, addresses and Python's variables as soon as a statement is
# bound, and EXPLAIN binds too. So its parser is asked first, which looks nothing up: `json_serialize_sql` gives its own
# tree. A WITH counts where all versions of DuckDB see it; any other name must be in the catalog.

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from rsql_magic.databases.base import user_function_refused
from rsql_magic.errors import QueryFailed, QueryRejected
from rsql_magic.sql import ASCII_LOWER, ascii_lower, calls, lex, parse

if TYPE_CHECKING:
    from collections.abc import Iterator


# A name in lower case, after the names that qualify it.
Path = tuple[str, ...]


class NamesIn(NamedTuple):
    """What a statement names."""

    tables: set[Path]  # tables, as far as they are qualified, without those that a WITH defines
    functions: set[str]  # functions and operators; None where the operators could not be told
    operators: bool = True


def refuse_unbound(session: Any, sql: str, allowed: frozenset[str], own: frozenset[str]) -> None:
    """Refuse a statement that would read something other than tables and views, or call a function of the user's."""
    # Of their `own` functions those `allowed` may be called; both are in lower case.
    named = _named(session, sql)
    untold = set() if named.operators else {name for name in own if not name.isidentifier()}
    if hijacked := sorted((named.functions & own | untold) - allowed):
        raise user_function_refused(hijacked[0], "a function of your own here", "Rename it, or drop it.")
    if _SETTINGS & (named.functions | {path[-1] for path in named.tables}):
        rows = session.execute("SELECT name, value FROM duckdb_settings() WHERE value <> ''").fetchall()
        if any(_SECRET_SETTING.search(name) for name, _ in rows):
            raise QueryRejected(
                "The settings of this connection hold a password or key.",
                piece="duckdb_settings",
                hint="Ask for one of the others: SELECT current_setting('TimeZone').",
            )
    if named.tables:
        known = _Known(session)
        for path in sorted(named.tables):
            if not known.has(path):
                name = ".".join(path)
                raise QueryRejected.slip(f"There is no table {name} here.", name, "%rsql catalog lists the tables.")


_SETTINGS = frozenset({"duckdb_settings", "pg_settings"})
_SECRET_SETTING = re.compile(
    r"access_key|token|password|connection_string|client_secret|credential|(encryption|private)_key"
)


def own_functions(session: Any) -> frozenset[str]:
    """The macros and Python functions of the user; they come before DuckDB's own of the same name."""
    rows = session.execute("SELECT function_name FROM duckdb_functions() WHERE NOT internal").fetchall()
    return frozenset(ascii_lower(name) for (name,) in rows)


class _Known:
    """The tables and views there are, each by the names that DuckDB would find it under."""

    def __init__(self, session: Any) -> None:
        database, path, schemas = session.execute(_PLACE).fetchone()
        rows = session.execute(_NAMES).fetchall()
        self._names = {tuple(part.translate(ASCII_LOWER) for part in row) for row in rows}
        self._databases = {"temp", "system", *re.findall(r"\w+", path.translate(ASCII_LOWER))}
        self._databases.add(database.translate(ASCII_LOWER))
        self._schemas = {schema.translate(ASCII_LOWER) for schema in schemas}

    def has(self, path: Path) -> bool:
        """Whether DuckDB has a table or view of that name."""
        if len(path) == 1:
            return any(
                name == path[0] and schema in self._schemas and database in self._databases
                for database, schema, name in self._names
            )
        if len(path) == 2:
            return any(name == path[1] and path[0] in {database, schema} for database, schema, name in self._names)
        return path in self._names


_NAMES = """
    SELECT database_name, schema_name, table_name FROM duckdb_tables()
    UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views()"""
_PLACE = "SELECT current_database(), current_setting('search_path'), current_schemas(true)"


def _named(session: Any, sql: str) -> NamesIn:
    """What DuckDB's parser finds in a query; what sqlglot finds where DuckDB's tree cannot be had, as of a PIVOT."""
    reply = session.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()[0]
    try:
        tree = json.loads(reply.translate(ASCII_LOWER))  # all names at once; escapes mean the same in either case
    except RecursionError:
        return _read(sql)
    if not tree["error"]:
        return _walked(tree["statements"])
    if tree.get("error_type") == "not implemented":
        return _read(sql)
    message = json.loads(reply).get("error_message")
    raise QueryFailed(str(message or "DuckDB cannot read this."), hint="Check the syntax.", sql=sql)


def _walked(statements: Any) -> NamesIn:
    """The names in DuckDB's own tree, which is in lower case."""
    found = NamesIn(set(), set())
    stack: list[tuple[Any, frozenset[str]]] = [(statements, frozenset())]
    while stack:
        node, scope = stack.pop()
        if isinstance(node, list):
            stack += [(part, scope) for part in node]
        elif isinstance(node, dict):
            stack += _parts(node, scope)
            if name := node.get("function_name"):
                found.functions.add(name)
            if node.get("type") == "base_table":
                written = (node.get("qualified_name") or {}).get("path")
                path = tuple(
                    written
                    or [part for name in ("catalog_name", "schema_name", "table_name") if (part := node.get(name))]
                )
                if not (len(path) == 1 and path[0] in scope) and not (path[0] == "recurring" and path[-1] in scope):
                    found.tables.add(path)
    return found


def _parts(node: dict[str, Any], scope: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """What is inside a node, each part with the names of WITH that it sees."""
    for entry in (node.get("cte_map") or {}).get("map") or ():
        yield entry["value"], scope
        scope |= {entry["key"]}
    own = {name} if (name := node.get("cte_name")) else frozenset[str]()
    sees_itself = {"recursive_cte_node": "right", "cte_node": "child"}.get(str(node.get("type")), "")
    for name, part in node.items():
        if name != "cte_map" and isinstance(part, (dict, list)):
            yield part, scope | own if name == sees_itself else scope


def _read(sql: str) -> NamesIn:
    """The names that sqlglot finds, where DuckDB's tree cannot be had."""
    from sqlglot import exp

    from rsql_magic.sql import in_scope, table_parts

    lexed = lex(sql, "duckdb")
    tree = parse(lexed.text, "duckdb")
    named = [(node, table_parts(node)) for node in tree.find_all(exp.Table) if isinstance(node.this, exp.Identifier)]
    tables = {tuple(map(ascii_lower, p)) for n, p in named if not (len(p) == 1 and in_scope(n, p[0], True, "duckdb"))}
    functions = {ascii_lower(call.path[-1]) for call in calls(lexed, list(tree.walk()), "duckdb")}
    return NamesIn(tables, functions, operators=False)
