# ruff: noqa: E501 - a pattern reads best on one line
"""Conditions with an operator: "older than 56", "at least 3 flights", "between 10 and 15", "whose name contains 'a'"."""

from __future__ import annotations

import re

from ..linking import Mention
from ..query import Condition, Item, Operator, Value
from ..reading import Reading, Rules
from .adjectives import COMPARATIVES, alternatives
from .folding import is_measure
from .ordering import adjective_column
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..schema import Column

COMPARING = Rules()

_OPERATORS: dict[str, Operator] = {}
for _operator, _phrases in {
    ">": "more than|greater than|larger than|higher than|bigger than|over|above|exceeding|exceeds|exceed|beyond|after|longer than|later than|larger|greater|>|in excess of|strictly more than|bigger|higher|upwards of|faster than",
    ">=": "at least|no less than|not less than|no fewer than|greater than or equal to|more than or equal to|larger than or equal to|minimum of|since|>=|from|a minimum of|starting from",
    "<": "less than|fewer than|lower than|smaller than|below|under|before|earlier than|shorter than|prior to|<|lower|smaller|less|slower than",
    "<=": "at most|no more than|not more than|less than or equal to|smaller than or equal to|up to|maximum of|<=|until|no later than",
    "=": "equal to|equals|equal|exactly|=|same as",
    "!=": "not equal to|other than|different from|!=|not equal|besides|except|except for|excluding|apart from",
}.items():  # fmt: skip
    _OPERATORS.update(dict.fromkeys(_phrases.split("|"), _operator))  # type: ignore[arg-type]

_NEGATED: dict[Operator, Operator] = {">": "<=", ">=": "<", "<": ">=", "<=": ">", "=": "!=", "!=": "=", "like": "not like", "in": "not in", "null": "not null", "not null": "null"}  # fmt: skip
OP = "(?:" + "|".join(sorted(_OPERATORS, key=len, reverse=True)) + ")"
_BE = r"(?:is|are|was|were|be|been|being|has|have|had|of|with|value|values|amount|number|equals|equal|a|that|which|costs?|reached|reach|dated|got)"
_WITH = r"(?:with|having|has|have|had|whose|where|that have|that has|who have|who has|which have|which has|that had|and|or|but)"
_AFTER = r"(?: (?:or|and) (?P<after>more|above|higher|greater|over|older|later|longer|up|less|below|lower|fewer|under|younger|earlier|shorter))"
_UNITS = r"(?: (?:years|year|dollars|minutes|hours|days|months|times|points|feet|meters|miles|pounds|kg|percent|%|dollar|usd|euros|degrees|celsius|fahrenheit|km|inches|cm|people|units|seconds|weeks)(?: old| of age| long| tall)?)?"


def operator(words: str, *, negated: bool = False) -> Operator:
    """The operator these words mean."""
    found = _OPERATORS[words]
    return _NEGATED[found] if negated else found


def value_of(reading: Reading, mark: str) -> Value:
    """The constant behind a value's or number's mark."""
    mention = reading.mention(mark)
    if mention.number is not None:
        return Value(mention.text, mention.number)
    return Value(mention.values[0][1] if mention.values else mention.text)


def compare(reading: Reading, item: Item, sign: Operator, *operands: Value | Item, joined: str = "and") -> None:
    """Note a condition, on groups when it is about an aggregate."""
    where = Condition(item, sign, operands, "or" if joined == "or" else "and")
    (reading.draft.having if item.aggregate else reading.draft.where).append(where)


def _joined(match: re.Match[str]) -> str:
    word = (match.groupdict().get("joined") or "").strip()
    return "or" if word == "or" else "and"


_JOINED = (
    r"(?:(?P<joined>or|and|but|,) )?(?:(?:that|which|who|whose|with|having|where|have|has|had|also|either|there|are) )*"
)


@COMPARING(rf"{_JOINED}{{M:x}} (?:{_BE} )*(?P<neg>not )?(?:in range |in the range |range |ranging )?(?:between|from) {{W:a}}{_UNITS} (?:and|to) {{W:b}}{_UNITS}",
           rf"{_JOINED}(?:{_BE} )*(?P<neg>not )?(?:between|from) {{N:a}} (?:and|to) {{N:b}} {{M:x}}")  # fmt: skip
def between(reading: Reading, match: re.Match[str]) -> str | None:
    """“rank is between 10 and 15”."""
    item = reading.item(match["x"])
    low, high = value_of(reading, match["a"]), value_of(reading, match["b"])
    compare(reading, item, "between", low, high, joined=_joined(match))
    return ""


