"""Working off jobs: lines are taken, asked in their callers' names as batch work, and settled in groups."""

# One task takes and settles, in one transaction a round; each line is a task. What is bought and not settled when the
# gateway is killed is bought again, and that is at most ``at_once`` lines: no others were asked. This gateway's own
# clock measures pauses only; when a job is over is said by the database's (``job_store.py``).

from __future__ import annotations

import asyncio
import hashlib
import math
import random
import secrets
import time
from collections import Counter, defaultdict
from contextlib import aclosing, suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
from tornado.log import app_log

from jupyter_server_ext.config import holds
from jupyter_server_ext.errors import (
    BadRequest,
    LedgerUnavailable,
    LimitExceeded,
    NoCapacity,
    NotPermitted,
    RsqlGatewayError,
)
from jupyter_server_ext.identity import IdentityUnavailable
from jupyter_server_ext.ledger import RowLease
from jupyter_server_ext.messages import Purchase
from jupyter_server_ext.pipeline.jobs.pace import Pace
from jupyter_server_ext.pipeline.jobs.values import (
    ENDPOINTS,
    NOTEBOOKS,
    STOPS,
    BatchJob,
    JobLine,
    LineOutcome,
    answered,
    body_of,
    refused,
    unasked,
)
from jupyter_server_ext.pipeline.money import NANODOLLARS
from jupyter_server_ext.webhooks import Event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from jupyter_server_ext.messages import Caller, ChatRequest, QueueNews
    from jupyter_server_ext.pipeline.gateway import Gateway
    from jupyter_server_ext.pipeline.jobs.job_store import JobRound
    from jupyter_server_ext.pipeline.jobs.jobs import Jobs
    from jupyter_server_ext.pipeline.jobs.notebooks import NotebookRuns

_RENEW_SECONDS = 15.0  # after which it says that it lives, and keeps its lines
_LOOK_SECONDS = 2.0  # between two looks at jobs of other gateways and at what is due
_AWAY_SECONDS = 1.0  # before the database is asked again
_LAST_SECONDS = 5.0  # that lines under way have when the gateway ends
_STOPPING = 500  # lines of a job that stops, settled in one round
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 1.0, 600.0, 4.0  # seconds before a line is tried again
_KNOWN_SECONDS = 30.0  # for which a caller's rights are known …
_MOST_KNOWN = 1000  # … of so many
_TIDY_SECONDS = 3600.0
_AGAIN = {408, 409, 425, 429}  # statuses of refusals that may not last
_TOO_LARGE = 413
_FAILURES = 500  # from this status on it was not the request's fault
_A_DAY = 86_400.0
_HELD = "budget_held"  # by lines under way, for a moment


class _TakenOver(RsqlGatewayError):
    """Another gateway has a line, which is its to ask."""

    status, code = 409, "line_taken_over"


class LineRequest(NamedTuple):
    """The request of a line, and how the answer is written down."""

    request: ChatRequest
    replied: Callable[[bytes], bytes]


