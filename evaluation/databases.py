"""The databases of a set: each opened for rsql and for the gold query, with its bare DDL for the plain prompt."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import sqlalchemy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Rows = Sequence[Sequence[Any]]

_MOST_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Database:
    """One database of a set.

    Args:
        dialect: sqlite, duckdb or postgresql; or the kind of the frames (`evaluation.frames`).
        connection: What ``sql_ai`` is given; or the variables that ``ask`` finds.
        ddl: Its CREATE statements, as they were written; or the frames as they print.
        rows: Runs a query, or code, within 20 seconds.
    """

    dialect: str
    connection: Any
    ddl: str
    rows: Callable[[str], Rows]


@contextmanager
def opened(folder: Path, name: str, postgresql: Callable[[], str]) -> Iterator[Database]:
    """A database of ``folder``: ``NAME.sqlite``, ``NAME.sqlite.sql``, ``NAME.duckdb.sql`` or ``NAME.postgresql.sql``.

    Args:
        folder: Where the set has its databases.
        name: The database.
        postgresql: The URL of a PostgreSQL server in which databases may be made; called only when one is needed.

    Raises:
        FileNotFoundError: There is no such database.
    """
    openers = {"sqlite": _sqlite_file, "sqlite.sql": _sqlite, "duckdb.sql": _duckdb}
    for suffix, opener in openers.items():
        if (file := folder / f"{name}.{suffix}").exists():
            with opener(file) as database:
                yield database
            return
    if (file := folder / f"{name}.postgresql.sql").exists():
        with _postgresql(file, postgresql()) as database:
            yield database
        return
    raise FileNotFoundError(f"There is no database {name!r} in {folder}.")


@contextmanager
def _sqlite_file(file: Path) -> Iterator[Database]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, check_same_thread=False)) as connection:
        connection.text_factory = lambda text: text.decode(errors="replace")
        made = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL")
        ddl = ";\n".join(sql for (sql,) in made)
        yield Database("sqlite", str(file), ddl, partial(_sqlite_rows, connection))


@contextmanager
def _sqlite(script: Path) -> Iterator[Database]:
    text = script.read_text(encoding="utf-8")
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        connection.executescript(text)
        connection.execute("PRAGMA query_only = ON")
        yield Database("sqlite", connection, _created(text), partial(_sqlite_rows, connection))


def _sqlite_rows(connection: sqlite3.Connection, sql: str) -> Rows:
    end = time.monotonic() + _MOST_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.set_progress_handler(None, 0)


@contextmanager
def _duckdb(script: Path) -> Iterator[Database]:
    text = script.read_text(encoding="utf-8")
    with closing(duckdb.connect()) as connection:
        connection.execute(text)
        connection.execute("SET enable_external_access = false")  # a model's query may name any file

        def rows(sql: str) -> Rows:
            if len(connection.extract_statements(sql)) != 1:
                raise ValueError("only one statement is run")
            cursor = connection.cursor()
            timer = threading.Timer(_MOST_SECONDS, cursor.interrupt)
            timer.start()
            try:
                return cursor.execute(sql).fetchall()
            finally:
                timer.cancel()

        yield Database("duckdb", connection, _created(text), rows)


@contextmanager
def _postgresql(script: Path, server: str) -> Iterator[Database]:
    text, name = script.read_text(encoding="utf-8"), script.name.removesuffix(".postgresql.sql")
    url = sqlalchemy.make_url(server).set(drivername="postgresql+psycopg", database="postgres")
    with ExitStack() as stack:
        admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
        stack.callback(admin.dispose)
        with admin.connect() as connection:
            connection.execute(sqlalchemy.text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
            connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
        engine = sqlalchemy.create_engine(url.set(database=name))
        stack.callback(engine.dispose)
        with engine.begin() as connection:
            connection.exec_driver_sql(text)
            connection.exec_driver_sql("ANALYZE")

        # What is prepared is one statement: none may end the read-only transaction.
        reader = sqlalchemy.create_engine(url.set(database=name), connect_args={"prepare_threshold": 0})
        stack.callback(reader.dispose)

        def rows(sql: str) -> Rows:
            with reader.connect() as connection:
                connection.exec_driver_sql(f"SET statement_timeout = {round(_MOST_SECONDS * 1000)}")
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
                return [tuple(row) for row in connection.exec_driver_sql(sql.replace("%", "%%"))]

        yield Database("postgresql", engine, _created(text), rows)


def _created(script: str) -> str:
    """The CREATE TABLE statements of a script."""
    statements = (part.strip() for part in script.split(";\n"))
    return ";\n".join(part for part in statements if part.upper().startswith("CREATE TABLE"))
