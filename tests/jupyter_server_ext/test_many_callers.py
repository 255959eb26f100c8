"""What the pool promises to many callers, in virtual time: all of the quota, never a refusal, fairly.

What is possible where answers have unknown lengths: the last answer that fits a window needs room for the longest there
may be. So ``longest - E[C²] / 2 E[C]`` of each window, ``C`` being what a request takes, is lost to fixed and rolling
windows, whatever the order (renewal theory: the mean overshoot of a sum over a line is ``E[C²] / 2 E[C]``). A bucket
loses that once.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from many_callers import Clock, Town
from simulated_provider import Account

from jupyter_server_ext.messages import Used

pytestmark = pytest.mark.usefixtures("simulation", "rare_estimates")

KINDS = ["fixed", "fixed-lazy", "rolling", "bucket"]


def any_length(dice):
    return dice.randint(10, 50)


def mostly_short(dice):
    return min(2000, max(1, round(dice.lognormvariate(math.log(100), 0.8))))


def possible(limit: int, costs: list[int]) -> float:
    """Share of fixed windows that can be used by requests which cost this, when nobody knows which costs what."""
    overshoot = sum(cost * cost for cost in costs) / (2 * sum(costs))
    return 1 - (max(costs) - overshoot) / limit


def some_kinds(kind, others=("fixed", "rolling", "bucket")):
    """For slow cases: one kind of window in make test, another in each test, and all of them in make test-all."""
    return [kind, *(pytest.param(other, marks=pytest.mark.sweep) for other in others if other != kind)]


HEADERS = [pytest.param(True, marks=pytest.mark.sweep, id="headers"), pytest.param(False, id="no headers")]
"""Likewise: without headers less is known, so that is what make test tries."""


@pytest.mark.parametrize("tpm", [1230, pytest.param(6000, marks=pytest.mark.sweep)])
@pytest.mark.parametrize(
    "travel", [pytest.param(0.02, id="near"), pytest.param(0.2, marks=pytest.mark.sweep, id="200 ms")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_tokens_without_max_tokens(kind, travel, tpm):
    town = Town([Account(kind, tpm=tpm) for _ in range(2)], completion=any_length, travel=(0.0, travel))
    town.run(minutes=4, demand=1.4)

    assert town.refused == 0
    most = min(0.99, possible(tpm, [25 + length for length in range(10, 51)]))
    assert town.used() >= most - (0.0 if tpm > 1230 else 0.012), "6,000 allow 0.9923, and 1,230 allow 0.9624"
    assert town.fairness() >= 0.98


@pytest.mark.parametrize("kind", some_kinds("fixed"))
def test_tokens_of_answers_that_are_all_as_long(kind):
    town = Town([Account(kind, tpm=6000)], completion=lambda dice: 16)
    town.run(minutes=6, demand=1.4)

    assert town.refused == 0
    assert town.used() >= 0.99


@pytest.mark.parametrize("kind", some_kinds("bucket"))
def test_max_tokens_that_no_answer_needs(kind):
    """That nothing is kept of it shows before it does when the tokens count: one request after the other tells less."""
    asked = 100
    town = Town(
        [Account(kind, tpm=6000) for _ in range(2)],
        completion=any_length,
        latency=(0.05, 0.1),
        body=lambda dice: {"max_tokens": asked},
    )
    town.run(minutes=4, demand=1.5)

    assert town.refused == 0
    most = possible(6000, [25 + length for length in range(10, 51)]) - (asked - 50) / 6000
    assert town.used() >= most - 0.003, "the last one of a window needs room for what it asks for"


@pytest.mark.parametrize("keys", [1, pytest.param(3, marks=pytest.mark.sweep)])
@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("kind", some_kinds("rolling"))
def test_answers_that_take_long_and_are_mostly_short(kind, headers, keys):
    """One in two hundred is ten times as long as the others, and a quarter of the window's requests are under way."""
    town = Town(
        [Account(kind, tpm=30_000) for _ in range(keys)],
        completion=mostly_short,
        prompt=lambda dice: dice.randint(20, 400),
        length=(2.0, 15.0),
        headers=headers,
    )
    town.run(minutes=6, demand=1.6)

    assert town.refused <= 1, "no length is surely enough for such answers"
    # Without headers a bucket is used once a window, and an answer counts from its end, as it may.
    assert town.used() >= ({"bucket": 0.97} if headers else {"bucket": 0.69}).get(kind, 0.9 if headers else 0.78)


