"""What turns of tenants cost beside turns of callers: processor time of the same requests, in turns in one run."""

from __future__ import annotations

import statistics
import time

import pytest

from jupyter_server_ext.keys import Cost, QueuedRequest
from jupyter_server_ext.keys.model_queue import ModelQueue
from jupyter_server_ext.messages import Caller

pytestmark = pytest.mark.bench

CALLERS, SERVED, ROUNDS = 400, 4000, 7
TENANTS = {"no tenants": 0, "one": 1, "twenty": 20}


def seconds_of(tenants: int) -> float:
    """Processor time of serving, joining and asking how many are ahead, with four requests of each caller waiting."""
    callers = [Caller(f"c{n}", tenant=f"t{n % tenants}" if tenants else "") for n in range(CALLERS)]
    queue = ModelQueue()
    for number in range(4 * CALLERS):
        queue.push(QueuedRequest(callers[number % CALLERS], "m", Cost()))
    began = time.process_time()
    for number in range(SERVED):
        head = queue.head()
        queue.backfill_candidates(head)
        queue.serve(head)
        newcomer = QueuedRequest(callers[7 * number % CALLERS], "m", Cost())
        if not number % 10:
            queue.ahead_of(newcomer)
        queue.push(newcomer)
    for _ in queue.order():
        pass
    return time.process_time() - began


def test_turns_of_tenants():
    seconds = {name: [] for name in TENANTS}
    for _ in range(ROUNDS):
        for name, tenants in TENANTS.items():
            seconds[name].append(seconds_of(tenants))
    each = {name: 1e6 * statistics.median(row) / SERVED for name, row in seconds.items()}
    print("\nturns of 400 callers:", ", ".join(f"{name} {row:.1f} µs" for name, row in each.items()))

    assert max(each["one"], each["twenty"]) <= 2.0 * each["no tenants"]
