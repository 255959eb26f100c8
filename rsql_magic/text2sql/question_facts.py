"""What beside the tables belongs to a question: definitions, values as they are stored, verified questions like it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from rsql_magic.sql import (
    StoredValue,
    definition_tokens,
    fence,
    find_values,
    named_metrics,
    stated_definition,
    told_definitions,
    validate,
)
from rsql_magic.text2sql.prompt import resembling

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rsql_magic.databases import ValueKeeper
    from rsql_magic.sql import Catalog, Definition, Table, ToldDefinitions
    from rsql_magic.text2sql.prompt import Verified
    from rsql_magic.text2sql.query_options import QueryOptions

_MOST_VALUES = 10


@dataclass(frozen=True)
class QuestionFacts:
    """The facts of one question over the tables that are shown."""

    question: str  # as it is read, mistyped names put right
    options: QueryOptions
    catalog: Catalog
    tables: tuple[Table, ...]
    dialect: str
    verified: Sequence[Verified] = ()
    index: ValueKeeper | None = None  # the index of the connection's values

    @cached_property
    def told(self) -> ToldDefinitions:
        """The definitions that the prompt has room for, within their part of the tokens for tables."""
        budget = definition_tokens(self.catalog, self.options.schema_tokens)
        return told_definitions(self.question, self.catalog, self.tables, budget)

    @property
    def definitions(self) -> tuple[Definition, ...]:
        """Metrics that the question names, then the definitions of the tables that are shown."""
        return self.told.definitions if self.catalog.definitions.named else ()

    @cached_property
    def named(self) -> list[Definition]:
        """The metrics that the question names."""
        return named_metrics(self.question, self.catalog)

    @property
    def metrics(self) -> list[Definition]:
        """The metrics among them."""
        return [one for one in self.definitions if one.kind == "metric"]

    @property
    def stored(self) -> list[StoredValue]:
        """Phrases of the question that are stored otherwise than it writes them."""
        if self.options.level == "names":
            return []
        found = [*find_values(self.question, self.catalog, self.tables), *self._indexed()]
        return [one for one in dict.fromkeys(found) if one.value not in self.options.question][:_MOST_VALUES]

    def _indexed(self) -> Iterator[StoredValue]:
        """Phrases that the index of values knows; where they stand may leave with rows only."""
        index = self.index.index if self.index is not None and self.options.level == "sample" else None
        if index is None or self.index is None:
            return
        from rsql_magic.text2sql.stored import held_phrases

        shown = {(t.full_name, c.name) for t in self.tables for c in t.columns if not c.is_private}
        with self.index.spared():
            held = held_phrases(self.question, index)
        found = (one for one in held if (one.table, one.column) in shown)
        yield from (StoredValue(one.phrase, one.table, one.column, one.value) for one in found)

    @property
    def examples(self) -> list[Verified]:
        """Verified questions that resemble this one, as far as their SQL still fits the tables."""
        return [
            one
            for one in resembling(self.question, self.verified)
            if one.dialect in {"", self.dialect} and not validate(one.sql, self.dialect, self.catalog)
        ]

    def fenced(self, source: str) -> Iterator[str]:
        """The facts as a prompt has them, each kind in a fence that names its source."""
        if self.definitions:
            yield fence("definitions", source, "\n".join(map(stated_definition, self.definitions)))
        if stored := self.stored:
            yield fence("values", source, "\n".join(f"-- {one}" for one in stored))
        if examples := self.examples:
            text = "\n\n".join(f"{one.question}\n```sql\n{one.sql}\n```" for one in examples)
            yield fence("verified", "questions that a person has checked", text)
