"""Entries for tests of ledgers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from jupyter_server_ext.ledger import migrations
from jupyter_server_ext.ledger.rows import GENESIS, entry_row, link
from jupyter_server_ext.ledger.schema import open_engine
from jupyter_server_ext.messages import Entry, TokenUsage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from zoneinfo import ZoneInfo


def entry(number: int, **changes: Any) -> Entry:
    """One that ended well, ``number`` seconds after the thousandth; ``changes`` are fields of it."""
    values = {"at": 1000.0 + number, "caller": "ada", "tenant": "stats101", "model": "m", "usage": TokenUsage(10, 5)}
    return Entry(f"r{number}", **(values | {"attempts": 1} | changes))


def older_ledger(url: str, version: str, written: Iterable[Entry], instance: str, zone: ZoneInfo) -> None:
    """A ledger as it was after the migration of this number, with entries in it."""
    engine = open_engine(url)
    with engine.begin() as db:
        config = Config()
        config.set_main_option("script_location", str(migrations.__path__[0]))
        config.attributes["connection"] = db
        command.upgrade(config, version)
        table, chain = sa.Table("entries", sa.MetaData(), autoload_with=db), GENESIS
        for number, one in enumerate(written, start=1):
            row = entry_row(one, instance, number, zone)
            chain = link(chain, row["content_hash"])
            known = {name: value for name, value in row.items() if name in table.columns}
            db.execute(sa.insert(table), known | {"chain_hash": chain})
    engine.dispose()
