"""System tables: which may be read, and which names are files or another server's tables.

Most describe the user's own tables and are harmless; some hold password hashes, other people's queries, or
file contents. Those that may be read are listed; a system table that is not listed is refused.
"""

from __future__ import annotations

import re
from typing import Literal

from rsql_magic.sql.dialects.words import names

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

_PG_CATALOG = names(
    """
    pg_aggregate pg_am pg_attrdef pg_attribute pg_available_extensions pg_cast pg_class pg_collation pg_constraint
    pg_conversion pg_database pg_depend pg_description pg_enum pg_extension pg_index pg_indexes pg_inherits
    pg_language pg_matviews pg_namespace pg_opclass pg_operator pg_opfamily pg_partitioned_table pg_policies
    pg_policy pg_proc pg_range pg_rewrite pg_roles pg_rules pg_sequence pg_sequences pg_settings pg_shdescription
    pg_stat_all_indexes pg_stat_all_tables pg_stat_database pg_stat_user_functions pg_stat_user_indexes
    pg_stat_user_tables pg_statio_all_tables pg_statio_user_indexes pg_statio_user_tables pg_statistic_ext
    pg_tables pg_tablespace pg_timezone_abbrevs pg_timezone_names pg_trigger pg_ts_config pg_type pg_views
    """
)
_PG_SECRETS = names(
    """
    pg_auth_members pg_authid pg_backend_memory_contexts pg_config pg_cursors pg_db_role_setting pg_file_settings
    pg_foreign_data_wrapper pg_foreign_server pg_foreign_table pg_group pg_hba_file_rules pg_ident_file_mappings
    pg_largeobject pg_largeobject_metadata pg_locks pg_parameter_acl pg_prepared_statements pg_prepared_xacts
    pg_publication pg_replication_origin pg_replication_origin_status pg_replication_slots pg_seclabel
    pg_seclabels pg_shadow pg_shmem_allocations pg_shseclabel pg_stat_activity pg_stat_archiver pg_stat_gssapi
    pg_stat_replication pg_stat_ssl pg_stat_statements pg_stat_subscription pg_stat_wal_receiver pg_statistic
    pg_statistic_ext_data pg_stats pg_stats_ext pg_stats_ext_exprs pg_subscription pg_subscription_rel pg_user
    pg_user_mapping pg_user_mappings pg_aios
    """
)
_DUCKDB = names(
    """
    duckdb_columns duckdb_constraints duckdb_databases duckdb_dependencies duckdb_extensions duckdb_functions
    duckdb_indexes duckdb_keywords duckdb_memory duckdb_optimizers duckdb_schemas duckdb_sequences duckdb_settings
    duckdb_tables duckdb_types duckdb_variables duckdb_views pragma_database_list sqlite_master sqlite_schema
    sqlite_temp_master sqlite_temp_schema
    """
)
_SQLITE = names(
    """
    pragma_collation_list pragma_compile_options pragma_database_list pragma_function_list pragma_module_list
    pragma_pragma_list pragma_table_list sqlite_master sqlite_schema sqlite_sequence sqlite_stat1 sqlite_stat4
    sqlite_temp_master sqlite_temp_schema
    """
)
_TSQL = names(
    """
    all_columns all_objects all_parameters all_views check_constraints columns computed_columns databases
    default_constraints extended_properties filegroups foreign_key_columns foreign_keys identity_columns
    index_columns indexes key_constraints numbered_procedures objects parameters partitions procedures schemas
    sequences stats stats_columns synonyms sysobjects tables triggers types views dm_db_partition_stats
    """
)
_ORACLE = names(
    """
    all_cons_columns all_constraints all_col_comments all_ind_columns all_indexes all_mviews all_objects
    all_sequences all_synonyms all_tab_columns all_tab_cols all_tab_comments all_tab_partitions all_tab_statistics
    all_tables all_views cat dual tab user_cons_columns user_constraints user_col_comments user_ind_columns
    user_indexes user_mviews user_objects user_sequences user_synonyms user_tab_columns user_tab_cols
    user_tab_comments user_tab_partitions user_tab_statistics user_tables user_views
    """
)
_CLICKHOUSE = names(
    """
    columns data_type_families databases functions one numbers numbers_mt parts tables time_zones
    """
)

SCHEMAS: dict[str, dict[str, frozenset[str]]] = {
    "clickhouse": {"system": _CLICKHOUSE},
    "duckdb": {"pg_catalog": _PG_CATALOG, "system": frozenset(), "temp": frozenset()},
    "mysql": {"mysql": frozenset(), "performance_schema": frozenset(), "sys": frozenset({"version"})},
    "oracle": {"sys": _ORACLE, "system": frozenset(), "xdb": frozenset()},
    "postgres": {"pg_catalog": _PG_CATALOG, "pg_toast": frozenset(), "pg_temp": frozenset()},
    "snowflake": {},
    "trino": {"jdbc": frozenset(), "runtime": frozenset(), "metadata": frozenset()},
    "tsql": {"sys": _TSQL},
}
"""System schemas besides information_schema, and what may be read in them."""

DATABASES: dict[str, frozenset[str]] = {
    "snowflake": frozenset({"snowflake"}),
    "spark": frozenset({"system"}),
    "trino": frozenset({"system"}),
    "tsql": frozenset({"master", "model", "msdb", "resource", "tempdb"}),
}
"""Databases that hold the server's own tables; of them only information_schema may be read."""

