"""Read descriptions of data frames and R objects out of a prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import facts as fact_text
from .facts import Facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .prompt import Block

_HEADER = re.compile(
    r"^(?P<name>[^:\n]+): (?P<kind>[^,\n]+), (?P<rows>≈?[\d,]+) rows? × (?P<columns>[\d,]+) columns?(?P<rest>.*)$",
    re.MULTILINE,
)
_COLUMN = re.compile(
    r"^- (?P<name>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|.+?) (?P<type>[^\s:]+(?:\[[^\]]*\])?)"
    r"(?: \((?P<many>[\d,]+) columns\))?(?:: (?P<facts>.*))?$"
)
_HIDDEN = re.compile(r"^\(\+([\d,]+) columns? not shown\)")
_OBJECT = re.compile(r"^(?P<name>[^:\n]{1,80}): (?P<kind>[^\n]+)")


@dataclass(frozen=True, slots=True)
class FrameColumn:
    """A column of a frame, or a run of alike columns; ``many`` is how many it stands for."""

    name: str
    type: str
    facts: Facts = field(default_factory=Facts)
    many: int = 1

    @property
    def is_number(self) -> bool:
        """True for numeric types of pandas, polars, Arrow and R."""
        kind = self.type.lower().strip("<>")
        return kind.startswith(
            ("int", "uint", "float", "decimal", "dbl", "double", "num", "i32", "i64", "f32", "f64", "integer")
        )

    @property
    def is_time(self) -> bool:
        """True for dates and times."""
        return self.type.lower().strip("<>").startswith(("date", "time", "posix", "dttm"))

    @property
    def is_text(self) -> bool:
        """True for text and categories."""
        return (
            not self.is_number
            and not self.is_time
            and not self.type.lower().startswith(("bool", "logical", "lgl", "list"))
        )


@dataclass(frozen=True)
class Frame:
    """A data frame of Python or R, or another object with its description in ``text``.

    Args:
        name: What the user calls it.
        kind: What it is: ``pandas DataFrame``, ``R data.frame``, ``R lm model``, ``int 3``.
        rows: Number of rows, or None.
        n_columns: Number of all columns, or None for what has none.
        columns: Those described.
        hidden: How many columns were left out.
        sampled: True when figures come from a sample.
        text: The description as it stands.
        is_r: Whether it lives in R.
    """

    name: str
    kind: str
    rows: int | None = None
    n_columns: int | None = None
    columns: tuple[FrameColumn, ...] = ()
    hidden: int = 0
    sampled: bool = False
    text: str = ""
    is_r: bool = False

    @property
    def language(self) -> str:
        """``r``, ``polars`` or ``pandas``: whose code works on it."""
        if self.is_r:
            return "r"
        return "polars" if "polars" in self.kind.lower() else "pandas"

    @property
    def is_frame(self) -> bool:
        """Whether it is a data frame, with named columns."""
        return self.n_columns is not None and _FRAME.search(self.kind) is not None

    def get(self, name: str) -> FrameColumn | None:
        """The column of that name, case ignored when no exact match exists."""
        exact = next((c for c in self.columns if c.name == name), None)
        return exact or next((c for c in self.columns if c.name.lower() == name.lower()), None)


_FRAME = re.compile(r"data\.?frame|lazyframe|tibble|data\.table|arrow|\btable\b", re.IGNORECASE)


def read(blocks: Iterable[Block]) -> list[Frame]:
    r"""The frames and objects in these blocks, in order.

    Example:
        >>> from jupyter_server_ext.offline.prompt import Block
        >>> read([Block("frame", "df", "df: pandas DataFrame, 3 rows × 1 column\n- a int64: 1..3")])[0].columns[0].name
        'a'
    """
    found: dict[tuple[str, bool], Frame] = {}
    for block in blocks:
        for frame in _frames(block):
            found.setdefault((frame.name, frame.is_r), frame)
    return list(found.values())


def _frames(block: Block) -> Iterator[Frame]:
    headers = list(_HEADER.finditer(block.text))
    for place, header in enumerate(headers):
        end = headers[place + 1].start() if place + 1 < len(headers) else len(block.text)
        yield _frame(header, block.text[header.end() : end], block)
    if not headers:
        for line in block.text.strip().splitlines():
            if match := _OBJECT.match(line):
                yield Frame(match["name"].strip(), match["kind"].strip(), text=line, is_r=block.kind == "r")


def _frame(header: re.Match[str], body: str, block: Block) -> Frame:
    columns, hidden = [], 0
    for line in body.splitlines():
        if match := _HIDDEN.match(line.strip()):
            hidden = _number(match[1])
        elif match := _COLUMN.match(line.strip()):
            many = _number(match["many"]) if match["many"] else 1
            facts = fact_text.parse(match["facts"] or "")
            columns.append(FrameColumn(_unquoted(match["name"]), match["type"], facts, many))
    sampled = "≈" in header["rest"]
    shape = _number(header["rows"]), _number(header["columns"])
    is_r = block.kind == "r" or header["kind"].startswith("R ")
    return Frame(header["name"].strip(), header["kind"].strip(), *shape, tuple(columns), hidden, sampled, body, is_r)


def _unquoted(name: str) -> str:
    """A column's name as it is: names that need quotes are described with them."""
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" else name


def _number(text: str) -> int:
    return int(text.replace(",", "").replace("≈", ""))
