"""R, asked in R: the session, its objects, installed help, the last error; and code checked or run."""

# This is the only module that imports rpy2, and it does so when R is first needed. R is never converted: `session.R`
# looks at objects where they are and returns lines of text. R has one thread, so R is asked on the main thread only.

from __future__ import annotations

import functools
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.context.reader import fold
from rsql_magic.context.value_names import UNREACHED, Held
from rsql_magic.diagnostics import log
from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


# What R puts between fields, and between the parts of one.
UNIT, GROUP = "\x1f", "\x1d"
_RECORD = "\x1e"
_MOST_OBJECTS = 500
# Seconds that R may take: a safety limit far above what it needs, as how much it looks at is bounded in session.R.
_PATIENCE = 30.0


class NoR(BadInput):
    """R is not there, cannot be loaded, or cannot be asked now."""


# Whether R can be asked


def _rpy2(module: str) -> Any:
    """A module of rpy2, untyped: the package is optional, and only partly typed."""
    return import_module(f"rpy2.{module}")


def r_running() -> bool:
    """Whether an R session runs in this process: the user loaded rpy2, or we started R before."""
    embedded = sys.modules.get("rpy2.rinterface_lib.embedded")
    return bool(embedded and embedded.isinitialized())


@functools.cache
def r_problem() -> str | None:
    """Why R cannot be asked, in two plain sentences; None when it can."""
    try:
        _rpy2("rinterface")
        home = _rpy2("rinterface_lib.openrlib").R_HOME or ""
    except Exception as problem:
        log.debug("rpy2 does not load", exc_info=True)
        return _plainly(problem)
    if r_running() or any(Path(home, "bin").glob("Rscript*")):
        return None
    if "R_HOME" in os.environ:
        return f"There is no R at R_HOME ({home!r}). Unset R_HOME or set it to what `R RHOME` prints, and restart."
    return _NOT_INSTALLED


_NOT_INSTALLED = "R is not installed. Install it (on Debian: apt install r-base-core), then restart the kernel."


def _plainly(problem: Exception) -> str:
    said = str(problem)
    if isinstance(problem, ModuleNotFoundError):
        return f"R cannot be asked: the package {problem.name} is not installed. Install it with: pip install rpy2"
    if shutil.which("R") is None:
        return _NOT_INSTALLED
    if "undefined symbol" in said or "symbol not found" in said.lower():
        return (
            f"The installed rpy2 is too new for this R ({said.rsplit(': ', 1)[-1]} is missing). "
            "Use R 4.5 or later, or: pip install 'rpy2-rinterface<3.6.6'"
        )
    reason = said.splitlines()[0] if said else type(problem).__name__
    return f"rpy2 cannot load R: {reason}. Check that `R RHOME` works."


@contextmanager
def _asking() -> Iterator[Mapping[str, Any]]:
    """The functions of session.R, with R started and nobody else talking to it; `NoR` where that cannot be."""
    if threading.current_thread() is not threading.main_thread():
        hint = "Run the cell itself rather than a background task."
        raise NoR("R can be asked from the main thread only.", hint=hint)
    if problem := r_problem():
        what, _, hint = problem.partition(". ")
        raise NoR(f"{what}.", hint=hint)
    rinterface, lock = _rpy2("rinterface"), _rpy2("rinterface_lib.openrlib").rlock
    if not lock.acquire(blocking=False):
        raise NoR("R is busy.", hint="Wait until what it runs has ended.")
    try:
        yield _functions(rinterface)
    finally:
        lock.release()


@functools.cache
def _functions(rinterface: Any) -> Any:
    """Our R code, read into an environment of its own, so that the user's workspace stays as it is."""
    if not r_running():
        interrupt = signal.getsignal(signal.SIGINT)
        try:
            rinterface.initr()
        except Exception as problem:
            what, _, hint = _plainly(problem).partition(". ")
            raise NoR(f"{what}.", hint=hint) from problem
        finally:
            if interrupt is not None:  # starting R replaces the handler of Ctrl-C
                signal.signal(signal.SIGINT, interrupt)
    return _read_in(rinterface, *(Path(__file__).with_name(file) for file in ("session.R", "columns.R")))


