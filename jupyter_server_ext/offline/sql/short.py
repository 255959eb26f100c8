"""Short forms, as people type them who know SQL or pandas: "price by city", "x where price < 3", "first 5 rows"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .draft import Condition, Draft, Item, Order
from .vocabulary import GRAMMAR

if TYPE_CHECKING:
    from .draft import Name, Value

rule = GRAMMAR.rule
_ADDED = frozenset({"total", "amount", "sum", "revenue", "sales", "quantity"})


@rule("answer", "{name:column} by|per {group:group_of} ({rest:after})", "plot {name:column} by|per {group:group_of}")
def figure_by(name: Name, group: Draft, rest: Draft | None = None) -> Draft | None:
    """“price by city”: the figure that was not named is told."""
    fields = [one.field for one in name.candidates if one.field.is_number and not one.field.is_id]
    if not fields:
        return None
    added = bool(_ADDED & set(fields[0].name.lower().split("_")))
    note = f"I took the {'sum' if added else 'mean'} of {fields[0].name}."
    return Draft(shown=(Item(name, function="sum" if added else "avg"),), notes=(note,)) + group + rest


@rule("answer", "{thing:thing} by|per {group:group_of}", "{thing:thing} by|per {group:group_of} {rest:after}")
@rule("answer", "(plot|chart) (the) number of {thing:thing} by|per {group:group_of}")
def count_by(thing: Draft, group: Draft, rest: Draft | None = None) -> Draft:
    """“loans by year”."""
    count = Item(table=thing.things[0], function="count")
    return Draft(shown=(count,)) + thing + group.of(thing.things[0]) + rest


@rule(
    "answer",
    "count by|per {group:group_of}",
    "value counts of|for {group:group_of}",
    "group by {group:group_of}",
    "counts by|of {group:group_of}",
)
def counts(group: Draft) -> Draft:
    """“count by city”."""
    return Draft(shown=(Item(function="count"),)) + group


@rule("answer", "how many rows|records|entries (are) (there) in|of {table:table}", "row count of {table:table}")
def rows_of(table: str) -> Draft:
    """“how many rows in df”."""
    return Draft(shown=(Item(table=table, function="count"),), things=(table,))


@rule("answer", "row count", "count")
def row_count() -> Draft:
    """“row count”."""
    return Draft(shown=(Item(function="count"),))


@rule("answer", "[how many (rows) | count (rows) | number of rows] [where|with|have|has | in which] {whole:told}")
def count_where(whole: Draft) -> Draft:
    """“count where price > 5”."""
    return Draft(shown=(Item(function="count"),)) + whole


@rule("answer", "how many {name:column} (values) are|is|were {whole:beside}")
def count_values(name: Name, whole: Draft) -> Draft:
    """“how many prices are above 5”."""
    conditions = tuple(replace(one, item=Item(name)) for one in whole.where)
    return Draft(shown=(Item(function="count"),), where=conditions)


@rule(
    "answer",
    "number of missing|null (values) in|of|for {name:column}",
    "how many missing (values) (are) (in) {name:column}",
)
def count_missing(name: Name) -> Draft:
    """“number of missing values in price”."""
    return Draft(shown=(Item(function="count"),), where=(Condition(Item(name), "null"),))


@rule("answer", "{lone} number|count of {name:column} ({rest:after})")
def count_there(name: Name, rest: Draft | None = None) -> Draft:
    """“number of prices”: those that are there."""
    return Draft(shown=(Item(name, function="count"),), cost=1) + rest


@rule("answer", "rows|records|everything (where|with|when) {whole:told}", "(only|filter) rows where {whole:told}")
@rule("question", "{lone} (where|filter) {whole:told}")
def rows_where(whole: Draft) -> Draft:
    """“rows where price > 1”; of one table also “price > 1”."""
    return Draft(everything=True) + whole


@rule(
    "answer",
    "first|top {limit:number} rows|records (of {table:table})",
    "{limit:number} rows|records",
    "first row (of {table:table})",
)
def first_rows_of(limit: Value | None = None, table: str = "") -> Draft:
    """“first 5 rows”."""
    return Draft(everything=True, limit=int((limit and limit.number) or 1), things=(table,) if table else ())


@rule("answer", "{limit:number} {table:table}", "any|first {limit:number} {table:table}")
def some_things(limit: Value, table: str) -> Draft:
    """“2 books”."""
    return Draft(shown=(Item(table=table),), things=(table,), limit=int(limit.number or 1))


@rule(
    "answer",
    "{limit:number} random rows|records",
    "{limit:number} random {table:table}",
    "random sample of {limit:number} rows",
)
def random_rows(limit: Value, table: str = "") -> Draft:
    """“5 random rows”."""
    return Draft(everything=True, limit=int(limit.number or 1), random=True, things=(table,) if table else ())


@rule(
    "answer", "sort|order (rows|[by] ) {order:order_by} ({rest:after})", "order by {orders:orders} limit {limit:number}"
)
def rows_in_order(
    order: Draft | None = None, rest: Draft | None = None, orders: tuple[Order, ...] = (), limit: Value | None = None
) -> Draft:
    """“order by price desc limit 2”."""
    return Draft(everything=True, order=orders, limit=int((limit and limit.number) or 0)) + order + rest


@rule("answer", "top {limit:number} rows|records by {name:column} ({rest:after})")
def top_rows(limit: Value, name: Name, rest: Draft | None = None) -> Draft:
    """“top 2 rows by price”."""
    return Draft(everything=True, order=(Order(Item(name), True),), limit=int(limit.number or 1)) + rest


@rule("peak", "highest|largest|greatest|biggest|top")
def _highest() -> str:
    return "max"


@rule("peak", "lowest|smallest|bottom")
def _lowest() -> str:
    return "min"


@rule("answer", "{limit:number} {extreme:peak} {name:column}")
def extreme_values(limit: Value, extreme: str, name: Name) -> Draft:
    """“2 highest prices”."""
    return Draft(shown=(Item(name),), order=(Order(Item(name), extreme == "max"),), limit=int(limit.number or 1))


@rule(
    "answer",
    "top|first {limit:number} {group:group_of} by {key:order_keys} ({rest:after})",
    "top {group:group_of} by {key:order_keys} ({rest:after})",
)
def top_groups(
    group: Draft, key: tuple[Item, ...], limit: Value | None = None, rest: Draft | None = None
) -> Draft | None:
    """“top 2 genres by number of books”, with the measure that ranks them."""
    name = key[0].name
    same = name is not None and group.group[0].name is not None and name.candidates == group.group[0].name.candidates
    if len(key) != 1 or len(group.group) != 1 or same:
        return None
    notes: tuple[str, ...] = ()
    if name is not None and not key[0].function:
        numbers = [one.field for one in name.candidates if one.field.is_number and not one.field.is_id]
        if not numbers:
            return None
        added = bool(_ADDED & set(numbers[0].name.lower().split("_")))
        key = (Item(name, function="sum" if added else "avg"),)
        notes = (f"I took the {'sum' if added else 'mean'} of {numbers[0].name}.",)
    things = (key[0].table,) if key[0].table else ()
    ranked = Draft(shown=key, things=things, order=(Order(key[0], True),), limit=int((limit and limit.number) or 1))
    return ranked + group + Draft(notes=notes) + rest


# --- shares -----------------------------------------------------------------------------------------------------------


@rule("share_word", "share|proportion|fraction of")
def _share() -> bool:
    return False


@rule("share_word", "percentage|percent of")
def _percent() -> bool:
    return True


@rule(
    "answer",
    "(what) {percent:share_word} (all) {thing:thing} ({rest:after})",
    "what {percent:share_word} (all) {thing:thing} {rest:share_rest}",
)
def share_of(percent: bool, thing: Draft, rest: Draft | None = None) -> Draft | None:
    """“share of books with more than 200 pages”."""
    whole = thing + rest
    if not whole.where:
        return None
    item = Item(function="share", conditions=whole.where, percent=percent)
    return replace(whole, shown=(item,), where=())


@rule("share_rest", "has|have {whole:told}")
def share_rest(whole: Draft) -> Draft:
    """“has more than 200 pages”."""
    return whole


@rule("answer", "{percent:share_word} missing|null (values) (in|of) {name:column}")
def share_missing(percent: bool, name: Name) -> Draft:
    """“share of missing prices”."""
    item = Item(function="share", conditions=(Condition(Item(name), "null"),), percent=percent)
    return Draft(shown=(item,))


@rule("answer", "{percent:share_word} each|every {name:column}")
def portions(percent: bool, name: Name) -> Draft:
    """“share of each city”: of all rows."""
    return Draft(shown=(Item(function="share", percent=percent),), group=(Item(name),))
