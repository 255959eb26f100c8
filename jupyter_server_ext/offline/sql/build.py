"""From a draft to a query: names become columns, tables are joined, figures computed; doubtful queries are refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .draft import Doubtful, Item, NotUnderstood, OfflineDraft, Order
from .schema import PARTIAL, words_of
from .scope import QueryScope, unqualified
from .terms import Terms
from .words import STEMS

if TYPE_CHECKING:
    from .draft import Condition
    from .schema import Field, JoinStep, SchemaNames

# What a part of a date says nothing without: the hottest "day" is no number from 1 to 31 of all months.
_LARGER = {"hour": ("day", "date"), "day": ("month",), "week": ("year",), "month": ("year",), "quarter": ("year",)}


class Builder:
    """One draft as a query."""

    def __init__(self, draft: OfflineDraft, names: SchemaNames, dialect: str) -> None:
        self._asked = draft.group
        self.draft = draft = _settled(_own_order(_of_shown(_without_itself(draft))))
        self.scope = self.scoped(draft, names, dialect)
        self.terms = Terms(self.scope, self._lacking)
        self._names = names

    def scoped(self, draft: OfflineDraft, names: SchemaNames, dialect: str) -> QueryScope:
        """The names of the query."""
        return QueryScope(draft, names, dialect)

    def build(self) -> exp.Select:
        """The query."""
        shown = [term for item in self._items() for term in self.terms.shown(item)]
        groups = [term for item in self.draft.group for term in self._group_terms(item)]
        where, having = self.terms.all(self.draft.where), self.terms.all(self.draft.having)
        order = [self._ordered(one, shown) for one in self.draft.order]
        first = self.draft.order[0] if self.draft.order else None
        if first and first.own and first.item.name and not self.scope.field(first.item.name).is_number:
            raise NotUnderstood(f"“{first.item.name.text}” is no number, so it ranks nothing")
        steps = self._names.joins.tree(self.scope.subject, {**self.scope.used, **dict.fromkeys(self.draft.things)})
        if any(step.to_many for step in steps):
            if self._asked and not self.draft.group:
                raise NotUnderstood("I do not see what to compute for each group")
            shown, order = self._counted_once(shown, order)
        self._check_repeated(shown, groups, having)
        self._check_steps(steps, shown)
        # Things that nothing names are shown whole.
        nameless = self.draft.shown == (Item(table=self.scope.subject),) and not (
            self._names.called(self.scope.subject)
            or self._texted(self.scope.subject)
            or self.draft.group
            or self.draft.having
        )
        if self.draft.everything or nameless:
            table = self.scope.identifier(self.scope.subject.rpartition(".")[2])
            shown = [exp.Column(this=exp.Star(), table=table) if steps else exp.Star()]
        if not (groups or having is not None) and any(
            o.find(exp.AggFunc) for o in order if shown and not shown[0].find(exp.AggFunc)
        ):
            raise NotUnderstood("I do not see what to count to order by it")
        query = self.scope.select(shown, steps).where(where)
        if groups or having is not None:
            self._check_counts(self._grouped(groups, shown))
            self._check_sums()
        if groups or having is not None:
            query = query.group_by(*self._grouped(groups, shown))
        query = query.having(having)
        fields = self._names.fields.get(self.scope.subject, ())
        unique = (
            not any(step.to_many for step in steps)
            and len(shown) == 1
            and any(field.unique and field.name == shown[0].name for field in fields)
        )
        query = query.distinct() if self.draft.distinct and not unique else query
        return unqualified(self._ranked(query, order))

    def _counted_once(self, shown: list[exp.Expr], order: list[exp.Expr]) -> tuple[list[exp.Expr], list[exp.Expr]]:
        """Figures that count each thing once, where a join brings it several times."""
        items = (
            *self.draft.shown,
            *(one.item for one in self.draft.order),
            *(c.item for c in self.draft.having if c.item),
        )
        counted = {item.table for item in items if item.function == "count" and item.name is None}
        key = self._names.key(self.scope.subject)
        if counted != {self.scope.subject} or key is None:
            return shown, order

        def once(node: exp.Expr) -> exp.Expr:
            if isinstance(node, exp.Count) and isinstance(node.this, exp.Star):
                return exp.Count(this=exp.Distinct(expressions=[self.scope.column(key)]))
            return node

        return [term.transform(once) for term in shown], [term.transform(once) for term in order]

    def _texted(self, table: str) -> bool:
        """Whether a table's things are called by a key that is text."""
        key = self._names.key(table)
        return key is not None and key.is_text

    def _items(self) -> tuple[Item, ...]:
        # Groups come first, where the question only says what they are counted by.
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
        fields = [self.scope.field(item.name) for item in shown if item.name and not item.function]
        if not group.table:
            return bool(fields) and (self.scope.field(group.name) if group.name else None) in fields
        key, steps = self._names.key(group.table), self._names.joins.steps
        return any(
            field.table == group.table
            or (key and any(s.table == key.table and s.pairs == ((field.name, key.name),) for s in steps[field.table]))
            for field in fields
        )

    def _group_terms(self, item: Item) -> list[exp.Expr]:
        """What a group is made by: a column, or a thing's key and name."""
        if not item.table:
            return [self.terms.of(item)]
        key = self._names.key(item.table)
        fields = dict.fromkeys([*([key] if key else []), *self.terms.called(item.table)])
        return [self.scope.column(field) for field in fields]

    def _grouped(self, groups: list[exp.Expr], shown: list[exp.Expr]) -> list[exp.Expr]:
        """The groups, and the plain columns shown beside figures; the things themselves where only HAVING counts."""
        if not groups:
            groups = self._group_terms(Item(table=self.scope.subject))
        plain = [term.copy() for term in (one.unalias() for one in shown) if not term.find(exp.AggFunc)]
        # Of a thing that makes the groups any column may be shown, of other groups only what makes them.
        tables = {column.table for term in groups for column in term.find_all(exp.Column)}
        own = tables if any(item.table for item in self.draft.group) else set()
        if self.draft.group and any(
            isinstance(term, exp.Column) and term not in groups and term.table not in own for term in plain
        ):
            raise NotUnderstood("I do not see which of the values of a group to show")
        return list(dict.fromkeys([*groups, *plain]))

    def _ordered(self, order: Order, shown: list[exp.Expr]) -> exp.Expr:
        if order.item == Item():  # "in descending order" is of the figure shown, else of the only column
            chosen = [term for term in shown if term.find(exp.AggFunc)] or shown
            if len(chosen) != 1:
                raise NotUnderstood("I do not see what to order by")
            target = chosen[0]
        else:
            target = self.terms.of(order.item)
            target = next((term for term in shown if isinstance(term, exp.Alias) and orders(term, target)), target)
        target = exp.column(target.alias) if target.alias else target
        return exp.Ordered(this=target.copy(), desc=order.descending, nulls_first=not order.descending)

    def _ranked(self, query: exp.Select, order: list[exp.Expr]) -> exp.Select:
        draft = self.draft
        if draft.extreme and order:
            first = draft.order[0].item
            field = self.scope.field(first.name) if first.name is not None and not first.function else None
            if field is not None and field.is_text and not STEMS["happenings"] & set(words_of(field.name)):
                raise NotUnderstood(f"{field.table}.{field.name} holds text, which has no rank")
            subject = self.scope.subject
            repeated = [step.table for step in self._names.joins.tree(subject, self.scope.used) if step.to_many]
            if field is not None and repeated and field.table not in repeated and not query.args.get("group"):
                raise Doubtful(f"Several of {repeated[0]} may belong to the first of {field.table}")
            if field is not None and any(s.to_many for s in self._names.joins.path(field.table, subject)):
                raise Doubtful(f"Several of {subject} may belong to the first of {field.table}")
            if field is None or not field.unique:
                self.scope.notes.append(
                    f"Where several share the {'last' if draft.limit > 1 else 'first'} place, not all are shown."
                )
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
            self.scope.notes.append(f"Values of {named} repeat: each row is shown.")

    def _check_sums(self) -> None:
        """Refuse to rank by a figure of what several rows share, as it would be added once for each of them."""
        for item in (one.item for one in self.draft.order):
            if item.name is None or item.function not in {"sum", "avg"}:
                continue
            path = self._names.joins.path(self.scope.subject, self.scope.field(item.name).table)
            if path and not any(step.to_many for step in path):
                raise Doubtful(f"A join would count some rows of {path[-1].table} several times")

    def _check_counts(self, groups: list[exp.Expr]) -> None:
        """Refuse to count what there is one of in every group: rows of a key, or the thing that a row points to."""
        computed = [*(one.item for one in self.draft.order), *(c.item for c in self.draft.having if c.item)]
        for item in computed:
            counted = item.table or self.scope.subject
            if item.function != "count" or item.name is not None:
                continue
            for table in dict.fromkeys((counted, self.scope.subject)):
                key, path = self._names.key(table), self._names.joins.path(table, counted)
                if key is not None and self.scope.column(key) in groups and not any(step.to_many for step in path):
                    refusal = NotUnderstood if table == counted else Doubtful
                    raise refusal(
                        f"There is one of {counted} for each {table}.{key.name}, so there is nothing to count"
                    )

    def _check_steps(self, steps: tuple[JoinStep, ...], shown: list[exp.Expr]) -> None:
        """Refuse to go through a table that the question does not name, and rows that a join repeats."""
        named = {*self.scope.used, *self.draft.things}
        for table in self.draft.things:
            if table not in self.scope.used and not any(step.origin == table for step in steps):
                raise Doubtful(f"I do not see what {table} is to say here")
        for step in steps:
            if step.table not in named and not self._names.joins.only_links(step.table):
                self._go_through(step.table, steps)
        branches = [step for step in steps if step.to_many and not self._pinned(step.table, steps)]
        if not branches or self.draft.distinct:
            return
        far = {step.table.rpartition(".")[2] for step in branches}
        if not (self.draft.group or self.draft.having) and not self._of_far(shown, branches, steps):
            raise Doubtful("Rows would come several times, and I do not see whether each is wanted once")
        for term in shown:
            sums = term.find(exp.AggFunc) and not isinstance(term.unalias(), exp.Count)
            if sums and not {column.table for column in term.find_all(exp.Column)} <= far:
                raise Doubtful("A join would count some rows several times in this figure")
        if len({step.origin for step in branches}) < len(branches):
            raise Doubtful("A join would count some rows several times")

    def _go_through(self, table: str, steps: tuple[JoinStep, ...]) -> None:
        """Say that a table is gone through that the question does not name, or refuse it where it repeats rows."""
        if any(step.to_many for step in steps if table in (step.table, step.origin)):
            raise NotUnderstood(f"I should have to go through {table}, which the question does not name")
        self.scope.notes.append(f"I went through {table}, which the question does not name.")
        self.scope.cost += 1

    def _of_far(self, shown: list[exp.Expr], branches: list[JoinStep], steps: tuple[JoinStep, ...]) -> bool:
        """Whether all that is shown is of the rows that a join brings to one thing: one row for each of them."""
        ends = {branches[0].table, *(step.table for step in steps if step.origin == branches[0].table)}
        names = {name.rpartition(".")[2] for name in ends}
        columns = [column for term in shown for column in term.find_all(exp.Column)]
        return len(branches) == 1 and bool(columns) and all(column.table in names for column in columns)

    def _pinned(self, table: str, steps: tuple[JoinStep, ...]) -> bool:
        """Whether a condition names one thing of a table, or of the one that it only links to: it comes once."""
        ends = {table, *(step.table for step in steps if step.origin == table and self._names.joins.only_links(table))}
        for condition in self.draft.where:
            if condition.operator != "=" or condition.negated or condition.either or len(condition.values) != 1:
                continue
            with suppress(NotUnderstood):
                name = condition.item.name if condition.item is not None else None
                field = self.scope.field(name) if name else None
                if condition.item is None:
                    field = self.scope.holder(condition)
                field = field or next(iter(self._names.called(condition.owner or self.scope.subject)), None)
                if field and field.table in ends and (field.unique or field in self._names.called(field.table)):
                    if not field.unique:
                        self.scope.notes.append(f"Where several of {field.table} are called so, all are meant.")
                    return True
        return False

    def _lacking(self, condition: Condition) -> exp.Expr:
        """``key NOT IN (SELECT key FROM other WHERE …)``, by the key that joins the two."""
        other = condition.lacks or OfflineDraft()
        if other.order or other.limit or other.group or other.having:
            raise NotUnderstood(
                f"I do not look for the first rows of {other.things[0]}, or groups of them, in those of another"
            )
        owner, joins = condition.owner or self.scope.subject, self._names.joins
        steps = joins.path(owner, other.things[0])
        if len(steps) > 2 or (len(steps) == 2 and not joins.only_links(steps[0].table)):
            raise NotUnderstood(f"I see no key that joins {owner} and {other.things[0]}")
        # NOT IN takes one column, whose values are the thing's own key.
        if not steps or not (steps[0].back or condition.negated) or len(steps[0].pairs) != 1:
            raise NotUnderstood(f"{owner} has no key that {other.things[0]} points to")
        first = steps[0]
        own, their = (self._names.field(*one) for one in zip((owner, first.table), first.pairs[0], strict=True))
        if own is None or their is None:
            raise NotUnderstood(f"The key of {first.table} names a column that is not there")
        inside = Builder(replace(other, things=(first.table, *other.things)), self._names, self.scope.dialect)
        among = exp.In(this=self.scope.column(own), query=inside.values(inside.scope.column(their)).subquery())
        return among if condition.negated else exp.Not(this=among)

    def values(self, column: exp.Column) -> exp.Select:
        """The values of one column in the rows that the draft's conditions keep."""
        where = self.terms.all(self.draft.where)
        self.scope.used.update(dict.fromkeys(self.draft.things))
        query = self.scope.select([column], self._names.joins.tree(self.scope.subject, self.scope.used))
        # NOT IN finds nothing at all where one value is missing.
        query = query.where(exp.Not(this=exp.Is(this=column.copy(), expression=exp.Null())))
        return query.where(where)


