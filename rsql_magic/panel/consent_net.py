"""A net below cells of the assistant's: while one runs, Python refuses what nobody agreed to."""

# What a cell would do is read off its code before it runs (`answers.changing.effects`); this catches what was not seen
# there. It is a net and no sandbox: it knows what Python itself announces (PEP 578) in the thread that runs the cell
# and in threads that it starts. Libraries in C that open files and sockets by themselves, R, and threads that were
# there before are not seen. Imports pass: packages keep caches and ask the system when they are loaded.

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from rsql_magic.errors import RsqlError
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
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
}
_STARTS = frozenset({"_thread.start_new_thread", "_thread.start_joinable_thread"})
# What a yes to one kind lets through: an installer is a program that downloads and writes.
_INCLUDES: Mapping[str, frozenset[str]] = {
    "files": frozenset({"files"}),
    "shell": frozenset({"shell"}),
    "network": frozenset({"network"}),
    "sql": frozenset({"network"}),
    "install": frozenset({"files", "shell", "network"}),
    "unknown": frozenset(),
}


class NotAgreed(RsqlError, PermissionError):
    """A cell of the assistant's did something to which nobody agreed."""


@dataclass
class _WatchedCell:
    """A cell that runs: its thread, the namespace of its code, what it may do, and the threads that it started."""

    thread: int
    namespace: Mapping[str, Any]
    allowed: frozenset[str]
    started: WeakSet[threading.Thread] = field(default_factory=WeakSet)

    def refuse(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Raise `NotAgreed` where an event is the cell's and not allowed."""
        if event in _STARTS:
            self.note(getattr(arguments[0], "__self__", None) if arguments else None)
            return
        kind, does = _read(event, arguments)
        if not kind or kind in self.allowed or not self._is_own() or self._is_importing():
            return
        what = next((each for each in arguments if isinstance(each, str | bytes | os.PathLike)), "")
        shown = f" ({one_line(os.fsdecode(what), 80)})" if what else ""
        raise NotAgreed(
            f"This cell would {does}{shown}, to which nobody agreed.",
            hint="Agree to it at the change, or run the cell yourself.",
        )

    def _is_own(self) -> bool:
        return threading.get_ident() == self.thread or threading.current_thread() in self.started

    def note(self, thread: Any) -> None:
        """Note a thread that is started; one that Python's `threading` does not know could not be told apart later."""
        if not self._is_own():
            return
        if isinstance(thread, threading.Thread):
            self.started.add(thread)
        elif not self._is_importing():
            raise NotAgreed("This cell would start a thread that cannot be watched.", hint="Run the cell yourself.")

    # Whether a package is being loaded, by something else than code of the notebook.
    def _is_importing(self) -> bool:
        frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - the documented way to the stack
        while frame is not None and frame.f_globals is not self.namespace:
            if frame.f_code.co_name == "_find_and_load" and frame.f_code.co_filename.startswith("<frozen importlib"):
                return True
            frame = frame.f_back
        return False


def _read(event: str, arguments: tuple[Any, ...]) -> tuple[str, str]:
    """The kind of an event, and what it does; empty for one that only looks."""
    if event != "open":
        return _EVENTS.get(event, ("", ""))
    path, mode, flags = (*arguments, None, None, None)[:3]
    if isinstance(path, int) or path in _DEVICES:
        return "", ""
    writes = isinstance(mode, str) and bool(set(mode) & set("wax+"))
    writes = writes or (isinstance(flags, int) and bool(flags & _WRITING))
    return ("files", "write to a file") if writes else ("", "")


# Python announces a new thread from 3.12 on; before, its start is noted here.
_ANNOUNCES_THREADS = sys.version_info >= (3, 12)
_start = threading.Thread.start


def _noted_start(thread: threading.Thread) -> None:
    if (watched := _watched) is not None:
        watched.note(thread)
    _start(thread)


_watched: _WatchedCell | None = None
_is_hooked = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if (watched := _watched) is not None and (event in _EVENTS or event == "open" or event in _STARTS):
        watched.refuse(event, arguments)


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
            sys.addaudithook(_audit)
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
        global _watched  # noqa: PLW0603 - one cell runs at a time
        if (allowed := self._armed.pop(info.raw_cell, None)) is not None:
            _watched = _WatchedCell(threading.get_ident(), self._shell.user_ns, allowed)
            if not _ANNOUNCES_THREADS:
                threading.Thread.start = _noted_start  # type: ignore[assignment, method-assign]

    def _end(self, _result: Any) -> None:
        global _watched  # noqa: PLW0603
        if _watched is not None:
            threading.Thread.start = _start  # type: ignore[method-assign]
        _watched = None
