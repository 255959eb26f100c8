"""One of three gateways dies, all are restarted, Redis moves: what callers notice. ``make ha`` takes longer over it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time

import httpx
import pytest
import sqlalchemy as sa
from ha.cluster import ADMIN, DEPLOY, until, watch
from ha.conftest import CLASS
from ha.load import Load
from simulated_provider import Fault

SECONDS = float(os.environ.get("RSQL_HA_SECONDS", "0.5"))
"""Least length of each phase of load, which lasts until every gateway that runs has answered."""
LIMIT = 40  # of the tenant "limited", an hour
BOARD = json.loads((DEPLOY / "grafana" / "rsql.json").read_text(encoding="utf-8"))


def status_by_request(cluster):
    """What the ledger says of each request: the status of its last attempt."""
    for gateway in cluster.gateways:
        gateway.wait({"ok"})  # has delivered what a database that was slow for a while did not take
    engine = sa.create_engine(cluster.ledger.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT request_id, status FROM entries ORDER BY attempt").all()
    engine.dispose()
    return {row.request_id: row.status for row in rows}


def asked_while(cluster, *steps):
    """A class goes on asking while each step is taken; gives the load."""
    load = Load(cluster.url, CLASS)

    async def phase():
        begun = len(load.questions)
        await asyncio.sleep(SECONDS)
        while not cluster.running <= {question.instance for question in load.questions[begun:]}:
            await asyncio.sleep(0.05)

    async def go():
        async with load.going_on():
            for step in steps:
                await phase()
                await asyncio.to_thread(step)
            await phase()

    start = time.monotonic()
    asyncio.run(go())
    seconds = time.monotonic() - start
    print(f"\n{dict(load.outcomes())} in {seconds:.0f} s")
    return load


def test_one_of_three_is_killed(cluster):
    first = cluster.gateways[0]
    load = asked_while(cluster, first.kill, first.start)
    assert load.by("failed") == []
    assert {question.instance for question in load.by("cut")} <= {"gateway-1"}
    assert {question.instance for question in load.by("ok")} == {"gateway-1", "gateway-2", "gateway-3"}
    known = status_by_request(cluster)
    assert [question for question in load.by("ok") if known.get(question.request_id) != 200] == []
    # 200 is of an answer that had ended and was settled, and whose last bytes the dead gateway did not send.
    told = {question.request_id: known.get(question.request_id) for question in load.by("cut")}
    assert set(told.values()) <= {0, 200}, told


@pytest.mark.sweep  # which make ha runs
def test_a_rolling_restart_fails_nobody(cluster):
    load = asked_while(cluster, *[step for gateway in cluster.gateways for step in (gateway.end, gateway.start)])
    assert load.outcomes().keys() == {"ok"}, load.reasons()
    known = status_by_request(cluster)
    assert [question for question in load.questions if known.get(question.request_id) != 200] == []


def test_a_limit_holds_while_one_is_killed(cluster):
    load = Load(cluster.url, ("ada",))
    second = cluster.gateways[1]

    async def go():
        asking = asyncio.create_task(load.burst(LIMIT // 2))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(second.kill)
        await asking
        await load.burst(LIMIT * 2)

    asyncio.run(go())
    second.start()
    print(f"\n{dict(load.outcomes())}")
    assert load.by("failed") == []
    # What the dead gateway had begun counts, though another one answered it: its provider may have been asked.
    assert LIMIT // 2 <= len(load.by("ok")) <= LIMIT
    assert load.outcomes()["ok"] + load.outcomes()["cut"] <= LIMIT


@pytest.mark.sweep  # which make ha runs
def test_a_key_dies_and_whoever_is_on_call_is_told(cluster, simulated, tmp_path):
    """All of it with the configurations of deploy/: every query of the board is answered, and the alert arrives."""
    with watch(tmp_path, cluster) as seen:
        until(lambda: len(seen.ask('up{job="rsql"} == 1')) == 3, "Prometheus sees three gateways")
        up = 'haproxy_server_status{proxy="gateways", state="UP"} == 1'
        until(lambda: len(seen.ask(up)) == 3, "and HAProxy, which sees them, too")
        asyncio.run(Load(cluster.url, ("ada",)).burst(LIMIT + 10))  # some are refused
        load = Load(cluster.url, CLASS)
        simulated.always["k2"] = Fault("status", 401, {"error": {"message": "no such key", "code": "invalid_api_key"}})

        async def go():
            async with load.going_on():
                await asyncio.to_thread(until, lambda: "RsqlKeyLost" in seen.alerts(), "Alertmanager has the alert")
                await asyncio.to_thread(until, lambda: unanswered(seen) == [], "the board's queries have answers")

        try:
            asyncio.run(go())
        finally:
            del simulated.always["k2"]
        until(lambda: seen.told, "the message to whoever is on call")
        for gateway in cluster.gateways:  # the provider takes the key again
            checked = httpx.post(
                f"http://127.0.0.1:{gateway.port}/rsql/admin/health-check", headers={"Authorization": f"token {ADMIN}"}
            )
            assert all(one["ok"] for one in checked.json()["keys"])
        until(lambda: not seen.ask('ALERTS{alertname="RsqlKeyLost"}'), "the end of the alert")
        (key,) = {one["labels"]["key"] for one in seen.told if one["labels"]["alertname"] == "RsqlKeyLost"}

    assert key == "two"
    assert load.outcomes().keys() == {"ok"}, load.reasons()  # another key answered what this one was asked


def unanswered(seen):
    """Queries of the board without an answer, within seconds rather than minutes."""
    targets = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    queries = [re.sub(r"\[\w+\]", "[30s]", re.sub(r"\$(model|tenant|task)", ".*", one)) for one in targets]
    return [query for query in queries if not seen.ask(query)]


def test_redis_moves_to_its_replica(cluster, redis):
    master, _ = redis
    load = asked_while(cluster, master.process.kill)
    assert load.outcomes().keys() == {"ok"}, load.reasons()
    for gateway in cluster.gateways:
        gateway.wait({"ok"})  # well again, without a restart
