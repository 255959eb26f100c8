"""The accounting of one request and of all: outcomes, ledger entries, money held, and what they add up to."""

# An entry is opened before anything else happens to a request and written, durably, before the caller sees the end of
# the answer; a request that is refused, broken off or left has its entry, too.

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from jupyter_server_ext.errors import LedgerUnavailable, LimitExceeded, RsqlGatewayError, UpstreamFailed
from jupyter_server_ext.ledger import Ledger
from jupyter_server_ext.logs import scrubbed
from jupyter_server_ext.messages import (
    WITHOUT_PROVIDER,
    CacheResult,
    Caller,
    ChatRequest,
    Entry,
    TokenUsage,
    wants_usage,
)
from jupyter_server_ext.pipeline.cache import Cached, as_body, as_events, with_member
from jupyter_server_ext.pipeline.money import NANODOLLARS, PERIODS, Budgets, Hold, Prices
from jupyter_server_ext.questions import question_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator

    from jupyter_server_ext.config import TenantSettings
    from jupyter_server_ext.ledger import LedgerPage, PromptVault, SqlLedgerStore
    from jupyter_server_ext.pipeline.money import Period, Spent
    from jupyter_server_ext.traces import Traces
    from jupyter_server_ext.upstream import Job, ProviderAnswer

_LONGEST_ERROR = 500  # letters of what an error says


