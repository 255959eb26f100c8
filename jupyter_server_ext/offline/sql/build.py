"""From a draft to a query: names become columns, tables are joined, figures computed, ties kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .draft import Doubtful, Draft, Item, NotUnderstood, Order
from .expressions import Expressions
from .filters import Filters
from .scope import Scope, unqualified
from .times import date_of

if TYPE_CHECKING:
    from .draft import Condition
    from .joins import Joins, Step
    from .schema import Field, Names


class Builder:
    """One draft as a query."""

    def __init__(self, draft: Draft, names: Names, joins: Joins, dialect: str) -> None:
        self.draft = draft = _settled(draft)
        self.scope = Scope(draft, names, joins, dialect)
        self.filters = Filters(self.scope, self._item, self._lacking)
        self.expressions = Expressions(self.scope, lambda: date_of(self.scope, self.scope.subject))
        self._names, self._joins, self._dialect = names, joins, dialect

    def _item(self, item: Item) -> exp.Expr:
        return self.expressions.of(item)

    @property
    def cost(self) -> int:
        """How far the query goes beyond what the words say."""
        return self.draft.cost + self.scope.resolver.cost

    def build(self) -> exp.Select:
        """The query."""
        shown = [term for item in self._items() for term in self.expressions.shown(item)]
        groups = [term for item in self.draft.group for term in self.group_terms(item)]
        where, having = self.filters.all(self.draft.where), self.filters.all(self.draft.having)
        order = [self._ordered(one, shown) for one in self.draft.order]
        steps = self._joins.tree(self.scope.subject, {**self.scope.used, **dict.fromkeys(self.draft.things)})
        self._check_repeated(shown, groups, having)
        self._check(steps, shown)
        if steps and where is not None and not (groups or having is not None):
            raise Doubtful("I do not put a condition on rows that a join brings together")
        if self.draft.everything or self._is_nameless():
            table = self.scope.identifier(self.scope.subject.rpartition(".")[2])
            shown = [exp.Column(this=exp.Star(), table=table) if steps else exp.Star()]
        query = self.scope.select(shown, self.scope.subject, steps)
        query = query.where(where) if where is not None else query
        if groups or having is not None:
            query = query.group_by(*self._grouped(groups, shown))
        query = query.having(having) if having is not None else query
        query = query.distinct() if self.draft.distinct and not self._is_unique(shown) else query
        return unqualified(self._ranked(query, order))

    def _items(self) -> tuple[Item, ...]:
        """What is shown: groups first, where the question only says what they are counted by."""
        shown = self.draft.shown
        if not shown and self.draft.group:
            shown = (Item(function="count"),)
        if self.draft.having and not self.draft.group and not shown:
            shown = (Item(table=self.scope.subject),)
        missing = [item for item in self.draft.group if not self._says(shown, item)]
        return (*missing, *shown)

    def _says(self, shown: tuple[Item, ...], group: Item) -> bool:
        """Whether what is shown tells the groups apart: the group itself, or anything of its table."""
        if group in shown:
            return True
        if group.table:
            key = self._names.key(group.table)
            fields = [self.scope.field(item.name) for item in shown if item.name and not item.computed]
            return any(field.table == group.table or self._points_to(field, key) for field in fields)
        wanted = self.scope.field(group.name) if group.name else None
        return any(item.name and not item.computed and self.scope.field(item.name) == wanted for item in shown)

    def _is_unique(self, shown: list[exp.Expr]) -> bool:
        fields = self._names.fields.get(self.scope.subject, ())
        return len(shown) == 1 and any(field.unique and field.name == shown[0].name for field in fields)

    def _points_to(self, field: Field, key: Field | None) -> bool:
        """Whether a column holds the key of another table."""
        steps = self._joins.from_table(field.table)
        return key is not None and any(s.table == key.table and s.pairs == ((field.name, key.name),) for s in steps)

    def _is_nameless(self) -> bool:
        """Whether all that is shown is things that nothing names: then they are shown whole."""
        things = self.draft.shown == (Item(table=self.scope.subject),)
        return things and not (self._names.called(self.scope.subject) or self.draft.group or self.draft.having)

    def group_terms(self, item: Item) -> list[exp.Expr]:
        """What a group is made by: a column, or a thing's key and name."""
        if not item.table:
            return [self.expressions.of(item)]
        key = self._names.key(item.table)
        fields = dict.fromkeys([*([key] if key else []), *self.expressions.called(item.table)])
        return [self.scope.column(field) for field in fields]

    def _grouped(self, groups: list[exp.Expr], shown: list[exp.Expr]) -> list[exp.Expr]:
        """The groups, and the plain columns shown beside figures; the things themselves where only HAVING counts."""
        if not groups:
            groups = self.group_terms(Item(table=self.scope.subject))
        plain = [term.copy() for term in (one.unalias() for one in shown) if not term.find(exp.AggFunc)]
        tables = {column.table for term in groups for column in term.find_all(exp.Column)}
        named = any(item.table for item in self.draft.group)
        if self.draft.group and any(
            term not in groups and not (named and term.table in tables)
            for term in plain
            if isinstance(term, exp.Column)
        ):
            raise NotUnderstood("I do not see which of the values of a group to show")
        return list(dict.fromkeys([*groups, *plain]))

    def _ordered(self, order: Order, shown: list[exp.Expr]) -> exp.Expr:
        if order.item == Item():
            target = self._first_measure(shown)
        else:
            target = self.expressions.of(order.item)
            alias = next((term.alias for term in shown if isinstance(term, exp.Alias) and orders(term, target)), "")
            target = exp.column(alias) if alias else target
        return exp.Ordered(this=target.copy(), desc=order.descending, nulls_first=not order.descending)

    def _first_measure(self, shown: list[exp.Expr]) -> exp.Expr:
        """What “in descending order” is about: the figure shown, else the only column."""
        figures = [term for term in shown if term.find(exp.AggFunc)]
        chosen = figures or shown
        if len(chosen) != 1:
            raise NotUnderstood("I do not see what to order by")
        return exp.column(chosen[0].alias) if chosen[0].alias else chosen[0]

    def _ranked(self, query: exp.Select, order: list[exp.Expr]) -> exp.Select:
        """The query in order; of “the most expensive” all that tie for the first place."""
        draft = self.draft
        if draft.extreme and order and query.args.get("joins"):
            raise Doubtful("I do not rank over several tables, as several may come first")
        first = draft.order[0].item if draft.extreme and len(draft.order) == 1 else None
        if first is not None and first.name is not None and not first.computed and not query.args.get("group"):
            field = self.scope.field(first.name)
            if not field.unique:
                raise Doubtful(f"Several may share the first place, as values of {field.table}.{field.name} may repeat")
        query = query.order_by(*order) if order else query
        return query.limit(draft.limit) if draft.limit else query

    def _check_repeated(self, shown: list[exp.Expr], groups: list[exp.Expr], having: exp.Expr | None) -> None:
        """Refuse columns whose values all repeat: equal rows may be wanted once."""
        columns = [(term.table, term.name) for term in shown if isinstance(term, exp.Column)]
        if self.draft.distinct or self.draft.everything or groups or having or len(columns) < len(shown):
            return
        tables = {name.rpartition(".")[2]: name for name in self.scope.used}
        fields = [self._names.field(tables[table], name) for table, name in columns]
        if fields and all(field and self._names.repeats(field) for field in fields):
            named = " and ".join(dict.fromkeys(name for _, name in columns))
            raise Doubtful(f"Values of {named} repeat, and I do not see whether equal ones are wanted once")

    def _check(self, steps: tuple[Step, ...], shown: list[exp.Expr]) -> None:
        """Refuse to go through a table that the question does not name, and rows that a join repeats."""
        named = {*self.scope.used, *self.draft.things}
        for table in self.draft.things:
            if table not in self.scope.used and not any(step.origin == table for step in steps):
                raise Doubtful(f"I do not see what {table} is to say here")
        for step in steps:
            if step.table not in named and not self._joins.only_links(step.table):
                raise NotUnderstood(f"I should have to go through {step.table}, which the question does not name")
        if not any(step.to_many for step in steps) or self.draft.distinct:
            return
        if not (self.draft.group or self.draft.having):
            raise Doubtful("Rows would come several times, and I do not see whether each is wanted once")
        self._check_figures([term for term in shown if term.find(exp.AggFunc)], steps)

    def _check_figures(self, figures: list[exp.Expr], steps: tuple[Step, ...]) -> None:
        branches = [step for step in steps if step.to_many]
        sums = [term for term in figures if not isinstance(term.unalias(), exp.Count)]
        far = {step.table.rpartition(".")[2] for step in branches}
        for term in sums:
            if not {column.table for column in term.find_all(exp.Column)} <= far:
                raise Doubtful("A join would count some rows several times in this figure")
        if len(branches) > 1 and len({step.origin for step in branches}) < len(branches):
            raise Doubtful("A join would count some rows several times")

    def _lacking(self, condition: Condition) -> exp.Expr:
        """``key NOT IN (SELECT key FROM other WHERE …)``, by the key that joins the two."""
        other = condition.lacks or Draft()
        owner = condition.owner or self.scope.subject
        steps = self._joins.path(owner, other.things[0])
        if len(steps) > 2 or (len(steps) == 2 and not self._joins.only_links(steps[0].table)):
            raise NotUnderstood(f"I see no key that joins {owner} and {other.things[0]}")
        if not steps or not steps[0].to_many or len(steps[0].pairs) != 1:
            raise NotUnderstood(f"{owner} has no key that {other.things[0]} points to")
        first = steps[0]
        inside = Builder(replace(other, things=(first.table, *other.things)), self._names, self._joins, self._dialect)
        mine, theirs = first.pairs[0]
        own, their = self._names.field(owner, mine), self._names.field(first.table, theirs)
        if own is None or their is None:
            raise NotUnderstood(f"The key of {first.table} names a column that is not there")
        inner = inside.rows(inside.scope.column(their))
        among = exp.In(this=self.scope.column(own), query=inner.subquery())
        return among if condition.negated else exp.Not(this=among)

    def rows(self, column: exp.Column) -> exp.Select:
        """The values of one column in the rows that the draft's conditions keep, none missing."""
        where = self.filters.all(self.draft.where)
        self.scope.used.update(dict.fromkeys(self.draft.things))
        steps = self._joins.tree(self.scope.subject, self.scope.used)
        query = self.scope.select([column], self.scope.subject, steps)
        query = query.where(exp.Not(this=exp.Is(this=column.copy(), expression=exp.Null())))
        return query.where(where) if where is not None else query


