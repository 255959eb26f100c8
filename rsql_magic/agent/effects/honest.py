"""Whether a name of a listed package is the package's own: nothing beside the notebook, nothing put in its place."""

from __future__ import annotations

import builtins
import os
import site
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType, NoneType
from typing import Any

from rsql_magic.agent.effects.allow_list import allow_list, names_of_lists

_MISSING = object()


@cache
def _trusted() -> tuple[Path, ...]:
    paths = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(Path(path).resolve() for path in paths)


def is_honest(dotted: str) -> bool:
    """Whether a dotted name leads to the installed package's own object, without loading anything.

    Methods are looked at as well: ``pandas.DataFrame.head``. What the package gives on demand is its own.

    Example:
        >>> is_honest("json.dumps"), is_honest("nowhere.at_all")
        (True, False)
    """
    top, *rest = dotted.split(".")
    module: Any = builtins if top == "builtins" else sys.modules.get(top)
    if module is None:
        return _would_be_found(top)
    origin = getattr(vars(module).get("__spec__"), "origin", None)
    if origin not in {"built-in", "frozen", None} and not is_trusted(Path(str(origin))):
        return False
    at: Any = module
    for place, name in enumerate(rest):
        found = _part(at, name)
        if found is _MISSING:
            found = sys.modules.get(".".join([top, *rest[: place + 1]]), _MISSING)
        if found is _MISSING:
            return True
        if not _is_own(found, at, top, ".".join([top, *rest[: place + 1]])):
            return False
        at = found
    return True


_NO_WINDOWS = frozenset({"agg", "inline", "module://matplotlib_inline.backend_inline", "svg", "pdf", "ps", "cairo"})


def draws_in_the_notebook() -> bool:
    """Whether figures of matplotlib are outputs of cells, as every notebook has it at first, and no windows."""
    settings = vars(sys.modules.get("matplotlib")).get("rcParams", {}) if "matplotlib" in sys.modules else {}
    chosen = dict.get(settings, "backend") if isinstance(settings, dict) else ""
    if not isinstance(chosen, str):  # not chosen yet
        chosen = os.environ.get("MPLBACKEND", "inline")
    return chosen.lower() in _NO_WINDOWS


# A part of a module or class as it stands there; nothing is asked of the object.
def _part(at: Any, name: str) -> Any:
    if isinstance(at, ModuleType):
        return vars(at).get(name, _MISSING)
    if isinstance(at, type):
        for each in type.__dict__["__mro__"].__get__(at):
            if name in type.__dict__["__dict__"].__get__(each):
                return type.__dict__["__dict__"].__get__(each)[name]
    return _MISSING


# That code stands in an installed file and bears the name of its package. Another function of an installed package
# (`pandas.concat = os.system`) is told by its module and its name.
def _is_own(found: Any, at: Any, top: str, dotted: str) -> bool:  # noqa: PLR0911 - kinds of objects
    if isinstance(found, ModuleType):
        own = str(ModuleType.__getattribute__(found, "__name__"))
        return own.partition(".")[0] == top and sys.modules.get(own) is found
    found = found.__func__ if type(found) in {staticmethod, classmethod} else found
    found = found.fget if type(found) is property else found
    if type(found) is FunctionType:
        file = found.__code__.co_filename
        if not (file.startswith("<frozen") or is_trusted(Path(file))):
            return False
        is_of_class = isinstance(at, type) and (found.__module__ in _MAKERS or "<locals>" in found.__qualname__)
        return is_of_class or (_is_near(found.__module__, top) and _is_called(found.__name__, dotted))
    if isinstance(found, BuiltinFunctionType):
        module: str | None = found.__module__
        owner: Any = found.__self__
        if module is None and isinstance(at, type):
            module = top  # a static method of a class in C
        module = module or (type(owner).__module__ if not isinstance(owner, ModuleType | NoneType) else "")
        return _is_near(module, top) and _is_called(found.__name__, dotted)
    if isinstance(found, type):
        module = str(type.__getattribute__(found, "__module__"))
        return module != "__main__" and (_is_near(module, top) or _is_called(found.__name__, dotted))
    kind = type(found)
    module = str(type.__getattribute__(kind, "__module__"))
    if (own := kind.__name__) in _DESCRIPTORS or module == "builtins":
        return True  # they say nothing of a package; what they lead to is listed by its type
    if own == "cython_function_or_method":
        return _is_near(found.__module__, top) and _is_called(found.__name__, dotted)
    if own in {"ufunc", "_ArrayFunctionDispatcher"}:
        return _is_near(module, top) and _is_called(found.__name__, dotted)
    return _is_near(module, top)


_MAKERS = frozenset({"typing", "functools"})  # what they make stands in a class under any name
_DESCRIPTORS = frozenset(["getset_descriptor", "method_descriptor", "wrapper_descriptor", "member_descriptor"])


# `math`, `_random` for `random`, `posix` not for `pandas`.
def _is_near(module: str | None, top: str) -> bool:
    first = (module or "").partition(".")[0]
    return first.strip("_") == top.strip("_") or (first, top) in _PARTS


_PARTS = frozenset({("numpy", "pandas"), ("_statistics", "statistics"), ("_datetime", "datetime")})


# A function has its own name, or that of another listed one beside it (`isnull` is `isna`).
def _is_called(own: str, dotted: str) -> bool:
    place, _, name = dotted.rpartition(".")
    if own.strip("_") in {name, f"{name}_frame", f"{name}_series"}:  # `DataFrame.hist` is pandas' `hist_frame`
        return True
    top = dotted.partition(".")[0]
    listed = allow_list(top if top in names_of_lists() else "builtins")
    return f"{place}.{own}" in listed.functions or own in listed.classes.get(place, {}).get("methods", {})


@cache
def is_trusted(path: Path) -> bool:
    """Whether a file lies where packages are installed."""
    return any(each in path.resolve().parents for each in _trusted())


def _would_be_found(top: str) -> bool:
    if top in sys.builtin_module_names:
        return True
    for entry in sys.path:
        folder = Path(entry or ".")
        if (folder / top).is_dir() or any(folder.glob(f"{top}.*")):
            return is_trusted(folder.resolve() / top)
    return False