@functools.cache
def _read_in(rinterface: Any, *files: Path) -> Any:
    """Functions of files of R code. Their names are those of base R first, whatever the session defines."""
    environment = rinterface.baseenv["new.env"](parent=rinterface.baseenv[".BaseNamespaceEnv"])
    for file in files:
        rinterface.evalr(file.read_text(encoding="utf-8"), envir=environment)
    return environment


@dataclass(frozen=True)
class _Reply:
    """What a call into R gave: its strings, what R printed, and whether the user stopped it."""

    strings: list[str]
    printed: str
    stopped: bool


def _call(function: str, *args: Any, seconds: float | None, file: Path | None = None) -> _Reply:
    """Call a function of session.R, which returns a character vector; `NoR` where it fails or takes too long."""
    with (
        _asking() as functions,
        _console() as printed,
        stoppable(_rpy2("rinterface_lib.openrlib").rlib, seconds) as stop,
    ):
        strings = _rpy2("rinterface").StrSexpVector
        sent = [strings(arg) if isinstance(arg, list) else arg for arg in args]
        try:
            place = functions if file is None else _read_in(_rpy2("rinterface"), file)
            answer = [str(text) for text in place[function](*sent)]
        except Exception as problem:
            if stop.by_user:
                raise KeyboardInterrupt from problem
            said = str(problem).strip() or "it took too long"
            raise NoR(f"R could not answer: {said}.", hint="Restart the kernel when this happens again.") from problem
    return _Reply(answer, "".join(printed), stop.by_user)


def _ask(function: str, *args: Any, seconds: float = _PATIENCE, file: Path | None = None) -> list[str]:
    """The same for calls of our own, where only the strings matter."""
    if (reply := _call(function, *args, seconds=seconds, file=file)).stopped:
        raise KeyboardInterrupt
    return reply.strings


@contextmanager
def _console() -> Iterator[list[str]]:
    """What R writes to its console, caught instead of shown."""
    callbacks = _rpy2("rinterface_lib.callbacks")
    before = callbacks.consolewrite_print, callbacks.consolewrite_warnerror
    printed: list[str] = []
    callbacks.consolewrite_print = callbacks.consolewrite_warnerror = printed.append
    try:
        yield printed
    finally:
        callbacks.consolewrite_print, callbacks.consolewrite_warnerror = before


# What there is


@dataclass(frozen=True)
class RObject:
    """One object of R's workspace, as far as the survey tells."""

    name: str  # its name
    label: str  # what it is: `R tibble`, `R lm`
    rows: int | None = None  # rows of a table, values of a vector, None for anything else
    columns: tuple[str, ...] = ()  # names of a table's columns
    types: tuple[str, ...] = ()  # their classes; of a vector its own
    description: str = ""  # Its `label` attribute.
    said: tuple[str, ...] | None = None  # what `look_at` found: summaries by column, or a line of text
    is_late: bool = False  # whether there was no time to look at it

    @property
    def is_table(self) -> bool:
        """Whether it has rows and columns."""
        return self.label.startswith(("R data.frame", "R tibble", "R data.table"))

    @property
    def is_readable(self) -> bool:
        """Whether the survey could look at it."""
        return not self.label.endswith(("cannot be read", "not read"))


@dataclass(frozen=True)
class RSession:
    """What runs, and what there is."""

    version: str
    platform: str
    locale: str
    packages: tuple[str, ...]
    objects: tuple[RObject, ...] = field(default=(), repr=False)

    def text(self) -> str:
        """One line for the model."""
        attached = f"; attached {', '.join(self.packages[:20])}" if self.packages else ""
        return f"R {self.version} on {self.platform}; locale {self.locale}{attached}"


def survey(seconds: float = _PATIENCE) -> RSession:
    """R's version, packages and objects, in one call that looks at no values."""
    # It looks at no values, so it takes milliseconds however large the workspace is.
    about, *objects = _ask("survey", seconds, _MOST_OBJECTS, seconds=seconds)
    version, platform, locale, packages = about.split(UNIT)
    return RSession(version, platform, locale, listed(packages), tuple(_surveyed(line) for line in objects))


