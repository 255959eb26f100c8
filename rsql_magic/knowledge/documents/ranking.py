"""Ranking: which passages a question is about, by their words and, where there are vectors, by their meaning.

Words are ranked by BM25 (Robertson and Zaragoza, 2009; here by bm25s) in three fields that are normalised each by its
own length and added up: the passage's text, its headings, and the document around it. Words of the thesaurus count for
those of the question, at a part of their weight. Vectors are compared by the signs of their numbers first, an eighth of
a byte each, and the best of those in full (binary quantisation with rescoring). Several rankings become one by
reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009).
"""

from __future__ import annotations

import logging
import math
import re
import shutil
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from rsql_magic.sql import names, stems

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from typing import TypeVar

    import numpy as np

    from rsql_magic.knowledge.documents.passages import Passage
    from rsql_magic.knowledge.documents.store import DocumentStore

    K = TypeVar("K", bound=Hashable)
    Scores = np.ndarray[Any, Any]

# What the fields count: measured on R's help, questions of one half chosen by those of the other (docs/documents.md).
_FIELDS = {"text": 1.0, "heading": 0.8, "document": 0.8}
_SYNONYM = 0.5  # what a word of the thesaurus counts beside the question's own
_SMOOTHING = 60  # of reciprocal rank fusion, as its authors chose
_RESCORED = 400  # passages whose vectors are compared in full
_SHORTEST = 4  # letters of a root
_ENDING = re.compile(
    r"(?:ization|ational|fulness|ousness|iveness|ations?|ators?|ments?|ness|ities|ity|ively|ive|ally|ly|al|ical|ic|able"
    r"|ible|ant|ent|ance|ence|ous|ions?|ers?|or|est|iz|at|ut|ed|ing|es|e|i|y)$"
)
_WORD = re.compile(r"[^\W_]+(?:[._][^\W_]+)*")
# Words that say nothing of what a question is about.
_SMALL = names(
    "a about after all also am an and any are as at be been being between but by can could did do does doing done"
    " for from get gets getting give gives go good had has have having he her here his how i if in into is it its"
    " itself just know let lets like make makes making may me might mine more most much must my need needs no nor"
    " not of off on once one only or other our out own please possible s same say says shall she should show so some"
    " such t tell than that the their them then there these they thing things this those through to too up us use"
    " used uses using very want was way ways we well were what when where whether which while who whom whose why"
    " will with within without would yet you your der die das und ist ein eine wie was ich man den dem zu mit für le"
    " la les des un une et est que dans pour el los las una es en de con por como"
)


def terms(text: str) -> list[str]:
    """The words of a text as an index has them: roots, and names such as ``read.table`` as a whole too.

    Example:
        >>> terms("How do I use read.table() for reading files?")
        ['read.table', 'read', 'tabl', 'read', 'fil']
    """
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match[0].lower()
        if word in _SMALL:
            continue
        parts = _roots(match[0])
        if len(parts) > 1:
            found.append(word)
        found += parts
    return found


@lru_cache(maxsize=65_536)
def _roots(word: str) -> tuple[str, ...]:
    return tuple(map(_root, stems(word)))


def _root(stem: str) -> str:
    """A stem without the endings that make one kind of word of another: ``categorical`` and ``categories`` meet."""
    while len(stem) > _SHORTEST and stem.isalpha():
        shorter = _ENDING.sub("", stem)
        if shorter == stem or len(shorter) < _SHORTEST:
            return stem
        stem = shorter
    return stem


def headed(passage: Passage) -> str:
    """The terms of a passage's headings, as they are stored."""
    return " ".join(terms(" ".join([passage.document, *passage.path])))


@cache
def _thesaurus() -> dict[str, list[tuple[frozenset[str], frozenset[str]]]]:
    """By the first root of a phrase: the phrase, and the roots that may stand for it."""
    text = files("rsql_magic.knowledge.documents").joinpath("synonyms.txt").read_text(encoding="utf-8")
    found = defaultdict(list)
    for line in text.splitlines():
        group = [tuple(terms(phrase)) for phrase in line.split(",")] if line and not line.startswith("#") else []
        for phrase in filter(None, group):
            others = frozenset(root for other in group for root in other) - set(phrase)
            found[phrase[0]].append((frozenset(phrase), others))
    return dict(found)


