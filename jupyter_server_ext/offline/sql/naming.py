"""Which stretches of a question name which tables and columns, and how well.

A name is taken apart into words, abbreviations are opened, and the words are looked for in the question in any order,
with only small words between them. The fit is the share of the name's words that were said; words that only repeat the
table's name, and general endings such as ``code``, weigh little.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..words import name_words, stem, word_set
from .letters import LETTERS, is_name
from .lexicon import ABBREVIATIONS, ARTICLES, FUNCTION_WORDS, GENERIC, RELATION_VERBS, is_known, likeness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..words import Token
    from .schema import Column, Schema, Table

_MIN_FIT = 0.42
_UNSAID = 0.02
_SAME = 0.7
_GENERAL = 0.35
_INNER = ARTICLES | word_set("of in for on at per all each every any")
_SILENT = word_set(
    "of the to by in for and or a an is at on with from all has have are be that this as there it its they them "
    "their who"
)
_UNITS = word_set(
    """
    f c g gb mb kb km kg cm mm ft mph usd dollar dollars euro euros billion billions million millions percent pct inch
    inches feet meter meters metre metres mile miles second seconds
    """
)
"""Units that end many names of measures and are left unsaid."""
_COUNT_WORDS = word_set("num nums number no nbr count cnt amount total tot")
_MONEY = word_set("amount total")
"""Words that count what follows "of", or are a column of it: "the amount of orders"."""
_COUNTING = word_set("entry record row item case observation instance line")
"""Stems of words for rows, which name a column only where that is called so."""
_SUFFIXES = ("id", "name", "code", "type", "no", "num", "number", "date", "title", "key", "desc")
_OPENING_VERBS = word_set("name count order list show state rank report return group sort record")
_AFTER_VERB = ARTICLES | word_set("all each every them any me us those these")
_PAST = word_set(
    """
    flew flown wrote written took taken made sold sang sung won ran drove driven left held led met sent spent taught
    built bought found got gotten kept lost paid rode said spoke spoken told thought wore gave given came went gone
    began begun chose chosen born grew grown knew known saw seen
    """
)
_BEFORE_ORDER = word_set(
    """
    alphabetical alphabetic lexicographical lexicographic ascending descending increasing decreasing reverse reversed
    in chronological numerical numeric sorted asc desc
    """
)


@dataclass(frozen=True, slots=True)
class Fit:
    """A stretch of the question that names a table or a column.

    Args:
        start: Index of its first token.
        end: Index after its last token.
        score: 0 to 1.
        words: How many of the name's words were said.
        table: The table it names.
        column: The column it names.
    """

    start: int
    end: int
    score: float
    words: int
    table: Table | None = None
    column: Column | None = None


@lru_cache(maxsize=8192)
def expanded(words: tuple[str, ...]) -> tuple[str, ...]:
    """Words of a name with abbreviations of several words opened: ``lname`` becomes ``last name``."""
    opened: list[str] = []
    if len(words) == 2 and words[1] == "name" and words[0] in {"f", "l"}:
        words = (f"{words[0]}name",)
    for word in words:
        full = ABBREVIATIONS.get(word, ())
        opened += full if len(full) > 1 else (word,)
    return tuple(word for word in opened if word not in _SILENT) or tuple(opened)


@lru_cache(maxsize=8192)
def column_words(column: tuple[str, ...], table: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
    """A column's words opened, and those that only repeat the table: ``eid`` of employees, ``StuID`` of students."""
    words = expanded(column)
    own = expanded(table)
    optional = frozenset(own) | frozenset(stem(word) for word in own)
    if len(words) == 1:
        for suffix in _SUFFIXES:
            prefix = words[0].removesuffix(suffix)
            if prefix != words[0] and prefix and _shortens(prefix, own):
                return (prefix, suffix), optional | {prefix}
    elif len(words) == 2 and len(words[0]) <= 3 and _shortens(words[0], own):
        return words, optional | {words[0]}
    return words, optional


