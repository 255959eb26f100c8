"""The records of all dialects; one that resembles another is written as that with its differences.

This is a table of data, with no rule in it, so it stays in one file however long it grows.
"""

from __future__ import annotations

import re
from dataclasses import replace

from rsql_magic.sql.dialects.records import SQLDialect, names

# Words that need quotes as a name. Each was tried on the engine (SQLite 3.40, DuckDB 2.0, PostgreSQL 15, MariaDB
# 10.11): bare, it is a syntax error both after FROM and after SELECT.
_SQLITE_RESERVED = names(
    """
    add autoincrement check collate commit constraint default deferrable delete escape exists foreign
    group in index is isnull limit nothing order primary references set table to transaction unique update
    """
)
_DUCKDB_RESERVED = names(
    """
    analyse analyze anti array asc asof asymmetric at authorization binary both by cast check collate
    collation column concurrently constraint deferrable desc do end foreign freeze full group in initially
    is isnull lambda leading left limit natural offset order overlaps pivot pivot_longer pivot_wider
    placing primary references right semi show similar some symmetric table to trailing unique unpack
    unpivot variadic verbose window
    """
)
_POSTGRES_RESERVED = names(
    """
    analyse analyze array asc asymmetric authorization binary both cast check collate collation column
    concurrently constraint deferrable desc do end foreign freeze full group in initially is isnull
    leading left limit natural offset order overlaps placing primary references right similar some
    symmetric table to trailing unique verbose window
    """
)
_MYSQL_RESERVED = names(
    """
    accessible add analyze asc asensitive before bigint blob both by call cascade change char character
    check collate column condition constraint continue convert cursor databases day_hour day_microsecond
    day_minute day_second dec decimal declare default delayed delete delete_domain_id desc deterministic
    div do_domain_ids double each elseif enclosed escaped exists exit float float4 float8 foreign fulltext
    group hour_microsecond hour_minute hour_second if ignore_domain_ids in index infile inout insensitive
    int int1 int2 int3 int4 int8 integer interval is iterate keys kill leading leave left limit linear
    lines load lock long longblob longtext loop low_priority master_demote_to_replica
    master_demote_to_slave master_ssl_verify_server_cert match maxvalue mediumblob mediumint mediumtext
    middleint minute_microsecond minute_second modifies natural no_write_to_binlog numeric offset optimize
    optionally order out outfile over page_checksum parse_vcol_expr partition portion precision primary
    procedure purge range read read_write reads real recursive ref_system_id references release rename
    repeat replace require resignal restrict return right row_number rows schemas second_microsecond
    sensitive set show signal smallint spatial specific sql sqlexception sqlstate sqlwarning ssl starting
    stats_auto_recalc stats_persistent stats_sample_pages table terminated tinyblob tinyint tinytext to
    trailing trigger undo unique unlock unsigned update usage use varbinary varchar varcharacter varying
    while write year_month zerofill
    """
)

# System tables. Those that may be read are listed; a system table that is not listed is refused.
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
_REDSHIFT = names("pg_table_def svv_all_columns svv_all_schemas svv_all_tables svv_columns svv_tables svv_table_info")

# What may follow SHOW.
_MYSQL_SHOW = (
    "CHARACTER SET | CHARSET | COLLATION | COLUMNS | CREATE DATABASE | CREATE EVENT | CREATE FUNCTION | "
    "CREATE PROCEDURE | CREATE SCHEMA | CREATE TABLE | CREATE TRIGGER | CREATE VIEW | DATABASES | ENGINES | ERRORS | "
    "EVENTS | FIELDS | "
    "FUNCTION STATUS | GRANTS | INDEX | INDEXES | KEYS | OPEN TABLES | PLUGINS | PRIVILEGES | "
    "PROCEDURE STATUS | SCHEMAS | STATUS | TABLES | "
    "TABLE STATUS | TRIGGERS | VARIABLES | WARNINGS"
)
_SPARK_SHOW = (
    "CATALOGS | COLUMNS | CREATE TABLE | DATABASES | FUNCTIONS | PARTITIONS | SCHEMAS | TABLES | TABLE EXTENDED | "
    "TBLPROPERTIES | VIEWS"
)
_TRINO_SHOW = "CATALOGS | COLUMNS | CREATE TABLE | CREATE VIEW | FUNCTIONS | SCHEMAS | SESSION | STATS FOR | TABLES"

