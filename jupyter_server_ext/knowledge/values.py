"""What is shared: documents and their passages, and a plain text split into passages."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.knowledge.meanings import of_length_one
from jupyter_server_ext.messages import is_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 20_000  # characters of one passage
_MOST_PASSAGES = 20_000  # of one document
_USUAL = 1_200  # characters of a passage that is split here
_LONGEST_LINE = 4_000  # of a line that is not cut
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_FENCE = re.compile(r" {0,3}(?:```|~~~)")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]|[\ud800-\udfff]")


class SharedPassage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of a document, with its headings and lines."""

    text: str
    path: tuple[str, ...] = ()  # headings, the outermost first
    first: int = 0  # line; 0 where there are none to count
    last: int = 0
    part: str = ""  # such as ``page 3``
    vector: bytes = b""  # of half precision, in JSON as Base64; empty without

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.text.encode()) + sum(len(heading.encode()) for heading in self.path) + len(self.vector)


class NewDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document as it is sent: its passages, or its Markdown."""

    name: str
    passages: tuple[SharedPassage, ...] = ()
    text: str = ""  # Markdown or plain text, to be split here
    tenant: str | None = None  # whose it is; None for the caller's, empty for everyone's
    days: float | None = None  # until it is deleted; None for the configured number
    model: str = ""  # that the passages' vectors are of; empty without


class SharedDocument(msgspec.Struct, frozen=True):
    """A document as it is listed."""

    name: str
    tenant: str  # empty for everyone's
    passages: int
    bytes: int
    added: float  # Unix time
    expires: float | None  # Unix time; None for never
    model: str | None = None  # that gave its passages vectors


class Found(msgspec.Struct, frozen=True):
    """A passage that a search found."""

    document: str
    tenant: str
    text: str
    path: tuple[str, ...]
    first: int
    last: int
    part: str
    score: float  # the higher the better, within one reply


def read_document(body: bytes) -> NewDocument:
    r"""A document that was sent, split and looked at.

    Raises:
        BadRequest: It has another form, or holds nothing.

    Example:
        >>> read_document(b'{"name": "a.md", "text": "# Bins\\n\\nGlass is yellow."}').passages[0].path
        ('Bins',)
    """
    try:
        sent = msgspec.json.decode(body, type=NewDocument)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise BadRequest(f"The body is no document ({wrong}).") from None
    if not sent.name.strip() or not is_name(sent.name) or not is_name(sent.tenant or ""):
        raise BadRequest("'name' may have 1 to 255 characters, and no control characters.", param="name")
    if sent.passages and sent.text:
        raise BadRequest("A document has either 'passages' or 'text'.", param="text")
    passages = tuple(map(_cleaned, sent.passages or split(sent.text)))
    passages = tuple(one for one in passages if one.text.strip())
    if not passages:
        raise BadRequest("The document holds no text. Send 'text', or 'passages' with a 'text' each.", param="text")
    if len(passages) > _MOST_PASSAGES:
        raise BadRequest(f"A document may have {_MOST_PASSAGES:,} passages. Split it.", param="passages")
    if len({len(one.vector) for one in passages}) > 1 or bool(sent.model) != bool(passages[0].vector):
        words = "Either every passage has a 'vector' of the same size, and the document a 'model', or none has."
        raise BadRequest(words, param="vector")
    if not is_name(sent.model):
        raise BadRequest("'model' may have 1 to 255 characters, and no control characters.", param="model")
    return msgspec.structs.replace(sent, passages=passages, text="")


def _cleaned(passage: SharedPassage) -> SharedPassage:
    """A passage without control characters, which a database or a terminal would stumble over."""
    if len(passage.text) > _LONGEST:
        raise BadRequest(f"A passage may have {_LONGEST:,} characters. Split it.", param="passages")
    path = tuple(" ".join(_CONTROLS.sub(" ", heading).split())[:200] for heading in passage.path[:8])
    first, last = (max(0, min(line, 2_000_000_000)) for line in (passage.first, passage.last))
    part = " ".join(_CONTROLS.sub(" ", passage.part).split())[:40]
    vector = of_length_one(passage.vector) if passage.vector else b""
    return SharedPassage(_CONTROLS.sub("", passage.text), path, first, last, part, vector)


def split(text: str) -> Iterator[SharedPassage]:
    r"""Markdown or plain text by its headings and paragraphs, with lines; nothing of it is left out.

    A line that is longer than a passage is cut between sentences or words.

    Example:
        >>> [(one.path, one.text, one.first) for one in split("# Bins\n\nGlass is yellow.")]
        [(('Bins',), 'Glass is yellow.', 3)]
    """
    path: list[tuple[int, str]] = []
    held: list[tuple[int, str]] = []  # lines, or pieces of one, with their numbers
    size, fenced = 0, False
    for number, line in enumerate(text.splitlines(), 1):
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.match(line)
        for piece in (line,) if heading else _cut(line):
            full = size > _USUAL and not line.strip()
            if heading or full or size + len(piece) > _LONGEST // 2:
                yield from _passage(held, path)
                held, size = [], 0
            if not heading:
                held.append((number, piece))
                size += len(piece) + 1
        if heading:
            words = heading[2].rstrip(" \t#")
            path = [*(each for each in path if each[0] < len(heading[1])), (len(heading[1]), words)]
    yield from _passage(held, path)


def _passage(held: list[tuple[int, str]], path: list[tuple[int, str]]) -> Iterator[SharedPassage]:
    filled = [place for place, (_, piece) in enumerate(held) if piece.strip()]
    if filled:
        own = held[filled[0] : filled[-1] + 1]
        body = own[0][1] + "".join(
            ("\n" if number > before else "") + piece for (before, _), (number, piece) in pairwise(own)
        )
        yield SharedPassage(body.rstrip(), tuple(words for _, words in path), own[0][0], own[-1][0])


def _cut(line: str) -> Iterator[str]:
    """A line in pieces that fit into a passage, each up to the end of a sentence or a word where there is one."""
    start = 0
    while len(line) - start > _LONGEST_LINE:
        some = line[start : start + _LONGEST_LINE]
        ends = (some.rfind(mark, _USUAL) + len(mark) for mark in (". ", "。", " ") if mark in some[_USUAL:])
        end = start + next(ends, len(some))
        yield line[start:end]
        start = end
    yield line[start:]
