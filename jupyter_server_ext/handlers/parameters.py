"""What a route takes in its address: names, values and what they mean, declared once for checks and openapi.json."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.ledger import MOST_HOURS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FOR_LOGIN = frozenset({"token"})  # that a Jupyter Server takes from any address
_AMOUNT = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query.

    Example:
        >>> LIMIT.value("7"), LIMIT.value(None)
        (7, 50)
        >>> LIMIT.value("-1")
        Traceback (most recent call last):
            ...
        jupyter_server_ext.errors.BadRequest: 'limit' must be a whole number from 1 to 1,000.
    """

    name: str
    about: str  # what it means, for the docs
    read: Callable[[str], Any]  # its value; None for a text that is wrong
    must_be: str  # what a right one is
    default: Any = None  # the value without it
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})  # JSON schema of its text

    def value(self, text: str | None) -> Any:
        """The value of a text, or without one.

        Raises:
            BadRequest: The text is wrong.
        """
        if text is None:
            return self.default
        value = self.read(text)
        if value is None:
            raise BadRequest(f"'{self.name}' must be {self.must_be}.", param=self.name)
        return value


def whole(name: str, about: str, *, least: int, most: int, default: int | None) -> Parameter:
    """A whole number within bounds."""

    def read(text: str) -> int | None:
        return int(text) if _WHOLE.fullmatch(text) and least <= int(text) <= most else None

    schema: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    schema |= {} if default is None else {"default": default}
    return Parameter(name, about, read, f"a whole number from {least:,} to {most:,}", default, schema)


def choice(name: str, about: str, *options: str, default: str | None = None) -> Parameter:
    """One of some words."""
    schema = {"type": "string", "enum": [*options]} | ({"default": default} if default else {})
    words = f"one of: {', '.join(options)}"
    return Parameter(name, about, lambda text: text if text in options else None, words, default, schema)


def text_of(name: str, about: str) -> Parameter:
    """A name, as it is written down; at most 255 characters."""
    schema = {"type": "string", "minLength": 1, "maxLength": 255}
    return Parameter(name, about, lambda text: text if 0 < len(text) <= 255 else None, "a name", None, schema)


def day(name: str, about: str) -> Parameter:
    """A calendar day; an empty text is none."""

    def read(text: str) -> str | None:
        try:
            return text if not text or date.fromisoformat(text).isoformat() == text else None
        except ValueError:
            return None

    schema = {"type": "string", "format": "date"}
    return Parameter(name, about, read, "a day such as 2026-11-21", "", schema)


def moment(name: str, about: str) -> Parameter:
    """A day, or a day and a time of it, of the gateway's zone."""

    def read(text: str) -> datetime | None:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return None
        return found if found.tzinfo is None else None

    return Parameter(name, about, read, "a day such as 2026-11-21, or a time such as 2026-11-21T14:30")


def amount(name: str, about: str) -> Parameter:
    """A number that is not negative."""

    def read(text: str) -> float | None:
        return float(text) if _AMOUNT.fullmatch(text) else None

    return Parameter(name, about, read, "a number, 0 or more", None, {"type": "number", "minimum": 0})


LIMIT = whole("limit", "How many at most.", least=1, most=1000, default=50)
AFTER = Parameter("after", "The `next` of the page before.", str, "the 'next' of the page before", "")
HOURS = whole("hours", "How many hours back.", least=1, most=MOST_HOURS, default=24)
TENANT = text_of("tenant", "Only of this group.")
USER = text_of("user", "Only of this user.")
PAGED = (LIMIT, AFTER)


def check_names(given: Mapping[str, Any], known: tuple[Parameter, ...]) -> None:
    """Refuse parameters that a route does not know, and those that are given twice.

    Raises:
        BadRequest: There is one; the message names those that there are.
    """
    names = [one.name for one in known]
    for name, values in given.items():
        if name in FOR_LOGIN:
            continue
        if name not in names:
            there_are = f"There are: {', '.join(names)}." if names else "It takes none."
            raise BadRequest(f"This route knows no parameter '{name[:40]}'. {there_are}", param=name[:40])
        if len(values) > 1:
            raise BadRequest(f"'{name}' is given more than once.", param=name)
