"""Money: the price of usage, and budgets per virtual key, caller, tenant and everyone, per calendar day and month."""

# Prices come from the administrator's table first, then from ``genai-prices``, then the configured worst case. They are
# per million tokens, in US dollars, as providers publish them; one US dollar per million tokens is 1,000 nano-dollars
# per token. Amounts are integer nano-dollars (1 USD = 1,000,000,000), so sums are exact.
#
# A hold takes the worst a request can cost from every budget that concerns it, or from none; settling puts the true
# cost in its place. So what is spent exceeds a budget by no more than the error of the estimates under way. Days and
# months begin at midnight of the configured zone, also when the clocks change.

from __future__ import annotations

import math
from contextlib import asynccontextmanager
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple
from zoneinfo import ZoneInfo

from jupyter_server_ext.config import PRESETS, CallerLimits
from jupyter_server_ext.errors import LimitExceeded
from jupyter_server_ext.limits import Counter, Demand, MemoryCounters, Shortfall, merged
from jupyter_server_ext.messages import Caller, TokenUsage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from jupyter_server_ext.config import Settings
    from jupyter_server_ext.limits import Counters

NANODOLLARS = 1_000_000_000  # nano-dollars in a US dollar


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens of one model.

    Example:
        >>> from jupyter_server_ext.messages import TokenUsage
        >>> Price(input=0.5, output=1.5).of(TokenUsage(prompt_tokens=1000, completion_tokens=100))
        650000
    """

    input: float  # tokens read
    output: float  # tokens written
    cached_input: float | None = None  # tokens read from the provider's cache; as ``input`` when None

    def of(self, usage: TokenUsage) -> int:
        """What this usage costs, in nano-dollars, rounded up."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = usage.prompt_tokens - usage.cached_tokens
        # In thousandths of a nano-dollar a token, so that the product is whole before it is rounded.
        amount = (
            fresh * _per_token(self.input)
            + usage.cached_tokens * _per_token(cached)
            + usage.completion_tokens * _per_token(self.output)
        )
        return -(-amount // 1000)


FREE = Price(0.0, 0.0)


@dataclass(eq=False, repr=False)
class Prices:
    """The price of every model.

    Example:
        >>> prices = Prices({"house-model": Price(1.0, 2.0)})
        >>> prices.price("house-model", "vllm").output
        2.0
    """

    # The administrator's prices by model name, with or without ``provider/`` in front.
    table: Mapping[str, Price] = field(default_factory=dict)
    _: KW_ONLY
    # What a model of unknown price costs. Unknown is never free: a budget must hold for it, too.
    worst: Price = Price(30.0, 120.0)

    def __post_init__(self) -> None:
        self._published = lru_cache(maxsize=4096)(_published)

    def price(self, model: str, provider: str) -> Price:
        """The price of a model at a provider."""
        if is_free(provider):
            return FREE
        own = self.table.get(f"{provider}/{model}") or self.table.get(model)
        return own or self._published(model, provider) or self.worst

    def cost(self, usage: TokenUsage, model: str, provider: str) -> int:
        """What this usage costs, in nano-dollars."""
        return self.price(model, provider).of(usage)

    def warm(self) -> None:
        """Load the published prices, which takes half a second: for a thread, once requests are answered."""
        self._published("gpt-4o", "openai")

    def known(self, model: str, provider: str) -> bool:
        """Whether the price is a real one and not the worst case."""
        return self.price(model, provider) is not self.worst


def is_free(provider: str) -> bool:
    """Whether a provider asks for no money, so that nothing about prices need be known."""
    return provider in PRESETS and PRESETS[provider].free


def _per_token(usd_per_million: float) -> int:
    # Thousandths of a nano-dollar per token.
    return round(usd_per_million * 1_000_000)


def _published(model: str, provider: str) -> Price | None:
    # What ``genai-prices`` says; its data come with the package, so nothing is fetched.
    # The import takes half a second; see ``Prices.warm``.
    from genai_prices import Usage as PublishedUsage
    from genai_prices import calc_price

    million = 1_000_000

    def priced(usage: PublishedUsage) -> float:
        return float(calc_price(usage, model_ref=model, provider_id=provider or None).total_price)

    try:
        reading = priced(PublishedUsage(input_tokens=million))
        cached = priced(PublishedUsage(input_tokens=million, cache_read_tokens=million))
        writing = priced(PublishedUsage(input_tokens=0, output_tokens=million))
    except (LookupError, ValueError):
        return None
    return Price(reading, writing, cached)


Period = Literal["day", "month"]
PERIODS: tuple[Period, ...] = ("day", "month")
_KEPT_SECONDS: dict[Period, float] = {"day": 2 * 86_400.0, "month": 33 * 86_400.0}  # beyond the end of the period
_MOST_GROUPS = 2_000  # that are known without a table of their own
_MOST_CALLERS = 10_000  # whose counters are remembered
_GRAIN_SECONDS = 3_600.0  # a sum needs no finer memory


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
    own = (*(tenant.limits for tenant in settings.tenants), *(limits for _, limits in settings.callers))
    shares = (settings.caller, settings.tenant, settings.everyone, *own)
    return any(share.usd_per_day is not None or share.usd_per_month is not None for share in shares)


@dataclass(eq=False, repr=False)
class Budgets:
    """All budgets of the gateway.

    Example:
        >>> import asyncio
        >>> from jupyter_server_ext.messages import Caller, TokenUsage
        >>> from jupyter_server_ext.config.settings import CallerLimits, Settings
        >>> budgets = Budgets(Settings(caller=CallerLimits(usd_per_day=1.0)), clock=lambda: 0.0)
        >>> async def ask():
        ...     async with budgets.hold(Caller("ada"), 300_000_000) as hold:
        ...         hold.settle(250_000_000)
        >>> asyncio.run(ask())
        >>> budgets.spent(Caller("ada"), "day").remaining
        750000000
    """

    settings: InitVar[Settings]  # limits per caller, tenant and everyone
    _: KW_ONLY
    clock: Callable[[], float]  # Unix time in seconds
    zone: InitVar[str] = "UTC"  # time zone of the calendar
    counters: InitVar[Counters | None] = None  # where money is counted; this process's memory by default

    def __post_init__(self, settings: Settings, zone: str, counters: Counters | None) -> None:
        self._zone = ZoneInfo(zone)
        self._counters: Counters = MemoryCounters(clock=self.clock) if counters is None else counters
        self._tenants: dict[str, CallerLimits] = {}
        self._groups: dict[str, None] = {}  # that have spent something, as far as this gateway knows, in their order
        self._places: dict[tuple[str, str, str], list[Counter]] = {}  # the counters of callers seen today
        self._day_ends = -math.inf
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Have other limits from now on; what was spent still counts."""
        self._settings = settings
        self._places.clear()
        self._tenants = {tenant.name: merged(settings.tenant, tenant.limits) for tenant in settings.tenants}
        self._callers = {name: merged(settings.caller, own) for name, own in settings.callers}

    @property
    def month(self) -> str:
        """The first day of the current month, such as ``2026-11-01``."""
        return f"{self._now():%Y-%m-01}"

    def restore(
        self,
        spent: Mapping[tuple[str, str], Mapping[str, int]],
        by_keys: Mapping[str, Mapping[str, int]] | None = None,
        given_back: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        """Take over what the ledger remembers.

        Args:
            spent: (caller, tenant) to nano-dollars by day, such as ``{"2026-11-21": 5}``, for this month.
            by_keys: The same by virtual key.
            given_back: Of callers, what does not count against their own budgets, by day.
        """
        back = {caller: dict(days) for caller, days in (given_back or {}).items()}
        for (caller, tenant), days in spent.items():
            self._know(tenant)
            for owner in self._owners(Caller(caller, tenant)):
                self._restore(owner, _less(days, back.get(caller, {})) if owner[0] == f"caller:{caller}" else days)
        for key, days in (by_keys or {}).items():
            self._restore((f"key:{key}", CallerLimits()), days)  # its limits come with the requests that use it

    def _restore(self, owner: _Owner, days: Mapping[str, int]) -> None:
        today = f"{self._now():%Y-%m-%d}"
        for day, amount in days.items():
            if day == today:
                self._counters.restore(_counter(owner, "day", day), amount)
            self._counters.restore(_counter(owner, "month", day[:7]), amount)

    @asynccontextmanager
    async def hold(self, caller: Caller, estimate: int) -> AsyncIterator[Hold]:
        """Set ``estimate`` nano-dollars aside; on leaving, the true cost takes its place (nothing, if unsettled).

        Raises:
            LimitExceeded: A budget has less left than that.
        """
        charges = []
        for got in await self._counters.take([Demand(counter, estimate) for counter in self._of(caller)]):
            if isinstance(got, Shortfall):
                refusal = _refusal(got.counter, self._spent(got.counter), estimate, self._now())
                refusal.limit = f"{got.counter.id.partition(':')[0].partition('/')[0]} usd"
                raise refusal
            charges.append(got)
        hold = Hold(estimate)
        try:
            yield hold
        finally:
            # In the period in which it was held: a request over midnight belongs to the day it began.
            for charge in charges:
                self._counters.change(charge, hold.cost or 0)

    def _of(self, caller: Caller) -> list[Counter]:
        # All counters that concern a caller today; finding them anew costs more than counting.
        # Counters are named by day and month: at midnight all are other ones.
        if self.clock() >= self._day_ends or len(self._places) > _MOST_CALLERS:
            self._places.clear()
            self._day_ends = _midnight_after(self._now()).timestamp()
        place = (caller.key, caller.name, caller.tenant)
        counters = self._places.get(place)
        if counters is None:
            now = self._now()
            self._know(caller.tenant)
            counters = [_counter(owner, kind, _name(kind, now)) for owner in self._owners(caller) for kind in PERIODS]
            self._places[place] = counters
        return counters

    async def refresh(self, caller: Caller) -> None:
        """Bring what ``spent`` says of a caller up to date, where others count as well."""
        await self._counters.read(self._of(caller))

    def spent(self, caller: Caller, period: Period) -> Spent:
        """What the caller has spent in the current day or month, holds included."""
        return self._spent(_counter(self._caller(caller), period, _name(period, self._now())))

    def spent_with_others(self, caller: Caller, period: Period) -> Spent | None:
        """Of the caller's group and of everyone the budget with least left, holds included; None without any."""
        now = self._now()
        counters = [_counter(owner, period, _name(period, now)) for owner in self._shared(caller)]
        return min(
            (self._spent(one) for one in counters if one.limit is not None),
            key=lambda spent: spent.remaining or 0,
            default=None,
        )

    def spent_by_key(self, caller: Caller, period: Period) -> Spent | None:
        """What the virtual key that was used has spent, holds included; None when it has no budget of its own."""
        limits = caller.limits or CallerLimits()
        counter = _counter((f"key:{caller.key}", limits), period, _name(period, self._now()))
        return None if counter.limit is None else self._spent(counter)

    def used(self) -> Iterator[tuple[str, str, float]]:
        """Of everyone and of each tenant that has a budget: whose, ``day`` or ``month``, and the part that is spent.

        Tenants are those with a table of their own, and all others whose callers have asked: a hub's groups have the
        budget of ``[limits.tenant]``.
        """
        names = [*self._tenants, *(name for name in self._groups if name not in self._tenants)]
        owners = [("everyone", self._settings.everyone), *(self._tenant(name) for name in names)]
        now = self._now()
        for owner in owners:
            for kind in PERIODS:
                spent = self._spent(_counter(owner, kind, _name(kind, now)))
                if spent.limit:
                    yield owner[0], kind, spent.amount / spent.limit

    def _spent(self, counter: Counter) -> Spent:
        return Spent(self._counters.use(counter).used, counter.limit)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), self._zone)

    def _owners(self, caller: Caller) -> list[_Owner]:
        """The owners of the budgets that a request of this caller is charged to."""
        key: list[_Owner] = [(f"key:{caller.key}", caller.limits)] if caller.limits else []
        return [*key, self._caller(caller), *self._shared(caller)]

    def _shared(self, caller: Caller) -> list[_Owner]:
        group = [self._tenant(caller.tenant)] if caller.tenant else []
        return [*group, ("everyone", self._settings.everyone)]

    def _tenant(self, name: str) -> _Owner:
        return f"tenant:{name}", self._tenants.get(name, self._settings.tenant)

    def _know(self, tenant: str) -> None:
        if tenant and tenant not in self._groups:
            if len(self._groups) >= _MOST_GROUPS:  # the one that came first
                del self._groups[next(iter(self._groups))]
            self._groups[tenant] = None

    def _caller(self, caller: Caller) -> _Owner:
        return f"caller:{caller.name}", self._callers.get(caller.name, self._settings.caller)


