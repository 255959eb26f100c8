"""The sixteen faults of failoverbench's public catalogue, each with its end, and some more.

https://github.com/failoverbench/failoverbench, ``scenarios/catalogue.yaml``, methodology 0.1. A model ``m`` with one
key, which fails; a fallback ``small`` at another address, which the caller's tenant allows. Times are shorter than the
catalogue's. Its reference is a client that collects an answer before it shows any of it, so after a cut it can ask
again. So does the gateway where an answer is wanted whole, and all sixteen end as the reference's. A word that was
passed on can't be taken back: live, S08, S09 and S14 end in one error event, without ``[DONE]``, as the catalogue
allows ("or return a clear error").
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from gateway_runs import FULL, IMPATIENT, Falls, Settled, Told, ask, key, now, running
from simulated_provider import WORDS, Fault, SimulatedProvider
from virtual_time import run

from jupyter_server_ext.config import KeySettings, PoolSettings, Secret
from jupyter_server_ext.errors import RsqlGatewayError
from jupyter_server_ext.keys import KeyPool, KeyQueue
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.upstream import Job, KeyRotatingTransport

TOO_LONG = Fault("status", 400, {"error": {"message": "maximum context length", "code": "context_length_exceeded"}})
AGAINST_POLICY = Fault("status", 400, {"error": {"message": "rejected", "code": "content_policy_violation"}})
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
        kept: What the caller has before the error.
        waits: Seconds that pass at least.
        stream: Whether a stream is asked for.
        fallback: Whether the fallback may be used.
        whole: Whether the stream is wanted only when all of it is there.
    """

    name: str
    faults: tuple[Fault, ...] = ()
    always: Fault | None = None
    slow: float = 0.0
    answered_by: str = "m"
    tries: int = 1
    code: str = ""
    kept: str = ""
    waits: float = 0.0
    stream: bool = True
    fallback: bool = True
    whole: bool = False


def broken(name: str, fault: str, code: str = "upstream_failed", kept: str = " ".join(WORDS[:3])) -> Scenario:
    """A stream that breaks after three words."""
    return Scenario(name, always=Fault(fault), answered_by="", code=code, kept=kept)


CATALOGUE = [
    Scenario("S01 429 with Retry-After", (Fault("status", 429, headers={"retry-after": "1"}),), tries=2, waits=1.0),
    Scenario("S02 429 without, persistent", always=Fault("status", 429), answered_by="small", tries=3, waits=0.5),
    Scenario("S03 500 once", (Fault("status", 500),), tries=2),
    Scenario("S04 503 persistent", always=Fault("status", 503), answered_by="small", tries=3, waits=0.5),
    Scenario("S05 reset before headers", (Fault("reset"),), tries=2),
    Scenario("S06 no response at all", always=Fault("hang"), answered_by="small"),
    Scenario("S07 headers at once, slow first token", always=Fault("comments"), answered_by="small"),
    broken("S08 stream cut", "cut"),
    broken("S09 stream stalls", "stall", "upstream_timeout"),
    Scenario("S10 malformed event in a stream", always=Fault("malformed")),
    Scenario("S11 whole stream without [DONE]", always=Fault("no_done")),
    Scenario("S12 context length", always=TOO_LONG, answered_by="small"),
    Scenario("S13 content policy", always=AGAINST_POLICY, answered_by="", code="content_policy_violation"),
    broken("S14 stream cut, fallback without prefill", "cut"),
    Scenario("S16 accounting of a failover", always=Fault("status", 503), answered_by="small", tries=3),
]
REFERENCE = {"S08": ("small", 3), "S09": ("small", 1), "S14": ("small", 3)}  # who answers, after how many tries of `m`


def as_reference(scenario: Scenario) -> Scenario:
    """It, with the answer wanted whole."""
    answered_by, tries = REFERENCE[scenario.name[:3]]
    name = f"{scenario.name}, whole"
    return replace(scenario, name=name, whole=True, answered_by=answered_by, tries=tries, code="", kept="")


WHOLE = [as_reference(scenario) for scenario in CATALOGUE if scenario.name[:3] in REFERENCE]
MORE = [
    Scenario("429 without retry-after", (Fault("status", 429),), tries=2),
    Scenario(
        "429 for longer than a person waits",
        always=Fault("status", 429, headers={"retry-after": "300"}),
        answered_by="small",
    ),
    Scenario("slow headers", slow=3.0, answered_by="small"),
    broken("stream that ends unfinished", "unfinished"),
    broken("error event in a stream", "error"),
    broken("damaged event that held a word", "damaged", kept=" ".join(word for word in WORDS[:8] if word != WORDS[3])),
    Scenario("damaged event that held a word, whole", (Fault("damaged"),), tries=2, whole=True),
    Scenario("cut once, whole", (Fault("cut"),), tries=2, whole=True),
    Scenario("error event once, whole", (Fault("error"),), tries=2, whole=True),
    Scenario("ends unfinished, whole", (Fault("unfinished"),), tries=2, whole=True),
    Scenario(
        "context length, no fallback", always=TOO_LONG, answered_by="", code="context_length_exceeded", fallback=False
    ),
    Scenario("content filter", always=FILTERED, answered_by="", code="content_filter"),
    Scenario("503 and a reset", (Fault("status", 503), Fault("reset")), tries=3),
    Scenario("S08 as a body", (Fault("cut"),), tries=2, stream=False),
    Scenario("S08 as a body, persistent", always=Fault("cut"), answered_by="small", tries=3, stream=False),
    Scenario("S10 as a body", (Fault("malformed"),), tries=2, stream=False),
]


