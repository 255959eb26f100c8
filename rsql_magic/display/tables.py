"""Tables: values as short texts, the top of a frame as HTML and as text, and small tables of words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rsql_magic.display.screens import CellOutput
from rsql_magic.plain_text import html_text, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

LONGEST = 200  # characters of a value that are shown

_DIGITS = 6  # that a column's largest number is shown with
_CENTS = 2  # decimals that are shown of larger numbers, too
_MOST_FIXED = 1e15  # beyond, a float has no decimals of its own
_TAGS = {"table", "thead", "tbody", "tr", "th", "td", "i", "p", "span"}


def texts_by_row(frame: pd.DataFrame) -> list[tuple[str | None, ...]]:
    """The rows of a small frame, as ``texts`` shows its columns."""
    return list(zip(*(texts(frame.iloc[:, number]) for number in range(frame.shape[1])), strict=True))


def on_the_right(frame: pd.DataFrame) -> list[bool]:
    """Which columns hold numbers, which stand on the right so that their digits line up."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return [bool(is_numeric_dtype(kind) and not is_bool_dtype(kind)) for kind in frame.dtypes]


def texts(column: pd.Series[Any]) -> list[str | None]:
    """The values of a column; None stands for no value."""
    # Floating-point numbers have as many decimals as the others, so that the digits line up: what six significant
    # digits of the largest allow, two at least, and no more than any of them needs. Where that would hide a small one,
    # each is shown by itself.
    import pandas as pd

    values = [None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in column]
    floats = [value for value in values if isinstance(value, float)]
    decimals = _decimals(floats)
    form = f".{_DIGITS}g" if decimals is None else f".{decimals}f"
    written = [f"{value:{form}}" if isinstance(value, float) else value for value in values]
    words = [None if value is None else str(value) for value in written]
    return [word if word is None or len(word) <= LONGEST else word[: LONGEST - 1] + "…" for word in words]


# How many decimals show all of these numbers; None where no common number does.
def _decimals(floats: list[float]) -> int | None:
    sizes = [abs(value) for value in floats if value and abs(value) != float("inf")]
    if not sizes:
        return 0 if floats else None
    if max(sizes) >= _MOST_FIXED:
        return None
    before_point = len(str(int(max(sizes))))
    most = max(_CENTS, _DIGITS - before_point)
    if min(sizes) < 10.0 ** (1 - most):  # fewer than two digits of it would be seen
        return None
    return min(most, max(len(f"{size:.{most}f}".rstrip("0").partition(".")[2]) for size in sizes))


def table_html(frame: pd.DataFrame, *, rows: int, columns: int) -> str:
    """The top of a frame as an HTML table, all of it escaped, on one line so that Markdown leaves it alone.

    Numbers stand on the right, so that their digits line up.
    """
    part = frame.iloc[:rows, :columns]
    more = "…" if frame.shape[1] > columns else ""
    right = on_the_right(part)
    head = [html_text(str(name)) for name in part.columns]
    body = [["<i>NULL</i>" if text is None else html_text(text) for text in row] for row in texts_by_row(part)]
    return _table(head, body, [' style="text-align:right"' if each else "" for each in right], more)


# An HTML table of escaped cells, a style for each column; `more` ends each row where columns are left out.
def _table(head: list[str], body: list[list[str]], sides: list[str], more: str = "") -> str:
    import nh3

    def line(tag: str, cells: list[str]) -> str:
        written = "".join(f"<{tag}{side}>{text}</{tag}>" for side, text in zip(sides, cells, strict=True))
        return f"<tr>{written}{f'<{tag}>{more}</{tag}>' if more else ''}</tr>"

    lines = "".join(line("td", row) for row in body)
    html = f"<table><thead>{line('th', head)}</thead><tbody>{lines}</tbody></table>"
    styled: dict[str, set[str]] = {"td": {"style"}, "th": {"style"}}
    # Whatever the cells were made of, nothing but a table and small text is left, on one line for Markdown.
    clean = nh3.clean(html, tags=_TAGS, attributes=styled, filter_style_properties={"text-align"}, link_rel=None)
    return re.sub(r"[$\\`@]", lambda sign: f"&#{ord(sign[0])};", clean).replace("\n", " ")


def table_plain(frame: pd.DataFrame, *, rows: int, columns: int) -> str:
    """The top of a frame as text."""
    return printable(frame.head(rows).to_string(index=False, max_cols=columns, na_rep="NULL", max_colwidth=60))


def listing(rows: Sequence[Sequence[str]], header: Sequence[str]) -> CellOutput:
    """A small table of text, such as models or keys, as Markdown and as plain text."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    plain = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
    head, *body = [list(map(html_text, line)) for line in lines]
    return CellOutput(_table(head, body, [""] * len(header)), plain)
