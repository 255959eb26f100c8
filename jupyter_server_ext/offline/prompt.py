"""A request in the form that the rules for SQL read: the schema as DDL with facts in comments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsql_magic.sql import ddl

from .sql.schema import read

if TYPE_CHECKING:
    from datetime import date

    from rsql_magic.sql import Catalog

    from .request import OfflineRequest, Task, Turn
    from .sql.schema import Schema

_FENCE = re.compile(r"```(?P<lang>[\w+-]*)[^\n]*\n(?P<code>.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of data: its kind, name and text."""

    kind: str
    name: str
    text: str


@dataclass(frozen=True)
class Prompt:
    """A question about tables.

    Args:
        task: What the answer must be.
        question: The user's words.
        blocks: The schema.
        turns: Earlier questions and answers, oldest first.
        dialect: sqlglot's name of the SQL dialect; empty: any.
        today: The day of the question.
        failed: The query to repair, empty unless ``task`` is ``repair``.
        problems: What the checks said about it, one a line.
    """

    task: Task
    question: str
    blocks: tuple[Block, ...] = ()
    turns: tuple[Turn, ...] = ()
    dialect: str = ""
    today: date | None = None
    failed: str = ""
    problems: str = ""

    @classmethod
    def of(cls, request: OfflineRequest) -> Prompt:
        """The prompt that a request stands for."""
        schema = Block("schema", request.source, schema_text(request.catalog))
        problems = "\n".join(f"- {problem}" for problem in request.problems)
        dialect, day = request.dialect, request.day
        return cls(request.task, request.question, (schema,), request.history, dialect, day, request.sql, problems)

    def of_kind(self, *kinds: str) -> list[Block]:
        """The blocks of these kinds."""
        return [block for block in self.blocks if block.kind in kinds]


def schema_text(catalog: Catalog) -> str:
    """A catalog as DDL."""
    return "\n".join(ddl(table, "sample") for table in catalog)


def schema_of(catalog: Catalog) -> Schema:
    """A catalog as the rules for SQL have it."""
    return read([schema_text(catalog)])


def code_blocks(text: str, *languages: str) -> list[str]:
    r"""The fenced code of these languages in a text, in order.

    Example:
        >>> code_blocks("```sql\nSELECT 1\n```", "sql")
        ['SELECT 1']
    """
    found = _FENCE.finditer(text)
    return [match["code"].strip() for match in found if not languages or match["lang"].lower() in languages]
