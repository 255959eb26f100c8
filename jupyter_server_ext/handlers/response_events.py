"""From a chat completion to a Response, whole or as its events come."""

# https://platform.openai.com/docs/api-reference/responses/object and /responses-streaming

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Item = dict[str, Any]  # one part of a response's output: a message, a call of a function, or the reasoning before them

_UNFINISHED = {"length": "max_output_tokens", "content_filter": "content_filter"}
_MOST_TOKENS = 10**12  # what a provider counts beyond is nonsense


@dataclass(frozen=True)
class ResponseFrame:
    """What every form of one response has in common."""

    request_id: str  # the gateway's id of the request
    model: str  # the model asked
    body: Mapping[str, Any]  # the request, whose settings a response repeats
    created: int  # Unix time

    def response(self, status: str, output: Sequence[Item] = (), **known: Any) -> dict[str, Any]:
        """The response in one of its states: ``in_progress``, ``completed``, ``incomplete``, ``failed``."""
        asked = self.body
        return {
            "id": f"resp_{self.request_id}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            **{name: asked.get(name) for name in ("instructions", "max_output_tokens", "temperature", "top_p", "user")},
            "metadata": asked.get("metadata") or {},
            "model": self.model,
            "output": list(output),
            "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
            "previous_response_id": None,
            "reasoning": asked.get("reasoning") or {"effort": None, "summary": None},
            "store": False,
            "text": asked.get("text") or {"format": {"type": "text"}},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": asked.get("tools") or [],
            "truncation": "disabled",
            "usage": None,
            **known,
        }

    def item_id(self, prefix: str, at: int) -> str:
        """The id of the output's part at a place."""
        return f"{prefix}_{self.request_id}_{at}"

    def ended(self, output: Sequence[Item], finish: object, completion: Mapping[str, Any]) -> dict[str, Any]:
        """The response when the answer has ended."""
        reason = _UNFINISHED.get(_text(finish))
        known: dict[str, Any] = {"incomplete_details": {"reason": reason}} if reason else {}
        known |= {"model": completion["model"]} if completion.get("model") else {}
        known |= {"rsql": completion["rsql"]} if completion.get("rsql") else {}
        return self.response(
            "incomplete" if reason else "completed", output, usage=_usage(_record(completion.get("usage"))), **known
        )


def response_of(reply: bytes, frame: ResponseFrame) -> bytes:
    """The response that a whole completion makes."""
    completion = msgspec.json.decode(reply)
    choice = (_records(completion.get("choices")) or [{}])[0]
    output = _items(_record(choice.get("message")), frame)
    return msgspec.json.encode(frame.ended(output, choice.get("finish_reason"), completion))


def _items(message: Mapping[str, Any], frame: ResponseFrame) -> list[Item]:
    items: list[Item] = []
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        items.append(reasoning(frame.item_id("rs", 0), _text(thought)))
    content, refusal = message.get("content"), message.get("refusal")
    calls = _records(message.get("tool_calls"))
    if content or refusal or not calls:
        parts = [text_part(_text(content or ""))] if content or not refusal else []
        parts += [{"type": "refusal", "refusal": _text(refusal)}] if refusal else []
        items.append(spoken(frame.item_id("msg", len(items)), parts))
    for call in calls:
        function = _record(call.get("function"))
        words = (_text(value) for value in (call.get("id"), function.get("name"), function.get("arguments")))
        items.append(called(frame.item_id("fc", len(items)), *words))
    return items


# Providers are read leniently: a member of another type than the protocol's has no meaning, or is text.


