"""Assistant: what the magics, the panel and the functions of one notebook share."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rsql_magic.answers import (
    BUSY,
    LANGUAGES,
    AnswerWriter,
    ChangeWriter,
    NotebookQuestion,
    NotebookSnapshot,
    Prepared,
    Preview,
    RowMap,
    SessionNames,
    filled,
    names_of,
    preview_of,
    unfilled,
    way_of,
    way_said,
)
from rsql_magic.config import Rsql
from rsql_magic.context import LEVELS, Mentions, python_frames, r_frames
from rsql_magic.databases import Connections, executed_by, keep_values
from rsql_magic.display import Screen, charts
from rsql_magic.errors import BadInput, ConnectionProblem, NoQuery, QueryFailed, RsqlError, Stopped
from rsql_magic.gateway import INTERRUPTED, Chat, GatewayLocator, cell, connection_mark, is_batch
from rsql_magic.knowledge import SharedKnowledge
from rsql_magic.options import DICTIONARIES
from rsql_magic.redaction import redact
from rsql_magic.sql import Table
from rsql_magic.text2sql import (
    QueryOptions,
    SchemaPrompt,
    Verified,
    Writer,
    drop_verified,
    earlier_queries,
    keep_verified,
    read_verified,
    refuse_no_time,
    verified_paths,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.answers import Answer, NotebookCells, Proposal
    from rsql_magic.context import Context, Piece
    from rsql_magic.databases import Engine, MainThreadExecutor
    from rsql_magic.gateway import LLMClient, Message, TurnBudget
    from rsql_magic.knowledge import Dictionary, Library, SharedDictionary
    from rsql_magic.options import LookFirst
    from rsql_magic.sql import Catalog, Privacy
    from rsql_magic.study import Kind, Study, StudyProgress, StudyWriter
    from rsql_magic.text2sql import Linked, SQLResult
    from rsql_magic.tools import Tool

DOCUMENTS = Path(".rsql", "documents.db")  # beside the notebook
W = TypeVar("W", bound=AnswerWriter)


class DictionaryInUse:
    """What people wrote about the data of one notebook: in a file beside it or elsewhere, and in what a group shares.

    The file is read anew when it has changed, and goes before what is shared. Without one, a question costs a look at a
    few names.
    """

    def __init__(self, connections: Connections, shared: SharedKnowledge) -> None:
        self._note = ""
        self._connections, self._shared = connections, shared
        self._shared_state: tuple[SharedDictionary, ...] = ()
        self._path: str | None = ""  # empty for one beside the notebook, None for none at all
        self._state: tuple[str, int, int] | None = None  # path, time of change and size of what was read
        self._dictionary: Dictionary | None = None
        self._own: Dictionary | None = None  # that of the file alone
        self._own_note = ""

    def current(self) -> Dictionary | None:
        """The dictionary as it is now; the connections' tables are described by it."""
        names = DICTIONARIES if self._path == "" else filter(None, [self._path])
        state = next(filter(None, map(self._stamp, names)), None)
        shared = () if self._path is None else self._shared.dictionaries()
        if (state, shared) != (self._state, self._shared_state):
            if state != self._state:
                self._own, self._own_note = self._read(state[0]) if state else (None, "")
            self._state, self._shared_state = state, shared
            self._dictionary, notes = (self._own, list[str]())
            if shared:
                from rsql_magic.knowledge import shared_and_own

                self._dictionary, notes = shared_and_own(self._own, shared)
            gone = f"the dictionary {self._path} is no longer there" if self._path and not state else ""
            first = self._own_note or gone
            notes = [each if first or number else f"described by {each}" for number, each in enumerate(notes)]
            self._note = "; ".join(filter(None, [first, *notes]))
            self._connections.describe(self._dictionary)
        return self._dictionary

    @property
    def note(self) -> str:
        """What there is to say of it, without a full stop; empty where there is nothing."""
        return "; ".join(filter(None, [self._note, "" if self._path is None else self._shared.trouble]))

    @property
    def path(self) -> str:
        """The file of the dictionary in use, also where it cannot be used; empty where there is none."""
        self.current()
        return self._path or (self._state[0] if self._state else "")

    def use(self, path: str | None = "") -> None:
        """Use the dictionary in a file; empty for one beside the notebook, None for none.

        Raises:
            BadInput: The file cannot be read, or is no dictionary; the one before stays in use.
        """
        if path:
            path = os.path.expanduser(path)  # noqa: PTH111 - a text, as the names beside the notebook are
            self._load(path)
        self._path, self._state = path, ("", 0, 0)  # unlike any file's: it is read anew
        self.current()

    def __str__(self) -> str:
        self.current()
        if self.note:
            return f"{self.note[0].upper()}{self.note[1:]}."
        if self._path is None:
            return "No dictionary is used; %rsql dictionary on looks for one beside the notebook."
        return f"There is no {DICTIONARIES[0]} beside the notebook; %rsql dictionary init drafts one."

    def _stamp(self, path: str) -> tuple[str, int, int] | None:
        try:
            found = os.stat(path)  # noqa: PTH116 - a path object for each name takes four times as long
        except (OSError, ValueError):
            return None
        if not stat.S_ISDIR(found.st_mode):
            return path, found.st_mtime_ns, found.st_size
        inside = [file.stat() for file in Path(path).rglob("*.y*ml")]
        return path, max((each.st_mtime_ns for each in inside), default=0), sum(each.st_size for each in inside)

    def _load(self, path: str) -> Dictionary:
        from rsql_magic.knowledge import Dictionary

        return Dictionary.load(path)

    def _read(self, path: str) -> tuple[Dictionary | None, str]:
        try:
            dictionary = self._load(path)
        except BadInput as error:
            return None, f"the dictionary {path} is not used: {error}".rstrip(".")
        return dictionary, f"described by {dictionary.summary}"


