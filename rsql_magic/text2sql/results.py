"""Running a checked query within its bounds; SQLResult: what it gave, and how it looks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.display import (
    CellOutput,
    Showable,
    charts,
    fenced,
    folded,
    quiet,
    safe_markdown,
    table_html,
    table_plain,
    usage_line,
)
from rsql_magic.errors import BadInput, QueryFailed, QueryRejected
from rsql_magic.gateway import Usage
from rsql_magic.plain_text import printable
from rsql_magic.text2sql.drafts import Native
from rsql_magic.text2sql.query_options import QueryOptions
from rsql_magic.text2sql.row_order import in_one_order

if TYPE_CHECKING:
    from collections.abc import Callable

    import altair as alt
    import pandas as pd

    from rsql_magic.databases import Engine, Plan, Rows
    from rsql_magic.sql import Catalog

_LOOK_UP_SECONDS = 10.0
_HELD_SECONDS = 3.0


@dataclass(frozen=True)
class QueryRunner:
    """Runs statements for one question."""

    engine: Engine
    native: Native  # translates a statement into the engine's dialect
    options: QueryOptions  # bounds of rows, time and expected work
    catalog: Callable[[], Catalog]  # gives the tables that a statement may name
    confirm: Callable[[str], bool] | None  # asks a person whether to go on; None, when there is nobody, means no

    def run(self, statement: str) -> Rows:
        """The rows of a statement.

        Raises:
            QueryFailed: The database refused or stopped it.
        """
        native = self.native.of(statement, self.catalog())
        rows = self.engine.run(native, max_rows=self.options.max_rows, timeout=self.options.timeout)
        return rows if rows.truncated else replace(rows, df=in_one_order(rows.df, native, self.engine.dialect))

    def plan(self, statement: str) -> Plan:
        """The database's plan of a statement.

        Raises:
            QueryFailed: The database has none for it.
        """
        return self.engine.plan(self.native.of(statement, self.catalog()))

    def looked_up(self, query: str, seconds: float = _LOOK_UP_SECONDS) -> list[str]:
        """The first column of a small query of our own; nothing where the database refuses it or takes long."""
        try:
            rows = self.engine.run(query, max_rows=5, timeout=seconds)
        except (QueryFailed, QueryRejected):
            return []
        return [str(value) for value in rows.df.iloc[:, 0]]

    def held(self, query: str) -> list[str]:
        """As `looked_up`, in the seconds that a question has for one literal."""
        return self.looked_up(query, _HELD_SECONDS)

    def number(self, query: str) -> int | None:
        """What a small query of our own counts; None where the database refuses it or takes long."""
        found = self.looked_up(query)
        return int(float(found[0])) if found else None

    def refuse_costly(self, statement: str) -> None:
        """Ask before a query that the database expects to take very long.

        Raises:
            QueryFailed: A person refused it, or nobody is there to be asked.
        """
        work = self._expected_work(statement) if self.options.plan_rows else 0
        if work <= self.options.plan_rows:
            return
        costs = f"The database expects to handle about {work:,} rows for this query"
        if self.confirm is None or not self.confirm(f"{costs}."):
            raise QueryFailed(
                f"{costs}; {self.options.plan_rows:,} are allowed without asking.",
                hint="Ask for less, or raise %config Rsql.plan_rows.",
                sql=statement,
            )

    def _expected_work(self, statement: str) -> int:
        """Rows that the database expects to handle; 0 where it does not say, as for SHOW."""
        try:
            return self.plan(statement).work or 0
        except QueryFailed:
            return 0


def run_again(sql: str, dialect: str, engine: Engine, *, max_rows: int, timeout: float) -> Rows:
    """The rows of a query of an earlier answer, in a dialect by sqlglot's name, as the data is now.

    ``timeout`` is in seconds.

    Raises:
        QueryRejected: The guard refuses it.
        QueryFailed: The database refused or stopped it.
    """
    native, options = Native(engine, dialect or engine.dialect), QueryOptions("", max_rows=max_rows, timeout=timeout)
    return QueryRunner(engine, native, options, lambda: engine.catalog("names"), None).run(sql)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One round: the draft, what was wrong with it, what the model said; or what rules changed, without the model."""

    sql: str
    problems: tuple[str, ...] = ()
    says: str = ""
    usage: Usage = field(default_factory=Usage)
    mended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds spent: choosing tables, waiting for the model, checking, running the query, drawing, and in all."""

    link: float = 0.0
    write: float = 0.0
    check: float = 0.0
    sql: float = 0.0
    chart: float = 0.0
    total: float = 0.0


@dataclass
class SQLResult(Showable):
    """A checked query, and what it gave.

    Example:
        >>> SQLResult("SELECT count(*) FROM orders", rows=1).sql
        'SELECT count(*) FROM orders'
    """

    sql: str = ""  # the statement that passed, or the last draft
    question: str = ""
    df: pd.DataFrame | None = None  # the result; None when the query was not run
    drawing: charts.Spec | None = None  # the chart as a Vega-Lite specification with its data
    attempts: tuple[Attempt, ...] = ()  # all drafts, with what was wrong with each
    problems: tuple[str, ...] = ()  # what is wrong with ``sql``; empty when it passed
    usage: Usage = field(default_factory=Usage)
    context: str = ""  # the schema as sent
    timings: Timings = field(default_factory=Timings)
    says: str = ""  # what the model said about the query
    answer: str = ""  # the question's answer in words, with ``--answer``
    plan: str = ""  # the database's plan, with ``--explain``
    connection: str = ""  # its name, safe to show
    rows: int | None = None  # true number of rows; None when it is not known
    truncated: bool = False  # whether ``df`` holds only the first of them
    database: str = ""  # where it does, what tells their database from others; empty for one that ends with the session
    notes: tuple[str, ...] = ()  # facts worth saying, one sentence each
    agreed: int = 0  # drafts that gave these rows, where several were compared; 0 where not
    compared: int = 0  # drafts that were asked for, to compare them
    alternatives: tuple[str, ...] = ()  # a query for each other result that a draft gave
    # ``agreed`` where two drafts or more gave these rows, ``differed`` where none gave them again; empty where none was
    # compared, or the first draft had to be corrected, as agreement says nothing then.
    trust: Literal["agreed", "differed", ""] = ""
    dialect: str = ""
    shown_rows: int = 10
    shown_columns: int = 20
    footnotes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it as plain text, as an answer in words has its own."""
        return str(self)

    @property
    def code(self) -> str:
        """The query: the code of this answer."""
        return self.sql

    @cached_property
    def chart(self) -> alt.Chart | None:
        """The chart as an Altair object, or None."""
        return charts.as_altair(self.drawing) if self.drawing else None

    @property
    def count(self) -> str:
        """How many rows there are, truthfully: ``3 rows``, ``first 1,000 of 336,776 rows``."""
        if self.df is None:
            return "not run"
        here = len(self.df)
        if not self.truncated:
            return f"{here:,} row{'' if here == 1 else 's'}"
        return f"first {here:,} " + ("rows; there are more" if self.rows is None else f"of {self.rows:,} rows")

    @property
    def frame(self) -> pd.DataFrame:
        """The result as a pandas frame.

        Raises:
            BadInput: The query was not run.
        """
        if self.df is None:
            raise BadInput("The query was not run, so there is no result.", hint="Leave out --no-run.")
        return self.df

    def as_(self, kind: str) -> Any:
        """The result as a frame of ``pandas``, ``polars`` or ``arrow``.

        Raises:
            BadInput: The package is not installed.
        """
        if self.df is None or kind == "pandas":
            return self.df
        try:
            import pyarrow as pa  # type: ignore[import-untyped]

            table = pa.Table.from_pandas(self.df, preserve_index=False)
            if kind == "arrow":
                return table
            import polars as pl

            return pl.from_arrow(table)
        except ImportError as error:
            raise BadInput(f"--as {kind} needs {error.name}.", hint=f"pip install {error.name}") from None

    def save(self, path: str | Path) -> None:
        """Write the result to a file; its ending says what: .csv, .parquet, .sql, .png or .svg (the chart).

        Raises:
            BadInput: There is no such result, the ending is unknown, or the file cannot be written.
        """
        place = Path(path).expanduser()
        write = _WRITERS[saved_as(place)]
        try:
            write(self, place)
        except OSError as error:
            reason = f"{place} cannot be written: {error.strerror or error}."
            raise BadInput(reason, hint="Give another path.") from None

    def shown(self, *, footer: bool = True) -> CellOutput:
        """The finished output: query, rounds of repair, table, what is worth saying, usage."""
        facts = [safe_markdown(self.answer), safe_markdown(self.says), *map(safe_markdown, self.notes)]
        rounds = [folded(title, fenced(attempt.sql, "sql")) for title, attempt in self.rounds()]
        rounds += [folded("another draft, with another result", fenced(sql, "sql")) for sql in self.alternatives]
        plan = [folded("plan", fenced(self.plan))] if self.plan else []
        query, table = fenced(self.sql, "sql"), self._table(table_html, quiet)
        markdown = "\n\n".join(part for part in [*rounds, query, *plan, *table, *facts] if part)
        took = "" if self.df is None or self.usage.replayed else f"query {self.timings.sql:.2f} s"
        line = usage_line(self.usage, notes=(*self.footnotes, took))
        metadata = {"rsql": {**self.usage.record(), "sql": self.sql}}
        return CellOutput(markdown, self._plain(), line if footer else "", metadata=metadata)

    def rounds(self) -> list[tuple[str, Attempt]]:
        """The rounds that are shown: drafts that failed, and those that rules put right, also when it is the last."""
        numbered, last = enumerate(self.attempts, 1), len(self.attempts)
        return [(_title(n, attempt), attempt) for n, attempt in numbered if n < last or attempt.mended]

    def _table(self, drawn: Callable[..., str], line: Callable[[str, str], str]) -> list[str]:
        """The result as a table, and how many rows it has in a line below; nothing where the query was not run."""
        if self.df is None:
            return []
        more = f", {self.shown_rows} shown" if len(self.df) > self.shown_rows else ""
        table = drawn(self.df, rows=self.shown_rows, columns=self.shown_columns)
        return [table, line(f"{self.count}{more}", "count")]

    def _plain(self) -> str:
        head, table = (
            "\n".join([*(f"-- {title}" for title, _ in self.rounds()), self.sql]),
            self._table(table_plain, lambda text, _: text),
        )
        return "\n\n".join(part for part in [head, self.plan, *table, self.answer, self.says, *self.notes] if part)

    def __str__(self) -> str:
        return printable(self._plain())

    def __repr__(self) -> str:
        tries = len(self.attempts)
        query = " ".join(printable(self.sql).split())[:80]
        return f"<SQLResult {self.count}, {tries} attempt{'' if tries == 1 else 's'}: {query}>"


