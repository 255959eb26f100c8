"""Shapes of replies: conversations, what they made, and feedback."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from jupyter_server_ext.handlers.described import Object


class ConversationRow(TypedDict):
    """A conversation, or the session of a notebook."""

    id: str
    name: str
    user: str
    tenant: str
    task: str
    requests: int
    failed: int
    tokens: int
    cost_usd: float
    first_at: float
    last_at: float


class SessionsReply(TypedDict):
    """``admin/api/sessions``."""

    sessions: list[ConversationRow]
    next: str | None


class ConversationsReply(TypedDict):
    """``conversations`` and ``admin/api/conversations``."""

    conversations: list[ConversationRow]
    next: str | None


class DeletedReply(TypedDict):
    """How many conversations were deleted."""

    deleted: int


class NamedReply(TypedDict):
    """A conversation's new name."""

    id: str
    name: str


class FeedbackRow(TypedDict):
    """One rating."""

    request_id: str
    caller: str
    tenant: str
    rating: int
    comment: str
    at: float


class FeedbackReply(TypedDict):
    """``admin/api/feedback``."""

    feedback: list[FeedbackRow]
    next: str | None


class ThanksReply(TypedDict):
    """``feedback``."""

    status: str
    request_id: str
    rating: int


class SessionCopy(TypedDict):
    """A conversation that a caller keeps here, without what was said; times are Unix times."""

    id: str
    title: str
    notebook: str
    pairs: int
    bytes: int
    changed: float
    expires: float | None
    shared_until: float | None


class SessionCopies(TypedDict):
    """``sessions``; ``now`` is the Unix time by the clock that the times in it are of."""

    sessions: list[SessionCopy]
    now: float


class WholeSession(TypedDict):
    """``sessions/{id}``."""

    id: str
    title: str
    notebook: str
    pairs: list[Object]
    bytes: int
    changed: float
    expires: float | None
    shared_until: float | None


class DeletedSession(TypedDict):
    """What was deleted or taken back, by its id."""

    deleted: str


class LinkReply(TypedDict):
    """``POST sessions/{id}/share``: the link, below the gateway's address, and the Unix time until it is good."""

    link: str
    until: float


class SharedSessionReply(TypedDict):
    """``shared/{token}``."""

    user: str
    title: str
    pairs: list[Object]
    changed: float
    shared_until: float | None


class ArtifactRow(TypedDict):
    """A file of a conversation; ``digest`` is the SHA-256 of its bytes."""

    id: str
    kind: str
    name: str
    media: str
    bytes: int
    digest: str
    made: float
    about: str


class ArtifactsReply(TypedDict):
    """``sessions/{id}/artifacts``."""

    artifacts: list[ArtifactRow]


class ChatReply(TypedDict):
    """``chat``."""

    answer: str
    session_id: str
    earlier_turns: int  # of the conversation, which were sent along
    turns_kept: Literal["ledger", "memory"]  # where this one is: for all gateways, or of this one until it ends
    metadata: Object
