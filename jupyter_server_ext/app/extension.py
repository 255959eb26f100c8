"""The gateway inside a Jupyter Server: its authentication, its address, and what its kernels are handed."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

from jupyter_core.utils import ensure_async
from jupyter_server.auth.identity import PasswordIdentityProvider
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.extension.application import ExtensionApp
from tornado.web import HTTPError, RequestHandler

from jupyter_server_ext.app.assembly import RSQLGatewayApp, build_app, default_folder, owner, warm_prices, with_ledger
from jupyter_server_ext.config import ASKING, SCOPES, Secret, load_settings, read_by_others
from jupyter_server_ext.errors import ConfigError, NotAuthenticated
from jupyter_server_ext.handlers import rules
from jupyter_server_ext.identity import NO_PAGES, open_to_all
from jupyter_server_ext.messages import Caller
from jupyter_server_ext.pipeline import OwnServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server.serverapp import ServerApp
    from tornado.http1connection import HTTP1Connection

    from jupyter_server_ext.handlers import AppContext

_URL, _TOKEN = "RSQL_SERVER_URL", "RSQL_SERVER_TOKEN"


class GatewayExtension(RSQLGatewayApp, ExtensionApp):
    """The gateway as an extension of a Jupyter Server."""

    name = "rsql"
    load_other_extensions = True

    app: AppContext | None = None
    _kernel_token: Secret
    _working: tuple[asyncio.Task[None], ...] = ()

    def initialize_handlers(self) -> None:
        """Add the routes; with a wrong configuration, one line in the log and routes that say so."""
        server = cast("ServerApp", self.serverapp)
        if not self.url_prefix.strip("/"):
            self.log.error("RSQLGatewayApp.url_prefix must not be empty in a Jupyter Server; 'rsql' is used.")
            self.url_prefix = "rsql"
        # A kernel gets a token of its own that asks models, and does nothing else: notebooks run what others wrote.
        self._kernel_token = Secret(secrets.token_urlsafe(32))
        person = owner(os.environ)
        base = self.base_below(server.base_url)
        tokens = [(self._kernel_token, Caller(person.name, scopes=ASKING))]
        if token := server.identity_provider.token:
            tokens.append((Secret(token), person))
        try:
            settings = with_ledger(load_settings(self.gateway_config, os.environ), default_folder())
            self.app = build_app(
                settings, tokens, base, ServerIdentity(server, person), own_server=OwnServer(person.name)
            )
        except ConfigError as error:
            self.log.error("The rsql gateway is off. %s", error.message)  # noqa: TRY400  (it is the administrator's)
            self.handlers.append((self.base_below("/") + ".*", GatewayOff))
        else:
            if words := read_by_others(self.gateway_config, os.environ):
                self.log.warning("rsql: %s", words)
            self.app = replace(self.app, shares_origin=shares_origin(os.environ))
            self.handlers.extend(rules(self.app, self.base_below("/")))

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Once the port is known: hand kernels and terminals the address, and a token that can only ask."""
        url = server_url(serverapp)
        if shares_origin(os.environ):
            self.log.warning("rsql: %s", NO_PAGES)
        if url:
            os.environ[_URL] = url + self.base_below(serverapp.base_url).removeprefix("/")
            os.environ[_TOKEN] = self._kernel_token.reveal()
        if self.app is not None:
            self.app.notebooks.address = os.environ.get(_URL, "") if url else ""
            prices, settings = self.app.accounting.prices, self.app.settings
            asyncio.get_running_loop().run_in_executor(None, warm_prices, prices, settings)
            work = {
                "webhooks": self.app.webhooks.run(self.app.watch.look),
                "jobs": self.app.runner.run(),
                "headroom": self.app.remember_headroom(),
            }
            self._working = tuple(asyncio.create_task(one, name=f"rsql-{name}") for name, one in work.items())

    async def stop_extension(self) -> None:
        """Close connections to providers, and take back what kernels were handed."""
        # Another server in this process may have handed out its own since.
        if os.environ.get(_TOKEN) == self._kernel_token.reveal():
            os.environ.pop(_URL, None)
            os.environ.pop(_TOKEN, None)
        for task in self._working:
            task.cancel()
        if self.app is not None:
            await self.app.close()


