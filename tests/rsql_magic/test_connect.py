"""Finding the gateway: the four ways, in their order."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

import httpx
import pytest
from servers import http_server

from rsql_magic.assistant import Assistant
from rsql_magic.config import Rsql
from rsql_magic.errors import BadInput, GatewayError, GatewayUnreachable
from rsql_magic.gateway import GatewayLocator, LLMClient, Stop
from rsql_magic.gateway.locator import Address, Embedded, _without_libraries_of_r, base_url, discovered, named

HUB = {"JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example.org/hub/", "JUPYTERHUB_API_TOKEN": "hub-token"}
SERVER = {"RSQL_SERVER_URL": "http://127.0.0.1:8888/rsql", "RSQL_SERVER_TOKEN": "server-token"}
CHOSEN = {"RSQL_GATEWAY_URL": "http://gateway/rsql/", "RSQL_GATEWAY_TOKEN": "own-token"}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("http://localhost:8888", "http://localhost:8888/rsql/"),
        ("http://localhost:8888/", "http://localhost:8888/rsql/"),
        ("http://h/rsql", "http://h/rsql/"),
        ("https://hub/services/rsql/", "https://hub/services/rsql/"),
        ("https://api.groq.com/openai/v1", "https://api.groq.com/openai/"),
        ("http://localhost:11434/v1/", "http://localhost:11434/"),
        ("http://localhost:11434/v1/chat/completions", "http://localhost:11434/"),
        ("http://[::1]:8888/user/ada/rsql/v1", "http://[::1]:8888/user/ada/rsql/"),
        ("  http://h/v1beta/openai/ ", "http://h/v1beta/openai/"),
    ],
)
def test_what_people_type_becomes_a_base_url(typed, expected):
    assert base_url(typed) == expected


@pytest.mark.parametrize(
    "typed", ["localhost:8888", "ftp://h/rsql/", "http://", "http://u:p@h/rsql/", "http://h/rsql/?token=x", ""]
)
def test_what_is_no_gateways_url(typed):
    with pytest.raises(BadInput):
        base_url(typed)


def test_what_r_does_to_the_library_path_is_undone():
    path = "/usr/lib/R/lib:/usr/lib/x86_64-linux-gnu:/usr/lib/jvm/default-java/lib/server:/opt/mine/lib"
    told = _without_libraries_of_r({"R_HOME": "/usr/lib/R", "LD_LIBRARY_PATH": path, "A": "b"})
    assert told == {"R_HOME": "/usr/lib/R", "LD_LIBRARY_PATH": "/opt/mine/lib", "A": "b"}
    assert _without_libraries_of_r({"LD_LIBRARY_PATH": path}) == {"LD_LIBRARY_PATH": path}


def test_what_was_named_comes_first():
    assert named({**HUB, **SERVER, **CHOSEN}) == Address("http://gateway/rsql/", "own-token", "environment")
    assert named(CHOSEN, "http://other/rsql/", "t") == Address("http://other/rsql/", "t", "chosen")
    assert named({**HUB, **SERVER}) is None


def test_then_the_hub_then_the_server():
    assert discovered({**SERVER, **HUB}) == [
        Address("https://hub.example.org/services/rsql/", "hub-token", "hub"),
        Address("http://127.0.0.1:8888/rsql/", "server-token", "server"),
    ]
    assert discovered({}) == []


def test_the_hubs_token_goes_to_the_hub_only():
    named_by_admin = {**HUB, "RSQL_GATEWAY_URL": "http://proxy:8000/services/rsql/"}
    assert named(named_by_admin).token == "hub-token"
    assert named(HUB, "http://elsewhere/services/rsql/").token == ""
    assert named({**HUB, "RSQL_GATEWAY_URL": "http://gateway/rsql/"}).token == ""


def test_a_token_is_never_printed():
    address = Address("http://gateway/rsql/", "own-token", "environment")
    assert "own-token" not in f"{address} {address!r}"


@pytest.fixture
def child(programs, tmp_path):
    """Makes a stand-in for the gateway: its own Python file, run as the child."""

    def child(code):
        path = tmp_path / "child.py"
        path.write_text(textwrap.dedent(code))
        return Embedded(os.environ, timeout=10.0, command=(str(path),))

    return child


READY = """
    import os, sys
    print("noise")
    print("rsql gateway ready at http://127.0.0.1:1/rsql/", flush=True)
    assert len(os.environ["JUPYTER_TOKEN"]) > 30
    sys.stdin.read()
