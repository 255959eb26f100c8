"""Which conversations have copies at which gateway, and which of these are still to be deleted there."""

# A row is written before its copy is sent and goes when the copy is gone, so that none is forgotten, whatever happens
# in between. It outlives its conversation: what is deleted here while the gateway is away is deleted there later, by
# another kernel if need be. The address of a gateway and the ids there, one of which follows from a path, are sealed.

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import msgspec

from rsql_magic.panel.kept.sealing import SealBroken

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from rsql_magic.panel.kept.artifacts import Artifact
    from rsql_magic.panel.kept.store import ConversationStore

# What is to be done: take the link back; take it back and delete what was copied for it alone; delete the copy.
Due = Literal["", "link", "linked copy", "copy"]


@dataclass(frozen=True)
class KnownCopy:
    """A copy of a conversation, or, where ``there`` is empty, all that the caller has at a gateway."""

    mark: bytes
    conversation: str  # its id here
    there: str  # its id at the gateway; of a file its path, or what stands for all copies of it (`of_file`)
    place: str  # which gateway (`place_of`); empty for the one that is reached next
    changed: float  # when it was changed last, as the gateway says; 0 where nothing is known to have arrived
    due: Due
    since: float  # Unix time of that being due


class CopyState(msgspec.Struct, frozen=True):
    """What a conversation and its copy had in common when they met last; digests are of `merging.digest`."""

    title: str = ""  # its digest
    pairs: dict[str, str] = {}  # the digests of the pairs in it, by their ids here
    gone: tuple[tuple[str, str], ...] = ()  # ids and digests of pairs that were taken out, the last ones last


