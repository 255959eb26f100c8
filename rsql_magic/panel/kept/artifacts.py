"""Artifacts: the rows, queries, scripts, charts, pictures and study sets of answers, sealed beside them."""

# A file is sealed in pieces of a megabyte, each bound to its artifact and its number, so that none can be left out,
# doubled or moved without being noticed, and a large one never stands in memory twice. Of a file that another machine
# made only what a list shows is here, until somebody opens it (`copies/files.py`).

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from rsql_magic.errors import BadInput
from rsql_magic.panel.kept.copies import KnownCopies
from rsql_magic.panel.kept.sealing import SealBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from rsql_magic.panel.kept.store import ConversationStore

KINDS = {
    "table": "rows",
    "sql": "query",
    "script": "script",
    "chart": "chart (Vega-Lite)",
    "picture": "picture",
    "study": "study set",
    "report": "report",
}
"""The kinds of artifacts, and what a list calls each. The gateway takes the same ones (`FILE_KINDS`)."""

PIECE = 1_000_000  # bytes
_DAY = 86_400.0
# What goes with its conversation alone: a study set has days on which its items come again.
_STAYS = "(pinned OR id IN (SELECT artifact FROM progress))"


def in_words(size: float) -> str:
    """A number of bytes for a person.

    Example:
        >>> in_words(999), in_words(1_540), in_words(512e6)
        ('999 bytes', '1.5 kB', '512 MB')
    """
    for unit, step in (("MB", 1e6), ("kB", 1e3)):
        if size >= step:
            return f"{size / step:,.1f}".removesuffix(".0") + f" {unit}"
    return f"{size:.0f} bytes"


class CutQuery(msgspec.Struct, frozen=True):
    """The query of a file that holds the first of its rows only, to have it run again for all of them."""

    sql: str
    dialect: str  # sqlglot's
    connection: str  # as one would name it; empty for JupySQL's
    database: str  # what told its database from others; empty for one that ended with the session


@dataclass(frozen=True)
class NewArtifact:
    """What an answer made; ``content`` gives its bytes, on the thread that writes."""

    id: str
    pair: str  # the id of the question and answer that made it
    kind: str  # one of `KINDS`
    name: str  # as a file is called
    media: str
    content: Callable[[], bytes]
    count: str = ""  # how many rows a table has, and whether there were more
    query: CutQuery | None = None  # where there were more


@dataclass(frozen=True)
class Artifact:
    """What a list shows of one."""

    id: str
    conversation: str
    pair: str
    kind: str
    name: str
    media: str
    digest: str  # SHA-256 of its bytes, in hexadecimal
    bytes: int
    made: float  # Unix time
    pinned: bool
    count: str = ""  # how many rows a table has, and whether there were more
    here: bool = True  # whether its bytes are here, or at the gateway
    query: CutQuery | None = None  # of rows of this machine that were cut


