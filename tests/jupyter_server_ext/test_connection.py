"""The HTTP client below everything, against servers that speak raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
from dataclasses import dataclass, field

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import listening

from jupyter_server_ext.upstream import ProviderTransport
from jupyter_server_ext.upstream.connection import HttpReply, _Connection
from jupyter_server_ext.upstream.failures import broken

pytestmark = pytest.mark.asyncio

OK = b"HTTP/1.1 200 OK\r\n"


@dataclass
class Server:
    """Answers each request with the next of ``replies``: pieces, sent one by one; None closes the connection."""

    replies: list[list[bytes | None]]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(h.split(b":")[1]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length")), 0
                )
                self.requests.append(head + await reader.readexactly(length))
                for piece in self.replies.pop(0):
                    if piece is None:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def serving(*replies):
    server = Server(list(replies))
    async with listening(server.serve) as server.port:
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(transport=ProviderTransport(), base_url=url, trust_env=False) as client:
            yield server, client


async def until_none_is_kept(client):
    """What follows an answer arrives when it likes, on a busy machine later than any time a test would sleep."""
    async with asyncio.timeout(5):
        while any(connection.is_fresh() for kept in client._transport._idle.values() for connection in kept):
            await asyncio.sleep(0.001)


async def test_a_body_of_known_length():
    async with serving([OK + b"Content-Length: 5\r\nX-Two: a\r\nX-Two: b\r\n\r\nhel", b"lo"]) as (server, client):
        reply = await client.post("/v1/x?q=1", json={"a": 1}, headers={"X-Mine": "yes"})

    assert (reply.status_code, reply.text) == (200, "hello")
    assert reply.headers.get_list("x-two") == ["a", "b"]
    assert server.requests[0].startswith(b"POST /v1/x?q=1 HTTP/1.1\r\n")
    assert b"X-Mine: yes" in server.requests[0]
    assert server.requests[0].endswith(b'\r\n\r\n{"a":1}')


async def test_chunks_are_passed_on_as_they_come():
    pieces = [OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", b"4;x=y\r\ndefg\r\n", b"0\r\n\r\n"]
    async with serving(pieces) as (_, client), client.stream("GET", "/") as reply:
        assert [part async for part in reply.aiter_raw()] == [b"abc", b"defg"]


async def test_a_body_may_last_until_the_connection_ends():
    async with serving([OK + b"\r\nsome", b" text", None]) as (_, client):
        assert (await client.get("/")).text == "some text"


@pytest.mark.parametrize("head", [b"Content-Length: 10\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf"])
async def test_a_body_that_is_cut_is_an_error(head):
    async with serving([OK + head, None]) as (_, client):
        with pytest.raises(httpx.ReadError):
            await client.get("/")


async def test_what_arrived_before_a_cut_is_given_first():
    pieces = [OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", None]
    async with serving(pieces) as (_, client), client.stream("GET", "/") as reply:
        parts = reply.aiter_raw()
        assert await anext(parts) == b"abc"
        with pytest.raises(httpx.ReadError):
            await anext(parts)


@pytest.mark.parametrize("piece", [b"", b"HTTP/1.1 2"])
async def test_a_connection_that_closes_before_the_answer_is_an_error(piece):
    async with serving([piece, None]) as (_, client):
        with pytest.raises(httpx.ReadError):
            await client.get("/")


@pytest.mark.parametrize(
    "text", [b"SSH-2.0-OpenSSH\r\n\r\n", OK + b"no colon\r\n\r\n", OK + b"Content-Length: x\r\n\r\n"]
)
async def test_what_is_not_http_is_an_error(text):
    async with serving([text, None]) as (_, client):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")


async def test_damaged_chunks_are_an_error():
    async with serving([OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", None]) as (_, client):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")


async def test_an_endless_head_is_an_error():
    async with serving([OK + b"X: " + b"y" * 70_000, None]) as (_, client):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/")


async def test_nobody_there_was_never_sent():
    async with serving() as (server, client):
        pass
    async with httpx.AsyncClient(transport=ProviderTransport(), trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://127.0.0.1:{server.port}/")


async def test_interim_replies_are_passed_over_and_empty_ones_end():
    replies = ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi"], [b"HTTP/1.1 204 No\r\n\r\n"])
    async with serving(*replies) as (_, client):
        assert (await client.get("/")).text == "hi"
        assert (await client.get("/")).status_code == 204


async def test_packed_bodies_are_unpacked():
    data = gzip.compress(b"packed " * 100)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
    transport = ProviderTransport()
    async with serving([head + data[:20], data[20:]]) as (server, _):
        request = httpx.Request("GET", f"http://127.0.0.1:{server.port}/")
        reply = await transport.handle_async_request(request)
        assert b"".join([part async for part in reply.stream]) == b"packed " * 100


async def test_a_connection_is_kept_and_used_again():
    reply = [OK + b"Content-Length: 2\r\n\r\nhi"]
    async with serving(reply, reply, reply) as (server, client):
        for _ in range(3):
            await client.get("/")

    assert server.connections == 1


@pytest.mark.parametrize(
    "reply",
    [
        [OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi"],
        [b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi"],
        [OK + b"Content-Length: 2\r\n\r\nhi", b"and more than it said"],
    ],
    ids=["close", "1.0", "too much"],
)
async def test_a_connection_that_may_not_be_kept_is_not(reply):
    async with serving(reply, reply) as (server, client):
        for _ in range(2):
            assert (await client.get("/")).text == "hi"
            await until_none_is_kept(client)

    assert server.connections == 2


async def test_a_kept_connection_that_was_closed_meanwhile_is_not_used():
    reply = [OK + b"Content-Length: 2\r\n\r\nhi", None]
    async with serving(reply, reply) as (server, client):
        await client.get("/")
        await until_none_is_kept(client)
        await client.get("/")

    assert server.connections == 2


async def test_leaving_in_the_middle_closes_the_connection():
    pieces = [OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n"] + [b"1\r\nx\r\n"] * 50
    async with serving(pieces, [OK + b"Content-Length: 2\r\n\r\nhi"]) as (server, client):
        async with client.stream("GET", "/") as reply:
            async for _ in reply.aiter_raw():
                break
        assert (await client.get("/")).text == "hi"

    assert server.connections == 2


async def test_sent_is_told_when_the_connection_stands():
    told = []
    async with serving([OK + b"Content-Length: 2\r\n\r\nhi"]) as (_, client):
        await client.get("/", extensions={"sent": lambda: told.append(1)})

    assert told == [1]


async def test_a_reader_that_is_slow_slows_the_sender():
    body = b"x" * 3_000_000
    async with (
        serving([OK + b"Content-Length: 3000000\r\n\r\n", body]) as (_, client),
        client.stream("GET", "/") as reply,
    ):
        await asyncio.sleep(0.1)
        unread = reply.stream._stream._reply.unread
        assert unread < 2_000_000
        assert sum([len(part) async for part in reply.aiter_raw()]) == 3_000_000


async def test_a_proxy_of_the_environment_is_used(monkeypatch):
    async with serving([OK + b"Content-Length: 2\r\n\r\nhi"]) as (server, _):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
        transport = ProviderTransport()
        reply = await transport.handle_async_request(httpx.Request("GET", "http://example.invalid/v1"))
        assert await reply.aread() == b"hi"
        await transport.aclose()

    assert server.requests[0].startswith(b"GET http://example.invalid/v1 HTTP/1.1")


BODIES = [
    b"Content-Length: 11\r\n\r\nhello world",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n \r\n5\r\nworld\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nB\r\nhello world\r\n0\r\nTrailer: x\r\n\r\n",
]


@settings(max_examples=100)
@given(st.sampled_from(BODIES), st.lists(st.integers(0, 120), max_size=12))
async def test_however_the_bytes_are_cut_up(body, cuts):
    whole = OK + b"X-Y: z\r\n" + body
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    connection = _Connection(("http", "x", 80))
    connection._reply = reply = HttpReply(connection, "GET")

    for start, end in itertools.pairwise(places):
        connection.data_received(whole[start:end])

    assert reply.head.done()
    assert reply.status == 200
    assert reply.complete
    assert b"".join(reply._parts) == b"hello world"
    assert reply.keeps_alive


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DAMAGED = {
    "negative chunk": CHUNKED + b"-1\r\nhello\r\n0\r\n\r\n",
    "hex prefix": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore": CHUNKED + b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "huge chunk": CHUNKED + b"fffffffffffffffff\r\nhello",
    "no size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "bare LF": CHUNKED + b"5\nhello\n0\n\n",
    "endless extension": CHUNKED + b"5;" + b"x" * 70_000,
    "endless trailers": CHUNKED + b"0\r\n" + b"X: y\r\n" * 20_000,
    "negative length": OK + b"Content-Length: -1\r\n\r\nhello",
    "hex length": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "signed length": OK + b"Content-Length: +5\r\n\r\nhello",
    "grouped length": OK + b"Content-Length: 1_0\r\n\r\n0123456789",
    "empty length": OK + b"Content-Length:\r\n\r\nhello",
    "huge length": OK + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "list of lengths": OK + b"Content-Length: 5, 6\r\n\r\nhello!",
    "length and chunks": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "unknown coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "folded": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nhi",
    "bare CR": OK + b"X: a\rContent-Length: 2\r\n\r\nhi",
    "NUL": OK + b"X: a\0b\r\nContent-Length: 2\r\n\r\nhi",
    "many headers": OK + b"".join(b"X-%d: y\r\n" % n for n in range(300)) + b"Content-Length: 2\r\n\r\nhi",
    "no end of interim replies": b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + OK + b"Content-Length: 2\r\n\r\nhi",
    "switched": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhi",
    "status": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nhi",
    "unknown packing": OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\nhi",
    "twice packed": OK + b"Content-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\nhi",
    "damaged packing": OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
}


async def replied(text, *, close=True):
    """What a client makes of these bytes, through the real transport."""
    async with serving([text, None] if close else [text]) as (server, _):
        transport = ProviderTransport()
        try:
            async with asyncio.timeout(5):
                request = httpx.Request("POST", f"http://127.0.0.1:{server.port}/")
                reply = await transport.handle_async_request(request)
                return b"".join([part async for part in reply.stream])
        finally:
            await transport.aclose()


@pytest.mark.parametrize("name", DAMAGED)
async def test_a_damaged_reply_is_an_error(name):
    with pytest.raises((httpx.RemoteProtocolError, httpx.DecodingError)):
        await replied(DAMAGED[name])


@pytest.mark.slow
async def test_a_bomb_is_not_unpacked():
    bomb = gzip.compress(b"0" * 100_000_000)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with pytest.raises(httpx.DecodingError, match="grows too much"):
        await replied(head + bomb)


async def test_a_packed_body_that_breaks_off_is_an_error():
    with pytest.raises(httpx.DecodingError, match="breaks off"):
        await replied(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello " * 50)[:-12])


async def test_a_reset_is_not_the_end_of_a_body():
    reply = HttpReply(_Connection(("http", "x", 80)), "POST")
    reply.feed(OK + b"\r\nhalf")
    reply.cut(httpx.ReadError("reset"))

    assert await reply.read() == b"half"
    with pytest.raises(httpx.ReadError):
        await reply.read()


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"evil"])
async def test_what_follows_a_reply_is_never_the_next_ones(surplus):
    first = [OK + b"Content-Length: 2\r\n\r\nhi" + surplus]
    async with serving(first, [OK + b"Content-Length: 4\r\n\r\ngood"]) as (server, client):
        assert (await client.get("/")).text == "hi"
        assert (await client.get("/")).text == "good"

    assert server.connections == 2


async def test_a_connection_whose_request_is_not_sent_yet_is_not_kept():
    transport = ProviderTransport()

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        await asyncio.sleep(1)

    async with listening(refuse, limit=1024) as port:
        request = httpx.Request("POST", f"http://127.0.0.1:{port}/", content=b"x" * 20_000_000)
        reply = await transport.handle_async_request(request)
        assert (reply.status_code, await reply.aread()) == (413, b"no")
        assert not any(transport._idle.values())


async def reason_of(url):
    transport = ProviderTransport()
    try:
        with pytest.raises(httpx.HTTPError) as error:
            await transport.handle_async_request(httpx.Request("POST", url))
    finally:
        await transport.aclose()
    return broken(error.value)


async def test_why_there_was_no_connection_is_known():
    async def no_tls(_, writer):
        writer.write(b"no TLS here")

    async with listening(no_tls) as port:
        plain = await reason_of(f"https://127.0.0.1:{port}/")
    refused = await reason_of(f"http://127.0.0.1:{port}/")
    unknown = await reason_of("http://no-such-name.invalid/")

    assert [failure.kind for failure in (plain, refused, unknown)] == ["connection"] * 3
    assert not any(failure.sent for failure in (plain, refused, unknown))
    assert plain.detail.startswith("tls: ")
    assert refused.detail == "refused"
    assert unknown.detail == "dns: the name is not known"
