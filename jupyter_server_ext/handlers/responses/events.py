"""From the events of a chat completion to those of a Response, as they come.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from jupyter_server_ext.handlers.responses.answered import called, reasoning, spoken, text_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jupyter_server_ext.handlers.responses.answered import Item, ResponseFrame

Event = tuple[str, dict[str, Any]]
"""An event's type and its members."""


class _Part(Protocol):
    """A part of the output as it grows."""

    key: tuple[str, int]

    def begin(self) -> Iterator[Event]:
        """The events that announce it."""

    def add(self, piece: str) -> Iterator[Event]:
        """The event of its next piece."""

    def end(self) -> Iterator[Event]:
        """The events that end it."""

    @property
    def item(self) -> Item:
        """It, whole."""


class EventTranslator:
    r"""Translates the events of one answer.

    Example:
        >>> from jupyter_server_ext.handlers.responses.answered import ResponseFrame
        >>> translate = EventTranslator(ResponseFrame("req-1", "m", {}, 0))
        >>> said = translate.feed(b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n').decode()
        >>> [line[7:] for line in said.splitlines() if line.startswith("event:")][-1]
        'response.output_text.delta'
    """

    def __init__(self, frame: ResponseFrame) -> None:
        self._frame = frame  # what the response's states have in common
        self._number = 0
        self._begun = False
        self._open: _Part | None = None
        self._done: list[Item] = []
        self._finish: str | None = None
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
                events = self._chunk(msgspec.json.decode(data))
            except msgspec.DecodeError:  # what a provider garbled has no counterpart
                return
        for kind, members in events:
            yield self._written(kind, members)

    def _written(self, kind: str, members: Mapping[str, Any]) -> bytes:
        data = msgspec.json.encode({"type": kind, "sequence_number": self._number, **members})
        self._number += 1
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

    def _chunk(self, chunk: Mapping[str, Any]) -> Iterator[Event]:
        if not self._begun:
            self._begun = True
            yield "response.created", {"response": self._frame.response("in_progress")}
            yield "response.in_progress", {"response": self._frame.response("in_progress")}
        if error := chunk.get("error"):
            yield from self._failed(error)
            return
        self._members |= {name: chunk[name] for name in ("model", "usage", "rsql") if chunk.get(name)}
        choice = (chunk.get("choices") or [{}])[0]
        self._finish = choice.get("finish_reason") or self._finish
        yield from self._delta(choice.get("delta") or {})

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[Event]:
        if thought := delta.get("reasoning_content") or delta.get("reasoning"):
            yield from self._grow(("rs", 0), str(thought))
        if content := delta.get("content"):
            yield from self._grow(("msg", 0), str(content))
        if refusal := delta.get("refusal"):
            yield from self._grow(("refusal", 0), str(refusal))
        for at, call in enumerate(delta.get("tool_calls") or ()):
            function = call.get("function") or {}
            known = {"call_id": call.get("id"), "name": function.get("name")}
            yield from self._grow(("fc", call.get("index", at)), function.get("arguments") or "", **known)

    def _grow(self, key: tuple[str, int], piece: str, **known: Any) -> Iterator[Event]:
        """Add to the part with this key; another that was open has ended."""
        if self._open is None or self._open.key != key:
            yield from self._close()
            self._open = self._part(key, known)
            yield from self._open.begin()
        if piece:
            yield from self._open.add(piece)

    def _part(self, key: tuple[str, int], known: Mapping[str, Any]) -> _Part:
        at = len(self._done)
        if key[0] == "fc":
            return _Call(key, self._frame.item_id("fc", at), at, known.get("call_id"), known.get("name"))
        if key[0] == "rs":
            return _Thought(key, self._frame.item_id("rs", at), at)
        return _Words(key, self._frame.item_id("msg", at), at)

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

    def _failed(self, error: Mapping[str, Any]) -> Iterator[Event]:
        failure = {"code": error.get("code") or "server_error", "message": error.get("message") or ""}
        output = [*self._done, *([self._open.item] if self._open else [])]
        yield "response.failed", {"response": self._frame.response("failed", output, error=failure)}


class _Growing(ABC):
    """What all parts share."""

    def __init__(self, key: tuple[str, int], item_id: str, at: int) -> None:
        self.key = key
        self._id = item_id
        self._at = at
        self._text = ""

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": self._at}

    @property
    @abstractmethod
    def item(self) -> Item:
        """The whole of it, as far as it has come."""

    def _added(self, item: Item) -> Event:
        return "response.output_item.added", {"output_index": self._at, "item": item}

    def _ended(self) -> Event:
        return "response.output_item.done", {"output_index": self._at, "item": self.item}


class _Words(_Growing):
    """A message: the words of an answer, or of a refusal."""

    @property
    def item(self) -> Item:
        return spoken(self._id, [self._content])

    @property
    def _refuses(self) -> bool:
        return self.key[0] == "refusal"

    @property
    def _content(self) -> Item:
        return {"type": "refusal", "refusal": self._text} if self._refuses else text_part(self._text)

    @property
    def _place(self) -> dict[str, Any]:
        return {**super()._place, "content_index": 0}

    @property
    def _kind(self) -> str:
        return "response.refusal" if self._refuses else "response.output_text"

    def begin(self) -> Iterator[Event]:
        yield self._added(spoken(self._id, [], "in_progress"))
        yield "response.content_part.added", {**self._place, "part": self._content}

    def add(self, piece: str) -> Iterator[Event]:
        self._text += piece
        yield f"{self._kind}.delta", {**self._place, "delta": piece, **({} if self._refuses else {"logprobs": []})}

    def end(self) -> Iterator[Event]:
        whole = {"refusal": self._text} if self._refuses else {"text": self._text, "logprobs": []}
        yield f"{self._kind}.done", {**self._place, **whole}
        yield "response.content_part.done", {**self._place, "part": self._content}
        yield self._ended()


class _Thought(_Growing):
    """What a model thinks before it answers."""

    @property
    def item(self) -> Item:
        return reasoning(self._id, self._text)

    @property
    def _place(self) -> dict[str, Any]:
        return {**super()._place, "content_index": 0}

    def begin(self) -> Iterator[Event]:
        yield self._added(reasoning(self._id, "", "in_progress"))

    def add(self, piece: str) -> Iterator[Event]:
        self._text += piece
        yield "response.reasoning_text.delta", {**self._place, "delta": piece}

    def end(self) -> Iterator[Event]:
        yield "response.reasoning_text.done", {**self._place, "text": self._text}
        yield self._ended()


class _Call(_Growing):
    """A call of a function."""

    def __init__(self, key: tuple[str, int], item_id: str, at: int, call_id: str | None, name: str | None) -> None:
        super().__init__(key, item_id, at)
        self._call_id, self._name = call_id, name

    @property
    def item(self) -> Item:
        return called(self._id, self._call_id, self._name, self._text)

    def begin(self) -> Iterator[Event]:
        yield self._added({**self.item, "status": "in_progress"})

    def add(self, piece: str) -> Iterator[Event]:
        self._text += piece
        yield "response.function_call_arguments.delta", {**self._place, "delta": piece}

    def end(self) -> Iterator[Event]:
        yield (
            "response.function_call_arguments.done",
            {**self._place, "name": self._name or "", "arguments": self._text},
        )
        yield self._ended()
