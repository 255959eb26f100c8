"""What the data have against a draft: told to the model once, as its privacy level allows, and to the person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rsql_magic.knowledge import HeldValue
from rsql_magic.sql import condition_notes, join_notes, value_kind
from rsql_magic.text2sql import literals
from rsql_magic.text2sql.denied import Denied, denied, holds
from rsql_magic.text2sql.unmet import names_in, tables_in, unmet, unmet_held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.knowledge import ValueIndex
    from rsql_magic.sql import Catalog, JoinNote
    from rsql_magic.text2sql.literals import Comparison
    from rsql_magic.text2sql.prompt import SchemaPrompt
    from rsql_magic.text2sql.results import QueryRunner
    from rsql_magic.text2sql.stored import NearLiteral

    Count = Callable[[str], int | None]


_MOST_NAMES, _MOST_COLUMNS = 2, 8  # that the database is asked for


class Found(NamedTuple):
    """What there is to say of one query."""

    said: tuple[str, ...]  # to the person
    told: tuple[str, ...]  # to the model
    joins: tuple[JoinNote, ...]


def data_notes(sql: str, dialect: str, catalog: Catalog, question: str, count: Count) -> list[str]:
    """What the data have against a query, without values of theirs, where somebody else asks the database.

    ``count`` gives the number that a query asks for, and None as long as it is not known.
    """

    def run(query: str) -> list[str]:
        number = count(query) if query.startswith("SELECT COUNT(*)") else None
        return [] if number is None else [str(number)]

    absent = denied(literals.comparisons(sql, dialect, catalog), dialect, run, is_free=True)
    notes = [one.said(with_values=False) for one in absent if one.may_be_told]
    notes += condition_notes(sql, dialect, catalog, count, question)
    return list(dict.fromkeys([*notes, *unmet(question, sql, dialect, catalog, catalog.tables)]))


@dataclass(frozen=True)
class DataCheck:
    """The checks of one question's drafts against the data."""

    _prompt: SchemaPrompt
    _runner: QueryRunner

    def of(self, statement: str, unsure: Sequence[NearLiteral]) -> Found:
        """What the data have against a query; ``unsure`` are literals that the index of values does not know."""
        prompt, runner, engine = self._prompt, self._runner, self._prompt.engine
        level, question, catalog = prompt.options.level, prompt.options.question, prompt.catalog
        found = literals.comparisons(statement, prompt.dialect, catalog)
        absent = denied(found, engine.dialect, runner.held, is_free=engine.is_free)
        native = runner.native.of(statement, catalog)
        conditions = condition_notes(native, engine.dialect, catalog, runner.number, question)
        if level == "names":  # what the data say is for the person; the model is told what no row has
            joins = join_notes(statement, prompt.dialect, catalog)
            near = [str(one) for one in unsure]
            more = [one for one in absent if one.comparison not in [each.comparison for each in unsure]]
            told = [one.said(with_values=False) for one in absent if one.may_be_told]
            told += condition_notes(native, engine.dialect, catalog, None, question)
            missing = unmet(question, statement, prompt.dialect, catalog, [])
            said = [*near, *(one.said(with_values=True) for one in more), *conditions, *missing]
            return _found([*said, *(one.text for one in joins)], [*told, *missing], joins)
        wrong = literals.misread(found, engine.dialect, runner.looked_up)
        wrong += literals.doubts(found, engine.dialect, runner.looked_up)
        joins = join_notes(native, engine.dialect, catalog, runner.number, question)
        unsaid = [one for one in unsure if not any(str(one.comparison) in doubt for doubt in wrong)]
        more = [one for one in absent if not _is_said(one, wrong, unsaid)]
        shown = level == "sample"
        missing = unmet(question, statement, prompt.dialect, catalog, catalog.tables)
        indexed = [one for one in self._stored(statement, found) if one not in missing]
        ranges = [] if engine.is_free else literals.out_of_range(found)
        said = [*wrong, *ranges, *map(str, unsaid), *(one.said(with_values=True) for one in more)]
        said += [*conditions, *missing, *indexed, *(one.text for one in joins)]
        told = [*wrong, *(str(one) for one in unsaid if shown and not one.is_personal)]
        told += [one.said(with_values=shown) for one in more if one.may_be_told]
        told += [one.said(with_values=False) for one in absent if _is_hidden(one, unsaid, shown=shown)]
        told += [*conditions, *missing, *(indexed if shown else ()), *(one.text for one in joins if one.is_doubt)]
        return _found(said, told, joins)

    def _stored(self, statement: str, found: Sequence[Comparison]) -> list[str]:
        """Values of the question that columns hold and no condition is about: of columns that are not about people."""
        prompt, values = self._prompt, self._prompt.engine.values
        shown = {(t.full_name, c.name) for t in prompt.linked.tables for c in t.columns if not c.is_private}
        held: list[HeldValue] = []
        index = values.index if values is not None else None
        if values is not None and index is not None:
            from rsql_magic.text2sql.stored import held_phrases

            with values.spared():
                held = [one for one in held_phrases(prompt.options.question, index) if (one.table, one.column) in shown]
        named = [] if held or found else self._named(statement, index)
        return unmet_held([*held, *named], statement, prompt.dialect, prompt.catalog)

    def _named(self, statement: str, index: ValueIndex | None) -> list[HeldValue]:
        """Names of the question that columns of the query's tables hold, asked of the tables themselves."""
        prompt, runner, engine = self._prompt, self._runner, self._prompt.engine
        if not engine.is_free or not (names := names_in(prompt.options.question, prompt.catalog)[:_MOST_NAMES]):
            return []
        tables = tables_in(statement, prompt.dialect, prompt.catalog)
        columns = [(t, c) for t in tables for c in t.columns if value_kind(c.type) == "text" and not c.is_private]
        columns = [(t, c) for t, c in columns if not (c.profile and c.profile.complete)]
        columns = [(t, c) for t, c in columns if index is None or not index.covers(t.full_name, c.name)]
        found = []
        for name in names:
            for table, column in columns[:_MOST_COLUMNS]:
                if holds(table, column, name, engine.dialect, runner.held):
                    found.append(HeldValue(name, table.full_name, column.name, name))
        return found


def _found(said: Sequence[str], told: Sequence[str], joins: Sequence[JoinNote]) -> Found:
    return Found(tuple(dict.fromkeys(said)), tuple(dict.fromkeys(told)), tuple(joins))


def _is_said(one: Denied, wrong: Sequence[str], unsaid: Sequence[NearLiteral]) -> bool:
    """Whether a sentence speaks of a comparison already."""
    comparison: Comparison = one.comparison
    asked = f"{comparison.column.name} {comparison.operator} '{comparison.text}'"
    return any(str(comparison) in doubt or asked in doubt for doubt in wrong) or any(
        each.comparison == comparison for each in unsaid
    )


def _is_hidden(one: Denied, unsaid: Sequence[NearLiteral], *, shown: bool) -> bool:
    """Whether a model is told only that no row has a literal, as the near values may not leave."""
    return not shown and one.may_be_told and any(each.comparison == one.comparison for each in unsaid)
