"""What is known of a table and where from; what a question about a database took along, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rsql_magic.display import CellOutput, listing, plain_markdown
from rsql_magic.sql import (
    count_tokens,
    ddl,
    facts,
    find_values,
    named_metrics,
    one_line,
    stated_definition,
    stems,
    tables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.sql import Catalog, Column, ForeignKey, Table
    from rsql_magic.text2sql.prompt import SchemaPrompt

Sent = tuple[str, str, str, str]  # kind, name, tokens, why


def last_query(prompt: SchemaPrompt) -> CellOutput:
    """What the last question about a database took along, and why."""
    shown = listing(sent(prompt), ("kind", "name", "tokens", "why"))
    head = f"The last query, “{one_line(prompt.options.question)}”, was written from:"
    return replace(shown, markdown=f"{plain_markdown(head)}\n\n{shown.markdown}", plain=f"{head}\n\n{shown.plain}")


def known_of(table: Table, tables: Catalog) -> CellOutput:
    """What is known of a table, and where from: the database, its rows, names, or a dictionary."""
    rows = [(table.full_name, *fact) for fact in _facts_of(table)]
    for column in table.columns:
        rows += [(f"  {column.name}", what, where) for what, where in _facts_of_column(column, table)]
    names = {table.name.casefold(), table.full_name.casefold()}
    rows += [
        (one.calls, stated_definition(one).partition(": ")[2], one.source or "a dictionary")
        for one in tables.definitions.named
        if one.table.casefold() in names
    ]
    return listing(rows, ("name", "what is known", "where from"))


def _facts_of(table: Table) -> Iterator[tuple[str, str]]:
    if table.description:
        yield one_line(table.description, 200), "comment or dictionary"
    if table.synonyms:
        yield f"also called {', '.join(table.synonyms)}", "dictionary"
    if table.rows is not None:
        yield f"{table.rows:,} rows", f"the database's count of a {table.kind}"
    if table.primary_key:
        yield f"key {', '.join(table.primary_key)}", "declared"
    for key in table.foreign_keys:
        what = f"{', '.join(key.columns)} → {key.table} ({', '.join(key.referred)})"
        yield what, _where_from(key)


def _where_from(key: ForeignKey) -> str:
    if key.seen:
        return f"joined in {key.seen:,} earlier quer{'y' if key.seen == 1 else 'ies'}"
    return "inferred from names and values" if key.inferred else "declared"


def _facts_of_column(column: Column, table: Table) -> Iterator[tuple[str, str]]:
    """The type, then what its rows and people say of a column, each with where that is from."""
    yield one_line(column.type, 60), "the database"
    bare = replace(column, description="", unit="", meaning=None)
    if profile := facts.facts(bare, table.rows, "NULL"):
        yield profile, "a sample of its rows" if column.profile and column.profile.approximate else "its rows"
    if said := facts.facts(replace(column, profile=None)):
        yield said, column.meaning.source if column.meaning and column.meaning.source else "comment or dictionary"


def sent(prompt: SchemaPrompt) -> list[Sent]:
    """What the first request of a question holds, in the order of a report."""
    return [*_tables(prompt), *_definitions(prompt), *_values(prompt), *_examples(prompt)]


def _tables(prompt: SchemaPrompt) -> Iterator[Sent]:
    shown, level = prompt.linked.tables, prompt.options.level
    is_whole = len(shown) == len(prompt.linked.catalog)
    for table in shown:
        tokens = count_tokens(ddl(table, level, prompt.dialect, brief=not prompt.is_offline))
        yield (
            "table",
            table.full_name,
            f"{tokens:,}",
            _why(prompt, table) or _otherwise(table, shown, is_whole=is_whole),
        )


def _why(prompt: SchemaPrompt, table: Table) -> str:
    """What of the question points to a table; empty where nothing does."""
    question, catalog = prompt.options.question, prompt.linked.catalog
    if table.full_name in prompt.options.tables or table.name in prompt.options.tables:
        return "named by --tables"
    said = set(stems(question))
    reasons = [
        f"{metric.name} is computed over it"
        for metric in named_metrics(question, catalog)
        if any(one.full_name == table.full_name for one in tables_of(metric, catalog))
    ]
    if set(stems(table.name)) <= said or any(set(stems(each)) <= said for each in table.synonyms):
        reasons.append("named in the question")
    named = [c.name for c in table.columns if set(stems(c.name)) <= said or _is_said(c.meaning, said)]
    if named:
        reasons.append(f"the question names {', '.join(named[:3])}")
    if any(table.full_name in (join.table, join.other) for join in prompt.evidence.joins):
        reasons.append("joined in earlier queries")
    if prompt.options.level != "names":
        held = [one.phrase for one in find_values(question, catalog, [table])]
        reasons += [f"holds '{phrase}'" for phrase in dict.fromkeys(held[:2])]
    return "; ".join(reasons[:3])


def _is_said(meaning: object, said: set[str]) -> bool:
    synonyms = getattr(meaning, "synonyms", ())
    return any(set(stems(each)) <= said for each in synonyms)


def _otherwise(table: Table, shown: tuple[Table, ...], *, is_whole: bool) -> str:
    names = {one.full_name for one in shown}
    beside = [key.table for key in table.foreign_keys if key.table in names and key.table != table.full_name]
    beside += [one.full_name for one in shown if any(key.table == table.full_name for key in one.foreign_keys)]
    joined = next((name for name in beside if name != table.full_name), "")
    if is_whole:
        return "all tables fit"
    return f"joined to {joined}" if joined else "its words are near the question's"


def _definitions(prompt: SchemaPrompt) -> Iterator[Sent]:
    named = {one.name for one in named_metrics(prompt.options.question, prompt.linked.catalog)}
    for one in prompt.facts.definitions:
        why = "named in the question" if one.name in named else f"of {one.table}, which is shown"
        tokens = count_tokens(stated_definition(one))
        yield one.kind, one.name, f"{tokens:,}", f"{why} ({one.source})" if one.source else why
    if left_out := prompt.facts.told.left_out:
        yield "definition", f"{left_out:,} more", "0", "left out: the tokens for tables leave no room for them"


def _values(prompt: SchemaPrompt) -> Iterator[Sent]:
    for one in prompt.facts.stored:
        yield "value", f"{one.table}.{one.column}", f"{count_tokens(str(one)):,}", f"'{one.phrase}' is in the question"


def _examples(prompt: SchemaPrompt) -> Iterator[Sent]:
    for one in prompt.facts.examples:
        tokens = count_tokens(f"{one.question}\n{one.sql}")
        yield "example", one.question, f"{tokens:,}", "verified, and like the question"
    for query in prompt.evidence.outdated:
        yield "example", query.question, "0", "left out: its SQL does not fit these tables"
