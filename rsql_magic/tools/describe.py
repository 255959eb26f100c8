"""The tool `describe`: all that may be told of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rsql_magic.sql import ddl
from rsql_magic.tools.looking import Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rsql_magic.tools.view import DatabaseView


@dataclass(frozen=True)
class Describe(Tool):
    """Describes a table as prompts do, with all facts of its columns."""

    view: DatabaseView
    name = "describe"
    level = "names"
    purpose = "Describe a table or view: its columns, types and keys, and what is known of the values."
    parameters: ClassVar = {"table": "The name of the table"}

    def run(self, arguments: Mapping[str, str]) -> str:
        """The table as a ``CREATE TABLE`` with facts as comments."""
        table, level = self.view.table(arguments["table"]), self.view.level
        [known] = [table] if level == "names" else self.view.engine.detail([table])
        return ddl(known, level, self.view.engine.dialect)
