"""What the phrases of questions mean (``grammar.txt``): things, figures, what is shown, groups, orders and ranks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .draft import Condition, Draft, Item, Order, of_table

if TYPE_CHECKING:
    from .draft import Function, Name, Operator, Value
    from .mentions import Degree


def _count(limit: Value | None) -> int:
    return int((limit and limit.number) or 1)


# --- things and what is said of them ----------------------------------------------------------------------------------


def about_first(whole: Draft, ordered: Draft | None = None, ahead: Draft | None = None) -> Draft:
    """A whole question: what has no owner is said of the first thing."""
    draft = whole + ordered + ahead
    return draft.of(draft.things[0]) if draft.things else draft


def thing(table: str, rest: Draft | None = None, values: tuple[Value, ...] = ()) -> Draft:
    """A table's rows, with what is said of them: “crime books with a price above 20”."""
    first = (Condition(None, "=" if len(values) == 1 else "in", values),) if values else ()
    return Draft(things=(table,), where=first).of(table) + (rest.of(table) if rest else None)


def thing_named(table: str, value: Value, rest: Draft | None = None) -> Draft:
    """“the member Eva Lund”."""
    condition = Condition(None if value.stored else Item(), "=", (value,), owner=table)
    return Draft(things=(table,), where=(condition,)) + (rest.of(table) if rest else None)


def extreme_thing(degree: Degree, thing: Draft, limit: Value | None = None) -> Draft:
    """“the 3 cheapest books”."""
    order = Order(of_table(Item(degree.name), thing.things[0]), degree.high)
    return thing + Draft(order=(order,), limit=_count(limit), extreme=limit is None)


def each_thing(thing: Draft) -> Draft:
    """“each book”: all of them, or a figure for each."""
    return thing + Draft(group=(Item(table=thing.things[0]),))


def by_others(other: Draft) -> Draft | None:
    """“by authors from Norway”; without a condition they are groups."""
    return other if other.where else None


def lacking(other: Draft, negated: bool = False) -> Draft:
    """“without any loans”; “that have loans” where negated."""
    return Draft(where=(Condition(lacks=other, negated=negated),))


def having(number: Value, other: Draft, op: Operator) -> Draft | None:
    """“with at least 3 books”."""
    if number.number == 1 and op == ">=":
        return None
    return Draft(having=(Condition(Item(table=other.things[0], function="count"), op, (number,)),)) + other


def with_extreme(extreme: str, name: Name) -> Draft:
    """“with the highest price”."""
    return Draft(order=(Order(Item(name), extreme == "max"),), limit=1, extreme=True)


def with_most(extreme: str, other: Draft) -> Draft:
    """“with the most books”."""
    count = Item(table=other.things[0], function="count")
    return other + Draft(order=(Order(count, extreme == "max"),), limit=1, extreme=True)


# --- figures ----------------------------------------------------------------------------------------------------------


def functions(one: Function, two: tuple[Function, ...] = ()) -> tuple[Function, ...]:
    """“minimum, maximum and average”."""
    return (one, *two)


def figures(functions: tuple[Function, ...], name: Name) -> tuple[Item, ...]:
    """“the minimum and maximum price”."""
    return tuple(Item(name, function=function) for function in functions)


def shared_function(function: Function, one: Name, two: Name) -> tuple[Item, ...]:
    """“mean x, y”: of both."""
    return (Item(one, function=function), Item(two, function=function))


def different(name: Name) -> tuple[Item, ...]:
    """“number of different genres”."""
    return (Item(name, function="count", distinct=True),)


def plain_term(name: Name) -> tuple[Item, ...]:
    """A column."""
    return (Item(name),)


def shown(items: tuple[Item, ...]) -> Draft:
    """Something that is shown."""
    return Draft(shown=items)


def counted_item(thing: Draft) -> Draft:
    """“the number of books”."""
    return replace(thing, shown=(Item(table=thing.things[0], function="count"), *thing.shown))


# --- what is shown ----------------------------------------------------------------------------------------------------


def columns_of(items: Draft, thing: Draft, rest: Draft | None = None) -> Draft:
    """“the titles of all books”."""
    table = thing.things[0]
    owned = replace(items, shown=tuple(of_table(item, table) for item in items.shown))
    return thing + (rest.of(table) if rest else None) + owned


def once(answer: Draft) -> Draft | None:
    """“the different cities”."""
    plain = answer.shown and not any(item.function or item.name is None for item in answer.shown)
    return answer + Draft(distinct=True) if plain else None


def everything(thing: Draft) -> Draft:
    """“all information about the members”."""
    return thing + Draft(everything=True)


def things(thing: Draft) -> Draft:
    """“members older than 40”: by their names."""
    return thing + Draft(shown=(Item(table=thing.things[0]),))