def r_frames() -> list[str]:
    """Names of the frames in R's workspace; of a session that does not run, or cannot be asked now, none."""
    try:
        return [each.name for each in survey().objects if each.is_table] if r_running() else []
    except NoR:
        return []


def r_names() -> tuple[tuple[str, ...], frozenset[str]]:
    """R's attached packages, and the session's functions and methods; of a session that does not run, none.

    Raises:
        NoR: It cannot be asked now.
    """
    if not r_running():
        return (), frozenset()
    found = survey()
    functions = {each.name for each in found.objects if "function" in each.label}
    return found.packages, frozenset(functions.union(_ask("own_methods")))


def r_state(packages: Sequence[str]) -> tuple[str, dict[str, str], dict[str, str]]:
    """R's version, which versions of some packages are installed, and what each object that is no function is.

    That is its whole class vector (``glm/lm``), then those of its parts; ``code`` where it holds what can be run.

    Raises:
        NoR: It cannot be asked now, or has more objects than are looked at.
    """
    if not r_running():
        return "", {}, {}
    found = survey()
    lines = [line.split(UNIT) for line in _ask("kinds", _MOST_OBJECTS)]
    if len(lines) >= _MOST_OBJECTS:
        raise NoR("R holds too many objects to tell what each is.")
    versions = dict(zip(packages, _ask("versions", list(packages)), strict=True))
    functions = {each.name for each in found.objects if "function" in each.label}
    kinds = {name: " ".join(listed(kind)) for name, kind in lines if name not in functions}
    return found.version, {name: version for name, version in versions.items() if version}, kinds


def r_libraries() -> frozenset[str] | None:
    """The names of all packages that are installed for R; None where it does not run.

    Raises:
        NoR: It cannot be asked now.
    """
    return frozenset(_ask("libraries")) if r_running() else None


def reported(survey: Sequence[str], details: Sequence[str]) -> RSession:
    """A session of R elsewhere, from the strings that ``survey`` and ``details`` of session.R gave there."""
    # Of a session that was not read there are none.
    try:
        about, *lines = survey or [UNIT * 3]
        version, platform, locale, packages = about.split(UNIT)
        found = _told(details)
        objects = tuple(replace(each, said=found.get(each.name, ())) for each in map(_surveyed, lines))
    except (ValueError, AttributeError):
        raise BadInput("This is no report of an R session.", hint="Source the rsql.R of this version again.") from None
    return RSession(version, platform, locale, listed(packages), objects)


def _told(details: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(said) for name, *said in (answer.split(_RECORD) for answer in details)}


def _surveyed(line: str) -> RObject:
    name, label, rows, columns, types, description = line.split(UNIT)
    names = tuple(columns.split(GROUP)) if types and (columns or GROUP in types) else ()
    if types and not names:
        names = ("values",)
    return RObject(name, label, int(rows) if rows else None, names, listed(types), description)


def look_at(
    objects: Sequence[RObject],
    places: Sequence[Sequence[int]],
    *,
    values: bool,
    rows: int = 0,
    seconds: float = _PATIENCE,
) -> list[RObject]:
    """The objects with what R says about them, in one call that looks at a bounded number of cells."""
    # `places` are the columns of each, counted from 0; an object that was not reached in `seconds` is late.
    wanted = [",".join(str(place + 1) for place in chosen) for chosen in places]
    found = _told(_ask("details", [each.name for each in objects], wanted, seconds, values, rows, seconds=seconds))
    return [replace(each, said=found.get(each.name), is_late=each.name not in found) for each in objects]


def listed(text: str) -> tuple[str, ...]:
    """The parts of a field."""
    return tuple(text.split(GROUP)) if text else ()


def held(wanted: Sequence[str], seconds: float = _PATIENCE) -> dict[str, list[Held]]:
    """Which texts the tables of the workspace hold, and in how many rows."""
    # How the texts are written (`reader.fold`) does not matter; the result is by folded text, with `UNREACHED`
    # where some table was too much work.
    found: dict[str, list[Held]] = {}
    for line in _ask("held", [fold(text) for text in wanted], seconds, seconds=seconds):
        text, table, column, count = line.split(UNIT)
        holders = found.setdefault(text, [])
        if text != UNREACHED:
            holders.append(Held(table, column, int(count)))
    return found


