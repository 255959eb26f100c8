"""Money per caller, tenant and everyone, per calendar day and month: hold before, settle after.

A hold takes the worst a request can cost from every budget that concerns it, or from none; settling puts the true cost
in its place. So what is spent exceeds a budget by no more than the error of the estimates under way. Days and months
begin at midnight of the configured zone, also when the clocks change. Amounts are integer nano-dollars.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple
from zoneinfo import ZoneInfo

from jupyter_server_ext.errors import LimitExceeded
from jupyter_server_ext.limits import merged
from jupyter_server_ext.prices import NANODOLLARS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jupyter_server_ext.messages import Caller
    from jupyter_server_ext.settings import Settings

Period = Literal["day", "month"]


class Spent(NamedTuple):
    """One budget as its owner sees it, in nano-dollars; ``limit`` None is unlimited."""

    amount: int
    limit: int | None

    @property
    def remaining(self) -> int | None:
        """What is left, or None when there is no limit."""
        return None if self.limit is None else max(0, self.limit - self.amount)


@dataclass(slots=True)
class Hold:
    """Money set aside for one request."""

    amount: int
    cost: int | None = None

    def settle(self, cost: int) -> None:
        """Say what the request really cost, in nano-dollars."""
        self.cost = cost


def limits_money(settings: Settings) -> bool:
    """Whether any budget is set at all."""
    shares = (settings.caller, settings.tenant, settings.everyone, *(tenant.limits for tenant in settings.tenants))
    return any(share.usd_per_day is not None or share.usd_per_month is not None for share in shares)


class Budgets:
    """All budgets of the gateway.

    Args:
        settings: Limits per caller, tenant and everyone.
        zone: Time zone of the calendar.
        clock: Unix time in seconds.

    Example:
        >>> from jupyter_server_ext.messages import Caller
        >>> from jupyter_server_ext.settings import CallerLimits, Settings
        >>> budgets = Budgets(Settings(caller=CallerLimits(usd_per_day=1.0)), clock=lambda: 0.0)
        >>> with budgets.hold(Caller("ada"), 300_000_000) as hold:
        ...     hold.settle(250_000_000)
        >>> budgets.spent(Caller("ada"), "day").remaining
        750000000
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float], zone: str = "UTC") -> None:
        self._settings = settings
        self._tenants = {tenant.name: merged(settings.tenant, tenant.limits) for tenant in settings.tenants}
        self._clock = clock
        self._zone = ZoneInfo(zone)
        self._latest = ""  # month of the last hold
        self._amounts: dict[tuple[str, str], int] = {}  # (owner, period such as 2026-11-21 or 2026-11) -> nano-dollars

    @property
    def month(self) -> str:
        """The first day of the current month, such as ``2026-11-01``."""
        return f"{datetime.fromtimestamp(self._clock(), self._zone):%Y-%m-01}"

    def restore(self, spent: Mapping[tuple[str, str], Mapping[str, int]]) -> None:
        """Take over what the ledger remembers.

        Args:
            spent: (caller, tenant) to nano-dollars by day, such as ``{"2026-11-21": 5}``, for this month.
        """
        for (caller, tenant), days in spent.items():
            for day, amount in days.items():
                for owner in _owners(caller, tenant):
                    self._add(owner, day, amount)
                    self._add(owner, day[:7], amount)

    @contextmanager
    def hold(self, caller: Caller, estimate: int) -> Iterator[Hold]:
        """Set ``estimate`` nano-dollars aside; on leaving, the true cost takes its place (nothing, if unsettled).

        Raises:
            LimitExceeded: A budget has less left than that.
        """
        now = datetime.fromtimestamp(self._clock(), self._zone)
        if f"{now:%Y-%m}" != self._latest:
            self._latest = f"{now:%Y-%m}"
            self._forget_old()
        places = [
            (owner, period, self._limit(owner, kind))
            for owner in _owners(caller.name, caller.tenant)
            for kind, period in (("day", f"{now:%Y-%m-%d}"), ("month", f"{now:%Y-%m}"))
        ]
        for owner, period, limit in places:
            if limit is not None and self._amounts.get((owner, period), 0) + estimate > limit:
                raise _refusal(owner, period, limit, now)
        self._add_all(places, estimate)
        hold = Hold(estimate)
        try:
            yield hold
        finally:
            # In the period in which it was held: a request over midnight belongs to the day it began.
            self._add_all(places, (hold.cost or 0) - estimate)

    def spent(self, caller: Caller, period: Period) -> Spent:
        """What the caller has spent in the current day or month, holds included."""
        now = datetime.fromtimestamp(self._clock(), self._zone)
        owner = f"caller:{caller.name}"
        name = f"{now:%Y-%m-%d}" if period == "day" else f"{now:%Y-%m}"
        return Spent(self._amounts.get((owner, name), 0), self._limit(owner, period))

    def _forget_old(self) -> None:
        """Drop the months that are over."""
        self._amounts = {key: amount for key, amount in self._amounts.items() if key[1].startswith(self._latest)}

    def _limit(self, owner: str, period: str) -> int | None:
        kind, _, name = owner.partition(":")
        if kind == "caller":
            limits = self._settings.caller
        elif kind == "tenant":
            limits = self._tenants.get(name, self._settings.tenant)
        else:
            limits = self._settings.everyone
        usd = limits.usd_per_day if period == "day" else limits.usd_per_month
        return None if usd is None else round(usd * NANODOLLARS)

    def _add_all(self, places: list[tuple[str, str, int | None]], amount: int) -> None:
        for owner, period, _ in places:
            self._add(owner, period, amount)

    def _add(self, owner: str, period: str, amount: int) -> None:
        self._amounts[owner, period] = self._amounts.get((owner, period), 0) + amount


def _owners(caller: str, tenant: str) -> list[str]:
    return [f"caller:{caller}", *([f"tenant:{tenant}"] if tenant else []), "everyone:"]


_WHOSE = {"caller": "Your", "tenant": "Your group's", "everyone": "The gateway's"}


def _refusal(owner: str, period: str, limit: int, now: datetime) -> LimitExceeded:
    daily = len(period) == len("2026-11-21")
    until = _midnight_after(now) if daily else _first_of_next_month(now)
    whose = _WHOSE[owner.partition(":")[0]]
    when = "tomorrow" if daily else "next month"
    message = f"{whose} budget of ${limit / NANODOLLARS:.2f} for this {'day' if daily else 'month'} is used up."
    return LimitExceeded(
        f"{message} It is full again {when}; until then ask the administrator for more.",
        code="budget_exceeded",
        retry_after=max(1.0, until.timestamp() - now.timestamp()),
    )


def _midnight_after(now: datetime) -> datetime:
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _first_of_next_month(now: datetime) -> datetime:
    return _midnight_after(now.replace(day=28) + timedelta(days=4)).replace(day=1)
