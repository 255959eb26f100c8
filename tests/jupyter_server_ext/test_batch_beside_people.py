"""Batch work takes what people leave: a report or a job beside twenty users of one key of thirty requests a minute.

Users together ask for half of what the key allows. Their median wait for a key is to be within 50 ms of what it is
alone, and what they leave is to be used.
"""

from __future__ import annotations

import pytest
from greedy_town import GreedyTown, Group, percentile
from simulated_provider import Account

pytestmark = pytest.mark.usefixtures("simulation", "rare_estimates")

USERS = Group("user", callers=20, pause=(60.0, 100.0))


def town(kind="rolling", *groups, minutes=13.25, headers=False, **amounts):
    accounts = [Account(kind, **(amounts or {"rpm": 30}))]
    return GreedyTown(accounts, headers=headers).live(groups, minutes)


def median(town):
    waits = town.waits("user", since=120.0)
    assert len(waits) > 100
    return percentile(waits, 50)


@pytest.mark.parametrize("parallel", [1, 4], ids=["one notebook", "four at once"])
def test_forty_cells_are_answered_and_users_do_not_wait_for_them(parallel):
    alone = median(town("rolling", USERS))
    report = Group("report", parallel=parallel, most=40 / parallel, start=120.0, interactive=False)
    beside = town("rolling", USERS, report)

    assert beside.answers("report", 0.0, 13 * 60.0).total() == 40
    assert median(beside) <= alone + 0.05
    assert beside.refused == 0


@pytest.mark.parametrize(("kind", "headers"), [("fixed", True), ("rolling", False), ("bucket", True)])
def test_a_job_without_end_uses_what_users_leave(kind, headers):
    alone = median(town(kind, USERS, headers=headers))
    beside = town(kind, USERS, Group("job", parallel=32, interactive=False), headers=headers)

    assert median(beside) <= alone + 0.05
    assert percentile(beside.waits("user", since=120.0), 95) <= 1.0
    assert beside.sent_of_permitted() >= 0.8
    assert beside.refused == 0


def test_alone_it_uses_the_quota_but_for_a_tenth():
    alone = town("rolling", Group("job", parallel=32, interactive=False))

    assert 0.85 <= alone.sent_of_permitted() <= 0.95


def test_a_user_who_comes_after_hours_of_batch_work_is_answered_at_once():
    late = Group("user", callers=3, start=600.0, pause=(0.0, 5.0), most=1)
    beside = town("rolling", Group("job", parallel=32, interactive=False), late, minutes=14)

    assert max(beside.waits("user", since=0.0, until=700.0)) == 0.0


@pytest.mark.parametrize("amounts", [{"rpd": 100_000}, {}], ids=["a day", "none"])
def test_without_limits_that_are_over_soon_nothing_waits(amounts):
    groups = [Group("user", callers=3, pause=(1.0, 2.0)), Group("job", parallel=4, pause=(0.5, 0.5), interactive=False)]
    beside = GreedyTown([Account("rolling", **amounts)]).live(groups, 4)

    assert max(beside.waits("user", since=0.0)) == 0.0
    assert max(beside.waits("job", since=0.0)) == 0.0


def test_it_is_not_starved_by_people_who_ask_for_everything():
    greedy = Group("greedy", callers=10, parallel=6)
    job = Group("job", parallel=8, interactive=False)
    beside = town("rolling", greedy, job)

    assert beside.answers("job").total() >= 0.1 * beside.answers("greedy").total()


def test_a_request_that_is_larger_than_what_is_left_to_it_starts_all_the_same():
    large = Group("job", interactive=False, size=600, most=3)  # which 920 tokens are just enough for, by its letters
    alone = GreedyTown([Account("rolling", tpm=920)], body=lambda _: {"max_tokens": 80}).live([large], 13.25)

    assert alone.answers("job", 0.0, 13 * 60.0).total() == 3
