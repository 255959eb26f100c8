"""Earlier queries: what they tell of the tables, where they come from, and what of them reaches a prompt."""

import json

import pytest
from written_sql import sql

from rsql_magic.gateway import Turn
from rsql_magic.knowledge import EarlierQuery, QueryEvidence
from rsql_magic.sql import Catalog, Column, Evidence, Table, ddl, link
from rsql_magic.text2sql.earlier import of_cells, of_dbt, of_turns

SHOP = Catalog.from_ddl(
    """
    CREATE TABLE customer (id INT PRIMARY KEY, name TEXT, city TEXT);
    CREATE TABLE sale (no INT PRIMARY KEY, buyer INT, item TEXT, day DATE);
    CREATE TABLE article (code TEXT PRIMARY KEY, title TEXT);
    """,
    "duckdb",
)


def _evidence(*queries, question=""):
    return QueryEvidence.of([EarlierQuery(query, question=question) for query in queries], SHOP)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name FROM sale JOIN customer ON sale.buyer = customer.id",
        "SELECT name FROM customer AS c, sale AS s WHERE c.id = s.buyer AND s.no > 3",
        "SELECT item FROM sale WHERE buyer IN (SELECT id FROM customer WHERE city = 'Oslo')",
        "SELECT name FROM customer c WHERE EXISTS (SELECT 1 FROM sale s WHERE s.buyer = c.id)",
        "WITH late AS (SELECT * FROM sale) SELECT 1 FROM sale s JOIN customer c ON c.id = s.buyer, late",
        "SELECT count(*) FROM (SELECT buyer FROM sale s LEFT JOIN customer c ON c.id = s.buyer)",
    ],
)
def test_a_join_is_read_from_the_side_that_points(query):
    evidence = _evidence(query)
    assert [str(join) for join in evidence.joins] == ["sale.buyer = customer.id"]
    assert evidence.tables == {"sale": 1, "customer": 1}


def test_columns_of_using_are_joined():
    catalog = Catalog.from_ddl("CREATE TABLE a (k INT, x INT); CREATE TABLE b (k INT, y INT)", "duckdb")
    evidence = QueryEvidence.of([EarlierQuery("SELECT x, y FROM a JOIN b USING (k)")], catalog)
    assert [str(join) for join in evidence.joins] == ["a.k = b.k"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "How many?",
        "SELECT",
        "DROP TABLE sale",
        "SELECT 1",
        "SELECT gone FROM sale",
        "SELECT 1 FROM gone",
        "(" * 5000,
    ],
)
def test_what_is_no_query_of_these_tables_tells_nothing(query):
    assert _evidence(query) == QueryEvidence()


def test_a_question_whose_tables_changed_is_left_out_and_known():
    evidence = _evidence("SELECT price FROM sale", question="What did it cost?")
    assert evidence.asked == ()
    assert [query.question for query in evidence.outdated] == ["What did it cost?"]


@pytest.mark.slow
def test_each_text_is_read_once_per_catalog_and_many_are_not_read(monkeypatch):
    from rsql_magic.knowledge import queries

    catalog, read, real = Catalog(SHOP.tables, "duckdb"), [], queries._read
    monkeypatch.setattr(queries, "_read", lambda *a: read.append(a[0]) or real(*a))
    every = [EarlierQuery(f"SELECT {number} FROM sale") for number in range(400)]
    for _ in range(3):
        QueryEvidence.of(every, catalog)
    assert len(read) == len(set(read)) == 300


def test_joins_become_keys_that_say_where_they_are_from():
    evidence = _evidence(*["SELECT 1 FROM sale s JOIN customer c ON s.buyer = c.id"] * 2)
    sale = evidence.with_keys(SHOP.tables)[1]
    assert "FOREIGN KEY (buyer) REFERENCES customer (id) -- seen in earlier queries" in ddl(sale)
    assert evidence.with_keys(SHOP.tables[1:]) == list(SHOP.tables[1:])  # not to a table that is not shown
    assert evidence.with_keys([sale, SHOP.tables[0]])[0] == sale  # nor twice


def test_tables_of_a_question_like_this_one_and_those_joined_with_it_are_found():
    crowd = [Table(f"t{c}{n}", (Column("id"), Column(f"x{n}"))) for c in "abcdef" for n in range(60)]
    odd = [Table("ZF01", (Column("A1"), Column("A2"))), Table("ZF02", (Column("B1"),))]
    catalog = Catalog((*crowd, *odd), "duckdb")
    query = "SELECT A2 FROM ZF01 JOIN ZF02 ON A1 = B1"
    found = link("What is the turnover per shop in May?", catalog, 1000)
    assert not {"ZF01", "ZF02"} & {table.name for table in found[:2]}
    evidence = QueryEvidence.of([EarlierQuery(query, question="Turnover of each shop")], catalog)
    found = link("What is the turnover per shop in May?", catalog, 1000, evidence.for_linking)
    assert {table.name for table in found[:2]} == {"ZF01", "ZF02"}


def test_a_join_seen_makes_tables_neighbours():
    crowd = [Table(f"t{c}{n}", (Column("id"), Column(f"x{n}"))) for c in "abcdef" for n in range(60)]
    pair = [Table("patient", (Column("pnr"), Column("born"))), Table("zf02", (Column("b1"), Column("b2")))]
    catalog = Catalog((*crowd, *pair), "duckdb")
    found = link("How old are patients?", catalog, 1000, Evidence(joined={("zf02", "patient"): 4}))
    assert [table.name for table in found[:2]] == ["patient", "zf02"]


