"""How a context is put together: find, rank, describe, fit."""

# Objects are described in the order of their rank and only while the budget lasts, so a namespace of a hundred frames
# costs no more than the few that are shown.

from __future__ import annotations

import platform
import time
import types
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from rsql_magic.context.gathered import FAILED, Context, Noted, Piece, join_hints
from rsql_magic.context.last_error import asked_of, error_text
from rsql_magic.context.ranking import (
    REASONS,
    Candidate,
    Cell,
    Rank,
    Ranking,
    as_cells,
    session_names,
    session_values,
    speakable_columns,
)
from rsql_magic.context.rside import RSide, held, is_late, is_rs
from rsql_magic.context.sources import Detail, Fences, TabularSource, source_of, why, within
from rsql_magic.diagnostics import log
from rsql_magic.redaction import clean, redact
from rsql_magic.sql import count_tokens, cut, fence, one_line, unique_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from rsql_magic.context.gathered import Frame
    from rsql_magic.context.sources import Source
    from rsql_magic.context.value_names import SessionValues
    from rsql_magic.knowledge import Dictionary
    from rsql_magic.sql import Catalog, Privacy, Table

# Most seconds that one object may take: many times what ours need on a busy machine.
_EACH = 5.0
# Most rows that are looked at of an object that must be shown; of others a fifth.
_ROWS = 10_000
# Tokens of an object that nothing points to, when something else is pointed to.
_BRIEF = 60
# Tokens of a fence around a piece.
_FENCE = 30
# Tokens kept for the line about the session.
_SESSION = 75
# Why something is not told that another time may be.
_LATE = "no time left"
# Most recent cells that are shown.
_CELLS = 3

Text = tuple["Callable[[Noted], str]", ...]


def read_object(obj: Any, name: str, detail: Detail, seconds: float) -> str:
    """An object's description, or its class when it cannot be read in time."""

    def said() -> str:
        source = source_of(obj)
        return _cut(source, source.describe(obj, name, detail), detail)

    try:
        return within(seconds, said)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        log.debug("an object cannot be described", exc_info=True)
        return unread(obj, name, why(problem))


def _cut(source: Source | None, text: str, detail: Detail) -> str:
    """A text within its budget. A frame may cost more, because of columns that were asked about; nothing else may."""
    return text if isinstance(source, TabularSource) else cut(clean(text, detail.redacted), detail.budget)


def unread(obj: Any, name: str, reason: str) -> str:
    """What is said of an object that failed: its class, and why it was not read."""
    return f"{one_line(name)}: {one_line(type.__getattribute__(type(obj), '__qualname__'))}, not read ({reason})"


