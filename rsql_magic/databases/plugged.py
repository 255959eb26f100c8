"""Database classes of other distributions (``rsql.databases``): for URLs and connections that have none of ours."""

# Whatever such a class is handed to run, `Engine` has put through the guard before, in the dialect that it declares.

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from rsql_magic.context import place_of
from rsql_magic.databases.base import Database
from rsql_magic.errors import ConnectionProblem, RsqlError
from rsql_magic.plugins import PlugIn, PlugInFailed, Unfit, ask, leave_out, plugged
from rsql_magic.sql import Unreadable, canonical, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

GROUP = "rsql.databases"
OURS = frozenset({"bigquery", "duckdb", "mariadb", "mysql", "postgres", "postgresql", "sc", "sqlite", "trino"})
"""Schemes of URLs, and names of SQLAlchemy's dialects, that have a class of ours."""

_SCHEME = re.compile(r"[a-z][a-z0-9_]{0,29}")
_TYPE = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")
_PACKAGES = names("builtins duckdb _duckdb pandas polars pyarrow pyspark sqlalchemy sqlite3")


@dataclass(frozen=True)
class PluggedDatabase:
    """A database class of a plug-in."""

    plug: PlugIn
    kind: type[Database]

    @property
    def uses_engine(self) -> bool:
        """Whether it is made from SQLAlchemy's engine."""
        from rsql_magic.databases.sqlalchemy import SQLAlchemy

        return issubclass(self.kind, SQLAlchemy)

    def opened(self, target: Any, **options: Any) -> Database:
        """The database behind a URL or connection, or with options that of a SQLAlchemy engine.

        Raises:
            ConnectionProblem: The plug-in has failed, or opens something that cannot be guarded.
        """
        try:
            return ask(self.plug, lambda: self._checked(target, options), passes=(RsqlError,))
        except PlugInFailed:
            hint = "%rsql doctor says why. Update or uninstall its package."
            raise ConnectionProblem(f"This database cannot be opened: {self.plug} failed.", hint=hint) from None

    def _checked(self, target: Any, options: Mapping[str, Any]) -> Database:
        make: Callable[..., Any] = self.kind if options else self.kind.opened
        database = make(target, **options)
        if not isinstance(database, Database):
            raise Unfit("its 'opened' gives no database")
        _check_dialect(database.dialect)
        return database


@cache
def plugged_databases() -> tuple[PluggedDatabase, ...]:
    """The database classes of plug-ins."""
    found: list[PluggedDatabase] = []
    for one in plugged(GROUP, _read).values():
        taken = {*one.kind.schemes, *one.kind.connection_types}
        if shared := sorted(taken & {name for other in found for name in _names(other)}):
            leave_out(one.plug, Unfit(f"another plug-in opens {shared[0]}"))
        else:
            found.append(one)
    return tuple(found)


def by_scheme(scheme: str) -> PluggedDatabase | None:
    """The class for a URL's scheme or the name of a SQLAlchemy dialect; None where a plug-in has none."""
    return next((one for one in plugged_databases() if scheme in one.kind.schemes), None)


def by_type(value: object) -> PluggedDatabase | None:
    """The class for a connection, by its type; None where a plug-in has none."""
    types = {".".join(place_of(kind)) for kind in type.__getattribute__(type(value), "__mro__")}
    return next((one for one in plugged_databases() if types & {*one.kind.connection_types}), None)


def types_of_plug_ins() -> dict[str, set[str]]:
    """The types of connections that plug-ins take, by their package."""
    found: dict[str, set[str]] = {}
    for package, _, name in (each.partition(".") for one in plugged_databases() for each in one.kind.connection_types):
        found.setdefault(package, set()).add(name)
    return found


def _names(one: PluggedDatabase) -> Iterator[str]:
    yield from one.kind.schemes
    yield from one.kind.connection_types


def _read(plug: PlugIn) -> PluggedDatabase:
    kind = plug.value
    if not (isinstance(kind, type) and issubclass(kind, Database)):
        raise Unfit("it is no subclass of rsql_magic.api.Database")
    if getattr(kind, "__abstractmethods__", None):
        raise Unfit(f"it has no {min(kind.__abstractmethods__)}")
    for given, form in ((kind.schemes, _SCHEME), (kind.connection_types, _TYPE)):
        if not _all_fit(given, form):
            raise Unfit("its 'schemes' are like acme, and its 'connection_types' like acme.Connection")
    if not kind.schemes and not kind.connection_types:
        raise Unfit("it has neither 'schemes' nor 'connection_types'")
    if taken := sorted({*kind.schemes} & OURS):
        raise Unfit(f"rsql opens {taken[0]}:// itself")
    if taken := sorted({each.partition(".")[0] for each in kind.connection_types} & _PACKAGES):
        raise Unfit(f"rsql knows connections of {taken[0]} itself")
    one = PluggedDatabase(plug, kind)
    if kind.opened.__func__ is Database.opened.__func__ and not one.uses_engine:  # type: ignore[attr-defined]
        raise Unfit("it has no 'opened'")
    if kind.dialect:  # else the instance says
        _check_dialect(kind.dialect)
    return one


def _all_fit(given: Sequence[str], form: re.Pattern[str]) -> bool:
    return isinstance(given, tuple) and all(isinstance(name, str) and form.fullmatch(name) for name in given)


def _check_dialect(dialect: str) -> None:
    """Refuse a dialect in which the guard reads nothing."""
    try:
        canonical(dialect)
    except (Unreadable, AttributeError):
        raise Unfit("its 'dialect' must be sqlglot's name of one, such as postgres") from None
