"""Names of tables that are no user's: system tables, files, tables of other servers.

Most system tables describe the user's own tables and are harmless; some hold password hashes, other people's queries,
or file contents. Those that may be read are listed; a system table that is not listed is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from rsql_magic.sql.dialects.records import dialect_of, names

if TYPE_CHECKING:
    from rsql_magic.sql.dialects.records import SQLDialect

INFORMATION_SCHEMA = names(
    """
    applicable_roles attributes character_sets check_constraints collation_character_set_applicability collations
    column_domain_usage column_field_paths column_privileges column_udt_usage columns columns_extensions
    constraint_column_usage constraint_table_usage data_type_privileges databases domain_constraints
    domain_udt_usage domains element_types enabled_roles engines events functions information_schema_catalog_name
    key_column_usage keywords materialized_views packages parameters partitions procedures referential_constraints
    role_column_grants role_routine_grants role_table_grants routine_column_usage routine_columns
    routine_privileges routine_routine_usage routine_sequence_usage routine_table_usage routines schemata
    schemata_options sequences sql_features sql_implementation_info sql_parts sql_sizing st_geometry_columns
    st_spatial_reference_systems statistics table_constraints table_options table_privileges table_snapshots
    table_storage tables tables_extensions tablespaces triggered_update_columns triggers udt_privileges
    user_defined_types view_column_usage view_routine_usage view_table_usage views
    """
)

_BARE_SCHEMAS = names("main temp public dbo")

# Not a system table; one that may be read; a name that may be one; one that may not be read.
System = Literal["", "readable", "reserved", "secret"]

_FILE = re.compile(
    r"[/\\:*?~|]|\.(csv|tsv|txt|parquet|json|jsonl|ndjson|geojson|avro|orc|arrow|feather|xlsx?|shp|gpkg|db|duckdb|sqlite3?|wal|gz|zst|bz2|log|dat|"
    r"py|sql|ya?ml|toml|ini|cfg|conf|env|pem|key)$",
    re.IGNORECASE,
)
_FILE_FORMATS = names("avro binaryfile csv delta hudi iceberg json jsonl kafka orc parquet text")


def is_file(parts: tuple[str, ...], dialect: str) -> bool:
    """True when a table's name would be read as a file or an address."""
    # In DuckDB that is every name with a dot inside: which endings mean a file depends on the extensions that are
    # loaded.
    record = dialect_of(dialect)
    if record.dots_are_files and any("." in part for part in parts):
        return True
    if record.formats_are_schemas and len(parts) > 1 and parts[0].lower() in _FILE_FORMATS:
        return True
    return record.reads_files and bool(_FILE.search(".".join(parts)))


def system_table(parts: tuple[str, ...], dialect: str) -> System:
    """What sort of system table a name means, if any.

    Args:
        parts: Database, schema and name, as far as they are written.
        dialect: sqlglot's name.

    Example:
        >>> [system_table(t, "postgres") for t in (("pg_class",), ("pg_authid",), ("pg_tips",), ("users",))]
        ['readable', 'secret', 'reserved', '']
    """
    record = dialect_of(dialect)
    *qualifiers, name = (part.lower() for part in parts)
    schema = qualifiers[-1] if qualifiers else ""
    if name.startswith("information_schema."):  # BigQuery writes both parts as one
        schema, name = name.split(".", 1)
    if schema == "information_schema":
        return "readable" if name in INFORMATION_SCHEMA else "secret"
    if any(part in record.system_databases for part in qualifiers):
        return "secret"
    if schema in record.system_schemas:
        return "readable" if name in record.system_schemas[schema] else "secret"
    return _unqualified(name, record) if not schema or schema in _BARE_SCHEMAS else ""


def _unqualified(name: str, record: SQLDialect) -> System:
    if name in record.system_tables:
        return "readable"
    if record.secret_tables.match(name):
        return "secret"
    return "reserved" if record.reserved_tables.match(name) else ""