@dataclass(eq=False, repr=False)
class JobRunner:
    """Works off the jobs of a ledger at one gateway."""

    jobs: Jobs
    gateway: Gateway
    # The request of a line's JSON body; raises BadRequest where it is wrong.
    question: Callable[[Caller, JobLine, bytes], Awaitable[LineRequest]]
    # Who a job's maker is now: its name, tenant and virtual key; None where that one may ask no more.
    maker: Callable[[str, str, str], Awaitable[Caller | None]]
    tell: Callable[[Event], None]  # tells webhooks
    _: KW_ONLY
    notebooks: NotebookRuns | None = None  # has those run that are handed over
    clock: Callable[[], float] = time.monotonic  # seconds, never going back
    draw: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._settings = self.jobs.settings
        self._owner = ""
        self._tasks: dict[asyncio.Task[None], tuple[str, int]] = {}
        self._unsettled: dict[
            tuple[str, int], BatchJob
        ] = {}  # lines that this gateway has, until what came of them is kept
        self._ended: list[LineOutcome] = []
        self._active: list[BatchJob] = []
        self._paces: dict[str, Pace] = {}
        self._makers: dict[tuple[str, str, str], tuple[float, Caller | None]] = {}
        self._wake = asyncio.Event()
        self._renewed = self._tidied = -math.inf
        self._ahead = 0.0  # of this gateway's clock is the database's by so many seconds
        self._is_closing = False
        self.jobs.changed = self._wake.set

    async def run(self) -> None:
        """Work, for ever."""
        if not self.jobs.files.ledger.keeps:
            return
        is_well = True
        while not self._is_closing:
            try:
                await self.step()
                is_well = True
            except LedgerUnavailable:  # health tells
                await asyncio.sleep(_AWAY_SECONDS)
            except Exception:  # noqa: BLE001 - one fault must not end the work on all jobs
                if is_well:
                    app_log.error("rsql: jobs are worked off with a delay.", exc_info=True)
                is_well = False
                await asyncio.sleep(_AWAY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    async def step(self) -> None:
        """One round: settle what has ended, take lines, and begin to ask.

        Raises:
            LedgerUnavailable: The database is away; nothing is lost by that.
        """
        now = self.clock()
        if not self._owner:
            await self._begin()
        if now - self._tidied >= _TIDY_SECONDS:
            self._tidied = now
            await self.jobs.tidy()
        if self._unsettled and now - self._renewed >= _RENEW_SECONDS:
            await self.jobs.write(lambda jobs: jobs.renew(RowLease(self._owner)))
            self._renewed = now
        for job in self._active:
            if job.state == "in_progress" and self._is_over(job, now):
                await self.jobs.write(lambda jobs: jobs.stop(job.id, "batch_expired"))  # noqa: B023 - awaited here
        await self._work(now)

    async def idle(self) -> None:
        """Return when no line is under way."""
        while self._tasks:
            await asyncio.wait([*self._tasks])

    async def close(self) -> None:
        """Take no more lines, wait a moment for those under way, and give back the others."""
        self._is_closing = True
        self._wake.set()
        lines = {place for place, job in self._unsettled.items() if job.endpoint != NOTEBOOKS}
        asking = [task for task, place in self._tasks.items() if place in lines]
        if asking:
            await asyncio.wait(asking, timeout=_LAST_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._owner:
            with suppress(LedgerUnavailable):
                await self._round({})
                await self.jobs.write(lambda jobs: jobs.release(self._owner))

    async def _begin(self) -> None:
        ledger = self.jobs.files.ledger
        instance = await ledger.ask(lambda store: store.instance)
        gateway = hashlib.sha256(instance.encode()).hexdigest()[:16]
        # What an earlier life of this gateway had taken is free again.
        await self.jobs.write(lambda jobs: jobs.release(f"{gateway}/"))
        self._owner = f"{gateway}/{secrets.token_hex(8)}"

    async def _work(self, now: float) -> None:
        wants = self._wants(now)
        if wants or self._ended:
            found = await self._round(wants)
        else:
            found = await self.jobs.ask(lambda jobs: jobs.active())
        if {job.id for job in found.active} - {job.id for job in self._active}:
            self._wake.set()  # there is more to take at once
        self._active, self._ahead = found.active, found.now - self.clock()
        self._paces = {job.id: self._pace(job) for job in found.active}
        for job in found.active:
            if self.notebooks is not None and job.state != "in_progress":
                self.notebooks.stop(job.id)
        for line in found.lines:
            self._start(line)
        if found.ended:
            self._tell(found.ended)
            await self.jobs.write(lambda jobs: jobs.mark_told([job.id for job in found.ended]))

    def _wants(self, now: float) -> dict[str, int]:
        """How many lines to take of which job: callers share what there is, each one's oldest job comes first."""
        wants = {job.id: _STOPPING for job in self._active if job.state != "in_progress"}
        of_callers: dict[str, list[BatchJob]] = defaultdict(list)
        for job in self._active:
            if job.state == "in_progress" and not self._is_over(job, now):
                of_callers[job.caller].append(job)
        under_way = Counter(job for job, _ in self._unsettled)
        left = self._settings.at_once - under_way.total()
        running = sum(job.endpoint == NOTEBOOKS for job in self._unsettled.values())
        notebooks = self.notebooks.settings.at_once - running if self.notebooks is not None else 0
        share = max(1, self._settings.at_once // max(1, len(of_callers)))
        callers = list(of_callers)
        self.draw.shuffle(callers)  # there may be more than can be served at once
        for caller in callers:
            own = share - sum(under_way[job.id] for job in of_callers[caller])
            for job in of_callers[caller]:
                more = min(self._pace(job).at_once(now) - under_way[job.id], own, left)
                if job.endpoint == NOTEBOOKS:
                    more, notebooks = min(more, notebooks), notebooks - 1
                if more > 0:
                    wants[job.id] = more
                    own, left = own - more, left - more
        return wants

    def _is_over(self, job: BatchJob, now: float) -> bool:
        return job.expires <= now + self._ahead

    async def _round(self, wants: dict[str, int]) -> JobRound:
        settled, self._ended = self._ended, []
        waits = {job.id: pace.waits_for for job in self._active if (pace := self._paces.get(job.id)) is not None}
        waits = {job.id: waits[job.id] for job in self._active if waits.get(job.id, job.waits_for) != job.waits_for}
        lease, kept = RowLease(self._owner), self._settings.days * _A_DAY
        try:
            found = await self.jobs.write(lambda jobs: jobs.work(lease, settled, wants, waits=waits, kept_seconds=kept))
            if found.lost:
                await self.jobs.files.ledger.write(lambda store: store.close_lost(found.lost))
        except BaseException:
            self._ended = settled + self._ended  # to be kept when that is possible
            raise
        for outcome in settled:
            self._unsettled.pop((outcome.line.job.id, outcome.line.number), None)
        return found

    def _start(self, line: JobLine) -> None:
        place = line.job.id, line.number
        self._unsettled[place] = line.job
        if line.job.state != "in_progress":
            self._end(LineOutcome(line, "failed", unasked(line, line.job.stopped_for, STOPS[line.job.stopped_for])))
            return
        task = asyncio.create_task(self._answer(line), name="rsql-job")
        self._tasks[task] = place
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]

    def _end(self, outcome: LineOutcome) -> None:
        self._ended.append(outcome)
        self._wake.set()

    async def _answer(self, line: JobLine) -> None:
        """Ask a line, and note what came of it."""
        request_id, purchase = "", Purchase(partial(self._begin_to_ask, line))
        try:
            body = body_of(line)
            caller = await self._maker_of(line.job)
            if line.job.endpoint == NOTEBOOKS and self.notebooks is not None:
                await self._begin_to_ask(line, 0)  # what it spends, the ledger knows by its key
                left = line.job.expires - self._ahead - self.clock()
                self._end(await self.notebooks.run(line, caller, left))
                return
            question = await self.question(caller, line, body)
            request_id = question.request.request_id
            if line.job.budget_nanodollars is not None:
                purchase.most = self._most(caller, question.request)
                await self._hold(line, purchase.most)
            asked = self.gateway.complete(caller, replace(question.request, purchase=purchase))
            async with aclosing(cast("AsyncGenerator[QueueNews | bytes]", asked)) as parts:
                reply = b"".join([part async for part in parts if isinstance(part, bytes)])
            self._pace(line.job).went_well()
            result = answered(line, question.replied(reply), request_id)
            done = LineOutcome(line, "done", result, 0.0, line.attempts, *_used(reply))
            self._end(replace(done, cost_nanodollars=purchase.cost))
        except asyncio.CancelledError:  # the gateway ends
            self._end(LineOutcome(line, "waiting", attempts=line.attempts, cost_nanodollars=purchase.cost, is_cut=True))
            raise
        except _TakenOver:
            self._unsettled.pop((line.job.id, line.number), None)
        except RsqlGatewayError as error:
            await self._refused(line, error, request_id, purchase.cost or error.cost_nanodollars)
        except Exception:  # noqa: BLE001 - of one line, which is tried again
            app_log.error("rsql: line %s failed.", line.id, exc_info=True)
            failure = RsqlGatewayError("The gateway failed. Tell its administrator.")
            await self._refused(line, failure, request_id, purchase.cost)

    def _most(self, caller: Caller, request: ChatRequest) -> int:
        """What a line may cost at most, in nano-dollars.

        Raises:
            BadRequest: The price is not known.
        """
        most = self.gateway.most(caller, request)
        if most is None:
            words = f"The price of {request.model} is not known here, so that the job's budget cannot be kept."
            raise BadRequest(words, code="price_unknown", param="model")
        return most

    async def _begin_to_ask(self, line: JobLine, amount: int) -> None:
        """Write down that a line is given to a provider, and what that may cost; see ``_hold``."""
        await self._hold(line, amount, asks=True)

    async def _hold(self, line: JobLine, amount: int, *, asks: bool = False) -> None:
        """Hold what a line may cost in its job's budget, in nano-dollars.

        Raises:
            LimitExceeded: The rest is held for other lines.
            NotPermitted: The budget does not reach for this line.
        """
        held = await self.jobs.write(lambda jobs: jobs.hold(line, amount, asks=asks))
        if held == "taken over":
            raise _TakenOver("Another gateway has this line.")
        if held == "later":
            words = "The rest of the job's budget is held for lines under way."
            raise LimitExceeded(words, code=_HELD, retry_after=1.0)
        if held == "exceeded":
            raise NotPermitted(STOPS["budget_exceeded"], code="budget_exceeded")

    async def _refused(self, line: JobLine, error: RsqlGatewayError, request_id: str, cost: int) -> None:
        if isinstance(error, NotPermitted) and error.code in STOPS:
            await self.jobs.write(lambda jobs: jobs.stop(line.job.id, error.code))
            request_id = ""  # it was not asked
        self._end(replace(self._after(line, error, request_id), cost_nanodollars=cost))

    def _after(self, line: JobLine, error: RsqlGatewayError, request_id: str) -> LineOutcome:
        """What comes of a refusal: another try where that may help, for as long as it may; or that the line failed."""
        now, pace = self.clock(), self._pace(line.job)
        others = sum(job == line.job.id for job, _ in self._tasks.values()) - 1
        if error.code == _HELD and others > 0:
            pace.narrow(others)
            return LineOutcome(line, "waiting", attempts=line.attempts)
        if is_wait(error):
            pace.refused(now, error.retry_after, error.message)
            return LineOutcome(line, "waiting", attempts=line.attempts)
        attempts = line.attempts + 1
        notebooks = self.notebooks if line.job.endpoint == NOTEBOOKS else None
        most = notebooks.settings.attempts if notebooks is not None else self._settings.attempts
        if may_pass(error) and attempts < most:
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * _GROWTH ** (attempts - 1)) * self.draw.uniform(0.8, 1.2)
            pace.refused(now, error.retry_after, error.message)
            pause = max(pause, error.retry_after or 0.0)
            return LineOutcome(line, "waiting", pause=pause, attempts=attempts)
        result = refused(line, error, request_id) if request_id else unasked(line, error.code, error.message)
        return LineOutcome(line, "failed", result, attempts=attempts)

    def _pace(self, job: BatchJob) -> Pace:
        return self._paces.get(job.id) or self._paces.setdefault(job.id, Pace(self._settings.at_once))

    async def _maker_of(self, job: BatchJob) -> Caller:
        place, now = (job.caller, job.tenant, job.api_key), self.clock()
        known = self._makers.get(place)
        if known is None or now - known[0] > _KNOWN_SECONDS:
            if len(self._makers) > _MOST_KNOWN:
                self._makers.clear()
            known = self._makers[place] = now, await self.maker(*place)
        if known[1] is None or not holds(known[1].scopes, ENDPOINTS[job.endpoint]):
            raise NotPermitted(STOPS["caller_gone"], code="caller_gone")
        return known[1]

    def _tell(self, ended: Iterable[BatchJob]) -> None:
        for job in ended:
            names = ("state", "caller", "tenant", "total", "done", "failed")
            data = {"job": job.id} | {name: getattr(job, name) for name in names}
            data["cost_usd"] = job.cost_nanodollars / NANODOLLARS
            self.tell(Event("job.finished", f"{job.id}|{job.ended}", data, job.tenant, job.caller))


def is_wait(error: RsqlGatewayError) -> bool:
    """Whether nothing was asked, and a line has only to wait: for a limit, a key, or a part of the gateway.

    Example:
        >>> is_wait(LimitExceeded("Your limit is reached.", retry_after=3.0)), is_wait(RsqlGatewayError("No."))
        (True, False)
        >>> is_wait(LimitExceeded("Your limit is less than this request needs."))
        False
    """
    if isinstance(error, LimitExceeded):
        return error.retry_after is not None
    if isinstance(error, NoCapacity):
        return error.status != _TOO_LARGE
    return isinstance(error, LedgerUnavailable | IdentityUnavailable)


def may_pass(error: RsqlGatewayError) -> bool:
    """Whether a request that failed may be answered another time.

    Example:
        >>> may_pass(RsqlGatewayError("No.", status=502)), may_pass(RsqlGatewayError("No.", status=400))
        (True, False)
    """
    return not isinstance(error, LimitExceeded) and (error.status in _AGAIN or error.status >= _FAILURES)


class _ReplyFields(msgspec.Struct):
    usage: dict[str, Any] | None = None


_told = msgspec.json.Decoder(_ReplyFields)


def _used(reply: bytes) -> tuple[int, int]:
    """The tokens that an answer took, read and written, for the sums of its job."""
    try:
        usage = _told.decode(reply).usage or {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0, 0
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return read if isinstance(read, int) else 0, written if isinstance(written, int) else 0
