"""The names and values of a catalog, by the words that a question may say for them; and how its tables join."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice, product
from typing import TYPE_CHECKING

from rsql_magic.sql import Lexicon, Weights, phrases_of, stems, thesaurus, value_kind

from .draft import NotUnderstood
from .words import STEMS, WHOLE, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rsql_magic.sql import Catalog, Meaning, Profile, Table

# How much of a name a question says: all of it, all but a unit or a general ending, a part of it.
EXACT, GENERAL, PARTIAL = 0, 1, 2
_NAME = stems("name")[0]
_NUMBER = stems("number")[0]
_FORM = 0.9  # how surely a word stands for another that is a form of it: sold, sale
_SUFFIXES = ("id", "name", "code", "type", "no", "num", "number", "date", "title", "key")
_MOST_PHRASES = 24  # of the ways to say a name; one of many abbreviations has hundreds, and the plainest come first
_BEGINNING = 5  # letters that a verb has in common with the noun of a table
LONGEST = 6  # words of a question that name one thing


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a table: the table's full name, the column's own, its type and what is known of its values."""

    table: str
    name: str
    type: str = ""
    profile: Profile | None = None
    unique: bool = False
    key: bool = False
    meaning: Meaning | None = None

    @property
    def synonyms(self) -> tuple[str, ...]:
        """What a dictionary says that people call it."""
        return self.meaning.synonyms if self.meaning else ()

    @property
    def meanings(self) -> tuple[tuple[str, str], ...]:
        """Stored values with what a dictionary says they mean."""
        return self.meaning.values if self.meaning else ()

    @property
    def is_number(self) -> bool:
        """Whether its type holds numbers."""
        return value_kind(self.type) == "number"

    @property
    def is_time(self) -> bool:
        """Whether its type holds dates or times."""
        return value_kind(self.type) == "time" and self.type.lower() != "year"

    @property
    def is_truth(self) -> bool:
        """Whether its type knows only true and false."""
        return value_kind(self.type) == "bool"

    @property
    def is_text(self) -> bool:
        """Whether it holds anything else."""
        return not (self.is_number or self.is_time or self.is_truth)

    @property
    def is_id(self) -> bool:
        """Whether its name says that it identifies something and measures nothing."""
        if self.meaning and self.meaning.measure:
            return self.meaning.measure == "id"
        return self.key or self.name.lower().endswith("id") or not WORDS["ids"].isdisjoint(words_of(self.name)[-1:])

    @property
    def values(self) -> tuple[str, ...]:
        """The values that are known."""
        return self.profile.values if self.profile else ()

    @property
    def ends(self) -> tuple[str | None, str | None]:
        """The smallest and the largest value, where they are known exactly."""
        exact = self.profile and not self.profile.approximate
        return (self.profile.low, self.profile.high) if self.profile and exact else (None, None)

    @property
    def complete(self) -> bool:
        """Whether all its values are known."""
        return bool(self.profile and self.profile.complete and self.profile.values)


@dataclass(frozen=True, slots=True)
class ColumnMatch:
    """What a phrase may name: a column, and how much of its name is said (`EXACT`, `GENERAL`, `PARTIAL`)."""

    field: Field
    doubt: int
    owned: bool = False  # whether the phrase says the table as well: "student name" for ``student.name``


@cache
def words_of(name: str) -> tuple[str, ...]:
    """The stems of a name, compounds such as ``lname`` taken apart: they hold no blanks."""
    found: list[str] = []
    for stem in stems(name):
        found += [one for word in WHOLE[stem].split() for one in stems(word)] if stem in WHOLE else [stem]
    if found[-1:] == [_NAME] and found[-2:-1] in (["l"], ["f"]):  # l_name is the last name
        found[-2] = {"l": "last", "f": "first"}[found[-2]]
    return tuple(found)


