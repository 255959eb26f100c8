"""A data dictionary: what people wrote down about tables, columns and metrics, whatever the format of the file."""

# A reader for each format gives tables as `described` has them, relationships and definitions; the formats tell
# themselves by their content. The same dictionary describes database tables, data frames and R objects; names are
# compared without case.

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.knowledge.marked_yaml import place, read_json, read_text, read_yaml
from rsql_magic.sql import Column, Definitions, ForeignKey, Meaning, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rsql_magic.knowledge.described import DescribedColumn, DescribedTable, Misfit
    from rsql_magic.sql import Definition, Relationship


@dataclass(frozen=True)
class Dictionary:
    """Tables, relationships, terms and definitions.

    Example:
        >>> notes = Dictionary.of({"tables": {"flights": {"columns": {"distance": {"unit": "miles"}}}}})
        >>> notes.describe(Table("flights", (Column("distance", "DOUBLE"),))).columns[0].unit
        'miles'
    """

    tables: Mapping[str, DescribedTable] = field(default_factory=dict)  # by name in lower case
    relationships: tuple[Relationship, ...] = ()
    glossary: Mapping[str, str] = field(default_factory=dict)
    named: tuple[Definition, ...] = ()
    # The same in other dialects, where the file has them, by sqlglot's names
    named_in: Mapping[str, tuple[Definition, ...]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)  # metrics that cannot be compiled, with the reason
    problems: tuple[Misfit, ...] = ()  # what does not hold and is left out
    name: str = ""  # of the file, as messages have it
    kind: str = ""  # the format: ``data-dict.yaml``, ``dbt``, ``OSI`` or ``dictionary``

    @classmethod
    def load(cls, path: str | Path) -> Dictionary:
        """Read a file of any format, or a folder of dbt's YAML files.

        Raises:
            BadInput: It cannot be read, is none of the formats, or says what cannot be meant.
        """
        path = Path(path).expanduser()
        if path.is_dir():
            from rsql_magic.knowledge.formats import read_folder

            return read_folder(path)
        return cls.read(read_text(path), str(path))

    @classmethod
    def read(cls, text: str, name: str) -> Dictionary:
        """Read the text of a file; its name stands for it in messages, and ends in ``.json`` where it is JSON.

        Raises:
            BadInput: It is none of the formats, or says what cannot be meant.
        """
        return cls.of(read_json(text, name) if name.endswith(".json") else read_yaml(text, name), name)

    @classmethod
    def of(cls, written: Any, where: str = "the data dictionary") -> Dictionary:
        """Read a document; ``where`` stands for it in messages.

        Raises:
            BadInput: It is none of the formats, or says what cannot be meant.
        """
        from rsql_magic.knowledge.formats import read_document

        return read_document(written, where)

    @property
    def definitions(self) -> Definitions:
        """Metrics, filters, derived values, relationships and terms, with the names that the file has."""
        return Definitions(self.named, self.relationships, self.glossary, self.refused)

    def entry(self, table: Table) -> DescribedTable | None:
        """What is written about a table."""
        names = (table.full_name, f"{table.schema}.{table.name}", table.name)
        return next((self._by_stored[name.casefold()] for name in names if name.casefold() in self._by_stored), None)

    @cached_property
    def _by_stored(self) -> Mapping[str, DescribedTable]:
        """Tables by the names that they may have in a database."""
        stored = {entry.stored.casefold(): entry for entry in self.tables.values() if entry.stored}
        short = {entry.stored.rpartition(".")[2].casefold(): entry for entry in self.tables.values() if entry.stored}
        return {**short, **self.tables, **stored}

    @cached_property
    def _keys(self) -> Mapping[str, list[tuple[tuple[str, ...], str, tuple[str, ...]]]]:
        """Foreign keys by table: columns, the other table, its columns."""
        keys: dict[str, list[tuple[tuple[str, ...], str, tuple[str, ...]]]] = {}
        for each in self.relationships:
            many = (each.left, each.left_columns), (each.right, each.right_columns)
            (table, columns), (other, referred) = many[::-1] if each.cardinality == "one-to-many" else many
            keys.setdefault(table.casefold(), []).append((columns, other, referred))
        return keys

    def describe(self, table: Table) -> Table:
        """The table with what is written about it; a comment of the database is kept where nothing is.

        Of a frame that no entry names, columns are told by the table that it was most likely taken from.
        """
        if (entry := self.entry(table)) is None:
            return self._taken_from(table) if table.kind == "frame" else table
        spelled = {column.name.casefold(): column.name for column in table.columns}
        known = entry.by_name
        columns = tuple(
            self._column(column, known[name]) if (name := column.name.casefold()) in known else column
            for column in table.columns
        )
        declared = {tuple(name.casefold() for name in key.columns) for key in table.foreign_keys}
        pointing = [*self._keys.get(entry.name.casefold(), ()), *_references(entry)]
        keys: dict[tuple[str, ...], ForeignKey] = {}
        for names, other, referred in pointing:
            folded = tuple(name.casefold() for name in names)
            if folded not in declared and all(name in spelled for name in folded):
                target = self.tables.get(other.casefold())
                called = (target.stored if target else "") or other
                keys.setdefault(folded, ForeignKey(tuple(spelled[name] for name in folded), called, referred))
        return replace(
            table,
            columns=columns,
            description=entry.description or entry.label or table.description,
            primary_key=tuple(spelled.get(name.casefold(), name) for name in entry.key) or table.primary_key,
            foreign_keys=(*table.foreign_keys, *keys.values()),
            synonyms=tuple(dict.fromkeys((*entry.synonyms, *_label(entry.label, entry.name)))) or table.synonyms,
        )

    def _taken_from(self, frame: Table) -> Table:
        """A frame with what is known of its columns: by a table that has most of them, and restricted ones by any."""
        names = [column.name.casefold() for column in frame.columns]
        shared = Counter(table for name in names for table in self._by_column.get(name, ()))
        likely = [table for table, count in shared.items() if count >= max(2, len(names) / 2)]
        known = self.tables[max(likely, key=shared.__getitem__)].by_name if likely else {}
        columns = []
        for column, name in zip(frame.columns, names, strict=True):
            entry = self._restricted.get(name) or known.get(name)
            columns.append(self._column(column, entry) if entry else column)
        return replace(frame, columns=tuple(columns))

    @cached_property
    def _by_column(self) -> Mapping[str, list[str]]:
        """The tables that describe a column, by its name in lower case."""
        found: dict[str, list[str]] = {}
        for table, entry in self.tables.items():
            for name in entry.by_name:
                found.setdefault(name, []).append(table)
        return found

    @cached_property
    def _restricted(self) -> Mapping[str, DescribedColumn]:
        """The restricted columns of all tables, by their names in lower case."""
        columns = (column for entry in self.tables.values() for column in entry.columns if column.restricted)
        return {column.name.casefold(): column for column in columns}

    def restricts(self, name: str) -> bool:
        """Whether a column of this name is restricted in any table."""
        return name.casefold() in self._restricted

    def made_of_restricted(self, name: str) -> bool:
        """Whether a column's name may be a restricted column's with a value behind it, as of one-hot columns.

        Example:
            >>> notes = Dictionary.of({"tables": {"visits": {"columns": {"city": {"display": "restricted"}}}}})
            >>> [notes.made_of_restricted(name) for name in ("city_Ulm", "city=Ulm", "cityUlm", "city", "cities")]
            [True, True, True, False, False]
        """
        parts = (place for place in range(1, len(name)) if not name[place].isalnum() or name[place].isupper())
        return any(self.restricts(name[:place]) for place in parts)

    def _column(self, column: Column, entry: DescribedColumn) -> Column:
        written, meaning = entry.description or entry.label, self._meaning(entry)
        if written and column.description and column.description != written:
            meaning = replace(meaning, source=f"{meaning.source}, in place of the database's comment")
        # By its constructor: `replace` takes three times as long, and a catalog may have thousands of columns.
        return Column(
            column.name,
            column.type,
            column.nullable,
            written or column.description,
            entry.unit or column.unit,
            column.profile,
            meaning,
        )

    def stored(self, tables: Iterable[Table]) -> dict[str, Table]:
        """The database's table for each of the dictionary's, by its name in lower case, for those that are there."""
        stored: dict[str, Table] = {}
        for table in sorted(tables, key=lambda table: bool(table.schema or table.database)):
            if (entry := self.entry(table)) is not None:
                stored.setdefault(entry.name.casefold(), table)
        return stored

    @cached_property
    def _meanings(self) -> dict[int, Meaning]:
        """Meanings of columns by their identity, which lasts as long as the dictionary."""
        return {}

    def _meaning(self, entry: DescribedColumn) -> Meaning:
        if (known := self._meanings.get(id(entry))) is not None:
            return known
        synonyms = tuple(dict.fromkeys((*entry.synonyms, *_label(entry.label, entry.name))))
        source = place(entry.file or self.name, entry.line)
        meaning = Meaning(entry.measure, entry.values, synonyms, entry.restricted, source)
        return self._meanings.setdefault(id(entry), meaning)

    def applied(self, tables: Sequence[Table], dialect: str = "") -> tuple[tuple[Table, ...], Definitions]:
        """Tables of a database with what is written about them, and the definitions that concern them, in its dialect.

        In both, tables are named as the database names them. Keys whose columns are not there are left out.
        """
        stored = self.stored(tables)
        called = {name: table.full_name for name, table in stored.items()}
        there = {name.casefold(): table for table in reversed(tables) for name in (table.name, table.full_name)}
        there |= stored
        described = []
        for table in tables:
            told = self.describe(table)
            own = {column.name for column in table.columns}
            declared = len(table.foreign_keys)
            written = (_leading_to(key, there) for key in told.foreign_keys[declared:])
            keys = (*table.foreign_keys, *filter(None, written))
            primary = told.primary_key if own.issuperset(told.primary_key) else table.primary_key
            described.append(replace(told, foreign_keys=keys, primary_key=primary))
        relationships = tuple(
            replace(each, left=called[each.left.casefold()], right=called[each.right.casefold()])
            for each in self.relationships
            if each.left.casefold() in called and each.right.casefold() in called
        )

        def stored_as(column: str) -> str:
            table, _, name = column.rpartition(".")
            return f"{called.get(table.casefold(), table)}.{name}" if table else name

        named = tuple(
            replace(each, table=called[each.table.casefold()], dimensions=tuple(map(stored_as, each.dimensions)))
            if each.table
            else each
            for each in self.named_in.get(dialect, self.named)
            if not each.table or each.table.casefold() in called
        )
        return tuple(described), Definitions(named, relationships, self.glossary, self.refused)

    @property
    def summary(self) -> str:
        """What it holds, in one line without a full stop.

        Example:
            >>> Dictionary.of({"tables": {"flights": {"metrics": {"delay": "AVG(dep_delay)"}}}}, "d.yaml").summary
            'd.yaml: 1 table, 1 metric'
        """
        kinds = [each.kind for each in self.named]
        counts = {"table": len(self.tables), "metric": kinds.count("metric"), "filter": kinds.count("filter")}
        counts |= {"derived value": kinds.count("derived"), "relationship": len(self.relationships)}
        held = ", ".join(f"{count:,} {what}{'s' * (count != 1)}" for what, count in counts.items() if count)
        errors = sum(problem.error for problem in self.problems)
        wrong = f"; {errors:,} problem{'s' * (errors != 1)}, listed by %rsql dictionary check" if errors else ""
        return f"{self.name}: {held or 'nothing'}{wrong}"

    def __repr__(self) -> str:
        return f"<Dictionary {self.name} ({self.kind}) tables={len(self.tables)} definitions={len(self.named)}>"


def _label(label: str, name: str) -> tuple[str, ...]:
    """A label is one more name, where it says something else than the name itself."""
    plain = "".join(filter(str.isalnum, label)).casefold()
    return (label,) if plain and plain != "".join(filter(str.isalnum, name)).casefold() and len(label) <= 40 else ()


def _references(entry: DescribedTable) -> Iterable[tuple[tuple[str, ...], str, tuple[str, ...]]]:
    """Keys that columns name themselves."""
    for column in entry.columns:
        table, _, referred = column.references.rpartition(".")
        if table:
            yield (column.name,), table, (referred,)


def _leading_to(key: ForeignKey, tables: Mapping[str, Table]) -> ForeignKey | None:
    """A key with the names of the table that it leads to; None where that or its columns are not there."""
    target = tables.get(key.table.casefold())
    columns = [target.column(name) for name in key.referred] if target else []
    if target is None or not all(columns):
        return None
    return replace(key, table=target.full_name, referred=tuple(column.name for column in columns if column))


def refuse(what: str, hint: str = "See docs/dictionary.md.") -> BadInput:
    """The error for a document that does not say what it should."""
    return BadInput(what, hint=hint)
