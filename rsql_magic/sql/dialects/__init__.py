"""What is known of each SQL dialect: how it is read, its functions, its system tables, its rules for names."""

from __future__ import annotations

from rsql_magic.sql.dialects.calls import TYPES, Call, calls
from rsql_magic.sql.dialects.functions import Functions, functions
from rsql_magic.sql.dialects.reading import (
    MAX_TREE_DEPTH,
    QUERY_WORDS,
    Lexed,
    Unreadable,
    canonical,
    lex,
    parse,
    start,
    written,
)
from rsql_magic.sql.dialects.reserved import RESERVED
from rsql_magic.sql.dialects.system import is_file, system_table
from rsql_magic.sql.dialects.words import ascii_lower, names

__all__ = [
    "MAX_TREE_DEPTH",
    "QUERY_WORDS",
    "RESERVED",
    "TYPES",
    "Call",
    "Functions",
    "Lexed",
    "Unreadable",
    "ascii_lower",
    "calls",
    "canonical",
    "functions",
    "is_file",
    "lex",
    "names",
    "parse",
    "start",
    "system_table",
    "written",
]
