"""A real kernel, a real Jupyter Server, the offline model: what a notebook shows and what it keeps."""

from __future__ import annotations

import html
import json
import os
import re
import time
from base64 import b64decode
from pathlib import Path

import httpx
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from scripted_provider import call, scripted_provider
from waiting import eventually

from .conftest import TOKEN
from .panel_lab import provider as quick_provider

SALES = "import pandas as pd\nsales = pd.DataFrame({'region': ['N', 'S', 'N'] * 5, 'amount': range(15)})"


@pytest.fixture(scope="module")
def batch(jupyter, tmp_path_factory):
    """Executes cells as nbconvert does, all in one kernel that forgets what was run before; gives the cells back."""
    folder = str(tmp_path_factory.mktemp("batch"))
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=240, resources={"metadata": {"path": folder}})
    gateway = {"RSQL_GATEWAY_URL": f"{jupyter}rsql/", "RSQL_GATEWAY_TOKEN": TOKEN}

    def execute(*sources):
        sources = ("%unload_ext rsql_magic", "%reset -f", "%load_ext rsql_magic", SALES, *sources)
        client.nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        execute.cells = client.nb.cells[4:]
        for number, cell in enumerate(client.nb.cells):
            client.execute_cell(cell, number)
        return execute.cells

    with client.setup_kernel(env={**os.environ, **gateway}):
        yield execute


@pytest.mark.spine
def test_a_batch_run_has_one_output_per_cell(batch):
    ask, ask_sql, assigned, kept = batch(
        "%%ask\nWhat is in sales?",
        "%%sql_ai -o out\nHow many rows are in sales?",
        "x = %ask What is in sales?",
        "str(x)",
    )
    assert [output.output_type for output in ask.outputs] == ["display_data"]
    assert "region" in ask.outputs[0].data["text/markdown"]
    assert ask.outputs[0].metadata["rsql"]["model"] == "offline"
    assert [output.output_type for output in ask_sql.outputs] == ["display_data"]
    assert "15" in ask_sql.outputs[0].data["text/markdown"]
    assert [output.output_type for output in assigned.outputs] == ["display_data"]
    assert "region" in kept.outputs[0].data["text/plain"]


TIED = """import duckdb
con = duckdb.connect()
for place, count in (("north", 3), ("south", 4)):
    _ = con.execute(f"CREATE SCHEMA {place}; CREATE TABLE {place}.visitors AS SELECT range AS id FROM range({count})")
"""
TIE = "%%sql_ai con --ask\nHow many visitors are there?"


def test_a_question_with_two_readings_is_asked_back_before_any_model_is(kernel, jupyter, gateway_over):
    with quick_provider() as provider:
        scripted = gateway_over(provider.url)
        for environment in ({"RSQL_GATEWAY_URL": f"{jupyter}rsql/", "RSQL_GATEWAY_TOKEN": TOKEN}, scripted):
            notebook = kernel(**environment)
            notebook.run(TIED)
            found, reply = notebook.run(TIE)
            assert (reply["status"], reply["ename"]) == ("error", "BadInput")
            assert "north.visitors or south.visitors" in reply["evalue"], reply["evalue"]
            assert "--tables" in str([message["content"] for message in found])
            assert provider.asked == []
        provider.answers["How many visitors"] = ("```sql\nSELECT count(*) AS n FROM south.visitors\n```", 0.0)
        for options in ("", " --ask --tables south.visitors"):
            notebook.run(f"%%sql_ai con{options} -o out\nHow many visitors are there?")
            _, reply = notebook.run("assert out.n[0] == 4; del out")
            assert reply["status"] == "ok", reply
        assert len(provider.asked) == 2


def test_a_batch_run_asks_nobody_which_reading_is_meant(batch):
    _, asked = batch(TIED, TIE)
    assert [output.output_type for output in asked.outputs] == ["display_data"]
    assert "visitors" in asked.outputs[0].data["text/markdown"]


def test_a_chart_has_a_picture(batch):
    pytest.importorskip("vl_convert")
    (cell,) = batch("%%sql_ai --plot bar\ntotal amount by region in sales")
    (output,) = cell.outputs
    assert {"text/markdown", "text/html", "image/svg+xml", "image/png"} <= set(output.data)