def _of_shown(draft: OfflineDraft) -> OfflineDraft:
    """A draft whose only table is counted, with the table of what is shown before it: "names and number of orders"."""
    counted = {item.table for item in draft.shown if item.function == "count"}
    plain = [item.name for item in draft.shown if item.name and not item.function]
    if not plain or set(draft.things) != counted or len(counted) != 1 or draft.group:
        return draft
    own = draft.things[0]
    if any(c.field.table == own and c.doubt < PARTIAL for name in plain for c in name.candidates):
        return draft
    having = [{c.field.table for c in name.candidates if c.doubt < PARTIAL} for name in plain]
    both = set.intersection(*having)
    return replace(draft, things=(*both, own)) if len(both) == 1 else draft


def _without_itself(draft: OfflineDraft) -> OfflineDraft:
    """A draft without the condition that things of a table have things of the same table."""
    first = draft.things[0] if draft.things else ""

    def is_itself(condition: Condition) -> bool:
        other = condition.lacks if condition.negated else None
        return other is not None and not other.where and other.things[0] == (condition.owner or first)

    return replace(draft, where=tuple(one for one in draft.where if not is_itself(one)))


def _own_order(draft: OfflineDraft) -> OfflineDraft:
    """A draft that ranks things by a column of their own, which need not be added up."""
    if not (draft.order and draft.order[0].own):
        return draft
    [first, *others] = draft.order
    name, plain = first.item.name, replace(first.item, function="")
    if name is not None and any(c.field.table in draft.things[:1] for c in name.candidates):
        shown = tuple(plain if item == first.item else item for item in draft.shown)
        return replace(draft, shown=shown, order=(replace(first, item=plain), *others))
    if first.item not in draft.shown:
        raise NotUnderstood(f"I do not see whether “{name.text if name else ''}” is added up")
    return replace(
        draft, group=(Item(table=draft.things[0]),), notes=(*draft.notes, "I added up what belongs to each.")
    )


