"""Spark: a session of the user's, or Spark Connect by its address."""

# The user's own session is used and no second one, because temporary views, the current schema and the time zone live
# in it. Spark has neither transactions nor a read-only mode. In their place a query is sent in brackets, where Spark's
# grammar has no command; only SHOW, DESCRIBE and EXPLAIN go as they are; and `spark.sql.runSQLOnFiles` is off
# meanwhile, so that no name of a table is a path. A statement carries a tag, by which it is cancelled on the cluster.

# ruff: noqa: S608 - statements are put together from quoted names and constants, or are guarded
from __future__ import annotations

import re
import socket
import uuid
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from typing_extensions import override

from rsql_magic.databases.base import (
    Database,
    Failure,
    Fetched,
    Picked,
    Plan,
    Reply,
    Structure,
    driver_message,
    shorten,
    user_function_refused,
)
from rsql_magic.databases.columns import first_rows
from rsql_magic.diagnostics import ignoring, log
from rsql_magic.errors import ConnectionProblem
from rsql_magic.sql import Column, Table, calls, lex, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from datetime import tzinfo

# Whether a table's name may be a path: ``parquet.`/data/x` ``.
_FILES = "spark.sql.runSQLOnFiles"
# Statements that are no query and change nothing; all else goes in brackets.
_PLAIN = re.compile(r"(?:SHOW|DESC|DESCRIBE|EXPLAIN)\b", re.IGNORECASE)
# Tables that are described one by one, for comments and the fields of structs; of others one statement for a whole
# schema tells the columns.
_DESCRIBED = 50
# Bytes of a table or view that is profiled. Of a larger one a cluster would read the beginning of every part.
_LARGE = 64 << 20

_DEAD = re.compile(
    r"stopped SparkContext|SESSION_(?:NOT_FOUND|CLOSED|CHANGED)|NO_ACTIVE_SESSION|StatusCode\.UNAVAILABLE"
    r"|Connection refused|Answer from Java side is empty|Error while (?:sending|receiving)"
)
_ENDED = ("The Spark session has ended.", "Start it again (SparkSession.builder.getOrCreate()) and pass that one.")
# What follows Spark's sentence: the place in a statement that stands in brackets, the plan, Java's stack.
_BEHIND_MESSAGE = re.compile(r"\.?\s*(?:SQLSTATE: \w+|; line \d+ pos \d+|JVM stacktrace:|== SQL).*", re.DOTALL)


