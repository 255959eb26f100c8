"""The database of the ledger: opened, prepared and brought to this version's tables. SQLite or PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from jupyter_server_ext.errors import CannotOpen, ConfigError
from jupyter_server_ext.ledger.files import open_private

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = "0005"
_MIGRATION_LOCK = 7_715_101  # any number; two gateways that start together take turns
_PATIENT = {"connect_timeout": "3", "tcp_user_timeout": "5000", "keepalives_idle": "10", "keepalives_interval": "5"}
"""How long a server or a network may be silent before a connection is given up; a URL may say otherwise."""

_BUSY_SECONDS = 5.0
"""How long a process waits for another one that writes to the same file."""


def open_engine(url: str) -> sa.Engine:
    """The engine of ``sqlite:///path`` or ``postgresql://…``; it connects when it is first used."""
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in {"postgresql", "postgres"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.drivername.startswith("postgresql"):
            parsed = parsed.set(query=_PATIENT | dict(parsed.query))
        # A server may have closed an idle connection; SQLite's file cannot.
        engine = sa.create_engine(parsed, pool_pre_ping=parsed.drivername.startswith("postgresql"))
    except (sa.exc.ArgumentError, ModuleNotFoundError, sa.exc.NoSuchModuleError) as error:
        msg = f"The ledger's URL is not usable ({_reason(error)}). Use sqlite:///path or postgresql://…"
        raise ConfigError(msg) from None
    if engine.dialect.name == "sqlite":
        _keep_private(parsed.database)
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


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


def _keep_private(path: str | None) -> None:
    """SQLite gives its other files, ``-wal`` and ``-shm``, the mode of the database's."""
    if path and path != ":memory:" and not path.startswith("file:"):
        with suppress(OSError):  # the error comes when it is opened
            os.close(open_private(Path(path)))


def _version(db: sa.Connection) -> str | None:
    if not sa.inspect(db).has_table("alembic_version"):
        return None
    return db.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """WAL lets readers go on while a group is written; FULL makes each commit survive a power cut."""
    connection.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000:.0f}").close()
    _use_wal(connection)
    connection.execute("PRAGMA synchronous=FULL").close()


def _use_wal(connection: sqlite3.Connection) -> None:
    """Two that change a new file to WAL at once: one is refused without a wait, whatever ``busy_timeout`` says."""
    give_up = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def _reason(error: Exception) -> str:
    """The driver's own words, first line, without statement and parameters."""
    words = str(getattr(error, "orig", None) or error)
    return words.splitlines()[0][:200]