def _less(days: Mapping[str, int], back: dict[str, int]) -> dict[str, int]:
    # Amounts by day without what is given back, which is used up by that: a caller may have spent in several groups.
    left = {}
    for day, amount in days.items():
        given = min(amount, back.get(day, 0))
        left[day] = amount - given
        back[day] = back.get(day, 0) - given
    return left


_Owner = tuple[str, CallerLimits]  # the owner of a budget, as its counters are named, and what may be spent


def _counter(owner: _Owner, kind: Period, period: str) -> Counter:
    name, limits = owner
    usd = limits.usd_per_day if kind == "day" else limits.usd_per_month
    limit = None if usd is None else round(usd * NANODOLLARS)
    return Counter(f"{name}/usd/{period}", limit, _KEPT_SECONDS[kind], _GRAIN_SECONDS)


def _name(kind: Period, now: datetime) -> str:
    """The current day or month, such as ``2026-11-21`` or ``2026-11``."""
    return f"{now:%Y-%m-%d}" if kind == "day" else f"{now:%Y-%m}"


_WHOSE = {"key": "This key's", "caller": "Your", "tenant": "Your group's", "everyone": "The gateway's"}


def _refusal(counter: Counter, spent: Spent, estimate: int, now: datetime) -> LimitExceeded:
    owner, _, period = counter.id.rpartition("/usd/")
    daily = len(period) == len("2026-11-21")
    until = _midnight_after(now) if daily else _midnight_after(now.replace(day=28) + timedelta(days=4)).replace(day=1)
    whose = _WHOSE[owner.partition(":")[0]]
    when = "tomorrow" if daily else "next month"
    limit = counter.limit or 0
    budget = f"{whose} budget of {_dollars(limit)} for this {'day' if daily else 'month'}"
    if limit and estimate > limit:
        advice = "is less; ask something shorter, or set max_tokens."
        return LimitExceeded(f"This request may cost {_dollars(estimate)}. {budget} {advice}", code="budget_exceeded")
    if spent.remaining:
        words = f"{budget} has {_dollars(spent.remaining)} left, and this request may cost {_dollars(estimate)}."
    else:
        words = f"{budget} is used up."
    words += f" It is full again {when}; until then ask the administrator for more."
    seconds = max(1.0, until.timestamp() - now.timestamp())
    return LimitExceeded(words, code="budget_exceeded", retry_after=seconds)


def _dollars(amount: int) -> str:
    # Nano-dollars for people: cents, and parts of them where there are any.
    whole, _, parts = f"{amount / NANODOLLARS:.6f}".rstrip("0").partition(".")
    return f"${whole}.{parts.ljust(2, '0')}"


def _midnight_after(now: datetime) -> datetime:
    return (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
