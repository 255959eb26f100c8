"""What is known of each SQL dialect: how it is read, its functions, its system tables, its rules for names."""

from __future__ import annotations

from rsql_magic.dialects.calls import TYPES, Call, calls
from rsql_magic.dialects.functions import Functions, functions
from rsql_magic.dialects.reading import (
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
from rsql_magic.dialects.reserved import RESERVED
from rsql_magic.dialects.system import is_file, system_table
from rsql_magic.dialects.words import names

__all__ = [
    "MAX_TREE_DEPTH",
    "QUERY_WORDS",
    "RESERVED",
    "TYPES",
    "Call",
    "Functions",
    "Lexed",
    "Unreadable",
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