@COMPARING(rf"{_JOINED}(?:{_BE} )*(?P<neg>not )?(?P<how>{alternatives(COMPARATIVES)}) than (?:(?:the|age|of) )*{{N:n}}{_UNITS}",
           rf"{_JOINED}(?:{_BE} )*(?P<neg>not )?{{N:n}}{_UNITS} (?:or|and) (?P<how>older|younger|longer|taller|cheaper|shorter|later|earlier|newer)")  # fmt: skip
def comparative(reading: Reading, match: re.Match[str]) -> str | None:
    """“older than 56”."""
    degree = COMPARATIVES[match["how"]]
    found = adjective_column(reading, degree, match.start())
    if found is None:
        return None
    equal = " than " not in match[0]
    sign: Operator = (">=" if equal else ">") if found[1] else ("<=" if equal else "<")
    compare(
        reading,
        Item(found[0]),
        _NEGATED[sign] if match["neg"] else sign,
        value_of(reading, match["n"]),
        joined=_joined(match),
    )
    return ""


@COMPARING(
    rf"{_JOINED}{{M:x}} (?:{_BE} )*(?P<neg>not )?(?P<how>{OP}) (?:(?:of|to|or equal to|value|age|year) )*{{W:n}}{_UNITS}"
)
def column_compared(reading: Reading, match: re.Match[str]) -> str | None:
    """“salary is greater than 1000”."""
    item = reading.item(match["x"])
    if item.mention is not None and not item.aggregate and _is_only_table(reading, item.mention):
        return None
    sign = operator(match["how"], negated=bool(match["neg"]))
    if " or equal to " in match[0] and len(sign) == 1:
        sign = ">=" if sign == ">" else "<="
    compare(reading, item, sign, value_of(reading, match["n"]), joined=_joined(match))
    return ""


def _is_only_table(reading: Reading, number: int) -> bool:
    return not reading.mentions[number].columns


@COMPARING(rf"{_JOINED}{{M:x}} (?:{_BE} )*{{N:n}}{_UNITS}{_AFTER}")
def or_more(reading: Reading, match: re.Match[str]) -> str | None:
    """“credits 4 or more”."""
    compare(
        reading, reading.item(match["x"]), _after(match["after"]), value_of(reading, match["n"]), joined=_joined(match)
    )
    return ""


def _after(word: str) -> Operator:
    return "<=" if word in {"less", "below", "lower", "fewer", "under", "younger", "earlier", "shorter"} else ">="


@COMPARING(rf"{_JOINED}(?:{_BE} )*(?P<how>{OP}) {{N:n}}(?: (?:different|distinct|total|or more|of|such|separate))* {{E:e}}",
           rf"{_JOINED}(?:{_BE} )*{{N:n}}{_AFTER} (?:different |distinct )?{{E:e}}",
           r"(?:with|having|has|have|had|contain|contains|offer|offers|owns|own|took|take|takes|received|made|played|directed|wrote|hosted|in|for|by) (?:exactly |only )?{N:n} (?P<distinct>different |distinct )?{T:e}")  # fmt: skip
def amount_of(reading: Reading, match: re.Match[str]) -> str | None:
    """“at least 3 flights” counts rows of a table; “more than 100 pages” compares a column."""
    groups = match.groupdict()
    sign = operator(groups["how"]) if groups.get("how") else _after(groups["after"]) if groups.get("after") else "="
    number = int(match["e"])
    mention = reading.mentions[number]
    value = value_of(reading, match["n"])
    measure = is_measure(mention) and (not mention.tables or mention.columns[0][1] > mention.tables[0][1])
    if not measure and mention.tables:
        reading.draft.tables.append(number)
        compare(
            reading,
            Item(number, "count", distinct=" different " in match[0] or " distinct " in match[0]),
            sign,
            value,
            joined=_joined(match),
        )
        return ""
    if mention.columns and (measure or mention.columns[0][0].is_number or mention.columns[0][0].is_time):
        compare(reading, Item(number), sign, value, joined=_joined(match))
        return ""
    if mention.columns and groups.get("how"):
        compare(reading, Item(number, "count", distinct=True), sign, value, joined=_joined(match))
        return ""
    return None


@COMPARING(rf"{_JOINED}(?:(?:appear|appears|appeared|used|occur|occurs|count|happened|listed|served|have been|has been) )*(?P<how>{OP}) {{N:n}} times?",
           rf"{_JOINED}(?:(?:appear|appears|appeared|used|occur|occurs|count|happened|listed|served|have been|has been) )*(?P<how>more than|at least|exactly|less than|only)? ?(?P<word>once|twice)",
           rf"{_JOINED}(?:count|counts|records?) (?P<how>{OP}) {{N:n}}")  # fmt: skip
