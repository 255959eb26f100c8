"""Authentication: a token becomes a ``Caller``; and the policy of the caller's tenant for a request."""

# Tokens come in the header ``Authorization: Bearer …`` (or ``token …``), never in the URL, where logs and histories
# keep them. Those that are known beforehand are looked up by a keyed hash. Others go to an ``Identity``, such as the
# JupyterHub or the Jupyter Server this runs in, and its answer is remembered for a while; for longer when the identity
# does not answer, so that a hub's restart stops no known caller.
#
# A policy is what an administrator decided about each group, as a value of ``settings``: its models, its weight in the
# queue, words added to its requests. Amounts live in ``limits``.

from __future__ import annotations

import asyncio
import dataclasses
import functools
import hashlib
import hmac
import math
import re
import secrets
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

import msgspec

from jupyter_server_ext.config import SCOPES, TenantSettings, holds
from jupyter_server_ext.errors import LimitExceeded, ModelNotServed, NotAuthenticated, NotPermitted, RsqlGatewayError
from jupyter_server_ext.limits import RollingWindow
from jupyter_server_ext.messages import is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from tornado.web import RequestHandler

    from jupyter_server_ext.config import Secret, Settings
    from jupyter_server_ext.messages import Caller, ChatRequest, Weighed


Method = TypeVar("Method", bound="Callable[..., Any]")

_AUTHORIZATION = re.compile(r"(?:bearer|token)[ ]+(\S+)[ ]*", re.IGNORECASE)
_SCOPES = "rsql_scopes"
_AGAIN_SECONDS = 5.0  # how soon an identity that does not answer is asked again about a token that is known
_PATIENCE_SECONDS = 1.0  # with an identity that is slow, when the caller is known from before
_MOST_ADDRESSES = 10_000  # whose bad tokens are counted; a flood from many must not fill the memory
_AT_ONCE = 20  # unknown tokens that an identity is asked about at the same time


class IdentityUnavailable(RsqlGatewayError):
    """The identity provider does not answer, and this caller is not known from before."""

    status, code = 503, "identity_unavailable"

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=_AGAIN_SECONDS)


def needs_scope(*scopes: str) -> Callable[[Method], Method]:
    """Marks a handler's method: only callers with one of these scopes of ``SCOPES`` reach it.

    Raises:
        KeyError: There is no such scope, or none is named; at import, not in front of a user.
    """
    if not scopes or not {*scopes} <= {*SCOPES}:
        raise KeyError(*scopes)
    ordered = tuple(scope for scope in SCOPES if scope in scopes)
    return lambda method: _marked(method, ordered)


def open_to_all(method: Method) -> Method:
    """Marks a handler's method that needs no token, and so must give away nothing of any caller."""
    return _marked(method, ())


def scopes_needed(method: object) -> tuple[str, ...] | None:
    """The scopes of which a handler's method needs one, empty for none, None where it is not marked."""
    return getattr(method, _SCOPES, None)


def require(caller: Caller, *scopes: str) -> None:
    """Let a caller go on who has one of these scopes.

    Raises:
        NotPermitted: The caller has none of them.
    """
    if any(holds(caller.scopes, scope) for scope in scopes):
        return
    lacking = " or ".join(f"'{scope}'" for scope in scopes)
    raise NotPermitted(
        f"Your token lacks the scope {lacking} that this needs. Make a key that has it on the gateway's page, "
        "or ask your administrator.",
        code="missing_scope",
    )


def _marked(method: Method, scopes: tuple[str, ...]) -> Method:
    @functools.wraps(method)
    def guarded(handler: Any, *args: str) -> Any:
        handler.wait_no_longer()
        if handler.refusal is not None:  # found before the body was read
            return handler.end_refused()
        return method(handler, *args)

    setattr(guarded, _SCOPES, scopes)
    # Jupyter Server warns of routes that it does not guard itself; these guard themselves.
    setattr(guarded, "__allow_unauthenticated", True)
    return cast("Method", guarded)


def token_of(handler: RequestHandler) -> str:
    """The token in a request's header, empty when there is none."""
    found = _AUTHORIZATION.fullmatch(handler.request.headers.get("Authorization", ""))
    return found[1] if found else ""


