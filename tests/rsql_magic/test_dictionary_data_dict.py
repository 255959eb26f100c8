"""data-dict.yaml is read as its own reader reads it: what is valid, what it says, and what expressions compute."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from rsql_magic.errors import BadInput
from rsql_magic.knowledge import Dictionary
from rsql_magic.knowledge.data_dict import checked_data_dict
from rsql_magic.knowledge.marked_yaml import read_yaml
from rsql_magic.sql import Column, Table

FILES = sorted((Path(__file__).parent.parent / "dictionaries" / "posit").glob("*.yaml"))
EXAMPLES = [path for path in FILES if "expected:" not in path.read_text(encoding="utf-8")[:400]]
STRUCTURE = {f"S{number}" for number in range(60, 70)}


def reference(*words: str) -> Any:
    """What the format's own reader prints."""
    program = Path(sys.executable).with_name("data-dict")
    return json.loads(subprocess.run([program, *words], capture_output=True, check=False).stdout)


def codes(path: Path) -> tuple[set[str], bool]:
    """The codes of all problems by the format's own reader, and whether one is an error."""
    problems = reference("validate-spec", "--json", str(path))["problems"]
    return named(problem.get("code") or "parse" for problem in problems), any(
        problem["severity"] == "error" for problem in problems
    )


def named(found) -> set[str]:
    """Codes; the reader numbers those of structure otherwise than the specification does."""
    return {"S6x" if code in STRUCTURE or code.startswith("Q-") else code for code in found}


def own_codes(text: str) -> tuple[set[str], bool]:
    try:
        problems = checked_data_dict(read_yaml(text, "d.yaml"), "d.yaml").problems
    except BadInput:
        return {"S6x"}, True
    return named(problem.code for problem in problems if problem.code), any(problem.error for problem in problems)


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_same_files_are_valid_for_the_same_reasons(path):
    assert own_codes(path.read_text(encoding="utf-8")) == codes(path)


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_file_says_what_its_own_reader_says(path):
    exported = reference("export-spec", str(path))
    dictionary = Dictionary.load(path)
    assert [table.name for table in dictionary.tables.values()] == [table["name"] for table in exported["tables"]]
    for told in exported["tables"]:
        table = dictionary.tables[told["name"].casefold()]
        typed = [column for column in table.columns if column.type]
        assert [each.name for each in typed] == [each["name"] for each in told["columns"]]
        for column, each in zip(typed, told["columns"], strict=True):
            assert (column.type, column.unit, column.time_zone, column.restricted) == (
                each["type"],
                each.get("units", ""),
                each.get("time_zone", ""),
                each.get("display") == "restricted",
            )
            assert {*each.get("constraints", ())} - {"required", "unique"} <= {*column.constraints}
            assert {*column.constraints} <= {*each.get("constraints", ())}
            assert [value for value, _ in column.values] == each.get("values", [])
            assert {value: label for value, label in column.values if label} == each.get("value_labels", {})
            assert [assertion.text for assertion in column.assertions] == [
                assertion["expression"] for assertion in each.get("assertions", ())
            ]
            if (pointed := each.get("references")) is not None:
                described = dictionary.describe(Table(table.name, tuple(Column(c.name) for c in table.columns)))
                assert (pointed["table"], pointed["column"]) in {
                    (key.table, key.referred[key.columns.index(column.name)])
                    for key in described.foreign_keys
                    if column.name in key.columns
                }
        assert [assertion.text for assertion in table.assertions] == [
            assertion["expression"] for assertion in told.get("constraints", ())
        ]
        own = {each.name: each.kind for each in dictionary.named if each.table == table.name}
        assert own == {each["name"]: each["kind"] for each in told.get("definitions", ())}
    equal = [each for each in exported.get("relationships", ()) if not set("<>") & set(each["join"])]
    pairs = [
        {((pair["left"]["table"], pair["left"]["column"]), (pair["right"]["table"], pair["right"]["column"]))}
        for each in equal
        for pair in each["pairs"]
    ]
    own_pairs = []
    for each in dictionary.relationships:
        sides = [(each.left, each.left_columns), (each.right, each.right_columns)]
        (left, columns), (right, referred) = sides[::-1] if each.cardinality == "one-to-many" else sides
        own_pairs += [{((left, a), (right, b))} for a, b in zip(columns, referred, strict=True)]
    assert own_pairs == pairs


