"""Cells that try to get out of the cage, each with an effect that is seen from outside or that it has to show."""

# Names in braces: `out`, a folder out of reach with the files `keep` and `secret`; `port`, `path` and `abstract`, where
# somebody listens; `victim`, a process of the same user; `watcher`, the process that started the cell. A cell prints
# REACHED for what leaves no trace elsewhere, and SECRET is the text of the file that it must not read.

_LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"

ESCAPES = {
    # Files.
    "write": "open('{out}/hit', 'w').close()",
    "append": "open('{out}/keep', 'a').write('x')",
    "truncate": "import os; os.truncate('{out}/keep', 0)",
    "remove": "import os; os.remove('{out}/keep')",
    "rename": "import os; os.rename('{out}/keep', '{out}/hit')",
    "replace by a file of its own": "import os\nopen('mine', 'w').close()\nos.replace('mine', '{out}/keep')",
    "make a folder": "import os; os.mkdir('{out}/hit')",
    "remove the folder": "import shutil; shutil.rmtree('{out}')",
    "symbolic link": "import os\nos.symlink('{out}/hit', 'link')\nopen('link', 'w').close()",
    "symbolic link to a folder": "import os\nos.symlink('{out}', 'way')\nopen('way/hit', 'w').close()",
    "symbolic link elsewhere": "import os; os.symlink('/etc/hosts', '{out}/hit')",
    "hard link": "import os\nos.link('{out}/keep', 'mine')\nopen('mine', 'a').write('x')",
    "hard link elsewhere": "import os\nopen('mine', 'w').close()\nos.link('mine', '{out}/hit')",
    "up and out": "import os\nos.chdir('/')\nopen('.{out}/hit', 'w').close()",
    "by a descriptor of a folder": "import os\nat = os.open('{out}', os.O_RDONLY)\nos.mkdir('hit', dir_fd=at)",
    "by the root of a descriptor": "import os\nat = os.open('/', os.O_PATH)\nos.mkdir('.{out}/hit', dir_fd=at)",
    "mapped": "import mmap\nwith open('{out}/keep', 'r+b') as f:\n    mmap.mmap(f.fileno(), 0)[0:1] = b'x'",
    "by a system call": _LIBC + "libc.open(b'{out}/hit', os.O_CREAT | os.O_WRONLY, 0o600)",
    "by C's own files": _LIBC + "libc.fopen(b'{out}/hit', b'w')",
    "rights": "import os; os.chmod('{out}/keep', 0o777)",
    "times": "import os; os.utime('{out}/keep', (1, 1))",
    "a special file": "import os; os.mkfifo('{out}/hit')",
    "from a frame": "import pandas as pd; pd.DataFrame({{'a': [1]}}).to_csv('{out}/hit')",
    "once it is collected": (
        "class Late:\n    def __del__(self, path='{out}/hit', open=open):\n"
        "        open(path, 'w').close()\nlate = Late()"
    ),
    "once Python ends": "import atexit; atexit.register(lambda: open('{out}/hit', 'w').close())",
    "in a thread": (
        "import threading\ndef go():\n    open('{out}/hit', 'w').close()\n"
        "t = threading.Thread(target=go); t.start(); t.join()"
    ),
    # Reading.
    "read": "print(open('{out}/secret').read())",
    "read through a link": "import os\nos.symlink('{out}/secret', 'look')\nprint(open('look').read())",
    "read attributes": "import os; print(os.getxattr('{out}/keep', 'user.note').decode())",
    "list attributes": "import os; print('REACHED' if 'user.note' in os.listxattr('{out}/keep') else '')",
    "list": "import os; print('REACHED' if 'secret' in os.listdir('{out}') else '')",
    "the environment of a process": "print(open('/proc/{victim}/environ').read())",
    "the environment of its own": "import os; print(os.environ['TOKEN'])",
    "the environment in memory": (
        _LIBC + "libc.getenv.restype = ctypes.c_char_p\nprint(libc.getenv(b'TOKEN').decode())"
    ),
    "the root of a process": "print(open('/proc/{watcher}/root{out}/secret').read())",
    "the folder of a process": "import os; print('REACHED' if os.readlink('/proc/{watcher}/cwd') else '')",
    "processes": "import os; print('REACHED' if '{watcher}' in os.listdir('/proc') else '')",
    # Sockets.
    "connect": "import socket; socket.create_connection(('127.0.0.1', {port}))",
    "connect by name": "import urllib.request; urllib.request.urlopen('http://localhost:{port}', timeout=1)",
    "connect without Python": (
        _LIBC + "import socket, struct\nmade = libc.socket(2, 1, 0)\n"
        "to = struct.pack('=HH4s8x', 2, socket.htons({port}), bytes([127, 0, 0, 1]))\nlibc.connect(made, to, 16)"
    ),
    "fast open": ("import socket\ns = socket.socket()\ns.sendto(b'x', socket.MSG_FASTOPEN, ('127.0.0.1', {port}))"),
    "datagram": "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.sendto(b'x', ('127.0.0.1', {datagrams}))",
    "datagram as a message": (
        "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\ns.sendmsg([b'x'], [], 0, ('127.0.0.1', {datagrams}))"
    ),
    "socket of the machine": "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('{path}')",
    "abstract socket": "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0{abstract}')",
    "from a pair": "import socket\na, b = socket.socketpair(type=socket.SOCK_DGRAM)\na.sendto(b'x', '{datagram_path}')",
    "listen": "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\nprint('REACHED')",
    "netlink": "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\nprint('REACHED')",
    "join a group": (
        "import socket\ns = socket.socket(type=socket.SOCK_DGRAM)\nto = socket.inet_aton('239.1.2.3')\n"
        "s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, to + socket.inet_aton('127.0.0.1'))\n"
        "print('REACHED')"
    ),
    # Processes.
    "a program": "import subprocess; subprocess.run(['touch', '{out}/hit'])",
    "a shell": "import os; os.system('touch {out}/hit')",
    "exec": "import os; os.execv('/usr/bin/touch', ['touch', '{out}/hit'])",
    "fork": "import os\nif os.fork() == 0:\n    open('{out}/hit', 'w').close()\n    os._exit(0)\nos.wait()",
    "many forks": "import os\nfor _ in range(20):\n    if os.fork() == 0:\n        os._exit(0)\nprint('REACHED')",
    "vfork": (
        _LIBC + "made = libc.syscall(56, 0x11, 0, 0, 0, 0)\nif made == 0:\n    os._exit(0)\n"
        "print('REACHED' if made > 0 else '')"
    ),
    "a program in memory": (
        "import os\nat = os.memfd_create('x')\nos.write(at, open('/usr/bin/touch', 'rb').read())\n"
        "os.execve(at, ['touch', '{out}/hit'], {{}})"
    ),
    "signal": "import os; os.kill({victim}, 9)",
    "signal to a thread": _LIBC + "libc.syscall(234, {victim}, {victim}, 9)",
    "signal by a descriptor": "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open({victim}), 9)",
    "signal by an owner": (
        "import fcntl, os, signal, socket\na, b = socket.socketpair()\nfcntl.fcntl(a, fcntl.F_SETOWN, {victim})\n"
        "fcntl.fcntl(a, 10, 9)\nfcntl.fcntl(a, fcntl.F_SETFL, fcntl.fcntl(a, fcntl.F_GETFL) | os.O_ASYNC)\nb.send(b'x')"
    ),
    "ptrace": _LIBC + "print('REACHED' if libc.ptrace(16, {victim}, 0, 0) == 0 else '')",
    "memory of a process": (
        "at = int(next(line for line in open('/proc/{victim}/maps') if ' r' in line).split('-')[0], 16)\n"
        "with open('/proc/{victim}/mem', 'rb') as f:\n    f.seek(at)\n    print('REACHED' if f.read(1) else '')"
    ),
    "descriptors of a process": (
        _LIBC + "at = libc.syscall(434, {victim}, 0)\nprint('REACHED' if libc.syscall(438, at, 0, 0) >= 0 else '')"
    ),
    "priority of a process": "import os\nos.setpriority(os.PRIO_PROCESS, {victim}, 5)\nprint('REACHED')",
    "processors of a process": "import os\nos.sched_setaffinity({victim}, os.sched_getaffinity(0))\nprint('REACHED')",
    "limits of a process": (
        "import resource\nresource.prlimit({victim}, resource.RLIMIT_CORE, (0, 0))\nprint('REACHED')"
    ),
    "calls of 32 bits": (  # for the number of a process, by a way that a filter may not have
        "import ctypes, mmap, os\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(bytes.fromhex('b814000000cd80c3'))\n"
        "at = ctypes.addressof(ctypes.c_char.from_buffer(m))\n"
        "print('REACHED' if ctypes.CFUNCTYPE(ctypes.c_int)(at)() == os.getpid() else '')"
    ),
    # The system.
    "unshare": _LIBC + "print('REACHED' if libc.unshare(0x10000000) == 0 else '')",
    "mount": (
        _LIBC
        + "libc.unshare(0x10020000)\nprint('REACHED' if libc.mount(b'x', b'/tmp', b'tmpfs', 0, None) == 0 else '')"
    ),
    "root": _LIBC + "libc.unshare(0x10000000)\nprint('REACHED' if libc.chroot(b'/') == 0 else '')",
    "spaces of a process": (
        _LIBC
        + "at = os.open('/proc/{watcher}/ns/ipc', os.O_RDONLY)\nprint('REACHED' if libc.setns(at, 0) == 0 else '')"
    ),
    "keyring": (
        _LIBC + "made = libc.syscall(248, b'user', b'rsql', b'x', 1, -2)\nprint('REACHED' if made > 0 else '')"
    ),
    "ring": (
        _LIBC + "made = libc.syscall(425, 1, ctypes.create_string_buffer(120))\nprint('REACHED' if made > 0 else '')"
    ),
    "performance counters": (
        _LIBC
        + "made = libc.syscall(298, ctypes.create_string_buffer(b'\\1' + b'\\0' * 3 + b'\\x70', 128), 0, -1, -1, 0)\n"
        "print('REACHED' if made > 0 else '')"
    ),
    "faults": _LIBC + "print('REACHED' if libc.syscall(323, 1) > 0 else '')",
    "memory of the machine": _LIBC + "print('REACHED' if libc.shmget(0, 4096, 0o1600) >= 0 else '')",
    "a queue of the machine": _LIBC + "print('REACHED' if libc.msgget(0, 0o1600) >= 0 else '')",
    "shared memory": (
        "from multiprocessing import shared_memory as s\nm = s.SharedMemory('{abstract}', True, 16)\nm.unlink()\n"
        "print('REACHED')"
    ),
    "much memory": "import mmap\nm = mmap.mmap(-1, 8 << 30)\nprint('REACHED')",
    "memory as a file": "import os\nat = os.memfd_create('x')\nos.write(at, b'x')\nprint('REACHED')",
    "much disk": (
        "import os\nwith open('large', 'wb') as f:\n    f.truncate(3 << 30)\nprint('REACHED')\nos.remove('large')"
    ),
    "many files": (
        "import threading\nfor at in range(11_000):\n    open(str(at), 'w').close()\n"
        "threading.Event().wait(1)\nprint('REACHED')"
    ),
    "many threads": (
        "import threading\nthreading.stack_size(1 << 16)\nend = threading.Event()\nfor _ in range(1_000):\n"
        "    threading.Thread(target=end.wait).start()\nend.wait(1)\nend.set()\nprint('REACHED')"
    ),
    "core": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))\nprint('REACHED')",
    "descriptors that were left open": (
        "import os\nfor at in range(3, 400):\n    try:\n        if 'out' in os.readlink(f'/proc/self/fd/{{at}}') or "
        "b'SECRET' in os.pread(at, 100, 0):\n            print('REACHED')\n    except OSError:\n        pass"
    ),
}

