"""The cells of a notebook as a view sees them, and as much of them as a prompt has room for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.errors import BadInput
from rsql_magic.plain_text import printable
from rsql_magic.sql import count_tokens, fence, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CellType = Literal["code", "markdown", "raw"]

MOST_CELLS = 5_000  # that a view may name
_MOST_SHOWN = 200
_LONGEST = 4_000_000  # characters of all sources together
_MAGIC = re.compile(r"\s*(%%\S+)[^\n]*")
_LANGUAGES = {"%%R": "r", "%%sql": "sql", "%%sql_ai": "sql"}
_SPARE = 30  # tokens of a cell's fence


@dataclass(frozen=True, slots=True)
class NotebookCell:
    r"""One cell; ``number`` counts from 1 in the notebook's order, ``state`` says whether and how it ran.

    Example:
        >>> NotebookCell("a1", 3, "code", "%%R -i df\\nsummary(df)").language
        'r'
    """

    id: str
    number: int
    type: CellType
    source: str
    state: str = ""  # ``not run``, ``run [3]``, ``running``, ``failed [3]``

    @property
    def magic(self) -> str:
        """The whole first line where it is a cell magic, else empty."""
        match = _MAGIC.match(self.source) if self.type == "code" else None
        return match[0].strip() if match else ""

    @property
    def language(self) -> str:
        """The language of the source."""
        if self.type != "code":
            return "markdown" if self.type == "markdown" else "text"
        return _LANGUAGES.get(self.magic.partition(" ")[0], "python")

    def text(self) -> str:
        """The cell as a model reads it."""
        kind = f"cell {self.number}, {self.language}{f', {one_line(self.state, 30)}' if self.state else ''}"
        return fence("cell", kind, printable(self.source))


@dataclass(frozen=True)
class NotebookCells:
    """All cells of a notebook, and the place of the active one."""

    cells: tuple[NotebookCell, ...] = ()
    active: int = 0  # counted from 0

    @classmethod
    def read(cls, given: Any) -> NotebookCells:
        """What a view tells: ``{"cells": [{"id", "type", "source", "state"}, …], "active": 0}``.

        Raises:
            BadInput: It is of another form, or too large.

        Example:
            >>> NotebookCells.read({"cells": [{"id": "a", "type": "code", "source": "1"}]}).cells[0].number
            1
        """
        try:
            listed = [
                NotebookCell(
                    _text(each["id"]), number, _type(each["type"]), _text(each["source"]), _text(each.get("state", ""))
                )
                for number, each in enumerate(given["cells"][: MOST_CELLS + 1], 1)
            ]
            active = int(given.get("active") or 0)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise BadInput("The panel did not understand the notebook's cells.", hint="Reload the page.") from None
        if len({cell.id for cell in listed}) != len(listed):
            raise BadInput("Two cells of the notebook have one id.", hint="Save the notebook and open it again.")
        if len(listed) > MOST_CELLS or sum(len(cell.source) for cell in listed) > _LONGEST:
            raise BadInput("The notebook is too large to be changed by the assistant.", hint="Split it.")
        return cls(tuple(listed), min(max(active, 0), max(len(listed) - 1, 0)))

    def __iter__(self) -> Iterator[NotebookCell]:
        return iter(self.cells)

    def numbered(self, number: int) -> NotebookCell | None:
        """The cell of a number."""
        return self.cells[number - 1] if 1 <= number <= len(self.cells) else None

    def within(self, tokens: int) -> tuple[NotebookCell, ...]:
        """The cells that are shown: nearest to the active one first, as far as the tokens reach, in their order.

        Example:
            >>> cells = [{"id": n, "type": "code", "source": f"{n} = 1"} for n in "abc"]
            >>> [cell.id for cell in NotebookCells.read({"cells": cells, "active": 2}).within(70)]
            ['b', 'c']
        """
        left, shown = tokens, list[NotebookCell]()
        for cell in sorted(self.cells, key=lambda cell: abs(cell.number - 1 - self.active)):
            cost = count_tokens(cell.source) + _SPARE
            if cost <= left and len(shown) < _MOST_SHOWN:
                shown.append(cell)
                left -= cost
        return tuple(sorted(shown, key=lambda cell: cell.number))

    def text(self, tokens: int) -> str:
        """The notebook as a model reads it; what has no room is said."""
        if not self.cells:
            return "The notebook has no cells yet."
        shown = self.within(tokens)
        absent = _ranges({cell.number for cell in self.cells} - {cell.number for cell in shown})
        count = f"{len(self.cells)} cell{'s' * (len(self.cells) > 1)}"
        active = f"The notebook has {count}; cell {self.active + 1} is the active one."
        left_out = f" Not shown, and not to be edited: {absent}." if absent else ""
        return "\n\n".join([f"{active}{left_out}", *(cell.text() for cell in shown)])


def _ranges(numbers: Sequence[int] | set[int]) -> str:
    """Numbers as ranges.

    Example:
        >>> _ranges([1, 2, 3, 7])
        '1–3, 7'
    """
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in found)


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise TypeError(given)
    return given


def _type(given: Any) -> CellType:
    if given not in {"code", "markdown", "raw"}:
        raise ValueError(given)
    kind: CellType = given
    return kind
