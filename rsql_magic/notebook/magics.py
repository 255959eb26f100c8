"""The magics: read the line, call one method of the assistant, give back its result.

``%ask`` and ``%%ask`` answer questions about the notebook, ``%sql_ai`` and ``%%sql_ai`` turn questions into checked SQL
and run it, ``%rsql`` looks after the gateway, the models and the conversation.
"""

from __future__ import annotations

import os
import re
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope, no_var_expand
from traitlets import TraitError

from rsql_magic.config import Rsql
from rsql_magic.context import joined, silenced, spoken
from rsql_magic.errors import BadInput, RsqlError
from rsql_magic.gateway import batch
from rsql_magic.notebook import completion, running, syntax
from rsql_magic.notebook.command_list import COMMANDS, help_text
from rsql_magic.notebook.last_error import last_error
from rsql_magic.notebook.options import Line, Option, help_of, line_and_cell, read_line
from rsql_magic.plain_text import unlinked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.ask import Answer, NotebookSnapshot, Preview, Question
    from rsql_magic.assistant import Assistant
    from rsql_magic.display import Screen, Showable
    from rsql_magic.gateway import Chat, Origin
    from rsql_magic.panel import ChatPanel
    from rsql_magic.study import Kind, Study
    from rsql_magic.text2sql import SQLResult

T = TypeVar("T", bound="Showable")

KINDS = ("bar", "line", "point", "area", "hist", "pie")
MODEL = Option(("--model", "-m"), "Model or alias; %%rsql models lists them.")
PRIVACY = Option(("--privacy",), "How much of the data may leave.", choices=("names", "stats", "sample"))
NEW = Option(("--new",), "Forget the conversation first.", 0)
SHOW_CONTEXT = Option(("--show-context",), "Print exactly what would be sent and its tokens; send nothing.", 0)


