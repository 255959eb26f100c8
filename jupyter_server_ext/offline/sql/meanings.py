"""What the phrases of questions mean: the functions that ``grammar.txt`` names, each a part of a query."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .draft import Condition, Item, OfflineDraft, Order, Value, of_table
from .times import before, current, day, months, past, quarter, until, years

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from rsql_magic.sql import Definition

    from .draft import Function, Name, Operator
    from .mentions import Degree
    from .times import NamedPeriod


def _limit(value: Value | None) -> int:
    return int((value and value.number) or 1)


def _count(thing: OfflineDraft) -> Item:
    return Item(table=thing.things[0], function="count")


def _about_first(
    whole: OfflineDraft, ordered: OfflineDraft | None = None, ahead: OfflineDraft | None = None
) -> OfflineDraft:
    draft = whole + ordered + ahead
    return draft.of(draft.things[0]) if draft.things else draft


def _then_shown(whole: OfflineDraft, items: OfflineDraft) -> OfflineDraft | None:
    # "Which counties are large? List their names": what is listed stands in place of the things.
    if any(item.function or item.name for item in whole.shown) or not whole.things:
        return None
    owned = tuple(of_table(item, whole.things[0]) for item in items.shown)
    return _about_first(replace(whole, shown=()) + replace(items, shown=owned))


def _thing(table: str, rest: OfflineDraft | None = None, values: tuple[Value, ...] = ()) -> OfflineDraft:
    first = (Condition(None, "=" if len(values) == 1 else "in", values),) if values else ()
    return OfflineDraft(things=(table,), where=first).of(table) + (rest.of(table) if rest else None)


def _things_where(table: str, whole: OfflineDraft) -> OfflineDraft:
    # "Which order's number is 7?"
    return (OfflineDraft(things=(table,), shown=(Item(table=table),)) + whole).of(table)


def _linked(other: OfflineDraft) -> OfflineDraft:
    # "students who have taken a course" are those that have one; of "courses offered in 2010" the condition is meant.
    if other == OfflineDraft(things=other.things):
        return OfflineDraft(where=(Condition(lacks=other, negated=True),), cost=1)
    return other + OfflineDraft(cost=1)


def _first_things(limit: Value, thing: OfflineDraft) -> OfflineDraft | None:
    # "the 3 departments with the most courses"
    whole = limit.number is not None and limit.number == int(limit.number) and limit.number > 1
    return replace(thing, limit=_limit(limit), extreme=False) if thing.extreme and thing.limit == 1 and whole else None


def _with_extreme(extreme: str, name: Name, function: Function = "", own: bool = False) -> OfflineDraft:
    order = (Order(Item(name, function=function), extreme == "max", own),)
    return OfflineDraft(order=order, limit=1, extreme=True)


def _thing_named(table: str, value: Value, rest: OfflineDraft | None = None) -> OfflineDraft:
    condition = Condition(None if value.stored else Item(), "=", (value,), owner=table)
    return OfflineDraft(things=(table,), where=(condition,)) + (rest.of(table) if rest else None)


def _extreme_thing(degree: Degree, thing: OfflineDraft, limit: Value | None = None) -> OfflineDraft:
    order = Order(of_table(Item(degree.name), thing.things[0]), degree.high)
    return thing + OfflineDraft(order=(order,), limit=_limit(limit), extreme=limit is None)


def _having(number: Value, other: OfflineDraft, op: Operator) -> OfflineDraft | None:
    # "with at least 1 book" is read as "that have books", which counts nothing.
    if number.number == 1 and op == ">=":
        return None
    return OfflineDraft(having=(Condition(_count(other), op, (number,)),)) + other


def _columns_of(items: OfflineDraft, thing: OfflineDraft, rest: OfflineDraft | None = None) -> OfflineDraft:
    table = thing.things[0]
    owned = replace(items, shown=tuple(of_table(item, table) for item in items.shown))
    return thing + (rest.of(table) if rest else None) + owned


def _columns_and(items: OfflineDraft, thing: OfflineDraft, more: OfflineDraft) -> OfflineDraft:
    more = replace(more, things=tuple(t for t in more.things if t not in thing.things), cost=more.cost + 1)
    return _columns_of(items, thing) + more


def _once(answer: OfflineDraft) -> OfflineDraft | None:
    plain = [item for item in answer.shown if not item.function]
    if not plain or any(item.name is None for item in plain):
        return None
    return answer + OfflineDraft(distinct=len(plain) == len(answer.shown))


def _how_many(
    thing: OfflineDraft | None = None, rest: OfflineDraft | None = None, table: str = ""
) -> OfflineDraft | None:
    thing = thing or OfflineDraft(things=(table,))
    if thing.order and thing.limit:  # "how many of the 3 cheapest" is 3
        return None
    return OfflineDraft(shown=(_count(thing),)) + thing + (rest.of(thing.things[0]) if rest else None)


def _commonest(extreme: str, name: Name, rest: OfflineDraft | None = None, limit: Value | None = None) -> OfflineDraft:
    order = (Order(Item(function="count"), extreme == "max"),)
    item = (Item(name),)
    return OfflineDraft(shown=item, group=item, order=order, limit=_limit(limit), extreme=limit is None) + rest


def _top_groups(
    group: OfflineDraft, key: tuple[Item, ...], limit: Value | None = None, rest: OfflineDraft | None = None
) -> OfflineDraft | None:
    if len(key) != 1 or len(group.group) != 1 or not key[0].function:
        return None
    things = (key[0].table,) if key[0].table else ()
    # The measure that ranks the groups is shown with them.
    return OfflineDraft(shown=key, things=things, order=(Order(key[0], True),), limit=_limit(limit)) + group + rest


def _top_things(limit: Value, table: str, name: Name) -> OfflineDraft:
    # "top 5 customers by amount": a column of their own, else the sum over the rows that belong to each.
    figure = Item(replace(name, owner=table), function="sum")
    shown = (Item(table=table), figure)
    order = (Order(figure, descending=True, own=True),)
    return OfflineDraft(shown=shown, things=(table,), order=order, limit=_limit(limit))


def _order_key(name: Name | None = None, items: tuple[Item, ...] = (), table: str = "") -> tuple[Item, ...] | None:
    if len(items) > 1:
        return None
    return items or ((Item(name),) if name else (Item(table=table, function="count"),))


def _compared(
    *,
    name: Name | None = None,
    op: Operator = "=",
    value: Value | None = None,
    other: Name | None = None,
    degree: Degree | None = None,
    verb: Degree | None = None,
) -> Condition:
    if degree:
        op = ">" if degree.high else "<"
    measured = degree or verb
    name = measured.name if measured else name
    right = value or Value(item=Item(other))
    if right.item and right.item.name is None:  # "above the average": of the column that is compared
        right = replace(right, item=replace(right.item, name=name))
    return Condition(Item(name), op, (right,))


def _equal(values: tuple[Value, ...], name: Name | None = None, negated: bool = False) -> Condition:
    return Condition(Item(name) if name else None, "=" if len(values) == 1 else "in", values, negated)


def _value_first(values: tuple[Value, ...], name: Name) -> Condition | None:
    held = {field for value in values for field, _ in value.stored}
    # Only where that column holds it: in "Oslo price" they belong to different columns.
    return _equal(values, name) if not held or held & {one.field for one in name.candidates} else None


def _units_before(count: Value, unit: str, today: date) -> NamedPeriod | None:
    whole = int(count.number or 0)
    if whole != count.number or not 1 <= whole <= 1000:
        return None
    return replace(past(whole, unit, today), phrase=f"last {whole} {unit}s")


def _months_to(month: int, other: NamedPeriod) -> NamedPeriod | None:
    # "between March and May 2024": the year belongs to both.
    if other != months(other.start.year, other.start.month):
        return None
    return until(months(other.start.year - (month > other.start.month), month), other)


def _in_time(period: NamedPeriod, sign: Operator = "=", event: Name | None = None) -> OfflineDraft:
    notes = (f"I took “{period.phrase}” as {period.words}.",) if period.phrase else ()
    return OfflineDraft(where=(Condition(Item(event) if event else None, sign, period=period),), notes=notes)


def _metrics(one: Definition, more: tuple[Item, ...] = ()) -> tuple[Item, ...]:
    return (Item(function="metric", metric=one), *more)


# What is called by the name of a metric is the metric, although "number of orders" could be counted.
def _figures(items: tuple[Item, ...], rest: OfflineDraft | None = None) -> OfflineDraft:
    return OfflineDraft(shown=items, cost=-2 * len(items)) + rest


def _top_metric(
    group: OfflineDraft,
    metric: Definition,
    limit: Value | None = None,
    rest: OfflineDraft | None = None,
    extreme: str = "max",
) -> OfflineDraft:
    [item] = _metrics(metric)
    order = (Order(item, extreme == "max"),)
    return OfflineDraft(shown=(item,), order=order, limit=_limit(limit), extreme=limit is None, cost=-2) + group + rest


def _same_again(one: Condition, op: Operator, value: Value, either: bool = False) -> Any:
    # "larger than 1500 or smaller than 500" compares one column twice.
    if one.item is None or one.operator not in {"<", "<=", ">", ">="}:
        return None
    pair = (one, replace(one, operator=op, values=(value,)))
    return Condition(either=pair) if either else pair


MEANINGS: dict[str, Callable[..., Any]] = {
    # A whole question: what has no owner belongs to the first thing.
    "about_first": _about_first,
    "then_shown": _then_shown,
    # "crime books with a price above 20", "the member Eva Lund", "the 3 cheapest books", "each book"
    "thing": _thing,
    "thing_named": _thing_named,
    "extreme_thing": _extreme_thing,
    "each_thing": lambda thing: thing + OfflineDraft(group=(Item(table=thing.things[0]),)),
    # "by authors from Norway"; without a condition they are groups
    "by_others": lambda other: other if other.where else None,
    # "students who have taken courses": a verb that nothing defines says no more than that they belong together.
    "linked": _linked,
    # "without any loans"; "that have loans" where negated
    "lacking": lambda other, negated=False: OfflineDraft(where=(Condition(lacks=other, negated=negated),)),
    # "with at least 3 books", "with the highest price", "with the most books"
    "having": _having,
    "with_extreme": _with_extreme,
    "first_things": _first_things,
    "how_many_of": lambda thing, other: OfflineDraft(shown=(_count(thing),)) + thing + other,
    "things_where": _things_where,
    "sorted_items": lambda items, order, thing=None: (_columns_of(items, thing) if thing else items) + order,
    "nothing": OfflineDraft,
    "each_item": lambda name: OfflineDraft(shown=(Item(name),), group=(Item(name),)),
    "both_terms": lambda pair: tuple(Item(name) for name in pair),
    "like_called": lambda value: Condition(Item(), "like", (Value(f"%{value.text}%"),)),
    "with_most": lambda extreme, other: (
        other + OfflineDraft(order=(Order(_count(other), extreme == "max"),), limit=1, extreme=True)
    ),
    # "minimum, maximum and average", "the minimum and maximum price", "mean x, y"
    "functions": lambda one, two=(): (one, *two),
    "figures": lambda functions, name: tuple(Item(name, function=function) for function in functions),
    "shared_function": lambda function, one, two: (Item(one, function=function), Item(two, function=function)),
    # "number of different genres", a column, "the number of books"
    "different": lambda name: (Item(name, function="count", distinct=True),),
    "plain_term": lambda name: (Item(name),),
    "shown": lambda items: OfflineDraft(shown=items),
    "counted_item": lambda thing: replace(thing, shown=(_count(thing), *thing.shown)),
    # "the titles of all books", "the different cities", "all information about the members", "members older than 40"
    "columns_of": _columns_of,
    "columns_and": _columns_and,
    "once": _once,
    "everything": lambda thing: thing + OfflineDraft(everything=True),
    "things": lambda thing: thing + OfflineDraft(shown=(Item(table=thing.things[0]),)),
    # "How many books are there?", "How many students does each advisor have?", "How many different genres are there?"
    "how_many": _how_many,
    "how_many_each": lambda thing, group: OfflineDraft(shown=(_count(thing),)) + thing + group,
    "how_many_different": lambda name, rest=None: (
        OfflineDraft(shown=(Item(name, function="count", distinct=True),)) + rest
    ),
    # "the most common genre", "loans by year", "count where price > 5"
    "commonest": _commonest,
    "count_by": lambda thing, group, rest=None: (
        OfflineDraft(shown=(_count(thing),)) + thing + group.of(thing.things[0]) + rest
    ),
    "counts": lambda group=None, rest=None: OfflineDraft(shown=(Item(function="count"),)) + group + rest,
    # "number of prices" counts those that are there; it costs, as rows may be meant.
    "count_there": lambda name, rest=None: OfflineDraft(shown=(Item(name, function="count"),), cost=1) + rest,
    "count_missing": lambda name: OfflineDraft(shown=(Item(function="count"),), where=(Condition(Item(name), "null"),)),
    # "revenue and profit by region", "which category has the highest revenue", "top 3 products by revenue"
    "metrics": _metrics,
    "metric_figures": _figures,
    "top_metric": _top_metric,
    # "rows where price > 1", "first 5 rows", "2 books", "order by price limit 2", "top 2 genres by number of books"
    "rows_where": lambda whole: OfflineDraft(everything=True) + whole,
    "first_rows_of": lambda limit=None, table="": OfflineDraft(
        everything=True, limit=_limit(limit), things=(table,) if table else ()
    ),
    "some_things": lambda limit, table: OfflineDraft(shown=(Item(table=table),), things=(table,), limit=_limit(limit)),
    "rows_in_order": lambda order=None, rest=None, orders=(), limit=None: (
        OfflineDraft(everything=True, order=orders, limit=_limit(limit) if limit else 0) + order + rest
    ),
    "top_groups": _top_groups,
    "top_things": _top_things,
    # "sorted by price"; "in descending order" is of what is shown
    "ordered": lambda order=None, orders=(), down=False: order or OfflineDraft(order=orders or (Order(Item(), down),)),
    "orders": lambda key, down=False, more=(): (*(Order(item, down) for item in key), *more),
    "order_key": _order_key,
    "limited": lambda limit: OfflineDraft(limit=_limit(limit)),
    # A part of dates, "by month", costs: a column that is called so goes before it.
    "group_of": lambda name=None, more=None, part="", table="": (
        OfflineDraft(group=(Item(name, table, part=part),), cost=int(bool(part))) + more
    ),
    # "of different genres": a figure for each, or else each once
    "grouped_once": lambda group: group + OfflineDraft(distinct=True),
    # "by genre"; "by authors" may as well say whose, so it costs
    "grouped_by": lambda group: replace(group, cost=group.cost + any(item.table for item in group.group)),
    # "Crime or Poetry", "above the average"
    "values": lambda one=None, more=(): ((one,) if one else ()) + more,
    "average": lambda name=None, table="": Value(item=Item(name, table, "avg")),
    # "older than 40", "pages between 100 and 300", "genre is Crime or Poetry", "Crime genre", "called 'Ada Berg'"
    "compared": _compared,
    "between": lambda name, low, high, negated=False: Condition(Item(name), "between", (low, high), negated),
    "equal": _equal,
    "value_first": _value_first,
    "named": lambda value: Condition(Item(), "=", (value,)) if value.number is None else None,
    # "country is unknown", "returned is true", "y is negative", "name contains 'night'"
    "is_missing": lambda name, negated=False: Condition(Item(name), "null", negated=negated),
    "is_true": lambda name, negated=False: Condition(Item(name), "true", negated=negated),
    "against_zero": lambda name, op: Condition(Item(name), op, (Value("0", 0.0),)),
    "like": lambda name, value, pattern: Condition(
        Item(name), "like", (Value(value.text if "%" in value.text else pattern.format(value.text)),)
    ),
    # "were shipped in March 2024", beside other conditions
    "at_time": lambda when: when.where[0] if len(when.where) == 1 and not when.notes else None,
    "every": lambda one, more=(): (one, *more),
    "same_again": _same_again,
    "either": lambda one, two: Condition(either=(one, two)),
    "filtered": lambda whole: OfflineDraft(where=whole if isinstance(whole, tuple) else (whole,)),
    # "2023", "March 2024", "Q1 2024", "March 5, 2024"
    "years": years,
    "months": months,
    "quarter": lambda year, number: quarter(year, number) if 1 <= number <= 4 else None,
    "one_day": lambda value: day(value.text),
    # "this year", "last month", "the last 30 days": a note says how they were taken
    "this_unit": lambda unit, today: replace(current(unit, today), phrase="today" if unit == "day" else f"this {unit}"),
    "unit_before": lambda unit, today: replace(
        before(unit, today), phrase="yesterday" if unit == "day" else f"last {unit}"
    ),
    "units_before": _units_before,
    "from_to": lambda one, other: until(one, other) if one.start < other.end else None,
    "months_to": _months_to,
    "in_time": _in_time,
    # "in December" is of a column for the month, and costs: without one it has no year.
    "in_month": lambda month: OfflineDraft(
        where=(Condition(Item(part="month"), "=", (Value(str(month), float(month)),)),), cost=2
    ),
}
