"""The tool `tables`: tables and views that words are about."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

from rsql_magic.sql import Index, as_stated_in_ddl, one_line, quoted
from rsql_magic.tools.looking import Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rsql_magic.sql import Table
    from rsql_magic.tools.view import DatabaseView

_MOST = 15
_COLUMNS = 12


@dataclass(frozen=True)
class Tables(Tool):
    """Searches all tables, of which a prompt shows some."""

    view: DatabaseView
    name = "tables"
    level = "names"
    purpose = "Search all tables and views of the database by words, best first. The prompt may not show all of them."
    parameters: ClassVar = {"words": "What the tables are about, such as: orders, refunds"}

    def run(self, arguments: Mapping[str, str]) -> str:
        """Names, columns and descriptions of the tables that fit the words best."""
        found = list(islice(Index.of(self.view.catalog).ranked(arguments["words"]), _MOST))
        return "\n".join([f"{len(found)} of {len(self.view.catalog)} tables:", *map(self._line, found)])

    def _line(self, table: Table) -> str:
        stated, dialect = as_stated_in_ddl(table, self.view.level), self.view.engine.dialect
        columns = [quoted(one_line(column.name), dialect) for column in stated.columns]
        more = [f"+{len(columns) - _COLUMNS} columns"] if len(columns) > _COLUMNS else []
        about = f" -- {stated.description}" if stated.description else ""
        return f"{one_line(table.full_name)} ({', '.join([*columns[:_COLUMNS], *more])}){about}"
