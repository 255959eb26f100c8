"""The grammar of questions is whole: each rule is there and used, each function has a rule that names it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from jupyter_server_ext.offline.sql import question
from jupyter_server_ext.offline.sql.grammar import Grammar
from jupyter_server_ext.offline.sql.meanings import MEANINGS
from jupyter_server_ext.offline.sql.mentions import SchemaMentions
from rsql_magic.sql import Catalog

TEXT = Path(inspect.getfile(question)).with_name("grammar.txt").read_text(encoding="utf-8")
RULES = re.sub(r"(?m)^#.*\n", "", TEXT)
READ_FIRST = {"question", "change"}


def test_every_rule_that_a_pattern_names_is_there_and_used():
    names = (
        SchemaMentions((), question.SchemaNames.of(Catalog((), "duckdb"))).terminals.keys()
        | question.GRAMMAR.rules.keys()
    )
    asked = set(re.findall(r"\{(?:\w+:)?(\w+)\}", RULES))

    assert asked <= names
    assert question.GRAMMAR.rules.keys() - asked == READ_FIRST


def test_every_meaning_is_named_by_a_rule_and_every_rule_names_one_that_is_there():
    named = set(re.findall(r"(?m)^\w+: (\w+)", RULES)) - {"true", "false"}

    assert named == MEANINGS.keys()


@pytest.mark.parametrize("pattern", ["how many)", "how (many", "how [many)"])
def test_brackets_that_do_not_fit_are_no_pattern(pattern):
    with pytest.raises(ValueError, match="brackets of this pattern"):
        Grammar.read(f"count: of\n    {pattern}", {"of": str})
