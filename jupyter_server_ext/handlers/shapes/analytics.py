"""Shapes of replies: sums, requests and ranks for administrators."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from jupyter_server_ext.handlers.described import Counts, Object


class Rates(TypedDict):
    """Sums of requests: of a time, or of a part of them."""

    requests: int
    success: int
    failure: int
    timeout: int
    refused: int
    cancelled: int
    retries: int
    cache_hits: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_usd: float
    saved_usd: float
    success_rate: float | None
    average_seconds: float | None
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None
    queue_seconds: float | None
    first_token_seconds: float | None
    upstream_seconds: float | None


class OfName(Rates):
    """Sums of one model, task or group."""

    name: str


class OfTime(Rates):
    """Sums of one slot of time."""

    start: float


class MetricsReply(TypedDict):
    """``admin/api/metrics``."""

    hours: int
    since: float
    total: Rates
    models: list[OfName]
    tasks: list[OfName]
    tenants: list[OfName]


class TimeSeriesReply(TypedDict):
    """``admin/api/analytics/timeseries``."""

    hours: int
    seconds: int
    starts: list[int]
    series: list[OfTime]


class ExecutionRow(TypedDict):
    """One execution: a request, or a try of it that was followed by another."""

    request_id: str
    client_id: str
    trace: str
    session: str
    attempt: int
    attempts: int
    at: float
    caller: str
    tenant: str
    api_key: str
    task: str
    model: str
    key: str
    status: int
    outcome: str
    error: str
    error_text: str
    usage: Object
    cost_nanodollars: int
    saved_nanodollars: int
    queue_seconds: float
    first_token_seconds: float | None
    upstream_seconds: float
    duration_seconds: float
    cache: str
    prompt_hash: str
    question: str
    tables: list[str]


class ExecutionWithTexts(ExecutionRow):
    """One execution, with what policy keeps of it."""

    messages: NotRequired[Any]
    answer: NotRequired[Any]


class ErrorsReply(TypedDict):
    """``admin/api/errors``."""

    errors: list[ExecutionRow]
    next: str | None


class ExecutionsReply(TypedDict):
    """``admin/api/requests``."""

    requests: list[ExecutionRow]
    next: str | None


class OneRequestReply(TypedDict):
    """``admin/api/requests/{id}``."""

    entries: list[ExecutionWithTexts]


class DayRow(TypedDict):
    """What one user used in a day."""

    day: str
    requests: int
    errors: int
    cache_hits: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


class ActivityReply(TypedDict):
    """``admin/api/user-activity/{user}``."""

    user: str
    total: RankedRow | None
    days: list[DayRow]
    requests: list[ExecutionRow]
    next: str | None


class RankedRow(TypedDict):
    """A question, a table or a user, with how often it is asked for."""

    name: str
    requests: int
    lately: float
    failed: int
    tokens: int
    cost_usd: float
    first_at: float
    last_at: float
    task: str
    tables: list[str]
    text: NotRequired[str]


class RankedReply(TypedDict):
    """``admin/api/analytics/popular`` and ``trending``."""

    kind: str
    items: list[RankedRow]
    next: str | None


class UsersReply(TypedDict):
    """``admin/api/users``."""

    users: list[RankedRow]
    next: str | None


class AnalyticsStatsReply(TypedDict):
    """``admin/api/analytics/stats``."""

    questions: int
    questions_lately: int
    tables: int
    users: int
    users_lately: int
    tasks: list[OfName]
    busiest_tables: list[RankedRow]


class StatsOfAllReply(TypedDict):
    """``admin/api/stats``."""

    all_time: Rates
    last_hour: Rates
    last_day: Rates
    last_week: Rates
    users: Counts
    keys: Counts
    queue: Object
    under_way: int
    version: str


class DatabaseState(TypedDict):
    """The ledger's database."""

    status: str
    kind: str
    version: str
    bytes: int
    milliseconds: float | None
    waiting: int
    lag_seconds: float
    unfolded: int


class Performance(TypedDict):
    """How the gateway does."""

    under_way: int
    queue_length: int
    expected_wait_seconds: float | None
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None
    error_rate: float | None
    memory_bytes: int
    uptime_seconds: float


class AdminHealthReply(TypedDict):
    """``admin/api/health``."""

    status: str
    version: str
    checks: dict[str, str]
    database: DatabaseState
    dependencies: dict[str, str]
    performance: Performance
    plugins: list[str]