class RequestContext:
    """One request while it is answered."""

    def __init__(
        self, job: Job, rules: TenantSettings, entry: Entry, accounting: Accounting, clock: Callable[[], float]
    ) -> None:
        self.rules = rules  # of the caller's tenant
        self.job = job  # its way to a provider
        self.request = job.request  # the request, as the policy has it
        self.answer: ProviderAnswer | None = None  # the provider's answer, once it has begun
        self.status, self.error = 499, "caller_left"  # unless it ends in another way
        self.error_text = ""
        self.limit = ""  # what refused it, if a limit did
        self.cache: CacheResult = ""
        self.saved = 0
        self.expected = TokenUsage()  # what it will likely take; a provider is asked with so much reserved
        self.billed: TokenUsage | None = None  # usage at providers in its name; None while it is not known
        self.cost = 0  # what that costs, in nano-dollars …
        self.wasted = 0  # … and what failed tries cost that were followed by others
        self.in_flight = False  # whether a provider is being asked in its name
        self.has_begun = False  # whether the caller has got a part of the answer
        self.has_left = False  # whether the caller is served or gone
        self._place = accounting.traces.place(job.request.traceparent) if accounting.traces is not None else None
        self._tries: list[Entry] = []  # those that were followed by others, of a request that is traced
        if self._place is not None:
            entry = replace(entry, trace=f"{self._place.trace:032x}")
        self._entry = entry  # what the ledger knows of it at the start
        self._accounting = accounting  # where the entry goes, and what usage costs
        self._ledger = accounting.ledger if accounting.ledger.keeps else None
        # Whether anybody is told how it ends.
        self._is_watched = accounting.ledger.keeps or accounting.observe is not None or self._place is not None
        self._clock = clock  # seconds, monotonic
        self._start = clock()
        self._first_token: float | None = None
        self._begun: asyncio.Future[None] | None = None
        self._is_written = False
        self._keeps_prompt = self.keeps_answer = False
        self._kept_answer: bytes | None = None

    def admit(self, request: ChatRequest) -> None:
        """Go on with the request as the policy has it, which may keep its text and the answer's, encrypted."""
        self.request = self.job.request = request
        self._keeps_prompt = self.rules.keep_prompts
        self.keeps_answer = self.rules.keep_answers and not request.embeds and self._accounting.vault is not None

    def answered(self, body: bytes | None) -> None:
        """Keep the text of the answer, where the policy does."""
        if self.keeps_answer and body is not None and self._accounting.vault is not None:
            self._kept_answer = self._accounting.vault.seal(answer_of(body))

    def failed(self, error: RsqlGatewayError) -> None:
        """Note that it ends with an error."""
        self.status, self.error, self.error_text = error.status, error.code, scrubbed(error.recorded)[:_LONGEST_ERROR]
        self.limit = error.limit if isinstance(error, LimitExceeded) else ""

    def _observe(self, entry: Entry) -> None:
        if self._accounting.observe is not None:
            self._accounting.observe(entry, self.limit)

    def _trace(self, entry: Entry) -> None:
        if self._place is not None and self._accounting.traces is not None:
            trace = self.job.trace
            known = {one.key: one.provider for one in trace.failed} | {trace.key: trace.provider}
            content = self.rules.keep_prompts
            self._accounting.traces.export(self._place, entry, self._tries, known, self.request, content=content)

    def begin(self, number: int, usage: TokenUsage, cost: int) -> asyncio.Future[None] | None:
        """Note in the ledger that a try is on its way, with its reservations: after a crash these count.

        The future is done when that is on disk.
        """
        if self._ledger is not None:
            trace = self.job.trace
            known = {"usage": usage, "cost_nanodollars": cost, "key": trace.key}
            model = trace.model or self.request.model
            entry = replace(self._entry, at=self._now(), attempt=number, model=model, **known)
            self._begun = self._ledger.begin(entry)
        return self._begun

    def begin_attempt(self, hold: Hold) -> asyncio.Future[None] | None:
        """Begin the entry of the next try, and complete that of the failed one before it; see ``begin``."""
        trace = self.job.trace
        for failed in trace.failed[-1:]:
            cost = self._accounting.prices.cost(failed.usage, failed.model, failed.provider)
            self.wasted += cost
            if self._is_watched:
                seconds = {"upstream_seconds": failed.seconds, "duration_seconds": failed.seconds}
                same = {name: getattr(failed, name) for name in ("status", "key", "model", "usage")}
                known = {"attempt": failed.number, "attempts": 0, "error": failed.reason, "cost_nanodollars": cost}
                known["error_text"] = scrubbed(failed.words)[:_LONGEST_ERROR]
                entry = replace(self._entry, at=self._now() - failed.seconds, **same, **known, **seconds)
                self._observe(entry)
                if self._place is not None:
                    self._tries.append(entry)
                if self._ledger is not None:
                    self._ledger.note(entry)
        purchase = self.request.purchase
        if purchase is None:
            return self.begin(trace.attempts, self.expected, hold.amount)
        amount = max(hold.amount, purchase.most)
        begun = self.begin(trace.attempts, self.expected, amount)
        # After the ledger's, so that no row is known to have been asked of which the ledger knows nothing.
        return asyncio.ensure_future(_in_turn(begun, purchase.begin(self.wasted + amount)))

    async def pass_on(self) -> None:
        """Note that a part of the answer goes out; the first one waits until the begun entry is on disk."""
        self.first_token()
        if not self.has_begun:
            if self._begun is not None:
                begun, self._begun = self._begun, None
                await begun
            self.has_begun = True

    def first_token(self) -> None:
        """Keep the time of the answer's first part."""
        if self._first_token is None:
            self._first_token = self._clock() - self._start

    def bill(self) -> None:
        """Note the true usage: of the answer, or of one that was written in vain for a caller who left."""
        trace = self.job.trace
        usage = trace.wasted if self.answer is None else self.answer.usage
        if self.answer is not None or usage.total_tokens:
            self.billed, self.cost = usage, self._accounting.prices.cost(usage, trace.model, trace.provider)
        if self.request.purchase is not None:
            self.request.purchase.cost = self.cost + self.wasted

    def used(self) -> TokenUsage | None:
        """What counts against the caller's limits; None when nothing was answered."""
        if self.in_flight:  # others listen on, and its usage is not known yet
            return self.expected if self.has_begun else None
        if self.billed is not None:
            return self.billed
        return TokenUsage() if self.has_begun or self.status == 200 else None

    async def write(self) -> None:
        """Write the entry, durably; a second time changes nothing."""
        if self._is_written:
            return
        self._is_written = True
        if not self._is_watched:
            return
        trace, now = self.job.trace, self._clock()
        known: dict[str, Any] = {} if self.billed is None else {"usage": self.billed, "cost_nanodollars": self.cost}
        entry = replace(
            self._entry,
            status=self.status,
            error=self.error,
            error_text=self.error_text,
            answer=self._kept_answer,
            cache=self.cache,
            saved_nanodollars=self.saved,
            key=trace.key,
            model=trace.model or self.request.model,
            attempts=trace.attempts,
            attempt=max(1, trace.attempts),
            queue_seconds=trace.queue_seconds,
            upstream_seconds=now - trace.upstream_start if trace.attempts else 0.0,
            first_token_seconds=self._first_token,
            duration_seconds=now - self._start,
            prompt=self._accounting.seal(self.request) if self._keeps_prompt else None,
            **known,
        )
        self._observe(entry)
        self._trace(entry)
        if self._ledger is not None:
            await self._ledger.finish(entry)

    def metadata(self) -> dict[str, Any]:
        """The member ``rsql`` of the last event, or of the body."""
        trace, now = self.job.trace, self._clock()
        cached = self.cache in WITHOUT_PROVIDER
        return {
            "request_id": self.request.request_id,
            "duration_seconds": round(now - self._start, 4),
            "queue_seconds": round(trace.queue_seconds, 4),
            "upstream_seconds": round(now - trace.upstream_start, 4) if trace.attempts else 0.0,
            "attempts": trace.attempts,
            "key": trace.key,
            "model": trace.model or self.request.model,
            "cached": cached,
            "cost_usd": 0.0 if cached else self._accounting.dollars(self.cost, trace.model, trace.provider),
            **({} if cached else self._accounting.priced(self.cost, trace.model, trace.provider)),
            "rate_limited": trace.rate_limited,
        } | ({"repeated": True} if self.cache == "repeat" else {})

    def _now(self) -> float:
        return self._entry.at + self._clock() - self._start


