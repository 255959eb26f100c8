"""The records of all dialects; one that resembles another is written as that with its differences."""

# This is a table of data, with no rule in it, so it stays in one file however long it grows.

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from rsql_magic.sql.dialects.records import WORDS, SQLDialect, names

# What may follow SHOW.
_MYSQL_SHOW = (
    "CHARACTER SET | CHARSET | COLLATION | COLUMNS | CREATE DATABASE | CREATE EVENT | CREATE FUNCTION | "
    "CREATE PROCEDURE | CREATE SCHEMA | CREATE TABLE | CREATE TRIGGER | CREATE VIEW | DATABASES | ENGINES | ERRORS | "
    "EVENTS | FIELDS | FUNCTION STATUS | GRANTS | INDEX | INDEXES | KEYS | OPEN TABLES | PLUGINS | PRIVILEGES | "
    "PROCEDURE STATUS | SCHEMAS | STATUS | TABLES | TABLE STATUS | TRIGGERS | VARIABLES | WARNINGS"
)
_SPARK_SHOW = (
    "CATALOGS | COLUMNS | CREATE TABLE | DATABASES | FUNCTIONS | PARTITIONS | SCHEMAS | TABLES | TABLE EXTENDED | "
    "TBLPROPERTIES | VIEWS"
)
_TRINO_SHOW = "CATALOGS | COLUMNS | CREATE TABLE | CREATE VIEW | FUNCTIONS | SCHEMAS | SESSION | STATS FOR | TABLES"


def _with(fields: str) -> dict[str, Any]:
    """What is true of a dialect."""
    return dict.fromkeys(fields.split(), True)


def _without(fields: str) -> dict[str, Any]:
    return dict.fromkeys(fields.split(), False)


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

# Clauses of most engines for analysis, which see names given by AS nearly everywhere.
_ALIASES = names("group having where select")
# MariaDB's storage engine SEQUENCE: seq_1_to_10_step_3.
_SERIES = re.compile(r"seq_(\d+)_to_(\d+)(?:_step_(\d+))?")
_ENDLESS = frozenset(("system", name) for name in names("numbers numbers_mt zeros zeros_mt"))

