"""Notebooks that are handed over to a gateway: run by a runner, followed, fetched, cancelled, and through kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import nbformat
import pytest
from callers import PERSON
from clients.provider import provider
from servers import free_port

RUNNER = [sys.executable, "-P", "-m", "rsql_magic.cli", "run", "--handed-over"]
RSQL = [sys.executable, "-m", "rsql_magic.cli"]
CONFIG = """
default_model = "chatty"
[storage]
ledger = "sqlite:///{folder}/ledger.db"
[[keys]]
provider = "echo"
name = "echo-1"
base_url = "{url}"
key = "{provider_key}"
models = ["chatty"]
[prices.models.chatty]
input = 10.0
output = 100.0
[notebooks]
runner = {runner}
output_mb = 2.0
[[api_keys]]
name = "ada"
key = "ada-token"
scopes = {scopes}
[[api_keys]]
name = "bob"
key = "bob-token"
scopes = {scopes}
[[api_keys]]
name = "-oProxyCommand=x"
key = "odd-token"
scopes = {scopes}
[[api_keys]]
name = "teacher"
key = "teacher-token"
scopes = ["chat", "admin"]
"""
PROVIDER_KEY = "sk-of-the-provider"


class Site:
    """A gateway that can be killed and started again, with a provider that counts."""

    def __init__(self, folder, upstream, runner=RUNNER):
        self.folder, self.port, self.seen = folder, free_port(), upstream.seen
        self.config = folder / "rsql.toml"
        values = {"folder": folder, "url": upstream.url, "provider_key": PROVIDER_KEY, "runner": json.dumps(runner)}
        self.config.write_text(CONFIG.format(scopes=json.dumps(PERSON), **values))
        self.url = f"http://127.0.0.1:{self.port}/rsql/"

    def start(self):
        command = [sys.executable, "-m", "jupyter_server_ext", f"--port={self.port}", f"--gateway-config={self.config}"]
        environ = {**os.environ, "JUPYTER_TOKEN": "owner-token", "GROQ_API_KEY": "gsk-of-the-gateway"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True)
        assert "ready at" in self.process.stdout.readline()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(30)
        self.process.stdout.close()

    def ask(self, method, path, token="ada-token", **more):
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, f"{self.url}{path}", headers=headers, trust_env=False, timeout=240, **more)

    def rsql(self, folder, *words, token="ada-token"):
        """The command as a process; ``communicate`` ends it."""
        environ = {**os.environ, "RSQL_GATEWAY_URL": self.url, "RSQL_GATEWAY_TOKEN": token}
        pipe = subprocess.PIPE
        return subprocess.Popen([*RSQL, *words], cwd=folder, env=environ, stdout=pipe, stderr=pipe, text=True)

    def ran(self, folder, *words, **options):
        process = self.rsql(folder, *words, **options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def job(self, job):
        return self.ask("GET", f"v1/batches/{job}").json()

    def until(self, job, reached, seconds=90):
        end = time.monotonic() + seconds
        while not reached(found := self.job(job)):
            assert time.monotonic() < end, found
            time.sleep(0.1)
        return found


@pytest.fixture(scope="module")
def upstream():
    with provider() as running:
        yield running


@pytest.fixture(scope="module")
def site(upstream, tmp_path_factory):
    running = Site(tmp_path_factory.mktemp("site"), upstream)
    running.start()
    yield running
    running.end()


def written(path, *sources, parameters=None):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    if parameters is not None:
        made.cells[parameters].metadata["tags"] = ["parameters"]
    nbformat.write(made, path)


def shown(path):
    return "".join(str(output) for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", ()))


def handed(out):
    return out.split()[0]


LOOK = """
import json, os, pathlib
parent = pathlib.Path(f"/proc/{os.getppid()}")
told = json.dumps(dict(os.environ)) + " ".join(pathlib.Path("/proc/self/cmdline").read_text().split(chr(0)))
told += (parent / "environ").read_text() + (parent / "cmdline").read_text()
print(told, os.getcwd(), region, open("data.csv").read())
"""
ASK = "%load_ext rsql_magic\nget_ipython().run_cell_magic('ask', '', {!r})"


@pytest.mark.timeout(240)
def test_a_notebook_is_handed_over_and_comes_back(site, upstream, tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n")
    (tmp_path / "data-dict.yaml").write_text("tables: []\n")
    written(tmp_path / "report.ipynb", "region = 'south'", ASK.format("How many?"), LOOK, parameters=0)
    words = ["report.ipynb", "--on-gateway", "--follow", "-p", "region=north; $(touch /tmp/x)", "-o", "done.ipynb"]
    words += ["--html", "pages", "--junit", "runs.xml", "--with", "data.csv", "--replay", "answers.jsonl"]
    code, out, err = site.ran(tmp_path, "run", *words, "--budget", "1")
    assert code == 0, err
    assert out == "done.ipynb: 4 cells ran\n"
    text = shown(tmp_path / "done.ipynb")
    assert "north; $(touch /tmp/x) a,b" in text
    assert "messages came." in text
    secrets = (PROVIDER_KEY, "gsk-of-the-gateway", "owner-token", "ada-token", "teacher-token", str(site.config))
    assert [secret for secret in secrets if secret in text] == []
    assert "messages came." in (tmp_path / "pages" / "done.html").read_text()
    assert 'failures="0"' in (tmp_path / "runs.xml").read_text()
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 1

    job = site.ask("GET", "v1/batches?limit=1").json()["data"][0]
    cost = job["rsql"]["cost_usd"]
    assert 0 < cost < 0.01
    assert job["rsql"]["progress"]["runs"][0]["done"] == 4
    (line,) = site.ask("GET", f"v1/files/{job['output_file_id']}/content").text.splitlines()
    assert json.loads(line)["response"]["status_code"] == 200
    for path in (f"v1/batches/{job['id']}", f"v1/files/{job['rsql']['recording_file_id']}/content"):
        assert site.ask("GET", path, "bob-token").status_code == 404
    (row,) = [
        one for one in site.ask("GET", "admin/api/jobs", "teacher-token").json()["jobs"] if one["id"] == job["id"]
    ]
    assert (row["state"], row["caller"], row["cost_usd"]) == ("completed", "ada", cost)
    # The run's own key asks, and opens nothing any more.
    assert site.ask("GET", "keys").json()["keys"] == []
    paid = len(upstream.seen)
    code, _, err = site.ran(tmp_path, "run", *words, "--deadline", "1h")
    assert (code, len(upstream.seen)) == (0, paid), err
    code, out, _ = site.ran(tmp_path, "jobs", "download", job["id"], "-o", "fetched")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == [
        "junit.xml",
        "report-north-touch-tmp-x.html",
        "report-north-touch-tmp-x.ipynb",
    ]


SLOW = """
import os, pathlib, subprocess, time
folder = pathlib.Path({folder!r})
other = subprocess.Popen(["sleep", "300"])
(folder / "pids").write_text(f"{{os.getppid()}} {{os.getpid()}} {{other.pid}}")
print("so far", flush=True)
while not (folder / "go").exists():
    time.sleep(0.1)
