"""Questions: how they open, what is shown, and of which things."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .draft import Condition, Draft, Item, Order, Value, of_table
from .ranking import HAS, with_most
from .vocabulary import GRAMMAR

if TYPE_CHECKING:
    from .draft import Name, Operator
    from .mentions import Degree

rule = GRAMMAR.rule

_OPENERS = (
    "sort|order|rank|arrange|show|list|find|give|return|display|tell|get|select|report|print|provide|compute|calculate|"
    "determine|retrieve|fetch|name|identify"
)


# --- openings ---------------------------------------------------------------------------------------------------------


@rule(
    "opening",
    f"(please) (can|could you) {_OPENERS} (me|us) (out) (all|both)",
    "tell|show me what|which is|are|was|were (all)",
)
@rule("opening", "(and) what|which|who (is|are|was|were)", "please", "what about", "i want (to know|see) (what is|are)")
def opening() -> str:
    """“Show me …”."""
    return "show"


@rule("ending", "?", ".", "please", "please . | ?", "(,) respectively (. | ?)")
def ending() -> str:
    """What may follow a whole question."""
    return ""


@rule("question", "({opening}) {whole:answer} [? | . | ,] ({opening}) {instead:instead} ({ending})")
def question_and_what(whole: Draft, instead: tuple[Item, ...]) -> Draft | None:
    """“Which room is the cheapest? Give me its name and price.”."""
    plain = whole.shown and whole.things and not any(item.computed for item in whole.shown)
    return _about_subject(replace(whole, shown=instead)) if plain else None


@rule("instead", "{items:items}", "{items:items} of (the|these|those|each) {table:table}")
def instead(items: Draft, table: str = "") -> tuple[Item, ...] | None:
    """What is to be shown, after all."""
    if any(item.computed for item in items.shown):
        return None
    return tuple(of_table(item, table) for item in items.shown) if table else items.shown


@rule("question", "({opening}) {whole:answer} ({ending})", "({opening}) {whole:answer} , {ordered:sentence} ({ending})")
@rule("question", "({opening}) {whole:answer} [. | ? | , and] {ordered:sentence} ({ending})")
@rule("question", "{ahead:ahead} (,) ({opening}) {whole:answer} ({ending})")
def question(whole: Draft, ordered: Draft | None = None, ahead: Draft | None = None) -> Draft:
    """A whole question."""
    return _about_subject(whole + ordered + ahead)


def _about_subject(whole: Draft) -> Draft:
    return whole.of(whole.things[0]) if whole.things else whole


@rule(
    "sentence",
    "(and) sort|order|rank|arrange|list|show|return (the|them|it|results|result|rows|these|those) {order:order_by}",
    "(and) {order:ordered}",
)
def sentence(order: Draft) -> Draft:
    """“…, and sort them by name.”."""
    return order


@rule("ahead", "for|of each|every {group:group_of}", "for|in {group:each_of}")
def ahead_group(group: Draft) -> Draft:
    """“For each genre, …”."""
    return group


@rule("ahead", "{when:when}")
def ahead_time(when: Draft) -> Draft:
    """“In March 2024, …”."""
    return when


# --- things and what is said of them ----------------------------------------------------------------------------------


@rule("thing", "{table:table}", "{table:table} {rest:after}")
@rule("thing", "{values:stored_list} {table:table}", "{values:stored_list} {table:table} {rest:after}")
def thing(table: str, rest: Draft | None = None, values: tuple[Value, ...] = ()) -> Draft:
    """A table's rows, with what is said of them."""
    first = (Condition(None, "=" if len(values) == 1 else "in", values),) if values else ()
    return Draft(things=(table,), where=first).of(table) + (rest.of(table) if rest else None)


@rule("thing", "all|any|these|those|our|available|existing|individual {thing:thing}")
def all_things(thing: Draft) -> Draft:
    """“all books”."""
    return thing


