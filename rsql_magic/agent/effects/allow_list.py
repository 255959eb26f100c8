"""The lists of what is known to have no effect: functions, classes and their methods, a file for each package."""

# Each file in ``lists/`` is JSON:
#
#     "distribution"  as `importlib.metadata` names it; "" for Python itself
#     "versions"      [at least, below]: outside of it every entry of the file asks
#     "modules"       dotted names that may be imported
#     "functions"     {dotted name: signature}
#     "constants"     {dotted name: type}
#     "aliases"       {another dotted name of it: the name under which it is listed}
#     "classes"       {dotted name: {
#         "init"        the signature of making one by a call; without it a call asks
#         "methods"     {name: signature}
#         "attributes"  {name: type}
#         "asks"        names that objects have besides; whatever is in none of the three they do not have
#         "sets"        attributes that may be assigned
#         "item"        the type of ``x[key]``; "part": that for a slice or a list as the key
#         "setitem"     true where ``x[key] = value`` only changes x; or the keys for which it does
#         "iter"        the type of what ``for`` gives;  "operators": the type of ``x + y``, ``x < y``, ``-x``
#         "with"        the type that ``with`` binds;    "call": the signature of ``x(…)``
#         "column"      the type of attributes with any other name, such as a frame's columns
#         "only_with"   true where it may be made behind ``with`` alone, which undoes what it does
#         "hides"       true where showing it has an effect of its own }}
#
# A signature reads like a header of Python: ``(by, axis=0, *, key: callable = 0) -> pandas.DataFrame``. ``= 0`` marks
# what may be left out. A parameter that is not named cannot be given. The word behind the colon says what it takes:
#
#     nothing given   data: anything but functions, modules and objects that are not known
#     callable(T, …)  a listed function or one whose body is proven, called with arguments of these types; or data that
#                     is no text; ``aggregation`` the same, or a text of AGGREGATIONS, or a list or dict of those
#     function(T, …)  the same, and nothing else
#     callable_or_text(T, …)  the same, or any data; ``named_aggregation`` a pair of a column and an aggregation
#     callable_or_plain(T, …)  the same, and a text only where it is written out in the cell
#     absent          it must not be given (it keeps the place of the parameters behind it)
#     only(1, None)   one of these constants, written out in the cell
#     path            a plain local path to a data file, written out in the cell, or a text held in memory
#     settings("n_jobs", …)  data whose dicts have known keys, none of these words, nor one as a text
#     written("image", …)    the same, and every text is written out in the cell
#     frame_code, formula, vega, sql("duckdb")   code in a language of its own, written out in the cell and parsed
#     plain           a text that is written out in the cell, or something that is no text
#     of(T, …)        an object of one of these classes
#
# A type is a dotted name of a class, ``A | B``, ``list[A]`` and the like, ``(A, B)`` for a tuple of just these, or
#     scalar  a plain value: text, number, date, nothing, as cells of tables hold them; it has the methods of those
#     data    an object that came from listed code; it can be handed on and shown, not asked for attributes
#     same    the class that the method was called on;   given(name)  the type of an argument
#     result(name)  what a callable that was given returns;   items(name)  what `for` gives of an argument
#     values(name)  what is in a dict

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

LISTS = Path(__file__).parent / "lists"


@dataclass(frozen=True, slots=True)
class ListedParameter:
    """One parameter of a listed signature; ``kind`` is what stands behind its colon."""

    name: str
    kind: ast.expr | None
    is_optional: bool


@dataclass(frozen=True, slots=True)
class ListedSignature:
    """What a listed function takes and returns.

    Attributes:
        positional: Those that can be given by their place.
        keywords: Those that can be given by their name.
        rest: What ``*`` takes, if anything.
        others: What ``**`` takes, if anything.
        returns: The type of the result; None for data.
    """

    positional: tuple[ListedParameter, ...]
    keywords: Mapping[str, ListedParameter]
    rest: ListedParameter | None
    others: ListedParameter | None
    returns: ast.expr | None


@cache
def signature(text: str) -> ListedSignature:
    """A signature as it is read from its text.

    Example:
        >>> found = signature("(by, axis=0, *, key: callable = 0) -> pandas.DataFrame")
        >>> [each.name for each in found.positional], found.keywords["key"].is_optional
        (['by', 'axis'], True)
    """
    function = ast.parse(f"def _{text}: ...").body[0]
    if not isinstance(function, ast.FunctionDef):
        raise TypeError(text)
    given = function.args
    placed = [*given.posonlyargs, *given.args]
    first = len(placed) - len(given.defaults)
    positional = tuple(ListedParameter(each.arg, each.annotation, at >= first) for at, each in enumerate(placed))
    named = [
        ListedParameter(each.arg, each.annotation, default is not None)
        for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    keywords = {each.name: each for each in [*positional[len(given.posonlyargs) :], *named]}
    rest = ListedParameter(given.vararg.arg, given.vararg.annotation, True) if given.vararg else None
    others = ListedParameter(given.kwarg.arg, given.kwarg.annotation, True) if given.kwarg else None
    return ListedSignature(positional, keywords, rest, others, function.returns)


@cache
def type_expression(text: str) -> ast.expr:
    """A type as it is read from its text."""
    return ast.parse(text, mode="eval").body


class AllowList:
    """The list of one package.

    Example:
        >>> allow_list("builtins").functions["builtins.abs"]
        '(x) -> scalar | given(x)'
    """

    def __init__(self, name: str, listed: Mapping[str, Any]) -> None:
        self.name = name
        self.distribution: str = listed["distribution"]
        self.versions: tuple[str, str] = tuple(listed["versions"])
        self.modules = frozenset(listed.get("modules", ()))
        self.functions: Mapping[str, str] = listed.get("functions", {})
        self.constants: Mapping[str, str] = listed.get("constants", {})
        self.aliases: Mapping[str, str] = listed.get("aliases", {})
        self.classes: Mapping[str, Mapping[str, Any]] = listed.get("classes", {})

    def is_of_a_tested_version(self) -> bool:
        """Whether what is installed lies in the range that the entries were tried with."""
        found = _installed(self.distribution) if self.distribution else tuple(sys.version_info[:2])
        return _numbers(self.versions[0]) <= found < _numbers(self.versions[1])


@cache
def _installed(distribution: str) -> tuple[int, ...]:
    try:
        return _numbers(metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return ()  # below all ranges


def _numbers(version: str) -> tuple[int, ...]:
    parts = []
    for part in version.split(".")[:3]:
        digits = "".join(letter for letter in part if letter.isdigit())
        parts.append(int(digits or 0))
    return tuple(parts)


@cache
def allow_list(name: str) -> AllowList:
    """The list of a package, read once.

    Args:
        name: The name of its file, which is that of the import: ``pandas``.
    """
    return AllowList(name, msgspec.json.decode((LISTS / f"{name}.json").read_bytes()))


@cache
def names_of_lists() -> frozenset[str]:
    """The packages that there is a list of."""
    return frozenset(path.stem for path in LISTS.glob("*.json"))
