"""Parameters of a notebook: read from the command line or a CSV file, and put below the cell tagged ``parameters``."""

from __future__ import annotations

import csv
import json
import math
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Value = str | int | float | bool | None

_TAG, _INJECTED = "parameters", "injected-parameters"  # as papermill has them
_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d*)")  # 007 is no number
_NUMBER = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?")
_WORDS: dict[str, Value] = {"true": True, "false": False, "none": None, "null": None}
_ASSIGNED = re.compile(r"^([A-Za-z_.][\w.]*)\s*(?::[^=\n]+)?(?:<-|=(?!=))", re.M)
_MOST_SETS = 10_000
_MOST_BYTES = 50_000_000


def value_of(text: str) -> Value:
    """A parameter as it was typed: a number, true, false or none, and otherwise text; quotes make text of anything.

    Example:
        >>> [value_of(text) for text in ("12", "1e3", "true", "None", "007", "'12'", "north")]
        [12, 1000.0, True, None, '007', '12', 'north']
    """
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if _INTEGER.fullmatch(text) and len(text) < 4000:
        return int(text)
    if _NUMBER.fullmatch(text) and (text.lstrip("+-")[:1] != "0" or not text.lstrip("+-")[1:2].isdigit()):
        return float(text)
    return _WORDS.get(text.lower(), text)


def given(words: Sequence[str]) -> dict[str, Value]:
    """Parameters of the command line, each ``name=value``.

    Raises:
        BadInput: One has no name or no value, or stands twice.

    Example:
        >>> given(["region=north", "year=2026"])
        {'region': 'north', 'year': 2026}
    """
    found: dict[str, Value] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise BadInput(f"-p {word!r} has no value.", hint="Write -p name=value.")
        _refuse_no_name(name, f"-p {word!r}")
        if name in found:
            raise BadInput(f"The parameter {name!r} is given twice.", hint="Several values stand in --params FILE.csv.")
        found[name] = value_of(text)
    return found


def _refuse_no_name(name: str, where: str) -> None:
    if not re.fullmatch(r"[^\W\d]\w*", name):
        raise BadInput(f"{where}: {printable(name)!r} is not a name for a variable.", hint="Use letters, digits and _.")


def sets_of(path: Path) -> list[dict[str, Value]]:
    """Sets of parameters from a CSV file, one a row; its first row names them, an empty field leaves a default.

    Raises:
        BadInput: The file cannot be read, or a line of it does not fit.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BadInput(f"{path} is too large for parameters.", hint=f"At most {_MOST_SETS:,} rows.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", hint="Give a CSV file.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{str(path)!r} is not UTF-8 text.", hint="Save it as UTF-8.") from None
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(field.strip() for field in row)]
    except csv.Error as error:
        raise BadInput(
            f"Line {reader.line_num} of {path} is no CSV: {error}.", hint="Quote fields with commas."
        ) from None
    for name in header:
        _refuse_no_name(name, f"Line 1 of {path}")
    if len(set(header)) < len(header):
        raise BadInput(f"Line 1 of {path} names a parameter twice.", hint="Each column has a name of its own.")
    if not 1 <= len(rows) <= _MOST_SETS:
        hint = f"One row for each run, below the names; at most {_MOST_SETS:,}."
        raise BadInput(f"{path} holds {len(rows):,} sets of parameters.", hint=hint)
    for line, row in rows:
        if len(row) != len(header):
            raise BadInput(f"Line {line} of {path} has {len(row)} fields, not {len(header)}.", hint="Correct the line.")
    return [
        {name: value_of(field) for name, field in zip(header, row, strict=True) if field.strip()} for _, row in rows
    ]


def label(values: Mapping[str, Value]) -> str:
    """The values in a few characters that a file's name may have.

    Example:
        >>> label({"region": "Nord / Süd", "year": 2026})
        'Nord-Süd-2026'
    """
    words = re.sub(r"[^\w.]+", "-", "-".join(map(str, values.values()))).strip("-.")
    return words[:60].rstrip("-.")


def with_parameters(notebook: Any, values: Mapping[str, Value], name: str) -> Any:
    """A copy of a notebook with a cell that sets its parameters, in place of the one of an earlier run.

    Raises:
        BadInput: It has no such parameters, or its language is neither Python nor R.
    """
    import nbformat

    made = deepcopy(notebook)
    if not values:
        return made
    cells = [cell for cell in made.cells if _INJECTED not in _tags(cell)]
    place = next((number for number, cell in enumerate(cells) if _TAG in _tags(cell)), None)
    if place is None:
        raise BadInput(f"{name} has no cell with parameters.", hint=f"Give the cell that sets them the tag {_TAG}.")
    known = _ASSIGNED.findall(str(cells[place].source))
    if unknown := [each for each in values if each not in known]:
        has = f"It has: {', '.join(known)}." if known else f"Set a default in its cell with the tag {_TAG}."
        raise BadInput(f"{name} has no parameter {unknown[0]!r}.", hint=has)
    about = made.metadata
    language = str((about.get("kernelspec") or {}).get("language") or (about.get("language_info") or {}).get("name"))
    if language.lower() == "r":
        source = "\n".join(f"{each} <- {_in_r(value)}" for each, value in values.items())
    elif language.lower() in {"python", "ipython", "none"}:
        source = "\n".join(f"{each} = {value!r}" for each, value in values.items())
    else:
        raise BadInput(f"{name} is in {language}, whose parameters are not known.", hint="Use Python or R.")
    cell: Any = nbformat.v4.new_code_cell(f"# Parameters\n{source}")  # type: ignore[no-untyped-call]
    cell.id, cell.metadata["tags"] = _INJECTED, [_INJECTED]  # the same at each run
    made.cells = [*cells[: place + 1], cell, *cells[place + 1 :]]
    if made.nbformat_minor < 5:
        del cell["id"]
    return made


def _tags(cell: Any) -> Sequence[str]:
    tags = cell.metadata.get("tags")
    return tags if isinstance(tags, list) else ()


def _in_r(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"{'-' if value < 0 else ''}Inf"
    if isinstance(value, int):
        return f"{value}L" if abs(value) < 2**31 else str(value)
    return json.dumps(value, ensure_ascii=False)
