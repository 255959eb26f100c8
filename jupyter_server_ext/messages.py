"""The values that travel through the gateway. They know nothing of storage, HTTP servers or providers."""

# A request is a ``ChatRequest`` from a ``Caller``; what comes back is a ``TokenUsage`` and bytes; what is remembered is
# an ``Entry``. All are frozen: a step that changes one makes a new one. Those made several times for one request are
# msgspec structs: a changed copy of an ``Entry`` takes 0.2 us, of a dataclass with as many fields 16.

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from jupyter_server_ext.questions import AskedQuestion

# What a request is for; the kernel side names it in the header ``X-RSQL-Task``.
Task = Literal["ask", "sql_ai", "repair", "study", "chat", "batch", "inline_completion", "other"]

INLINE: Task = "inline_completion"  # code at the cursor, which an editor asks for while somebody types
BEHIND_PEOPLE: frozenset[Task] = frozenset({"batch", INLINE})  # nobody waits for these

# Results for which no provider was asked.
CacheResult = Literal["", "hit", "miss", "shared", "bypass", "repeat"]
"""What the cache did for a request: it was not asked (empty), had the answer, had none, gave a part in an identical
request under way, was passed by on demand; or an earlier answer was repeated for the same Idempotency-Key."""

WITHOUT_PROVIDER: frozenset[CacheResult] = frozenset({"hit", "shared", "repeat"})

# How a request ended, as people count it.
Outcome = Literal["success", "failure", "timeout", "refused", "cancelled"]

Json = Mapping[str, Any]

_LONGEST_NAME = 255  # characters, as the ledger's columns have it
_MOST_BYTES = 800  # in UTF-8; PostgreSQL's index of totals holds a day, a caller, a tenant and a model in 2,704
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def is_name(text: str) -> bool:
    r"""Whether every store can keep this as the name of a caller, a group, a model or a request.

    Example:
        >>> is_name("ada"), is_name("a\x00b"), is_name("\ud800"), is_name("m" * 256)
        (True, False, False, False)
    """
    if len(text) > _LONGEST_NAME or _UNPRINTABLE.search(text):
        return False
    return text.isascii() or len(text.encode()) <= _MOST_BYTES


def as_name(text: str) -> str:
    r"""The text itself where ``is_name``, else what can be kept of it.

    Example:
        >>> as_name("Zoë"), as_name("a\x00b")
        ('Zoë', 'a?b')
    """
    if is_name(text):
        return text
    return _UNPRINTABLE.sub("?", text)[:_LONGEST_NAME].encode("ascii", "replace").decode()


def without_controls(text: str) -> str:
    r"""The text without control characters, other than line ends and tabs, and without halves of characters.

    Example:
        >>> without_controls("good\x00\x1b[2J\n")
        'good[2J\n'
    """
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in "\n\t" else "", text)


class Secret:
    """A key or token that never shows itself by accident.

    Example:
        >>> Secret("sk-123456789")
        <Secret>
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself, for the one place that sends or compares it."""
        return self._value

    def __repr__(self) -> str:
        return "<Secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


_VISIBLE = re.compile(r"[!-~]+")


def unsendable(secret: str) -> str:
    """Why a key or token cannot be sent in a header, and what to do; empty when it can.

    Example:
        >>> unsendable("gsk-abc"), unsendable("one two")
        ('', 'holds a blank, so it cannot be sent. Is it two, or a line copied with more than it?')
    """
    if _VISIBLE.fullmatch(secret):
        return ""
    what = "a line end" if "\n" in secret or "\r" in secret else "a blank" if " " in secret else "an odd character"
    return f"holds {what}, so it cannot be sent. Is it two, or a line copied with more than it?"


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """Limits of one caller, one tenant, or everyone. None is unlimited, 0 is none allowed."""

    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrency: int | None = None
    usd_per_day: float | None = None
    usd_per_month: float | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request: a user, a service, or a virtual API key."""

    name: str  # unique name: the hub user, the server's user, or the name of a virtual API key
    tenant: str = ""  # the group whose policy and quotas apply; empty when there is none
    scopes: frozenset[str] = frozenset({"chat"})  # what the caller may do; ``config/scopes.py`` lists all
    key: str = ""  # public id of the virtual API key that was used, if any
    limits: CallerLimits | None = None  # limits of that key, on top of the caller's
    # The caller as its identity knows it, where an administrator put it in this tenant by hand.
    as_known: Caller | None = None


class Owner(NamedTuple):
    """The owner of a virtual key, as the hub knows the user now."""

    caller: Caller  # the user, by the name of now
    # What tells this user from others of the same name, before and after; empty where the hub does not say.
    mark: str = ""


class TokenUsage(Struct, frozen=True):
    """Tokens of one request, as the provider counted them."""

    prompt_tokens: int = 0  # tokens read, cached ones included
    completion_tokens: int = 0  # tokens written
    cached_tokens: int = 0  # part of ``prompt_tokens`` that the provider had cached
    estimated: bool = False  # true where the provider counts nothing and these are our own estimate

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Rating:
    """One person's word on one answer: ``rating`` from 1 to 5, ``at`` in Unix time."""

    request_id: str
    caller: str
    rating: int
    comment: str
    at: float
    tenant: str = ""


