"""Questions in German, French and Spanish over English names, and English ones over theirs."""

from __future__ import annotations

import pytest

from rsql_magic.context import Catalog
from rsql_magic.sql import link
from rsql_magic.sql.linking.lexicon import language_of, languages_of, translated

SHOP = Catalog.from_ddl(
    """
    CREATE TABLE customers (customer_id INTEGER, city TEXT);
    CREATE TABLE orders (order_id INTEGER, customer_id INTEGER, order_date DATE);
    CREATE TABLE products (product_id INTEGER, supplier_id INTEGER, unit_price REAL);
    CREATE TABLE suppliers (supplier_id INTEGER, company TEXT);
    CREATE TABLE employees (employee_id INTEGER, hired_on DATE);
    CREATE TABLE departments (department_id INTEGER, title TEXT);
    CREATE TABLE salaries (employee_id INTEGER, salary REAL);
    CREATE TABLE invoices (invoice_id INTEGER, total REAL, billing_country TEXT);
    CREATE TABLE weather (station TEXT, temp REAL);
    """,
    "sqlite",
)
LADEN = Catalog.from_ddl(
    """
    CREATE TABLE kunden (kunden_nr INTEGER, vorname TEXT, ort TEXT);
    CREATE TABLE bestellungen (bestell_nr INTEGER, kunden_nr INTEGER, bestelldatum DATE);
    CREATE TABLE artikel (artikel_nr INTEGER, preis REAL, lieferant_id INTEGER);
    CREATE TABLE lieferanten (lieferant_id INTEGER, firma TEXT);
    CREATE TABLE mitarbeiter (mitarbeiter_nr INTEGER, gehalt REAL, abteilung_id INTEGER);
    CREATE TABLE abteilungen (abteilung_id INTEGER, name TEXT);
    CREATE TABLE rechnungen (rechnungs_nr INTEGER, gesamtpreis REAL);
    CREATE TABLE laender (land_id INTEGER, name TEXT);
    """,
    "sqlite",
)


@pytest.mark.parametrize(
    ("question", "tables"),
    [
        ("Wie viele Bestellungen hat jeder Kunde?", {"orders", "customers"}),
        ("Durchschnittsgehalt", {"salaries"}),
        ("Umsatz nach Rechnungsland", {"invoices"}),
        ("Welche Lieferanten liefern die teuersten Artikel?", {"suppliers", "products"}),
        ("Combien de commandes par client ?", {"orders", "customers"}),
        ("Quel est le salaire le plus élevé ?", {"salaries"}),
        ("Quels fournisseurs ont le plus de produits ?", {"suppliers", "products"}),
        ("¿Cuántos pedidos hizo cada cliente?", {"orders", "customers"}),
        ("Facturas por país", {"invoices"}),
        ("¿Qué proveedores tienen más productos?", {"suppliers", "products"}),
    ],
)
def test_common_words_of_other_languages_find_english_names(question, tables):
    assert {table.name for table in link(question, SHOP)[: len(tables)]} == tables


@pytest.mark.parametrize(
    ("question", "tables"),
    [
        ("Which customers never ordered anything?", {"kunden", "bestellungen"}),
        ("average salary", {"mitarbeiter"}),
        ("total price of invoices", {"rechnungen"}),
        ("Quels fournisseurs ont le plus de produits ?", {"lieferanten", "artikel"}),
    ],
)
def test_english_words_find_names_of_other_languages(question, tables):
    assert {table.name for table in link(question, LADEN)[: len(tables)]} == tables


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Umsatz je Kunde", "de"),
        ("Kundenumsatz 2024", "de"),
        ("Chiffre d'affaires par client", "fr"),
        ("Ventas por región", "es"),
        ("How many customers are there?", "en"),
        ("sales per region in the art and pays tables", "en"),
        ("revenue by client", "en"),
        ("", "en"),
    ],
)
def test_the_language_of_a_question(question, language):
    assert language_of(question) == language


def test_english_questions_and_schemas_are_read_as_before():
    assert languages_of(["customer", "order", "client", "total", "date", "art", "pays", "red"]) == ()
    assert "rechnungen" in foreign_names(LADEN)
    assert not foreign_names(SHOP)


def foreign_names(catalog):
    """The names of tables and columns where they tell another language; none where they are English."""
    names = [name for table in catalog for name in (table.name, *(column.name for column in table.columns))]
    return names if languages_of([word for name in names for word in name.split("_")]) else []


@pytest.mark.parametrize("word", ["länder", "laender", "Land"])
def test_names_without_accents_and_in_the_plural_are_one(word):
    assert "country" in translated(word.lower(), "de")[0]
