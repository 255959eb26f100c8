"""Bytes to and from providers: an httpx transport that speaks HTTP/1.1 over asyncio and does nothing else.

All requests of the gateway pass here, so what it costs bounds what one core can serve; httpx's own transport takes
thirty times the CPU time per request, bare aiohttp more than twice (``tests/bench/test_gateway_bench.py``). What it
leaves out is left to others: proxies named in the environment are reached through httpx's own transport.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from typing import TYPE_CHECKING

import httpx

from .http_reply import Damaged, Reply, unpacking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 30.0  # a kept connection is not used after this, as the other side may be closing it

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
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._last_used = self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.Protocol``."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it was asked for
        self._transport = transport

    def is_fresh(self) -> bool:
        """Whether it can be expected to stand."""
        still = self._loop.time() < self._last_used + _IDLE_SECONDS
        return still and self._transport is not None and not self._transport.is_closing()

    async def send(self, request: httpx.Request, body: bytes) -> Reply:
        """Send a request; its reply, of which status and headers are there.

        Raises:
            httpx.ReadError: The connection broke.
            httpx.RemoteProtocolError: What came is no reply.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise httpx.ReadError("The connection is closed.")
        reply = self._reply = Reply(self, request.method)
        sent: Callable[[], None] | None = request.extensions.get("sent")
        if sent is not None:
            sent()
        transport.write(_head_of(request) + body)
        await reply.begun()
        return reply

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        if self._reply is None:
            self.abort()  # nothing was asked
            return
        try:
            self._reply.feed(data)
        except Damaged as damage:
            self._reply.cut(httpx.RemoteProtocolError(str(damage)))
            self.abort()

    def eof_received(self) -> None:
        """See ``asyncio.Protocol``."""
        self.connection_lost(None)

    def connection_lost(self, error: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        if self._reply is not None:
            self._reply.cut(httpx.ReadError(str(error)) if error else None)

    def finished(self) -> bool:
        """Whether the reply has been read and the connection can be used again."""
        reply = self._reply
        if reply is None or not reply.complete:
            return False
        self._reply = None
        self._last_used = self._loop.time()
        return reply.keeps_alive and self.is_fresh() and self._has_sent_all()

    def _has_sent_all(self) -> bool:
        """Not where the reply came early: what is left of the request would go before the next one."""
        return self._transport is not None and not self._transport.get_write_buffer_size()

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


class _Body(httpx.AsyncByteStream):
    """A reply's body, as it arrives; its connection is kept afterwards if it can be."""

    def __init__(self, connection: _Connection, reply: Reply, keep: Callable[[_Connection], None]) -> None:
        self._connection: _Connection | None = connection
        self._reply = reply
        self._keep = keep

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
        """Keep the connection, or close it if the reply has not ended."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.finished():
                self._keep(connection)
            else:
                connection.abort()


async def _body_of(request: httpx.Request) -> bytes:
    stream = request.stream
    return b"".join(stream) if isinstance(stream, httpx.ByteStream) else await request.aread()


def _head_of(request: httpx.Request) -> bytes:
    lines = [b"%s: %s\r\n" % header for header in request.headers.raw]
    method, target = request.method.encode(), request.url.raw_path
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (method, target, b"".join(lines))