"""


def test_the_child_tells_where_it_is_and_is_started_once(child):
    embedded = child(READY)
    first = embedded.address()
    assert (first.url, first.how) == ("http://127.0.0.1:1/rsql/", "embedded")
    assert embedded.address() is first
    pid = embedded.pid
    embedded.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    embedded.close()


def test_a_child_that_died_is_started_again(child):
    embedded = child(READY)
    first = embedded.address()
    os.kill(embedded.pid, 9)
    while embedded.running:
        time.sleep(0.01)
    assert embedded.address().token != first.token
    embedded.close()


def test_a_child_that_fails_says_why(child):
    embedded = child("import sys; print('rsql.toml, line 3: no such key', file=sys.stderr); sys.exit(1)")
    with pytest.raises(GatewayUnreachable, match=r"ended at once: rsql.toml, line 3: no such key"):
        embedded.address()
    assert not embedded.running


def test_a_child_that_hangs_is_given_up(child):
    embedded = child("import time; time.sleep(60)")
    embedded.timeout = 0.2
    with pytest.raises(GatewayUnreachable, match=r"not ready within 0.2 s"):
        embedded.address()
    assert not embedded.running


def test_a_forked_worker_does_not_keep_the_child_alive(child):
    embedded = child(READY)
    embedded.address()
    pid = os.fork()
    if pid == 0:  # the worker, holding a copy of every open file
        time.sleep(5)
        os._exit(0)
    try:
        embedded._process.stdin.close()
        embedded._process.wait(60)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        embedded.close()


def test_nobody_there_and_none_may_be_started():
    assistant = Assistant(Rsql(embedded=False), environ={})
    with pytest.raises(GatewayUnreachable, match="There is no gateway"):
        assistant.locator.gateway.models()


def test_an_offer_that_does_not_answer_is_passed_over(child):
    assistant = Assistant(environ={"RSQL_SERVER_URL": "http://127.0.0.1:9/rsql/", "RSQL_SERVER_TOKEN": "t"})
    assistant.locator.embedded = child(READY)
    assert assistant.locator.gateway.url == "http://127.0.0.1:1/rsql/"
    assistant.close()


def test_threads_that_ask_at_once_get_the_same_gateway(monkeypatch):
    made, both = [], threading.Barrier(2, timeout=0.2)

    def client(_, at):
        with suppress(threading.BrokenBarrierError):  # the other thread is here, too, where nothing keeps it away
            both.wait()
        made.append(LLMClient(at.url))
        return made[-1]

    monkeypatch.setattr(GatewayLocator, "client_of", client)
    locator = GatewayLocator(Rsql(), {"RSQL_GATEWAY_URL": "http://127.0.0.1:9/rsql/"})
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: locator.gateway, range(2)))
    assert (found[0] is found[1], len(made)) == (True, 1)


def test_who_stops_a_request_while_the_gateway_is_looked_for_finds_the_right_one_all_the_same(child):
    class Slow(BaseHTTPRequestHandler):
        asked, answers = threading.Event(), threading.Event()

        def do_GET(self):
            self.asked.set()
            self.answers.wait(10)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}')

        def log_message(self, *_):
            pass

    def asks():
        with stop.governs(), suppress(GatewayError):
            locator.gateway.models()

    stop = Stop()
    with http_server(Slow) as port:
        offered = f"http://127.0.0.1:{port}/rsql/"
        locator = GatewayLocator(Rsql(), {"RSQL_SERVER_URL": offered, "RSQL_SERVER_TOKEN": "t"})
        locator.embedded = child(READY)
        asking = threading.Thread(target=asks)
        asking.start()
        assert Slow.asked.wait(60)
        stop()
        Slow.answers.set()
        asking.join(60)
        assert locator.gateway.url == offered
        locator.close()


def test_an_offer_that_cannot_serve_now_is_not_passed_over(monkeypatch):
    said = {"status": "unavailable", "error": {"code": "config_error", "message": "The configuration is wrong."}}
    off = httpx.MockTransport(lambda _: httpx.Response(503, json=said))
    monkeypatch.setattr(GatewayLocator, "client_of", lambda _, at: LLMClient(at.url, at.token, transport=off))
    assistant = Assistant(environ={"RSQL_SERVER_URL": "http://127.0.0.1:9/rsql/", "RSQL_SERVER_TOKEN": "t"})
    with pytest.raises(GatewayError, match=r"The configuration is wrong\. The administrator's rsql\.toml needs a look"):
        assistant.locator.learn_policy()


def test_what_was_named_is_never_passed_over():
    assistant = Assistant(environ={"RSQL_GATEWAY_URL": "http://127.0.0.1:9/rsql/"})
    with pytest.raises(GatewayUnreachable, match=r"No gateway answers at http://127.0.0.1:9/rsql/"):
        assistant.locator.gateway.models()


@pytest.mark.skipif(sys.platform == "win32", reason="sessions are POSIX")
def test_an_interrupt_of_the_kernel_does_not_reach_the_child(child):
    embedded = child(READY)
    embedded.address()
    assert os.getsid(embedded.pid) == embedded.pid
    embedded.close()


@pytest.mark.slow
def test_a_file_beside_the_notebook_is_none_of_the_childs_modules(programs, tmp_path, monkeypatch):
    (tmp_path / "tornado.py").write_text("raise SystemExit('the wrong tornado')")
    monkeypatch.chdir(tmp_path)
    child = Embedded(os.environ, timeout=20.0)
    try:
        assert child.address().url.startswith("http://127.0.0.1:")
    finally:
        child.close()
