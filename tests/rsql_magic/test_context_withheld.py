"""Code and messages are shown without the data in them."""

from __future__ import annotations

import time

import pandas as pd
import pytest

from rsql_magic.context import error_text
from rsql_magic.context.ranking import Cell
from rsql_magic.redaction import message_without_data, without_data

KNOWN = frozenset({"region"})


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (
            "df[df['name'] == 'Ann'].groupby('region').agg('mean')  # don't\nx = \"it's\"",
            "df[df['…'] == '…'].groupby('region').agg('mean')  # …\nx = \"…\"",
        ),
        ("# df[df.who == 'Ann']\nx = 1", "# …\nx = 1"),
        ("%%writefile patients.csv\nname,diagnosis\nAnn,kuru", "%%writefile …"),
        ("!grep Ann patients.csv\nfiles = !ls Ann", "!grep …\nfiles = !ls …"),
        ("%env PATIENT=Ann\n%load_ext rpy2.ipython\n%matplotlib", "%env …\n%load_ext rpy2.ipython\n%matplotlib"),
        ("%%sql\nSELECT 1 -- Ann\nWHERE a = 'Ann' /* Ann */", "%%sql\nSELECT 1 -- …\nWHERE a = '…' -- …"),
        ('%%R\n!is.na(x)\nd %>%\n  f("Ann")', '%%R\n!is.na(x)\nd %>%\n  f("…")'),
        ("phone = 2125550143; n = 1000; ages = [34, 87, 99.5, 12, 14, 18, 3]", "phone = …; n = 1000; ages = […]"),
        ("f'''Ann {region}''' + r\"Ann\"", "f'''…''' + r\"…\""),
        ("x = 'Ann", "x = '…"),
    ],
)
def test_code_is_shown_without_data(code, shown):
    assert without_data(code, KNOWN) == shown
    assert "Ann" not in without_data(code, frozenset())


def test_code_is_shown_as_it_is_where_the_level_allows_it():
    assert Cell("x = 'a b'").text() == "x = 'a b'"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("ValueError: could not convert string to float: 'Ann'", "ValueError: could not convert string to float: '…'"),
        ("KeyError: 'Ann Lee'", "KeyError: '…'"),
        ("KeyError: \"['Ann' 'Lee'] not in index\"", 'KeyError: "…"'),
        ("ValueError: 'Ann' is not in list", "ValueError: '…' is not in list"),
        ("the patients' doctor doesn't know 'O'Lee Ann'", "the patients' doctor doesn't know '…'"),
        (
            "DateParseError: Unknown datetime string format, unable to parse: Ann, at position 0",
            "DateParseError: Unknown datetime string format, unable to parse: …, at position 0",
        ),
        (
            "TypeError: Cannot setitem on a Categorical with a new category (Ann), set the categories first",
            "TypeError: Cannot setitem on a Categorical with a new category (…), set the categories first",
        ),
        ("DETAIL:  Failing row contains (1, Ann).", "DETAIL:  Failing row contains (…)."),
        ("Key (mail)=(Ann@x) already exists.", "Key (mail)=(…) already exists."),
        (
            "[SQL: INSERT INTO t VALUES (?)]\n[parameters: ('Ann',)]",
            "[SQL: INSERT INTO t VALUES (?)]\n[parameters: …)]",
        ),
        (
            "AssertionError: differ\n[left]:  [Ann, 2]\n[right]: [Ann]",
            "AssertionError: differ\n[left]:  …]\n[right]: …]",
        ),
        ("no patient 2125550143", "no patient …"),
        ("could not find 'Ann", "could not find '…"),
    ],
)
def test_messages_are_shown_without_values(message, shown):
    assert message_without_data(message, KNOWN) == shown


@pytest.mark.parametrize(
    "message",
    [
        "KeyError: 'regoin'",
        "NameError: name 'mena' is not defined",
        "AttributeError: 'DataFrame' object has no attribute 'foo'",
        "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
        "ModuleNotFoundError: No module named 'seaborn'",
        "Error in f(x): object ‘regoin’ not found",
        'could not find function "ggplot"',
        'Binder Error: Referenced column "regoin" not found in FROM clause!',
    ],
)
def test_messages_keep_the_names_of_code(message):
    assert message_without_data(message, KNOWN) == message


def test_an_error_is_shown_without_values():
    with pytest.raises(KeyError) as missing:
        {}["Grete Hermann"]
    assert "Grete" not in error_text(missing.value, known=frozenset())
    with pytest.raises(SyntaxError) as broken:
        compile("x = ('Grete Hermann'", "cell", "exec")
    said = error_text(broken.value.with_traceback(None), known=frozenset())
    assert said == "line 1: x = ('…'\nSyntaxError: '(' was never closed"


def test_a_column_that_is_not_there_is_said_and_a_key_of_a_mapping_is_not():
    frame = pd.DataFrame({"temp": [1]})
    with pytest.raises(KeyError) as missing:
        frame["wind"]
    assert error_text(missing.value, known=frozenset()).endswith("KeyError: 'wind'")
    with pytest.raises(KeyError) as several:
        frame[["temp", "tepm"]]
    assert "'tepm'" in error_text(several.value, known=frozenset({"temp"}))


def test_an_error_that_never_says_what_it_is_takes_no_time():
    class Slow(Exception):
        def __str__(self) -> str:
            time.sleep(60)
            return ""

    started = time.perf_counter()
    assert error_text(Slow()) == "Slow, whose text took too long"
    assert time.perf_counter() - started < 20
