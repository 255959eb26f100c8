"""The one fence around text that comes from data.

A model must be able to tell what the user wrote from what a column name or a cell says. The fence carries an id made
from what is inside, so text cannot contain the end of its own fence.
"""

from __future__ import annotations

from hashlib import sha256


def fence(kind: str, name: str, text: str) -> str:
    """Put text from data inside a fence that it cannot close.

    Args:
        kind: ``schema``, ``frame``, ``r``, ``session``, ``cell``, ``error``, ``object``, ``help``, ``example`` or
            ``result``.
        name: What the text describes, such as a variable's name.
        text: The text itself.

    Returns:
        The text between ``<data …>`` and ``</data id>``, each on a line of its own.

    Example:
        >>> print(fence("frame", "sales", "sales: pandas DataFrame, 2 rows × 1 column"))
        <data kind="frame" name="sales" id="120651de">
        sales: pandas DataFrame, 2 rows × 1 column
        </data 120651de>
    """
    mark = sha256(f"{kind}{name}{text}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f'<data kind="{_attribute(kind)}" name="{_attribute(name)}" id="{mark}">\n{text}\n</data {mark}>'


def _attribute(text: str) -> str:
    """Text that stays inside its quotes and on its line."""
    line = " ".join(text.split())[:80]
    return line.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
