"""MySQL and MariaDB: read by their information schema, kept in bounds by session variables that are set back."""

# Below the guard: a session that is read-only (a transaction alone is not enough: `CREATE` and `DROP` end it, and then
# run), `START TRANSACTION READ ONLY`, the server's time limit (`max_execution_time`, in MariaDB `max_statement_time`),
# `sql_select_limit` for the rows, an SQL mode in which a statement means what the guard read, and always a rollback.

# ruff: noqa: S608 - statements are put together from constants and numbers
from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.databases.base import Failure, Picked, Plan, Reply, Structure, user_function_refused
from rsql_magic.databases.columns import AsText
from rsql_magic.databases.sqlalchemy import SQLAlchemy
from rsql_magic.sql import Column, ForeignKey, Table, lex

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from rsql_magic.databases.sqlalchemy import Stream

    Rows = Sequence[tuple[Any, ...]]

# Seconds that the server's own limit is longer than ours, which gives the clearer message.
_SLACK = 1.0
# Rows of a table that are read in full; of a larger one the first are looked at.
_LARGE = 20_000
# Rows of a table that are read at once for their values.
_ROWS_OF_A_PART = 50_000

# Errors of a statement that took too long, in MariaDB and in MySQL.
_TIMED_OUT = frozenset({1969, 3024})

# Types of columns in the protocol: BIT; and TIMESTAMP, DATE, TIME and DATETIME.
_BIT, _TIMES = 16, frozenset({7, 10, 11, 12})

# SQL modes in which a statement would not mean what the guard read.
_REREAD = {"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT", "IGNORE_SPACE", "HIGH_NOT_PRECEDENCE"}


