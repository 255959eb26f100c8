"""Shapes of replies: what the console shows first, and one's own page."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from jupyter_server_ext.handlers.described import Object
from jupyter_server_ext.handlers.shapes.analytics import OfTime, Rates
from jupyter_server_ext.handlers.shapes.callers import VirtualKeyRow


class FindingRow(TypedDict):
    """Something that is wrong now, and what to do; ``part`` and ``name`` say where the console shows more."""

    level: str
    what: str
    do: str
    part: str
    name: str


class BudgetRow(TypedDict):
    """A budget, and the part of it that is spent."""

    whose: str
    period: str
    part: float


class OverviewReply(TypedDict):
    """``admin/api/overview``; ``recent`` are sums of the last ``seconds``, and null where no records are kept."""

    at: float
    status: str
    version: str
    seconds: float
    recent: Rates | None
    today: Rates | None
    series: list[OfTime]
    keys: list[Object]
    queue: Object
    checks: dict[str, str]
    budgets: list[BudgetRow]
    findings: list[FindingRow]


class LimitPast(TypedDict):
    """One limit of a key, with points of Unix time and the part of it that was left."""

    key: str
    model: str
    unit: str
    seconds: float
    points: list[list[float]]


class HeadroomReply(TypedDict):
    """``admin/api/headroom``."""

    every: float
    shared: bool
    limits: list[LimitPast]


class SectionRow(TypedDict):
    """A section of the console."""

    name: str
    title: str


class MeReply(TypedDict):
    """``me``."""

    caller: str
    tenant: str
    scopes: list[str]
    version: str
    keeps: bool
    zone: str
    jobs: bool
    sections: list[SectionRow]
    hub: dict[str, str] | None


EffectiveRow = TypedDict("EffectiveRow", {"name": str, "value": Any, "from": str})
"""A setting in force: its name as in rsql.toml, its value, and where that comes from."""


class SettingsReply(TypedDict):
    """``admin/api/settings``."""

    settings: list[EffectiveRow]


class UserReply(TypedDict):
    """``admin/api/users/{name}``: what somebody has used and has left; ``decided`` are limits of their own."""

    user: str
    tenant: str
    limits: Object
    tokens: Object
    concurrency: Object
    cost: Object
    shared_limits: Object
    decided: Object | None
    keys: list[VirtualKeyRow]
