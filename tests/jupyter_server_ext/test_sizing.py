"""How many people some keys serve."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from pathlib import Path

import httpx
import pytest
from simulated_provider import Account
from virtual_time import run

from jupyter_server_ext.app.subcommands import ClassDemand, group_rate, report, size
from jupyter_server_ext.config import KeySettings, Limit, PoolSettings, Secret, Settings
from jupyter_server_ext.errors import ConfigError, NoCapacity
from jupyter_server_ext.messages import Caller, ChatRequest
from jupyter_server_ext.pipeline import Gateway

TIER = (
    Limit(30, "requests", 60, model="*"),
    Limit(1000, "requests", 86_400, model="*"),
    Limit(6000, "tokens", 60, model="*"),
    Limit(200_000, "tokens", 86_400, model="other"),
)


def keys(*groups):
    return tuple(KeySettings("groq", Secret(f"k{n}"), quota_group=g, limits=TIER) for n, g in enumerate(groups))


@pytest.mark.parametrize(
    ("demand", "seconds", "requests", "reason"),
    [
        (ClassDemand(prompt=1500, answer=500), 60, 3, "6,000 tokens per minute"),
        (ClassDemand(prompt=50, answer=10), 60, 30, "30 requests per minute"),
        (ClassDemand(prompt=50, answer=10), 86_400, 1000, "1,000 requests per day"),
        (ClassDemand(prompt=5000, answer=1000), 86_400, 1000, "1,000 requests per day"),
        (ClassDemand(prompt=10_000, answer=2000), 86_400, 720, "6,000 tokens per minute"),
    ],
)
def test_the_tightest_limit_decides(demand, seconds, requests, reason):
    rate = group_rate(keys("a"), "m", demand, seconds)
    assert (rate.requests, rate.reason) == (requests, reason)


def test_keys_of_one_group_share_and_groups_add_up():
    demand = ClassDemand(users=10, requests=20, prompt=1500, answer=500)
    one = report(Settings(default_model="m", keys=keys("a", "a")), demand)
    two = report(Settings(default_model="m", keys=keys("a", "b")), demand)
    assert "a day: 200 requests wanted, 1,000 allowed: enough for 50 users" in one
    assert "a day: 200 requests wanted, 2,000 allowed: enough for 100 users" in two
    assert "everyone at once: 3 start, the last one after 3 min" in one
    assert "everyone at once: 6 start, the last one after 1 min" in two
    assert any("6 of 10 are answered" in line and line.endswith("260 lets all wait.") for line in one)


def test_a_key_is_called_by_its_name():
    named = KeySettings("groq", Secret("k"), name="one", limits=TIER)
    lines = report(Settings(default_model="m", keys=(named, *keys(""))), ClassDemand())
    assert [line.split(":")[0] for line in lines if line.startswith("key ")] == ["key one", "key 2"]


def test_whole_requests_start_and_parts_of_one_do_not():
    odd = ClassDemand(users=75, prompt=1500, answer=250)  # 3.4 a minute in each of five groups: 17.1, but 15 at once
    lines = report(Settings(default_model="m", keys=keys(*"abcde")), odd)
    assert "a minute: 17.1 requests: in 90 minutes 20.6 for each user" in lines
    assert "everyone at once: 15 start, the last one after 4 min" in lines
    huge = report(Settings(default_model="m", keys=keys("a")), ClassDemand(prompt=7000))
    assert "none can start at once" in huge[-1]


def test_a_day_of_tokens_binds_its_own_model_only():
    demand = ClassDemand(prompt=1500, answer=500)
    assert group_rate(keys("a"), "other", demand, 86_400).requests == 100
    assert group_rate(keys("a"), "m", demand, 86_400).requests == 1000


def test_without_limits_nothing_is_claimed():
    local = KeySettings("local", base_url="http://127.0.0.1:8000/v1", models=("m",))
    assert "Nothing limits them" in report(Settings(keys=(local,)), ClassDemand())[-1]
    with pytest.raises(ConfigError):
        report(Settings(), ClassDemand())


def test_the_command_reads_the_configuration(tmp_path, capsys):
    path = tmp_path / "rsql.toml"
    path.write_text('default_model = "m"\n[[keys]]\nprovider = "x"\nbase_url = "http://h/v1"\nrpm = 10\n')
    size(["--gateway-config", str(path), "--users", "20"])
    assert "a minute: 10.0 requests: in 90 minutes 45.0 for each user" in capsys.readouterr().out


class FreeTier(httpx.AsyncBaseTransport):
    """A provider that counts as Groq's free tier does, and refuses what exceeds it; answers have some 250 tokens."""

    def __init__(self, keys, kind, clock):
        self.accounts = {key: Account(kind, groq=True, rpm=30, rpd=1000, tpm=6000) for key in keys}
        self._clock = clock
        self._random = random.Random(7)

    async def handle_async_request(self, request):
        account = self.accounts[request.headers["authorization"].split()[1]]
        written = max(20, int(self._random.gauss(250, 60)))
        await asyncio.sleep(self._random.uniform(0.02, 0.2))
        wait = account.admit(1500, written, None, self._clock())
        headers = account.headers(self._clock())
        if wait:
            return httpx.Response(429, json={"error": {"message": "limit"}}, headers=headers)
        await asyncio.sleep(written / 100)
        usage = {"prompt_tokens": 1500, "completion_tokens": written, "total_tokens": 1500 + written}
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        return httpx.Response(200, json={"choices": [choice], "usage": usage}, headers=headers)


