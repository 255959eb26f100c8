"""The sixteen ways of failing that public failover suites try (failoverbench and others), each with its one good end.

A model `m` with one key, which fails; a fallback `small` at another address, which the caller's tenant allows.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from gateway_runs import FULL, IMPATIENT, Falls, Settled, Told, ask, key, running
from simulated_provider import WORDS, Fault, SimulatedProvider

from jupyter_server_ext.errors import RsqlGatewayError

TOO_LONG = Fault("status", 400, {"error": {"message": "maximum context length", "code": "context_length_exceeded"}})
FILTERED = Fault("status", 400, {"error": {"message": "filtered", "code": "content_filter"}})


@dataclass(frozen=True)
class Scenario:
    """What the first model does, and what must come of it.

    Args:
        name: What it is.
        faults: What happens to the first requests for `m`.
        always: What happens to all of them.
        slow: Seconds until the first provider begins an answer.
        answered_by: The model that answers; empty where the caller gets an error.
        tries: How often `m` is asked.
        code: The error's code, before an answer or as the last event of one.
        kept: Words that the caller has before the error.
        waits: Seconds that pass at least.
        stream: Whether a stream is asked for.
        fallback: Whether the fallback may be used.
    """

    name: str
    faults: tuple[Fault, ...] = ()
    always: Fault | None = None
    slow: float = 0.0
    answered_by: str = "m"
    tries: int = 1
    code: str = ""
    kept: int = 0
    waits: float = 0.0
    stream: bool = True
    fallback: bool = True


SCENARIOS = [
    Scenario("429 with retry-after", (Fault("status", 429, headers={"retry-after-ms": "150"}),), tries=2, waits=0.15),
    Scenario("429 without retry-after", (Fault("status", 429),), tries=2),
    Scenario(
        "429 for longer than a person waits",
        always=Fault("status", 429, headers={"retry-after": "300"}),
        answered_by="small",
    ),
    Scenario("one 503", (Fault("status", 503),), tries=2, stream=False),
    Scenario("nothing but 500", always=Fault("status", 500), answered_by="small", tries=3),
    Scenario("connection reset", (Fault("reset"),), tries=2),
    Scenario("silence", always=Fault("hang"), answered_by="small"),
    Scenario("slow first token", slow=3.0, answered_by="small"),
    Scenario("stream cut", always=Fault("cut"), answered_by="", code="upstream_failed", kept=3),
    Scenario("stream stalled", always=Fault("stall"), answered_by="", code="upstream_timeout", kept=3),
    Scenario("malformed event in a stream", always=Fault("malformed"), answered_by="", code="upstream_failed", kept=3),
    Scenario("stream that ends unfinished", always=Fault("unfinished"), answered_by="", code="upstream_failed", kept=3),
    Scenario("context length", always=TOO_LONG, answered_by="", code="context_length_exceeded", fallback=False),
    Scenario("content filter", always=FILTERED, answered_by="", code="content_filter"),
    Scenario("flapping primary", (Fault("status", 503), Fault("reset")), tries=3),
    Scenario("accounting of a body that broke", (Fault("cut"),), tries=2, stream=False),
]


@dataclass
class Course:
    """What came of a scenario."""

    told: Told = field(default_factory=Told)
    error: RsqlGatewayError | None = None
    seconds: float = 0.0
    billed: list[Any] = field(default_factory=list)
    asked: int = 0


async def play(scenario: Scenario) -> Course:
    course, limits = Course(), Settled()
    async with SimulatedProvider(first_token=scenario.slow, pace=0.01) as first, SimulatedProvider() as other:
        first.next("m", *scenario.faults)
        if scenario.always is not None:
            first.always["m"] = scenario.always
        keys = [key(first, "k1", models=("m",)), key(other, "k2", models=("small",))]
        policy = Falls(*(["small"] if scenario.fallback else []))
        async with running(*keys, pool=IMPATIENT, limits=limits, policy=policy) as gateway:
            start = time.monotonic()
            try:
                await ask(gateway, stream=scenario.stream, told=course.told)
            except RsqlGatewayError as error:
                course.error = error
            course.seconds = time.monotonic() - start
        course.asked = len(first.of("m"))
    course.billed = limits.usages
    return course


@pytest.mark.asyncio
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_ends_as_it_should(scenario):
    course = await play(scenario)

    assert course.asked == scenario.tries
    assert scenario.waits <= course.seconds < 10.0, "in bounded time, on a busy machine too"
    if scenario.answered_by:
        assert course.error is None
        assert course.told.text == FULL
        assert course.told.rsql["model"] == scenario.answered_by
        assert course.told.done == scenario.stream
        assert [usage.completion_tokens for usage in course.billed] == [len(WORDS[:8])], "billed once"
        assert not course.billed[0].estimated
    elif scenario.kept:
        assert course.told.text == " ".join(WORDS[: scenario.kept]), "what arrived is kept, and nothing repeated"
        assert course.told.error["code"] == scenario.code
        assert not course.told.done, "no [DONE] after an error"
        assert course.billed[0].completion_tokens > 0, "and billed"
    else:
        assert course.error.code == scenario.code
        assert course.error.status == 400, "the caller's fault"
        assert not course.billed


def test_there_are_sixteen():
    assert len({scenario.name for scenario in SCENARIOS}) == 16