class MySQL(SQLAlchemy):
    """A MySQL or MariaDB server."""

    text_type = "CHAR"
    letters = "CONVERT({} USING utf8mb4) COLLATE utf8mb4_bin"
    speaks_our_sql = True
    may_read_all_values = True

    def __init__(self, engine: Any, *, ours: bool = False) -> None:
        super().__init__(engine, ours=ours)
        self._thread = 0

    @override
    def begin(self, session: Connection, seconds: float) -> Connection:
        dialect: Any = session.dialect
        limit, read_only = _time_limit(session), ("tx_read_only" if dialect.is_mariadb else "transaction_read_only")
        names = ["sql_mode", "sql_select_limit", read_only, *([limit] if limit else [])]
        asked = ", ".join(f"@@session.{name}" for name in names)
        self._thread, *values = self.run(session, f"SELECT CONNECTION_ID(), {asked}")[0]
        session.info["rsql_before"] = dict(zip(names, values, strict=True))
        mode = ",".join(mode for mode in values[0].split(",") if mode not in _REREAD)
        settings: dict[str, Any] = {"sql_mode": mode, read_only: 1}
        if limit:
            settings[limit] = (seconds + _SLACK) * (1 if limit == "max_statement_time" else 1000)
        _set(session, settings)
        session.exec_driver_sql("START TRANSACTION READ ONLY")
        return session

    @override
    def _end(self, session: Connection) -> None:
        import sqlalchemy as sa

        try:
            if not session.invalidated:
                session.exec_driver_sql("ROLLBACK")
                _set(session, session.info.pop("rsql_before", {}))
        except sa.exc.DBAPIError:
            session.invalidate()
        super()._end(session)

    @override
    def cancel(self) -> None:
        """``KILL QUERY`` from a connection of its own, which MySQL has no other way for."""
        if not self._thread or self._running is None:
            return
        pool = self._engine.pool.recreate()  # the pool may have one connection only, which is the one to stop
        lent = pool.connect()
        try:
            lent.cursor().execute(f"KILL QUERY {int(self._thread)}")
        finally:
            lent.close()
            pool.dispose()

    @contextmanager
    @override
    def stream(self, session: Connection, sql: str, max_rows: int, *, query: bool) -> Iterator[Stream]:
        """As many rows as are looked at, told to the server: closing an unread result reads it to its end."""
        _set(session, {"sql_select_limit": max_rows})
        sql = _limited(sql, max_rows) if query else sql
        with super().stream(session, sql, max_rows, query=query) as (names, fetchmany):
            yield names, fetchmany
            if fetchmany(1):
                self.try_to_cancel()

    @override
    def as_stored(self, values: Sequence[Any], code: object, /) -> Sequence[Any]:
        """Bits as the number that they are; days and moments that are none, such as ``0000-00-00``, as text."""
        if code == _BIT:
            return [int.from_bytes(value, "big") if isinstance(value, bytes) else value for value in values]
        if code in _TIMES:
            return [AsText(value) if isinstance(value, str) else value for value in values]
        return values

    @override
    def failure(self, error: BaseException, /) -> Failure:
        arguments: list[Any] = list(getattr(getattr(error, "orig", None), "args", ()))
        return "timeout" if arguments and arguments[0] in _TIMED_OUT else super().failure(error)

    @override
    def verify(self, session: Connection, sql: str, allowed: frozenset[str], /) -> None:
        """Refuse stored functions: ``now ()`` with a blank, or in quotes, calls one of that name, if there is one."""
        # https://dev.mysql.com/doc/refman/8.4/en/function-resolution.html
        lexed = lex(sql, "mysql")
        words = sorted({token.text.lower() for token in lexed.tokens if token.text.isidentifier()})
        stored = {str(name) for (name,) in self.run(session, _STORED)}
        if hidden := sorted({name.lower() for name in stored}.intersection(words) - allowed):
            raise user_function_refused(
                hidden[0], "a stored function of this database", "Use what the server itself has."
            )

    @override
    def read_plan(self, rows: Reply, /) -> Plan:
        """One line per table, each read once for every row of those before it in the same SELECT.

        A WITH and a subquery of FROM are computed once, under a number of their own, and their rows are kept and read
        beside the others; the server takes the product of its tables for their number. A dependent one is for each row.
        """
        loops: dict[object, int] = {}
        work, lines = 0, []
        for row in rows:
            count = next((int(part) for part in row[-3:] if str(part).isdigit()), 1)
            of, kind = row[0], str(row[1] or "").upper()
            start = max(loops.values(), default=1) if kind.startswith("DEPENDENT") and of not in loops else 1
            is_kept = str(row[2] or "").startswith("<derived")
            loops[of] = loops.get(of, start) * (1 if is_kept else max(count, 1))
            work += count if is_kept else loops[of]
            lines.append(" ".join(str(part) for part in row if part is not None))
        return Plan("\n".join(lines), None, work)

    @override
    def time_zone(self) -> str:
        own, system = self.rows("SELECT @@session.time_zone, @@system_time_zone")[0]
        return str(system if own == "SYSTEM" else own)

    @override
    def state(self) -> Hashable:
        """How often the server has run statements that change tables; it counts them."""
        return tuple(self.rows(_CHANGES))

    @override
    def sample(self, table: Table) -> Picked | None:
        """All rows of a small table, else the first, which are those of the smallest keys."""
        if table.kind == "table" and table.rows is not None and table.rows <= _LARGE:
            return Picked(self.full_name(table), table.rows * len(table.columns))
        return super().sample(table)

    @override
    def parts(self, table: Table) -> Iterator[str]:
        """Runs of a primary key of one column; InnoDB keeps rows in its order."""
        name = self.full_name(table)
        if len(table.primary_key) != 1 or (table.rows is not None and table.rows <= _LARGE):
            yield from super().parts(table)
            return
        key = self.quoted(table.primary_key[0])
        starts = [row[0] for row in self.rows(f"SELECT MIN({key}) FROM {name}") if row[0] is not None]
        while starts:
            begins = f"{key} >= {_literal(starts[0])}"
            beyond = f"SELECT {key} FROM {name} WHERE {begins} ORDER BY {key} LIMIT 1 OFFSET {_ROWS_OF_A_PART}"
            starts = [row[0] for row in self.rows(beyond)]
            ends = f" AND {key} < {_literal(starts[0])}" if starts else ""
            yield f"(SELECT * FROM {name} WHERE {begins}{ends}) AS part"

    @override
    def mark(self, table: Table, columns: Sequence[str], /) -> str:
        """When the table was written last; empty where the server has forgotten it."""
        asked = [table.schema or None, table.name]
        found = self.rows(_WRITTEN, asked)
        return str(found[0]) if found and found[0][0] is not None else ""

    @override
    def structure(self) -> Structure:
        with self.reading(60.0) as session:
            own = self.run(session, "SELECT DATABASE()")[0][0] or ""
            tables, columns = self.run(session, _TABLES), self.run(session, _COLUMNS)
            keys, foreign = self.run(session, _UNIQUE), self.run(session, _FOREIGN_KEYS)
            views = self.run(session, _VIEWS)
        return _MySQLTables(own, columns, keys, foreign).build(tables, views)


def _literal(value: object) -> str:
    """A value of a primary key, as MySQL has given it, in a statement."""
    if isinstance(value, int):
        return str(value)
    text = value.hex() if isinstance(value, bytes) else str(value).encode().hex()
    return f"X'{text}'" if isinstance(value, bytes) else f"CONVERT(X'{text}' USING utf8mb4)"


def _time_limit(session: Connection) -> str:
    """The session variable that limits a statement's time, if the server has one."""
    dialect: Any = session.dialect
    if dialect.is_mariadb:
        return "max_statement_time"
    version = list(dialect.server_version_info or ())
    return "max_execution_time" if version >= [5, 7, 8] else ""


def _set(session: Connection, settings: Mapping[str, Any]) -> None:
    if settings:
        values = {n: f"'{v}'" if isinstance(v, str) else v for n, v in settings.items()}
        session.exec_driver_sql("SET SESSION " + ", ".join(f"{n} = {v}" for n, v in values.items()))


