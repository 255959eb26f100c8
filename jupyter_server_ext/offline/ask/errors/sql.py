"""SQL, in the words of DuckDB, SQLite, PostgreSQL and MySQL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..columns import nearest
from .trouble import Advice, Explanations, Trouble

if TYPE_CHECKING:
    from rsql_magic.sql import Catalog

SQL = Explanations("sql")


def _catalog(trouble: Trouble) -> Catalog:
    notebook = trouble.notebook
    return notebook.request.catalog if notebook.request.tables else notebook.catalog(notebook.frames)


@SQL.on(
    r"Referenced column \"(?P<name>[^\"]+)\" (?:was )?not found",
    r"Table \"[^\"]+\" does not have a column named \"(?P<name>[^\"]+)\"",
    r"no such column: (?P<name>[\w.]+)",
    r"column \"?(?P<name>[\w.]+)\"? (?:of relation \S+ )?does not exist",
    r"Unknown column '(?P<name>[^']+)'",
)
def no_column(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A column that no table of the query has."""
    name = match["name"].rpartition(".")[2]
    columns = [(table.name, column.name) for table in _catalog(trouble) for column in table.columns]
    same = [f"`{table}.{column}`" for table, column in columns if column.lower() == name.lower()]
    what = f"The query's tables have no column `{name}`."
    if same:
        return Advice(what, f"The column is in another table ({', '.join(same[:3])}): join it.")
    found = nearest(name, [column for _, column in columns])
    offered = re.search(r"Candidate bindings: (.+)", trouble.text)
    if found:
        holder = next(table for table, column in columns if column == found)
        return Advice(
            what, f"The nearest name is `{found}` in `{holder}`. A text value needs single quotes, not double ones."
        )
    hint = f"There are: {offered[1].strip()}." if offered else "Check the spelling."
    return Advice(what, f"{hint} A text value needs single quotes, not double ones.")


@SQL.on(
    r"Table with name (?P<name>\S+) does not exist",
    r"no such table: (?P<name>[\w.]+)",
    r"relation \"(?P<name>[^\"]+)\" does not exist",
    r"Table '(?P<name>[^']+)' doesn't exist",
)
def no_table(trouble: Trouble, match: re.Match[str]) -> Advice:
    """A table that is not there."""
    name = match["name"].rpartition(".")[2]
    known = [table.name for table in _catalog(trouble)]
    found = nearest(name, known)
    listed = ", ".join(f"`{table}`" for table in known[:10])
    hint = f"Did you mean `{found}`?" if found else "Check the spelling, the schema and which database is connected."
    return Advice(f"There is no table `{name}`.", f"{hint}{f' There are {listed}.' if listed else ''}")
