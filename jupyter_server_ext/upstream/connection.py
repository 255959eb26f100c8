"""Bytes to and from providers: an httpx transport that speaks HTTP/1.1 over asyncio and does nothing else.

All requests of the gateway pass here, so what it costs bounds what one core can serve; httpx's own transport takes
thirty times the CPU time per request, bare aiohttp more than twice (``tests/bench/test_gateway_bench.py``). What it
leaves out is left to others: proxies named in the environment are reached through httpx's own transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import urllib.request
import zlib
from collections import deque
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 30.0  # a kept connection is not used after this, as the other side may be closing it
_MOST_HEAD = 65_536
_MOST_UNREAD = 262_144  # bytes that wait to be read before the other side is slowed down

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
        """
        url = request.url
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        proxy = self._proxy_to(origin)
        if proxy is not None:
            return await proxy.handle_async_request(request)
        body = await _body_of(request)
        connection = self._kept(origin) or await self._connect(origin)
        try:
            reply = await connection.send(request, body)
        except BaseException:
            connection.abort()
            raise
        stream = _Body(connection, reply, self._keep)
        return httpx.Response(reply.status, headers=reply.headers, stream=stream, request=request)

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
        """The connection that was used last, as the others can then grow old."""
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if connection.is_fresh():
                return connection
            connection.abort()
        return None

    def _keep(self, connection: _Connection) -> None:
        self._idle.setdefault(connection.origin, []).append(connection)

    async def _connect(self, origin: Origin) -> _Connection:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        tls = self._context() if scheme == "https" else None
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

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        return self._tls

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
        self.keeps_alive = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""  # received, and not taken apart yet
        self._reply: _Reply | None = None
        self._head: asyncio.Future[_Reply] | None = None
        self._last_used = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it was asked for
        self._transport = transport

    def is_fresh(self) -> bool:
        """Whether it can be expected to stand."""
        still = self._loop.time() < self._last_used + _IDLE_SECONDS and not self._buffer
        return still and self._transport is not None and not self._transport.is_closing()

    async def send(self, request: httpx.Request, body: bytes) -> _Reply:
        """Send a request; its reply, of which status and headers are there.

        Raises:
            httpx.ReadError: The connection broke.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise httpx.ReadError("The connection is closed.")
        head: asyncio.Future[_Reply] = self._loop.create_future()
        self._head = head
        self._reply = _Reply(self, request.method)
        sent: Callable[[], None] | None = request.extensions.get("sent")
        if sent is not None:
            sent()
        transport.write(_head_of(request) + body)
        return await head

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        self._buffer = self._buffer + data if self._buffer else data
        if self._head is not None:
            self._take_head()
        if self._head is None and self._reply is not None and self._buffer:
            self._take_body()

    def eof_received(self) -> None:
        """See ``asyncio.Protocol``."""
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        broken = httpx.ReadError(str(error) if error else "The provider closed the connection.")
        if self._head is not None and not self._head.done():
            self._head.set_exception(broken)
            self._head = None
        elif self._reply is not None:
            self._reply.cut(broken)

    def finished(self) -> bool:
        """Whether the reply has been read and the connection can be used again."""
        if self._reply is None or not self._reply.complete:
            return False
        self._reply = None
        self._last_used = self._loop.time()
        return self.keeps_alive and self.is_fresh()

    def abort(self) -> None:
        """Close at once; a read under way ends."""
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

    def _take_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEAD:
                self._break("The reply's head is too long.")
            return
        lines = self._buffer[:end].split(b"\r\n")
        self._buffer = self._buffer[end + 4 :]
        try:
            version, status = lines[0].split(b" ", 2)[:2]
            headers = [_header(line) for line in lines[1:]]
            code = int(status)
        except ValueError:
            self._break("The reply is not HTTP.")
            return
        if 100 <= code < 200:
            self._take_head()  # an interim reply: the real one follows
        elif self._head is not None and self._reply is not None:
            self.keeps_alive = self._reply.begin(code, headers, keeps_alive=version == b"HTTP/1.1")
            if not self._head.done():
                self._head.set_result(self._reply)
            self._head = None

    def _take_body(self) -> None:
        assert self._reply is not None  # noqa: S101 - a body belongs to a reply
        try:
            self._buffer = self._reply.feed(self._buffer)
        except ValueError:
            self._break("The reply's chunks are damaged.")

    def _break(self, reason: str) -> None:
        self.connection_lost(OSError(reason))
        self.abort()


class _Reply:
    """One reply, its body delimited by its length, in chunks, or by the end of the connection.

    Attributes:
        status: HTTP status.
        headers: Names in lower case, and values.
        complete: Whether all of the body has arrived.
    """

    def __init__(self, connection: _Connection, method: str) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._connection = connection
        self._method = method
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._chunked = False
        self._left: int | None = None  # bytes of the body or of the chunk that are to come; None if unknown
        self.complete = False

    def begin(self, status: int, headers: list[tuple[bytes, bytes]], *, keeps_alive: bool) -> bool:
        """Read from the headers how long the body is; whether the connection can be kept afterwards."""
        self.status, self.headers = status, headers
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
            elif name == b"transfer-encoding":
                self._chunked = value.lower().endswith(b"chunked")
            elif name == b"connection":
                keeps_alive = value.lower() != b"close" and (keeps_alive or value.lower() == b"keep-alive")
        if self._chunked:
            self._left = 0
        elif self._method == "HEAD" or status in {204, 304} or self._left == 0:
            self.complete = True
        return keeps_alive and self._left is not None

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the body; what is left over."""
        if self._chunked:
            return self._feed_chunks(data)
        if self._left is None:
            self._add(data)
            return b""
        self._add(data[: self._left])
        rest = data[self._left :]
        self._left -= len(data) - len(rest)
        if self._left == 0:
            self._end()
        return rest

    def cut(self, error: Exception) -> None:
        """The connection has ended: that is the end of a body of unknown length, and the loss of any other."""
        if not self.complete and self._error is None:
            if self._left is None and not self._chunked:
                self._end()
            else:
                self._error = error
                self._wake()

    async def read(self) -> bytes:
        """What has arrived; nothing at the end."""
        while not self._parts:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._parts.popleft() if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        if self._size > _MOST_UNREAD:
            self._connection.slow_down(slow=False)
        self._size = 0
        return data

    def _feed_chunks(self, data: bytes) -> bytes:
        """Take chunks apart; an incomplete size line is left over."""
        start, length = 0, len(data)
        while start < length and not self.complete:
            if self._left:
                piece = data[start : start + self._left]
                self._add(piece)
                start += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\r\n", start)
            if end < 0:
                break
            line = data[start:end]
            start = end + 2
            if not line:
                continue  # the end of a chunk
            self._left = int(line.split(b";", 1)[0], 16)
            if self._left == 0:
                end = data.find(b"\r\n\r\n", start - 2)
                if end < 0:
                    self._left = 0
                    return data[start - 2 - len(line) :]  # trailers are still to come
                start = end + 4
                self._end()
        return data[start:]

    def _add(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
            if self._size > _MOST_UNREAD:
                self._connection.slow_down(slow=True)
            self._wake()

    def _end(self) -> None:
        self.complete = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Body(httpx.AsyncByteStream):
    """A reply's body, as it arrives; its connection is kept afterwards if it can be."""

    def __init__(self, connection: _Connection, reply: _Reply, keep: Callable[[_Connection], None]) -> None:
        self._connection: _Connection | None = connection
        self._reply = reply
        self._keep = keep
        packed = any(name == b"content-encoding" and value.lower() != b"identity" for name, value in reply.headers)
        self._unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32) if packed else None  # gzip or deflate

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._reply.read():
            yield data if self._unpack is None else self._unpacked(data)
        await self.aclose()

    async def aclose(self) -> None:
        """Keep the connection, or close it if the reply has not ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.finished():
                self._keep(connection)
            else:
                connection.abort()

    def _unpacked(self, data: bytes) -> bytes:
        assert self._unpack is not None  # noqa: S101 - only called with one
        with contextlib.suppress(zlib.error):
            return self._unpack.decompress(data)
        raise httpx.DecodingError("The reply is packed in a way that cannot be read.")


async def _body_of(request: httpx.Request) -> bytes:
    stream = request.stream
    return b"".join(stream) if isinstance(stream, httpx.ByteStream) else await request.aread()


def _head_of(request: httpx.Request) -> bytes:
    lines = [b"%s: %s\r\n" % header for header in request.headers.raw]
    method, target = request.method.encode(), request.url.raw_path
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, target, b"".join(lines))


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon:
        raise ValueError
    return name.lower(), value.strip()
