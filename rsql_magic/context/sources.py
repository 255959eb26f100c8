"""One hook through which every kind of object learns to describe itself to a model.

A source says which objects it knows and writes their text. Ours are listed here and loaded like anybody's; others come
from the entry-point group ``rsql.context_sources``, whose values name a source or a class that makes one:

    [project.entry-points."rsql.context_sources"]
    networks = "my_package.rsql:NetworkSource"

Nothing is imported before the first description is asked for. What a source writes is filtered, fenced and cut to the
budget like everything else, so a source cannot leak what the filter finds or crowd out the rest.
"""

from __future__ import annotations

import ctypes
import functools
import signal
import threading
from collections import Counter
from contextvars import copy_context
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from rsql_magic.diagnostics import log
from rsql_magic.errors import BadInput, RsqlError, TooSlow
from rsql_magic.plugins import Unfit, plugged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.context.gathered import Frame
    from rsql_magic.context.reader import Reader
    from rsql_magic.context.value_names import SessionValues
    from rsql_magic.knowledge import Dictionary
    from rsql_magic.plugins import PlugIn
    from rsql_magic.sql import Privacy

LEVELS = ("names", "stats", "sample")
GROUP = "rsql.context_sources"
BUILT_IN = (
    "rsql_magic.context.frames:FrameSource",
    "rsql_magic.context.rside:RSource",
    "rsql_magic.context.objects:ObjectSource",
)


@dataclass(frozen=True)
class Detail:
    """How much a description may say."""

    level: Privacy = "stats"  # The privacy level.
    budget: int = 300  # tokens for the whole description
    columns: frozenset[str] = frozenset()  # columns that were asked about: they are shown whatever they cost
    rows: int = 10_000  # most rows to look at
    at_least: int = 5  # categories seen fewer times than this are not shown
    # Descriptions, units and keys that people wrote down.
    dictionary: Dictionary | None = field(default=None, repr=False)
    brief: bool = False  # true when names and types are enough, because nothing points to the object
    # Which names of columns are values of the session's data; None where only the object itself is known.
    values: SessionValues | None = field(default=None, repr=False)
    reader: Reader | None = field(default=None, repr=False)  # what reads the object, where it was read before
    # Where a source counts what it replaced itself, before it cut a text.
    redacted: Counter[str] = field(default_factory=Counter, repr=False)
    # Where a source of frames adds what its text states, as values.
    stated: list[Frame] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if self.level not in LEVELS:  # a misspelt level must not mean all
            raise BadInput(f"There is no privacy level {self.level!r}.", hint=f"Choose one of {', '.join(LEVELS)}.")


@runtime_checkable
class Source(Protocol):
    """What a plug-in offers: it knows some objects and can describe them."""

    # The kind of fence around its text: `frame`, `object` or another word of the contract.
    kind: str

    def matches(self, obj: Any) -> bool:
        """Whether this source knows the object. Must be quick, and must not import the object's package."""

    def describe(self, obj: Any, name: str, detail: Detail) -> str:
        """The text that a model reads about the object."""


@runtime_checkable
class TabularSource(Source, Protocol):
    """A source of things that have columns: they can be asked about by name, and joined."""

    def columns(self, obj: Any) -> Sequence[str]:
        """Names of the columns, as they would be typed."""


@functools.cache
def sources() -> tuple[Source, ...]:
    """All sources: plug-ins in order of their names, then ours, which know everything."""
    ours = (place.split(":") for place in BUILT_IN)
    return (*plugged_sources(), *(getattr(import_module(module), name)() for module, name in ours))


@functools.cache
def plugged_sources() -> tuple[Source, ...]:
    """The sources of plug-ins."""
    return tuple(plugged(GROUP, _read).values())


def _read(plug: PlugIn) -> Source:
    source = plug.value() if isinstance(plug.value, type) else plug.value
    if not isinstance(source, Source):
        raise Unfit("a source needs 'kind', 'matches' and 'describe'")
    return source


def source_of(obj: Any) -> Source:
    """The first source that knows the object."""
    return next(source for source in sources() if source.matches(obj))


