"""The columns that a question about each row gives, their types, and how a model's values become them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, NoReturn

from rsql_magic.errors import BadInput

# JSON, in a fence or not, with words before it at most: what stands behind it might take it back.
_REPLY = re.compile(r"[^{\[`<]*(?:```(?:json)?[ \t]*\n(.*?)```|([{\[].*))\s*", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
# What stands for a text in the form that a model is shown, and the word for none, are no answers.
_NO_TEXT = frozenset({"…", "...", "null"})
_KINDS = {str: "str", int: "int", float: "float", bool: "bool", date: "date"}
_SCHEMAS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "date": "string"}
_SAID = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "date": "a date such as 2024-05-31",
}
_LONGEST = 2_000  # characters of a text that a row may get
_MOST = 20  # columns


class WrongValue(ValueError):
    """A value that is not of its column's type; its argument says why."""


class NotBelieved(ValueError):
    """A reply of which nothing counts, as it may speak of other rows; its argument says why."""


@dataclass(frozen=True)
class AskedColumn:
    """A column that is asked for: its name, and a kind or the only values it may have.

    Example:
        >>> AskedColumn("label", choices=("good", "bad")).read("Good ")
        'good'
        >>> AskedColumn("score", "float").read("0.5")
        0.5
    """

    name: str
    kind: str = "str"
    choices: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """The type in words, for a prompt."""
        return " or ".join(json.dumps(one, ensure_ascii=False) for one in self.choices) or _SAID[self.kind]

    def schema(self) -> dict[str, Any]:
        """The type as JSON Schema; every value may be null."""
        more: dict[str, Any] = {"enum": [*self.choices, None]} if self.choices else {}
        return {"type": [_SCHEMAS[self.kind], "null"], **more}

    def read(self, value: Any) -> Any:
        """A model's value as one of this type; None stays None.

        Raises:
            WrongValue: It is of another type, and nothing that can mean one value of this one only.
        """
        if value is None:
            return None
        if self.choices:
            return self._chosen(value)
        if self.kind == "str":
            if not isinstance(value, str | int | float | Decimal) or isinstance(value, bool):
                raise WrongValue(f"{_shown(value)} is no text")
            text = str(value)
            if text.strip().casefold() in _NO_TEXT:
                raise WrongValue(f"{_shown(value)} is no text of its own")
            if len(text) > _LONGEST:
                raise WrongValue(f"a text of {len(text):,} characters; {_LONGEST:,} are the most")
            return text
        read = {"int": _whole, "float": _number, "bool": _truth, "date": _date}[self.kind](value)
        if read is None:
            raise WrongValue(f"{_shown(value)} is not {_SAID[self.kind]}")
        return read

    def _chosen(self, value: Any) -> str:
        wanted = str(value).strip().casefold()
        like = [one for one in self.choices if one == value] or [
            one for one in self.choices if one.strip().casefold() == wanted
        ]
        if len(like) != 1:
            raise WrongValue(f"{_shown(value)} is not {self.said}")
        return like[0]


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == int(number) and abs(number) < 2**53 else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return None  # Python reads 1_000 and digits of other scripts, too
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    is_exact = not isinstance(value, int) or number == value
    return number if math.isfinite(number) and is_exact else None


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).strip().casefold())


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(value.strip()) if isinstance(value, str) else None
    except ValueError:
        return None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=float)
    return text if len(text) <= 40 else f"{text[:39]}…"


def columns_of(returns: Mapping[str, Any]) -> tuple[AskedColumn, ...]:
    """The columns that are asked for.

    Args:
        returns: By name a type (``str``, ``int``, ``float``, ``bool``, ``datetime.date``, or its name) or a list of the
            only texts there may be.

    Raises:
        BadInput: A type is none of these, or no value fits it.

    Example:
        >>> [each.said for each in columns_of({"label": ["a", "b"], "score": float})]
        ['"a" or "b"', 'a number']
    """
    if not 1 <= len(returns) <= _MOST:
        hint = 'returns={"label": ["a", "b"], "score": float} asks for two.'
        raise BadInput(f"{len(returns)} columns are asked for; 1 to {_MOST} are possible.", hint=hint)
    return tuple(_column(name, wanted) for name, wanted in returns.items())


def _column(name: str, wanted: Any) -> AskedColumn:
    if not isinstance(name, str) or not name.strip() or name == "row":
        hint = "Give the column another name."
        raise BadInput(f"{name!r} cannot be the name of a column that is asked for.", hint=hint)
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        texts = [one for one in wanted if isinstance(one, str) and one.strip()]
        if len(texts) < 2 or len(texts) != len(wanted) or len({one.strip().casefold() for one in texts}) != len(texts):
            hint = "Give two or more different texts."
            raise BadInput(f"No answer can be chosen for {name} from {list(wanted)!r}.", hint=hint)
        return AskedColumn(name, choices=tuple(texts))
    kind = _KINDS.get(wanted) if isinstance(wanted, type) else wanted if wanted in _SAID else None
    if kind is None:
        hint = "Types are str, int, float, bool, datetime.date, or a list of texts."
        raise BadInput(f"{wanted!r} is no type that {name} can have.", hint=hint)
    return AskedColumn(name, kind)


