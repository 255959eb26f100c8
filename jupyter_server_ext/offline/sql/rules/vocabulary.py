"""The words that rules are made of, by what they do in a question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .adjectives import COMPARATIVES, SUPERLATIVES, VERB_NOUNS, alternatives

if TYPE_CHECKING:
    from ..query import Operator

_OPERATOR_PHRASES: dict[Operator, str] = {
    ">": "more than|greater than|larger than|higher than|bigger than|over|above|exceeding|exceeds|exceed|exceeded|"
    "beyond|after|longer than|later than|larger|greater|>|in excess of|strictly more than|bigger|higher|"
    "upwards of|faster than|heavier than|taller than",
    ">=": "at least|no less than|not less than|no fewer than|greater than or equal to|more than or equal to|"
    "larger than or equal to|minimum of|since|>=|starting from",
    "<": "less than|fewer than|lower than|smaller than|below|under|before|earlier than|shorter than|prior to|<|"
    "lower|smaller|less|slower than|lighter than|cheaper than",
    "<=": "at most|no more than|not more than|less than or equal to|smaller than or equal to|up to|<=|no later than",
    "=": "equal to|equals|equal|exactly|=|same as|equalling",
    "!=": "not equal to|other than|different from|!=|not equal|besides|except|except for|excluding|apart from",
}

OPERATORS: dict[str, Operator] = {
    phrase: operator for operator, phrases in _OPERATOR_PHRASES.items() for phrase in phrases.split("|")
}
"""Phrases that compare, and the operator each means."""

NEGATED: dict[Operator, Operator] = {
    ">": "<=",
    ">=": "<",
    "<": ">=",
    "<=": ">",
    "=": "!=",
    "!=": "=",
    "like": "not like",
    "in": "not in",
    "null": "not null",
    "not null": "null",
    "between": "not between",
}
"""The operator that "not" makes of another."""

_DOWN = (
    "descending|decreasing|desc|descendingly|reverse|reversed|inverse|high to low|highest to lowest|most to least|"
    "most to fewest|greatest to least|greatest to smallest|largest to smallest|biggest to smallest|newest to oldest|"
    "latest to earliest|z to a|highest first|largest first|most first|longest to shortest|best to worst"
)
_UP = (
    "ascending|increasing|asc|ascendingly|low to high|lowest to highest|least to most|least to greatest|"
    "smallest to greatest|smallest to largest|fewest to most|oldest to newest|earliest to latest|a to z|lowest first|"
    "smallest first|chronological|shortest to longest|worst to best"
)
_DIRECTION = f"(?:{_DOWN}|{_UP})"
LETTERS = "(?:alphabetical|alphabetic|alphabet|lexicographical|lexicographic|dictionary)"
"""Words for the order of the alphabet."""

WORDS: dict[str, str] = {
    # sorting
    "down": _DOWN,
    "how": rf"{_DIRECTION}(?: {LETTERS})?|{LETTERS}(?: {_DIRECTION})?",
    "sort": "sort|sorted|sorting|order|ordered|ordering|rank|ranked|arrange|arranged|list|listed|organized|organize|"
    "display|displayed|present|presented",
    "by": "by|on|based on|according to|in terms of|using",
    "modifier": r"(‹[TB]\d+› (?=‹))*",
    "made": "( (they|it) (were|was|are|is) \\w+)?",
    "their": "(their |its |his |her |each |all |number |value |values )*",
    # superlatives
    "most": "most|highest|largest|greatest|biggest|maximum|max|maximal|top|best|longest|latest|heaviest|tallest|oldest|"
    "newest|fastest",
    "least": "least|fewest|lowest|smallest|minimum|min|minimal|shortest|earliest|youngest|cheapest|worst|slowest",
    "extreme": "{most}|{least}",
    "has": "((that|which|who) )?(also )?(with|has|have|had|having|of|in|by|to)",
    "number_of": "( total| overall| different| distinct)?( number| numbers| amount| count| total number| total amount|"
    " quantity| value| values| types| kinds)?( of)?( different| distinct| total| all)?",
    "counting": alternatives({word: degree for word, degree in SUPERLATIVES.items() if degree.counts}),
    "superlative": alternatives(SUPERLATIVES),
    "comparative": alternatives(COMPARATIVES),
    # comparing
    "verb": "|".join(VERB_NOUNS),
    "op": "|".join(sorted(OPERATORS, key=len, reverse=True)),
    "be": "is|are|was|were|be|been|being|has|have|had|of|with|value|values|amount|number|equals|equal|that|which|"
    "costs?|"
    "reached|reach|dated|got|by",
    "lead": "((?P<joined>or|and|but|,) )?((that|which|who|whose|with|having|where|(?<= )when|if|have|has|had|also|"
    "either|there|are|is|but) )*",
    "after": "( or| and) (?P<after>more|above|higher|greater|over|older|later|longer|up|less|below|lower|fewer|"
    "under|younger|"
    "earlier|shorter)",
    "units": "( (years|year|dollars|minutes|hours|days|months|times|points|feet|meters|miles|pounds|kg|percent|%|"
    "dollar|"
    "usd|euros|degrees|celsius|fahrenheit|km|inches|cm|people|units|seconds|weeks|kilometers)"
    "( old| of age| long| tall)?)?",
    "text": "letters?|words?|strings?|substrings?|characters?|phrases?|text|prefix|suffix|symbol|initial|value",
    "missing": "nulls?|missing|nas?|nans?|blanks|unknown|empty|blank|undefined|unspecified|not available|"
    "not recorded|not specified|not known|not given",
    # values
    "is": "is|are|was|were|be|being|equals|equal|equal to|as|of|to|named|called|=|with|value|values|either|in|at|"
    "from|has|"
    "have|exactly|title|titled|by|on|like|code|name|located",
    "led": "((?P<joined>or|and|but|,) )?((that|which|who|whose|with|having|where|(?<= )when|if|have|has|had|also|"
    "either|for|by|in|at|from|both|are|is|located|only|of|on|under|during|named|called|titled|being|was|were) )*",
    "not": "((do|does|did|is|are|was|were|has|have) )?(not|never|no)( (have|has|belong|come|in|from|at|equal to|"
    "located in|"
    "named|called))? ",
    "list": r"(( ,)?( or| and| nor)?( in| from| by| either)? {W})*",
    # groups
    "each": "((for|of|in|by|per|at|from|on|to|with|under|within|among|across|used by|made by|that) )?(each|every)"
    "( (of|different|distinct|possible|single|type of|kind of|individual))*",
    "per": "per|grouped by|group by|group them by|broken down by|split by|for different|for all different|in "
    "different|of different|"
    "across different|for various|according to|depending on|as a function of|versus|vs",
}
"""Alternatives by name, for the patterns of rules."""
