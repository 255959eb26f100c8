"""Groups: “for each city”, “per month”, “by carrier”."""

from __future__ import annotations

import re

from ..query import Item
from ..reading import Reading, Rules
from .dates import PARTS, calendar_item
from .folding import are_kinds, is_measure
from .ordering import taken_together
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


@GROUPING(
    "^(how many|count|number)(?P<rest>( [a-z]+)*?)(?=$| (by|per|for each|in each|grouped by|group by) )",
)
def count_those(reading: Reading, match: re.Match[str]) -> str | None:
    """“how many have a price over 5”: the rows that satisfy the conditions."""
    if not reading.draft.where or reading.items:
        return None
    return f"{reading.fold(Item(None, 'count'))} {match['rest']}"


_PLAIN = "^(show |list |give |me |plot |compare |all |table of |list of )*"
_LISTED = "(?P<shown>‹C\\d+›((?: ,| and|, and) ‹C\\d+›)*)"
_OF = "(?P<of>( of| in| for)?( all| the)* ‹[TB]\\d+›)?"


@GROUPING("{K:x} (vs|versus|against) {K:y}")
def against(reading: Reading, match: re.Match[str]) -> str | None:
    """“x vs y”: both, unless something is computed."""
    return None if any(mark == "A" for mark, _ in reading.marks()) else f"‹C{match['x']}› , ‹C{match['y']}›"


@GROUPING("^(group|grouped)( it| them)? by {E}{more}$")
def groups_alone(reading: Reading, match: re.Match[str]) -> str | None:
    """“group by city”: with the number of rows of each."""
    reading.draft.notes.append("I counted the rows of each group.")
    return f"{reading.fold(Item(None, 'count'))} {match[0]}"


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
    alone = re.fullmatch(rf"(?:{_PLAIN})(?:‹[TB]\d+›|{_LISTED}{_OF})", " ".join(before))
    if alone and alone["shown"] and not _are_measured(reading, alone["shown"], [int(match["e"])]):
        return None
    counted = alone or reading.context is not None or any(mark == "A" for mark, _ in reading.marks())
    verb = reading.mention(mark[1]) if (mark := re.search(r"‹[TBC](\d+)›$", " ".join(before))) else None
    if not counted or (before and before[-1].endswith("ed")) or (verb is not None and verb.is_participle):
        return None
    numbers = [match["e"], *(found[3] for found in _NEXT.finditer(match["more"] or ""))]
    reading.draft.group += [Item(int(number)) for number in numbers]
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


@GROUPING(_PLAIN + "{T:t}$")
def counts_by(reading: Reading, match: re.Match[str]) -> str | None:
    """“planes by manufacturer”: how many there are of each."""
    draft, number = reading.draft, int(match["t"])
    if not draft.group or draft.select or draft.superlative or draft.having or reading.context is not None:
        return None
    draft.tables.append(number)
    draft.select += [*draft.group, Item(number, "count")]
    draft.notes.append(f"I counted the {reading.mentions[number].text}.")
    return ""


@GROUPING(_PLAIN + _LISTED + _OF + "$")
def measured_by(reading: Reading, match: re.Match[str]) -> str | None:
    """“price by city”: the mean or the sum of each city, owned up to."""
    draft = reading.draft
    groups = [item.mention for item in draft.group if item.mention is not None]
    if not draft.group or draft.select or draft.superlative or draft.having or reading.context is not None:
        return None
    if not _are_measured(reading, match["shown"], groups):
        return None
    mentions = [(int(mark), reading.mention(mark)) for mark in re.findall(r"‹C(\d+)›", match["shown"])]
    taken = [taken_together(reading, Item(number), mention.columns[0][0]) for number, mention in mentions]
    return " , ".join(map(reading.fold, taken)) + (match["of"] or "")


def _are_measured(reading: Reading, shown: str, groups: list[int]) -> bool:
    """Whether columns measure something and what they are to be grouped by comes in kinds."""
    marks = re.findall(r"‹C(\d+)›", shown)
    measured = {reading.mention(mark).columns[0][0].table for mark in marks}
    things = {table.name for n in groups for table, _ in reading.mentions[n].tables[:1]}
    kinds = all(are_kinds(reading.mentions[n]) for n in groups) and not things & measured
    return kinds and all(is_measure(reading.mention(mark)) for mark in marks)
