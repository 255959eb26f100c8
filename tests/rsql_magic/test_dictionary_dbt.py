"""dbt's models, tests and metrics: read as dbt's own reader reads them, and computed as MetricFlow computes them."""

from __future__ import annotations

import copy
import json
import random
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from rsql_magic.errors import BadInput
from rsql_magic.knowledge import Dictionary
from rsql_magic.knowledge.dbt_filters import Unresolved, fill_in
from rsql_magic.sql import Catalog, Definition, Relationship, expand

FOLDER = Path(__file__).parent.parent / "dictionaries"
SHOP = FOLDER / "dbt_shop.yml"
# What MetricFlow 0.213 compiles for DuckDB: by metric and what it is grouped by
COMPILED = json.loads((FOLDER / "dbt_shop_metricflow.json").read_text(encoding="utf-8"))
REFUSED = {
    "growth": "cannot be compiled: it takes revenue from another time",
    "revenue_to_date": "cannot be compiled: a cumulative metric, it accumulates over time",
    "visits_to_orders": "cannot be compiled: a conversion metric, it follows what one entity does next",
    "balance": "cannot be compiled: its measure must not be added up over time",
}


def document() -> dict[str, Any]:
    return yaml.safe_load(SHOP.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    """The semantic manifest that dbt's own reader makes of the project."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dbt_semantic_interfaces.parsing.dir_to_model import parse_yaml_files_to_semantic_manifest
        from dbt_semantic_interfaces.parsing.objects import YamlConfigFile

        read = document()
        documents = []
        for model in read["semantic_models"]:
            table = re.search(r"'(\w+)'", model.pop("model"))[1]
            documents.append({"semantic_model": {**model, "node_relation": {"alias": table, "schema_name": "main"}}})
        for metric in read["metrics"]:
            for part in ("numerator", "denominator"):
                if isinstance(metric["type_params"].get(part), str):
                    metric["type_params"][part] = {"name": metric["type_params"][part]}
            documents.append({"metric": {"description": "", **metric}})
        spine = {"node_relation": {"alias": "spine", "schema_name": "main"}}
        spine["primary_column"] = {"name": "ds", "time_granularity": "day"}
        documents.append({"project_configuration": {"time_spines": [spine]}})
        text = "\n---\n".join(yaml.safe_dump(each, sort_keys=False) for each in documents)
        built = parse_yaml_files_to_semantic_manifest([YamlConfigFile(filepath="shop.yml", contents=text)])
        assert not built.issues.errors, built.issues.errors
        parsed = built.semantic_manifest
        return json.loads(json.dumps(parsed.dict(), default=lambda value: getattr(value, "value", None)))


def said(one: Definition) -> tuple[Any, ...]:
    return one.name, one.kind, one.expression, one.table, one.where, one.time, one.grain


@pytest.mark.slow
def test_a_project_and_its_manifest_say_the_same(manifest):
    """The manifest has what dbt's own reader understood: names, kinds, expressions, filters, grains."""
    text = Dictionary.load(SHOP)
    compiled = Dictionary.of(manifest, "target/semantic_manifest.json")
    made = {metric["name"] for metric in manifest["metrics"]} - {metric["name"] for metric in document()["metrics"]}
    left_out = made - {"smallest"}  # those that the newest reader makes of every measure
    assert {said(one) for one in text.named} == {said(one) for one in compiled.named if one.name not in left_out}
    assert {name: reason for name, reason in compiled.refused.items() if name not in made} == REFUSED == text.refused
    assert {(each.left, each.right) for each in compiled.relationships} == {("orders", "customers")}
    assert [each.kind for each in (text, compiled)] == ["dbt", "dbt"]
    assert compiled.tables["orders"].stored == "main.orders"


def test_all_that_the_own_reader_knows_is_there(manifest):
    read = Dictionary.of(manifest, "semantic_manifest.json")
    for model in manifest["semantic_models"]:
        table = read.tables[model["node_relation"]["alias"]]
        for entity in model["entities"]:
            column = table.by_name[entity["expr"] or entity["name"]]
            assert column.has("primary_key") == (entity["type"] == "primary")
            assert column.measure == "id"
        for dimension in model["dimensions"]:
            column = table.by_name.get(dimension["expr"] or dimension["name"])
            assert column or read.definitions.of_row(table.name, dimension["name"]).expression == dimension["expr"]
    for metric in manifest["metrics"]:
        assert (read.definitions.metric(metric["name"]) is None) == (metric["name"] in read.refused)


ROWS = """
CREATE TABLE customers AS SELECT i AS customer_id, ['DK', 'NO', NULL][1 + i % 3] AS country,
  DATE '2024-01-01' AS signed_up FROM range(1, 12) t (i);
CREATE TABLE orders AS SELECT i AS order_id, CASE WHEN i % 11 = 0 THEN NULL ELSE 1 + i % 14 END AS customer_id,
  ['new', 'paid', 'returned', NULL][1 + i % 4] AS status,
  CASE WHEN i % 7 = 0 THEN NULL ELSE (i * 37) % 97 END AS amount,
  DATE '2024-01-01' + (i % 70)::INTEGER AS ordered_at FROM range(1, 201) t (i);
"""
JOINED = """orders LEFT JOIN (SELECT customer_id AS referred, country FROM customers) AS customers
  ON orders.customer_id = referred"""
KEYS = {"": "1", "metric_time__month": "date_trunc('month', ordered_at)", "customer__country": "customers.country"}


def computed(metric: Definition, key: str, read: Dictionary) -> str:
    """A query for a metric by what it is grouped by, straight from its definition."""
    if metric.table:
        where = " AND ".join(f"({condition})" for condition in metric.where) or "TRUE"
        return f"SELECT {KEYS[key]} AS k, {metric.expression} AS {metric.name} FROM {JOINED} WHERE {where} GROUP BY 1"
    words = dict.fromkeys(re.findall(r"\w+", metric.expression))
    used = [one for word in words if (one := read.definitions.metric(word)) is not None]
    parts = ", ".join(f"m{number} AS ({computed(one, key, read)})" for number, one in enumerate(used))
    joined = "m0" + "".join(
        f" FULL JOIN m{number} ON m0.k IS NOT DISTINCT FROM m{number}.k" for number in range(1, len(used))
    )
    keys = ", ".join(f"m{number}.k" for number in range(len(used)))
    return f"WITH {parts} SELECT COALESCE({keys}), {metric.expression} FROM {joined}"


def figures(connection: duckdb.DuckDBPyConnection, sql: str, key: str) -> list[str]:
    rows = connection.execute(sql).fetchall()
    return sorted(
        repr((str(row[0])[:10] if key else "", None if row[-1] is None else round(float(row[-1]), 6))) for row in rows
    )


@pytest.mark.slow
@pytest.mark.parametrize("source", ["project", "manifest"])
def test_metrics_compute_what_metricflow_computes(source, manifest):
    read = Dictionary.load(SHOP) if source == "project" else Dictionary.of(manifest, "semantic_manifest.json")
    connection = duckdb.connect()
    connection.execute(ROWS)
    compared = 0
    for name, sql in COMPILED.items():
        metric, _, key = name.partition("|")
        own = computed(read.definitions.metric(metric), key, read)
        assert figures(connection, own, key) == figures(connection, sql, key), (name, own)
        compared += 1
    assert compared == 42
    assert not {name.partition("|")[0] for name in COMPILED} & REFUSED.keys()


def test_what_tests_and_meta_say_of_columns():
    read = Dictionary.load(SHOP)
    orders, customers = read.tables["orders"], read.tables["customers"]
    assert orders.key == ("order_id",)
    assert orders.synonyms == ("order_facts",)
    assert [value for value, _ in orders.by_name["status"].values] == ["new", "paid", "returned"]
    amount = orders.by_name["amount"]
    assert (amount.unit, amount.measure, amount.synonyms, amount.description) == (
        "EUR",
        "quantity",
        ("value",),
        "Net of tax.",
    )
    assert customers.by_name["email"].restricted
    assert customers.by_name["customer_id"].has("unique")
    assert orders.by_name["customer_id"].has("required")
    revenue = read.definitions.metric("revenue")
    assert (revenue.label, revenue.unit, revenue.synonyms) == ("Revenue", "EUR", ("turnover",))
    assert revenue.source == f"{SHOP}, line 64"


def test_a_folder_of_yaml_files_is_one_project(tmp_path, ip, capsys):
    whole, folder = yaml.safe_load(SHOP.read_text(encoding="utf-8")), tmp_path / "models"
    (folder / "marts").mkdir(parents=True)
    for section in ("models", "semantic_models", "metrics"):
        path = folder / "marts" / f"{section}.yml"
        path.write_text(yaml.safe_dump({"version": 2, section: whole[section]}, sort_keys=False), encoding="utf-8")
    (folder / "notes.yaml").write_text("something: else", encoding="utf-8")
    read = Dictionary.load(folder)
    assert {said(one) for one in read.named} == {said(one) for one in Dictionary.load(SHOP).named}
    assert read.definitions.metric("revenue").source == f"{folder}/marts/metrics.yml, line 3"
    ip.run(f"%rsql dictionary {folder}")
    assert "15 metrics" in capsys.readouterr().out
    path.write_text(yaml.safe_dump({"metrics": whole["metrics"][1:2]}), encoding="utf-8")
    ip.run("%rsql dictionary")
    assert "2 metrics" in capsys.readouterr().out
    with pytest.raises(BadInput, match="has no YAML files of dbt"):
        Dictionary.load(Path(__file__).parent / "sent")


MANIFEST = {
    "metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json", "adapter_type": "postgres"},
    "nodes": {
        "model.shop.orders": {
            "resource_type": "model",
            "name": "orders",
            "alias": "fct_orders",
            "schema": "mart",
            "description": "One row per order.",
            "columns": {
                "id": {"name": "id", "description": "Number.", "constraints": [{"type": "primary_key"}]},
                "customer": {"name": "customer", "meta": {"synonyms": ["buyer"]}},
                "paid_by": {"name": "paid_by", "config": {"meta": {"display": "restricted"}}},
            },
        },
        "test.shop.1": {
            "resource_type": "test",
            "name": "relationships",
            "attached_node": "model.shop.orders",
            "column_name": "customer",
            "test_metadata": {"name": "relationships", "kwargs": {"to": "source('crm', 'customers')", "field": "id"}},
        },
        "test.shop.2": {
            "resource_type": "test",
            "name": "accepted_values",
            "attached_node": "model.shop.orders",
            "test_metadata": {"name": "accepted_values", "kwargs": {"column_name": "paid_by", "values": ["card", 1]}},
        },
    },
    "sources": {
        "source.shop.crm.customers": {
            "resource_type": "source",
            "name": "customers",
            "identifier": "customers",
            "schema": "crm",
            "columns": {},
        }
    },
    "semantic_models": {
        "semantic_model.shop.orders": {
            "name": "orders",
            "node_relation": {"alias": "fct_orders", "schema_name": "mart", "database": "shop"},
            "entities": [{"name": "order", "type": "primary", "expr": "id"}],
            "dimensions": [],
            "measures": [{"name": "n", "agg": "count", "expr": "1"}],
            "defaults": None,
        }
    },
    "metrics": {
        "metric.shop.n": {
            "name": "order_count",
            "type": "simple",
            "type_params": {"measure": {"name": "n", "filter": None}, "metrics": []},
            "filter": {"where_filters": [{"where_sql_template": "{{ Entity('order') }} > 0"}]},
        }
    },
}


