"""A task becomes changes of a notebook's cells, proposed by a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rsql_magic.agent import ChangeWriter, SessionNames, effects_of, names_of, with_r
from rsql_magic.answers import Prepared, preview_of
from rsql_magic.assistant.shown import ending, offered
from rsql_magic.databases import executed_by
from rsql_magic.display import Screen
from rsql_magic.gateway import cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rsql_magic.agent import Effect, NotebookCells, Proposal
    from rsql_magic.answers import NotebookQuestion, NotebookSnapshot, Preview
    from rsql_magic.assistant.assistant import Assistant
    from rsql_magic.databases import MainThreadExecutor
    from rsql_magic.gateway import Chat, TurnBudget


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
        note = " ".join([*(f"{each}." for each in writer.gathered.notes), *offered(writer.tools)])
        prepared = Prepared(tuple(messages), writer.gathered)
        return replace(
            preview_of(self._assistant.locator.with_prompt(messages)),
            context=writer.gathered,
            prepared=prepared,
            note=note,
        )

    def effects(
        self, source: str, namespace: Mapping[str, Any], *, executor: MainThreadExecutor | None = None
    ) -> tuple[Effect, ...]:
        """What a cell of a model's would do beyond computing, as of those that are proposed for a task.

        Args:
            source: The whole cell, with its magics.
            namespace: The user's variables.
            executor: What asks R, on the main thread.
        """
        names = self._names(namespace)
        return effects_of(source, with_r(names, executor) if source.lstrip().startswith("%%R") else names)

    def _names(self, namespace: Mapping[str, Any]) -> SessionNames:
        engine = self._assistant.engine
        return SessionNames(names_of(namespace), dialect=engine.dialect if engine else "duckdb")

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
        engine = self._assistant.engine
        if engine and executor and self._assistant.connections.is_bound("", snapshot.namespace):
            engine = executed_by(engine, executor)
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
            names=self._names(snapshot.namespace),
            sql_magic=f"%%sql {plain}".rstrip(),
            engine=engine,
            executor=executor,
            **more,
        )
