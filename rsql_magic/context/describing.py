"""What the model is told: gathered from frames, R, databases and cells, ranked, and fitted to a budget."""

# `describe` writes what is known of one object; `gather` chooses among everything in the session. Both write only what
# the privacy level allows, and run the same filter (`redact`) over every text before it is handed out.

from __future__ import annotations

import sys
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rsql_magic.context.reader import place_of
from rsql_magic.context.sources import Detail, Fences
from rsql_magic.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rsql_magic.context.gathered import Context
    from rsql_magic.databases import Dictionary
    from rsql_magic.sql import Catalog, Privacy

# Classes that code on a frame comes by, in the packages whose frames are known.
_RELATED = {
    "pandas": ("DataFrame", "Series", "Index", "core.groupby.DataFrameGroupBy", "core.groupby.SeriesGroupBy"),
    "polars": ("DataFrame", "LazyFrame", "Series"),
}


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
    from rsql_magic.context.gathering import read_object
    from rsql_magic.context.ranking import Ranking, session_values

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
        per_object: Tokens for one object.
        catalog: Tables of the current connection.
        cells: Recent cells, oldest first, in any form that `cells.as_cells` takes.
        error: The last error, as an exception or as text.
        r: Whether to look at R, when an R session runs in this process; without, no object that rpy2 holds is read
            either, which only the main thread may.
        recent: Names that were assigned recently, newest first, where the caller knows better than ``cells``.
        dictionary: Descriptions, units and keys that people wrote down.
        seconds: How long everything may take, many times what it needs; what is too slow is left out, and that is said.

    Returns:
        A `Context`: its ``text`` is what to send.

    Raises:
        UnknownName: ``names`` holds a name that nothing has.
    """
    from rsql_magic.context.gathering import Gathering
    from rsql_magic.context.rside import is_rs

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
        seconds=seconds,
    ).context()


def known_names(namespace: Mapping[str, Any], catalog: Catalog | None = None) -> frozenset[str]:
    """The names of a session: of objects, of their columns, and of tables. Code may be shown with these in quotes.

    Args:
        namespace: The user's variables by name.
        catalog: Tables of the current connection.

    Example:
        >>> known_names({"x": 1})
        frozenset({'x'})
    """
    from rsql_magic.context.ranking import Ranking, session_values, speakable_columns

    ranking = Ranking("")
    candidates = ranking.ranked(namespace)
    values = session_values(candidates, fences=ranking.fences)
    columns = (column for each in candidates for column in speakable_columns(each, values))
    tables = (name for table in catalog or () for name in (table.name, *(column.name for column in table.columns)))
    return frozenset([*(each.name for each in candidates), *columns, *tables])


def frame_columns(namespace: Mapping[str, Any]) -> dict[str, list[str]]:
    """The columns of each pandas and polars frame of a session, those that can be typed, and the names of its index.

    Args:
        namespace: The user's variables by name.

    Example:
        >>> frame_columns({"x": 1})
        {}
    """
    from rsql_magic.context.ranking import Ranking

    ranking = Ranking("")
    candidates = ranking.ranked({name: obj for name, obj in namespace.items() if _is_frame(obj)})
    return {each.name: [*each.names, *each.reader.index] for each in candidates if each.reader is not None}


def polars_frames(namespace: Mapping[str, Any]) -> frozenset[str]:
    """The names of a session's polars frames.

    Args:
        namespace: The user's variables by name.

    Example:
        >>> polars_frames({"x": 1})
        frozenset()
    """
    return frozenset(name for name, obj in namespace.items() if _is_frame(obj) and _package(obj) == "polars")


def frame_attributes(namespace: Mapping[str, Any]) -> frozenset[str]:
    """What the pandas and polars frames of a session, their groups and their columns answer to, beside columns.

    Args:
        namespace: The user's variables by name.

    Example:
        >>> frame_attributes({"x": 1})
        frozenset()
    """
    fences = Fences()
    frames = {name: obj for name, obj in namespace.items() if _is_frame(obj)}
    packages = {_package(obj) for obj in frames.values()} & _RELATED.keys()
    # What a frame answers to, with what it has besides its class, as subclasses of pandas' frame do.
    own = (fences.ask(name, partial(_attributes, obj), set[str]()) for name, obj in frames.items())
    related = (attrgetter(name)(sys.modules[package]) for package in packages for name in _RELATED[package])
    return frozenset[str]().union(*own, *map(dir, related))


def _attributes(frame: Any) -> set[str]:
    return {*dir(type(frame)), *(vars(frame) if hasattr(type(frame), "_metadata") else ())}


def _package(obj: Any) -> str:
    return place_of(type(obj))[0]


def _is_frame(obj: Any) -> bool:
    return type.__getattribute__(type(obj), "__name__") in {"DataFrame", "LazyFrame", "GeoDataFrame"}
