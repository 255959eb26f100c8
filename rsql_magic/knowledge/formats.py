"""Which format a document has, and the reader of rsql's own.

    tables:
      flights:
        description: One row per departure from New York in 2013.
        key: [year, month, day, carrier, flight]
        columns:
          distance: {description: Great-circle distance, unit: miles, kind: quantity}
          tailnum: {description: Aircraft registration, references: planes.tailnum}
          origin: Airport of departure
        filters:
          departed: dep_time IS NOT NULL
        metrics:
          delay: {expression: AVG(dep_delay), where: departed, unit: min}

Tables and columns may also be lists of entries with a ``name``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rsql_magic.knowledge.described import DescribedColumn, DescribedTable
from rsql_magic.knowledge.dictionary import Dictionary, refuse
from rsql_magic.knowledge.marked_yaml import line_of, place, read_text, read_yaml
from rsql_magic.sql import Definition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_DEFINED = {"metrics": "metric", "filters": "filter", "derived": "derived"}
_ROOT = frozenset({"tables", "metrics", "glossary", "dialect", "description", "name"})
_TABLE = frozenset({"name", "label", "description", "key", "columns", "synonyms", *_DEFINED})
_TEXTS = ("name", "description", "label", "unit", "synonyms")
_COLUMN = frozenset((*_TEXTS, "units", "key", "references", "kind", "values", "display", "range", "examples"))
_NAMED = frozenset((*_TEXTS, "expression", "where", "time", "grain", "dimensions"))
MOST_FILES = 1000  # of a folder
_KINDS = ("id", "ordinal", "quantity")
_AGGREGATE = re.compile(r"\b(?:sum|avg|count|min|max|median|stddev\w*|var\w*|any_value)\s*\(", re.IGNORECASE)
_GRAINS = ("hour", "day", "week", "month", "quarter", "year")


def read_document(written: Any, where: str) -> Dictionary:
    """The dictionary that a document holds, in whatever format.

    Raises:
        BadInput: It has none of the formats, or says what cannot be meant.
    """
    from rsql_magic.knowledge.data_dict import is_data_dict, read_data_dict

    if is_data_dict(written):
        found = read_data_dict(written, where)
        return _dictionary(
            found.tables,
            relationships=tuple(found.relationships),
            glossary=found.glossary,
            named=tuple(found.named),
            problems=tuple(found.problems),
            name=where,
            kind="data-dict.yaml",
        )
    from rsql_magic.knowledge.dbt import is_dbt, read_dbt

    if is_dbt(written):
        return read_dbt({where: written}, where)
    from rsql_magic.knowledge.osi import is_osi, read_osi

    return read_osi(written, where) if is_osi(written) else _own_format(written, where)


def read_folder(folder: Path) -> Dictionary:
    """The dictionary of a folder: of the YAML files of dbt in it, all together.

    Raises:
        BadInput: There are none, or too many, or one cannot be read.
    """
    from rsql_magic.knowledge.dbt import is_dbt, read_dbt

    files = sorted(path for path in folder.rglob("*") if path.suffix in {".yml", ".yaml"} and path.is_file())
    if len(files) > MOST_FILES:
        raise refuse(f"{folder} has {len(files):,} YAML files, more than {MOST_FILES}.", "Name a folder of its own.")
    read = {str(path): read_yaml(read_text(path), str(path)) for path in files}
    if not (documents := {name: written for name, written in read.items() if is_dbt(written)}):
        raise refuse(f"{folder} has no YAML files of dbt.", "Name a file.")
    return read_dbt(documents, str(folder))


def _dictionary(tables: Any, **more: Any) -> Dictionary:
    return Dictionary({table.name.casefold(): table for table in tables}, **more)


def _own_format(written: Any, where: str) -> Dictionary:
    if not isinstance(written, dict) or "tables" not in written:
        raise refuse(f"{where} has no entry 'tables'.", "Start the file with 'tables:' (docs/dictionary.md).")
    _check(written, _ROOT, where)
    reader = _OwnFormat(where, _text(written.get("dialect")))
    tables = [reader.table(name, entry, line) for name, entry, line in _named(written["tables"], f"{where}: tables")]
    named = [each for _, found in tables for each in found]
    named += reader.defined(written, "", where)
    glossary = {
        name: _text(meaning) for name, meaning, _ in _named(written.get("glossary") or {}, f"{where}: glossary")
    }
    _refuse_circles(named)
    return _dictionary(
        [table for table, _ in tables], glossary=glossary, named=tuple(named), name=where, kind="dictionary"
    )


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        raise refuse(f"{value!r:.60} should be text.")
    return "" if value is None else str(value)


def _texts(value: Any) -> tuple[str, ...]:
    """One text or a list of them."""
    return tuple(_text(each) for each in (value if isinstance(value, list) else [value]) if each is not None)


def _named(entries: Any, where: str) -> Iterator[tuple[str, Any, int]]:
    """Names, entries and lines, from a mapping or from a list of entries with a name."""
    if isinstance(entries, list) and all(isinstance(entry, dict) and "name" in entry for entry in entries):
        found = [(_text(entry["name"]), entry, line_of(entry)) for entry in entries]
    elif isinstance(entries, dict):
        found = [(str(name), entry, line_of(entries, name)) for name, entry in entries.items()]
    else:
        raise refuse(f"{where} should map names to what is said about them.")
    seen = set[str]()
    for name, entry, line in found:
        if name.casefold() in seen:
            at = f" (line {line})" if line else ""
            raise refuse(f"{where} has {name} twice{at}.", "Names are compared without case.")
        seen.add(name.casefold())
        yield name, entry, line


def _check(entry: Any, known: frozenset[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise refuse(f"{where} should be text or a mapping.")
    if unknown := sorted(str(key) for key in entry.keys() - known):
        at = f" (line {line})" if (line := line_of(entry, unknown[0])) else ""
        raise refuse(f"{where} has the unknown entry {unknown[0]!r}{at}.", f"Known are {', '.join(sorted(known))}.")


def _one_of(value: Any, known: tuple[str, ...], where: str) -> str:
    if value is not None and value not in known:
        raise refuse(f"{where} should be {', '.join(known[:-1])} or {known[-1]}, not {value!r:.40}.")
    return value or ""


class _OwnFormat:
    """The reader of one document; ``dialect`` is that of its SQL."""

    def __init__(self, where: str, dialect: str) -> None:
        self.where, self.dialect = where, dialect

    def table(self, name: str, entry: Any, line: int) -> tuple[DescribedTable, list[Definition]]:
        """One table, with its definitions."""
        where = f"{self.where}: {name}"
        if isinstance(entry, str) or entry is None:
            return DescribedTable(name, description=entry or "", line=line), []
        _check(entry, _TABLE, where)
        columns = tuple(
            self.column(each, said, f"{where}.{each}", at)
            for each, said, at in _named(entry.get("columns") or {}, f"{where}: columns")
        )
        key = _texts(entry.get("key")) or tuple(column.name for column in columns if column.has("primary_key"))
        named = self.defined(entry, name, where)
        described = DescribedTable(
            name,
            columns,
            _text(entry.get("label")),
            _text(entry.get("description")),
            key,
            synonyms=_texts(entry.get("synonyms")),
            line=line,
            defined={each.name: each.expression for each in named},
        )
        return described, named

    def column(self, name: str, entry: Any, where: str, line: int) -> DescribedColumn:
        """One column."""
        if isinstance(entry, str) or entry is None:
            return DescribedColumn(name, description=entry or "", line=line)
        _check(entry, _COLUMN, where)
        values = entry.get("values") or []
        labelled = values.items() if isinstance(values, dict) else ((value, None) for value in _texts(values))
        ends = entry.get("range")
        if ends is not None and not (isinstance(ends, list) and len(ends) == 2):
            raise refuse(f"{where}: range should be a list of the least and the largest value.")
        return DescribedColumn(
            name,
            label=_text(entry.get("label")),
            description=_text(entry.get("description")),
            unit=_text(entry.get("unit") or entry.get("units")),
            measure=_one_of(entry.get("kind"), _KINDS, f"{where}: kind"),  # type: ignore[arg-type]
            constraints=("primary_key",) if entry.get("key") is True else (),
            values=tuple((_text(value), _text(meaning)) for value, meaning in labelled),
            range=(ends[0], ends[1]) if ends else None,
            examples=_texts(entry.get("examples")),
            synonyms=_texts(entry.get("synonyms")),
            restricted=bool(_one_of(entry.get("display"), ("default", "restricted"), where) == "restricted"),
            references=_text(entry.get("references")),
            line=line,
        )

    def defined(self, entry: Mapping[str, Any], table: str, where: str) -> list[Definition]:
        """The metrics, filters and derived values of a table, or the metrics of the file."""
        return [
            self.definition(said, kind, f"{where}: {name}", name=name, table=table, source=place(self.where, line))
            for word, kind in _DEFINED.items()
            if entry.get(word) is not None
            for name, said, line in _named(entry[word], f"{where}: {word}")
        ]

    def definition(self, entry: Any, kind: Any, where: str, *, name: str, table: str, source: str) -> Definition:
        """One definition: its expression, or a mapping."""
        entry = {"expression": entry} if isinstance(entry, str) else entry
        _check(entry, _NAMED, where)
        if not (expression := _text(entry.get("expression")).strip()):
            raise refuse(f"{where} has no expression.", "Write one, such as SUM(amount).")
        return Definition(
            name,
            kind,
            expression,
            table,
            self.dialect,
            _texts(entry.get("where")),
            _text(entry.get("time")),
            _one_of(entry.get("grain"), _GRAINS, f"{where}: grain"),
            _texts(entry.get("dimensions")),
            _text(entry.get("label")),
            _text(entry.get("description")),
            _text(entry.get("unit")),
            _texts(entry.get("synonyms")),
            source,
        )


def _refuse_circles(named: list[Definition]) -> None:
    """Definitions that lead back to themselves are refused, with the lines of those on the way."""
    from rsql_magic.knowledge.data_dict import circles

    word = re.compile(r'"([^"]+)"|([A-Za-z_]\w*)')
    by_name = {(each.table if each.kind != "metric" else "", each.name.casefold()): each for each in named}
    names: dict[Any, list[Any]] = {}
    for key, each in by_name.items():
        whole = " ".join((each.expression, *each.where))
        # What an aggregate takes is of a row, and no metric: `revenue: SUM(revenue)` is no circle.
        texts = {"": _outside_aggregates(whole), each.table: whole}
        names[key] = [
            other
            for other in by_name
            if other != key
            and other[0] in texts
            and other[1] in {(a or b).casefold() for a, b in word.findall(texts[other[0]])}
        ]
    for key, path in circles(names).items():
        lines = " and ".join(dict.fromkeys(by_name[each].source for each in path))
        raise refuse(f"{by_name[key].name} is defined in a circle ({lines}).", "Define one of them by columns.")


def _outside_aggregates(text: str) -> str:
    """An expression without what stands in the parentheses of aggregates."""
    kept, at = [], 0
    while (match := _AGGREGATE.search(text, at)) is not None:
        kept.append(text[at : match.end()])
        depth, at = 1, match.end()
        while at < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
    return "".join([*kept, text[at:]])
