"""Callers that a JupyterHub knows: users, their servers, services; and its groups as tenants, with their rules."""

# The gateway speaks the hub's REST API itself, over httpx: it needs no package of the hub, starts as fast as without
# one, and asks once where the hub's own client would ask for each of fifty requests.
# https://jupyterhub.readthedocs.io/en/stable/reference/rest-api.html

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote

from tornado.log import app_log

from jupyter_server_ext.config import PERSON, TEACHES, TenantSettings
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.http_client import httpx
from jupyter_server_ext.identity.auth import IdentityUnavailable, token_of
from jupyter_server_ext.identity.place import NO_PAGES, Browsers
from jupyter_server_ext.limits import merged
from jupyter_server_ext.messages import Caller, Owner
from jupyter_server_ext.tenants import overlaid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tornado.web import RequestHandler

    from jupyter_server_ext.config import CallerLimits, HubSettings, Secret, Settings
    from jupyter_server_ext.identity.place import HubPlace

T = TypeVar("T")

_SECONDS = 10.0  # for one reply
_MOST_CONNECTIONS = 20  # a class that logs in at once must not exhaust the hub
_PAGE = 200  # what the hub gives at most
_LOOK_SECONDS = 60.0  # between two looks at who answers by the name of the pages
_FIRST_LOOK_SECONDS, _FIRST_LOOKS = 0.2, 150  # while hub and gateway are starting, for half a minute
_LONGEST_TOKEN = 512  # characters; the hub is not asked about more
_SERVERS = "access:servers!server="  # what the hub puts into the scopes of a server's own token


class HubApi:
    """Asks the hub. Where it does not answer, each question raises ``IdentityUnavailable``."""

    def __init__(self, place: HubPlace, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._place = place  # where the hub is
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=_SECONDS,
            limits=httpx.Limits(max_connections=_MOST_CONNECTIONS),
            trust_env=False,  # the hub is a neighbour, and its tokens go through no proxy
            verify=place.api_url.startswith("https:"),  # certificates take 30 ms to load
        )

    @property
    def _own_token(self) -> dict[str, str]:
        return {"Authorization": f"token {self._place.token.reveal()}"}

    async def owner(self, token: str) -> Mapping[str, Any] | None:
        """The user or service whose token this is, as the hub describes it; None when it knows no such token."""
        return await self._get("user", token)

    async def user(self, name: str) -> Mapping[str, Any] | None:
        """A user by name, or None when there is none."""
        return await self._get(f"users/{quote(name, safe='')}", self._place.token.reveal(), absent=(404,))

    async def users_made_at(self, created: str) -> list[Mapping[str, Any]]:
        """The users whom the hub first saw at this moment, as it writes it; none if the service may not list users."""
        found: list[Mapping[str, Any]] = []
        offset = 0
        while True:
            # Sorted, as users may come while pages are read.
            reply = await self._send("GET", f"users?sort=id&limit={_PAGE}&offset={offset}", headers=self._own_token)
            page = [] if reply.status_code in {401, 403, 404} else _json(reply, list)
            if not page:
                return found
            found += [user for user in page if user.get("created") == created]
            offset += len(page)

    async def properties(self, group: str) -> Mapping[str, Any]:
        """The properties of a group; empty when there are none, or the service may not see them."""
        model = await self._get(f"groups/{quote(group, safe='')}", self._place.token.reveal(), absent=(403, 404))
        properties = (model or {}).get("properties")
        return properties if isinstance(properties, dict) else {}

    async def has_group(self, name: str) -> bool:
        """Whether the hub has a group of this name; yes where the service may not see groups."""
        reply = await self._send("GET", f"groups/{quote(name, safe='')}", headers=self._own_token)
        if not reply.is_success and reply.status_code not in {403, 404}:
            raise _unavailable()
        return reply.status_code != 404

    async def token_for(self, code: str, verifier: Secret) -> str | None:
        """The access token for the code of a browser's login, or None when the hub refuses the code."""
        form = {
            "client_id": self._place.client_id,
            "client_secret": self._place.token.reveal(),
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._place.callback,
            "code_verifier": verifier.reveal(),
        }
        reply = await self._send("POST", "oauth2/token", data=form)
        if 400 <= reply.status_code < 500:
            return None
        token = _json(reply, dict).get("access_token")
        return token if isinstance(token, str) else None

    async def answers_at(self, origin: str) -> Literal["hub", "gateway", "other", "nobody"]:
        """Who answers at an origin.

        That the hub does not is known only once the gateway does: the hub's proxy leads to services after the hub.
        """
        # Nothing is told there, so any certificate will do, that of an institution's own authority as well.
        asking = httpx.AsyncClient(verify=False, trust_env=False, timeout=self._http.timeout)
        try:
            async with asking:
                own = await asking.get(f"{origin}{self._place.prefix}health", follow_redirects=False)
                hubs = await asking.get(f"{origin}{self._place.base_url}hub/api/", follow_redirects=False)
        except (httpx.HTTPError, UnicodeEncodeError):
            return "nobody"
        if "X-JupyterHub-Version" in hubs.headers:
            return "hub"
        return "gateway" if '"checks"' in own.text else "other"  # also while it is not well

    async def _get(self, path: str, token: str, absent: tuple[int, ...] = (401, 403)) -> Mapping[str, Any] | None:
        reply = await self._send("GET", path, headers={"Authorization": f"token {token}"})
        return None if reply.status_code in absent else _json(reply, dict)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, f"{self._place.api_url}/{path}", **options)
        except (httpx.HTTPError, UnicodeEncodeError) as error:
            raise _unavailable() from error


