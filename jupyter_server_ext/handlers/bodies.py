"""Bodies of requests while they come in: how much of them is held, of each caller and in all."""

from __future__ import annotations

from jupyter_server_ext.errors import LimitExceeded, NoCapacity

_RETRY_SECONDS = 1.0


class BodyBudget:
    """Bytes of bodies that have not been read to their end, as announced, or as they came where nothing was.

    One body may take half of what is free: however many callers send large ones, there is room for a small one.

    Args:
        per_caller: The most of one caller.
        in_all: The most of all together.

    Example:
        >>> budget = BodyBudget(10, 100)
        >>> budget.take("ada", 8)
        >>> budget.take("ada", 4)
        Traceback (most recent call last):
            ...
        jupyter_server_ext.errors.LimitExceeded: Bodies that you are sending ...
    """

    def __init__(self, per_caller: int, in_all: int) -> None:
        self._per_caller = per_caller
        self._in_all = in_all
        self._held: dict[str, int] = {}
        self.held = 0
        """Bytes of all together."""

    def take(self, caller: str, amount: int) -> None:
        """Count bytes that are going to come.

        Raises:
            LimitExceeded: The caller is sending too much at once.
            NoCapacity: All together are.
        """
        own = self._held.get(caller, 0) + amount
        if own > self._per_caller:
            raise LimitExceeded(
                f"Bodies that you are sending at the same time may have {self._per_caller / 1e6:g} MB together. "
                "Wait until some are answered.",
                code="too_many_bodies",
                retry_after=_RETRY_SECONDS,
            )
        if 2 * amount > self._in_all - self.held:
            raise NoCapacity("The gateway is receiving as much as it can hold. Try again.", retry_after=_RETRY_SECONDS)
        self._held[caller] = own
        self.held += amount

    def give_back(self, caller: str, amount: int) -> None:
        """Count bytes no longer, as they were read or will not come."""
        self.held -= amount
        self._held[caller] -= amount
        if not self._held[caller]:
            del self._held[caller]
