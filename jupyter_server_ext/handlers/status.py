"""How the gateway is, for everybody, for a caller, and for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado.web import HTTPError

from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.parts import default_model, health, offline_models
from jupyter_server_ext.identity import needs_scope, open_to_all

if TYPE_CHECKING:
    from jupyter_server_ext.messages import Caller


class Health(GatewayHandler):
    """``health``: no token, nothing that is not for everybody."""

    @open_to_all
    def get(self) -> None:
        """Whether the gateway can answer: 200, or 503 when no key can serve any more or it is about to end."""
        told = health(self.parts)
        if self.settings.get("leaving"):
            told = {**told, "status": "ending"}
        self.reply(told, status=503 if told["status"] in {"unavailable", "ending"} else 200)

    head = get


class NoRoute(GatewayHandler):
    """Whatever else is asked for below the gateway's address."""

    @open_to_all
    def get(self) -> None:
        """There is nothing here; the base without its slash leads to the base."""
        if self.request.path + "/" == self.parts.base:
            self.redirect(self.parts.base, status=308)
        else:
            raise HTTPError(404)

    head = post = put = patch = delete = options = get


class Status(GatewayHandler):
    """``GET status``."""

    @needs_scope("chat")
    def get(self) -> None:
        """Keys by state, the queue, models, and the least that your group lets out of a kernel."""
        told = {name: value for name, value in self.parts.gateway.status().items() if name != "pool"}
        told["models"] = self.parts.policy.models(self.asker, told.get("models", []))
        told["default_model"] = default_model(self.parts, self.asker)
        told["privacy_floor"] = self.parts.policy.privacy_floor(self.asker)
        self.reply(told)


class Stats(GatewayHandler):
    """``GET stats``."""

    @needs_scope("chat")
    async def get(self) -> None:
        """Your own use: requests and tokens per period with what is left, requests under way, money."""
        asker = self.asker
        await self.parts.limits.refresh(asker)
        cost = await self.parts.accounting.cost_today(asker, {key.provider for key in self.parts.settings.keys})
        self.reply(
            {
                "caller": asker.name,
                "tenant": asker.tenant,
                **self.parts.limits.stats(asker),
                "cost": cost,
                "cache": await self.parts.accounting.cache_today(asker),
                "privacy_floor": self.parts.policy.privacy_floor(asker),
                "system_prompt": self.parts.policy.system_prompt(asker),
                "offline_models": offline_models(self.parts, asker),
                **self._of_key(asker),
            }
        )

    def _of_key(self, asker: Caller) -> dict[str, Any]:
        """Limits that the virtual key has of its own, where one asks."""
        if not asker.key:
            return {}
        left = self.parts.limits.stats_of_key(asker) | self.parts.accounting.spent_by_key(asker)
        return {"key": {"id": asker.key, "limits": left}}


class PrometheusMetrics(GatewayHandler):
    """``GET metrics``."""

    @needs_scope("chat")
    def get(self) -> None:
        """Figures for Prometheus, in its text format."""
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self.parts.metrics.text())
