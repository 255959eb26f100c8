"""Conditions with an operator: “older than 56”, “at least 3 flights”, “between 10 and 15”, “name contains 'a'”."""

from __future__ import annotations

import re
from dataclasses import replace

from ...words import stem
from ..constants import flag_values
from ..linking import Mention
from ..query import Aggregate, Condition, Item, Operator, Value
from ..reading import Reading, Rules
from .adjectives import COMPARATIVES, VERB_NOUNS, Degree
from .folding import is_measure
from .ordering import adjective_column
from .vocabulary import NEGATED, OPERATORS, WORDS

COMPARING = Rules(WORDS)

_LESS = {"less", "below", "lower", "fewer", "under", "younger", "earlier", "shorter", "cheaper"}


_YEARS = range(1000, 3000)


def _operator(words: str, *, negated: bool = False) -> Operator:
    found = OPERATORS[words]
    return NEGATED[found] if negated else found


def _after(word: str) -> Operator:
    return "<=" if word in _LESS else ">="


def value_of(reading: Reading, mark: str) -> Value:
    """The constant behind a value's or number's mark."""
    mention = reading.mention(mark)
    if mention.number is not None:
        return Value(mention.text, mention.number, mention.unit)
    return Value(mention.values[0][1] if mention.values else mention.text)


def compare(
    reading: Reading, match: re.Match[str], item: Item, sign: Operator, *operands: Value | Item, overall: bool = False
) -> str:
    """Note a condition, on groups when it is about an aggregate; nothing of the words is left."""
    joined = (match.groupdict().get("joined") or "") == "or"
    if _are_years(reading, item, operands):
        item = replace(item, part="year")
    condition = Condition(item, sign, operands, "or" if joined else "and", overall=overall)
    (reading.draft.having if item.aggregate else reading.draft.where).append(condition)
    return ""


def _are_years(reading: Reading, item: Item, operands: tuple[Value | Item, ...]) -> bool:
    """Whether whole numbers such as 2010 are compared with a date."""
    if item.aggregate or item.part or item.mention is None or not operands:
        return False
    columns = reading.mentions[item.mention].columns
    years = all(isinstance(o, Value) and not o.unit and o.number in _YEARS for o in operands)
    return bool(columns) and columns[0][0].is_time and years


def _has_order(reading: Reading, item: Item, mark: str) -> bool:
    """Whether a column and a value can be compared by size: numbers, dates, and text that holds dates."""
    if item.computed:
        return True
    columns = reading.mentions[item.mention].columns if item.mention is not None else ()
    value = reading.mention(mark)
    if value.number is None:
        return bool(columns) and any(char.isdigit() for char in value.text)
    return any(not column.is_text or column.is_measured for column, _ in columns[:3])


_TIME_WORDS = {"since", "after", "before", "prior to", "later than", "earlier than", "no later than"}
_LIKELY_YEARS = range(1900, 2101)


def _is_when(reading: Reading, match: re.Match[str], item: Item, marks: str) -> bool:
    """Whether a figure stands beside a time rather than being compared: “how many orders since 2024”."""
    values = [reading.mention(match[mark]) for mark in marks]
    dated = any(column.is_time for column in reading.schema.columns())
    times = all(
        v.number in _LIKELY_YEARS if v.number is not None else re.match(r"\d{4}-\d{2}-\d{2}", v.text) for v in values
    )
    return bool(item.aggregate) and match[0].startswith("‹A") and times and dated


@COMPARING(
    "{lead}{M:x} ({be} )*(?P<neg>not )?(in range |in the range |range |ranging )?(between|from) {W:a}{units} (and|"
    "to) {W:b}{units}",
    "{lead}({be} )*(?P<neg>not )?(between|from) {N:a} (and|to) {N:b} {M:x}",
)
def between(reading: Reading, match: re.Match[str]) -> str | None:
    """“rank is between 10 and 15”."""
    item = reading.item(match["x"])
    if not _has_order(reading, item, match["a"]) or _is_when(reading, match, item, "ab"):
        return None
    sign: Operator = "not between" if match["neg"] else "between"
    return compare(reading, match, item, sign, value_of(reading, match["a"]), value_of(reading, match["b"]))


@COMPARING(
    "{lead}({be} )*(?P<neg>not )?({op:how} )?{N:n} years? (old|of age)( or (?P<after>older|younger|more|less))?",
    "{lead}({be} )*(?P<neg>not )?aged? ({op:how} )?{N:n}( or (?P<after>older|younger|above|below))?",
)
def years_old(reading: Reading, match: re.Match[str]) -> str | None:
    """“over 20 years old”."""
    found = adjective_column(reading, COMPARATIVES["older"], match.start())
    if found is None or not found[1]:
        return None
    sign = _operator(match["how"] or "=", negated=bool(match["neg"]))
    if match.groupdict().get("after"):
        sign = _after(match["after"])
    return compare(reading, match, Item(found[0]), sign, value_of(reading, match["n"]))


