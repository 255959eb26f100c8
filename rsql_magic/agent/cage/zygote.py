"""A fresh Python that has the usual packages loaded and forks for each trial; it knows nothing of the kernel."""

# The kernel sends, by a socket, a line that says how to confine, with two descriptors: one to read the cell and what
# was carried over from, one to tell on. A fork of this process makes the walls and watches (`_supervise`), a fork of
# that is walled in and runs the cell. So nothing that the cell can reach was ever part of the kernel, and what files
# became is read by a process that the cell cannot reach.

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from rsql_magic.agent.cage import cell_run, confine
from rsql_magic.agent.cage.r_cells import prepare_r

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_SAID = 1_000_000  # bytes of what a cell tells
_LOOKS = 0.1  # seconds between two looks at what a cell uses of that for which the system has no limit


def main(descriptor: int, packages: list[str], r: tuple[list[str], list[str]] | None = None) -> None:
    """Serve one kernel until it closes its end; with R where its packages and their folders are given."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # that of the notebook's is for its cell
    for package in packages:
        with contextlib.suppress(Exception):
            importlib.import_module(package)
    if r:
        prepare_r(*r)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # R starts with another
    gc.freeze()  # what forks share is not looked through in each
    control = socket.socket(fileno=descriptor)
    control.sendall(b"ready\n")
    while True:
        line, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 2)
        if not line:
            return
        if (child := os.fork()) == 0:
            control.close()
            _in_child(partial(_supervise, json.loads(line), *descriptors))
        for each in descriptors:
            os.close(each)
        os.waitpid(child, 0)
        control.sendall(b"ended\n")


# A fork never returns into the code of its parent, whatever it raises.
def _in_child(work: Any) -> None:
    try:
        work()
    finally:
        os._exit(0)


def _supervise(asked: dict[str, Any], request: int, reply: int) -> None:
    tier, scratch = asked["tier"], asked["scratch"]
    bounds = confine.Bounds(**asked["bounds"])
    zygote, in_use = os.getppid(), confine.memory_in_use()
    confine.die_with_parent(zygote)
    space, before, copies, written = None, dict[str, tuple[int, ...]](), f"{scratch}/copies", -1
    try:
        processes = confine.opened("/proc")
        if tier == "space":
            space = confine.Space(scratch, bounds)
            space.enter()
        else:
            for folder in (copies, f"{scratch}/tmp"):
                os.mkdir(folder, 0o700)
            confine.copy_files(bounds, copies)
            before = confine.listed(confine.opened(copies))
            written = confine.opened(scratch)
    except OSError as error:
        cell_run.tell(reply, {"end": "refused", "why": str(error)})
        return
    told, telling = os.pipe()
    parent = os.getpid()
    if (child := os.fork()) == 0:
        os.setsid()
        _in_child(lambda: _confined(asked, bounds, in_use, (request, telling), [parent, zygote, asked["kernel"]]))
    os.close(telling)
    os.close(request)
    said, end = _listen(told, child, bounds, partial(_uses_too_much, processes, child, written, bounds))
    changes = space.changes() if space else confine.compared(before, confine.listed(confine.opened(copies)))
    if space is None:
        confine.clear(scratch)  # which may be deeper than usual ways to remove a folder go
    cell_run.tell(reply, {"end": end, "said": said.decode("utf-8", "replace"), "files": changes})


# What a process has too much of, of that for which the system has no limit that holds for every user.
def _uses_too_much(processes: int, child: int, written: int, bounds: confine.Bounds) -> str:
    if confine.threads_of(processes, child) > bounds.threads:
        return "threads"
    return "disk" if written >= 0 and confine.is_too_much(written, bounds) else ""


def _confined(
    asked: dict[str, Any], bounds: confine.Bounds, in_use: int, keep: tuple[int, int], others: list[int]
) -> None:
    request, telling = keep
    try:
        is_space = asked["tier"] == "space"
        null = os.open("/dev/null", os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        confine.die_with_parent(0 if is_space else others[0])
        if not is_space:
            os.chdir(copies := f"{asked['scratch']}/copies")
            confine.landlock([*bounds.readable, *confine.DEVICES], [copies, f"{asked['scratch']}/tmp", "/dev/null"])
        confine.close_in(bounds, in_use, keep, pretend=not is_space)
        leaks = confine.leaks(asked["outside"], others, keep)
    except OSError as error:
        leaks = [str(error)]
    if leaks:
        cell_run.tell(telling, {"leaks": leaks})
        return
    os.write(telling, b"\n")  # the cell cannot take this back, or say it
    given = cell_run.read_all(request)
    os.close(request)
    cell_run.run_cell(given, telling, "/tmp" if is_space else f"{asked['scratch']}/tmp")


def _listen(told: int, child: int, bounds: confine.Bounds, excess: Callable[[], str]) -> tuple[bytes, str]:
    deadline, said, end = time.monotonic() + bounds.seconds, bytearray(), ""
    look = time.monotonic() + _LOOKS
    while not end:
        now = time.monotonic()
        if now >= deadline:
            end = "time"
        elif now >= look:
            end, look = excess(), time.monotonic() + _LOOKS
        elif select.select([told], [], [], min(deadline, look) - now)[0]:
            piece = os.read(told, 1 << 16)
            said += piece
            end = "" if piece and len(said) < _MOST_SAID else "done"
    os.kill(child, signal.SIGKILL)  # it has told all, closed what it tells by, ended, or used up what it may
    _, state = os.waitpid(child, 0)
    return bytes(said), end if said or end != "done" else f"signal {os.WTERMSIG(state) if os.WIFSIGNALED(state) else 0}"