class Spark(Database):
    """A Spark session, classic or Spark Connect; one made here (``ours``) is stopped at the end."""

    dialect = "spark"
    text_type = "STRING"
    explain = "EXPLAIN COST "
    values_read = 20_000_000
    # A job takes as long to start as a table of some megabytes to read.
    values_of_a_statement = 2_000_000

    def __init__(self, session: Any, name: str = "spark", *, ours: bool = False) -> None:
        super().__init__()
        if not hasattr(session, "interruptTag"):
            raise ConnectionProblem("This Spark is too old.", hint="Use Spark 4 or newer: pip install 'pyspark>=4'.")
        self.name = name
        self._session = session
        self._ours = ours
        self._tag = f"rsql-{uuid.uuid4().hex}"

    @override
    def connection(self) -> Any:
        return self._session

    @override
    def close(self) -> None:
        if self._ours:
            self._session.stop()

    @override
    @contextmanager
    def transaction(self, connection: Any, seconds: float) -> Iterator[Any]:
        if _has_ended(connection):
            raise ConnectionProblem(_ENDED[0], hint=_ENDED[1])
        before = connection.conf.get(_FILES)
        connection.conf.set(_FILES, "false")
        try:
            with _no_log_of_errors():
                yield connection
        finally:
            with ignoring("putting a setting back"):  # the session died meanwhile, and its settings with it
                connection.conf.set(_FILES, before)

    @override
    def cancel(self) -> None:
        # A classic session finds only the tags of the thread that asks; its context finds those of all.
        context = _context(self._session)
        context.cancelJobsWithTag(self._tag) if context else self._session.interruptTag(self._tag)

    @contextmanager
    def _tagged(self, session: Any) -> Iterator[None]:
        """What the block starts can be cancelled; a tag belongs to the thread that adds it."""
        context = _context(session)
        context.addJobTag(self._tag) if context else session.addTag(self._tag)
        try:
            yield
        finally:
            with ignoring("taking a tag away"):
                context.removeJobTag(self._tag) if context else session.removeTag(self._tag)

    @override
    def run_here(self, session: Any, sql: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._tagged(session):
            return [tuple(row) for row in session.sql(sql).collect()]

    @override
    def fetch_here(self, session: Any, sql: str, max_rows: int, memory: int) -> Fetched:
        with self._tagged(session):
            found = session.sql(_in_brackets(sql)).limit(max_rows + 1)
            shown = [_shown(field.dataType.typeName(), session) for field in found.schema.fields]
            names, raw = found.columns, found.collect()
        rows = (tuple(show(value) for show, value in zip(shown, row, strict=True)) for row in raw)
        return first_rows(names, lambda count: list(islice(rows, count)), max_rows, memory)

    @override
    def failure(self, error: BaseException, /) -> Failure:
        return "dead" if _DEAD.search(str(error)) else ""

    @override
    def message(self, error: BaseException, /) -> str:
        return _sentence(driver_message(error))

    @override
    def verify(self, session: Any, sql: str, allowed: frozenset[str], /) -> None:
        """Refuse functions of the user's: one that is registered as `upper` runs in place of Spark's."""
        # Spark resolves names of tables by itself, and while `runSQLOnFiles` is off none of them is a file.
        query = re.sub(r"^EXPLAIN(?:\s+(?:COST|EXTENDED|FORMATTED|CODEGEN))?\s", "", sql, flags=re.IGNORECASE)
        if _PLAIN.match(query):
            return
        lexed = lex(query, self.dialect)
        called = {call.path[-1].lower() for call in calls(lexed, parse(lexed.text, self.dialect).walk(), self.dialect)}
        for name in sorted(called - allowed):
            if not self._class_of(session, name).startswith(_BUILT_IN):
                raise user_function_refused(name, "a function of yours in this session", "Use what Spark itself has.")

    def _class_of(self, session: Any, name: str) -> str:
        """The Java class of a function; for a word that is none, such as a type, as if it were Spark's own."""
        try:
            told = self.run(session, f"DESCRIBE FUNCTION {self.quoted(name)}")
        except Exception as error:
            if "ROUTINE" not in str(error):
                raise
            return _BUILT_IN
        return next((text.removeprefix("Class: ") for (text,) in told if text.startswith("Class: ")), "")

    @override
    def explained(self, session: Any, sql: str) -> Reply:
        _ = session.sql(_in_brackets(sql)).schema  # raises what EXPLAIN would give as a result
        return super().explained(session, sql)

    @override
    def read_plan(self, rows: Reply, /) -> Plan:
        """The optimized plan; Spark estimates rows only of tables that were analyzed."""
        text = str(rows[0][0])
        logical = text.partition("== Optimized Logical Plan ==\n")[2].partition("\n\n")[0]
        counts = [int(float(count)) for count in re.findall(r"Statistics\([^)]*rowCount=([\d.E+]+)\)", logical)]
        return Plan(logical or text, counts[0] if counts else None, sum(counts) if counts else None)

    @override
    def time_zone(self) -> str:
        with self.reading(10.0) as session:
            return str(session.conf.get("spark.sql.session.timeZone"))

    @override
    def sample(self, table: Table) -> Picked | None:
        """All of a table or view that is small by Spark's own estimate."""
        plan = str(self.rows(f"EXPLAIN COST SELECT * FROM {self.full_name(table)}", seconds=10.0)[0][0])
        size = re.search(r"sizeInBytes=([\d.E+]+) ([KMG]?)i?B\b", plan)  # larger ones are in TiB, PiB or EiB
        estimated = float(size[1]) * 1024.0 ** " KMG".index(size[2] or " ") if size else _LARGE + 1
        return Picked(self.full_name(table), int(estimated) // 8) if estimated <= _LARGE else None

    @override
    def state(self) -> Hashable:
        """The schemas, and the tables of the current one; as long as these are not many, with their columns."""
        with self.reading(60.0) as session:
            schemas, tables = self.run(session, "SHOW NAMESPACES"), self.run(session, "SHOW TABLES")
            told = self.run(session, "SHOW TABLE EXTENDED LIKE '*'") if len(tables) <= _DESCRIBED else []
        return tuple(schemas), tuple(tables), tuple(told)

    @override
    def structure(self) -> Structure:
        with self.reading(120.0) as session:
            own, database = session.catalog.currentDatabase(), session.catalog.currentCatalog()
            schemas = [str(name).strip("`") for (name,) in self.run(session, "SHOW NAMESPACES")]
            found, problems = [], []
            for schema in [own, *(name for name in schemas if name != own)]:
                try:
                    rows = self.run(session, f"SHOW TABLE EXTENDED IN {self.quoted(schema)} LIKE '*'")
                except Exception as error:
                    if self.failure(error) or (self._watch is not None and self._watch.reason):
                        raise
                    log.debug("a schema is left out", exc_info=True)
                    problems.append(f"Schema {schema} is left out: {shorten(self.message(error), 150)[0]}")
                    continue
                # Every schema lists the temporary views too.
                found += [row for row in rows if not row[2] or schema == own]
            tables = [_table(name, told, "" if space in {own, ""} else space) for space, name, _, told in found]
            tables = [self._described(session, table) for table in tables[:_DESCRIBED]] + tables[_DESCRIBED:]
        views = [(table.full_name, _VIEW.search(row[3])) for table, row in zip(tables, found, strict=True)]
        definitions = {name: query[1].strip() for name, query in views if query}
        return Structure(tuple(tables), {}, tuple(problems), own, database, definitions)

    def _described(self, session: Any, table: Table) -> Table:
        """A table with comments on its columns, and with the inside of their types."""
        columns: dict[str, tuple[str, str]] = {}
        for name, kind, comment in self.run(session, f"DESCRIBE TABLE {self.full_name(table)}"):
            if not kind:  # what follows is of partitions
                break
            columns[name] = kind, comment or ""
        return table.with_columns(
            replace(column, type=kind, description=comment)
            for column in table.columns
            for kind, comment in [columns.get(column.name, (column.type, ""))]
        )


def open_connect(url: str) -> Spark:
    """A session of its own on a Spark Connect server: ``sc://host:15002``."""
    try:
        from pyspark.sql.connect.session import SparkSession
    except ImportError:
        hint = "Install it: pip install 'rsql-jupyter[spark]'"
        raise ConnectionProblem("pyspark is missing, or what Spark Connect needs.", hint=hint) from None
    place = urlsplit(url)
    name = f"sc://{place.hostname}:{place.port or 15002}"
    if not _answers(place.hostname or "", place.port or 15002):
        raise ConnectionProblem(f"{name} cannot be reached.", hint="Check the address, and that the server runs.")
    spark = Spark(SparkSession.builder.remote(url).create(), name, ours=True)
    spark.secrets = tuple(re.findall(r"token=([^;/]+)", url))
    return spark


# Where Spark's own functions are; one of a person's is a lambda of Spark's or a class of its own.
_BUILT_IN = "org.apache.spark.sql.catalyst."


def _in_brackets(sql: str) -> str:
    """A statement as it may be sent: a query in brackets, where nothing that writes can stand."""
    return sql if _PLAIN.match(sql) else f"({sql}\n)"


def _context(session: Any) -> Any:
    """The context of a classic session; None with Spark Connect."""
    return getattr(session, "_sc", None)


def _has_ended(session: Any) -> bool:
    """Whether a session was stopped, or what it ran on is gone; a dead server would be waited for by the minute."""
    if (context := _context(session)) is not None:
        try:
            return context._jsc is None or bool(context._jsc.sc().isStopped())  # noqa: SLF001 - nothing public tells
        except Exception:
            log.debug("a session is gone", exc_info=True)
            return True
    endpoint = getattr(getattr(session.client, "_builder", None), "endpoint", "")
    host, _, port = endpoint.rpartition(":")
    return bool(session.is_stopped) or (port.isdigit() and not _answers(host, int(port)))


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host.strip("[]"), port), timeout=10.0).close()
    except OSError:
        return False
    return True