_NOT_COUNTING = (
    r"(?! (?:(?:different|distinct|of|or more|total|corresponding) )*‹[TCB])(?! (?:times?|records?|rows?|entries)\b)"
)


@COMPARING(
    "{lead}{M:x} ({be} )*(?P<neg>not )?{op:how} ((of|to|or equal to|value|age|year) )*{W:n}{units}" + _NOT_COUNTING
)
def column_compared(reading: Reading, match: re.Match[str]) -> str | None:
    """“salary is greater than 1000”."""
    item = reading.item(match["x"])
    if not item.computed and not reading.mention(match["x"]).columns:
        return None
    if item.aggregate == "count" and not reading.text[: match.start()].strip():
        return None  # "how many rooms cost more than 120" compares no count
    sign = _operator(match["how"], negated=bool(match["neg"]))
    if sign not in {"=", "!="} and not _has_order(reading, item, match["n"]):
        return None
    if match["how"] in _TIME_WORDS and _is_when(reading, match, item, "n"):
        return None
    if " or equal to " in match[0] and len(sign) == 1:
        sign = ">=" if sign == ">" else "<="
    return compare(reading, match, item, sign, value_of(reading, match["n"]))


@COMPARING(
    "{lead}({be} )*(?P<neg>not )?{comparative:how} than ((the|age|of) )*{N:n}{units}",
    "{lead}({be} )*(?P<neg>not )?{N:n}{units} (or|and) (?P<how>older|younger|longer|taller|cheaper|shorter|later|"
    "earlier|newer)",
)
def comparative(reading: Reading, match: re.Match[str]) -> str | None:
    """“older than 56”."""
    found = adjective_column(reading, COMPARATIVES[match["how"]], match.start())
    if found is None:
        return None
    sign: Operator = ">" if found[1] else "<"
    if " than " not in match[0]:
        sign = ">=" if found[1] else "<="
    return compare(
        reading, match, Item(found[0]), NEGATED[sign] if match["neg"] else sign, value_of(reading, match["n"])
    )


@COMPARING(
    "{lead}(?P<how>before|after|since|until|over|above|below|under|more than|less than|at least|at most) {C:x} (of "
    ")?{N:n}",
    "{lead}(in|since|from) {C:x} (of )?{N:n} or (?P<how>after|before|later|earlier)",
)
def compared_column(reading: Reading, match: re.Match[str]) -> str | None:
    """“after season 2007”."""
    item = Item(int(match["x"]))
    if not _has_order(reading, item, match["n"]):
        return None
    inclusive = " or " in match[0]
    sign = _operator({"until": "at most", "later": "after", "earlier": "before"}.get(match["how"], match["how"]))
    sign = {">": ">=", "<": "<="}.get(sign, sign) if inclusive else sign  # type: ignore[assignment]
    return compare(reading, match, item, sign, value_of(reading, match["n"]))


@COMPARING(
    "{lead}({be} )*{verb:verb} ({op:how} )?{N:n}{units}",
    "{lead}({be} )*{verb:verb} between {N:n}{units} and {N:m}{units}",
)
def verb_compared(reading: Reading, match: re.Match[str]) -> str | None:
    """“costing between 50 and 100”, “that weigh more than 10”: the verb says which column."""
    nouns = next(nouns for words, nouns in VERB_NOUNS.items() if match["verb"] in words.split("|"))
    found = adjective_column(reading, Degree("", match["verb"], nouns), match.start())
    if found is None:
        return None
    groups = match.groupdict()
    if groups.get("m"):
        return compare(
            reading, match, Item(found[0]), "between", value_of(reading, match["n"]), value_of(reading, match["m"])
        )
    return compare(reading, match, Item(found[0]), _operator(groups.get("how") or "="), value_of(reading, match["n"]))


@COMPARING("{lead}{K:x} ({be} )*(?P<neg>not )?(?P<how>negative|positive)")
def signed(reading: Reading, match: re.Match[str]) -> str | None:
    """“balance is negative”."""
    sign: Operator = "<" if match["how"] == "negative" else ">"
    if not is_measure(reading.mention(match["x"])):
        return None
    return compare(reading, match, Item(int(match["x"])), NEGATED[sign] if match["neg"] else sign, Value("0", 0.0))


@COMPARING("{lead}{M:x} ({be} )*{N:n}{units}{after}")
def or_more(reading: Reading, match: re.Match[str]) -> str | None:
    """“credits 4 or more”."""
    item = reading.item(match["x"])
    if not _has_order(reading, item, match["n"]):
        return None
    return compare(reading, match, item, _after(match["after"]), value_of(reading, match["n"]))


