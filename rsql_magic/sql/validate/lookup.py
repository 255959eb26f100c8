"""The catalog's table of a name in a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rsql_magic.sql.dialects.records import dialect_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.sql.catalog import Catalog, Table

T = TypeVar("T")


def find_table(catalog: Catalog, parts: Sequence[str], dialect: str) -> Table | None:
    """The catalog's table of a name that may say more than the catalog does.

    Args:
        catalog: The tables there are.
        parts: Database, schema and name, as far as they are written.
        dialect: sqlglot's name.

    Returns:
        The table, or None. In BigQuery ``events_*`` finds the first of the tables it reads.
    """
    table = catalog.get(".".join(parts))
    if table is None and len(parts) > 1 and not catalog.schema and _is_default(parts[:-1], dialect, catalog):
        table = catalog.get(parts[-1])
    if table is None and parts[-1].endswith("*") and dialect_of(dialect).wildcard_tables:
        return _shard(catalog, parts[-1][:-1])
    return table


def kept(catalog: Catalog, name: str, make: Callable[[Catalog], T]) -> T:
    """Something computed from a catalog once and kept with it, as ``functools.cached_property`` does.

    A catalog never changes, and lives as long as its connection.
    """
    if name not in catalog.__dict__:
        catalog.__dict__[name] = make(catalog)
    found: T = catalog.__dict__[name]
    return found


def minds_case(catalog: Catalog) -> bool:
    """True when the catalog's names are surely spelled as PostgreSQL stores them, so that case may be minded.

    A catalog read from a server knows its default schema; one made by hand may only have kept its author's capitals.
    """
    return kept(catalog, "_minds_case", _minds_case)


def _minds_case(catalog: Catalog) -> bool:
    return bool(catalog.schema) or all(
        name == name.lower() for table in catalog for name in (table.name, *(c.name for c in table.columns))
    )


def _is_default(qualifiers: Sequence[str], dialect: str, catalog: Catalog) -> bool:
    """True when the qualifiers can only mean the default schema of a catalog that does not say its name."""
    record = dialect_of(dialect)
    if record.datasets_always_written:
        return not any(table.schema for table in catalog)
    return tuple(q.lower() for q in qualifiers) in record.default_schemas


def _shard(catalog: Catalog, prefix: str) -> Table | None:
    start = prefix.casefold()
    return next((table for table in catalog if len(start) > 2 and table.name.casefold().startswith(start)), None)