def figures(table: str, place: int) -> list[float]:
    """Figures of a whole column: its length, distinct, missing, blank values; mean, median, ends, sum."""
    # Nothing for a column of a class of its own; only the counts where it holds text. Columns count from 0.
    return [float(figure) for figure in _ask("figures", table, place + 1)]


# Errors and help


def last_error() -> str:
    """R's last error with its calls and the warnings before it, as text; empty when there was none."""
    message, calls, warnings = _ask("last_error")
    lines = [message, *(f"in {call}" for call in listed(calls)), *(f"warning: {text}" for text in listed(warnings))]
    return "\n".join(line for line in lines if line)


def help_text(function: str, package: str = "") -> tuple[str, str] | None:
    """Usage and arguments of a function, from the installed help pages."""
    # The page's name such as `dplyr::filter` comes first, since a function may be in several packages.
    if not (found := _ask("help_text", function, package)):
        return None
    where, *lines = found
    text = "\n".join(line.rstrip() for line in lines)
    return f"{where}::{function}", re.sub(r"\n{2,}", "\n", re.sub(r"[ \t]{2,}", " ", text)).strip()


# Functions of other rooms


def ask_file(file: Path, function: str, *args: Any) -> list[str]:
    """What a function of a file of R code says: a character vector. Its names are those of base R.

    Args:
        file: Where the function is.
        function: Its name.
        args: Texts, numbers, and lists of texts.

    Raises:
        NoR: R cannot be asked, or the function fails.
    """
    return _ask(function, *args, file=file)


def not_computed(names: Sequence[str]) -> list[str]:
    """Those of names in the workspace, without active bindings, whose objects are computed when they are first read."""
    with _asking():
        rlib = _rpy2("rinterface_lib.openrlib").rlib
        kind_of = _rpy2("rinterface_lib._rinterface_capi")._TYPEOF  # noqa: SLF001 - R's own has no other way in
        found = {name: rlib.Rf_findVarInFrame(rlib.R_GlobalEnv, rlib.Rf_install(name.encode())) for name in names}
        return [name for name, value in found.items() if kind_of(value) == rlib.PROMSXP]


def put_in_r(values: Mapping[str, Any]) -> None:
    """Hand Python's values to R's workspace by names, converted as ``%%R -i`` does.

    Raises:
        NoR: R cannot be asked, or does not know a value's kind.
    """
    with _asking():
        robjects = _rpy2("robjects")
        converter = robjects.default_converter + robjects.flatlist_converter
        for module in ("numpy", "pandas"):
            if module in sys.modules:
                converter += _rpy2(f"robjects.{module}2ri").converter
        with converter.context():
            for name, value in values.items():
                try:
                    robjects.globalenv[name] = value
                except Exception as problem:
                    raise NoR(f"{name} cannot be given to R: {problem}", hint="Convert it first.") from problem


# Code


def parse_r(code: str) -> str | None:
    """R's message where code cannot be parsed, else None; nothing is run.

    Raises:
        NoR: R cannot be asked.

    Example:
        >>> parse_r("x <- 1")
    """
    return _ask("parse_error", code)[0] or None


def unknown_columns(codes: Sequence[str], frames: Mapping[str, Sequence[str]]) -> list[tuple[int, str, str, list[str]]]:
    """Columns that pieces of R code, run one after the other, ask of tables which do not have them; nothing is run.

    Each with the piece's number from 0, the table, the column, and the columns there are.

    Raises:
        NoR: R cannot be asked.

    Example:
        >>> unknown_columns(["sales$regoin"], {"sales": ["region"]})
        [(0, 'sales', 'regoin', ['region'])]
    """
    named = [[name for name in columns if UNIT not in name and GROUP not in name] for columns in frames.values()]
    found = _ask("unknown_columns", list(codes), list(frames), [GROUP.join(columns) for columns in named])
    parts = [line.split(UNIT) for line in found]
    return [(int(piece) - 1, table, column, list(listed(columns))) for piece, table, column, columns in parts]


