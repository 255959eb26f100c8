"""A provider by brute force, and a gateway's windows in front of it, in virtual time."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from simulated_provider import Account, Limit

from jupyter_server_ext.keys import Cost, MemoryWindows
from jupyter_server_ext.keys.windows.usage import Grant, Observation, Offer, Refused, WindowSpec
from jupyter_server_ext.upstream.failures import duration

KINDS = ["fixed", "fixed-lazy", "rolling", "bucket"]


def finish(coroutine: Any) -> Any:
    """The result of a coroutine that never waits."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


@dataclass
class World:
    """Many callers, one key, one provider, a network with delays; time is a number."""

    kind: str
    amounts: dict[str, int]
    minute: float = 60.0
    jitter: float = 0.25
    charge: str = "admission"
    headers: bool = True
    travel: tuple[float, float] = (0.0, 0.2)
    latency: tuple[float, float] = (0.01, 0.5)
    length: tuple[float, float] = (0.0, 0.0)
    completion: tuple[int, int] = (16, 16)
    asked: int = 0
    rate: float = math.inf  # arrivals a second; infinite: there is always somebody waiting
    pauses: list[tuple[float, float]] = field(default_factory=list)
    seed: int = 1
    prompt: int = 25
    late: bool = False  # requests count when they are answered
    bucket: bool = False  # it is configured that …
    counts: str = ""  # … and when
    slow: float = 0.0  # share of requests that travel for ``slow_travel`` instead
    slow_travel: float = 0.0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.account = Account(self.kind, minute=self.minute, charge=self.charge, **self.amounts)
        self.windows = MemoryWindows(self.jitter, clock=lambda: 0.0)
        specs = [
            WindowSpec(
                name,
                "requests" if name[0] == "r" else "tokens",
                amount,
                self.account.limits[name].seconds,
                bucket=self.bucket,
                counts=self.counts,
            )
            for name, amount in self.amounts.items()
        ]
        self.offer = Offer("k", tuple(specs))
        self.events: list[Any] = []
        self.order = itertools.count()
        self.waiting = 0
        self.wake = math.inf
        self.answered = 0

    def at(self, when: float, what: Any, *about: Any) -> None:
        heapq.heappush(self.events, (when, next(self.order), what, about))

    def run(self, until: float) -> World:
        self.at(0.0, self.arrive)
        while self.events and self.events[0][0] < until:
            now, _, what, about = heapq.heappop(self.events)
            what(now, *about)
        return self

    def arrive(self, now: float) -> None:
        if self.rate < math.inf:
            self.waiting += 1
            self.at(now + self.random.expovariate(self.rate), self.arrive)
        self.send_what_fits(now)

    def paused_until(self, now: float) -> float:
        return next((end for start, end in self.pauses if start <= now < end), 0.0)

    def send_what_fits(self, now: float) -> None:
        if pause := self.paused_until(now):
            self.at(pause, self.send_what_fits)
            return
        while self.waiting or math.isinf(self.rate):
            completion = self.random.randint(*self.completion)
            reserve = Cost(self.prompt, self.asked or self.completion[1], self.asked)
            grant = finish(self.windows.take([self.offer], reserve, now))
            if isinstance(grant, Refused):
                self.wake_at(now + max(1e-6, grant.wait))
                return
            self.waiting = max(0, self.waiting - 1)
            self.windows.sent(grant, now)
            travel = self.slow_travel if self.random.random() < self.slow else self.random.uniform(*self.travel)
            self.at(now + travel, self.reach, grant, completion)

    def wake_at(self, when: float) -> None:
        if when < self.wake:
            self.wake = when
            self.at(when, self.woken)

    def woken(self, now: float) -> None:
        self.wake = math.inf
        self.send_what_fits(now)

    def reach(self, now: float, grant: Grant, completion: int) -> None:
        latency = self.random.uniform(*self.latency)
        if self.late:
            self.at(now + latency, self.admit, grant, completion, self.random.uniform(0.0, 0.2))
        else:
            self.admit(now, grant, completion, latency)

    def admit(self, now: float, grant: Grant, completion: int, latency: float) -> None:
        wait = self.account.admit(self.prompt, completion, self.asked or None, now)
        told = self.account.headers(now) if self.headers else {}
        self.at(now + latency, self.begin, grant, completion, wait, told)

    def begin(self, now: float, grant: Grant, completion: int, wait: float, told: dict[str, str]) -> None:
        self.windows.counted(grant, now)
        self.windows.observe(grant, list(seen(told)), now)
        if wait:
            self.refused(now, grant, wait)
        else:
            self.at(now + self.random.uniform(*self.length), self.end, grant, completion)

    def refused(self, now: float, grant: Grant, wait: float) -> None:
        self.windows.settle(grant, Cost(), now)
        self.windows.on_refusal(grant, grant.windows[0].id, now)
        self.pauses.append((now, now + wait))

    def end(self, now: float, grant: Grant, completion: int) -> None:
        self.account.ended(completion, now)
        self.answered += 1
        self.windows.settle(grant, Cost(self.prompt, completion, known=True), now)
        self.send_what_fits(now)

    def used_of(self, seconds: float) -> float:
        """Share of what the limits admit in so long from a fresh start, for the tightest of them."""
        most = min(
            allowance(limit, seconds) / (1 if name[0] == "r" else self.cost)
            for name, limit in self.account.limits.items()
        )
        return self.account.accepted / most

    @property
    def cost(self) -> float:
        return self.prompt + sum(self.completion) / 2


def allowance(limit: Limit, seconds: float) -> float:
    rounds = seconds / limit.seconds
    return limit.amount * (1 + rounds if limit.kind == "bucket" else math.ceil(rounds - 1e-9))


def seen(told: dict[str, str]) -> Any:
    for what, name in (("requests", "rpm"), ("tokens", "tpm")):
        if limit := told.get(f"x-ratelimit-limit-{what}"):
            left, reset = told[f"x-ratelimit-remaining-{what}"], duration(told[f"x-ratelimit-reset-{what}"])
            yield Observation(name, int(limit), int(left), reset)


@dataclass
class Stalling(World):
    """A machine on which nothing moves for a fifth of a second, every half second or so."""

    stalls: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        now, chance = 0.0, random.Random(self.seed)
        while now < 10 * self.minute:
            now += chance.expovariate(2.0)
            self.stalls.append((now, now + chance.uniform(0.02, 0.2)))

    def reach(self, now: float, grant: Grant, completion: int) -> None:
        end = max((end for start, end in self.stalls if start <= now < end), default=now)
        if end > now:
            self.at(end + self.random.uniform(0.0, 0.001), super().reach, grant, completion)
        else:
            super().reach(now, grant, completion)


@dataclass
class OtherClock(World):
    """A provider whose clock stands elsewhere and runs faster or slower than ours."""

    offset: float = 10.0
    pace: float = 1.0

    def reach(self, now: float, grant: Grant, completion: int) -> None:
        theirs = self.theirs(now)
        wait = self.account.admit(self.prompt, completion, self.asked or None, theirs)
        told = self.account.headers(theirs) if self.headers else {}
        self.at(now + self.random.uniform(*self.latency), self.begin, grant, completion, wait / self.pace, told)

    def end(self, now: float, grant: Grant, completion: int) -> None:
        self.account.ended(completion, self.theirs(now))
        self.answered += 1
        self.windows.settle(grant, Cost(self.prompt, completion, known=True), now)
        self.send_what_fits(now)

    def theirs(self, now: float) -> float:
        return self.offset + now * self.pace
