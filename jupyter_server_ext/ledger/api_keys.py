"""Virtual API keys: what is kept of each. The key itself is not among it, only a hash."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_server_ext.config import ASKING, CallerLimits

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One virtual API key."""

    id: str  # public id; names it in lists and for its revocation
    # SHA-256 of the key, in hex. A key has 256 random bits, so no salt is needed.
    digest: str
    owner: str  # the caller it stands for
    name: str  # what its owner calls it
    made: float  # unix time
    expires: float  # unix time from which on it opens nothing
    tenant: str | None = ""  # the group whose rules apply; None for whichever the owner is in when it is used
    scopes: frozenset[str] = ASKING  # what it may do
    limits: CallerLimits = field(default_factory=CallerLimits)  # limits of its own, within the owner's
    # What tells its owner from others who had the name before, or have it now; empty where nobody knows.
    mark: str = ""


class MemoryApiKeys:
    """Virtual API keys until the end of the process."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    def add(self, key: ApiKey) -> None:
        """Keep a new key."""
        self._keys[key.id] = key

    def find(self, digest: str) -> ApiKey | None:
        """The key with this hash."""
        return next((key for key in self._keys.values() if key.digest == digest), None)

    def all(self, owner: str | None = None) -> list[ApiKey]:
        """All keys, or an owner's, oldest first."""
        return [key for key in self._keys.values() if owner in (None, key.owner)]

    def remove(self, key_id: str) -> bool:
        """Forget a key; whether there was one."""
        return self._keys.pop(key_id, None) is not None

    def rename(self, key_id: str, owner: str) -> None:
        """Note the new name of its owner."""
        if key := self._keys.get(key_id):
            self._keys[key_id] = replace(key, owner=owner)


class SqlApiKeys:
    """Virtual API keys in the ledger's database, with the methods of ``MemoryApiKeys``. They block."""

    def __init__(self, engine: sa.Engine) -> None:
        from jupyter_server_ext.ledger.schema import api_keys

        self._engine, self._table = engine, api_keys

    def add(self, key: ApiKey) -> None:
        """See ``MemoryApiKeys.add``."""
        with self._engine.begin() as db:
            db.execute(self._table.insert(), _row(key))

    def find(self, digest: str) -> ApiKey | None:
        """See ``MemoryApiKeys.find``."""
        with self._engine.connect() as db:
            row = db.execute(self._table.select().where(self._table.c.digest == digest)).mappings().first()
        return None if row is None else _key(dict(row))

    def all(self, owner: str | None = None) -> list[ApiKey]:
        """See ``MemoryApiKeys.all``."""
        query = self._table.select().order_by(self._table.c.made)
        with self._engine.connect() as db:
            rows = db.execute(query if owner is None else query.where(self._table.c.owner == owner)).mappings().all()
        return [_key(dict(row)) for row in rows]

    def remove(self, key_id: str) -> bool:
        """See ``MemoryApiKeys.remove``."""
        with self._engine.begin() as db:
            return db.execute(self._table.delete().where(self._table.c.id == key_id)).rowcount > 0

    def rename(self, key_id: str, owner: str) -> None:
        """See ``MemoryApiKeys.rename``."""
        with self._engine.begin() as db:
            db.execute(self._table.update().where(self._table.c.id == key_id).values(owner=owner))


def _row(key: ApiKey) -> dict[str, Any]:
    limits = msgspec.json.encode(key.limits).decode()
    names = ("id", "digest", "owner", "name", "made", "expires", "tenant", "mark")
    plain = {name: getattr(key, name) for name in names}
    return {**plain, "scopes": " ".join(sorted(key.scopes)), "limits": limits}


def _key(row: dict[str, Any]) -> ApiKey:
    limits = CallerLimits(**json.loads(row.pop("limits")))
    return ApiKey(**(row | {"scopes": frozenset(row["scopes"].split()), "limits": limits}))