def _settled(draft: OfflineDraft) -> OfflineDraft:
    """A draft whose groups are clear: rows are counted by what is shown beside the figure, or for each thing."""
    if len({one.item for one in draft.order}) > 1 and any(one.item == Item() for one in draft.order):
        raise NotUnderstood("I do not see what to order by")
    # Of a term that is named twice the first one counts, with its direction.
    draft = replace(draft, order=tuple({one.item: one for one in reversed(draft.order)}.values())[::-1])
    if draft.everything:
        return replace(draft, group=())
    plain = tuple(item for item in draft.shown if not item.function)
    if draft.shown and not plain:  # figures are shown once anyway
        draft = replace(draft, distinct=False)
    elif len(plain) == len(draft.shown) == 1 and plain[0].name and not (draft.things or draft.order or draft.where):
        draft = replace(draft, distinct=True)  # the values of a column by itself are wanted once each
    return _with_groups(draft, plain, [item for item in draft.shown if item.function])


def _with_groups(draft: OfflineDraft, plain: tuple[Item, ...], figures: list[Item]) -> OfflineDraft:
    computed = [*(o.item for o in draft.order if o.item.function), *(c.item for c in draft.having if c.item)]
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
    first = draft.things[0] if draft.things else ""
    # What is ranked by rows of another table are the things that these belong to.
    if (
        first
        and not figures
        and any(o.item.function == "count" and o.item.table not in {"", first} for o in draft.order)
    ):
        return replace(draft, group=(Item(table=first),), distinct=False)
    if (computed and not counted - {first}) or (figures and plain):
        groups = tuple(item for item in plain if item.name)
        # Groups that nothing asks for are less likely than figures of all that is named.
        return replace(draft, group=groups, cost=draft.cost + bool(figures and groups and not computed))
    return draft


