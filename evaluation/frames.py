"""The frames of a set, in pandas, polars or R: given to ``ask``, listed for the plain prompt, code run beside them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.databases import Database
from evaluation.run_frames import namespace
from rsql_magic.answers import run_apart
from rsql_magic.context.r import r_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST_SECONDS = 20.0
KINDS = {"pandas": "Python with pandas", "polars": "Python with polars", "r": "R"}
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class UnavailableError(Exception):
    """R, or a package that the comparison needs, is not installed."""


@contextmanager
def opened(folder: Path, kind: str) -> Iterator[Database]:
    """The frames of a folder, one of each ``NAME.csv``, as a database whose queries are code.

    Its ``connection`` is the namespace that a notebook with these frames has; R's frames are in R.

    Args:
        folder: Holds the files.
        kind: pandas, polars or r.

    Raises:
        UnavailableError: There is no R.
    """
    folder = folder.resolve(strict=True)
    if kind != "r":
        names = namespace(kind, folder)
        listing = "\n\n".join(f"{name}:\n{_listing(one)}" for name, one in names.items() if hasattr(one, "columns"))
        command = [sys.executable, "-I", str(Path(__file__).with_name("run_frames.py")), kind, str(folder)]
        yield Database(kind, names, listing, cache(lambda code: _rows(command, {"code.py": code})))
        return
    load = _r_load(folder)
    command = ["Rscript", "--vanilla", str(Path(__file__).with_name("run_frames.R"))]
    with _in_r(load) as listing:
        yield Database("r", {}, listing, cache(lambda code: _rows(command, {"code.R": code, "load.R": load})))


def _listing(frame: Any) -> str:
    if hasattr(frame, "to_string"):
        return f"{len(frame)} rows\n{frame.dtypes.to_string()}\n{frame.head().to_string()}"
    return f"{len(frame)} rows\n{frame.head()}"  # polars writes the types itself


def _r_load(folder: Path) -> str:
    return (
        f"for (file in list.files({json.dumps(str(folder))}, pattern = '[.]csv$', full.names = TRUE))\n"
        "  assign(sub('[.]csv$', '', basename(file)), read.csv(file, na.strings = c('', 'NA')), envir = globalenv())\n"
        "rm(file)\n"
    )


@contextmanager
def _in_r(load: str) -> Iterator[str]:
    """R of this process with the frames, where ``ask`` finds them; gives what ``str`` says of them."""
    if problem := r_problem() or (None if shutil.which("Rscript") else "Rscript is not installed."):
        raise UnavailableError(problem)
    rinterface: Any = import_module("rpy2.rinterface")

    before = signal.getsignal(signal.SIGINT)
    rinterface.initr()
    signal.signal(signal.SIGINT, before)  # R takes it
    if not rinterface.evalr("requireNamespace('jsonlite', quietly = TRUE)")[0]:
        raise UnavailableError("R's package jsonlite is not installed.")
    rinterface.evalr(f"{{{load}}}")
    try:
        yield "\n".join(rinterface.evalr("capture.output(for (.n in ls()) { cat(.n, ': ', sep = ''); str(get(.n)) })"))
    finally:
        rinterface.evalr("rm(list = ls(all.names = TRUE))")


def _rows(command: Sequence[str], files: dict[str, str]) -> list[tuple[Any, ...]]:
    """The rows that a program makes of files and writes as JSON."""
    path = "/usr/local/bin:/usr/bin:/bin"  # R may be there
    rows = run_apart(command, files, seconds=_MOST_SECONDS, reads="result.json", PATH=path, TZ="UTC")
    return as_rows(json.loads(rows))


def as_rows(found: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """The rows of a result as they are compared, whatever library gave them.

    A single row is one column, as ``c("Oslo", 2)`` and a frame of one row say the same; so do 2 and its text, as R's
    names are texts.

    Example:
        >>> as_rows([["Oslo", "2"]])
        [('Oslo',), (2.0,)]
    """
    rows = [tuple(float(cell) if _NUMBER.fullmatch(str(cell)) else cell for cell in row) for row in found]
    return [(cell,) for cell in rows[0]] if len(rows) == 1 else rows
