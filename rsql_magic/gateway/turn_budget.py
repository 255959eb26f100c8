"""What one turn of the assistant may take: calls of a model, seconds, US dollars; none of them is ever passed."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BudgetSpent
from rsql_magic.gateway.spending import CostMemory, SpendingClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rsql_magic.gateway.client import LLMClient, Stop

_HINT = "A new task has a budget of its own; %config {} sets it."


@dataclass
class TurnBudget:
    """The budget of a turn, and what of it is used.

    Args:
        most_calls: Calls of a model.
        most_seconds: Seconds of work; waiting for the user's decision does not count.
        most_cost: US dollars; None for any amount.
        changed: Called whenever something was used.
        clock: Seconds that only go up.

    Example:
        >>> budget = TurnBudget(1, 60.0)
        >>> budget.begin_call(); budget.as_dict()["calls"]
        1
        >>> budget.begin_call()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rsql_magic.errors.BudgetSpent: This task has used its budget of calls of the model (1). A new task ...
    """

    most_calls: int
    most_seconds: float
    most_cost: float | None = None
    changed: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    calls: int = 0
    _worked: float = 0.0
    _since: float | None = None
    is_out_of_time: bool = False
    costs: CostMemory = field(init=False)

    def __post_init__(self) -> None:
        self.costs = CostMemory(self.most_cost)

    @property
    def seconds(self) -> float:
        """Seconds of work so far."""
        return self._worked + (self.clock() - self._since if self._since is not None else 0.0)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a view."""
        costs = self.costs.costs()
        return {
            "calls": self.calls,
            "most_calls": self.most_calls,
            "seconds": round(self.seconds, 1),
            "most_seconds": self.most_seconds,
            "cost": costs.spent,
            "unknown": costs.unknown,
            "most_cost": self.most_cost,
        }

    def begin_call(self) -> None:
        """Take one call of the budget.

        Raises:
            BudgetSpent: None is left, or no time.
        """
        if self.calls >= self.most_calls:
            hint = _HINT.format("Rsql.do_calls")
            raise BudgetSpent(f"This task has used its budget of calls of the model ({self.most_calls}).", hint=hint)
        if self.seconds >= self.most_seconds:
            raise self.out_of_time()
        self.calls += 1
        self.changed()

    def out_of_time(self) -> BudgetSpent:
        """The error of a turn that has no time left."""
        hint = _HINT.format("Rsql.do_seconds")
        return BudgetSpent(f"This task has used its budget of time ({self.most_seconds:g} s).", hint=hint)

    @contextmanager
    def working(self, stop: Stop) -> Iterator[None]:
        """Count the seconds of a block, and stop it when none are left.

        Raises:
            BudgetSpent: No time is left, before or within the block.
        """
        left = self.most_seconds - self.seconds
        if left <= 0:
            raise self.out_of_time()

        def end() -> None:
            self.is_out_of_time = True
            stop()

        timer = threading.Timer(left, end)
        timer.daemon = True
        self._since = self.clock()
        timer.start()
        try:
            yield
        except KeyboardInterrupt:
            if self.is_out_of_time:
                raise self.out_of_time() from None
            raise
        finally:
            timer.cancel()
            self._worked, self._since = self.seconds, None
            self.changed()

    def keeping(self, client: LLMClient, prices: Callable[[str | None], tuple[float, float] | None]) -> SpendingClient:
        """A client that asks no more than the budget allows; what its money does not reach for is no call."""
        hint = _HINT.format("Rsql.do_budget")
        return SpendingClient(client, self.costs, "turn", prices, begin=self.begin_call, hint=hint)