def _limited(sql: str, rows: int) -> str:
    """A query whose own LIMIT is not above the rows looked at; ``sql_select_limit`` yields to a LIMIT."""
    lexed = lex(sql, "mysql")
    depth, place = 0, -1
    for index, raw in enumerate(lexed.raws):
        depth += (raw == "(") - (raw == ")")
        if depth == 0 and lexed.word(index) == "LIMIT":
            place = index + 1
    number = place + 2 if lexed.raw(place + 1) == "," else place
    if place < 0 or not (raw := lexed.raw(number)).isdigit():
        return sql
    token = lexed.tokens[number]
    return f"{lexed.text[: token.start]}{min(int(raw), rows)}{lexed.text[token.end + 1 :]}"


_STORED = """
    SELECT routine_name FROM information_schema.routines
    WHERE routine_type = 'FUNCTION' AND routine_schema = DATABASE()"""
_SYSTEM = "NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')"
_WRITTEN = """
    SELECT update_time, data_length FROM information_schema.tables
    WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s"""
_CHANGES = """
    SHOW GLOBAL STATUS WHERE Variable_name IN (
        'Com_alter_table', 'Com_alter_view', 'Com_create_db', 'Com_create_index', 'Com_create_table', 'Com_create_view',
        'Com_drop_db', 'Com_drop_index', 'Com_drop_table', 'Com_drop_view', 'Com_grant', 'Com_rename_table',
        'Com_revoke'
    )"""
_TABLES = f"""
    SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE LIKE '%VIEW%', TABLE_ROWS, TABLE_COMMENT
    FROM information_schema.TABLES WHERE TABLE_SCHEMA {_SYSTEM} ORDER BY TABLE_SCHEMA, TABLE_NAME"""
_COLUMNS = f"""
    SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE = 'YES', COLUMN_COMMENT,
        PRIVILEGES LIKE '%select%'
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA {_SYSTEM}
    ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"""
_VIEWS = f"SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA {_SYSTEM}"
_UNIQUE = f"""
    SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME
    FROM information_schema.STATISTICS WHERE NOT NON_UNIQUE AND TABLE_SCHEMA {_SYSTEM}
    ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"""
_FOREIGN_KEYS = f"""
    SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME,
        REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
    FROM information_schema.KEY_COLUMN_USAGE
    WHERE REFERENCED_TABLE_NAME IS NOT NULL AND TABLE_SCHEMA {_SYSTEM}
    ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"""


class _MySQLTables:
    """Puts the rows of the information schema together."""

    def __init__(self, own: str, columns: Rows, keys: Rows, foreign: Rows) -> None:
        self._own = own
        self._columns: dict[tuple[str, str], list[Column]] = {}
        for schema, table, name, type_name, nullable, comment, readable in columns:
            if readable:
                found = Column(name, _text(type_name), bool(nullable), _text(comment))
                self._columns.setdefault((schema, table), []).append(found)
        self._keys = _by_constraint(keys)
        self._foreign = _by_constraint(foreign)

    def build(self, tables: Rows, views: Rows) -> Structure:
        """Tables with their keys; what may not be read is left out, and said."""
        hidden = [self._full(row[0], row[1]) for row in tables if (row[0], row[1]) not in self._columns]
        problems = [f"Left out, since they may not be read or are broken: {', '.join(hidden[:5])}."] if hidden else []
        made = [self._table(row) for row in tables if (row[0], row[1]) in self._columns]
        unique = {
            self._full(*table): [tuple(row[0] for row in rows) for name, rows in found.items() if name != "PRIMARY"]
            for table, found in self._keys.items()
        }
        definitions = {self._full(schema, name): _text(sql) for schema, name, sql in views}
        return Structure(tuple(made), unique, tuple(problems), self._own, definitions=definitions)

    def _table(self, row: tuple[Any, ...]) -> Table:
        schema, name, view, rows, comment = row
        place = (schema, name)
        return Table(
            name,
            tuple(self._columns[place]),
            schema="" if schema == self._own else schema,
            kind="view" if view else "table",
            rows=None if view or rows is None else int(rows),
            primary_key=tuple(row[0] for row in self._keys.get(place, {}).get("PRIMARY", ())),
            foreign_keys=tuple(map(self._foreign_key, self._foreign.get(place, {}).values())),
            description="" if view else _text(comment),
        )

    def _foreign_key(self, rows: list[tuple[Any, ...]]) -> ForeignKey:
        _, schema, table, _ = rows[0]
        return ForeignKey(tuple(row[0] for row in rows), self._full(schema, table), tuple(row[3] for row in rows))

    def _full(self, schema: str, name: str) -> str:
        return name if schema == self._own else f"{schema}.{name}"


def _by_constraint(rows: Rows) -> dict[tuple[str, str], dict[str, list[tuple[Any, ...]]]]:
    """Rows of columns by table and by the name of their key."""
    found: dict[tuple[str, str], dict[str, list[tuple[Any, ...]]]] = {}
    for schema, table, key, *rest in rows:
        found.setdefault((schema, table), {}).setdefault(key, []).append(tuple(rest))
    return found


def _text(value: Any) -> str:
    """MySQL 8 gives some columns of its information schema as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