def shares_origin(environment: Mapping[str, str]) -> bool:
    """Whether this is a server of a JupyterHub whose users' servers are on one origin, without subdomains.

    Example:
        >>> shares_origin({"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}), shares_origin({})
        (True, False)
    """
    return bool(environment.get("JUPYTERHUB_SERVICE_PREFIX")) and not environment.get("JUPYTERHUB_HOST")


class GatewayOff(RequestHandler):
    """All routes of a gateway whose configuration is wrong."""

    refusal = None

    def check_xsrf_cookie(self) -> None:
        """Nothing happens here."""

    def wait_no_longer(self) -> None:
        """Nothing waits here."""

    @open_to_all
    def get(self) -> None:
        """Say that the gateway is off, and where the reason is."""
        words = "The gateway is off: its configuration is wrong. The Jupyter Server's log names the line."
        self.set_status(503)
        self.finish({"status": "unavailable", **ConfigError(words).as_json("")})

    head = post = put = patch = delete = options = get


def server_url(server: ServerApp) -> str:
    """Where processes on this machine reach the server, with a slash at the end; empty for a Unix socket."""
    # The loopback address where the server listens on it, as it needs no name service and passes no firewall.
    if server.sock:
        return ""
    host = "127.0.0.1" if server.ip in ("", "*", "localhost") else server.ip
    with suppress(ValueError):
        address = ip_address(host)
        if address.is_unspecified:
            host = "::1" if address.version == 6 else "127.0.0.1"
        host = f"[{host}]" if address.version == 6 else host
    return f"{'https' if server.certfile else 'http'}://{host}:{server.port}/"


class ServerIdentity:
    """Callers that the Jupyter Server knows: by its cookies, and by other tokens where its provider has any."""

    def __init__(self, server: ServerApp, person: Caller) -> None:
        self._server = server  # the Jupyter Server
        self._person = person  # whose server it is

    async def caller_of(self, handler: RequestHandler) -> Caller | None:
        """The caller of a request, by the Jupyter Server."""
        provider = self._server.identity_provider
        with_token = bool(handler.request.headers.get("Authorization"))
        if not with_token and shares_origin(os.environ):
            raise NotAuthenticated(NO_PAGES, code="missing_token")
        if not provider.auth_enabled:
            # As the server itself decides, so that no web page can ask.
            asking = _as_jupyters(handler)
            asking.current_user = None
            return self._person if asking.check_host() and asking.check_origin() else None
        asking = _as_jupyters(handler)
        # Another site can make a browser send cookies, but neither read a reply nor the cookie that is to be repeated.
        if not with_token and handler.request.method not in {"GET", "HEAD"} and not _is_of_own_page(asking):
            return None
        ours = isinstance(provider, PasswordIdentityProvider)
        if ours and with_token:
            return None  # its one token is known already
        user = await ensure_async(provider.get_user_cookie(asking) if ours else provider.get_user(asking))
        if user is None or not await ensure_async(self._server.authorizer.is_authorized(asking, user, "write", "rsql")):
            return None
        return self._person if ours else Caller(user.username, scopes=frozenset(SCOPES))


def _is_of_own_page(asking: Any) -> bool:
    # Whether the request repeats the cookie that only pages of this server can read.
    asking.current_user = None  # whom tornado would ask for; it is not known yet
    try:
        RequestHandler.check_xsrf_cookie(asking)  # not Jupyter's, which settings switch off
    except HTTPError:
        return False
    return bool(asking.check_origin())


def _as_jupyters(handler: RequestHandler) -> Any:
    # The same request as a handler of Jupyter's, which identity providers expect.
    asking = JupyterHandler(handler.application, handler.request)
    # Making a handler replaces the callback for the end of the connection.
    cast("HTTP1Connection", handler.request.connection).set_close_callback(handler.on_connection_close)
    return asking
