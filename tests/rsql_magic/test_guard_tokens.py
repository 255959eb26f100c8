"""What the guard lets through is all in the tree that it judged, and nothing is put into the text behind it."""

from __future__ import annotations

import random
from collections import Counter

import guard_cases as cases
import pytest
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from rsql_magic import guard
from rsql_magic.errors import QueryRejected
from rsql_magic.sql.dialects.reading import lex, parse
from rsql_magic.sql.guard.tokens import _DATE_PARTS, _GRAMMAR, refuse_unaccounted

PLANTED = [
    "evilword",
    "'evilword'",
    '"evilword"',
    "evilword evilword",
    "evilword.x",
    "evilword = 1",
    "->> DELETE FROM evilword",
    "|> CALL evilword",
    "DROP TABLE evilword",
    "INTO OUTFILE 'evilword'",
    "SETTINGS evilword = 1",
    "OPTIONS (evilword = 1)",
    "USING evilword",
    "WITH evilword",
    "FOR evilword",
    "FORMAT evilword",
    "LOCATION 'evilword'",
    "AT evilword",
    "TABLESAMPLE evilword",
    "CHANGES (INFORMATION => evilword)",
    "MATCH evilword",
    "APPLY evilword",
]
GRAMMAR = _GRAMMAR | _DATE_PARTS
ALL = [*cases.ALL, "oracle", "spark", "trino", "clickhouse", "databricks"]


def statements(dialect):
    known = "spark" if dialect == "databricks" else dialect
    found = [*cases.BENIGN_EVERYWHERE, *cases.BENIGN.get(known, ())]
    return [sql for sql in found if sql.split()[0].upper() in {"SELECT", "WITH", "FROM"}]


def planted(dialect, seed, count):
    """Statements with a fragment at a place between two tokens, or in place of one."""
    chance = random.Random(f"{dialect}{seed}")
    for _ in range(count):
        sql = chance.choice(statements(dialect))
        tokens = lex(sql, dialect).tokens
        token = chance.choice(tokens)
        end = token.start if chance.random() < 0.8 else token.end + 1
        yield f"{sql[: token.start]} {chance.choice(PLANTED)} {sql[end:]}"


def accepted(sql, dialect):
    try:
        return guard.check(sql, dialect)
    except QueryRejected:
        return ""


def is_written_again(text, dialect):
    """By a second reader: what sqlglot writes of the tree, or shows of it, has the word as often as the text."""
    tree = parse(lex(text, dialect).text, dialect)
    wanted = text.lower().count("evilword")
    again = Dialect.get_or_raise(dialect).generate(tree, copy=True)  # leaves out some arguments: ``now(x)``
    return again.lower().count("evilword") >= wanted or repr(tree).lower().count("evilword") >= wanted


def hidden(dialect, seed, count):
    texts = (accepted(sql, dialect) for sql in planted(dialect, seed, count))
    return [text for text in texts if "evilword" in text.lower() and not is_written_again(text, dialect)]


@pytest.mark.spine
@pytest.mark.parametrize("dialect", ALL)
def test_nothing_passes_that_the_tree_does_not_hold(dialect):
    assert hidden(dialect, 1, 60) == []


@pytest.mark.sweep
@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize("seed", range(2, 7))
def test_nothing_passes_that_the_tree_does_not_hold_in_many_places(dialect, seed):
    assert hidden(dialect, seed, 2000) == []