_DUCKDB_RECORD = SQLDialect(
    name="duckdb",
    title="DuckDB",
    reserved=WORDS["DuckDB: reserved"],
    names_as_well=WORDS["DuckDB: names as well"],
    function_lists=("duckdb",),
    function_schemas=names("main system pg_catalog"),
    methods=None,
    system_schemas={"pg_catalog": WORDS["PostgreSQL: system tables"], "system": frozenset(), "temp": frozenset()},
    system_tables=WORDS["DuckDB: system tables"] | WORDS["PostgreSQL: system tables"],
    reserved_tables=re.compile(r"duckdb_|pragma_|sqlite_|pg_"),
    default_schemas=(("main",), ("memory", "main")),
    shows="DATABASES | SCHEMAS | TABLES | ALL TABLES",
    pragmas=WORDS["DuckDB: pragmas"],
    pragmas_of_tables=names("table_info storage_info"),
    hidden_columns=names("rowid"),
    aliases_in=_ALIASES,
    spellings=("end of pivot", "hex texts", "factorials"),
    **_with("often_confused folds_ascii functions_complete reads_files dots_are_files explains describes"),
    **_with("describes_everything summarizes siblings_seen strict_groups brace_literals"),
)
_SQLITE_RECORD = SQLDialect(
    name="sqlite",
    title="SQLite",
    aliases=("sqlite3",),
    reserved=WORDS["SQLite: reserved"],
    names_as_well=WORDS["PostgreSQL: names as well"],
    function_lists=("sqlite",),
    calls=_SQLITE_CALLS,
    system_tables=WORDS["SQLite: system tables"],
    secret_tables=re.compile(r"sqlite_|pragma_|dbstat$"),
    reserved_tables=re.compile(r"(generate_series|fsdir|lsdir|zipfile|bytecode|tables_used|dbstat|readfile)$"),
    default_schemas=(("main",),),
    pragmas=WORDS["SQLite: pragmas"],
    pragmas_of_tables=WORDS["SQLite: pragmas of tables"],
    sees_ahead="always",
    searches=names("bm25 highlight snippet"),
    hidden_columns=names("rowid oid _rowid_"),
    aliases_in=names("group having where outer"),
    spellings=("collation of escape",),
    **_with("often_confused folds_ascii text_in_double_quotes names_become_texts functions_complete"),
    **_with("any_is_function strftime endless_series scalar_max explains implicit_recursion recurses_often"),
    **_with("conditions_see_all tables_after_in ordered_sides"),
    **_without("structs rows_by_name medians"),
)
_POSTGRES_RECORD = SQLDialect(
    name="postgres",
    title="PostgreSQL",
    aliases=("postgresql", "cockroachdb"),
    folds="lower",
    reserved=WORDS["PostgreSQL: reserved"],
    names_as_well=WORDS["PostgreSQL: names as well"],
    function_lists=("postgres",),
    function_schemas=names("pg_catalog"),
    calls=_POSTGRES_CALLS,
    system_schemas={"pg_catalog": WORDS["PostgreSQL: system tables"], "pg_toast": frozenset(), "pg_temp": frozenset()},
    system_tables=WORDS["PostgreSQL: system tables"] | WORDS["Redshift: system tables"],
    secret_names=WORDS["PostgreSQL: secret tables"],
    reserved_tables=re.compile(r"pg_"),
    default_schemas=(("public",),),
    sees_ahead="recursive",
    hidden_columns=names("ctid xmin xmax cmin cmax tableoid"),
    spellings=("operators", "names of joins", "only in brackets", "order using", "typed texts", "json wrappers"),
    **_with("often_confused quotes_capitals minds_case folds_ascii functions_complete extensions_in_public"),
    **_with("explains shows_settings whole_alias_only strict_groups groups_by_key strict_distinct"),
)
# What speaks PostgreSQL's dialect and is another engine: its grammar, and nothing that was tried on the engine.
_LIKE_POSTGRES = replace(
    _POSTGRES_RECORD,
    aliases=(),
    reserved=frozenset(),
    function_schemas=frozenset(),
    calls={},
    default_schemas=(),
    hidden_columns=frozenset(),
    **_without("often_confused functions_complete extensions_in_public"),
)
_MYSQL_RECORD = SQLDialect(
    name="mysql",
    title="MySQL",
    aliases=("mariadb",),
    quotes="``",
    reserved=WORDS["MySQL: reserved"],
    names_as_well=WORDS["MySQL: names as well"],
    function_lists=("mysql",),
    series_tables=_SERIES,
    system_schemas={"mysql": frozenset(), "performance_schema": frozenset(), "sys": names("version")},
    system_tables=names("dual"),
    storage=re.compile(r"\b(?:ALGORITHM\s*=\s*\w+|DEFINER\s*=\s*\S+|SQL\s+SECURITY\s+(?:DEFINER|INVOKER))\s", re.I),
    shows=_MYSQL_SHOW,
    sees_ahead="recursive",
    aliases_in=names("group having"),
    spellings=("json defaults", "select modifiers", "odbc dates", "rows examined", "restricted cycles"),
    **_with("often_confused doubles_escaped_quotes backslash_escapes text_in_double_quotes functions_complete"),
    **_with(
        "explains describes describes_columns analyzes recurses_often strict_having named_subqueries session_variables"
    ),
    **_without("structs rows_by_name limit_in_in repeated_columns medians"),
)
# Likewise for MySQL.
_LIKE_MYSQL = replace(
    _MYSQL_RECORD,
    aliases=(),
    reserved=frozenset(),
    series_tables=re.compile(r"(?!)"),
    storage=re.compile(r"(?!)"),
    sees_ahead="never",
    spellings=(),
    **_with("structs rows_by_name limit_in_in repeated_columns"),
    **_without("often_confused functions_complete analyzes recurses_often strict_having named_subqueries"),
)
_TSQL_RECORD = SQLDialect(
    name="tsql",
    title="SQL Server",
    aliases=("mssql", "sqlserver"),
    quotes="[]",
    function_lists=("tsql",),
    function_schemas=names("sys"),
    methods=WORDS["SQL Server: methods"],
    system_schemas={"sys": WORDS["SQL Server: system tables"]},
    system_databases=names("master model msdb resource tempdb"),
    secret_tables=re.compile(
        "sys(cacheobjects|columns|databases|files|indexes|logins|objects|oledbusers|processes|servers|users|xlogins)$"
    ),
    default_schemas=(("dbo",),),
    storage=re.compile(r"\b(?:NON)?CLUSTERED\b|(?<=\))\s*WITH\s*\([^()]*\)(?:\s*ON\s+\[?\w+\]?)?", re.IGNORECASE),
    links="four parts",
    statement_words=WORDS["SQL Server: statements"],
    parts_of_values=names("HasM HasZ Lat Long M STSrid STX STY Z"),
    aliases_in=frozenset(),
    spellings=("languages", "money", "not less"),
    **_with("often_confused table_hints implicit_recursion recurses_often whole_alias_only strict_groups"),
    **_with("strict_distinct named_subqueries"),
    **_without("structs rows_by_name with_in_subqueries medians"),
)
_SNOWFLAKE_RECORD = SQLDialect(
    name="snowflake",
    folds="upper",
    function_lists=("snowflake",),
    system_databases=names("snowflake"),
    default_schemas=(("public",),),
    shows=(
        "COLUMNS | DATABASES | DYNAMIC TABLES | EXPORTED KEYS | EXTERNAL TABLES | FILE FORMATS | FUNCTIONS | "
        "GRANTS ON | IMPORTED KEYS | MATERIALIZED VIEWS | OBJECTS | PARAMETERS | PRIMARY KEYS | PROCEDURES | ROLES | "
        "SCHEMAS | SEQUENCES | STREAMS | TABLES | TASKS | UNIQUE KEYS | USER FUNCTIONS | VARIABLES | VIEWS | WAREHOUSES"
    ),
    hidden_columns=names(
        "metadata$filename metadata$file_row_number metadata$action metadata$isupdate metadata$row_id"
    ),
    flows=True,
    aliases_in=_ALIASES,
    spellings=("pattern subsets",),
    **_with("often_confused explains describes implicit_recursion siblings_seen strict_groups"),
    **_with("session_variables brace_literals"),
)
_BIGQUERY_RECORD = SQLDialect(
    name="bigquery",
    title="BigQuery",
    quotes="``",
    function_lists=("bigquery",),
    function_prefix="safe",
    parts_like_calls=names("week"),
    hidden_columns=names("_partitiontime _partitiondate _table_suffix _file_name"),
    aliases_in=names("group having"),
    spellings=("raw bytes", "steps of pipes"),
    **_with("often_confused backslash_escapes text_in_double_quotes datasets_always_written wildcard_tables"),
    **_with("siblings_seen strict_groups nested_aggregates pipes"),
)
_ORACLE_RECORD = SQLDialect(
    name="oracle",
    read_only="SET TRANSACTION READ ONLY",
    folds="upper",
    function_lists=("oracle",),
    function_schemas=names("sys"),
    system_schemas={"sys": WORDS["Oracle: system tables"], "system": frozenset(), "xdb": frozenset()},
    system_tables=WORDS["Oracle: system tables"],
    secret_tables=re.compile(r"g?v_?\$|x\$|dba_|cdb_|(all|user)_(users|db_links|credentials|source|scheduler_\w+)$"),
    links="@",
    storage=re.compile(r"\s+BYTE(?=\))|\bUSING\s+INDEX\b[^,)]*(?=[,)])|\bENABLE\b", re.IGNORECASE),
    rows_by_name=False,
    hidden_columns=names("rownum rowid level ora_rowscn connect_by_isleaf connect_by_iscycle object_value"),
    aliases_in=frozenset(),
    spellings=("json wrappers", "pattern subsets"),
    **_with("often_confused calls_without_brackets implicit_recursion strict_groups"),
)
_CLICKHOUSE_RECORD = SQLDialect(
    name="clickhouse",
    title="ClickHouse",
    aliases=("clickhousedb",),
    read_only="SET readonly = 1",
    quotes="``",
    function_lists=("clickhouse",),
    endless_tables=_ENDLESS,
    system_schemas={"system": WORDS["ClickHouse: system tables"]},
    shows="COLUMNS | CREATE TABLE | CREATE VIEW | DATABASES | FUNCTIONS | INDEX | INDEXES | KEYS | TABLES",
    hidden_columns=names("_part _partition_id _table"),
    aliases_in=_ALIASES,
    **_with("backslash_escapes text_in_double_quotes combinators any_is_function reads_files explains describes"),
    **_with("ordered_sides brace_literals"),
)
_SPARK_RECORD = SQLDialect(
    name="spark",
    aliases=("sparksql",),
    quotes="``",
    function_lists=("spark",),
    system_databases=names("system"),
    shows=_SPARK_SHOW,
    hidden_columns=names("_metadata"),
    aliases_in=names("group having select"),
    **_with("backslash_escapes text_in_double_quotes reads_files formats_are_schemas explains describes"),
    **_with("strict_groups substitutes_variables pipes"),
)
_LIKE_SPARK = replace(
    _SPARK_RECORD, aliases=(), hidden_columns=frozenset(), aliases_in=names("group having"), strict_groups=False
)
_TRINO_RECORD = SQLDialect(
    name="trino",
    read_only="START TRANSACTION READ ONLY",
    folds="lower",
    function_lists=("trino",),
    system_schemas={"jdbc": frozenset(), "runtime": frozenset(), "metadata": frozenset()},
    system_databases=names("system"),
    shows=_TRINO_SHOW,
    spellings=("pattern subsets", "grouped by all"),
    **_with("folds_ascii table_calls explains describes strict_groups"),
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
            function_lists=("postgres", "redshift"),
            function_schemas=names("pg_catalog"),
            secret_tables=re.compile(r"st[lv]_|sv[lc]_|svcs_|sys_|pg_user_info$"),
            aliases_in=_ALIASES,
            **_without("minds_case whole_alias_only groups_by_key strict_distinct"),
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
