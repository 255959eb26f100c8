"""Conditions by value: “whose team is not 'NYY'”, “flights from JFK”, “debit cards”, “the city of Chicago”."""

from __future__ import annotations

import re
from dataclasses import replace

from ...words import word_set
from ..linking import Mention
from ..query import Condition, Item, Operator
from ..reading import Reading, Rules
from .comparing import is_condition_alone, value_of
from .vocabulary import WORDS

CALLING = Rules(WORDS)
VALUING = Rules(WORDS)
EXCLUDING = Rules(WORDS)

_FIRST_AND_LAST = 2
_MORE = re.compile(r"(?:(?P<word>or|and|nor) )?(?:(?:in|from|by|either) )*‹[VLN](?P<n>\d+)›")
_CLEAR = word_set("is are was were be = equals equal named called titled being to")
_AT = word_set("in at from by on located")
_LOOSE = word_set("in of at from by for on with has have that who which")
_CONDITION = word_set("whose with having have has where that who which by had and or in a an are is was were")


@CALLING(
    "{T:t} ((is|are|was|which is|that is|who is) )?((named|called|titled|entitled|with name|with title|with the "
    "name) )?{V:v}"
)
def called(reading: Reading, match: re.Match[str]) -> str | None:
    """“the club named 'Tennis Club'”, “track Fast As a Shark”: by the column that names the table's things."""
    value, table = reading.mention(match["v"]), reading.mention(match["t"]).tables[0][0]
    held = tuple(c for c, _ in value.values if c.table == table.name)
    column = next((c for c in held if c == table.display), None) or (held[0] if len(held) == 1 else None)
    said = re.search(r"\b(?:named|called|titled|entitled|name|title)\b", match[0]) is not None
    if column is None and not said and not (table.person and len(value.text.split()) == _FIRST_AND_LAST):
        return None
    column = column or table.display
    if column is None and table.person and len(value.text.split()) == _FIRST_AND_LAST:
        _condition(reading, match, None, negated=False, more=False, lead="called")
        reading.draft.tables.append(int(match["t"]))
        return f"‹{reading.mention(match['t']).letter}{match['t']}›"
    if column is None or (column.facts.complete and not value.values):
        return None
    number = reading.add(Mention(0, 0, column.name, columns=((column, 1.0),)))
    _condition(reading, match, Item(number), negated=False, more=False)
    return f"‹{reading.mention(match['t']).letter}{match['t']}›"


@VALUING(
    "{led}{C:x} ({is} )*(?P<neg>{not})({is} )*{W:v}{list:more}",
    "{led}{C:x} ({is} )*(?P<neg>other than|except|different from|!=|besides|excluding|outside) {W:v}{list:more}",
    "{led}(?P<neg>{not}){C:x} ({is} )*{W:v}{list:more}",
)
def column_is_not(reading: Reading, match: re.Match[str]) -> str | None:
    """“team is not 'NYY'”."""
    return _column_value(reading, match, negated=True)


@VALUING("{led}{C:x} ({is} )+{W:v}{list:more}", "{led}{C:x} {W:v}{list:more}")
def column_is(reading: Reading, match: re.Match[str]) -> str | None:
    """“country is France”, “rating 5”."""
    return _column_value(reading, match, negated=False)


def _column_value(reading: Reading, match: re.Match[str], *, negated: bool) -> str | None:
    number = int(match["x"])
    column = reading.mentions[number]
    between = set(match[0].partition(f"{match['x']}›")[2].partition("‹")[0].split())
    fitting = _holding(reading, number, match["v"])
    if fitting is None and not _says_so(reading, match, between):
        return None
    if column.is_participle and not between and not fitting:
        return None
    kept = _asked_too(reading, match, between)
    _condition(reading, match, Item(fitting if fitting is not None else number), negated=negated)
    return f"‹{column.letter}{number}›" if kept else ""


def _says_so(reading: Reading, match: re.Match[str], between: set[str]) -> bool:
    """Whether the words tie a value to a column that is not known to hold it: “name is X”, “in the city of X”."""
    mention, column = reading.mention(match["v"]), reading.mention(match["x"])
    best = column.columns[0][0]
    if mention.number is None and best.is_number and not any(char.isdigit() for char in mention.text):
        return False
    if mention.number is not None and between == {"in"} and match["more"]:
        return True
    before = reading.text[: match.start()].split()
    place = between == {"of"} and (before[-1:] or [""])[0] in {"in", "from", "at"} | set(match[0].split()[:1])
    return bool(between & _CLEAR and not between & _AT) or (not mention.values and (not between or place))


def _holding(reading: Reading, number: int, mark: str) -> int | None:
    """The mention narrowed to the columns that hold a value, as a new mention."""
    held = {(c.table, c.name) for c, _ in reading.mention(mark).values}
    column = reading.mentions[number]
    fitting = tuple((c, fit) for c, fit in column.columns if (c.table, c.name) in held)
    if not fitting:
        return None
    new = reading.add(replace(column, columns=fitting, tables=()))
    if number in reading.owners:
        reading.owners[new] = reading.owners[number]
    return new


