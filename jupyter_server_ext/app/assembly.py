"""Putting the gateway together: the one place where its app are built, for a server of its own and for Jupyter's."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import time
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tornado.log import app_log
from traitlets import Unicode
from traitlets.config import Configurable

from jupyter_server_ext.app.advice import advice_on, refuse_unusable
from jupyter_server_ext.config import REDIS_URLS, SCOPES, cache_bytes, unsendable
from jupyter_server_ext.errors import CannotOpen, ConfigError
from jupyter_server_ext.handlers import (
    ROUTES,
    AppContext,
    BodyBudget,
    BodyReader,
    LineReader,
    Metrics,
    Overviews,
    PlainChats,
    Ratings,
)
from jupyter_server_ext.identity import (
    Authenticator,
    BadTokens,
    KeyIdentity,
    KnownCallers,
    Policy,
    VirtualKeys,
    behind_proxy,
)
from jupyter_server_ext.keys import Headroom, MemoryWindows
from jupyter_server_ext.knowledge import Documents, SharedTexts
from jupyter_server_ext.ledger import GIVEN_BACK, Instance, Ledger, PromptVault
from jupyter_server_ext.limits import Limits, MemoryCounters
from jupyter_server_ext.logs import hide, keep_clean
from jupyter_server_ext.messages import Caller, Secret, as_name
from jupyter_server_ext.pipeline import (
    Accounting,
    AnswerCache,
    Budgets,
    Files,
    Gateway,
    JobRunner,
    Jobs,
    KeptSessions,
    KeyChanges,
    NotebookRuns,
    OwnServer,
    Price,
    Prices,
    State,
    is_free,
    limits_money,
)
from jupyter_server_ext.tenants import KnownGroups, LimitOverrides, RuntimeSettings, Tenants
from jupyter_server_ext.webhooks import EventDetector, Webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from jupyter_server_ext.config import HubSettings, Settings, StorageSettings
    from jupyter_server_ext.http_client import httpx
    from jupyter_server_ext.identity import HubAccess, HubPlace, Identity
    from jupyter_server_ext.keys import KeyPool
    from jupyter_server_ext.ledger import SqlLedgerStore
    from jupyter_server_ext.limits import Counters
    from jupyter_server_ext.messages import Entry
    from jupyter_server_ext.pipeline import RedisAnswers

_A_DAY = 86_400.0
_LONGEST_ANSWER = 600.0  # seconds before a window, within which what counts in it may have begun
_EXACT_SECONDS = 300.0  # of the past that is counted request by request; what is older, by the minute


class RSQLGatewayApp(Configurable):
    """Options of the gateway, alone or in a Jupyter Server: both apps read the section of this name."""

    url_prefix = Unicode("rsql", help="Path of the gateway below the server's base URL; may be empty.").tag(config=True)
    gateway_config = Unicode(
        "", help="Path of the rsql.toml; without one RSQL_CONFIG names it, and without that the environment is enough."
    ).tag(config=True)

    def base_below(self, server: str) -> str:
        """The path of the gateway's routes, with a slash at both ends."""
        if not re.fullmatch(r"[\w.~/-]*", self.url_prefix, re.ASCII):
            raise ConfigError(f"'url_prefix' may hold letters, digits and . _ ~ - /, not {self.url_prefix!r}.")
        return "/" + "".join(f"{part}/" for part in f"{server}/{self.url_prefix}".split("/") if part)


