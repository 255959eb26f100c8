"""Notebooks that are handed over, with runners of a few lines of Python: what they are given, and how they fail."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from jupyter_server_ext.config import ASKING, PERSON, JobSettings, NotebookSettings, VirtualKeySettings
from jupyter_server_ext.errors import NotPermitted, RsqlGatewayError
from jupyter_server_ext.identity import VirtualKeys
from jupyter_server_ext.ledger import Ledger, SqlLedgerStore
from jupyter_server_ext.messages import Caller
from jupyter_server_ext.pipeline import NOTEBOOKS, Files, JobRunner, Jobs, NotebookRuns, OwnServer

pytestmark = pytest.mark.asyncio
ADA = Caller("ada", "lab", PERSON)
SETPRIV, PYTHON = shutil.which("setpriv"), shutil.which("python3", path="/usr/bin:/usr/local/bin")
# What every runner here begins with; `say` answers the gateway.
BEGIN = """
import json, os, signal, sys, time
order = json.loads(sys.stdin.readline())
say = lambda **what: print(json.dumps(what), flush=True)
result = lambda **what: say(result={"succeeded": True, "runs": [{}], "files": {}} | what)
"""


@pytest.fixture(autouse=True)
def _programs(programs, monkeypatch):
    """Every test here starts some, and none waits long."""
    jobs = "jupyter_server_ext.pipeline.jobs"
    for name in ("runner._FIRST_PAUSE", "pace._FIRST_PAUSE", "runner._LOOK_SECONDS"):
        monkeypatch.setattr(f"{jobs}.{name}", 0.02)
    for name in ("notebooks._LAST_SECONDS", "notebooks._KILL_SECONDS"):
        monkeypatch.setattr(f"{jobs}.{name}", 0.3)


class Site:
    """A gateway without its HTTP side, whose runner is a script; it can be started again on the same ledger."""

    def __init__(self, path, **settings):
        self.path, self.settings = path, settings

    async def __aenter__(self):
        self.store = SqlLedgerStore(f"sqlite:///{self.path}/ledger.db", instance="one")
        self.ledger = Ledger(self.store)
        jobs = JobSettings()
        self.jobs = Jobs(Files(self.ledger, jobs), jobs)
        self.keys = VirtualKeys(self.ledger, VirtualKeySettings())
        words = BEGIN + (self.path / "runner.py").read_text(), "{user}", "{job}", "{group}"
        script = (sys.executable, "-S", "-c", *words)
        notebooks = NotebookSettings(**({"runner": script, "output_mb": 0.2} | self.settings))
        self.runs = NotebookRuns(notebooks, self.jobs, self.keys, address="http://127.0.0.1:1/")
        self.jobs.refuse_notebooks = self.runs.refuse
        self.told = []
        self.runner = JobRunner(self.jobs, None, None, self._maker, self.told.append, notebooks=self.runs)
        self.working = asyncio.create_task(self.runner.run())
        return self

    async def __aexit__(self, *_):
        self.working.cancel()
        await asyncio.gather(self.working, return_exceptions=True)
        await self.runner.close()
        await self.ledger.close()

    async def _maker(self, name, tenant, key):
        return Caller(name, tenant, PERSON)

    async def hand_over(self, caller=ADA, metadata=None, **call):
        upload = await self.jobs.files.begin(caller, 0)
        line = {"custom_id": "call", "method": "POST", "url": NOTEBOOKS, "body": {"notebooks": [], **call}}
        await upload.add(json.dumps(line).encode())
        file = await upload.finish("call.jsonl", None)
        return await self.jobs.make(caller, file.id, NOTEBOOKS, metadata=metadata)

    async def ended(self, job):
        async with asyncio.timeout(30):
            while (found := await self.jobs.one(ADA, job.id)).is_active:
                await asyncio.sleep(0.05)
        part = "output" if found.done else "errors"
        file = await self.jobs.files.one(ADA, found.part_id(part))
        (line,) = [piece async for piece in self.jobs.files.content(file)]
        return found, msgspec.json.decode(line)

    async def ran(self, job):
        return await self.ended(await self.hand_over(**job))


def are_gone(pids):
    """Whether none of the processes in a file runs; zombies have ended."""
    stats = [Path("/proc", pid, "stat") for pid in pids.read_text().split()]
    return all(not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z" for stat in stats)


@pytest.fixture
def site(tmp_path):
    def made(script, **settings):
        (tmp_path / "runner.py").write_text(script)
        return Site(tmp_path, **settings)

    return made


async def test_a_runner_is_given_the_call_and_nothing_of_the_gateway(site, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-of-the-gateway")
    monkeypatch.setenv("KUBECONFIG", "/etc/kube")
    script = "result(order=order, environ=dict(os.environ), argv=sys.argv[1:], cwd=os.getcwd())"
    async with site(script, environment=("KUBECONFIG",)) as gateway:
        job = await gateway.hand_over(metadata={"budget_usd": "2.50"}, seconds=60)
        found, line = await gateway.ended(job)
        body = line["response"]["body"]
        assert (found.state, found.done, line["error"]) == ("completed", 1, None)
        assert body["argv"] == ["ada", job.id, "lab"]
        assert body["cwd"] == "/"
        assert "GROQ_API_KEY" not in body["environ"]
        assert body["environ"]["KUBECONFIG"] == "/etc/kube"
        assert body["order"]["budget_usd"] == 2.5
        assert 50 < body["order"]["seconds"] <= 60
        assert body["order"]["gateway"] == "http://127.0.0.1:1/"
        assert await gateway.keys.caller_by(body["order"]["token"]) is None  # it ended with the run
        assert [event.data["state"] for event in gateway.told] == ["completed"]


@pytest.mark.skipif(os.geteuid() != 0 or not SETPRIV, reason="Only root starts programs as another user.")
async def test_a_runner_that_is_another_user_reads_nothing_of_the_gateway(site, tmp_path):
    script = """
