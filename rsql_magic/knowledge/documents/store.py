"""The documents beside a notebook: one SQLite file, in which everything is added or removed as a whole."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput
from rsql_magic.knowledge.documents.passages import Passage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rsql_magic.knowledge.documents.sources import Document

_SCHEMA = """
CREATE TABLE document (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, origin TEXT NOT NULL, kind TEXT NOT NULL, mark TEXT NOT NULL,
  passages INTEGER NOT NULL, added REAL NOT NULL);
CREATE TABLE passage (
  id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES document ON DELETE CASCADE, path TEXT NOT NULL,
  part TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, text TEXT NOT NULL, headed TEXT NOT NULL,
  terms TEXT NOT NULL,
  vector BLOB, model TEXT);
CREATE INDEX passage_document ON passage (document);
CREATE TABLE stamp (content TEXT NOT NULL);
INSERT INTO stamp VALUES ('');
PRAGMA user_version = 1;
"""
_JOINT = "\x1f"  # between the headings of a path


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it is kept."""

    id: int
    name: str
    origin: str  # path, address or help topic
    kind: str
    mark: str
    passages: int
    added: float  # seconds since 1970
    owner: str = ""  # the group that shares it through the gateway; empty for the notebook's own

    @property
    def is_file(self) -> bool:
        """Whether it was read from a file, which may have changed."""
        return not self.origin.startswith(("http://", "https://", "?", "python:"))

    def is_called(self, wanted: str) -> bool:
        """Whether a name means it: its own, that of a folder or package around it, or a pattern."""
        wanted = wanted.removeprefix("./").rstrip("/")
        within = self.name.startswith((f"{wanted}/", f"{wanted}::"))
        return self.name == wanted or within or (bool(set("*?[") & set(wanted)) and fnmatch(self.name, wanted))


