"""Your jobs at the gateway: listed, shown, cancelled, and their results written to a file."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from rsql_magic.cli import on_gateway
from rsql_magic.cli.notebook_files import write_whole
from rsql_magic.display import TerminalScreen, listing
from rsql_magic.errors import BadInput, GatewayError
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import LLMClient

_NO_JOBS = "You have no jobs. rsql run NOTEBOOK --on-gateway makes one; docs/jobs.md has other ways."
_SHOWN = 50  # of the newest jobs
_LONGEST_REASON = 300  # letters


def jobs_options(parser: argparse.ArgumentParser) -> None:
    """What ``rsql jobs`` takes."""
    what = "what to do; a list without it"
    parser.add_argument("action", nargs="?", choices=("list", "show", "cancel", "download"), default="list", help=what)
    parser.add_argument("job", nargs="?", help="its id, as the list has it; of show and download the newest without it")
    parser.add_argument("--output", "-o", metavar="FILE", help="of download: where to; JOB.jsonl without it")


def jobs(assistant: Assistant, options: argparse.Namespace) -> int:
    """List jobs, show or cancel one, or write its results to a file: 1 where some of those are failures, else 0.

    Raises:
        BadInput: No job is named, it has no results yet, or the file is there already.
    """
    gateway = assistant.locator.gateway
    if options.action == "list":
        found = gateway.get(f"v1/batches?limit={_SHOWN}")["data"]
        rows = [(one["id"], _time(one["created_at"]), one["status"], _progress(one), _cost(one)) for one in found]
        if not rows:
            TerminalScreen().say(_NO_JOBS)
        else:
            TerminalScreen().show(listing(rows, ("job", "made", "state", "progress", "cost")))
        return 0
    if options.action == "cancel":
        if not options.job:
            raise BadInput("Which job?", hint="rsql jobs lists yours.")
        _show(gateway.post(f"v1/batches/{quote(options.job, safe='')}/cancel", {}))
        return 0
    job = gateway.get(f"v1/batches/{quote(options.job, safe='')}") if options.job else _newest(gateway)
    if options.action == "show":
        _show(job)
        return 0
    return _download(gateway, job, options.output)


def _newest(gateway: LLMClient) -> Mapping[str, Any]:
    found = gateway.get("v1/batches?limit=1")["data"]
    if not found:
        raise BadInput(_NO_JOBS)
    return cast("Mapping[str, Any]", found[0])


def _show(job: Mapping[str, Any]) -> None:
    counts, more, waits = job["request_counts"], job.get("rsql") or {}, ""
    errors = (job.get("errors") or {}).get("data") or ()
    if more.get("waits_for"):
        waits = one_line(str(more["waits_for"]))[:_LONGEST_REASON]
    runs = [(one_line(str(each["name"])), _run(each)) for each in (more.get("progress") or {}).get("runs", ())]
    rows = [
        ("job", job["id"]),
        ("state", job["status"]),
        ("lines", f"{counts['total']:,}"),
        ("answered", f"{counts['completed']:,}"),
        ("failed", f"{counts['failed']:,}"),
        ("tokens", f"{(job.get('usage') or {}).get('total_tokens', 0):,}"),
        ("cost", _cost(job)),
        ("made", _time(job["created_at"])),
        ("ends by", _time(job["expires_at"])),
        *runs,
        *([("waits for", waits)] if waits else []),
        *(("stopped", one_line(str(each["message"]))[:_LONGEST_REASON]) for each in errors),
    ]
    TerminalScreen().show(listing(rows, ("", "")))


def _download(gateway: LLMClient, job: Mapping[str, Any], output: str | None) -> int:
    if job.get("endpoint") == on_gateway.ENDPOINT:
        return _download_notebooks(gateway, job, Path(output or str(job["id"])))
    files = [job[name] for name in ("output_file_id", "error_file_id") if job.get(name)]
    if not files:
        raise BadInput(f"{job['id']} has no results yet.", hint="rsql jobs show says how far it is.")
    path = Path(output or f"{job['id']}.jsonl")
    if path.exists():
        raise BadInput(f"{path} is there already.", hint="Name another file by --output.")
    lines, part = 0, path.with_name(f"{path.name}.part")  # so that half a file is never taken for all of it
    try:
        with part.open("wb") as into:
            for file in files:
                for piece in gateway.content(f"v1/files/{file}/content"):
                    into.write(piece)
                    lines += piece.count(b"\n")
        if lines != job["request_counts"]["total"] and len(files) == _parts(job):
            words = f"{lines:,} of {job['request_counts']['total']:,} results came."
            raise GatewayError(words, hint="Repeat the command.")
        part.replace(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}).", hint="Name another by --output.") from None
    finally:
        part.unlink(missing_ok=True)
    failed = job["request_counts"]["failed"]
    sys.stdout.write(f"{path}: {lines:,} results, of which {failed:,} failed.\n")
    return int(failed > 0)


# What the notebooks of a job showed, into a folder.
def _download_notebooks(gateway: LLMClient, job: Mapping[str, Any], folder: Path) -> int:
    result = on_gateway.result_of(gateway, job)
    if there := next((folder / name for name in result.files if (folder / name).exists()), None):
        raise BadInput(f"{there} is there already.", hint="Name another folder by --output.")
    try:
        for name, text in result.files.items():
            write_whole(folder / name, text)
    except OSError as error:
        raise BadInput(f"{folder} cannot be written ({error.strerror}).", hint="Name another by --output.") from None
    wrong = f" {result.message}" if result.message else ""
    sys.stdout.write(f"{folder}: {', '.join(sorted(result.files))}.{wrong}\n")
    return int(bool(result.message))


def _run(run: Mapping[str, Any]) -> str:
    waits = f"; {one_line(str(run['waits']))[:_LONGEST_REASON]}" if run.get("waits") else ""
    return f"{one_line(str(run['state']))}, {run['done']:,} of {run['cells']:,} cells{waits}"


def _parts(job: Mapping[str, Any]) -> int:
    counts = job["request_counts"]
    return bool(counts["completed"]) + bool(counts["failed"])


def _progress(job: Mapping[str, Any]) -> str:
    counts = job["request_counts"]
    if (runs := ((job.get("rsql") or {}).get("progress") or {}).get("runs")) and job["status"] == "in_progress":
        return f"{sum(each['done'] for each in runs):,} of {sum(each['cells'] for each in runs):,} cells"
    failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
    return f"{counts['completed']:,} of {counts['total']:,}{failed}"


def _cost(job: Mapping[str, Any]) -> str:
    more = job.get("rsql") or {}
    budget = f" of ${more['budget_usd']:,g}" if more.get("budget_usd") is not None else ""
    return f"${more.get('cost_usd') or 0.0:,.4f}{budget}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
