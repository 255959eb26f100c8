"""Usage to money. The administrator's table first, then ``genai-prices``, then the configured worst case.

Money is integer nano-dollars (1 USD = 1,000,000,000), so sums are exact. A price is per million tokens, in US dollars,
as providers publish them; one US dollar per million tokens is 1,000 nano-dollars per token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from jupyter_server_ext.config import PRESETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.messages import Usage

NANODOLLARS = 1_000_000_000
"""Nano-dollars in a US dollar."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens of one model.

    Args:
        input: Tokens read.
        output: Tokens written.
        cached_input: Tokens read from the provider's cache; as ``input`` when None.

    Example:
        >>> from jupyter_server_ext.messages import Usage
        >>> Price(input=0.5, output=1.5).of(Usage(prompt_tokens=1000, completion_tokens=100))
        650000
    """

    input: float
    output: float
    cached_input: float | None = None

    def of(self, usage: Usage) -> int:
        """What this usage costs, in nano-dollars, rounded up."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = usage.prompt_tokens - usage.cached_tokens
        # In thousandths of a nano-dollar a token, so that the product is whole before it is rounded.
        amount = (
            fresh * _per_token(self.input)
            + usage.cached_tokens * _per_token(cached)
            + usage.completion_tokens * _per_token(self.output)
        )
        return -(-amount // 1000)


FREE = Price(0.0, 0.0)


class Prices:
    """The price of every model.

    Args:
        table: The administrator's prices by model name, with or without ``provider/`` in front.
        worst: What a model of unknown price costs. Unknown is never free: a budget must hold for it, too.

    Example:
        >>> prices = Prices({"house-model": Price(1.0, 2.0)})
        >>> prices.price("house-model", "vllm").output
        2.0
    """

    def __init__(self, table: Mapping[str, Price] | None = None, *, worst: Price | None = None) -> None:
        self._table = dict(table or {})
        self._worst = worst or Price(30.0, 120.0)
        self._published = lru_cache(maxsize=4096)(_published)

    def price(self, model: str, provider: str) -> Price:
        """The price of a model at a provider."""
        if is_free(provider):
            return FREE
        own = self._table.get(f"{provider}/{model}") or self._table.get(model)
        return own or self._published(model, provider) or self._worst

    def cost(self, usage: Usage, model: str, provider: str) -> int:
        """What this usage costs, in nano-dollars."""
        return self.price(model, provider).of(usage)

    def warm(self) -> None:
        """Load the published prices, which takes half a second: for a thread, once requests are answered."""
        self._published("gpt-4o", "openai")

    def known(self, model: str, provider: str) -> bool:
        """Whether the price is a real one and not the worst case."""
        return self.price(model, provider) is not self._worst


def is_free(provider: str) -> bool:
    """Whether a provider asks for no money, so that nothing about prices need be known."""
    return provider in PRESETS and PRESETS[provider].free


def _per_token(usd_per_million: float) -> int:
    """Thousandths of a nano-dollar per token."""
    return round(usd_per_million * 1_000_000)


def _published(model: str, provider: str) -> Price | None:
    """What ``genai-prices`` says; its data come with the package, so nothing is fetched.

    The import takes half a second; see ``Prices.warm``.
    """
    from genai_prices import Usage as PublishedUsage
    from genai_prices import calc_price

    million = 1_000_000

    def priced(usage: PublishedUsage) -> float:
        return float(calc_price(usage, model_ref=model, provider_id=provider or None).total_price)

    try:
        reading = priced(PublishedUsage(input_tokens=million))
        cached = priced(PublishedUsage(input_tokens=million, cache_read_tokens=million))
        writing = priced(PublishedUsage(input_tokens=0, output_tokens=million))
    except (LookupError, ValueError):
        return None
    return Price(reading, writing, cached)
