"""Webhooks: made, listed, deleted, tried and told again; an instructor those of the own group."""

from __future__ import annotations

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.parameters import whole
from jupyter_server_ext.handlers.shapes.webhooks import (
    DeletedWebhook,
    NewWebhook,
    WebhookDelivery,
    WebhookLog,
    WebhooksReply,
)
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.webhooks import EVENTS, possible_events

_LINES = whole("limit", "How many deliveries at most.", least=1, most=1000, default=100)


class AllWebhooks(GatewayHandler):
    """``admin/api/webhooks``."""

    @needs_scope("instructor")
    @described(WebhooksReply)
    def get(self) -> None:
        """The webhooks, all for an administrator, those of the own group for an instructor; and what can be told."""
        webhooks, own = self.app.webhooks.all(self.asker), self.app.tenants.scope(self.asker)
        events = [{"type": name, "when": EVENTS[name].when} for name in possible_events(own or "")]
        self.reply({"webhooks": webhooks, "events": events})

    @needs_scope("instructor")
    @described(NewWebhook, status=201)
    async def post(self) -> None:
        """Make a webhook for a ``url``, with ``events`` (all where none are named); its secret is shown this once.

        With a ``tenant`` it is told what concerns that group only; an instructor's always is of the own group.
        """
        body = requests.own_object(self.body, "url", "events", "tenant")
        events = body.get("events") or []
        if not isinstance(events, list) or not all(isinstance(one, str) for one in events):
            raise BadRequest("'events' must be a list of names.", param="events")
        url, tenant = requests.required_text(body, "url"), requests.optional_text(body, "tenant")
        self.reply(await self.app.webhooks.make(self.asker, url, events, tenant), status=201)


class OneWebhook(GatewayHandler):
    """``admin/api/webhooks/{id}``."""

    @needs_scope("instructor")
    @described(WebhookLog, _LINES)
    async def get(self, webhook: str) -> None:
        """A webhook, and what was told to it within a week, the newest first."""
        self.reply(await self.app.webhooks.log(self.asker, webhook, self.query()["limit"]))

    @needs_scope("instructor")
    @described(DeletedWebhook)
    async def delete(self, webhook: str) -> None:
        """Delete a webhook, with what is yet to be told to it; undoing the change makes it again."""
        await self.app.webhooks.remove(self.asker, webhook)
        self.reply({"deleted": webhook})


class TriedWebhook(GatewayHandler):
    """``POST admin/api/webhooks/{id}/test``."""

    @needs_scope("instructor")
    @described(WebhookDelivery)
    async def post(self, webhook: str) -> None:
        """Send an event ``webhook.test`` at once, and tell what came of it."""
        self.reply(await self.app.webhooks.test(self.asker, webhook))


class RetriedDelivery(GatewayHandler):
    """``POST admin/api/webhooks/{id}/deliveries/{delivery}/retry``."""

    @needs_scope("instructor")
    @described(WebhookDelivery)
    async def post(self, webhook: str, delivery: str) -> None:
        """Send a delivery again at once, by the same ``webhook-id``, and tell what came of it."""
        self.reply(await self.app.webhooks.retry(self.asker, webhook, delivery))
