"""One table of an ``rsql.toml``: its values read as the types of the settings, or refused with line and reason.

No message holds a value: a value may be a key in the wrong place.
"""

from __future__ import annotations

import difflib
import math
import re
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from jupyter_server_ext.config import settings as s
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.messages import is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jupyter_server_ext.config.toml_lines import Place

T = TypeVar("T")

_VARIABLE = re.compile(r"\$?\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMES = {"name", "tenant", "provider", "quota_group", "instance", "default_model"}
_LONGEST_NAME = 30  # what is longer is perhaps a key in the wrong place, and is not shown


@dataclass(frozen=True)
class Source:
    """The file: its name, the line of each of its names, and the environment its values may refer to."""

    name: str
    lines: Mapping[Place, int]
    environment: Mapping[str, str]

    def refuse(self, place: Place, message: str) -> NoReturn:
        """Refuse what stands at a place, with file and line."""
        while place and place not in self.lines:
            place = place[:-1]
        raise ConfigError(f"{self.name}, line {self.lines.get(place, 1)}: {message}")

    def expand(self, place: Place, text: str) -> str:
        """The text with its ``${NAME}`` read from the environment."""

        def value(found: re.Match[str]) -> str:
            if found[0].startswith("$$"):
                return found[0][1:]
            if not _VARIABLE_NAME.fullmatch(found[1]):
                self.refuse(place, "${…} must hold the name of an environment variable ($${…} stands for the text).")
            if found[1] not in self.environment:
                self.refuse(place, f"the environment variable {found[1]} is not set.")
            return self.environment[found[1]]

        return _VARIABLE.sub(value, text)


@dataclass(frozen=True)
class TomlTable:
    """One table of the file, and where it stands."""

    source: Source
    place: Place
    title: str
    values: Mapping[str, Any]

    def refuse(self, name: str, message: str) -> NoReturn:
        """Refuse the value of a name, or the whole table when the name is empty."""
        self.source.refuse((*self.place, name) if name else self.place, message)

    def only(self, allowed: Iterable[str]) -> None:
        """Refuse the first unknown name."""
        known = list(allowed)
        for name in self.values:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean '{near[0]}'?" if near else f"expected one of: {', '.join(known)}."
                quoted = f" '{name}'" if len(name) <= _LONGEST_NAME else ""
                self.refuse(name, f"unknown name{quoted} in {self.title}; {hint}")

    def read(self, name: str, wanted: Any) -> Any:
        """The value of ``name`` as the type ``wanted`` of a settings field."""
        return _READERS[wanted](self, name, self.values[name])

    def fields(self, values: type[T], *, also: Iterable[str] = (), without: Iterable[str] = ()) -> dict[str, Any]:
        """The names in this table that are fields of the dataclass ``values``, read as its types say."""
        types = {name: kind for name, kind in typing.get_type_hints(values).items() if name not in (*also, *without)}
        self.only([*types, *also])
        return {name: self.read(name, types[name]) for name in self.values if name in types}

    def table(self, name: str) -> TomlTable:
        """The table of this name, empty when the file has none."""
        value = self.values.get(name, {})
        if not isinstance(value, dict):
            self.refuse(name, f"'{name}' must be a table: [{'.'.join(map(str, (*self.place, name)))}].")
        return TomlTable(self.source, (*self.place, name), f"[{'.'.join(map(str, (*self.place, name)))}]", value)

    def tables(self, name: str) -> list[TomlTable]:
        """The ``[[name]]`` tables, in the order of the file."""
        value = self.values.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.refuse(name, f"'{name}' must be a list of tables: [[{name}]].")
        return [TomlTable(self.source, (*self.place, name, at), f"[[{name}]]", item) for at, item in enumerate(value)]


_KINDS: Mapping[type, str] = {
    bool: "true or false",
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def _expected(table: TomlTable, name: str, wanted: str, value: object) -> NoReturn:
    table.refuse(name, f"'{name}' in {table.title} must be {wanted}, not {_KINDS.get(type(value), 'a date')}.")


def _text(table: TomlTable, name: str, value: object) -> str:
    if not isinstance(value, str):
        _expected(table, name, "text in quotes", value)
    text = table.source.expand((*table.place, name), value)
    return _name(table, name, text) if name in _NAMES else text


def _secret(table: TomlTable, name: str, value: object) -> s.Secret:
    text = _text(table, name, value).strip()
    if not text:
        table.refuse(name, f"'{name}' in {table.title} is empty.")
    return _sendable(table, name, text)


def _sendable(table: TomlTable, name: str, text: str) -> s.Secret:
    if wrong := s.unsendable(text):
        table.refuse(name, f"'{name}' in {table.title} {wrong}")
    return s.Secret(text)


def _name(table: TomlTable, name: str, text: str) -> str:
    if not is_name(text):
        table.refuse(name, f"'{name}' in {table.title} may have 255 characters, and no control characters.")
    if text != text.strip():
        table.refuse(name, f"'{name}' in {table.title} begins or ends with a blank. Take it out.")
    return text


def _truth(table: TomlTable, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        _expected(table, name, "true or false", value)
    return value


def _whole(table: TomlTable, name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        _expected(table, name, "a whole number", value)
    if value < 0:
        table.refuse(name, f"'{name}' in {table.title} must be 0 or more.")
    if value > s.MOST_WHOLE:
        table.refuse(name, f"'{name}' in {table.title} must be {s.MOST_WHOLE:,} or less; leave it out for no limit.")
    return value


def _number(table: TomlTable, name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        _expected(table, name, "a number", value)
    if not (value >= 0 and math.isfinite(value)):
        table.refuse(name, f"'{name}' in {table.title} must be 0 or more.")
    if value > s.MOST:
        table.refuse(name, f"'{name}' in {table.title} must be {s.MOST:,} or less; leave it out for no limit.")
    return float(value)


def _texts(table: TomlTable, name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        _expected(table, name, 'a list of texts: ["…"]', value)
    return tuple(_text(table, name, item) for item in value)


def _secrets(table: TomlTable, name: str, value: object) -> tuple[s.Secret, ...]:
    """Each text may hold several, separated by commas, so that one variable can."""
    listed = [part.strip() for text in _texts(table, name, value) for part in text.split(",")]
    return tuple(_sendable(table, name, part) for part in listed if part)


_READERS: Mapping[Any, Callable[[TomlTable, str, object], Any]] = {
    str: _text,
    s.Secret: _secret,
    bool: _truth,
    bool | None: _truth,
    s.Counts: _text,
    int: _whole,
    int | None: _whole,
    float: _number,
    float | None: _number,
    bool | None: _truth,
    tuple[str, ...]: _texts,
    tuple[s.Secret, ...]: _secrets,
    frozenset[str]: lambda table, name, value: frozenset(_texts(table, name, value)),
}
