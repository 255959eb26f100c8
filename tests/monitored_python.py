"""The Python that `effects_monitor` watches: imports what cells use, then forks once for each group of cells."""

# Started under strace as `monitored_python.py PLAN RESULTS`. What happens before a cell's marker (an attempt to open a
# file that is not there) is not the cell's. Results are written to a file that was opened before the marker.

from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import gc
import io
import json
import linecache
import locale
import os
import re
import signal
import sys
import threading
import time
import traceback
import warnings
import weakref
from pathlib import Path
from types import ModuleType

dumps = json.dumps  # a cell may put another in its place
MARKER = "/rsql-effects-marker"
WATCHED = [
    "os",
    "io",
    "builtins",
    "subprocess",
    "shutil",
    "pathlib",
    "socket",
    "json",
    "pickle",
    "pandas",
    "numpy",
    "polars",
    "matplotlib.pyplot",
]
CLASSES = "pandas.DataFrame pandas.Series polars.DataFrame pathlib.Path IPython.core.interactiveshell.InteractiveShell"
ACTIVE_HTML = re.compile(r"(?i)<(?:script|iframe|object|embed|form|meta|base|link)\b|\son\w+\s*=|javascript:|srcdoc")
ACTIVE_TYPES = {"application/javascript", "application/vnd.jupyter.widget-view+json"}


def warm(modules):
    """Import what cells use, so that no cell pays for it; a module that is missing is missed by the cell itself."""
    for name in modules:
        with contextlib.suppress(Exception):
            __import__(name)


class Shell:
    """IPython without history, whose outputs are kept."""

    def __init__(self):
        from IPython.core.displayhook import CapturingDisplayHook
        from IPython.core.displaypub import CapturingDisplayPublisher
        from IPython.core.history import HistoryManager
        from IPython.core.interactiveshell import InteractiveShell

        HistoryManager.enabled = False
        self.shell = InteractiveShell.instance()
        self.shell.showtraceback = lambda *_, **__: None
        self.shell.showsyntaxerror = lambda *_, **__: None
        self.shell.showindentationerror = lambda *_, **__: None
        self.outputs = []
        self.shell.display_pub = CapturingDisplayPublisher(shell=self.shell, parent=self.shell)
        self.shell.displayhook = CapturingDisplayHook(shell=self.shell, outputs=self.outputs)
        self.shell.displayhook.is_active = False  # what IPython asks of its own hook when something is printed
        self.shell.display_trap.hook = self.shell.displayhook

    def run(self, code):
        """The error of a cell, or none, and the kinds of output that are active in a page."""
        result = self.shell.run_cell(code, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        shown = [each["data"] for each in (*self.outputs, *self.shell.display_pub.outputs)]
        active = [f"{kind}" for data in shown for kind, value in data.items() if is_active(kind, value)]
        return error and "".join(traceback.format_exception_only(error)).strip(), active


def is_active(kind, value):
    return kind in ACTIVE_TYPES or (kind in {"text/html", "image/svg+xml"} and bool(ACTIVE_HTML.search(str(value))))


def environment():
    """The environment as programs get it, beside what Python holds of it."""
    held = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    texts, place = [], 0
    while held[place]:
        texts.append(held[place])
        place += 1
    return sorted(texts), sorted(os.environ.items())


def functions():
    """Functions and classes of modules and classes that everything else uses."""
    places = {name: sys.modules[name] for name in WATCHED if isinstance(sys.modules.get(name), ModuleType)}
    for name in CLASSES.split():
        module, _, kind = name.rpartition(".")
        if module in sys.modules:
            places[name] = getattr(sys.modules[module], kind)
    return {
        (place, name): id(value)
        for place, held in places.items()
        for name, value in vars(held).items()
        if callable(value)
    }


def state(shell):
    """What a cell could leave behind in the process, each with a name."""
    return {
        "environment": environment(),
        "working folder": str(Path.cwd()),
        "sys.path": list(sys.path),
        "signal handlers": {number: str(signal.getsignal(number)) for number in range(1, 32)},
        "trace": (str(sys.gettrace()), str(sys.getprofile())),
        "hooks of sys": [id(each) for each in (sys.stdin, sys.displayhook, sys.excepthook, sys.unraisablehook)],
        "imports": [str(each) for each in (*sys.meta_path, *sys.path_hooks)],
        "builtins": sorted((name, id(value)) for name, value in vars(sys.modules["builtins"]).items() if name != "_"),
        "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled()),
        "locale": locale.setlocale(locale.LC_ALL),
        "callbacks": {name: len(each) for name, each in shell.events.callbacks.items()},
        "transformers": (len(shell.input_transformers_cleanup), len(shell.ast_transformers)),
        "magics": {kind: len(each) for kind, each in shell.magics_manager.magics.items()},
        "printers": [len(each.type_printers) for each in shell.display_formatter.formatters.values()],
    }


def changes(before, after):
    for name, was in before.items():
        if after[name] != was:
            kind = "environment" if name in {"environment", "working folder"} else "state"
            yield kind, name


def replaced(before):
    now = functions()
    return [f"{place}.{name}" for (place, name), was in before.items() if now.get((place, name), was) != was]


def foreign_modules(before, folder):
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None) or ""
        if name not in before and str(place).startswith(folder):
            yield name
    yield from (name for name, was in before.items() if id(sys.modules.get(name)) != was)


