"""Which objects matter to a question, most important first; and recent cells, which say what is in use."""

# Asked for by name, then mentioned by whole word (the object or one of its columns), then used in recent cells, then
# assigned recently, then the rest in alphabetical order.
#
# Nothing here asks IPython: the caller passes the history in. A cell is its number and source; names used and names
# assigned are read off the source, so that what the user works with now ranks before what was loaded this morning.

from __future__ import annotations

import ast
import re
import sys
import types
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rsql_magic.context.last_error import middle_out
from rsql_magic.context.question_text import Mentions
from rsql_magic.context.reader import place_of, read
from rsql_magic.context.sources import Fences, Look, Source
from rsql_magic.context.value_names import SessionValues
from rsql_magic.errors import UnknownName
from rsql_magic.redaction import message_without_data, says_secret, without_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from rsql_magic.context.reader import Reader
    from rsql_magic.context.value_names import Elsewhere
    from rsql_magic.sql import Catalog, Privacy

_IPYTHON = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open", "display"})
_CODE = (types.FunctionType, types.BuiltinFunctionType, type)
_WORD = re.compile(r"[^\W\d]\w*|\.\w+")
_R_ASSIGNMENT = re.compile(r"(?m)^\s*([A-Za-z.][\w.]*)\s*(?:<-|<<-|=(?!=))|->\s*([A-Za-z.][\w.]*)\s*$")
_OURS = ("%%ask", "%ask", "%%sql_ai", "%sql_ai", "%rsql")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell that was run."""

    source: str  # what was typed
    number: int = 0  # the number in `In [number]`, 0 when unknown
    error: str = ""  # What it raised, as text, empty when it succeeded.

    @property
    def name(self) -> str:
        """How the user would call it: ``In[3]``."""
        return f"In[{self.number}]" if self.number else "cell"

    def words(self) -> set[str]:
        """All names and words in the source."""
        return set(_WORD.findall(self.source))

    def assigned(self) -> list[str]:
        """Names that the cell gives a value to, in order; of Python and R code."""
        try:
            tree = ast.parse(self.source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # a magic, R, or not finished
            return [left or right for left, right in _R_ASSIGNMENT.findall(self.source)]
        stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        return [node.id for node in sorted(stored, key=lambda node: (node.lineno, node.col_offset))]

    def text(self, known: AbstractSet[str] | None = None) -> str:
        """The source, cut in the middle where it is long, and the error after it, in quotes only ``known`` texts."""
        source, error = self.source.strip(), self.error.strip()
        if known is not None:
            source, error = without_data(source, known), message_without_data(error, known)
        return "\n".join(part for part in (middle_out(source), error) if part)


def as_cells(history: Iterable[Any]) -> list[Cell]:
    r"""Cells of any of IPython's history structures, oldest first, without empty ones and our own.

    The history is `Cell` values, sources as in ``In``, ``(number, source)`` pairs, or the ``(session, number, source)``
    triples of ``HistoryManager.get_range``.

    Example:
        >>> as_cells(["", "x = 1", "%%ask\nwhy?"])
        [Cell(source='x = 1', number=1, error='')]
    """
    cells = (_as_cell(place, item) for place, item in enumerate(history))
    # The conversation holds questions of ours already.
    return [cell for cell in cells if cell.source.strip() and not cell.source.lstrip().startswith(_OURS)]


def _as_cell(place: int, item: Any) -> Cell:
    if isinstance(item, Cell):
        return item
    if isinstance(item, str):
        return Cell(as_typed(item), place)
    *_, number, source = item
    return Cell(as_typed(source[0] if isinstance(source, tuple) else source), number)


def as_typed(source: str) -> str:
    """A cell as it was typed: ``In`` holds ``get_ipython().run_cell_magic("R", "", "x <- 1")`` for ``%%R``.

    Example:
        >>> as_typed("get_ipython().run_line_magic('load_ext', 'rpy2.ipython')")
        '%load_ext rpy2.ipython'
    """
    if "get_ipython()." not in source:
        return source
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _magic_of(node)]
    lines = source.splitlines(keepends=True)
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset), reverse=True):
        start = _offset(lines, call.lineno, call.col_offset)
        end = _offset(lines, call.end_lineno or call.lineno, call.end_col_offset or 0)
        source = source[:start] + _magic_of(call) + source[end:]
    return source


def _magic_of(call: ast.Call) -> str:
    """The magic that a call of IPython's stands for; empty for any other call."""
    if not (isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "get_ipython()"):
        return ""
    words = [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
    if call.func.attr == "run_cell_magic" and len(words) == 3:
        return f"%%{words[0]} {words[1]}".rstrip() + f"\n{words[2]}"
    if call.func.attr == "run_line_magic" and len(words) == 2:
        return f"%{words[0]} {words[1]}".rstrip()
    return f"!{words[0]}" if call.func.attr in {"system", "getoutput"} and words else ""


def _offset(lines: list[str], line: int, column: int) -> int:
    """The place in the text of a place in its lines; Python counts columns in bytes of UTF-8."""
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())


