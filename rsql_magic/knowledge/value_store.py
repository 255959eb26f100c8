"""The file of a value index: distinct texts of columns in compressed blocks, found by their hash or their trigrams.

A segment holds up to 65,536 values of one column or of several small ones, sorted as they are folded, 128 to a block.
A value's number within its segment is its block and its place there, so a list of values is a list of 16-bit numbers,
and a trigram's list costs one or two bytes a value. Everything stands in one SQLite file, which brings transactions,
readers beside a writer, and a clean end where the disk is full. docs/decisions/0024 compares other ways.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import zlib
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from heapq import nlargest
from itertools import groupby, islice, repeat
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.uint16]

_FORMAT = "1"
# The states of a column: its values are being written, stand, or have been written anew.
_BEGUN, _LIVE, _DEAD = 0, 1, 2
_BLOCK_BITS, _SEGMENT_BITS = 7, 16
_BLOCK = 1 << _BLOCK_BITS
# Between values in a block; a value that holds it is not kept.
END = "\0"
# A step of a list that is longer than a byte holds.
_FURTHER = 255
# Pages of the file that a connection keeps in memory, in KiB.
_CACHE = 16_384
_NONE = np.zeros(0, np.int64)
# Bytes of the file that are read where the system has them, and not copied.
_MAPPED = 1 << 31
_SCHEMA = """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
    CREATE TABLE col (
        id INTEGER PRIMARY KEY, tbl TEXT, name TEXT, mark TEXT, note TEXT, kept INTEGER, live INTEGER
    );
    CREATE TABLE segment (id INTEGER PRIMARY KEY, hashes BLOB, places BLOB);
    CREATE TABLE span (col INTEGER, segment INTEGER, first INTEGER, last INTEGER, PRIMARY KEY (col, segment))
        WITHOUT ROWID;
    CREATE TABLE block (id INTEGER PRIMARY KEY, col INTEGER, body BLOB);
    CREATE TABLE gram (id INTEGER PRIMARY KEY, body BLOB);
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What an index knows of a column."""

    table: str  # its full name, as `Table.full_name` gives it
    column: str
    mark: str = ""  # what was true of the table when it was read, to tell that it has changed
    note: str = ""  # why its values are not kept; empty where all are
    values: int = 0  # how many are


def hash_of(folded: str) -> int:
    """The 32 bits by which a folded value is found."""
    return zlib.crc32(folded.encode("utf-8", "surrogatepass"))


def grams(folded: Sequence[str], *, ends: bool = True) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The trigrams of texts as 16 bits each, and the place of the text that each is of; none of three digits.

    Blanks at its ``ends`` count, so that its beginning and its end are told. Digits are left out as numbers that differ
    in one of them are other numbers, and nothing near.

    Example:
        >>> found, owners = grams(["dog", "1234"])
        >>> owners.tolist()
        [0, 0, 0, 1, 1]
    """
    text = "".join(f" {one} \n" if ends else f"{one}\n" for one in folded)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    owners = np.cumsum(codes == ord("\n"), dtype=np.int64)[:-2]
    first, second, third = codes[:-2], codes[1:-1], codes[2:]
    digit = (codes >= ord("0")) & (codes <= ord("9"))
    is_one = (second != ord("\n")) & (third != ord("\n")) & (first != ord("\n"))
    is_one &= ~(digit[:-2] & digit[1:-1] & digit[2:])
    mixed = first * np.uint32(0x9E3779B1) ^ second * np.uint32(0x85EBCA77) ^ third * np.uint32(0xC2B2AE3D)
    return (mixed >> np.uint32(16))[is_one], owners[is_one]


