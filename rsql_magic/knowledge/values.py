"""The value index: which columns hold a word, and how they write it.

Values are compared as they are folded: without case, accents, and punctuation. What is asked for is also tried in its
other number ("Dogs", "dog"), and values near it are found by the trigrams they share. Everything is answered from a
file beside the kernel (`value_store`), which `databases` fills; no look-up asks the database.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from rsql_magic.knowledge.value_store import Kept, grams, hash_of
from rsql_magic.sql import one_line, slips

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rsql_magic.knowledge.value_store import ValueStore

# A longer text is no value that a query compares with.
LONGEST_VALUE = 200
# Values that share trigrams with a text and are looked at.
_MOST_LOOKED_AT = 100
# Trigrams that one slip changes.
_OF_A_SLIP = 4
# Letters from which on a text may have two slips.
_LONG = 9
_SIGNS = re.compile(r"[^\w]|_")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\W_]+(?=\d)")


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """A text without case, accents and signs; numbers stay apart. One of signs alone stays as it is.

    Example:
        >>> fold("Kaiga-4"), fold("São Paulo"), fold("2013-08-01"), fold(" + ")
        ('kaiga4', 'saopaulo', '2013 08 01', '+')
    """
    return folded(text)


def folded(text: str) -> str:
    """`fold`, which remembers nothing, for values that are met once."""
    if text.isascii():
        if text.isalnum():
            return text.lower()
        plain = text.lower()
    else:
        plain = "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    if any(sign.isdigit() for sign in plain):
        parts = _BETWEEN_DIGITS.split(plain)
        return " ".join(_SIGNS.sub("", part) for part in parts) if len(parts) > 1 else _SIGNS.sub("", plain)
    return _SIGNS.sub("", plain) or plain.strip()


def forms(phrase: str) -> dict[str, bool]:
    """The forms that may stand for a phrase: itself folded (true), and with its last word in the other number.

    Example:
        >>> list(forms("Big Dogs")), list(forms("city"))
        (['bigdogs', 'bigdog'], ['city', 'citys', 'cities'])
    """
    found = {fold(phrase): True}
    words = phrase.split()
    last = fold(words[-1]) if words else ""
    if len(last) > 2 and last.isalpha():
        before = "".join(map(fold, words[:-1]))
        for other in _other_numbers(last):
            found.setdefault(before + other, False)
    return found


def other_forms(text: str) -> list[str]:
    """A text with its last word in the other number, in lower case.

    Example:
        >>> other_forms("Big Dogs")
        ['big dog']
    """
    before, _, last = text.lower().rpartition(" ")
    return [f"{before} {other}".strip() for other in _other_numbers(last)] if len(last) > 2 and last.isalpha() else []


_PLURALS = {"person": "people", "child": "children", "man": "men", "woman": "women", "foot": "feet", "mouse": "mice"}
_SINGULARS = {plural: one for one, plural in _PLURALS.items()}


def _other_numbers(word: str) -> Iterator[str]:
    """The singulars that a plural may be of, and the plurals of a singular."""
    if other := _PLURALS.get(word) or _SINGULARS.get(word):
        yield other
        return
    if word.endswith("ies") and len(word) > 4:
        yield f"{word[:-3]}y"
    if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        yield word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        yield word[:-1]
    elif not word.endswith("s"):
        yield f"{word}s"
    if word.endswith("y") and word[-2] not in "aeiou":
        yield f"{word[:-1]}ies"
    if word.endswith(("ss", "us", "is", "x", "z", "ch", "sh", "o")):
        yield f"{word}es"


@dataclass(frozen=True, slots=True)
class HeldValue:
    """A phrase that a column holds.

    Example:
        >>> print(HeldValue("dogs", "pets", "kind", "dog"))
        'dogs' is stored as 'dog' in pets.kind
    """

    phrase: str  # as it was asked for
    table: str  # full name of the table
    column: str
    value: str  # as it is stored
    same: bool = True  # whether it differs in case, accents and signs only, and not in its number

    def __str__(self) -> str:
        return f"'{one_line(self.phrase)}' is stored as '{one_line(self.value)}' in {self.table}.{self.column}"


class ValueIndex:
    """Look-ups in an index, by any thread.

    Example:
        >>> from rsql_magic.knowledge.value_store import ValueStore
        >>> store = ValueStore(None)
        >>> number = store.begin(Kept("pets", "kind"))
        >>> store.add([(number, "cat", "Cat"), (number, "dog", "Dog")])
        >>> store.finish({number: Kept("pets", "kind", values=2)})
        >>> index = ValueIndex(store)
        >>> print(*index.same(["dogs"]))
        'dogs' is stored as 'Dog' in pets.kind
        >>> store.close()
    """

    def __init__(self, store: ValueStore) -> None:
        self._store = store

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    @property
    def bytes(self) -> int:
        """The size of what is kept."""
        return self._store.bytes

    @property
    def columns(self) -> list[Kept]:
        """What is known of columns: which are covered, and why others are not."""
        return sorted(self._store.columns.values(), key=lambda kept: (kept.table, kept.column))

    def covers(self, table: str, column: str) -> bool:
        """Whether all values of a column are here."""
        return self._number(table, column) is not None

    def _number(self, table: str, column: str) -> int | None:
        columns = self._store.columns.items()
        return next((n for n, one in columns if (one.table, one.column) == (table, column) and not one.note), None)

    def same(self, phrases: Iterable[str], table: str = "", column: str = "") -> list[HeldValue]:
        """The values that phrases are but for case, accents, signs, or number: in all columns, or in one."""
        wanted = [(each, form, same) for each in dict.fromkeys(phrases) for form, same in forms(each).items() if form]
        among = self._number(table, column) if column else None
        if not wanted or (column and among is None):
            return []
        columns = self._store.columns
        found = []
        for place, number, value in self._store.hashed([hash_of(form) for _, form, _ in wanted]):
            phrase, form, is_same = wanted[place]
            if among in {None, number} and folded(value) == form:
                found.append(HeldValue(phrase, columns[number].table, columns[number].column, value, is_same))
        return sorted(found, key=lambda one: (not one.same, one.table, one.column, one.value))

    def holds(self, text: str, table: str, column: str) -> bool:
        """Whether a column has exactly this value."""
        return any(one.value == text for one in self.same([text], table, column))

    def near(self, text: str, table: str, column: str, most: int = 5) -> list[tuple[int, str]]:
        """The values of a column that are a text with a slip or two, the nearest first, with their slips."""
        number, wanted = self._number(table, column), fold(text)
        if number is None or len(wanted) < 3:
            return []
        allowed = 2 if len(wanted) >= _LONG else 1
        asked = np.unique(grams([wanted])[0]).tolist()
        least = len(asked) - _OF_A_SLIP * allowed
        if least < 1 and self._store.columns[number].values <= _MOST_LOOKED_AT:
            values: Iterable[str] = self._store.every(number, _MOST_LOOKED_AT)
        else:
            shared = self._store.sharing(asked, max(least, 1), _MOST_LOOKED_AT, number)
            values = (value for _, value in shared)
        apart = ((slips(wanted, folded(value), allowed), value) for value in values)
        return sorted(one for one in apart if one[0] <= allowed)[:most]

    def containing(self, text: str, most: int = 20, *, table: str = "", column: str = "") -> list[HeldValue]:
        """Values in which a text stands, in all columns or in one; the shortest first."""
        wanted, among = fold(text), self._number(table, column) if column else None
        # Every third trigram and the last have all of its letters; what they find is compared in full.
        threes = [wanted[at : at + 3] for at in (*range(0, len(wanted) - 2, 3), len(wanted) - 3)] if wanted[2:] else []
        inside = np.unique(grams(threes, ends=False)[0]).tolist() if threes else []
        if column and among is None:
            return []
        columns, found = self._store.columns, []
        for number, value in self._store.sharing(inside, len(inside), _MOST_LOOKED_AT, among):
            if wanted in folded(value):
                about = columns[number]
                found.append(HeldValue(text, about.table, about.column, value, same=False))
        return sorted(found, key=lambda one: (len(one.value), one.table, one.column, one.value))[:most]


def phrases_of(question: str, longest: int = 6) -> list[str]:
    """The runs of words of a question, the longest first.

    Example:
        >>> phrases_of("New York, please", 2)
        ['New York', 'York, please', 'New', 'York', 'please']
    """
    words = [(match.start(), match.end()) for match in re.finditer(r"\w(?:[^\s,;:!?\"“”()]*\w)?\+*", question)]
    runs = ((i, i + n) for n in range(min(longest, len(words)), 0, -1) for i in range(len(words) - n + 1))
    return list(dict.fromkeys(question[words[i][0] : words[j - 1][1]] for i, j in runs))
