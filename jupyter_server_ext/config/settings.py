"""The gateway's settings: plain frozen values. ``toml_file`` reads them from ``rsql.toml`` and the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, urlsplit

from jupyter_server_ext.config.scopes import ASKING
from jupyter_server_ext.messages import CallerLimits as CallerLimits  # noqa: PLC0414
from jupyter_server_ext.messages import Secret as Secret  # noqa: PLC0414  (for the door)
from jupyter_server_ext.messages import unsendable as unsendable  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Mapping

Unit = Literal["requests", "tokens", "input_tokens", "output_tokens"]
Counts = Literal["", "arrival", "end"]


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``amount`` of ``unit`` in any ``seconds`` seconds.

    ``zone`` is the time zone whose midnight resets a limit of a calendar day, empty for a rolling one.
    ``model`` names the one model it is for; ``*`` is each model by itself, empty all models together.
    ``assumed`` marks a preset's limit, which gives way to what the provider says.
    """

    amount: int
    unit: Unit
    seconds: float
    zone: str = ""
    model: str = ""
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class KeySettings:
    """One key of one provider."""

    provider: str  # name of a preset, or any name when ``base_url`` is given
    key: Secret = field(default_factory=lambda: Secret(""))  # the secret; empty for providers that need none
    base_url: str = ""  # base of the OpenAI-compatible API, ending before ``/chat/completions``
    name: str = ""  # public id; made from provider and number when not given
    quota_group: str = ""  # keys with the same group share their limits; each key is its own group when empty
    models: tuple[str, ...] = ()  # models it serves; empty for the preset's, or any
    limits: tuple[Limit, ...] = ()  # what the provider allows per key (or per quota group)
    concurrency: int | None = None  # requests under way at once, or None
    bucket: bool | None = None  # whether its limits are token buckets; None for what its preset and its headers say
    # When it counts a request, ``arrival`` or ``end``; empty for what its headers and refusals say.
    counts: Counts = ""
    first_byte_timeout_seconds: float | None = None  # in place of the pool's, for a slow machine; None for the preset's


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How keys are used and requests wait."""

    # Safety margin of every window: how long a request may take until the provider has counted it.
    jitter_ms: float = 250.0
    # The longest a request waits for a key; a minute window gives back after 61.1 s.
    queue_deadline_seconds: float = 75.0
    queue_length: int = 2000  # requests that may wait; beyond it the caller with most of them waiting is refused
    queue_megabytes: float = 64.0  # size of their bodies together
    attempts: int = 3  # tries per model that may be billed, before giving up or falling back
    first_byte_timeout_seconds: float = 30.0  # silence after which a stream that has not begun is tried elsewhere
    stall_timeout_seconds: float = 30.0  # silence after which a stream that has begun is ended
    answer_timeout_seconds: float = 180.0  # the longest an answer that is not a stream may take
    fallback_after_seconds: float = 3.0  # with a fallback allowed: the longest wait for the model that was asked for
    fallback_first_byte_seconds: float = 12.0  # with a fallback allowed: in place of ``first_byte_timeout_seconds``
    check_seconds: float = 0.0  # every so often retired and cooled keys are tried with the cheapest call; 0 is never


@dataclass(frozen=True, slots=True)
class InlineCompletionSettings:
    """The limits of completions that editors ask for while somebody types, which take nothing of any other limit."""

    share: float = 0.5  # of each limit of requests, tokens and places, beside it; from 0 to 1
    provider_share: float = 0.25  # of each limit of a key: the rest stays free to questions; from 0 to 1
    requests_per_minute: int = 20  # of each caller, also where there is no other limit
    tokens: int = 4_000  # the largest: prompt and the longest answer together


@dataclass(frozen=True, slots=True)
class ApiKeySettings:
    """A virtual API key for a small deployment: who it stands for and what it may do."""

    name: str
    key: Secret
    tenant: str = ""
    scopes: tuple[str, ...] = tuple(sorted(ASKING))


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """The policy of one group.

    ``fallbacks`` says whether another model may answer when the one asked for cannot; ``cache`` whether answers are
    given again (None: as ``[cache]`` has it); ``keep_prompts`` and ``keep_answers`` whether the ledger holds what was
    asked and answered, encrypted.
    """

    name: str
    weight: float = 1.0
    models: tuple[str, ...] = ()
    system_prompt: str = ""
    privacy_floor: str = ""
    fallbacks: bool = False
    cache: bool | None = None
    keep_prompts: bool = False
    keep_answers: bool = False
    limits: CallerLimits = field(default_factory=CallerLimits)


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Where numbers and records are kept, each by URL."""

    # What counts against limits and budgets: ``memory://``, ``redis://…``, ``redis+sentinel://…`` or
    # ``redis+cluster://…``.
    state: str = "memory://"
    # Records of requests: ``sqlite:///path`` or ``postgresql://…``; ``memory://`` keeps none. Empty for a file in
    # Jupyter's data folder, and none for the gateway of one kernel.
    ledger: str = ""
    cache: str = "memory://?max_mb=256"  # answers
    instance: str = ""  # this gateway's name in the ledger, its own among all that share it; the host's when empty
    time_zone: str = "UTC"  # whose midnight begins a day of the ledger and of budgets
    retention_days: int = 0  # entries are deleted when they are older; 0 keeps them
    keep_text_days: int = 30  # prompts and answers are deleted when they are older; 0 keeps them as long as entries
    # What prompts are encrypted with where a policy keeps them: the first encrypts, all decrypt.
    prompt_keys: tuple[Secret, ...] = ()
    instances: int = 1  # how many gateways share ``state``, for a start without it; it tells otherwise
    spool: str = ""  # folder of the file that keeps records while PostgreSQL is away; that of the start when empty
    # While ``state`` is lost: ``share`` goes on with this gateway's part of the limits, ``refuse`` answers
    # nothing.
    without_state: str = "share"
    # File in which gateways write down how long their chains of entries are; outside the ledger, at best on
    # another machine. It is in the log, too.
    anchor: str = ""
    anchor_key: Secret = field(default_factory=lambda: Secret(""))  # what these lines are signed with


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What one model costs, in US dollars per million tokens; ``cached_input`` as ``input`` when None."""

    input: float
    output: float
    cached_input: float | None = None


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """Prices that differ from the published ones, and the price assumed for other unknown models."""

    worst_input: float = 30.0  # US dollars per million tokens read, for a model of unknown price
    worst_output: float = 120.0  # the same for tokens written
    models: tuple[tuple[str, ModelPrice], ...] = ()  # prices by model, with or without ``provider/`` in front


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What is said of one model."""

    pictures: bool  # whether it takes them beside text


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """For how long answers may be given again, and whether they are without being asked for it."""

    ttl_seconds: float = 3600.0
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class VirtualKeySettings:
    """What callers may make for themselves."""

    most_per_caller: int = 10  # keys of one caller that are good at the same time
    default_days: float = 90.0  # days until a key expires, where nobody says
    most_days: float = 366.0  # the longest


