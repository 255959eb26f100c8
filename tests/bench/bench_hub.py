"""``make bench-hub``: a class of 75 at a real JupyterHub, and how many users two cores hold.

The hub, its proxy and the gateway as its service are real; the users' servers are light clients with the users' real
tokens, which is all the gateway sees of them. Behind it stands the simulated provider, in a process of its own, which
counts limits exactly and refuses what is over them.

1. *class*: 10 minutes. Everybody asks 25 questions, a day's worth; an exercise begins every 150 s, and everybody asks
   within 10 s of it. 5 keys of 60 requests a minute each, as free tiers of 1 request a second have.
2. *scarcity*: everybody asks again and again over 5 keys of 30 requests a minute: who gets how much.
3. *capacity*: ever more users at the pace of the class over keys without limits, through the hub's proxy, until
   answers come late. Clients and provider run on the same cores, so the gateway alone holds more.

All takes 12 minutes. ``make bench-hub MINUTES=1`` shortens it, ``--only class`` runs one part. It prints what it
measured and exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from hub.real_hub import RealHub  # noqa: E402 - found below tests/
from hub.test_hub_failures import gateway_of  # noqa: E402
from simulated_provider import Account, SimulatedProvider  # noqa: E402

USERS = 75
REQUESTS = 25
EXERCISE_SECONDS = 150.0
FIRST_TOKEN, PACE, WORDS = 0.5, 0.05, 30
OWN_SECONDS = FIRST_TOKEN + PACE * WORDS  # of the provider, per answer

_KEY = """
[[keys]]
provider = "simulated"
base_url = "{url}"
key = "sk-free-tier-{n}"
models = ["m"]
"""


class Provider:
    """The simulated provider in a process of its own.

    Args:
        rpm: Requests per minute of each of five keys; None for no limits.
    """

    def __init__(self, rpm: int | None) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_provide, args=(rpm, theirs), daemon=True)
        self._process.start()
        self.url = self._pipe.recv()

    def close(self) -> int:
        """End it; how many requests it refused for being over a limit."""
        self._pipe.send("end")
        refused = int(self._pipe.recv())
        self._process.join(10)
        return refused


def _provide(rpm: int | None, pipe: multiprocessing.connection.Connection) -> None:
    async def serve() -> None:
        accounts = {f"sk-free-tier-{n}": Account("rolling", rpm=rpm) for n in range(5)} if rpm else None
        async with SimulatedProvider(accounts, first_token=FIRST_TOKEN, pace=PACE, words=WORDS) as provider:
            pipe.send(provider.url)
            await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
            pipe.send(sum(account.refused for account in provider.accounts.values()))

    asyncio.run(serve())


@dataclass
class Outcome:
    """What came of a part: seconds of each answer beyond the provider's own, by user, and what failed."""

    late: dict[str, list[float]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def answers(self) -> list[float]:
        return [seconds for own in self.late.values() for seconds in own]

    @property
    def answered(self) -> float:
        count = len(self.answers)
        return count / max(1, count + len(self.failed))

    @property
    def fairness(self) -> float:
        """Jain's index of how many answers each user got: 1 when all got the same."""
        counts = [len(own) for own in self.late.values()]
        return sum(counts) ** 2 / (len(counts) * sum(n * n for n in counts)) if any(counts) else 0.0

    def told(self) -> dict[str, float | int]:
        late = sorted(self.answers) or [0.0]
        return {
            "requests": len(self.answers) + len(self.failed),
            "answered": round(self.answered, 5),
            "mean_seconds_beyond_provider": round(statistics.fmean(late), 3),
            "p95_seconds_beyond_provider": round(late[int(0.95 * (len(late) - 1))], 3),
            "fairness": round(self.fairness, 4),
        }


class Class:
    """Users who ask through the hub's proxy with their own tokens."""

    def __init__(self, hub: RealHub, tokens: dict[str, str], http: aiohttp.ClientSession) -> None:
        self._url = f"{hub.gateway}v1/chat/completions"
        self._tokens = tokens
        self._http = http
        self.outcome = Outcome({name: [] for name in tokens})

    async def ask(self, name: str, number: int) -> None:
        """One streamed question; read to its end."""
        question = f"{name} asks number {number}: why is the median of this column so far from its mean?"
        body = {"model": "m", "messages": [{"role": "user", "content": question}], "stream": True}
        began = time.monotonic()
        try:
            headers = {"Authorization": f"Bearer {self._tokens[name]}"}
            async with self._http.post(self._url, json=body, headers=headers) as reply:
                text = await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.outcome.failed.append(type(error).__name__)
            return
        if reply.status == 200 and text.rstrip().endswith(b"[DONE]"):
            self.outcome.late[name].append(max(0.0, time.monotonic() - began - OWN_SECONDS))
        else:
            self.outcome.failed.append(f"{reply.status} {text[-200:]!r}")

    async def day(self, name: str, seconds: float, requests: int) -> None:
        """A user's questions: one soon after each exercise begins, the others at any time."""
        exercises = [n * EXERCISE_SECONDS for n in range(int(seconds / EXERCISE_SECONDS) + 1)]
        begun = [at + random.uniform(0, 10) for at in exercises if at < seconds][:requests]
        times = sorted(begun + [random.uniform(0, seconds) for _ in range(requests - len(begun))])
        start = time.monotonic()
        for number, at in enumerate(times):
            await asyncio.sleep(max(0.0, start + at - time.monotonic()))
            await self.ask(name, number)

    async def rush(self, name: str, seconds: float) -> None:
        """Ask again as soon as there is an answer."""
        end = time.monotonic() + seconds
        for number in range(1_000_000):
            if time.monotonic() > end:
                return
            await self.ask(name, number)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=180), trust_env=False
    )


