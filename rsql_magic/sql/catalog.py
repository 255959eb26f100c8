"""Table, Column, Catalog: the one description of data, and its text."""

# Everything that has rows and columns is described with these values: a database table, a pandas or polars frame, an
# R ``data.frame``. They hold no connection and no data beyond the few values a privacy level allows, so they can be
# cached, compared, sent to another thread, and printed. Reading them off a live thing is the work of ``frames``,
# ``r`` and ``database``.

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal, TypeVar

from rsql_magic.redaction import says_literal, says_personal, type_without_labels
from rsql_magic.sql.definitions import Definitions, Meaning
from rsql_magic.sql.dialects.records import WORDS, dialect_of
from rsql_magic.sql.facts import as_stated, facts, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

T = TypeVar("T")

# How much of the data may leave the kernel: names and types < ranges and frequent categories < some rows.
Privacy = Literal["names", "stats", "sample"]

Kind = Literal["table", "view", "frame"]  # what has rows and columns


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a column's values."""

    low: str | None = None  # Smallest value as text, or None
    high: str | None = None  # Largest value as text, or None
    distinct: int | None = None  # Number of distinct values, or None
    nulls: float | None = None  # Share of missing values, 0 to 1, or None
    # Categories, most frequent first, as text. Only those seen often enough to name nobody
    values: tuple[str, ...] = ()
    complete: bool = False  # True when ``values`` are all there are
    approximate: bool = False  # True when the figures come from a sample
    form: str = ""  # How the dates or times of a text column are written, as `date_form` tells it


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name as stored, its type as its engine writes it, and what is known of it."""

    name: str
    type: str = ""
    nullable: bool = True
    description: str = ""
    unit: str = ""
    profile: Profile | None = None
    meaning: Meaning | None = None  # what a dictionary says of its values

    @property
    def is_private(self) -> bool:
        """Whether its values are about single people, or restricted by a dictionary, and are not to be told."""
        return (self.meaning is not None and self.meaning.restricted) or says_personal(self.name)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that point to another table."""

    columns: tuple[str, ...]  # Columns of this table
    table: str  # Qualified name of the other table, as ``Table.full_name`` gives it
    referred: tuple[str, ...]  # The other table's columns, in the same order
    inferred: bool = False  # True when names suggest the key and nothing declares it
    seen: int = 0  # How many earlier queries join so, where nothing else tells of the key


@dataclass(frozen=True)
class Table:
    """One table, view or frame."""

    name: str  # Name as stored, without its schema
    columns: tuple[Column, ...] = ()  # Its columns, in order
    schema: str = ""  # Schema, empty for the connection's default schema
    database: str = ""  # Attached database or catalog, empty for the connection's own
    kind: Kind = "table"  # What it is
    rows: int | None = None  # Number of rows (an estimate for databases), or None
    primary_key: tuple[str, ...] = ()  # Names of the key columns
    foreign_keys: tuple[ForeignKey, ...] = ()  # Keys that point to other tables
    description: str = ""  # Comment or data-dictionary text
    synonyms: tuple[str, ...] = ()  # What people call it besides its name

    @property
    def full_name(self) -> str:
        """The name with schema and database where they are not the default: ``sales.orders``."""
        return ".".join(part for part in (self.database, self.schema, self.name) if part)

    def column(self, name: str) -> Column | None:
        """The column of that name, case ignored when no exact match exists."""
        exact = next((c for c in self.columns if c.name == name), None)
        return exact or next((c for c in self.columns if c.name.casefold() == name.casefold()), None)

    def with_columns(self, columns: Iterable[Column]) -> Table:
        """A copy with other columns."""
        return replace(self, columns=tuple(columns))


