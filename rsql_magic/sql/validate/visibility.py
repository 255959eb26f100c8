"""Which names a dialect lets a clause see, and which words are no columns although they look like some."""

from __future__ import annotations

from rsql_magic.sql.dialects.words import names

IMPLICIT_RECURSION = names("tsql fabric oracle sqlite snowflake")
SIBLINGS_SEEN = names("duckdb bigquery snowflake")
"""Where a subquery in FROM may see the relations before it without LATERAL."""
NO_STRUCTS = names("sqlite mysql tsql")
NO_ROWS = names("sqlite mysql tsql fabric oracle singlestore")
"""Where a table's name does not stand for its row."""

# Where the names given by AS may be used, beside ORDER BY.
NO_ALIAS_IN_GROUP = names("tsql fabric oracle")
ALIASES_IN_HAVING = names(
    """
    sqlite mysql duckdb bigquery snowflake clickhouse spark spark2 databricks hive redshift singlestore doris
    starrocks teradata
    """
)
ALIASES_IN_WHERE = names("sqlite snowflake duckdb clickhouse redshift databricks teradata")
ALIASES_IN_SELECT = names("duckdb snowflake redshift databricks spark clickhouse teradata")
WHOLE_ALIAS_ONLY = names("postgres materialize risingwave tsql fabric")
"""Where ORDER BY and GROUP BY take an alias by itself, but not in an expression."""

PSEUDO = {
    "sqlite": names("rowid oid _rowid_"),
    "duckdb": names("rowid"),
    "postgres": names("ctid xmin xmax cmin cmax tableoid"),
    "bigquery": names("_partitiontime _partitiondate _table_suffix _file_name"),
    "oracle": names("rownum rowid level ora_rowscn connect_by_isleaf connect_by_iscycle object_value"),
    "snowflake": names("metadata$filename metadata$file_row_number metadata$action metadata$isupdate metadata$row_id"),
    "clickhouse": names("_part _partition_id _table"),
    "spark": names("_metadata"),
    "databricks": names("_metadata"),
}
KEYWORDS = names(
    """
    user current_user session_user system_user current_role current_catalog current_schema current_database
    current_date current_time current_timestamp localtime localtimestamp sysdate systimestamp uid true false null
    unknown default dual rownum level
    """
)
UNITS = names(
    """
    year years yyyy yy quarter quarters qq month months mm week weeks wk ww isoweek isoyear isodow day days dd d
    dayofyear doy dy y dayofweek weekday dw dow hour hours hh minute minutes mi n second seconds ss s millisecond
    milliseconds ms microsecond microseconds mcs us nanosecond ns epoch decade century millennium julian timezone
    timezone_hour timezone_minute date time iso_week tzoffset
    """
)
