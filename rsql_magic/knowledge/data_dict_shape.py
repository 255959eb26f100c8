"""The structure of ``data-dict.yaml``: which entries there are, and what each may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from rsql_magic.knowledge.described import Constraint, Misfit
from rsql_magic.knowledge.marked_yaml import line_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Rules of structure. A word is a type; a list has items of one rule; a mapping has these keys, those with ``!`` always,
# or, under ``*``, any keys.
_PROSE = {"description": "text", "details": "text", "todo": "text"}
_ASSERTION = {"assert!": "text", "description": "text"}
_FIELD: dict[str, Any] = {
    "name!": "name",
    **_PROSE,
    "units": "text",
    "time_zone": "text",
    "type": "text",
    "values": "values",
    "range": "range",
    "examples": ["any"],
}
_FIELD["fields"] = [_FIELD]
_COLUMN: dict[str, Any] = {**_FIELD, "label": "text", "display": ("restricted",), "constraints": ["constraint"]}
_DEFINITION = {"name!": "name", "expr!": "text", "label": "text", **_PROSE}
_TABLE: dict[str, Any] = {
    "name!": "name",
    "label": "text",
    **_PROSE,
    "origin": "text",
    "source": {"parquet": "text"},
    "columns!": [_COLUMN],
    "constraints": [_ASSERTION],
    "definitions": [_DEFINITION],
}
_RELATIONSHIP: dict[str, Any] = {
    "join!": "text",
    "cardinality!": ("one-to-one", "one-to-many", "many-to-one"),
    "description": "text",
    "todo": "text",
    "conflicts": ["text"],
    "aliases": {"*": "text"},
}
ROOT: dict[str, Any] = {
    "$version": "text",
    "$learn_more": "text",
    "name": "text",
    "label": "text",
    **_PROSE,
    "origin": "text",
    "tables": [_TABLE],
    "relationships": [_RELATIONSHIP],
    "glossary": {"*": "text"},
    "version": {"number": "number or text", "date": "text", "hash": "text"},
}


def misshapen(value: Any, rule: Any, what: str, line: int) -> Iterator[Misfit]:
    """Where a document does not have the shape of a rule, by the codes S60 to S64."""
    if isinstance(rule, dict):
        yield from _misshapen_mapping(value, rule, what, line)
    elif isinstance(rule, list):
        yield from _misshapen_list(value, rule[0], what, line)
    elif isinstance(rule, tuple):
        if value not in rule:
            yield Misfit("S62", f"{what} should be {' or '.join(rule)}", line)
    elif isinstance(value, dict) and rule in {"constraint", "values"}:
        yield from _misshapen_mapping(value, _ASSERTION if rule == "constraint" else {"*": "text"}, what, line)
    elif not _SIMPLE[rule](value):
        yield Misfit("S62" if rule == "constraint" else "S61", f"{what} should be {_CALLED[rule]}", line)


def _misshapen_list(value: Any, rule: Any, what: str, line: int) -> Iterator[Misfit]:
    if not isinstance(value, list):
        yield Misfit("S61", f"{what} should be a list", line)
        return
    for number, item in enumerate(value):
        yield from misshapen(item, rule, f"item {number + 1} of {what}", line_of(value, number) or line)


def _misshapen_mapping(value: Any, rule: dict[str, Any], what: str, line: int) -> Iterator[Misfit]:
    if not isinstance(value, dict):
        yield Misfit("S61", f"{what} should be a mapping", line)
        return
    known = {key.rstrip("!"): inner for key, inner in rule.items()}
    for key, inner in value.items():
        if "*" not in known and key not in known:
            yield Misfit("S64", f"{what} has the unknown entry {key!r}", line_of(value, key))
        else:
            yield from misshapen(inner, known.get("*", known.get(key)), key, line_of(value, key))
    for key in rule:
        if key.endswith("!") and key[:-1] not in value:
            yield Misfit("S60", f"{what} has no {key[:-1]}", line_of(value) or line)
    if known.keys() == {"parquet"} and not value:
        yield Misfit("S63", f"{what} is empty", line)


def is_number(value: Any) -> bool:
    """Whether a value is a number, which a truth value is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_SIMPLE: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "name": lambda value: value is None or isinstance(value, str),
    "any": lambda _: True,
    "constraint": lambda value: isinstance(value, str) and value in get_args(Constraint),
    "number or text": lambda value: is_number(value) or isinstance(value, str),
    "values": lambda value: (
        isinstance(value, list) and all(isinstance(each, (str, bool)) or is_number(each) for each in value)
    ),
    "range": lambda value: (
        isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) or is_number(each) for each in value)
    ),
}
_CALLED = {
    "constraint": f"{', '.join(get_args(Constraint))} or an assert",
    "text": "text",
    "name": "text",
    "number or text": "text",
    "values": "a list of values, or a mapping of values to what they mean",
    "range": "two values, the least and the largest",
}
