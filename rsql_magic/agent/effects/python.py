"""What Python code would do beyond computing: nothing where every construct is on a list; else it asks."""

# An abstract interpreter: each expression has a set of values that it may have (`Value`), and whatever is not known to
# be harmless for all of them is an effect. Names have the values of all their assignments in the cell at once, and
# containers those of all that is put into them, so that order, aliases, branches, loops and functions that run later
# need no rules of their own; the cell is read until nothing new is found.

# ruff: noqa: C901, PLR0912, PLR0915 - rules of an interpreter, a case each

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from rsql_magic.agent.effects.allow_list import type_expression
from rsql_magic.agent.effects.cells import Effect, SessionName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.agent.effects.cells import SessionNames

from rsql_magic.agent.effects.beside import stand_ins
from rsql_magic.agent.effects.calls import CellCalls
from rsql_magic.agent.effects.values import (
    _MOST_READINGS,
    NOTHING,
    Atom,
    Value,
    _Asks,
    _class_of,
    _has_yield,
    _left,
    _Scope,
    is_plain,
    parsed_cell,
)


def python_effects(source: str, names: SessionNames) -> Iterator[Effect]:
    """What a cell of Python would do; magics and ``!`` as IPython reads them."""
    yield from read_cell(source, names).effects


def read_cell(source: str, names: SessionNames) -> _PythonCell:
    """A cell as it was read: its effects, and what its names stand for."""
    cell = _PythonCell(names)
    try:
        tree = parsed_cell(source)
        cell.read(tree)
        if tree.body:
            cell.effects += [
                Effect("unknown", f"{path.name} beside the notebook would be loaded in the place of a package's")
                for path in stand_ins(frozenset(cell.packages))[:1]
            ]
    except (SyntaxError, ValueError, MemoryError):
        cell.effects = [Effect("unknown", "it does not parse")]
    except RecursionError:
        cell.effects = [Effect("unknown", "it is nested too deeply")]
    return cell


_MARKUP = re.compile(r"<|\bon\w+\s*=|url\s*\(|image|@import|expression|javascript", re.IGNORECASE)