def behind_proxy(handler: RequestHandler) -> str:
    """The address of a client behind the hub's proxy, which puts it last, whatever came before."""
    forwarded = handler.request.headers.get("X-Forwarded-For", "")
    return forwarded.rpartition(",")[2].strip() or str(handler.request.remote_ip)


class Identity(Protocol):
    """An identity provider."""

    def caller_of(self, handler: RequestHandler) -> Coroutine[Any, Any, Caller | None]:
        """The caller of a request, by its token or its cookies, or None.

        Raises:
            IdentityUnavailable: It does not answer now.
        """


@dataclasses.dataclass(eq=False, repr=False)
class BadTokens:
    """Bounds how often an identity is asked about unknown tokens."""

    per_address: int = 60  # unknown tokens per minute from one address
    in_all: dataclasses.InitVar[int] = 600  # the same from everywhere
    _: dataclasses.KW_ONLY
    clock: Callable[[], float] = time.monotonic  # seconds, never going back

    def __post_init__(self, in_all: int) -> None:
        self._all = RollingWindow(60.0, in_all)
        self._addresses: OrderedDict[str, RollingWindow] = OrderedDict()

    def check(self, address: str) -> None:
        """Refuse to ask once more for this address.

        Raises:
            LimitExceeded: Too many tokens of late were bad.
        """
        now = self.clock()
        if wait := max(self._all.wait(now, 1), self._of(address).wait(now, 1)):
            words = "Too many unknown tokens came from here. Try again later, with the right token."
            raise LimitExceeded(words, code="too_many_bad_tokens", retry_after=wait)

    def count(self, address: str) -> None:
        """A token from this address was bad."""
        now = self.clock()
        self._all.take(now, 1)
        self._of(address).take(now, 1)

    def _of(self, address: str) -> RollingWindow:
        window = self._addresses.get(address) or RollingWindow(60.0, self.per_address)
        self._addresses[address] = window
        self._addresses.move_to_end(address)
        while len(self._addresses) > _MOST_ADDRESSES:
            self._addresses.popitem(last=False)
        return window


class _KnownToken(NamedTuple):
    """An answer of the identity: the caller, until when it is fresh, and until when it does if there is no other."""

    caller: Caller | None
    fresh_until: float
    good_until: float


_UNKNOWN = _KnownToken(None, -math.inf, -math.inf)