def _shortens(prefix: str, table: tuple[str, ...]) -> bool:
    """Whether a few letters stand for a table's name: its start, or its initials."""
    return any(word.startswith(prefix) for word in table) or prefix == "".join(word[0] for word in table)


def fits(question: Sequence[Token], schema: Schema) -> list[Fit]:
    """All stretches that name a table or a column, sensible ones only."""
    grid = Grid(question)
    unsaid = _TABLE_ENDINGS | _prefixes(schema)
    found = [fit for table in schema.tables for fit in _table_fits(grid, table, unsaid)]
    found += [fit for table in schema.tables for fit in _referred(schema, table, grid)]
    return _sensible(question, [*found, *_exact(question, schema), *_run_together(question, schema)])


def _exact(question: Sequence[Token], schema: Schema) -> Iterator[Fit]:
    """Names written as they are stored: ``dep_delay``, ``flights.dep_delay``, `tailnum` in backticks."""
    joined = {name for column in schema.columns() if len(column.words) > 1 for name in _spellings(column)}
    for index, token in enumerate(question):
        text = token.lower
        if token.kind not in {"word", "name"}:
            continue
        letter = text in LETTERS and is_name(question, index) and not _is_stored(token.text, schema)
        if token.kind == "word" and not (letter or {"_", "."} & set(text) or text in joined):
            continue
        if (table := schema.get(text)) is not None:
            yield Fit(index, index + 1, 1.0, max(len(table.words), 2), table=table)
        owner, _, name = text.rpartition(".")
        for table in schema.tables:
            column = table.get(name) or next((c for c in table.columns if text in joined & _spellings(c)), None)
            if column is not None and owner in {"", table.name.lower(), table.name.rpartition(".")[2].lower()}:
                yield Fit(index, index + 1, 1.0, max(len(column.words), 2), column=column)


def _run_together(question: Sequence[Token], schema: Schema) -> Iterator[Fit]:
    """Names of several words that the question spells otherwise: ``MixedCase Orders``, "mixedcase orders"."""
    tables = {"".join(table.words): table for table in schema.tables if len(table.words) > 1}
    columns: dict[str, list[Column]] = {}
    for column in schema.columns():
        if len(column.words) > 1:
            columns.setdefault("".join(column.words), []).append(column)
    for start, end, spelled in _spelled(question):
        if (found := tables.get(spelled)) is not None:
            yield Fit(start, end, 1.0, len(found.words), table=found)
        for column in columns.get(spelled, ()):
            yield Fit(start, end, 1.0, len(column.words), column=column)


def _spelled(question: Sequence[Token]) -> Iterator[tuple[int, int, str]]:
    """Stretches of words, and quoted names of several, as letters only."""
    for start, token in enumerate(question):
        if token.kind == "text" and re.search(r"\w\W+\w|[a-z][A-Z]", token.text):
            yield start, start + 1, "".join(name_words(token.text))
        letters = ""
        for end in range(start, min(start + _LONGEST_NAME, len(question))):
            if question[end].kind != "word":
                break
            letters += re.sub(r"[\W_]", "", question[end].lower)
            yield start, end + 1, letters


_LONGEST_NAME = 5


def _spellings(column: Column) -> set[str]:
    """A name in one word, as it stands and without its underscores: ``unit_price``, ``unitprice``."""
    return {column.name.lower(), "".join(column.words)}


def _is_stored(text: str, schema: Schema) -> bool:
    """Whether a letter is rather a value, "group A", than a column of another case, ``a``."""
    columns = list(schema.columns())
    return any(text in c.facts.values for c in columns) and not any(text == c.name for c in columns)


def _prefixes(schema: Schema) -> frozenset[str]:
    """What most tables begin with although it is no word, such as ``mdl`` or ``llx``: nobody says it."""
    first = [table.words[0] for table in schema.tables if len(table.words) > 1]
    common = {word for word in set(first) if 3 <= first.count(word) >= _MOST * len(schema.tables)}
    return frozenset(word for word in common if len(word) <= _LONGEST_PREFIX and not is_known(word))


