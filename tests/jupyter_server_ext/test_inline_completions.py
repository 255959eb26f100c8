"""Inline completions, which an editor asks for while somebody types: they never take what questions have."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import httpx
import pytest

from jupyter_server_ext.config import (
    CallerLimits,
    InlineCompletionSettings,
    KeySettings,
    PriceSettings,
    Secret,
    Settings,
    StorageSettings,
    TenantSettings,
)
from jupyter_server_ext.config.settings import ModelPrice
from jupyter_server_ext.errors import LimitExceeded
from jupyter_server_ext.limits import Limits
from jupyter_server_ext.messages import Caller, ChatRequest, TokenUsage, Used

CLASS = [Caller(f"student-{number}", tenant="stats101") for number in range(30)]
ADA = CLASS[0]
QUESTION = ChatRequest("m", {"messages": [{"role": "user", "content": "x" * 400}]})
BODY = {"messages": [{"role": "user", "content": "sales.gro<cursor>"}], "max_tokens": 160}
COMPLETION = ChatRequest("m", BODY, task="inline_completion", interactive=False)
TYPING = {"X-RSQL-Task": "inline_completion"}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def of_a_class(own=None, **limits):
    """The limits of one class, and those of completions if they are not the default ones."""
    settings = Settings(tenants=(TenantSettings("stats101", limits=CallerLimits(**limits)),))
    return Limits(replace(settings, inline_completion=own or InlineCompletionSettings()), clock=Clock())


async def ask(limits, caller=ADA, request=QUESTION):
    async with limits.take(caller, request) as taken:
        taken.settle(TokenUsage(10, 5))


async def refused(limits, caller=ADA, request=QUESTION):
    with pytest.raises(LimitExceeded) as error:
        await ask(limits, caller, request)
    return error.value


async def served_until_refused(limits, request, most=10_000):
    """How many requests of a class are served, its students taking turns, and why no more are."""
    for count in range(most):
        try:
            await ask(limits, CLASS[count % len(CLASS)], request)
        except LimitExceeded as error:
            return count, error
    return most, None


@pytest.mark.asyncio
async def test_a_class_that_types_all_day_keeps_all_its_questions():
    limits = of_a_class(requests_per_day=200)
    count, error = await served_until_refused(limits, COMPLETION)
    assert count == 100
    assert error.message.startswith("Your group's limit of 100 requests per day for inline completions is reached.")
    assert error.limit == "tenant requests day inline_completion"
    assert error.retry_after == 86_400.0
    room = {"current": 0, "limit": 200, "remaining": 200}
    assert limits.stats(ADA)["shared_limits"]["day"] == room
    assert limits.headers(ADA)["x-ratelimit-remaining-requests"] == "200"
    assert (await served_until_refused(limits, QUESTION))[0] == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "limit",
    [*(f"requests_per_{period}" for period in ("minute", "hour", "day")), "tokens_per_minute", "tokens_per_day"],
)
@pytest.mark.parametrize("scope", ["key", "caller", "tenant", "everyone"])
async def test_in_every_window_of_everybody_completions_are_counted_apart(scope, limit):
    amount = 30 if limit.startswith("requests") else 30_000
    own = CallerLimits(**{limit: amount})
    settings = Settings(**({} if scope == "key" else {scope: own}), inline_completion=InlineCompletionSettings(0.1))
    limits, caller = Limits(settings, clock=Clock()), replace(ADA, key="k1", limits=own if scope == "key" else None)
    few = 0
    for _ in range(1_000):
        try:
            async with limits.take(caller, COMPLETION) as taken:
                taken.settle(TokenUsage(900, 100))
            few += 1
        except LimitExceeded:
            break
    assert few == 3
    for _ in range(30):
        async with limits.take(caller, QUESTION) as taken:
            taken.settle(TokenUsage(900, 100))
    await refused(limits, caller)


@pytest.mark.asyncio
async def test_who_has_reached_a_limit_gets_no_completions_either():
    limits = of_a_class(requests_per_day=3)
    await ask(limits, ADA, COMPLETION)
    for _ in range(3):
        await ask(limits)
    error = await refused(limits, CLASS[1], COMPLETION)
    assert error.message.startswith("Your group's limit of 3 requests per day is reached.")
    limits.counters.clock.now += error.retry_after
    await ask(limits, CLASS[1], COMPLETION)


@pytest.mark.asyncio
async def test_each_caller_has_a_limit_of_completions_where_there_is_no_other():
    limits = of_a_class()
    for _ in range(20):
        await ask(limits, ADA, COMPLETION)
    assert (await refused(limits, ADA, COMPLETION)).retry_after == 60.0
    await ask(limits, CLASS[1], COMPLETION)
    await ask(limits, ADA)
    none = of_a_class(InlineCompletionSettings(requests_per_minute=0))
    assert (await refused(none, ADA, COMPLETION)).retry_after is None
    await ask(none, ADA)


@pytest.mark.asyncio
async def test_places_of_questions_are_never_taken_by_completions():
    limits = of_a_class(concurrency=3)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(limits.take(ADA, COMPLETION))
        assert "2 requests at once for inline completions" in (await refused(limits, ADA, COMPLETION)).message
        for _ in range(3):
            await stack.enter_async_context(limits.take(ADA, QUESTION))
        assert "3 requests at once is reached" in (await refused(limits)).message
    await ask(limits, ADA, COMPLETION)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (BODY | {"messages": [{"role": "user", "content": "x" * 16_000}]}, "may have 4,000 tokens"),
        (BODY | {"max_tokens": 4_000}, "may have 4,000 tokens"),
        (BODY | {"n": 30}, "may have 4,000 tokens"),
        ({"messages": BODY["messages"]}, "max_tokens"),
    ],
    ids=["long prompt", "long answer", "many answers", "answer of any length"],
)
async def test_what_is_large_is_no_completion(body, why):
    error = await refused(of_a_class(), ADA, replace(COMPLETION, body=body))
    assert why in error.message
    assert error.retry_after is None


def used(limits, caller=ADA):
    """What counts of questions per day, and whether another completion of this day is served."""

    async def is_served():
        try:
            async with limits.take(caller, COMPLETION):
                return True
        except LimitExceeded:
            return False

    return limits.stats(caller)["shared_limits"]["day"]["current"], asyncio.run(is_served())


def test_a_restart_counts_completions_apart_as_before():
    limits = of_a_class(requests_per_day=8)
    entry = Used(990.0, "eve", "stats101", "k", "m", 1, 9, 1, 1, 10)
    limits.restore([entry, entry._replace(is_inline=True, counted=3)], 1000.0)
    assert used(limits) == (1, True)
    limits.restore([entry._replace(is_inline=True)], 1000.0)
    assert used(limits) == (1, False)


def test_completions_are_given_back_and_forgotten_with_all_else():
    limits = of_a_class(requests_per_day=2)
    asyncio.run(ask(limits, ADA, COMPLETION))
    assert used(limits) == (0, False)
    asyncio.run(limits.reset_daily())
    assert used(limits) == (0, True)
    asyncio.run(ask(limits, ADA, COMPLETION))
    assert asyncio.run(limits.forget(ADA.name))
    assert not [name for name in limits.counters._counts if ADA.name in name and not name.endswith("/concurrent")]


# Through the gateway.


@pytest.mark.asyncio
async def test_a_completion_says_what_it_is_and_goes_behind_people(served):
    async with served() as gateway:
        assert (await gateway.ask(BODY, headers=TYPING)).status_code == 200
        [(_, request)] = gateway.gateway.asked
        assert (request.task, request.interactive, request.whole) == ("inline_completion", False, False)


@pytest.mark.asyncio
async def test_the_questions_of_a_class_pass_when_its_completions_are_used_up(served):
    settings = Settings(
        default_model="llama", tenants=(TenantSettings("stats101", limits=CallerLimits(requests_per_day=6)),)
    )
    async with served(settings) as gateway:
        replies = [await gateway.ask(BODY, headers=TYPING) for _ in range(5)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429, 429]
        assert replies[-1].json()["error"]["code"] == "rate_limit_exceeded"
        assert float(replies[-1].headers["Retry-After"]) > 3600
        stats = (await gateway.get("stats")).json()
        assert stats["shared_limits"]["day"] == {"current": 0, "limit": 6, "remaining": 6}
        assert [(await gateway.ask()).status_code for _ in range(7)] == [200] * 6 + [429]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_money_of_a_class_counts_for_completions_too(served, url):
    def answer(_):
        usage = {"prompt_tokens": 900, "completion_tokens": 100}
        return httpx.Response(200, json={"choices": [{"index": 0, "message": {"content": "x"}}], "usage": usage})

    settings = Settings(
        default_model="llama",
        keys=(KeySettings("vllm", Secret("k"), base_url="http://llm.test/v1", models=("llama",)),),
        prices=PriceSettings(models=(("llama", ModelPrice(1000.0, 1000.0)),)),
        tenants=(TenantSettings("stats101", limits=CallerLimits(usd_per_day=2.5)),),
        storage=StorageSettings(ledger=url),
    )
    async with served(settings, fake=False, transport=httpx.MockTransport(answer)) as gateway:
        codes = []
        for _ in range(4):
            reply = await gateway.ask(BODY, headers=TYPING)
            codes.append(reply.json().get("error", {}).get("code", reply.status_code))
        assert codes == [200, 200, "budget_exceeded", "budget_exceeded"]
        used = list(gateway.app.accounting.ledger.used(time.time() - 60, exact=0.0))
        assert [(row.is_inline, row.counted) for row in used if row.counted] == [(True, 1)] * 2
