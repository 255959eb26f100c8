"""``rsql run``: parameters, what an earlier call has left, stopping, and how it says what happened."""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import string
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree as ET

import nbformat
import pytest

from rsql_magic.cli import command, notebook_runs, notebooks, run_records
from rsql_magic.cli.notebook_runs import NotebookRun, PlannedRun, Runner
from rsql_magic.cli.parameters import given, sets_of, value_of, with_parameters
from rsql_magic.cli.run_progress import progress
from rsql_magic.errors import BadInput, CodeFailed, GatewayUnreachable
from rsql_magic.gateway import CostFile, ReplayFile
from rsql_magic.gateway.replay import RecordedRequest


def notebook(*sources, tag=None, language="python"):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    made.metadata["kernelspec"] = {"name": language, "display_name": language, "language": language}
    if tag is not None:
        made.cells[tag].metadata["tags"] = ["parameters"]
    return made


def written(path, *sources, **options):
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook(*sources, **options), path)
    return str(path)


# Parameters.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("007", "007"),
        ("00.5", "00.5"),
        ("TRUE", True),
        ("null", None),
        ('"true"', "true"),
        ("2026-11-23", "2026-11-23"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_value_is_what_it_looks_like(text, value):
    assert (value_of(text), type(value_of(text))) == (value, type(value))


@pytest.mark.slow
def test_any_value_reaches_python_as_it_is():
    choices = random.Random(1)
    words = string.printable + "äß€\u2028'\"\\{}"
    for _ in range(300):
        text = "".join(choices.choices(words, k=choices.randrange(12)))
        made = with_parameters(notebook("a = 1\nb = 2", tag=0), {"a": text, "b": choices.random()}, "n.ipynb")
        namespace = {}
        exec(made.cells[1].source, namespace)
        assert namespace["a"] == text


def test_values_reach_r(real_r):
    import rpy2.robjects as ro

    values = {"a": 'O\'Neil "x" \\ \n', "b": True, "c": None, "d": 12, "e": 0.1, "f": 3_000_000_000}
    source = "\n".join(f"{name} <- 0" for name in values)
    cell = with_parameters(notebook(source, tag=0, language="R"), values, "n.ipynb").cells[1]
    ro.r(cell.source)
    assert [ro.r(f"is.null({name})")[0] if value is None else ro.r(name)[0] for name, value in values.items()] == [
        True if value is None else value for value in values.values()
    ]


def test_a_parameter_that_is_none_of_the_notebooks_is_refused():
    made = notebook("region = 'N'\nyear: int = 2024", "region == 2", tag=0)
    with pytest.raises(BadInput, match=r"no parameter 'regoin'. It has: region, year"):
        with_parameters(made, {"regoin": 1}, "n.ipynb")
    with pytest.raises(BadInput, match="Give the cell that sets them the tag parameters"):
        with_parameters(notebook("region = 1"), {"region": 1}, "n.ipynb")
    with pytest.raises(BadInput, match="julia"):
        with_parameters(notebook("a = 1", tag=0, language="julia"), {"a": 1}, "n.ipynb")


def test_parameters_of_an_earlier_run_are_replaced():
    first = with_parameters(notebook("a = 1", "a", tag=0), {"a": 2}, "n.ipynb")
    second = with_parameters(first, {"a": 3}, "n.ipynb")
    assert [cell.source for cell in second.cells] == ["a = 1", "# Parameters\na = 3", "a"]
    nbformat.validate(second)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 sets"),
        ("a,b\n", "0 sets"),
        ("a,a\n1,2\n", "twice"),
        ("a b\n1\n", "not a name"),
        ("a,b\n1,2\n3\n", "Line 3 of .* has 1 fields, not 2"),
        ('a\n"x\n', "is no CSV"),
        ("a\n" + "1\n" * 10_001, "10,001 sets"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_its_line(tmp_path, text, words):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(BadInput, match=words):
        sets_of(tmp_path / "p.csv")


def test_an_empty_field_leaves_the_default_and_the_command_line_wins(tmp_path):
    (tmp_path / "p.csv").write_text("\ufeffregion,year\nnorth,\n\n'007',2026\n", encoding="utf-8")
    assert sets_of(tmp_path / "p.csv") == [{"region": "north"}, {"region": "007", "year": 2026}]
    source = written(tmp_path / "n.ipynb", "region = year = 1\nyear = 2", tag=0)
    plans = notebooks.planned([source], str(tmp_path / "out"), ["year=1"], str(tmp_path / "p.csv"))
    assert [plan.parameters["year"] for plan in plans] == [1, 1]
    with pytest.raises(BadInput, match="has no value"):
        given(["year"])
    with pytest.raises(BadInput, match="given twice"):
        given(["year=1", "year=2"])


# Where outputs go.


def test_outputs_have_names_that_tell_them_apart(tmp_path):
    a, b = (written(tmp_path / folder / "report.ipynb", "x = 1", tag=0) for folder in ("a", "b"))

    def outputs(files, output=None, words=(), table=None):
        if table:
            (tmp_path / "p.csv").write_text(table)
        plans = notebooks.planned(files, output, words, str(tmp_path / "p.csv") if table else None)
        return [str(plan.output.relative_to(tmp_path)) for plan in plans]

    out = str(tmp_path / "out")
    assert outputs([a]) == ["a/report.ipynb"]
    assert outputs([a], f"{out}.ipynb") == ["out.ipynb"]
    assert outputs([a], words=["x=north"]) == ["a/report-north.ipynb"]
    assert outputs([a, b]) == ["a/report.ipynb", "b/report.ipynb"]
    assert outputs([a, b], out) == ["out/a-report.ipynb", "out/b-report.ipynb"]
    assert outputs([a], out, table="x\n../../etc\nÄ b\nä b\n") == [
        "out/report-etc.ipynb",
        "out/report-2-Ä-b.ipynb",
        "out/report-3-ä-b.ipynb",
    ]
    with pytest.raises(BadInput, match="Two runs would write"):
        outputs([a, a])
    with pytest.raises(BadInput, match="is one file, and there are 2 runs"):
        outputs([a, b], f"{out}.ipynb")


# Runs.


def planned(tmp_path, *names):
    return [PlannedRun(name, tmp_path / "n.ipynb", tmp_path / f"{name}.ipynb", notebook(name)) for name in names]


class FakeKernels(Runner):
    """Runs that take as long as ``wait`` says, and fail by the name that they have."""

    wait = staticmethod(lambda run, stopped: None)

    def _execute(self, run):
        self.wait(run, self._stopped)
        if self._stopped.is_set():
            raise RuntimeError("interrupted")
        if run.plan.name.startswith("bad"):
            raise ValueError("no such thing.")
        run.done = run.plan.cells
        run.plan.output.write_text(run.plan.name)


def ran(runs, jobs=2, **options):
    runner = FakeKernels(runs, jobs, lambda _: {}, lambda _: None)
    vars(runner).update(options)
    runner.run(lambda: None)
    return [run.state for run in runs]


def test_no_more_run_at_a_time_than_are_allowed(tmp_path):
    running, most, lock = set(), [0], threading.Lock()

    def wait(run, stopped):
        with lock:
            running.add(run.plan.name)
            most[0] = max(most[0], len(running))
        time.sleep(0.01)
        with lock:
            running.remove(run.plan.name)

    runs = list(map(NotebookRun, planned(tmp_path, *"abcdefgh")))
    assert ran(runs, 3, wait=wait) == ["succeeded"] * 8
    assert 1 < most[0] <= 3


@pytest.mark.parametrize(("deaths", "state", "starts"), [(0, "succeeded", 1), (2, "succeeded", 3), (3, "failed", 3)])
def test_a_kernel_that_ends_before_it_is_ready_is_started_again(tmp_path, monkeypatch, deaths, state, starts):
    """As where a port that was free for it has been taken by another program."""
    started = []

    class Client:
        def __init__(self, run, *_, **__):
            self.run = run

        async def async_execute(self, env):
            started.append(env)
            if len(started) <= deaths:
                raise RuntimeError("Kernel died before replying to kernel_info")
            self.run.done = 1

    monkeypatch.setattr(notebook_runs, "_client_class", lambda: Client)
    runs = [NotebookRun(*planned(tmp_path, "a"))]
    Runner(runs, 1, lambda _: {}, lambda _: None).run(lambda: None)
    assert (runs[0].state, len(started)) == (state, starts)


def test_one_that_fails_does_not_keep_the_others_from_running(tmp_path):
    runs = list(map(NotebookRun, planned(tmp_path, "a", "bad", "c")))
    assert ran(runs) == ["succeeded", "failed", "succeeded"]
    assert (runs[1].error, runs[1].reason) == ("ValueError", "ValueError: no such thing")


def test_a_stop_ends_what_runs_and_begins_nothing_more(tmp_path):
    runs = list(map(NotebookRun, planned(tmp_path, *"abcd")))
    runner = FakeKernels(runs, 2, lambda _: {}, lambda _: None)
    runner.wait = lambda run, stopped: run.plan.name != "a" and stopped.wait(20)

    def look():
        if runs[0].state == "succeeded" and runs[1].state == "running":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(look)
    assert [run.state for run in runs] == ["succeeded", "stopped", "stopped", "stopped"]


def test_a_deadline_ends_what_runs(tmp_path):
    runs = list(map(NotebookRun, planned(tmp_path, *"ab")))
    runner = FakeKernels(runs, 1, lambda _: {}, lambda _: None)
    runner.wait = lambda run, stopped: stopped.wait(20)
    runner.run(lambda: None, until=runner.clock() + 0.2)
    assert [(run.state, run.reason) for run in runs] == [("stopped", "The time of --deadline is over.")] * 2
    assert notebooks.seconds_of("1.5h") == 5400
    for wrong in ("", "h", "-1m", "1d", "nan", "inf"):
        with pytest.raises(BadInput, match="is no time"):
            notebooks.seconds_of(wrong)


# Going on.


def kept(plans, clock=lambda: 1000.0):
    runs = list(map(NotebookRun, plans))
    with notebooks.Unfinished.of(plans) as unfinished:
        unfinished.clock = clock
        unfinished.keep(runs)
    return [run.state for run in runs]


def left(plans, *done, clock=lambda: 1000.0):
    with notebooks.Unfinished.of(plans) as unfinished:
        unfinished.clock = clock
        for plan in done:
            plan.output.write_text(plan.name)
            unfinished.add(plan)


def test_a_call_goes_on_from_where_the_one_before_was_stopped(tmp_path):
    plans = planned(tmp_path, "a", "b", "c")
    assert kept(plans) == ["planned"] * 3
    left(plans, plans[0], plans[2])
    assert kept(plans) == ["kept", "planned", "kept"]
    assert kept(plans, clock=lambda: 1000.0 + 13 * 3600) == ["planned"] * 3  # data change from day to day
    plans[0].output.write_text("changed")
    plans[2].notebook.cells[0].source = "other code"
    assert kept(plans) == ["planned"] * 3


def test_a_call_that_came_to_its_end_leaves_nothing(tmp_path):
    plans = planned(tmp_path, "a", "b")
    left(plans, *plans)
    with notebooks.Unfinished.of(plans) as unfinished:
        unfinished.clear()
    assert kept(plans) == ["planned"] * 2
    assert {path.name for path in tmp_path.iterdir()} == {"a.ipynb", "b.ipynb"}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"x": 1}', '{"x": {"output": 1, "ended": "y"}}'])
def test_a_broken_file_of_an_earlier_call_is_none(tmp_path, text):
    plans = planned(tmp_path, "a", "b")
    unfinished = notebooks.Unfinished.of(plans)
    unfinished.path.parent.mkdir()
    unfinished.path.write_text(text)
    assert kept(plans) == ["planned"] * 2


def test_two_calls_do_not_write_the_same_notebooks_at_once(tmp_path):
    plans = planned(tmp_path, "a", "b")
    with notebooks.Unfinished.of(plans), pytest.raises(BadInput, match="Another rsql run"):
        notebooks.Unfinished.of(plans).__enter__()
    assert kept(plans) == ["planned"] * 2


# What is said.


def run(tmp_path, name, state, **fields):
    return NotebookRun(*planned(tmp_path, name), state=state, **fields)


def test_the_end_says_what_did_not_succeed_and_why(tmp_path):
    good, bad = run(tmp_path, "a", "succeeded", done=1), run(tmp_path, "b", "failed", error="E", reason="E: <x>\x1b[1m")
    late = run(tmp_path, "c", "stopped", reason="Stopped.")
    costs = CostFile.begun(tmp_path / "costs.jsonl")
    costs.settle("1", "a", 0.25)
    costs.settle("2", "b", None)
    xml = ET.fromstring(notebooks.junit([good, bad, late], 1.5, costs))
    assert (xml.attrib["tests"], xml.attrib["failures"], xml.attrib["skipped"]) == ("3", "1", "1")
    assert [failure.attrib["message"] for failure in xml.iter("failure")] == ["E: <x>"]
    table = notebooks.summary([good, bad, late], costs).plain
    assert [line.split()[:2] for line in table.splitlines()[1:]] == [
        ["a", "succeeded"],
        ["b", "failed"],
        ["c", "stopped"],
        ["all", "1"],
    ]
    with pytest.raises(CodeFailed, match="2 of 3 notebooks did not succeed: b, c"):
        notebooks.conclude([good, bad, late])


def test_an_error_of_the_gateway_keeps_its_exit_code(tmp_path):
    away = [run(tmp_path, name, "failed", error="GatewayUnreachable", reason="No gateway") for name in "ab"]
    with pytest.raises(GatewayUnreachable):
        notebooks.conclude(away)
    with pytest.raises(GatewayUnreachable, match=r"n\.ipynb failed: No gateway"):
        notebooks.conclude(away[:1])
    with pytest.raises(CodeFailed):
        notebooks.conclude([*away, run(tmp_path, "c", "failed", error="KeyError", reason="KeyError")])


def test_without_a_terminal_news_are_lines(tmp_path):
    runs = [run(tmp_path, "a", "planned"), run(tmp_path, "b", "planned")]
    err = io.StringIO()
    with progress(runs, lambda: "$0.01", err) as look:
        look()
        runs[0].state, runs[0].waits = "running", "waiting 30 s, at most 90 s in all: A limit."
        look()
        runs[0].waits = "waiting 20 s, at most 60 s in all: A limit."
        look()
        runs[0].state, runs[0].seconds, runs[0].waits = "succeeded", 2.0, ""
        look()
        look()
    assert err.getvalue().splitlines() == [
        "[1/2] a: begins",
        "[1/2] a: waiting 30 s, at most 90 s in all: A limit.",
        "[1/2] a: succeeded in 2.0 s · $0.01 in all",
    ]


def test_in_a_terminal_it_is_a_bar(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    err = io.StringIO()
    err.isatty = lambda: True
    runs = [run(tmp_path, "a[b]", "running", waits="waiting 30 s: A [limit]."), run(tmp_path, "b", "planned")]
    with progress(runs, lambda: "$0.01", err) as look:
        look()
        time.sleep(0.3)
        runs[0].state = "succeeded"
        look()
    drawn = err.getvalue()
    for word in ("0 of 2 notebooks", "1 of 2 notebooks", "a[b]", "A [limit].", "$0.01"):
        assert word in drawn


# Reports.


def test_a_report_lists_where_answers_came_from(tmp_path, capsys):
    made = notebook("%%ask\nx", "1")
    known = {"model": "llama", "request_id": "req-1", "prompt_sha256": "a" * 64, "context_sha256": "b" * 64}
    known |= {"prompt_tokens": 1000, "completion_tokens": 20, "cost_usd": 0.0123, "origin": "model"}
    odd = {"model": ["x"], "prompt_tokens": "many", "cost_usd": None}
    made.cells[0].outputs = [
        nbformat.v4.new_output("display_data", {"text/plain": "x"}, metadata={"rsql": about}) for about in (known, odd)
    ]
    made.cells[1].outputs = [nbformat.v4.new_output("stream", text="x")]
    nbformat.write(made, tmp_path / "n.ipynb")
    options = argparse.Namespace(files=[str(tmp_path / "n.ipynb")], format="table")
    run_records.report(options)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == [*("n.ipynb", "1", "llama", "req-1", "a" * 12, "b" * 12, "1,000", "+", "20", "$0.0123")]
    assert lines[2].split() == ["n.ipynb", "1", "0", "+", "0", "unknown"]
    assert lines[3] == "2 answers, 1,020 tokens, $0.0123 and 1 of unknown price"
    options.format = "json"
    run_records.report(options)
    assert json.loads(capsys.readouterr().out)[0] == {"notebook": "n.ipynb", "cell": 1, **known}


# One recording of several runs.


def test_several_runs_record_anew_together(tmp_path, monkeypatch):
    monkeypatch.setenv("RSQL_REPLAY", "")
    path = tmp_path / "answers.jsonl"
    files = [written(tmp_path / f"{name}.ipynb", "1") for name in "ab"]

    def asks(name, number):
        """A kernel that asks what all ask, and something of its own."""
        file = ReplayFile.from_environ(os.environ)
        for words in ("what all ask", f"what {name} asks"):
            request = RecordedRequest([{"role": "user", "content": words}], "m", {}, words)
            if file.get(request) is None:
                file.put(request, f"{words}!", {"rsql": {"request_id": f"req-{number}"}, "finish_reason": "stop"})

    def run(number):
        def kernels(options, _):
            assert options.again
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(asks, "ab", [number] * 2))

        monkeypatch.setattr(notebooks, "run_notebooks", kernels)
        assert command.main(["run", *files, "--replay", f"record:{path}"]) == 0
        return path.read_text(encoding="utf-8")

    path.write_text('{"key": "k", "text": "of old", "done": {}}\n')
    first = run(1)
    assert [json.loads(line)["question"] for line in first.splitlines()] == [
        *("what a asks", "what all ask", "what b asks")
    ]
    assert run(2) == first, "what says the same keeps its line"


@pytest.mark.parametrize(
    "words", [("-o", "file/x.ipynb"), ("--html", "file"), ("--junit", "file/j.xml"), ("--junit", ".")]
)
def test_what_cannot_be_written_is_said_before_anything_runs(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr(Runner, "run", lambda *_: pytest.fail("it ran"))
    assert command.main(["run", written(tmp_path / "n.ipynb", "1"), *words]) == 1
    assert re.search(r"cannot be written|is a folder", capsys.readouterr().err)
