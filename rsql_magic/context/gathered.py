"""What was gathered: the pieces, what they cost, what was left out and what was replaced."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from rsql_magic.plain_text import html_text, printable
from rsql_magic.sql import Column, Table, count_tokens, fence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

_KEY = re.compile(r"(?i)(?:^|[_.\s])(?:id|key|code|nr|no|num|number|uuid|sku)$|[a-z](?:Id|ID|Key|Code)$|^\w+id$")
# Names that every table uses for a key of its own.
_OWN = frozenset({"id", "index", "key", "number", "code", "row", "rowid"})
FAILED = "failed cell"  # the kind of piece that the cell of the last error is
_MOST_COLUMNS = 500


class JoinHint(NamedTuple):
    """A column of a frame that may point to a column of another."""

    frame: str
    column: str
    other: str
    referred: str

    def __str__(self) -> str:
        return f"{self.frame}.{self.column} = {self.other}.{self.referred}"


def join_hints(
    columns: Mapping[str, Sequence[str]], unique: Mapping[str, AbstractSet[str]], most: int = 6
) -> list[JoinHint]:
    """How frames can be joined.

    Example:
        >>> found = join_hints({"flights": ["carrier"], "airlines": ["carrier", "name"]}, {"airlines": {"carrier"}})
        >>> print(*found)
        flights.carrier = airlines.carrier
    """
    # Two frames share a key when a column of the same name looks like a key in both or is unique in one of them, or
    # when one has `customer_id` and the other is called `customers` and has a unique `id`.
    found: list[JoinHint] = []
    narrow = {frame: names for frame, names in columns.items() if len(names) <= _MOST_COLUMNS}
    for (one, ones), (two, twos) in combinations(narrow.items(), 2):
        known = {*unique.get(one, ()), *unique.get(two, ())}
        shared = [name for name in ones if name in set(twos) and (name in known or _KEY.search(name))]
        found += [_written(one, two, name, unique) for name in shared if name.lower() not in _OWN]
        found += _by_name(one, twos, two, unique.get(one, ())) + _by_name(two, ones, one, unique.get(two, ()))
    return found[:most]


def _written(one: str, two: str, name: str, unique: Mapping[str, AbstractSet[str]]) -> JoinHint:
    """The hint that points to the side where the column is unique."""
    if name in unique.get(one, ()) and name not in unique.get(two, ()):
        one, two = two, one
    return JoinHint(one, name, two, name)


def _by_name(parent: str, columns: Sequence[str], child: str, unique: AbstractSet[str] | tuple[()]) -> list[JoinHint]:
    """``orders.customer_id = customers.id``."""
    if "id" not in unique:
        return []
    wanted = {f"{stem}{joint}id" for stem in (parent.lower(), parent.lower().removesuffix("s")) for joint in ("_", "")}
    return [JoinHint(child, column, parent, "id") for column in columns if column.lower() in wanted]


# What the user points to stands in a fence of its own, so that an answer can cite it.
_POINTED = frozenset({"asked for", "mentioned"})
# What a name of theirs stands for is no thing that an answer could be drawn from.
_NO_SOURCE = frozenset({"error", "session", "document"})  # a passage is cited by its number
# Names of these are seldom words of a sentence; a variable called ``name`` counts in code only.
_NAMED_IN_PROSE = frozenset({"frame", "schema"})
_CODE = re.compile(r"(`{3,}|~{3,})(.*?)(?:\1|\Z)|(`+)(.+?)\3", re.S)


@dataclass(frozen=True, slots=True)
class FrameColumn(Column):
    """A column as a frame's text states it; one that stands for several alike says for how many."""

    many: int = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """What the text of a frame states, as values."""

    label: str  # what it is: `pandas DataFrame`, `R tibble`
    width: int  # number of all columns
    rows: int | None = None  # number of rows; None where the text does not state it
    columns: tuple[FrameColumn, ...] = ()  # the columns that have a line
    hidden: int = 0  # how many columns have none
    sampled: bool = False  # whether figures come from a sample


