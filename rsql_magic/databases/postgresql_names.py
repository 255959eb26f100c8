"""What the names of a statement stand for in PostgreSQL, looked up before anything is planned."""

# PostgreSQL resolves a name by the types of its arguments, and a function that a user made may fit better than the
# built-in one of that name: `abs('x')`, `a + b`, `'x'::level`, `(t).total`, which calls `total(t)`. Planning already
# runs what is declared immutable. So the names that a statement may call are gathered from its text, wider than
# PostgreSQL would read them, and looked up: what a user made under such a name is refused, unless it belongs to a known
# extension or the catalog names it.

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from rsql_magic.errors import QueryRejected
from rsql_magic.sql import ascii_lower, calls, functions, lex, names, parse, statement_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlglot import exp

    from rsql_magic.sql import Lexed

# Bytes of a name; PostgreSQL cuts what is longer.
LONGEST = 63

# Words that call operators by name.
_OPERATORS_OF_WORDS = {
    "BETWEEN": "< <= > >=",
    "CASE": "=",
    "DISTINCT": "=",
    "ILIKE": "~~* !~~*",
    "IN": "= <>",
    "INTERSECT": "=",
    "LIKE": "~~ !~~",
    "NATURAL": "=",
    "NULLIF": "= <>",
    "SIMILAR": "~ !~",
    "USING": "=",
}
_OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
# Words that an expression or a table follows, and not a type.
_NO_TYPE_AFTER = names(
    """
    ALL AND ANY BETWEEN BY CASE DISTINCT ELSE EXCEPT EXISTS FROM GROUP HAVING ILIKE IN INTERSECT IS JOIN LIKE LIMIT NOT
    OFFSET ON OR ORDER OVER PARTITION RETURNING SELECT SIMILAR SOME THEN TO UNION USING WHEN WHERE WITH
    """
)


# Extensions whose functions do what their names say; which of them may be called is on the guard's list.
EXTENSIONS = """
    bloom btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch h3 h3_postgis hstore intarray
    isn ltree pg_bigm pg_trgm pgcrypto pgrouting postgis postgis_raster postgis_sfcgal postgis_topology seg tablefunc
    timescaledb timescaledb_toolkit tsm_system_rows tsm_system_time unaccent uuid-ossp vector
    """.split()  # noqa: SIM905 - words read better as text


class Named(NamedTuple):
    """What a statement may call."""

    # Names before brackets with the number of arguments; None where it cannot be told.
    calls: set[tuple[str, int | None]]
    fields: set[str]  # names behind the name of a table: `t.total`
    parts: set[str]  # names behind something else: `(t).total`
    operators: set[str]  # operators, and those that words stand for
    types: set[str]  # names that may be types
    words: set[str]  # all names


def named(sql: str) -> Named | None:
    """The names of a guarded statement that may call something; None when it is no query, like SHOW.

    Example:
        >>> found = named("SELECT (t).a, t.b, lower(c) || 'x'::level FROM s.t")
        >>> found.parts, found.fields, found.calls, sorted(found.types)
        ({'a'}, {'b'}, {('lower', 1)}, ['a', 'from', 'level', 'lower', 'select'])
    """
    if not (query := statement_of(lex(sql, "postgres"), "postgres").query):
        return None
    lexed = lex(query, "postgres")
    tree = parse(lexed.text, "postgres")
    words = [_word(lexed, index) for index in range(len(lexed.tokens))]
    found = Named(_calls(lexed, tree), set(), set(), _operators(lexed), set(), {word for word in words if word})
    tables = _places_of_tables(tree)
    for index, word in enumerate(words):
        if word and lexed.tokens[index].start not in tables:
            _take(lexed, words, index, found)
    return found


def _take(lexed: Lexed, words: Sequence[str], index: int, found: Named) -> None:
    word = words[index]
    behind = lexed.raw(index + 1)
    if lexed.raw(index - 1) == "." and behind != "(":
        (found.fields if _follows_names(lexed, words, index) else found.parts).add(word)
    if _may_be_type(lexed, words, index):
        found.types.add(word)


def _follows_names(lexed: Lexed, words: Sequence[str], index: int) -> bool:
    """Whether what is before the dots is the name of a table: ``s.t.a``, but not ``(x).a`` or ``x[1].a``."""
    while lexed.raw(index - 1) == ".":
        index -= 2
        if index < 0 or not words[index]:
            return False
    return True


def _may_be_type(lexed: Lexed, words: Sequence[str], index: int) -> bool:
    """Whether a type may stand there: behind ``::``, AS or another name, and before a text or a bracket."""
    behind = lexed.raw(index + 1)
    if behind == "(" or _is_text(behind):
        return True
    while lexed.raw(index - 1) == ".":
        index -= 2
    before = lexed.raw(index - 1)
    return before == "::" or bool(index > 0 and words[index - 1] and before.upper() not in _NO_TYPE_AFTER)


