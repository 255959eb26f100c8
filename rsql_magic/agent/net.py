"""A net below cells of the assistant's: while one runs, Python refuses what nobody agreed to."""

# What a cell would do is read off its code before it runs (`effects`); this catches what was not seen there. It is a
# second line and no boundary, whose share of catches `tests/net_share.py` measures. It knows what Python itself
# announces (PEP 578), in the thread that runs the cell, in threads that it starts, and later in its functions where
# nobody calls them. Libraries in C that open files and sockets by themselves, R, and threads that were there before are
# not seen. While an installed package is loaded, its code may do what it likes: packages keep caches and ask the system
# then.

from __future__ import annotations

import importlib
import os
import site
import sys
import sysconfig
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from rsql_magic.errors import RsqlError
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import FrameType

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_DEVICES = frozenset({os.devnull, "/dev/tty", "/dev/stdout", "/dev/stderr"})
_EVENTS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(
        [
            *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown"),
            *("os.truncate", "os.utime", "os.setxattr", "os.removexattr", "shutil.rmtree", "shutil.move"),
            *("shutil.copyfile", "shutil.copytree", "shutil.make_archive", "shutil.unpack_archive", "tempfile.mkstemp"),
            *("tempfile.mkdtemp", "shutil.chown", "shutil.copymode", "shutil.copystat"),
        ],
        ("files", "change files"),
    ),
    **dict.fromkeys(
        [
            *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"),
            *("os.startfile", "os.startfile/2", "pty.spawn", "webbrowser.open", "os.kill", "os.killpg"),
        ],
        ("shell", "run a program"),
    ),
    **dict.fromkeys(
        [
            *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"),
            *("socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request", "http.client.connect"),
            *("ftplib.connect", "smtplib.connect", "imaplib.open", "poplib.connect"),
        ],
        ("network", "use the network"),
    ),
    "sqlite3.connect": ("sql", "open a database"),
    **dict.fromkeys(
        ["sqlite3.enable_load_extension", "sqlite3.load_extension"], ("shell", "load code into a database")
    ),
}
# What would find the hook, or see more than a cell has to: refused whatever was agreed to.
_PRIES = frozenset(
    {
        *("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys.settrace", "sys.setprofile"),
        *("sys._current_frames", "sys._current_exceptions", "sys.monitoring.register_callback", "ctypes.dlopen"),
        *("ctypes.dlsym", "ctypes.dlsym/handle", "ctypes.string_at", "ctypes.wstring_at", "ctypes.cdata"),
        *("ctypes.cdata/buffer", "ctypes.call_function", "ctypes.set_errno"),
    }
)
_STARTS = frozenset({"_thread.start_new_thread", "_thread.start_joinable_thread"})
_LOADS = frozenset(
    {importlib._bootstrap._find_and_load.__code__, importlib._bootstrap._handle_fromlist.__code__}  # type: ignore[attr-defined]  # noqa: SLF001
)
_OWN = f"{Path(__file__).parents[1]}{os.sep}"
_SITES = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
_SITES += [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
_PACKAGES = tuple(f"{path}{os.sep}" for path in _SITES)
_INSTALLED = (
    "<frozen importlib",
    *(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib")),
    *_PACKAGES,
)
# Names under which anybody compiles, data classes and `python -c` too; code of a cell cannot be told by them later.
_NOBODYS = frozenset({"<string>", "<stdin>", "<unknown>", ""})
_BEGINS, _ENDS = "rsql.cell.begins", "rsql.cell.ends"
# What a yes to one kind lets through: an installer is a program that downloads and writes.
_INCLUDES: Mapping[str, frozenset[str]] = {
    "files": frozenset({"files", "sql"}),
    "shell": frozenset({"shell"}),
    "network": frozenset({"network"}),
    "sql": frozenset({"network", "sql"}),
    "install": frozenset({"files", "shell", "network"}),
    "unknown": frozenset(),
}


class NotAgreed(RsqlError, PermissionError):
    """A cell of the assistant's did something to which nobody agreed."""


@dataclass(frozen=True)
class _Begun:
    """A cell that runs: its thread, the namespace of its code, whether it is watched, and what it may do then."""

    thread: int
    namespace: Mapping[str, Any]
    is_watched: bool
    allowed: frozenset[str]


# What an event does: its kind, and in words; empty for one that only looks.
def _reader() -> Callable[[str, tuple[Any, ...]], tuple[str, str]]:
    events, devices, writing, letters = dict(_EVENTS), _DEVICES, _WRITING, frozenset("wax+")
    text, number = str, int
    is_a, nothing, memory = isinstance, ("", ""), ("", ":memory:", b":memory:")

    def read(event: str, arguments: tuple[Any, ...]) -> tuple[str, str]:
        if event == "sqlite3.connect" and arguments and arguments[0] in memory:
            return nothing
        if event != "open":
            return events.get(event, nothing)
        path, mode, flags = (*arguments, None, None, None)[:3]
        if is_a(path, number) or path in devices:
            return nothing
        if (is_a(mode, text) and letters & {*mode}) or (is_a(flags, number) and flags & writing):
            return "files", "write to a file"
        return nothing

    return read


# Install the hook, which stays. What it knows is in its variables only, which no attribute leads to, and what it calls
# is bound here, so that a cell which changes a module or a builtin changes nothing of it.
def _install() -> None:  # noqa: C901, PLR0915 - one scope, as said
    get_ident, current_thread = threading.get_ident, threading.current_thread
    getframe, is_a, value_of = sys._getframe, isinstance, getattr  # noqa: SLF001
    read, refused, line, decoded, first = _reader(), NotAgreed, one_line, os.fsdecode, next
    thread_kind, cell_kind, text_kinds = threading.Thread, _Begun, (str, bytes, os.PathLike)
    pries, starts, begins, changes = _PRIES, _STARTS, _BEGINS, frozenset({_BEGINS, _ENDS})
    known = frozenset({*_EVENTS, *pries, *starts, *changes, "open", "compile", "object.__getattr__"})
    nobodys = _NOBODYS
    loads, installed, packages, own, finalizes = _LOADS, _INSTALLED, _PACKAGES, _OWN, weakref.__file__
    running: _Begun | None = None
    namespace: Any = None  # of the user's code
    written: dict[str, frozenset[str]] = {}  # what code of cells that have run may do, by the file that stands for it
    threads: WeakKeyDictionary[threading.Thread, frozenset[str]] = WeakKeyDictionary()  # those that cells started
    looking: set[int] = set()  # threads in which the hook itself looks

    # Whether an installed package is being loaded, and all that runs since is its own code.
    def is_loading(frame: FrameType | None) -> bool:
        while frame is not None:
            name = frame.f_code.co_filename
            if frame.f_code in loads:
                return True
            if name in written or not name.startswith(installed):
                return False
            frame = frame.f_back
        return False

    # Whether code of an installed package asks, directly or by the standard library: some look for their own libraries.
    def is_by_package(frame: FrameType | None) -> bool:
        while frame is not None:
            name = frame.f_code.co_filename
            if name in written or not name.startswith(installed):
                return False
            if name.startswith(packages):
                return True
            frame = frame.f_back
        return False

    def is_called_by_cell(frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_globals is namespace or frame.f_code.co_filename in written:
                return True
            frame = frame.f_back
        return False

    # What the code that asks may do where it is a cell's; None where it is not.
    def allowed_in(frame: FrameType | None) -> frozenset[str] | None:
        ident = get_ident()
        if running is not None and running.is_watched and ident == running.thread:
            return running.allowed
        if (allowed := threads.get(current_thread())) is not None:
            return allowed
        return allowed_later(frame) if written else None

    # Code of a cell that has ended, and that no code of the user's calls: what collects, the end of Python, an event.
    def allowed_later(frame: FrameType | None) -> frozenset[str] | None:
        found, is_final = None, False
        while frame is not None:
            name = frame.f_code.co_filename
            if name in written:
                found = written[name]
                is_final = is_final or frame.f_code.co_name == "__del__"
            elif name == finalizes:
                is_final = True
            elif found is not None and frame.f_globals is namespace:
                return found if is_final else None
            frame = frame.f_back
        return found

    # A file that code is made for while a cell runs stands for that cell.
    def note_code(name: Any, frame: FrameType | None) -> None:
        if running is None or not is_a(name, str) or get_ident() != running.thread or is_loading(frame):
            return
        if name in nobodys or name.startswith(installed):
            return
        if running.is_watched:
            written[name] = running.allowed
        else:
            written.pop(name, None)  # the same text, run by the user

    def switch(cell: Any, frame: FrameType | None) -> None:
        nonlocal running, namespace
        if running is not None and running.is_watched and (get_ident() != running.thread or is_called_by_cell(frame)):
            raise refused("This cell would leave the net below it.", hint="Run the cell yourself.")
        running = cell if is_a(cell, cell_kind) else None
        namespace = namespace if running is None else running.namespace

    # Errors that this raises have its frame, which knows all. Those that show an error to the user may have it.
    def guard_frame(error: Any, frame: FrameType | None) -> None:
        if running is None or not running.is_watched or (ident := get_ident()) in looking:
            return
        if not is_called_by_cell(frame):
            return
        looking.add(ident)
        try:
            if error.tb_frame.f_code in own_code:
                raise refused("This cell would look into the net below it.", hint="Run the cell yourself.")
        finally:
            looking.discard(ident)

    def judge(event: str, arguments: tuple[Any, ...], frame: FrameType | None) -> None:
        kind, does = ("pry", "look into Python itself") if event in pries else read(event, arguments)
        if (not kind and event not in starts) or (allowed := allowed_in(frame)) is None or kind in allowed:
            return
        if is_loading(frame) or (kind == "pry" and is_by_package(frame)):
            return
        if kind == "sql" and frame is not None and frame.f_code.co_filename.startswith(own):
            return
        if event not in starts:
            what = first((each for each in arguments if is_a(each, text_kinds)), "")
            shown = f" ({line(decoded(what), 80)})" if what else ""
            reason = f"This cell would {does}{shown}, to which nobody agreed."
            raise refused(reason, hint="Agree to it at the change, or run the cell yourself.")
        thread: Any = value_of(arguments[0], "__self__", None) if arguments else None
        if not is_a(thread, thread_kind):
            raise refused("This cell would start a thread that cannot be watched.", hint="Run the cell yourself.")
        threads[thread] = allowed

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in known or (event not in changes and running is None and not written and not threads):
            return
        frame = getframe().f_back  # a deeper one is not there where no code of Python's runs
        if event in changes:
            switch(arguments[0] if arguments and event == begins else None, frame)
        elif event == "compile":
            note_code(arguments[1], frame)
        elif event == "object.__getattr__":
            if arguments[1] == "tb_frame":
                guard_frame(arguments[0], frame)
        else:
            judge(event, arguments, frame)

    own_code = {each.__code__ for each in (audit, judge, switch, guard_frame, note_code, is_loading, allowed_in)}
    sys.addaudithook(audit)


# Python announces a new thread from 3.12 on; before, its start is told here.
_ANNOUNCES_THREADS = sys.version_info >= (3, 12)
_start = threading.Thread.start


def _noted_start(thread: threading.Thread) -> None:
    sys.audit("_thread.start_new_thread", thread.run)
    _start(thread)


_is_hooked = False


class ConsentNet:
    """What the assistant's cells may do in one shell.

    A cell is known by its text; once it has run, the same text is the user's own.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._armed: dict[str, frozenset[str]] = {}
        self._is_registered = False

    def arm(self, source: str, kinds: Collection[str]) -> None:
        """Watch the next run of a cell with this text, which may do what these kinds of effects include."""
        global _is_hooked  # noqa: PLW0603 - a hook cannot be taken back
        if self._shell is None:
            return
        if not _is_hooked:
            _install()
            _is_hooked = True
        if not self._is_registered:
            self._shell.events.register("pre_run_cell", self._begin)
            self._shell.events.register("post_run_cell", self._end)
            self._is_registered = True
        self._armed[source] = frozenset[str]().union(*(_INCLUDES.get(kind, frozenset()) for kind in kinds))

    def disarm(self) -> None:
        """Leave cells that have not run to the user."""
        self._armed.clear()

    def close(self) -> None:
        """Watch no more."""
        self.disarm()
        if self._is_registered:
            self._shell.events.unregister("pre_run_cell", self._begin)
            self._shell.events.unregister("post_run_cell", self._end)
            self._is_registered = False

    def _begin(self, info: Any) -> None:
        allowed = self._armed.pop(info.raw_cell, None)
        is_watched = allowed is not None
        sys.audit(_BEGINS, _Begun(threading.get_ident(), self._shell.user_ns, is_watched, allowed or frozenset()))
        if is_watched and not _ANNOUNCES_THREADS:
            threading.Thread.start = _noted_start  # type: ignore[assignment, method-assign]

    def _end(self, _result: Any) -> None:
        threading.Thread.start = _start  # type: ignore[method-assign]
        sys.audit(_ENDS)