def can_read(path):
    try:
        return bool(open(path, "rb").read())
    except OSError:
        return False
gateway = f"/proc/{os.getppid()}"
paths = [f"{gateway}/environ", f"{gateway}/mem", f"{gateway}/maps", LEDGER]
result(read=[path for path in paths if can_read(path)], user=os.getuid(), gateway=os.getppid())
"""
    script = BEGIN + script.replace("LEDGER", repr(str(tmp_path / "ledger.db")))
    as_nobody = (SETPRIV, "--reuid=65534", "--regid=65534", "--clear-groups", PYTHON, "-S", "-c", script)
    async with site("", runner=as_nobody) as gateway:
        _, line = await gateway.ran({})
        body = line["response"]["body"]
        assert (body["read"], body["user"], body["gateway"]) == ([], 65534, os.getpid())


async def test_the_key_of_a_run_is_the_callers_within_the_budget(site):
    async with site("sys.stdin.readline(); result()") as gateway:
        job = await gateway.hand_over(metadata={"budget_usd": "2.50"})
        async with asyncio.timeout(20):
            while not (keys := await gateway.keys.of("ada")):
                await asyncio.sleep(0.02)
        assert (keys[0].name, keys[0].limits.usd_per_month) == (f"notebooks {job.id}", 2.5)
        assert keys[0].scopes == ASKING | {"documents:read"}
        await gateway.jobs.cancel(job)
        await gateway.ended(job)
        assert await gateway.keys.of("ada") == []


async def test_a_killed_runner_goes_on_from_what_was_recorded_and_gives_up_after_three(site):
    again = """
say(recorded=f"line {len(order['recorded'].splitlines())}\\n")
if len(order["recorded"].splitlines()) < LIVES:
    os.kill(os.getpid(), signal.SIGKILL)
result(seen=order["recorded"])
"""
    async with site(again.replace("LIVES", "2")) as gateway:
        _, line = await gateway.ran({})
        assert line["response"]["body"]["seen"] == "line 0\nline 1\n"
    async with site(again.replace("LIVES", "9")) as gateway:
        found, line = await gateway.ran({})
        assert (found.failed, line["error"]["code"]) == (1, "runner_failed")
        assert "was killed by signal 9" in line["error"]["message"]
        recording = await gateway.jobs.files.one(ADA, found.recording_id)
        assert recording.lines == 3
        with pytest.raises(RsqlGatewayError):
            await gateway.jobs.files.one(Caller("bob"), found.recording_id)


async def test_failed_notebooks_are_run_again_on_demand_with_all_of_their_time(site):
    script = """
say(recorded="an answer\\n" if not order["recorded"] else "")
result(succeeded=bool(order["recorded"]), seconds=order["seconds"], message="No.")
"""
    async with site(script) as gateway:
        found, line = await gateway.ran({"seconds": 60})
        assert (found.failed, line["error"]["code"], line["error"]["message"]) == (1, "notebook_failed", "No.")
        gateway.store.now = lambda _: found.made + 7200.0
        found, line = await gateway.ended(await gateway.jobs.again(found))
        assert (found.state, found.done, found.failed) == ("completed", 1, 0)
        assert line["response"]["body"]["seconds"] == pytest.approx(60, abs=1)


async def test_the_end_of_a_gateway_ends_its_runners_and_the_next_one_goes_on(site, tmp_path):
    waits = f"""
open({str(tmp_path / "pids")!r}, "a").write(f"{{os.getpid()}} ")
say(recorded="an answer\\n")
if not order["recorded"]:
    sys.stdin.readline()  # until the gateway is gone
    sys.exit(1)
