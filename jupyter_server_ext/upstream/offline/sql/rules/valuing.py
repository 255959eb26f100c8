# ruff: noqa: E501 - a pattern reads best on one line
"""Conditions by value: "whose team is not 'NYY'", "flights from JFK", "debit cards", "the city of Chicago"."""

from __future__ import annotations

import re
from dataclasses import replace

from ..query import Condition, Item, Operator
from ..reading import Reading, Rules
from .comparing import value_of

VALUING = Rules()
EXCLUDING = Rules()

_BE = r"(?:is|are|was|were|be|being|equals|equal|equal to|as|of|to|named|called|=|with|value|values|either|in|at|from|has|have|exactly|title|titled|by|on|the|like|code|name)"
_JOINED = r"(?:(?P<joined>or|and|but|,) )?(?:(?:that|which|who|whose|with|having|where|have|has|had|also|either|for|by|in|at|from|the|both|are|is|located|only|of|on|under|during|named|called) )*"
_NOT = r"(?P<neg>(?:(?:do|does|did|is|are|was|were|has|have) )?(?:not|never|no)(?: (?:have|has|belong|come|in|from|at|equal to|located in))? )"
_LIST = r"(?P<more>(?:(?: ,)?(?: or| and| nor)?(?: in| from| by| either| whose ‹[CB]\d+› is)? ‹[VLN]\d+›)*)"
_MORE = re.compile(r"(?:(?P<word>or|and|nor) )?(?:(?:in|from|by|either) )*‹[VLN](?P<n>\d+)›")


@VALUING(rf"{_JOINED}{{C:x}} (?:{_BE} )*{_NOT}(?:{_BE} )*{{W:v}}{_LIST}", rf"{_JOINED}{{C:x}} (?:{_BE} )*(?P<neg>other than|except|different from|!=|besides|excluding|outside) {{W:v}}{_LIST}",
         rf"{_JOINED}{_NOT}{{C:x}} (?:{_BE} )*{{W:v}}{_LIST}")  # fmt: skip
def column_is_not(reading: Reading, match: re.Match[str]) -> str | None:
    """“team is not 'NYY'”."""
    return _column_value(reading, match, negated=True)


@VALUING(rf"{_JOINED}{{C:x}} (?:{_BE} )+{{W:v}}{_LIST}", rf"{_JOINED}{{C:x}} {{W:v}}{_LIST}")
def column_is(reading: Reading, match: re.Match[str]) -> str | None:
    """“country is France”, “rating 5”."""
    return _column_value(reading, match, negated=False)


def _column_value(reading: Reading, match: re.Match[str], *, negated: bool) -> str | None:
    number, mention = int(match["x"]), reading.mention(match["v"])
    held = {(c.table, c.name) for c, _ in mention.values}
    column = reading.mentions[number]
    fitting = tuple((c, fit) for c, fit in column.columns if (c.table, c.name) in held)
    if mention.values and not fitting and not _beside(match):
        return None
    if mention.number is not None and not _takes_numbers(reading, number):
        return None
    kept = _asked_too(reading, match)
    where = number
    if fitting:
        where = reading.add(replace(column, columns=fitting, tables=()))
        if number in reading.owners:
            reading.owners[where] = reading.owners[number]
    _condition(reading, Item(where), match["v"], match["more"], negated=negated, joined=match["joined"])
    return f"‹{column.letter}{number}›" if kept else ""


def _beside(match: re.Match[str]) -> bool:
    """Whether the words join column and value closely: “name is X”, “name = X”, "name 'X'"."""
    between = match[0].partition(f"{match['x']}›")[2].partition("‹")[0].split()
    return not between or bool(
        {"is", "are", "=", "was", "equals", "equal", "named", "called", "not", "were"} & set(between)
    )


def _takes_numbers(reading: Reading, number: int) -> bool:
    return bool(reading.mentions[number].columns)


def _asked_too(reading: Reading, match: re.Match[str]) -> bool:
    """Whether the column before a value is asked for itself: “the names of X”, “which city has …”."""
    first = match[0].split()[0]
    before = reading.text[: match.start()].split()
    if match["joined"] in {"and", "but", "or"} or not first.startswith("‹"):
        return False
    between = match[0].partition(f"{match['x']}›")[2].partition("‹")[0].split()
    if (
        between
        and not {"is", "are", "=", "was", "equals", "equal"} & set(between)
        and {"in", "of", "at", "from", "by", "for", "on", "with", "has", "have"} & set(between)
    ):
        return True
    return (
        bool(before)
        and before[-1] in {"which", "what", "show", "list", "find"}
        and bool({"in", "of", "at", "from", "by", "for", "on"} & set(between))
    )


