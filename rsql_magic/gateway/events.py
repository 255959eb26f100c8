"""What a reply is read as: ``Waiting``, ``Text`` and ``Done``, from a stream of server-sent events or a whole body."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import AnswerCut, GatewayError
from rsql_magic.gateway.refusals import error_of, not_a_gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    import httpx

_QUEUED = re.compile(r"queued position=(\d+) eta=([\d.]+)")


@dataclass(frozen=True, slots=True)
class Waiting:
    """The request is in the gateway's queue: its place (1 is next) and the expected wait in seconds."""

    position: int
    eta: float


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete.

    Args:
        usage: Tokens, as the wire has them: ``prompt_tokens``, ``completion_tokens``, ….
        rsql: What the gateway adds: ``request_id``, ``queue_seconds``, ``cached``, ``cost_usd``, ….
        finish_reason: ``stop``, or ``length`` when the model ran out of tokens.
        model: The model that answered.
        limits: What is left of the caller's limits, from the ``x-ratelimit-*`` headers, by their short names.
    """

    usage: Mapping[str, Any] = field(default_factory=dict)
    rsql: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str = ""
    model: str = ""
    limits: Mapping[str, str] = field(default_factory=dict)


Event = Waiting | Text | Done


def events_of(
    response: httpx.Response, heard: Callable[[Iterable[str]], Iterable[str]] = iter
) -> Generator[Event, None, None]:
    """Events of a reply, streamed or in one piece.

    Args:
        response: The reply.
        heard: Passes its lines on, and raises where there are none for too long.

    Raises:
        AnswerCut: It ended before it was complete.
        GatewayError: It is no completion.
    """
    limits = {
        name.removeprefix("x-ratelimit-"): value
        for name, value in response.headers.items()
        if name.startswith("x-ratelimit-")
    }
    if "event-stream" not in response.headers.get("content-type", ""):
        response.read()
        yield from _whole(response, limits)
        return
    yield from parse_sse(
        heard(response.iter_lines()), request_id=response.headers.get("x-request-id", ""), limits=limits
    )


def parse_sse(
    lines: Iterable[str], *, request_id: str = "", limits: Mapping[str, str] | None = None
) -> Generator[Event, None, None]:
    """Events of a completion stream.

    Args:
        lines: The lines of the body; comments, blank lines and fields other than ``data`` are allowed.
        request_id: The request's id from the headers, when the stream does not say.
        limits: What the headers say is left.

    Raises:
        AnswerCut: The stream ended without ``[DONE]``, or with an error event after its first word.
        GatewayError: An error event came before any word.

    Example:
        >>> list(parse_sse([": queued position=4 eta=6.2", "data: [DONE]"]))[0]
        Waiting(position=4, eta=6.2)
    """
    import httpx

    told: dict[str, Any] = {"usage": {}, "rsql": {}, "finish_reason": "", "model": ""}
    partial: list[str] = []
    try:
        for line in lines:
            if waiting := _QUEUED.search(line) if line.startswith(":") else None:
                yield Waiting(int(waiting[1]), float(waiting[2]))
            data = line[5:].strip() if line.startswith("data:") else ""
            if data == "[DONE]":
                yield Done(**{**told, "rsql": {"request_id": request_id, **told["rsql"]}, "limits": dict(limits or {})})
                return
            if data and (text := _read_chunk(_record(json.loads(data)), told)):
                partial.append(text)
                yield Text(text)
    except GatewayError as error:
        if not partial or isinstance(error, AnswerCut):
            raise  # nothing was cut, for nothing came; or it was cut on purpose, and says why
        raise _cut("".join(partial), error.message, error.request_id or request_id, error.code) from error
    except (httpx.TransportError, ValueError, RecursionError) as error:  # no JSON, or too deep
        if not partial and isinstance(error, httpx.TimeoutException):
            raise
        raise _cut("".join(partial), "", request_id) from error
    raise _cut("".join(partial), "", request_id)


def _read_chunk(chunk: dict[str, Any], told: dict[str, Any]) -> str:
    """Note what one chunk tells and give back its text."""
    if chunk.get("error"):
        raise error_of(0, json.dumps(chunk), {}, "")
    told["model"] = _words(chunk.get("model")) or told["model"]
    told["usage"] = _counts(chunk.get("usage")) or told["usage"]
    told["rsql"] = _record(chunk.get("rsql")) or told["rsql"]
    choice = _first(chunk.get("choices"))
    told["finish_reason"] = _words(choice.get("finish_reason")) or told["finish_reason"]
    return _said(_record(choice.get("delta")))


# What endpoints send in place of what the protocol has: anything that is not understood counts as not said.


def _record(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(choices: Any) -> dict[str, Any]:
    return _record(choices[0]) if isinstance(choices, list) and choices else {}


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _counts(usage: Any) -> dict[str, Any]:
    """Usage whose numbers are numbers."""
    numbers = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: value for name, value in _record(usage).items() if name not in numbers or type(value) in {int, float}}


def _said(message: dict[str, Any]) -> str:
    """The text of a message or a piece of one, also in parts; a refusal where that is all."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_words(part if isinstance(part, str) else _record(part).get("text")) for part in content)
    return (_words(content) or _words(message.get("refusal"))).encode("utf-8", "replace").decode()


def _whole(response: httpx.Response, limits: Mapping[str, str]) -> Generator[Event, None, None]:
    """Events of an endpoint that answers a request for a stream in one piece."""
    try:
        body = _record(response.json())
        choice = _record(body["choices"][0])
        message = choice["message"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise not_a_gateway(str(response.request.url), response.status_code) from None
    yield Text(_said(_record(message)))
    rsql = {"request_id": response.headers.get("x-request-id", ""), **_record(body.get("rsql"))}
    yield Done(_counts(body.get("usage")), rsql, _words(choice.get("finish_reason")), _words(body.get("model")), limits)


def _cut(partial: str, why: str, request_id: str, code: str = "answer_cut") -> AnswerCut:
    error = AnswerCut(
        f"The answer was cut off. {why}" if why else "The answer was cut off before it was complete.",
        hint="" if " again" in why else "Run the cell again.",
        code=code,
        request_id=request_id,
    )
    error.partial = partial
    return error
