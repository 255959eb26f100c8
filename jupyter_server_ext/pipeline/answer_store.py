"""The contract of stores for cached answers."""

from __future__ import annotations

from typing import Protocol


class AnswerStore(Protocol):
    """Cached answers that several gateways share, behind each one's own memory."""

    async def get(self, key: str) -> tuple[bytes, float] | None:
        """The answer and for how many seconds it is still good; None when there is none, or it cannot be told soon."""

    async def put(self, key: str, answer: bytes, seconds: float) -> None:
        """Keep an answer for so many seconds; never raises for a store that is away."""

    async def close(self) -> None:
        """Give everything back."""
