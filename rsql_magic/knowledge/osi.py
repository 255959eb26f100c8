"""Semantic models of OSI, the Open Semantic Interchange, now Apache Ossie: datasets, relationships and metrics.

The specification is at https://github.com/apache/ossie, `core-spec/spec.md`. An expression may stand in several
dialects: that of the connection is taken where it is there, else ANSI SQL.
"""

# A metric over several datasets is taken apart: each aggregate is computed over the rows of its own dataset, where
# joining them first would count rows more than once.

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.knowledge.described import DescribedColumn, DescribedTable
from rsql_magic.knowledge.dictionary import Dictionary, refuse
from rsql_magic.knowledge.marked_yaml import line_of, place
from rsql_magic.sql import Definition, Relationship, Unreadable, own_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlglot import exp

# The dialects whose expressions can be read, by sqlglot's names, in the order in which they stand in for another
_STANDARD = ("ANSI_SQL", "OSSIE_SQL_2026", "OSI_SQL_2026")
_DIALECTS = dict.fromkeys(_STANDARD, "") | {name: name.lower() for name in ("SNOWFLAKE", "DATABRICKS", "BIGQUERY")}
# A column, behind its dataset or not
_PARTS = re.compile(r"""(?:\w+\.)*([A-Za-z_][A-Za-z0-9_$]*|"[^"]+"|`[^`]+`)""")


class _Unsaid(Exception):
    """A metric that cannot be put into SQL here; the text is the reason."""


def is_osi(written: Any) -> bool:
    """Whether a document is a semantic model of OSI."""
    models = written.get("semantic_model") if isinstance(written, Mapping) else None
    return isinstance(models, list) and any(isinstance(each, Mapping) and "datasets" in each for each in models)


def read_osi(written: Mapping[str, Any], name: str) -> Dictionary:
    """Read a document with one semantic model or more.

    Raises:
        BadInput: It is not shaped as the specification says.
    """
    found = _SemanticModels(name)
    try:
        for model in written["semantic_model"]:
            found.add(model)
        dialects = {_DIALECTS[each] for each in found.dialects if each in _DIALECTS} - {""}
        named, refused = found.defined("")
        others = {dialect: found.defined(dialect)[0] for dialect in dialects}
    except (AttributeError, KeyError, TypeError, ValueError) as wrong:
        what = f"{name} is not shaped as OSI says: {type(wrong).__name__} at {str(wrong)[:80]!r}."
        raise refuse(what, "See the specification's osi-schema.json.") from wrong
    return Dictionary(
        {table.name.casefold(): table for table in found.tables.values()},
        relationships=tuple(found.relationships),
        named=tuple(named),
        named_in={dialect: tuple(each) for dialect, each in others.items()},
        refused=refused,
        name=name,
        kind="OSI",
    )