def test_a_manifest_says_what_tables_are_stored_as():
    read = Dictionary.read(json.dumps(MANIFEST), "target/manifest.json")
    orders = read.tables["fct_orders"]
    assert (orders.stored, orders.synonyms, orders.key) == ("mart.fct_orders", ("orders",), ("id",))
    assert orders.by_name["paid_by"].restricted
    assert orders.by_name["paid_by"].values == (("card", ""), ("1", ""))
    assert orders.by_name["customer"].synonyms == ("buyer",)
    (one,) = read.relationships
    assert one == Relationship("fct_orders", ("customer",), "customers", ("id",), source=one.source)
    count = read.definitions.metric("order_count")
    assert (count.expression, count.where, count.dialect, count.table) == (
        "COUNT(1)",
        ("id > 0",),
        "postgres",
        "fct_orders",
    )
    assert count.source == "target/manifest.json, order_count"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ Metric('revenue', ['customer']) }} > 1", "its filter takes Metric"),
        ("{{ Dimension('a__b__c', entity_path=['x']) }} = 1", "its filter takes Dimension"),
        ("{{ var('x') }} = 1", "its filter takes var"),
        ("{% if x %} a {% endif %}", "holds a template"),
        ("{{ TimeDimension('at', 'x; DROP') }} = 1", "takes the period"),
        ("{{ Dimension(name) }} = 1", "its filter takes Dimension"),
    ],
)
def test_a_filter_that_says_something_else_is_not_guessed(template, reason):
    with pytest.raises(Unresolved, match=re.escape(reason)):
        fill_in(template, lambda _, name: name)