def unknown_operators(codes: Sequence[str]) -> list[tuple[int, str]]:
    """Operators of packages that R code uses while none that is attached has them, with the piece's number from 0.

    Example:
        >>> unknown_operators(["sales %>% head()", "1 %in% 2"])
        [(0, '%>%')]
    """
    parts = [line.split(UNIT) for line in _ask("unknown_operators", list(codes))]
    return [(int(piece) - 1, name) for piece, name in parts]


@dataclass(frozen=True)
class RRun:
    """What running R code gave."""

    output: str  # what was printed, messages and errors in their place
    plots: tuple[bytes, ...] = field(default=(), repr=False)  # PNG files, in the order they were drawn.
    error: str = ""  # R's message when it failed, else empty.
    calls: tuple[str, ...] = ()  # the calls that led to the error, innermost last
    warnings: tuple[str, ...] = ()  # warnings, in order
    stopped: bool = False  # whether the user interrupted it; what it gave until then is here


def run_r(code: str, *, width: int = 640, height: int = 480, resolution: int = 96) -> RRun:
    """Run R code in the user's workspace, its output and plots caught; sizes are in pixels, and pixels per inch."""
    # Visible values are printed as at R's prompt. The code can be stopped with Ctrl-C or the kernel's interrupt.
    # Where R cannot be asked it is `NoR`.
    if problem := parse_r(code):
        return RRun("", error=problem)
    with tempfile.TemporaryDirectory(prefix="rsql-r-") as directory:
        reply = _call("run", code, directory, width, height, resolution, seconds=None)
        plots = tuple(path.read_bytes() for path in sorted(Path(directory).glob("*.png")))
    error, warnings, calls = reply.strings
    stopped = reply.stopped or error == "interrupted"  # a sleeping R takes the signal before Python sees it
    return RRun(reply.printed, plots, error, listed(calls), listed(warnings), stopped)


# Python sees a signal only after the call into R has returned, so by itself R cannot be interrupted from a notebook: a
# loop runs to its end. R does look at a flag of its own now and then (`R_interrupts_pending`). A thread that is told of
# signals at once, through the file descriptor of `signal.set_wakeup_fd`, raises that flag. It may do so because the
# call into R has released Python's lock. A sleeping R wakes up because the signal itself interrupts its sleep.

_END = b"\x00"


@dataclass
class Interruption:
    """Whether the user asked R to stop."""

    by_user: bool = False

    def note(self, _number: int, _frame: object) -> None:
        """Python's handler of SIGINT meanwhile: an exception raised inside R's callbacks would be lost."""
        self.by_user = True


@contextmanager
def stoppable(rlib: Any, seconds: float | None = None) -> Iterator[Interruption]:
    """Let SIGINT, and the end of some time, stop what R does, on the main thread; says whether a user did."""
    stop = Interruption()
    if not hasattr(signal, "pthread_kill"):  # Windows: R ends by itself
        yield stop
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    watcher = threading.Thread(
        target=_watch, args=(rlib, stop, reading, seconds, threading.get_ident()), daemon=True, name="rsql-stop-r"
    )
    alarm = signal.signal(signal.SIGALRM, lambda *_: None)
    interrupt = signal.signal(signal.SIGINT, stop.note)
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher.start()
    try:
        yield stop
    finally:
        signal.set_wakeup_fd(wakeup)
        os.write(writing, _END)
        watcher.join()
        for number, handler in ((signal.SIGALRM, alarm), (signal.SIGINT, interrupt)):
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
        rlib.R_interrupts_pending = 0


def _watch(rlib: Any, stop: Interruption, reading: int, seconds: float | None, main: int) -> None:
    """Wait for a signal, the time or the end of the call, whichever comes first."""
    while True:
        ready, _, _ = select.select([reading], [], [], seconds)
        if not ready:
            rlib.R_interrupts_pending = 1
            signal.pthread_kill(main, signal.SIGALRM)  # wakes R when it sleeps
            seconds = 0.2  # and again, should R code swallow the interrupt
            continue
        if _END in (told := os.read(reading, 64)):
            return
        if signal.SIGINT in told:
            stop.by_user = True
            rlib.R_interrupts_pending = 1