def times(reading: Reading, match: re.Match[str]) -> str | None:
    """“more than twice”."""
    word = match.groupdict().get("word")
    value = Value(word or "", 1.0 if word == "once" else 2.0) if word else value_of(reading, match["n"])
    how = match["how"]
    compare(reading, Item(None, "count"), operator(how) if how and how != "only" else "=", value)
    return ""


_TEXT = r"(?:letters?|words?|strings?|substrings?|characters?|phrases?|text|prefix|suffix|symbol|initial|value)"


@COMPARING(rf"{_JOINED}{{C:x}} (?:(?:is|are|that|which|who|do|does|was|were) )*(?P<neg>not )?(?:have |has |with |having )?(?P<how>containing|contains?|includes?|including|has|have|with|starts? with|starting with|begins? with|beginning with|started with|ends? with|ending with|ends? in|like|includes the|contain the)(?: (?:a|an|the|{_TEXT}|in|it|them))* {{V:v}}(?: (?:in|inside|as) (?:it|them|their (?:name|title)s?|a? ?substring))?",
           rf"{_JOINED}(?P<how>has|have|with|containing|contains?|include|starts? with|starting with|begins? with|beginning with|ends? with|ending with)(?: (?:a|the))? {_TEXT} {{V:v}}(?: (?:in|as) (?:it|them|their|part of|prefix of))? {{C:x}}",
           rf"{_JOINED}(?P<how>contains?|includes?|has|have) {{V:v}} in (?:their |its )?{{C:x}}",
           rf"{_JOINED}(?P<how>with|has|have|having|containing|contains?|includes?) (?:{_TEXT} )?{{V:v}} (?:in|as part of) (?:their |its |the )?{{C:x}}")  # fmt: skip
def text_like(reading: Reading, match: re.Match[str]) -> str | None:
    """“whose name contains 'ha'”, “titles starting with 'The'”."""
    how, literal = match["how"], reading.mention(match["v"])
    exact = how in {"has", "have", "with", "like"} and not re.search(rf" {_TEXT} ", match[0]) and " in " not in match[0]
    if exact and how != "like":
        return None
    text = literal.text.strip("%")
    if how.startswith(("start", "begin")):
        text = f"{text}%"
    elif how.startswith("end"):
        text = f"%{text}"
    else:
        text = f"%{text}%"
    sign: Operator = "not like" if match.groupdict().get("neg") else "like"
    compare(reading, Item(int(match["x"])), sign, Value(text), joined=_joined(match))
    return f"‹C{match['x']}›" if _still_asked(reading, match) else ""


def _still_asked(reading: Reading, match: re.Match[str]) -> bool:
    """Whether the column is also what is asked for: nothing before it introduces a condition."""
    return (
        match["joined"] is None
        and not re.match(r"(?:that|which|who|whose|with|having|where|have|has|had|also)\b", match[0])
        and not re.search(
            r"(?:whose|where|with|having|have|has)(?: (?:a|the))?$", reading.text[: match.start()].strip()
        )
    )


_MISSING = (
    r"(?:null|missing|unknown|empty|blank|na|undefined|unspecified|not available|not recorded|not specified|not known)"
)


@COMPARING(rf"{_JOINED}{{C:x}} (?:{_BE} )*(?P<neg>not )?(?:a )?{_MISSING}(?: values?)?",
           rf"{_JOINED}(?:{_BE} )*(?P<neg>no |not |without )?(?:a |any )?{_MISSING}(?: values?)?(?: for| in| of)? {{C:x}}",
           r"(?:(?:that|who|which) )?(?P<does>without|(?:do|does|did) not have|(?:have|has|had|with) no)(?: (?:a|any|an|recorded|known))* {C:x}")  # fmt: skip
def missing(reading: Reading, match: re.Match[str]) -> str | None:
    """“whose salary is unknown”, “without an email”."""
    mention = reading.mention(match["x"])
    if match.groupdict().get("does") and mention.tables:
        return None
    compare(
        reading, Item(int(match["x"])), "not null" if match.groupdict().get("neg") else "null", joined=_joined(match)
    )
    return ""


@COMPARING(rf"{_JOINED}{{C:x}} (?:{_BE} )*(?P<how>{OP}|higher|lower|greater|larger|smaller|more|less)(?: than)? (?:(?:the|its|their|to|overall|all) )*(?P<agg>average|mean|avg|minimum|maximum|min|max)(?: (?:of|for|value|overall|all))*(?: {{C:y}})?(?: (?:of|for|among|across|in) (?:all |every )?{{T:t}})?",
           rf"{_JOINED}(?P<how>above|below|over|under|more than|less than|higher than|lower than)(?: the)? (?P<agg>average|mean|avg) {{C:x}}",
           rf"{_JOINED}(?:{_BE} )*(?P<how>above|below|more than|less than|higher than|lower than|greater than)(?: the)? {{A:y}}")  # fmt: skip
