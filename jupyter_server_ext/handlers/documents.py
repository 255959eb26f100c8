"""Documents that a tenant shares: its instructors put and delete them, all its callers search them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from jupyter_server_ext.documents import SharedDocument, read_document
from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.identity import needs_scope

_MOST_FOUND = 50
_LONGEST_QUESTION = 4_000  # characters


class AllDocuments(GatewayHandler):
    """``documents``."""

    takes_large_bodies = True

    @needs_scope("chat")
    async def get(self) -> None:
        """The documents that you may search: your group's, and those for everyone."""
        self.reply({"documents": [_shown(one) for one in await self.app.documents.all(self.asker)]})

    @needs_scope("instructor")
    async def post(self) -> None:
        """Share a document with your group: ``passages``, or ``text`` to be split; one of that name is replaced.

        An administrator names another ``tenant``, or an empty one for everyone. ``days`` says when it is deleted.
        """
        sent = await asyncio.get_running_loop().run_in_executor(None, read_document, self.body)
        self.reply(_shown(await self.app.documents.put(self.asker, sent)), status=201)


class OneDocument(GatewayHandler):
    """``documents/{name}``."""

    @needs_scope("instructor")
    async def delete(self, name: str) -> None:
        """Delete a document of your group, or of ``?tenant=``."""
        await self.app.documents.remove(self.asker, name, self.get_query_argument("tenant", None))
        self.reply({"deleted": name})


class Search(GatewayHandler):
    """``search``."""

    @needs_scope("chat")
    async def post(self) -> None:
        """The passages of your group's documents that hold the words of ``query``, the best first."""
        body = requests.json_object(self.body)
        query, names, most = requests.required_text(body, "query"), body.get("documents", []), body.get("most", 10)
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names) and len(names) <= 1000):
            raise BadRequest("'documents' must be a list of up to 1,000 names.", param="documents")
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= _MOST_FOUND:
            raise BadRequest(f"'most' must be a whole number from 1 to {_MOST_FOUND}.", param="most")
        found = await self.app.documents.search(self.asker, query[:_LONGEST_QUESTION], names, most)
        self.reply({"passages": found})


def _shown(document: SharedDocument) -> dict[str, Any]:
    fields = {name: getattr(document, name) for name in ("name", "tenant", "passages", "bytes")}
    expires = None if document.expires is None else _date(document.expires)
    return {**fields, "added": _date(document.added), "expires": expires}


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
