"""Decide which column each mention means, by its fit, the tables spoken of beside it, and the joins it would need."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ..words import stem
from .lexicon import likeness
from .naming import column_words, expanded
from .query import Condition, Item, NotUnderstood, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .joins import Graph
    from .linking import Mention
    from .reading import Reading
    from .schema import Column, Schema, Table


def _only_links(table: Table) -> bool:
    """Whether a table only ties others together."""
    linked = {name for key in table.keys for name in key.columns}
    return bool(linked) and all(column.name in linked or column.name in table.primary for column in table.columns)


class Resolver:
    """The tables and columns a reading means.

    Args:
        reading: The question, read.
        graph: The keys between the tables.
        near: Names of tables that take part already.
    """

    def __init__(self, reading: Reading, graph: Graph, near: Iterable[str] = ()) -> None:
        self.reading = reading
        self.graph = graph
        self.schema: Schema = reading.schema
        self._tables: dict[int, Table] = {}
        self._columns: dict[int, Column] = {}
        self._near = dict.fromkeys(near) | self._mentioned_tables()

    # --- tables ---

    def _mentioned_tables(self) -> dict[str, None]:
        """Names of the tables the question speaks of, those that fit no other mention better."""
        near: dict[str, None] = {}
        numbers = [
            *self.reading.draft.tables,
            *(n for pair in self.reading.draft.without for n in pair if n is not None),
        ]
        for number in dict.fromkeys(numbers):
            near[self.table(number).name] = None
        for owner in self.reading.owners.values():
            near[self.table(owner).name] = None
        return near

    def table(self, number: int) -> Table:
        """The table a mention means: the best fit, and among equals the one with the most keys to what is near."""
        if number not in self._tables:
            candidates = self.reading.mentions[number].tables
            best = candidates[0][1]
            equals = [table for table, fit in candidates if fit >= best - 0.02]
            chosen = [table for other, table in self._tables.items() if other != number]
            linked = {key.other for key in self.graph.keys if key.table == candidates[0][0].name}
            meant = next((table for table, _ in candidates[1:] if table.name in linked), None)
            if _only_links(candidates[0][0]) and meant is not None:
                equals = [meant]  # "amenities" are those of dorm_amenity, not the rows of has_amenity
            for table in equals:
                if table in chosen:
                    break
            else:
                table = min(equals, key=lambda t: (_only_links(t), len(t.words), -(t.rows or 0)))
            self._tables[number] = table
        return self._tables[number]

    @property
    def near(self) -> list[str]:
        """Names of the tables known to take part so far."""
        return [*self._near]

    def _near_tables(self) -> list[Table]:
        """The tables known to take part; one that the user insists on may not be there."""
        return [table for name in self._near if (table := self.schema.get(name))]

    def is_table(self, number: int) -> bool:
        """Whether a mention stands for a table's things rather than for a column."""
        mention = self.reading.mentions[number]
        if not mention.tables:
            return False
        if not mention.columns:
            return True
        table_fit, column_fit = mention.tables[0][1], mention.columns[0][1]
        if column_fit > table_fit + 0.05 or self._names_kinds(mention):
            return False
        table = mention.tables[0][0]
        others = [name for name in self._near if name != table.name]
        display = table.display
        if display and any(self._points_to(c, table, display) for c, fit in mention.columns if fit >= 0.95):
            return True
        # "department" may be a table and a column of employees: the column saves the join.
        return not any(column.table in others and fit >= 0.95 for column, fit in mention.columns)

    def _points_to(self, column: Column, table: Table, display: Column) -> bool:
        """Whether a column is a key to a table, and not to its name: then the name says more than the key."""
        return any(
            key.table == column.table
            and key.columns == (column.name,)
            and key.other == table.name
            and key.referred != (display.name,)
            for key in self.graph.keys
        )

    def _names_kinds(self, mention: Mention) -> bool:
        """Whether a table's own name is also one of its columns, with repeats: ``allergy_type.allergytype``."""
        table, fit = mention.tables[0]
        if not table.words or table.words[-1] not in {"type", "types", "category", "categories", "kind", "status"}:
            return False
        same = [c for c, score in mention.columns if c.table == table.name and score >= fit - 0.02 and c.is_text]
        return any(not (c.key or c.facts.unique) for c in same)

    # --- columns ---

    @property
    def chosen(self) -> dict[int, Column]:
        """The columns decided on so far, by mention."""
        return self._columns

    @property
    def named(self) -> list[Table]:
        """The tables that mentions stand for, as far as decided."""
        return [*self._tables.values()]

    def column(self, number: int, *, numeric: bool = False) -> Column:
        """The column a mention means.

        Args:
            number: The mention.
            numeric: A number is needed, as for an average.

        Raises:
            NotUnderstood: No candidate fits, or two fit equally well.
        """
        if number not in self._columns:
            self._columns[number] = self._choose(number, numeric=numeric)
            self._near.setdefault(self._columns[number].table, None)
        return self._columns[number]

    def _choose(self, number: int, *, numeric: bool) -> Column:
        mention = self.reading.mentions[number]
        owner = self.reading.owners.get(number)
        owners = [t.name for t, _ in self.reading.mentions[owner].tables] if owner is not None else []
        scored = [
            (self._score(column, fit, owners, numeric=numeric) + self._literal(column, mention), column)
            for column, fit in mention.columns
        ]
        if not scored:
            raise NotUnderstood(f"I know no column for “{mention.text}”")
        scored.sort(key=lambda item: -item[0])
        best = scored[0][0]
        rivals = [column for score, column in scored[1:] if score > best - 0.01 and not self.same(column, scored[0][1])]
        if rivals:
            self._refuse_rivals(mention, scored[0][1], rivals)
        return scored[0][1]

    def _literal(self, column: Column, mention: Mention) -> float:
        """A name with the very word that was said comes before one with a synonym: "amount" is no quantity then."""
        return 0.35 * (stem(mention.text) in {stem(word) for word in column.words})

    def _score(self, column: Column, fit: float, owners: Iterable[str], *, numeric: bool) -> float:
        score = fit
        if column.table in owners:
            score += 0.6
        if column.table in self._near:
            score += 0.4
        elif self._near:
            score -= 0.05 * min(self.graph.distance(self._near, column.table), 20)
        if column.table not in self._near and not self._says_table(column.table):
            score -= 0.3
        if numeric and not (column.is_number or column.is_measured):
            score -= 0.5
        if column.name.lower().endswith(("name", "title")):
            score += 0.02
        score += 0.15 * self._said_elsewhere(column, fit)
        score += 0.02 * (column.key and len(self.schema[column.table].primary) == 1)
        score += 0.03 * any(key.table == column.table and column.name in key.columns for key in self.graph.keys)
        return score

    def _says_table(self, name: str) -> bool:
        """Whether the question says a word of the table's name."""
        words = expanded(self.schema[name].words)
        return any(likeness(token, word) >= 0.8 for token in self.graph.said for word in words)

    def _said_elsewhere(self, column: Column, fit: float) -> float:
        """The share of the name's words that the question says, wherever, when the stretch itself says only some."""
        words, _ = column_words(column.words, ())
        said = sum(any(likeness(token, word) >= 0.8 for token in self.graph.said) for word in words)
        return said / len(words) if words and fit < 0.95 else 1.0

    def same(self, one: Column, two: Column) -> bool:
        """Whether two columns are the two ends of a key, so that either will do."""
        ends = {(one.table, one.name), (two.table, two.name)}
        for key in self.graph.keys:
            for own, other in zip(key.columns, key.referred, strict=False):
                if {(key.table, own), (key.other, other)} == ends:
                    return True
        return False

    def _refuse_rivals(self, mention: Mention, chosen: Column, rivals: list[Column]) -> None:
        names = " or ".join(f"{c.table}.{c.name}" for c in (chosen, *rivals[:3]))
        raise NotUnderstood(f"“{mention.text}” may mean {names}")

    def settle(self, items: Iterable[Item], conditions: Iterable[Condition]) -> None:
        """Choose all columns, the surest first, so that they help to choose the others."""
        numeric = {i.mention for i in items if i.aggregate in {"avg", "sum"}}
        wanted = [i.mention for i in items if i.mention is not None and not self.is_table(i.mention)]
        for number in sorted(dict.fromkeys(wanted), key=self._doubt):
            self.column(number, numeric=number in numeric)
        for condition in conditions:
            if condition.item is None and condition.mention is not None and not self.person_named(condition):
                self.value_column(condition)

    def _doubt(self, number: int) -> tuple[bool, int]:
        mention = self.reading.mentions[number]
        close = (
            [column for column, fit in mention.columns if fit >= mention.columns[0][1] - 0.05]
            if mention.columns
            else []
        )
        return number not in self.reading.owners, len(close)

    # --- values ---

    def value_column(self, condition: Condition) -> tuple[Column, tuple[Value, ...]]:
        """The column a bare value belongs to, and the values as stored.

        Raises:
            NotUnderstood: No known column holds it.
        """
        number = condition.mention
        if number is None:
            raise NotUnderstood("I do not see which column a value belongs to")
        mention = self.reading.mentions[number]
        if not mention.values:
            raise NotUnderstood(f"I do not know where “{mention.text}” is stored")
        if number not in self._columns:
            self._columns[number] = max(
                (column for column, _ in mention.values), key=lambda c: self._score(c, 1.0, (), numeric=False)
            )
            self._check_near(mention, self._columns[number])
            self._near.setdefault(self._columns[number].table, None)
        return self._columns[number], tuple(value for value in condition.operands if isinstance(value, Value))

    def person_named(self, condition: Condition) -> list[tuple[Column, str]]:
        """First and last name for "Linda Smith", when the people spoken of have a column for each."""
        mention = self.reading.mentions[condition.mention] if condition.mention is not None else None
        if (
            mention is None
            or condition.lead != "called"
            or mention.values
            or condition.operator != "="
            or len(mention.text.split()) != 2
        ):
            return []
        spoken = self._near_tables()
        beside = [self.schema[key.other] for key in self.graph.keys if key.table in self._near]
        people = [table.person for table in [*spoken, *beside] if table.person]
        if not people or not mention.text[0].isupper():
            return []
        self._near.setdefault(people[0][0].table, None)
        return list(zip(people[0], mention.text.split(), strict=True))

    def _check_near(self, mention: Mention, column: Column) -> None:
        """A common word is a value only of tables close by: "music genres" does not mean a playlist called Music.

        Raises:
            NotUnderstood: The value is stored too far away.
        """
        plain = mention.text.islower()
        if plain and self._near and self.graph.distance(self._near, column.table) > 1:
            raise NotUnderstood(f"I did not understand “{mention.text}”")

    @cached_property
    def subject(self) -> Table | None:
        """The table the question is about: the first one it speaks of."""
        name = next(iter(self._near), None)
        return self.schema.get(name) if name else None
