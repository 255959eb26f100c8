"""Windows against a brute-force provider in virtual time: never a refusal, and all of the quota used."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from window_world import KINDS, OtherClock, Stalling, World, allowance, finish

from jupyter_server_ext.keys import Cost, MemoryWindows
from jupyter_server_ext.keys.windows.usage import (
    Grant,
    Observation,
    Offer,
    Refused,
    RemainingLowerBound,
    WindowEntry,
    WindowSpec,
)
from jupyter_server_ext.keys.windows.window import TimeWindow

pytestmark = pytest.mark.usefixtures("simulation")


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "no headers"])
@pytest.mark.parametrize("kind", KINDS)
def test_ten_minutes_of_endless_demand(kind, headers):
    world = World(kind, {"rpm": 30}, headers=headers).run(600.0)

    assert world.account.refused == 0
    # Without headers nothing tells that a bucket refills: of its 11 x 30 the first fill is lost.
    assert world.used_of(600.0) >= (10 / 11 if kind == "bucket" and not headers else 0.99)


@pytest.mark.parametrize("length", [(0.0, 0.0), (1.0, 3.0)], ids=["at once", "streams"])
@pytest.mark.parametrize("charge", ["admission", "end"])
@pytest.mark.parametrize("kind", KINDS)
def test_tokens_however_they_are_counted(kind, charge, length):
    world = World(kind, {"tpm": 2000}, charge=charge, length=length).run(600.0)

    assert world.account.refused == 0
    # 2,000 tokens hold 48 requests of 41, which is 0.984 of the fraction.
    assert world.used_of(600.0) >= (0.99 if kind == "bucket" else 0.98)


@pytest.mark.parametrize("kind", KINDS)
def test_a_provider_that_counts_what_was_asked_for(kind):
    world = World(kind, {"tpm": 2000}, charge="asked", asked=100, length=(0.0, 2.0)).run(600.0)

    assert world.account.refused == 0
    assert world.account.accepted >= 0.95 * allowance(world.account.limits["tpm"], 600.0) / (25 + 100)


@pytest.mark.parametrize("kind", KINDS)
def test_the_slowest_network_that_is_allowed_for(kind):
    world = World(kind, {"rpm": 30}, travel=(0.2, 0.2), latency=(5.0, 10.0), headers=False).run(600.0)

    assert world.account.refused == 0
    assert world.used_of(600.0) >= (0.9 if kind == "bucket" else 0.97)


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "no headers"])
@pytest.mark.parametrize("kind", KINDS)
def test_requests_that_travel_for_too_long_cost_little(kind, headers):
    """A machine that stalls for half a second now and then: a few refusals, and no window is lost for them."""
    world = World(kind, {"rpm": 30}, headers=headers, slow=0.02, slow_travel=1.0).run(600.0)

    assert world.account.refused <= 6
    assert world.used_of(600.0) >= (0.9 if kind == "bucket" and not headers else 0.97)


@pytest.mark.parametrize("headers", [True, False], ids=["headers", "no headers"])
@pytest.mark.parametrize("kind", KINDS)
def test_windows_of_a_second_on_a_machine_that_stalls(kind, headers):
    """A margin of 40 ms, and stalls of five times that: an answer that is late is waited for."""
    for seed in range(3):
        world = Stalling(kind, {"rpm": 30}, minute=1.0, jitter=0.005, headers=headers, seed=seed)
        world.travel, world.latency = (0.0, 0.002), (0.001, 0.004)
        world.run(10.0)

        assert world.account.refused == 0
        assert world.used_of(10.0) >= (0.9 if kind == "bucket" and not headers else 0.98)


@pytest.mark.parametrize("pace", [0.99, 1.01], ids=["slow", "fast"])
@pytest.mark.parametrize("headers", [True, False], ids=["headers", "no headers"])
@pytest.mark.parametrize("amounts", [{"rpm": 30}, {"tpm": 2000}], ids=["requests", "tokens"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_providers_clock_may_stand_elsewhere_and_run_at_another_pace(kind, amounts, headers, pace):
    """Up to 1 % slow; faster than ours does no harm."""
    world = OtherClock(kind, amounts, headers=headers, pace=pace).run(590.0)

    assert world.account.refused == 0
    assert world.used_of(590.0) >= (0.89 if kind == "bucket" and not headers else 0.98)


@settings(max_examples=80)
@given(
    kind=st.sampled_from(KINDS),
    rpm=st.integers(1, 40) | st.none(),
    tpm=st.integers(60, 3000) | st.none(),
    charge=st.sampled_from(["admission", "end", "asked"]),
    headers=st.booleans(),
    travel=st.floats(0.0, 0.25),
    latency=st.floats(0.0, 20.0),
    length=st.floats(0.0, 30.0),
    completion=st.integers(1, 30),
    rate=st.sampled_from([0.05, 0.5, 2.0, math.inf]),
    pauses=st.lists(st.tuples(st.floats(0, 200), st.floats(1, 90)), max_size=3),
    seed=st.integers(0, 10_000),
)
def test_never_a_refusal(  # noqa: PLR0917
    kind, rpm, tpm, charge, headers, travel, latency, length, completion, rate, pauses, seed
):
    amounts = {name: amount for name, amount in (("rpm", rpm), ("tpm", tpm)) if amount is not None}
    world = World(
        kind,
        amounts or {"rpm": 10},
        charge=charge,
        asked=(completion + 5) * 2 if charge == "asked" else 0,
        headers=headers or charge == "asked",  # or nothing tells that it gives nothing back
        travel=(0.0, travel),
        latency=(0.0, latency),
        length=(0.0, length),
        completion=(completion, completion + 5),
        rate=rate,
        pauses=[(start, start + long) for start, long in pauses],
        seed=seed,
    )

    world.run(240.0)

    assert world.account.refused == 0


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    rpm=st.integers(1, 40),
    tpm=st.integers(60, 3000) | st.none(),
    late=st.booleans(),
    headers=st.booleans(),
    travel=st.floats(0.0, 0.25),
    latency=st.floats(0.0, 40.0),
    length=st.floats(0.0, 10.0),
    rate=st.sampled_from([0.5, 2.0, math.inf]),
    seed=st.integers(0, 10_000),
)
def test_never_a_refusal_where_it_is_configured_how_a_provider_counts(  # noqa: PLR0917
    kind, rpm, tpm, late, headers, travel, latency, length, rate, seed
):
    """A bucket is used as such, and a request counts at its arrival or at any moment until it ends."""
    world = World(
        kind,
        {"rpm": rpm} | ({"tpm": tpm} if tpm else {}),
        late=late,
        bucket=kind == "bucket",
        counts="end" if late else "arrival",
        headers=headers,
        travel=(0.0, travel),
        latency=(0.0, latency),
        length=(0.0, length),
        completion=(1, 30),
        rate=rate,
        seed=seed,
    ).run(240.0)

    assert world.account.refused == 0


@pytest.mark.parametrize("late", [False, True], ids=["at arrival", "at the end"])
def test_a_bucket_that_no_header_tells_of_is_used_as_it_refills(late):
    world = World("bucket", {"rpm": 30}, headers=False, bucket=True, late=late, counts="end" if late else "")
    world.latency = (2.0, 15.0)
    world.run(600.0)

    assert world.account.refused == 0
    assert world.used_of(600.0) >= (0.96 if late else 0.98), "it may refill 1 % slower; what is under way counts"


@given(
    requests=st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 10.0)), min_size=1, max_size=8),
    limit=st.integers(8, 12),
    rate=st.floats(0.05, 3.0),
    after=st.floats(0.0, 20.0),
)
def test_the_floor_of_a_bucket_is_the_least_that_it_can_have(requests, limit, rate, after):
    """Over all moments at which each request may have been counted: its first, its last, and now for what is open."""
    now = 20.0 + after
    floor = RemainingLowerBound(limit, rate, full=True)
    spans = sorted((sent, sent + long) for sent, long in requests)
    entries = [WindowEntry(1, 0, 0, sent, 0) for sent, _ in spans]
    for entry in entries:
        floor.reserve(entry)
    for (_, end), entry in sorted(zip(spans, entries, strict=True), key=lambda pair: pair[0][1]):
        if end <= now:
            floor.count(entry, end)

    least = min(
        level_of_bucket(limit, rate, moments, now, [1] * len(spans))
        for moments in itertools.product(*((sent, min(end, now)) for sent, end in spans))
    )
    assert floor.left(now) == pytest.approx(least)


@settings(max_examples=300)
@given(
    requests=st.lists(
        st.tuples(
            st.floats(0.0, 30.0), st.floats(0.0, 3.0), st.floats(0.0, 30.0), st.integers(2, 9), st.integers(1, 12)
        ),
        min_size=1,
        max_size=7,
    ),
    limit=st.integers(20, 60),
    rate=st.floats(0.05, 5.0),
)
def test_what_was_reserved_in_vain_is_given_back_only_where_the_bucket_had_room_for_it(requests, limit, rate):
    """Reserved when taken, counted by a moment, known at the end: a bucket that was full meanwhile gained nothing."""
    floor = RemainingLowerBound(limit, rate, full=True)
    events: list[Any] = []
    for number, (sent, travel, length, reserved, took) in enumerate(requests):
        entry = WindowEntry(reserved, 0, 0, sent, 0)
        entry.counted = sent + travel
        events.append((sent, number, floor.reserve, entry))
        events.append((sent + travel, number, floor.count, entry, sent + travel))
        over = sent + travel + length
        events.append((over, number, floor.change, entry, took - reserved, over))
    for _, _, what, *about in sorted(events, key=lambda event: event[:2]):
        what(*about)
    now = max(event[0] for event in events) + 0.5

    spans = [{sent, sent + travel} for sent, travel, *_ in requests]
    took = [request[-1] for request in requests]
    least = min(level_of_bucket(limit, rate, moments, now, took) for moments in itertools.product(*spans))
    assert floor.left(now) <= least + 1e-9


def level_of_bucket(limit: int, rate: float, moments: Any, now: float, amounts: Any) -> float:
    level, before = float(limit), 0.0
    for moment, amount in sorted(zip(moments, amounts, strict=True)):
        level, before = min(limit, level + rate * (moment - before)) - amount, moment
    return min(limit, level + rate * (now - before))


def window(amount: int = 3, unit: str = "requests", **options: Any) -> TimeWindow:
    return TimeWindow(WindowSpec("w", unit, amount, 60.0, **options), jitter=0.25)


def test_a_request_is_held_until_a_window_after_it_was_surely_counted():
    one = window(1)
    entry = one.reserve(Cost(), 0.0)
    one.sent(entry, 1.0)  # a connection had to be made first

    assert one.room(62.84) == 0, "five times the margin, as answers may be prompt here"
    assert one.room(62.86) == 1, "and a hundredth of the window, as the provider's clock may be slow"

    soon = window(1)
    entry = soon.reserve(Cost(), 0.0)
    soon.sent(entry, 0.0)
    soon.counted(entry, 0.1)

    assert soon.room(60.69) == 0
    assert soon.room(60.71) == 1


def test_an_answer_is_not_waited_for_where_answers_take_long():
    slow = window(300)
    for second in range(100):
        entry = slow.reserve(Cost(), float(second))
        slow.sent(entry, float(second))
        slow.counted(entry, second + 5.0)
    last = slow.reserve(Cost(), 200.0)
    slow.sent(last, 200.0)

    assert slow.room(260.84) == 299
    assert slow.room(260.86) == 300


def test_a_refusal_that_late_travellers_explain_widens_the_margin_and_costs_no_window():
    late = refused_for_answers_that_came_late(prompt=0.6)

    assert (late.limit, late.report(62.0).others, late.report(62.0).counts) == (3, 0, "")
    again = late.reserve(Cost(), 70.0)
    late.sent(again, 70.0)
    assert late.room(122.6 + 1e-6) == 2, "the refused one has gone"
    assert late.room(133.05) == 2
    assert late.room(133.15) == 3, "five times half a second rather than a quarter"


def test_where_answers_take_long_such_a_refusal_has_requests_count_at_their_ends_for_a_while():
    late = refused_for_answers_that_came_late(prompt=0.0)

    assert (late.limit, late.report(62.0).others, late.report(62.0).counts) == (3, 0, "end")
    again = late.reserve(Cost(), 70.0)
    late.sent(again, 70.0)
    late.counted(again, 75.0)
    late.settle(again, Cost(), 90.0)
    assert (late.room(150.55), late.room(150.65)) == (2, 3)
    assert late.report(700.0).counts == "", "and then it is tried again"


def refused_for_answers_that_came_late(prompt: float) -> TimeWindow:
    """Three that were answered after 2 s, and one refused as soon as they were thought to have gone."""
    late = window(3)
    late._margin._prompt = prompt  # share of answers that come at once
    for second in (0.0, 0.01, 0.02):
        entry = late.reserve(Cost(), second)
        late.sent(entry, second)
        late._advance(50.0)
        late.counted(entry, 2.0)
        late.settle(entry, Cost(), 2.0)
    late._margin._prompt = prompt
    refused = late.reserve(Cost(), 61.9)
    late.sent(refused, 61.9)
    late.counted(refused, 62.0)
    late.observe(refused, Observation("w", 3, 0, 1.0), 62.0)
    late.settle(refused, Cost(), 62.0)
    late.on_refusal(refused, 62.0)
    return late


@pytest.mark.parametrize("ahead", [-10.0, 10.0])
def test_a_day_ends_by_the_clock_of_the_provider(ahead):
    """Requests from noon to the next evening: none counts for a day of the provider's that has no room."""
    day = 86_400.0
    one = TimeWindow(WindowSpec("w", "requests", 5, day), 0.25, lambda now: (now // day + 1) * day)
    counted: dict[float, int] = {}
    for now in range(43_200, 172_000):
        if abs(now % day - day / 2) < 3 or now % day > day - 30 or now % day < 30:
            while one.room(float(now)):
                entry = one.reserve(Cost(), float(now))
                one.sent(entry, float(now))
                one.counted(entry, now + 0.1)
                theirs = (now + ahead) // day
                counted[theirs] = counted.get(theirs, 0) + 1

    assert counted == {0.0: 5, 1.0: 5}


def test_what_was_never_sent_takes_nothing():
    one = window(1)
    one.cancel(one.reserve(Cost(), 0.0))

    assert one.room(0.0) == 1


def test_tokens_are_corrected_where_they_were_taken():
    tokens = window(100, "tokens")
    tokens.charging.kind = "admission"
    entry = tokens.reserve(Cost(20, 60), 0.0)
    tokens.sent(entry, 0.0)
    tokens.settle(entry, Cost(20, 10), 5.0)

    assert tokens.used == 30
    assert tokens.room(61.84) == 70
    assert tokens.room(61.86) == 100


def test_tokens_above_the_reservation_are_taken_too():
    tokens = window(100, "tokens")
    entry = tokens.reserve(Cost(20, 10), 0.0)
    tokens.settle(entry, Cost(20, 60), 5.0)

    assert tokens.room(6.0) == 20


def test_others_using_the_same_quota_are_noticed_and_forgotten():
    shared = window(30)
    entry = shared.reserve(Cost(), 0.0)
    shared.counted(entry, 0.1)
    shared.observe(entry, Observation("w", 30, 9, 60.0), 0.1)

    assert (shared.used, shared.report(0.1).others) == (21, 20)
    assert shared.room(1.0) == 9
    assert (shared.room(61.0), shared.report(61.0).others) == (30, 0)


def test_a_lower_limit_in_the_headers_is_believed_and_a_higher_one_is_not():
    configured = window(30)
    entry = configured.reserve(Cost(), 0.0)
    configured.counted(entry, 0.1)
    configured.observe(entry, Observation("w", 10, 9, 60.0), 0.1)
    assert configured.limit == 10

    configured.observe(entry, Observation("w", 100, 99, 60.0), 0.1)
    assert configured.limit == 30


def test_an_assumed_limit_gives_way_to_what_headers_say():
    preset = window(30, assumed=True)
    entry = preset.reserve(Cost(), 0.0)
    preset.counted(entry, 0.1)
    preset.observe(entry, Observation("w", 1000, 999, 0.06), 0.1)

    assert preset.limit == 1000


def test_a_refusal_against_our_count_lowers_the_limit_until_it_is_disproved():
    wrong = window(30)
    entries = [wrong.reserve(Cost(), 0.0) for _ in range(21)]
    wrong.on_refusal(entries[-1], 1.0)
    assert wrong.limit == 20

    assert wrong.room(60.9) == 0
    wrong.room(61.0)
    assert wrong.limit == 25  # tried a little higher after a window
    wrong.room(200.0)
    assert wrong.limit > 25
    for second in range(200, 2000, 10):
        wrong.room(float(second))
    assert wrong.limit == 30


def test_a_second_refusal_is_remembered_for_longer():
    wrong = window(30)
    for now, again in ((0.0, 60.0), (100.0, 220.0), (300.0, 540.0)):
        entries = [wrong.reserve(Cost(), now) for _ in range(21)]
        wrong.on_refusal(entries[-1], now)
        lowered = wrong.limit
        wrong.room(again - 0.1)
        assert wrong.limit == lowered
        wrong.room(again)
        assert wrong.limit > lowered
        for entry in entries:
            wrong.counted(entry, now)


def test_a_calendar_day_ends_at_the_providers_midnight():
    midnight = 1_800_000_000.0 - 1_800_000_000.0 % 86_400  # UTC
    wall = midnight - 3600  # Unix time at our zero
    windows = MemoryWindows(0.25, clock=lambda: 0.0, wall=lambda: wall)
    spec = WindowSpec("day", "requests", 1, 86_400.0, zone="UTC")
    offer = Offer("k", (spec,))

    grant = finish(windows.take([offer], Cost(), 10.0))
    windows.counted(grant, 10.1)

    refused = finish(windows.take([offer], Cost(), 20.0))
    assert refused.wait == pytest.approx(3600 - 20 + 15.0)  # and a quarter of a minute, as clocks differ
    assert isinstance(finish(windows.take([offer], Cost(), 3616.0)), Grant)
    assert isinstance(finish(windows.take([offer], Cost(), 3700.0)), Refused)


@pytest.mark.parametrize("step", [-45.0, -7200.0, 120.0, 1800.0])
def test_a_calendar_day_follows_a_clock_that_is_set(step):
    """What was reckoned before does not hold: the day ends at the midnight of the clock as it is now."""
    midnight = 1_800_000_000.0 - 1_800_000_000.0 % 86_400
    now, wrong = 0.0, 0.0
    windows = MemoryWindows(0.25, clock=lambda: now, wall=lambda: midnight - 3600.0 + now + wrong)
    offer = Offer("k", (WindowSpec("day", "requests", 1, 86_400.0, zone="UTC"),))
    windows.counted(finish(windows.take([offer], Cost(), now)), now)

    now, wrong = 1000.0, step
    end = 3600.0 - step + 15.0
    assert isinstance(finish(windows.take([offer], Cost(), now)), Refused)
    now = end - 0.1
    assert isinstance(finish(windows.take([offer], Cost(), now)), Refused)
    now = end + 0.1
    assert isinstance(finish(windows.take([offer], Cost(), now)), Grant)


def test_a_window_of_a_minute_never_looks_at_a_clock_that_is_set():
    windows = MemoryWindows(0.25, clock=lambda: 0.0, wall=lambda: pytest.fail("it was looked at"))
    offer = Offer("k", (WindowSpec("minute", "requests", 1, 60.0),))
    windows.counted(finish(windows.take([offer], Cost(), 0.0)), 0.1)

    assert finish(windows.take([offer], Cost(), 10.0)).wait == pytest.approx(50.7)


def test_all_windows_or_none():
    windows = MemoryWindows(0.25)
    few = WindowSpec("few", "requests", 1, 60.0)
    tokens = WindowSpec("tokens", "tokens", 100, 60.0)
    offer = Offer("k", (tokens, few))

    assert isinstance(finish(windows.take([offer], Cost(10, 10), 0.0)), Grant)
    assert isinstance(finish(windows.take([offer], Cost(10, 10), 0.0)), Refused)
    assert windows.report([tokens], 0.0)["tokens"].used == 20


def test_the_key_with_most_headroom_in_its_tightest_window_is_taken():
    windows = MemoryWindows(0.25)

    def key(name: str, requests: int, tokens: int) -> Offer:
        return Offer(
            name,
            (WindowSpec(f"{name}r", "requests", requests, 60.0), WindowSpec(f"{name}t", "tokens", tokens, 60.0)),
        )

    offers = [key("few requests", 2, 100_000), key("balanced", 10, 10_000), key("few tokens", 1000, 200)]
    assert finish(windows.take(offers, Cost(50, 50), 0.0)).key == "balanced"


def test_a_request_larger_than_any_limit_waits_for_ever():
    windows = MemoryWindows(0.25)
    offer = Offer("k", (WindowSpec("t", "tokens", 100, 60.0),))

    assert math.isinf(finish(windows.take([offer], Cost(90, 20, asked=20), 0.0)).wait)
    assert math.isinf(finish(windows.take([offer], Cost(110, 20), 0.0)).wait)


def test_an_answer_of_unknown_length_is_expected_to_fit_the_limit():
    windows = MemoryWindows(0.25)
    offer = Offer("k", (WindowSpec("t", "tokens", 100, 60.0),))

    assert isinstance(finish(windows.take([offer], Cost(90, 1024), 0.0)), Grant)
    assert windows.report(offer.windows, 0.0)["t"].used == 100


def test_places_come_back_when_requests_end():
    windows = MemoryWindows(0.25)
    offer = Offer("k", (WindowSpec("c", "concurrent", 2),))
    first, _ = (finish(windows.take([offer], Cost(), 0.0)) for _ in range(2))

    assert isinstance(finish(windows.take([offer], Cost(), 1.0)), Refused)
    windows.settle(first, Cost(known=True), 2.0)
    windows.settle(first, Cost(known=True), 2.0)
    assert windows.report(offer.windows, 2.0)["c"].used == 1


def test_a_place_is_kept_until_the_provider_has_noticed_that_its_connection_was_closed():
    windows = MemoryWindows(0.25)
    offer = Offer("k", (WindowSpec("c", "concurrent", 1),))
    grant = finish(windows.take([offer], Cost(), 0.0))
    windows.settle(grant, Cost(100, 20), 2.0)
    windows.settle(grant, Cost(100, 20), 2.0)

    refused = finish(windows.take([offer], Cost(), 2.1))
    assert isinstance(refused, Refused)
    assert refused.wait <= 0.15
    assert isinstance(finish(windows.take([offer], Cost(), 2.25)), Grant)


def test_a_limit_without_headers_is_taken_for_a_bucket_beside_one_until_that_fails():
    windows = MemoryWindows(0.25)
    offer = Offer("k", (WindowSpec("r", "requests", 60, 60.0), WindowSpec("t", "tokens", 6000, 60.0)))
    grants = [finish(windows.take([offer], Cost(100), 0.0)) for _ in range(60)]
    for n, grant in enumerate(grants, 1):
        windows.counted(grant, 0.01)
        windows.observe(grant, [Observation("t", 6000, 6000 - 100 * n, float(n))], 0.01)

    assert isinstance(finish(windows.take([offer], Cost(50), 0.5)), Refused)
    grant = finish(windows.take([offer], Cost(50), 1.1))  # one request a second comes back
    assert isinstance(grant, Grant)
    windows.on_refusal(grant, "r", 1.2)
    assert isinstance(finish(windows.take([offer], Cost(50), 10.0)), Refused)


def test_what_was_used_before_a_restart_counts():
    windows = MemoryWindows(0.25)
    spec = WindowSpec("r", "requests", 3, 60.0)
    for at in (-70.0, -50.0, -10.0):
        windows.restore(spec, 1, at, 0.0)

    assert windows.report([spec], 0.0)["r"].used == 2
    assert windows.report([spec], 12.0)["r"].used == 1


def test_a_projection_predicts_what_happens():
    world = World("rolling", {"rpm": 5}, headers=False, travel=(0.1, 0.1), latency=(0.1, 0.1))
    spec = world.offer.windows[0]
    for second in (0.0, 10.0, 20.0, 30.0, 40.0):
        grant = finish(world.windows.take([world.offer], Cost(), second))
        world.windows.sent(grant, second)

    projection, starts = world.windows.window(spec).project(50.0), [0.0]
    for _ in range(7):
        starts.append(projection.opens(1, starts[-1]))
        projection.take(1, starts[-1])

    assert starts[1:] == pytest.approx([13.1, 23.1, 33.1, 43.1, 53.1, 73.7, 83.7])
    assert world.windows.report([spec], 50.0)["rpm"].wait == pytest.approx(13.1)