class Assistant:
    """The way to the gateway, the conversation and the connections of one notebook, and the questions over them."""

    # Settings are read at each use, so that `%config Rsql` works at once. `batch` is whether nobody watches, and None
    # finds that out from the environment alone.

    def __init__(
        self,
        settings: Rsql | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        batch: bool | None = None,
        client: LLMClient | None = None,
        values: Path | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._environ = environ
        self.last_result: SQLResult | None = None  # what `%%sql_ai` gave last
        self.last_prompt: SchemaPrompt | None = None  # what it was asked with
        self.settings = settings or Rsql()
        self.batch = is_batch(None, environ) if batch is None else batch
        self.locator = GatewayLocator(self.settings, environ, interactive=not self.batch, client=client)
        self.connections = Connections()
        self.chat = Chat(lambda: self.locator.client)
        self._notes_shown: set[str] = set()
        self.documents = DocumentsInReach(self.settings, self.locator)
        cache = environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        self.rows_folder = Path(cache, "rsql")  # where answers about rows are kept
        self.values_folder = values  # where the values of databases are indexed; None for nowhere
        self._asked = ""  # the database that was asked last, as turns name it
        self.shared = SharedInReach(self.locator)
        self.dictionary = DictionaryInUse(self.connections, self.shared.knowledge)
        self.proposals = Proposals(self)

    def close(self) -> None:
        """Close connections and the client; the embedded gateway ends."""
        self.locator.close()
        self.connections.close()

    def question(
        self,
        text: str,
        snapshot: NotebookSnapshot,
        *,
        names: Sequence[str] = (),
        model: str | None = None,
        lang: str | None = None,
        privacy: Privacy | None = None,
        context: bool = True,
        timeout: float | None = None,
        format: str | None = None,  # noqa: A002 - the option's name
        about_error: bool = False,
        look: bool = False,
        tools: LookFirst | None = None,
        attached: Sequence[Piece] = (),
        docs: Sequence[str] = (),
    ) -> NotebookQuestion:
        """A question: what was typed, with any ``{{name}}`` fields, and the settings for what was left open (None)."""
        # `names` must be described, whatever they cost; `attached` is handed over with the question, such as what was
        # piped in. A question that is only looked at (`look`) may hold more than a policy that is not known allows.
        settings, level = self.settings, privacy or self.settings.privacy
        # What a magic's choices would not let through, from Python.
        for word, known, what in ((lang, LANGUAGES, "language"), (privacy, LEVELS, "privacy level")):
            if word is not None and word not in known:
                raise BadInput(f"There is no {what} {word!r}.", hint=f"There are: {', '.join(known)}.")
        if timeout is not None:
            refuse_no_time(timeout)
        told = level
        if "{{" in text:
            if not look:
                self.locator.learn_policy()
            told = self.locator.most(level)
        asked, hint = self._filled(text, snapshot, told, [each.text for each in attached])
        return NotebookQuestion(
            asked,
            names=tuple(names),
            model=settings.resolve(model),
            lang=lang or settings.lang,
            level=level,
            context=context,
            budget=settings.context_tokens,
            timeout=timeout or settings.timeout,
            format=format or settings.format,
            about_error=about_error,
            check_code=settings.check_code,
            look=tools or settings.look,
            look_calls=settings.look_calls,
            hint=hint,
            docs=tuple(docs),
            document_tokens=settings.document_tokens,
            attached=tuple(attached),
        )

    def routed(
        self, question: NotebookQuestion, snapshot: NotebookSnapshot, *, slash: bool = False
    ) -> NotebookQuestion:
        """The question with the way that its words ask for, which is said below its answer as `way_said` has it."""
        if question.about_error or question.format == "json":
            return question
        name, tables, elsewhere = self.connections.last, list[Table](), set[str]()
        if name and (name in snapshot.namespace or self.connections.takes(name, snapshot.namespace)):
            tables = list(self.catalog_in_use() or ())
            frames = python_frames(snapshot.namespace).columns
            others = {column for columns in frames.values() for column in columns}
            others -= {column.name for table in tables for column in table.columns}
            elsewhere = {*frames, *r_frames(), *others}
        way = way_of(question.text, [table.name for table in tables], elsewhere)
        return replace(question, way=way, said=way_said(way, name, slash=slash)) if way else question

    @cell("ask")
    def ask(
        self,
        question: NotebookQuestion,
        snapshot: NotebookSnapshot,
        *,
        new: bool = False,
        screen: Screen | None = None,
        chat: Chat | None = None,
        prepared: Prepared | None = None,
        executor: MainThreadExecutor | None = None,
    ) -> Answer:
        """Answer a question about what the notebook holds; a stopped or cut answer is returned, not raised."""
        # `chat` is the notebook's where it is None. A request that `preview` `prepared` is sent as it is. `executor`
        # checks R code, where this thread cannot.
        screen = screen or Screen()
        self.begin(new, chat)
        with ending(screen), self.locator.telling(screen.waiting):
            screen.status("reading")
            self.locator.learn_policy()
            if (engine := self.engine) and executor and self.connections.is_bound("", snapshot.namespace):
                engine = executed_by(engine, executor)
            library = self.documents.for_question(question)
            more = {"prepared": prepared, "executor": executor, "engine": engine, "library": library}
            writer = self.writer(AnswerWriter, question, snapshot, screen, chat, **more)
            writer.entry.begin()
            answer = writer.run()
            # Why R code was not checked, unless that passes: then it is checked later.
            unchecked = f"R code not checked: {answer.unchecked}" if answer.unchecked not in {"", BUSY} else ""
            news = self._news([*writer.gathered.notes, *filter(None, [unchecked, self.dictionary.note])])
            said = "the tables could not answer it" if question.way == "query" else question.said
            answer.notes = (*filter(None, [question.hint, said]), *answer.notes, *news)
            screen.show(answer.shown(footer=self.settings.usage_line))
        return answer

    @cell("study")
    def study(
        self,
        question: NotebookQuestion,
        snapshot: NotebookSnapshot,
        kind: Kind,
        *,
        count: int | None = None,
        new: bool = False,
        screen: Screen | None = None,
        kept: Callable[[Study], StudyProgress | None] = lambda _: None,
    ) -> Study:
        """A summary, flashcards, a quiz or an exam about what a question names, or about the notebook."""
        # The model decides how many items there are where `count` is None. `kept` keeps the sheet, and gives what
        # notes how somebody does with it.
        screen = screen or Screen()
        self.begin(new)
        with ending(screen), self.locator.telling(screen.waiting):
            self.locator.learn_policy()
            writer = self._study_writer(question, snapshot, kind, count, screen)
            writer.entry.begin()
            study = writer.sheet()
            progress = kept(study)
            widget = study.widget(progress) if screen.draws and not self.batch else None
            screen.show(study.shown(footer=self.settings.usage_line, interactive=widget is not None))
            if widget is not None:
                screen.also(widget._repr_mimebundle_())
        return study

    def study_preview(
        self, question: NotebookQuestion, snapshot: NotebookSnapshot, kind: Kind, count: int | None = None
    ) -> Preview:
        """The request that ``study`` would send; no model is asked."""
        self.begin(False)
        return self._preview(self._study_writer(question, snapshot, kind, count, Screen()).messages())

    def _study_writer(
        self, question: NotebookQuestion, snapshot: NotebookSnapshot, kind: Kind, count: int | None, screen: Screen
    ) -> StudyWriter:
        from rsql_magic.study import MOST, StudyWriter

        if count is not None and not 1 <= count <= MOST:
            raise BadInput(f"--count is 1 to {MOST}.", hint="Leave it out to have the model decide.")
        return self.writer(StudyWriter, question, snapshot, screen, kind=kind, count=count)

    def preview(
        self, question: NotebookQuestion, snapshot: NotebookSnapshot, *, chat: Chat | None = None, r: bool = True
    ) -> Preview:
        """The request that ``ask`` would send, as far as the gateway's policy is known; no model is asked."""
        # Only the main thread may look at R (`r`).
        self.begin(False, chat)
        more = {"r": r, "engine": self.engine, "library": self.documents.for_question(question)}
        writer = self.writer(AnswerWriter, question, snapshot, Screen(), chat, **more)
        messages = writer.messages()
        prepared = Prepared(tuple(messages), writer.gathered, writer.hits)
        note = " ".join([*(f"{each}." for each in writer.gathered.notes), *_offered(writer.tools)])
        return replace(self._preview(messages), context=writer.gathered, prepared=prepared, note=note)

    def _preview(self, messages: Sequence[Message]) -> Preview:
        return preview_of(self.locator.with_prompt(messages))

    def gather(self, text: str, snapshot: NotebookSnapshot) -> Context:
        """The context of a question about the notebook."""
        question = NotebookQuestion(text, level=self.settings.privacy)
        library = self.documents.for_question(question)
        return self.writer(AnswerWriter, question, snapshot, Screen(), library=library).gathered

    def writer(
        self,
        writer: type[W],
        question: NotebookQuestion,
        snapshot: NotebookSnapshot,
        screen: Screen,
        chat: Chat | None = None,
        **more: Any,
    ) -> W:
        """The writer of a question at the gateway's privacy level, with its place in the conversation."""
        level, dictionary = self.locator.most(question.level), self.dictionary.current()
        catalog = self._catalog(level)
        talk, whole = (self.chat, False) if chat is None else (chat, True)
        entry = talk.entry(question.text, snapshot.origin, whole=whole, connection=self._asked, level=level)
        more["dictionary"] = dictionary
        return writer(replace(question, level=level), snapshot, entry, catalog=catalog, screen=screen, **more)

    @property
    def engine(self) -> Engine | None:
        """The connection that was asked last, when one was."""
        return self.connections.current if self.connections.last else None

    def catalog_in_use(self) -> Catalog | None:
        """The catalog of the connection in use, when one is open and answers."""
        return self._catalog(self.locator.most(self.settings.privacy))

    # The catalog of an open connection; None where it no longer answers, which must not stop other questions.
    def _catalog(self, level: Privacy) -> Catalog | None:
        engine = self.engine
        try:
            return engine.catalog(level) if engine else None
        except (ConnectionProblem, QueryFailed):
            return None

    # Notes that were not shown yet, such as that R cannot be read.
    def _news(self, notes: Sequence[str]) -> list[str]:
        news = [note for note in notes if note not in self._notes_shown]
        self._notes_shown.update(news)
        return news

    def begin(self, new: bool, chat: Chat | None = None) -> None:
        """Give a conversation the settings as they are now, and empty it for a ``new`` one."""
        chat = self.chat if chat is None else chat
        chat.history_tokens = self.settings.history_tokens
        chat.answer_tokens, chat.answer_seconds = self.settings.answer_tokens, self.settings.answer_timeout
        if new:
            chat.reset()

    def new_chat(self) -> Chat:
        """Another conversation over the same gateway."""
        return Chat(lambda: self.locator.client, history_tokens=self.settings.history_tokens)

    # The question with its `{{names}}` filled in, and a hint on names that were left as they stand.
    def _filled(
        self, text: str, snapshot: NotebookSnapshot, level: Privacy, attached: Sequence[str] = ()
    ) -> tuple[str, str]:
        asked = filled(text, snapshot, self.settings, level, catalog=lambda: self._catalog(level), attached=attached)
        return asked, unfilled(text, snapshot.namespace)

    @cell("sql_ai")
    def sql_ai(
        self,
        question: str,
        connection: Any = None,
        *,
        snapshot: NotebookSnapshot | None = None,
        options: QueryOptions | None = None,
        new: bool = False,
        screen: Screen | None = None,
        chat: Chat | None = None,
        linked: Linked | None = None,
        executor: MainThreadExecutor | None = None,
        confirm: Callable[[str], bool] | None = None,
        note: str = "",
    ) -> SQLResult:
        """Answer a question by a query: written, checked, repaired, run."""
        # The connection is a name, a URL, or a connection itself; None for the last one, JupySQL's, or the live frames.
        # A request that `sql_preview` `linked` is sent as it is. `executor` makes the calls of the database, where this
        # thread must not; `confirm` asks the person whether to go on with something costly.
        screen, snapshot = screen or Screen(), snapshot or NotebookSnapshot()
        self.begin(new, chat)
        with ending(screen), self.locator.telling(screen.waiting), self.connections.working():
            self.locator.learn_policy()
            prompt, choice, hint = self._prompt(
                question, connection, snapshot, options, chat, linked=linked, executor=executor
            )
            prompt.entry.begin()
            self._asked, self.last_prompt = prompt.entry.connection, prompt
            confirm = None if self.batch else confirm
            try:
                result = Writer(prompt, screen=screen, confirm=confirm).run()
            except NoQuery as error:
                error.hint = error.hint or hint
                raise
            finally:
                if (values := prompt.engine.values) is not None:
                    values.rest()
            self.last_result = result
            # Queries do not see R's frames.
            known = {*snapshot.namespace, *(table.name for table in prompt.catalog)}
            of_r = Mentions(question).mentioned(name for name in r_frames() if name not in known)
            only_r = "{0} is a frame of R, which SQL does not see here: %R -o {0} makes it one of Python's"
            notes = (note, prompt.entry.note, choice, hint, only_r.format(of_r[0]) if of_r else "", *result.footnotes)
            result.footnotes = tuple(filter(None, notes))
            given_up = values.failure if values is not None else ""
            unread = (*prompt.unread, *filter(None, [self.dictionary.note, given_up]))
            result.notes = (*result.notes, *self._news(unread))
            shown = result.shown(footer=self.settings.usage_line)
            chart = charts.bundle(result.drawing, png=screen.draws, svg=self.batch) if result.drawing else {}
            screen.show_all(shown.with_chart(chart) if chart else [shown])
        return result

    def sql_preview(
        self,
        question: str,
        connection: Any = None,
        *,
        snapshot: NotebookSnapshot | None = None,
        options: QueryOptions | None = None,
        chat: Chat | None = None,
    ) -> Preview:
        """The first request of ``sql_ai``; no model is asked, and the connection in use stays in use."""
        self.begin(False, chat)
        with self.connections.undecided():
            prompt, *_ = self._prompt(question, connection, snapshot or NotebookSnapshot(), options, chat)
            linked = prompt.linked
        note = " ".join(filter(None, [linked.late, prompt.evidence.note, *_offered(prompt.tools)]))
        return replace(self._preview(linked.messages), linked=linked, note=note)

    # The prompt of a question, a note on the choice of its database, and a hint on names left as they stand.
    def _prompt(
        self,
        question: str,
        connection: Any,
        snapshot: NotebookSnapshot,
        options: QueryOptions | None,
        chat: Chat | None,
        *,
        linked: Linked | None = None,
        executor: MainThreadExecutor | None = None,
    ) -> tuple[SchemaPrompt, str, str]:
        options = options or self.query_options()
        level = self.locator.most(options.level)
        asked, hint = (options.question, "") if options.question else self._filled(question, snapshot, level)
        options = replace(options, question=asked, level=level)
        self.dictionary.current()  # before a connection's catalog is read
        sources = snapshot.sources(options.question, options.tables)
        engine, choice = self.connections.engine("" if connection is None else connection, sources, options.question)
        talk, whole = (self.chat, False) if chat is None else (chat, True)
        keep_values(engine, self.values_folder, self.settings.value_index_mb if self.settings.value_index else 0)
        named = connection_mark(engine.name, engine)
        entry = talk.entry(asked, snapshot.origin, task="sql_ai", whole=whole, connection=named, level=level)
        engine = executed_by(engine, executor) if executor else engine
        examples = [*read_verified(verified_paths(self._environ)), *self.shared.examples()]
        turns = [turn for turn in entry.earlier if turn.connection and turn.fits(named)]
        log = engine.query_log() if self.settings.query_log else ()
        earlier = earlier_queries(snapshot.cells, turns, Path(), log)
        return SchemaPrompt(options, engine, entry, examples=examples, earlier=earlier, ready=linked), choice, hint

    def verify(self, result: SQLResult | Verified | None = None, *, user: bool = False) -> Path:
        """Keep a question and its SQL as verified, so that questions like it are shown them; gives the file's path."""
        # It is the last result of `%%sql_ai` where none is given, and kept beside the notebook or for the `user`.
        result = result or self.last_result
        if result is None:
            raise BadInput("There is no result to verify.", hint="Ask with %%sql_ai first.")
        path = verified_paths(self._environ)[user]
        keep_verified(Verified(result.question, result.sql, result.dialect), path)
        return path

    def unverify(self, result: SQLResult | Verified) -> None:
        """Forget a verified question and its SQL beside the notebook: they turned out to be wrong."""
        one = Verified(result.question, result.sql, result.dialect)
        drop_verified(one, verified_paths(self._environ)[False])

    def query_options(self, **given: Any) -> QueryOptions:
        """The options of a query: those given, and the settings for the rest; see `QueryOptions.from_settings`."""
        return QueryOptions.from_settings(self.settings, batch=self.batch, **given)


def _offered(tools: Sequence[Tool]) -> list[str]:
    return [f"The model may call tools first: {', '.join(tool.name for tool in tools)}."] if tools else []


class Proposals:
    """Changes of a notebook that a model proposes for a task; nothing is changed here."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    @cell("do")
    def propose(
        self,
        question: NotebookQuestion,
        snapshot: NotebookSnapshot,
        cells: NotebookCells,
        budget: TurnBudget,
        *,
        screen: Screen | None = None,
        chat: Chat | None = None,
        prepared: Prepared | None = None,
        executor: MainThreadExecutor | None = None,
        said: str = "",
    ) -> Proposal:
        """Propose changes for a task, within a budget; ``said`` is what the conversation keeps in place of its text."""
        screen, chat = screen or Screen(), self._assistant.chat if chat is None else chat
        self._assistant.begin(False, chat)
        with ending(screen), self._assistant.locator.telling(screen.waiting):
            self._assistant.locator.learn_policy()
            prices = self._assistant.locator.gateway.prices
            spending = chat.through(lambda client: budget.keeping(client, prices))
            writer = self._writer(question, snapshot, cells, screen, spending, prepared=prepared, executor=executor)
            writer.entry = replace(writer.entry, question=said or question.text)
            writer.entry.begin()
            return writer.proposal()

    def preview(
        self,
        question: NotebookQuestion,
        snapshot: NotebookSnapshot,
        cells: NotebookCells,
        *,
        chat: Chat | None = None,
        r: bool = True,
    ) -> Preview:
        """The first request of ``propose``; no model is asked."""
        chat = self._assistant.chat if chat is None else chat
        self._assistant.begin(False, chat)
        writer = self._writer(question, snapshot, cells, Screen(), chat, r=r)
        messages = writer.messages()
        note = " ".join([*(f"{each}." for each in writer.gathered.notes), *_offered(writer.tools)])
        prepared = Prepared(tuple(messages), writer.gathered)
        return replace(
            preview_of(self._assistant.locator.with_prompt(messages)),
            context=writer.gathered,
            prepared=prepared,
            note=note,
        )

    def _writer(
        self,
        question: NotebookQuestion,
        snapshot: NotebookSnapshot,
        cells: NotebookCells,
        screen: Screen,
        chat: Chat,
        *,
        executor: MainThreadExecutor | None = None,
        **more: Any,
    ) -> ChangeWriter:
        if (
            (engine := self._assistant.engine)
            and executor
            and self._assistant.connections.is_bound("", snapshot.namespace)
        ):
            engine = executed_by(engine, executor)
        names = SessionNames(names_of(snapshot.namespace), dialect=engine.dialect if engine else "duckdb")
        connection = self._assistant.connections.last
        plain = connection if connection.isidentifier() else ""
        return self._assistant.writer(
            ChangeWriter,
            replace(question, look="never" if question.look == "never" else "always"),
            replace(snapshot, cells=()),  # they go with the question as they stand
            screen,
            chat,
            cells=cells,
            cell_tokens=self._assistant.settings.do_cell_tokens,
            names=names,
            sql_magic=f"%%sql {plain}".rstrip(),
            engine=engine,
            executor=executor,
            **more,
        )


@dataclass
class DocumentsInReach:
    """The documents that a notebook's questions may be answered from."""

    _settings: Rsql
    _locator: GatewayLocator
    _library: Library | None = None

    @property
    def library(self) -> Library:
        """Those beside the notebook, and those that the gateway shares."""
        from rsql_magic.knowledge import Embedder, Library, SharedDocuments

        if self._library is None or self._library.path != DOCUMENTS.absolute():
            self._library = Library(DOCUMENTS.absolute())
        model, locator = self._settings.embedding_model, self._locator
        self._library.embedder = (
            Embedder(model, lambda texts: locator.asked.embed(model, texts).vectors) if model else None
        )
        self._library.shared = SharedDocuments(locator.gateway) if self._is_shared else None
        return self._library

    # Whether a gateway is there that can share documents; none is started to find out.
    @property
    def _is_shared(self) -> bool:
        locator = self._locator
        return locator.is_within_reach() and not locator.unknown_policy() and locator.knows_documents

    def for_question(self, question: NotebookQuestion) -> Library | None:
        """What a question may be answered from: None where it names no documents and there are none that could fit."""
        if question.docs:
            return self.library
        bound = question.about_error or question.attached or question.way not in {None, "words"}
        may = self._settings.documents == "auto" and question.context and question.document_tokens and not bound
        return self.library if may and (DOCUMENTS.exists() or self._locator.shared_documents) else None


class SharedInReach:
    """The dictionaries and examples of a notebook's group, by the gateway, and what is shared with it from here."""

    def __init__(self, locator: GatewayLocator) -> None:
        self._locator = locator
        self.knowledge = SharedKnowledge(self._gateway)

    # The gateway where it shares dictionaries and examples; none is started to find out.
    def _gateway(self) -> LLMClient | None:
        locator = self._locator
        if not locator.is_within_reach() or locator.unknown_policy() or not locator.knows_dictionaries:
            return None
        return locator.gateway

    def examples(self) -> list[Verified]:
        """The questions that instructors promoted for one's group, and those for everyone."""
        return [Verified(one.question, one.sql, one.dialect, one.source) for one in self.knowledge.examples()]

    def promote(self, result: SQLResult | None) -> str:
        """Share a question and its SQL as an example with one's group; gives the group's name.

        Raises:
            BadInput: There is no result, or it holds what must not be shared.
            GatewayError: The gateway keeps none, or not from you.
        """
        if result is None:
            raise BadInput("There is no result to share.", hint="Ask with %%sql_ai first.")
        if found := redact(f"{result.question}\n{result.sql}")[1]:
            reason = f"The question or its SQL holds what looks like {', '.join(sorted(found))}."
            raise BadInput(reason, hint="Ask without it, and share that.")
        return self.knowledge.promote(self._locator.gateway, result.question, result.sql, result.dialect)

    def share_dictionary(self, path: str) -> str:
        """Share the dictionary of a file with one's group; says so, and what of it cannot be computed.

        Raises:
            BadInput: The file cannot be read, or cannot be used as a dictionary.
            GatewayError: The gateway keeps none, or not from you.
        """
        from rsql_magic.knowledge import check_file, read_text

        file = Path(path).expanduser()
        if file.is_dir():
            raise BadInput(f"{path} is a folder.", hint="Share a file: of a dbt project target/manifest.json.")
        text = read_text(file, path)
        dictionary, problems = check_file(text, path)
        errors = [problem for problem in problems if problem.error]
        if dictionary is None or errors:
            first = f": {errors[0].message}" if errors else ""
            where = f" (line {errors[0].line})" if errors and errors[0].line else ""
            hint = f"%rsql dictionary check {path} lists all that is wrong."
            raise BadInput(f"{path} cannot be used, and is not shared{first}{where}.", hint=hint)
        owner = self.knowledge.share(self._locator.gateway, file.name, text)
        unusable = f"; cannot be computed: {', '.join(dictionary.refused)}" if dictionary.refused else ""
        return f"Shared {file.name} with {owner}{unusable}."

    def unshare_dictionary(self, name: str) -> None:
        """Delete a dictionary of one's group."""
        self.knowledge.unshare(self._locator.gateway, name)


@cache
def of_process() -> Assistant:
    """The one assistant of a process without our magics, such as a script: its embedded gateway is started once."""
    return Assistant()


def row_map(assistant: Assistant, screen: Screen, draw: Callable[[int, int, str], None] = lambda *_: None) -> RowMap:
    """What asks about each row of a frame for a notebook; ``draw`` shows how far it is."""
    dictionary = assistant.dictionary.current()
    restricts = dictionary.restricts if dictionary else lambda _: False
    return RowMap(assistant.locator, screen, assistant.rows_folder, restricts, draw)


@contextmanager
def ending(screen: Screen) -> Iterator[None]:
    """End the screen's output when something goes wrong; a stop is one line."""
    try:
        yield
    except KeyboardInterrupt as stop:
        screen.end(INTERRUPTED)
        raise stop if isinstance(stop, Stopped) else Stopped("Stopped.") from None
    except RsqlError:
        screen.end()
        raise