def _json(reply: httpx.Response, kind: type[T]) -> T:
    """The JSON object or list of a reply that should have one."""
    try:
        value = reply.json() if reply.is_success else None
    except ValueError:
        value = None
    if not isinstance(value, kind):
        raise _unavailable()
    return value


def _unavailable() -> IdentityUnavailable:
    return IdentityUnavailable("The JupyterHub does not answer, so your token cannot be checked. Try again in 5 s.")


@dataclasses.dataclass(eq=False, repr=False)
class HubIdentity:
    """Finds callers by asking the hub."""

    # A user is a caller of the user's name, from whichever of the user's servers; a service is ``service:NAME``, so
    # that it has no namesake. The user's group is the tenant.

    _place: HubPlace  # where the hub is
    _api: HubApi  # asks it
    _groups: HubGroups  # chooses the group that counts for a user
    _settings: HubSettings  # which users are administrators
    _browsers: Browsers  # knows the sessions of browsers

    async def caller_of(self, handler: RequestHandler) -> Caller | None:
        """The caller of a request, by its token or its browser's session."""
        if token := token_of(handler):
            return await self.caller_by(token)
        session = self._browsers.session_of(handler)
        return await self.caller_by(session, browser=True) if session else None

    async def caller_by(self, token: str, *, browser: bool = False) -> Caller | None:
        """The caller of a token; ``browser`` where it is that of a browser's login to this gateway."""
        if not (token.isascii() and token.isprintable() and len(token) <= _LONGEST_TOKEN):
            return None
        model = await self._api.owner(token)
        return None if model is None else await self._caller(model, browser=browser)

    async def owner(self, name: str, mark: str = "") -> Owner | None:
        """The user of this name, or of a mark; None when the hub has no such user any more."""
        # A user that may not use the gateway has no scopes. A mark is the moment at which the hub first saw the user,
        # which stays when the name changes. Without a right to list users none is found by another name.
        model = await self._api.user(name)
        if model is None or (mark and _mark(model) not in {"", mark}):
            renamed = await self._api.users_made_at(mark) if mark else []
            model = renamed[0] if len(renamed) == 1 else None
        if model is None or not model.get("name"):
            return None
        scopes = self._usual_scopes(model) if self._is_let_in(model) else frozenset[str]()
        return Owner(Caller(str(model["name"]), await self._groups.tenant(_names(model)), scopes), _mark(model))

    def _is_let_in(self, model: Mapping[str, Any]) -> bool:
        """Whether a user may use the gateway, where it is configured which may."""
        members = self._place.members
        return (
            not members
            or bool(model.get("admin"))
            or not members.isdisjoint({f"user:{model['name']}", *(f"group:{name}" for name in _names(model))})
        )

    async def _caller(self, model: Mapping[str, Any], *, browser: bool) -> Caller:
        held = frozenset(map(str, model.get("scopes", ())))
        if model.get("kind") == "service":
            name, tenant = f"service:{model.get('name', '')}", ""
        else:
            name, tenant = str(model.get("name", "")), await self._groups.tenant(_names(model))
        if not (held & self._place.access_scopes or "access:services" in held):
            return Caller(name, tenant, frozenset())
        admin = self._place.admin_scope in held or self._is_administrator(model, held, browser=browser)
        return Caller(name, tenant, self._usual_scopes(model) | ({"admin"} if admin else set()))

    def _usual_scopes(self, model: Mapping[str, Any]) -> frozenset[str]:
        """The scopes of whoever is let in, and of instructors, which they have in their notebooks too."""
        teaches = not self._settings.instructor_groups.isdisjoint(_names(model))
        return PERSON | TEACHES if teaches else PERSON

    def _is_administrator(self, model: Mapping[str, Any], held: frozenset[str], *, browser: bool) -> bool:
        """Administrators of the hub, by their own tokens and in the browser."""
        # A server's token is in reach of every notebook that runs there, so the hub does not give it its owner's power
        # over the hub, and neither does this, unless it is configured.
        person = bool(model.get("admin")) or not self._settings.admin_groups.isdisjoint(_names(model))
        of_server = any(scope.startswith(_SERVERS) for scope in held)
        return person and (browser or not of_server or self._settings.admin_servers)