@dataclasses.dataclass(eq=False, repr=False)
class Authenticator:
    """Finds the callers of requests."""

    known: dataclasses.InitVar[Iterable[tuple[Secret, Caller]]]  # tokens known beforehand, with their callers
    identity: Identity | None = None  # knows other tokens, and requests without one
    _: dataclasses.KW_ONLY
    # Seconds that an answer of ``identity`` about a token is remembered: what is revoked there ends here at most so
    # much later.
    max_age: float = 60.0
    bad_age: float = 10.0  # the same for tokens that it does not know
    outage: float = 0.0  # how many seconds longer a known caller goes on while ``identity`` does not answer
    bad_tokens: BadTokens | None = None  # bounds the questions about unknown tokens
    address: Callable[[RequestHandler], str] = lambda _: ""  # where a request comes from, for ``bad_tokens``
    session: Callable[[RequestHandler], str] = lambda _: ""  # what stands for a token in a browser's request, if any
    # Returns a caller in the tenant that an administrator put it in, at once and whatever is remembered of its token.
    placed: Callable[[Caller], Caller] = lambda caller: caller
    most: int = 10_000  # tokens remembered at once
    clock: Callable[[], float] = time.monotonic  # seconds, never going back

    def __post_init__(self, known: Iterable[tuple[Secret, Caller]]) -> None:
        # Only this process can compute these hashes, so the time of a look-up gives nothing of a token away.
        self._hash_key = secrets.token_bytes(32)
        self._known = {digest: (digest, caller) for secret, caller in known for digest in [self._hash(secret.reveal())]}
        self._remembered: OrderedDict[bytes, _KnownToken] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._few = asyncio.Semaphore(_AT_ONCE)

    async def caller(self, handler: RequestHandler, *scopes: str) -> Caller:
        """The caller of a request, if it has one of the scopes.

        Raises:
            NotAuthenticated: No token, or an unknown one.
            NotPermitted: The caller has none of them, or has a name that no record can hold.
            IdentityUnavailable: The identity does not answer now.
            LimitExceeded: Too many tokens from there were bad.
        """
        caller = await self._find(handler)
        if caller is None:
            raise NotAuthenticated("This token is not known here. Use the server's token, or a key made for you.")
        caller = self.placed(caller)
        require(caller, *scopes)
        if not (is_name(caller.name) and is_name(caller.tenant)):
            raise NotPermitted(
                "Your name, or your group's, is too long or holds control characters, so no use of yours could be "
                "recorded. Ask your administrator for another.",
                code="unusable_name",
            )
        return caller

    def forget(self, name: str) -> None:
        """Ask anew about every token of a caller, at its next request."""
        own = [digest for digest, known in self._remembered.items() if known.caller and known.caller.name == name]
        for digest in own:
            del self._remembered[digest]

    async def _find(self, handler: RequestHandler) -> Caller | None:
        # Even a right one: it would stand in logs and histories.
        if "token" in handler.request.query_arguments:
            raise NotAuthenticated("Send the token in the header 'Authorization: Bearer …', not in the URL.")
        if token := token_of(handler):
            return await self._by_token(token, handler)
        authorization = handler.request.headers.get("Authorization", "")
        if not authorization and (session := self.session(handler)):
            return await self._by_token(f"session {session}", handler)
        caller = await self.identity.caller_of(handler) if self.identity and not authorization else None
        if caller is None:
            raise NotAuthenticated("This needs a token, in the header 'Authorization: Bearer …'.", code="missing_token")
        return caller

    async def _by_token(self, token: str, handler: RequestHandler) -> Caller | None:
        digest = self._hash(token)
        known = self._known.get(digest)
        if known and hmac.compare_digest(known[0], digest):
            return known[1]
        if self.identity is None:
            return None
        remembered = self._remembered.get(digest, _UNKNOWN)
        if self.clock() < remembered.fresh_until:
            return remembered.caller
        if remembered.caller is not None and self.clock() < remembered.good_until:
            return await self._ask_again(digest, remembered, handler)
        # A caller that leaves must not cancel the question that others wait for.
        return await asyncio.shield(self._ask(digest, handler, first=True))

    async def _ask_again(self, digest: bytes, remembered: _KnownToken, handler: RequestHandler) -> Caller | None:
        """Ask about a caller who is known from before, and who goes on while there is no answer."""
        asking = self._ask(digest, handler)
        done, _ = await asyncio.wait({asking}, timeout=_PATIENCE_SECONDS)
        if not done or (not asking.cancelled() and isinstance(asking.exception(), IdentityUnavailable)):
            return remembered.caller
        return asking.result()

    def _ask(self, digest: bytes, handler: RequestHandler, *, first: bool = False) -> asyncio.Task[Caller | None]:
        """Ask once, however many requests with this token are waiting for the answer."""
        asking = self._asking.get(digest)
        if asking is None:
            question = self._ask_about_unknown(handler) if first else self._put(handler)
            asking = self._asking[digest] = asyncio.ensure_future(question)
            asking.add_done_callback(lambda task: self._remember(digest, task))
        return asking

    async def _put(self, handler: RequestHandler) -> Caller | None:
        return await self.identity.caller_of(handler) if self.identity else None

    async def _ask_about_unknown(self, handler: RequestHandler) -> Caller | None:
        """A few at a time, so that a flood is noticed before it has passed."""
        if self.bad_tokens is None:
            return await self._put(handler)
        address = self.address(handler)
        # Checked within: those that wait here have been counted by then.
        async with self._few:
            self.bad_tokens.check(address)
            caller = await self._put(handler)
            if caller is None:
                self.bad_tokens.count(address)
        return caller

    def _remember(self, digest: bytes, asked: asyncio.Task[Caller | None]) -> None:
        del self._asking[digest]
        now = self.clock()
        if asked.cancelled():
            return
        if error := asked.exception():
            known = self._remembered.get(digest)
            if known is not None and isinstance(error, IdentityUnavailable):
                self._remembered[digest] = known._replace(fresh_until=min(now + _AGAIN_SECONDS, known.good_until))
            return
        caller = asked.result()
        until = now + (self.max_age if caller else self.bad_age)
        self._remembered[digest] = _KnownToken(caller, until, until + (self.outage if caller else 0.0))
        self._remembered.move_to_end(digest)
        while len(self._remembered) > self.most:
            self._remembered.popitem(last=False)

    def _hash(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode("utf-8", "surrogateescape"), key=self._hash_key, digest_size=32).digest()