def build_app(
    settings: Settings,
    tokens: Iterable[tuple[Secret, Caller]],  # known beside the settings' ``api_keys``
    base: str,  # path of the gateway, with a slash at both ends
    identity: Identity | None = None,  # knows other tokens
    *,
    transport: httpx.AsyncBaseTransport | None = None,  # in place of real connections to providers
    hub: HubPlace | None = None,  # knows other tokens, in place of ``identity``
    own_server: OwnServer | None = None,  # where this is a person's own Jupyter Server
) -> AppContext:
    """Build everything that handlers use."""
    tokens = list(tokens)
    for key in settings.api_keys:  # what the file's reader could not know, such as a token of a file
        if key.key in {token for token, _ in tokens}:
            raise ConfigError(f"'key' of '{key.name}' in [[api_keys]] is the server's own token. Make another one.")
    refuse_unusable(settings)
    for words in advice_on(settings):
        app_log.warning("rsql: %s", words)
    own = [(key.key, Caller(key.name, key.tenant, frozenset(key.scopes))) for key in settings.api_keys]
    state = open_state(settings)
    policy, limits = Policy(settings), Limits(settings, counters=state.counters)
    accounting = build_accounting(settings, state.counters)
    runtime = RuntimeSettings(settings, accounting.ledger)
    access = None
    if hub:  # loading the hub's side takes a moment
        from jupyter_server_ext.identity import HubAccess

        access = HubAccess(hub, settings, runtime.learn, in_force=runtime.rules_of)
    owner_of = access.identity.owner if access else None
    keys = VirtualKeys(accounting.ledger, settings.virtual_keys, owner_of, max_age=settings.hub.cache_max_age)
    kept = settings.storage.cache
    cache = AnswerCache(cache_bytes(kept), settings.cache.ttl_seconds, clock=time.monotonic, behind=open_answers(kept))
    gateway = Gateway(
        settings, limits=limits, policy=policy, accounting=accounting, cache=cache, transport=transport, state=state
    )
    at_hub = access.api.has_group if access else None
    groups = KnownGroups(settings, keys.tenants, at_hub, lambda: (one.name for one in runtime.settings.tenants))
    paths = frozenset(route.path for route in ROUTES)
    overrides = LimitOverrides(runtime, groups, paths)
    key_changes = KeyChanges(gateway.pool, runtime, accounting.vault)
    runtime.apply = partial(_put_in_force, policy, gateway, limits, key_changes)
    runtime.recall()
    hide(secret.reveal() for secret in [*_secrets_of(settings), *(token for token, _ in tokens)])
    keep_clean()
    # With Redis the other gateways, or Redis itself, know what was used.
    if state.link is None:
        _restore(gateway.pool, limits, overrides)

    def spent() -> Iterable[tuple[str, str, float]]:  # there may be budgets only later
        return accounting.budgets.used() if accounting.budgets is not None else ()

    metrics = Metrics(gateway.status, spent, lambda: accounting.ledger.waiting)
    tenants = Tenants(runtime, groups)
    webhooks = Webhooks(tenants, settings.webhooks, accounting.vault)
    watch = EventDetector(webhooks.tell, gateway.status, spent, zone=settings.storage.time_zone)
    accounting.observe = partial(_observe, metrics, watch)
    if settings.telemetry.endpoint and settings.telemetry.sample > 0:
        from jupyter_server_ext.traces import Traces

        accounting.traces = Traces(settings.telemetry)
    jobs = Jobs(Files(accounting.ledger, settings.jobs, accounting.vault), settings.jobs)
    notebooks = NotebookRuns(settings.notebooks, jobs, keys, own_server)
    jobs.refuse_notebooks = notebooks.refuse
    reader = BodyReader()
    server = settings.server
    # One body of the largest size must always fit, whatever else is configured.
    per_caller = max(server.sending_per_caller_mb, server.max_body_mb)
    return AppContext(
        settings=settings,
        gateway=gateway,
        auth=_authenticator(
            [*tokens, *own],
            KeyIdentity(keys, access.identity if access else identity),
            access,
            settings.hub,
            runtime.placed,
        ),
        virtual_keys=keys,
        policy=policy,
        limits=limits,
        accounting=accounting,
        documents=Documents(accounting.ledger, settings.documents),
        shared=SharedTexts(accounting.ledger, settings.documents),
        sessions=KeptSessions(accounting.ledger, settings.sessions, accounting.vault),
        jobs=jobs,
        runner=JobRunner(
            jobs,
            gateway,
            LineReader(gateway, policy, settings.default_model, reader),
            KnownCallers(keys, runtime.placed, {caller.name: caller for _, caller in [*tokens, *own]}).now,
            webhooks.tell,
            notebooks=notebooks,
        ),
        notebooks=notebooks,
        runtime=runtime,
        overrides=overrides,
        tenants=tenants,
        webhooks=webhooks,
        watch=watch,
        conversations=PlainChats(accounting),
        ratings=Ratings(accounting.ledger),
        key_changes=key_changes,
        metrics=metrics,
        headroom=Headroom(),
        overviews=Overviews(),
        routes=ROUTES,
        base=base,
        bodies=BodyBudget(int(1e6 * per_caller), int(1e6 * max(server.sending_mb, 2 * server.max_body_mb))),
        reader=reader,
        hub=access,
    )


def _observe(metrics: Metrics, watch: EventDetector, entry: Entry, limit: str) -> None:
    metrics.executions.observe(entry, limit)
    watch.ended(entry, limit)


def _secrets_of(value: object) -> Iterator[Secret]:
    # All keys, tokens and passwords of the settings.
    if isinstance(value, Secret):
        yield value
    elif is_dataclass(value):
        for one in fields(value):
            yield from _secrets_of(getattr(value, one.name))
    elif isinstance(value, tuple):
        for part in value:
            yield from _secrets_of(part)


