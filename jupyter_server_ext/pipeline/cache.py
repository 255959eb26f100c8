"""Answers that need not be paid for twice: an exact cache, and one flight for identical requests under way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from jupyter_server_ext.messages import CacheResult, ChatRequest, Json
    from jupyter_server_ext.pipeline.shared import RedisAnswers

# Two requests are the same when tenant, model, messages and every parameter that shapes the answer are the same. A
# cached answer is kept as the provider's JSON body; ``as_events`` makes a stream of it when a stream is asked for. Both
# stay inside a tenant; limits, records and streams remain each caller's own and are the gateway's affair.

# Fields that say how the answer travels or who asked, not what it is.
_NOT_THE_ANSWER = {"stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier"}


def cache_key(request: ChatRequest, tenant: str) -> str:
    """The name of a request's answer: equal for two requests exactly when either's answer serves both."""
    shaping = {name: value for name, value in request.body.items() if name not in _NOT_THE_ANSWER}
    asked = [tenant, "embeddings" if request.embeds else "chat/completions", request.model, shaping]
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_digest)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _digest(text: Any) -> str:
    # What stands for a large field of which only the JSON is known.
    return hashlib.sha256(memoryview(text)).hexdigest()


_OVERHEAD = 200  # bytes of an entry beyond its body: the key, the tuple, two slots of the dict


class Cached(NamedTuple):
    """An answer that was given: its JSON body, and what it cost in nano-dollars."""

    body: bytes
    cost: int = 0

    def pack(self) -> bytes:
        """Both as bytes."""
        return b"%d\n" % self.cost + self.body

    @classmethod
    def unpack(cls, packed: bytes) -> Cached:
        """What ``pack`` made."""
        cost, _, body = packed.partition(b"\n")
        return cls(body, int(cost))


@dataclass(eq=False, repr=False)
class AnswerCache:
    """Recently given answers, bounded in bytes and age.

    Example:
        >>> cache = AnswerCache(1000, 60.0, clock=lambda: 0.0)
        >>> cache.put("key", b"{}")
        >>> cache.get("key")
        b'{}'
    """

    max_bytes: int  # the most that is kept; the answers used longest ago go first. 0 keeps nothing
    ttl_seconds: float  # how long an answer is good for
    _: KW_ONLY
    clock: Callable[[], float]  # seconds, monotonic
    behind: RedisAnswers | None = None  # answers that other gateways share; looked up when there is none in memory

    def __post_init__(self) -> None:
        self._answers: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self.bytes = 0
        self.results = dict.fromkeys(("hit", "miss", "shared", "bypass"), 0)
        self.saved_nanodollars = 0

    @property
    def keeps(self) -> bool:
        """Whether it keeps anything at all."""
        return self.max_bytes > 0 and self.ttl_seconds > 0

    async def find(self, key: str, max_age: float = math.inf) -> Cached | None:
        """An answer that is at most ``max_age`` seconds old, from memory or from behind it."""
        packed = self.get(key, max_age)
        if packed is None and self.behind is not None:
            found, seconds = await self.behind.get(key) or (b"", 0.0)
            cost, line, _ = found.partition(b"\n")
            # A store that others write to may hold anything.
            if line and cost.isdigit() and self.ttl_seconds - seconds <= max_age:
                self.put(key, found, seconds=seconds)
                packed = found
        return None if packed is None else Cached.unpack(packed)

    async def keep(self, key: str, answer: Cached) -> None:
        """Keep an answer in memory, and for others."""
        packed = answer.pack()
        self.put(key, packed)
        if self.behind is not None and self.keeps:
            await self.behind.put(key, packed, self.ttl_seconds)

    def count(self, result: CacheResult, saved: int = 0) -> None:
        """Count what came of one request, and the nano-dollars that it would have cost."""
        if result in self.results:
            self.results[result] += 1
            self.saved_nanodollars += saved

    def figures(self) -> dict[str, Any]:
        """How it does, for the status page and metrics."""
        served = self.results["hit"] + self.results["shared"]
        asked = served + self.results["miss"]
        rate = round(served / asked, 4) if asked else None
        return {"answers": len(self), "bytes": self.bytes, **self.results, "hit_rate": rate}

    def get(self, key: str, max_age: float = math.inf) -> bytes | None:
        """The answer in memory, or None."""
        found = self._answers.get(key)
        now = self.clock()
        if found is not None and found[0] <= now:
            self._drop(key)
            found = None
        if found is None or self.ttl_seconds - (found[0] - now) > max_age:
            return None
        self._answers.move_to_end(key)
        return found[1]

    def put(self, key: str, body: bytes, *, seconds: float | None = None) -> None:
        """Keep an answer in memory. One that is too large for the whole cache is not kept."""
        self._drop(key)
        if len(body) + _OVERHEAD > self.max_bytes or not self.keeps:
            return
        self._answers[key] = (self.clock() + (self.ttl_seconds if seconds is None else seconds), body)
        self.bytes += len(body) + _OVERHEAD
        while self.bytes > self.max_bytes:
            self._drop(next(iter(self._answers)))

    async def close(self) -> None:
        """Give back what is behind."""
        if self.behind is not None:
            await self.behind.close()

    def __len__(self) -> int:
        return len(self._answers)

    def __repr__(self) -> str:
        return f"<AnswerCache answers={len(self)} bytes={self.bytes} hits={self.results['hit']}>"

    def _drop(self, key: str) -> None:
        if found := self._answers.pop(key, None):
            self.bytes -= len(found[1]) + _OVERHEAD


T = TypeVar("T")


@dataclass(eq=False, repr=False)
class _Flight(Generic[T]):
    """One answer under way and those who listen to it."""

    pieces: list[T] = field(default_factory=list)
    listeners: int = 0
    over: bool = False
    failure: BaseException | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def tell(self) -> None:
        # Wake all listeners; the next news needs a new event, for those who come back to wait.
        self.news.set()
        self.news = asyncio.Event()


class SingleFlight(Generic[T]):
    """At most one flight per key: the first request starts it, the others listen, each at its own pace.

    The flight belongs to nobody: it goes on when the one who started it leaves, and ends when the last listener does.
    When it fails, a listener who has received nothing yet joins or starts another, and after a second failure asks on
    its own: one caller's bad luck is not the class's.

    Example:
        A stream for each of thirty callers, one call upstream::

            async for piece in flights.share(key, lambda: upstream.stream(request)):
                yield piece
    """

    def __init__(self, is_news: Callable[[T], bool] = lambda _: False) -> None:
        # Tells pieces that only say how things stand: who comes later is not given those of before.
        self._is_news = is_news
        self._flights: dict[str, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def is_under_way(self, key: str) -> bool:
        """Whether an identical request can be joined."""
        return key in self._flights

    async def share(self, key: str, start: Callable[[], AsyncGenerator[T]]) -> AsyncGenerator[T, None]:
        """The pieces of the answer to ``key``, from the flight under way or from ``start()``."""
        # A listener who stops early closes the generator (``contextlib.aclosing``), or is counted until it is
        # collected.
        failures = 0
        while True:
            flight = self._flights.get(key) if failures < 2 else None
            own = flight is None
            if flight is None:
                flight = self._take_off(key, start, alone=failures >= 2)
            received = False
            async with aclosing(self._listen(key, flight)) as pieces:
                async for piece in pieces:
                    # News bind a listener to nothing: it may still join another flight.
                    received = received or not self._is_news(piece)
                    yield piece
            if flight.failure is None:
                return
            if own or received:
                raise flight.failure
            failures += 1

    async def _listen(self, key: str, flight: _Flight[T]) -> AsyncGenerator[T, None]:
        # What the flight brings, from its start.
        flight.listeners += 1
        at = 0
        while at < len(flight.pieces) and self._is_news(flight.pieces[at]):
            at += 1
        try:
            while True:
                while at < len(flight.pieces):
                    at += 1
                    yield flight.pieces[at - 1]
                if flight.over:
                    break
                await flight.news.wait()
        finally:
            await self._leave(key, flight)

    def _take_off(self, key: str, start: Callable[[], AsyncGenerator[T]], *, alone: bool) -> _Flight[T]:
        flight: _Flight[T] = _Flight()
        if not alone:
            self._flights[key] = flight

        async def fly() -> None:
            try:
                async with aclosing(start()) as pieces:
                    async for piece in pieces:
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

    async def _leave(self, key: str, flight: _Flight[T]) -> None:
        # Stop listening; the last one waits until the flight has been called off.
        flight.listeners -= 1
        if flight.listeners or flight.over or flight.task is None:
            return
        if self._flights.get(key) is flight:
            del self._flights[key]  # at once: nobody may board a flight that is being called off
        flight.task.cancel()
        # Until its key is given back: the next request must find room.
        await asyncio.wait({flight.task})


# So an answer that was given in one form can be given again in the other, from the cache or to somebody who listens in.


_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")  # what comes in pieces that are put together
_MOST_CALLS = 1000  # of tools, in one answer
_HEAD = ("id", "created", "model", "system_fingerprint", "service_tier")


class _Texts(list[str]):
    """Pieces of one text."""


class _Call(dict[str, Any]):
    """A call of a tool as it grows, with the number that its pieces have."""

    number: Any = None


def as_stream(body: Json) -> list[dict[str, Any]]:
    """A whole ``chat.completion`` as the chunks of a stream: role, content (and tool calls), end, usage."""
    # Those that end choices and tell the usage come last.
    head = {name: body[name] for name in _HEAD if name in body} | {"object": "chat.completion.chunk"}
    begins, ends = [], []
    for choice in body.get("choices") or ():
        place = {"index": choice.get("index", 0)}
        logprobs = {"logprobs": choice["logprobs"]} if choice.get("logprobs") else {}
        message = choice.get("message") or {"role": "assistant", "content": choice.get("text")}
        begins.append(head | {"choices": [place | {"delta": _delta(message), "finish_reason": None} | logprobs]})
        ends.append(head | {"choices": [place | {"delta": {}, "finish_reason": choice.get("finish_reason", "stop")}]})
    usage = [head | {"choices": [], "usage": body["usage"]}] if body.get("usage") else []
    return [*begins, *ends, *usage]


def as_events(body: bytes, extra: bytes, *, usage: bool) -> tuple[bytes, bytes]:
    """A whole answer as server-sent events: what it says, and its end with ``[DONE]``."""
    # ``extra`` are JSON members that the last event gets, such as ``"rsql":{…}``; ``usage`` is whether it tells the
    # usage.
    chunks = as_stream(msgspec.json.decode(body))
    if not usage and chunks and chunks[-1].get("usage"):
        chunks.pop()
    begun = [msgspec.json.encode(chunk) for chunk in chunks[:-1]]
    last = msgspec.json.encode(chunks[-1] if chunks else {"object": "chat.completion.chunk", "choices": []})
    return _events(begun), _events([with_member(last, extra), b"[DONE]"])


def with_member(body: bytes, extra: bytes) -> bytes:
    """A JSON object with one more member, which is JSON already."""
    return body[:-1] + b"," + extra + b"}" if extra else body


def as_body(events: bytes) -> bytes | None:
    """The whole answer that the events of a stream make; None when they hold what cannot be put together."""
    body: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    try:
        for chunk in _chunks(events):
            body |= {name: chunk[name] for name in _HEAD if name in chunk and name not in body}
            if chunk.get("usage"):
                body["usage"] = chunk["usage"]
            for choice in chunk.get("choices") or ():
                _add_choice(choices, choice)
        ordered = [_joined(choices[index]) for index in sorted(choices)]
    # Providers send anything; what cannot be put together is not kept.
    except (msgspec.DecodeError, TypeError, AttributeError, KeyError, ValueError, RecursionError):
        return None
    if not choices:
        return None
    usage = {"usage": body.pop("usage")} if "usage" in body else {}
    return msgspec.json.encode(body | {"object": "chat.completion", "choices": ordered} | usage)


# Why answers end that are the same when they are asked for again: complete, at the length asked for, or with calls.
_ENDINGS = frozenset(
    """
    stop end_turn stop_sequence eos eos_token end complete completed finish_reason_stop tool_calls tool_call tool_use
    function_call length max_tokens max_length max_output_tokens model_length token_limit finish_reason_max_tokens
    """.split()  # noqa: SIM905 - words read better as text
)


def ended_whole(body: bytes) -> bool:
    """Whether an answer ended by itself; what a filter or a failure ended may be another the next time.

    Example:
        >>> [ended_whole(b'{"choices": [{"finish_reason": "%s"}]}' % reason) for reason in (b"stop", b"content_filter")]
        [True, False]
    """
    try:
        choices = msgspec.json.decode(body).get("choices") or ()
        reasons = [choice.get("finish_reason") or "stop" for choice in choices if not choice.get("error")]
        return bool(choices) and len(reasons) == len(choices) and {str(word).lower() for word in reasons} <= _ENDINGS
    except (msgspec.DecodeError, AttributeError, TypeError):
        return False


def _events(datas: Sequence[bytes]) -> bytes:
    return b"".join(b"data: " + data + b"\n\n" for data in datas)


def _delta(message: Json) -> dict[str, Any]:
    delta = {name: value for name, value in message.items() if value is not None}
    if isinstance(calls := delta.get("tool_calls"), list):
        delta["tool_calls"] = [{"index": at} | call for at, call in enumerate(calls) if isinstance(call, dict)]
    return delta


def _chunks(events: bytes) -> Iterator[dict[str, Any]]:
    for event in events.split(b"\n\n"):
        data = b"\n".join(line[5:] for line in event.split(b"\n") if line.startswith(b"data:")).strip()
        if data and data != b"[DONE]":
            yield msgspec.json.decode(data)


def _add_choice(choices: dict[int, dict[str, Any]], piece: Json) -> None:
    # Put what one event brings to the choice it is about.
    index = piece.get("index") or 0
    new = {"index": index, "message": {"role": "assistant", "content": None}, "finish_reason": None}
    choice = choices.setdefault(index, new)
    _add_delta(choice["message"], piece.get("delta") or {})
    if piece.get("finish_reason") is not None:
        choice["finish_reason"] = piece["finish_reason"]
    for name, tokens in (piece.get("logprobs") or {}).items():
        if tokens is not None:
            choice.setdefault("logprobs", {}).setdefault(name, []).extend(tokens)


def _add_delta(message: dict[str, Any], delta: Json) -> None:
    for name, value in delta.items():
        if value is None:
            continue
        if name in _TEXTS:
            _add_text(message, name, value)
        elif name == "tool_calls":
            _add_calls(message.setdefault(name, []), value)
        elif name == "function_call":
            _add_function(message.setdefault(name, {}), value)
        elif name == "role":
            message[name] = value
        elif isinstance(value, list):
            message[name] = message.get(name, []) + value
        elif value != message.get(name):
            if name in message:
                raise ValueError(name)  # such as sound, in pieces of a form that we do not know
            message[name] = value


def _add_calls(calls: list[_Call], pieces: Sequence[Json]) -> None:
    # Some providers count all calls as the first one, or none of them: another id is another call.
    for piece in pieces:
        at, own, function = piece.get("index"), piece.get("id"), piece.get("function") or {}
        call = next((call for call in reversed(calls) if call.number == at), None)
        if call is None or (own and own != call.get("id", own)) or (at is None and function.get("name")):
            if len(calls) == _MOST_CALLS:
                raise ValueError(at)
            call = _Call()
            call.number = at
            calls.append(call)
        call |= {name: value for name, value in piece.items() if name not in {"index", "function"} and value}
        if function:
            _add_function(call.setdefault("function", {}), function)


def _add_function(function: dict[str, Any], piece: Json) -> None:
    # A name comes whole, arguments in pieces.
    if piece.get("name"):
        function["name"] = piece["name"]
    _add_text(function, "arguments", piece.get("arguments") or "")


def _add_text(of: dict[str, Any], name: str, text: str) -> None:
    # Texts are joined at the end: each time would take ever longer.
    if not isinstance(text, str):
        raise TypeError(name)
    if of.get(name) is None:
        of[name] = _Texts()
    of[name].append(text)


def _joined(value: Any) -> Any:
    # With texts in place of their pieces.
    if isinstance(value, _Texts):
        return "".join(value)
    if isinstance(value, dict):
        return {name: _joined(part) for name, part in value.items()}
    return [_joined(part) for part in value] if isinstance(value, list) else value
