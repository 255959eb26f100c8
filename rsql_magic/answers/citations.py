"""Passages of documents that go with a question, and the citations of them in an answer: does the passage say that?"""

# A citation is borne out when its passage was sent, holds the numbers of the sentence before it in the same units,
# shares its words, and the sentence of it that is nearest denies as much.
# That is a check of words, not of meaning: it finds citations that point elsewhere, and numbers that nobody wrote.

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rsql_magic.context import Context, Piece
from rsql_magic.knowledge import terms
from rsql_magic.redaction import redact
from rsql_magic.sql import count_tokens, fence, names, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from rsql_magic.knowledge import Hits, Passage

KIND = "document"  # of the fence around a passage
_SHARED = 0.5  # the share of a sentence's words that its passage must hold
_TOGETHER = 0.2  # the share that each must hold of several passages that bear a sentence out together
_SHORT = 300  # characters of an answer without citations whose passage is looked for
_TELLING = 3  # words that such an answer must have, or a number
_MARK = re.compile(r"[\[【](\d{1,2}(?:\s*[,;]\s*\d{1,2})*)[\]】](?!\()")
_CODE = re.compile(r"(`{3,}|~{3,}).*?(?:\1|\Z)|(`+)[^`]+?\2", re.S)
_SENTENCE_END = re.compile(r"[.!?:;](?=\s)|\n+")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
_NUMERALS = dict(
    zip(
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        range(2, 13),
        strict=True,
    )
)
# Names of units, each with those that mean the same; a number with one of them is another number with another one.
_UNITS = {
    word: unit
    for unit, *others in map(
        str.split,
        (
            "% percent pct prozent pourcent", "second s sec secs seconds sekunde sekunden",
            "minute min mins minutes minuten", "hour h hr hrs hours stunde stunden heure heures",
            "day d days tag tage tagen jour jours", "week weeks woche wochen", "month months monat monate monaten",
            "year yr yrs years jahr jahre jahren", "mm millimetre millimeter millimetres millimeters",
            "cm centimetre centimeter centimetres centimeters zentimeter", "m metre meter metres meters",
            "km kilometre kilometer kilometres kilometers", "mile miles", "foot feet ft", "inch inches",
            "mg milligram milligrams milligramm", "g gram grams gramm", "kg kilogram kilograms kilogramm kilo kilos",
            "ml millilitre milliliter millilitres milliliters", "l litre liter litres liters", "kb", "mb", "gb", "tb",
            "ms millisecond milliseconds", "°c celsius", "°f fahrenheit", "kelvin", "$ dollar dollars usd",
            "€ euro euros eur", "£ pound pounds gbp", "cent cents", "kw", "kwh", "mw", "volt volts", "watt watts",
        ),
    )
    for word in (unit, *others)
}  # fmt: skip
_MEASURE = re.compile(r"([$€£])?\s?(?<![\w.])(\d+(?:[.,]\d+)*)[\s-]?(%|°[CF]\b|[^\W\d_]+|[$€£])?", re.I)
# Words that turn what a sentence says into its contrary; two of them turn it back.
_DENIES = re.compile(
    r"\b(?:not|no|never|none|neither|nor|without|cannot|forbidden|prohibited|banned|disallowed"
    r"|nicht|kein\w*|nie|niemals|ohne|verboten|untersagt|jamais|sans|aucune?|nunca|sin|ning[uú]n\w*)\b|\w+n['’]t\b",
    re.I,
)
_CLAUSES = re.compile(r"[,;:()–—]|\s-\s")
_HEDGED = re.compile(r"\b(?:unless|except|only|but|if|nur|außer|sauf|salvo)\b", re.I)  # where no one can tell so simply
_ENGLISH = names(
    "the of and is are to in for with that this be by or not it as a an at all on was were has have from into they you"
    " can will must should"
)


@dataclass(frozen=True)
class Citation:
    """A passage that an answer cites."""

    number: int  # as it stands in the answer
    passage: Passage
    unborne: tuple[str, ...] = ()  # sentences that it does not bear out
    found: bool = False  # whether it was found by the answer's words, which cites nothing

    @property
    def label(self) -> str:
        """Its number, document, headings and lines."""
        return f"[{self.number}] {self.passage.label}{' (found by the answer’s words)' if self.found else ''}"