def _asked_too(reading: Reading, match: re.Match[str], between: set[str]) -> bool:
    """Whether the column before a value is asked for itself: “the names of X”, “which city has …”."""
    if match["joined"] in {"and", "but", "or"} or not match[0].startswith("‹"):
        return False
    before = reading.text[: match.start()].split()
    if is_condition_alone(reading, match):
        return False
    if (before and before[-1] in _CONDITION) or reading.mention(match["x"]).is_participle:
        return False
    excluded = re.match(r"other than|except|besides|excluding|outside", match.groupdict().get("neg") or "")
    return bool(excluded) or (bool(between & _LOOSE) and not between & (_CLEAR - {"to"}))


def _condition(
    reading: Reading, match: re.Match[str], item: Item | None, *, negated: bool, more: bool = True, lead: str = ""
) -> None:
    """One condition for a value and those listed after it."""
    found = _MORE.finditer(match.groupdict().get("more") or "") if more else iter(())
    values = [value_of(reading, match["v"]), *(value_of(reading, other["n"]) for other in found)]
    sign: Operator = ("not in" if negated else "in") if len(values) > 1 else ("!=" if negated else "=")
    joined = match.groupdict().get("joined") == "or"
    lead = lead or match[0].partition("‹")[0].strip() or (reading.text[: match.start()].split() or [""])[-1]
    condition = Condition(item, sign, tuple(values), "or" if joined else "and", int(match["v"]), lead=lead)
    reading.draft.where.append(condition)


@VALUING("{led}{V:v} (as|in|for) (the |their |its )?{K:x}(?! ‹[VL])", "{led}{V:v} {K:x}(?! ‹[VLN])")
def value_column(reading: Reading, match: re.Match[str]) -> str | None:
    """“Los Angeles county”, “the red colour”."""
    narrowed = _holding(reading, int(match["x"]), match["v"])
    column = reading.mention(match["x"])
    if narrowed is None and not reading.mention(match["v"]).values and column.columns[0][0].is_text:
        narrowed = int(match["x"])
    if narrowed is None:
        return None
    _condition(reading, match, Item(narrowed), negated=False)
    return ""


@VALUING(
    "{led}(?P<neg>((do|does|did|is|are|was|were) )?(not|never)|outside( of)?|other than|except( for)?|excluding|"
    "besides|"
    "apart from)( (in|from|at|of|by|have|held in|located in|belong to|come "
    "from|those|on|the|part|with|as))* {V:v}{list:more}"
)
def value_not(reading: Reading, match: re.Match[str]) -> str | None:
    """“outside California”, “other than Denmark”."""
    _condition(reading, match, None, negated=True)
    return ""


@VALUING("{led}{V:v}{list:more}")
def value_alone(reading: Reading, match: re.Match[str]) -> str | None:
    """“flights from JFK”, “debit cards”; listed values of one column belong together."""
    others = list(_MORE.finditer(match["more"] or ""))
    marks = [match["v"], *(found["n"] for found in others)]
    held = [{(c.table, c.name) for c, _ in reading.mention(mark).values} for mark in marks]
    if len(marks) == 1 or set.intersection(*held):
        _condition(reading, match, None, negated=False)
        return ""
    words = [match["joined"], *(found["word"] for found in others)]
    for mark, word in zip(marks, words, strict=True):
        condition = Condition(None, "=", (value_of(reading, mark),), "or" if word == "or" else "and", int(mark))
        reading.draft.where.append(condition)
    return ""


@EXCLUDING(
    "(without|ignoring|excluding|skipping|not counting|leaving out|except) ((any|all|the) )?{missing}( values)?$"
)
def leaving_out_gaps(reading: Reading, _match: re.Match[str]) -> str | None:
    """“average price without missing values”: no aggregate counts them anyway."""
    return "" if any(mark == "A" for mark, _ in reading.marks()) else None


_ABSENT = "(without|(do|does|did) not( yet)? have|have no|has no|had no|with no|(have |has )?never had|not having)"
_NEVER = "((is|are|was|were|has|have|do|does|did|had|been) )*(not|never)( yet)?( been)?"
_TO = "( (by|in|to|on|for|from|with|at|of|as|any|a|an|have|having|the))*"


@EXCLUDING(
    f"({{T:s}} )?(that |who |which )?{_ABSENT}( (any|a|an|at all|all|their|own|single|corresponding))* {{T:t}}",
    f"({{T:s}} )?(that |who |which )?{_NEVER}{_TO} {{T:t}}",
)
def without(reading: Reading, match: re.Match[str]) -> str | None:
    """“airlines without any flights”, “students who are not enrolled in a course”."""
    if match["t"] == match["s"]:
        return None
    subject = int(match["s"]) if match["s"] else reading.table_before(match.start())
    reading.draft.without.append((subject, int(match["t"])))
    return f"‹{reading.mentions[subject].letter}{subject}›" if match["s"] and subject is not None else ""
