"""Try what R's lists call harmless: whatever the check lets through of each function is called under the monitor.

`python effects_entries_r.py [package::function …]` prints each entry that acts, or that no call reached.
"""

# ruff: noqa: E501

from __future__ import annotations

import argparse
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from effects_entries import in_parts
from effects_monitor import Group, Seen, watch

import rsql_magic
from rsql_magic.agent.effects.cells import SessionNames
from rsql_magic.agent.effects.r import r_effects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LISTS = Path(rsql_magic.__file__).parent / "agent/effects/lists/r"
SHARED = 20
"""How many entries share a process; where one of them acts, each is tried by itself."""
# What stands in the session, and what calls are made of: texts that are names of files as well, there and not there.
GIVEN = {
    "df": 'data.frame(a = c(1, 2, 2, 5), b = c(2, 4, 1, 3), c = c("x", "y", "y", "x"))',
    "m": "lm(mpg ~ wt, mtcars)",
    "p": "ggplot2::ggplot(mtcars, ggplot2::aes(wt, mpg)) + ggplot2::geom_point()",
    "dt": "data.table::data.table(a = 1:4, b = 4:1)",
    "hc": "hclust(dist(matrix(1:8, 4)))",
}
VALUES = (
    '"made"', '"HITKEEP"', '"a"', "1", "c(1, 2, 4)", "df", "mean", "mpg ~ wt", "TRUE", 'list(a = 1, b = "x")', "letters[1:4]",
    "m", 'as.Date("2024-01-01")', 'factor(c("x", "y", "y", "x"))', "matrix(c(4, 1, 1, 3), 2)", "ts(1:24, frequency = 12)", "p",
    "function(x, ...) x", "dt", "a", "hc", 'as.POSIXct("2024-01-01", tz = "UTC")', "mtcars", "~ .x", '"2024-01-01"',
)  # fmt: skip
# Calls of entries that need other values than these, or would wait for as long as these say.
OF_THEIR_OWN = json.loads(Path(__file__).with_name("effects_entries_r.json").read_text("utf-8"))


@dataclass(frozen=True)
class TriedInR:
    """What became of an entry: whether a call reached it, and what it did."""

    name: str
    reached: bool
    effects: tuple[tuple[str, str], ...]


def listed_in_r() -> dict[str, list[str]]:
    """The entries of R's lists, `package::function`, with the names of their arguments."""
    return {
        f"{place.stem}::{name}": formals.split()
        for place in sorted(LISTS.glob("*.json"))
        for name, formals in json.loads(place.read_text("utf-8"))["functions"].items()
    }


def calls_of(name: str, formals: Sequence[str]) -> list[str]:
    """Calls of an entry that the check lets through."""
    if name in OF_THEIR_OWN:
        return [call for call in OF_THEIR_OWN[name] if not _asks(call)]
    package, _, function = name.partition("::")
    written = function if re.fullmatch(r"[A-Za-z.][\w.]*", function) else f"`{function}`"
    head = written if package == "base" else f"{package}::{written}"
    chance = random.Random(name)
    made = [f"{head}()", *(f"{head}({value})" for value in VALUES)]
    made += [f"{head}({', '.join(chance.choice(VALUES) for _ in range(count))})" for count in (2, 2, 2, 3, 3, 4) * 2]
    for formal in formals:
        if formal != "...":
            start = chance.choice(("", "c(1, 2, 4), ", "df, ", '"a", ', "m, "))
            made += [f"{head}({start}{formal} = {value})" for value in ('"made"', '"HITKEEP"', chance.choice(VALUES))]
    return [call for call in dict.fromkeys(made) if not _asks(call)]


_LIBRARIES = "library(dplyr)\nlibrary(tidyr)\nlibrary(ggplot2)\nlibrary(data.table)\n"
_SESSION = SessionNames(
    r_objects={
        "df": "data.frame", "m": "lm", "p": "list", "dt": "data.table/data.frame", "hc": "hclust", "a": "numeric",
    },
    r_packages=("data.table", "ggplot2", "tidyr", "dplyr", "lubridate"),
)  # fmt: skip


def _asks(call: str) -> bool:
    return any(True for _ in r_effects(call, _SESSION))


# A call has a second of the processor, so that none takes what is left to the others; a few plots show what drawing does.
_TRIES = """
..reached <- ..drawn <- 0
..try <- function(call) {
  on.exit(setTimeLimit())
  setTimeLimit(cpu = 1, transient = TRUE)
  value <- tryCatch({ call; ..reached <<- ..reached + 1; call }, error = function(e) NULL)
  if (..drawn < 6 && inherits(value, "gg")) {
    ..drawn <<- ..drawn + 1
    tryCatch(print(p + value), error = function(e) NULL)
  }
}
"""


def _cell(calls: Iterable[str]) -> str:
    prepared = "".join(f"{name} <- {code}\n" for name, code in GIVEN.items())
    tried = "".join(f"..try({call})\n" for call in calls)
    return (
        f"suppressPackageStartupMessages({{\n{_LIBRARIES}}})\na <- 1\n{prepared}{_TRIES}{tried}"
        'if (!..reached) stop("no call was taken")'
    )


def tried_in_r(names: Iterable[str]) -> list[TriedInR]:
    """Call each entry as the check lets through, and tell what that did."""
    entries = listed_in_r()
    cells = {name: _cell(calls) for name in names if (calls := calls_of(name, entries[name]))}
    kept, seen = list(cells), {}
    for start in range(0, len(kept), SHARED * 8):
        part = kept[start : start + SHARED * 8]
        groups = [part[at : at + SHARED] for at in range(0, len(part), SHARED)]
        watched = watch([Group([cells[name] for name in group]) for group in groups], "r", seconds=8)
        seen |= dict(zip((name for group in groups for name in group), watched, strict=True))
        again = [name for group in groups if any(_acts(seen[name]) for name in group) for name in group]
        seen |= dict(zip(again, watch([cells[name] for name in again], "r", seconds=20), strict=True)) if again else {}
    return [
        TriedInR(name, name in seen and seen[name].ended and not seen[name].error, tuple(_effects(seen.get(name))))
        for name in names
    ]


def _acts(seen: Seen) -> bool:
    return bool(_effects(seen)) or not seen.ended


def _effects(seen: Seen | None) -> list[tuple[str, str]]:
    return [each for each in seen.effects if each[0] != "page"] if seen else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="entries, or packages; all of them without")
    parser.add_argument("--minutes", type=float, help="begin nothing new after so many; without it all are tried")
    options = parser.parse_args()
    names = options.names
    chosen = [each for each in listed_in_r() if not names or each in names or each.partition("::")[0] in names]
    raise SystemExit(in_parts(chosen, tried_in_r, options.minutes))


if __name__ == "__main__":
    main()
