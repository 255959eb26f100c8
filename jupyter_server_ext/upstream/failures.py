"""What can go wrong at a provider, and what follows for key and request: one table."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, cast, get_args

import msgspec

from jupyter_server_ext.errors import (
    ModelNotServed,
    NoCapacity,
    RsqlGatewayError,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)
from jupyter_server_ext.http_client import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.keys import Unit

# A failure is named from the code, the type and the words of the provider's error, most specific first. What is not
# recognised is taken by its status alone. Words count only with the statuses they belong to, since a message may quote
# the caller's own text.

_OfKey = Literal["rate_limit", "quota_exhausted", "credential", "no_access", "model_gone"]
_OfRequest = Literal["caller_fault", "context_length", "content_filter"]
_OfProvider = Literal["overloaded", "timeout", "silence", "connection", "malformed", "cut", "web_page"]
Kind = Literal[_OfKey, _OfRequest, _OfProvider]
_KINDS = get_args(Kind)

ForKey = Literal["nothing", "rest", "limit", "exhausted", "not this model", "retire"]
ForRequest = Literal["again", "elsewhere", "other model", "give up"]


class Consequence(NamedTuple):
    """One row of the table."""

    # ``rest``: a little, longer each time, then one request tries it. ``limit``: until the instant that the
    # provider named, for the quota group; its believed limit falls. ``exhausted``: the same, an hour where none
    # was named. ``not this model``: for an hour. ``retire``: until somebody resumes it or a check succeeds.
    key: ForKey
    # ``again``: with any key that can. ``elsewhere``: at another address, then another model, then the same
    # address. ``other model``: only a fallback can help. ``give up``: nothing can.
    request: ForRequest
    error: type[RsqlGatewayError]  # what the caller gets when nothing else helps
    words: str  # its message


TABLE: dict[Kind, Consequence] = {
    "rate_limit": Consequence("limit", "again", NoCapacity, "The provider's rate limit is reached."),
    "quota_exhausted": Consequence("exhausted", "again", NoCapacity, "The provider's quota is used up."),
    "credential": Consequence("retire", "again", UpstreamFailed, "The provider does not accept the gateway's key."),
    "no_access": Consequence("not this model", "again", UpstreamFailed, "The gateway's keys may not use this model."),
    "model_gone": Consequence("not this model", "again", ModelNotServed, "The provider has no such model (404)."),
    "caller_fault": Consequence("nothing", "give up", UpstreamRefused, "The provider found the request at fault."),
    "context_length": Consequence("nothing", "other model", UpstreamRefused, "The request is too long for the model."),
    "content_filter": Consequence("nothing", "give up", UpstreamRefused, "The provider's content filter refused it."),
    "overloaded": Consequence("rest", "again", UpstreamFailed, "The provider failed."),
    "timeout": Consequence("rest", "elsewhere", UpstreamTimeout, "The provider did not answer in time."),
    "silence": Consequence("rest", "elsewhere", UpstreamTimeout, "The provider began an answer and fell silent."),
    "connection": Consequence("rest", "again", UpstreamFailed, "The connection to the provider broke."),
    "malformed": Consequence("rest", "again", UpstreamFailed, "The provider's answer was damaged."),
    "cut": Consequence("rest", "again", UpstreamFailed, "The provider's answer broke off."),
    "web_page": Consequence("rest", "again", UpstreamFailed, "A web page came in place of the provider's answer."),
}

# Statuses that say that somebody has waited for an answer in vain: it may have been written, and billed, all the same.
_WAITED = {408, 499, 504, 524}


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that went wrong."""

    kind: Kind  # row of the table
    status: int = 0  # the provider's HTTP status; 0 where there was none
    message: str = ""  # its words, shortened
    code: str | None = None
    param: str | None = None  # the field it names
    retry_after: float | None = None  # seconds until the provider allows a repeat, where it says so
    unit: Unit | None = None  # for a rate limit: of requests or tokens, where it says so
    seconds: float | None = None  # for a rate limit: per how many seconds, where it says so
    sent: bool = True  # whether the request was sent at all
    detail: str = ""  # what happened in particular, for the log: nothing of the caller's, and no secret

    @property
    def consequence(self) -> Consequence:
        """What follows from it."""
        return TABLE[self.kind]

    @property
    def may_be_billed(self) -> bool:
        """Whether the provider may have written an answer: not if it was not asked, or refused at once."""
        return self.sent and (self.status < 400 or self.status in _WAITED)

    def log_fields(self) -> dict[str, object]:
        """The fields of its line in the log."""
        fields = {"status": self.status, "detail": self.detail, "retry_after": self.retry_after}
        return {name: value for name, value in fields.items() if value}

    def as_error(self) -> RsqlGatewayError:
        """The caller's error: of its own faults all words of the provider, of the provider's only what helps."""
        row = self.consequence
        if row.error is not UpstreamRefused:
            status = 429 if row.error is NoCapacity else None
            return row.error(f"{row.words} {_ADVICE[row.error]}", retry_after=self.retry_after, status=status)
        words = f"{row.words} It says: {self.message}" if self.message else row.words
        status = self.status if 400 <= self.status < 500 else None
        code = self.code
        if self.kind == "context_length" and (code is None or code.isdigit()):
            code = "context_length_exceeded"  # as programs know it
        return UpstreamRefused(words, code=code, param=self.param, status=status, recorded=row.words)


