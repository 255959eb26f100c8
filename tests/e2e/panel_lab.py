"""JupyterLab and Notebook 7 with a gateway over a provider that answers as its question says, and Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
from e2e.conftest import TOKEN, answers
from servers import free_port
from waiting import eventually

PATIENCE = 60_000  # milliseconds that a page may take: a machine with other work to do is no fault of it
STUDENT = "lin"  # on a hub
SCREENSHOTS = Path(__file__).parents[2] / "screenshots"  # in a folder that git ignores
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
CONFIG = """\
default_model = "talker"

[[keys]]
provider = "here"
base_url = "{url}"
key = "k"
models = ["talker", "other"]
concurrency = 8

[prices.models.talker]
input = 0.6
output = 2.4

[limits.caller]
requests_per_day = {requests}

[cache]
enabled = false
"""


class Provider(BaseHTTPRequestHandler):
    """Answers with what stands in ``answers`` for a word of the question, and with some words to everything else.

    The answer comes word by word, or in the pieces of a list: texts, or whole deltas such as calls of tools. A function
    in place of the words gives them for the body of the request.
    """

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = body["messages"][-1]["content"]
        if isinstance(question, list):  # with pictures
            question = "\n".join(part["text"] for part in question if part["type"] == "text")
        self.server.asked.append(body)
        key = next((key for key in self.server.answers if re.search(rf"\b{key}\b", question)), None)
        text, pause = self.server.answers.get(key, ("An answer in some words.", 0.0))
        text = text(body) if callable(text) else text
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            words = 1 if len(text) < 100_000 else 100
            pieces = text if isinstance(text, list) else re.findall(rf"(?:\s*\S+\s*){{1,{words}}}", text)
            for piece in pieces:
                delta = piece if isinstance(piece, dict) else {"content": piece}
                self.say({"choices": [{"index": 0, "delta": delta}], "model": body["model"]})
                time.sleep(pause)
            done = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": body["model"]}
            self.say(done | {"usage": {"prompt_tokens": self.server.prompt_tokens, "completion_tokens": len(pieces)}})
            self.send(b"data: [DONE]\n\n")
            self.send(b"")
        except OSError:
            self.server.hung_up.append(question)

    def say(self, chunk):
        self.send(f"data: {json.dumps(chunk)}\n\n".encode())

    def send(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *args):
        pass


# Three minutes of an answer: with numbers, or it would be stopped as one that repeats itself.
SLOWLY = ("".join(f"word word {n} " for n in range(3000)), 0.02)

REVIEWS = """\
import pandas as pd
texts = ["It works, thank you.", "The third one that came broken.", "Is there a blue one?", "My mother loves it."]
reviews = pd.DataFrame({"text": [f"{texts[n % 4]} Order {n}." for n in range(600)]})"""
MAP = """\
%%ask --map reviews --returns "mood: glad|angry, stars: int" --privacy sample -o judged
How does {{text}} sound?"""


def rows_judged(body):
    """The answer to a question about rows."""
    time.sleep(0.6)
    asked = re.findall(r'^\{.*"row": "\w+"\}$', body["messages"][-1]["content"], re.MULTILINE)
    moods = ["glad", "angry", None, "glad"]
    return json.dumps(
        {"rows": [{"row": n["row"], "mood": moods[len(n["text"]) % 4], "stars": 3} for n in map(json.loads, asked)]}
    )


@contextmanager
def provider():
    """The provider, with ``answers`` and ``prompt_tokens`` to set, ``asked`` and ``hung_up`` to look at."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.daemon_threads = True
    server.answers, server.asked, server.hung_up, server.prompt_tokens = {}, [], [], 50
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def answers_of_a_test(provider):
    """The provider, whose answers are after the block what they were before it."""
    before = dict(provider.answers)
    yield provider
    provider.answers.clear()
    provider.answers.update(before)


