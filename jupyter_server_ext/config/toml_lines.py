"""On which line of a TOML text each name stands.

``tomllib`` gives values without lines, and a message about a setting should name the line. This reads only as much of
the grammar as that takes, over text that ``tomllib`` has already accepted: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Place = tuple[str | int, ...]
"""Where a value stands: names of tables and keys, and numbers within arrays."""

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
    reader = _Reader(text)
    reader.document()
    return reader.lines


class _Reader:
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

    @property
    def _here(self) -> str:
        return self._tokens[self._at][0]

    def _next(self) -> str:
        token = self._here
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def document(self) -> None:
        table: Place = ()
        while self._here:
            if self._here == "\n":
                self._next()
            elif self._here == "[":
                table = self._header()
            else:
                self._pair(table)
                self._skip_to("\n")

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
        names = [_name(self._next())]
        while self._here == ".":
            self._next()
            names.append(_name(self._next()))
        return names

    def _pair(self, table: Place) -> None:
        at = self._at
        place: Place = table
        for name in self._path():
            place = (*place, name)
            self.lines.setdefault(place, self._tokens[at][1])
        self._next()  # the =
        self._value(place)

    def _value(self, place: Place) -> None:
        if self._here == "[":
            self._array(place)
        elif self._here == "{":
            self._inline_table(place)
        else:
            self._next()

    def _array(self, place: Place) -> None:
        self._next()
        number = 0
        while self._here not in ("]", ""):
            if self._here in ("\n", ","):
                self._next()
                continue
            self.lines.setdefault((*place, number), self._tokens[self._at][1])
            self._value((*place, number))
            self._skip_to(",", "]")
            number += 1
        self._next()

    def _inline_table(self, place: Place) -> None:
        self._next()
        while self._here not in ("}", ""):
            if self._here in ("\n", ","):
                self._next()
                continue
            self._pair(place)
            self._skip_to(",", "}")
        self._next()

    def _skip_to(self, *ends: str) -> None:
        """Past the rest of a value of several tokens, such as a number with a fraction."""
        while self._here not in (*ends, ""):
            self._next()


def _name(token: str) -> str:
    """A key as it is meant: without quotes, escapes resolved."""
    return next(iter(tomllib.loads(f"{token} = 0")))
