"""What in a dictionary does not fit: the file itself, the database's tables, its data.

Rules only: the caller reads the file and runs the statements that `checks_of_data` gives.
"""

# Codes are those of data-dict.yaml's own validator: S for the file, M for names and types, D for data.

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.knowledge.data_dict import checked_data_dict, is_data_dict
from rsql_magic.knowledge.data_dict_columns import innermost
from rsql_magic.knowledge.described import Misfit
from rsql_magic.knowledge.dictionary import Dictionary
from rsql_magic.knowledge.marked_yaml import read_json, read_yaml
from rsql_magic.knowledge.portable import portable
from rsql_magic.plain_text import counted
from rsql_magic.sql import always_quoted, value_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.knowledge.described import Assertion, DescribedColumn, DescribedTable
    from rsql_magic.sql import Catalog, Column, Table

SHOWN = 3  # values that are shown of those that do not fit


def check_file(text: str, name: str) -> tuple[Dictionary | None, list[Misfit]]:
    """The dictionary of a file, None where it cannot be used, and what is wrong with the file.

    Example:
        >>> dictionary, problems = check_file("{$version: 0.1.0, tables: [{name: t}]}", "data-dict.yaml")
        >>> dictionary, problems[0].code, problems[0].line
        (None, 'S60', 1)
    """
    problems: list[Misfit] = []
    try:
        written = read_json(text, name) if name.endswith(".json") else read_yaml(text, name)
        if is_data_dict(written):
            problems = checked_data_dict(written, name).problems
        dictionary = Dictionary.of(written, name)
    except BadInput as error:
        if not any(problem.error for problem in problems):
            line = _line_in(error.message, name)
            problems.append(Misfit("", error.message.rstrip("."), line))
        return None, problems
    return dictionary, problems or list(dictionary.problems)


def _line_in(message: str, name: str) -> int:
    """The line that a message names."""
    _, _, rest = message.partition("line ")
    digits = rest[: next((at for at, char in enumerate(rest) if not char.isdigit()), len(rest))]
    return int(digits) if digits and name in message and len(digits) < 9 else 0


# The schema


def check_schema(dictionary: Dictionary, catalog: Catalog) -> list[Misfit]:
    """What does not fit the tables of a database: tables and columns that are not there, types, keys."""
    stored = dictionary.stored(catalog.tables)
    found: list[Misfit] = []
    for name, entry in dictionary.tables.items():
        if (table := stored.get(name)) is None:
            close = get_close_matches(entry.name, [table.name for table in catalog], 1)
            guess = f"; did you mean {close[0]}?" if close else ""
            message = f"there is no table {entry.name} in the database{guess}"
            found.append(Misfit("M04", message, entry.line, level="schema", table=entry.name))
        else:
            found += _check_table(entry, table, catalog.dialect)
    found += _check_told_by(dictionary, catalog)
    described = {table.full_name for table in stored.values()}
    if others := [table.full_name for table in catalog if table.full_name not in described]:
        more = ", …" if len(others) > 5 else ""
        message = f"{len(others):,} of the database's tables are not described: {', '.join(others[:5])}{more}"
        found.append(Misfit("M03", message, error=False, level="schema"))
    return found


def _check_told_by(dictionary: Dictionary, catalog: Catalog) -> Iterator[Misfit]:
    """Times and dimensions of metrics that no table has."""
    tables, definitions = dictionary.applied(catalog.tables, catalog.dialect)
    named = {name.casefold(): table for table in tables for name in (table.name, table.full_name)}
    for metric in definitions.metrics:
        for text in filter(None, (metric.time, *metric.dimensions)):
            table, _, name = text.rpartition(".")
            among = [one] if table and (one := named.get(table.casefold())) else [] if table else tables
            if not any(one.column(name) or definitions.of_row(one.full_name, name) for one in among):
                message = f"{metric.name} is told by {text}, which is not there"
                yield Misfit("M02", message, _line_in(metric.source, "line"), level="schema", table=metric.table)


