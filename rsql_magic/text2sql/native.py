"""A query that is wanted in another dialect than the database's: how it is run here all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.errors import QueryFailed, QueryRejected
from rsql_magic.sql import validate

if TYPE_CHECKING:
    from rsql_magic.databases import Engine
    from rsql_magic.sql import Catalog


class Native:
    """Statements of a dialect in that of an engine, each translated once.

    Args:
        engine: Where they are to run.
        dialect: sqlglot's name of the dialect that they are written in.
    """

    def __init__(self, engine: Engine, dialect: str) -> None:
        self._engine = engine
        self._dialect = dialect
        self._made: dict[str, str] = {}

    @property
    def is_foreign(self) -> bool:
        """Whether the dialect is another than the engine's."""
        return self._dialect != self._engine.dialect

    def of(self, sql: str, catalog: Catalog) -> str:
        """The statement in the engine's own dialect.

        Args:
            sql: The statement.
            catalog: The tables it may name.

        Raises:
            QueryFailed: It asks for what the engine does not have.
        """
        if not self.is_foreign:
            return sql
        if sql not in self._made:
            self._made[sql] = self._translated(sql, catalog)
        return self._made[sql]

    def _translated(self, sql: str, catalog: Catalog) -> str:
        """A statement of another dialect in the engine's; what the translation left over is mended like a draft."""
        import sqlglot

        from rsql_magic.sql import functions, mend

        here = self._engine.dialect
        try:
            made = sqlglot.transpile(
                sql, read=self._dialect, write=here, unsupported_level=sqlglot.ErrorLevel.RAISE, comments=False
            )[0]
        except sqlglot.errors.SqlglotError as error:
            raise QueryFailed(
                f"This cannot be run in {functions(here).title}: {str(error).splitlines()[0]}",
                hint="Write it in another way, or use --no-run.",
            ) from None
        better = mend(made, here, catalog, lambda text: self._is_sound_here(text, catalog))
        return better.sql if better else made

    def _is_sound_here(self, sql: str, catalog: Catalog) -> bool:
        try:
            return not validate(sql, self._engine.dialect, catalog) and not self._engine.check(sql)
        except QueryRejected:
            return False
