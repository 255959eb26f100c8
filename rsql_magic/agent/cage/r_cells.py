"""Cells of R in a trial: what they are given of the session, and how they run where they are tried."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

_CODE = Path(__file__).with_name("trial.R")
_UNIT = "\x1f"
_MAGIC = "%%R"
_MOST_BYTES = 200_000_000


class _Unread(ValueError):
    pass


class _Options(argparse.ArgumentParser):
    """Those of ``%%R``."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        for short, long in (("-i", "--input"), ("-o", "--output")):
            self.add_argument(short, long, action="append", default=[])
        for short, long in (("-w", "--width"), ("-h", "--height"), ("-p", "--pointsize"), ("-b", "--bg")):
            self.add_argument(short, long)
        for short, long in (("-u", "--units"), ("-r", "--res"), ("-t", "--type")):
            self.add_argument(short, long)
        self.add_argument("-n", "--noreturn", action="store_true")

    def error(self, message: str) -> NoReturn:
        raise _Unread(message)


@dataclass(frozen=True)
class RGiven:
    """A cell of R and what it is given of R's session.

    Attributes:
        code: Without the magic.
        inputs: Python's names and those that R has them by.
        values: Objects of the workspace, as R writes them down.
        packages: Attached packages, the first in the search path first.
        libraries: Folders of installed packages.
        missing: What it is not given, with the reason.
        texts: That may name files.
    """

    code: str
    inputs: tuple[tuple[str, str], ...] = ()
    values: bytes = field(default=b"", repr=False)
    packages: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    texts: tuple[str, ...] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the process of the trial."""
        return asdict(self)


def is_r(source: str) -> bool:
    """Whether a cell is one of R."""
    return source.lstrip().split("\n", 1)[0].split(maxsplit=1)[:1] == [_MAGIC]


def read_cell(source: str) -> RGiven | str:
    r"""A cell of R as it is written, or why it cannot be tried.

    Example:
        >>> read_cell("%%R -i df,n=count\nnrow(df)").inputs
        (('df', 'df'), ('count', 'n'))
        >>> read_cell("%%R -c mine\nnrow(df)")
        'Cells of R with such options (-c mine) are not tried.'
    """
    first, _, code = source.lstrip().partition("\n")
    line = first[len(_MAGIC) :].strip()
    try:
        options, rest = _Options().parse_known_args(shlex.split(line))
        pairs = [each.partition("=") for given in options.input for each in given.split(",")]
        inputs = tuple((python or r, r) for r, _, python in pairs)
        is_plain = all(name.isidentifier() for pair in inputs for name in pair)
    except ValueError:
        is_plain, rest = False, ["-"]
    if not is_plain or any(word.startswith("-") for word in rest):
        return f"Cells of R with such options ({line}) are not tried."
    return RGiven("\n".join(filter(None, [" ".join(rest), code])), inputs)


def carry_r(cell: RGiven) -> RGiven:
    """The cell with what it reads of R's session; on the main thread.

    Raises:
        NoR: R cannot be asked now.
    """
    from rsql_magic.context import r

    if r.parse_r(cell.code):  # which its trial says
        return cell
    late = r.not_computed(r.ask_file(_CODE, "names_of"))
    with tempfile.TemporaryDirectory(prefix="rsql-r-") as folder:
        path = f"{folder}/values"
        lines = r.ask_file(_CODE, "written", cell.code, late, path, _MOST_BYTES)
        values = Path(path).read_bytes()
    found: dict[str, list[list[str]]] = {kind: [] for kind in "mplt"}
    for line in lines:
        kind, *parts = line.split(_UNIT)
        found[kind].append(parts)
    names = {to for _, to in cell.inputs}
    return RGiven(
        code=cell.code,
        inputs=cell.inputs,
        values=values,
        packages=tuple(each[0] for each in found["p"]),
        libraries=tuple(each[0] for each in found["l"]),
        missing=tuple((name, why) for name, why in found["m"] if name not in names),
        texts=tuple(each[0] for each in found["t"]),
    )


def r_home() -> str:
    """Where R is installed, once it was started."""
    return os.environ.get("R_HOME", "")


# In the process that forks for each trial, and in the fork.


def prepare_r(packages: Sequence[str], libraries: Sequence[str]) -> None:
    """Start R with what the session has loaded."""
    from rsql_magic.context import r

    with contextlib.suppress(r.NoR):  # the cell is told
        r.put_in_r({})
        r.run_r("graphics::plot.new()")  # fonts are looked for once
        r.ask_file(_CODE, "prepare", list(packages), list(libraries))


def run_r_cell(given: RGiven, inputs: dict[str, Any], missing: list[list[str]], home: str) -> dict[str, Any]:
    """Run a cell of R; what came of it, to be told."""
    from rsql_magic.context import r

    tempfile.tempdir = home
    said: dict[str, Any] = {"result": "", "error": None, "output": "", "wanted": [], "missing": missing}
    try:
        path = Path(home, "values")
        path.write_bytes(given.values)
        names, reasons = [name for name, _ in given.missing], [why for _, why in given.missing]
        gone = r.ask_file(_CODE, "begin", str(path), list(given.packages), names, reasons)
        missing += [list(each) for each in given.missing]
        missing += [line.split(_UNIT)[1:] for line in gone]
        r.put_in_r(inputs)
        ran = r.run_r(given.code)
        said["output"] = "".join([ran.output, *(f"\nWarning: {warning}" for warning in ran.warnings)])
        said["error"] = {"name": "R", "value": ran.error} if ran.error else None
        drawn = len(ran.plots)
        said["result"] = f"{drawn} plot{'s' if drawn > 1 else ''} drawn, which a trial does not show" if drawn else ""
        said["wanted"] = [line.split(_UNIT)[:2] for line in r.ask_file(_CODE, "wanted")]
    except r.NoR as problem:
        said["error"] = {"name": "R", "value": str(problem)}
    return said
