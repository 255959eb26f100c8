"""The documents of a notebook as one object: add, list, remove, search."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput, RsqlError, UnknownName
from rsql_magic.knowledge.documents.formats import Notes
from rsql_magic.knowledge.documents.ranking import MeaningIndex, WordIndex, fused, headed, packed, related, terms
from rsql_magic.knowledge.documents.sources import change_mark, read_all, read_file
from rsql_magic.knowledge.documents.store import DocumentStore, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rsql_magic.knowledge.documents.passages import Passage
    from rsql_magic.knowledge.documents.shared import SharedDocuments
    from rsql_magic.knowledge.documents.sources import Document

    Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]

_DEEP = 100  # places of each ranking that are fused
_WIDER = 5  # times as many passages as wanted are looked at
_OF_ONE = 2  # passages of one document, as long as others fit as well
_FEWEST = 2  # words that a passage must share with a question to fit it
_SYNONYM = 0.5  # what a synonym of a question's word counts of it
_AT_ONCE = 64  # passages that are embedded with one request
FITS = 0.65
"""The share of a question's words, weighed by how much they tell, that a passage must hold to fit it by itself."""


@dataclass(frozen=True)
class Embedder:
    """A model that gives texts vectors: its name, and a function that asks it."""

    model: str
    embed: Embed


@dataclass(frozen=True)
class Hits:
    """What a search found."""

    passages: tuple[Passage, ...] = ()  # the best first
    fit: float = 0.0  # of the best: the share of what the question asks for that one passage speaks of
    notes: tuple[str, ...] = ()  # such as that a file has changed and was read again

    @property
    def fits(self) -> bool:
        """Whether the question is about the documents, as far as its words tell."""
        return self.fit >= FITS