def test_an_error_stops_a_batch_run_in_one_line(batch):
    with pytest.raises(CellExecutionError):
        batch("%%ask --model nosuchmodel\nhello", "print('never')")
    failed, after = batch.cells
    (output,) = failed.outputs
    assert output.ename == "UnknownModel"
    assert len(output.traceback) == 1
    assert after.outputs == []


def test_every_error_is_one_line_and_fails_its_cell(kernel, jupyter):
    notebook = kernel(RSQL_GATEWAY_URL=f"{jupyter}rsql/", RSQL_GATEWAY_TOKEN="wrong")
    cells = {
        "%%ask\nhello": "NotAllowed",
        "%%sql_ai nothing\nhow many?": "UnknownName",
        "%rsql connect http://127.0.0.1:9/rsql/": "GatewayUnreachable",
        "%%ask\n  ": "BadInput",
        "%rsql stauts": "BadInput",
    }
    for cell, name in cells.items():
        found, reply = notebook.run(cell, stdin=False)
        (error,) = [message["content"] for message in found if message["msg_type"] == "error"]
        assert (error["ename"], len(error["traceback"]), reply["status"]) == (name, 1, "error")


def test_code_is_put_into_a_new_cell_below(kernel, jupyter):
    notebook = kernel(RSQL_GATEWAY_URL=f"{jupyter}rsql/", RSQL_GATEWAY_TOKEN=TOKEN)
    notebook.run(SALES)
    for question in ("%%ask --insert\nmean amount by region of sales", "sales['regoin']", "%ask --insert fix"):
        _, reply = notebook.run(question, stdin=False)
        if "insert" in question:
            (payload,) = reply["payload"]
            assert (payload["source"], payload["replace"]) == ("set_next_input", False)
            assert payload["text"].startswith("sales")
    found, reply = notebook.run("%%ask --insert\nhello", stdin=False)
    assert reply["payload"] == []
    assert "no code to insert" in str([message["content"] for message in found if message["msg_type"] == "error"])


def test_code_to_insert_stands_in_the_answer_of_a_batch_run(batch):
    (asked,) = batch("%%ask --insert\nmean amount by region of sales")
    assert "```python\nsales.groupby" in asked.outputs[0].data["text/markdown"]


@pytest.mark.spine
def test_the_kernels_of_the_server_find_its_gateway(jupyter, tmp_path):
    """Through the server's own API, as a browser does: nothing is set in the environment by hand."""
    headers = {"Authorization": f"token {TOKEN}"}
    started = httpx.post(f"{jupyter}api/kernels", headers=headers, timeout=240)
    started.raise_for_status()
    out = tmp_path / "found.json"
    code = f"""
%load_ext rsql_magic
import json
from rsql_magic.notebook.magics import loaded
answer = %ask hello
found = loaded(get_ipython()).assistant.locator.address
open({str(out)!r}, "w").write(json.dumps([found.how, found.url, answer.usage.model]))
"""
    execute_over_websocket(jupyter, started.json()["id"], code, out)
    assert json.loads(out.read_text()) == ["server", f"{jupyter}rsql/", "offline"]
    httpx.delete(f"{jupyter}api/kernels/{started.json()['id']}", headers=headers, timeout=240)


def execute_over_websocket(jupyter, kernel_id, code, out):
    import asyncio
    import uuid

    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    async def execute():
        url = f"{jupyter.replace('http', 'ws', 1)}api/kernels/{kernel_id}/channels"
        socket = await websocket_connect(HTTPRequest(url, headers={"Authorization": f"token {TOKEN}"}))
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True, "stop_on_error": True}
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "username": "",
            "session": "s",
            "version": "5.3",
        }
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await socket.write_message(json.dumps(message))
        for _ in range(600):
            if out.exists() and out.stat().st_size:
                break
            await asyncio.sleep(0.05)
        socket.close()

    asyncio.run(execute())


@pytest.mark.spine
def test_words_are_drawn_as_they_come_and_end_in_one_output(kernel, provider, gateway_over):
    notebook = kernel(**gateway_over(provider.url))
    started = time.monotonic()
    request = notebook.send("%ask say something")
    drawn = []
    for message in notebook.messages(request):
        if message["msg_type"] in {"display_data", "update_display_data"}:
            drawn.append((time.monotonic() - started, message["msg_type"], message["content"]))
        if len(drawn) == 12:
            notebook.interrupt()
    kinds = [kind for _, kind, _ in drawn]
    assert kinds == ["display_data"] + ["update_display_data"] * (len(kinds) - 1)
    assert len({content["transient"]["display_id"] for _, _, content in drawn}) == 1
    assert drawn[11][0] - drawn[2][0] > 0.8  # nine pauses between at most ten updates a second


