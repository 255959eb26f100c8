"""What stands at a place of a question: a name of the catalog, a stored value, a number, a text."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from rsql_magic.sql import stems

from .draft import Name, NotUnderstood, Value
from .schema import EXACT, LONGEST, PARTIAL, ColumnMatch, Field, SchemaNames, counting, phrase_of, words_of
from .words import COMPARATIVES, MEASURING, MONTHS, ORDINALS, PARTS, SEXES, STEMS, SUPERLATIVES, WORDS, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date

    from rsql_magic.sql import Catalog

    from .grammar import Found
    from .words import Token

_UNITS = ("day", "week", "month", "quarter", "year")


@dataclass(frozen=True, slots=True)
class Degree:
    """The columns that an adjective or verb measures, and whether more of it means a larger value."""

    name: Name
    high: bool = True


class SchemaMentions:
    """The names, values and numbers of one question."""

    def __init__(self, tokens: Sequence[Token], names: SchemaNames, today: date | None = None) -> None:
        self._tokens, self._names, self._today = tokens, names, today
        self._every = [field for fields in names.fields.values() for field in fields]

    @property
    def terminals(self) -> Mapping[str, Callable[[int], Iterator[Found]]]:
        """What finds each kind at a place, for a parser."""
        return {
            "column": self.columns,
            "column_pair": self.pairs,
            "table": self.tables,
            "metric": self.metrics,
            "stored": self.stored,
            "number": self.numbers,
            "text": self.texts,
            "proper": self.propers,
            "word": self.words,
            "comparative": lambda at: self._degrees(at, COMPARATIVES),
            "superlative": lambda at: self._degrees(at, SUPERLATIVES),
            "measuring": lambda at: self._degrees(at, MEASURING),
            "happening": self.happenings,
            "month": lambda at: self._meaning(at, MONTHS),
            "ordinal": lambda at: self._meaning(at, ORDINALS),
            "q": lambda at: self._meaning(at, {f"q{n}": n for n in range(1, 5)}),
            "unit": lambda at: self._meaning(at, {unit: unit for unit in _UNITS}),
            "units": lambda at: self._meaning(at, {s: unit for unit in _UNITS for s in (unit, f"{unit}s")}),
            "part": lambda at: self._meaning(at, PARTS),
            "year": self.years,
            "verb": self.verbs,
            "inflected": lambda at: self.verbs(at) if _is_inflected(self._at(at)) else iter(()),
            "today": self._day,
            "lone": lambda at: iter([(at, "")] if len(self._names.fields) == 1 else []),  # one table need not be named
        }

    def known(self) -> set[int]:
        """The places of all words that some name or value covers."""
        found = set[int]()
        for at in range(len(self._tokens)):
            for name, finds in self.terminals.items():
                for end, _ in finds(at) if name not in {"today", "word", "verb", "inflected", "lone"} else ():
                    found.update(range(at, end))
        return found

    def columns(self, at: int) -> Iterator[Found]:
        """Phrases that name a column; a name in backticks or with an underscore also where no column is called so."""
        token = self._at(at)
        if token is not None and (token.kind == "name" or (token.kind == "word" and "_" in token.text)):
            yield from self._written_out(token, at)
        # "number of" and "how many" name a column only where that counts things itself: ``num_of_shops``.
        said = [token.lower for token in self._tokens[at : at + 2]]
        counted = said in (["number", "of"], ["count", "of"], ["how", "many"], ["numbers", "of"])
        for end, words in self._spans(at):
            found = self._names.columns.get(phrase_of(words), ())
            if counted:
                found = [one for one in found if counting(words_of(one.field.name))]
            if found:
                yield end, Name(" ".join(words), tuple(found))

    def pairs(self, at: int) -> Iterator[Found]:
        """Two columns that share the end of their names: "start and end dates"."""
        words = [token.text for token in self._tokens[at : at + 5] if token.kind == "word"]
        if len(words) < 4 or words[1].lower() != "and":
            return
        for end in range(4, len(words) + 1):
            last = words[2:end]
            one, two = (self._names.columns.get(phrase_of(said)) for said in ([words[0], *last[1:]], last))
            if one and two and one != two:
                yield at + end, (Name(" ".join([words[0], *last[1:]]), tuple(one)), Name(" ".join(last), tuple(two)))

    def _at(self, at: int) -> Token | None:
        return self._tokens[at] if at < len(self._tokens) else None

    def _written_out(self, token: Token, at: int) -> Iterator[Found]:
        """A name as it is stored, or one that is not there and taken at the user's word."""
        fields = [field for field in self._every if field.name.casefold() == token.lower]
        known = token.text in self._names.catalog or (
            token.kind == "word" and phrase_of([token.text]) in self._names.columns
        )
        if token.kind == "name" and fields:
            yield at + 1, Name(token.text, tuple(ColumnMatch(field, EXACT) for field in fields))
        # Somebody who writes a name out insists on it: the database says whether it is there.
        elif not known:
            likeness = {f: SequenceMatcher(None, f.name.lower(), token.lower).ratio() for f in self._every}
            # It is one of the table whose column looks most like it.
            if near := max(likeness, key=likeness.__getitem__, default=None):
                yield at + 1, Name(token.text, (ColumnMatch(Field(near.table, token.text, near.type), EXACT),))

    def tables(self, at: int) -> Iterator[Found]:
        """Phrases that name a table, "records" behind it included; "rows" where there is only one table."""
        for end, words in self._spans(at):
            phrase = phrase_of(words)
            head = self._names.heads.get(phrase) or self._names.parts.get(phrase)
            for name in self._names.tables.get(phrase, [head] if head else ()):
                yield end, name
                if end < len(self._tokens) and self._tokens[end].lower in WORDS["rows"]:
                    yield end + 1, name
        token = self._at(at)
        if token and token.kind == "name" and (table := self._names.catalog.get(token.text)):
            yield at + 1, table.full_name
        only = list(self._names.fields)
        if token and len(only) == 1 and self._names_rows(token, only[0]):
            yield at + 1, only[0]

    def metrics(self, at: int) -> Iterator[Found]:
        """Phrases that name a metric: its name, label or a synonym."""
        for end, words in self._spans(at) if self._names.metrics else ():
            if (metric := self._names.metrics.get(phrase_of(words))) is not None:
                yield end, metric

    def _names_rows(self, token: Token, table: str) -> bool:
        """Whether a word stands for the rows of the one table: "records"; "orders" with ``order_id`` as its key."""
        key = self._names.key(table)
        thing = words_of(key.name)[:-1] if key is not None and key.is_id else ()
        plural = token.lower.endswith("s") and (words_of(token.text) == thing or table.lower().endswith(token.lower))
        return token.lower in WORDS["rows"] | WORDS["data"] or (token.kind == "word" and plural)

    def _spans(self, at: int) -> Iterator[tuple[int, list[str]]]:
        """Phrases from a place on, that neither begin nor end with a small word."""
        for end in range(at + 1, min(at + LONGEST, len(self._tokens)) + 1):
            last = self._tokens[end - 1]
            # No name goes over a mark; one may hold a number, but not begin with it.
            if last.kind in {"mark", "name"} or (last.kind == "number" and end == at + 1):
                return
            words = [token.text for token in self._tokens[at:end]]
            if phrase_of(words[:1]) and phrase_of(words[-1:]):
                yield end, words

    def stored(self, at: int) -> Iterator[Found]:
        """Phrases that are stored values, the longest only."""
        token = self._at(at)
        if token is None:
            return
        found: dict[int, dict[Field, str]] = {}
        for words, field, value, said in self._names.values.get((stems(token.text) or ("",))[0], ()):
            end = self._end_of(at, words)
            if end and self._is_worth(at, end, said):
                found.setdefault(end, {}).setdefault(field, value)
        for field, value in _sexes(self._every, token.lower):
            found.setdefault(at + 1, {}).setdefault(field, value)
        if found:
            # “New York” is the city and not “new” and “York”.
            end = max(found)
            text = " ".join(token.text for token in self._tokens[at:end])
            yield end, Value(text, stored=tuple(found[end].items()), quoted=token.kind == "text")

    def _end_of(self, at: int, words: tuple[str, ...]) -> int:
        """The place after a value's words where these stand at a place, else 0."""
        if self._tokens[at].kind in {"text", "name"}:
            return at + 1 if stems(self._tokens[at].text) == words else 0
        said: tuple[str, ...] = ()
        for end in range(at + 1, len(self._tokens) + 1):
            said += stems(self._tokens[end - 1].text)
            if len(said) >= len(words):
                return end if said == words else 0
        return 0

    def _is_worth(self, at: int, end: int, value: str) -> bool:
        """Whether words are likely to mean a stored value: not "no" for 'No', nor a name in small type."""
        token = self._tokens[at]
        if token.kind in {"text", "name"} or end > at + 1:
            return True
        # Numbers are compared as numbers, and values of two letters are initials as often as words.
        if token.kind == "number" or (len(value) <= 2 and token.text != value):
            return False
        phrase = phrase_of([token.text])
        named = [c for c in self._names.columns.get(phrase, ()) if c.doubt == EXACT] or phrase in self._names.tables
        return token.lower not in WORDS["small"] and not (token.text.islower() and named)

    def numbers(self, at: int) -> Iterator[Found]:
        """A number."""
        if (token := self._at(at)) and token.number is not None:
            yield at + 1, Value(token.text, token.number)

    def texts(self, at: int) -> Iterator[Found]:
        """A text in quotes, or a date."""
        if (token := self._at(at)) and token.kind == "text":
            yield at + 1, Value(token.text, quoted=True)

    def propers(self, at: int) -> Iterator[Found]:
        """Words with capital letters that no stored value explains: "Ada Berg", "Bank of Peru"."""
        if not self._is_proper(at):
            return
        end = at + 1
        while end < len(self._tokens):
            if self._is_proper(end):
                end += 1
            elif self._tokens[end].lower in WORDS["joining"] and self._is_proper(end + 1):
                end += 2
            else:
                break
        yield end, Value(" ".join(token.text for token in self._tokens[at:end]))

    def _is_proper(self, at: int) -> bool:
        token = self._at(at)
        if token is None or not token.capital or token.lower in WORDS["not_proper"]:
            return False
        # The first word of a sentence has a capital letter anyway.
        return at > 0 or (token.text.isupper() and len(token.text) > 1)

    def words(self, at: int) -> Iterator[Found]:
        """Any word, as a value in small letters: "whose name contains night"."""
        if (token := self._at(at)) and token.kind == "word" and token.lower not in WORDS["small"]:
            yield at + 1, Value(token.text)

    def verbs(self, at: int) -> Iterator[Found]:
        """A word that nothing here knows, where the grammar expects a verb: it links what stands on both sides."""
        token = self._at(at)
        if token is None or token.kind != "word" or not token.text.isalpha() or not token.text.islower():
            return
        if token.lower in WORDS["small"] | WORDS["no_verbs"] or token.lower.endswith(("ly", "est")):
            return
        named = (c.doubt for _, name in self.columns(at) for c in name.candidates)
        is_named = not token.lower.endswith(("ed", "ing")) and (EXACT in named or any(True for _ in self.tables(at)))
        if not is_named and not any(True for kind in (self.stored, self.metrics) for _ in kind(at)):
            yield at + 1, token.text

    def _meaning(self, at: int, meanings: Mapping[str, object]) -> Iterator[Found]:
        if (token := self._at(at)) and (found := meanings.get(token.lower)) is not None:
            yield at + 1, found

    def years(self, at: int) -> Iterator[Found]:
        """A number between 1000 and 2999, as a year."""
        # Other numbers are amounts, as far as anybody asks of years.
        if (token := self._at(at)) and token.number is not None and token.number in range(1000, 3000):
            yield at + 1, int(token.number)

    def _day(self, at: int) -> Iterator[Found]:
        # A reading that needs the day is declined where it is not told, rather than read without it.
        if self._today is None:
            raise NotUnderstood("I do not know what day it is")
        yield at, self._today

    def happenings(self, at: int) -> Iterator[Found]:
        """A participle with the dates that say when it was: "shipped" of ``shipped_date``, "hired" of ``hire_date``."""
        token = self._at(at)
        said = words_of(token.text) if token and token.kind == "word" else ()
        if token is None or len(said) != 1:
            return
        forms = {(form,) for form in self._names.forms(said[0])}
        dated = [
            f
            for f in self._every
            if tuple(w for w in words_of(f.name) if w not in STEMS["happenings"]) in forms and not f.is_id
        ]
        if dated:
            yield at + 1, Name(token.text, tuple(ColumnMatch(field, EXACT) for field in dated))

    def _degrees(self, at: int, meanings: Mapping[str, tuple[str, bool]]) -> Iterator[Found]:
        """An adjective or verb with the columns that it may measure: per table those of the first noun that fits."""
        for end in range(at + 1, min(at + 2, len(self._tokens)) + 1):
            text = " ".join(token.lower for token in self._tokens[at:end])
            nouns, high = meanings.get(text, ("", True))
            # What is measured the other way costs: the oldest has the smallest year of birth.
            for upside in (True, False):
                found = tuple(
                    _measured(self._names, [n.lstrip("-") for n in nouns.split() if n.startswith("-") != upside])
                )
                if found:
                    yield end, Degree(Name(text, found, cost=int(not upside)), high == upside)