def _table_fits(grid: Grid, table: Table, unsaid: frozenset[str]) -> Iterator[Fit]:
    own = expanded(table.words)
    for start, end, score, words in grid.runs(own, optional=unsaid, least=0.7):
        silent = sum(word in _SILENT for word in table.words)
        partial = score < 0.9 and grid.question[start].lower in RELATION_VERBS
        if not partial:
            yield Fit(start, end, score - 0.05 * silent, words, table=table)
    for column in table.columns:
        names, optional = column_words(column.words, table.words)
        for spelled in {names, column.words}:
            for start, end, score, words in grid.runs(spelled, optional=optional, general=True):
                yield Fit(start, end, score, words, column=column)


_MOST, _LONGEST_PREFIX = 2 / 3, 4
_TABLE_ENDINGS = word_set("table data list info ref tbl record")


def _referred(schema: Schema, table: Table, grid: Grid) -> Iterator[Fit]:
    """A table is also named by the columns that point to it: "counties" by ``county_id``."""
    for key in table.keys:
        other = schema.get(key.other)
        if other is None or len(key.columns) != 1:
            continue
        words = expanded(tuple(word for word in _name(table, key.columns[0]) if word not in GENERIC))
        if words and words != expanded(table.words):
            for start, end, score, said in grid.runs(words, optional=frozenset()):
                if score >= 0.95:
                    yield Fit(start, end, 0.72, said, table=other)


def _name(table: Table, column: str) -> tuple[str, ...]:
    found = table.get(column)
    return found.words if found else ()


_Tables = dict[tuple[int, int], list["Table"]]


def _sensible(question: Sequence[Token], found: list[Fit]) -> list[Fit]:
    """Leave out columns whose words are better read as two things, or as a count."""
    tables: _Tables = {}
    for fit in found:
        if fit.table is not None and fit.score >= 0.9:
            tables.setdefault((fit.start, fit.end), []).append(fit.table)
    columns = {(fit.start, fit.end, fit.column.table) for fit in found if fit.column is not None and fit.score >= 0.85}
    spoken = {table.name for group in tables.values() for table in group}
    return [
        fit
        for fit in found
        if fit.column is None
        or not (
            _is_two(question, fit, tables, columns)
            or _is_count(question, fit, fit.column, tables, spoken)
            or _is_amount_of_others(question, fit, fit.column, tables)
        )
    ]


def _is_two(question: Sequence[Token], fit: Fit, tables: _Tables, columns: set[tuple[int, int, str]]) -> bool:
    """Whether "names of teams" is rather a column and a table than one column."""
    inner = next((i for i in range(fit.start, fit.end) if question[i].lower in _INNER - ARTICLES), None)
    if inner is None or fit.column is None:
        return False
    tails = [table for (start, end), group in tables.items() if start > inner and end == fit.end for table in group]
    return any((fit.start, inner, tail.name) in columns for tail in tails)


def _is_count(question: Sequence[Token], fit: Fit, column: Column, tables: _Tables, spoken: set[str]) -> bool:
    """Whether "number of flights" asks for a count, although there is a ``flight_number`` or a ``num_flights``."""
    first = question[fit.start].lower
    follows = question[fit.start + 1].lower if fit.start + 1 < len(question) else ""
    if not ((first == "how" and follows == "many") or (first in {"number", "count"} and follows == "of")):
        return False
    names = expanded(column.words)
    if names[-1] in {"number", "no", "num", "nbr"}:
        return True
    counted = {t.name for (start, end), group in tables.items() if start > fit.start and end == fit.end for t in group}
    return bool(counted) and column.table not in spoken - counted


def _is_amount_of_others(question: Sequence[Token], fit: Fit, column: Column, tables: _Tables) -> bool:
    """Whether "amount of customers" counts these, although there is an ``amount`` in the orders."""
    said = question[fit.start].lower
    if said not in _MONEY or fit.end >= len(question) or question[fit.end].lower != "of":
        return False
    inner = range(fit.end + 1, fit.end + 3)
    things = {table.name for (start, _), group in tables.items() if start in inner for table in group}
    return bool(things) and column.table not in things


