"""Trees are checked: types, shapes, names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.knowledge.expressions.language import (
    AGGREGATE,
    CONST,
    FUNCTIONS,
    NUMBER,
    ROW,
    TEXT,
    TRUTH,
    UNITS,
    CheckedExpression,
    ExpressionScope,
    Node,
    as_regex,
    is_aggregate,
    is_date,
    is_datetime,
    selected,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_expression(tree: Node, scope: ExpressionScope, *, boolean: bool = False) -> CheckedExpression:
    """Type, shape and problems of an expression; an assertion must be ``boolean``.

    Example:
        >>> from rsql_magic.knowledge.expressions.parsing import parse_expression
        >>> check_expression(parse_expression("SUM(name)"), ExpressionScope({"name": "string"})).problems
        (('S21', 'SUM takes a number, not a string'),)
    """
    checker = _Checker(scope)
    found, shape = checker.type_of(tree), checker.shape_of(tree)
    selections = [node for node in tree.walk() if node.kind == "columns"]
    if boolean or selections:
        if tree.kind == "columns":
            checker.require_columns(tree, ("boolean",), "a condition")
        elif found == "unknown":
            checker.unknown(tree)
        elif found not in {"boolean", "any"}:
            what = "an assertion" if boolean else "an expression with COLUMNS(…)"
            checker.report("S21", f"{what} must be a condition, not {_a(found)}")
    elif found == "unknown":
        checker.unknown(tree)
    carried = [node for node in tree.walk() if _brings_selection(node, scope)]
    if len(selections) + len(carried) > 1:
        checker.report("S21", "an expression may use COLUMNS(…) once only")
    elif carried and found not in {"boolean", "any", "unknown"}:
        checker.report("S21", "an expression with COLUMNS(…) must be a condition")
    found = "boolean" if tree.kind == "columns" else found
    return CheckedExpression(found, shape, tuple(dict.fromkeys(checker.problems)))


def type_of(tree: Node, scope: ExpressionScope) -> str:
    """The type of an expression's value."""
    return _Checker(scope).type_of(tree)


def shape_of(tree: Node, scope: ExpressionScope) -> int:
    """Whether an expression has one value, one of all rows, or one for each row."""
    return _Checker(scope).shape_of(tree)


def _brings_selection(node: Node, scope: ExpressionScope) -> bool:
    if node.kind != "column" or len(node.value) > 1 or node.value[0] in scope.columns:
        return False
    known = scope.definitions.get(node.value[0])
    return known is not None and any(
        part.kind == "columns" or _brings_selection(part, scope) for part in known[2].walk()
    )


def _a(type_name: str) -> str:
    return f"a{'n' * (type_name[0] in 'aeiou')} {type_name}"


_GIVEN = {"number": "number", "string": "string", "boolean": "boolean", "nothing": "any", "now": "datetime"}


