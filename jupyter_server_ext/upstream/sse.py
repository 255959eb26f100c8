r"""Server-sent events as providers send them: passed on as they came, read only for what is counted.

Of each event are read: how much text it brings, whether it ends the answer, the usage, an error. Events pass on as the
bytes they were. Held back are only those that end the answer, so that the gateway can add its own member to the last.
https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from .wire import Reply, read_reply

if TYPE_CHECKING:
    from jupyter_server_ext.messages import Usage

_LONGEST_EVENT = 8_000_000
_MOST_DAMAGED = 3


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
        usage: What the provider counted, None until it says.
        characters: Length of the text received so far.
        finished: Whether a choice has ended.
        done: Whether ``[DONE]`` came.
        tail: The data of the events held back, in order.
        pieces: Events that brought text.
        damaged: Events after the first piece that could not be read, and were left out.

    Example:
        >>> reader = EventReader()
        >>> reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n')
        b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
        >>> reader.characters, reader.finished
        (2, False)
    """

    __slots__ = ("_rest", "characters", "damaged", "done", "finished", "pieces", "tail", "usage")

    def __init__(self) -> None:
        self._rest = b""
        self.usage: Usage | None = None
        self.characters = 0
        self.finished = False
        self.done = False
        self.tail: list[Held] = []
        self.pieces = 0
        self.damaged = 0

    @property
    def complete(self) -> bool:
        """Whether the answer has come to its end; some providers leave ``[DONE]`` out."""
        return self.done or self.finished

    @property
    def has_gaps(self) -> bool:
        """Whether a damaged event may have brought text; not if the provider counts just the tokens that came."""
        if not self.damaged:
            return False
        return not self.finished or self.usage is None or self.usage.completion_tokens != self.pieces

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; return the whole events that can be passed on now.

        Raises:
            StreamError: The provider says that it failed.
            Malformed: Something is not JSON before the first text, or again and again, or an event has no end.
        """
        if self._rest:
            data = self._rest + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        end = data.rfind(b"\n\n")
        if end < 0:
            if len(data) > _LONGEST_EVENT:
                raise Malformed
            self._rest = data
            return b""
        self._rest = data[end + 2 :]
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
        rest, self._rest = self._rest.strip(), b""
        if rest and self._passes(rest) and (data := _data_of(rest)):
            self.tail.append(Held(data, brings_choice=True))

    def _passes(self, event: bytes) -> bool:
        """Read one event; whether it is passed on at once."""
        data = _data_of(event)
        if data == b"[DONE]":
            self.done = True
            return False
        if not data:
            return True  # a comment that keeps the connection alive
        try:
            reply = read_reply(data)
        except msgspec.ValidationError:
            return True  # JSON of a shape we do not know: not ours to judge
        except msgspec.DecodeError as error:
            self.damaged += 1
            if not self.pieces or self.damaged > _MOST_DAMAGED:
                raise Malformed from error
            return False
        if reply.failed():
            raise StreamError(data)
        if self._count(reply):
            return True
        self.tail.append(Held(data, brings_choice=bool(reply.choices)))
        return False

    def _count(self, reply: Reply) -> bool:
        """Count what it brings; False when it ends the answer, or tells the usage, and brings nothing else."""
        counts = reply.counts()
        if counts is not None:
            self.usage = counts.as_usage()
        brings = reply.characters()
        self.characters += brings
        self.pieces += brings > 0
        self.finished = self.finished or reply.finishes()
        return brings > 0 or not (self.finished or (counts is not None and not reply.choices))


def _joined(events: list[bytes]) -> bytes:
    return b"\n\n".join(events) + b"\n\n" if events else b""


def _data_of(event: bytes) -> bytes:
    if event.startswith(b"data:") and b"\n" not in event:
        return event[5:].strip()
    lines = event.split(b"\n")
    return b"\n".join(line[5:] for line in lines if line.startswith(b"data:")).strip()
