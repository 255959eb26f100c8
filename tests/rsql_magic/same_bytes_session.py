"""Print the prompts of a session: ``same_bytes_session.py FOLDER`` reads its databases, with ``make`` it makes them."""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

folder = Path(sys.argv[1])


def make() -> None:
    """Tables in full and in samples, wide ones, views, and keys that only names or values tell."""
    import duckdb

    small = [
        "CREATE TABLE airlines (carrier VARCHAR, name VARCHAR)",
        "CREATE TABLE airports (faa VARCHAR, city VARCHAR)",
        "CREATE TABLE flights (id INTEGER, carrier VARCHAR, dest VARCHAR, delay INTEGER, note VARCHAR)",
    ]
    rows = [
        "INSERT INTO airlines SELECT 'C' || i, 'Name ' || i FROM {} WHERE i < 12",
        "INSERT INTO airports SELECT 'A' || i, 'City ' || i FROM {} WHERE i < 40",
        "INSERT INTO flights SELECT i, 'C' || (i % 12), 'A' || (i % 17), i % 91, 'n' || (i % 4) FROM {} WHERE i < 5000",
        "CREATE TABLE large AS SELECT i, i % 13 AS kind, 'v' || (i * 7919 % 5) AS label FROM {}",
        "CREATE VIEW late AS SELECT f.id, f.dest, a.name FROM flights f JOIN airlines a ON f.carrier = a.carrier",
        "CREATE VIEW by_kind AS SELECT kind, label, count(*) AS n FROM large GROUP BY kind, label",
        "CREATE TABLE wide AS SELECT " + ", ".join(f"(i * {n} % 9) || 'x' AS c{n}" for n in range(1, 130)) + " FROM {}"
        " WHERE i < 400",
    ]
    with duckdb.connect(str(folder / "a.duckdb")) as duck:
        for statement in [*small, *(row.format("(SELECT range AS i FROM range(4000000)) AS t") for row in rows)]:
            duck.execute(statement)
    lite = sqlite3.connect(folder / "b.sqlite")
    lite.execute("CREATE TABLE t (i INTEGER)")
    lite.executemany("INSERT INTO t VALUES (?)", ((i,) for i in range(120_000)))
    for statement in [*small, *(row.format("t") for row in rows)]:
        lite.execute(statement)
    lite.commit()
    lite.close()


def bend(kind: str) -> None:
    """Have all clocks run five times faster than they do, or jump; threads start late."""
    chance = random.Random()
    for name in ("monotonic", "perf_counter", "time", "thread_time", "process_time"):
        setattr(time, name, _bent(getattr(time, name), kind, chance))
    start = threading.Thread.start

    def slowly(self):
        time.sleep(chance.random() / 500)
        start(self)

    threading.Thread.start = slowly


def _bent(real: Callable[[], float], kind: str, chance: random.Random) -> Callable[[], float]:
    begun, pace = real(), 5 if kind == "fast" else 1
    return lambda: begun + (real() - begun) * pace + (chance.random() if kind == "jitter" else 0)


def frames() -> dict[str, object]:
    """Frames of the session: large, wide, with texts that columns are named by."""
    import numpy as np
    import pandas as pd

    rows = 3_000_000
    number = np.arange(rows)
    sales = pd.DataFrame(
        {"region": pd.Categorical.from_codes(number % 4, list("NSEW")), "amount": number * 7919 % 1000}
    )
    sales["shop"], sales["day"] = number % 50, pd.Timestamp("2024-01-01") + pd.to_timedelta(number % 365, "D")
    wide = pd.DataFrame({f"m{n}": number[:500] * n % 11 for n in range(300)})
    visits = pd.DataFrame({"clinic": ["north", "south", "roof"] * 40, "weight_north": range(120)})
    return {"sales": sales, "wide": wide, "visits": visits, **{f"part_{n}": visits.head(60 + n) for n in range(30)}}


def prompts() -> str:
    """What is sent of each question to each database, and of one about the frames."""
    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import LLMClient

    assistant = Assistant(client=LLMClient("http://nowhere.invalid/", "t"), environ={}, batch=True)
    assistant.locator.most = lambda level: level
    snapshot = NotebookSnapshot(frames(), ["total = sales.amount.sum()", "wide.head()"])
    told = []
    for database in (str(folder / "a.duckdb"), str(folder / "b.sqlite"), "frames"):
        for question in (
            "Which airline is late, by destination city?",
            "How many of each kind and label?",
            "sales by region",
        ):
            told += [assistant.sql_preview(question, database, snapshot=snapshot).saying("")]
    for question in ("What does sales hold?", "Which clinic has the largest weight?"):
        told += [assistant.preview(assistant.question(question, snapshot, look=True), snapshot, r=False).saying("")]
    return "\n".join(told)


if __name__ == "__main__":
    if "make" in sys.argv:
        make()
    else:
        if kind := os.environ.get("SESSION_CLOCK"):
            bend(kind)
        sys.stdout.write(prompts())
