"""Walls around a process: spaces of its own with a layer over files, or Landlock; then a filter of system calls."""

# Two ways, by what the system lets an ordinary user do. With spaces of its own (`Space`) the process has a root that
# holds nothing but what it may read and a layer over the notebook's folder. With Landlock it stays in the system's
# root, where it may read the same and write into one folder of copies. Both end with `close_in`, and with `leaks`,
# which tries what must fail: a kernel that takes a wall and does not hold it is found before a cell is there.

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISCHR, S_ISDIR
from typing import TYPE_CHECKING

from rsql_magic.agent.cage import filters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LIBC = ctypes.CDLL(None, use_errno=True)
# Of <sched.h>, <sys/mount.h> and <linux/landlock.h>. The numbers of these calls are the same on all processors.
_NEW_FS, _NEW_USER, _NEW_PID, _NEW_NET, _NEW_IPC = 0x00020000, 0x10000000, 0x20000000, 0x40000000, 0x08000000
_BIND, _REC, _PRIVATE, _NOSUID, _NODEV = 0x1000, 0x4000, 0x40000, 2, 4
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_SETATTR = -100, 0x8000, 442
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ, _READ_FOLDER = 1 << 2, 1 << 3
_LEAST_ABI = 3  # before it, Landlock let files be cut
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_ADD_KEY = {"x86_64": 248, "aarch64": 217}
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


class CannotConfine(OSError):
    """The system refused a wall."""


@dataclass(frozen=True)
class Bounds:
    """What a trial may read and use.

    Attributes:
        readable: Folders and files that it may read: Python's own and the system's libraries.
        folder: The notebook's folder, which is also where the cell runs.
        files: Files of it that are copied, by their paths in it; None for a layer over all of it.
        hidden: Paths below the folder that are not shown.
        memory: Bytes beyond what the process has at its start.
        disk: Bytes of files that it writes.
        seconds: From its start to its end.
        entries: Files and folders that it makes.
        threads: That it has at one time.
    """

    readable: Sequence[str]
    folder: str
    files: Sequence[str] | None = None
    hidden: Sequence[str] = ()
    memory: int = 2_000_000_000
    disk: int = 200_000_000
    seconds: float = 20.0
    entries: int = 10_000
    threads: int = 500


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise CannotConfine(error, f"{what}: {os.strerror(error)}")
    return result


def _mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    given = [source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), os.fsencode(data) or None]
    _checked(_LIBC.mount(*given), f"mount of {kind or 'a part'}")


# Mounts below a path cannot be written to, or made to be, and their programs have no more rights than who starts them.
def _seal(target: str, *, recursive: bool, devices: bool = False) -> None:
    attributes = struct.pack("QQQQ", 1 | 2 | (0 if devices else 4), 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    call = _LIBC.syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(target), flags, attributes, ctypes.c_size_t(32))
    _checked(call, "mount_setattr")


