"""The shapes of replies, for openapi.json. What a reply has in JSON stands here as types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NotRequired, TypeVar

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.handlers.parameters import Parameter

Method = TypeVar("Method", bound="Callable[..., Any]")
Counts = dict[str, int]
Object = dict[str, Any]


class Description(NamedTuple):
    """What a method of a handler takes in its address, and how it replies."""

    reply: Any  # a type for JSON, or the name of another kind of content
    parameters: tuple[Parameter, ...] = ()
    status: int = 200


def described(reply: Any, *parameters: Parameter, status: int = 200) -> Callable[[Method], Method]:
    """Say what a handler's method takes and how it replies; an administrator's route refuses other parameters."""

    def mark(method: Method) -> Method:
        method._described = Description(reply, parameters, status)  # type: ignore[attr-defined]  # noqa: SLF001
        return method

    return mark


def description_of(method: object) -> Description | None:
    """What ``described`` said of a method."""
    return getattr(method, "_described", None)


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
    p95_seconds: float | None
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


class ConversationRow(TypedDict):
    """A conversation, or the session of a notebook."""

    id: str
    name: str
    user: str
    tenant: str
    task: str
    requests: int
    failed: int
    tokens: int
    cost_usd: float
    first_at: float
    last_at: float


class SessionsReply(TypedDict):
    """``admin/api/sessions``."""

    sessions: list[ConversationRow]
    next: str | None


class ConversationsReply(TypedDict):
    """``conversations`` and ``admin/api/conversations``."""

    conversations: list[ConversationRow]
    next: str | None


class DeletedReply(TypedDict):
    """How many conversations were deleted."""

    deleted: int


class NamedReply(TypedDict):
    """A conversation's new name."""

    id: str
    name: str


class FeedbackRow(TypedDict):
    """One rating."""

    request_id: str
    caller: str
    tenant: str
    rating: int
    comment: str
    at: float


class FeedbackReply(TypedDict):
    """``admin/api/feedback``."""

    feedback: list[FeedbackRow]
    next: str | None


class ChangeRow(TypedDict):
    """A line of the trail of what was changed at run time."""

    number: int
    id: str
    at: float
    caller: str
    kind: str
    name: str
    tenant: str
    undoes: str
    before: Object | None
    after: Object | None


class ChangesReply(TypedDict):
    """``admin/api/changes``."""

    changes: list[ChangeRow]


class TenantsReply(TypedDict):
    """``admin/api/tenants``."""

    tenants: list[Object]


class MembersReply(TypedDict):
    """``admin/api/tenants/{name}/members``."""

    members: list[Object]


TenantReply = dict[str, Any]


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


class KeysReply(TypedDict):
    """``admin/api/keys``."""

    states: Counts
    keys: list[Object]


class NewKeyReply(TypedDict):
    """A key that was added."""

    key: str
    lasts: bool


class KeyCheck(TypedDict):
    """What came of trying a key."""

    key: str
    ok: bool
    seconds: NotRequired[float]
    reason: NotRequired[str]


class KeyActionReply(TypedDict):
    """What was done to a key."""

    key: str
    action: str


class ChecksReply(TypedDict):
    """``admin/health-check``."""

    keys: list[Object]


class ResetReply(TypedDict):
    """``admin/reset-daily-limits``."""

    status: str
    accounts: int


class LimitsReply(TypedDict):
    """``admin/api/limits``."""

    limits: Object
    decided: Object
    lasts: bool


class VerifyReply(TypedDict):
    """``admin/api/ledger/verify``."""

    status: str
    problems: list[str]


class GivenBackReply(TypedDict):
    """Whose limits were given back."""

    user: str
    complete: bool


class ForgottenReply(TypedDict):
    """What was forgotten of a user."""

    user: str
    entries: int
    complete: bool


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


class NewVirtualKey(VirtualKeyRow):
    """A virtual API key with its text."""

    key: str


class HealthReply(TypedDict):
    """``health``."""

    status: str
    version: str
    checks: dict[str, str]
    keys_lost: NotRequired[int]


class ThanksReply(TypedDict):
    """``feedback``."""

    status: str
    request_id: str
    rating: int


class ModelRow(TypedDict):
    """One model, in OpenAI's form."""

    id: str
    object: str
    created: int
    owned_by: str
    pricing: NotRequired[Object]


class ModelsReply(TypedDict):
    """``v1/models``."""

    object: str
    data: list[ModelRow]
    default: str


class DocumentRow(TypedDict):
    """A shared document, without its text."""

    name: str
    tenant: str
    passages: int
    bytes: int
    added: str
    expires: str | None
    model: str | None


