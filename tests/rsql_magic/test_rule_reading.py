"""A question for a metric as the offline model reads it, beside what another model writes."""

from __future__ import annotations

import json

import duckdb
import httpx
import pytest

from jupyter_server_ext.offline import answer
from jupyter_server_ext.offline.request import read

DICTIONARY = """
tables:
  orders:
    filters:
      is_real: status < 3
    metrics:
      revenue: {expression: SUM(amount), where: is_real}
      refunds: {expression: SUM(refunded)}
metrics:
  refund_rate: {expression: refunds / revenue}
"""
OTHERWISE = "how fixed rules read the question"
WITHOUT_B = "```sql\nSELECT shop, MEASURE(revenue) FROM orders WHERE shop = 'A' GROUP BY shop\n```"
ALL = "```sql\nSELECT shop, MEASURE(revenue) FROM orders GROUP BY shop\n```"


@pytest.fixture
def gateway(gateway):
    """A gateway whose model ``offline`` is the real one; ``read`` are the requests to it."""

    class BesideRules(type(gateway)):
        def __call__(self, request):
            body = json.loads(request.content or b"{}")
            if body.get("model") != "offline":
                return super().__call__(request)
            self.read.append(body)
            lines = "".join(f"{line}\n\n" for line in self.stream(answer(read(body["rsql"]))))
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=lines.encode())

    made = BesideRules()
    made.read = []
    made.paths["stats"] = {"offline_models": ["offline"]}
    return made


@pytest.fixture
def shop(ip, tmp_path, monkeypatch):
    """The shell, beside a dictionary, with a connection ``con``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dictionary.yaml").write_text(DICTIONARY, encoding="utf-8")
    connection = ip.user_ns["con"] = duckdb.connect()
    connection.execute("CREATE TABLE orders (shop TEXT, status INT, amount INT, refunded INT)")
    rows = [("A", 1, 10, 1), ("A", 3, 5, 2), ("B", 2, 7, 0), ("B", 1, 3, 1)]
    connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
    return ip


def rows_of(result):
    return sorted(map(tuple, result.df.itertuples(index=False)))


@pytest.mark.slow
def test_a_draft_that_finds_other_rows_is_told_the_query_of_the_rules_once(shop, gateway):
    gateway.replies = [WITHOUT_B, ALL]
    result = shop.run("%%sql_ai con\nrevenue by shop")
    assert rows_of(result) == [("A", 10), ("B", 10)]
    assert len(gateway.requests) == 2
    assert OTHERWISE in gateway.sent
    assert "GROUP BY shop" in gateway.sent.split(OTHERWISE)[1]
    assert len(gateway.read) == 1


@pytest.mark.slow
def test_the_model_decides(shop, gateway):
    gateway.replies = [WITHOUT_B, WITHOUT_B]
    assert rows_of(shop.run("%%sql_ai con\nrevenue by shop")) == [("A", 10)]
    assert not gateway.replies


@pytest.mark.slow
def test_a_draft_that_finds_the_same_costs_no_further_request(shop, gateway):
    gateway.replies = [ALL]
    assert rows_of(shop.run("%%sql_ai con\nrevenue by shop")) == [("A", 10), ("B", 10)]
    assert len(gateway.requests) == len(gateway.read) == 1


@pytest.mark.slow
def test_the_query_of_the_rules_stands_where_the_model_writes_none_that_passes(shop, gateway):
    gateway.replies = ["```sql\nSELECT nothing FROM nowhere\n```"] * 4
    result = shop.run("%%sql_ai con\nWhat is the refund rate?")
    assert result.df.iat[0, 0] == pytest.approx(4 / 20)
    assert any("the question as fixed rules read it was put in by rule" in note for note in result.notes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "asked"),
    [("How many orders are there?", 0), ("revenue by shop of the kind people like", 1)],  # no metric; not understood
)
def test_what_the_rules_do_not_read_is_the_models_alone(shop, gateway, question, asked):
    gateway.replies = [ALL.replace("MEASURE(revenue)", "COUNT(*)") if not asked else WITHOUT_B]
    shop.run(f"%%sql_ai con\n{question}")
    assert len(gateway.requests) == 1
    assert len(gateway.read) == asked


@pytest.mark.slow
def test_without_rules_nothing_more_is_asked(shop, gateway):
    gateway.paths["stats"] = {"offline_models": []}
    gateway.replies = [WITHOUT_B]
    assert rows_of(shop.run("%%sql_ai con\nrevenue by shop")) == [("A", 10)]
    assert gateway.read == []


@pytest.mark.slow
def test_a_recording_holds_what_the_rules_read_and_is_replayed_without_a_gateway(shop, gateway, assistant, tmp_path):
    file = tmp_path / "answers.jsonl"
    assistant.locator._environ = {"RSQL_REPLAY": f"record:{file}"}
    gateway.replies = [WITHOUT_B, ALL]
    first = shop.run("%%sql_ai con\nrevenue by shop")
    assert len(file.read_text(encoding="utf-8").splitlines()) == 3
    fresh = type(assistant)(environ={"RSQL_REPLAY": f"replay:{file}"})
    again = fresh.sql_ai("revenue by shop", shop.user_ns["con"])
    assert (again.sql, again.notes) == (first.sql, first.notes)
