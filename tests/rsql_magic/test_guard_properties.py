"""What must hold of the guard whatever it is given, tried with thousands of statements made from pieces."""

from __future__ import annotations

import contextlib
import random
import sqlite3

import guard_cases as cases
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from rsql_magic.errors import QueryRejected
from rsql_magic.sql import guard, lex, names, parse

QUICK = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

WRITES = names(
    """
    Alter Analyze Attach Command Comment Commit Copy Create Delete Detach Drop Execute Export Grant Insert Into Kill
    LoadData Lock Merge NextValueFor Put Revoke Rollback Set Transaction TruncateTable Update Use
    """
)

WORDS = """
    SELECT * name 1 FROM customers sales WHERE id = ( ) , JOIN ON GROUP BY ORDER LIMIT 5 UNION ALL WITH a AS
    count (*) [x] DELETE DROP TABLE UPDATE SET INSERT INTO VALUES FOR ; -- /* */ /*! pg_sleep(1) EXPLAIN ANALYZE
    PRAGMA ATTACH COPY EXEC @x := # { } [ ] RETURNING MERGE REPLACE CALL SHOW TABLES DESCRIBE RECURSIVE OVER
    LATERAL EXISTS IN CASE WHEN THEN END CAST é 'x' "x" `x` $$ load_extension('x') read_csv('x') ' " \\
    """
PIECES = [*WORDS.split(), "NEXT VALUE FOR s", "\n", "\u037e", "\u00a0", "\u200b"]

dialects = st.sampled_from(cases.ALL)
statements = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.text(max_size=80),
)


def accepted(sql, dialect):
    """What the guard lets through, or None. It may refuse, and nothing else."""
    try:
        return guard.check(sql, dialect)
    except QueryRejected:
        return None


def assert_only_reads(checked, dialect):
    lexed = lex(checked, dialect)
    assert ";" not in set(lexed.raws)
    assert lexed.comments == ()
    if lexed.first_word() in {"EXPLAIN", "DESCRIBE", "DESC", "SHOW", "PRAGMA", "SUMMARIZE"}:
        return
    kinds = {type(node).__name__ for node in parse(lexed.text, dialect).walk()}
    assert kinds & WRITES == set()


@pytest.mark.spine
@QUICK
@given(statements, dialects)
def test_what_passes_only_reads(sql, dialect):
    checked = accepted(sql, dialect)
    if checked is not None:
        assert guard.check(checked, dialect) == checked
        assert_only_reads(checked, dialect)


@pytest.mark.spine
@QUICK
@given(st.data(), dialects)
def test_what_passes_only_reads_when_good_and_bad_are_mixed(data, dialect):
    """Words of an attack are put into a benign query, somewhere."""
    good = data.draw(st.sampled_from([*cases.BENIGN_EVERYWHERE[:40], *cases.BENIGN[dialect]]))
    bad = data.draw(st.sampled_from([sql for _, sql in [*cases.ATTACKS_EVERYWHERE, *cases.ATTACKS[dialect]]]))
    words = good[:400].split(" ")
    start = data.draw(st.integers(0, len(words)))
    stop = data.draw(st.integers(start, min(start + 3, len(words))))
    mixed = " ".join([*words[:start], bad[:400], *words[stop:]])
    checked = accepted(mixed, dialect)
    if checked is not None:
        assert guard.check(checked, dialect) == checked
        assert_only_reads(checked, dialect)


def disguised(sql, dialect, seed):
    """The same statement otherwise spelled: case, white space, comments, semicolons, brackets."""
    luck = random.Random(seed)
    try:
        lexed = lex(sql, dialect)
    except ValueError:
        return sql
    if lexed.comments:  # they are the attack
        return sql
    pieces = []
    for raw in lexed.raws:
        bare = raw[0].isalpha() and not any(quote in raw for quote in "'\"`")
        pieces.append("".join(luck.choice((c.upper(), c.lower())) for c in raw) if bare else raw)
    between = [" ", "\n", "\t", " /* x */ ", " -- y\n", "\n\n", "\u00a0"]
    text = pieces[0] + "".join(
        (luck.choice(between) if lexed.text[a.end + 1 : b.start] or luck.random() < 0.2 else "") + piece
        for a, b, piece in zip(lexed.tokens, lexed.tokens[1:], pieces[1:], strict=False)
    )
    return luck.choice(["", ";", " ", "/* a */ ", "-- b\n"]) + text + luck.choice(["", ";", " ; ", " -- c", " /* d */"])