def class_of_75(patience, kind, before):
    """Seconds that each of 75 waited who asked at once, without those refused; and what the provider refused."""

    async def course(loop):
        provider = FreeTier([f"k{n}" for n in range(5)], kind, loop.time)
        settings = Settings(keys=keys(*"abcde"), pool=PoolSettings(queue_deadline_seconds=patience))
        gateway = Gateway(settings, transport=provider, clock=loop.time)

        async def ask(name):
            messages = [{"role": "user", "content": f"{name:4} " + "word " * 1200}]  # 1,500 tokens
            request = ChatRequest("m", {"messages": messages}, request_id=str(name))
            with contextlib.suppress(NoCapacity):
                async with contextlib.aclosing(gateway.complete(Caller(str(name)), request)) as parts:
                    return json.loads([part async for part in parts][-1])["rsql"]["queue_seconds"]

        for n in range(before):
            await ask(1000 + n)
            await asyncio.sleep(60)
        waits = await asyncio.gather(*(ask(n) for n in range(75)))
        await gateway.close()
        refused = sum(account.refused for account in provider.accounts.values())
        return [wait for wait in waits if wait is not None], refused

    return run(course)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rolling", "bucket", "fixed"])
def test_the_advised_patience_is_enough_in_a_run_of_the_gateway(kind):
    advised = int(
        report(Settings(default_model="m", keys=keys(*"abcde")), ClassDemand())[-1].split(". ")[-1].split()[0]
    )
    for before in (0, 30):  # just after a start, and when it knows how long answers are
        waits, refused = class_of_75(advised, kind, before)
        assert (len(waits), refused) == (75, 0)
        assert max(waits) < 0.85 * advised


@pytest.mark.slow
def test_as_many_as_foretold_are_answered_by_the_usual_patience():
    lines = report(Settings(default_model="m", keys=keys(*"abcde")), ClassDemand())
    assert "30 of 75 are answered" in lines[-1]
    waits, refused = class_of_75(PoolSettings().queue_deadline_seconds, "rolling", before=30)
    assert (len(waits), refused) == (30, 0)


def test_the_guide_shows_what_the_command_says():
    page = (Path(__file__).parents[2] / "docs" / "administration.md").read_text(encoding="utf-8")
    groq = tuple(KeySettings("groq", Secret(f"k{n}"), quota_group=f"g{n}") for n in range(5))
    lines = report(Settings(default_model="openai/gpt-oss-120b", keys=groq), ClassDemand())
    shown = page.split("    …\n")[1].split("\n\n")[0].splitlines()
    assert [line.strip() for line in shown] == lines[-4:]
    assert "3.4 by 6,000 tokens per minute; a day 1,000.0 by 1,000 requests per day" in lines[2]