def how_many(thing: Draft | None = None, rest: Draft | None = None, table: str = "") -> Draft | None:
    """“How many books are there?”."""
    thing = thing or Draft(things=(table,))
    if thing.order and thing.limit:
        return None
    count = Item(table=thing.things[0], function="count")
    return Draft(shown=(count,)) + thing + (rest.of(thing.things[0]) if rest else None)


def how_many_each(thing: Draft, group: Draft) -> Draft:
    """“How many students does each advisor have?”."""
    return Draft(shown=(Item(table=thing.things[0], function="count"),)) + thing + group


def how_many_different(name: Name, rest: Draft | None = None) -> Draft:
    """“How many different genres are there?”."""
    return Draft(shown=different(name)) + rest


def commonest(extreme: str, name: Name, rest: Draft | None = None, limit: Value | None = None) -> Draft:
    """“the most common genre”."""
    order = (Order(Item(function="count"), extreme == "max"),)
    item = (Item(name),)
    return Draft(shown=item, group=item, order=order, limit=_count(limit), extreme=limit is None) + rest


def count_by(thing: Draft, group: Draft, rest: Draft | None = None) -> Draft:
    """“loans by year”."""
    count = Item(table=thing.things[0], function="count")
    return Draft(shown=(count,)) + thing + group.of(thing.things[0]) + rest


def counts(group: Draft | None = None, rest: Draft | None = None) -> Draft:
    """“count by city”, “count where price > 5”, “row count”."""
    return Draft(shown=(Item(function="count"),)) + group + rest


def count_there(name: Name, rest: Draft | None = None) -> Draft:
    """“number of prices”: those that are there."""
    return Draft(shown=(Item(name, function="count"),), cost=1) + rest


def count_missing(name: Name) -> Draft:
    """“number of missing values in price”."""
    return Draft(shown=(Item(function="count"),), where=(Condition(Item(name), "null"),))


def rows_where(whole: Draft) -> Draft:
    """“rows where price > 1”; of one table also “price > 1”."""
    return Draft(everything=True) + whole


def first_rows_of(limit: Value | None = None, table: str = "") -> Draft:
    """“first 5 rows”."""
    return Draft(everything=True, limit=_count(limit), things=(table,) if table else ())


def some_things(limit: Value, table: str) -> Draft:
    """“2 books”."""
    return Draft(shown=(Item(table=table),), things=(table,), limit=_count(limit))


def rows_in_order(
    order: Draft | None = None, rest: Draft | None = None, orders: tuple[Order, ...] = (), limit: Value | None = None
) -> Draft:
    """“order by price desc limit 2”."""
    return Draft(everything=True, order=orders, limit=_count(limit) if limit else 0) + order + rest


def top_groups(
    group: Draft, key: tuple[Item, ...], limit: Value | None = None, rest: Draft | None = None
) -> Draft | None:
    """“top 2 genres by number of books”, with the measure that ranks them."""
    if len(key) != 1 or len(group.group) != 1 or not key[0].function:
        return None
    things = (key[0].table,) if key[0].table else ()
    return Draft(shown=key, things=things, order=(Order(key[0], True),), limit=_count(limit)) + group + rest


# --- orders and groups ------------------------------------------------------------------------------------------------


def ordered(order: Draft | None = None, orders: tuple[Order, ...] = (), down: bool = False) -> Draft:
    """“sorted by price”; “in descending order” of what is shown."""
    return order or Draft(order=orders or (Order(Item(), down),))


def orders(key: tuple[Item, ...], down: bool = False, more: tuple[Order, ...] = ()) -> tuple[Order, ...]:
    """Terms to order by."""
    return (*(Order(item, down) for item in key), *more)


def order_key(name: Name | None = None, items: tuple[Item, ...] = (), table: str = "") -> tuple[Item, ...] | None:
    """A column, a figure or the number of things to order by."""
    if len(items) > 1:
        return None
    return items or ((Item(name),) if name else (Item(table=table, function="count"),))


def limited(limit: Value) -> Draft:
    """“limit 5”."""
    return Draft(limit=_count(limit))


def group_of(name: Name | None = None, more: Draft | None = None, part: str = "", table: str = "") -> Draft:
    """Columns or things that make groups; a part of dates, “by month”, where nothing else is called so."""
    return Draft(group=(Item(name, table, part=part),), cost=int(bool(part))) + more


def grouped_once(group: Draft) -> Draft:
    """“of different genres”: a figure for each, or else each once."""
    return group + Draft(distinct=True)


def grouped_by(group: Draft) -> Draft:
    """“by genre”; “by authors” may as well say whose."""
    return replace(group, cost=group.cost + any(item.table for item in group.group))
