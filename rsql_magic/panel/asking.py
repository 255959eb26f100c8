"""One question of a panel on its way: in a thread of its own, so that neither the kernel nor the panel waits."""

from __future__ import annotations

import contextvars
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from rsql_magic.context import count_tokens
from rsql_magic.display import usage_line
from rsql_magic.errors import GatewayError, QueryFailed, RsqlError, Stopped
from rsql_magic.panel import mentions, results
from rsql_magic.panel.screen import PanelScreen
from rsql_magic.stopping import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsql_magic.answer_writer import Question, Scene
    from rsql_magic.answers import Answer
    from rsql_magic.assistant import Assistant, Preview
    from rsql_magic.context import Context
    from rsql_magic.panel.main_thread import MainThread
    from rsql_magic.panel.slash import Order
    from rsql_magic.panel.threads import Exchange, Thread
    from rsql_magic.results import SQLResult

_PATIENCE = 0.3
"""Seconds to wait for the main thread when R's objects would be good to have, but nobody asked for them."""


class Asking:
    """A running question.

    Args:
        order: What is asked.
        thread: The conversation.
        exchange: Where it is shown.
        assistant: Who answers.
        scene: The notebook; taken when the question starts.
        main: The way to the main thread.
        push: Tells the views something.
        keep: Keeps a frame for the user and gives its name.
    """

    def __init__(
        self,
        order: Order,
        thread: Thread,
        exchange: Exchange,
        *,
        assistant: Assistant,
        scene: Scene,
        main: MainThread,
        push: Callable[..., None],
        keep: Callable[[Any], str],
    ) -> None:
        self._order = order
        self._thread = thread
        self._exchange = exchange
        self._assistant = assistant
        self._scene = scene
        self._main = main
        self._push = push
        self._keep = keep
        self.mentions = mentions.mentions_in(order.text, scene, assistant.catalog_in_use())
        self.stop = Stop()

    def start(self) -> threading.Thread:
        """Begin, in a thread."""
        context = contextvars.copy_context()
        worker = threading.Thread(target=context.run, args=(self._run,), daemon=True, name="rsql-panel-answer")
        worker.start()
        return worker

    def _run(self) -> None:
        screen = PanelScreen(self._exchange, self._push)
        try:
            with self.stop.governs():
                self._answer(screen)
        except Stopped:
            self._exchange.state = "stopped"
        except RsqlError as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001 - a thread has nobody above it to tell
            self._failed(RsqlError(f"The panel failed ({type(error).__name__}: {error}).", hint="Try again."))
        finally:
            screen.close()
            self._exchange.status = ""
            self._push("exchange")

    def _failed(self, error: RsqlError) -> None:
        told: dict[str, Any] = {"message": error.message, "hint": error.hint, "kind": type(error).__name__}
        if isinstance(error, GatewayError):
            told |= {"code": error.code, "status": error.status, "retry_after": error.retry_after}
            self._exchange.request_id = error.request_id
        if isinstance(error, QueryFailed) and error.sql:
            told["sql"], self._exchange.answer = error.sql, ""
        self._exchange.state, self._exchange.error = "failed", told

    def _answer(self, screen: PanelScreen) -> None:
        self.refuse_missing()
        if self._order.action == "sql_ai":
            self._sql(screen)
        else:
            self._ask(screen)

    def refuse_missing(self) -> None:
        """Refuse a mention that names nothing.

        Raises:
            UnknownName: There is one.
        """
        for each in self.mentions:
            if not each.known:
                raise each.missing

    def preview(self) -> Preview:
        """What would be sent; nobody is asked."""
        chat = self._thread.chat
        if self._order.action == "sql_ai":
            connection, text = self._connection_and_text()
            return self._assistant.sql_preview(text, connection, scene=self._scene, chat=chat)
        return self._assistant.preview(
            self.question(), self._scene, chat=chat, gathering=self._gathering(lambda _: None)
        )

    def chip(self, mention: mentions.Mention, preview: Preview) -> dict[str, Any]:
        """A mention as a view shows it: what of it is sent, and its tokens."""
        piece = preview.piece(mention.name)
        cell = (
            mentions.spelled(mention.text, self._scene, [mention]) if mention.kind == "cell" and mention.known else ""
        )
        text = piece.text if piece else cell
        return {
            "text": mention.text,
            "kind": mention.kind,
            "tokens": piece.tokens if piece else count_tokens(text),
            "shown": text,
            "missing": "" if mention.known else str(mention.missing),
        }

    @property
    def _spelled(self) -> str:
        return mentions.spelled(self._order.text, self._scene, self.mentions)

    # A question about the notebook.

    def question(self) -> Question:
        """The question as the assistant takes it."""
        return self._assistant.question(
            self._spelled,
            self._scene,
            names=mentions.described(self.mentions),
            model=self._exchange.wished or None,
            about_error=self._order.about_error,
        )

    def _ask(self, screen: PanelScreen) -> None:
        answer = self._assistant.ask(
            self.question(),
            self._scene,
            screen=screen,
            chat=self._thread.chat,
            gathering=self._gathering(screen.status),
        )
        screen.close()
        self._take(answer)

    def _take(self, answer: Answer) -> None:
        exchange = self._exchange
        exchange.answer = answer.text
        exchange.notes = tuple(f"⚠ {problem}" for problem in answer.problems)
        exchange.footer = usage_line(answer.usage, notes=answer.notes)
        exchange.model, exchange.request_id = answer.usage.model, answer.usage.request_id
        exchange.state = "done"
        if isinstance(answer.ended_by, Stopped):
            exchange.state = "stopped"
        elif answer.ended_by is not None:
            self._failed(answer.ended_by)

    def _gathering(self, say: Callable[[str], None]) -> Callable[[Callable[[], Context]], Context]:
        """Where the notebook is looked at: on the main thread where R runs, as far as that is free."""

        def gather(look: Callable[[], Context]) -> Context:
            if not _r_runs():
                return look()
            asked_for = any(each.kind == "r" for each in self.mentions)
            try:
                return self._main.call(
                    look,
                    patience=None if asked_for else _PATIENCE,
                    stopped=lambda: self.stop.asked,
                    waiting=lambda: say("waiting for the running cell: R answers after it"),
                )
            except TimeoutError:
                return replace(look(), notes=("a cell is running, so R's objects are not described",))

        return gather

    # A question to a database.

    def _sql(self, screen: PanelScreen) -> None:
        wish = self._assistant.wish(model=self._exchange.wished or None, plot=None)
        self._exchange.task = "sql_ai"
        connection, text = self._connection_and_text()

        def write() -> SQLResult:
            with self.stop.governs():
                return self._assistant.sql_ai(
                    text, connection, scene=self._scene, wish=wish, screen=screen, chat=self._thread.chat
                )

        result = self._where(connection)(write)
        screen.close()
        self._take_result(result)

    def _where(self, connection: str | None) -> Callable[[Callable[[], SQLResult]], SQLResult]:
        """Where a database is asked: on the main thread for a connection of SQLite, which knows no other thread."""
        target = self._scene.namespace.get(connection or self._assistant.connections.last)
        if type(target).__module__ != "sqlite3":
            return lambda write: write()
        return partial(self._main.call, stopped=lambda: self.stop.asked)

    def _connection_and_text(self) -> tuple[str | None, str]:
        """The connection that ``/sql con …`` names, if it names one, and the question."""
        return connection_and_text(self._spelled, self._assistant, self._scene)

    def _take_result(self, result: SQLResult) -> None:
        exchange = self._exchange
        variable = "" if result.df is None else self._keep(result.df)
        exchange.result = results.shown(result, variable)
        exchange.answer, exchange.notes = result.says, result.notes
        exchange.footer = usage_line(result.usage, notes=result.footnotes)
        exchange.model, exchange.request_id = result.usage.model, result.usage.request_id
        exchange.drawing, exchange.query = result.drawing, result
        exchange.state = "done"


def connection_and_text(text: str, assistant: Assistant, scene: Scene) -> tuple[str | None, str]:
    """The connection that a question names with its first word, if it names one, and the rest of it."""
    first, *rest = text.split(maxsplit=1)
    named = bool(rest) and assistant.connections.takes(first, scene.namespace)
    return (first, rest[0].strip()) if named else (None, text)


def _r_runs() -> bool:
    import sys

    if "rpy2" not in sys.modules:
        return False
    from rsql_magic.context import r

    return r.r_running()
