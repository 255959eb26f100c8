# ruff: noqa: E501 - a pattern reads best on one line
"""Sorting, top-N and superlatives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..lexicon import likeness
from ..linking import Mention
from ..query import Item, Order
from ..reading import Reading, Rules
from .adjectives import SUPERLATIVES, Degree, alternatives

if TYPE_CHECKING:
    from ..schema import Column, Table

SORTING = Rules()
SUPERLATIVE = Rules()

_DOWN = (
    "descending|decreasing|desc|descendingly|reverse|reversed|inverse|high to low|highest to lowest|most to least|largest to smallest|"
    "most to fewest|biggest to smallest|newest to oldest|latest to earliest|z to a|highest first|largest first|descent|longest to shortest"
)
_UP = (
    "ascending|increasing|asc|ascendingly|low to high|lowest to highest|least to most|smallest to largest|fewest to most|"
    "oldest to newest|earliest to latest|a to z|lowest first|smallest first|chronological|shortest to longest"
)
_DIRECTION = rf"(?:{_DOWN}|{_UP})"
_LETTERS = r"(?:alphabetical|alphabetic|lexicographical|lexicographic|alphabet|dictionary|name)"
_SORT = r"(?:sort|sorted|sorting|order|ordered|ordering|rank|ranked|arrange|arranged|list|listed|organized|organize|display|displayed|present|presented)"
_BY = r"(?:by|on|based on|according to|in terms of)"
_THEIR = r"(?:(?:their|its|his|her|each|all|number|value|values) )*"


def _down(words: str | None) -> bool:
    return bool(words) and re.search(rf"\b(?:{_DOWN})\b", words or "") is not None


def _sort(reading: Reading, mark: str, words: str) -> None:
    reading.draft.order.append(Order(reading.item(mark), _down(words)))


@SORTING(rf"(?:,? ?and )?(?:{_SORT} )?(?:them |results? |it )?(?:in|by|with) (?P<how>{_DIRECTION})(?: {_LETTERS})?(?: order)?(?: {_BY}| of) {_THEIR}{{X:x}}(?: ,? ?(?:and|then) (?:by )?{_THEIR}{{X:y}}(?= |$)(?! ))?",
         rf"(?:,? ?and )?(?:{_SORT} )?(?:them |results? |it )?(?:in|by|with) (?P<how>{_DIRECTION} {_LETTERS}|{_LETTERS} {_DIRECTION}|{_LETTERS})(?: order)?(?: {_BY}| of) {_THEIR}{{X:x}}")  # fmt: skip
def in_order_of(reading: Reading, match: re.Match[str]) -> str | None:
    """“in descending order of age”, “in alphabetical order of last name”."""
    _sort(reading, match["x"], match["how"])
    if match.groupdict().get("y"):
        _sort(reading, match["y"], match["how"])
    return ""


@SORTING(rf"(?:,? ?and )?{_SORT}(?: them| it| results?| all)?(?: {{E:e}})?(?: in)?(?: (?P<before>{_DIRECTION}|{_LETTERS}|{_LETTERS} {_DIRECTION}))?(?: order)? {_BY} (?:(?P<how>{_DIRECTION}|{_LETTERS})(?: order)?(?: of)? )?{_THEIR}{{X:x}}"
         rf"(?: ,? ?(?:and|then)(?: by)? {_THEIR}{{X:y}})?(?: ,)?(?:(?: in| from)? ?(?P<after>{_DIRECTION}|{_LETTERS} {_DIRECTION}|{_LETTERS}|{_DIRECTION} {_LETTERS})(?: order)?)?")  # fmt: skip
def sorted_by(reading: Reading, match: re.Match[str]) -> str | None:
    """“sorted by price descending”."""
    words = " ".join(filter(None, (match["before"], match["how"], match["after"])))
    if match["e"] and match[0].split()[0] in {"list", "display", "listed", "present"} and not words:
        return None
    _sort(reading, match["x"], words)
    if match["y"]:
        _sort(reading, match["y"], words)
    return f"‹T{match['e']}›" if match["e"] and match[0].split()[0] in {"list", "display"} else ""


@SORTING(
    rf"{{C:x}} (?:sorted |ordered |listed )?(?:in|by|from) (?P<how>{_DIRECTION}|{_DIRECTION} {_LETTERS}|{_LETTERS} {_DIRECTION}|{_LETTERS})(?: order)?"
)
def column_in_order(reading: Reading, match: re.Match[str]) -> str | None:
    """“names in alphabetical order”; the column stays in the text, to be shown."""
    _sort(reading, match["x"], match["how"])
    return f"‹C{match['x']}›"


@SORTING(rf"(?:,? ?and )?(?:{_SORT} )?(?:them |results? |it )?(?:in|by|from) (?P<how>{_DIRECTION}|{_DIRECTION} {_LETTERS}|{_LETTERS} {_DIRECTION}|{_LETTERS})(?: order)?",
         rf"(?:,? ?and )?(?:{_SORT} )?(?P<how>alphabetically|descendingly|ascendingly|lexicographically)(?: {_DIRECTION})?")  # fmt: skip
def in_order(reading: Reading, match: re.Match[str]) -> str | None:
    """“in alphabetical order”: by the first thing shown."""
    reading.draft.order.append(Order(Item(), _down(match["how"])))
    return ""


@SORTING(rf"(?:{_SORT} )?(?:by )?(?:their {{C:x}} )?from (?P<one>{alternatives(SUPERLATIVES)}) to (?P<two>{alternatives(SUPERLATIVES)})",
         r"(?:sorted |ordered |ranked )?(?:by )?(?:their )?(?:{C:x} )?from (?P<one>old|young) to (?P<two>old|young)")  # fmt: skip
def from_to(reading: Reading, match: re.Match[str]) -> str | None:
    """“from youngest to oldest”."""
    degree = SUPERLATIVES[{"old": "oldest", "young": "youngest"}.get(match["one"], match["one"])]
    if match["x"]:
        reading.draft.order.append(Order(Item(int(match["x"])), degree.high))
        return ""
    found = adjective_column(reading, degree, match.start())
    if found is None:
        return None
    reading.draft.order.append(Order(Item(found[0]), found[1]))
    return ""


# --- superlatives ------------------------------------------------------------------------------------------------

_MOST = r"(?:most|highest|largest|greatest|biggest|maximum|max|maximal|top|best|longest|latest|heaviest|tallest|oldest|newest|fastest)"
_LEAST = r"(?:least|fewest|lowest|smallest|minimum|min|minimal|shortest|earliest|youngest|cheapest|worst|slowest)"
_EXTREME = rf"(?:{_MOST}|{_LEAST})"
_HAS = (
    r"(?:(?:that|which|who) )?(?:also )?(?:with|has|have|had|having|of|at|get|gets|got|earn|earns|earned|received|receives|contains|contain|made|make|makes|"
    r"owns|own|offers|offer|in|by|achieved|held|wrote|written|published|attended|hosted|won|holds|uses|used|produced|directed|taken|took|placed|flew|fly|flies|flown|carried|operated|"
    r"whose \w+ is|corresponds to|corresponding to|belongs to|covers|participated in|involved in|saw|serves|served|sold|appears in|appear in|responsible for|"
    r"covered by|assigned to|enrolled in|registered|ordered|bought|purchased|spent|paid|sells|sell|produces|teaches|taught|teach|supplied|supplies|played|plays|play|charge of)"
)
_NUMBER_OF = r"(?: (?:total|overall|different|distinct))?(?: (?:number|numbers|amount|count|total number|total amount|quantity|value|values|types|kinds))?(?: of)?(?: (?:different|distinct|total|all))?"


@SUPERLATIVE(rf"{_HAS} (?:top )?{{N:n}} (?P<how>{_EXTREME}){_NUMBER_OF} {{X:x}}", rf"{_HAS} (?P<how>{_EXTREME}) {{N:n}}{_NUMBER_OF} {{X:x}}",
             rf"{_HAS} (?:overall )?(?P<how>{_EXTREME}){_NUMBER_OF} {{X:x}}")  # fmt: skip
def having_most(reading: Reading, match: re.Match[str]) -> str | None:
    """“with the highest salary”, “that has the most flights”."""
    down = re.fullmatch(_MOST, match["how"]) is not None
    if match[0].startswith(("of ", "in ", "at ", "by ")) and reading.table_before(match.start()) is None:
        return None
    count = match.groupdict().get("n")
    _rank(reading, match["x"], down, int(reading.mention(count).number or 1) if count else 1)
    return ""


def _rank(reading: Reading, mark: str, down: bool, limit: int) -> None:
    """Order by a measure, or by how many rows a table has, and keep the first rows."""
    draft = reading.draft
    item = reading.item(mark)
    if not item.aggregate and item.mention is not None and _counts(reading, item.mention):
        draft.tables.append(item.mention)
        item = Item(item.mention, "count")
    draft.order.append(Order(item, down))
    draft.limit = limit
    draft.superlative = True


def _counts(reading: Reading, number: int) -> bool:
    """Whether “the most X” means the most rows of X."""
    mention = reading.mentions[number]
    if mention.tables and not any(c.is_number and not c.is_id and fit > 0.9 for c, fit in mention.columns):
        return True
    return bool(mention.columns) and all(c.is_text or c.is_id for c, _ in mention.columns[:2])


@SUPERLATIVE(rf"(?:{{N:n}} )?(?P<how>{alternatives({k: v for k, v in SUPERLATIVES.items() if v.counts})})(?: (?:used|occurring|ordered|seen|found|purchased|bought|chosen|visited|spoken|given|listed|reported|taken))?(?: by| for| in| among)? {{E:e}}",
             rf"{{E:e}} (?:(?:that|which|who) )?(?:is|are|was|were|appears|occurs|has been|have been)? ?(?:{{N:n}} )?(?:used |ordered |seen |taken )?(?P<how>{alternatives({k: v for k, v in SUPERLATIVES.items() if v.counts})})(?: (?:used|occurring|one|ones|ordered|seen|taken))?")  # fmt: skip
def most_common(reading: Reading, match: re.Match[str]) -> str | None:
    """“the most common age”, “which airport is the busiest”: by how many rows there are."""
    degree = SUPERLATIVES[match["how"]]
    draft = reading.draft
    number = int(match["e"])
    draft.group.append(Item(number))
    draft.order.append(Order(Item(None, "count"), degree.high))
    draft.limit = int(reading.mention(match["n"]).number or 1) if match["n"] else 1
    draft.superlative = True
    return f"‹{reading.mentions[number].letter}{number}›"


@SUPERLATIVE(rf"(?:{{N:n}} )?(?P<how>{alternatives(SUPERLATIVES)}) {{T:t}}",
             rf"{{T:t}} (?:(?:that|which|who) )?(?:is|are|was|were|is the one that is|did|has|had)? ?(?:\w+ed )?(?:{{N:n}} )?(?P<how>{alternatives(SUPERLATIVES)})(?! ‹C)")  # fmt: skip
def most_adjective(reading: Reading, match: re.Match[str]) -> str | None:
    """“the oldest student”, “which mountain is the highest”."""
    degree = SUPERLATIVES[match["how"]]
    found = adjective_column(reading, degree, match.start(), int(match["t"]))
    if found is None:
        return None
    reading.draft.order.append(Order(Item(found[0]), found[1]))
    reading.draft.limit = int(reading.mention(match["n"]).number or 1) if match["n"] else 1
    reading.draft.superlative = True
    return f"‹{reading.mention(match['t']).letter}{match['t']}›"


@SUPERLATIVE(r"(?P<how>top|first|bottom|last|best|worst) {N:n} {E:e}(?P<rest>.*?) (?:by|based on|according to|in terms of|ranked by|with respect to|in|for)(?: their| total| most| highest)* {M:x}",
             r"(?P<how>top|first|bottom|last|best|worst) {N:n} {E:e}(?P<rest>.*?) (?:with|having) (?:the )?(?:most|highest|largest|greatest)(?: number of)? {X:x}",
             r"(?P<how>top|first|bottom|last|best|worst) {N:n} {E:e}(?P<rest>)")  # fmt: skip
def top(reading: Reading, match: re.Match[str]) -> str | None:
    """“top 10 destinations by number of flights”."""
    low = match["how"] in {"bottom", "last", "worst"}
    draft = reading.draft
    draft.limit = int(reading.mention(match["n"]).number or 1)
    number = int(match["e"])
    if match.groupdict().get("x"):
        item = reading.item(match["x"])
        draft.order.append(Order(item, not low))
        draft.superlative = not item.aggregate
        if item.aggregate:
            draft.group.append(Item(number))
            draft.select += [Item(number), item]
            return f"{match['rest']}"
    return f"‹{reading.mentions[number].letter}{number}› {match['rest']}"


def adjective_column(
    reading: Reading, degree: Degree, position: int, table: int | None = None
) -> tuple[int, bool] | None:
    """The column an adjective speaks of, as a new mention, and whether more of it means a larger value."""
    if table is None:
        table = reading.table_before(position)
    if table is None:
        table = reading.table_after(position)
    tables: list[Table] = [t for t, _ in reading.mentions[table].tables] if table is not None else []
    for candidates in ([c for t in tables for c in t.columns], list(reading.schema.columns())):
        for noun in degree.nouns:
            columns = _speaking_of(noun.lstrip("-"), candidates)
            if columns:
                number = reading.add(Mention(0, 0, degree.superlative, columns=tuple((c, 1.0) for c in columns)))
                if table is not None:
                    reading.owners[number] = table
                return number, degree.high != noun.startswith("-")
    return None


def _speaking_of(noun: str, columns: list[Column]) -> list[Column]:
    found = [
        c
        for c in columns
        if not c.is_id and (c.is_number or c.is_time or not c.type) and any(likeness(noun, w) >= 0.95 for w in c.words)
    ]
    return sorted(found, key=lambda c: len(c.words))
