"""``rsql run`` with real kernels: stopped and gone on with, within a budget, and its outputs in exports."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest
from servers import free_port
from waiting import eventually

from .conftest import TOKEN, answers

RSQL = [sys.executable, "-c", "import sys; from rsql_magic.cli import main; sys.exit(main(sys.argv[1:]))"]


def written(folder, name, *sources):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / name)


def rsql(folder, *words, **environ):
    return subprocess.run(
        [*RSQL, *words],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def outputs(path):
    return [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", ())]


@pytest.mark.timeout(300)
def test_ctrl_c_ends_the_kernels_and_the_next_call_goes_on(tmp_path):
    written(tmp_path, "a.ipynb", "from pathlib import Path\nPath('times').open('a').write('a')")
    wait = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\nprint('so far', flush=True)"
    written(tmp_path, "b.ipynb", wait, "if not pathlib.Path('go').exists(): time.sleep(200)", "print('reached')")
    words = ("run", "a.ipynb", "b.ipynb", "-o", "out", "--jobs", "2")
    process = subprocess.Popen(
        [*RSQL, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    state = tmp_path / "out" / ".rsql"
    ready = lambda: (tmp_path / "pid").exists() and any(path.read_text() for path in state.glob("runs-*.json"))  # noqa: E731
    eventually(ready, lambda: "neither has begun")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 130, out
    assert re.search(r"^a +succeeded .*\nb +stopped .*", out, re.M)
    assert "so far" in str(outputs(tmp_path / "out" / "b.ipynb"))
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()

    (tmp_path / "go").touch()
    done = rsql(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^a +kept .*--again runs it anew\nb +succeeded", done.stdout, re.M)
    assert (tmp_path / "times").read_text() == "a"
    assert not state.exists()


class Paid(BaseHTTPRequestHandler):
    """A provider whose answers take 1,000 tokens to write."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked["max_tokens"])
        wrote = min(1000, asked["max_tokens"])
        usage = {"prompt_tokens": 500, "completion_tokens": wrote, "total_tokens": 500 + wrote}
        end = "stop" if wrote == 1000 else "length"
        parts = [
            {"choices": [{"index": 0, "delta": {"content": "There are 3."}}], "model": "m"},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": end}], "usage": usage, "model": "m"},
        ]
        data = "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + "data: [DONE]\n\n"
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data.encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def paid(tmp_path):
    """A gateway whose one model costs 10 dollars for a million tokens; its environment, and what was asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Paid)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    port, config = free_port(), tmp_path / "rsql.toml"
    config.write_text(
        f'default_model = "m"\n[[keys]]\nprovider = "custom"\nkey = "k"\nmodels = ["m"]\n'
        f'base_url = "http://127.0.0.1:{server.server_port}/v1"\n[prices.models.m]\ninput = 10.0\noutput = 10.0\n'
    )
    words = [sys.executable, "-m", "jupyter_server_ext", f"--port={port}", f"--gateway-config={config}"]
    log = (tmp_path / "log").open("w")
    gateway = subprocess.Popen(words, env={**os.environ, "JUPYTER_TOKEN": TOKEN}, cwd=tmp_path, stdout=log, stderr=log)
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}/rsql/health"), (tmp_path / "log").read_text)
        yield {"RSQL_GATEWAY_URL": f"http://127.0.0.1:{port}/rsql/", "RSQL_GATEWAY_TOKEN": TOKEN}, server.asked
    finally:
        gateway.terminate()
        gateway.wait(20)
        log.close()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.spine
@pytest.mark.timeout(300)
def test_a_budget_over_all_runs_is_not_passed(paid, tmp_path):
    """An answer costs $0.015: with $0.08 five are paid, if all kernels together count."""
    environ, asked = paid
    for name in "ab":
        questions = [f"%%ask --on-error skip\nHow many rows in table {name}{n}?" for n in range(4)]
        written(tmp_path, f"{name}.ipynb", "%load_ext rsql_magic", *questions)
    words = ("run", "a.ipynb", "b.ipynb", "-o", "out", "--jobs", "2", "--budget", "0.08", "--junit", "j.xml")
    done = rsql(tmp_path, *words, **environ)
    assert done.returncode == 1, done.stdout
    assert "The budget of $0.08 does not reach for another answer: $0.0" in done.stdout + done.stderr
    spent = float(re.search(r"^all .*\$([\d.]+)", done.stdout, re.M)[1])
    assert spent == pytest.approx(sum(500 + min(1000, most) for most in asked) * 1e-5, abs=1e-4)
    assert 0.08 - 0.03 < spent <= 0.08
    assert min(asked) >= 512
    report = rsql(tmp_path, "report", "out/a.ipynb", "out/b.ipynb")
    whole = sum(most >= 1000 for most in asked)  # an answer that was cut for the budget is shown nowhere
    assert re.search(rf"^{whole} answers, {whole * 1500:,} tokens, \${whole * 0.015:.4f}$", report.stdout, re.M)
    assert '<property name="cost" value="$0.0' in (tmp_path / "j.xml").read_text()


@pytest.mark.timeout(300)
def test_a_run_that_was_killed_goes_on_by_its_recording_and_pays_nothing_twice(paid, tmp_path):
    environ, asked = paid
    first = [f"%%ask\nHow many rows in table a{n}?" for n in range(3)]
    wait = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\n"
    wait += "if not pathlib.Path('go').exists(): time.sleep(200)"
    written(tmp_path, "a.ipynb", "%load_ext rsql_magic", *first, wait, "%%ask\nHow many rows in table last?")
    words = ("run", "a.ipynb", "-o", "done.ipynb", "--replay", "answers.jsonl", "--budget", "1")
    process = subprocess.Popen([*RSQL, *words], cwd=tmp_path, env={**os.environ, **environ}, stderr=subprocess.DEVNULL)
    eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text(), lambda: "it did not begin")
    process.kill()
    process.wait(60)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert len(asked) == 3

    (tmp_path / "go").touch()
    done = rsql(tmp_path, *words, **environ)
    assert done.returncode == 0, done.stderr
    assert len(asked) == 4
    assert str(outputs(tmp_path / "done.ipynb")).count("'text/markdown': 'There are 3.") == 4


@pytest.mark.timeout(120)
def test_no_gateway_at_start_is_said_within_ten_seconds(tmp_path):
    written(tmp_path, "a.ipynb", "%load_ext rsql_magic", "%%ask\nWhat is a left join?")
    begun = time.monotonic()
    done = rsql(tmp_path, "run", "a.ipynb", RSQL_GATEWAY_URL=f"http://127.0.0.1:{free_port()}/rsql/")
    assert (done.returncode, time.monotonic() - begun < 60) == (4, True)  # 8 s, on a machine that does nothing else
    assert "GatewayUnreachable: a.ipynb failed: " in done.stderr
    assert "No gateway answered within 5 s of the start" in done.stderr
    assert "waiting" in done.stderr.splitlines()[0]


@pytest.mark.spine
@pytest.mark.timeout(300)
def test_several_notebooks_share_the_gateway_that_is_started_for_them(tmp_path):
    for name in "ab":
        written(tmp_path, f"{name}.ipynb", "import os\nprint(os.environ['RSQL_GATEWAY_URL'])")
    environ = dict.fromkeys(("RSQL_GATEWAY_URL", "RSQL_GATEWAY_TOKEN", "RSQL_SERVER_URL"), "")
    done = rsql(tmp_path, "run", "a.ipynb", "b.ipynb", "--jobs", "2", **environ)
    assert done.returncode == 0, done.stderr
    first, second = (outputs(tmp_path / f"{name}.ipynb")[0].text for name in "ab")
    assert first == second
    assert first.startswith("http://127.0.0.1:")
    assert not answers(f"{first.strip()}health"), "it ends with the call"


@pytest.fixture(scope="module")
def drawn(jupyter, tmp_path_factory):
    """A notebook with a table and a chart, as a run left it, and its page."""
    pytest.importorskip("vl_convert")
    folder = tmp_path_factory.mktemp("drawn")
    sales = (
        "import pandas as pd\nsales = pd.DataFrame({'region': ['North', 'South', 'North'] * 5, 'amount': range(15)})"
    )
    written(folder, "a.ipynb", "%load_ext rsql_magic", sales, "%%sql_ai --plot bar\ntotal amount by region in sales")
    environ = {"RSQL_GATEWAY_URL": f"{jupyter}rsql/", "RSQL_GATEWAY_TOKEN": TOKEN}
    done = rsql(folder, "run", "a.ipynb", "-o", "done.ipynb", "--html", ".", **environ)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.timeout(120)
def test_a_table_and_its_chart_are_one_output_in_every_export(drawn):
    from nbconvert import MarkdownExporter, PythonExporter

    (output,) = outputs(drawn / "done.ipynb")
    page = (drawn / "done.html").read_text(encoding="utf-8")
    text, _ = MarkdownExporter().from_filename(str(drawn / "done.ipynb"))
    for shown in (page, text):
        assert shown.count('<td style="text-align:left">North</td>') == 1
        assert shown.count('src="data:image/svg+xml;base64,') == 1
        assert shown.index('<td style="text-align:left">North</td>') < shown.index('src="data:image/svg+xml')
        assert shown.index('src="data:image/svg+xml') < shown.index('class="rsql-usage"'), "what it took stands last"
        assert re.search(r'<pre class="highlight"><code.*?><span class="k">SELECT</span>', shown, re.S)
        assert "GROUP BY" in re.sub(r"<[^>]+>", "", shown)
    assert "![" not in text, "the picture is in the page"
    assert "vega" not in page.lower().split("<body")[1]
    assert output.metadata["rsql"]["sql"] in output.data["text/plain"]
    script, _ = PythonExporter().from_filename(str(drawn / "done.ipynb"))
    compile(script, "done.py", "exec")
    assert "total amount by region" in script


@pytest.mark.timeout(120)
def test_a_pdf_shows_the_table_and_the_words_of_the_chart(drawn, monkeypatch):
    import io

    pytest.importorskip("playwright")
    from e2e import panel_lab
    from nbconvert import WebPDFExporter
    from playwright.async_api import BrowserType
    from pypdf import PdfReader

    launch = BrowserType.launch
    # Chromium of the system, as nbconvert looks for Playwright's own.
    monkeypatch.setattr(
        BrowserType, "launch", lambda self, **more: launch(self, executable_path=panel_lab.chromium_path(), **more)
    )
    data, _ = WebPDFExporter().from_filename(str(drawn / "done.ipynb"))
    text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)
    assert text.count("North") == 4, "twice in the code, once in the table, once beside a bar"
    assert "Total amount by region" in text, "the chart's title"


@pytest.mark.sweep
@pytest.mark.timeout(300)
def test_ones_own_server_runs_what_is_handed_over_to_it(jupyter, tmp_path):
    written(tmp_path, "own.ipynb", "%load_ext rsql_magic", "%%ask\nWhat can you do?", "import os\nprint(*os.environ)")
    environ = {"RSQL_SERVER_URL": f"{jupyter}rsql/", "RSQL_SERVER_TOKEN": TOKEN}
    done = rsql(tmp_path, "run", "own.ipynb", "--on-gateway", "--follow", "-o", "done.ipynb", **environ)
    assert done.returncode == 0, done.stderr
    shown = str(outputs(tmp_path / "done.ipynb"))
    assert "offline" in shown
    assert "JUPYTER_TOKEN" not in shown
    assert "RSQL_CONFIG" not in shown
