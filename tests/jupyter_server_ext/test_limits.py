"""Limits of callers, tenants and everyone: exact, all or nothing, and given back."""

from __future__ import annotations

import asyncio
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jupyter_server_ext.config import CallerLimits, Settings, TenantSettings
from jupyter_server_ext.errors import LimitExceeded, NoCapacity, UpstreamRefused
from jupyter_server_ext.limits import Limits, RollingWindow, merged
from jupyter_server_ext.limits.limits import NO_LIMIT, Need, duration, estimated, in_words
from jupyter_server_ext.messages import Caller, ChatRequest, TokenUsage

ADA = Caller("ada", tenant="stats101")
BOB = Caller("bob", tenant="stats101")
CAT = Caller("cat")
REQUEST = ChatRequest("m", {"messages": [{"role": "user", "content": "x" * 400}]})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(coroutine):
    return asyncio.run(coroutine)


async def ask(limits, caller=ADA, usage=TokenUsage(10, 5), need=None):  # noqa: B008
    async with limits.take(caller, REQUEST, need) as taken:
        taken.settle(usage)


async def refused(limits, caller=ADA, need=None) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as error:
        await ask(limits, caller, need=need)
    return error.value


def test_the_eleventh_request_of_a_minute_is_told_when_to_come_back():
    clock = Clock()
    limits = Limits(Settings(caller=CallerLimits(requests_per_minute=10)), clock=clock)

    async def scenario():
        for _ in range(10):
            await ask(limits)
            clock.now += 1
        error = await refused(limits)
        assert error.status == 429
        assert error.retry_after == 50.0
        assert error.message == "Your limit of 10 requests per minute is reached. Try again in 50 s."
        clock.now += error.retry_after
        await ask(limits)
        await refused(limits)

    run(scenario())


def test_callers_do_not_share_their_limits_but_a_tenant_and_everyone_do():
    clock = Clock()
    limits = Limits(
        Settings(
            caller=CallerLimits(requests_per_minute=2),
            tenant=CallerLimits(requests_per_minute=100),
            tenants=(TenantSettings("stats101", limits=CallerLimits(requests_per_minute=3)),),
            everyone=CallerLimits(requests_per_minute=4),
        ),
        clock=clock,
    )

    async def scenario():
        await ask(limits, ADA)
        await ask(limits, ADA)
        assert "Your limit" in (await refused(limits, ADA)).message
        await ask(limits, BOB)
        assert "Your group's limit" in (await refused(limits, BOB)).message
        await ask(limits, CAT)
        assert "for everyone together" in (await refused(limits, CAT)).message

    run(scenario())


def test_what_is_left_with_others_is_told_of_the_nearest_only():
    group, everyone = CallerLimits(requests_per_day=8, requests_per_minute=5), CallerLimits(requests_per_day=9)
    limits = Limits(Settings(tenant=group, everyone=everyone), clock=Clock())

    async def scenario():
        for caller in (ADA, CAT, CAT):  # CAT is in no group
            await ask(limits, caller)
        assert limits.stats(CAT)["shared_limits"] == {"day": {"current": 3, "limit": 9, "remaining": 6}}
        assert limits.stats(BOB)["shared_limits"] == {
            "minute": {"current": 1, "limit": 5, "remaining": 4},
            "day": {"current": 3, "limit": 9, "remaining": 6},  # everyone's is nearer than the group's
        }

    run(scenario())


def test_a_refusal_takes_nothing_anywhere():
    limits = Limits(
        Settings(caller=CallerLimits(requests_per_minute=5), everyone=CallerLimits(requests_per_day=1)), clock=Clock()
    )

    async def scenario():
        await ask(limits, CAT)
        before = limits.stats(ADA), limits.headers(ADA)
        await refused(limits, ADA)
        assert (limits.stats(ADA), limits.headers(ADA)) == before
        assert before[0]["limits"]["minute"] == {"current": 0, "limit": 5, "remaining": 5}

    run(scenario())


