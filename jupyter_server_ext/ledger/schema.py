"""The ledger's database: its tables; opened, prepared and brought to this version. SQLite or PostgreSQL."""

# ``requests_open`` holds what was begun and has not ended; ``entries`` is append-only; ``totals`` are kept, not
# scanned, so that a day with a million entries is read in one row per caller and model. ``kept_answers`` are those that
# a repeat with the same Idempotency-Key gets again; ``changes`` are what administrators changed at run time,
# ``trail`` who did it and what else people with rights did;
# ``series``, ``rankings``, ``asked_once`` and ``sessions`` are what administrators look at, folded from entries by
# ``series.py`` and ``ranks.py``.
# ``forgotten`` says by a hash whose entries are not to be named, however late they arrive.

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from jupyter_server_ext.errors import CannotOpen, ConfigError
from jupyter_server_ext.ledger.files import open_private
from jupyter_server_ext.ledger.sums import SERIES_COUNTS, SERIES_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = "0023"
SUMMED_BEFORE = "summed_before"
"""The decision that holds the day on which sums began to be compared with entries; absent in newer ledgers."""

_MIGRATION_LOCK = 7_715_101  # any number; two gateways that start together take turns
# How long a server or a network may be silent before a connection is given up; a URL may say otherwise.
_PATIENT = {"connect_timeout": "3", "tcp_user_timeout": "5000", "keepalives_idle": "10", "keepalives_interval": "5"}
_BUSY_SECONDS = 5.0  # for which a process waits for another one that writes to the same file
_CACHE_KB = (
    8_000  # of each connection: with SQLite's own 2,000 folding a ledger of a million entries waits for the system
)
metadata = sa.MetaData()
_NAME, _HASH, _SHORT, _SCOPE = sa.String(255), sa.String(64), sa.String(16), sa.String(262)
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _columns(kind: sa.types.TypeEngine[Any] | type[sa.types.TypeEngine[Any]], *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _request_columns() -> list[sa.Column[Any]]:
    """What is known of a request when it begins."""
    return [
        *_columns(_HASH, "request_id"),
        *_columns(sa.Integer, "attempt"),
        *_columns(sa.Float, "at"),
        *_columns(_NAME, "caller", "tenant"),
        *_columns(_SHORT, "task"),
        *_columns(_NAME, "model", "key"),
        *_columns(sa.BigInteger, "prompt_tokens", "completion_tokens", "cached_tokens"),
        *_columns(sa.Boolean, "estimated"),
        *_columns(sa.BigInteger, "cost_nanodollars"),
        *_columns(_HASH, "prompt_hash"),
        sa.Column("api_key", _SHORT, nullable=False, server_default=""),
        *_later(sa.String(128), "session", "client_id"),
        *_later(sa.String(32), "trace", "question"),
        *_later(_NAME, "tables"),
    ]


def _later(kind: sa.types.TypeEngine[Any], *names: str) -> list[sa.Column[Any]]:
    """Columns that came when there were rows, which have nothing in them."""
    return [sa.Column(name, kind, nullable=False, server_default="") for name in names]


# A change of these tables comes with a migration in ``migrations/``, where their history is. An entry's hash is over
# its columns in this order.
requests_open = sa.Table(
    "requests_open",
    metadata,
    *_columns(_NAME, "instance"),
    *_request_columns(),
    sa.PrimaryKeyConstraint("request_id", "attempt"),
    sa.Index("requests_open_instance", "instance"),
)

# The request log is filtered by these, from the index alone: rows are as wide as the texts that are kept in them.
LOGGED = (
    *("at", "instance", "number", "forgotten", "status", "attempts", "key", "caller", "tenant", "model", "task"),
    *("duration_seconds", "cost_nanodollars"),
)
_by_key = sa.text("api_key <> ''")
_failed = sa.text("status >= 400 OR status = 0")
_with_text = sa.text("prompt IS NOT NULL OR answer IS NOT NULL")
_in_session = sa.text("session <> ''")
_leased = sa.text("lease <> ''")
entries = sa.Table(
    "entries",
    metadata,
    *_columns(_NAME, "instance"),
    *_columns(sa.BigInteger, "number"),
    *_request_columns(),
    *_columns(sa.Integer, "status"),
    *_columns(_HASH, "error"),
    *_columns(sa.Integer, "attempts"),
    *_columns(sa.Float, "queue_seconds", "upstream_seconds"),
    sa.Column("first_token_seconds", sa.Float),
    *_columns(sa.Float, "duration_seconds"),
    *_columns(sa.Boolean, "cached"),
    *_columns(sa.String(10), "day"),
    *_columns(sa.Boolean, "forgotten"),
    sa.Column("cache", sa.String(8), nullable=False, server_default=""),
    sa.Column("saved_nanodollars", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("prompt", sa.LargeBinary),
    *_later(sa.Text(), "error_text"),
    sa.Column("answer", sa.LargeBinary),
    *_columns(_HASH, "content_hash", "chain_hash"),
    sa.PrimaryKeyConstraint("instance", "number"),
    sa.UniqueConstraint("request_id", "attempt", name="entries_once"),
    sa.Index("entries_caller_at", "caller", "at"),
    sa.Index("entries_log", *LOGGED),
    sa.Index("entries_api_key", "api_key", "day", sqlite_where=_by_key, postgresql_where=_by_key),
    sa.Index(
        "entries_failed", "at", "error", "caller", "tenant", "model", sqlite_where=_failed, postgresql_where=_failed
    ),
    sa.Index("entries_text", "at", sqlite_where=_with_text, postgresql_where=_with_text),
    sa.Index("entries_question_text", "question", "at", sqlite_where=_with_text, postgresql_where=_with_text),
    sa.Index("entries_session", "session", "at", sqlite_where=_in_session, postgresql_where=_in_session),
)

totals = sa.Table(
    "totals",
    metadata,
    *_columns(sa.String(10), "day"),
    *_columns(_NAME, "caller", "tenant", "model"),
    *_columns(_SHORT, "task"),
    *_columns(sa.BigInteger, "requests", "errors", "cache_hits"),
    *_columns(sa.BigInteger, "prompt_tokens", "completion_tokens", "cached_tokens", "cost_nanodollars"),
    sa.Column("saved_nanodollars", sa.BigInteger, nullable=False, server_default="0"),
    sa.PrimaryKeyConstraint("day", "caller", "tenant", "model", "task"),
    sa.Index("totals_caller", "caller", "day"),
)

# What administrators look at, folded from the entries beside their writing (``series.py``): sums of time, of five
# minutes, an hour and a day; what is asked for most; conversations; and how far each chain is folded.
series = sa.Table(
    "series",
    metadata,
    *_columns(sa.Integer, "grain"),
    *_columns(sa.BigInteger, "start"),
    *_columns(_NAME, "tenant", "model"),
    *_columns(_SHORT, "task"),
    *_columns(sa.BigInteger, *SERIES_COUNTS),
    *_columns(sa.Float, *SERIES_SECONDS),
    sa.Column("durations", sa.LargeBinary),  # of what ended well; see ``sketch.py``
    sa.PrimaryKeyConstraint("grain", "start", "tenant", "model", "task"),
)

_question = sa.text("kind = 'question'")
_asked_again = sa.text("kind = 'question' AND requests > 1")
# ``scope`` is empty for everyone, else a tenant with ``tenant:`` before its name. ``heat`` is a
# number of times that it was asked for, each of which counts half as much with every week since.
rankings = sa.Table(
    "rankings",
    metadata,
    *_columns(_SHORT, "kind"),
    *_columns(_SCOPE, "scope"),
    *_columns(_NAME, "name"),
    *_columns(sa.BigInteger, "requests", "failed", "tokens", "cost_nanodollars"),
    *_columns(sa.Float, "first_at", "last_at", "heat"),
    *_columns(_SHORT, "task"),
    *_columns(_NAME, "tables"),
    sa.PrimaryKeyConstraint("kind", "scope", "name"),
    # Of questions there may be a million; callers and tables are few enough to be sorted when somebody looks.
    sa.Index("rankings_requests", "scope", "requests", "name", sqlite_where=_question, postgresql_where=_question),
    sa.Index("rankings_heat", "scope", "heat", "name", sqlite_where=_asked_again, postgresql_where=_asked_again),
    sqlite_with_rowid=False,
)

# Most questions are asked once, so each of these is one short row without an index: a second request makes it a rank.
asked_once = sa.Table(
    "asked_once",
    metadata,
    sa.Column("name", _NAME, primary_key=True),
    *_columns(_NAME, "tenant"),
    *_columns(sa.Float, "at"),
    *_columns(sa.BigInteger, "failed", "tokens", "cost_nanodollars"),
    *_columns(_SHORT, "task"),
    *_columns(_NAME, "tables"),
    sqlite_with_rowid=False,
)

# The part of each key's limits that was left at a moment: the least that one of the gateways saw.
key_headroom = sa.Table(
    "key_headroom",
    metadata,
    *_columns(sa.BigInteger, "at"),
    *_columns(_NAME, "key", "model"),
    *_columns(_SHORT, "unit"),
    *_columns(sa.Float, "seconds", "part"),
    sa.PrimaryKeyConstraint("at", "key", "model", "unit", "seconds"),
    sqlite_with_rowid=False,
)

sessions = sa.Table(
    "sessions",
    metadata,
    *_columns(_NAME, "caller"),
    *_columns(sa.String(128), "session"),
    *_columns(_NAME, "tenant"),
    *_columns(_SHORT, "task"),
    *_columns(sa.BigInteger, "requests", "failed", "tokens", "cost_nanodollars"),
    *_columns(sa.Float, "first_at", "last_at"),
    *_columns(_NAME, "name"),
    sa.Column("deleted_at", sa.Float),
    sa.PrimaryKeyConstraint("caller", "session"),
    sa.Index("sessions_last", "last_at", "caller", "session"),
    sa.Index("sessions_deleted", "deleted_at"),
)

folded = sa.Table(
    "folded",
    metadata,
    sa.Column("instance", _NAME, primary_key=True),
    *_columns(sa.BigInteger, "number"),
)

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("request_id", _HASH, primary_key=True),
    *_columns(_NAME, "caller", "tenant"),
    *_columns(sa.Integer, "rating"),
    *_columns(sa.Text, "comment"),
    *_columns(sa.Float, "at"),
    sa.Index("feedback_at", "at", "request_id"),
    sa.Index("feedback_caller", "caller"),
)

# Where each instance's hash chain starts now: retention moves the start forward, and verification begins there.
chains = sa.Table(
    "chains",
    metadata,
    sa.Column("instance", _NAME, primary_key=True),
    *_columns(sa.BigInteger, "first_number"),
    *_columns(_HASH, "first_hash"),
)

kept_answers = sa.Table(
    "kept_answers",
    metadata,
    sa.Column("name", _HASH, primary_key=True),
    *_columns(_NAME, "caller"),
    *_columns(sa.Float, "until"),
    *_columns(sa.LargeBinary, "answer"),
    sa.Index("kept_answers_until", "until"),
    sa.Index("kept_answers_caller", "caller"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("name", _HASH, primary_key=True),
    *_columns(sa.Text, "value"),
    *_columns(sa.Float, "at"),
    *_columns(_NAME, "caller"),
)

# What was changed at run time; the last line about a thing says how it is now.
changes = sa.Table(
    "changes",
    metadata,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    *_columns(_SHORT, "id"),
    *_columns(sa.Float, "at"),
    *_columns(_NAME, "caller"),
    *_columns(_SHORT, "kind"),
    *_columns(_NAME, "name", "tenant"),
    *_columns(sa.Text, "before", "after"),
    *_columns(_SHORT, "undoes"),
    sa.Index("changes_thing", "kind", "name", "number"),
    sa.Index("changes_id", "id"),
    sa.Index("changes_tenant", "tenant", "number"),
    sqlite_autoincrement=True,
)

# What people with rights did, a chain of each instance (``trail.py``).
trail = sa.Table(
    "trail",
    metadata,
    *_columns(_NAME, "instance"),
    *_columns(sa.BigInteger, "number"),
    *_columns(sa.Float, "at"),
    *_columns(_SHORT, "kind"),
    *_columns(_NAME, "caller"),
    *_columns(_HASH, "subject"),
    *_columns(sa.Text, "detail"),
    *_columns(_HASH, "content_hash", "chain_hash"),
    *_columns(sa.Boolean, "forgotten"),
    sa.PrimaryKeyConstraint("instance", "number"),
    sa.Index("trail_at", "at"),
    sa.Index("trail_caller", "caller"),
)

forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("caller_hash", _HASH, primary_key=True),
    *_columns(sa.Float, "at"),
    sa.Index("forgotten_at", "at"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", _SHORT, primary_key=True),
    sa.Column("digest", _HASH, nullable=False, unique=True),
    *_columns(_NAME, "owner"),
    *_columns(_HASH, "name"),
    *_columns(sa.Float, "made", "expires"),
    sa.Column("tenant", _NAME),
    *_columns(_NAME, "scopes"),
    *_columns(sa.Text, "limits"),
    sa.Column("mark", _HASH, nullable=False, server_default=""),
    sa.Index("api_keys_owner", "owner"),
)


documents = sa.Table(
    "documents",
    metadata,
    sa.Column("id", _SHORT, primary_key=True),
    *_columns(_NAME, "tenant", "name"),
    *_columns(sa.Integer, "passages"),
    *_columns(sa.BigInteger, "bytes"),
    *_columns(sa.Float, "added"),
    sa.Column("expires", sa.Float),
    sa.Column("model", _NAME),
    sa.Column("search_index", sa.LargeBinary),  # of its passages; NULL until it is made
    sa.UniqueConstraint("tenant", "name", name="documents_once"),
)

# They are searched by the indexes of documents, or, where those are too large for a gateway's memory, by what each
# database has of its own: FTS5's table ``document_words``, PostgreSQL's column ``words``.
document_passages = sa.Table(
    "document_passages",
    metadata,
    sa.Column("id", _NUMBER, primary_key=True, autoincrement=True),
    *_columns(_SHORT, "document"),
    *_columns(_NAME, "tenant"),
    *_columns(sa.Text, "heading"),
    *_columns(_HASH, "part"),
    *_columns(sa.Integer, "first_line", "last_line"),
    *_columns(sa.Text, "text"),
    sa.Column("vector", sa.LargeBinary),
    sa.Index("document_passages_document", "document"),
)

# The signs of passages' vectors, apart from them: all of a tenant's are read by a search for what is meant.
passage_signs = sa.Table(
    "passage_signs",
    metadata,
    sa.Column("passage", _NUMBER, primary_key=True, autoincrement=False),
    *_columns(_SHORT, "document"),
    *_columns(_NAME, "tenant"),
    *_columns(sa.LargeBinary().with_variant(postgresql.BIT(varying=True), "postgresql"), "signs"),
    sa.Index("passage_signs_document", "document"),
)


# Dictionaries and examples that tenants share.
shared_texts = sa.Table(
    "shared_texts",
    metadata,
    sa.Column("id", _SHORT, primary_key=True),
    *_columns(_NAME, "tenant"),
    *_columns(_SHORT, "kind"),
    *_columns(_NAME, "name"),
    *_columns(sa.Text, "text"),
    *_columns(sa.BigInteger, "bytes"),
    *_columns(_HASH, "digest"),
    *_columns(sa.Float, "added"),
    sa.Column("expires", sa.Float),
    sa.UniqueConstraint("tenant", "kind", "name", name="shared_texts_once"),
)

# Conversations that callers keep here, and the files of their answers; what was said is sealed.
session_copies = sa.Table(
    "session_copies",
    metadata,
    sa.Column("caller", _NAME, primary_key=True),
    sa.Column("id", _HASH, primary_key=True),
    *_columns(_NAME, "tenant"),
    *_columns(sa.LargeBinary, "head", "body"),
    *_columns(sa.BigInteger, "bytes"),
    *_columns(sa.Float, "changed"),
    sa.Column("expires", sa.Float),
    sa.Column("link", _HASH, unique=True),
    sa.Column("shared_until", sa.Float),
)
session_files = sa.Table(
    "session_files",
    metadata,
    sa.Column("id", _HASH, primary_key=True),
    *_columns(_NAME, "caller"),
    *_columns(_HASH, "session"),
    *_columns(_SHORT, "kind"),
    *_columns(sa.LargeBinary, "head", "body"),
    *_columns(sa.BigInteger, "bytes"),
    *_columns(_HASH, "digest"),
    *_columns(sa.Float, "made"),
    sa.Index("session_files_of", "caller", "session"),
)


def _fence() -> sa.Column[Any]:
    """The number of a row's lease: what is written with an earlier one is refused (``leases.py``)."""
    return sa.Column("fence", sa.Integer, nullable=False, server_default="0")


# What is to be told to webhooks, and what came of it.
webhook_deliveries = sa.Table(
    "webhook_deliveries",
    metadata,
    sa.Column("id", _HASH, primary_key=True),
    *_columns(_SHORT, "webhook"),
    *_columns(_HASH, "event"),
    *_columns(_NAME, "caller"),
    *_columns(sa.Text, "body"),
    *_columns(sa.Float, "made", "until", "due"),
    *_columns(_SHORT, "state"),
    *_columns(sa.Integer, "attempts"),
    sa.Column("tried", sa.Float),
    sa.Column("status", sa.Integer),
    *_columns(sa.Text, "reason"),
    *_columns(_HASH, "lease"),
    *_columns(sa.Float, "leased"),
    _fence(),
    sa.Index("webhook_deliveries_due", "state", "due"),
    sa.Index("webhook_deliveries_webhook", "webhook", "made"),
)


def _held() -> sa.Column[Any]:
    return sa.Column("held_nanodollars", sa.BigInteger, nullable=False, server_default="0")


# Files that callers sent for jobs, in pieces of whole lines. What a job wrote is a file, too, which has no pieces: its
# lines are those of the job.
job_files = sa.Table(
    "job_files",
    metadata,
    sa.Column("id", _HASH, primary_key=True),
    *_columns(_NAME, "caller", "tenant", "name"),
    *_columns(_SHORT, "purpose", "state"),
    *_columns(sa.BigInteger, "bytes", "lines"),
    *_columns(sa.Integer, "pieces"),
    *_columns(sa.Float, "made"),
    sa.Column("expires", sa.Float),
    *_columns(_HASH, "job"),
    sa.Index("job_files_caller", "caller", "made"),
    sa.Index("job_files_expires", "expires"),
)

job_file_pieces = sa.Table(
    "job_file_pieces",
    metadata,
    *_columns(_HASH, "file"),
    *_columns(sa.Integer, "number", "lines"),
    *_columns(sa.LargeBinary, "content"),
    sa.PrimaryKeyConstraint("file", "number"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", _HASH, primary_key=True),
    *_columns(_NAME, "caller", "tenant"),
    *_columns(_SHORT, "api_key"),
    *_columns(_HASH, "endpoint", "input"),
    *_columns(_SHORT, "completion_window", "state"),
    *_columns(sa.Float, "made", "expires"),
    *(sa.Column(name, sa.Float) for name in ("stopping", "ended", "kept_seconds")),
    *_columns(_HASH, "stopped_for"),
    *_columns(sa.Integer, "piece", "pieces"),
    *_columns(sa.BigInteger, "read", "total", "done", "failed"),
    *_columns(sa.BigInteger, "prompt_tokens", "completion_tokens", "cost_nanodollars"),
    *_columns(sa.Text, "metadata", "waits_for"),
    *_columns(sa.Boolean, "told"),
    sa.Column("budget_nanodollars", sa.BigInteger),
    _held(),
    sa.Column("progress", sa.Text, nullable=False, server_default=""),
    sa.Column("asked_twice", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("jobs_state", "state", "made"),
    sa.Index("jobs_caller", "caller", "made"),
)

# One line of a job's file: where it stands, who works on it, and what came of it, as the results have it.
job_lines = sa.Table(
    "job_lines",
    metadata,
    *_columns(_HASH, "job"),
    *_columns(sa.Integer, "number", "piece", "start", "length"),
    sa.Column("digest", _HASH),
    *_columns(_SHORT, "state"),
    *_columns(sa.Integer, "attempts"),
    *_columns(sa.Float, "due"),
    *_columns(_NAME, "lease"),
    *_columns(sa.Float, "leased"),
    *_columns(sa.Integer, "size"),
    sa.Column("result", sa.LargeBinary),
    _held(),
    _fence(),
    *(sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()) for name in ("asked", "lost")),
    sa.PrimaryKeyConstraint("job", "number"),
    sa.UniqueConstraint("job", "digest", name="job_lines_once"),
    sa.Index("job_lines_state", "job", "state", "number"),
    sa.Index("job_lines_lease", "lease", sqlite_where=_leased, postgresql_where=_leased),
)


def open_engine(url: str) -> sa.Engine:
    """The engine of ``sqlite:///path`` or ``postgresql://…``; it connects when it is first used."""
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in {"postgresql", "postgres"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.drivername.startswith("postgresql"):
            parsed = parsed.set(query=_PATIENT | dict(parsed.query))
        # A server may have closed an idle connection; SQLite's file cannot. The connection that was used last is taken
        # first: its cache is warm, and those of the others stay small.
        is_server = parsed.drivername.startswith("postgresql")
        is_shared = is_server or _is_file(parsed)  # a database in memory has a connection for each thread
        engine = sa.create_engine(parsed, pool_pre_ping=is_server, **({"pool_use_lifo": True} if is_shared else {}))
    except (sa.exc.ArgumentError, ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
        msg = f"The ledger's URL is not usable ({_reason(error)}). Use sqlite:///path or postgresql://…"
        raise ConfigError(msg) from None
    if engine.dialect.name == "sqlite":
        path = parsed.database
        if path and path != ":memory:" and not path.startswith("file:"):
            with suppress(OSError):  # the error comes when it is opened
                # SQLite gives its other files, -wal and -shm, the mode of the database's.
                os.close(open_private(Path(path)))
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _is_file(url: sa.URL) -> bool:
    return url.database not in {None, "", ":memory:"} and url.query.get("mode") != "memory"


def migrate(engine: sa.Engine) -> None:
    """Bring the tables to this version; two gateways that start together take turns."""
    with engine.begin() as db:
        if db.dialect.name == "postgresql":
            db.execute(sa.text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MIGRATION_LOCK})
        # A current ledger is only read here, and starts need not take turns.
        elif _version(db) != _HEAD:
            db.exec_driver_sql("BEGIN IMMEDIATE")
        version = _version(db)
        if version == _HEAD:
            return  # the usual start: Alembic is not even imported
        if version is not None and version > _HEAD:
            msg = f"A newer rsql has written this ledger (version {version}, this one knows {_HEAD}). Upgrade rsql."
            raise ConfigError(msg)
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = db
        command.upgrade(config, "head")


@contextmanager
def at_start(engine: sa.Engine) -> Iterator[None]:
    """What fails now is the administrator's to repair."""
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        named = engine.url.set(drivername=engine.url.get_backend_name(), query={})  # as in the rsql.toml
        safe = named.render_as_string(hide_password=True)
        msg = f"The ledger {safe} cannot be opened ({_reason(error)}). Check its path, permissions and server."
        raise CannotOpen(msg) from None


def _version(db: sa.Connection) -> str | None:
    if not sa.inspect(db).has_table("alembic_version"):
        return None
    return db.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """WAL lets readers go on while a group is written; FULL makes each commit survive a power cut."""
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000:.0f}").close()
    give_up = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            break
        except sqlite3.OperationalError:
            # Of two that change a new file to WAL at once one is refused without a wait, whatever busy_timeout says.
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous=FULL").close()
    connection.execute(f"PRAGMA cache_size={-_CACHE_KB}").close()


def _reason(error: Exception) -> str:
    """The driver's own words, first line, without statement and parameters."""
    words = str(getattr(error, "orig", None) or error)
    return words.splitlines()[0][:200]