async def _class(hub: RealHub, tokens: dict[str, str], minutes: float) -> Outcome:
    requests = max(1, round(REQUESTS * minutes / 10))
    async with _session() as http:
        users = Class(hub, tokens, http)
        await asyncio.gather(*(users.day(name, 60 * minutes, requests) for name in tokens))
    return users.outcome


async def _scarcity(hub: RealHub, tokens: dict[str, str], seconds: float) -> Outcome:
    async with _session() as http:
        users = Class(hub, tokens, http)
        await asyncio.gather(*(users.rush(name, seconds) for name in tokens))
    return users.outcome


async def _pace(hub: RealHub, tokens: dict[str, str], users: int, seconds: float) -> Outcome:
    """So many users at the class's pace; tokens are shared when there are more users than tokens."""
    names = list(tokens)
    rate = users * REQUESTS / 600
    async with _session() as http:
        asking = Class(hub, tokens, http)
        tasks: list[asyncio.Task[None]] = []
        at = time.monotonic()
        end = at + seconds
        while at < end:
            tasks.append(asyncio.create_task(asking.ask(names[len(tasks) % len(names)], len(tasks))))
            at += random.expovariate(rate)
            await asyncio.sleep(max(0.0, at - time.monotonic()))
        await asyncio.gather(*tasks)
    return asking.outcome


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    """A hub with a provider behind its gateway, for one part at a time."""

    def __init__(self, rpm: int | None) -> None:
        self.provider = Provider(rpm)
        limit = f"rpm = {rpm}\n" if rpm else ""
        keys = "".join(_KEY.format(url=self.provider.url, n=n) + limit for n in range(5))
        users = [f"student{n:02}" for n in range(USERS)]
        config = (
            f'default_model = "m"\n{keys}\n[limits.everyone]\nconcurrency = 2000\n'
            '[storage]\nledger = "sqlite:///rsql.db"\n'
        )
        self.hub = RealHub(tempfile.mkdtemp(prefix="rsql-bench-"), config, {"stats101": {"users": users}})
        self.hub.start()
        self.tokens = {name: self.hub.token(name, scopes=["access:services!service=rsql"]) for name in users}
        self.gateway = gateway_of(self.hub)

    def close(self) -> int:
        self.hub.close()
        return self.provider.close()


def run_class(minutes: float) -> bool:
    """The class; whether it met its targets."""
    bench = Bench(60)
    began, used = time.monotonic(), cpu_seconds(bench.gateway)
    outcome = asyncio.run(_class(bench.hub, bench.tokens, minutes))
    took, used = time.monotonic() - began, cpu_seconds(bench.gateway) - used
    refused = bench.close()
    told = outcome.told() | {
        "upstream_429": refused,
        "gateway_cpu_ms_per_request": round(1000 * used / max(1, len(outcome.answers)), 2),
        "gateway_cpu_share": round(used / took, 4),
    }
    _tell("class", told, outcome)
    late = told["mean_seconds_beyond_provider"]
    return told["answered"] >= 0.999 and refused == 0 and late < 3.0 and told["fairness"] >= 0.98


def run_scarcity(seconds: float) -> bool:
    """Everybody wants more than there is; whether all got the same."""
    bench = Bench(30)
    outcome = asyncio.run(_scarcity(bench.hub, bench.tokens, seconds))
    refused = bench.close()
    _tell("scarcity", outcome.told() | {"upstream_429": refused}, outcome)
    return outcome.answered >= 0.999 and refused == 0 and outcome.fairness >= 0.98


def run_capacity(seconds: float) -> bool:
    """Ever more users; the most that were answered in time."""
    bench = Bench(None)
    held = 0
    for users in (75, 600, 1200, 2400, 3600, 4800, 6000):
        used = cpu_seconds(bench.gateway)
        outcome = asyncio.run(_pace(bench.hub, bench.tokens, users, seconds))
        used = cpu_seconds(bench.gateway) - used
        told = outcome.told()
        per_request = 1000 * used / max(1, len(outcome.answers))
        _tell(f"capacity {users} users", told | {"gateway_cpu_ms_per_request": round(per_request, 2)}, outcome)
        if told["answered"] < 0.999 or told["p95_seconds_beyond_provider"] > 1.0:
            break
        held = users
    bench.close()
    print(f"most users held: {held} (answered >= 99.9 %, p95 within 1 s of the provider's own time)", flush=True)
    return held >= USERS


def _tell(part: str, told: dict[str, float | int], outcome: Outcome) -> None:
    print(f"{part}: {json.dumps(told)}", flush=True)
    for reason in sorted(set(outcome.failed))[:5]:
        print(f"  failed: {outcome.failed.count(reason)} × {reason}", flush=True)


def main() -> int:
    """Run the parts; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "10")), help="of the class")
    parser.add_argument("--only", choices=("class", "scarcity", "capacity"))
    options = parser.parse_args()
    random.seed(8)
    parts = {
        "class": lambda: run_class(options.minutes),
        "scarcity": lambda: run_scarcity(min(30.0, 20 * options.minutes)),
        "capacity": lambda: run_capacity(min(5.0, 4 * options.minutes)),
    }
    results = [run() for name, run in parts.items() if options.only in (None, name)]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
