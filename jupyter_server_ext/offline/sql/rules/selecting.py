"""What is asked for: what stands in the text when all conditions, groups and orderings are gone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ...words import word_set
from ..constants import flag_values
from ..query import Condition, Item, NotUnderstood
from ..reading import Reading, Rules
from .adjectives import Degree
from .ordering import adjective_column

ASKING = Rules()


_QUESTIONS = {
    "how old": ("age",),
    "how much": ("price", "cost", "fee", "amount"),
    "how expensive": ("price", "cost"),
    "how long": ("duration", "length", "time", "runtime"),
    "how tall": ("height",),
    "how high": ("height", "elevation"),
    "how heavy": ("weight",),
    "how far": ("distance",),
    "how fast": ("speed",),
    "how big": ("size", "area"),
    "how large": ("size", "area", "population"),
    "where": ("location", "address", "city", "place", "country"),
    "when": ("date", "time", "year"),
}
ASKED_FOR = Rules()


@ASKED_FOR(rf"^(?P<what>{'|'.join(_QUESTIONS)}) (is|are|was|were|does|do|did|will)")
def asked_for(reading: Reading, match: re.Match[str]) -> str | None:
    """“how old is …”, “where is …”: a column of the thing."""
    found = adjective_column(reading, Degree("", match["what"], _QUESTIONS[match["what"]]), 0, any_type=True)
    if found is None or reading.table_after(0) is None:
        return None
    return f"‹C{found[0]}›"


@ASKING(r"(?:all |complete |full |any )*(?:information|info|details?|columns?|attributes?|fields|everything|"
r"contents?|rows|records|data|entries)(?: (?:available|stored|that|exists?|known|there|is|are))*(?: (?:about|on|of|"
r"for|from|in|regarding|related to|concerning))?(?: (?:all|each|every|any|these|those|the|table|tables))* {T:t}(?: "
r"table)?",
        r"(?:all |complete |full )*{T:t} (?:information|info|details|records|data|entries|rows)",
    r"(?:everything|all) (?:about|on|from|in) {T:t}(?: table)?")  # fmt: skip
def everything(reading: Reading, match: re.Match[str]) -> str | None:
    """“all information about the students”."""
    if any(mark in "AC" for mark, number in reading.marks() if number != int(match["t"])):
        return None
    reading.draft.everything = True
    return f"‹T{match['t']}›"


@ASKING(r"(?:different|distinct|unique)")
def distinct(reading: Reading, _match: re.Match[str]) -> str | None:
    """“the different cities”."""
    reading.draft.distinct = True
    return ""


_LISTING = word_set(", and or with plus & along including by")
_STRAY = word_set("of for in across among over from on at per to within by")
_SILENT = word_set("their its his her all both any some each every other overall the also corresponding respective")
_OPENING = word_set(
    "which what list show find give display return me who are get select is those tell retrieve identify name whose"
)


@dataclass
class _Listing:
    """What one sentence asks for."""

    items: list[Item] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)


def select(reading: Reading) -> None:
    """Take what is left as the list of what is asked for, and the tables it comes from.

    Raises:
        NotUnderstood: A column stands where nothing says what it is for.
    """
    draft = reading.draft
    sentences = [_listing(reading, sentence) for sentence in reading.text.split(" . ")]
    draft.tables += [n for listing in sentences for n in listing.tables if n not in draft.tables]
    grouped = {item.mention for item in draft.group}
    # "Which team has …? Give its name and id.": the last sentence says what to show.
    last = next((listing for listing in reversed(sentences) if listing.items), sentences[0])
    further = reading.text.rpartition(" . ")[2].startswith("and ") and last is sentences[-1]
    listed = [item for listing in sentences for item in listing.items] if further else last.items
    asked = list(draft.select) + [item for item in listed if item not in draft.select]
    shown = [Item(n) for n in last.shown if n not in grouped]
    if reading.context is not None:
        asked = [item for item in asked if item.mention is None or item.mention not in grouped]
    elif not asked and not draft.group:
        asked = shown or [Item(n) for listing in sentences for n in listing.tables][:1]
    elif shown and _joined_to_list(reading, shown[0]) and not draft.group:
        asked = [item for item in shown if item not in asked] + asked
    draft.select = [] if draft.everything else asked


def _listing(reading: Reading, sentence: str) -> _Listing:
    listing = _Listing()
    previous = ""
    pieces = sentence.split()
    for place, piece in enumerate(pieces):
        mark = re.fullmatch(r"‹([TCBA])(\d+)›", piece)
        if mark is None:
            previous = piece if piece not in _SILENT else previous
            continue
        number = int(mark[2])
        if listing.tables and mark[1] == "C" and _is_when(reading, number):
            continue
        if mark[1] in "TB" and place + 1 < len(pieces) and re.fullmatch(r"‹[CA]\d+›", pieces[place + 1]):
            listing.tables.append(number)  # "film title": the title, of the film
            continue
        if mark[1] == "T" or (mark[1] == "B" and not _is_column_here(reading, number)):
            listing.tables.append(number)
            if not listing.items and (previous in _OPENING or previous in _LISTING or not previous or previous == "of"):
                listing.shown.append(number)
        else:
            _take(reading, listing, mark[2], previous)
        previous = "‹"
    return listing


def _is_when(reading: Reading, number: int) -> bool:
    """Whether a participle says what a date in a condition is for: "patients admitted in 2023"."""
    mention = reading.mentions[number]
    return bool(reading.draft.where) and mention.is_participle and mention.columns[0][0].is_time


def _take(reading: Reading, listing: _Listing, mark: str, previous: str) -> None:
    """Add a column or aggregate to the list, when it stands where one may stand."""
    item = reading.item(mark)
    first = listing.items[-1] if listing.items else None
    if first is None and previous in {"by", "per"} and not item.computed and not listing.tables:
        raise NotUnderstood(f"I do not see what to show by “{reading.mentions[int(mark)].text}”")
    if first is None or previous in _LISTING or item.computed:
        if item not in listing.items:
            listing.items.append(item)
    elif previous == "of" and _is_name_only(reading, first):
        listing.items[-1] = item  # "the names of studios": the studios themselves
    elif flag := flag_values(reading.mentions[int(mark)].columns[0][0]):
        reading.draft.where.append(Condition(item, "=", (flag[0],)))
    elif any(i.aggregate for i in listing.items) and previous in _STRAY:
        return
    elif previous not in {"have", "has", "had"} and not reading.mentions[int(mark)].is_verb:
        raise NotUnderstood(f"I do not see what “{reading.mentions[int(mark)].text}” is for")


def _is_name_only(reading: Reading, item: Item) -> bool:
    return item.mention is not None and reading.mentions[item.mention].text.lower() in {
        "name",
        "names",
        "title",
        "titles",
    }


def _joined_to_list(reading: Reading, shown: Item) -> bool:
    """Whether a table stands in the list of what is shown: "the airlines and their average delay"."""
    return re.search(rf"‹[TB]{shown.mention}› (?:,|and|with|along with)(?: \w+)? ‹[AC]", reading.text) is not None


def _is_column_here(reading: Reading, number: int) -> bool:
    """Whether a word that names both a table and a column stands for the column."""
    mention = reading.mentions[number]
    return mention.columns[0][1] > mention.tables[0][1] + 0.05