@dataclass(frozen=True)
class Catalog:
    """The tables of one connection.

    Example:
        >>> catalog = Catalog((Table("orders", (Column("id", "INTEGER"),)),), "duckdb")
        >>> catalog["orders"].columns[0].name
        'id'
    """

    tables: tuple[Table, ...] = ()  # All tables and views that may be read
    dialect: str = ""  # sqlglot's name of the SQL dialect, such as ``duckdb`` or ``postgres``
    problems: tuple[str, ...] = ()  # What could not be read and why, one sentence each
    schema: str = ""  # Name of the default schema, whose tables carry none: ``main``, ``public``
    database: str = ""  # Name of the default database or catalog, whose tables carry none
    # User-defined functions that a query may call, as they are called: ``margin``, ``tools.margin``
    functions: tuple[str, ...] = ()
    # Tables whose values could not be looked at in time, on a machine or server that is very busy
    late: tuple[str, ...] = ()
    definitions: Definitions = field(default_factory=Definitions)  # Metrics, named filters and relationships
    # Partitions by name, each with the table that it is a part of, which is read in its place
    parts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_ddl(cls, text: str, dialect: str) -> Catalog:
        """Read the tables of ``CREATE TABLE`` statements; ``problems`` name what cannot be parsed."""
        from rsql_magic.sql.ddl_reader import parse_ddl

        return parse_ddl(text, dialect)

    @cached_property
    def has_meanings(self) -> bool:
        """Whether a dictionary says anything of its columns."""
        return any(column.meaning for table in self.tables for column in table.columns)

    @cached_property
    def is_described(self) -> bool:
        """Whether a dictionary says anything of its columns, or defines anything."""
        return self.has_meanings or bool(self.definitions)

    @cached_property
    def _by_name(self) -> dict[str, Table]:
        names: dict[str, Table] = {}
        for table in self.tables:
            names.setdefault(table.full_name, table)  # before what another table may be called for short
        for table in self.tables:
            for name in self._names(table):
                names.setdefault(name, table)
        for name, table in list(names.items()):
            # Names as they are spelled come first: two tables may differ in case only.
            names.setdefault(name.casefold(), table)
        return names

    def _names(self, table: Table) -> Iterator[str]:
        """Other ways to write the table's name, with and without the defaults."""
        schema = table.schema or self.schema
        if schema:
            yield f"{schema}.{table.name}"
            if not table.database and self.database:
                yield f"{self.database}.{schema}.{table.name}"
        yield table.name

    def get(self, name: str) -> Table | None:
        """The table of that name or qualified name, case ignored when no exact match exists, or None."""
        return self._by_name.get(name) or self._by_name.get(name.casefold())

    def find(self, parts: Sequence[str], dialect: str) -> Table | None:
        """The table of a name that may say more than the catalog does."""
        # In BigQuery ``events_*`` finds the first of the tables it reads.
        table = self.get(".".join(parts))
        record = dialect_of(dialect)
        if table is None and len(parts) > 1 and not self.schema:
            # Qualifiers that can only mean the default schema of a catalog that does not say its name.
            qualifiers = tuple(part.lower() for part in parts[:-1])
            always = record.datasets_always_written
            if not any(t.schema for t in self.tables) if always else qualifiers in record.default_schemas:
                table = self.get(parts[-1])
        if table is None and parts[-1].endswith("*") and record.wildcard_tables and len(parts[-1]) > 3:
            start = parts[-1][:-1].casefold()
            return next((table for table in self.tables if table.name.casefold().startswith(start)), None)
        return table

    def kept(self, name: str, make: Callable[[Catalog], T]) -> T:
        """Something computed from the catalog once and kept with it: a catalog never changes."""
        memo = self.__dict__
        if name not in memo:
            memo[name] = make(self)
        found: T = memo[name]
        return found

    def __getitem__(self, name: str) -> Table:
        if (table := self.get(name)) is None:
            raise KeyError(name)
        return table

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __repr__(self) -> str:
        return f"<Catalog {self.dialect or '?'} tables={len(self.tables)}>"


# Words that some engine refuses as a bare name; quoting one too many is harmless.
_RESERVED = WORDS["reserved in some engine"]
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN_FOLDED = re.compile(r"[a-z_][a-z0-9_]*\Z")


def quoted(name: str, dialect: str = "") -> str:
    """An identifier as it must be written in a statement: quoted where the dialect needs it.

    PostgreSQL folds bare names to lower case, so a name with capitals is quoted there.

    Example:
        >>> quoted("order date"), quoted("region"), quoted("Region", "postgres"), quoted("user", "mysql")
        ('"order date"', 'region', '"Region"', '`user`')
    """
    record = dialect_of(dialect)
    plain = _PLAIN_FOLDED if record.quotes_capitals else _PLAIN
    if plain.match(name) and name.lower() not in _RESERVED | record.reserved:
        return name
    return always_quoted(name, dialect)


def always_quoted(name: str, dialect: str = "") -> str:
    """An identifier in the dialect's quotes, whatever its name."""
    first, last = tuple(dialect_of(dialect).quotes)
    return f"{first}{name.replace(last, last * 2)}{last}"


def quoted_name(table: Table, dialect: str = "") -> str:
    """The table's qualified name, ready for a statement."""
    return ".".join(quoted(part, dialect) for part in (table.database, table.schema, table.name) if part)


def _of_key(key: ForeignKey) -> str:
    """Where a key is known from that nothing declares."""
    return "seen in earlier queries" if key.seen else "inferred" if key.inferred else ""


