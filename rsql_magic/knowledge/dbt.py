"""Dictionaries of dbt: ``manifest.json``, ``semantic_manifest.json``, and the YAML of models and metrics."""

# What dbt resolves at a query, names of dimensions by way of entities, is resolved here: a metric becomes SQL over the
# columns of its model's table, or over other metrics. A metric that cannot be said so, such as one that accumulates
# over time, is kept with the reason and never computed in some other way.

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rsql_magic.knowledge.dbt_filters import MODEL, Unresolved, fill_in
from rsql_magic.knowledge.described import Constraint, DescribedColumn, DescribedTable
from rsql_magic.knowledge.dictionary import Dictionary, refuse
from rsql_magic.knowledge.marked_yaml import line_of, place
from rsql_magic.sql import Definition, Relationship, known_as

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SECTIONS = ("models", "sources", "seeds", "snapshots", "semantic_models", "metrics")
_PARTS = ("entities", "dimensions", "measures")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*\Z")
# dbt's aggregations as SQL over an expression
_AGGREGATIONS = {
    "sum": "SUM({0})",
    "min": "MIN({0})",
    "max": "MAX({0})",
    "average": "AVG({0})",
    "count": "COUNT({0})",
    "count_distinct": "COUNT(DISTINCT {0})",
    "sum_boolean": "SUM(CASE WHEN {0} THEN 1 ELSE 0 END)",
    "median": "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY {0})",
}
_GRAINS = ("hour", "day", "week", "month", "quarter", "year")


def is_dbt(written: Any) -> bool:
    """Whether a document is one of dbt's."""
    if not isinstance(written, Mapping):
        return False
    if "semantic_models" in written or ("nodes" in written and "metadata" in written):
        return True
    listed = [section for section in _SECTIONS if isinstance(written.get(section), list)]
    return bool(listed) and "tables" not in written


def read_dbt(documents: Mapping[str, Mapping[str, Any]], name: str) -> Dictionary:
    """Read a manifest, a semantic manifest, or the YAML files of a project, by their names.

    Raises:
        BadInput: One is not shaped as dbt writes it.
    """
    project = _Project(name)
    try:
        for file, written in documents.items():
            project.add(written, file)
        return project.dictionary()
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as wrong:
        what = f"{name} is not shaped as dbt writes it: {type(wrong).__name__} at {str(wrong)[:80]!r}."
        raise refuse(what, "Write it anew with dbt parse.") from wrong


@dataclass
class _Model:
    """A semantic model: where its names lead."""

    name: str
    table: str
    entry: Mapping[str, Any]
    expressions: dict[str, str] = field(default_factory=dict)  # of dimensions and entities, by their names
    times: dict[str, str] = field(default_factory=dict)  # grains of the time dimensions
    primary: str = ""  # the entity that its rows are
    unique: set[str] = field(default_factory=set)  # entities with one row for each value, the primary one too
    measures: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def column(self, name: str) -> str:
        """The column of a dimension or entity; empty where it is an expression or not there."""
        expression = self.expressions.get(name, "")
        return expression if _NAME.match(expression) else ""


