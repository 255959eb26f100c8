"""The SQL of a SELECT with metrics: over the rows of one table, or of several, each computed by itself."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql.metrics.dimensions import MetricLimits, keys_of, longest, truncated
from rsql_magic.sql.metrics.figures import FigureReader
from rsql_magic.sql.metrics.inlining import (
    Inlined,
    conjuncts,
    identifier,
    is_call,
    of_table,
    plain_filters,
    same_name,
    within,
)
from rsql_magic.sql.metrics.paths import NotByDefinition, Paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rsql_magic.sql.metrics.expand import MetricQuery
    from rsql_magic.sql.metrics.inlining import Base
    from rsql_magic.sql.metrics.paths import ToOne

TIME = "metric_time"  # the time of each metric, as its definition has it
_KEYS = "all_groups"


class _Rows:
    """The rows of one table with those of the tables that it belongs to, under their aliases."""

    def __init__(self, query: MetricQuery, bases: list[Base]) -> None:
        self.query, self.bases, self.home = query, bases, bases[0].table
        self.time = bases[0].definition.time
        self._aliases: dict[str, str] = {}
        self.needed: dict[str, None] = {}
        self._limits = [
            MetricLimits.of(one, self.home, query.catalog, self.time)
            for one in (*(b.definition for b in bases), *query.composed)
        ]
        # One condition for all metrics stands in WHERE, conditions of their own inside each.
        self.is_shared = len({base.conditions for base in bases}) == 1

    @cached_property
    def _kept(self) -> dict[str, exp.Expr]:
        """The tables whose rows the draft keeps without any of the metrics', and how the others are told from these."""
        found: dict[str, exp.Expr] = {}
        reached = set().union(*Paths.of(self.query.catalog).around(self.home.full_name))
        for kept, other in self.query.written_joins.kept:
            steps = self._steps([kept]) if {kept, other} <= reached else []
            if any(step.origin == other for step in steps):
                there = of_table(self.home, steps[0].pairs[0][0])
                found[kept] = exp.Not(this=exp.Is(this=there, expression=exp.Null()))
        return found

    def alias(self, name: str) -> str:
        """What a table is called in the query."""
        if name not in self._aliases:
            short, taken = name.rpartition(".")[2], set(self._aliases.values())
            self._aliases[name] = next(s for s in (short, *(f"{short}_{n}" for n in range(2, 99))) if s not in taken)
        return self._aliases[name]

    def placed(self, node: exp.Expr) -> exp.Expr:
        """A definition's expression with its columns behind the aliases of this query."""
        root = exp.Paren(this=node.copy())
        for column in list(root.find_all(exp.Column)):
            column.replace(self._column(column.table, column.name))
        return plain_filters(root.this)

    def _column(self, table: str, name: str) -> exp.Column:
        self.needed.setdefault(table)
        dialect = self.query.dialect
        return exp.Column(this=identifier(name, dialect), table=identifier(self.alias(table), dialect))

    def rewritten(self, node: exp.Expr) -> exp.Expr:
        """A part of the draft over these rows: its columns behind aliases, definitions and metrics put in."""
        root = exp.Paren(this=node.copy())
        for call in [one for one in root.find_all(exp.Anonymous) if is_call(one)]:
            base = next(b for b in self.bases if b.definition.name.casefold() == call.expressions[0].name.casefold())
            value = self.figure(base)
            call.replace(exp.Paren(this=value) if isinstance(value, exp.Binary) else value)
        for column in [c for c in root.find_all(exp.Column) if c.find_ancestor(exp.Select) is None]:
            if column.args.get("table") is not None and column.meta.get("placed"):
                continue
            column.replace(self._named(column))
        made: exp.Expr = root.this
        return made

    def figure(self, base: Base) -> exp.Expr:
        """A metric over these rows."""
        conditions = () if self.is_shared else base.where
        if self._kept:  # a row that stands for none must not be counted
            conditions = (*self._kept.values(), *base.where)
        value = within(base.expression, conditions) if conditions else base.expression
        return _marked(self.placed(value))

    def _named(self, column: exp.Column) -> exp.Expr:
        if column.name.casefold() == TIME and not column.table:
            return self._time(as_key=column.parent is not None and column.parent.parent is None)
        owner = self.query.owner(column, self.home)
        found = owner.column(column.name)
        if found is not None:
            return self._column(owner.full_name, found.name)
        one = self.query.catalog.definitions.of_row(owner.full_name, column.name)
        if one is None:
            raise NotByDefinition(f"There is no column {column.name} in {owner.full_name}.")
        self.query.used[one.name] = one
        return self.placed(Inlined.of(self.query.catalog).of_row(one))

    def _time(self, *, as_key: bool) -> exp.Expr:
        """The time of the metrics; where rows are told by it, the start of the period that their grain is."""
        metric = self.bases[0].definition.name
        if not self.time:
            raise NotByDefinition(f"{metric} has no time in its definition.")
        table, _, name = self.time.rpartition(".")
        owner = self.query.catalog.get(table) if table else self.home
        if owner is None or owner.column(name) is None:
            raise NotByDefinition(f"{self.time}, the time of {metric}, is not there.")
        column = self._column(owner.full_name, name)
        grain = longest(limits.metric.grain for limits in self._limits)
        if not as_key or not grain:
            return column
        start = truncated(owner, column, grain, self.query.dialect)
        if start is None:
            raise NotByDefinition(f"{metric} can be told by {grain} or longer periods only: write which of {TIME}.")
        if start is not column:
            self.query.notes[f"{TIME} goes by {grain}, as the definition has it."] = None
        return start

    def conditions(self) -> list[exp.Expr]:
        """What the rows must meet: the draft's conditions and those of the definitions."""
        where = self.query.select.args.get("where")
        own = [self.rewritten(where.this)] if where is not None else []
        self._refuse_beyond(own)
        defined = [self.placed(one) for one in self.bases[0].where] if self.is_shared and not self._kept else []
        parts = [part for whole in (*defined, *own) for part in conjuncts(whole)]
        return list({part.sql(): part for part in parts}.values())

    def joined(self, select: exp.Select) -> exp.Select:
        """A SELECT from these rows, with the tables that its parts took."""
        select.set("from_", exp.From(this=self._table(self.home.full_name)))
        written = self.query.written_joins
        reached = set().union(*Paths.of(self.query.catalog).around(self.home.full_name))
        required = sorted(written.required & reached)
        required = [name for name in required if not all(step.is_total for step in self._steps([name]))]
        inner = {step.table for step in self._steps(required)}
        joins = []
        for step in self._in_order(self._steps([*self.needed, *required, *self._kept])):
            pairs = (
                exp.EQ(this=self._column(step.origin, here), expression=self._column(step.table, there))
                for here, there in step.pairs
            )
            side = "RIGHT" if step.table in self._kept else "" if step.is_total or step.table in inner else "LEFT"
            joins.append(
                exp.Join(this=self._table(step.table), on=exp.and_(*pairs), **({"side": side} if side else {}))
            )
        select.set("joins", joins or None)
        if not joins:
            for column in select.find_all(exp.Column):
                if column.table == self.alias(self.home.full_name):
                    column.set("table", None)
        return select

    def _steps(self, names: Iterable[str]) -> list[ToOne]:
        """The joins from the metrics' own table to others."""
        home, query = self.home.full_name, self.query
        others = [name for name in names if name != home]
        return Paths.of(query.catalog).steps(home, others, query.written_joins.pairs)

    def _in_order(self, steps: list[ToOne]) -> list[ToOne]:
        """Joins that keep the rows of their table last, as others would take these rows away."""
        found: list[ToOne] = []
        there = {self.home.full_name}
        while left := [step for step in steps if step not in found]:
            ready = [step for step in left if step.origin in there]
            found.append(next((step for step in ready if step.table not in self._kept), ready[0]))
            there.add(found[-1].table)
        return found

    def told_by(self, keys: Iterable[exp.Expr]) -> None:
        """Refuse keys, over these rows, that the definitions do not allow; say how partners are found for them.

        Raises:
            NotByDefinition: A column is no dimension, or a period is too short.
        """
        keys = list(keys)
        self._refuse_beyond(keys)
        tables = {self._owner(column) for key in keys for column in key.find_all(exp.Column)} - {""}
        written = self.query.written_joins.joined
        picked = [s for s in self._steps(sorted(tables)) if s.table not in written and not s.is_total]
        if picked:
            ways = ", ".join(f"{s.origin}.{a} = {s.table}.{b}" for s in picked for a, b in s.pairs)
            self.query.notes[f"Joined by rule along {ways}; rows without a partner stand under a missing value."] = None

    def _owner(self, column: exp.Column) -> str:
        """The full name of the table that a column over these rows is of."""
        return next((name for name, alias in self._aliases.items() if alias == column.table), "")

    def _refuse_beyond(self, told_by: list[exp.Expr]) -> None:
        defined = {text for base in self.bases for text in self._texts(self.placed(one) for one in base.where)}
        reader = FigureReader(self.query.catalog, self._owner, told_by)
        nodes = [node for text, nodes in reader.written.items() if text not in defined for node in nodes]
        for limits in self._limits:
            if problem := next(limits.beyond(nodes, self._owner), ""):
                raise NotByDefinition(problem)

    def _texts(self, conditions: Iterable[exp.Expr]) -> set[str]:
        return set(FigureReader(self.query.catalog, self._owner, conditions).written)

    def _table(self, name: str) -> exp.Table:
        table, dialect = self.query.catalog[name], self.query.dialect
        parts = [identifier(p, dialect) for p in (table.name, table.schema, table.database) if p]
        node = exp.Table(**dict(zip(("this", "db", "catalog"), parts, strict=False)))
        alias = self.alias(name)
        if alias != table.name:
            node.set("alias", exp.TableAlias(this=identifier(alias, dialect)))
        return node