def packed(numbers: Numbers) -> bytes:
    """A list of rising numbers: two bytes each, or the steps between them at one byte each where that is shorter.

    Example:
        >>> [unpacked(packed(np.array(some, np.uint16))).tolist() for some in ([1, 700], [3, 4, 5, 300, 65535])]
        [[1, 700], [3, 4, 5, 300, 65535]]
    """
    steps = np.diff(numbers.astype(np.int64), prepend=0)
    further, rest = np.divmod(steps, _FURTHER)
    size = len(steps) + int(further.sum())
    if size >= 2 * len(steps):
        return b"\2" + numbers.tobytes()
    body = np.full(size, _FURTHER, np.uint8)
    body[np.cumsum(further + 1) - 1] = rest
    return b"\1" + body.tobytes()


def unpacked(body: bytes) -> NDArray[np.int64]:
    """What `packed` packed."""
    if body[:1] == b"\2":
        return np.frombuffer(body, np.uint16, offset=1).astype(np.int64)
    steps = np.frombuffer(body, np.uint8, offset=1)
    reached: NDArray[np.int64] = np.cumsum(steps, dtype=np.int64)[steps != _FURTHER]
    return reached


@dataclass(frozen=True)
class _Segment:
    """Values of columns, numbered, as they are written."""

    hashes: NDArray[np.uint32]
    places: Numbers
    spans: list[tuple[int, int, int]]  # column, first and last number
    blocks: list[tuple[int, int, bytes]]  # number, column, values
    lists: list[tuple[int, bytes]]  # a trigram and its values

    @classmethod
    def of(cls, entries: Sequence[tuple[int, str, str]]) -> _Segment:
        """Number values, given as column, folded and stored, in this order."""
        blocks: list[tuple[int, int, bytes]] = []
        spans: list[tuple[int, int, int]] = []
        numbers: list[int] = []
        for column, held in groupby(entries, itemgetter(0)):
            first = len(blocks) << _BLOCK_BITS
            values = iter([value for _, _, value in held])
            while some := list(islice(values, _BLOCK)):
                start = len(blocks) << _BLOCK_BITS
                numbers += range(start, start + len(some))
                blocks.append((len(blocks), column, zlib.compress(END.join(some).encode("utf-8", "surrogatepass"), 6)))
            spans.append((column, first, numbers[-1]))
        folded = [one for _, one, _ in entries]
        of_values = np.array(numbers, np.uint16)
        hashes = np.fromiter(map(hash_of, folded), np.uint32, len(folded))
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], of_values[order], spans, blocks, list(_lists(folded, of_values)))


def _lists(folded: Sequence[str], numbers: Numbers) -> Iterator[tuple[int, bytes]]:
    """Each trigram with the values that have it."""
    found, owners = grams(folded)
    keys = np.unique(found << np.uint32(_SEGMENT_BITS) | numbers[owners])
    if not len(keys):
        return
    of_gram, of_value = keys >> np.uint32(_SEGMENT_BITS), (keys & np.uint32(0xFFFF)).astype(np.uint16)
    starts = np.flatnonzero(np.diff(of_gram, prepend=of_gram[0] + np.uint32(1)))
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(keys)], strict=True):
        yield int(of_gram[start]), packed(of_value[start:end])


