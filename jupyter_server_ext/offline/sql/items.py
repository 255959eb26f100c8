"""Items: columns, counts and figures that a question shows or ranks by."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .draft import Draft, Item
from .vocabulary import GRAMMAR

if TYPE_CHECKING:
    from .draft import Function, Name

rule = GRAMMAR.rule


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
