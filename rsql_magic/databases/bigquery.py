"""BigQuery: checked by a dry run, which costs nothing, and run as a job that can be cancelled."""

# SQLAlchemy's dialect brings the credentials; statements go to BigQuery's own client, whose jobs are known before they
# end. Every query is billed by the bytes it reads, however few rows it gives, so no value is looked at to describe a
# column, and the rows of a cut result are counted by the job itself.

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from rsql_magic.databases.base import Fetched, Picked, Plan, Reply, Structure, grouped, shorten, user_function_refused
from rsql_magic.databases.columns import first_rows
from rsql_magic.databases.sqlalchemy import SQLAlchemy
from rsql_magic.diagnostics import log
from rsql_magic.errors import QueryRejected
from rsql_magic.sql import Column, Table

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from sqlalchemy import Connection, Engine

# Seconds that the server's own limit is longer than ours, which gives the clearer message.
_SLACK = 5.0


class BigQuery(SQLAlchemy):
    """A project of BigQuery."""

    speaks_our_sql = True

    def __init__(self, engine: Any, *, ours: bool = False) -> None:
        super().__init__(engine, ours=ours)
        self._job: Any = None
        self._seconds = 0.0
        # The statement that was tried last, and what that told.
        self._tried: tuple[str, Any] = ("", None)

    @override
    def _connected(self, engine: Engine) -> Connection:
        with warnings.catch_warnings():  # of a faster way to fetch millions of rows, which is not used here
            warnings.filterwarnings("ignore", "Cannot create BigQuery Storage client", UserWarning)
            return super()._connected(engine)

    @override
    def begin(self, session: Connection, seconds: float) -> Connection:
        self._seconds, self._job = seconds, None
        return session

    @override
    def cancel(self) -> None:
        if self._job is not None:
            self._job.cancel(retry=None)

    def _started(self, session: Connection, sql: str, **options: Any) -> Any:
        from google.cloud.bigquery import QueryJobConfig

        settings = QueryJobConfig(job_timeout_ms=int(1000 * (self._seconds + _SLACK)), **options)
        return _client(session).query(sql, job_config=settings, job_retry=None)

    @override
    def run_here(self, session: Connection, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        self._job = self._started(session, sql)
        return [tuple(row.values()) for row in self._job.result(job_retry=None)]

    @override
    def fetch_here(self, session: Connection, sql: str, max_rows: int, memory: int) -> Fetched:
        self._job = self._started(session, sql)
        found = self._job.result(max_results=max_rows + 1, job_retry=None)
        values = (tuple(row.values()) for row in found)
        names = [field.name for field in found.schema]
        fetched = first_rows(names, lambda count: list(islice(values, count)), max_rows, memory)
        return replace(fetched, total=self._job.result(max_results=0).total_rows)

    def _dry_run(self, session: Connection, sql: str) -> Any:
        """What a statement is and reads, without running it; a moment's answer serves for check, plan and run."""
        if self._tried[0] != sql:
            self._tried = sql, self._started(session, sql, dry_run=True, use_query_cache=False)
        return self._tried[1]

    @override
    def verify(self, session: Connection, sql: str, allowed: frozenset[str], /) -> None:
        """Refuse what BigQuery itself does not call a SELECT, and routines that somebody made."""
        tried = self._dry_run(session, sql)
        if tried.statement_type != "SELECT":
            raise QueryRejected(f"BigQuery takes this for {tried.statement_type}.", hint="Only a query may run here.")
        told = tried._properties.get("statistics", {}).get("query", {})  # noqa: SLF001 - not among its attributes
        routines = {str(one.get("routineId", "")) for one in told.get("referencedRoutines", ())}
        if hidden := sorted(name for name in routines if name.lower() not in allowed):
            raise user_function_refused(hidden[0], "a routine of this project", "Use what BigQuery itself has.")

    @override
    def explained(self, session: Connection, sql: str) -> Reply:
        return [(self._dry_run(session, sql).total_bytes_processed,)]

    @override
    def read_plan(self, rows: Reply, /) -> Plan:
        return Plan(f"Reads {_size(int(rows[0][0] or 0))}, which are billed.")

    @override
    def message(self, error: BaseException, /) -> str:
        return str(getattr(error, "message", "") or super().message(error))

    @override
    def sample(self, table: Table) -> Picked | None:
        return None

    @override
    def time_zone(self) -> str:
        return "UTC"

    @override
    def state(self) -> Hashable:
        """Names and times of creation of tables, which are listed without a query."""
        with self.reading(10.0) as session:
            client = _client(session)
            listed = (table for dataset in client.list_datasets() for table in client.list_tables(dataset.reference))
            return tuple((table.dataset_id, table.table_id, table.table_type, table.created) for table in listed)

    @override
    def structure(self) -> Structure:
        with self.reading(120.0) as session:
            client, tables, problems = _client(session), list[Table](), list[str]()
            for dataset in client.list_datasets():
                views = {one.table_id for one in client.list_tables(dataset.reference) if "VIEW" in one.table_type}
                place = ".".join(map(self.quoted, (dataset.project, dataset.dataset_id)))
                try:
                    rows = self.run(session, _COLUMNS.format(place=place))
                except Exception as error:
                    if self._watch is not None and self._watch.reason:
                        raise
                    log.debug("a dataset is left out", exc_info=True)
                    problems.append(f"{dataset.dataset_id} is left out: {shorten(self.message(error), 150)[0]}")
                    continue
                tables += _tables(dataset.dataset_id, rows, views)
            return Structure(tuple(tables), problems=tuple(problems), database=client.project)


def _client(session: Connection) -> Any:
    driver: Any = session.connection.driver_connection
    return driver._client  # noqa: SLF001 - as SQLAlchemy's dialect does


def _tables(dataset: str, rows: Sequence[tuple[Any, ...]], views: set[str]) -> list[Table]:
    columns = {
        table: tuple(Column(name, kind, nullable == "YES", comment or "") for name, kind, nullable, comment in found)
        for table, found in grouped(rows).items()
    }
    return [Table(t, found, schema=dataset, kind="view" if t in views else "table") for t, found in columns.items()]


def _size(count: int) -> str:
    """Bytes as people read them.

    Example:
        >>> _size(12_300_000_000)
        '12.3 GB'
    """
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= one:
            return f"{count / one:.1f} {unit}"
    return f"{count:,} bytes"


_COLUMNS = """
    SELECT c.table_name, c.column_name, c.data_type, c.is_nullable, f.description
    FROM {place}.INFORMATION_SCHEMA.COLUMNS AS c JOIN {place}.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS AS f
      ON f.table_name = c.table_name AND f.field_path = c.column_name
    ORDER BY c.table_name, c.ordinal_position"""
