"""Requests: their bodies while they come in, and the ``ChatRequest`` they make, or a refusal that names the field."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import msgspec

from jupyter_server_ext.errors import BadRequest, LimitExceeded, NoCapacity, TooLarge
from jupyter_server_ext.messages import BEHIND_PEOPLE, Caller, ChatRequest, Task, Weighed, as_name, is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGE = 128 * 1024  # bytes from which on a body is read in another process; up to it that takes a millisecond or two

CacheWish = Literal["", "use", "bypass", "never"]

_KEY_FIELD = re.compile(r"api[-_]?key", re.IGNORECASE)
_SESSION = re.compile(r"[\w.:@+-]{1,128}", re.ASCII)  # it comes back in a header
_REPEAT_KEY = re.compile(r"[ -~]{1,255}")
_CLIENT_ID = re.compile(r"[!-~]{1,128}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)")
_TASKS = frozenset(get_args(Task))
_MOST_TOKENS = 2**31 - 1  # what no counter overflows at, here or at a provider
_MOST_FIELDS = 1_000  # of a body
_MOST_CHOICES = 128  # as OpenAI allows
_LONGEST_SHOWN = 40  # characters of a field that is not known
_RETRY_SECONDS = 1.0  # bodies come and go fast
_BODY_SECONDS = 120.0  # that a body may take to come
_FIRST_SECONDS = 20.0  # that the smallest may take
_SLOWEST = 100_000.0  # bytes a second of larger ones
_TRUTHS = {"1": True, "true": True, "0": False, "false": False}
_AMOUNTS = {"max_tokens": _MOST_TOKENS, "max_completion_tokens": _MOST_TOKENS, "n": _MOST_CHOICES}


class ReadBody(NamedTuple):
    """A body that was read."""

    sent: dict[str, Any]  # what the client sent; of a large body only what is not part of the question
    asked: dict[str, Any]  # the same as a body in OpenAI's form of chat completions, or of embeddings
    # What is known of a large one, whose large fields are ``msgspec.Raw``; None for others.
    weighed: Weighed | None = None
    fingerprint: str = ""  # hash of a large one


def read(body: bytes, shape: Callable[[dict[str, Any]], dict[str, Any]]) -> ReadBody:
    """The fields of a body that is not large, with its form in OpenAI's terms by ``shape``."""
    sent = json_object(body)
    return ReadBody(sent, shape(sent))


@dataclass(eq=False, repr=False)
class BodyBudget:
    """Bytes of bodies that have not been read to their end, as announced, or as they came where nothing was.

    One body may take half of what is free: however many callers send large ones, there is room for a small one.

    Example:
        >>> budget = BodyBudget(10, 100)
        >>> budget.take("ada", 8)
        >>> budget.take("ada", 4)
        Traceback (most recent call last):
            ...
        jupyter_server_ext.errors.LimitExceeded: Bodies that you are sending ...
    """

    per_caller: int  # the most of one caller
    in_all: int  # the most of all together
    held: int = 0  # bytes of all together
    _held: dict[str, int] = field(default_factory=dict)

    def take(self, caller: str, amount: int) -> None:
        """Count bytes that are going to come.

        Raises:
            LimitExceeded: The caller is sending too much at once.
            NoCapacity: All together are.
        """
        own = self._held.get(caller, 0) + amount
        if own > self.per_caller:
            raise LimitExceeded(
                f"Bodies that you are sending at the same time may have {self.per_caller / 1e6:g} MB together. "
                "Wait until some are answered.",
                code="too_many_bodies",
                retry_after=_RETRY_SECONDS,
            )
        # Half of what is free: a large body never keeps the small ones out.
        if 2 * amount > self.in_all - self.held:
            raise NoCapacity("The gateway is receiving as much as it can hold. Try again.", retry_after=_RETRY_SECONDS)
        self._held[caller] = own
        self.held += amount

    def give_back(self, caller: str, amount: int) -> None:
        """Count bytes no longer, as they were read or will not come."""
        self.held -= amount
        self._held[caller] -= amount
        if not self._held[caller]:
            del self._held[caller]


