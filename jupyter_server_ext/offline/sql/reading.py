"""A question as marked text, and the small language in which the rules about it are written.

Mentions stand in the text as marks such as ``‹T0›`` (a table) or ``‹N3›`` (a number); all other words are in lower case
and articles are gone. A rule is a regular expression over that text, with ``{T:name}`` for a mark of a kind, and a
function that notes what it means and returns what is left of the matched words. What no rule takes is what was not
understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .lexicon import ARTICLES
from .query import Draft, Item

if TYPE_CHECKING:
    from datetime import date

    from ..words import Token
    from .linking import Mention
    from .periods import Period
    from .schema import Key, Schema

_KINDS = {
    "T": "[TB]",  # a table
    "C": "[CB]",  # a column
    "K": "C",  # a column that is no table
    "E": "[TCB]",  # either
    "A": "A",  # an aggregate, folded by an earlier rule
    "M": "[ACB]",  # a measure: aggregate or column
    "X": "[ACBT]",  # anything that can be shown or ordered by
    "V": "[VL]",  # a value
    "W": "[VLN]",  # a value or number
    "N": "N",
    "I": "I",
    "P": "P",  # a period, folded by an earlier rule
}
_MACRO = re.compile(r"\{([A-Z])(?::(\w+))?\}|\{([a-z_]+)(?::(\w+))?\}")
_MARK = re.compile(r"‹([A-Z])(\d+)›")
_GROUP = re.compile(r"(?<!\\)\((?!\?)")


def expand(pattern: str, words: Mapping[str, str] | None = None) -> re.Pattern[str]:
    """Compile a rule's pattern, a regular expression with two kinds of short forms.

    ``{T:x}`` is a mark of kind T, whose number becomes the group ``x``. ``{verb}`` is what ``words`` holds under that
    name, ``{verb:x}`` the same as the group ``x``. Plain parentheses do not capture.

    Example:
        >>> expand("names of {T:x}").search("show names of ‹T4›")["x"]
        '4'
        >>> expand("{big:how} city", {"big": "large|huge"}).search("a huge city")["how"]
        'huge'
    """
    vocabulary = words or {}

    def macro(match: re.Match[str]) -> str:
        kind, mark_name, word, word_name = match.groups()
        if word:
            inner = _MACRO.sub(macro, vocabulary[word])
            return f"(?P<{word_name}>{inner})" if word_name else f"(?:{inner})"
        return rf"‹{_KINDS[kind]}(?P<{mark_name}>\d+)›" if mark_name else rf"‹{_KINDS[kind]}\d+›"

    plain = _GROUP.sub("(?:", _MACRO.sub(macro, pattern))
    return re.compile(rf"(?<!\S)(?:{plain})(?!\S)")


Handler = Callable[["Reading", re.Match[str]], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern and what it means."""

    pattern: re.Pattern[str]
    handler: Handler


