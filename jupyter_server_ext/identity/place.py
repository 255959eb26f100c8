"""Where the hub beside the gateway is, and browsers that log in through it: OAuth with PKCE, a session in a cookie."""

# https://jupyterhub.readthedocs.io/en/stable/reference/services.html lists the variables.
from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from tornado.web import create_signed_value, decode_signed_value

from jupyter_server_ext.config import Secret
from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tornado.web import RequestHandler

_SESSION_DAYS = 1.0  # after it the browser is sent to the hub again, which lets it in without a question
CONSOLE_VARIABLE = "RSQL_CONSOLE_ORIGIN"
_LOGIN_DAYS = 600 / 86_400  # ten minutes, for a password or two


@dataclass(frozen=True, slots=True)
class HubPlace:
    """Where the hub is and what the gateway is called there."""

    api_url: str  # the hub's REST API, without a slash at its end
    token: Secret  # the service's own token
    name: str = "rsql"  # the service's name
    prefix: str = "/services/rsql/"  # path of the service, with a slash at both ends
    base_url: str = "/"  # path of the hub and everything below it, with a slash at both ends
    host: str = ""  # ``https://hub.example.org`` where hub and services are on different hosts; usually empty
    client_id: str = ""  # the service's name in OAuth
    callback: str = ""  # address that OAuth comes back to; only a path where the hub is on the same origin
    access_scopes: frozenset[str] = field(default_factory=frozenset)  # hub scopes of which a caller needs one
    service_url: str = ""  # where the hub expects the service to listen; empty where it names nothing
    # Who may use the gateway, as ``group:NAME`` and ``user:NAME``; empty for all with the scope. Tokens bring
    # their scopes with them; the owner of a virtual key is looked up here.
    members: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> HubPlace:
        """The place that the environment describes.

        Raises:
            ConfigError: The hub's address or the service's token is missing.

        Example:
            >>> HubPlace.of({"JUPYTERHUB_API_URL": "http://hub:8081/hub/api/", "JUPYTERHUB_API_TOKEN": "s"}).prefix
            '/services/rsql/'
        """
        for variable in ("JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN"):
            if not environment.get(variable):
                raise ConfigError(f"--hub needs {variable}: the hub sets it for its services. See docs/jupyterhub.md.")
        name = environment.get("JUPYTERHUB_SERVICE_NAME", "rsql")
        host, console = environment.get("JUPYTERHUB_HOST", ""), environment.get(CONSOLE_VARIABLE, "")
        if console and origin_of(console) != console:
            raise ConfigError(f"{CONSOLE_VARIABLE} must be like https://rsql.example.org, without a path.")
        if console and not (host := host or origin_of(environment.get("JUPYTERHUB_PUBLIC_HUB_URL", ""))):
            raise ConfigError(f"{CONSOLE_VARIABLE} needs JUPYTERHUB_PUBLIC_HUB_URL, or c.JupyterHub.public_url.")
        if console and (shared := shared_host(console, host)):
            raise ConfigError(f"{CONSOLE_VARIABLE}: {shared}")
        base = _folder(environment.get("JUPYTERHUB_BASE_URL", "/"))
        prefix = _folder(environment.get("JUPYTERHUB_SERVICE_PREFIX", f"{base}services/{name}/"))
        return cls(
            api_url=environment["JUPYTERHUB_API_URL"].rstrip("/"),
            token=Secret(environment["JUPYTERHUB_API_TOKEN"]),
            name=name,
            prefix=prefix,
            base_url=base,
            host=host,
            client_id=environment.get("JUPYTERHUB_CLIENT_ID", f"service-{name}"),
            callback=f"{console}{prefix}oauth_callback"
            if console
            else environment.get("JUPYTERHUB_OAUTH_CALLBACK_URL", f"{prefix}oauth_callback"),
            access_scopes=_list(environment, "JUPYTERHUB_OAUTH_ACCESS_SCOPES")
            or frozenset({f"access:services!service={name}"}),
            service_url=environment.get("JUPYTERHUB_SERVICE_URL", ""),
            members=_list(environment, "RSQL_HUB_MEMBERS"),
        )

    @property
    def listens(self) -> tuple[str, int] | None:
        """Address and port that the hub's proxy sends requests to, or None where it names none."""
        parts = urlsplit(self.service_url)
        return (parts.hostname, parts.port) if parts.hostname and parts.port else None

    @property
    def origin(self) -> str:
        """Where pages of the gateway are, apart from users' servers; empty where there is no such place."""
        return origin_of(self.callback)

    @property
    def admin_scope(self) -> str:
        """The hub scope that makes an administrator of the gateway."""
        return f"custom:{self.name}:admin"


def origin_of(url: str) -> str:
    """The scheme, host and port of an address, as a browser writes them; empty for one without.

    Example:
        >>> origin_of("https://Hub.example.org:443/hub/"), origin_of("/services/rsql/")
        ('https://hub.example.org', '')
    """
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}
    try:
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in usual or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != usual[parts.scheme] else "")


def shared_host(console: str, hub: str) -> str:
    """Why pages cannot be at an address beside a hub's: a browser sends a host's cookies to all its ports; else empty.

    Example:
        >>> shared_host("https://hub.example.org:8443", "https://hub.example.org/")[:52]
        "https://hub.example.org:8443 has the hub's host name"
    """
    if not console or urlsplit(console).hostname != urlsplit(hub).hostname:
        return ""
    return (
        f"{console} has the hub's host name, and browsers send a host's cookies to every port of it: users' servers "
        "would get the session of whoever looks. Give the pages a host name of their own: see docs/console.md."
    )


