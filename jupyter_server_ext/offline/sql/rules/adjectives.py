"""Adjectives that stand for a column and a direction: "older than 30", "the cheapest product", "the busiest hour"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Degree:
    """An adjective's two forms and the columns it may speak of.

    Args:
        comparative: ``older``.
        superlative: ``oldest``.
        nouns: Words of column names, in the order of preference; a leading ``-`` turns the direction around.
        high: True when more of it means a larger value.
        counts: True when the adjective is about how often something occurs ("busiest").
    """

    comparative: str
    superlative: str
    nouns: tuple[str, ...]
    high: bool = True
    counts: bool = False


def _degree(comparative: str, superlative: str, nouns: str, *, high: bool = True, counts: bool = False) -> Degree:
    return Degree(comparative, superlative, tuple(nouns.split()), high, counts)


DEGREES = (
    _degree("older", "oldest", "age -birth -dob -birthday -founded -built -opened -opening -established -year -date"),
    _degree("elder", "eldest", "age -birth -dob"),
    _degree("younger", "youngest", "age -birth -dob -birthday", high=False),
    _degree("taller", "tallest", "height"),
    _degree("heavier", "heaviest", "weight"),
    _degree("lighter", "lightest", "weight", high=False),
    _degree("longer", "longest", "length duration distance runtime time minute hour day"),
    _degree("shorter", "shortest", "length duration distance runtime height time minute", high=False),
    _degree("larger", "largest", "area size population capacity amount"),
    _degree("bigger", "biggest", "area size population capacity"),
    _degree("smaller", "smallest", "area size population capacity amount", high=False),
    _degree("more expensive", "most expensive", "price cost fee charge amount rate"),
    _degree("costlier", "costliest", "price cost fee"),
    _degree("cheaper", "cheapest", "price cost fee charge rate", high=False),
    _degree("less expensive", "least expensive", "price cost fee charge rate", high=False),
    _degree("newer", "newest", "date year time founded opened built release"),
    _degree("more recent", "most recent", "date year time"),
    _degree("more recently", "most recently", "date year time"),
    _degree("later", "latest", "date year time"),
    _degree("earlier", "earliest", "date year time founded", high=False),
    _degree("faster", "fastest", "speed velocity -time"),
    _degree("slower", "slowest", "-speed -velocity time", high=True),
    _degree("farther", "farthest", "distance"),
    _degree("further", "furthest", "distance"),
    _degree("hotter", "hottest", "temperature temp"),
    _degree("warmer", "warmest", "temperature temp"),
    _degree("colder", "coldest", "temperature temp", high=False),
    _degree("cooler", "coolest", "temperature temp", high=False),
    _degree("windier", "windiest", "wind"),
    _degree("rainier", "rainiest", "precipitation rain precip"),
    _degree("wetter", "wettest", "precipitation rain precip"),
    _degree("deeper", "deepest", "depth"),
    _degree("wider", "widest", "width"),
    _degree("richer", "richest", "income salary wealth money balance asset"),
    _degree("poorer", "poorest", "income salary wealth money balance asset", high=False),
    _degree("better", "best", "rating score rank grade"),
    _degree("worse", "worst", "rating score grade", high=False),
    _degree("more populous", "most populous", "population"),
    _degree("more populated", "most populated", "population"),
    _degree("less populated", "least populated", "population", high=False),
    _degree("more delayed", "most delayed", "delay"),
    _degree("busier", "busiest", "", counts=True),
    _degree("more popular", "most popular", "popularity", counts=True),
    _degree("less popular", "least popular", "popularity", high=False, counts=True),
    _degree("more common", "most common", "", counts=True),
    _degree("less common", "least common", "", high=False, counts=True),
    _degree("more frequent", "most frequent", "frequency", counts=True),
    _degree("less frequent", "least frequent", "frequency", high=False, counts=True),
    _degree("more frequently", "most frequently", "", counts=True),
    _degree("less frequently", "least frequently", "", high=False, counts=True),
    _degree("more often", "most often", "", counts=True),
    _degree("rarer", "rarest", "", high=False, counts=True),
    _degree("more commonly", "most commonly", "", counts=True),
)

VERB_NOUNS = {
    "cost|costs|costing|priced|sells for|sold for": ("price", "cost", "fee", "charge", "rate"),
    "weigh|weighs|weighing|weighed": ("weight",),
    "last|lasts|lasted|lasting": ("duration", "length", "time"),
    "earn|earns|earned|earning|make|makes|paid": ("salary", "income", "wage"),
    "accommodate|accommodates|hold|holds|seat|seats": ("capacity", "seat"),
    "aged": ("age",),
}
"""Verbs that stand for a measure: what costs 50 has a price of 50."""

COMPARATIVES = {degree.comparative: degree for degree in DEGREES}
SUPERLATIVES = {degree.superlative: degree for degree in DEGREES}


def alternatives(words: dict[str, Degree]) -> str:
    """The words as one alternative of a pattern, longest first."""
    return "|".join(sorted(words, key=len, reverse=True))
