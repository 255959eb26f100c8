"""Good replies of a provider, and what becomes of them: wrong sizes, headers, chunks, encodings, JSON and events.

rng = random.Random(7)
pieces = mutated(rng, stream=True)   # the bytes of one reply, as they arrive
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

_STATUS = b"HTTP/1.1 200 OK\r\n"
_LIMITS = b"x-ratelimit-limit-requests: 30\r\nx-ratelimit-remaining-requests: 29\r\nx-ratelimit-reset-requests: 2s\r\n"
_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 3,
    "total_tokens": 23,
    "prompt_tokens_details": {"cached_tokens": 5},
}
_WORDS = ["How", " many", " flights: 842 – é 😀"]


def _event(delta: object, end: str | None = None, **more: object) -> bytes:
    chunk = {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} | more
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def _body(**message: object) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(_WORDS)} | message,
        "finish_reason": "stop",
    }
    return json.dumps({"id": "c1", "model": "m", "choices": [choice], "usage": _USAGE}, ensure_ascii=False).encode()


_CALL = {"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
BODIES = [
    _body(),
    _body(content=None, tool_calls=[_CALL]),
    _body(reasoning_content="Let me see."),
    json.dumps({"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}).encode(),
]
STREAMS = [
    b"".join([_event({"role": "assistant"}), *(_event({"content": word}) for word in _WORDS), _event({}, "stop")])
    + b'data: {"choices":[],"usage":'
    + json.dumps(_USAGE).encode()
    + b"}\n\ndata: [DONE]\n\n",
    b": waiting\n\n" + _event({"content": "Hi"}) + _event({}, "stop", x_groq={"usage": _USAGE}) + b"data: [DONE]\n\n",
    b"event: ping\ndata: {}\n\n" + _event({"tool_calls": [_CALL]}) + _event({}, "tool_calls") + b"data: [DONE]\n\n",
    _event({"content": "Hel"}) + b'data: {"error":{"message":"boom","code":500}}\n\n',
]
ERRORS = [
    (b"HTTP/1.1 429 Slow\r\nRetry-After: 2\r\n", BODIES[3]),
    (b"HTTP/1.1 503 Busy\r\n", b"busy"),
    (b"HTTP/1.1 401 No\r\n", b'{"error":{"message":"no","code":"invalid_api_key"}}'),
    (b"HTTP/1.1 403 No\r\nServer: cloudflare\r\n", b"<html><title>Attention</title></html>"),
    (b"HTTP/1.1 400 Bad\r\n", b'[{"error":{"message":"no such field","param":"x"}}]'),
]
_NUMBERS = [
    *rb"""-1 0 1 -0 0x5 +5 1e3 1e400 0.5 00000005 1_0 NaN true null "7" 9223372036854775808 18446744073709551616
