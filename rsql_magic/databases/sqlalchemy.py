"""Everything that SQLAlchemy reaches: how it is opened, read and kept read-only."""

# `SQLAlchemy` itself serves any dialect, with what SQLAlchemy's inspector finds out and the read-only means that the
# dialect's driver happens to have; `PostgreSQL` and `MySQL` know theirs. Engines and connections of DuckDB and SQLite
# are unwrapped, since their own modules do more.
#
# The user's engine lends a connection from its pool for each statement. Of the user's open connection only the engine
# is used: an error inside the user's own transaction would abort it.

from __future__ import annotations

import importlib
import importlib.util
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.databases.base import Database, Failure, Fetched, Structure, driver_message, scrub, shorten, whole
from rsql_magic.databases.columns import first_rows
from rsql_magic.errors import BadInput, ConnectionProblem
from rsql_magic.redaction import says_secret
from rsql_magic.sql import Column, ForeignKey, Table, always_quoted, dialect_of, is_query, known_as, own_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from sqlalchemy import URL, Connection, Engine, Inspector

    Stream = tuple[Sequence[str], Callable[[int], Sequence[Sequence[Any]]]]

# For a URL without a driver: SQLAlchemy's dialect, and the drivers to look for.
_DRIVERS = {
    "postgres": ("postgresql", ("psycopg", "psycopg2", "pg8000")),
    "postgresql": ("postgresql", ("psycopg", "psycopg2", "pg8000")),
    "mysql": ("mysql", ("pymysql", "MySQLdb", "mysql.connector")),
    "mariadb": ("mariadb", ("pymysql", "MySQLdb", "mariadb")),
}

_DRIVER_NAMES = {"MySQLdb": "mysqldb", "mysql.connector": "mysqlconnector", "mariadb": "mariadbconnector"}

# What to install for a scheme.
_PACKAGES = {
    "postgresql": "'rsql-jupyter[postgresql]'",
    "postgres": "'rsql-jupyter[postgresql]'",
    "mysql": "'rsql-jupyter[mysql]'",
    "mariadb": "'rsql-jupyter[mysql]'",
    "mssql": "pyodbc",
    "oracle": "oracledb",
    "snowflake": "snowflake-sqlalchemy",
    "bigquery": "'rsql-jupyter[bigquery]'",
    "redshift": "sqlalchemy-redshift",
    "trino": "'rsql-jupyter[trino]'",
    "presto": "'pyhive[presto]'",
    "hive": "'pyhive[hive]'",
    "databricks": "databricks-sqlalchemy",
    "clickhouse": "clickhouse-sqlalchemy",
    "clickhousedb": "clickhouse-connect",
    "awsathena": "'pyathena[sqlalchemy]'",
    "duckdb": "duckdb-engine",
    "cockroachdb": "sqlalchemy-cockroachdb",
}

_URL_FORM = "Write it like postgresql://user:password@host:5432/name; in the password @ is %40, / is %2F and : is %3A."

_SYSTEM_SCHEMAS = frozenset(
    """
    information_schema pg_catalog sys performance_schema mysql system guest db_owner db_accessadmin db_securityadmin
    db_ddladmin db_backupoperator db_datareader db_datawriter db_denydatareader db_denydatawriter crdb_internal
    pg_extension
    """.split()  # noqa: SIM905 - words read better as text
)


def open_url(text: str) -> Database:
    """A database by its URL."""
    # Whether a server answers shows at first use: nothing is connected here.
    import sqlalchemy as sa

    scheme = text.partition("://")[0].partition("+")[0]
    try:
        url = sa.make_url(text)
        if "@" in f"{url.host}{url.database}":  # its password has an `@` or `/`, and pieces of it would be the host
            raise ConnectionProblem("This URL has more than one @.", hint=_URL_FORM)
        url = _with_driver(url)
        # Ten seconds: a wrong address is told before a person gives up waiting. One connection: one question at a time.
        takes = url.get_driver_name() in {"psycopg", "psycopg2", "pymysql", "mysqldb"}
        arguments = {"connect_args": {"connect_timeout": 10}} if takes and "connect_timeout" not in url.query else {}
        # Servers close connections that lie idle, as over a lunch between two cells: each is tried before it is used.
        return open_sqlalchemy(sa.create_engine(url, pool_pre_ping=True, pool_size=1, **arguments), ours=True)
    except sa.exc.NoSuchModuleError:
        raise _missing(scheme, f"There is no SQLAlchemy dialect for {scheme}:// here.") from None
    except (sa.exc.ArgumentError, ValueError):
        raise ConnectionProblem("This is no database URL.", hint=_URL_FORM) from None
    except ModuleNotFoundError as error:
        raise _missing(scheme, f"The Python package {error.name} is missing.") from None


