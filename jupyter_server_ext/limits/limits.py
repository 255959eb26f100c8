"""How much each caller, each tenant, and everyone together may use: requests, tokens, and requests under way.

Windows are rolling and exact: at no moment do the last 60 (3,600; 86,400) seconds hold more than the limit. A request
takes from all meters that concern it or from none. What counts is kept in ``storage``, for this process or for all
gateways that share one Redis. Money is in ``budgets``; for a place among all under way requests wait in ``queue``.
"""

from __future__ import annotations

import math
import time
from dataclasses import fields, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from jupyter_server_ext.errors import LimitExceeded, UpstreamRefused
from jupyter_server_ext.limits.counters import Counter, Demand, MemoryCounters, Part, Shortfall
from jupyter_server_ext.messages import Caller, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from jupyter_server_ext.config import CallerLimits, Settings, TenantSettings, Unit
    from jupyter_server_ext.ledger import Used
    from jupyter_server_ext.limits.counters import Counters
    from jupyter_server_ext.messages import ChatRequest

NO_LIMIT = 2_147_483_647
"""What the headers say where there is no limit: clients read a whole number there."""

_SECONDS = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_WINDOWS: tuple[tuple[Unit, str], ...] = (
    ("requests", "minute"),
    ("requests", "hour"),
    ("requests", "day"),
    ("tokens", "minute"),
    ("tokens", "day"),
)
_UNITS: tuple[Unit, ...] = ("requests", "tokens")
_TOKENS = "/tokens/"
_MOST_CALLERS = 10_000  # whose meters are remembered; what they count is kept elsewhere


class Need(NamedTuple):
    """Tokens that a request is expected to take."""

    prompt: int = 0
    completion: int = 0


class _Refusal(NamedTuple):
    wait: float
    sentence: str


class _Left(NamedTuple):
    """What a limit leaves, and the seconds until all of it can be used again."""

    remaining: int
    limit: int
    full_again: float


_UNLIMITED = _Left(NO_LIMIT, NO_LIMIT, 0.0)


class _Account:
    """The meters of one caller, one tenant, or everyone; of a ``shown`` one without a limit too."""

    def __init__(self, name: str, title: str, limits: CallerLimits, *, shown: bool = False) -> None:
        self.title = title
        self.places = Counter(f"{name}/concurrent", limits.concurrency)
        self.typical_seconds = 1.0
        self.meters: dict[tuple[Unit, str], Counter] = {}
        self.limited: dict[Unit, list[tuple[Counter, int]]] = {unit: [] for unit in _UNITS}
        for unit, period in _WINDOWS:
            limit = getattr(limits, f"{unit}_per_{period}")
            if limit is not None or shown:
                meter = self.meters[unit, period] = Counter(f"{name}/{unit}/{period}", limit, _SECONDS[period])
                if limit is not None:
                    self.limited[unit].append((meter, limit))
        requests = [meter for (unit, _), meter in self.meters.items() if unit == "requests"]
        self._tokens = [meter for (unit, _), meter in self.meters.items() if unit == "tokens"]
        self._always = [Demand(meter, 1) for meter in (self.places, *requests)]

    def too_long(self, need: Need) -> Iterator[_Refusal]:
        """Why the request can never start."""
        for (unit, period), meter in self.meters.items():
            if unit == "tokens" and meter.limit is not None and need.prompt > meter.limit:
                limit = f"{self.title} of {meter.limit:,} {unit} per {period}"
                yield _Refusal(
                    math.inf, f"This question has about {need.prompt:,} tokens. {limit} is less; shorten it."
                )

    def wants(self, need: Need) -> list[Demand]:
        """What the request needs."""
        return [*self._always, *(Demand(meter, _tokens(need, meter)) for meter in self._tokens)]

    def refusal(self, short: Shortfall) -> _Refusal | None:
        """What is said of a meter without room; None when it is another account's."""
        limit = short.meter.limit or 0
        if short.meter == self.places:
            wait = self.typical_seconds / limit if limit else math.inf
            return _Refusal(wait, f"{self.title} of {limit:,} requests at once is reached.")
        for (unit, period), meter in self.meters.items():
            if meter == short.meter:
                return _Refusal(short.wait, f"{self.title} of {limit:,} {unit} per {period} is reached.")
        return None

    def all(self) -> list[Counter]:
        """All its meters."""
        return [self.places, *self.meters.values()]

    def left(self, seconds: float) -> None:
        """A request is over, after so many seconds."""
        self.typical_seconds += 0.1 * (seconds - self.typical_seconds)


