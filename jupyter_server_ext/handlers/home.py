"""What people and programs see of the gateway: its state, its routes, and with a hub one's own use and keys."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tornado.template import Loader
from tornado.web import HTTPError

from jupyter_server_ext.config import CallerLimits
from jupyter_server_ext.errors import BadRequest, NotAuthenticated, NotPermitted
from jupyter_server_ext.handlers import keys, shapes
from jupyter_server_ext.handlers.base import GatewayHandler, health
from jupyter_server_ext.handlers.openapi import openapi, operations
from jupyter_server_ext.handlers.shapes import described
from jupyter_server_ext.identity import needs_scope, open_to_all
from jupyter_server_ext.tenants import check_limits

if TYPE_CHECKING:
    from jupyter_server_ext.messages import Caller

_WHOLE, _MONEY = ("requests_per_day",), ("usd_per_day", "usd_per_month")  # limits that the form asks for
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
_PAGES = Loader(str(Path(__file__).parent / "pages"))


class Home(GatewayHandler):
    """The root: for programs as ``health``, for people a page."""

    @open_to_all
    @described(shapes.HealthReply)
    async def get(self) -> None:
        """Whether the gateway can answer; in a browser that is logged in to the hub, your own use and keys, too."""
        state = health(self.app)
        if "text/html" not in self.request.headers.get("Accept", ""):
            self.reply(state, status=503 if state["status"] == "unavailable" else 200)
        elif self.app.hub is None:
            self.show("status", state=state)
        else:
            await self._show_own()

    @open_to_all
    @described("text/html")
    async def post(self) -> None:
        """Make or revoke a virtual API key, from the form of the page."""
        form = {name: values[-1] for name, values in parse_qs(self.body.decode("utf-8", "replace")).items()}
        if self.app.hub is None or not self.app.hub.browsers.may_change(self, form.get("_xsrf", "")):
            raise NotPermitted("This form was not sent from the gateway's page. Open the page again.")
        self.request.headers["X-XSRFToken"] = form["_xsrf"]  # where scripts of pages put it
        caller = await self._session()
        if caller is None:
            raise NotAuthenticated("The login has ended. Open the page again.")
        if "revoke" in form:
            key = await self.app.virtual_keys.revoke(form["revoke"], caller.name)
            self.app.auth.forget(key.owner)
            self.redirect(self.app.base, status=303)  # with 303 a reload of the page sends no form again
        else:
            await self._make(caller, form)

    head = get

    async def _make(self, caller: Caller, form: dict[str, str]) -> None:
        try:
            days = float(form["days"]) if form.get("days") else None
            given = {
                name: (int if name in _WHOLE else float)(form[name]) for name in (*_WHOLE, *_MONEY) if form.get(name)
            }
        except ValueError:
            raise BadRequest("Days, requests and dollars must be numbers.", param="days") from None
        limits = CallerLimits(**check_limits("limits", given))
        key, text = await self.app.virtual_keys.make(caller, form.get("name", ""), days=days, limits=limits)
        self.show("new_key", key=keys.public_fields(key), text=text.reveal(), base=self.app.base)

    async def _show_own(self) -> None:
        # Send the caller's page; a browser without a session is sent to the hub.
        try:
            caller = await self._session()
        except NotPermitted as error:
            self.show("refused", status=403, message=error.message)
            return
        if caller is None:
            assert self.app.hub is not None  # noqa: S101 - or this page is not shown
            self.redirect(self.app.hub.browsers.begin(self, self.app.base))
            return
        self.caller = caller
        # Other gateways on the same Redis have counted since.
        await self.app.limits.refresh(caller)
        own = [keys.public_fields(key) for key in await self.app.virtual_keys.of(caller.name)]
        cost = await self.app.accounting.cost_today(caller, {key.provider for key in self.app.settings.keys})
        token = self.app.hub.browsers.page_token(self) if self.app.hub else ""
        service = _service(health(self.app), self.app.gateway.status())
        tables = [("Service", service), ("Your use", _use(caller, self.app.limits.stats(caller), cost))]
        self.show("own", tables=tables, keys=own, token=token)

    async def _session(self) -> Caller | None:
        try:
            return await self.app.auth.caller(self, "chat")
        except NotAuthenticated:
            return None

    def show(self, page: str, status: int = 200, **values: Any) -> None:
        """Send a page of ``pages/``."""
        # It loads nothing, and no other page may frame it and have its buttons clicked.
        self.set_status(status)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Referrer-Policy", "no-referrer")  # the address may hold the code of a login
        self.finish(page_of(page, **values))


class Returned(GatewayHandler):
    """``oauth_callback``: a browser comes back from the hub."""

    @open_to_all
    @described("text/html")
    async def get(self) -> None:
        """The hub sends browsers here after the login; begins a session and goes on to the page."""
        hub = self.app.hub
        began = hub.browsers.returned(self, self.get_query_argument("state", "")) if hub else None
        if hub is None or began is None:
            raise NotPermitted("This login was not begun here, or too long ago. Open the page again.")
        verifier, path = began
        token = await hub.api.token_for(self.get_query_argument("code", ""), verifier)
        if token is None:
            raise NotPermitted("The hub did not confirm the login. Open the page again.")
        hub.browsers.remember(self, token)
        self.redirect(path)


def page_of(name: str, **values: Any) -> bytes:
    """A page of ``pages/``, with its values escaped."""
    return _PAGES.load(f"{name}.html").generate(**values)


def _service(state: Any, status: dict[str, Any]) -> list[tuple[str, str]]:
    states = ", ".join(f"{count} {state}" for state, count in status.get("keys", {}).items() if count)
    queue = status.get("queue", {})
    wait = queue.get("expected_wait_seconds")
    expected = f", {wait:.0f} s to wait" if wait else ""
    return [
        ("status", f"{state['status']} (version {state['version']})"),
        ("keys", states or "none"),
        ("queue", f"{queue.get('length', 0)} waiting{expected}"),
    ]


def _use(caller: Caller, stats: dict[str, Any], cost: dict[str, float | None]) -> list[tuple[str, str]]:
    rows = [("you", caller.name), ("group", caller.tenant or "none")]
    for kind in ("limits", "tokens"):
        unit = "requests" if kind == "limits" else kind
        rows += [(f"{unit} this {period}", _of(use["current"], use["limit"])) for period, use in stats[kind].items()]
    if cost["today"] is not None:
        limit = "" if cost["limit"] is None else f" of ${cost['limit']:.2f}"
        rows.append(("money today", f"${cost['today']:.4f}{limit}"))
    return rows


def _of(current: int, limit: int | None) -> str:
    return f"{current:,}" + ("" if limit is None else f" of {limit:,}")


class OpenApi(GatewayHandler):
    """``GET openapi.json``."""

    @needs_scope("chat")
    @described(dict[str, Any])
    def get(self) -> None:
        """This gateway's routes as an OpenAPI document."""
        self.reply(openapi(self.app.routes))


