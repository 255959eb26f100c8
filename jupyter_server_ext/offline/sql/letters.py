"""Columns and values called "a" or "i": letters that elsewhere are an article or a pronoun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..words import word_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..words import Token

LETTERS = frozenset({"a", "i"})
_BEFORE_PRONOUN = word_set("do did can could should would may might am shall will have if when")
_AFTER_NAME = word_set(
    """
    by per and or nor where is are was were has for of in with without on over under above below between from as
    grouped group sorted sort order ordered descending ascending desc asc versus vs against if when not equals equal
    but then plus minus times divided limit
    """
)
_NEVER_AFTER_ARTICLE = word_set("than")
_FOLLOWING = ")],.;:?!<>=+-*/&|"


def is_name(question: Sequence[Token], index: int) -> bool:
    """Whether the letter at a place names something: an article would stand before a noun, a pronoun beside a verb.

    Example:
        >>> from ..words import tokens
        >>> [is_name(tokens(text), 2) for text in ("mean of a by b", "price of a book", "how do i")]
        [True, False, False]
    """
    before = question[index - 1].lower if index else ""
    after = [token.lower for token in question[index + 1 : index + 3]]
    if question[index].lower == "i" and before in _BEFORE_PRONOUN:
        return False
    if before == "to" and index > 1 and question[index - 2].lower == "z":
        return False  # "from z to a"
    ends = not after or after[0] in _FOLLOWING
    return ends or after[0] in _AFTER_NAME or bool(_NEVER_AFTER_ARTICLE & set(after[1:]))