# Styled tables show texts as they are: those of the cell, which may have come to it by way of a frame.
def _is_markup(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(_MARKUP.search(node.value))


class _PythonCell(CellCalls):
    """A cell as it is read, statement by statement."""

    def read(self, tree: ast.Module) -> None:
        """Read the cell until nothing new is found."""
        for _ in range(_MOST_READINGS):
            self._changed, self.effects, self._calls = False, [], 0
            self._body(tree.body, self.top)
            if not self._changed:
                if self.styles and any(map(_is_markup, ast.walk(tree))):
                    self.effects.append(Effect("unknown", "a styled table with markup of its own"))
                return
        self.effects.append(Effect("unknown", "it is too involved to be followed"))

    def left(self) -> dict[str, SessionName]:
        """What the names of the cell stand for after it; what asks, or may be several things, is not known."""
        return {
            name: SessionName("__main__") if self.effects else _left(value) for name, value in self.top.names.items()
        }

    def _body(self, body: Sequence[ast.stmt], scope: _Scope) -> None:
        for statement in body:
            try:
                self._statement(statement, scope)
            except _Asks:
                self._ask(statement)

    def _statement(self, node: ast.stmt, scope: _Scope) -> None:
        self._statement_read = node
        match node:
            case ast.Pass() | ast.Break() | ast.Continue():
                return
            case ast.Expr(value=value):
                self._shown(self._value(value, scope), value)
            case ast.Assign(targets=targets, value=value):
                given = self._value(value, scope)
                for target in targets:
                    self._assign(target, given, scope)
            case ast.AnnAssign(target=target, value=value):
                if value is not None:
                    self._assign(target, self._value(value, scope), scope)
                self._value(node.annotation, scope)
            case ast.AugAssign(target=target, value=value):
                if isinstance(target, ast.Name):
                    before = self._name(ast.Name(target.id), scope)
                else:
                    before = self._value(target, scope)
                given = self._value(value, scope)
                self._extended(before, given)
                self._assign(target, self._operated([before, given], node), scope)
            case ast.If(test=test) | ast.While(test=test):
                self._truth(self._value(test, scope))
                self._body(node.body, scope)
                self._body(node.orelse, scope)
            case ast.For():
                self._assign(node.target, self._items(self._value(node.iter, scope)), scope)
                self._body(node.body, scope)
                self._body(node.orelse, scope)
            case ast.Try():
                for handler in node.handlers:
                    if handler.type is not None:
                        self._value(handler.type, scope)
                    if handler.name:
                        self._bind(scope, handler.name, frozenset({("is", "builtins.Exception")}))
                    self._body(handler.body, scope)
                for part in (node.body, node.orelse, node.finalbody):
                    self._body(part, scope)
            case ast.With():
                for item in node.items:
                    self._entering.add(id(item.context_expr))
                    entered = self._entered(self._value(item.context_expr, scope))
                    if item.optional_vars is not None:
                        self._assign(item.optional_vars, entered, scope)
                self._body(node.body, scope)
            case ast.Assert(test=test, msg=msg):
                self._value(test, scope)
                if msg is not None:
                    self._value(msg, scope)
            case ast.Raise(exc=exc):
                if exc is not None:
                    self._value(exc, scope)
                if node.cause is not None:
                    self._value(node.cause, scope)
            case ast.Return(value=value):
                given = self._value(value, scope) if value is not None else frozenset({("text", None)})
                self._returned(given, scope)
            case ast.Import(names=names):
                for alias in names:
                    self._import(alias.name, node)
                    name = alias.name if alias.asname else alias.name.partition(".")[0]
                    self._bind(scope, alias.asname or name, frozenset({("module", name)}))
            case ast.ImportFrom(module=module, names=names, level=0):
                for alias in names:
                    found = self._listed(f"{module}.{alias.name}") if alias.name != "*" else None
                    self._bind(scope, alias.asname or alias.name, found if found is not None else self._ask(node))
            case ast.Delete(targets=targets):
                for target in targets:
                    self._deleted(target, scope)
            case ast.FunctionDef(decorator_list=[]) if not _has_yield(node):
                self._bind(scope, node.name, self._defined(node, scope))
            case _:
                self._ask(node)

    def _import(self, name: str, node: ast.stmt) -> None:
        listed = self._list_of(name)
        if listed is None or name not in listed.modules or not self._is_honest(name):
            self._ask(node)
        elif listed.name != "builtins":
            self.packages.add(listed.name)

    def _assign(self, target: ast.expr, value: Value, scope: _Scope) -> None:
        match target:
            case ast.Name(id=name):
                self._bind(scope, name, value)
            case ast.Starred(value=inner):
                self._put(id(target), value)
                self._assign(inner, frozenset({("in", "builtins.list", id(target))}), scope)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                fixed = [atom[3] for atom in value if len(atom) == 4 and atom[0] == "in" and len(atom[3]) == len(parts)]
                is_fixed = len(fixed) == len(value) and not any(isinstance(part, ast.Starred) for part in parts)
                for at, part in enumerate(parts):
                    places = [self._held.get(each[at], NOTHING) for each in fixed]
                    self._assign(part, NOTHING.union(*places) if is_fixed else self._items(value), scope)
            case ast.Subscript(value=inner, slice=key):
                index = self._value(key, scope)
                self._data(index)
                for atom in self._value(inner, scope):
                    self._item_set(atom, index, value, target)
            case ast.Attribute(value=inner, attr=attr):
                self._data(value)
                for atom in self._value(inner, scope):
                    entry = self._class(_class_of(atom)) if atom[0] == "is" else None
                    if not is_plain(atom) and (entry is None or attr not in entry.get("sets", ())):
                        self._ask(target)
            case _:
                self._ask(target)

    # `a += b` changes a list or dict where it stands, whatever other names it has.
    def _extended(self, before: Value, given: Value) -> None:
        for atom in before:
            if atom[0] == "in":
                if atom[1] == "builtins.dict":
                    self._pour_pairs(atom[2], given)
                else:
                    self._put(atom[2], self._items(given))
                self._keys[atom[2]] = None

    # A name of the cell's own, or what could be set in its place.
    def _deleted(self, target: ast.expr, scope: _Scope) -> None:
        match target:
            case ast.Name(id=name) if name in scope.names and name not in self._session.python:
                return
            case ast.Subscript(value=inner, slice=key):
                index = self._value(key, scope)
                self._data(index)
                for atom in self._value(inner, scope):
                    self._item_set(atom, index, NOTHING, target)
            case _:
                raise _Asks

    def _item_set(self, atom: Atom, index: Value, value: Value, node: ast.expr) -> None:
        if atom[0] == "in" and atom[1] in {"builtins.list", "builtins.dict"}:
            is_part = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
            self._put(atom[2], self._items(value) if is_part else value)
            self._put((atom[2], "keys"), index)
            self._keys[atom[2]] = None
            return
        if is_plain(atom):
            return
        entry = self._class(_class_of(atom)) if atom[0] == "is" else None
        allowed = entry.get("setitem") if entry else False
        if isinstance(allowed, list):
            allowed = all(each[0] == "text" and each[1] in allowed for each in index)
        if not allowed:
            self._ask(node)
        self._data(value)

    def _entered(self, value: Value) -> Value:
        found = NOTHING
        for atom in value:
            entry = self._class(atom[1]) if atom[0] == "is" else None
            if entry is None or "with" not in entry:
                raise _Asks
            found |= self._typed(type_expression(entry["with"]), ("with", atom), {}, atom)
        return found
