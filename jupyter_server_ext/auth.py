"""Who asks: a token becomes a ``Caller``.

Tokens come in the header ``Authorization: Bearer …`` (or ``token …``), never in the URL, where logs and histories keep
them. Those that are known beforehand are looked up by a keyed hash. Others are put to an ``Identity``, such as the
Jupyter Server this runs in, and its answer is remembered for a while.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from jupyter_server_ext.errors import NotAuthenticated, NotPermitted
from jupyter_server_ext.settings import SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from tornado.web import RequestHandler

    from jupyter_server_ext.messages import Caller
    from jupyter_server_ext.settings import Secret

Method = TypeVar("Method", bound="Callable[..., Any]")

_AUTHORIZATION = re.compile(r"(?:bearer|token)[ ]+(\S+)[ ]*", re.IGNORECASE)
_SCOPE = "rsql_scope"


def needs_scope(scope: str) -> Callable[[Method], Method]:
    """Marks a handler's method: only callers with this scope of ``SCOPES`` reach it.

    Raises:
        KeyError: There is no such scope; at import, not in front of a user.
    """
    SCOPES[scope]
    return lambda method: _marked(method, scope)


def open_to_all(method: Method) -> Method:
    """Marks a handler's method that needs no token, and so tells nobody's secrets."""
    return _marked(method, "")


def scope_of(method: object) -> str | None:
    """The scope that a handler's method needs, empty for none, None when nobody has said."""
    return getattr(method, _SCOPE, None)


def _marked(method: Method, scope: str) -> Method:
    @functools.wraps(method)
    def guarded(handler: Any, *args: str) -> Any:
        if handler.refusal is not None:  # found before the body was read
            return handler.end_refused()
        return method(handler, *args)

    setattr(guarded, _SCOPE, scope)
    # Jupyter Server warns of routes that it does not guard itself; these guard themselves.
    setattr(guarded, "__allow_unauthenticated", True)
    return cast("Method", guarded)


class Identity(Protocol):
    """Somebody else who knows callers."""

    def caller_of(self, handler: RequestHandler) -> Coroutine[Any, Any, Caller | None]:
        """Who sent this request, by its token or its cookies, or None."""


class Authenticator:
    """Tells who sent a request.

    Args:
        known: Tokens known beforehand, with their callers.
        identity: Who is asked about other tokens, and about requests without one.
        max_age: Seconds that an answer of ``identity`` about a token is remembered: what is revoked there ends here at
            most so much later.
        bad_age: The same for tokens that it does not know.
        most: Tokens remembered at once.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        known: Iterable[tuple[Secret, Caller]],
        identity: Identity | None = None,
        *,
        max_age: float = 60.0,
        bad_age: float = 10.0,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Nobody outside can compute these hashes, so how long a look-up takes tells nothing about a token.
        self._hash_key = secrets.token_bytes(32)
        self._known = {digest: (digest, caller) for secret, caller in known for digest in [self._hash(secret.reveal())]}
        self._identity = identity
        self._max_age = max_age
        self._bad_age = bad_age
        self._most = most
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}

    async def caller(self, handler: RequestHandler, scope: str) -> Caller:
        """Who sent the request, if that is somebody with the scope.

        Raises:
            NotAuthenticated: No token, or one that nobody knows.
            NotPermitted: The caller lacks the scope.
        """
        caller = await self._find(handler)
        if caller is None:
            raise NotAuthenticated("This token is not known here. Use the server's token, or a key made for you.")
        if scope not in caller.scopes:
            raise NotPermitted(f"Your token lacks the scope '{scope}' that this needs. Ask your administrator.")
        return caller

    async def _find(self, handler: RequestHandler) -> Caller | None:
        if "token" in handler.request.query_arguments:
            raise NotAuthenticated("Send the token in the header 'Authorization: Bearer …', not in the URL.")
        authorization = handler.request.headers.get("Authorization", "")
        found = _AUTHORIZATION.fullmatch(authorization)
        if found:
            return await self._by_token(found[1], handler)
        caller = await self._identity.caller_of(handler) if self._identity and not authorization else None
        if caller is None:
            raise NotAuthenticated("This needs a token, in the header 'Authorization: Bearer …'.", code="missing_token")
        return caller

    async def _by_token(self, token: str, handler: RequestHandler) -> Caller | None:
        digest = self._hash(token)
        known = self._known.get(digest)
        if known and hmac.compare_digest(known[0], digest):
            return known[1]
        if self._identity is None:
            return None
        expires, caller = self._remembered.get(digest, (0.0, None))
        return caller if self._clock() < expires else await self._ask(self._identity, digest, handler)

    async def _ask(self, identity: Identity, digest: bytes, handler: RequestHandler) -> Caller | None:
        """Ask once, however many requests with this token are waiting for the answer."""
        asking = self._asking.get(digest)
        if asking is None:
            asking = self._asking[digest] = asyncio.ensure_future(identity.caller_of(handler))
            asking.add_done_callback(lambda task: self._remember(digest, task))
        return await asyncio.shield(asking)

    def _remember(self, digest: bytes, asked: asyncio.Task[Caller | None]) -> None:
        del self._asking[digest]
        if asked.cancelled() or asked.exception():
            return
        caller = asked.result()
        self._remembered[digest] = (self._clock() + (self._max_age if caller else self._bad_age), caller)
        self._remembered.move_to_end(digest)
        while len(self._remembered) > self._most:
            self._remembered.popitem(last=False)

    def _hash(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode("utf-8", "surrogateescape"), key=self._hash_key, digest_size=32).digest()
