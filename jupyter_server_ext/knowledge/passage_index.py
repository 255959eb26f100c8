"""An index of passages in memory: BM25 over their words, and the signs of their vectors."""

# A document's index is made once, when it is shared, and kept beside it as bytes. Searches go over a few indexes of
# many documents each; which of these may be searched is given with every search, by the numbers that documents have.

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, Any, Self
from unicodedata import normalize

import msgspec
import numpy as np

from jupyter_server_ext.knowledge.meanings import signs_of
from jupyter_server_ext.knowledge.word_search import asked_words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    Array = np.ndarray[Any, Any]
    Searched = tuple["PassageIndex", Array | None]  # and which of its passages; all when None
    Size = tuple[str, int]  # a model that embeds, and the bytes of its vectors

_WORD = re.compile(r"[^\W_]+")
_FORM = 1  # of the bytes; those of another one are made anew
_SATURATION, _BY_LENGTH = 1.2, 0.75  # BM25's k1 and b, as FTS5 has them
_HEADING = 2  # times that a word of a heading counts
_COMPARED = 1_000  # passages of an index that are compared by more than how many signs differ
_MOST_COUNTED = 255  # times that a word counts within a passage


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    form: int
    size: int  # bytes of a vector; 0 without
    ids: memoryview
    lengths: memoryview
    words: memoryview
    starts: memoryview
    places: memoryview
    counts: memoryview
    signs: memoryview


@dataclass(frozen=True, eq=False, repr=False)
class PassageIndex:
    """Where words stand in the passages of some documents, word by word, and the signs of vectors."""

    documents: tuple[str, ...]  # their numbers
    document: Array  # of each passage, its place among these
    ids: Array  # of passages
    lengths: Array  # of passages, in words
    words: Array  # hashes of roots, in order; of 64 bits, so that two do not meet
    starts: Array  # of each word, the first of its places; one more for the end
    places: Array  # of passages that hold a word, in order
    counts: Array  # how often each holds it
    signs: Mapping[Size, tuple[Array, Array]]  # places of passages, and columns of 64 bits each

    @property
    def size(self) -> int:
        """Bytes of memory."""
        own = (self.document, self.ids, self.lengths, self.words, self.starts, self.places, self.counts)
        return sum(each.nbytes for each in (*own, *chain.from_iterable(self.signs.values())))

    @classmethod
    def of(cls, number: str, model: str, passages: Sequence[tuple[int, str, str, bytes | None]]) -> Self:
        """The index of a document: its number, its vectors' model, and each passage's number, heading, text and vector.

        Example:
            >>> made = PassageIndex.of("d", "", [(7, "Bins", "Broken glass.", None), (8, "", "Glasses, glasses", None)])
            >>> [number for number, _ in best_by_words([(made, None)], "glass", 10)]
            [8, 7]
        """
        known: dict[str, int] = {}
        lengths = np.zeros(len(passages), dtype=np.int32)
        found: list[tuple[list[int], list[int]]] = []
        for place, (_, heading, text, _) in enumerate(passages):
            both = [[known.setdefault(word, len(known)) for word in _words(said)] for said in (heading, text)]
            lengths[place] = len(both[0]) + len(both[1])
            found.append((both[0] * _HEADING, both[1]))
        words, root = np.unique(np.fromiter(_hashed(known), dtype=np.uint64, count=len(known)), return_inverse=True)
        every = np.fromiter(chain.from_iterable(chain.from_iterable(found)), dtype=np.int64)
        holder = np.repeat(np.arange(len(found)), [len(heading) + len(text) for heading, text in found])
        once, counts = np.unique(root[every] * len(found) + holder, return_counts=True)
        starts = np.searchsorted(once, np.arange(len(words) + 1) * len(found))
        signs: dict[Size, tuple[Array, Array]] = {}
        if vectors := [vector for *_, vector in passages if vector]:
            signs[model, len(vectors[0])] = (np.arange(len(vectors), dtype=np.int32), _columns(map(signs_of, vectors)))
        return cls(
            (number,),
            np.zeros(len(passages), dtype=np.int32),
            np.array([id_ for id_, *_ in passages], dtype=np.int64),
            lengths,
            words,
            starts.astype(np.int64),
            (once % len(found)).astype(np.int32),
            np.minimum(counts, _MOST_COUNTED).astype(np.uint8),
            signs,
        )

    def packed(self) -> bytes:
        """The index of one document as bytes."""
        (_, size), (_, columns) = next(iter(self.signs.items()), (("", 0), (None, np.empty(0))))
        own = (self.ids, self.lengths, self.words, self.starts, self.places, self.counts, columns)
        return msgspec.msgpack.encode(_Kept(_FORM, size, *(memoryview(each.tobytes()) for each in own)))

    @classmethod
    def unpacked(cls, number: str, model: str, kept: bytes) -> Self | None:
        """The index of a document from its bytes; None where they are of another form."""
        try:
            read = msgspec.msgpack.decode(kept, type=_Kept)
        except msgspec.DecodeError:
            return None
        if read.form != _FORM:
            return None
        ids = np.frombuffer(read.ids, dtype="<i8")
        signs = {}
        if read.size:
            columns = np.frombuffer(read.signs, dtype="<u8").reshape(-1, len(ids))
            signs[model, read.size] = (np.arange(len(ids), dtype=np.int32), columns)
        return cls(
            (number,),
            np.zeros(len(ids), dtype=np.int32),
            ids,
            np.frombuffer(read.lengths, dtype="<i4"),
            np.frombuffer(read.words, dtype="<u8"),
            np.frombuffer(read.starts, dtype="<i8"),
            np.frombuffer(read.places, dtype="<i4"),
            np.frombuffer(read.counts, dtype="u1"),
            signs,
        )

    def within(self, documents: AbstractSet[str]) -> Array | None:
        """Whether each passage is of one of these documents; None where all are."""
        of_them = np.array([number in documents for number in self.documents], dtype=bool)
        return None if of_them.all() else of_them[self.document]

    def only(self, documents: AbstractSet[str]) -> PassageIndex:
        """The index of those of its documents alone."""
        if (kept := self.within(documents)) is None:
            return self
        moved = np.cumsum(kept, dtype=np.int32) - 1
        held = kept[self.places]
        starts = np.concatenate([[0], np.cumsum(held)])[self.starts]
        present = np.diff(starts) > 0
        signs = {}
        for size, (places, columns) in self.signs.items():
            if (some := kept[places]).any():
                signs[size] = (moved[places[some]], columns[:, some])
        known = [number in documents for number in self.documents]
        return PassageIndex(
            tuple(number for number in self.documents if number in documents),
            (np.cumsum(known, dtype=np.int32) - 1)[self.document[kept]],
            self.ids[kept],
            self.lengths[kept],
            self.words[present],
            np.append(starts[:-1][present], starts[-1]),
            moved[self.places[held]],
            self.counts[held],
            signs,
        )