def _check_table(entry: DescribedTable, table: Table, dialect: str) -> Iterator[Misfit]:
    def misfit(code: str, message: str, line: int, *, error: bool = True) -> Misfit:
        return Misfit(code, f"{entry.name}{message}", line, error=error, level="schema", table=entry.name)

    for column in entry.columns:
        if (stored := table.column(column.name)) is None:
            close = get_close_matches(column.name, [each.name for each in table.columns], 1)
            yield misfit(
                "M02", f".{column.name} is not there{f'; did you mean {close[0]}?' if close else ''}", column.line
            )
        elif not _fits(column, stored, dialect):
            yield misfit("M01", f".{column.name} is {stored.type} there, and no {column.type}", column.line)
    if others := [each.name for each in table.columns if each.name.casefold() not in entry.by_name]:
        more = ", …" if len(others) > 5 else ""
        yield misfit("M03", f": not described are {', '.join(others[:5])}{more}", entry.line, error=False)
    folded = {name.casefold() for name in table.primary_key}
    if entry.key and folded and {name.casefold() for name in entry.key} != folded:
        yield misfit("", f": the database's key is {', '.join(table.primary_key)}", entry.line, error=False)


_KINDS = {
    "string": {"text", "other"},
    "enum": {"text"},
    "boolean": {"bool"},
    "date": {"time"},
    "datetime": {"time"},
    "number": {"number"},
}
# What databases without types for them keep truth values and times in
_STANDINS = {
    "sqlite": {"boolean": {"number"}, "date": {"text", "number"}, "datetime": {"text", "number"}},
    "mysql": {"boolean": {"number"}},
    "oracle": {"boolean": {"number", "text"}},
}


def _fits(column: DescribedColumn, stored: Column, dialect: str) -> bool:
    """Whether a type of the dictionary's may stand for one of the database's."""
    kind = value_kind(stored.type)
    if not column.type or not stored.type:
        return True
    nested = kind == "other" and any(mark in stored.type.lower() for mark in ("[", "list", "array", "json", "variant"))
    if column.type.startswith("list("):
        return nested or kind == "other"
    word = innermost(column.type).partition("(")[0]
    if word == "struct":
        return kind == "other"
    if nested:
        return False
    return kind in _KINDS.get(word, {kind}) | _STANDINS.get(dialect, {}).get(word, set())


# The data


@dataclass(frozen=True, slots=True)
class DataCheck:
    """One statement about the data: ``sql`` gives rows where something does not fit, none or zero where all does."""

    code: str
    about: str  # ``orders.status``
    sql: str  # in the dialect of the database
    line: int
    counts: bool = True  # whether it gives one number; otherwise values with their numbers
    restricted: bool = False  # whether its values may not be shown
    text: str = ""  # of an assertion
    holds: bool = False  # whether it gives one truth value, which should not be false

    def misfit(self, rows: Sequence[Sequence[Any]]) -> Misfit | None:
        """What is wrong, by the rows that the statement gave."""
        if not rows or rows[0][0] is None:
            return None
        if self.holds:
            return None if rows[0][0] else self._misfit(f"{self.text} does not hold")
        if self.counts:
            count = int(rows[0][0])
            said = {"rows": counted(count, "row"), "values": counted(count, "value"), "text": self.text}
            return self._misfit(_SAYING[self.code].format(**said)) if count else None
        count = sum(int(row[1]) for row in rows)
        shown = ", ".join(repr(str(row[0])) for row in rows[:SHOWN])
        values = "" if self.restricted else f": {shown}{', …' if len(rows) > SHOWN else ''}"
        return self._misfit(f"{counted(count, 'row')} with other values than those listed{values}")

    def unchecked(self, reason: str) -> Misfit:
        """That the statement could not be run."""
        return self._misfit(f"{self.text or _NAMES[self.code]} was not checked: {reason}", code="D08")

    def _misfit(self, message: str, code: str = "") -> Misfit:
        table = self.about.partition(".")[0]
        return Misfit(code or self.code, f"{self.about}: {message}", self.line, level="data", table=table)


_SAYING = {
    "D01": "{rows} without a value, which is required",
    "D02": "{values} more than once",
    "D05": "{rows} leading nowhere",
    "D07": "{rows} against {text}",
}
_NAMES = {"D01": "required", "D02": "unique", "D04": "values", "D05": "foreign_key", "D07": "assert"}


def checks_of_data(dictionary: Dictionary, catalog: Catalog) -> Iterator[DataCheck]:
    """Statements that find where the data are not as the dictionary says: one for each constraint."""
    for name, table in dictionary.stored(catalog.tables).items():
        yield from _Checks(dictionary.tables[name], table, catalog).all()
    tables, definitions = dictionary.applied(catalog.tables)
    there = {table.full_name: table for table in tables}
    for each in definitions.relationships:
        sides = [(each.left, each.left_columns), (each.right, each.right_columns)]
        (left, columns), (right, referred) = sides[::-1] if each.cardinality == "one-to-many" else sides
        pairs = [(there[left].column(a), there[right].column(b)) for a, b in zip(columns, referred, strict=True)]
        if all(a and b for a, b in pairs):
            named = [(_name(a.name), _name(b.name)) for a, b in pairs if a and b]
            filled = " AND ".join(f"t.{a} IS NOT NULL" for a, _ in named)
            equal = " AND ".join(f"o.{b} = t.{a}" for a, b in named)
            sql = (
                f"SELECT COUNT(*) FROM {_table_name(there[left])} AS t WHERE {filled} "  # noqa: S608
                f"AND NOT EXISTS (SELECT 1 FROM {_table_name(there[right])} AS o WHERE {equal})"
            )
            line = _line_in(each.source, "line")
            yield DataCheck("D05", f"{left}.{', '.join(columns)}", portable(sql, catalog.dialect), line)


