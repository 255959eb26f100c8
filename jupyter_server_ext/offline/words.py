"""Text to tokens: words with their stems, numbers, quoted text and backticked names.

The stemmer is small on purpose: it folds English plurals and a few irregular forms, so that "cities" finds ``city``.
``root`` goes further (``director`` ~ ``directed``) and is only used where a near miss is better than none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["word", "number", "text", "name", "mark"]

_IRREGULAR = {
    "people": "person",
    "persons": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "feet": "foot",
    "mice": "mouse",
    "teeth": "tooth",
    "buses": "bus",
    "gases": "gas",
    "statuses": "status",
    "lenses": "lens",
    "aliases": "alias",
    "analyses": "analysis",
    "data": "data",
    "series": "series",
    "species": "species",
    "lives": "live",
    "wives": "wife",
    "shelves": "shelf",
    "wolves": "wolf",
    "movies": "movie",
    "cookies": "cookie",
    "calories": "calorie",
    "ties": "tie",
    "indices": "index",
    "matrices": "matrix",
    "criteria": "criterion",
    "taxes": "tax",
    "quizzes": "quiz",
    "heroes": "hero",
    "potatoes": "potato",
    "tomatoes": "tomato",
    "aircrafts": "aircraft",
    "staffs": "staff",
    "news": "news",
    "campuses": "campus",
    "viruses": "virus",
    "bonuses": "bonus",
}

_NUMBERS = {
    "zero": 0,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "thirteen": 13,
    "fourteen": 14,
    "fifteen": 15,
    "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18,
    "nineteen": 19,
    "twenty": 20,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
}

_SCALES = {
    "hundred": 100,
    "thousand": 1_000,
    "million": 1_000_000,
    "millions": 1_000_000,
    "billion": 1_000_000_000,
    "billions": 1_000_000_000,
    "k": 1_000,
    "m": 1_000_000,
}

_CONTRACTIONS = (
    (re.compile(r"\bcan['’]t\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon['’]t\b", re.IGNORECASE), "will not"),
    (re.compile(r"n['’]t\b", re.IGNORECASE), " not"),
    (re.compile(r"\b(what|who|where|when|how|that|there|here|it|let)['’]s\b", re.IGNORECASE), r"\1 is"),
    (re.compile(r"\b(i|we|you|they)['’](?:ve|d|ll|re|m)\b", re.IGNORECASE), r"\1"),
)

# Of "'books' in students' rooms" only the second is a possessive.
_POSSESSIVE = re.compile(r"(?<![\w'])(?P<quoted>'[^'\n]{1,200}'(?!\w))|(?<=\w)['’]s\b|(?<=s)['’](?=\s)")

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_WRITTEN_DATE = re.compile(
    rf"\b(?:(?P<day1>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month1>{_MONTH})|"
    rf"(?P<month2>{_MONTH})\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?)"
    r",?\s+(?P<year>\d{4})\b",
    re.IGNORECASE,
)


def _iso_date(match: re.Match[str]) -> str:
    """“June 21, 2002” as 2002-06-21."""
    month = _MONTHS.index((match["month1"] or match["month2"])[:3].lower()) + 1
    return f"{match['year']}-{month:02}-{int(match['day1'] or match['day2']):02}"


_TOKEN = re.compile(
    r"""
      `(?P<name>[^`\n]{1,120})`
    | "(?P<text1>[^"\n]{1,200})" | “(?P<text2>[^”\n]{1,200})” | ‘(?P<text3>[^’\n]{1,200})’
    | (?<![\w'])'(?P<text4>[^'\n]{1,200}(?:'\w[^'\n]{0,100})?)'(?!\w)
    | (?P<date>\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?)?|\d{1,2}/\d{1,2}/\d{2,4})
    | (?P<number>(?<![\w.])[$€£]?-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w]))
    | (?P<word>[^\W_][\w]*(?:[-.&/](?=[^\W_])\w+)*)
    | (?P<mark>[^\w\s])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a question.

    Args:
        text: As written, without quotes.
        kind: ``word``, ``number``, quoted ``text``, backticked ``name``, or a punctuation ``mark``.
        stem: The stem of a word, otherwise the lower-case text.
        value: The number, when it is one.
    """

    text: str
    kind: Kind
    stem: str
    value: float | None = None

    @property
    def lower(self) -> str:
        """The text in lower case."""
        return self.text.lower()

    @property
    def capital(self) -> bool:
        """True for a word that starts with a capital letter."""
        return self.kind == "word" and self.text[0].isupper()


def word_set(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """The singular, lower-case form of an English word.

    Example:
        >>> [stem(w) for w in ("Cities", "classes", "boxes", "bus", "people")]
        ['city', 'class', 'box', 'bus', 'person']
    """
    word = word.lower()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "ches", "shes", "xes", "zes")):
        return word[:-2]
    return word[:-1]


_ENDINGS = (
    "izations", "ization", "ations", "ation", "ments", "ment", "ances", "ance", "ences", "ence", "ings", "ing", "ions",
    "ion", "ors", "or", "ers", "er", "ees", "ee", "ed", "al", "ly", "ist", "y", "e",
)  # fmt: skip


@lru_cache(maxsize=4096)
def root(word: str) -> str:
    """The stem without its commonest endings: ``directed``, ``director`` and ``direction`` share one.

    Example:
        >>> {root(w) for w in ("directed", "director", "direction")}
        {'direct'}
    """
    base = stem(word)
    for ending in _ENDINGS:
        if base.endswith(ending) and len(base) - len(ending) >= 4:
            base = base[: -len(ending)]
            break
    if len(base) > 4 and base[-1] == base[-2] and base[-1] not in "sl":
        base = base[:-1]
    return base


def tokens(text: str) -> list[Token]:
    """The tokens of a text, contractions and possessives undone, number words read.

    Example:
        >>> [t.text for t in tokens("What's the top three?")]
        ['What', 'is', 'the', 'top', 'three', '?']
    """
    text = _WRITTEN_DATE.sub(_iso_date, text)
    text = re.sub(r"\b(b)irthday(s?)\b", r"\1irth date\2", text, flags=re.IGNORECASE)
    for pattern, replacement in _CONTRACTIONS:
        text = pattern.sub(replacement, text)
    text = _POSSESSIVE.sub(lambda match: match["quoted"] or "", text)
    found = [_token(match) for match in _TOKEN.finditer(text)]
    return _join_numbers([token for token in found if token is not None])


def _token(match: re.Match[str]) -> Token | None:
    kind = match.lastgroup or "mark"
    text = match[kind]
    if kind == "number":
        return Token(text, "number", text, _number(text))
    if kind == "name":
        return Token(text, "name", text.lower())
    if kind.startswith("text") or kind == "date":
        return Token(text.strip(), "text", text.strip().lower()) if text.strip() else None
    if kind == "word":
        return _word(text)
    return Token(text, "mark", text)


def _word(text: str) -> Token:
    short = re.fullmatch(r"(\d+(?:\.\d+)?)([km])", text, re.IGNORECASE)
    if short:
        return Token(text, "number", text.lower(), float(short[1]) * _SCALES[short[2].lower()])
    lower = text.lower()
    if lower in _NUMBERS:
        return Token(text, "number", lower, float(_NUMBERS[lower]))
    return Token(text, "word", stem(text))


def _number(text: str) -> float:
    return float(text.lstrip("$€£").replace(",", ""))


def _join_numbers(found: list[Token]) -> list[Token]:
    """Put "five million", "two hundred", "twenty - five" and a bare "hundred" into one token each."""
    joined: list[Token] = []
    for token in found:
        last = joined[-1] if joined else None
        scale = _SCALES.get(token.lower) if token.kind == "word" and len(token.text) > 1 else None
        if scale and last is not None and last.kind == "number" and last.value is not None:
            joined[-1] = Token(f"{last.text} {token.text}", "number", last.stem, last.value * scale)
        elif scale and last is not None and last.lower in {"a", "than", "over", "above"}:
            joined.append(Token(token.text, "number", token.stem, float(scale)))
        elif token.lower == "one" and last is not None and last.lower in _BEFORE_ONE:
            joined.append(Token(token.text, "number", "one", 1.0))
        else:
            joined.append(token)
    return joined


# "one" is a number after these words and a pronoun elsewhere ("which one", "the one with").
_BEFORE_ONE = frozenset({"than", "least", "most", "exactly", "only", "over", "above", "just", "equals"})


_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+")


@lru_cache(maxsize=8192)
def name_words(name: str) -> tuple[str, ...]:
    """The lower-case words of an identifier.

    Example:
        >>> name_words("ArrDelay_min"), name_words("STU_LNAME"), name_words("customerID")
        (('arr', 'delay', 'min'), ('stu', 'lname'), ('customer', 'id'))
    """
    return tuple(word.lower() for word in _CAMEL.findall(name))