def orders(shown: exp.Alias, target: exp.Expr) -> bool:
    """Whether a figure that is shown is what to order by: the same, or one of the column named."""
    if shown.this == target:
        return True
    columns = list(shown.this.find_all(exp.Column))
    return isinstance(target, exp.Column) and len(columns) == 1 and columns[0] == target


def check(query: exp.Select, names: SchemaNames) -> None:
    """Refuse a query that no row meets or every row meets, or that shows a part of a date as if it were one."""
    where = query.args.get("where")
    tables = {table.name for table in query.find_all(exp.Table)}
    fields = {
        f.name.lower(): f for name, some in names.fields.items() if name.rpartition(".")[2] in tables for f in some
    }
    terms = list(where.this.flatten()) if where and isinstance(where.this, exp.And) else [where.this] if where else []
    for term in terms:
        column = term.find(exp.Column)
        if column and (field := fields.get(column.name.lower())):
            _check_term(term, field)
    _check_together(terms)
    shown = {column.name.lower() for term in query.expressions for column in term.find_all(exp.Column)}
    for part, larger in _LARGER.items() if query.args.get("limit") else ():
        beside = [name for name in larger if name in fields and len({*fields[name].ends}) != 1]
        # It is beside a column for the larger part that the smaller one says nothing.
        if {part} & fields.keys() & shown and beside and not {*beside} & shown:
            raise NotUnderstood(f"{part} alone does not say which {part}, without {beside[0]}")


