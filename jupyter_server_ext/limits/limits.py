"""How much each caller, each tenant, and everyone together may use: requests, tokens, and requests in flight."""

# Windows are rolling and exact: at no moment do the last 60 (3,600; 86,400) seconds hold more than the limit. A request
# is charged to all counters that concern it or to none. They count in this process, or for all gateways that share one
# Redis. Money is in ``pipeline/money``; for a slot among all in flight requests wait in ``keys/queue``.
#
# Inline completions are counted apart, each limit's share of them beside it, so that they take nothing of what people
# have. They are no way around a limit either: who has reached one gets none, and they are small.

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from jupyter_server_ext.config import CallerLimits
from jupyter_server_ext.errors import LimitExceeded, UpstreamRefused
from jupyter_server_ext.limits.counters import Charge, Counter, Counters, Demand, MemoryCounters, Shortfall
from jupyter_server_ext.messages import INLINE, Caller, ChatRequest, Task, TokenUsage, letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from jupyter_server_ext.config import InlineCompletionSettings, Settings, Unit
    from jupyter_server_ext.limits.counters import Use
    from jupyter_server_ext.messages import Used

NO_LIMIT = 2_147_483_647  # the value of headers where there is no limit: clients read a whole number there

_SECONDS = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_WINDOWS: tuple[tuple[Unit, str], ...] = (
    ("requests", "minute"),
    ("requests", "hour"),
    ("requests", "day"),
    ("tokens", "minute"),
    ("tokens", "day"),
)
_UNITS: tuple[Unit, ...] = ("requests", "tokens")
_SHARED = (*(f"{unit}_per_{period}" for unit, period in _WINDOWS), "concurrency")
_FOR: Mapping[Task | None, str] = {INLINE: " for inline completions"}
_TOKENS = "/tokens/"
_MOST_CALLERS = 10_000  # whose scopes are remembered; their counts are with the counters

ScopeKind = Literal["route", "key", "caller", "tenant", "everyone"]
_TITLES: Mapping[ScopeKind, str] = {
    "route": "Your limit here",
    "key": "This key's limit",
    "caller": "Your limit",
    "tenant": "Your group's limit",
    "everyone": "The limit for everyone together",
}


class Need(NamedTuple):
    """Tokens that a request is expected to take."""

    prompt: int = 0
    completion: int = 0


class _Refusal(NamedTuple):
    limit: str  # its kind, such as ``tenant requests day``
    wait: float
    sentence: str


