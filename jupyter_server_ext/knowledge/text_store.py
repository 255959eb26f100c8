"""Dictionaries and examples in the ledger's database, always within a tenant."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import sqlalchemy as sa

from jupyter_server_ext.knowledge.store import held_bytes, take_turns
from jupyter_server_ext.knowledge.texts import SharedText
from jupyter_server_ext.ledger import shared_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LISTED = ("name", "tenant", "bytes", "digest", "added", "expires")
_text = shared_texts.c


class SqlTexts:
    """Reads and writes them; each method is a transaction, and blocks."""

    # Every statement names the tenants that may be read or written.

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def put(self, kind: str, new: SharedText, *, most: int, most_bytes: int) -> str:
        """Keep a text in place of the tenant's one of that name; what its quota lacks where it does not fit."""
        with self._engine.begin() as db:
            take_turns(db, new.tenant)
            own = (_text.tenant == new.tenant, _text.kind == kind)
            db.execute(sa.delete(shared_texts).where(_text.expires <= new.added))
            db.execute(sa.delete(shared_texts).where(*own, _text.name == new.name))
            count = db.execute(sa.select(sa.func.count()).where(*own)).scalar() or 0
            if count >= most or held_bytes(db, new.tenant) + new.bytes > most_bytes:
                db.rollback()
                many = "dictionaries" if kind == "dictionary" else f"{kind}s"
                return f"{most:,} {many}" if count >= most else f"{most_bytes / 1e6:,.0f} MB"
            row = {name: getattr(new, name) for name in (*_LISTED, "text")}
            db.execute(shared_texts.insert(), {"id": secrets.token_hex(8), "kind": kind, **row})
        return ""

    def all(self, kind: str, tenants: Sequence[str], now: float, *, whole: bool = False) -> list[SharedText]:
        """The texts of tenants; ``whole`` with what they say."""
        return self._read(whole, kind, tenants, now)

    def named(self, kind: str, name: str, tenants: Sequence[str], now: float) -> list[SharedText]:
        """The texts of tenants that have this name, whole."""
        return self._read(True, kind, tenants, now, _text.name == name)

    def _read(
        self, whole: bool, kind: str, tenants: Sequence[str], now: float, *more: sa.ColumnElement[bool]
    ) -> list[SharedText]:
        query = sa.select(*(_text[name] for name in (*_LISTED, *(["text"] if whole else []))))
        query = query.where(_text.tenant.in_(tenants), _text.kind == kind, _good(now), *more)
        with self._engine.connect() as db:
            return [SharedText(*row) for row in db.execute(query)]

    def counts(self, tenants: Sequence[str], now: float) -> Mapping[str, int]:
        """How many texts tenants have, by kind."""
        query = sa.select(_text.kind, sa.func.count()).where(_text.tenant.in_(tenants), _good(now))
        with self._engine.connect() as db:
            return {kind: int(count) for kind, count in db.execute(query.group_by(_text.kind))}

    def remove(self, kind: str, tenant: str, name: str) -> bool:
        """Remove a text; whether there was one."""
        own = (_text.tenant == tenant, _text.kind == kind, _text.name == name)
        with self._engine.begin() as db:
            return db.execute(sa.delete(shared_texts).where(*own)).rowcount > 0


def _good(now: float) -> sa.ColumnElement[bool]:
    return sa.or_(_text.expires.is_(None), _text.expires > now)