@dataclass(frozen=True)
class Cited:
    """The citations of an answer, and a sentence on each that is wrong."""

    citations: tuple[Citation, ...] = ()
    wrong: tuple[str, ...] = ()
    text: str = ""  # the answer, wrong citations marked with a question mark


def with_passages(context: Context, hits: Hits, budget: int) -> Context:
    """A context with passages, numbered, as far as they fit into so many tokens; secrets are replaced in them too."""
    pieces: list[Piece] = []
    left, found = budget, Counter[str]()
    for number, passage in enumerate(hits.passages, 1):
        text, in_text = redact(f"{passage.heading}\n\n{passage.text}" if passage.path else passage.text)
        name = f"{number}: {redact(passage.short)[0]}"
        tokens = count_tokens(fence(KIND, name, text)) + 1
        if tokens > left and pieces:
            pieces += [
                Piece(KIND, each.short, reason="over the documents' budget") for each in hits.passages[number - 1 :]
            ]
            break
        left -= tokens
        found += in_text
        pieces.append(Piece(KIND, name, text, tokens=tokens, reason="fits the question", redactions=in_text))
    notes = (*context.notes, *hits.notes)
    return replace(context, pieces=(*context.pieces, *pieces), redactions=context.redactions + found, notes=notes)


def check_citations(answer: str, passages: Sequence[Passage], question: str = "") -> Cited:
    """Look whether the passages that an answer cites say what it says.

    Args:
        answer: Its Markdown; code in it is left alone.
        passages: Those that were sent, in order; the first has the number 1.
        question: Its numbers may stand in the answer without being cited.

    Example:
        >>> from rsql_magic.knowledge import Passage
        >>> rules = Passage("lab.md", (), 3, 3, "Gloves are worn at all times.")
        >>> check_citations("Gloves are worn at all times [1]. Boots too, for 7 hours [1].", [rules]).wrong
        ('lab.md:3 does not say “Boots too, for 7 hours”.',)
    """
    asked = _numbers(question)
    unborne: dict[int, list[str]] = {}
    wrong, flawed = [], set[int]()
    for claim, numbers, starts in _claims(answer):
        there = {number: passages[number - 1] for number in numbers if 0 < number <= len(passages)}
        for number in numbers:
            if number not in there:
                wrong.append(f"[{number}] cites no passage that was sent.")
                flawed.update(starts)
        bearing = _bearing(claim, there, asked)
        for number, passage in there.items():
            unborne.setdefault(number, [])
            if number not in bearing:
                unborne[number].append(claim)
                wrong.append(f"{passage.short} does not say “{one_line(claim, 120)}”.")
                flawed.update(starts)
    citations = [Citation(number, passages[number - 1], tuple(unborne[number])) for number in sorted(unborne)]
    if not citations and not wrong:
        citations = _found(answer, passages, asked)
    marked = "".join(f"{char}?" if place in flawed else char for place, char in enumerate(answer))
    return Cited(tuple(citations), tuple(dict.fromkeys(wrong)), marked)


def _found(answer: str, passages: Sequence[Passage], asked: AbstractSet[str]) -> list[Citation]:
    """The first passage that bears a short answer out which cites nothing, as small models write them."""
    prose = " ".join(_CODE.sub(" ", answer).split())
    if len(prose) > _SHORT or not (_numbers(prose) - asked or len(set(terms(prose))) >= _TELLING):
        return []
    bearing = (number for number, each in enumerate(passages, 1) if _bearing(prose, {number: each}, asked))
    return [Citation(number, passages[number - 1], found=True) for number in list(bearing)[:1]]


def _claims(answer: str) -> Iterator[tuple[str, list[int], set[int]]]:
    """What stands before each citation, the numbers cited there, and the places before the brackets' ends."""
    prose = _CODE.sub(lambda code: " " * len(code[0]), answer)
    end, claim = 0, ""
    numbers: list[int] = []
    places: set[int] = set()
    for mark in _MARK.finditer(prose):
        before = answer[end : mark.start()]
        if numbers and before.strip(" ,.;"):
            yield claim, numbers, places
            numbers, places = [], set()
        if not numbers:
            claim = _last_sentence(before)
        numbers += [int(number) for number in re.findall(r"\d+", mark[1])]
        places.add(mark.end() - 2)
        end = mark.end()
    if numbers:
        yield claim, numbers, places