def _put_in_force(
    policy: Policy, gateway: Gateway, limits: Limits, key_changes: KeyChanges, settings: Settings
) -> None:
    # Have other limits and rules of tenants, everywhere they are kept.
    accounting = gateway.accounting
    key_changes.take_over()
    policy.configure(settings)
    limits.configure(settings)
    gateway.pool.keys.limit_concurrency(settings.everyone.concurrency)
    if accounting.budgets is None and limits_money(settings):  # from here on money is counted
        accounting.budgets = Budgets(
            settings, clock=time.time, zone=settings.storage.time_zone, counters=limits.counters
        )
    elif accounting.budgets is not None:
        accounting.budgets.configure(settings)


def _restore(pool: KeyPool, limits: Limits, overrides: LimitOverrides) -> None:
    # Count what the ledger remembers: what was used before a restart, or a crash, is used.
    unix = time.time()
    windows = (limit.seconds for key in pool.keys for limit in key.settings.limits)
    longest = max([_A_DAY, *windows]) + _LONGEST_ANSWER
    ledger = overrides.runtime.ledger
    used = ledger.used(unix - longest, exact=unix - _EXACT_SECONDS)
    pool.restore(used, unix)
    keys = {key.id: key.limits for key in ledger.api_keys()}
    limits.restore(used, unix, day_from=overrides.reset_at(), keys=keys, callers_from=overrides.given_back_at())


def _authenticator(
    known: list[tuple[Secret, Caller]],
    identity: Identity,
    access: HubAccess | None,
    hub: HubSettings,
    placed: Callable[[Caller], Caller],
) -> Authenticator:
    if access is None:
        return Authenticator(known, identity, placed=placed)
    return Authenticator(
        known,
        identity,
        max_age=hub.cache_max_age,
        bad_age=hub.bad_token_seconds,
        outage=hub.outage_seconds,
        bad_tokens=BadTokens(hub.bad_tokens_per_minute, 10 * hub.bad_tokens_per_minute),
        address=behind_proxy,
        session=access.browsers.session_of,
        placed=placed,
    )


def default_folder() -> Path:
    """The default folder of records: in Jupyter's data folder."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "rsql"


def with_ledger(settings: Settings, folder: Path) -> Settings:
    """The settings with a ledger in this folder, where they name none; without one if none can be kept there."""
    if settings.storage.ledger:
        return settings
    url = f"sqlite:///{folder / 'ledger.db'}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        from jupyter_server_ext.ledger import opened

        with opened(url, instance="check"):
            pass
    except (OSError, CannotOpen) as error:
        words = error.message if isinstance(error, CannotOpen) else f"{folder}: {error.strerror}."
        app_log.warning("rsql: no records are kept. %s Name a 'ledger' in [storage] of the rsql.toml.", words)
        url = "memory://"
    return replace(settings, storage=replace(settings.storage, ledger=url))


def build_accounting(settings: Settings, counters: Counters | None = None) -> Accounting:
    """Ledger, prices and budgets as configured; what the ledger says was spent this month is spent."""
    stored = settings.storage
    vault = PromptVault(stored.prompt_keys) if stored.prompt_keys else None
    store = open_ledger(stored)
    ledger = Ledger(
        store,
        keep_days=stored.retention_days,
        text_days=stored.keep_text_days,
        anchor=stored.anchor,
        anchor_key=stored.anchor_key,
    )
    budgets = None
    if store is not None or limits_money(settings):
        budgets = Budgets(settings, clock=time.time, zone=stored.time_zone, counters=counters)
        by_keys = store.spent_by_keys(budgets.month) if store is not None else {}
        spent: dict[tuple[str, str], dict[str, int]] = {}  # by caller and tenant, and by day
        for caller, tenant, day, cost in store.spent(budgets.month) if store is not None else ():
            spent.setdefault((caller, tenant), {})[day] = cost
        changed = ledger.changed()[1] if store is not None else {}
        back = {thing.name: json.loads(text)["days"] for thing, text in changed.items() if thing.kind == GIVEN_BACK}
        budgets.restore(spent, by_keys, back)
    own = {name: Price(price.input, price.output, price.cached_input) for name, price in settings.prices.models}
    prices = Prices(own, worst=Price(settings.prices.worst_input, settings.prices.worst_output))
    return Accounting(ledger, prices=prices, budgets=budgets, vault=vault)


def warm_prices(prices: Prices, settings: Settings) -> None:
    """Load the published prices, which takes half a second; not where nothing costs money."""
    if not all(is_free(key.provider) for key in settings.keys):
        prices.warm()


def owner(environment: Mapping[str, str]) -> Caller:
    """The person whose server this is: every scope, under the hub's or the system's name."""
    name = environment.get("JUPYTERHUB_USER", "")
    with suppress(KeyError, OSError):  # a container's user may have no name
        name = name or getpass.getuser()
    return Caller(as_name(name) or "owner", scopes=frozenset(SCOPES))


def environment_token() -> str:
    """The server's token, from JUPYTER_TOKEN or the file that JUPYTER_TOKEN_FILE names; empty when there is none."""
    source, token = "JUPYTER_TOKEN", os.environ.get("JUPYTER_TOKEN", "").strip()
    if not token and (name := os.environ.get("JUPYTER_TOKEN_FILE", "")):
        try:
            with open(name, encoding="utf-8") as file:  # noqa: PTH123
                source, token = "JUPYTER_TOKEN_FILE", file.read().strip()
        except OSError as error:
            raise ConfigError(f"JUPYTER_TOKEN_FILE cannot be read ({error.strerror}).") from None
    if token and (wrong := unsendable(token)):
        raise ConfigError(f"The token of {source} {wrong}")
    return token


