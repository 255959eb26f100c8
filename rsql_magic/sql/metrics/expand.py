"""``MEASURE(name)`` as SQL: the definition's expression and conditions, with the joins that it takes."""

# A SELECT with a MEASURE says what is wanted, not how: its columns say which tables take part, and FROM and JOIN are
# written anew from the metric's own table along keys that repeat no row. Metrics over the rows of different tables are
# each computed by themselves, and joined by what they are told by. So no draft can fan out a measure, forget a
# condition, or remember a definition wrongly (the semantic layers of dbt and Cube do the same).

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.dialects.reading import Unreadable, canonical, lex, own_tree
from rsql_magic.sql.dialects.records import dialect_of
from rsql_magic.sql.layout import laid_out
from rsql_magic.sql.metrics.inlining import (
    CALL,
    Inlined,
    conjuncts,
    has_figure,
    identifier,
    is_call,
    is_link,
    same_name,
)
from rsql_magic.sql.metrics.paths import NotByDefinition, Paths
from rsql_magic.sql.metrics.rows import TIME, OneTable, SeveralTables
from rsql_magic.sql.metrics.written_joins import WrittenJoins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rsql_magic.sql.catalog import Catalog, Table
    from rsql_magic.sql.definitions import Definition
    from rsql_magic.sql.metrics.inlining import Base


_MEDIANS = (exp.Median, exp.PercentileCont, exp.PercentileDisc, exp.Quantile, exp.ApproxQuantile)


@dataclass(frozen=True, slots=True)
class Expanded:
    """A query with its metrics as SQL."""

    sql: str
    used: tuple[Definition, ...] = ()  # The definitions it is made by
    notes: tuple[str, ...] = ()  # What was decided by rule, one sentence each
    problem: str = ""  # Why a metric could not be put in; ``sql`` is then as it was


def expand(sql: str, dialect: str, catalog: Catalog) -> Expanded:
    """A query in which every ``MEASURE(name)``, and every filter and derived value, stands as SQL.

    Example:
        >>> from dataclasses import replace
        >>> from rsql_magic.sql import Catalog, Definition, Definitions
        >>> shop = Catalog.from_ddl("CREATE TABLE orders (amount INT, status INT, shop TEXT)", "duckdb")
        >>> revenue = Definition("revenue", "metric", "SUM(amount)", "orders", where=("status <> 3",))
        >>> shop = replace(shop, definitions=Definitions((revenue,)))
        >>> print(expand("SELECT shop, MEASURE(revenue) FROM orders GROUP BY shop", "duckdb", shop).sql)
        SELECT shop, SUM(amount) AS revenue
        FROM orders
        WHERE status <> 3
        GROUP BY shop
    """
    if not catalog.definitions.named or not _names_one(sql, catalog):
        return Expanded(sql)
    try:
        dialect = canonical(dialect)
        tree = own_tree(lex(sql, dialect).text, dialect)
        used: dict[str, Definition] = {}
        notes: dict[str, None] = {}
        for select in list(tree.find_all(exp.Select)):
            if calls := list(measures(select)):
                written = MetricQuery(select, calls, dialect, catalog, used, notes).written()
                tree = written if select is tree else tree
                if select is not tree and select is not written and select.parent is not None:
                    select.replace(written)
            else:
                _put_in_rows(select, catalog, used)
    except (Unreadable, RecursionError):
        return Expanded(sql)
    except NotByDefinition as problem:
        return Expanded(sql, problem=str(problem))
    return Expanded(laid_out(_tidied(tree), dialect), tuple(used.values()), tuple(notes)) if used else Expanded(sql)


def _tidied(tree: exp.Expr) -> exp.Expr:
    """A tree without brackets around what stands by itself: an argument, an output, a condition."""
    for paren in list(tree.find_all(exp.Paren)):
        parent = paren.parent
        alone = isinstance(parent, (exp.Alias, exp.Where, exp.Having, exp.Paren, exp.Ordered, exp.Select, exp.If))
        if alone or (isinstance(parent, exp.Func) and not isinstance(parent, exp.Binary | exp.Connector)):
            paren.replace(paren.this)
    return tree


def measures(select: exp.Select) -> Iterator[exp.Anonymous]:
    """The calls of metrics that belong to a SELECT itself."""
    for call in select.find_all(exp.Anonymous):
        if call.name.upper() == CALL and call.find_ancestor(exp.Select) is select:
            yield call


def _names_one(sql: str, catalog: Catalog) -> bool:
    """Whether a text may name a definition: most queries need not be parsed for it."""
    words = catalog.kept("_names_of_definitions", _words)
    return any(word.casefold() in words for word in re.findall(r"\w+", sql))