_ADVICE: dict[type[RsqlGatewayError], str] = {
    NoCapacity: "Try again later.",
    ModelNotServed: "GET v1/models lists the models there are.",
    UpstreamFailed: "Try again; if it stays so, tell an administrator.",
    UpstreamTimeout: "Try again, or ask for less at once.",
}

# Codes and types, at any status. Those of OpenAI, Groq, OpenRouter, Anthropic, Gemini, Mistral, DeepSeek and Together.
_OF_KIND: dict[Kind, str] = {
    "quota_exhausted": "insufficient_quota billing_hard_limit_reached insufficient_balance billing_not_active",
    "context_length": "context_length_exceeded string_above_max_length request_too_large",
    "content_filter": "content_filter content_policy_violation responsibleaipolicyviolation",
    "model_gone": "model_decommissioned model_not_found model_not_available model_not_supported invalid_model",
    "no_access": "model_permission_blocked model_permission_blocked_org model_permission_blocked_project "
    "model_terms_required",
    "credential": "invalid_api_key account_deactivated organization_restricted blocked_api_access "
    "unsupported_country_region_territory authentication_error",
    "rate_limit": "rate_limit_exceeded rate_limit_error resource_exhausted",
    "overloaded": "overloaded_error service_tier_capacity_exceeded",
}
_CODES: dict[str, Kind] = {code: kind for kind, codes in _OF_KIND.items() for code in codes.split()}

_LARGER_THAN_A_LIMIT = re.compile(r"request too large for|required for long context", re.I)

# Words of the message, with the statuses at which they mean it. The first that fits wins: a used up quota comes before
# a rate limit, as both are 429 and no waiting of seconds helps the one; what was flagged before either, as it may say
# that no credits were charged.
_OF_WORDS: tuple[tuple[Kind, set[int], str], ...] = (
    ("content_filter", {403}, r"\bflagged\b|requires moderation"),
    ("quota_exhausted", {402, 403, 429}, r"your current quota|balance|credits?\b|key limit exceeded"),
    ("quota_exhausted", {400}, r"credit balance is too low|your specified API usage limits"),
    (
        "context_length",
        {400, 413, 422},
        r"context.(length|window|size)|maximum context|prompt is too long|too many (input )?tokens|"
        r"request too large|reduce (the length|your message)|input token count|tokens.{0,40}must be <=",
    ),
    (
        "content_filter",
        {400, 403, 422},
        r"content (filter|management|policy)|moderation|flagged|safety (system|policy|settings)",
    ),
    # The model is there, but not for pictures or tools: that must not take it from those who send none.
    (
        "caller_fault",
        {404, 500, 501},
        r"endpoints found that (support|can handle)|\btool\w* param\b|not support (tools?|function)",
    ),
    (
        "model_gone",
        {400, 404, 410},
        r"decommissioned|no longer (available|supported)|model.{0,80}(not exist|not found)|is not a valid model\b",
    ),
    (
        "credential",
        {400},
        r"api key (not valid|expired|not found)|organization has been disabled|user location is not supported",
    ),
    # llama.cpp's server, which fails where others refuse.
    ("context_length", {500, 501}, r"context (size|length|window)\b.{0,40}exceeded|exceeds? .{0,30}context size"),
    ("no_access", {401, 403}, r"\bmodels?\b"),
    ("rate_limit", {403, 503, 529}, r"rate.?limit|too many requests|tokens per"),
)
_WORDS = tuple((kind, statuses, re.compile(words, re.I)) for kind, statuses, words in _OF_WORDS)

_OF_STATUS: dict[Kind, tuple[int, ...]] = {
    "credential": (401, 403),
    "quota_exhausted": (402,),
    "model_gone": (404, 410),
    "context_length": (413,),
    "rate_limit": (429,),
    "overloaded": (408, 409, 425, 498, 499),
}
_STATUSES: dict[int, Kind] = {status: kind for kind, statuses in _OF_STATUS.items() for status in statuses}

_PAGE = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*(?:<|error code: \d)", re.I)  # as HTML begins, or Cloudflare's shortest
_OF_THE_WAY = {401, 403, 404, 407}  # where an API's own words would cost a key, or a model
_CODE = re.compile(r"[\w.:-]{1,64}", re.ASCII)  # what can be no secret, nor a text of the caller's