def _settled(draft: Draft) -> Draft:
    """A draft whose groups are clear: rows are counted by what is shown beside the figure, or for each thing."""
    if len({one.item for one in draft.order}) > 1 and any(one.item == Item() for one in draft.order):
        raise NotUnderstood("I do not see what to order by")
    draft = replace(draft, order=tuple({one.item: one for one in reversed(draft.order)}.values())[::-1])
    return replace(draft, group=()) if draft.everything else _grouped(_once(draft))


def _once(draft: Draft) -> Draft:
    """Figures are shown once anyway, and the values of a column by itself are wanted once each."""
    plain = [item for item in draft.shown if not item.computed]
    if draft.shown and not plain:
        return replace(draft, distinct=False)
    alone = len(plain) == len(draft.shown) == 1 and plain[0].name is not None
    return replace(draft, distinct=draft.distinct or (alone and not (draft.things or draft.order or draft.where)))


def _grouped(draft: Draft) -> Draft:
    computed = [*(o.item for o in draft.order if o.item.computed), *(c.item for c in draft.having if c.item)]
    figures = [item for item in draft.shown if item.computed]
    plain = tuple(item for item in draft.shown if not item.computed)
    if draft.limit and figures and not plain and not draft.group:
        raise NotUnderstood("I compute no figures of the first rows")
    if draft.group and draft.shown and not figures and not computed:
        tables = {item.table for item in draft.group}
        if "" in tables or not tables <= set(draft.things or tables):
            raise NotUnderstood("I do not see what to compute for each group")
        return replace(draft, group=(), things=draft.things or tuple(tables))
    if draft.group:
        return replace(draft, group=tuple(dict.fromkeys(draft.group)), distinct=False)
    counted = {item.table for item in [*computed, *figures] if item.function == "count"} - {""}
    if (computed and not counted - {draft.things[0] if draft.things else ""}) or (figures and plain):
        return replace(draft, group=tuple(item for item in plain if item.name))
    return draft


def orders(shown: exp.Alias, target: exp.Expr) -> bool:
    """Whether a figure that is shown is what to order by: the same, or one of the column named."""
    if shown.this == target:
        return True
    columns = list(shown.this.find_all(exp.Column))
    return isinstance(target, exp.Column) and len(columns) == 1 and columns[0] == target
