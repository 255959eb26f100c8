"""Texts that packages read as code: formulas of models, and the expressions of `query` and `eval`."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import Any

from rsql_magic.agent.effects.expressions import CellExpressions
from rsql_magic.agent.effects.values import DATA, NOTHING, Value, _Asks, _Scope

_FORMULA_FUNCTIONS = frozenset({"C", "I", "Q", "bs", "cc", "center", "cr", "scale", "standardize", "te"})
_CONTRASTS = frozenset({"Treatment", "Sum", "Poly", "Diff", "Helmert"})
_OF_FORMULAS: tuple[type[ast.AST], ...] = (
    *(ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.Attribute, ast.Constant, ast.Call, ast.keyword),
    *(ast.Tuple, ast.List, ast.expr_context, ast.operator, ast.unaryop, ast.cmpop),
)
_OF_FRAMES = (*_OF_FORMULAS, ast.BoolOp, ast.boolop, ast.Subscript, ast.Slice)
_COLUMN: Value = frozenset({("is", "pandas.Series")})


class CellLanguages(CellExpressions):
    """Each is read by a parser and held to the nodes that it has; every name in it is accounted for."""

    # Packages look a name up where the call stands; whatever any scope of the cell holds under it is meant.
    def _anywhere(self, name: str) -> Value:
        scopes = [self.top, *self._scopes.values(), *(each.scope for each in self._functions.values())]
        found = NOTHING.union(*(each.names.get(name, NOTHING) for each in scopes))
        if (held := self._session.python.get(name)) is not None:
            given = self._of_session(held, name)
            if given is None:
                raise _Asks
            found |= given
        return found

    def _tree(self, language: str, text: str) -> ast.Module:
        if (language, text) not in self._trees:
            self._trees[language, text] = ast.parse(text)
        return self._trees[language, text]

    # `y ~ a + b:c + C(d) + np.log(e)`: columns, and functions that are on a list.
    def _formula(self, value: Value) -> None:
        for atom in value:
            if atom[0] != "text" or not isinstance(atom[1], str):
                raise _Asks
            for side in atom[1].split("~"):
                if side.strip():
                    self._formula_side(side.strip().replace(":", "*").replace("\n", " "))

    def _formula_side(self, text: str) -> None:
        try:
            [statement] = self._tree("formula", text).body
        except (SyntaxError, ValueError) as error:
            raise _Asks from error
        if not isinstance(statement, ast.Expr):
            raise _Asks
        if not all(isinstance(each, _OF_FORMULAS) for each in ast.walk(statement.value)):
            raise _Asks
        scope = _Scope(outer=self.top)
        self._term(statement.value, scope)

    def _term(self, node: ast.AST, scope: _Scope) -> None:
        match node:
            case ast.Name(id=name):
                self._data(self._anywhere(name))
            case ast.Call(func=ast.Name(id=name)) if name in _FORMULA_FUNCTIONS | _CONTRASTS:
                if self._anywhere(name):
                    raise _Asks  # one of the notebook's own would be called
                for part in (*node.args, *(each.value for each in node.keywords)):
                    self._term(part, scope)
            case ast.Call():
                for each in ast.walk(node):
                    if isinstance(each, ast.Name) and each.id not in scope.names:
                        scope.names[each.id] = self._anywhere(each.id) or self._builtin(each.id)
                self._value(node, scope)
            case ast.Attribute():
                raise _Asks
            case _:
                for inner in ast.iter_child_nodes(node):
                    self._term(inner, scope)

    # A column, or else what Python has under this name.
    def _builtin(self, name: str) -> Value:
        return (self._listed(f"builtins.{name}") or NOTHING) | DATA

    # The code of `DataFrame.query` and `eval`: columns by their names, the cell's own behind `@`.
    def _frame_code(self, value: Value) -> None:
        for atom in value:
            if atom[0] != "text" or not isinstance(atom[1], str):
                raise _Asks
            try:
                tree = self._tree("frame", _without_signs(atom[1]))
            except (SyntaxError, ValueError, tokenize.TokenError) as error:
                raise _Asks from error
            for statement in tree.body:
                match statement:
                    case ast.Expr(value=code):
                        pass
                    case ast.Assign(targets=[ast.Name()], value=code):
                        pass
                    case _:
                        raise _Asks
                if not all(isinstance(each, _OF_FRAMES) for each in ast.walk(code)):
                    raise _Asks
                self._value(code, self._of_frame(code))

    def _of_frame(self, code: ast.expr) -> _Scope:
        names = {each.id for each in ast.walk(code) if isinstance(each, ast.Name)}
        scope = _Scope(outer=self.top)
        for name in names:
            if name.startswith(_OWN):
                found = self._anywhere(name.removeprefix(_OWN))
                self._data(found)
                if not found:
                    raise _Asks
                scope.names[name] = found
            else:
                scope.names[name] = _COLUMN
        return scope

    # Expressions that run in the page: of columns, constants and functions that compute.
    def _vega(self, value: Value) -> None:
        for atom in value:
            is_object = atom[0] == "is" and atom[1] in {"altair.Expression", "altair.Parameters"}
            is_plain = atom[0] == "text" and (not isinstance(atom[1], str) or is_plain_vega(atom[1]))
            if not is_object and not is_plain:
                raise _Asks


_VEGA_TOKEN = re.compile(
    r"""\s+ | \d+(?:\.\d*)?(?:[eE][+-]?\d+)? | '[^'\\]*' | "[^"\\]*" | [-+*/%<>!?:(),] | === | !== | == | && | \|\|"""
    r""" | datum\.(?P<column>[A-Za-z_]\w*) | datum\['(?P<quoted>[^'\\]*)'\] | (?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE,
)
_OF_OBJECTS = frozenset({"constructor", "prototype", "__proto__", "toString", "valueOf", "toJSON", "__defineGetter__"})
_OF_VEGA = frozenset(
    {"abs", "ceil", "clamp", "cos", "date", "day", "exp", "floor", "format", "hours", "if"}
    | {"isDate", "isDefined", "isFinite", "isNaN", "isNumber", "isString", "isValid", "length", "log", "lower", "max"}
    | {"min", "minutes", "month", "now", "pow", "quarter", "random", "round", "seconds", "sin", "sqrt"}
    | {
        "substring",
        "tan",
        "time",
        "timeFormat",
        "toBoolean",
        "toDate",
        "toNumber",
        "trim",
        "truncate",
        "upper",
        "utcFormat",
    }
    | {"year", "true", "false", "null", "PI", "E"}
)


def is_plain_vega(text: str) -> bool:
    """Whether a Vega expression computes from columns: every token of it is of a listed kind.

    Example:
        >>> is_plain_vega("datum.a > 1 && isValid(datum['b c'])"), is_plain_vega("event.view.fetch('x')")
        (True, False)
    """
    at = 0
    while at < len(text):
        token = _VEGA_TOKEN.match(text, at)
        if token is None or (token["column"] or token["quoted"]) in _OF_OBJECTS:
            return False
        if token["name"] and token["name"] not in _OF_VEGA:
            return False
        at = token.end()
    return True


_OWN = "own_name_"
_QUOTED = "quoted_column"


# `@limit` and `` `two words` `` as names of Python.
def _without_signs(text: str) -> str:
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        raise ValueError(text)
    text = _QUOTED.join(pieces[::2]).strip()
    if _OWN in text:
        raise ValueError(text)
    words: list[Any] = []
    for each in tokenize.generate_tokens(io.StringIO(text).readline):
        if each.type == tokenize.ERRORTOKEN and each.string.isspace():
            continue
        words.append((each.type, each.string))
    joined, at = list[tuple[int, str]](), 0
    while at < len(words):
        kind, word = words[at]
        if word == "@" and at + 1 < len(words) and words[at + 1][0] == tokenize.NAME:
            joined.append((tokenize.NAME, _OWN + words[at + 1][1]))
            at += 2
            continue
        joined.append((kind, word))
        at += 1
    return tokenize.untokenize(joined)