fffffffffffffffff 999999999999999999999999999999 [] {}""".split(),
    b"",
    b"5 5",
    b"\xd9\xa3",
]
_HEADERS = [
    b"Content-Length: 5",
    b"Content-Length: -1",
    b"Content-Length:",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding : chunked",
    b"Content-Encoding: gzip",
    b"Content-Encoding: br",
    b"Content-Encoding: deflate",
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: h2c",
    b"Retry-After: -1",
    b"Retry-After: Thu, 01 Jan 0001 00:00:00 +2359",
    b"X: a\r\n folded",
    b"X: a\rb",
    b"X: a\0b",
    b": none",
    b"X",
    b"X: " + b"y" * 9000,
    b"Content-Type: text/html\t",
    b"x-ratelimit-remaining-requests: -1",
    b"x-ratelimit-limit-requests: 0",
    b"Date: \xff\xfe",
]
_TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"0\r\n\r\n", b"-1\r\n"),
    *(b"data:", b"data: [DONE]\n\n", b": x\n\n", b'"', b"\\ud800", b"}", b"{", b" " * 500, b"[" * 3000, b'{"a":' * 800),
    *(b'"error":{},', b'"choices":[null],', b'"delta":5,', b'"usage":[],', b'"index":1e9,', b'"content":7,'),
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
]


def _head(rng: random.Random, start: bytes, body: bytes) -> bytes:
    """The reply to a request, framed in one of the ways there are."""
    packed = rng.random() < 0.1
    if packed:
        body = rng.choice([gzip.compress, zlib.compress])(body)
        start += b"Content-Encoding: " + (b"gzip" if body[0] == 0x1F else b"deflate") + b"\r\n"
    if rng.random() < 0.1:
        start = b"HTTP/1.1 100 Continue\r\n\r\n" + start
    way = rng.random()
    if way < 0.4:
        return start + _LIMITS + b"Content-Length: %d\r\n\r\n" % len(body) + body
    if way < 0.9:
        return start + _LIMITS + b"Transfer-Encoding: chunked\r\n\r\n" + _chunked(rng, body)
    return start + b"\r\n" + body


def _chunked(rng: random.Random, body: bytes) -> bytes:
    chunks, at = [], 0
    while at < len(body):
        size = rng.randint(1, 200)
        extension = b";a=b" if rng.random() < 0.05 else b""
        piece = body[at : at + size]
        chunks.append(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
        at += size
    trailer = b"X-Trailer: y\r\n" if rng.random() < 0.1 else b""
    return b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


_ODD = [None, True, -1, 0.5, "7", "", [], {}, [1], {"a": 1}, ["x"], 10**30]


def _replaced(value: object) -> Iterator[object]:
    """A JSON value with each of its parts, and itself, replaced by each odd value in turn."""
    yield from _ODD
    if isinstance(value, dict):
        for name, part in value.items():
            yield from (value | {name: other} for other in _replaced(part))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from ([*value[:at], other, *value[at + 1 :]] for other in _replaced(part))


def odd_types(*, stream: bool) -> Iterator[list[bytes]]:
    """Whole replies, and streams, in which one value at a time is of another type."""
    start = _STATUS + b"Content-Length: %d\r\n\r\n%b"
    if not stream:
        for body in BODIES:
            for other in _replaced(json.loads(body)):
                text = json.dumps(other).encode()
                yield [start % (len(text), text)]
        return
    for whole in STREAMS:
        events = whole.split(b"\n\n")
        for at, event in enumerate(events):
            before, _, data = event.rpartition(b"data: ")
            if data.startswith(b"{"):
                for other in _replaced(json.loads(data)):
                    changed = [*events[:at], before + b"data: " + json.dumps(other).encode(), *events[at + 1 :]]
                    text = b"\n\n".join(changed)
                    yield [start % (len(text), text)]


def _number(rng: random.Random, text: bytes) -> bytes:
    """One number is another."""
    found = list(re.finditer(rb"-?[0-9a-f]*[0-9]+", text))
    if not found:
        return text
    one = rng.choice(found)
    return text[: one.start()] + rng.choice(_NUMBERS) + text[one.end() :]


def _header(rng: random.Random, text: bytes) -> bytes:
    """One more header, or one less."""
    head, line, rest = text.partition(b"\r\n")
    if rng.random() < 0.8:
        return (
            head
            + line
            + rng.choice(_HEADERS) * rng.choice([1, 1, 1, 2, 400 if rng.random() < 0.02 else 1])
            + b"\r\n"
            + rest
        )
    return head + line + rest.partition(b"\r\n")[2]


def _insert(rng: random.Random, text: bytes) -> bytes:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice(_TOKENS) + text[at:]


def _flip(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(len(text) or 1)
    return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]


def _remove(rng: random.Random, text: bytes) -> bytes:
    at, size = rng.randrange(len(text) or 1), rng.choice([1, 2, 10, 100])
    return text[:at] + text[at + size :]


def _repeat(rng: random.Random, text: bytes) -> bytes:
    at, size = rng.randrange(len(text) or 1), rng.choice([1, 10, 100])
    return text[:at] + text[at : at + size] * rng.choice([2, 3, 50]) + text[at + size :]


def _cut(rng: random.Random, text: bytes) -> bytes:
    return text[: rng.randrange(len(text) or 1)]


def _line_ends(rng: random.Random, text: bytes) -> bytes:
    return text.replace(
        *rng.choice([(b"\n\n", b"\r\r"), (b"\n\n", b"\r\n\r\n"), (b"\r\n", b"\n"), (b"\n", b"\r\n"), (b"\n\n", b"\n")])
    )


def _splice(rng: random.Random, text: bytes) -> bytes:
    other = rng.choice(BODIES + STREAMS)
    return text[: rng.randrange(len(text) or 1)] + other[rng.randrange(len(other)) :]


_MUTATIONS: list[Callable[[random.Random, bytes], bytes]] = [
    _number, _number, _header, _header, _insert, _insert, _flip, _remove, _repeat, _cut, _line_ends, _splice,
]  # fmt: skip


def mutated(rng: random.Random, *, stream: bool) -> list[bytes]:
    """The pieces of one reply; of one in ten only the pieces are odd."""
    start, body = rng.choice(ERRORS) if rng.random() < 0.1 else (_STATUS, rng.choice(STREAMS if stream else BODIES))
    inside = rng.random() < 0.4  # the framing then fits what has become of the body
    times = rng.choice([0, 1, 1, 1, 1, 2, 2, 2, 3, 6])
    for _ in range(times if inside else 0):
        body = rng.choice(_MUTATIONS)(rng, body)
    text = _head(rng, start, body)
    for _ in range(0 if inside else times):
        text = rng.choice(_MUTATIONS)(rng, text)
    cuts = sorted({0, len(text), *(rng.randint(0, len(text)) for _ in range(rng.choice([0, 0, 1, 3, 10])))})
    return [text[a:b] for a, b in itertools.pairwise(cuts)]


def good(*, stream: bool) -> list[bytes]:
    """A reply as it should be."""
    body = STREAMS[0] if stream else BODIES[0]
    return [_STATUS + b"Content-Length: %d\r\n\r\n" % len(body) + body]
