"""Plug-ins: what other distributions add by entry points; what fails is left out and named.

Each room that takes some asks for its group at its first need, with a reader that says what of it is no use. Nothing
of a plug-in's own words gets into a message: an error of it may quote data or a secret.
"""

from __future__ import annotations

import re
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from rsql_magic.errors import TooSlow
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.metadata import EntryPoint

    from rsql_magic.errors import RsqlError

T = TypeVar("T")

GROUPS = {
    "rsql.tools": "tool",
    "rsql.document_formats": "document format",
    "rsql.answer_checks": "check of answers",
    "rsql.databases": "database class",
    "rsql.context_sources": "context source",
    "rsql.providers": "provider",
    "rsql.event_sinks": "sink of events",
}
"""The groups of entry points, and what one of each is called. docs/extending.md has an example of each."""

OF_KERNEL = ("rsql.tools", "rsql.document_formats", "rsql.answer_checks", "rsql.databases", "rsql.context_sources")
"""Those that are loaded beside the data; the others are the gateway's."""

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,39}")
_MODULE = re.compile(r"[A-Za-z_][\w.]{0,60}")


@dataclass(frozen=True)
class PlugIn:
    """Something that another distribution adds.

    Example:
        >>> print(PlugIn("rsql.tools", "deadlines", "rsql-acme 1.0"))
        the tool deadlines of rsql-acme 1.0
    """

    group: str  # one of `GROUPS`
    name: str  # of its entry point
    package: str  # the distribution and its version
    value: Any = None  # what the entry point leads to

    def __str__(self) -> str:
        return f"the {GROUPS[self.group]} {self.name} of {self.package}"


class Unfit(ValueError):
    """What a plug-in declares cannot be used; the text says why, in words of ours."""


class PlugInFailed(Exception):
    """A call into a plug-in has failed, and the plug-in is named."""


def plugged(group: str, read: Callable[[PlugIn], T]) -> dict[str, T]:
    """What plug-ins of a group come to, by their names in order; those that cannot be used are left out and named.

    Args:
        group: One of `GROUPS`.
        read: Makes of a plug-in what is used, and raises `Unfit` where it cannot be.

    Example:
        >>> plugged("rsql.tools", lambda plug: plug.value)
        {}
    """
    found: dict[str, T] = {}
    for entry in _entries()[group]:
        plug = PlugIn(group, _line(entry.name), _package(entry))
        with suppress(PlugInFailed):
            found[entry.name] = ask(plug, partial(_loaded, plug, entry, read, found))
    return found


def _loaded(plug: PlugIn, entry: EntryPoint, read: Callable[[PlugIn], T], found: Mapping[str, T]) -> T:
    if not _NAME.fullmatch(entry.name):
        raise Unfit("its name must be lower-case letters, digits and . _ -")
    if entry.name in found:
        raise Unfit("another one has its name")
    return read(replace(plug, value=entry.load()))


def ask(plug: PlugIn, call: Callable[[], T], *, passes: tuple[type[RsqlError], ...] = ()) -> T:
    """The result of a call into a plug-in.

    Args:
        plug: Who is named where it fails.
        call: The call, and whatever tells whether its result can be used.
        passes: Errors by which a plug-in may say that what it was asked is wrong.

    Raises:
        PlugInFailed: It raised anything else, or came to nothing that can be used.
    """
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except passes:
        raise
    except (Exception, SystemExit, TooSlow) as error:  # noqa: BLE001 - it is logged there; some modules end the process
        leave_out(plug, error)
        raise PlugInFailed from None


@cache
def _entries() -> Mapping[str, list[EntryPoint]]:
    """All entry points of our groups; the metadata of what is installed are read once."""
    from importlib.metadata import entry_points

    from rsql_magic.diagnostics import ignoring

    found: dict[str, list[EntryPoint]] = {group: [] for group in GROUPS}
    with ignoring("reading the metadata of what is installed"):
        known = entry_points()
        for group, entries in found.items():
            entries.extend(sorted(known.select(group=group), key=lambda entry: (entry.name, _package(entry))))
    return found


def _package(entry: EntryPoint) -> str:
    from rsql_magic.diagnostics import ignoring

    with ignoring("reading the metadata of a plug-in's package"):
        if entry.dist is not None:
            return _line(f"{entry.dist.name} {entry.dist.version}")
    return "an unknown package"


def _line(text: str) -> str:
    return " ".join(printable(text).split())[:60]


_LEFT_OUT: dict[tuple[str, str, str], str] = {}


def leave_out(plug: PlugIn, error: BaseException) -> None:
    """Remember and say, once for each reason, that a plug-in could not be used or has failed."""
    from rsql_magic.diagnostics import log

    reason = reason_of(error)
    log.debug("%s is left out", plug, exc_info=error)
    if _LEFT_OUT.get(key := (plug.group, plug.name, plug.package)) == reason:
        return
    _LEFT_OUT[key] = reason
    with suppress(Warning):  # where warnings are errors, nothing else fails for it either
        warnings.warn(f"{_said(plug, reason)} Update or uninstall its package.", stacklevel=2)


def _said(plug: PlugIn, reason: str) -> str:
    sentence = f"{plug} was left out: {reason}."
    return sentence[0].upper() + sentence[1:]


def left_out() -> tuple[str, ...]:
    """A sentence for each plug-in that was left out so far, without anything of its own words."""
    return tuple(_said(PlugIn(*key), reason) for key, reason in sorted(_LEFT_OUT.items()))


def installed(*groups: str) -> tuple[str, ...]:
    """The plug-ins of some groups as ``tool deadlines (rsql-acme 1.0)``; none is loaded for it."""
    return tuple(
        f"{GROUPS[group]} {_line(entry.name)} ({_package(entry)})" for group in groups for entry in _entries()[group]
    )


def reason_of(error: BaseException) -> str:
    """Why something of a plug-in failed, without the words of its error unless they are ours.

    Example:
        >>> reason_of(KeyError("hunter2")), reason_of(ModuleNotFoundError(name="acme_sdk"))
        ('it raised KeyError', 'the module acme_sdk is missing')
    """
    if isinstance(error, Unfit):
        return str(error)
    if isinstance(error, TooSlow):
        return "it took too long"
    if isinstance(error, ModuleNotFoundError) and _MODULE.fullmatch(error.name or ""):
        return f"the module {error.name} is missing"
    name = type.__getattribute__(type(error), "__name__")  # whatever a metaclass makes of looking it up
    return f"it raised {name[:40]}"
