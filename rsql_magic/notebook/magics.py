"""The magics: read the line, call one method of the assistant, give back its result; and the session they see."""

from __future__ import annotations

import os
import re
import weakref
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope, no_var_expand
from traitlets import TraitError

from rsql_magic.config import Rsql
from rsql_magic.context import joined, silenced, spoken
from rsql_magic.errors import BadInput, BudgetSpent, RsqlError
from rsql_magic.notebook import completion
from rsql_magic.notebook.last_error import LastError
from rsql_magic.notebook.line import Line, help_of, install_syntax, line_and_cell, misread, read_line, remove_syntax
from rsql_magic.options import ASK, CHARTS, SQL_AI, WAYS, help_text, is_variable
from rsql_magic.panel import CommViews
from rsql_magic.plain_text import unlinked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.answers import Answer, NotebookQuestion, NotebookSnapshot, Preview, Study, StudyKind, StudyProgress
    from rsql_magic.assistant import Assistant
    from rsql_magic.display import Screen, Showable
    from rsql_magic.gateway import Origin, Turn
    from rsql_magic.panel import ChatPanel, Conversations
    from rsql_magic.text2sql import SQLResult

T = TypeVar("T", bound="Showable")
Given = TypeVar("Given")


@magics_class
class RsqlMagics(Magics):
    """The magics of one shell; the assistant is made at first use, so that loading the extension costs nothing."""

    def __init__(self, shell: InteractiveShell, assistant: Assistant | None = None) -> None:
        super().__init__(shell)
        self._shell = shell
        self.settings = assistant.settings if assistant else Rsql(parent=shell)
        known: list[Any] = shell.configurables
        known.remove(self)  # what %config shows is Rsql, with the settings
        known.append(self.settings)
        if assistant is not None:
            self.assistant = assistant
        self.session = Session(shell)
        self._sidebar = CommViews(getattr(getattr(shell, "kernel", None), "comm_manager", None), self.panel)

    @cached_property
    def assistant(self) -> Assistant:
        """What the magics, the panel and the functions of this notebook share."""
        from rsql_magic.assistant import Assistant
        from rsql_magic.databases import values_folder
        from rsql_magic.gateway import is_batch

        batch = is_batch(self._shell, os.environ)
        made = Assistant(self.settings, batch=batch, values=values_folder(os.environ))
        if not batch or self.settings.conversations == "always":
            made.chat.watchers.append(self._remember)
        return made

    # The first turn of a notebook whose panel is not open: the conversations hear the later ones by themselves.
    def _remember(self, _: Turn) -> None:
        self.assistant.chat.watchers.remove(self._remember)
        assert self.conversations  # noqa: S101 - made here, with this turn

    @cached_property
    def conversations(self) -> Conversations:
        """The conversations of this notebook, for the panel and the commands."""
        from rsql_magic.panel import Conversations, Keeper, folder_of, notebook_path

        shell, assistant = self._shell, self.assistant
        keeper = Keeper(
            folder_of(os.environ),
            self.settings,
            path=lambda: notebook_path(shell.user_ns, os.environ),
            batch=assistant.batch,
        )
        keeper.seen([turn.origin.cell for turn in assistant.chat.turns])
        return Conversations(assistant, keeper)

    def close(self) -> None:
        """Let go of everything; the magics can be registered anew."""
        known: list[Any] = self._shell.configurables
        if self.settings in known:
            known.remove(self.settings)
        self._sidebar.end()
        self.session.last_error.close()
        if "conversations" in vars(self):
            self.conversations.close()
        if "assistant" in vars(self):
            self.assistant.close()

    @line_and_cell(ASK)
    def ask(
        self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None
    ) -> Answer | Study | SQLResult | None:
        """Answer a question about what this notebook holds: data frames, R objects, tables, cells, errors.

        The question stands below the first line, or on it. {{name}} becomes the value of a variable.
        %ask alone explains the last error, %ask fix proposes the corrected cell.
        """
        read = read_line(self.ask, line, cell=cell is not None)
        if (options := read.options).help:
            _print(help_of(self.ask))
            return None
        check_name(options.output or read.target)
        return self._by_on_error(read, lambda: self._answered(read, cell, local_ns))

    def _answered(self, read: Line, cell: str | None, local_ns: Mapping[str, Any] | None) -> Any:
        options = read.options
        # first: what {{name}} tells follows the policy too
        unsure = self.assistant.locator.unknown_policy() if options.show_context else ""
        snapshot = self.session.cell_snapshot(local_ns)
        kind: StudyKind | None = None if getattr(options, "as") in WAYS else getattr(options, "as")
        _refuse_mixed(options, kind)
        if options.map:
            return self._mapped(read, cell, snapshot)
        question, silent = self._asked(read, cell, snapshot, kind)
        with self.assistant.chat.in_thread(options.thread or ""):
            if options.show_context:
                _print(self._preview(kind, question, snapshot, options).saying(unsure))
                return None
            if kind:
                more = {"count": options.count, "new": options.new, "screen": self.screen(silent=silent)}
                more["kept"] = self._keep_study
                study = self.assistant.study(question, snapshot, kind, **more)
                self.session.keep(options.output, study)
                return self._shown(study, silent=silent)
            result: SQLResult | None = None
            if question.way == "query":
                from rsql_magic.notebook import by_query

                more = {"new": options.new, "screen": self.screen(silent=silent), "confirm": self._confirm}
                result = by_query.answer(question, self.assistant, snapshot, **more)
            if result is not None:
                self.session.keep(options.output or read.target, result)
                return self._shown(result, silent=silent)
            answer = self.assistant.ask(question, snapshot, new=options.new, screen=self.screen(silent=silent))
        self.session.keep(options.output or read.target, answer)
        if answer.ended_by:
            raise answer.ended_by
        if question.about_error and cell is None and read.text == "fix":
            from rsql_magic.notebook.fixing import offer_fix

            offer_fix(answer, snapshot, self._shell, self.screen(silent=silent), self.assistant)
        elif options.insert:
            self._insert(answer)
        if options.run:
            from rsql_magic.notebook.running import run_code

            run_code(answer, question.lang, self._shell, self.assistant, self.screen(), agreed=options.agree)
        return self._shown(answer, silent=silent)

    def _keep_study(self, study: Study) -> StudyProgress | None:
        from rsql_magic.panel import StudySets

        conversations = self.conversations
        return StudySets(conversations.keeper).keep(study, conversations.of_cells, conversations.last_heard)

    # `--map`: the frame with the columns that the question about each row gave.
    def _mapped(self, read: Line, cell: str | None, snapshot: NotebookSnapshot) -> Any:
        from rsql_magic.answers import MapOptions, parsed_returns
        from rsql_magic.assistant import ending, row_map
        from rsql_magic.reports import progress_bar

        options = read.options
        if options.map not in snapshot.namespace:
            hint = "Give the name of a data frame of this notebook."
            raise BadInput(f"There is no frame {options.map}.", hint=hint)
        text = "\n".join(filter(None, [read.text, (cell or "").strip()]))
        level = options.privacy or self.settings.privacy
        screen = self.screen(silent=silenced(text))
        rows = row_map(self.assistant, screen, progress_bar(screen.status))
        asked = snapshot.namespace[options.map], spoken(text), parsed_returns(options.returns or "answer")
        how = MapOptions(self.settings.resolve(options.model), level, options.budget)
        if options.show_context:
            _print(rows.preview(*asked, how))
            return None
        with ending(screen):
            frame = rows.of(*asked, how)
        self.session.keep(options.output or read.target, frame)
        return None if silenced(text) or options.output or read.target else frame

    # The question, and whether its answer is not shown; study material may be of the whole notebook.
    def _asked(
        self, read: Line, cell: str | None, snapshot: NotebookSnapshot, kind: StudyKind | None
    ) -> tuple[NotebookQuestion, bool]:
        options = read.options
        if kind and not (read.text + (cell or "")).strip():
            text, about_error = "What this notebook does and holds.", False
        else:
            text, about_error = self._question(read, cell, snapshot)
        asked, silent = spoken(text), silenced(text)
        question = self.assistant.question(
            asked,
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
            tools=options.look,
            docs=options.docs,
        )
        if (wanted := getattr(options, "as")) in WAYS:
            return replace(question, way=wanted), silent
        bound = (
            wanted
            or options.run
            or options.insert
            or options.no_context
            or options.lang
            or question.names
            or question.docs
        )
        return question if bound else self.assistant.routed(question, snapshot), silent

    def _preview(
        self, kind: StudyKind | None, question: NotebookQuestion, snapshot: NotebookSnapshot, options: Any
    ) -> Preview:
        if kind:
            return self.assistant.study_preview(question, snapshot, kind, options.count)
        # A preview leaves the notebook's own conversation as it is.
        chat = self.assistant.new_chat() if options.new else None
        if question.way == "query":
            from rsql_magic.notebook import by_query

            return by_query.preview(question, self.assistant, snapshot, chat)
        return self.assistant.preview(question, snapshot, chat=chat)

    @line_and_cell(
        SQL_AI,
        connection="A variable with a connection, an engine or a URL; a URL; a file; 'frames'. Without one: the last.",
    )
    def sql_ai(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> SQLResult | None:
        """Answer a question by a SQL query that is written, checked, corrected and run, read-only.

        The question stands below the first line. "df << question" keeps the frame, as in JupySQL.
        """
        snapshot = self.session.cell_snapshot(local_ns)
        read = read_line(self.sql_ai, line, cell=cell is not None, takes_connection=self._takes(snapshot, cell))
        if (options := read.options).help:
            _print(help_of(self.sql_ai))
            return None
        check_name(options.output or read.target)
        return self._by_on_error(read, lambda: self._queried(read, line, cell, snapshot))

    def _queried(self, read: Line, line: str, cell: str | None, snapshot: NotebookSnapshot) -> SQLResult | None:
        from rsql_magic.text2sql import given

        options = read.options
        # What was read as a connection may stand where the kind of a chart does.
        as_kind = read.connection and re.search(rf"--plot\s+{re.escape(read.connection)}(?:\s|$)", line)
        if options.plot and as_kind and not self._takes(snapshot, None)(read.connection):
            raise _no_chart(read.connection)
        _refuse_left_over(read, cell)
        question = joined(read.text, cell, "%%sql_ai")
        asked, silent = spoken(question), silenced(question)
        files = _savable(options.save)
        if any(file.suffix.lower() in {".png", ".svg"} for file in files):
            options.plot = options.plot or "auto"
        query = self.assistant.query_options(**given(options), run=not options.no_run, level=options.privacy)
        if options.show_context:
            unsure, afresh = self.assistant.locator.unknown_policy(), self.assistant.new_chat() if options.new else None
            shown = self.assistant.sql_preview(question, read.connection, snapshot=snapshot, options=query, chat=afresh)
            _print(shown.saying(unsure))
            return None
        more = {"new": options.new, "screen": self.screen(silent=silent), "confirm": self._confirm}
        result = self.assistant.sql_ai(asked, read.connection, snapshot=snapshot, options=query, **more)
        kept = result.as_(getattr(options, "as") or "pandas")
        self.session.keep(options.output or read.target, result.sql if kept is None else kept)
        for path in files:
            result.save(path)
        return self._shown(result, silent=silent)

    # What a question gives; an error stops the run, or is shown, or passed over, as the line or the settings say. Then
    # the variable of `-o` is None, so that no later cell takes an earlier value for this answer.
    def _by_on_error(self, read: Line, answer: Callable[[], Given]) -> Given | None:
        how = read.options.on_error or self.settings.on_error
        try:
            return answer()
        except RsqlError as error:
            if how == "raise" or isinstance(error, KeyboardInterrupt | BudgetSpent):
                raise
            if how == "warn":
                from rsql_magic.display import CellOutput, plain_markdown

                words = f"⚠ {type(error).__name__}: {error}"
                failed = {"rsql": {"error": type(error).__name__}}
                self.screen().show(CellOutput(plain_markdown(words), words, metadata=failed))
            self.session.keep(read.options.output or read.target, None)
            return None

    # The result, whose display is the cell's output already; nothing for a cell that ends in a semicolon.
    # What `x = %ask …` kept without a display is shown by the next cell that says `x`.
    def _shown(self, result: T, *, silent: bool) -> T | None:
        if silent:
            return None
        result.next_display = "brief" if getattr(self._shell, "kernel", None) is None else "none"

        def after_cell(*_: Any) -> None:
            self._shell.events.unregister("post_run_cell", after_cell)
            result.next_display = "full"

        self._shell.events.register("post_run_cell", after_cell)
        return result

    @no_var_expand
    @needs_local_scope
    @line_magic
    def rsql(self, line: str, local_ns: Mapping[str, Any] | None = None) -> None:
        """Look after the gateway, the models and the conversation."""
        from rsql_magic.notebook.commands import Commands

        snapshot, screen = self.session.cell_snapshot(local_ns), self.screen()
        shown, conversations = lambda: self.panel().show(), lambda: self.conversations
        Commands(self.assistant, snapshot, screen, shown, conversations, self.session.keep).run(line)

    rsql.__doc__ = f"{rsql.__doc__}\n\n{help_text()}"

    def panel(self, *, keep: bool = False) -> ChatPanel:
        """A chat panel over what the magics share; ``keep`` writes its conversation into the notebook's file."""
        from rsql_magic.panel import ChatPanel

        self.conversations.keeper.seen([self.session.origin().cell])
        return ChatPanel(
            self.assistant, self.session.snapshot, shell=self._shell, keep=keep, threads=self.conversations
        )

    # Ask the person whether to go on; where nobody can answer, the answer is no.
    def _confirm(self, costs: str) -> bool:
        from IPython.core.error import StdinNotImplementedError

        try:
            return input(f"{costs} Run it? [y/N] ").strip().lower() in {"y", "yes"}
        except (StdinNotImplementedError, EOFError, OSError):
            return False

    # Below a cell magic's first line is the question, so that a bare word on it can only be a connection.
    def _takes(self, snapshot: NotebookSnapshot, cell: str | None) -> Callable[[str], bool]:
        if cell is not None:
            return lambda _: True
        return lambda word: self.assistant.connections.takes(word, snapshot.namespace)

    def _question(self, read: Line, cell: str | None, snapshot: NotebookSnapshot) -> tuple[str, bool]:
        text = joined(read.text, cell, "%%ask") if cell is not None else read.text
        if text in {"", "fix"} and cell is None:
            if snapshot.error is None:
                raise BadInput("There is no error of your code to explain.", hint="Write a question: %ask QUESTION.")
            from rsql_magic.answers import ERROR_QUESTIONS

            return ERROR_QUESTIONS[text], True
        return text, False

    def screen(self, *, silent: bool = False) -> Screen:
        """What a cell of this notebook is drawn on."""
        from rsql_magic.display import screens as display

        if silent:
            return display.Screen()
        if getattr(self._shell, "kernel", None) is None:
            return display.TerminalScreen(footer=False)
        if self.assistant.batch:
            return display.BatchScreen()
        return display.NotebookScreen(self.settings.updates_per_second)

    # Ask the front end for a new cell below; one that cannot, such as nbconvert, leaves the code in the answer.
    def _insert(self, answer: Answer) -> None:
        from rsql_magic.panel import as_cell

        if not answer.code:
            raise BadInput("The answer holds no code to insert.", hint="Ask for code, or leave --insert out.")
        self._shell.set_next_input(as_cell(answer.code, answer.blocks[0].language), replace=False)


# The session.


class Session:
    """One shell's session."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.last_error = LastError(shell)
        # What `-o` kept, by name: the object, the cell's id, and the cell as it was typed.
        self._results: dict[str, tuple[Callable[[], Any], Origin, Sequence[str]]] = {}

    def snapshot(self) -> NotebookSnapshot:
        """The notebook as it is now, for what is not a cell, such as the chat panel."""
        from rsql_magic.answers import NotebookSnapshot

        typed, error = self.typed(), self.last_error()
        failed = self.last_error.cell(typed) if error is not None else ""
        return NotebookSnapshot(dict(self._shell.user_ns), typed, error, failed=failed)

    def cell_snapshot(self, local_ns: Mapping[str, Any] | None) -> NotebookSnapshot:
        """The notebook as the running cell finds it; ``local_ns`` holds variables of a function around the magic."""
        from rsql_magic.answers import NotebookSnapshot

        namespace, origin = {**self._shell.user_ns, **(local_ns or {})}, self.origin()
        kept = {name: one for name, one in self._results.items() if name in namespace and namespace[name] is one[0]()}
        typed = self.typed()
        last = typed[-1:]
        own = {n for n, (_, of, cell) in kept.items() if origin.repeats(of) or (not of.cell and cell == last)}
        before, error = typed[:-1], self.last_error()
        failed = self.last_error.cell(before) if error is not None else ""
        return NotebookSnapshot(namespace, before, error, origin, frozenset(kept), frozenset(own), failed)

    def keep(self, name: str, value: Any) -> None:
        """Bind a result to a variable; an empty name keeps nothing."""
        check_name(name)
        if not name:
            return
        self._shell.user_ns[name] = value
        try:
            reference: Callable[[], Any] = weakref.ref(value)  # so that a large one is not kept alive
        except TypeError:  # of text and numbers
            reference = lambda: value  # noqa: E731
        self._results[name] = (reference, self.origin(), self.typed()[-1:])

    def typed(self) -> list[str]:
        """The cells of this session as typed, the running one last; ``In`` holds them translated to Python."""
        return list(history.input_hist_raw) if (history := self._shell.history_manager) else []

    def origin(self) -> Origin:
        """The cell that runs, where the front end sends its id, as JupyterLab, Notebook and VS Code do."""
        from rsql_magic.gateway import Origin

        request: dict[str, Any] = getattr(self._shell, "get_parent", dict)() or {}
        cell = (request.get("metadata") or {}).get("cellId")
        return Origin(str(cell), str((request.get("header") or {}).get("msg_id") or "")) if cell else Origin()


def check_name(name: str) -> None:
    """Refuse a name that no variable can have; an empty one passes."""
    if name and not is_variable(name):
        raise BadInput(f"{name!r} is not a name for a variable.", hint="Write -o NAME.")


# Loading.


def load(shell: InteractiveShell, assistant: Assistant | None = None) -> RsqlMagics:
    """Register the magics in a shell, in place of those that were there; the assistant is made at first use."""
    fresh = loaded(shell) is None
    unload(shell)
    if "RSQL_LOG" in os.environ:
        from rsql_magic.diagnostics import begin_if_wanted

        begin_if_wanted(os.environ)
    try:
        magics = RsqlMagics(shell, assistant)
    except TraitError as error:
        raise BadInput(f"A setting is wrong. {error}", hint="Look into ipython_config.py and %config Rsql.") from None
    shell.register_magics(magics)
    completion.Completer(shell, magics.settings, lambda: vars(magics).get("assistant")).install()
    install_syntax(shell)
    if fresh and (line := next(filter(None, map(misread, magics.session.typed()[-1:])), "")):
        if shell.extension_manager:
            shell.extension_manager.loaded.add("rsql_magic")  # for IPython an extension that raises is none
        # IPython, which did not know the magics yet, has read the questions of this cell wrong.
        hint = "Run the question in a cell of its own."
        raise BadInput(f"rsql_magic is loaded now, but IPython had read {line!r} before it was.", hint=hint)
    return magics


def loaded(shell: InteractiveShell | None) -> RsqlMagics | None:
    """The magics of a shell, or None."""
    return shell.magics_manager.registry.get(RsqlMagics.__name__) if shell else None


def unload(shell: InteractiveShell) -> None:
    """Take them away; harmless when they are not there."""
    if (magics := loaded(shell)) is None:
        return
    # What is in force goes into the shell's configuration: a value that `%config` refused stays there otherwise.
    chosen = shell.config.get(Rsql.__name__, {})
    chosen.update({name: getattr(magics.settings, name) for name in chosen if magics.settings.has_trait(name)})
    del shell.magics_manager.registry[RsqlMagics.__name__]
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    completion.remove(shell)
    remove_syntax(shell)
    magics.close()


# Options of `%%ask` that do not go together.
def _refuse_mixed(options: Any, kind: StudyKind | None) -> None:
    if options.count is not None and not kind:
        raise BadInput("--count is for study material.", hint="Add --as flashcards, for example.")
    if not options.map and (options.returns or options.budget):
        raise BadInput("--returns and --budget are for --map.", hint="Name a frame: --map reviews.")
    if getattr(options, "as") == "query" and (options.run or options.insert):
        raise BadInput("--as query runs its query, and inserts no code.", hint="Leave --run and --insert out.")


# Below a cell magic's first line is the question, so nothing but a connection and options may stand on it.
def _refuse_left_over(read: Line, cell: str | None) -> None:
    if cell is None or not read.text:
        return
    if read.options.plot and len(read.text.split()) == 1:
        raise _no_chart(read.text)
    hint = "The question stands below it; --tables names tables."
    raise BadInput(f"{read.text!r} is left over on the first line.", hint=hint)


def _no_chart(kind: str) -> BadInput:
    return BadInput(f"There is no chart of the kind {kind!r}.", hint=f"There are: {', '.join(CHARTS)}.")


# The files to save a result to, looked at before anything is asked.
def _savable(names: Sequence[str]) -> list[Path]:
    from rsql_magic.text2sql import saved_as

    files = [Path(name).expanduser() for name in names]
    for path in files:
        saved_as(path)
        if not path.parent.is_dir():
            raise BadInput(f"{path} cannot be saved: there is no folder {path.parent}.", hint="Give another path.")
    return files


def _print(text: str) -> None:
    print(unlinked(text))  # noqa: T201 - the magic was asked to print
