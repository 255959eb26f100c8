"""How large a value index is, how it is built, and how long a look-up takes; run by ``make bench``.

Two million cells by default; a hundred million take half an hour and 2 GB of disk:

    RSQL_BENCH_CELLS=100_000_000 .venv/bin/python -m pytest -m bench -s --timeout 0 tests/bench/test_values_bench.py
"""

from __future__ import annotations

import os
import random
import statistics
import time
from contextlib import closing
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from rsql_magic.databases import open_database
from rsql_magic.databases.value_building import ValueBuilder
from rsql_magic.knowledge import ValueIndex, ValueStore, phrases_of

pytestmark = pytest.mark.bench

CELLS = int(os.environ.get("RSQL_BENCH_CELLS", "2_000_000"))
TABLES, COLUMNS = 4, 10
ROWS = CELLS // (TABLES * COLUMNS)
SHARES = (10 / ROWS, 100 / ROWS, 1_000 / ROWS, 0.01, 0.02, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Of each column, how many values there are to draw from, as a share of its rows."""
WORDS = 60_000


def vocabulary(rng):
    """Made-up words, the frequent ones first."""
    syllables = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "an", "er", "in", "or")]
    words = {"".join(rng.choices(syllables, k=rng.choice((2, 2, 3, 3, 4)))).capitalize() for _ in range(2 * WORDS)}
    return sorted(words)[:WORDS]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A DuckDB file of four tables with ten columns of texts each, from ten values to nearly all different ones."""
    place = tmp_path_factory.mktemp("values") / "cells.duckdb"
    words = vocabulary(random.Random(1))
    random.Random(2).shuffle(words)
    with closing(duckdb.connect(place)) as connection:
        connection.execute("SET preserve_insertion_order = false; SET memory_limit = '4GB'")
        connection.register("listed", pd.DataFrame({"n": range(len(words)), "w": words}))
        connection.execute("CREATE TEMP TABLE words AS SELECT * FROM listed")
        for table in range(TABLES):
            for number, share in enumerate(SHARES):
                many = max(int(share * ROWS), 5)
                seed = f"hash(i * {10 * COLUMNS} + {table * COLUMNS + number}) % {many}"
                pick = "(power((hash(j * 3 + {}) % 1000000) / 1e6, 2) * {})::INTEGER"
                connection.execute(f"""
                    CREATE TEMP TABLE c{number} AS
                    SELECT i, a.w || ' ' || b.w || CASE WHEN j % 3 = 0 THEN ' ' || c.w ELSE '' END AS v
                    FROM (
                        SELECT i, j, {pick.format(0, WORDS - 1)} AS x, {pick.format(1, WORDS - 1)} AS y,
                            {pick.format(2, 50)} AS z
                        FROM (SELECT i, {seed} AS j FROM range({ROWS}) r(i))
                    ) JOIN words a ON a.n = x JOIN words b ON b.n = y JOIN words c ON c.n = z""")
            joins = " ".join(f"JOIN c{n} USING (i)" for n in range(1, COLUMNS))
            listed = ", ".join(f"c{n}.v AS v{n}" for n in range(COLUMNS))
            connection.execute(f"CREATE TABLE t{table} AS SELECT c0.i AS id, {listed} FROM c0 {joins}")
            for number in range(COLUMNS):
                connection.execute(f"DROP TABLE c{number}")
    return place


@pytest.fixture(scope="module")
def built(path, tmp_path_factory):
    """The index, how long it took, and how much memory."""
    place = tmp_path_factory.mktemp("index") / "index.db"
    pid = os.fork()  # peak memory of a process that has not made the data
    if pid == 0:
        status = 1
        try:
            connection = duckdb.connect(path, read_only=True, config={"memory_limit": "100MB", "threads": 1})
            before, began = peak_since_here(), time.perf_counter()
            store = ValueStore(place, write=True)
            database = open_database(connection)
            with store.writing():
                steps = list(timed(ValueBuilder(database, store).steps(database.structure().tables)))
            figures = time.perf_counter() - began, now()[1] - before, sorted(steps)[int(0.95 * len(steps))], max(steps)
            (place.parent / "figures").write_text(" ".join(map(str, figures)))
            store.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    seconds, megabytes, usual, longest = map(float, (place.parent / "figures").read_text().split())
    return place, seconds, megabytes, usual, longest


def now():
    """This process's memory now and at most since `peak_since_here`, in MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def peak_since_here():
    """Begin to measure the most memory anew, and say how much there is now, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return now()[0]


def timed(steps):
    """Seconds of each step."""
    while True:
        began = time.perf_counter()
        if next(steps, steps) is steps:
            return
        yield time.perf_counter() - began


def test_the_index_is_small_and_built_within_bounds(built):
    place, seconds, megabytes, usual, longest = built
    size = place.stat().st_size
    with closing(ValueStore(place)) as store:
        columns = store.columns.values()
        values, left_out = sum(one.values for one in columns), [one for one in columns if one.note]
    print(f"\n{CELLS:,} cells, {values:,} distinct values: {size / 2**20:.0f} MB, {size / values:.1f} bytes a value")
    print(f"built in {seconds:.0f} s with {megabytes:.0f} MB; a step {usual:.2f} s (p95), {longest:.2f} s at most")
    assert not left_out
    assert size <= 2**30 * max(CELLS / 100_000_000, 0.03)
    assert megabytes <= 256 + 100  # DuckDB's own 100 MB beside


def test_a_look_up_takes_milliseconds(built):
    rng = random.Random(3)
    with closing(ValueStore(built[0])) as store:
        index = ValueIndex(store)
        numbered = list(store.columns.items())
        some = [(about, value) for number, about in numbered for value in store.every(number, 2_000)[::100]]
        rng.shuffle(some)

        def mistyped(text):
            place = rng.randrange(1, len(text) - 1)
            return text[:place] + text[place + 1 :]

        around = "How many of the people who live in the big town did see {} in the last year, and when was that?"
        lookups = {
            "a value in all columns": lambda _, value: index.same([value.lower()]),
            "the 6-word phrases of a question": lambda _, value: index.same(phrases_of(around.format(value))),
            "a value with a slip in its column": lambda about, value: index.near(
                mistyped(value), about.table, about.column
            ),
            "values that contain a text": lambda _, value: index.containing(value[: len(value) * 2 // 3]),
        }
        index.same(["nothing"])
        for name, look_up in lookups.items():
            taken = []
            for about, value in some[:300]:
                began = time.process_time()
                assert look_up(about, value)
                taken.append(1000 * (time.process_time() - began))
            late = sorted(taken)[int(0.95 * len(taken))]
            print(f"\n{name}: {statistics.median(taken):.1f} ms of a processor, p95 {late:.1f} ms", end="")
            assert late <= 30
    print()
