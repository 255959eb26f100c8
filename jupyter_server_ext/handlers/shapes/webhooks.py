"""Shapes of replies: webhooks and their deliveries."""

from __future__ import annotations

from typing_extensions import TypedDict


class WebhookRow(TypedDict):
    """A webhook, without its secret and the path of its address."""

    id: str
    url: str
    events: list[str]
    tenant: str
    made: float


class WebhookDelivery(TypedDict):
    """One event for one webhook, and what came of it; all times are Unix time."""

    id: str
    event: str
    state: str
    attempts: int
    made: float
    tried: float | None
    due: float | None
    status: int | None
    reason: str


class EventRow(TypedDict):
    """An event that a webhook may be told."""

    type: str
    when: str


class WebhooksReply(TypedDict):
    """``admin/api/webhooks``."""

    webhooks: list[WebhookRow]
    events: list[EventRow]


class NewWebhook(WebhookRow):
    """A webhook that was made."""

    secret: str


class WebhookLog(WebhookRow):
    """A webhook with what was told to it."""

    deliveries: list[WebhookDelivery]


class DeletedWebhook(TypedDict):
    """The id of what was deleted."""

    deleted: str