@pytest.mark.parametrize("kind", some_kinds("fixed"))
def test_answers_counted_at_their_ends(kind):
    town = Town([Account(kind, tpm=6000, charge="end") for _ in range(2)], completion=any_length, length=(1.0, 8.0))
    town.run(minutes=6, demand=1.4)

    assert town.refused == 0
    assert {window.charging.kind for window in town.keys.windows._windows.values()} <= {"end", "unknown"}
    # There is no room for what is under way, and a rolling window does not count it yet.
    assert town.used() >= (0.95 if kind == "rolling" else 0.98)


def seconds_of_a_whole_answer(dice):
    """Two and more, mostly five, one in a hundred more than half a minute: no header comes before."""
    return 2 + min(58.0, dice.lognormvariate(math.log(3), 0.9))


def believed(town: Town, what: str) -> list[Any]:
    """What the status shows of each window."""
    return [row.get(what) for key in town.keys.status()["list"] for row in key["limits"]]


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("kind", some_kinds("bucket"))
def test_requests_whose_answers_take_long(kind, headers):
    """Also of a bucket that no header tells of, where that is configured."""
    town = Town(
        [Account(kind, rpm=30) for _ in range(2)],
        latency=seconds_of_a_whole_answer,
        headers=headers,
        key_options=[{"bucket": True if kind == "bucket" and not headers else None}] * 2,
        travel=(0.0, 0.2),
    )
    town.run(minutes=8, demand=2.0)

    assert town.refused == 0
    assert town.used() >= (0.98 if kind == "bucket" else 0.99), "a bucket is taken to refill 1 % slower"
    assert "end" not in believed(town, "counts")


@pytest.mark.parametrize("kind", some_kinds("rolling"))
def test_requests_that_count_when_they_end(kind):
    """Headers tell before any window is over; what is under way may count at any moment, and finds its place kept."""
    town = Town([Account(kind, rpm=30) for _ in range(2)], latency=seconds_of_a_whole_answer, counts="end")
    town.run(minutes=8, demand=2.0)

    assert town.refused <= (2 if kind == "bucket" else 0), "of a bucket it may take a refusal to tell"
    assert believed(town, "counts") == ["end"] * 2
    assert town.used() >= (0.87 if kind == "rolling" else 0.96)


@pytest.mark.parametrize("kind", some_kinds("fixed"))
def test_requests_that_count_when_they_end_and_no_header_tells(kind):
    """A few refusals teach it, again and again but rarely; there is none where it is configured."""
    late = {"latency": seconds_of_a_whole_answer, "counts": "end", "headers": False}
    town = Town([Account(kind, rpm=30) for _ in range(2)], **late)
    town.run(minutes=8, demand=2.0)
    assert town.refused <= 2 * 4

    told = Town([Account(kind, rpm=30) for _ in range(2)], **late, key_options=[{"counts": "end"}] * 2)
    told.run(minutes=8, demand=2.0)

    assert told.refused == 0
    assert told.used() >= 0.8


@pytest.mark.parametrize(
    "pace", [pytest.param(0.99, marks=pytest.mark.sweep, id="slow"), pytest.param(1.01, id="fast")]
)
@pytest.mark.parametrize(
    "amounts",
    [pytest.param({"rpm": 30}, id="requests"), pytest.param({"tpm": 2000}, marks=pytest.mark.sweep, id="tokens")],
)
@pytest.mark.parametrize("kind", some_kinds("rolling"))
def test_a_clock_ten_seconds_ahead_and_one_percent_off_on_a_slow_network(kind, amounts, pace):
    town = Town(
        [Account(kind, **amounts) for _ in range(3)],
        completion=lambda dice: 16,
        travel=(0.0, 0.2),
        clock=Clock(ahead=10.0, pace=pace),
    )
    town.run(minutes=9.8, demand=1.6)

    assert town.refused == 0
    # 2,000 tokens hold 48 requests of 41, which is 0.984 of the fraction; a slow clock refills a bucket slowly.
    assert town.used() >= 0.97