SAVED_AS = (".csv", ".parquet", ".sql", ".png", ".svg")  # endings of files that a result can be saved as


def saved_as(path: Path) -> str:
    """The ending of a file that a result can be saved as.

    Raises:
        BadInput: It is none of them.

    Example:
        >>> saved_as(Path("delays.CSV"))
        '.csv'
    """
    ending = path.suffix.lower()
    if ending not in SAVED_AS:
        raise BadInput(f"{path} cannot be saved: its ending says nothing.", hint=f"Use one of {', '.join(SAVED_AS)}.")
    return ending


def _save_csv(result: SQLResult, place: Path) -> None:
    result.frame.to_csv(place, index=False)


def _save_parquet(result: SQLResult, place: Path) -> None:
    try:
        result.frame.to_parquet(place, index=False)
    except ImportError:
        raise BadInput("A Parquet file needs pyarrow.", hint="pip install pyarrow") from None


def _save_sql(result: SQLResult, place: Path) -> None:
    place.write_text(f"-- {' '.join(result.question.split())}\n{result.sql.rstrip(';')};\n", encoding="utf-8")


def _save_chart(result: SQLResult, place: Path) -> None:
    if result.drawing is None:
        raise BadInput("There is no chart to save.", hint="Ask for one: --plot.")
    place.write_bytes(charts.picture(result.drawing, place.suffix.lower().lstrip(".")))


_WRITERS = {".csv": _save_csv, ".parquet": _save_parquet, ".sql": _save_sql, ".png": _save_chart, ".svg": _save_chart}


def _title(number: int, attempt: Attempt) -> str:
    changes = f"mended without asking: {'; '.join(dict.fromkeys(attempt.mended))}" if attempt.mended else ""
    wrong = f"draft {number}: {' '.join(attempt.problems)}" if attempt.problems else ""
    return " — ".join(part for part in (changes, wrong) if part)
