"""Metrics give the rows of their definitions on PostgreSQL, MariaDB and SQLite as they do on DuckDB."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from jupyter_server_ext.offline.sql import write
from rsql_magic.databases import open_engine
from rsql_magic.sql import expand
from tests import defined_shop

TYPES = {"DOUBLE": "DOUBLE PRECISION", "VARCHAR": "VARCHAR(80)"}


def rows(found: Any) -> list[tuple[list[str], list[float]]]:
    """Texts and numbers of each row, in any order of rows and columns."""
    plain = []
    for row in found:
        numbers = [float(value) for value in row if hasattr(value, "__float__")]
        plain.append((sorted(str(value) for value in row if not hasattr(value, "__float__")), sorted(numbers)))
    return sorted(plain)


def are_same(one: list[tuple[list[str], list[float]]], other: list[tuple[list[str], list[float]]]) -> bool:
    """Whether rows agree: MariaDB divides decimals to four digits more than they have."""
    return len(one) == len(other) and all(
        texts == others and numbers == pytest.approx(figures, rel=1e-3)
        for (texts, numbers), (others, figures) in zip(one, other, strict=True)
    )


@pytest.fixture(scope="module")
def by_hand():
    """The answers by hand."""
    with duckdb.connect() as connection:
        for statement in filter(str.strip, defined_shop.TABLES.split(";")):
            connection.execute(statement)
        defined_shop.fill(connection.executemany)
        yield [(question, rows(connection.execute(sql).fetchall())) for question, sql in defined_shop.QUESTIONS]


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def shop(request, tmp_path):
    """A server with the shop's tables and rows."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    if request.param != "sqlite":
        server = request.getfixturevalue(request.param).url
        base = f"{server}/postgres".replace("postgresql://", "postgresql+psycopg://")
        made = sa.create_engine(base if request.param == "postgresql" else server, isolation_level="AUTOCOMMIT")
        with made.connect() as connection:
            connection.exec_driver_sql("DROP DATABASE IF EXISTS defined_shop")
            connection.exec_driver_sql("CREATE DATABASE defined_shop")
        made.dispose()
        url = f"{server}/defined_shop".replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url)
    mark = "?" if request.param == "sqlite" else "%s"
    with engine.begin() as connection:
        for statement in filter(str.strip, defined_shop.TABLES.split(";")):
            for short, long in TYPES.items():
                statement = statement.replace(f"{short},", f"{long},").replace(f"{short})", f"{long})")  # noqa: PLW2901
            connection.exec_driver_sql(statement)

        def fill(sql: str, values: list[tuple[Any, ...]]) -> None:
            plain = [tuple(str(v) if hasattr(v, "isoformat") else v for v in row) for row in values]
            connection.exec_driver_sql(sql.replace("?", mark), plain)

        defined_shop.fill(fill)
    yield engine
    engine.dispose()


def test_every_question_has_the_rows_of_its_definition(shop, by_hand):
    with open_engine(shop) as engine:
        catalog, dialect = defined_shop.described(engine.catalog("stats")), engine.dialect
    wrong = []
    with shop.connect() as connection:
        for question, wanted in by_hand:
            made = expand(write(question, catalog, dialect).query.sql(dialect), dialect, catalog)
            got = rows(connection.execute(sa.text(made.sql)).fetchall())
            wrong += [] if are_same(got, wanted) else [question]
    assert not wrong