@rule("thing", "{degree:superlative} {thing:thing}", "{limit:number} {degree:superlative} {thing:thing}")
@rule(
    "thing",
    "{degree:superlative} {limit:number} {thing:thing}",
    "top|first {limit:number} {degree:superlative} {thing:thing}",
)
def extreme_thing(degree: Degree, thing: Draft, limit: Value | None = None) -> Draft:
    """“the 3 cheapest books”."""
    order = Order(of_table(Item(degree.name), thing.things[0]), degree.high)
    return thing + Draft(order=(order,), limit=int((limit and limit.number) or 1), extreme=limit is None)


@rule("counted", "{thing:thing}", "{thing:each_thing}")
def counted(thing: Draft) -> Draft:
    """Things that are counted."""
    return thing


@rule("uneach", "{thing:thing}", "different|distinct|unique {thing:thing}")
def uneach(thing: Draft) -> Draft:
    """Things that are counted, and no groups."""
    return thing


@rule("counted", "different|distinct|unique {thing:thing}")
def counted_once(thing: Draft) -> Draft:
    """“different books”: a table has each once."""
    return thing + Draft(cost=1, distinct=True)


@rule("each_thing", "each|every {thing:thing}", "each|every of (these|those) {thing:thing}")
def each_thing(thing: Draft) -> Draft:
    """“each book”: all of them, or a figure for each."""
    return thing + Draft(group=(Item(table=thing.things[0]),))


@rule("after", "{one:modifier}", "{one:modifier} (, | and | , and) {more:after}")
def after(one: Draft, more: Draft | None = None) -> Draft:
    """All that is said of a thing."""
    return one + more


@rule(
    "modifier",
    "with|having|whose|where|if|has|have|had|filtered (by) {whole:told}",
    "that|which|who|when (have|has|had|is|are|was|were) {whole:told}",
)
@rule(
    "modifier",
    "is|are|was|were {whole:told}",
    "for|in which|whom (the) {whole:told}",
    "such that {whole:told}",
    "and whose {whole:told}",
    "but {whole:told}",
)
def told_of(whole: Draft) -> Draft:
    """“with a price above 20”."""
    return whole


@rule("modifier", "{whole:bare}")
def bare_condition(whole: Draft) -> Draft:
    """“older than 40”."""
    return whole


@rule(
    "bare",
    "{degree:comparative} than {value:amount}",
    "{verb:measuring} {op:than} {value:amount}",
    "{verb:measuring} {value:number}",
)
def bare(value: Value, degree: Degree | None = None, verb: Degree | None = None, op: Operator = "=") -> Draft | None:
    """An adjective or verb that needs no other word."""
    measured = degree or verb
    if measured is None:
        return None
    sign: Operator = op if verb else ">" if measured.high else "<"
    if value.item and value.item.name is None:
        value = replace(value, item=replace(value.item, name=measured.name))
    return Draft(where=(Condition(Item(measured.name), sign, (value,)),))


@rule(
    "modifier",
    "in|from|of|on|at|for|by|to|under|within|during {values:value_list}",
    "located|based in {values:value_list}",
)
def at_value(values: tuple[Value, ...]) -> Draft:
    """“from Oslo”: the column that holds it."""
    return Draft(where=(Condition(None, "=" if len(values) == 1 else "in", values),))


@rule("value_list", "{one:stored}", "{one:stored} or|and {two:stored}", "either {one:stored} or {two:stored}")
def value_list(one: Value, two: Value | None = None) -> tuple[Value, ...]:
    """Values that a column is known to hold."""
    return (one, two) if two else (one,)


@rule(
    "modifier",
    "not in|from {values:value_list}",
    "[outside | except | excluding | other than | except for] {values:value_list}",
)
def not_at_value(values: tuple[Value, ...]) -> Draft:
    """“not from Oslo”."""
    return Draft(where=(Condition(None, "=" if len(values) == 1 else "in", values, negated=True),))


@rule(
    "modifier",
    "in|from|of|on|at|for|with|by|under {name:column} (of) {values:constants}",
    "in|from|of|by|at {values:stored_list} {name:column}",
)
def at_column(name: Name, values: tuple[Value, ...]) -> Draft:
    """“in the genre Crime”, “with id 5”."""
    return Draft(where=(Condition(Item(name), "=" if len(values) == 1 else "in", values),))


