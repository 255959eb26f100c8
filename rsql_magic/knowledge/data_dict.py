"""``data-dict.yaml`` 0.1.0, the format of https://data-dict.tidyverse.org: read and checked by its codes."""

# Structure is checked first, by one table of rules; then what the file says. What does not hold is left out of what is
# read, and stands among the problems. A file that cannot be read as what it means to be is refused.

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from rsql_magic.errors import BadInput
from rsql_magic.knowledge.data_dict_columns import check_column, check_keys, innermost, kind_of
from rsql_magic.knowledge.data_dict_shape import ROOT, misshapen
from rsql_magic.knowledge.described import Assertion, DescribedColumn, DescribedTable, Misfit
from rsql_magic.knowledge.expressions.checking import check_expression
from rsql_magic.knowledge.expressions.language import ROW, ExpressionScope, Malformed, Node, is_date
from rsql_magic.knowledge.expressions.parsing import parse_expression
from rsql_magic.knowledge.expressions.writing import as_sql
from rsql_magic.knowledge.joins import read_join, relationship, target
from rsql_magic.knowledge.marked_yaml import line_of, place
from rsql_magic.sql import Definition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rsql_magic.knowledge.expressions.language import CheckedExpression
    from rsql_magic.knowledge.joins import Join
    from rsql_magic.sql import DefinitionKind, Relationship

T = TypeVar("T")

VERSION = "0.1.0"
LEARN_MORE = "https://data-dict.tidyverse.org/"

_NUMBERED = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?\Z")


@dataclass
class DataDict:
    """What a file holds, and what is wrong with it."""

    tables: list[DescribedTable] = field(default_factory=list)
    relationships: list[Relationship] = field(default_factory=list)
    glossary: dict[str, str] = field(default_factory=dict)
    named: list[Definition] = field(default_factory=list)
    problems: list[Misfit] = field(default_factory=list)
    joins: list[Join] = field(default_factory=list)


def is_data_dict(written: Any) -> bool:
    """Whether a document says that it is a data-dict.yaml, or can only be meant as one."""
    if not isinstance(written, dict):
        return False
    tables = written.get("tables")
    first = tables[0] if isinstance(tables, list) and tables else None
    typed = (
        isinstance(first, dict)
        and isinstance(first.get("columns"), list)
        and any(
            isinstance(column, dict) and ("type" in column or "constraints" in column) for column in first["columns"]
        )
    )
    return "$version" in written or "$learn_more" in written or typed


def read_data_dict(written: Any, name: str) -> DataDict:
    """Read a document that is a data-dict.yaml.

    Raises:
        BadInput: Its structure, version or types are not those of the format, or definitions form a circle.
    """
    found = checked_data_dict(written, name)
    refused = {"S18", "S28", "S32", "S34", *(f"S{number}" for number in range(60, 70))}
    for problem in found.problems:
        if problem.code in refused:
            where = place(name, problem.line)
            raise BadInput(f"{where}: {problem.message}.", hint="%rsql dictionary check lists all that is wrong.")
    return found


def checked_data_dict(written: Any, name: str) -> DataDict:
    """Read as much of a document as holds, with all problems by the format's own codes."""
    found = DataDict()
    found.problems += misshapen(written, ROOT, "the file", line_of(written))
    if found.problems:
        return found
    _check_head(written, found)
    for place_in_list, entry in enumerate(written.get("tables") or []):
        _read_table(entry, name, found, line_of(written["tables"], place_in_list))
    _read_relationships(written.get("relationships") or [], name, found)
    found.glossary = dict(written.get("glossary") or {})
    _check_keys_lead_somewhere(found)
    _check_metrics(found)
    if len(written.get("tables") or ()) == 1:
        only = written["tables"][0]
        _warn(found, "S16", [key for key in ("label", "description", "details") if key in only], only)
    found.problems.sort(key=lambda problem: problem.line)
    return found


def _warn(found: DataDict, code: str, keys: Iterable[str], entry: Any) -> None:
    for key in keys:
        message = f"the {key} of the only table belongs at the top of the file"
        found.problems.append(Misfit(code, message, line_of(entry, key), error=False))