_SQLITE_PRAGMAS = names(
    """
    application_id cache_size collation_list compile_options data_version database_list encoding foreign_key_check
    foreign_key_list foreign_keys freelist_count function_list index_info index_list index_xinfo integrity_check
    journal_mode module_list page_count page_size pragma_list query_only quick_check recursive_triggers
    schema_version table_info table_list table_xinfo user_version
    """
)
_SQLITE_PRAGMA_ARGUMENTS = frozenset(
    ["foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_list", "table_xinfo"]
)
_DUCKDB_PRAGMAS = names(
    """
    collations database_list database_size functions platform show_databases show_tables show_tables_expanded
    storage_info table_info user_agent version
    """
)

_TSQL_STATEMENTS = names(
    """
    ALTER BACKUP BEGIN BREAK BULK CHECKPOINT COMMIT CONTINUE CREATE DBCC DEALLOCATE DECLARE DELETE DENY DROP DUMP
    EXEC EXECUTE GOTO GRANT IF INSERT KILL LINENO LOAD PRINT RAISERROR READTEXT RECONFIGURE RESTORE RETURN REVERT
    REVOKE ROLLBACK SAVE SET SETUSER SHUTDOWN TRUNCATE UPDATE UPDATETEXT USE WAITFOR WHILE WRITETEXT
    """
)
_TSQL_METHODS = names(
    """
    value query nodes exist stx sty starea stastext stbuffer stcentroid stcontains stcrosses stdifference
    stdimension stdisjoint stdistance stendpoint stenvelope stequals stgeomfromtext stgeometrytype
    stintersection stintersects stisclosed stisempty stisvalid stlength stnumpoints stoverlaps stpointfromtext
    stpointn stsrid ststartpoint stsymdifference sttouches stunion stwithin tostring getancestor getdescendant
    getlevel getroot isdescendantof getreparentedvalue makevalid reduce parse point
    """
)

_PARTS = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}
_SQLITE_CALLS = {
    **{(part, 1): f"CAST(strftime('{code}', {{0}}) AS INTEGER)" for part, code in _PARTS.items()},
    ("now", 0): "datetime('now')",
    ("getdate", 0): "datetime('now')",
    ("curdate", 0): "date('now')",
    ("today", 0): "date('now')",
    ("left", 2): "substr({0}, 1, {1})",
    ("right", 2): "substr({0}, -({1}))",
    ("len", 1): "length({0})",
    ("char_length", 1): "length({0})",
    ("isnull", 2): "coalesce({0}, {1})",
    ("charindex", 2): "instr({1}, {0})",
    ("dayofmonth", 1): "CAST(strftime('%d', {0}) AS INTEGER)",
    ("datediff", 2): "CAST(julianday({0}) - julianday({1}) AS INTEGER)",
}
_POSTGRES_CALLS = {
    **{(part, 1): f"EXTRACT({part.upper()} FROM {{0}})" for part in _PARTS},
    ("curdate", 0): "CURRENT_DATE",
    ("getdate", 0): "now()",
    ("ifnull", 2): "coalesce({0}, {1})",
    ("isnull", 2): "coalesce({0}, {1})",
    ("nvl", 2): "coalesce({0}, {1})",
    ("iif", 3): "CASE WHEN {0} THEN {1} ELSE {2} END",
    ("if", 3): "CASE WHEN {0} THEN {1} ELSE {2} END",
    ("len", 1): "length({0})",
}

_ALIASES = names("group having where select")
_PG_SECRET = "|".join(f"{name}$" for name in sorted(_PG_SECRETS))
_SERIES = re.compile(r"seq_(\d+)_to_(\d+)(?:_step_(\d+))?")
_ENDLESS = frozenset(("system", name) for name in names("numbers numbers_mt zeros zeros_mt"))