@dataclass
class Space:
    """A root of its own for the calling process and its children, without network, with a layer over the folder."""

    scratch: str  # an empty folder of the system's
    bounds: Bounds
    before: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _upper: int = -1
    _lower: int = -1

    def enter(self) -> None:
        """Make the spaces and the root, and go there; children are in a space of processes of their own.

        Raises:
            CannotConfine: The system does not let this user do it.
        """
        uid, gid = os.getuid(), os.getgid()
        spaces = _NEW_USER | _NEW_FS | _NEW_PID | _NEW_NET | _NEW_IPC
        _checked(_LIBC.unshare(spaces), "unshare")
        try:
            for name, text in ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"):
                Path(f"/proc/self/{name}").write_text(text)
        except OSError as error:
            raise CannotConfine(error.errno, f"{name}: {error.strerror}") from error
        _mount("none", "/", "", _REC | _PRIVATE)
        root = f"{self.scratch}/root"
        os.mkdir(root)
        _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=16m,mode=755")
        for name in ("tmp", "dev"):
            os.mkdir(f"{root}/{name}")
        _mount("tmpfs", f"{root}/tmp", "tmpfs", _NOSUID | _NODEV, f"{self._most},mode=700")
        self._cover(root)
        for path in self.bounds.readable:
            self._show(root, path)
        _seal(root, recursive=False)
        self._give_devices(root)
        os.chdir(root)
        _checked(_LIBC.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"."), "pivot_root")
        _checked(_LIBC.umount2(b".", 2), "umount")
        os.chdir(self.bounds.folder)

    @property
    def _most(self) -> str:
        return f"size={self.bounds.disk},nr_inodes={self.bounds.entries}"

    # The folder: a layer over it without what is hidden, or copies of some files.
    def _cover(self, root: str) -> None:
        bounds, layer = self.bounds, f"{self.scratch}/layer"
        for path in (target := f"{root}{bounds.folder}", layer):
            os.makedirs(path)
        _mount("tmpfs", layer, "tmpfs", _NOSUID | _NODEV, f"{self._most},mode=700")
        for name in ("upper", "work"):
            os.mkdir(f"{layer}/{name}")
        if bounds.files is not None:
            copy_files(bounds, f"{layer}/upper")
            self._upper = opened(f"{layer}/upper")
            self.before = listed(self._upper)
            _mount(f"{layer}/upper", target, "", _BIND)
            return
        if any(sign in f"{bounds.folder}{layer}" for sign in ',:\\"'):
            raise CannotConfine(0, "a folder whose name an overlay cannot take")
        given = f"lowerdir={bounds.folder},upperdir={layer}/upper,workdir={layer}/work,userxattr"
        _mount("overlay", target, "overlay", _NOSUID | _NODEV, given)
        for hidden in bounds.hidden:
            if os.path.isdir(hidden):
                _mount("tmpfs", f"{root}{hidden}", "tmpfs", _NOSUID | _NODEV, "size=64k,mode=755")
            else:
                _mount("/dev/null", f"{root}{hidden}", "", _BIND)
        self._upper, self._lower = opened(f"{layer}/upper"), opened(bounds.folder)

    def _show(self, root: str, path: str) -> None:
        real = os.path.realpath(path)
        if not os.path.exists(real):
            return
        for place in dict.fromkeys([path, real]):
            target = f"{root}{place}"
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if place != real:
                if not os.path.lexists(target):
                    os.symlink(real, target)
            elif os.path.isdir(real):
                os.makedirs(target, exist_ok=True)
            elif not os.path.exists(target):
                Path(target).touch()
        _mount(real, f"{root}{real}", "", _BIND | _REC)
        _seal(f"{root}{real}", recursive=True)

    def _give_devices(self, root: str) -> None:
        _mount("tmpfs", f"{root}/dev", "tmpfs", _NOSUID, "size=64k,mode=755")
        for device in DEVICES:
            Path(f"{root}{device}").touch()
            _mount(device, f"{root}{device}", "", _BIND)
        _seal(f"{root}/dev", recursive=False, devices=True)

    def changes(self) -> list[tuple[str, str]]:
        """What the cell did to files of the folder: ``created``, ``changed`` or ``deleted``, and the path in it."""
        if self.bounds.files is not None:
            return compared(self.before, listed(self._upper))
        found: list[tuple[str, str]] = []
        for path, state in entries(self._upper):
            if S_ISCHR(state.st_mode) and state.st_rdev == 0:
                found.append(("deleted", path))
            elif not self._was(path):
                found.append(("created", path))
            elif not S_ISDIR(state.st_mode):
                found.append(("changed", path))
            if len(found) > MOST_CHANGES:
                break
        return sorted(found[:MOST_CHANGES], key=lambda word: word[1])

    def _was(self, path: str) -> bool:
        try:
            os.stat(path, dir_fd=self._lower, follow_symlinks=False)
        except OSError:
            return False
        return True


