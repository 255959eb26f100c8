"""Answers that need not be paid for twice: an exact cache, and one flight for identical requests under way.

Two requests are the same when tenant, model, messages and every parameter that shapes the answer are the same. A cached
answer is kept as the provider's JSON body and replayed as a stream when a stream is asked for. Both stay inside a
tenant; limits, records and streams remain each caller's own and are the gateway's affair.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from jupyter_server_ext.messages import ChatRequest, Json

# Fields that say how the answer travels or who asked, not what it is.
_NOT_THE_ANSWER = {"stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier"}


def cache_key(request: ChatRequest, tenant: str) -> str:
    """The name of a request's answer: equal for two requests exactly when either's answer serves both.

    Example:
        >>> from jupyter_server_ext.messages import ChatRequest
        >>> ask = {"messages": [{"role": "user", "content": "hi"}]}
        >>> cache_key(ChatRequest("m", ask), "a") == cache_key(ChatRequest("m", ask, stream=True), "a")
        True
        >>> cache_key(ChatRequest("m", ask), "a") == cache_key(ChatRequest("m", ask), "b")
        False
    """
    shaping = {name: value for name, value in request.body.items() if name not in _NOT_THE_ANSWER}
    text = json.dumps(
        [tenant, request.route, request.model, shaping], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class AnswerCache:
    """Recently given answers, bounded in bytes and age.

    Args:
        max_bytes: The most that is kept; the answers used longest ago go first. 0 keeps nothing.
        ttl_seconds: How long an answer is good for.
        clock: Seconds, monotonic.

    Example:
        >>> cache = AnswerCache(1000, 60.0, clock=lambda: 0.0)
        >>> cache.put("key", b"{}")
        >>> cache.get("key")
        b'{}'
    """

    _OVERHEAD = 200  # bytes of an entry beyond its body: the key, the tuple, two slots of the dict

    def __init__(self, max_bytes: int, ttl_seconds: float, *, clock: Callable[[], float]) -> None:
        self._max_bytes = max_bytes
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._answers: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: str) -> bytes | None:
        """The answer's body, or None."""
        found = self._answers.get(key)
        if found is not None and found[0] <= self._clock():
            self._drop(key)
            found = None
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._answers.move_to_end(key)
        return found[1]

    def put(self, key: str, body: bytes) -> None:
        """Keep an answer. One that is too large for the whole cache is not kept."""
        self._drop(key)
        if len(body) + self._OVERHEAD > self._max_bytes:
            return
        self._answers[key] = (self._clock() + self._ttl_seconds, body)
        self.bytes += len(body) + self._OVERHEAD
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._answers)))

    def clear(self) -> None:
        """Forget all answers."""
        self._answers.clear()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        return f"<AnswerCache answers={len(self)} bytes={self.bytes} hits={self.hits} misses={self.misses}>"

    def _drop(self, key: str) -> None:
        if found := self._answers.pop(key, None):
            self.bytes -= len(found[1]) + self._OVERHEAD


def as_stream(body: Json) -> list[dict[str, Any]]:
    """A whole answer as the chunks of a stream: role, content (and tool calls), end, usage.

    Args:
        body: A ``chat.completion`` object.

    Returns:
        ``chat.completion.chunk`` objects, in order.
    """
    head = {name: body[name] for name in ("id", "created", "model", "system_fingerprint") if name in body}
    head["object"] = "chat.completion.chunk"
    chunks = []
    for choice in body.get("choices", ()):
        place = {"index": choice.get("index", 0)}
        delta = _delta(choice.get("message", {}))
        logprobs = {"logprobs": choice["logprobs"]} if choice.get("logprobs") else {}
        chunks.append(head | {"choices": [place | {"delta": delta, "finish_reason": None} | logprobs]})
        end = {"delta": {}, "finish_reason": choice.get("finish_reason", "stop")}
        chunks.append(head | {"choices": [place | end]})
    if body.get("usage"):
        chunks.append(head | {"choices": [], "usage": body["usage"]})
    return chunks


def _delta(message: Json) -> dict[str, Any]:
    delta = {name: value for name, value in message.items() if value is not None}
    if calls := delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": number} | call for number, call in enumerate(calls)]
    return delta


T = TypeVar("T")


@dataclass(eq=False)
class _Flight(Generic[T]):
    """One answer under way and those who listen to it."""

    pieces: list[T] = field(default_factory=list)
    listeners: int = 0
    over: bool = False
    failure: BaseException | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def tell(self) -> None:
        """Wake all listeners; the next news needs a new event, for those who come back to wait."""
        self.news.set()
        self.news = asyncio.Event()


class Flights(Generic[T]):
    """At most one flight per key: the first request starts it, the others listen, each at its own pace.

    The flight belongs to nobody: it goes on when the one who started it leaves, and ends when the last listener does.
    When it fails, a listener who has received nothing yet starts another, so one caller's bad luck is not the class's.

    Example:
        A stream for each of thirty callers, one call upstream::

            async for piece in flights.share(key, lambda: upstream.stream(request)):
                yield piece
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def is_under_way(self, key: str) -> bool:
        """Whether an identical request can be joined."""
        return key in self._flights

    async def share(self, key: str, start: Callable[[], AsyncIterator[T]]) -> AsyncGenerator[T, None]:
        """The pieces of the answer to ``key``, from the flight under way or from ``start()``.

        A listener who stops early closes the generator (``contextlib.aclosing``), or is counted until it is collected.

        Args:
            key: What makes two requests the same.
            start: Begins the answer; called only when there is no flight to join.

        Raises:
            Exception: What ``start()``'s iterator raised, when this listener started it or had received pieces.
        """
        while True:
            flight = self._flights.get(key)
            own = flight is None
            if flight is None:
                flight = self._take_off(key, start)
            flight.listeners += 1
            heard = 0
            try:
                while True:
                    while heard < len(flight.pieces):
                        heard += 1
                        yield flight.pieces[heard - 1]
                    if flight.over:
                        break
                    await flight.news.wait()
            finally:
                self._leave(key, flight)
            if flight.failure is None:
                return
            if own or heard:
                raise flight.failure

    def _take_off(self, key: str, start: Callable[[], AsyncIterator[T]]) -> _Flight[T]:
        flight: _Flight[T] = _Flight()
        self._flights[key] = flight

        async def fly() -> None:
            try:
                async for piece in start():
                    flight.pieces.append(piece)
                    flight.tell()
            except BaseException as failure:  # noqa: BLE001 - handed to every listener, cancellation included
                flight.failure = failure
            finally:
                flight.over = True
                if self._flights.get(key) is flight:
                    del self._flights[key]
                flight.tell()

        flight.task = asyncio.get_running_loop().create_task(fly(), name="rsql-flight")
        return flight

    def _leave(self, key: str, flight: _Flight[T]) -> None:
        flight.listeners -= 1
        if not flight.listeners and not flight.over and flight.task is not None:
            self._flights.pop(key, None)  # at once: nobody may board a flight that is being called off
            flight.task.cancel()
