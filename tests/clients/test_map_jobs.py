"""``map`` by a job of a real gateway: stopped, gone on with, and what the job could not do asked directly."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest
from clients.conftest import CONFIG, PERSON
from whole_replies import WholeReplies

from rsql_magic.answers import MapOptions
from rsql_magic.assistant import Assistant, row_map
from rsql_magic.display import Screen
from rsql_magic.errors import BadInput, Stopped

TEXTS = [f"text {n}{'!' * (n % 5)}" for n in range(60)]


class Provider(WholeReplies, BaseHTTPRequestHandler):
    """Gives the length of each row's text; at first nothing usable for two of them."""

    def do_GET(self):
        self.send_error(404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        data = re.search(r"<data [^>]*>\n(.*)\n</data", body["messages"][-1]["content"], re.DOTALL)[1]
        rows = [json.loads(line) for line in data.splitlines()]
        time.sleep(self.server.pause)
        with self.server.lock:
            self.server.requests += 1
            self.server.asked.update(row["text"] for row in rows)
            slips = {row["text"] for row in rows if row["text"] in TEXTS[7:9] and self.server.asked[row["text"]] == 1}
        said = [{"row": row["row"], "length": "long" if row["text"] in slips else len(row["text"])} for row in rows]
        message = {"role": "assistant", "content": json.dumps({"rows": said})}
        usage = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}
        if body.get("stream"):
            chunk = {"choices": [{"index": 0, "delta": message, "finish_reason": "stop"}], "usage": usage}
            self.whole(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), "text/event-stream")
        else:
            answer = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
            self.whole(json.dumps(answer).encode(), "application/json")


@pytest.fixture
def upstream():
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        server.asked, server.lock, server.pause = Counter(), threading.Lock(), 0.0
        server.requests = 0
        server.url = f"http://127.0.0.1:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def assistant(upstream, tmp_path):
    config = tmp_path / "rsql.toml"
    config.write_text(CONFIG.format(scopes=json.dumps(PERSON), url=upstream.url, folder=tmp_path))
    command = [sys.executable, "-m", "jupyter_server_ext", "--port=0", f"--gateway-config={config}"]
    environment = {**os.environ, "JUPYTER_TOKEN": "owner-token"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        url = process.stdout.readline().split("ready at ")[1].strip()
        environ = {"RSQL_GATEWAY_URL": url, "RSQL_GATEWAY_TOKEN": "ada-token", "XDG_CACHE_HOME": str(tmp_path)}
        made = Assistant(environ=environ)
        yield made
        made.close()
        process.terminate()
        process.stdout.read()


def mapped(assistant, drawn=lambda *_: None, **options):
    frame = pd.DataFrame({"text": TEXTS * 3})
    how = MapOptions(privacy="sample", rows_per_request=2, **options)
    return row_map(assistant, Screen(), drawn).of(frame, "How long is {{text}}?", {"length": int}, how)


def test_a_job_asks_and_what_it_could_not_do_is_asked_directly(assistant, upstream):
    said = []
    made = mapped(assistant, lambda _done, _all, words: said.append(words), by_job=True)
    assert made["length"].tolist() == [len(text) for text in TEXTS * 3]
    assert made["error"].isna().all()
    assert any("30 requests" in words and "job batch_" in words for words in said)
    assert {text: count for text, count in upstream.asked.items() if count > 1} == dict.fromkeys(TEXTS[7:9], 2)
    client = assistant.locator.gateway
    assert client.get("v1/files")["data"] == []
    [job] = client.get("v1/batches")["data"]
    assert (job["status"], job["request_counts"]["completed"]) == ("completed", 30)


def test_what_was_stopped_is_fetched_by_the_same_call(assistant, upstream):
    upstream.pause = 0.05

    def stop(_done, _all, words):
        if "job batch_" in words:
            raise KeyboardInterrupt

    with pytest.raises(Stopped, match="goes on at the gateway"):
        mapped(assistant, stop, by_job=True)
    made = mapped(assistant, by_job=True)
    assert made["length"].tolist() == [len(text) for text in TEXTS * 3]
    assert max(upstream.asked.values()) <= 2
    assert len(assistant.locator.gateway.get("v1/batches")["data"]) == 1


def test_a_budget_ends_the_job_and_all_that_follows(assistant, upstream):
    made = mapped(assistant, by_job=True, budget=0.02, model="dear")
    [job] = assistant.locator.gateway.get("v1/batches")["data"]
    assert (job["status"], job["errors"]["data"][0]["code"]) == ("cancelled", "budget_exceeded")
    answered = made[made["error"].isna()]
    assert answered["length"].tolist() == [len(text) for text in answered["text"]]
    assert made["error"].dropna().unique().tolist() == ["not asked: the budget of $0.02 does not reach"]
    paid = upstream.requests * (50 * 1e-5 + 5 * 1e-4)
    assert 0 < paid <= 0.02


def test_a_gateway_without_jobs_says_so(assistant, upstream, tmp_path):
    (tmp_path / "rsql.toml").unlink()
    plain = Assistant(environ={"RSQL_GATEWAY_URL": upstream.url, "XDG_CACHE_HOME": str(tmp_path)})
    with pytest.raises(BadInput, match="takes no jobs"):
        mapped(plain, by_job=True)
    plain.close()
