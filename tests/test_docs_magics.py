"""docs/magics.md and docs/settings.md say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rsql_magic.config import settings_table
from rsql_magic.options import ASK, COMMANDS, SQL_AI, options_table

DOCS = Path(__file__).parent.parent / "docs"
OPTIONS = {"ask": ASK, "sql_ai": SQL_AI}


@pytest.fixture(scope="module")
def magics():
    return (DOCS / "magics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ask", "sql_ai"])
def test_every_option_has_a_row_and_an_example(magics, name):
    section = magics.split(f"\n## `%%{name}`")[1].split("\n## ")[0]
    for option in OPTIONS[name]:
        for flag in option.flags:
            assert re.search(rf"^\| .*`{flag}[ `]", section, re.M), f"{name}: {flag} has no row"
        assert re.search(rf"^%{{1,2}}{name}\b.*{option.flags[0]}\b", section, re.M), (
            f"{name}: {option.flags[0]} has no example"
        )


def test_no_row_is_about_an_option_that_is_gone(magics):
    for name in ("ask", "sql_ai"):
        section = magics.split(f"\n## `%%{name}`")[1].split("\n## ")[0]
        known = {flag for option in OPTIONS[name] for flag in option.flags}
        assert set(re.findall(r"`(--[a-z-]+)", section)) <= known


def test_every_command_is_there(magics):
    for name in COMMANDS:
        assert re.search(rf"^\| `%rsql {name}\b", magics, re.M), name


def test_the_settings_are_those_of_the_code():
    assert settings_table() in (DOCS / "settings.md").read_text(encoding="utf-8"), "run: make docs"


@pytest.mark.parametrize("name", ["ask", "sql_ai"])
def test_the_options_are_those_of_the_code(magics, name):
    assert options_table(OPTIONS[name]) in magics, "run: make docs"
