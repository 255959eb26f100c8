"""A simulated OpenAI-compatible provider: limits counted exactly, headers, latency, streams, and faults to survive.

``Limit`` and ``Account`` are pure and take the time as an argument. ``SimulatedProvider`` serves them on 127.0.0.1::

    async with SimulatedProvider({"k1": Account("bucket", rpm=30)}) as provider:
        provider.next("m", Fault("reset"))
        ...
        assert [request.key for request in provider.requests] == ["k1", "k1"]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from servers import listening


class Limit:
    """One limit: ``fixed`` and ``fixed-lazy`` windows, a ``rolling`` window, or a token ``bucket``."""

    def __init__(self, kind: str, amount: int, seconds: float) -> None:
        self.kind, self.amount, self.seconds = kind, amount, seconds
        self.start: float | None = None
        self.used = 0.0
        self.log: deque[tuple[float, float]] = deque()
        self.level, self.at = float(amount), -math.inf

    def advance(self, now: float) -> None:
        if self.kind == "bucket":
            if self.at > -math.inf:
                self.level = min(self.amount, self.level + (now - self.at) * self.amount / self.seconds)
            self.at = now
        elif self.kind == "rolling":
            while self.log and self.log[0][0] + self.seconds <= now:
                self.used -= self.log.popleft()[1]
        elif self.start is not None and now >= self.start + self.seconds:
            self.used = 0
            rounds = (now - self.start) // self.seconds
            self.start = None if self.kind == "fixed-lazy" else self.start + rounds * self.seconds

    def left(self, now: float) -> float:
        self.advance(now)
        return self.level if self.kind == "bucket" else self.amount - self.used

    def charge(self, cost: float, now: float) -> None:
        self.advance(now)
        if self.kind == "bucket":
            self.level -= cost
        else:
            self.used += cost
            if self.kind == "rolling":
                self.log.append((now, cost))
            elif self.start is None:
                self.start = now

    def wait(self, cost: float, now: float) -> float:
        lacking = cost - self.left(now)
        if lacking <= 1e-9:
            return 0.0
        if self.kind == "bucket":
            return lacking * self.seconds / self.amount
        if self.kind != "rolling":
            return (self.start or now) + self.seconds - now
        for at, part in self.log:
            lacking -= part
            if lacking <= 1e-9:
                return at + self.seconds - now
        return self.seconds

    def reset(self, now: float) -> float:
        """Seconds until it is as at the start."""
        self.advance(now)
        if self.kind == "bucket":
            return (self.amount - self.level) * self.seconds / self.amount
        if self.kind == "rolling":
            return self.log[-1][0] + self.seconds - now if self.log else 0.0
        return self.start + self.seconds - now if self.start is not None and self.used else 0.0


class Account:
    """What one key may use: ``rpm``, ``rpd``, ``tpm``, ``tpd`` and how they are counted.

    ``charge`` is when the tokens of an answer count: at its ``admission``, at its ``end``, or as ``asked`` for with
    max_tokens.
    """

    def __init__(
        self,
        kind: str = "rolling",
        *,
        minute: float = 60.0,
        charge: str = "admission",
        groq: bool = False,
        **amounts: int,
    ) -> None:
        spans = {"rpm": minute, "tpm": minute, "rpd": minute * 1440, "tpd": minute * 1440}
        self.limits = {name: Limit(kind, amount, spans[name]) for name, amount in amounts.items()}
        self.charge, self.groq = charge, groq
        self.accepted = self.refused = 0

    def admit(self, prompt: int, completion: int, asked: int | None, now: float) -> float:
        """Take a request's cost, or the seconds until it would fit; nothing is taken then."""
        tokens = {"end": prompt, "asked": prompt + (asked or completion)}.get(self.charge, prompt + completion)
        costs = {name: tokens if name[0] == "t" else 1 for name in self.limits}
        wait = max((limit.wait(costs[name], now) for name, limit in self.limits.items()), default=0.0)
        if wait > 0:
            self.refused += 1
            return wait
        for name, limit in self.limits.items():
            limit.charge(costs[name], now)
        self.accepted += 1
        return 0.0

    def ended(self, completion: int, now: float) -> None:
        """An answer has ended."""
        if self.charge == "end":
            for name, limit in self.limits.items():
                if name[0] == "t":
                    limit.charge(completion, now)

    def headers(self, now: float) -> dict[str, str]:
        """``x-ratelimit-*`` as OpenAI sends them, or as Groq does: requests of the day, tokens of the minute."""
        shown = {"requests": "rpd" if self.groq else "rpm", "tokens": "tpm"}
        headers = {}
        for what, name in shown.items():
            if limit := self.limits.get(name):
                headers[f"x-ratelimit-limit-{what}"] = str(limit.amount)
                headers[f"x-ratelimit-remaining-{what}"] = str(max(0, math.floor(limit.left(now) + 1e-9)))
                headers[f"x-ratelimit-reset-{what}"] = span(limit.reset(now))
        return headers


