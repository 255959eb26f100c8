"""Fair over time: who asks now and then is served soon beside who asks for everything, and nothing is left unused.

Five keys of thirty requests a minute; a greedy caller that always has sixty requests open, and modest ones that
pause after each answer. What is wanted from the second minute on: the modest wait 3 s at most in the middle and 10 s in
95 of 100 cases, and of what the windows permit 98 % is sent in the minutes 3 to 12.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from greedy_town import GreedyTown, Group, percentile
from many_callers import Town
from simulated_provider import Account

from jupyter_server_ext.config import PoolSettings
from jupyter_server_ext.keys import Cost, MemoryWindows, QueuedRequest
from jupyter_server_ext.keys.shares import Habits, Shares
from jupyter_server_ext.keys.windows.usage import Offer, WindowSpec
from jupyter_server_ext.messages import Caller
from rsql_magic.config import Rsql

pytestmark = pytest.mark.usefixtures("simulation")

KINDS = ["fixed", "rolling", "bucket"]
MINUTES = 13.5


def keys(kind: str, number: int = 5, **amounts: int) -> list[Account]:
    return [Account(kind, **(amounts or {"rpm": 30})) for _ in range(number)]


def greedy(**options) -> Group:
    return Group("greedy", **({"parallel": 60} | options))


def modest(callers: int = 10, pause: tuple[float, float] = (5.0, 9.0), **options) -> Group:
    return Group("modest", callers=callers, pause=pause, **options)


def is_served_soon(town: GreedyTown, group: str = "modest", since: float = 60.0) -> bool:
    waits = town.waits(group, since)
    return percentile(waits, 50) <= 3.0 and percentile(waits, 95) <= 10.0


@pytest.mark.parametrize(("kind", "headers"), [("rolling", False)])
def test_modest_callers_beside_a_greedy_one(kind, headers):
    town = GreedyTown(keys(kind), headers=headers).live([greedy(), modest()], MINUTES)

    assert town.refused == 0
    assert is_served_soon(town)
    assert min(town.answers("modest").values()) >= 68, "one in 7.5 s, and its answer takes half a second"
    assert town.answers("greedy").total() >= 700, "what is left of 1,500"
    assert town.sent_of_permitted() >= 0.98


def test_one_modest_caller_beside_a_greedy_one():
    """Each is all that the other shares with: none may be forgotten while its answers are on their way."""
    town = GreedyTown(keys("fixed")).live([greedy(), modest(1)], 9)

    assert town.refused == 0
    assert max(town.waits("modest")) <= 10.0
    assert town.sent_of_permitted(120.0, 480.0) >= 0.98


def test_what_was_kept_is_released_when_they_have_left():
    town = GreedyTown(keys("rolling")).live([greedy(), modest(stop=200.0)], 8)

    assert town.refused == 0
    assert town.sent_of_permitted(120.0, 420.0) >= 0.98
    assert town.answers("greedy", 300.0, 420.0).total() >= 0.97 * 300


@pytest.mark.parametrize("callers", [1, 125], ids=["of one", "of each its own"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_few_more_requests_than_a_minute_allows_are_all_answered(kind, callers):
    """What does not fit the first minute waits for the next, which the usual patience covers."""
    town = Town(keys(kind, 2, rpm=60), callers=callers, deadline=PoolSettings().queue_deadline_seconds).burst(125)

    assert town.refused == 0
    assert all(one.answered < math.inf for one in town.asked)


def test_the_kernel_is_more_patient_than_the_queue():
    assert Rsql().timeout > PoolSettings().queue_deadline_seconds + 10.0


CASES = {
    "one modest caller": (keys, {}, [greedy(), modest(1)], 0.98),
    "three": (keys, {}, [greedy(), modest(3)], 0.98),
    "thirty": (keys, {}, [greedy(), modest(30, (15.0, 25.0))], 0.98),
    "seventy-five": (keys, {}, [greedy(), modest(75, (50.0, 70.0))], 0.98),
    "three greedy ones": (keys, {}, [greedy(callers=3), modest()], 0.98),
    "tokens": (keys, {"tpm": 1650}, [greedy(), modest()], 0.98),
    "requests and tokens": (keys, {"rpm": 30, "tpm": 1800}, [greedy(), modest()], 0.98),
    "one key": (keys, {"number": 1, "rpm": 60}, [greedy(), modest(5, (8.0, 12.0))], 0.98),
    "two models": (keys, {}, [greedy(), modest(5), Group("other", 5, 1, (5.0, 9.0), model="n")], 0.98),
    "weights": (
        keys,
        {},
        [greedy(weight=0.5), modest(5), Group("other", 5, 1, (3.0, 5.0), weight=2.0)],
        0.98,
    ),
    "a greedy one with batch work": (keys, {}, [greedy(interactive=False), modest()], 0.85),  # which leaves a tenth
    "two requests at once": (keys, {}, [greedy(), modest(10, (12.0, 16.0), parallel=2)], 0.98),
    "three at once": (keys, {}, [greedy(), modest(6, (15.0, 25.0), together=3)], 0.98),
    "they come late": (keys, {}, [greedy(), modest(start=300.0)], 0.95),
    "they leave": (keys, {}, [greedy(), modest(stop=300.0)], 0.98),
    "nobody comes twice": (keys, {}, [greedy(), Group("modest", 6, 1, (5.0, 7.0), once=True)], 0.98),
    "nobody comes twice, with five": (
        keys,
        {},
        [greedy(), Group("modest", 4, 1, (8.0, 16.0), once=True, together=5)],
        0.98,
    ),
    "five at once, late": (keys, {}, [greedy(), modest(3, (20.0, 40.0), start=150.0, together=5)], 0.98),
}


@pytest.mark.sweep
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("headers", [True, False], ids=["headers", "no headers"])
@pytest.mark.parametrize("case", CASES)
def test_all_kinds_of_neighbours(case, headers, kind):
    made, amounts, groups, least = CASES[case]
    options = [{"bucket": True}] * amounts.get("number", 5) if kind == "bucket" and not headers else None
    town = GreedyTown(made(kind, **amounts), headers=headers, key_options=options).live(groups, MINUTES)

    assert town.refused == 0
    for group in groups:
        is_known = group.together == 1 or not group.once  # of several at once only the first occasion is not
        if group.name != "greedy" and not group.start and is_known:
            assert is_served_soon(town, group.name)
    assert town.sent_of_permitted() >= least


def of(caller: str, tenant: str = "", weight: float = 1.0) -> QueuedRequest:
    return QueuedRequest(Caller(caller, tenant=tenant), "m", Cost(), weight=weight)


def shares_of(windows: MemoryWindows, *amounts: int) -> Shares:
    ways = [(0.0, Offer(f"k{n}", (WindowSpec(f"k{n}", "requests", amount, 60.0),))) for n, amount in enumerate(amounts)]
    return Shares(windows, lambda model: ways)


def test_a_caller_alone_need_leave_nothing():
    shares = shares_of(MemoryWindows(), 30)
    for second in range(40):
        shares.asks(of("ada"), second)

    assert not shares.hold(of("ada"), 40.0)


def test_an_unlimited_key_is_not_divided():
    windows = MemoryWindows()
    shares = Shares(windows, lambda model: [(0.0, Offer("k", ()))])
    for name in ("ada", "bob"):
        shares.asks(of(name), 0.0)

    assert not shares.division("m", 0.0).is_shared(of("ada"))
    assert not shares.hold(of("ada"), 0.0)


def test_a_caller_who_waits_is_known_as_well_as_before():
    habits = Habits()
    for second in range(0, 70, 7):
        habits.ask(of("ada"), float(second))
    habits.wait("ada", 1, 63.0)
    before = habits.of(63.0)["ada"].rate(63.0)

    assert habits.of(120.0)["ada"].rate(120.0) == pytest.approx(before)
    assert before == pytest.approx(1 / 7, rel=0.2)


def test_who_asks_for_several_at_once_is_expected_again_for_a_while():
    habits = Habits()
    for _ in range(5):
        habits.ask(of("ada"), 0.0)
    habits.wait("ada", 5, 0.0)
    assert habits.of(30.0)["ada"].rate(30.0) > 0
    habits.wait("ada", -5, 30.0)
    assert habits.of(69.0)["ada"].rate(69.0) > 0, "its answers came late"
    assert not habits.of(71.0)["ada"].rate(71.0)
    habits.ask(of("ada"), 72.0)
    assert habits.of(72.0)["ada"].rate(72.0) > 0


@pytest.mark.parametrize("kind", ["rolling"])
def test_a_second_occasion_of_several_requests_is_served_soon(kind):
    """From the second on, none waits until the next window: that of the first is not known before."""
    town = GreedyTown(keys(kind)).live([greedy(), modest(6, (15.0, 25.0), together=3)], 6)
    later = [one.waited for name in {one.caller for one in town.by_group["modest"]} for one in asked_by(town, name)[3:]]

    assert town.refused == 0
    assert percentile(sorted(later), 95) <= 10.0
    assert max(later) <= 15.0
    assert town.sent_of_permitted(120.0, 300.0) >= 0.98


def asked_by(town: GreedyTown, caller: str) -> list[Any]:
    """The requests of a modest caller, but for those at the end."""
    own = sorted((one for one in town.by_group["modest"] if one.caller == caller), key=lambda one: one.at)
    return [one for one in own if one.at < town.seconds - town.deadline]


def test_who_asks_for_several_at_once_is_remembered_until_it_comes_back_and_between_its_occasions():
    habits = Habits()
    for occasion in (0.0, 30.0, 60.0):
        for _ in range(5):
            habits.ask(of("ada"), occasion)
        assert "ada" in habits.of(occasion + 29.0)

    habit = habits.of(60.0)["ada"]
    assert habit.at_once == pytest.approx(5.0)
    assert habit.rate(60.0) == pytest.approx(15 / 60, rel=0.4)


def test_who_always_asks_is_not_forgotten_while_its_answers_are_on_their_way():
    habits = Habits()
    for number in range(200):
        habits.ask(of("bob"), 0.05 * number)

    assert "bob" in habits.of(13.0)


@pytest.mark.parametrize("known", [["ada"], ["ada", "bob"]])
def test_a_share_is_the_same_before_a_caller_is_known_and_after(known):
    shares = shares_of(MemoryWindows(), 30)
    for name in known:
        shares.asks(of(name), 0.0)
    division = shares.division("m", 0.0)

    assert division.is_shared(of("bob"))
    assert division.share("bob", ("", "bob"), 1.0) == 15.0


def test_a_tenant_divides_its_share_among_those_who_ask():
    shares = shares_of(MemoryWindows(), 80)
    for caller in [of("ada", "seminar"), of("eve")] + [of(f"c{n}", "lecture", 2.0) for n in range(9)]:
        shares.asks(caller, 0.0)
    division = shares.division("m", 0.0)

    assert division.share("ada", ("seminar", ""), 1.0) == division.share("eve", ("", "eve"), 1.0) == 20.0
    assert division.share("c0", ("lecture", ""), 2.0) == pytest.approx(40 / 9)
    assert division.share("new", ("lecture", ""), 2.0) == 4.0, "with the one that asks now"
    assert division.share("new", ("other", ""), 1.0) == 16.0


def test_who_is_silent_for_four_of_its_pauses_has_left():
    habits = Habits()
    for second in range(0, 70, 7):
        habits.ask(of("ada"), float(second))

    assert "ada" in habits.of(80.0)
    assert "ada" not in habits.of(100.0)
    assert math.isfinite(Habits().usual.prompt)
