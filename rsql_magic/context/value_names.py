"""Columns whose names are values: one-hot columns, pivot tables, words counted in texts.

``pd.get_dummies(visits)`` makes a column of each patient. Such a name tells as much as the value itself, so it follows
the same rule: a value that fewer rows than ``at_least`` have is not said. Three things give such columns away:

- pandas names the axis of a pivot table's columns (`Reader.named_by`);
- how they are filled: flags and numbers of which all but a few are zero or missing;
- a text column of the session holds their names, or what follows a known column's name in them.

Where searching all texts is too much work, names that begin alike, five and more, are taken for values, and so are
more than thirty of one type that do not.

What nothing gives away is a dense pivot table, without a name on its axis, of data that is no longer in the session.
"""

# ruff: noqa: SIM905 - lists of words read better as text

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

from rsql_magic.context.reader import WHOLE, fold, positions
from rsql_magic.context.sources import Fences
from rsql_magic.redaction import says_literal, says_personal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from rsql_magic.context.reader import Marks, Reader

# More columns of one kind than this are never named one by one: so many values are free text.
MANY = 30
# How many of them are looked at to know what kind they are.
_LOOKED_AT = 8
# Most columns of one frame that are looked at.
_MOST_LOOKS = 400
# A frame with fewer rows than this times `at_least` is too short to tell a rare flag from a small frame.
_ENOUGH = 4
# Most cells of a sparse column that are filled.
_EMPTY = 0.2
# Rows of the session's texts that are searched, about half a second: the same on a busy machine.
_WORK = 5_000_000
# Rows whose search takes as long as to begin with a column (2 ms).
_A_COLUMN = 20_000
# Seconds that a frame may take to answer one question; frames of a usual session take milliseconds.
_ONE_FRAME = 10.0
# The same for further frames of the same columns: a session may hold a hundred parts of one frame.
_REPEATED_WORK = 200_000
# So many columns with one beginning may be values, where there was no time to see that they are none.
_ALIKE = 5
# Rows of a column of text that are looked at to see how it is filled.
_ROWS_OF_TEXT = 1_000

_SPLIT = re.compile(r"[_=:/.\[\]]+")
_SHORT_NUMBER = re.compile(r"[0-9]{1,4}")
# What a flag's name begins with when it says something of its own: is_open, has_kids.
_VERBS = frozenset("is has was had are can did does do will should use used uses any all no not needs".split())
# Columns that list names of columns: the importance of features, a melted frame, a code book, tidy coefficients.
_LISTINGS = frozenset(
    """
    feature features variable variables column columns col cols field fields term terms predictor predictors parameter
    parameters metric metrics measure measures statistic statistics coefficient coefficients attribute attributes index
    key keys token tokens word words lemma column_name variable_name feature_name colname varname
    """.split()
)


def by_filling(reader: Reader, at_least: int, *, all_of_them: bool = False) -> set[int]:
    """Columns that seem to be named by values which fewer rows than ``at_least`` have."""
    # `all_of_them` gives one-hot columns of frequent values too, as where no value may be said.
    # Columns that a query named by a value: a text in the name, or a column that holds nothing but it.
    found = {place for place, name in enumerate(reader.names) if says_literal(written(name))}
    families = reader.families
    texts = [n for n, kind in enumerate(reader.types) if families[kind] in {"text", "object"} and n not in found]
    # A frame that does not know its rows is lazy, and looking at some would run its query.
    rows = reader.head(texts[:_MOST_LOOKS], 3) if reader.is_frame and reader.rows and texts else []
    constant = zip(texts, zip(*rows, strict=True), strict=False)
    names = {place: written(reader.names[place]) for place in texts}
    found |= {place for place, cells in constant if all(isinstance(c, str) and c == names[place] for c in cells)}
    if reader.named_by:
        places = set(range(len(reader.names)))
        return found | (places if all_of_them or says_personal(reader.named_by) else reader.rare_names(at_least))
    for prefix, group in alike(reader):
        marks = {place: reader.marks(place) for place in _samples(group)}
        found |= _Group(prefix, group, marks, reader.rows, at_least, all_of_them).suppressed()
    return found | (_pivoted_texts(reader) if all_of_them else set())


