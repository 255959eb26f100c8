"""Two dictionaries as one: where both say something of the same, the first goes before the second, and that is said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.knowledge.described import DescribedColumn, DescribedTable
    from rsql_magic.knowledge.dictionary import Dictionary
    from rsql_magic.sql import Definition

_SHOWN = 3  # things that both define, in a sentence


def merged(first: Dictionary, second: Dictionary) -> Dictionary:
    """Both dictionaries; columns, definitions and terms of the first stand in place of the second's.

    Example:
        >>> from rsql_magic.knowledge import Dictionary
        >>> def dictionary(**columns):
        ...     return Dictionary.of({"tables": {"t": {"columns": {one: {"unit": columns[one]} for one in columns}}}})
        >>> both = merged(dictionary(a="km"), dictionary(a="m", b="s"))
        >>> [column.unit for column in both.tables["t"].columns]
        ['km', 's']
    """
    tables = dict(first.tables)
    for name, table in second.tables.items():
        told = replace(table, columns=tuple(replace(one, file=one.file or second.name) for one in table.columns))
        tables[name] = _tables_merged(tables[name], told) if name in tables else told
    named = _definitions_merged(first.named, second.named)
    dialects = {*first.named_in, *second.named_in}
    known = {_related(one) for one in first.relationships}
    return replace(
        first,
        tables=tables,
        relationships=(*first.relationships, *(one for one in second.relationships if _related(one) not in known)),
        glossary={**second.glossary, **first.glossary},
        named=named,
        named_in={
            dialect: _definitions_merged(
                first.named_in.get(dialect, first.named), second.named_in.get(dialect, second.named)
            )
            for dialect in dialects
        },
        refused={**second.refused, **first.refused},
    )


def defined_in_both(first: Dictionary, second: Dictionary) -> list[str]:
    """What two dictionaries say differently: columns, definitions and terms."""
    return list(_differing(first, second))


def said_of_both(names: Sequence[str], first: str) -> str:
    """What both define, as a part of a sentence; empty for nothing.

    Example:
        >>> said_of_both(["revenue", "orders.status"], "shop.yaml")
        'revenue and orders.status as in shop.yaml, which defines them too'
    """
    if not names:
        return ""
    more = [f"{len(names) - _SHOWN:,} more"] if len(names) > _SHOWN else []
    told = [*(one_line(name, 60) for name in names[:_SHOWN]), *more]
    listed = " and ".join([*([", ".join(told[:-1])] if told[:-1] else []), told[-1]])
    return f"{listed} as in {first}, which defines {'them' if len(names) > 1 else 'it'} too"


def _differing(first: Dictionary, second: Dictionary) -> Iterator[str]:
    for name, table in first.tables.items():
        if (other := second.tables.get(name)) is None:
            continue
        if table.description and other.description and table.description != other.description:
            yield table.name
        columns = other.by_name
        for column in table.columns:
            told = columns.get(column.name.casefold())
            if told is not None and _said(column) != _said(told):
                yield f"{table.name}.{column.name}"
    others = {_key(one): one for one in second.named}
    for one in first.named:
        told_so = others.get(_key(one))
        if told_so is not None and replace(one, source="") != replace(told_so, source=""):
            yield one.name
    yield from (term for term, text in first.glossary.items() if second.glossary.get(term, text) != text)


def _said(column: DescribedColumn) -> DescribedColumn:
    return replace(column, line=0, file="", name="")


def _tables_merged(first: DescribedTable, second: DescribedTable) -> DescribedTable:
    known = first.by_name
    synonyms = tuple(dict.fromkeys((*first.synonyms, *second.synonyms)))
    return replace(
        first,
        columns=(*first.columns, *(one for one in second.columns if one.name.casefold() not in known)),
        label=first.label or second.label,
        description=first.description or second.description,
        key=first.key or second.key,
        unique=tuple(dict.fromkeys((*first.unique, *second.unique))),
        synonyms=synonyms,
        stored=first.stored or second.stored,
        defined={**second.defined, **first.defined},
    )


def _definitions_merged(first: Sequence[Definition], second: Sequence[Definition]) -> tuple[Definition, ...]:
    known = {_key(one) for one in first}
    return (*first, *(one for one in second if _key(one) not in known))


def _key(one: Definition) -> tuple[str, ...]:
    """What a definition is of; metrics have one name among all, others in their table."""
    return (one.name.casefold(),) if one.kind == "metric" else (one.name.casefold(), one.table.casefold())


def _related(one: object) -> tuple[object, ...]:
    names = ("left", "left_columns", "right", "right_columns")
    return tuple(str(getattr(one, name)).casefold() for name in names)