# Mutations


VALUES = (
    *(
        None,
        "",
        True,
        3,
        2.5,
        "x",
        "enum",
        "number(id)",
        "number(quantity)",
        "date",
        "string",
        "list(string)",
        "struct",
    ),
    *("datetime", [], {}, ["a"], [1, 2], ["2020-01-01", "2021-01-01"], {"a": "b"}, "restricted", ["unique"]),
    *(["primary_key"], ["foreign_key"], "one-to-one", float("inf"), "SUM(a)", "a.b = c.d"),
)
KEYS = ("units", "type", "values", "range", "examples", "fields", "time_zone", "display", "todo", "label", "foo")


def spots(value):
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield value, key
        yield from spots(inner)


def mutated(document: Any, dice: random.Random) -> Any:
    """A document with one to three random changes."""
    document = copy.deepcopy(document)
    for _ in range(dice.randint(1, 3)):
        if not (found := list(spots(document))):
            break
        container, key = dice.choice(found)
        change = dice.randrange(5)
        if change == 0:
            del container[key]
        elif change == 1:
            container[key] = copy.deepcopy(dice.choice(VALUES))
        elif change == 2:
            other, place = dice.choice(found)
            container[key] = copy.deepcopy(other[place])
        elif change == 3 and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        elif change == 3:
            container[dice.choice(KEYS)] = copy.deepcopy(dice.choice(VALUES))
        elif isinstance(text := container[key], str):
            at = dice.randrange(len(text) + 1)
            container[key] = text[:at] + dice.choice(["a", " ", "(", ")", "`", "'", "1", "NOT ", "="]) + text[at + 1 :]
    return document


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


class Plainly(yaml.SafeDumper):
    """Without anchors, which the other reader does not know."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def written(document: Any) -> str:
    return yaml.dump(document, Dumper=Plainly, sort_keys=False, allow_unicode=True)


DEFINED = """
$version: 0.1.0
$learn_more: https://data-dict.tidyverse.org/
tables:
  - name: orders
    constraints: [{assert: shipped >= ordered}, {assert: "COLUMNS('ed$') IS NOT NULL"}]
    columns:
      - {name: id, type: number(id), constraints: [primary_key], examples: [1, 2]}
      - {name: amount, type: number(quantity), units: EUR, range: [0, 100], constraints: [assert: amount >= 0]}
      - {name: ordered, type: date, range: [2020-01-01, 2024-12-31]}
      - {name: shipped, type: date, range: [2020-01-01, .inf]}
      - {name: status, type: enum, values: {N: new, P: paid, C: cancelled}}
      - {name: home, type: struct, fields: [{name: zip, type: string, examples: ["01234"]}]}
    definitions:
      - {name: paid, expr: status = 'P'}
      - {name: revenue, expr: SUM(CASE WHEN paid THEN amount ELSE 0 END)}
      - {name: share, expr: amount / SUM(amount)}
      - {name: large, expr: "amount > 2 * AVG(amount) AND STARTS_WITH(home.zip, '0')"}
      - {name: per_order, expr: revenue / ROW_COUNT()}