@pytest.mark.parametrize("failure", [NoCapacity("all keys are busy"), asyncio.CancelledError(), ValueError()])
def test_what_was_not_answered_is_given_back(failure):
    limits = Limits(
        Settings(caller=CallerLimits(requests_per_minute=1, tokens_per_day=1000, concurrency=1)), clock=Clock()
    )

    async def scenario():
        taken = limits.take(ADA, REQUEST)
        await taken.__aenter__()
        assert limits.stats(ADA)["limits"]["minute"]["remaining"] == 0
        assert limits.stats(ADA)["concurrency"]["remaining"] == 0
        await taken.__aexit__(type(failure), failure, None)
        stats = limits.stats(ADA)
        assert stats["limits"]["minute"] == {"current": 0, "limit": 1, "remaining": 1}
        assert stats["tokens"]["day"]["current"] == 0
        assert stats["concurrency"]["current"] == 0

    run(scenario())


def test_a_request_that_the_provider_found_at_fault_counts_without_tokens():
    limits = Limits(Settings(caller=CallerLimits(requests_per_minute=5, tokens_per_day=1000)), clock=Clock())

    async def scenario():
        with pytest.raises(UpstreamRefused):
            async with limits.take(ADA, REQUEST):
                raise UpstreamRefused("context length")
        assert limits.stats(ADA)["limits"]["minute"]["current"] == 1
        assert limits.stats(ADA)["tokens"]["day"]["current"] == 0

    run(scenario())


def test_a_failure_after_the_answer_began_keeps_what_was_settled():
    limits = Limits(Settings(), clock=Clock())

    async def scenario():
        taken = limits.take(ADA, REQUEST)
        await taken.__aenter__()
        taken.settle(TokenUsage(10, 5))
        await taken.__aexit__(asyncio.CancelledError, asyncio.CancelledError(), None)
        assert limits.stats(ADA)["tokens"]["minute"]["current"] == 15
        assert limits.stats(ADA)["limits"]["day"]["current"] == 1

    run(scenario())


def test_concurrency_counts_what_is_under_way():
    clock = Clock()
    limits = Limits(Settings(caller=CallerLimits(concurrency=2)), clock=clock)

    async def scenario():
        async with limits.take(ADA, REQUEST):
            async with limits.take(ADA, REQUEST):
                error = await refused(limits)
                assert "2 requests at once" in error.message
                assert 0 < error.retry_after < 2
                clock.now += 1
            async with limits.take(ADA, REQUEST):
                pass
        assert limits.stats(ADA)["concurrency"] == {"current": 0, "limit": 2, "remaining": 2}

    run(scenario())


def test_a_place_among_everyone_is_waited_for_elsewhere_but_none_at_all_is_refused():
    limits = Limits(Settings(everyone=CallerLimits(concurrency=1)))
    closed = Limits(Settings(everyone=CallerLimits(concurrency=0)))

    async def scenario():
        async with limits.take(ADA, REQUEST):
            await ask(limits, CAT)
        assert (await refused(closed)).retry_after is None

    run(scenario())


def test_zero_is_none_allowed_and_says_no_time():
    limits = Limits(Settings(caller=CallerLimits(requests_per_day=0)))

    assert run(refused(limits)).retry_after is None


def test_tokens_are_reserved_before_and_corrected_after():
    clock = Clock()
    limits = Limits(Settings(caller=CallerLimits(tokens_per_minute=1000)), clock=clock)

    async def scenario():
        async with limits.take(ADA, REQUEST, Need(600, 300)) as taken:
            assert "tokens per minute" in (await refused(limits, need=Need(101, 0))).message
            taken.settle(TokenUsage(600, 20))
        await ask(limits, need=Need(300, 80), usage=TokenUsage(300, 80))
        clock.now += 59.9
        assert (await refused(limits, need=Need(1, 0))).retry_after == pytest.approx(0.1)

    run(scenario())


