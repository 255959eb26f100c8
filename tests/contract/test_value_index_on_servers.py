"""A value index of real servers: read in parts, by what they count of changes, and without a word of the password."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
import sqlalchemy as sa

from rsql_magic.databases import keep_values, open_engine
from rsql_magic.databases.value_building import ValueBuilder
from rsql_magic.knowledge import ValueIndex, ValueStore

pytestmark = pytest.mark.slow

ROWS = 60_000
"""More than a part has."""


def written(url, statements):
    made = sa.create_engine(url, isolation_level="AUTOCOMMIT", execution_options={"no_parameters": True})
    with made.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    made.dispose()


@pytest.fixture(params=["postgresql", "mariadb"])
def url(request):
    server = request.getfixturevalue(request.param)
    if request.param == "postgresql":
        plain = f"{server.url}/postgres".replace("postgresql://", "postgresql+psycopg://")
        written(plain, ["DROP DATABASE IF EXISTS indexed", "CREATE DATABASE indexed"])
        place, series = plain.replace("/postgres", "/indexed"), f"generate_series(1, {ROWS}) AS s(seq)"
    else:
        written(server.url, ["DROP DATABASE IF EXISTS indexed", "CREATE DATABASE indexed"])
        place = sa.make_url(server.url).set(database="indexed").render_as_string(hide_password=False)
        series = f"seq_1_to_{ROWS}"
    written(
        place,
        [
            "CREATE TABLE pets (id INTEGER PRIMARY KEY, kind VARCHAR(20), word VARCHAR(20), pad VARCHAR(300))",
            f"INSERT INTO pets SELECT seq, CASE seq % 3 WHEN 0 THEN 'dog' WHEN 1 THEN 'Dog''s' ELSE 'é%s' END, "
            f"concat('w', seq % 9000), repeat('x', 200) FROM {series}",
            "CREATE TABLE codes (code VARCHAR(20) PRIMARY KEY, name VARCHAR(20))",
            f"INSERT INTO codes SELECT concat('C''', seq), 'x' FROM {series}",
        ],
    )
    if request.param == "postgresql":
        written(place, ["ANALYZE"])
    else:
        written(place, ["ANALYZE TABLE pets, codes"])
    return place


def test_all_parts_are_read_and_only_what_changed_again(url):
    with closing(open_engine(url)) as engine, closing(ValueStore(None)) as store:
        database = engine._database
        parts = []
        plain = database.parts
        database.parts = lambda table: (parts.append(part) or part for part in plain(table))
        for _ in ValueBuilder(database, store).steps(database.structure().tables):
            pass
        known = {(one.table, one.column): one for one in ValueIndex(store).columns}
        # MariaDB's catalog has the server's other databases too, where other tests may have put theirs.
        own = {key: one.values for key, one in known.items() if not one.note and "." not in key[0]}
        assert own == {
            ("pets", "kind"): 3,
            ("pets", "word"): 9_000,
            ("codes", "code"): ROWS,
            ("codes", "name"): 1,
            ("pets", "pad"): 1,
        }
        index = ValueIndex(store)
        assert index.holds("Dog's", "pets", "kind")
        assert index.holds("é%s", "pets", "kind")
        assert len(parts) > 6
        for changes in (0, 1):
            if changes:
                written(url, ["UPDATE pets SET kind = 'cow' WHERE id = 7"])
                time.sleep(1.2)  # servers count a moment later, MariaDB in seconds
            for _ in ValueBuilder(database, store).steps(database.structure().tables):
                pass
        assert index.holds("cow", "pets", "kind")


def test_the_file_of_a_server_says_nothing_of_its_password(url, tmp_path):
    with closing(open_engine(url)) as engine:
        keep_values(engine, tmp_path, 100)
        assert sa.make_url(url).password not in engine._database.identity()
        engine.catalog(sure=True)
        end = time.monotonic() + 60
        while engine.values._is_at_work:
            assert time.monotonic() < end
            assert engine.run("SELECT 1 AS one").df.iat[0, 0] == 1  # which stops it each time
            time.sleep(0.2)
        assert engine.values.failure == ""
        assert engine.values.index.holds("dog", "pets", "kind")
