"""A gateway away for two minutes: what runs without a person goes on, loses nothing and buys nothing twice.

What was on its way when it went is asked again under the key that it had, for which a gateway answers and charges once.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter

import httpx
import pandas as pd
import pytest

from rsql_magic.answers import MapOptions
from rsql_magic.answers.row_jobs import ask_by_job
from rsql_magic.answers.row_types import columns_of
from rsql_magic.answers.rows import DifferentRows, KnownRows, RowAsker, RowQuestion
from rsql_magic.assistant import Assistant, row_map
from rsql_magic.display import Screen
from rsql_magic.errors import GatewayUnreachable
from rsql_magic.gateway import CostFile, LLMClient, Patience, Text

AWAY = 120.0  # seconds
PRICE = 0.001  # US dollars for an answer


class Clock:
    """A time that passes when somebody waits."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def pause(self, seconds):
        self.now += seconds


class FastClock:
    """The machine's time, hundreds of times as fast: several threads wait beside each other."""

    SPEED = 300.0

    def __call__(self):
        return time.monotonic() * self.SPEED

    def pause(self, seconds):
        time.sleep(seconds / self.SPEED)


class Gateway:
    """Answers each question once for each key; its network is away for two minutes from ``since`` on."""

    def __init__(self, clock, *, since, refuses=False):
        self.clock, self.since, self.refuses = clock, since, refuses
        self.bought, self.lost, self.asked_of, self.lock = {}, 0, Counter(), threading.Lock()

    @property
    def is_away(self):
        return self.since is not None and self.since <= self.clock() < self.since + AWAY

    def __call__(self, request):
        path = request.url.path.removeprefix("/rsql/")
        if self.is_away:
            if self.refuses:
                return httpx.Response(502, text="<html>Bad gateway</html>")
            raise httpx.ConnectError("away", request=request)
        if path == "v1/models":
            pricing = {"prompt": "1e-9", "completion": "1e-8"}
            return httpx.Response(200, json={"data": [{"id": "m", "pricing": pricing}]})
        if path != "v1/chat/completions":
            return httpx.Response(200, json={})
        return self.answered(request, json.loads(request.content))

    def answered(self, request, body):
        key = request.headers["idempotency-key"]
        self.clock.pause(3.0)
        with self.lock:
            if key not in self.bought:
                self.bought[key] = self.reply(body)
                self.asked_of.update(re.findall(r"row \d+", body["messages"][-1]["content"]))
            if self.is_away:  # bought, and it does not arrive
                self.lost += 1
                raise httpx.ReadError("cut", request=request)
        choice = {"delta": {"content": self.bought[key]}, "finish_reason": "stop"}
        rsql = {"cost_usd": PRICE, "price": "known", "request_id": "r"}
        last = json.dumps({"model": "m", "choices": [choice], "rsql": rsql})
        headers = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=headers, content=f"data: {last}\n\ndata: [DONE]\n\n")

    def reply(self, body):
        asked = re.findall(r'^\{.*"row": "\w+"\}$', body["messages"][-1]["content"], re.MULTILINE)
        rows = [json.loads(row) for row in asked]
        said = [{"row": row["row"], "length": len(row["text"])} for row in rows]
        return json.dumps({"rows": said}) if rows else "42"


def assistant(gateway, clock, *, batch=True, **environ):
    client = LLMClient("http://gateway/rsql/", transport=httpx.MockTransport(gateway), interactive=False)
    made = Assistant(client=client, environ=environ, batch=batch)
    waits = made.locator.terms.patience
    waits.clock = waits.now = clock
    waits.pause = clock.pause
    return made


@pytest.mark.parametrize("refuses", [False, True], ids=["no network", "a proxy alone"])
@pytest.mark.parametrize("since", [0.0, 10.0, 13.0])
def test_a_run_goes_on(tmp_path, refuses, since, monkeypatch):
    monkeypatch.setattr("rsql_magic.gateway.client._RESTART_PAUSES", ())
    clock = Clock()
    gateway = Gateway(clock, since=since, refuses=refuses)
    costs = CostFile.begun(tmp_path / "costs.jsonl", budget=1.0)
    run = assistant(gateway, clock, RSQL_COSTS=str(costs.path), RSQL_COSTS_RUN="a", RSQL_BATCH_UNTIL="3600")
    run.locator.learn_policy()
    for number in range(10):
        question = [{"role": "user", "content": f"Question {number}"}]
        assert "".join(one.text for one in run.locator.client.stream(question) if isinstance(one, Text)) == "42"
    assert len(gateway.bought) == 10
    assert gateway.lost == (since > 0)
    assert costs.costs().spent == pytest.approx(10 * PRICE), "an answer that was lost counts once"
    assert clock() >= since + AWAY


TEXTS = [f"row {n}" for n in range(200)]


class WaitScreen(Screen):
    """Keeps what is waited for."""

    def __init__(self):
        self.waits = []

    def waiting(self, words):
        self.waits.append(words)


def mapped(made, screen=None, **options):
    screen = screen or Screen()
    how = MapOptions(privacy="sample", rows_per_request=2, fresh=True, **options)
    frame = pd.DataFrame({"text": TEXTS})
    return row_map(made, screen).of(frame, "How long is {{text}}?", {"length": int}, how)


@pytest.fixture
def fast(monkeypatch):
    """A fast clock, by which rows are waited for too."""
    clock, pause = FastClock(), RowAsker.pause
    monkeypatch.setattr(RowAsker, "pause", lambda self, seconds: pause(self, seconds / clock.SPEED))
    return clock


