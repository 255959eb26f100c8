"""Whether each row of a view stands for base rows of its own, so that counting the view's rows counts base rows."""

# A category is told that five rows have, since what fewer have names somebody. A view may show one base row five times
# (a join, `UNION ALL`, `generate_series`, a subquery in its columns), and then five rows are still one person's. Proven
# is the opposite, for a query of the plainest form over one table; of all other views nothing about values is told.

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.sql import own_trees

if TYPE_CHECKING:
    from sqlglot import exp

    from rsql_magic.databases.base import Structure
    from rsql_magic.sql import Table

# Clauses that leave rows out, order them or put disjoint ones together.
_CLAUSES = frozenset({"kind", "expressions", "from_", "from", "where", "order", "limit", "offset", "distinct", "group"})
# Nodes of columns that are computed from the columns of one row, or of the rows of one group.
_OF_ONE_ROW = frozenset(
    """
    Column Alias Identifier Literal Star Null Boolean Paren Cast TryCast DataType DataTypeParam Case If Coalesce And Or
    Not Is EQ NEQ GT GTE LT LTE Between In Add Sub Mul Div Mod Neg DPipe Concat Lower Upper Trim Round Abs Substring
    Length Sum Count Avg Min Max
    """.split()
)


class ViewRows:
    """The views of a database of which each row is proven to stand for base rows of its own.

    Args:
        structure: Its tables, and the queries of its views.
        dialect: sqlglot's name of its dialect.

    Example:
        >>> from rsql_magic.databases.base import Structure
        >>> from rsql_magic.sql import Table
        >>> people, north = Table("people"), Table("north", kind="view")
        >>> query = "CREATE VIEW north AS SELECT id, ward FROM people WHERE ward = 'north'"
        >>> ViewRows(Structure((people, north), definitions={"north": query}), "duckdb").are_own(north)
        True
    """

    def __init__(self, structure: Structure, dialect: str) -> None:
        self._tables: dict[str, list[Table]] = {}
        for table in structure.tables:
            self._tables.setdefault(table.name.casefold(), []).append(table)
        self._definitions, self._dialect = structure.definitions, dialect
        self._known: dict[str, bool] = {}

    def are_own(self, table: Table) -> bool:
        """Whether no base row is behind two rows; always so for what is no view, materialized or not."""
        if table.kind != "view" and table.full_name not in self._definitions:
            return True
        if table.full_name not in self._known:
            self._known[table.full_name] = False  # a view over itself proves nothing
            self._known[table.full_name] = self._proven(self._definitions.get(table.full_name, ""))
        return self._known[table.full_name]

    def _proven(self, definition: str) -> bool:
        from sqlglot import exp

        try:
            trees = own_trees(definition, self._dialect)
        except ValueError:
            return False
        query = trees[0].expression if trees and isinstance(trees[0], exp.Create) else next(iter(trees), None)
        return len(trees) == 1 and isinstance(query, exp.Select) and _is_plain(query) and self._reads_own_rows(query)

    def _reads_own_rows(self, query: exp.Select) -> bool:
        """Whether it reads one table whose rows are its own, whichever of that name is meant."""
        from sqlglot import exp

        source = (query.args.get("from_") or query.args["from"]).this
        if not isinstance(source, exp.Table) or not isinstance(source.this, exp.Identifier):
            return False
        if _given(source) - {"this", "db", "catalog", "alias"}:
            return False
        meant = self._tables.get(source.name.casefold(), [])
        return bool(meant) and all(map(self.are_own, meant))


def _is_plain(query: exp.Select) -> bool:
    """Whether it has only clauses and columns that repeat no row and take no value from another row."""
    if _given(query) - _CLAUSES or not _given(query) & {"from_", "from"}:
        return False
    group = query.args.get("group")
    if group is not None and _given(group) - {"expressions"}:  # ROLLUP and its like count a row several times
        return False
    computed = [*query.expressions, *(group.expressions if group is not None else ())]
    return all(type(node).__name__ in _OF_ONE_ROW for one in computed for node in one.walk())


def _given(node: exp.Expr) -> set[str]:
    """The names of a node's parts that are there."""
    return {name for name, part in node.args.items() if part not in (None, False, [])}
