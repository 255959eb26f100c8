"""Batch work takes what people leave: a report or a job beside twenty users of one key of thirty requests a minute.

Users together ask for half of what the key allows. Their median wait for a key is to be within 50 ms of what it is
alone, and what they leave is to be used. The same holds for the places of keys that answer few requests at once, where
an answer to batch work takes half a minute and one to people a second or two.
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


def places(concurrencies, *groups, minutes=12.0, job=False):
    """A town whose keys limit only how many requests are under way; with a job of long answers, or without."""
    options = [{"concurrency": one} for one in concurrencies]
    lines = Group("job", parallel=sum(concurrencies) + 1, interactive=False, takes=(20.0, 40.0))
    accounts = [Account() for _ in concurrencies]
    town = GreedyTown(accounts, key_options=options, deadline=600.0 if job else 75.0)
    return town.live([*groups, lines] if job else groups, minutes)


def people(callers, pause):
    return Group("user", callers=callers, pause=pause, takes=(0.5, 2.5))


def middle_and_most(town):
    # Without the first two minutes: batch work may have all places when the first person comes.
    waits = sorted(one.waited for one in town.by_group["user"] if 120.0 <= one.at < town.seconds - 45.0)
    assert len(waits) >= 3
    return percentile(waits, 50), percentile(waits, 95)


@pytest.mark.parametrize(
    ("concurrencies", "users"),
    [
        pytest.param([2], people(1, (5.0, 60.0)), id="one person, a key of two"),
        pytest.param([2], people(1, (30.0, 240.0)), id="one person who comes now and then"),
        pytest.param([1, 2], people(2, (60.0, 100.0)), id="only one key has a place to keep"),
        pytest.param([2, 2], people(6, (20.0, 60.0)), id="six people, two keys of two"),
        pytest.param([1, 2, 3, 4, 5], people(10, (5.0, 60.0)), id="ten people, one to five places"),
    ],
)
def test_batch_work_of_long_answers_keeps_a_place_of_each_key_for_people(concurrencies, users):
    minutes = 20.0 if users.callers == 1 else 8.0
    alone, beside = (places(concurrencies, users, minutes=minutes, job=job) for job in (False, True))

    for with_batch, without in zip(middle_and_most(beside), middle_and_most(alone), strict=True):
        assert with_batch <= max(1.05 * without, without + 0.05)
    left = sum(concurrencies) - sum(one > 1 for one in concurrencies)
    assert beside.occupied["job"] >= 0.8 * left * beside.seconds


class LimitedTown(GreedyTown):
    at_once = None  # requests in flight with all keys together

    def gateway(self):
        made = super().gateway()
        self.keys.keys.limit_concurrency(self.at_once)
        return made


@pytest.mark.parametrize(("concurrencies", "at_once"), [([3], None), ([None, None], 3)], ids=["a key", "all keys"])
def test_a_place_is_kept_for_people_who_ask_for_another_model(concurrencies, at_once):
    users = Group("user", pause=(5.0, 60.0), takes=(0.5, 2.5), model="n")
    lines = Group("job", parallel=4, interactive=False, takes=(20.0, 40.0))
    options = [{"concurrency": one} for one in concurrencies]
    town = LimitedTown([Account() for _ in concurrencies], key_options=options, deadline=600.0)
    town.at_once = at_once
    town.live([users, lines], 8.0)

    assert middle_and_most(town) == (0.0, 0.0)
    assert town.occupied["job"] >= 0.8 * 2 * town.seconds


def test_batch_work_that_waits_for_another_key_does_not_block_the_place_that_is_kept():
    """One key has places, but its requests are used up; of the other key the place that is free is for people."""
    accounts = [Account("rolling", rpd=3), Account()]
    town = GreedyTown(accounts, key_options=[{}, {"concurrency": 2}], deadline=600.0)
    town.live([people(1, (5.0, 20.0)), Group("job", parallel=4, interactive=False, takes=(20.0, 40.0))], 12.0)

    assert max(one.waited for one in town.by_group["user"] if 120.0 <= one.at < 700.0) == 0.0


def test_people_who_want_the_same_place_wait_for_each_other_and_not_for_batch_work():
    beside = places([5], people(3, (1.0, 30.0)), job=True)

    assert middle_and_most(beside)[1] <= 2.5, "the longest answer of another"


@pytest.mark.parametrize("concurrencies", [[1], [2], [1, 3]], ids=str)
def test_no_place_is_kept_where_nobody_has_asked_for_long(concurrencies):
    town = places(concurrencies, Group("user", callers=2, most=1, takes=(0.5, 2.5)), minutes=60.0, job=True)

    assert town.occupied["job"] >= 0.8 * sum(concurrencies) * town.seconds


def test_people_who_take_all_places_leave_batch_work_one():
    town = places([2], Group("user", callers=5, takes=(0.5, 2.5)), minutes=5.0, job=True)

    assert town.answers("job", 0.0).total() >= 3
    assert town.occupied["job"] <= 0.5 * 2 * town.seconds, "one of two at most"


def test_the_place_that_is_kept_is_foretold_to_people():
    """Whoever asks is told no wait, also when the next turn is batch work's: the place is not batch work's to take."""
    foretold = []

    class Watched(GreedyTown):
        async def _once(self, transport, group, caller):
            if group.name == "user":
                foretold.append(self.queue.expected_wait(group.model))
            await super()._once(transport, group, caller)

    town = Watched([Account()], key_options=[{"concurrency": 3}], deadline=600.0)
    job = Group("job", parallel=4, interactive=False, takes=(20.0, 40.0))
    town.live([people(1, (5.0, 30.0)), job], 8.0)

    assert len(foretold) > 15
    assert max(foretold[3:]) <= 0.05
