"""Bytes to and from providers: an httpx transport over aiohttp, at a fraction of the cost of httpx's own.

It does what httpx-aiohttp's transport does, with less on the way: a session, addresses and timeouts that are made once,
and bodies passed on as they arrive.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import aiohttp
import httpx
import yarl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aiohttp.abc import AbstractStreamWriter

_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10.0)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Carries requests over kept-alive connections, as many as there are requests under way.

    How long an answer may take is the caller's business (``asyncio.timeout``); only connecting has a limit here, 10 s.
    A request's extension ``sent`` may hold a function that is called when the request is on its way.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._urls: dict[httpx.URL, yarl.URL] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; the reply's body is still to be read.

        Raises:
            httpx.ConnectError: It was not sent.
            httpx.ReadError: It was, perhaps.
        """
        session = self._session
        if session is None or session.closed:
            session = self._session = self._open()
        body = _Outgoing(request.content, request.extensions.get("sent")) if request.content else None
        with _as_httpx_errors():
            reply = await session.request(
                request.method, self._url(request.url), headers=request.headers.multi_items(), data=body
            )
        return httpx.Response(reply.status, headers=list(reply.raw_headers), stream=_Incoming(reply), request=request)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
            timeout=_TIMEOUT,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=True,
        )

    def _url(self, url: httpx.URL) -> yarl.URL:
        known = self._urls.get(url)
        if known is None:
            known = self._urls[url] = yarl.URL(str(url))
        return known


class _Outgoing(aiohttp.Payload):
    """A body that says when it is written."""

    def __init__(self, body: bytes, sent: Callable[[], None] | None) -> None:
        super().__init__(body, content_type="application/json")
        self._size = len(body)
        self._sent = sent

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        body: bytes = self._value
        return body.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002
        """Write it; the connection stands and everything before it is written."""
        if self._sent is not None:
            self._sent()
        await writer.write(self._value)


class _Incoming(httpx.AsyncByteStream):
    """A reply's body, as it arrives."""

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._reply.content
        with _as_httpx_errors():
            while chunk := await content.readany():
                yield chunk

    async def aclose(self) -> None:
        """Give the connection back, or close it if the reply has not ended."""
        self._reply.release()


@contextlib.contextmanager
def _as_httpx_errors() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise httpx.ConnectError(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.ReadError(str(error)) from error