def than_average(reading: Reading, match: re.Match[str]) -> str | None:
    """“salary above the average”."""
    groups = match.groupdict()
    if "agg" not in groups:
        other = reading.item(match["y"])
        if other.aggregate not in {"avg", "min", "max"}:
            return None
        left = Item(other.mention)
    else:
        words = {"average": "avg", "mean": "avg", "minimum": "min", "maximum": "max"}
        aggregate = words.get(match["agg"], match["agg"])
        left = Item(int(match["x"]))
        other = Item(int(groups.get("y") or match["x"]), aggregate)  # type: ignore[arg-type]
    how = match["how"] if match["how"] in _OPERATORS else f"{match['how']} than"
    reading.draft.where.append(
        Condition(left, operator(how), (other,), "or" if _joined(match) == "or" else "and", overall=True)
    )
    return ""


@COMPARING(rf"{_JOINED}{{C:x}} (?:{_BE} )*(?P<neg>not )?(?P<how>{OP}|same as) (?:(?:the|its|their|as|to) )*{{M:y}}")
def two_columns(reading: Reading, match: re.Match[str]) -> str | None:
    """“budget smaller than the invested amount”; with “the average salary”, an aggregate over all rows."""
    other = reading.item(match["y"])
    left = Item(int(match["x"]))
    if other.aggregate == "count" or (
        not other.aggregate
        and (not is_measure(reading.mention(match["x"])) or not is_measure(reading.mention(match["y"])))
    ):
        return None
    sign = operator(match["how"], negated=bool(match["neg"]))
    reading.draft.where.append(
        Condition(left, sign, (other,), "or" if _joined(match) == "or" else "and", overall=bool(other.aggregate))
    )
    return ""


TIMES = Rules()
_YEAR_OP = r"(?:in|since|after|before|until|during|by|of|from|for|on)"


@TIMES(r"(?:(?:in|during|for) )?(?:year |years )?(?:between|from) {N:a} (?:and|to|until) {N:b}")
def years_between(reading: Reading, match: re.Match[str]) -> str | None:
    """“between 2014 and 2017”."""
    years = [reading.mention(match[name]).number for name in "ab"]
    column = year_column(reading, match.start(), years)
    if column is None:
        return None
    compare(reading, column, "between", value_of(reading, match["a"]), value_of(reading, match["b"]))
    return ""


@TIMES(rf"(?P<how>{_YEAR_OP})(?: (?:year|years|of|the))* {{N:n}}(?: or (?P<after>later|after|earlier|before))?")
def year_compared(reading: Reading, match: re.Match[str]) -> str | None:
    """“before 1900”, “in 2013”."""
    column = year_column(reading, match.start(), [reading.mention(match["n"]).number])
    if column is None:
        return None
    sign: Operator = {"since": ">=", "after": ">", "before": "<", "until": "<=", "from": ">="}.get(match["how"], "=")  # type: ignore[assignment]
    if match["how"] == "from" and not match["after"]:
        sign = "="
    if match["after"]:
        sign = ">=" if match["after"] in {"later", "after"} else "<="
    compare(reading, column, sign, value_of(reading, match["n"]))
    return ""


def year_column(reading: Reading, position: int, years: list[float | None]) -> Item | None:
    """The year column, or the year of the date, that a number between 1000 and 2999 speaks of."""
    if any(year is None or not 1000 <= year <= 2999 or year % 1 for year in years):
        return None
    return calendar_item(reading, position, "year")


def calendar_item(reading: Reading, position: int, part: str) -> Item | None:
    """The column of that part of a date in the table spoken of, else that part of its date column."""
    owner = reading.table_before(position)
    if owner is None:
        owner = reading.table_after(position)
    if owner is None:
        return None
    for table, _ in reading.mentions[owner].tables:
        named = [c for c in table.columns if part in c.words and (c.is_number or c.is_time or c.is_text)]
        dates = [c for c in table.columns if c.is_time]
        if len(named) == 1 or (named and named[0].words == (part,)):
            return Item(_column_mention(reading, named[0], owner, part))
        if not named and len(dates) == 1:
            return Item(_column_mention(reading, dates[0], owner, part), part=part)  # type: ignore[arg-type]
    return None


def _column_mention(reading: Reading, column: Column, owner: int, text: str) -> int:
    number = reading.add(Mention(0, 0, text, columns=((column, 1.0),)))
    reading.owners[number] = owner
    return number


__all__ = ["COMPARING", "OP", "TIMES", "Mention", "compare", "operator", "value_of"]