@dataclass
class _Project:
    """What the documents of a project say, before it is put together."""

    name: str
    dialect: str = ""
    tables: dict[str, DescribedTable] = field(default_factory=dict)
    models: dict[str, _Model] = field(default_factory=dict)
    metrics: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    relationships: list[Relationship] = field(default_factory=list)
    named: dict[str, Definition] = field(default_factory=dict)  # metrics
    derived: list[Definition] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    files: dict[int, str] = field(default_factory=dict)  # where entries stand, by their identity

    def add(self, written: Mapping[str, Any], file: str) -> None:
        """Take in a document."""
        self._note_places(written, file)
        if "nodes" in written:
            self._add_manifest(written)
        else:
            for section in ("models", "seeds", "snapshots"):
                for entry in _listed(written.get(section)):
                    self._add_table(entry, entry.get("alias") or entry["name"])
            for source in _listed(written.get("sources")):
                for entry in _listed(source.get("tables")):
                    schema = str(source.get("schema") or source["name"])
                    self._add_table(entry, entry.get("identifier") or entry["name"], schema)
        for entry in _values(written.get("semantic_models")):
            self._add_model(entry)
        for entry in _values(written.get("metrics")):
            self.metrics[str(entry["name"])] = entry

    def _note_places(self, written: Mapping[str, Any], file: str) -> None:
        for entry in (*_values(written.get("semantic_models")), *_values(written.get("metrics"))):
            for each in (entry, *(part for key in _PARTS for part in _listed(entry.get(key)))):
                self.files[id(each)] = file

    def dictionary(self) -> Dictionary:
        """All of it."""
        for model in self.models.values():
            self._relate(model)
        for model in self.models.values():
            for measure in model.measures.values():
                name = str(measure["name"])
                if measure.get("create_metric") and name not in self.metrics:
                    made: Any = copy(measure)
                    self.files[id(made)] = self.files.get(id(measure), self.name)
                    made.update({"type": "simple", "type_params": {"measure": {"name": name}}})
                    self.metrics[name] = made
        for name in self.metrics:
            self._define(name, ())
        return Dictionary(
            {table.name.casefold(): table for table in self.tables.values()},
            relationships=tuple(dict.fromkeys(self.relationships)),
            named=(*self.derived, *self.named.values()),
            refused=self.refused,
            name=self.name,
            kind="dbt",
        )

    def _source(self, entry: Any) -> str:
        line, file = line_of(entry), self.files.get(id(entry), self.name)
        return place(file, line) if line else f"{file}, {entry.get('name', '')}".rstrip(", ")

    # Tables

    def _add_manifest(self, written: Mapping[str, Any]) -> None:
        adapter = str((written.get("metadata") or {}).get("adapter_type") or "")
        self.dialect = known_as(adapter)
        nodes = {**written["nodes"], **(written.get("sources") or {})}
        called: dict[str, str] = {}
        for key, node in nodes.items():
            if node.get("resource_type") in {"model", "seed", "snapshot", "source"}:
                stored = str(node.get("identifier") or node.get("alias") or node["name"])
                called[key] = stored
                entry = {**node, "columns": list((node.get("columns") or {}).values())}
                self._add_table(entry, stored, str(node.get("schema") or ""))
        for node in nodes.values():
            test = node.get("test_metadata") or {}
            about = called.get(str(node.get("attached_node") or ""))
            column = node.get("column_name") or (test.get("kwargs") or {}).get("column_name")
            if about and column:
                self._add_test(about, str(column), str(test.get("name")), test.get("kwargs") or {}, self._source(node))

    def _add_table(self, entry: Mapping[str, Any], stored: str, schema: str = "") -> None:
        meta = _meta(entry)
        columns = tuple(_column(each) for each in _listed(entry.get("columns")))
        label, description = _text(meta.get("label")), _text(entry.get("description"))
        synonyms = (*_texts(meta.get("synonyms")), *([entry["name"]] if entry["name"] != stored else []))
        self.tables[stored] = DescribedTable(
            stored,
            columns,
            label,
            description,
            tuple(column.name for column in columns if column.has("primary_key")),
            synonyms=synonyms,
            stored=f"{schema}.{stored}" if schema else "",
            line=line_of(entry),
        )
        for each in _listed(entry.get("columns")):
            for name, arguments in _tests(each):
                self._add_test(stored, str(each["name"]), name, arguments, self._source(each))

    def _add_test(self, table: str, column: str, test: str, arguments: Mapping[str, Any], source: str) -> None:
        """What a test says of a column."""
        constraints: dict[str, Constraint] = {"not_null": "required", "unique": "unique"}
        if test in constraints:
            self._change(table, column, constraints=(constraints[test],))
        elif test == "accepted_values":
            self._change(table, column, values=tuple((str(value), "") for value in arguments.get("values") or ()))
        elif test == "relationships" and (target := MODEL.search(str(arguments.get("to") or ""))):
            other = target[2] or target[1]
            there = Relationship(table, (column,), other, (str(arguments["field"]),), source=source)
            self.relationships.append(there)

    def _change(self, table: str, column: str, **changes: Any) -> None:
        """Add to what is known of a column."""
        entry = self.tables[table]
        known = entry.by_name.get(column.casefold()) or DescribedColumn(column, line=entry.line)
        merged: dict[str, Any] = {
            key: (*getattr(known, key), *value) if key in {"constraints", "synonyms"} else getattr(known, key) or value
            for key, value in changes.items()
        }
        changed = replace(known, **merged)
        others = tuple(changed if each is known else each for each in entry.columns)
        self.tables[table] = replace(entry, columns=others if known in entry.columns else (*others, changed))

    # Semantic models

    def _add_model(self, entry: Mapping[str, Any]) -> None:
        relation = entry.get("node_relation") or {}
        target = MODEL.search(str(entry.get("model") or ""))
        table = str(relation.get("alias") or (target and (target[2] or target[1])) or entry["name"])
        if table not in self.tables:
            self._add_table({"name": table}, table, str(relation.get("schema_name") or ""))
        described = self.tables[table]
        other_names = (str(entry["name"]),) if str(entry["name"]) != table else ()
        self.tables[table] = replace(
            described,
            description=described.description or _text(entry.get("description")),
            label=described.label or _text(entry.get("label")),
            synonyms=tuple(dict.fromkeys((*described.synonyms, *other_names))),
            line=described.line or line_of(entry),
        )
        model = _Model(str(entry["name"]), table, entry, primary=str(entry.get("primary_entity") or ""))
        self.models[model.name] = model
        for each in _listed(entry.get("entities")):
            self._add_entity(model, each)
        for each in _listed(entry.get("dimensions")):
            self._add_dimension(model, each)
        model.measures = {str(each["name"]): each for each in _listed(entry.get("measures"))}

    def _add_entity(self, model: _Model, entry: Mapping[str, Any]) -> None:
        name, kind = str(entry["name"]), str(entry.get("type") or "").lower()
        model.expressions[name] = str(entry.get("expr") or name)
        if kind in {"primary", "unique", "natural"}:
            model.unique.add(name)
        if kind == "primary":
            model.primary = name
        if column := model.column(name):
            said: tuple[Constraint, ...] = {"primary": ("primary_key",), "unique": ("unique",)}.get(kind, ())  # type: ignore[assignment]
            self._describe(model.table, column, entry, constraints=said, measure="id")
            if kind == "primary" and not self.tables[model.table].key:
                self.tables[model.table] = replace(self.tables[model.table], key=(column,))

    def _add_dimension(self, model: _Model, entry: Mapping[str, Any]) -> None:
        name = str(entry["name"])
        model.expressions[name] = str(entry.get("expr") or name)
        if str(entry.get("type")).lower() == "time":
            model.times[name] = str((entry.get("type_params") or {}).get("time_granularity") or "day").lower()
        if column := model.column(name):
            self._describe(model.table, column, entry)
        else:
            label, description = _text(entry.get("label")), _text(entry.get("description"))
            source, expression = self._source(entry), model.expressions[name]
            made = Definition(
                name,
                "derived",
                expression,
                model.table,
                self.dialect,
                label=label,
                description=description,
                source=source,
            )
            self.derived.append(made)

    def _describe(self, table: str, column: str, entry: Mapping[str, Any], **more: Any) -> None:
        name, label = str(entry["name"]), _text(entry.get("label"))
        synonyms = tuple(each for each in (name if name != column else "", label) if each)
        self._change(table, column, description=_text(entry.get("description")), synonyms=synonyms, **more)

    def _relate(self, model: _Model) -> None:
        """Foreign entities lead to the models whose rows they are."""
        for each in _listed(model.entry.get("entities")):
            name = str(each["name"])
            if str(each.get("type") or "").lower() != "foreign" or not (column := model.column(name)):
                continue
            for other in self.models.values():
                if other is not model and name in other.unique and (target := other.column(name)):
                    source = self._source(each)
                    there = Relationship(model.table, (column,), other.table, (target,), source=source)
                    if all(replace(known, source=source) != there for known in self.relationships):
                        self.relationships.append(there)

    # Metrics

    def _define(self, name: str, above: Sequence[str]) -> None:
        """Define a metric by columns or by other metrics, which are defined before; or keep why it cannot be."""
        if name in self.named or name in self.refused:
            return
        if (entry := self.metrics.get(name)) is None:
            self.refused[name] = "cannot be compiled: it is not defined"
            return
        if name in above:
            way = " → ".join([*above[above.index(name) :], name])
            raise refuse(f"{self._source(entry)}: {name} is defined in a circle: {way}.", "Define one of them anew.")
        try:
            self.named[name] = self._metric(name, entry, (*above, name))
        except Unresolved as reason:
            self.refused[name] = f"cannot be compiled: {reason}"

    def _metric(self, name: str, entry: Mapping[str, Any], above: Sequence[str]) -> Definition:
        kind, params = str(entry.get("type") or "").lower(), entry.get("type_params") or {}
        if kind == "simple":
            made = self._simple(name, entry, params)
        elif kind == "ratio":
            parts = [self._input(name, entry, params[part], above) for part in ("numerator", "denominator")]
            made = self._of_metrics(name, f"CAST({parts[0]} AS DOUBLE) / NULLIF({parts[1]}, 0)")
        elif kind == "derived":
            names = {}
            for used in _listed(params.get("metrics")):
                alias = used if isinstance(used, str) else used.get("alias") or used["name"]
                names[str(alias)] = self._input(name, entry, used, above)
            made = self._of_metrics(name, _renamed(str(params["expr"]), names))
        else:
            made = _refused(kind)
        label, description = _text(entry.get("label")), _text(entry.get("description"))
        synonyms = _texts(_meta(entry).get("synonyms"))
        unit = _text(_meta(entry).get("unit"))
        source = self._source(entry)
        return replace(made, label=label, description=description, synonyms=synonyms, unit=unit, source=source)

    def _of_metrics(self, name: str, expression: str) -> Definition:
        return Definition(name, "metric", expression, dialect=self.dialect)

    def _simple(self, name: str, entry: Mapping[str, Any], params: Mapping[str, Any]) -> Definition:
        """A metric over one measure, or with an aggregation of its own."""
        used = params.get("measure") or {}
        used = {"name": used} if isinstance(used, str) else used
        measure: Mapping[str, Any]
        if own := params.get("metric_aggregation_params"):
            model, measure = self.models[str(own["semantic_model"])], {**own, "name": name, "expr": params.get("expr")}
        else:
            owner = next((each for each in self.models.values() if used.get("name") in each.measures), None)
            if owner is None:
                raise Unresolved(f"there is no measure {used.get('name')}")
            model, measure = owner, owner.measures[str(used["name"])]
        if measure.get("non_additive_dimension"):
            raise Unresolved("its measure must not be added up over time")
        if used.get("join_to_timespine") or params.get("join_to_timespine"):
            raise Unresolved("it fills in times without rows from a time spine")
        expression = _aggregated(measure)
        fill = used.get("fill_nulls_with", params.get("fill_nulls_with"))
        if fill is not None:
            expression = f"COALESCE({expression}, {int(fill)})"
        default = (model.entry.get("defaults") or {}).get("agg_time_dimension")
        time = str(measure.get("agg_time_dimension") or default or "")
        grain = model.times.get(time, "")  # the shortest; a metric's own ``time_granularity`` is a default
        filters = (*_filters(used.get("filter")), *_filters(entry.get("filter")))
        where = tuple(self._where(text, model, time) for text in filters)
        return Definition(
            name,
            "metric",
            expression,
            model.table,
            self.dialect,
            where,
            model.column(time),
            grain if grain in _GRAINS else "",
            self._told_by(model),
        )

    def _told_by(self, model: _Model) -> tuple[str, ...]:
        """What a metric over a model may be told by: dimensions and entities, its own and those it leads to."""
        reached = [model]
        for at in reached:
            foreign = {str(each["name"]) for each in _listed(at.entry.get("entities"))} - at.unique
            reached += [one for one in self.models.values() if one not in reached and foreign & one.unique]
        found = ((at, at.column(name) or name) for at in reached for name in at.expressions)
        return tuple(dict.fromkeys(name if at is model else f"{at.table}.{name}" for at, name in found))

    def _where(self, text: str, model: _Model, time: str) -> str:
        """A filter of dbt's as SQL over the columns of the model's table and of those that it leads to."""

        def expression(path: Sequence[str], name: str) -> str:
            if name == "metric_time" and not path:
                name = time
            if not path or path == [model.primary] or (path[-1] in model.unique and len(path) == 1):
                if name in model.expressions:
                    return _grouped(model.expressions[name])
                if path:
                    raise Unresolved(f"there is no dimension {name} of {model.name}")
            owners = [each for each in self.models.values() if path and path[-1] in each.unique]
            owners = [each for each in owners if name in each.expressions]
            if len(owners) != 1 or owners[0].column(name) == "":
                raise Unresolved(f"{'__'.join([*path, name])} is no column of one table")
            if len(path) > 1 or not any(path[0] == entity for entity in model.expressions):
                raise Unresolved(f"{'__'.join([*path, name])} is more than one join away")
            return f"{owners[0].table}.{owners[0].column(name)}"

        return fill_in(text, expression, self.dialect)

    def _input(self, name: str, entry: Mapping[str, Any], used: Any, above: Sequence[str]) -> str:
        """The name of a metric that another is made of; with a filter, that of a metric made for it."""
        used = {"name": used} if isinstance(used, str) else used
        source = str(used["name"])
        if used.get("offset_window") or used.get("offset_to_grain"):
            raise Unresolved(f"it takes {source} from another time")
        self._define(source, above)
        if source in self.refused:
            raise Unresolved(f"it is made of {source}, which {self.refused[source]}")
        filters = (*_filters(used.get("filter")), *_filters(entry.get("filter")))
        if not filters:
            return source
        base = self.named[source]
        if not base.table:
            raise Unresolved(f"it filters {source}, which is made of other metrics")
        model = next(each for each in self.models.values() if each.table == base.table)
        time = next((each for each in model.times if model.column(each) == base.time), "")
        where = (*base.where, *(self._where(text, model, time) for text in filters))
        made, number = f"{source}_of_{name}", 1
        while made in self.metrics or (made in self.named and self.named[made].where != where):
            made, number = f"{source}_of_{name}_{number + 1}", number + 1
        description = f"{base.label or source}, as {name} takes it"
        self.named[made] = replace(base, name=made, where=where, description=description, synonyms=())
        return made


