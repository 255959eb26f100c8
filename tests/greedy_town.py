"""Greedy and modest callers side by side, in virtual time: who waits how long, who gets how much, what is left unused.

Each caller of a group keeps ``parallel`` requests open and pauses after each::

    town = GreedyTown([Account("rolling", rpm=30) for _ in range(5)])
    town.live([Group("greedy", parallel=200), Group("modest", callers=10, pause=(5.0, 9.0))], minutes=12)
    assert percentile(town.waits("modest"), 95) <= 10.0
"""

from __future__ import annotations

import asyncio
import bisect
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from many_callers import Asked, Town
from virtual_time import run

from jupyter_server_ext.errors import NoCapacity
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.upstream import Job

if TYPE_CHECKING:
    from collections.abc import Sequence

MEASURED = (120.0, 720.0)  # the minutes 3 to 12


@dataclass
class Group:
    """Callers who behave alike.

    Args:
        name: Of the group; callers are ``name-0``, ``name-1``, …
        callers: How many.
        parallel: Requests that each has open at once.
        pause: Seconds between an answer and the next request, between two bounds.
        weight: Of their tenant.
        model: What they ask for.
        start: When they come.
        stop: When they have asked their last.
        size: Tokens of a prompt, in place of the town's.
        interactive: Whether people wait for the answers.
        once: Whether each request is of a caller who never comes back.
        together: Requests that each makes at once, before it pauses.
        most: How often each of its lines asks.
        takes: Seconds that an answer takes, between two bounds, in place of the town's.
    """

    name: str
    callers: int = 1
    parallel: int = 1
    pause: tuple[float, float] = (0.0, 0.0)
    weight: float = 1.0
    model: str = "m"
    start: float = 0.0
    stop: float = math.inf
    size: int = 0
    interactive: bool = True
    once: bool = False
    together: int = 1
    most: float = math.inf
    takes: tuple[float, float] | None = None


@dataclass
class Told(Asked):
    """A request, with how long it waited for a key and what it was told of that."""

    waited: float = math.inf
    tokens: int = 0


@dataclass
class GreedyTown(Town):
    """A town of groups.

    Args:
        models: Which models each key serves; all keys serve everything by default.
        patience: Seconds that requests wait.
    """

    models: Sequence[tuple[str, ...]] = ()
    deadline: float = 75.0
    by_group: dict[str, list[Told]] = field(default_factory=lambda: defaultdict(list))

    def _key(self, number: int) -> Any:
        key = super()._key(number)
        return replace(key, models=self.models[number]) if self.models else key

    def takes(self, body: dict[str, Any]) -> float:
        """See ``Town.takes``: as the group has it, which is named as the ``user``."""
        bounds = self._takes[body["user"]]
        seconds = self.dice.uniform(*bounds) if bounds else super().takes(body)
        self.occupied[body["user"]] += min(seconds, self.seconds - self.now())
        return seconds

    def live(self, groups: Sequence[Group], minutes: float = 12.0) -> GreedyTown:
        """Let all groups ask for so long."""
        self.seconds = 60.0 * minutes
        self._takes = {group.name: group.takes for group in groups}
        self.occupied: Counter[str] = Counter()  # seconds for which each group's answers had places

        async def main(loop: Any) -> None:
            self.now = loop.time
            self.queue, transport = self.gateway()
            tasks = [
                asyncio.ensure_future(self._insist(transport, group, f"{group.name}-{number}"))
                for group in groups
                for number in range(group.callers)
                for _ in range(group.parallel)
            ]
            await asyncio.sleep(self.seconds)
            for task in tasks:
                task.cancel()
            for failed in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(failed, Exception):
                    raise failed
            await self.queue.close()

        run(main)
        return self

    async def _insist(self, transport: Any, group: Group, caller: str) -> None:
        soonest, latest = group.pause
        await asyncio.sleep(group.start + self.dice.uniform(0.0, latest))
        number = 0
        while self.now() < group.stop and number < group.most:
            number += 1
            name = f"{caller}-{number}" if group.once else caller
            await asyncio.gather(*(self._once(transport, group, name) for _ in range(group.together)))
            await asyncio.sleep(self.dice.uniform(soonest, latest))

    async def _once(self, transport: Any, group: Group, caller: str) -> None:
        tokens = group.size or self.prompt(self.dice)
        messages = [{"role": "user", "content": "x" * (4 * tokens)}]
        body = {"messages": messages, "user": group.name, **self.body(self.dice)}
        one = Told(caller, self.now(), self.now() + self.deadline, tokens=tokens)
        self.by_group[group.name].append(one)
        self.asked.append(one)
        chat = ChatRequest(group.model, body, interactive=group.interactive)
        job = Job(Caller(caller), chat, one.deadline, weight=group.weight)
        try:
            answer = await transport.answer(job)
            async for _ in answer:
                pass
            await answer.aclose()
        except NoCapacity as no:
            one.refused, one.retry_after = self.now(), no.retry_after
            await asyncio.sleep(no.retry_after or 1.0)
        else:
            one.answered = self.now()
            one.waited = job.trace.queue_seconds

    # What came of it

    def waits(self, group: str, since: float = 60.0, until: float = math.inf) -> list[float]:
        """How long each request waited that was made from the second minute on; a refused one for ever."""
        until = min(until, self.seconds - self.deadline)
        return sorted(
            one.waited if one.answered < math.inf else math.inf
            for one in self.by_group[group]
            if since <= one.at < until
        )

    def answers(self, group: str, since: float = MEASURED[0], until: float = MEASURED[1]) -> Counter[str]:
        """How many answers each caller of a group got in the minutes that are measured."""
        return Counter(one.caller for one in self.by_group[group] if since <= one.answered < until)

    def sent_of_permitted(self, since: float = MEASURED[0], until: float = MEASURED[1]) -> float:
        """Share of what the windows permit in the minutes that are measured."""
        began, ended = (bisect.bisect_left(self.started, at) for at in (since, until))
        tokens = self.ledger[began:ended]
        permitted = 0.0
        for account in {id(account): account for account in self.accounts}.values():
            cost = sum(row[2] + row[3] for row in tokens) / max(1, len(tokens))
            permitted += min(
                limit.amount * (until - since) / limit.seconds / (1 if name[0] == "r" else cost)
                for name, limit in account.limits.items()
            )
        return (ended - began) / permitted


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many percent of the sorted ``values`` lie."""
    return values[min(len(values) - 1, int(len(values) * percent / 100))] if values else 0.0
