"""Running a checked statement: within bounds of rows, time and expected work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.errors import QueryFailed, QueryRejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.databases import Engine, Rows
    from rsql_magic.databases.base import Plan
    from rsql_magic.sql import Catalog
    from rsql_magic.text2sql.drafts import Native
    from rsql_magic.text2sql.query_options import QueryOptions

_LOOK_UP_SECONDS = 10.0


class QueryRunner:
    """Runs statements for one question.

    Args:
        engine: The database.
        native: Translates a statement into the engine's dialect.
        options: Bounds of rows, time and expected work.
        catalog: Gives the tables that a statement may name.
        confirm: Asks a person whether to go on; None when there is nobody, and the answer is no.
    """

    def __init__(
        self,
        engine: Engine,
        native: Native,
        options: QueryOptions,
        catalog: Callable[[], Catalog],
        confirm: Callable[[str], bool] | None,
    ) -> None:
        self._engine = engine
        self._native = native
        self._options = options
        self._catalog = catalog
        self._confirm = confirm

    def run(self, statement: str) -> Rows:
        """The rows of a statement.

        Raises:
            QueryFailed: The database refused or stopped it.
        """
        native = self._native.of(statement, self._catalog())
        return self._engine.run(native, max_rows=self._options.max_rows, timeout=self._options.timeout)

    def plan(self, statement: str) -> Plan:
        """The database's plan of a statement.

        Raises:
            QueryFailed: The database has none for it.
        """
        return self._engine.plan(self._native.of(statement, self._catalog()))

    def looked_up(self, query: str) -> list[str]:
        """The first column of a small query of our own; nothing where the database refuses it or takes long."""
        try:
            rows = self._engine.run(query, max_rows=3, timeout=_LOOK_UP_SECONDS)
        except (QueryFailed, QueryRejected):
            return []
        return [str(value) for value in rows.df.iloc[:, 0]]

    def number(self, query: str) -> int | None:
        """What a small query of our own counts; None where the database refuses it or takes long."""
        found = self.looked_up(query)
        return int(float(found[0])) if found else None

    def refuse_costly(self, statement: str) -> None:
        """Ask before a query that the database expects to take very long.

        Raises:
            QueryFailed: A person refused it, or nobody is there to be asked.
        """
        work = self._expected_work(statement) if self._options.plan_rows else 0
        if work <= self._options.plan_rows:
            return
        costs = f"The database expects to handle about {work:,} rows for this query"
        if self._confirm is None or not self._confirm(f"{costs}."):
            raise QueryFailed(
                f"{costs}; {self._options.plan_rows:,} are allowed without asking.",
                hint="Ask for less, or raise %config Rsql.plan_rows.",
                sql=statement,
            )

    def _expected_work(self, statement: str) -> int:
        """Rows that the database expects to handle; 0 where it does not say, as for SHOW."""
        try:
            return self.plan(statement).work or 0
        except QueryFailed:
            return 0
