"""Columns and frames with odd names: they are told as they are stored, found again, and spoil nothing beside them."""

from __future__ import annotations

import ast

import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from many_cases import check_each

from jupyter_server_ext.offline import answer
from jupyter_server_ext.offline.request import read
from rsql_magic.context import describe
from rsql_magic.databases.engines import open_engine
from rsql_magic.errors import BadInput
from rsql_magic.sql import Catalog, Column, Table, check, fix_query, validate
from rsql_magic.sql.facts import RName, shown_name

# Of each general category of Unicode that a name may have, alone, doubled and at either end of a word.
_SIGNS = (
    *"#%_ '\"`.*()-?$€№½１①ß@\\;:/{}[]|~^&+=<>,!\u00a0\ufeff\u200b\u202e\u0301\U0001f600ـİǅ\t\n\u3000\u2028",
    "--",
    "/*",
    "e\u0301",
    "\U0001f469\u200d\U0001f467",
    "of the",
    "'s",
)
ODD = ("", *(name for sign in _SIGNS for name in (sign, sign * 2, f"Price{sign}", f"{sign}Price", f"net{sign}price")))


@pytest.mark.parametrize("name", ["price", "a b", "it's", "\\x41", "\\\\\u00a0", *ODD[::7]])
def test_a_name_of_a_frame_is_shown_as_code_takes_it(name):
    shown = shown_name(name)
    assert shown == name or ast.literal_eval(shown) == name
    shown = shown_name(RName(name))  # Python reads what R does of these, except \x..
    assert shown == name or (ast.literal_eval(shown) == name and "\\x" not in shown.replace("\\\\", ""))


def test_an_odd_name_is_told_whole():
    def check_told(name):
        told = describe(pd.DataFrame({name: [1.5, 2.5], "k": [1, 2]}), "df")
        lines = [line for line in told.splitlines() if line.startswith("- ") and not line.startswith("- k ")]
        assert len(lines) == 1, told
        shown = lines[0].removeprefix("- ").rsplit(" float64", 1)[0]
        assert shown == name or ast.literal_eval(shown) == name

    # A name that is nothing but quotes is taken for a value, and counted instead.
    check_each(check_told, [(name,) for name in ODD[::2] if name.strip("'\"") or not name])


def test_an_odd_name_does_not_end_the_offline_model():
    def check_answered(name):
        columns = [{"name": "amount", "type": "DOUBLE"}, {"name": name, "type": "BIGINT"}]
        table = {"name": "orders", "columns": columns}
        sql = _asked(task="sql", question="What is the total amount of orders?", dialect="duckdb", tables=[table])
        assert "SUM(amount)" in sql
        frame = {"kind": "frame", "name": "orders", "label": "pandas DataFrame", "width": 2, "columns": columns}
        told = _asked(task="ask", question="What is the mean of amount in orders?", objects=[frame])
        assert "orders['amount'].mean()" in told

    check_each(check_answered, [(name,) for name in ODD[::3]])


def test_a_column_without_a_name_may_be_left_out_of_what_is_sent():
    frame = {"kind": "frame", "name": "orders", "label": "pandas DataFrame", "width": 2}
    frame["columns"] = [{"type": "int64"}, {"name": "amount", "type": "int64"}]
    told = _asked(task="ask", question="What is the mean of amount in orders?", objects=[frame])
    assert "orders['amount'].mean()" in told


def _asked(**member):
    return answer(read(msgspec.json.decode(msgspec.json.encode(member))))


@pytest.mark.parametrize(
    ("stored", "written"),
    [("e\u0301te", "\u00e9te"), ("\u00e9te", "e\u0301te"), ("net\u00a0price", "net price"), ("Name ", "Name")],
)
def test_a_name_that_looks_the_same_is_mended_to_the_stored_one(stored, written):
    catalog = Catalog((Table("t", (Column(stored, "INT"), Column("k", "INT"))),), "duckdb")

    def passes(sql):
        return bool(check(sql, "duckdb", catalog)) and not validate(sql, "duckdb", catalog)

    fixed = fix_query(f'SELECT "{written}" FROM t', "duckdb", catalog, passes)
    assert fixed is not None
    assert fixed.sql == f'SELECT "{stored}" FROM t'


_WITHOUT = [pd.DataFrame(), pd.DataFrame(index=[1, 2]), pl.DataFrame(), pa.table({}), pl.LazyFrame()]


@pytest.mark.parametrize("frame", _WITHOUT, ids=lambda frame: type(frame).__module__ + type(frame).__name__)
def test_a_frame_without_columns_is_told_and_leaves_the_others_alone(frame):
    with pytest.raises(BadInput, match="left out: it has no columns"):
        open_engine({"empty": frame}).run("SELECT 1")
    assert open_engine({"empty": frame, "df": pd.DataFrame({"a": [1]})}).run("SELECT a FROM df").df.a.tolist() == [1]