def _missing(scheme: str, message: str) -> ConnectionProblem:
    if package := _PACKAGES.get(scheme):
        return ConnectionProblem(message, hint=f"Install it: pip install {package}")
    return ConnectionProblem(message, hint="Check the first part of the URL, such as postgresql://.")


def _with_driver(url: URL) -> URL:
    """A URL with the driver that is installed, where it names none."""
    if url.drivername not in _DRIVERS:
        return url
    dialect, drivers = _DRIVERS[url.drivername]
    driver = next((name for name in drivers if importlib.util.find_spec(name.partition(".")[0])), drivers[0])
    return url.set(drivername=f"{dialect}+{_DRIVER_NAMES.get(driver, driver)}")


def open_sqlalchemy(target: Any, *, ours: bool = False) -> Database:
    """The database behind a SQLAlchemy engine or connection; one made here (``ours``) is disposed of at the end."""
    engine = target.engine
    if engine.dialect.is_async:
        raise BadInput("An asynchronous engine cannot be used here.", hint="Make one with sqlalchemy.create_engine.")
    if engine.dialect.name in {"sqlite", "duckdb"}:
        return _native(target, engine)
    if place := _OWN_MODULES.get(engine.dialect.name):
        database: Database = getattr(importlib.import_module(place[0]), place[1])(engine, ours=ours)
        return database
    from rsql_magic.databases.plugged import by_scheme

    one = by_scheme(engine.dialect.name)
    return one.opened(engine, ours=ours) if one and one.uses_engine else SQLAlchemy(engine, ours=ours)


# Imported when one is opened; they import this module.
_OWN_MODULES = {
    "postgresql": ("rsql_magic.databases.postgresql", "PostgreSQL"),
    "mysql": ("rsql_magic.databases.mysql", "MySQL"),
    "mariadb": ("rsql_magic.databases.mysql", "MySQL"),
    "trino": ("rsql_magic.databases.trino", "Trino"),
    "bigquery": ("rsql_magic.databases.bigquery", "BigQuery"),
}


def _native(target: Any, engine: Engine) -> Database:
    """DuckDB and SQLite by their own modules: a SQLite file by its path, all else by the driver's connection."""
    # A DuckDB file is not opened a second time, since a process can have it open in one way only.
    from rsql_magic.databases.connections import open_database

    path, sqlite = engine.url.database, engine.dialect.name == "sqlite"
    if sqlite and target is engine and path and path != ":memory:" and not path.startswith("file:"):
        return open_database(path)
    lent = target.raw_connection() if target is engine else target.connection
    driver = lent.driver_connection
    if not sqlite:
        driver = next(part for part in vars(driver).values() if type(part).__name__ == "DuckDBPyConnection")
    database = open_database(driver)
    database.lent = lent
    return database