@contextmanager
def gateway(folder, provider_url, requests=100_000, port=0, more=""):
    """A gateway of its own over the provider; gives its URL and its process."""
    config, port = folder / "rsql.toml", port or free_port()
    config.write_text(CONFIG.format(url=provider_url, requests=requests) + more)
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter_server_ext", f"--port={port}", f"--gateway-config={config}"],
        env={**os.environ, "JUPYTER_TOKEN": TOKEN},
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/rsql/"
    try:
        eventually(lambda: process.poll() is not None or answers(f"{url}health"))
        yield url, process
    finally:
        process.terminate()
        process.wait(60)


def write_settings(folder):
    """JupyterLab's settings without its questions about news, and about files that two slow saves have crossed on."""
    for of, settings in {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "docmanager-extension/plugin": {"lastModifiedCheckMargin": PATIENCE},
    }.items():
        file = folder / "@jupyterlab" / f"{of}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))


@contextmanager
def jupyterlab(folder, gateway_url):
    """A JupyterLab, and at ``/notebooks`` a Notebook 7, whose kernels use the gateway; gives its URL."""
    port = free_port()
    log = (folder / "lab.log").open("w")
    environment = {
        **os.environ,
        **dict.fromkeys(("JUPYTER_TOKEN", "RSQL_GATEWAY_TOKEN"), TOKEN),
        "RSQL_GATEWAY_URL": gateway_url,
        "RSQL_CONVERSATIONS": "on",
        **{f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "RUNTIME")},
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_PATH": str(folder / "jupyter"),  # for kernels of a test's own
    }
    write_settings(folder / "settings")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
            *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"),
            *("--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"),
            "--ServerApp.jpserver_extensions={'jupyterlab': True, 'notebook': True, 'jupyter_server_ext': False}",
        ],
        env=environment,
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        eventually(lambda: answers(f"{url}api/status?token={TOKEN}"), (folder / "lab.log").read_text)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def chromium_path():
    """Chromium of the system; None where only Playwright's own may be there."""
    return next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser"))), None)


