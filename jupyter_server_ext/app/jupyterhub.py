"""The gateway as a service of a JupyterHub, in one line of ``jupyterhub_config.py``.

from jupyter_server_ext.jupyterhub import configure
configure(c, config="/etc/jupyterhub/rsql.toml")
"""

# Imported by the hub, so it loads nothing but the standard library. docs/jupyterhub.md says what each line is for, and
# deploy/jupyterhub/ holds the same without this function.

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PORT = 10_101  # port of the service on the hub's machine, where nothing else is named

_KEPT = ("_API_KEY", "_API_KEYS")


def configure(
    c: Any,
    *,
    config: str = "",
    name: str = "rsql",
    url: str = f"http://127.0.0.1:{PORT}",
    managed: bool = True,
    api_token: str = "",
    gateway_url: str = "",
    console: str = "",
    groups: Iterable[str] = (),
    admins: Iterable[str] = (),
    admin_groups: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    cwd: str = "",
    user: str = "",
) -> None:
    """Add the gateway to a hub. Call it at the end of ``jupyterhub_config.py``, after roles and services of your own.

    Args:
        c: The configuration, as ``get_config()`` gives it.
        config: Path of the ``rsql.toml``; without one, the keys are those of the environment.
        name: The service's name, and the last part of its path.
        url: Where the service listens, as the hub's proxy reaches it.
        managed: Whether the hub starts it; otherwise you do, with ``api_token``.
        api_token: The service's token, for one that you start.
        gateway_url: What kernels use; the proxy on this machine when empty. Servers on other machines need one.
        console: Origin of the gateway's pages, such as ``https://rsql.example.org``: a host name that leads to the
            service alone, as users' servers share the hub's own. It needs ``c.JupyterHub.public_url``. Without one the
            gateway shows no pages, but where the hub gives users subdomains.
        groups: Groups of the hub that may use it; everybody when empty.
        admins: Users who administer the gateway, beside the hub's own administrators.
        admin_groups: Groups whose members do.
        environment: Variables for the service, such as providers' keys. Those of the hub's own environment that end in
            ``_API_KEY`` or ``_API_KEYS``, and ``HF_TOKEN``, are handed on.
        command: What starts it, in place of this Python.
        cwd: Its working directory, which relative paths of the ``rsql.toml`` are below.
        user: The Unix user it runs as; the hub's when empty.

    Raises:
        ValueError: A service that the hub does not start has no token; or the address of the hub is not known.

    Example:
        >>> from traitlets.config import Config
        >>> c = Config()
        >>> configure(c, gateway_url="http://proxy-public/services/rsql/")
        >>> c.JupyterHub.services[0]["name"], c.Spawner.environment["RSQL_GATEWAY_URL"]
        ('rsql', 'http://proxy-public/services/rsql/')
    """
    hub = c.JupyterHub
    # This Python, whatever stands in the working directory.
    start = list(command) or [sys.executable, "-P", "-m", "jupyter_server_ext.app.supervisor"]
    start += [f"--gateway-config={config}"] if config else []
    groups, admins, admin_groups = list(groups), list(admins), list(admin_groups)
    # The users who may use it, for requests with virtual keys, which bring no token of the hub's.
    members = [f"group:{group}" for group in (*groups, *admin_groups)] + [f"user:{admin}" for admin in admins]
    known = {"RSQL_HUB_MEMBERS": json.dumps(members)} if groups else {}
    if console:
        console = console.rstrip("/")
        known["RSQL_CONSOLE_ORIGIN"] = console
        if not _text(hub, "public_url"):
            msg = "The gateway's pages send browsers to the hub: set c.JupyterHub.public_url for 'console'."
            raise ValueError(msg)
        if urlsplit(console).hostname == urlsplit(_text(hub, "public_url")).hostname:
            msg = "'console' needs a host name of its own: browsers send a host's cookies to every port of it."
            raise ValueError(msg)
    own = {"command": start, "environment": _environment(environment or {}) | known, "cwd": cwd, "user": user}
    service = _service(name, url, own if managed else {}, api_token)
    if console:
        service["oauth_redirect_uri"] = f"{console}{_path(hub, name)}oauth_callback"
    _extend(hub, "services", [service])
    _update(hub, "custom_scopes", {_admin(name): {"description": f"Administer the language-model gateway {name}."}})
    # Users are let in, and their servers: a server's token holds of these scopes those that its owner has.
    if groups:
        _extend(hub, "load_roles", [{"name": f"{name}-users", "scopes": [_enter(name)], "groups": groups}])
    else:
        _widen(hub, "user", ["self"], _enter(name))
    _widen(hub, "server", ["users:activity!user", "access:servers!server"], _enter(name))
    # What the service may read, and who administers the gateway.
    reads = ["list:users", "read:users", "read:groups"]
    administers = {"name": f"{name}-admin", "scopes": [_admin(name), _enter(name)]}
    role = {"name": f"{name}-service", "scopes": reads, "services": [name]}
    _extend(hub, "load_roles", [role, {**administers, "users": admins, "groups": admin_groups}])
    if c.Spawner.get("server_token_scopes"):
        _extend(c.Spawner, "server_token_scopes", [_enter(name)])
    _update(c.Spawner, "environment", {"RSQL_GATEWAY_URL": gateway_url or _gateway_url(hub, name, url)})