def _words(catalog: Catalog) -> frozenset[str]:
    rows = (one.name.casefold() for one in catalog.definitions.named if one.kind != "metric")
    return frozenset({CALL.casefold(), *rows})


def _put_in_rows(select: exp.Select, catalog: Catalog, used: dict[str, Definition]) -> None:
    """Put filters and derived values into a SELECT without metrics, each behind the alias of its table."""
    tables = dict(_relations(select, catalog))
    for column in [one for one in select.find_all(exp.Column) if one.find_ancestor(exp.Select) is select]:
        names = [column.table.casefold()] if column.table else list(tables)
        found = [
            (alias, one)
            for alias in names
            if (table := tables.get(alias)) is not None
            and table.column(column.name) is None
            and (one := catalog.definitions.of_row(table.full_name, column.name)) is not None
        ]
        if len(found) != 1:
            continue
        [(alias, definition)] = found
        value = Inlined.of(catalog).of_row(definition).copy()
        for inner in list(value.find_all(exp.Column)) or ([value] if isinstance(value, exp.Column) else []):
            if inner.table != tables[alias].full_name:
                raise NotByDefinition(f"{definition.name} takes {inner.table}, which is not joined here.")
            behind = alias if len(tables) > 1 or column.table else ""
            inner.set("table", identifier(behind, catalog.dialect) if behind else None)
            inner.set("this", identifier(inner.name, catalog.dialect))
        is_output = column.parent is select and column.arg_key == "expressions"
        column.replace(exp.alias_(value, definition.name) if is_output else value)
        used[definition.name] = definition


def _relations(select: exp.Select, catalog: Catalog) -> Iterator[tuple[str, Table]]:
    """The tables of FROM and JOIN by their alias in lower case."""
    sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
    for source in sources:
        node = source.this if source is not None else None
        if isinstance(node, exp.Table) and (table := catalog.find([part.name for part in node.parts], "")) is not None:
            yield node.alias_or_name.casefold(), table


