"""What is wanted of one question to a database."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.display import charts
from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsql_magic.config import Rsql
    from rsql_magic.display import Kind
    from rsql_magic.sql import Privacy


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """What is wanted of one question.

    Args:
        question: The question, with its ``{{names}}`` filled in.
        tables: Names of the only tables to use; empty leaves the choice to ``linking``.
        model: Model, or None for the gateway's default.
        retries: Rounds of repair.
        run: Whether to run the query.
        max_rows: Most rows brought into the notebook.
        timeout: Most seconds the query may run.
        silence: Most seconds without a word from the gateway.
        plot: A kind of chart, ``auto``, or None for a chart only when the question asks for one.
        explain: Whether to show the plan and explain the query in words.
        answer: Whether to answer in words from the result, of which rows are sent for that.
        ask: Whether to ask back when the question has several readings.
        settle: Whether to take the best of several readings and say so, as nobody is there to be asked.
        plan_rows: Rows that a plan may expect to handle before somebody is asked; 0 for any number.
        dialect: The dialect to write in, when it is not the connection's.
        level: How much of the data may leave.
        schema_tokens: Most tokens spent on tables.
        shown_rows: Rows shown.
        shown_columns: Columns shown.
    """

    question: str
    tables: tuple[str, ...] = ()
    model: str | None = None
    retries: int = 3
    run: bool = True
    max_rows: int = 1000
    timeout: float = 60.0
    silence: float | None = None
    plot: Kind | Literal["auto"] | None = None
    explain: bool = False
    answer: bool = False
    ask: bool = False
    settle: bool = False
    plan_rows: int = 0
    dialect: str = ""
    level: Privacy = "stats"
    schema_tokens: int = 8000
    shown_rows: int = 10
    shown_columns: int = 20


def options_of(
    settings: Rsql,
    *,
    batch: bool = False,
    tables: Sequence[str] | None = None,
    model: str | None = None,
    run: bool = True,
    explain: bool = False,
    answer: bool = False,
    ask: bool = False,
    plot: Any = None,
    max_rows: int | None = None,
    retries: int | None = None,
    timeout: float | None = None,
    dialect: str | None = None,
    level: Privacy | None = None,
) -> QueryOptions:
    """What was given, and the settings for what was left open (None).

    Args:
        settings: The settings.
        batch: Whether nobody is there to be asked back.
        tables: Names of the only tables to use.
        model: Model or alias.
        run: Whether to run the query.
        explain: Whether to show the plan and explain the query in words.
        answer: Whether to answer in words from the result.
        ask: Whether to ask back when the question has several readings.
        plot: A kind of chart, or ``auto``.
        max_rows: Most rows brought into the notebook.
        retries: Rounds of repair.
        timeout: Most seconds the query may run.
        dialect: The dialect to write in.
        level: How much of the data may leave.

    Raises:
        BadInput: A number or a name makes no sense.
    """
    _refuse_odd(max_rows, retries, timeout, plot, dialect)
    return QueryOptions(
        "",
        tables=tuple(tables or ()),
        model=settings.resolve(model),
        retries=settings.retries if retries is None else retries,
        run=run,
        max_rows=settings.max_rows if max_rows is None else max_rows,
        timeout=settings.query_timeout if timeout is None else timeout,
        silence=settings.timeout,
        plot=plot,
        explain=explain,
        answer=answer,
        ask=ask and not batch,
        settle=ask and batch,
        plan_rows=settings.plan_rows,
        dialect=_named(dialect) if dialect else "",
        level=level or settings.privacy,
        schema_tokens=settings.schema_tokens,
        shown_rows=settings.shown_rows,
        shown_columns=settings.shown_columns,
    )


def refuse_no_time(timeout: float | None) -> None:
    """Refuse a time that is none.

    Raises:
        BadInput: It is not more than 0.
    """
    if timeout is not None and not timeout > 0:
        raise BadInput("--timeout must be more than 0 seconds.", hint="Leave it out for the configured one.")


def _refuse_odd(
    max_rows: int | None, retries: int | None, timeout: float | None, plot: str | None, dialect: str | None
) -> None:
    """Refuse numbers and names that make no sense, before anything is asked."""
    if max_rows is not None and max_rows < 1:
        raise BadInput("--max-rows is at least 1.", hint="--no-run writes the query without running it.")
    if retries is not None and retries < 0:
        raise BadInput("--retries is at least 0.", hint="0 allows no correction.")
    refuse_no_time(timeout)
    if plot not in {None, "auto", *charts.KINDS}:
        raise BadInput(f"There is no chart of the kind {plot!r}.", hint=f"There are: {', '.join(charts.KINDS)}.")
    if dialect:
        _named(dialect)


def _named(dialect: str) -> str:
    """Sqlglot's name of a dialect, also by the names that databases and SQLAlchemy have: ``PostgreSQL``, ``mssql``.

    Raises:
        BadInput: There is no such dialect.
    """
    from rsql_magic.sql import Unreadable, canonical

    try:
        return canonical(dialect)
    except Unreadable:
        raise _no_such_dialect(dialect) from None


def _no_such_dialect(dialect: str) -> BadInput:
    from sqlglot.dialects import Dialects

    known = [name.value for name in Dialects if name.value]
    close = get_close_matches(dialect.lower(), known, 1)
    hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
    return BadInput(f"There is no SQL dialect {dialect!r}.", hint=hint)
