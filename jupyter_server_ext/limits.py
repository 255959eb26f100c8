"""How much each caller, each tenant, and everyone together may use: requests, tokens, and requests under way.

Windows are rolling and exact: at no moment do the last 60 (3,600; 86,400) seconds hold more than the limit. A request
takes from all windows that concern it or from none. Nothing here waits, and time is an argument. Money is in
``budgets``; what providers allow is in ``storage``.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from jupyter_server_ext.errors import LimitExceeded, UpstreamRefused
from jupyter_server_ext.messages import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from jupyter_server_ext.messages import Caller, ChatRequest
    from jupyter_server_ext.settings import CallerLimits, Settings, Unit

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
_GRAINS = 120  # parts of a window without a limit, which is kept for show
_MOST_CALLERS = 10_000  # beyond it, those that have nothing to remember are forgotten
_GONE = -math.inf


class Share:
    """A part taken from a window, which can be corrected while it counts."""

    __slots__ = ("amount", "at")

    def __init__(self, at: float, amount: int) -> None:
        self.at = at
        self.amount = amount


class RollingWindow:
    """What was taken in the last ``seconds`` seconds.

    Args:
        seconds: Length. What is taken at ``t`` counts until just before ``t + seconds``.
        limit: The most at any moment. None only counts, to 1/120 of the window.

    Example:
        >>> window = RollingWindow(60.0, 2)
        >>> _ = window.take(0.0, 1), window.take(10.0, 1)
        >>> window.wait(20.0, 1), window.wait(60.0, 1)
        (40.0, 0.0)
    """

    __slots__ = ("_grain", "_shares", "_used", "limit", "seconds")

    def __init__(self, seconds: float, limit: int | None) -> None:
        self.seconds = seconds
        self.limit = limit
        self._grain = 0.0 if limit is not None else seconds / _GRAINS
        self._shares: deque[Share] = deque()
        self._used = 0

    def used(self, now: float) -> int:
        """How much counts at ``now``."""
        shares = self._shares
        while shares and shares[0].at + self.seconds <= now:
            self._used -= shares.popleft().amount
        return self._used

    def remaining(self, now: float) -> int:
        """How much may still be taken at ``now``."""
        return NO_LIMIT if self.limit is None else max(0, self.limit - self.used(now))

    def wait(self, now: float, amount: int) -> float:
        """Seconds until ``amount`` fits: 0.0 for at once, infinity for never."""
        if self.limit is None:
            return 0.0
        excess = self.used(now) + amount - self.limit
        if excess <= 0:
            return 0.0
        for share in self._shares:
            excess -= share.amount
            if excess <= 0:
                return share.at + self.seconds - now
        return math.inf

    def full_again(self, now: float) -> float:
        """Seconds until nothing counts any more."""
        return self._shares[-1].at + self.seconds - now if self.used(now) else 0.0

    def take(self, now: float, amount: int) -> Share:
        """Count ``amount`` from now on."""
        self._used += amount
        last = self._shares[-1] if self._shares else None
        if last is not None and now - last.at < self._grain:
            last.amount += amount
            return last
        share = Share(now, amount)
        self._shares.append(share)
        return share

    def correct(self, now: float, share: Share, difference: int) -> None:
        """Add ``difference`` to a share, at that share's time: what has left the window stays out."""
        self.used(now)
        if share.at + self.seconds > now:
            share.amount += difference
            self._used += difference

    def give_back(self, now: float, share: Share, amount: int) -> None:
        """Undo a ``take`` of ``amount``."""
        self.correct(now, share, -amount)
        if not share.amount and not self._grain:
            share.at = _GONE
        while self._shares and self._shares[-1].at == _GONE:  # a storm of refusals leaves nothing behind
            self._shares.pop()

    def clear(self) -> None:
        """Forget all, and what open requests would still correct."""
        for share in self._shares:
            share.at = _GONE
        self._shares.clear()
        self._used = 0


class Need(NamedTuple):
    """Tokens that a request is expected to take."""

    prompt: int = 0
    completion: int = 0


class _Refusal(NamedTuple):
    wait: float
    sentence: str


