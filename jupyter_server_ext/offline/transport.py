"""The one function of the embedded provider, a request in and text out, behind OpenAI's chat-completions protocol."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.http_client import httpx

from .request import MalformedRequest, read

if TYPE_CHECKING:
    from .request import OfflineRequest

MODEL = "offline"  # the name of the model
WHAT_IT_IS = (
    "I am rsql's offline model: fixed rules, no language model. I write SQL for plain questions about tables that are "
    "described to me, describe data frames and R objects, and explain common errors of R, Python and SQL. "
    "For open questions set a provider's key, such as `GROQ_API_KEY=…`, or add one to `rsql.toml`."
)
_CHARACTERS_PER_TOKEN = 3.7  # as measured on prompts that hold schemas
_WORDS_PER_CHUNK = 3
_LONG_BODY = 40_000  # bytes from which on an answer is worked out in a thread, so that the event loop goes on
_LONGEST_BODY = 1_000_000  # bytes


def answer(request: OfflineRequest | None) -> str:
    """Answer a request, as a chat model would, in Markdown: the same request always gives the same text.

    It is None for a client that sends messages only.

    Example:
        >>> from jupyter_server_ext.offline.request import read
        >>> answer(read({"task": "ask", "question": "What is a median?"}))
        'The median is the middle value: half of the values are smaller, half are larger.'
    """
    if request is None:
        return WHAT_IT_IS
    # sqlglot and the rules take a tenth of a second to import, which a gateway without this model should not pay.
    if request.task in {"sql", "repair", "explain"}:
        from .sql import explain, reply

        return explain(request.sql, request.dialect) if request.task == "explain" else reply(request)
    from .ask.notebook import result_in_words
    from .ask.reply import reply as ask_reply
    from .ask.study import study

    answers = {"study": study, "result": result_in_words}
    return answers.get(request.task, ask_reply)(request) or WHAT_IT_IS


class OfflineTransport(httpx.AsyncBaseTransport):
    """Answers ``POST …/chat/completions`` and ``GET …/models`` without a network.

    Example:
        >>> client = httpx.AsyncClient(transport=OfflineTransport(), base_url="http://offline/v1")
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        path = request.url.path.rstrip("/")
        model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "rsql"}
        if request.method == "GET" and path.endswith("/models"):
            return httpx.Response(200, json={"object": "list", "data": [model]})
        if request.method == "GET" and path.endswith(f"/models/{MODEL}"):
            return httpx.Response(200, json=model)
        if request.method == "POST" and path.endswith("/chat/completions"):
            return await self._complete(await request.aread())
        return _error(404, "not_found", f"There is no {request.method} {path} here; use POST …/chat/completions.")

    async def _complete(self, content: bytes) -> httpx.Response:
        # Reading a prompt of that size would hold up the requests of others.
        if len(content) > _LONGEST_BODY:
            words = "The prompt is longer than the offline model reads, which is 1 MB. Send less."
            return _error(400, "context_length_exceeded", words, "messages")
        body = _read(content)
        if isinstance(body, httpx.Response):
            return body
        try:
            asked = read(body["rsql"]) if "rsql" in body else None
        except MalformedRequest as wrong:
            words = f"'rsql' has another form than the offline model reads: {wrong}."
            return _error(400, "invalid_request", words, "rsql")
        text = await asyncio.to_thread(answer, asked) if len(content) > _LONG_BODY else answer(asked)
        prompt = sum(_tokens(str(message.get("content") or "")) for message in body["messages"])
        completion = _tokens(text)
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        # The id follows from the request, so that two runs are the same, byte for byte.
        digest = hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":"), default=str).encode())
        frame = {"id": f"chatcmpl-offline-{digest.hexdigest()[:16]}", "object": "", "created": 0}
        frame |= {"model": MODEL, "system_fingerprint": MODEL}
        if not body.get("stream"):
            message = {"role": "assistant", "content": text, "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            reply = {**frame, "object": "chat.completion", "choices": [choice], "usage": usage}
            return httpx.Response(200, json=reply)
        options = body.get("stream_options")
        wants_usage = isinstance(options, Mapping) and bool(options.get("include_usage"))
        events = _events(frame, text, usage if wants_usage else None)
        return httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=events)


async def _events(frame: dict[str, Any], text: str, usage: dict[str, int] | None) -> AsyncIterator[bytes]:
    """The server-sent events of a stream, a few words each, ``[DONE]`` last."""
    frame = {**frame, "object": "chat.completion.chunk"}
    words = re.findall(r"\s*\S+\s*", text) or ([text] if text else [])
    pieces = ["".join(words[at : at + _WORDS_PER_CHUNK]) for at in range(0, len(words), _WORDS_PER_CHUNK)]
    # The first event has the role, and the last one nothing but the reason of the end, as OpenAI sends them.
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces), {}]
    for delta in deltas:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None if delta else "stop"}
        yield _sse({**frame, "choices": [choice]})
        await asyncio.sleep(0)  # others go on
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
    # A request that names no model is for the only one.
    if body.get("model") not in {None, MODEL}:
        return _error(404, "model_not_found", f"There is no such model here; use '{MODEL}'.", param="model")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        words = "'messages' must be a list of objects with 'role' and 'content'."
        return _error(400, "invalid_request", words, "messages")
    return body


def _error(status: int, code: str, message: str, param: str | None = None) -> httpx.Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return httpx.Response(status, json={"error": error})


def _tokens(text: str) -> int:
    return round(len(text) / _CHARACTERS_PER_TOKEN)


def _sse(body: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()