def _pivoted_texts(reader: Reader) -> set[int]:
    """Columns of text of which each row fills one only, as in a pivot table of texts."""
    families = reader.families
    texts = [place for place, kind in enumerate(reader.types) if families[kind] in {"text", "time"}]
    if not reader.rows or len(texts) < 2:
        return set()
    looks = {place: reader.sample(place, positions(reader.rows, _ROWS_OF_TEXT)) for place in texts[:_MOST_LOOKS]}
    return _one_a_row({place: (look.size - look.missing, look.size) for place, look in looks.items()})


def _one_a_row(filled: Mapping[int, tuple[int, int]]) -> set[int]:
    """The columns of which no row has more than one, as far as counts can tell; empty where that is fewer than two."""
    # `filled` holds by place how many rows fill the column, of how many.
    left = max((size for _, size in filled.values()), default=0)
    found = set()
    for place, (count, size) in sorted(filled.items(), key=lambda item: item[1][0]):
        left -= count
        if left < 0 or count == size:
            break
        found.add(place)
    return found if len(found) > 1 and any(filled[place][0] for place in found) else set()


def alike(reader: Reader) -> list[tuple[str, list[int]]]:
    """Columns of one type whose names begin alike, or that have no beginning in common: (beginning, places)."""
    begun: dict[tuple[str, str], list[int]] = defaultdict(list)
    families = reader.families
    for place, (name, kind) in enumerate(zip(reader.names, reader.types, strict=True)):
        text = written(name) if families[kind] in {"bool", "integer", "number", "object"} else ""
        if text and (prefix := prefix_of(text)) is not None:
            begun[prefix, kind].append(place)
    alone: dict[str, list[int]] = defaultdict(list)
    found = []
    for (prefix, kind), places in begun.items():
        if prefix:
            found.append((prefix, places))
        if not prefix or len(places) == 1:
            alone[kind] += places
    found += [("", sorted(places)) for places in alone.values() if len(places) > 1]
    # Large groups first, as far as there is time to look at them.
    kept, looks = [], 0
    for prefix, group in sorted(found, key=lambda each: -len(each[1])):
        looks += len(_samples(group))
        if looks > _MOST_LOOKS:
            break
        kept.append((prefix, group))
    return kept


def looked_at(reader: Reader) -> list[int]:
    """The columns whose filling must be known to tell."""
    return sorted({place for _, group in alike(reader) for place in _samples(group)})


