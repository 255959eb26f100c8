"""A question as tokens, and what words mean (``vocabulary.toml``): numbers, months, adjectives and verbs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from rsql_magic.sql import stems

from ..tables import table

Kind = Literal["word", "number", "text", "name", "mark"]

_WORDS = table("sql/vocabulary")


def _each(table: str) -> dict[str, Any]:
    return {word: meaning for words, meaning in _WORDS[table].items() for word in words.split()}


def _degrees(place: int) -> dict[str, tuple[str, bool]]:
    """Comparatives (0) or superlatives (1): the words of what they measure, and whether more of it is larger."""
    return {
        words.split()[place].replace("_", " "): (nouns, table == "more")
        for table in ("more", "less")
        for words, nouns in _WORDS[table].items()
    }


COMPARATIVES, SUPERLATIVES = _degrees(0), _degrees(1)
# What costs 50 has a price of 50.
MEASURING: dict[str, tuple[str, bool]] = {verb: (nouns, True) for verb, nouns in _each("verbs").items()}
MONTHS: dict[str, int] = _each("months")
ORDINALS: dict[str, int] = _each("ordinals")
NUMBERS: dict[str, int] = _each("numbers")
PARTS: dict[str, str] = _each("parts")
WHOLE: dict[str, str] = _each("whole")
SEXES: dict[str, str] = _each("sexes")
WORDS = {name: frozenset(words.split()) for name, words in _WORDS["words"].items()}
STEMS = {name: frozenset(one for w in words.split() for one in stems(w)) for name, words in _WORDS["stems"].items()}
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "millions": 10**6, "billion": 10**9, "billions": 10**9}
# After these words "one" is a number; elsewhere it is a pronoun.
_BEFORE_ONE = frozenset({"than", "least", "most", "exactly", "only", "over", "above", "just", "equals"})
_BEFORE_SCALE = frozenset({"a", "than", "over", "above"})
_ARTICLES = frozenset({"the", "a", "an"})
_AFTER_LETTER = frozenset("greater less higher lower where by is and of grouped total in".split())  # noqa: SIM905
_REWRITTEN = (
    (re.compile(r"\bcan['’]t\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon['’]t\b", re.IGNORECASE), "will not"),
    (re.compile(r"n['’]t\b", re.IGNORECASE), " not"),
    (re.compile(r"\b(what|who|where|when|how|that|there|here|it)['’]s\b", re.IGNORECASE), r"\1 is"),
    (re.compile(r"\b(i|we|you|they)['’](?:ve|d|ll|re|m)\b", re.IGNORECASE), r"\1"),
    # Names have birth_date, and people say birthday.
    (re.compile(r"\bb(irth)day(s?)\b", re.IGNORECASE), r"b\1 date\2"),
)
# Of "'books' in students' rooms" only the last apostrophe is a possessive.
_POSSESSIVE = re.compile(r"(?<![\w'])(?P<quoted>'[^'\n]{1,200}'(?!\w))|(?<=\w)['’]s\b|(?<=s)['’](?=\s)")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]*\.?"
_WRITTEN_DATE = re.compile(
    rf"\b(?:(?P<day1>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month1>{_MONTH})|"
    rf"(?P<month2>{_MONTH})\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?),?\s+(?P<year>\d{{4}})\b",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"""
      `(?P<name>[^`\n]{1,120})`
    | "(?P<text1>[^"\n]{1,200})" | “(?P<text2>[^”\n]{1,200})” | ‘(?P<text3>[^’\n]{1,200})’
    | (?<![\w'])'(?P<text4>[^'\n]{1,200}(?:'\w[^'\n]{0,100})?)'(?!\w)
    | (?P<date>\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?|\d{1,2}/\d{1,2}/\d{2,4})
    | (?P<number>(?<![\w.])[$€£]?-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w]))
    | (?P<word>[^\W_][\w]*(?:[-.&/](?=[^\W_])\w+)*)
    | (?P<sign><=|>=|<>|!=|==)
    | (?P<mark>[^\w\s])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a question: its text without quotes, its kind, and the number that it is."""

    text: str
    kind: Kind
    number: float | None = None

    @property
    def lower(self) -> str:
        """The text in lower case."""
        return self.text.lower()

    @property
    def capital(self) -> bool:
        """Whether it is a word with a capital first letter."""
        return self.kind == "word" and self.text[0].isupper()


def tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a question: contractions and possessives undone, number words read, articles left out.

    Example:
        >>> [token.text for token in tokens("What's the top three?")]
        ['What', 'is', 'top', 'three', '?']
    """
    # Dates first, as their commas and ordinals are read otherwise elsewhere.
    text = _WRITTEN_DATE.sub(_iso_date, text)
    for pattern, replacement in _REWRITTEN:
        text = pattern.sub(replacement, text)
    text = _POSSESSIVE.sub(lambda match: match["quoted"] or "", text)
    found = _with_scales([token for match in _TOKEN.finditer(text) if (token := _token(match))])
    kept = (token for place, token in enumerate(found) if not _is_article(found, place) and not _is_filler(token))
    return tuple(token for token in kept if token.text not in "()[]{}")


def _is_filler(token: Token) -> bool:
    return token.kind == "word" and token.lower in WORDS["fillers"]


def _is_article(found: list[Token], place: int) -> bool:
    token = found[place]
    if token.kind != "word" or token.lower not in _ARTICLES or place + 1 == len(found):
        return False
    after = found[place + 1]
    # Beside a comparison, or as "A" within a sentence, it is a letter that names something.
    letter = token.lower == "a" and (after.kind == "mark" or after.lower in _AFTER_LETTER)
    inside_name = place > 1 and found[place - 1].capital and after.capital
    return not (letter or inside_name or (token.text == "A" and place > 0))


def _iso_date(match: re.Match[str]) -> str:
    # "June 21, 2002" is 2002-06-21.
    month = _MONTHS.index((match["month1"] or match["month2"])[:3].lower()) + 1
    return f"{match['year']}-{month:02}-{int(match['day1'] or match['day2']):02}"


def _token(match: re.Match[str]) -> Token | None:
    kind = match.lastgroup or "mark"
    text = match[kind]
    if kind == "number":
        return Token(text, "number", float(text.lstrip("$€£").replace(",", "")))
    if kind.startswith("text") or kind == "date":
        return Token(text.strip(), "text") if text.strip() else None
    if kind == "word":
        number = NUMBERS.get(text.lower())
        return Token(text, "word") if number is None else Token(text, "number", float(number))
    return Token(text, "name" if kind == "name" else "mark")


def _with_scales(found: list[Token]) -> list[Token]:
    """The tokens, where "five million", a bare "hundred" and "one" as a number are one token each."""
    joined: list[Token] = []
    for token in found:
        last = joined[-1] if joined else None
        scale = _SCALES.get(token.lower) if token.kind == "word" else None
        # “five million” is one number, “a million” another; “one” is a pronoun unless something is compared with it.
        if scale and last is not None and last.number is not None:
            joined[-1] = Token(f"{last.text} {token.text}", "number", last.number * scale)
        elif scale and last is not None and last.lower in _BEFORE_SCALE:
            joined.append(Token(token.text, "number", float(scale)))
        elif token.lower == "one" and last is not None and last.lower in _BEFORE_ONE:
            joined.append(Token(token.text, "number", 1.0))
        else:
            joined.append(token)
    return joined