def _check_head(written: Any, found: DataDict) -> None:
    if "$learn_more" not in written:
        found.problems.append(Misfit("S09", f"$learn_more: {LEARN_MORE} is missing", line_of(written), error=False))
    version = written.get("$version")
    if version is None:
        found.problems.append(Misfit("S18", f"the file should say $version: {VERSION}", line_of(written)))
    elif (said := re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)\Z", version)) is None or said[0] != VERSION:
        message = f"version {version!r} of the format is not known here; {VERSION} is"
        found.problems.append(Misfit("S32", message, line_of(written, "$version")))
    if "version" in written and not _is_version(written["version"]):
        message = "version should be one of number: 1.2.3, date: 2024-01-31 and hash"
        found.problems.append(Misfit("S17", message, line_of(written, "version")))
    _note_todo(written, found)


def _is_version(version: dict[str, Any]) -> bool:
    if len(version) != 1:
        return False
    ((kind, value),) = version.items()
    if kind == "number":
        return isinstance(value, str) and bool(_NUMBERED.match(value))
    return kind != "date" or is_date(value)


def _note_todo(entry: Any, found: DataDict, table: str = "") -> None:
    if "todo" in entry:
        first = entry["todo"].strip().partition("\n")[0]
        found.problems.append(Misfit("S31", f"to do: {first}", line_of(entry, "todo"), error=False, table=table))


# Tables


def _read_table(entry: Any, name: str, found: DataDict, line: int) -> None:
    table = entry["name"] or ""
    if not table:
        found.problems.append(Misfit("S11", "a table has no name", line_of(entry, "name")))
    twice = any(other.name == table for other in found.tables)
    if twice:
        found.problems.append(Misfit("S10", f"the table {table} stands twice", line_of(entry, "name"), table=table))
    named = list(found.named)
    _note_todo(entry, found, table)
    columns = tuple(_columns(entry["columns"], table, found))
    by_name = {column.name: column for column in columns}
    scope = ExpressionScope({each.name: kind_of(each.type) for each in columns}, dict(_fields(columns)))
    scope = _read_definitions(entry, table, name, scope, found)
    assertions = tuple(_assertions(entry.get("constraints") or [], scope, table, found))
    for each in entry["columns"]:
        if (column := by_name.get(each["name"] or "")) and column.assertions:
            checked = tuple(_assertions(each["constraints"], scope, table, found))
            by_name[column.name] = replace(column, assertions=checked)
    columns = tuple(by_name.values())
    key = tuple(column.name for column in columns if column.has("primary_key"))
    label, description = entry.get("label") or "", entry.get("description") or ""
    unique = tuple((column.name,) for column in columns if column.has("unique"))
    defined = {each["name"]: each["expr"] for each in entry.get("definitions") or [] if each["name"]}
    if twice:  # it was read for what is wrong with it
        found.named = named
        return
    found.tables.append(
        DescribedTable(
            table, columns, label, description, key, unique, assertions, line=line_of(entry) or line, defined=defined
        )
    )


def _columns(
    entries: Sequence[Any], table: str, found: DataDict, above: tuple[str, ...] = ()
) -> Iterator[DescribedColumn]:
    seen = set[str]()
    for entry in entries:
        name, line = entry["name"] or "", line_of(entry, "name")

        def problem(code: str, message: str, key: str = "name", entry: Any = entry) -> None:
            where = ".".join(filter(None, (*above, entry["name"])))
            said = f"{table}.{where}: {message}"
            found.problems.append(Misfit(code, said, line_of(entry, key) or line_of(entry), table=table))

        if not name:
            problem("S11", "a column has no name")
        elif name in seen:
            problem("S10", "it stands twice")
        seen.add(name)
        _note_todo(entry, found, table)
        check_column(entry, problem)
        if not above:
            check_keys(entry, problem)
        said = [each for each in entry.get("constraints") or [] if isinstance(each, str)]
        asserted = any(isinstance(each, dict) for each in entry.get("constraints") or [])
        values = entry.get("values") or ()
        labelled = values.items() if isinstance(values, dict) else ((value, "") for value in values)
        written_type = entry.get("type") or ""
        inner = innermost(written_type)
        measure = inner[7:-1] if inner in {"number(id)", "number(ordinal)", "number(quantity)"} else ""
        if inner == "number" and {"primary_key", "foreign_key"} & set(said):
            measure = "id"
        ends = entry.get("range")
        if name or above:
            yield DescribedColumn(
                name,
                written_type,
                entry.get("label") or "",
                entry.get("description") or "",
                entry.get("units") or "",
                entry.get("time_zone") or "",
                measure,  # type: ignore[arg-type]
                tuple(said),  # type: ignore[arg-type]
                (Assertion(""),) if asserted else (),
                tuple((str(value), meaning) for value, meaning in labelled),
                (ends[0], ends[1]) if ends else None,
                tuple(entry.get("examples") or ()),
                restricted=entry.get("display") == "restricted",
                fields=tuple(_columns(entry.get("fields") or [], table, found, (*above, name))),
                line=line,
            )


