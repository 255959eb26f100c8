"""Waiting for a key: whose turn it is, who is woken when, who is refused. In virtual time."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import run

from jupyter_server_ext.config import KeySettings, Limit, PoolSettings, Secret
from jupyter_server_ext.errors import ModelNotServed, NoCapacity
from jupyter_server_ext.keys import Cost, KeyPool, KeyQueue, Lease, MemoryWindows, QueuedRequest
from jupyter_server_ext.keys.model_queue import ModelQueue
from jupyter_server_ext.keys.turns import TurnsOfTenants
from jupyter_server_ext.messages import Caller, TokenUsage

SIZES = (("large", 950), ("small", 100))
SETTINGS = PoolSettings(queue_deadline_seconds=600.0, queue_length=1000)


def queued(name: str = "ada", **options) -> QueuedRequest:
    return QueuedRequest(Caller(name, tenant=options.pop("tenant", "")), "m", options.pop("cost", Cost()), **options)


def key(n: int = 1, *, rpm: int = 30, **options) -> KeySettings:
    limits = options.pop("limits", (Limit(rpm, "requests", 60.0),))
    return KeySettings("sim", Secret(f"key-{n}"), "http://127.0.0.1/v1", limits=limits, **options)


def pool_of(loop, *keys: KeySettings, at_once: int | None = None) -> KeyPool:
    return KeyPool(keys, windows=MemoryWindows(0.25, clock=loop.time), clock=loop.time, at_once=at_once)


def names(turns: TurnsOfTenants | ModelQueue) -> list[str]:
    order = []
    while turns:
        head = turns.head()
        order.append(head.caller.name)
        turns.serve(head)
    return order


def test_callers_take_turns_however_much_they_ask():
    turns = TurnsOfTenants()
    for name in ["greedy"] * 5 + ["ada", "ada", "bob"]:
        turns.push(queued(name))

    assert names(turns) == ["greedy", "ada", "bob", "greedy", "ada", "greedy", "greedy", "greedy"]


def test_who_was_served_in_a_round_and_comes_back_waits_for_the_next():
    turns = TurnsOfTenants()
    for name in ("ada", "bob", "eve"):
        turns.push(queued(name))
    turns.serve(turns.head())
    turns.serve(turns.head())
    for name in ("bob", "ada", "new"):
        turns.push(queued(name))

    assert names(turns) == ["eve", "new", "bob", "ada"]


WEIGHTS = st.sampled_from([0.0, 0.3, 1.0, 2.5])
PLACES = st.builds(  # the tenant of each caller, and the weight of each tenant, or of each caller without one
    lambda tenants, weights: {name: {"tenant": t, "weight": weights[t or name]} for name, t in tenants.items()},
    st.fixed_dictionaries({name: st.sampled_from(["", "x", "y"]) for name in "abcde"}),
    st.fixed_dictionaries(dict.fromkeys("abcdexy", WEIGHTS)),
)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=40), st.sampled_from("abcde"), PLACES)
def test_the_number_ahead_is_the_number_served_before(events, newcomer, places):
    turns = TurnsOfTenants()
    for name, is_push in events:
        if is_push:
            turns.push(queued(name, **places[name]))
        elif turns:
            turns.serve(turns.head())
    last = queued(newcomer, **places[newcomer])
    ahead = turns.ahead_of(last)
    turns.push(last)

    assert list(turns.order()).index(last) == ahead


def test_who_comes_again_is_next():
    turns = TurnsOfTenants()
    for name in ("ada", "bob", "eve"):
        turns.push(queued(name))
    turns.serve(turns.head())
    turns.push(queued("eve", again=True))
    turns.push(queued("ada", again=True))

    assert names(turns) == ["ada", "eve", "bob", "eve"]


def test_weights_are_shares():
    turns = TurnsOfTenants()
    for _ in range(60):
        turns.push(queued("double", weight=2.0))
        turns.push(queued("single", weight=1.0))
        turns.push(queued("half", weight=0.5))

    served = Counter(names(turns)[:70])

    assert served == {"double": 40, "single": 20, "half": 10}


@settings(max_examples=100)
@given(st.lists(st.sampled_from("abcde"), max_size=40), PLACES)
def test_the_order_that_is_predicted_is_the_order_of_serving(callers, places):
    turns = TurnsOfTenants()
    for name in callers:
        turns.push(queued(name, **places[name]))

    predicted = [t.caller.name for t in turns.order()]
    heads = [t.caller.name for t in turns.heads()]

    assert sorted(heads) == sorted(set(callers)), "the first request of each caller"
    assert [t.caller.name for t in turns.next_heads(0)][:1] == heads[:1] == predicted[:1]
    assert sorted(t.caller.name for t in turns.next_heads(0)) == sorted(heads)
    assert predicted == names(turns)
    assert Counter(predicted) == Counter(callers)


def test_a_tenant_of_forty_callers_has_the_turns_of_one():
    turns = TurnsOfTenants()
    for _ in range(40):
        turns.push(queued("ada", tenant="seminar"))
        turns.push(queued("eve"))  # a tenant of her own
        for n in range(40):
            turns.push(queued(f"c{n}", tenant="lecture", weight=2.0))

    served = Counter(names(turns)[:160])

    assert served["ada"] == served["eve"] == 40
    assert {served[f"c{n}"] for n in range(40)} == {2}, "what a tenant gets is divided equally"


def test_a_tenant_has_no_name_in_common_with_a_caller():
    turns = TurnsOfTenants()
    for caller in ("lecture", "lecture", "lecture"):
        turns.push(queued(caller))
    turns.push(queued("ada", tenant="lecture"))

    assert names(turns) == ["lecture", "ada", "lecture", "lecture"]


def test_a_new_weight_of_a_tenant_holds_for_what_waits():
    turns = TurnsOfTenants()
    for _ in range(20):
        turns.push(queued("ada", tenant="seminar"))
        turns.push(queued("bob", tenant="lecture"))
    turns.push(queued("bob", tenant="lecture", weight=3.0))

    assert turns.weight == 4.0
    assert Counter(names(turns)[:12]) == {"ada": 4, "bob": 8}, "the first turn was had with the weight of then"


def test_the_turns_of_a_tenant_that_has_left_are_remembered():
    turns = TurnsOfTenants()
    for name in ("ada", "bob"):
        turns.push(queued(name, tenant="lecture"))
    turns.serve(turns.head())
    turns.serve(turns.head())
    for name in ("bob", "new"):
        turns.push(queued(name, tenant="lecture"))

    assert names(turns) == ["new", "bob"]


def test_people_go_before_batch_work_which_does_not_starve():
    model_queue = ModelQueue()
    for _ in range(20):
        for name, interactive in (("ada", True), ("job", False)):
            one = queued(name, interactive=interactive)
            model_queue.push(one)

    order = names(model_queue)

    assert order[:16].count("job") == 2
    assert order[7] == "job"
    assert order.count("job") == 20


def test_a_request_that_leaves_is_passed_over():
    turns = TurnsOfTenants()
    first, second = queued("ada"), queued("bob")
    turns.push(first)
    turns.push(second)
    turns.drop(first)
    turns.drop(first)

    assert turns.head() is second
    assert len(turns) == 1


def test_a_free_key_is_given_at_once_and_a_full_one_at_the_moment_it_is_free():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(rpm=2)), SETTINGS)
        started = []

        async def one(n):
            lease = await queue.lease(queued(f"c{n}", deadline=600.0))
            started.append(loop.time())
            lease.sent()
            await asyncio.sleep(0.1)
            lease.counted()
            lease.settle(TokenUsage())

        await asyncio.gather(*(one(n) for n in range(5)))
        await queue.close()
        return started

    # Counted after 0.1 s: a window, a hundredth of it and 0.1 s later there is room again.
    assert run(main) == pytest.approx([0.0, 0.0, 60.7, 60.7, 121.4], abs=0.001)


@pytest.mark.parametrize("minutes", [5, pytest.param(10, marks=pytest.mark.sweep)])
def test_seventy_five_callers_at_twice_the_quota(simulation, minutes):
    """What the pool promises, in virtual time: all of the quota, fairly, nobody refused who could have been served."""

    async def main(loop):
        pool = pool_of(loop, *(key(n) for n in range(5)))
        queue = KeyQueue(pool, replace(SETTINGS, queue_deadline_seconds=60.0))
        served: dict[str, list[tuple[float, float]]] = defaultdict(list)
        refused = []

        async def one(name):
            start = loop.time()
            try:
                lease = await queue.lease(queued(name, deadline=start + 60.0))
            except NoCapacity:
                refused.append((name, start, loop.time() - start))
                return
            served[name].append((start, loop.time()))
            assert loop.time() <= start + 60.0
            lease.sent()
            await asyncio.sleep(0.2)
            lease.counted()
            lease.settle(TokenUsage())

        tasks = []
        for n in range(300 * minutes):  # 5 a second, the quota being 2.5
            tasks.append(asyncio.ensure_future(one(f"c{n * 7919 % 75}")))
            await asyncio.sleep(0.2)
        shares = list(map(len, served.values()))
        await asyncio.gather(*tasks)
        await queue.close()
        return shares, served, refused

    shares, served, refused = run(main)
    waited = [after for _, _, after in refused if after > 0.001]
    in_its_place = [
        any(start < later and at <= start + 59.0 for later, at in served[name]) for name, start, _ in refused
    ]

    assert sum(shares) >= 0.99 * 150 * minutes
    assert sum(shares) ** 2 / (75 * sum(share * share for share in shares)) >= 0.98
    assert len(waited) < 0.45 * len(refused), "most are refused at once"
    assert median(waited) < 20.0, "others as soon as those have come whose turn is earlier"
    assert sum(in_its_place) <= 0.03 * len(refused), "nobody is refused who could have been served"


def test_an_expected_wait_is_true():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(rpm=2)), SETTINGS)
        waits = []

        async def one(n):
            mine = queued(f"c{n}", deadline=600.0)
            expected, start = queue.eta(mine), loop.time()
            lease = await queue.lease(mine)
            waits.append((expected, loop.time() - start))
            lease.settle(TokenUsage())

        await asyncio.gather(*(one(n) for n in range(9)))
        await queue.close()
        return waits

    for expected, waited in run(main):
        assert expected == pytest.approx(waited, abs=1.1)


def test_a_deadline_that_cannot_be_met_is_refused_at_once_with_the_true_time():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(rpm=1)), SETTINGS)
        (await queue.lease(queued())).settle(TokenUsage())
        with pytest.raises(NoCapacity) as refused:
            await queue.lease(queued("bob", deadline=loop.time() + 30.0))
        assert loop.time() == 0.0
        lease = await queue.lease(queued("bob", deadline=600.0))
        return refused.value.retry_after, loop.time(), lease

    retry_after, when, _ = run(main)

    assert retry_after == pytest.approx(when, abs=0.01)


def test_who_waits_past_the_deadline_is_refused_and_leaves():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(concurrency=1, limits=())), SETTINGS)
        held = await queue.lease(queued())
        with pytest.raises(NoCapacity):
            await queue.lease(queued("bob", deadline=5.0))
        assert (loop.time(), len(queue)) == (5.0, 0)
        held.settle(TokenUsage())
        return await queue.lease(queued("bob"))

    assert isinstance(run(main), Lease)


def test_a_place_given_back_wakes_the_next_without_polling():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(concurrency=1, limits=())), SETTINGS)
        held = await queue.lease(queued())
        waiting = asyncio.ensure_future(queue.lease(queued("bob")))
        await asyncio.sleep(0.3)
        held.settle(TokenUsage())
        await waiting
        return loop.time()

    assert run(main) == pytest.approx(0.3)


def test_everyone_together_has_so_many_places_and_waits_for_them_in_turns():
    async def main(loop):
        pool = pool_of(loop, key(1, limits=()), key(2, limits=()), at_once=3)
        queue = KeyQueue(pool, SETTINGS)
        under_way, most, order = 0, 0, []

        async def one(name):
            nonlocal under_way, most
            lease = await queue.lease(queued(name, deadline=600.0))
            order.append(name)
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(2.0)
            under_way -= 1
            lease.settle(TokenUsage())

        await asyncio.gather(*(one(name) for name in ["greedy"] * 9 + ["ada", "bob"]))
        return most, order, loop.time()

    most, order, seconds = run(main)

    assert most == 3
    assert set(order[3:6]) == {"greedy", "ada", "bob"}
    assert seconds == pytest.approx(8.0)


def test_a_wait_for_a_place_among_everyone_is_predicted():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(limits=()), key(2, limits=()), at_once=2), SETTINGS)
        held = [await queue.lease(queued()) for _ in range(2)]
        with pytest.raises(NoCapacity) as refused:
            await queue.lease(queued("bob", deadline=loop.time() + 0.1))
        held[0].settle(TokenUsage())
        return refused.value.retry_after, await queue.lease(queued("bob"))

    retry_after, lease = run(main)

    assert retry_after == pytest.approx(1.0), "as long as an answer is taken to last"
    assert isinstance(lease, Lease)


@pytest.mark.slow
def test_many_who_wait_cost_no_more_each_than_few():
    """Looking ahead for each that comes took seconds of computing for a queue of two thousand."""
    looked = []

    async def main(loop):
        pool = pool_of(loop, *(key(n) for n in range(3)))
        candidates = pool.candidates
        pool.candidates = lambda *args: looked.append(1) or candidates(*args)
        queue = KeyQueue(pool, replace(SETTINGS, queue_deadline_seconds=1e6, queue_length=5000))
        tasks = []
        for n in range(2000):
            costs = Cost(20 + n % 13, 50)
            tasks.append(asyncio.ensure_future(queue.lease(queued(f"c{n % 75}", cost=costs, usual=costs))))
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await queue.close()

    run(main)

    assert sum(looked) < 2000, "now and then for all"


def test_who_leaves_gives_everything_back():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(rpm=1)), SETTINGS)
        (await queue.lease(queued())).settle(TokenUsage())
        gone = asyncio.ensure_future(queue.lease(queued("gone", deadline=600.0)))
        stays = asyncio.ensure_future(queue.lease(queued("stays", deadline=600.0)))
        await asyncio.sleep(30.0)
        gone.cancel()
        await stays
        assert len(queue) == 0
        return loop.time()

    assert run(main) == pytest.approx(60.6, abs=0.1)


def test_a_lease_that_comes_as_the_caller_leaves_goes_to_the_next():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(concurrency=1, limits=())), SETTINGS)
        held = await queue.lease(queued())
        first, second = (asyncio.ensure_future(queue.lease(queued(name))) for name in ("ada", "bob"))
        await asyncio.sleep(0.1)
        held.settle(TokenUsage())
        for _ in range(3):  # the lease is given, and the caller leaves before it wakes
            await asyncio.sleep(0)
            if first.cancel():
                break
        await asyncio.wait({first, second}, timeout=1.0)
        return first, second

    first, second = run(main)

    assert isinstance(second.result(), Lease) or isinstance(first.result(), Lease)


def test_a_full_queue_refuses_the_newest_of_whoever_has_most():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(rpm=1)), replace(SETTINGS, queue_length=4))
        (await queue.lease(queued())).settle(TokenUsage())
        greedy = [asyncio.ensure_future(queue.lease(queued("greedy", deadline=900.0))) for _ in range(4)]
        await asyncio.sleep(0.01)
        modest = asyncio.ensure_future(queue.lease(queued("modest", deadline=900.0)))
        await asyncio.sleep(0.01)
        refused = [task for task in greedy if task.done()]
        with pytest.raises(NoCapacity) as too_many:
            await queue.lease(queued("greedy", deadline=900.0))
        for task in (*greedy, modest):
            task.cancel()
        return refused[0].exception(), modest.cancelled() or not modest.done(), too_many.value

    first, modest_waits, second = run(main)

    assert first.code == second.code == "queue_full"
    assert modest_waits
    assert second.retry_after > 0


def test_a_full_queue_refuses_those_of_the_tenant_with_most_for_its_weight():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(rpm=1)), replace(SETTINGS, queue_length=12))
        (await queue.lease(queued())).settle(TokenUsage())
        places = [{"name": f"c{n % 8}", "tenant": "lecture"} for n in range(9)]
        places += [{"name": "eve", "tenant": "seminar", "weight": 4.0}] * 3
        tasks = [asyncio.ensure_future(queue.lease(queued(deadline=2000.0, **place))) for place in places]
        await asyncio.sleep(0.01)
        newcomer = asyncio.ensure_future(queue.lease(queued("eve", tenant="seminar", weight=4.0, deadline=2000.0)))
        await asyncio.sleep(0.01)
        refused = [n for n, task in enumerate(tasks) if task.done()]
        with pytest.raises(NoCapacity):
            await queue.lease(queued("c8", tenant="lecture", deadline=2000.0))
        for task in (*tasks, newcomer):
            task.cancel()
        return refused

    assert run(main) == [8], "not eve's, though she has most, but the second of a caller of the lecture"


def test_bodies_that_wait_are_bounded_in_bytes():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(rpm=1)), replace(SETTINGS, queue_megabytes=1.0))
        (await queue.lease(queued())).settle(TokenUsage())
        waiting = asyncio.ensure_future(queue.lease(queued("ada", deadline=900.0, size=900_000)))
        await asyncio.sleep(0.01)
        with pytest.raises(NoCapacity, match="Too many"):
            await queue.lease(queued("bob", deadline=900.0, size=200_000))
        waiting.cancel()

    run(main)


def test_a_small_request_uses_what_a_large_one_cannot_without_delaying_it():
    async def main(loop):
        limits = (Limit(1000, "tokens", 60.0),)
        queue = KeyQueue(pool_of(loop, key(1, limits=limits), key(2, limits=limits)), SETTINGS)
        for _ in range(2):
            lease = await queue.lease(queued("x", cost=Cost(700)))
            lease.sent()
            lease.settle(TokenUsage(700))
            await asyncio.sleep(1.0)
        started = {}

        async def one(name, tokens):
            lease = await queue.lease(queued(name, deadline=600.0, cost=Cost(tokens)))
            started[name] = loop.time()
            lease.settle(TokenUsage(tokens))

        await asyncio.gather(one("large", 800), one("small", 200), one("medium", 400))
        return started

    started = run(main)

    assert started["small"] < 3.0
    assert started["large"] == pytest.approx(60.6, abs=0.1), "as soon as the first key had room for it"
    assert started["medium"] <= 62.6


def test_a_small_request_behind_a_large_one_waits_for_the_only_key():
    """It was refused, for the key that the large one waits for is kept from it and there is no other."""

    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(limits=(Limit(1000, "tokens", 60.0),))), SETTINGS)
        (await queue.lease(queued("x", cost=Cost(700)))).settle(TokenUsage(700))
        waiting = [asyncio.ensure_future(queue.lease(queued(n, deadline=600.0, cost=Cost(c)))) for n, c in SIZES]
        await asyncio.sleep(1.0)
        assert not any(one.done() for one in waiting)
        return [(await one).settle(TokenUsage(0)) for one in waiting]

    assert run(main) == [None, None]


def test_unknown_models_are_refused_and_hopeless_ones_too():
    async def main(loop):
        pool = pool_of(loop, key(models=("a",)))
        queue = KeyQueue(pool, SETTINGS)
        with pytest.raises(ModelNotServed):
            await queue.lease(queued())
        pool.keys.retire("sim-1", "credential")
        with pytest.raises(NoCapacity, match=r"no key can be used \(1 not accepted by the provider\)"):
            await queue.lease(QueuedRequest(Caller("ada"), "a", Cost()))

    run(main)


def test_news_tell_place_and_wait():
    async def main(loop):
        queue = KeyQueue(pool_of(loop, key(rpm=1)), SETTINGS)
        (await queue.lease(queued())).settle(TokenUsage())
        requests = [queued(f"c{n}", deadline=600.0) for n in range(3)]
        tasks = [asyncio.ensure_future(queue.lease(t)) for t in requests]
        await asyncio.sleep(10.0)
        news = [queue.news(t) for t in requests]
        expected = queue.expected_wait("m")
        for task in tasks:
            task.cancel()
        return news, expected

    news, expected = run(main)

    assert [n.position for n in news] == [1, 2, 3]
    assert [n.eta for n in news] == pytest.approx([50.6, 111.2, 171.8], abs=1.0)
    assert expected == pytest.approx(232.4, abs=1.0)
    assert math.isfinite(expected)
