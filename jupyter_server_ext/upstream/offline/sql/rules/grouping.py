"""Groups: “for each city”, “per month”, “by carrier”."""

from __future__ import annotations

import re

from ..query import Item
from ..reading import Reading, Rules
from .dates import PARTS, calendar_item
from .vocabulary import WORDS

GROUPING = Rules(
    {
        **WORDS,
        "more": r"(( ,)?( and)?( each| every| by| per)?( ‹[TB]\d+›(?= ‹))* ‹[TCB]\d+›)*",
        "part": "|".join(sorted(PARTS, key=len, reverse=True)),
    }
)
_NEXT = re.compile(r"((?: ,)?(?: and)?(?: each| every| by| per)?(?: ‹[TB]\d+›(?= ‹))*) ‹([TCB])(\d+)›")
_OPEN_LIST = re.compile(r"per|group|broken|split|by")


@GROUPING("{each} {modifier}{E:e}{more:more}", "{per} {modifier}{E:e}{more:more}")
def each(reading: Reading, match: re.Match[str]) -> str | None:
    """“for each city and year”; the words after an “and” belong to the group only when they say so."""
    if match[0].startswith(("each", "every")) and not any(mark == "A" for mark, _ in reading.marks()):
        return match[0].partition(" ")[2]  # "list every album": all of them
    numbers = [int(match["e"])]
    rest = ""
    for found in _NEXT.finditer(match["more"] or ""):
        if re.search(r"each|every|by|per", found[1]) or _OPEN_LIST.match(match[0]):
            numbers.append(int(found[3]))
        else:
            rest += found[0]
    reading.draft.group += [Item(number) for number in numbers]
    return rest


@GROUPING("by {modifier}{E:e}{more:more}")
def by(reading: Reading, match: re.Match[str]) -> str | None:
    """“average delay by origin and month”."""
    before = reading.text[: match.start()].split()
    counted = reading.context is not None or any(mark == "A" for mark, _ in reading.marks())
    if not counted or (before and before[-1].endswith("ed")):
        return None
    numbers = [match["e"], *(found[3] for found in _NEXT.finditer(match["more"] or ""))]
    reading.draft.group += [Item(int(number)) for number in numbers]
    return ""


@GROUPING("^(show |list |give me |plot )*{T:t} (by|per) {modifier}{E:e}{more:more}$")
def counts_by(reading: Reading, match: re.Match[str]) -> str | None:
    """“planes by manufacturer”: how many there are of each."""
    number = int(match["t"])
    groups = [Item(int(n)) for n in (match["e"], *(found[3] for found in _NEXT.finditer(match["more"] or "")))]
    reading.draft.group += groups
    reading.draft.tables.append(number)
    reading.draft.select += [*groups, Item(number, "count")]
    reading.draft.notes.append(f"I counted the {reading.mentions[number].text}.")
    return ""


@GROUPING(
    "((for|of|in|by|per|on) )*(each|every|per|by|across) {part:part}"
    "( (and|,|, and) ((by|per|each|every) )?{part:also})?",
    "(?P<part>yearly|annual|monthly|weekly|daily|hourly)",
)
def by_part(reading: Reading, match: re.Match[str]) -> str | None:
    """“per year and month” where no column has that name: that of the table's date."""
    words = [match["part"], match.groupdict().get("also")]
    items = [calendar_item(reading, match.start(), PARTS[word]) for word in words if word]
    if None in items:
        return None
    reading.draft.group += [item for item in items if item is not None]
    return ""
