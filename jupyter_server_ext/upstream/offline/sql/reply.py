"""The answer to a SQL prompt: one query in a block and at most two sentences, or plain words about what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import schema as schemas
from .query import NotUnderstood
from .question import Written, write

if TYPE_CHECKING:
    from sqlglot import exp

    from ..prompt import Prompt
    from .schema import Schema


def reply(prompt: Prompt) -> str:
    """The answer to a prompt that asks for SQL.

    Args:
        prompt: The prompt, read.
    """
    schema = schemas.read(block.text for block in prompt.of_kind("schema"))
    if not schema.tables:
        return "I see no tables in this prompt, so there is nothing I could query. Connect to a database that has some."
    try:
        written = write(prompt.question, schema, prompt.dialect)
    except NotUnderstood as doubt:
        return decline(str(doubt), schema)
    return sql_block(written.query, prompt.dialect, _notes(written))


def _notes(written: Written) -> str:
    return " ".join(written.notes[:2])


def sql_block(query: exp.Expression, dialect: str, notes: str = "") -> str:
    """A query as the prompt wants it: in one ``sql`` block, with what should be said after it."""
    text = query.sql(dialect=dialect or None, pretty=True)
    return f"```sql\n{text}\n```" + (f"\n{notes}" if notes else "")


def decline(reason: str, schema: Schema) -> str:
    """Plain words instead of a guess: why not, and which tables and columns there are."""
    return f"{reason.rstrip('.')}, so I write no SQL rather than guess. {_known(schema)}"


def _known(schema: Schema) -> str:
    shown = [
        f"{t.name} ({', '.join(c.name for c in t.columns[:8])}{', …' if len(t.columns) > 8 else ''})"
        for t in schema.tables[:6]
    ]
    more = f" and {len(schema.tables) - 6} more tables" if len(schema.tables) > 6 else ""
    return f"I know {'; '.join(shown)}{more}. Try naming the column and the value you mean."
