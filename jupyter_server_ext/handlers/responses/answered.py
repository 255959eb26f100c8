"""From a chat completion to a Response: https://platform.openai.com/docs/api-reference/responses/object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Item = dict[str, Any]
"""One part of a response's output: a message, a call of a function, or the reasoning before them."""

_UNFINISHED = {"length": "max_output_tokens", "content_filter": "content_filter"}


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
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "metadata": asked.get("metadata") or {},
            "model": self.model,
            "output": list(output),
            "parallel_tool_calls": asked.get("parallel_tool_calls") is not False,
            "previous_response_id": None,
            "reasoning": asked.get("reasoning") or {"effort": None, "summary": None},
            "store": False,
            "temperature": asked.get("temperature"),
            "text": asked.get("text") or {"format": {"type": "text"}},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": asked.get("tools") or [],
            "top_p": asked.get("top_p"),
            "truncation": "disabled",
            "usage": None,
            "user": asked.get("user"),
            **known,
        }

    def item_id(self, prefix: str, at: int) -> str:
        """The id of the output's part at a place."""
        return f"{prefix}_{self.request_id}_{at}"

    def ended(self, output: Sequence[Item], finish: str | None, completion: Mapping[str, Any]) -> dict[str, Any]:
        """The response when the answer has ended."""
        reason = _UNFINISHED.get(finish or "")
        known: dict[str, Any] = {"incomplete_details": {"reason": reason}} if reason else {}
        known |= {"model": completion["model"]} if completion.get("model") else {}
        known |= {"rsql": completion["rsql"]} if completion.get("rsql") else {}
        return self.response(
            "incomplete" if reason else "completed", output, usage=_usage(completion.get("usage") or {}), **known
        )


def response_of(reply: bytes, frame: ResponseFrame) -> bytes:
    """The response that a whole completion makes."""
    completion = msgspec.json.decode(reply)
    choice = (completion.get("choices") or [{}])[0]
    return msgspec.json.encode(
        frame.ended(_items(choice.get("message") or {}, frame), choice.get("finish_reason"), completion)
    )


def _items(message: Mapping[str, Any], frame: ResponseFrame) -> list[Item]:
    items: list[Item] = []
    if thought := message.get("reasoning_content") or message.get("reasoning"):
        items.append(reasoning(frame.item_id("rs", 0), str(thought)))
    content, refusal = message.get("content"), message.get("refusal")
    calls = message.get("tool_calls") or []
    if content or refusal or not calls:
        parts = [text_part(str(content or ""))] if content or not refusal else []
        parts += [{"type": "refusal", "refusal": str(refusal)}] if refusal else []
        items.append(spoken(frame.item_id("msg", len(items)), parts))
    for call in calls:
        function = call.get("function") or {}
        made = called(frame.item_id("fc", len(items)), call.get("id"), function.get("name"), function.get("arguments"))
        items.append(made)
    return items


def spoken(item_id: str, parts: list[Item], status: str = "completed") -> Item:
    """A message of the assistant."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": parts}


def text_part(text: str) -> Item:
    """Words in a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def reasoning(item_id: str, text: str, status: str = "completed") -> Item:
    """What a model thought before it answered."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    return {"id": item_id, "type": "reasoning", "status": status, "summary": [], "content": content}


def called(
    item_id: str, call_id: str | None, name: str | None, arguments: str | None, status: str = "completed"
) -> Item:
    """A call of a function, which the client is to run."""
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call_id or item_id,
        "name": name or "",
        "arguments": arguments or "",
    }


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": read + written,
    }
