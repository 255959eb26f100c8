"""What cells of Python and R really do, as the operating system sees it: run in a throw-away folder under strace.

Example:
    >>> [seen] = watch(["open('made', 'w').close()"])
    >>> seen.kinds
    {'files'}
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HERE = Path(__file__).parent
MARKER = "/rsql-effects-marker"
MODULES = {
    "python": (
        [
            "IPython",
            "pandas",
            "numpy",
            "polars",
            "matplotlib.pyplot",
            "seaborn",
            "altair",
            "sklearn.linear_model",
            "sklearn.ensemble",
            "sklearn.preprocessing",
            "sklearn.model_selection",
            "sklearn.cluster",
            "sklearn.decomposition",
            "statsmodels.api",
            "statsmodels.formula.api",
            "scipy.stats",
            "duckdb",
            "sqlalchemy",
            "pyarrow.parquet",
            "sqlite3",
        ]
    ),
    "r": [
        "dplyr",
        "tidyr",
        "ggplot2",
        "mgcv",
        "lubridate",
        "data.table",
        "DBI",
        "RSQLite",
        "splines",
        "stats4",
        "compiler",
    ],
}
_FILES = [
    "open",
    "openat",
    "openat2",
    "creat",
    "unlink",
    "unlinkat",
    "rmdir",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "truncate",
    "ftruncate",
    "utime",
    "utimes",
    "utimensat",
    "futimesat",
    "setxattr",
    "lsetxattr",
    "fsetxattr",
    "removexattr",
    "lremovexattr",
    "mount",
    "umount2",
]
_PROCESSES = ["fork", "vfork", "clone", "clone3", "execve", "execveat", "kill", "tkill", "ptrace"]
_SOCKETS = ["connect", "bind", "sendto", "sendmsg"]
_STATE = ["umask", "setrlimit", "prlimit64", "setpriority", "chroot", "sethostname"]
# What opens for writing without an effect: terminals, what processes say of themselves, memory.
_NOWHERE = re.compile(r"/dev/(?:null|tty|pts/.*|full|zero|u?random)\Z|/proc/|/memfd:|/?anon_|pipe:|socket:")
_OURS = ("PYTEST", "COV_", "PYTHONDONTWRITE")
_LINE = re.compile(r"(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))\Z", re.DOTALL)
_RESULT = re.compile(r"\) += (-?\d+|\?)(?:<(.*?)>)?(?: ([A-Z]+) \(.*\))?\Z", re.DOTALL)
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass
class Seen:
    """What one cell did: pairs of a kind and what it was done to, and the error that it ended with, if any."""

    code: str
    effects: list[tuple[str, str]] = field(default_factory=list)
    error: str | None = None
    ended: bool = False
    """Whether it was run at all and came to its end, or to an error of its own."""

    @property
    def kinds(self) -> set[str]:
        """The kinds of what it did: files, processes, network, environment, state, database, page,
        and unfinished where it did not come to its end."""
        return {kind for kind, _ in self.effects}


@dataclass
class Group:
    """Cells that share a process and a folder, one after the other; ``given`` names what stands there before."""

    cells: Sequence[str]
    given: Sequence[str] = ()


def planted(folder: Path) -> None:
    """Files and databases that a hostile cell may find beside it."""
    folder.mkdir(parents=True)
    for name in ("HITKEEP", "notes.txt"):
        (folder / name).write_text("keep\n")
    (folder / "data.csv").write_text("a,b,c\n1,0.5,x\n2,1.5,y\n2,2.5,y\n")
    (folder / "beside.py").write_text("value = 1\n")
    (folder / "HITSRC.R").write_text("x <- 1\n")
    (folder / "HITSWEAVE.Rnw").write_text(
        "\\documentclass{article}\n\\begin{document}\n<<>>=\nmean(1)\n@\n\\end{document}\n"
    )
    for name, table in (("HITSQL", "b"), ("HITDB", "t")):
        connection = sqlite3.connect(folder / name)
        connection.execute(f"CREATE TABLE {table} (a INTEGER)")
        connection.executemany(f"INSERT INTO {table} VALUES (?)", [(1,), (2,)])
        connection.commit()
        connection.close()
    import duckdb

    with duckdb.connect(str(folder / "HITDUCK")) as base:
        base.execute("CREATE TABLE t AS SELECT 1 AS a")


class Canary(ThreadingHTTPServer):
    """A server on this machine that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Noted)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Noted(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a\n1\n")

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815 - names of http.server

    def log_message(self, *_: Any) -> None:
        pass


def watch(
    cells: Iterable[str | Group],
    language: str = "python",
    *,
    modules: Sequence[str] | None = None,
    seconds: float = 20,
) -> list[Seen]:
    """What each cell did, in order; ``{{server}}`` in a cell is the address of a server that is there.

    Args:
        cells: Cells, each with a process of its own, or groups that share one.
        language: ``python`` or ``r``.
        modules: What is imported before the first cell, so that no cell waits for it; else what most cells use.
        seconds: How long a cell may take before it is ended.
    """
    groups = [each if isinstance(each, Group) else Group([each]) for each in cells]
    with tempfile.TemporaryDirectory(prefix="effects-") as root, Canary() as canary:
        seen = _watched(groups, language, modules or MODULES[language], Path(root).resolve(), canary.url, seconds)
        canary.shutdown()
    return seen


def _watched(  # noqa: PLR0917
    groups: list[Group], language: str, modules: Sequence[str], root: Path, server: str, seconds: float
) -> list[Seen]:
    template = root / "template"
    planted(template)
    before = _files(template)
    (root / "results").mkdir()
    (root / "home").mkdir()
    plan, seen, number = [], [], 0
    for place, group in enumerate(groups):
        folder = root / f"cells/{place}"
        shutil.copytree(template, folder)
        entries = []
        for code in group.cells:
            entries.append({"id": number, "code": code.replace("{{server}}", server)})
            seen.append(Seen(code))
            number += 1
        plan.append({"folder": str(folder), "cells": entries, "given": list(group.given)})
    (root / "plan.json").write_text(json.dumps({"groups": plan, "modules": list(modules), "seconds": seconds}))
    _run(language, root)
    for place, group in enumerate(plan):
        cells = [seen[entry["id"]] for entry in group["cells"]]
        _read_results(root / f"results/{place}", seen)
        if changed := _changed(before, _files(Path(group["folder"]))):
            for cell in cells:  # of a group nobody can tell which one it was
                cell.effects += changed
    folders = {entry["id"]: group["folder"] for group in plan for entry in group["cells"]}
    for cell, effect in _traced(root / "trace", folders):
        seen[cell].effects.append(effect)
    for cell in seen:
        if not cell.ended:  # what it would have done is not known, and what it left in the process was not looked at
            cell.effects.append(("unfinished", "its process ended before it did"))
        cell.effects = list(dict.fromkeys(cell.effects))
    return seen


def _run(language: str, root: Path) -> None:
    program = {
        "python": [sys.executable, str(HERE / "monitored_python.py")],
        # What asks for more memory than this gets an error, and is not ended with all that stand beside it.
        "r": ["sh", "-c", 'ulimit -v 4194304; exec "$@"', "sh", "Rscript", "--vanilla", str(HERE / "monitored.R")],
    }[language]
    trace = ",".join(f"?{call}" for call in (*_FILES, *_PROCESSES, *_SOCKETS, *_STATE))
    watcher = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "300", "-e", f"trace={trace}", "-e", "signal=none"]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
        "HOME": str(root / "home"),
        "MPLBACKEND": "agg",
        # What is kept between runs: compiled modules, and the list of fonts.
        "MPLCONFIGDIR": str(HERE.parent / "build/effects"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    done = subprocess.run(
        [*watcher, "-o", str(root / "trace"), *program, str(root / "plan.json"), str(root / "results")],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
    )
    if done.returncode:
        raise RuntimeError(f"The monitored {language} failed: {done.stderr[-2000:]}")


def _read_results(file: Path, seen: list[Seen]) -> None:
    for line in file.read_text().splitlines() if file.exists() else ():
        result = json.loads(line)
        cell = seen[result["id"]]
        cell.ended, cell.error = True, result.get("error") or None
        cell.effects += [(kind, what) for kind, what in result["seen"]]


def _files(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    """Each file below a folder with its mode and content."""
    held: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
        held[str(path.relative_to(folder))] = (stat.st_mode, content)
    return held


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    bases = {"HITSQL", "HITDB", "HITDUCK"}
    return [("database" if name in bases else "files", name) for name in sorted(changed)]


def _traced(trace: Path, folders: dict[int, str]) -> Iterator[tuple[int, tuple[str, str]]]:
    """What the trace shows, each with the cell whose process, or one that it started, did it."""
    lines = trace.read_text(errors="replace").splitlines()
    calls = list(_calls(lines))
    parents = {
        int(end[1]): pid
        for pid, call, rest in calls
        if call in _FORKS and (end := _RESULT.search(rest)) and end[1] > "0"
    }
    running: dict[int, int] = {}
    for pid, call, rest in calls:
        text = _TEXT.search(rest)
        if text and text[1].startswith(f"{MARKER}/"):
            running[pid] = int(text[1].rpartition("/")[2])
            continue
        root: int | None = pid
        while root is not None and root not in running:
            root = parents.get(root)
        if root is not None and (effect := _effect(call, rest, folders[running[root]])):
            yield running[root], effect


_FORKS = {"fork", "vfork", "clone", "clone3"}


def _calls(lines: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Process, call, and its arguments with the result; calls that others interrupted are put together."""
    begun: dict[str, str] = {}
    for line in lines:
        if not (match := _LINE.match(line)):
            continue
        pid, call, rest, resumed, end = match.groups()
        if resumed:
            yield int(pid), resumed, begun.pop(pid, "") + end
        elif rest.endswith("<unfinished ...>"):
            begun[pid] = rest.removesuffix("<unfinished ...>").rstrip()
            if call in {"execve", "execveat"}:  # the call of a process that it replaces may never be told to return
                yield int(pid), call, rest
        else:
            yield int(pid), call, rest


def _effect(call: str, rest: str, folder: str) -> tuple[str, str] | None:  # noqa: PLR0911
    end = _RESULT.search(rest)
    failed = bool(end and end[1].startswith("-"))
    path = next(iter(_TEXT.findall(rest)), "")
    if call in _SOCKETS:
        family = re.search(r"sa_family=AF_(\w+)", rest)
        if not family or family[1] in {"NETLINK", "UNSPEC"} or "/nscd/" in rest:
            return None
        return ("network", f"{call} {rest[:80]}")
    if call in _FORKS:
        return None if "CLONE_THREAD" in rest or failed else ("processes", call)
    if call in {"execve", "execveat"}:
        return None if failed else ("processes", path)
    if call in {"kill", "tkill", "ptrace"}:
        return ("processes", f"{call} {rest[:40]}")
    if call in _STATE:
        reads = call == "prlimit64" and re.search(r", \w+, NULL,", rest)
        return None if reads else ("state", call)
    if failed:
        return None
    return _file_effect(call, rest, (end and end[2]) or path, folder)


def _file_effect(call: str, rest: str, path: str, folder: str) -> tuple[str, str] | None:
    if call in {"open", "openat", "openat2", "creat"}:
        # Inside its own folder a file that is opened to write counts when it is changed: databases open so to read.
        writes = call == "creat" or re.search(r"O_(?:WRONLY|RDWR|CREAT|TRUNC|TMPFILE)\b", rest)
        if not writes or _NOWHERE.match(path) or path.startswith(f"{folder}/"):
            return None
        return ("files", path)
    if call.startswith("f") and call not in {"futimesat", "fchmodat", "fchownat"}:
        held = re.match(r"\d+<(.*?)>", rest)
        path = held[1] if held else path
    return None if _NOWHERE.match(path) else ("files", f"{call} {path}")
