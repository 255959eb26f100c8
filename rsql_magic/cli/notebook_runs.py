"""Runs of notebooks: kernels in threads, several at a time, that can be stopped, and what came of each."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.cli.notebook_files import write_whole
from rsql_magic.diagnostics import log
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rsql_magic.cli.parameters import Value

State = Literal["planned", "kept", "running", "succeeded", "failed", "stopped"]

_GRACE = 5.0  # seconds that an interrupted cell has to end
_LOOKS = 0.1  # seconds between two looks at the runs
_STARTS = 3  # of a kernel that ends before it is ready


@dataclass(frozen=True)
class PlannedRun:
    """A notebook with its parameters, and where what it showed goes."""

    name: str  # unique in a call
    source: Path
    output: Path
    notebook: Any = field(repr=False, compare=False)  # with its parameters
    parameters: Mapping[str, Value] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The hash of its cells and parameters, under which a run that succeeded is known again."""
        cells = [(cell.cell_type, cell.source) for cell in self.notebook.cells]
        kernel = dict(self.notebook.metadata.get("kernelspec") or {}).get("name")
        text = json.dumps([cells, kernel, str(self.source.resolve()), dict(self.parameters)])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def cells(self) -> int:
        """Its cells that run."""
        return sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in self.notebook.cells)


@dataclass
class NotebookRun:
    """One run as it goes on, read by others while its own thread writes."""

    plan: PlannedRun
    state: State = "planned"
    done: int = 0  # cells
    waits: str = ""  # what for, as the cell says
    warned: int = 0  # cells whose error was shown and passed over
    error: str = ""  # the kind of the error that ended it
    reason: str = ""  # in words
    seconds: float = 0.0
    note: str = ""
    began: float = field(default=0.0, repr=False)
    pid: int = field(default=0, repr=False)  # of its kernel

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state not in {"planned", "running"}


@dataclass
class Runner:
    """Runs notebooks, at most ``jobs`` at a time.

    ``environ`` is what their kernels get beside this process's variables, by run; ``finish`` is called in the thread of
    a run that has succeeded, before its state says so.
    """

    runs: Sequence[NotebookRun]
    jobs: int
    environ: Callable[[NotebookRun], Mapping[str, str]]
    finish: Callable[[NotebookRun], None]
    ended: Callable[[NotebookRun], None] = lambda _: None  # called in the thread of a run, however it ended
    clock: Callable[[], float] = time.monotonic
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)
    _why: str = field(default="", repr=False)

    def run(self, look: Callable[[], None], until: float | None = None) -> None:
        """Run all that are planned; ``look`` is called now and then, ``until`` is when they are stopped, by ``clock``.

        Raises:
            KeyboardInterrupt: The user stopped the runs; all kernels have ended.
        """
        planned = [each for each in self.runs if not each.over]
        with ThreadPoolExecutor(self.jobs, thread_name_prefix="rsql-run") as pool:
            open_ = {pool.submit(self._one, each) for each in planned}
            try:
                while open_:
                    look()
                    _, open_ = wait(open_, _LOOKS)
                    if until is not None and self.clock() >= until and not self._stopped.is_set():
                        self._end(open_, "The time of --deadline is over.", look)
            except BaseException:  # Ctrl-C above all
                self._end(open_, "Stopped.", look)
                raise
        look()

    def stop(self, why: str) -> None:
        """Interrupt what runs, and begin nothing more."""
        self._why = self._why or why
        self._stopped.set()
        for each in self.runs:
            self._signal(each, signal.SIGINT)

    def _end(self, open_: set[Any], why: str, look: Callable[[], None]) -> None:
        self.stop(why)
        until = self.clock() + _GRACE
        try:
            while open_ and self.clock() < until:
                look()
                _, open_ = wait(open_, _LOOKS)
        finally:  # a second Ctrl-C too
            for each in self.runs:
                self._signal(each, signal.SIGKILL)

    def _signal(self, run: NotebookRun, number: signal.Signals) -> None:
        if run.state == "running" and run.pid:
            with suppress(OSError):  # with what its cells have started
                (os.killpg if os.getpgid(run.pid) == run.pid else os.kill)(run.pid, number)

    def _one(self, run: NotebookRun) -> None:
        if self._stopped.is_set() or self._why:
            run.state, run.reason = "stopped", self._why
            return
        run.state, run.began = "running", self.clock()
        try:
            self._execute(run)
            self.finish(run)
        except Exception as error:
            log.debug("a notebook's run has failed", exc_info=True)
            run.error, run.reason = _said(error, run)
        self.ended(run)
        if run.error == "BudgetSpent":  # what runs may go on without asking; nothing more begins
            self._why = self._why or "The budget is spent."
        run.seconds = self.clock() - run.began
        run.pid = 0
        stopped = self._stopped.is_set() and bool(run.error)
        run.reason = self._why if stopped else run.reason
        run.state = "stopped" if stopped else "failed" if run.error else "succeeded"

    # All cells in the notebook's folder, as nbconvert runs them, and what they showed, also when one fails.
    def _execute(self, run: NotebookRun) -> None:
        import nbformat
        from jupyter_client.manager import KernelManager
        from traitlets.config import Config

        notebook = run.plan.notebook
        # Encryption between kernel and client where Jupyter has it; a kernel warns of a connection without.
        encrypts = "transport_encryption" in KernelManager.class_trait_names()
        config = Config({"KernelManager": {"transport_encryption": "auto"}} if encrypts else {})
        folder = {"metadata": {"path": str(run.plan.source.resolve().parent)}}
        environment = {**os.environ, **self.environ(run)}
        try:
            for starts_left in reversed(range(_STARTS)):
                client = _client_class()(run, self._stopped, notebook, timeout=None, resources=folder, config=config)
                try:
                    asyncio.run(client.async_execute(env=environment))
                    break
                except RuntimeError as error:
                    # Before its first cell: a port that was free for it has been taken by another program meanwhile.
                    if run.pid or not starts_left or "died" not in str(error):
                        raise
                    log.debug("a kernel did not start", exc_info=True)
        finally:
            text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
            write_whole(run.plan.output, text)