class DocumentsReply(TypedDict):
    """``documents``."""

    documents: list[DocumentRow]


class SessionCopy(TypedDict):
    """A conversation that a caller keeps here, without what was said; times are Unix times."""

    id: str
    title: str
    notebook: str
    pairs: int
    bytes: int
    changed: float
    expires: float | None
    shared_until: float | None


class SessionCopies(TypedDict):
    """``sessions``."""

    sessions: list[SessionCopy]


class WholeSession(TypedDict):
    """``sessions/{id}``."""

    id: str
    title: str
    notebook: str
    pairs: list[Object]
    bytes: int
    changed: float
    expires: float | None
    shared_until: float | None


class DeletedSession(TypedDict):
    """What was deleted or taken back, by its id."""

    deleted: str


class LinkReply(TypedDict):
    """``POST sessions/{id}/share``: the link, below the gateway's address, and the Unix time until it is good."""

    link: str
    until: float


class SharedSessionReply(TypedDict):
    """``shared/{token}``."""

    user: str
    title: str
    pairs: list[Object]
    changed: float
    shared_until: float | None


class ArtifactRow(TypedDict):
    """A file of a conversation; ``digest`` is the SHA-256 of its bytes."""

    id: str
    kind: str
    name: str
    media: str
    bytes: int
    digest: str
    made: float


class ArtifactsReply(TypedDict):
    """``sessions/{id}/artifacts``."""

    artifacts: list[ArtifactRow]


class SharedRow(TypedDict):
    """A shared dictionary or example."""

    name: str
    tenant: str
    bytes: int
    digest: str
    added: str
    expires: str | None


class SharedWithText(SharedRow):
    """A shared dictionary with its text."""

    text: str


class DictionariesReply(TypedDict):
    """``dictionaries``."""

    dictionaries: list[SharedRow]


class ExamplesReply(TypedDict):
    """``examples``."""

    examples: list[Object]


class DeletedDocument(TypedDict):
    """The name of what was deleted."""

    deleted: str


class PassagesReply(TypedDict):
    """``search``."""

    passages: list[Object]
    models: list[str]


class ChatReply(TypedDict):
    """``chat``."""

    answer: str
    session_id: str
    earlier_turns: int  # of the conversation, which were sent along
    turns_kept: Literal["ledger", "memory"]  # where this one is: for all gateways, or of this one until it ends
    metadata: Object


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


class WebhooksReply(TypedDict):
    """``admin/api/webhooks``."""

    webhooks: list[WebhookRow]


class NewWebhook(WebhookRow):
    """A webhook that was made."""

    secret: str


class WebhookLog(WebhookRow):
    """A webhook with what was told to it."""

    deliveries: list[WebhookDelivery]


class DeletedWebhook(TypedDict):
    """The id of what was deleted."""

    deleted: str


class FileRow(TypedDict):
    """A file, in OpenAI's form."""

    id: str
    object: str
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str


class FilesReply(TypedDict):
    """``v1/files``."""

    object: str
    data: list[FileRow]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(TypedDict):
    """The file that was deleted, in OpenAI's form."""

    id: str
    object: str
    deleted: bool


class JobProgress(TypedDict):
    """How many lines of a job there are, were answered, and failed for good."""

    total: int
    completed: int
    failed: int


class BatchRow(TypedDict):
    """A job, in OpenAI's form of a batch; ``rsql`` says why it waits and what it has cost."""

    id: str
    object: str
    endpoint: str
    errors: Object | None
    input_file_id: str
    completion_window: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: JobProgress
    usage: Counts
    metadata: dict[str, str]
    rsql: Object


class BatchesReply(TypedDict):
    """``v1/batches``."""

    object: str
    data: list[BatchRow]
    first_id: str | None
    last_id: str | None
    has_more: bool


class JobRow(TypedDict):
    """A job, as administrators see it; times are Unix time."""

    id: str
    caller: str
    tenant: str
    api_key: str
    endpoint: str
    state: str
    made: float
    expires: float
    ended: float | None
    total: int
    done: int
    failed: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    budget_usd: float | None
    waits_for: str
    stopped_for: str


class JobsReply(TypedDict):
    """``admin/api/jobs``."""

    jobs: list[JobRow]
    next: str | None


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
    limits: list[LimitPast]


class MeReply(TypedDict):
    """``me``."""

    caller: str
    tenant: str
    scopes: list[str]
    version: str
    keeps: bool
    zone: str
    jobs: bool
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
    decided: Object | None
    keys: list[VirtualKeyRow]
