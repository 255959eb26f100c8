"""A cell in its cage: it is given what was carried over, runs, and what came of it is told."""

# This runs in the process that the walls are around. What it tells is the cell's own word, which the cell can change:
# it is shown as text, and what files became is not asked here.

from __future__ import annotations

import ast
import asyncio
import builtins
import gc
import importlib
import inspect
import io
import json
import os
import pickle
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from rsql_magic.agent.cage.r_cells import RGiven, run_r_cell

MOST_TEXT = 20_000  # characters of output, of a result
_MOST_WANTED = 50
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROGRAMS = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn"}
)
_ADDRESSES = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"})
_FILES = frozenset(
    [
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.mkdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.chown",
        "os.truncate",
        "os.utime",
    ]
)


class NotCarriedOver(RuntimeError):
    """The cell used something that is not there in a trial."""


class _Missing:
    """In place of what could not be carried over; using it says so."""

    def __init__(self, name: str, why: str) -> None:
        object.__setattr__(self, "_said", f"{name} is not there in a trial: {why}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        raise NotCarriedOver(object.__getattribute__(self, "_said"))

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise NotCarriedOver(object.__getattribute__(self, "_said"))

    __setattr__ = __delattr__ = __call__ = __iter__ = __len__ = __getitem__ = __setitem__ = __contains__ = _refuse
    __enter__ = __exit__ = __bool__ = __add__ = __radd__ = __mul__ = __eq__ = __lt__ = __gt__ = __repr__ = _refuse
    __hash__ = object.__hash__


class _Text(io.TextIOBase):
    """What is printed, as far as it is shown."""

    def __init__(self) -> None:
        self.text, self.is_cut = "", False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        room = MOST_TEXT - len(self.text)
        self.text, self.is_cut = self.text + text[:room], self.is_cut or len(text) > room
        return len(text)


def tell(descriptor: int, said: dict[str, Any]) -> None:
    """Write what is told, all of it."""
    rest = memoryview(json.dumps(said).encode())
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_all(descriptor: int) -> bytes:
    """Everything up to the end."""
    pieces = []
    while piece := os.read(descriptor, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def run_cell(given: bytes, reply: int, home: str) -> None:
    """Run the cell of a request, and tell what came of it on a descriptor."""
    request = pickle.loads(given)  # noqa: S301 - made by the kernel of values of known types, and loaded in the cage
    namespace, missing = _namespace(request)
    if request["r"]:
        os.environ.update(HOME=home, TMPDIR=home)
        cell = RGiven(**request["r"])
        inputs = {to: namespace[name] for name, to in cell.inputs if name in request["values"]}
        tell(reply, run_r_cell(cell, inputs, missing, home))
        return
    output, wanted = _Text(), list[tuple[str, str]]()
    sys.stdout = sys.stderr = output
    sys.stdin = io.StringIO()
    sys.path.insert(0, os.getcwd())
    os.environ.update(HOME=home, TMPDIR=home, MPLBACKEND="Agg")
    sys.addaudithook(lambda event, arguments: _note(wanted, event, arguments))
    namespace["display"] = lambda *values, **_: output.write("".join(f"{value}\n" for value in values))
    said: dict[str, Any] = {"result": "", "error": None}
    try:
        value = _run(request["source"], namespace)
        said["result"] = "" if value is None else repr(value)[:MOST_TEXT]
    except BaseException as error:  # noqa: BLE001 - a cell may end in any way
        said["error"] = _told(error)
    value = None
    _finish(namespace)
    said.update(
        output=output.text,
        is_cut=output.is_cut,
        wanted=list(dict.fromkeys(wanted))[:_MOST_WANTED],
        missing=missing,
    )
    tell(reply, said)


def _told(error: BaseException) -> dict[str, str]:
    try:
        lines = traceback.extract_tb(error.__traceback__)
        line = next((each.lineno for each in reversed(lines) if each.filename == "<cell>"), 0)
        return {"name": type(error).__name__, "value": str(error)[:4_000], "line": str(line or "")}
    except BaseException:  # noqa: BLE001 - an error's own text may raise
        return {"name": "Error", "value": "", "line": ""}


def _run(source: str, namespace: dict[str, Any]) -> Any:
    tree = ast.parse(source, "<cell>")
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        return _evaluate(tree, "exec", namespace)
    del tree.body[-1]
    _evaluate(tree, "exec", namespace)
    shown = _evaluate(ast.Expression(last.value), "eval", namespace)
    return None if source.rstrip().endswith(";") else shown


# With `await` where a notebook allows it.
def _evaluate(tree: ast.Module | ast.Expression, mode: str, namespace: dict[str, Any]) -> Any:
    code = compile(tree, "<cell>", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(code, namespace)  # noqa: S307 - what the cage is for
    return asyncio.run(value) if code.co_flags & inspect.CO_COROUTINE else value


# What a cell leaves to be done once it has ended is done now, so that it is seen.
def _finish(namespace: dict[str, Any]) -> None:
    try:
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join(1.0)
        namespace.clear()
        gc.collect()
    except BaseException:  # noqa: BLE001, S110 - what the cell left may raise anything
        pass


def _namespace(request: dict[str, Any]) -> tuple[dict[str, Any], list[list[str]]]:
    missing: list[list[str]] = [list(each) for each in request["missing"]]
    namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    for name, pickled in request["values"].items():
        namespace[name] = pickle.loads(pickled)  # noqa: S301 - as above
    for name, (module, path) in request["imports"].items():
        try:
            found: Any = importlib.import_module(module)
            for part in filter(None, path.split(".")):
                found = getattr(found, part)
            namespace[name] = found
        except Exception as error:  # noqa: BLE001 - a module may raise anything when it is loaded
            missing.append([name, f"{module} cannot be imported there ({type(error).__name__})"])
    for name, why in missing:
        namespace[name] = _Missing(name, why)
    for name, source in request["functions"].items():
        try:
            exec(compile(source, f"<{name}>", "exec"), namespace)  # noqa: S102
        except Exception as error:  # noqa: BLE001
            missing.append([name, f"its source does not run by itself ({type(error).__name__})"])
    return namespace, missing


# What Python announces of what a cell would do outside. It is for the report: the walls do not need it.
def _note(wanted: list[tuple[str, str]], event: str, arguments: tuple[Any, ...]) -> None:
    if len(wanted) > 10 * _MOST_WANTED:
        return
    if event in _PROGRAMS:
        given = arguments[1] if event == "subprocess.Popen" else arguments[0] if arguments else ""
        words = " ".join(map(_plain, given)) if isinstance(given, list | tuple) else _plain(given)
        wanted.append(("program", words[:200]))
    elif event in _ADDRESSES:
        address = next((each for each in arguments if isinstance(each, tuple | str | bytes)), "")
        more = arguments[1:2] if event == "socket.getaddrinfo" else ()
        parts = [*(address if isinstance(address, tuple) else [address]), *more]
        wanted.append(("address", ":".join(_plain(part) for part in parts[:2] if part is not None)[:200]))
    elif event in _FILES or (event == "open" and _writes(arguments)):
        path = _plain(arguments[0])
        if not path.endswith(".pyc") and "__pycache__" not in path:
            wanted.append(("file", path[:200]))


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if type(value) is int else str(Path(value)) if isinstance(value, Path) else ""


def _writes(arguments: tuple[Any, ...]) -> bool:
    path, mode, flags = (*arguments, None, None, None)[:3]
    if not isinstance(path, str | bytes) or path in {os.devnull, os.devnull.encode()}:
        return False
    return bool(isinstance(mode, str) and set(mode) & set("wax+")) or bool(isinstance(flags, int) and flags & _WRITING)
