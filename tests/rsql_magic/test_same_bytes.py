"""A prompt is a function of the data and the question: the same bytes on a busy machine, with any clock, on any day."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path

import pytest

SESSION = Path(__file__).parent / "same_bytes_session.py"


def digest(seed: int, *, clock: str = "", path: str = "") -> str:
    """The prompts of a session, made in a process of its own with this seed for hashes and this clock."""
    environment = {**os.environ, "PYTHONHASHSEED": str(seed), "SESSION_CLOCK": clock}
    done = subprocess.run(
        [sys.executable, str(SESSION), path], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def databases(programs, tmp_path_factory):
    """The files that the sessions read, made once."""
    path = tmp_path_factory.mktemp("same")
    subprocess.run([sys.executable, str(SESSION), str(path), "make"], check=True, timeout=240)
    return str(path)


def compare(databases, runs, at_once=1):
    with ThreadPoolExecutor(at_once) as pool:
        told = set(pool.map(lambda run: digest(run[0], clock=run[1], path=databases), runs))
    text, *others = told
    assert [[*unified_diff(text.splitlines(), other.splitlines(), n=0, lineterm="")][:9] for other in others] == []
    assert text.count("CREATE TABLE") > 8
    assert "inferred" in text
    assert "≈" in text


def test_the_same_bytes_with_other_hashes_and_a_clock_that_jumps(databases):
    compare(databases, [(0, ""), (7, "fast")])


@pytest.mark.sweep
@pytest.mark.timeout(1800)
def test_the_same_bytes_twenty_times_on_a_busy_machine(databases):
    """One session more than there are cores at a time: they keep each other waiting."""
    runs = [(seed, random.Random(seed).choice(["", "fast", "jitter"])) for seed in range(20)]
    compare(databases, runs, at_once=1 + (os.cpu_count() or 2))


@pytest.mark.slow
def test_the_date_is_told_only_where_a_question_counts_from_it(assistant, con):
    from rsql_magic.text2sql import SchemaPrompt

    def prompt(question, day):
        options = assistant.query_options().__class__(question)
        engine, _ = assistant.connections.engine(con, {}, question)
        made = SchemaPrompt(
            options, engine, assistant.chat.entry(question), now=lambda: datetime(2026, 3, day, tzinfo=UTC)
        )
        return hashlib.sha256(str(made.linked.messages).encode()).hexdigest()

    for question, differs in {
        "Orders by shop": False,
        "Orders of May 2024": False,
        "Orders of the last two weeks": True,
        "Bestellungen von gestern": True,
        "Commandes du mois dernier": True,
        "Pedidos de esta semana": True,
        "Orders in May": False,
    }.items():
        assert (prompt(question, 1) != prompt(question, 2)) is differs, question


@pytest.mark.slow
@pytest.mark.parametrize("package", ["duckdb", "sqlite3"])
def test_a_file_that_is_opened_again_gives_the_same_bytes(assistant, ip, gateway, tmp_path, package):
    path = tmp_path / "shop.db"
    connection = __import__(package).connect(str(path))
    for name in ("visits", "orders", "customers", "items"):
        connection.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, amount INTEGER)")
    connection.execute("CREATE VIEW zeros AS SELECT * FROM orders WHERE amount = 0")
    connection.execute("CREATE VIEW all_orders AS SELECT * FROM orders")
    connection.commit()

    def sent(shop):
        return assistant.sql_preview("Orders by amount", shop).messages

    first = sent(connection)
    connection.close()
    again = __import__(package).connect(str(path))
    assert sent(again) == first
    again.close()


@pytest.mark.slow
def test_a_clock_that_runs_out_is_said(assistant, con, gateway):
    """What only time cut is a note of the result, and stands below what --show-context prints."""
    con.execute("CREATE TABLE shops (id INTEGER, city VARCHAR)")
    engine, _ = assistant.connections.engine(con, {}, "")
    ticks = iter(range(0, 10**6, 100))
    engine._clock = lambda: float(next(ticks))
    shown = assistant.sql_preview("How many orders?", con).saying("")
    assert "There was no time to look at the values of" in shown
    gateway.replies = ["```sql\nSELECT count(*) AS n FROM orders\n```"]
    result = assistant.sql_ai("How many orders?", con)
    assert any("There was no time" in note for note in result.notes)
    engine._clock = time.monotonic
    engine.refresh()
    assert "no time" not in assistant.sql_preview("How many orders?", con).saying("")
