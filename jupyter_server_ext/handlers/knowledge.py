"""What a tenant shares: its instructors put and delete it, all its callers list, search and fetch it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from jupyter_server_ext.errors import BadRequest
from jupyter_server_ext.handlers import requests
from jupyter_server_ext.handlers.base import GatewayHandler
from jupyter_server_ext.handlers.described import described
from jupyter_server_ext.handlers.parameters import TENANT
from jupyter_server_ext.handlers.shapes.knowledge import (
    DeletedDocument,
    DictionariesReply,
    DocumentRow,
    DocumentsReply,
    ExamplesReply,
    PassagesReply,
    SharedRow,
    SharedWithText,
)
from jupyter_server_ext.identity import needs_scope
from jupyter_server_ext.knowledge import (
    QuestionVector,
    SharedDocument,
    etag_of,
    examples_of,
    of_length_one,
    read_dictionary,
    read_example,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from jupyter_server_ext.knowledge import Kind, NewText, SharedText

_MOST_FOUND = 50
_LONGEST_QUESTION = 4_000  # characters


class AllDocuments(GatewayHandler):
    """``documents``."""

    takes_large_bodies = True

    @needs_scope("documents:read")
    @described(DocumentsReply)
    async def get(self) -> None:
        """The documents that you may search: your group's, and those for everyone."""
        self.reply({"documents": [_shown(one) for one in await self.app.documents.all(self.asker)]})

    @needs_scope("documents:write")
    @described(DocumentRow, status=201)
    async def post(self) -> None:
        """Share a document with your group: ``passages``, or ``text`` to be split; one of that name is replaced.

        An administrator names another ``tenant``, or an empty one for everyone. ``days`` says when it is deleted.
        """
        kept = await self.app.documents.put(self.asker, self.body)
        await self.app.runtime.note(f"shared the document {kept.name}", self.asker.name, kept.tenant)
        self.reply(_shown(kept), status=201)


class OneDocument(GatewayHandler):
    """``documents/{name}``."""

    @needs_scope("documents:write")
    @described(DeletedDocument, TENANT)
    async def delete(self, name: str) -> None:
        """Delete a document of your group, or of ``?tenant=``."""
        of = await self.app.documents.remove(self.asker, name, self.get_query_argument("tenant", None))
        await self.app.runtime.note(f"deleted the document {name}", self.asker.name, of)
        self.reply({"deleted": name})


class Search(GatewayHandler):
    """``search``."""

    @needs_scope("documents:read")
    @described(PassagesReply)
    async def post(self) -> None:
        """The passages of your group's documents that hold the words of ``query``, the best first.

        With a ``meaning``, the ``model`` and the ``vector`` that it made of the query, those near it are found as well;
        ``models`` are those whose vectors the documents have.
        """
        body = requests.own_object(self.body, "query", "documents", "most", "meaning")
        query, names, most = requests.required_text(body, "query"), body.get("documents", []), body.get("most", 10)
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names) and len(names) <= 1000):
            raise BadRequest("'documents' must be a list of up to 1,000 names.", param="documents")
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= _MOST_FOUND:
            raise BadRequest(f"'most' must be a whole number from 1 to {_MOST_FOUND}.", param="most")
        meaning = _meaning(body.get("meaning"))
        documents, asked = self.app.documents, query[:_LONGEST_QUESTION]
        found = await documents.search(self.asker, asked, names, most, meaning)
        self.reply({"passages": found, "models": await documents.models(self.asker)})


def _meaning(sent: object) -> QuestionVector | None:
    try:
        meaning = msgspec.convert(sent, QuestionVector | None)
    except msgspec.ValidationError as wrong:
        raise BadRequest(f"'meaning' has a 'model' and a 'vector' ({wrong}).", param="meaning") from None
    return meaning and QuestionVector(meaning.model, of_length_one(meaning.vector))