MOST_CHANGES = 200
_LONGEST_PATH = 2_000  # characters; the system takes 4,096 bytes
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def copy_files(bounds: Bounds, into: str) -> None:
    """Copy the files that a trial may have."""
    for name in bounds.files or ():
        target = Path(into, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(Path(bounds.folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as source, target.open("wb") as copy:
            while piece := source.read(1 << 20):
                copy.write(piece)


def opened(folder: str) -> int:
    """A descriptor of a folder."""
    return os.open(folder, _FOLDER)


def entries(at: int) -> Iterator[tuple[str, os.stat_result]]:
    """All that is below an open folder, however deep as far as a path can say it, with its state."""
    waiting = [""]
    while waiting:
        base = waiting.pop()
        try:
            here = os.open(base or ".", _FOLDER | os.O_NOFOLLOW, dir_fd=at)
        except OSError:  # gone meanwhile, or too deep
            continue
        try:
            for name in os.listdir(here):
                try:
                    state = os.stat(name, dir_fd=here, follow_symlinks=False)
                except OSError:  # gone meanwhile
                    continue
                path = f"{base}/{name}" if base else name
                if S_ISDIR(state.st_mode):
                    waiting.append(path)
                yield path, state
        finally:
            os.close(here)


def listed(at: int) -> dict[str, tuple[int, ...]]:
    """The files below an open folder, with what changes when they do."""
    return {
        path: (state.st_ino, state.st_size, state.st_mode, state.st_mtime_ns, state.st_ctime_ns)
        for path, state in entries(at)
        if not S_ISDIR(state.st_mode)
    }


def is_too_much(at: int, bounds: Bounds) -> bool:
    """Whether more is below an open folder than a trial may write."""
    count = size = 0
    for path, state in entries(at):
        count, size = count + 1, size + (0 if S_ISDIR(state.st_mode) else state.st_size)
        if count > bounds.entries or size > bounds.disk or len(path) > _LONGEST_PATH:
            return True
    return False


def clear(folder: str) -> None:
    """Remove all that is in a folder, however deep, where nobody else works in it any more; goes there."""
    os.chdir(folder)
    way: list[str] = []
    while True:
        with os.scandir() as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    way.append(entry.name)
                    break
                os.unlink(entry.name)
            else:
                if not way:
                    return
                os.chdir("..")
                os.rmdir(way.pop())
                continue
        os.chdir(way[-1])


def compared(before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]) -> list[tuple[str, str]]:
    """What became of files between two lists."""
    words = [("deleted", path) for path in before if path not in after]
    words += [("changed" if path in before else "created", path) for path in after if before.get(path) != after[path]]
    return sorted(words, key=lambda word: word[1])[:MOST_CHANGES]


def landlock_abi() -> int:
    """The version of Landlock that the kernel has, 0 for none."""
    return max(int(_LIBC.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)), 0)


def landlock(readable: Sequence[str], writable: Sequence[str]) -> None:
    """Let this process read below some paths and write below others, and neither connect nor signal; for good.

    Raises:
        CannotConfine: There is no Landlock that does.
    """
    if (abi := landlock_abi()) < _LEAST_ABI:
        raise CannotConfine(
            0, f"Landlock's version {_LEAST_ABI} is needed, and this is {abi}" if abi else "no Landlock"
        )
    handled = (1 << (16 if abi >= 5 else 15)) - 1
    attributes = struct.pack("QQQ", handled, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = _checked(_LIBC.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0), "landlock")
    whole = handled & ~(1 | 1 << 6 | 1 << 9 | 1 << 11 | 1 << 15)  # no programs, devices or sockets
    for paths, rights in ((readable, _READ | _READ_FOLDER), (writable, whole)):
        for path in paths:
            if not os.path.exists(path):
                continue
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = rights if os.path.isdir(path) else rights & (_READ | 2 | 1 << 14)
            rule = struct.pack("=Qi", allowed & handled, descriptor)
            _checked(_LIBC.syscall(_LANDLOCK_ADD, rules, 1, rule, 0), "landlock")
            os.close(descriptor)
    _checked(_LIBC.prctl(38, *map(ctypes.c_ulong, (1, 0, 0, 0))), "no_new_privs")
    _checked(_LIBC.syscall(_LANDLOCK_RESTRICT, rules, 0), "landlock")
    os.close(rules)


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent ends."""
    _LIBC.prctl(1, *map(ctypes.c_ulong, (signal.SIGKILL, 0, 0, 0)))
    if os.getppid() != parent:
        os._exit(1)


def memory_in_use() -> int:
    """Bytes of addresses that this process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def threads_of(processes: int, process: int) -> int:
    """How many threads a process has, by what the open folder `/proc` says of it; 0 where it has ended."""
    try:
        descriptor = os.open(f"{process}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=processes)
    except OSError:
        return 0
    try:
        return int(os.read(descriptor, 4_096).rpartition(b")")[2].split()[17])
    except OSError:
        return 0
    finally:
        os.close(descriptor)


def close_in(bounds: Bounds, in_use: int, keep: Sequence[int], *, pretend: bool) -> None:
    """The last walls: descriptors, limits, rights and the filter, with ``pretend`` as `filters.program` has it.

    Raises:
        OSError: The system refused one.
    """
    low = 3
    for descriptor in [*sorted(keep), 1 << 20]:
        os.closerange(low, descriptor)
        low = descriptor + 1
    limits = {
        resource.RLIMIT_AS: in_use + bounds.memory,
        resource.RLIMIT_CPU: int(bounds.seconds) + 1,
        resource.RLIMIT_FSIZE: bounds.disk,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for which, wanted in limits.items():
        most = resource.getrlimit(which)[1]
        limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(which, (limit, limit))
    for right in range(64):  # what root, or a program with rights of its own, could still have
        _LIBC.prctl(24, *map(ctypes.c_ulong, (right, 0, 0, 0)))
    header, none = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0] * 6)
    _checked(_LIBC.syscall(_CAPSET[os.uname().machine], header, none), "capset")
    filters.install(filters.program(pretend=pretend))


def leaks(outside: str, others: Sequence[int], keep: Sequence[int]) -> list[str]:
    """What this process can still do and must not; it is asked of the system itself.

    Args:
        outside: A folder out of reach, which holds a file ``canary``.
        others: Processes that must not be signalled.
        keep: The descriptors that are expected.
    """
    canary = f"{outside}/canary"
    tried: dict[str, Callable[[], object]] = {
        "read a file elsewhere": lambda: Path(canary).read_text(encoding="ascii"),
        "write a file elsewhere": lambda: os.open(f"{outside}/made", os.O_CREAT | os.O_WRONLY),
        "cut a file elsewhere": lambda: os.truncate(canary, 0),
        "read what the system says of processes": lambda: Path("/proc/self/environ").read_bytes(),
        "make a socket of the machine": lambda: socket.socket(socket.AF_UNIX),
        "connect": lambda: _refused(_connect),
        "start a process": _forks,
        "run a program": lambda: _refused(lambda: os.execv("/there/is/none", ["none"])),  # noqa: S606
        "unshare": lambda: _called(_LIBC.unshare(_NEW_USER)),
        "mount": lambda: _called(_LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
        "trace": lambda: _called(_LIBC.ptrace(0, 0, 0, 0)),
        "read memory of processes": lambda: _refused(lambda: _called(_LIBC.process_vm_readv(1, None, 0, None, 0, 0))),
        "share memory": lambda: _refused(lambda: _called(_LIBC.shmget(0x7273716C, 0, 0))),
        "join a group": lambda: _refused(_join),
        "enter spaces of others": lambda: _refused(lambda: _called(_LIBC.setns(-1, 0))),
        "use keys": lambda: _refused(
            lambda: _called(_LIBC.syscall(_ADD_KEY[os.uname().machine], None, None, None, 0, 0))
        ),
        "make a file of memory": lambda: os.memfd_create("x") if hasattr(os, "memfd_create") else _called(-1),
        "make a ring": lambda: _refused(lambda: _called(_LIBC.syscall(425, 1, None))),
        **{f"signal process {each}": lambda each=each: os.kill(each, 0) for each in others if each != os.getpid()},  # type: ignore[misc]
    }
    for what, work in tried.items():
        try:
            work()
        except OSError:
            continue
        return [what]
    return [f"use descriptor {each}" for each in range(3, 256) if each not in keep and _is_open(each)]


def _called(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


# To fail is not enough: what is let through and finds nobody fails as well.
def _refused(work: Callable[[], object]) -> None:
    try:
        work()
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EACCES, errno.ENOSYS}:
            raise


def _connect() -> None:
    with socket.socket() as tried:
        tried.connect(("127.0.0.1", 9))


def _join() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as tried:
        tried.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, bytes(8))


def _use_keys() -> None:
    _called(_LIBC.syscall(_ADD_KEY[os.uname().machine], None, None, None, 0, 0))


def _forks() -> None:
    if os.fork() == 0:
        os._exit(0)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
