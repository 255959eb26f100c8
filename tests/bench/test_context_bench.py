"""How fast, how small and how flat descriptions are.

Time is what this process used of the processors, the best of several runs: other programs use the machine too.
"""

from __future__ import annotations

import random
import resource
import string
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from rsql_magic.context import count_tokens, describe, gather

pytestmark = pytest.mark.bench


def best(call, runs=7):
    """Milliseconds of the fastest run, and the result."""
    took = []
    for _ in range(runs):
        started = time.process_time()
        result = call()
        took.append(time.process_time() - started)
    return min(took) * 1000, result


@pytest.fixture(scope="module")
def long():
    rng, rows = np.random.default_rng(0), 1_000_000
    return pd.DataFrame(
        {
            "id": np.arange(1, rows + 1),
            "customer_email": [f"user{n}@example.com" for n in range(rows)],
            "region": rng.choice(list("NSEW"), rows),
            "amount": rng.lognormal(3, 1, rows),
            "ts": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10**8, rows), unit="s"),
            "note": rng.choice(["late", "early", "on time"], rows),
            "seg": pd.Categorical(rng.choice(["x", "y", "z"], rows)),
            "flag": rng.random(rows) > 0.5,
        }
    )


@pytest.fixture(scope="module")
def wide(long):
    metrics = np.random.default_rng(1).normal(size=(100_000, 200))
    return pd.concat([long.iloc[:100_000], pd.DataFrame(metrics, columns=[f"metric_{n}" for n in range(200)])], axis=1)


def show(what, took, text):
    print(f"{what}: {took:.1f} ms, {count_tokens(text)} tokens")


@pytest.mark.parametrize(
    "convert", [lambda frame: frame, pl.from_pandas, pa.Table.from_pandas], ids=["pandas", "polars", "arrow"]
)
def test_a_million_rows(long, convert):
    frame = convert(long)
    took, text = best(lambda: describe(frame, "sales"))
    show("1,000,000 × 8", took, text)
    assert took <= 30
    assert count_tokens(text) <= 150


@pytest.mark.parametrize("convert", [lambda frame: frame, pl.from_pandas], ids=["pandas", "polars"])
def test_two_hundred_columns(wide, convert):
    frame = convert(wide)
    took, text = best(lambda: describe(frame, "sales"))
    show("100,000 × 208", took, text)
    assert took <= 30
    assert count_tokens(text) <= 150


def test_ten_thousand_columns():
    chance = random.Random(1)
    names = ["".join(chance.choices(string.ascii_lowercase, k=8)) for _ in range(10_000)]
    frame = pd.DataFrame(np.zeros((1000, 10_000)), columns=names)
    took, text = best(lambda: describe(frame, "wide"))
    show("10,000 columns", took, text)
    assert took <= 200
    assert count_tokens(text) <= 300


@pytest.mark.parametrize("question", ["total?", "what is the amount by region?"])
def test_a_hundred_frames(long, question):
    namespace = {f"frame_{n}": long.iloc[: 10_000 * (n + 1)] for n in range(100)}
    took, context = best(lambda: gather(question, namespace))
    show("100 frames", took, context.text)
    assert took <= 150
    assert context.tokens <= 1500


def test_nothing_large_is_made(long, wide):
    describe(long, "long")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for frame in (long, wide):
        describe(frame, "frame")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB; the frames have 300,000


def test_a_million_rows_in_r():
    from rsql_magic.context import r

    session = r.survey()
    import rpy2.rinterface as ri

    ri.evalr("bench <- data.frame(id = 1:1e6, x = runif(1e6), g = sample(c('a', 'b'), 1e6, TRUE))")
    took, context = best(lambda: gather("", {}))
    show(f"R {session.version} 1,000,000 × 3", took, context.text)
    ri.evalr("rm(bench)")
    assert took <= 50
    assert "1,000,000 rows × 3 columns" in context.text