_DUCKDB_RECORD = SQLDialect(
    name="duckdb",
    title="DuckDB",
    often_confused=True,
    folds_ascii=True,
    reserved=_DUCKDB_RESERVED,
    function_lists=("duckdb",),
    functions_complete=True,
    function_schemas=names("main system pg_catalog"),
    methods=None,
    system_schemas={"pg_catalog": _PG_CATALOG, "system": frozenset(), "temp": frozenset()},
    system_tables=_DUCKDB | _PG_CATALOG,
    reserved_tables=re.compile(r"duckdb_|pragma_|sqlite_|pg_"),
    reads_files=True,
    dots_are_files=True,
    default_schemas=(("main",), ("memory", "main")),
    explains=True,
    describes=True,
    describes_everything=True,
    summarizes=True,
    shows="DATABASES | SCHEMAS | TABLES | ALL TABLES",
    pragmas=_DUCKDB_PRAGMAS,
    pragmas_of_tables=names("table_info storage_info"),
    siblings_seen=True,
    hidden_columns=names("rowid"),
    aliases_in=_ALIASES,
    strict_groups=True,
    spellings=("end of pivot", "hex texts", "factorials"),
)
_SQLITE_RECORD = SQLDialect(
    name="sqlite",
    title="SQLite",
    aliases=("sqlite3",),
    often_confused=True,
    folds_ascii=True,
    reserved=_SQLITE_RESERVED,
    text_in_double_quotes=True,
    names_become_texts=True,
    function_lists=("sqlite",),
    functions_complete=True,
    any_is_function=True,
    calls=_SQLITE_CALLS,
    strftime=True,
    endless_series=True,
    scalar_max=True,
    system_tables=_SQLITE,
    secret_tables=re.compile(r"sqlite_|pragma_|dbstat$"),
    reserved_tables=re.compile(r"(generate_series|fsdir|lsdir|zipfile|bytecode|tables_used|dbstat|readfile)$"),
    default_schemas=(("main",),),
    explains=True,
    pragmas=_SQLITE_PRAGMAS,
    pragmas_of_tables=_SQLITE_PRAGMA_ARGUMENTS,
    implicit_recursion=True,
    sees_ahead="always",
    recurses_often=True,
    conditions_see_all=True,
    tables_after_in=True,
    searches=names("bm25 highlight snippet"),
    structs=False,
    rows_by_name=False,
    hidden_columns=names("rowid oid _rowid_"),
    aliases_in=names("group having where outer"),
    ordered_sides=True,
    spellings=("collation of escape",),
)
_POSTGRES_RECORD = SQLDialect(
    name="postgres",
    title="PostgreSQL",
    aliases=("postgresql", "cockroachdb"),
    often_confused=True,
    folds="lower",
    quotes_capitals=True,
    minds_case=True,
    folds_ascii=True,
    reserved=_POSTGRES_RESERVED,
    function_lists=("postgres",),
    functions_complete=True,
    function_schemas=names("pg_catalog"),
    extensions_in_public=True,
    calls=_POSTGRES_CALLS,
    system_schemas={"pg_catalog": _PG_CATALOG, "pg_toast": frozenset(), "pg_temp": frozenset()},
    system_tables=_PG_CATALOG | _REDSHIFT,
    secret_tables=re.compile(_PG_SECRET),
    reserved_tables=re.compile(r"pg_"),
    default_schemas=(("public",),),
    explains=True,
    shows_settings=True,
    sees_ahead="recursive",
    hidden_columns=names("ctid xmin xmax cmin cmax tableoid"),
    whole_alias_only=True,
    strict_groups=True,
    groups_by_key=True,
    strict_distinct=True,
    spellings=("operators", "names of joins", "order using", "typed texts", "json wrappers"),
)
_LIKE_POSTGRES = replace(
    _POSTGRES_RECORD,
    aliases=(),
    often_confused=False,
    reserved=frozenset(),
    functions_complete=False,
    function_schemas=frozenset(),
    extensions_in_public=False,
    calls={},
    default_schemas=(),
    hidden_columns=frozenset(),
)
_MYSQL_RECORD = SQLDialect(
    name="mysql",
    title="MySQL",
    aliases=("mariadb",),
    often_confused=True,
    quotes="``",
    reserved=_MYSQL_RESERVED,
    doubles_escaped_quotes=True,
    backslash_escapes=True,
    text_in_double_quotes=True,
    function_lists=("mysql",),
    functions_complete=True,
    series_tables=_SERIES,
    system_schemas={"mysql": frozenset(), "performance_schema": frozenset(), "sys": names("version")},
    system_tables=names("dual"),
    storage=re.compile(r"\b(?:ALGORITHM\s*=\s*\w+|DEFINER\s*=\s*\S+|SQL\s+SECURITY\s+(?:DEFINER|INVOKER))\s", re.I),
    explains=True,
    describes=True,
    describes_columns=True,
    analyzes=True,
    shows=_MYSQL_SHOW,
    sees_ahead="recursive",
    recurses_often=True,
    structs=False,
    rows_by_name=False,
    aliases_in=names("group having"),
    strict_having=True,
    named_subqueries=True,
    limit_in_in=False,
    repeated_columns=False,
    spellings=("json defaults", "select modifiers", "odbc dates"),
)
_LIKE_MYSQL = replace(
    _MYSQL_RECORD,
    aliases=(),
    often_confused=False,
    reserved=frozenset(),
    functions_complete=False,
    series_tables=re.compile(r"(?!)"),
    storage=re.compile(r"(?!)"),
    analyzes=False,
    sees_ahead="never",
    recurses_often=False,
    structs=True,
    rows_by_name=True,
    strict_having=False,
    named_subqueries=False,
    limit_in_in=True,
    repeated_columns=True,
    spellings=(),
)
_TSQL_RECORD = SQLDialect(
    name="tsql",
    title="SQL Server",
    aliases=("mssql", "sqlserver"),
    often_confused=True,
    quotes="[]",
    function_lists=("tsql",),
    function_schemas=names("sys"),
    methods=_TSQL_METHODS,
    table_hints=True,
    system_schemas={"sys": _TSQL},
    system_databases=names("master model msdb resource tempdb"),
    secret_tables=re.compile(
        "sys(cacheobjects|columns|databases|files|indexes|logins|objects|oledbusers|processes|servers|users|xlogins)$"
    ),
    default_schemas=(("dbo",),),
    storage=re.compile(r"\b(?:NON)?CLUSTERED\b|(?<=\))\s*WITH\s*\([^()]*\)(?:\s*ON\s+\[?\w+\]?)?", re.IGNORECASE),
    links="four parts",
    statement_words=_TSQL_STATEMENTS,
    implicit_recursion=True,
    recurses_often=True,
    structs=False,
    parts_of_values=names("HasM HasZ Lat Long M STSrid STX STY Z"),
    rows_by_name=False,
    aliases_in=frozenset(),
    whole_alias_only=True,
    strict_groups=True,
    strict_distinct=True,
    named_subqueries=True,
    with_in_subqueries=False,
    spellings=("languages", "money", "not less"),
)
_SNOWFLAKE_RECORD = SQLDialect(
    name="snowflake",
    often_confused=True,
    folds="upper",
    function_lists=("snowflake",),
    system_databases=names("snowflake"),
    default_schemas=(("public",),),
    explains=True,
    describes=True,
    shows=(
        "COLUMNS | DATABASES | DYNAMIC TABLES | EXPORTED KEYS | EXTERNAL TABLES | FILE FORMATS | FUNCTIONS | "
        "GRANTS ON | IMPORTED KEYS | MATERIALIZED VIEWS | OBJECTS | PARAMETERS | PRIMARY KEYS | PROCEDURES | ROLES | "
        "SCHEMAS | SEQUENCES | STREAMS | "
        "TABLES | TASKS | UNIQUE KEYS | USER FUNCTIONS | VARIABLES | VIEWS | WAREHOUSES"
    ),
    implicit_recursion=True,
    siblings_seen=True,
    hidden_columns=names(
        "metadata$filename metadata$file_row_number metadata$action metadata$isupdate metadata$row_id"
    ),
    aliases_in=_ALIASES,
    strict_groups=True,
    spellings=("pattern subsets",),
)
_BIGQUERY_RECORD = SQLDialect(
    name="bigquery",
    title="BigQuery",
    often_confused=True,
    quotes="``",
    backslash_escapes=True,
    text_in_double_quotes=True,
    function_lists=("bigquery",),
    function_prefix="safe",
    parts_like_calls=names("week"),
    datasets_always_written=True,
    wildcard_tables=True,
    siblings_seen=True,
    hidden_columns=names("_partitiontime _partitiondate _table_suffix _file_name"),
    aliases_in=names("group having"),
    strict_groups=True,
    nested_aggregates=True,
    spellings=("raw bytes", "steps of pipes"),
)
_ORACLE_RECORD = SQLDialect(
    name="oracle",
    often_confused=True,
    read_only="SET TRANSACTION READ ONLY",
    folds="upper",
    function_lists=("oracle",),
    function_schemas=names("sys"),
    calls_without_brackets=True,
    system_schemas={"sys": _ORACLE, "system": frozenset(), "xdb": frozenset()},
    system_tables=_ORACLE,
    secret_tables=re.compile(r"g?v_?\$|x\$|dba_|cdb_|(all|user)_(users|db_links|credentials|source|scheduler_\w+)$"),
    links="@",
    storage=re.compile(r"\s+BYTE(?=\))|\bUSING\s+INDEX\b[^,)]*(?=[,)])|\bENABLE\b", re.IGNORECASE),
    implicit_recursion=True,
    rows_by_name=False,
    hidden_columns=names("rownum rowid level ora_rowscn connect_by_isleaf connect_by_iscycle object_value"),
    aliases_in=frozenset(),
    strict_groups=True,
    spellings=("json wrappers", "pattern subsets"),
)
_CLICKHOUSE_RECORD = SQLDialect(
    name="clickhouse",
    title="ClickHouse",
    aliases=("clickhousedb",),
    read_only="SET readonly = 1",
    quotes="``",
    backslash_escapes=True,
    text_in_double_quotes=True,
    function_lists=("clickhouse",),
    combinators=True,
    any_is_function=True,
    endless_tables=_ENDLESS,
    system_schemas={"system": _CLICKHOUSE},
    reads_files=True,
    explains=True,
    describes=True,
    shows="COLUMNS | CREATE TABLE | CREATE VIEW | DATABASES | FUNCTIONS | INDEX | INDEXES | KEYS | TABLES",
    hidden_columns=names("_part _partition_id _table"),
    aliases_in=_ALIASES,
    ordered_sides=True,
)
_SPARK_RECORD = SQLDialect(
    name="spark",
    aliases=("sparksql",),
    quotes="``",
    backslash_escapes=True,
    text_in_double_quotes=True,
    function_lists=("spark",),
    system_databases=names("system"),
    reads_files=True,
    formats_are_schemas=True,
    explains=True,
    describes=True,
    shows=_SPARK_SHOW,
    hidden_columns=names("_metadata"),
    aliases_in=names("group having select"),
    strict_groups=True,
)
_LIKE_SPARK = replace(
    _SPARK_RECORD, aliases=(), hidden_columns=frozenset(), aliases_in=names("group having"), strict_groups=False
)
_TRINO_RECORD = SQLDialect(
    name="trino",
    read_only="START TRANSACTION READ ONLY",
    folds="lower",
    folds_ascii=True,
    function_lists=("trino",),
    table_calls=True,
    system_schemas={"jdbc": frozenset(), "runtime": frozenset(), "metadata": frozenset()},
    system_databases=names("system"),
    explains=True,
    describes=True,
    shows=_TRINO_SHOW,
    strict_groups=True,
    spellings=("pattern subsets", "grouped by all"),
)