@pytest.mark.parametrize("travel", [0.02, 0.2], ids=["near", "200 ms"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("keys", "rpm"), [(1, 30), (2, 30), (3, 5), (5, 1)])
def test_a_burst_of_seventy_five_is_over_as_soon_as_it_can_be(kind, keys, rpm, travel):
    town = Town([Account(kind, rpm=rpm) for _ in range(keys)], callers=75, travel=(0.0, travel), deadline=2000.0)
    town.burst(75)

    rounds = math.ceil(75 / (keys * rpm)) - 1
    least = 60.0 * rounds if kind != "bucket" else 60.0 / rpm * max(0, math.ceil((75 - keys * rpm) / keys))
    assert town.refused == 0
    assert all(one.answered < math.inf for one in town.asked)
    assert max(town.started) <= 1.02 * least + 0.5, "the way there and back besides"


def given_back(town: Town) -> bool:
    """Whether nobody waits, nothing is under way, and no place and no reservation is kept."""
    windows = town.keys.windows._windows.values()
    semaphores = [window for window in windows if window.spec.unit == "concurrent"]
    counts = [window for window in windows if window.spec.unit != "concurrent"]
    return (
        town.under_way == 0
        and all(semaphore.room(math.inf) == semaphore.limit for semaphore in semaphores)
        and not any(window._log.unsent or window._log.in_flight or window._log.open for window in counts)
        and all(window._log.variance.saved() == 0 for window in counts)
    )


def truly_refused(town: Town) -> bool:
    """Whether nobody was refused who still had a chance."""
    refused = [one for one in town.asked if one.refused < town.seconds - 0.01 and not one.left]
    return all(one.had_no_chance for one in refused)


@settings(max_examples=12, derandomize=True, phases=[Phase.explicit, Phase.generate])
@example(  # many foreseen to wait in vain at one moment: what each is told counts with all of them gone
    kind="fixed",
    amounts=[{"rpm": 6, "tpm": 400}, {"rpm": 10, "tpm": 400}, {"rpm": 4}],
    charge="admission",
    groups=False,
    concurrency=1,
    headers=False,
    travel=0.0,
    length=0.0,
    callers=75,
    demand=3.0,
    leaves=0.0,
    pace=0.99,
    deadline=60.0,
    seed=1,
)
@example(  # a request whose time is over, and which is not to be counted with any more
    kind="rolling",
    amounts=[{"rpm": 21}, {"rpm": 29}, {"tpd": 9562, "rpm": 11}, {"rpm": 18}],
    charge="admission",
    groups=False,
    concurrency=5,
    headers=False,
    travel=0.04366563621979537,
    length=15.118438914687072,
    callers=1,
    demand=3.0,
    leaves=0.0,
    pace=1.0,
    deadline=10.0,
    seed=36,
)
@example(  # callers who leave before an answer is there: it was written all the same
    kind="fixed",
    amounts=[{"rpm": 2}, {"rpm": 4}, {"rpm": 28, "rpd": 51, "tpd": 2000}],
    charge="admission",
    groups=False,
    concurrency=None,
    headers=False,
    travel=0.0,
    length=1.0,
    callers=1,
    demand=3.0,
    leaves=0.3,
    pace=0.99,
    deadline=10.0,
    seed=0,
)
@given(
    kind=st.sampled_from(KINDS),
    amounts=st.lists(
        st.fixed_dictionaries(
            {"rpm": st.integers(2, 40)},
            optional={"tpm": st.integers(400, 6000), "rpd": st.integers(3, 120), "tpd": st.integers(2000, 20_000)},
        ),
        min_size=1,
        max_size=4,
    ),
    charge=st.sampled_from(["admission", "end"]),
    groups=st.booleans(),
    concurrency=st.none() | st.integers(1, 5),
    headers=st.booleans(),
    travel=st.floats(0.0, 0.2),
    length=st.floats(0.0, 20.0),
    callers=st.sampled_from([1, 7, 75]),
    demand=st.sampled_from([0.5, 1.2, 3.0]),
    leaves=st.sampled_from([0.0, 0.3]),
    pace=st.sampled_from([0.99, 1.0, 1.01]),
    deadline=st.sampled_from([10.0, 60.0, 150.0]),
    seed=st.integers(0, 10_000),
)
def test_any_pool_of_keys(  # noqa: PLR0917
    kind, amounts, charge, groups, concurrency, headers, travel, length, callers, demand, leaves, pace, deadline, seed
):
    """Keys of different limits, days nearly used up, quota groups, few places, callers who leave: never a refusal."""
    accounts = [Account(kind, charge=charge, **limits) for limits in amounts]
    options = [{"concurrency": concurrency} for _ in accounts]
    if groups:  # another key of the first account
        accounts.append(accounts[0])
        options = [
            {**option, "quota_group": f"org-{id(of)}"}
            for option, of in zip([*options, options[0]], accounts, strict=True)
        ]
    town = Town(
        accounts,
        callers=callers,
        tenants=seed % 4,
        completion=lambda dice: dice.randint(5, 25),
        travel=(0.0, travel),
        length=(0.0, length),
        headers=headers,
        key_options=options,
        clock=Clock(10.0, pace),
        deadline=deadline,
        leaves=(leaves, (0.0, 30.0)),
        seed=seed,
    )

    town.run(minutes=2.5, demand=demand)

    assert town.refused == 0
    assert truly_refused(town)
    assert given_back(town)


@pytest.mark.parametrize("kind", some_kinds("rolling"))
def test_a_provider_that_allows_less_than_is_configured(kind):
    """Without headers nothing but refusals tells: a few at first, then rarely, and what there is is used."""
    accounts = [Account(kind, rpm=20) for _ in range(3)]
    town = Town(accounts, configured=[{"rpm": 30}] * 3, headers=False, completion=lambda dice: 16)
    town.run(minutes=20, demand=1.5)

    assert town.refused <= 3 * 20
    assert town.used() >= 0.88
    limits = [row for key in town.keys.status()["list"] for row in key["limits"]]
    assert all(row["configured"] == 30 and row["limit"] < 30 for row in limits), "the status shows it"

    told = Town([Account(kind, rpm=20) for _ in range(3)], configured=[{"rpm": 30}] * 3, completion=lambda dice: 16)
    told.run(minutes=10, demand=1.5)

    assert told.refused <= 3 * 10, "at most what was sent before the first answer told"
    assert told.used() >= 0.97


class Misleading(Account):
    """Headers that always say nothing was used."""

    def headers(self, now):
        told = super().headers(now)
        return told | {"x-ratelimit-remaining-requests": told["x-ratelimit-limit-requests"]}


@pytest.mark.parametrize("kind", some_kinds("bucket"))
def test_headers_of_a_limit_that_is_not_configured(kind):
    """A provider that nobody knows tells of the day, and what is configured is the minute: nothing is learnt of it."""
    accounts = [Account(kind, rpm=30, rpd=14_400, groq=True) for _ in range(3)]
    town = Town(accounts, configured=[{"rpm": 30}] * 3, completion=lambda dice: 16)
    town.run(minutes=4, demand=1.6)

    assert town.refused == 0
    assert town.used() >= (0.8 if kind == "bucket" else 0.99), "of a bucket that no header tells of, 4 of 5 parts"


@pytest.mark.parametrize("kind", ["fixed", "rolling", "bucket"])
def test_less_is_configured_than_the_provider_allows(kind):
    """What is kept back for others stays theirs, though headers say that it is left."""
    town = Town([Account(kind, rpm=30)], configured=[{"rpm": 20}], completion=lambda dice: 16)
    town.run(minutes=4.9, rate=2.0)

    assert town.admitted.total() <= 5 * 20


def test_headers_that_mislead_are_believed_no_longer():
    town = Town([Misleading("rolling", rpm=30)], completion=lambda dice: 16)
    town.run(minutes=10, demand=1.6)
    early = town.refused
    assert early <= 40, "once as much as a window again"

    longer = Town([Misleading("rolling", rpm=30)], completion=lambda dice: 16).run(minutes=30, demand=1.6)
    assert longer.refused <= 2 * 40, "and once more after ten windows, then after twenty"
    assert longer.used() >= 0.9


def test_a_round_that_takes_longer_than_anybody_waits():
    """Who was served and comes back is behind those who were not, or it would be luck who is served how often."""
    places = [{"concurrency": 1}] * 3
    town = Town([Account("rolling", rpm=300) for _ in places], callers=75, latency=(3.0, 6.0), key_options=places)
    town.run(minutes=10, rate=2 * 3 / 4.5)

    assert town.refused == 0
    assert town.fairness() >= 0.98


@pytest.mark.parametrize("kind", some_kinds("rolling", ("bucket",)))
def test_one_key_and_seventy_five_callers(kind):
    town = Town([Account(kind, rpm=30)], callers=75).run(minutes=10, demand=2.0)

    assert town.refused == 0
    assert town.used() >= 0.99
    assert town.fairness() >= 0.97, "four answers each: 0.96 where half of them get three or five"


@pytest.mark.parametrize("kind", some_kinds("rolling", ("bucket",)))
def test_who_was_failed_by_a_provider_keeps_its_turn(kind):
    """A turn that came to nothing is not lost, though twice as many wait as can be served."""
    town = Town([Account(kind, rpm=30) for _ in range(3)], callers=45, fails=0.05)
    town.run(minutes=4, demand=2.0)

    assert town.refused == 0
    assert town.failed >= 10
    assert sum(one.broken for one in town.asked) <= 0.25 * town.failed
    assert town.fairness() >= 0.98


def test_a_thousand_callers():
    town = Town([Account("rolling", rpm=400) for _ in range(3)], callers=1000, deadline=120.0)
    town.run(minutes=2, demand=1.3)

    assert town.refused == 0
    assert town.used() >= 0.99
    assert town.fairness() >= 0.955, "2.4 answers for each: two or three of them make 0.96 at best"
    assert truly_refused(town)


@pytest.mark.parametrize(
    ("kind", "amounts"),
    [
        pytest.param(kind, amounts, id=f"{kind}-{what}", marks=[pytest.mark.sweep] * (what not in tried))
        for kind, tried in (("fixed", {"tokens"}), ("rolling", {"requests"}), ("bucket", {"tokens"}))
        for what, amounts in (("requests", {"rpm": 30, "rpd": 80}), ("tokens", {"tpm": 3000}))
    ],
)
def test_a_restart_in_the_middle_of_a_minute(kind, amounts):
    """What the ledger tells is counted: the new process sends nothing that the provider has no room for."""
    accounts = [Account(kind, **amounts) for _ in range(2)]
    before = Town(accounts, completion=lambda dice: 16).run(minutes=0.6, rate=3.0)
    used = [
        Used(at - 36.0, "ada", "", f"k{number}", "m", 1, prompt, completion, 1, prompt + completion)
        for at, number, prompt, completion in before.ledger
    ]
    after = Town(accounts, completion=lambda dice: 16, clock=Clock(ahead=36.0), restored=used)
    after.run(minutes=3, rate=3.0)

    assert before.refused == after.refused == 0
    assert sum(after.admitted.values()) > 0
    assert {key.id for key in after.keys.keys} == {row.key for row in used}
    if "rpd" in amounts:
        assert after.admitted.total() == 160 - before.admitted.total(), "the rest of the day, and no more"


@pytest.mark.parametrize("kind", ["fixed", "rolling", "bucket"])
def test_a_restart_where_answers_count_at_their_end(kind):
    """They count in the minute in which they ended, long after they were asked for."""
    account = Account(kind, charge="end", tpm=6000)
    asked, ended = [2.0 * n for n in range(10)], [30.0 + n for n in range(10)]
    for at, said in sorted([(at, 0) for at in asked] + [(at, 575) for at in ended]):
        if said:
            account.ended(said, at)
        else:
            assert not account.admit(25, 575, None, at)
    used = [Used(at - 40.0, "ada", "", "k0", "m", 1, 25, 575, 1, 600) for at in ended]
    answers = {"completion": lambda dice: 575, "body": lambda dice: {"max_tokens": 575}, "headers": False}
    town = Town([account], **answers, clock=Clock(ahead=40.0), restored=used).run(minutes=3, rate=1.0)

    assert town.refused == 0
    assert town.admitted.total() >= 20, "two windows of ten"


def test_a_bucket_at_six_hundred_requests_a_second():
    town = Town([Account("bucket", minute=1.0, rpm=600)], travel=(0.0, 0.001), latency=(0.001, 0.004), jitter=0.005)
    town.run(minutes=3, demand=1.6, minute=1.0)

    assert town.refused == 0
    assert town.used() >= 0.99


def test_keys_that_allow_less_than_an_unknown_answer_may_take():
    """A first answer is expected to be long; where that is more than a key allows, it is asked for all the same."""
    town = Town([Account("rolling", tpm=300) for _ in range(2)], completion=any_length, deadline=600.0)
    town.run(minutes=8, demand=1.2)

    assert town.refused == 0
    assert town.used() >= 0.75