class SharedTextHandler(GatewayHandler):
    """What the routes of dictionaries and examples share: what was not changed is not sent again."""

    kind: Kind

    def send_unless_known(self, value: object, etag: str) -> None:
        """Send JSON with a tag, or only say that it is what the client has already."""
        self.set_header("ETag", etag)
        # To be asked about each time; what a caller reads may change with its tenant.
        self.set_header("Cache-Control", "private, no-cache")
        known = [one.strip().removeprefix("W/") for one in self.request.headers.get("If-None-Match", "").split(",")]
        if etag in known:
            self.set_status(304)
            self.finish()
        else:
            self.reply(value)

    async def share(self, read: Callable[[bytes], NewText]) -> None:
        """Keep what was sent."""
        sent = await asyncio.get_running_loop().run_in_executor(None, read, self.body)
        kept = await self.app.shared.put(self.asker, self.kind, sent)
        await self.app.runtime.note(f"shared the {self.kind} {kept.name}", self.asker.name, kept.tenant)
        self.reply(_shown(kept), status=201)

    async def remove(self, name: str) -> None:
        """Delete one of a tenant."""
        of = await self.app.shared.remove(self.asker, self.kind, name, self.get_query_argument("tenant", None))
        await self.app.runtime.note(f"deleted the {self.kind} {name}", self.asker.name, of)
        self.reply({"deleted": name})


class AllDictionaries(SharedTextHandler):
    """``dictionaries``."""

    kind, takes_large_bodies = "dictionary", True

    @needs_scope("documents:read")
    @described(DictionariesReply)
    async def get(self) -> None:
        """The dictionaries that describe your data: your group's, and those for everyone; with an ``ETag``."""
        found = await self.app.shared.all(self.asker, self.kind)
        self.send_unless_known({"dictionaries": [_shown(one) for one in found]}, etag_of(found))

    @needs_scope("documents:write")
    @described(SharedRow, status=201)
    async def post(self) -> None:
        """Share a dictionary with your group: its ``name`` and ``text``; one of that name is replaced.

        An administrator names another ``tenant``, or an empty one for everyone. ``days`` says when it is deleted.
        """
        await self.share(read_dictionary)


class OneDictionary(SharedTextHandler):
    """``dictionaries/{name}``."""

    kind = "dictionary"

    @needs_scope("documents:read")
    @described(SharedWithText, TENANT)
    async def get(self, name: str) -> None:
        """A dictionary with its ``text`` and an ``ETag``; of two of one name, that of ``?tenant=``."""
        found = await self.app.shared.one(self.asker, self.kind, name, self.get_query_argument("tenant", None))
        self.send_unless_known(_shown(found) | {"text": found.text}, etag_of([found]))

    @needs_scope("documents:write")
    @described(DeletedDocument, TENANT)
    async def delete(self, name: str) -> None:
        """Delete a dictionary of your group, or of ``?tenant=``."""
        await self.remove(name)


class AllExamples(SharedTextHandler):
    """``examples``."""

    kind = "example"

    @needs_scope("documents:read")
    @described(ExamplesReply)
    async def get(self) -> None:
        """Questions with the SQL that answers them: your group's, and those for everyone; with an ``ETag``."""
        found = await self.app.shared.all(self.asker, self.kind, whole=True)
        pairs = zip(found, examples_of(found), strict=True)
        examples = [_shown(one) | msgspec.to_builtins(example) for one, example in pairs]
        self.send_unless_known({"examples": examples}, etag_of(found))

    @needs_scope("documents:write")
    @described(SharedRow, status=201)
    async def post(self) -> None:
        """Promote a question and its ``sql`` to your group's examples; the same question is replaced.

        ``dialect`` is what it is written in. An administrator names another ``tenant``, or an empty one for everyone.
        """
        await self.share(read_example)


class OneExample(SharedTextHandler):
    """``examples/{name}``."""

    kind = "example"

    @needs_scope("documents:write")
    @described(DeletedDocument, TENANT)
    async def delete(self, name: str) -> None:
        """Delete an example of your group, or of ``?tenant=``."""
        await self.remove(name)


def _shown(shared: SharedDocument | SharedText) -> dict[str, Any]:
    own = ("passages", "model") if isinstance(shared, SharedDocument) else ("digest",)
    fields = {name: getattr(shared, name) for name in ("name", "tenant", "bytes", *own)}
    expires = None if shared.expires is None else _date(shared.expires)
    return {**fields, "added": _date(shared.added), "expires": expires}


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
