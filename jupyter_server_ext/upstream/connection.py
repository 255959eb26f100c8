"""Bytes to and from providers: an httpx transport that speaks HTTP/1.1 over asyncio and does nothing else."""

# All requests of the gateway pass here, so its cost bounds what one core can serve; httpx's own transport takes thirty
# times the CPU time per request, bare aiohttp more than twice (``tests/bench/test_gateway_bench.py``). Proxies named in
# the environment are reached through httpx's own transport.
#
# llhttp (``httptools``), the parser of Node.js, takes replies apart. It is strict where replies are smuggled: a length
# that is no plain number, two of them, one beside chunks, folded headers, bare line ends. What it leaves open is
# bounded here: the bytes of a head, of trailers and of chunk extensions, the number of headers and of interim replies,
# and how far a packed body may grow.

from __future__ import annotations

import asyncio
import ssl
import urllib.request
import zlib
from collections import deque
from copy import copy
from typing import TYPE_CHECKING

import httptools

from jupyter_server_ext.http_client import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_CONNECT_SECONDS = 10.0  # a provider that does not take a connection by then will not soon
_IDLE_SECONDS = 30.0  # a kept connection is not used after this, as the other side may be closing it
_MOST_HEAD = 65_536  # bytes that may come without any of a body among them: heads, trailers, chunk extensions
_MOST_HEADERS = 256  # far more than any provider sends
_MOST_INTERIM = 16  # replies such as 103, before the one that counts
_MOST_UNREAD = 262_144  # bytes that wait to be read before the other side is slowed down
_PIECE = 65_536  # of an unpacked body
_FREE_GROWTH = 1_000_000  # bytes that a packed body may grow to, however small it was; beyond it …
_MOST_GROWTH = 100  # … so many times its size, which no text reaches
_PACKED = {b"gzip", b"x-gzip", b"deflate"}
_NO_BODY = {204, 304}

Origin = tuple[str, str, int]


