"""One query while it is written: its tables, the columns that names mean, and how the dialect writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from rsql_magic.sql import quoted

from .draft import NotUnderstood
from .schema import EXACT, PARTIAL, phrase_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .draft import Condition, Name, OfflineDraft
    from .schema import ColumnMatch, Field, JoinStep, SchemaNames


# "The amount of customers" is their number.
_COUNTS = {phrase_of([word]) for word in ("amount", "number", "count", "total")}


class QueryScope:
    """The tables, columns and names of one query."""

    near_first = True  # whether a column of a table that is not named is less likely

    def __init__(self, draft: OfflineDraft, names: SchemaNames, dialect: str) -> None:
        self.names, self.dialect, self.notes, self.cost = names, dialect, list(draft.notes), draft.cost
        grouped = [item.table for item in draft.group if item.table]
        self.subject = draft.things[0] if draft.things else self._implied(draft, grouped)
        self.named = tuple(dict.fromkeys([self.subject, *draft.things, *grouped]))
        self.used: dict[str, None] = {self.subject: None}
        self.time: Field | None = None  # what every time is about, where a definition says so
        self._fields: dict[Name, Field] = {}

    def _implied(self, draft: OfflineDraft, grouped: list[str]) -> str:
        """The one table that has all that the question names."""
        wanted = list(_names_in(draft))
        stored = [value.stored for c in _conditions_in(draft) if c.item is None for value in c.values]
        if grouped and not (wanted or stored):
            return grouped[0]
        if len(self.names.fields) == 1:
            return next(iter(self.names.fields))
        scores: dict[str, int] = {}
        for table in self.names.fields:
            doubts = [min((c.doubt for c in one.candidates if c.field.table == table), default=None) for one in wanted]
            # A value that no column holds says nothing of the table.
            held = all(any(one.table == table for one, _ in holders) for holders in stored if holders)
            if held and None not in doubts:
                scores[table] = sum(filter(None, doubts))
        if not scores and wanted:
            return self._center(wanted)
        if not scores or not (wanted or stored):
            raise NotUnderstood("I do not see which table is meant")
        found = [table for table, score in scores.items() if score == min(scores.values())]
        # Tables that fit equally well are not chosen among.
        if len(found) > 1:
            raise NotUnderstood(f"“{(wanted[0].text if wanted else 'this')}” may be of {' or '.join(found[:4])}")
        return found[0]

    def _center(self, wanted: list[Name]) -> str:
        """The one table whose rows have one each of all that is named, by keys where it has not all itself."""
        found: dict[str, int] = {}
        for table in self.names.fields:
            circles = [{table}, *self._rings(table)]
            places = [
                next(
                    (
                        n
                        for n, some in enumerate(circles)
                        for c in one.candidates
                        if c.field.table in some and c.doubt < PARTIAL
                    ),
                    None,
                )
                for one in wanted
            ]
            if None not in places:
                found[table] = sum(filter(None, places))
        best = [table for table, far in found.items() if far == min(found.values())]
        if len(best) != 1:
            raise NotUnderstood("I do not see which table is meant")
        return best[0]

    def field(self, name: Name) -> Field:
        """The column that a name means; its table takes part."""
        if name not in self._fields:
            self._fields[name] = self._meant(name)
            # What is called like another table is rather that table.
            called = self.names.tables.get(phrase_of(name.text.split()), ())
            self.cost += name.cost + bool(called and self._fields[name].table not in called)
        self.used.setdefault(self._fields[name].table)
        return self._fields[name]

    def _meant(self, name: Name) -> Field:
        owner = name.owner or self.subject
        circles = [[c for c in name.candidates if c.field.table in tables] for tables in self._circles(owner)]
        many = [c for c in name.candidates if c.field.table in self._many(owner) and _is_whole(name, c)]
        # The nearest that is called so goes before any whose name is said in part.
        whole = (some for some in circles if any(c.doubt < PARTIAL for c in some))
        found = next(whole, None) or next(filter(None, circles), None)
        if found is None and many:
            self.cost, found = self.cost + 2, many
        if found is None:
            raise NotUnderstood(f"I see no “{name.text}” in {owner}")
        # What is said altogether goes before what is said in part.
        least = min(c.doubt for c in found)
        best = [c.field for c in found if c.doubt == least]
        # The id of a thing is its key, whatever other ids it holds.
        best = [field for field in best if field == self.names.key(field.table)] or best if len(best) > 1 else best
        if len(best) > 1:
            raise NotUnderstood(f"“{name.text}” may mean {_listed(best[:4])}")
        # A table that is named may have a column that is called so altogether.
        others = [c.field for c in name.candidates if c.doubt < least and c.field.table in self.named]
        if others:
            raise NotUnderstood(f"“{name.text}” may mean {_listed([best[0], *others[:1]])}")
        if least == PARTIAL or (self.near_first and best[0].table not in self.named):
            self.cost += 2 if least == PARTIAL else 1
            self.notes.append(f"I took “{name.text}” as {_listed(best)}.")
        return best[0]

    def _circles(self, owner: str) -> Iterator[set[str]]:
        """Where to look for a column: its table, then the tables named whose things each row has one of."""
        yield {owner}
        around = set[str]()
        for name in self.named:
            try:
                if not any(step.to_many for step in self.names.joins.path(owner, name)):
                    around.add(name)
            except NotUnderstood:
                continue
        yield around
        yield from self._rings(owner)

    def _many(self, owner: str) -> set[str]:
        """The tables whose rows belong to one of a table, where nothing nearer holds what is named."""
        steps, links = self.names.joins.steps, self.names.joins.only_links
        near = [step.table for step in steps[owner] if step.to_many]
        far = [step.table for name in near if links(name) for step in steps[name] if step.table != owner]
        return {name for name in (*near, *far) if (*near, *far).count(name) == 1}

    def _rings(self, owner: str) -> Iterator[set[str]]:
        """The tables that hold one row for each of a table, nearest first; a table that keys lead to twice is none."""
        seen, near = {owner}, [owner]
        while near:
            steps = [step for name in near for step in self.names.joins.steps[name] if not step.to_many]
            found = [step.table for step in steps if step.table not in seen]
            near = [name for name in dict.fromkeys(found) if found.count(name) == 1]
            seen.update(found)
            if near:
                yield set(near)

    def holder(self, condition: Condition) -> Field:
        """The column that holds the values of a condition which names none."""
        first, *others = condition.values
        holders = [field for field, _ in first.stored if all(field in dict(value.stored) for value in others)]
        for tables in self._circles(condition.owner or self.subject):
            found = [field for field in holders if field.table in tables]
            if len(found) > 1:
                raise NotUnderstood(f"“{first.text}” may be a value of {_listed(found[:4])}")
            if found:
                return found[0]
        raise NotUnderstood(f"I do not know where “{first.text}” is stored")

    def column(self, field: Field) -> exp.Column:
        """A column, behind its table's name."""
        if field.table:
            self.used.setdefault(field.table)
        return self._column(field.name, field.table)

    def _column(self, name: str, table: str) -> exp.Column:
        return exp.Column(
            this=self.identifier(name), table=self.identifier(table.rpartition(".")[2]) if table else None
        )

    def identifier(self, name: str) -> exp.Identifier:
        """An identifier, quoted where the dialect needs it."""
        return exp.to_identifier(name, quoted=quoted(name, self.dialect) != name)

    def table(self, name: str) -> exp.Table:
        """A table, with its schema where it has one."""
        parts = [self.identifier(part) for part in name.split(".")]
        return exp.Table(**dict(zip(("this", "db", "catalog"), reversed(parts), strict=False)))

    def select(self, shown: list[exp.Expr], steps: Iterable[JoinStep]) -> exp.Select:
        """``SELECT shown FROM subject JOIN …``."""
        query = exp.select(*shown).from_(self.table(self.subject))
        for step in steps:
            query = query.join(self.table(step.table), on=self.equalities(step))
        return query

    def equalities(self, step: JoinStep) -> exp.Expr:
        """The condition of one join."""
        pairs = ((self._column(here, step.origin), self._column(there, step.table)) for here, there in step.pairs)
        return exp.and_(*(exp.EQ(this=own, expression=other) for own, other in pairs))


