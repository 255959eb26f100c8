"""Requests as traces, from the cell in a notebook to each try at a provider."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from paid_provider import KEYS, PRICES, STREAM, body, event, whole
from servers import http_server

from jupyter_server_ext.config import Secret, Settings, StorageSettings, TelemetrySettings, TenantSettings
from jupyter_server_ext.config.settings import KeySettings
from jupyter_server_ext.ledger import opened
from jupyter_server_ext.traces import Traces
from rsql_magic.gateway import LLMClient, cell, traces

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
END = {"choices": [{"index": 0, "delta": {"content": "42"}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}}


class Flaky:
    """A provider that fails a number of times before it answers."""

    def __init__(self, failures):
        self.left = failures
        self.headers = []

    def __call__(self, request):
        self.headers.append(request.headers)
        if self.left:
            self.left -= 1
            return httpx.Response(503, json={"error": {"message": "overloaded"}})
        if json.loads(request.content).get("stream"):
            return httpx.Response(200, headers=STREAM, content=event(END) + event(USAGE) + b"data: [DONE]\n\n")
        return whole("42")


def three_keys():
    return tuple(KeySettings("sim", Secret(f"key{n}"), KEYS[0].base_url, name=f"sim-{n}") for n in (1, 2, 3))


@pytest.fixture
def traced(served, url):
    """``async with traced(provider, …) as (gateway, spans)``: a gateway whose spans are kept in memory."""

    def serving(provider, telemetry=None, **options):
        known = {"keys": three_keys(), "prices": PRICES, "storage": StorageSettings(ledger=url, instance="one")}
        settings = Settings(default_model="m", **(known | options))
        exporter = InMemorySpanExporter()
        made = served(settings, fake=False, transport=httpx.MockTransport(provider))

        class Both:
            async def __aenter__(self):
                gateway = await made.__aenter__()
                told = telemetry or TelemetrySettings(endpoint="http://nowhere.invalid", sample=1.0)
                gateway.app.accounting.traces = Traces(told, exporter)
                return gateway, exporter

            async def __aexit__(self, *error):
                return await made.__aexit__(*error)

        return Both()

    return serving


def by_name(spans):
    return {(span.name, span.kind.name): span for span in spans}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_one_cell_with_three_tries_is_one_trace(traced, url):
    in_notebook = InMemorySpanExporter()
    traces.start(in_notebook, sample=1.0)
    try:
        async with traced(Flaky(2)) as (gateway, exporter):

            def a_cell():
                client = LLMClient(gateway.url, "ada-token")
                with cell("sql_ai"):
                    client.get("status")
                    said = list(client.stream([{"role": "user", "content": "How many?"}], model="m"))
                client.close()
                return said

            assert await asyncio.to_thread(a_cell)
            finished = exporter.get_finished_spans()
    finally:
        traces.stop()
    of_cell = in_notebook.get_finished_spans()
    spans = [*of_cell, *finished]
    assert len({span.context.trace_id for span in spans}) == 1, "one trace"
    assert len({span.context.span_id for span in spans}) == len(spans) == 7
    (top,) = [span for span in spans if span.parent is None]
    assert top.name == "invoke_agent rsql sql_ai"
    other, asked = [span for span in of_cell if span is not top]
    assert (asked.name, asked.attributes["gen_ai.request.model"]) == ("chat m", "m")
    assert (other.name, other.attributes["url.path"]) == ("GET", "/rsql/status"), "no model was called"
    assert not any(name.startswith("gen_ai.") for name in other.attributes)
    (request,) = [span for span in finished if span.kind.name == "SERVER"]
    tries = [span for span in finished if span.kind.name == "CLIENT"]
    assert (asked.parent.span_id, request.parent.span_id) == (top.context.span_id, asked.context.span_id)
    assert {span.parent.span_id for span in tries} == {request.context.span_id}
    assert [span.attributes["rsql.attempt"] for span in tries] == [1, 2, 3]
    assert [span.attributes.get("error.type") for span in tries] == ["overloaded", "overloaded", None]
    assert len({span.attributes["rsql.key"] for span in tries}) == 3
    assert {span.attributes["gen_ai.provider.name"] for span in tries} == {"sim"}
    known = dict(request.attributes)
    assert (known["gen_ai.operation.name"], known["gen_ai.request.model"]) == ("chat", "m")
    assert (known["gen_ai.usage.input_tokens"], known["gen_ai.usage.output_tokens"]) == (11, 3)
    assert known["gen_ai.conversation.id"].startswith("nb-")
    assert all(span.start_time <= span.end_time for span in spans)
    assert all(request.start_time <= span.start_time for span in tries)
    assert not any("How many" in str(value) for span in spans for value in span.attributes.values())
    with opened(url, instance="reader") as store:
        entries = store.read()
    assert {entry.trace for entry in entries} == {f"{top.context.trace_id:032x}"}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_sample_is_of_traces_and_a_caller_may_leave_one_out(traced):
    telemetry = TelemetrySettings(endpoint="http://x", sample=0.5)
    async with traced(Flaky(0), telemetry) as (gateway, exporter):
        for number in range(40):
            low = (1 << 63) if number % 2 else 0  # just outside of the sample, or inside
            place = f"00-{1:016x}{low:016x}-b7ad6b7169203331-0{number // 20}"
            await gateway.ask(body(), headers={"traceparent": place})
        spans = [span for span in exporter.get_finished_spans() if span.kind.name == "SERVER"]
    assert len(spans) == 10, "half of those that the caller has in its own sample"
    none = Traces(TelemetrySettings(endpoint="http://x", sample=0.0), InMemorySpanExporter())
    assert none.place(PARENT) is None
    some = Traces(TelemetrySettings(endpoint="http://x", sample=0.1), InMemorySpanExporter())
    assert 60 < sum(some.place("") is not None for _ in range(1_000)) < 140


@pytest.mark.parametrize(
    "wrong", ["", "x", PARENT[:-3], PARENT.upper(), "ff" + PARENT[2:], PARENT.replace("b7ad6b7169203331", "0" * 16)]
)
@pytest.mark.asyncio
async def test_what_is_no_traceparent_begins_a_trace_here(traced, wrong):
    async with traced(Flaky(0)) as (gateway, exporter):
        assert (await gateway.ask(body(), headers={"traceparent": wrong})).status_code == 200
        (request,) = [span for span in exporter.get_finished_spans() if span.kind.name == "SERVER"]
    assert request.parent is None


@pytest.mark.slow
@pytest.mark.asyncio
async def test_words_are_on_spans_only_where_the_setting_and_the_policy_say_so(traced):
    telemetry = TelemetrySettings(endpoint="http://x", sample=1.0, content=True)
    tenants = (TenantSettings("stats101", keep_prompts=True),)
    async with traced(Flaky(0), telemetry, tenants=tenants) as (gateway, exporter):
        await gateway.ask(body())
        await gateway.ask(body(), token="bob-token")
        spans = [span for span in exporter.get_finished_spans() if span.kind.name == "SERVER"]
    texts = [span.attributes.get("gen_ai.input.messages") for span in spans]
    assert [text is None for text in texts] == [False, True]
    assert json.loads(texts[0]) == body()["messages"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_refused_failed_and_cached_requests_are_told_apart(traced):
    async with traced(Flaky(9), keys=three_keys()[:1]) as (gateway, exporter):
        failed = await gateway.ask(body())
        assert failed.status_code >= 500
        root = next(span for span in exporter.get_finished_spans() if span.kind.name == "SERVER")
    assert root.status.status_code.name == "ERROR"
    assert root.attributes["rsql.outcome"] == "failure"
    assert root.attributes["error.type"] == failed.json()["error"]["code"]


def test_spans_arrive_over_otlp(tmp_path, programs):
    """At a receiver that reads them as a collector would."""
    from http.server import BaseHTTPRequestHandler

    got, arrived = [], threading.Event()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            sent = ExportTraceServiceRequest()
            sent.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
            got.append((self.path, sent))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            arrived.set()

        def log_message(self, *_):
            pass

    from jupyter_server_ext.messages import ChatRequest, Entry

    with http_server(Collector) as port:
        sent = Traces(TelemetrySettings(endpoint=f"http://127.0.0.1:{port}", sample=1.0, service="rsql-test"))
        entry = Entry("r1", 1_700_000_000.0, "ada", model="m", key="k", attempts=1, duration_seconds=2.0)
        sent.export(sent.place(PARENT), entry, [], {"k": "groq"}, ChatRequest("m", {}), content=False)
        sent.close()
        assert arrived.wait(60)
    ((path, request),) = got
    resource = request.resource_spans[0]
    assert path == "/v1/traces"
    assert "rsql-test" in str(resource.resource)
    spans = resource.scope_spans[0].spans
    assert {span.trace_id.hex() for span in spans} == {PARENT[3:35]}
    assert sorted(span.name for span in spans) == ["chat m", "chat m"]


def test_off_nothing_of_it_is_loaded(programs):
    code = """
import sys
from jupyter_server_ext.app.assembly import build_app
from jupyter_server_ext.config import Settings
from rsql_magic.gateway import LLMClient, cell
build_app(Settings(), [], "/")
with cell("ask"):
    LLMClient("http://127.0.0.1:9/")._request([], {}, {})
print([name for name in sys.modules if name.startswith("opentelemetry.sdk") or name == "jupyter_server_ext.traces"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout.strip() == "[]"


def test_without_the_package_the_gateway_says_what_to_install(monkeypatch):
    from jupyter_server_ext.errors import ConfigError

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(ConfigError, match="telemetry"):
        Traces(TelemetrySettings(endpoint="http://x"))
