"""Answers in their two forms: a whole one as the events of a stream, and the events of a stream as a whole one."""

# So an answer that was given in one form can be given again in the other, from the cache or to somebody who listens in.

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jupyter_server_ext.messages import Json

_TEXTS = ("content", "reasoning_content", "reasoning", "refusal")  # what comes in pieces that are put together
_MOST_CALLS = 1000  # of tools, in one answer
_HEAD = ("id", "created", "model", "system_fingerprint", "service_tier")


class _Texts(list[str]):
    """Pieces of one text."""


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
    """A whole answer as server-sent events: what it says, and its end with ``[DONE]``.

    Args:
        body: A ``chat.completion`` in JSON.
        extra: JSON members that the last event gets, such as ``"rsql":{…}``.
        usage: Whether the last event tells the usage.
    """
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
    r"""The whole answer that the events of a stream make; None when they hold what cannot be put together.

    Example:
        >>> as_body(b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n')
        b'{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
    """
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
    """Put what one event brings to the choice it is about."""
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


def _add_calls(calls: list[dict[str, Any]], pieces: Sequence[Json]) -> None:
    for piece in pieces:
        at = piece.get("index", len(calls))
        if not 0 <= at < _MOST_CALLS:
            raise ValueError(at)
        while len(calls) <= at:
            calls.append({})
        rest = {name: value for name, value in piece.items() if name not in {"index", "function"} and value}
        calls[at] |= rest
        if piece.get("function"):
            _add_function(calls[at].setdefault("function", {}), piece["function"])


def _add_function(function: dict[str, Any], piece: Json) -> None:
    """A name comes whole, arguments in pieces."""
    if piece.get("name"):
        function["name"] = piece["name"]
    _add_text(function, "arguments", piece.get("arguments") or "")


def _add_text(of: dict[str, Any], name: str, text: str) -> None:
    """Texts are joined at the end: each time would take ever longer."""
    if not isinstance(text, str):
        raise TypeError(name)
    if of.get(name) is None:
        of[name] = _Texts()
    of[name].append(text)


def _joined(value: Any) -> Any:
    """With texts in place of their pieces."""
    if isinstance(value, _Texts):
        return "".join(value)
    if isinstance(value, dict):
        return {name: _joined(part) for name, part in value.items()}
    return [_joined(part) for part in value] if isinstance(value, list) else value
