"""Ranks, orders and groups: which come first, how many of them, and for each of what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .draft import Draft, Item, Order, Value
from .vocabulary import GRAMMAR

if TYPE_CHECKING:
    from .draft import Name

rule = GRAMMAR.rule


# --- ranks ------------------------------------------------------------------------------------------------------------


@rule("extreme_word", "highest|largest|greatest|maximum|max|biggest|longest|oldest|best")
def _highest() -> str:
    return "max"


@rule("extreme_word", "lowest|smallest|minimum|min|shortest|youngest|earliest")
def _lowest() -> str:
    return "min"


@rule("most_word", "most")
def _most() -> str:
    return "max"


@rule("most_word", "fewest|least")
def _fewest() -> str:
    return "min"


HAS = "(that|which|who) with|has|have|having|had"


@rule(
    "modifier",
    f"{HAS} {{extreme:extreme_word}} (value of) {{name:column}}",
    "whose {name:column} is|are {extreme:extreme_word}",
)
@rule(
    "modifier",
    "(that|which|who) is|are {extreme:extreme_word} in {name:column}",
    f"{HAS} {{name:column}} that is {{extreme:extreme_word}}",
)
def with_extreme(extreme: str, name: Name) -> Draft:
    """“with the highest price”."""
    return Draft(order=(Order(Item(name), extreme == "max"),), limit=1, extreme=True)


@rule("modifier", f"{HAS} {{extreme:most_word}} {{name:column}}")
def with_most_of(extreme: str, name: Name) -> Draft:
    """“with the most points”."""
    return Draft(order=(Order(Item(name), extreme == "max", most=True),), limit=1, extreme=True)


@rule("modifier", f"{HAS} {{limit:number}} {{extreme:extreme_word}} {{name:column}}")
def with_extremes(limit: Value, extreme: str, name: Name) -> Draft:
    """“with the 3 highest prices”."""
    return Draft(order=(Order(Item(name), extreme == "max"),), limit=int(limit.number or 1))


@rule(
    "modifier",
    f"{HAS} {{extreme:extreme_word}} (total|overall) number of {{other:thing}}",
    f"{HAS} {{extreme:most_word}} {{other:thing}}",
)
def with_most(extreme: str, other: Draft) -> Draft:
    """“with the most books”."""
    count = Item(table=other.things[0], function="count")
    return other + Draft(order=(Order(count, extreme == "max"),), limit=1, extreme=True)


@rule("modifier", f"{HAS} {{extreme:extreme_word}} {{figure:figures}}")
def with_extreme_figure(extreme: str, figure: tuple[Item, ...]) -> Draft | None:
    """“with the highest average price”."""
    return Draft(order=(Order(figure[0], extreme == "max"),), limit=1, extreme=True) if len(figure) == 1 else None


@rule(
    "answer",
    "{extreme:commonness} {name:column} ({rest:of_all})",
    "{name:column} (that) is|are {extreme:commonness} ({rest:of_all})",
)
@rule(
    "answer",
    "{limit:number} {extreme:commonness} {name:column} ({rest:of_all})",
    "top {limit:number} {extreme:commonness} {name:column} ({rest:of_all})",
)
def commonest(extreme: str, name: Name, rest: Draft | None = None, limit: Value | None = None) -> Draft:
    """“the most common genre”."""
    first = Draft(
        shown=(Item(name),), group=(Item(name),), order=(Order(Item(function="count"), extreme == "max"),),
        limit=int((limit and limit.number) or 1), extreme=limit is None,
    )  # fmt: skip
    return first + rest


@rule("commonness", "most common|frequent|frequently|commonly (used)", "most frequently|commonly occurring|used")
def _common() -> str:
    return "max"


@rule("commonness", "least common|frequent|frequently|commonly (used)")
def _rare() -> str:
    return "min"


@rule("of_all", "of|among|in|for|across|by {thing:counted}", "of|among|for|across all {thing:counted}", "{rest:after}")
def of_all(thing: Draft | None = None, rest: Draft | None = None) -> Draft:
    """“of all books”."""
    return thing or rest or Draft()


# --- order ------------------------------------------------------------------------------------------------------------

_DOWN = "descending|decreasing|desc|descendingly|reverse"
_UP = "ascending|increasing|asc|ascendingly"


@rule(
    "direction",
    f"(in) {_DOWN} (order)",
    "from high|highest|largest|most to low|lowest|smallest|least",
    "highest|largest first",
    "high to low",
    "in reverse alphabetical order",
)
@rule(
    "direction",
    "(in) reverse|descending alphabetical|alphabetic|lexicographical order",
    "in descending alphabetical order",
    "starting from highest|largest",
)
def _down() -> bool:
    return True


@rule(
    "direction",
    f"(in) {_UP} (order)",
    "from low|lowest|smallest|least to high|highest|largest|most",
    "lowest|smallest first",
    "low to high",
)
@rule(
    "direction",
    "(in) ascending|alphabetical|alphabetic|lexicographical (alphabetical|lexicographical) order",
    "alphabetically",
    "in chronological order",
)
@rule("direction", "in ascending|increasing lexicographical|alphabetical order")
def _up() -> bool:
    return False


@rule("order_by", "[by | according to | based on] {orders:orders}", "{orders:directed}", "by {down:direction}")
def order_by(orders: tuple[Order, ...] = (), down: bool = False) -> Draft:
    """“by price descending and name”."""
    return Draft(order=orders or (Order(Item(), down),))


@rule(
    "orders",
    "{key:order_keys}",
    "{key:order_keys} {down:direction}",
    "{key:order_keys} {down:direction} and|, {more:orders}",
)
@rule("orders", "{key:order_keys} [and | , | , and | and then | then by] {more:orders}")
def orders(key: tuple[Item, ...], down: bool = False, more: tuple[Order, ...] = ()) -> tuple[Order, ...]:
    """Terms to order by."""
    return (*(Order(item, down) for item in key), *more)


@rule(
    "directed",
    "{down:direction} (of|by) {key:order_keys}",
    "in {down:direction_word} order of {key:order_keys}",
    "by {down:direction_word} (order of) {key:order_keys}",
)
def directed(key: tuple[Item, ...], down: bool) -> tuple[Order, ...]:
    """“in descending order of price”."""
    return tuple(Order(item, down) for item in key)


@rule("order_by", "{down:direction}")
def order_first(down: bool) -> Draft:
    """“in descending order”: of what is shown."""
    return Draft(order=(Order(Item(), down),))


@rule("order_keys", "(their|its) (value of) {name:column}")
def order_column(name: Name) -> tuple[Item, ...]:
    """A column to order by."""
    return (Item(name),)


@rule("order_keys", "{item:figures}")
def order_figure(item: tuple[Item, ...]) -> tuple[Item, ...] | None:
    """A figure to order by."""
    return item if len(item) == 1 else None


@rule("order_keys", "(the|their) number|count of {table:table}", "count")
def order_count(table: str = "") -> tuple[Item, ...]:
    """“by the number of books”."""
    return (Item(table=table, function="count"),)


@rule("ordered", "sorted|ordered|ranked|arranged|sort|order|rank|listed|list (results|them|it) {order:order_by}")
@rule("ordered", "{orders:directed}", "{down:direction}", "and {order:ordered}", "in order of {orders:orders}")
def ordered(order: Draft | None = None, orders: tuple[Order, ...] = (), down: bool = False) -> Draft:
    """“sorted by price”."""
    return order or (order_by(orders) if orders else order_first(down))


@rule("direction_word", _DOWN)
def _down_word() -> bool:
    return True


@rule("direction_word", f"{_UP}|alphabetical|alphabetic|lexicographical")
def _up_word() -> bool:
    return False


@rule("modifier", "{order:ordered}")
def in_order(order: Draft) -> Draft:
    """An order as a modifier."""
    return order


@rule("modifier", "limit {limit:number}")
def limited(limit: Value) -> Draft:
    """“limit 5”."""
    return Draft(limit=int(limit.number or 1))


# --- groups -----------------------------------------------------------------------------------------------------------


@rule("group_of", "{name:column}", "different|distinct {name:column}", "{name:column} [, | and] {more:group_of}")
def group_of(name: Name, more: Draft | None = None) -> Draft:
    """Columns that make groups."""
    return Draft(group=(Item(name),)) + more


@rule("group_of", "{part:part} ([of|in] {name:column})")
def group_part(part: str, name: Name | None = None) -> Draft:
    """“by month”, where only a date says it."""
    return Draft(group=(Item(name, part=part),), cost=1)


@rule("group_of", "{table:table}")
def group_table(table: str) -> Draft:
    """“for each author”."""
    return Draft(group=(Item(table=table),))


@rule("part", "year|month|day|hour|week|quarter|weekday")
def _part() -> str:
    return ""


@rule("each_of", "each|every (of|different|distinct|single) {group:group_of}")
def each_of(group: Draft) -> Draft:
    """“each genre”."""
    return group


@rule(
    "modifier",
    "(for|of|in|by|per|at|from|on|to|with|across|within) {group:each_of}",
    "per {group:group_of}",
    "grouped by {group:group_of}",
    "group by {group:group_of}",
)
@rule("modifier", "with respect to each {group:group_of}")
def grouped(group: Draft) -> Draft:
    """“for each genre”."""
    return group


@rule("modifier", "for|across|of (all) different|distinct {group:group_of}")
def grouped_once(group: Draft) -> Draft:
    """“of different genres”: a figure for each, or else each once."""
    return group + Draft(distinct=True)


@rule("modifier", "by {group:group_of}")
def grouped_by(group: Draft) -> Draft:
    """“by genre”; “by authors” may as well say whose."""
    return replace(group, cost=group.cost + any(item.table for item in group.group))
