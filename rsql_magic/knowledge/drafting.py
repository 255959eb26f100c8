"""Draft a ``data-dict.yaml`` from a catalog: all that the database says, and a to-do where a person has to write."""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING

from rsql_magic.knowledge.data_dict import LEARN_MORE, VERSION
from rsql_magic.knowledge.expressions.language import is_date, is_datetime
from rsql_magic.redaction import says_personal, says_secret
from rsql_magic.sql import one_line, value_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from rsql_magic.sql import Catalog, Column, ForeignKey, Table

_PLAIN = re.compile(r"[A-Za-z_][\w ]*(?<! )\Z", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_WORDS = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n"])
_MOMENT = re.compile(r"(?i)(?:timestamp|(?:small)?datetime)(.*)", re.DOTALL)
_ZONED = re.compile(r"(?i)tz|with time zone|with local time zone|offset")
# What has no word in the format: records, documents, bytes
_NESTED = re.compile(r"(?i)\[|struct|map|json|blob|binary|bytea|list|array|union|variant|object|row\(")
MOST_EXAMPLES = 5
OPEN = ("-.inf", ".inf")


def draft(catalog: Catalog) -> str:
    """The text of a dictionary that is valid, with the tables, types, keys and values that a catalog tells.

    What stands in it of values is what the catalog's privacy level let out; columns whose names speak of people or
    secrets are restricted and have none.

    Example:
        >>> from rsql_magic.sql import Catalog, Column, Table
        >>> print(draft(Catalog((Table("t", (Column("day", "DATE"),)),))), end="")
        $version: 0.1.0
        $learn_more: https://data-dict.tidyverse.org/
        todo: Say what the data are about, where they come from, and what the terms of the domain mean (glossary).
        tables:
          - name: t
            todo: Say what a row stands for, and which rows there are.
            columns:
              - name: day
                type: date
                range: [-.inf, .inf]
                todo: Say what it means.
    """
    keys = {table.full_name: list(_keys(table, catalog)) for table in catalog}
    lines = [f"$version: {VERSION}", f"$learn_more: {LEARN_MORE}"]
    lines.append(
        "todo: Say what the data are about, where they come from, and what the terms of the domain mean (glossary)."
    )
    lines.append("tables:" if catalog.tables else "tables: []")
    pointed = {
        (catalog[key.table].full_name, key.referred[0])
        for found in keys.values()
        for key in found
        if len(key.referred) == 1
    }
    for table in catalog:
        lines += _table(
            table, keys[table.full_name], {column for name, column in pointed if name == table.full_name}, catalog
        )
    joins = [line for table in catalog for key in keys[table.full_name] for line in _relationship(table, key, catalog)]
    return "\n".join([*lines, *(["relationships:", *joins] if joins else [])]) + "\n"


def scalar(text: str) -> str:
    """A text as YAML has it, quoted where it would be read as something else.

    Example:
        >>> scalar("What it means"), scalar("no"), scalar("a: b"), scalar("12")
        ('What it means', '"no"', '"a: b"', '"12"')
    """
    return text if _PLAIN.match(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)


def _keys(table: Table, catalog: Catalog) -> Iterator[ForeignKey]:
    """Foreign keys that lead to a key of a table that is there."""
    for key in table.foreign_keys:
        target = catalog.get(key.table)
        if target is not None and (len(key.referred) == 1 or {*key.referred} & {*target.primary_key}):
            columns = [target.column(name) for name in key.referred]
            if all(column and _kind(column) for column in columns):
                yield key


def _kind(column: Column) -> str:
    """The kind of a column's values; empty where the format has no word for it."""
    kind = value_kind(column.type)
    if kind == "time" and not _is_date(column.type) and not _MOMENT.match(column.type):
        return ""
    return "text" if kind == "other" and not _NESTED.search(column.type) else kind if kind != "other" else ""


def _table(table: Table, keys: Sequence[ForeignKey], pointed: Collection[str], catalog: Catalog) -> Iterator[str]:
    yield f"  - name: {scalar(table.full_name)}"
    if table.description:
        yield f"    description: {scalar(one_line(table.description, 500))}"
    else:
        yield "    todo: Say what a row stands for, and which rows there are."
    yield "    columns:" if table.columns else "    columns: []"
    pointing = {key.columns[0] for key in keys if len(key.columns) == 1 and _leads_to_key(key, catalog)}
    for column in table.columns:
        constraints = []
        if column.name in table.primary_key:
            constraints.append("primary_key")
        elif not column.nullable:
            constraints.append("required")
        if column.name in pointed and table.primary_key != (column.name,):
            constraints.append("unique")
        if column.name in pointing:
            constraints.append("foreign_key")
        yield from _column(column, constraints, is_id=bool({"primary_key", "foreign_key", "unique"} & {*constraints}))


def _leads_to_key(key: ForeignKey, catalog: Catalog) -> bool:
    """Whether a key leads to a primary key, which a foreign key of the format has to."""
    return not key.inferred and key.referred[0] in catalog[key.table].primary_key


def _column(column: Column, constraints: Sequence[str], *, is_id: bool) -> Iterator[str]:
    yield f"      - name: {scalar(column.name)}"
    restricted = says_personal(column.name) or says_secret(column.name)
    said = dict(_typed(column, is_id=is_id, shown=not restricted))
    if "type" not in said:
        yield f"        todo: {scalar(f'The format has no word for its type, {one_line(column.type, 60)}.')}"
        return
    yield from (f"        {key}: {value}" for key, value in said.items())
    if constraints:
        yield f"        constraints: [{', '.join(constraints)}]"
    if restricted:
        yield "        display: restricted"
    if column.description:
        yield f"        description: {scalar(one_line(column.description, 500))}"
    todo = [] if column.description else ["Say what it means"]
    if said["type"] == "number(quantity)" and "units" not in said:
        todo.append("its unit, or that it is no quantity" if todo else "Say its unit, or that it is no quantity")
    if said["type"] == "enum":
        todo.append("what each value means" if todo else "Say what each value means")
    if todo:
        yield f"        todo: {', and '.join(todo)}."


def _typed(column: Column, *, is_id: bool, shown: bool) -> Iterator[tuple[str, str]]:
    """Type, units and values of a column; nothing where the format has no word for its type."""
    kind, profile = _kind(column), column.profile
    values = profile.values if profile and shown else ()
    low, high = (profile.low, profile.high) if profile and shown else (None, None)
    if kind == "number" and is_id:
        yield "type", "number(id)"
        yield "examples", _listed([value for value in (*values, low, high) if value is not None and _number(value)])
    elif kind == "number":
        yield "type", "number(quantity)"
        if column.unit:
            yield "units", scalar(one_line(column.unit))
        yield "range", _range(low, high, _number)
    elif kind == "bool":
        yield "type", "boolean"
    elif kind == "time" and _is_date(column.type):
        yield "type", "date"
        yield "range", _range(low, high, lambda text: text[:10] if is_date(text[:10]) else "")
    elif kind == "time":
        zoned = _ZONED.search(column.type.lower().replace("without time zone", "")) is not None
        yield "type", "datetime"
        if not zoned:
            yield "time_zone", "naive"
        yield "range", _range(low, high, partial(_moment, zoned=zoned))
    elif kind == "text":
        yield from _text(values, complete=bool(profile and profile.complete and values), is_id=is_id)


def _text(values: Sequence[str], *, complete: bool, is_id: bool) -> Iterator[tuple[str, str]]:
    if complete and not is_id:
        yield "type", "enum"
        yield "values", f"[{', '.join(map(scalar, dict.fromkeys(values)))}]"
    else:
        yield "type", "string"
        yield "examples", f"[{', '.join(map(scalar, values[:MOST_EXAMPLES]))}]"


def _is_date(type_name: str) -> bool:
    return type_name.strip().lower() in {"date", "date32", "date64"}


def _number(text: str) -> str:
    """A number as YAML has it; empty where it is none."""
    try:
        value = float(text)
    except ValueError:
        return ""
    if not isfinite(value):
        return ""
    return text if re.fullmatch(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", text) else repr(value)


def _moment(text: str, *, zoned: bool) -> str:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return ""
    if zoned and found.tzinfo is None:
        return ""
    written = (found if zoned else found.replace(tzinfo=None)).isoformat()
    return written if is_datetime(written) else ""


def _range(low: str | None, high: str | None, written: Callable[[str], str]) -> str:
    """The two ends, open where they are not known."""
    ends = [written(end) if end is not None else "" for end in (low, high)]
    first, last = (end or OPEN[place] for place, end in enumerate(ends))
    return f"[{first}, {last}]"


def _listed(values: Sequence[str]) -> str:
    return f"[{', '.join(dict.fromkeys(map(_number, values)))}]"


def _relationship(table: Table, key: ForeignKey, catalog: Catalog) -> Iterator[str]:
    target = catalog[key.table]
    left, right = table.full_name, target.full_name
    if left == right:
        left, right = "one", "other"
    pairs = zip(key.columns, key.referred, strict=True)
    join = " AND ".join(f"{_part(left)}.{_part(a)} = {_part(right)}.{_part(b)}" for a, b in pairs)
    yield f"  - join: {scalar(join)}"
    if (left, right) == ("one", "other"):
        yield f"    aliases: {{one: {scalar(table.full_name)}, other: {scalar(table.full_name)}}}"
    yield "    cardinality: many-to-one"
    if key.inferred:
        yield "    todo: Nothing declares this key; names or values suggest it. Keep it or take it out."


def _part(name: str) -> str:
    return name if _NAME.match(name) else f"`{name.replace('`', '``')}`"
