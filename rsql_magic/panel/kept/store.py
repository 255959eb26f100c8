"""The file of what lasts: conversations and what their answers made, for any number of kernels of one user."""

# Everything that a person wrote or a model answered is sealed (`sealing.py`). In the clear stand ids made by chance,
# times, sizes and numbers. Notebooks and cells are found by keyed hashes. In WAL mode readers and a writer do not wait
# for each other; where a file system has none, such as NFS, SQLite's rollback journal does, and they take turns.

from __future__ import annotations

import errno
import os
import socket
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rsql_magic.errors import BadInput
from rsql_magic.panel.kept.sealing import Seal, SealBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

FILE = "conversations.db"
_DAY = 86_400.0
_BUSY = 5.0  # seconds to wait for another kernel that writes
_PAGE, _PAGE_BYTES = 200, 6_000_000  # pairs, and bytes of them, that are read at once
_NO_ROOM = "The disk, or your share of it, is full: what is said is not kept."
# What SQLite says where a file may not grow, as with a quota: of the database, its log, and their shared memory.
_MAY_NOT_GROW = {f"SQLITE_IOERR_{what}" for what in ("WRITE", "TRUNCATE", "SHMOPEN", "SHMSIZE", "SHMMAP")}
_MAKE_ROOM = "Make room; it goes on by itself."
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS notebook (id INTEGER PRIMARY KEY AUTOINCREMENT, mark BLOB UNIQUE, head BLOB);
    CREATE TABLE IF NOT EXISTS cell (mark BLOB, notebook INTEGER, PRIMARY KEY (mark, notebook)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS conversation (
        id TEXT PRIMARY KEY, notebook INTEGER, shared INTEGER, head BLOB, pairs INTEGER, bytes INTEGER,
        begun REAL, changed REAL
    );
    CREATE INDEX IF NOT EXISTS conversation_changed ON conversation (changed, notebook);
    CREATE TABLE IF NOT EXISTS pair (
        place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE,
        conversation TEXT REFERENCES conversation ON DELETE CASCADE, writer TEXT, bytes INTEGER, body BLOB
    );
    CREATE TABLE IF NOT EXISTS artifact (
        id TEXT PRIMARY KEY, conversation TEXT REFERENCES conversation ON DELETE CASCADE, head BLOB, bytes INTEGER,
        made REAL, pinned INTEGER
    );
    CREATE INDEX IF NOT EXISTS artifact_conversation ON artifact (conversation, made);
    CREATE TABLE IF NOT EXISTS piece (
        artifact TEXT REFERENCES artifact ON DELETE CASCADE, number INTEGER, body BLOB, UNIQUE (artifact, number)
    );
    CREATE TABLE IF NOT EXISTS progress (
        artifact TEXT REFERENCES artifact ON DELETE CASCADE, item INTEGER, body BLOB, UNIQUE (artifact, item)
    );
    CREATE TABLE IF NOT EXISTS copy (
        mark BLOB PRIMARY KEY, conversation TEXT, head BLOB, changed REAL, due TEXT, since REAL
    );
    CREATE TABLE IF NOT EXISTS copy_state (mark BLOB PRIMARY KEY REFERENCES copy ON DELETE CASCADE, body BLOB);
    CREATE TABLE IF NOT EXISTS uncopied (
        conversation TEXT PRIMARY KEY REFERENCES conversation ON DELETE CASCADE, writes INTEGER
    );
    CREATE TABLE IF NOT EXISTS file_copy (
        artifact TEXT REFERENCES artifact ON DELETE CASCADE, mark BLOB, head BLOB, UNIQUE (artifact, mark)
    );
    CREATE INDEX IF NOT EXISTS pair_conversation ON pair (conversation, place, bytes);
"""
WRITE_PAIR = (
    "INSERT INTO pair (id, conversation, writer, bytes, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
    " writer = excluded.writer, bytes = excluded.bytes, body = excluded.body WHERE conversation = excluded.conversation"
)
# The copies of what is deleted, which are deleted at the gateway as soon as it answers (`copies/removing.py`).
_COPIES_DUE = "UPDATE copy SET due = 'copy', since = ?"


class NotebookGone(BadInput):
    """Everything was forgotten, and the notebook's number with it."""


@dataclass(frozen=True)
class Head:
    """What a list shows of a conversation."""

    id: str
    notebook: str  # the path, relative to the home folder where it is below it
    title: str
    shared: bool = False  # whether it is that of the notebook's cells
    pairs: int = 0
    bytes: int = 0  # of its questions and answers, as they are kept
    changed: float = 0.0  # Unix time of the last question or answer


@dataclass(frozen=True)
class NewPair:
    """A question and its answer to be written: the record is sealed on the way."""

    id: str
    body: bytes
    running: bool = False  # whether more of its answer is to come


@dataclass(frozen=True)
class KeptRecord:
    """A question and its answer as read; ``body`` is None where it cannot be."""

    id: str
    place: int
    body: bytes | None
    running_elsewhere: bool = False


class ConversationStore:
    """The file in a folder, made where there is none; methods block, and are for any thread.

    Args:
        folder: Where the file and its key are.
        clock: The Unix time.

    Raises:
        BadInput: It cannot be opened; the disk is full, the folder is read-only, or the key is another.

    Example:
        >>> import tempfile
        >>> store = ConversationStore(Path(tempfile.mkdtemp()))
        >>> store.write(store.notebook("~/delays.ipynb"), Head("c1", "", "Delays"), [NewPair("p1", b"{}")])
        >>> [(head.title, head.notebook, head.pairs) for head in store.heads()]
        [('Delays', '~/delays.ipynb', 1)]
        >>> store.close()
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path, self.now = folder / FILE, clock
        self._reading, self._writing = threading.RLock(), threading.RLock()
        with _told(self.path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.seal = Seal.at(self.path.with_suffix(".key"))
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._writer = self._opened()
            with suppress(sqlite3.OperationalError):  # a file system without shared memory keeps the journal it has
                self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("PRAGMA synchronous = NORMAL")
            self._writer.executescript(_SCHEMA)
            self._reader = self._opened()

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, timeout=_BUSY, check_same_thread=False)
        db.execute("PRAGMA foreign_keys = ON")  # what belongs to a conversation goes with it
        return db

    def close(self) -> None:
        """Close the file."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """The rows of a query."""
        with self._reading, _told(self.path):
            return self._reader.execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write what is done inside, or nothing of it."""
        with self._writing, _told(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise

    # Notebooks.

    def notebook(self, path: str, cells: Collection[str] = ()) -> int:
        """The number of the notebook at a path, a new one where it is not known.

        ``cells`` are ids of its cells. A notebook of which nothing is kept yet, and that has cells of one whose file is
        gone, is that one: it was renamed. A copy, whose original is still there, is a notebook of its own.
        """
        mark, marks = self.seal.mark(f"notebook {path}"), [self.seal.mark(f"cell {cell}") for cell in cells]
        with self.transaction() as db:
            known = db.execute("SELECT id FROM notebook WHERE mark = ?", [mark]).fetchone()
            is_used = known and db.execute("SELECT 1 FROM conversation WHERE notebook = ?", known).fetchone()
            renamed = None if is_used else self._renamed(db, marks)
            if renamed is not None:
                db.execute("DELETE FROM notebook WHERE mark = ?", [mark])
                self._name(db, renamed, path)
            number = renamed if renamed is not None else known and int(known[0])
            if number is None:
                number = int(db.execute("INSERT INTO notebook DEFAULT VALUES").lastrowid or 0)
                self._name(db, number, path)
            db.executemany("INSERT OR IGNORE INTO cell VALUES (?, ?)", [(each, number) for each in marks])
        return number

    # The notebook that has the first of these cells and whose file is gone.
    def _renamed(self, db: sqlite3.Connection, marks: Sequence[bytes]) -> int | None:
        found = (
            "SELECT id, head FROM notebook JOIN cell ON notebook.id = cell.notebook WHERE cell.mark = ?"
            " AND EXISTS (SELECT 1 FROM conversation c WHERE c.notebook = notebook.id) ORDER BY id DESC"
        )
        for mark in marks:
            for number, head in db.execute(found, [mark]).fetchall():
                if (before := self._path(number, head)) and not Path(before).expanduser().exists():
                    return int(number)
        return None

    def move(self, notebook: int, path: str) -> None:
        """Say that a notebook has another path now; what was kept for another one there goes with it."""
        with self.transaction() as db:
            mark = self.seal.mark(f"notebook {path}")
            for (other,) in db.execute(
                "SELECT id FROM notebook WHERE mark = ? AND id <> ?", [mark, notebook]
            ).fetchall():
                db.execute("UPDATE conversation SET notebook = ?, shared = 0 WHERE notebook = ?", [notebook, other])
                db.execute("UPDATE OR IGNORE cell SET notebook = ? WHERE notebook = ?", [notebook, other])
                db.execute("DELETE FROM notebook WHERE id = ?", [other])
            self._name(db, notebook, path)

    def _name(self, db: sqlite3.Connection, number: int, path: str) -> None:
        head = self.seal.seal(path.encode("utf-8", "replace"), f"notebook {number}")
        mark = self.seal.mark(f"notebook {path}")
        db.execute("UPDATE notebook SET mark = ?, head = ? WHERE id = ?", [mark, head, number])

    def _path(self, number: int, head: bytes | None) -> str:
        try:
            return self.seal.open(head, f"notebook {number}").decode() if head else ""
        except SealBroken:
            return ""

    # Reading.

    def heads(self, notebook: int | None = None, most: int = -1) -> list[Head]:
        """The conversations of a notebook, or of all, those that were changed last first."""
        paths = {number: self._path(number, head) for number, head in self.rows("SELECT id, head FROM notebook")}
        where, given = ("WHERE notebook = ?", [notebook]) if notebook is not None else ("", [])
        query = f"SELECT * FROM conversation {where} ORDER BY changed DESC, id LIMIT ?"  # noqa: S608 - constants
        return [self._head(row, paths.get(row[1], "")) for row in self.rows(query, [*given, most])]

    def head(self, conversation: str) -> Head | None:
        """One conversation; None where there is none of this id."""
        joined = "SELECT c.*, n.head FROM conversation c JOIN notebook n ON n.id = c.notebook WHERE c.id = ?"
        found = self.rows(joined, [conversation])
        return self._head(found[0][:-1], self._path(found[0][1], found[0][-1])) if found else None

    def owner(self, conversation: str) -> int | None:
        """The number of the notebook that a conversation belongs to."""
        found = self.rows("SELECT notebook FROM conversation WHERE id = ?", [conversation])
        return found[0][0] if found else None

    def _head(self, row: Sequence[Any], path: str) -> Head:
        number, _, shared, sealed, pairs, size, _, changed = row
        try:
            title = str(msgspec.json.decode(self.seal.open(sealed, f"head {number}"))["title"])
        except SealBroken:
            title = "(cannot be read: sealed by another key)"
        return Head(number, path, title, bool(shared), pairs, size, changed)

    def page(self, conversation: str, before: int | None = None) -> tuple[list[KeptRecord], int]:
        """The last pairs of a conversation, or those before a place, oldest first; and how many are before them."""
        query = "SELECT place, id, writer, body FROM pair WHERE conversation = ? AND place < ? ORDER BY place DESC"
        last = 1 << 62 if before is None else before
        found, size = list[KeptRecord](), 0
        with self._reading, _told(self.path):
            rows = self._reader.execute(query, [conversation, last])
            for place, number, writer, sealed in rows:
                if found and (len(found) == _PAGE or size + len(sealed) > _PAGE_BYTES):
                    break
                size += len(sealed)
                found.append(KeptRecord(number, place, self._body(number, sealed), _lives(writer)))
            rows.close()
        first = found[-1].place if found else last
        [[earlier]] = self.rows("SELECT count(*) FROM pair WHERE conversation = ? AND place < ?", [conversation, first])
        return found[::-1], int(earlier)

    def _body(self, number: str, sealed: bytes) -> bytes | None:
        try:
            return self.seal.open(sealed, f"pair {number}")
        except SealBroken:
            return None

    def bodies(self, conversation: str) -> Iterator[tuple[str, bytes]]:
        """The readable pairs of a conversation, the last first, a page at a time."""
        before, earlier = None, 1
        while earlier:
            records, earlier = self.page(conversation, before)
            if not records:
                return
            before = records[0].place
            yield from ((each.id, each.body) for each in reversed(records) if each.body is not None)

    # Writing.

    def write(
        self,
        notebook: int,
        head: Head,
        pairs: Sequence[NewPair] = (),
        gone: Sequence[str] = (),
        *,
        renames: bool = True,
    ) -> None:
        """Write a conversation's head and some of its pairs, each in place of that of its id; ``gone`` are deleted.

        One that is there keeps its title unless this ``renames`` it.
        """
        now, sealed = self.now(), sealed_head(self.seal, head.id, head.title)
        rows = [
            (each.id, head.id, _WRITER if each.running else "", len(body), body)
            for each in pairs
            for body in [self.seal.seal(each.body, f"pair {each.id}")]
        ]
        with self.transaction() as db:
            begin_conversation(db, notebook, head, sealed, now)
            if renames:
                db.execute("UPDATE conversation SET head = ? WHERE id = ?", [sealed, head.id])
            db.executemany(WRITE_PAIR, rows)
            db.executemany("DELETE FROM pair WHERE id = ? AND conversation = ?", [(each, head.id) for each in gone])
            if rows or gone:
                count_pairs(db, head.id, now)

    def rename(self, conversation: str, title: str) -> bool:
        """Give a conversation a title; whether there is one of this id."""
        sealed = sealed_head(self.seal, conversation, title)
        with self.transaction() as db:
            changed = db.execute("UPDATE conversation SET head = ? WHERE id = ?", [sealed, conversation])
            return changed.rowcount > 0

    def delete(self, conversation: str) -> bool:
        """Delete a conversation with all that its answers made; whether there was one. Its copies become due."""
        with self.transaction() as db:
            db.execute(f"{_COPIES_DUE} WHERE conversation = ?", [self.now(), conversation])
            return db.execute("DELETE FROM conversation WHERE id = ?", [conversation]).rowcount > 0

    def expire(self, days: float) -> int:
        """Delete conversations that had no question for so many days, and have no pinned file; how many."""
        pinned = "SELECT conversation FROM artifact WHERE pinned"
        with self.transaction() as db:
            old = f"DELETE FROM conversation WHERE changed < ? AND id NOT IN ({pinned})"  # noqa: S608 - constants
            gone = db.execute(old, [self.now() - days * _DAY]).rowcount
            if gone:  # whoever goes on with one has not taken out what was said in it
                known = "SELECT mark FROM copy WHERE conversation NOT IN (SELECT id FROM conversation)"
                db.execute(f"DELETE FROM copy_state WHERE mark IN ({known})")  # noqa: S608 - constants
            return gone

    def forget(self) -> int:
        """Delete everything, and give the room back; how many conversations there were. Their copies become due."""
        with self.transaction() as db:
            db.execute(_COPIES_DUE, [self.now()])
            gone = db.execute("DELETE FROM conversation").rowcount
            for table in ("notebook", "cell"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
        with self._writing, _told(self.path), suppress(sqlite3.OperationalError):  # another kernel may be reading
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    @property
    def bytes(self) -> int:
        """What the file takes on disk."""
        [[pages, free, size]] = self.rows("SELECT * FROM pragma_page_count, pragma_freelist_count, pragma_page_size")
        return int((pages - free) * size)


def sealed_head(seal: Seal, conversation: str, title: str) -> bytes:
    """What a list shows of a conversation, sealed."""
    return seal.seal(msgspec.json.encode({"title": _utf8(title)}), f"head {conversation}")


def begin_conversation(db: sqlite3.Connection, notebook: int, head: Head, sealed: bytes, now: float) -> None:
    """Write a conversation without pairs, in a transaction, where there is none of its id.

    Raises:
        NotebookGone: Its notebook was forgotten.
    """
    if not db.execute("SELECT 1 FROM notebook WHERE id = ?", [notebook]).fetchone():
        raise NotebookGone("Everything that was kept is deleted.")
    row = [head.id, notebook, head.shared, sealed, now, now]
    db.execute("INSERT OR IGNORE INTO conversation VALUES (?, ?, ?, ?, 0, 0, ?, ?)", row)


def count_pairs(db: sqlite3.Connection, conversation: str, now: float) -> None:
    """Note, in a transaction, how many pairs a conversation has and that it was changed at a Unix time."""
    db.execute(
        "UPDATE conversation SET changed = max(changed, ?2), (pairs, bytes) ="
        " (SELECT count(*), coalesce(sum(bytes), 0) FROM pair WHERE conversation = ?1) WHERE id = ?1",
        [conversation, now],
    )


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


# Who writes: an answer that is marked as running, and whose kernel is gone, was interrupted.
_WRITER = f"{socket.gethostname()} {os.getpid()}"


def _lives(writer: str) -> bool:
    if not writer:
        return False
    host, _, process = writer.rpartition(" ")
    if writer == _WRITER or host != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(int(process), 0)
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say in our words why the file cannot be used."""
    try:
        yield
    except sqlite3.Error as error:
        word = str(error)
        if "full" in word:
            raise BadInput("The disk is full: what is said is not kept.", hint=_MAKE_ROOM) from None
        if getattr(error, "sqlite_errorname", "") in _MAY_NOT_GROW:
            raise BadInput(_NO_ROOM, hint=_MAKE_ROOM) from None
        if "locked" in word or "busy" in word:
            raise BadInput("Another kernel is writing conversations for long.", hint="Try again.") from None
        hint = f"Look at {path}, or move it away to begin anew."
        raise BadInput(f"Conversations cannot be kept ({word}).", hint=hint) from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise BadInput(_NO_ROOM, hint=_MAKE_ROOM) from None
        reason = f"Conversations cannot be kept ({error.strerror or error})."
        raise BadInput(reason, hint=f"See that {path.parent} can be written.") from None
