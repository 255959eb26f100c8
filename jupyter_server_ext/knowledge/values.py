"""What is shared: documents and their passages, and a plain text split into passages."""

from __future__ import annotations

import re
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
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*$")
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
    """Markdown or plain text by its headings and paragraphs, with lines."""
    path: list[tuple[int, str]] = []
    held: list[str] = []
    start, fenced = 1, False
    for number, line in enumerate([*text.splitlines(), "# "], 1):
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.match(line)
        full = sum(map(len, held)) > _USUAL and not line.strip()
        if heading or full or sum(map(len, held)) > _LONGEST // 2:
            if any(each.strip() for each in held):
                blank = next(place for place, each in enumerate(held) if each.strip())
                body = "\n".join(held[blank:]).rstrip()
                last = start + blank + body.count("\n")
                yield SharedPassage(body[:_LONGEST], tuple(words for _, words in path), start + blank, last)
            held, start = [], number + bool(heading)
        if heading:
            path = [*(each for each in path if each[0] < len(heading[1])), (len(heading[1]), heading[2])]
        else:
            held.append(line)
