"""From a draft to SQL: a tree of sqlglot, printed in the session's dialect."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from ..words import stem, word_set
from .query import Condition, Draft, Item, NotUnderstood, Order, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .joins import Step
    from .resolve import Resolver
    from .schema import Column, Table

_SIMPLE = re.compile(r"[A-Za-z_]\w*")
_SIMPLE_LOWER = re.compile(r"[a-z_]\w*")
_RESERVED = word_set(
    """
    all and any as asc between by case cast check column constraint create cross current default delete desc
    distinct drop else end except exists false for foreign from full grant group having in inner insert
    intersect into is join key left like limit match natural not null offset on or order outer primary
    references right select set some table then to true union unique update user using values when where window
    with
    """
)
_TIMES = word_set("year quarter month week day hour minute weekday date")
_FOLDING_DIALECTS = {"postgres", "snowflake", "oracle", "redshift"}


class Builder:
    """Builds one query.

    Args:
        resolver: What the mentions mean.
        draft: What is asked.
        dialect: sqlglot's name of the dialect.
    """

    def __init__(self, resolver: Resolver, draft: Draft, dialect: str) -> None:
        self.resolver = resolver
        self.draft = draft
        self.dialect = dialect
        self.schema = resolver.schema
        self.used: dict[str, None] = {}
        self._qualify = True

    # --- names ---

    def identifier(self, name: str) -> exp.Identifier:
        """An identifier, quoted when the dialect needs it."""
        simple = _SIMPLE_LOWER if self.dialect in _FOLDING_DIALECTS else _SIMPLE
        return exp.to_identifier(name, quoted=not simple.fullmatch(name) or name.lower() in _RESERVED)

    def column(self, column: Column) -> exp.Column:
        """A column, with its table's name."""
        self.used.setdefault(column.table, None)
        return exp.Column(this=self.identifier(column.name), table=self.identifier(column.table.rpartition(".")[2]))

    def table(self, name: str) -> exp.Table:
        """A table, with its schema where it has one."""
        parts = [self.identifier(part) for part in name.split(".")]
        return exp.Table(**dict(zip(("this", "db", "catalog"), reversed(parts), strict=False)))

    # --- the query ---

    def build(self) -> exp.Select:
        """The query.

        Raises:
            NotUnderstood: Something cannot be joined or chosen.
        """
        self.settle()
        if self.draft.having and not self.draft.group and self._is_one_count():
            return self._count_of_groups()
        self._imply_group()
        selected = list({e.sql(): e for item in self.draft.select for e in self.shown(item)}.values())
        if self.draft.everything or not selected:
            selected = [exp.Star()]
        groups = self._groups()
        where = self.conditions(self.draft.where)
        having = self.conditions(self.draft.having)
        orders = [self._ordered(order, selected) for order in self.draft.order] or self._by_time(selected)
        absent = [self.without(*pair) for pair in self.draft.without]
        query = exp.select(*selected)
        query = self._from(query)
        for condition in [where, *absent]:
            query = query.where(condition) if condition is not None else query
        query = query.group_by(*groups) if groups else query
        query = query.having(having) if having is not None else query
        query = query.order_by(*orders) if orders else query
        query = query.limit(self.draft.limit) if self.draft.limit else query
        return self._distinct(query, selected, groups)

    def _is_one_count(self) -> bool:
        """Whether only the number of things is asked for, of which something is compared: "cities with 3 airports"."""
        select = self.draft.select
        return len(select) == 1 and select[0].aggregate == "count" and select[0].mention is not None

    def _count_of_groups(self) -> exp.Select:
        """Count the groups that remain: ``SELECT COUNT(*) FROM (SELECT … GROUP BY … HAVING …)``."""
        counted = self.draft.select[0]
        inner = replace(self.draft, select=[Item(counted.mention)], group=[Item(counted.mention)], order=[], limit=None)
        inner.tables = [n for n in self.draft.tables if n != counted.mention or self.resolver.is_table(n)]
        groups = Builder(self.resolver, inner, self.dialect).build()
        name = f"n_{self._noun(counted.mention or 0)}"
        return exp.select(exp.alias_(exp.Count(this=exp.Star()), name)).from_(groups.subquery("groups"))

    def settle(self) -> None:
        """Choose the columns of everything the draft speaks of."""
        draft = self.draft
        items = [*draft.select, *draft.group, *(order.item for order in draft.order)]
        shared = [condition for item in items for condition in item.share]
        for condition in [*draft.where, *draft.having, *shared]:
            items += [condition.item] if condition.item else []
            items += [operand for operand in condition.operands if isinstance(operand, Item)]
        self.resolver.settle(items, [*draft.where, *draft.having, *shared])

    # --- items ---

    def expression(self, item: Item) -> exp.Expr:
        """An item as SQL."""
        if item.aggregate == "count":
            return self._count(item)
        if item.share:
            return self._share(item)
        if item.mention is None:
            raise NotUnderstood("I do not see what to order by")
        if self.resolver.is_table(item.mention):
            expression: exp.Expr = self.column(self._naming(self.resolver.table(item.mention)))
        else:
            column = self.resolver.column(item.mention, numeric=item.aggregate in {"avg", "sum"})
            expression = self._part(self.column(column), item.part)
            if item.aggregate in {"avg", "sum"} and not column.is_number:
                expression = self._as_number(expression)
        functions = {"avg": exp.Avg, "sum": exp.Sum, "min": exp.Min, "max": exp.Max}
        return functions[item.aggregate](this=expression) if item.aggregate else expression

    def _as_number(self, expression: exp.Expr) -> exp.Expr:
        """Figures that are stored as text: SQLite takes them as they are, others want to be told."""
        return expression if self.dialect == "sqlite" else exp.TryCast(this=expression, to=exp.DataType.build("double"))

    def _count(self, item: Item) -> exp.Expr:
        if item.mention is None:
            return exp.Count(this=exp.Star())
        if self.resolver.is_table(item.mention):
            table = self.resolver.table(item.mention)
            self.used.setdefault(table.name, None)
            if item.distinct or self._fans_out(table):
                return exp.Count(this=exp.Distinct(expressions=[self.column(self._key(table))]))
            return exp.Count(this=exp.Star())
        column = self.resolver.column(item.mention)
        if not item.distinct and self._identifies(column):
            return exp.Count(this=exp.Star())
        return exp.Count(this=exp.Distinct(expressions=[self.column(column)]))

    def _share(self, item: Item) -> exp.Expr:
        """The share of rows: the average of one where the conditions hold and of nothing where they do not."""
        if item.mention is not None and self.resolver.is_table(item.mention):
            self.used.setdefault(self.resolver.table(item.mention).name, None)
        condition = self.conditions(item.share)
        whole = exp.Literal.number("100.0" if item.percent else "1.0")
        return exp.Avg(this=exp.Case(ifs=[exp.If(this=condition, true=whole)], default=exp.Literal.number("0")))

    def _identifies(self, column: Column) -> bool:
        table = self.schema[column.table]
        return table.primary == (column.name,) or column.facts.unique

    def _fans_out(self, table: Table) -> bool:
        """Whether the other tables of the query can repeat this table's rows, and there are no groups to blame."""
        needed = self._needed()
        if len(needed) < 2 or not self._has_key(table):
            return False
        return any(step.to_many for step in self.resolver.graph.joins(table.name, needed))

    def _has_key(self, table: Table) -> bool:
        return len(table.primary) == 1 or any(column.facts.unique for column in table.columns)

    def _key(self, table: Table) -> Column:
        if len(table.primary) == 1 and (column := table.get(table.primary[0])):
            return column
        unique = next((column for column in table.columns if column.facts.unique), None)
        return unique or table.columns[0]

    def _naming(self, table: Table) -> Column:
        """The column that names a table's things, else its key."""
        if not table.columns:
            raise NotUnderstood(f"I know no column of {table.name}")
        return table.display or self._key(table)

    def _part(self, column: exp.Column, part: str) -> exp.Expr:
        if not part:
            return column
        if self.dialect == "sqlite":
            codes = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "weekday": "%w", "week": "%W"}
            if part == "date":
                return exp.func("DATE", column)
            if part in codes:
                return exp.cast(
                    exp.Anonymous(this="STRFTIME", expressions=[exp.Literal.string(codes[part]), column]), "int"
                )
            raise NotUnderstood(f"I cannot take the {part} of a date in SQLite")
        if part == "date":
            return exp.cast(column, "date")
        return exp.Extract(this=exp.var("DOW" if part == "weekday" else part.upper()), expression=column)

    def shown(self, item: Item) -> list[exp.Expr]:
        """What an item adds to the SELECT list; things without name and key are shown with all their columns."""
        if item.mention is not None and not item.aggregate and self.resolver.is_table(item.mention):
            table = self.resolver.table(item.mention)
            if table.display is None and not self._has_key(table) and not self.draft.group:
                self.used.setdefault(table.name, None)
                return [exp.Star()]
        expression = self.expression(item)
        alias = self._alias(item)
        return [exp.alias_(expression, alias, quoted=False) if alias else expression]

    def _alias(self, item: Item) -> str:
        if item.part and not item.aggregate:
            return item.part
        if not item.aggregate:
            return ""
        if item.share:
            return "percentage" if item.percent else "share"
        if item.aggregate == "count":
            return f"n_{self._noun(item.mention)}" if item.mention is not None else "n"
        return f"{item.aggregate}_{self._noun(item.mention)}" if item.mention is not None else item.aggregate

    def _noun(self, number: int) -> str:
        name = (
            self.resolver.table(number).name.rpartition(".")[2]
            if self.resolver.is_table(number)
            else self.resolver.column(number).name
        )
        return re.sub(r"\W+", "_", name).strip("_").lower() or "value"

    # --- groups ---

    def _add_up(self) -> None:
        """“The planes with the most miles”: the sum of their flights' miles, when the miles are the flights'."""
        draft = self.draft
        for place, order in enumerate(draft.order):
            shown = [item.mention for item in draft.select if item.mention is not None and not item.aggregate]
            if not order.total or order.item.aggregate or order.item.mention is None or not shown:
                continue
            measured = self.resolver.column(order.item.mention, numeric=True)
            thing = self._thing(shown[0]) or self.schema[self.resolver.column(shown[0]).table]
            steps = self.resolver.graph.path([thing.name], measured.table) or []
            if measured.is_number and any(step.to_many for step in steps):
                draft.order[place] = replace(order, item=replace(order.item, aggregate="sum"))

    def _rank_all(self) -> None:
        """“Which airlines had the longest delay”: all of them in their order, with the delay."""
        draft = self.draft
        measure = draft.order[-1].item if draft.order else None
        if draft.ranking and measure is not None and measure.aggregate and len(draft.select) <= 1:
            draft.limit = None
            draft.select = [*draft.select, measure]

    def _imply_group(self) -> None:
        """Group by what is shown when it stands beside an aggregate, or when groups are compared or ranked."""
        self._add_up()
        self._rank_all()
        draft = self.draft
        aggregates = [item for item in draft.select if item.aggregate]
        plain = [item for item in draft.select if not item.aggregate]
        counted = [order.item for order in draft.order if order.item.aggregate] + [
            c.item for c in draft.having if c.item
        ]
        if draft.group and not aggregates and not counted:
            draft.select = draft.select or [*draft.group]
            draft.group = [] if not draft.superlative else draft.group
        if not draft.group and plain and (aggregates or counted):
            draft.group = plain
        elif draft.group and aggregates and not plain:
            draft.select = [*draft.group, *draft.select]
        elif draft.group and not draft.select:
            draft.select = [*draft.group]
        if counted and not draft.group and not draft.select:
            raise NotUnderstood("I do not see what the counts are for")

    def _groups(self) -> list[exp.Expr]:
        groups: dict[str, exp.Expr] = {}
        if not self.draft.group:
            return []
        for item in self.draft.group:
            for expression in self._group_terms(item):
                groups.setdefault(expression.sql(), expression)
        for item in self.draft.select:
            if not item.aggregate:
                expression = self.expression(item)
                groups.setdefault(expression.sql(), expression)
        return list(groups.values())

    def _group_terms(self, item: Item) -> list[exp.Expr]:
        """A thing is grouped by its key as well as by its name, since names may repeat."""
        expression = self.expression(item)
        if item.mention is None or item.part:
            return [expression]
        table = self._thing(item.mention)
        if table is None or not self._has_key(table) or not self._counts_others(table) or item.aggregate:
            return [expression]
        key = self._key(table)
        shown = self._naming(table) if self.resolver.is_table(item.mention) else self.resolver.column(item.mention)
        return [expression] if shown.facts.unique or shown == key else [self.column(key), expression]

    def _thing(self, number: int) -> Table | None:
        """The table whose things a mention stands for, by itself or by its naming column."""
        if self.resolver.is_table(number):
            return self.resolver.table(number)
        column = self.resolver.column(number)
        table = self.schema[column.table]
        owner = self.resolver.reading.owners.get(number)
        owned = owner is not None and self.resolver.table(owner).name == table.name
        return table if table.display == column or owned else None

    def _counts_others(self, table: Table) -> bool:
        return any(name != table.name for name in self._needed())

    # --- conditions ---

    def conditions(self, conditions: Iterable[Condition]) -> exp.Expr | None:
        """The conditions joined from left to right; "or" binds the neighbours it stands between."""
        groups: list[list[exp.Expr]] = []
        for condition in conditions:
            expression = self._condition(condition)
            if condition.joined == "or" and groups:
                groups[-1].append(expression)
            else:
                groups.append([expression])
        if not groups:
            return None
        return exp.and_(*(exp.or_(*group) if len(group) > 1 else group[0] for group in groups))

    def _condition(self, condition: Condition) -> exp.Expr:
        if condition.item is None:
            column, values = self.resolver.value_column(condition)
            left: exp.Expr = self.column(column)
            right = [_literal(value, column) for value in values]
        else:
            left = self.expression(condition.item)
            own = self._column_of(condition.item)
            right = [self._operand(operand, own, condition) for operand in condition.operands]
            _check_comparable(condition, own)
            if own is not None and own.is_measured and not own.is_number and condition.operator not in {"=", "!="}:
                left = self._as_number(left)
        return self._compare(left, condition.operator, right)

    def _column_of(self, item: Item) -> Column | None:
        if item.aggregate == "count" or item.mention is None or item.part:
            return None
        if self.resolver.is_table(item.mention):
            return self._naming(self.resolver.table(item.mention))
        return self.resolver.column(item.mention)

    def _operand(self, operand: Value | Item, column: Column | None, condition: Condition) -> exp.Expr:
        if isinstance(operand, Value):
            return _literal(operand, column)
        expression = self.expression(operand)
        if not condition.overall:
            return expression
        source = self._column_of(replace(operand, aggregate=""))
        if source is None:
            raise NotUnderstood("I do not see what to compare with")
        return exp.select(expression).from_(self.table(source.table)).subquery()

    def _compare(self, left: exp.Expr, operator: str, right: list[exp.Expr]) -> exp.Expr:
        if operator == "null":
            return exp.Is(this=left, expression=exp.Null())
        if operator == "not null":
            return exp.Not(this=exp.Is(this=left, expression=exp.Null()))
        if operator == "between":
            return exp.Between(this=left, low=right[0], high=right[1])
        if operator in {"in", "not in"}:
            found = exp.In(this=left, expressions=right)
            return found if operator == "in" else exp.Not(this=found)
        if operator in {"like", "not like"}:
            kind = exp.ILike if self.dialect in {"duckdb", "postgres", "snowflake", "redshift"} else exp.Like
            found_like = kind(this=left, expression=right[0])
            return found_like if operator == "like" else exp.Not(this=found_like)
        kinds = {"=": exp.EQ, "!=": exp.NEQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE}
        return kinds[operator](this=left, expression=right[0])

    def without(self, subject: int | None, other: int) -> exp.Expr:
        """``key NOT IN (SELECT key FROM other)``, through the key that joins the two."""
        own = self.resolver.table(subject) if subject is not None else self.resolver.subject
        if own is None:
            raise NotUnderstood("I do not see what should have none")
        absent = self.resolver.table(other)
        steps = self.resolver.graph.path([own.name], absent.name)
        if not steps:
            raise NotUnderstood(f"I see no key that joins {own.name} and {absent.name}")
        first = steps[0].key
        mine, theirs = (first.columns, first.referred) if first.table == own.name else (first.referred, first.columns)
        inner = Builder(self.resolver, Draft(), self.dialect)
        column = self._stored(steps[0].table, theirs[0])
        outer = self._stored(own.name, mine[0])
        query = exp.select(inner.column(column)).from_(self.table(steps[0].table))
        for step in steps[1:]:
            query = query.join(self.table(step.table), on=inner.join_condition(step))
        query = query.where(exp.Not(this=exp.Is(this=inner.column(column), expression=exp.Null())))
        return exp.Not(this=exp.In(this=self.column(outer), query=query.subquery()))

    def _stored(self, table: str, name: str) -> Column:
        column = self.schema.column(table, name)
        if column is None:
            raise NotUnderstood(f"The key of {table} names a column {name} that is not there")
        return column

    # --- tables ---

    def _needed(self) -> list[str]:
        """Tables that take part: those whose columns are used and those spoken of."""
        excluded = {self.resolver.table(other).name for _, other in self.draft.without}
        spoken = [self.resolver.table(number).name for number in self.draft.tables if self.resolver.is_table(number)]
        return [name for name in dict.fromkeys([*self.used, *spoken]) if name not in excluded or name in self.used]

    def _from(self, query: exp.Select) -> exp.Select:
        needed = self._needed()
        if not needed:
            raise NotUnderstood("I do not see which table the question is about")
        query = query.from_(self.table(needed[0]))
        for step in self.resolver.graph.joins(needed[0], needed):
            query = query.join(self.table(step.table), on=self.join_condition(step))
            self._own_up(step)
        return query

    def _own_up(self, step: Step) -> None:
        rivals = self.resolver.graph.rivals(step)
        if rivals:
            names = ", ".join(key.columns[0] for key in rivals)
            self.draft.notes.append(
                f"I joined {step.key.other} by {step.key.table}.{step.key.columns[0]}; {names} would be possible too."
            )

    def join_condition(self, step: Step) -> exp.Expr:
        """The condition of one join."""
        key = step.key
        pairs = zip(key.columns, key.referred, strict=False)
        return exp.and_(
            *(
                exp.EQ(this=self._plain(key.table, own), expression=self._plain(key.other, other))
                for own, other in pairs
            )
        )

    def _plain(self, table: str, name: str) -> exp.Column:
        return exp.Column(this=self.identifier(name), table=self.identifier(table.rpartition(".")[2]))

    # --- order, distinct ---

    def _by_time(self, selected: list[exp.Expr]) -> list[exp.Expr]:
        """Groups by month, day or hour come in the order of time, whether that is asked or not."""
        shown = [
            item for item in self.draft.group if item.mention is not None and not self.resolver.is_table(item.mention)
        ]
        if not any(item.part or _TIMES & set(self.resolver.column(item.mention or 0).words) for item in shown):
            return []
        plain = [e for e in selected if not e.find(exp.AggFunc)]
        return [exp.Ordered(this=exp.column(e.alias) if e.alias else e.copy(), nulls_first=False) for e in plain]

    def _ordered(self, order: Order, selected: list[exp.Expr]) -> exp.Expr:
        if order.item.mention is None and not order.item.aggregate:
            if isinstance(selected[0], exp.Star):
                raise NotUnderstood("I do not see what to order by")
            expression: exp.Expr = selected[0].unalias().copy()
        else:
            expression = self.expression(order.item)
        for shown in selected:
            if isinstance(shown, exp.Alias) and shown.this == expression:
                expression = exp.column(shown.alias)
        return exp.Ordered(this=expression, desc=order.descending, nulls_first=self._nulls_first(order))

    def _nulls_first(self, order: Order) -> bool:
        """Missing values come last where they would be taken for the lowest or highest; else as the dialect has it."""
        item = order.item
        known = item.mention is not None and not self.resolver.is_table(item.mention)
        gaps = known and bool(self.resolver.column(item.mention or 0).facts.missing)
        small = Dialect.get_or_raise(self.dialect or None).NULL_ORDERING == "nulls_are_small"
        return small and not order.descending and not (gaps and self.draft.limit)

    def _distinct(self, query: exp.Select, selected: list[exp.Expr], groups: list[exp.Expr]) -> exp.Select:
        if groups or any(e.find(exp.AggFunc) for e in selected) or isinstance(selected[0], exp.Star):
            return query
        if self.draft.distinct or self._repeats(query):
            return query.distinct()
        return query

    def _repeats(self, query: exp.Select) -> bool:
        """Whether rows would repeat for no reason: a thing joined to many others, or a list of categories."""
        shown = {column.table for item in self.draft.select if (column := self._column_of(item)) is not None}
        if len(shown) != 1 or self.draft.order or self.draft.limit:
            return False
        table = next(iter(shown))
        if query.args.get("joins"):
            return any(step.to_many for step in self.resolver.graph.joins(table, self._needed()))
        return len(self.draft.select) == 1 and self._is_category(self.draft.select[0])

    def _is_category(self, item: Item) -> bool:
        """Whether a column is asked for by itself and its values repeat: "all majors", not "majors of students"."""
        if (
            item.mention is None
            or item.part
            or self.resolver.is_table(item.mention)
            or item.mention in self.resolver.reading.owners
        ):
            return False
        column = self.resolver.column(item.mention)
        mention = self.resolver.reading.mentions[item.mention]
        plural = mention.text != "" and stem(mention.text.split()[-1]) != mention.text.split()[-1].lower()
        named = self.schema[column.table].display == column
        return plural and not named and not column.key and not column.facts.unique and (column.is_text or column.is_id)