class LimitScope:
    """The counters of one virtual key, one caller (on all routes or on one), one tenant, or everyone."""

    def __init__(self, kind: ScopeKind, name: str, limits: CallerLimits, task: Task | None = None) -> None:
        self.kind = kind  # which of them
        self.limits = limits
        self._name = name
        self._task = task  # the one task that is counted here; None for all that is counted nowhere else
        scope = {"everyone": kind, "route": f"caller:{name}"}.get(kind, f"{kind}:{name}")
        scope = f"{task}:{scope}" if task else scope
        self.slots = Counter(f"{scope}/concurrent", limits.concurrency)
        self.counters: dict[tuple[Unit, str], Counter] = {}
        self.limited: dict[Unit, list[tuple[Counter, int]]] = {unit: [] for unit in _UNITS}
        for unit, period in _WINDOWS:
            limit = getattr(limits, f"{unit}_per_{period}")
            # A caller's use is shown without limits, too.
            if limit is not None or kind == "caller":
                counter = self.counters[unit, period] = Counter(f"{scope}/{unit}/{period}", limit, _SECONDS[period])
                if limit is not None:
                    self.limited[unit].append((counter, limit))
        self.typical_seconds = 1.0  # that a request takes
        requests = [counter for (unit, _), counter in self.counters.items() if unit == "requests"]
        self._tokens = [counter for (unit, _), counter in self.counters.items() if unit == "tokens"]
        self._always = [Demand(counter, 1) for counter in (self.slots, *requests)]

    def for_completions(self, own: InlineCompletionSettings) -> LimitScope:
        """What inline completions have beside it."""
        shares = {name: _share(getattr(self.limits, name), own.share) for name in _SHARED}
        if self.kind == "caller":
            least = (shares["requests_per_minute"], own.requests_per_minute)
            shares["requests_per_minute"] = min(limit for limit in least if limit is not None)
        return LimitScope(self.kind, self._name, CallerLimits(**shares), INLINE)

    def reached(self, use: Callable[[Counter], Use]) -> Iterator[_Refusal]:
        """The limits of windows that are used up now."""
        for counters in self.limited.values():
            for counter, limit in counters:
                now = use(counter)
                if now.used >= limit and (refusal := self.refusal(Shortfall(counter, now.full_again or math.inf))):
                    yield refusal

    def too_long(self, need: Need) -> Iterator[_Refusal]:
        """Why the request can never start."""
        for (unit, period), counter in self.counters.items():
            if unit == "tokens" and counter.limit is not None and need.prompt > counter.limit:
                limit = self._limit(counter.limit, f"{unit} per {period}")
                sentence = f"This question has about {need.prompt:,} tokens. {limit} is less; shorten it."
                yield _Refusal(self._label(f"{unit} {period}"), math.inf, sentence)

    def demands(self, need: Need) -> list[Demand]:
        """What the request needs."""
        return [*self._always, *(Demand(counter, _tokens(need, counter)) for counter in self._tokens)]

    def refusal(self, short: Shortfall) -> _Refusal | None:
        """The sentence for a counter without room; None when it is another scope's."""
        limit = short.counter.limit or 0
        if short.counter == self.slots:
            wait = self.typical_seconds / limit if limit else math.inf
            return _Refusal(self._label("concurrency"), wait, f"{self._limit(limit, 'requests at once')} is reached.")
        for (unit, period), counter in self.counters.items():
            if counter == short.counter:
                sentence = f"{self._limit(limit, f'{unit} per {period}')} is reached."
                return _Refusal(self._label(f"{unit} {period}"), short.wait, sentence)
        return None

    def _limit(self, amount: int, of: str) -> str:
        return f"{_TITLES[self.kind]} of {amount:,} {of}{_FOR.get(self._task, '')}"

    def _label(self, what: str) -> str:
        return " ".join(filter(None, [self.kind, what, self._task]))


def _share(limit: int | None, share: float) -> int | None:
    return None if limit is None else math.ceil(limit * share)


def _tokens(need: Need, counter: Counter) -> int:
    # What to take: of an estimate never more than an empty window holds, or it could never pass.
    if counter.limit == 0:
        return 1
    tokens = need.prompt + need.completion
    return tokens if counter.limit is None else min(tokens, counter.limit)


# Why a request is too large to be an inline completion.
def _too_large(need: Need, most: int) -> _Refusal | None:
    if need.completion and need.prompt + need.completion <= most:
        return None
    has = f"about {need.prompt + need.completion:,}" if need.completion else "no max_tokens"
    sentence = f"An inline completion may have {most:,} tokens, its longest answer included; this one has {has}."
    return _Refusal(f"tokens {INLINE}", math.inf, sentence)