def _record(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _records(value: object) -> list[Mapping[str, Any]]:
    return [_record(one) for one in value] if isinstance(value, list) else []


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def _tokens(value: object) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < _MOST_TOKENS else 0


def spoken(item_id: str, parts: list[Item]) -> Item:
    """A message of the assistant."""
    return {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": parts}


def text_part(text: str) -> Item:
    """Words in a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def reasoning(item_id: str, text: str) -> Item:
    """What a model thought before it answered."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    return {"id": item_id, "type": "reasoning", "status": "completed", "summary": [], "content": content}


def called(item_id: str, call_id: str | None, name: str | None, arguments: str | None) -> Item:
    """A call of a function, which the client is to run."""
    return {
        "id": item_id,
        "type": "function_call",
        "status": "completed",
        "call_id": call_id or item_id,
        "name": name or "",
        "arguments": arguments or "",
    }


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    read, written = _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens"))
    cached = _tokens(_record(usage.get("prompt_tokens_details")).get("cached_tokens"))
    thought = _tokens(_record(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": read + written,
    }


Event = tuple[str, dict[str, Any]]  # an event's type and its members


class EventTranslator:
    """Translates the events of one answer."""

    def __init__(self, frame: ResponseFrame) -> None:
        self._frame = frame  # what the response's states have in common
        self._number = 0
        self._begun = False
        self._open: _Growing | None = None
        self._call = ""  # the id of the last call
        self._done: list[Item] = []
        self._finish: object = None
        self._members: dict[str, Any] = {}

    def feed(self, events: bytes) -> bytes:
        """The events to send in place of whole events of a chat completion; comments stay as they are."""
        return b"".join(part for event in events.split(b"\n\n") if event for part in self._translated(event))

    def _translated(self, event: bytes) -> Iterator[bytes]:
        data = b"\n".join(line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:"))
        if not data:
            yield event + b"\n\n"
            return
        if data == b"[DONE]":
            events: Iterator[Event] = self._end()
        else:
            try:
                events = self._chunk(_record(msgspec.json.decode(data)))
            except msgspec.DecodeError:  # what a provider garbled has no counterpart
                return
        for kind, members in events:
            numbered = msgspec.json.encode({"type": kind, "sequence_number": self._number, **members})
            self._number += 1
            yield b"event: " + kind.encode() + b"\ndata: " + numbered + b"\n\n"

    def _chunk(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        if not self._begun:
            self._begun = True
            yield "response.created", {"response": self._frame.response("in_progress")}
            yield "response.in_progress", {"response": self._frame.response("in_progress")}
        if error := chunk.get("error"):
            known = _record(error) or {"message": _text(error)}
            failure = {"code": known.get("code") or "server_error", "message": known.get("message") or ""}
            output = [*self._done, *([self._open.item] if self._open else [])]
            yield "response.failed", {"response": self._frame.response("failed", output, error=failure)}
            return
        self._members |= {name: chunk[name] for name in ("model", "usage", "rsql") if chunk.get(name)}
        choice = (_records(chunk.get("choices")) or [{}])[0]
        self._finish = choice.get("finish_reason") or self._finish
        yield from self._delta(_record(choice.get("delta")))

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            yield from self._grow(("rs", 0), _text(thought))
        if content := delta.get("content"):
            yield from self._grow(("msg", 0), _text(content))
        if refusal := delta.get("refusal"):
            yield from self._grow(("refusal", 0), _text(refusal))
        for at, call in enumerate(_records(delta.get("tool_calls"))):
            function = _record(call.get("function"))
            known = {"call_id": _text(call.get("id")), "name": _text(function.get("name"))}
            # Some providers count all calls as the first one: another id is another call.
            self._call = known["call_id"] or self._call
            number = call.get("index", at), self._call
            yield from self._grow(("fc", number), _text(function.get("arguments")), **known)

    def _grow(self, key: tuple[str, object], piece: str, **known: Any) -> Iterator[Event]:
        """Add to the part with this key; another that was open has ended."""
        if self._open is None or self._open.key != key:
            yield from self._close()
            prefix, at = "msg" if key[0] == "refusal" else key[0], len(self._done)
            self._open = _Growing(key, self._frame.item_id(prefix, at), at, known)
            yield from self._open.begin()
        if piece:
            yield from self._open.add(piece)

    def _close(self) -> Iterator[Event]:
        if self._open is not None:
            yield from self._open.end()
            self._done.append(self._open.item)
            self._open = None

    def _end(self) -> Iterator[Event]:
        if self._open is None and not self._done:
            yield from self._grow(("msg", 0), "")
        yield from self._close()
        ended = self._frame.ended(self._done, self._finish, self._members)
        yield f"response.{ended['status']}", {"response": ended}


_EVENTS = {
    "msg": "response.output_text",
    "refusal": "response.refusal",
    "rs": "response.reasoning_text",
    "fc": "response.function_call_arguments",
}


class _Growing:
    """A part of the output as it grows: the words of an answer or a refusal, thoughts, or a call of a function."""

    def __init__(self, key: tuple[str, object], item_id: str, at: int, known: Mapping[str, Any]) -> None:
        self.key = key
        self._kind = key[0]
        self._is_message = self._kind in {"msg", "refusal"}
        self._at = at
        self._known = known  # id and name of a call
        self._text = ""
        self._id = item_id
        self._place = {"item_id": item_id, "output_index": at} | ({} if self._kind == "fc" else {"content_index": 0})

    @property
    def item(self) -> Item:
        """The whole of it, as far as it has come."""
        if self._kind == "fc":
            return called(self._id, self._known.get("call_id"), self._known.get("name"), self._text)
        return spoken(self._id, [self._content]) if self._is_message else reasoning(self._id, self._text)

    @property
    def _content(self) -> Item:
        return {"type": "refusal", "refusal": self._text} if self._kind == "refusal" else text_part(self._text)

    def begin(self) -> Iterator[Event]:
        begun = {**self.item, "status": "in_progress"} | ({"content": []} if self._is_message else {})
        yield "response.output_item.added", {"output_index": self._at, "item": begun}
        if self._is_message:
            yield "response.content_part.added", {**self._place, "part": self._content}

    def add(self, piece: str) -> Iterator[Event]:
        self._text += piece
        more: dict[str, Any] = {"logprobs": []} if self._kind == "msg" else {}
        yield f"{_EVENTS[self._kind]}.delta", {**self._place, "delta": piece, **more}

    def end(self) -> Iterator[Event]:
        whole: dict[str, dict[str, Any]] = {
            "msg": {"text": self._text, "logprobs": []},
            "refusal": {"refusal": self._text},
            "rs": {"text": self._text},
            "fc": {"name": self._known.get("name") or "", "arguments": self._text},
        }
        yield f"{_EVENTS[self._kind]}.done", {**self._place, **whole[self._kind]}
        if self._is_message:
            yield "response.content_part.done", {**self._place, "part": self._content}
        yield "response.output_item.done", {"output_index": self._at, "item": self.item}
