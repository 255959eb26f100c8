"""Trees that were checked are written as SQL of DuckDB."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite

from rsql_magic.knowledge.expressions.checking import shape_of, type_of
from rsql_magic.knowledge.expressions.language import (
    AGGREGATE,
    FUNCTIONS,
    ROW,
    UNITS,
    ExpressionScope,
    Node,
    is_date,
    is_datetime,
    selected,
)
from rsql_magic.sql import quoted

_WEAK = {"or": 1, "and": 2, "not": 3, "compare": 4, "null": 4, "between": 4, "in": 4, "like": 4}


def as_sql(tree: Node, scope: ExpressionScope, *, window: bool | None = None) -> str:
    """An expression that was checked, as SQL of DuckDB.

    In an expression with a value for each row, aggregates become windows over all rows, and so do names of metrics,
    which are written out there.

    Example:
        >>> from rsql_magic.knowledge.expressions.parsing import parse_expression
        >>> scope = ExpressionScope({"qty": "number", "unit price": "number"})
        >>> as_sql(parse_expression("qty <= 2 * MIN(qty) AND `unit price` / 2 > 1"), scope)
        'qty <= 2 * min(qty) OVER () AND "unit price" / 2 > 1'
    """
    over = shape_of(tree, scope) == ROW if window is None else window
    selection = next((node for node in tree.walk() if node.kind == "columns"), None)
    if selection is None:
        return _Writer(scope, over, "").written(tree)
    texts = [_Writer(scope, over, name).written(tree, 2) for name in selected(selection, scope)]
    return " AND ".join(texts) or "TRUE"


@dataclass(frozen=True, slots=True)
class _Writer:
    scope: ExpressionScope
    over: bool  # whether aggregates are windows
    column: str  # what COLUMNS(…) stands for

    def written(self, node: Node, above: int = 0) -> str:
        """The SQL of a node, in parentheses where what stands around it binds more tightly."""
        strength = self._strength(node)
        text: str = getattr(self, f"_{node.kind}")(node)
        return f"({text})" if strength <= above and strength < 9 else text

    def _strength(self, node: Node) -> int:
        if node.kind == "arithmetic":
            return 5 if node.value in "+-" else 6
        if node.kind == "negative" or (node.kind == "similar" and node.value):
            return 7 if node.kind == "negative" else 3
        return _WEAK.get(node.kind, 9)

    def _number(self, node: Node) -> str:
        value = node.value
        if isinstance(value, int):
            return str(value)
        return repr(value) if isfinite(value) else f"CAST('{value}' AS DOUBLE)"

    def _string(self, node: Node) -> str:
        return f"""'{node.value.replace("'", "''")}'"""

    def _boolean(self, node: Node) -> str:
        return "TRUE" if node.value else "FALSE"

    def _nothing(self, _: Node) -> str:
        return "NULL"

    def _now(self, _: Node) -> str:
        return "current_timestamp"

    def _column(self, node: Node) -> str:
        name = node.value[0]
        known = self.scope.definitions.get(name) if len(node.value) == 1 and name not in self.scope.columns else None
        if known and self.over and known[1] == AGGREGATE:
            return f"({as_sql(known[2], self.scope, window=True)})"
        return ".".join(quoted(part, "duckdb") for part in node.value)

    def _columns(self, _: Node) -> str:
        return quoted(self.column, "duckdb")

    def _negative(self, node: Node) -> str:
        return f"- {self.written(node.parts[0], 6)}"

    def _not(self, node: Node) -> str:
        return f"NOT {self.written(node.parts[0], 3)}"

    def _and(self, node: Node) -> str:
        return f"{self.written(node.parts[0], 1)} AND {self.written(node.parts[1], 2)}"

    def _or(self, node: Node) -> str:
        return f"{self.written(node.parts[0])} OR {self.written(node.parts[1], 1)}"

    def _compare(self, node: Node) -> str:
        return f"{self._timed(node.parts[0], node.parts[1])} {node.value} {self._timed(node.parts[1], node.parts[0])}"

    def _timed(self, node: Node, other: Node) -> str:
        """An operand; a literal that is compared with a date or time is one, in UTC."""
        wanted = type_of(other, self.scope) if node.kind == "string" else ""
        if wanted == "date" and is_date(node.value):
            return f"DATE {self._string(node)}"
        if wanted == "datetime" and is_datetime(node.value):
            moment = datetime.fromisoformat(node.value)
            moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
            return f"TIMESTAMP '{moment.isoformat(' ')}'"
        return self.written(node, 4)

    def _null(self, node: Node) -> str:
        return f"{self.written(node.parts[0], 4)} IS {'NOT ' * bool(node.value)}NULL"

    def _between(self, node: Node) -> str:
        subject, low, high = node.parts
        first, last = self._timed(low, subject), self._timed(high, subject)
        return f"{self.written(subject, 4)} {'NOT ' * bool(node.value)}BETWEEN {first} AND {last}"

    def _in(self, node: Node) -> str:
        subject, *others = node.parts
        items = ", ".join(self._timed(other, subject) for other in others)
        return f"{self.written(subject, 4)} {'NOT ' * bool(node.value)}IN ({items})"

    def _like(self, node: Node) -> str:
        return f"{self.written(node.parts[0], 4)} {'NOT ' * bool(node.value)}LIKE {self.written(node.parts[1], 4)}"

    def _similar(self, node: Node) -> str:
        arguments = ", ".join(self.written(part) for part in node.parts)
        return f"{'NOT ' * bool(node.value)}regexp_full_match({arguments})"

    def _interval(self, node: Node) -> str:
        amount, unit = node.parts[0], UNITS[node.value]
        if amount.kind == "number" and isinstance(amount.value, int):
            return f"INTERVAL '{amount.value}' {unit}"
        return f"({self.written(amount, 6)} * INTERVAL '1' {unit})"

    def _arithmetic(self, node: Node) -> str:
        strength = self._strength(node)
        return f"{self.written(node.parts[0], strength - 1)} {node.value} {self.written(node.parts[1], strength)}"

    def _case(self, node: Node) -> str:
        parts = [self.written(part) for part in node.parts]
        pairs = len(parts) // 2
        whens = " ".join(f"WHEN {parts[2 * place]} THEN {parts[2 * place + 1]}" for place in range(pairs))
        otherwise = f" ELSE {parts[-1]}" if len(parts) % 2 else ""
        return f"CASE {whens}{otherwise} END"

    def _call(self, node: Node) -> str:
        signature = FUNCTIONS[node.value]
        if node.value == "mod":
            # The sign is the divisor's here and the dividend's in SQL.
            one, other = self.written(node.parts[0]), self.written(node.parts[1])
            return f"mod(mod({one}, {other}) + {self.written(node.parts[1], 5)}, {other})"
        arguments = ", ".join(self.written(part) for part in node.parts)
        if node.value == "row_count":
            arguments = "*"
        elif node.value == "count_distinct":
            arguments = f"DISTINCT {arguments}"
        call = f"{signature.sql}({arguments})"
        return f"{call} OVER ()" if signature.aggregate and self.over else call
