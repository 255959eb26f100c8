"""OpenAI's chat-completions protocol over ``answer``, as an httpx transport."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from jupyter_server_ext.http_client import httpx

from .answer import answer
from .request import MalformedRequest, read

MODEL = "offline"
"""The name of the model."""

_CHARACTERS_PER_TOKEN = 3.7
_WORDS_PER_CHUNK = 3
_LONG_BODY = 40_000
"""Bytes from which on an answer is worked out in a thread, so that the event loop goes on."""

_LONGEST_BODY = 1_000_000  # bytes


class OfflineTransport(httpx.AsyncBaseTransport):
    """Answers ``POST …/chat/completions`` and ``GET …/models`` without a network.

    Args:
        pace: Seconds to wait between the chunks of a stream; 0 for tests and batch runs.

    Example:
        >>> client = httpx.AsyncClient(transport=OfflineTransport(), base_url="http://offline/v1")
    """

    def __init__(self, *, pace: float = 0.0) -> None:
        self._pace = pace

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path.rstrip("/")
        if request.method == "GET" and path.endswith("/models"):
            return _json(200, {"object": "list", "data": [_model()]})
        if request.method == "GET" and path.endswith(f"/models/{MODEL}"):
            return _json(200, _model())
        if request.method == "POST" and path.endswith("/chat/completions"):
            return await self._complete(await request.aread())
        return _error(404, "not_found", f"There is no {request.method} {path} here; use POST …/chat/completions.")

    async def _complete(self, content: bytes) -> httpx.Response:
        if len(content) > _LONGEST_BODY:
            words = "The prompt is longer than the offline model reads, which is 1 MB. Send less."
            return _error(400, "context_length_exceeded", words, "messages")
        body = _read(content)
        if isinstance(body, httpx.Response):
            return body
        try:
            asked = read(body["rsql"]) if "rsql" in body else None
        except MalformedRequest as wrong:
            return _error(
                400, "invalid_request", f"'rsql' has another form than the offline model reads: {wrong}.", "rsql"
            )
        text = await asyncio.to_thread(answer, asked) if len(content) > _LONG_BODY else answer(asked)
        usage = _usage(body["messages"], text)
        frame = _frame(body)
        if not body.get("stream"):
            message = {"role": "assistant", "content": text, "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            return _json(200, {**frame, "object": "chat.completion", "choices": [choice], "usage": usage})
        options = body.get("stream_options")
        wants_usage = isinstance(options, Mapping) and bool(options.get("include_usage"))
        stream = _Stream(_events(frame, text, usage if wants_usage else None), self._pace)
        return httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, stream=stream)


class _Stream(httpx.AsyncByteStream):
    def __init__(self, events: Iterator[bytes], pace: float) -> None:
        self._events = events
        self._pace = pace

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in self._events:
            yield event
            await asyncio.sleep(self._pace)


def _frame(body: Mapping[str, Any]) -> dict[str, Any]:
    """What replies and events hold; the id follows from the request, so that two runs are the same, byte for byte."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:16]
    return {"id": f"chatcmpl-offline-{digest}", "object": "", "created": 0, "model": MODEL, "system_fingerprint": MODEL}


def _events(frame: dict[str, Any], text: str, usage: dict[str, int] | None) -> Iterator[bytes]:
    """The server-sent events of a stream, a few words each, ``[DONE]`` last."""
    frame = {**frame, "object": "chat.completion.chunk"}
    words = re.findall(r"\s*\S+\s*", text) or ([text] if text else [])
    pieces = ["".join(words[at : at + _WORDS_PER_CHUNK]) for at in range(0, len(words), _WORDS_PER_CHUNK)]
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces), {}]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if delta else "stop"}
        yield _sse({**frame, "choices": [choice]})
    if usage is not None:
        yield _sse({**frame, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _read(content: bytes) -> dict[str, Any] | httpx.Response:
    """The body of a request, or the error it deserves."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return _error(400, "invalid_json", "The body is not JSON. Send an object with 'model' and 'messages'.")
    if not isinstance(body, dict):
        return _error(400, "invalid_request", "The body must be a JSON object with 'model' and 'messages'.")
    if body.get("model") not in {None, MODEL}:
        return _error(404, "model_not_found", f"There is no such model here; use '{MODEL}'.", param="model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        return _error(
            400, "invalid_request", "'messages' must be a list of objects with 'role' and 'content'.", "messages"
        )
    return body


def _error(status: int, code: str, message: str, param: str | None = None) -> httpx.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return _json(status, {"error": error})


def _model() -> dict[str, Any]:
    return {"id": MODEL, "object": "model", "created": 0, "owned_by": "rsql"}


def _usage(messages: Sequence[Mapping[str, Any]], text: str) -> dict[str, int]:
    prompt = sum(_tokens(str(message.get("content") or "")) for message in messages)
    completion = _tokens(text)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _tokens(text: str) -> int:
    """An estimate: 3.7 characters a token, as measured on prompts that hold schemas."""
    return round(len(text) / _CHARACTERS_PER_TOKEN)


def _json(status: int, body: Mapping[str, Any]) -> httpx.Response:
    return httpx.Response(status, json=body)


def _sse(body: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()
