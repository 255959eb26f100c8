"""The environment of a service of the hub, or of one that the hub does not start.

https://jupyterhub.readthedocs.io/en/stable/reference/services.html lists the variables.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jupyter_server_ext.config import Secret
from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    callback: str = ""  # path that OAuth comes back to
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
        base = _folder(environment.get("JUPYTERHUB_BASE_URL", "/"))
        prefix = _folder(environment.get("JUPYTERHUB_SERVICE_PREFIX", f"{base}services/{name}/"))
        return cls(
            api_url=environment["JUPYTERHUB_API_URL"].rstrip("/"),
            token=Secret(environment["JUPYTERHUB_API_TOKEN"]),
            name=name,
            prefix=prefix,
            base_url=base,
            host=environment.get("JUPYTERHUB_HOST", ""),
            client_id=environment.get("JUPYTERHUB_CLIENT_ID", f"service-{name}"),
            callback=environment.get("JUPYTERHUB_OAUTH_CALLBACK_URL", f"{prefix}oauth_callback"),
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
    def admin_scope(self) -> str:
        """The hub scope that makes an administrator of the gateway."""
        return f"custom:{self.name}:admin"


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