def test_an_estimate_above_the_limit_passes_when_nothing_else_counts():
    clock = Clock()
    limits = Limits(Settings(caller=CallerLimits(tokens_per_minute=1000)), clock=clock)

    async def scenario():
        await ask(limits, need=Need(900, 4000), usage=TokenUsage(900, 50))
        assert (await refused(limits, need=Need(900, 4000))).retry_after == 60.0

    run(scenario())


def test_a_question_longer_than_the_limit_is_told_to_be_shorter():
    limits = Limits(Settings(caller=CallerLimits(tokens_per_minute=100)))

    error = run(refused(limits, need=Need(101, 0)))

    assert error.retry_after is None
    assert "shorten it" in error.message


def test_tokens_are_estimated_from_the_text_and_the_longest_answer():
    assert estimated(REQUEST).prompt == pytest.approx(108, abs=5)
    assert estimated(ChatRequest("m", {"messages": [], "max_tokens": 50})).completion == 50
    assert estimated(ChatRequest("m", {"messages": [], "max_tokens": "all"})).completion == 0


def test_headers_tell_the_window_with_least_left():
    clock = Clock()
    limits = Limits(Settings(caller=CallerLimits(requests_per_minute=10, requests_per_day=11)), clock=clock)

    async def scenario():
        for _ in range(5):
            await ask(limits)
        assert limits.headers(ADA)["x-ratelimit-remaining-requests"] == "5"
        clock.now += 61
        await ask(limits)
        assert limits.headers(ADA) == {
            "x-ratelimit-limit-requests": "11",
            "x-ratelimit-remaining-requests": "5",
            "x-ratelimit-reset-requests": "24h0m0s",
            "x-ratelimit-limit-tokens": str(NO_LIMIT),
            "x-ratelimit-remaining-tokens": str(NO_LIMIT),
            "x-ratelimit-reset-tokens": "0ms",
        }

    run(scenario())


@pytest.mark.slow
def test_use_is_shown_without_a_limit_too():
    clock = Clock()
    limits = Limits(Settings(), clock=clock)

    async def scenario():
        for _ in range(10_000):
            await ask(limits, usage=TokenUsage(1, 1))
            clock.now += 0.01
        stats = limits.stats(ADA)
        assert stats["limits"]["hour"] == {"current": 10_000, "limit": None, "remaining": None}
        assert stats["tokens"]["minute"]["current"] == pytest.approx(12_000, rel=0.02)

    run(scenario())


def test_resetting_the_day_leaves_the_minute_and_open_requests_right():
    clock = Clock()
    limits = Limits(
        Settings(caller=CallerLimits(requests_per_minute=5, requests_per_day=5, tokens_per_day=200)), clock=clock
    )

    async def scenario():
        await ask(limits)
        async with limits.take(ADA, REQUEST, Need(50, 0)) as taken:
            assert await limits.reset_daily() == 1
            taken.settle(TokenUsage(20, 0))
        stats = limits.stats(ADA)
        assert stats["limits"]["day"]["current"] == 0
        assert stats["limits"]["minute"]["current"] == 2
        assert stats["tokens"]["day"]["current"] == 0
        assert await limits.reset_daily() == 0

    run(scenario())


@pytest.mark.slow
def test_a_storm_of_refusals_leaves_nothing_behind():
    limits = Limits(Settings(caller=CallerLimits(requests_per_day=10)), clock=Clock())

    async def scenario():
        for _ in range(300):
            opened = [limits.take(ADA, REQUEST) for _ in range(10)]
            for taken in opened:
                await taken.__aenter__()
            for taken in opened:
                await taken.__aexit__(NoCapacity, NoCapacity(""), None)

    run(scenario())
    window = limits.counters._counts["caller:ada/requests/day"]
    assert len(window._slices) == 0


def test_what_a_tenant_has_of_its_own_comes_first():
    base, own = CallerLimits(requests_per_day=5, concurrency=2), CallerLimits(requests_per_day=0)

    assert merged(base, own) == CallerLimits(requests_per_day=0, concurrency=2)