def recently(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """Names used, and names assigned, in these cells, those of the newest cell first."""
    used: dict[str, None] = {}
    assigned: dict[str, None] = {}
    for cell in reversed(cells):
        used.update(dict.fromkeys(sorted(cell.words() - used.keys())))
        assigned.update(dict.fromkeys(reversed(cell.assigned())))
    return list(used), list(assigned)


class Rank(IntEnum):
    """Why an object is described, the best reason first."""

    ASKED = 0
    MENTIONED = 1
    USED = 2
    ASSIGNED = 3
    REST = 4


# The same in words.
REASONS = ("asked for", "mentioned", "used in recent cells", "assigned recently", "in the session")


@dataclass(frozen=True)
class Candidate:
    """An object that may be described."""

    name: str  # what the user calls it
    obj: Any  # the object
    source: Source | None  # who describes it; None when it could not even be looked at
    rank: Rank  # why it is described
    named: bool = False  # whether it was asked for or the question says its name
    columns: frozenset[str] = frozenset()  # its columns that the question mentions
    place: int = 0  # its place among those of the same rank
    reader: Reader | None = None  # what reads it; None where nothing does, it fails, or it is a secret
    names: Sequence[str] = ()  # all of its columns that can be typed
    is_secret: bool = False  # whether its name says that it must not be read

    def holding(self, obj: Any, fences: Fences) -> Candidate:
        """The same with another object."""
        look = Look(self.source)
        fences.ask(self.name, lambda: look.at(obj), None)
        return replace(self, obj=obj, reader=look.reader)


@dataclass(frozen=True)
class Ranking:
    """What decides the order."""

    question: str  # the user's words
    names: tuple[str, ...] = ()  # objects that were asked for, in order
    cells: tuple[Cell, ...] = ()  # recent cells, oldest first
    recent: tuple[str, ...] = ()  # names assigned recently, newest first, known from elsewhere
    fences: Fences = field(default_factory=Fences)  # keep an object that fails from spoiling the rest

    @cached_property
    def asked(self) -> Mentions:
        """The question, ready to be searched."""
        return Mentions(self.question)

    @cached_property
    def _used_and_assigned(self) -> tuple[frozenset[str], dict[str, int]]:
        used, assigned = recently(self.cells) if self.cells else ([], [])
        return frozenset(used), {name: n for n, name in enumerate(dict.fromkeys((*self.recent, *assigned)))}

    def ranked(self, namespace: Mapping[str, Any], others: Iterable[tuple[str, Any]] = ()) -> list[Candidate]:
        """The objects of a namespace and those of other places such as R, in the order of their importance."""
        found = [*dict(namespace).items(), *others]
        known = {name for name, _ in found}
        for name in self.names:
            if name not in known:
                raise UnknownName(f"There is no object named {name!r}.", hint="Check the spelling, or run its cell.")
        candidates = [self._look(name, obj) for name, obj in found if self._is_users(name, obj)]
        every = {name for each in candidates for name in (each.name, *each.names)}
        mentioned = frozenset(self.asked.mentioned(every) if self.question else ())
        placed = [self._placed(each, mentioned) for each in candidates]
        return sorted(placed, key=lambda candidate: (candidate.rank, candidate.place, candidate.name))

    def _look(self, name: str, obj: Any) -> Candidate:
        """An object with what describes and reads it, once, whatever is asked later: a frame is slow to read."""
        look, is_secret = Look(), says_secret(name)
        self.fences.ask(name, lambda: look.at(obj, is_secret=is_secret), None)
        return Candidate(name, obj, look.source, Rank.REST, reader=look.reader, names=look.names, is_secret=is_secret)

    def _placed(self, each: Candidate, mentioned: frozenset[str]) -> Candidate:
        """A candidate with its rank."""
        name, columns = each.name, mentioned.intersection(each.names)
        named = name in self.names or name in mentioned
        used, assigned = self._used_and_assigned
        rank, place = Rank.REST, 0
        if name in self.names:
            rank, place = Rank.ASKED, self.names.index(name)
        elif named or columns:
            rank, place = Rank.MENTIONED, 0 if named else 1
        elif name in used:
            rank, place = Rank.USED, assigned.get(name, len(assigned))
        elif name in assigned:
            rank, place = Rank.ASSIGNED, assigned[name]
        return replace(each, rank=rank, named=named, columns=columns, place=place)

    def _is_users(self, name: str, obj: Any) -> bool:
        """Whether the user made the object: no module, nothing of IPython's, no function of a package."""
        if name in self.names:
            return True
        if name.startswith("_") or name in _IPYTHON or issubclass(type(obj), types.ModuleType):
            return False
        return not issubclass(type(obj), _CODE) or not _is_installed(obj) or self.asked.mentions(name)


def speakable_columns(candidate: Candidate, values: SessionValues) -> set[str]:
    """An object's columns but those that are values, as in a pivot table: code may be shown with these names only."""
    suppressed, reader = getattr(candidate.source, "suppressed", None), values.readers.get(candidate.name)
    named = candidate.names if not suppressed else reader.names if reader else ()
    names = {name for name in named if isinstance(name, str)} - (values.names - candidate.columns)
    if not suppressed or not reader or not names:
        return names
    # Unless all columns are said to be values, `values` knows those that are.
    if not reader.named_by and names.isdisjoint(values.names) and candidate.name not in values.fences.failed:
        return names
    return names - values.fences.ask(candidate.name, lambda: set(suppressed(reader)), names)


def session_values(
    candidates: Iterable[Candidate],
    level: Privacy = "stats",
    elsewhere: Elsewhere | None = None,
    fences: Fences | None = None,
) -> SessionValues:
    """Which names of columns are values, among what can be read of the candidates, and ``elsewhere``, as in R."""
    readers = {each.name: each.reader for each in candidates if each.reader is not None}
    return SessionValues(readers, no_values=level == "names", elsewhere=elsewhere, fences=fences or Fences())


def session_names(
    candidates: Sequence[Candidate], values: SessionValues, catalog: Catalog | None = None
) -> frozenset[str]:
    """The names that code may be shown with: of the candidates, of their columns, and of tables and theirs."""
    columns = (column for each in candidates for column in speakable_columns(each, values))
    tables = (name for table in catalog or () for name in (table.name, *(column.name for column in table.columns)))
    return frozenset([*(each.name for each in candidates), *columns, *tables])


def _is_installed(code: Any) -> bool:
    """Whether a function or class comes from an installed package, ours too, and not from the notebook."""
    package = place_of(code)[0] if issubclass(type(code), type) else str(getattr(code, "__module__", "")).split(".")[0]
    if package == __name__.split(".")[0]:
        return True
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return package in sys.stdlib_module_names - {"__main__"} or "site-packages" in file or "dist-packages" in file


_FRAMES = {"DataFrame", "LazyFrame", "GeoDataFrame"}
_RELATED = {
    "pandas": ("DataFrame", "Series", "Index", "core.groupby.DataFrameGroupBy", "core.groupby.SeriesGroupBy"),
    "polars": ("DataFrame", "LazyFrame", "Series"),
}


def known_names(namespace: Mapping[str, Any], catalog: Catalog | None = None) -> frozenset[str]:
    """The names of a session: of objects, of their columns, and of tables. Code may be shown with these in quotes.

    Example:
        >>> known_names({"x": 1})
        frozenset({'x'})
    """
    ranking = Ranking("")
    candidates = ranking.ranked(namespace)
    return session_names(candidates, session_values(candidates, fences=ranking.fences), catalog)


@dataclass(frozen=True)
class PythonFrames:
    """The pandas and polars frames of a session, as code asks them."""

    columns: Mapping[str, Sequence[str]]  # of each: those that can be typed, and the names of its index
    attributes: frozenset[str] = frozenset()  # what frames, their groups and columns answer to, beside columns
    polars: frozenset[str] = frozenset()  # which of them are polars'


def python_frames(namespace: Mapping[str, Any]) -> PythonFrames:
    """The pandas and polars frames of a session; those that are private or fail have no columns here.

    Example:
        >>> python_frames({"x": 1}).columns
        {}
    """
    fences = Fences()
    named = {name: obj for name, obj in namespace.items() if place_of(type(obj))[1] in _FRAMES}
    frames = {n: obj for n, obj in named.items() if not (n.startswith("_") or n in _IPYTHON or says_secret(n))}
    packages = {name: place_of(type(obj))[0] for name, obj in frames.items()}
    related = [attrgetter(name)(sys.modules[p]) for p in set(packages.values()) for name in _RELATED.get(p, ())]
    asked = {name: fences.ask(name, partial(_answers, obj), None) for name, obj in frames.items()}
    known = {name: answers for name, answers in asked.items() if answers is not None}
    return PythonFrames(
        {name: columns for name, (columns, _) in known.items()},
        frozenset[str]().union(*map(dir, related), *(attributes for _, attributes in known.values())),
        frozenset(name for name, package in packages.items() if package == "polars"),
    )


def _answers(frame: Any) -> tuple[list[str], set[str]]:
    """A frame's columns, and its attributes: those of its class and, in subclasses of pandas' frame, its own."""
    reader = read(frame)
    columns = [*(column for column in reader.names if isinstance(column, str)), *reader.index]
    return columns, {*dir(type(frame)), *(vars(frame) if hasattr(type(frame), "_metadata") else ())}