def _samples(group: Sequence[int]) -> Sequence[int]:
    return group if len(group) <= MANY else group[:: -(-len(group) // _LOOKED_AT)]


def written(name: object) -> str:
    """A column's name as one text, also where it has several levels; empty where it is a number or a time."""
    if isinstance(name, tuple):
        return "_".join(part for part in map(str, name) if part)
    return name if isinstance(name, str) else ""


def prefix_of(name: str) -> str | None:
    """What stands before the first separator; None where only a short number follows, as in ``metric_12``.

    Example:
        >>> [prefix_of(name) for name in ("diagnosis_flu", "flu", "metric_12")]
        ['diagnosis', '', None]
    """
    if (first := _SPLIT.search(name[:200], 1)) is None or not name[first.end() :]:
        return ""
    return None if _SHORT_NUMBER.fullmatch(name[first.end() :]) else name[: first.start()]


@dataclass(frozen=True)
class _Group:
    """Columns of one type whose names have one beginning, or none in common (``prefix`` is empty)."""

    # `marks` says how those that were looked at are filled; `all_of_them` that no frequent value may be said either.

    prefix: str
    places: Sequence[int]
    marks: Mapping[int, Marks | None]
    rows: int | None
    at_least: int
    all_of_them: bool

    def suppressed(self) -> set[int]:
        known = {place: marks for place, marks in self.marks.items() if marks is not None}
        if self.all_of_them and len(self.places) <= MANY:
            return self._named() | _one_a_row({place: (marks.filled, marks.size) for place, marks in known.items()})
        return self._named()

    def _named(self) -> set[int]:
        known = {place: marks for place, marks in self.marks.items() if marks is not None}
        if len(self.places) > MANY:
            return set(self.places) if self._is_crowd(list(known.values())) else set()
        if self.prefix.lower() in _VERBS:
            return set()
        flags = {place for place, marks in known.items() if marks.is_flag or (marks.is_two_valued and self._is_long)}
        if self._is_one_hot(flags) and (self.all_of_them or says_personal(self.prefix)):
            return flags
        sparse = {place for place, marks in known.items() if marks.filled <= _EMPTY * marks.size} | flags
        told = (flags if self.prefix and len(flags) == 1 else set()) | (sparse if len(sparse) > 1 else set())
        if not self._is_long and not self._is_one_hot(flags):
            return set()
        filled = any(known[place].filled for place in sparse)
        return {
            place
            for place in told
            if known[place].count < self.at_least and (known[place].count if len(told) == 1 else filled)
        }

    @property
    def _is_long(self) -> bool:
        return (self.rows or 0) >= _ENOUGH * self.at_least

    def _is_crowd(self, known: Sequence[Marks]) -> bool:
        """Whether so many columns are flags, or all but empty."""
        like = [marks for marks in known if marks.is_flag or marks.is_two_valued or marks.filled <= _EMPTY * marks.size]
        return 2 * len(like) > len(known) and any(marks.filled for marks in like)

    def _is_one_hot(self, flags: AbstractSet[int]) -> bool:
        """Whether each row can have one of the flags only; without a beginning in common, whether it has just one."""
        marks = [each for place in flags if (each := self.marks[place])]
        filled, size = sum(each.count for each in marks), max((each.size for each in marks), default=0)
        return len(marks) > 1 and filled > 0 and (filled <= size if self.prefix else filled == size)


# What the session's texts say


@dataclass(frozen=True, slots=True)
class Held:
    """A text that a text column, or a level of an index, of a frame holds in ``count`` rows."""

    frame: str
    column: str
    count: int


# Texts that were looked for, folded, with where they were found.
Counts = dict[str, list[Held]]

# A key of these where not everything could be looked at in time.
UNREACHED = ""

Found = TypeVar("Found")

# Looks texts up in what no reader can be asked for.
Elsewhere = Callable[["Sequence[str]"], Counts]


@dataclass(frozen=True)
class SessionValues:
    """Which column names of a session are values that may not be said."""

    readers: Mapping[str, Reader] = field(default_factory=dict)  # its frames by name
    at_least: int = 5  # the fewest rows a value must have to be said
    no_values: bool = False  # whether no value may be said, a frequent one neither
    elsewhere: Elsewhere | None = None  # looks texts up that others than these frames hold, such as R
    work: int = _WORK  # how many rows to search
    fences: Fences = field(default_factory=Fences)  # keep a frame that fails from spoiling the rest

    @cached_property
    def names(self) -> frozenset[str]:
        """Those names. A frame that fails here is described no more, so nothing of it need be known."""
        filled = {written(self.readers[frame].names[n]) for frame, (places, _) in self._looks.items() for n in places}
        return frozenset(self._held() | filled)

    def _ask(self, frame: str, call: Callable[[], Found], otherwise: Found) -> Found:
        return self.fences.ask(frame, call, otherwise, _ONE_FRAME)

    @cached_property
    def _looks(self) -> dict[str, tuple[set[int], frozenset[str]]]:
        """The columns of each frame that seem to be named by values, and those that hold texts."""
        return {
            frame: self._ask(frame, partial(self._look, reader), (set[int](), frozenset[str]()))
            for frame, reader in self.readers.items()
        }

    def _look(self, reader: Reader) -> tuple[set[int], frozenset[str]]:
        return by_filling(reader, self.at_least, all_of_them=self.no_values), frozenset(reader.texts())

    @cached_property
    def _texts(self) -> dict[str, frozenset[str]]:
        return {frame: texts for frame, (_, texts) in self._looks.items()}

    @cached_property
    def columns(self) -> frozenset[str]:
        """All column names that may be said."""
        frames = [each for frame, each in self.readers.items() if each.is_frame and frame not in self.fences.failed]
        every = {name for reader in frames for name in reader.names if isinstance(name, str)}
        return frozenset(every - self.names)

    def said(self, names: Sequence[str]) -> list[str]:
        """Those of the names that may be said; of unknown ones that begin alike, the beginning."""
        # A model may have been fitted to one-hot columns that are no longer there: `patient_Ann`, `patient_Bob`.
        begun = Counter(prefix_of(name) for name in names)
        known = [name in self.columns or begun[prefix_of(name)] < 2 or not prefix_of(name) for name in names]
        kept = [name for name, is_known in zip(names, known, strict=True) if is_known and name not in self.names]
        rest = [name for name in names if name not in kept]
        more = starred(rest)
        return [*kept, *more] if more or not rest else [*kept, f"{len(rest):,} that may be values"]

    def places(self, reader: Reader) -> set[int]:
        """The columns of a frame that have such names."""
        held = {place for place, name in enumerate(reader.names) if written(name) in self.names}
        known = next((frame for frame, other in self.readers.items() if other is reader), "")
        if known and known not in self.fences.failed:
            return held | self._looks[known][0]
        return held | by_filling(reader, self.at_least, all_of_them=self.no_values)

    def _held(self) -> set[str]:
        """Names that a text column holds."""
        if not (self._text_columns or self.elsewhere):
            return set()
        wanted: dict[str, list[tuple[str, str, str]]] = defaultdict(list)  # text → frame, column, what is before it
        for frame in self._unlike:
            reader = self.readers[frame]
            suspicious = self._suspicious[frame]
            for name in suspicious:
                for text, before in parts_of(name, self._text_columns):
                    wanted[fold(text)].append((frame, name, before))
            for name in {written(name) for name in reader.names} - suspicious if suspicious else ():
                wanted[fold(name)].append((frame, name, ""))
        if not wanted:
            return set()
        names = {name for found in wanted.values() for _, name, _ in found}
        raw = {text for name in names for text, _ in parts_of(name, self._text_columns)}
        found, unreached = self._counts(wanted.keys(), raw)
        told, spoken = self._told(wanted, found)
        if unreached:
            found_names = {name for text in found for _, name, _ in wanted.get(text, ())}
            told |= self._unsure(found_names, unlike_any=not unreached.isdisjoint({UNREACHED, *self._unlike}))
        return told - spoken

    def _unsure(self, found: AbstractSet[str], *, unlike_any: bool) -> set[str]:
        """Names that may be values which there was no time to find: many of one beginning, a crowd without any."""
        # Of the parts of one frame those that were reached speak for the rest, unless one was not reached that is like
        # no other (`unlike_any`): where they hold nothing of the names, the rest will not either.
        unsure: set[str] = set()
        for frame in self._unlike:
            begun: dict[str, set[str]] = defaultdict(set)
            for name in self._suspicious[frame]:
                if (prefix := prefix_of(name)) is not None:
                    begun[prefix].add(name)
            groups = [names for prefix, names in begun.items() if len(names) >= (_ALIKE if prefix else MANY)]
            unsure |= {name for names in groups if unlike_any or names & found for name in names}
        return unsure

    @cached_property
    def _suspicious(self) -> dict[str, set[str]]:
        return {frame: _suspicious(reader, self._texts[frame]) for frame, reader in self.readers.items()}

    @cached_property
    def _text_columns(self) -> frozenset[str]:
        return frozenset[str]().union(*self._texts.values())

    @cached_property
    def _unlike(self) -> frozenset[str]:
        """One frame of each kind: there may be a hundred parts of the same."""
        shapes = {(*map(str, reader.names), *reader.types): frame for frame, reader in self.readers.items()}
        return frozenset(shapes.values())

    def _counts(self, wanted: Iterable[str], raw: AbstractSet[str]) -> tuple[Counts, set[str]]:
        """Where the wanted texts are held, as far as the work goes, and the frames that were too much work."""
        # The quick frames come first, parts of the same last; `UNREACHED` stands for what is not reached elsewhere.
        folded, found = frozenset(wanted), self.elsewhere(sorted(raw)) if self.elsewhere else {}
        unreached = {UNREACHED} & found.keys()
        parts = sorted(self.readers.keys() - self._unlike)
        for frames, work in ((self._unlike, self.work), (parts, _REPEATED_WORK)):
            spent = 0
            for frame in sorted(frames, key=lambda frame: (self._effort(frame), frame)):
                reached = spent < work
                spent += self._effort(frame)
                for column in sorted(self._texts[frame]) if reached else ():
                    ask = partial(self.readers[frame].counts, column, raw, folded)
                    for text, count in self._ask(frame, ask, dict[str, int]()).items():
                        found.setdefault(text, []).append(Held(frame, column, count))
                if self._texts[frame] and (not reached or frame in self.fences.failed):
                    unreached.add(frame)
        return found, unreached

    def _effort(self, frame: str) -> int:
        return len(self._texts[frame]) * (_A_COLUMN + min(self.readers[frame].rows or 0, WHOLE))

    def _told(self, wanted: Mapping[str, Sequence[tuple[str, str, str]]], found: Counts) -> tuple[set[str], set[str]]:
        """The names of which some part is held, where that is no coincidence; and those that are no secret."""
        hits: dict[tuple[str, str, str], dict[str, tuple[str, int]]] = defaultdict(dict)
        for text, holders in found.items():
            for frame, name, before in wanted.get(text, ()):
                for held in holders:
                    if frame != held.frame or name != held.column:
                        hits[frame, held.frame, held.column][name] = (before, held.count)
        told: set[str] = set()
        spoken: set[str] = set()  # what a frequent value of a column about nobody says is no secret
        for (frame, holder, column), names in hits.items():
            if self._is_listing(frame, holder, column, names):
                continue
            alone = len(self.readers[frame].names) == 1 or not self.readers[frame].is_frame
            certain = says_personal(column) or len(names) > 1 or alone
            if certain and holder in self.readers and (self.readers[holder].rows or 0) > WHOLE:
                columns = list(zip(map(written, self.readers[frame].names), self.readers[frame].types, strict=True))
                kinds = {kind for name, kind in columns if name in set(names)}
                # It was not looked at as a whole, and may hold all the columns of the types that these have.
                told |= {name for name, kind in columns if kind in kinds and name}
            for name in names.keys() & self._suspicious[frame]:
                before, count = names[name]
                if certain or before == column:
                    rare = count < self.at_least or self.no_values or says_personal(column)
                    (told if rare else spoken).add(name)
        return told, spoken

    def _is_listing(self, frame: str, holder: str, column: str, names: Iterable[str]) -> bool:
        """Whether the column holds names of columns, as a code book does, and these columns are not made of it."""
        if column.lower() in _LISTINGS:
            return True
        others = self.readers[holder].names if holder in self.readers else ()
        if "value" in others and column.lower() in {"name", "variable", "key"}:  # a frame that was made longer
            return True
        reader = self.readers[frame]
        kinds = dict(zip(map(written, reader.names), reader.types, strict=True))
        return len({kinds[name] for name in names}) > 1


def _suspicious(reader: Reader, texts: AbstractSet[str]) -> set[str]:
    """Names of columns of which there are several of one type, as there are in a pivot table."""
    kinds = Counter(reader.types)
    return {
        name
        for name, kind in zip(map(written, reader.names), reader.types, strict=True)
        if 0 < len(name) <= 200 and (kinds[kind] > (2 if name in texts else 1) or len(reader.names) == 1)
    }


def parts_of(name: str, columns: AbstractSet[str]) -> list[tuple[str, str]]:
    """What in a name may be a value, each with the column's name that stands before it.

    Example:
        >>> parts_of("diagnosis_kuru", {"diagnosis"})
        [('diagnosis_kuru', ''), ('kuru', 'diagnosis'), ('diagnosis', '')]
    """
    found = [(name, "")]
    for split in _SPLIT.finditer(name):
        before, after = name[: split.start()], name[split.end() :]
        found += [(after, before if before in columns else ""), (before, "")]
    found += [(name[len(column) :], column) for column in columns if name.startswith(column) and name != column]
    plain = dict.fromkeys((text.strip(" _.-]"), before) for text, before in found)
    return [(text, before) for text, before in plain if len(text) > 2 and not _SHORT_NUMBER.fullmatch(text)]


def starred(names: Iterable[str]) -> list[str]:
    """Names that may not be said, as what they begin with where five or more do: ``patient_* (200 columns)``.

    Example:
        >>> starred([f"patient_{letter}" for letter in "abcdef"])
        ['patient_* (6 columns)']
    """
    begun = Counter(prefix_of(name) or "" for name in names)
    return [f"{prefix}_* ({count:,} columns)" for prefix, count in begun.items() if prefix and count >= 5]