@dataclass(frozen=True, slots=True)
class UpstreamResult:
    """The end of a provider's answer; ``parts`` are those before, kept if they may be needed."""

    context: RequestContext
    parts: list[bytes]

    @property
    def answer(self) -> ProviderAnswer:
        """The provider's answer, which has ended."""
        assert self.context.answer is not None  # noqa: S101 - it was passed on
        return self.context.answer

    @property
    def body(self) -> bytes | None:
        """The whole answer as JSON; None when it cannot be put together."""
        if not self.context.request.stream:
            return self.answer.ending()
        return as_body(b"".join([*self.parts, self.answer.ending(usage=True)]))

    def end_for(self, request: ChatRequest, result: CacheResult, *, streamed: bool) -> Iterator[bytes | AnswerEnd]:
        """The end for one listener; the whole answer for one who wants another form than it came in."""
        saved = self.context.cost if result == "shared" else 0
        if request.stream == self.context.request.stream:
            last = partial(self.answer.ending, usage=wants_usage(request))
            yield AnswerEnd(last, lambda: self.body, result, saved)
            return
        body = self.body
        if body is None:
            raise UpstreamFailed("The answer to an identical request cannot be given in this form. Ask again.")
        if not streamed:
            yield from replayed(request, Cached(body, saved), result)


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """The end of an answer as one caller gets it."""

    last: Callable[[bytes], bytes]  # makes the last part, with JSON members added
    body: Callable[[], bytes | None]  # makes the whole answer as JSON
    cache: CacheResult = ""  # what the cache had to do with it
    saved: int = 0  # what it would have cost, in nano-dollars


def replayed(request: ChatRequest, answer: Cached, result: CacheResult) -> Iterator[bytes | AnswerEnd]:
    """An answer that was given before, in the form that is asked for now."""
    body = answer.body
    if not request.stream:
        yield AnswerEnd(partial(with_member, body), lambda: body, result, answer.cost)
        return
    usage = wants_usage(request)
    yield as_events(body, b"", usage=usage)[0]
    yield AnswerEnd(lambda extra: as_events(body, extra, usage=usage)[1], lambda: body, result, answer.cost)


async def _in_turn(first: asyncio.Future[None] | None, second: Awaitable[None]) -> None:
    if first is not None:
        await first
    await second


_RECENT = 10_000  # requests of which it is known who asked, without a look at the ledger


