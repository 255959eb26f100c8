r"""Replies of providers: the JSON of a completion, whole or in server-sent events, read only for what is counted."""

# Of each event are read: how much text it brings, whether it ends the answer, the usage, an error. Events pass on as
# the bytes they were. Held back are only those that end the answer, so that the gateway can add its own member to the
# last. Reading is lenient on purpose: providers differ in what they leave out or put in.
# https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

_LONGEST_EVENT = 8_000_000  # bytes; also of those that are held back
_LONGEST_STREAM = 64_000_000  # bytes; the longest answers have a few million
_MOST_DAMAGED = 3  # events without which a stream is still passed on
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
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


class StreamChoice(msgspec.Struct):
    """One of the answers in a reply."""

    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: Any = None
    error: msgspec.Raw = _NULL

    def failed(self) -> bool:
        """Whether it is an error in place of an answer, or of the rest of one."""
        return self.finish_reason == "error" or (self.error is not _NULL and present(self.error))

    def characters(self) -> int:
        """How much text it brings."""
        total = len(self.text) if self.text else 0
        if self.delta is not None:
            total += self.delta.characters()
        if self.message is not None:
            total += self.message.characters()
        return total


class ReportedUsage(NamedTuple):
    """Tokens as a provider counted them: None where it says nothing, -1 where it says nonsense."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None


class _Counts(msgspec.Struct):
    prompt_tokens: Any = None
    completion_tokens: Any = None
    prompt_tokens_details: Any = None


class _Groq(msgspec.Struct):
    usage: msgspec.Raw = _NULL


_NONSENSE = ReportedUsage(-1, -1, -1)
_read_counts = msgspec.json.Decoder(_Counts).decode
_read_groq = msgspec.json.Decoder(_Groq).decode


def _read_usage(raw: msgspec.Raw) -> ReportedUsage:
    try:
        counts = _read_counts(raw)
        details = counts.prompt_tokens_details
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        return ReportedUsage(_count(counts.prompt_tokens), _count(counts.completion_tokens), _count(cached))
    except _UNREADABLE:
        return _NONSENSE


def _count(value: Any) -> int | None:
    # A number of tokens; some write whole ones as ``12.0``.
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


class Completion(msgspec.Struct):
    """One event of a stream, or the body of a whole answer."""

    choices: list[StreamChoice] | None = None
    data: msgspec.Raw = _NULL  # vectors
    usage: msgspec.Raw = _NULL
    x_groq: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL

    def reported(self) -> ReportedUsage | None:
        """The usage, wherever the provider puts it."""
        if self.usage is not _NULL and present(self.usage):
            return _read_usage(self.usage)
        if self.x_groq is not _NULL and present(self.x_groq):
            with suppress(*_UNREADABLE):
                usage = _read_groq(self.x_groq).usage
                return _read_usage(usage) if present(usage) else None
        return None

    def failed(self) -> bool:
        """Whether it is an error in place of an answer."""
        return (self.error is not _NULL and present(self.error)) or any(one.failed() for one in self.choices or ())

    def answers(self, *, embeds: bool) -> bool:
        """Whether it holds what was asked for."""
        if embeds:
            return present(self.data)
        choices = self.choices or ()
        return bool(choices) and all(choice.message is not None or choice.text is not None for choice in choices)

    def characters(self) -> int:
        """How much text it brings."""
        return sum(choice.characters() for choice in self.choices or ())


_read_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_completion = msgspec.json.Decoder(Completion).decode


def read_completion(data: bytes) -> Completion:
    """Read a JSON object."""
    try:
        if not data.isascii():
            data.decode()  # what is passed by unread would be passed on as it is
        return _read_completion(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(type(error).__name__) from None
    except msgspec.ValidationError:
        try:
            _read_object(data)  # a wrong shape is noticed before a fault behind it
        except (msgspec.ValidationError, RecursionError):
            raise msgspec.DecodeError("no object") from None
        raise


class BrokenStream(Exception):
    """The stream cannot be read on; ``before`` is what arrived with the fault and before it, to be passed on."""

    before = b""


class StreamError(BrokenStream):
    """The stream holds an error event; ``body`` is its JSON."""

    def __init__(self, body: bytes) -> None:
        super().__init__("error event")
        self.body = body


class MalformedStream(BrokenStream):
    """The stream holds something that is no event of a completion."""


class HeldEvent(NamedTuple):
    """An event held back: its JSON, and whether it is about a choice rather than only the usage."""

    data: bytes
    brings_choice: bool


class EventReader:
    """Reads one stream as it passes."""

    def __init__(self) -> None:
        self._rest = bytearray()  # of an event that has not ended; joining bytes each time would take ever longer
        self._began = False
        self._after_return = False  # a line feed that comes next belongs to the carriage return before it
        self._held = 0
        self.reported: ReportedUsage | None = None  # what the provider counted, None until it says
        self.characters = 0  # length of the text received so far
        self.finished = False  # whether a choice has ended
        self.done = False  # whether ``[DONE]`` came
        self.tail: list[HeldEvent] = []  # the data of the events held back, in order
        self.pieces = 0  # events that brought text
        self.damaged = 0  # events after the first piece that could not be read, and were left out
        self.size = 0  # bytes that came

    @property
    def complete(self) -> bool:
        """Whether the answer has come to its end; some providers leave ``[DONE]`` out."""
        return self.done or self.finished

    @property
    def has_gaps(self) -> bool:
        """Whether a damaged event may have brought text; not if the provider counts just the tokens that came."""
        if not self.damaged:
            return False
        return not self.finished or self.reported is None or self.reported.completion != self.pieces

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; return the whole events that can be passed on now."""
        data = self._lines(data)
        if self._rest:
            if b"\n\n" not in data and not (data.startswith(b"\n") and self._rest.endswith(b"\n")):
                return self._wait(data)
            data = bytes(self._rest + data)
            self._rest.clear()
        end = data.rfind(b"\n\n")
        if end < 0:
            return self._wait(data)
        if not self._began:
            self._began = True
            if data.startswith(_BYTE_ORDER_MARK):
                data, end = data[3:], end - 3
        self._rest += data[end + 2 :]
        events = data[:end].split(b"\n\n")
        passed: list[bytes] = []
        try:
            for event in events:
                if self._passes(event):
                    passed.append(event)  # noqa: PERF401  (what passed before a fault is needed)
        except BrokenStream as fault:
            fault.before = _joined(passed)
            raise
        return data[: end + 2] if len(passed) == len(events) else _joined(passed)

    def end(self) -> None:
        """The stream has ended; a last event may lack its empty line."""
        rest = bytes(self._rest).strip()
        if not self._began:
            rest = rest.removeprefix(_BYTE_ORDER_MARK)
        self._rest.clear()
        if rest and self._passes(rest) and (data := _data_of(rest)):
            self.tail.append(HeldEvent(data, brings_choice=True))

    def _lines(self, data: bytes) -> bytes:
        # With line feeds at the ends of lines, of whatever kind they are.
        self.size += len(data)
        if self.size > _LONGEST_STREAM:
            raise MalformedStream
        if self._after_return and data:
            data = data.removeprefix(b"\n")
            self._after_return = False
        if b"\r" in data:
            self._after_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _wait(self, data: bytes) -> bytes:
        # Keep the beginning of an event until its end comes.
        self._rest += data
        if len(self._rest) > _LONGEST_EVENT:
            raise MalformedStream
        return b""

    def _passes(self, event: bytes) -> bool:
        # Read one event; whether it is passed on at once. After ``[DONE]`` comes nothing that anybody asked for.
        if self.done or (not event.isascii() and not self._is_text(event)):
            return False
        data = _data_of(event)
        if not data or data == b"[DONE]":
            self.done = self.done or bool(data)
            return not data  # else it is a comment that keeps the connection alive
        try:
            reply = read_completion(data)
        except msgspec.ValidationError:
            return True  # JSON of a shape we do not know: not ours to judge
        except msgspec.DecodeError:
            self._damage()
            return False
        if reply.failed():
            raise StreamError(data)
        if self._count(reply):
            return True
        self._held += len(data)
        if self._held > _LONGEST_EVENT:
            raise MalformedStream
        self.tail.append(HeldEvent(data, brings_choice=bool(reply.choices)))
        return False

    def _is_text(self, event: bytes) -> bool:
        try:
            event.decode()
        except UnicodeDecodeError:
            self._damage()
            return False
        return True

    def _damage(self) -> None:
        # An event is left out; before the first text, or again and again, that is the end.
        self.damaged += 1
        if not self.pieces or self.damaged > _MOST_DAMAGED:
            raise MalformedStream

    def _count(self, reply: Completion) -> bool:
        # Count what it brings; False when it ends the answer, or tells the usage, and brings nothing else.
        reported = reply.reported()
        if reported is not None:
            self.reported = reported
        brings = reply.characters()
        self.characters += brings
        self.pieces += brings > 0
        self.finished |= any(choice.finish_reason is not None for choice in reply.choices or ())
        return brings > 0 or not (self.finished or (reported is not None and not reply.choices))


def _joined(events: list[bytes]) -> bytes:
    return b"\n\n".join(events) + b"\n\n" if events else b""


def _data_of(event: bytes) -> bytes:
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].strip()
    # In several lines; in JSON their ends can stand between tokens only, where a blank means the same.
    lines = event.split(b"\n")
    return b" ".join(line[5:].strip() for line in lines if line.startswith(b"data:")).strip()