@dataclass(slots=True)
class LimitCharges:
    """What one request has taken of its limits; ``Limits.take`` makes it."""

    _scopes: Sequence[LimitScope]
    _counters: Counters
    _clock: Callable[[], float]
    _need: Callable[[], Need]
    _beside: Sequence[LimitScope] = ()  # scopes of which nothing is taken, and which must not be used up
    _most: int | None = None  # tokens, where there is a largest
    _charges: list[Charge] = field(default_factory=list)
    _slots: dict[str, Charge] = field(default_factory=dict)  # by counter
    _start: float = 0.0
    _used: int | None = None  # tokens, of a request that counts

    async def __aenter__(self) -> LimitCharges:
        """Take all of it or nothing."""
        self._start = self._clock()
        # Reading a long question costs more than the limits: only where one is of tokens.
        limiting = [scope for scope in self._scopes if scope.limited["tokens"]]
        need = self._need() if limiting or self._most is not None else Need()
        refusals = [refusal for scope in limiting for refusal in scope.too_long(need)]
        refusals += [refusal for scope in self._beside for refusal in scope.reached(self._counters.use)]
        if self._most is not None and (refusal := _too_large(need, self._most)):
            refusals.append(refusal)
        if not refusals:
            for got in await self._counters.take([one for scope in self._scopes for one in scope.demands(need)]):
                if isinstance(got, Shortfall):
                    refusals += filter(None, [scope.refusal(got) for scope in self._scopes])
                elif got.counter.seconds:
                    self._charges.append(got)
                else:
                    self._slots[got.counter.id] = got
        if refusals:
            # The refusal that lasts longest: before its end nothing else matters.
            worst = max(refusals, key=attrgetter("wait"))
            if math.isinf(worst.wait):
                error = LimitExceeded(worst.sentence)
            else:
                again = f"Try again in {in_words(worst.wait)}."
                error = LimitExceeded(f"{worst.sentence} {again}", retry_after=worst.wait)
            error.limit = worst.limit
            raise error
        return self

    def settle(self, usage: TokenUsage) -> None:
        """Let the request count, with the tokens it has really used, as it was answered wholly or in part."""
        self._used = usage.prompt_tokens + usage.completion_tokens

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back the slot; and all else, unless the request counts."""
        seconds = self._clock() - self._start
        for scope in self._scopes:
            if scope.slots.id in self._slots:
                scope.typical_seconds += 0.1 * (seconds - scope.typical_seconds)  # a mean of the last ten or so
        if isinstance(error, UpstreamRefused) and self._used is None:  # it went out, and the fault was the caller's
            self._used = 0
        for charge in self._slots.values():
            self._counters.change(charge, 0)
        for charge in self._charges:
            if self._used is None:
                self._counters.change(charge, 0)
            elif _TOKENS in charge.counter.id:
                self._counters.change(charge, self._used)


class Limits:
    """The limits of all callers.

    Args:
        settings: The ``caller``, ``tenant`` and ``everyone`` limits, and those that single tenants have of their own.
        counters: Where use is counted; this process's memory by default.
        clock: Seconds, never going back.

    Example:
        ::

            async with limits.take(caller, request) as taken:
                usage = await answer(request)
                taken.settle(usage)
    """

    def __init__(
        self, settings: Settings, *, counters: Counters | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self.counters: Counters = MemoryCounters(clock=clock) if counters is None else counters
        self._of_tenants: dict[str, CallerLimits] = {}
        self._tenants: dict[str, LimitScope] = {}
        self._callers: dict[str, LimitScope] = {}
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Have other limits from now on; what was used still counts."""
        self._settings = settings
        self._of_tenants = {tenant.name: merged(settings.tenant, tenant.limits) for tenant in settings.tenants}
        self._of_routes = dict(settings.routes)
        self._of_callers = {name: merged(settings.caller, own) for name, own in settings.callers}
        # For a slot among all in flight requests wait in the queue; only 0 is refused here.
        slots = 0 if settings.everyone.concurrency == 0 else None
        self._everyone = LimitScope("everyone", "", replace(settings.everyone, concurrency=slots))
        self._tenants.clear()
        self._callers.clear()

    async def admit(self, caller: Caller, route: str) -> None:
        """Count a request to a route, where that has limits.

        Raises:
            LimitExceeded: The caller has reached one of them.
        """
        if (limits := self._of_routes.get(route)) is None:
            return
        scope = LimitScope("route", f"{caller.name}/route/{route}", limits)
        demands = [Demand(counter, 1) for (unit, _), counter in scope.counters.items() if unit == "requests"]
        got = await self.counters.take(demands)
        refusals = [scope.refusal(one) for one in got if isinstance(one, Shortfall)]
        if worst := max(filter(None, refusals), key=attrgetter("wait"), default=None):
            again = "" if math.isinf(worst.wait) else f" Try again in {in_words(worst.wait)}."
            wait = None if math.isinf(worst.wait) else worst.wait
            raise LimitExceeded(worst.sentence + again, code="route_limit_exceeded", retry_after=wait)

    def take(self, caller: Caller, request: ChatRequest, need: Need | None = None) -> LimitCharges:
        """What one request takes, as an async context manager.

        Entering takes a request, its expected tokens and a concurrency slot, from the caller, the tenant and everyone
        at once; or it raises ``LimitExceeded`` and takes nothing. Leaving gives the slot back, and all else too unless
        ``settle`` was called: what the gateway could not answer costs its caller nothing.

        An inline completion takes all that of what completions have apart, and is refused where a limit of its caller,
        tenant or everyone is reached.

        ``need`` are its tokens, where a better estimate than ``estimated`` is known.
        """
        scopes, needed = self._scopes(caller), lambda: need or estimated(request)
        if request.task != INLINE:
            return LimitCharges(scopes, self.counters, self._clock, needed)
        own = self._settings.inline_completion
        apart = [scope.for_completions(own) for scope in scopes]
        return LimitCharges(apart, self.counters, self._clock, needed, scopes, own.tokens)

    async def refresh(self, caller: Caller) -> None:
        """Bring ``headers`` and ``stats`` of a caller up to date, where other gateways count as well."""
        scopes = self._scopes(caller)
        await self.counters.read([one for scope in scopes for one in (scope.slots, *scope.counters.values())])

    def headers(self, caller: Caller) -> dict[str, str]:
        """The ``x-ratelimit-*`` headers: of each unit, the window that has least left."""
        scopes, headers = self._scopes(caller), {}
        for unit in _UNITS:
            uses = [(self.counters.use(one), limit) for scope in scopes for one, limit in scope.limited[unit]]
            lefts = [(max(0, limit - use.used), limit, use.full_again) for use, limit in uses]
            remaining, limit, full_again = min(lefts, key=itemgetter(0), default=(NO_LIMIT, NO_LIMIT, 0.0))
            headers[f"x-ratelimit-limit-{unit}"] = str(limit)
            headers[f"x-ratelimit-remaining-{unit}"] = str(remaining)
            headers[f"x-ratelimit-reset-{unit}"] = duration(full_again)
        return headers

    def stats(self, caller: Caller) -> dict[str, Any]:
        """The caller's own use: ``limits`` (of requests) and ``tokens`` per period, and ``concurrency``.

        ``shared_limits`` are those of requests that the caller has together with others, of the group or everyone:
        of each period the one with least left.
        """
        scope = self._of_caller(caller)
        figures: dict[str, dict[str, Any]] = {"requests": {}, "tokens": {}}
        for (unit, period), counter in scope.counters.items():
            figures[unit][period] = self._figures(counter)
        return {
            "limits": figures["requests"],
            "shared_limits": self._shared(caller),
            "tokens": figures["tokens"],
            "concurrency": self._figures(scope.slots),
        }

    def _shared(self, caller: Caller) -> dict[str, dict[str, int | None]]:
        nearest: dict[str, dict[str, int | None]] = {}
        for scope in self._scopes(caller):
            for (unit, period), counter in scope.counters.items():
                if scope.kind in {"tenant", "everyone"} and unit == "requests" and counter.limit is not None:
                    told = self._figures(counter)
                    nearest[period] = min(told, nearest.get(period, told), key=itemgetter("remaining"))
        return nearest

    def stats_of_key(self, caller: Caller) -> dict[str, Any]:
        """What the virtual key that was used has left of limits of its own; empty without any."""
        return {
            f"{unit}_per_{period}": self._figures(counter)
            for scope in self._of_key(caller)
            for (unit, period), counter in scope.counters.items()
        }

    def restore(
        self,
        used: Iterable[Used],
        unix: float,
        *,
        day_from: float = 0.0,  # from which on limits per day count, as they were reset then
        keys: Mapping[str, CallerLimits] | None = None,  # limits that virtual API keys have of their own, by id
        callers_from: Mapping[str, float] | None = None,  # the same as ``day_from``, of one caller and all periods
    ) -> None:
        """Count what the ledger remembers, oldest first; all times are Unix time."""
        for row in used:
            if not row.counted:
                continue
            age = max(0.0, unix - row.at)
            given_back = row.at < (callers_from or {}).get(row.caller, 0.0)
            caller = Caller(row.caller, row.tenant, key=row.api_key, limits=(keys or {}).get(row.api_key))
            scopes = self._scopes(caller)
            if row.is_inline:
                scopes = [scope.for_completions(self._settings.inline_completion) for scope in scopes]
            for scope in scopes:
                if scope.kind == "caller" and (given_back or not row.caller):
                    continue  # not those of a caller that was forgotten, either
                for (unit, period), counter in scope.counters.items():
                    if age < counter.seconds and not (period == "day" and row.at < day_from):
                        amount = row.counted if unit == "requests" else row.counted_tokens
                        self.counters.restore(counter, amount, age)

    async def reset_daily(self) -> int:
        """Forget what counts against limits per day; how many scopes had something to forget."""
        return await self.counters.clear("day")

    async def forget(self, caller: str, keys: Iterable[str] = ()) -> bool:
        """Forget a caller and its virtual keys, money included; False where Redis, which knows them, is away."""
        self._callers.pop(caller, None)
        routes = [f"caller:{caller}/route/{route}" for route in self._of_routes]
        scopes = [f"caller:{caller}", *routes, *(f"key:{key}" for key in keys)]
        scopes += [f"{INLINE}:{scope}" for scope in scopes]
        return all([await self.counters.forget(scope) for scope in scopes])

    def _figures(self, counter: Counter) -> dict[str, int | None]:
        used, limit = self.counters.use(counter).used, counter.limit
        return {"current": used, "limit": limit, "remaining": None if limit is None else max(0, limit - used)}

    def _scopes(self, caller: Caller) -> list[LimitScope]:
        own, name = [*self._of_key(caller), self._of_caller(caller)], caller.tenant
        if name and name not in self._tenants:
            limits = self._of_tenants.get(name, self._settings.tenant)
            self._tenants[name] = LimitScope("tenant", name, limits)
        return [*own, self._tenants[name], self._everyone] if name else [*own, self._everyone]

    def _of_key(self, caller: Caller) -> list[LimitScope]:
        return [LimitScope("key", caller.key, caller.limits)] if caller.limits else []

    def _of_caller(self, caller: Caller) -> LimitScope:
        scope = self._callers.get(caller.name)
        if scope is None:
            if len(self._callers) >= _MOST_CALLERS:
                del self._callers[next(iter(self._callers))]
            limits = self._of_callers.get(caller.name, self._settings.caller)
            scope = self._callers[caller.name] = LimitScope("caller", caller.name, limits)
        return scope


