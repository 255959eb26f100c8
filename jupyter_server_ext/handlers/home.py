"""What people and programs see of the gateway: its state, its routes, its figures."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from html import escape
from typing import Any

from tornado.web import HTTPError

from jupyter_server_ext.config import ASKING, holds
from jupyter_server_ext.errors import LedgerUnavailable, NotPermitted
from jupyter_server_ext.handlers.base import GatewayHandler, health
from jupyter_server_ext.handlers.console import show_app, show_page
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.openapi import openapi, operations
from jupyter_server_ext.handlers.shapes.callers import HealthReply
from jupyter_server_ext.identity import needs_scope, open_to_all

_LATELY_HOURS = 0.25  # of the quantiles that a board shows


class Home(GatewayHandler):
    """The root: for programs as ``health``, for people the page of their own use."""

    @open_to_all
    @described(HealthReply)
    async def get(self) -> None:
        """Whether the gateway can answer; in a browser the page of your own use, keys and conversations."""
        if "text/html" in self.request.headers.get("Accept", ""):
            await show_app(self, "own")
        else:
            state = health(self.app)
            self.reply(state, status=503 if state["status"] == "unavailable" else 200)

    head = get


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
        # By a page of ours: after a redirect from the hub's site the browser would not yet send a strict cookie.
        show_page(self, "signed_in", path=path)


class OpenApi(GatewayHandler):
    """``GET openapi.json``."""

    @needs_scope(*ASKING)
    @described(dict[str, Any])
    def get(self) -> None:
        """This gateway's routes as an OpenAPI document."""
        self.reply(openapi(self.app.routes))


class Docs(GatewayHandler):
    """``GET docs``."""

    @needs_scope(*ASKING)
    @described("text/html")
    def get(self) -> None:
        """This gateway's routes as a page."""

        def in_html(doc: str) -> str:
            coded = re.sub(r"(`{1,2})(.+?)\1", r"<code>\2</code>", escape(doc), flags=re.S)
            return "".join(f"<p>{paragraph}</p>" for paragraph in coded.split("\n\n"))

        show_page(self, "docs", operations=[*operations(self.app.routes)], in_html=in_html)


class Health(GatewayHandler):
    """``health``: no token, nothing that is not for everybody."""

    @open_to_all
    @described(HealthReply)
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

    @needs_scope(*ASKING)
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

    @needs_scope(*ASKING)
    @described(dict[str, Any])
    async def get(self) -> None:
        """Your own use: requests and tokens per period with what is left, requests under way, money."""
        asker, rules = self.asker, self.app.policy.of(self.asker)
        await self.app.limits.refresh(asker)
        cost = await self.app.accounting.cost_today(asker, {key.provider for key in self.app.settings.keys})
        offline = self.app.policy.models(asker, self.app.gateway.offline_models())
        reads = holds(asker.scopes, "documents:read")
        shared = await self.app.shared.counts(asker) if reads else {}
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
                "shared_cost": self.app.accounting.spent_with_others(asker),
                "cache": await self.app.accounting.cache_today(asker),
                "privacy_floor": rules.privacy_floor,
                "system_prompt": rules.system_prompt,
                # Null for who may not read them: a kernel then looks for none.
                "documents": await self.app.documents.count(asker) if reads else None,
                "dictionaries": shared.get("dictionary", 0) if reads else None,
                "examples": shared.get("example", 0) if reads else None,
                "may_share": holds(asker.scopes, "documents:write"),
                # ``default`` where a request may name none.
                "offline_models": [*offline, "default"] if self.default_model() in offline else offline,
                **of_key,
            }
        )


class PrometheusMetrics(GatewayHandler):
    """``GET metrics``."""

    @needs_scope("metrics")
    @described("text/plain")
    async def get(self) -> None:
        """Figures for Prometheus, in its text format: for administrators, and with the scope ``metrics``, all of them.

        Others see those that name no model, group or key.
        """
        detailed, now, rows = bool(self.asker.scopes & {"metrics", "admin"}), time.time(), []
        if detailed and self.app.accounting.ledger.keeps:
            # What is known of all gateways, so that a board shows what the console does.
            with suppress(LedgerUnavailable):
                rows = await self.analyze(lambda known: known.sums(now, _LATELY_HOURS, by=["model"]))
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.app.metrics.text(rows, detailed=detailed))
