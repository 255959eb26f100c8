"""What a token may do: the one table of scopes, which scopes hold others, and who has which by their role."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SCOPES = MappingProxyType(
    {
        "chat": "ask models; see the gateway's state and one's own figures, and rate answers",
        "completion": "have code completed at the cursor; see the gateway's state and one's own figures",
        "embeddings": "ask models for embeddings; see the gateway's state and one's own figures",
        "files": "send, read and delete files of requests and results",
        "batches": "make, see and cancel jobs of such files; their lines need the scope of what they ask",
        "notebooks": "have notebooks run, which runs their code",
        "documents:read": "search the group's documents, and read its dictionaries and examples",
        "documents:write": "share documents, dictionaries and examples with the group, and delete them",
        "conversations:read": "read the conversations and files that are kept here, and links to others'",
        "conversations:write": "keep conversations and files here, name them, and make links to them",
        "conversations:delete": "delete them, and all that one has said",
        "keys": "make, list and revoke virtual keys of one's own",
        "instructor": "see and set one's own group, and share with it; an administrator has it for every group",
        "metrics": "read the figures for Prometheus, and nothing else",
        "admin": "see and check the keys; see, change and reset limits; see what everybody used, and forget it",
    }
)
"""Every scope, with what it lets do. Every route names those of which one is needed, and the docs list them."""

ASKING = frozenset({"chat", "completion", "embeddings"})
"""What a kernel's own token has, and a virtual key for which nothing else is said."""

PERSON = frozenset(SCOPES) - {"documents:write", "instructor", "metrics", "admin"}
"""What a person has, by a token of their own."""

TEACHES = frozenset({"documents:write", "instructor"})
"""What an instructor has beside that."""

GRANTABLE = frozenset(SCOPES) - {"keys", "metrics", "admin"}
"""What a virtual key may have: one that leaked must neither make others, which outlive it, nor administer."""

_HELD_WITH = {
    "instructor": frozenset({"admin"}),
    "documents:read": frozenset({"instructor", "admin"}),
    "documents:write": frozenset({"instructor", "admin"}),
    "metrics": frozenset({"chat", "admin"}),
}


def holds(scopes: Iterable[str], needed: str) -> bool:
    """Whether whoever has these scopes has one of them, by itself or with another.

    Example:
        >>> holds({"admin"}, "instructor"), holds({"chat"}, "files")
        (True, False)
    """
    held = frozenset(scopes)
    return needed in held or not held.isdisjoint(_HELD_WITH.get(needed, frozenset()))


def held(scopes: Iterable[str]) -> frozenset[str]:
    """All scopes that whoever has these scopes has."""
    own = frozenset(scopes)
    return frozenset(scope for scope in SCOPES if holds(own, scope))
