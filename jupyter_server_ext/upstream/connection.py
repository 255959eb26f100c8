"""Bytes to and from providers: an httpx transport over aiohttp, which costs a third of httpx's own.

It is httpx-aiohttp's transport with less on the way: the session, its address parsing and its timeouts are made once; a body is passed
as it arrives.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import aiohttp
import httpx
import yarl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10.0)


@contextlib.contextmanager
def _as_httpx_errors() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise httpx.ConnectError(str(error)) from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.ReadError(str(error)) from error


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Carries requests over one aiohttp session with kept-alive connections, as many as there are requests under way.

    Timeouts are the caller's business (``asyncio.timeout``); only connecting has one of its own, 10 s.
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
        with _as_httpx_errors():
            reply = await session.request(
                request.method,
                self._url(request.url),
                headers=request.headers.multi_items(),
                data=request.content or None,
            )
        return httpx.Response(
            reply.status,
            headers=reply.raw_headers,
            stream=_Body(reply),
            request=request,  # type: ignore[arg-type]
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0),
            timeout=_NO_TIMEOUT,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            trust_env=True,
        )

    def _url(self, url: httpx.URL) -> yarl.URL:
        known = self._urls.get(url)
        if known is None:
            known = self._urls[url] = yarl.URL(str(url))
        return known


class _Body(httpx.AsyncByteStream):
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