def _marked(node: exp.Expr) -> exp.Expr:
    for column in node.find_all(exp.Column):
        column.meta["placed"] = True
    return node


class OneTable:
    """Metrics over the rows of one table: one SELECT."""

    def __init__(self, query: MetricQuery, bases: list[Base]) -> None:
        self._query, self._rows = query, _Rows(query, bases)

    def written(self) -> exp.Select:
        """The SELECT with its parts over the metrics' own rows."""
        select, made = self._query.select, self._query.select.copy()
        outputs = {one.alias.casefold() for one in select.expressions if isinstance(one, exp.Alias)}
        made.set("expressions", [self._output(one) for one in select.expressions])
        for clause in ("group", "having", "order", "qualify"):
            if (part := select.args.get(clause)) is not None:
                made.set(clause, self._clause(part, outputs if clause != "group" else set()))
        self._rows.told_by(keys_of(made))
        conditions = self._rows.conditions()
        made.set("where", exp.Where(this=exp.and_(*conditions)) if conditions else None)
        return self._rows.joined(made)

    def _output(self, one: exp.Expr) -> exp.Expr:
        value = self._rows.rewritten(one.unalias())
        if isinstance(one, exp.Alias):
            return exp.Alias(this=value, alias=one.args["alias"].copy())
        named = isinstance(one, exp.Column) and not isinstance(value, exp.Column)
        named = named or (isinstance(one, exp.Column) and value.name != one.name)
        return exp.Alias(this=value, alias=identifier(one.name, self._query.dialect)) if named else value

    def _clause(self, part: exp.Expr, outputs: set[str]) -> exp.Expr:
        made = part.copy()
        for term in list(made.expressions) if made.expressions else [made.this]:
            key = term.this if isinstance(term, exp.Ordered) else term
            if isinstance(key, exp.Column) and not key.table and key.name.casefold() in outputs:
                continue
            if not isinstance(key, exp.Literal):
                key.replace(self._rewritten(key, outputs))
        return made

    def _rewritten(self, key: exp.Expr, outputs: set[str]) -> exp.Expr:
        """A part of a clause; names of what is shown stay as they are."""
        holder = exp.Paren(this=key.copy())
        for column in list(holder.find_all(exp.Column)):
            if not column.table and column.name.casefold() in outputs and not is_call(column.parent):
                column.meta["placed"] = True
                column.set("table", None)
        kept = [column for column in holder.find_all(exp.Column) if column.meta.get("placed")]
        if not kept:
            return self._rows.rewritten(key)
        outputs_only = all(c.meta.get("placed") or is_call(c.parent) for c in holder.find_all(exp.Column))
        return holder.this if outputs_only and not list(holder.find_all(exp.Anonymous)) else self._rows.rewritten(key)


