"""``rsql run --handed-over``: runs a call that a gateway hands over, and tells how far it is."""

# The gateway writes the call on standard input and reads on standard output, a JSON object a line; the end of standard
# input means: stop. See docs/gateway.md.

from __future__ import annotations

import base64
import json
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rsql_magic.cli.notebook_runs import NotebookRun, PlannedRun
from rsql_magic.cli.notebooks import costs_within, junit, runner_of, stopping, write_page
from rsql_magic.diagnostics import log
from rsql_magic.errors import BadInput, RsqlError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rsql_magic.gateway import CostFile

_RECORDING = "answers.jsonl"
_MODES = {"auto": "", "strict": "strict:"}


def run_handed_over() -> None:
    """Run the call that stands on standard input, and hand in what came of it.

    Raises:
        BadInput: There is no call.
    """
    said, order = _channel()
    with tempfile.TemporaryDirectory(prefix="rsql-notebooks-", ignore_cleanup_errors=True) as folder:
        call = HandedOverCall(order, Path(folder), said)
        try:
            call.run()
        except KeyboardInterrupt:
            call.refuse("It was stopped.")
        except RsqlError as error:
            call.refuse(error.message)
        except Exception as error:
            log.exception("a call of the gateway cannot be run")
            call.refuse(f"The call cannot be run: {type(error).__name__}: {error}.")


# The pipes to the gateway are no longer those of kernels, which inherit standard input and output.
def _channel() -> tuple[IO[str], Mapping[str, Any]]:
    pipe, said = (os.fdopen(os.dup(number), mode, encoding="utf-8") for number, mode in ((0, "r"), (1, "w")))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    try:
        order = json.loads(pipe.readline())
        order["call"]["notebooks"], order["gateway"], order["token"]
    except (ValueError, KeyError, TypeError):
        hint = "A gateway starts this; docs/command.md says how."
        raise BadInput("Standard input holds no call of rsql run.", hint=hint) from None

    def wait() -> None:
        with suppress(OSError, ValueError):
            while pipe.readline():
                pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, name="rsql-gateway", daemon=True).start()
    return said, order


