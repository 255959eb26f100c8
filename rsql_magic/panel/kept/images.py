"""Charts and plots of answers as PNG pictures that go with a shared conversation, and those that came with one."""

# Whoever opens a link sees pictures alone: a specification that somebody else wrote is never drawn, as one can fetch
# addresses. What comes is shown only where it is a PNG of a size that a browser takes.

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from rsql_magic.display import charts
from rsql_magic.errors import BadInput
from rsql_magic.sql import one_line

if TYPE_CHECKING:
    from rsql_magic.panel.kept.artifacts import Artifact, ArtifactStore

LARGEST = 1_000_000  # bytes of a picture
MOST = 4  # pictures of an answer
_LONGEST = 1_000  # characters of a description
_MOST_PIXELS = 40_000_000
_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


@dataclass(frozen=True)
class SharedImage:
    """A picture that came with an answer of a shared conversation."""

    png: bytes
    description: str


class SentImages(NamedTuple):
    """The pictures of an answer as they are sent, and why others are not."""

    images: list[dict[str, str]]  # ``data`` in Base64, and ``description``
    left_out: tuple[str, ...] = ()  # ``undrawn``, ``large``, ``many``, ``room``

    def fitting(self, room: int) -> SentImages:
        """Those that fit into what is left of a copy, in their order."""
        kept = list[dict[str, str]]()
        for image in self.images:
            if (size := sum(map(len, image.values()))) <= room:
                kept.append(image)
                room -= size
        return SentImages(kept, self.left_out + ("room",) * (len(kept) < len(self.images)))


class AnswerImages:
    """The pictures of the answers of one conversation: of a chart as it is drawn now, of code as they were kept."""

    def __init__(self, artifacts: ArtifactStore, conversation: str) -> None:
        self._artifacts = artifacts
        self._kept: dict[str, dict[str, Artifact]] = {}  # by answer and content: code that ran twice drew the same
        for one in artifacts.listed(conversation):
            if one.kind == "picture":
                self._kept.setdefault(one.pair, {}).setdefault(one.digest, one)

    def of(self, record: dict[str, Any]) -> SentImages:
        """Those of an answer."""
        if isinstance(drawing := record.get("drawing"), dict):
            return _chart(drawing)
        found = sorted(self._kept.get(str(record.get("id")), {}).values(), key=lambda one: one.made)
        small = [one for one in found if one.bytes <= LARGEST]
        left_out = ("large",) * (len(small) < len(found)) + ("many",) * (len(small) > MOST)
        return SentImages([image for one in small[-MOST:] if (image := self._sent(one)) is not None], left_out)

    def _sent(self, one: Artifact) -> dict[str, str] | None:
        try:
            data = self._artifacts.content(one.id)
        except BadInput:  # it is damaged, or made room meanwhile
            return None
        return {"data": b64encode(data).decode("ascii"), "description": "plot"}


def _chart(drawing: dict[str, Any]) -> SentImages:
    try:
        png = _drawn(msgspec.json.encode(drawing))
    except BadInput:  # vl-convert-python is not there
        return SentImages([], ("undrawn",))
    except ValueError:  # it cannot draw this
        return SentImages([])
    if len(png) > LARGEST:
        return SentImages([], ("large",))
    data = b64encode(png).decode("ascii")
    return SentImages([{"data": data, "description": str(drawing.get("description", "chart"))}])


# A copy is made again after each answer; the charts of those before have not changed.
@lru_cache(maxsize=32)
def _drawn(drawing: bytes) -> bytes:
    spec = msgspec.json.decode(drawing)
    if charts.names_an_address(spec):
        raise ValueError("It was not made here.")
    return charts.picture(spec, "png")


def came_with(record: dict[str, Any]) -> list[SharedImage]:
    """The pictures that came with an answer; what is none is left out.

    Example:
        >>> came_with({"images": [{"data": "PHN2Zz4=", "description": "a script"}, 7]})
        []
    """
    given = record.get("images")
    given = given[:MOST] if isinstance(given, list) else []
    return [image for one in given if isinstance(one, dict) and (image := _read(one)) is not None]


def _read(given: dict[str, Any]) -> SharedImage | None:
    data = given.get("data")
    if not isinstance(data, str) or len(data) > 4 * LARGEST // 3 + 4:
        return None
    try:
        png = b64decode(data, validate=True)
    except ValueError:
        return None
    return SharedImage(png, one_line(str(given.get("description") or "chart"), _LONGEST)) if is_png(png) else None


def is_png(data: bytes) -> bool:
    """Whether bytes begin as a PNG does, of no more pixels than a browser takes.

    Example:
        >>> is_png(b"<svg onload=alert(1)>")
        False
    """
    sides = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return data.startswith(_PNG) and 0 < sides[0] * sides[1] <= _MOST_PIXELS and max(sides) <= _MOST_PIXELS // 1000