@pytest.mark.spine
def test_stopping_ends_at_once_keeps_the_words_and_hangs_up(kernel, provider, gateway_over):
    notebook = kernel(**gateway_over(provider.url))
    request = notebook.send("%%ask -o answer\nsay something")
    follower = notebook.send("print('run all goes on')")
    last, stopped, errors = None, None, []
    for message in notebook.messages(request):
        if message["msg_type"] == "error":
            errors.append(message["content"])
            ended = time.monotonic()
        if message["msg_type"] in {"display_data", "update_display_data"}:
            last = message["content"]["data"]["text/markdown"]
            if stopped is None and "word word" in last:
                notebook.interrupt()
                stopped = time.monotonic()
    assert ended - stopped < 5, "the answer would have gone on for longer"
    assert [error["ename"] for error in errors] == ["Stopped"]
    assert errors[0]["traceback"] == ["Stopped; what had arrived is kept."]
    assert "word word" in last
    assert "[interrupted]" in html.unescape(last)
    assert provider.hung_up.wait(2)
    assert notebook.reply(request)["status"] == "error"
    assert notebook.reply(follower)["status"] == "aborted"
    found, _ = notebook.run("print(answer.interrupted, answer.text[:9])")
    assert found[0]["content"]["text"] == "True word word\n"


def test_stopping_a_query_stops_the_database(kernel):
    notebook = kernel()
    notebook.run(
        "import duckdb\ncon = duckdb.connect()\ncon.execute('CREATE TABLE t AS SELECT range AS i FROM range(100000)')"
    )
    query = "SELECT count(*) AS n FROM t a JOIN t b ON a.i <> b.i JOIN t c ON c.i <> b.i"
    notebook.run(REPLAYED.format(text=f"```sql\n{query}\n```"))
    request = notebook.send("%%sql_ai con\nhow many?")
    errors, shown = [], ""
    for message in notebook.messages(request):
        if message["msg_type"] == "error":
            errors.append((time.monotonic(), message["content"]))
        if message["msg_type"] in {"display_data", "update_display_data"}:
            shown = message["content"]["data"]["text/markdown"]
            if shown.endswith("*running …*"):
                notebook.interrupt()
                stopped = time.monotonic()
    assert errors[0][0] - stopped < 10, "the query would have run for days"
    assert (errors[0][1]["ename"], errors[0][1]["traceback"]) == ("Stopped", ["Stopped."])
    assert "SELECT" in shown
    assert html.unescape(shown).endswith("[interrupted]")


SENT = """
from rsql_magic.gateway.events import Done, Text
from rsql_magic.notebook.magics import loaded


class Told:
    sent = []

    def close(self):
        pass

    def stream(self, messages, **options):
        self.sent.append(messages)
        yield Text("A word.")
        yield Done()

    def get(self, *args, **options):
        return {}


loaded(get_ipython()).assistant.locator._gateway = Told()
"""


def test_a_cell_that_runs_again_sends_the_same(kernel):
    """By the ids of cells that real kernels are told, as JupyterLab and VS Code do."""
    notebook = kernel()
    notebook.run(SENT)
    order = [("a", "What is a mean?"), ("b", "and a median?"), ("c", "What is a mode?"), ("b", "and a median?")]
    for cell, question in order:
        list(notebook.messages(notebook.send(f"%%ask --no-context\n{question}", cell=cell)))
    told, _ = notebook.run("print(Told.sent[1] == Told.sent[3], len(Told.sent[1]), len(Told.sent[2]))")
    assert told[0]["content"]["text"] == "True 4 2\n"


REPLAYED = """
from rsql_magic.gateway.events import Done, Text
from rsql_magic.notebook.magics import loaded


class Told:
    def close(self):
        pass

    def stream(self, messages, **options):
        yield Text({text!r})
        yield Done()

    def get(self, *args, **options):
        return {{}}


loaded(get_ipython()).assistant.locator._gateway = Told()
"""