class SchemaNames:
    """The words for everything in a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        names = [name for t in catalog for name in (t.name, *(c.name for c in t.columns))]
        self._lexicon = Lexicon(names, Weights())
        first = [words[0] for table in catalog if len(words := words_of(table.name)) > 1]
        most = max(3.0, len(catalog) * 2 / 3)
        # What most tables begin with although it is no word, such as mdl: nobody says it.
        self._prefixes = {word for word in first if len(word) <= 4 and first.count(word) >= most}
        self._spelled: dict[str, tuple[tuple[str, ...], ...]] = {}
        self.fields = {table.full_name: tuple(_fields(table)) for table in catalog}
        self.joins = SchemaJoins(catalog)
        self.columns: dict[tuple[str, ...], list[ColumnMatch]] = {}
        self.tables: dict[tuple[str, ...], list[str]] = {}
        for table in catalog:
            own = self._own_words(table)
            for phrase in self._phrases(own):
                _add(self.tables, phrase, table.full_name)
            for field in self.fields[table.full_name]:
                self._add_column(field, own)
            for phrase in map(_phrase, table.synonyms):
                _add(self.tables, phrase, table.full_name)
        self.heads = self._heads()
        self.parts = self._parts()
        metrics = catalog.definitions.metrics
        self.metrics = {phrase: one for one in reversed(metrics) for phrase in map(_phrase, phrases_of(one))}

    @classmethod
    def of(cls, catalog: Catalog) -> SchemaNames:
        """The names of a catalog, kept with it."""
        # Several questions are asked of one catalog; its names are read once.
        memo = vars(catalog)
        if "_offline_names" not in memo:
            memo["_offline_names"] = cls(catalog)
        names: SchemaNames = memo["_offline_names"]
        return names

    def _heads(self) -> dict[tuple[str, ...], str]:
        """Tables by the last word of their names, where only one ends so: "transactions"."""
        found: dict[tuple[str, ...], list[str]] = {}
        for table in self.catalog:
            own = self._own_words(table)
            for phrase in self._phrases(own[-1:]) if len(own) > 1 else ():
                _add(found, phrase, table.full_name)
        words = [word for table in self.catalog for word in self._own_words(table)]
        # A column that is called so altogether goes before a table whose last word it is.
        exact = {phrase for phrase, some in self.columns.items() if any(one.doubt == EXACT for one in some)}
        return {p: names[0] for p, names in found.items() if words.count(p[0]) == 1 and p not in exact}

    def _parts(self) -> dict[tuple[str, ...], str]:
        """Tables by a word of their names that no other name has: "counties" of ``county_public_safety``."""
        found: dict[tuple[str, ...], list[str]] = {}
        for table in self.catalog:
            own = self._own_words(table)
            for word in own if len(own) > 1 else ():
                for phrase in self._phrases((word,)):
                    _add(found, phrase, table.full_name)
        return {
            phrase: some[0]
            for phrase, some in found.items()
            if len(some) == 1 and phrase not in self.tables and phrase not in self.columns and phrase not in self.heads
        }

    def resembling(self, word: str) -> set[str]:
        """The tables whose names have a word that begins like one: ``course_attendance`` for "attended"."""
        start = word.lower()[:_BEGINNING]
        parts = {table.full_name: re.findall(r"[a-z]+", table.name.lower()) for table in self.catalog}
        return {
            name for name, some in parts.items() if len(start) == _BEGINNING and any(w.startswith(start) for w in some)
        }

    def _own_words(self, table: Table) -> tuple[str, ...]:
        """The words of a table's name without what nobody says: a common prefix, "table", "data"."""
        words = words_of(table.name)
        kept = [w for place, w in enumerate(words) if not (place == 0 and w in self._prefixes)]
        kept = [word for word in kept if word not in WORDS["table_endings"]] or kept
        return tuple(kept) or words

    def _add_column(self, field: Field, table: tuple[str, ...]) -> None:
        # “date of birth” is said “birth date”, too.
        words = tuple(word for word in words_of(field.name) if word not in WORDS["inner"]) or words_of(field.name)
        for phrase in filter(None, map(_phrase, field.synonyms)):
            _offer(self.columns, phrase, ColumnMatch(field, EXACT))
        if not words:  # a name without a word, such as "#" and "%": it can only be written out
            return
        bare = _without_table(words, table) or words
        for spelled in dict.fromkeys((words, bare)):
            for phrase in self._phrases(spelled):
                _offer(self.columns, phrase, ColumnMatch(field, EXACT))
        for phrase in self._phrases((*table, *bare)):
            _offer(self.columns, phrase, ColumnMatch(field, EXACT, owned=True))
        self._add_nouns(field, bare, counting(words))
        # “the name” of a thing is what it is called by.
        if self.called(field.table) == (field,):
            _offer(self.columns, (_NAME,), ColumnMatch(field, GENERAL))
        for form in self.forms(bare[0]) if len(bare) == 1 else ():
            _offer(self.columns, (form,), ColumnMatch(field, GENERAL))
        for doubt, shorter in dict.fromkeys((*_shorter(bare), *_shorter(words))):
            for phrase in self._phrases(shorter):
                _offer(self.columns, phrase, ColumnMatch(field, doubt))

    def _add_nouns(self, field: Field, bare: tuple[str, ...], counts: str) -> None:
        """A column by a general noun more: ``bedroom_count`` is the number of bedrooms, ``phone`` the phone number."""
        if counts and field.is_number:
            rest = tuple(word for word in bare if word != counts)
            for phrase in self._phrases(rest) if rest else ():
                _offer(self.columns, phrase, ColumnMatch(field, GENERAL))
                _offer(self.columns, tuple(sorted((*phrase, _NUMBER))), ColumnMatch(field, EXACT))
        elif len(bare) == 1 and not (field.is_id or {_NUMBER, _NAME} & set(bare)):
            for phrase, noun in product(self._phrases(bare), (_NUMBER, _NAME)):
                _offer(self.columns, tuple(sorted((*phrase, noun))), ColumnMatch(field, PARTIAL))

    def _phrases(self, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        # Sorted, as “date of birth” and “birth date” are the same.
        for chosen in islice(product(*map(self._spellings, words)), _MOST_PHRASES):
            yield tuple(sorted(stem for option in chosen for stem in option))

    def _spellings(self, word: str) -> tuple[tuple[str, ...], ...]:
        """A word itself, the long words it is short for, and its parts where it is a compound."""
        if word not in self._spelled:
            long = (
                tuple(w for w in phrase.split() if w not in WORDS["inner"])
                for phrase in thesaurus().short.get(word, ())
            )
            parts = tuple(stem for part in self._lexicon.parts(word) for stem in stems(part))
            self._spelled[word] = tuple(dict.fromkeys(((word,), *long, *([parts] if parts else ()))))
        return self._spelled[word]

    @cached_property
    def values(self) -> dict[str, list[tuple[tuple[str, ...], Field, str, str]]]:
        """The stored values by the first stem of what is said for them: themselves, or what a dictionary calls them."""
        found: dict[str, list[tuple[tuple[str, ...], Field, str, str]]] = {}
        for fields in self.fields.values():
            for field in fields:
                for said, value in (*((v, v) for v in field.values), *((m or v, v) for v, m in field.meanings)):
                    if words := stems(said):
                        found.setdefault(words[0], []).append((words, field, value, said))
        return found

    def forms(self, word: str) -> set[str]:
        """A stem and its other forms: born and birth."""
        return {word, *(other for other, sure in thesaurus().near.get(word, {}).items() if sure >= _FORM)}

    def field(self, table: str, name: str) -> Field | None:
        """The column of that name, case ignored, or None."""
        return next((f for f in self.fields.get(table, ()) if f.name.casefold() == name.casefold()), None)

    def repeats(self, field: Field) -> bool:
        """Whether some value of a column is known to come several times."""
        distinct, rows = field.profile.distinct if field.profile else None, self.catalog[field.table].rows
        return distinct is not None and rows is not None and distinct < rows

    def key(self, table: str) -> Field | None:
        """The one column that tells a table's rows apart, or None."""
        # A key of several columns is no name for a thing.
        primary = self.catalog[table].primary_key
        if len(primary) == 1:
            return self.field(table, primary[0])
        unique = [field for field in self.fields[table] if field.unique and not primary]
        return next((field for field in unique if field.is_id), None) or next(iter(unique), None)

    def called(self, table: str) -> tuple[Field, ...]:
        """The columns a person calls a table's things by: ``name``, ``title``, first and last name; none without."""
        own = self._own_words(self.catalog[table])
        texts = [f for f in self.fields[table] if f.is_text and not (f.meaning and f.meaning.restricted)]
        short = {f: _without_table(words_of(f.name), own) or words_of(f.name) for f in texts}
        person = [next((f for f in texts if short[f][-2:] == (part, _NAME)), None) for part in ("first", "last")]
        whole = tuple(f for f in person if f)
        for wanted in ((_NAME,), own, stems("title")):
            # The title of a person is no name: "Dr.".
            found = [f for f in texts if short[f] == wanted or (wanted == own and words_of(f.name) == own)]
            if found and not (wanted == stems("title") and len(whole) == 2):
                return (found[0],)
        return whole if len(whole) == 2 else ()


def _fields(table: Table) -> Iterator[Field]:
    keyed = {name for key in table.foreign_keys for name in key.columns} | set(table.primary_key)
    for column in table.columns:
        known = column.profile
        differ = bool(known and table.rows and known.distinct == table.rows and not (known.approximate or known.nulls))
        unique = differ or table.primary_key == (column.name,)
        yield Field(table.full_name, column.name, column.type, known, unique, column.name in keyed, column.meaning)


def counting(words: tuple[str, ...]) -> str:
    """The word of a name that says that it counts: of ``num_of_shops`` and ``bedroom_count``, not ``flat_number``."""
    if len(words) < 2:
        return ""
    return words[0] if words[0] in STEMS["counts"] else words[-1] if words[-1] == "count" else ""


def _without_table(words: tuple[str, ...], table: tuple[str, ...]) -> tuple[str, ...]:
    # Words that only repeat the table go: stu_lname of students, EmployeeName.
    if len(words) < 2:
        return tuple(stem for word in words for stem in stems(_suffix(word, table))) or words
    rest = tuple(word for word in words if word not in table)
    if rest != words:
        return rest
    return words[1:] if _shortens(words[0], table) else words


def _suffix(word: str, table: tuple[str, ...]) -> str:
    # What follows letters for the table within one word: id of eid of employees.
    for suffix in _SUFFIXES:
        for ending in {suffix, "".join(stems(suffix))}:
            prefix = word.removesuffix(ending)
            if prefix not in {word, ""} and _shortens(prefix, table):
                return suffix
    return ""


def _shortens(prefix: str, table: tuple[str, ...]) -> bool:
    # The start of a table's name, or its initials.
    starts = len(prefix) <= 4 and any(word.startswith(prefix) and word != prefix for word in table)
    return starts or (len(table) > 1 and prefix == "".join(word[0] for word in table))


def _shorter(words: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Shorter ways to say a column's words: without a unit or general ending, or only its end."""
    kept = words
    while len(kept) > 1 and kept[-1] in STEMS["units"]:
        kept = kept[:-1]
        yield GENERAL, kept
    if len(kept) > 1 and kept[-1] in STEMS["general"]:
        yield GENERAL, kept[:-1]
    yield from ((PARTIAL, kept[start:]) for start in range(1, len(kept)))


def _add(index: dict[tuple[str, ...], list[str]], phrase: tuple[str, ...], name: str) -> None:
    if name not in index.setdefault(phrase, []):
        index[phrase].append(name)


def _offer(index: dict[tuple[str, ...], list[ColumnMatch]], phrase: tuple[str, ...], one: ColumnMatch) -> None:
    known = index.setdefault(phrase, [])
    same = next((place for place, other in enumerate(known) if other.field == one.field), None)
    if same is None:
        known.append(one)
    elif (one.doubt, one.owned) < (known[same].doubt, known[same].owned):
        known[same] = one


def _phrase(text: str) -> tuple[str, ...]:
    return phrase_of(re.findall(r"\w+", text))


def phrase_of(words: Sequence[str]) -> tuple[str, ...]:
    """Words of a question as an index has them: their stems, small words left out, sorted."""
    return tuple(sorted(stem for word in words if word.lower() not in WORDS["inner"] for stem in words_of(word)))


def _differs(table: Table, columns: Sequence[str]) -> bool:
    """Whether no two rows of a table have the same value of a column."""
    found = [column for column in table.columns if column.name in columns]
    known = found[0].profile if len(found) == 1 else None
    return bool(known and table.rows and known.distinct == table.rows and not known.approximate)


@dataclass(frozen=True, slots=True)
class JoinStep:
    """One join: the table it brings in, the one it starts from, and the pairs of columns of both that are equal."""

    table: str
    origin: str
    pairs: tuple[tuple[str, str], ...]
    back: bool  # whether it goes against a key, so that a row may have no partner
    to_many: bool  # whether several rows of the table brought in may fit one of the other


class SchemaJoins:
    """The keys of a catalog as a graph, declared and inferred, with the one shortest path between two tables."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.steps: dict[str, list[JoinStep]] = {table.full_name: [] for table in catalog}
        for table in catalog:
            for key in table.foreign_keys:
                other = catalog.get(key.table)
                if other is None:
                    continue
                pairs = tuple(zip(key.columns, key.referred or other.primary_key, strict=False))
                back = tuple((there, here) for here, there in pairs)
                alone = set(table.primary_key) == set(key.columns) or _differs(table, key.columns)
                self.steps[table.full_name].append(
                    JoinStep(other.full_name, table.full_name, pairs, back=False, to_many=False)
                )
                self.steps[other.full_name].append(
                    JoinStep(table.full_name, other.full_name, back, back=True, to_many=not alone)
                )

    def path(self, start: str, end: str) -> tuple[JoinStep, ...]:
        """The shortest way from one table to another."""
        paths: list[tuple[JoinStep, ...]] = [()]
        seen, found = {start}, list[tuple[JoinStep, ...]]()
        while paths and not found:
            found = [path for path in paths if (path[-1].table if path else start) == end]
            paths = [
                (*path, step)
                for path in paths
                for step in self.steps[path[-1].table if path else start]
                if step.table not in seen
            ]
            # Only now, so that several ways of one length are found.
            seen.update(path[-1].table for path in paths)
        if not found:
            raise NotUnderstood(f"I see no key that joins {start} and {end}")
        if len(found) > 1:
            keys = " or ".join(f"{path[0].origin}.{path[0].pairs[0][0]}" for path in found[:3])
            raise NotUnderstood(f"{start} and {end} can be joined in several ways, by {keys}")
        return found[0]

    def tree(self, start: str, needed: Iterable[str]) -> tuple[JoinStep, ...]:
        """The joins that bring all needed tables to a first one, each once."""
        steps: dict[str, JoinStep] = {}
        for name in needed:
            for step in self.path(start, name):
                if steps.setdefault(step.table, step) != step:
                    raise NotUnderstood(f"{start} and {name} can be joined in several ways")
        return tuple(steps.values())

    def only_links(self, name: str) -> bool:
        """Whether a table holds little but keys of two others, so that a question need not name it."""
        table = self._catalog[name]
        keyed = {name for key in table.foreign_keys for name in key.columns} | set(table.primary_key)
        return len(table.foreign_keys) >= 2 and len(table.columns) - len(keyed) <= 2
