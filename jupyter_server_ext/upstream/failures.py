"""What can go wrong at a provider, what follows for the key and for the request: one table, read by everything else.

A failure is named from the status, the code, the type and the words of the provider's error, most specific first. What
is not recognised is taken by its status alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from jupyter_server_ext.errors import (
    NoCapacity,
    RsqlGatewayError,
    TooLarge,
    UnknownModel,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)

Kind = Literal[
    "rate_limit",
    "quota_exhausted",
    "credential",
    "no_access",
    "model_gone",
    "caller_fault",
    "context_length",
    "content_filter",
    "overloaded",
    "timeout",
    "silence",
    "connection",
    "malformed",
]

ForKey = Literal["none", "rest", "limit", "until_reset", "not_this_model", "retire"]
"""``rest`` a little, longer each time, then one request tries it; ``limit`` until the provider's instant, for the
quota group; ``until_reset`` the same, an hour where it names none; ``not_this_model`` for an hour; ``retire`` until resumed."""

ForRequest = Literal["retry", "elsewhere", "other_model", "stop"]
"""``retry`` with any key that can; ``elsewhere``: another address, then another model, then the same address;
``other_model`` only a fallback can help; ``stop`` and say the provider's reason."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """One row: what follows from a kind of failure, and what the caller is told when nothing else helps."""

    key: ForKey
    request: ForRequest
    error: type[RsqlGatewayError]
    words: str


TABLE: dict[Kind, Consequence] = {
    "rate_limit": Consequence("limit", "retry", NoCapacity, "The provider's rate limit is reached."),
    "quota_exhausted": Consequence("until_reset", "retry", NoCapacity, "The provider's quota is used up."),
    "credential": Consequence("retire", "retry", UpstreamFailed, "The provider does not accept the gateway's key."),
    "no_access": Consequence("not_this_model", "retry", UpstreamFailed, "The gateway's keys may not use this model."),
    "model_gone": Consequence("not_this_model", "retry", UnknownModel, "The provider no longer has this model."),
    "caller_fault": Consequence("none", "stop", UpstreamRefused, "The provider found the request at fault."),
    "context_length": Consequence("none", "other_model", UpstreamRefused, "The request is too long for the model."),
    "content_filter": Consequence(
        "none", "stop", UpstreamRefused, "The provider's content filter refused the request."
    ),
    "overloaded": Consequence("rest", "retry", UpstreamFailed, "The provider failed."),
    "timeout": Consequence("rest", "elsewhere", UpstreamTimeout, "The provider did not answer in time."),
    "silence": Consequence("rest", "elsewhere", UpstreamTimeout, "The provider began an answer and fell silent."),
    "connection": Consequence("rest", "retry", UpstreamFailed, "The connection to the provider broke."),
    "malformed": Consequence("rest", "retry", UpstreamFailed, "The provider's answer was damaged."),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong.

    Args:
        kind: Row of the table.
        status: The provider's HTTP status; 0 where there was none.
        message: Its words, shortened, without secrets.
        code: Its code.
        param: The field it names.
        retry_after: Seconds until the provider allows a repeat, if it said.
    """

    kind: Kind
    status: int = 0
    message: str = ""
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None

    @property
    def consequence(self) -> Consequence:
        """What follows from it."""
        return TABLE[self.kind]

    def as_error(self) -> RsqlGatewayError:
        """What the caller is told: of its own faults everything, of the provider's only what helps."""
        row = self.consequence
        if row.error is UpstreamRefused:
            words = f"{row.words} It says: {self.message}" if self.message else row.words
            error = TooLarge if self.status == 413 else UpstreamRefused
            return error(words, code=self.code, param=self.param, status=self.status or None)
        return row.error(row.words, retry_after=self.retry_after)


class _Error(msgspec.Struct):
    message: object = ""
    type: object = ""
    code: object = None
    param: object = None


class _Body(msgspec.Struct):
    error: object = None
    message: object = ""
    detail: object = None
    code: object = None
    type: object = ""


# Tried in order; the first whose words occur in code, type or message wins. Quota before rate limit: "insufficient_quota" is a
# 429 that no waiting of seconds helps. Codes of Groq, OpenAI, OpenRouter, Anthropic, Gemini, Mistral, DeepSeek, Together.
_WORDS: tuple[tuple[Kind, frozenset[int], re.Pattern[str]], ...] = tuple(
    (kind, frozenset(statuses), re.compile(words, re.IGNORECASE))
    for kind, statuses, words in (
        ("quota_exhausted", {402, 403, 429}, r"insufficient_quota|exceeded your current quota|insufficient.?balance|billing|credit|payment"),
        ("context_length", {400, 413, 422}, r"context_length_exceeded|context (length|window)|maximum context|too many tokens|prompt is too long|reduce the length"),
        ("content_filter", {400, 403, 422}, r"content_filter|content_policy|content management policy|safety|moderation|flagged"),
        ("model_gone", {400, 404, 410}, r"model_decommissioned|model_not_found|decommissioned|deprecated|model .{0,80}(does not exist|not found)|no (such )?model|unknown model"),
        ("no_access", {400, 401, 403, 404}, r"model_permission|model_terms_required|does not have access to (the )?model|not allowed to (use|sample)|blocked_api_access|region|not available in your"),
        ("credential", {400, 401, 403}, r"invalid_api_key|incorrect api key|invalid.{0,10}api.?key|api key (not valid|expired)|revoked|organization_restricted|account.{0,20}(deactivated|suspended|disabled)|unauthorized|authentication"),
        ("rate_limit", {403, 413, 429, 498, 503, 529}, r"rate.?limit|too many requests|resource_exhausted|requests per|tokens per"),
    )
)  # fmt: skip

_BY_STATUS: dict[int, Kind] = {
    401: "credential",
    402: "quota_exhausted",
    403: "no_access",
    404: "model_gone",
    408: "overloaded",
    409: "overloaded",
    410: "model_gone",
    425: "overloaded",
    429: "rate_limit",
    498: "overloaded",
    499: "overloaded",
}


def classify(status: int, body: bytes, retry_after: float | None = None) -> Failure:
    """Name the failure that an error reply tells.

    Args:
        status: HTTP status, or 200 for an error inside a stream.
        body: The error's JSON, or whatever came.
        retry_after: Seconds from the reply's headers.

    Example:
        >>> classify(429, b'{"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}').kind
        'quota_exhausted'
    """
    message, code, kind, param = _read(body)
    inner = int(code) if code.isdigit() and status == 200 else status
    return Failure(
        _kind_of(inner, f"{code} {kind} {message}"),
        status=inner if inner != 200 else 0,
        message=message[:500],
        code=code or None,
        param=param or None,
        retry_after=retry_after,
    )


def _kind_of(status: int, words: str) -> Kind:
    for kind, statuses, pattern in _WORDS:
        if (status in statuses or status == 200) and pattern.search(words):
            return kind
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return "caller_fault" if 400 <= status < 500 else "overloaded"


def _read(body: bytes) -> tuple[str, str, str, str]:
    """Message, code, type and param of an error in any of the shapes that providers use."""
    try:
        outer = msgspec.json.decode(body, type=_Body)
    except msgspec.DecodeError:
        return body[:200].decode("utf-8", "replace").strip(), "", "", ""
    error = outer.error
    if isinstance(error, dict):
        inner = msgspec.convert(error, _Error)
        return _text(inner.message), _text(inner.code), _text(inner.type), _text(inner.param)
    words = error if isinstance(error, str) else outer.message or outer.detail
    return _text(words), _text(outer.code), _text(outer.type), ""


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