def _calls(lexed: Lexed, tree: exp.Expr) -> set[tuple[str, int | None]]:
    found: set[tuple[str, int | None]] = set()
    places = {token.start: index for index, token in enumerate(lexed.tokens)}
    for call in calls(lexed, list(tree.walk()), "postgres"):
        count = _arguments(lexed, places[call.start])
        found |= {(_cut(call.path[-1]), count), (_cut(ascii_lower(call.path[-1])), count)}
    return found


def _arguments(lexed: Lexed, index: int) -> int | None:
    """The number of arguments behind a name; None where ORDER BY or VARIADIC adds to them."""
    while lexed.raw(index) != "(":
        index += 1
    if lexed.raw(index + 1) == ")":
        return 0 if lexed.word(index + 2) != "WITHIN" else None
    depth, count = 0, 1
    for at in range(index, len(lexed.tokens)):
        raw = lexed.raw(at)
        depth += (raw in {"(", "["}) - (raw in {")", "]"})
        count += depth == 1 and raw == ","
        if depth == 1 and lexed.word(at) == "VARIADIC":
            return None
        if not depth:
            return None if lexed.word(at + 1) == "WITHIN" else count
    return None


def _operators(lexed: Lexed) -> set[str]:
    """All operators that the signs of a text may be read as; ``a<-1`` is divided in different ways."""
    bare = "".join(raw if not _is_text(raw) and raw[0] != '"' else " " for raw in _pieces(lexed))
    runs = set(_OPERATOR.findall(bare))
    signs = {run[start:end] for run in runs for start in range(len(run)) for end in range(start + 1, len(run) + 1)}
    spoken = {sign for raw in lexed.raws for sign in _OPERATORS_OF_WORDS.get(raw.upper(), "").split()}
    return signs | spoken | ({"<>"} if "!=" in signs else set())


def _pieces(lexed: Lexed) -> Iterator[str]:
    """The tokens with the blanks between them."""
    end = 0
    for token, raw in zip(lexed.tokens, lexed.raws, strict=True):
        if token.start > end:
            yield " "
        yield raw or " "
        end = token.end + 1


def _places_of_tables(tree: exp.Expr) -> set[int]:
    """Where names of tables stand in FROM; these call nothing."""
    from sqlglot import exp

    found: set[int] = set()
    for table in tree.find_all(exp.Table):
        parts = [part for part in (table.args.get("catalog"), table.args.get("db"), table.this) if part is not None]
        found |= {part.meta["start"] for part in parts if isinstance(part, exp.Identifier) and "start" in part.meta}
    return found


def _word(lexed: Lexed, index: int) -> str:
    """A name as PostgreSQL compares it, or nothing."""
    raw = lexed.raw(index)
    if raw[:1] == '"':
        return _cut(raw[1:-1].replace('""', '"'))
    return _cut(ascii_lower(raw)) if raw[:1].isalpha() or raw[:1] == "_" else ""


def _cut(name: str) -> str:
    # A character takes four bytes at most.
    return name if len(name) <= LONGEST // 4 else name.encode()[:LONGEST].decode("utf-8", "ignore")


def _is_text(raw: str) -> bool:
    return raw[-1:] == "'" or raw[:1] in {"'", "$"}


def refuse_made_by_users(run: Callable[..., list[tuple[Any, ...]]], sql: str, allowed: frozenset[str]) -> None:
    """Refuse a statement that may call what a user made: a function, field, operator, type or cast."""
    # `run` runs a statement with its parameters in the transaction that will run `sql`.
    if (found := named(sql)) is None:
        return
    [[path, schemas, made]] = run(_PLACE)
    if not made and not found.parts:
        return
    run(_OWN_NAMES)
    try:
        named_calls, counts = [name for name, _ in found.calls], [count for _, count in found.calls]
        others = map(sorted, (found.types, found.words, found.fields, found.parts, found.operators))
        rows = run(_MADE_BY_USERS, EXTENSIONS, [*schemas, *sorted(found.words)], named_calls, counts, *others)
    finally:
        run("SELECT pg_catalog.set_config('search_path', %s, true)", path)
    known = functions("postgres")
    for kind, name, function, own in rows:
        if name in allowed or function.replace("public.", "") in allowed or (not own and known.allows(name)):
            continue
        why = "which a user made" if own else "which is not known to be harmless"
        hint = "Use what PostgreSQL itself has, or a column of that name with its table."
        raise QueryRejected.slip(f"{_KINDS[kind].format(name)} may run {function}, {why}.", name, hint)


