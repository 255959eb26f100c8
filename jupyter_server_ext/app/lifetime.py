"""Ending with the process that started this one, however that ends.

A process that is killed outright cannot say goodbye, but what it held open closes: the pipe on our standard input is
one sign of its life, its process descriptor (Linux) another.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_POLL_SECONDS = 0.5


async def parent_gone(pid: int = 0, stdin: int = 0) -> None:
    """Return when ``stdin`` has ended, or the process ``pid`` has.

    Args:
        pid: Process to watch; 0 for none.
        stdin: File descriptor of a pipe whose other end only the parent holds. One that cannot be waited for, such as
            a file's, is no sign of life.
    """
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    try:
        loop.add_reader(stdin, _read_on, stdin, gone.set)
    except (OSError, ValueError, NotImplementedError):  # a file, a closed one, or Windows' event loop
        if not pid:
            return
    if pid:
        await asyncio.wait(
            [asyncio.ensure_future(gone.wait()), asyncio.ensure_future(_ended(pid))],
            return_when=asyncio.FIRST_COMPLETED,
        )
    else:
        await gone.wait()


def _read_on(descriptor: int, ended: Callable[[], object]) -> None:
    """Read what came, and say so when nothing more can."""
    try:
        data = os.read(descriptor, 4096)
    except OSError:
        data = b""
    if not data:
        asyncio.get_running_loop().remove_reader(descriptor)
        ended()


async def _ended(pid: int) -> None:
    """Return when the process has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not Linux, or an old one
        await _poll(pid)
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _poll(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            pass
        await asyncio.sleep(_POLL_SECONDS)
