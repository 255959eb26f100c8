"""``rsql run NOTEBOOK…``: what is to be run, what an earlier call has left, and how it all ended."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from rsql_magic.cli.notebook_files import read_notebook, refuse_unwritable, write_whole
from rsql_magic.cli.notebook_runs import NotebookRun, PlannedRun, Runner
from rsql_magic.cli.parameters import given, label, sets_of, with_parameters
from rsql_magic.cli.run_progress import progress
from rsql_magic.display import TerminalScreen, listing
from rsql_magic.errors import BadInput, CodeFailed, GatewayUnreachable, LimitReached, QueryRejected, RsqlError
from rsql_magic.gateway import CostFile
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.gateway import CostBook

_MOST_JOBS = 64
_KEPT_SECONDS = 12 * 3600.0  # a run of the night before is done again
_SUMMARY = ("notebook", "ended", "cells", "took", "cost", "")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_KINDS: tuple[type[RsqlError], ...] = (GatewayUnreachable, LimitReached, QueryRejected)


def run_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql run`` takes for notebooks."""
    add = parser.add_argument
    add(
        "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="sets a parameter of all notebooks"
    )
    add("--params", metavar="FILE.csv", help="a run for each row, which sets the parameters that the first row names")
    add("--jobs", type=int, default=1, metavar="N", help="how many notebooks run at a time; 1 without it")
    what = "most US dollars that the answers of all may cost together; what it does not reach for is not asked"
    add("--budget", type=float, metavar="USD", help=what)
    add("--deadline", metavar="T", help="when all must be done, such as 90s, 30m or 2h; questions wait until then")
    add("--html", metavar="DIR", help="also write a page of each notebook into this folder")
    add("--junit", metavar="FILE", help="write how each run ended as JUnit XML")
    add("--again", action="store_true", help="also run what an unfinished call has done already")


def run_notebooks(options: argparse.Namespace, gateway: Callable[[], Mapping[str, str]]) -> None:
    """Run notebooks with their sets of parameters, show how they ended, and fail where one did.

    ``gateway`` is called when several run, and gives variables that name the gateway for all of them.

    Raises:
        BadInput: An option, a notebook or a parameter is wrong; nothing was run.
        CodeFailed: A notebook failed, or another error where all failed by it.
        KeyboardInterrupt: The user stopped it.
    """
    plans, pages, seconds = asked_for(options)
    runs = [NotebookRun(each) for each in plans]
    with Unfinished.of(plans) as unfinished, costs_within(options.budget) as costs:
        if not options.again:
            unfinished.keep(runs)

        def finish(run: NotebookRun) -> None:
            if run.plan.name in pages:
                write_page(run.plan.notebook, run.plan.name, pages[run.plan.name])
            unfinished.add(run.plan)

        until = None if seconds is None else time.monotonic() + seconds
        environ = gateway() if sum(not each.over for each in runs) > 1 else {}
        runner = runner_of(runs, options.jobs, costs, seconds=seconds, environ=environ, finish=finish)
        began = time.monotonic()
        try:
            with stopping(), progress(runs, lambda: _paid(costs.costs())) as look:
                runner.run(look, until)
        finally:
            if options.junit:
                write_whole(Path(options.junit), junit(runs, time.monotonic() - began, costs))
            if len(runs) > 1:
                TerminalScreen().show(summary(runs, costs))
        if all(each.state in {"succeeded", "kept"} for each in runs):
            unfinished.clear()
    conclude(runs)


def asked_for(options: argparse.Namespace) -> tuple[list[PlannedRun], dict[str, Path], float | None]:
    """The runs that the options ask for, the pages of ``--html`` by the runs' names, and the seconds that all have.

    Raises:
        BadInput: An option, a notebook or a parameter is wrong, or a place cannot be written.
    """
    if not 1 <= options.jobs <= _MOST_JOBS:
        raise BadInput(f"--jobs {options.jobs} is out of range.", hint=f"1..{_MOST_JOBS}.")
    if options.budget is not None and not 0 < options.budget < math.inf:
        raise BadInput(f"--budget {options.budget:g} is no budget.", hint="US dollars, such as 2.50.")
    seconds = seconds_of(options.deadline) if options.deadline else None
    plans = planned(options.files, options.output, options.parameter, options.params)
    pages = {each.name: Path(options.html) / f"{each.output.stem}.html" for each in plans} if options.html else {}
    if len(set(pages.values())) < len(pages):
        raise BadInput("Two pages of --html would have one name.", hint="-o DIR gives each notebook a name of its own.")
    refuse_unwritable([*(each.output for each in plans), *pages.values(), *map(Path, filter(None, [options.junit]))])
    return plans, pages, seconds


def runner_of(
    runs: Sequence[NotebookRun],
    jobs: int,  # at a time
    costs: CostFile,
    *,
    seconds: float | None,  # that all have
    environ: Mapping[str, str],  # what kernels get beside
    finish: Callable[[NotebookRun], None],
) -> Runner:
    """What runs notebooks as without a person, and writes down what their answers cost."""
    own = {"RSQL_BATCH": os.environ.get("RSQL_BATCH") or "1", "RSQL_COSTS": str(costs.path), **environ}
    own |= {} if seconds is None else {"RSQL_BATCH_UNTIL": f"{time.time() + seconds:.3f}"}
    runner = Runner(runs, jobs, lambda run: {**own, "RSQL_COSTS_RUN": run.plan.name}, finish)
    runner.ended = lambda run: costs.close(run.plan.name)
    return runner


