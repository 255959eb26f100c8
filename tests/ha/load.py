"""A class of callers that go on asking through one address, and what became of each question."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_NUMBERS = itertools.count()


@dataclass
class Question:
    """One question and its fate.

    Args:
        caller: Who asked.
        began: When, in seconds of ``time.monotonic``.
        outcome: ``ok``, ``refused``, ``cut`` after the answer had begun, or ``failed`` before.
        instance: HAProxy's name of the gateway that answered.
        request_id: The gateway's.
        why: What went wrong.
    """

    caller: str
    began: float
    outcome: str = "open"
    instance: str = ""
    request_id: str = ""
    why: str = ""


@dataclass
class Load:
    """Questions asked so far.

    Args:
        url: Base URL of the gateways.
        callers: Names of the callers, whose tokens follow from them.
    """

    url: str
    callers: tuple[str, ...]
    questions: list[Question] = field(default_factory=list)

    def by(self, outcome: str) -> list[Question]:
        """Questions with this fate."""
        return [question for question in self.questions if question.outcome == outcome]

    def outcomes(self) -> Counter[str]:
        """How many had which."""
        return Counter(question.outcome for question in self.questions)

    def reasons(self) -> Counter[tuple[str, str]]:
        """Why those without an answer have none."""
        return Counter((question.outcome, question.why) for question in self.questions if question.outcome != "ok")

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Each caller asks one question after the other, until the block has ended; the last ones are answered."""
        over = asyncio.Event()
        async with httpx.AsyncClient(timeout=240, limits=httpx.Limits(max_connections=500)) as client:
            asking = [asyncio.create_task(self._go_on(client, caller, over)) for caller in self.callers]
            try:
                yield
            finally:
                over.set()
                await asyncio.gather(*asking)

    async def burst(self, count: int) -> None:
        """As many questions at once, the callers in turn."""
        async with httpx.AsyncClient(timeout=240, limits=httpx.Limits(max_connections=count)) as client:
            callers = itertools.islice(itertools.cycle(self.callers), count)
            await asyncio.gather(*[self.ask(client, caller) for caller in callers])

    async def _go_on(self, client: httpx.AsyncClient, caller: str, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.ask(client, caller)

    async def ask(self, client: httpx.AsyncClient, caller: str) -> None:
        """One question, as a stream."""
        question = Question(caller, time.monotonic())
        self.questions.append(question)
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"question {next(_NUMBERS)}"}]}
        headers = {"Authorization": f"Bearer {caller}-token"}
        try:
            async with client.stream("POST", f"{self.url}v1/chat/completions", json=body, headers=headers) as reply:
                question.instance = reply.headers.get("x-rsql-instance", "")
                question.request_id = reply.headers.get("x-request-id", "")
                await _read(reply, question)
        except httpx.HTTPError as error:
            question.outcome = "cut" if question.instance else "failed"
            question.why = repr(error)


async def _read(reply: httpx.Response, question: Question) -> None:
    if reply.status_code != 200:
        question.outcome = "refused" if reply.status_code == 429 else "failed"
        question.why = f"{reply.status_code} {(await reply.aread()).decode()[:300]}"
        return
    last = ""
    async for line in reply.aiter_lines():
        if line.startswith("data: "):
            last = line[6:]
    question.outcome = "ok" if last == "[DONE]" else "cut"
    if question.outcome == "cut" and last.startswith("{"):
        question.why = str(json.loads(last).get("error", ""))
