"""What a notebook holds and what its cells did, in words: of the description and the sources that a request has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..sql import listed
from .notebook import PATTERNS, describe, size

if TYPE_CHECKING:
    from ..request import Described
    from .notebook import Notebook

_MOST = 20  # objects and cells; an answer is read at a glance
_MOST_NAMES = 8  # of a cell
_MAGIC = re.compile(r"\s*(%%?\w+)")
_IMPORTED = re.compile(r"^(?:import|from) +([\w.]+)|^(?:library|require)\(['\"]?([\w.]+)", re.MULTILINE)
_MADE = re.compile(r"^([^\W\d][\w.]*)(?: *, *[^\W\d]\w*)* *(?::[^=\n]+)?(?:<-|=(?!=))", re.MULTILINE)
_DEFINED = re.compile(r"^(?:async +)?(?:def|class) +(\w+)", re.MULTILINE)


def of_session(notebook: Notebook, text: str) -> str:
    """The answer to a question about the notebook as a whole; empty where the text is none.

    What cells did is read off their first words and the names that they give, and not understood.
    """
    if not PATTERNS["whole"].search(text) or notebook.named:
        return ""
    return "\n\n".join([*_done(notebook), _held(notebook)] if PATTERNS["so far"].search(text) else [_held(notebook)])


def _held(notebook: Notebook) -> str:
    things = notebook.request.objects
    if not things:
        return "I was told of no data in this notebook: no frame, no R object, no other variable."
    if len(things) == 1:
        return describe(things[0])
    rest = f"\n- and {len(things) - _MOST:,} more" if len(things) > _MOST else ""
    return "It holds:\n\n" + "\n".join(f"- {_named(thing)}" for thing in things[:_MOST]) + rest


def _named(thing: Described) -> str:
    if not thing.is_frame:
        return describe(thing).split("\n", 1)[0]
    columns = [f"`{column.name}`" for column in thing.columns[:_MOST_NAMES]]
    rest = (thing.width or len(columns)) - len(columns)
    more = [f"{rest:,} more"] if rest > 0 else []
    return f"`{thing.name}`: {thing.label} of {size(thing)}, with {listed([*columns, *more])}"


def _done(notebook: Notebook) -> list[str]:
    cells = notebook.request.cells
    if not cells:
        return ["I was told of no cell that ran."]
    lines = [f"{place}. {_in_words(cell)}" for place, cell in enumerate(cells[-_MOST:], start=1)]
    count = (
        "The cell that ran last" if len(lines) == 1 else f"The {len(lines)} cells that ran last, the newest at the end"
    )
    return [f"{count}:\n\n" + "\n".join(lines)]


def _in_words(cell: str) -> str:
    imported = [python or library for python, library in _IMPORTED.findall(cell)]
    told = [
        ("runs", [magic[1]] if (magic := _MAGIC.match(cell)) else []),
        ("imports", imported),
        ("defines", _DEFINED.findall(cell)),
        ("makes", _MADE.findall(cell)),
    ]
    said = [f"{verb} {_names(names)}" for verb, names in told if names]
    first = next((line.strip() for line in cell.splitlines() if line.strip()), "")
    return ", ".join(said) if said else f"computes `{first[:60].replace('`', chr(39))}`"


def _names(names: list[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = [f"{len(unique) - _MOST_NAMES:,} more"] if len(unique) > _MOST_NAMES else []
    return listed([*(f"`{name}`" for name in unique[:_MOST_NAMES]), *more])