_KINDS = {
    "function": "The function {}",
    "field": "The field {}",
    "operator": "The operator {}",
    "type": "The type {}",
    "cast": "A cast of {}",
}

# Where names are looked up, and whether there is any function that did not come with the server.
_PLACE = """
    SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_schemas(true)::text[],
        EXISTS (SELECT FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.>=) 16384::oid)"""

# From here on names are PostgreSQL's own, whatever a user has made.
_OWN_NAMES = "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)"

_MADE_BY_USERS = """
    WITH RECURSIVE trusted AS (
        SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = ANY (%s::text[])
    ), seen AS (
        SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY (%s::text[]) OR nspname LIKE 'pg\\_temp\\_%%'
    ), made AS (
        SELECT p.oid, p.proname, p.proargtypes[0] AS first, n.nspname || '.' || p.proname AS full,
            p.pronargs - p.pronargdefaults AS least,
            CASE WHEN p.provariadic = 0 THEN p.pronargs ELSE 10000 END AS most, p.oid >= 16384 AS own
        FROM pg_proc p JOIN seen n ON n.oid = p.pronamespace
        WHERE NOT EXISTS (SELECT FROM trusted WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
    ), calls AS (
        SELECT DISTINCT * FROM unnest(%s::text[], %s::int[]) AS c(name, given)
    ), types AS (
        SELECT t.oid, t.typname AS name FROM pg_type t
        WHERE t.typname = ANY (%s::text[]) AND t.typnamespace IN (SELECT oid FROM seen) AND t.oid >= 16384
    ), inside AS (
        SELECT oid, name FROM types
        UNION
        SELECT part.oid, inside.name FROM inside
        JOIN pg_type t ON t.oid = inside.oid
        LEFT JOIN pg_range r ON r.rngtypid = t.oid
        LEFT JOIN pg_attribute a ON t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem), (r.rngsubtype), (a.atttypid)) AS part(oid)
        WHERE part.oid >= 16384
    ), casts AS (
        SELECT c.castfunc, c.castsource, c.casttarget FROM pg_cast c
        WHERE c.castfunc >= 16384
            AND NOT EXISTS (SELECT FROM trusted WHERE classid = 'pg_proc'::regclass AND objid = c.castfunc)
    ), columns AS (
        SELECT DISTINCT a.atttypid AS oid, t.typelem, t.typbasetype, c.relname AS name FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.atttypid >= 16384 AND c.relname = ANY (%s::text[])
    )
    SELECT 'function', c.name, m.full, true FROM calls c JOIN made m ON m.proname = c.name
    WHERE m.own AND (c.given IS NULL OR c.given BETWEEN m.least AND m.most)
    UNION ALL
    SELECT 'field', m.proname, m.full, m.own FROM made m JOIN pg_type t ON t.oid = m.first
    WHERE m.least <= 1
        AND (m.own AND m.proname = ANY (%s::text[]) AND t.typtype IN ('c', 'd', 'p') OR m.proname = ANY (%s::text[]))
        AND NOT EXISTS (
            SELECT FROM pg_attribute a
            WHERE t.typrelid <> 0 AND a.attrelid = t.typrelid AND a.attname = m.proname AND NOT a.attisdropped
        )
    UNION ALL
    SELECT 'operator', o.oprname, n.nspname || '.' || o.oprname, true FROM pg_operator o
    JOIN seen n ON n.oid = o.oprnamespace
    WHERE o.oid >= 16384 AND o.oprname = ANY (%s::text[])
        AND NOT EXISTS (SELECT FROM trusted WHERE classid = 'pg_operator'::regclass AND objid = o.oid)
    UNION ALL
    SELECT 'type', i.name, p.proname::text, true FROM inside i
    JOIN pg_constraint k ON k.contypid = i.oid
    JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
    LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
    JOIN pg_proc p ON p.oid = CASE d.refclassid WHEN 'pg_proc'::regclass THEN d.refobjid ELSE o.oprcode END
    WHERE p.oid >= 16384 AND NOT EXISTS (SELECT FROM trusted WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
    UNION ALL
    SELECT 'cast', i.name, p.proname::text, true FROM casts c JOIN pg_proc p ON p.oid = c.castfunc
    JOIN inside i ON i.oid IN (c.castsource, c.casttarget)
    UNION ALL
    SELECT 'cast', i.name, p.proname::text, true FROM casts c JOIN pg_proc p ON p.oid = c.castfunc
    JOIN columns i ON EXISTS (
        SELECT FROM (VALUES (i.oid), (i.typelem), (i.typbasetype)) AS part(oid)
        WHERE part.oid >= 16384 AND part.oid IN (c.castsource, c.casttarget)
    )
    LIMIT 20"""