result(seen=order["recorded"])
"""
    first = site(waits)
    async with first as gateway:
        job = await gateway.hand_over()
        async with asyncio.timeout(20):
            while True:
                try:
                    if (await gateway.jobs.files.one(ADA, job.recording_id)).lines:
                        break
                except RsqlGatewayError:
                    pass
                await asyncio.sleep(0.05)
    assert are_gone(tmp_path / "pids")
    async with Site(tmp_path) as gateway:
        _, line = await gateway.ended(job)
        assert line["response"]["body"]["seen"] == "an answer\n"
        assert await gateway.keys.of("ada") == []


async def test_a_runner_that_does_not_stop_is_killed_with_its_group(site, tmp_path):
    stubborn = f"""
import subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
other = subprocess.Popen(["sleep", "600"])
open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{other.pid}}")
run = {{"name": "a", "state": "running", "done": 1, "cells": 3, "waits": "x" * 9999}}
say(progress={{"runs": [run], "cost_usd": 0.1}})
time.sleep(600)
"""
    async with site(stubborn) as gateway:
        job = await gateway.hand_over()
        async with asyncio.timeout(20):
            while not (told := (await gateway.jobs.one(ADA, job.id)).progress):
                await asyncio.sleep(0.05)
        (run,) = json.loads(told)["runs"]
        assert (run["done"], run["cells"], len(run["waits"])) == (1, 3, 300)
        await gateway.jobs.cancel(job)
        found, line = await gateway.ended(job)
        assert (found.state, line["error"]["code"]) == ("cancelled", "batch_cancelled")
    assert are_gone(tmp_path / "pids")


@pytest.mark.parametrize("held", ["", "stdout=subprocess.DEVNULL, ", "stderr=subprocess.DEVNULL, "])
async def test_a_runner_that_ends_is_not_waited_for_where_another_process_holds_its_pipes(site, tmp_path, held):
    pids = tmp_path / "pids"
    script = f"""
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], {held}start_new_session=True)
with open({str(pids)!r}, "a") as known:
    known.write(f"{{child.pid}} ")
sys.exit(3)
"""
    try:
        async with site(script) as gateway:
            found, line = await gateway.ran({})
            assert found.failed == 1
            assert "exit code 3" in line["error"]["message"]
    finally:
        for pid in pids.read_text().split():
            os.kill(int(pid), signal.SIGKILL)


async def test_the_last_that_a_runner_says_is_kept(site):
    """News that come at once after others are those of a long wait, or of the end."""
    script = """
def done(count, waits=""):
    run = {"name": "a", "state": "running", "done": count, "cells": 3, "waits": waits}
    say(progress={"runs": [run], "cost_usd": 0.1})
done(1); done(2, "a free key")
while sys.stdin.buffer.readline(): pass
done(3)
result(succeeded=True)
"""
    async with site(script) as gateway:
        job = await gateway.hand_over()

        async def last():
            return (json.loads((await gateway.jobs.one(ADA, job.id)).progress or "{}").get("runs") or [{}])[0]

        async with asyncio.timeout(20):
            while (await last()).get("waits") != "a free key":
                await asyncio.sleep(0.05)
        await gateway.jobs.cancel(job)
        await gateway.ended(job)
        assert (await last())["done"] == 3


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("print('x' * 300_000)", "output_too_large"),
        ("for _ in range(5): say(recorded='x' * 50_000 + chr(10))\ntime.sleep(60)", "output_too_large"),
        (
            "print('noise'); print('{}'); print('[1]'); result(succeeded=False, message='No\\x1b[2J.')",
            "notebook_failed",
        ),
    ],
)
async def test_what_a_runner_says_is_bounded_and_not_believed(site, script, code):
    async with site(script) as gateway:
        found, line = await gateway.ran({})
        assert (found.state, found.failed, line["error"]["code"]) == ("completed", 1, code)
        assert "\x1b" not in line["error"]["message"]


async def test_who_may_hand_over(site):
    async with site("") as gateway:
        for name in ("root", "-oProxyCommand=x", "../ada", "ada;id", ""):
            with pytest.raises(NotPermitted):
                gateway.runs.refuse(Caller(name))
        shared = NotebookRuns(NotebookSettings(), gateway.jobs, gateway.keys)
        with pytest.raises(RsqlGatewayError, match="runs no notebooks") as refused:
            shared.refuse(ADA)
        assert (refused.value.status, refused.value.code) == (501, "no_runner")
        own = NotebookRuns(NotebookSettings(), gateway.jobs, gateway.keys, OwnServer("ada"))
        own.refuse(ADA)
        with pytest.raises(NotPermitted):
            own.refuse(Caller("bob", scopes=PERSON))
