"""The functions a query calls, read off its own words.

Every word in front of an opening bracket is a call, unless the tree says that it names a table with its columns
(``FROM f(1) AS t(a)``, ``WITH t(a) AS``) or it is a word of the grammar. The words are what the engine will see, so
a function that sqlglot renames, drops or mistakes for something else is still checked by the name that runs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rsql_magic.dialects import functions, names
from rsql_magic.errors import QueryRejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlglot import exp

    from rsql_magic.dialects import Functions, Lexed

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

_TYPES = names(
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

_SYSTEM_QUALIFIERS = {
    "duckdb": {"main", "system", "pg_catalog"},
    "postgres": {"pg_catalog", "public"},
    "redshift": {"pg_catalog"},
    "tsql": {"sys"},
    "clickhouse": set[str](),
    "oracle": {"sys"},
}
_METHODS = {
    "duckdb": None,
    "tsql": names(
        """
    value query nodes exist stx sty starea stastext stbuffer stcentroid stcontains stcrosses stdifference
    stdimension stdisjoint stdistance stendpoint stenvelope stequals stgeomfromtext stgeometrytype
    stintersection stintersects stisclosed stisempty stisvalid stlength stnumpoints stoverlaps stpointfromtext
    stpointn stsrid ststartpoint stsymdifference sttouches stunion stwithin tostring getancestor getdescendant
    getlevel getroot isdescendantof getreparentedvalue makevalid reduce parse point
    """
    ),
}
"""Where ``x.f(…)`` calls a function of the value x: any in DuckDB, the methods of its types in SQL Server."""


_COMBINATORS = re.compile(r"(if|array|map|state|merge|ordefault|ornull|distinct|resample|foreach|simplestate)$")


def refuse_unknown_calls(lexed: Lexed, nodes: Iterable[exp.Expr], dialect: str, extra: Iterable[str] = ()) -> None:
    """Refuse a query that calls a function which is not known to be harmless.

    Args:
        lexed: The query's words.
        nodes: The nodes of its tree.
        dialect: sqlglot's name.
        extra: Names of user-defined functions that may be called, qualified as they are called.

    Raises:
        QueryRejected: Naming the function.
    """
    known = functions(dialect)
    own = frozenset(name.casefold() for name in extra)
    named, made, called = _positions(nodes)
    for start, path in _calls(lexed, named, called):
        full = ".".join(path).lower()
        if full in own or _allowed(path, known, dialect):
            if start in made and known.tables is not None and full not in own and path[-1].lower() not in known.tables:
                raise _refused(path, "is not a function that may stand in FROM")
            continue
        raise _refused(path, known.reason(full) or known.reason(path[-1].lower()))


def _positions(nodes: Iterable[exp.Expr]) -> tuple[set[int], set[int], set[int]]:
    """Where names of tables with columns start, where functions in FROM start, and where any function starts."""
    from sqlglot import exp

    named: set[int] = set()
    made: set[int] = set()
    called: set[int] = set()
    for node in nodes:
        if isinstance(node, exp.Func) and "start" in node.meta:
            called.add(node.meta["start"])
        kind = type(node).__name__
        if kind == "TableAlias" and node.this is not None:
            named.add(node.this.meta.get("start", -1))
        elif kind == "Table" and node.this is not None and type(node.this).__name__ != "Identifier":
            made.add(node.this.meta.get("start", -1))
    return named, made, called


def _calls(lexed: Lexed, named: set[int], called: set[int]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Every call: where its name starts, and the name with its qualifiers."""
    tokens = lexed.tokens
    for index in range(len(tokens) - 1):
        if lexed.text[tokens[index + 1].start] != "(":
            continue
        token = tokens[index]
        raw = lexed.raw(token)
        quoted = raw[0] in '"`['
        bare = raw[0].isalpha() or raw[0] in "_$"
        if not (quoted or bare) or raw == "[":
            continue
        is_grammar = bare and _is_grammar(raw) and token.start not in called and not _after_dot(lexed, index)
        if token.start in named or is_grammar or _is_mark(lexed, index):
            continue
        yield token.start, (*_qualifiers(lexed, index), token.text)


def _is_mark(lexed: Lexed, index: int) -> bool:
    """True for Oracle's outer join ``a.id = b.id (+)``, and for PostgreSQL's ``OPERATOR(pg_catalog.~)``.

    An operator of another schema is somebody's function.
    """
    inside = "".join(lexed.raw(token) for token in lexed.tokens[index + 1 : index + 4])
    return inside == "(+)" or (lexed.word(index) == "OPERATOR" and lexed.word(index + 2) == "PG_CATALOG")


def _is_grammar(raw: str) -> bool:
    """True for a word of the grammar, and for those that sqlglot reads as one (ORDER BY)."""
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


def _allowed(path: tuple[str, ...], known: Functions, dialect: str) -> bool:
    *qualifiers, name = (part.lower() for part in path)
    if not name.isascii():
        return False
    if dialect == "bigquery" and qualifiers[:1] == ["safe"]:
        qualifiers = qualifiers[1:]
    if dialect == "clickhouse":
        name = _without_combinators(name)
    full = ".".join([*qualifiers, name])
    if known.allows(full) or (name.upper() in _TYPES and not qualifiers):
        return True
    if not qualifiers:
        return known.tables is not None and name in known.tables
    if all(part in _SYSTEM_QUALIFIERS.get(dialect, set()) for part in qualifiers):
        return known.allows(name) or bool(known.tables and name in known.tables)
    methods = _METHODS.get(dialect, frozenset())
    return known.allows(name) and (methods is None or name in methods)


def _without_combinators(name: str) -> str:
    """ClickHouse's ``sumMapIf`` is ``sum`` with combinators, which only say over what it goes."""
    while (ending := _COMBINATORS.search(name)) and ending.start() > 2:
        name = name[: ending.start()]
    return name


def _refused(path: tuple[str, ...], why: str) -> QueryRejected:
    name = ".".join(part for part in path if part)
    if not why:
        return QueryRejected(
            f"The function {name} is not known to be harmless.",
            piece=name,
            hint="Use a built-in function, or name your own in the catalog's functions.",
        )
    verb = "" if why.startswith("is ") else ": it "
    return QueryRejected(
        f"The function {name} {why}." if not verb else f"The function {name} may not be called{verb}{why}.", piece=name
    )
