"""Lines of the log: the id of the request on each, one for each fault, and no secret in any."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import httpx
import pytest
from servers import free_port, http_server

from jupyter_server_ext.logs import HIDDEN, LineFilter, Log, current_request, hide, scrubbed

KEYS = {name: f"gsk_{name}{'9Zq' * 8}" for name in ("dead", "echo", "dns", "shut", "tls")}
PLANTED = {
    **KEYS,
    "administrator": "owner-tok3n-6f1e2d",
    "caller": "ada-tok3n-7a8b9c",
    "database": "db-passw0rd-x1",
    "question": "the patient Quentin Zebra",
    "wrong token": "not-a-tok3n-55aa",
    "in a path": "path-s3cret-77",
}
CONFIG = """
default_model = "m-echo"
[pool]
attempts = 2
queue_deadline_seconds = 2
[storage]
ledger = "sqlite:///{folder}/ledger.db"
{keys}
[[api_keys]]
name = "ada"
key = "{caller}"
scopes = ["chat", "keys"]
"""
KEY = """
[[keys]]
provider = "{name}"
name = "{name}-1"
key = "{key}"
base_url = "{url}"
models = ["{model}"]
"""


class Provider(BaseHTTPRequestHandler):
    """Refuses a key with the key in its words, fails with the prompt in its words."""

    def do_POST(self):
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        key = self.headers["Authorization"]
        if KEYS["dead"] in key:
            self.answer(401, f"Incorrect API key provided: {key}")
        else:
            self.answer(500, f"I fell over {key} while I read {sent}")

    def answer(self, status, words):
        body = json.dumps({"error": {"message": words}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def running(folder, form, port, **options):
    """A gateway of its own with five keys that each fail in another way; its URL, and how to end and read it."""
    urls = {
        "dead": f"http://127.0.0.1:{port}/v1",
        "echo": f"http://127.0.0.1:{port}/v1",
        "dns": "http://nowhere.invalid/v1",
        "shut": f"http://127.0.0.1:{free_port()}/v1",
        "tls": f"https://127.0.0.1:{port}/v1",
    }
    keys = "".join(KEY.format(name=name, key=KEYS[name], url=url, model=f"m-{name}") for name, url in urls.items())
    config = folder / "rsql.toml"
    config.write_text(CONFIG.format(folder=folder, keys=keys, caller=PLANTED["caller"]))
    config.chmod(0o600)
    environment = {**os.environ, "JUPYTER_TOKEN": PLANTED["administrator"], "RSQL_LOG_FORMAT": form, **options}
    command = [sys.executable, "-m", "jupyter_server_ext", "--port=0", f"--gateway-config={config}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        lines: list[str] = []
        url = process.stdout.readline().split("ready at ")[1].strip()
        try:
            yield url, lines
        finally:
            process.terminate()
            lines += process.communicate(timeout=240)[1].splitlines()


def a_run_with_faults(url, folder):
    """Requests that fail in every way, changes, a full ledger; ids of the requests by key."""
    own = {"Authorization": f"Bearer {PLANTED['caller']}"}
    admin = {"Authorization": f"Bearer {PLANTED['administrator']}"}
    ids = {}
    with httpx.Client(base_url=url, timeout=240, trust_env=False) as client:
        for name in KEYS:
            question = {"messages": [{"role": "user", "content": PLANTED["question"]}], "model": f"m-{name}"}
            reply = client.post("v1/chat/completions", json=question, headers=own)
            assert reply.status_code >= 400
            ids[name] = reply.headers["x-request-id"]
        client.get("stats", headers={"Authorization": f"Bearer {PLANTED['wrong token']}"})
        client.get(f"no/{PLANTED['in a path']}?token={PLANTED['in a path']}", headers=own)
        assert client.post("admin/api/keys/echo-1/pause", headers=admin).status_code == 200
        made = client.post("keys", json={"name": "mine"}, headers=own).json()["key"]
        client.get("stats", headers={"Authorization": f"Bearer {made}"})
        changed = client.patch("admin/api/limits", json={"caller": {"requests_per_day": 1000}}, headers=admin)
        assert changed.status_code == 200
        # The ledger's table is gone: nothing can be written any more.
        subprocess.run(["sqlite3", folder / "ledger.db", "ALTER TABLE entries RENAME TO gone"], check=True)
        client.post("v1/chat/completions", json=question | {"model": "m-dns"}, headers=own)
        subprocess.run(["sqlite3", folder / "ledger.db", "ALTER TABLE gone RENAME TO entries"], check=True)
    return ids, made


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", pytest.param("text", marks=pytest.mark.sweep)])
def test_a_run_with_faults_has_a_line_for_each_and_no_secret_in_any(form, tmp_path, programs):
    with http_server(Provider) as port, running(tmp_path, form, port) as (url, lines):
        ids, made = a_run_with_faults(url, tmp_path)
    text = "\n".join(lines)
    for name, secret in {**PLANTED, "virtual key": made}.items():
        assert secret not in text, f"{name}: {text}"
        assert secret[5:] not in text, name
    if form == "json":
        rows = [json.loads(line) for line in lines]
        assert all(row["request_id"] and row["timestamp"] and row["level"] for row in rows)
        failed = {row["key"]: row for row in rows if row["event"] == "key_failed" and row["request_id"] in ids.values()}
        assert {name: failed[f"{name}-1"]["request_id"] for name in KEYS} == ids
        reasons = {name: failed[f"{name}-1"].get("detail", failed[f"{name}-1"].get("status")) for name in KEYS}
        assert (reasons["echo"], reasons["shut"]) == (500, "refused")
        assert reasons["dns"].startswith("dns")
        assert reasons["tls"].startswith("tls")
        lost = [row for row in rows if row["event"] == "key_retired"]
        assert [(row["key"], row["request_id"]) for row in lost] == [("dead-1", ids["dead"])]
        changes = [row["what"] for row in rows if row["event"] == "administrator_change"]
        assert changes == ["key echo-1", "limits caller"]
    else:
        assert all("request_id=" in line for line in lines if line.startswith("["))
        for name, reason in {"dns": "dns: ", "shut": "detail=refused", "tls": "tls: ", "echo": "status=500"}.items():
            (line,) = [one for one in lines if ids[name] in one and "key_failed" in one][:1]
            assert reason in line
        assert sum("administrator_change" in line for line in lines) == 2
        assert sum("key_retired" in line for line in lines) == 1
    assert sum("the ledger cannot be written" in line for line in lines) == 1


def record(text, *args, **fields):
    made = logging.LogRecord("tornado.application", logging.WARNING, "f.py", 1, text, args, None)
    made.__dict__.update(fields)
    return made


def test_what_is_known_to_be_secret_is_hidden_wherever_it_stands():
    hide(["a-word-that-is-secret", "abc"])
    LineFilter().filter(line := record("told %s", "a-word-that-is-secret", detail="x a-word-that-is-secret"))
    assert (line.getMessage(), line.detail) == (f"told {HIDDEN}", f"x {HIDDEN}")
    assert scrubbed("abc") == "abc", "too short to be looked for"


def test_a_traceback_holds_no_secret():
    hide(["a-word-that-is-secret"])
    try:
        int("a-word-that-is-secret at postgresql://rsql:hunter22@db/x")
    except ValueError:
        line = record("failed")
        line.exc_info = sys.exc_info()
    LineFilter().filter(line)
    shown = logging.Formatter("%(message)s").format(line)
    assert "a-word-that" not in shown
    assert "hunter22" not in shown
    assert "ValueError" in shown


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("key sk-abcdefgh12345678 failed", "sk-abcdefgh12345678"),
        ("Authorization: Bearer abc.def-123456", "abc.def-123456"),
        ("postgresql://rsql:p4ss@db.example.org/x", "p4ss"),
        ("rediss+sentinel://:p4ss@a:1,b:2/m", "p4ss"),
        ('{"api_key": "hunter2hunter2"}', "hunter2hunter2"),
        ("password=hunter2hunter2;x", "hunter2hunter2"),
        ("GET /x?token=hunter2hunter2&y=1", "hunter2hunter2"),
        ("eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl", "eyJzdWIiOi"),
        ("rsql_4mZbNq8vXk2t", "4mZbNq8vXk2t"),
        ("AIzaSyA1234567890abcdefghij", "SyA1234567890"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, gone):
    assert gone not in scrubbed(text)


@pytest.mark.parametrize(
    "text",
    ["rsql: key_failed key=groq-1 reason=overloaded status=500", "max_tokens is 500", "the key groq-1 is paused"],
)
def test_what_is_no_secret_stays(text):
    assert scrubbed(text) == text


def test_lines_of_a_request_have_its_id_and_others_say_that_they_have_none():
    token = current_request.set("req-7")
    LineFilter().filter(line := record("one"))
    current_request.reset(token)
    LineFilter().filter(other := record("two"))
    LineFilter(always=True).filter(third := record("three"))
    assert [one.getMessage() for one in (line, other, third)] == ["one request_id=req-7", "two", "three request_id=-"]


def test_twenty_lines_a_minute_say_the_same(caplog):
    now = [0.0]
    log = Log(lambda: now[0])
    for number in range(30):
        log.warning("key_failed", key="a", request_id=f"r{number}")
    log.warning("key_failed", key="b", request_id="r")
    assert len(caplog.records) == 21
