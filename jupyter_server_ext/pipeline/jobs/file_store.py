"""Files in the ledger's database, in pieces of whole lines, so that none is ever whole in memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import sqlalchemy as sa

from jupyter_server_ext.ledger import job_file_pieces, job_files, job_lines, jobs
from jupyter_server_ext.pipeline.jobs.values import ACTIVE, LINES_OF, StoredFile, lines_of

if TYPE_CHECKING:
    from jupyter_server_ext.ledger import LedgerPage, PromptVault

_AT_ONCE = 500  # rows of one statement
_PLAIN, _SEALED = b"\0", b"\1"  # how a text begins that is kept as it is, or encrypted


class TextSeal:
    """Texts as they are kept: encrypted where there are keys for that.

    Example:
        >>> seal = TextSeal(None)
        >>> seal.open(seal.close(b"a line"))
        b'a line'
    """

    def __init__(self, vault: PromptVault | None) -> None:
        self._vault = vault

    def close(self, text: bytes) -> bytes:
        """What is to be kept of a text."""
        return _PLAIN + text if self._vault is None else _SEALED + self._vault.seal(text)

    def open(self, kept: bytes) -> bytes | None:
        """The text; None where none of the keys opens it."""
        if kept[:1] == _PLAIN:
            return kept[1:]
        return None if self._vault is None else self._vault.open(kept[1:])


class SqlFiles:
    """Files of callers. Each method is a short transaction, and blocks."""

    def __init__(self, engine: sa.Engine, seal: TextSeal) -> None:
        self._engine = engine
        self._seal = seal

    def add(self, file: StoredFile) -> None:
        """Begin a file."""
        with self._engine.begin() as db:
            db.execute(job_files.insert(), asdict(file))

    def put(self, file: str, number: int, piece: bytes) -> int:
        """Add a piece; how many lines it has."""
        count = sum(1 for _ in lines_of(piece))
        row = {"file": file, "number": number, "lines": count, "content": self._seal.close(piece)}
        with self._engine.begin() as db:
            db.execute(job_file_pieces.insert(), row)
        return count

    def begun(self, file: StoredFile) -> StoredFile:
        """The file of this id, which is begun where there is none."""
        with self._engine.begin() as db:
            begin_to_write(db)
            row = db.execute(sa.select(job_files).where(job_files.c.id == file.id)).mappings().first()
            if row is None:
                db.execute(job_files.insert(), asdict(file))
        return file if row is None else StoredFile(**row)

    def append(self, file: str, lines: bytes) -> None:
        """Add whole lines to a file that grows; to one that was deleted meanwhile nothing is added."""
        count, own = sum(1 for _ in lines_of(lines)), job_files.c.id == file
        with self._engine.begin() as db:
            begin_to_write(db)
            number = db.execute(sa.select(job_files.c.pieces).where(own)).scalar()
            if number is not None:
                more = {"pieces": 1, "lines": count, "bytes": len(lines)}
                db.execute(sa.update(job_files).where(own).values({n: job_files.c[n] + add for n, add in more.items()}))
                row = {"file": file, "number": number, "lines": count, "content": self._seal.close(lines)}
                db.execute(job_file_pieces.insert(), row)

    def finish(self, file: StoredFile, *, most: int, most_bytes: int) -> bool:
        """End a file that has arrived, unless its caller may not keep as much."""
        with self._engine.begin() as db:
            begin_to_write(db)
            count, held = _held(db, file.caller)
            if count > most or held + file.bytes > most_bytes:
                return False
            db.execute(sa.update(job_files).where(job_files.c.id == file.id).values(asdict(file)))
        return True

    def held(self, caller: str) -> tuple[int, int]:
        """How many files a caller has, and their bytes."""
        with self._engine.connect() as db:
            return _held(db, caller)

    def find(self, file: str, caller: str | None) -> StoredFile | None:
        """A file of a caller, or of any when None."""
        query = sa.select(job_files).where(job_files.c.id == file, job_files.c.state == "ready")
        with self._engine.connect() as db:
            row = db.execute(query if caller is None else query.where(job_files.c.caller == caller)).mappings().first()
        return StoredFile(**row) if row is not None else None

    def page(self, caller: str, page: LedgerPage, purpose: str) -> list[StoredFile]:
        """A caller's files, the newest first, and one more than the page holds where there are more."""
        query = sa.select(job_files).where(job_files.c.caller == caller, job_files.c.state == "ready")
        if purpose:
            query = query.where(job_files.c.purpose == purpose)
        with self._engine.connect() as db:
            return [
                StoredFile(**row) for row in db.execute(page.of(query, job_files.c.made, job_files.c.id)).mappings()
            ]

    def piece(self, file: str, number: int) -> bytes | None:
        """A piece of a file; None where it is not there, or cannot be decrypted."""
        with self._engine.connect() as db:
            return read_piece(db, self._seal, file, number)

    def results(self, file: StoredFile, after: int, most: int) -> tuple[int, list[bytes | None]]:
        """Lines that a job wrote after one number: the number of the last of these, and the lines."""
        state = LINES_OF["output" if file.id.endswith("-output") else "errors"]
        own = (job_lines.c.job == file.job, job_lines.c.state == state, job_lines.c.number > after)
        query = sa.select(job_lines.c.number, job_lines.c.result).where(*own).order_by(job_lines.c.number).limit(most)
        with self._engine.connect() as db:
            rows = db.execute(query).all()
        return (rows[-1][0] if rows else after), [self._seal.open(row[1]) for row in rows]

    def uses(self, file: str) -> str:
        """The job that still reads a file, if one does."""
        query = sa.select(jobs.c.id).where(jobs.c.input == file, jobs.c.state.in_(ACTIVE)).limit(1)
        with self._engine.connect() as db:
            return str(db.execute(query).scalar() or "")

    def remove(self, file: str) -> bool:
        """Remove a part of a file, of one that a job wrote of its lines; whether more of it is there."""
        with self._engine.begin() as db:
            begin_to_write(db)
            row = db.execute(sa.select(job_files).where(job_files.c.id == file)).mappings().first()
            if row is None:
                return False
            if row["job"]:
                state = LINES_OF["output" if file.endswith("-output") else "errors"]
                some = delete_some(db, job_lines, job_lines.c.job == row["job"], job_lines.c.state == state)
            else:
                some = delete_some(db, job_file_pieces, job_file_pieces.c.file == file)
            if some:
                db.execute(sa.update(job_files).where(job_files.c.id == file).values(state="leaving"))
            else:
                db.execute(sa.delete(job_files).where(job_files.c.id == file))
            return some

    def expired(self, now: float, begun_before: float) -> list[str]:
        """Files whose time is over and that no job reads, and those that never arrived."""
        in_use = sa.select(jobs.c.input).where(jobs.c.state.in_(ACTIVE))
        over = sa.and_(job_files.c.expires <= now, job_files.c.id.not_in(in_use))
        lost = sa.and_(job_files.c.state != "ready", job_files.c.made <= begun_before)
        with self._engine.connect() as db:
            return list(db.execute(sa.select(job_files.c.id).where(sa.or_(over, lost))).scalars())

    def of(self, caller: str) -> list[str]:
        """The ids of all files of a caller."""
        with self._engine.connect() as db:
            return list(db.execute(sa.select(job_files.c.id).where(job_files.c.caller == caller)).scalars())


def read_piece(db: sa.Connection, seal: TextSeal, file: str, number: int) -> bytes | None:
    """A piece of a file; None where it is not there, or cannot be decrypted."""
    own = (job_file_pieces.c.file == file, job_file_pieces.c.number == number)
    kept = db.execute(sa.select(job_file_pieces.c.content).where(*own)).scalar()
    return None if kept is None else seal.open(kept)


def begin_to_write(db: sa.Connection) -> None:
    """Let what this transaction reads stay true until its end, in SQLite, where one writes at a time."""
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("BEGIN IMMEDIATE")


def delete_some(db: sa.Connection, table: sa.Table, own: sa.ColumnElement[bool], *more: sa.ColumnElement[bool]) -> bool:
    """Delete some rows of one file or job, which ``own`` says; whether there were any."""
    number = table.c.number
    some = list(db.execute(sa.select(number).where(own, *more).limit(_AT_ONCE)).scalars())
    if some:
        db.execute(sa.delete(table).where(own, number.in_(some)))
    return bool(some)


def _held(db: sa.Connection, caller: str) -> tuple[int, int]:
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(job_files.c.bytes), 0)).where(
        job_files.c.caller == caller
    )
    count, held = db.execute(query).one()
    return int(count), int(held)