# The same of R's. What is not installed is left out of an escape's effect: each runs with base R, `curl` and `RSQLite`.
R_ESCAPES = {
    "write": "cat('x', file = '{out}/hit')",
    "append": "cat('x', file = '{out}/keep', append = TRUE)",
    "lines": "writeLines('x', '{out}/hit')",
    "table": "write.csv(data.frame(a = 1), '{out}/hit')",
    "object": "saveRDS(1, '{out}/hit')",
    "workspace": "x <- 1; save(x, file = '{out}/hit')",
    "image": "save.image('{out}/hit')",
    "dump": "f <- function() 1; dump('f', '{out}/hit')",
    "sink": "sink('{out}/hit'); print(1); sink()",
    "device": "pdf('{out}/hit'); plot(1); invisible(dev.off())",
    "connection": "k <- file('{out}/hit', 'wb'); writeBin(1L, k); close(k)",
    "compressed": "k <- gzfile('{out}/hit', 'w'); cat('x', file = k); close(k)",
    "fifo": "k <- fifo('{out}/hit', 'w+'); close(k)",
    "remove": "unlink('{out}/keep')",
    "remove the folder": "unlink('{out}', recursive = TRUE, force = TRUE)",
    "rename": "file.rename('{out}/keep', '{out}/hit')",
    "copy": "cat('x', file = 'mine'); file.copy('mine', '{out}/keep', overwrite = TRUE)",
    "make a folder": "dir.create('{out}/hit')",
    "symbolic link": "file.symlink('{out}/hit', 'link'); cat('x', file = 'link')",
    "hard link": "file.link('{out}/keep', 'mine'); cat('x', file = 'mine', append = TRUE)",
    "rights": "Sys.chmod('{out}/keep', '777', use_umask = FALSE)",
    "times": "Sys.setFileTime('{out}/keep', as.POSIXct('2001-01-01'))",
    "up and out": "setwd('/'); cat('x', file = paste0('.', '{out}', '/hit'))",
    "internal": ".Internal(file.create('{out}/hit', TRUE))",
    "by a text": "eval(parse(text = \"cat('x', file = '{out}/hit')\"))",
    "once it is collected": "reg.finalizer(new.env(), function(e) cat('x', file = '{out}/hit')); invisible(gc())",
    "once R ends": "reg.finalizer(new.env(), function(e) cat('x', file = '{out}/hit'), onexit = TRUE); quit('no')",
    "a package of C": "invisible(DBI::dbConnect(RSQLite::SQLite(), '{out}/hit'))",
    "read": "cat(readLines('{out}/secret', warn = FALSE))",
    "environment": "cat(Sys.getenv('TOKEN'))",
    "environment of a process": "b <- readBin('/proc/{victim}/environ', 'raw', 1e5); cat(rawToChar(b[b > 0]))",
    "program": "system('touch {out}/hit')",
    "program with arguments": "system2('touch', '{out}/hit')",
    "program in a pipe": "k <- pipe('touch {out}/hit'); invisible(readLines(k)); close(k)",
    "program without a shell": "sys::exec_wait('touch', '{out}/hit')",
    "program by C": ".Internal(system('touch {out}/hit', 0L, 0L))",
    "a copy of itself": "parallel::mccollect(parallel::mcparallel(cat('x', file = '{out}/hit')))",
    "connect": "k <- socketConnection('127.0.0.1', {port}, open = 'w', timeout = 2); close(k)",
    "connect by C": "curl::curl_fetch_memory('http://127.0.0.1:{port}', curl::new_handle(timeout_ms = 500))",
    "connect to a path": (
        "curl::curl_fetch_memory('http://x/', curl::new_handle(unix_socket_path = '{path}', timeout_ms = 500))"
    ),
    "signal": "tools::pskill({victim}, 9)",
    "much memory": "x <- raw(3e9); cat('REACHED')",
    "descriptors that were left open": (
        "for (at in 3:60) try(if (any(grepl('SECRET', readLines(paste0('/dev/fd/', at), warn = FALSE)))) "
        "cat('REACHED'), silent = TRUE)"
    ),
}