class ArtifactStore:
    """The artifacts in the file of a conversation store.

    Args:
        store: The conversation store.
        fetch: Gives the bytes of one that is not here.
        most_bytes: What all together may have.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rsql_magic.panel.kept.store import ConversationStore, Head
        >>> store = ConversationStore(Path(tempfile.mkdtemp()))
        >>> store.write(store.notebook("~/delays.ipynb"), Head("c1", "", "Delays"))
        >>> artifacts = ArtifactStore(store)
        >>> artifacts.put("c1", NewArtifact("a1", "p1", "sql", "rows.sql", "text/plain", lambda: b"SELECT 1"), 10**6)
        ''
        >>> [(one.name, one.bytes) for one in artifacts.listed("c1")], artifacts.content("a1")
        ([('rows.sql', 8)], b'SELECT 1')
        >>> store.close()
    """

    def __init__(
        self,
        store: ConversationStore,
        fetch: Callable[[Artifact], bytes] | None = None,
        most_bytes: float = math.inf,
    ) -> None:
        self._store, self._seal, self._fetch, self._most = store, store.seal, fetch, most_bytes

    def put(self, conversation: str, new: NewArtifact, most_bytes: int) -> str:
        """Keep one, in the place of one of its id.

        The oldest go where all together would have more than ``most_bytes``, but what stays.

        Returns:
            Why it is not kept; empty where it is.
        """
        content = new.content()
        size = len(content)
        head: dict[str, Any] = {
            "pair": new.pair,
            "kind": new.kind,
            "name": new.name,
            "media": new.media,
            "count": new.count,
        }
        head |= {"query": new.query} if new.query else {}
        head["digest"] = hashlib.sha256(content).hexdigest()
        sealed, before = self._sealed(new.id, content), self.copies(new.id)
        with self._store.transaction() as db:
            if not db.execute("SELECT 1 FROM conversation WHERE id = ?", [conversation]).fetchone():
                return "its conversation was deleted"
            for place, path in filter(all, before.items()):
                KnownCopies(self._store).file_due(db, self.one(new.id), place, path)
            db.execute("DELETE FROM artifact WHERE id = ?", [new.id])
            sums = "coalesce(sum(bytes), 0), coalesce(sum(bytes * pinned), 0)"
            [[stay, pinned]] = db.execute(f"SELECT {sums} FROM artifact WHERE {_STAYS}").fetchall()  # noqa: S608 - constants
            if stay + size > most_bytes:
                taken = f", of which pinned ones take {in_words(pinned)}" if pinned else ""
                most = f"all files together may have {in_words(most_bytes)} (Rsql.artifact_mb)"
                return f"{new.name} has {in_words(size)}, and {most}{taken}"
            self._make_room(db.execute, most_bytes - size)
            row = [new.id, conversation, self._head(new.id, head), size, self._store.now()]
            db.execute("INSERT INTO artifact VALUES (?, ?, ?, ?, ?, 0)", row)
            db.executemany("INSERT INTO piece VALUES (?, ?, ?)", sealed)
        return ""

    def _head(self, name: str, head: dict[str, Any]) -> bytes:
        return self._seal.seal(msgspec.json.encode(head), f"artifact {name}")

    def _sealed(self, name: str, content: bytes) -> list[tuple[str, int, bytes]]:
        pieces = [content[at : at + PIECE] for at in range(0, len(content), PIECE)]
        count = len(pieces)
        return [(name, n, self._seal.seal(each, f"piece {name} {n} of {count}")) for n, each in enumerate(pieces)]

    # Those of other machines.

    def expect(self, one: Artifact) -> None:
        """Note one whose bytes are at the gateway, in a conversation that is here."""
        head = {name: getattr(one, name) for name in ("pair", "kind", "name", "media", "digest", "count")}
        row = [one.id, one.conversation, self._head(one.id, head | {"size": one.bytes}), one.made]
        with self._store.transaction() as db:
            if db.execute("SELECT 1 FROM conversation WHERE id = ?", [one.conversation]).fetchone():
                db.execute("INSERT OR IGNORE INTO artifact VALUES (?, ?, ?, 0, ?, 0)", row)

    def _brought(self, one: Artifact) -> bytes:
        if self._fetch is None:
            raise BadInput("This file is at the gateway.", hint="Open it where the magics are loaded.")
        content = self._fetch(one)
        if hashlib.sha256(content).hexdigest() != one.digest:
            raise BadInput("This file arrived damaged.", hint="Try again.")
        head = {name: getattr(one, name) for name in ("pair", "kind", "name", "media", "digest", "count")}
        with self._store.transaction() as db:
            if self.held + len(content) <= self._most:  # nothing that was made here makes room for it
                changed = "UPDATE artifact SET head = ?, bytes = ? WHERE id = ? AND bytes = 0"
                if db.execute(changed, [self._head(one.id, head), len(content), one.id]).rowcount:
                    db.executemany("INSERT INTO piece VALUES (?, ?, ?)", self._sealed(one.id, content))
        return content

    def copied(self, one: Artifact, path: str, place: str) -> None:
        """Note where at a gateway a copy of one is; where it was deleted meanwhile, that is to be deleted.

        The ``path`` is empty while a copy is on its way, which may arrive though no reply does.
        """
        mark = self._seal.mark(f"file {one.id} {place}")
        head = self._seal.seal(msgspec.json.encode({"path": path, "place": place}), f"file {mark.hex()}")
        with self._store.transaction() as db:
            if db.execute("SELECT 1 FROM artifact WHERE id = ?", [one.id]).fetchone():
                db.execute("INSERT OR REPLACE INTO file_copy VALUES (?, ?, ?)", [one.id, mark, head])
            else:
                KnownCopies(self._store).file_due(db, one, place)

    def uncopied(self, one: Artifact, place: str, path: str = "") -> None:
        """Note that a gateway has no copy of one; ``path`` is where one is that is to be deleted."""
        with self._store.transaction() as db:
            mark = self._seal.mark(f"file {one.id} {place}")
            db.execute("DELETE FROM file_copy WHERE artifact = ? AND mark = ?", [one.id, mark])
            if path:
                KnownCopies(self._store).file_due(db, one, place, path)

    def copies(self, name: str) -> dict[str, str]:
        """Where copies of one are: the path, by gateway; it is empty where none is known to have arrived."""
        found = dict[str, str]()
        for mark, head in self._store.rows("SELECT mark, head FROM file_copy WHERE artifact = ?", [name]):
            with suppress(SealBroken):
                known = msgspec.json.decode(self._seal.open(head, f"file {bytes(mark).hex()}"))
                found[known["place"]] = known["path"]
        return found

    def lost(self, name: str) -> None:
        """Note that one whose bytes are not here is at the gateway no more."""
        with self._store.transaction() as db:
            db.execute(f"DELETE FROM artifact WHERE id = ? AND NOT {_STAYS}", [name])  # noqa: S608 - constants

    @property
    def held(self) -> int:
        """The bytes that all together have here."""
        return int(self._store.rows("SELECT coalesce(sum(bytes), 0) FROM artifact")[0][0])

    @staticmethod
    def _make_room(execute: Callable[..., Sequence[tuple[int, ...]] | object], most: int) -> None:
        # The newest that fit stay: the running sum counts from what stays anyway and the newest.
        execute(
            "DELETE FROM artifact WHERE id IN (SELECT id FROM (SELECT id, stays, sum(bytes) OVER"  # noqa: S608 - constants
            " (ORDER BY stays DESC, made DESC, id) AS together FROM"
            f" (SELECT id, bytes, made, {_STAYS} AS stays FROM artifact)) WHERE NOT stays AND together > ?)",
            [most],
        )

    def listed(self, conversation: str | None = None) -> list[Artifact]:
        """The artifacts of a conversation, or of all: the pinned first, then the newest."""
        where, given = ("", []) if conversation is None else ("WHERE conversation = ?", [conversation])
        query = "SELECT id, conversation, head, bytes, made, pinned FROM artifact"
        rows = self._store.rows(f"{query} {where} ORDER BY pinned DESC, made DESC, id", given)
        return [self._artifact(row) for row in rows]

    def one(self, name: str) -> Artifact:
        """The artifact of an id.

        Raises:
            BadInput: There is none.
        """
        query = "SELECT id, conversation, head, bytes, made, pinned FROM artifact WHERE id = ?"
        if not (found := self._store.rows(query, [name])):
            hint = "It was deleted, was too old, or made room for newer ones. Ask again, and pin what is to stay."
            raise BadInput("This file is gone.", hint=hint)
        return self._artifact(found[0])

    def _artifact(self, row: Sequence[Any]) -> Artifact:
        name, conversation, head, size, made, pinned = row
        try:
            known = msgspec.json.decode(self._seal.open(head, f"artifact {name}"))
        except SealBroken:
            known = dict.fromkeys(("pair", "kind", "media", "digest"), "") | {"name": "(cannot be read)"}
        here, size = "size" not in known, known.pop("size", size)
        known["query"] = msgspec.convert(query, CutQuery) if (query := known.get("query")) else None
        return Artifact(name, conversation, **known, bytes=size, made=made, pinned=bool(pinned), here=here)

    def pieces(self, name: str, first: int = 0) -> Iterator[bytes]:
        """The bytes of one, `PIECE` at a time, from a piece on; fetched where they are not here.

        Raises:
            BadInput: There is none, it is damaged, or cannot be fetched.
        """
        one = self.one(name)
        if not one.here:
            content = self._brought(one)
            yield from (content[at : at + PIECE] for at in range(first * PIECE, len(content), PIECE))
            return
        count = -(-one.bytes // PIECE)
        for number in range(first, count):
            rows = self._store.rows("SELECT body FROM piece WHERE artifact = ? AND number = ?", [name, number])
            yield self._seal.open(rows[0][0] if rows else b"", f"piece {name} {number} of {count}")

    def content(self, name: str) -> bytes:
        """All bytes of one, as they were kept."""
        return b"".join(self.pieces(name))

    def pin(self, name: str, *, on: bool) -> None:
        """Keep one for as long as its conversation, or no longer."""
        self.one(name)
        with self._store.transaction() as db:
            db.execute("UPDATE artifact SET pinned = ? WHERE id = ?", [on, name])

    def delete(self, name: str) -> None:
        """Delete one; its copies become due."""
        self._delete([self.one(name)], "")

    def _delete(self, gone: Sequence[Artifact], but: str) -> None:
        copies = {one.id: self.copies(one.id) for one in gone}
        with self._store.transaction() as db:
            for one in gone:
                if db.execute(f"DELETE FROM artifact WHERE id = ? {but}", [one.id]).rowcount:  # noqa: S608 - constants
                    for place in copies[one.id]:
                        KnownCopies(self._store).file_due(db, one, place)

    def drop_of(self, conversation: str, pairs: Collection[str]) -> None:
        """Delete those of answers that are gone or made anew, but what is pinned and study sets that were practised."""
        gone = [one for one in self.listed(conversation) if one.pair in pairs]
        self._delete(gone, f"AND NOT {_STAYS}")

    def expire(self, days: float) -> int:
        """Delete those that are older, but what is pinned and study sets that were practised; how many."""
        with self._store.transaction() as db:
            old = self._store.now() - days * _DAY
            return db.execute(f"DELETE FROM artifact WHERE NOT {_STAYS} AND made < ?", [old]).rowcount  # noqa: S608 - constants