class _Checker:
    """Types and shapes of nodes; a method for each kind of node."""

    def __init__(self, scope: ExpressionScope) -> None:
        self.scope = scope
        self.problems: list[tuple[str, str]] = []

    def report(self, code: str, message: str) -> str:
        self.problems.append((code, message))
        return "any"

    def unknown(self, node: Node) -> None:
        name = ".".join(node.value) if node.kind == "column" else "this value"
        self.report("S23", f"{name} has no declared type")

    def require(self, node: Node, allowed: Sequence[str], what: str) -> str:
        found = self.type_of(node)
        if node.kind == "columns":
            self.require_columns(node, allowed, what)
        elif found == "unknown":
            self.unknown(node)
        elif found != "any" and found not in allowed:
            self.report("S21", f"{what} takes {' or '.join(map(_a, allowed))}, not {_a(found)}")
        return found

    def require_columns(self, node: Node, allowed: Sequence[str], what: str) -> None:
        for name in selected(node, self.scope):
            found = self.scope.columns[name]
            if found == "unknown":
                self.report("S23", f"{name} has no declared type")
            elif found not in allowed:
                self.report("S21", f"{what} takes {' or '.join(map(_a, allowed))}, but {name} is {_a(found)}")

    def type_of(self, node: Node) -> str:
        """The type of an expression; what is wrong with it is noted."""
        if node.kind in _GIVEN:
            return _GIVEN[node.kind]
        found: str = getattr(self, f"_{node.kind}")(node)
        return found

    def _negative(self, node: Node) -> str:
        self.require(node.parts[0], NUMBER, "-")
        return "number"

    def _logic(self, node: Node) -> str:
        for part in node.parts:
            self.require(part, TRUTH, node.kind.upper())
        return "boolean"

    _not = _and = _or = _logic

    def _null(self, node: Node) -> str:
        self.type_of(node.parts[0])
        return "boolean"

    def _comparison(self, node: Node) -> str:
        for other in node.parts[1:]:
            self._comparable(node.parts[0], other)
        return "boolean"

    _compare = _between = _in = _comparison

    def _like(self, node: Node) -> str:
        for part in node.parts:
            self.require(part, TEXT, "LIKE")
        return "boolean"

    def _similar(self, node: Node) -> str:
        for part in node.parts:
            self.require(part, TEXT, "SIMILAR TO")
        pattern = node.parts[1]
        if pattern.kind == "string" and as_regex(pattern.value) is None:
            self.report("S21", f"{pattern.value!r} is no regular expression")
        return "boolean"

    def _interval(self, node: Node) -> str:
        self.require(node.parts[0], NUMBER, "interval")
        if node.value not in UNITS:
            self.report("S21", f"{node.value} is no unit of time: {', '.join(UNITS)}")
        return "interval"

    def _column(self, node: Node) -> str:
        path = node.value
        found = self.scope.columns.get(path[0])
        if found is None:
            if len(path) == 1 and path[0] in self.scope.definitions:
                return self.scope.definitions[path[0]][0]
            return self.report("S20", f"there is no column or definition {path[0]}")
        for count in range(1, len(path)):
            if found != "struct":
                return self.report("S21", f"{'.'.join(path[:count])} is {_a(found)}, not a struct")
            if (found := self.scope.fields.get(".".join(path[: count + 1]))) is None:
                return self.report("S20", f"{'.'.join(path[:count])} has no field {path[count]}")
        return found

    def _columns(self, node: Node) -> str:
        form, chosen = ("names", []) if node.value == "*" else node.value
        if form == "names":
            for name in chosen:
                if name not in self.scope.columns:
                    self.report("S20", f"there is no column {name}")
        elif as_regex(chosen) is None:
            self.report("S21", f"{chosen!r} is no regular expression")
        elif not selected(node, self.scope):
            self.report("S22", f"no column's name matches {chosen!r}")
        return "any"

    def _arithmetic(self, node: Node) -> str:
        left, right = self.type_of(node.parts[0]), self.type_of(node.parts[1])
        if "unknown" in {left, right}:
            for part, found in zip(node.parts, (left, right), strict=True):
                if found == "unknown":
                    self.unknown(part)
            return "any"
        if node.value in {"+", "-"}:
            for one, other in ((left, right), (right, left)):
                if one in {"date", "datetime"} and other in {"interval", "any"}:
                    return "datetime"
        for part in node.parts:
            self.require(part, NUMBER, node.value)
        return "number"

    def _comparable(self, one: Node, other: Node) -> None:
        if one.kind != "columns" and other.kind == "columns":
            one, other = other, one
        first, second = self.type_of(one), self.type_of(other)
        if second == "unknown":
            self.unknown(other)
        elif one.kind == "columns":
            for name in selected(one, self.scope):
                found = self.scope.columns[name]
                if found == "unknown":
                    self.report("S23", f"{name} has no declared type")
                elif not _agree(found, one, second, other):
                    self.report("S21", f"{name} is {_a(found)} and cannot be compared with {_a(second)}")
            return
        if first == "unknown":
            self.unknown(one)
        elif second != "unknown" and not _agree(first, one, second, other):
            self.report("S21", f"{_a(first)} cannot be compared with {_a(second)}")

    def _case(self, node: Node) -> str:
        parts, pairs = node.parts, len(node.parts) // 2
        for place in range(pairs):
            self.require(parts[2 * place], TRUTH, "WHEN")
        found = [self.type_of(part) for part in (*parts[1 : 2 * pairs : 2], *parts[2 * pairs :])]
        if "unknown" in found:
            return "unknown"
        said = {one for one in found if one != "any"}
        return said.pop() if len(said) == 1 else "any"

    def _call(self, node: Node) -> str:
        if (signature := FUNCTIONS.get(node.value)) is None:
            for part in node.parts:
                self.type_of(part)
            return self.report("S21", f"there is no function {node.value.upper()}")
        name = node.value.upper()
        if len(node.parts) not in signature.counts:
            wanted = " or ".join(map(str, signature.counts))
            self.report("S21", f"{name} takes {wanted} argument(s), not {len(node.parts)}")
        take = signature.arguments
        found = [self.require(part, take, name) if take else self.type_of(part) for part in node.parts]
        if signature.result != "same":
            return signature.result
        return found[0] if found and found[0] in take else "any"

    def shape_of(self, node: Node) -> int:
        if node.kind == "column":
            if len(node.value) == 1 and node.value[0] not in self.scope.columns:
                return self.scope.definitions.get(node.value[0], ("", ROW, node))[1]
            return ROW
        if node.kind == "columns":
            return ROW
        shapes = [self.shape_of(part) for part in node.parts]
        if is_aggregate(node):
            if AGGREGATE in shapes:
                self.report("S30", f"the argument of {node.value.upper()} is an aggregate already")
            return AGGREGATE
        return max(shapes, default=CONST)


def _agree(one_type: str, one: Node, other_type: str, other: Node) -> bool:
    """Whether two values may be compared."""
    if {one_type, other_type} & {"struct", "list"}:
        return False
    times = {"date", "datetime"}
    return (
        "any" in {one_type, other_type}
        or one_type == other_type
        or {one_type, other_type} <= times
        or _names_time(one, other_type)
        or _names_time(other, one_type)
    )


def _names_time(node: Node, wanted: str) -> bool:
    """Whether a literal is a date or a time of that type, as text."""
    if node.kind != "string":
        return False
    return (wanted == "date" and is_date(node.value)) or (wanted == "datetime" and is_datetime(node.value) != "")