@contextmanager
def costs_within(budget: float | None) -> Iterator[CostFile]:
    """The file in which the kernels of a call write what answers cost."""
    with tempfile.TemporaryDirectory(prefix="rsql-run-") as folder:
        yield CostFile.begun(Path(folder) / "costs.jsonl", budget)


def _paid(costs: Any) -> str:
    return str(costs) if costs.spent or costs.unknown else ""


def seconds_of(text: str) -> float:
    """The seconds of a time such as ``90``, ``90s``, ``30m`` or ``1.5h``.

    Raises:
        BadInput: It is none.

    Example:
        >>> seconds_of("1.5h")
        5400.0
    """
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    with suppress(ValueError):
        if 0 < (seconds := float(number) * _UNITS[unit]) < 1e9:
            return seconds
    raise BadInput(f"--deadline {text!r} is no time.", hint="Such as 90s, 30m or 2h.")


# Planning.


def planned(files: Sequence[str], output: str | None, words: Sequence[str], table: str | None) -> list[PlannedRun]:
    """The runs of notebooks with each set of parameters.

    One notebook without parameters goes to ``output`` or over itself; several go into the folder ``output``; with
    parameters they go beside the notebook, with a name that holds the values.
    """
    own = given(words)
    sets = [{**row, **own} for row in sets_of(Path(table))] if table else [own]
    single = len(files) * len(sets) == 1
    if output and not single and Path(output).suffix == ".ipynb":
        raise BadInput(
            f"{output!r} is one file, and there are {len(files) * len(sets)} runs.", hint="-o names a folder."
        )
    plans: list[PlannedRun] = []
    labels = _labels(sets)
    for source, stem in zip(map(Path, files), _stems(files), strict=True):
        notebook = read_notebook(source)
        for values, suffix in zip(sets, labels, strict=True):
            name = f"{stem}-{suffix}" if suffix else stem
            folder = source.parent if output is None or (single and not Path(output).is_dir()) else Path(output)
            beside = source if not values else folder / f"{name}.ipynb"
            place = Path(output) if single and output and not Path(output).is_dir() else folder / f"{name}.ipynb"
            place = beside if output is None else place
            made = with_parameters(notebook, values, source.name)
            plans.append(PlannedRun(name, source, place, made, values))
    places = [each.output.resolve() for each in plans]
    if twice := next((each for each in places if places.count(each) > 1), None):
        raise BadInput(f"Two runs would write {twice}.", hint="Name each notebook once.")
    return plans


# The names of notebooks without their ending, with the folder in front where two are the same.
def _stems(files: Sequence[str]) -> list[str]:
    stems = [Path(file).stem for file in files]
    folders = [Path(file).resolve().parent.name for file in files]
    return [f"{folder}-{stem}" if stems.count(stem) > 1 else stem for folder, stem in zip(folders, stems, strict=True)]