def _check_term(term: exp.Expr, field: Field) -> None:
    # A condition that all rows meet is one that was misread.
    every = isinstance(term, exp.In) and {one.name for one in term.expressions} >= set(field.values)
    if every and term.expressions and field.complete:
        raise NotUnderstood(f"Every row has one of these values of {field.name}")
    low, high = map(_figure, field.ends)
    bound = _figure(term.expression.name) if isinstance(term.expression, exp.Literal) else None
    if bound is None or low is None or high is None:
        return
    if (bound < low and isinstance(term, exp.EQ | exp.LT | exp.LTE)) or (
        bound > high and isinstance(term, exp.EQ | exp.GT | exp.GTE)
    ):
        raise NotUnderstood(f"{field.table}.{field.name} lies between {' and '.join(map(str, field.ends))}")


def _figure(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _check_together(terms: list[exp.Expr]) -> None:
    equal: dict[str, str] = {}
    lows: dict[str, float] = {}
    # Lower bounds first, so that each upper one can be held against them.
    for term in sorted(terms, key=lambda term: isinstance(term, exp.LT | exp.LTE)):
        if not isinstance(term.this, exp.Column) or not isinstance(term.expression, exp.Literal):
            continue
        column, value, figure = term.this.sql(), term.expression.name, _figure(term.expression.name)
        if isinstance(term, exp.EQ) and equal.setdefault(column, value) != value:
            raise NotUnderstood(f"{column} cannot be {equal[column]} and {value} at once")
        if isinstance(term, exp.GT | exp.GTE) and figure is not None:
            lows[column] = figure
        if isinstance(term, exp.LT | exp.LTE) and figure is not None and figure <= lows.get(column, figure - 1):
            raise NotUnderstood(f"{column} cannot be above {lows[column]:g} and below {value}")
