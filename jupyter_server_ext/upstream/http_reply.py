"""One reply as HTTP/1.1 has it, taken apart by llhttp (``httptools``), the parser of Node.js.

llhttp is strict where replies are smuggled: a length that is no plain number, two of them, one beside chunks, folded
headers, bare line ends. What it leaves open is bounded here: the bytes of a head, of trailers and of chunk extensions,
the number of headers and of interim replies, and how far a packed body may grow.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from copy import copy
from typing import TYPE_CHECKING, Protocol

import httptools
import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_HEAD = 65_536  # bytes that may come without any of a body among them: heads, trailers, chunk extensions
_MOST_HEADERS = 256
_MOST_INTERIM = 16
_MOST_UNREAD = 262_144  # bytes that wait to be read before the other side is slowed down
_PIECE = 65_536  # of an unpacked body
_FREE_GROWTH = 1_000_000  # bytes that a packed body may grow to, however small it was; beyond it …
_MOST_GROWTH = 100  # … so many times its size, which no text reaches
_PACKED = {b"gzip", b"x-gzip", b"deflate"}
_NO_BODY = {204, 304}


class Line(Protocol):
    """The connection that a reply comes by."""

    def slow_down(self, *, slow: bool) -> None:
        """Stop or resume taking in data."""


class Damaged(Exception):
    """What came is no HTTP, or beyond the bounds; the words say which."""


class Reply:
    """One reply, its body delimited by its length, in chunks, or by the end of the connection.

    Args:
        line: The connection that it comes by.
        method: Of the request.

    Attributes:
        status: HTTP status; 0 while the head has not come.
        headers: Names in lower case, and values.
        complete: Whether all of the body has arrived.
        keeps_alive: Whether the connection can be used again afterwards.
        head: Is done when status and headers are there, or never will be.
        unread: Bytes of the body that wait to be read.
    """

    def __init__(self, line: Line, method: str = "POST") -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.keeps_alive = False
        self.head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unread = 0
        self._line = line
        self._bodiless = method == "HEAD"
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._interim = 0
        self._lasts_until_close = False
        self._overhead = 0  # bytes since the last of the body
        self._parts: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    def feed(self, data: bytes) -> None:
        """Take what arrived.

        Raises:
            Damaged: It cannot be read on.
        """
        parser = self._parser
        if parser is None:
            self.keeps_alive = False  # more than the reply
            return
        self._overhead += len(data)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keeps_alive = False
            if not self.complete:
                raise Damaged(_words(error)) from None
        if self.complete:
            self._parser = None
        elif self._overhead > _MOST_HEAD and not self._lasts_until_close:
            raise Damaged("The reply's head is too long." if not self.status else "The reply's chunks bring nothing.")

    def cut(self, error: Exception | None) -> None:
        """The connection has ended: without an error the end of a body of unknown length, and the loss of any other."""
        self._parser = None
        if self.complete or self._error is not None:
            return
        if self._lasts_until_close and error is None:
            self._end()
            return
        self._error = error or httpx.ReadError("The provider closed the connection.")
        if not self.head.done():
            self.head.set_result(None)
        self._wake()

    async def begun(self) -> None:
        """Returns when status and headers are there.

        Raises:
            httpx.TransportError: They never came.
        """
        await self.head
        if not self.status:
            self._fail()

    async def read(self) -> bytes:
        """What has arrived; nothing at the end."""
        while not self._parts:
            if self.complete:
                return b""
            self._fail()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._parts.popleft() if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        if self.unread > _MOST_UNREAD:
            self._line.slow_down(slow=False)
        self.unread = 0
        return data

    # What httptools calls ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Another reply begins: after an interim one that is as it should be."""
        if self.complete:
            raise Damaged("More came than the reply.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or trailer."""
        if len(self.headers) >= _MOST_HEADERS:
            raise Damaged("The reply has too many headers.")
        if not self.status:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there."""
        parser = self._parser
        assert parser is not None  # noqa: S101 - it is what calls
        status = parser.get_status_code()
        if (100 < status < 200 and status != 101) or status == 100:
            self._interim += 1
            self.headers.clear()
            if self._interim > _MOST_INTERIM:
                raise Damaged("The reply never begins.")
            return
        if not 200 <= status < 1000:
            raise Damaged("The reply's status is none.")
        self._measure(status)
        self.status = status
        self.keeps_alive = (
            not (self._bodiless or self._lasts_until_close)
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
        )
        if self._bodiless:
            self._end()
        if not self.head.done():
            self.head.set_result(None)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self.complete:
            return
        self._overhead = 0
        self._parts.append(data)
        self.unread += len(data)
        if self.unread > _MOST_UNREAD:
            self._line.slow_down(slow=True)
        self._wake()

    def on_message_complete(self) -> None:
        """All of it has come, or of an interim reply."""
        if self.status:
            self._end()

    def _measure(self, status: int) -> None:
        """How the body's end is known."""
        told = [name for name, _ in self.headers if name in {b"content-length", b"transfer-encoding"}]
        codings = b",".join(value for name, value in self.headers if name == b"transfer-encoding").strip().lower()
        if codings not in {b"", b"chunked"}:
            raise Damaged("The reply's transfer coding is unknown.")
        self._lasts_until_close = not (told or self._bodiless or status in _NO_BODY)

    def _end(self) -> None:
        self.complete = True
        self._wake()

    def _fail(self) -> None:
        if self._error is not None:
            raise copy(self._error)  # a raised one keeps the frames that keep this reply

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Unpacking:
    """Unpacks a body as it comes, in small pieces and within bounds.

    Args:
        coding: Of the header ``content-encoding``.

    Raises:
        httpx.DecodingError: The coding is unknown.

    Example:
        >>> unpacking = Unpacking(b"deflate")
        >>> b"".join(unpacking.pieces(zlib.compress(b"text")))
        b'text'
    """

    def __init__(self, coding: bytes) -> None:
        if coding not in _PACKED:
            raise httpx.DecodingError("The reply is packed in a way that is unknown.")
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # finds out which of the two it is
        self._taken = self._given = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What so much more of the body brings.

        Raises:
            httpx.DecodingError: It is damaged, or grows beyond all measure.
        """
        self._taken += len(data)
        while data:
            try:
                piece = self._inflate.decompress(data, _PIECE)
            except zlib.error:
                raise httpx.DecodingError("The reply is packed in a way that cannot be read.") from None
            self._given += len(piece)
            if self._given > max(_FREE_GROWTH, _MOST_GROWTH * self._taken):
                raise httpx.DecodingError("The reply grows too much when it is unpacked.")
            data = self._inflate.unconsumed_tail
            if self._inflate.eof and self._inflate.unused_data:
                raise httpx.DecodingError("The reply goes on after its end.")
            if piece:
                yield piece

    def end(self) -> None:
        """The body has ended.

        Raises:
            httpx.DecodingError: What was packed had not.
        """
        if self._taken and not self._inflate.eof:
            raise httpx.DecodingError("The reply breaks off.")


def unpacking(headers: list[tuple[bytes, bytes]]) -> Unpacking | None:
    """What unpacks a body with these headers; None if it is not packed.

    Raises:
        httpx.DecodingError: It is, in a way that is unknown.
    """
    codings = [value.strip().lower() for name, value in headers if name == b"content-encoding"]
    coding = b",".join(name for name in codings if name not in {b"", b"identity"})
    return Unpacking(coding) if coding else None


def _words(error: Exception) -> str:
    """What llhttp, or one of our own bounds, found."""
    own = error.__context__
    return str(own) if isinstance(own, Damaged) else f"The reply is not HTTP: {error}."