class IncomingBody:
    """The body of one request while it comes in, counted in the budget before it is kept."""

    def __init__(self, budget: BodyBudget, headers: Mapping[str, str], most: int) -> None:
        self._budget = budget  # bodies of all requests
        self._most = most  # the largest that is taken, in bytes
        self._sender = ""
        self._held = 0
        self.chunks: list[bytes] = []
        self.received = 0
        length = headers.get("Content-Length", "0")
        self._length = int(length[:20]) if length.isdecimal() else 0  # as announced
        self.follows = length != "0" or "Transfer-Encoding" in headers  # whether there is a body at all

    @property
    def seconds(self) -> float:
        """How long it may take: by its length, or as long as the largest where none is announced."""
        return min(_BODY_SECONDS, _FIRST_SECONDS + (self._length or self._most) / _SLOWEST)

    def announce(self, caller: Caller | None) -> None:
        """Count the announced length, in the caller's name."""
        self._sender = caller.name if caller is not None else ""
        if self._length > self._most:
            raise self._too_large()
        self._hold(self._length)

    def add(self, chunk: bytes) -> None:
        """Keep a piece."""
        self.received += len(chunk)
        if self.received > self._most:
            raise self._too_large()
        # Bodies without an announced length count as they come.
        self._hold(self.received - self._held)
        self.chunks.append(chunk)

    def give_back(self) -> None:
        """Count it no longer: it was read, or is not wanted."""
        if self._held:
            self._budget.give_back(self._sender, self._held)
            self._held = 0

    def drop(self) -> None:
        """Forget it."""
        self.chunks.clear()
        self.give_back()

    def _hold(self, amount: int) -> None:
        if amount > 0:
            self._budget.take(self._sender, amount)
            self._held += amount

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self._most / 1e6:g} MB. Send less.")


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body, without fields named like ``api_key``: clients bring no keys of providers."""
    # A key in a body would reach logs and caches, and be used for one caller only.
    return {name: value for name, value in _object(body).items() if not _KEY_FIELD.match(name)}


def own_object(body: bytes, *fields: str) -> dict[str, Any]:
    """The JSON object in a body of a route of our own, which knows these fields.

    Raises:
        BadRequest: It has others, which would have no effect.

    Example:
        >>> own_object(b'{"url": "https://a.example"}', "url", "events")
        {'url': 'https://a.example'}
        >>> own_object(b'{"event": []}', "events")
        Traceback (most recent call last):
            ...
        jupyter_server_ext.errors.BadRequest: There is no field 'event' here; did you mean 'events'? There are: events.
    """
    sent = _object(body)
    for name in sent:
        if name not in fields:
            near = get_close_matches(name, fields, n=1)
            shown = as_name(name[:_LONGEST_SHOWN])
            meant = f"; did you mean '{near[0]}'?" if near else "."
            words = f"There is no field '{shown}' here{meant} There are: {', '.join(fields)}."
            raise BadRequest(words, param=shown, code="unknown_field")
    return sent


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:  # malformed, not UTF-8, or nested too deeply
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "it cannot be read"
        raise BadRequest(f"The body is not JSON: {reason}.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object, like {…}.", code="invalid_json")
    if len(value) > _MOST_FIELDS:  # each is looked at on the way of the request, and no API has so many
        raise BadRequest(f"The body has {len(value):,} fields. Send {_MOST_FIELDS:,} at most.", code="too_many_fields")
    return value


def chat_request(
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    *,
    default_model: Callable[[], str],  # for a body without a model, or with ``default``
    request_id: str,
    fingerprint: str = "",  # tells it from another with the same Idempotency-Key
    weighed: Weighed | None = None,  # of a large one; its messages were checked before
) -> ChatRequest:
    """The request that a body in OpenAI's form makes; fields that are not ours to know stay as they are."""
    if weighed is None:
        check_messages(body.get("messages"))
    for name in _AMOUNTS:
        check_amount(body, name)
    _optional(body, "stream_options", dict)
    model = _model_name(body)
    model = default_model() if model in ("", "default") else model
    if not model:
        raise BadRequest("'model' is missing, and there is no default for you. See v1/models.", param="model")
    task: Task = task_of(headers)
    cache, max_age = cache_wish(headers.get("Cache-Control", ""))
    return ChatRequest(
        model=model,
        body={**body, "model": model},
        stream=bool(_optional(body, "stream", bool)),
        task=task,
        request_id=request_id,
        session_id=session_of(headers.get("X-RSQL-Session", "")),
        interactive=task not in BEHIND_PEOPLE,
        cache=cache,
        max_age=max_age,
        client_id=client_id_of(headers),
        traceparent=traceparent_of(headers),
        repeat_key=repeat_key(headers),
        fingerprint=fingerprint,
        whole=wants_whole(headers, task),
        weighed=weighed,
    )