def with_numbers(packed: bytes, ids: Sequence[int]) -> bytes:
    """The index of a document as bytes, with the numbers that its passages have got."""
    kept = msgspec.msgpack.decode(packed, type=_Kept)
    return msgspec.msgpack.encode(msgspec.structs.replace(kept, ids=memoryview(np.array(ids, dtype="<i8").tobytes())))


def merged(parts: Sequence[PassageIndex]) -> PassageIndex:
    """Several indexes as one, in time and memory of their size."""
    words = np.unique(np.concatenate([part.words for part in parts]))
    rows = [np.searchsorted(words, part.words) for part in parts]
    sizes = np.zeros(len(words), dtype=np.int64)
    for part, row in zip(parts, rows, strict=True):
        sizes[row] += np.diff(part.starts)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    places = np.empty(starts[-1], dtype=np.int32)
    counts = np.empty(starts[-1], dtype=np.uint8)
    free = starts[:-1].copy()  # where the next part's places of each word go
    signs: dict[Size, list[tuple[Array, Array]]] = {}
    passages = documents = 0
    document = []
    for part, row in zip(parts, rows, strict=True):
        each = np.diff(part.starts)
        into = np.repeat(free[row] - part.starts[:-1], each) + np.arange(len(part.places))
        places[into] = part.places + passages
        counts[into] = part.counts
        free[row] += each
        for size, (held, columns) in part.signs.items():
            signs.setdefault(size, []).append((held + passages, columns))
        document.append(part.document + documents)
        passages += len(part.ids)
        documents += len(part.documents)
    return PassageIndex(
        tuple(chain.from_iterable(part.documents for part in parts)),
        np.concatenate(document, dtype=np.int32),
        np.concatenate([part.ids for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        words,
        starts,
        places,
        counts,
        {
            size: (
                np.concatenate([held for held, _ in each], dtype=np.int32),
                np.concatenate([columns for _, columns in each], axis=1),
            )
            for size, each in signs.items()
        },
    )


def best_by_words(parts: Sequence[Searched], question: str, most: int) -> list[tuple[int, float]]:
    """The passages that fit words best by BM25, with their scores; of indexes, and of some of their passages each.

    How rare a word is, and how long a passage usually is, are told by the passages that are searched, so that what
    others share changes nothing.
    """
    chosen = [len(part.ids) if within is None else int(within.sum()) for part, within in parts]
    if not (passages := sum(chosen)):
        return []
    long = sum(int(part.lengths[... if within is None else within].sum()) for part, within in parts)
    usual = long / passages or 1.0
    pieces = [piece for word in asked_words(question) for piece in _words(word) if len(piece) > 1 or piece == word]
    asked = np.unique(np.fromiter(_hashed(pieces), dtype=np.uint64, count=len(pieces)))
    found = [[_postings(part, within, word) for part, within in parts] for word in asked]
    best: list[tuple[int, float]] = []
    for at, (part, _) in enumerate(parts):
        scores = np.zeros(len(part.ids))
        length = _SATURATION * (1 - _BY_LENGTH + _BY_LENGTH / usual * part.lengths)
        for held in found:
            holding = sum(len(places) for places, _ in held)
            rarity = np.log(1 + (passages - holding + 0.5) / (holding + 0.5))
            places, counts = held[at]
            scores[places] += rarity * (_SATURATION + 1) * counts / (counts + length[places])
        some = _highest(scores, most)
        best += zip(part.ids[some].tolist(), scores[some].tolist(), strict=True)
    return sorted(best, key=lambda each: (-each[1], each[0]))[:most]


def nearest_by_signs(parts: Sequence[Searched], model: str, vector: bytes, most: int) -> list[int]:
    """The passages nearest to a vector of their model and size, as far as their signs tell.

    Those with the most signs of it are ranked by its numbers, each with the passage's sign, which tells more.
    """
    asked, numbers = _columns([signs_of(vector)]), np.frombuffer(vector, dtype="<f2").astype(np.float32)
    near: list[tuple[float, int]] = []
    for part, within in parts:
        if (model, len(vector)) not in part.signs:
            continue
        places, columns = part.signs[model, len(vector)]
        apart = np.zeros(len(places), dtype=np.uint16)
        for column, bits in zip(columns, asked[:, 0], strict=True):
            apart += np.bitwise_count(column ^ bits)
        few = np.arange(len(places)) if within is None else np.flatnonzero(within[places])
        if len(few) > _COMPARED:
            few = few[np.argpartition(apart[few], _COMPARED - 1)[:_COMPARED]]
        signs = np.unpackbits(np.ascontiguousarray(columns[:, few].T).view(np.uint8), axis=1, count=len(numbers))
        near += zip((-signs.astype(np.float32) @ numbers).tolist(), part.ids[places[few]].tolist(), strict=True)
    return [number for _, number in sorted(near)[:most]]


def _postings(part: PassageIndex, within: Array | None, word: int) -> tuple[Array, Array]:
    """Where a word stands, and how often."""
    at = int(np.searchsorted(part.words, word))
    if at == len(part.words) or part.words[at] != word:
        return part.places[:0], part.counts[:0].astype(np.float64)
    span = slice(part.starts[at], part.starts[at + 1])
    places, counts = part.places[span], part.counts[span]
    if within is not None:
        held = within[places]
        places, counts = places[held], counts[held]
    return places, counts.astype(np.float64)


def _highest(scores: Array, most: int) -> Array:
    """The places of the highest scores above zero, and of those that are equal to the last of them."""
    least = np.partition(scores, -most)[-most] if len(scores) > most else 0.0
    return np.flatnonzero((scores >= least) & (scores > 0))


def _columns(signs: Iterable[bytes]) -> Array:
    """Signs of passages as columns of 64 bits, the last one filled with zeros."""
    rows = [each.ljust(-(-len(each) // 8) * 8, b"\0") for each in signs]
    return np.ascontiguousarray(np.frombuffer(b"".join(rows), dtype="<u8").reshape(len(rows), -1).T)


def _words(text: str) -> Iterator[str]:
    return (match[0] for match in _WORD.finditer(normalize("NFC", text).lower()))


def _hashed(words: Collection[str]) -> Iterator[int]:
    """Hashes of the roots of words, by the tokenizer that SQLite's index of the same passages has."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE VIRTUAL TABLE words USING fts5(word, tokenize='porter unicode61 remove_diacritics 2')")
        db.execute("CREATE VIRTUAL TABLE roots USING fts5vocab(words, instance)")
        db.executemany("INSERT INTO words(rowid, word) VALUES (?, ?)", enumerate(words))
        roots: list[list[str]] = [[] for _ in words]
        for place, root in db.execute("SELECT doc, term FROM roots ORDER BY doc, offset"):
            roots[place].append(root)
    for each in roots:
        yield int.from_bytes(blake2b(" ".join(each).encode(), digest_size=8).digest())
