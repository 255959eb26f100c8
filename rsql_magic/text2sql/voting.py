"""Several drafts of one question: grouped by the rows that they give, the largest group wins.

Drafts that were written independently and give the same rows are more often right than any one of them
(self-consistency; Wang et al. 2022, arXiv 2203.11171, by results in place of words).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pandas as pd

    from rsql_magic.gateway.drafts import Round
    from rsql_magic.text2sql.drafts import Draft

DOUBTFUL = 3
"""Drafts compared where the first one leaves doubt."""

_LONG_QUESTION = 30
"""Words from which on a question is long enough for two readings."""
_DIGITS = 6
"""Significant digits in which two numbers are the same: sums of floats differ in the last ones."""
_SHOWN = 2


@dataclass(frozen=True, slots=True)
class DraftResult:
    """A draft that passed its checks, and the rows that it gave."""

    draft: Draft
    frame: pd.DataFrame

    @property
    def sql(self) -> str:
        """The draft's query."""
        return self.draft.sql


@dataclass(frozen=True, slots=True)
class Vote:
    """The drafts of one question by their results, the largest group first.

    Args:
        groups: Results of the same rows; of groups of one size the one with rows comes first, then the earliest.
        asked: Drafts that were asked for, also those that failed.
    """

    groups: tuple[tuple[DraftResult, ...], ...]
    asked: int

    @property
    def winner(self) -> DraftResult:
        """The earliest draft of the largest group."""
        return self.groups[0][0]

    @property
    def sentence(self) -> str:
        """How many drafts agree, and how the largest other group differs."""
        agreed = len(self.groups[0])
        if len(self.groups) == 1:
            return f"{agreed} of {self.asked} drafts give this result." if agreed > 1 else ""
        other = difference(self.winner.frame, self.groups[1][0].frame)
        return f"Drafts differ: {agreed} of {self.asked} give this result. Another {other}."


def compared(first: DraftResult, most: int, further: Callable[[int], DraftResult | None]) -> Vote:
    """Ask for further drafts until none can change which group is the largest.

    Args:
        first: The draft that is there.
        most: Drafts in all.
        further: Asks for the draft of a number, from 1; None where it fails.
    """
    results, asked = [first], 1
    while asked < most and not is_decided(results, most):
        result = further(asked)
        asked += 1
        results += [result] if result else []
    return voted(results, asked)


def voted(results: Sequence[DraftResult], asked: int) -> Vote:
    """Group results by their rows.

    Example:
        >>> import pandas as pd
        >>> from rsql_magic.text2sql.drafts import Draft
        >>> two, three = pd.DataFrame({"n": [2]}), pd.DataFrame({"n": [3]})
        >>> drafts = [("SELECT 2", two), ("SELECT 3", three), ("SELECT 1 + 2", three)]
        >>> vote = voted([DraftResult(Draft(sql), frame) for sql, frame in drafts], 3)
        >>> print(vote.winner.sql, "-", vote.sentence)
        SELECT 3 - Drafts differ: 2 of 3 give this result. Another gives 2 where this gives 3.
    """
    found: dict[Any, list[DraftResult]] = {}
    for result in results:
        found.setdefault(_key(result.frame), []).append(result)
    groups = sorted(found.values(), key=lambda group: (-len(group), is_empty(group[0].frame)))
    return Vote(tuple(map(tuple, groups)), asked)


def is_decided(results: Iterable[DraftResult], most: int) -> bool:
    """Whether no further draft can change which group of ``most`` drafts is the largest."""
    sizes = Counter(_key(result.frame) for result in results).most_common(2)
    left = most - sum(size for _, size in sizes)
    return len(sizes) > 0 and sizes[0][1] > (sizes[1][1] if len(sizes) > 1 else 0) + left


def is_doubtful(question: str, rounds: Sequence[Round[Draft]], frame: pd.DataFrame) -> bool:
    """Whether a first draft is worth comparing: the model had to correct it, it found nothing, or much was asked."""
    asked = sum(not each.mended for each in rounds)
    return asked > 1 or is_empty(frame) or len(question.split()) >= _LONG_QUESTION


def is_empty(frame: pd.DataFrame) -> bool:
    """Whether a result says nothing: no row, or one row of missing values."""
    return bool(frame.empty or (len(frame) == 1 and frame.isna().all(axis=None)))


def difference(here: pd.DataFrame, there: pd.DataFrame) -> str:
    """How another result differs from this one, in the fewest rows that tell them apart.

    Example:
        >>> import pandas as pd
        >>> difference(pd.DataFrame({"shop": ["N", "S"]}), pd.DataFrame({"shop": ["N"]}))
        'leaves out (S)'
    """
    if is_empty(there):
        return "gives no rows"
    if here.shape == there.shape == (1, 1):
        return f"gives {_text(there.iat[0, 0])} where this gives {_text(here.iat[0, 0])}"
    if here.shape[1] != there.shape[1]:
        return f"has {there.shape[1]} column{'s' * (there.shape[1] != 1)} where this has {here.shape[1]}"
    ours, theirs = Counter(_rows(here)), Counter(_rows(there))
    more, less = list((theirs - ours).elements()), list((ours - theirs).elements())
    parts = [f"{verb} {_listed(rows)}" for verb, rows in (("adds", more), ("leaves out", less)) if rows]
    return " and ".join(parts) or "gives the same rows in another order"


def _listed(rows: Sequence[tuple[str, ...]]) -> str:
    shown = ", ".join(f"({', '.join(row)})" for row in rows[:_SHOWN])
    return f"{shown} and {len(rows) - _SHOWN:,} more rows" if len(rows) > _SHOWN else shown


def _key(frame: pd.DataFrame) -> Any:
    """Equal for frames of the same rows, in whatever order rows and columns stand."""
    return frame.shape, frozenset(Counter(tuple(sorted(row)) for row in _rows(frame)).items())


def _rows(frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    return (tuple(map(_text, row)) for row in frame.itertuples(index=False, name=None))


def _text(value: Any) -> str:
    if isinstance(value, bool) or not hasattr(value, "__float__") or isinstance(value, str):
        return str(value)
    number = float(value)
    return "" if number != number else f"{number:.{_DIGITS}g}"  # noqa: PLR0124 - only NaN differs from itself