class Docs(GatewayHandler):
    """``GET docs``."""

    @needs_scope("chat")
    @described("text/html")
    def get(self) -> None:
        """This gateway's routes as a page."""

        def in_html(doc: str) -> str:
            coded = re.sub(r"(`{1,2})(.+?)\1", r"<code>\2</code>", escape(doc), flags=re.S)
            return "".join(f"<p>{paragraph}</p>" for paragraph in coded.split("\n\n"))

        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(page_of("docs", operations=operations(self.app.routes), in_html=in_html))


class Health(GatewayHandler):
    """``health``: no token, nothing that is not for everybody."""

    @open_to_all
    @described(shapes.HealthReply)
    def get(self) -> None:
        """Whether the gateway can answer: 200, or 503 when no key can serve any more or it is about to end."""
        state = health(self.app)
        if self.settings.get("leaving"):
            state = {**state, "status": "ending"}
        self.reply(state, status=503 if state["status"] in {"unavailable", "ending"} else 200)

    head = get


class NoRoute(GatewayHandler):
    """Whatever else is asked for below the gateway's address."""

    @open_to_all
    def get(self) -> None:
        """There is nothing here; the base without its slash leads to the base."""
        if self.request.path + "/" == self.app.base:
            self.redirect(self.app.base, status=308)
        else:
            # Not one of ours: tornado's own error gets the plain sentence of ``plain_error``.
            raise HTTPError(404)

    head = post = put = patch = delete = get


class Status(GatewayHandler):
    """``GET status``."""

    @needs_scope("chat")
    @described(dict[str, Any])
    def get(self) -> None:
        """Keys by state, the queue, models, and the least that your group lets out of a kernel."""
        state = {name: value for name, value in self.app.gateway.status().items() if name != "pool"}
        state["models"] = self.app.policy.models(self.asker, state.get("models", []))
        state["default_model"] = self.default_model()
        state["privacy_floor"] = self.app.policy.of(self.asker).privacy_floor
        self.reply(state)


class Stats(GatewayHandler):
    """``GET stats``."""

    @needs_scope("chat")
    @described(dict[str, Any])
    async def get(self) -> None:
        """Your own use: requests and tokens per period with what is left, requests under way, money."""
        asker, rules = self.asker, self.app.policy.of(self.asker)
        await self.app.limits.refresh(asker)
        cost = await self.app.accounting.cost_today(asker, {key.provider for key in self.app.settings.keys})
        offline = self.app.policy.models(asker, self.app.gateway.offline_models())
        shared = await self.app.shared.counts(asker)
        of_key = {}
        if asker.key:  # limits that the virtual key has of its own
            left = self.app.limits.stats_of_key(asker) | self.app.accounting.spent_by_key(asker)
            of_key = {"key": {"id": asker.key, "limits": left}}
        self.reply(
            {
                "caller": asker.name,
                "tenant": asker.tenant,
                **self.app.limits.stats(asker),
                "cost": cost,
                "cache": await self.app.accounting.cache_today(asker),
                "privacy_floor": rules.privacy_floor,
                "system_prompt": rules.system_prompt,
                "documents": await self.app.documents.count(asker),
                "dictionaries": shared.get("dictionary", 0),
                "examples": shared.get("example", 0),
                "may_share": bool(asker.scopes & {"instructor", "admin"}),
                # ``default`` where a request may name none.
                "offline_models": [*offline, "default"] if self.default_model() in offline else offline,
                **of_key,
            }
        )


class PrometheusMetrics(GatewayHandler):
    """``GET metrics``."""

    @needs_scope("metrics")
    @described("text/plain")
    def get(self) -> None:
        """Figures for Prometheus, in its text format: for administrators, and with the scope ``metrics``, all of them.

        Others see those that name no model, group or key.
        """
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.app.metrics.text(detailed=bool(self.asker.scopes & {"metrics", "admin"})))
