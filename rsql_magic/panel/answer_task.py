"""One question of a panel on its way, in a thread of its own; its screen, and the way to the kernel's main thread."""

# A question is prepared once: its request is built, and that is what a preview shows and what is sent. What only the
# main thread may read (R, a connection of SQLite) is read there, so that both find the same.

from __future__ import annotations

import contextvars
import signal
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from rsql_magic.answers import BUSY, check_in_r, cited
from rsql_magic.context import reads_r
from rsql_magic.diagnostics import log
from rsql_magic.display import Screen, usage_line
from rsql_magic.errors import (
    AnswerCut,
    BadInput,
    GatewayError,
    GatewayUnreachable,
    NoQuery,
    QueryFailed,
    RsqlError,
    Stopped,
)
from rsql_magic.gateway import LIKELIEST, NO_GATEWAY, RUN_AGAIN, VARIED, Stop, blocks_of
from rsql_magic.panel import messages, outputs
from rsql_magic.panel.attachments import Attachments, with_pieces
from rsql_magic.panel.kept.making import of_code, of_result
from rsql_magic.panel.threads import ANSWERS
from rsql_magic.panel.uploads import refuse_pictures
from rsql_magic.sql import count_tokens
from rsql_magic.text2sql import Verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rsql_magic.answers import Answer, NotebookQuestion, NotebookSnapshot, Preview
    from rsql_magic.assistant import Assistant
    from rsql_magic.context import Context, Piece, RObject
    from rsql_magic.gateway import Chat, Waiting
    from rsql_magic.panel.chat_panel import ChatPanel
    from rsql_magic.panel.kept.artifacts import NewArtifact
    from rsql_magic.panel.messages import Mention, SlashCommand
    from rsql_magic.panel.threads import MessagePair, Thread
    from rsql_magic.text2sql import QueryOptions

_PATIENCE = 0.3  # seconds to wait for the main thread when R's objects would be good to have, but nobody asked for them
# Seconds to wait for the main thread to check R code, so that a busy machine is not taken for a running cell.
_CHECK_PATIENCE = 2.0
_LEFT_OUT = "a cell is running: what only its thread can read, such as R's objects, is left out"
_NOT_UNDERSTOOD = frozenset({400, 404, 415, 422})  # what servers say to pictures that a model cannot take
_PASSAGES = "Passages of it that fit the question; the eye below shows which."
_PAUSE = 0.03  # seconds between two pieces: more are not drawn, and each costs the kernel a message


class Busy(BadInput):
    """The answer is known on the main thread only, where a cell is running."""