def _name(name: str) -> str:
    return always_quoted(name, "duckdb")


def _table_name(table: Table) -> str:
    return ".".join(_name(part) for part in (table.database, table.schema, table.name) if part)


@dataclass(frozen=True, slots=True)
class _Checks:
    """The checks of one table."""

    entry: DescribedTable
    table: Table
    catalog: Catalog

    def all(self) -> Iterator[DataCheck]:
        """Each of them."""
        for column in self.entry.columns:
            if (stored := self.table.column(column.name)) is not None:
                yield from self.column(column, _name(stored.name), is_text=value_kind(stored.type) == "text")
        for key in (self.entry.key, *self.entry.unique):
            columns = [self.table.column(name) for name in key]
            if key and all(columns):
                yield self.unique([_name(column.name) for column in columns if column], key)
        for assertion in (
            *self.entry.assertions,
            *(each for column in self.entry.columns for each in column.assertions),
        ):
            if assertion.sql:
                yield self.assertion(assertion)

    def made(self, code: str, about: str, sql: str, line: int, **more: Any) -> DataCheck:
        """A check, in the database's dialect."""
        return DataCheck(code, f"{self.entry.name}{about}", self.stated(sql), line, **more)

    def stated(self, sql: str) -> str:
        """A statement over the table in the database's dialect."""
        texts = {column.name for column in self.table.columns if value_kind(column.type) == "text"}
        return portable(sql, self.catalog.dialect, texts)

    @property
    def source(self) -> str:
        """The table's name in a statement."""
        return _table_name(self.table)

    def column(self, column: DescribedColumn, name: str, *, is_text: bool) -> Iterator[DataCheck]:
        """Required values, and values that are listed."""
        if column.has("required", "primary_key"):
            sql = f"SELECT COUNT(*) FROM {self.source} WHERE {name} IS NULL"  # noqa: S608
            yield self.made("D01", f".{column.name}", sql, column.line)
        if column.values and not column.type.startswith("list("):
            value = name if is_text else f"CAST({name} AS VARCHAR)"
            listed = ", ".join("'" + value.replace("'", "''") + "'" for value, _ in column.values)
            sql = (
                f"SELECT {name}, COUNT(*) AS n FROM {self.source} WHERE {value} NOT IN ({listed}) "  # noqa: S608
                f"GROUP BY {name} ORDER BY n DESC, {name} LIMIT {SHOWN + 1}"
            )
            yield self.made("D04", f".{column.name}", sql, column.line, counts=False, restricted=column.restricted)

    def unique(self, names: Sequence[str], key: Sequence[str]) -> DataCheck:
        """No two rows have the same values, where none is missing."""
        listed, filled = ", ".join(names), " AND ".join(f"{name} IS NOT NULL" for name in names)
        repeated = f"SELECT {listed} FROM {self.source} WHERE {filled} GROUP BY {listed} HAVING COUNT(*) > 1"  # noqa: S608
        first = self.entry.by_name.get(key[0].casefold())
        line = first.line if first else self.entry.line
        return self.made("D02", f".{', '.join(key)}", f"SELECT COUNT(*) FROM ({repeated}) AS repeated", line)  # noqa: S608

    def assertion(self, assertion: Assertion) -> DataCheck:
        """A condition of each row, or one of the table."""
        text = assertion.description or " ".join(assertion.text.split())
        if not assertion.per_row:
            sql = f"SELECT {assertion.sql} AS holds FROM {self.source}"  # noqa: S608
            return self.made("D07", "", sql, assertion.line, text=text, holds=True)
        # In a query of its own, as a condition cannot hold a window.
        rows = f"SELECT {assertion.sql} AS holds FROM {self.source}"  # noqa: S608
        sql = f"SELECT COUNT(*) FROM ({rows}) AS checked WHERE NOT holds"  # noqa: S608
        return self.made("D07", "", sql, assertion.line, text=text)