@dataclass
class _SemanticModels:
    """Semantic models in the making."""

    name: str
    tables: dict[str, DescribedTable] = field(default_factory=dict)
    relationships: list[Relationship] = field(default_factory=list)
    fields: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)  # by dataset and name, folded
    metrics: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    queries: set[str] = field(default_factory=set)  # datasets that are no tables
    dialects: set[str] = field(default_factory=set)

    def add(self, model: Mapping[str, Any]) -> None:
        """Take in a semantic model."""
        for dataset in model["datasets"]:
            self._add_dataset(dataset)
        for entry in model.get("relationships") or ():
            self._add_relationship(entry)
        for entry in model.get("metrics") or ():
            self.metrics[str(entry["name"])] = entry
            self.dialects |= {str(each["dialect"]) for each in entry["expression"]["dialects"]}

    def _source(self, entry: Mapping[str, Any]) -> str:
        line = line_of(entry)
        return place(self.name, line) if line else f"{self.name}, {entry.get('name', '')}"

    def _add_dataset(self, dataset: Mapping[str, Any]) -> None:
        name, source = str(dataset["name"]), str(dataset["source"]).strip()
        stored = source.replace('"', "").replace("`", "")
        if is_query := bool(re.search(r"\s", stored)):
            self.queries.add(name.casefold())
        columns: dict[str, DescribedColumn] = {}
        for entry in dataset.get("fields") or ():
            self.fields[name.casefold(), str(entry["name"]).casefold()] = entry
            self.dialects |= {str(each["dialect"]) for each in entry["expression"]["dialects"]}
            if column := _column(entry):
                columns.setdefault(column.name.casefold(), column)
        key = tuple(self._stored_column(name, str(each)) for each in dataset.get("primary_key") or ())
        unique = tuple(
            tuple(self._stored_column(name, str(each)) for each in names) for names in dataset.get("unique_keys") or ()
        )
        for each in key:
            columns.setdefault(each.casefold(), DescribedColumn(each, line=line_of(dataset)))
        self.tables[name] = DescribedTable(
            name,
            tuple(columns.values()),
            description=_text(dataset.get("description")),
            key=key,
            unique=unique,
            synonyms=_synonyms(dataset),
            stored="" if is_query else stored,
            line=line_of(dataset),
        )

    def _stored_column(self, dataset: str, name: str) -> str:
        """The column of a field, or the name itself."""
        entry = self.fields.get((dataset.casefold(), name.casefold()))
        column = _column(entry) if entry is not None else None
        return column.name if column else name

    def _add_relationship(self, entry: Mapping[str, Any]) -> None:
        left, right = str(entry["from"]), str(entry["to"])
        columns = tuple(self._stored_column(left, str(each)) for each in entry["from_columns"])
        referred = tuple(self._stored_column(right, str(each)) for each in entry["to_columns"])
        if left not in self.tables or right not in self.tables or len(columns) != len(referred) or not columns:
            raise refuse(f"{self._source(entry)}: a relationship joins as many columns of two datasets that are there.")
        description = _text(entry.get("description"))
        left_unique = {frozenset(each) for each in (self.tables[left].key, *self.tables[left].unique) if each}
        cardinality = "one-to-one" if frozenset(columns) in left_unique else "many-to-one"
        self.relationships.append(
            Relationship(left, columns, right, referred, cardinality, description, self._source(entry))  # type: ignore[arg-type]
        )

    # Definitions

    def defined(self, dialect: str) -> tuple[list[Definition], dict[str, str]]:
        """Derived values and metrics in a dialect, or in ANSI SQL where they have none in it, and what is refused."""
        named: list[Definition] = []
        refused: dict[str, str] = {}
        for (dataset, _), entry in self.fields.items():
            table = next(table for table in self.tables.values() if table.name.casefold() == dataset)
            if _column(entry) is None and dataset not in self.queries:
                text, written = _chosen(entry, dialect)
                if written is not None:
                    named.append(self._definition(entry, "derived", text, table.name, written))
        for name, entry in self.metrics.items():
            try:
                named += self._metric(name, entry, dialect)
            except _Unsaid as reason:
                refused[name] = f"cannot be compiled: {reason}"
        return named, refused

    def _definition(self, entry: Mapping[str, Any], kind: Any, expression: str, table: str, dialect: str) -> Definition:
        description, label = _text(entry.get("description")), _text(entry.get("label"))
        return Definition(
            str(entry["name"]),
            kind,
            expression,
            table,
            dialect,
            label=label,
            description=description,
            synonyms=_synonyms(entry),
            source=self._source(entry),
        )

    def _metric(self, name: str, entry: Mapping[str, Any], wanted: str) -> list[Definition]:
        """A metric; where its aggregates are of several datasets, one for each of these and one made of them."""
        from sqlglot import exp

        text, dialect = _chosen(entry, wanted)
        if dialect is None:
            raise _Unsaid("it is written in no dialect of SQL that is known here")
        try:
            tree = own_tree(text, dialect)
        except Unreadable:
            raise _Unsaid("its expression cannot be read") from None
        if tree.find(exp.Query) is not None:
            raise _Unsaid("its expression holds a query")
        aggregates = [node for node in tree.find_all(exp.AggFunc) if node.find_ancestor(exp.AggFunc) is None]
        inside = {id(column) for node in aggregates for column in _whole(node).find_all(exp.Column)}
        for column in tree.find_all(exp.Column):
            if id(column) not in inside and not (column.table == "" and column.name in self.metrics):
                raise _Unsaid(f"{column.sql()} stands outside an aggregate")
        parts = [(_whole(node), self._base(_whole(node))) for node in aggregates]
        tables = list(dict.fromkeys(table for _, table in parts))
        of_metrics = any(id(column) not in inside for column in tree.find_all(exp.Column))
        if len(tables) == 1 and not of_metrics:
            self._put_columns(tree, tables[0])
            return [self._definition(entry, "metric", tree.sql(dialect or None), tables[0], dialect)]
        made: list[Definition] = []
        for number, (part, table) in enumerate(parts, start=1):
            self._put_columns(part, table)
            one = self._definition(entry, "metric", part.sql(dialect or None), table, dialect)
            title = f"Part {number} of {name}"
            made.append(replace(one, name=f"{name}_{number}", label="", description=title, synonyms=()))
            named = exp.column(made[-1].name)
            if part is tree:
                tree = named
            else:
                part.replace(named)
        return [*made, self._definition(entry, "metric", tree.sql(dialect or None), "", dialect)]

    def _datasets(self, node: exp.Expr) -> list[str]:
        """The datasets whose fields an expression takes."""
        from sqlglot import exp

        found = []
        for column in node.find_all(exp.Column):
            name = column.table.casefold()
            if not name:
                owners = [dataset for dataset, each in self.fields if each == column.name.casefold()]
                if len(owners) != 1:
                    raise _Unsaid(f"{column.name} is a field of {len(owners) or 'no'} datasets")
                name = owners[0]
            table = next((each for each in self.tables.values() if each.name.casefold() == name), None)
            if table is None:
                raise _Unsaid(f"there is no dataset {column.table}")
            if name in self.queries:
                raise _Unsaid(f"{table.name} is a query, and no table")
            found.append(table.name)
        return list(dict.fromkeys(found))

    def _base(self, node: exp.Expr) -> str:
        """The dataset over whose rows an aggregate runs: the one that leads to all others it takes fields of."""
        datasets = self._datasets(node)
        if not datasets and len(self.tables) == 1:
            return next(iter(self.tables))
        bases = [each for each in datasets if self._reached(each).issuperset(datasets)]
        if len(bases) != 1:
            raise _Unsaid(f"{' and '.join(datasets) or 'no dataset'} do not lead to one another")
        return bases[0]

    def _reached(self, start: str) -> set[str]:
        """The datasets that have one row at most for each row of another."""
        reached, waiting = {start}, [start]
        while waiting:
            at = waiting.pop()
            following = {each.right for each in self.relationships if each.left == at} - reached
            reached |= following
            waiting += following
        return reached

    def _put_columns(self, tree: exp.Expr, base: str) -> None:
        """Write fields as columns: those of the base bare, others behind their table's name."""
        from sqlglot import exp

        for column in tree.find_all(exp.Column):
            (dataset,) = self._datasets(column)
            stored = self._stored_column(dataset, column.name)
            column.this.set("this", stored)
            table = self.tables[dataset].stored.rpartition(".")[2] or dataset
            column.set("table", None if dataset == base else exp.to_identifier(table))
            for part in ("db", "catalog"):
                column.set(part, None)


