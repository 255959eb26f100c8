"""Phrases of a question that are stored values, with the exact spelling and the column that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.index import Index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rsql_magic.sql.catalog import Catalog, Table


@dataclass(frozen=True)
class StoredValue:
    """A phrase of the question that a column holds.

    Args:
        phrase: As the question has it.
        table: Qualified name of the table.
        column: The column.
        value: As it is stored.

    Example:
        >>> print(StoredValue("france", "country", "name", "France"))
        'france' is stored as 'France' in country.name
    """

    phrase: str
    table: str
    column: str
    value: str

    def __str__(self) -> str:
        return f"'{self.phrase}' is stored as '{self.value}' in {self.table}.{self.column}"


def find_values(question: str, catalog: Catalog, tables: Iterable[Table] | None = None) -> list[StoredValue]:
    """The phrases of the question that equal a stored value but for case and punctuation.

    Only values that the catalog's profiles hold are looked at, which the privacy level has chosen.

    Args:
        question: The question in plain words.
        catalog: The tables.
        tables: Those to look into, such as the linked ones; all by default.

    Returns:
        The longest phrases first, each with every column that holds it.
    """
    among = None if tables is None else {table.full_name for table in tables}
    return list(dict.fromkeys(_found(question, Index.of(catalog), among)))


def _found(question: str, index: Index, among: set[str] | None) -> Iterator[StoredValue]:
    for phrase, stemmed in index.value_phrases(question):
        for table in index.tables_with_value(stemmed):
            if among is None or table.full_name in among:
                yield from _in_columns(phrase, table)


def _in_columns(phrase: str, table: Table) -> Iterator[StoredValue]:
    """The columns that hold the phrase; other endings ("cats" for "cat") are not the same value."""
    wanted = _plain(phrase)
    for column in table.columns:
        for value in column.profile.values if column.profile else ():
            if _plain(value) == wanted:
                yield StoredValue(phrase, table.full_name, column.name, value)


def _plain(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