def as_sent(body: dict[str, Any]) -> dict[str, Any]:
    """The body itself, where it is in OpenAI's form."""
    return body


def embeddings_request(
    body: Mapping[str, Any], headers: Mapping[str, str], *, request_id: str, weighed: Weighed | None = None
) -> ChatRequest:
    """The request for vectors that a body in OpenAI's form makes."""
    given = body.get("input")
    if not isinstance(given, str | list | msgspec.Raw) or not given:
        raise BadRequest("'input' is missing: a text, or a list of texts.", param="input")
    required_text(body, "model")
    model = _model_name(body)
    task: Task = task_of(headers)
    return ChatRequest(
        model,
        body,
        task=task,
        request_id=request_id,
        session_id=session_of(headers.get("X-RSQL-Session", "")),
        interactive=task not in BEHIND_PEOPLE,
        embeds=True,
        client_id=client_id_of(headers),
        traceparent=traceparent_of(headers),
        weighed=weighed,
    )


def _model_name(body: Mapping[str, Any]) -> str:
    model = optional_text(body, "model")
    if not is_name(model):
        raise BadRequest("'model' may have up to 255 characters, and no control characters.", param="model")
    return model


def cache_wish(header: str) -> tuple[CacheWish, float]:
    """What ``Cache-Control`` wants of the cache, and the oldest answer that will do, in seconds."""
    directives = [word.strip().lower() for word in header.split(",")]
    ages = [int(word[8:24]) for word in directives if word.startswith("max-age=") and word[8:].isdecimal()]
    if "no-store" in directives:
        return "never", math.inf
    if "no-cache" in directives or 0 in ages:
        return "bypass", math.inf
    return ("use", float(min(ages))) if ages else ("", math.inf)


def repeat_key(headers: Mapping[str, str]) -> str:
    """The Idempotency-Key, empty when there is none."""
    key = headers.get("Idempotency-Key", "")
    if key and not _REPEAT_KEY.fullmatch(key):
        raise BadRequest("'Idempotency-Key' may have up to 255 visible characters.", param="Idempotency-Key")
    return key


def fingerprint_of(body: object) -> str:
    """A hash that is equal for equal bodies, whatever the order of their members."""
    return hashlib.sha256(msgspec.json.encode(body, order="deterministic")).hexdigest()


def task_of(headers: Mapping[str, str]) -> Task:
    """What the client says the request is for; ``other`` for clients that know nothing of it."""
    task = headers.get("X-RSQL-Task", "").lower()
    return task if task in _TASKS else "other"  # type: ignore[return-value]  # checked against the literal's values


def client_id_of(headers: Mapping[str, str]) -> str:
    """The client's own id of the request, empty where it has none that can be written down."""
    given = headers.get("X-Request-Id", "")
    return given if _CLIENT_ID.fullmatch(given) else ""