@dataclass
class Course:
    """What came of a scenario."""

    told: Told = field(default_factory=Told)
    error: RsqlGatewayError | None = None
    seconds: float = 0.0
    billed: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # of requests for `m`
    alive: Told = field(default_factory=Told)


async def play(scenario: Scenario) -> Course:
    course, limits = Course(), Settled()
    async with SimulatedProvider(first_token=scenario.slow, pace=0.01) as first, SimulatedProvider() as other:
        first.next("m", *scenario.faults)
        if scenario.always is not None:
            first.always["m"] = scenario.always
        keys = [key(first, "k1", models=("m",)), key(other, "k2", models=("small",))]
        policy = Falls(*(["small"] if scenario.fallback else []))
        async with running(*keys, pool=IMPATIENT, limits=limits, policy=policy) as gateway:
            start = now()
            try:
                await ask(gateway, stream=scenario.stream, whole=scenario.whole, told=course.told)
            except RsqlGatewayError as error:
                course.error = error
            course.seconds = now() - start
            course.billed = list(limits.usages)
            course.alive = await ask(gateway, model="small", stream=False)
        course.times = [request.at for request in first.of("m")]
        assert all(request.body["messages"][-1]["role"] == "user" for request in other.requests), "no prefill"
    return course


@pytest.mark.asyncio(loop_factories=["virtual"])
@pytest.mark.parametrize("scenario", [*CATALOGUE, *WHOLE, *MORE], ids=lambda scenario: scenario.name)
async def test_ends_as_it_should(scenario):
    course = await play(scenario)

    assert len(course.times) == scenario.tries
    assert scenario.waits <= course.seconds < 10.0, "in bounded time, on a busy machine too"
    assert sum(at < course.times[0] + 3.0 for at in course.times) <= 4, "nobody is hammered"
    assert course.alive.text == FULL, "alive after that"
    if scenario.answered_by:
        assert course.error is None
        assert course.told.text == FULL
        assert course.told.rsql["model"] == scenario.answered_by
        assert {event["model"] for event in course.told.events if event.get("model")} == {scenario.answered_by}
        assert course.told.done == scenario.stream
        assert [usage.completion_tokens for usage in course.billed] == [len(WORDS[:8])], "billed once"
        assert not course.billed[0].estimated
    elif scenario.kept:
        assert course.told.text == scenario.kept, "what arrived is kept, and nothing repeated"
        assert course.told.error["code"] == scenario.code
        assert not course.told.done, "no [DONE] after an error"
        assert course.billed[0].completion_tokens > 0, "and billed"
    else:
        assert course.error.code == scenario.code
        assert course.error.status == 400, "the caller's fault"
        assert not course.billed


@pytest.mark.slow
@pytest.mark.asyncio(loop_factories=["virtual"])
async def test_retry_after_is_waited_for():
    course = await play(CATALOGUE[0])

    assert course.times[1] - course.times[0] >= 0.9


class Flapping(httpx.AsyncBaseTransport):
    """A provider whose model `m` answers 503 for the first minute."""

    def __init__(self, clock):
        self.clock, self.asked, self.answered = clock, [], []

    async def handle_async_request(self, request):
        body = await request.aread()
        if b'"m"' not in body:
            return self.answer()
        self.asked.append(self.clock())
        if self.clock() < 60.0:
            return httpx.Response(503, json={"error": {"message": "overloaded"}})
        self.answered.append(self.clock())
        return self.answer()

    def answer(self):
        choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
        data = {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}
        return httpx.Response(200, json=data)


@pytest.mark.slow
@pytest.mark.parametrize("every", [4.0, 1.0, 0.2])
def test_s15_a_primary_that_flaps(every):
    """Served by the fallback while it is down, with few tries of it, and by it again soon after."""

    async def main(loop):
        names = {"k1": "m", "k2": "small"}
        keys = [KeySettings("sim", Secret(n), "http://sim/v1", name=n, models=(m,)) for n, m in names.items()]
        pool = KeyPool(keys, clock=loop.time)
        settings = replace(PoolSettings(), fallback_after_seconds=3.0)
        queue = KeyQueue(pool, settings)
        provider = Flapping(loop.time)
        transport = KeyRotatingTransport(queue, settings, lambda key: provider)
        waits = []
        for n in range(int(100 / every)):
            await asyncio.sleep(max(0.0, n * every - loop.time()))
            start = loop.time()
            job = Job(Caller("ada"), ChatRequest("m", {"messages": []}), start + 60.0, fallbacks=("small",))
            answer = await transport.answer(job)
            await answer.aclose()
            waits.append(loop.time() - start)
        await queue.close()
        return provider, waits

    provider, waits = run(main)

    down = [at for at in provider.asked if at < 60.0]
    assert max(waits) <= 4.0, "nobody waits for a model that is down"
    assert len(down) <= 15, "at most one for each of the catalogue's requests"
    assert min(provider.answered) - 60.0 <= 30.0, "back within half a minute"


def test_there_are_sixteen():
    assert [scenario.name[:3] for scenario in CATALOGUE] == [f"S{n:02}" for n in range(1, 17) if n != 15]
