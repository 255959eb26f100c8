"""How a context is put together: find, rank, describe, fit.

Objects are described in the order of their rank and only while the budget lasts, so a namespace of a hundred frames
costs no more than the few that are shown.
"""

from __future__ import annotations

import functools
import platform
import time
import types
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rsql_magic.context.bounded import TooSlow, within
from rsql_magic.context.cells import Cell, as_cells, error_text, recently
from rsql_magic.context.facts import one_line
from rsql_magic.context.fencing import fence
from rsql_magic.context.gathered import Context, Piece
from rsql_magic.context.mentions import Question
from rsql_magic.context.privacy import redact
from rsql_magic.context.sources import Detail, TabularSource, source_of
from rsql_magic.context.telling import says_secret
from rsql_magic.context.tokens import count_tokens
from rsql_magic.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rsql_magic.context.dictionary import Dictionary
    from rsql_magic.context.tables import Catalog, Privacy, Table

_IPYTHON = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open", "display"})
_EACH = 0.5
"""Most seconds that one object may take."""
_BRIEF = 60
"""Tokens of an object that nothing points to, when something else is pointed to."""

_SESSION = 60
"""Tokens kept for the session's line."""

ASKED, MENTIONED, USED, ASSIGNED, REST = range(5)
_REASONS = ("asked for", "mentioned", "used in recent cells", "assigned recently", "in the session")


def read_object(obj: Any, name: str, detail: Detail, seconds: float) -> str:
    """An object's description, or its class when it cannot be read in time."""
    try:
        return within(seconds, lambda: source_of(obj).describe(obj, name, detail))
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # noqa: BLE001 - reprs and attributes of other people's objects raise anything
        return f"{one_line(name)}: {type(obj).__qualname__}, not read ({_why(problem)})"


def _why(problem: BaseException) -> str:
    return "it took too long" if isinstance(problem, TooSlow) else f"it raised {type(problem).__name__}"


@dataclass(frozen=True)
class _Candidate:
    """A variable that may be described, and why."""

    name: str
    obj: Any
    rank: int
    columns: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Offer:
    """Something that could be told.

    Args:
        kind: The kind of its fence.
        name: What the user calls it.
        reason: Why it is here, or why it has no text.
        must: True when it is shown even when the budget is over.
        texts: Write it, the fullest form first.
    """

    kind: str
    name: str
    reason: str
    must: bool = False
    texts: tuple[Callable[[], str], ...] = ()


