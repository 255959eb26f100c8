"""What an expression of a proposed cell may be: exactly known types, listed functions, or what is not known."""

# ruff: noqa: C901, PLR0911, PLR0912 - rules of an interpreter, a case each

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsql_magic.agent.effects.allow_list import allow_list, names_of_lists, type_expression
from rsql_magic.agent.effects.cells import Effect, SessionName
from rsql_magic.agent.effects.honest import draws_in_the_notebook, is_honest
from rsql_magic.agent.effects.wording import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rsql_magic.agent.effects.allow_list import AllowList
    from rsql_magic.agent.effects.cells import Kind, SessionNames

_MOST_READINGS = 12
_MOST_VALUES = 40
_MOST_CALLS = 20_000
_PLAIN = (str, int, float, complex, bool, bytes, type(None), type(...))
_CONTAINERS = frozenset({"builtins.list", "builtins.tuple", "builtins.dict", "builtins.set", "builtins.iterator"})
_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".feather", ".json", ".jsonl", ".ndjson", ".xlsx", ".arrow", ".ipc")

# One thing that an expression may be: ("data",), ("is", class), ("text", constant), ("in", container, site),
# ("function" | "class" | "module", name), ("method", atom, name) or ("def", id of its node).
Atom = tuple[Any, ...]
Value = frozenset[Atom]
DATA: Value = frozenset({("data",)})
NOTHING: Value = frozenset()
ASKED: Value = frozenset({("asked",)})  # what is made of it asks no second time


UNKNOWN: Value = frozenset({("unknown",)})
_SCALAR: Value = frozenset({("is", "builtins.scalar")})


def parsed_cell(source: str) -> ast.Module:
    """The tree of a cell, with its magics as IPython reads them."""
    from IPython.core.inputtransformer2 import TransformerManager

    return ast.parse(TransformerManager().transform_cell(source) if source.strip() else "")  # type: ignore[no-untyped-call]


class _Asks(Exception):
    """A construct that is not proven."""


@dataclass
class _Scope:
    """The names of a cell, a function or a comprehension, with all that they may stand for."""

    names: dict[str, Value] = field(default_factory=dict)
    outer: _Scope | None = None
    is_inner: bool = False  # of a comprehension: what `:=` binds there belongs to the scope around it


@dataclass
class _Function:
    node: ast.FunctionDef | ast.Lambda
    scope: _Scope
    returns: Value = NOTHING
    seen: Value | None = None


