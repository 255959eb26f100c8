"""An engine that is asked in one thread and works in another: SQLite's connections know only the one that made them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rsql_magic.databases.engines.base import Engine

Place = Callable[[Callable[[], Any]], Any]
"""Carries out work somewhere, waits for it, and gives back what it gave."""


class _Elsewhere:
    """Stands for an engine; whatever is asked of it is asked there."""

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine = engine
        self._place = place

    def __getattr__(self, name: str) -> Any:
        found = self._place(lambda: getattr(self._engine, name))
        if not callable(found):
            return found
        return lambda *args, **options: self._place(lambda: found(*args, **options))


def elsewhere(engine: Engine, place: Place) -> Engine:
    """The engine, with each of its calls carried out at a place.

    Args:
        engine: An engine.
        place: Carries out a call.

    Example:
        >>> from rsql_magic.databases.engines import open_engine
        >>> import pandas as pd
        >>> calls = []
        >>> there = elsewhere(open_engine({"t": pd.DataFrame({"a": [1, 2]})}), lambda work: calls.append(1) or work())
        >>> there.run("SELECT sum(a) AS s FROM t").df["s"].tolist(), bool(calls)
        ([3], True)
    """
    return cast("Engine", _Elsewhere(engine, place))