def _refused(kind: str) -> Definition:
    reasons = {"cumulative": "it accumulates over time", "conversion": "it follows what one entity does next"}
    raise Unresolved(f"a {kind} metric, {reasons[kind]}" if kind in reasons else f"the type {kind!r} is not known")


def _aggregated(measure: Mapping[str, Any]) -> str:
    """The SQL of a measure."""
    aggregation, expression = str(measure.get("agg") or "").lower(), str(measure.get("expr") or measure["name"])
    if aggregation == "percentile":
        params = measure.get("agg_params") or {}
        if params.get("use_approximate_percentile"):
            raise Unresolved("an approximate percentile")
        function = "PERCENTILE_DISC" if params.get("use_discrete_percentile") else "PERCENTILE_CONT"
        return f"{function}({float(params['percentile'])}) WITHIN GROUP (ORDER BY {expression})"
    if aggregation not in _AGGREGATIONS:
        raise Unresolved(f"the aggregation {aggregation!r} is not known")
    return _AGGREGATIONS[aggregation].format(expression)


def _grouped(expression: str) -> str:
    return expression if _NAME.match(expression) else f"({expression})"


def _renamed(expression: str, names: Mapping[str, str]) -> str:
    """An expression with the names of metrics in place of what it calls them."""
    return re.sub(r"[A-Za-z_]\w*", lambda match: names.get(match[0], match[0]), expression)