class CellValues:
    """Names of a cell and of the session, what containers hold, and the lists by which both are known."""

    def __init__(self, names: SessionNames) -> None:
        self._session = names
        self.effects: list[Effect] = []
        self.top = _Scope()
        self.styles = False  # whether a styled table is made, whose texts are markup
        self.packages: set[str] = {held.module.partition(".")[0] for held in names.python.values()} & names_of_lists()
        self._entering: set[int] = set()  # expressions behind `with`
        self._honest: dict[str, bool] = {}
        self._trees: dict[tuple[int | str, str], ast.Module] = {}  # code in texts, so that its nodes stay the same
        self._scopes: dict[int, _Scope] = {}
        self._functions: dict[int, _Function] = {}
        self._held: dict[Any, Value] = {}  # what is in a container, by its site
        self._keys: dict[Any, set[str] | None] = {}  # the keys of a dict that are known all, by its site
        self._changed = False
        self._calls = 0
        self._reading: set[int] = set()
        self._statement_read: ast.stmt | None = None

    # A name alone says little: what is done with it tells more of what may happen.
    def _ask(self, node: ast.AST, kind: Kind | None = None) -> Value:
        shown = ast.unparse(node)
        kind = kind or kind_of(shown)
        if kind == "unknown" and isinstance(node, ast.Name) and self._statement_read is not None:
            around = ast.unparse(self._statement_read)
            if (seems := kind_of(around)) != "unknown":
                kind, shown = seems, around
        self.effects.append(Effect(kind, shown))
        return ASKED

    def _bind(self, scope: _Scope, name: str, value: Value) -> None:
        self._join(scope.names, name, value)

    # Constants of many values are told by their class; everything else stays apart.
    def _widened(self, value: Value) -> Value:
        return frozenset(("is", _class_of(atom)) if atom[0] == "text" else atom for atom in value)

    def _put(self, site: Any, value: Value) -> None:
        self._join(self._held, site, value)

    # Add to what a name or a place in a container may hold.
    def _join(self, known: dict[Any, Value], key: Any, value: Value) -> None:
        before = known.get(key, NOTHING)
        merged = before | value
        if len(merged) > _MOST_VALUES:
            merged = self._widened(merged)
        if merged != before:
            known[key] = merged
            self._changed = True

    # What is in a container; those of the session hold what was in them before.
    def _inside(self, site: Any) -> Value:
        place = site[0] if isinstance(site, tuple) else site
        return self._held.get(site, NOTHING) | (DATA if str(place).startswith("session ") else NOTHING)

    # One container is poured into another: keys and values of a dict, items of anything else.
    def _pour(self, site: Any, atom: Atom) -> None:
        if atom[0] == "in" and atom[1] == "builtins.dict":
            self._put(site, self._inside(atom[2]))
            self._put((site, "keys"), self._items(frozenset({atom})))
        else:
            self._put(site, self._items(frozenset({atom})))

    # What `dict.update` takes besides a dict: pairs that are written out, or data.
    def _pour_pairs(self, site: Any, value: Value) -> None:
        for atom in value:
            if atom[0] == "in" and atom[1] == "builtins.dict":
                self._pour(site, atom)
            elif atom == ("data",):
                self._put(site, DATA)
                self._put((site, "keys"), DATA)
            elif atom[0] == "in":
                for pair in self._inside(atom[2]):
                    if pair[0] != "in" or len(pair) != 4 or len(pair[3]) != 2:
                        raise _Asks
                    self._put((site, "keys"), self._inside(pair[3][0]))
                    self._put(site, self._inside(pair[3][1]))
            else:
                raise _Asks

    def _name(self, node: ast.Name, scope: _Scope) -> Value:
        name, at = node.id, scope
        while at.outer is not None:
            if name in at.names:
                return at.names[name]
            at = at.outer
        found = at.names.get(name, NOTHING)
        if (held := self._session.python.get(name)) is not None:
            given = self._of_session(held, name)
            if given is None:
                return found | self._ask(node)
            return found | given
        if hasattr(builtins, name) and name != "__builtins__":
            dotted = f"builtins.{name}"
            given = self._listed(dotted)
            if given is not None:
                return found | given
            return found or self._ask(node)
        if name == "get_ipython":
            return frozenset({("function", "get_ipython")})
        return found or self._ask(node)

    def _of_session(self, held: SessionName, name: str) -> Value | None:
        if held.is_object:
            if held.module in {"builtins.list", "builtins.tuple", "builtins.dict", "builtins.set"}:
                return frozenset({("in", held.module, f"session {name}")})
            if held.module == "data":
                return DATA
            dotted = self._class_named(held.module)
            return frozenset({("is", dotted)}) if dotted else None
        if held.module == "__main__" or held.module.startswith("__main__."):
            return None
        return self._listed(held.module)

    def _list_of(self, dotted: str) -> AllowList | None:
        top = dotted.partition(".")[0]
        for name in (top, "builtins"):
            if name in names_of_lists():
                listed = allow_list(name)
                if name == top or dotted in listed.functions or dotted in listed.modules or dotted in listed.classes:
                    return listed if listed.is_of_a_tested_version() else None
                if name == "builtins" and (dotted in listed.constants or dotted in listed.aliases):
                    return listed
        return None

    def _class_named(self, dotted: str) -> str | None:
        if (listed := self._list_of(dotted)) is None:
            return None
        dotted = listed.aliases.get(dotted, dotted)
        return dotted if dotted in listed.classes else None

    def _class(self, dotted: str) -> Mapping[str, Any] | None:
        listed = self._list_of(dotted)
        return listed.classes.get(dotted) if listed else None

    def _listed(self, dotted: str) -> Value | None:
        if (listed := self._list_of(dotted)) is None or not self._is_honest(dotted):
            return None
        self.packages.add(listed.name)
        dotted = listed.aliases.get(dotted, dotted)
        if dotted == "matplotlib.pyplot.show" and not draws_in_the_notebook():
            return None
        if dotted in listed.functions:
            return frozenset({("function", dotted)})
        if dotted in listed.classes:
            return frozenset({("class", dotted)})
        if dotted in listed.modules:
            return frozenset({("module", dotted)})
        if dotted in listed.constants:
            return self._typed(type_expression(listed.constants[dotted]), dotted, {}, None)
        return None

    def _is_honest(self, dotted: str) -> bool:
        if dotted not in self._honest:
            self._honest[dotted] = is_honest(dotted)
        return self._honest[dotted]

    def _typed(self, node: ast.expr | None, site: Any, given: Mapping[str, Value], own: Atom | None) -> Value:
        match node:
            case None:
                return DATA
            case ast.BinOp(left=left, right=right):
                return self._typed(left, site, given, own) | self._typed(right, site, given, own)
            case ast.Name(id="data") | ast.Constant():
                return DATA
            case ast.Name(id="same"):
                return frozenset({own}) if own else DATA
            case ast.Tuple(elts=parts):
                places = tuple((site, at) for at in range(len(parts)))
                for place, part in zip(places, parts, strict=True):
                    self._put(place, self._typed(part, place, given, own))
                self._put((site, "all"), frozenset().union(*(self._held[place] for place in places)))
                return frozenset({("in", "builtins.tuple", (site, "all"), places)})
            case ast.Subscript(value=ast.Name(id=container), slice=inner):
                self._put((site, container), self._typed(inner, (site, container, 0), given, own))
                self._put(((site, container), "keys"), _SCALAR)
                return frozenset({("in", f"builtins.{container}", (site, container))})
            case ast.Call(func=ast.Name(id="given"), args=[ast.Name(id=name)]):
                return given.get(name, _SCALAR)  # what stands for nothing given is a plain value
            case ast.Call(func=ast.Name(id="result"), args=[ast.Name(id=name)]):
                return given.get(f"result {name}", DATA)
            case ast.Call(func=ast.Name(id="items"), args=[ast.Name(id=name)]):
                return self._items(given.get(name, _SCALAR))
            case ast.Call(func=ast.Name(id="values"), args=[ast.Name(id=name)]):
                return NOTHING.union(*(self._inside(atom[2]) for atom in given[name] if atom[0] == "in"))
            case ast.Name(id=name) if name in {"list", "dict", "set", "tuple", "iterator"}:
                self._put((site, name), DATA)
                self._put(((site, name), "keys"), _SCALAR)
                return frozenset({("in", f"builtins.{name}", (site, name))})
            case _:
                name = ast.unparse(node)
                self.styles = self.styles or name == "pandas.io.formats.style.Styler"
                return frozenset({("is", name if "." in name else f"builtins.{name}")})

    # What `for` gives: of a dict its keys.
    def _items(self, value: Value) -> Value:
        found = NOTHING
        for atom in value:
            if atom[0] == "in":
                found |= self._inside((atom[2], "keys") if atom[1] == "builtins.dict" else atom[2])
            elif atom[0] == "data" or (atom[0] == "text" and isinstance(atom[1], str | bytes)):
                found |= DATA if atom[0] == "data" else frozenset({("is", "builtins.str")})
            elif atom[0] in {"is", "text"} and (entry := self._class(_class_of(atom))) and "iter" in entry:
                found |= self._typed(type_expression(entry["iter"]), ("iter", atom), {}, atom)
            elif atom[0] == "text":
                continue  # it cannot be gone through: an error
            else:
                raise _Asks
        return found

    # That a value is data: nothing that could be called, opened or asked for more by who gets it.
    def _data(self, value: Value, seen: frozenset[Any] = frozenset()) -> None:
        for atom in value:
            if atom[0] == "in":
                if atom[2] not in seen:
                    inner = self._held.get(atom[2], NOTHING) | self._held.get((atom[2], "keys"), NOTHING)
                    self._data(inner, seen | {atom[2]})
            elif atom[0] == "class":
                if not atom[1].startswith(("builtins.", "numpy.", "polars.", "datetime.")):
                    raise _Asks
            elif atom[0] not in {"data", "is", "text", "asked"}:
                raise _Asks

    # That showing a value has no effect.
    def _shown(self, value: Value, node: ast.expr) -> None:
        for atom in value:
            entry = self._class(atom[1]) if atom[0] == "is" else None
            if atom[0] == "shell" or (entry and entry.get("hides")):
                self._ask(node)

    # Whether a key takes an item or a part of an object, or may do either.
    def _ways(self, entry: Mapping[str, Any], key: Value, node: ast.Subscript) -> tuple[str, ...]:
        if "part" not in entry:
            return ("item",)
        plain = {each[0] == "text" for each in key}
        many = isinstance(node.slice, ast.Slice) or all(
            each[0] == "in" or _class_of(each) in {"pandas.Series", "pandas.Index", "numpy.ndarray"} for each in key
        )
        return ("item",) if plain == {True} else ("part",) if many else ("item", "part")


