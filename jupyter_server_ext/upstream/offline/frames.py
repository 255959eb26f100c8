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
    r"^- (?P<name>.+?) (?P<type>[^\s:]+(?:\[[^\]]*\])?)(?: \((?P<many>[\d,]+) columns\))?(?:: (?P<facts>.*))?$"
)
_HIDDEN = re.compile(r"^\(\+([\d,]+) columns? not shown\)")
_OBJECT = re.compile(r"^(?P<name>[^:\n]+): (?P<kind>[^\n]+)")


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
    """A data frame of Python or R, or another R object with its description in ``text``."""

    name: str
    kind: str
    rows: int | None = None
    n_columns: int | None = None
    columns: tuple[FrameColumn, ...] = ()
    hidden: int = 0
    sampled: bool = False
    text: str = ""

    @property
    def language(self) -> str:
        """``r``, ``polars`` or ``pandas``: whose code works on it."""
        kind = self.kind.lower()
        if "polars" in kind:
            return "polars"
        is_r = kind.startswith("r ") or any(word in kind for word in ("data.frame", "tibble", "tbl", "data.table"))
        return "r" if is_r else "pandas"

    @property
    def is_table(self) -> bool:
        """Whether it has rows and columns."""
        return self.n_columns is not None

    def get(self, name: str) -> FrameColumn | None:
        """The column of that name, case ignored when no exact match exists."""
        exact = next((c for c in self.columns if c.name == name), None)
        return exact or next((c for c in self.columns if c.name.lower() == name.lower()), None)


def read(blocks: Iterable[Block]) -> list[Frame]:
    r"""The frames and R objects in these blocks, in order.

    Example:
        >>> read([Block("frame", "df", "df: pandas DataFrame, 3 rows × 1 column\n- a int64: 1..3")])[0].columns[0].name
        'a'
    """
    found: dict[str, Frame] = {}
    for block in blocks:
        for frame in _frames(block):
            found.setdefault(frame.name, frame)
    return list(found.values())


def _frames(block: Block) -> Iterator[Frame]:
    headers = list(_HEADER.finditer(block.text))
    for place, header in enumerate(headers):
        end = headers[place + 1].start() if place + 1 < len(headers) else len(block.text)
        yield _frame(header, block.text[header.end() : end], block)
    if not headers and block.text.strip():
        first = _OBJECT.match(block.text.strip())
        name = first["name"].strip() if first and len(first["name"]) < 80 else block.name
        yield Frame(name, first["kind"].strip() if first else block.kind, text=block.text.strip())


def _frame(header: re.Match[str], body: str, block: Block) -> Frame:
    columns, hidden = [], 0
    for line in body.splitlines():
        if match := _HIDDEN.match(line.strip()):
            hidden = _number(match[1])
        elif match := _COLUMN.match(line.strip()):
            many = _number(match["many"]) if match["many"] else 1
            columns.append(FrameColumn(match["name"], match["type"], fact_text.parse(match["facts"] or ""), many))
    kind = header["kind"].strip()
    if block.kind == "r" and not kind.lower().startswith("r "):
        kind = f"R {kind}"
    sampled = "≈" in header["rest"]
    return Frame(
        header["name"].strip(),
        kind,
        _number(header["rows"]),
        _number(header["columns"]),
        tuple(columns),
        hidden,
        sampled,
        body,
    )


def _number(text: str) -> int:
    return int(text.replace(",", "").replace("≈", ""))
