"""When an item of a study set is to be asked again, by how well it was answered, and who keeps that."""

# The schedule is SM-2: P. A. Woźniak, Optimization of learning, 1990, chapter 3.2,
# https://super-memory.com/english/ol/sm2.htm. An answer has a quality from 0 (nothing came to mind) to 5 (at once);
# below 3 the item begins anew, and its ease stays.

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 86_400.0  # seconds
KNOWN, NOT_YET = 4, 2  # qualities of an answer that was right, or not
_EASIEST, _LEAST_EASE = 2.5, 1.3
_FIRST, _SECOND = 1, 6  # days until the second and the third time
_LONGEST = 10_000  # characters of an answer that are kept
_MOST_DAYS = 3_650


@dataclass(frozen=True, slots=True)
class CardProgress:
    """How an item stands."""

    repetitions: int = 0  # right answers in a row
    ease: float = _EASIEST  # by which the days grow
    days: int = 0  # from the last answer to the next time
    due: float = 0.0  # Unix time of the next time; 0 for one that was never asked
    answers: int = 0
    right: int = 0
    last: str = ""  # what was answered last, where that is a text or a choice

    def answered(self, quality: int, now: float, answer: str = "") -> CardProgress:
        """How it stands after an answer of a quality from 0 to 5 at a Unix time.

        Raises:
            ValueError: There is no such quality.

        Example:
            >>> one = CardProgress()
            >>> [(one := one.answered(4, 0.0)).days for _ in range(4)]
            [1, 6, 15, 38]
            >>> (again := one.answered(1, 0.0)).days, again.repetitions, again.ease
            (1, 0, 2.5)
        """
        if not 0 <= quality <= 5:
            raise ValueError(f"a quality is 0 to 5, not {quality}")
        if quality < 3:
            repetitions, days, ease = 0, _FIRST, self.ease
        else:
            repetitions, grown = self.repetitions + 1, round(self.days * self.ease)
            days = _FIRST if repetitions == 1 else _SECOND if repetitions == 2 else min(grown, _MOST_DAYS)
            ease = max(_LEAST_EASE, self.ease + 0.1 - (5 - quality) * (0.08 + (5 - quality) * 0.02))
        right = self.right + (quality >= 3)
        due = now + days * DAY
        return CardProgress(repetitions, round(ease, 4), days, due, self.answers + 1, right, answer[:_LONGEST])


@dataclass
class StudyProgress:
    """How one's study set stands; ``save`` keeps what has changed.

    Example:
        >>> progress = StudyProgress(clock=lambda: 0.0)
        >>> progress.answer(1, KNOWN)
        'again tomorrow'
        >>> progress.order(3), progress.due(3)
        ([0, 2, 1], 2)
    """

    items: dict[int, CardProgress] = field(default_factory=dict)
    save: Callable[[int, CardProgress], None] = lambda *_: None
    clock: Callable[[], float] = time.time

    def of(self, item: int) -> CardProgress:
        """How an item stands; they are counted from 0."""
        return self.items.get(item, CardProgress())

    def answer(self, item: int, quality: int, answer: str = "") -> str:
        """Note an answer, and say when the item is asked again."""
        self.items[item] = now = self.of(item).answered(quality, self.clock(), answer)
        self.save(item, now)
        return f"again in {now.days:,} days" if now.days > 1 else "again tomorrow"

    def write(self, item: int, answer: str) -> None:
        """Note what somebody has written, which is not judged yet."""
        self.items[item] = now = replace(self.of(item), last=answer[:_LONGEST])
        self.save(item, now)

    def is_due(self, item: int) -> bool:
        """Whether it is time for an item."""
        return self.of(item).due <= self.clock()

    def order(self, count: int) -> list[int]:
        """The numbers of so many items: those that are due first, the others by their time."""
        return sorted(range(count), key=lambda item: (not self.is_due(item), self.of(item).due, item))

    def due(self, count: int) -> int:
        """How many of so many items are due."""
        return sum(map(self.is_due, range(count)))