class Weighed(Struct, frozen=True):
    """Measures of a body so large that it should not be gone through again."""

    characters: int = 0  # length of all that is read, as ``characters`` counts it
    letters: int = 0  # length of the messages, or of what is embedded, as JSON; see ``letters``
    size: int = 0  # bytes of the body as JSON
    question: AskedQuestion = AskedQuestion()  # what it asks
    prompt_hash: str = ""  # hash of the messages, or of what is embedded
    system: int = 0  # where the first message ends in the JSON of all, if it is the system's and text; else 0
    last: int = 0  # bytes of the last message


@dataclass(slots=True)
class Purchase:
    """What is bought for one request, as a job of many requests follows it. Amounts are nano-dollars."""

    # Awaited before each try, with what the request may have cost when that has ended; raises an error for no try.
    begin: Callable[[int], Awaitable[None]]
    most: int = 0  # that a try is known to cost, where that is more than is expected
    cost: int = 0  # what it has cost, failed tries included, once it has ended


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One completion request, as the caller sent it."""

    model: str  # the model asked for, already resolved from the default
    # The JSON object as received; unknown fields are passed on. Not to be changed.
    body: Json
    stream: bool = False  # whether the caller wants server-sent events
    task: Task = "other"  # what the request is for
    request_id: str = ""  # the gateway's id of this request
    session_id: str = ""  # the caller's conversation, where it names one
    interactive: bool = True  # false for what comes after people: batch work, inline completions
    # Whether vectors are asked for rather than words: nothing is written then, and there are no messages.
    embeds: bool = False
    # What the caller wants of the cache: nothing in particular, an answer of at most ``max_age`` seconds, a new one
    # (``bypass``), or that nothing is kept.
    cache: Literal["", "use", "bypass", "never"] = ""
    max_age: float = math.inf  # the oldest cached answer that will do, in seconds
    repeat_key: str = ""  # the Idempotency-Key, by which a repeat is given the same answer; empty for none
    fingerprint: str = ""  # hash of the body as the caller sent it, to tell a repeat from another request
    # Whether a stream is passed on only when all of it is there; one that breaks is then asked for again.
    whole: bool = False
    client_id: str = ""  # the caller's own ``X-Request-Id``
    traceparent: str = ""  # the caller's place in a trace, as W3C's Trace Context writes it
    # What is known of a large body, whose large fields are JSON texts (``msgspec.Raw``); None for others.
    weighed: Weighed | None = None
    purchase: Purchase | None = None  # who answers for what is bought, beside the caller; None for nobody


class Used(NamedTuple):
    """What entries of one caller, model and key used at about one time."""

    at: float  # unix time of the end, by when a provider had surely counted it; of several entries the latest
    caller: str  # who asked
    tenant: str  # the caller's group
    key: str  # public id of the key that was used; empty when no provider was asked
    model: str
    requests: int  # how many requests went to the key
    prompt_tokens: int  # tokens read by the provider
    completion_tokens: int  # tokens written
    counted: int  # how many requests count against the caller's limits
    counted_tokens: int  # how many tokens do
    api_key: str = ""  # public id of the virtual API key that asked; empty for none
    is_inline: bool = False  # whether they are inline completions, which have limits of their own


@dataclass(frozen=True, slots=True)
class QueueNews:
    """News for a request: its place in the queue and the expected wait in seconds; 1 is next, 0 is being answered."""

    position: int
    eta: float


class Entry(Struct, frozen=True):
    """What is remembered of one request; one line of the ledger. Times are seconds, money is integer nano-dollars."""

    request_id: str
    at: float  # Unix time
    caller: str
    tenant: str = ""
    task: Task = "other"
    model: str = ""
    key: str = ""  # the provider's; ``api_key`` is the public id of the virtual key that asked, where one did
    # An answer that no provider was asked for has no tokens and no cost.
    usage: TokenUsage = TokenUsage()
    cost_nanodollars: int = 0
    # The HTTP status the caller saw, 499 when the caller left first, 0 when the gateway died before the end.
    status: int = 200
    error: str = ""
    attempts: int = 0
    queue_seconds: float = 0.0
    upstream_seconds: float = 0.0
    first_token_seconds: float | None = None
    duration_seconds: float = 0.0
    cache: CacheResult = ""
    saved_nanodollars: int = 0  # what an answer without a provider cost before
    # Counts the sends upstream: an attempt that failed and was followed by another has an entry of its own, with
    # ``attempts`` 0.
    attempt: int = 1
    prompt_hash: str = ""  # tells whether two requests asked the same
    prompt: bytes | None = None  # their text, encrypted, where the tenant's policy keeps it
    api_key: str = ""
    session: str = ""  # the caller's conversation, where it names one
    client_id: str = ""  # the caller's own id of the request
    trace: str = ""  # id of the trace that it is a part of
    question: str = ""  # hash of the question's normal form
    tables: str = ""  # tables and frames that were described, with commas between
    error_text: str = ""  # what the error said, without secrets and without the caller's words
    answer: bytes | None = None  # the answer, encrypted, where the tenant's policy keeps it

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return outcome_of(self.status)

    @property
    def counts(self) -> bool:
        """Whether it counts against the limits of its caller: it was answered, in part at least, or was at fault."""
        if self.cache == "repeat" or (self.attempts == 0 and self.status not in {0, 200}):
            return False
        refused = 400 <= self.status < 500 and self.status not in {404, 429, 499}
        return self.status in {0, 200} or self.usage.total_tokens > 0 or refused


def outcome_of(status: int) -> Outcome:
    """How a request ended, by the status that its caller saw.

    Example:
        >>> [outcome_of(status) for status in (200, 429, 504, 499, 502, 0)]
        ['success', 'refused', 'timeout', 'cancelled', 'failure', 'failure']
    """
    if 200 <= status < 300:
        return "success"
    if status in {408, 504}:
        return "timeout"
    if status == 499:
        return "cancelled"
    return "refused" if 400 <= status < 500 else "failure"


def wants_usage(request: ChatRequest) -> bool:
    """Whether the caller of a stream asked for its usage."""
    options = request.body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


_CHARACTERS_PER_NUMBER = 4  # of a text given as tokens
_IMAGE_CHARACTERS = 4000  # what a picture costs, as text


def characters(body: Any) -> int:
    """Length of all that is read: messages, their parts, calls and descriptions of tools, and texts to embed."""
    messages = [message for message in body.get("messages") or () if isinstance(message, dict)]
    tools = body.get("tools"), *(message.get("tool_calls") for message in messages)
    total = sum(_length(message.get("content")) for message in messages) + sum(len(str(each)) for each in tools if each)
    return total + _input_length(body.get("input"))


def _input_length(texts: Any) -> int:
    # Length of what is embedded: a text, tokens, or a list of either.
    if isinstance(texts, str):
        return len(texts)
    if isinstance(texts, list):
        return sum(_input_length(part) if isinstance(part, str | list) else _CHARACTERS_PER_NUMBER for part in texts)
    return 0


def letters(question: Any, as_json: bytes) -> int:
    """Length of messages, or of what is embedded, as JSON; a picture counts as what it costs, and not by its bytes.

    Example:
        >>> picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "x" * 900_000}}
        >>> asked = [{"role": "user", "content": [picture]}]
        >>> letters(asked, msgspec.json.encode(asked))
        4030
    """
    messages = question if isinstance(question, list) else ()
    media = [part for each in messages if isinstance(each, dict) for part in _media(each.get("content"))]
    lengths = (len(msgspec.json.encode(part).decode()) for part in media)
    return len(as_json.decode()) - sum(max(0, length - _IMAGE_CHARACTERS) for length in lengths)


def _length(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type", "text") == "text")
    return sum(len(text) for text in texts if isinstance(text, str)) + _IMAGE_CHARACTERS * len(_media(content))


def _media(content: Any) -> list[dict[str, Any]]:
    parts = content if isinstance(content, list) else ()
    return [part for part in parts if isinstance(part, dict) and part.get("type", "text") != "text"]
