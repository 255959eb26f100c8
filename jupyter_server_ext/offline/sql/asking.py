"""Questions: what is shown, of which things, counted or ranked or grouped how."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .draft import Condition, Draft, Item, Order, Value, of_table
from .vocabulary import GRAMMAR

if TYPE_CHECKING:
    from .draft import Function, Name, Operator
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


# --- items ------------------------------------------------------------------------------------------------------------


@rule("function", "average|mean|avg ([value|values of | of | number of])")
def _avg() -> Function:
    return "avg"


@rule("function", "sum|total ([of | value|amount|number of])", "total sum (of)", "combined|overall")
def _sum() -> Function:
    return "sum"


@rule("function", "maximum|max|highest|largest|greatest|biggest ([value|values of | of | number of])")
def _max() -> Function:
    return "max"


@rule("function", "minimum|min|lowest|smallest ([value|values of | of | number of])")
def _min() -> Function:
    return "min"


@rule("function", "median (of)")
def _median() -> Function:
    return "median"


@rule("function", "standard deviation (of)", "std|stddev (of)")
def _stddev() -> Function:
    return "stddev"


@rule("function", "variance (of)")
def _variance() -> Function:
    return "variance"


@rule("functions", "{one:function}", "{one:function} (,) and {two:functions}", "{one:function} , {two:functions}")
def functions(one: Function, two: tuple[Function, ...] = ()) -> tuple[Function, ...]:
    """“minimum, maximum and average”."""
    return (one, *two)


@rule("figures", "(their|its) {functions:functions} {name:column}", "{functions:functions} (in) {name:column}")
@rule("base", "{functions:functions} {name:column}")
def figures(functions: tuple[Function, ...], name: Name) -> tuple[Item, ...]:
    """“the minimum and maximum price”."""
    return tuple(Item(name, function=function) for function in functions)


@rule("figures", "{name:column} total|sum")
def total_behind(name: Name) -> tuple[Item, ...]:
    """“price total”."""
    return (Item(name, function="sum"),)


@rule("figures", "{function:function} {one:column} [, | and] {two:column}")
def shared_function(function: Function, one: Name, two: Name) -> tuple[Item, ...]:
    """“mean x, y”: of both."""
    return (Item(one, function=function), Item(two, function=function))


@rule(
    "figures",
    "number of|[how many] different|distinct|unique {name:column}",
    "(the) different|distinct|unique number of {name:column}",
)
@rule(
    "figures", "how many different values does {name:column} have", "count of different|distinct|unique {name:column}"
)
def different(name: Name) -> tuple[Item, ...]:
    """“number of different genres”."""
    return (Item(name, function="count", distinct=True),)


@rule("figures", "{a:base} minus|- {b:base}")
def difference(a: tuple[Item, ...], b: tuple[Item, ...]) -> tuple[Item, ...] | None:
    """“max price - min price”."""
    return (Item(sides=(a[0], b[0]), sign="-"),) if len(a) == len(b) == 1 else None


@rule(
    "figures",
    "maximum|max minus minimum|min (of) {name:column}",
    "difference between maximum|max and minimum|min (of) {name:column}",
)
@rule("figures", "maximum|max - minimum|min (of) {name:column}", "range of {name:column}")
def spread(name: Name) -> tuple[Item, ...]:
    """“max minus min of price”."""
    return (Item(sides=(Item(name, function="max"), Item(name, function="min")), sign="-"),)


@rule("figures", "{a:base} / {b:base}", "{a:base} divided by {b:base}")
def ratio(a: tuple[Item, ...], b: tuple[Item, ...]) -> tuple[Item, ...] | None:
    """“sum of x / sum of y”."""
    return (Item(sides=(a[0], b[0]), sign="/"),) if len(a) == len(b) == 1 else None


@rule("figures", "correlation|corr (of|between) {one:column} and|with {two:column}")
def correlation(one: Name, two: Name) -> tuple[Item, ...]:
    """“correlation of x and y”."""
    return (Item(function="corr", sides=(Item(one), Item(two))),)


@rule("term", "(all|both|their|its|his|her|different_) {name:column} (value|values)")
def plain_term(name: Name) -> tuple[Item, ...]:
    """A column."""
    return (Item(name),)


@rule("term", "{one:column} {sign:sign} {two:column}")
def computed_term(one: Name, sign: str, two: Name) -> tuple[Item, ...]:
    """“x * y”."""
    return (Item(sides=(Item(one), Item(two)), sign=sign),)


@rule("sign", "*", "times")
def _times() -> str:
    return "*"


@rule("sign", "+", "plus")
def _plus() -> str:
    return "+"


@rule("sign", "-", "minus")
def _minus() -> str:
    return "-"


@rule("sign", "/", "divided by")
def _over() -> str:
    return "/"


@rule("item", "{items:term}", "{items:figures}")
def shown(items: tuple[Item, ...]) -> Draft:
    """Something that is shown."""
    return Draft(shown=items)


@rule("item", "number|count of {thing:uneach}", "total number of {thing:uneach}", "how many {thing:uneach} (there are)")
def counted_item(thing: Draft) -> Draft:
    """“the number of books”."""
    return replace(thing, shown=(Item(table=thing.things[0], function="count"), *thing.shown))


_AND = (
    "[and | , | , and | as well as | along with | together with | , as well as | , along with | vs | also | and also] "
    "(their|also)"
)


@rule("items", "{one:item}", "{one:item} " + _AND + " {more:items}")
def items(one: Draft, more: Draft | None = None) -> Draft:
    """A list of what is shown."""
    return one + more


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


_HAS = "(that|which|who) with|has|have|having|had"


@rule(
    "modifier",
    f"{_HAS} {{extreme:extreme_word}} (value of) {{name:column}}",
    "whose {name:column} is|are {extreme:extreme_word}",
)
@rule(
    "modifier",
    "(that|which|who) is|are {extreme:extreme_word} in {name:column}",
    f"{_HAS} {{name:column}} that is {{extreme:extreme_word}}",
)
def with_extreme(extreme: str, name: Name) -> Draft:
    """“with the highest price”."""
    return Draft(order=(Order(Item(name), extreme == "max"),), limit=1, extreme=True)


@rule("modifier", f"{_HAS} {{extreme:most_word}} {{name:column}}")
def with_most_of(extreme: str, name: Name) -> Draft:
    """“with the most points”."""
    return Draft(order=(Order(Item(name), extreme == "max", most=True),), limit=1, extreme=True)


@rule("modifier", f"{_HAS} {{limit:number}} {{extreme:extreme_word}} {{name:column}}")
def with_extremes(limit: Value, extreme: str, name: Name) -> Draft:
    """“with the 3 highest prices”."""
    return Draft(order=(Order(Item(name), extreme == "max"),), limit=int(limit.number or 1))


@rule(
    "modifier",
    f"{_HAS} {{extreme:extreme_word}} (total|overall) number of {{other:thing}}",
    f"{_HAS} {{extreme:most_word}} {{other:thing}}",
)
def with_most(extreme: str, other: Draft) -> Draft:
    """“with the most books”."""
    count = Item(table=other.things[0], function="count")
    return other + Draft(order=(Order(count, extreme == "max"),), limit=1, extreme=True)


@rule("modifier", f"{_HAS} {{extreme:extreme_word}} {{figure:figures}}")
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
    f"{_HAS} {{extreme:extreme_word}} number of {{other:thing}}",
    f"{_HAS} {{extreme:most_word}} {{other:thing}}",
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