# By sqlglot's name.
DIALECTS: dict[str, SQLDialect] = {
    record.name: record
    for record in (
        _MYSQL_RECORD,
        _POSTGRES_RECORD,
        _TSQL_RECORD,
        _DUCKDB_RECORD,
        _SNOWFLAKE_RECORD,
        _BIGQUERY_RECORD,
        _ORACLE_RECORD,
        _SQLITE_RECORD,
        _CLICKHOUSE_RECORD,
        _SPARK_RECORD,
        _TRINO_RECORD,
        replace(
            _TRINO_RECORD,
            name="athena",
            aliases=("awsathena",),
            read_only="",
            describes=False,
            shows="",
            spellings=("pattern subsets",),
        ),
        replace(
            _LIKE_SPARK, name="databricks", hidden_columns=names("_metadata"), aliases_in=_ALIASES, strict_groups=True
        ),
        replace(_LIKE_MYSQL, name="doris", title="", describes=False, shows=""),
        replace(
            _TSQL_RECORD,
            name="fabric",
            title="",
            aliases=(),
            often_confused=False,
            function_schemas=frozenset(),
            methods=frozenset(),
            default_schemas=(),
            storage=re.compile(r"(?!)"),
            structs=True,
            parts_of_values=frozenset(),
        ),
        replace(_LIKE_SPARK, name="hive", aliases=("impala",)),
        replace(_LIKE_POSTGRES, name="materialize", title=""),
        replace(_TRINO_RECORD, name="presto", spellings=()),
        replace(
            _LIKE_POSTGRES,
            name="redshift",
            title="",
            read_only="SET TRANSACTION READ ONLY",
            minds_case=False,
            function_lists=("postgres", "redshift"),
            function_schemas=names("pg_catalog"),
            secret_tables=re.compile(rf"st[lv]_|sv[lc]_|svcs_|sys_|pg_user_info$|{_PG_SECRET}"),
            aliases_in=_ALIASES,
            whole_alias_only=False,
            groups_by_key=False,
            strict_distinct=False,
        ),
        replace(_LIKE_POSTGRES, name="risingwave", title=""),
        replace(
            _LIKE_MYSQL,
            name="singlestore",
            title="",
            rows_by_name=False,
            named_subqueries=True,
            spellings=_MYSQL_RECORD.spellings,
        ),
        replace(_LIKE_SPARK, name="spark2"),
        replace(_LIKE_MYSQL, name="starrocks", title=""),
        SQLDialect(name="drill", reads_files=True),
        SQLDialect(name="teradata", aliases=("teradatasql",), aliases_in=_ALIASES),
    )
}
