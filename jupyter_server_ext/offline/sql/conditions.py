"""Conditions in words: comparisons, values, what is missing, and "and" and "or" between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .draft import Condition, Draft, Item, Name, Operator, Value
from .vocabulary import GRAMMAR

if TYPE_CHECKING:
    from .mentions import Degree

rule = GRAMMAR.rule

_BE = "is|are|was|were|be|being|been"
_WITH = (
    "[with|having|has|have|had|whose|where|when|if | that|which|who have|has|had | that|which|who is|are|was|were |"
    " who|which|that]"
)


@rule("be", _BE)
@rule(
    "be",
    "equals|equal|=|==|as|of",
    "[is|are|was|were] (exactly) [equal to | exactly | = | either]",
    "exactly",
    "equal to",
)
def be() -> str:
    """A verb that says nothing but "is"."""
    return ""


@rule("more", "[more|greater|larger|higher|bigger|longer|later] than", "over|above|exceeding|exceeds|beyond|>")
@rule("more", "in excess of", "larger|greater|higher|more than")
def more() -> Operator:
    """“more than”."""
    return ">"


@rule("more", "at least", "[no|not] less than", "no fewer than", ">=", "[greater|more|larger|higher] than or equal to")
@rule("more", "minimum of")
def at_least() -> Operator:
    """“at least”."""
    return ">="


@rule("less", "[less|fewer|lower|smaller|shorter|earlier] than", "below|under|<")
def less() -> Operator:
    """“less than”."""
    return "<"


@rule("less", "at most", "[no|not] [more|greater|higher] than", "up to", "<=", "[less|lower|smaller] than or equal to")
def at_most() -> Operator:
    """“at most”."""
    return "<="


@rule("than", "{op:more}", "{op:less}")
def than(op: Operator) -> Operator:
    """A sign that compares."""
    return op


@rule("same", "exactly|only", "only exactly", "equal to", "=", "==", "equals")
def same() -> Operator:
    """“exactly”."""
    return "="


_UNITS = (
    "(years|year|dollars|minutes|hours|days|months|points|feet|meters|miles|pounds|kg|percent|%|dollar|usd|euros|"
    "degrees|km|inches|cm|seconds|weeks) (old|long) (of age)"
)


@rule("amount", "{value:number} " + _UNITS, "{value:text}")
def amount(value: Value) -> Value:
    """A number with its unit, or a date."""
    return value


@rule("amount", "average|mean (of) {name:column}", "{name:column} average|mean", "its|their average|mean")
@rule("amount", "average|mean (value)", "average|mean {name:column} of all {table:table}")
@rule(
    "amount", "average|mean {name:column} (for|of|across|among) all {table:table}", "average|mean of all {table:table}"
)
def average(name: Name | None = None, table: str = "") -> Value:
    """“above the average”, whose column may be the one compared."""
    return Value(item=Item(name, table, "avg"))


@rule("amount", "{function:extreme_word} {name:column} of (all|any) {table:table}")
def extreme_of(function: str, name: Name, table: str) -> Value:
    """“the maximum price of all books”."""
    return Value(item=Item(replace(name, owner=table), "", "max" if function == "max" else "min"))


@rule("constant", "{value:stored}", "{value:proper}", "{value:text}", "{value:number}")
def constant(value: Value) -> Value:
    """A value as it stands."""
    return value


@rule(
    "constants",
    "{one:constant}",
    "{one:constant} (,) or|and (in|from|by|either) {more:constants}",
    "{one:constant} , {more:constants}",
)
@rule("constants", "either|both {one:constant} or|and {more:constants}")
def constants(one: Value | None = None, more: tuple[Value, ...] = ()) -> tuple[Value, ...]:
    """“Crime or Poetry”: any of them."""
    return ((one,) if one else ()) + more


# --- a column and what it is compared with ----------------------------------------------------------------------------


@rule("condition", "{name:column} ({be}) {op:than} {value:amount}")
@rule("condition", "{name:column} [that|which] {be} {op:than} {value:amount}")
@rule("condition", "{name:column} value|values ({be}) {op:than} {value:amount}")
@rule("condition", "{op:than} {value:amount} (in|of) {name:column}", "{op:same} {value:number} {name:column}")
@rule("condition", "{name:column} ({be}) after|before {value:text}")
def compared(name: Name, value: Value, op: Operator = "=") -> Condition | None:
    """“price above 20”, “more than 300 pages”."""
    if value.item and value.item.name is None:
        value = replace(value, item=replace(value.item, name=name))
    return Condition(Item(name), op, (value,))


@rule("condition", "{name:column} ({be}) {value:number} or {op:suffix}")
def compared_after(name: Name, value: Value, op: Operator) -> Condition:
    """“with 3 pages or more”."""
    return Condition(Item(name), op, (value,))


@rule("suffix", "more|above|higher|greater|over|older|later|longer|up")
def or_more() -> Operator:
    """“or more”."""
    return ">="


@rule("suffix", "less|below|lower|fewer|under|younger|earlier|shorter")
def or_less() -> Operator:
    """“or less”."""
    return "<="


@rule("condition", "{name:column} ({be}) {op:than} {other:column}")
def two_columns(name: Name, op: Operator, other: Name) -> Condition:
    """“x > y”."""
    return Condition(Item(name), op, (Value(item=Item(other)),))


@rule("condition", "{name:column} ({be}) (in) between|from {low:amount} and|to {high:amount}")
@rule("condition", "{name:column} ({be}) in range (of|from|between) {low:amount} and|to {high:amount}")
@rule("condition", "between {low:number} and {high:number} {name:column}")
def between(name: Name, low: Value, high: Value) -> Condition:
    """“pages between 100 and 300”."""
    return Condition(Item(name), "between", (low, high))


@rule("condition", "{name:column} not between {low:amount} and {high:amount}")
def not_between(name: Name, low: Value, high: Value) -> Condition:
    """“price not between 1 and 2”."""
    return Condition(Item(name), "between", (low, high), negated=True)


@rule("condition", "{name:column} (value) {be} {values:constants}", "{name:column} {values:constants}")
@rule(
    "condition", "{name:column} {be} (in|from) {values:constants}", "{name:column} [in|called|named] {values:constants}"
)
def equal(name: Name, values: tuple[Value, ...]) -> Condition | None:
    """“genre is Crime or Poetry”, “id 5”."""
    operator: Operator = "=" if len(values) == 1 else "in"
    return Condition(Item(name), operator, values)


@rule("unlike", "not (in|from)", "not equal to", "other than", "!=|<>", "{be} not", "different from")
def unlike() -> str:
    """“is not”."""
    return ""


@rule(
    "condition",
    "{name:column} ({be}) {unlike} {values:constants}",
)
def unequal(name: Name, values: tuple[Value, ...]) -> Condition:
    """“genre is not Crime”."""
    operator: Operator = "=" if len(values) == 1 else "in"
    return Condition(Item(name), operator, values, negated=True)


@rule(
    "condition",
    "{values:stored_list} {name:column}",
    "{values:text_list} as (their) {name:column}",
    "{values:text_list} {name:column}",
)
def value_first(values: tuple[Value, ...], name: Name) -> Condition | None:
    """“Crime genre”: only where that column holds it."""
    held = {field for value in values for field, _ in value.stored}
    if held and not held & {c.field for c in name.candidates}:
        return None
    return Condition(Item(name), "=" if len(values) == 1 else "in", values)


@rule("stored_list", "{one:stored}", "{one:stored} or|and {two:stored}")
@rule("text_list", "{one:text}", "{one:text} or {two:text}")
def listed(one: Value, two: Value | None = None) -> tuple[Value, ...]:
    """One or two values."""
    return (one, two) if two else (one,)


@rule(
    "missing",
    "null|nulls|missing|unknown|empty|blank|na|nan|unspecified",
    "not available|specified|known|given|recorded",
)
def missing() -> str:
    """What is not there."""
    return "null"


@rule(
    "condition",
    "{name:column} ({be}) {missing} (values)",
    "{missing} (values) (in|for|of) {name:column}",
    "no {name:column}",
)
@rule("condition", "{missing} {name:column}")
def is_missing(name: Name) -> Condition | None:
    """“country is unknown”."""
    return Condition(Item(name), "null")


@rule(
    "condition",
    "{name:column} ({be}) not null|missing|empty",
    "not null|missing {name:column}",
    "without missing (values) (in|of) {name:column}",
)
def is_there(name: Name) -> Condition:
    """“country is not null”."""
    return Condition(Item(name), "null", negated=True)


@rule("condition", "{name:column} ({be}) negative")
def negative(name: Name) -> Condition:
    """“y is negative”."""
    return Condition(Item(name), "<", (Value("0", 0.0),))


@rule("condition", "{name:column} ({be}) positive")
def positive(name: Name) -> Condition:
    """“y is positive”."""
    return Condition(Item(name), ">", (Value("0", 0.0),))


@rule("condition", "{name:column} ({be} | =) true|yes")
def true(name: Name) -> Condition:
    """“returned is true”."""
    return Condition(Item(name), "true")


@rule("condition", "{name:column} ({be} | =) false|no")
def false(name: Name) -> Condition:
    """“returned is false”."""
    return Condition(Item(name), "true", negated=True)


# --- parts of texts ---------------------------------------------------------------------------------------------------

_CONTAIN = "contain|contains|containing|include|includes|including"
_PART = "(word|words|letter|letters|string|substring|text|phrase|character)"


@rule(
    "condition",
    f"{{name:column}} (that) {_CONTAIN}|has|have|like {_PART} {{value:piece}} (in them|it)",
)
@rule("condition", f"{_PART} {{value:text}} in (their|its) {{name:column}}")
@rule("condition", f"{{name:column}} with {_PART} {{value:text}} (in it|them)")
def contains(name: Name, value: Value) -> Condition:
    """“name contains 'night'”."""
    pattern = value.text if "%" in value.text else f"%{value.text}%"
    return Condition(Item(name), "like", (Value(pattern),))


@rule("condition", f"{_CONTAIN} {_PART} {{value:text}}")
def contains_in_name(value: Value) -> Condition:
    """“books that contain 'night'”: in their name."""
    return Condition(Item(), "like", (Value(f"%{value.text}%"),))


@rule("condition", "(was|were) {when:when}")
def at_time(when: Draft) -> Condition | None:
    """“were shipped in March 2024”, beside other conditions."""
    return when.where[0] if len(when.where) == 1 and not when.notes else None


@rule("piece", "{value:text}", "{value:proper}", "{value:word}")
def piece(value: Value) -> Value:
    """A part of a text."""
    return value


@rule("condition", f"{{name:column}} (that) start|starts|starting|begin|begins|beginning with {_PART} {{value:piece}}")
def starts(name: Name, value: Value) -> Condition:
    """“name starts with 'A'”."""
    return Condition(Item(name), "like", (Value(f"{value.text}%"),))


@rule("condition", f"{{name:column}} (that) end|ends|ending with|in {_PART} {{value:piece}}")
def ends(name: Name, value: Value) -> Condition:
    """“name ends with 's'”."""
    return Condition(Item(name), "like", (Value(f"%{value.text}"),))


# --- adjectives and verbs ---------------------------------------------------------------------------------------------


@rule("condition", "{verb:measuring} {value:number} or {op:suffix}")
def aged(verb: Degree, value: Value, op: Operator) -> Condition:
    """“aged 25 or older”."""
    return Condition(Item(verb.name), op, (value,))


@rule("condition", "{degree:comparative} than {value:amount}")
def older(degree: Degree, value: Value) -> Condition | None:
    """“older than 40”: the one column that the adjective measures."""
    if value.item and value.item.name is None:
        value = replace(value, item=replace(value.item, name=degree.name))
    return Condition(Item(degree.name), ">" if degree.high else "<", (value,))


@rule("condition", "{verb:measuring} {op:than} {value:amount}", "{verb:measuring} {value:number}")
def costs(verb: Degree, value: Value, op: Operator = "=") -> Condition:
    """“cost more than 20”."""
    return Condition(Item(verb.name), op, (value,))


# --- values that say their column themselves --------------------------------------------------------------------------


@rule("condition", "{values:stored_list}")
def stored_alone(values: tuple[Value, ...]) -> Condition:
    """“female”: the column that holds it."""
    return Condition(None, "=" if len(values) == 1 else "in", values)


@rule(
    "conditions",
    "{one:condition}",
    "{one:condition} (,) [and | and (also) " + _WITH + " | but | and whose] {more:conditions}",
)
def every(one: Condition, more: tuple[Condition, ...] = ()) -> tuple[Condition, ...]:
    """Conditions that all must hold."""
    return (one, *more)


@rule("either", "(either) {one:condition} (,) or (" + _WITH + ") {two:condition}")
def either(one: Condition, two: Condition) -> tuple[Condition, ...]:
    """Two conditions of which one must hold."""
    return (Condition(either=(one, two)),)


@rule("told", "{whole:conditions}", "{whole:either}")
def told(whole: tuple[Condition, ...]) -> Draft:
    """Conditions as a part of a query."""
    return Draft(where=whole)


@rule("beside", "{op:than} {value:amount}")
def beside(op: Operator, value: Value) -> Draft:
    """“above 5”, of the column that stands before it."""
    return Draft(where=(Condition(Item(), op, (value,)),))
