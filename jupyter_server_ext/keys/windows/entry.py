"""One request's part in one window, from when it is taken until the window lets it go."""

from __future__ import annotations

import math

from jupyter_server_ext.keys.windows.variance import EXACT, Above


class Entry:
    """One request's part in one window.

    Attributes:
        amount: What it takes.
        prompt: The part of ``amount`` that is counted at admission by any provider.
        asked: The ``max_tokens`` it was sent with.
        taken: When it was taken.
        sent: When it was on its way; infinite until then.
        counted: When the provider had surely counted it, if it did not travel for too long; infinite until then.
        answered: When that was proven, because it was answered; infinite until then.
        expires: When the window lets it go; infinite until it is counted.
        used: How much was used when it was taken, itself included.
        settled: Whether it is over.
        above: How far ``amount`` is above the average.
        floor: The number of the floor that it is not included in.
        taker: The caller whose request it is; empty where nobody knows.
    """

    __slots__ = (
        "above",
        "amount",
        "answered",
        "asked",
        "counted",
        "expires",
        "floor",
        "prompt",
        "sent",
        "settled",
        "taken",
        "taker",
        "used",
    )

    def __init__(  # noqa: PLR0917
        self, amount: int, prompt: int, asked: int, now: float, used: int, above: Above = EXACT, taker: str = ""
    ) -> None:
        self.amount = amount
        self.prompt = prompt
        self.asked = asked
        self.taken = now
        self.sent = math.inf
        self.counted = math.inf
        self.answered = math.inf
        self.expires = math.inf
        self.used = used
        self.settled = False
        self.above = above
        self.floor = 0
        self.taker = taker

    @property
    def likely(self) -> int:
        """What it is likely to take in the end."""
        return self.amount if self.settled else self.amount - self.above.spread
