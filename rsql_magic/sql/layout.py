"""The text of a query, in lines that can be read at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 88  # characters that a notebook's cell shows without scrolling


def laid_out(query: exp.Expr, dialect: str) -> str:
    """The query's text, one clause a line.

    Example:
        >>> from sqlglot import parse_one
        >>> print(laid_out(parse_one("SELECT a, b FROM t WHERE a > 1 AND b < 2"), "duckdb"))
        SELECT a, b
        FROM t
        WHERE a > 1 AND b < 2
    """
    text = query.sql(dialect=dialect or None, pretty=True)
    # A text with a line of its own must not be joined.
    if any("\n" in literal.name for literal in query.find_all(exp.Literal)):
        return text
    # sqlglot gives every column and condition a line of its own; here those that fit stay beside their clause.
    return "\n".join(_joined(text.split("\n")))


def _joined(lines: list[str]) -> Iterator[str]:
    """The lines, each with the deeper ones below it when they fit and hold nothing deeper still."""
    depths = [len(line) - len(line.lstrip()) for line in lines]
    place = 0
    while place < len(lines):
        end = place + 1
        while end < len(lines) and depths[end] > depths[place]:
            end += 1
        whole = " ".join([lines[place], *(line.strip() for line in lines[place + 1 : end])])
        if len({*depths[place + 1 : end]}) == 1 and len(whole) <= _WIDTH and not lines[place].endswith("("):
            yield whole
        else:
            yield lines[place]
            yield from _joined(lines[place + 1 : end])
        place = end
