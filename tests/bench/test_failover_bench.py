"""The sixteen faults of failoverbench's catalogue at their own times, against a real gateway: live, and wanted whole.

https://github.com/failoverbench/failoverbench, ``scenarios/catalogue.yaml``, methodology 0.1. One address, one key, a
fallback at the same address. *pass*: the caller has the whole answer (S13: the provider's reason) and the provider was
treated well. *safe*: no answer, but a clear error in time. Anything else fails.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from servers import free_port
from simulated_provider import WORDS, Fault, SimulatedProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.bench

ANSWER = " ".join(WORDS[n % len(WORDS)] for n in range(60))
OTHER = "other"
QUESTION = [{"role": "user", "content": "Why does a gateway earn trust only when its provider misbehaves?"}]
DOWN, EVERY, ASKED = 60.0, 4.0, 20  # S15: seconds that the provider is down, and how often it is asked
TOO_LONG = {"error": {"message": "maximum context length", "code": "context_length_exceeded"}}
AGAINST_POLICY = {"error": {"message": "rejected", "code": "content_policy_violation"}}


@dataclass(frozen=True)
class Scenario:
    """One fault, and what is asked of who meets it.

    Args:
        name: Its number and what it is.
        fault: What the provider does.
        once: Whether it does so to the first request only.
        seconds: The longest that it may take.
        fewest: Requests for the model at least.
        most: Requests for it at most.
        gap: Seconds between the first two at least.
        by_other: Whether the fallback must have answered, and say so.
        refused: The code of the error that the caller must get.
    """

    name: str
    fault: Fault
    once: bool = False
    seconds: float = 40.0
    fewest: int = 1
    most: int = 6
    gap: float = 0.0
    by_other: bool = False
    refused: str = ""

    @property
    def model(self) -> str:
        """The model that has the fault."""
        return self.name[:3].lower()


CUT = Fault("cut", after=40)
FLAPPING = Scenario("S15 down for a minute, then healthy", Fault("status", 503))
SCENARIOS = [
    Scenario("S01 429 with Retry-After", Fault("status", 429, headers={"retry-after": "2"}), True, 20, 2, 2, gap=1.8),
    Scenario("S02 429 without, persistent", Fault("status", 429)),
    Scenario("S03 500 once", Fault("status", 500), once=True, seconds=20, fewest=2),
    Scenario("S04 503 persistent", Fault("status", 503)),
    Scenario("S05 reset before headers", Fault("reset"), once=True, seconds=20),
    Scenario("S06 no response at all", Fault("hang"), seconds=100, most=1),
    Scenario("S07 no first token for 20 s", Fault("comments"), seconds=15),
    Scenario("S08 stream cut", CUT),
    Scenario("S09 stream stalls", Fault("stall", after=20), seconds=45),
    Scenario("S10 malformed event", Fault("malformed", after=10), seconds=30),
    Scenario("S11 no [DONE]", Fault("no_done"), seconds=8),
    Scenario("S12 context length", Fault("status", 400, TOO_LONG), seconds=20, most=1),
    Scenario(
        "S13 content policy",
        Fault("status", 400, AGAINST_POLICY),
        False,
        20,
        1,
        1,
        refused=AGAINST_POLICY["error"]["code"],
    ),
    Scenario("S14 cut, fallback without prefill", CUT),
    FLAPPING,
    Scenario("S16 accounting of a failover", Fault("status", 503), by_other=True),
]


@dataclass
class Course:
    """What a caller saw of one request."""

    text: str = ""
    code: str = ""
    model: str = ""
    usage: Any = None
    done: bool = False
    seconds: float = math.inf

    @property
    def outcome(self) -> str:
        """``whole``, ``error`` or, never to be seen, ``truncated``."""
        if self.code:
            return "error"
        return "whole" if self.done and self.text == ANSWER else "truncated"


@dataclass(frozen=True)
class Played:
    """How a scenario ended, and how long a request of it took at most."""

    said: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.said:>8}{self.seconds:5.1f} s"


@asynccontextmanager
async def gateway(folder: Path, provider: SimulatedProvider) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway in a process of its own, all settings as they come."""
    port, config = free_port(), folder / "rsql.toml"
    models = [scenario.model for scenario in SCENARIOS]
    falls = "".join(f'"{model}" = ["{OTHER}"]\n' for model in models)
    config.write_text(
        f'default_model = "{OTHER}"\n[[keys]]\nprovider = "here"\nkey = "k"\nbase_url = "{provider.url}"\n'
        f'models = {json.dumps([*models, OTHER])}\n[[api_keys]]\nname = "ada"\nkey = "ada-token"\ntenant = "class"\n'
        f"[tenants.class]\nfallbacks = true\n[fallbacks]\n{falls}",
        encoding="utf-8",
    )
    options = ("--ip", "127.0.0.1", "--port", str(port), "--gateway-config", str(config))
    own = {"JUPYTER_TOKEN": "bench", "JUPYTER_DATA_DIR": str(folder)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "jupyter_server_ext", *options),
        env=os.environ | own,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        headers = {"Authorization": "Bearer ada-token"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/rsql/", headers=headers, timeout=130) as client:
            for _ in range(400):
                with suppress(httpx.TransportError):
                    await client.get("health")
                    break
                await asyncio.sleep(0.05)
            yield client
    finally:
        process.terminate()
        await process.wait()


async def ask(client: httpx.AsyncClient, model: str, *, whole: bool) -> Course:
    """One question, read as a careful client reads a stream."""
    course, start = Course(), time.monotonic()
    body = {"model": model, "messages": QUESTION, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"X-RSQL-Whole": str(whole).lower()}
    async with client.stream("POST", "v1/chat/completions", json=body, headers=headers) as reply:
        if reply.status_code != 200:
            course.code = json.loads(await reply.aread())["error"]["code"]
        async for line in reply.aiter_lines():
            if line == "data: [DONE]":
                course.done = True
            elif line.startswith("data: "):
                take_in(course, json.loads(line[6:]))
    course.seconds = time.monotonic() - start
    return course


def take_in(course: Course, event: dict[str, Any]) -> None:
    """What one event brings."""
    if "error" in event:
        course.code = event["error"]["code"]
    for choice in event.get("choices") or ():
        course.text += choice["delta"].get("content") or ""
    course.model = event.get("model") or course.model
    course.usage = event.get("usage") or course.usage


def verdict(scenario: Scenario, course: Course, times: list[float]) -> str:
    """``pass``, ``safe``, or what is wrong."""
    wrongs = {
        "a part was given as the whole": course.outcome == "truncated",
        f"{course.seconds:.1f} s": course.seconds > scenario.seconds,
        f"asked {len(times)} times": not scenario.fewest <= len(times) <= scenario.most,
        "asked again too soon": scenario.gap > 0 and times[1] - times[0] < scenario.gap,
        "hammered": sum(at < times[0] + 3.0 for at in times) > 4,
        "a refusal was circumvented": bool(scenario.refused) and course.outcome == "whole",
        "another model was told": scenario.by_other and course.model != OTHER,
        "no usage": course.outcome == "whole" and (course.usage or {}).get("completion_tokens") != 60,
    }
    wrong = next((words for words, is_so in wrongs.items() if is_so), "")
    return wrong or ("pass" if course.outcome == "whole" or course.code == scenario.refused else "safe")


async def flapping(client: httpx.AsyncClient, provider: SimulatedProvider, *, whole: bool) -> tuple[str, float]:
    """S15: a provider that is down for a minute, asked every four seconds."""
    start = time.monotonic()
    provider.always["s15"] = Fault("status", 503)
    asyncio.get_running_loop().call_later(DOWN, provider.always.pop, "s15")
    courses = []
    for n in range(ASKED):
        await asyncio.sleep(max(0.0, start + n * EVERY - time.monotonic()))
        courses.append(await ask(client, "s15", whole=whole))
    back = [request.at - start - DOWN for request in provider.of("s15") if request.status == 200]
    if any(course.outcome != "whole" for course in courses):
        return "not all were answered", courses[-1].seconds
    return ("pass" if back and min(back) <= 30.0 else "it never came back"), max(course.seconds for course in courses)


async def played(client: httpx.AsyncClient, provider: SimulatedProvider, scenario: Scenario, *, whole: bool) -> Played:
    """One scenario."""
    if scenario.model == FLAPPING.model:
        return Played(*await flapping(client, provider, whole=whole))
    if scenario.once:
        provider.next(scenario.model, scenario.fault)
    else:
        provider.always[scenario.model] = scenario.fault
    course = await ask(client, scenario.model, whole=whole)
    said = verdict(scenario, course, [request.at for request in provider.of(scenario.model)])
    alive = await ask(client, OTHER, whole=whole)
    return Played(said if alive.outcome == "whole" else "dead afterwards", course.seconds)


async def all_played(folder: Path, *, whole: bool) -> list[Played]:
    """All at the same time, at one gateway with one provider."""
    async with SimulatedProvider(pace=0.015, words=60) as provider, gateway(folder, provider) as client:
        courses = await asyncio.gather(*(played(client, provider, scenario, whole=whole) for scenario in SCENARIOS))
        assert all(request.body["messages"][-1]["role"] == "user" for request in provider.requests), "no prefill"
        return courses


def test_the_sixteen(tmp_path):
    ways = {}
    for way in ("live", "whole"):
        (tmp_path / way).mkdir()
        ways[way] = asyncio.run(all_played(tmp_path / way, whole=way == "whole"))

    print(f"\n{'':40}{'live':>15}{'whole':>15}")
    for scenario, live, whole in zip(SCENARIOS, *ways.values(), strict=True):
        print(f"{scenario.name:40}{live}{whole}")
    assert {row.said for row in ways["whole"]} == {"pass"}
    assert {row.said for row in ways["live"]} == {"pass", "safe"}
    safe = [scenario.model for scenario, row in zip(SCENARIOS, ways["live"], strict=True) if row.said == "safe"]
    assert safe == ["s08", "s09", "s14"], "a word that was passed on can't be taken back"
