"""docs/sql-safety.md says what the code does."""

from __future__ import annotations

import doctest
import runpy
from pathlib import Path

import pytest

from rsql_magic.sql import guard
from rsql_magic.sql.dialects import reading
from rsql_magic.sql.dialects.reading import QUERY_WORDS
from rsql_magic.sql.guard import rows, size

PAGE = (Path(__file__).parents[2] / "docs" / "sql-safety.md").read_text(encoding="utf-8")


def test_the_tables_of_functions_are_fresh():
    made = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "docs.py"))
    assert made["functions_table"]() in PAGE, "run make docs"
    assert made["reasons_table"]() in PAGE, "run make docs"


@pytest.mark.parametrize("word", sorted(QUERY_WORDS - {"PIVOT_LONGER", "PIVOT_WIDER"}))
def test_every_first_word_of_a_query_is_named(word):
    assert f"`{word}" in PAGE


@pytest.mark.parametrize("word", ["EXPLAIN", "DESCRIBE", "SUMMARIZE", "SHOW", "PRAGMA"])
def test_every_other_statement_is_named(word):
    assert f"| `{word}`" in PAGE


@pytest.mark.parametrize(
    "limit",
    [
        reading.MAX_CHARACTERS,
        reading.MAX_TOKENS,
        reading.MAX_DEPTH,
        reading.MAX_TREE_DEPTH,
        size.MAX_ROWS,
        size.MAX_TEXT,
        size.MAX_TOTAL_TEXT,
        size.MAX_WILDCARDS,
        size.MAX_CUBE,
        int(rows.TABLE_ROWS),
    ],
)
def test_every_limit_is_named(limit):
    assert f"{limit:,}" in PAGE


def test_the_largest_product_is_named():
    assert rows.MAX_PRODUCT == 1e11
    assert "10^11 rows" in PAGE


def test_the_examples_run():
    examples = doctest.DocTestParser().get_doctest(PAGE, {}, "sql-safety.md", None, 0)
    assert len(examples.examples) == 3
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples).failed == 0


def test_words_that_begin_a_statement_have_one_reason():
    words = [word for line in guard._WRITES.strip().splitlines() for word in line.partition(": ")[2].split()]
    assert len(words) == len(set(words))
