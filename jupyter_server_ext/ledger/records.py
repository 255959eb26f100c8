"""One record of the audit trail, and the hashes by which it vouches for what is kept elsewhere."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RecordKind = Literal["change", "rating", "read", "export", "restored", "forgot"]

TRAIL_OF = "trail of "
"""What a gateway's name has before it where the end of its trail, rather than that of its entries, is meant."""

# The columns of a row that its record vouches for. A caller's name may be forgotten later, so it is not among them.
_OF_CHANGE = ("number", "id", "at", "kind", "name", "tenant", "before", "after", "undoes")
_OF_RATING = ("request_id", "rating", "comment", "at")


@dataclass(frozen=True, slots=True)
class TrailRecord:
    """One thing that somebody did."""

    kind: RecordKind
    caller: str  # who did it; empty where it is not known, or forgotten
    subject: str = ""  # what it was done to: the number of a change, the id of a request
    detail: str = ""  # more of it, in JSON; of a change or a rating, the hash of its row


def hash_of_change(row: Mapping[str, Any]) -> str:
    """The hash that the record of a change holds."""
    return digest([row[name] for name in _OF_CHANGE])


def hash_of_rating(row: Mapping[str, Any]) -> str:
    """The hash that the record of a rating holds."""
    return digest([row[name] for name in _OF_RATING])


def digest(values: Sequence[Any]) -> str:
    """The hash of some values, as JSON."""
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()
