"""Budgets hold under concurrency, in every calendar, and say when they are full again."""

from __future__ import annotations

import json
import random
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import datetime
from zoneinfo import ZoneInfo

import httpx
import pytest
from gateway_runs import Falls, running
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import run

from jupyter_server_ext.config import CallerLimits, KeySettings, Secret, Settings, TenantSettings
from jupyter_server_ext.errors import LimitExceeded
from jupyter_server_ext.handlers import Metrics
from jupyter_server_ext.handlers.overview import findings
from jupyter_server_ext.limits import Counter
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.pipeline import Accounting, Budgets, Price, Prices
from jupyter_server_ext.webhooks import EventDetector

ADA, BOB = Caller("ada", "stats101"), Caller("bob", "stats101")
DOLLAR = 1_000_000_000


async def pay(budgets, caller, cost):
    async with budgets.hold(caller, cost) as hold:
        hold.settle(cost)


def at(text, zone="UTC"):
    return lambda: datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.asyncio
async def test_a_hundred_at_once_spend_no_more_than_the_budget():
    budgets = Budgets(Settings(caller=CallerLimits(usd_per_day=1.0)), clock=at("2026-11-21T12:00"))
    async with AsyncExitStack() as open_requests:
        passed = 0
        for _ in range(100):
            try:
                (await open_requests.enter_async_context(budgets.hold(ADA, DOLLAR // 20))).settle(DOLLAR // 20)
            except LimitExceeded:
                continue
            passed += 1
    assert passed == 20
    assert budgets.spent(ADA, "day").amount == DOLLAR


@pytest.mark.asyncio
async def test_what_was_held_too_much_is_given_back():
    budgets = Budgets(Settings(caller=CallerLimits(usd_per_day=1.0)), clock=at("2026-11-21T12:00"))
    async with budgets.hold(ADA, DOLLAR) as hold:
        assert budgets.spent(ADA, "day").remaining == 0
        hold.settle(1)
    with pytest.raises(ZeroDivisionError):
        async with budgets.hold(ADA, DOLLAR // 2):
            1 / 0  # noqa: B018
    assert budgets.spent(ADA, "day").amount == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(8))
async def test_the_budget_of_every_group_that_asks_is_seen_and_told(seed):
    """With a table of its own or by the one of all groups, from before a restart or since."""
    draw = random.Random(seed)
    own = {f"own{n}": draw.choice([None, 2.0, 5.0]) for n in range(3)}
    of_all = draw.choice([None, 4.0])
    settings = Settings(
        tenant=CallerLimits(usd_per_day=of_all),
        tenants=tuple(TenantSettings(name, limits=CallerLimits(usd_per_day=usd)) for name, usd in own.items()),
    )
    budgets, clock = Budgets(settings, clock=at("2026-11-21T12:00")), at("2026-11-21T12:00")
    spent = dict.fromkeys([*own, *(f"hub{n}" for n in range(4))], 0)
    earlier = {name: draw.randrange(DOLLAR) for name in draw.sample([*spent], 3)}
    budgets.restore({("ada", name): {"2026-11-21": amount} for name, amount in earlier.items()})
    for name, amount in earlier.items():
        spent[name] += amount
    for _ in range(30):
        name, cost = draw.choice([*spent]), draw.randrange(DOLLAR)
        with suppress(LimitExceeded):
            await pay(budgets, Caller(draw.choice(["ada", "bob"]), name), cost)
            spent[name] += cost
    limits = {name: own.get(name) or of_all for name in spent}
    parts = {name: spent[name] / (usd * DOLLAR) for name, usd in limits.items() if usd}
    told = {whose.partition(":")[2]: part for whose, period, part in budgets.used() if period == "day"}
    assert told == {name: part for name, part in parts.items() if name in own or spent[name]}

    events = []
    EventDetector(events.append, dict, budgets.used, clock=clock).look()
    assert {event.data["tenant"] for event in events} == {name for name, part in parts.items() if part >= 0.8}
    found = {row["name"] for row in findings(budgets=budgets.used())}
    assert found == {name for name, part in parts.items() if part >= 0.8}
    metrics = Metrics(dict, budgets.used)
    gauges = metrics.text(detailed=True).decode()
    for name in told:
        assert f'rsql_budget_used_ratio{{owner="tenant:{name}",period="day"}}' in gauges


@pytest.mark.asyncio
async def test_what_is_left_with_others_is_told_of_the_nearest_only():
    tenant = TenantSettings("stats101", limits=CallerLimits(usd_per_day=4.0, usd_per_month=50.0))
    budgets = Budgets(Settings(tenants=(tenant,), everyone=CallerLimits(usd_per_day=5.0)), clock=at("2026-11-21T12:00"))
    alone = Caller("cat")  # in no group
    for caller in (ADA, BOB, alone, alone):
        await pay(budgets, caller, DOLLAR)

    def told(caller):
        return [budgets.spent_with_others(caller, period) for period in ("day", "month")]

    assert told(alone) == [(4 * DOLLAR, 5 * DOLLAR), None]
    # Everyone's is nearer for today than the group's own, of which two dollars are left.
    assert told(BOB) == [(4 * DOLLAR, 5 * DOLLAR), (2 * DOLLAR, 50 * DOLLAR)]
    assert Budgets(Settings(), clock=at("2026-11-21T12:00")).spent_with_others(ADA, "day") is None


@pytest.mark.asyncio
async def test_all_budgets_or_none_are_charged():
    tenant = TenantSettings("stats101", limits=CallerLimits(usd_per_month=0.5))
    budgets = Budgets(Settings(tenants=(tenant,)), clock=at("2026-11-21T12:00"))
    async with budgets.hold(ADA, DOLLAR // 2) as hold:
        hold.settle(DOLLAR // 2)
    with pytest.raises(LimitExceeded, match=r"Your group's budget of \$0.50 for this month") as refused:
        await pay(budgets, BOB, 1)
    assert budgets.spent(BOB, "day").amount == 0
    assert refused.value.code == "budget_exceeded"
    async with budgets.hold(Caller("eve"), DOLLAR):
        pass  # another group


@pytest.mark.parametrize(
    ("now", "zone", "hours"),
    [
        ("2026-11-21T12:00", "UTC", 12),
        ("2026-03-29T00:30", "Europe/Berlin", 22.5),  # the day the clocks go forward has 23 hours
        ("2026-10-25T00:30", "Europe/Berlin", 24.5),  # and this one 25
        ("2026-04-23T23:30", "Africa/Cairo", 0.5),  # the next day begins at one, as there is no midnight
        ("2026-04-24T01:30", "Africa/Cairo", 22.5),
        ("2026-10-29T22:30", "Africa/Cairo", 2.5),  # an hour before midnight comes twice
        ("2026-11-01T00:30", "America/Havana", 24.5),  # midnight comes twice, and the day begins with the first
    ],
)
@pytest.mark.asyncio
async def test_a_day_ends_at_midnight_where_the_gateway_is(now, zone, hours):
    budgets = Budgets(Settings(everyone=CallerLimits(usd_per_day=0.0)), clock=at(now, zone), zone=zone)
    with pytest.raises(LimitExceeded) as refused:
        await pay(budgets, ADA, 1)
    assert refused.value.retry_after == pytest.approx(hours * 3600)


@pytest.mark.asyncio
async def test_a_request_dearer_than_what_is_left_or_than_all_is_told_so():
    budgets = Budgets(Settings(caller=CallerLimits(usd_per_day=1.0)), clock=at("2026-11-21T12:00"))
    await pay(budgets, ADA, DOLLAR // 2)
    with pytest.raises(
        LimitExceeded, match=r"has \$0.50 left, and this request may cost \$0.75\..*tomorrow"
    ) as refused:
        await pay(budgets, ADA, DOLLAR * 3 // 4)
    assert refused.value.retry_after == 12 * 3600
    with pytest.raises(LimitExceeded, match=r"may cost \$2.00.*is less; ask something shorter") as never:
        await pay(budgets, ADA, DOLLAR * 2)
    assert never.value.retry_after is None
    await pay(budgets, ADA, DOLLAR // 2)
    with pytest.raises(LimitExceeded, match="used up"):
        await pay(budgets, ADA, 1)


@pytest.mark.asyncio
async def test_days_are_told_apart_by_the_zone_also_when_an_hour_comes_twice():
    now = [datetime(2026, 10, 29, 23, 30, tzinfo=ZoneInfo("Africa/Cairo")).timestamp()]
    budgets = Budgets(Settings(caller=CallerLimits(usd_per_day=1.0)), clock=lambda: now[0], zone="Africa/Cairo")
    await pay(budgets, ADA, DOLLAR)
    now[0] += 3600  # half past eleven again
    with pytest.raises(LimitExceeded):
        await pay(budgets, ADA, 1)
    now[0] += 1800
    await pay(budgets, ADA, DOLLAR)


@pytest.mark.asyncio
async def test_a_month_ends_with_its_last_day():
    budgets = Budgets(Settings(caller=CallerLimits(usd_per_month=0.0)), clock=at("2028-02-28T00:00"))
    with pytest.raises(LimitExceeded) as refused:
        await pay(budgets, ADA, 1)
    assert refused.value.retry_after == 2 * 86_400  # a leap year


@pytest.mark.asyncio
async def test_a_new_day_starts_empty_and_the_month_goes_on():
    now = [at("2026-11-21T23:59")()]
    budgets = Budgets(Settings(caller=CallerLimits(usd_per_day=1.0)), clock=lambda: now[0])
    async with budgets.hold(ADA, DOLLAR) as hold:
        now[0] += 120
        hold.settle(DOLLAR)
    assert budgets.spent(ADA, "day").amount == 0
    assert budgets.spent(ADA, "month").amount == DOLLAR


@pytest.mark.asyncio
async def test_what_the_ledger_remembers_counts():
    budgets = Budgets(Settings(caller=CallerLimits(usd_per_day=1.0)), clock=at("2026-11-21T12:00"))
    budgets.restore({("ada", "stats101"): {"2026-11-20": 5, "2026-11-21": 7}})
    assert budgets.spent(ADA, "day") == (7, DOLLAR)
    assert budgets.spent(ADA, "month").amount == 12
    async with budgets.hold(ADA, 1) as hold:
        hold.settle(1)
    assert budgets.spent(ADA, "month").amount == 13


@pytest.mark.asyncio
async def test_months_that_are_over_are_dropped():
    now = [at("2026-10-31T23:00")()]
    budgets = Budgets(Settings(), clock=lambda: now[0])
    async with budgets.hold(ADA, 5) as hold:
        hold.settle(5)
    now[0] += 7200
    async with budgets.hold(ADA, 1) as hold:
        hold.settle(1)
    assert budgets.spent(ADA, "month").amount == 1
    now[0] += 33 * 86_400
    budgets._counters._most = 0  # the next new counter has the idle ones forgotten
    budgets._counters.add(Counter("caller:bob/requests/minute", None, 60.0))
    assert [counter for counter in budgets._counters._counts if "2026-10" in counter] == []


@pytest.mark.asyncio
async def test_a_tenant_without_a_budget_of_its_own_has_that_of_tenants():
    settings = Settings(tenant=CallerLimits(usd_per_day=0.0), tenants=(TenantSettings("stats101"),))
    budgets = Budgets(settings, clock=at("2026-11-21T12:00"))
    with pytest.raises(LimitExceeded, match="group"):
        await pay(budgets, Caller("ada", "stats101"), 1)


@given(st.lists(st.tuples(st.sampled_from([ADA, BOB]), st.integers(0, 50), st.integers(0, 50)), max_size=40))
@pytest.mark.asyncio
async def test_no_budget_is_passed_when_estimates_are_not_below_the_cost(requests):
    settings = Settings(caller=CallerLimits(usd_per_day=100e-9), everyone=CallerLimits(usd_per_day=150e-9))
    budgets = Budgets(settings, clock=at("2026-11-21T12:00"))
    paid = {"ada": 0, "bob": 0}
    for caller, cost, extra in requests:
        try:
            async with budgets.hold(caller, cost + extra) as hold:
                hold.settle(cost)
        except LimitExceeded:
            continue
        paid[caller.name] += cost
    assert budgets.spent(ADA, "day").amount == paid["ada"] <= 100
    assert sum(paid.values()) <= 150


class Vectors(httpx.AsyncBaseTransport):
    """A provider that embeds, and looks at a budget meanwhile."""

    def __init__(self, budgets):
        self.budgets, self.held = budgets, []

    async def handle_async_request(self, request):
        self.held.append(self.budgets.spent(ADA, "day").amount)
        texts = json.loads(await request.aread())["input"]
        data = [{"index": n, "embedding": [0.5, 1.0]} for n, _ in enumerate(texts)]
        return httpx.Response(200, json={"data": data, "usage": {"prompt_tokens": 100, "total_tokens": 100}})


def test_vectors_are_held_and_settled_as_answers_are():
    budgets = Budgets(Settings(caller=CallerLimits(usd_per_day=0.001)), clock=at("2026-11-21T12:00"))
    accounting = Accounting(prices=Prices({"small": Price(2.0, 0.0)}), budgets=budgets)
    provider = Vectors(budgets)

    async def embed(gateway, text):
        asked = ChatRequest("small", {"model": "small", "input": [text]}, request_id="r1", embeds=True)
        async with aclosing(gateway.complete(ADA, asked)) as parts:
            return json.loads(b"".join([part async for part in parts]))

    async def live(_):
        key = KeySettings("sim", Secret("k1"), "http://provider/v1")
        async with running(key, transport=provider, accounting=accounting) as gateway:
            told = await embed(gateway, "a text of some length " * 60)
            with pytest.raises(LimitExceeded, match="budget"):
                await embed(gateway, "another " * 1000)
            return told

    told = run(live)
    assert told["rsql"]["cost_usd"] == 0.0002
    assert told["rsql"]["price"] == "known"
    assert provider.held[0] >= 1320 / 4 * 2e-6 * DOLLAR, "while it is asked the most is held"
    assert len(provider.held) == 1
    assert budgets.spent(ADA, "day").amount == 200_000


@pytest.mark.parametrize(("fallback", "most"), [((), 0.00256), (("dear",), 0.0256), (("unpriced",), None)])
def test_the_most_that_an_answer_costs_is_that_of_the_dearest_model_that_may_give_it(fallback, most):
    prices = Prices({"m": Price(1.0, 20.0), "dear": Price(10.0, 200.0)})
    body = {"messages": [{"role": "user", "content": ""}], "max_tokens": 100}
    body["messages"][0]["content"] = "x" * (560 - len(json.dumps(body, separators=(",", ":"))))
    request = ChatRequest("m", body, request_id="r1")

    async def live(_):
        key = KeySettings("sim", Secret("k1"), "http://provider/v1")
        async with running(key, accounting=Accounting(prices=prices), policy=Falls(*fallback)) as gateway:
            return gateway.most(ADA, request)

    assert run(live) == (None if most is None else round(most * DOLLAR))