@magics_class
class RsqlMagics(Magics):
    """The magics of one shell.

    Args:
        shell: The shell they are registered in.
        assistant: Their assistant; made at first use, so that loading the extension costs nothing.
    """

    def __init__(self, shell: InteractiveShell, assistant: Assistant | None = None) -> None:
        super().__init__(shell)
        self._shell = shell
        self.settings = assistant.settings if assistant else Rsql(parent=shell)
        known: list[Any] = shell.configurables
        known.remove(self)  # what %config shows is Rsql, with the settings
        known.append(self.settings)
        self._assistant = assistant
        self._results: dict[str, tuple[Callable[[], Any], Origin, Sequence[str]]] = {}
        """What ``-o`` kept, by name: the object, the cell's id, and the cell as it was typed."""

    @property
    def assistant(self) -> Assistant:
        """What the magics, the panel and the functions of this notebook share."""
        if self._assistant is None:
            from rsql_magic.assistant import Assistant

            self._assistant = Assistant(self.settings, batch=batch.is_batch(self._shell, os.environ))
        return self._assistant

    def close(self) -> None:
        """Let go of everything; the magics can be registered anew."""
        known: list[Any] = self._shell.configurables
        if self.settings in known:
            known.remove(self.settings)
        if self._assistant is not None:
            self._assistant.close()

    @line_and_cell(
        MODEL,
        Option(("--lang",), "Language of code in the answer.", choices=("auto", "r", "python", "sql")),
        Option(("--with",), "Describe these objects, whatever else is described.", "+", "NAME"),
        Option(("--no-context",), "Send the question alone.", 0),
        PRIVACY,
        Option(("--run",), "Run the one block of code in the answer.", 0),
        Option(("--insert",), "Put the code of the answer into a new cell below.", 0),
        Option(("--output", "-o"), "Keep the answer under this name.", metavar="VAR"),
        NEW,
        Option(("--as",), "Study material in place of an answer.", choices=("summary", "flashcards", "quiz", "exam")),
        Option(("--count",), "How many items of study material.", metavar="N", type=int),
        Option(("--thread",), "Ask in the conversation of this name.", metavar="NAME"),
        Option(("--format", "-f"), "How the answer is shown.", choices=("markdown", "text", "json")),
        SHOW_CONTEXT,
        Option(("--timeout",), "Most seconds without a word from the gateway.", metavar="S", type=float),
    )
    def ask(
        self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> Answer | Study | None:
        """Answer a question about what this notebook holds: data frames, R objects, tables, cells, errors.

        The question stands below the first line, or on it. {{name}} becomes the value of a variable.
        %ask alone explains the last error, %ask fix proposes the corrected cell.
        """
        read = read_line(self.ask, line, cell=cell is not None)
        options = read.options
        if options.help:
            _print(help_of(self.ask))
            return None
        _check_name(options.output or read.target)
        unsure = self._unknown_policy(options)  # first: what {{name}} tells follows it too
        snapshot = self._snapshot(local_ns)
        kind = _study_kind(options)
        question, text = self._asked(read, cell, snapshot, kind)
        if options.show_context:
            _print(self._preview(kind, question, snapshot, options).saying(unsure))
            return None
        if kind:
            return self._study(kind, question, snapshot, options, text)
        with self.assistant.chat.in_thread(options.thread or ""):
            answer = self.assistant.ask(question, snapshot, new=options.new, screen=self._screen(text))
        self._keep(options.output or read.target, answer)
        if answer.ended_by:
            raise answer.ended_by
        if options.insert:
            self._insert(answer)
        if options.run:
            running.run_code(answer, question.lang, self._shell, self.assistant, self._screen(""))
        return self._shown(answer, text)

    def _asked(
        self, read: Line, cell: str | None, snapshot: NotebookSnapshot, kind: Kind | None
    ) -> tuple[Question, str]:
        """The question as the assistant takes it, and as it was typed; study material may be of the whole notebook."""
        options = read.options
        if kind and not (read.text + (cell or "")).strip():
            text, about_error = "What this notebook does and holds.", False
        else:
            text, about_error = self._question(read, cell, snapshot)
        question = self.assistant.question(
            spoken(text),
            snapshot,
            names=getattr(options, "with"),
            model=options.model,
            lang=options.lang,
            privacy=options.privacy,
            context=not options.no_context,
            timeout=options.timeout,
            format=options.format,
            about_error=about_error,
            look=options.show_context,
        )
        return question, text

    def _unknown_policy(self, options: Any) -> str:
        """For ``--show-context``: why it is not known what the gateway lets leave, if it is not."""
        return self.assistant.locator.unknown_policy() if options.show_context else ""

    def _preview(self, kind: Kind | None, question: Question, snapshot: NotebookSnapshot, options: Any) -> Preview:
        if kind:
            return self.assistant.study_preview(question, snapshot, kind, options.count)
        with self.assistant.chat.in_thread(options.thread or ""):
            return self.assistant.preview(question, snapshot, chat=self._afresh(options.new))

    def _study(
        self, kind: Kind, question: Question, snapshot: NotebookSnapshot, options: Any, text: str
    ) -> Study | None:
        """Study material about what was asked, or about the notebook."""
        with self.assistant.chat.in_thread(options.thread or ""):
            study = self.assistant.study(
                question, snapshot, kind, count=options.count, new=options.new, screen=self._screen(text)
            )
        self._keep(options.output, study)
        return self._shown(study, text)

    @line_and_cell(
        MODEL,
        Option(("--output", "-o"), "Keep the frame under this name; with --no-run, the SQL.", metavar="VAR"),
        Option(("--tables",), "Use only these tables.", "+", "T"),
        Option(("--no-run",), "Write and check the query, and do not run it.", 0),
        Option(("--explain",), "Show the plan, and explain the query in words.", 0),
        Option(("--answer",), "Answer in words too, from the result, in the question's language.", 0),
        Option(("--ask",), "Ask back when the question can be read in several ways.", 0),
        Option(("--as",), "What to keep the result as.", choices=("pandas", "polars", "arrow")),
        Option(("--save",), "Write the result to these files: .csv, .parquet, .sql, .png, .svg.", "+", "FILE"),
        Option(("--plot",), "Draw the result.", "?", choices=("auto", *KINDS), const="auto"),
        Option(("--max-rows",), "Most rows brought into the notebook.", metavar="N", type=int),
        Option(("--retries",), "Most corrections of a failing query.", metavar="N", type=int),
        Option(("--timeout",), "Most seconds the query may run.", metavar="S", type=float),
        Option(("--dialect",), "Dialect to write in, when it is not the connection's.", metavar="D"),
        PRIVACY,
        NEW,
        SHOW_CONTEXT,
        connection="A variable with a connection, an engine or a URL; a URL; a file; 'frames'. Without one: the last.",
    )
    def sql_ai(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> SQLResult | None:
        """Answer a question by a SQL query that is written, checked, corrected and run, read-only.

        The question stands below the first line. "df << question" keeps the frame, as in JupySQL.
        """
        snapshot = self._snapshot(local_ns)
        read = read_line(self.sql_ai, line, cell=cell is not None, takes_connection=self._takes(snapshot, cell))
        options = read.options
        if options.help:
            _print(help_of(self.sql_ai))
            return None
        _check_name(options.output or read.target)
        if options.plot and _is_its_value(read.connection, line) and not self._takes(snapshot, None)(read.connection):
            raise _no_chart(read.connection)
        _refuse_left_over(read, cell)
        question = joined(read.text, cell, "%%sql_ai")
        files = _savable(options.save)
        if any(file.suffix.lower() in {".png", ".svg"} for file in files):
            options.plot = options.plot or "auto"
        query = self._query_options(options)
        if options.show_context:
            unsure, afresh = self._unknown_policy(options), self._afresh(options.new)
            shown = self.assistant.sql_preview(question, read.connection, snapshot=snapshot, options=query, chat=afresh)
            _print(shown.saying(unsure))
            return None
        result = self.assistant.sql_ai(
            spoken(question),
            read.connection,
            snapshot=snapshot,
            options=query,
            new=options.new,
            screen=self._screen(question),
            confirm=self._confirm,
        )
        kept = result.as_(getattr(options, "as") or "pandas")
        self._keep(options.output or read.target, result.sql if kept is None else kept)
        for path in files:
            result.save(path)
        return self._shown(result, question)

    def _shown(self, result: T, question: str) -> T | None:
        """The result, whose display is the cell's output already; nothing for a cell that ends in a semicolon."""
        if silenced(question):
            return None
        result.next_display = "brief" if getattr(self._shell, "kernel", None) is None else "none"
        self._show_again_later(result)
        return result

    def _show_again_later(self, result: Showable) -> None:
        """What ``x = %ask …`` kept without a display is shown by the next cell that says ``x``."""

        def after_cell(*_: Any) -> None:
            self._shell.events.unregister("post_run_cell", after_cell)
            result.next_display = "full"

        self._shell.events.register("post_run_cell", after_cell)

    @no_var_expand
    @needs_local_scope
    @line_magic
    def rsql(self, line: str, local_ns: Mapping[str, Any] | None = None) -> None:
        """Look after the gateway, the models and the conversation."""
        from rsql_magic.notebook import commands

        commands.run(
            line,
            self.assistant,
            self._snapshot(local_ns),
            self._screen(""),
            show_panel=lambda: self.panel().show(),
            keep=self._keep,
        )

    rsql.__doc__ = f"{rsql.__doc__}\n\n{help_text()}"

    def panel(self, *, keep: bool = False) -> ChatPanel:
        """A chat panel over what the magics share.

        Args:
            keep: Whether its conversation is written into the notebook's file.
        """
        from rsql_magic.panel import ChatPanel

        return ChatPanel(self.assistant, self.snapshot, shell=self._shell, keep=keep)

    @property
    def commands(self) -> tuple[str, ...]:
        """What can stand after ``%rsql``."""
        return tuple(COMMANDS)

    # What completion offers.

    def model_names(self) -> list[str]:
        """Models and aliases; the gateway is asked only when it is in use already."""
        known = list(self.settings.aliases)
        if self._assistant is None or self._assistant.locator.address is None:
            return known
        try:
            return [*known, *self._assistant.locator.gateway.models()]
        except RsqlError:
            return known

    def object_names(self) -> list[str]:
        """Variables of the user."""
        hidden = self._shell.user_ns_hidden
        return [name for name in self._shell.user_ns if not name.startswith("_") and name not in hidden]

    def connection_names(self) -> list[str]:
        """Variables that hold a connection."""
        from rsql_magic.databases import is_connection

        return [name for name in self.object_names() if is_connection(self._shell.user_ns[name])]

    def table_names(self) -> list[str]:
        """Tables of the connection in use."""
        engine = self._assistant.connections.current if self._assistant else None
        return [table.full_name for table in engine.catalog(self.settings.privacy)] if engine else []

    def word_completions(self) -> list[str]:
        """Tables and columns of the connection in use, as they can be written in SQL; for cells that hold SQL."""
        catalog = self._assistant.catalog_in_use() if self._assistant else None
        columns = (column.name for table in catalog or () for column in table.columns)
        return [*(table.full_name for table in catalog or ()), *dict.fromkeys(columns)]

    def _query_options(self, options: Any) -> Any:
        return self.assistant.query_options(
            tables=options.tables,
            model=options.model,
            run=not options.no_run,
            explain=options.explain,
            answer=options.answer,
            ask=options.ask,
            plot=options.plot,
            max_rows=options.max_rows,
            retries=options.retries,
            timeout=options.timeout,
            dialect=options.dialect,
            level=options.privacy,
        )

    def _confirm(self, costs: str) -> bool:
        """Ask the person whether to go on; where nobody can answer, the answer is no."""
        from IPython.core.error import StdinNotImplementedError

        try:
            return input(f"{costs} Run it? [y/N] ").strip().lower() in {"y", "yes"}
        except (StdinNotImplementedError, EOFError, OSError):
            return False

    def _takes(self, snapshot: NotebookSnapshot, cell: str | None) -> Callable[[str], bool]:
        """Below a cell magic's first line is the question, so that a bare word on it can only be a connection."""
        if cell is not None:
            return lambda _: True
        return lambda word: self.assistant.connections.takes(word, snapshot.namespace)

    def snapshot(self) -> NotebookSnapshot:
        """The notebook as it is now, for what is not a cell, such as the chat panel."""
        from rsql_magic.ask import NotebookSnapshot

        return NotebookSnapshot(dict(self._shell.user_ns), self.typed(), last_error())

    def _snapshot(self, local_ns: Mapping[str, Any] | None) -> NotebookSnapshot:
        from rsql_magic.ask import NotebookSnapshot

        namespace, origin = {**self._shell.user_ns, **(local_ns or {})}, self._origin()
        kept = {name: one for name, one in self._results.items() if name in namespace and namespace[name] is one[0]()}
        typed = self.typed()
        own = {
            name for name, (_, of, cell) in kept.items() if origin.repeats(of) or (not of.cell and cell == typed[-1:])
        }
        return NotebookSnapshot(namespace, typed[:-1], last_error(), origin, frozenset(kept), frozenset(own))

    def _origin(self) -> Origin:
        """The cell that runs, where the front end tells its id, as JupyterLab, Notebook and VS Code do."""
        from rsql_magic.gateway import Origin

        asked: dict[str, Any] = getattr(self._shell, "get_parent", dict)() or {}
        cell = (asked.get("metadata") or {}).get("cellId")
        return Origin(str(cell), str((asked.get("header") or {}).get("msg_id") or "")) if cell else Origin()

    def typed(self) -> list[str]:
        """The cells of this session as typed, the running one last; ``In`` holds them translated to Python."""
        history = self._shell.history_manager
        return list(history.input_hist_raw) if history else []

    def _question(self, read: Line, cell: str | None, snapshot: NotebookSnapshot) -> tuple[str, bool]:
        """The question, and whether it is about the last error."""
        text = joined(read.text, cell, "%%ask") if cell is not None else read.text
        if text in {"", "fix"} and cell is None:
            if snapshot.error is None:
                raise BadInput("There is no error of your code to explain.", hint="Write a question: %ask QUESTION.")
            from rsql_magic.ask import ERROR_QUESTIONS

            return ERROR_QUESTIONS[text], True
        return text, False

    def _afresh(self, new: bool) -> Chat | None:
        """The conversation to show a preview of; the notebook's own is left as it is."""
        return self.assistant.new_chat() if new else None

    def _screen(self, question: str) -> Screen:
        from rsql_magic.display import screens as display

        if silenced(question):
            return display.Screen()
        if getattr(self._shell, "kernel", None) is None:
            return display.TerminalScreen(footer=False)
        if self.assistant.batch:
            return display.BatchScreen()
        return display.NotebookScreen(self.settings.updates_per_second)

    def _keep(self, name: str, value: Any) -> None:
        if not name:
            return
        _check_name(name)
        self._shell.user_ns[name] = value
        self._results[name] = (_reference(value), self._origin(), self.typed()[-1:])

    def _insert(self, answer: Answer) -> None:
        """Ask the front end for a new cell below; one that cannot, such as nbconvert, leaves the code in the answer."""
        from rsql_magic.panel import as_cell

        if not answer.code:
            raise BadInput("The answer holds no code to insert.", hint="Ask for code, or leave --insert out.")
        self._shell.set_next_input(as_cell(answer.code, answer.blocks[0].language), replace=False)


def _reference(value: Any) -> Callable[[], Any]:
    """A way to a value that does not keep a large one alive."""
    try:
        return weakref.ref(value)
    except TypeError:  # of text and numbers
        return lambda: value


def _check_name(name: str) -> None:
    if name and not name.isidentifier():
        raise BadInput(f"{name!r} is not a name for a variable.", hint="Write -o NAME.")


def load(shell: InteractiveShell, assistant: Assistant | None = None) -> RsqlMagics:
    """Register the magics in a shell, in place of those that were there.

    Args:
        shell: The shell.
        assistant: What they share, or None to make it at first use.
    """
    fresh = loaded(shell) is None
    unload(shell)
    try:
        magics = RsqlMagics(shell, assistant)
    except TraitError as error:
        raise BadInput(f"A setting is wrong. {error}", hint="Look into ipython_config.py and %config Rsql.") from None
    shell.register_magics(magics)
    completion.install(shell, magics)
    syntax.install(shell)
    if fresh and (line := next(filter(None, map(syntax.misread, magics.typed()[-1:])), "")):
        if shell.extension_manager:
            shell.extension_manager.loaded.add("rsql_magic")  # for IPython an extension that raises is none
        raise _misread(line)
    return magics


def _misread(line: str) -> BadInput:
    """For the cell that loads the magics: IPython, which did not know them yet, has read its questions wrong."""
    return BadInput(
        f"rsql_magic is loaded now, but IPython had read {line!r} before it was.",
        hint="Run the question in a cell of its own.",
    )


def loaded(shell: InteractiveShell | None) -> RsqlMagics | None:
    """The magics of a shell, or None."""
    return shell.magics_manager.registry.get(RsqlMagics.__name__) if shell else None


def unload(shell: InteractiveShell) -> None:
    """Take them away; harmless when they are not there."""
    magics = loaded(shell)
    if magics is None:
        return
    _forget_refused_settings(shell, magics.settings)
    del shell.magics_manager.registry[RsqlMagics.__name__]
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    completion.remove(shell)
    syntax.remove(shell)
    magics.close()


def _forget_refused_settings(shell: InteractiveShell, settings: Rsql) -> None:
    """Have what is in force in the shell's configuration: a value that ``%config`` refused stays there otherwise."""
    chosen = shell.config.get(Rsql.__name__, {})
    for name in filter(settings.has_trait, list(chosen)):
        chosen[name] = getattr(settings, name)


def _study_kind(options: Any) -> Kind | None:
    """The kind of study material that is wanted, if any is."""
    kind: Kind | None = getattr(options, "as")
    if options.count is not None and not kind:
        raise BadInput("--count is for study material.", hint="Add --as flashcards, for example.")
    return kind


def _refuse_left_over(read: Line, cell: str | None) -> None:
    """Below a cell magic's first line is the question, so nothing but a connection and options may stand on it."""
    if cell is None or not read.text:
        return
    if read.options.plot and len(read.text.split()) == 1:
        raise _no_chart(read.text)
    raise BadInput(
        f"{read.text!r} is left over on the first line.",
        hint="The question stands below it; --tables names tables.",
    )


def _is_its_value(connection: str, line: str) -> bool:
    """Whether what was read as a connection stands where the kind of a chart does."""
    return bool(connection) and re.search(rf"--plot\s+{re.escape(connection)}(?:\s|$)", line) is not None


def _no_chart(kind: str) -> BadInput:
    return BadInput(f"There is no chart of the kind {kind!r}.", hint=f"There are: {', '.join(KINDS)}.")


def _savable(names: Sequence[str]) -> list[Path]:
    """The files to save a result to, looked at before anything is asked."""
    from rsql_magic.text2sql import saved_as

    files = [Path(name).expanduser() for name in names]
    for path in files:
        saved_as(path)
        if not path.parent.is_dir():
            raise BadInput(f"{path} cannot be saved: there is no folder {path.parent}.", hint="Give another path.")
    return files


def _print(text: str) -> None:
    print(unlinked(text))  # noqa: T201 - the magic was asked to print
