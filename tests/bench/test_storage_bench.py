"""What keeping count costs: microseconds in memory, one round trip with Redis, a thousand entries a second on disk."""

from __future__ import annotations

import asyncio
import statistics
import time
from functools import partial

import pytest
import servers
import sqlalchemy as sa

from jupyter_server_ext.app.assembly import open_ledger
from jupyter_server_ext.config import CallerLimits, Settings, TenantSettings
from jupyter_server_ext.keys import Cost, RedisWindows
from jupyter_server_ext.keys.windows.usage import Offer, WindowSpec
from jupyter_server_ext.ledger import Ledger
from jupyter_server_ext.limits import Limits, MemoryCounters, RedisCounters
from jupyter_server_ext.messages import Caller, ChatRequest, Entry, TokenUsage
from jupyter_server_ext.pipeline import Budgets
from jupyter_server_ext.redis import RedisCoordinator

pytestmark = pytest.mark.bench

MUCH = 1_000_000
LIMITS = CallerLimits(
    requests_per_minute=MUCH,
    requests_per_hour=MUCH,
    requests_per_day=MUCH,
    tokens_per_minute=MUCH**2,
    tokens_per_day=MUCH**2,
    concurrency=MUCH,
    usd_per_day=1e6,
    usd_per_month=1e6,
)
USUAL = Settings(
    caller=CallerLimits(
        requests_per_minute=MUCH, requests_per_hour=MUCH, requests_per_day=MUCH, concurrency=MUCH, usd_per_day=1e6
    )
)
SETTINGS = Settings(caller=LIMITS, tenant=LIMITS, everyone=LIMITS, tenants=(TenantSettings("stats101"),))
ADA = Caller("ada", "stats101")
REQUEST = ChatRequest("m", {"messages": [{"role": "user", "content": "What is a p-value?"}], "max_tokens": 500})
KEYS = [
    Offer(f"key-{n}", tuple(WindowSpec(f"key-{n}//{unit}/60", unit, MUCH**2, 60.0) for unit in ("requests", "tokens")))
    for n in range(20)
]


async def took(step, times=1000):
    """Milliseconds until each decision: what the step returns, or until it does."""
    measured = []
    for number in range(times + 50):
        start = time.perf_counter()
        decided = await step(number)
        end = decided if isinstance(decided, float) else time.perf_counter()
        if number >= 50:
            measured.append((end - start) * 1000)
    return statistics.median(measured), statistics.quantiles(measured, n=100)[98]


async def one_request(limits, budgets):
    async with limits.take(ADA, REQUEST) as taken, budgets.hold(ADA, 1000) as hold:
        taken.settle(TokenUsage(100, 50))
        hold.settle(900)


def test_all_limits_of_a_request_in_memory(record_property):
    async def scenario(settings):
        counters = MemoryCounters()
        limits, budgets = Limits(settings, counters=counters), Budgets(settings, clock=time.time, counters=counters)
        return await took(lambda _: one_request(limits, budgets), times=5000)

    for name, chosen in {"usual": USUAL, "all there are": SETTINGS}.items():
        median, _ = asyncio.run(scenario(chosen))
        print(f"\nmemory, limits and budgets of one request, {name}: median {median * 1000:.0f} µs")
        record_property(name, median * 1000)


