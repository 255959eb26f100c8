"""The way to the providers: an httpx transport that leases a key for each request and tries another when one fails.

Rotation sits below the client, so nothing above knows about keys::

    transport = KeyRotatingTransport(KeyQueue(pool, settings), settings, lambda key: httpx.MockTransport(reply))
    client = httpx.AsyncClient(transport=transport)
    await client.post("http://rsql/chat/completions", json={"model": "m", "messages": [...]})

A request is tried again only while nothing of an answer was passed on: up to the first content of a stream, or the end
of an answer that is wanted whole. After that it ends as it ends.
"""

from __future__ import annotations

import asyncio
import math
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from jupyter_server_ext.errors import BadRequest, ModelNotServed, NoCapacity, RsqlGatewayError
from jupyter_server_ext.http_client import httpx
from jupyter_server_ext.keys import QueuedRequest
from jupyter_server_ext.logs import log
from jupyter_server_ext.messages import Caller, ChatRequest, TokenUsage

from .answers import BodyAnswer, ProviderAnswer, StreamAnswer, read_all
from .failures import Failure, broken
from .openai import Expectation, OpenAIProvider, provider_of
from .sparing import refused_part

if TYPE_CHECKING:
    from collections.abc import Callable

    Started = Callable[[], asyncio.Future[None] | None]

    from jupyter_server_ext.config import PoolSettings
    from jupyter_server_ext.keys import Cost, Key, KeyQueue, Lease

    from .sparing import Part

_AN_HOUR = 3600.0  # for which an exhausted key, or a model without access, is left alone
_NOTHING = TokenUsage()


class FailedTry(NamedTuple):
    """A try that failed and was followed by another."""

    number: int  # which it was, from 1
    key: str  # public id of its key
    provider: str  # that key's provider
    model: str
    status: int  # the provider's status, or the one that stands for what happened
    reason: str  # what kind of failure it was
    seconds: float  # how long it took
    usage: TokenUsage  # what it had written all the same
    words: str = ""  # what happened, without the caller's words


@dataclass(slots=True)
class Trace:
    """What happened to a request on its way, for the reply and the ledger."""

    key: str = ""  # public id of the key that was tried last
    provider: str = ""  # that key's provider
    model: str = ""  # the model that was tried last
    attempts: int = 0  # how many tries there were
    queue_seconds: float = 0.0  # how long it waited for keys
    upstream_start: float = 0.0  # when the last try began, in the pool's clock
    rate_limited: bool = False  # whether it waited for a limit, or a provider refused it for one
    failed: list[FailedTry] = field(default_factory=list)  # the tries that failed
    # What the last try had written when it failed or the caller left, before anything was passed on.
    wasted: TokenUsage = _NOTHING


@dataclass(slots=True)
class Job:
    """A request on its way to a provider."""

    caller: Caller
    request: ChatRequest  # what is asked
    deadline: float  # until when it may wait for a key, in the pool's clock
    weight: float = 1.0  # the share of its tenant in the queue
    share: float | None = None  # of each limit of a key, for inline completions; see ``QueuedRequest``
    fallbacks: tuple[str, ...] = ()  # models that may answer in its place, best first
    trace: Trace = field(default_factory=Trace)  # what happened to it
    queued: QueuedRequest | None = None  # while it waits
    lease: Lease | None = None  # if a key was free at once
    costs: dict[str, tuple[int, Cost]] = field(default_factory=dict)  # by model: lessons, and what it will likely take
    spares: dict[tuple[str, str], frozenset[Part]] = field(default_factory=dict)  # by address and model: left out of it