_AGAIN_IN = re.compile(r"(?:try again in|retrydelay\W+) ?((?:\d+(?:\.\d+)?(?:ms|[dhms]))+)", re.I)
_LONGEST_WAIT = 86_400.0  # no limit is longer than a day; what is beyond is a mistake, and would cost a key for good
_PER = {"minute": 60.0, "min": 60.0, "day": 86_400.0, "hour": 3600.0, "second": 1.0}
_UNIT_PER = re.compile(r"\b(requests|tokens)\b.{0,12}?\bper (minute|min|day|hour|second)\b", re.I)


def classify(
    status: int, body: bytes, retry_after: float | None = None, codes: Mapping[str, str] | None = None
) -> Failure:
    """Name the failure of an error reply."""
    error = _read(body)
    if status == 200:
        status = int(error.code) if re.fullmatch("[0-9]{3}", error.code) else 500
    per = _UNIT_PER.search(error.message)
    words = _AGAIN_IN.search(error.message) or _AGAIN_IN.search(body[:4000].decode("utf-8", "replace"))
    wait = (duration(words[1]) if words else None) if retry_after is None else retry_after
    # A proxy or a firewall answers in the provider's place: APIs name a forbidden key in JSON.
    is_page = _PAGE.match(body) or (status == 403 and not body.lstrip().startswith((b"{", b"[")))
    return Failure(
        "web_page" if status in _OF_THE_WAY and is_page else _kind_of(status, error, codes or {}),
        status=status,
        message=error.message[:500],
        code=error.code or None,
        param=error.param or None,
        retry_after=min(wait, _LONGEST_WAIT) if wait else None,
        unit="tokens" if per and per[1].lower() == "tokens" else "requests" if per else None,
        seconds=_PER[per[2].lower()] if per else None,
        detail=f"code {error.code}" if _CODE.fullmatch(error.code) else "",
    )


def broken(error: httpx.HTTPError) -> Failure:
    """Name what broke a connection, or a reply."""
    if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
        return Failure("malformed", detail=str(error))
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return Failure("connection", sent=sent, detail=_way(error))


def _way(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(cause, socket.gaierror):
        return "dns: the name is not known"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"tls: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"tls: {cause.reason}"
    if isinstance(cause, ConnectionRefusedError):
        return "refused"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    return str(error)[:200]


class _ErrorFields(NamedTuple):
    message: str = ""
    code: str = ""
    type: str = ""
    param: str = ""


def _kind_of(status: int, error: _ErrorFields, codes: Mapping[str, str]) -> Kind:
    # Some call it a rate limit when no waiting would help, as the request alone is more than the limit.
    if status == 429 and _LARGER_THAN_A_LIMIT.search(error.message):
        return "context_length"
    if status == 403 and error.code.lower() == "model_not_found":
        return "no_access"
    for name in () if status == 413 else (error.code.lower(), error.type.lower()):
        if (kind := codes.get(name)) in _KINDS:  # a plug-in's provider may name another
            return cast("Kind", kind)
        if name in _CODES:
            return _CODES[name]
    for kind, statuses, words in _WORDS:
        if status in statuses and words.search(error.message):
            return kind
    return _STATUSES.get(status) or ("caller_fault" if 400 <= status < 500 else "overloaded")


def _read(body: bytes) -> _ErrorFields:
    # An error in any of the shapes that providers use.
    try:
        reply = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return _ErrorFields("" if _PAGE.match(body) else body[:200].decode("utf-8", "replace").strip())
    if isinstance(reply, list) and reply:
        reply = reply[0]  # Gemini's
    if not isinstance(reply, dict):
        return _ErrorFields(_text(reply))
    error = reply.get("error") or _error_of_choice(reply)
    inner = error if isinstance(error, dict) else reply
    message = error if isinstance(error, str) else inner.get("message") or inner.get("detail")
    code = inner.get("code") if inner.get("code") is not None else inner.get("status")
    kind = inner.get("type") or inner.get("status")
    return _ErrorFields(*map(_text, (message, code, kind, inner.get("param"))))


def _error_of_choice(reply: dict[str, object]) -> object:
    choices = reply.get("choices")
    found = (one.get("error") for one in (choices if isinstance(choices, list) else ()) if isinstance(one, dict))
    return next(filter(None, found), None)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]*)?")
_WITH_UNIT = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])")
_UNIT_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def duration(text: str) -> float | None:
    """Seconds of a length of time such as ``7.66``, ``2m59.56s`` or ``120ms``; None when the text is none."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return max(0.0, float(text))
    parts = _WITH_UNIT.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return round(sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts), 9)