class Rules(list[Rule]):
    """Rules in the order in which they are tried.

    Example:
        >>> rules = Rules()
        >>> @rules("please")
        ... def politeness(reading, match):
        ...     return ""
        >>> len(rules)
        1
    """

    def __init__(self, words: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._words = words or {}

    def __call__(self, *patterns: str) -> Callable[[Handler], Handler]:
        """Register a function for patterns; used as a decorator."""

        def register(handler: Handler) -> Handler:
            self.extend(Rule(expand(pattern, self._words), handler) for pattern in patterns)
            return handler

        return register


@dataclass
class Reading:
    """A question while it is being read.

    Args:
        text: The marked text that is still to be understood.
        mentions: What the marks stand for.
        items: Aggregates folded into ``‹A…›`` marks.
        owners: For a column's mention, the mention of the table that stands beside it.
        draft: What has been understood.
        original: The marked text before any rule.
        keys: The keys between the tables.
        context: The mention of the table of the query before, for a follow-up that names none.
        periods: Stretches of days folded into ``‹P…›`` marks.
        today: The day of the question, if that is known.
        says_when: Whether a time was read.
        timed: Mentions that were read as part of a time.
    """

    text: str
    mentions: list[Mention]
    schema: Schema
    items: dict[int, Item] = field(default_factory=dict)
    owners: dict[int, int] = field(default_factory=dict)
    draft: Draft = field(default_factory=Draft)
    original: str = ""
    keys: Sequence[Key] = ()
    context: int | None = None
    periods: dict[int, Period] = field(default_factory=dict)
    today: date | None = None
    says_when: bool = False
    timed: set[int] = field(default_factory=set)

    def apply(self, rules: Sequence[Rule]) -> None:
        """Try each rule, everywhere in the text, in order."""
        for rule in rules:
            position = 0
            while match := rule.pattern.search(self.text, position):
                left = rule.handler(self, match)
                if left is None:
                    position = match.start() + 1
                    continue
                self.text = " ".join(f"{self.text[: match.start()]} {left} {self.text[match.end() :]}".split())
                position = 0

    def item(self, mark: str) -> Item:
        """The item a mark's number or text stands for: a folded aggregate, else the plain mention."""
        number = int(mark)
        return self.items.get(number) or Item(number)

    def fold(self, item: Item) -> str:
        """Put an aggregate into the text as one mark."""
        number = 1000 + len(self.items)
        self.items[number] = item
        return f"‹A{number}›"

    def mention(self, mark: str) -> Mention:
        """The mention a mark's number stands for."""
        return self.mentions[int(mark)]

    def add(self, mention: Mention) -> int:
        """Add a mention that no single stretch of words stands for, and give its number."""
        self.mentions.append(mention)
        return len(self.mentions) - 1

    def table_before(self, position: int) -> int | None:
        """The last table mentioned before a place in the text, if any; a count of its rows mentions it as well."""
        numbers = [self._table(match) for match in _MARK.finditer(self.text, 0, position)]
        return next((number for number in reversed(numbers) if number is not None), None)

    def table_after(self, position: int) -> int | None:
        """The first table mentioned after a place in the text, if any."""
        numbers = (self._table(match) for match in _MARK.finditer(self.text, position))
        return next((number for number in numbers if number is not None), self.context)

    def _table(self, match: re.Match[str]) -> int | None:
        if match[1] == "P":
            return None
        number = self.items[int(match[2])].mention if match[1] == "A" else int(match[2])
        return number if number is not None and self.mentions[number].tables else None

    def marks(self) -> list[tuple[str, int]]:
        """Kind and number of the marks that are left, in order."""
        return [(m[1], int(m[2])) for m in _MARK.finditer(self.text)]

    def words(self, text: str | None = None) -> list[str]:
        """The words that are left, in all of the text or in a part of it, without marks."""
        return [word for word in (self.text if text is None else text).split() if not _MARK.fullmatch(word)]


_KEPT_MARKS = frozenset({",", "=", "<", ">", "!", "%", "+", "-", "*", "/"})
_STRAY_SIGN = re.compile(r"(?<!›) [-+*/](?= )| -(?! (?:‹|max|min|mean|sum|avg|average|median|total))|^[-+*/] | [-+*/]$")
_STOPS = frozenset({".", "?", ";", ":"})


def start(question: Sequence[Token], mentions: Sequence[Mention], schema: Schema) -> Reading:
    """The reading of a question before any rule has seen it."""
    begins = {mention.start: number for number, mention in enumerate(mentions)}
    pieces: list[str] = []
    index = 0
    while index < len(question):
        number = begins.get(index)
        if number is not None:
            pieces.append(f"‹{mentions[number].letter}{number}›")
            index = mentions[number].end
            continue
        pieces += _piece(question[index])
        index += 1
    while pieces and pieces[-1] == ".":
        pieces.pop()
    text = " ".join(pieces)
    text = re.sub(r"(?<= )(,|and|, and) (?:what|which|who|how much)(?: is| are| was| were)(?= )", r"\1", text)
    text = _STRAY_SIGN.sub("", text)
    for before, after in ((" > =", " >="), (" < =", " <="), (" ! =", " !="), (" < >", " !="), (" = =", " =")):
        text = text.replace(before, after)
    return Reading(text, list(mentions), schema, original=text)


def _piece(token: Token) -> list[str]:
    if token.lower in ARTICLES:
        return []
    if token.kind == "mark":
        return [token.text] if token.text in _KEPT_MARKS else ["."] if token.text in _STOPS else []
    return [token.lower]