class TestSources:
    def test_cells_with_sql_of_any_kind(self):
        cells = [
            "%%sql con\nSELECT a FROM t",
            "result = %sql SELECT b FROM t",
            'duckdb.sql("""\nSELECT c\nFROM t""").df()',
            "con.execute('select d from t where x = ?', [3])",
            (1, 5, "get_ipython().run_cell_magic('sql', 'con', 'WITH w AS (SELECT 1) SELECT e FROM w\\n')"),
            "from math import sqrt\nprint('from here on')",
            "%%ask\nselect what matters from my notes",
            "df = df[df.x > 3]",
            "not python SELECT",
        ]
        read = [query.sql.split() for query in of_cells(cells)]
        assert [[word for word in words if word in set("abcde")] for words in read if "t" in words or "w" in words] == [
            ["e"],
            ["d"],
            ["c"],
            ["b"],
            ["a"],
        ]

    def test_answers_to_earlier_questions(self):
        turns = [
            Turn("How many?", "```sql\nSELECT count(*) FROM t\n```", "sql_ai"),
            Turn("Why?", "```sql\nSELECT 1\n```"),
        ]
        assert [query.sql for query in of_turns(turns)] == ["SELECT count(*) FROM t"]

    def test_dbt_models_compiled_or_as_written(self, tmp_path):
        (tmp_path / "models" / "marts").mkdir(parents=True)
        (tmp_path / "dbt_project.yml").write_text("name: shop\n")
        model = (
            "{{ config(materialized='table') }}\n-- all\nSELECT * FROM {{ ref('sale') }} s\n"
            "JOIN {{ source('raw', 'customer') }} c ON s.buyer = c.id {% if x %}{% endif %}"
        )
        (tmp_path / "models" / "marts" / "sales.sql").write_text(model)
        (query,) = of_dbt(tmp_path)
        assert query.source == "the dbt model sales"
        assert [str(join) for join in QueryEvidence.of([query], SHOP).joins] == ["sale.buyer = customer.id"]
        (tmp_path / "target").mkdir()
        nodes = {
            "model.shop.a": {"resource_type": "model", "name": "a", "compiled_code": "SELECT no FROM sale"},
            "test.shop.b": {"resource_type": "test", "name": "b", "compiled_code": "SELECT 1"},
        }
        (tmp_path / "target" / "manifest.json").write_text(json.dumps({"nodes": nodes}))
        assert [query.sql for query in of_dbt(tmp_path)] == ["SELECT no FROM sale"]

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": 3}', '{"nodes": {"a": 3}}', "[" * 100_000])
    def test_a_manifest_that_is_none(self, text, tmp_path):
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "manifest.json").write_text(text)
        assert list(of_dbt(tmp_path)) == []

    def test_without_a_project_files_of_sql_are_not_read(self, tmp_path):
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "a.sql").write_text("SELECT 1")
        assert list(of_dbt(tmp_path)) == []


@pytest.mark.slow
def test_a_join_of_a_cell_is_told_to_the_model(ip, con, gateway):
    con.execute("CREATE TABLE shops AS SELECT 1 AS branch, 'Oslo' AS town")
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")] * 2
    ip.run("%%sql_ai con --new\nhow many orders?")
    assert "seen in earlier queries" not in gateway.sent
    ip.run("joined = 'SELECT town FROM orders JOIN shops ON orders.shop = shops.branch'")
    ip.run("%%sql_ai con --new\nhow many orders?")
    assert "FOREIGN KEY (shop) REFERENCES shops (branch) -- seen in earlier queries" in gateway.sent
    assert "SELECT town" not in gateway.sent


def test_a_verified_question_that_no_longer_fits_is_named_by_the_preview(ip, con, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = {"question": "Total of orders in euros", "sql": "SELECT sum(euros) FROM orders", "dialect": "duckdb"}
    (tmp_path / "rsql_verified.jsonl").write_text(json.dumps(line) + "\n")
    ip.run("%%sql_ai con --show-context\nTotal of orders per shop")
    assert 'Left out, as the SQL does not fit these tables: "Total of orders in euros".' in capsys.readouterr().out


@pytest.mark.slow
def test_the_catalog_says_what_earlier_queries_tell(ip, con, gateway, tmp_path, *, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    con.execute("CREATE TABLE shops AS SELECT 1 AS branch, 'Oslo' AS town")
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")]
    ip.run("%%sql_ai con\nhow many orders?")
    ip.run("joined = 'SELECT town FROM orders JOIN shops ON orders.shop = shops.branch'")
    line = {"question": "Total of orders in euros", "sql": "SELECT sum(euros) FROM orders", "dialect": "duckdb"}
    (tmp_path / "rsql_verified.jsonl").write_text(json.dumps(line) + "\n")
    capsys.readouterr()
    ip.run("%rsql catalog orders")
    said = " ".join(capsys.readouterr().out.split())
    assert "shop → shops (branch) joined in 1 earlier query" in said
    ip.run("%rsql catalog")
    assert 'these tables: "Total of orders in euros".' in capsys.readouterr().out
