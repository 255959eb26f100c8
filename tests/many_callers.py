"""Many callers, some keys and a provider that counts exactly, in virtual time: what the pool promises, run through it.

Everything between the queue and the network is the real thing; the network is a coroutine that takes its time::

    town = Town([Account("rolling", tpm=6000) for _ in range(3)], completion=lambda dice: dice.randint(10, 50))
    town.run(minutes=6, demand=1.6)
    assert town.refused == 0 and town.used() >= 0.99
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from virtual_time import run

from jupyter_server_ext.config import KeySettings, PoolSettings, Secret
from jupyter_server_ext.config import Limit as LimitSettings
from jupyter_server_ext.errors import NoCapacity, RsqlGatewayError
from jupyter_server_ext.keys import KeyPool, KeyQueue, MemoryWindows
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.upstream import Job, KeyRotatingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulated_provider import Account, Limit

    from jupyter_server_ext.messages import Used

Dice = random.Random
_UNITS = {"r": "requests", "t": "tokens"}


def allowance(limit: Limit, seconds: float) -> float:
    """The most that a limit admits in so long from a fresh start."""
    rounds = seconds / limit.seconds
    return limit.amount * (1 + rounds if limit.kind == "bucket" else math.ceil(rounds - 1e-9))


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 where all have the same."""
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares)) if any(shares) else 1.0


@dataclass
class Clock:
    """A provider's clock: so many seconds ahead of ours, running so fast, jumping at some moments."""

    ahead: float = 0.0
    pace: float = 1.0
    jumps: tuple[tuple[float, float], ...] = ()

    def __call__(self, now: float) -> float:
        return self.ahead + now * self.pace + sum(by for at, by in self.jumps if now >= at)


@dataclass
class Asked:
    """One request as the town remembers it."""

    caller: str
    at: float
    deadline: float
    answered: float = math.inf
    refused: float = math.inf
    retry_after: float | None = None
    left: bool = False
    broken: bool = False  # it ended in another error

    @property
    def had_no_chance(self) -> bool:
        """Whether it was refused as its deadline was near, or the wait that it was told went beyond that."""
        if self.refused > self.deadline + 0.01:
            return False
        near = self.refused >= self.deadline - 1.0
        return near or self.retry_after is None or self.refused + self.retry_after > self.deadline


