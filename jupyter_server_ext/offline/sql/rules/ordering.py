"""Sorting, top-N and superlatives."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ...words import stem, word_set
from ..lexicon import likeness
from ..linking import Mention
from ..query import Item, NotUnderstood, Order
from ..reading import Reading, Rules
from .adjectives import SUPERLATIVES, Degree
from .folding import is_measure
from .vocabulary import LETTERS, WORDS

if TYPE_CHECKING:
    from ..schema import Column, Table

SORTING = Rules(WORDS)
SUPERLATIVE = Rules(WORDS)

_DOWN = re.compile(rf"\b(?:{WORDS['down']})\b")


def _is_down(words: str | None) -> bool:
    return _DOWN.search(words or "") is not None


def _sort(reading: Reading, mark: str | None, words: str | None) -> None:
    if mark:
        reading.draft.order.append(Order(reading.item(mark), _is_down(words)))


@SORTING(
    "^(order|sort|rank|arrange) (?P<what>.+?) (by|based on|according to) {their}{modifier}{X:x}{made}( (in "
    ")?{how:how}( order)?)?$"
)
def sort_sentence(reading: Reading, match: re.Match[str]) -> str | None:
    """“Sort all gas stations by the opening year”."""
    if re.fullmatch(WORDS["how"], match["what"]):
        return None  # "sort descending by price"
    _sort(reading, match["x"], match["how"])
    return match["what"]


@SORTING(
    "(,? ?and )?({sort} )?(them |results? |it )?(in|by|with) {how:how}( order)?( {by}| of) {their}{modifier}{X:x}{made}"
    "( ,? ?(and|then) (by )?{their}{modifier}{X:y}{made}(?=$| \\.))?",
    "^{sort} {how:how}( order)? {by} {their}{modifier}{X:x}{made}",
    "(in|by) order of {their}{modifier}{X:x}{made}( and {their}{modifier}{X:y}{made})?(?P<how> from {superlative} "
    "to {superlative})?",
    "by {their}{modifier}{X:x}{made} in {how:how}( order)?",
)
def in_order_of(reading: Reading, match: re.Match[str]) -> str | None:
    """“in descending order of age”, “in alphabetical order of last name”."""
    how = match["how"]
    if how and how.startswith(" from"):
        return None
    _sort(reading, match["x"], how)
    _sort(reading, match.groupdict().get("y"), how)
    return ""


@SORTING(
    "(,? ?and )?{sort}( them| it| results?| all)?( {E:e})?( in)?( {how:before})?( order)? {by} ({how:how}( order)?( "
    "of)? )?"
    "{their}{modifier}{X:x}{made}((( in| from)? {how:first}( order)?)?( ,)? ?(?P<then>and then|and|then)( by)? "
    "{their}{modifier}{X:y}{made})?( ,)?(( in| from)? ?{how:after}( order)?)?"
)
def sorted_by(reading: Reading, match: re.Match[str]) -> str | None:
    """“sorted by price descending”."""
    if match[0].startswith("rank ") and reading.text[: match.start()].rstrip().endswith("›"):
        raise NotUnderstood("I do not rank within groups")
    before, after = (" ".join(filter(None, map(match.group, names))) for names in (("before", "how"), ("after",)))
    shows = match["e"] and match[0].split()[0] in {"list", "display", "listed", "present"}
    if shows and not (before or after):
        return None
    apart = match["first"] or "then" in (match["then"] or "")
    _sort(reading, match["x"], f"{before} {match['first']}" if apart else f"{before} {after}")
    _sort(reading, match["y"], f"{before} {after}")
    return f"‹{reading.mention(match['e']).letter}{match['e']}›" if shows else ""


@SORTING("{K:x} (sorted |ordered |listed )?((in|by|from) )?{how:how}( order)?")
def column_in_order(reading: Reading, match: re.Match[str]) -> str | None:
    """“names in alphabetical order”; the column stays in the text, to be shown."""
    before = reading.text[: match.start()].split()
    if before and before[-1] in {"of", "for", "per", "by", "each", "every"}:
        return None
    _sort(reading, match["x"], match["how"])
    return f"‹C{match['x']}›"


@SORTING(
    "(,? ?and )?({sort} )?(them |results? |it )?((in|by|from) )?{how:how}( order)?",
    "(,? ?and )?({sort} )?(?P<how>alphabetically|descendingly|ascendingly|lexicographically)( {how})?",
)
def in_order(reading: Reading, match: re.Match[str]) -> str | None:
    """“in alphabetical order”: by the first thing shown."""
    last = reading.draft.order[-1] if reading.draft.order else None
    if last is not None and "from" in match[0]:
        reading.draft.order[-1] = Order(last.item, _is_down(match["how"]))
    else:
        letters = re.search(LETTERS, match["how"]) is not None
        reading.draft.order.append(Order(Item(), _is_down(match["how"]), letters=letters))
    return ""


@SORTING(
    "({sort} )?(by )?(their {C:x} )?from {superlative:one} to {superlative}",
    "({sort} )?(by )?(their )?({C:x} )?from (?P<one>old|young) to (old|young)",
)
def from_to(reading: Reading, match: re.Match[str]) -> str | None:
    """“from youngest to oldest”."""
    degree = SUPERLATIVES[{"old": "oldest", "young": "youngest"}.get(match["one"], match["one"])]
    orders = reading.draft.order
    if match["x"] or orders:
        item = Item(int(match["x"])) if match["x"] else orders.pop().item
        orders.append(Order(item, degree.high != _turns(reading, item, degree)))
        return ""
    found = adjective_column(reading, degree, match.start())
    if found is None:
        return None
    orders.append(Order(Item(found[0]), found[1]))
    return ""


def _turns(reading: Reading, item: Item, degree: Degree) -> bool:
    """Whether a column counts against the adjective: the oldest have the earliest dates of birth."""
    columns = reading.mentions[item.mention].columns if item.mention is not None else ()
    words = {word for column, _ in columns for word in column.words}
    return any(noun.startswith("-") and noun[1:] in words for noun in degree.nouns)


# --- superlatives ------------------------------------------------------------------------------------------------


@SUPERLATIVE(
    "{has} (top )?{N:n} {extreme:how}{number_of} {modifier}{X:x}",
    "{has} (?<!at ){extreme:how} {N:n}{number_of} {modifier}{X:x}",
    "{has} (overall )?{extreme:how}{number_of} {modifier}{X:x}",
)
def having_most(reading: Reading, match: re.Match[str]) -> str | None:
    """“with the highest salary”, “that has the most flights”."""
    if match[0].startswith(("of ", "in ", "at ", "by ", "to ")) and reading.table_before(match.start()) is None:
        return None
    if match["how"] not in _MANY and not reading.item(match["x"]).computed and _counts(reading, int(match["x"])):
        return None  # "the oldest students" are not those with the fewest rows
    count = match.groupdict().get("n")
    down = re.fullmatch(WORDS["most"], match["how"]) is not None
    limit = int(reading.mention(count).number or 1) if count else 1
    _rank(reading, match["x"], down=down, limit=limit, total=match["how"] in _MANY)
    return ""


_MANY = frozenset({"most", "least", "fewest"})


@SUPERLATIVE("(that |which |who )?(with|has|have|had|having) {A:x}")
def having_extreme(reading: Reading, match: re.Match[str]) -> str | None:
    """“with the maximum distance”."""
    item = reading.item(match["x"])
    if item.aggregate not in {"max", "min"} or item.mention is None or reading.table_before(match.start()) is None:
        return None
    _rank(reading, str(item.mention), down=item.aggregate == "max", limit=1)
    return ""


@SUPERLATIVE("(that |which |who )?(with|has|have|had|having) {K:x}")
def having_maximum(reading: Reading, match: re.Match[str]) -> str | None:
    """“with the maximum occupancy” where a column of that very name exists."""
    word = reading.mention(match["x"]).text.lower().partition(" ")[0]
    if not re.fullmatch(WORDS["extreme"].format(**WORDS), word):
        return None
    _rank(reading, match["x"], down=re.fullmatch(WORDS["most"], word) is not None, limit=1)
    return ""


def _rank(reading: Reading, mark: str, *, down: bool, limit: int, total: bool = False) -> None:
    """Order by a measure, or by how many rows a table has, and keep the first rows."""
    draft = reading.draft
    item = reading.item(mark)
    if not item.aggregate and item.mention is not None and _counts(reading, item.mention):
        draft.tables += [item.mention] if reading.mentions[item.mention].tables else []
        item = Item(item.mention, "count")
    draft.order.append(Order(item, down, total))
    draft.limit = limit
    draft.superlative = True
    if limit == 1 and (several := _several(reading)):
        raise NotUnderstood(f"I do not see how many {several} are wanted: “top 3 …”, or all “sorted by …”")


def _several(reading: Reading) -> str:
    """The word for several things of which the first are asked for: "which airlines", not "which airline"."""
    match = re.match(r"(?:which|what) (?:‹[VC]\d+› )*‹[TCB](\d+)›", reading.original)
    word = reading.mention(match[1]).text.lower().split()[-1] if match else ""
    return word if word != stem(word) else ""


def _counts(reading: Reading, number: int) -> bool:
    """Whether “the most X” means the most rows of X."""
    mention = reading.mentions[number]
    if mention.tables and not any(c.is_number and not c.is_id and fit > 0.9 for c, fit in mention.columns):
        return True
    return bool(mention.columns) and all((c.is_text and not c.is_measured) or c.is_id for c, _ in mention.columns[:2])


@SUPERLATIVE(
    "({N:n} )?{counting:how}( (used|occurring|ordered|seen|found|purchased|bought|chosen|visited|spoken|taken))?"
    "( (by|for|in|among))? {E:e}",
    "{E:e} (that |which |who )?(is |are |was |were |appears |occurs |has been |have been )?({N:n} )?"
    "(used |ordered |seen |taken )?{counting:how}( (used|occurring|one|ones|ordered|seen|taken))?",
)
def most_common(reading: Reading, match: re.Match[str]) -> str | None:
    """“the most common age”, “which airport is the busiest”: by how many rows there are."""
    degree = SUPERLATIVES[match["how"]]
    draft = reading.draft
    number = int(match["e"])
    if reading.mentions[number].tables and reading.mentions[number].is_verb:
        return None  # "is broadcast most frequently"
    draft.group.append(Item(number))
    draft.order.append(Order(Item(None, "count"), degree.high))
    draft.limit = int(reading.mention(match["n"]).number or 1) if match["n"] else 1
    draft.superlative = True
    return f"‹{reading.mentions[number].letter}{number}›"


@SUPERLATIVE(
    "({N:n} )?{superlative:how} {T:t}",
    "{superlative:how} {N:n} {T:t}",
    "{T:t} (that |which |who )?(is |are |was |were |is the one that is |did |has |had )?({N:n} )?"
    "{superlative:how}(?! ‹[CN])",
)
def most_adjective(reading: Reading, match: re.Match[str]) -> str | None:
    """“the oldest student”, “which mountain is the highest”."""
    found = adjective_column(reading, SUPERLATIVES[match["how"]], match.start(), int(match["t"]))
    if found is None:
        return None
    reading.draft.order.append(Order(Item(found[0]), found[1]))
    reading.draft.limit = int(reading.mention(match["n"]).number or 1) if match["n"] else 1
    reading.draft.superlative = True
    return f"‹{reading.mention(match['t']).letter}{match['t']}›"


@SUPERLATIVE(
    "^((show|list|give|display|get|return|see|find|select|sample)( me)?( of)? )?(?P<any>any |random )?{N:n} "
    "(?P<random>random )?{T:t}",
    "^((show|list|give|display|get|return|see|find|select)( me)? )?(?P<random>random )(sample of )?{T:t}",
)
def some(reading: Reading, match: re.Match[str]) -> str | None:
    """“show 5 flights”, “5 random rows”."""
    names = match.groupdict()
    reading.draft.limit = int(reading.mention(names["n"]).number or 1) if names.get("n") else 1
    reading.draft.random = bool(names["random"]) or names.get("any") == "random "
    return f"show ‹{reading.mention(match['t']).letter}{match['t']}›"


@SUPERLATIVE("^(show )?head( {N:n})?$", "^(show |list )?first {N:n}$", "limit( to| by)? {N:n}( {T:t})?$")
def head(reading: Reading, match: re.Match[str]) -> str | None:
    """“head 10”, “… limit 5”."""
    reading.draft.limit = int(reading.mention(match["n"]).number or 1) if match["n"] else 5
    return ""


@SUPERLATIVE("(?P<low>top|first|bottom|highest|lowest|largest|smallest|best|worst) {N:n} by {M:x}$")
def first_rows(reading: Reading, match: re.Match[str]) -> str | None:
    """“top 5 by price”: whole rows."""
    item = reading.item(match["x"])
    if item.aggregate:
        return None
    reading.draft.order.append(Order(item, _is_high(reading, match["low"], item)))
    reading.draft.limit, reading.draft.superlative = int(reading.mention(match["n"]).number or 1), True
    return ""


@SUPERLATIVE(
    "(top|first|bottom|highest|lowest|largest|smallest) {N} ({E} )?((by|with) )?({X} )?"
    "(per|(for|in|of|by|within) each) {E}"
)
def within_groups(_reading: Reading, match: re.Match[str]) -> str | None:
    """“top 2 prices per city”: refused, as a limit would count over all cities.

    Raises:
        NotUnderstood: Always.
    """
    raise NotUnderstood(f"I do not rank within groups (“{match[0].split()[0]} … {match[0].split()[-2]} …”)")


_ENDS = "(?P<low>top|bottom|highest|largest|biggest|greatest|longest|lowest|smallest|shortest|maximum|minimum)"


@SUPERLATIVE(_ENDS + " {N:n} {K:x}(?! (by|with))", "{N:n} " + _ENDS + " {K:x}")
def first_values(reading: Reading, match: re.Match[str]) -> str | None:
    """“5 highest prices”: the values themselves."""
    if not is_measure(reading.mention(match["x"])):
        return None
    item = Item(int(match["x"]))
    reading.draft.order.append(Order(item, _is_high(reading, match["low"], item)))
    reading.draft.limit, reading.draft.superlative = int(reading.mention(match["n"]).number or 1), True
    return f"‹C{match['x']}›"


@SUPERLATIVE("{superlative:how} {K:c}")
def extreme_part(reading: Reading, match: re.Match[str]) -> str | None:
    """“hottest month”: the part of time, or the category, with the highest mean of what the adjective speaks of."""
    degree = SUPERLATIVES[match["how"]]
    mention = reading.mention(match["c"])
    tables = {column.table: reading.schema[column.table] for column, _ in mention.columns}
    if any(likeness(noun.lstrip("-"), word) >= 0.95 for noun in degree.nouns for word in mention.columns[0][0].words):
        return _by_itself(reading, match["c"], down=degree.high) if match.start() and degree.nouns else None
    if degree.counts or any(
        column.is_measured and column.facts.distinct is None
        for column, _ in mention.columns[:1]
        if column.words[-1] not in _CALENDAR
    ):
        return None
    for table in tables.values():
        for noun in degree.nouns:
            found = [c for c in _speaking_of(noun.lstrip("-"), list(table.columns), any_type=False) if c.is_number]
            if found:
                return _by_mean(reading, match["c"], found[0], down=degree.high != noun.startswith("-"))
    return None


def _by_itself(reading: Reading, mark: str, *, down: bool) -> str | None:
    """“in the most recent year”: the first row when ordered by the year."""
    before = reading.text.split(f"‹{reading.mention(mark).letter}{mark}›")[0]
    if not re.search(r"\b(?:in|on|at|from|during) (?:\w+ )*$", before) or reading.table_before(len(before)) is None:
        return None
    reading.draft.order.append(Order(Item(int(mark)), down))
    reading.draft.limit, reading.draft.superlative = 1, True
    return ""


_CALENDAR = word_set("year quarter month week day hour weekday")


def _by_mean(reading: Reading, mark: str, measure: Column, *, down: bool) -> str:
    own = [(column, fit) for column, fit in reading.mention(mark).columns if column.table == measure.table]
    number = reading.add(replace(reading.mention(mark), columns=tuple(own)))
    measured = Item(reading.add(Mention(0, 0, measure.name, columns=((measure, 1.0),))), "avg")
    draft = reading.draft
    draft.group.append(Item(number))
    draft.select += [Item(number), measured]
    draft.order.append(Order(measured, down))
    draft.limit, draft.superlative = 1, True
    draft.notes.append(f"I took the mean of {measure.name}.")
    return ""


_TOP = "(?P<low>top|first|bottom|last|best|worst|highest|lowest|largest|smallest) {N:n} {E:e}"
_TOP_ONE = "(?P<low>top|bottom|best|worst)(?P<n>) {E:e}"


@SUPERLATIVE(
    _TOP + "(?P<rest>.*?) ({by}|ranked by|with respect to)( their| total| most| highest)* {M:x}",
    _TOP + "(?P<rest>.*?) (with|having) (most|highest|largest|greatest)( number of)? {X:x}",
    _TOP_ONE + "(?P<rest>) {by}( their| total)* {M:x}",
    _TOP + "(?P<rest>)",
)
def top(reading: Reading, match: re.Match[str]) -> str | None:
    """“top 10 destinations by number of flights”."""
    draft = reading.draft
    draft.limit = int(reading.mention(match["n"]).number or 1) if match["n"] else 1
    number = int(match["e"])
    mark = f"‹{reading.mentions[number].letter}{number}›"
    if not match.groupdict().get("x"):
        if match["low"] in {"bottom", "last"} and not draft.order:
            raise NotUnderstood("Rows of a table have no order, and I do not see what to sort by")
        kinds = reading.mentions[number].columns and not reading.mentions[number].tables
        if match["low"] == "top" and kinds and not draft.order and len(reading.schema.tables) == 1:
            raise NotUnderstood(f"I do not see by what the {reading.mentions[number].text} are to be ranked")
        return f"{mark} {match['rest']}"
    item = _of_groups(reading, number, reading.item(match["x"]))
    draft.order.append(Order(item, _is_high(reading, match["low"], item)))
    draft.superlative = not item.aggregate
    if not item.aggregate:
        return f"{mark} {match['rest']}"
    draft.group.append(Item(number))
    draft.select += [Item(number), item]
    return match["rest"]


def _of_groups(reading: Reading, number: int, item: Item) -> Item:
    """What “top 3 cities by price” ranks by, when one city has many prices."""
    columns, measures = reading.mentions[number].columns, reading.mentions[item.mention or 0].columns
    if item.computed or item.mention is None or reading.mentions[number].tables or not columns or not measures:
        return item
    group, measure = columns[0][0], measures[0][0]
    if group.table != measure.table or group.is_measured or group.key or group.facts.unique or not measure.is_measured:
        return item
    return taken_together(reading, item, measure)


_BAD = word_set("delay error cost loss crime death injury defect complaint cancellation accident debt fault failure")


def _is_high(reading: Reading, how: str, item: Item) -> bool:
    """Whether “best”, “worst” and the like mean large values; the worst delay is the longest one."""
    if how not in {"best", "worst"}:
        return how not in {"bottom", "last"} and not re.fullmatch(WORDS["least"], how)
    columns = reading.mentions[item.mention].columns if item.mention is not None else ()
    bad = any(_BAD & {stem(word) for word in column.words} for column, _ in columns[:1])
    return (how == "worst") == bad


_ADDED_UP = word_set("total amount quantity qty revenue sales sale units turnover profit count number")


def taken_together(reading: Reading, item: Item, measure: Column) -> Item:
    """The figure of a group where none is named: the sum of amounts, the mean of all else; owned up to."""
    adds = bool(_ADDED_UP & set(measure.words))
    reading.draft.notes.append(f"I took the {'sum' if adds else 'mean'} of {measure.name}.")
    return replace(item, aggregate="sum" if adds else "avg")


def adjective_column(
    reading: Reading, degree: Degree, position: int, table: int | None = None, *, any_type: bool = False
) -> tuple[int, bool] | None:
    """The column an adjective speaks of, as a new mention, and whether more of it means a larger value."""
    if table is None:
        table = reading.table_before(position)
    if table is None:
        table = reading.table_after(position)
    tables: list[Table] = [t for t, _ in reading.mentions[table].tables] if table is not None else []
    for candidates in ([c for t in tables for c in t.columns], list(reading.schema.columns())):
        for noun in degree.nouns:
            columns = _speaking_of(noun.lstrip("-"), candidates, any_type=any_type)
            if columns:
                number = reading.add(Mention(0, 0, degree.superlative, columns=tuple((c, 1.0) for c in columns)))
                if table is not None:
                    reading.owners[number] = table
                return number, degree.high != noun.startswith("-")
    return None


def _speaking_of(noun: str, columns: list[Column], *, any_type: bool) -> list[Column]:
    fitting = [c for c in columns if not c.is_id and (any_type or not _is_prose(c))]
    found = [c for c in fitting if any(likeness(noun, word) >= 0.95 for word in c.words)]
    return sorted(found, key=lambda c: len(c.words))


def _is_prose(column: Column) -> bool:
    """Text that cannot be put in order; text dates and text figures can."""
    return (
        column.is_text
        and not column.is_measured
        and bool(column.type)
        and not {"date", "time", "year"} & set(column.words)
    )