@dataclass
class MetricQuery:
    """A SELECT with metrics on its way to SQL."""

    select: exp.Select
    calls: list[exp.Anonymous]
    dialect: str
    catalog: Catalog
    used: dict[str, Definition] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)  # what was decided by rule, one sentence each
    composed: list[Definition] = field(default_factory=list)  # the metrics of metrics that it names

    def written(self) -> exp.Select:
        """The SELECT as SQL."""
        self._refuse()
        inlined = Inlined.of(self.catalog)
        for call in self.calls:
            metric = self._called(call)
            self.used[metric.name] = metric
            self.composed += [] if metric.table else [metric]
            if (call.parent is self.select and call.arg_key == "expressions") or metric.table == "":
                value = inlined.composed(metric)
                is_output = call.parent is self.select and call.arg_key == "expressions"
                name = identifier(metric.name, self.dialect)
                call.replace(exp.Alias(this=value, alias=name) if is_output else value)
        self._group()
        bases = {name: inlined.base(one) for name, one in self._bases.items()}
        self._refuse_unknown(bases.values())
        self._take_conditions()
        self._refuse_repeated([base.table for base in bases.values()])
        parts: dict[tuple[str, str], list[Base]] = {}
        for base in bases.values():
            time = base.definition.time if self._asks_time else ""
            parts.setdefault((base.table.full_name, time), []).append(base)
        if len(parts) == 1:
            [of_one] = parts.values()
            return OneTable(self, of_one).written()
        return SeveralTables(self, list(parts.values())).written()

    @property
    def _bases(self) -> Mapping[str, Definition]:
        found = (self._called(call) for call in measures(self.select))
        return {one.name: one for one in found}

    def _called(self, call: exp.Anonymous) -> Definition:
        name = call.expressions[0].name if len(call.expressions) == 1 else ""
        if (metric := self.catalog.definitions.metric(name)) is None:
            if reason := self.catalog.definitions.refused.get(name):
                raise NotByDefinition(f"{name} cannot be computed here: {reason}")
            known = ", ".join(one.name for one in self.catalog.definitions.metrics[:12])
            raise NotByDefinition(f"{CALL}({name}) is no defined metric. Defined are {known or 'none'}.")
        return metric

    def _refuse(self) -> None:
        """Refuse what leaves open which rows are meant."""
        sources = [s.this for s in (self.select.args.get("from_"), *(self.select.args.get("joins") or ())) if s]
        if len(sources) != len(self.tables):
            raise NotByDefinition(f"{CALL}(…) stands over tables: leave subqueries and WITH out of its FROM.")
        if self.select.is_star:
            raise NotByDefinition(f"Name the columns beside {CALL}(…) in place of *.")

    def _refuse_unknown(self, bases: Iterable[Base]) -> None:
        """Refuse figures that the database has no function for."""
        record = dialect_of(self.dialect)
        for base in bases:
            if not record.medians and base.expression.find(*_MEDIANS) is not None:
                raise NotByDefinition(
                    f"{base.definition.name} cannot be compiled: {record.title} has no median or percentile."
                )

    def _take_conditions(self) -> None:
        """Move what joins require beside equal columns into WHERE: FROM is written anew."""
        for join in self.select.args.get("joins") or ():
            on = join.args.get("on")
            parts = [part for part in conjuncts(on) if not is_link(part)] if on is not None else []
            if parts and (join.side or join.kind not in {"", "INNER"}):
                raise NotByDefinition(f"Beside {CALL}(…), write {parts[0].sql()} in WHERE and not in ON.")
            for part in parts:
                self.select.where(part.copy(), copy=False)

    def _refuse_repeated(self, homes: Sequence[Table]) -> None:
        """Refuse a join that chooses or repeats rows: only tables that a row belongs to are joined anew."""
        around = Paths.of(self.catalog).around
        reached = set[str]().union(*(names for home in homes for names in around(home.full_name)))
        for alias, table in self.tables.items():
            if table.full_name in reached:
                continue
            home = homes[0].full_name
            if reached & set[str]().union(*around(table.full_name)):
                said = f"{alias} has several rows for one of {home}, so it cannot stand beside {CALL}(…)."
                raise NotByDefinition(f"{said} Choose rows by IN (SELECT …).")
            Paths.of(self.catalog).steps(home, [table.full_name])  # says why
        first = next(iter(self.tables.values()), homes[0])
        calls = [call for one in self.select.expressions for call in one.find_all(exp.AggFunc)]
        others = [call for call in calls if not any(map(is_call, call.walk()))]
        if others and {first.full_name} != {home.full_name for home in homes}:
            raise NotByDefinition(f"{others[0].sql()} is over other rows than {CALL}(…): put it into another query.")

    @cached_property
    def tables(self) -> dict[str, Table]:
        """The tables that the draft names in FROM and JOIN, by alias."""
        with_ = {cte.alias_or_name.casefold() for cte in self.select.root().find_all(exp.CTE)}
        return {alias: table for alias, table in _relations(self.select, self.catalog) if alias not in with_}

    @cached_property
    def written_joins(self) -> WrittenJoins:
        """The joins of the draft: they tell apart two ways to one table, and which rows are kept."""
        return WrittenJoins.of(self.select, self.tables)

    @cached_property
    def _asks_time(self) -> bool:
        return any(column.name.casefold() == TIME for column in self.own_columns(self.select))

    def own_columns(self, node: exp.Expr) -> list[exp.Column]:
        """The columns below a node that belong to this SELECT, not to a subquery, and name no metric."""
        return [
            column
            for column in node.find_all(exp.Column)
            if column.find_ancestor(exp.Select) in {self.select, None} and not is_call(column.parent)
        ]

    def _group(self) -> None:
        """Group by everything shown that is no figure, where the draft does not say what to group by."""
        plain = [one.unalias() for one in self.select.expressions if not has_figure(one)]
        group = self.select.args.get("group")
        if plain and group is None:
            self.select.group_by(*(one.copy() for one in plain), copy=False)
        elif group is not None:
            outputs = self.select.expressions
            for place, term in enumerate(list(group.expressions)):
                named = next((o for o in outputs if isinstance(o, exp.Alias) and same_name(term, o.alias)), None)
                number = int(term.name) if isinstance(term, exp.Literal) and term.name.isdigit() else 0
                if 0 < number <= len(outputs):
                    named = outputs[number - 1]
                if named is not None:
                    group.expressions[place].replace(named.unalias().copy())

    def owner(self, column: exp.Column, home: Table) -> Table:
        """The table that a column is of, seen from the rows of one.

        Raises:
            NotByDefinition: No table has it, or several.
        """
        if column.table:
            table = self.tables.get(column.table.casefold()) or self.catalog.get(column.table)
            if table is None:
                raise NotByDefinition(f"There is no table {column.table} for {column.sql()}.")
            return table
        if self._has(home, column.name):
            return home
        for names in (
            {table.full_name for table in self.tables.values()},
            *Paths.of(self.catalog).around(home.full_name)[1:],
        ):
            found = [self.catalog[name] for name in sorted(names) if self._has(self.catalog[name], column.name)]
            if len(found) > 1:
                listed = " or ".join(f"{table.full_name}.{column.name}" for table in found)
                raise NotByDefinition(f"{column.name} may be {listed}: write which.")
            if found:
                return found[0]
        raise NotByDefinition(f"There is no column {column.name} in {home.full_name} or the tables that it belongs to.")

    def _has(self, table: Table, name: str) -> bool:
        return table.column(name) is not None or self.catalog.definitions.of_row(table.full_name, name) is not None
