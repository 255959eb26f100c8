"""Usage to money: exact, in whole nano-dollars, and never free by ignorance."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from jupyter_server_ext.messages import TokenUsage
from jupyter_server_ext.pipeline import Price, Prices

TOKENS = st.integers(0, 10_000_000)


@given(TOKENS, TOKENS, st.sampled_from([0.0, 0.05, 0.59, 0.79, 3.0, 15.0]))
def test_the_cost_is_the_exact_sum_rounded_up(read, written, usd):
    exact = Fraction(str(usd)) * 1000 * (read + written)
    assert Price(usd, usd).of(TokenUsage(read, written)) == -(-exact // 1)


def test_cached_tokens_have_their_own_price():
    assert Price(1.0, 0.0, cached_input=0.25).of(TokenUsage(100, 0, cached_tokens=40)) == 60 * 1000 + 40 * 250


def test_published_prices_are_known_without_a_network():
    price = Prices().price("llama-3.3-70b-versatile", "groq")
    assert 0 < price.input < price.output < 10
    assert Prices().known("gpt-4o-mini", "openai")


def test_the_administrators_table_comes_first():
    prices = Prices({"gpt-4o-mini": Price(9.0, 9.0), "azure/gpt-4o-mini": Price(8.0, 8.0)})
    assert prices.price("gpt-4o-mini", "openai").input == 9.0
    assert prices.price("gpt-4o-mini", "azure").input == 8.0


def test_an_unknown_price_is_the_worst_case_and_not_free():
    prices = Prices(worst=Price(100.0, 200.0))
    assert prices.cost(TokenUsage(1, 1), "nobody-knows", "nowhere") == 300_000
    assert not prices.known("nobody-knows", "nowhere")


def test_models_on_ones_own_machine_are_free():
    assert Prices().cost(TokenUsage(1000, 1000), "offline", "offline") == 0