@dataclass
class Look:
    """What a look at an object finds out, as far as the object answers."""

    source: Source | None = None  # who describes it
    reader: Reader | None = None  # what reads it
    names: list[str] = field(default_factory=list)  # its columns that can be typed

    def at(self, obj: Any, *, is_secret: bool = False) -> None:
        """Find out who describes the object, and unless it is a secret what reads it."""
        self.source = self.source or source_of(obj)
        if is_secret:
            return
        read = getattr(self.source, "reader", None)
        self.reader = read(obj) if read else None
        if isinstance(self.source, TabularSource):
            names = self.reader.names if self.reader else self.source.columns(obj)
            self.names = [name for name in names if isinstance(name, str)]


# On the main thread an alarm interrupts the call, which then really stops. Elsewhere (and on Windows) a daemon thread
# runs it, is told to stop when it takes too long, and is left behind where it does not.

T = TypeVar("T")
_AGAIN = 0.05
# How often a thread that was left behind is told to stop.
_TIMES = 20


def within(seconds: float, call: Callable[[], T], *, apart: bool = False) -> T:
    """The result of a call that is stopped by `TooSlow` after some time."""
    # With `apart` it has a thread of its own in any case, as for what runs in another library without Python.
    if not apart and threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        return _with_alarm(seconds, call)
    return _in_thread(seconds, call)


def _with_alarm(seconds: float, call: Callable[[], T]) -> T:
    """Raise `TooSlow` in the main thread when the time is over, and again if the code swallows it."""
    over = False

    def stop(_number: int, _frame: object) -> None:
        if not over:
            raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        return call()
    finally:
        over = True  # first: it may ring until it is off, as while what the call made is thrown away
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
        if left:  # an alarm of the user's own goes on
            signal.setitimer(signal.ITIMER_REAL, left, interval)


def _in_thread(seconds: float, call: Callable[[], T]) -> T:
    results: list[T] = []
    problems: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        try:
            results.append(context.run(call))
        except BaseException as problem:  # noqa: BLE001 - handed to the caller's thread
            problems.append(problem)

    thread = threading.Thread(target=run, daemon=True, name="rsql-describe")
    thread.start()
    thread.join(seconds)
    if problems:
        raise problems[0]
    if not results:
        threading.Thread(target=_end, args=(thread,), daemon=True, name="rsql-end").start()
        raise TooSlow
    return results[0]


def _end(thread: threading.Thread) -> None:
    """Raise `TooSlow` in a thread, so that an endless loop does not compute for ever; one that sleeps wakes to it."""
    for _ in range(_TIMES):
        if thread.ident is None or not thread.is_alive():
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TooSlow))
        thread.join(_AGAIN)


@dataclass
class Fences:
    """A fence of errors around each object: what fails is not asked again, and the others are as before.

    Example:
        >>> fences = Fences()
        >>> fences.ask("x", lambda: 1 / 0, "nothing"), fences.ask("y", lambda: 1, "nothing"), fences.failed
        ('nothing', 1, {'x': 'it raised ZeroDivisionError'})
    """

    seconds: float = 5.0  # how long an object may take to answer
    # Why, by the object's name. An error's own words are left out: they may hold data.
    failed: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, call: Callable[[], T], otherwise: T, seconds: float | None = None) -> T:
        """The result of a call into an object, or something else where it fails, failed before or takes too long."""
        if name in self.failed:
            return otherwise
        try:
            return within(self.seconds if seconds is None else seconds, call)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:
            log.debug("an object cannot be read", exc_info=True)
            self.failed[name] = why(problem)
            return otherwise


def why(problem: BaseException) -> str:
    """Why an object could not be read, without the words of its error unless they are ours."""
    if isinstance(problem, RsqlError):
        return problem.message.rstrip(".")
    name = str(type.__getattribute__(type(problem), "__name__"))[:40]  # whatever a metaclass makes of looking it up
    return "it took too long" if isinstance(problem, TooSlow) else f"it raised {name}"
