"""Waiting without a person: what is tried again, when, and until when a batch run waits."""

from __future__ import annotations

import math
import secrets
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from rsql_magic.errors import AnswerCut, GatewayError, GatewayUnreachable, LimitReached
from rsql_magic.gateway.events import Text, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from typing import Unpack

    from rsql_magic.gateway.client import LLMClient, Message, StreamOptions, Vectors
    from rsql_magic.gateway.events import Event

T = TypeVar("T")

DEADLINE = 3600.0  # seconds, where none was given
_AT_START = 5.0  # seconds for a gateway that has not answered yet, where no deadline was given
_PAUSES = (0.5, 30.0)  # seconds: the first, and the longest, where the gateway does not say when to come back
_PASSING = frozenset({502, 503, 504})  # a gateway that restarts, or whose keys are all busy
_HELD = 200_000  # characters of an answer that are held back until it is whole


def can_pass(error: GatewayError) -> bool:
    """Whether an error may be gone later: a limit, a gateway that is away or restarts, an answer that broke off.

    Example:
        >>> can_pass(GatewayError("Restarting.", status=503)), can_pass(GatewayError("No such model.", status=404))
        (True, False)
    """
    if isinstance(error, AnswerCut):
        return bool(error.code)  # one that was cut here, as it took too long, has none
    return isinstance(error, GatewayUnreachable | LimitReached) or error.status in _PASSING


@dataclass
class Patience:
    """How long the questions of a batch run wait; ``deadline`` gives seconds for each, None for an hour.

    ``until`` is the time by ``now`` at which the whole run must be done, for which a question waits where there is no
    ``deadline``.
    """

    deadline: Callable[[], float | None]
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    answered: bool = False  # whether a gateway answered in this run
    until: float = math.inf
    now: Callable[[], float] = time.time
    _tell: Callable[[str], None] = field(default=lambda _: None, repr=False)

    @contextmanager
    def telling(self, tell: Callable[[str], None]) -> Iterator[None]:
        """Say what is waited for by this function, until the end of the block."""
        before, self._tell = self._tell, tell
        try:
            yield
        finally:
            self._tell = before

    def of_another(self) -> Patience:
        """One that ends when this one does, and says and pauses in its own way."""
        return replace(self, _tell=lambda _: None)

    def until_answered(self, call: Callable[[], T]) -> T:
        """What a call to the gateway gives, made again as long as it may help.

        Raises:
            GatewayError: Waiting does not help, or not before the deadline.
        """
        wait = Wait(self)
        while True:
            try:
                found = call()
            except GatewayError as error:
                wait.after(error)
            else:
                self.answered = True
                return found

    def bound(self, error: GatewayError) -> float:
        """The seconds that a question may wait after an error."""
        if (given := self.deadline()) is not None or self.until < math.inf:
            return math.inf if given is None else given
        return _AT_START if isinstance(error, GatewayUnreachable) and not self.answered else DEADLINE

    def tell(self, words: str) -> None:
        """Say what is waited for."""
        self._tell(words)


@dataclass
class Wait:
    """The waiting of one question."""

    patience: Patience
    pauses: int = 0

    def __post_init__(self) -> None:
        self._begun = self.patience.clock()

    def after(self, error: GatewayError) -> None:
        """Wait as long as an error calls for, and say so; raise it where that does not help."""
        patience = self.patience
        patience.answered |= bool(error.status or error.code)
        if not can_pass(error):
            raise error
        bound = patience.bound(error)
        left = min(bound - (patience.clock() - self._begun), patience.until - patience.now())
        first, most = _PAUSES
        pause = min(left, first * 2 ** min(self.pauses, 10), most) if error.retry_after is None else error.retry_after
        if left <= 0 or pause > left:
            error.hint = f"{error.hint} {_given_up(patience, bound, pause, left)}".strip()
            raise error
        self.pauses += 1
        patience.tell(f"waiting {pause:.0f} s, at most {left:.0f} s in all: {error.message}")
        patience.pause(pause)


def _given_up(patience: Patience, bound: float, pause: float, left: float) -> str:
    if not patience.answered and patience.deadline() is None and bound < math.inf:
        return f"No gateway answered within {bound:.0f} s of the start; %config Rsql.batch_deadline = 600 waits longer."
    why = f"in {pause:.0f} s is too late: {left:.0f} s were left" if left > 0 else "the time is over"
    which = "time of --deadline" if bound == math.inf else f"{bound:,.0f} s of Rsql.batch_deadline"
    return f"Given up, as {why} of the {which}."


@dataclass
class WaitingClient:
    """The client of a batch run: it asks again where that may help, until the deadline of the question."""

    client: Callable[[], LLMClient]  # finds the gateway, also one that was started anew
    patience: Patience

    def embed(self, model: str, texts: Sequence[str]) -> Vectors:
        """As ``LLMClient.embed``."""
        return self.patience.until_answered(lambda: self.client().embed(model, texts))

    @property
    def offline_models(self) -> frozenset[str]:
        """Those of the client."""
        return self.client().offline_models

    def stream(self, messages: Sequence[Message], **options: Unpack[StreamOptions]) -> Generator[Event, None, None]:
        """As ``LLMClient.stream``, an answer coming when it is whole.

        All attempts carry the same key, so that a gateway gives an answer that was lost on its way again and counts it
        once.
        """
        options["repeat_key"] = options.get("repeat_key") or secrets.token_hex(16)
        wait = Wait(self.patience)
        while True:
            held: list[Event] = []
            size = 0
            try:
                with closing(self.client().stream(messages, **options)) as events:
                    for event in events:
                        self.patience.answered = True
                        if isinstance(event, Waiting):
                            yield event
                            continue
                        held.append(event)
                        size += len(event.text) if isinstance(event, Text) else 0
                        if size > _HELD:  # it may be endless, which is seen by whoever reads it
                            yield from held
                            held.clear()
            except GatewayError as error:
                if size > _HELD:
                    raise
                wait.after(error)
            else:
                yield from held
                return