def _tokens(need: Need, meter: Counter) -> int:
    """What to take: of an estimate never more than an empty window holds, or it could never pass."""
    if meter.limit == 0:
        return 1
    tokens = need.prompt + need.completion
    return tokens if meter.limit is None else min(tokens, meter.limit)


class Taken:
    """What one request holds of its limits; ``Limits.take`` makes it."""

    def __init__(
        self, accounts: Sequence[_Account], meters: Counters, clock: Callable[[], float], need: Callable[[], Need]
    ) -> None:
        self._accounts = accounts
        self._meters = meters
        self._clock = clock
        self._need = need
        self._parts: list[Part] = []
        self._places: dict[str, Part] = {}  # where it is under way
        self._start = 0.0
        self._settled = False

    async def __aenter__(self) -> Taken:
        """Take all of it or nothing.

        Raises:
            LimitExceeded: With the time at which a repeat will pass.
        """
        self._start = self._clock()
        limiting = [account for account in self._accounts if account.limited["tokens"]]
        need = self._need() if limiting else Need()
        refusals = [refusal for account in limiting for refusal in account.too_long(need)]
        if not refusals:
            refusals = self._keep(
                await self._meters.take([want for account in self._accounts for want in account.wants(need)])
            )
        if refusals:
            raise _exceeded(refusals)
        return self

    def _keep(self, got: list[Part] | list[Shortfall]) -> list[_Refusal]:
        """Remember what was taken; say why where nothing was."""
        refusals: list[_Refusal] = []
        for one in got:
            if isinstance(one, Shortfall):
                refusals += filter(None, [account.refusal(one) for account in self._accounts])
            elif one.meter.seconds:
                self._parts.append(one)
            else:
                self._places[one.meter.id] = one
        return refusals

    def settle(self, usage: Usage) -> None:
        """The request was answered, wholly or in part: it counts, with the tokens it has really used."""
        for part in self._parts:
            if _TOKENS in part.meter.id:
                self._meters.change(part, usage.total_tokens)
        self._settled = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back the place under way; and all else, unless the request counts."""
        seconds = self._clock() - self._start
        for account in self._accounts:
            if place := self._places.pop(account.places.id, None):
                account.left(seconds)
                self._meters.change(place, 0)
        if isinstance(error, UpstreamRefused) and not self._settled:  # it went out, and the fault was the caller's
            self.settle(Usage())
        if not self._settled:
            for part in self._parts:
                self._meters.change(part, 0)


class Limits:
    """The limits of all callers.

    Args:
        settings: The ``caller``, ``tenant`` and ``everyone`` limits, and those that single tenants have of their own.
        meters: Where use is counted; this process's memory by default.
        clock: Seconds, never going back.

    Example:
        ::

            async with limits.take(caller, request) as taken:
                usage = await answer(request)
                taken.settle(usage)
    """

    def __init__(
        self, settings: Settings, *, meters: Counters | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self.meters: Counters = MemoryCounters(clock=clock) if meters is None else meters
        self._of_tenants: dict[str, CallerLimits] = {}
        self._tenants: dict[str, _Account] = {}
        self._callers: dict[str, _Account] = {}
        self.configure(settings)

    def learn(self, tenant: TenantSettings) -> None:
        """Have these limits for a tenant from now on."""
        self._of_tenants[tenant.name] = merged(self._settings.tenant, tenant.limits)
        self._tenants.pop(tenant.name, None)  # what was counted is with the meters

    def take(self, caller: Caller, request: ChatRequest, need: Need | None = None) -> Taken:
        """What one request takes, as an async context manager.

        Entering takes a request, its expected tokens and a place among those under way, from the caller, the
        tenant and everyone at once; or it raises ``LimitExceeded`` and takes nothing. Leaving gives the place back, and
        all else too unless ``settle`` was called: what the gateway could not answer costs its caller nothing.

        Args:
            caller: Who asks.
            request: What is asked.
            need: Its tokens, where somebody knows better than ``estimated``.
        """
        return Taken(self._accounts(caller), self.meters, self._clock, lambda: need or estimated(request))

    async def refresh(self, caller: Caller) -> None:
        """Bring what ``headers`` and ``stats`` say of a caller up to date, where others count as well."""
        await self.meters.read([meter for account in self._accounts(caller) for meter in account.all()])

    def headers(self, caller: Caller) -> dict[str, str]:
        """The ``x-ratelimit-*`` headers: of each unit, the window that has least left."""
        accounts, headers = self._accounts(caller), {}
        for unit in _UNITS:
            lefts = [self._left(*limited) for account in accounts for limited in account.limited[unit]]
            left = min(lefts, key=itemgetter(0), default=_UNLIMITED)
            headers[f"x-ratelimit-limit-{unit}"] = str(left.limit)
            headers[f"x-ratelimit-remaining-{unit}"] = str(left.remaining)
            headers[f"x-ratelimit-reset-{unit}"] = duration(left.full_again)
        return headers

    def stats(self, caller: Caller) -> dict[str, Any]:
        """The caller's own use: ``limits`` (of requests) and ``tokens`` per period, and ``concurrency``."""
        account = self._of_caller(caller)
        shown: dict[str, dict[str, Any]] = {"requests": {}, "tokens": {}}
        for (unit, period), meter in account.meters.items():
            shown[unit][period] = self._figures(meter)
        return {
            "limits": shown["requests"],
            "tokens": shown["tokens"],
            "concurrency": self._figures(account.places),
        }

    def stats_of_key(self, caller: Caller) -> dict[str, Any]:
        """What the virtual key that was used has left of limits of its own; empty without any."""
        return {
            f"{unit}_per_{period}": self._figures(meter)
            for account in self._of_key(caller)
            for (unit, period), meter in account.meters.items()
        }

    def configure(self, settings: Settings) -> None:
        """Have other limits from now on; what was used still counts."""
        self._settings = settings
        self._of_tenants |= {tenant.name: merged(settings.tenant, tenant.limits) for tenant in settings.tenants}
        self._of_callers = {name: merged(settings.caller, own) for name, own in settings.callers}
        self._everyone = _Account("everyone", "The limit for everyone together", _but_waiting(settings.everyone))
        self._tenants.clear()
        self._callers.clear()

    def restore(
        self,
        used: Iterable[Used],
        unix: float,
        *,
        day_from: float = 0.0,
        keys: Mapping[str, CallerLimits] | None = None,
    ) -> None:
        """Count what the ledger remembers.

        Args:
            used: Oldest first.
            unix: Unix time now.
            day_from: Unix time from which on limits per day count, as they were reset then.
            keys: Limits that virtual API keys have of their own, by id.
        """
        for row in used:
            if not row.counted:
                continue
            age = max(0.0, unix - row.at)
            caller = Caller(row.caller, row.tenant, key=row.api_key, limits=(keys or {}).get(row.api_key))
            for account in self._accounts(caller):
                if account.title == "Your limit" and not row.caller:
                    continue  # somebody who was forgotten
                for (unit, period), meter in account.meters.items():
                    if age < meter.seconds and not (period == "day" and row.at < day_from):
                        amount = row.counted if unit == "requests" else row.counted_tokens
                        self.meters.restore(meter, amount, age)

    async def reset_daily(self) -> int:
        """Forget what counts against limits per day; how many accounts had something to forget."""
        return await self.meters.clear("day")

    async def forget(self, caller: str, keys: Iterable[str] = ()) -> bool:
        """Forget a caller and its virtual keys, money included; False where Redis, which knows them, is away."""
        self._callers.pop(caller, None)
        accounts = [f"caller:{caller}", *(f"key:{key}" for key in keys)]
        return all([await self.meters.forget(account) for account in accounts])

    def _left(self, meter: Counter, limit: int) -> _Left:
        use = self.meters.use(meter)
        return _Left(max(0, limit - use.used), limit, use.full_again)

    def _figures(self, meter: Counter) -> dict[str, int | None]:
        used, limit = self.meters.use(meter).used, meter.limit
        return {"current": used, "limit": limit, "remaining": None if limit is None else max(0, limit - used)}

    def _accounts(self, caller: Caller) -> list[_Account]:
        tenant = [self._of_tenant(caller.tenant)] if caller.tenant else []
        return [*self._of_key(caller), self._of_caller(caller), *tenant, self._everyone]

    def _of_key(self, caller: Caller) -> list[_Account]:
        return [_Account(f"key:{caller.key}", "This key's limit", caller.limits)] if caller.limits else []

    def _of_caller(self, caller: Caller) -> _Account:
        account = self._callers.get(caller.name)
        if account is None:
            if len(self._callers) >= _MOST_CALLERS:
                del self._callers[next(iter(self._callers))]
            limits = self._of_callers.get(caller.name, self._settings.caller)
            account = _Account(f"caller:{caller.name}", "Your limit", limits, shown=True)
            self._callers[caller.name] = account
        return account

    def _of_tenant(self, name: str) -> _Account:
        account = self._tenants.get(name)
        if account is None:
            limits = self._of_tenants.get(name, self._settings.tenant)
            account = self._tenants[name] = _Account(f"tenant:{name}", "Your group's limit", limits)
        return account