def estimated(request: ChatRequest) -> Need:
    """A rough count of a request's tokens, four characters being one, and of the longest answer it allows.

    A picture counts as 1,000 tokens, until its provider says what it took.
    """
    longest = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
    answers = request.body.get("n")
    if request.weighed is not None:
        length = request.weighed.letters
    else:
        question = request.body.get("input" if request.embeds else "messages", ())
        length = letters(question, msgspec.json.encode(question))
    answers = answers if isinstance(answers, int) else 1
    return Need(length // 4, longest * answers if isinstance(longest, int) else 0)


def merged(base: CallerLimits, own: CallerLimits) -> CallerLimits:
    """The limits ``base``, with the values of ``own`` in their place."""
    given = {one.name: value for one in fields(own) if (value := getattr(own, one.name)) is not None}
    return replace(base, **given)


def duration(seconds: float) -> str:
    """A time as providers write it in ``x-ratelimit-reset-*``, never too short."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    whole, hundredths = divmod(math.ceil(round(seconds * 100, 3)), 100)
    hours, minutes = whole // 3600, whole // 60 % 60
    rest = f"{whole % 60 + hundredths / 100:.2f}".rstrip("0").rstrip(".")
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"


def in_words(seconds: float) -> str:
    """A time for people, never too short."""
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 6000 else f"{math.ceil(seconds / 360) / 10:g} h"