"""


@pytest.mark.usefixtures("programs")
def test_changed_files_are_valid_for_the_same_reasons(tmp_path):
    """Files with random changes; a few in a thousand differ in which problem is told first."""
    dice, path = random.Random(11), tmp_path / "d.yaml"
    documents = [plain(read_yaml(path.read_text(encoding="utf-8"), "")) for path in FILES]
    small = [document for document in documents if len(str(document)) < 9000] + [plain(read_yaml(DEFINED, ""))] * 9
    differ = []
    for _ in range(250):
        text = written(mutated(dice.choice(small), dice))
        path.write_text(text, encoding="utf-8")
        (own, wrong), (other, refused) = own_codes(text), codes(path)
        assert wrong == refused, text
        if own != other:
            differ.append((own, other, text))
    assert len(differ) <= 3, differ


# Expressions

TYPES: dict[str, list[str]] = {
    "number": ["n", "x", "`unit price`"],
    "string": ["s", "home.zip"],
    "boolean": ["b"],
    "date": ["d"],
    "datetime": ["ts"],
}


def expression(dice: random.Random, wanted: str, depth: int, *, folds: bool) -> str:
    """A random expression of a type, with aggregates where they are allowed."""

    def inner(kind: str, *, more: bool = folds) -> str:
        return expression(dice, kind, depth - 1, folds=more)

    if depth <= 0:
        literals = {"number": ["2", "0.5", "7", "-3"], "string": ["'a'", "'b%'", "'O''x'"], "boolean": ["TRUE", "NULL"]}
        return dice.choice(TYPES[wanted] * 2 + literals.get(wanted, []))
    if folds and dice.random() < 0.25:
        folded = inner(wanted, more=False)
        if wanted == "number":
            kind = dice.choice(["number", "string", "date"])
            counted = [f"COUNT({inner(kind, more=False)})", "ROW_COUNT()", f"COUNT_DISTINCT({inner(kind, more=False)})"]
            return dice.choice([f"SUM({folded})", f"AVG({folded})", f"MIN({folded})", *counted])
        return f"{dice.choice(['ANY', 'ALL'] if wanted == 'boolean' else ['MIN', 'MAX'])}({folded})"
    forms: dict[str, list[str]] = {
        "number": [
            f"({inner('number')} {dice.choice('+-*/')} {inner('number')})",
            f"{inner('number')} {dice.choice('+-*')} {inner('number')}",
            f"-{inner('number')}",
            f"LENGTH({inner('string')})",
            f"ROUND({inner('number')}, 1)",
            f"ABS(FLOOR({inner('number')}))",
            f"MOD(n, {dice.choice([2, 3, -4])})",
            f"CASE WHEN {inner('boolean')} THEN {inner('number')} ELSE {inner('number')} END",
        ],
        "string": [
            f"LOWER({inner('string')})",
            f"UPPER({inner('string')})",
            f"TRIM({inner('string')})",
            "s",
            "home.zip",
        ],
        "boolean": [
            f"{inner('number')} {dice.choice(['=', '<>', '!=', '<', '<=', '>', '>='])} {inner('number')}",
            f"({inner('boolean')} {dice.choice(['AND', 'OR'])} {inner('boolean')})",
            f"{inner('boolean')} {dice.choice(['AND', 'OR'])} {inner('boolean')}",
            f"NOT ({inner('boolean')})",
            f"{inner('number')} {dice.choice(['', 'NOT '])}BETWEEN {inner('number')} AND {inner('number')}",
            f"{inner('string')} {dice.choice(['', 'NOT '])}IN ('a', 'Ab', {inner('string')})",
            f"{inner('string')} {dice.choice(['', 'NOT '])}LIKE '{dice.choice(['a%', '%b', '_b%', 'a'])}'",
            f"{inner('string')} {dice.choice(['', 'NOT '])}SIMILAR TO '[aA].*'",
            f"STARTS_WITH({inner('string')}, 'a') OR ENDS_WITH({inner('string')}, 'b')",
            f"{inner(dice.choice(['number', 'string', 'date']))} IS {dice.choice(['', 'NOT '])}NULL",
            f"{inner('date')} {dice.choice(['<', '>='])} '2024-02-01'",
            f"{inner('datetime')} >= '2024-02-01T10:00:00Z'",
            f"d + interval({dice.choice([1, 36, 2])}, {dice.choice(['days', 'hours', 'weeks'])}) > ts",
        ],
        "date": ["d"],
        "datetime": ["ts", "d + interval(1, days)", "ts - interval(n, hours)"],
    }
    return dice.choice(forms[wanted])


HEAD = """
$version: 0.1.0
$learn_more: https://data-dict.tidyverse.org/
tables:
  - name: t
    columns:
      - {name: n, type: number, examples: [1]}
      - {name: x, type: number(quantity), range: [0, 1]}
      - {name: unit price, type: number, examples: [1]}
      - {name: s, type: string, examples: [a]}
      - {name: b, type: boolean}
      - {name: d, type: date, range: [2024-01-01, 2024-12-31]}
      - {name: ts, type: datetime, time_zone: naive, range: [2024-01-01T00:00:00, .inf]}
      - {name: home, type: struct, fields: [{name: zip, type: string, examples: [a]}]}
    definitions:
"""


@pytest.fixture(scope="module")
def rows():
    """A table of generated rows with nulls, zeros and negative numbers."""
    dice = random.Random(5)
    connection = duckdb.connect()
    connection.execute(
        'CREATE TABLE t (n BIGINT, x DOUBLE, "unit price" DOUBLE, s VARCHAR, b BOOLEAN, d DATE, ts TIMESTAMP, '
        "home STRUCT(zip VARCHAR))"
    )
    for _ in range(60):
        row = [
            dice.choice([None, 0, *range(-9, 10)]),
            dice.choice([None, 0.0, 0.25, -1.5, dice.random() * 9]),
            dice.choice([None, 1.0, 2.5, dice.random()]),
            dice.choice([None, "a", "Ab", "bb", " ab", "O'x", "b%"]),
            dice.choice([None, True, False]),
            dice.choice([None, "2024-01-31", "2024-02-01", "2024-11-30"]),
            dice.choice([None, "2024-01-31 12:00:00", "2024-02-01 10:00:00", "2024-02-02 00:00:00"]),
            dice.choice([None, {"zip": None}, {"zip": "a1"}, {"zip": "Ab"}]),
        ]
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    yield connection
    connection.close()


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("folds", [False, True], ids=["rows", "aggregates"])
def test_expressions_compute_what_their_own_translation_computes(rows, tmp_path, folds):
    dice, path = random.Random(3), tmp_path / "d.yaml"
    texts = [
        expression(dice, dice.choice(["number", "boolean", "string", "datetime"]), 3, folds=folds) for _ in range(100)
    ]
    listed = "".join(f"      - {{name: e{n}, expr: {json.dumps(text)}}}\n" for n, text in enumerate(texts))
    path.write_text(HEAD + listed, encoding="utf-8")
    told = {each["name"]: each for each in reference("export-spec", str(path))["tables"][0]["definitions"]}
    own = {each.name: each for each in Dictionary.load(path).named}
    assert {name: each.kind for name, each in own.items()} == {name: each["kind"] for name, each in told.items()}
    compared = 0
    for name, each in own.items():
        theirs = next((t.get("code") for t in told[name]["translations"] if t["target"] == "SQL(duckdb)"), None)
        if theirs is None or "OVER ()" in each.expression:  # a window, which that translation does not write
            rows.execute(f"SELECT {each.expression} FROM t")
            continue
        values = [rows.execute(f"SELECT {sql} FROM t").fetchall() for sql in (each.expression, theirs)]
        assert repr(values[0]) == repr(values[1]), (told[name]["expression"], each.expression, theirs)
        compared += 1
    assert compared > 80 or folds


def test_an_aggregate_beside_a_row_is_one_over_all_rows(rows):
    text = HEAD + "      - {name: share, expr: x / SUM(x)}\n      - {name: above, expr: x > mean}\n"
    notes = Dictionary.read(text + "      - {name: mean, expr: AVG(x)}\n", "d.yaml")
    by_name = {each.name: each for each in notes.named}
    assert by_name["share"].kind == "derived"
    assert by_name["above"].kind == "filter"
    assert by_name["mean"].kind == "metric"
    shares = rows.execute(f"SELECT {by_name['share'].expression} FROM t").fetchall()
    assert sum(value for (value,) in shares if value is not None) == pytest.approx(1)
    ((counted,),) = rows.execute("SELECT count(*) FROM t WHERE x > (SELECT avg(x) FROM t)").fetchall()
    above = rows.execute(f"SELECT {by_name['above'].expression} FROM t").fetchall()
    assert sum(value for (value,) in above if value is not None) == counted


def test_a_definition_in_a_circle_is_refused_with_its_lines():
    text = HEAD + "      - {name: one, expr: two + 1}\n      - {name: two, expr: one + 1}\n"
    with pytest.raises(BadInput, match=r"one is defined in a circle: one → two → one \(line 16 and line 17\)"):
        Dictionary.read(text, "d.yaml")


def test_names_of_other_definitions_stay():
    named_ = {each.name: each for each in Dictionary.read(DEFINED, "data-dict.yaml").named}
    assert {name: each.kind for name, each in named_.items()} == {
        "paid": "filter",
        "revenue": "metric",
        "share": "derived",
        "large": "filter",
        "per_order": "metric",
    }
    assert named_["revenue"].expression == "sum(CASE WHEN paid THEN amount ELSE 0 END)"
    assert named_["per_order"].expression == "revenue / count(*)"
    assert named_["large"].expression == """amount > 2 * avg(amount) OVER () AND starts_with(home.zip, '0')"""
    assert named_["revenue"].source == "data-dict.yaml, line 16"
    assert {each.dialect for each in named_.values()} == {"duckdb"}