@dataclass
class Library:
    r"""The documents in one file.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> note = Path(folder.name, "note.md")
        >>> _ = note.write_text("# Lab rules\n\nGloves are worn at all times.")
        >>> library = Library(Path(folder.name, "documents.db"))
        >>> [each.name for each in library.add([str(note)]).documents]
        ['note.md']
        >>> [each.label for each in library.search("Do I wear gloves?").passages]
        ['note.md › Lab rules, line 3']
        >>> folder.cleanup()
    """

    path: Path
    embedder: Embedder | None = None
    shared: SharedDocuments | None = None  # those of a gateway
    clock: Callable[[], float] = time.time  # seconds since 1970
    _listed: tuple[str, list[Stored]] | None = field(default=None, init=False, repr=False)
    _words: WordIndex | None = field(default=None, init=False, repr=False)
    _meanings: MeaningIndex | None = field(default=None, init=False, repr=False)

    @property
    def store(self) -> DocumentStore:
        """Where they are kept."""
        return DocumentStore(self.path)

    def documents(self) -> list[Stored]:
        """The notebook's own documents by name."""
        stamp = self.store.stamp()
        if self._listed is None or self._listed[0] != stamp:
            self._listed = stamp, self.store.documents()
        return self._listed[1]

    def all_documents(self) -> list[Stored]:
        """The notebook's own documents and those that the gateway shares."""
        return [*self.documents(), *(self.shared.documents() if self.shared else ())]

    def named(self, names: Sequence[str]) -> list[Stored]:
        """The documents that names mean: their own, or that of a folder, a package, a pattern.

        Raises:
            UnknownName: One of them means nothing.
        """
        there = self.all_documents() if names else []
        found: dict[tuple[int, str], Stored] = {}
        for name in names:
            meant = [each for each in there if each.is_called(name)]
            if not meant:
                near = get_close_matches(name, [each.name for each in there], 1, 0.4)
                hint = f"Did you mean {near[0]}?" if near else "%rsql docs lists them."
                raise UnknownName(f"There is no document {name}.", hint=hint)
            found |= {(each.id, each.name): each for each in meant}
        return list(found.values())

    def add(self, words: Sequence[str], progress: Callable[[int, int, str], None] = lambda *_: None) -> Added:
        """Read documents and keep them, in place of what was kept of them before; all or nothing.

        Args:
            words: Paths, folders, patterns, addresses, ``?stats::lm``, ``r:stats``, ``python:json``.
            progress: Told how much is done, how much there is, and what is read now.

        Raises:
            BadInput: One of them is not there or cannot be read, or there is no room.
        """
        if not words:
            raise BadInput("There is nothing to add.", hint="%rsql docs add PATH, a folder, or an address.")
        notes = Notes()
        read = list(with_terms(read_all(list(words), notes, progress)))  # before the file is locked
        kept = self.store.put(read, now=self.clock())
        self._embed(progress, notes)
        return Added(tuple(kept), tuple(notes.said))

    def remove(self, name: str) -> list[Stored]:
        """Remove what a name means: of the notebook's own documents, else of those shared by the gateway.

        Raises:
            UnknownName: It means nothing.
        """
        meant = self.named([name])
        if gone := [each for each in meant if not each.owner]:
            self.store.remove(gone)
            self._words = self._meanings = None
        elif self.shared:
            gone = meant
            for each in gone:
                self.shared.remove(each)
        return gone

    def push(self, name: str) -> tuple[list[Stored], str]:
        """Share the notebook's documents that a name means with the group; whose they are then.

        Raises:
            UnknownName: It means none of them.
            GatewayError: The gateway refuses them, or there is none.
        """
        meant = [each for each in self.named([name]) if not each.owner]
        if not meant or self.shared is None:
            raise UnknownName(f"There is no document {name} beside the notebook.", hint="%rsql docs add it first.")
        model = self.embedder.model if self.embedder else ""
        owners = [
            self.shared.put(each.name, self.store.of_document(each), model, self.store.vectors_of(each, model))
            for each in meant
        ]
        return meant, owners[-1]

    def search(self, question: str, names: Sequence[str] = (), most: int = 5) -> Hits:
        """The passages that a question is about.

        Args:
            question: Words.
            names: Documents to search, as `named` takes them; all where there are none.
            most: How many passages.

        Raises:
            UnknownName: A name means nothing.
        """
        notes = self._refresh()
        meant, words = self.named(names) if names else None, terms(question)
        if not words:
            return Hits((), 0.0, tuple(notes))
        embedded = cache(lambda: self._embedded(question, notes))  # by a request, which not every search needs
        own = self._own(embedded, words, meant, most)
        ranked = [own, self._shared(question, embedded, meant, notes, most * _WIDER)]
        best = _spread(fused(*ranked) if all(ranked) else ranked[0] or ranked[1], most)
        weights = {word: self._words.weight(word) if self._words else 1.0 for word in dict.fromkeys(words)}
        return Hits(tuple(best), max((_fit(weights, each) for each in best), default=0.0), tuple(notes))

    def _own(
        self, embedded: Callable[[], bytes], words: Sequence[str], meant: Sequence[Stored] | None, most: int
    ) -> list[Passage]:
        """The best of the notebook's own passages."""
        within = None if meant is None else {each.id for each in meant if not each.owner}
        if not self.path.exists() or within == set() or (index := self._word_index()) is None:
            return []
        scores = dict(index.ranked(set(words), within, _DEEP))
        by_meaning = self._by_meaning(embedded, within)
        best = fused(list(scores), by_meaning) if by_meaning else list(scores)
        found = self.store.passages(best[: most * _WIDER])
        return [found[number].scored(scores.get(number, 0.0)) for number in best if number in found]

    def _shared(
        self,
        question: str,
        embedded: Callable[[], bytes],
        meant: Sequence[Stored] | None,
        notes: list[str],
        most: int,
    ) -> list[Passage]:
        """The best of the passages that the gateway shares."""
        names = [each.name for each in meant or () if each.owner]
        if self.shared is None or (meant is not None and not names):
            return []
        model, shared = self.embedder.model if self.embedder else "", self.shared
        try:
            found = [] if model in shared.models else shared.search(question, names, most)
            if model in shared.models and (vector := embedded()):  # `models` are known after the first search
                found = shared.search(question, names, most, (model, vector))
        except RsqlError as problem:
            notes.append(f"the gateway's documents were not searched: {problem.message.rstrip('.')}")
            return []
        return found

    def _word_index(self) -> WordIndex | None:
        if self._words is None or self._words.stamp != self.store.stamp():
            self._words = WordIndex.of(self.store)
        return self._words

    def _embedded(self, question: str, notes: list[str]) -> bytes:
        """The vector of a question; empty without a model, or where it fails."""
        if self.embedder is None:
            return b""
        try:
            return packed(self.embedder.embed([question])[0])
        except RsqlError as problem:
            notes.append(problem.message)
            return b""

    def _by_meaning(self, embedded: Callable[[], bytes], within: set[int] | None) -> list[int]:
        if self.embedder is None:
            return []
        index = self._meanings
        if index is None or (index.stamp, index.model) != (self.store.stamp(), self.embedder.model):
            index = self._meanings = MeaningIndex.of(self.store, self.embedder.model)
        if index is None or not (vector := embedded()):
            return []
        return index.ranked(self.store, vector, within, _DEEP)

    def _embed(self, progress: Callable[[int, int, str], None], notes: Notes) -> None:
        """Have the new passages embedded, where a model does that; without it they are found by their words."""
        if self.embedder is None:
            return
        try:
            done = 0
            while batch := self.store.without_vector(self.embedder.model, _AT_ONCE):
                progress(done, done + len(batch), f"meaning of {done:,} passages")
                given = self.embedder.embed([f"{one.heading}\n{one.text}" for _, one in batch])
                vectors = [(number, packed(each)) for (number, _), each in zip(batch, given, strict=True)]
                self.store.put_vectors(self.embedder.model, vectors)
                done += len(batch)
        except RsqlError as problem:
            notes.said.append(f"found by words alone: {problem.message.rstrip('.')}")

    def _refresh(self) -> list[str]:
        """Read files again that have changed since, and say so; of one that is gone, what was read stays."""
        changed, said = [], []
        for each in self.documents():
            if not each.is_file or (mark := change_mark(Path(each.origin))) == each.mark:
                continue
            if not mark:
                said.append(f"{each.name} is no longer there; what was read of it is used")
                continue
            try:
                changed.append(read_file(Path(each.origin), each.name, Notes()))
                said.append(f"{each.name} has changed and was read again")
            except BadInput as problem:
                said.append(f"{each.name} has changed, and what was read before is used: {problem.message}")
        if changed:
            self.store.put(with_terms(iter(changed)), now=self.clock())
            self._embed(lambda *_: None, Notes())
        return said