def span(seconds: float) -> str:
    """``2m59.56s``, ``7.66s``, ``120ms``, as providers write it."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:.3f}s" if minutes else f"{rest:.3f}s"


WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "seven", "boats", "drift"]


@dataclass
class Fault:
    """How one request goes wrong.

    Kinds: ``status`` (with ``status``, ``body``, ``headers``), ``reset`` before any byte, ``hang`` until the client
    leaves, ``cut`` after ``after`` tokens, ``stall`` after them, ``malformed`` event more or body, ``damaged`` event of
    the next token, ``error`` event after them, ``unfinished`` (ends there, properly), ``no_done``, ``no_usage``,
    ``empty`` stream, ``comments`` and no more.
    """

    kind: str
    status: int = 500
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 3


@dataclass
class Request:
    """What the provider has seen of one request."""

    at: float
    key: str
    model: str
    body: dict[str, Any]
    status: int = 0
    sent: int = 0  # tokens
    ended: float | None = None
    left: bool = False  # the client closed before the end


class SimulatedProvider:
    """Serves ``/v1/chat/completions`` and ``/v1/models``.

    Args:
        accounts: Limits by key; without any, every key is taken and nothing is limited.
        first_token: Seconds until an answer begins.
        pace: Seconds between two tokens of a stream.
        words: Tokens of an answer.
        headers: Whether limits are told in headers.
        retry_after: Whether a refusal says when to come back.
    """

    def __init__(
        self,
        accounts: dict[str, Account] | None = None,
        *,
        first_token: float = 0.0,
        pace: float = 0.0,
        words: int = 8,
        headers: bool = True,
        retry_after: bool = True,
    ) -> None:
        self.accounts = accounts or {}
        self.first_token, self.pace, self.words = first_token, pace, words
        self.tells_headers, self.tells_retry_after = headers, retry_after
        self.requests: list[Request] = []
        self.always: dict[str, Fault] = {}  # by model or key
        self._script: dict[str, deque[Fault | None]] = {}

    def next(self, model: str, *faults: Fault | None) -> None:
        """What happens to the next requests for a model, or with a key; None is nothing."""
        self._script.setdefault(model, deque()).extend(faults)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def of(self, name: str) -> list[Request]:
        """Requests for a model, or with a key."""
        return [request for request in self.requests if name in {request.model, request.key}]

    async def __aenter__(self) -> SimulatedProvider:
        self._listening = listening(self._serve)
        self._port = await self._listening.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listening.__aexit__(None, None, None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    (int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0
                )
                body = await reader.readexactly(length)
                if not await self._answer(head, body, reader, writer):
                    break

    async def _answer(self, head: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        key = next((line[22:] for line in head.split("\r\n") if line.lower().startswith("authorization: bearer ")), "")
        if head.startswith("GET"):
            known = not self.accounts or key in self.accounts
            fault = self._fault(key, "")
            status = fault.status if fault else 200 if known else 401
            _write(writer, status, {"object": "list", "data": []} if status == 200 else _error(status))
            return True
        told = json.loads(body)
        request = Request(_now(), key, told["model"], told)
        self.requests.append(request)
        fault = self._fault(key, request.model)
        try:
            return await self._complete(request, fault, reader, writer)
        finally:
            request.ended = _now()

    def _fault(self, key: str, model: str) -> Fault | None:
        for name in (model, key):
            if self._script.get(name):
                return self._script[name].popleft()
        return self.always.get(model) or self.always.get(key)

    async def _complete(
        self, request: Request, fault: Fault | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        kind = fault.kind if fault else ""
        if self.accounts and request.key not in self.accounts:
            request.status = 401
            _write(writer, 401, _error(401, "invalid_api_key"))
            return True
        if kind == "status":
            request.status = fault.status
            _write(writer, fault.status, fault.body if fault.body is not None else _error(fault.status), fault.headers)
            return True
        if kind == "reset":
            _reset(writer)
            return False
        if kind == "hang":
            request.left = not await reader.read(1)
            return False
        prompt = math.ceil(sum(len(str(m.get("content") or "")) for m in request.body["messages"]) / 4)
        words = min(self.words, request.body.get("max_tokens") or self.words)
        account = self.accounts.get(request.key)
        headers = {}
        if account is not None:
            now = _now()
            wait = account.admit(prompt, words, request.body.get("max_tokens"), now)
            headers = account.headers(now) if self.tells_headers else {}
            if wait:
                request.status = 429
                more = {"retry-after": f"{wait:.3f}"} if self.tells_retry_after else {}
                _write(writer, 429, _error(429, "rate_limit_exceeded"), headers | more)
                return True
        request.status = 200
        usage = {"prompt_tokens": prompt, "completion_tokens": words, "total_tokens": prompt + words}
        await asyncio.sleep(self.first_token)
        if request.body.get("stream"):
            stream = _Stream(request, reader, writer)
            stream.begin(headers)
            goes_on = await self._stream(stream, fault, words, usage)
        else:
            goes_on = self._whole(request, kind, usage, headers, writer)
        if account is not None:
            account.ended(request.sent, _now())
        return goes_on

    def _whole(self, request: Request, kind: str, usage: dict[str, int], headers: dict[str, str], writer: Any) -> bool:
        words = usage["completion_tokens"]
        text = " ".join(WORDS[n % len(WORDS)] for n in range(words))
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        reply = {"id": "sim", "object": "chat.completion", "model": request.model, "choices": [choice]}
        data = json.dumps(reply | ({} if kind == "no_usage" else {"usage": usage})).encode()
        if kind == "cut":
            writer.write(_head(200, headers | {"content-length": str(len(data)), "content-type": "application/json"}))
            writer.write(data[: len(data) // 2])
            return False
        request.sent = words
        _write(writer, 200, data[: len(data) // 2] if kind == "malformed" else data, headers)
        return True

    async def _stream(self, stream: _Stream, fault: Fault | None, words: int, usage: dict[str, int]) -> bool:
        """Send the events of an answer; whether the connection goes on."""
        kind, after = (fault.kind, fault.after) if fault else ("", 0)
        if kind == "empty":
            return stream.end()
        if kind == "comments":
            stream.send(b": still here\n\n")
            return await stream.stall()
        stream.chunk({"role": "assistant", "content": ""})
        for n in range(words):
            if n == after and kind in {"cut", "stall", "error", "malformed", "damaged", "unfinished"}:
                goes_on = await stream.break_off(kind)
                if not goes_on:
                    return False
                if kind == "damaged":
                    continue
            stream.chunk({"content": (" " if n else "") + WORDS[n % len(WORDS)]})
            stream.request.sent += 1
            if self.pace and await stream.client_leaves(self.pace):
                return False
        stream.chunk({}, "stop")
        wanted = (stream.request.body.get("stream_options") or {}).get("include_usage")
        if wanted and kind != "no_usage":
            stream.data({"id": "sim", "object": "chat.completion.chunk", "choices": [], "usage": usage})
        if kind != "no_done":
            stream.send(b"data: [DONE]\n\n")
        return stream.end()


class _Stream:
    """The events of one answer."""

    def __init__(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self._reader, self._writer = reader, writer

    def begin(self, headers: dict[str, str]) -> None:
        more = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        self._writer.write(_head(200, headers | more))

    def send(self, text: bytes) -> None:
        self._writer.write(b"%x\r\n%s\r\n" % (len(text), text))

    def data(self, data: Any) -> None:
        self.send(b"data: " + json.dumps(data).encode() + b"\n\n")

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> None:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        self.data({"id": "sim", "object": "chat.completion.chunk", "model": self.request.model, "choices": choices})

    def end(self) -> bool:
        self._writer.write(b"0\r\n\r\n")
        return True

    async def break_off(self, kind: str) -> bool:
        if kind in {"malformed", "damaged"}:
            self.send(b'data: {"choices":[{"delta":{"content":"\n\n')
            return True
        if kind == "stall":
            return await self.stall()
        if kind == "unfinished":
            self.end()
        if kind == "error":
            self.data({"error": {"message": "The engine fell over.", "type": "server_error"}})
            self.end()
        await self._writer.drain()
        return False

    async def stall(self) -> bool:
        self.request.left = not await self._reader.read(1)
        return False

    async def client_leaves(self, seconds: float) -> bool:
        """Wait; whether the client closed meanwhile."""
        with contextlib.suppress(TimeoutError):
            self.request.left = not await asyncio.wait_for(self._reader.read(1), seconds)
        return self.request.left


def _now() -> float:
    return asyncio.get_running_loop().time()


def _error(status: int, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": f"Simulated {status}.", "type": "simulated", "code": code}}


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Simulated\r\n{lines}\r\n".encode()


def _write(writer: asyncio.StreamWriter, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"content-type": "application/json", "content-length": str(len(data))}
    writer.write(_head(status, (headers or {}) | told) + data)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the client sees a reset rather than an end."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