# nbclient's client is made a class of ours at first use: its import takes a third of a second.
def _client_class() -> Any:
    from nbclient import NotebookClient

    class WatchedClient(NotebookClient):
        """A client that says how far it is, and what the cells say they wait for."""

        def __init__(self, run: NotebookRun, stopped: threading.Event, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._run, self._stopped = run, stopped
            self.on_cell_start, self.on_cell_executed = self._before, self._after

        def _before(self, **_: Any) -> None:
            self._run.pid = int(getattr(getattr(self.km, "provisioner", None), "pid", None) or 0)
            if self._stopped.is_set():
                raise _Ended

        def _after(self, execute_reply: Any, **_: Any) -> None:
            self._run.waits = ""
            self._run.done += execute_reply["content"]["status"] == "ok"

        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            about = msg["content"].get("metadata") if msg["msg_type"].endswith("display_data") else None
            if isinstance(about, dict) and isinstance(told := about.get("rsql"), dict):
                self._run.waits = printable(str(told.get("waiting") or "")).replace("\n", " ")
                self._run.warned += "error" in told
            return super().process_message(msg, cell, cell_index)

    return WatchedClient


class _Ended(Exception):
    """No further cell is run."""


# The kind of an error, and its reason in words without a full stop.
def _said(error: Exception, run: NotebookRun) -> tuple[str, str]:
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    name = run.plan.source.name
    if isinstance(error, _Ended):
        return "Stopped", ""
    if isinstance(error, CellExecutionError):
        return str(error.ename), printable(f"{error.ename}: {error.evalue}").strip().rstrip(".:")
    if isinstance(error, DeadKernelError):
        return "DeadKernelError", "its kernel died; it may have run out of memory"
    if isinstance(error, NoSuchKernel):
        return "NoSuchKernel", f"there is no kernel {error.name!r} on this machine; {name} was made with it"
    if isinstance(error, OSError):
        return type(error).__name__, f"{error.filename or run.plan.output} cannot be written: {error.strerror}"
    return type(error).__name__, printable(f"{type(error).__name__}: {error}").strip().rstrip(".:")
