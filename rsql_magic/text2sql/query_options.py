"""What is wanted of one question to a database."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.errors import BadInput
from rsql_magic.options import CHARTS, LOOKS, ChartKind, LookFirst

if TYPE_CHECKING:
    from argparse import Namespace

    from rsql_magic.config import Rsql
    from rsql_magic.sql import Privacy


MOST_DRAFTS = 5


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """What is wanted of one question."""

    question: str  # with its ``{{names}}`` filled in
    tables: tuple[str, ...] = ()  # names of the only tables to use; empty leaves the choice to ``linking``
    model: str | None = None  # None for the gateway's default
    retries: int = 3  # rounds of repair
    drafts: int = 0  # whose results are compared; 0 compares three where the first one leaves doubt
    look: LookFirst = "auto"  # whether the model may call tools first; ``auto`` where not all tables are shown
    look_calls: int = 8  # most calls of tools
    run: bool = True
    max_rows: int = 1000  # most rows brought into the notebook
    timeout: float = 60.0  # most seconds the query may run
    silence: float | None = None  # most seconds without a word from the gateway
    plot: ChartKind | Literal["auto"] | None = None  # None for a chart only when the question asks for one
    explain: bool = False  # whether to show the plan and explain the query in words
    answer: bool = False  # whether to answer in words from the result, of which rows are sent for that
    ask: bool = False  # whether to ask back when the question has several readings
    settle: bool = False  # whether to take the best of several readings and say so, as nobody is there to be asked
    plan_rows: int = 0  # rows that a plan may expect to handle before somebody is asked; 0 for any number
    dialect: str = ""  # the dialect to write in, when it is not the connection's
    level: Privacy = "stats"  # how much of the data may leave
    schema_tokens: int = 8000  # most tokens spent on tables
    shown_rows: int = 10
    shown_columns: int = 20

    @classmethod
    def from_settings(cls, settings: Rsql, *, batch: bool = False, **given: Any) -> QueryOptions:
        """The options that were given, and the settings for those that are left open (None).

        In a ``batch`` nobody is there to be asked back.

        Raises:
            BadInput: A number or a name makes no sense.

        Example:
            >>> from rsql_magic.config import Rsql
            >>> QueryOptions.from_settings(Rsql(), max_rows=5, timeout=None).timeout
            60.0
        """
        chosen = {name: value for name, value in given.items() if value is not None}
        options = cls("", **{name: getattr(settings, setting) for name, setting in _SETTINGS.items()} | chosen)
        _refuse_odd(options)
        return replace(
            options,
            tables=tuple(options.tables),
            model=settings.resolve(options.model),
            dialect=_named(options.dialect) if options.dialect else "",
            ask=options.ask and not batch,
            settle=options.ask and batch,
        )


# The settings that stand in for options, by the option.
_SAME = ("retries", "drafts", "look", "look_calls", "max_rows", "plan_rows", "schema_tokens", "shown_rows")
_SETTINGS = {name: name for name in (*_SAME, "shown_columns")}
_SETTINGS |= {"timeout": "query_timeout", "silence": "timeout", "level": "privacy"}


def given(options: Namespace) -> dict[str, Any]:
    """The parsed options of a magic or command that are fields of `QueryOptions`, by their names."""
    names = {field.name for field in fields(QueryOptions)} - {"question"}
    return {name: value for name, value in vars(options).items() if name in names}


def refuse_no_time(timeout: Any) -> None:
    """Refuse a time that is none; None leaves it to the settings."""
    if timeout is None:
        return
    hint = "Leave it out for the configured one."
    if not isinstance(timeout, Real):
        raise BadInput(f"timeout is a number of seconds, not {timeout!r}.", hint=hint)
    if not float(timeout) > 0:
        raise BadInput("--timeout must be more than 0 seconds.", hint=hint)


def _refuse_odd(options: QueryOptions) -> None:
    """Refuse numbers and names that make no sense, before anything is asked."""
    for name in ("max_rows", "retries", "drafts"):
        if isinstance(value := getattr(options, name), bool) or not isinstance(value, Integral):
            raise BadInput(f"{name} takes a whole number, not {value!r}.", hint="Leave it out for the configured one.")
    if options.max_rows < 1:
        raise BadInput("--max-rows is at least 1.", hint="--no-run writes the query without running it.")
    if options.retries < 0:
        raise BadInput("--retries is at least 0.", hint="0 allows no correction.")
    if not 0 <= options.drafts <= MOST_DRAFTS:
        raise BadInput(f"--drafts is 0 to {MOST_DRAFTS}.", hint="0 compares drafts where the first one leaves doubt.")
    refuse_no_time(options.timeout)
    if options.look not in LOOKS:
        raise BadInput(f"There is no --look {options.look!r}.", hint=f"There are: {', '.join(LOOKS)}.")
    if options.plot not in {None, "auto", *CHARTS}:
        raise BadInput(f"There is no chart of the kind {options.plot!r}.", hint=f"There are: {', '.join(CHARTS)}.")


def _named(dialect: str) -> str:
    """Sqlglot's name of a dialect, also by the names that databases and SQLAlchemy have: ``PostgreSQL``, ``mssql``."""
    from sqlglot.dialects import Dialects

    from rsql_magic.sql import Unreadable, canonical

    try:
        return canonical(dialect)
    except Unreadable:
        known = [name.value for name in Dialects if name.value]
        close = get_close_matches(dialect.lower(), known, 1)
        hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(known)}."
        raise BadInput(f"There is no SQL dialect {dialect!r}.", hint=hint) from None