_COUNTED = r"(?P<distinct> different| distinct| total| corresponding| of| such| separate| or more)*"


@COMPARING(
    "{lead}({be} )*{op:how} {N:n}" + _COUNTED + " {E:e}",
    "{lead}({be} )*{N:n}{after}" + _COUNTED + " {E:e}",
    "(with|having|has|have|had|contain|contains) (exactly |only )?{N:n}" + _COUNTED + " {T:e}",
)
def amount_of(reading: Reading, match: re.Match[str]) -> str | None:
    """“at least 3 flights” counts rows of a table; “more than 100 pages” compares a column."""
    groups = match.groupdict()
    sign = _operator(groups["how"]) if groups.get("how") else _after(groups["after"]) if groups.get("after") else "="
    number = int(match["e"])
    mention = reading.mentions[number]
    value = value_of(reading, match["n"])
    distinct = (groups["distinct"] or "").strip() in {"different", "distinct"}
    measure = is_measure(mention) and (not mention.tables or mention.columns[0][1] > mention.tables[0][1])
    if mention.tables and not measure:
        reading.draft.tables.append(number)
        return compare(reading, match, Item(number, "count", distinct=distinct), sign, value)
    if measure or mention.columns[0][0].is_time:
        return compare(reading, match, Item(number), sign, value)
    if mention.columns and (groups.get("how") or groups.get("after")):
        return compare(reading, match, Item(number, "count", distinct=True), sign, value)
    return None


_APPEAR = "((appear|appears|appeared|used|occur|occurs|count|happened|listed|served|have been|has been|happens) )*"


@COMPARING(
    "{lead}" + _APPEAR + "{op:how} {N:n} (times?|records?|rows?|entries|occurrences?|instances?)",
    "{lead}" + _APPEAR + "{N:n}{after} (times?|records?|rows?|entries)",
    "{lead}" + _APPEAR + "(?P<how>more than|at least|exactly|less than|only) (?P<word>once|twice)(?! ‹N)",
    "{lead}(appear|appears|appeared|occur|occurs|occurred|used|listed|happened|happens) (?P<word>twice)(?! ‹N)",
    "{lead}(count|counts|records?|number) {op:how} {N:n}",
)
def times(reading: Reading, match: re.Match[str]) -> str | None:
    """“more than twice”, “at least two records”."""
    groups = match.groupdict()
    word = groups.get("word")
    value = Value(word, 1.0 if word == "once" else 2.0) if word else value_of(reading, match["n"])
    how = groups.get("how")
    sign = _after(groups["after"]) if groups.get("after") else _operator(how) if how and how != "only" else "="
    return compare(reading, match, Item(None, "count"), sign, value)


@COMPARING("{T:t} (with |number |id |code |no |numbered )*{N:n}(?! or| ‹)")
def numbered(reading: Reading, match: re.Match[str]) -> str | None:
    """“student 1004”, “course 301”: the thing with that key."""
    table = reading.mention(match["t"]).tables[0][0]
    column = table.get(table.primary[0]) if len(table.primary) == 1 else None
    if column is None:
        return None
    number = reading.add(Mention(0, 0, column.name, columns=((column, 1.0),)))
    compare(reading, match, Item(number), "=", value_of(reading, match["n"]))
    return f"‹T{match['t']}›"


# --- text ---------------------------------------------------------------------------------------------------------

_CONTAIN = "containing|contains?|includes?|including|includes the|contain the|contained"
_START = "starts? with|starting with|begins? with|beginning with|started with|start in|ends? with|ending with|ends? in"


@COMPARING(
    "{lead}{C:x}( (of|for) {T:t})? ((is|are|that|which|who|do|does|was|were) )*(?P<neg>not )?"
    f"(have |has |with |having )?(?P<how>{_CONTAIN}|has|have|with|{_START}|like)"
    "( (a|an|the|{text}|in|it|them))* {V:v}( (in|inside|as) (it|them|(their|its) (name|title)s?|a? ?substring))?",
    f"{{lead}}(?P<how>{_CONTAIN}|has|have|with|{_START})( (a|the))? {{text}} {{V:v}}"
    "( (in|as|to) (it|them|their|part of|prefix of|its))? {C:x}",
    "{lead}(?P<how>contains?|includes?|has|have|with|having|containing) ({text} )?{V:v} (in|as part of) (their |its "
    ")?{C:x}",
)
def text_like(reading: Reading, match: re.Match[str]) -> str | None:
    """“whose name contains 'ha'”, “titles starting with 'The'”."""
    how, text = match["how"], reading.mention(match["v"]).text.strip("%")
    spelled = re.search(rf" (?:{WORDS['text']}) ", match[0]) or " in " in match[0]
    if how in {"has", "have", "with", "having"} and not spelled:
        return None
    start = how.startswith(("start", "begin"))
    end = how.startswith("end")
    pattern = f"{'' if start else '%'}{text}{'' if end else '%'}"
    if how == "like" and "%" in reading.mention(match["v"]).text:
        pattern = reading.mention(match["v"]).text
    sign: Operator = "not like" if match.groupdict().get("neg") else "like"
    compare(reading, match, Item(int(match["x"])), sign, Value(pattern))
    owner = f"of ‹T{match['t']}›" if match.groupdict().get("t") else ""
    return f"‹C{match['x']}› {owner}" if _still_asked(reading, match) else owner