@pytest.mark.spine
@pytest.mark.slow
@pytest.mark.parametrize("dialect", cases.ALL)
def test_disguised_attacks_are_refused(dialect):
    for number, (_, sql) in enumerate([*cases.ATTACKS_EVERYWHERE, *cases.ATTACKS[dialect]]):
        text = disguised(sql, dialect, number)
        assert accepted(text, dialect) is None, text


@pytest.mark.spine
@pytest.mark.slow
@pytest.mark.parametrize("dialect", cases.ALL)
def test_disguised_benign_statements_pass(dialect):
    for number, sql in enumerate([*cases.BENIGN_EVERYWHERE[:50], *cases.BENIGN[dialect]]):
        text = disguised(sql, dialect, number)
        guard.check(text, dialect)


@pytest.mark.spine
@pytest.mark.slow
@pytest.mark.parametrize("dialect", cases.ALL)
def test_an_unknown_function_is_refused_wherever_it_stands(dialect):
    """Columns of what may pass are replaced by a call, one at a time."""
    tried = 0
    for number, sql in enumerate([*cases.BENIGN_EVERYWHERE[16:50], *cases.BENIGN[dialect]]):
        lexed = lex(sql, dialect)
        if lexed.first_word() in {"SHOW", "PRAGMA", "DESC", "DESCRIBE"}:
            continue
        columns = (column for column in parse(lexed.text, dialect).find_all(exp.Column) if not column.table)
        places = [c.this.meta for c in columns if "start" in c.this.meta and not isinstance(c.this, exp.Star)]
        for place in random.Random(number).sample(places, min(5, len(places))):
            text = lexed.text[: place["start"]] + "evil_call('x')" + lexed.text[place["end"] + 1 :]
            tried += 1
            assert accepted(text, dialect) is None, text
    assert tried > 100


ALLOWED_ACTIONS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
READING_PRAGMAS = {"table_info", "table_list", "index_list", "index_info", "foreign_key_list", "database_list"}


@pytest.mark.spine
@QUICK
@given(st.data())
def test_sqlite_itself_sees_only_reading(data):
    """SQLite's authorizer is asked what each statement that passes would do."""
    pool = [*cases.BENIGN_EVERYWHERE[:40], *cases.BENIGN["sqlite"], *PIECES, *(s for _, s in cases.ATTACKS["sqlite"])]
    words = [
        w for sql in data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3)) for w in sql[:300].split(" ")
    ]
    cut = data.draw(st.integers(0, len(words)))
    checked = accepted(" ".join([*words[cut:], *words[:cut]]), "sqlite")
    if checked is None or lex(checked, "sqlite").first_word() in {"PRAGMA", "EXPLAIN"}:
        return
    seen = []

    def note(action, first, *_):
        seen.append((action, first))
        return sqlite3.SQLITE_OK

    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "CREATE TABLE customers(id, name, city, since); CREATE TABLE sales(id, customer_id, item_id, total, sold_on);"
    )
    connection.set_authorizer(note)
    with contextlib.suppress(sqlite3.Error):  # what does not compile would not run
        connection.execute(f"EXPLAIN {checked}")
    connection.close()
    declared = {(sqlite3.SQLITE_UPDATE, "sqlite_master")}  # how SQLite declares a table made by a function
    other = {a for a in seen if a[0] not in ALLOWED_ACTIONS} - declared
    assert {first for action, first in other if action == sqlite3.SQLITE_PRAGMA} <= READING_PRAGMAS
    assert {action for action, _ in other} <= {sqlite3.SQLITE_PRAGMA}
