"""The hash chain of an instance's entries: ``chain_hash = sha256(previous chain_hash + content_hash)``.

Forgetting a caller blanks an entry's content but keeps its hash, so the chain stays whole; retention moves its start
forward. Functions over plain rows; reading and writing them is ``sql.py``'s.
"""

from __future__ import annotations

import hashlib
import json
from operator import itemgetter
from typing import Any

from jupyter_server_ext.ledger.schema import entries

GENESIS = "0" * 64
"""What the first entry of an instance is linked to."""

# Hashed where they say something, as older entries have none of them.
_LATER = {"cache": "", "saved_nanodollars": 0, "api_key": ""}
_NOT_HASHED = {"forgotten", "content_hash", "chain_hash", "prompt", *_LATER}  # a prompt can be dropped; its hash stays
_hashed = itemgetter(*(column.name for column in entries.columns if column.name not in _NOT_HASHED))
_encode = json.JSONEncoder(separators=(",", ":")).encode


def content_hash(row: dict[str, Any]) -> str:
    """The hash over what an entry says, with its number and the instance it is of."""
    later = {name: row[name] for name, none in _LATER.items() if row[name] != none}
    return hashlib.sha256(_encode([*_hashed(row), later] if later else _hashed(row)).encode()).hexdigest()


def link(chain: str, content: str) -> str:
    """The chain's hash after an entry with this content hash."""
    return hashlib.sha256((chain + content).encode()).hexdigest()


def problems_of(row: dict[str, Any], number: int, chain: str) -> list[str]:
    """What is wrong with an entry that should be the ``number``-th, after a chain with this hash; one sentence each."""
    where = f"{row['instance']} #{row['number']}"
    problems = []
    if row["number"] != number:
        problems.append(f"{where}: entries {number} to {row['number'] - 1} are missing.")
    elif row["chain_hash"] != link(chain, row["content_hash"]):
        problems.append(f"{where}: the chain is broken here; an entry was changed, removed or put in.")
    if not row["forgotten"] and content_hash(row) != row["content_hash"]:
        problems.append(f"{where}: the entry was changed after it was written.")
    return problems
