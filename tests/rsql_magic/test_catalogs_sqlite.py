"""The size of SQLite's tables, which has no record of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from rsql_magic.databases import open_engine


@pytest.mark.parametrize(
    ("ids", "rows"),
    [
        ([], 0),
        ([999_887_777, 123_456_789], 2),  # social security numbers
        (range(500, 1_400), 900),
        (range(1, 5_001), 5_000),
        (range(2, 10_002, 2), 5_000),  # half of them deleted
        (range(1, 5_000_000, 1_000), 5_000),  # numbers of something else
    ],
)
def test_rows_are_counted_rather_than_taken_from_a_key(ids, rows):
    with closing(sqlite3.connect(":memory:")) as made:
        made.execute("CREATE TABLE people (ssn INTEGER PRIMARY KEY, name TEXT)")
        made.executemany("INSERT INTO people VALUES (?, 'x')", ((one,) for one in ids))
        with open_engine(made) as engine:
            assert engine.catalog("stats", sure=True)["people"].rows == rows