@pytest.mark.parametrize(
    ("template", "sql"),
    [
        ("{{ Dimension('order__a') }} = 1", "order.a = 1"),
        ("{{TimeDimension( 'order__at' , 'month' )}} > '2024'", "DATE_TRUNC('month', order.at) > '2024'"),
        ('{{ Dimension("order__at").grain("week") }} > 1', "DATE_TRUNC('week', order.at) > 1"),
        ("a = 1 OR {{ Entity('order') }} = 2", "a = 1 OR order = 2"),
    ],
)
def test_filters_are_filled_in(template, sql):
    assert fill_in(template, lambda path, name: ".".join([*path, name])) == sql


def test_metrics_in_a_circle_are_refused():
    read = document()
    read["metrics"] = [
        {"name": name, "type": "derived", "type_params": {"expr": f"{other} + 1", "metrics": [{"name": other}]}}
        for name, other in (("a", "b"), ("b", "a"))
    ]
    with pytest.raises(BadInput, match="a is defined in a circle: a → b → a"):
        Dictionary.of(read, "shop.yml")


VALUES = (None, "", 3, True, [], {}, "x", ["a"], {"a": 1}, [[1]], float("nan"), "{{ Dimension('x') }}", "a" * 300)


def changed(value: Any, dice: random.Random) -> Any:
    value = copy.deepcopy(value)
    for _ in range(dice.randint(1, 3)):
        spots, waiting = [], [value]
        while waiting:
            at = waiting.pop()
            for key in list(at) if isinstance(at, dict) else range(len(at)):
                spots.append((at, key))
                if isinstance(at[key], (dict, list)):
                    waiting.append(at[key])
        container, key = dice.choice(spots)
        if dice.random() < 0.3:
            del container[key]
        else:
            container[key] = copy.deepcopy(dice.choice(VALUES))
    return value