@dataclass(eq=False, repr=False)
class Accounting:
    """Opens entries, holds money, and tells what both add up to.

    Example:
        >>> from jupyter_server_ext.messages import Caller, ChatRequest
        >>> Accounting().open(Caller("ada"), ChatRequest("m", {"messages": []})).caller
        'ada'
    """

    ledger: Ledger = field(default_factory=lambda: Ledger(None))  # where entries go; by default nothing is kept
    _: KW_ONLY
    prices: Prices = field(default_factory=Prices)  # what usage costs
    budgets: Budgets | None = None  # what callers may spend; None holds nothing
    vault: PromptVault | None = None  # encrypts the prompts that are kept; None keeps none
    observe: Callable[[Entry, str], None] | None = None  # told each entry, and the kind of limit that refused it
    traces: Traces | None = None  # where a sample of requests is sent as traces; None for nowhere
    _recent: OrderedDict[str, str] = field(default_factory=OrderedDict)  # callers by request

    async def knows(self, request_id: str, caller: Caller) -> bool:
        """Whether this caller has asked something by this id."""
        if request_id in self._recent or not self.ledger.keeps:
            return self._recent.get(request_id) == caller.name
        found = await self.ledger.ask(lambda store: store.find(request_id))
        return any(entry.caller == caller.name for entry in found)

    def open(self, caller: Caller, request: ChatRequest) -> Entry:
        """Open the entry of a request; ``RequestContext`` writes it.

        Raises:
            LedgerUnavailable: Entries cannot be written, so nothing new is begun.
        """
        entry = Entry(
            request_id=request.request_id,
            at=time.time(),
            caller=caller.name,
            tenant=caller.tenant,
            api_key=caller.key,
            task=request.task,
            model=request.model,
        )
        if self.ledger.keeps:
            entry = replace(entry, **_particulars(request))
        self.ledger.check()
        self._recent[request.request_id] = caller.name
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return entry

    def hold(
        self, caller: Caller, model: str, providers: Iterable[str], usage: TokenUsage
    ) -> AbstractAsyncContextManager[Hold]:
        """Set aside the most that an answer with this usage can cost at any of these providers.

        Raises:
            LimitExceeded: A budget has less left than that.
        """
        if self.budgets is None:
            return nullcontext(Hold(0))
        return self.budgets.hold(caller, max((self.prices.cost(usage, model, name) for name in providers), default=0))

    def dollars(self, cost: int, model: str, provider: str) -> float | None:
        """A cost to show: None where the price is not known, or there is none."""
        return cost / NANODOLLARS if cost and self.prices.known(model, provider) else None

    def priced(self, cost: int, model: str, provider: str) -> dict[str, Any]:
        """How far a cost is known: ``known``, ``free``, or ``assumed`` with what a budget counts for it."""
        if not cost:
            return {"price": "free"}
        if self.prices.known(model, provider):
            return {"price": "known"}
        return {"price": "assumed", "assumed_usd": cost / NANODOLLARS}

    async def cost_today(self, caller: Caller, providers: Collection[str]) -> dict[str, float | None]:
        """What the caller has spent today, in US dollars: ``today``, ``limit`` and ``remaining``.

        By its budget, where there are budgets, else by the ledger. None stands for what is not known, such as the sum
        of a day with a model of unknown price.

        ``providers`` are those that there are keys for.
        """
        if self.budgets is not None:
            await self.budgets.refresh(caller)
            spent = self.budgets.spent(caller, "day")
            if spent.limit is not None:
                return {"today": _usd(spent.amount), "limit": _usd(spent.limit), "remaining": _usd(spent.remaining)}
        today: float | None = None
        with suppress(LedgerUnavailable):
            sums = await self.ledger.ask(lambda store: store.totals(since=self._today(store), caller=caller.name))
            paid = [total for total in sums if total["cost_nanodollars"]]
            if all(any(self.prices.known(total["model"], name) for name in providers) for total in paid):
                today = _usd(sum(total["cost_nanodollars"] for total in paid))
        return {"today": today, "limit": None, "remaining": None}

    def spent_by_key(self, caller: Caller) -> dict[str, dict[str, float | None]]:
        """Budgets of the virtual key that was used, as known since ``cost_today``; empty when it has none."""
        return {} if self.budgets is None else _by_period(caller, self.budgets.spent_by_key)

    def spent_with_others(self, caller: Caller) -> dict[str, dict[str, float | None]]:
        """Budgets that the caller shares, as known since ``cost_today``: of each period the one with least left."""
        return {} if self.budgets is None else _by_period(caller, self.budgets.spent_with_others)

    async def cache_today(self, caller: Caller) -> dict[str, float | None]:
        """The caller's requests today, how many were answered from the cache, and the US dollars that saved.

        None stands for what is not known, as there is no ledger.
        """
        with suppress(LedgerUnavailable):
            sums = await self.ledger.ask(lambda store: store.totals(since=self._today(store), caller=caller.name))
            requests, hits, saved = (
                sum(total[name] for total in sums) for name in ("requests", "cache_hits", "saved_nanodollars")
            )
            rate = round(hits / requests, 4) if requests else None
            return {"requests": requests, "hits": hits, "hit_rate": rate, "saved_usd": _usd(saved)}
        return dict.fromkeys(("requests", "hits", "hit_rate", "saved_usd"))

    def _today(self, store: SqlLedgerStore) -> str:
        return store.day(time.time())

    async def usage(
        self, since: str = "", tenant: str | None = None, page: LedgerPage | None = None
    ) -> list[dict[str, Any]]:
        """The ledger's sums per day, caller, tenant, model and task, since a day such as ``2026-11-21``, or today.

        Of one tenant, or of all when None. Of a page there is one row more where others follow.

        Raises:
            LedgerUnavailable: There is no ledger, or it cannot be read.
        """

        def asked(store: SqlLedgerStore) -> list[dict[str, Any]]:
            first = since or self._today(store)
            return (
                store.totals(since=first, tenant=tenant) if page is None else store.analytics.usage(page, first, tenant)
            )

        sums = await self.ledger.ask(asked)
        return [
            {name: value for name, value in total.items() if not name.endswith("_nanodollars")}
            | {"cost_usd": _usd(total["cost_nanodollars"]), "saved_usd": _usd(total["saved_nanodollars"])}
            for total in sums
        ]

    def seal(self, request: ChatRequest) -> bytes | None:
        """The messages of a request, encrypted; None where there are no keys for that."""
        return None if self.vault is None else self.vault.seal(msgspec.json.encode(request.body.get("messages")))

    def prompt(self, entry: Entry) -> dict[str, Any]:
        """The messages of a request and its answer, where they were kept and can be read."""
        texts = {"messages": entry.prompt, "answer": entry.answer}
        opened = {name: self.opened(sealed) for name, sealed in texts.items()}
        return {name: msgspec.json.decode(text) for name, text in opened.items() if text is not None}

    def keeps_texts(self, rules: TenantSettings) -> bool:
        """Whether questions and answers of callers with these rules are in the ledger."""
        return self.ledger.keeps and self.vault is not None and rules.keep_prompts and rules.keep_answers

    def opened(self, sealed: bytes | None) -> bytes | None:
        """A text that was kept, as JSON; None where it cannot be read."""
        return None if self.vault is None or sealed is None else self.vault.open(sealed)