_REDSHIFT = names("pg_table_def svv_all_columns svv_all_schemas svv_all_tables svv_columns svv_tables svv_table_info")
_READABLE: dict[str, frozenset[str]] = {
    "duckdb": _DUCKDB | _PG_CATALOG,
    "mysql": names("dual"),
    "oracle": _ORACLE,
    "postgres": _PG_CATALOG | _REDSHIFT,
    "sqlite": _SQLITE,
}
"""System tables that may be read without naming their schema."""

_SECRET: dict[str, re.Pattern[str]] = {
    "oracle": re.compile(r"g?v_?\$|x\$|dba_|cdb_|(all|user)_(users|db_links|credentials|source|scheduler_\w+)$"),
    "postgres": re.compile("|".join(f"{name}$" for name in sorted(_PG_SECRETS))),
    "redshift": re.compile(r"st[lv]_|sv[lc]_|svcs_|sys_|pg_user_info$"),
    "sqlite": re.compile(r"sqlite_|pragma_|dbstat$"),
    "tsql": re.compile(
        "sys(cacheobjects|columns|databases|files|indexes|logins|objects|oledbusers|processes|servers|users|xlogins)$"
    ),
}
"""System tables without a schema that may not be read; no table of a user can have these names."""

_RESERVED: dict[str, re.Pattern[str]] = {
    "duckdb": re.compile(r"duckdb_|pragma_|sqlite_|pg_"),
    "postgres": re.compile(r"pg_"),
    "sqlite": re.compile(r"(generate_series|fsdir|lsdir|zipfile|bytecode|tables_used|dbstat|readfile)$"),
}
"""Names that look like a system table's. A user may have one of that name all the same."""

_BARE_SCHEMAS = names("main temp public dbo")

System = Literal["", "readable", "reserved", "secret"]
"""Not a system table; one that may be read; a name that may be one; one that may not be read."""

_LIKE = {
    "athena": "trino",
    "databricks": "spark",
    "doris": "mysql",
    "fabric": "tsql",
    "hive": "spark",
    "materialize": "postgres",
    "presto": "trino",
    "redshift": "postgres",
    "risingwave": "postgres",
    "singlestore": "mysql",
    "spark2": "spark",
    "starrocks": "mysql",
}

_FILE_READERS = frozenset({"duckdb", "spark", "drill", "clickhouse"})
_FILE = re.compile(
    r"[/\\:*?~|]|\.(csv|tsv|txt|parquet|json|jsonl|ndjson|geojson|avro|orc|arrow|feather|xlsx?|shp|gpkg|db|duckdb|sqlite3?|wal|gz|zst|bz2|log|dat|"
    r"py|sql|ya?ml|toml|ini|cfg|conf|env|pem|key)$",
    re.IGNORECASE,
)
_FILE_FORMATS = names("avro binaryfile csv delta hudi iceberg json jsonl kafka orc parquet text")


def is_file(parts: tuple[str, ...], dialect: str) -> bool:
    """True when a table's name would be read as a file or an address.

    In DuckDB that is every name with a dot inside: which endings mean a file depends on the extensions that are loaded.

    Example:
        >>> is_file(("data.csv",), "duckdb"), is_file(("data", "csv"), "duckdb"), is_file(("data",), "duckdb")
        (True, True, False)
    """
    family = _LIKE.get(dialect, dialect)
    if family == "duckdb" and any("." in part for part in parts):
        return True
    if family == "spark" and len(parts) > 1 and parts[0].lower() in _FILE_FORMATS:
        return True
    return family in _FILE_READERS and bool(_FILE.search(".".join(parts)))


def system_table(parts: tuple[str, ...], dialect: str) -> System:
    """What sort of system table a name means, if any.

    Args:
        parts: Database, schema and name, as far as they are written.
        dialect: sqlglot's name.

    Example:
        >>> [system_table(t, "postgres") for t in (("pg_class",), ("pg_authid",), ("pg_tips",), ("users",))]
        ['readable', 'secret', 'reserved', '']
    """
    family = _LIKE.get(dialect, dialect)
    *qualifiers, name = (part.lower() for part in parts)
    schema = qualifiers[-1] if qualifiers else ""
    if name.startswith("information_schema."):  # BigQuery writes both parts as one
        schema, name = name.split(".", 1)
    if schema == "information_schema":
        return "readable" if name in INFORMATION_SCHEMA else "secret"
    if any(part in DATABASES.get(family, ()) for part in qualifiers):
        return "secret"
    if schema in SCHEMAS.get(family, {}):
        return "readable" if name in SCHEMAS[family][schema] else "secret"
    if schema and schema not in _BARE_SCHEMAS:
        return ""
    if dialect == "redshift" and _SECRET["redshift"].match(name) and name not in _REDSHIFT:
        return "secret"
    return _bare(name, family)


def _bare(name: str, family: str) -> System:
    if name in _READABLE.get(family, ()):
        return "readable"
    if family in _SECRET and _SECRET[family].match(name):
        return "secret"
    return "reserved" if family in _RESERVED and _RESERVED[family].match(name) else ""
