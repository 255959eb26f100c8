"""``POST v1/responses``: OpenAI's newer protocol, which some clients speak by default, over chat completions."""

# A request is translated into one of chat completions, and its answer back (``response_events``), so limits, keys,
# queue and ledger know only one kind of request. Nothing is stored: a request brings its own history.
# What has no counterpart is refused by name rather than dropped: tools that OpenAI runs itself, answers kept by OpenAI.
# https://platform.openai.com/docs/api-reference/responses

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.handlers.completions import RelayHandler
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.requests import check_amount
from jupyter_server_ext.handlers.response_events import EventTranslator, ResponseFrame, response_of
from jupyter_server_ext.identity import needs_scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SAME = ("model", "stream", "temperature", "top_p", "parallel_tool_calls", "user", "service_tier", "seed", "verbosity")
_KEPT_ELSEWHERE = {
    "previous_response_id": "The gateway keeps no responses. Send the earlier turns in 'input'.",
    "conversation": "The gateway keeps no conversations of this kind. Send the earlier turns in 'input'.",
    "prompt": "The gateway keeps no prompts. Send the text in 'instructions'.",
    "background": "The gateway answers at once or as a stream. Leave 'background' out.",
}


class Responses(RelayHandler):
    """``POST v1/responses``."""

    @needs_scope("chat")
    @described(dict[str, Any])
    async def post(self) -> None:
        """Answer as OpenAI's Responses API does, as a stream of its events or whole. Functions are the only tools."""
        read = await self.read_body(chat_body)
        request = self.chat_request(read)
        frame = ResponseFrame(self.request_id, request.model, read.sent, int(time.time()))
        translate = EventTranslator(frame)
        await self.relay(request, lambda reply: response_of(reply, frame), translate.feed)


def chat_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The chat completion that asks the same as the JSON object of a Responses request."""
    for name, advice in _KEPT_ELSEWHERE.items():
        if body.get(name):
            raise BadRequest(f"'{name}' does not work here. {advice}", param=name)
    asked = {name: body[name] for name in _SAME if body.get(name) is not None}
    text = body.get("instructions")
    if text is not None and not isinstance(text, str):
        raise BadRequest("'instructions' must be text.", param="instructions")
    system = [{"role": "system", "content": text}] if text else []
    asked["messages"] = [*system, *_messages(body.get("input"))]
    asked |= _limits(body) | _tools(body) | _text(body)
    if body.get("stream"):
        asked["stream_options"] = {"include_usage": True}
    return asked


def _limits(body: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    check_amount(body, "max_output_tokens")
    if body.get("max_output_tokens") is not None:
        asked["max_completion_tokens"] = body["max_output_tokens"]
    if effort := _object(body, "reasoning").get("effort"):
        asked["reasoning_effort"] = effort
    if body.get("top_logprobs"):
        asked |= {"logprobs": True, "top_logprobs": body["top_logprobs"]}
    return asked


def _messages(given: Any) -> list[dict[str, Any]]:
    # The messages that the input stands for; calls that follow each other are one message of the assistant.
    if isinstance(given, str) and given:
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise BadRequest("'input' is missing: a text, or a list of messages.", param="input")
    messages: list[dict[str, Any]] = []
    for at, item in enumerate(given):
        place = f"input[{at}]"
        if not isinstance(item, dict):
            raise BadRequest(f"'{place}' must be an object.", param=place)
        for message in _message(item, place):
            last = messages[-1] if messages else {}
            if "tool_calls" in message and last.get("role") == "assistant":
                last.setdefault("tool_calls", []).extend(message["tool_calls"])
            else:
                messages.append(message)
    return messages


def _message(item: Mapping[str, Any], place: str) -> Iterator[dict[str, Any]]:
    kind = item.get("type", "message")
    if kind == "message":
        yield _spoken(item, place)
    elif kind == "function_call":
        function = {"name": item.get("name", ""), "arguments": item.get("arguments") or "{}"}
        call = {"id": item.get("call_id", ""), "type": "function", "function": function}
        yield {"role": "assistant", "content": None, "tool_calls": [call]}
    elif kind == "function_call_output":
        output = item.get("output")
        content = output if isinstance(output, str) else _flat(_parts(output, f"{place}.output"))
        yield {"role": "tool", "tool_call_id": item.get("call_id", ""), "content": content}
    elif kind != "reasoning":  # which no chat completion takes back
        raise BadRequest(f"'{place}' is of the type {kind!r}, which does not work here.", param=f"{place}.type")


def _spoken(item: Mapping[str, Any], place: str) -> dict[str, Any]:
    role = item.get("role")
    if not isinstance(role, str):
        raise BadRequest(f"'{place}.role' must be text such as \"user\".", param=f"{place}.role")
    content = item.get("content")
    if not isinstance(content, str):
        parts = _parts(content, f"{place}.content")
        content = parts if role == "user" and any(part["type"] != "text" for part in parts) else _flat(parts)
    # ``developer`` is OpenAI's newer name, which other providers do not know.
    return {"role": "system" if role == "developer" else role, "content": content}


def _flat(parts: list[dict[str, Any]]) -> str:
    return "".join(part.get("text", "") for part in parts)


def _parts(content: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(content, list):
        raise BadRequest(f"'{place}' must be text or a list of parts.", param=place)
    return [_part(part, f"{place}[{at}]") for at, part in enumerate(content)]


def _part(part: Any, place: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in {"input_text", "output_text", "text"}:
        return {"type": "text", "text": str(part.get("text") or "")}
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal") or "")}
    if kind == "input_image" and part.get("image_url"):
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
    if kind == "input_file" and part.get("file_data"):
        return {"type": "file", "file": {name: part[name] for name in ("filename", "file_data") if part.get(name)}}
    raise BadRequest(f"'{place}' is of the type {kind!r}, which does not work here.", param=place)


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise BadRequest("'tools' must be a list.", param="tools")
    asked: dict[str, Any] = {"tools": [_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools)]} if tools else {}
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        if choice.get("type") != "function":
            raise BadRequest("'tool_choice' names a kind of tool that does not work here.", param="tool_choice")
        choice = {"type": "function", "function": {"name": choice.get("name", "")}}
    return asked | ({"tool_choice": choice} if tools and choice is not None else {})


def _tool(tool: Any, place: str) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind != "function":
        words = f"'{place}' is a tool of the type {kind!r}; here only functions work, which the client runs."
        raise BadRequest(words, param=f"{place}.type")
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in names if tool.get(name) is not None}}


def _text(body: Mapping[str, Any]) -> dict[str, Any]:
    text = _object(body, "text")
    wanted = text.get("format") or {}
    asked = {"verbosity": text["verbosity"]} if text.get("verbosity") else {}
    if wanted.get("type") == "json_schema":
        names = ("name", "description", "schema", "strict")
        schema = {name: wanted[name] for name in names if wanted.get(name) is not None}
        return asked | {"response_format": {"type": "json_schema", "json_schema": schema}}
    return asked | ({"response_format": {"type": "json_object"}} if wanted.get("type") == "json_object" else {})


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadRequest(f"'{name}' must be an object.", param=name)
    return value or {}
