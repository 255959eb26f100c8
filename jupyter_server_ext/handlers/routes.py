"""The routes of the gateway, and what answers them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jupyter_server_ext.handlers import (
    admin,
    analytics,
    batches,
    chat,
    completions,
    console,
    home,
    keys,
    knowledge,
    responses,
    sessions,
    tenants,
    webhooks,
)
from jupyter_server_ext.pipeline import FILE_KINDS
from jupyter_server_ext.webhooks import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.handlers.base import AppContext, GatewayHandler

_PARAMETER = re.compile(r"\{(\w+)(?::([^}]+))?\}")


ROUTE_GROUPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "models": (
        "OpenAI's routes: asking, and what may be asked",
        ("v1/chat", "v1/models", "v1/responses", "v1/embeddings", "v1/{other}"),
    ),
    "files and jobs": ("OpenAI's files and batches", ("v1/files", "v1/batches")),
    "conversations": (
        "asking in one's own words, ratings, and conversations that are kept",
        ("chat", "feedback", "conversations", "sessions", "shared", "download"),
    ),
    "shared knowledge": ("what groups share", ("documents", "search", "dictionaries", "examples")),
    "own keys": ("virtual API keys of one's own", ("keys",)),
    "state": ("how the gateway does, and what one has used", ("", "health", "status", "stats", "metrics")),
    "pages": (
        "the console, its files, and these routes",
        ("me", "admin", "assets", "oauth_callback", "openapi.json", "docs"),
    ),
    "administration": ("what administrators and instructors see and change", ("admin/…",)),
}
"""The groups of routes: what each is for, and how the paths in it begin."""


@dataclass(frozen=True)
class Route:
    """One route."""

    # Its path below the gateway's base. ``{name}`` is a part that varies, ``{name:regex}`` one of this form.
    pattern: str
    handler: type[GatewayHandler]  # answers it
    # JSON schema of the body that it takes, for openapi.json; None for no body, or one that may be empty.
    body: Mapping[str, Any] | None = None

    @property
    def path(self) -> str:
        """The path as people write it."""
        return _PARAMETER.sub(r"{\1}", self.pattern)

    @property
    def group(self) -> str:
        """The name of its group; the first part of its path where that is in none."""
        first, _, rest = self.path.partition("/")
        begins = f"v1/{rest.partition('/')[0]}" if first == "v1" else "admin/…" if first == "admin" and rest else first
        return next((name for name, (_, paths) in ROUTE_GROUPS.items() if begins in paths), first)

    @property
    def variables(self) -> dict[str, str]:
        """What varies in it, with its form where it has one."""
        return {found[1]: found[2] or "" for found in _PARAMETER.finditer(self.pattern)}

    @property
    def regex(self) -> str:
        """The path as tornado matches it."""
        parts, at = [], 0
        for found in _PARAMETER.finditer(self.pattern):
            parts += [re.escape(self.pattern[at : found.start()]), f"({found[2] or '.+'})"]
            at = found.end()
        return "".join([*parts, re.escape(self.pattern[at:])])


_TEXT = {"type": "string"}
_TRUTH = {"type": "boolean"}
_TEXT_OR_LIST = {"type": ["string", "array"]}


def _schema(*required: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": [*required], "properties": properties}


_OPEN = {"additionalProperties": True}
_MESSAGE = {"type": "object", **_schema("role", role=_TEXT, content={})}
_MESSAGES = {"type": "array", "minItems": 1, "items": _MESSAGE}
_COMPLETION = _schema("messages", messages=_MESSAGES, model=_TEXT, stream=_TRUTH) | _OPEN
_RESPONSE = _schema("input", input=_TEXT_OR_LIST, instructions=_TEXT, model=_TEXT, stream=_TRUTH) | _OPEN
_EMBEDDINGS = _schema("input", "model", input=_TEXT_OR_LIST, model=_TEXT) | _OPEN
_CONTEXT = {"type": ["string", "object", "array"]}
_CHAT = _schema("message", message=_TEXT, context=_CONTEXT, session_id=_TEXT, model=_TEXT, stream=_TRUTH)
_LIMITS = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
_LIMITS_ANY = {"type": "object"}
_BY_NAME = {"type": "object", "additionalProperties": {"type": ["object", "null"]}}
_LIMITS_OF = _schema(caller=_LIMITS_ANY, tenant=_LIMITS_ANY, everyone=_LIMITS_ANY, callers=_BY_NAME, tenants=_BY_NAME)
_PROVIDERS_KEY: dict[str, Any] = {"name": _TEXT, "base_url": _TEXT, "models": {"type": "array", "items": _TEXT}}
_NEW_PROVIDER_KEY = _schema("provider", provider=_TEXT, key=_TEXT, **_PROVIDERS_KEY) | {"additionalProperties": True}
_NEW_KEY: dict[str, Any] = {"name": _TEXT, "days": {"type": "number"}, "limits": _LIMITS, "scopes": {"type": "array"}}
_OWN_KEY = _schema("name", **_NEW_KEY)
_KEY_OF_ANYBODY = _schema("owner", "name", owner=_TEXT, tenant=_TEXT, **_NEW_KEY)
_PASSAGE = {"type": "object", **_schema("text", text=_TEXT, path={"type": "array", "items": _TEXT})} | _OPEN
_DOCUMENT = _schema(
    "name",
    name=_TEXT,
    passages={"type": "array", "items": _PASSAGE},
    text=_TEXT,
    tenant=_TEXT,
    days={"type": "number"},
)
_SEARCH = _schema(
    "query", query=_TEXT, documents={"type": "array", "items": _TEXT}, most={"type": "integer", "minimum": 1}
)
_KEPT: dict[str, Any] = {"tenant": _TEXT, "days": {"type": "number"}}
_DICTIONARY = _schema("name", "text", name=_TEXT, text=_TEXT, **_KEPT)
_EXAMPLE = _schema("question", "sql", question=_TEXT, sql=_TEXT, dialect=_TEXT, **_KEPT)
_RULES: dict[str, Any] = {
    "weight": {"type": ["number", "null"], "exclusiveMinimum": 0},
    "models": {"type": ["array", "null"], "items": _TEXT},
    "system_prompt": {"type": ["string", "null"]},
    "privacy_floor": {"enum": ["names", "stats", "sample", "", None]},
    **{name: {"type": ["boolean", "null"]} for name in ("fallbacks", "cache", "keep_prompts")},
    "limits": {"type": ["object", "null"], "additionalProperties": {"type": ["number", "null"], "minimum": 0}},
}
_TENANT = _schema("name", name=_TEXT, **_RULES)
_MEMBER = _schema("caller", caller=_TEXT, instructor=_TRUTH)
_WEBHOOK = _schema("url", url=_TEXT, events={"type": "array", "items": {"enum": [*EVENTS]}}, tenant=_TEXT)
_BATCH = _schema(
    "input_file_id",
    "endpoint",
    input_file_id=_TEXT,
    endpoint=_TEXT,
    completion_window=_TEXT,
    metadata={"type": ["object", "null"]},
    output_expires_after={"type": ["object", "null"]},
)
_NAME = _schema("name", name=_TEXT)
_SESSION = _schema("title", "pairs", title=_TEXT, pairs={"type": "array", "items": {"type": "object"}}, notebook=_TEXT)
_ARTIFACT = _schema("kind", "name", "data", kind={"enum": [*FILE_KINDS]}, name=_TEXT, data=_TEXT, media=_TEXT)
_STARS = {"oneOf": [{"enum": ["up", "down"]}, {"type": "integer", "minimum": 1, "maximum": 5}]}
_RATING = _schema("request_id", "rating", request_id=_TEXT, rating=_STARS, comment=_TEXT)

ROUTES = (
    Route("", home.Home),
    Route("health", home.Health),
    Route("v1/chat/completions", completions.Completions, _COMPLETION),
    Route("v1/models", completions.ModelList),
    Route("v1/models/{model}", completions.OneModel),
    Route("v1/responses", responses.Responses, _RESPONSE),
    Route("v1/embeddings", completions.Embeddings, _EMBEDDINGS),
    Route("v1/files", batches.AllFiles),
    Route("v1/files/{id:[^/]+}", batches.OneFile),
    Route("v1/files/{id:[^/]+}/content", batches.FileContent),
    Route("v1/batches", batches.AllBatches, _BATCH),
    Route("v1/batches/{id:[^/]+}", batches.OneBatch),
    Route("v1/batches/{id:[^/]+}/cancel", batches.CancelledBatch),
    Route("v1/{other:completions}", completions.Unsupported),
    Route("chat", chat.PlainChat, _CHAT),
    Route("documents", knowledge.AllDocuments, _DOCUMENT),
    Route("documents/{name:.+}", knowledge.OneDocument),
    Route("search", knowledge.Search, _SEARCH),
    Route("dictionaries", knowledge.AllDictionaries, _DICTIONARY),
    Route("dictionaries/{name:.+}", knowledge.OneDictionary),
    Route("examples", knowledge.AllExamples, _EXAMPLE),
    Route("examples/{name:[^/]+}", knowledge.OneExample),
    Route("me", console.Me),
    Route("admin", console.Console),
    Route("assets/{version:[0-9a-f]+}/{file:[A-Za-z0-9_./-]+}", console.Asset),
    Route("status", home.Status),
    Route("stats", home.Stats),
    Route("feedback", chat.Feedback, _RATING),
    Route("conversations", analytics.OwnConversations),
    Route("conversations/{id:[^/]+}", analytics.OwnConversation, _NAME),
    Route("sessions", sessions.OwnSessions),
    Route("sessions/{id:[^/]+}", sessions.OwnSession, _SESSION),
    Route("sessions/{id:[^/]+}/share", sessions.SessionLink, _schema(days={"type": "number"})),
    Route("sessions/{id:[^/]+}/artifacts", sessions.SessionArtifacts, _ARTIFACT),
    Route("shared/{token:[^/]+}", sessions.SharedSession),
    Route("download/{kind:[a-z]+}/{id:[^/]+}", sessions.Download),
    Route("metrics", home.PrometheusMetrics),
    Route("keys", keys.OwnKeys, _OWN_KEY),
    Route("keys/{id:[^/]+}", keys.OwnKey),
    Route("oauth_callback", home.Returned),
    Route("openapi.json", home.OpenApi),
    Route("docs", home.Docs),
    Route("admin/health-check", admin.HealthCheck),
    Route("admin/reset-daily-limits", admin.ResetDailyLimits),
    Route("admin/api/overview", console.Overview),
    Route("admin/api/headroom", console.HeadroomOfKeys),
    Route("admin/api/settings", console.SettingsInForce),
    Route("admin/api/keys", admin.Keys, _NEW_PROVIDER_KEY),
    Route("admin/api/keys/{key:[^/]+}", admin.AddedKey),
    Route("admin/api/keys/{key:[^/]+}/check", admin.CheckedKey),
    Route("admin/api/keys/{key:[^/]+}/{action:pause|resume|retire}", admin.OneKey),
    Route("admin/api/api-keys", keys.AllKeys, _KEY_OF_ANYBODY),
    Route("admin/api/api-keys/{id:[^/]+}", keys.OneKeyOfAll),
    Route("admin/api/limits", admin.LimitsInForce, _LIMITS_OF),
    Route("admin/api/tenants", tenants.AllTenants, _TENANT),
    Route("admin/api/tenants/{name:[^/]+}", tenants.OneTenant, _schema(**_RULES)),
    Route("admin/api/tenants/{name:[^/]+}/members", tenants.Members, _MEMBER),
    Route("admin/api/tenants/{name:[^/]+}/members/{caller:[^/]+}", tenants.OneMember),
    Route("admin/api/changes", tenants.Changes),
    Route("admin/api/changes/{id:[^/]+}/undo", tenants.UndoneChange),
    Route("admin/api/export", admin.Export),
    Route("admin/api/ledger/verify", admin.VerifyLedger),
    Route("admin/api/requests/{id:[^/]+}", admin.OneRequest),
    Route("admin/api/feedback", admin.FeedbackList),
    Route("admin/api/usage", admin.UsageSums),
    Route("admin/api/errors", analytics.Errors),
    Route("admin/api/metrics", analytics.HourlyMetrics),
    Route("admin/api/stats", analytics.StatsOfAll),
    Route("admin/api/health", analytics.AdminHealth),
    Route("admin/api/requests", analytics.Executions),
    Route("admin/api/log", analytics.RequestLog),
    Route("admin/api/users", analytics.AllUsers),
    Route("admin/api/user-activity/{user:[^/]+}", analytics.UserActivity),
    Route("admin/api/analytics/popular", analytics.Popular),
    Route("admin/api/analytics/trending", analytics.Trending),
    Route("admin/api/analytics/stats", analytics.AnalyticsStats),
    Route("admin/api/analytics/timeseries", analytics.TimeSeries),
    Route("admin/api/sessions", analytics.Sessions),
    Route("admin/api/sessions/{id:[^/]+}", analytics.OneSession),
    Route("admin/api/conversations", analytics.AllConversations),
    Route("admin/api/conversations/{id:[^/]+}", analytics.OneSession),
    Route("admin/api/jobs", batches.AllJobs),
    Route("admin/api/jobs/{id:[^/]+}", batches.OneJob),
    Route("admin/api/jobs/{id:[^/]+}/{action:cancel|retry}", batches.ChangedJob),
    Route("admin/api/webhooks", webhooks.AllWebhooks, _WEBHOOK),
    Route("admin/api/webhooks/{id:[^/]+}", webhooks.OneWebhook),
    Route("admin/api/webhooks/{id:[^/]+}/test", webhooks.TriedWebhook),
    Route("admin/api/webhooks/{id:[^/]+}/deliveries/{delivery:[^/]+}/retry", webhooks.RetriedDelivery),
    Route("admin/api/users/{name:[^/]+}/reset", admin.GivenBack),
    Route("admin/api/users/{name}", admin.OneUser),
)
"""All routes; docs and openapi.json are made from this."""


def rules(app: AppContext, base: str) -> list[tuple[str, type[GatewayHandler], dict[str, Any]]]:
    """What tornado takes, below a path with a slash at both ends: patterns, handlers and their arguments."""
    found = [(re.escape(base) + route.regex, route.handler, {"app": app, "route": route.path}) for route in app.routes]
    # Last, as tornado takes the first pattern that fits.
    elsewhere = re.escape(base.rstrip("/")) + "(?:/.*)?"
    return [*found, (elsewhere, home.NoRoute, {"app": app, "route": "other"})]


def groups_table() -> str:
    """The groups as a table of docs/gateway.md."""
    rows = [
        f"| {name} | {what} | {', '.join(f'`{path}`' for path in paths if path)} |"
        for name, (what, paths) in ROUTE_GROUPS.items()
    ]
    return "\n".join(["| group | for | paths that begin with |", "|---|---|---|", *rows, ""])
