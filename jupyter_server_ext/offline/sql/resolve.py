"""Which column each name of a draft means, given the tables that the question speaks of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .draft import Draft, Name, NotUnderstood
from .schema import PARTIAL, ColumnMatch, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .draft import Condition
    from .joins import Joins
    from .schema import Names


@dataclass
class Resolver:
    """The columns that the names of one draft mean."""

    draft: Draft
    names: Names
    joins: Joins
    subject: str = ""
    cost: int = 0
    _fields: dict[Name, Field] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.subject = self.draft.things[0] if self.draft.things else self._implied()
        self.named = tuple(dict.fromkeys([self.subject, *self.draft.things, *self._group_tables()]))

    def _group_tables(self) -> Iterator[str]:
        return (item.table for item in self.draft.group if item.table)

    def _implied(self) -> str:
        """The one table that has all that the question names."""
        tables = list(self.names.fields)
        grouped = list(self._group_tables())
        wanted = list(_names_in(self.draft))
        stored = [value.stored for c in _conditions_in(self.draft) if c.item is None for value in c.values]
        if grouped and not (wanted or stored):
            return grouped[0]
        scores = {table: self._fit(table, wanted, stored) for table in tables}
        fitting = [table for table, score in scores.items() if score is not None]
        if len(tables) == 1:
            return tables[0]
        if not fitting or not (wanted or stored):
            raise NotUnderstood("I do not see which table is meant")
        best = min(score for score in scores.values() if score is not None)
        found = [table for table in fitting if scores[table] == best]
        if len(found) > 1:
            raise NotUnderstood(f"“{(wanted[0].text if wanted else 'this')}” may be of {' or '.join(found[:4])}")
        return found[0]

    def _fit(self, table: str, wanted: list[Name], stored: list[tuple[tuple[Field, str], ...]]) -> int | None:
        """How doubtful the names are within a table, None where one of them is not there."""
        doubts = [min((c.doubt for c in name.candidates if c.field.table == table), default=None) for name in wanted]
        held = all(any(one.table == table for one, _ in holders) for holders in stored if holders)
        return sum(d for d in doubts if d) if held and None not in doubts else None

    def field(self, name: Name) -> Field:
        """The column that a name means."""
        if name not in self._fields:
            self._fields[name] = self._found(name)
        return self._fields[name]

    def _found(self, name: Name) -> Field:
        owner = name.owner or self.subject
        self.cost += name.cost
        for tables in self._circles(owner):
            found = [c for c in name.candidates if c.field.table in tables]
            if found:
                return self._best(name, found)
        raise NotUnderstood(f"I see no “{name.text}” in {owner}")

    def _circles(self, owner: str) -> Iterator[set[str]]:
        """Where to look for a column: its table, then the tables named whose things each row has one of."""
        yield {owner}
        yield {name for name in self.named if self._is_of(owner, name)}

    def _is_of(self, owner: str, name: str) -> bool:
        """Whether each thing of one table has but one of another."""
        try:
            return not any(step.to_many for step in self.joins.path(owner, name))
        except NotUnderstood:
            return False

    def _best(self, name: Name, found: list[ColumnMatch]) -> Field:
        least = min(c.doubt for c in found)
        best = [c.field for c in found if c.doubt == least]
        if len(best) > 1:
            listed = " or ".join(f"{f.table}.{f.name}" for f in best[:4])
            raise NotUnderstood(f"“{name.text}” may mean {listed}")
        others = [c.field for c in name.candidates if c.doubt < least and c.field.table in self.named]
        if others or least == PARTIAL:
            either = " or ".join(f"{f.table}.{f.name}" for f in (best[0], *others[:1]))
            raise NotUnderstood(f"“{name.text}” may mean {either}")
        return best[0]

    def holder(self, condition: Condition) -> Field:
        """The column that holds the values of a condition which names none."""
        owner = condition.owner or self.subject
        values = condition.values
        holders = [one for one, _ in values[0].stored if all(one in dict(value.stored) for value in values)]
        text = values[0].text
        for tables in self._circles(owner):
            if found := [one for one in holders if one.table in tables]:
                if len(found) > 1:
                    listed = " or ".join(f"{f.table}.{f.name}" for f in found[:4])
                    raise NotUnderstood(f"“{text}” may be a value of {listed}")
                return found[0]
        raise NotUnderstood(f"I do not know where “{text}” is stored")


def _names_in(draft: Draft) -> Iterator[Name]:
    """The columns that a draft names."""
    items = [*draft.shown, *draft.group, *(order.item for order in draft.order)]
    for condition in _conditions_in(draft):
        items += [condition.item] if condition.item else []
        items += [value.item for value in condition.values if value.item]
    yield from (item.name for item in items if item.name)


def _conditions_in(draft: Draft) -> Iterator[Condition]:
    for condition in (*draft.where, *draft.having):
        yield from condition.either or (condition,)
