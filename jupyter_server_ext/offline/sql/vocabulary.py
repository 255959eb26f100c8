"""The grammar that all rules add to, and what adjectives and verbs measure."""

from __future__ import annotations

from .grammar import Grammar

GRAMMAR = Grammar()
"""The rules for questions; the modules of rules add theirs."""

_ADJECTIVES = """
older oldest +: age -birth -dob -founded -built -opened -established
younger youngest -: age -birth -dob
taller tallest +: height
heavier heaviest +: weight
lighter lightest -: weight
longer longest +: length duration distance runtime
shorter shortest -: length duration distance runtime
larger largest +: area size
bigger biggest +: area size
smaller smallest -: area size
more_expensive most_expensive +: price cost fee
cheaper cheapest -: price cost fee
less_expensive least_expensive -: price cost fee
newer newest +: date year
more_recent most_recent +: date year
later latest +: date year
earlier earliest -: date year
faster fastest +: speed velocity
slower slowest -: speed velocity
hotter hottest +: temperature temp
colder coldest -: temperature temp
windier windiest +: wind
wetter wettest +: precipitation precip rain
deeper deepest +: depth
better best +: rating score
worse worst -: rating score
more_populous most_populous +: population
more_populated most_populated +: population
less_populated least_populated -: population
"""
"""Comparative, superlative, whether more of it means a larger value, and the words of the columns that measure it."""

COMPARATIVES: dict[str, tuple[str, bool]] = {}
SUPERLATIVES: dict[str, tuple[str, bool]] = {}
for _line in _ADJECTIVES.strip().splitlines():
    _words, _nouns = _line.split(": ")
    _comparative, _superlative, _sign = (word.replace("_", " ") for word in _words.split())
    COMPARATIVES[_comparative] = SUPERLATIVES[_superlative] = (_nouns, _sign == "+")

MEASURING: dict[str, tuple[str, bool]] = {
    verb: (nouns, True)
    for verbs, nouns in {
        "cost costs costing priced": "price cost fee",
        "weigh weighs weighing weighed": "weight",
        "last lasts lasted lasting": "duration length",
        "earn earns earned earning": "salary income",
        "aged": "age",
    }.items()
    for verb in verbs.split()
}
"""What verbs measure: what costs 50 has a price of 50."""

MONTHS = {
    name: place
    for place, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
            "september sep sept", "october oct", "november nov", "december dec",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
"""Numbers of months by name."""