@pytest.mark.usefixtures("real_r")
def test_run_shows_what_r_prints_and_every_plot(kernel):
    notebook = kernel()
    notebook.run("%load_ext rsql_magic")
    notebook.run(REPLAYED.format(text="```r\nplot(1:3)\nhist(c(1, 2, 2))\nsum(1:4)\n```"))
    found, reply = notebook.run("%%ask --lang r --run\ndraw")
    assert reply["status"] == "ok"
    outputs = [message["content"] for message in found]
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert [b64decode(picture)[:8] for picture in pictures] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert pictures[0] != pictures[1]
    assert any("[1] 10" in str(output) for output in outputs)
    notebook.close()


def test_what_code_of_an_answer_displays_cannot_act(kernel):
    notebook = kernel()
    notebook.run("%load_ext rsql_magic")
    shows = "display(HTML('<b>a</b><script>evil()</script>'))"
    code = f"from IPython.display import HTML, display\nprint('out')\n{shows}\n6 * 7"
    notebook.run(REPLAYED.format(text=f"```python\n{code}\n```"))
    found, reply = notebook.run("%%ask --run\nshow")
    assert (reply["status"], reply["ename"]) == ("error", "BadInput")
    found, reply = notebook.run("%%ask --run --agree\nshow")
    assert reply["status"] == "ok"
    shown = [message["content"].get("data", {}) for message in found]
    assert any("<b>a</b>" in data.get("text/html", "") for data in shown[1:])
    assert any(data.get("text/plain") == "42" for data in shown)
    assert "out\n" in "".join(message["content"].get("text", "") for message in found)
    assert not any("<script>evil()" in data.get("text/html", "") for data in shown)
    notebook.run("1 + 1")
    notebook.close()


PANEL = """
import threading
from rsql_magic import ChatPanel
from rsql_magic.context import r
from rsql_magic.notebook.magics import loaded

panel = ChatPanel()
panel.open()
answered, call = [], r._call
on_main_thread, console = [], r._console


def noted(function, *args, **options):
    reply = call(function, *args, **options)
    answered.append(function)
    return reply


def entered():
    # R is called inside this, after threads that may not have been sent away.
    on_main_thread.append(threading.current_thread() is threading.main_thread())
    return console()


r._call, r._console = noted, entered
gateway = loaded(get_ipython()).assistant.locator._gateway
stream, asked = gateway.stream, []
gateway.stream = lambda messages, **options: (asked.append(messages), stream(messages, **options))[1]
"""


class View:
    """A view of a kernel's panel: asks by the widget's messages, as a browser does."""

    def __init__(self, notebook):
        self.notebook = notebook
        self.comm = self.value("panel.view_id")
        self.thread = self.do("hello")["thread"]

    def value(self, expression):
        found, _ = self.notebook.run(f"import json\nprint(json.dumps({expression}))")
        return json.loads(next(message["content"]["text"] for message in found if message["msg_type"] == "stream"))

    def do(self, what, **arguments):
        session, channel = self.notebook.client.session, self.notebook.client.shell_channel
        content = {"do": what, "n": what, **arguments}
        data = {"method": "custom", "content": content}
        channel.send(session.msg("comm_msg", {"comm_id": self.comm, "data": data}))
        return self.told(lambda told: told.get("n") == what)

    def ended(self):
        told = self.told(lambda told: told.get("push") == "exchange" and told["exchange"]["state"] != "running")
        return told["exchange"]

    def told(self, wanted):
        """The first message to the view that is wanted."""
        while True:
            message = self.notebook.client.get_iopub_msg(timeout=240)
            told = message["content"].get("data", {}).get("content") if message["msg_type"] == "comm_msg" else None
            if told and wanted(told):
                return told


@pytest.mark.usefixtures("real_r")
def test_the_panel_asks_r_on_the_main_thread_alone(kernel):
    notebook = kernel()
    block = "trips <- subset(trips, dist > 10)\nplot(trips$dist)\nnrow(trips)"
    notebook.run(REPLAYED.format(text=f"```r\n{block}\n```"))
    notebook.run("%load_ext rpy2.ipython")
    notebook.run("%R trips <- data.frame(speed = c(4, 7, 8), dist = c(2, 22, 16))")
    notebook.run(PANEL)
    view = View(notebook)
    assert "@r:trips" in [item["label"] for item in view.do("complete", prefix="tri")["items"]]
    (chip,) = view.do("chips", thread=view.thread, text="Look at @r:trips")["chips"]
    assert (chip["kind"], chip["missing"]) == ("r", "")
    assert "speed" in chip["shown"]
    view.do("ask", thread=view.thread, text="Look at @r:trips")
    assert block in view.ended()["answer"]
    sent = view.value("[message['content'] for message in asked[-1]]")
    assert "speed" in str(sent)
    text, picture = view.do("run", code=block, language="r")["outputs"]
    assert text == {"kind": "text", "text": "[1] 2"}
    assert b64decode(picture["data"])[:8] == b"\x89PNG\r\n\x1a\n"
    assert view.do("run", code="stop('no')", language="r")["outputs"][-1]["kind"] == "error"
    assert {"survey", "run"} <= set(view.value("answered"))
    assert all(view.value("on_main_thread"))
    notebook.close()