def is_condition_alone(reading: Reading, match: re.Match[str]) -> bool:
    """Whether a condition on the one table's rows is all there is: "city like 'O%'", but not "cities like 'O%'"."""
    word = reading.mention(match["x"]).text.split()[-1]
    return len(reading.schema.tables) == 1 and match[0] == reading.text and word.lower() == stem(word)


def _still_asked(reading: Reading, match: re.Match[str]) -> bool:
    """Whether the column is also what is asked for: nothing before it introduces a condition."""
    before = reading.text[: match.start()].split()
    if is_condition_alone(reading, match):
        return False
    return match[0].startswith("‹") and not (
        before and before[-1] in {"whose", "where", "with", "having", "have", "has"}
    )


@COMPARING(
    "{lead}{C:x} ({be} )*(?P<neg>not )?(a )?{missing}( values?)?",
    "{lead}({be} )*(?P<neg>no |not |without )?(a |any )?{missing}( values?)?( for| in| of| does| do)? {C:x}",
    "((that|who|which) )?(?P<does>without|(do|does|did) not have|(have|has|had|with) no)( (a|any|an|recorded|known))* "
    "{K:x}(?! ‹[VLN])",
)
def missing(reading: Reading, match: re.Match[str]) -> str | None:
    """“whose salary is unknown”, “without an email”."""
    column = reading.mention(match["x"]).columns[0][0]
    if match.groupdict().get("does") and column.facts.values and not column.facts.missing:
        flags = flag_values(column)
        return compare(reading, match, Item(int(match["x"])), "=", flags[1]) if flags else None
    sign: Operator = "not null" if match.groupdict().get("neg") else "null"
    counted = re.match(r"number(?: of)? ", match[0])
    compare(reading, match, Item(int(match["x"])), sign)
    return "number" if counted else ""


# --- comparisons with other columns and with averages ---------------------------------------------------------------

_AGGREGATES: dict[str, Aggregate] = {
    "average": "avg",
    "mean": "avg",
    "avg": "avg",
    "minimum": "min",
    "min": "min",
    "maximum": "max",
    "max": "max",
}


@COMPARING(
    "{lead}{C:x} ({be} )*(?P<how>{op}|higher|lower|greater|larger|smaller|more|less)( than)? ((its|their|to|overall|"
    "all) )*"
    f"(?P<agg>{'|'.join(_AGGREGATES)})( (of|for|value|overall|all))*( {{C:y}})?( (of|for|among|across|in) (all |"
    f"every )?{{T:t}})?",
    "{lead}(?P<how>above|below|over|under|more than|less than|higher than|lower than) (?P<agg>average|mean|avg) {C:x}",
)
def than_average(reading: Reading, match: re.Match[str]) -> str | None:
    """“salary above the average”."""
    left = Item(int(match["x"]))
    other = Item(int(match.groupdict().get("y") or match["x"]), _AGGREGATES[match["agg"]])
    how = match["how"] if match["how"] in OPERATORS else f"{match['how']} than"
    return compare(reading, match, left, _operator(how), other, overall=True)


@COMPARING("{lead}({be} )*(?P<how>above|below|more than|less than|higher than|lower than|greater than) {A:y}")
def above_average(reading: Reading, match: re.Match[str]) -> str | None:
    """“above average salary”."""
    other = reading.item(match["y"])
    if other.aggregate not in {"avg", "min", "max"}:
        return None
    return compare(reading, match, Item(other.mention), _operator(match["how"]), other, overall=True)


@COMPARING("{lead}{C:x} ({be} )*(?P<neg>not )?{op:how} ((its|their|as|to) )*{M:y}")
def two_columns(reading: Reading, match: re.Match[str]) -> str | None:
    """“budget smaller than the invested amount”; with “the average salary”, an aggregate over all rows."""
    other = reading.item(match["y"])
    if other.aggregate == "count":
        return None
    if not other.computed and not all(is_measure(reading.mention(match[name])) for name in "xy"):
        return None
    sign = _operator(match["how"], negated=bool(match["neg"]))
    return compare(reading, match, Item(int(match["x"])), sign, other, overall=bool(other.aggregate))
