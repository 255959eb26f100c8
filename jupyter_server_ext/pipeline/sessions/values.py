"""Conversations and files as they stand in the database."""

from __future__ import annotations

from dataclasses import dataclass

Sealed = bytes  # what only the vault opens


@dataclass(frozen=True)
class CopyRow:
    """A conversation as it stands in the database."""

    id: str
    caller: str
    tenant: str
    head: Sealed
    bytes: int
    changed: float  # Unix time
    expires: float | None
    shared_until: float | None = None  # until when its link is good; None where it is not shared
    body: Sealed = b""  # where it was asked for


@dataclass(frozen=True)
class SessionFileRow:
    """A file as it stands in the database."""

    id: str
    session: str
    kind: str
    head: Sealed
    bytes: int
    digest: str  # SHA-256 in hexadecimal
    made: float  # Unix time
    body: Sealed = b""  # where it was asked for