class _Account:
    """The windows and open requests of one caller, one tenant, or everyone; of a ``shown`` one without a limit too."""

    def __init__(self, title: str, limits: CallerLimits, *, shown: bool = False, counts_waiting: bool = True) -> None:
        self.title = title
        self.counts_waiting = counts_waiting
        self.concurrency = limits.concurrency
        self.under_way = 0
        self.typical_seconds = 1.0
        self.windows: dict[tuple[Unit, str], RollingWindow] = {}
        for unit, period in _WINDOWS:
            limit = getattr(limits, f"{unit}_per_{period}")
            if limit is not None or shown:
                self.windows[unit, period] = RollingWindow(_SECONDS[period], limit)
        self.limits_tokens = any(unit == "tokens" and w.limit is not None for (unit, _), w in self.windows.items())

    def refusals(self, now: float, need: Need) -> Iterator[_Refusal]:
        """Why a request may not start now; nothing when it may."""
        if self.concurrency is not None and self.under_way >= self.concurrency:
            wait = self.typical_seconds / self.concurrency if self.concurrency else math.inf
            yield _Refusal(wait, f"{self.title} of {self.concurrency:,} requests at once is reached.")
        for (unit, period), window in self.windows.items():
            if window.limit is None:
                continue
            limit = f"{self.title} of {window.limit:,} {unit} per {period}"
            if unit == "tokens" and need.prompt > window.limit:
                yield _Refusal(
                    math.inf, f"This question has about {need.prompt:,} tokens. {limit} is less; shorten it."
                )
            elif wait := window.wait(now, _amount(unit, need, window)):
                yield _Refusal(wait, f"{limit} is reached.")

    def enter(self, now: float, need: Need) -> Iterator[_Part]:
        """Take what the request needs; ``refusals`` said that there is room."""
        for (unit, _), window in self.windows.items():
            amount = _amount(unit, need, window)
            yield _Part(unit, window, window.take(now, amount), amount)

    def leave(self, seconds: float) -> None:
        """The request is over, after so many seconds."""
        self.under_way -= 1
        self.typical_seconds += 0.1 * (seconds - self.typical_seconds)

    def is_idle(self, now: float) -> bool:
        """Whether forgetting the account changes nothing."""
        return not self.under_way and not any(window.used(now) for window in self.windows.values())


class _Part(NamedTuple):
    unit: Unit
    window: RollingWindow
    share: Share
    amount: int


def _amount(unit: Unit, need: Need, window: RollingWindow) -> int:
    """What to take: of an estimate never more than an empty window holds, or it could never pass."""
    if unit == "requests" or window.limit == 0:
        return 1
    tokens = need.prompt + need.completion
    return tokens if window.limit is None else min(tokens, window.limit)


