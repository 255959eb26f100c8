"""A data dictionary: what people wrote down about tables and columns, kept in a YAML file.

    tables:
      flights:
        description: One row per departure from New York in 2013.
        key: [year, month, day, carrier, flight]
        columns:
          distance: {description: Great-circle distance, unit: miles}
          tailnum: {description: Aircraft registration, references: planes.tailnum}
          origin: Airport of departure

Tables and columns may also be lists of entries with a ``name``. The same file describes database tables, data frames
and R objects; names are compared without case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.sql import ForeignKey, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLE = frozenset({"name", "description", "key", "columns"})
_COLUMN = frozenset({"name", "description", "label", "unit", "units", "key", "references"})


@dataclass(frozen=True)
class Dictionary:
    """Descriptions, units and keys by table and column.

    Example:
        >>> from rsql_magic.sql import Column
        >>> notes = Dictionary.of({"tables": {"flights": {"columns": {"distance": {"unit": "miles"}}}}})
        >>> notes.describe(Table("flights", (Column("distance", "DOUBLE"),))).columns[0].unit
        'miles'
    """

    tables: Mapping[str, Mapping[str, Any]]  # by the table's name in lower case; columns likewise under ``columns``

    @classmethod
    def load(cls, path: str | Path) -> Dictionary:
        """Read a YAML file.

        Raises:
            BadInput: The file cannot be read, is no YAML, or holds something else than tables and columns.
        """
        import yaml  # type: ignore[import-untyped]

        try:
            written = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as problem:
            reason = f"The data dictionary {path} cannot be read: {problem.strerror}."
            raise BadInput(reason, hint="Check the path.") from problem
        except (yaml.YAMLError, UnicodeDecodeError) as problem:
            reason = f"The data dictionary {path} is no valid YAML: {problem}."
            raise BadInput(reason, hint="Correct that line.") from problem
        return cls.of(written, str(path))

    @classmethod
    def of(cls, written: Any, where: str = "the data dictionary") -> Dictionary:
        """Check what was written; ``where`` stands for it in messages.

        Raises:
            BadInput: Something is not what it should be; the message says what and where.
        """
        if not isinstance(written, dict) or "tables" not in written:
            raise BadInput(f"{where} has no entry 'tables'.", hint="Start the file with 'tables:' (docs/context.md).")
        tables = _named(written["tables"], f"{where}: tables")
        return cls({name: _table(entry, f"{where}: {name}") for name, entry in tables.items()})

    def describe(self, table: Table) -> Table:
        """The table with what is written about it; a comment of the database is kept where nothing is."""
        names = (table.full_name, f"{table.schema}.{table.name}", table.name)
        written = next((self.tables[name.casefold()] for name in names if name.casefold() in self.tables), None)
        if written is None:
            return table
        declared = {key.columns for key in table.foreign_keys}
        columns, keys = [], []
        for column in table.columns:
            about = written["columns"].get(column.name.casefold(), {})
            description, unit = about.get("description") or column.description, about.get("unit") or column.unit
            columns.append(replace(column, description=description, unit=unit))
            target, _, referred = about.get("references", "").rpartition(".")
            if target and (column.name,) not in declared:
                keys.append(ForeignKey((column.name,), target, (referred,)))
        return replace(
            table,
            columns=tuple(columns),
            description=written.get("description") or table.description,
            primary_key=tuple(written.get("key", ())) or table.primary_key,
            foreign_keys=(*table.foreign_keys, *keys),
        )


def _named(entries: Any, where: str) -> dict[str, Any]:
    """Entries by name in lower case, from a mapping or from a list of entries with a name."""
    if isinstance(entries, list) and all(isinstance(entry, dict) and "name" in entry for entry in entries):
        entries = {entry["name"]: entry for entry in entries}
    if not isinstance(entries, dict):
        raise BadInput(f"{where} should map names to what is said about them.", hint="See docs/context.md.")
    return {str(name).casefold(): entry for name, entry in entries.items()}


def _table(entry: Any, where: str) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"description": entry, "columns": {}}
    _check(entry, _TABLE, where)
    columns = _named(entry.get("columns") or {}, f"{where}: columns")
    key = entry.get("key") or ()
    return {
        "description": str(entry.get("description") or ""),
        "key": (key,) if isinstance(key, str) else tuple(key),
        "columns": {name: _column(column, f"{where}.{name}") for name, column in columns.items()},
    }


def _column(entry: Any, where: str) -> dict[str, str]:
    if isinstance(entry, str) or entry is None:
        return {"description": entry or ""}
    _check(entry, _COLUMN, where)
    return {
        "description": str(entry.get("description") or entry.get("label") or ""),
        "unit": str(entry.get("unit") or entry.get("units") or ""),
        "references": str(entry.get("references") or ""),
    }


def _check(entry: Any, known: frozenset[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise BadInput(f"{where} should be text or a mapping.", hint="See docs/context.md.")
    if unknown := sorted(str(key) for key in entry.keys() - known):
        raise BadInput(f"{where} has the unknown entry {unknown[0]!r}.", hint=f"Known are {', '.join(sorted(known))}.")
