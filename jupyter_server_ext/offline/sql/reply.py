"""The answer to a SQL prompt: one query in a block and at most two sentences, or plain words about what is missing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..languages import only_english
from . import schema as schemas
from .charts import chart_block
from .followup import earlier_query, follow, is_follow_up
from .layout import laid_out
from .literal import statement, wants_change, wants_description
from .query import NotUnderstood
from .question import write
from .repair import repaired
from .spelled import meant

if TYPE_CHECKING:
    from sqlglot import exp

    from ..prompt import Prompt
    from .question import Written
    from .schema import Schema


def reply(prompt: Prompt) -> str:
    """The answer to a prompt that asks for SQL.

    Args:
        prompt: The prompt, read.
    """
    if sql := statement(prompt.question) if prompt.task == "sql" else "":
        return f"```sql\n{sql}\n```"
    schema = schemas.read(block.text for block in prompt.of_kind("schema"))
    if not schema.tables:
        return "I see no tables in this prompt, so there is nothing I could query. Connect to a database that has some."
    if wants_change(prompt.question):
        return "I only write queries that read, so I write nothing that would change the data."
    if wants_description(prompt.question, _names(schema)):
        return decline("What the data are like is no query; `%%ask` describes a frame", schema)
    try:
        return _corrected(prompt, schema) if prompt.task == "repair" else _answered(prompt, schema)
    except NotUnderstood as doubt:
        return only_english(prompt.question) or decline(str(doubt), schema)


def _names(schema: Schema) -> list[str]:
    return [*(table.name for table in schema.tables), *(column.name for column in schema.columns())]


def _answered(prompt: Prompt, schema: Schema) -> str:
    written = _written(prompt, schema)
    chart = chart_block(written.query, written.draft.chart) if written.draft.chart else ""
    parts = (sql_block(written.query, prompt.dialect), " ".join(written.notes[:2]), chart)
    return "\n".join(part for part in parts if part)


def _written(prompt: Prompt, schema: Schema) -> Written:
    """The query for a question, which may build on the one before."""
    over_frames = any(block.name == "frames" for block in prompt.of_kind("schema"))
    if over_frames and (narrow := meant(prompt.question, schema)) is not schema:
        with suppress(NotUnderstood):
            return write(prompt.question, narrow, prompt.dialect, prompt.today)
    before = earlier_query(prompt.turns, prompt.dialect)
    if before is not None and is_follow_up(prompt.question):
        try:
            return follow(prompt.question, before, schema, prompt.dialect, prompt.today)
        except NotUnderstood as doubt:
            return _anew(prompt, schema, doubt)
    return write(prompt.question, schema, prompt.dialect, prompt.today)


def _anew(prompt: Prompt, schema: Schema, doubt: NotUnderstood) -> Written:
    """The question on its own; when that is not understood either, the doubt about the follow-up says more."""
    try:
        return write(prompt.question, schema, prompt.dialect, prompt.today)
    except NotUnderstood:
        raise doubt from None


def _corrected(prompt: Prompt, schema: Schema) -> str:
    """The failed query, corrected by what was said about it; else written anew, unless a person wrote it."""
    try:
        query: exp.Query = repaired(prompt.failed, prompt.problems, schema, prompt.dialect)
    except NotUnderstood:
        if statement(prompt.question):
            return _not_run(prompt)
        query = write(prompt.question, schema, prompt.dialect, prompt.today).query
        if laid_out(query, prompt.dialect).split() == prompt.failed.split():
            raise
    return sql_block(query, prompt.dialect)


def _not_run(prompt: Prompt) -> str:
    """What the checks say of a query that a person wrote and no rule can correct; it is no question to be read."""
    said = " ".join(line.strip(" -*\t") for line in prompt.problems.splitlines() if line.startswith(("-", "*")))
    return f"Your query does not run here, and I change no query without being sure. {said}"


def sql_block(query: exp.Expr, dialect: str) -> str:
    """A query as the prompt wants it, in one ``sql`` block."""
    return f"```sql\n{laid_out(query, dialect)}\n```"


def decline(reason: str, schema: Schema) -> str:
    """Plain words instead of a guess: why not, and which tables and columns there are."""
    return f"{reason.rstrip('.')}, so I write no SQL rather than guess. {_known(schema)}"


def _known(schema: Schema) -> str:
    """The tables, with as many of their columns as stay readable."""
    few = 12 if len(schema.tables) <= 4 else 6
    shown = [
        f"{table.name} ({', '.join(c.name for c in table.columns[:few])}{', …' if len(table.columns) > few else ''})"
        for table in schema.tables[:6]
    ]
    more = f" and {len(schema.tables) - 6} more tables" if len(schema.tables) > 6 else ""
    return f"I know {'; '.join(shown)}{more}. I read counts, sums, means, filters, groups and orders over these names."
