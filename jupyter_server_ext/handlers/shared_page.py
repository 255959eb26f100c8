"""What the page of a shared conversation shows of a question and its answer, as whoever keeps it sent it."""

# They have any form. A chart comes as a PNG: no specification of a user is drawn here, as one can fetch addresses.

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec

_LARGEST_IMAGE = 1_400_000  # characters of Base64, for a megabyte
_MOST_IMAGES = 4  # of an answer
_MOST_PIXELS, _LONGEST_SIDE = 40_000_000, 40_000
_LONGEST_DESCRIPTION = 1_000  # characters
_LEFT_OUT = {
    "undrawn": "Its chart was shared without a picture; the notebook draws one with pip install 'rsql-jupyter[png]'.",
    "large": "A picture of more than 1 MB was left out.",
    "many": f"It has more pictures; {_MOST_IMAGES} of an answer are shown.",
    "room": "The shared conversation had no room for more of its pictures.",
}
_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


class _PageColumn(msgspec.Struct, frozen=True):
    name: str = ""


class _PageResult(msgspec.Struct, frozen=True):
    sql: str = ""
    columns: tuple[_PageColumn, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    chart: bool = False


class _PageChange(msgspec.Struct, frozen=True):
    """A change of the notebook that was proposed, and what became of it."""

    title: str = ""
    state: str = ""
    reason: str = ""
    source: str = ""


class _PageImage(msgspec.Struct, frozen=True):
    """A chart or plot: a PNG in Base64, and what it shows."""

    data: str
    description: str = ""


class _PairOnPage(msgspec.Struct, frozen=True):
    question: str = ""
    answer: str = ""
    result: _PageResult | None = None
    changes: tuple[_PageChange, ...] = ()
    images: tuple[_PageImage, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Why pictures are not there, in sentences."""
        if not self.left_out and not self.images and self.result is not None and self.result.chart:
            return ["Its chart was shared without a picture."]
        return [_LEFT_OUT[reason] for reason in self.left_out]


def shown(pair: dict[str, Any]) -> _PairOnPage:
    """A question and its answer as they are shown; a sentence in place of what has another form.

    Example:
        >>> shown({"question": "How many?", "answer": "Two.", "images": [{"data": "no picture"}]}).images
        ()
    """
    try:
        return msgspec.convert({**pair, **_pictures(pair)}, _PairOnPage)
    except msgspec.ValidationError:
        return _PairOnPage(answer="This answer has a form that no page shows; %rsql history open in a notebook does.")


def _pictures(pair: dict[str, Any]) -> dict[str, Any]:
    """The pictures that can be shown, and why others are not: as whoever sent them says, or as they are."""
    found, reasons = list[_PageImage](), _list(pair.get("left_out"))
    for one in _list(pair.get("images")):
        try:
            image = msgspec.convert(one, _PageImage)
        except msgspec.ValidationError:
            continue
        if len(image.data) > _LARGEST_IMAGE:
            reasons.append("large")
        elif len(found) == _MOST_IMAGES:
            reasons.append("many")
            break
        elif _is_png(image.data):
            found.append(_PageImage(image.data, image.description[:_LONGEST_DESCRIPTION]))
    return {"images": found, "left_out": [reason for reason in _LEFT_OUT if reason in reasons]}


def _list(sent: Any) -> list[Any]:
    return list(sent) if isinstance(sent, list) else []


def _is_png(text: str) -> bool:
    """Whether a text is a PNG in Base64, of no more pixels than a browser takes."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        return False
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return data.startswith(_PNG) and 0 < width * height <= _MOST_PIXELS and max(width, height) <= _LONGEST_SIDE