@contextmanager
def _no_log_of_errors() -> Iterator[None]:
    """Spark Connect writes every error with the statement to stderr; ours are shown once, and without its values."""
    from pyspark.logger import PySparkLogger

    logger = PySparkLogger.getLogger("SQLQueryContextLogger")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _sentence(text: str) -> str:
    """What Spark says of an error, without the error's code, the plan and Java's stack."""
    return re.sub(r"^\s*\[[A-Z_.0-9]+\]\s*", "", _BEHIND_MESSAGE.sub("", text))


_VIEW = re.compile(r"^View Text: (.*?)^(?:View |Schema: )", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^ \|-- (.*): (.+) \(nullable = (true|false)\)$", re.MULTILINE)


def _table(name: str, information: str, schema: str) -> Table:
    """A table from what SHOW TABLE EXTENDED tells of it."""
    head, _, tree = information.rpartition("Schema: root\n")
    facts = dict(re.findall(r"^(Type|Comment|Statistics): (.*)$", head, re.MULTILINE))
    rows = re.search(r"(\d+) rows", facts.get("Statistics", ""))
    return Table(
        name,
        tuple(Column(column, kind, nullable == "true") for column, kind, nullable in _COLUMN.findall(tree)),
        schema=schema,
        kind="view" if facts.get("Type") == "VIEW" else "table",
        rows=int(rows[1]) if rows else None,
        description=facts.get("Comment", ""),
    )


def _shown(kind: str, session: Any) -> Callable[[Any], Any]:
    """What makes a value of a type one for a frame: a time in the session's zone, and a struct as a dictionary."""
    if kind == "timestamp":
        zone = _zone(str(session.conf.get("spark.sql.session.timeZone")))
        return lambda value: value if value is None else value.astimezone(zone)
    return _plain if kind in {"array", "map", "struct"} else lambda value: value


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):  # such as `+02:00`; the moment is the same
        return UTC


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return dict(zip(value.__fields__, map(_plain, value), strict=True))  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