_NO_RULES = TenantSettings("")


class Policy:
    """The tenants' rules, asked by caller. A tenant that is not listed has no rules of its own.

    Example:
        >>> from jupyter_server_ext.messages import Caller
        >>> from jupyter_server_ext.config.settings import Settings
        >>> policy = Policy(Settings(tenants=(TenantSettings("stats101", weight=2.0),)))
        >>> policy.of(Caller("ada", tenant="stats101")).weight, policy.of(Caller("bob")).weight
        (2.0, 1.0)
    """

    def __init__(self, settings: Settings) -> None:
        self.configure(settings)
        self._fallbacks = dict(settings.fallbacks)
        # Whether answers are given again to tenants that say nothing of it: yes, or None for where a request asks.
        self.caches = settings.cache.enabled or None

    def configure(self, settings: Settings) -> None:
        """Have other rules of tenants from now on."""
        self._tenants = {tenant.name: tenant for tenant in settings.tenants}

    def apply(self, caller: Caller, request: ChatRequest) -> ChatRequest:
        """The request as the caller's tenant allows it, with the tenant's system prompt.

        Raises:
            UnknownModel: The tenant may not use the model. It reads as if there were no such model.
        """
        tenant = self.of(caller)
        if tenant.models and request.model not in tenant.models:
            raise ModelNotServed(f"There is no model '{request.model}' for you.", param="model")
        if not tenant.system_prompt or request.embeds:
            return request
        if request.weighed is not None:
            return _large_with_system_prompt(request, request.weighed, tenant.system_prompt)
        messages = _with_system_prompt(request.body.get("messages", ()), tenant.system_prompt)
        return dataclasses.replace(request, body={**request.body, "messages": messages})

    def models(self, caller: Caller, models: Iterable[str]) -> list[str]:
        """Those of ``models`` that the caller may use."""
        own = self.of(caller).models
        return [model for model in models if not own or model in own]

    def fallbacks(self, caller: Caller, model: str) -> tuple[str, ...]:
        """Models that may answer in place of ``model``, best first; empty unless the tenant agreed to that."""
        return tuple(self.models(caller, self._fallbacks.get(model, ()))) if self.of(caller).fallbacks else ()

    def of(self, caller: Caller) -> TenantSettings:
        """The rules of the caller's tenant."""
        return self._tenants.get(caller.tenant, _NO_RULES)


def _with_system_prompt(messages: Sequence[Any], prompt: str) -> list[Any]:
    """The prompt in front of all: within the caller's own first system message, as some models take only one."""
    first = messages[0] if messages else {}
    if first.get("role") == "system" and isinstance(first.get("content"), str):
        return [{**first, "content": f"{prompt}\n\n{first['content']}"}, *messages[1:]]
    return [{"role": "system", "content": prompt}, *messages]


def _large_with_system_prompt(request: ChatRequest, weighed: Weighed, prompt: str) -> ChatRequest:
    """The same for messages that may be there as JSON text."""
    given = request.body["messages"]
    text = bytes(given) if isinstance(given, msgspec.Raw) else msgspec.json.encode(given)
    first = [msgspec.json.decode(text[1 : weighed.system])] if weighed.system else []
    led = msgspec.json.encode(_with_system_prompt(first, prompt))
    rest = text[weighed.system :] if weighed.system else b"," + text[1:]
    more = len(prompt)
    known = {"characters": weighed.characters + more, "letters": weighed.letters + more, "size": weighed.size + more}
    body = {**request.body, "messages": msgspec.Raw(led[:-1] + rest)}
    return dataclasses.replace(request, body=body, weighed=msgspec.structs.replace(weighed, **known))
