"""Notebooks that run without a person: the same outputs again, whatever else the machine does."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from servers import free_port

from .conftest import TOKEN

CELLS = (
    "%load_ext rsql_magic",
    "import duckdb\nimport pandas as pd\nrows = 200_000\n"
    "sales = pd.DataFrame({'region': ['N', 'S', 'E', 'W'] * (rows // 4), 'amount': range(rows)})\n"
    "con = duckdb.connect('shop.duckdb')\n"
    "_ = con.execute(\"CREATE OR REPLACE TABLE orders AS SELECT i AS id, 'shop ' || (i % 7) AS shop, i % 90 AS total"
    ' FROM range(300000) t(i)")',
    "class Model:\n    pass\nmodel, data = Model(), object()",
    "%%ask\nWhat is in sales?",
    "%%ask\nmean amount by region of sales",
    "%%sql_ai con -o totals\nHow many orders by shop?",
    "%%sql_ai con --plot bar\naverage total by shop in orders",
    "%%ask\nonly for region N: how many rows does sales have?",
    "totals",
)


def outputs(folder, *, pauses=nullcontext, **environ):
    """The outputs of all cells, run in a kernel of its own in a folder of its own; ``pauses`` are given its process."""
    folder.mkdir()
    if (recording := environ.pop("recording", None)) is not None:
        shutil.copy(recording, folder / "answers.jsonl")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    with client.setup_kernel(env={**os.environ, **environ, "HOME": str(folder)}), pauses(client.km.provisioner.pid):
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
    return json.dumps([cell.outputs for cell in notebook.cells], sort_keys=True)


def burn(seconds):
    """Keep a core busy."""
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(number * number for number in range(10_000))


@contextmanager
def interrupted(pid):
    """A process that gets a processor as where others want it too: for moments, with longer ones between them."""
    chance, over = random.Random(str(pid)), threading.Event()

    def interrupt():
        while not over.wait(chance.uniform(0.01, 0.05)):
            os.kill(pid, signal.SIGSTOP)
            over.wait(chance.uniform(0.01, 0.1))
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def load(processes):
    """A machine that is busy."""
    burning = [multiprocessing.get_context("spawn").Process(target=burn, args=(600,)) for _ in range(processes)]
    for each in burning:
        each.start()
    try:
        yield
    finally:
        for each in burning:
            each.terminate()
            each.join()


@pytest.fixture(scope="module")
def recording(jupyter, tmp_path_factory):
    """Answers that were recorded at a gateway, and what the notebook showed when it was replayed at rest."""
    folder = tmp_path_factory.mktemp("recorded")
    gateway = {"RSQL_GATEWAY_URL": f"{jupyter}rsql/", "RSQL_GATEWAY_TOKEN": TOKEN}
    outputs(folder / "first", RSQL_REPLAY="record:answers.jsonl", **gateway)
    file = folder / "first" / "answers.jsonl"
    return file, outputs(folder / "again", recording=file, **away())


def away():
    """Nothing but the recording answers."""
    return {"RSQL_GATEWAY_URL": f"http://127.0.0.1:{free_port()}/rsql/", "RSQL_REPLAY": "strict:answers.jsonl"}


@pytest.mark.spine
def test_a_notebook_that_is_replayed_gives_the_same_bytes_however_it_is_interrupted(recording, tmp_path):
    file, shown = recording
    assert shown.count('"text/markdown"') >= 5
    assert outputs(tmp_path / "other", pauses=interrupted, recording=file, **away()) == shown


@pytest.mark.sweep  # it takes the processors of all other tests
@pytest.mark.timeout(600)
@pytest.mark.parametrize("times", [2, 10])
def test_a_notebook_that_is_replayed_gives_the_same_bytes_under_load(recording, tmp_path, times):
    """In other kernels, other folders, two at a time, and beside them as many busy processes as there are cores."""
    file, shown = recording
    with load(os.cpu_count() or 2), ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(outputs, tmp_path / str(n), recording=file, **away()) for n in range(times)]
        assert {run.result() for run in runs} == {shown}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("pauses", "busy"), [(interrupted, 0), pytest.param(nullcontext, os.cpu_count() or 2, marks=pytest.mark.sweep)]
)
def test_a_recording_made_under_load_is_the_same_file(recording, jupyter, tmp_path, pauses, busy):
    gateway = {"RSQL_GATEWAY_URL": f"{jupyter}rsql/", "RSQL_GATEWAY_TOKEN": TOKEN}
    again = {"recording": recording[0], "RSQL_REPLAY": "record:answers.jsonl"}
    with load(busy):
        outputs(tmp_path / "run", pauses=pauses, **again, **gateway)
    assert (tmp_path / "run" / "answers.jsonl").read_bytes() == recording[0].read_bytes()


@pytest.fixture
def gateway(tmp_path):
    """Starts and kills a gateway at one address."""
    port, running = free_port(), []
    config = tmp_path / "rsql.toml"
    config.write_text('default_model = "offline"\n[[keys]]\nprovider = "offline"\n', encoding="utf-8")

    class Gateway:
        def __init__(self):
            self.environ = {"RSQL_GATEWAY_URL": f"http://127.0.0.1:{port}/rsql/", "RSQL_GATEWAY_TOKEN": TOKEN}

        def start(self):
            words = [sys.executable, "-m", "jupyter_server_ext", f"--port={port}", f"--gateway-config={config}"]
            running.append(subprocess.Popen(words, env={**os.environ, "JUPYTER_TOKEN": TOKEN}, cwd=tmp_path))

        def kill(self):
            while running:
                process = running.pop()
                process.kill()
                process.wait(60)

    made = Gateway()
    yield made
    made.kill()


def code_cells(*sources):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


@pytest.mark.timeout(180)
def test_a_run_outlives_its_gateway(gateway, tmp_path):
    notebook = code_cells(
        "%load_ext rsql_magic\nimport pandas as pd\nsales = pd.DataFrame({'a': range(9)})",
        *["%%ask\nWhat is in sales?"] * 2,
    )
    gateway.start()
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    explicit = "%config Rsql.batch_deadline = 100"  # the gateway may take longer than 5 s to start on a busy machine
    notebook.cells[0].source += f"\n{explicit}"
    with client.setup_kernel(env={**os.environ, **gateway.environ}), ThreadPoolExecutor(1) as pool:
        for number in range(2):
            client.execute_cell(notebook.cells[number], number)
        gateway.kill()
        later = pool.submit(lambda: (time.sleep(6), gateway.start()))
        begun = time.monotonic()
        client.execute_cell(notebook.cells[2], 2)
        later.result()
    assert time.monotonic() - begun >= 6
    first, second = (cell.outputs for cell in notebook.cells[1:])
    assert [output.output_type for output in second] == ["display_data"]
    assert "9 rows" in second[0].data["text/markdown"]
    assert (
        first[0].data["text/markdown"].split('<div class="rsql-usage"')[0]
        == second[0].data["text/markdown"].split('<div class="rsql-usage"')[0]
    )


@pytest.mark.timeout(120)
def test_no_gateway_at_start_fails_the_cell_soon(gateway, tmp_path):
    notebook = code_cells("%load_ext rsql_magic", "%%ask\nWhat is a left join?")
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel(env={**os.environ, **gateway.environ}):
        client.execute_cell(notebook.cells[0], 0)
        begun = time.monotonic()
        with pytest.raises(CellExecutionError, match="No gateway answered within 5 s of the start"):
            client.execute_cell(notebook.cells[1], 1)
    assert time.monotonic() - begun < 30, "it waits 5 s, and not for its deadline"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("interrupts", [pytest.param(False, marks=pytest.mark.sweep), True])
def test_a_timeout_of_nbclient_ends_a_cell_that_waits_and_its_output_says_for_what(gateway, tmp_path, interrupts):
    notebook = code_cells("%load_ext rsql_magic\n%config Rsql.batch_deadline = 100", "%%ask\nWhat is a left join?")
    folder = {"metadata": {"path": str(tmp_path)}}
    client = NotebookClient(notebook, timeout=240, interrupt_on_timeout=interrupts, resources=folder)
    begun = time.monotonic()
    with client.setup_kernel(env={**os.environ, **gateway.environ}):
        client.execute_cell(notebook.cells[0], 0)
        client.timeout = 4
        with pytest.raises((CellTimeoutError, CellExecutionError), match=r"timed out|Stopped"):
            client.execute_cell(notebook.cells[1], 1)
    assert time.monotonic() - begun < 60
    waited = notebook.cells[1].outputs[0]
    assert waited.metadata["rsql"]["waiting"].startswith("waiting ")
    assert "No gateway answers" in waited.data["text/plain"]