class ValueStore:
    """The file, for any thread: one opens it to ``write``, others to read. Without a path it is kept in memory.

    Raises:
        BadInput: The file cannot be read or written.
    """

    def __init__(self, path: Path | None, *, write: bool = False) -> None:
        self.path = path or Path(":memory:")
        self._in_memory = path is None
        self._lock = threading.RLock()
        if path is not None and write:
            _create(path)
        uri = "" if path is None else f"{path.absolute().as_uri()}?mode={'rw' if write else 'ro'}"
        with _told(self.path):
            self._db = sqlite3.connect(
                uri or ":memory:", uri=bool(uri), check_same_thread=False, isolation_level=None, timeout=5.0
            )
            self._db.execute(f"PRAGMA cache_size = -{_CACHE}")
            self._db.execute(f"PRAGMA mmap_size = {_MAPPED}")
            if path is None:
                self._db.executescript(_SCHEMA)
            elif write:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = NORMAL")
        self._version = -1
        self._segments: list[tuple[int, NDArray[np.uint32]]] = []
        self._columns: dict[int, Kept] = {}
        self._spans: dict[int, list[tuple[int, int, int]]] = {}
        self._block = lru_cache(maxsize=512)(self._read_block)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @property
    def folder(self) -> str:
        """Where there is room for what is written meanwhile; empty for the system's own place."""
        return "" if self._in_memory else str(self.path.parent)

    @property
    def bytes(self) -> int:
        """The size of what is kept."""
        with self._lock:
            [[pages, free, size]] = self._db.execute(
                "SELECT * FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
            ).fetchall()
            return int((pages - free) * size)

    # Reading.

    @property
    def columns(self) -> Mapping[int, Kept]:
        """What is known of columns, by number."""
        self._renew()
        return self._columns

    def _renew(self) -> None:
        """Look again where another connection has written."""
        with self._lock, _told(self.path):
            [[version]] = self._db.execute("PRAGMA data_version").fetchall()
            if version == self._version:
                return
            rows = self._db.execute("SELECT id, tbl, name, mark, note, kept FROM col WHERE live = 1").fetchall()
            self._columns = {number: Kept(*about) for number, *about in rows}
            self._spans = {}
            for column, *span in self._db.execute("SELECT col, segment, first, last FROM span").fetchall():
                if column in self._columns:
                    self._spans.setdefault(column, []).append((span[0], span[1], span[2]))
            living = {segment for spans in self._spans.values() for segment, _, _ in spans}
            known = dict(self._segments)
            self._segments = [(one, known[one] if one in known else self._hashes(one)) for one in sorted(living)]
            self._block.cache_clear()
            self._version = version

    def _hashes(self, segment: int) -> NDArray[np.uint32]:
        [[body]] = self._db.execute("SELECT hashes FROM segment WHERE id = ?", [segment]).fetchall()
        return np.frombuffer(body, np.uint32)

    def hashed(self, wanted: Sequence[int]) -> Iterator[tuple[int, int, str]]:
        """The values of these hashes, each with the place of its hash in ``wanted`` and its column's number."""
        self._renew()
        asked = np.array(wanted, np.uint32)
        for segment, hashes in self._segments:
            starts = np.searchsorted(hashes, asked)
            for place in np.flatnonzero(hashes.take(starts, mode="clip") == asked).tolist():
                end = np.searchsorted(hashes, asked[place], "right")
                numbers = self._places(segment)[starts[place] : end]
                for column, value in self._values(segment, numbers.tolist()):
                    yield place, column, value

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """The rows of a query, in any thread."""
        try:
            with self._lock:
                return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from None

    def _places(self, segment: int) -> Numbers:
        found = self._rows("SELECT places FROM segment WHERE id = ?", [segment])
        return np.frombuffer(found[0][0] if found else b"", np.uint16)

    def _values(self, segment: int, numbers: Iterable[int]) -> Iterator[tuple[int, str]]:
        for number in numbers:
            column, values = self._block((segment << _SEGMENT_BITS - _BLOCK_BITS) + (number >> _BLOCK_BITS))
            if column in self._columns:
                yield column, values[number % _BLOCK]

    def _read_block(self, block: int) -> tuple[int, list[str]]:
        found = self._rows("SELECT col, body FROM block WHERE id = ?", [block])
        if not found:  # written anew since
            return -1, [""] * _BLOCK
        return found[0][0], zlib.decompress(found[0][1]).decode("utf-8", "surrogatepass").split(END)

    def sharing(
        self, wanted: Sequence[int], least: int, most: int, column: int | None = None
    ) -> Iterator[tuple[int, str]]:
        """The values that have most of some trigrams, and so many at least, with their columns; of all, or of one."""
        self._renew()
        places = self._spans.get(column, []) if column is not None else [(one, 0, 65_535) for one, _ in self._segments]
        sizes = f"SELECT id FROM gram WHERE id IN ({', '.join('?' * len(wanted))}) ORDER BY length(body)"  # noqa: S608 - only ?
        found: list[tuple[int, int, int]] = []
        for segment, first, last in places if wanted else ():
            lists = [one for (one,) in self._rows(sizes, [(segment << _SEGMENT_BITS) + gram for gram in wanted])]
            numbers, times = self._in_most(lists, least) if len(lists) >= least else (_NONE, _NONE)
            if not len(numbers):
                continue
            inside = (numbers >= first) & (numbers <= last)
            best = np.argsort(-times[inside], kind="stable")[:most]
            found += zip(times[inside][best].tolist(), repeat(segment), numbers[inside][best].tolist())
            if least == len(wanted) and len(found) >= most:  # none can have more
                break
        for _, segment, number in nlargest(most, found, key=itemgetter(0)):
            yield from self._values(segment, [number])

    def _in_most(self, lists: Sequence[int], least: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers that stand in at least so many lists, which come shortest first, and in how many."""
        # A number in so many lists stands in one of the shortest at least; the long ones are read while any is left.
        few = len(lists) - least + 1
        found = self._list(lists[0])
        times = np.ones(len(found), np.int64)
        if few > 1:
            found, times = np.unique(np.concatenate([found, *map(self._list, lists[1:few])]), return_counts=True)
        for left, one in zip(range(least - 2, -1, -1), lists[few:], strict=True):
            if not len(found):
                break
            more = self._list(one)
            if len(more):
                times = times + (more.take(np.searchsorted(more, found), mode="clip") == found)
            is_left = times >= least - left
            found, times = found[is_left], times[is_left]
        return found, times

    def _list(self, number: int) -> NDArray[np.int64]:
        found = self._rows("SELECT body FROM gram WHERE id = ?", [number])
        return unpacked(found[0][0]) if found else _NONE  # written anew since

    def every(self, column: int, most: int) -> list[str]:
        """The first values of a column, in the order of their folded forms."""
        self._renew()
        numbers = ((s, n) for s, first, last in self._spans.get(column, ()) for n in range(first, last + 1))
        return [value for s, n in islice(numbers, most) for _, value in self._values(s, [n])]

    # Writing, by one at a time.

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """Whether this is the one that writes; another process that does keeps it until it ends."""
        if self._in_memory:
            yield True
            return
        lock = self.path.with_suffix(".lock")
        with _told(self.path):
            _create(lock, schema="")
        with closing(sqlite3.connect(lock, isolation_level=None, timeout=0)) as held:
            try:
                held.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                yield False
                return
            self._sweep(_BEGUN, _DEAD)
            yield True

    def _sweep(self, *states: int) -> None:
        """Delete columns of these states, and the segments that no column is left of."""
        with self._lock, _told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            with self._ending():
                self._db.executemany("DELETE FROM col WHERE live = ?", [[state] for state in states])
                self._db.execute("DELETE FROM span WHERE col NOT IN (SELECT id FROM col)")
                dead = "SELECT id FROM segment WHERE id NOT IN (SELECT segment FROM span)"
                for (segment,) in self._db.execute(dead).fetchall():
                    self._delete(segment)

    def _delete(self, segment: int) -> None:
        self._db.execute("DELETE FROM segment WHERE id = ?", [segment])
        for table, bits in (("block", _SEGMENT_BITS - _BLOCK_BITS), ("gram", _SEGMENT_BITS)):
            ends = [segment << bits, (segment + 1) << bits]
            self._db.execute(f"DELETE FROM {table} WHERE id >= ? AND id < ?", ends)  # noqa: S608 - constants

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Commit what is done inside, or take it back."""
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def begin(self, about: Kept) -> int:
        """The number of a column whose values are about to be written."""
        with self._lock, _told(self.path):
            row = [about.table, about.column, about.mark, about.note]
            made = self._db.execute(
                "INSERT INTO col (tbl, name, mark, note, kept, live) VALUES (?, ?, ?, ?, 0, 0)", row
            )
            return int(made.lastrowid or 0)

    def add(self, entries: Sequence[tuple[int, str, str]]) -> None:
        """Write a segment: columns by number, folded and stored values, sorted; `BLOCKS` blocks at most."""
        made = _Segment.of(entries)
        with self._lock, _told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            with self._ending():
                row = [made.hashes.tobytes(), made.places.tobytes()]
                segment = int(
                    self._db.execute("INSERT INTO segment (hashes, places) VALUES (?, ?)", row).lastrowid or 0
                )
                spans = [(column, segment, first, last) for column, first, last in made.spans]
                self._db.executemany("INSERT INTO span VALUES (?, ?, ?, ?)", spans)
                blocks = ((segment << _SEGMENT_BITS - _BLOCK_BITS) + number for number, _, _ in made.blocks)
                rows = ((at, column, body) for at, (_, column, body) in zip(blocks, made.blocks, strict=True))
                self._db.executemany("INSERT INTO block VALUES (?, ?, ?)", rows)
                lists = (((segment << _SEGMENT_BITS) + gram, body) for gram, body in made.lists)
                self._db.executemany("INSERT INTO gram VALUES (?, ?)", lists)

    def finish(self, columns: Mapping[int, Kept]) -> None:
        """Have these columns stand for themselves from now on, in place of what was known of them before."""
        with self._lock, _told(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            with self._ending():
                for number, about in columns.items():
                    self._db.execute(
                        "UPDATE col SET live = 2 WHERE live = 1 AND tbl = ? AND name = ?", [about.table, about.column]
                    )
                    row = [about.mark, about.note, about.values, number]
                    self._db.execute("UPDATE col SET live = 1, mark = ?, note = ?, kept = ? WHERE id = ?", row)
            self._version = -1  # a connection is not told of its own changes
        self._sweep(_DEAD)

    def forget(self, tables: Iterable[str]) -> None:
        """Forget all columns of tables."""
        with self._lock, _told(self.path):
            self._db.executemany("UPDATE col SET live = 2 WHERE live = 1 AND tbl = ?", [[name] for name in tables])
            self._version = -1
        self._sweep(_DEAD)


BLOCKS = 1 << (_SEGMENT_BITS - _BLOCK_BITS)
"""Blocks of a segment."""
VALUES = _BLOCK
"""Values of a block, all of one column."""


def _create(path: Path, schema: str = _SCHEMA) -> None:
    """Make the file for its owner alone, where there is none of this format; it is whole as soon as it is there."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            if not schema or _is_ours(path):
                return
            for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                each.unlink(missing_ok=True)
        made = path.with_suffix(f".{os.getpid()}.new")
        os.close(os.open(made, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        try:
            if schema:
                with closing(sqlite3.connect(made, isolation_level=None)) as db:
                    db.execute("PRAGMA page_size = 8192")
                    db.executescript(schema)
                    db.execute("INSERT INTO meta VALUES ('format', ?)", [_FORMAT])
            with suppress(FileExistsError):  # another kernel's, a moment ago
                os.link(made, path)
        finally:
            made.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Whether a file is whole and of this format."""
    try:
        with closing(sqlite3.connect(path, timeout=5.0)) as there:
            return there.execute("SELECT value FROM meta WHERE name = 'format'").fetchall() == [(_FORMAT,)]
    except sqlite3.OperationalError as error:
        return "no such table" not in str(error)
    except sqlite3.DatabaseError:
        return False


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """An error of the disk or the file as one of ours."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from None


def _unusable(path: Path, error: OSError | sqlite3.Error) -> BadInput:
    reason = f"The value index {path.name} cannot be used: {getattr(error, 'strerror', '') or error}."
    return BadInput(reason, hint="%config Rsql.value_index = False does without it.")
