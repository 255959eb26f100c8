"""``rsql run --on-gateway``: hands notebooks over to a gateway, follows them, and takes in what they showed."""

from __future__ import annotations

import argparse
import base64
import json
import math
import secrets
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.cli.notebook_files import write_whole
from rsql_magic.cli.notebook_runs import NotebookRun
from rsql_magic.cli.notebooks import asked_for, conclude, summary
from rsql_magic.cli.run_progress import progress
from rsql_magic.display import TerminalScreen
from rsql_magic.errors import BadInput, CodeFailed, GatewayError, Stopped
from rsql_magic.gateway import CostMemory, Costs, ReplayFile, can_pass
from rsql_magic.options import DICTIONARIES
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rsql_magic.cli.notebook_runs import PlannedRun
    from rsql_magic.gateway import LLMClient

ENDPOINT = "/v1/notebooks"
GOING = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
_MOST_BYTES = 50_000_000  # of all that goes along; a gateway may take less
_LOOK = 1.0  # seconds between two looks at a job
_AWAY = 600.0  # seconds for which a gateway may be away while it is followed


def on_gateway_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql run`` takes to hand notebooks over."""
    add = parser.add_argument
    add("--on-gateway", action="store_true", help="hand the notebooks over to the gateway, which has them run")
    add("--follow", action="store_true", help="of --on-gateway: wait for the end, and write the outputs here")
    what = "of --on-gateway: a file that the notebooks read, which goes along; repeatable"
    add("--with", dest="along", action="append", default=[], metavar="FILE", help=what)
    add("--handed-over", action="store_true", help=argparse.SUPPRESS)


def hand_over(gateway: Callable[[], LLMClient], options: argparse.Namespace) -> None:
    """Make a job of notebooks, and follow it where that is asked for.

    Raises:
        BadInput: An option, a notebook or a parameter is wrong; nothing was handed over.
        GatewayError: The gateway takes no notebooks, or not these.
        Stopped: Ctrl-C while it was followed; the job goes on.
        CodeFailed: A notebook that was followed failed.
    """
    plans, pages, seconds = asked_for(options)
    replay = ReplayFile.named(options.replay) if options.replay else None
    line = {"custom_id": "call", "method": "POST", "url": ENDPOINT, "body": _call(plans, options, seconds, replay)}
    content = json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    if len(content) > _MOST_BYTES:
        raise _too_large("What is handed over", len(content))
    names = ", ".join(plan.source.name for plan in plans)
    about = {"name": names if len(names) <= 100 else f"{names[:99]}…"}
    about |= {} if options.budget is None else {"budget_usd": f"{options.budget:.9f}"}
    window = f"{math.ceil((seconds or 86_400.0) / 3600)}h"
    file = gateway().upload("call.jsonl", content, purpose="batch")["id"]
    made = {"input_file_id": file, "endpoint": ENDPOINT, "completion_window": window, "metadata": about}
    try:
        job = str(gateway().post("v1/batches", made)["id"])
    except GatewayError:
        with suppress(GatewayError):
            gateway().delete(f"v1/files/{file}")
        raise
    if not options.follow:
        sys.stdout.write(
            f"{job} runs {names}. rsql jobs show {job} says how far it is; rsql jobs download fetches it.\n"
        )
        return
    runs = [NotebookRun(each) for each in plans]
    try:
        told = _followed(gateway, job, runs)
    except KeyboardInterrupt:
        raise Stopped(f"{job} goes on at the gateway. rsql jobs show {job} says how far it is.") from None
    result = result_of(gateway(), told)
    places = {plan.output.name: plan.output for plan in plans} | {f"{plan.name}.ipynb": plan.output for plan in plans}
    places |= {f"{name}.html": page for name, page in pages.items()}
    places |= {"junit.xml": Path(options.junit)} if options.junit else {}
    for name, text in result.files.items():
        if name in places:
            write_whole(places[name], text)
    if replay is not None and replay.mode != "replay":
        take_recording(gateway(), told, replay.path, anew=replay.mode == "record")
    _conclude(runs, result)


def _call(
    plans: Sequence[PlannedRun], options: argparse.Namespace, seconds: float | None, replay: ReplayFile | None
) -> dict[str, Any]:
    folders = {plan.source.resolve().parent for plan in plans}
    if len(folders) > 1:
        raise BadInput("The notebooks are in several folders.", hint="Hand over those of one folder at a time.")
    along = [*map(Path, options.along), *(folder / name for folder in folders for name in DICTIONARIES)]
    files: dict[str, str] = {}
    for path in along:
        if path.is_file() and path.name not in files:
            files[path.name] = base64.b64encode(_bytes(path)).decode()
        elif str(path) in options.along:
            what = "is there twice" if path.name in files else "is no file"
            raise BadInput(f"{str(path)!r} of --with {what}.", hint="Name files, each by a name of its own.")
    recorded = ""
    if replay is not None and replay.mode != "record":
        replay.opened()  # a broken one is told before anything is sent
        recorded = _bytes(replay.path).decode("utf-8", "replace") if replay.path.exists() else ""
    return {
        "notebooks": [
            {"name": plan.name, "notebook": _without_outputs(plan.notebook), "parameters": dict(plan.parameters)}
            for plan in plans
        ],
        "files": files,
        "jobs": options.jobs,
        "seconds": seconds,
        "html": bool(options.html),
        "junit": bool(options.junit),
        "replay": "strict" if replay is not None and replay.mode == "replay" else "auto",
        "recording": recorded,
    }


def _without_outputs(notebook: Any) -> Any:
    cells = [
        {**cell, "outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell
        for cell in notebook["cells"]
    ]
    return {**notebook, "cells": cells}


def _bytes(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:  # told before it is read
            raise _too_large(str(path), size)
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{str(path)!r} cannot be read: {error.strerror}.", hint="Look at its rights.") from None


def _too_large(what: str, size: int) -> BadInput:
    words = f"{what} has {size / 1e6:,.0f} MB; {_MOST_BYTES / 1e6:g} MB may be handed over."
    return BadInput(words, hint="Read large data from a database, or from where the runner finds it.")


# Following.


def _followed(gateway: Callable[[], LLMClient], job: str, runs: Sequence[NotebookRun]) -> Mapping[str, Any]:
    """The job once it has ended; how far it is, is shown. A gateway that is away meanwhile is waited for."""
    spent, until, waits = "", math.inf, ""
    with progress(runs, lambda: spent) as look:
        while True:
            try:
                told: Mapping[str, Any] = gateway().get(f"v1/batches/{job}")
                until, waits = math.inf, ""
            except GatewayError as error:
                until = min(until, time.monotonic() + _AWAY)
                if not can_pass(error) or time.monotonic() > until:
                    raise
                waits = "the gateway is away; the job goes on when it is back"
            else:
                more = told.get("rsql") or {}
                seen = {one["name"]: one for one in (more.get("progress") or {}).get("runs", ())}
                cost = (more.get("progress") or {}).get("cost_usd") or 0.0
                spent = str(Costs(float(cost))) if cost else ""
                for run in runs:
                    show(run, seen.get(run.plan.name, {}), str(more.get("waits_for") or ""))
                if told["status"] not in GOING:
                    return told
            for run in runs:
                run.waits = waits or run.waits
            look()
            time.sleep(_LOOK)


def show(run: NotebookRun, seen: Mapping[str, Any], waits: str) -> None:
    """Take over how far a run is, as the gateway says."""
    run.done = int(seen.get("done") or 0)
    run.waits = printable(str(seen.get("waits") or waits)).replace("\n", " ")
    if seen.get("state") == "running":
        run.state = "running"


@dataclass(frozen=True)
class HandedIn:
    """What came of notebooks that were handed over."""

    files: Mapping[str, str]  # by name
    runs: Sequence[Mapping[str, Any]]
    message: str  # why it did not succeed; empty where it did


def result_of(gateway: LLMClient, job: Mapping[str, Any]) -> HandedIn:
    """What came of a job of notebooks.

    Raises:
        BadInput: It has not ended.
        CodeFailed: Nothing was run.
    """
    file = job.get("output_file_id") or job.get("error_file_id")
    if not file:
        raise BadInput(f"{job['id']} has no results yet.", hint="rsql jobs show says how far it is.")
    line = json.loads(next(iter(gateway.lines(f"v1/files/{file}/content"))))
    error = line.get("error") or {}
    body = (line.get("response") or {}).get("body") or {}
    if not body.get("runs"):
        error = error or body.get("error") or {}
        reason = printable(str(error.get("message") or "it was not run"))
        raise CodeFailed(f"{job['id']} failed: {reason}", hint="rsql jobs show has more.")
    files = {str(name): str(text) for name, text in (body.get("files") or {}).items() if name == Path(name).name}
    return HandedIn(files, body["runs"], printable(str(error.get("message") or "")))


def take_recording(gateway: LLMClient, job: Mapping[str, Any], path: Path, *, anew: bool = False) -> None:
    """Add the answers that a job recorded to a recording, or write it anew."""
    file = (job.get("rsql") or {}).get("recording_file_id")
    lines = list(gateway.lines(f"v1/files/{file}/content"))
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() and not anew else []
    write_whole(path, "".join(f"{line}\n" for line in dict.fromkeys([*before, *lines]) if line.strip()))
    ReplayFile.named(str(path)).opened().settle()  # in order, as others are


def _conclude(runs: Sequence[NotebookRun], result: HandedIn) -> None:
    told = {str(one["name"]): one for one in result.runs}
    costs = CostMemory()
    for run in runs:
        one = told.get(run.plan.name, {})
        run.state, run.done, run.waits = one.get("state", "stopped"), int(one.get("done") or 0), ""
        run.warned, run.seconds = int(one.get("warned") or 0), float(one.get("seconds") or 0.0)
        run.error, run.reason = str(one.get("error") or ""), printable(str(one.get("reason") or ""))
        run.reason = run.reason or (result.message if run.state != "succeeded" else "")
        for cost in [float(one.get("cost_usd") or 0.0), *[None] * int(one.get("unpriced") or 0)]:
            costs.settle(secrets.token_hex(8), run.plan.name, cost)
    if len(runs) > 1:
        TerminalScreen().show(summary(runs, costs))
    conclude(runs)