class Taken:
    """What one request holds of its limits; ``Limits.take`` makes it."""

    def __init__(self, accounts: Sequence[_Account], clock: Callable[[], float], need: Callable[[], Need]) -> None:
        self._accounts = accounts
        self._clock = clock
        self._need = need
        self._parts: list[_Part] = []
        self._start = 0.0
        self._begun: list[_Account] = []  # those in which it is under way
        self._settled = False

    async def __aenter__(self) -> Taken:
        """Take all of it or nothing.

        Raises:
            LimitExceeded: With the time at which a repeat will pass.
        """
        now = self._start = self._clock()
        need = self._need() if any(account.limits_tokens for account in self._accounts) else Need()
        if refusals := [refusal for account in self._accounts for refusal in account.refusals(now, need)]:
            raise _exceeded(refusals)
        self._parts = [part for account in self._accounts for part in account.enter(now, need)]
        self._begin(account for account in self._accounts if account.counts_waiting)
        return self

    def start(self) -> None:
        """The request has left the queue, and is under way for everyone's limit, too.

        One that waits takes nothing from the others: a class that asks at once waits its turn and is not refused. A
        second time changes nothing.
        """
        self._begin(account for account in self._accounts if account not in self._begun)

    def _begin(self, accounts: Iterable[_Account]) -> None:
        for account in list(accounts):
            account.under_way += 1
            self._begun.append(account)

    def settle(self, usage: Usage) -> None:
        """The request was answered, wholly or in part: it counts, with the tokens it has really used."""
        now = self._clock()
        for at, part in enumerate(self._parts):
            if part.unit == "tokens":
                part.window.correct(now, part.share, usage.total_tokens - part.amount)
                self._parts[at] = part._replace(amount=usage.total_tokens)
        self._settled = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back the place under way; and all else, unless the request counts."""
        now = self._clock()
        for account in self._begun:
            account.leave(now - self._start)
        self._begun.clear()
        if isinstance(error, UpstreamRefused) and not self._settled:  # it went out, and the fault was the caller's
            self.settle(Usage())
        if not self._settled:
            for part in self._parts:
                part.window.give_back(now, part.share, part.amount)


class Limits:
    """The limits of all callers of this process.

    Args:
        settings: The ``caller``, ``tenant`` and ``everyone`` limits, and those that single tenants have of their own.
        clock: Seconds, never going back.

    Example:
        ::

            async with limits.take(caller, request) as taken:
                usage = await answer(request)
                taken.settle(usage)
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._of_tenants = {tenant.name: merged(settings.tenant, tenant.limits) for tenant in settings.tenants}
        self._everyone = _Account("The limit for everyone together", settings.everyone, counts_waiting=False)
        self._tenants: dict[str, _Account] = {}
        self._callers: dict[str, _Account] = {}

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
        return Taken(self._accounts(caller), self._clock, lambda: need or estimated(request))

    def headers(self, caller: Caller) -> dict[str, str]:
        """The ``x-ratelimit-*`` headers: of each unit, the window that has least left."""
        now = self._clock()
        headers = {}
        for unit in ("requests", "tokens"):
            windows = [w for account in self._accounts(caller) for (of, _), w in account.windows.items() if of == unit]
            tightest = min(windows, key=lambda window: window.remaining(now))
            limit = NO_LIMIT if tightest.limit is None else tightest.limit
            reset = 0.0 if tightest.limit is None else tightest.full_again(now)
            headers[f"x-ratelimit-limit-{unit}"] = str(limit)
            headers[f"x-ratelimit-remaining-{unit}"] = str(tightest.remaining(now))
            headers[f"x-ratelimit-reset-{unit}"] = duration(reset)
        return headers

    def stats(self, caller: Caller) -> dict[str, Any]:
        """The caller's own use: ``limits`` (of requests) and ``tokens`` per period, and ``concurrency``."""
        now = self._clock()
        account = self._of_caller(caller)
        shown: dict[str, dict[str, Any]] = {"requests": {}, "tokens": {}}
        for (unit, period), window in account.windows.items():
            shown[unit][period] = _figures(window.used(now), window.limit)
        concurrency = _figures(account.under_way, account.concurrency)
        return {"limits": shown["requests"], "tokens": shown["tokens"], "concurrency": concurrency}

    def reset_daily(self) -> int:
        """Forget what counts against limits per day; how many accounts had something to forget."""
        now = self._clock()
        accounts = (self._everyone, *self._tenants.values(), *self._callers.values())
        return sum(_clear_days(account, now) for account in accounts)

    def _accounts(self, caller: Caller) -> list[_Account]:
        tenant = [self._of_tenant(caller.tenant)] if caller.tenant else []
        return [self._of_caller(caller), *tenant, self._everyone]

    def _of_caller(self, caller: Caller) -> _Account:
        account = self._callers.get(caller.name)
        if account is None:
            if len(self._callers) >= _MOST_CALLERS:
                now = self._clock()
                self._callers = {name: of for name, of in self._callers.items() if not of.is_idle(now)}
            account = self._callers[caller.name] = _Account("Your limit", self._settings.caller, shown=True)
        return account

    def _of_tenant(self, name: str) -> _Account:
        account = self._tenants.get(name)
        if account is None:
            limits = self._of_tenants.get(name, self._settings.tenant)
            account = self._tenants[name] = _Account("Your group's limit", limits)
        return account


def _clear_days(account: _Account, now: float) -> bool:
    days = [window for (_, period), window in account.windows.items() if period == "day"]
    had = any(window.used(now) for window in days)
    for window in days:
        window.clear()
    return had


def estimated(request: ChatRequest) -> Need:
    """A rough count of a request's tokens, four characters being one, and of the longest answer it allows."""
    longest = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
    prompt = len(json.dumps(request.body.get("messages", ()), ensure_ascii=False)) // 4
    return Need(prompt, longest if isinstance(longest, int) else 0)


def merged(base: CallerLimits, own: CallerLimits) -> CallerLimits:
    """The limits ``base``, with what ``own`` says in its place."""
    given = {field.name: value for field in fields(own) if (value := getattr(own, field.name)) is not None}
    return replace(base, **given)


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


def _figures(current: int, limit: int | None) -> dict[str, int | None]:
    return {"current": current, "limit": limit, "remaining": None if limit is None else max(0, limit - current)}


def _exceeded(refusals: Sequence[_Refusal]) -> LimitExceeded:
    """The refusal that lasts longest: before its end nothing else matters."""
    worst = max(refusals, key=lambda refusal: refusal.wait)
    if math.isinf(worst.wait):
        return LimitExceeded(worst.sentence)
    return LimitExceeded(f"{worst.sentence} Try again in {in_words(worst.wait)}.", retry_after=worst.wait)
