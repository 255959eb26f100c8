"""Conditions of a question that a draft does not have: a year, a month, a value that a column holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import STOP_WORDS, Unreadable, find_values, own_tree, stems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rsql_magic.knowledge import HeldValue
    from rsql_magic.sql import Catalog, Table

_YEAR = re.compile(
    r"\b(?:in|of|during|for|since|from|until|before|after|im|jahr|en|année|año)\s+((?:19|20)\d\d)\b", re.I
)
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december")  # fmt: skip
_MONTH = re.compile(
    rf"\b(?:in|during|of|for|since|from|until|before|after)\s+(?:(?:early|late|mid)\s+)?"
    rf"({'|'.join(name.capitalize() for name in _MONTHS)})\b"
)
_NAME = re.compile(r"(?<=[a-z,’']\s)((?:[A-Z][\w’'-]+)(?:\s[A-Z][\w’'-]+)*)")
_LETTERS = 4


def unmet(question: str, sql: str, dialect: str, catalog: Catalog, tables: Iterable[Table]) -> list[str]:
    """What a question asks for and no condition of a query is about, one sentence each.

    Values are those that the catalog's profiles show, which the privacy level has chosen.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl("CREATE TABLE orders (at DATE)", "duckdb")
        >>> unmet("How many orders in February?", "SELECT count(*) FROM orders", "duckdb", shop, [])
        ['The question says “February”, and no condition of the query is about it.']
    """
    try:
        tree = own_tree(sql, dialect)
    except Unreadable:
        return []
    written = _Written(tree)
    return [*_times(question, written), *_values(question, written, catalog, tables)]


def unmet_held(held: Iterable[HeldValue], sql: str, dialect: str, catalog: Catalog) -> list[str]:
    """As `unmet`, of phrases that the index of values knows."""
    try:
        written = _Written(own_tree(sql, dialect))
    except Unreadable:
        return []
    places: dict[str, list[tuple[str, str, str]]] = {}
    for one in held:
        places.setdefault(one.phrase, []).append((one.table, one.column, one.value))
    return [said for phrase, found in places.items() if (said := _missing(phrase, found, written, catalog))]


def dropped(earlier: Iterable[str], sql: str, question: str, dialect: str, catalog: Catalog) -> list[str]:
    """Texts of the question that earlier drafts had a condition on, and a later one with fewer conditions has not.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl("CREATE TABLE orders (city TEXT)", "duckdb")
        >>> first, last = "SELECT count(*) FROM orders WHERE city = 'Atlantis'", "SELECT count(*) FROM orders"
        >>> dropped([first], last, "How many orders from Atlantis?", "duckdb", shop)
        ['Atlantis']
    """
    from rsql_magic.text2sql.literals import comparisons

    has = comparisons(sql, dialect, catalog)
    before = [comparisons(each, dialect, catalog) for each in earlier]
    had = [one for each in before if len(each) > len(has) for one in each]
    columns = {(one.table.full_name, one.column.name) for one in has}
    texts = [one.text.casefold() for one in has]
    said = question.casefold()
    lost = [
        one.text
        for one in had
        if one.text.strip(" %").casefold() in said
        and (one.table.full_name, one.column.name) not in columns
        and not any(one.text.strip(" %").casefold() in text for text in texts)
    ]
    return list(dict.fromkeys(lost))


def tables_in(sql: str, dialect: str, catalog: Catalog) -> list[Table]:
    """The tables of a catalog that a query reads."""
    try:
        nodes = own_tree(sql, dialect).find_all(exp.Table)
    except Unreadable:
        return []
    found = (catalog.find(tuple(part.name for part in node.parts), dialect) for node in nodes)
    return list({table.full_name: table for table in found if table is not None}.values())


def names_in(question: str, catalog: Catalog) -> list[str]:
    """The words of a question that begin with a capital inside a sentence, and may be values: ``Leeds``."""
    found = (match[1] for match in _NAME.finditer(question))
    known = {name.casefold() for name in _MONTHS} | STOP_WORDS
    return [one for one in dict.fromkeys(found) if one.casefold() not in known and not _is_of_schema(one, catalog)]


class _Written:
    """What a query says: its literals, its names and the columns that it compares."""

    def __init__(self, tree: exp.Expr) -> None:
        self.texts = [one.name.casefold() for one in tree.find_all(exp.Literal)]
        self.texts += [one.name.casefold() for one in tree.find_all(exp.Identifier)]  # a text in SQLite, and sales_2023
        self.all = " ".join(self.texts)
        compared = (exp.Predicate, exp.In, exp.Between, exp.Case, exp.RegexpLike)
        self.columns = {
            column.name.casefold()
            for condition in tree.find_all(*compared)
            if condition.find(exp.Literal) is not None
            for column in condition.find_all(exp.Column)
        }
        self.is_relative = tree.find(exp.CurrentDate, exp.CurrentTimestamp) is not None or "now" in self.texts
        self.names = set(stems(" ".join(one.name for one in tree.find_all(exp.Identifier))))


def _times(question: str, written: _Written) -> Iterator[str]:
    for year in dict.fromkeys(_YEAR.findall(question)):
        near = {str(int(year) + step) for step in (-1, 0, 1)}
        if not written.is_relative and not any(each in written.all for each in near):
            yield _said(year)
    for name in dict.fromkeys(_MONTH.findall(question)):
        number = _MONTHS.index(name.lower()) + 1
        months = {number, number % 12 + 1, (number - 2) % 12 + 1}
        forms = {str(number), f"{number:02}", name.lower(), name[:3].lower()}
        is_dated = any(re.search(rf"-0?{each}(?:-|$)|[/.]0?{each}[/.]|^0?{each}/", text) for each in months
                       for text in written.texts)  # fmt: skip
        has_name = any(name[:3].lower() in text for text in written.texts)
        if not written.is_relative and not forms & set(written.texts) and not is_dated and not has_name:
            yield _said(name)


def _values(question: str, written: _Written, catalog: Catalog, tables: Iterable[Table]) -> Iterator[str]:
    found: dict[str, list[tuple[str, str, str]]] = {}
    for one in find_values(question, catalog, list(tables)):
        found.setdefault(one.phrase, []).append((one.table, one.column, one.value))
    for phrase, places in found.items():
        if said := _missing(phrase, places, written, catalog):
            yield said


def _missing(phrase: str, places: list[tuple[str, str, str]], written: _Written, catalog: Catalog) -> str:
    """The sentence about a phrase that columns hold and no condition is about; empty where one may be."""
    words = set(stems(phrase))
    is_name = phrase[:1].isupper()
    if len(phrase) < _LETTERS or STOP_WORDS.issuperset(phrase.casefold().split()) or not is_name:
        return ""
    if words <= written.names or _is_of_schema(phrase, catalog):
        return ""
    folded = phrase.casefold()
    if any(folded in text or (len(text) >= _LETTERS and text.strip("%") in folded) for text in written.texts):
        return ""
    if any(column.casefold() in written.columns or value.casefold() in written.texts for _, column, value in places):
        return ""
    held = " and ".join(dict.fromkeys(f"{table}.{column}" for table, column, _ in places[:2]))
    return f"The question says “{phrase}”, which {held} holds, and no condition of the query is about it."


def _is_of_schema(phrase: str, catalog: Catalog) -> bool:
    return set(stems(phrase)) <= _schema_words(catalog)


def _schema_words(catalog: Catalog) -> set[str]:
    """The words of all names: what a question may say without meaning a value."""
    return catalog.kept(
        "_words_of_names",
        lambda one: {word for t in one for name in (t.name, *(c.name for c in t.columns)) for word in stems(name)},
    )


def _said(text: str) -> str:
    return f"The question says “{text}”, and no condition of the query is about it."