def related(words: AbstractSet[str]) -> dict[str, frozenset[str]]:
    """For each root of a question, those that a manual may have in its place.

    Example:
        >>> "quantil" in related({"percentil"})["percentil"]
        True
    """
    found: dict[str, frozenset[str]] = {}
    for word in words:
        entries = _thesaurus().get(word, ())
        found[word] = frozenset(root for phrase, others in entries if phrase <= words for root in others) - words
    return found


def fused(*rankings: Sequence[K]) -> list[K]:
    """Several rankings as one: each gives ``1 / (60 + place)``.

    Example:
        >>> fused(["a", "b", "c"], ["c", "a"])
        ['a', 'c', 'b']
    """
    scores: defaultdict[K, float] = defaultdict(float)
    for ranking in rankings:
        for place, each in enumerate(ranking, 1):
            scores[each] += 1 / (_SMOOTHING + place)
    return sorted(scores, key=lambda each: -scores[each])


@dataclass(frozen=True)
class WordIndex:
    """BM25 over the passages of a store, in memory that is mapped from files where there are some."""

    ids: np.ndarray[Any, Any]  # of passages
    documents: np.ndarray[Any, Any]  # of the documents they belong to
    places: np.ndarray[Any, Any]  # of these among all documents
    fields: Mapping[str, Any]  # a bm25s.BM25 each
    stamp: str  # of the content

    @classmethod
    def of(cls, store: DocumentStore) -> WordIndex | None:
        """The index of a store, read from beside it, or made where that is an older one; None for an empty store."""
        stamp, folder = store.stamp(), store.path.with_suffix(".index")
        with suppress(OSError, ValueError, KeyError, TypeError):
            if (folder / "stamp").read_text(encoding="utf-8") == stamp:
                return cls._read(folder, stamp)
        made = cls._made(store, stamp)
        if made is not None:
            made.write(folder)
        return made

    @classmethod
    def _made(cls, store: DocumentStore, stamp: str) -> WordIndex | None:
        import numpy as np

        rows = store.terms()
        if not rows:
            return None
        known: dict[str, int] = {}
        texts: dict[str, list[list[int]]] = {"heading": [], "text": []}
        whole: dict[int, list[int]] = {}
        for _, document, heading, text in rows:
            both = [[known.setdefault(term, len(known)) for term in said.split()] for said in (heading, text)]
            texts["heading"].append(both[0])
            texts["text"].append(both[1])
            whole.setdefault(document, [*both[0]]).extend(both[1])
        texts["document"] = list(whole.values())
        fields = {name: _indexed(each, known) for name, each in texts.items()}
        order = {document: place for place, document in enumerate(whole)}
        columns = [[row[0] for row in rows], [row[1] for row in rows], [order[row[1]] for row in rows]]
        ids, documents, places = np.array(columns, dtype=np.int64)
        return cls(ids, documents, places, fields, stamp)

    @classmethod
    def _read(cls, folder: Path, stamp: str) -> WordIndex:
        import numpy as np

        fields = {name: _bm25s().BM25.load(folder / name, mmap=True) for name in _FIELDS}
        ids, documents, places = np.load(folder / "passages.npy", allow_pickle=False)
        return cls(ids, documents, places, fields, stamp)

    def write(self, folder: Path) -> None:
        """Keep it for the next kernel; without room or right to do so it is made again then."""
        import numpy as np

        fresh = ""
        with suppress(OSError):
            fresh = mkdtemp(prefix=".index-", dir=folder.parent)
            for name, field in self.fields.items():
                field.save(Path(fresh, name), show_progress=False)
            np.save(Path(fresh, "passages.npy"), np.stack([self.ids, self.documents, self.places]))
            Path(fresh, "stamp").write_text(self.stamp, encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            Path(fresh).replace(folder)
            return
        shutil.rmtree(fresh, ignore_errors=True)

    def weight(self, term: str) -> float:
        """How much a term tells: its inverse document frequency; of an unknown one, that of the rarest."""
        text, size = self.fields["text"], len(self.ids)
        place, indptr = text.vocab_dict.get(term), text.scores["indptr"]
        count = 0 if place is None else int(indptr[place + 1] - indptr[place])
        return math.log(1 + (size - count + 0.5) / (count + 0.5))

    def ranked(self, words: AbstractSet[str], within: AbstractSet[int] | None, most: int) -> list[tuple[int, float]]:
        """The passages that fit words best, with their scores; only those ``within`` documents where that is given."""
        import numpy as np

        found = np.zeros(len(self.ids), dtype=np.float32)
        whole = np.zeros(self.size, dtype=np.float32)  # of the document around
        for word, others in related(words).items():
            for name, counts in _FIELDS.items():
                total = whole if name == "document" else found
                self._add(total, self.fields[name], word, others, counts)
        found += whole[self.places]
        if within is not None:
            found[~np.isin(self.documents, list(within))] = 0
        count = min(most, len(found))
        best = np.argpartition(found, len(found) - count)[-count:]
        best = best[np.lexsort((best, -found[best]))]
        return [(int(self.ids[place]), float(found[place])) for place in best if found[place] > 0]

    @cached_property
    def size(self) -> int:
        """How many documents there are."""
        return int(self.places[-1]) + 1

    def _add(self, total: Scores, field: Any, word: str, others: Iterable[str], counts: float) -> None:
        """Add what a field gives for a word, and a part of the most that it gives for one of its synonyms."""
        import numpy as np

        places, scores = _postings(field, word)
        total[places] += counts * scores
        most = np.zeros_like(total)
        for other in others:
            places, scores = _postings(field, other)
            most[places] = np.maximum(most[places], scores)
        total += (counts * _SYNONYM) * most


def _postings(field: Any, word: str) -> tuple[Scores, Scores]:
    """Where a word stands, and what BM25 gives for it there."""
    import numpy as np

    if (number := field.vocab_dict.get(word)) is None:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    start, end = field.scores["indptr"][number], field.scores["indptr"][number + 1]
    return field.scores["indices"][start:end], field.scores["data"][start:end]


def _bm25s() -> Any:
    """The package, without what it logs of its work: its logger is at DEBUG, and a root logger shows that."""
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return bm25s


def _indexed(texts: list[list[int]], known: dict[str, int]) -> Any:
    made = _bm25s().BM25(method="lucene", k1=1.2, b=0.75)
    made.index((texts, known), show_progress=False, create_empty_token=False)
    return made


@dataclass(frozen=True)
class MeaningIndex:
    """The signs of passages' vectors."""

    ids: np.ndarray[Any, Any]
    documents: np.ndarray[Any, Any]
    signs: np.ndarray[Any, Any]  # bits, a row for each passage
    stamp: str
    model: str

    @classmethod
    def of(cls, store: DocumentStore, model: str) -> MeaningIndex | None:
        """The vectors that a model gave; None where there are none."""
        import numpy as np

        stamp = store.stamp()
        ids, documents, signs = [], [], []
        for number, document, vector in store.vectors(model):
            ids.append(number)
            documents.append(document)
            signs.append(np.packbits(np.frombuffer(vector, dtype=np.float16) > 0))
        if not ids or len({len(each) for each in signs}) != 1:
            return None
        return cls(np.array(ids), np.array(documents), np.stack(signs), stamp, model)

    def ranked(self, store: DocumentStore, vector: bytes, within: AbstractSet[int] | None, most: int) -> list[int]:
        """The passages nearest to a vector, as it is `packed`."""
        import numpy as np

        asked = np.frombuffer(vector, dtype=np.float16).astype(np.float32)
        bits = np.packbits(asked > 0)
        if len(bits) != self.signs.shape[1]:
            return []
        apart = np.bitwise_count(self.signs ^ bits).sum(axis=1, dtype=np.int32)
        if within is not None:
            apart = np.where(np.isin(self.documents, list(within)), apart, 1 << 20)
        count = min(_RESCORED, len(apart))
        near = self.ids[np.argpartition(apart, count - 1)[:count]]
        rows = list(store.vectors(self.model, [int(each) for each in near]))
        rows = [row for row in rows if within is None or row[1] in within]
        full = np.array([np.frombuffer(row[2], dtype=np.float16) for row in rows], dtype=np.float32).reshape(
            len(rows), -1
        )
        order = np.argsort(-(full @ asked), kind="stable")[:most]
        return [rows[place][0] for place in order]


def packed(vector: Iterable[float]) -> bytes:
    """A vector of length one, in half precision."""
    import numpy as np

    numbers = np.array(list(vector), dtype=np.float32)
    return (numbers / (np.linalg.norm(numbers) or 1)).astype(np.float16).tobytes()