def _folder(path: str) -> str:
    return f"/{path.strip('/')}/" if path.strip("/") else "/"


def _list(environment: Mapping[str, str], name: str) -> frozenset[str]:
    """A variable that holds a JSON list, as the hub writes scopes."""
    try:
        names = json.loads(environment.get(name) or "[]")
    except ValueError:
        names = None
    if not isinstance(names, list):
        raise ConfigError(f'{name} must be a JSON list, such as ["…"].')
    return frozenset(map(str, names))


# The cookie holds the access token that the hub made for this browser and this service, as the hub's own services have
# it; every gateway of the service can read it. Where users' servers are on the same origin, what runs there could open
# the gateway's pages, read them and press their buttons, whatever is on them: so there no cookie counts, and there are
# no pages. On an origin of its own every page is the gateway's.

PAGE_HEADER = "X-RSQL-Page"
"""What scripts of the gateway's own pages send: no page of another origin can."""

NO_PAGES = (
    "The gateway shows no pages here: pages of all users' servers are on this origin too, and any of them could act "
    "for you. What you used and your keys are in a notebook: %rsql usage, %rsql keys. Administrators and instructors "
    "run 'rsql console' on a machine of their own, or give the gateway a host name of its own: see docs/console.md."
)


class Browsers:
    """Sends browsers to the hub and takes them back, on an origin that no page of a user's server shares."""

    def __init__(self, place: HubPlace) -> None:
        self._place = place  # where the hub is
        self._secret = hashlib.sha256(b"rsql cookies " + place.token.reveal().encode()).hexdigest()
        self._is_secure = place.origin.startswith("https:")
        # A cookie of this prefix is of this host alone, and no other host of the domain can set it.
        self._cookie = f"{'__Host-' if self._is_secure else ''}rsql-session-{place.name}"
        self.shares = True  # whether users' pages may be on the origin as well; known once somebody was seen to answer

    def are_here(self, handler: RequestHandler) -> bool:
        """Whether a request came to the origin where pages are."""
        # By the name that the browser used. A script cannot choose it, and what resolves another to us gets nothing.
        scheme = "https" if self._is_secure else "http"
        return not self.shares and origin_of(f"{scheme}://{handler.request.host}") == self._place.origin

    def address(self, path: str) -> str:
        """Where a page is; empty where there is none."""
        return "" if self.shares else f"{self._place.origin}{path}"

    def session_of(self, handler: RequestHandler) -> str:
        """The token of the browser's session, empty when there is none or the request may come from another page."""
        if not self.are_here(handler):
            return ""
        headers = handler.request.headers
        # Whether the browser shows the reply as a page; other pages' scripts cannot claim that.
        opens = handler.request.method in {"GET", "HEAD"} and headers.get("Sec-Fetch-Dest", "document") == "document"
        return self._token(handler) if opens or PAGE_HEADER in headers else ""

    def begin(self, handler: RequestHandler, path: str) -> str:
        """Begin a login that comes back to ``path``, which a cookie remembers; where to send the browser."""
        verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
        login = json.dumps({"verifier": verifier, "path": path})
        # The hub sends the browser back from another site, so this one cannot be strict.
        self._put(handler, f"{self._cookie}-{state}", login, _LOGIN_DAYS, same_site="Lax")
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "client_id": self._place.client_id,
            "redirect_uri": self._place.callback,
            "response_type": "code",
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._place.host}{self._place.base_url}hub/api/oauth2/authorize?{urlencode(query)}"

    def returned(self, handler: RequestHandler, state: str) -> tuple[Secret, str] | None:
        """The verifier and path of a login that comes back, once; None when this browser began none here."""
        name = f"{self._cookie}-{state}"
        known = self.are_here(handler) and state.replace("-", "").replace("_", "").isalnum()
        kept = self._get(handler, name, _LOGIN_DAYS) if known else ""
        if not kept:
            return None
        handler.clear_cookie(name, path="/", secure=self._is_secure)
        login: dict[str, Any] = json.loads(kept)
        path = str(login["path"])
        # A path that leads to this service and nowhere else.
        ours = path.startswith(self._place.prefix) and "\\" not in path and "//" not in path
        return Secret(login["verifier"]), path if ours else self._place.prefix

    def remember(self, handler: RequestHandler, token: str) -> None:
        """Begin a session with the token that the hub made for it."""
        self._put(handler, self._cookie, token, _SESSION_DAYS, same_site="Strict")

    def _token(self, handler: RequestHandler) -> str:
        return self._get(handler, self._cookie, _SESSION_DAYS)

    def _put(self, handler: RequestHandler, name: str, value: str, days: float, *, same_site: str) -> None:
        signed = create_signed_value(self._secret, name, value).decode()
        handler.set_cookie(
            name, signed, expires_days=days, path="/", httponly=True, samesite=same_site, secure=self._is_secure
        )

    def _get(self, handler: RequestHandler, name: str, days: float) -> str:
        value = decode_signed_value(self._secret, name, handler.get_cookie(name), max_age_days=days)
        return value.decode() if value else ""
