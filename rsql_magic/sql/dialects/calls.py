"""The functions a query calls, read off its own words.

Every word in front of an opening bracket is a call, unless the tree says that it names a table with its columns
(``FROM f(1) AS t(a)``, ``WITH t(a) AS``) or it is a word of the grammar. The words are what the engine will see, so
a function that sqlglot renames, drops or mistakes for something else is still seen by the name that runs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.sql.dialects.records import dialect_of, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlglot import exp

    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.dialects.records import SQLDialect

_GRAMMAR = names(
    """
    AFTER AGAINST ALL AND ANY APPLY AS ASOF AT AUTO BEFORE BERNOULLI BETWEEN BLOCK BY CHANGES COLUMNS CROSS CUBE
    DEFINE DISTINCT DIV ELSE ESCAPE EXCEPT EXCLUDE EXISTS FETCH FILTER FN FOLLOWING FOR FORMAT FROM GLOB GROUP
    HAVING ILIKE IN INDEX INNER INTERPOLATE INTERSECT INTERVAL IS JOIN KEEP KEY LATERAL LIKE LIMIT MATCH_CONDITION
    MATCH_RECOGNIZE MATERIALIZED MEASURES MEMBER MINUS NAME NOT NULL NULLS OF OFFSET ON OPTION OR ORDER OUTER OVER
    OVERLAPS PARTITION PATH PATTERN PERCENT PIVOT PRECEDING PREWHERE QUALIFY RAW RECURSIVE REGEXP RENAME
    REPEATABLE RESERVOIR RLIKE ROLLUP ROOT ROW ROWCOUNT ROWS SAMPLE SEED SELECT SETS SIMILAR SOME SUBSET SYSTEM
    TABLE TABLESAMPLE THEN TIES TO TOP UNION UNNEST UNPIVOT USING VALUES VERSION VIEW WHEN WHERE WINDOW WITH
    WITHIN XOR ZONE
    """
)
"""Words of the grammar that may stand before a bracket and call nothing."""

_QUANTIFIERS = names("ALL ANY SOME")
_COMPARES = re.compile(r"[=<>!~*]+|I?LIKE", re.IGNORECASE)

TYPES = names(
    """
    ARRAY BIGDECIMAL BIGINT BIGNUMERIC BINARY BIT BLOB BOOLEAN BPCHAR BYTES CHAR CHARACTER CLOB DATE DATETIME
    DATETIME2 DATETIME64 DATETIMEOFFSET DEC DECIMAL DOUBLE ENUM FIXEDSTRING FLOAT FLOAT4 FLOAT8 GEOGRAPHY GEOMETRY
    HUGEINT INET INT INTEGER LIST LONGTEXT LOWCARDINALITY MAP MEDIUMINT MEDIUMTEXT NATIONAL NCHAR NULLABLE NUMBER
    NUMERIC NVARCHAR NVARCHAR2 OBJECT RAW REAL ROW SET SIGNED SMALLDATETIME SMALLINT STRING STRUCT TEXT TIME
    TIMESTAMP TIMESTAMPLTZ TIMESTAMPNTZ TIMESTAMPTZ TIMESTAMP_LTZ TIMESTAMP_NTZ TIMESTAMP_TZ TIMETZ TINYINT TUPLE
    UBIGINT UINTEGER UNION UNSIGNED VARBINARY VARBIT VARCHAR VARCHAR2 VARYING VECTOR YEAR
    """
)
"""Types that take a size or members in brackets. As functions they would only convert."""


class Call(NamedTuple):
    """One call of a function.

    Args:
        start: Where its name starts in the text.
        path: Its name, after the names that qualify it; an expression before a dot gives an empty one.
        in_from: True when it stands in FROM.
    """

    start: int
    path: tuple[str, ...]
    in_from: bool


class _Places(NamedTuple):
    named: set[int]
    in_from: set[int]
    called: set[int]


def calls(lexed: Lexed, nodes: Iterable[exp.Expr], dialect: str = "") -> Iterator[Call]:
    """Every function that is called, in order.

    Args:
        lexed: The query's words.
        nodes: The nodes of its tree.
        dialect: sqlglot's name.
    """
    record = dialect_of(dialect)
    places = _places(nodes, record)
    tokens = lexed.tokens
    for index in range(len(tokens) - 1):
        if lexed.text[tokens[index + 1].start] != "(":
            continue
        token = tokens[index]
        raw = lexed.raw(token)
        bare = raw[0].isalpha() or raw[0] in "_$"
        if bare and (_is_quantifier(lexed, index, record) or (raw.upper() == "TABLE" and record.table_calls)):
            continue
        quoted = raw[0] in '"`[' and raw != "["
        if not (quoted or bare) or token.start in places.named or _is_mark(lexed, index):
            continue
        if bare and _is_grammar(raw, record) and token.start not in places.called and not _after_dot(lexed, index):
            continue
        yield Call(token.start, (*_qualifiers(lexed, index), token.text), token.start in places.in_from)


def _places(nodes: Iterable[exp.Expr], dialect: SQLDialect) -> _Places:
    """Where names of tables start, where functions in FROM start, and where any function starts."""
    from sqlglot import exp

    places = _Places(set(), set(), set())
    for node in nodes:
        if isinstance(node, exp.Func):
            places.called.add(node.meta.get("start", -1))
        elif isinstance(node, exp.TableAlias) and node.this is not None:
            places.named.add(node.this.meta.get("start", -1))
        elif isinstance(node, exp.Table) and isinstance(node.this, exp.Func):
            places.in_from.add(node.this.meta.get("start", -1))
        elif isinstance(node, exp.Table) and dialect.table_hints and node.args.get("hints"):
            places.named.add(node.this.meta.get("start", -1))  # FROM t (NOLOCK)
    return places


def _is_mark(lexed: Lexed, index: int) -> bool:
    """True for Oracle's outer join ``a.id = b.id (+)``, and for PostgreSQL's ``OPERATOR(pg_catalog.~)``.

    An operator of another schema is somebody's function.
    """
    inside = "".join(lexed.raw(token) for token in lexed.tokens[index + 1 : index + 4])
    return inside == "(+)" or (lexed.word(index) == "OPERATOR" and lexed.word(index + 2) == "PG_CATALOG")


def _is_quantifier(lexed: Lexed, index: int, dialect: SQLDialect) -> bool:
    """True for ``<> ALL ('{a,b}'::text[])``, which sqlglot takes for a function: it stands behind a comparison."""
    if index == 0 or dialect.any_is_function or lexed.word(index) not in _QUANTIFIERS:
        return False
    return _COMPARES.fullmatch(lexed.raw(lexed.tokens[index - 1])) is not None


def _is_grammar(raw: str, dialect: SQLDialect) -> bool:
    """True for a word of the grammar, and for those that sqlglot reads as one (ORDER BY)."""
    if dialect.any_is_function and raw.upper() in _QUANTIFIERS - {"ALL"}:
        return False
    return raw.upper() in _GRAMMAR or len(raw.split()) > 1


def _after_dot(lexed: Lexed, index: int) -> bool:
    return index > 0 and lexed.raw(lexed.tokens[index - 1]) == "."


def _qualifiers(lexed: Lexed, index: int) -> tuple[str, ...]:
    """The dotted words before a name; an expression before the dot gives an empty word."""
    found: list[str] = []
    while _after_dot(lexed, index):
        index -= 2
        raw = lexed.raw(lexed.tokens[index]) if index >= 0 else ""
        word = bool(raw) and (raw[0].isalpha() or raw[0] in '_"`[$')
        found.append(lexed.tokens[index].text if word and raw != "[" else "")
        if not word:
            break
    return tuple(reversed(found))
