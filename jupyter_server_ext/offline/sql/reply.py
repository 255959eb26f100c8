"""The answer to a question about tables: one query in a block and at most two sentences, or why there is none."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..languages import only_english
from .charts import chart_block
from .draft import NotUnderstood
from .followup import earlier_query, follow, is_follow_up
from .layout import laid_out
from .literal import statement, wants_change, wants_description
from .question import write
from .repair import repaired

if TYPE_CHECKING:
    from rsql_magic.sql import Catalog

    from ..request import OfflineRequest
    from .question import Written


def reply(request: OfflineRequest) -> str:
    """The answer to a request for SQL.

    Args:
        request: What is asked: a question, or a query to repair.
    """
    if sql := statement(request.question) if request.task == "sql" else "":
        return f"```sql\n{sql}\n```"
    catalog = request.catalog
    if not catalog.tables:
        return "I see no tables here, so there is nothing I could query. Connect to a database that has some."
    if wants_change(request.question):
        return "I only write queries that read, so I write nothing that would change the data."
    if wants_description(request.question, _names(catalog)):
        return decline("What the data are like is no query; `%%ask` describes a frame", catalog)
    try:
        return _corrected(request) if request.task == "repair" else _answered(request)
    except NotUnderstood as doubt:
        return only_english(request.question) or decline(str(doubt), catalog)


def _names(catalog: Catalog) -> list[str]:
    return [name for table in catalog for name in (table.name, *(column.name for column in table.columns))]


def _answered(request: OfflineRequest) -> str:
    written = _written(request)
    chart = chart_block(written.query, written.chart) if written.chart else ""
    block = f"```sql\n{laid_out(written.query, request.dialect)}\n```"
    return "\n".join(part for part in (block, " ".join(written.notes[:2]), chart) if part)


def _written(request: OfflineRequest) -> Written:
    """The query for a question, which may build on the one before; else the question is read on its own."""
    before = earlier_query([turn.sql for turn in request.history if turn.sql], request.dialect)
    doubt: NotUnderstood | None = None
    if before is not None and is_follow_up(request.question):
        try:
            return follow(request.question, before, request.catalog, request.dialect, request.day)
        except NotUnderstood as unclear:
            doubt = unclear
    try:
        return write(request.question, request.catalog, request.dialect, request.day)
    except NotUnderstood:
        if doubt:
            raise doubt from None
        raise


def _corrected(request: OfflineRequest) -> str:
    """The failed query, corrected by what was said about it; else written anew, unless a person wrote it."""
    with suppress(NotUnderstood):
        found = repaired(request.sql, request.problems, request.catalog, request.dialect)
        return f"```sql\n{found}\n```"
    if statement(request.question):
        return f"Your query does not run here, and I change no query without being sure. {' '.join(request.problems)}"
    query = laid_out(write(request.question, request.catalog, request.dialect, request.day).query, request.dialect)
    if query.split() == request.sql.split():
        raise NotUnderstood("I cannot correct this query from what was said about it")
    return f"```sql\n{query}\n```"


def decline(reason: str, catalog: Catalog) -> str:
    """Plain words instead of a guess: why not, and which tables and columns there are."""
    return f"{reason.rstrip('.')}, so I write no SQL rather than guess. {_known(catalog)}"


def _known(catalog: Catalog) -> str:
    """The tables, with as many of their columns as stay readable."""
    few = 12 if len(catalog) <= 4 else 6
    shown = [
        f"{table.name} ({', '.join(c.name for c in table.columns[:few])}{', …' if len(table.columns) > few else ''})"
        for table in catalog.tables[:6]
    ]
    more = f" and {len(catalog) - 6} more tables" if len(catalog) > 6 else ""
    return f"I know {'; '.join(shown)}{more}. I read counts, sums, means, filters, groups and orders over these names."
