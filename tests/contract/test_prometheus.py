"""Rules and board for Prometheus, tried by its own programs on the figures of a real gateway."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from paid_provider import KEYS, PRICES, body, whole
from prometheus_client.parser import text_string_to_metric_families
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.app.serve import web_application
from jupyter_server_ext.config import CallerLimits, Secret, Settings, StorageSettings, TenantSettings
from jupyter_server_ext.config.settings import ApiKeySettings, CacheSettings, KeySettings, Limit
from jupyter_server_ext.handlers import Metrics
from jupyter_server_ext.messages import Entry, TokenUsage

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
BOARD = json.loads((ROOT / "deploy" / "grafana" / "rsql.json").read_text(encoding="utf-8"))


def test_the_rules_do_what_their_tests_say(programs):
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "rules.test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=RULES, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried():
    rules = yaml.safe_load((RULES / "rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    tried = yaml.safe_load((RULES / "rules.test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {one["alertname"] for test in tried for one in test["alert_rule_test"] if one.get("exp_alerts")}
    silent = {one["alertname"] for test in tried for one in test["alert_rule_test"] if not one.get("exp_alerts")}
    assert fired == silent == {rule["alert"] for rule in rules if "alert" in rule}


def provider(request):
    asked = json.loads(request.content)
    if asked["model"] == "bad":
        return httpx.Response(500, json={"error": {"message": "broken"}})
    return whole("Hello.")


@asynccontextmanager
async def gateway(tmp_path):
    """A gateway on a port, with limits, budgets and a cache; its app and the port."""
    limits = (Limit(1_000_000, "tokens", 86_400.0),)
    keys = (KeySettings("sim", KEYS[0].key, KEYS[0].base_url, name="sim-1", limits=limits),)
    people = (
        ApiKeySettings("ada", Secret("ada-token"), "stats101"),
        ApiKeySettings("prometheus", Secret("scrape-token"), scopes=("metrics",)),
    )
    settings = Settings(
        default_model="m",
        keys=keys,
        prices=PRICES,
        api_keys=people,
        cache=CacheSettings(enabled=True),
        storage=StorageSettings(ledger=f"sqlite:///{tmp_path / 'ledger.db'}", instance="one"),
        caller=CallerLimits(requests_per_minute=40),
        everyone=CallerLimits(usd_per_day=1.0),
        tenants=(TenantSettings("stats101", limits=CallerLimits(usd_per_month=2.0)),),
    )
    app = build_app(settings, [], "/rsql/", transport=httpx.MockTransport(provider))
    server = HTTPServer(web_application(app))
    sock, port = bind_unused_port()
    server.add_socket(sock)
    try:
        yield app, port
    finally:
        server.stop()
        await app.close()
        await server.close_all_connections()


@asynccontextmanager
async def prometheus(tmp_path, port):
    """Prometheus with the configuration of deploy/, which looks at the gateway every second; how to ask it."""
    config = yaml.safe_load((RULES / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "rsql.yml").write_text(json.dumps([{"targets": [f"127.0.0.1:{port}"]}]))
    config["scrape_configs"][0]["authorization"]["credentials_file"] = str(tmp_path / "token")
    (tmp_path / "token").write_text("scrape-token")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(RULES / "rules.yml", tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    command = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{own}"]
    command += [f"--storage.tsdb.path={tmp_path / 'tsdb'}", "--log.level=error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:  # noqa: ASYNC220
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{own}/api/v1/", trust_env=False) as client:

                async def ask(query):
                    reply = await client.get("query", params={"query": query})
                    assert reply.status_code == 200, f"{query}: {reply.text}"
                    return reply.json()["data"]["result"]

                yield ask, client
        finally:
            process.terminate()
            process.communicate(timeout=240)


def queries():
    """Those of the board, over all models, groups and tasks, and within seconds rather than minutes."""
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            query = re.sub(r"\$(model|tenant|task)", ".*", target["expr"])
            yield panel["title"], re.sub(r"\[\w+\]", "[30s]", query)


@pytest.mark.sweep  # three gateways are asked the same in tests/ha
@pytest.mark.slow
@pytest.mark.asyncio
async def test_every_query_of_the_board_has_an_answer(tmp_path, programs, monkeypatch):
    monkeypatch.setattr("jupyter_server_ext.keys.key._FIRST_COOL_DOWN", 0.02)
    async with gateway(tmp_path) as (app, port), prometheus(tmp_path, port) as (ask, client):
        head = {"Authorization": "Bearer ada-token"}
        url = f"http://127.0.0.1:{port}/rsql/v1/chat/completions"
        give_up = time.monotonic() + 100
        while not await ready(ask):
            assert time.monotonic() < give_up, "Prometheus does not see the gateway"
            await asyncio.sleep(0.2)
        async with httpx.AsyncClient(headers=head, trust_env=False, timeout=240) as asking:
            for number in range(45):  # more than the limit
                question = [{"role": "user", "content": f"Question {number % 30}"}]
                await asking.post(url, json=body(messages=question, model="bad" if number == 3 else "m"))
                if number % 15 == 14:
                    await asyncio.sleep(2.5)  # so that Prometheus sees counters rise
        while not (await _rising(ask)):
            assert time.monotonic() < give_up, "Prometheus sees nothing rise"
            await asyncio.sleep(0.5)
        empty = [(title, query) for title, query in queries() if not await ask(query)]
        assert empty == []
        assert await ask('up{job="rsql"} == 1')
        assert (await ask('sum(rsql_executions_total{outcome="refused"})'))[0]["value"][1] != "0"
        app.gateway.pool.keys.retire("sim-1", "credential", by_hand=False)
        while not await ask('ALERTS{alertname="RsqlKeyLost"}'):
            assert time.monotonic() < give_up, "the alert of a lost key"
            await asyncio.sleep(0.5)
        rules = (await client.get("rules")).json()["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} == {"ok"}


async def ready(ask):
    """Whether Prometheus has looked at the gateway; counters rise for it only after that."""
    try:
        return await ask('up{job="rsql"} == 1')
    except (httpx.HTTPError, AssertionError):
        return []


async def _rising(ask):
    found = await ask("sum(rate(rsql_executions_total[30s]))")
    return found and float(found[0]["value"][1]) > 0


# Labels ---------------------------------------------------------------------------------------------------------------


def series(metrics, name):
    families = text_string_to_metric_families(metrics.text(detailed=True).decode())
    return [one for family in families for one in family.samples if one.name == name]


def test_a_million_names_make_few_series():
    metrics = Metrics(dict)
    for number in range(100_000):
        known = {"model": f"m{number}", "tenant": f"t{number % 70}", "status": 404 if number % 2 else 200}
        error = "model_not_found" if number % 2 else ""
        metrics.executions.observe(Entry(f"r{number}", 0.0, f"u{number}", error=error, attempts=1, **known))
    ended = series(metrics, "rsql_executions_total")
    assert len({one.labels["model"] for one in ended}) <= 52
    assert len(ended) < 1_000
    assert sum(one.value for one in ended) == 100_000
    assert sum(one.value for one in ended if one.labels["model"] == "" and one.labels["outcome"] == "refused") > 10_000
    assert "u77" not in metrics.text(detailed=True).decode(), "no name of a caller"


def test_figures_of_500_callers_take_20_ms():
    metrics = Metrics(lambda: {"keys": {"ready": 5}, "pool": []})
    for number in range(5_000):
        known = {"model": f"m{number % 3}", "tenant": f"t{number % 10}", "task": ("ask", "sql_ai", "chat")[number % 3]}
        entry = Entry(
            f"r{number}", 0.0, f"u{number % 500}", usage=TokenUsage(10, 5), cost_nanodollars=5, attempts=1, **known
        )
        metrics.executions.observe(entry)
        metrics.under_way += 1
        metrics.ended("v1/chat/completions", 200, 0.1)
    took = []
    for _ in range(20):
        start = time.process_time()
        metrics.text(detailed=True)
        took.append((time.process_time() - start) * 1000)
    print(f"\nfigures: {sorted(took)[10]:.1f} ms")
    assert sorted(took)[10] < 20
