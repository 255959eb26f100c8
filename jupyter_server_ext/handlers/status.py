"""How the gateway is, for everybody, for a caller, and for Prometheus."""

from __future__ import annotations

from tornado.web import HTTPError

from jupyter_server_ext.handlers.app_context import health
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.identity import needs_scope, open_to_all


class Health(GatewayHandler):
    """``health``: no token, nothing that is not for everybody."""

    @open_to_all
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

    head = post = put = patch = delete = options = get


class Status(GatewayHandler):
    """``GET status``."""

    @needs_scope("chat")
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
    async def get(self) -> None:
        """Your own use: requests and tokens per period with what is left, requests under way, money."""
        asker, rules = self.asker, self.app.policy.of(self.asker)
        await self.app.limits.refresh(asker)
        cost = await self.app.accounting.cost_today(asker, {key.provider for key in self.app.settings.keys})
        offline = self.app.policy.models(asker, self.app.gateway.offline_models())
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
                # ``default`` where a request may name none.
                "offline_models": [*offline, "default"] if self.default_model() in offline else offline,
                **of_key,
            }
        )


class PrometheusMetrics(GatewayHandler):
    """``GET metrics``."""

    @needs_scope("chat")
    def get(self) -> None:
        """Figures for Prometheus, in its text format."""
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.app.metrics.text())
