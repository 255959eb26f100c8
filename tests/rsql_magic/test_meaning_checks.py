"""Python code of an answer held to the dictionary."""

# ruff: noqa: E501 - a piece of code a line

from __future__ import annotations

import pandas as pd
import pytest

from rsql_magic.answers.meaning_checks import DefinedFrames
from rsql_magic.gateway import Block
from rsql_magic.knowledge import Dictionary

DICTIONARY = Dictionary.read(
    """
tables:
  orders:
    columns:
      id: {kind: id}
      customer_id: {kind: id}
      grade: {kind: ordinal}
      amount: {kind: quantity}
      email: {display: restricted}
    filters: {kept: status <> 3}
    metrics:
      revenue: {expression: SUM(amount), where: [kept, NOT is_test]}
      mean_amount: AVG(amount)
      share: {expression: SUM(amount) / COUNT(*), where: kept}
""",
    "dictionary.yaml",
)
COLUMNS = ["id", "customer_id", "grade", "amount", "email", "status", "is_test", "region"]
FRAMES = {"orders": COLUMNS, "regions": ["region", "name"]}


def told(code: str, question: str = "", language: str = "python") -> tuple[list[str], str]:
    frames = DefinedFrames.of(DICTIONARY, FRAMES, question)
    return frames.against([Block(language, code)]), frames.unsure


ROWS = [
    "orders",
    "orders[orders.amount > 3]",
    "orders.query('amount > 3')",
    "orders.loc[orders['region'] == 'N']",
    "orders.dropna().head(20)",
    "orders[(orders.amount > 3) & (orders.region == 'N')]",
    "orders.sort_values('amount')",
]
COLUMN = [
    '{rows}["{c}"]',
    "{rows}.{c}",
    '{rows}["{c}"].dropna()',
    '{rows}.groupby("region")["{c}"]',
    '{rows}.groupby(["region", "status"]).{c}',
    '{rows}["{c}"].astype(float)',
]
ADDED = [
    "{x}.sum()",
    "{x}.mean()",
    "{x}.median()",
    "round({x}.mean(), 2)",
    'print("mean", {x}.mean())',
    "result = {x}.std()",
    "np.mean({x})",
    "np.sum({x})",
]
AGGREGATED = [
    '{rows}.groupby("region").agg({{"{c}": "sum"}})',
    '{rows}.groupby("region").agg({{"{c}": ["sum", "count"], "amount": "mean"}})',
    '{rows}.groupby("region").agg(x=("{c}", "mean"))',
    '{rows}.groupby("region")["{c}"].agg(["sum", "mean"])',
    '{rows}.groupby("region")["{c}"].agg("median").reset_index()',
    '{rows}.pivot_table(index="region", values="{c}", aggfunc="sum")',
    '{rows}.pivot_table(index="region", values="{c}")',
    '{rows}.group_by("region").agg(pl.col("{c}").sum())',
    '{rows}.group_by("region").agg(pl.sum("{c}").alias("x"))',
    '{rows}.select(pl.col("{c}").mean())',
    '{rows}.loc[{rows}.amount > 3, "{c}"].sum()',
    "part = {rows}\npart['{c}'].sum()",
]
PLANTED = [
    *(add.format(x=column.format(rows=rows, c=c)) for rows in ROWS for column in COLUMN for add in ADDED for c in ("id", "grade")),
    *(each.format(rows=rows, c=c) for rows in ROWS for each in AGGREGATED for c in ("customer_id", "grade")),
]  # fmt: skip


@pytest.mark.slow
def test_ids_and_ordinals_that_code_adds_up_are_told():
    missed = [code for code in PLANTED if "adding up its values means nothing" not in " ".join(told(code)[0])]
    assert len(PLANTED) > 700
    assert len(missed) <= len(PLANTED) // 100, missed[:5]
    assert told("orders.id.mean()")[0] == [
        "orders.id is an id (dictionary.yaml, line 5): adding up its values means nothing."
    ]


COUNTED = [
    "{x}.count()", "{x}.nunique()", "{x}.max()", "({x} == 3).sum()", "{x}.isna().mean()", "{x}.isin([1, 2]).sum()", "{x}.duplicated().sum()",
    "{x}.value_counts().mean()", "{x}.astype(str).str.len().mean()", "{x}.map(prices).sum()", "{x}.diff().mean()", "len({x})", "({x} * 0 + 1).sum()",
    "{x}.apply(price_of).sum()", "{x}.notna().sum()",
]  # fmt: skip
RIGHT = [
    *(each.format(x=column.format(rows=rows, c=c)) for rows in ROWS for column in COLUMN[:3] for each in COUNTED for c in ("id", "grade")),
    *(add.format(x=column.format(rows=rows, c="amount")) for rows in ROWS for column in COLUMN for add in ADDED),
    *(each.format(rows=rows, c="amount") for rows in ROWS for each in AGGREGATED),
    "orders['id'] = orders.amount * 2\norders['id'].sum()",
    "orders = orders.groupby('region').size().reset_index(name='id')\norders['id'].mean()",
    "orders = pd.read_csv('other.csv')\norders.id.sum()",
    "other = load()\nother['id'].sum()",
    "for orders in parts:\n    orders.id.sum()",
    "def f(orders):\n    return orders.id.sum()",
    "regions.merge(orders, on='region').id.count()",
    "n = orders.groupby('customer_id').id.count()\nn.mean()",
    "orders.groupby('customer_id')['amount'].sum().mean()",
    "orders[['id', 'amount']].describe()",
    "orders.drop(columns='email')",
    "orders[['id', 'amount']].head()",
    "orders.select('id', 'amount')",
    "print(orders.shape)", "orders.groupby('region').email.nunique()", "orders['email'].isna().sum()", "orders.email.count()",
    "orders.groupby('email').size().max()", "plot = orders.plot(x='amount', y='id')", "clean = orders.assign(email='')\nclean",
    "orders.columns", "len(orders)", "orders.amount.max()",
]  # fmt: skip


