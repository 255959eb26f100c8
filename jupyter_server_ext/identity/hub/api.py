"""The hub's REST API, as far as a service needs it: https://jupyterhub.readthedocs.io/en/stable/reference/rest-api.html."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from jupyter_server_ext.http_client import httpx
from jupyter_server_ext.identity.auth import IdentityUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.config import Secret
    from jupyter_server_ext.identity.hub.place import HubPlace

T = TypeVar("T")

_SECONDS = 10.0  # for one reply
_MOST_CONNECTIONS = 20  # a class that logs in at once must not exhaust the hub
_PAGE = 200  # what the hub gives at most


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
        found, offset = [], 0
        while page := await self._users(offset):
            found += [user for user in page if user.get("created") == created]
            offset += len(page)
        return found

    async def _users(self, offset: int) -> list[Mapping[str, Any]]:
        """A page of all users, in the order in which the hub got to know them."""
        reply = await self._send("GET", f"users?sort=id&limit={_PAGE}&offset={offset}", headers=self._own_token)
        return [] if reply.status_code in {401, 403, 404} else _json(reply, list)

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
