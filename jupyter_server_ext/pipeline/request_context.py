"""One request on its way: its outcome, its entry in the ledger, and the end of its answer as one caller gets it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from jupyter_server_ext.errors import RsqlGatewayError, UpstreamFailed
from jupyter_server_ext.messages import Usage, wants_usage
from jupyter_server_ext.pipeline.cache import Cached
from jupyter_server_ext.pipeline.replay import as_body, as_events, with_member

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from jupyter_server_ext.config import TenantSettings
    from jupyter_server_ext.messages import CacheResult, ChatRequest, Entry
    from jupyter_server_ext.pipeline.accounting import Accounting
    from jupyter_server_ext.pipeline.money import Hold
    from jupyter_server_ext.upstream import Answer, Job, KeyRotatingTransport


class RequestContext:
    """One request while it is answered.

    Attributes:
        wasted: What failed tries cost that were followed by others, in nano-dollars.
        has_begun: Whether the caller has got a part of the answer.
        has_left: Whether the caller is served or gone.
    """

    def __init__(
        self, job: Job, rules: TenantSettings, entry: Entry, accounting: Accounting, clock: Callable[[], float]
    ) -> None:
        self.rules = rules  # of the caller's tenant
        self.job = job  # its way to a provider
        self.request = job.request  # the request, as the policy has it
        self.answer: Answer | None = None  # the provider's answer, once it has begun
        self.status, self.error = 499, "caller_left"  # unless it ends in another way
        self.cache: CacheResult = ""
        self.saved = 0
        self.billed: Usage | None = None  # usage at providers in its name; None while it is not known
        self.cost = self.wasted = 0  # what that costs, in nano-dollars
        self.in_flight = self.has_begun = self.has_left = False  # whether a provider is being asked in its name
        self._entry = entry  # what the ledger knows of it at the start
        self._accounting = accounting  # where the entry goes, and what usage costs
        self._ledger = accounting.ledger if accounting.ledger.keeps else None
        self._clock = clock  # seconds, monotonic
        self._start = clock()
        self._first_token: float | None = None
        self._begun: asyncio.Future[None] | None = None
        self._is_written = False
        self._keeps_prompt = False

    def admit(self, request: ChatRequest, *, keep_prompt: bool) -> None:
        """Go on with the request as the policy has it; ``keep_prompt`` puts its text into the entry, encrypted."""
        self.request = self.job.request = request
        self._keeps_prompt = keep_prompt

    def failed(self, error: RsqlGatewayError) -> None:
        """Note that it ends with an error."""
        self.status, self.error = error.status, error.code

    def begin(self, number: int, usage: Usage, cost: int) -> None:
        """Note in the ledger that a try is on its way, with its reservations: after a crash these count."""
        if self._ledger is not None:
            trace = self.job.trace
            known = {"usage": usage, "cost_nanodollars": cost, "key": trace.key}
            model = trace.model or self.request.model
            entry = replace(self._entry, at=self._now(), attempt=number, model=model, **known)
            self._begun = self._ledger.begin(entry)

    def begin_attempt(self, hold: Hold, expected: Usage) -> None:
        """Begin the entry of the next try, and complete that of the failed one before it."""
        trace = self.job.trace
        for failed in trace.failed[-1:]:
            cost = self._accounting.cost(failed.usage, failed.model, failed.provider)
            self.wasted += cost
            if self._ledger is not None:
                seconds = {"upstream_seconds": failed.seconds, "duration_seconds": failed.seconds}
                entry = replace(
                    self._entry,
                    at=self._now() - failed.seconds,
                    attempt=failed.number,
                    attempts=0,
                    status=failed.status,
                    error=failed.reason,
                    key=failed.key,
                    model=failed.model,
                    usage=failed.usage,
                    cost_nanodollars=cost,
                    **seconds,
                )
                self._ledger.note(entry)
        self.begin(trace.attempts, expected, hold.amount)

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
            self.billed, self.cost = usage, self._accounting.cost(usage, trace.model, trace.provider)

    def used(self, upstream: KeyRotatingTransport) -> Usage | None:
        """What counts against the caller's limits; None when nothing was answered."""
        if self.in_flight:  # others listen on, and its usage is not known yet
            return upstream.expected(self.job) if self.has_begun else None
        if self.billed is not None:
            return self.billed
        return Usage() if self.has_begun or self.status == 200 else None

    async def write(self) -> None:
        """Write the entry, durably; a second time changes nothing."""
        if self._is_written:
            return
        self._is_written = True
        if self._ledger is None:
            return
        trace, now = self.job.trace, self._clock()
        known: dict[str, Any] = {} if self.billed is None else {"usage": self.billed, "cost_nanodollars": self.cost}
        entry = replace(
            self._entry,
            status=self.status,
            error=self.error,
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
        await self._ledger.finish(entry)

    def metadata(self) -> dict[str, Any]:
        """The member ``rsql`` of the last event, or of the body."""
        trace, now = self.job.trace, self._clock()
        cached = self.cache in {"hit", "shared", "repeat"}
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
            "rate_limited": trace.rate_limited,
        } | ({"repeated": True} if self.cache == "repeat" else {})

    def error_event(self, error: RsqlGatewayError) -> bytes:
        """The event that ends a stream which fails after its beginning."""
        return b"data: " + msgspec.json.encode(error.as_json(self.request.request_id)) + b"\n\n"

    def _now(self) -> float:
        return self._entry.at + self._clock() - self._start


@dataclass(frozen=True, slots=True)
class UpstreamResult:
    """The end of a provider's answer; ``parts`` are those before, kept if they may be needed."""

    context: RequestContext
    parts: list[bytes]

    @property
    def answer(self) -> Answer:
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