def _is_verb(token: Token) -> bool:
    """Whether a word is likely a verb here: "directed", "has", but not "rank"."""
    word = token.lower
    regular = word in RELATION_VERBS and word.endswith(("ed", "ing"))
    return word in FUNCTION_WORDS or word in _PAST or regular


_Hit = tuple[int, int, float, int]


_SUPERLATIVE_WORDS = word_set(
    """
    tallest oldest youngest largest biggest smallest highest lowest longest shortest best worst latest earliest newest
    fastest heaviest cheapest most least busiest older younger taller longer shorter larger bigger smaller higher lower
    """
)


_METHODS = (".mean", ".sum", ".max", ".min", ".median", ".std", ".count", ".nunique", ".unique", ".groupby")


class Grid:
    """The question as a grid: for each word of a name, the tokens that may mean it."""

    def __init__(self, question: Sequence[Token]) -> None:
        self.question = question
        self._hits: dict[str, list[tuple[int, int, float]]] = {}
        self._joined = self._runs_together()
        self._blocked = {i for i, token in enumerate(question) if self._means_nothing(i, token.lower)}

    def _means_nothing(self, index: int, word: str) -> bool:
        """Whether a word is an article, a pronoun or part of "in the order of" here, whatever columns are called."""
        return (word == "order" and self._is_ordering(index)) or (word in LETTERS and not is_name(self.question, index))

    def _is_ordering(self, index: int) -> bool:
        before = self.question[index - 1].lower if index else ""
        after = self.question[index + 1].lower if index + 1 < len(self.question) else ""
        earlier = self.question[index - 2].lower if index > 1 else ""
        return before in _BEFORE_ORDER or (before == "the" and earlier == "in") or after == "by"

    def _runs_together(self) -> dict[str, list[tuple[int, int]]]:
        """Two or three neighbouring words written as one, as in ``birthdate``."""
        joined: dict[str, list[tuple[int, int]]] = {}
        for start, token in enumerate(self.question):
            text = token.lower if token.kind == "word" else ""
            for end in range(start + 2, min(start + 4, len(self.question) + 1)):
                last = self.question[end - 1]
                if not text or last.kind != "word":
                    break
                for whole in {text + last.lower, text + last.stem}:
                    joined.setdefault(whole, []).append((start, end))
                text += last.lower
        return joined

    def hits(self, word: str) -> list[tuple[int, int, float]]:
        """Stretches (start, end, likeness) that may mean one word of a name."""
        found = self._hits.get(word)
        if found is None:
            found = [
                (index, index + 1, fit + 0.01 * (token.lower == word))
                for index, token in enumerate(self.question)
                if token.kind in {"word", "text"}
                and token.lower not in _SILENT
                and not token.lower.endswith(_METHODS)
                and index not in self._blocked
                and (fit := likeness(token.stem, word)) > (_SAME if token.stem in _COUNTING else 0)
            ]
            found += [(start, end, 1.0) for start, end in self._joined.get(word, ())]
            if word in {"num", "number", "no", "count"}:
                found += [(i, i + 2, 0.9) for i in range(len(self.question) - 1) if self._is_how_many(i)]
            self._hits[word] = found
        return found

    def _is_how_many(self, index: int) -> bool:
        return self.question[index].lower == "how" and self.question[index + 1].lower == "many"

    def runs(
        self, words: tuple[str, ...], *, optional: frozenset[str], general: bool = False, least: float = 0.0
    ) -> Iterator[tuple[int, int, float, int]]:
        """Stretches that name something with these words: (start, end, fit, number of words said)."""
        hits = sorted(
            (start, end, fit, place)
            for place, word in enumerate(words)
            for start, end, fit in self.hits(word)
            if fit >= least
        )
        if not hits:
            return
        weights = _weights(words, optional, general=general)
        elsewhere = {place for _, _, _, place in hits}
        seen: list[tuple[int, int]] = []
        for first in range(len(hits)):
            run = self._extend(hits, first)
            start, end = run[0][0], run[-1][1]
            if any(begin <= start and end <= stop for begin, stop in seen):
                continue
            seen.append((start, end))
            score = _score(words, weights, run, elsewhere, headed=general)
            if score >= _MIN_FIT and self._says_something(words, weights, run):
                yield start, end, score, len(run)

    def _says_something(self, words: tuple[str, ...], weights: list[float], run: list[_Hit]) -> bool:
        """Whether a stretch names the thing: not by its table's name alone, nor by "number" or a verb alone."""
        said = [place for _, _, _, place in run]
        if min(weights) < max(weights) and all(weights[place] == _UNSAID for place in said):
            return False
        if len(run) < len(words) and all(self.question[start].lower in _SUPERLATIVE_WORDS for start, _, _, _ in run):
            return False
        counts = all(words[place] in _COUNT_WORDS for place in said)
        whole = len(words) == len(run) == 2 and all(fit >= 0.95 for _, _, fit, _ in run)
        if counts and not (whole or self._is_alone(words, run)):
            return False
        token = self.question[run[0][0]]
        verb = len(run) == 1 and run[0][2] < 0.9 and _is_verb(token)
        return not verb and not self._opens(run)

    def _is_alone(self, words: tuple[str, ...], run: list[_Hit]) -> bool:
        """Whether "number" is meant as a column of that name: the name has no other word, and no "of" follows."""
        start, end = run[0][0], run[-1][1]
        follows = self.question[end].lower if end < len(self.question) else ""
        return len(words) == len(run) and end - start == 1 and (follows != "of" or words[0] in _MONEY)

    def _opens(self, run: list[_Hit]) -> bool:
        """Whether the stretch is the verb that opens the question: "Name all …", "Count the …", "Order them …"."""
        start, end = run[0][0], run[-1][1]
        first = self.question[0].lower
        if start > 0 or end != 1 or end >= len(self.question) or first not in _OPENING_VERBS:
            return False
        return self.question[1].lower in _AFTER_VERB or first in {"count", "order", "list", "show"}

    def _extend(self, hits: list[_Hit], first: int) -> list[_Hit]:
        """The longest stretch from a first hit in which every hit means another word of the name."""
        run = [hits[first]]
        used = {hits[first][3]}
        for hit in hits[first + 1 :]:
            last = run[-1]
            if hit[0] < last[1]:
                if hit[0] == last[0] and hit[2] > last[2] and hit[3] not in used - {last[3]}:
                    used = (used - {last[3]}) | {hit[3]}
                    run[-1] = hit
                continue
            between = self.question[last[1] : hit[0]]
            if len(between) > 3 or any(token.lower not in _INNER for token in between):
                break
            if hit[3] not in used:
                run.append(hit)
                used.add(hit[3])
        return run


