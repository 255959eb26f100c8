"""When an item of a study set is to be asked again, by how well it was answered, and who keeps that."""

# The schedule is SM-2: P. A. Woźniak, Optimization of learning, 1990, chapter 3.2,
# https://super-memory.com/english/ol/sm2.htm. An answer has a quality from 0 (nothing came to mind) to 5 (at once);
# below 3 the item begins anew, and its ease stays.

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
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

    @property
    def day(self) -> date:
        """The day of the next time, by the clock of this machine: so many days after that of the last answer.

        Example:
            >>> once = CardProgress().answered(4, 0.0)
            >>> (once.day - CardProgress().answered(4, -DAY).day).days
            1
        """
        return _day(self.due - self.days * DAY) + timedelta(self.days)

    def is_due(self, now: float) -> bool:
        """Whether it is time at a Unix time: from the midnight of its day on, or where it was never asked."""
        return not self.answers or _day(now) >= self.day

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

    def rehearsed(self, answer: str = "") -> CardProgress:
        """How it stands after a right answer before its time, which is no proof that it lasts: its day stays.

        Example:
            >>> once = CardProgress().answered(4, 0.0)
            >>> once.rehearsed().due == once.due
            True
        """
        known, answers, right = max(1, self.repetitions), self.answers + 1, self.right + 1
        return replace(self, repetitions=known, answers=answers, right=right, last=answer[:_LONGEST])


@dataclass
class StudyProgress:
    """How one's study set stands; ``save`` keeps what has changed, ``kept`` gives what another view of the set kept.

    ``save`` gives why something is not kept, empty where it is; ``lost`` says so of the last answer.

    Example:
        >>> progress = StudyProgress(clock=lambda: 0.0)
        >>> progress.answer(1, KNOWN)
        'again tomorrow'
        >>> progress.order(3), progress.due(3), progress.stands(3)
        ([0, 2, 1], 2, '1 of 3 known, 2 due now')
    """

    items: dict[int, CardProgress] = field(default_factory=dict)
    save: Callable[[int, CardProgress], str] = lambda *_: ""
    clock: Callable[[], float] = time.time
    kept: Callable[[int], CardProgress | None] = lambda _: None
    lost: str = ""

    def of(self, item: int) -> CardProgress:
        """How an item stands; they are counted from 0."""
        return self.items.get(item, CardProgress())

    def answer(self, item: int, quality: int, answer: str = "") -> str:
        """Note an answer, and say when the item is asked again."""
        before, now = self._latest(item), self.clock()
        early = quality >= KNOWN and not before.is_due(now)
        after = before.rehearsed(answer) if early else before.answered(quality, now, answer)
        self.lost = self._note(item, after)
        days = (after.day - _day(now)).days
        said = f"again in {days:,} days" if days > 1 else "again tomorrow"
        return f"{said}, but {self.lost}" if self.lost else said

    def write(self, item: int, answer: str) -> None:
        """Note what somebody has written, which is not judged yet."""
        self._note(item, replace(self._latest(item), last=answer[:_LONGEST]))

    # What was not kept, such as on a full disk, counts in this view all the same.
    def _latest(self, item: int) -> CardProgress:
        mine, kept = self.of(item), self.kept(item)
        return kept if kept is not None and kept.answers >= mine.answers else mine

    def _note(self, item: int, now: CardProgress) -> str:
        self.items[item] = now
        why = self.save(item, now)
        return f"this is not kept: {why}" if why else ""

    def is_due(self, item: int) -> bool:
        """Whether it is time for an item."""
        return self.of(item).is_due(self.clock())

    def order(self, count: int) -> list[int]:
        """The numbers of so many items: those that are due first, the others by their time."""
        return sorted(range(count), key=lambda item: (not self.is_due(item), self.of(item).due, item))

    def due(self, count: int) -> int:
        """How many of so many items are due."""
        return sum(map(self.is_due, range(count)))

    def known(self, count: int) -> int:
        """How many of so many items were answered rightly the last time."""
        return sum(self.of(item).repetitions > 0 for item in range(count))

    def when(self, count: int) -> str:
        """How many of so many items are due, or on which day, by the clock of this machine, the next one is."""
        if due := self.due(count):
            return f"{due} due now"
        soonest = min((self.of(item).day for item in range(count)), default=_day(self.clock()))
        return f"the next is due on {soonest}"

    def stands(self, count: int) -> str:
        """In words, how many of so many items are known, and when there is something to do."""
        return f"{self.known(count)} of {count} known, {self.when(count)}"


def _day(moment: float) -> date:
    return date(*time.localtime(moment)[:3])
