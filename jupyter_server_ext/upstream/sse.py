r"""Server-sent events as providers send them: passed on as they came, read only for what is counted.

Of each event are read: how much text it brings, whether it ends the answer, the usage, an error. Events pass on as the
bytes they were. Held back are only those that end the answer, so that the gateway can add its own member to the last.
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from .wire import read_reply

if TYPE_CHECKING:
    from .wire import Reply, Told

_LONGEST_EVENT = 8_000_000  # bytes; also of those that are held back
_LONGEST_STREAM = 64_000_000
_MOST_DAMAGED = 3
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Unusable(Exception):
    """The stream cannot be read on; ``before`` is what arrived with the fault and before it, to be passed on."""

    before = b""


class StreamError(Unusable):
    """The stream holds an error event; ``body`` is its JSON."""

    def __init__(self, body: bytes) -> None:
        super().__init__("error event")
        self.body = body


class Malformed(Unusable):
    """The stream holds something that is no event of a completion."""


class Held(NamedTuple):
    """An event held back: its JSON, and whether it is about a choice rather than only the usage."""

    data: bytes
    brings_choice: bool


class EventReader:
    r"""Reads one stream as it passes.

    Attributes:
        told: What the provider counted, None until it says.
        characters: Length of the text received so far.
        finished: Whether a choice has ended.
        done: Whether ``[DONE]`` came.
        tail: The data of the events held back, in order.
        pieces: Events that brought text.
        damaged: Events after the first piece that could not be read, and were left out.
        size: Bytes that came.

    Example:
        >>> reader = EventReader()
        >>> reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n')
        b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
        >>> reader.characters, reader.finished
        (2, False)
    """

    __slots__ = (
        "_after_return",
        "_began",
        "_held",
        "_rest",
        "characters",
        "damaged",
        "done",
        "finished",
        "pieces",
        "size",
        "tail",
        "told",
    )

    def __init__(self) -> None:
        self._rest = bytearray()  # of an event that has not ended; joining bytes each time would take ever longer
        self._began = False
        self._after_return = False  # a line feed that comes next belongs to the carriage return before it
        self._held = 0
        self.told: Told | None = None
        self.characters = 0
        self.finished = False
        self.done = False
        self.tail: list[Held] = []
        self.pieces = 0
        self.damaged = 0
        self.size = 0

    @property
    def complete(self) -> bool:
        """Whether the answer has come to its end; some providers leave ``[DONE]`` out."""
        return self.done or self.finished

    @property
    def has_gaps(self) -> bool:
        """Whether a damaged event may have brought text; not if the provider counts just the tokens that came."""
        if not self.damaged:
            return False
        return not self.finished or self.told is None or self.told.completion != self.pieces

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; return the whole events that can be passed on now.

        Raises:
            StreamError: The provider says that it failed.
            Malformed: Something is not JSON before the first text, or again and again, or there is no end of it.
        """
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
            data, end = _without_mark(data, end)
        self._rest += data[end + 2 :]
        events = data[:end].split(b"\n\n")
        passed: list[bytes] = []
        try:
            for event in events:
                if self._passes(event):
                    passed.append(event)  # noqa: PERF401  (what passed before a fault is needed)
        except Unusable as fault:
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
            self.tail.append(Held(data, brings_choice=True))

    def _lines(self, data: bytes) -> bytes:
        """With line feeds at the ends of lines, of whatever kind they are."""
        self.size += len(data)
        if self.size > _LONGEST_STREAM:
            raise Malformed
        if self._after_return and data:
            data = data.removeprefix(b"\n")
            self._after_return = False
        if b"\r" in data:
            self._after_return = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _wait(self, data: bytes) -> bytes:
        """Keep the beginning of an event until its end comes."""
        self._rest += data
        if len(self._rest) > _LONGEST_EVENT:
            raise Malformed
        return b""

    def _passes(self, event: bytes) -> bool:
        """Read one event; whether it is passed on at once."""
        if not event.isascii() and not self._is_text(event):
            return False
        data = _data_of(event)
        if not data or data == b"[DONE]":
            self.done = self.done or bool(data)
            return not data  # else it is a comment that keeps the connection alive
        try:
            reply = read_reply(data)
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
            raise Malformed
        self.tail.append(Held(data, brings_choice=bool(reply.choices)))
        return False

    def _is_text(self, event: bytes) -> bool:
        try:
            event.decode()
        except UnicodeDecodeError:
            self._damage()
            return False
        return True

    def _damage(self) -> None:
        """An event is left out; before the first text, or again and again, that is the end."""
        self.damaged += 1
        if not self.pieces or self.damaged > _MOST_DAMAGED:
            raise Malformed

    def _count(self, reply: Reply) -> bool:
        """Count what it brings; False when it ends the answer, or tells the usage, and brings nothing else."""
        told = reply.told()
        if told is not None:
            self.told = told
        brings = reply.characters()
        self.characters += brings
        self.pieces += brings > 0
        self.finished = self.finished or reply.finishes()
        return brings > 0 or not (self.finished or (told is not None and not reply.choices))


def _without_mark(data: bytes, end: int) -> tuple[bytes, int]:
    """A stream's beginning without a byte order mark, and the place of its end."""
    return (data[3:], end - 3) if data.startswith(_BYTE_ORDER_MARK) else (data, end)


def _joined(events: list[bytes]) -> bytes:
    return b"\n\n".join(events) + b"\n\n" if events else b""


def _data_of(event: bytes) -> bytes:
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].strip()
    lines = event.split(b"\n")
    return b"\n".join(line[5:] for line in lines if line.startswith(b"data:")).strip()