@dataclass(frozen=True)
class DocumentStore:
    """The file; it is made when something is added."""

    path: Path

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection within a transaction; what fails leaves everything as it was."""
        try:
            if write:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=10.0, isolation_level=None)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        connection.execute(statement)
                elif version > 1:
                    hint = "Install the newest rsql, or add the documents to another folder."
                    raise BadInput(f"{self.path} was written by a newer version.", hint=hint)
                yield connection
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as problem:
            raise self._trouble(problem) from None

    def _trouble(self, problem: Exception) -> BadInput:
        said = str(getattr(problem, "strerror", None) or problem)
        if "full" in said or "No space" in said:
            hint = "Make room, and do it again; what was there before is still there."
            return BadInput(f"There is no room left for {self.path}.", hint=hint)
        if isinstance(problem, sqlite3.DatabaseError) and ("malformed" in said or "not a database" in said):
            hint = "Remove it, and add the documents anew."
            return BadInput(f"{self.path} is damaged.", hint=hint)
        return BadInput(f"{self.path} cannot be used: {said}.", hint="Check its folder, and whether it may be written.")

    def put(self, documents: Iterable[tuple[Document, Sequence[tuple[str, str]]]], *, now: float) -> list[Stored]:
        """Add documents in place of those of the same origin, all or none."""
        # Each comes with the terms of its passages' headings and texts.
        kept = []
        with self._open(write=True) as connection:
            for document, terms in documents:
                connection.execute("DELETE FROM document WHERE origin = ?", (document.origin,))
                name = _free_name(connection, document)
                row = (name, document.origin, document.kind, document.mark, len(document.passages), now)
                insert = "INSERT INTO document (name, origin, kind, mark, passages, added) VALUES (?, ?, ?, ?, ?, ?)"
                number = int(connection.execute(insert, row).lastrowid or 0)
                rows = (
                    (number, _JOINT.join(one.path), one.part, one.first, one.last, one.text, *said)
                    for one, said in zip(document.passages, terms, strict=True)
                )
                connection.executemany(
                    "INSERT INTO passage (document, path, part, first, last, text, headed, terms)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    rows,
                )
                kept.append(Stored(number, *row))
            _restamp(connection)
        return kept

    def remove(self, documents: Sequence[Stored]) -> None:
        """Remove documents with all that was kept of them."""
        with self._open(write=True) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.executemany("DELETE FROM document WHERE id = ?", [(each.id,) for each in documents])
            _restamp(connection)

    def documents(self) -> list[Stored]:
        """All documents by name."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            rows = connection.execute(
                "SELECT id, name, origin, kind, mark, passages, added FROM document ORDER BY name"
            ).fetchall()
        return [Stored(*row) for row in rows]

    def stamp(self) -> str:
        """What changes with each change of the content; empty where there is none."""
        if not self.path.exists():
            return ""
        with self._open() as connection:
            return str(connection.execute("SELECT content FROM stamp").fetchone()[0])

    def terms(self) -> list[tuple[int, int, str, str]]:
        """Each passage's id, its document's, and the terms of headings and text, in the order of their ids."""
        with self._open() as connection:
            return connection.execute("SELECT id, document, headed, terms FROM passage ORDER BY id").fetchall()

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """Passages by id."""
        if not ids:
            return {}
        marks = ",".join("?" * len(ids))
        with self._open() as connection:
            rows = connection.execute(
                "SELECT p.id, d.name, p.path, p.first, p.last, p.text, p.part, d.origin"  # noqa: S608
                f" FROM passage p JOIN document d ON d.id = p.document WHERE p.id IN ({marks})",
                list(ids),
            ).fetchall()
        return {row[0]: _passage(row[1:]) for row in rows}

    def of_document(self, document: Stored) -> list[Passage]:
        """The passages of a document in order."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT d.name, p.path, p.first, p.last, p.text, p.part, d.origin"
                " FROM passage p JOIN document d ON d.id = p.document WHERE d.id = ? ORDER BY p.id",
                (document.id,),
            ).fetchall()
        return [_passage(row) for row in rows]

    def vectors_of(self, document: Stored, model: str) -> list[bytes]:
        """The vectors of a document's passages in order; none unless all have one."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT CASE WHEN model = ? THEN vector END FROM passage WHERE document = ? ORDER BY id",
                (model, document.id),
            ).fetchall()
        return [vector for (vector,) in rows] if all(vector for (vector,) in rows) else []

    # Vectors of a model that embeds.

    def without_vector(self, model: str, most: int) -> list[tuple[int, Passage]]:
        """Passages that this model has no vector of yet."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT p.id, d.name, p.path, p.first, p.last, p.text, p.part, d.origin FROM passage p"
                " JOIN document d ON d.id = p.document WHERE p.model IS NOT ? ORDER BY p.id LIMIT ?",
                (model, most),
            ).fetchall()
        return [(row[0], _passage(row[1:])) for row in rows]

    def put_vectors(self, model: str, vectors: Sequence[tuple[int, bytes]]) -> None:
        """Keep vectors by the passages' ids."""
        with self._open(write=True) as connection:
            rows = ((vector, model, number) for number, vector in vectors)
            connection.executemany("UPDATE passage SET vector = ?, model = ? WHERE id = ?", rows)
            _restamp(connection)

    def vectors(self, model: str, ids: Sequence[int] | None = None) -> Iterator[tuple[int, int, bytes]]:
        """Each passage's id, its document's and its vector, in the order of their ids."""
        only = f" AND id IN ({','.join('?' * len(ids))})" if ids is not None else ""
        with self._open() as connection:
            yield from connection.execute(
                f"SELECT id, document, vector FROM passage WHERE model = ?{only} ORDER BY id",  # noqa: S608
                [model, *(ids or ())],
            )


def _restamp(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE stamp SET content = ?", (uuid.uuid4().hex,))


def _free_name(connection: sqlite3.Connection, document: Document) -> str:
    """The document's name, with its folder before it where another one has the name already."""
    name, folders = document.name, [*Path(document.origin).parts[:-1]]
    while connection.execute("SELECT 1 FROM document WHERE name = ?", (name,)).fetchone():
        name = f"{folders.pop().strip('/') or 'other'}/{name}" if folders else f"{name} (2)"
    return name


def _passage(row: tuple[str, str, int, int, str, str, str]) -> Passage:
    name, path, first, last, text, part, origin = row
    return Passage(name, tuple(filter(None, path.split(_JOINT))), first, last, text, part, origin)