@rule("modifier", "named|called|titled {value:constant}", "with|by name|title (of) {value:constant}")
def named(value: Value) -> Draft | None:
    """“called 'Ada Berg'”: by the name of the thing."""
    if value.number is not None:
        return None
    return Draft(where=(Condition(Item(), "=", (value,)),))


@rule(
    "thing", "{table:table} {value:proper}", "{table:table} {value:stored}", "{table:table} {value:proper} {rest:after}"
)
def thing_named(table: str, value: Value, rest: Draft | None = None) -> Draft:
    """“the member Eva Lund”."""
    condition = Condition(None if value.stored else Item(), "=", (value,), owner=table)
    return Draft(things=(table,), where=(condition,)) + (rest.of(table) if rest else None)


@rule("modifier", "by {other:thing}")
def by_others(other: Draft) -> Draft | None:
    """“by authors from Norway”; without a condition they are groups."""
    return other if other.where else None


@rule(
    "modifier",
    "in|from|of|on|at|for|with|to|under {other:thing}",
    "(that|which|who) belong|belongs|belonging to {other:thing}",
)
def of_others(other: Draft) -> Draft:
    """“by authors from Norway”."""
    return other


@rule(
    "none",
    "without (any)",
    "with no",
    "[that|which|who] have|has|had no",
    "have|has|had no",
    "who|that|which do|does|did not have (any)",
    "do|does|did not have (any)",
)
def none() -> str:
    """“that have no”."""
    return ""


@rule("modifier", "(that|which|who) have|has|had ([any|some | at least one]) {other:thing}")
def having_some(other: Draft) -> Draft:
    """“that have loans”."""
    return Draft(where=(Condition(lacks=other, negated=True),))


@rule("after", "{none} {other:thing}")
def lacking(other: Draft) -> Draft:
    """“without any loans”."""
    return Draft(where=(Condition(lacks=other),))


@rule("modifier", "(that|which|who) with|have|has|had|having {op:threshold} {number:number} {other:thing}")
def having(op: Operator, number: Value, other: Draft) -> Draft | None:
    """“with at least 3 books”."""
    if number.number == 1 and op == ">=":
        return None
    count = Item(table=other.things[0], function="count")
    return Draft(having=(Condition(count, op, (number,)),)) + other


@rule("modifier", "(that|which|who) with|have|has|had|having {number:number} or {op:suffix} {other:thing}")
def having_suffix(op: Operator, number: Value, other: Draft) -> Draft | None:
    """“with 3 or more books”."""
    return having(op, number, other)


@rule("threshold", "{op:than}", "{op:same}")
def threshold(op: Operator) -> Operator:
    """“at least”, “exactly”."""
    return op


@rule(
    "modifier",
    "with|has|have|having|had {figure:figures} {op:than} {number:number}",
    "whose {figure:figures} is|are {op:than} {number:number}",
)
def having_figure(figure: tuple[Item, ...], op: Operator, number: Value) -> Draft | None:
    """“with total quantity over 10”."""
    return Draft(having=(Condition(figure[0], op, (number,)),)) if len(figure) == 1 else None


# --- answers ----------------------------------------------------------------------------------------------------------


@rule("there", "(are|is|were|was) there", "are|is|were|was|do|did|exist|exists", "do|does|did we|you|they|i have")
def there() -> str:
    """“are there”."""
    return ""


@rule(
    "answer",
    "{items:items} of|for|from|in|about|on (the) {thing:counted}",
    "{items:items} of|for|from|in|about|on (the) {thing:counted} {rest:after}",
)
@rule("answer", "{items:items} that|which|who|belonging to {thing:thing} has|have")
def columns_of(items: Draft, thing: Draft, rest: Draft | None = None) -> Draft:
    """“the titles of all books”."""
    shown = tuple(of_table(item, thing.things[0]) for item in items.shown)
    return thing + (rest.of(thing.things[0]) if rest else None) + replace(items, shown=shown)


