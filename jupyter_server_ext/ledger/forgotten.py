"""Who was forgotten: known by a hash, so that what arrives late of a caller arrives without the name.

An entry may arrive long after its request: from the spool of a gateway whose database was away, or at the end of an
answer that was under way.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec.structs import replace

from jupyter_server_ext.ledger import statements
from jupyter_server_ext.ledger.schema import forgotten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jupyter_server_ext.messages import Entry

NAMELESS: dict[str, Any] = {
    **dict.fromkeys(("caller", "tenant", "prompt_hash", "api_key"), ""),
    "prompt": None,
    "forgotten": True,
}
"""What the entry of a forgotten caller says in place of what it said."""

_UNNAMED = {name: value for name, value in NAMELESS.items() if name != "forgotten"}


class Forgotten:
    """Callers, each with the Unix time up to which everything of it is forgotten.

    Args:
        until: That time by the caller's hash.

    Example:
        >>> forgotten = Forgotten({hash_of("ada"): 50.0})
        >>> ("ada", 50.0) in forgotten, ("ada", 50.1) in forgotten, ("bob", 1.0) in forgotten
        (True, False, False)
    """

    def __init__(self, until: Mapping[str, float]) -> None:
        self._until = until

    @classmethod
    def since(cls, db: sa.Connection, at: float) -> Forgotten:
        """Those who were forgotten at or after a Unix time: nobody else matters to what was begun since."""
        return cls(dict(statements.forgotten_since.run(db, [{"since": at}]).fetchall()))

    def __contains__(self, begun: tuple[str, float]) -> bool:
        """Whether what a caller began at a Unix time is forgotten."""
        caller, at = begun
        return bool(self._until) and at <= self._until.get(hash_of(caller), -1.0)

    def unnamed(self, entry: Entry) -> Entry:
        """The entry, without names if its caller is forgotten."""
        return replace(entry, **_UNNAMED) if (entry.caller, entry.at) in self else entry


def remember(db: sa.Connection, caller: str, at: float) -> None:
    """Note that a caller was forgotten at a Unix time.

    PostgreSQL waits for those who looked before and have yet to write, so that they are over when entries are blanked.
    """
    if db.dialect.name == "postgresql":
        db.execute(sa.text("LOCK TABLE forgotten IN ACCESS EXCLUSIVE MODE"))
    insert = statements.insert_into(db.dialect.name, forgotten).values(caller_hash=hash_of(caller), at=at)
    db.execute(insert.on_conflict_do_update(index_elements=["caller_hash"], set_={"at": insert.excluded.at}))


def hash_of(caller: str) -> str:
    """By what a forgotten caller is known. It hides the name from readers, not from who guesses it."""
    return hashlib.sha256(f"rsql forgotten\0{caller}".encode()).hexdigest()
