"""Trying a cell before it runs: what it may see, the process that runs it, and what came of it."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import platform
import select
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.agent.cage.carried import carry, carry_to_r
from rsql_magic.agent.cage.confine import Bounds
from rsql_magic.agent.cage.filters import AUDIT_ARCHES
from rsql_magic.agent.cage.r_cells import is_r, r_home, read_cell
from rsql_magic.errors import RsqlError
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rsql_magic.agent.cage.carried import Carried
    from rsql_magic.agent.cage.r_cells import RGiven

TIERS = ("space", "landlock")
_TIERS_SAY = {
    "space": "a layer over the notebook's folder",
    "landlock": "copies of the files that it names",
}
_USUAL = (
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
    "matplotlib.pyplot",
    "seaborn",
    "altair",
    "duckdb",
    "sklearn",
)
_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "TZ"),
    *("R_HOME", "LD_LIBRARY_PATH"),
)
_NO_PROFILE = {"R_PROFILE_USER": os.devnull, "R_ENVIRON_USER": os.devnull}  # the user's own code, which has run
_ONE_THREAD = ("OMP", "OPENBLAS", "MKL", "RAYON")
_SYSTEM = (
    *("/usr/lib", "/usr/lib64", "/usr/share", "/usr/local/lib", "/lib", "/lib64"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/mime.types", "/etc/ssl/certs"),
)
_STARTS = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    "from rsql_magic.agent.cage.zygote import main; main(int(sys.argv[1]), *json.loads(sys.argv[3]))"
)
_PATIENCE = 30.0  # seconds for the usual packages to be loaded, and beyond those of a trial
_MOST_LOOKED = 20_000  # entries of the notebook's folder
_MOST_HIDDEN = 100
_MOST_COPIES, _MOST_COPIED = 200, 64_000_000  # files, bytes
_MOST_REPLY = 8_000_000
_ENDS = {
    "time": "It was stopped after {seconds:g} seconds.",
    "disk": "It was stopped: it wrote more than {disk:,} bytes or {entries:,} files, or too deep folders.",
    "threads": "It was stopped: it had more than {threads} threads.",
}
_WANTS = {"program": "would start a program", "address": "would reach", "file": "would write to, or change"}


class CannotTry(RsqlError):
    """A cell cannot be tried here."""


@dataclass(frozen=True)
class Trial:
    """What came of a cell that was tried.

    Attributes:
        output: What it printed.
        result: The text of its last line's value.
        error: Its name and message, where it failed.
        wanted: What it would have done outside, a sentence each: of files, as the system saw it; the rest as Python
            announced it, which a cell can keep silent about.
        missing: What it was not given, a sentence each.
        how: What kept it in.
        seconds: How long it took.
    """

    output: str
    result: str
    error: tuple[str, str] | None
    wanted: tuple[str, ...]
    missing: tuple[str, ...]
    how: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a view."""
        return {**vars(self), "error": list(self.error or ()), "seconds": round(self.seconds, 3)}


def why_not(source: str) -> str:
    r"""Why a cell cannot be tried on any machine, or on this one as far as is known without trying; else empty.

    Example:
        >>> why_not("!ls")
        'Only cells of plain Python and of R are tried: no other magics, and no commands of a shell.'
    """
    if is_r(source):
        if isinstance(read := read_cell(source), str):
            return read
    else:
        try:
            ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return "Only cells of plain Python and of R are tried: no other magics, and no commands of a shell."
    if sys.platform != "linux":
        return "Trying a cell first needs Linux, whose kernel can confine a process."
    if platform.machine() not in AUDIT_ARCHES:
        return f"Trying a cell first is not known to be safe on a processor of this kind ({platform.machine()})."
    return ""