def parsed_returns(text: str) -> dict[str, Any]:
    """The columns of ``--returns``: a name alone is a text.

    Raises:
        BadInput: It has another form.

    Example:
        >>> parsed_returns("label: good|bad, score: float")
        {'label': ['good', 'bad'], 'score': 'float'}
    """
    if text.lstrip().startswith("{"):  # texts with commas and bars in them
        try:
            return dict(json.loads(text))
        except ValueError as wrong:
            raise BadInput(f"--returns is no JSON: {wrong}.", hint='{"label": ["a, b", "c"]}') from None
    found: dict[str, Any] = {}
    for part in filter(str.strip, text.split(",")):
        name, _, wanted = (piece.strip() for piece in part.partition(":"))
        if name in found:
            raise BadInput(f"--returns names {name} twice.", hint="Name each column once.")
        found[name] = [one.strip() for one in wanted.split("|")] if "|" in wanted else wanted or "str"
    return found


@dataclass
class Read:
    """What a reply says of one row: its values, and why some are missing."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def schema_of(columns: Sequence[AskedColumn]) -> dict[str, Any]:
    """The JSON Schema of a reply about some rows, for servers that keep a model to one."""
    row = {"row": {"type": "string"}, **{each.name: each.schema() for each in columns}}
    item = {"type": "object", "properties": row, "required": [*row], "additionalProperties": False}
    rows = {"rows": {"type": "array", "items": item}}
    return {"type": "object", "properties": rows, "required": ["rows"], "additionalProperties": False}


def read_rows(text: str, columns: Sequence[AskedColumn], tokens: Sequence[str]) -> list[Read]:
    """What a reply says of the rows with these tokens, in their order.

    Raises:
        NotBelieved: It is no JSON of the form, or a token is unknown, missing or doubled.

    Example:
        >>> label = [AskedColumn("label", choices=("a", "b"))]
        >>> read_rows('{"rows": [{"row": "bcd", "label": "c"}]}', label, ["bcd"])
        [Read(values={'label': None}, problems=['label: "c" is not "a" or "b"'])]
        >>> read_rows('{"rows": [{"row": 1, "label": "a"}]}', label, ["bcd"])
        Traceback (most recent call last):
        ...
        rsql_magic.answers.row_types.NotBelieved: the answer speaks of a row 1 that was not asked about
    """
    found: dict[str, Read] = {}
    for entry in _entries(text):
        token = entry.get("row")
        if not isinstance(token, str) or token not in tokens:
            raise NotBelieved(f"the answer speaks of a row {_bare(token)} that was not asked about")
        if token in found:
            raise NotBelieved("the answer speaks of a row twice")
        _refuse_other_names(entry, columns, tokens)
        found[token] = _read(entry, columns)
    if len(found) < len(tokens):
        raise NotBelieved("the answer leaves out a row, or its token")
    return [found[token] for token in tokens]


def _entries(text: str) -> list[dict[str, Any]]:
    match = _REPLY.fullmatch(text)
    if match is None:
        raise NotBelieved("the answer is not JSON alone")
    try:
        said = json.loads(
            match[1] or match[2], object_pairs_hook=_once, parse_float=Decimal, parse_constant=_no_constant
        )
    except NotBelieved:
        raise
    except (ValueError, RecursionError):
        raise NotBelieved("the answer is not JSON alone") from None
    if isinstance(said, dict):
        if "rows" in said and len(said) > 1:
            raise NotBelieved("the answer has more than rows in it")
        said = said.get("rows", [said])
    if not isinstance(said, list) or not all(isinstance(entry, dict) for entry in said):
        raise NotBelieved("the answer has no list of rows")
    return said


# An object that names something twice says two things of it.
def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise NotBelieved("the answer says two things of one name")
    return made


def _no_constant(word: str) -> NoReturn:
    raise NotBelieved(f"{word} is no value of JSON")


# A second value under nearly the same name, or under another row's token: which one is meant?
def _refuse_other_names(entry: Mapping[str, Any], columns: Sequence[AskedColumn], tokens: Sequence[str]) -> None:
    names = ["row", *(column.name for column in columns)]
    meant = {"rows", *(name.strip().casefold() for name in names)}
    for name in entry.keys() - set(names):
        if name.strip().casefold() in meant or name in tokens:
            raise NotBelieved(f"the answer has a {_bare(name)} beside what was asked for")


def _bare(value: Any) -> str:
    return _shown(value).strip('"')


def _read(said: Mapping[str, Any], columns: Sequence[AskedColumn]) -> Read:
    read = Read()
    for column in columns:
        try:
            read.values[column.name] = column.read(said[column.name])
        except KeyError:
            read.problems.append(f"{column.name}: nothing was said")
            read.values[column.name] = None
        except WrongValue as wrong:
            read.problems.append(f"{column.name}: {wrong}")
            read.values[column.name] = None
    return read