other.kill()
"""


def are_gone(pids):
    """Whether none of the processes runs; zombies have ended."""

    def state(pid):
        try:
            return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "Z"

    return all(state(pid) == "Z" for pid in pids)


def wait_for(reached, seconds=60):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.sweep
@pytest.mark.timeout(240)
def test_kills_of_runner_and_gateway_buy_nothing_twice_and_ctrl_c_leaves_the_job(tmp_path, upstream):
    site = Site(tmp_path, upstream)
    site.start()
    slow = SLOW.format(folder=str(tmp_path))
    written(tmp_path / "slow.ipynb", ASK.format("What is slow?"), slow, ASK.format("And now?"))
    paid = len(upstream.seen)
    pids = tmp_path / "pids"
    client = site.rsql(tmp_path, "run", "slow.ipynb", "--on-gateway", "--follow", "-o", "done.ipynb")
    wait_for(pids.exists)
    client.send_signal(signal.SIGINT)
    _, err = client.communicate(timeout=240)
    assert client.returncode == 130, err
    (job,) = [one["id"] for one in site.ask("GET", "v1/batches").json()["data"]]
    site.until(job, lambda found: found["rsql"]["progress"]["runs"][0]["done"] == 1)

    runner, kernel, _ = earlier = pids.read_text().split()  # the runner is killed
    pids.unlink()
    os.kill(int(runner), signal.SIGKILL)
    wait_for(pids.exists)
    assert are_gone([runner, kernel])

    runner, kernel, _ = earlier = pids.read_text().split()  # the gateway is killed
    pids.unlink()
    site.end(signal.SIGKILL)
    wait_for(lambda: are_gone(earlier))
    site.start()
    try:
        wait_for(pids.exists)
        (tmp_path / "go").touch()
        done = site.until(job, lambda found: found["status"] == "completed")
        assert len(upstream.seen) == paid + 2
        assert done["rsql"]["cost_usd"] == pytest.approx(2 * (11 * 10 + 5 * 100) / 1e6, rel=0.2)
        assert done["rsql"]["progress"]["runs"][0]["done"] == 3
    finally:
        site.end()


@pytest.mark.timeout(240)
def test_a_cancelled_job_ends_its_processes_and_keeps_what_was_shown(site, tmp_path):
    written(tmp_path / "slow.ipynb", SLOW.format(folder=str(tmp_path)))
    code, out, err = site.ran(tmp_path, "run", "slow.ipynb", "--on-gateway")
    assert code == 0, err
    job, pids = handed(out), tmp_path / "pids"
    wait_for(pids.exists)
    assert site.ask("POST", f"v1/batches/{job}/cancel", "bob-token").status_code == 404
    code, out, _ = site.ran(tmp_path, "jobs", "cancel", job)
    assert (code, "cancelling" in out) == (0, True)
    site.until(job, lambda found: found["status"] == "cancelled")
    assert are_gone(pids.read_text().split())
    code, out, _ = site.ran(tmp_path, "jobs", "download", job)
    assert (code, "cancelled" in out) == (1, True), "there is no result"
    assert "so far" in shown(tmp_path / job / "slow.ipynb")


def test_a_notebook_that_fails_fails_its_job_and_shows_where(site, tmp_path):
    written(tmp_path / "bad.ipynb", "print('before')", "1 / 0", "print('after')")
    code, _, err = site.ran(tmp_path, "run", "bad.ipynb", "--on-gateway", "--follow", "-o", "done.ipynb")
    assert (code, "bad.ipynb failed: ZeroDivisionError: division by zero. done.ipynb shows where." in err) == (1, True)
    assert "before" in shown(tmp_path / "done.ipynb")


def posted(site, body, token="ada-token", **more):
    """The reply to a file with this call, made a job."""
    line = {"custom_id": "call", "method": "POST", "url": "/v1/notebooks", "body": body}
    content = body if isinstance(body, bytes) else json.dumps(line).encode()
    file = site.ask("POST", "v1/files", token, data={"purpose": "batch"}, files={"file": ("call.jsonl", content)})
    made = {"input_file_id": file.json()["id"], "endpoint": "/v1/notebooks", **more}
    return site.ask("POST", "v1/batches", token, json=made)


@pytest.mark.spine
def test_who_may_not_hand_over_is_told(site):
    refused = posted(site, {}, "odd-token")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_permitted")
    key = site.ask("POST", "keys", json={"name": "script"}).json()
    made = site.ask("POST", "keys", json={"name": "files", "scopes": ["files", "batches"]}).json()
    for one in (key, made):
        body = {"input_file_id": "none", "endpoint": "/v1/notebooks"}
        refused = site.ask("POST", "v1/batches", one["key"], json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")
        site.ask("DELETE", f"keys/{one['id']}")
    assert posted(site, b"{}\n{}\n").status_code == 400


@pytest.mark.sweep
@pytest.mark.timeout(240)
def test_hostile_calls_fail_alone_with_their_reason(site, tmp_path):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print('x' * 3_000_000)")])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    call = {"notebooks": [{"name": "big", "notebook": made}]}
    calls = {
        "no call": ([], "is no call"),
        "out": ({"notebooks": [{"name": "../../etc/x", "notebook": made}]}, "'../../etc/x.ipynb' is no name of a file"),
        "file": (call | {"files": {"/etc/passwd": ""}}, "'/etc/passwd' is no name of a file"),
        "late": (call | {"seconds": 1e-9}, "time was over"),
        "big": (call, "larger than 2 MB"),
    }
    jobs = {name: posted(site, body).json()["id"] for name, (body, _) in calls.items()}
    for name, job in jobs.items():
        site.until(job, lambda found: found["status"] in {"completed", "cancelled"})
        code, _, err = site.ran(tmp_path, "jobs", "download", job)
        assert code == 1
        assert calls[name][1] in err
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_handed_over_is_refused_before_it_is_read(site, tmp_path):
    written(tmp_path / "a.ipynb", "1")
    (tmp_path / "q.sql").write_text("SELECT 1")
    with (tmp_path / "huge.bin").open("wb") as file:
        file.truncate(10_000_000_000)
    for words, expected in (
        (("a.ipynb", "--on-gateway", "--with", "huge.bin"), "huge.bin has 10,000 MB"),
        (("a.ipynb", "--on-gateway", "--with", "nothing"), "'nothing' of --with is no file"),
        (("q.sql", "--on-gateway"), "'q.sql' is no notebook"),
        (("a.ipynb", "--follow"), "are options of --on-gateway"),
    ):
        code, _, err = site.ran(tmp_path, "run", *words)
        assert (code, expected in err) == (1, True), err
