"""All that is kept encrypted, encrypted anew: so that an old one of ``prompt_keys`` can be taken away."""

# A row is written only where it still holds what was read, so gateways may go on meanwhile; what they seal is sealed
# with the first key already. A change of the trail's cannot be rewritten: provider keys in it that need an old key are
# counted, and an administrator adds them again.

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from jupyter_server_ext.ledger.changes import NEW_KEY
from jupyter_server_ext.ledger.schema import (
    changes,
    decisions,
    entries,
    job_file_pieces,
    job_lines,
    session_copies,
    session_files,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jupyter_server_ext.ledger.vault import PromptVault

_AT_ONCE = 100  # rows that are read together
_SEALED = b"\1"  # before a text that jobs keep encrypted
_TOKEN = "gAAAA"  # noqa: S105 - how a text begins that is encrypted, and not a secret kept as it is


@dataclass(frozen=True, slots=True)
class Resealed:
    """What became of the encrypted texts of one kind."""

    sealed: int = 0  # are encrypted with the first key now and were not before
    unreadable: int = 0  # none of the keys opens them, or they cannot be written anew

    def __add__(self, other: Resealed) -> Resealed:
        return Resealed(self.sealed + other.sealed, self.unreadable + other.unreadable)


_KINDS: dict[str, tuple[sa.Table, tuple[str, ...], bytes]] = {
    "prompts and answers": (entries, ("prompt", "answer"), b""),
    "conversations": (session_copies, ("head", "body"), b""),
    "files of conversations": (session_files, ("head", "body"), b""),
    "files of jobs": (job_file_pieces, ("content",), _SEALED),
    "results of jobs": (job_lines, ("result",), _SEALED),
}


def reseal(engine: sa.Engine, vault: PromptVault) -> dict[str, Resealed]:
    """Encrypt with the first key what an older one encrypted; what became of each kind of text. It blocks.

    Example:
        >>> from cryptography.fernet import Fernet
        >>> from jupyter_server_ext.config import Secret
        >>> from jupyter_server_ext.ledger import PromptVault, opened
        >>> with opened("sqlite://", instance="one") as store:
        ...     reseal(store.engine, PromptVault([Secret(Fernet.generate_key().decode())]))["prompts and answers"]
        Resealed(sealed=0, unreadable=0)
    """
    found = {kind: _in_table(engine, vault, *where) for kind, where in _KINDS.items()}
    return found | {"secrets of webhooks": _webhooks(engine, vault), "keys added at run time": _keys(engine, vault)}


def _in_table(engine: sa.Engine, vault: PromptVault, table: sa.Table, names: Sequence[str], mark: bytes) -> Resealed:
    result = Resealed()
    for rows in _pages(engine, table, names):
        for row in rows:
            for name in names:
                if (kept := row[name]) is None or not kept.startswith(mark):
                    continue
                anew = vault.reseal(kept.removeprefix(mark))
                if anew is None:
                    result = replace(result, unreadable=result.unreadable + 1)
                elif mark + anew != kept:
                    result += _put(engine, table, row, name, mark + anew)
    return result


def _pages(engine: sa.Engine, table: sa.Table, names: Sequence[str]) -> Iterator[Sequence[sa.RowMapping]]:
    """Rows of a table with any of these columns, by its primary key and a few at a time."""
    key = list(table.primary_key)
    query = sa.select(*key, *(table.c[name] for name in names)).order_by(*key).limit(_AT_ONCE)
    query = query.where(sa.or_(*(table.c[name].is_not(None) for name in names)))
    after: Sequence[object] = ()
    while True:
        page = query.where(sa.tuple_(*key) > sa.tuple_(*map(sa.literal, after))) if after else query
        with engine.connect() as db:
            rows = db.execute(page).mappings().all()
        if not rows:
            return
        yield rows
        after = [rows[-1][column.name] for column in key]


def _put(engine: sa.Engine, table: sa.Table, row: sa.RowMapping, name: str, after: object) -> Resealed:
    same = [table.c[column.name] == row[column.name] for column in table.primary_key]
    with engine.begin() as db:
        written = db.execute(sa.update(table).where(*same, table.c[name] == row[name]).values({name: after})).rowcount
    return Resealed(sealed=written)


def _webhooks(engine: sa.Engine, vault: PromptVault) -> Resealed:
    result = Resealed()
    query = sa.select(decisions).where(decisions.c.name.startswith("webhook "), decisions.c.value.startswith(_TOKEN))
    with engine.connect() as db:
        rows = db.execute(query).mappings().all()
    for row in rows:
        anew = vault.reseal(row["value"].encode())
        if anew is None:
            result = replace(result, unreadable=result.unreadable + 1)
        elif anew.decode() != row["value"]:
            result += _put(engine, decisions, row, "value", anew.decode())
    return result


def _keys(engine: sa.Engine, vault: PromptVault) -> Resealed:
    latest = sa.select(sa.func.max(changes.c.number)).where(changes.c.kind == NEW_KEY).group_by(changes.c.name)
    with engine.connect() as db:
        rules = db.execute(sa.select(changes.c.after).where(changes.c.number.in_(latest))).scalars().all()
    sealed = [one["sealed"].encode() for one in map(json.loads, filter(None, rules)) if "sealed" in one]
    return Resealed(unreadable=sum(vault.reseal(one) != one for one in sealed))