def _fields(columns: Iterable[DescribedColumn], above: str = "") -> Iterator[tuple[str, str]]:
    for column in columns:
        if column.type == "struct":
            for each in column.fields:
                yield f"{above}{column.name}.{each.name}", kind_of(each.type)
            yield from _fields(column.fields, f"{above}{column.name}.")


def _assertions(entries: Iterable[Any], scope: ExpressionScope, table: str, found: DataDict) -> Iterator[Assertion]:
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        text, line = entry["assert"], line_of(entry, "assert")
        tree = _parsed(text, line, table, found)
        sql, per_row = "", True
        if tree is not None:
            checked = check_expression(tree, scope, boolean=True)
            if _report(checked.problems, text, line, table, found):
                sql, per_row = as_sql(_inlined(tree, scope), scope), checked.shape == ROW
        yield Assertion(text, sql, per_row, entry.get("description") or "", line)


def _inlined(tree: Node, scope: ExpressionScope) -> Node:
    """An expression with those that it names written out."""
    if tree.kind == "column" and len(tree.value) == 1 and tree.value[0] not in scope.columns:
        known = scope.definitions.get(tree.value[0])
        return _inlined(known[2], scope) if known else tree
    return replace(tree, parts=tuple(_inlined(part, scope) for part in tree.parts))


def _parsed(text: str, line: int, table: str, found: DataDict) -> Node | None:
    try:
        return parse_expression(text)
    except Malformed as wrong:
        found.problems.append(Misfit("S19", f"{table}: {wrong.message}, in {_short(text)}", line, table=table))
        return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"


def _report(problems: Iterable[tuple[str, str]], text: str, line: int, table: str, found: DataDict) -> bool:
    """Note what is wrong with an expression; whether it can be used."""
    errors = 0
    for code, message in problems:
        errors += code != "S22"
        said = f"{table}: {message}, in {_short(text)}"
        found.problems.append(Misfit(code, said, line, error=code != "S22", table=table))
    return not errors


# Definitions


def _read_definitions(entry: Any, table: str, name: str, scope: ExpressionScope, found: DataDict) -> ExpressionScope:
    """The table's definitions, in the order in which they build on each other; gives what expressions may name."""
    entries, strays = _named_entries(entry, table, scope, found)
    trees = {own: _parsed(each["expr"], line_of(each, "expr"), table, found) for own, each in entries.items()}
    names = {own: _names(tree, scope, trees) for own, tree in trees.items()}
    circular = circles(names)
    for own, path in circular.items():
        lines = " and ".join(f"line {line_of(entries[each], 'name')}" for each in dict.fromkeys(path))
        message = f"{table}.{own} is defined in a circle: {' → '.join(path)} ({lines})"
        found.problems.append(Misfit("S34", message, line_of(entries[own], "name"), table=table))
    known: dict[str, tuple[str, int, Node]] = {}
    for own in _in_order(names, circular):
        tree, each = trees[own], entries[own]
        if tree is None or own in circular:
            known[own] = "any", ROW, Node("nothing")
            continue
        inner = ExpressionScope(scope.columns, scope.fields, dict(known))
        checked = check_expression(tree, inner)
        usable = _report(checked.problems, each["expr"], line_of(each, "expr"), table, found)
        known[own] = checked.type if usable else "any", checked.shape, tree
        if usable:
            source = place(name, line_of(each, "name"))
            found.named.append(_definition(each, source, table, as_sql(tree, inner), checked))
    whole = ExpressionScope(scope.columns, scope.fields, known)
    for each in strays:
        if (tree := _parsed(each["expr"], line_of(each, "expr"), table, found)) is not None:
            _report(check_expression(tree, whole).problems, each["expr"], line_of(each, "expr"), table, found)
    return whole


