"""The tool `values`: what a column of texts holds, as far as that may be told."""

# Below `sample` nothing is asked of the database here: the categories that `describe` tells are searched. A search that
# the database ran would answer one question about the data with each call, and enough of them spell out a text. At
# `sample` five values of another column of texts may leave too, as five rows may.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rsql_magic.errors import BadInput
from rsql_magic.redaction import redact, says_literal, says_secret
from rsql_magic.sql import Index, as_stated_in_ddl, one_line, value_kind
from rsql_magic.tools.looking import Tool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlglot import exp

    from rsql_magic.sql import Column, Table
    from rsql_magic.tools.view import DatabaseView

_SEEN, _SHOWN = 5, 12
# At `sample`, of columns that are no categories.
_SAMPLED = 5
_LONGEST = 60


@dataclass(frozen=True)
class Values(Tool):
    """Looks up how a value is written."""

    view: DatabaseView
    name = "values"
    level = "stats"
    purpose = "The most frequent values of a text column, to see how they are written."
    parameters: ClassVar = {
        "column": "The column, such as orders.status",
        "like": "Optional: only values that contain this text",
    }

    def run(self, arguments: Mapping[str, str]) -> str:
        """Values, most frequent first; at `sample` with their numbers of rows."""
        table, column = self._column(arguments["column"])
        categories, like = self._categories(table, column), arguments.get("like", "")
        if self.view.level == "sample":
            return self._counted(table, column, like, *((_SEEN, _SHOWN) if categories else (1, _SAMPLED)))
        fitting = [one_line(value) for value in categories if like.casefold() in value.casefold()]
        return "\n".join(map(repr, fitting)) or f"No value of {column.name} that may be told fits."

    def _counted(self, table: Table, column: Column, like: str, least: int, most: int) -> str:
        query = _query(table, column, like, least).limit(most)
        sql = query.sql(dialect=self.view.engine.dialect)
        rows = self.view.engine.run(sql, max_rows=most, timeout=self.view.seconds).df
        found = [(str(value), int(count)) for value, count in rows.itertuples(index=False, name=None)]
        told = [(value, count) for value, count in found if len(value) <= _LONGEST and not redact(value)[1]]
        if not told:
            return f"No value of {column.name} that may be told fits: at least {least} rows must have it."
        return "\n".join(f"{one_line(value)!r}: {count:,} row{'s' * (count != 1)}" for value, count in told)

    def _column(self, name: str) -> tuple[Table, Column]:
        """The column that a name with or without its table means."""
        before, _, last = name.strip("\"`' ").rpartition(".")
        last = last.strip("\"`' ")
        tables = [self.view.table(before)] if before else Index.of(self.view.catalog).holders(last)
        if len(tables) > 1:
            listed = ", ".join(f"{table.full_name}.{last}" for table in tables[:5])
            raise BadInput(f"Several tables have a column {last!r}.", hint=f"Name one of {listed}.")
        column = tables[0].column(last) if tables else None
        if column is None or (self.view.level != "sample" and says_literal(last)):
            raise BadInput(f"There is no column {name[:80]!r}.", hint="Name it as TABLE.COLUMN; describe lists them.")
        return tables[0], column

    def _categories(self, table: Table, column: Column) -> tuple[str, ...]:
        """The categories that a description tells; empty where at `sample` other texts may be told.

        Raises:
            BadInput: None may be told.
        """
        if says_secret(column.name) or column.is_private:
            raise BadInput(f"The values of {column.name} are not told.", hint="Write the query without them.")
        [known] = self.view.engine.detail([table])
        stated = as_stated_in_ddl(known, self.view.level).column(column.name) or column
        categories = stated.profile.values if stated.profile is not None else ()
        if value_kind(column.type) != "text" or not (categories or self.view.level == "sample"):
            raise BadInput(f"{column.name} holds no categories that may be told.", hint="describe tells what may be.")
        return categories


def _query(table: Table, column: Column, like: str, least: int) -> exp.Select:
    from sqlglot import exp

    source = exp.table_(table.name, db=table.schema or None, catalog=table.database or None, quoted=True)
    text = exp.cast(exp.column(column.name, quoted=True), "text")
    count = exp.Count(this=exp.Star())
    query = exp.select(exp.alias_(text, "value"), exp.alias_(count, "seen")).from_(source)
    query = query.where(exp.column(column.name, quoted=True).is_(exp.null()).not_())
    if like:
        pattern = exp.Literal.string(f"%{like[:_LONGEST].lower()}%")
        query = query.where(exp.Like(this=exp.Lower(this=text.copy()), expression=pattern))
    query = query.group_by(text.copy()).having(exp.GTE(this=count.copy(), expression=exp.Literal.number(least)))
    return query.order_by("seen DESC, value")
