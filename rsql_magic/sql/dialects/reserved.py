"""Words that need quotes as a name, where sqlglot would let them pass.

Each was tried on the engine (SQLite 3.40, DuckDB 2.0, PostgreSQL 15, MariaDB 10.11): bare, it is a syntax error
both after FROM and after SELECT.
"""

from __future__ import annotations

from rsql_magic.sql.dialects.words import names

RESERVED: dict[str, frozenset[str]] = {
    "sqlite": names(
        """
        add autoincrement check collate commit constraint default deferrable delete escape exists foreign
        group in index is isnull limit nothing order primary references set table to transaction unique update
        """
    ),
    "duckdb": names(
        """
        analyse analyze anti array asc asof asymmetric at authorization binary both by cast check collate
        collation column concurrently constraint deferrable desc do end foreign freeze full group in initially
        is isnull lambda leading left limit natural offset order overlaps pivot pivot_longer pivot_wider
        placing primary references right semi show similar some symmetric table to trailing unique unpack
        unpivot variadic verbose window
        """
    ),
    "postgres": names(
        """
        analyse analyze array asc asymmetric authorization binary both cast check collate collation column
        concurrently constraint deferrable desc do end foreign freeze full group in initially is isnull
        leading left limit natural offset order overlaps placing primary references right similar some
        symmetric table to trailing unique verbose window
        """
    ),
    "mysql": names(
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
    ),
}
"""sqlglot's name of a dialect → its words, lower case."""
