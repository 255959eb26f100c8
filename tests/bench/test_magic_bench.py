"""What ``%%sql_ai`` costs beside the model and the database; run by ``make bench``.

Time is this process's CPU time, a small query's among it: others may be busy.
"""

from __future__ import annotations

import json
import statistics
import time

import httpx
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from rsql_magic.assistant import Assistant
from rsql_magic.gateway import LLMClient
from rsql_magic.notebook import load

pytestmark = pytest.mark.bench

ANSWER = "```sql\nSELECT region, sum(amount) AS total FROM sales GROUP BY region\n```\nOne row per region."


def answer(request):
    """A model that takes no time."""
    if not request.url.path.endswith("completions"):
        return httpx.Response(404, json={"error": {"message": "No such page.", "code": "not_found"}})
    said = json.dumps({"model": "m", "choices": [{"delta": {"content": ANSWER}, "finish_reason": "stop"}]})
    return httpx.Response(
        200, headers={"content-type": "text/event-stream"}, content=f"data: {said}\n\ndata: [DONE]\n\n".encode()
    )


@pytest.fixture
def shell():
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    client = LLMClient("http://gateway/rsql/", "token", transport=httpx.MockTransport(answer))
    load(shell, Assistant(client=client, environ={}))
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.mark.parametrize(("columns", "tables"), [(0, 0), (0, 100), (10_000, 0)])
def test_the_magic_beside_model_and_database(shell, columns, tables, capsys):
    shell.user_ns["sales"] = pd.DataFrame({"region": ["N", "S"] * 500, "amount": range(1000)})
    shell.user_ns |= {f"other_{n}": pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}) for n in range(tables)}
    if columns:
        shell.user_ns["wide"] = pd.DataFrame(np.zeros((100, columns)), columns=[f"c{n}" for n in range(columns)])
    taken = []
    for _ in range(15):
        started = time.process_time()
        done = shell.run_cell("%%sql_ai --new\nWhat is the total amount of sales per region?")
        done.raise_error()
        taken.append(time.process_time() - started)
    first, median = taken[0], statistics.median(taken[1:])
    with capsys.disabled():
        what = f"{1 + tables + bool(columns)} frames{f', one of {columns:,} columns' if columns else ''}"
        print(f"\n%%sql_ai over {what}: first {first:.2f} s, then {median * 1000:.0f} ms beside model and database")
    assert median <= 0.060
