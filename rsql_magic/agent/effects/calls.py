"""Attributes, items and calls: what the lists say of a type, a function and its arguments."""

# ruff: noqa: C901, PLR0911, PLR0912, PLR0915, PLR0917 - rules of an interpreter, a case each

from __future__ import annotations

import ast
import re
import string
from typing import TYPE_CHECKING, Any

from rsql_magic.agent.effects.allow_list import signature, type_expression
from rsql_magic.agent.effects.cells import bound_by, of_cell_magic, of_command, of_line_magic, sql_effects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rsql_magic.agent.effects.allow_list import ListedParameter, ListedSignature

from rsql_magic.agent.effects.languages import CellLanguages
from rsql_magic.agent.effects.values import (
    AGGREGATIONS,
    ASKED,
    DATA,
    NOTHING,
    UNKNOWN,
    Atom,
    Value,
    _Asks,
    _assigned,
    _class_of,
    _Function,
    _is_data_file,
    _Scope,
    parsed_cell,
)

_IN_MEMORY = {("is", "io.StringIO"), ("is", "io.BytesIO")}


class CellCalls(CellLanguages):
    """What is asked of objects, held to the lists; functions of the cell are read where they are called."""

    if TYPE_CHECKING:

        def _body(self, body: Sequence[ast.stmt], scope: _Scope) -> None: ...

    def _of_attribute(self, node: ast.Attribute, scope: _Scope) -> Value:
        attr = node.attr
        if attr.startswith("_") and attr not in {"__version__", "__name__"}:
            return self._ask(node)
        if attr.startswith("__"):
            self._value(node.value, scope)
            return frozenset({("is", "builtins.str")})
        found, columns, is_missing = NOTHING, NOTHING, False
        value = self._value(node.value, scope)
        if not value:  # what cannot be reached; or it is not known where it comes from
            return self._ask(node)
        for atom in value:
            if atom[0] in {"module", "class", "function"}:
                given = self._listed(f"{atom[1]}.{attr}")
            elif atom == ("asked",):
                given = ASKED
            elif atom[0] == "shell":
                given = frozenset({("method", atom, attr)})
            elif atom[0] in {"is", "text", "in"}:
                given = self._of_object(atom, attr)
                is_missing = is_missing or given == NOTHING
                columns |= self._column(atom) if given == NOTHING else NOTHING
            else:
                given = None
            if given is None:
                return self._ask(node)
            found |= given
        found = found or columns  # columns only where no other value has an attribute of this name
        return self._ask(node) if is_missing and not found else found

    def _column(self, atom: Atom) -> Value:
        entry = self._class(_class_of(atom)) or {}
        return (
            self._typed(type_expression(entry["column"]), ("column", atom), {}, atom) if "column" in entry else NOTHING
        )

    # An attribute of an object of a listed class; nothing for one that it does not have, None for one that asks.
    def _of_object(self, atom: Atom, attr: str) -> Value | None:
        entry = self._class(_class_of(atom))
        if entry is None or attr in entry.get("asks", ()):
            return None
        if not self._is_honest(f"{_class_of(atom)}.{attr}"):
            return None
        if attr in entry.get("methods", ()):
            return frozenset({("method", atom, attr)})
        if attr in entry.get("attributes", ()):
            return self._typed(type_expression(entry["attributes"][attr]), ("attr", atom, attr), {}, atom)
        return NOTHING

    def _of_subscript(self, node: ast.Subscript, scope: _Scope) -> Value:
        key, found = self._value(node.slice, scope), NOTHING
        for atom in self._value(node.value, scope):
            if atom[0] == "in":
                self._data(key)
                if isinstance(node.slice, ast.Slice):
                    found |= frozenset({("in", atom[1], atom[2])})
                elif atom[1] == "builtins.tuple" and len(atom) == 4 and isinstance(node.slice, ast.Constant):
                    at = node.slice.value
                    inside = isinstance(at, int) and at < len(atom[3])
                    found |= self._held.get(atom[3][at], NOTHING) if inside else self._items(frozenset({atom}))
                elif atom[1] == "builtins.dict":
                    found |= self._inside(atom[2])
                else:
                    found |= self._items(frozenset({atom}))
            elif atom in {("data",), ("asked",)}:
                self._data(key)
                found |= frozenset({atom})
            elif atom[0] in {"is", "text"}:
                entry = self._class(_class_of(atom))
                if entry is None or "item" not in entry:
                    raise _Asks
                given = {"key": key}
                for each in key:
                    if each[0] in {"def", "function", "method", "class"}:
                        self._called_back(frozenset({each}), [frozenset({atom})])
                    else:
                        self._data(frozenset({each}))
                for word in self._ways(entry, key, node):
                    found |= self._typed(type_expression(entry[word]), (word, id(node), atom), given, atom)
            else:
                raise _Asks
        return found

    def _of_call(self, node: ast.Call, scope: _Scope) -> Value:
        args, many, named = list[Value](), NOTHING, dict[str, Value]()
        function = self._value(node.func, scope)
        for each in node.args:
            if isinstance(each, ast.Starred):
                many |= self._items(self._value(each.value, scope))
            elif many:
                many |= self._value(each, scope)
            else:
                args.append(self._value(each, scope))
        for keyword in node.keywords:
            value = self._value(keyword.value, scope)
            if keyword.arg is not None:
                named[keyword.arg] = named.get(keyword.arg, NOTHING) | value
                continue
            for atom in value:
                keys = self._keys.get(atom[2]) if atom[0] == "in" else None
                if keys is None:
                    raise _Asks
                for key in keys:
                    named[key] = named.get(key, NOTHING) | self._held.get((atom[2], "at", key), NOTHING)
        if not function:
            raise _Asks
        found = NOTHING
        for atom in function:
            found |= self._call(atom, args, named, many, node)
        return found

    def _call(self, atom: Atom, args: list[Value], named: dict[str, Value], many: Value, node: ast.AST) -> Value:
        match atom:
            case ("asked",):
                return ASKED
            case ("def", number):
                return self._called(number, args, named, many)
            case ("function", "get_ipython"):
                return frozenset({("shell",)})
            case ("method", ("shell",), name):
                return self._magic(name, args, node)
            case ("function", name):
                if (listed := self._list_of(name)) is None:
                    raise _Asks
                return self._checked(signature(listed.functions[name]), args, named, many, node, None)
            case ("class", "builtins.dict") if not args and not many:
                return self._dict_of(named, node)
            case ("class", name):
                entry = self._class(name)
                if entry is None or "init" not in entry or (entry.get("only_with") and id(node) not in self._entering):
                    raise _Asks
                found = self._checked(signature(entry["init"]), args, named, many, node, None)
                return found if signature(entry["init"]).returns else frozenset({("is", name)})
            case ("method", own, name):
                if (entry := self._class(_class_of(own))) is None:
                    raise _Asks
                if own[0] == "in":
                    self._mutated(own, name, args, named)
                if name == "format" and _class_of(own) == "builtins.str" and not _is_plain_format(own):
                    raise _Asks
                return self._checked(signature(entry["methods"][name]), args, named, many, node, own)
            case ("is", name) if (entry := self._class(name)) and "call" in entry:
                return self._checked(signature(entry["call"]), args, named, many, node, atom)
            case _:
                raise _Asks

    # `dict(a=1)` is `{"a": 1}`.
    def _dict_of(self, named: Mapping[str, Value], node: ast.AST) -> Value:
        site = ("dict", id(node))
        for name, value in named.items():
            self._put(site, value)
            self._put((site, "at", name), value)
        self._put((site, "keys"), frozenset(("text", name) for name in named))
        self._keys.setdefault(site, set(named))
        return frozenset({("in", "builtins.dict", site)})

    # What methods of containers put into them.
    def _mutated(self, own: Atom, name: str, args: list[Value], named: dict[str, Value]) -> None:
        is_dict = own[1] == "builtins.dict"
        if is_dict and name in {"setdefault", "update"}:
            keys = args[:1] if name == "setdefault" else [frozenset(("text", each) for each in named)]
            self._put((own[2], "keys"), NOTHING.union(*keys))
            self._put(own[2], NOTHING.union(*args[1:] if name == "setdefault" else (), *named.values()))
            for each in args if name == "update" else ():
                self._pour_pairs(own[2], each)
        elif name in {"append", "add", "insert"}:
            self._put(own[2], NOTHING.union(*args))
        elif name in {"extend", "update", "union", "symmetric_difference", "symmetric_difference_update"}:
            for each in args:
                self._put(own[2], self._items(each))
        self._keys[own[2]] = None

    def _checked(
        self,
        called: ListedSignature,
        args: list[Value],
        named: dict[str, Value],
        many: Value,
        node: ast.AST,
        own: Atom | None,
    ) -> Value:
        given = dict[str, Value]()
        rest = list(called.positional[len(args) :])
        if len(args) > len(called.positional) and called.rest is None:
            raise _Asks
        taken = [
            (called.positional[at] if at < len(called.positional) else called.rest, value)
            for at, value in enumerate(args)
        ]
        if many:
            taken += [(each, many) for each in (*rest, *([called.rest] if called.rest else []))]
        for name, value in named.items():
            parameter = called.keywords.get(name, called.others)
            if parameter is None or name.startswith("_"):
                raise _Asks
            if parameter is called.others and name.rpartition("__")[2] in _words(parameter):
                raise _Asks
            taken.append((parameter, value))
        if not many and any(not each.is_optional and each.name not in named for each in rest):
            raise _Asks
        if own is not None and own[0] == "in":
            given["self"] = frozenset({own})
        for parameter, value in taken:  # all of them first: what one is called with may be what is in another
            if parameter is not None:
                given[parameter.name] = given.get(parameter.name, NOTHING) | value
        for parameter, value in taken:
            self._takes(parameter, value, given, own)
        return self._typed(called.returns, ("call", id(node)), given, own)

    def _takes(
        self, parameter: ListedParameter | None, value: Value, given: dict[str, Value], own: Atom | None
    ) -> None:
        if parameter is None:
            raise _Asks
        kind = parameter.kind
        if not value and not (isinstance(kind, ast.Name) and kind.id == "anything"):
            raise _Asks  # nothing is known of it
        word = ast.unparse(kind.func if isinstance(kind, ast.Call) else kind) if kind else ""
        parts = kind.args if isinstance(kind, ast.Call) else []
        match word:
            case "":
                self._data(value)
            case "anything":
                return
            case "callable" | "callable_or_text" | "callable_or_plain" | "function" | "aggregation":
                name = f"result {parameter.name}"
                given.setdefault(name, NOTHING)
                for _ in parts or (None,):  # what it returned may be what it is called with next
                    types = [self._typed(each, ("given", ast.unparse(each), own), given, own) for each in parts]
                    given[name] |= self._handed(word, value, types)
            case "named_aggregation":
                for atom in value:
                    places: Sequence[Any] = list(atom)[3] if len(atom) == 4 else ()
                    if len(places) != 2:
                        raise _Asks
                    self._data(self._inside(places[0]))
                    self._handed("aggregation", self._inside(places[1]), [DATA])
            case "only":
                allowed = [ast.literal_eval(each) for each in parts]
                if not all(atom[0] == "text" and atom[1] in allowed for atom in value):
                    raise _Asks
            case "of":
                allowed = [ast.unparse(each) for each in parts]
                if not all(atom[0] == "is" and atom[1] in allowed for atom in value):
                    raise _Asks
            case "path":
                if not all(atom in _IN_MEMORY or (atom[0] == "text" and _is_data_file(atom[1])) for atom in value):
                    raise _Asks
            case "plain":
                self._data(value)
                if any(_may_be_text(atom) and atom[0] != "text" for atom in value):
                    raise _Asks
            case "settings" | "written":
                self._settings(value, _words(parameter), frozenset())
                if word == "written":
                    self._written(value)
            case "formula" | "frame_code" | "vega":
                getattr(self, f"_{word}")(value)
            case "sql":
                dialect = ast.literal_eval(parts[0])
                texts = [atom[1] for atom in value if atom[0] == "text" and isinstance(atom[1], str)]
                if len(texts) != len(value):
                    raise _Asks
                for text in texts:
                    self.effects += sql_effects(text, dialect)
            case _:
                raise _Asks

    # Plain values, and dicts all of whose keys are written out, none of them one of some words.
    def _settings(self, value: Value, words: frozenset[str], seen: frozenset[Any]) -> None:
        self._data(value)
        for atom in value:
            if atom[0] == "in" and atom[2] not in seen:
                keys = self._keys.get(atom[2]) if atom[1] == "builtins.dict" else set()
                if keys is None or any(key.rpartition("__")[2] in words for key in keys):
                    raise _Asks
                self._settings(self._inside(atom[2]), words, seen | {atom[2]})
            elif atom[0] == "data" or (atom[0] == "is" and atom[1].startswith(("pandas.", "polars."))):
                raise _Asks  # it may have keys that are not known
            elif atom[0] == "text" and str(atom[1]).partition(":")[0] in words:
                raise _Asks

    # That all texts are written out in the cell.
    def _written(self, value: Value) -> None:
        for atom in value:
            if atom[0] == "in":
                if atom[1] not in {"builtins.list", "builtins.tuple"}:
                    raise _Asks
                self._written(self._inside(atom[2]))
            elif _class_of(atom) in {"builtins.str", "builtins.scalar"} and atom[0] != "text":
                raise _Asks

    def _handed(self, word: str, value: Value, types: list[Value]) -> Value:
        found = NOTHING
        for atom in value:
            if atom[0] in {"def", "function", "method", "class"}:
                found |= self._called_back(frozenset({atom}), types)
            elif atom[0] == "in" and word == "aggregation":
                found |= self._handed(word, self._inside(atom[2]), types)
            elif atom[0] == "text" and isinstance(atom[1], str) and word == "aggregation":
                if atom[1] not in AGGREGATIONS:
                    raise _Asks
            elif word == "callable_or_plain" and (atom[0] == "text" or not _may_be_text(atom)):
                self._data(frozenset({atom}))
            elif word == "callable_or_text" and atom[0] not in {"module", "shell"}:
                self._data(frozenset({atom}))  # names of columns, or arrays as long as they
            elif word == "callable" and atom[0] == "text" and not isinstance(atom[1], str):
                continue
            elif word == "callable" and atom[0] in {"is", "in"} and not _may_be_text(atom):
                self._data(frozenset({atom}))
            elif atom == ("text", None):
                continue
            else:
                raise _Asks
        return found or DATA

    def _called_back(self, value: Value, types: list[Value]) -> Value:
        found = NOTHING
        for atom in value:
            if atom[0] == "def":
                named = {each.arg: DATA for each in self._functions[atom[1]].node.args.kwonlyargs}
                found |= self._called(atom[1], types, named, DATA)
                if (rest := self._functions[atom[1]].node.args.kwarg) is not None:
                    self._put((atom[1], "**"), DATA)
                    self._put(((atom[1], "**"), "keys"), DATA)
                    self._bind(self._functions[atom[1]].scope, rest.arg, NOTHING)
            else:
                found |= self._call(atom, types or [DATA], {}, NOTHING, ast.Constant(0))
        return found

    def _magic(self, name: str, args: list[Value], node: ast.AST) -> Value:
        texts = [next(iter(each))[1] if len(each) == 1 and next(iter(each))[0] == "text" else None for each in args]
        match name, texts:
            case "run_line_magic", ["time", str(line)]:
                self._timed(line, node)
            case "run_line_magic", [str(magic), str(line)]:
                for bound in bound_by(magic, line):
                    self._bind(self.top, bound, UNKNOWN)
                self.effects += of_line_magic(magic, line, self._session)
            case "run_cell_magic", ["time", "", str(body)]:
                self._timed(body, node)
            case "run_cell_magic", [str(magic), str(line), str(body)]:
                for bound in bound_by(magic, line, body):
                    self._bind(self.top, bound, UNKNOWN)
                self.effects += of_cell_magic(magic, line, body, self._session)
            case (("system" | "getoutput"), [str(command)]):
                self.effects += of_command(command)
            case _:
                self._ask(node)
        return DATA

    # `many` is what stands behind the arguments, so many of it as there are.
    def _called(self, number: int, args: Sequence[Value], named: Mapping[str, Value], many: Value) -> Value:
        function = self._functions[number]
        given, scope = function.node.args, function.scope
        if isinstance(function.node, ast.FunctionDef):
            for name in _assigned(function.node):  # a local name of its own, whatever is outside
                scope.names.setdefault(name, NOTHING)
        placed = [each.arg for each in (*given.posonlyargs, *given.args)]
        for at, name in enumerate(placed):
            self._bind(scope, name, args[at] if at < len(args) else many)
        for name in (*placed, *(each.arg for each in given.kwonlyargs)):
            scope.names.setdefault(name, NOTHING)
            if name in named:
                self._bind(scope, name, named[name])
        if given.vararg is not None:
            self._put((number, "*"), many.union(*args[len(placed) :]))
            self._bind(scope, given.vararg.arg, frozenset({("in", "builtins.tuple", (number, "*"))}))
        if given.kwarg is not None:
            self._put((number, "**"), NOTHING.union(*named.values()))
            self._put(((number, "**"), "keys"), frozenset(("text", name) for name in named))
            self._bind(scope, given.kwarg.arg, frozenset({("in", "builtins.dict", (number, "**"))}))
            self._keys[number, "**"] = None
        if number in self._reading:
            return function.returns
        self._reading.add(number)
        self._scopes[id(scope)] = scope
        try:
            if isinstance(function.node, ast.Lambda):
                self._returned(self._value(function.node.body, scope), scope)
            else:
                self._body(function.node.body, scope)
        finally:
            self._reading.discard(number)
        return function.returns | (NOTHING if isinstance(function.node, ast.Lambda) else frozenset({("text", None)}))

    def _returned(self, value: Value, scope: _Scope) -> None:
        at: _Scope | None = scope
        while at is not None:
            for function in self._functions.values():
                if function.scope is at:
                    if value - function.returns:
                        function.returns |= value
                        self._changed = True
                    return
            at = at.outer
        raise _Asks

    def _defined(self, node: ast.FunctionDef | ast.Lambda, scope: _Scope) -> Value:
        if id(node) not in self._functions:
            self._functions[id(node)] = _Function(node, _Scope(outer=scope))
        given = node.args
        if isinstance(node, ast.FunctionDef):
            self._annotations(node, scope)
        for at, default in enumerate(given.defaults):
            placed = [*given.posonlyargs, *given.args]
            name = placed[len(placed) - len(given.defaults) + at].arg
            self._bind(self._functions[id(node)].scope, name, self._value(default, scope))
        for parameter, fallback in zip(given.kwonlyargs, given.kw_defaults, strict=True):
            if fallback is not None:
                self._bind(self._functions[id(node)].scope, parameter.arg, self._value(fallback, scope))
        return frozenset({("def", id(node))})

    # They are evaluated where the function is defined.
    def _annotations(self, node: ast.FunctionDef, scope: _Scope) -> None:
        if getattr(node, "type_params", ()):
            raise _Asks
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
        for annotation in (*(each.annotation for each in every), node.returns):
            if annotation is not None:
                self._value(annotation, scope)

    # What is timed is run among the notebook's own names.
    def _timed(self, code: str, node: ast.AST) -> None:
        key = (id(node), code)
        if key not in self._trees:
            try:
                self._trees[key] = parsed_cell(re.sub(r"^\s*--no-raise-error\b", "", code))
            except (SyntaxError, ValueError):
                self._ask(node)
                return
        self._body(self._trees[key].body, self.top)


# That a text's `{…}` only name arguments: none of their attributes, none of their items.
def _is_plain_format(atom: Atom) -> bool:
    if atom[0] != "text":
        return False
    try:
        fields = list(string.Formatter().parse(atom[1]))
    except ValueError:
        return False
    return all(
        re.fullmatch(r"\w*", name or "") and _is_plain_format(("text", spec or ""))
        for _, name, spec, _ in fields
        if name is not None
    )


# A text, or an object of a kind that texts may be of as well.
def _may_be_text(atom: Atom) -> bool:
    return atom == ("data",) or _class_of(atom) in {"builtins.str", "builtins.scalar", "numpy.generic"}


def _words(parameter: ListedParameter) -> frozenset[str]:
    kind = parameter.kind
    if isinstance(kind, ast.Call) and isinstance(kind.func, ast.Name) and kind.func.id in {"settings", "written"}:
        return frozenset(ast.literal_eval(each) for each in kind.args)
    return frozenset()