@pytest.mark.slow
def test_code_that_keeps_to_the_dictionary_is_no_false_alarm():
    alarms = [(code, said) for code in RIGHT if (said := told(code)[0])]
    assert len(RIGHT) > 900
    assert len(alarms) <= len(RIGHT) // 100, alarms[:5]


SHOWN = [
    "orders",
    "orders.head()",
    "orders['email']",
    "orders.email.unique()",
    "print(orders.head(3))",
    "display(orders[['id', 'email']])",
    "orders[orders.amount > 3]",
    "orders.email.value_counts().head()",
    "orders.drop(columns=['id'])",
    "orders.sort_values('amount').tail()",
    "orders.select('email')",
    "x = orders.query('amount > 1')\nx",
    "orders.loc[orders.amount > 3, 'email']",
    "orders['email'].tolist()",
    "orders.email.max()",
    "orders.nlargest(3, 'amount')[['email', 'amount']]",
    "print(orders['email'].head())",
]


@pytest.mark.parametrize("code", SHOWN)
def test_a_restricted_column_that_code_shows_is_told(code):
    assert told(code)[0] == [
        "orders.email is restricted (dictionary.yaml, line 9) and must not be shown. Leave it out, or count its values."
    ]


@pytest.mark.parametrize("rows", ["orders", "orders[orders.region == 'N']", "orders.dropna()"])
@pytest.mark.parametrize(
    "figure",
    ["{}['amount'].sum()", "{}.groupby('region').amount.sum()", "{}.groupby('region').agg(x=('amount', 'sum'))"],
)
def test_a_metric_without_its_conditions_is_told(rows, figure):
    said, unsure = told(figure.format(rows), "What is the revenue by region?")
    assert said == ["This computes revenue without its condition kept and NOT is_test (dictionary.yaml, line 12)."]
    assert not unsure


@pytest.mark.parametrize(
    ("code", "question", "unsure"),
    [
        ("orders[(orders.status != 3) & ~orders.is_test].amount.sum()", "revenue", ""),
        ("ok = orders[orders['status'] != 3]\nok = ok.query('not is_test')\nok['amount'].sum()", "revenue", ""),
        ("kept = orders[orders.status != 3]\nkept.amount.sum()", "revenue", "revenue"),
        ("orders.amount.mean()", "mean amount", ""),
        ("orders.amount.sum() / len(orders)", "share", "share"),
        ("orders.amount.sum()", "How much is it?", ""),
    ],
)
def test_what_is_not_certain_of_a_metric_is_said(code, question, unsure):
    said, note = told(code, f"What is the {question}?")
    assert said == []
    assert note == (f"not checked against the definition of {unsure}" if unsure else "")


def test_what_a_function_does_with_restricted_columns_is_not_known():
    said, note = told("total(orders)", "What is the revenue?")
    assert [each.split(",")[0] for each in said] == ["This may show what the dictionary restricts (orders.email)"]
    assert note == "not checked against the definition of revenue"


def test_r_code_is_not_held_to_a_metric_and_that_is_said():
    assert told("sum(orders$amount)", "What is the revenue?", "r") == (
        [],
        "not checked against the definition of revenue",
    )


def test_an_answer_is_corrected_and_says_what_was_not_checked(ip, gateway, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dictionary.yaml").write_text(
        "tables: {orders: {columns: {id: {kind: id}}, metrics: {revenue: {expression: SUM(amount), where: status <> 3}}}}",
        encoding="utf-8",
    )
    ip.user_ns["orders"] = pd.DataFrame({"id": [1, 2], "amount": [1.0, 2.0], "status": [1, 3]})
    gateway.replies = ["```python\norders.amount.sum()\n```", "```python\nrevenue(orders)\n```"]
    answer = ip.run("%%ask\nWhat is the revenue?")
    first, second = (request["messages"][-1]["content"] for request in gateway.requests[-2:])
    assert "MEASURE(revenue): SUM(amount) of orders where status <> 3" in first
    assert "This computes revenue without its condition status <> 3 (dictionary.yaml, line 1)." in second
    assert "not checked against the definition of revenue" in answer.notes
