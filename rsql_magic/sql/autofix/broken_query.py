"""A draft as far as it can be read, the changes made to its text, and a phrase for each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sqlglot import exp

from rsql_magic.sql.catalog import quoted
from rsql_magic.sql.dialects.reading import Unreadable, canonical, lex, parse
from rsql_magic.sql.validate import Resolution
from rsql_magic.sql.validate.resolve import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rsql_magic.sql.catalog import Catalog
    from rsql_magic.sql.dialects.reading import Lexed
    from rsql_magic.sql.validate import Missing, Scope


T = TypeVar("T")


class Fix(NamedTuple):
    """A statement after a change, and what was changed, one phrase each: ``T1.name → T2.name``."""

    sql: str  # The statement
    changes: tuple[str, ...] = ()  # What was changed
    # Whether its tables or joins are others: that changes what is asked, so it is only proposed
    restructured: bool = False
    # Whether it never stands without the word of the model: rows come several times by a new join, or a join is gone
    proposal_only: bool = False


class Edit(NamedTuple):
    """Characters of a text, and what to write in their place."""

    start: int
    end: int
    new: str


def edited(text: str, edits: Iterable[Edit]) -> str:
    """A text with places replaced; places are those of the text as it was."""
    for edit in sorted(set(edits), reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    return text


@dataclass(frozen=True)
class BrokenQuery:
    """A draft that does not compile, as far as it can be read."""

    text: str  # The draft, without comments where its words can be told
    dialect: str  # sqlglot's name
    catalog: Catalog  # The tables there are
    lexed: Lexed | None = None  # Its words; None when a quote never closes
    tree: exp.Expr | None = None  # Its tree; None when it does not parse

    @classmethod
    def of(cls, sql: str, dialect: str, catalog: Catalog) -> BrokenQuery:
        """Read a draft as far as it goes."""
        dialect = canonical(dialect)
        try:
            lexed = lex(sql, dialect)
        except Unreadable:
            return cls(sql, dialect, catalog)
        try:
            return cls(lexed.text, dialect, catalog, lexed, parse(lexed.text, dialect))
        except Unreadable:
            return cls(lexed.text, dialect, catalog, lexed)

    @cached_property
    def resolution(self) -> Resolution:
        """What its names stand for; nothing where it does not parse."""
        return resolve(self.tree, self.text, self.dialect, self.catalog) if self.tree is not None else Resolution()

    def missing(self, *kinds: str) -> Iterator[Missing]:
        """Its names that stand for nothing, of some kinds, in order."""
        yield from (one for one in self.resolution.missing if one.kind in kinds)

    def columns(self, *kinds: str) -> Iterator[tuple[exp.Column, Missing]]:
        """Its columns that stand for nothing, in order."""
        yield from ((one.node, one) for one in self.missing(*kinds) if isinstance(one.node, exp.Column))

    def select(self, node: exp.Expr) -> tuple[exp.Select | None, Scope | None]:
        """The SELECT around a node, and what is in sight there."""
        around = node.find_ancestor(exp.Select)
        return around, next((scope for select, scope in self.resolution.selects if select is around), None)

    def written(self, name: str) -> str:
        """A name as it must be written in this dialect."""
        return quoted(name, self.dialect)

    def replace(self, node: exp.Expr, new: str) -> Edit | None:
        """The change of an identifier; None for one without a place."""
        return None if (start := node.meta.get("start")) is None else Edit(start, node.meta["end"] + 1, new)

    def changed(self, edits: Iterable[Edit | None], *said: str) -> Fix | None:
        """The draft after some changes; None when one of them has no place, or nothing changes."""
        places = list(edits)
        if any(edit is None for edit in places):
            return None
        text = edited(self.text, [edit for edit in places if edit is not None])
        return Fix(text, said) if text != self.text else None


def only(found: Iterable[T]) -> T | None:
    """The one thing there is; None when there are several or none."""
    listed = list(found)
    return listed[0] if len(listed) == 1 else None