class ProviderTransport(httpx.AsyncBaseTransport):
    """Carries requests over kept-alive connections, as many as there are requests under way.

    How long an answer may take is the caller's business (``asyncio.timeout``); only connecting has a limit here, 10 s.
    A request's extension ``sent`` may hold a function that is called when the request is on its way.

    Example:
        ::

            client = httpx.AsyncClient(transport=ProviderTransport())
            await client.post("http://127.0.0.1:11434/v1/chat/completions", json=body)
    """

    def __init__(self) -> None:
        self._idle: dict[Origin, list[_Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._by_proxy: dict[Origin, httpx.AsyncHTTPTransport | None] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; the reply's body is still to be read.

        Raises:
            httpx.ConnectError: It was not sent.
            httpx.ReadError: It was, perhaps.
            httpx.RemoteProtocolError: What came is no reply.
        """
        url = request.url
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        proxy = self._proxy_to(origin)
        if proxy is not None:
            return await proxy.handle_async_request(request)
        stream = request.stream
        body = b"".join(stream) if isinstance(stream, httpx.ByteStream) else await request.aread()
        connection = self._kept(origin) or await self._connect(origin)
        try:
            reply = await connection.send(request, body)
        except BaseException:
            connection.abort()
            raise
        answer = _Body(connection, reply, self._idle.setdefault(origin, []))
        return httpx.Response(reply.status, headers=reply.headers, stream=answer, request=request)

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        for kept in self._idle.values():
            for connection in kept:
                connection.abort()
        self._idle.clear()
        for transport in self._by_proxy.values():
            if transport is not None:
                await transport.aclose()

    def _kept(self, origin: Origin) -> _Connection | None:
        # The connection that was used last, as the others can then grow old.
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if connection.is_fresh():
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin) -> _Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        if scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context()
        tls = self._tls if scheme == "https" else None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: _Connection(origin), host, port, ssl=tls, happy_eyeballs_delay=0.25
                )
        except TimeoutError:
            raise httpx.ConnectTimeout("The connection took too long.") from None
        except (OSError, ssl.SSLError) as error:
            raise httpx.ConnectError(str(error)) from error
        return connection

    def _proxy_to(self, origin: Origin) -> httpx.AsyncHTTPTransport | None:
        if origin not in self._by_proxy:
            address = None
            if not urllib.request.proxy_bypass(origin[1]):
                proxies = urllib.request.getproxies()
                address = proxies.get(origin[0]) or proxies.get("all")
            limits = httpx.Limits(max_connections=None)
            self._by_proxy[origin] = httpx.AsyncHTTPTransport(proxy=address, limits=limits) if address else None
        return self._by_proxy[origin]


class _Connection(asyncio.Protocol):
    """One connection: a request at a time, its reply read as it comes."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reply: HttpReply | None = None
        self._last_used = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it was asked for
        self._transport = transport

    def is_fresh(self) -> bool:
        """Whether it can be expected to stand."""
        still = self._loop.time() < self._last_used + _IDLE_SECONDS
        return still and self._transport is not None and not self._transport.is_closing()

    async def send(self, request: httpx.Request, body: bytes) -> HttpReply:
        """Send a request; its reply, of which status and headers are there."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise httpx.ReadError("The connection is closed.")
        reply = self._reply = HttpReply(self, request.method)
        sent: Callable[[], None] | None = request.extensions.get("sent")
        if sent is not None:
            sent()
        lines = b"".join([b"%s: %s\r\n" % header for header in request.headers.raw])
        start = request.method.encode(), request.url.raw_path
        transport.write(b"%s %s HTTP/1.1\r\n%s\r\n%s" % (*start, lines, body))
        await reply.begun()
        return reply

    def data_received(self, data: bytes) -> None:
        if self._reply is None:
            self.abort()  # nothing was asked
            return
        try:
            self._reply.feed(data)
        except Damaged as damage:
            self._reply.cut(httpx.RemoteProtocolError(str(damage)))
            self.abort()

    def eof_received(self) -> None:
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._reply is not None:
            self._reply.cut(httpx.ReadError(str(error)) if error else None)

    def finished(self) -> bool:
        # Whether the reply has been read and the connection can be used again.
        reply = self._reply
        if reply is None or not reply.complete:
            return False
        self._reply = None
        self._last_used = self._loop.time()
        if not reply.keeps_alive or not self.is_fresh() or self._transport is None:
            return False
        # After an early reply, the rest of the request would go before the next one.
        return not self._transport.get_write_buffer_size()

    def abort(self) -> None:
        # Close at once; a read under way ends.
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.cut(httpx.ReadError("The connection was closed here."))
        if self._transport is not None:
            self._transport.abort()

    def slow_down(self, *, slow: bool) -> None:
        """Stop or resume taking in data."""
        if self._transport is not None and not self._transport.is_closing():
            if slow:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()


class _Body(httpx.AsyncByteStream):
    """A reply's body, as it arrives; its connection is kept afterwards if it can be."""

    def __init__(self, connection: _Connection, reply: HttpReply, idle: list[_Connection]) -> None:
        self._connection: _Connection | None = connection
        self._reply = reply
        self._idle = idle

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpack = unpacking(self._reply.headers)
        while data := await self._reply.read():
            if unpack is None:
                yield data
            else:
                for piece in unpack.pieces(data):
                    yield piece
        if unpack is not None:
            unpack.end()
        await self.aclose()

    async def aclose(self) -> None:
        # Keep the connection, or close it if the reply has not ended.
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.finished():
                self._idle.append(connection)
            else:
                connection.abort()


class Damaged(Exception):
    """What came is no HTTP, or beyond the bounds; the words say which."""


class HttpReply:
    """One reply, its body delimited by its length, in chunks, or by the end of the connection."""

    def __init__(self, line: _Connection, method: str = "POST") -> None:
        self.status = 0  # HTTP status; 0 while the head has not come
        self.headers: list[tuple[bytes, bytes]] = []  # names in lower case, and values
        self.complete = False  # whether all of the body has arrived
        self.keeps_alive = False  # whether the connection can be used again afterwards
        # Is done when status and headers are there, or never will be.
        self.head: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unread = 0  # bytes of the body that wait to be read
        self._line = line  # the connection that it comes by
        self._bodiless = method == "HEAD"
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._interim = 0
        self._lasts_until_close = False
        self._overhead = 0  # bytes since the last of the body
        self._parts: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
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
                own = error.__context__  # llhttp's words, or those of a bound of our own
                raise Damaged(str(own) if isinstance(own, Damaged) else f"The reply is not HTTP: {error}.") from None
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
            self.on_message_complete()
            return
        self._error = error or httpx.ReadError("The provider closed the connection.")
        if not self.head.done():
            self.head.set_result(None)
        self._wake()

    async def begun(self) -> None:
        """Returns when status and headers are there."""
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
        # How the body's end is known.
        measures = [name for name, _ in self.headers if name in {b"content-length", b"transfer-encoding"}]
        codings = b",".join(value for name, value in self.headers if name == b"transfer-encoding").strip().lower()
        if codings not in {b"", b"chunked"}:
            raise Damaged("The reply's transfer coding is unknown.")
        self._lasts_until_close = not (measures or self._bodiless or status in _NO_BODY)
        self.status = status
        self.keeps_alive = (
            not (self._bodiless or self._lasts_until_close)
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
        )
        if self._bodiless:
            self.on_message_complete()
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
            self.complete = True
            self._wake()

    def _fail(self) -> None:
        if self._error is not None:
            raise copy(self._error)  # a raised one keeps the frames that keep this reply

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Unpacking:
    """Unpacks a body as it comes, by its header ``content-encoding``, in small pieces and within bounds."""

    def __init__(self, coding: bytes) -> None:
        if coding not in _PACKED:
            raise httpx.DecodingError("The reply is packed in a way that is unknown.")
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # finds out which of the two it is
        self._taken = self._given = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What so much more of the body brings."""
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
        """The body has ended."""
        if self._taken and not self._inflate.eof:
            raise httpx.DecodingError("The reply breaks off.")


def unpacking(headers: list[tuple[bytes, bytes]]) -> Unpacking | None:
    """What unpacks a body with these headers; None if it is not packed."""
    codings = [value.strip().lower() for name, value in headers if name == b"content-encoding"]
    coding = b",".join(name for name in codings if name not in {b"", b"identity"})
    return Unpacking(coding) if coding else None
