"""Shapes of replies: what any caller is told: models, usage, keys of one's own."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict

from jupyter_server_ext.handlers.described import Object


class UsageRow(TypedDict):
    """Sums of a day, caller, group, model and task."""

    day: str
    caller: str
    tenant: str
    model: str
    task: str
    requests: int
    errors: int
    cache_hits: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_usd: float
    saved_usd: float


class UsageReply(TypedDict):
    """``admin/api/usage``."""

    usage: list[UsageRow]
    next: str | None


class VirtualKeyRow(TypedDict):
    """A virtual API key, without its text."""

    id: str
    name: str
    owner: str
    scopes: list[str]
    made: str
    expires: str
    limits: Object


class VirtualKeysReply(TypedDict):
    """``keys`` and ``admin/api/api-keys``."""

    keys: list[VirtualKeyRow]
    grantable: dict[str, str]  # the scopes that a new one may have, with what each lets do
    usual: list[str]  # those it has where none are named


class NewVirtualKey(VirtualKeyRow):
    """A virtual API key with its text."""

    key: str


class HealthReply(TypedDict):
    """``health``."""

    status: str
    version: str
    checks: dict[str, str]
    keys_lost: NotRequired[int]


class ModelRow(TypedDict):
    """One model, in OpenAI's form."""

    id: str
    object: str
    created: int
    owned_by: str
    pricing: NotRequired[Object]
    architecture: NotRequired[Object]


class ModelsReply(TypedDict):
    """``v1/models``."""

    object: str
    data: list[ModelRow]
    default: str
