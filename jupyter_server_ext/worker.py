"""Work in a process of its own, with bounded memory: what would keep everybody waiting while Python does it."""

# Python runs one thing at a time. A task is a function of a module that makes pieces of bytes from bytes, so that no
# piece that comes back is read for longer than others can wait.

from __future__ import annotations

import asyncio
import importlib
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Task = Callable[[bytes], Iterable[bytes]]

_MOST_MEMORY = 3 << 30  # of the process; 10 MB of brackets are no more than 1 GB of lists
_SPENT = 400 << 20  # beyond it the process ends after its answer, so that the memory is given back
_LENGTH = struct.Struct("!q")
_END = -1  # in place of a length, after the last piece
_START = "from jupyter_server_ext.worker import main; main({})"


class WorkerEnded(Exception):
    """The process ended twice over the same task: it needs more memory than there is."""


class Worker:
    """Does tasks one after the other, in a process that starts with the first and ends with ``close``.

    Args:
        name: Of its thread.
        nice: How much the process steps back behind others of the machine, from 0 to 19.
    """

    def __init__(self, name: str, *, nice: int = 0) -> None:
        self._name, self._nice = name, nice
        self._thread: ThreadPoolExecutor | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def run(self, task: Task, data: bytes) -> list[bytes]:
        """The pieces that a function of a module makes of these bytes.

        Raises:
            WorkerEnded: It needs too much memory, or failed.
        """
        if self._thread is None:
            # One at a time: several bodies of 10 MB of brackets would need gigabytes together.
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, task, data)

    def close(self) -> None:
        """End the process."""
        if self._thread is not None:
            self._thread.shutdown()
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()  # else a zombie is left, with its pipes open

    def _ask(self, task: Task, data: bytes) -> list[bytes]:
        for last in (False, True):  # the process may have ended after the task before
            if self._process is None:
                # It ends when this one does, as its standard input does. Nothing that could hold a key is in its
                # environment.
                names = ("PATH", "PYTHONPATH", "HOME", "LANG", "SYSTEMROOT", "VIRTUAL_ENV")
                self._process = subprocess.Popen(  # noqa: S603 - words of our own
                    [sys.executable, "-c", _START.format(self._nice)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={name: os.environ[name] for name in names if name in os.environ},
                    start_new_session=True,  # Ctrl-C is the gateway's to deal with
                )
            into, out = cast("BinaryIO", self._process.stdin), cast("BinaryIO", self._process.stdout)
            try:
                _write(into, f"{task.__module__}:{task.__qualname__}".encode())
                _write(into, data)
                return [*iter(lambda: _read(out), None)]  # noqa: B023 - used before the next round
            except (OSError, EOFError):
                self._end()
                if last:
                    # Twice means that it is this task that ends the process.
                    raise WorkerEnded from None
        raise AssertionError


def _write(file: BinaryIO, piece: bytes | None) -> None:
    file.write(_LENGTH.pack(_END if piece is None else len(piece)))
    file.write(piece or b"")
    file.flush()


def _read(file: BinaryIO) -> bytes | None:
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    if length == _END:
        return None
    piece = file.read(length)
    if len(piece) < length:
        raise EOFError
    return piece


def main(nice: int = 0) -> None:
    """Do tasks from standard input and answer on standard output, until its end."""
    with suppress(ImportError, ValueError, OSError):
        import resource  # not on Windows

        os.nice(nice)
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    with suppress(EOFError):
        while True:
            name, data = _read(sys.stdin.buffer), _read(sys.stdin.buffer)
            module, _, function = (name or b"").decode().partition(":")
            for piece in getattr(importlib.import_module(module), function)(data or b""):
                _write(sys.stdout.buffer, piece)
            _write(sys.stdout.buffer, None)
            with suppress(ImportError):
                import resource

                if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > _SPENT:
                    return