@pytest.mark.spine
@pytest.mark.parametrize("dialect", ALL)
def test_a_name_that_a_parser_would_skip_is_missed(dialect):
    """Of each statement one name is taken out of the nodes, as if the parser had read past it."""
    chance, seen = random.Random(dialect), 0
    for sql in statements(dialect):
        lexed = lex(sql, dialect)
        nodes = list(parse(lexed.text, dialect).walk())
        named = {one.start for one in lexed.tokens if one.token_type.name in {"VAR", "IDENTIFIER"}}
        starts = Counter(node.meta.get("start") for node in nodes)  # PIVOT keeps names of its columns twice
        once = [node for node in nodes if isinstance(node, exp.Identifier) and starts[node.meta.get("start")] == 1]
        once = [node for node in once if node.meta.get("start") in named]
        if not once:
            continue
        skipped = chance.choice(once)
        if skipped.name.upper() in GRAMMAR or lexed.text[skipped.meta["end"] + 1 :].lstrip()[:1] in "(.":
            continue
        seen += 1
        with pytest.raises(QueryRejected, match="could not be read"):
            refuse_unaccounted(lexed, [node for node in nodes if node is not skipped], dialect)
    assert seen > 3


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("clickhouse", "SELECT * APPLY(sleep) FROM t"),
        ("clickhouse", "SELECT COLUMNS('a') APPLY(file) FROM t"),
        ("clickhouse", "SELECT arrayMap(evil, [1])"),
        ("spark", "SELECT transform(a, reflect) FROM t"),
        ("spark", "SELECT aggregate(a, 0, evil) FROM t"),
        ("databricks", "SELECT filter(a, java_method) FROM t"),
        ("duckdb", "SELECT list_transform([1], read_text)"),
        ("duckdb", "SELECT list_aggregate([1], 'evil')"),
        ("trino", "SELECT reduce(ARRAY[1], 0, evil, s -> s)"),
        ("oracle", "SELECT * FROM XMLTABLE('fn:doc(\"/etc/passwd\")' COLUMNS a VARCHAR2(10) PATH '.')"),
        ("oracle", "SELECT * FROM XMLTABLE('/a[doc(\"x\")]' COLUMNS a VARCHAR2(10) PATH '.')"),
        ("postgres", "SELECT * FROM xmltable('collection()' PASSING x COLUMNS a int)"),
        ("spark", "SELECT '${env:HOME}' FROM t"),
        ("databricks", "SELECT * FROM ${hiveconf:table}"),
        ("snowflake", "SELECT a ->> 'x' FROM t"),
        ("duckdb", "SELECT {{x}} FROM t"),
        ("postgres", "SELECT {x} FROM t"),
        ("duckdb", "FROM t |> WHERE a"),
        ("duckdb", "SELECT a FROM t WHERE a = ?"),
        ("oracle", "SELECT a FROM t WHERE a = :x"),
        ("postgres", "SELECT a FROM t WHERE a = $1"),
        ("tsql", "SELECT a FROM t WHERE a = @x"),
        ("clickhouse", "SELECT a FROM t WHERE a = {x: Int32}"),
        ("duckdb", "SELECT date_diff('a', 'b', 'c', (SELECT c FROM 'evil.csv')) FROM t"),
        ("mysql", "SELECT lpad('a', 2, 'b', (SELECT c FROM evil)) FROM t"),
    ],
)
def test_what_is_called_or_put_in_by_name_is_refused(dialect, sql):
    assert accepted(sql, dialect) == ""


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("clickhouse", "SELECT * APPLY(sum) FROM t"),
        ("duckdb", "SELECT list_aggregate([1], 'histogram'), list_transform(a, x -> x + 1), list_sort(a) FROM t"),
        ("spark", "SELECT zip_with(a, b, (x, y) -> x + y), aggregate(a, start, (s, x) -> s + x) FROM t"),
        ("trino", "SELECT map_zip_with(m, m, (k, v, w) -> v + w), reduce(a, start, (s, x) -> s + x, s -> s) FROM t"),
        ("postgres", "SELECT * FROM xmltable('/r/i' PASSING x COLUMNS a int PATH '@a')"),
        ("postgres", "SELECT a ->> 'x' FROM t"),
        ("postgres", "SELECT '?', ':x', '%s', a ? 'b', a::int FROM t WHERE b LIKE '%s'"),
        ("duckdb", "SELECT {'a': 1, 'b': [1]}, '{{x}}' FROM t"),
        ("snowflake", "SELECT $1, a:b FROM VALUES (1), (2)"),
        ("mysql", "SELECT @x, @@version, {d '2024-01-01'}"),
        ("bigquery", "FROM t |> WHERE a > 1 |> SELECT a"),
    ],
)
def test_ordinary_functions_of_functions_pass(dialect, sql):
    assert accepted(sql, dialect) == sql
