"""Tables and columns that a question spells letter by letter, where reading words would miss them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .schema import Schema

_NUMBERED = re.compile(r"[^\W\d_]{2,}\d+")  # df2, sales2024: its number is no word of its own


def marked(question: str, schema: Schema) -> str:
    """The question with the names that end in a number between backticks, which take a name at its word.

    Example:
        >>> from .schema import read
        >>> marked("how many rows in df2?", read(["CREATE TABLE df2 (a INTEGER);"]))
        'how many rows in `df2`?'
    """
    names = {table.name for table in schema.tables} | {column.name for column in schema.columns()}
    numbered = sorted(map(re.escape, filter(_NUMBERED.fullmatch, names)), key=len, reverse=True)
    if not numbered:
        return question
    return re.sub(rf"(?<![\w`'\"])(?:{'|'.join(numbered)})(?![\w`'\"])", r"`\g<0>`", question)


def meant(question: str, schema: Schema) -> Schema:
    """The schema of the one table that a question ends with, ``… in df``; the whole one where it names none so."""
    named = re.search(r"\b(?:in|from) `?([^\W\d]\w*)`?\W*$", question)
    table = next((table for table in schema.tables if named and table.name == named[1]), None)
    return schema if table is None else replace(schema, tables=(table,))
