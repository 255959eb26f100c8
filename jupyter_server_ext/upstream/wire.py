"""What is read of a provider's JSON: only what is counted; all else passes by unread.

Lenient on purpose: providers differ in what they leave out or put in.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

_NULL = msgspec.Raw(b"null")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def present(raw: msgspec.Raw) -> bool:
    """Whether a member that is passed by unread is there and not null."""
    return len(bytes(raw)) > len(b"null")


class Delta(msgspec.Struct):
    """What one event, or the message of a whole answer, brings."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: msgspec.Raw = _NULL
    function_call: msgspec.Raw = _NULL
    audio: msgspec.Raw = _NULL

    def characters(self) -> int:
        """Its length; 0 when it brings nothing yet, as an event with only a role does."""
        total = 0
        for text in (self.content, self.reasoning_content, self.reasoning, self.refusal):
            if text:
                total += len(text) if isinstance(text, str) else len(msgspec.json.encode(text))
        for raw in (self.tool_calls, self.function_call, self.audio):
            if raw is not _NULL and present(raw):
                total += len(bytes(raw))
        return total


class Choice(msgspec.Struct):
    """One of the answers in a reply."""

    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: Any = None

    def answers(self) -> bool:
        """Whether it is one of a whole answer."""
        return self.message is not None or self.text is not None

    def characters(self) -> int:
        """How much text it brings."""
        total = len(self.text) if self.text else 0
        if self.delta is not None:
            total += self.delta.characters()
        if self.message is not None:
            total += self.message.characters()
        return total


class Told(NamedTuple):
    """What a provider says that a request took: None where it says nothing, -1 where it says nonsense."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None


class _Counts(msgspec.Struct):
    prompt_tokens: Any = None
    completion_tokens: Any = None
    prompt_tokens_details: Any = None


class _Groq(msgspec.Struct):
    usage: msgspec.Raw = _NULL


_NONSENSE = Told(-1, -1, -1)
_read_counts = msgspec.json.Decoder(_Counts).decode
_read_groq = msgspec.json.Decoder(_Groq).decode


def _told(raw: msgspec.Raw) -> Told:
    try:
        counts = _read_counts(raw)
        details = counts.prompt_tokens_details
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        return Told(_count(counts.prompt_tokens), _count(counts.completion_tokens), _count(cached))
    except _UNREADABLE:
        return _NONSENSE


def _count(value: Any) -> int | None:
    """A number of tokens; some write whole ones as ``12.0``."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


class Reply(msgspec.Struct):
    """One event of a stream, or the body of a whole answer."""

    choices: list[Choice] | None = None
    data: msgspec.Raw = _NULL  # vectors
    usage: msgspec.Raw = _NULL
    x_groq: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL

    def told(self) -> Told | None:
        """The usage, wherever the provider puts it."""
        if self.usage is not _NULL and present(self.usage):
            return _told(self.usage)
        if self.x_groq is not _NULL and present(self.x_groq):
            with suppress(*_UNREADABLE):
                usage = _read_groq(self.x_groq).usage
                return _told(usage) if present(usage) else None
        return None

    def failed(self) -> bool:
        """Whether it is an error in place of an answer."""
        return self.error is not _NULL and present(self.error)

    def answers(self, *, embeds: bool) -> bool:
        """Whether it holds what was asked for."""
        if embeds:
            return present(self.data)
        return bool(self.choices) and all(choice.answers() for choice in self.choices or ())

    def characters(self) -> int:
        """How much text it brings."""
        return sum(choice.characters() for choice in self.choices or ())

    def finishes(self) -> bool:
        """Whether a choice ends with it."""
        return any(choice.finish_reason is not None for choice in self.choices or ())


_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_reply = msgspec.json.Decoder(Reply).decode


def read_reply(data: bytes) -> Reply:
    """Read a JSON object.

    Raises:
        msgspec.DecodeError: It is none, is no UTF-8, or is nested without end.
        msgspec.ValidationError: It is one, of another shape.
    """
    try:
        if not data.isascii():
            data.decode()  # what is passed by unread would be passed on as it is
        return _read_reply(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(type(error).__name__) from None
    except msgspec.ValidationError:
        _check_object(data)  # a wrong shape is noticed before a fault behind it
        raise


def _check_object(data: bytes) -> None:
    try:
        _read_object(data)
    except (msgspec.ValidationError, RecursionError):
        raise msgspec.DecodeError("no object") from None