def _measured(names: SchemaNames, nouns: Sequence[str]) -> Iterator[ColumnMatch]:
    for fields in names.fields.values():
        for noun in (stem for word in nouns for stem in stems(word)):
            found = [field for field in fields if noun in words_of(field.name) and not field.is_id]
            whole = [field for field in found if words_of(field.name) == (noun,)]
            yield from (ColumnMatch(field, EXACT if field in whole else PARTIAL) for field in found)
            if found:
                break


def _sexes(fields: Sequence[Field], word: str) -> Iterator[tuple[Field, str]]:
    singular = {"men": "man", "women": "woman"}.get(word, word.removesuffix("s"))
    for field in fields:
        if {"sex", "gender"} & set(stems(field.name)):
            yield from ((field, one) for one in field.values if singular in SEXES.get(one.upper(), "").split())


def _is_inflected(token: Token | None) -> bool:
    """Whether a word shows by its form that it is a verb."""
    return token is not None and (token.lower.endswith(("ed", "ing", "s")) or token.lower in WORDS["irregular"])


def columns_named(text: str, catalog: Catalog) -> list[str]:
    """The names of the columns that a text names, in its order, each once: of each place the longest phrase.

    Example:
        >>> from rsql_magic.sql import Catalog
        >>> columns_named("mean price by city", Catalog.from_ddl("CREATE TABLE df (price REAL, city TEXT)", "duckdb"))
        ['price', 'city']
    """
    return list(dict.fromkeys(filter(None, _named(text, catalog))))


def values_named(text: str, catalog: Catalog) -> bool:
    """Whether a text has a stored value in it."""
    return "" in _named(text, catalog)


def _named(text: str, catalog: Catalog) -> Iterator[str]:
    """The columns and, as empty texts, the values of a text."""
    said = tokens(text)
    mentions, at = SchemaMentions(said, SchemaNames.of(catalog)), 0
    while at < len(said):
        columns = [
            (end, min(name.candidates, key=lambda one: one.doubt).field.name)
            for end, name in mentions.columns(at)
            if name.candidates[0].field.table
        ]
        at, found = max([*columns, *((end, "") for end, _ in mentions.stored(at))], default=(at + 1, None))
        if found is not None:
            yield found