def _service(name: str, url: str, own: Mapping[str, Any], api_token: str) -> dict[str, Any]:
    if not (own or api_token):
        msg = "A service that the hub does not start needs an api_token, which is then its JUPYTERHUB_API_TOKEN."
        raise ValueError(msg)
    return {
        "name": name,
        "url": url,
        "display": True,
        "oauth_no_confirm": True,  # it is the hub's own service; nobody is asked whether it may know who they are
        "oauth_client_allowed_scopes": [_admin(name)],
        **{key: value for key, value in (*own.items(), ("api_token", api_token)) if value != ""},
    }


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    # Providers' keys of the hub's environment, which the hub keeps from its services and users.
    from jupyter_server_ext.config import PRESETS, add_plugged

    add_plugged()
    known = {preset.variable for preset in PRESETS.values()}
    kept = {key: value for key, value in os.environ.items() if key.endswith(_KEPT) or key in known}
    return {**kept, **own}


def _enter(name: str) -> str:
    # The hub scope that a token needs for the service.
    return f"access:services!service={name}"


def _admin(name: str) -> str:
    return f"custom:{name}:admin"


def _widen(hub: Any, role: str, default: list[str], scope: str) -> None:
    # Add a scope to one of the hub's own roles; naming such a role replaces its scopes, so they are repeated.
    for known in _set(hub, "load_roles", []):
        if known.get("name") == role:
            known["scopes"] = [*known.get("scopes", default), scope]
            return
    _extend(hub, "load_roles", [{"name": role, "scopes": [*default, scope]}])


def _gateway_url(hub: Any, name: str, url: str) -> str:
    # The service as kernels on this machine reach it: through the proxy, or past it where the proxy speaks https.
    bind, path = urlsplit(_text(hub, "bind_url") or "http://:8000"), _path(hub, name)
    if bind.scheme == "https" or _text(hub, "ssl_key"):
        return url.rstrip("/") + path
    host = _text(hub, "ip") or bind.hostname or ""
    port = _text(hub, "port") or bind.port or 8000
    return f"http://{host if host not in ('', '0.0.0.0', '::', '*') else '127.0.0.1'}:{port}{path}"  # noqa: S104


def _path(hub: Any, name: str) -> str:
    # The service's path, with a slash at both ends.
    base = _text(hub, "base_url") or urlsplit(_text(hub, "bind_url")).path
    return "/" + "".join(f"{part}/" for part in f"{base}/services/{name}".split("/") if part)


# The configuration's values may be unset, which traitlets stands for by objects that only collect changes.


def _text(section: Any, name: str) -> str:
    value = section.get(name)
    return str(value) if isinstance(value, str | int) else ""


def _set(section: Any, name: str, empty: Any) -> Any:
    # What the configuration holds so far; of changes to the default, what they make of an empty one.
    value = section.get(name)
    return value.get_value(empty) if hasattr(value, "get_value") else value or empty


def _extend(section: Any, name: str, more: list[Any]) -> None:
    section[name] = [*_set(section, name, []), *more]


def _update(section: Any, name: str, more: Mapping[str, Any]) -> None:
    section[name] = {**_set(section, name, {}), **more}
