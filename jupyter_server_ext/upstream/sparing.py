"""Parts of a request that a server refuses and an answer can do without: left out when it is asked again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection

    from jupyter_server_ext.messages import Json

    from .failures import Failure

Part = Literal["stream_options", "system"]

_REFUSED = frozenset({400, 404, 422, 500, 501})  # some templates fail where others refuse
_SYSTEM = frozenset({"system", "developer"})
# As servers word that a model's template has no such role. The request must have it, too.
_NO_SYSTEM = re.compile(
    r"\b(system|developer)\W+(role|message|prompt|instruction)s?\b.{0,40}\bnot\W+(supported|allowed|enabled|permitted)"
    r"|\bnot support\w*\W.{0,30}\b(system|developer)\b|roles? .{0,5}\b(system|developer)\b.{0,30}\bnot\b",
    re.IGNORECASE | re.DOTALL,
)
# And that a role is not one of two, whichever it is.
_TWO_ROLES = re.compile(
    r"only user and assistant roles|roles must alternate|should be 'user' or 'assistant'", re.IGNORECASE
)


def refused_part(failure: Failure, body: Json, *, asks_usage: bool) -> Part | None:
    """The part of a request that a refusal is about, and that an answer can do without.

    Example:
        >>> from jupyter_server_ext.upstream.failures import classify
        >>> failure = classify(400, b'{"error": {"message": "System role not supported"}}')
        >>> refused_part(failure, {"messages": [{"role": "system", "content": "Be brief."}]}, asks_usage=True)
        'system'
    """
    if failure.status not in _REFUSED:
        return None
    words = f"{failure.param} {failure.message}"
    if asks_usage and ("stream_options" in words or "include_usage" in words):
        return "stream_options"
    roles = {each.get("role") for each in _messages(body)}
    if not roles & _SYSTEM:
        return None
    is_told_apart = roles - _SYSTEM <= {"user", "assistant"}  # results of tools may be what such a server does not take
    return "system" if _NO_SYSTEM.search(words) or (is_told_apart and _TWO_ROLES.search(words)) else None


def without_system(body: Json) -> Json:
    r"""A request whose first message of the user begins with what its system messages say.

    Example:
        >>> asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
        >>> without_system({"messages": asked})["messages"]
        [{'role': 'user', 'content': 'Be brief.\n\nWhy?'}]
    """
    messages = _messages(body)
    rules = "\n\n".join(_text(each.get("content")) for each in messages if each.get("role") in _SYSTEM)
    others = [dict(each) for each in messages if each.get("role") not in _SYSTEM]
    first = next((each for each in others if each.get("role") == "user"), None)
    if first is None:
        others.insert(0, {"role": "user", "content": rules})
    elif isinstance(first.get("content"), list):
        first["content"] = [{"type": "text", "text": rules}, *first["content"]]
    else:
        first["content"] = f"{rules}\n\n{first.get('content') or ''}"
    return {**body, "messages": others}


def spared(body: Json, parts: Collection[str]) -> Json:
    """A request without the parts; a usage that nobody is asked for is estimated."""
    sent = without_system(body) if "system" in parts else body
    return {name: value for name, value in sent.items() if name != "stream_options" or name not in parts}


def _messages(body: Json) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if isinstance(messages, msgspec.Raw):
        messages = msgspec.json.decode(messages)
    return [each for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