@dataclass
class Town:
    """Callers, keys and a provider.

    Args:
        accounts: What the provider allows each key; several keys may share one.
        callers: How many callers.
        tenants: How many tenants they belong to: each but the last has one of them; 0 for none.
        prompt: Tokens that a prompt has, four characters each.
        completion: Tokens of an answer.
        travel: Seconds to the provider.
        latency: Seconds until an answer begins, between two bounds or as the dice have it.
        length: Seconds that it takes from then on.
        clock: The provider's clock.
        headers: Whether limits are told.
        counts: Whether a request counts at its ``arrival``, or at the ``end``, when its answer is made.
        jitter: The margin that is configured, in seconds.
        configured: Limits that the gateway believes in, in place of the true ones.
        key_options: More settings of each key.
        pool: More settings of the pool.
        deadline: Seconds that a request may wait.
        stream: Whether answers are streams.
        body: More of each request's body.
        restored: What was used before the start, at negative times.
        leaves: Share of callers who close the connection, and after how many seconds.
        fails: Share of requests that the provider fails with 503, and does not count.
    """

    accounts: Sequence[Account]
    callers: int = 20
    tenants: int = 0
    prompt: Callable[[Dice], int] = lambda dice: 25
    completion: Callable[[Dice], int] = lambda dice: 30
    travel: tuple[float, float] = (0.0, 0.02)
    latency: tuple[float, float] | Callable[[Dice], float] = (0.1, 0.8)
    length: tuple[float, float] = (0.0, 0.0)
    clock: Callable[[float], float] = field(default_factory=Clock)
    headers: bool = True
    counts: str = "arrival"
    jitter: float = 0.25
    configured: Sequence[dict[str, int]] | None = None
    key_options: Sequence[dict[str, Any]] | None = None
    pool: dict[str, Any] = field(default_factory=dict)
    deadline: float = 60.0
    body: Callable[[Dice], dict[str, Any]] = lambda dice: {}
    restored: Sequence[Used] = ()
    leaves: tuple[float, tuple[float, float]] = (0.0, (0.0, 0.0))
    fails: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.asked: list[Asked] = []
        self.failed = 0
        self.under_way = 0
        self.charged: Counter[int] = Counter()  # by account, tokens
        self.admitted: Counter[int] = Counter()  # by account, requests
        self.refusals: list[tuple[float, str]] = []
        self.started: list[float] = []  # when the provider took requests
        self.ledger: list[tuple[float, int, int, int]] = []  # when, with which key, and tokens

    # The provider

    async def handle(self, key: str, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self.dice.uniform(*self.travel))
        body = json.loads(await request.aread())
        if self.fails and self.dice.random() < self.fails:
            self.failed += 1
            return httpx.Response(503, json={"error": {"message": "overloaded"}})
        number = int(key.removeprefix("k"))
        account = self.accounts[number]
        words = len(body["messages"][0]["content"])
        prompt, completion = math.ceil(words / 4), self.completion(self.dice)
        asked = body.get("max_tokens")
        completion = min(completion, asked or completion)
        latency = self.takes(body)
        await asyncio.sleep(latency if self.counts == "end" else 0.0)
        wait = account.admit(prompt, completion, asked, self.clock(self.now()))
        told = account.headers(self.clock(self.now())) if self.headers else {}
        if wait:
            self.refusals.append((self.now(), key))
        else:
            self.started.append(self.now())
            self.ledger.append((self.now(), number, prompt, completion))
            self.admitted[number] += 1
            self.charged[number] += prompt + (asked or completion if account.charge == "asked" else completion)
        await asyncio.sleep(latency if self.counts == "arrival" else 0.0)
        if wait:
            return httpx.Response(
                429, headers={**told, "retry-after": f"{wait:.3f}"}, json={"error": {"message": "no"}}
            )
        return httpx.Response(200, headers=told, stream=_Body(self, account, prompt, completion))

    def takes(self, body: dict[str, Any]) -> float:
        """Seconds until the answer to this request begins."""
        return self.latency(self.dice) if callable(self.latency) else self.dice.uniform(*self.latency)

    # The callers

    async def ask(self, transport: KeyRotatingTransport, caller: str) -> None:
        text = "x" * (4 * self.prompt(self.dice))
        body = {"messages": [{"role": "user", "content": text}], **self.body(self.dice)}
        one = Asked(caller, self.now(), self.now() + self.deadline)
        self.asked.append(one)
        self.under_way += 1
        try:
            tenant = f"t{min(int(caller[1:]), self.tenants - 1)}" if self.tenants else ""
            answer = await transport.answer(Job(Caller(caller, tenant), ChatRequest("m", body), one.deadline))
            async for _ in answer:
                pass
            await answer.aclose()
            one.answered = self.now()
        except NoCapacity as no:
            one.refused, one.retry_after = self.now(), no.retry_after
        except RsqlGatewayError:
            one.refused = self.now()
            one.broken = True
        except asyncio.CancelledError:
            one.left = True
        finally:
            self.under_way -= 1

    def burst(self, number: int) -> Town:
        """Let so many callers ask at once, and wait for them all."""

        async def main(loop: Any) -> None:
            self.now = loop.time
            queue, transport = self.gateway()
            await asyncio.gather(*(self.ask(transport, f"c{n % self.callers}") for n in range(number)))
            await queue.close()

        run(main)
        return self

    def run(self, minutes: float, demand: float = 1.6, *, rate: float | None = None, minute: float = 60.0) -> Town:
        """Let callers ask for so long, ``demand`` times as much as is allowed, or at ``rate`` a second."""
        self.seconds = minutes * minute
        per_second = rate if rate is not None else demand * self.most_requests(100 * minute) / (100 * minute)

        async def main(loop: Any) -> None:
            self.now = loop.time
            await self._live(per_second)

        run(main)
        return self

    async def _live(self, per_second: float) -> None:
        queue, transport = self.gateway()
        tasks = []
        number = 0
        while self.now() < self.seconds:
            task = asyncio.ensure_future(self.ask(transport, f"c{number % self.callers}"))
            share, (soonest, latest) = self.leaves
            if self.dice.random() < share:
                asyncio.get_running_loop().call_later(self.dice.uniform(soonest, latest), task.cancel)
            tasks.append(task)
            number += 1
            await asyncio.sleep(min(self.dice.expovariate(per_second), self.seconds - self.now()))
        self.in_time = self.admitted.total()
        self.waiting = len(queue)
        await queue.close()
        for task in tasks:
            task.cancel()
        for failed in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(failed, Exception):
                raise failed

    def gateway(self) -> tuple[KeyQueue, KeyRotatingTransport]:
        """The gateway's way from a request to the provider."""
        settings = PoolSettings(queue_deadline_seconds=self.deadline, jitter_ms=1000 * self.jitter, **self.pool)
        windows = MemoryWindows(self.jitter, clock=self.now)
        self.keys = KeyPool(
            [self._key(number) for number in range(len(self.accounts))], windows=windows, clock=self.now
        )
        self.keys.restore(self.restored, unix=0.0)
        queue = KeyQueue(self.keys, settings)
        transports = {}

        def transport_of(key: Any) -> httpx.AsyncBaseTransport:
            name = key.settings.name
            return transports.setdefault(name, _Network(self, name))

        return queue, KeyRotatingTransport(queue, settings, transport_of)

    def _key(self, number: int) -> KeySettings:
        limits = self.accounts[number].limits
        amounts = self.configured[number] if self.configured else {name: limit.amount for name, limit in limits.items()}
        settings = [LimitSettings(amount, _UNITS[name[0]], limits[name].seconds) for name, amount in amounts.items()]
        options = self.key_options[number] if self.key_options else {}
        return KeySettings(
            "sim", Secret(f"key-{number}"), "http://sim/v1", name=f"k{number}", limits=tuple(settings), **options
        )

    # What came of it

    @property
    def refused(self) -> int:
        """How many requests the provider refused."""
        return len(self.refusals)

    @property
    def cost(self) -> float:
        """Tokens that a request took, on average."""
        return self.charged.total() / max(1, self.admitted.total())

    def most_requests(self, seconds: float) -> float:
        """Requests that all keys admit in so long."""
        dice = random.Random(self.seed)
        cost = self.cost or sum(self.prompt(dice) + self.completion(dice) for _ in range(1000)) / 1000
        return sum(
            min(allowance(limit, seconds) / (1 if name[0] == "r" else cost) for name, limit in account.limits.items())
            for account in {id(account): account for account in self.accounts}.values()
        )

    def used(self) -> float:
        """Share of what the limits admit in the time of the run that was used."""
        return self.in_time / self.most_requests(self.seconds)

    def fairness(self) -> float:
        """Jain's index over the callers' answers."""
        served = Counter(one.caller for one in self.asked if one.answered < math.inf)
        return jain([served[f"c{n}"] for n in range(self.callers)])


class _Network(httpx.AsyncBaseTransport):
    def __init__(self, town: Town, key: str) -> None:
        self._town, self._key = town, key

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if sent := request.extensions.get("sent"):
            sent()
        return await self._town.handle(self._key, request)


class _Body(httpx.AsyncByteStream):
    def __init__(self, town: Town, account: Account, prompt: int, completion: int) -> None:
        self._town, self._account = town, account
        self._prompt, self._completion = prompt, completion

    async def __aiter__(self) -> Any:
        await asyncio.sleep(self._town.dice.uniform(*self._town.length))
        self._account.ended(self._completion, self._town.clock(self._town.now()))
        counts = {"prompt_tokens": self._prompt, "completion_tokens": self._completion}
        counts["total_tokens"] = self._prompt + self._completion
        message = {"role": "assistant", "content": "Yes."}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        yield json.dumps({"id": "c", "object": "chat.completion", "choices": choices, "usage": counts}).encode()