def _last_sentence(text: str) -> str:
    """The last sentence of a text, without what marks a list."""
    parts = [part for part in _SENTENCE_END.split(text) if re.search(r"\w", part)]
    return re.sub(r"^[\s>*+\-#|.,;]+|[\s*_]+$", "", parts[-1]) if parts else ""


def _bearing(claim: str, there: dict[int, Passage], asked: AbstractSet[str]) -> set[int]:
    """The numbers of the passages that bear a sentence out, alone or together."""
    words, figures = set(terms(_NUMBER.sub(" ", claim))), _numbers(claim) - asked
    said = {number: f"{each.document} {each.heading}\n{each.text}" for number, each in there.items()}
    held = {number: set(terms(text)) for number, text in said.items()}
    foreign = _is_english(claim) != _is_english("\n".join(said.values()))
    together: set[str] = set().union(*held.values())
    all_figures: set[str] = set().union(*map(_numbers, said.values()))
    if not figures <= all_figures or _other_units(claim, "\n".join(said.values()), asked):
        return set()
    if not words or foreign:  # figures are all that can be compared between two languages
        return {number for number, text in said.items() if not figures or figures & _numbers(text)}
    joint = len(words & together) >= _SHARED * len(words)
    found = set()
    for number, text in said.items():
        share = len(words & held[number]) / len(words)
        if _denied(words, claim, text):
            continue
        if (share >= _SHARED and figures <= _numbers(text)) or (joint and share >= _TOGETHER):
            found.add(number)
    return found


def _measures(text: str) -> dict[str, set[str]]:
    """The units that stand beside each number, one form of each: ``2 hrs`` gives ``{"2": {"hour"}}``."""
    found: dict[str, set[str]] = {}
    for sign, number, word in _MEASURE.findall(text):
        units = {_UNITS[each.lower()] for each in (sign, word) if each.lower() in _UNITS}
        for plain in _numbers(number):
            found.setdefault(plain, set()).update(units)
    return found


def _other_units(claim: str, passages: str, asked: AbstractSet[str]) -> bool:
    """Whether a number of a sentence stands in the passages with other units only."""
    there = _measures(passages)
    stated = {number: units for number, units in _measures(claim).items() if units and number not in asked}
    return any(there.get(number) and not units & there[number] for number, units in stated.items())


def _denied(words: AbstractSet[str], claim: str, passage: str) -> bool:
    """Whether the sentence of a passage that is nearest to a claim says the contrary of it."""
    sentences = [part for part in _SENTENCE_END.split(passage) if part.strip()]
    shared = {part: len(words & set(terms(part))) for part in sentences}
    most = max(shared.values(), default=0)
    near = [part for part in sentences if shared[part] == most]
    if most < _SHARED * len(words) or _HEDGED.search(claim) or any(map(_HEDGED.search, near)):
        return False
    # "For 24 months, not 12" says of 24 what "for 24 months" does: words that deny belong to their own clause.
    said, theirs = _nearest(claim, set(terms(passage))), [_nearest(part, words) for part in near]
    return all(len(_DENIES.findall(part)) % 2 != len(_DENIES.findall(said)) % 2 for part in theirs)


def _nearest(sentence: str, words: AbstractSet[str]) -> str:
    """The clause of a sentence that has most of some words."""
    return max(_CLAUSES.split(sentence), key=lambda clause: len(words & set(terms(clause))))


def _numbers(text: str) -> set[str]:
    """The numbers in a text, each in one form: ``1,000`` is 1000, ``2.50`` is 2.5, ``two`` is 2."""
    found = {each.replace(",", "") for each in _NUMBER.findall(text)}
    plain = {each.rstrip("0").rstrip(".") if "." in each else each for each in found}
    return plain | {str(_NUMERALS[word]) for word in re.findall(r"[a-z]+", text.lower()) if word in _NUMERALS}


def _is_english(text: str) -> bool:
    words = re.findall(r"[^\W\d_]+", text.lower())
    return sum(word in _ENGLISH for word in words) * 10 >= len(words)


def note_of(hits: Hits, *, asked: bool) -> str:
    """The line below an answer on the documents that went with it, where the user did not name them."""
    if asked or not hits.passages:
        return ""
    names = list(dict.fromkeys(each.document for each in hits.passages))
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"with {', '.join(names[:2])}{more}, which fit the question to {hits.fit:.0%}"
