"""The settings in force as rows for people: each with its value, without secrets, and where it comes from."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from jupyter_server_ext.messages import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jupyter_server_ext.config.settings import Settings

DEFAULT = "default"
_OF_LIMITS = ("caller", "tenant", "everyone", "inline_completion")
_NAMED = ("tenants", "callers", "routes", "fallbacks", "models")  # by names that administrators choose
_LISTED = ("keys", "api_keys")
_SHORT = ("rpm", "rpd", "tpm", "tpd")  # ways to write ``limits`` of a key
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)\}")
_OPEN_QUERY = "max_mb="  # the one part of a URL's query that is no secret


class EffectiveSetting(NamedTuple):
    """One setting: its name as in ``rsql.toml``, its value as JSON has it, and where that comes from."""

    name: str
    value: Any
    origin: str


def effective(settings: Settings, decided: Mapping[str, str] | None = None) -> Iterator[EffectiveSetting]:
    """The settings in force; of courses, callers and keys only those that are not the default.

    ``decided`` are names of settings that were decided while the gateway runs, with by whom.

    Example:
        >>> from jupyter_server_ext.config import Settings
        >>> rows = {row.name: row for row in effective(Settings(), {"cache.enabled": "console"})}
        >>> rows["cache.ttl_seconds"], rows["cache.enabled"].origin
        (EffectiveSetting(name='cache.ttl_seconds', value=3600.0, origin='default'), 'console')
    """
    known = {**settings.origins, **(decided or {})}
    for name, value in _rows(settings):
        yield EffectiveSetting(name, shown(value), known.get(name, DEFAULT))


def _rows(settings: Settings) -> Iterator[tuple[str, Any]]:
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name == "origins":
            continue
        if field.name in _OF_LIMITS:
            yield from _of_table(f"limits.{field.name}", value)
        elif field.name in _LISTED:
            for number, one in enumerate(value, start=1):
                yield from _of_table(f"{field.name}.{number}", one, sparse=True)
        elif field.name in _NAMED:
            table = "limits.routes" if field.name == "routes" else field.name
            for one in value:
                named, own = (one.name, one) if field.name == "tenants" else one
                if is_dataclass(own):
                    yield from _of_table(f"{table}.{named}", own, without=("name",), sparse=table != "models")
                else:
                    yield f"{table}.{named}", own
        elif is_dataclass(value):
            yield from _of_table(field.name, value)
        else:
            yield field.name, value


def _of_table(
    place: str, table: Any, *, without: tuple[str, ...] = (), sparse: bool = False
) -> Iterator[tuple[str, Any]]:
    for field in fields(table):
        value = getattr(table, field.name)
        if field.name in without or (sparse and _is_nothing(value)):
            continue
        if is_dataclass(value) and not isinstance(value, Secret):
            yield from _of_table(f"{place}.{field.name}", value, sparse=sparse)
        else:
            yield f"{place}.{field.name}", value


def _is_nothing(value: Any) -> bool:
    return value is None or value in ((), "", False, Secret(""))


def shown(value: Any) -> Any:
    """A value as JSON has it, without secrets, passwords, and queries of addresses.

    Example:
        >>> shown("redis://ada:hunter2@db:6379/0"), shown(Secret("gsk-1")), shown(Secret(""))
        ('redis://ada:…@db:6379/0', '(set)', None)
    """
    if isinstance(value, Secret):
        return "(set)" if value.reveal() else None
    if is_dataclass(value) and not isinstance(value, type):
        own = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name: shown(one) for name, one in own if not _is_nothing(one)}
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple | list):
        return [shown(one) for one in value]
    return _without_password(value) if isinstance(value, str) and "://" in value else value


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    query = parts.query if not parts.query or parts.query.startswith(_OPEN_QUERY) else "…"
    return urlunsplit(parts._replace(netloc=f"{name}{':…' if colon else ''}{at}{host}", query=query))


def origins_of(values: Mapping[str, Any], lines: Mapping[tuple[str | int, ...], int], file: str) -> dict[str, str]:
    """Where the settings of a parsed file stand, by name; without ``lines`` all of it is from ``file``.

    Example:
        >>> origins_of({"cache": {"enabled": True}}, {("cache", "enabled"): 3}, "rsql.toml")
        {'cache.enabled': 'rsql.toml, line 3'}
    """
    return dict(_origins((), "", values, lines, file))


def _origins(
    place: tuple[str | int, ...], name: str, value: Any, lines: Mapping[tuple[str | int, ...], int], file: str
) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _origins((*place, key), f"{name}.{key}" if name else str(key), one, lines, file)
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value) and name in _LISTED:
        for at, one in enumerate(value):
            yield from _origins((*place, at), f"{name}.{at + 1}", one, lines, file)
    else:
        line = f", line {lines[place]}" if place in lines else ""
        variables = ", ".join(_VARIABLE.findall(value)) if isinstance(value, str) else ""
        table, _, last = name.rpartition(".")
        name = f"{table}.limits" if place[:1] == ("keys",) and last in _SHORT else name
        yield name, f"{file}{line}{f', from {variables}' if variables else ''}"