class Recount:
    """The limits of one caller, by counting everything again at every step."""

    def __init__(self, own: CallerLimits) -> None:
        self.own = own
        self.counted: list[list[float]] = []  # [time, tokens]
        self.opened = 0

    def at(self, now):
        live = [entry for entry in self.counted if entry[0] + 60 > now]
        return len(live), sum(entry[1] for entry in live)

    def need(self, expected):
        return min(expected, self.own.tokens_per_minute) or int(self.own.tokens_per_minute == 0)

    def fits(self, expected, now):
        requests, tokens = self.at(now)
        room = requests < self.own.requests_per_minute and self.opened < self.own.concurrency
        reserved = self.need(expected)
        enough = tokens + reserved <= self.own.tokens_per_minute
        return room and expected <= self.own.tokens_per_minute and enough


async def attempt(limits, model, expected, clock):
    """Both must agree whether a request may start, and the time a refusal tells must be right."""
    taken, fits = limits.take(ADA, REQUEST, Need(expected, 0)), model.fits(expected, clock.now)
    try:
        await taken.__aenter__()
    except LimitExceeded as error:
        wait = error.retry_after
    else:
        wait = 0.0
    assert fits == (wait == 0.0)
    if wait != 0.0:
        if wait is not None and model.opened < model.own.concurrency:
            assert model.fits(expected, clock.now + wait)
            assert not model.fits(expected, clock.now + wait - 0.5)
        return None
    entry = [clock.now, float(model.need(expected))]
    model.counted.append(entry)
    model.opened += 1
    return taken, entry


STEPS = st.lists(
    st.tuples(
        st.integers(0, 25),  # seconds since the step before
        st.sampled_from(["take", "take", "take", "settle", "fail"]),
        st.integers(0, 40),  # tokens expected
        st.integers(0, 60),  # tokens used
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(STEPS, st.integers(0, 6), st.integers(0, 80), st.integers(0, 3))
def test_limits_are_those_of_a_model_that_recounts_everything(steps, requests, tokens, concurrency):
    clock = Clock()
    own = CallerLimits(requests_per_minute=requests, tokens_per_minute=tokens, concurrency=concurrency)
    limits, model, opened = Limits(Settings(caller=own), clock=clock), Recount(own), []

    async def scenario():
        for pause, action, expected, used in steps:
            clock.now += pause
            if action == "take":
                opened.extend(filter(None, [await attempt(limits, model, expected, clock)]))
            elif opened:
                taken, entry = opened.pop(0)
                if action == "settle":
                    taken.settle(TokenUsage(used, 0))
                    entry[1] = used
                else:
                    model.counted.remove(entry)
                model.opened -= 1
                await taken.__aexit__(None, None, None)
            stats = limits.stats(ADA)
            shown = stats["limits"]["minute"]["current"], stats["tokens"]["minute"]["current"]
            assert shown == model.at(clock.now)
            assert stats["concurrency"]["current"] == model.opened

    run(scenario())


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 9)), max_size=50), st.integers(0, 20))
def test_a_window_never_holds_more_than_its_limit_and_waits_no_longer_than_it_must(steps, limit):
    window, now, taken = RollingWindow(60.0, limit), 0.0, []
    for pause, amount in steps:
        now += pause
        wait = window.wait(now, amount)
        moments = [now, *(at + 60.0 for at, _ in taken if at + 60.0 > now)]
        fits = [at for at in moments if sum(a for t, a in taken if t + 60.0 > at) + amount <= limit]
        assert wait == (min(fits) - now if fits else math.inf) or (amount == 0 and wait == 0.0)
        if wait == 0.0:
            window.take(now, amount)
            taken.append((now, amount))


@given(st.floats(0, 1e6))
def test_durations_are_never_too_short(seconds):
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?(?:(\d+)ms)?", duration(seconds))
    hours, minutes, rest, thousandths = (float(part or 0) for part in parts.groups())
    told = hours * 3600 + minutes * 60 + rest + thousandths / 1000

    assert seconds - 1e-4 <= told <= seconds + 0.0101
    assert in_words(seconds)