@rule("answer", "{thing:thing} {items:items}", "{thing:thing} [with|and] their|its {items:items}")
def things_columns(thing: Draft, items: Draft) -> Draft | None:
    """“students' names”."""
    if thing.where or thing.order or thing.group or len(thing.things) > 1:
        return None
    return thing + replace(items, shown=tuple(of_table(item, thing.things[0]) for item in items.shown), cost=1)


@rule("answer", "{items:items}", "{items:items} {rest:after}")
def columns(items: Draft, rest: Draft | None = None) -> Draft:
    """“title and price”, of the one table that has both."""
    return items + rest


@rule("answer", "different|distinct|unique {answer:answer}", "all (the) different|distinct|unique {answer:answer}")
def once(answer: Draft) -> Draft | None:
    """“the different cities”."""
    if not answer.shown or any(item.computed or item.name is None for item in answer.shown):
        return None
    return answer + Draft(distinct=True)


@rule("answer", "all|complete|full information|info|data|columns|attributes|fields (about|of|on|for) {thing:counted}")
@rule("answer", "everything about|of|on {thing:counted}", "information|info (about|of|on|for) (all) {thing:counted}")
def everything(thing: Draft) -> Draft:
    """“all information about the members”."""
    return thing + Draft(everything=True)


@rule("answer", "{thing:thing}", "{thing:each_thing}")
def things(thing: Draft) -> Draft | None:
    """“members older than 40”: by their names."""
    return thing + Draft(shown=(Item(table=thing.things[0]),))


@rule("answer", "which|what {thing:thing}", "who is|are {thing:thing}")
def which_things(thing: Draft) -> Draft | None:
    """“which books …”."""
    return things(thing)


@rule(
    "answer",
    "how many {thing:uneach} ({there}) ([in total | we|you have])",
    "(count|find) (the) (total) number of {thing:uneach}",
)
@rule(
    "answer",
    "count (all) {thing:uneach}",
    "how many {thing:uneach} exist",
    "total number|count of {thing:uneach} (we have)",
    "number of {thing:uneach} we have",
)
@rule(
    "answer",
    "how many {thing:uneach} [{there} | have|has] {rest:after}",
)
def how_many(thing: Draft, rest: Draft | None = None) -> Draft | None:
    """“How many books are there?”."""
    if thing.order and thing.limit:
        return None
    count = Item(table=thing.things[0], function="count")
    return Draft(shown=(count,)) + thing + (rest.of(thing.things[0]) if rest else None)


@rule(
    "answer",
    "how many {thing:thing} do|does|did {group:each_of} have|contain",
    "(the) number of {thing:thing} (that) {group:each_of} has|have",
)
def how_many_each(thing: Draft, group: Draft) -> Draft:
    """“How many students does each advisor have?”."""
    return Draft(shown=(Item(table=thing.things[0], function="count"),)) + thing + group


@rule(
    "answer",
    "how many different|distinct|unique {name:column} ({there}) ({rest:of_all})",
)
@rule("answer", "(count|find) (the) number of different|distinct|unique {name:column} ({rest:of_all})")
def how_many_different(name: Name, rest: Draft | None = None) -> Draft:
    """“How many different genres are there?”."""
    return Draft(shown=(Item(name, function="count", distinct=True),)) + rest


@rule("answer", "(which|what) {name:column} {rest:group_rank}")
def group_ranked(name: Name, rest: Draft) -> Draft:
    """“Which genres have more than 2 books?”."""
    return Draft(shown=(Item(name),), group=(Item(name),)) + rest


@rule(
    "group_rank",
    f"{HAS} {{extreme:extreme_word}} number of {{other:thing}}",
    f"{HAS} {{extreme:most_word}} {{other:thing}}",
)
def rank_groups(extreme: str, other: Draft) -> Draft:
    """“has the most books”."""
    return with_most(extreme, other)


@rule(
    "group_rank",
    "(that|which) with|have|has|had|having {op:threshold} {number:number} {other:thing}",
    "(that|which) with|have|has|had|having {number:number} or {op:suffix} {other:thing}",
)
def threshold_groups(op: Operator, number: Value, other: Draft) -> Draft | None:
    """“have more than 2 books”."""
    return having(op, number, other)