# What tells the sets of parameters apart, numbered where the values do not.
def _labels(sets: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = [label(each) for each in sets]
    plain = [each.casefold() for each in labels]
    return [
        f"{number}-{text}".rstrip("-") if len(sets) > 1 and (not text or plain.count(text.casefold()) > 1) else text
        for number, text in enumerate(labels, 1)
    ]


# What a call has left that did not come to its end.


@dataclass
class Unfinished:
    """The runs that succeeded in a call that did not succeed as a whole, beside what they wrote.

    They are not done again by the next call for the same outputs, as long as notebook and parameters are the same, the
    output was not changed and less than twelve hours have passed: data change from day to day.
    """

    path: Path | None
    clock: Any = time.time
    _lock: IO[str] | None = field(default=None, repr=False)
    _done: dict[str, Any] = field(default_factory=dict, repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, plans: Sequence[PlannedRun]) -> Unfinished:
        """That of these runs; one run has nothing to go on from."""
        places = sorted(str(each.output.resolve()) for each in plans)
        name = hashlib.sha256("\n".join(places).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        return cls(Path(places[0]).parent / ".rsql" / f"runs-{name}.json" if len(plans) > 1 else None)

    def __enter__(self) -> Unfinished:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self.path.open("a+", encoding="utf-8")
            self._take_turn(self._lock)
            self._lock.seek(0)
            with suppress(ValueError, TypeError):
                self._done = dict(json.loads(self._lock.read() or "{}"))
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            if self.path is not None and not self._done:
                self.path.unlink(missing_ok=True)
                with suppress(OSError):  # it holds something else
                    self.path.parent.rmdir()
            self._lock.close()

    def _take_turn(self, lock: IO[str]) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: nobody sees the other call
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise BadInput("Another rsql run writes these notebooks now.", hint="Wait for its end.") from None
        except OSError:  # a file system without locks
            return

    def keep(self, runs: Sequence[NotebookRun]) -> None:
        """Mark the runs that need not be done again."""
        for run in runs:
            kept = self._done.get(run.plan.key)
            if not isinstance(kept, dict) or kept.get("output") != _content(run.plan.output):
                continue
            if 0 <= self.clock() - (ended := float(kept.get("ended") or 0)) < _KEPT_SECONDS:
                run.state, run.done = "kept", run.plan.cells
                run.reason = f"done at {datetime.fromtimestamp(ended).astimezone():%Y-%m-%d %H:%M}"
                run.note = "--again runs it anew"

    def add(self, plan: PlannedRun) -> None:
        """Remember a run that succeeded."""
        with self._turn:
            self._done[plan.key] = {"ended": self.clock(), "output": _content(plan.output), "name": plan.name}
            self._write()

    def clear(self) -> None:
        """Forget all: the call came to its end."""
        self._done = {}

    # Into the file that is locked.
    def _write(self) -> None:
        if self._lock is not None:
            self._lock.seek(0)
            self._lock.truncate()
            self._lock.write(json.dumps(self._done, indent=1))
            self._lock.flush()


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


@contextmanager
def stopping() -> Iterator[None]:
    """Take a SIGTERM for a Ctrl-C, where that can be done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# The end.


def write_page(notebook: Any, title: str, path: Path) -> None:
    """Write a notebook as an HTML page."""
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter().from_notebook_node(  # type: ignore[no-untyped-call]
        notebook, {"metadata": {"name": title}}
    )
    write_whole(path, page)


def summary(runs: Sequence[NotebookRun], costs: CostBook) -> Any:
    """A table of all runs, and what their answers cost."""
    rows = [
        (
            each.plan.name,
            each.state if each.state != "planned" else "not run",
            f"{each.done}/{each.plan.cells}",
            f"{each.seconds:.1f} s" if each.seconds else "",
            _paid(costs.costs(each.plan.name)),
            _why(each),
        )
        for each in runs
    ]
    return listing([*rows, ("all", _states(runs), "", "", _paid(costs.costs()), "")], _SUMMARY)


def _states(runs: Sequence[NotebookRun]) -> str:
    states = Counter("not run" if each.state == "planned" else each.state for each in runs)
    return ", ".join(f"{count} {state}" for state, count in states.items())


def _why(run: NotebookRun) -> str:
    warned = f"{run.warned} error{'s' * (run.warned != 1)} passed over" if run.warned else ""
    first = run.reason.splitlines()[0] if run.reason else ""
    shown = first if len(first) <= 120 else f"{first[:119]}…"
    return "; ".join(filter(None, [shown, run.note, warned]))


def junit(runs: Sequence[NotebookRun], seconds: float, costs: CostFile) -> str:
    """How runs ended, as JUnit XML: a test suite whose cases are the runs."""
    failed = [each for each in runs if each.state == "failed"]
    skipped = [each for each in runs if each.state in {"planned", "stopped"}]
    counts = {"tests": len(runs), "failures": len(failed), "skipped": len(skipped), "errors": 0}
    about = {name: str(value) for name, value in counts.items()} | {"time": f"{seconds:.3f}"}
    suites = ET.Element("testsuites", about)
    suite = ET.SubElement(suites, "testsuite", {"name": "rsql run", **about})
    for each in runs:
        named = {"classname": each.plan.source.stem, "name": each.plan.name, "time": f"{each.seconds:.3f}"}
        case = ET.SubElement(suite, "testcase", named)
        if each.state == "failed":
            reason = printable(each.reason)
            first = reason.splitlines()[0] if reason else each.error
            ET.SubElement(case, "failure", {"type": each.error, "message": first}).text = reason
        elif each in skipped:
            ET.SubElement(case, "skipped", {"message": printable(each.reason) or "not run"})
        paid = [("cost", text)] if (text := _paid(costs.costs(each.plan.name))) else []
        properties = ET.SubElement(case, "properties")
        for name, value in [*each.plan.parameters.items(), ("output", each.plan.output), *paid]:
            ET.SubElement(properties, "property", {"name": name, "value": printable(str(value))})
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def conclude(runs: Sequence[NotebookRun]) -> None:
    """Say how a single run ended, and fail where one failed."""
    wrong = [each for each in runs if each.state not in {"succeeded", "kept"}]
    kinds = {each.error for each in wrong}
    kind = next((each for each in _KINDS if kinds == {each.__name__}), CodeFailed)
    if len(runs) == 1:
        (run,) = runs
        if wrong:
            raise kind(
                f"{run.plan.source.name} failed: {run.reason.rstrip('.')}.", hint=f"{run.plan.output} shows where."
            )
        sys.stdout.write(f"{run.plan.output}: {run.plan.cells} cells ran\n")
    elif wrong:
        names = ", ".join(each.plan.name for each in wrong[:5]) + (" …" if len(wrong) > 5 else "")
        left = "The same call goes on from here." if len(wrong) < len(runs) else "Their outputs show where."
        raise kind(f"{len(wrong)} of {len(runs)} notebooks did not succeed: {names}.", hint=left)
