"""One table of an ``rsql.toml``: values as the types of the settings, or refused with reason and line."""

# No message holds a value: a value may be a key in the wrong place.

from __future__ import annotations

import difflib
import math
import re
import tomllib
import typing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from jupyter_server_ext.config import settings as s
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.messages import is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")
Place = tuple[str | int, ...]  # where a value stands: names of tables and keys, and numbers within arrays

_VARIABLE = re.compile(r"\$?\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMES = {"name", "tenant", "provider", "quota_group", "instance", "default_model"}
_LONGEST_NAME = 30  # what is longer is perhaps a key in the wrong place, and is not shown


@dataclass(frozen=True)
class TomlSource:
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

    source: TomlSource
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


def merged_tables(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Both, with ``values`` where they differ; tables within them are merged, too."""
    both = {**base, **values}
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            both[name] = merged_tables(base[name], value)
    return both


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
    if name in _NAMES and not is_name(text):
        table.refuse(name, f"'{name}' in {table.title} may have 255 characters, and no control characters.")
    if name in _NAMES and text != text.strip():
        table.refuse(name, f"'{name}' in {table.title} begins or ends with a blank. Take it out.")
    return text


def _secret(table: TomlTable, name: str, value: object) -> s.Secret:
    text = _text(table, name, value).strip()
    if not text:
        table.refuse(name, f"'{name}' in {table.title} is empty.")
    return _sendable(table, name, text)


def _sendable(table: TomlTable, name: str, text: str) -> s.Secret:
    if wrong := s.unsendable(text):
        table.refuse(name, f"'{name}' in {table.title} {wrong}")
    return s.Secret(text)


def _truth(table: TomlTable, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        _expected(table, name, "true or false", value)
    return value


def _number(table: TomlTable, name: str, value: object, *, whole: bool = False) -> float:
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool):
        _expected(table, name, "a whole number" if whole else "a number", value)
    number: float = typing.cast("float", value)
    if not (number >= 0 and math.isfinite(number)):
        table.refuse(name, f"'{name}' in {table.title} must be 0 or more.")
    most = s.MOST_WHOLE if whole else s.MOST
    if number > most:
        table.refuse(name, f"'{name}' in {table.title} must be {most:,} or less; leave it out for no limit.")
    return number if whole else float(number)


def _texts(table: TomlTable, name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        _expected(table, name, 'a list of texts: ["…"]', value)
    return tuple(_text(table, name, item) for item in value)


def _secrets(table: TomlTable, name: str, value: object) -> tuple[s.Secret, ...]:
    """Each text may hold several, separated by commas, so that one variable can."""
    listed = [part.strip() for text in _texts(table, name, value) for part in text.split(",")]
    return tuple(_sendable(table, name, part) for part in listed if part)


_whole = partial(_number, whole=True)
_READERS: Mapping[Any, Callable[[TomlTable, str, object], Any]] = {
    **dict.fromkeys((str, s.Counts), _text),
    **dict.fromkeys((bool, bool | None), _truth),
    **dict.fromkeys((int, int | None), _whole),
    **dict.fromkeys((float, float | None), _number),
    s.Secret: _secret,
    tuple[str, ...]: _texts,
    tuple[s.Secret, ...]: _secrets,
    frozenset[str]: lambda table, name, value: frozenset(_texts(table, name, value)),
}


# Lines. ``tomllib`` gives values without them, and a message about a setting should name the line. This reads only as
# much of the grammar as that takes, over text that ``tomllib`` has already accepted: https://toml.io/en/v1.0.0

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{}=,.\n]"
    r"|[^\s\[\]{}=,.\#\"']+",
    re.DOTALL,
)


def line_numbers(text: str) -> Mapping[Place, int]:
    r"""The line, counted from 1, of each table, key and item of an array.

    Example:
        >>> line_numbers('[[keys]]\nname = "a"\n[[keys]]\nname = "b"')[("keys", 1, "name")]
        4
    """
    return _TomlReader(text).lines


class _TomlReader:
    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._tokens: list[tuple[str, int]] = []
        self._at = 0
        self._arrays: dict[Place, int] = {}
        line = 1
        for found in _TOKEN.finditer(text):
            if not found[0].startswith("#"):
                self._tokens.append((found[0], line))
            line += found[0].count("\n")
        self._tokens.append(("", line))
        table: Place = ()
        while self._here:
            if self._here == "\n":
                self._next()
            elif self._here == "[":
                table = self._header()
            else:
                self._pair(table)
                self._skip_to("\n")

    @property
    def _here(self) -> str:
        return self._tokens[self._at][0]

    def _next(self) -> str:
        token = self._here
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _header(self) -> Place:
        at = self._at
        self._next()
        is_array = self._here == "["
        if is_array:
            self._next()
        path = self._path()
        place: Place = ()
        for name in path[:-1]:
            place = self._newest((*place, name))
        place = (*place, path[-1])
        if is_array:
            self._arrays[place] = self._arrays.get(place, -1) + 1
        place = self._newest(place)
        self._skip_to("\n")
        self.lines.setdefault(place, self._tokens[at][1])
        return place

    def _newest(self, place: Place) -> Place:
        return (*place, self._arrays[place]) if place in self._arrays else place

    def _path(self) -> list[str]:
        tokens = [self._next()]
        while self._here == ".":
            tokens += [self._next(), self._next()]
        # tomllib takes quotes away, and resolves escapes.
        return [next(iter(tomllib.loads(f"{name} = 0"))) for name in tokens if name != "."]

    def _pair(self, table: Place) -> None:
        at = self._at
        place: Place = table
        for name in self._path():
            place = (*place, name)
            self.lines.setdefault(place, self._tokens[at][1])
        self._next()  # the =
        self._value(place)

    def _value(self, place: Place) -> None:
        end = {"[": "]", "{": "}"}.get(self._next())
        number = 0
        while end and self._here not in (end, ""):
            if self._here in ("\n", ","):
                self._next()
                continue
            if end == "]":
                self.lines.setdefault((*place, number), self._tokens[self._at][1])
                self._value((*place, number))
            else:
                self._pair(place)
            self._skip_to(",", end)
            number += 1
        if end:
            self._next()

    def _skip_to(self, *ends: str) -> None:
        """Past the rest of a value of several tokens, such as a number with a fraction."""
        while self._here not in (*ends, ""):
            self._next()
