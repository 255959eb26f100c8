"""Idempotency-Key: who repeats a request within a day is given the same answer again, and pays once."""

# A client that lost the answer on its way sends the request again with the same key. Only whole answers are kept: what
# failed or was broken off is tried again. Repeats that come while the first is under way wait for it, also at another
# gateway on the same Redis. On disk an answer is encrypted with a key made from the Idempotency-Key itself, of which
# only a hash is kept: who reads the file cannot read the answer.
# https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from jupyter_server_ext.errors import BadRequest, LedgerUnavailable, RsqlGatewayError
from jupyter_server_ext.ledger import AnswerVault
from jupyter_server_ext.pipeline.cache import AnswerCache

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jupyter_server_ext.ledger import Ledger
    from jupyter_server_ext.messages import ChatRequest
    from jupyter_server_ext.pipeline.shared import RedisLocks

HEADER = "Idempotency-Key"
_A_DAY = 86_400.0  # for which an answer is kept
_MOST_BYTES = 32_000_000  # of answers in memory
_RETRY = 5.0  # seconds until a repeat can be told apart again
_DIGEST = 32  # bytes of a fingerprint before the answer


class RepeatUnknown(RsqlGatewayError):
    """Whether the request was answered before is not known now; it might be paid for twice."""

    status, code = 503, "repeat_unknown"


@dataclass(slots=True)
class DistributedLock:
    """A name that is claimed."""

    # What the gateways know of it: ``new``, ``answered``, ``other`` for something else by that name; or
    # ``unknown``, as nobody can be asked.
    known: Literal["new", "answered", "other", "unknown"] = "unknown"
    is_answered: bool = False  # to be set when the answer is kept


class NoLocks:
    """Claims of a gateway that knows of no other."""

    @asynccontextmanager
    async def hold(self, name: str, mark: str) -> AsyncIterator[DistributedLock]:  # noqa: ARG002
        """See ``RedisLocks.hold``."""
        yield DistributedLock()


@dataclass(eq=False)
class _Reservation:
    """Those who came with one key: one is answered, the others wait."""

    fingerprint: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    people: int = 0
    lock: DistributedLock = field(default_factory=DistributedLock)


class IdempotencyStore:
    """Answers by Idempotency-Key."""

    def __init__(self, ledger: Ledger, locks: NoLocks | RedisLocks | None = None) -> None:
        self._ledger = ledger  # keeps them through restarts; where there is none, or it fails, they are kept in memory
        self._locks = locks or NoLocks()  # what other gateways answer; by default there are none
        self._places: dict[str, _Reservation] = {}
        self._memory = AnswerCache(_MOST_BYTES, _A_DAY, clock=time.time)

    @asynccontextmanager
    async def turn(self, caller: str, request: ChatRequest) -> AsyncIterator[bytes | None]:
        """Wait for an earlier request with the same key, and find its answer as JSON; None for the first of its key."""
        name = _name(caller, request.repeat_key)
        # Repeats wait here, in this process, before other gateways are asked.
        place = self._places.setdefault(name, _Reservation(request.fingerprint))
        _refuse_another(place.fingerprint, request)
        place.people += 1
        try:
            async with place.turn, self._locks.hold(name, request.fingerprint) as place.lock:
                if place.lock.known == "other":
                    raise _another_request()
                packed = await self._read(name, caller, request, place.lock)
                if packed is not None:
                    _refuse_another(packed[:_DIGEST].hex(), request)
                yield None if packed is None else packed[_DIGEST:]
        finally:
            place.people -= 1
            if not place.people:
                self._places.pop(name, None)

    async def keep(self, caller: str, request: ChatRequest, body: bytes) -> None:
        """Keep an answer for a day; on disk when this returns, where there is a ledger that can be written."""
        name = _name(caller, request.repeat_key)
        # The fingerprint tells a repeat from another request that took the same key.
        packed = bytes.fromhex(request.fingerprint) + body
        until = time.time() + _A_DAY
        on_disk = self._ledger.keeps
        if on_disk:
            sealed = AnswerVault(caller, request.repeat_key).seal(packed)
            try:
                await self._ledger.write(lambda store: store.keep_answer(name, caller, sealed, until))
            except LedgerUnavailable:
                on_disk = False
        if not on_disk:
            self._memory.put(name, packed)
        if name in self._places:
            self._places[name].lock.is_answered = True

    async def _read(self, name: str, caller: str, request: ChatRequest, lock: DistributedLock) -> bytes | None:
        now = time.time()
        if (packed := self._memory.get(name)) is not None:
            return packed
        if not self._ledger.keeps:
            return None
        try:
            sealed = await self._ledger.ask(lambda store: store.kept_answer(name, now))
        except LedgerUnavailable:
            if lock.known == "new":
                return None
            raise RepeatUnknown(
                f"Whether a request with this {HEADER} was answered before cannot be told, as the ledger is away. "
                "Repeat it in a moment.",
                retry_after=_RETRY,
            ) from None
        return AnswerVault(caller, request.repeat_key).open(sealed) if sealed is not None else None


def _refuse_another(fingerprint: str, request: ChatRequest) -> None:
    if fingerprint != request.fingerprint:
        raise _another_request()


def _another_request() -> BadRequest:
    words = f"This {HEADER} was used for another request. Use a new one for each request, and the same to repeat it."
    return BadRequest(words, param=HEADER, code="idempotency_conflict", status=422)


def _name(caller: str, key: str) -> str:
    return hashlib.sha256(f"rsql repeat\0{caller}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()