def _check_comparable(condition: Condition, column: Column | None) -> None:
    """Refuse to order text by a number.

    Raises:
        NotUnderstood: The column holds words.
    """
    numbers = [operand for operand in condition.operands if isinstance(operand, Value) and operand.number is not None]
    ordered = condition.operator not in {"=", "!=", "in", "not in"}
    if column is not None and numbers and ordered and column.is_text and not column.is_measured:
        raise NotUnderstood(f"{column.table}.{column.name} holds text that I cannot compare with {numbers[0].text}")


_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


def _in_unit(value: Value, column: Column | None) -> float:
    """A length of time in the column's own unit, as its facts give it.

    Raises:
        NotUnderstood: The column's unit is not known.
    """
    amount = value.number or 0.0
    if not value.unit or column is None:
        return amount
    said = f"{column.facts.unit} {column.facts.text} {' '.join(column.words)}".lower()
    unit = next((name for name in _SECONDS if re.search(rf"\b{name}s?\b", said)), "")
    if not unit and value.unit in {"day", "week"}:
        return amount
    if not unit:
        raise NotUnderstood(f"I do not know whether {column.table}.{column.name} is in minutes or in hours")
    return amount * _SECONDS[value.unit] / _SECONDS[unit]


def _literal(value: Value, column: Column | None) -> exp.Expr:
    if value.number is not None and (column is None or not column.is_text or column.is_measured):
        amount = _in_unit(value, column)
        number = int(amount) if amount == int(amount) else amount
        return exp.Literal.number(str(number)) if number >= 0 else exp.Neg(this=exp.Literal.number(str(-number)))
    if value.number is not None and value.number == int(value.number):
        return exp.Literal.string(str(int(value.number)))
    if column is not None and column.is_number and re.fullmatch(r"-?\d+(\.\d+)?", value.text):
        return exp.Literal.number(value.text)
    return exp.Literal.string(value.text)


def unqualify(query: exp.Select) -> exp.Select:
    """Take the table names off columns where each query has one table: shorter, and as a person would write it."""
    for select in list(query.find_all(exp.Select)):
        if select.args.get("joins") or len(list(select.find_ancestor(exp.Select) or [])) < 0:
            continue
        table = select.find(exp.Table)
        if table is None:
            continue
        for column in select.find_all(exp.Column):
            if column.find_ancestor(exp.Select) is select and column.table.lower() == table.name.lower():
                column.set("table", None)
    return query
