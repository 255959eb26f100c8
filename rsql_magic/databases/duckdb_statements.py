"""How DuckDB checks a guarded statement and gives its rows."""

# A name that DuckDB finds nowhere is looked for among files, addresses and Python's variables as soon as a statement is
# bound, and EXPLAIN binds too. So its parser is asked first, which looks nothing up: `json_serialize_sql` gives its own
# tree. A WITH counts where all versions of DuckDB see it; any other name must be in the catalog.
#
# DuckDB's own `.df()` gives floats for decimals, for 128-bit integers and for integers with a missing value. So a query
# is wrapped in one that writes those differently, and they are put back together here, piece by piece and without a
# Python object per value: exact decimals, `Int64`.

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rsql_magic.databases.base import Fetched, user_function_refused
from rsql_magic.databases.columns import column_of, scaled_decimals, unique_names
from rsql_magic.errors import QueryFailed, QueryRejected
from rsql_magic.sql import ASCII_LOWER, ascii_lower, calls, is_query, lex, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd

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


# Rows that DuckDB computes at a time.
_VECTOR = 2048
# Bytes of one piece of a result, about.
_PIECE = 64 << 20

# What stands before an explained query.
EXPLAIN = re.compile(r"EXPLAIN\s*(ANALYZE\b)?\s*(\([^)]*\))?", re.IGNORECASE)


def fetched(session: Any, sql: str, max_rows: int, memory: int) -> Fetched:
    """Run a guarded statement and take its first rows: at most so many, and so many bytes."""
    # Ask DuckDB's parser as well: on the user's own connection no setting keeps a statement from writing files.
    sql = sql.strip()
    kind = _kind(session, sql)
    if kind == "EXPLAIN":
        kind = _kind(session, EXPLAIN.sub("", sql, count=1))
    if kind not in _READING and not (kind == "PRAGMA" and _PRAGMAS.match(sql)):
        raise QueryFailed("DuckDB would do more than read.", hint="Ask with a single SELECT.")
    if not is_query(sql, "duckdb"):
        frame = session.execute(sql).df()
        return Fetched(frame.head(max_rows), len(frame) > max_rows)
    described = session.execute(f"DESCRIBE {sql}").fetchall()
    names, types = unique_names([row[0] for row in described]), [row[1] for row in described]
    places = ", ".join(f"c{place}" for place in range(len(names)))
    source = f"FROM (\n{sql}\n) AS result({places}) LIMIT {max_rows + 1}"
    if _FIXED.issuperset(types) and 8 * len(types) * max_rows <= memory:
        return _at_once(session.execute(f"SELECT * {source}").fetchnumpy(), names, max_rows)
    (zone,) = session.execute("SELECT current_setting('TimeZone')").fetchone()
    wires = [_wire(name, place, kind, zone) for place, (name, kind) in enumerate(zip(names, types, strict=True))]
    session.execute(f"SELECT {', '.join(term for wire in wires for term in wire.terms)} {source}")
    pieces, note = _pieces(session, memory)
    return _together(wires, pieces, max_rows, note)


# Kinds of statements that read, in DuckDB's own parser; MULTI is a PIVOT.
_READING = frozenset({"SELECT", "MULTI"})

_PRAGMAS = re.compile(
    r"PRAGMA\s+(table_info|show_tables|show_tables_expanded|show|database_list|database_size|functions|collations"
    r"|version|platform|user_agent|storage_info|metadata_info)\s*(\(|\Z)",
    re.IGNORECASE,
)


def _kind(session: Any, sql: str) -> str:
    """The kind of a single statement, in DuckDB's words; empty for several, and for kinds Python has no name for."""
    try:
        kinds = [statement.type.name for statement in session.extract_statements(sql)]
    except ValueError:
        return ""
    return kinds[0] if len(kinds) == 1 else ""


_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"})
# Types of at most eight bytes, whose results have a size that is known before.
_FIXED = _INTEGERS | {"FLOAT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"}


def _at_once(arrays: Mapping[str, Any], names: Sequence[str], max_rows: int) -> Fetched:
    """The quick way for columns of fixed size: numpy arrays, masked where values are missing."""
    import pandas as pd

    frame = pd.DataFrame(
        {name: _unmasked(array) for name, array in zip(names, arrays.values(), strict=True)}, copy=False
    )
    more = len(frame) > max_rows
    return Fetched(frame.head(max_rows) if more else frame, more)


def _unmasked(array: Any) -> Any:
    """A numpy array as a column; one with a mask as the pandas type that has gaps."""
    import numpy as np
    import pandas as pd

    if not isinstance(array, np.ma.MaskedArray):
        return array
    kind, missing = array.dtype.kind, np.ma.getmaskarray(array)
    if kind in "iu" and missing.any():
        return pd.arrays.IntegerArray(array.data, missing)
    if kind == "b" and missing.any():
        return pd.arrays.BooleanArray(array.data, missing)
    if kind == "f":
        return array.filled(np.nan)
    return array.filled(np.datetime64("NaT")) if kind == "M" else array.data