def of_duckdb(connection):
    queries = (
        "SELECT database_name, schema_name, table_name, sql FROM duckdb_tables() ORDER BY ALL",
        "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
        "SELECT function_name FROM duckdb_functions() WHERE NOT internal ORDER BY ALL",
        "SELECT database_name, path FROM duckdb_databases() ORDER BY ALL",
        "SELECT schema_name FROM duckdb_schemas() WHERE NOT internal ORDER BY ALL",
        "SELECT type_name FROM duckdb_types() WHERE NOT internal ORDER BY ALL",
        "SELECT name FROM duckdb_secrets() ORDER BY ALL",
        "SELECT sequence_name FROM duckdb_sequences() ORDER BY ALL",
        "SELECT extension_name FROM duckdb_extensions() WHERE loaded ORDER BY ALL",
        "SELECT name, value FROM duckdb_settings() ORDER BY ALL",
        "SELECT prepared_statements.name FROM duckdb_prepared_statements() prepared_statements ORDER BY ALL",
    )
    held = []
    for query in queries:
        with contextlib.suppress(Exception):
            held.append(connection.execute(query).fetchall())
    with contextlib.suppress(Exception):
        held.append(connection.execute("SELECT * FROM t ORDER BY ALL").fetchall())
    return held


GIVEN = {
    "pd": "import pandas as pd",
    "np": "import numpy as np",
    "pl": "import polars as pl",
    "df": "import pandas as pd\ndf = pd.DataFrame({'a': [1, 2, 2], 'b': [.5, 1.5, 2.5], 'c': ['x', 'y', 'y']})",
    "con": "import duckdb\ncon = duckdb.connect()\ncon.execute(\"CREATE TABLE t AS SELECT 1 AS a, 'x' AS b\")",
    "sqlite": "import sqlite3\nsqlite = sqlite3.connect('HITSQL')",
    "engine": "import sqlalchemy\nengine = sqlalchemy.create_engine('sqlite:///HITSQL')",
}
"""Names that cells may use without making them, and the code that makes them."""


def run_group(group, shell, results):
    """Run the cells of a group in this process, which ends afterwards. Each line of ``results`` is what one left."""
    os.setsid()
    sys.dont_write_bytecode = True
    os.chdir(group["folder"])
    folder = str(Path.cwd())
    sys.path.insert(0, "")
    for name in group.get("given", ()):
        exec(GIVEN[name], shell.shell.user_ns)
    connection = shell.shell.user_ns.get("con")
    for cell in group["cells"]:
        shell.outputs.clear()
        shell.shell.display_pub.outputs.clear()
        rows = of_duckdb(connection) if connection is not None else None
        modules = {name: id(module) for name, module in sys.modules.items() if module is not None}
        before, whole = state(shell.shell), functions()
        threads = set(threading.enumerate())
        with contextlib.suppress(OSError):
            os.open(f"{MARKER}/{cell['id']}", os.O_RDONLY)
        stdout, stderr = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = spoken = io.StringIO()
        kept = dict(vars(builtins))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                error, active = shell.run(cell["code"])
            except BaseException as failure:  # IPython itself, on what the cell made of builtins
                error, active = repr(failure), []
        left = {name: value for name, value in kept.items() if vars(builtins).get(name) is not value and name != "_"}
        vars(builtins).update(kept)  # what is counted below is counted with them
        seen = [("state", "sys.stdout")] if sys.stdout is not spoken or sys.stderr is not spoken else []
        sys.stdout, sys.stderr = stdout, stderr
        seen += [("page", each) for each in active]
        seen += [("state", f"builtins.{name}") for name in left]
        seen += changes(before, state(shell.shell))
        seen += [("state", name) for name in replaced(whole)]
        seen += [("state", f"module {name}") for name in foreign_modules(modules, folder)]
        seen += [("state", f"thread {each.name}") for each in set(threading.enumerate()) - threads if each.is_alive()]
        if connection is not None and of_duckdb(connection) != rows:
            seen.append(("database", "the session's connection"))
        if "duckdb" in cell["code"]:
            seen += of_default_connection()
        results.write(dumps({"id": cell["id"], "error": error, "seen": seen}) + "\n")
        results.flush()
        os.chdir(folder)
    end(shell.shell, results)


def of_default_connection():
    import duckdb

    held = of_duckdb(duckdb.default_connection())
    return [("database", "duckdb's own connection")] if held != of_duckdb(duckdb.connect()) else []


def end(shell, results):
    """What a cell left to happen later happens now: finalizers, what was registered for the end of the process."""
    # Objects first, while what their `__del__` needs of the cell's functions and modules is still there.
    for name, value in list(shell.user_ns.items()):
        if not (name.startswith("_") or callable(value) or isinstance(value, type(sys))):
            del shell.user_ns[name]
    value = None
    gc.collect()
    shell.user_ns.clear()
    sys.last_value = sys.last_exc = None
    linecache.clearcache()
    gc.collect()
    with contextlib.suppress(BaseException):
        weakref.finalize._exitfunc()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    results.close()


def main(plan_file, results_folder):
    plan = json.loads(Path(plan_file).read_text())
    warm(plan["modules"])
    shell = Shell()
    if plots := sys.modules.get("matplotlib.pyplot"):
        plots.install_repl_displayhook()  # as a notebook has it from its first plot on
    # What the imports above left for the end of the process is not the cells'.
    atexit._clear()
    weakref.finalize._registry.clear()
    gc.collect()
    gc.freeze()
    for number, group in enumerate(plan["groups"]):
        if not (child := os.fork()):
            status = 1
            try:
                with (Path(results_folder) / str(number)).open("w") as results:
                    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
                    run_group(group, shell, results)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        wait(child, plan["seconds"] * len(group["cells"]))


def wait(child, seconds):
    """Wait for a child, and end it with all of its own when it takes too long."""
    until = time.monotonic() + seconds
    pause = 0.001
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > until:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