@dataclass
class HandedOverCall:
    """A call of ``rsql run`` that was handed over."""

    order: Mapping[str, Any]
    folder: Path
    said: IO[str]
    _told: str = field(default="", repr=False)
    _recorded: set[str] = field(default_factory=set, repr=False)  # lines that the gateway has
    _seen: tuple[int, int] = field(default=(0, 0), repr=False)  # of the recording, when it was last read

    def run(self) -> None:
        """Run it to its end, or until it is stopped, and hand in what came of it."""
        call, seconds = self.order["call"], float(self.order["seconds"])
        plans = self._prepared(call)
        runs, began = [NotebookRun(each) for each in plans], time.monotonic()
        with costs_within(self.order.get("budget_usd")) as costs:
            jobs = int(call.get("jobs") or 1)
            runner = runner_of(runs, jobs, costs, seconds=seconds, environ=self._environ(call), finish=self._page)
            message = ""
            try:
                with stopping():
                    runner.run(lambda: self._tell(runs, costs), began + seconds)
            except KeyboardInterrupt:
                message = "It was stopped."
            _go_on_to_the_end()
            self._tell(runs, costs)
            self._hand_in(runs, costs, time.monotonic() - began, message)

    def refuse(self, why: str) -> None:
        """Hand in that nothing was run."""
        _go_on_to_the_end()
        self._say({"result": {"succeeded": False, "message": why, "runs": [], "files": {}}})

    def _prepared(self, call: Mapping[str, Any]) -> list[PlannedRun]:
        import nbformat

        for name, content in dict(call.get("files") or {}).items():
            self._place(name).write_bytes(base64.b64decode(content))
        recording = self.folder / _RECORDING
        # Other attempts' answers go after the caller's own: the last line of a question counts.
        lines = str(call.get("recording") or "").splitlines() + str(self.order.get("recorded") or "").splitlines()
        recording.write_text("".join(f"{line}\n" for line in lines if line.strip()), encoding="utf-8")
        self._recorded.update(lines)
        plans = []
        for one in call["notebooks"]:
            name = str(one["name"])
            made: Any = nbformat.from_dict(one["notebook"])  # type: ignore[no-untyped-call]
            source = self._place(f"{name}.ipynb")
            plans.append(PlannedRun(name, source, self.folder / "out" / source.name, made, one.get("parameters") or {}))
        return plans

    # A file of the call's folder: a name, and no path to somewhere else.
    def _place(self, name: str) -> Path:
        if name != Path(name).name or name in {"", ".", "..", "out", _RECORDING} or "\0" in name:
            raise BadInput(f"{name!r} is no name of a file.", hint="Rename it, and hand it over again.")
        return self.folder / name

    def _environ(self, call: Mapping[str, Any]) -> dict[str, str]:
        mode = _MODES.get(str(call.get("replay") or "auto"), "")
        found = {"RSQL_GATEWAY_URL": self.order["gateway"], "RSQL_GATEWAY_TOKEN": self.order["token"]}
        return found | {"RSQL_REPLAY": f"{mode}{self.folder / _RECORDING}"}

    def _page(self, run: NotebookRun) -> None:
        if self.order["call"].get("html"):
            write_page(run.plan.notebook, run.plan.name, run.plan.output.with_suffix(".html"))

    # Say what has changed: how far the runs are, and which answers were recorded.
    def _tell(self, runs: Sequence[NotebookRun], costs: CostFile) -> None:
        path = self.folder / _RECORDING
        state = path.stat()
        if (stamp := (state.st_mtime_ns, state.st_size)) != self._seen:
            self._seen = stamp
            new = [line for line in path.read_text(encoding="utf-8").splitlines() if line not in self._recorded]
            if new:
                self._recorded.update(new)
                self._say({"recorded": "".join(f"{line}\n" for line in new)})
        told = [{name: getattr(each, name) for name in ("state", "done", "waits")} for each in runs]
        about = [{"name": run.plan.name, "cells": run.plan.cells, **each} for run, each in zip(runs, told, strict=True)]
        if (text := json.dumps(about)) != self._told:
            self._told = text
            self._say({"progress": {"runs": about, "cost_usd": costs.costs().spent}})

    def _hand_in(self, runs: Sequence[NotebookRun], costs: CostFile, seconds: float, message: str) -> None:
        names = ("state", "done", "warned", "error", "reason", "seconds")
        told = []
        for run in runs:
            paid = costs.costs(run.plan.name)
            about = {name: getattr(run, name) for name in names} | {"name": run.plan.name, "cells": run.plan.cells}
            told.append(about | {"cost_usd": paid.spent, "unpriced": paid.unknown})
        output = self.folder / "out"
        files = {path.name: path.read_text(encoding="utf-8") for path in sorted(output.glob("*.*"))}
        if self.order["call"].get("junit"):
            files["junit.xml"] = junit(runs, seconds, costs)
        wrong = next((each for each in runs if each.state != "succeeded"), None)
        message = message or (f"{wrong.plan.name}: {wrong.reason or wrong.state}." if wrong else "")
        self._say({"result": {"succeeded": wrong is None, "message": message, "runs": told, "files": files}})

    def _say(self, what: Mapping[str, Any]) -> None:
        with suppress(OSError, ValueError):  # nobody reads any more
            self.said.write(f"{json.dumps(what)}\n")
            self.said.flush()


# What tells to stop, such as the end of standard input, is too late from here on.
def _go_on_to_the_end() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def refuse_a_terminal() -> None:
    """Say what ``--handed-over`` is for, where a person tries it.

    Raises:
        BadInput: Standard input is a terminal.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise BadInput("--handed-over is for gateways.", hint="rsql run NOTEBOOK --on-gateway hands one over.")
