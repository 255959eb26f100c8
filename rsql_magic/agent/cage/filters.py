"""The system calls that a cell which is tried may make: a filter of the kernel's (seccomp) that allows a list."""

# All that is not listed is refused, so calls that future kernels add are refused too. There are no processes, programs,
# connections, signals to others, mounts, keys, rings or memory outside of the limits. One table for each processor; -1
# where it has no such call.

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AUDIT_ARCHES: Mapping[str, int] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS, _ENOTSUP = 1, 38, 95
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # classic BPF

# Each with its numbers on x86_64 and on aarch64.
_NUMBERS = """
    access:21:-1 alarm:37:-1 arch_prctl:158:-1 brk:12:214 chdir:80:49 chmod:90:-1 chown:92:-1 clock_getres:229:114
    clock_gettime:228:113 clock_nanosleep:230:115 clone:56:220 clone3:435:435 close:3:57 close_range:436:436
    copy_file_range:326:285 creat:85:-1 dup:32:23 dup2:33:-1 dup3:292:24 epoll_create:213:-1 epoll_create1:291:20
    epoll_ctl:233:21 epoll_pwait:281:22 epoll_wait:232:-1 eventfd:284:-1 eventfd2:290:19 exit:60:93
    exit_group:231:94 faccessat:269:48 faccessat2:439:439 fadvise64:221:223 fallocate:285:47 fchdir:81:50
    fchmod:91:52 fchmodat:268:53 fchmodat2:452:452 fchown:93:55 fchownat:260:54 fcntl:72:25 fdatasync:75:83
    fgetxattr:193:10 flistxattr:196:13 flock:73:32 fremovexattr:199:16 fsetxattr:190:7 fstat:5:80 fstatfs:138:44
    fsync:74:82 ftruncate:77:46 futex:202:98 futimesat:261:-1 get_robust_list:274:100 getcwd:79:17 getdents:78:-1
    getdents64:217:61 getegid:108:177 geteuid:107:175 getgid:104:176 getgroups:115:158 getitimer:36:102
    getpeername:52:205 getpgid:121:155 getpgrp:111:-1 getpid:39:172 getppid:110:173 getpriority:140:141
    getrandom:318:278 getresgid:120:150 getresuid:118:148 getrlimit:97:163 getrusage:98:165 getsid:124:156
    getsockname:51:204 getsockopt:55:209 gettid:186:178 gettimeofday:96:169 getuid:102:174 getxattr:191:8
    ioctl:16:29 kill:62:129 lchown:94:-1 lgetxattr:192:9 link:86:-1 linkat:265:37 listxattr:194:11 llistxattr:195:12
    lremovexattr:198:15 lseek:8:62 lsetxattr:189:6 lstat:6:-1 madvise:28:233 membarrier:324:283 mincore:27:232
    mkdir:83:-1 mkdirat:258:34 mlock:149:228 mmap:9:222 mprotect:10:226 mremap:25:216 msync:26:227 munlock:150:229
    munmap:11:215 nanosleep:35:101 newfstatat:262:79 open:2:-1 openat:257:56 pause:34:-1 pipe:22:-1 pipe2:293:59
    poll:7:-1 ppoll:271:73 prctl:157:167 pread64:17:67 preadv:295:69 preadv2:327:286 prlimit64:302:261
    pselect6:270:72 pwrite64:18:68 pwritev:296:70 pwritev2:328:287 read:0:63 readahead:187:213 readlink:89:-1
    readlinkat:267:78 readv:19:65 recvfrom:45:207 recvmsg:47:212 removexattr:197:14 rename:82:-1 renameat:264:38
    renameat2:316:276 restart_syscall:219:128 rmdir:84:-1 rseq:334:293 rt_sigaction:13:134 rt_sigpending:127:136
    rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigsuspend:130:133 rt_sigtimedwait:128:137
    sched_get_priority_max:146:125 sched_get_priority_min:147:126 sched_getaffinity:204:123 sched_getparam:143:121
    sched_getscheduler:145:120 sched_yield:24:124 select:23:-1 sendfile:40:71 sendto:44:206 set_robust_list:273:99
    set_tid_address:218:96 setitimer:38:103 setsockopt:54:208 setxattr:188:5 shutdown:48:210 sigaltstack:131:132
    socket:41:198 socketpair:53:199 stat:4:-1 statfs:137:43 statx:332:291 symlink:88:-1 symlinkat:266:36
    sync_file_range:277:84 sysinfo:99:179 tgkill:234:131 time:201:-1 timerfd_create:283:85 timerfd_gettime:287:87
    timerfd_settime:286:86 times:100:153 truncate:76:45 umask:95:166 uname:63:160 unlink:87:-1 unlinkat:263:35
    utime:132:-1 utimensat:280:88 utimes:235:-1 wait4:61:260 write:1:64 writev:20:66
"""
CALLS: Mapping[str, tuple[int, int]] = {
    name: (int(here), int(there)) for name, here, there in (call.split(":") for call in _NUMBERS.split())
}
# Calls that change what a file is, not what is in it. Landlock does not know them, so without a layer they are made to
# look as if they had been carried out.
ATTRIBUTES = frozenset(
    [
        "chmod",
        "fchmod",
        "chown",
        "fchown",
        "lchown",
        "utime",
        "utimes",
        "futimesat",
        "utimensat",
        "fchmodat",
        "fchownat",
        "fchmodat2",
    ]
)
# Extended attributes can be read of any path that is known, which Landlock does not know either.
_XATTRS = frozenset(name for name in CALLS if name.endswith("xattr"))
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)  # copies, flags, locks: no owner who is sent signals
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, its size, how much waits, flags
_PRCTL = (15, 16)  # a thread's name
_LEVELS = (1, 6)  # of options: the socket's and TCP's. Those of IP join groups, which sends packets.
_OWNER = 0o700
_THREAD, _NEW_SPACES = 0x00010000, 0x7E020000


