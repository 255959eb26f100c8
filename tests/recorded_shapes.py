"""Streams in the shapes in which providers send them: how they frame events, begin, think, end and fail."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rsql_magic.gateway.finishes import Ending

SAID = "There are 3 orders."
THOUGHT = "Hm: 2, or 3?"


@dataclass(frozen=True)
class Shape:
    """How a provider's streams look."""

    provider: str
    whole: str = "stop"
    length: str = "length"
    filtered: str = "content_filter"
    failed: str = "error"
    data: str = "data: "
    line: str = "\n"
    done: bool = True  # whether ``[DONE]`` ends it
    role_first: bool = True  # whether an event without text begins it
    usage: str = "apart"  # where it is told: ``apart``, with the ``last`` event, by ``x_groq``, or not at all
    thinks: str = "<think>"  # how a model's thoughts begin; empty where the prompt has begun them
    thought: str = "</think>"
    comment: str = ""  # that keeps a connection alive
    lines: bool = False  # whether JSON is spread over lines
    event: str = ""  # a field before the data
    null_reason: bool = True  # whether each event has a finish reason, most of them null


SHAPES = [
    Shape("OpenAI"),
    Shape("Azure", usage="last", event="event: completion"),
    Shape("Anthropic", "end_turn", "max_tokens", "refusal", "pause_turn", null_reason=False),
    Shape("Gemini", "STOP", "MAX_TOKENS", "SAFETY", "OTHER", usage="last", line="\r\n", role_first=False),
    Shape("Mistral", "stop", "model_length", usage="last", thinks="[THINK]", thought="[/THINK]"),
    Shape("Cohere", "COMPLETE", "MAX_TOKENS", "ERROR_TOXIC", "ERROR", done=False),
    Shape("DeepSeek", failed="insufficient_system_resource", comment=": keep-alive", thinks=""),
    Shape("Together", "eos", thinks="", usage="last"),
    Shape("Hugging Face", "eos_token", data="data:", role_first=False, usage="no"),
    Shape("OpenRouter", comment=": OPENROUTER PROCESSING", thinks="<thinking>", thought="</thinking>"),
    Shape("Groq", usage="x_groq"),
    Shape("vLLM", failed="abort", thinks=""),
    Shape("llama.cpp", usage="last", thinks=""),
    Shape("Ollama", usage="no", thinks="<thought>", thought="</thought>"),
    Shape("Bedrock", "end_turn", "max_tokens", "guardrail_intervened", "malformed_model_output", lines=True),
    Shape(
        "watsonx", "eos_token", "token_limit", "moderation", "cancelled", event="id: 7\nevent: message", usage="last"
    ),
]


@dataclass(frozen=True)
class Recorded:
    """A stream, and what it means: a text and how it ended, or a failure."""

    name: str
    stream: bytes
    text: str
    ending: Ending | str  # ``error`` for a failure that is told
    thinks: bool = False


def _event(shape: Shape, chunk: dict[str, Any]) -> str:
    text = json.dumps(chunk, indent=1 if shape.lines else None)
    data = [f"{shape.data}{line}" for line in text.split("\n")]
    before = shape.event.split("\n") if shape.event else []
    return shape.line.join([*before, *data, "", ""])


def _chunk(shape: Shape, delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    finish = {"finish_reason": reason} if reason or shape.null_reason else {}
    choice = {"index": 0, "delta": delta, **finish, **more}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def _stream(shape: Shape, pieces: list[str], reason: str, behind: str = "") -> bytes:
    events = [_chunk(shape, {"role": "assistant", "content": ""})] if shape.role_first else []
    events += [_chunk(shape, {"content": piece}) for piece in pieces]
    counts = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    last = _chunk(shape, {}, reason)
    last |= (
        {"usage": counts} if shape.usage == "last" else {"x_groq": {"usage": counts}} if shape.usage == "x_groq" else {}
    )
    events.append(last)
    if shape.usage == "apart":
        events.append({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": counts})
    framed = [_event(shape, chunk) for chunk in events]
    comment = f"{shape.comment}{shape.line}{shape.line}" if shape.comment else ""
    end = f"data: [DONE]{shape.line}{shape.line}" if shape.done else ""
    return (comment.join(["", *framed]) + end + behind).encode()


def _failing(shape: Shape, *, inside: bool) -> bytes:
    """A stream that tells an error after its first words: within a choice, or beside them."""
    error = {"code": 502, "message": "The machine is gone."}
    start = _event(shape, _chunk(shape, {"content": "There "}))
    end = _chunk(shape, {"content": ""}, "error", error=error) if inside else {"error": error}
    return (start + _event(shape, end) + "data: [DONE]\n\n").encode()


def recorded() -> Iterator[Recorded]:
    """The library: each shape with each way in which an answer goes on and ends."""
    words = SAID.split(" ")
    pieces = [f"{word} " for word in words[:-1]] + words[-1:]
    for shape in SHAPES:
        name = shape.provider
        endings = {"whole": shape.whole, "length": shape.length, "filter": shape.filtered}
        for ending, reason in endings.items():
            yield Recorded(f"{name}, {reason}", _stream(shape, pieces, reason), SAID, ending)
        failed = "unknown" if shape.failed == "malformed_model_output" else "failed"
        if shape.failed == "error":
            failed = "error"
        yield Recorded(f"{name}, {shape.failed}", _stream(shape, pieces, shape.failed), SAID, failed)
        thoughts = [shape.thinks, THOUGHT, f"\n{shape.thought}\n\n", *pieces]
        stream = _stream(shape, [piece for piece in thoughts if piece], shape.whole)
        yield Recorded(f"{name}, thoughts", stream, SAID, "whole", thinks=True)
        yield Recorded(f"{name}, told error in a choice", _failing(shape, inside=True), "There ", "error")
        yield Recorded(f"{name}, told error", _failing(shape, inside=False), "There ", "error")
        if shape.done:
            behind = _event(shape, _chunk(shape, {"content": "Ignore that."}))
            yield Recorded(f"{name}, behind the end", _stream(shape, pieces, shape.whole, behind), SAID, "whole")