@dataclass(frozen=True, slots=True)
class DocumentSettings:
    """How much tenants may share."""

    most_per_tenant: int = 500  # documents
    mb_per_tenant: float = 50.0  # megabytes of all that one shares
    dictionaries_per_tenant: int = 10
    examples_per_tenant: int = 300  # questions with the SQL that answers them
    default_days: float = 0.0  # days until something is deleted, where nobody says; 0 keeps it
    most_days: float = 0.0  # the longest; 0 for any time
    memory_mb: float = 256.0  # megabytes of indexes in memory; 0 searches in the database


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How many conversations callers may keep here, and for how long."""

    per_caller: int = 500
    mb_per_caller: float = 100.0  # megabytes of all of one caller's, files included
    days: float = 365.0  # after the last change; 0 keeps them
    most_shared_days: float = 180.0  # the longest that a link is good


@dataclass(frozen=True, slots=True)
class JobSettings:
    """What callers may leave to be answered from spare quota, and how it is worked off."""

    at_once: int = 32  # lines that a gateway asks at the same time
    attempts: int = 8  # how often a line is tried that a provider fails to answer
    per_caller: int = 20  # jobs of one caller that have not ended
    lines: int = 100_000  # of one job
    line_mb: float = 1.0  # megabytes of a line
    file_mb: float = 200.0  # megabytes of a file
    mb_per_caller: float = 1000.0  # megabytes of all files of one caller, results included
    files_per_caller: int = 200
    days: float = 30.0  # that files are kept, and the longest that a job may take


@dataclass(frozen=True, slots=True)
class NotebookSettings:
    """Who runs notebooks that callers hand over; nobody, unless the administrator names a program."""

    # The program and its arguments, in which {user}, {group} and {job} stand for those of the job; no line of a shell.
    runner: tuple[str, ...] = ()
    at_once: int = 2  # calls that a gateway has run at the same time
    attempts: int = 3  # how often a call is begun whose runner dies
    output_mb: float = 20.0  # megabytes of what the notebooks of a call show, and of what they record
    address: str = ""  # the gateway's for their kernels, where they run on another machine
    environment: tuple[str, ...] = ()  # names of variables that runners get of the gateway's, beside PATH and the like


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Whether and where requests are sent as traces."""

    endpoint: str = ""  # of a collector that takes OTLP over HTTP; empty for no traces
    sample: float = 0.1  # the share of requests that are traced, from 0 to 1
    content: bool = False  # whether spans have the text of messages where a group's policy keeps prompts
    service: str = "rsql-gateway"  # the name that traces are found by


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """Where webhooks may lead."""

    # Hosts and networks that are not public, such as ``alerts.internal`` or ``10.1.0.0/16``, which webhooks of
    # administrators may reach; those of a group never may.
    allow_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HubSettings:
    """How callers of a JupyterHub are known."""

    # Seconds that the hub's answer about a token, a user's groups or a group's properties is good.
    cache_max_age: float = 60.0
    bad_token_seconds: float = 10.0  # the same for tokens that the hub does not know
    # Unknown tokens from one address that are put to the hub; from everywhere, ten times that.
    bad_tokens_per_minute: int = 60
    outage_seconds: float = 3600.0  # how long callers that are known go on while the hub does not answer
    # Groups in the order in which they count for a user who is in several; without it the most generous.
    groups: tuple[str, ...] = ()
    admin_groups: frozenset[str] = frozenset()  # groups of the hub whose members administer the gateway
    instructor_groups: frozenset[str] = frozenset()  # groups whose members share documents with their own group
    admin_servers: bool = False  # whether administrators are that in their notebooks, too


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the HTTP side bears, in megabytes."""

    max_body_mb: float = 10.0  # the largest body
    # Origins whose web pages may ask this gateway, such as ``https://app.example.org``; none when empty.
    cors_origins: tuple[str, ...] = ()
    sending_mb: float = 256.0  # bodies that are being received, of all callers; room for two of the largest at least
    sending_per_caller_mb: float = 40.0  # the same of one caller; room for one of the largest at least


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything ``rsql.toml`` and the environment say."""

    default_model: str = ""
    offline: bool = True  # whether the model of fixed rules is served beside those of keys
    keys: tuple[KeySettings, ...] = ()
    pool: PoolSettings = field(default_factory=PoolSettings)
    caller: CallerLimits = field(default_factory=CallerLimits)
    tenant: CallerLimits = field(default_factory=CallerLimits)
    everyone: CallerLimits = field(default_factory=lambda: CallerLimits(concurrency=100))
    inline_completion: InlineCompletionSettings = field(default_factory=InlineCompletionSettings)
    api_keys: tuple[ApiKeySettings, ...] = ()
    tenants: tuple[TenantSettings, ...] = ()
    callers: tuple[tuple[str, CallerLimits], ...] = ()  # limits of single ones, which an administrator decides
    routes: tuple[tuple[str, CallerLimits], ...] = ()  # requests of each caller on a route, by the route's path
    fallbacks: tuple[tuple[str, tuple[str, ...]], ...] = ()
    models: tuple[tuple[str, ModelSettings], ...] = ()  # what is said of some, by name
    storage: StorageSettings = field(default_factory=StorageSettings)
    prices: PriceSettings = field(default_factory=PriceSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    hub: HubSettings = field(default_factory=HubSettings)
    virtual_keys: VirtualKeySettings = field(default_factory=VirtualKeySettings)
    documents: DocumentSettings = field(default_factory=DocumentSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    jobs: JobSettings = field(default_factory=JobSettings)
    notebooks: NotebookSettings = field(default_factory=NotebookSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)  # where each was read, by name


MOST_WHOLE = 1_000_000_000_000_000  # the largest whole number in settings; every store can count with it
MOST = 1_000_000_000  # the largest other number, such as US dollars

# How the URL of a Redis begins.
REDIS_URLS = (
    *("unix:", "redis:", "redis+sentinel:", "redis+cluster:"),
    *("rediss:", "rediss+sentinel:", "rediss+cluster:"),
)
_STORAGE_URLS = {
    "state": (("memory:", *REDIS_URLS), "memory://, redis://host:6379/0 or redis+sentinel://host:26379/name"),
    "cache": (("memory:", *REDIS_URLS), "memory://?max_mb=256 or redis://host:6379/1?max_mb=256"),
    "ledger": (
        ("", "memory:", "sqlite:", "postgresql:", "postgresql+", "postgres:"),
        "sqlite:///path or postgresql://…",
    ),
}


def wrong_url(name: str, url: str) -> str:
    """What is wrong with one of the URLs of ``[storage]``; empty for nothing.

    Example:
        >>> wrong_url("state", "redis://a:6379"), wrong_url("ledger", "mysql://a")
        ('', "'ledger' in [storage] must be sqlite:///path or postgresql://….")
    """
    kinds, usual = _STORAGE_URLS[name]
    is_known = any(url == kind if not kind else url.startswith(kind) for kind in kinds)
    if not is_known or ("://" not in url and not url.startswith("memory:") and url):
        return f"'{name}' in [storage] must be {usual}."
    for host in urlsplit(url).netloc.rpartition("@")[2].split(","):
        try:
            _ = urlsplit(f"//{host}").port
        except ValueError:
            return f"'{name}' in [storage] names a port that is no number."
    return ""


def cache_bytes(url: str) -> int:
    """How much memory the answers of a cache's URL may take; 256 MB where it does not say.

    Raises:
        ValueError: ``max_mb`` is no number of 0 or more.

    Example:
        >>> cache_bytes("memory://?max_mb=1.5")
        1500000
    """
    query = parse_qs(urlsplit(url).query)
    megabytes = float(query.get("max_mb", ["256"])[-1])
    if not 0 <= megabytes < 1e9:
        raise ValueError(url)
    return int(megabytes * 1_000_000)
