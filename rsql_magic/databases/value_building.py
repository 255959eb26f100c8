"""The values of a database into its value index: in parts, within bounds of time and memory; again what has changed."""

# A pass looks at each table's mark, and reads the text columns of those tables whose mark is another than the index
# has, small tables first. A column is read part by part (`Database.parts`), each part one `SELECT DISTINCT` of a
# fraction of a second; its values are sorted on disk where they are many, and stand in the index as soon as the column
# is whole. A pass is a generator, which a thread or slices of somebody else's time carry on.

# ruff: noqa: S608 - statements are put together from quoted names and constants
from __future__ import annotations

import hashlib
import heapq
import marshal
import re
import tempfile
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput, QueryFailed, Stopped
from rsql_magic.knowledge import BLOCKS, END, LONGEST_VALUE, VALUES, Kept, folded
from rsql_magic.redaction import redact, says_identifier, says_secret
from rsql_magic.sql import value_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from rsql_magic.databases.base import Database
    from rsql_magic.knowledge import ValueStore
    from rsql_magic.sql import Column, Table

# Seconds that reading one part may take.
_SECONDS = 10.0
# Values of a column that are kept in memory, about 50 MB; more are sorted on disk.
IN_MEMORY = 150_000
# Bytes that a value takes in the index, about; for what is too much before it is written.
_BYTES_OF_A_VALUE = 24
# Values of a part that tell what kind of a column it is.
_TELLING = 500
# A column whose different values are longer than that on average holds texts.
_LONG = 60
# Values of a column that stand as soon as it is whole; smaller columns are written together.
_SMALL = 8_192
# The share of values from which on what looks like a secret or an identifier makes a column one of those.
_SHARE_OF_SECRETS = 0.05

_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")

TOO_MANY = "its values do not fit the size of the index (Rsql.value_index_mb)"
_REASONS = {
    "secret": "its name says that it holds secrets",
    "identifier": "its name says that it identifies people",
    "looks": "its values look like secrets or identifiers of people",
    "numbers": "it holds numbers",
    "texts": "it holds long texts",
    "view": "it is a view",
    "parts": "it is large, and cannot be read in parts",
    "slow": "reading it takes too long",
}


@dataclass
class ValueBuilder:
    """Fills an index from a database; only one at a time writes an index."""

    database: Database
    store: ValueStore
    megabytes: int = 1024  # how large the index may become
    at_once: int = BLOCKS  # blocks that are written in one step
    done: int = field(default=0, init=False)  # columns of this pass that are covered or left out
    total: int = field(default=0, init=False)  # columns of this pass

    def steps(self, tables: Sequence[Table]) -> Iterator[None]:
        """Read what has changed; each step is a fraction of a second.

        Raises:
            BadInput: The index cannot be written; what was finished stays.
        """
        kept = list(self.store.columns.values())
        known = {(one.table, one.column): one for one in kept}
        gone = {one.table for one in kept} - {table.full_name for table in tables}
        if gone:
            self.store.forget(gone)
        texts = [(table, [column for column in table.columns if may_hold_texts(column)]) for table in tables]
        self.done, self.total = 0, sum(len(columns) for _, columns in texts)
        filling = _Filling(self.store, self.at_once)
        for table, columns in sorted(texts, key=lambda one: (one[0].rows is None, one[0].rows or 0)):
            mark = self._mark(table, columns)
            yield
            for column in columns:
                before = known.get((table.full_name, column.name))
                if before is None or not mark or before.mark != mark or before.note == TOO_MANY:
                    yield from self._read(table, column, mark, filling)
                self.done += 1
        filling.flush()

    def _mark(self, table: Table, columns: Sequence[Column]) -> str:
        """What is true of a table as long as it does not change; empty where that cannot be told."""
        if table.kind == "view" or not columns:
            return table.kind
        try:
            mark = self.database.mark(table, [column.name for column in columns if not _unread(table, column)])
        except (Stopped, QueryFailed):
            return ""
        return mark and hashlib.sha256(mark.encode()).hexdigest()[:16]

    def _read(self, table: Table, column: Column, mark: str, filling: _Filling) -> Iterator[None]:
        about = Kept(table.full_name, column.name, mark)
        if reason := _unread(table, column):
            filling.leave_out(about, _REASONS[reason])
            return
        with _Sorted(self.store.folder) as values:
            try:
                for source in self.database.parts(table):
                    while (fresh := self._distinct(column, source)) is None:
                        yield
                    if not values.parts and (reason := _unlike_values(fresh, column)):
                        filling.leave_out(about, _REASONS[reason])
                        return
                    values.add(value for value in fresh if len(value) <= LONGEST_VALUE and END not in value)
                    if self.store.bytes + values.count * _BYTES_OF_A_VALUE > self.megabytes << 20:
                        filling.leave_out(about, TOO_MANY)
                        return
                    yield
            except QueryFailed:
                filling.leave_out(about, _REASONS["slow" if values.parts else "parts"])
                return
            yield from filling.add(about, values)

    def _distinct(self, column: Column, source: str) -> list[str] | None:
        """The texts of a column in a part of its table; None where it was stopped, as somebody else goes first."""
        name = self.database.quoted(column.name)
        text = f"SUBSTR(CAST({name} AS {self.database.text_type}), 1, {LONGEST_VALUE + 1})"
        sql = f"SELECT DISTINCT {text} FROM {source} WHERE {name} IS NOT NULL"
        try:
            return [str(value) for (value,) in self.database.rows(sql, seconds=_SECONDS)]
        except Stopped:
            return None