class SQLAlchemy(Database):
    """A database of any dialect, by SQLAlchemy's engine; one made here (``ours``) is disposed of at the end.

    Example:
        >>> import sqlalchemy as sa
        >>> database = SQLAlchemy(sa.create_engine("postgresql+psycopg://ann:hunter2@db/shop"))
        >>> database.name, database.dialect
        ('postgresql://db/shop', 'postgres')
    """

    # Whether statements about values are written in its dialect already.
    speaks_our_sql = False

    def __init__(self, engine: Engine, *, ours: bool = False) -> None:
        super().__init__()
        self._engine = engine
        self._ours = ours
        self._running: Any = None
        url = engine.url
        self.dialect = known_as(engine.dialect.name)
        port = f":{url.port}" if url.port else ""
        self.name = f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"
        options = (str(value) for name, value in url.query.items() if says_secret(name))
        self.secrets = tuple(filter(None, (str(url.password or ""), *options)))

    @override
    def connection(self) -> Engine:
        return self._engine

    @override
    def close(self) -> None:
        if self._ours:
            self._engine.dispose()

    @override
    @contextmanager
    def transaction(self, connection: Engine, seconds: float) -> Iterator[Connection]:
        session = self._begun(connection, seconds)
        self._running = session.connection.driver_connection
        try:
            yield session
        except BaseException as error:
            if not isinstance(error, Exception):
                # After Ctrl-C: stop the statement, and give up a connection that may still be waiting for its reply.
                self.try_to_cancel()
                session.invalidate()
            raise
        finally:
            self._running = None
            self._end(session)

    def _begun(self, engine: Engine, seconds: float, *, again: bool = True) -> Connection:
        """A connection inside a read-only transaction; one that the pool kept too long is replaced once."""
        session = self._connected(engine)
        try:
            return self.begin(session, seconds)
        except Exception as error:
            stale = getattr(error, "connection_invalidated", False)
            session.close()
            if not (again and stale):
                raise
        return self._begun(engine, seconds, again=False)

    def _connected(self, engine: Engine) -> Connection:
        import sqlalchemy as sa

        try:
            return engine.connect()
        except (sa.exc.DBAPIError, OSError) as error:
            message, _ = shorten(scrub(driver_message(error), self.secrets), 200)
            hint = "Check the address, the user and the password, and that the server runs."
            raise ConnectionProblem(f"{self.name} cannot be reached: {message}", hint=hint) from None

    def begin(self, session: Connection, seconds: float) -> Connection:  # noqa: ARG002 - for dialects that can tell the server
        """Make a fresh connection's transaction read-only, by whatever means the dialect has."""
        if statement := dialect_of(self.dialect).read_only:
            session.exec_driver_sql(statement)
        return session

    def _end(self, session: Connection) -> None:
        import sqlalchemy as sa

        try:
            session.rollback()
        except sa.exc.DBAPIError:
            session.invalidate()  # the server is gone, and the transaction with it
        finally:
            session.close()

    @override
    def cancel(self) -> None:
        stop = getattr(self._running, "cancel", None)
        if callable(stop):
            stop()

    @override
    def run_here(self, session: Connection, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        plain = session.execution_options(no_parameters=not parameters)
        return [tuple(row) for row in plain.exec_driver_sql(sql, tuple(parameters) or None)]

    @contextmanager
    def stream(self, session: Connection, sql: str, max_rows: int, *, query: bool) -> Iterator[Stream]:  # noqa: ARG002
        """The result of a guarded statement, fetched as it is read: names of columns, and what gives the next rows."""
        # For EXPLAIN and SHOW (no `query`) servers have no cursors; `max_rows` is one more than are wanted.
        result = session.execution_options(stream_results=query, no_parameters=True).exec_driver_sql(sql)
        try:
            codes = [code for _, code, *_ in result.cursor.description or ()]
            yield list(result.keys()), lambda count: self._stored_rows(result.fetchmany(count), codes)
        finally:
            result.close()

    def _stored_rows(self, rows: Sequence[Sequence[Any]], codes: Sequence[object]) -> Sequence[Sequence[Any]]:
        columns = zip(*rows, strict=True)
        return list(zip(*map(self.as_stored, columns, codes), strict=True))

    def as_stored(self, values: Sequence[Any], _code: object, /) -> Sequence[Any]:
        """Values of a column as the database holds them, where its driver, by its code of the type, gives others."""
        return values

    @override
    def fetch_here(self, session: Connection, sql: str, max_rows: int, memory: int) -> Fetched:
        with self.stream(session, sql, max_rows + 1, query=is_query(sql, self.dialect)) as (names, fetchmany):
            return first_rows(names, fetchmany, max_rows, memory)

    @override
    def failure(self, error: BaseException, /) -> Failure:
        return "dead" if getattr(error, "connection_invalidated", False) else ""

    @override
    def quoted(self, name: str) -> str:
        return always_quoted(name, self.dialect if self.speaks_our_sql else "")

    @override
    def bounded_rows(self, sql: str, *, seconds: float) -> list[tuple[Any, ...]]:
        if not self.speaks_our_sql:
            sql = own_tree(sql, "postgres").sql(self.dialect or None)
        return self.rows(sql, seconds=seconds)

    @override
    def identity(self) -> str:
        url = self._engine.url
        return f"{url.get_backend_name()} {url.username or ''}@{url.host or ''}:{url.port or ''}/{url.database or ''}"

    @override
    def twin(self) -> Database | None:
        return type(self)(self._engine)

    @override
    def state(self) -> Hashable:
        """Names alone: what else changes is seen after a refresh."""
        with self.reading(10.0) as session:
            inspector = _inspector(session)
            return tuple(tuple(inspector.get_table_names(schema)) for schema in _schemas(inspector))

    @override
    def structure(self) -> Structure:
        with self.reading(120.0) as session:
            inspector = _inspector(session)
            parts = [_Inspected(inspector, schema).structure() for schema in _schemas(inspector)]
        return whole(parts, inspector.default_schema_name or "")


def _inspector(session: Connection) -> Inspector:
    import sqlalchemy as sa

    return sa.inspect(session)


def _schemas(inspector: Inspector) -> list[str | None]:
    """The default schema (None) first, then the others; the server's own are left out."""
    try:
        names = inspector.get_schema_names()
    except NotImplementedError:  # a dialect whose database has no schemas
        names = []
    default = inspector.default_schema_name
    return [None, *(name for name in names if name != default and name.lower() not in _SYSTEM_SCHEMAS)]


class _Inspected:
    """One schema (None: the default) as the inspector sees it, with one call for all tables where the dialect can."""

    def __init__(self, inspector: Inspector, schema: str | None) -> None:
        self._inspector, self._schema = inspector, schema
        self._problems: list[str] = []

    def structure(self) -> Structure:
        """Tables and views of the schema."""
        columns = self._all("columns")
        primary, foreign = self._all("pk_constraint"), self._all("foreign_keys")
        comments, unique = self._all("table_comment"), self._all("unique_constraints")
        views = set(self._views())
        tables = [
            Table(
                name,
                tuple(
                    Column(str(c["name"]), str(c["type"]), bool(c.get("nullable", True)), str(c.get("comment") or ""))
                    for c in found
                ),
                schema=self._schema or "",
                kind="view" if name in views else "table",
                primary_key=tuple((primary.get(name) or {}).get("constrained_columns") or ()),
                foreign_keys=tuple(map(self._foreign_key, foreign.get(name) or ())),
                description=(comments.get(name) or {}).get("text") or "",
            )
            for name, found in columns.items()
        ]
        keys = {
            (f"{self._schema}.{n}" if self._schema else n): [tuple(one["column_names"]) for one in found]
            for n, found in unique.items()
            if found
        }
        return Structure(tuple(tables), keys, tuple(self._problems))

    def _all(self, what: str) -> Mapping[str, Any]:
        """One kind of fact of all tables and views, by name."""
        import sqlalchemy as sa
        from sqlalchemy.engine import ObjectKind

        try:
            found = getattr(self._inspector, f"get_multi_{what}")(schema=self._schema, kind=ObjectKind.ANY)
        except (NotImplementedError, sa.exc.SQLAlchemyError) as error:
            # A dialect without keys, comments or constraints has none. Where the server refuses to tell them, the
            # catalog is as one of such a dialect: joins are inferred from names and values and marked so, and nothing
            # that is said of a table is wrong. Without columns the tables themselves are missing, and that is told.
            if what == "columns":
                message, _ = shorten(driver_message(error), 150)
                self._problems.append(f"Schema {self._schema or 'default'} is left out: {message}")
            return {}
        return {name: value for (_, name), value in found.items()}

    def _views(self) -> Iterator[str]:
        for listing in (self._inspector.get_view_names, self._inspector.get_materialized_view_names):
            try:
                yield from listing(self._schema)
            except NotImplementedError:  # a dialect without this kind of view
                continue

    def _foreign_key(self, key: Mapping[str, Any]) -> ForeignKey:
        schema = key.get("referred_schema") or self._schema
        table = f"{schema}.{key['referred_table']}" if schema else str(key["referred_table"])
        return ForeignKey(tuple(key["constrained_columns"]), table, tuple(key["referred_columns"]))
