"""Which definitions a prompt has room for."""

from __future__ import annotations

import random
import time

import duckdb
import pytest

from rsql_magic.sql import (
    Catalog,
    Column,
    Definition,
    Definitions,
    Table,
    count_tokens,
    definition_tokens,
    named_metrics,
    stated_definition,
    told_definitions,
)

WORDS = ("net", "gross", "order", "margin", "visit", "basket", "return", "stock", "lead", "churn", "price", "tax")


def described(seed: int, count: int = 0) -> Catalog:
    """A catalog with many definitions, long and short."""
    chance = random.Random(seed)
    tables = tuple(Table(f"t{n}", (Column("amount", "DOUBLE"),)) for n in range(chance.randint(1, 40)))
    kinds = ["metric", "metric", "filter", "derived"]
    named = tuple(
        Definition(
            f"{chance.choice(WORDS)}_{chance.choice(WORDS)}_{n}", chance.choice(kinds), "SUM(amount)",  # type: ignore[arg-type]
            chance.choice(tables).name, description="what it is told by " * chance.randint(0, 12),
            synonyms=(f"{chance.choice(WORDS)} number {n}",),
        )
        for n in range(count or chance.randint(1, 200))
    )  # fmt: skip
    whole = Definition("of_all", "metric", " + ".join(one.name for one in named if one.kind == "metric")[:40])
    return Catalog(tables, "duckdb", definitions=Definitions((*named, whole)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_definitions_stay_within_their_part_of_the_tokens(seed):
    catalog, chance = described(seed), random.Random(seed)
    asked = chance.choice([one for one in catalog.definitions.named if one.kind == "metric" and one.table])
    shown = chance.sample(catalog.tables, min(len(catalog.tables), 8))
    for tokens in (100, 800, 4000, 16000):
        budget = definition_tokens(catalog, tokens)
        assert budget <= tokens // 4
        told = told_definitions(f"What is the {asked.name.replace('_', ' ')}?", catalog, shown, budget)
        spent = sum(count_tokens(stated_definition(one)) for one in told.definitions)
        assert spent <= budget or len(told.definitions) == 1
        assert asked in told.definitions[: len(named_metrics(asked.name.replace("_", " "), catalog))]
        over = {one.name for one in shown}
        of_these = [one for one in catalog.definitions.named if one.table in over]
        assert len(told.definitions) + told.left_out >= len(of_these)
        assert {one.table for one in told.definitions} <= over | {"", asked.table}
    assert told_definitions("What is there?", catalog, catalog.tables, 10**9).left_out == 0


@pytest.mark.slow
def test_what_was_left_out_is_told(ip, gateway, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE sales AS SELECT 1 AS amount")
    metrics = "".join(
        f"      m{n}: {{expression: SUM(amount), description: {'Told at length. ' * 9}}}\n" for n in range(99)
    )
    (tmp_path / "dictionary.yaml").write_text(f"tables:\n  sales:\n    metrics:\n{metrics}", encoding="utf-8")
    ip.user_ns["con"] = connection
    gateway.replies = ["SELECT MEASURE(m7) FROM sales"]
    ip.run("%%sql_ai con\nWhat is m7?")
    sent = gateway.requests[-1]["messages"][-1]["content"]
    assert sent.count("MEASURE(m") < 60
    assert "MEASURE(m7)" in sent
    assert count_tokens(sent) < 2600
    capsys.readouterr()
    ip.run("%rsql context")
    out = capsys.readouterr().out
    assert "more" in out
    assert "leave no room for them" in out


@pytest.mark.bench
def test_what_a_question_costs_where_much_is_defined():
    catalog = described(3, 2000)
    question = f"What is the {catalog.definitions.metrics[700].name.replace('_', ' ')} by region?"
    told_definitions(question, catalog, catalog.tables, 2000)
    spent = []
    for _ in range(20):
        started = time.process_time()
        named_metrics(question, catalog)
        told_definitions(question, catalog, catalog.tables, 2000)
        spent.append(time.process_time() - started)
    print(f"{min(spent) * 1000:.2f} ms a question with 2,000 definitions")
    assert min(spent) < 0.005
