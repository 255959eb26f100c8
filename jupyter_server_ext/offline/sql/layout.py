"""How a query is laid out: one clause a line, as long as the line can be read at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 88  # characters that a notebook's cell shows without scrolling


def laid_out(query: exp.Expr, dialect: str) -> str:
    """The query's text.

    sqlglot gives every column and condition a line of its own; here those that fit stay beside their clause.

    Example:
        >>> from sqlglot import parse_one
        >>> print(laid_out(parse_one("SELECT a, b FROM t WHERE a > 1 AND b < 2"), "duckdb"))
        SELECT a, b
        FROM t
        WHERE a > 1 AND b < 2
    """
    text = query.sql(dialect=dialect or None, pretty=True)
    if any("\n" in literal.name for literal in query.find_all(exp.Literal)):
        return text
    return "\n".join(_joined(text.split("\n")))


def _joined(lines: list[str]) -> Iterator[str]:
    """The lines, each with the deeper ones below it when they fit and hold nothing deeper still."""
    place = 0
    while place < len(lines):
        end = place + 1
        while end < len(lines) and _depth(lines[end]) > _depth(lines[place]):
            end += 1
        whole = " ".join([lines[place], *(line.strip() for line in lines[place + 1 : end])])
        depths = {_depth(line) for line in lines[place + 1 : end]}
        if len(depths) == 1 and len(whole) <= _WIDTH and not lines[place].endswith("("):
            yield whole
        else:
            yield lines[place]
            yield from _joined(lines[place + 1 : end])
        place = end


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