class Cage:
    """The process in which cells of one session are tried; it is started when it is first needed.

    Example:
        >>> cage = Cage()  # doctest: +SKIP
        >>> cage.attempt("rows + 1", {"rows": 2}).result  # doctest: +SKIP
        '3'
    """

    def __init__(self, *, tiers: Sequence[str] = TIERS, seconds: float = 20.0, memory: int = 2_000_000_000) -> None:
        self._tiers, self._seconds, self._memory = list(tiers), seconds, memory
        self._refusals: list[str] = []
        self._lock = threading.Lock()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._loaded: frozenset[str] = frozenset()
        self._outside = ""

    def carried(self, source: str, namespace: Mapping[str, Any]) -> Carried:
        """What a trial of a cell is given; to be asked where the namespace stands still.

        Raises:
            CannotTry: The cell cannot be tried.
        """
        if reason := why_not(source):
            raise CannotTry(reason, hint="Read it, and say yes or no.")
        cell = read_cell(source) if is_r(source) else ""
        return carry(source, namespace) if isinstance(cell, str) else carry_to_r(cell, namespace)

    def attempt(self, source: str, namespace: Mapping[str, Any], folder: str = "") -> Trial:
        """Run a cell where it can change nothing.

        Args:
            source: The cell.
            namespace: What it may read names of.
            folder: The notebook's, the current one by default.

        Raises:
            CannotTry: It cannot be tried here; the sentence says why.
        """
        return self.run(source, self.carried(source, namespace), folder)

    def run(self, source: str, carried: Carried, folder: str = "") -> Trial:
        """Run a cell with what it is given, as `attempt` does."""
        folder = os.path.realpath(folder or os.getcwd())
        with self._lock:
            while self._tiers:
                started = time.perf_counter()
                told = self._ask(self._tiers[0], source, carried, folder)
                said = _read(told.get("said", ""))
                # A process that found its walls whole says so first, with a blank line; the cell comes after that.
                if str(told.get("said", "")).startswith("\n"):
                    return self._report(told, said, self._tiers[0], carried, time.perf_counter() - started)
                if told.get("end") != "refused" and not said.get("leaks"):
                    raise CannotTry("It ended before the cell began.", hint="Try again, or read it and say yes or no.")
                why = str(told.get("why") or "; ".join(map(str, said["leaks"])))
                self._refusals.append(f"{self._tiers.pop(0)}: {why}")
            raise CannotTry(
                f"This system lets no process be confined ({printable('; '.join(self._refusals))}).",
                hint="Read the cell, and say yes or no; docs/panel.md says what is needed.",
            )

    def close(self) -> None:
        """End the process."""
        if self._zygote is not None:
            if self._control is not None:
                self._control.close()
            try:
                self._zygote.wait(2)
            except subprocess.TimeoutExpired:
                self._zygote.kill()
                self._zygote.wait()
            self._zygote = self._control = None
        if self._outside:
            shutil.rmtree(self._outside, ignore_errors=True)
            self._outside = ""

    def warm(self, r: RGiven | None = None) -> socket.socket:
        """Start the process, with those of the usual packages that the session has loaded; the way to talk to it.

        Args:
            r: A cell of R, which needs a process that has R with its packages.

        Raises:
            CannotTry: It does not start.
        """
        packages = tuple(name for name in _USUAL if name in sys.modules)
        of_r = {f"R {name}" for name in r.packages or ("base",)} if r else set[str]()
        is_up = self._zygote is not None and self._zygote.poll() is None and {*packages, *of_r} <= self._loaded
        if is_up and self._control is not None:
            return self._control
        self.close()
        self._outside = tempfile.mkdtemp(prefix="rsql-outside-")
        Path(self._outside, "canary").write_text("out of reach", encoding="ascii")
        ours, theirs = socket.socketpair()
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        threads = {f"{name}_NUM_THREADS": "1" for name in _ONE_THREAD} | {"POLARS_MAX_THREADS": "1"}
        command = (sys.executable, "-I", "-X", "utf8", "-c", _STARTS)
        with_r = [r.packages, r.libraries] if r else None
        with theirs:
            self._zygote = subprocess.Popen(  # noqa: S603 - this very Python
                [*command, str(theirs.fileno()), json.dumps(sys.path), json.dumps([packages, with_r])],
                env={**kept, **threads, **_NO_PROFILE, "MPLBACKEND": "Agg"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        self._control, self._loaded = ours, frozenset({*packages, *of_r})
        self._await()
        return ours

    # A line of the process's.
    def _await(self) -> None:
        control = self._control
        if (
            control is None
            or not select.select([control], [], [], _PATIENCE + self._seconds)[0]
            or not control.recv(100)
        ):
            self._kill()
            raise CannotTry("The process that tries cells does not answer.", hint="Read the cell, and say yes or no.")

    def _kill(self) -> None:
        if self._zygote is not None:
            self._zygote.kill()
        self.close()

    def _ask(self, tier: str, source: str, carried: Carried, folder: str) -> dict[str, Any]:
        control = self.warm(carried.r)
        hidden = hidden_in(folder) if tier == "space" else None
        files = None if hidden is not None else named_files(carried.texts, folder)
        readable = readable_paths([r_home(), f"{r_home()}/etc", *carried.r.libraries] if carried.r else ())
        bounds = Bounds(readable, folder, files, hidden or [], self._memory, seconds=self._seconds)
        scratch = tempfile.mkdtemp(prefix="rsql-trial-")
        asked = {
            "tier": tier,
            "scratch": scratch,
            "outside": self._outside,
            "kernel": os.getpid(),
            "bounds": vars(bounds),
        }
        (read, send), (told, tell) = os.pipe(), os.pipe()
        try:
            socket.send_fds(control, [json.dumps({**asked, "bounds": vars(bounds)}).encode()], [read, tell])
            os.close(read)
            os.close(tell)
            # One that is refused closes its end before it reads.
            with contextlib.suppress(BrokenPipeError), os.fdopen(send, "wb") as request:
                request.write(carried.as_request(source))
            reply = self._reply(told)
            self._await()
        except OSError as error:
            self._kill()
            raise CannotTry(f"The process that tries cells is gone ({error}).", hint="Try again.") from error
        finally:
            os.close(told)
            with contextlib.suppress(RecursionError):  # where nobody was left to clear it
                shutil.rmtree(scratch, ignore_errors=True)
        return _read(reply.decode("utf-8", "replace"))

    def _reply(self, told: int) -> bytes:
        deadline, reply = time.monotonic() + self._seconds + _PATIENCE, bytearray()
        while len(reply) < _MOST_REPLY:
            if not select.select([told], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError("it takes too long")
            if not (piece := os.read(told, 1 << 16)):
                break
            reply += piece
        return bytes(reply)

    def _report(
        self, told: Mapping[str, Any], said: Mapping[str, Any], tier: str, carried: Carried, seconds: float
    ) -> Trial:
        end, bounds = str(told.get("end", "")), Bounds((), "")
        error = said.get("error") if isinstance(said.get("error"), dict) else None
        if not said:
            why = _ENDS.get(end, "It ended without a word, as one that uses too much memory, or that ends Python.")
            error = {"name": "Stopped", "value": why.format(**{**vars(bounds), "seconds": self._seconds})}
        files = [f"{what} {path}" for what, path in told.get("files") or ()]
        known = tuple(path for _, path in told.get("files") or ())
        also = [
            f"{_WANTS[kind]} {what}".rstrip()
            for kind, what in _pairs(said.get("wanted"))
            if kind in _WANTS and not (kind == "file" and known and what.endswith(known))
        ]
        cut = "\n… (more was printed)" if said.get("is_cut") else ""
        gaps = dict([*carried.missing, *_pairs(said.get("missing"))])
        return Trial(
            output=_shown(said.get("output")) + cut,
            result=_shown(said.get("result")),
            error=(_shown(error.get("name")), _shown(error.get("value"))) if error else None,
            wanted=tuple(_shown(each)[:300] for each in [*files, *also]),
            missing=tuple(f"{_shown(name)}: {_shown(why)}" for name, why in gaps.items()),
            how=_TIERS_SAY[tier],
            seconds=seconds,
        )


def _shown(text: Any) -> str:
    return printable(str(text or ""))[:25_000]


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _pairs(given: Any) -> list[tuple[str, str]]:
    pairs = given if isinstance(given, list) else []
    return [(str(each[0]), str(each[1])) for each in pairs[:500] if isinstance(each, list) and len(each) == 2]


# What a cell may see.


def readable_paths(more: Iterable[str] = ()) -> list[str]:
    """Python's own folders, the system's libraries and R's; nothing that holds a home folder."""
    places = {name: sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    prefixes = [f"{prefix}/{part}" for prefix in (sys.base_prefix, sys.prefix) for part in ("lib", "lib64", "share")]
    installed = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}] + list(more)
    home = os.path.realpath(Path.home())
    found = [path for path in [*_SYSTEM, *prefixes, *places.values(), *installed] if path and os.path.exists(path)]
    return [path for path in dict.fromkeys(found) if not _holds(os.path.realpath(path), home)]


def _holds(folder: str, path: str) -> bool:
    return os.path.commonpath([folder, path]) == folder


def hidden_in(folder: str) -> list[str] | None:
    """Entries of a folder that a trial does not see, whose names begin with a dot; None where not all of it is shown.

    A home folder is not, nor what holds one, nor a folder with more entries than can be looked at.
    """
    if _holds(folder, os.path.realpath(Path.home())) or _holds(folder, os.path.realpath(tempfile.gettempdir())):
        return None
    found, waiting, left = list[str](), [folder], _MOST_LOOKED
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        left -= len(entries)
        for entry in entries:
            if entry.name.startswith("."):
                found.append(entry.path)
            elif entry.is_dir(follow_symlinks=False) and entry.name != "node_modules":
                waiting.append(entry.path)
        if left < 0 or len(found) > _MOST_HIDDEN:
            return None
    return found


def named_files(texts: Iterable[str], folder: str) -> list[str]:
    """Files of a folder that texts name, and the modules beside the notebook, within bounds.

    Raises:
        CannotTry: They are too many, or too large.
    """
    found = dict[str, int]()
    for text in [*texts, *(path.name for path in Path(folder).glob("*.py"))]:
        if not text or len(text) > 1_000 or "\0" in text:
            continue
        named = Path(folder, text)
        with contextlib.suppress(OSError, ValueError):
            for path in [named] if named.is_file() else named.iterdir() if _is_below(named, folder) else ():
                if path.is_file() and _is_below(path, folder):
                    found[os.path.relpath(os.path.realpath(path), folder)] = path.stat().st_size
    if len(found) > _MOST_COPIES or sum(found.values()) > _MOST_COPIED:
        raise CannotTry(
            f"The files that it names ({len(found)}, {sum(found.values()):,} bytes) are too many to be copied.",
            hint="Read the cell, and say yes or no.",
        )
    return list(found)


def _is_below(path: Path, folder: str) -> bool:
    real = os.path.realpath(path)
    if real == folder or not _holds(folder, real):
        return False
    return not any(part.startswith(".") for part in Path(os.path.relpath(real, folder)).parts)
