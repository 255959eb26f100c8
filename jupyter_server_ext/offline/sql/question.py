"""From a question to a query: link, read, resolve, build; with the check that every word was understood."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from ..words import Token, stem, tokens, word_set
from .build import Builder
from .certain import Certainty
from .charts import take_chart
from .insisted import take_at_word
from .joins import Graph
from .lexicon import FRAME_WORDS, HAPPENING, OPENING_VERBS
from .linking import link
from .query import Draft, Item, NotUnderstood
from .reading import Reading, start
from .resolve import Resolver
from .rules.arithmetic import ARITHMETIC, SPANNING
from .rules.comparing import COMPARING
from .rules.dates import TIMES
from .rules.folding import EXTREMES, FOLDING, ROLES
from .rules.grouping import GROUPING
from .rules.ordering import SORTING, SUPERLATIVE
from .rules.periods import PERIODS
from .rules.selecting import ASKED_FOR, ASKING, select
from .rules.shares import POSITIVE, SHARES
from .rules.valuing import CALLING, EXCLUDING, VALUING
from .scope import unqualify
from .spelled import marked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from .linking import Mention
    from .reading import Rule
    from .schema import Schema

_OWNED = re.compile(
    r"((?:‹C\d+› (?:, |and |other |their )*)+)(?:of|for|from|in)(?: (?:all|each|every|those|any|different))* "
    r"‹[TB](\d+)›"
)
_THEIR = re.compile(r"(?:their|its|his|her) ((?:‹C\d+› (?:, |and )*)*‹C\d+›)")
_POSSESSED = re.compile(
    r"‹[TB](\d+)› (?:(?:with|whose|who|that|which|and|their|its|has|have|having) )*((?:‹C\d+› ?(?:, |and )*)+)"
)


@dataclass(frozen=True)
class Written:
    """A query, what it was made from, and what should be owned up to."""

    query: exp.Select
    draft: Draft
    resolver: Resolver
    notes: tuple[str, ...] = ()


def write(question: str, schema: Schema, dialect: str, today: date | None = None) -> Written:
    """The query for a question.

    Args:
        question: The user's words.
        schema: The tables of the prompt.
        dialect: sqlglot's name of the dialect.
        today: The day it is asked, for "last month".

    Raises:
        NotUnderstood: A word, a value or the whole could not be placed.
    """
    bare, chart = take_chart(marked(question, schema))
    said = tokens(bare)
    reading = read(said, schema, today=today)
    reading.draft.chart = chart
    check_understood(reading)
    _check_worst(reading)
    left = reading.text
    select(reading)
    _count_kinds(reading)
    resolver = Resolver(reading, Graph(schema, {token.stem for token in said}))
    query = Builder(resolver, reading.draft, dialect).build()
    _check_dealings(reading, query)
    Certainty(question, reading, left, resolver, query).check()
    return Written(unqualify(query), reading.draft, resolver, tuple(dict.fromkeys(reading.draft.notes)))


def read(
    said: list[Token],
    schema: Schema,
    *,
    context: Sequence[Mention] = (),
    first: Sequence[Rule] = (),
    today: date | None = None,
) -> Reading:
    """The reading of a question after all rules.

    Args:
        said: Its tokens.
        schema: The tables of the prompt.
        context: Tables of the query before, for a follow-up.
        first: Rules tried before all others.
        today: The day it is asked.
    """
    mentions = take_at_word(said, link(said, schema), schema)
    reading = start(said, mentions, schema)
    reading.keys = Graph(schema).keys
    reading.today = today
    numbers = [reading.add(mention) for mention in context]
    reading.context = numbers[0] if numbers else None
    _own(reading)
    for rules in (first, *_RULES):
        text, before = reading.text, {number for _, number in reading.marks()}
        reading.apply(rules)
        if rules in (PERIODS, TIMES) and reading.text != text:
            reading.says_when = True
            reading.timed |= before - {number for _, number in reading.marks()}
    return reading


def _count_kinds(reading: Reading) -> None:
    """For a chart of one column that only names kinds, count each of them: "pie chart of cities"."""
    draft = reading.draft
    shown = draft.select[0] if len(draft.select) == 1 else None
    if not draft.chart or draft.group or shown is None or shown.computed or shown.mention is None:
        return
    columns = reading.mentions[shown.mention].columns
    if columns and columns[0][0].is_text and not reading.mentions[shown.mention].tables:
        draft.group = [shown]
        draft.select = [shown, Item(None, "count")]


_RULES = (
    PERIODS,
    ASKED_FOR,
    ROLES,
    SHARES,
    POSITIVE,
    SPANNING,
    FOLDING,
    ARITHMETIC,
    EXCLUDING,
    SORTING,
    SUPERLATIVE,
    COMPARING,
    TIMES,
    CALLING,
    VALUING,
    GROUPING,
    EXTREMES,
    ASKING,
)


def _own(reading: Reading) -> None:
    """Note which table stands beside which column: "names of students", "student names"."""
    for match in _POSSESSED.finditer(reading.text):
        for number in re.findall(r"‹C(\d+)›", match[2]):
            reading.owners.setdefault(int(number), int(match[1]))
    first = reading.table_after(0)
    for match in _THEIR.finditer(reading.text):
        for number in re.findall(r"‹C(\d+)›", match[1]):
            if first is not None:
                reading.owners.setdefault(int(number), first)
    for match in _OWNED.finditer(reading.text):
        for number in re.findall(r"‹C(\d+)›", match[1]):
            reading.owners[int(number)] = int(match[2])


_BAD = word_set("delay lateness late error loss cost complaint crime death injury accident failure defect damage")


def _check_worst(reading: Reading) -> None:
    """Refuse the best and the worst of what is better the less there is of it.

    Raises:
        NotUnderstood: Both the least and the most may be meant.
    """
    said = next((word for word in reading.original.split() if word in {"best", "worst"}), "")
    for number in [order.item.mention for order in reading.draft.order]:
        mention = reading.mentions[number] if said and number is not None else None
        if mention and mention.columns and _BAD & {stem(word) for word in mention.columns[0][0].words}:
            raise NotUnderstood(f"I do not see whether the {said} {mention.text} is the least or the most")


_DEALINGS = {
    word_set("sold sell sells selling bought buy buys purchased purchase ordered"): word_set(
        "sale order invoice purchase transaction line item"
    ),
    word_set("rented rent borrowed borrow lent lend loaned"): word_set("rental rent loan lending borrowing checkout"),
    word_set("flown flew fly flies"): word_set("flight"),
    word_set("paid pay pays"): word_set("payment invoice transaction"),
}
"""What is done with things, and the tables that hold how often: without these the verb would go unheard."""


def _check_dealings(reading: Reading, query: exp.Select) -> None:
    """Refuse to count things where it is asked how many of them were sold.

    Raises:
        NotUnderstood: A table holds what was done with them, and the query leaves it out.
    """
    used = {table.name.lower() for table in query.find_all(exp.Table)}
    for verbs, stems in _DEALINGS.items():
        words = reading.original.replace("ordered by", "by").split()
        said = next((word for word in words if word in verbs), "")
        holders = [t.name for t in reading.schema.tables if stems & {stem(word) for word in t.words}]
        if said and holders and not used & {name.rpartition(".")[2].lower() for name in holders}:
            raise NotUnderstood(f"I did not take “{said}” into account, which {holders[0]} may hold")


_SORTING_WORDS = word_set("sort sorted order ordered rank ranked arrange arranged sorting ordering")


_ALONG = re.compile(r"\b(?:along|together) with\b|\bwith (?=their |its )|\bin total\b")
_OPENED = re.compile(
    rf"(?:^|(?<=[.,] )|(?<=and )|(?<=please )|(?<=you ))(?:{'|'.join(OPENING_VERBS)})\b(?: out\b| all\b)?"
)
_NO_OPENING = word_set("where when join merge share rate ratio")


def check_understood(reading: Reading, also: frozenset[str] = frozenset()) -> None:
    """Refuse to guess when words or values are left over.

    Args:
        reading: The question after all rules.
        also: Words that may be left over besides.

    Raises:
        NotUnderstood: Naming them.
    """
    known = FRAME_WORDS | also | (_SORTING_WORDS if reading.draft.order else frozenset())
    known |= (HAPPENING if reading.says_when else frozenset()) | Graph(reading.schema).verbs
    text = _OPENED.sub("", _ALONG.sub("", reading.text))
    left = [word for word in reading.words(text) if word not in known and not re.fullmatch(r"[^\w+*/-]+", word)]
    left += [word for word in reading.words()[:1] if word in _NO_OPENING]
    left += [word for word in reading.words() if word == "total" and not reading.items]
    left += [reading.mentions[number].text for kind, number in reading.marks() if kind in "VLNI"]
    left += [reading.periods[number].words for kind, number in reading.marks() if kind == "P"]
    if left:
        words = ", ".join(f"“{word}”" for word in dict.fromkeys(left))
        raise NotUnderstood(f"I did not understand {words}")