def child_of(notebook):
    found, _ = notebook.run(
        "from rsql_magic.notebook.magics import loaded\nprint(loaded(get_ipython()).assistant.locator.embedded.pid)"
    )
    return int(found[0]["content"]["text"])


def alive(pid):
    """Whether a process is there; a dead one that nobody has waited for yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.spine
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("way", ["kill -9", "shutdown"])
def test_the_embedded_gateway_answers_and_ends_with_the_kernel(kernel, way):
    notebook = kernel()
    notebook.run(SALES)
    found, reply = notebook.run("%%ask\nWhat is in sales?")
    assert reply["status"] == "ok"
    assert "region" in found[-1]["content"]["data"]["text/markdown"]
    pid = child_of(notebook)
    assert alive(pid)
    if way == "kill -9":
        notebook.kill()
    else:
        notebook.manager.shutdown_kernel()
    eventually(lambda: not alive(pid))


def test_an_interrupt_leaves_the_embedded_gateway_alone(kernel):
    notebook = kernel()
    notebook.run("%ask hello")
    pid = child_of(notebook)
    request = notebook.send("import time; time.sleep(30)")
    time.sleep(0.3)
    notebook.interrupt()
    list(notebook.messages(request))
    assert alive(pid)
    assert notebook.run("%ask hello")[1]["status"] == "ok"
    assert child_of(notebook) == pid


POLICY = """
[[api_keys]]
name = "ada"
key = "ada-key-for-tests-only"
tenant = "stats101"

[tenants.stats101]
privacy_floor = "names"
system_prompt = "Give hints, not solutions."
"""


def test_a_model_looks_before_it_answers(gateway_over, kernel):
    question = "%%sql_ai con --look -o out\nHow many visitors are there in the south?"
    with scripted_provider() as (provider, url):
        session = kernel(**gateway_over(url), RSQL_REPLAY="answers.jsonl")
        session.run(TIED)
        provider.says(
            [call("describe", table="south.visitors")], "```sql\nSELECT count(*) AS n FROM south.visitors\n```"
        )
        shown = []
        for _ in range(2):
            messages, reply = session.run(question)
            assert reply["status"] == "ok", reply
            shown.append(re.search(r"Looked first: .*? of 6,000 tokens", str([one["content"] for one in messages]))[0])
        assert shown[0] == shown[1]
        assert "describe(south.visitors)" in shown[0]
        _, reply = session.run("assert out.n[0] == 4")
        assert reply["status"] == "ok", reply
        assert (len(provider.asked), provider.faults) == (2, [])


@pytest.mark.spine
@pytest.mark.parametrize("question", ["What is in sales?", "Is this odd? {{sales}}"])
def test_what_is_shown_before_the_first_request_is_what_is_sent(gateway_over, kernel, question):
    with quick_provider() as provider:
        session = kernel(**gateway_over(provider.url, POLICY) | {"RSQL_GATEWAY_TOKEN": "ada-key-for-tests-only"})
        session.run(SALES)
        messages, reply = session.run(f"%ask --show-context -- {question}")
        assert reply["status"] == "ok"
        assert provider.asked == []
        shown = "".join(message["content"].get("text", "") for message in messages)
        session.run(f"%ask -- {question}")
        (body,) = provider.asked
    *said, last = shown.strip().split("\n\n≈ ")
    assert "\n\n≈ ".join(said) == "\n\n".join(f"[{m['role']}]\n{m['content']}" for m in body["messages"])
    assert last.endswith("tokens. Nothing was sent.")
    assert body["messages"][0]["content"].startswith("Give hints, not solutions.\n\n")
    assert "region" in shown
    assert "0..14" not in shown.replace(" ", "")  # the floor lets names leave only
