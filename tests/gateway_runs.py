"""Asking a gateway in a test: what it is given, and what the caller gets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from simulated_provider import WORDS, SimulatedProvider

from jupyter_server_ext.config import KeySettings, PoolSettings, Secret, Settings, TenantSettings
from jupyter_server_ext.identity import Policy
from jupyter_server_ext.messages import Caller, ChatRequest, QueueNews, TokenUsage
from jupyter_server_ext.pipeline import Gateway

QUICK = PoolSettings(jitter_ms=5.0)
IMPATIENT = replace(QUICK, first_byte_timeout_seconds=0.3, fallback_first_byte_seconds=0.2, stall_timeout_seconds=0.3)
FULL = " ".join(WORDS[:8])


@dataclass
class Told:
    """What a caller got."""

    events: list[Any] = field(default_factory=list)
    news: list[QueueNews] = field(default_factory=list)
    done: bool = False

    @property
    def text(self) -> str:
        choices = [choice for event in self.events for choice in event.get("choices") or ()]
        return "".join((c.get("delta") or c.get("message") or {}).get("content") or "" for c in choices)

    @property
    def rsql(self) -> dict[str, Any]:
        return self.events[-1]["rsql"]

    @property
    def error(self) -> dict[str, Any] | None:
        return self.events[-1].get("error") if self.events else None


class Settled:
    """Limits that only remember."""

    def __init__(self) -> None:
        self.usages: list[TokenUsage] = []

    @contextlib.asynccontextmanager
    async def take(self, caller, request):
        yield self

    def start(self) -> None:
        pass

    def settle(self, usage: TokenUsage) -> None:
        self.usages.append(usage)


class Falls(Policy):
    """A policy by which some models answer in place of any other."""

    def __init__(self, *models: str) -> None:
        super().__init__(Settings(tenants=(TenantSettings("", fallbacks=True),)))
        self._others = models

    def fallbacks(self, caller, model):
        return self._others


def now() -> float:
    """Seconds by the loop's clock, which passes only where everybody waits in tests that run in virtual time."""
    return asyncio.get_running_loop().time()


def key(provider: SimulatedProvider, name: str = "k1", **options: Any) -> KeySettings:
    return KeySettings("sim", Secret(name), provider.url, **options)


@contextlib.asynccontextmanager
async def running(*keys: KeySettings, pool: PoolSettings = QUICK, **options: Any):
    gateway = Gateway(Settings(keys=keys, pool=pool), clock=now, **options)
    try:
        yield gateway
    finally:
        await gateway.close()


async def ask(
    gateway: Gateway,
    *,
    stream: bool = True,
    model: str = "m",
    caller: str = "ada",
    told: Told | None = None,
    whole: bool = False,
    **body: Any,
) -> Told:
    told = told or Told()
    messages = [{"role": "user", "content": "How many flights left JFK?"}]
    sent = {"messages": messages, "stream": stream, **body}
    request = ChatRequest(model, sent, stream=stream, whole=whole, request_id="r1")
    async with contextlib.aclosing(gateway.complete(Caller(caller), request)) as parts:
        async for part in parts:
            if isinstance(part, QueueNews):
                told.news.append(part)
            else:
                take_in(told, part, stream=stream)
    return told


def take_in(told: Told, part: bytes, *, stream: bool) -> None:
    if not stream:
        told.events.append(json.loads(part))
        return
    assert part.endswith(b"\n\n"), "events are passed on whole"
    for event in part.decode().strip().split("\n\n"):
        if event.startswith(":"):
            continue
        if event == "data: [DONE]":
            told.done = True
        else:
            told.events.append(json.loads(event.removeprefix("data: ")))
