"""The tool `query`: a query of the model's own, guarded and bounded, of which the first rows are told."""

# It is offered at `sample` only, where rows may leave. Below, even the number of rows would tell too much: a condition
# asks one question of the data, and a model that asks enough of them reads any cell (a join with a range hides that it
# is about one row). No rule over free SQL was found that surely stops this and leaves a use.

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rsql_magic.errors import BadInput, QueryFailed
from rsql_magic.redaction import message_without_data, says_secret
from rsql_magic.sql import check, is_query, parse, validate
from rsql_magic.tools.looking import Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot import exp

    from rsql_magic.databases import Rows
    from rsql_magic.sql import Catalog
    from rsql_magic.tools.view import DatabaseView

_ROWS = 1_000
_SHOWN = 5
# Longest name of a setting.
_NAME = 80
# Nodes that stand for columns without their names.
_UNNAMED = frozenset({"Star", "Columns", "Pivot", "PositionalColumn"})


@dataclass(frozen=True)
class Query(Tool):
    """Tries a query: how many rows it gives, and the first ones."""

    view: DatabaseView
    name = "query"
    level = "sample"
    parameters: ClassVar = {"sql": "One SELECT statement"}

    @property
    def purpose(self) -> str:
        """What it does, and in which dialect."""
        return f"Try a small read-only query in {self.view.engine.dialect}: tells its first {_SHOWN} rows."

    def run(self, arguments: Mapping[str, str]) -> str:
        """The number of rows, and the first ones."""
        if self.view.level != "sample":
            raise BadInput("Queries are tried at the level `sample` only.")
        statement = self._checked(arguments["sql"])
        try:
            rows = self.view.engine.run(statement, max_rows=_ROWS, timeout=self.view.seconds)
        except QueryFailed as error:
            known = {name for table in self.view.catalog for name in (table.name, *(c.name for c in table.columns))}
            raise QueryFailed(message_without_data(str(error), known)) from None
        ordered = bool(parse(statement, self.view.engine.dialect).args.get("order"))
        return f"{rows.count}:\n{_first(rows, ordered=ordered)}"

    def _checked(self, sql: str) -> str:
        """The statement that the guard, the names and types, and the compiler let through."""
        view = self.view
        statement = check(sql, view.engine.dialect, view.catalog)
        if not is_query(statement, view.engine.dialect):
            raise BadInput("Only a SELECT can be tried.")
        if reads_people(parse(statement, view.engine.dialect), view.catalog):
            raise BadInput(
                "This may read columns about single people, or secrets, of which nothing is told.",
                hint="Name the columns that you need, without *, and leave those out.",
            )
        problems = validate(statement, view.engine.dialect, view.catalog) or view.engine.check(statement)
        if problems:
            raise QueryFailed(" ".join(problem.message for problem in problems))
        with suppress(QueryFailed):  # where the database does not say how much work it is
            if 0 < view.plan_rows < (view.engine.plan(statement).work or 0):
                raise BadInput("The database expects to handle too many rows for this.", hint="Try a smaller query.")
        return statement


def _first(rows: Rows, *, ordered: bool) -> str:
    """The first rows; those of a query without an order are sorted, as a database gives them in any."""
    frame = rows.df.rename(columns=str)
    if not ordered:
        texts = [tuple(map(str, row)) for row in frame.itertuples(index=False, name=None)]
        frame = frame.iloc[sorted(range(len(texts)), key=texts.__getitem__)]
    first = frame.head(_SHOWN).astype(object)
    told = [without_settings(list(row)) for row in first.itertuples(index=False, name=None)]
    return str(first.__class__(told, columns=first.columns, dtype=object).to_csv(index=False)).strip()


def without_settings(row: list[object]) -> list[object]:
    """A row without what stands beside the name of a secret, as in lists of settings and variables.

    Example:
        >>> without_settings(["db_password", "swordfish", "VARCHAR"]), without_settings(["region", "north"])
        (['db_password', '[withheld]', '[withheld]'], ['region', 'north'])
    """
    names = [isinstance(cell, str) and len(cell) <= _NAME and says_secret(cell) for cell in row]
    return ["[withheld]" if any(names) and not is_name else cell for cell, is_name in zip(row, names, strict=True)]


def reads_people(tree: exp.Expr, catalog: Catalog) -> bool:
    """Whether a query may read values about single people, or secrets: also its conditions and number of rows tell.

    Args:
        tree: The query.
        catalog: The tables that it may read.

    Example:
        >>> from rsql_magic.sql import Catalog, parse
        >>> shop = Catalog.from_ddl("CREATE TABLE customers (id INT, email TEXT, city TEXT)", "duckdb")
        >>> queries = "SELECT city FROM customers", "SELECT email AS x FROM customers", "SELECT c FROM customers c"
        >>> [reads_people(parse(sql, "duckdb"), shop) for sql in queries]
        [False, True, True]
    """
    from sqlglot import exp

    named = {identifier.name.casefold() for identifier in tree.find_all(exp.Identifier)}
    wildcard = any("*" in name for name in named)
    tables = [table for table in catalog if wildcard or table.name.casefold() in named]
    told = (column for table in tables for column in table.columns)
    private = {column.name.casefold() for column in told if says_secret(column.name) or column.is_private}
    return bool(private) and (bool(private & named) or _takes_whole_rows(tree))


def _takes_whole_rows(tree: exp.Expr) -> bool:
    """Whether a query may take columns that it does not name: by a star, a pivot, a place, or a row as one value."""
    from sqlglot import exp

    rows = {source.alias_or_name.casefold() for source in tree.find_all(exp.Table, exp.Subquery, exp.CTE)}
    unnamed = (node for node in tree.walk() if type(node).__name__ in _UNNAMED)
    return any(not isinstance(node.parent, exp.Count) for node in unnamed) or any(
        column.name.casefold() in rows for column in tree.find_all(exp.Column)
    )
