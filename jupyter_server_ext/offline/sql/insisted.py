"""Names the user insists on: a backticked or snake_case name that the schema does not have.

The first draft takes such a name at the user's word, as a person would who was told it. The check of the kernel side
then says what there is instead, and the repair uses that.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from ..words import word_set
from .schema import Column, Schema, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..words import Token
    from .linking import Mention

_TABLE_WORDS = word_set("from table rows records entries")


def take_at_word(question: Sequence[Token], mentions: list[Mention], schema: Schema) -> list[Mention]:
    """The mentions, with a column or a table of that name for each name the user insists on."""
    return [_taken(question, mention, mentions, schema) if mention.insisted else mention for mention in mentions]


def _taken(question: Sequence[Token], mention: Mention, mentions: list[Mention], schema: Schema) -> Mention:
    before = [token.lower for token in question[max(mention.start - 3, 0) : mention.start]]
    after = question[mention.end].lower if mention.end < len(question) else ""
    if _TABLE_WORDS & {*before[-2:], after}:
        return replace(mention, tables=((Table(mention.text, ()), 1.0),), insisted=False)
    near = nearest(mention.text, _columns(mentions, schema))
    column = Column(near.table, mention.text, near.type) if near else Column(schema.tables[0].name, mention.text)
    return replace(mention, columns=((column, 1.0),), insisted=False)


def _columns(mentions: list[Mention], schema: Schema) -> list[Column]:
    """The columns of the tables spoken of, else of all."""
    spoken = [table for mention in mentions for table, fit in mention.tables if fit > 0.9]
    return [column for table in spoken for column in table.columns] or list(schema.columns())


def nearest(name: str, columns: Sequence[Column]) -> Column | None:
    """The column whose name looks most like a name; None when there are no columns."""
    return max(columns, key=lambda column: likeness(name, column.name), default=None)


def likeness(one: str, two: str) -> float:
    """How much two names look alike, 0 to 1, case and underscores ignored.

    Example:
        >>> likeness("dep_delays", "dep_delay") > likeness("dep_delays", "arr_delay")
        True
    """
    return SequenceMatcher(None, one.lower().replace("_", ""), two.lower().replace("_", "")).ratio()