def _filters(written: Any) -> Iterator[str]:
    """The texts of a filter in any of the ways to write it."""
    if isinstance(written, str):
        yield written
    elif isinstance(written, Mapping):
        if "where_sql_template" in written:
            yield str(written["where_sql_template"])
        yield from _filters(written.get("where_filters"))
    elif isinstance(written, (list, tuple)):
        for each in written:
            yield from _filters(each)


def _values(entries: Any) -> Sequence[Mapping[str, Any]]:
    """Entries from a list, or from a mapping by identifiers as manifests have them."""
    return list(entries.values()) if isinstance(entries, Mapping) else _listed(entries)


def _listed(entries: Any) -> Sequence[Any]:
    if entries is None:
        return ()
    if not isinstance(entries, (list, tuple)):
        raise TypeError(f"{entries!r:.40}")
    return entries


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, (str, int, float)) else ""


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return tuple(text for each in values if (text := _text(each)))


def _meta(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a project says of its own, in ``meta`` or ``config``."""
    config = entry.get("config")
    inner = config.get("meta") if isinstance(config, Mapping) else None
    own = entry.get("meta")
    return {**(inner if isinstance(inner, Mapping) else {}), **(own if isinstance(own, Mapping) else {})}


def _column(entry: Mapping[str, Any]) -> DescribedColumn:
    meta = _meta(entry)
    kind = meta.get("kind")
    declared = [str(each.get("type")) for each in _listed(entry.get("constraints")) if isinstance(each, Mapping)]
    known: dict[str, Constraint] = {"primary_key": "primary_key", "not_null": "required", "unique": "unique"}
    restricted = meta.get("display") == "restricted" or any(meta.get(word) is True for word in ("pii", "contains_pii"))
    values = meta.get("values")
    return DescribedColumn(
        str(entry["name"]),
        label=_text(meta.get("label")),
        description=_text(entry.get("description")),
        unit=_text(meta.get("unit") or meta.get("units")),
        measure=kind if kind in {"id", "ordinal", "quantity"} else "",
        constraints=tuple(known[each] for each in declared if each in known),
        values=tuple((str(a), _text(b)) for a, b in values.items()) if isinstance(values, Mapping) else (),
        synonyms=_texts(meta.get("synonyms")),
        restricted=restricted,
        line=line_of(entry),
    )


def _tests(entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tests of a column in YAML: a name, or a mapping of a name to arguments."""
    for each in (*_listed(entry.get("tests")), *_listed(entry.get("data_tests"))):
        if isinstance(each, str):
            yield each, {}
        elif isinstance(each, Mapping):
            for name, arguments in each.items():
                if isinstance(arguments, Mapping):
                    yield str(name), arguments.get("arguments") or arguments