def test_each_phase_is_one_round_trip_to_redis(record_property):
    async def scenario(url):
        link = RedisCoordinator(url, timeout=1.0)
        counters, windows = RedisCounters(link), RedisWindows(link)
        limits, full = Limits(USUAL, counters=counters), Limits(SETTINGS, counters=counters)
        budgets = Budgets(SETTINGS, clock=time.time, counters=counters)
        await link.start()
        nothing = await link._client.script_load("return 1")

        async def do_nothing(_):
            await link._client.evalsha(nothing, 0)
            decided = time.perf_counter()
            await asyncio.sleep(0.002)  # as between the others: it is slower from a pause than in a row
            return decided

        bare = await took(do_nothing)
        calls = []
        replies = link._replies

        async def counted(asked, seconds):
            calls.extend(call.script for call in asked)
            return await replies(asked, seconds)

        link._replies = counted

        async def admit(which, _):
            async with which.take(ADA, REQUEST) as taken:
                decided = time.perf_counter()
                taken.settle(TokenUsage(100, 50))
            await asyncio.sleep(0.002)  # nobody waits for what is told of the end
            return decided

        async def hold(_):
            async with budgets.hold(ADA, 1000) as held:
                decided = time.perf_counter()
                held.settle(900)
            await asyncio.sleep(0.002)
            return decided

        async def lease(_):
            grant = await windows.take(KEYS, Cost(100, 500), time.monotonic())
            decided = time.perf_counter()
            windows.sent(grant, time.monotonic())
            windows.counted(grant, time.monotonic())
            windows.settle(grant, Cost(100, 50), time.monotonic())
            await asyncio.sleep(0.002)
            return decided

        phases = {}
        steps = {
            "usual limits": partial(admit, limits),
            "all limits there are": partial(admit, full),
            "budgets": hold,
            "one of 20 keys": lease,
        }
        for name, step in steps.items():
            calls.clear()
            phases[name] = (*await took(step), sum(call in {"take", "lease"} for call in calls) / 1050)
        await link.close()
        return bare, phases

    with servers.redis() as server:
        bare, phases = asyncio.run(scenario(server.url))
    print(f"\nredis-py, a script that does nothing: median {bare[0]:.3f} ms, p99 {bare[1]:.3f} ms")
    for name, (median, p99, calls) in phases.items():
        ratio = median / bare[0]
        print(
            f"redis, {name}: median {median:.3f} ms ({ratio:.1f} times that), p99 {p99:.3f} ms,"
            f" {calls:g} deciding call a request"
        )
        record_property(name, median)
        assert calls == 1
    assert phases["usual limits"][0] <= 0.5
    assert phases["all limits there are"][0] <= 0.5 + bare[0]  # beside what the machine itself takes at the moment


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_more_than_a_thousand_entries_a_second_while_serving(kind, tmp_path, record_property):
    def entry(number):
        return Entry(f"r{number}", at=time.time(), caller=f"user-{number % 200}", model="m", usage=TokenUsage(100, 50))

    async def scenario(storage):
        ledger = Ledger(open_ledger(storage))
        firsts, waits, lags = [], [], []

        async def request(number):
            begun = ledger.begin(entry(number))
            await asyncio.sleep(0.05)  # a quick provider
            start = time.perf_counter()
            await begun
            told_first = time.perf_counter()
            await ledger.finish(entry(number))
            firsts.append((told_first - start) * 1000)
            waits.append((time.perf_counter() - told_first) * 1000)

        async def watch():
            while True:
                start = time.perf_counter()
                await asyncio.sleep(0.005)
                lags.append((time.perf_counter() - start - 0.005) * 1000)

        watching = asyncio.create_task(watch())
        start, under_way = time.perf_counter(), []
        for tick in range(500):  # 1,200 a second
            under_way += [asyncio.create_task(request(12 * tick + n)) for n in range(12)]
            await asyncio.sleep(max(0.0, start + tick / 100 - time.perf_counter()))
        await asyncio.gather(*under_way)
        reached = len(under_way) / (time.perf_counter() - start)
        watching.cancel()
        assert ledger.health == "ok"
        await ledger.close()
        p99 = statistics.quantiles(waits, n=100)[98]
        return reached, statistics.median(firsts), statistics.median(waits), p99, statistics.median(lags)

    def measure(url):
        from jupyter_server_ext.config import StorageSettings

        reached, first, median, p99, lag = asyncio.run(scenario(StorageSettings(ledger=url, spool=str(tmp_path))))
        print(
            f"\n{kind}: {reached:.0f} entries/s; first words wait {first:.3f} ms, ends {median:.1f} ms (medians),"
            f" {p99:.1f} ms (p99); the event loop is {lag:.2f} ms late (median)"
        )
        record_property("entries_per_second", reached)
        assert reached >= 1_000
        assert first < 0.05
        assert median <= 5

    if kind == "sqlite":
        measure(f"sqlite:///{tmp_path / 'ledger.db'}")
        return
    with servers.postgresql() as server:
        engine = sa.create_engine(server.url.replace("postgresql:", "postgresql+psycopg:") + "/postgres")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            db.execute(sa.text("CREATE DATABASE bench"))
        engine.dispose()
        measure(f"{server.url}/bench")
