"""What a proposed cell would do beyond computing: write files, install, run programs, use the network, write by SQL."""

# Nothing is run, and nothing is believed: a cell is harmless where each of its constructs is proven to be, and asks
# otherwise, so a false alarm costs a click and a miss costs a file. Python (`python_effects`) and R (`r_effects`) are
# held to lists over their trees, SQL to the guard, magics and ``!`` by what IPython makes of them.

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field, replace
from mmap import mmap
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.errors import QueryRejected
from rsql_magic.sql import check, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind = Literal["files", "install", "shell", "network", "sql", "unknown"]

SAYS: Mapping[Kind, str] = {
    "files": "writes or deletes files",
    "install": "installs packages",
    "shell": "runs programs",
    "network": "uses the network",
    "sql": "changes a database",
    "unknown": "does what cannot be told from its code",
}
_LONGEST = 60  # characters of code in a sentence
_RUNS_R = re.compile(r"(?:^|=)\s*%%?R\b|run_(?:line|cell)_magic", re.MULTILINE)
_R_CELL = re.compile(r"\s*%%R[ \t]*\n(.*)\Z", re.DOTALL)
_MAGIC = re.compile(r"\s*%%(\S+)([^\n]*)(?:\n(.*))?\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a cell would do; ``what`` is the piece of its code that does it.

    Example:
        >>> str(Effect("files", "df.to_csv"))
        'writes or deletes files: df.to_csv'
    """

    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{SAYS[self.kind]}: {one_line(self.what, _LONGEST)}"


@dataclass(frozen=True, slots=True)
class SessionName:
    """What a name of the session stands for: the module it comes from, and whether it is an object of a class there."""

    module: str  # dotted, with the name of a function or class: ``subprocess.run``
    is_object: bool = False


@dataclass(frozen=True)
class SessionNames:
    """What is known of the session that a cell would run in."""

    python: Mapping[str, SessionName] = field(default_factory=dict)
    r_packages: tuple[str, ...] = ()  # attached, with their versions
    r_functions: frozenset[str] = frozenset()  # the user's own
    r_objects: Mapping[str, str] = field(default_factory=dict)  # of each object in R's workspace what `r_state` tells
    r_before: str = ""  # code of R that runs before, and is followed (`is_followed`)
    r_version: str = ""  # of the R that runs
    r_installed: Mapping[str, str] | None = None  # versions of R's listed packages; None: not asked
    r_libraries: frozenset[str] | None = None  # all packages that R would find; None: not asked, or more may be by then
    dialect: str = "duckdb"  # of the connection in use


def names_of(namespace: Mapping[str, Any]) -> dict[str, SessionName]:
    """What the names of a namespace stand for; no object is asked anything.

    Example:
        >>> import json
        >>> names_of({"j": json, "x": 1})["j"], names_of({"x": 1})["x"]
        (SessionName(module='json', is_object=False), SessionName(module='builtins.int', is_object=True))
    """
    return {name: _held(value) for name, value in namespace.items()}


def _held(value: Any) -> SessionName:
    kind = type(value)
    if issubclass(kind, ModuleType):
        name = str(ModuleType.__getattribute__(value, "__name__"))
        return SessionName(name if sys.modules.get(name) is value else "__main__")
    if issubclass(kind, type) or kind.__name__ in {
        "function",
        "builtin_function_or_method",
        "_ArrayFunctionDispatcher",
    }:
        try:
            place, name = value.__module__, value.__name__
            known = vars(sys.modules[place]).get(name)
        except Exception:  # noqa: BLE001 - a metaclass of the user's may raise anything
            return SessionName("__main__")
        return SessionName(f"{place}.{name}" if known is value else "__main__")
    if _writes_through(value):
        return SessionName("__main__", is_object=True)
    place, name = str(type.__getattribute__(kind, "__module__")), kind.__name__
    known = vars(sys.modules[place]).get(name) if place in sys.modules else None
    # A class that only says that it is a package's is the notebook's own.
    return SessionName(f"{place if known is kind else '__main__'}.{name}", is_object=True)


# An array whose numbers lie in a file that is mapped to memory: to set one is to write the file.
def _writes_through(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    while numpy is not None and type(value) is numpy.ndarray:
        value = value.base
    return numpy is not None and isinstance(value, numpy.memmap | mmap)


def effects_of(source: str, names: SessionNames | None = None) -> tuple[Effect, ...]:
    r"""What a cell would do beyond computing, each kind and piece of code once.

    Args:
        source: The cell as it is typed, with its magics.
        names: What is known of the session; without it, names that the cell does not define are not known.

    Example:
        >>> [str(each) for each in effects_of("import os\nos.remove('a')")]
        ['does what cannot be told from its code: import os', 'writes or deletes files: os.remove']
        >>> effects_of("sum([1, 2])"), effects_of("%%R\nmean(1:3)")
        ((), ())
    """
    return tuple(dict.fromkeys(_of_cell(source, names or SessionNames())))


def left_by(source: str, names: SessionNames) -> SessionNames:
    """What is known of the session once a cell has run: names that it binds, with their types where they are proven.

    Example:
        >>> left_by("x = [1]", SessionNames()).python["x"]
        SessionName(module='builtins.list', is_object=True)
    """
    from rsql_magic.agent.effects.python import read_cell
    from rsql_magic.agent.effects.r import is_followed

    if (in_r := _R_CELL.match(source)) and is_followed(in_r[1], names):
        names = replace(names, r_libraries=None) if effects_of(source, names) else names
        return replace(names, r_before=f"{names.r_before}{in_r[1]}\n")
    if _RUNS_R.search(source):  # what it binds or loads in R is not followed
        names = replace(names, r_objects={}, r_packages=("that a cell before this one may load",), r_libraries=None)
    if magic := _MAGIC.match(source):
        name, line, body = magic[1], magic[2], magic[3] or ""
        left = left_by(body, names) if name in {"time", "capture"} else replace(names, r_libraries=None)
        unknown = dict.fromkeys(bound_by(name, line, body), SessionName("__main__"))
        return replace(left, python={**left.python, **unknown})
    found = read_cell(source, names)
    names = replace(names, r_libraries=None) if found.effects else names
    return replace(names, python={**names.python, **found.left()})


_WORD = re.compile(r"[^\W\d]\w*")
_TIMED = frozenset({"time", "timeit"})


def bound_by(name: str, line: str, body: str = "") -> set[str]:
    """Every name that a magic may bind in the session; what it would hold is not known.

    Example:
        >>> sorted(bound_by("R", "-o x,y")), bound_by("sql", "SELECT a FROM t")
        (['o', 'x', 'y'], set())
    """
    if name in _TIMED or (name in _QUIET_LINES and not body):
        return set()  # timed code is read as any other
    if name == "sql":
        before, is_bound, _ = f"{line}\n{body}".rpartition("<<")
        return set(_WORD.findall(before)) if is_bound or "--save" in line else set()
    if name == "R":
        return set(_WORD.findall(line)) if re.search(r"(?:^|\s)(?:-o|--o)", line) else set()
    return set(_WORD.findall(line)) | (set(_WORD.findall(body)) if name not in {"capture", "prun"} else set())


# What a cell magic makes of its body: the same language, another, a program's, or a file's.
_SAME = frozenset({"time", "timeit", "capture", "prun"})
_CELL_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(
        "bash sh script ! sx system cmd perl ruby pypy python python2 python3 pwsh powershell node julia".split(),
        "shell",
    ),
    **dict.fromkeys("writefile file".split(), "files"),
    **dict.fromkeys("ask sql_ai rsql".split(), "network"),  # they ask a model
}


# Prose and formulas without links, images, markup and commands of TeX that make such.
_PLAIN_PROSE = re.compile(
    r"(?:[^<>\[\]&\\:]|:(?!//)|\\(?!(?:href|url|html|style|class|css|require|include|input|def|let|new|unicode|[xu]\d))"
    r"[a-zA-Z]+|\\[\\,;!%$&{} ])*+"
)


def _of_cell(source: str, names: SessionNames) -> Iterable[Effect]:
    from rsql_magic.agent.effects.python import python_effects

    if (magic := _MAGIC.match(source)) is None:
        return python_effects(source, names)
    return of_cell_magic(magic[1], magic[2], magic[3] or "", names)


def of_cell_magic(name: str, line: str, body: str, names: SessionNames) -> Iterable[Effect]:
    """What ``%%name line`` over a body does."""
    from rsql_magic.agent.effects.r import r_effects

    if name in _SAME:
        measured = line if name in {"timeit", "prun"} else ""
        return [*_of_cell(measured, names), *_of_cell(body, names)]
    if name == "R" and not _R_OPTIONS.sub("", line).strip():
        return r_effects(body, names)
    if name == "sql" and (not line.strip() or line.strip() in names.python):
        return sql_effects(body, names.dialect)
    if name in {"latex", "markdown"} and not line.strip() and _PLAIN_PROSE.fullmatch(body):
        return []
    return [Effect(_CELL_KINDS.get(name, "unknown"), f"%%{name}{line}")]


# Options of %%R, which move values and set sizes; what is none of these is not known.
_R_OPTIONS = re.compile(
    r"""(?x)\s*(?:-[iocrwhn]\b|--(?:input|output|width|height|units|res|noreturn|type|pointsize|bg)\b)[ =]?\s*[\w,.#]*
    |\s*[\w.,]+"""
)
_QUIET_LINES = frozenset({"who", "whos", "who_ls", "pwd", "pprint", "lsmagic", "quickref", "xmode"})
_SETTING = re.compile(r"InlineBackend\.figure_formats?\s*=\s*(?:'\w+'|\"\w+\"|\[['\"]\w+['\"]\])")
_LINE_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys("pip conda mamba micromamba uv".split(), "install"),
    **dict.fromkeys("sx system sc ! bash sh cmd".split(), "shell"),
    **dict.fromkeys("save logstart notebook store writefile file rmdir mkdir rm mv cp bookmark edit".split(), "files"),
    **dict.fromkeys("ask sql_ai rsql".split(), "network"),
}
_EXTENSIONS = frozenset({"rsql_magic", "rpy2.ipython", "sql", "autoreload"})


def of_line_magic(name: str, line: str, names: SessionNames) -> Iterable[Effect]:
    """What ``%name line`` does."""
    from rsql_magic.agent.effects.honest import is_honest
    from rsql_magic.agent.effects.r import r_effects

    text = line.strip()
    if name in {"time", "timeit"}:
        return _of_cell(re.sub(r"^\s*(?:-\w+\s*\d*\s+)*", "", line), names)
    if name == "R":
        return r_effects(line, names)
    if name == "sql":
        first, _, rest = text.partition(" ")  # `%sql con SELECT …`
        asked = rest if first in names.python else text
        return sql_effects(asked, names.dialect) if asked else []
    is_quiet = (name in _QUIET_LINES and not text) or (name, text) == ("matplotlib", "inline")
    is_quiet = is_quiet or (name == "config" and _SETTING.fullmatch(text) is not None)
    is_loaded = name in {"load_ext", "reload_ext"} and text in _EXTENSIONS
    is_quiet = is_quiet or (is_loaded and (text == "autoreload" or is_honest(text)))
    return [] if is_quiet else [Effect(_LINE_KINDS.get(name, "unknown"), f"%{name} {line}")]


_INSTALLS = re.compile(
    r"\b(?:pip3?|conda|mamba|micromamba|uv|apt|apt-get|brew|npm|poetry|pixi)\b.*\b(?:install|add|sync|update|upgrade)\b"
    r"|\bR\s+CMD\s+INSTALL\b|install\.packages"
)
_FETCHES = re.compile(r"\b(?:curl|wget|ssh|scp|rsync|git|nc|ftp|sftp|telnet|aws|gsutil)\b|https?://")


def of_command(command: str) -> Iterable[Effect]:
    """What a command for the shell does, beside running a program."""
    yield Effect("shell", f"!{command}")
    if _INSTALLS.search(command):
        yield Effect("install", f"!{command}")
    if _FETCHES.search(command):
        yield Effect("network", f"!{command}")


def sql_effects(sql: str, dialect: str) -> Iterable[Effect]:
    """What SQL does beside reading, by the guard that everything else is held to as well.

    Example:
        >>> [each.kind for each in sql_effects("DROP TABLE t", "duckdb")], list(sql_effects("SELECT 1", "duckdb"))
        (['sql'], [])
    """
    if "{{" in sql or "{%" in sql:  # JupySQL fills them in when it runs
        yield Effect("unknown", sql)
        return
    try:
        check(sql.strip(), dialect or "duckdb")
    except QueryRejected as refusal:
        yield Effect("unknown" if refusal.repairable else "sql", refusal.piece or sql)
