"""Nothing made of values leaves at ``names`` from the catalogs of real servers: labels, checks, views."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from rsql_magic.databases import open_engine
from rsql_magic.sql import ddl

VALUES = ("Ann Smith", "kuru", "Oslo", "Rome", "271828")
"""Labels, defaults, and what checks and views compare with."""
POSTGRESQL = [
    "CREATE TYPE who AS ENUM ('Ann Smith', 'kuru')",
    "CREATE DOMAIN known AS who DEFAULT 'kuru'",
    "CREATE TABLE visits (id integer, who who DEFAULT 'Ann Smith', more who[], best known, city text, n integer, "
    "CHECK (n <> 271828), CHECK (city IN ('Oslo', 'Rome')))",
    "INSERT INTO visits SELECT i, 'kuru', '{kuru}', 'kuru', CASE i % 2 WHEN 0 THEN 'Oslo' ELSE 'Rome' END, i "
    "FROM generate_series(1, 40) i",
    "CREATE VIEW named AS SELECT id, 'Ann Smith'::who AS best, n = 271828 FROM visits",
]
MARIADB = [
    "CREATE TABLE visits (id int, who enum('Ann Smith', 'kuru') DEFAULT 'Ann Smith', more set('Ann Smith', 'kuru'), "
    "city varchar(20), n int, CHECK (n <> 271828), CHECK (city IN ('Oslo', 'Rome')))",
    "INSERT INTO visits SELECT seq, 'kuru', 'kuru', if(seq % 2, 'Oslo', 'Rome'), seq FROM seq_1_to_40",
    "CREATE VIEW named AS SELECT id, who, n = 271828 FROM visits",
]


def described(url, statements, level):
    """What is told of a database with these tables."""
    made = sa.create_engine(url, isolation_level="AUTOCOMMIT", execution_options={"no_parameters": True})
    try:
        with made.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        with open_engine(made) as engine:
            catalog = engine.catalog(level)
            engine.detail(list(catalog))
            return "\n".join(ddl(table, level) for table in catalog)
    finally:
        made.dispose()


@pytest.fixture
def postgresql_url(postgresql):
    made = sa.create_engine(
        f"{postgresql.url}/postgres".replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with made.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS valued")
        connection.exec_driver_sql("CREATE DATABASE valued")
    made.dispose()
    return f"{postgresql.url}/valued".replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def mariadb_url(mariadb):
    made = sa.create_engine(mariadb.url, isolation_level="AUTOCOMMIT")
    with made.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE IF EXISTS valued")
        connection.exec_driver_sql("CREATE DATABASE valued")
    made.dispose()
    return f"{mariadb.url}/valued"


def test_postgresql_tells_no_values_at_names(postgresql_url):
    text = described(postgresql_url, POSTGRESQL, "names")
    assert "visits" in text
    assert "named" in text
    assert not [value for value in VALUES if value in text], text


def test_mariadb_tells_none_either(mariadb_url):
    text = described(mariadb_url, MARIADB, "names")
    assert "visits" in text
    assert "named" in text
    assert not [value for value in VALUES if value in text], text
