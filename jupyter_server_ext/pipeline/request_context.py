"""One request while it is answered, what its entry will say, and the end of its answer as one caller gets it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import RsqlGatewayError, UpstreamFailed
from jupyter_server_ext.messages import Usage, wants_usage
from jupyter_server_ext.pipeline.cache import Cached
from jupyter_server_ext.pipeline.replay import as_body, as_events, with_member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jupyter_server_ext.messages import CacheResult, ChatRequest
    from jupyter_server_ext.pipeline.accounting import RequestAccounting
    from jupyter_server_ext.upstream import Answer, Job, KeyRotatingTransport


@dataclass(slots=True)
class RequestContext:
    """One request while it is answered, and what its entry will say.

    Args:
        job: Its way to a provider.
        record: Its entry.
        start: When it came, in the gateway's clock.
        billed: What a provider was asked for in its name; None while nothing is known.
        cost: What that costs, in nano-dollars.
        wasted: What tries cost that broke off, and were followed by others, in nano-dollars.
        airborne: Whether a provider is being asked in its name.
        has_told: Whether the caller has seen a part of the answer.
        has_left: Whether the caller is served or gone.
    """

    job: Job
    record: RequestAccounting
    start: float
    status: int = 499  # unless it ends in another way
    error: str = "caller_left"
    cache: CacheResult = ""
    saved: int = 0
    billed: Usage | None = None
    cost: int = 0
    wasted: int = 0
    airborne: bool = False
    has_told: bool = False
    has_left: bool = False

    @property
    def request(self) -> ChatRequest:
        """What is asked, as the policy has it."""
        return self.job.request

    def failed(self, error: RsqlGatewayError) -> None:
        """It ends with an error."""
        self.status, self.error = error.status, error.code

    async def told(self) -> None:
        """A part goes out, as soon as it would not be forgotten."""
        self.record.token()
        if not self.has_told:
            await self.record.begun()
            self.has_told = True

    def used(self, upstream: KeyRotatingTransport) -> Usage | None:
        """What counts against the caller's limits; None when nothing was answered."""
        if self.airborne:  # others listen on, and what it takes is not known yet
            return upstream.expected(self.job) if self.has_told else None
        if self.billed is not None:
            return self.billed
        return Usage() if self.has_told or self.status == 200 else None


@dataclass(frozen=True, slots=True)
class UpstreamResult:
    """A provider's answer has come to its end; ``said`` is what came before, kept if somebody may need it."""

    visit: RequestContext
    answer: Answer
    said: list[bytes]

    @property
    def body(self) -> bytes | None:
        """The whole answer as JSON; None when it cannot be put together."""
        if not self.visit.request.stream:
            return self.answer.ending()
        return as_body(b"".join([*self.said, self.answer.ending(usage=True)]))


@dataclass(frozen=True, slots=True)
class End:
    """The end of an answer as one caller gets it.

    Args:
        last: Makes the last part, with JSON members added.
        body: Makes the whole answer as JSON.
        cache: What the cache had to do with it.
        saved: What it would have cost, in nano-dollars.
    """

    last: Callable[[bytes], bytes]
    body: Callable[[], bytes | None]
    cache: CacheResult = ""
    saved: int = 0


def replayed(request: ChatRequest, answer: Cached, result: CacheResult) -> Iterator[bytes | End]:
    """An answer that was given before, in the form that is asked for now."""
    body = answer.body
    if request.stream:
        yield as_events(body, b"", usage=wants_usage(request))[0]
        last = partial(_last_events, body, usage=wants_usage(request))
    else:
        last = partial(with_member, body)
    yield End(last, lambda: body, result, answer.cost)


def heard(
    request: ChatRequest, landed: UpstreamResult, result: CacheResult, *, streamed: bool
) -> Iterator[bytes | End]:
    """The end of a provider's answer for one listener; all of it for one who wants another form than it came in."""
    saved = landed.visit.cost if result == "shared" else 0
    if request.stream == landed.visit.request.stream:
        last = partial(landed.answer.ending, usage=wants_usage(request))
        yield End(last, lambda: landed.body, result, saved)
        return
    body = landed.body
    if body is None:
        raise UpstreamFailed("The answer to an identical request cannot be given in this form. Ask again.")
    if not streamed:
        yield from replayed(request, Cached(body, saved), result)


def _last_events(body: bytes, extra: bytes, *, usage: bool) -> bytes:
    return as_events(body, extra, usage=usage)[1]