def _condition(reading: Reading, item: Item | None, mark: str, more: str, *, negated: bool, joined: str | None) -> None:
    """One condition for a value and those listed after it."""
    values = [value_of(reading, mark)] + [value_of(reading, found["n"]) for found in _MORE.finditer(more or "")]
    sign: Operator = ("not in" if negated else "in") if len(values) > 1 else ("!=" if negated else "=")
    how = "or" if joined == "or" else "and"
    reading.draft.where.append(Condition(item, sign, tuple(values), how, int(mark)))  # type: ignore[arg-type]


@VALUING(
    rf"{_JOINED}{{V:v}} (?:as|in|for) (?:the |their |its )?{{C:x}}(?! ‹[VL])", rf"{_JOINED}{{V:v}} {{C:x}}(?! ‹[VLN])"
)
def value_column(reading: Reading, match: re.Match[str]) -> str | None:
    """“Los Angeles county”, “the red colour”."""
    mention = reading.mention(match["v"])
    number = int(match["x"])
    column = reading.mentions[number]
    held = {(c.table, c.name) for c, _ in mention.values}
    fitting = tuple((c, fit) for c, fit in column.columns if (c.table, c.name) in held)
    if not fitting or column.letter == "B":
        return None
    where = reading.add(replace(column, columns=fitting, tables=()))
    _condition(reading, Item(where), match["v"], "", negated=False, joined=match["joined"])
    return ""


@VALUING(
    rf"{_JOINED}(?P<neg>(?:(?:do|does|did|is|are|was|were) )?(?:not|never)|outside(?: of)?|other than|except(?: for)?|excluding|besides|apart from)(?: (?:in|from|at|of|by|have|held in|located in|belong to|come from|those|on|the|part))* {{V:v}}{_LIST}"
)
def value_not(reading: Reading, match: re.Match[str]) -> str | None:
    """“outside California”, “other than Denmark”."""
    _condition(reading, None, match["v"], match["more"], negated=True, joined=match["joined"])
    return ""


@VALUING(rf"{_JOINED}{{V:v}}{_LIST}")
def value_alone(reading: Reading, match: re.Match[str]) -> str | None:
    """“flights from JFK”, “debit cards”; listed values of one column belong together."""
    marks = [match["v"], *(found["n"] for found in _MORE.finditer(match["more"] or ""))]
    words = [found["word"] for found in _MORE.finditer(match["more"] or "")]
    held = [{(c.table, c.name) for c, _ in reading.mention(mark).values} for mark in marks]
    if len(marks) > 1 and set.intersection(*held):
        _condition(reading, None, match["v"], match["more"], negated=False, joined=match["joined"])
        return ""
    for place, mark in enumerate(marks):
        joined = match["joined"] if place == 0 else words[place - 1]
        _condition(reading, None, mark, "", negated=False, joined="or" if joined == "or" else None)
    return ""


@EXCLUDING(r"(?:{T:s} )?(?:(?:that|who|which) )?(?:without|(?:do|does|did) not(?: yet)? have|have no|has no|had no|with no|never had|have never had|has never had|not having)(?: (?:any|a|an|at|all|their|own|single|corresponding))* {T:t}",
           r"(?:{T:s} )?(?:(?:that|who|which) )?(?:(?:is|are|was|were|has|have|do|does|did|had|been) )*(?:not|never)(?: yet)?(?: been)?(?: \w+)?(?: (?:by|in|to|on|for|from|with|at|of|as|any|a|an|have|having|the))* {T:t}")  # fmt: skip
def without(reading: Reading, match: re.Match[str]) -> str | None:
    """“airlines without any flights”, “students who are not enrolled in a course”."""
    if int(match["t"]) == (int(match["s"]) if match["s"] else None):
        return None
    subject = int(match["s"]) if match["s"] else reading.table_before(match.start())
    reading.draft.without.append((subject, int(match["t"])))
    return f"‹{reading.mentions[subject].letter}{subject}›" if match["s"] and subject is not None else ""