class KnownCopies:
    """The copies that the file of a conversation store knows of.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from rsql_magic.panel.kept.store import ConversationStore, Head
        >>> store = ConversationStore(Path(tempfile.mkdtemp()))
        >>> store.write(store.notebook("~/delays.ipynb"), Head("c1", "", "Delays"))
        >>> copies = KnownCopies(store)
        >>> copies.sending("c1", "c1", "https://hub/rsql/")
        >>> copies.arrived("c1", "c1", "https://hub/rsql/", 7.0)
        >>> store.delete("c1")
        True
        >>> [(copy.there, copy.changed, copy.due) for copy in copies.due()]
        [('c1', 7.0, 'copy')]
        >>> copies.done(copies.due()[0])
        >>> copies.due()
        []
        >>> store.close()
    """

    def __init__(self, store: ConversationStore) -> None:
        self._store, self._seal = store, store.seal

    def sending(self, conversation: str, there: str, place: str) -> None:
        """Note that a copy is about to be sent."""
        with self._store.transaction() as db:
            self._add(db, conversation, there, place)

    def arrived(
        self, conversation: str, there: str, place: str, changed: float, state: CopyState | None = None
    ) -> None:
        """Note that a copy is there, and its state; where its conversation was deleted meanwhile, it becomes due."""
        mark = self._mark(there, place)
        with self._store.transaction() as db:
            self._add(db, conversation, there, place)
            db.execute("UPDATE copy SET changed = ? WHERE mark = ?", [changed, mark])
            if state is not None:
                sealed = self._seal.seal(msgspec.json.encode(state), f"state {mark.hex()}")
                db.execute("INSERT OR REPLACE INTO copy_state VALUES (?, ?)", [mark, sealed])
            if not db.execute("SELECT 1 FROM conversation WHERE id = ?", [conversation]).fetchone():
                db.execute("UPDATE copy SET due = 'copy', since = ? WHERE mark = ?", [self._store.now(), mark])

    def not_ours(self, there: str, place: str) -> None:
        """Note that what is at a gateway under an id, of which nothing has arrived, is another conversation."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM copy WHERE mark = ? AND changed = 0 AND due = ''", [self._mark(there, place)])

    def state(self, there: str, place: str) -> CopyState | None:
        """The state of a copy; None where it is not known, or cannot be read."""
        mark = self._mark(there, place)
        for [body] in self._store.rows("SELECT body FROM copy_state WHERE mark = ?", [mark]):
            with suppress(SealBroken, msgspec.DecodeError):
                return msgspec.json.decode(self._seal.open(body, f"state {mark.hex()}"), type=CopyState)
        return None

    def of(self, there: str, place: str) -> KnownCopy | None:
        """The copy of an id at a gateway, where it is known."""
        found = self._rows("WHERE mark = ?", [self._mark(there, place)])
        return found[0] if found else None

    def of_conversation(self, conversation: str, place: str) -> KnownCopy | None:
        """The copy of a conversation at a gateway that is not to be deleted; the last changed of several."""
        found = self._rows("WHERE conversation = ? AND due <> 'copy' ORDER BY changed DESC", [conversation])
        return next((copy for copy in found if copy.place == place), None)

    # What is still to be copied, by this session or a later one.

    def note(self, conversation: str) -> None:
        """Note that a conversation was written, and is to be copied."""
        write = (
            "INSERT INTO uncopied SELECT id, 1 FROM conversation WHERE id = ?"
            " ON CONFLICT (conversation) DO UPDATE SET writes = writes + 1"
        )
        with self._store.transaction() as db:
            db.execute(write, [conversation])

    def noted(self) -> dict[str, int]:
        """The conversations that are to be copied, and how often each was written."""
        return dict(self._store.rows("SELECT conversation, writes FROM uncopied"))

    def copied(self, conversation: str, writes: int) -> None:
        """Note that a conversation was copied as it was after so many writes."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM uncopied WHERE conversation = ? AND writes = ?", [conversation, writes])

    # Taking away.

    def all_due(self, place: str) -> None:
        """Note that all that the caller has at a gateway now is to be deleted."""
        with self._store.transaction() as db:
            self._add(db, "", "", place)
            db.execute("UPDATE copy SET due = 'copy', since = ? WHERE conversation = ''", [self._store.now()])

    def file_due(self, db: sqlite3.Connection, one: Artifact, place: str, path: str = "") -> None:
        """Note, in a transaction, that a file is to be deleted: of all its copies there the one at a path, or all."""
        there = path or of_file(one.id)
        self._add(db, one.conversation, there, place)
        row = [self._store.now(), self._mark(there, place)]
        db.execute("UPDATE copy SET due = 'copy', since = ? WHERE mark = ?", row)

    def become_due(self, due: Due, conversation: str | None = None) -> None:
        """Note what is to be done with the copies of a conversation, or with all, unless they are to be deleted."""
        where, given = ("", []) if conversation is None else ("AND conversation = ?", [conversation])
        with self._store.transaction() as db:
            update = f"UPDATE copy SET due = ?, since = ? WHERE due <> 'copy' {where}"  # noqa: S608 - constants
            db.execute(update, [due, self._store.now(), *given])

    def done(self, copy: KnownCopy) -> None:
        """Note that what was due is done; a copy whose link alone was taken back is still known."""
        change = "UPDATE copy SET due = ''" if copy.due == "link" else "DELETE FROM copy"
        with self._store.transaction() as db:
            db.execute(f"{change} WHERE mark = ? AND due = ?", [copy.mark, copy.due])

    @property
    def any_due(self) -> bool:
        """Whether something is still to be done."""
        [[found]] = self._store.rows("SELECT EXISTS (SELECT 1 FROM copy WHERE due <> '')")
        return bool(found)

    def due(self) -> list[KnownCopy]:
        """What is still to be done, all that is at a gateway first."""
        return self._rows("WHERE due <> '' ORDER BY conversation <> '', since")

    def all(self) -> list[KnownCopy]:
        """The copies of all conversations."""
        return self._rows("WHERE conversation <> ''")

    def at(self, place: str) -> dict[str, KnownCopy]:
        """The copies at a gateway by their ids there."""
        return {copy.there: copy for copy in self._rows() if copy.place == place}

    def _add(self, db: sqlite3.Connection, conversation: str, there: str, place: str) -> None:
        mark = self._mark(there, place)
        head = self._seal.seal(msgspec.json.encode({"there": there, "place": place}), f"copy {mark.hex()}")
        row = [mark, conversation, head, 0.0, "", 0.0]
        # One whose conversation is gone here by its age may be that of another now.
        taken = " ON CONFLICT (mark) DO UPDATE SET conversation = excluded.conversation WHERE due = ''"
        db.execute(f"INSERT INTO copy VALUES (?, ?, ?, ?, ?, ?){taken}", row)  # noqa: S608 - constants

    def _mark(self, there: str, place: str) -> bytes:
        return self._seal.mark(f"copy {place} {there}")

    def _rows(self, rest: str = "", given: Sequence[object] = ()) -> list[KnownCopy]:
        found = list[KnownCopy]()
        query = f"SELECT mark, conversation, head, changed, due, since FROM copy {rest}"  # noqa: S608 - constants
        for mark, conversation, head, changed, due, since in self._store.rows(query, given):
            try:
                known = msgspec.json.decode(self._seal.open(head, f"copy {bytes(mark).hex()}"))
            except SealBroken:  # by another key, whose texts nobody can read any more
                continue
            found.append(KnownCopy(mark, conversation, known["there"], known["place"], changed, due, since))
        return found


OF_FILE = "file/"


def of_file(name: str) -> str:
    """What stands for all copies of a file at a gateway, also those of which no reply has come.

    Example:
        >>> of_file("0a1b")
        'file/0a1b'
    """
    return f"{OF_FILE}{name}"


def place_of(url: str) -> str:
    """A gateway's address as it is known again: without a password, and on this machine without the port.

    Example:
        >>> place_of("http://127.0.0.1:38211/rsql/"), place_of("https://ada:pw@hub.example:8443/services/rsql/")
        ('http://127.0.0.1/rsql/', 'https://hub.example:8443/services/rsql/')
    """
    address = urlsplit(url)
    host = address.hostname or ""
    is_here = host in {"127.0.0.1", "localhost", "::1"}
    port = "" if address.port is None or is_here else f":{address.port}"
    return f"{address.scheme}://{host}{port}{address.path}"
