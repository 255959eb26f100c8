"""Opening the stores by their URLs. What a URL does not need is not loaded: a gateway starts fast and stays small."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server_ext.config import REDIS_URLS
from jupyter_server_ext.errors import ConfigError
from jupyter_server_ext.keys import MemoryWindows
from jupyter_server_ext.ledger import Instance
from jupyter_server_ext.limits import MemoryCounters
from jupyter_server_ext.pipeline import State

if TYPE_CHECKING:
    from jupyter_server_ext.config import Settings, StorageSettings
    from jupyter_server_ext.ledger import SqlLedgerStore
    from jupyter_server_ext.pipeline import AnswerStore


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


def open_answers(url: str) -> AnswerStore | None:
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
    """A ledger that may be away. Whoever has the spool of a name has the name, among the gateways of this machine."""
    from jupyter_server_ext.ledger import SpooledLedgerStore, SpoolFile

    host = platform.node() or "gateway"
    names = [storage.instance] if storage.instance else [host, *(f"{host}-{number}" for number in range(2, 100))]
    for name in names:
        path = Path(storage.spool) / f"rsql-{re.sub('[^A-Za-z0-9._-]', '_', name)}.spool"
        if (file := SpoolFile.open(path)) is not None:
            return SpooledLedgerStore(storage.ledger, instance=name, zone=storage.time_zone, spool=file)
    raise ConfigError(f"Another gateway has the spool {path}. Give each its own 'instance' in [storage].")


def check_ledger(url: str) -> None:
    """Make sure that a ledger can be kept there."""
    from jupyter_server_ext.ledger import opened

    with opened(url, instance="check"):
        pass
