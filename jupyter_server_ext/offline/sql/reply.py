"""The answer to a question about tables: one query in a block and what it assumes, or why there is none."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import Unreadable, fix_query, laid_out, own_tree, own_trees, validate

from ..request import only_english
from .draft import NotUnderstood
from .presentation import chart_block
from .question import earlier_query, follow, is_follow_up, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.sql import Catalog

    from ..request import OfflineRequest
    from .question import WrittenQuery

_VERBS = (
    "select|with|from|values|explain|describe|show|pragma|insert|update|delete|merge|create|alter|drop|truncate|replace|"
    "grant|revoke|attach|detach|copy|export|import|install|load|set|reset|call|vacuum|analyze|begin|commit|rollback|use"
)
_RUN = re.compile(
    rf"^\s*(?:please )?(?:run|execute|exec)(?: (?:this|the following|it))?(?: (?:sql|query|statement))?\s*:?\s*"
    rf"(?P<sql>(?:{_VERBS})\b.*)$",
    re.IGNORECASE | re.DOTALL,
)
_FENCED = re.compile(r"```(?:sql)?\s*\n(?P<sql>.+?)```", re.IGNORECASE | re.DOTALL)
_BARE = re.compile(
    r"^\s*(?P<sql>(?:select\b.+?\bfrom\b|with\s+\w+\s+as\s*\(|insert\s+into\b|delete\s+from\b|update\s+\S+\s+set\b|"
    r"drop\s+(?:table|view|schema|database)\s+\S+\s*;?\s*$|create\s+(?:or\s+replace\s+)?(?:table|view)\b|"
    r"truncate\s+table\b|alter\s+table\b|attach\s+'|copy\s+\S+\s+(?:to|from)\s+')"
    r".*)$",
    re.IGNORECASE | re.DOTALL,
)
_CHANGE = re.compile(
    r"^\s*(?:please |now |can you |could you |then )*(?:delete|remove|drop|erase|wipe|truncate|insert|"
    r"add a (?:row|record|column)|update|alter|rename|overwrite|set all|"
    r"create (?:a |an |the )?(?:new )?(?:table|view|column|index|database|schema))\b",
    re.IGNORECASE,
)


def reply(request: OfflineRequest) -> str:
    """The answer to a request for SQL, of a question or a query to repair."""
    # A model that is asked to run a statement would draft it; refusing one is the work of the kernel's guard.
    if sql := _statement(request.question) if request.task == "sql" else "":
        return f"```sql\n{sql}\n```"
    catalog = request.catalog
    if not catalog.tables:
        return "I see no tables here, so there is nothing I could query. Connect to a database that has some."
    if _CHANGE.match(request.question):
        return "I only write queries that read, so I write nothing that would change the data."
    try:
        return _corrected(request) if request.task == "repair" else _answered(request)
    except NotUnderstood as doubt:
        reason = f"{str(doubt).rstrip('.')}, so I write no SQL rather than guess."
        return only_english(request.question) or f"{reason} {_known(catalog)}"


def _answered(request: OfflineRequest) -> str:
    written = _written(request)
    chart = chart_block(written.query, written.chart) if written.chart else ""
    block = f"```sql\n{laid_out(written.query, request.dialect)}\n```"
    return "\n".join(part for part in (block, " ".join(written.notes), chart) if part)


def _written(request: OfflineRequest) -> WrittenQuery:
    """The query for a question, which may build on the one before; else the question is read on its own."""
    before = earlier_query([turn.sql for turn in request.history if turn.sql], request.dialect)
    asked = request.question, request.catalog, request.dialect, request.day
    if before is None or not is_follow_up(request.question):
        return write(*asked)
    try:
        return follow(before, *asked)
    except NotUnderstood as doubt:
        with suppress(NotUnderstood):
            return write(*asked)
        raise doubt from None


def _corrected(request: OfflineRequest) -> str:
    """The failed query, corrected by what was said about it; else written anew, unless a person wrote it."""
    with suppress(NotUnderstood):
        found = _repaired(request.sql, request.problems, request.catalog, request.dialect)
        return f"```sql\n{found}\n```"
    # A person wrote it: what is not certainly the same query is not put in its place.
    if _statement(request.question):
        return f"Your query does not run here, and I change no query without being sure. {' '.join(request.problems)}"
    query = laid_out(write(request.question, request.catalog, request.dialect, request.day).query, request.dialect)
    # The same query again would fail again.
    if query.split() == request.sql.split():
        raise NotUnderstood("I cannot correct this query from what was said about it")
    return f"```sql\n{query}\n```"


def _known(catalog: Catalog) -> str:
    # A sentence has to stay readable: few columns of many tables.
    few = 12 if len(catalog) <= 4 else 6
    shown = [
        f"{table.name} ({', '.join(c.name for c in table.columns[:few])}{', …' if len(table.columns) > few else ''})"
        for table in catalog.tables[:6]
    ]
    more = f" and {len(catalog) - 6} more tables" if len(catalog) > 6 else ""
    return (
        f"I know {'; '.join(shown)}{more}. I read counts, sums, means, filters, groups and orders over these names; "
        "`%%ask` describes them."
    )


def _repaired(sql: str, problems: Sequence[str], catalog: Catalog, dialect: str) -> str:
    """The query, corrected by what is known of the tables and by the problems that it met."""
    spelled = _with_stored_values(sql, problems, catalog, dialect)
    # The library corrects what can mean one thing only.
    fix = fix_query(spelled, dialect, catalog, lambda text: not validate(text, dialect, catalog))
    found = fix.sql if fix else spelled
    if found == sql or validate(found, dialect, catalog):
        raise NotUnderstood("I cannot correct this query from what was said about it")
    return found


def _with_stored_values(sql: str, problems: Sequence[str], catalog: Catalog, dialect: str) -> str:
    """The query with values as they are stored, where a problem quotes one that differs in case alone."""
    try:
        query = own_tree(sql, dialect)
    except Unreadable:
        return sql
    known = (value for t in catalog for c in t.columns for value in (c.profile.values if c.profile else ()))
    stored = {value.casefold(): value for value in known}
    changed = False
    for literal in query.find_all(exp.Literal):
        spelled = stored.get(literal.name.casefold(), literal.name)
        if literal.is_string and spelled != literal.name and any(f"'{literal.name}'" in said for said in problems):
            literal.set("this", spelled)
            changed = True
    return query.sql(dialect or None) if changed else sql


def _statement(question: str) -> str:
    """The SQL that a question quotes to be run, else an empty text."""
    run = _RUN.match(question)
    fenced = _FENCED.search(question)
    if fenced and (run is None or "```" in run["sql"]):
        return fenced["sql"].strip()
    found = run or _BARE.match(question)
    return found["sql"].strip().rstrip("`").rstrip() if found and _reads_as_sql(found["sql"]) else ""


def _reads_as_sql(text: str) -> bool:
    """Whether sqlglot can read the text: "select the flights from JFK" is a sentence."""
    try:
        trees = own_trees(text)
    except Unreadable:
        return text.rstrip().endswith(";")
    words = {word.lower().strip(",.?") for word in text.split()}
    sentence = words & {"the", "all", "every", "please", "me", "which", "that"} and "=" not in text
    return bool(trees) and not sentence