@dataclass(eq=False, repr=False)
class KeyRotatingTransport(httpx.AsyncBaseTransport):
    """Sends each request with a leased key."""

    _queue: KeyQueue  # where requests wait for keys
    _settings: PoolSettings  # attempts and timeouts
    _transport_of: Callable[[Key], httpx.AsyncBaseTransport]  # carries the requests of a key; one may serve all

    def __post_init__(self) -> None:
        self._pool = self._queue.pool
        self._expectation = Expectation()  # what answers are expected to take
        self._refused: dict[tuple[str, str], frozenset[Part]] = {}  # by address and model: what servers do not take

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one chat completion of a plain httpx client.

        Raises:
            RsqlGatewayError: No key and no model gave an answer.
        """
        answer = await self.answer(self._job_of(request))
        return httpx.Response(200, headers=answer.headers, stream=answer, request=request)

    async def answer(self, job: Job, started: Started = lambda: None) -> ProviderAnswer:
        """The answer from the first key and model that give one, up to its first content or wholly, as is asked for.

        ``started`` is called at each try, before the request is sent; what nobody watches waits for what it returns.

        Raises:
            RsqlGatewayError: None did; the error says why the last one failed.
        """
        plan = RetryPlan(job, self._settings.attempts)
        while plan.models:
            model = self._soonest(job, plan)
            try:
                lease = await self._lease(job, model, plan.avoid.get(model, frozenset()))
            except (NoCapacity, ModelNotServed) as none:
                plan.no_key(model, none)
                continue
            outcome = await self._attempt(job, lease, started)
            if isinstance(outcome, ProviderAnswer):
                return outcome
            if self._spares(job, lease, outcome):
                continue
            self._on_key_failure(lease, job.request, outcome)
            trace, status = job.trace, outcome.status if outcome.status >= 400 else outcome.as_error().status
            tried = trace.attempts, trace.key, trace.provider, trace.model
            seconds = self._pool.clock() - trace.upstream_start
            words = " ".join(filter(None, (outcome.consequence.words, outcome.detail)))
            trace.failed.append(FailedTry(*tried, status, outcome.kind, seconds, trace.wasted, words))
            at_address = self._pool.keys.at_address(lease.key.settings.base_url)
            able = (key for key in self._pool.keys if key.serves(model) and not (key.paused or key.retired))
            plan.failed(lease, outcome, at_address, frozenset(key.id for key in able))
        raise self._last_error(job, plan)

    def _last_error(self, job: Job, plan: RetryPlan) -> RsqlGatewayError:
        # Why no try gave an answer; a copy, as a raised error keeps the frame that keeps the plan.
        error = copy(plan.error or NoCapacity("No key is left for this request."))
        if isinstance(error, NoCapacity) and job.trace.failed:  # the next free key may be another than the refused one
            wait = self._queue.eta(self._queued_request(job, job.request.model))
            error.retry_after = wait if math.isfinite(wait) else error.retry_after
        return error

    async def lease_now(self, job: Job) -> bool:
        """Whether a key is free for the job at once; then the job has it."""
        try:
            job.lease = await self._queue.lease_now(self._queued_request(job, job.request.model))
        except NoCapacity:
            return False
        return job.lease is not None

    def expected(self, job: Job) -> TokenUsage:
        """Tokens that the job is expected to take."""
        cost = self._cost(job, job.request.model)
        return TokenUsage(cost.prompt, cost.completion, estimated=True)

    async def check(self, key: Key) -> dict[str, Any]:
        """Try a key with the cheapest call there is: it is revived, or retired if it is refused."""
        provider = provider_of(key.settings.provider)
        start = self._pool.clock()
        try:
            async with asyncio.timeout(self._settings.first_byte_timeout_seconds):
                response = await self._transport_of(key).handle_async_request(provider.check(key))
                text = await read_all(response)
                await response.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            failure = Failure("timeout") if isinstance(error, TimeoutError) else broken(error)
            return self._check_failed(key, failure, {"key": key.id, "ok": False})
        row: dict[str, Any] = {"key": key.id, "ok": True, "seconds": round(self._pool.clock() - start, 4)}
        if response.status_code >= 400:
            failure = provider.failure(response.status_code, response.headers, text)
            if failure.consequence.key == "retire":
                self._retire(key, failure)
            return self._check_failed(key, failure, row)
        if key.retired:
            log.warning("key_back", key=key.id, provider=key.settings.provider)
        self._pool.keys.close(key.id)
        return row

    def _check_failed(self, key: Key, failure: Failure, row: dict[str, Any]) -> dict[str, Any]:
        provider = key.settings.provider
        log.warning("key_check_failed", key=key.id, provider=provider, reason=failure.kind, **failure.log_fields())
        return row | {"ok": False, "reason": failure.kind}

    def _queued_request(self, job: Job, model: str, avoid: frozenset[str] = frozenset()) -> QueuedRequest:
        cost = self._cost(job, model)
        return QueuedRequest(
            job.caller,
            model,
            cost,
            self._expectation.usual(cost, model),
            deadline=job.deadline,
            weight=job.weight,
            interactive=job.request.interactive,
            share=job.share,
            avoid=avoid,
            again=job.trace.attempts > 0,
            estimate=lambda: self._cost(job, model),
        )

    def _cost(self, job: Job, model: str) -> Cost:
        lessons = self._expectation.lessons[model]
        known = job.costs.get(model)
        if known is None or known[0] != lessons:
            known = job.costs[model] = lessons, self._expectation.cost(job.caller.name, job.request, model)
        return known[1]

    async def _lease(self, job: Job, model: str, avoid: frozenset[str]) -> Lease:
        if job.lease is not None:
            lease, job.lease = job.lease, None
            return lease
        start = self._pool.clock()
        job.queued = self._queued_request(job, model, avoid)
        weighed = job.request.weighed
        job.queued.size = len(msgspec.json.encode(job.request.body)) if weighed is None else weighed.size
        try:
            return await self._queue.lease(job.queued)
        finally:
            if job.queued.granted is not None:
                job.trace.rate_limited = True
                job.trace.queue_seconds += self._pool.clock() - start
            job.queued = None

    def _soonest(self, job: Job, plan: RetryPlan) -> str:
        # The first model that can start soon; if none can, the one that can start first.
        models = plan.models
        if len(models) == 1 or job.lease is not None:
            return models[0]
        waits = []
        for model in models:
            wait = self._queue.eta(self._queued_request(job, model, plan.avoid.get(model, frozenset())))
            is_down = wait > 0 and model not in plan.tries and self._pool.is_failing(model)
            if wait <= self._settings.fallback_after_seconds and not is_down:
                return model
            waits.append((wait, model))
        return min(waits, key=lambda row: row[0])[1]

    async def _attempt(self, job: Job, lease: Lease, started: Started) -> ProviderAnswer | Failure:
        trace = job.trace
        trace.attempts += 1
        trace.key, trace.model, trace.upstream_start = lease.key.id, lease.model, lease.at
        trace.provider, trace.wasted = lease.key.settings.provider, _NOTHING
        patience = self._patience(job, lease)
        begun = started()
        if begun is not None and not job.request.interactive:  # a kill must not lose the record of what was bought
            try:
                await begun
            except BaseException:
                lease.unused()
                raise
        provider = provider_of(lease.key.settings.provider)
        at = lease.key.settings.base_url, lease.model
        spare = self._refused.get(at, frozenset()) | job.spares.get(at, frozenset())
        body = provider.body(job.request.body, lease.model, stream=job.request.stream, spare=spare)
        request = provider.request(lease.key, "/embeddings" if job.request.embeds else "/chat/completions", body)
        request.extensions["sent"] = lease.sent
        carrier = self._transport_of(lease.key)
        answer = self._answer_to(job, lease, provider)
        try:
            async with asyncio.timeout(patience):
                failure = await answer.open(carrier, request)
            if failure is None and job.request.whole:
                async with asyncio.timeout(self._settings.answer_timeout_seconds):
                    failure = await answer.gather()
        except TimeoutError:
            failure = Failure("silence" if answer.began else "timeout")
        except httpx.HTTPError as error:
            failure = broken(error)
            if not failure.sent:
                lease.unused()
        except BaseException:
            trace.wasted = answer.written
            await answer.aclose()
            raise
        if failure is None:
            self._pool.answered(lease)
            if at in job.spares:  # it was that which the server did not take, whatever else its words were about
                self._refused[at] = spare
            return answer
        trace.wasted = answer.written
        await answer.abandon(failure)
        return failure

    def _spares(self, job: Job, lease: Lease, failure: Failure) -> bool:
        # Whether the server is asked again without a part that it refuses: once for each, and it costs the key nothing.
        at, body = (lease.key.settings.base_url, lease.model), job.request.body
        before = self._refused.get(at, frozenset()) | job.spares.get(at, frozenset())
        part = refused_part(failure, body, asks_usage=job.request.stream and "stream_options" not in before)
        if job.request.embeds or part is None or part in before:
            return False
        job.spares[at] = before | {part}
        return True

    def _answer_to(self, job: Job, lease: Lease, provider: OpenAIProvider) -> ProviderAnswer:
        if not job.request.stream:
            return BodyAnswer(job, lease, provider, self._expectation)
        return StreamAnswer(
            job,
            lease,
            provider,
            self._expectation,
            patience=(self._settings.stall_timeout_seconds, self._settings.answer_timeout_seconds),
            on_failure=partial(self._on_key_failure, lease, job.request),
        )

    def _patience(self, job: Job, lease: Lease) -> float:
        # Seconds that a stream's first content, or a whole body, may take.
        if not job.request.stream:
            return self._settings.answer_timeout_seconds
        if job.fallbacks and lease.model != job.fallbacks[-1]:
            return self._settings.fallback_first_byte_seconds
        return lease.key.settings.first_byte_timeout_seconds or self._settings.first_byte_timeout_seconds

    def _on_key_failure(self, lease: Lease, request: ChatRequest, failure: Failure) -> None:
        # Many providers have no embeddings, and say so in their own ways. That must cost nobody the key: only limits
        # do.
        if failure.consequence.request != "give up":  # else the caller's own fault
            which = {"key": lease.key.id, "provider": lease.key.settings.provider, "model": lease.model}
            seconds = round(self._pool.clock() - lease.at, 3)
            fields = {"reason": failure.kind, **failure.log_fields(), "seconds": seconds}
            log.warning("key_failed", **which, **fields, request_id=request.request_id)
        what = failure.consequence.key
        if request.embeds and what not in {"limit", "exhausted"}:
            return
        if what == "rest":
            self._pool.cool_down(lease, failure.retry_after, failure.kind)
        elif what == "limit":
            self._pool.on_rate_limit(lease, failure.retry_after, failure.unit, failure.seconds)
        elif what == "exhausted":
            self._pool.cool_down(lease, failure.retry_after or _AN_HOUR, failure.kind, group=True)
        elif what == "not this model":
            self._pool.refuse_model(lease, _AN_HOUR)
        elif what == "retire":
            self._retire(lease.key, failure)

    def _retire(self, key: Key, failure: Failure) -> None:
        if not key.retired:
            log.error(
                "key_retired", key=key.id, provider=key.settings.provider, reason=failure.kind, **failure.log_fields()
            )
            self._pool.keys.retire(key.id, failure.kind, by_hand=False)

    def _job_of(self, request: httpx.Request) -> Job:
        try:
            body: Any = msgspec.json.decode(request.content)
            model = body["model"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise BadRequest("The body must be a JSON object with a 'model'.", param="model") from error
        chat = ChatRequest(model, body, stream=bool(body.get("stream")))
        return Job(Caller("client"), chat, self._pool.clock() + self._settings.queue_deadline_seconds)


class RetryPlan:
    """Which models and keys are left to try for one request."""

    def __init__(self, job: Job, attempts: int) -> None:
        self.models = [job.request.model, *(model for model in job.fallbacks if model != job.request.model)]
        self.avoid: dict[str, frozenset[str]] = {}  # per model: keys at addresses that were silent
        self.error: RsqlGatewayError | None = None
        self._attempts = attempts  # tries per model that may be billed
        self.tries: dict[str, int] = {}  # by model
        self._billed: dict[str, int] = {}  # of them, those that may be
        self._failed: dict[str, frozenset[str]] = {}  # per model: the keys that have failed
        self._silent: dict[str, frozenset[str]] = {}  # per model: the keys that were silent themselves
        self._job = job  # the request

    def failed(self, lease: Lease, failure: Failure, at_address: frozenset[str], able: frozenset[str]) -> None:
        """One try has failed."""
        # Tries that may be billed end at ``attempts``. Those that cost nothing go on as long as a key is left that is
        # ``able`` to serve the model and has not failed in this request: it may be the one that answers.
        model, what = lease.model, failure.consequence.request
        self.error = failure.as_error()
        self._job.trace.rate_limited |= failure.kind in {"rate_limit", "quota_exhausted"}
        self.tries[model] = self.tries.get(model, 0) + 1
        self._billed[model] = self._billed.get(model, 0) + failure.may_be_billed
        self._failed[model] = self._failed.get(model, frozenset()) | {lease.key.id}
        tries = self.tries[model] if self._failed[model] >= able else self._billed[model]
        if what == "give up":
            self.models = []
        elif what == "other model" or tries >= self._attempts:
            self.models.remove(model)
        elif what == "elsewhere":
            self._silent[model] = self._silent.get(model, frozenset()) | {lease.key.id}
            self.avoid[model] = self.avoid.get(model, frozenset()) | at_address

    def no_key(self, model: str, error: RsqlGatewayError) -> None:
        """No key for this model can be had, or none at another address: then other models come first, and then it."""
        if not self.tries:
            self.error = copy(error)
        self.models.remove(model)
        if self.avoid.get(model, frozenset()) != self._silent.get(model, frozenset()):
            self.avoid[model] = self._silent[model]
            self.models.append(model)