@dataclass(frozen=True)
class _Wire:
    """How a column travels: what is selected for it, and how its values are made of that."""

    name: str  # the column's name in the result
    place: int  # its number
    terms: tuple[str, ...]  # expressions to select
    read: Callable[[pd.DataFrame, str], Any]  # makes the column from the frame of those


def _wire(name: str, place: int, type_name: str, zone: str) -> _Wire:
    """How a column of a type travels; most go as they are."""
    if match := _DECIMAL.fullmatch(type_name):
        return _decimal_wire(name, place, int(match[1]), int(match[2]))
    terms, read = _TRAVEL.get(type_name, (("{0}",), _as_is))
    if type_name == "TIMESTAMP WITH TIME ZONE":
        read = partial(_zoned, zone=zone)
    return _Wire(name, place, tuple(term.format(f"c{place}") for term in terms), read)


_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def _decimal_wire(name: str, place: int, width: int, scale: int) -> _Wire:
    """A decimal goes as a whole number of its smallest unit where 64 bits hold it, else as text."""
    column = f"c{place}"
    if width > 18:
        return _Wire(name, place, (_AS_TEXT[0].format(column),), _of_text(Decimal))
    unit = f"CAST({10**scale} AS DECIMAL({scale + 1}, 0))"
    whole = f"CAST(coalesce({column}, 0) * {unit} AS BIGINT) AS {column}"
    return _Wire(name, place, (whole, _WITH_GAPS[1].format(column)), partial(_decimal, scale=scale))


def _as_is(frame: pd.DataFrame, column: str) -> Any:
    return frame[column]


def _integer(frame: pd.DataFrame, column: str) -> Any:
    import pandas as pd

    missing = frame[f"{column}_missing"].to_numpy()
    return pd.arrays.IntegerArray(frame[column].to_numpy(), missing) if missing.any() else frame[column]


def _small_integer(frame: pd.DataFrame, column: str) -> Any:
    """Up to 32 bits, for which the floats that stand for gaps are exact."""
    found = frame[column]
    return found.astype("Int64") if found.dtype.kind == "f" else found


def _of_text(number: Callable[[str], Any]) -> Callable[[pd.DataFrame, str], Any]:
    """Numbers of a kind, exact, from their texts."""
    return lambda frame, column: column_of([number(t) if isinstance(t, str) else None for t in frame[column].tolist()])


def _decimal(frame: pd.DataFrame, column: str, scale: int) -> Any:
    return scaled_decimals(frame[column].to_numpy(), frame[f"{column}_missing"].to_numpy(), scale)


def _truth(frame: pd.DataFrame, column: str) -> Any:
    found = frame[column]
    return found.astype("boolean") if found.dtype.kind == "O" else found


def _zoned(frame: pd.DataFrame, column: str, zone: str) -> Any:
    return frame[column].dt.tz_localize("UTC").dt.tz_convert(zone)


_WITH_GAPS = ("coalesce({0}, 0) AS {0}", "{0} IS NULL AS {0}_missing")
_AS_TEXT = ("CAST({0} AS VARCHAR) AS {0}",)
# What is selected for a column of a type, and what makes the column of that; all other types go as they are.
_TRAVEL: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    **dict.fromkeys(_INTEGERS, (("{0}",), _small_integer)),
    **dict.fromkeys(("BIGINT", "UBIGINT"), (_WITH_GAPS, _integer)),
    **dict.fromkeys(("HUGEINT", "UHUGEINT", "BIGNUM"), (_AS_TEXT, _of_text(int))),
    "BOOLEAN": (("{0}",), _truth),
    "TIMESTAMP WITH TIME ZONE": (("make_timestamp(epoch_us({0})) AS {0}",), _zoned),
}


def _pieces(session: Any, memory: int) -> tuple[list[pd.DataFrame], str]:
    """The rows piece by piece; the first is small, and shows how large the next may be."""
    pieces: list[pd.DataFrame] = []
    filled, vectors = 0, 1
    while len(piece := session.fetch_df_chunk(vectors)):
        pieces.append(piece)
        few = piece.head(200)  # the texts of a few rows stand for all
        size = max(int(few.memory_usage(index=False, deep=True).sum() * len(piece) / max(len(few), 1)), 1)
        filled += size
        if filled > memory:
            return pieces, f"cut after {filled >> 20:,} MB"
        vectors = max(1, min(min(_PIECE, memory) * len(piece) // size // _VECTOR, 64 * vectors, 512))
    return pieces or [piece], ""


def _together(wires: Sequence[_Wire], pieces: list[pd.DataFrame], max_rows: int, note: str) -> Fetched:
    import pandas as pd

    whole = pd.concat(pieces, ignore_index=True) if len(pieces) > 1 else pieces[0]
    more = len(whole) > max_rows
    if more:
        whole = whole.head(max_rows)
    frame = pd.DataFrame({wire.name: wire.read(whole, f"c{wire.place}") for wire in wires}, copy=False)
    return Fetched(frame, more or bool(note), note)