def open_state(settings: Settings) -> State:
    """Where limits are counted."""
    url, jitter = settings.storage.state, settings.pool.jitter_ms / 1000
    if url.startswith("memory:"):
        return State(MemoryCounters(), MemoryWindows(jitter))
    if not url.startswith(REDIS_URLS):
        raise ConfigError(
            "'state' in [storage] must be memory://, redis://host:6379/0, redis+sentinel://host:26379/name or redis+cluster://host:6379."
        )
    from jupyter_server_ext.keys import RedisWindows
    from jupyter_server_ext.limits import RedisCounters
    from jupyter_server_ext.pipeline import RedisLocks
    from jupyter_server_ext.redis import RedisCoordinator

    link = RedisCoordinator(url, expected=settings.storage.instances)
    counters = RedisCounters(link, fail_closed=settings.storage.without_state == "refuse")
    return State(counters, RedisWindows(link, jitter), link, RedisLocks(link))


def open_answers(url: str) -> RedisAnswers | None:
    """Answers that are shared behind each gateway's memory; None where they are not."""
    if url.startswith("memory:"):
        return None
    if not url.startswith(REDIS_URLS):
        raise ConfigError("'cache' in [storage] must be memory:// or redis://host:6379/1, with ?max_mb=256 or not.")
    from jupyter_server_ext.pipeline import RedisAnswers

    return RedisAnswers(url)


def keeps_nothing(url: str) -> bool:
    """Whether a ledger's URL stands for no ledger at all."""
    return not url or url.startswith("memory:")


def open_ledger(storage: StorageSettings) -> SqlLedgerStore | None:
    """Where entries are kept; None keeps none. Loading SQLAlchemy doubles the start, so only for a ledger."""
    if keeps_nothing(storage.ledger):
        return None
    if storage.ledger in {"sqlite://", "sqlite:///", "sqlite:///:memory:"}:
        raise ConfigError("'ledger' in [storage] needs the path of a file: sqlite:///rsql.db. memory:// keeps nothing.")
    if storage.ledger.startswith(("postgresql", "postgres:")):
        return _open_postgresql(storage)
    from jupyter_server_ext.ledger import SqlLedgerStore

    folder = Path(storage.ledger.removeprefix("sqlite:///")).absolute().parent
    held = None if storage.instance else Instance(folder)
    name = storage.instance if held is None else held.name
    return SqlLedgerStore(storage.ledger, instance=name, zone=storage.time_zone, held=held)


def _open_postgresql(storage: StorageSettings) -> SqlLedgerStore:
    # A ledger that may be away. Whoever has the spool of a name has the name, among the gateways of this machine.
    from jupyter_server_ext.ledger import SpooledLedgerStore, SpoolFile

    host = platform.node() or "gateway"
    # A hundred gateways on one machine are a mistake, not a configuration.
    names = [storage.instance] if storage.instance else [host, *(f"{host}-{number}" for number in range(2, 100))]
    for name in names:
        path = Path(storage.spool) / f"rsql-{re.sub('[^A-Za-z0-9._-]', '_', name)}.spool"
        if (file := SpoolFile.open(path)) is not None:
            return SpooledLedgerStore(storage.ledger, instance=name, zone=storage.time_zone, spool=file)
    raise ConfigError(f"Another gateway has the spool {path}. Give each its own 'instance' in [storage].")
