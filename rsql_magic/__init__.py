"""Ask questions where your data is: ``%%ask`` and ``%%sql_ai`` for people who work in R and SQL on Jupyter.

``%load_ext rsql_magic`` brings the magics; ``ask`` and ``sql_ai`` here do the same from Python code. Nothing heavy is
imported before the first question.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.answers import Answer
    from rsql_magic.assistant import Assistant
    from rsql_magic.panel import ChatPanel as Panel
    from rsql_magic.sql import Privacy
    from rsql_magic.text2sql import SQLResult

__all__ = ["ChatPanel", "artifact", "ask", "map", "sql_ai"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%ask``, ``%%ask``, ``%sql_ai``, ``%%sql_ai`` and ``%rsql``; silent, and without any network.

    Magics that are there already stay, with their conversation: JupyterLab's sidebar may have been quicker.
    """
    from rsql_magic.notebook import load, loaded

    if loaded(shell) is None:
        load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics away and end the embedded gateway; harmless when they are not there."""
    from rsql_magic.notebook import unload

    unload(shell)


def ask(
    question: str,
    *,
    with_: Sequence[str] | Mapping[str, Any] = (),
    model: str | None = None,
    lang: str = "auto",
    privacy: Privacy = "stats",
    timeout: float | None = None,
    new: bool = False,
) -> Answer:
    """Answer a question, as ``%%ask`` does, without showing anything.

    Args:
        question: The question; ``{{name}}`` becomes the value of a variable.
        with_: Names of objects to describe, or the objects themselves by name.
        model: Model or alias; None for the configured one.
        lang: Language of code in the answer: ``auto``, ``r``, ``python``, ``sql``.
        privacy: How much of the data may leave: ``names``, ``stats``, ``sample``.
        timeout: Most seconds without a word from the gateway.
        new: Whether to forget the conversation first.

    Raises:
        RsqlError: One of the classes of ``rsql_magic.errors``.

    Example:
        >>> ask("What is a left join?").text  # doctest: +SKIP
        'A left join keeps every row of the left table …'
    """
    assistant, snapshot = _assistant(), _snapshot(with_ if isinstance(with_, Mapping) else {})
    asked = assistant.question(
        _text(question), snapshot, names=_names(with_), model=model, lang=lang, privacy=privacy, timeout=timeout
    )
    answer = assistant.ask(asked, snapshot, new=new)
    if answer.ended_by:
        raise answer.ended_by
    return answer


def sql_ai(
    question: str,
    connection: Any = None,
    *,
    run: bool = True,
    dialect: str | None = None,
    tables: Sequence[str] | None = None,
    retries: int = 3,
    max_rows: int = 1000,
    timeout: float = 60,
    plot: str | None = None,
    drafts: int | None = None,
    model: str | None = None,
) -> SQLResult:
    """Answer a question by a checked, read-only SQL query, as ``%%sql_ai`` does, without showing anything.

    Args:
        question: The question; ``{{name}}`` becomes the value of a variable.
        connection: A connection, an engine, a URL, a file, frames by name, or the name of a variable with one; None for
            the last one used, JupySQL's, or the live frames.
        run: Whether to run the query.
        dialect: sqlglot's name of the dialect to write in, when it is not the connection's.
        tables: The only tables to use.
        retries: Most corrections of a failing query.
        max_rows: Most rows of the result.
        timeout: Most seconds the query may run.
        plot: A kind of chart, as ``%%sql_ai --plot`` takes it: ``auto``, ``bar``, ``line``, ….
        drafts: Drafts whose results are compared; 0 for three where the first leaves doubt, None for `Rsql.drafts`.
        model: Model or alias; None for the configured one.

    Raises:
        RsqlError: One of the classes of ``rsql_magic.errors``: ``QueryRejected``, ``QueryFailed``, ….

    Example:
        >>> sql_ai("How many flights left each airport?", con).df  # doctest: +SKIP
          origin       n
        0    EWR  120835
    """
    assistant = _assistant()
    options = assistant.query_options(
        run=run,
        dialect=dialect,
        tables=None if tables is None else _names(tables),
        retries=retries,
        max_rows=max_rows,
        timeout=timeout,
        plot=plot,
        drafts=drafts,
        model=model,
    )
    return assistant.sql_ai(_text(question), connection, snapshot=_snapshot({}), options=options)


def map(  # noqa: A001 - as a data frame's method is called; nothing here maps otherwise
    frame: Any,
    question: str,
    returns: Mapping[str, Any] | None = None,
    *,
    model: str | None = None,
    privacy: Privacy | None = None,
    budget: float | None = None,
    rows_per_request: int | None = None,
    concurrency: int = 8,
    fresh: bool = False,
    by_job: bool | None = None,
    quiet: bool = False,
) -> Any:
    """Ask about each row of a frame; the frame with a column for each answer, and ``error`` for why one is missing.

    Equal rows are asked about once. What was answered is kept on this machine for thirty days: a call that was
    interrupted goes on where it ended.

    Args:
        frame: A pandas or polars frame, an Arrow table or a relation of DuckDB.
        question: The question; ``{{column}}`` is what stands in the row.
        returns: By name ``str``, ``int``, ``float``, ``bool``, ``datetime.date``, or a list of the only texts there may
            be; None for one text ``answer``.
        model: Model or alias; None for the configured one.
        privacy: Must be ``sample``, here or as `Rsql.privacy`: rows are sent to the model.
        budget: US dollars; requests that might pass it are not sent.
        rows_per_request: Rows asked about in one request; None for as many as pays.
        concurrency: Requests at a time.
        fresh: Whether to ask again what is known.
        by_job: Whether a job of the gateway asks, which goes on when this process ends; None for where there are many
            requests and no budget.
        quiet: Whether to print nothing.

    Raises:
        RsqlError: One of the classes of ``rsql_magic.errors``; ``BadInput`` where a column or type is not right.

    Example:
        >>> map(reviews, "How does {{text}} sound?", {"mood": ["glad", "angry"]}, privacy="sample")  # doctest: +SKIP
                           text   mood error
        0  It works, thank you.   glad  <NA>
    """
    from rsql_magic.answers import MapOptions
    from rsql_magic.assistant import ending, row_map
    from rsql_magic.display import Screen, TerminalScreen
    from rsql_magic.notebook import loaded
    from rsql_magic.reports import progress_bar

    assistant, magics = _assistant(), loaded(_shell())
    screen = Screen() if quiet else magics.screen() if magics else TerminalScreen(footer=False)
    level = privacy or assistant.settings.privacy
    options = MapOptions(assistant.settings.resolve(model), level, budget, rows_per_request, concurrency, fresh, by_job)
    rows = row_map(assistant, screen, progress_bar(screen.status))
    with ending(screen):
        return rows.of(frame, _text(question), {"answer": str} if returns is None else returns, options)


def artifact(name: str) -> Any:
    """What an answer made, as the panel keeps it: rows as a pandas frame, a picture, a chart, or text.

    A study set is practised as the last value of a cell, as by ``%rsql study``; its ``sheet`` has the ``items``.

    Args:
        name: Its id, as the panel's list of files gives it in code.

    Raises:
        BadInput: There is none of this id any more, or nothing is kept here.

    Example:
        >>> artifact("0a1b2c3d4e5f")  # doctest: +SKIP
          origin       n
        0    EWR  120835
    """
    import os

    from rsql_magic.notebook import loaded
    from rsql_magic.panel import Keeper, StudySets, folder_of, value_of

    magics = loaded(_shell())
    keeper = magics.conversations.keeper if magics else Keeper(folder_of(os.environ), _assistant().settings)
    keeper.flush(1.0)
    artifacts = keeper.artifacts
    one = artifacts.one(name)
    return StudySets(keeper).of(one) if one.kind == "study" else value_of(one, artifacts.content(name))


def ChatPanel(*, keep: bool = False) -> Panel:  # noqa: N802 - a class, which is imported at its first use
    """A chat about this notebook; show it as the last line of a cell, or by ``%rsql chat``.

    Args:
        keep: Whether the conversation is written into the notebook's file.

    Example:
        >>> ChatPanel()  # doctest: +SKIP
    """
    from rsql_magic.notebook import loaded
    from rsql_magic.panel import ChatPanel as Panel

    shell = _shell()
    if shell is not None and loaded(shell) is None:
        load_ipython_extension(shell)
    if (magics := loaded(shell)) is None:
        return Panel(_assistant(), lambda: _snapshot({}), keep=keep)
    return magics.panel(keep=keep)


# A question, which code may pass as anything.
def _text(question: Any) -> str:
    if not isinstance(question, str):
        from rsql_magic.errors import BadInput

        raise BadInput(f"A question is text, not {type(question).__name__}.", hint="Put it in quotes.")
    return question


# Names; a single one may be given as it is.
def _names(given: Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


# The notebook's, where the extension is loaded; else one of this process.
def _assistant() -> Assistant:
    from rsql_magic.assistant import of_process
    from rsql_magic.notebook import loaded

    magics = loaded(_shell())
    return magics.assistant if magics else of_process()


# The notebook's variables, or those of the code that called, and the given ones.
def _snapshot(given: Mapping[str, Any]) -> Any:
    from rsql_magic.answers import NotebookSnapshot

    shell = _shell()
    caller = sys._getframe(2)  # noqa: SLF001 - the documented way to see who called
    namespace = shell.user_ns if shell else caller.f_globals
    return NotebookSnapshot({**namespace, **caller.f_locals, **given})


# IPython's shell, when this runs in one.
def _shell() -> Any:
    core = sys.modules.get("IPython")
    return core.get_ipython() if core else None
