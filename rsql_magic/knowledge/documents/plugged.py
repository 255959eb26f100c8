"""Formats of documents that other distributions read (``rsql.document_formats``), beside ours and never instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput
from rsql_magic.knowledge.documents.formats import KINDS
from rsql_magic.knowledge.documents.passages import Section
from rsql_magic.plain_text import printable
from rsql_magic.plugins import PlugIn, PlugInFailed, Unfit, ask, leave_out, plugged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GROUP = "rsql.document_formats"
_SUFFIX = re.compile(r"\.[a-z0-9]{1,15}")
_MOST_SECTIONS = 100_000


@dataclass(frozen=True)
class DocumentFormat:
    """How files of some suffixes are read.

    Args:
        suffixes: With their dots, in lower case: ``(".adoc",)``.
        read: Gives the sections of a document from its bytes, which are not empty.

    Example:
        >>> from rsql_magic.api import Section
        >>> lines = DocumentFormat((".lines",), lambda data: [Section((), ((1, data.decode()),))])
        >>> lines.suffixes
        ('.lines',)
    """

    suffixes: tuple[str, ...]
    read: Callable[[bytes], Iterable[Section]]


@cache
def plugged_formats() -> dict[str, tuple[PlugIn, DocumentFormat]]:
    """The formats of plug-ins by their suffixes."""
    found: dict[str, tuple[PlugIn, DocumentFormat]] = {}
    for plug, form in plugged(GROUP, _read).values():
        if taken := [suffix for suffix in form.suffixes if suffix in found]:
            leave_out(plug, Unfit(f"another plug-in reads {taken[0]}"))
        else:
            found |= dict.fromkeys(form.suffixes, (plug, form))
    return found


def _read(plug: PlugIn) -> tuple[PlugIn, DocumentFormat]:
    form = plug.value
    if not isinstance(form, DocumentFormat) or not callable(form.read) or not isinstance(form.suffixes, tuple):
        raise Unfit("it is no rsql_magic.api.DocumentFormat")
    if not form.suffixes or not all(isinstance(each, str) and _SUFFIX.fullmatch(each) for each in form.suffixes):
        raise Unfit("a suffix is a dot and up to 15 lower-case letters or digits")
    if taken := [suffix for suffix in form.suffixes if suffix in KINDS]:
        raise Unfit(f"rsql reads {taken[0]} itself")
    return plug, form


def kinds() -> dict[str, str]:
    """The format of a file, by its suffix in lower case: `KINDS` and those of plug-ins.

    Example:
        >>> kinds()[".md"]
        'markdown'
    """
    return {**KINDS, **{suffix: suffix for suffix in plugged_formats()}}


def plugged_sections(data: bytes, suffix: str, name: str) -> list[Section]:
    """Read a document by a plug-in's format; control characters are taken out as they are for ours.

    Raises:
        BadInput: It is none of the format, or the plug-in fails.
    """
    plug, form = plugged_formats()[suffix]
    try:
        return ask(
            plug, lambda: [_checked(each) for each in islice(form.read(data), _MOST_SECTIONS)], passes=(BadInput,)
        )
    except PlugInFailed:
        raise BadInput(f"{name} cannot be read: {plug} failed.", hint="Save it as Markdown or text.") from None


def _checked(section: Section) -> Section:
    """A section of plain texts and numbers, whatever a plug-in put there."""
    if not isinstance(section, Section):
        raise Unfit("its 'read' gives something else than sections")
    path = tuple(printable(_text(heading)) for heading in section.path)
    lines = tuple((int(number), printable(_text(line))) for number, line in section.lines)
    return Section(path, lines, printable(_text(section.part)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit("its sections hold something else than text")
    return value