@dataclass(frozen=True)
class Added:
    """What was added, and what is to be said about it."""

    documents: tuple[Stored, ...]
    notes: tuple[str, ...] = ()

    @property
    def passages(self) -> int:
        """How many passages it has."""
        return sum(each.passages for each in self.documents)


def with_terms(documents: Iterable[Document]) -> Iterator[tuple[Document, list[tuple[str, str]]]]:
    """Documents, each with the terms of its passages' headings and texts."""
    return ((one, [(headed(each), " ".join(terms(each.text))) for each in one.passages]) for one in documents)


def _fit(weights: Mapping[str, float], passage: Passage) -> float:
    """The share of a question's words that a passage holds, weighed; one word alone tells too little."""
    said = {*terms(" ".join([passage.document, *passage.path])), *terms(passage.text)}
    others = related(weights.keys())
    held = {word: 1.0 if word in said else _SYNONYM if others[word] & said else 0.0 for word in weights}
    if sum(map(bool, held.values())) < _FEWEST:
        return 0.0
    return sum(weights[word] * share for word, share in held.items()) / sum(weights.values())


def _spread(passages: Sequence[Passage], most: int) -> list[Passage]:
    """The first of them, with no more than two of one document as long as there are others."""
    counts: Counter[str] = Counter()
    first: list[Passage] = []
    rest: list[Passage] = []
    for each in passages:
        counts[each.document] += 1
        (first if counts[each.document] <= _OF_ONE else rest).append(each)
    return (first[:most] + rest)[:most]
