"""Who a token stands for: known ones, those that somebody else knows, and floods of bad ones."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from jupyter_server_ext.config import Secret
from jupyter_server_ext.errors import NotAuthenticated, NotPermitted
from jupyter_server_ext.identity import Authenticator
from jupyter_server_ext.messages import Caller

ADA = Caller("ada")
pytestmark = pytest.mark.asyncio


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Hub:
    """Knows tokens by what they say, and counts how often it is asked."""

    def __init__(self, known=()):
        self.known = dict(known)
        self.asked = 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def caller_of(self, handler):
        self.asked += 1
        await self.answer.wait()
        return self.known.get(handler.request.headers.get("Authorization", ""))


def request(authorization=None, **arguments):
    headers = {} if authorization is None else {"Authorization": authorization}
    return SimpleNamespace(request=SimpleNamespace(headers=headers, query_arguments=arguments))


async def test_a_known_token_is_its_caller():
    auth = Authenticator([(Secret("t1"), ADA), (Secret("täst"), Caller("bob"))])

    assert await auth.caller(request("Bearer t1"), "chat") == ADA
    assert await auth.caller(request("token täst"), "chat") == Caller("bob")


async def test_tokens_are_not_kept_in_the_clear():
    auth = Authenticator([(Secret("a-long-secret"), ADA)])

    assert b"a-long-secret" not in repr(vars(auth)).encode()


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer t2", "Basic t1", "Bearer t1 t1", "t1"])
async def test_anything_else_is_nobody(header):
    with pytest.raises(NotAuthenticated):
        await Authenticator([(Secret("t1"), ADA)]).caller(request(header), "chat")


async def test_a_token_in_the_url_is_refused_even_beside_a_good_one():
    auth = Authenticator([(Secret("t1"), ADA)], Hub({"": ADA}))

    with pytest.raises(NotAuthenticated, match="not in the URL"):
        await auth.caller(request("Bearer t1", token=[b"t1"]), "chat")


async def test_a_missing_scope_is_named():
    with pytest.raises(NotPermitted, match="'admin'"):
        await Authenticator([(Secret("t1"), ADA)]).caller(request("Bearer t1"), "admin")


async def test_who_is_known_elsewhere_is_remembered_for_a_while():
    clock, hub = Clock(), Hub({"Bearer hub-token": ADA})
    auth = Authenticator([], hub, max_age=60, clock=clock)

    for _ in range(5):
        assert await auth.caller(request("Bearer hub-token"), "chat") == ADA
    assert hub.asked == 1

    hub.known.clear()  # revoked
    clock.now = 59.9
    assert await auth.caller(request("Bearer hub-token"), "chat") == ADA
    clock.now = 60.1
    with pytest.raises(NotAuthenticated):
        await auth.caller(request("Bearer hub-token"), "chat")


async def test_a_bad_token_is_remembered_for_a_shorter_while():
    clock, hub = Clock(), Hub()
    auth = Authenticator([], hub, bad_age=10, clock=clock)

    for _ in range(1000):
        with pytest.raises(NotAuthenticated):
            await auth.caller(request("Bearer late-token"), "chat")
    assert hub.asked == 1

    hub.known["Bearer late-token"] = ADA
    clock.now = 10.1
    assert await auth.caller(request("Bearer late-token"), "chat") == ADA


async def test_fifty_requests_at_once_ask_once():
    hub = Hub({"Bearer hub-token": ADA})
    hub.answer.clear()
    auth = Authenticator([], hub)
    asking = [asyncio.ensure_future(auth.caller(request("Bearer hub-token"), "chat")) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()  # the first to ask leaves; the others get their answer
    hub.answer.set()

    callers = await asyncio.gather(*asking, return_exceptions=True)

    assert callers[1:] == [ADA] * 49
    assert hub.asked == 1


async def test_a_failing_neighbour_is_asked_again():
    hub = Hub()
    failing = hub.caller_of

    async def broken(handler):
        hub.asked += 1
        raise ConnectionError

    hub.caller_of = broken
    auth = Authenticator([], hub)
    with pytest.raises(ConnectionError):
        await auth.caller(request("Bearer hub-token"), "chat")
    hub.caller_of, hub.known = failing, {"Bearer hub-token": ADA}

    assert await auth.caller(request("Bearer hub-token"), "chat") == ADA


async def test_memory_is_bounded_under_a_flood():
    auth = Authenticator([], Hub(), most=100)

    for number in range(1000):
        with pytest.raises(NotAuthenticated):
            await auth.caller(request(f"Bearer bad-{number}"), "chat")

    assert len(auth._remembered) == 100
    assert not auth._asking


async def test_a_request_without_a_token_may_be_known_by_its_cookies():
    hub = Hub({"": ADA})
    auth = Authenticator([], hub)

    assert await auth.caller(request(), "chat") == ADA
    with pytest.raises(NotAuthenticated):
        await auth.caller(request("Basic x"), "chat")
