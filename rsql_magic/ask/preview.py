"""What would be sent, to be looked at before anything is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rsql_magic.gateway import filtered
from rsql_magic.sql import count_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.ask.writer import Prepared
    from rsql_magic.context import Context, Piece
    from rsql_magic.gateway import Message
    from rsql_magic.text2sql import Linked


@dataclass(frozen=True)
class Preview:
    """What would be sent, and its size."""

    messages: tuple[Message, ...]  # letter by letter, with what the gateway's policy adds
    tokens: int  # estimated
    context: Context | None = None  # what they tell of the notebook, piece by piece
    prepared: Prepared | None = field(default=None, repr=False)  # for ``ask``, to send exactly these
    linked: Linked | None = field(default=None, repr=False)  # for ``sql_ai``, to send exactly these
    note: str = ""  # what could not be looked at

    def piece(self, name: str) -> Piece | None:
        """What they tell of one thing; None when they do not."""
        pieces = self.context.pieces if self.context else ()
        return next((piece for piece in pieces if piece.name == name and piece.shown), None)

    def saying(self, unsure: str) -> str:
        """It all, and why it may not be exactly what would be sent, if so."""
        return "\n".join(filter(None, [str(self), self.note, unsure]))

    def __str__(self) -> str:
        parts = [f"[{message['role']}]\n{message['content']}" for message in self.messages]
        return "\n\n".join([*parts, f"≈ {self.tokens:,} tokens. Nothing was sent."])


def preview_of(messages: Sequence[Message]) -> Preview:
    """Messages as they leave: without secrets and personal identifiers."""
    sent, _ = filtered(messages)
    return Preview(tuple(sent), sum(count_tokens(message["content"]) for message in sent))