def ddl(table: Table, level: Privacy = "stats", dialect: str = "", *, brief: bool = False) -> str:
    """A table as the ``CREATE TABLE`` text a model reads, one column a line, with what is known behind it.

    The level ``names`` leaves out everything that was read from rows; below ``sample`` labels of enumerations and
    columns that a query named by values are left out as well. ``brief`` leaves out counts, ranges and shares, which
    mislead a model that writes a query rather than help it; labels, units and descriptions stay.

    Example:
        >>> columns = Column("carrier", "VARCHAR", unit="code"), Column("name", "VARCHAR")
        >>> print(ddl(Table("airlines", columns, rows=16)))
        CREATE TABLE airlines ( -- 16 rows
          carrier VARCHAR, -- [code]
          name VARCHAR
        );
    """
    columns = _named(table.columns, level)
    noted = [facts(_noted(column, table, level, brief), table.rows, "NULL") for column in columns]
    written = (f"{quoted(column.name, dialect)} {_type(column, level)}".rstrip() for column in columns)
    lines = list(zip(written, noted, strict=True))
    if table.primary_key:
        lines.append((f"PRIMARY KEY ({_names(table.primary_key, dialect)})", ""))
    for key in table.foreign_keys:
        target = ".".join(quoted(part, dialect) for part in key.table.split("."))
        text = f"FOREIGN KEY ({_names(key.columns, dialect)}) REFERENCES {target} ({_names(key.referred, dialect)})"
        lines.append((text, _of_key(key)))
    body = "".join(
        f"  {text}{',' if i < len(lines) else ''}{f' -- {note}' if note else ''}\n"
        for i, (text, note) in enumerate(lines, start=1)
    )
    suppressed = len(table.columns) - len(columns)
    values = f"+{suppressed:,} column{'s' * (suppressed != 1)} whose names are values" if suppressed else ""
    counted = not brief and table.rows is not None and level != "names"
    rows = f"{table.rows:,} row{'' if table.rows == 1 else 's'}" if counted else ""
    synonyms = f"also called {', '.join(map(one_line, table.synonyms[:6]))}" if table.synonyms else ""
    head = "; ".join(part for part in (rows, one_line(table.description, 200), synonyms, values) if part)
    return f"CREATE TABLE {quoted_name(table, dialect)} ({f' -- {head}' if head else ''}\n{body});"


def as_stated_in_ddl(table: Table, level: Privacy = "stats") -> Table:
    """A table with no more in it than ``ddl`` states at a privacy level, as a value.

    Example:
        >>> seen = Column("fare", "DOUBLE", profile=Profile("2.5", "99"))
        >>> as_stated_in_ddl(Table("trips", (seen,), rows=7), "names") == Table("trips", (Column("fare", "DOUBLE"),))
        True
    """
    named = _named(table.columns, level)
    columns = (replace(as_stated(_noted(column, table, level)), type=_type(column, level)) for column in named)
    rows, description = None if level == "names" else table.rows, one_line(table.description, 200)
    synonyms = tuple(map(one_line, table.synonyms[:6]))
    return replace(table, columns=tuple(columns), kind="table", rows=rows, description=description, synonyms=synonyms)


def _named(columns: Iterable[Column], level: Privacy) -> list[Column]:
    """The columns whose names may be stated; a query may have named others by values."""
    return [column for column in columns if level == "sample" or not says_literal(column.name)]


def _noted(column: Column, table: Table, level: Privacy, brief: bool = False) -> Column:
    """A column with the facts to state. A range stands without a count of distinct values, as does a key of one."""
    profile = column.profile
    if level == "names" or profile is None or (brief and not profile.complete and not profile.form):
        return replace(column, profile=None)
    if brief:
        values = profile.values if profile.complete else ()
        return replace(column, profile=Profile(values=values, complete=profile.complete, form=profile.form))
    if not profile.complete and len(profile.values) > 8:
        profile = replace(profile, values=profile.values[:8])
    counted = profile.approximate or profile.distinct != table.rows or table.primary_key == (column.name,)
    return replace(column, profile=replace(profile, distinct=None) if profile.low is not None and counted else profile)


def _type(column: Column, level: Privacy) -> str:
    return one_line(column.type if level == "sample" else type_without_labels(column.type), 120)


def _names(names: Iterable[str], dialect: str) -> str:
    return ", ".join(quoted(name, dialect) for name in names)


ValueKind = Literal["number", "time", "text", "bool", "other"]

_WORDS: dict[ValueKind, str] = {
    "number": """
        bigint bignum bigserial byteint dec decfloat decimal double fixed float hugeint int integer mediumint money
        number numeric real serial signed smallint smallmoney smallserial tinyint ubigint uhugeint uint uinteger
        unsigned usmallint utinyint varint binary_double binary_float""",
    "time": """
        date datetime datetimeoffset smalldatetime time timestamp timestamp_ntz timestampltz timestamptz timetz year""",
    "text": """
        bpchar char character citext clob enum longtext longvarchar mediumtext name national native nchar nclob ntext
        nvarchar set str string text tinytext varchar varying""",
    "bool": "bool boolean logical",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_WORD = re.compile(r"\s*([a-z_]*[a-z])")


@lru_cache(maxsize=4096)
def value_kind(type_name: str) -> ValueKind:
    """What a type holds: numbers, points in time, text, truth values, or something else.

    Example:
        >>> [value_kind(t) for t in ("DECIMAL(10,2)", "timestamp with time zone", "ENUM('a', 'b')", "INTEGER[]")]
        ['number', 'time', 'text', 'other']
    """
    word = _WORD.match(type_name.lower())
    if word is None or type_name.endswith("]"):
        return "other"
    return _KINDS.get(word[1].removesuffix("_s"), "other")
