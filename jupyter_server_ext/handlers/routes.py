"""The routes of the gateway, and what answers them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.handlers import admin, chat, completions, docs, home, keys, ratings, responses, status

if TYPE_CHECKING:
    from jupyter_server_ext.handlers.app_context import AppContext
    from jupyter_server_ext.handlers.base import GatewayHandler

_PARAMETER = re.compile(r"\{(\w+)(?::([^}]+))?\}")


@dataclass(frozen=True)
class Route:
    """One route.

    Args:
        pattern: Its path below the gateway's base. ``{name}`` is a part that varies, ``{name:regex}`` one of this form.
        handler: What answers it.
    """

    pattern: str
    handler: type[GatewayHandler]

    @property
    def path(self) -> str:
        """The path as people write it."""
        return _PARAMETER.sub(r"{\1}", self.pattern)

    @property
    def names(self) -> list[str]:
        """What varies in it."""
        return [found[1] for found in _PARAMETER.finditer(self.pattern)]

    @property
    def regex(self) -> str:
        """The path as tornado matches it."""
        parts, at = [], 0
        for found in _PARAMETER.finditer(self.pattern):
            parts += [re.escape(self.pattern[at : found.start()]), f"({found[2] or '.+'})"]
            at = found.end()
        return "".join([*parts, re.escape(self.pattern[at:])])


ROUTES = (
    Route("", home.Home),
    Route("health", status.Health),
    Route("v1/chat/completions", completions.Completions),
    Route("v1/models", completions.ModelList),
    Route("v1/models/{model}", completions.OneModel),
    Route("v1/responses", responses.Responses),
    Route("v1/embeddings", completions.Embeddings),
    Route("v1/{other:completions}", completions.Unsupported),
    Route("chat", chat.PlainChat),
    Route("status", status.Status),
    Route("stats", status.Stats),
    Route("feedback", ratings.Feedback),
    Route("metrics", status.PrometheusMetrics),
    Route("keys", keys.OwnKeys),
    Route("keys/{id:[^/]+}", keys.OwnKey),
    Route("oauth_callback", home.Returned),
    Route("openapi.json", docs.OpenApi),
    Route("docs", docs.Docs),
    Route("admin/health-check", admin.HealthCheck),
    Route("admin/reset-daily-limits", admin.ResetDailyLimits),
    Route("admin/api/keys", admin.Keys),
    Route("admin/api/keys/{key:[^/]+}/{action:pause|resume|retire}", admin.OneKey),
    Route("admin/api/api-keys", keys.AllKeys),
    Route("admin/api/api-keys/{id:[^/]+}", keys.OneKeyOfAll),
    Route("admin/api/limits", admin.LimitsInForce),
    Route("admin/api/export", admin.Export),
    Route("admin/api/ledger/verify", admin.VerifyLedger),
    Route("admin/api/requests/{id:[^/]+}", admin.OneRequest),
    Route("admin/api/feedback", admin.FeedbackList),
    Route("admin/api/usage", admin.Usage),
    Route("admin/api/errors", admin.Errors),
    Route("admin/api/users/{name}", admin.OneUser),
)
"""All routes; docs and openapi.json are made from this."""


def rules(app: AppContext, base: str) -> list[tuple[str, type[GatewayHandler], dict[str, Any]]]:
    """What tornado takes: patterns, handlers and their arguments.

    Args:
        app: Everything that handlers use.
        base: The path of the gateway, with a slash at both ends.
    """
    found = [(re.escape(base) + route.regex, route.handler, {"app": app, "route": route.path}) for route in app.routes]
    elsewhere = re.escape(base.rstrip("/")) + "(?:/.*)?"
    return [*found, (elsewhere, status.NoRoute, {"app": app, "route": "other"})]