@dataclass(eq=False)
class AnswerTask:
    """A running question; ``push`` sends the views a change, ``replaces`` is a pair that goes when this is sent."""

    _panel: ChatPanel
    _thread: Thread
    pair: MessagePair
    _command: SlashCommand
    _push: Callable[..., None]
    _replaces: MessagePair | None = None
    _preview: Preview | None = None
    _question: NotebookQuestion | None = None  # known once it is prepared, of what is no ``/sql``
    pieces: dict[str, Piece] = field(default_factory=dict)  # what is sent of files and dictionary entries, by mention
    mentions: list[Mention] = field(default_factory=list)  # what the question names; known once it is prepared
    stop: Stop = field(default_factory=Stop)
    made: Callable[[], Sequence[NewArtifact]] = tuple  # what the answer made, once it is done
    _tables_failed: bool = False  # whether a query was tried, and the question is asked about the notebook now

    def __post_init__(self) -> None:
        self._assistant, self._snapshot = self._panel.assistant, self._notebook

    # The notebook as it is now; for a question about a cell that failed, as it was then.
    @property
    def _notebook(self) -> NotebookSnapshot:
        snapshot = self._panel.snapshot()
        return self.pair.about.into(snapshot) if self.pair.about else snapshot

    def is_of(self, panel: ChatPanel) -> bool:
        """Whether it was asked in this panel."""
        return self._panel is panel

    def start(self) -> threading.Thread:
        """Begin, in a thread."""
        context = contextvars.copy_context()
        worker = threading.Thread(target=context.run, args=(self._run,), daemon=True, name=ANSWERS)
        worker.start()
        return worker

    def _run(self) -> None:
        screen = _PanelScreen(self.pair, self._push)
        try:
            with self.stop.governs():
                self._answer(screen)
        except Stopped:
            self.pair.state = "stopped"
        except RsqlError as error:
            self._failed(error)
        except Exception as error:
            log.exception("an answer of the panel has failed")
            self._failed(RsqlError(f"The panel failed ({type(error).__name__}: {error}).", hint="Try again."))
        finally:
            screen.close()
            self.pair.status = ""
            # Its files are noted before it is announced, so that whoever opens them then sees them.
            if self.pair in self._thread.pairs:
                self._panel.threads.keeper.changed(self._thread, made=self.made)
            self._push("exchange")

    def _failed(self, error: RsqlError) -> None:
        trouble: dict[str, Any] = {"message": error.message, "hint": error.hint, "kind": type(error).__name__}
        if isinstance(error, GatewayError):
            trouble |= {"code": error.code, "status": error.status, "retry_after": error.retry_after}
            trouble["away"] = isinstance(error, GatewayUnreachable) or error.status in NO_GATEWAY
            self.pair.request_id = error.request_id
            if self.pair.pictures and error.status in _NOT_UNDERSTOOD:
                trouble["hint"] = f"{error.hint} Perhaps the model sees no pictures: choose one that does.".strip()
        if isinstance(error, AnswerCut) and self.pair.answer and error.hint in {"", RUN_AGAIN}:
            trouble["hint"] = "What had come is kept."
        if isinstance(error, QueryFailed) and error.sql:
            trouble["sql"], self.pair.answer = error.sql, ""
        self.pair.state, self.pair.error = "failed", trouble

    def _answer(self, screen: _PanelScreen) -> None:
        screen.status("reading")
        self._assistant.locator.learn_policy()
        preview = self.prepare(waiting=lambda: screen.status("waiting for the running cell: it is read after that"))
        self._thread.chat.parameters = VARIED if self._replaces else LIKELIEST
        if (question := self._question) is None:
            connection, text = connection_and_text(self._spelled, self._assistant, self._snapshot)
            self._sql(text, connection, preview, screen)
        elif question.way != "query" or not self._by_query(question, preview, screen):
            self._ask(question, self.prepare(), screen)

    @property
    def _is_sql(self) -> bool:
        return self._command.action == "sql_ai"

    def _by_query(self, question: NotebookQuestion, preview: Preview, screen: _PanelScreen) -> bool:
        """Answer a question whose words ask for a query by one; False where no query is found."""
        chat = self._thread.chat
        before = set(map(id, chat.turns))
        self.pair.topic = question.text
        try:
            note = " · ".join(filter(None, [question.hint, question.said]))
            self._sql(question.text, self._assistant.connections.last, preview, screen, note=note)
        except NoQuery:
            chat.forget([turn for turn in chat.turns if id(turn) not in before])
            self._preview, self._tables_failed, self.pair.task = None, True, "ask"
            screen.restart("asking about the notebook: the tables could not answer it")
            return False
        return True

    # The request: built once, looked at or not, and sent as it is.

    def prepare(
        self, *, patience: float | None = None, waiting: Callable[[], None] = lambda: None, lenient: bool = False
    ) -> Preview:
        """Build the request; no model is asked, and ``lenient`` leaves out mentions that name nothing."""
        # `patience` bounds the seconds to wait for the main thread where the question needs it; then it is `Busy`.
        # `waiting` is called when that takes a while.
        if self._preview is None:
            self._preview = self._built(patience, waiting, lenient=lenient)
        return self._preview

    def _built(self, patience: float | None, waiting: Callable[[], None], *, lenient: bool) -> Preview:
        text = self._command.text
        # Whether the question points to something that only the main thread can read.
        needed = "@r:" in text or (("{{" in text or self._command.about_error) and reads_r(text))
        needed = needed or (self._is_bound and (self._is_sql or "@" in text))
        if not needed and not self._is_bound and not reads_r(self._command.text):
            return self._build(lenient=lenient)
        try:
            return self._panel.main_thread.call(
                lambda: self._build(lenient=lenient),
                patience=patience if needed else _PATIENCE,
                stopped=lambda: self.stop.asked,
                waiting=waiting,
            )
        except TimeoutError:
            if needed:
                raise Busy("A cell is running; what this names can be read after it.") from None
        if (preview := self._build(lenient=lenient, r=False)).prepared is None:
            return preview
        context = preview.prepared.context
        context = replace(context, notes=(*context.notes, _LEFT_OUT))
        return replace(preview, context=context, prepared=replace(preview.prepared, context=context))

    @property
    def _is_bound(self) -> bool:
        named, _ = connection_and_text(self._command.text, self._assistant, self._snapshot)
        return self._assistant.connections.is_bound((self._is_sql and named) or "", self._snapshot.namespace)

    def _build(self, *, lenient: bool, r: bool = True) -> Preview:
        self._snapshot = self._notebook  # anew: the question may have waited for a cell
        if self._command.about_error and self._snapshot.error is None:
            raise messages.no_error()
        catalog = self._assistant.catalog_in_use()
        in_r = names_of_r if r else None
        beside = Attachments(self._assistant)
        self.mentions = messages.mentions_in(self._command.text, self._snapshot, catalog, in_r, beside)
        if not lenient and (unknown := next((each for each in self.mentions if not each.known), None)):
            raise unknown.missing
        chat = self._thread.before(self._replaces)
        if self.pair.pictures:
            refuse_pictures(self._assistant, chat, self.pair.requested_model, is_sql=self._is_sql)
        known = [each for each in self.mentions if each.known]
        self.pieces = {each.text: beside.piece(each.kind, each.name) for each in known if each.kind in {"file", "term"}}
        if self._is_sql:
            connection, text = connection_and_text(self._spelled, self._assistant, self._snapshot)
            return self._sql_preview(with_pieces(text, self.pieces.values()), connection, chat)
        question = self._assistant.question(
            self._spelled,
            self._snapshot,
            names=[each.name for each in known if each.kind in {"frame", "object", "r"}],
            attached=list(self.pieces.values()),
            docs=[each.name for each in known if each.kind == "doc"],
            model=self.pair.requested_model or None,
            about_error=self._command.about_error,
            look=True,  # before it is sent, the policy is known
        )
        question = replace(question, pictures=tuple(each.url for each in self.pair.pictures))
        self._question = self._routed(question, on_main=r)
        if self._question.way == "query" and not self._tables_failed:
            return self._sql_preview(self._question.text, self._assistant.connections.last, chat)
        return self._assistant.preview(self._question, self._snapshot, chat=chat, r=r)

    def _sql_preview(self, text: str, connection: str | None, chat: Chat) -> Preview:
        return self._assistant.sql_preview(text, connection, snapshot=self._snapshot, options=self._options, chat=chat)

    def _routed(self, question: NotebookQuestion, *, on_main: bool) -> NotebookQuestion:
        """The question with the way of answering that was chosen or that its words ask for."""
        if self._command.way or question.names or question.attached or question.docs or question.pictures:
            return replace(question, way=self._command.way)
        if self._is_bound and not on_main:  # where a cell is running, what is bound to its thread cannot be asked
            return question
        return self._assistant.routed(question, self._snapshot, slash=True)

    def chip(self, mention: Mention, preview: Preview) -> dict[str, Any]:
        """A mention as a view shows it: what of it is sent, and its tokens."""
        piece = self.pieces.get(mention.text) or preview.piece(mention.name)
        is_cell = mention.kind == "cell" and mention.known
        cell = messages.spelled(mention.text, self._snapshot, [mention]) if is_cell else ""
        text = piece.text if piece else cell or (_PASSAGES if mention.kind == "doc" else "")
        tokens, missing = piece.tokens if piece else count_tokens(text), "" if mention.known else str(mention.missing)
        return {"text": mention.text, "kind": mention.kind, "tokens": tokens, "shown": text, "missing": missing}

    @property
    def _spelled(self) -> str:
        return messages.spelled(self._command.text, self._snapshot, self.mentions)

    # A question about the notebook.

    def _ask(self, question: NotebookQuestion, preview: Preview, screen: _PanelScreen) -> None:
        answer = self._assistant.ask(
            question,
            self._snapshot,
            screen=screen,
            chat=self._thread.chat,
            prepared=preview.prepared,
            executor=self._check,
        )
        screen.close()
        self._take(answer)
        if answer.unchecked == BUSY:
            self._panel.main_thread.later(lambda: self._check_late(answer, preview.context))

    def _check(self, check: Callable[[], list[str]]) -> list[str]:
        return self._panel.main_thread.call(check, patience=_CHECK_PATIENCE, stopped=lambda: self.stop.asked)

    # Check R code on the main thread, which was busy while the answer came.
    def _check_late(self, answer: Answer, context: Context | None) -> None:
        try:
            suppressed = context.suppressed if context else frozenset[str]()
            wrong, note = check_in_r(blocks_of(answer.text), suppressed), "R code checked"
        except BadInput as no_r:
            wrong, note = [], f"R code not checked: {no_r.message}"
        answer.problems, answer.unchecked = (*answer.problems, *wrong), ""
        self.pair.problems, self.pair.notes = answer.problems, (*answer.wrong, note)
        self._push("exchange")

    def _take(self, answer: Answer) -> None:
        pair = self.pair
        pair.answer = answer.marked or answer.text
        pair.citations = tuple(
            {"label": each.label, "text": each.passage.text, "borne_out": not each.unborne} for each in answer.citations
        )
        pair.sources = tuple(cited(answer.sources))
        pair.footer = usage_line(answer.usage, notes=answer.notes)
        pair.model, pair.request_id = answer.usage.model, answer.usage.request_id
        pair.problems = answer.problems
        late = ["R code not checked yet: a cell is running"] if answer.unchecked == BUSY else []
        # Not among the problems, which the model may be asked to correct: figures of the data stay here.
        pair.notes = (*filter(None, [answer.looked]), *answer.wrong, *late)
        pair.state, self.made = "done", lambda: of_code(pair)
        if isinstance(answer.ended_by, Stopped):
            pair.state = "stopped"
        elif answer.ended_by is not None:
            self._failed(answer.ended_by)

    # A question to a database.

    @property
    def _options(self) -> QueryOptions:
        options = self._assistant.query_options(model=self.pair.requested_model or None, plot=None)
        # The names in a question that is no `/sql` are filled in already.
        return replace(options, question=self._question.text) if self._question else options

    def _sql(
        self, text: str, connection: str | None, preview: Preview, screen: _PanelScreen, *, note: str = ""
    ) -> None:
        self.pair.task = "sql_ai"
        result = self._assistant.sql_ai(
            text,
            connection,
            snapshot=self._snapshot,
            options=self._options,
            screen=screen,
            chat=self._thread.chat,
            linked=preview.linked,
            executor=self._on_main if self._is_bound else None,
            note=note,
        )
        screen.close()
        pair = self.pair
        variable = "" if result.df is None else outputs.kept(result.df, self._panel.namespace)
        pair.result = outputs.sql_result(result, variable, self._assistant.connections.asked)
        pair.answer, pair.notes = result.says, result.notes
        pair.footer = usage_line(result.usage, notes=result.footnotes)
        pair.model, pair.request_id = result.usage.model, result.usage.request_id
        pair.drawing, pair.query = result.drawing, Verified(result.question, result.sql, result.dialect)
        connection = self._assistant.connections.lasting
        pair.state, self.made = "done", lambda: of_result(pair, result, connection)

    # Run database work on the main thread; this one waits for the model.
    def _on_main(self, work: Callable[[], Any]) -> Any:

        def stoppable() -> Any:
            with self.stop.governs():
                return work()

        return self._panel.main_thread.call(stoppable, stopped=lambda: self.stop.asked)


