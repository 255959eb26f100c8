"""Trino: read by its information schema, in a read-only transaction, cancelled by its REST protocol."""

# Trino's driver hands a transaction that SQL starts to no later statement, so it is started below SQL, as the driver's
# own transactions are. What a cancelled query has given so far looks like a whole result there, and is refused here.

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.databases.base import Structure
from rsql_magic.databases.sqlalchemy import SQLAlchemy
from rsql_magic.diagnostics import log
from rsql_magic.errors import QueryFailed
from rsql_magic.sql import Column, Table, dialect_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from sqlalchemy import Connection

    from rsql_magic.databases.sqlalchemy import Stream


class Trino(SQLAlchemy):
    """A Trino server, with the catalog that its address names."""

    _cursor: Any = None

    @override
    def begin(self, session: Connection, seconds: float) -> Connection:
        import sqlalchemy as sa

        sa.event.listen(session, "before_cursor_execute", self._keep_cursor)
        driver: Any = session.connection.driver_connection
        driver._transaction = _begun(driver)  # noqa: SLF001 - the driver's own way has no READ ONLY
        return session

    def _keep_cursor(self, _connection: Any, cursor: Any, *_: Any) -> None:
        self._cursor = cursor

    @override
    def cancel(self) -> None:
        if self._cursor is not None:
            self._cursor.cancel()

    def _refuse_part(self) -> None:
        if self._watch is not None and self._watch.reason:
            raise RuntimeError("The query was cancelled.")

    @override
    def run_here(self, session: Connection, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        rows = super().run_here(session, sql, parameters)
        self._refuse_part()
        return rows

    @contextmanager
    @override
    def stream(self, session: Connection, sql: str, max_rows: int, *, query: bool) -> Iterator[Stream]:
        with super().stream(session, sql, max_rows, query=query) as stream:
            self._refuse_part()
            yield stream
            self._refuse_part()

    @override
    def message(self, error: BaseException, /) -> str:
        """What the server says; the last of the error's own texts would be the query's id."""
        return str(getattr(getattr(error, "orig", None), "message", "") or super().message(error))

    @override
    def time_zone(self) -> str:
        return str(self.rows("SELECT current_timezone()")[0][0])

    @override
    def state(self) -> Hashable:
        return tuple(self.rows(_TABLES, seconds=10.0))

    @override
    def structure(self) -> Structure:
        with self.reading(120.0) as session:
            driver: Any = session.connection.driver_connection
            tables, columns = self.run(session, _TABLES), self.run(session, _COLUMNS)
            comments = self._comments(session, driver.catalog or "")
        by_table: dict[tuple[str, str], list[Column]] = {}
        for schema, table, name, kind, nullable in columns:
            by_table.setdefault((schema, table), []).append(Column(name, kind, nullable == "YES"))
        own = driver.schema or ""
        made = (
            Table(
                name,
                tuple(by_table.get((schema, name), ())),
                schema="" if schema == own else schema,
                kind="view" if kind == "VIEW" else "table",
                description=comments.get((schema, name)) or "",
            )
            for schema, name, kind in tables
        )
        return Structure(tuple(made), schema=own, database=driver.catalog or "")

    def _comments(self, session: Connection, catalog: str) -> dict[tuple[str, str], str]:
        """Comments on tables, where the login may read them."""
        literal = catalog.replace("'", "''")
        try:
            rows = self.run(session, f"{_COMMENTS} WHERE catalog_name = '{literal}'")
            return {(schema, name): comment for schema, name, comment in rows}
        except Exception:
            log.debug("the catalog system is closed", exc_info=True)
            self._refuse_part()
            return {}


def _begun(driver: Any) -> Any:
    """A read-only transaction of the driver's, for all later statements of its connection."""
    from trino.transaction import Transaction

    request = driver._create_request()  # noqa: SLF001
    response = request.post(dialect_of("trino").read_only)
    begun, started = Transaction(request), ""
    while True:
        started = response.headers.get("X-Trino-Started-Transaction-Id", started)
        status = request.process(response)
        if not status.next_uri:
            break
        response = request.get(status.next_uri)
    if not started:
        raise QueryFailed("Trino began no read-only transaction.", hint="Ask who runs the server.")
    begun._id = request.transaction_id = started  # noqa: SLF001
    return begun


_TABLES = """
    SELECT table_schema, table_name, table_type FROM information_schema.tables
    WHERE table_schema <> 'information_schema' ORDER BY table_schema, table_name"""
_COMMENTS = "SELECT schema_name, table_name, comment FROM system.metadata.table_comments"
_COLUMNS = """
    SELECT table_schema, table_name, column_name, data_type, is_nullable FROM information_schema.columns
    WHERE table_schema <> 'information_schema' ORDER BY table_schema, table_name, ordinal_position"""