def _unread(table: Table, column: Column) -> str:
    """Why a column is not read at all; empty where it is."""
    if says_secret(column.name) or says_identifier(column.name):
        return "secret" if says_secret(column.name) else "identifier"
    return "view" if table.kind == "view" else ""


def may_hold_texts(column: Column) -> bool:
    """Whether a column is one of texts; in SQLite also one without a type."""
    return value_kind(column.type) == "text" or not column.type


def _unlike_values(some: Sequence[str], column: Column) -> str:
    """Why a column whose first values these are holds none that are kept; empty where it does."""
    telling = some[:_TELLING]
    if not column.type and all(_NUMBER.fullmatch(value) for value in telling):
        return "numbers"
    if len(some) >= _TELLING and sum(map(len, some)) > _LONG * len(some):
        return "texts"
    if not redact("\n".join(telling))[1]:
        return ""
    found = sum(bool(redact(value)[1]) for value in telling)
    return "looks" if found > _SHARE_OF_SECRETS * len(telling) else ""


class _Sorted:
    """Values of a column, each once, in the order of their folded forms; on disk where they are many."""

    def __init__(self, spool: str) -> None:
        self._spool, self._some = spool, set[str]()
        self._files: list[IO[bytes]] = []
        self.parts = 0
        self._spilled = 0

    @property
    def count(self) -> int:
        """How many there are, about: one that came early and late counts twice."""
        return self._spilled + len(self._some)

    def add(self, values: Iterator[str]) -> None:
        """Take the values of a part."""
        self.parts += 1
        self._some.update(values)
        if len(self._some) > IN_MEMORY:
            try:
                file = tempfile.TemporaryFile(dir=self._spool or None)  # noqa: SIM115 - closed at the end
                self._files.append(file)
                for one in self._in_order():
                    marshal.dump(one, file)
                file.seek(0)
            except OSError as error:
                raise _no_room(error) from None
            self._spilled += len(self._some)
            self._some = set()

    def _in_order(self) -> list[tuple[str, str]]:
        return sorted((folded(value), value) for value in self._some)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        merged = heapq.merge(*map(_loaded, self._files), self._in_order()) if self._files else self._in_order()
        yield from (one for one, _ in groupby(merged))

    def __enter__(self) -> _Sorted:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()


def _loaded(file: IO[bytes]) -> Iterator[tuple[str, str]]:
    while True:
        try:
            yield marshal.load(file)  # noqa: S302 - what was written a moment ago, to a file without a name
        except EOFError:
            return


def _no_room(error: OSError) -> BadInput:
    return BadInput(f"The value index cannot be written: {error.strerror}.", hint="%config Rsql.value_index = False.")


class _Filling:
    """Puts the values of columns into segments, small columns together."""

    def __init__(self, store: ValueStore, at_once: int) -> None:
        self._store, self._at_once = store, at_once
        self._entries: list[tuple[int, str, str]] = []
        self._blocks = 0
        self._finished: dict[int, Kept] = {}

    def leave_out(self, about: Kept, note: str) -> None:
        """Note why a column has no values here."""
        out = Kept(about.table, about.column, about.mark, note)
        self._store.finish({self._store.begin(out): out})

    def add(self, about: Kept, values: _Sorted) -> Iterator[None]:
        """Take a column's values; a step each time that some are written."""
        number, count, here = self._store.begin(about), 0, 0
        for one, value in values:
            if here % VALUES == 0:
                if self._blocks == self._at_once:
                    self._write()
                    here = 0
                    yield
                self._blocks += 1
            self._entries.append((number, one, value))
            count, here = count + 1, here + 1
        self._finished[number] = Kept(about.table, about.column, about.mark, "", count)
        if count > _SMALL:
            self.flush()
        yield

    def _write(self) -> None:
        self._store.add(self._entries)
        self._entries, self._blocks = [], 0

    def flush(self) -> None:
        """Write what is left; all columns that were taken stand from now on."""
        if self._entries:
            self._write()
        if self._finished:
            self._store.finish(self._finished)
            self._finished = {}
