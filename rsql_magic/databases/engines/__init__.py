"""Run guarded SQL read-only: DuckDB and frames, SQLite, PostgreSQL, MySQL, and what else SQLAlchemy reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.databases.engines.base import Engine, Rows
from rsql_magic.databases.engines.executor import MainThreadExecutor, executed_by
from rsql_magic.databases.engines.plans import Plan

if TYPE_CHECKING:
    from rsql_magic.databases.catalogs.base import Database
    from rsql_magic.databases.engines.base import DatabaseEngine

__all__ = ["Engine", "MainThreadExecutor", "Plan", "Rows", "executed_by", "open_engine"]


def open_engine(target: object) -> DatabaseEngine:
    """The engine for anything a person may call a connection.

    Args:
        target: A DuckDB connection, a ``sqlite3`` connection, a SQLAlchemy engine or connection, a JupySQL connection,
            a URL, the path of a DuckDB or SQLite file, or data frames by name.

    Raises:
        ConnectionProblem: There is no such file or server, its package is missing, or it is no database.
        BadInput: The target is nothing that holds tables.

    Example:
        >>> import pandas as pd
        >>> engine = open_engine({"sales": pd.DataFrame({"region": ["N", "S"], "amount": [1, 2]})})
        >>> engine.run("SELECT sum(amount) AS total FROM sales").df["total"].tolist()
        [3]
    """
    from rsql_magic.databases.catalogs.targets import open_database

    database = open_database(target)
    if database.dialect == "duckdb":
        from rsql_magic.databases.catalogs.frames import Frames
        from rsql_magic.databases.engines.duckdb import DuckDBEngine, FramesEngine

        return FramesEngine(database) if isinstance(database, Frames) else DuckDBEngine(database)
    if database.dialect == "sqlite":
        from rsql_magic.databases.engines.sqlite import SQLiteEngine

        return SQLiteEngine(database)
    return _served(database)


def _served(database: Database) -> DatabaseEngine:
    """The engine of a database behind SQLAlchemy: PostgreSQL and MySQL can tell what names stand for, others cannot."""
    from rsql_magic.databases.catalogs.mysql import MySQL
    from rsql_magic.databases.catalogs.postgresql import PostgreSQL
    from rsql_magic.databases.engines.postgresql import PostgreSQLEngine
    from rsql_magic.databases.engines.sqlalchemy import MySQLEngine, SQLAlchemyEngine

    kinds: dict[type[Database], type[SQLAlchemyEngine]] = {PostgreSQL: PostgreSQLEngine, MySQL: MySQLEngine}
    return kinds.get(type(database), SQLAlchemyEngine)(database)