def _usd(nanodollars: int | None) -> float | None:
    return None if nanodollars is None else nanodollars / NANODOLLARS


def _by_period(caller: Caller, spent: Callable[[Caller, Period], Spent | None]) -> dict[str, dict[str, float | None]]:
    found = ((period, spent(caller, period)) for period in PERIODS)
    return {
        f"usd_per_{period}": {"current": _usd(one.amount), "limit": _usd(one.limit), "remaining": _usd(one.remaining)}
        for period, one in found
        if one is not None
    }


def answer_of(body: bytes) -> bytes:
    """The message of an answer's first choice, as JSON; of an answer of another form, all of it."""
    with suppress(msgspec.DecodeError, LookupError, TypeError):
        return msgspec.json.encode(msgspec.json.decode(body)["choices"][0]["message"])
    return body


def _particulars(request: ChatRequest) -> dict[str, str]:
    """What the entry says of a request beside what it is for."""
    weighed = request.weighed
    asked = question_of(request.body.get("messages")) if weighed is None else weighed.question
    return {
        "prompt_hash": _prompt_hash(request),
        "session": request.session_id,
        "client_id": request.client_id,
        "trace": request.traceparent[3:35],
        "question": asked.hash,
        "tables": asked.tables,
    }


def _prompt_hash(request: ChatRequest) -> str:
    if request.weighed is not None:
        return request.weighed.prompt_hash
    return hashlib.sha256(msgspec.json.encode(request.body.get("input" if request.embeds else "messages"))).hexdigest()
