"""Whether R code may show a restricted column of a data frame: each use of the frame has to be one that is known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# What reaches frames without their names.
_REACHING = re.compile(
    r"\b(?:get0?|mget|eval|evalq|parse|do\.call|attach|globalenv|environment|as\.name|sym|match\.fun|source|load"
    r"|sys\.frame|parent\.frame|as\.environment|Reduce|Map|ls)\s*\(|\.GlobalEnv|!!|\{\{"
)
_PIPE = r"\s*(?:\|>|%>%)\s*(?:dplyr::)?"


def may_tell_in_r(
    codes: Iterable[str], tables: Mapping[str, Iterable[str]], restricts: Callable[[str], bool]
) -> list[str]:
    """The restricted columns that R code may show, as ``frame$column``; none where it is shown that it does not.

    Args:
        codes: R code, of which is known that it parses.
        tables: The data frames of the session with their columns.
        restricts: Whether a column of a name is restricted.

    Example:
        >>> tables = {"people": ["name", "city"]}
        >>> codes = "table(people$city)", "length(unique(people$name))", "people |> count(city)", "print(people)"
        >>> [may_tell_in_r([code], tables, {"name"}.__contains__) for code in codes]
        [[], [], [], ['people$name']]
    """
    found: list[str] = []
    for frame, columns in tables.items():
        names = list(columns)
        hidden = [name for name in names if restricts(name)]
        if hidden and any(not _is_free(code, frame, set(names) - set(hidden), hidden) for code in codes):
            found += [f"{frame}${name}" for name in hidden]
    return found


def _is_free(code: str, frame: str, free: set[str], hidden: list[str]) -> bool:
    """Whether all that the code does with a frame is to take free columns of it, or to count."""
    if _REACHING.search(code):
        return False
    name = rf"(?<![\w.$@\"'`]){re.escape(frame)}"
    columns = "|".join(sorted(map(re.escape, free), key=len, reverse=True)) or r"(?!)"
    secrets = "|".join(map(re.escape, hidden))
    end, listed = r"(?![\w.])", rf"(?:{columns})(?:\s*,\s*(?:{columns}))*"
    known = (
        rf"{name}\s*\$\s*(?:{columns}){end}",
        rf"{name}\s*\[\[\s*([\"'])(?:{columns})\1\s*\]\]",
        rf"(?:nrow|ncol|dim|names|colnames)\s*\(\s*{name}\s*\)",
        rf"length\s*\(\s*unique\s*\(\s*{name}\s*\$\s*(?:{secrets}){end}\s*\)\s*\)",
        rf"sum\s*\(\s*is\.na\s*\(\s*{name}\s*\$\s*(?:{secrets}){end}\s*\)\s*\)",
        rf"{name}{_PIPE}(?:count|select|distinct)\s*\(\s*{listed}\s*\)",
        rf"{name}{_PIPE}(?:nrow|ncol|names)\s*\(\s*\)",
        rf"{name}{_PIPE}group_by\s*\(\s*{listed}\s*\){_PIPE}summari[sz]e\s*\((?:\s*[\w.]+\s*=\s*(?:n\(\)|\w+\(\s*(?:{columns})"
        rf"\s*(?:,\s*na\.rm\s*=\s*(?:TRUE|FALSE)\s*)?\))\s*,?)+\s*\)",
    )
    left = re.sub("|".join(f"(?:{one})" for one in known[:1] + known[2:]), " 0 ", re.sub(known[1], " 0 ", code))
    return re.search(rf"(?<![\w.]){re.escape(frame)}(?![\w.])", left) is None
