"""Assistant: what the magics, the panel and the functions of one notebook share."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rsql_magic.answers import (
    BUSY,
    LANGUAGES,
    AnswerWriter,
    NotebookQuestion,
    NotebookSnapshot,
    Prepared,
    Preview,
    RowMap,
    filled,
    preview_of,
    unfilled,
    way_of,
    way_said,
    widget_bundle,
)
from rsql_magic.assistant.dictionary import DictionaryInUse
from rsql_magic.assistant.documents import DocumentsInReach
from rsql_magic.assistant.proposals import Proposals
from rsql_magic.assistant.shared import SharedInReach
from rsql_magic.assistant.shown import ending, offered
from rsql_magic.config import Rsql
from rsql_magic.context import LEVELS, Mentions, python_frames, r_frames
from rsql_magic.databases import Connections, executed_by, keep_values
from rsql_magic.display import Screen, charts
from rsql_magic.errors import BadInput, ConnectionProblem, NoQuery, QueryFailed
from rsql_magic.gateway import Chat, GatewayLocator, cell, connection_mark, is_batch
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
    from collections.abc import Callable, Mapping, Sequence

    from rsql_magic.answers import Answer, Study, StudyKind, StudyProgress, StudyWriter
    from rsql_magic.context import Context, Piece
    from rsql_magic.databases import Engine, MainThreadExecutor
    from rsql_magic.gateway import LLMClient, Message
    from rsql_magic.options import LookFirst
    from rsql_magic.sql import Catalog, Privacy
    from rsql_magic.text2sql import Linked, SQLResult

W = TypeVar("W", bound=AnswerWriter)


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
        self.answered: list[Callable[[Answer | SQLResult], None]] = []  # called with each answer in this conversation
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
        for tell in self.answered if chat is None else ():
            tell(answer)
        return answer

    @cell("study")
    def study(
        self,
        question: NotebookQuestion,
        snapshot: NotebookSnapshot,
        kind: StudyKind,
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
            widget = widget_bundle(study.sheet, progress) if screen.draws and not self.batch else None
            screen.show(study.shown(footer=self.settings.usage_line, interactive=widget is not None))
            if widget is not None:
                screen.also(widget)
        return study

    def study_preview(
        self, question: NotebookQuestion, snapshot: NotebookSnapshot, kind: StudyKind, count: int | None = None
    ) -> Preview:
        """The request that ``study`` would send; no model is asked."""
        self.begin(False)
        return self._preview(self._study_writer(question, snapshot, kind, count, Screen()).messages())

    def _study_writer(
        self, question: NotebookQuestion, snapshot: NotebookSnapshot, kind: StudyKind, count: int | None, screen: Screen
    ) -> StudyWriter:
        from rsql_magic.answers import MOST_ITEMS, StudyWriter

        if count is not None and not 1 <= count <= MOST_ITEMS:
            raise BadInput(f"--count is 1 to {MOST_ITEMS}.", hint="Leave it out to have the model decide.")
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
        note = " ".join([*(f"{each}." for each in writer.gathered.notes), *offered(writer.tools)])
        return replace(self._preview(messages), context=writer.gathered, prepared=prepared, note=note)

    def _preview(self, messages: Sequence[Message]) -> Preview:
        return preview_of(self.locator.with_prompt(messages))

    def gather(self, text: str, snapshot: NotebookSnapshot, *, documents: bool = True) -> Context:
        """The context of a question about the notebook, with passages of ``documents`` or without."""
        question = NotebookQuestion(text, level=self.settings.privacy)
        question = question if documents else replace(question, document_tokens=0)
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
        catalog = self._catalog(level, more.get("engine"))  # which may be one that only the main thread reads
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
    def _catalog(self, level: Privacy, engine: Engine | None = None) -> Catalog | None:
        engine = engine or self.engine
        try:
            return engine.catalog(level) if engine else None
        except (ConnectionProblem, QueryFailed, TimeoutError):  # the last where a cell is running in its thread
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
        for tell in self.answered if chat is None else ():
            tell(result)
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
        note = " ".join(filter(None, [linked.late, prompt.evidence.note, *offered(prompt.tools)]))
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


@cache
def of_process() -> Assistant:
    """The one assistant of a process without our magics, such as a script: its embedded gateway is started once."""
    return Assistant()


def row_map(assistant: Assistant, screen: Screen, draw: Callable[[int, int, str], None] = lambda *_: None) -> RowMap:
    """What asks about each row of a frame for a notebook; ``draw`` shows how far it is."""
    dictionary = assistant.dictionary.current()
    restricts = dictionary.restricts if dictionary else lambda _: False
    return RowMap(assistant.locator, screen, assistant.rows_folder, restricts, draw)
