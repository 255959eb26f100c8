"""What people wrote down about frames and tables."""

from __future__ import annotations

import pandas as pd
import pytest

from rsql_magic.context import describe
from rsql_magic.errors import BadInput
from rsql_magic.knowledge import Dictionary
from rsql_magic.sql import Column, Table

pytestmark = pytest.mark.usefixtures("without_r")


DICTIONARY = """
tables:
  flights:
    description: One row per departure.
    key: [carrier, number]
    columns:
      distance: {description: Great-circle distance, unit: miles}
      tailnum: {references: planes.tailnum}
      origin: Airport of departure
  planes: What flies.
"""


def test_a_data_dictionary_describes_frames_and_tables(tmp_path):
    path = tmp_path / "dictionary.yaml"
    path.write_text(DICTIONARY, encoding="utf-8")
    dictionary = Dictionary.load(path)
    frame = pd.DataFrame({"Distance": [1.0, 2.0] * 2 + [1.5], "origin": ["JFK"] * 5})
    assert describe(frame, "flights", dictionary=dictionary).splitlines() == [
        "flights: pandas DataFrame, 5 rows × 2 columns; One row per departure.",
        "- Distance float64: 1..2; [miles]; Great-circle distance",
        "- origin str: values: 'JFK'; Airport of departure",
    ]
    table = dictionary.describe(Table("FLIGHTS", (Column("tailnum"), Column("distance")), schema="public"))
    assert table.primary_key == ("carrier", "number")
    assert [(key.columns, key.table, key.referred) for key in table.foreign_keys] == [
        (("tailnum",), "planes", ("tailnum",))
    ]
    assert dictionary.describe(Table("planes")).description == "What flies."
    assert dictionary.describe(Table("other")) == Table("other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "has no entry 'tables'"),
        ("tables: {t: {colums: {}}}", "t has the unknown entry 'colums'"),
        ("tables: {t: {columns: {c: [1]}}}", "t.c should be text or a mapping"),
        ("tables: {t: {columns: 3}}", "t: columns should map names"),
        ("tables: {t: [", "is no valid YAML"),
    ],
)
def test_a_wrong_data_dictionary_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "d.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        Dictionary.load(path)
    with pytest.raises(BadInput, match="cannot be read"):
        Dictionary.load(tmp_path / "none.yaml")