def traceparent_of(headers: Mapping[str, str]) -> str:
    """The client's place in a trace (https://www.w3.org/TR/trace-context/), empty where there is none that is valid.

    Example:
        >>> traceparent_of({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})[3:35]
        '0af7651916cd43dd8448eb211c80319c'
        >>> traceparent_of({"traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01"})
        ''
    """
    given = headers.get("traceparent", "").strip()
    return given[:55] if _TRACEPARENT.match(given) else ""


def wants_whole(headers: Mapping[str, str], task: Task) -> bool:
    """Whether a stream comes only when all of it is there; for batch work, which nobody watches, by default."""
    wish = headers.get("X-RSQL-Whole", "").lower()
    if not wish:
        return task == "batch"
    if wish not in _TRUTHS:
        raise BadRequest("'X-RSQL-Whole' must be true or false.", param="X-RSQL-Whole")
    return _TRUTHS[wish]


def session_of(text: str) -> str:
    """The name of a conversation, empty when it is none."""
    if text and not _SESSION.fullmatch(text):
        raise BadRequest(
            "'session_id' may have up to 128 letters from a to z, digits and . _ : @ + -", param="session_id"
        )
    return text


def check_messages(messages: object) -> None:
    """Refuse what no provider takes as messages."""
    if messages is None:
        raise BadRequest('\'messages\' is missing: a list like [{"role": "user", "content": "…"}].', param="messages")
    if not isinstance(messages, list):
        raise BadRequest(f"'messages' must be a list, not {_kind(messages)}.", param="messages")
    if not messages:
        raise BadRequest("'messages' is empty.", param="messages")
    for at, message in enumerate(messages):
        _check_message(message, f"messages[{at}]")


def check_amount(body: Mapping[str, Any], name: str) -> None:
    """Refuse an amount from which no reservation can be computed."""
    value, most = body.get(name), _AMOUNTS.get(name, _MOST_TOKENS)
    least = int(name == "n")  # no tokens at all are the provider's to refuse, and counted as if absent
    # Not ``isinstance``, as True would pass for 1.
    if value is not None and not (type(value) is int and least <= value <= most):
        raise BadRequest(f"'{name}' must be a whole number from {least} to {most:,}.", param=name)


def _check_message(message: object, place: str) -> None:
    if not isinstance(message, dict):
        raise BadRequest(f"'{place}' must be an object, not {_kind(message)}.", param=place)
    if not isinstance(message.get("role"), str):
        raise BadRequest(f"'{place}.role' must be text such as \"user\".", param=f"{place}.role")
    content = message.get("content")
    if not isinstance(content, str | list | None):
        raise BadRequest(
            f"'{place}.content' must be text or a list of parts, not {_kind(content)}.", param=f"{place}.content"
        )
    for at, part in enumerate(content if isinstance(content, list) else ()):
        where = f"{place}.content[{at}]"
        if not isinstance(part, dict):
            raise BadRequest(f"'{where}' must be an object, not {_kind(part)}.", param=where)
        if not isinstance(part.get("text"), str | None):
            raise BadRequest(f"'{where}.text' must be text, not {_kind(part['text'])}.", param=f"{where}.text")


def optional_text(body: Mapping[str, Any], name: str) -> str:
    """A field that is text if it is there."""
    return str(_optional(body, name, str) or "")


def optional_truth(body: Mapping[str, Any], name: str) -> bool:
    """A field that is true or false if it is there."""
    return bool(_optional(body, name, bool))


def required_text(body: Mapping[str, Any], name: str) -> str:
    """A field that must be there, as text."""
    text = optional_text(body, name)
    if not text.strip():
        raise BadRequest(f"'{name}' is missing or empty.", param=name)
    return text


def _optional(body: Mapping[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, kind):
        wanted = {str: "text", bool: "true or false", dict: "an object"}[kind]
        raise BadRequest(f"'{name}' must be {wanted}, not {_kind(value)}.", param=name)
    return value


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}.get(
        type(value), "a number"
    )
