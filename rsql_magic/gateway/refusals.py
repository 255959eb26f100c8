"""What the gateway refuses, as one of our errors: what went wrong, and what to do next."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import GatewayError, LimitReached, NotAllowed, UnknownModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rsql_magic.gateway.client import Message

# What to do next, by the `code` of a reply.
HINTS = {
    "invalid_token": "Check RSQL_GATEWAY_TOKEN. %rsql connect URL --token-from NAME takes another token.",
    "not_permitted": "Ask your administrator for the permission.",
    "model_not_found": "%rsql models lists the models there are.",
    "rate_limit_exceeded": "%rsql usage shows your limits.",
    "no_capacity": "%rsql status shows keys and queue.",
    "request_too_large": "Ask about fewer objects, or lower %config Rsql.context_tokens.",
    "invalid_request": "%rsql doctor checks the gateway.",
    "upstream_refused": "The words are the provider's; try another --model.",
    "upstream_failed": "Try again, or another --model.",
    "upstream_timeout": "Try again, or another --model.",
    "internal_error": "%rsql doctor checks the gateway.",
    "ledger_unavailable": "The administrator must see to the gateway's ledger; its log says what is wrong.",
    "config_error": "The administrator's rsql.toml needs a look.",
}

# As servers word that a model's template has no system role.
_NO_SYSTEM = re.compile(
    r"\b(system|developer)\W+(role|message|prompt|instruction)s?\b.{0,40}\bnot\W+(supported|allowed|enabled|permitted)"
    r"|\bnot support\w*\W.{0,30}\b(system|developer)\b|roles? .{0,5}\b(system|developer)\b.{0,30}\bnot\b",
    re.IGNORECASE | re.DOTALL,
)
# And that a role is not one of two, whichever it is.
_TWO_ROLES = re.compile(r"only user and assistant roles|roles must alternate|should be 'user' or 'assistant'", re.I)

NO_GATEWAY = frozenset({502, 503, 504})
"""What a proxy replies where nothing answers behind it."""

# What in a notebook does the same as a route that a reply names.
_ROUTES = {"GET v1/models": "%rsql models", "GET keys": "%rsql keys", "GET v1/batches": "rsql jobs"}


def not_a_gateway(url: str, status: int) -> GatewayError:
    """The error for a reply that no gateway and no compatible endpoint gives."""
    return GatewayError(
        f"{url} answers (HTTP {status}), but not as a gateway.",
        hint="The base URL of a gateway ends in /rsql/, of another endpoint just before /v1.",
        status=status,
    )


def error_of(status: int, body: str, headers: Mapping[str, str], url: str) -> GatewayError:
    """The error that a refusal stands for; status 0 is an error event inside a stream."""
    # OpenAI's shape of a body is understood, anything else is not shown; headers hold `Retry-After` and the id.
    error = _error_object(body)
    code = str(error.get("code") or "")
    kinds = {401: NotAllowed, 403: NotAllowed, 429: LimitReached}
    kind = UnknownModel if code == "model_not_found" else kinds.get(status, GatewayError)
    retry_after = None
    with suppress(TypeError, ValueError):  # the header may also be a date
        retry_after = float(error.get("retry_after", headers.get("retry-after", "")))
    message = str(error.get("message") or "").strip() or _plain_words(status, url)
    if retry_after is not None and "retry" not in message.lower() and "again in" not in message.lower():
        message = f"{message.removesuffix('Try again later.').rstrip(' .')}. Try again in {_span(retry_after)}."
    for route, magic in _ROUTES.items():
        message = message.replace(route, magic)
    request_id = str(error.get("request_id") or headers.get("x-request-id", ""))
    if status >= 500 and request_id:
        message = f"{message.rstrip('.')} (request {request_id})"
    # A refusal with a code of its own, such as of a quota that is used up, says itself what to do.
    by_status = {401: "invalid_token"} if code else {401: "invalid_token", 403: "not_permitted"}
    hint = HINTS.get(code) or HINTS.get(by_status.get(status, ""), "")
    if code == "invalid_request" and error.get("param"):
        hint = ""  # the message says which field is wrong, so it is not the gateway
    # The gateway's message gives the same advice where it has the first two words of it.
    advice, words = (re.findall(r"[%\w]+", text) for text in (hint, message))
    hint = "" if hint and " ".join(advice[:2]) in " ".join(words) else hint
    if status in NO_GATEWAY and url and not error.get("message"):
        hint = "%rsql doctor finds out why."
    message += "" if message.endswith((".", "!", "?")) else "."
    return kind(message, hint=hint, status=status, code=code, request_id=request_id, retry_after=retry_after)


def refuses_system(error: GatewayError, messages: Sequence[Message]) -> bool:
    """Whether a refusal is of the system role, which the messages have."""
    # Some templates fail where others refuse.
    if error.status not in {400, 404, 422, 500, 501}:
        return False
    others = {message["role"] for message in messages} - {"system"}
    if len(others) == len({message["role"] for message in messages}):
        return False
    # Results of tools may be what a server of two roles does not take.
    is_told_apart = others <= {"user", "assistant"}
    return bool(_NO_SYSTEM.search(error.message) or (is_told_apart and _TWO_ROLES.search(error.message)))


def without_system(messages: Sequence[Message]) -> list[Message]:
    r"""Messages whose first one of the user begins with what the system's say.

    Example:
        >>> without_system([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}])
        [{'role': 'user', 'content': 'Be brief.\n\nWhy?'}]
    """
    rules = [message["content"] for message in messages if message["role"] == "system"]
    others = [message.copy() for message in messages if message["role"] != "system"]
    place = next((place for place, message in enumerate(others) if message["role"] == "user"), None)
    if place is None:
        return [{"role": "user", "content": "\n\n".join(rules)}, *others]
    said = others[place]["content"]
    text = "\n\n".join(rules)
    others[place]["content"] = (
        [{"type": "text", "text": text}, *said] if isinstance(said, list) else f"{text}\n\n{said}"
    )
    return others


# The `error` object of a body in OpenAI's shape, or the `detail` that some endpoints give in its place.
def _error_object(body: str) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    if isinstance(parsed, dict) and isinstance(parsed.get("checks"), dict):  # what ``health`` says, with a 503
        checks = ", ".join(f"{name} {state}" for name, state in parsed["checks"].items())
        return {"message": f"The gateway is {parsed.get('status')}: {checks}."}
    error = (parsed.get("error") or parsed.get("detail")) if isinstance(parsed, dict) else None
    return error if isinstance(error, dict) else {"message": error or ""}


def _plain_words(status: int, url: str) -> str:
    if status in NO_GATEWAY and url:
        return f"No gateway answers at {url}; a proxy before it says so (HTTP {status})."
    return {
        401: f"{url} does not accept the token.",
        403: f"{url} does not permit this.",
        404: f"There is no gateway at {url}; its base URL ends in /rsql/.",
        429: "Too many requests.",
    }.get(status, f"The gateway failed (HTTP {status})." if status else "The gateway failed.")


# A time in words: `8 s`, `3 min`, `2 h`.
def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"
