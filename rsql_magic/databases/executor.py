"""An engine that is asked in one thread and works in another: SQLite's connections know only the one that made them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rsql_magic.databases.engines import Engine

MainThreadExecutor = Callable[[Callable[[], Any]], Any]
"""Runs work in the main thread, waits for it, and returns its result."""


class _Executed:
    """An engine whose every attribute is read, and every call made, by an executor."""

    def __init__(self, engine: Engine, executor: MainThreadExecutor) -> None:
        self._engine = engine
        self._executor = executor

    def __getattr__(self, name: str) -> Any:
        found = self._executor(lambda: getattr(self._engine, name))
        if not callable(found):
            return found
        return lambda *args, **options: self._executor(lambda: found(*args, **options))


def executed_by(engine: Engine, executor: MainThreadExecutor) -> Engine:
    """An engine whose calls an executor makes.

    Args:
        engine: An engine.
        executor: Makes each call.

    Example:
        >>> from rsql_magic.databases.engines import open_engine
        >>> import pandas as pd
        >>> calls = []
        >>> there = executed_by(open_engine({"t": pd.DataFrame({"a": [1, 2]})}), lambda work: calls.append(1) or work())
        >>> there.run("SELECT sum(a) AS s FROM t").df["s"].tolist(), bool(calls)
        ([3], True)
    """
    return cast("Engine", _Executed(engine, executor))
