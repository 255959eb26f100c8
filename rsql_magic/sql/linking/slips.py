"""Words of a question that nothing in a schema matches, but that one name nearly does: ``custmers`` and customers."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from rsql_magic.sql.linking.index import Index
from rsql_magic.sql.linking.questions import Question
from rsql_magic.sql.linking.words import STOP_WORDS, mistyped, slips, split, stem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rsql_magic.sql.catalog import Catalog

_SHORTEST, _LONG = 5, 7


def misspelt(question: str, catalog: Catalog) -> dict[str, str]:
    """Words of a question that are most likely names of the schema, mistyped, with the word of the name that is meant.

    A word that a table, a column, a stored value or the thesaurus has is never touched, nor is one in quotes or with a
    capital, which may be a value; nor one that resembles two names.

    Args:
        question: The question in plain words.
        catalog: The tables.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> shop = Catalog.from_ddl("CREATE TABLE customers (id INT, region TEXT)", "duckdb")
        >>> misspelt("how many custmers per regoin?", shop)
        {'custmers': 'customers', 'regoin': 'region'}
    """
    index, asked = Index.of(catalog), Question(question)
    names = _words_of_names(catalog)
    values = {word for phrase, _ in asked.value_phrases(index.values) for word in split(phrase)}
    found = {}
    for place, word in enumerate(asked.words):
        unknown = len(word) >= _SHORTEST and place not in asked.named and word not in values
        if unknown and word not in STOP_WORDS and not index.knows(word):
            meant = [name for name in names.get(word[0], ()) if _is_slip(word, name)]
            if len({stem(name) for name in meant}) == 1:
                found[word] = min(meant, key=lambda name: (slips(word, name), len(name)))
    return found


def _is_slip(word: str, name: str) -> bool:
    """Whether a word is a name mistyped; its singular is not, nor where one letter of few differs (black and block)."""
    is_another = len(word) == len(name) < _LONG and sorted(word) != sorted(name)
    is_singular = name in {f"{word}s", f"{word}es"} or stem(word) == stem(name)
    return mistyped(word, name) and not is_another and not is_singular


def corrected(question: str, words: Mapping[str, str]) -> str:
    """A question with its mistyped words put right.

    Example:
        >>> corrected("How many custmers?", {"custmers": "customers"})
        'How many customers?'
    """
    for word, meant in words.items():
        question = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", meant, question, flags=re.IGNORECASE)
    return question


def _words_of_names(catalog: Catalog) -> Mapping[str, list[str]]:
    """The words of all names by their first letter, each also in the plural; kept with the catalog."""
    memo = vars(catalog)
    if "_linking_letters" not in memo:
        words = {word for t in catalog for name in (t.name, *(c.name for c in t.columns)) for word in split(name)}
        letters: dict[str, list[str]] = defaultdict(list)
        for word in sorted(word for word in words if len(word) >= _SHORTEST - 1):
            letters[word[0]] += [word] if word.endswith("s") else [word, f"{word}s"]
        memo["_linking_letters"] = letters
    found: Mapping[str, list[str]] = memo["_linking_letters"]
    return found