@pytest.mark.slow
@pytest.mark.parametrize("batch", [True, False], ids=["a run", "a person"])
def test_rows_go_on(fast, batch):
    gateway = Gateway(fast, since=None)
    made = assistant(gateway, fast, batch=batch)
    made.locator.learn_policy()
    gateway.since = fast() + 20.0
    screen = WaitScreen()
    found = mapped(made, screen)
    assert found["length"].tolist() == [len(text) for text in TEXTS]
    assert found["error"].isna().all()
    assert set(gateway.asked_of.values()) == {1}
    assert sorted(gateway.asked_of) == sorted(TEXTS)
    assert fast() >= gateway.since + AWAY
    assert ["No gateway answers" in words for words in screen.waits[:1]] == [True] * batch
    assert screen.waits[-1:] == ["waited, and went on"] * batch
    assert gateway.lost <= 8, "bought and lost is only what was on its way"


def test_rows_end_with_the_run_that_asks_about_them(fast):
    gateway = Gateway(fast, since=None)
    until = fast() + 40.0
    made = assistant(gateway, fast, RSQL_BATCH_UNTIL=str(until))
    made.locator.learn_policy()
    gateway.since = fast() + 10.0
    with pytest.raises(GatewayUnreachable, match="of the time of --deadline"):
        mapped(made)
    assert fast() >= until - 31.0


class JobsGateway:
    """A gateway's routes for jobs, which is away for two minutes from some call on, whose reply is lost."""

    def __init__(self, clock, lost):
        self.clock, self.lost, self.calls = clock, lost, 0
        self.back, self.jobs, self.lines_asked = None, [], []

    def __call__(self, request):
        if self.back is not None and self.clock() < self.back:
            raise httpx.ConnectError("away", request=request)
        reply = self.reply(request)
        self.calls += 1
        if self.calls == self.lost:
            self.back = self.clock() + AWAY
            raise httpx.ReadError("cut", request=request)
        return reply

    def reply(self, request):
        path = request.url.path.removeprefix("/rsql/")
        if path == "v1/files":
            self.file = re.findall(r"^\{.*\}$", request.content.decode().replace("\r", ""), re.MULTILINE)
            return httpx.Response(200, json={"id": "file-in"})
        if path == "v1/batches" and request.method == "POST":
            made = {"id": f"batch_{len(self.jobs)}", "made": self.clock()} | json.loads(request.content)
            self.jobs.append(made)
            self.lines_asked += self.file
            return httpx.Response(200, json=made)
        if path == "v1/batches":
            return httpx.Response(200, json={"data": self.jobs})
        if path.endswith("content"):
            return httpx.Response(200, text="".join(map(self.answered, self.file)))
        if path.startswith("v1/batches/"):
            [job] = [one for one in self.jobs if path.endswith(one["id"])]
            over = self.clock() >= job["made"] + 60.0
            ended = {"status": "completed", "output_file_id": "out", "rsql": {"cost_usd": 0.25}}
            return httpx.Response(200, json=ended if over else {"status": "in_progress"})
        return httpx.Response(200, json={"deleted": True})

    def answered(self, line):
        asked = json.loads(line)
        rows = re.findall(r'^\{.*"row": "\w+"\}$', asked["body"]["messages"][-1]["content"], re.MULTILINE)
        said = [{"row": json.loads(row)["row"], "length": len(json.loads(row)["text"])} for row in rows]
        message = {"content": json.dumps({"rows": said})}
        reply = {"custom_id": asked["custom_id"], "response": {"body": {"choices": [{"message": message}]}}}
        return json.dumps(reply) + "\n"


@pytest.mark.parametrize("lost", range(1, 14))
def test_rows_of_a_job_go_on_and_no_second_job_is_made(tmp_path, lost):
    clock = Clock()
    gateway = JobsGateway(clock, lost)
    client = LLMClient("http://gateway/rsql/", transport=httpx.MockTransport(gateway), interactive=False)
    patience = Patience(lambda: 3600.0, clock, clock.pause)

    def nothing(*_, **__):
        raise AssertionError("asked without the job")

    question = RowQuestion("How long is {{text}}?", columns_of({"length": int}))
    asker = RowAsker(question, DifferentRows.of({"text": TEXTS}), nothing, KnownRows(tmp_path / "rows.db"), together=5)
    ask_by_job(asker, lambda: client, patience)
    assert len(gateway.jobs) == 1
    assert len(gateway.lines_asked) == 40
    assert [asker.outcomes[place].values["length"] for place in asker.rows.places] == [len(text) for text in TEXTS]
    assert (asker.progress.requests, asker.progress.cost_usd) == (40, 0.25)


@pytest.mark.parametrize("lost", [2, 3])
def test_a_job_is_found_again_by_the_next_process_where_its_maker_was_killed(tmp_path, lost):
    clock = Clock()
    gateway = JobsGateway(clock, lost)
    client = LLMClient("http://gateway/rsql/", transport=httpx.MockTransport(gateway), interactive=False)
    question = RowQuestion("How long is {{text}}?", columns_of({"length": int}))

    def killed(seconds):
        raise MemoryError  # nothing tidies up after it

    for pause in (killed, clock.pause):
        known = KnownRows(tmp_path / "rows.db")
        asker = RowAsker(question, DifferentRows.of({"text": TEXTS}), None, known, together=5)
        clock.now += AWAY
        try:
            ask_by_job(asker, lambda: client, Patience(lambda: 3600.0, clock, pause))
        except MemoryError:
            assert pause is killed
    assert len(gateway.jobs) == 1
    assert not asker.open