@dataclass(slots=True)
class Noted:
    """What comes to light while a text is written."""

    # How many secrets and identifiers of each kind were replaced.
    redacted: Counter[str] = field(default_factory=Counter)
    # What the text states, as values, where it states more than a sentence.
    values: Frame | Table | tuple[JoinHint, ...] | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that the model could be told."""

    kind: str  # of its fence: ``frame``, ``r``, ``schema``, ``cell``, …
    name: str  # what the user calls it
    text: str = ""  # what it says, filtered and not yet fenced; empty when it was left out
    tokens: int = 0  # what the text costs, with its fence where it has one of its own
    reason: str = ""  # why it is there, or why it was left out
    redactions: Counter[str] = field(default_factory=Counter)  # secrets and identifiers replaced in it, by kind
    values: Frame | Table | tuple[JoinHint, ...] | None = None  # what the text states; None where the text is all

    @property
    def shown(self) -> bool:
        """Whether it is part of the context."""
        return bool(self.text)

    @property
    def is_line(self) -> bool:
        """Whether it shares a fence with its neighbours, because a fence would cost more than what it says."""
        return self.kind in {"object", "r"} and "\n" not in self.text and self.reason not in _POINTED


def _object(piece: Piece) -> dict[str, Any]:
    """A frame with what is stated of it, or another object with its text."""
    import msgspec

    if isinstance(piece.values, Frame):
        return {"kind": piece.kind, "name": piece.name, **msgspec.to_builtins(piece.values)}
    return {"kind": piece.kind, "name": piece.name, "label": piece.text.removeprefix(f"{piece.name}: ")}


def _label(piece: Piece) -> str:
    return f"{piece.kind} {piece.name}".strip()


def _is_named(piece: Piece, answer: str, code: str) -> bool:
    """Whether an answer names it; a table and a help page also without what stands before their own name."""
    if piece.kind in _NO_SOURCE or not piece.name or piece.reason == "the connection":
        return False
    if piece.kind == "cell":
        return piece.name != "cell" and piece.name in answer
    own = re.split(r"\.|::", piece.name)[-1] if piece.kind in {"schema", "help"} else piece.name
    in_prose = piece.kind in _NAMED_IN_PROSE or piece.reason in _POINTED
    text = answer if in_prose else code
    # SQL does not tell upper from lower case.
    flags = re.I if piece.kind == "schema" else re.NOFLAG
    return any(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text, flags) for name in {piece.name, own})


@dataclass(frozen=True)
class Context:
    """What the model is told about the user's data and session."""

    pieces: tuple[Piece, ...] = ()  # everything that was considered, in the order of their rank
    redactions: Counter[str] = field(default_factory=Counter)  # secrets and identifiers that were replaced, by kind
    notes: tuple[str, ...] = ()  # what the user should know, one sentence each, such as why R cannot be read
    budget: int = 0  # tokens that were allowed
    suppressed: frozenset[str] = field(default=frozenset(), repr=False)  # columns named by values that may not be said

    @cached_property
    def text(self) -> str:
        """Exactly what is sent: each piece in a fence of its own, objects of one line together in one."""
        shown = [piece for piece in self.pieces if piece.text]
        groups = groupby(shown, key=lambda piece: (piece.kind, "session" if piece.is_line else piece.name))
        texts = [(*place, "\n".join(piece.text for piece in group)) for place, group in groups]
        return "\n".join(fence(kind, name, text) for kind, name, text in texts)

    def as_values(self) -> dict[str, Any]:
        """What `text` states, as values: what the model of fixed rules is sent beside the text."""
        shown = [piece for piece in self.pieces if piece.text]
        texts = {
            kind: [piece.text for piece in shown if piece.kind == kind] for kind in ("error", "cell", FAILED, "session")
        }
        passages = [{"name": piece.name, "text": piece.text} for piece in shown if piece.kind == "document"]
        return ({"documents": passages} if passages else {}) | {
            "tables": [piece.values for piece in shown if isinstance(piece.values, Table)],
            "objects": [_object(piece) for piece in shown if piece.kind not in {*texts, "schema", "help", "document"}],
            "joins": [join for piece in shown if isinstance(piece.values, tuple) for join in piece.values],
            "help": [{"name": piece.name, "text": piece.text} for piece in shown if piece.kind == "help"],
            "error": "\n".join(texts["error"]),
            "cells": [*texts["cell"], *texts[FAILED]],
            "session": texts["session"],
        }

    @cached_property
    def has_frames(self) -> bool:
        """Whether a frame of Python's or R's is described."""
        return any(piece.text and piece.kind in {"frame", "r"} for piece in self.pieces)

    @property
    def tokens(self) -> int:
        """What it costs, by `count_tokens`."""
        return count_tokens(self.text)

    @property
    def sources(self) -> tuple[str, ...]:
        """What an answer can cite: ``frame sales``, ``help dplyr::filter``."""
        return tuple(_label(piece) for piece in self.pieces if piece.text)

    @property
    def pointed(self) -> tuple[str, ...]:
        """Those of the sources that the question points to."""
        return tuple(_label(piece) for piece in self.pieces if piece.text and piece.reason in _POINTED)

    def named_in(self, answer: str) -> tuple[str, ...]:
        """Those of the sources that an answer names, as a whole word in its Markdown's text or code.

        Example:
            >>> context = Context((Piece("frame", "sales", "…"), Piece("object", "name", "…")))
            >>> context.named_in("The name of the largest region in sales is N.")
            ('frame sales',)
        """
        code = "\n".join(fenced or inline for _, fenced, _, inline in _CODE.findall(answer))
        return tuple(_label(piece) for piece in self.pieces if piece.text and _is_named(piece, answer, code))

    @property
    def left_out(self) -> tuple[Piece, ...]:
        """What was considered and is not sent."""
        return tuple(piece for piece in self.pieces if not piece.text)

    def __bool__(self) -> bool:
        return any(piece.text for piece in self.pieces)

    def __repr__(self) -> str:
        shown = sum(bool(piece.text) for piece in self.pieces)
        left_out = len(self.pieces) - shown
        return f"<Context {shown} shown, {left_out} left out, {self.tokens:,} of {self.budget:,} tokens>"

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The pieces as rows of a table: kind, name, tokens, why."""
        return [(p.kind, p.name, f"{p.tokens:,}" if p.text else "left out", p.reason) for p in self.pieces]

    def __str__(self) -> str:
        head = ("kind", "name", "tokens", "why")
        rows = [head, *self.rows()]
        wide = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = ["  ".join(cell.ljust(size) for cell, size in zip(row, wide, strict=True)).rstrip() for row in rows]
        return printable("\n".join([repr(self), *lines, *self._said()]))

    def _said(self) -> list[str]:
        replaced = ", ".join(f"{count} {name}" for name, count in sorted(self.redactions.items()))
        return [*([f"replaced before sending: {replaced}"] if replaced else []), *self.notes]

    def _repr_html_(self) -> str:
        rows = ("".join(f"<td>{html_text(cell)}</td>" for cell in row) for row in self.rows())
        cells = "".join(f"<tr>{row}</tr>" for row in rows)
        said = "".join(f"<p>{html_text(line)}</p>" for line in self._said())
        head = "<tr><th>kind</th><th>name</th><th>tokens</th><th>why</th></tr>"
        return f"<p>{html_text(repr(self)[1:-1])}</p><table>{head}{cells}</table>{said}"
