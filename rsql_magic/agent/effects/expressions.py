"""What each kind of expression is, by those it is made of."""

# ruff: noqa: SIM102 - rules of an interpreter, a case each

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from rsql_magic.agent.effects.allow_list import type_expression

if TYPE_CHECKING:
    from collections.abc import Sequence


from rsql_magic.agent.effects.values import (
    _MOST_CALLS,
    DATA,
    NOTHING,
    CellValues,
    Value,
    _Asks,
    _class_of,
    _is_of_package,
    _Scope,
)


class CellExpressions(CellValues):
    """A method for each kind of node that computes; one that is not here asks."""

    if TYPE_CHECKING:

        def _assign(self, target: ast.expr, value: Value, scope: _Scope) -> None: ...

        def _defined(self, node: ast.FunctionDef | ast.Lambda, scope: _Scope) -> Value: ...

    def _value(self, node: ast.expr, scope: _Scope) -> Value:
        self._calls += 1
        if self._calls > _MOST_CALLS:
            raise _Asks
        method = getattr(self, f"_of_{type(node).__name__.lower()}", None)
        if method is None:
            return self._ask(node)
        try:
            found: Value = method(node, scope)
        except _Asks:
            return self._ask(node)
        return found

    def _of_constant(self, node: ast.Constant, _scope: _Scope) -> Value:
        return frozenset({("text", node.value)})

    def _of_name(self, node: ast.Name, scope: _Scope) -> Value:
        return self._name(node, scope)

    def _of_joinedstr(self, node: ast.JoinedStr, scope: _Scope) -> Value:
        for part in node.values:
            self._value(part, scope)
        return frozenset({("is", "builtins.str")})

    def _of_formattedvalue(self, node: ast.FormattedValue, scope: _Scope) -> Value:
        self._shown(self._value(node.value, scope), node.value)
        if node.format_spec is not None:
            self._value(node.format_spec, scope)
        return DATA

    def _of_list(self, node: ast.List | ast.Set | ast.Tuple, scope: _Scope) -> Value:
        kind = {ast.List: "list", ast.Set: "set", ast.Tuple: "tuple"}[type(node)]
        places: list[Any] = []
        for part in node.elts:
            value = (
                self._items(self._value(part.value, scope))
                if isinstance(part, ast.Starred)
                else self._value(part, scope)
            )
            self._put(id(node), value)
            self._put(id(part), value)
            places.append(id(part))
        self._put(id(node), NOTHING)
        self._held.setdefault(id(node), NOTHING)
        if kind == "tuple" and not any(isinstance(part, ast.Starred) for part in node.elts):
            return frozenset({("in", "builtins.tuple", id(node), tuple(places))})
        return frozenset({("in", f"builtins.{kind}", id(node))})

    _of_tuple = _of_set = _of_list

    def _of_dict(self, node: ast.Dict, scope: _Scope) -> Value:
        site, keys = id(node), set[str]()
        self._held.setdefault(site, NOTHING)
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                for atom in self._value(value, scope):
                    if atom[0] != "in" or atom[1] != "builtins.dict":
                        raise _Asks
                    self._pour(site, atom)
                self._keys[site] = None
                continue
            given = self._value(value, scope)
            self._put(site, given)
            self._put((site, "keys"), self._value(key, scope))
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                keys.add(key.value)
                self._put((site, "at", key.value), given)
            else:
                self._keys[site] = None
        self._keys.setdefault(site, keys)
        return frozenset({("in", "builtins.dict", site)})

    def _of_unaryop(self, node: ast.UnaryOp, scope: _Scope) -> Value:
        value = self._value(node.operand, scope)
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            if isinstance(node.operand.value, int | float):
                return frozenset({("text", -node.operand.value)})
        return frozenset({("is", "builtins.bool")}) if isinstance(node.op, ast.Not) else self._operated([value], node)

    def _of_binop(self, node: ast.BinOp, scope: _Scope) -> Value:
        return self._operated([self._value(node.left, scope), self._value(node.right, scope)], node)

    def _of_boolop(self, node: ast.BoolOp, scope: _Scope) -> Value:
        return NOTHING.union(*(self._value(each, scope) for each in node.values))

    def _of_compare(self, node: ast.Compare, scope: _Scope) -> Value:
        values = [self._value(each, scope) for each in (node.left, *node.comparators)]
        found = self._operated(values, node)
        is_plain = all(_class_of(atom).startswith("builtins.") for atom in found)
        return frozenset({("is", "builtins.bool")}) if is_plain else found

    def _operated(self, values: Sequence[Value], node: ast.AST) -> Value:
        found, plain = NOTHING, NOTHING
        whole = [value for value in values if value and all(_is_of_package(atom) for atom in value)]
        for value in values:
            if whole and all(_class_of(atom).startswith("builtins.") and atom[0] != "in" for atom in value):
                continue  # a frame and a number give what the frame makes of it
            for atom in value:
                if atom[0] in {"is", "text"} and (entry := self._class(_class_of(atom))) and "operators" in entry:
                    found |= self._typed(type_expression(entry["operators"]), ("op", id(node)), {}, atom)
                elif atom[0] == "in":  # of two lists, or a list many times
                    site = ("op", id(node))
                    for each in NOTHING.union(*values):
                        if each[0] == "in":
                            self._pour(site, each)
                    plain |= frozenset({("in", atom[1], site)})
                    self._keys[site] = None
                elif atom[0] == "text" or atom == ("data",):
                    plain |= frozenset({("is", _class_of(atom))}) if atom[0] == "text" else DATA
                elif atom[0] == "is":
                    raise _Asks
        return found | plain if found or plain else DATA

    def _truth(self, value: Value) -> None:
        del value  # whether listed objects are true has no effect

    def _of_ifexp(self, node: ast.IfExp, scope: _Scope) -> Value:
        self._value(node.test, scope)
        return self._value(node.body, scope) | self._value(node.orelse, scope)

    def _of_lambda(self, node: ast.Lambda, scope: _Scope) -> Value:
        return self._defined(node, scope)

    def _of_namedexpr(self, node: ast.NamedExpr, scope: _Scope) -> Value:
        value, at = self._value(node.value, scope), scope
        while at.is_inner and at.outer:
            at = at.outer
        self._bind(at, node.target.id, value)
        self._bind(scope, node.target.id, value)
        return value

    def _of_slice(self, node: ast.Slice, scope: _Scope) -> Value:
        for part in (node.lower, node.upper, node.step):
            if part is not None:
                self._data(self._value(part, scope))
        return DATA

    def _of_listcomp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: _Scope) -> Value:
        inner = self._generated(node, scope)
        self._put(id(node), self._value(node.elt, inner))
        self._held.setdefault(id(node), NOTHING)
        kind = {ast.ListComp: "list", ast.SetComp: "set", ast.GeneratorExp: "iterator"}[type(node)]
        return frozenset({("in", f"builtins.{kind}", id(node))})

    _of_setcomp = _of_generatorexp = _of_listcomp

    def _of_dictcomp(self, node: ast.DictComp, scope: _Scope) -> Value:
        inner = self._generated(node, scope)
        self._put((id(node), "keys"), self._value(node.key, inner))
        self._put(id(node), self._value(node.value, inner))
        self._keys[id(node)] = None
        return frozenset({("in", "builtins.dict", id(node))})

    def _generated(self, node: Any, scope: _Scope) -> _Scope:
        inner = self._scopes.setdefault(id(node), _Scope(outer=scope, is_inner=True))
        for each in node.generators:
            if each.is_async:
                raise _Asks
            self._assign(each.target, self._items(self._value(each.iter, inner)), inner)
            for test in each.ifs:
                self._value(test, inner)
        return inner
