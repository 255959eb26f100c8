"""The real thing: a Jupyter Server with the gateway on, a provider that can be slow, and kernels to type into."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from jupyter_client.manager import KernelManager
from servers import free_port
from waiting import eventually

TOKEN = "a-token-for-tests-only"


@pytest.fixture(autouse=True, scope="session")
def _programs(programs):
    """Every test here starts some."""


@pytest.fixture(autouse=True)
def pictured(request):
    """How a test that fails leaves the pages that its file shares."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        from e2e import panel_lab

        for name in {"beside_r", "chat", "doing", "other", "side"} & set(request.fixturenames):
            picture = panel_lab.SCREENSHOTS / f"{request.node.originalname}_{name}.png"
            request.getfixturevalue(name).page.screenshot(path=picture)


class Provider(BaseHTTPRequestHandler):
    """An OpenAI-compatible provider that says ``word`` every 50 ms, for five minutes, and notices when one hangs up."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.started.set()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for _ in range(6000):
                self.say({"choices": [{"index": 0, "delta": {"content": "word "}}], "model": "slow"})
                time.sleep(0.05)
        except OSError:
            self.server.hung_up.set()

    def say(self, chunk):
        data = f"data: {json.dumps(chunk)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *args):
        pass


@pytest.fixture
def provider():
    """The slow provider, with ``started`` and ``hung_up`` to wait for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.daemon_threads = True
    server.started, server.hung_up = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory):
    """A Jupyter Server with the extension on and no key: the offline model answers. Gives its URL."""
    root = tmp_path_factory.mktemp("server")
    (root / "rsql.toml").write_text('default_model = "offline"\n[[keys]]\nprovider = "offline"\n')
    log = (root / "log").open("w")
    port = free_port()
    server = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "jupyter_server",
                "--no-browser",
                "--allow-root",
                "--ip=127.0.0.1",
                f"--port={port}",
            ),
            *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"),
            "--ServerApp.jpserver_extensions={'jupyter_server_ext': True}",
        ],
        env={**os.environ, "JUPYTER_TOKEN": TOKEN, "RSQL_CONFIG": str(root / "rsql.toml")},
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        eventually(lambda: answers(f"{url}rsql/health"), (root / "log").read_text)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.fixture(scope="session")
def _servers(tmp_path_factory):
    from e2e import panel_lab

    with panel_lab.servers(tmp_path_factory.mktemp("town")) as servers:
        yield servers


@pytest.fixture(scope="session")
def _servers_on_a_hub(tmp_path_factory):
    from e2e import panel_lab

    with panel_lab.servers_on_a_hub(tmp_path_factory.mktemp("hub_town")) as servers:
        yield servers


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("_servers", id=pytest.HIDDEN_PARAM),
        pytest.param("_servers_on_a_hub", id="hub", marks=pytest.mark.sweep),
    ],
)
def town(request):
    """A JupyterLab, a Notebook 7 and a browser, for tests of what front ends make of a model's words."""
    servers = request.getfixturevalue(request.param)
    # The browser ends with the file: Playwright's event loop runs in the thread of the tests until then, so that
    # `asyncio.run` is refused.
    from e2e import panel_lab

    with panel_lab.chromium() as browser:
        town = panel_lab.Town(*servers, browser)
        with panel_lab.answers_of_a_test(town.provider):
            yield town


def answers(url):
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


ANEW = """
import os
os.environ.clear()
os.environ |= {environment!r}
os.chdir({folder!r})
"""


class Kernel:
    """A kernel as a notebook has it: what a cell shows comes as messages."""

    def __init__(self):
        self.manager = KernelManager()
        self.manager.start_kernel(stderr=subprocess.DEVNULL)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=240)

    def begin(self, environment, folder):
        """Forget what was run before, and load the magics with an environment, in a folder."""
        begin = ANEW.format(environment={**os.environ, **environment}, folder=str(folder))
        for code in ("%unload_ext rsql_magic", "%reset -f", begin, "%reset -f", "%load_ext rsql_magic"):
            self.run(code)

    def send(self, code, *, stdin=True, cell=""):
        """Run a cell, with its id where one is given, as front ends do."""
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": stdin, "user_expressions": {}}
        request = self.client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else {})
        self.client.shell_channel.send(request)
        return request["header"]["msg_id"]

    def messages(self, request, timeout=240):
        """The messages of one cell, as they come, until it is idle."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return
            yield message

    def run(self, code, *, stdin=True):
        """Messages of a cell, and its reply."""
        request = self.send(code, stdin=stdin)
        found = [
            message for message in self.messages(request) if message["msg_type"] not in {"status", "execute_input"}
        ]
        return found, self.reply(request)

    def reply(self, request):
        while True:
            reply = self.client.get_shell_msg(timeout=240)
            if reply["parent_header"].get("msg_id") == request:
                return reply["content"]

    def interrupt(self):
        self.manager.interrupt_kernel()

    @property
    def pid(self):
        return self.manager.provisioner.process.pid

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernels_left():
    """Kernels that are alive after the tests that had them."""
    left = []
    yield left
    for one in left:
        one.close()


@pytest.fixture
def kernel(tmp_path, kernels_left):
    """Gives kernels with an environment: one that was left and has forgotten all, or a new one.

    A test that changes modules of its kernel, or runs R in it, closes it.
    """
    given = []

    def start(**environment):
        given.append(kernels_left.pop() if kernels_left else Kernel())
        given[-1].begin(environment, tmp_path)
        return given[-1]

    yield start
    for one in given:
        kernels_left.append(one) if one.manager.is_alive() else one.close()


@pytest.fixture
def gateway_over(tmp_path):
    """Starts gateways of their own over a provider's URL; gives what a kernel needs to find one."""
    started = []

    def start(provider_url, more=""):
        config = tmp_path / "rsql.toml"
        config.write_text(
            'default_model = "slow"\n[[keys]]\nprovider = "slowly"\nmodels = ["slow"]\n'
            f'base_url = "{provider_url}"\n{more}'
        )
        port = free_port()
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "jupyter_server_ext", f"--port={port}", f"--gateway-config={config}"],
                env={**os.environ, "JUPYTER_TOKEN": TOKEN},
                cwd=tmp_path,
            )
        )
        url = f"http://127.0.0.1:{port}/rsql/"
        eventually(lambda: started[-1].poll() is not None or answers(f"{url}health"))
        return {"RSQL_GATEWAY_URL": url, "RSQL_GATEWAY_TOKEN": TOKEN}

    yield start
    for process in started:
        process.terminate()
        process.wait(60)


def drained(client):
    """Forget messages nobody waited for."""
    try:
        while True:
            client.get_iopub_msg(timeout=0.01)
    except queue.Empty:
        return