# Texts that stand for functions where frames are summed up.
AGGREGATIONS = frozenset(
    {"sum", "mean", "median", "min", "max", "count", "size", "std", "var", "first", "last", "nunique", "prod", "sem"}
    | {"any", "all", "cumsum", "cummax", "cummin", "cumprod", "rank", "diff", "shift", "ffill", "bfill", "skew", "abs"}
    | {"kurt", "idxmax", "idxmin", "quantile", "mad", "unique", "pct_change", "nth", "round", "len"}
)


def _left(value: Value) -> SessionName:
    classes = {_class_of(atom) for atom in value}
    if len(classes) == 1 and (only := classes.pop()):
        is_deep = only in _CONTAINERS and only != "builtins.list"
        return SessionName("__main__" if is_deep or only == "builtins.iterator" else only, is_object=True)
    atom = next(iter(value)) if len(value) == 1 else ("",)
    return SessionName(atom[1]) if atom[0] in {"module", "class", "function"} else SessionName("__main__")


def _class_of(atom: Atom) -> str:
    if atom[0] == "text":
        return f"builtins.{type(atom[1]).__name__}" if isinstance(atom[1], _PLAIN) else "builtins.object"
    return str(atom[1]) if atom[0] in {"is", "in"} else ""


def is_plain(atom: Atom) -> bool:
    """Whether a value is a number, a text or the like: nothing in it can be set, and who tries gets an error."""
    return atom[0] == "text" or (atom[0] == "is" and atom[1] in _UNCHANGED)


_UNCHANGED = frozenset(f"builtins.{name}" for name in ("scalar", "int", "float", "bool", "str", "bytes", "complex"))


def _is_of_package(atom: Atom) -> bool:
    return atom[0] == "is" and not str(atom[1]).startswith("builtins.")


def _has_yield(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Yield | ast.YieldFrom | ast.Await) for each in ast.walk(node))


# Names that a function binds, which are its own; `global` and `nonlocal` ask.
def _assigned(node: ast.AST) -> set[str]:
    found = {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    return found | {each.name for each in ast.walk(node) if isinstance(each, ast.FunctionDef) and each is not node}


def _is_data_file(path: Any) -> bool:
    """Whether a text names a plain data file below the notebook's folder or at an absolute path."""
    if not isinstance(path, str) or not path.isprintable() or any(sign in path for sign in "|:~*?$<>\\"):
        return False
    parts = path.split("/")
    is_own = not path.startswith(("/dev", "/proc", "/sys", "//")) and ".." not in parts
    return is_own and path.lower().endswith(_SUFFIXES)
