"""%%sql_ai, typed: what is shown, charted and saved of a result."""

from __future__ import annotations

import pandas as pd
import pytest
from written_sql import sql

from rsql_magic.errors import BadInput


@pytest.mark.slow
def test_rows_are_counted_truthfully(ip, con, gateway, capsys):
    gateway.replies = [sql("SELECT * FROM orders")]
    result = ip.run("%%sql_ai con --max-rows 1000\nall")
    assert len(result.df) == 1000
    assert result.count == "first 1,000 of 3,000 rows"
    assert "first 1,000 of 3,000 rows, 10 shown" in capsys.readouterr().out


@pytest.mark.slow
def test_no_run_keeps_the_sql(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders")]
    result = ip.run("%%sql_ai con --no-run -o query\nhow many?")
    assert (result.df, ip.user_ns["query"]) == (None, "SELECT count(*) AS n FROM orders")


@pytest.mark.slow
def test_a_chart_when_asked_for(ip, con, gateway):
    gateway.replies = [sql("SELECT shop, count(*) AS n FROM orders GROUP BY shop ORDER BY shop")] * 2
    assert ip.run("%%sql_ai con --plot bar\nper shop").chart.to_dict()["mark"]["type"] == "bar"
    assert ip.run("%%sql_ai con\nper shop").chart is None


@pytest.mark.slow
def test_a_chart_when_the_model_describes_one(ip, con, gateway):
    query = "SELECT shop, count(*) AS n FROM orders GROUP BY shop"
    gateway.replies = [sql(query, chart='{"chart": "pie", "x": "shop", "y": "n", "color": null}')]
    assert ip.run("%%sql_ai con\nper shop, as a pie").chart.to_dict()["mark"]["type"] == "arc"


@pytest.mark.slow
def test_explain_shows_the_plan_and_says_it_in_words(ip, con, gateway):
    gateway.replies = [sql("SELECT count(*) AS n FROM orders"), "It counts the rows of orders."]
    result = ip.run("%%sql_ai con --explain\nhow many?")
    assert result.plan
    assert result.says == "It counts the rows of orders."
    assert 'dialect="duckdb"' in gateway.sent


def test_html_in_data_stays_text(ip, gateway):
    ip.user_ns["evil"] = pd.DataFrame({"<b>x</b>": ["<script>alert(1)</script>", "$a$ | `b`\n\nc"]})
    gateway.replies = [sql("SELECT * FROM evil", "Look: <img src=x onerror=alert(1)> ![i](http://x/y.png)")]
    shown = ip.run("%%sql_ai\nall").shown().markdown
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "![" not in shown
    assert "\n\nc" not in shown


@pytest.mark.slow
def test_a_join_that_counts_rows_twice_is_said(ip, con, gateway, capsys):
    con.execute("CREATE TABLE shops (shop INTEGER PRIMARY KEY, rent INTEGER)")
    con.execute("INSERT INTO shops VALUES (0, 10), (1, 20), (2, 30)")
    gateway.replies = [sql("SELECT sum(s.rent) AS rent FROM shops s JOIN orders o ON o.shop = s.shop")] * 2
    result = ip.run("%%sql_ai con\nrent of all shops with orders")
    assert result.notes == (
        "A row of shops comes once for each matching row of orders, so sum(s.rent) counts it several times.",
    )
    assert "counts it several times" in capsys.readouterr().out


@pytest.mark.slow
def test_a_result_is_saved_by_the_ending_of_the_file(ip, con, gateway, tmp_path):
    gateway.replies = [sql("SELECT shop, sum(total) AS total FROM orders GROUP BY shop ORDER BY shop")]
    files = [tmp_path / f"totals{ending}" for ending in (".csv", ".parquet", ".sql", ".svg")]
    result = ip.run(f"%%sql_ai con --plot bar --save {' '.join(map(str, files))}\ntotal per shop")
    assert pd.read_csv(files[0]).to_dict("list") == result.df.astype(float).astype({"shop": int}).to_dict("list")
    assert len(pd.read_parquet(files[1])) == 3
    assert files[2].read_text(encoding="utf-8").startswith("-- total per shop\nSELECT shop")
    assert "<svg" in files[3].read_text(encoding="utf-8")


def test_a_file_that_says_nothing_is_refused_before_anything_is_asked(ip, con, gateway):
    with pytest.raises(BadInput, match="its ending says nothing"):
        ip.run("%%sql_ai con --save totals.xyz\ntotal per shop")
    assert gateway.requests == []


def test_no_chart_of_that_kind(ip, con, gateway):
    with pytest.raises(BadInput, match="no chart of the kind 'nope'") as caught:
        ip.run("%%sql_ai con --plot nope\ntotal per shop")
    assert "bar" in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["polars", "arrow", "pandas"])
def test_a_result_as_another_frame(ip, con, gateway, kind):
    gateway.replies = [sql("SELECT 1.50::DECIMAL(4, 2) AS price, count(*) AS n FROM orders")]
    ip.run(f"%%sql_ai con --as {kind} -o out\nprice")
    assert type(ip.user_ns["out"]).__module__.split(".")[0] == {"arrow": "pyarrow"}.get(kind, kind)
    assert str(ip.user_ns["out"]["price"][0]) == "1.50"


@pytest.mark.slow
def test_an_answer_in_words_needs_leave_to_send_rows(ip, con, gateway):
    with pytest.raises(BadInput, match="sends rows of the result"):
        ip.run("%%sql_ai con --answer\nwie viele?")
    gateway.replies = [sql("SELECT count(*) AS n FROM orders"), "Es sind 3000 Bestellungen."]
    result = ip.run("%%sql_ai con --answer --privacy sample\nwie viele?")
    assert result.answer == "Es sind 3000 Bestellungen."
    assert "n\n3000" in gateway.sent
    assert "Es sind 3000" in result.shown().markdown


@pytest.mark.slow
def test_saving_a_picture_asks_for_a_chart(sales, gateway, tmp_path):
    gateway.replies = [sql("SELECT region, sum(amount) AS total FROM sales GROUP BY region")]
    sales.run(f"%%sql_ai --save {tmp_path / 'a.svg'}\nWhat did each region sell?")
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
