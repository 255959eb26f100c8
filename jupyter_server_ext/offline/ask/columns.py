"""Which columns of a frame a question names."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from ..sql import columns_named, values_named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..request import Described, FrameColumn
    from .notebook import Notebook


def columns_in(notebook: Notebook, frame: Described, text: str) -> list[FrameColumn]:
    """The columns of a frame that a text names, in the order of the text."""
    found = [frame.get(name) for name in columns_named(text, notebook.catalog([frame]))]
    return [column for column in found if column is not None]


def names_part(notebook: Notebook, frame: Described, text: str) -> bool:
    """Whether a text speaks of a column or a value of a frame, and so not of all of it."""
    catalog = notebook.catalog([frame])
    return bool(columns_named(text, catalog)) or values_named(text, catalog)


def nearest(name: str, known: Iterable[str], *, least: float = 0.5) -> str | None:
    """The known name that looks most like a name, or that it starts or ends; None when none is near.

    Example:
        >>> nearest("wind", ["temp", "wind_speed"]), nearest("tmep", ["temp", "humid"]), nearest("x", ["temp"])
        ('wind_speed', 'temp', None)
    """
    candidates = list(dict.fromkeys(known))
    parts = [other for other in candidates if len(name) >= 3 and _is_part(name, other)]
    if parts:
        return min(parts, key=len)
    best = max(candidates, key=lambda other: _likeness(name, other), default=None)
    return best if best is not None and _likeness(name, best) >= least else None


def _likeness(one: str, two: str) -> float:
    """How much two names look alike, 0 to 1, case and underscores ignored."""
    return SequenceMatcher(None, one.lower().replace("_", ""), two.lower().replace("_", "")).ratio()


def _is_part(name: str, other: str) -> bool:
    one, two = name.lower(), other.lower()
    return one != two and (two.startswith(one) or two.endswith(one) or (len(two) >= 3 and one.startswith(two)))
