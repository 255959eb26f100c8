"""Quantiles of durations: within 2.5 % of the exact ones for any distribution, however sketches are cut and merged."""

from __future__ import annotations

import random
import struct
from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_server_ext.ledger.sketch import LEAST, of_cumulated, packed, quantile, sketch_of, unpacked

SHARES = (0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
WRONG = 0.025


def exact(values, share):
    """SQL's PERCENTILE_CONT."""
    ordered = sorted(max(LEAST, value) for value in values)
    rank = share * (len(ordered) - 1)
    low, high = ordered[int(rank)], ordered[min(int(rank) + 1, len(ordered) - 1)]
    return low + (high - low) * (rank - int(rank))


def assert_close(sketch, values):
    for share in SHARES:
        right, told = exact(values, share), quantile(sketch, share)
        assert abs(told - right) <= WRONG * right, (share, told, right)


DISTRIBUTIONS = {
    "uniform": lambda chance: chance.uniform(0, 20),
    "exponential": lambda chance: chance.expovariate(1.5),
    "log-normal": lambda chance: chance.lognormvariate(0, 2),
    "heavy tail": lambda chance: 0.05 * chance.paretovariate(0.8),
    "two peaks": lambda chance: chance.gauss(0.144, 0.01) if chance.random() < 0.96 else chance.gauss(45, 3),
    "all alike": lambda _: 0.322,
    "a step at a bound": lambda chance: chance.choice([1.0, 2.0, 5.0]),
    "a cache": lambda chance: chance.choice([0.0, 0.0004, 0.002, 8.0]),
    "hours": lambda chance: chance.uniform(10, 20_000),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_quantiles_of_any_distribution_and_of_any_merge(name):
    chance = random.Random(name)
    for many in (1, 2, 3, 20, 2_000):
        values = [max(0.0, DISTRIBUTIONS[name](chance)) for _ in range(many)]
        parts = [0] * 7
        for value in values:
            parts[chance.randrange(7)] += sketch_of(value)
        stored = [packed(part) for part in parts]  # as slots of a ledger, added up in another order
        chance.shuffle(stored)
        assert_close(reduce(add, map(unpacked, stored)), values)


@given(st.lists(st.lists(st.floats(0, 1e6), max_size=20), min_size=1, max_size=5).filter(any))
def test_quantiles_of_any_numbers(parts):
    merged = sum(unpacked(packed(sum(map(sketch_of, part)))) for part in parts)
    assert_close(merged, [value for part in parts for value in part])


def test_of_nothing_there_is_no_quantile():
    assert packed(0) == b""
    assert unpacked(b"") == 0
    assert quantile(0, 0.5) is None


def test_a_slot_of_a_million_answers_is_small():
    one = sketch_of(0.2) + sketch_of(0.9)
    assert len(packed(one * 1_000_000)) == len(packed(one)) < 200
    assert quantile(one * 1_000_000, 0.25) == pytest.approx(0.2, rel=WRONG)
    assert struct.unpack_from("<H", packed(one))[0] > 0


def test_what_was_known_within_bounds_stays_within_them():
    known = {1.0: 50, 2.0: 90, 5.0: 99, 10.0: 100}
    sketch = of_cumulated(known, 100)
    for share, low, high in ((0.25, 0, 1), (0.7, 1, 2), (0.95, 2, 5), (0.999, 5, 10)):
        assert low * (1 - WRONG) <= quantile(sketch, share) <= high * (1 + WRONG)
    assert quantile(of_cumulated({1.0: 0, 60.0: 0}, 3), 0.5) > 60
