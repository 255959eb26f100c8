"""Fold “average price”, “number of flights”, “how many different cities” into one mark each, before anything else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...words import stem, word_set
from ..query import Item, NotUnderstood
from ..reading import Reading, Rules
from .vocabulary import OPERATORS

if TYPE_CHECKING:
    from ..linking import Mention
    from ..query import Aggregate

FUNCTIONS: dict[str, Aggregate] = {
    "average": "avg",
    "averages": "avg",
    "mean": "avg",
    "avg": "avg",
    "sum": "sum",
    "total": "sum",
    "totals": "sum",
    "combined": "sum",
    "maximum": "max",
    "max": "max",
    "maximal": "max",
    "minimum": "min",
    "min": "min",
    "minimal": "min",
    "median": "median",
    "standard deviation": "stddev",
    "std": "stddev",
    "stdev": "stddev",
    "sd": "stddev",
    "variance": "variance",
    "var": "variance",
}
"""Words that aggregate, and how."""
_EXTREMES: dict[str, Aggregate] = {
    "highest": "max",
    "largest": "max",
    "greatest": "max",
    "biggest": "max",
    "longest": "max",
    "latest": "max",
    "most": "max",
    "oldest": "max",
    "lowest": "min",
    "smallest": "min",
    "least": "min",
    "shortest": "min",
    "earliest": "min",
    "fewest": "min",
    "cheapest": "min",
    "youngest": "min",
}
_WORDS = {
    "function": "|".join(FUNCTIONS),
    "extreme": "|".join(_EXTREMES),
    "of": "( values?| amounts?| number| total| numbers)?( of)?( all| any)?",
    "filler": "( (of|total|available|all|these|those|such|overall))*",
    "values": r"(?P<values>(?: ‹[VL]\d+›)*)",
    "modifier": r"(‹[TB]\d+› (?=‹))*",
    "number": "number|numbers|count|counts|quantity",
    "different": "different|distinct|unique",
}
ADDING = frozenset({"avg", "sum", "median", "stddev", "variance"})
"""Aggregates that need numbers."""
ROLES = Rules(_WORDS)
FOLDING = Rules(_WORDS)
EXTREMES = Rules(_WORDS)


def is_measure(mention: Mention) -> bool:
    """Whether the best column of a mention is a number that measures something."""
    columns = [column for column, _ in mention.columns[:3]]
    return bool(columns) and columns[0].is_measured


def are_kinds(mention: Mention) -> bool:
    """Whether what is grouped by has few enough values to be kinds: not a measurement with decimals."""
    column = mention.columns[0][0] if mention.columns else None
    decimal = column is not None and re.search(r"double|real|float|dec|num", column.type, re.IGNORECASE)
    return column is None or not decimal or (column.facts.distinct or 100) <= 20


_QUANTITY_WORDS = word_set("num number no count total amount nbr sum quantity qty")


def is_quantity(mention: Mention) -> bool:
    """Whether the mention names a numeric column that counts something by itself, and no table.

    ``pages`` and ``num_employees`` do; ``advisor`` does not, although it may hold numbers.
    """
    if mention.tables or not is_measure(mention):
        return False
    words = mention.columns[0][0].words
    plural = words[-1] != stem(words[-1])
    return plural or bool(_QUANTITY_WORDS & set(words)) or not words[-1].endswith(("or", "er", "ee", "ist", "ian"))


def aggregate(mark: str, word: str) -> Item:
    """What a word such as "average" or "highest" makes of a column."""
    return Item(int(mark), FUNCTIONS.get(word) or _EXTREMES[word])


def _aggregate(reading: Reading, mark: str, word: str) -> str:
    return reading.fold(aggregate(mark, word))


@ROLES("{K:c} {T:t}")
def role(reading: Reading, match: re.Match[str]) -> str | None:
    """“origin airport”: the airport, by the key that the column is; the word chooses the join."""
    columns = {(column.table, (column.name,)) for column, _ in reading.mention(match["c"]).columns}
    table = reading.mention(match["t"]).tables[0][0]
    points = any((key.table, key.columns) in columns and key.other == table.name for key in reading.keys)
    return f"‹T{match['t']}›" if points else None


@ROLES("{number} of {T:t} (that |who |which )?(were |was |are |is |have been )?{K:c}")
def number_hurt(reading: Reading, match: re.Match[str]) -> str | None:
    """“number of people killed” where the column ``killed`` holds that number."""
    mention = reading.mention(match["c"])
    return f"‹C{match['c']}›" if mention.is_participle and is_measure(mention) else None


@ROLES("by {T:t} (from|born in|living in|based in) {V:v}")
def made_by(reading: Reading, match: re.Match[str]) -> str | None:
    """“books by authors from Peru”: whose they are, and no group."""
    table = reading.mention(match["t"]).tables[0][0].name
    held = any(column.table == table for column, _ in reading.mention(match["v"]).values)
    return match[0].replace("by", "of", 1) if held else None


@FOLDING("(?P<functions>{function}((( ,)? and|( ,)) {function})+){of} {modifier}{C:c}")
def several(reading: Reading, match: re.Match[str]) -> str | None:
    """“minimum, average and maximum age”."""
    found = re.findall("|".join(FUNCTIONS), match["functions"])
    return " , ".join(_aggregate(reading, match["c"], word) for word in found)


@FOLDING(
    "{function:function}{of} {modifier}(?P<columns>{C}(( ,| and|, and) {C})* and {C})(?! (of )?(each|every))",
    "{function:function}{of} {modifier}(?P<columns>{C}( , {C})+)(?= (by|per|for each|in each|grouped by|group by) )",
)
def spread(reading: Reading, match: re.Match[str]) -> str | None:
    """“average latitude and longitude”: both, when both are measures."""
    marks = re.findall(r"‹.(\d+)›", match["columns"])
    if not all(is_measure(reading.mention(mark)) for mark in marks):
        return None
    return " , ".join(_aggregate(reading, mark, match["function"]) for mark in marks)


_FREQUENCY = "(value counts?|counts?|frequency|frequencies|frequency table|distribution|tally|tallies)"


@FOLDING(
    "(value counts?|frequency|frequencies|frequency table|distribution|tally)( of| for| by| per)?( each)? {K:x}$",
    "({number} of|count) (each|every) {K:x}$",
    "{K:x} " + _FREQUENCY + "$",
)
def frequencies(reading: Reading, match: re.Match[str]) -> str | None:
    """“value counts of city”, “species counts”: how many rows there are of each."""
    mention = reading.mention(match["x"])
    if not are_kinds(mention) or mention.columns[0][0].facts.unique:
        return None
    reading.draft.group.append(Item(int(match["x"])))
    return reading.fold(Item(None, "count"))


@FOLDING(
    "(total |overall )?{number} of {different} {modifier}{E:e}",
    "(how many|count|counts of|count of)( all)?( of)? {different}( kinds of| types of)? {modifier}{E:e}",
    "{different} {number} of {modifier}{E:e}",
    "nunique( of)? {modifier}{E:e}",
    "(how many|{number} of) {different} values? (does|do|of|in|for|has) {E:e}( have| has)?",
)
def count_different(reading: Reading, match: re.Match[str]) -> str | None:
    """“number of different cities”."""
    return _count(reading, int(match["e"]), distinct=True)


@FOLDING("(total|overall) (number|count|amount) of {modifier}{E:e}")
def total_number(reading: Reading, match: re.Match[str]) -> str | None:
    """“total number of flights” counts; “total number of pages” adds up."""
    number = int(match["e"])
    if is_quantity(reading.mentions[number]):
        return reading.fold(Item(number, "sum"))
    return _count(reading, number)


@FOLDING(
    "{function:function}{of} {modifier}{C:c}",
    "{function:function} (?P<type>‹V\\d+›) {C:c}",
    "^{C:c} {function:function}(?=$| (by|per) )",
)
def single(reading: Reading, match: re.Match[str]) -> str | None:
    """“maximum age”, “total amount of the payments”."""
    mention = reading.mention(match["c"])
    adds = FUNCTIONS[match["function"]] in ADDING
    if adds and mention.columns and not any(c.is_number or c.is_measured for c, _ in mention.columns):
        return None
    return f"{match.groupdict().get('type') or ''} {_aggregate(reading, match['c'], match['function'])}"


@FOLDING(
    "how many{filler}{values} {modifier}{E:e}",
    "{number} of{filler}{values} {modifier}{E:e}",
    "(^|(?<=[.,] ))count( up)?{filler}{values} {modifier}{E:e}",
    "(number|count) of (rows|records|entries|row|record)( in| of){values} {T:e}",
    "^{modifier}{T:e}(?P<values>) counts?",
)
def how_many(reading: Reading, match: re.Match[str]) -> str | None:
    """“how many flights” counts rows, “how many pages” adds up a column, “number of pages” is the column itself."""
    number = int(match["e"])
    values = match["values"].strip()
    if is_quantity(reading.mentions[number]):
        asked = match[0].startswith("how many")
        if asked and _COMPARED.match(reading.text, match.end()):
            return None  # "how many prices are above 5": of the rows
        if _are_single(reading.mentions[number]) and len(reading.schema.tables) == 1:
            return f"{values} " + reading.fold(Item(number, "count", repeats=True))
        if match[0].startswith("count"):
            return f"{values} " + reading.fold(Item(number, "count", repeats=True))
        return f"{values} " + (reading.fold(Item(number, "sum")) if asked else f"‹C{number}›")
    return f"{values} {_count(reading, number)}"


def _are_single(mention: Mention) -> bool:
    """Whether a plural speaks of the values of a column one by one: "number of prices", not "number of pages"."""
    words = mention.columns[0][0].words
    plural = mention.text.lower() != stem(mention.text)
    return plural and words[-1] == stem(words[-1]) and not _QUANTITY_WORDS & set(words)


_COMPARED = re.compile(rf" (?:(?:is|are|was|were) )?(?:{'|'.join(sorted(OPERATORS, key=len, reverse=True))}) ‹N")


_KINDS = word_set("type kind category status level class model")


def _counts_kinds(mention: Mention) -> bool:
    """Whether things would be counted by a column that says of what kind they are: "reactors" by ``reactor_type``."""
    words = mention.columns[0][0].words if mention.columns and not mention.tables else ()
    return len(words) > 1 and words[-1] in _KINDS and stem(mention.text.split()[-1]) != words[-1]


def _count(reading: Reading, number: int, *, distinct: bool = False) -> str:
    if not distinct and _counts_kinds(reading.mentions[number]):
        mention = reading.mentions[number]
        raise NotUnderstood(f"{mention.columns[0][0].name} says of what kind “{mention.text}” are, not how many")
    if reading.mentions[number].tables:
        reading.draft.tables.append(number)
    return reading.fold(Item(number, "count", distinct=distinct))


@FOLDING(
    "(?P<lead>,|and|with|along with|and also) (their |its )?(corresponding |total |respective )?(count|counts|"
    "number|numbers)( of (each|them|times))?(?! ?(of|‹))"
)
def and_count(reading: Reading, match: re.Match[str]) -> str | None:
    """“each category and the count”."""
    return f"{match['lead']} {reading.fold(Item(None, 'count'))}"


@FOLDING(
    "(how many|{number} of|count( the)?) (all )?(rows|records|entries|observations|row|record)(?! ‹)",
    "^(show |plot |give me )*{number}(?= (by|per|for each|in each|grouped by|group by) )",
    "^counts?$",
    "(?<=by )(counts?|frequency)$",
)
def count_rows(reading: Reading, _match: re.Match[str]) -> str | None:
    """“how many rows have no email”, “number of rows per city”, “count by city”."""
    return reading.fold(Item(None, "count"))


@FOLDING(
    "(how many|{number} of) (all )?(items|cases|lines|instances)(?= ((are|is|were) there ?|there (are|is|were) ?|exist "
    "?)?((in|of|from) {T}|$))"
)
def count_items(reading: Reading, match: re.Match[str]) -> str | None:
    """“how many cases are there in visits”: its rows, where nothing is called so and one table is named or there."""
    named = reading.table_after(match.end()) is not None
    return reading.fold(Item(None, "count")) if named or len(reading.schema.tables) == 1 else None


@EXTREMES("{extreme:one} (and|or) {extreme:two}( value)?( of)?( all)? {C:c}")
def both_extremes(reading: Reading, match: re.Match[str]) -> str | None:
    """“the lowest and highest price”."""
    return " , ".join(_aggregate(reading, match["c"], match[name]) for name in ("one", "two"))


@EXTREMES("{extreme:one}( value| number| amount)?( of)?( all)? {C:c}")
def extreme(reading: Reading, match: re.Match[str]) -> str | None:
    """“the highest price”, when no thing is said to have it."""
    column = reading.mention(match["c"]).columns[0][0]
    if (column.is_text and not column.is_measured) or column.is_id:
        return None
    return _aggregate(reading, match["c"], match["one"])