@pytest.mark.slow
def test_changed_documents_are_read_or_refused_and_nothing_else(manifest):
    dice, read = random.Random(2), 0
    for _ in range(300):
        try:
            Dictionary.of(changed(dice.choice([document(), manifest, MANIFEST]), dice), "shop")
            read += 1
        except BadInput:
            pass
    assert read > 100


SALES = """
semantic_models:
  - name: sales
    model: ref('sales')
    defaults: {agg_time_dimension: sold_on}
    entities:
      - {name: sale, type: primary, expr: id}
      - {name: customer, type: foreign, expr: customer_id}
    dimensions:
      - {name: channel, type: categorical}
      - {name: is_big, type: categorical, expr: amount > 100}
      - {name: sold_on, type: time, expr: sold_at, type_params: {time_granularity: day}}
    measures: [{name: amount, agg: sum}]
  - name: customers
    model: ref('customers')
    entities: [{name: customer, type: primary, expr: id}]
    dimensions: [{name: segment, type: categorical}]
metrics:
  - {name: revenue, type: simple, time_granularity: month, type_params: {measure: amount}}
"""
TABLES = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, segment VARCHAR, phone VARCHAR);
CREATE TABLE sales (
  id INTEGER PRIMARY KEY, customer_id INTEGER, channel VARCHAR, clerk VARCHAR, amount DOUBLE, sold_at TIMESTAMP
);
"""


def test_a_metric_is_told_by_the_dimensions_of_its_model_and_of_those_it_leads_to():
    """MetricFlow knows no other columns, and no shorter periods than that of the time dimension."""
    notes = Dictionary.read(SALES, "metrics.yml")
    [revenue] = [one for one in notes.named if one.kind == "metric"]
    assert (revenue.grain, revenue.time) == ("day", "sold_at")
    assert revenue.dimensions == (
        "id", "customer_id", "channel", "is_big", "sold_at", "customers.id", "customers.segment",
    )  # fmt: skip
    bare = Catalog.from_ddl(TABLES, "duckdb")
    tables, definitions = notes.applied(bare.tables, "duckdb")
    shop = replace(bare, tables=tables, definitions=definitions)
    of = "FROM sales s JOIN customers c ON c.id = s.customer_id GROUP BY 1"

    def problem(key: str) -> str:
        return expand(f"SELECT {key}, MEASURE(revenue) {of}", "duckdb", shop).problem

    for key in (
        "channel",
        "is_big",
        "c.segment",
        "c.id",
        "DATE_TRUNC('month', metric_time)",
        "CAST(s.sold_at AS DATE)",
    ):
        assert problem(key) == ""
    for key in ("clerk", "c.phone"):
        assert "can be told by" in problem(key)
    assert "goes by hour" in problem("DATE_TRUNC('hour', metric_time)")
