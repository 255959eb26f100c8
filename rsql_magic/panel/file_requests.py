"""Requests of a view about what answers made: list, open, download, pin and delete it."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.answers import KNOWN, NOT_YET, answer_of, question_of
from rsql_magic.display import safe_markdown
from rsql_magic.errors import BadInput
from rsql_magic.panel import outputs
from rsql_magic.panel.kept.artifacts import KINDS, PIECE
from rsql_magic.panel.kept.making import CSV, as_csv, of_all_rows
from rsql_magic.panel.kept.opening import as_code, language_of, value_of
from rsql_magic.panel.kept.progress import StudySets
from rsql_magic.text2sql import run_again

if TYPE_CHECKING:
    from rsql_magic.databases import Rows
    from rsql_magic.panel.chat_panel import ChatPanel
    from rsql_magic.panel.kept.artifacts import Artifact, ArtifactStore
    from rsql_magic.panel.kept.progress import KeptSet

_LONGEST_SHOWN = 200_000  # bytes of a text that is shown


class FileRequests:
    """Each method is a request of that name."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel

    @property
    def _artifacts(self) -> ArtifactStore:
        keeper = self._panel.threads.keeper
        if not keeper.writes:
            raise BadInput("No files are kept here.", hint="See %config Rsql.conversations.")
        return keeper.artifacts

    @property
    def _sets(self) -> StudySets:
        return StudySets(self._panel.threads.keeper)

    def files(self, *, thread: str) -> dict[str, Any]:
        """What the answers of a conversation made, the pinned first; why some are not kept, and what room there is."""
        threads = self._panel.threads
        found, keeper = threads.find(thread), threads.keeper
        if not keeper.writes:
            return {"files": [], "refused": "", "room": keeper.room, "keeps": False}
        keeper.flush(1.0)
        conversation = keeper.id_of(found)
        threads.copies.files.find(conversation)
        left_out = threads.copies.files.left_out.get(conversation, "")
        return {
            "files": [_listed(one) for one in self._artifacts.listed(conversation)],
            "refused": f"{keeper.refused} {left_out}".strip(),
            "room": keeper.room,
            "keeps": keeper.keeps_files,
        }

    def file(self, *, file: str, piece: int = 0, form: str = "") -> dict[str, Any]:
        """A piece of a file, in base64, as it is kept or, of rows, as ``csv``; ``pieces`` is how many there are."""
        one, piece = self._artifacts.one(file), max(0, int(piece))
        name, media, size = one.name, one.media, one.bytes
        if form == "csv" and one.kind == "table" and media != CSV:
            rows = as_csv(self._artifacts.content(file))
            name, media, size = f"{name.removesuffix('.parquet')}.csv", CSV, len(rows)
            body = rows[piece * PIECE : (piece + 1) * PIECE]
        else:
            body = next(self._artifacts.pieces(file, piece), b"")
        return {"name": name, "media": media, "pieces": -(-size // PIECE), "data": b64encode(body).decode("ascii")}

    def all_rows(self, *, thread: str, file: str) -> dict[str, Any]:
        """Run the query of rows that were cut again, and keep all of them as a file beside it."""
        panel, one, found = self._panel, self._artifacts.one(file), self._panel.threads.find(thread)
        if (query := one.query) is None:
            raise BadInput("This file has no query that can be run again.", hint="Ask the question again.")
        connections, settings = panel.assistant.connections, panel.assistant.settings

        def run() -> Rows:
            engine = connections.again(query.connection, panel.namespace)
            if engine.identity() != query.database:
                reason = f"{query.connection or 'JupySQL'} is a connection to another database now."
                raise BadInput(reason, hint="Connect it to the one that was asked, or ask again.")
            most, seconds = settings.file_rows, settings.query_timeout
            return run_again(query.sql, query.dialect, engine, max_rows=most, timeout=seconds)

        rows = panel.main_thread.call(
            run, waiting=lambda: panel.send({"push": "wait", "text": "waiting for the running cell"})
        )
        panel.threads.keeper.put(found, new := of_all_rows(one, rows))
        return {"file": new.id, "name": new.name, "count": rows.count}

    def load(self, *, file: str) -> dict[str, Any]:
        """Open a file: rows become a variable, text and pictures are shown."""
        one = self._artifacts.one(file)
        if one.kind == "table":
            frame = value_of(one, self._artifacts.content(file))
            return {"variable": outputs.kept(frame, self._panel.namespace), "count": one.count}
        if one.kind == "picture":
            return {"image": b64encode(self._artifacts.content(file)).decode("ascii"), "name": one.name}
        if one.kind == "study":
            return {"study": _asked(self._sets.of(one)), "name": one.name}
        content = self._artifacts.content(file)
        return {"text": content[:_LONGEST_SHOWN].decode("utf-8", "replace"), "name": one.name}

    def judge(self, *, file: str, item: int, known: bool) -> dict[str, Any]:
        """Note how an item of a study set went, by one's own word: when it comes again, and how the set stands."""
        kept = self._sets.of(self._artifacts.one(file))
        count = len(kept.sheet.items)
        if item not in range(count):
            raise BadInput("The study set has no item of this number.", hint="Open it again.")
        said = kept.progress.answer(item, KNOWN if known else NOT_YET, kept.progress.of(item).last)
        return {"said": said, "stands": kept.progress.stands(count)}

    def insertion(self, *, file: str) -> dict[str, Any]:
        """A file as cells: code as it is, a report as Markdown, and of all else code that opens it."""
        one = self._artifacts.one(file)
        if one.kind == "report":
            text = self._artifacts.content(file).decode("utf-8", "replace")
            return {"cells": [{"kind": "markdown", "source": safe_markdown(text)}]}
        if not (language := language_of(one)):
            return {"cells": [{"kind": "code", "source": as_code(one)}]}
        code = self._artifacts.content(file).decode("utf-8", "replace").rstrip("\n")
        connection = self._panel.assistant.connections.in_use(self._panel.namespace)
        cell = {"kind": "code", "source": outputs.as_cell(code, language, connection)}
        return {"cells": outputs.with_extensions([cell], self._panel.knows_magic)}

    def pin(self, *, file: str, on: bool) -> None:
        """Keep a file for as long as its conversation, or no longer."""
        self._artifacts.pin(file, on=bool(on))

    def drop(self, *, file: str) -> None:
        """Delete a file."""
        self._artifacts.delete(file)
        self._panel.threads.copies.remove_due(makes_room=True)


# A file as a view lists it; its query may name a connection with a password.
def _listed(one: Artifact) -> dict[str, Any]:
    told = {"query": one.query is not None, "label": KINDS.get(one.kind, "file"), "code": as_code(one)}
    return {**asdict(replace(one, query=None)), **told}


# A set as a view asks it: what is due first, and of each item how it was answered last.
def _asked(kept: KeptSet) -> dict[str, Any]:
    items, progress = kept.sheet.items, kept.progress
    asked = [
        {"item": n, "question": question_of(items[n]), "answer": answer_of(items[n])}
        | {"due": progress.is_due(n), "last": progress.of(n).last}
        for n in progress.order(len(items))
    ]
    return {"title": kept.sheet.title, "stands": progress.stands(len(items)), "items": asked}