def _whole(node: exp.Expr) -> exp.Expr:
    """An aggregate with what belongs to it: WITHIN GROUP, FILTER."""
    from sqlglot import exp

    while isinstance(node.parent, (exp.WithinGroup, exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        node = node.parent
    if isinstance(node.parent, exp.Window):
        raise _Unsaid("it holds a window")
    return node


def _chosen(entry: Mapping[str, Any], wanted: str) -> tuple[str, str | None]:
    """An expression in the dialect that is wanted, else in ANSI SQL, else in another that can be read."""
    written = {str(each["dialect"]): str(each["expression"]) for each in entry["expression"]["dialects"]}
    order = sorted(_DIALECTS, key=lambda name: (_DIALECTS[name] != wanted, list(_DIALECTS).index(name)))
    found = next((name for name in order if name in written), None)
    return (written[found], _DIALECTS[found]) if found else ("", None)


def _column(entry: Mapping[str, Any]) -> DescribedColumn | None:
    """The column that a field is; None where it is computed."""
    text, _ = _chosen(entry, "")
    parts = _PARTS.fullmatch(text.strip())
    if parts is None:
        return None
    name, own = parts[1].strip('"`'), str(entry["name"])
    synonyms = (*([own] if own.casefold() != name.casefold() else []), *_synonyms(entry))
    label, description = _text(entry.get("label")), _text(entry.get("description"))
    return DescribedColumn(name, label=label, description=description, synonyms=synonyms, line=line_of(entry))


def _synonyms(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """What a thing is called too, as its context for models says; nothing else of that is taken."""
    said = entry.get("ai_context")
    listed: Sequence[Any] = (said.get("synonyms") or ()) if isinstance(said, Mapping) else ()
    return tuple(_texts(listed))


def _texts(values: Any) -> Iterator[str]:
    for value in values if isinstance(values, (list, tuple)) else ():
        if text := _text(value):
            yield text


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, (str, int, float)) else ""