def estimated(request: ChatRequest) -> Need:
    """A rough count of a request's tokens, four characters being one, and of the longest answer it allows."""
    longest = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
    if request.weighed is not None:
        letters = request.weighed.letters
    else:
        letters = len(msgspec.json.encode(request.body.get("input" if request.embeds else "messages", ())).decode())
    return Need(letters // 4, longest if isinstance(longest, int) else 0)


def merged(base: CallerLimits, own: CallerLimits) -> CallerLimits:
    """The limits ``base``, with what ``own`` says in its place."""
    given = {field.name: value for field in fields(own) if (value := getattr(own, field.name)) is not None}
    return replace(base, **given)


def _but_waiting(everyone: CallerLimits) -> CallerLimits:
    """Without the number of requests at once, for which requests wait in the queue; 0 is refused at once."""
    return replace(everyone, concurrency=None if everyone.concurrency else everyone.concurrency)


def duration(seconds: float) -> str:
    """A time as providers write it in ``x-ratelimit-reset-*``, never too short.

    Example:
        >>> duration(0.5), duration(359.56), duration(7200)
        ('500ms', '5m59.56s', '2h0m0s')
    """
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    whole, hundredths = divmod(math.ceil(round(seconds * 100, 3)), 100)
    hours, minutes = whole // 3600, whole // 60 % 60
    rest = f"{whole % 60 + hundredths / 100:.2f}".rstrip("0").rstrip(".")
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"


def in_words(seconds: float) -> str:
    """A time for people, never too short.

    Example:
        >>> in_words(0.2), in_words(90), in_words(4000)
        ('1 s', '90 s', '67 min')
    """
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 6000 else f"{math.ceil(seconds / 360) / 10:g} h"


def _exceeded(refusals: Sequence[_Refusal]) -> LimitExceeded:
    """The refusal that lasts longest: before its end nothing else matters."""
    worst = max(refusals, key=lambda refusal: refusal.wait)
    if math.isinf(worst.wait):
        return LimitExceeded(worst.sentence)
    return LimitExceeded(f"{worst.sentence} Try again in {in_words(worst.wait)}.", retry_after=worst.wait)