@contextmanager
def chromium(**options):
    """A browser; without a window's own pages it takes two thirds of the time."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), **options)
        yield browser
        browser.close()


FRONT_ENDS = {"jupyterlab": "lab/workspaces/{name}/tree/{name}.ipynb?reset&", "notebook": "notebooks/{name}.ipynb?"}
CONNECTED = """() => {
  const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""
OPEN_INSTEAD = """async (path) => {
  const { commands, shell } = window.jupyterapp;
  await commands.execute("application:close-all");
  shell.activateById((await commands.execute("docmanager:open", { path })).id);
}"""


def log_in(page, name=STUDENT):
    """Tell a hub who it is, if the page is one that asks."""
    if page.locator("#login_submit").count():
        page.get_by_label("Username:").fill(name)
        page.get_by_label("Password:").fill("any")
        page.locator("#login_submit").click()


class Page:
    """A notebook in a browser, with a panel in its last cell that was run."""

    def __init__(
        self, browser, lab, folder, name, cells, *, front_end="jupyterlab", prepare=lambda context: None, **options
    ):
        self.folder, self.lab, self.front_end = folder, lab, front_end
        self.context = browser.new_context(viewport={"width": 1150, "height": 900}, **options)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        prepare(self.context)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.begin(name, cells)

    def begin(self, name, cells):
        """Write a notebook, open it and run its cells."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(text) for text in cells], metadata={"kernelspec": KERNEL}
        )
        nbformat.write(notebook, self.folder / f"{name}.ipynb")
        self.open(name)
        self.ran = 0
        self.page.locator(".jp-Notebook .jp-Cell").first.click()
        for _ in cells:
            self.run_cell()

    def open(self, name):
        """Open a notebook of the folder in place of the one that is open."""
        if self.front_end == "jupyterlab" and self.page.url != "about:blank":
            self.page.evaluate(OPEN_INSTEAD, f"{name}.ipynb")
        else:
            self.page.goto(f"{self.lab}{FRONT_ENDS[self.front_end].format(name=name)}token={TOKEN}")
            log_in(self.page)
        self.page.wait_for_function(CONNECTED)

    def run_cell(self):
        """Run the cell that is chosen, and wait for its number."""
        self.ran += 1
        self.page.keyboard.press("Shift+Enter")
        self.page.locator(f".jp-InputPrompt:has-text('[{self.ran}]:')").first.wait_for()

    def type_cell(self, code, wait=True, seconds=60):
        """Write code into the last cell and run it: to its end, or until it has begun."""
        cells = self.page.locator(".jp-Notebook .jp-Cell")
        cell = cells.nth(cells.count() - 1)
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        said = re.compile(r"\[\d+\]:" if wait else r"\[\*\]:")
        cell.locator(".jp-InputPrompt").filter(has_text=said).wait_for(timeout=1000 * seconds)

    @property
    def panel(self):
        return self.page.locator(".rsql-panel").last

    @property
    def box(self):
        return self.panel.get_by_label("Message", exact=True)

    @property
    def turns(self):
        return self.panel.locator(".rsql-turn")

    def ask(self, text, wait=True):
        """Type a question and send it; the turn it makes."""
        self.panel.locator(SEND).wait_for()
        number = self.turns.count()
        send(self.panel, text)
        turn = self.turns.nth(number)
        turn.wait_for()
        if wait:
            self.panel.locator(f".rsql-turn:nth-of-type({number + 1}):not([data-state=running])").wait_for()
        return turn

    def close(self):
        self.context.close()


SEND = ".rsql-go[aria-label=Send]"  # while an answer comes nothing is sent, and Escape stops it


def send(panel, text):
    """Type a question into a panel and send it, once it can be sent."""
    panel.locator(SEND).wait_for()
    box = panel.get_by_label("Message", exact=True)
    box.fill(text)
    box.press("Escape")
    box.press("Enter")


def answered(panel, text):
    """Send a question to a panel; its turn, once the answer has ended."""
    send(panel, text)
    turn = panel.locator(".rsql-turn").filter(has_text=text).last
    turn.locator(".rsql-bar").wait_for()
    return turn


# Both ends of the way are seldom in view at once, so the mouse is left out.
DROPPED_ON = """(target, row) => {
  const { left, top } = target.getBoundingClientRect();
  const place = { clientX: left + 9, clientY: top + 9 };
  const drag = { dataTransfer: new DataTransfer(), bubbles: true, cancelable: true, ...place };
  row.dispatchEvent(new DragEvent("dragstart", drag));
  for (const name of ["dragenter", "dragover", "drop"]) target.dispatchEvent(new DragEvent(name, drag));
}"""


class Side:
    """A page with a notebook and the sidebar."""

    def __init__(self, page):
        self.notebook, self.page = page, page.page
        self.sidebar = self.page.locator(".rsql-sidebar > :not([hidden])")  # those of other notebooks are hidden
        self.box = self.sidebar.get_by_label("Message", exact=True)
        self.turns = self.sidebar.locator(".rsql-turn")
        self.under = self.page.locator(".rsql-under")
        self.diff = self.page.locator(".rsql-diff")

    def open(self):
        self.command("rsql:open")
        self.sidebar.locator(".rsql-panel").wait_for()

    def command(self, name):
        """Carry a command out without waiting for what it starts."""
        self.page.evaluate("(name) => { window.jupyterapp.commands.execute(name); }", name)

    def go_to(self, path):
        """Show a notebook; what the command gives is a widget, which cannot leave the page."""
        opened = "(path) => { window.jupyterapp.commands.execute('docmanager:open', { path }); }"
        self.page.evaluate(opened, path)

    def ask(self, text):
        return answered(self.sidebar, text)

    def cell(self, code):
        """Type a cell below the last and run it; the place of it."""
        cells = self.page.locator(".jp-Notebook .jp-Cell")
        typed = cells.nth(cells.count() - 1)
        self.notebook.type_cell(code)
        return typed

    def button(self, name, within=None):
        return (within or self.under).get_by_role("button", name=name, exact=True)


AXE = Path(__file__).parents[2] / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
# Whether axe-core sees it. While a theme changes all is hidden; and JupyterLab's body has no height, for which axe-core
# takes what it holds for hidden, so that it looks at no colour.
SEEN = """(within) => {
  document.body.style.minHeight = "100vh";
  axe.setup(document);
  const isSeen = [...document.querySelectorAll(within)].some((node) => axe.commons.dom.isVisibleOnScreen(node));
  axe.teardown();
  return isSeen;
}"""


def accessible(page, within):
    """Have axe-core look at a part of a page, and find nothing."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE.read_text())
    page.wait_for_function(SEEN, arg=within)
    run = f"() => axe.run('{within}', {{resultTypes: ['violations']}}).then(found => found.violations)"
    found = [(each["id"], [node["failureSummary"] for node in each["nodes"]]) for each in page.evaluate(run)]
    assert not found, found


class Line:
    """The connection between a page and its kernel, which a test can break."""

    def __init__(self):
        self.broken, self._sockets = False, []

    def through(self, context):
        """Have the connections of a browser's context go through here."""
        context.route_web_socket(re.compile("/channels"), self._connect)

    def _connect(self, socket):
        if self.broken:
            socket.close()
        else:
            socket.connect_to_server()
            self._sockets.append(socket)

    def cut(self):
        """Break it, until ``broken`` is false again."""
        self.broken = True
        while self._sockets:
            self._sockets.pop().close(code=3001)


class Town:
    """A provider, a JupyterLab whose kernels reach it by a gateway, and a browser with a page of each front end.

    Attributes:
        folder: Where the notebooks are.
        gateway: URL of the gateway.
    """

    def __init__(self, provider, folder, gateway, lab, browser):
        self.provider, self.folder, self.gateway, self.lab, self.browser = provider, folder, gateway, lab, browser
        self._pages = {}

    def page(self, front_end, name="", cells=()):
        """The page of a front end, with a new notebook if one is named; ``asked`` has the addresses that it asked."""
        file = f"{name}_{front_end}"
        if front_end not in self._pages:
            page = Page(self.browser, self.lab, self.folder, file, cells, front_end=front_end)
            page.asked = []
            page.page.on("request", lambda request: page.asked.append(request.url))
            self._pages[front_end] = page
        elif name:
            self._pages[front_end].begin(file, cells)
        return self._pages[front_end]


STORAGE = """
[storage]
ledger = "sqlite:///rsql.db"
prompt_keys = ["YSBrZXkgb2YgdGhlIHRlc3RzIHdpdGggMzIgYnl0ZXM="]
"""


@contextmanager
def servers(folder):
    """A provider, and a gateway and a JupyterLab whose notebooks are in this folder."""
    with provider() as running, gateway(folder, running.url, more=STORAGE) as (url, _), jupyterlab(folder, url) as lab:
        yield running, folder, url, lab


@contextmanager
def servers_on_a_hub(folder):
    """The same on a JupyterHub: its service is the gateway, and the JupyterLab is a student's."""
    from hub.real_hub import RealHub  # which needs more than other tests have installed

    home = folder / STUDENT
    environment = {
        "JUPYTER_PATH": str(home / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "RSQL_CONVERSATIONS": "on",
    }
    home.mkdir()
    write_settings(home / "settings")
    with provider() as running:
        config = CONFIG.format(url=running.url, requests=100_000) + STORAGE
        hub = RealHub(folder, config, {"class": {"users": [STUDENT]}}, lab=[STUDENT], environment=environment)
        try:
            hub.start()
            hub.start_servers(STUDENT)
            yield running, home, hub.gateway, f"{hub.url}user/{STUDENT}/"
        finally:
            hub.close()