def _named_entries(entry: Any, table: str, scope: ExpressionScope, found: DataDict) -> tuple[dict[str, Any], list[Any]]:
    """Definitions by name, and those without a name of their own."""
    entries: dict[str, Any] = {}
    strays: list[Any] = []
    for each in entry.get("definitions") or []:
        own, line = each["name"] or "", line_of(each, "name")
        _note_todo(each, found, table)
        code, message = "", ""
        if not own:
            code, message = "S11", f"a definition of {table} has no name"
        elif own in entries:
            code, message = "S10", f"{table}.{own} is defined twice"
        elif own in scope.columns:
            code, message = "S33", f"{table}.{own} is a column and a definition"
        if code:
            found.problems.append(Misfit(code, message, line, table=table))
            strays.append(each)
        else:
            entries[own] = each
    return entries, strays


def _definition(entry: Any, source: str, table: str, sql: str, checked: CheckedExpression) -> Definition:
    kind: DefinitionKind = "metric" if checked.shape != ROW else "derived"
    if checked.shape == ROW and checked.type == "boolean":
        kind = "filter"
    label, description = entry.get("label") or "", entry.get("description") or ""
    return Definition(entry["name"], kind, sql, table, "duckdb", label=label, description=description, source=source)


def _names(tree: Node | None, scope: ExpressionScope, trees: dict[str, Node | None]) -> list[str]:
    """The other definitions that an expression names."""
    nodes = tree.walk() if tree else ()
    firsts = (node.value[0] for node in nodes if node.kind == "column")
    return [name for name in dict.fromkeys(firsts) if name in trees and name not in scope.columns]


def circles(names: Mapping[T, Sequence[T]]) -> dict[T, list[T]]:
    """Each name that leads back to itself through those that it names, with the way.

    Example:
        >>> circles({"a": ["b"], "b": ["a"], "c": ["a"]})
        {'a': ['a', 'b', 'a'], 'b': ['b', 'a', 'b']}
    """
    found: dict[T, list[T]] = {}
    for start in names:
        waiting, seen = [(start, [start])], set[T]()
        while waiting and start not in found:
            at, path = waiting.pop()
            for following in names[at]:
                if following == start:
                    found[start] = [*path, start]
                    break
                if following not in seen:
                    seen.add(following)
                    waiting.append((following, [*path, following]))
    return found


def _in_order(names: dict[str, list[str]], circular: dict[str, list[str]]) -> list[str]:
    """Definitions after those that they build on."""
    ordered = list(circular)
    left = [name for name in names if name not in circular]
    while left:
        ready = [name for name in left if all(each in ordered for each in names[name])]
        ordered += ready
        left = [name for name in left if name not in ordered]
        if not ready:
            break
    return ordered


def _read_relationships(entries: Iterable[Any], name: str, found: DataDict) -> None:
    tables = {table.name: table for table in found.tables}
    for entry in entries:
        _note_todo(entry, found)
        join, problems = read_join(entry, tables)
        found.problems += problems
        if join.pairs:
            found.joins.append(join)
        if join.pairs and not any(each.error for each in problems):
            found.relationships += relationship(join, name)


def _check_keys_lead_somewhere(found: DataDict) -> None:
    for table in found.tables:
        for column in table.columns:
            if column.has("foreign_key") and not target(table.name, column.name, found.joins):
                message = f"{table.name}.{column.name} is a foreign key, and no relationship leads to a primary key"
                found.problems.append(Misfit("S01", message, column.line, table=table.name))


def _check_metrics(found: DataDict) -> None:
    """Names of metrics are unique among all tables, since they are called without one."""
    many = Counter(each.name.casefold() for each in found.named if each.kind == "metric")
    for each in found.named:
        if each.kind == "metric" and many[each.name.casefold()] > 1:
            line = int(each.source.rpartition(" ")[2] or 0) if "line" in each.source else 0
            message = f"{each.table}.{each.name} has the name of another table's metric"
            found.problems.append(Misfit("", message, line, error=False, table=each.table))