class SeveralTables:
    """Metrics over the rows of several tables: each computed by itself, then joined by what they are told by."""

    def __init__(self, query: MetricQuery, parts: list[list[Base]]) -> None:
        self._query, self._parts = query, [_Rows(query, bases) for bases in parts]
        group = query.select.args.get("group")
        self._keys: list[exp.Expr] = list(group.expressions) if group is not None else []
        shown = {one.unalias().sql(): one.alias_or_name for one in query.select.expressions}
        self._names = _distinct_names([shown.get(key.sql()) or key.name for key in self._keys])

    def written(self) -> exp.Select:
        """A SELECT over one subquery for each table, in WITH."""
        select, dialect = self._query.select, self._query.dialect
        made = exp.Select(**{k: v.copy() for k in ("order", "limit", "offset") if (v := select.args.get(k))})
        names = _distinct_names([f"of_{rows.home.name}" for rows in self._parts])
        for name, rows in zip(names, self._parts, strict=True):
            made = made.with_(identifier(name, dialect), as_=self._part(rows), copy=False)
        if self._keys:
            columns = [identifier(name, dialect) for name in self._names]
            each = [
                exp.select(*(exp.Column(this=c.copy()) for c in columns)).from_(identifier(n, dialect)) for n in names
            ]
            keys: exp.Query = each[0]
            for other in each[1:]:
                keys = exp.union(keys, other, distinct=True)
            made = made.with_(_KEYS, as_=keys, copy=False).from_(_KEYS, copy=False)
            for name in names:
                equal = (
                    exp.NullSafeEQ(
                        this=exp.Column(this=c.copy(), table=exp.to_identifier(_KEYS)),
                        expression=exp.Column(this=c.copy(), table=identifier(name, dialect)),
                    )
                    for c in columns
                )
                made = made.join(
                    exp.Table(this=identifier(name, dialect)), on=exp.and_(*equal), join_type="left", copy=False
                )
        else:
            made = made.from_(exp.Table(this=identifier(names[0], dialect)), copy=False)
            for name in names[1:]:
                made = made.join(exp.Table(this=identifier(name, dialect)), join_type="cross", copy=False)
        places = {
            base.definition.name.casefold(): name
            for name, rows in zip(names, self._parts, strict=True)
            for base in rows.bases
        }
        made.set("expressions", [self._outer(one, places) for one in select.expressions])
        if (order := made.args.get("order")) is not None:
            order.set("expressions", [self._outer(one, places) for one in order.expressions])
        if (having := select.args.get("having")) is not None:
            made = made.where(self._outer(self._spelled_out(having.this), places), copy=False)
        return made

    def _part(self, rows: _Rows) -> exp.Select:
        """The metrics of one table by the keys."""
        dialect = self._query.dialect
        keys = [rows.rewritten(key) for key in self._keys]
        rows.told_by(keys)
        shown = [
            exp.Alias(this=key, alias=identifier(name, dialect)) for key, name in zip(keys, self._names, strict=True)
        ]
        shown += [
            exp.Alias(this=rows.figure(base), alias=identifier(base.definition.name, dialect)) for base in rows.bases
        ]
        part = exp.select(*shown)
        if conditions := rows.conditions():
            part = part.where(*conditions)
        if keys:
            part = part.group_by(*(key.copy() for key in keys))
        return rows.joined(part)

    def _spelled_out(self, having: exp.Expr) -> exp.Expr:
        """A condition on what is shown, with the figures in place of their names: WHERE knows no such names."""
        root = exp.Paren(this=having.copy())
        for column in list(root.find_all(exp.Column)):
            named = (
                o for o in self._query.select.expressions if isinstance(o, exp.Alias) and same_name(column, o.alias)
            )
            if not is_call(column.parent) and (output := next(named, None)) is not None:
                column.replace(exp.Paren(this=output.this.copy()))
        made: exp.Expr = root.this
        return made

    def _outer(self, node: exp.Expr, places: Mapping[str, str]) -> exp.Expr:
        """A part of the draft over the subqueries: keys and metrics by their names there."""
        dialect = self._query.dialect
        root = exp.Paren(this=node.copy())
        known = {key.sql(): name for key, name in zip(self._keys, self._names, strict=True)}
        for one in list(root.walk()):
            if one is root or one.find_ancestor(exp.Select) is not None:
                continue
            if (name := known.get(one.sql())) is not None and one.parent is not None:
                one.replace(exp.Column(this=identifier(name, dialect), table=exp.to_identifier(_KEYS)))
            elif is_call(one):
                metric = one.expressions[0].name
                column = exp.Column(
                    this=identifier(self._query.catalog.definitions.metric(metric).name, dialect),  # type: ignore[union-attr]
                    table=identifier(places[metric.casefold()], dialect),
                )
                one.replace(column)
        found: exp.Expr = root.this
        if found.find(exp.AggFunc) and not found.find(exp.Window):
            raise NotByDefinition("Metrics of different tables stand by themselves: leave other figures out.")
        return found


def _distinct_names(names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for place, name in enumerate(names, start=1):
        short = re.sub(r"\W+", "_", name).strip("_") or f"key_{place}"
        found.append(short if short not in found else f"{short}_{place}")
    return found