def number(name: str) -> int:
    """The number of a listed system call on this processor, or -1."""
    return CALLS[name][list(AUDIT_ARCHES).index(platform.machine())]


def program(*, pretend: bool) -> bytes:
    """The filter for the process that calls this; ``pretend`` answers changes of attributes as if they were made."""
    lines = [_line(_LOAD, 4), _line(_EQUAL, AUDIT_ARCHES[platform.machine()], 1, 0), _line(_RETURN, _KILL)]
    lines += [_line(_LOAD, 0), _line(_AT_LEAST, 0x40000000, 0, 1), _line(_RETURN, _KILL)]  # numbers of 32 bits
    own = os.getpid()
    rules: dict[str, list[bytes]] = {
        # A thread of this process, and no process or space of its own.
        "clone": [_line(_LOAD, 16), _line(_AND, _THREAD | _NEW_SPACES), *_one_of([_THREAD])],
        "clone3": [_line(_RETURN, _ERRNO | _ENOSYS)],  # its flags are out of reach; libraries then take clone
        "kill": _argument(0, [own]),
        "tgkill": _argument(0, [own]),
        "prlimit64": _argument(0, [0, own]),
        "fcntl": _argument(1, _FCNTL),
        "ioctl": _argument(1, _IOCTL),
        "prctl": _argument(0, _PRCTL),
        "socketpair": _argument(0, [1]),
        "setsockopt": _argument(1, _LEVELS),
        # Made, so that a program says where it would have gone; connect, bind and listen are not listed.
        "socket": [
            *(_line(_LOAD, 16), _line(_EQUAL, 2, 1, 0), _line(_EQUAL, 10, 0, 4)),
            *(_line(_LOAD, 24), _line(_AND, 0xF), *_one_of([1, 2])),
        ],
        # Along a pair that is connected, and to no address.
        "sendto": [_line(_LOAD, 48), _line(_EQUAL, 0, 0, 2), _line(_LOAD, 52), *_one_of([0])],
        **{name: [_line(_RETURN, _ERRNO | _ENOTSUP)] for name in _XATTRS},
        **(_UNLAYERED if pretend else {}),
    }
    for name in CALLS:
        if (call := number(name)) >= 0:
            rule = rules.get(name, [_line(_RETURN, _ALLOW)])
            lines += [_line(_EQUAL, call, 0, len(rule)), *rule]
    return b"".join([*lines, _line(_RETURN, _ERRNO | _EPERM)])


def install(filtered: bytes) -> None:
    """Put the calling thread, which is the only one, under a filter for good.

    Raises:
        OSError: The kernel does not take it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(filtered, len(filtered))
    header = struct.pack("HxxxxxxP", len(filtered) // 8, ctypes.addressof(code))
    zero = ctypes.c_ulong(0)
    if libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) or libc.prctl(22, ctypes.c_ulong(2), header, zero, zero):
        raise OSError(ctypes.get_errno(), "seccomp")


def _line(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


# The low half of an argument, which is all that the kernel reads of these, is one of some values.
def _argument(place: int, values: Iterable[int]) -> list[bytes]:
    return [_line(_LOAD, 16 + 8 * place), *_one_of(values)]


def _one_of(values: Iterable[int]) -> list[bytes]:
    known = list(values)
    equal = [_line(_EQUAL, value, len(known) - place, 0) for place, value in enumerate(known)]
    return [*equal, _line(_RETURN, _ERRNO | _EPERM), _line(_RETURN, _ALLOW)]


# Without a layer, folders that whoever watches cannot look into would hide how much is written.
_UNLAYERED: Mapping[str, list[bytes]] = {
    **{name: [_line(_RETURN, _ERRNO)] for name in ATTRIBUTES},
    "mkdir": [_line(_LOAD, 24), _line(_AND, _OWNER), *_one_of([_OWNER])],
    "mkdirat": [_line(_LOAD, 32), _line(_AND, _OWNER), *_one_of([_OWNER])],
    "umask": [_line(_LOAD, 16), _line(_AND, _OWNER), *_one_of([0])],
}
