"""What the gateway asks of a caller's limits and of the tenants' rules, and those of a gateway that has none."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jupyter_server_ext.messages import Caller, ChatRequest, Usage


class Taken(Protocol):
    """What one request has taken from its caller's limits."""

    def settle(self, usage: Usage) -> None:
        """It was answered, wholly or in part, and has used this."""


class Limits(Protocol):
    """The limits of callers; see ``limits.Limits``."""

    def take(self, caller: Caller, request: ChatRequest) -> contextlib.AbstractAsyncContextManager[Taken]:
        """Take what the request needs; leaving gives back what was not used."""


class Policy(Protocol):
    """The tenants' rules; see ``policy.Policy``."""

    def apply(self, caller: Caller, request: ChatRequest) -> ChatRequest:
        """The request as the caller's tenant allows it."""

    def weight(self, caller: Caller) -> float:
        """The caller's share in the queue."""

    def fallbacks(self, caller: Caller, model: str) -> tuple[str, ...]:
        """Models that may answer in place of ``model``."""

    def named(self, caller: Caller) -> tuple[str, ...]:
        """The models that the caller's tenant names; empty where it may use all."""

    def caches(self, caller: Caller) -> bool | None:
        """Whether answers are given again: yes, never, or None for only where a request asks for it."""

    def keeps_prompts(self, caller: Caller) -> bool:
        """Whether the text of requests is kept in the ledger."""


@dataclass
class NothingTaken:
    """What a request takes where nothing is limited."""

    def settle(self, usage: Usage) -> None:
        """Nothing to correct."""


class NoLimits:
    """No caller is limited."""

    @contextlib.asynccontextmanager
    async def take(self, caller: Caller, request: ChatRequest) -> AsyncIterator[Taken]:  # noqa: ARG002
        """Nothing is limited."""
        yield NothingTaken()


class NoPolicy:
    """No tenant has rules."""

    def apply(self, caller: Caller, request: ChatRequest) -> ChatRequest:  # noqa: ARG002
        """Everything is allowed."""
        return request

    def weight(self, caller: Caller) -> float:  # noqa: ARG002
        """All are equal."""
        return 1.0

    def fallbacks(self, caller: Caller, model: str) -> tuple[str, ...]:  # noqa: ARG002
        """None."""
        return ()

    def named(self, caller: Caller) -> tuple[str, ...]:  # noqa: ARG002
        """All."""
        return ()

    def caches(self, caller: Caller) -> bool | None:  # noqa: ARG002
        """Only where a request asks for it."""
        return None

    def keeps_prompts(self, caller: Caller) -> bool:  # noqa: ARG002
        """No."""
        return False
