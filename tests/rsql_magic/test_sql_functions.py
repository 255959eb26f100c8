"""Single functions of the SQL room, an example each."""

from __future__ import annotations

from sqlglot import parse_one

from rsql_magic.sql.autofix.broken_query import Edit, edited
from rsql_magic.sql.autofix.texts import generated
from rsql_magic.sql.ddl_reader import parse_ddl
from rsql_magic.sql.dialects.reading import _plain_quotes
from rsql_magic.sql.dialects.records import is_file
from rsql_magic.sql.facts import runs, share, shown_name
from rsql_magic.sql.guard.size import magnitude, moment, seconds_of, value
from rsql_magic.sql.linking.lexicon import language_of, shortens, translated
from rsql_magic.sql.linking.words import mistyped, named_schemas, slips, stem
from rsql_magic.sql.validate.hints import likeness, nearest, plain, same_name, words


def test_edited():
    assert edited("SELECT a, b", [Edit(7, 8, "x"), Edit(10, 11, "y")]) == "SELECT x, y"


def test_generated():
    assert (generated("a::int", "postgres", "sqlite"), generated("DATE_FORMAT(d, '%Y')", "postgres", "sqlite")) == (
        "CAST(a AS INTEGER)",
        None,
    )


def test_parse_ddl():
    catalog = parse_ddl("CREATE TABLE a (id INT); ALTER TABLE a ADD PRIMARY KEY (id);", "mysql")
    assert catalog["a"].primary_key == ("id",)


def test_plain_quotes():
    assert _plain_quotes(r"'it\'s'") == "'it''s'"


def test_is_file():
    assert (is_file(("data.csv",), "duckdb"), is_file(("data", "csv"), "duckdb"), is_file(("data",), "duckdb")) == (
        True,
        True,
        False,
    )


def test_share():
    assert (share(0.034), share(0.0001), share(1.0)) == ("3%", "<1%", "100%")


def test_shown_name():
    assert [shown_name(name) for name in ("unit_price", "unit price", 0, ("a", 1))] == [
        "unit_price",
        "'unit price'",
        "0",
        "('a', 1)",
    ]


def test_runs():
    assert [len(run.columns) for run in runs(["id", "m1", "m2", "m3", "m4"], ["int"] + ["float"] * 4)] == [1, 4]


def test_value():
    assert (value(parse_one("2 * 10 ** 3", dialect="duckdb")), value(parse_one("x + 1"))) == (2000.0, None)


def test_magnitude():
    assert magnitude(parse_one("length(x) * 1000000000")) == 1000000000.0


def test_seconds_of():
    assert (seconds_of(parse_one("INTERVAL '2 hours'")), seconds_of(parse_one("x"))) == (7200.0, None)


def test_moment():
    assert moment(parse_one("DATE '1970-01-02'")) == 86400.0


def test_shortens():
    assert [shortens(s, w) for s, w in (("acco", "account"), ("trns", "transaction"), ("dept", "department"))] == [
        True,
        True,
        True,
    ]
    assert not shortens("cat", "concatenate")


def test_language_of():
    assert [language_of(q) for q in ("Umsatz je Kunde", "Combien de clients ?", "revenue by client")] == [
        "de",
        "fr",
        "en",
    ]


def test_translated():
    assert (translated("kunden", "de"), translated("rechnungsdatum", "de"), translated("xyz", "de")) == (
        (("customer", "client"),),
        (("bill", "invoice"), ("date",)),
        (),
    )


def test_stem():
    assert [stem(w) for w in ("cities", "flights", "buses", "paid", "scheduled", "running")] == [
        "citi",
        "flight",
        "bus",
        "paid",
        "schedul",
        "run",
    ]


def test_slips():
    assert (slips("custmoer", "customer"), slips("order", "border"), slips("county", "customer")) == (1, 1, 3)


def test_mistyped():
    assert (mistyped("custmer", "customer"), mistyped("address1", "address2"), mistyped("name", "sname")) == (
        True,
        False,
        False,
    )


def test_named_schemas():
    assert (sorted(named_schemas("Show us the orders of hr", ["us", "hr"])), named_schemas("orders in us", ["us"])) == (
        ["hr"],
        {"us"},
    )


def test_words():
    assert (words("CustomerId"), words("order_dates")) == (("customer", "id"), ("order", "date"))


def test_plain():
    assert plain("Customer ID") == "customerid"


def test_likeness():
    assert (likeness("customer_name", "CustomerName"), likeness("custname", "customer_name") > 0.6) == (1.0, True)


def test_same_name():
    assert [same_name("order_dates", c, "orders") for c in ("order_date", "date", "orderdate", "ship_date")] == [
        True,
        True,
        True,
        False,
    ]


def test_nearest():
    assert nearest("custmer_id", ["customer_id", "order_id", "country"]) == ["customer_id"]
