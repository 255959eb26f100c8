"""The tool `values`: what a column of texts holds, as far as that may be told."""

# A category is told that at least five rows have, of columns that are categories by the rule of every description
# (docs/privacy.md). At `sample` five values of another column of texts may leave too, as five rows may.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rsql_magic.errors import BadInput
from rsql_magic.redaction import redact, says_literal, says_secret
from rsql_magic.sql import Index, one_line, value_kind
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
    purpose = "The most frequent values of a text column, to see how they are written."
    parameters: ClassVar = {
        "column": "The column, such as orders.status",
        "like": "Optional: only values that contain this text",
    }

    def run(self, arguments: Mapping[str, str]) -> str:
        """Values and their numbers of rows, most frequent first."""
        table, column = self._column(arguments["column"])
        least, most = self._allowed(table, column)
        query = _query(table, column, arguments.get("like", ""), least).limit(most)
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

    def _allowed(self, table: Table, column: Column) -> tuple[int, int]:
        """How many rows must have a value, and how many values may be told.

        Raises:
            BadInput: None may.
        """
        if says_secret(column.name) or column.is_private:
            raise BadInput(f"The values of {column.name} are not told.", hint="Write the query without them.")
        [known] = self.view.engine.detail([table])
        profile = (known.column(column.name) or column).profile
        if value_kind(column.type) == "text" and profile is not None and profile.values:
            return _SEEN, _SHOWN
        if value_kind(column.type) == "text" and self.view.level == "sample":
            return 1, _SAMPLED
        raise BadInput(f"{column.name} holds no categories that may be told.", hint="describe tells what may be.")


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
