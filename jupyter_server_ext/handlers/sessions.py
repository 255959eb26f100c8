"""Conversations that callers keep here, to have them wherever they sign in: theirs alone, and shared by a link."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.handlers import requests, shared_page
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.console import show_page
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.shapes.conversations import (
    ArtifactRow,
    ArtifactsReply,
    DeletedSession,
    LinkReply,
    SessionCopies,
    SessionCopy,
    SharedSessionReply,
    WholeSession,
)
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.pipeline import UnknownSession, read_file, read_session

if TYPE_CHECKING:
    from jupyter_server_ext.pipeline import SessionHead

_SHARED_DAYS = 30.0  # where nobody says
_IS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class OwnSessions(GatewayHandler):
    """``sessions``."""

    @needs_scope("conversations:read")
    @described(SessionCopies)
    async def get(self) -> None:
        """The conversations that you keep here, the last changed first."""
        kept = self.app.sessions
        self.reply({"sessions": [_row(one) for one in await kept.all(self.asker)], "now": kept.clock()})


class OwnSession(GatewayHandler):
    """``sessions/{id}``."""

    takes_large_bodies = True

    @needs_scope("conversations:read")
    @described(WholeSession)
    async def get(self, session: str) -> None:
        """One of them, with its questions and answers."""
        head, pairs = await self.app.sessions.one(self.asker, session)
        self.set_header("ETag", _tag(head))
        self.reply(_row(head) | {"pairs": pairs})

    @needs_scope("conversations:write")
    @described(SessionCopy)
    async def put(self, session: str) -> None:
        """Keep a conversation: its ``title``, ``pairs`` and ``notebook``; one of that id is replaced.

        With ``If-Match`` only one with this ``ETag``, and with ``If-None-Match: *`` none.
        """
        if not _IS_ID.fullmatch(session):
            raise BadRequest("An id has 1 to 64 letters, digits, '.', '_' and '-'.", param="id")
        sent = await asyncio.get_running_loop().run_in_executor(None, read_session, self.body)
        head = await self.app.sessions.put(self.asker, session, sent, expected=self._expected())
        self.set_header("ETag", _tag(head))
        self.reply(_row(head))

    def _expected(self) -> float | None:
        if (tag := self.request.headers.get("If-Match")) is not None:
            try:
                return float(tag.strip('"'))
            except ValueError:
                return -1.0  # the tag of none
        return 0.0 if self.request.headers.get("If-None-Match") == "*" else None

    @needs_scope("conversations:delete")
    @described(DeletedSession)
    async def delete(self, session: str) -> None:
        """Delete a conversation with its files, and its link with it."""
        await self.app.sessions.remove(self.asker, session)
        self.reply({"deleted": session})


class SessionLink(GatewayHandler):
    """``sessions/{id}/share``."""

    @needs_scope("conversations:write")
    @described(LinkReply, status=201)
    async def post(self, session: str) -> None:
        """Make a link by which instructors of your group see it, for ``days``; an earlier one is void."""
        body = requests.own_object(self.body, "days") if self.body else {}
        days = body.get("days", _SHARED_DAYS)
        if isinstance(days, bool) or not isinstance(days, int | float):
            raise BadRequest("'days' must be a number.", param="days")
        token, until = await self.app.sessions.share(self.asker, session, float(days))
        self.reply({"link": f"shared/{token}", "until": until}, status=201)

    @needs_scope("conversations:write")
    @described(DeletedSession)
    async def delete(self, session: str) -> None:
        """Take the link back: from now on it leads nowhere."""
        await self.app.sessions.unshare(self.asker, session)
        self.reply({"deleted": session})


class SharedSession(GatewayHandler):
    """``shared/{token}``."""

    @needs_scope("conversations:read")
    @described(SharedSessionReply)
    async def get(self, token: str) -> None:
        """A conversation that somebody of your group shares by this link; for instructors, and who made it.

        In a browser it is a page.
        """
        in_browser = "text/html" in self.request.headers.get("Accept", "")
        try:
            owner, head, pairs = await self.app.sessions.linked(self.asker, token)
        except UnknownSession as error:
            if not in_browser:
                raise
            return show_page(self, "message", status=error.status, message=error.message)
        if in_browser:
            until = datetime.fromtimestamp(head.shared_until or 0.0, ZoneInfo(self.app.settings.storage.time_zone))
            return show_page(
                self, "shared", owner=owner, head=head, until=until, pairs=[shared_page.shown(one) for one in pairs]
            )
        shown = {name: value for name, value in _row(head).items() if name in {"title", "changed", "shared_until"}}
        self.reply(shown | {"user": owner, "pairs": pairs})
        return None


class SessionArtifacts(GatewayHandler):
    """``sessions/{id}/artifacts``."""

    takes_large_bodies = True

    @needs_scope("conversations:read")
    @described(ArtifactsReply)
    async def get(self, session: str) -> None:
        """The files that answers of this conversation made, the newest first."""
        files = await self.app.sessions.files(self.asker, session)
        self.reply({"artifacts": [msgspec.to_builtins(one) for one in files]})

    @needs_scope("conversations:write")
    @described(ArtifactRow, status=201)
    async def post(self, session: str) -> None:
        """Keep a file with this conversation: ``kind``, ``name``, ``media`` and its bytes, ``data``, in Base64.

        ``about`` is given back as it was sent.
        """
        sent, content = await asyncio.get_running_loop().run_in_executor(None, read_file, self.body)
        kept = await self.app.sessions.add_file(self.asker, session, sent, content)
        self.reply(msgspec.to_builtins(kept), status=201)


class Download(GatewayHandler):
    """``download/{kind}/{id}``."""

    @needs_scope("conversations:read")
    @described("application/octet-stream")
    async def get(self, kind: str, file: str) -> None:
        """A file of yours, byte for byte as it was kept."""
        found, content = await self.app.sessions.file(self.asker, kind, file)
        # Never shown as a page of ours, whatever it says of itself.
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(found.name, safe='')}")
        self.finish(content)

    @needs_scope("conversations:delete")
    @described(DeletedSession)
    async def delete(self, kind: str, file: str) -> None:
        """Delete a file of yours."""
        await self.app.sessions.remove_file(self.asker, kind, file)
        self.reply({"deleted": file})


def _tag(head: SessionHead) -> str:
    return f'"{head.changed!r}"'


def _row(head: Any) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(head)
    return row