@dataclasses.dataclass(eq=False, repr=False)
class HubAccess:
    """What handlers need of the hub."""

    place: HubPlace  # where the hub is
    settings: dataclasses.InitVar[Settings]  # as read
    # Called with the rules of a tenant whenever they are new or have changed.
    learn: dataclasses.InitVar[Callable[[TenantSettings], None]] = lambda _: None
    # What carries requests to the hub, in place of real connections; for tests.
    transport: dataclasses.InitVar[httpx.AsyncBaseTransport | None] = None
    # Returns the rules of a tenant with what was decided at run time, or None where nothing was.
    in_force: dataclasses.InitVar[Callable[[str], TenantSettings | None]] = lambda _: None
    _: dataclasses.KW_ONLY
    clock: Callable[[], float] = time.monotonic  # seconds, never going back

    def __post_init__(
        self,
        settings: Settings,
        learn: Callable[[TenantSettings], None],
        transport: httpx.AsyncBaseTransport | None,
        in_force: Callable[[str], TenantSettings | None],
    ) -> None:
        self.api = HubApi(self.place, transport)
        self.browsers = Browsers(self.place)
        groups = HubGroups(self.api, settings, learn, in_force=in_force, clock=self.clock)
        self.identity = HubIdentity(self.place, self.api, groups, settings.hub, self.browsers)

    async def watch_origin(self) -> None:
        """Show pages once something else than the hub, where users' servers are, answers by their name; for ever."""
        if not self.place.origin:
            app_log.warning("rsql: %s", NO_PAGES)
        looks, seen = 0, ""
        while origin := self.place.origin:
            looks, found = looks + 1, await self.api.answers_at(origin)
            if found == "hub" != seen:
                app_log.error("rsql: %s leads to the hub as well. %s", origin, NO_PAGES)
            elif found == "nobody" and not seen and looks == _FIRST_LOOKS:
                app_log.warning("rsql: %s cannot be asked from here; see that it leads to the gateway alone.", origin)
            if found in {"hub", "gateway"}:
                seen = found
            self.browsers.shares = seen == "hub" or (not seen and not (found == "nobody" and looks >= _FIRST_LOOKS))
            await asyncio.sleep(_LOOK_SECONDS if seen else _FIRST_LOOK_SECONDS)