@dataclass(frozen=True)
class _Offer:
    """Something that could be told."""

    kind: str  # the kind of its fence
    name: str  # what the user calls it
    reason: str  # why it is here, or why it has no text
    must: bool = False  # true when it is shown even when the budget is over
    texts: Text = ()  # write it, the fullest form first; each counts what it replaced itself


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
    failed: str
    seconds: float
    clock: Callable[[], float] = time.monotonic
    fences: Fences = field(default_factory=lambda: Fences(_EACH))

    def context(self) -> Context:
        """Find, rank, describe, fit."""
        Detail(self.level)  # refuses an unknown level also when there is nothing to describe
        pieces: list[Piece] = []
        left, full = self.budget - self._reserved, False
        for offer in self._offers(self.clock() + self.seconds):
            may_share = offer.kind in {"object", "r"} and bool(pieces)
            piece = self._best(offer, 0 if full else left, fenced=may_share and pieces[-1].is_line)
            left -= piece.tokens
            # Once the shortest form of something does not fit, nothing more is read: that would only cost time.
            full = full or bool(offer.texts and not piece.text)
            pieces.append(piece)
        pieces += self._closing(pieces, left)
        redactions = sum((piece.redactions for piece in pieces), Counter[str]())
        suppressed = frozenset() if self.level == "sample" else self._values.names
        late = [piece.name for piece in pieces if piece.reason == _LATE]
        late += [redact(one_line(each.name))[0] for each in self._candidates if self._r.objects and is_late(each.obj)]
        failed = (
            f"{redact(one_line(name))[0]} could not be read and was left out: {reason}."
            for name, reason in sorted(self.fences.failed.items())
        )
        notes = (*self._r.notes, *failed, *([f"no time was left to read {_listed(late, 3)}"] if late else []))
        return Context(tuple(pieces), redactions, notes, self.budget, suppressed)

    def _best(self, offer: _Offer, left: int, *, fenced: bool) -> Piece:
        """The longest of an offer's texts that fits; the shortest all the same when it must be shown."""
        tried = offer.texts if left > 0 else offer.texts[-1:] if offer.must else ()
        for place, write in enumerate(tried, start=1):
            piece = _piece(offer, write, fenced=fenced)
            if piece.tokens <= left or (offer.must and place == len(tried)):
                return piece
        return Piece(offer.kind, redact(offer.name)[0], reason="over the budget" if offer.texts else offer.reason)

    def _closing(self, pieces: Sequence[Piece], left: int) -> list[Piece]:
        """What is said at the end: how frames join, and in what session all this is."""
        python = tuple(partial(self._session, pieces, most) for most in (12, 4, 1))
        closing = [
            _Offer("session", "R", "the session", texts=(lambda _: self._r.session,)),
            _Offer("session", "python", "the session", texts=python),
        ]
        frames = {piece.name: piece.text for piece in pieces if piece.text and piece.kind in {"frame", "r"}}
        if len(frames) > 1:
            closing.append(_Offer("session", "joins", "shared keys", texts=(partial(self._joins, frames),)))
        left = max(left, 0) + self._reserved
        shown = []
        for offer in closing:
            piece = self._best(offer, left, fenced=False)
            left -= piece.tokens
            shown += [piece] if piece.text else []
        return shown

    @property
    def _reserved(self) -> int:
        """Tokens kept for what is said at the end."""
        return min(_SESSION * (2 if self._r.session else 1), self.budget // 4)

    # What there is

    @cached_property
    def _cells(self) -> tuple[Cell, ...]:
        cells = [cell for cell in as_cells(self.cells) if cell.source != self.failed]
        return tuple([*cells, *self._failed][-5:])

    @cached_property
    def _failed(self) -> list[Cell]:
        return [cell for cell in as_cells([self.failed]) if self.error is not None]

    @cached_property
    def _ranking(self) -> Ranking:
        return Ranking(self.question, self.names, self._cells, self.recent, self.fences)

    @cached_property
    def _r(self) -> RSide:
        """R's part, empty when there is no R to ask."""
        return RSide.of(self.question, self.error, wanted=self.r)

    @cached_property
    def _candidates(self) -> list[Candidate]:
        """Objects in the order of their rank, those of R looked at."""
        ranked = self._ranking.ranked(self.namespace, self._r.objects)
        if not self._r.objects:
            return ranked
        rows = 5 if self.level == "sample" else 0
        return self._r.looked_at(ranked, self.fences, values=self.level != "names", rows=rows)

    def _offers(self, end: float) -> Iterator[_Offer]:
        """What could be told: first what the question is about, then the rest. Texts are made when they are reached."""
        if self.error is not None:
            text = error_text(self._r.error_text(self._known) or self.error, known=self._known)
            yield _Offer("error", "", "the last error", must=True, texts=(lambda _: text,))
        for cell in self._failed:
            yield _Offer(FAILED, "", "the last error", must=True, texts=(partial(self._failed_cell, cell),))
        mentioned = self._mentioned()
        tables = self._mentioned_tables()
        needed = sum(must for _, must in [*mentioned, *tables])
        share = self.budget // max(needed, 1) - _FENCE
        # A wide frame that the question is about has half of the budget, so that few of its columns go without figures.
        wide = max(self.per_object, self.budget // (2 * max(needed, 1)))
        for each, must in mentioned:
            yield self._object(each, min(wide if each.named else self.per_object, share), must, end)
        yield from (self._table(table) for table in tables)
        for name, page in self._r.pages:
            yield _Offer("help", name, "named in the question", texts=(partial(self._page, page),))
        for each in self._candidates:
            if each.rank > Rank.MENTIONED:
                yield self._object(each, _BRIEF if mentioned else self.per_object, must=False, end=end)
        yield from self._other_tables(tables)
        for cell in [each for each in self._cells if each not in self._failed][-_CELLS:]:
            yield _Offer("cell", cell.name, "recent cell", texts=(partial(self._cell, cell),))

    # Objects

    def _mentioned(self) -> list[tuple[Candidate, bool]]:
        """What the question points to, each with whether it must be shown, those first."""
        # What is named must be shown, and so must the first object of each column that is asked about: sixty frames may
        # have an `amount`.
        pointed = [each for each in self._candidates if each.rank <= Rank.MENTIONED]
        covered: set[str] = set().union(*(each.columns for each in pointed if each.named))
        found = []
        for each in pointed:
            found.append((each, each.named or not each.columns <= covered))
            covered |= each.columns
        return sorted(found, key=lambda pair: not pair[1])

    def _object(self, each: Candidate, tokens: int, must: bool, end: float) -> _Offer:
        if each.source is None:
            return _Offer("object", each.name, "it could not be looked at")
        offer = _Offer(each.source.kind, each.name, REASONS[each.rank], must)
        if each.is_secret:
            return replace(offer, must=False, reason="its name says that it is a secret; not read")
        if self.clock() > end:
            return replace(offer, must=False, reason=_LATE)
        budgets = [tokens, _BRIEF] if tokens > _BRIEF else [_BRIEF]
        return replace(offer, texts=tuple(partial(self._described, each, must, budget) for budget in budgets))

    def _described(self, each: Candidate, must: bool, budget: int, noted: Noted) -> str:
        stated: list[Frame] = []
        source, values = each.source or source_of(each.obj), self._values
        rows = _ROWS if must else _ROWS // 5  # what nothing points to is shown in a line, and looked at more briefly
        detail = Detail(self.level, budget, each.columns, rows, dictionary=self.dictionary, brief=budget == _BRIEF)
        reader = values.readers.get(each.name)
        detail = replace(detail, values=values, reader=reader, redacted=noted.redacted, stated=stated)
        text = self.fences.ask(each.name, lambda: str(source.describe(each.obj, each.name, detail)), "")
        text = text or unread(each.obj, each.name, self.fences.failed.get(each.name, "it says nothing"))
        noted.values = stated[-1] if stated else None
        return _cut(each.source, text, detail)

    def _page(self, page: str, _noted: Noted) -> str:
        return cut(page, self.per_object)

    def _cell(self, cell: Cell, noted: Noted, known: AbstractSet[str] = frozenset()) -> str:
        source, error = clean(cell.source, noted.redacted), clean(cell.error, noted.redacted)
        return replace(cell, source=source, error=error).text(
            self._known if self._known is None else self._known | known
        )

    def _failed_cell(self, cell: Cell, noted: Noted) -> str:
        error = self.error
        return self._cell(cell, noted, asked_of(error) if isinstance(error, BaseException) else set())

    @cached_property
    def _values(self) -> SessionValues:
        """Which names of columns are values, found out at once: that is no object's time."""
        values = session_values(self._candidates, self.level, held if self._r.session else None, self.fences)
        _ = values.names
        return values

    @cached_property
    def _known(self) -> frozenset[str] | None:
        """Names that code may be shown with: of objects, columns and tables. None when the level allows data."""
        return None if self.level == "sample" else session_names(self._candidates, self._values, self.catalog)

    # Tables of the connection

    def _mentioned_tables(self) -> list[tuple[Table, bool]]:
        """Tables that the question mentions, each with whether nothing before it has its mentioned columns."""
        if self.catalog is None:
            return []
        found, shown = [], {column for each in self._candidates for column in each.columns}
        for table in self.catalog:
            named = any(self._ranking.asked.mentions(name) for name in {table.full_name, table.name})
            columns = set(self._ranking.asked.mentioned(column.name for column in table.columns))
            if named or columns:
                found.append((table, named or not columns <= shown))
                shown |= columns
        return found

    def _table(self, table: tuple[Table, bool]) -> _Offer:
        texts = (partial(self._ddl, table[0], self.level), partial(self._ddl, table[0], "names"))
        return _Offer("schema", table[0].full_name, REASONS[Rank.MENTIONED], must=table[1], texts=texts)

    def _other_tables(self, shown: Sequence[tuple[Table, bool]]) -> Iterator[_Offer]:
        """The names of the tables that were not mentioned."""
        mentioned = {table.full_name for table, _ in shown}
        others = [table.full_name for table in self.catalog or () if table.full_name not in mentioned]
        if others and self.catalog:
            text = f"tables ({self.catalog.dialect}): {_listed(others, 100)}"
            yield _Offer("schema", self.catalog.dialect, "the connection", texts=(lambda _: text,))

    def _ddl(self, table: Table, level: Privacy, noted: Noted) -> str:
        from rsql_magic.sql import as_stated_in_ddl, ddl

        described = any(column.meaning for column in table.columns)  # a catalog's tables may be already
        written = self.dictionary.describe(table) if self.dictionary and not described else table
        noted.values = as_stated_in_ddl(written, level)
        return ddl(written, level, self.catalog.dialect if self.catalog else "")

    # The end

    def _joins(self, shown: Mapping[str, str], noted: Noted) -> str:
        """How the frames whose texts are shown can be joined."""
        described = [each for each in self._candidates if each.name in shown]
        columns = {each.name: sorted(speakable_columns(each, self._values)) for each in described}
        hints = join_hints(columns, {name: unique_columns(text) for name, text in shown.items()})
        noted.values = tuple(hints)
        return "shared keys: " + "; ".join(map(str, hints)) if hints else ""

    def _session(self, pieces: Sequence[Piece], most: int, _noted: Noted) -> str:
        """Python's version, the packages that the user imported, and what else there is."""
        modules = [(name, obj) for name, obj in self.namespace.items() if issubclass(type(obj), types.ModuleType)]
        imported = [_module(name, module) for name, module in sorted(modules) if not name.startswith("_")]
        others = [piece.name for piece in pieces if not piece.text and piece.kind != "cell"]
        parts = [
            f"Python {platform.python_version()}",
            f"imported {_listed(imported, most)}" if imported else "",
            f"not described: {_listed(others, most)}" if others else "",
        ]
        return "; ".join(part for part in parts if part)


def _piece(offer: _Offer, write: Callable[[Noted], str], *, fenced: bool = False) -> Piece:
    """A piece with its text filtered, and its price; a line that follows a line has its fence already."""
    noted = Noted()
    text, in_text = redact(write(noted))
    name, in_name = redact(offer.name)
    found = noted.redacted + in_text + in_name
    piece = Piece(offer.kind, name, text, reason=offer.reason, redactions=found, values=noted.values)
    price = text if fenced and piece.is_line else fence(offer.kind, name, text)
    return replace(piece, tokens=count_tokens(price) + 1)


def _listed(names: Sequence[str], most: int) -> str:
    more = f", … (+{len(names) - most:,})" if len(names) > most else ""
    return ", ".join(one_line(name, 40) for name in names[:most]) + more


def _module(name: str, module: types.ModuleType) -> str:
    version = vars(module).get("__version__")
    full = module.__name__ + (f" {version}" if isinstance(version, str) else "")
    return full if name == module.__name__ else f"{full} as {name}"


def describe(
    obj: Any,
    name: str,
    level: Privacy = "stats",
    *,
    budget: int = 300,
    columns: Iterable[str] = (),
    dictionary: Dictionary | None = None,
    namespace: Mapping[str, Any] | None = None,
    seconds: float = 2.0,
) -> str:
    """Describe any object in a few lines, as a model reads it.

    Args:
        obj: A frame, series, array, model, function or anything else. It is not copied, collected or changed.
        name: What the user calls it.
        level: The privacy level: ``names`` gives names and types, ``stats`` adds ranges and frequent categories,
            ``sample`` adds five rows.
        budget: Tokens for the whole text.
        columns: Columns that must be in the text.
        dictionary: Descriptions, units and keys that people wrote down.
        namespace: The session that it belongs to, by whose data a column's name is known to be a value.
        seconds: How long the object may take to be read.

    Returns:
        Text without secrets and personal identifiers. An object that cannot be read is described by its class.

    Example:
        >>> describe(list(range(1, 21)), "scores")
        'scores: list of 20 int: 1..20'
    """
    ranking = Ranking("")
    values = None if namespace is None else session_values(ranking.ranked(namespace), level, fences=ranking.fences)
    detail = Detail(level=level, budget=budget, columns=frozenset(columns), dictionary=dictionary, values=values)
    return redact(read_object(obj, name, detail, seconds))[0]


def gather(
    question: str,
    namespace: Mapping[str, Any],
    *,
    names: Sequence[str] = (),
    level: Privacy = "stats",
    budget: int = 1500,
    per_object: int = 300,
    catalog: Catalog | None = None,
    cells: Iterable[Any] = (),
    error: BaseException | str | None = None,
    r: bool = True,
    recent: Sequence[str] = (),
    dictionary: Dictionary | None = None,
    failed: str = "",
    seconds: float = 10.0,
) -> Context:
    """Choose what to tell the model about the session, within a budget.

    First what was asked for by name, then what the question mentions by whole word (an object, or one of its columns),
    then what recent cells use, then what was assigned recently, then the rest in alphabetical order. When the question
    mentions something, the rest comes in one line each.

    Args:
        question: The user's words; empty to rank without one.
        namespace: The user's variables by name.
        names: Objects that were asked for (``--with``), first of all.
        level: The privacy level.
        budget: Tokens for everything.
        per_object: Tokens for one object; those that are named may have half of ``budget`` together where that is more.
        catalog: Tables of the current connection.
        cells: Recent cells, oldest first, in any form that `as_cells` takes.
        error: The last error, as an exception or as text.
        r: Whether to look at R, when an R session runs in this process; without, no object that rpy2 holds is read
            either, which only the main thread may.
        recent: Names that were assigned recently, newest first, where the caller knows better than ``cells``.
        dictionary: Descriptions, units and keys that people wrote down.
        failed: The cell of the error, a piece of its own kind (`FAILED`); it counts as the last one.
        seconds: How long everything may take, many times what it needs; what is too slow is left out, and that is said.

    Raises:
        UnknownName: ``names`` holds a name that nothing has.
    """
    return Gathering(
        question=question,
        namespace=namespace if r else {name: value for name, value in namespace.items() if not is_rs(value)},
        names=tuple(names),
        level=level,
        budget=budget,
        per_object=per_object,
        catalog=catalog,
        cells=tuple(cells),
        error=error,
        r=r,
        recent=tuple(recent),
        dictionary=dictionary,
        failed=failed,
        seconds=seconds,
    ).context()
