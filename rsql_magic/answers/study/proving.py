"""Run the code that proves an answer, before anyone sees the question."""

# The code is a model's, so it runs where it can do nothing: Python and R in a child process without the environment,
# without files and variables of the notebook, in an empty folder, bounded in time and memory; only calls of plain
# computing are let through. SQL runs in an empty DuckDB that cannot reach files or the network.

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rsql_magic.answers.study.sheet import Code

# Most seconds that one program may run; loading pandas takes some.
SECONDS = 20.0
_MEMORY = 2 * 2**30  # bytes of address space
# Only modules that compute; those that also read files are bounded by the names of their methods, below.
_MODULES = frozenset(
    """
    math statistics random itertools collections functools datetime re json string operator decimal fractions
    numpy pandas polars
    """.split()
)
# What reaches beyond the program, or finds by a text what this list refuses by its name.
_REFUSED = frozenset(
    """
    open exec eval compile input breakpoint globals locals vars getattr setattr delattr memoryview __import__ help exit
    quit
    """.split()
)
# Methods of pandas, numpy and polars that read or write files, or reach further.
_FILES = (
    *("read_", "to_", "load", "save", "from_file", "fromfile", "tofile", "memmap", "genfromtxt", "scan_", "sink_"),
    "write_",
)
# Methods that begin like those and stay in memory.
_PLAIN = frozenset(
    """
    to_list tolist to_dict to_numpy to_string to_frame to_period to_timestamp to_datetime to_numeric to_timedelta
    to_pandas to_series
    """.split()
)
# Run by the program before its own first line: a `preexec_fn` is not safe in a process with threads, as a kernel is.
_BOUNDS = f"""
import sys
sys.dont_write_bytecode = True
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, ({int(SECONDS)}, {int(SECONDS)}))
    resource.setrlimit(resource.RLIMIT_AS, ({_MEMORY}, {_MEMORY}))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
except (ImportError, ValueError, OSError):
    pass  # Windows has no such bounds, and a container may have set narrower ones
"""


def disproved(code: Code) -> str:
    """Why a program does not prove its answer; empty when it does.

    Example:
        >>> from rsql_magic.answers.study.sheet import Code
        >>> disproved(Code("python", "import os", ""))
        'it imports os'
    """
    try:
        printed = {"python": _python, "r": _r, "sql": _sql}[code.language](code.source)
    except _NotRun as problem:
        return str(problem)
    if _bare(printed) == _bare(code.output):
        return ""
    return f"it prints {_short(printed)} and not {_short(code.output)}"


class _NotRun(Exception):
    """Why a program was not run to its end."""


def _bare(text: str) -> str:
    """A text without what does not matter: blanks at the ends of lines, R's ``[1]``, quotes around it."""
    lines = [line.strip().removeprefix("[1] ") for line in text.strip().splitlines()]
    return "\n".join(line.strip("'\"") for line in lines if line)


def _short(text: str) -> str:
    return repr(text.strip() if len(text.strip()) <= 80 else text.strip()[:79] + "…")


def _python(source: str) -> str:
    if why := _refusal(source):
        raise _NotRun(why)
    # -I: nothing from the working folder, the environment or the user's own packages is imported.
    return _run([sys.executable, "-I", "-c", f"{_BOUNDS}\n{_shown(source)}"], {})


def _shown(source: str) -> str:
    """The program, its last expression printed as in a notebook."""
    # A model writes for a notebook, where the last value shows.
    tree = ast.parse(source)
    last = tree.body[-1] if tree.body else None
    is_call = isinstance(last, ast.Expr) and isinstance(last.value, ast.Call)
    if not isinstance(last, ast.Expr) or (is_call and ast.unparse(last.value.func) == "print"):  # type: ignore[attr-defined]
        return source
    head = ast.unparse(ast.Module(tree.body[:-1], []))
    return f"{head}\n_last = {ast.unparse(last.value)}\nif _last is not None: print(_last)"


def _refusal(source: str) -> str:
    """What a program does beside computing; empty when it only computes."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as problem:
        return f"it does not parse: {getattr(problem, 'msg', problem)}"
    return next((why for node in ast.walk(tree) if (why := _node_refusal(node))), "")


def _node_refusal(node: ast.AST) -> str:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    modules += [node.module or "."] if isinstance(node, ast.ImportFrom) else []
    if refused := next((module for module in modules if module not in _MODULES), ""):
        return f"it imports {refused}"
    if isinstance(node, ast.Name) and (node.id in _REFUSED or node.id.startswith("__")):
        return f"it calls {node.id}"
    if isinstance(node, ast.Attribute):
        name = node.attr
        # What begins with an underscore is the way around any list: `().__class__.__base__.__subclasses__()`.
        acts = name in {"sys", "os", "io", "eval", "query"}  # the last two run a text as code in pandas
        if acts or name.startswith("_") or (name.startswith(_FILES) and name not in _PLAIN):
            return f"it calls {name}"
    return ""


def _r(source: str) -> str:
    if (program := shutil.which("Rscript")) is None:
        raise _NotRun("R is not installed here")
    runner = Path(__file__).with_name("run.R")
    return _run([program, "--vanilla", str(runner)], {"code.R": source})


def run_apart(
    command: Sequence[str], files: Mapping[str, str], *, seconds: float = SECONDS, reads: str = "", **environment: str
) -> str:
    r"""What a program prints, run in an empty folder and with nothing of our environment.

    The files, texts by name, are put into the folder before. Where the result is not what it prints, ``reads`` is the
    file to read. Beside a path, a home and a locale the program gets the variables of ``environment``.

    Raises:
        TimeoutError: It ran longer.
        RuntimeError: It failed, or wrote no such file; the last line that it printed about that.

    Example:
        >>> run_apart([sys.executable, "-c", "print(open('a.txt').read())"], {"a.txt": "1"})
        '1\n'
    """
    with tempfile.TemporaryDirectory(prefix="rsql-run-") as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(  # noqa: S603 - the point of this module; see above
                command,
                cwd=folder,
                env={"PATH": "/usr/bin:/bin", "HOME": folder, "LC_ALL": "C.UTF-8", **environment},
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it ran longer than {seconds:g} seconds") from None
        result = Path(folder, reads)
        if done.returncode or not result.exists():
            # R ends its account of an error with a line that says no more than that it ended.
            lines = [line for line in done.stderr.strip().splitlines() if line != "Execution halted"]
            raise RuntimeError(lines[-1] if lines else "no message")
        return result.read_text(encoding="utf-8") if reads else done.stdout


def _run(command: list[str], files: dict[str, str]) -> str:
    try:
        return run_apart(command, files)[:10_000]
    except TimeoutError as problem:
        raise _NotRun(str(problem)) from None
    except RuntimeError as problem:
        raise _NotRun(f"it failed: {str(problem)[:200]}") from None


def _sql(query: str) -> str:
    """What a query gives in an empty DuckDB, cell by cell."""
    import duckdb

    from rsql_magic.databases import open_engine
    from rsql_magic.errors import RsqlError

    # A database of its own in memory: nothing of the notebook's is in it.
    connection = duckdb.connect(config={"enable_external_access": "false"})
    try:
        frame = open_engine(connection).run(query, max_rows=100, timeout=SECONDS).df
    except RsqlError as problem:
        raise _NotRun(problem.message) from None
    finally:
        connection.close()
    return "\n".join(", ".join(map(str, row)) for row in frame.itertuples(index=False, name=None))