def _mark(model: Mapping[str, Any]) -> str:
    """When the hub first saw the user; empty where the service may not read it."""
    return str(model.get("created") or "")


def _names(model: Mapping[str, Any]) -> list[str]:
    """The user's groups."""
    return [str(name) for name in model.get("groups") or ()]


PROPERTY = "rsql"  # the property of a hub's group that holds its rules, in the form of ``[tenants.NAME]``
_GENEROUS = (
    *("usd_per_month", "usd_per_day", "tokens_per_day", "tokens_per_minute"),
    *("requests_per_day", "requests_per_hour", "requests_per_minute", "concurrency"),
)


@dataclasses.dataclass(eq=False, repr=False)
class HubGroups:
    """The rules of groups: those of ``rsql.toml``, over which the hub's properties go."""

    _api: HubApi  # asks the hub for properties
    settings: dataclasses.InitVar[Settings]  # ``tenants``, ``[limits.tenant]`` and ``[hub]``
    # Called with the rules of a tenant whenever they are new or have changed.
    learn: Callable[[TenantSettings], None] = lambda _: None
    _: dataclasses.KW_ONLY
    # Returns the rules of a tenant with what was decided at run time, or None where nothing was.
    in_force: Callable[[str], TenantSettings | None] = lambda _: None
    clock: Callable[[], float] = time.monotonic  # seconds, never going back

    def __post_init__(self, settings: Settings) -> None:
        self._configured = {tenant.name: tenant for tenant in settings.tenants}
        self._default = settings.tenant
        self._order = settings.hub.groups
        self._roles = settings.hub.instructor_groups | settings.hub.admin_groups
        self._max_age = settings.hub.cache_max_age
        self._rules: dict[str, tuple[float, TenantSettings | None]] = {}

    async def tenant(self, names: Sequence[str]) -> str:
        """The group that counts for a member of these: the first of the configured order, else the most generous."""
        # A group without rules counts only where no other does. Empty for a member of none.
        ruled = []
        for name in names:
            own = await self._of(name)
            if (rules := self.in_force(name) or own) is not None:
                ruled.append(rules)
        if not ruled:  # groups that say what somebody does are the last to say where
            return min(names, key=lambda name: (name in self._roles, name), default="")
        ranked = [(self._place(one.name), _stinginess(one, self._default), one.name) for one in ruled]
        return min(ranked)[2]

    def _place(self, name: str) -> int:
        return self._order.index(name) if name in self._order else len(self._order)

    async def _of(self, name: str) -> TenantSettings | None:
        until, rules = self._rules.get(name, (-math.inf, None))
        if self.clock() < until:
            return rules
        try:
            properties = await self._api.properties(name)
        except IdentityUnavailable:
            if until == -math.inf:
                raise
            return rules
        known = self._configured.get(name) if until == -math.inf else rules
        fresh = self._read(name, properties.get(PROPERTY), known)
        if fresh != known:
            self.learn(fresh or TenantSettings(name))
        self._rules[name] = (self.clock() + self._max_age, fresh)
        return fresh

    def _read(self, name: str, rules: Any, known: TenantSettings | None) -> TenantSettings | None:
        """The rules of a group; a mistake in its properties leaves them as they were."""
        configured = self._configured.get(name)
        if rules is None:
            return configured
        try:
            where = f"property '{PROPERTY}' of the group '{name}'"
            return overlaid(configured or TenantSettings(name), rules, where=where)
        except ConfigError as error:
            app_log.error("rsql: the rules of a group stay as they were. %s", error.message)
            return known or configured


def _stinginess(rules: TenantSettings, default: CallerLimits) -> tuple[float, ...]:
    limits = merged(default, rules.limits)
    amounts = [math.inf if (most := getattr(limits, name)) is None else most for name in _GENEROUS]
    return tuple(-amount for amount in (*amounts, len(rules.models) or math.inf, rules.weight))