def _weights(words: tuple[str, ...], optional: frozenset[str], *, general: bool) -> list[float]:
    weights = []
    for place, word in enumerate(words):
        is_optional = (word in optional or stem(word) in optional) and len(words) > 1
        is_general = general and word in GENERIC and len(words) > 1 and place == len(words) - 1
        is_unit = general and word in _UNITS and len(words) > 1 and place == len(words) - 1
        weights.append(_UNSAID if is_optional else 0.1 if is_unit else _GENERAL if is_general else 1.0)
    return weights


def _score(
    words: tuple[str, ...], weights: list[float], run: list[_Hit], elsewhere: set[int], *, headed: bool
) -> float:
    """The share of the name that was said; words said elsewhere in the question are missed less."""
    said = {place: fit for _, _, fit, place in run}
    score = sum(max(weights[place], _GENERAL) * fit for place, fit in said.items())
    missed = sum(w * (0.2 if place in elsewhere else 1.0) for place, w in enumerate(weights) if place not in said)
    score /= missed + sum(max(weights[place], _GENERAL) for place in said)
    if not headed:
        return score
    # The last word names the thing: "flight" alone is no good name for flight_number, nor "number" for flights.
    head = max((place for place, weight in enumerate(weights) if weight >= 1), default=len(words) - 1)
    return score if head in said else score * 0.8