@dataclass(frozen=True)
class Gathering:
    """One context in the making; the arguments are those of `rsql_magic.context.gather`."""

    question: str
    namespace: Mapping[str, Any]
    names: tuple[str, ...]
    level: Privacy
    budget: int
    per_object: int
    catalog: Catalog | None
    cells: tuple[Any, ...]
    error: BaseException | str | None
    r: bool
    recent: tuple[str, ...]
    dictionary: Dictionary | None
    seconds: float
    clock: Callable[[], float] = time.monotonic
    redactions: Counter[str] = field(default_factory=Counter)

    def context(self) -> Context:
        """Find, rank, describe, fit."""
        pieces: list[Piece] = []
        left = self.budget - _SESSION
        for offer in self._offers(self.clock() + self.seconds):
            piece = self._best(offer, left, fenced=bool(pieces) and pieces[-1].is_line)
            # Once the shortest form of something does not fit, nothing more is read: that would only cost time.
            left = left - piece.tokens if piece.shown or not offer.texts else min(left, 0)
            pieces.append(piece)
        session = self._piece("session", "python", self._session(pieces), "the session")
        if session.tokens <= left + _SESSION:
            pieces.append(session)
        return Context(tuple(pieces), self.redactions, budget=self.budget)

    def _best(self, offer: _Offer, left: int, *, fenced: bool) -> Piece:
        """The longest of an offer's texts that fits; the shortest all the same when it must be shown."""
        tried = offer.texts if left > 0 else offer.texts[-1:] if offer.must else ()
        for place, text in enumerate(tried, start=1):
            piece = self._piece(offer.kind, offer.name, text(), offer.reason, fenced=fenced)
            if piece.tokens <= left or (offer.must and place == len(tried)):
                return piece
        return Piece(offer.kind, redact(offer.name)[0], reason="over the budget" if offer.texts else offer.reason)

    def _offers(self, end: float) -> Iterator[_Offer]:
        """What could be told, in the order of its rank. Texts are made only when they are reached."""
        if self.error is not None:
            yield _Offer("error", "", "the last error", True, (lambda: error_text(self.error),))
        yield from self._objects(end)
        yield from self._tables()
        for cell in self._cells[-3:]:
            yield _Offer("cell", cell.name, "recent cell", False, (cell.text,))

    # What there is

    @cached_property
    def _cells(self) -> list[Cell]:
        return as_cells(self.cells)

    @cached_property
    def _question(self) -> Question:
        return Question(self.question)

    def _candidates(self) -> list[_Candidate]:
        """Variables in the order of their rank."""
        self._check_names()
        used, assigned = recently(self._cells[-5:])
        places = {name: place for place, name in enumerate([*self.recent, *assigned])}
        found = [
            self._candidate(name, obj, frozenset(used), places)
            for name, obj in self.namespace.items()
            if name in self.names or _is_users(name, obj)
        ]
        orders = {name: place for place, name in enumerate(self.names)}
        return sorted(
            found,
            key=lambda c: (c.rank, orders.get(c.name, 0), places.get(c.name, 0) if c.rank > MENTIONED else 0, c.name),
        )

    def _check_names(self) -> None:
        for name in self.names:
            if name not in self.namespace:
                raise UnknownName(
                    f"There is no variable named {name!r}.", hint="Check the spelling, or run its cell first."
                )

    def _candidate(self, name: str, obj: Any, used: frozenset[str], assigned: Mapping[str, int]) -> _Candidate:
        columns = frozenset() if says_secret(name) else self._mentioned_columns(obj)
        if name in self.names:
            rank = ASKED
        elif columns or self._question.mentions(name):
            rank = MENTIONED
        elif name in used:
            rank = USED
        else:
            rank = ASSIGNED if name in assigned else REST
        return _Candidate(name, obj, rank, columns)

    def _mentioned_columns(self, obj: Any) -> frozenset[str]:
        source = source_of(obj)
        if not self.question or not isinstance(source, TabularSource):
            return frozenset()
        try:
            return frozenset(self._question.mentioned(within(_EACH, lambda: source.columns(obj))))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - then it is ranked by its own name alone
            return frozenset()

    # What each says

    def _objects(self, end: float) -> Iterator[_Offer]:
        """Variables; each column that was asked about is sure to be shown once."""
        candidates = self._candidates()
        pointed = any(candidate.rank <= MENTIONED for candidate in candidates)
        missing = {column for candidate in candidates for column in candidate.columns}
        for candidate in candidates:
            named = candidate.rank == ASKED or self._question.mentions(candidate.name)
            yield self._object(candidate, named or bool(missing & candidate.columns), pointed, end)
            missing -= candidate.columns

    def _object(self, candidate: _Candidate, must: bool, pointed: bool, end: float) -> _Offer:
        source = source_of(candidate.obj)
        offer = _Offer(source.kind, candidate.name, _REASONS[candidate.rank], must)
        if says_secret(candidate.name):
            return replace(offer, must=False, reason="its name says that it is a secret; not read")
        if self.clock() > end:
            return replace(offer, must=False, reason="no time left")
        full = Detail(
            self.level, self.per_object, candidate.columns, dictionary=self.dictionary, redacted=self.redactions
        )
        brief = replace(full, budget=_BRIEF, level="names" if isinstance(source, TabularSource) else self.level)
        details = [brief] if pointed and candidate.rank > MENTIONED else [full, brief]
        texts = [functools.partial(read_object, candidate.obj, candidate.name, detail, _EACH) for detail in details]
        return replace(offer, texts=tuple(texts))

    def _tables(self) -> Iterator[_Offer]:
        """Tables that the question mentions, and the names of the others."""
        if self.catalog is None or not self.catalog.tables:
            return
        mentioned = [table for table in self.catalog if self._is_mentioned(table)]
        for table in mentioned:
            texts = (functools.partial(self._ddl, table, self.level), functools.partial(self._ddl, table, "names"))
            yield _Offer("schema", table.full_name, "mentioned", True, texts)
        others = [table.full_name for table in self.catalog if table not in mentioned]
        if others:
            listed = (
                f"tables ({self.catalog.dialect}): " + ", ".join(others[:100]) + (", …" if len(others) > 100 else "")
            )
            yield _Offer("schema", self.catalog.dialect, "the connection", False, (lambda: listed,))

    def _is_mentioned(self, table: Table) -> bool:
        return any(
            self._question.mentions(name) for name in (table.full_name, table.name, *(c.name for c in table.columns))
        )

    def _ddl(self, table: Table, level: Privacy) -> str:
        from rsql_magic.context.tables import ddl

        written = self.dictionary.describe(table) if self.dictionary else table
        return ddl(written, level, self.catalog.dialect if self.catalog else "")

    def _session(self, pieces: Iterable[Piece]) -> str:
        """Python's version, the packages that the user imported, and what else there is."""
        modules = {
            name: obj for name, obj in self.namespace.items() if isinstance(obj, types.ModuleType) and name[0] != "_"
        }
        imported = [_module(name, module) for name, module in sorted(modules.items())]
        others = [piece.name for piece in pieces if not piece.shown and piece.kind != "cell"]
        return "; ".join(
            [
                f"Python {platform.python_version()}",
                *([f"imported {_listed(imported, 12)}"] if imported else []),
                *([f"not described: {_listed(others, 12)}"] if others else []),
            ]
        )

    def _piece(self, kind: str, name: str, text: str, reason: str, *, fenced: bool = False) -> Piece:
        """A piece with its text filtered, and its price; a line that follows a line has its fence already."""
        clean, counts = redact(text)
        shown, more = redact(name)
        piece = Piece(kind, shown, clean, reason=reason)
        self.redactions.update(counts + more)
        price = clean if piece.is_line and fenced else fence(kind, shown, clean)
        return replace(piece, tokens=count_tokens(price) + 1)


def _is_users(name: str, obj: Any) -> bool:
    return not (name.startswith("_") or name in _IPYTHON or isinstance(obj, types.ModuleType))


def _listed(names: list[str], most: int) -> str:
    more = f", … (+{len(names) - most:,})" if len(names) > most else ""
    return ", ".join(one_line(name, 40) for name in names[:most]) + more


def _module(name: str, module: types.ModuleType) -> str:
    version = vars(module).get("__version__")
    full = module.__name__ + (f" {version}" if isinstance(version, str) else "")
    return full if name == module.__name__ else f"{full} as {name}"
