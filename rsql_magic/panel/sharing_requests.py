"""Requests of a view about sharing a conversation with a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from rsql_magic.panel.chat_panel import ChatPanel


class SharingRequests:
    """Each method is a request of that name."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel

    def share(self, *, thread: str, days: float = 30.0) -> dict[str, Any]:
        """Copy a conversation to the gateway and make a link to it; until when that is good, as a Unix time."""
        link, until = self._panel.threads.copies.share(self._id(thread), float(days))
        return {"link": link, "until": until}

    def unshare(self, *, thread: str) -> None:
        """Take the link back."""
        self._panel.threads.copies.unshare(self._id(thread))

    def _id(self, thread: str) -> str:
        threads = self._panel.threads
        found = threads.find(thread)
        if not threads.keeper.writes:
            raise BadInput("What is not kept cannot be shared.", hint="See %config Rsql.conversations.")
        threads.keeper.flush(2.0)
        return threads.keeper.id_of(found)