def _is_whole(name: Name, match: ColumnMatch) -> bool:
    """Whether a phrase says all words of a column's name, and not only those that its table's name has not."""
    if phrase_of(name.text.split()) in _COUNTS:
        return False
    return match.doubt == EXACT and (match.owned or phrase_of(name.text.split()) == phrase_of([match.field.name]))


def _listed(fields: Iterable[Field]) -> str:
    return " or ".join(f"{field.table}.{field.name}" for field in fields)


def _names_in(draft: OfflineDraft) -> Iterator[Name]:
    items = [*draft.shown, *draft.group, *(order.item for order in draft.order)]
    for condition in _conditions_in(draft):
        items += [condition.item] if condition.item else []
        items += [value.item for value in condition.values if value.item]
    yield from (item.name for item in items if item.name)


def _conditions_in(draft: OfflineDraft) -> Iterator[Condition]:
    for condition in (*draft.where, *draft.having):
        yield from condition.either or (condition,)


def unqualified(query: exp.Select) -> exp.Select:
    """The query without table names before columns wherever a SELECT reads one table, as a person would write it."""
    for select in query.find_all(exp.Select):
        source = select.args.get("from_")
        if select.args.get("joins") or source is None or not isinstance(source.this, exp.Table):
            continue
        for column in select.find_all(exp.Column):
            if column.find_ancestor(exp.Select) is select and column.table == source.this.name:
                column.set("table", None)
    return query