def connection_and_text(text: str, assistant: Assistant, snapshot: NotebookSnapshot) -> tuple[str | None, str]:
    """The connection that a question names with its first word, if it names one, and the rest of it."""
    first, *rest = text.split(maxsplit=1)
    named = bool(rest) and assistant.connections.takes(first, snapshot.namespace)
    return (first, rest[0].strip()) if named else (None, text)


def names_of_r() -> list[str]:
    """The names of R's objects where R runs; on the main thread."""
    return [each.name for each in objects_of_r()]


def objects_of_r() -> Sequence[RObject]:
    """The objects of R where R runs; on the main thread."""
    from rsql_magic.context import r

    try:
        return r.survey().objects if r.r_running() else ()
    except r.NoR:
        return ()


class _Pen:
    """Collects text and passes it on in pieces, from a thread of its own: nothing waits in it when the model pauses."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._text: list[str] = []
        self._there = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="rsql-panel-pen")
        self._thread.start()

    def write(self, text: str) -> None:
        with self._there:
            self._text.append(text)
            self._there.notify()

    # Forget what was not passed on.
    def drop(self) -> None:
        with self._there:
            self._text.clear()

    def close(self) -> None:
        with self._there:
            self._closed = True
            self._there.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._there:
                self._there.wait_for(lambda: self._text or self._closed)
                piece, closed = "".join(self._text), self._closed
                self._text.clear()
            if piece:
                self._send(piece)
            if closed:
                return
            with self._there:
                self._there.wait_for(lambda: self._closed, _PAUSE)


class _PanelScreen(Screen):
    """The screen of one pair."""

    def __init__(self, pair: MessagePair, push: Callable[..., None]) -> None:
        self._pair = pair
        self._push = push
        self._pen = _Pen(self._piece)

    # What is being done now.
    def status(self, word: str) -> None:
        self._pair.status = word
        self._push("status", status=word)

    def queued(self, words: str, event: Waiting) -> None:
        self._pair.status = words
        self._push("status", status=words, place=event.position, eta=event.eta)

    def write(self, text: str) -> None:
        if not self._pair.answer and self._pair.status:
            self.status("")
        self._pen.write(text)

    # A query in the making is shown as it is written.
    def draft(self, text: str) -> None:
        self._pen.write(text)

    # Another version follows.
    def restart(self, why: str) -> None:
        self._pen.drop()
        self._pair.answer = ""
        self._push("text", at=0, text="")
        self.status(why)

    def close(self) -> None:
        self._pen.close()

    def _piece(self, text: str) -> None:
        at = len(self._pair.answer)
        self._pair.answer += text
        self._push("text", at=at, text=text)


# The kernel's main thread: cells run there, and R knows no other.
# A panel answers in threads of its own so that neither waits for the other. What has to be done on the main thread (R,
# code that the user runs) is put into its event loop and waits there until the running cell ends.


T = TypeVar("T")


@dataclass(frozen=True)
class MainThread:
    """The way to the main thread, by its event loop as tornado has it; None as in a plain script, which has none."""

    _loop: Any = None

    @classmethod
    def of(cls, shell: Any) -> MainThread:
        """That of a shell's kernel."""
        return cls(getattr(getattr(shell, "kernel", None), "io_loop", None))

    def call(
        self,
        work: Callable[[], T],
        *,
        patience: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
        waiting: Callable[[], None] = lambda: None,
    ) -> T:
        """Do something on the main thread, where Ctrl-C interrupts it, and wait for it."""
        # `patience` bounds the seconds until it starts, before a TimeoutError; `stopped` is asked now and then whether
        # the user gave up, and `waiting` is called once when it does not start at once.
        if threading.current_thread() is threading.main_thread() or self._loop is None:
            return work()
        begun, done = threading.Event(), Future[T]()
        self._loop.add_callback(_carry_out, work, begun, done)
        announced, since = False, time.monotonic()
        while not begun.wait(0.05):  # seconds between two looks at whether the user gave up
            # By the clock: a cell that often lets the interpreter go, and takes it again, leaves others few turns.
            spent, gave_up = time.monotonic() - since, stopped()
            if (gave_up or (patience is not None and spent >= patience)) and done.cancel():
                raise Stopped("Stopped.") if gave_up else TimeoutError
            if not announced and spent >= 0.2:
                announced = True
                waiting()
        return done.result()

    def later(self, work: Callable[[], None]) -> None:
        """Do something on the main thread when it is free, without waiting for it."""
        if self._loop is None:
            work()
        else:
            self._loop.add_callback(work)


_turns = threading.Lock()
_takers: list[float] = []  # what the interval was before, for each panel that is open
_TURN = 1e-4  # seconds after which a thread that waits for the interpreter asks for it; Python's own is 5 ms


@contextmanager
def taking_turns() -> Iterator[None]:
    """Have threads get their turn beside a cell that runs, until the end of the block.

    A cell that lets the interpreter go every millisecond or two, as one does that looks at files, has it again before a
    thread that waits for it is awake, so that an answer stands still: the convoy effect (https://bugs.python.org/issue7946).
    A thread that has waited for longer than the interval asks for its turn, and gets it.
    """
    with _turns:
        _takers.append(sys.getswitchinterval())
        sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        with _turns:
            before = _takers.pop()
            if not _takers:
                sys.setswitchinterval(before)


def _carry_out(work: Callable[[], T], begun: threading.Event, done: Future[T]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    begun.set()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # between cells a kernel ignores SIGINT
    try:
        done.set_result(work())
    except KeyboardInterrupt:
        done.set_exception(Stopped("Stopped."))
    except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
        done.set_exception(error)
    finally:
        signal.signal(signal.SIGINT, before)
