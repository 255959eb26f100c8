"""Questions of a panel: taken from a view, previewed, answered in the background, stopped."""

# A preview holds the request itself. When the question is sent, that request goes out as it is, unless the notebook has
# changed since; then the user is shown what would be sent now.

from __future__ import annotations

import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from rsql_magic import reports
from rsql_magic.errors import BadInput, GatewayError
from rsql_magic.panel import messages
from rsql_magic.panel.agent_turns import AgentTask
from rsql_magic.panel.answer_task import AnswerTask, Busy, connection_and_text, objects_of_r
from rsql_magic.panel.attachments import Attachments
from rsql_magic.panel.messages import SlashCommand
from rsql_magic.panel.starters import starters
from rsql_magic.panel.threads import MessagePair, new_id
from rsql_magic.panel.uploads import refuse_pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rsql_magic.agent import NotebookCells
    from rsql_magic.context import RObject
    from rsql_magic.panel.agent_turns import AgentTurn
    from rsql_magic.panel.chat_panel import ChatPanel
    from rsql_magic.panel.failed_cell import FailedCell
    from rsql_magic.panel.threads import Thread
    from rsql_magic.panel.uploads import Picture
    from rsql_magic.sql import Catalog

_TYPING_PATIENCE = 0.3  # seconds to wait for the main thread while somebody types
_PREVIEW_PATIENCE = 1.0  # seconds to wait for it for a preview
_PICTURE = re.compile(r"\[picture [\w .()-]+, [\d,]+ bytes\]")
_MOST_PREVIEWS = 8  # previews that are kept; a view has one


class Outdated(BadInput):
    """The notebook has changed since the preview."""


@dataclass(frozen=True)
class Message:
    """A message as a view sends it; ``replaces`` is the id of a pair that goes, with all after it."""

    thread: str
    text: str
    model: str = ""
    replaces: str = ""
    about: FailedCell | None = None  # the cell whose error is to be explained; then the text is a title
    notebook: NotebookCells | None = None  # to be changed as the text says; None for a question
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class _Preview:
    message: Message
    state: Any
    task: AnswerTask


class Questions:
    """The questions of one panel."""

    def __init__(self, panel: ChatPanel) -> None:
        self._panel = panel
        self._assistant = panel.assistant
        self._running = panel.threads.tasks
        self._previews: dict[str, _Preview] = {}
        self.code_runs = 0  # how often code was run, which may have changed what a request would hold

    def close(self) -> None:
        """Stop all running answers."""
        for task in list(self._running.values()):
            if task.is_of(self._panel):
                task.stop()

    def send(self, thread: Thread, message: Message, preview: str = "") -> dict[str, Any]:
        """Take a message and give the reply to the view: the pair, or that the thread was emptied."""
        # The request of a `preview` that is named is sent as it is, unless the notebook has changed since.
        task = self._task(thread, message)
        with self._panel.threads.lock:
            if thread.running is not None:
                raise BadInput("An answer is on its way.", hint="Stop it first, or ask in another conversation.")
            if (seen := self._previews.pop(preview, None)) is not None and seen.message == message:
                if seen.state != self._state(thread):
                    raise Outdated("The notebook has changed since you looked.", hint="Look at what would be sent now.")
                task = seen.task
            if message.replaces:
                self._panel.threads.cut(thread, thread.pair(message.replaces))
            if task.pair.task == "clear":
                self._panel.threads.clear(thread)
                return {"cleared": True}
            thread.pairs.append(task.pair)
        return {"exchange": self._begin(thread, task)}

    def _begin(self, thread: Thread, task: AnswerTask) -> dict[str, Any]:
        if (pair := task.pair).task in {"usage", "help"}:
            pair.state = "done"
            pair.answer = messages.help_text() if pair.task == "help" else self._usage(thread)
        self._panel.threads.tell(thread, pair, "exchange")
        self._panel.threads.changed()
        begun = pair.as_dict()
        if pair.state == "running":
            self._running[pair.id] = task
            task.start()
        return begun

    def _usage(self, thread: Thread) -> str:
        try:
            rows = reports.usage_rows(self._assistant, thread.chat, [each.chat for each in self._panel.threads])
        except GatewayError as error:
            return str(error)
        return "\n".join(["| what | used |", "|---|---|", *(f"| {what} | {used} |" for what, used in rows)])

    def go_on(self, thread: Thread, pair: MessagePair, results: Sequence[Any], cells: NotebookCells) -> dict[str, Any]:
        """Tell the assistant what came of its changes; a new pair has what it proposes then."""
        self._refuse_beside(thread)
        turn, told = self._panel.turns.results(pair, results)  # which may read a catalog: not while others wait
        with self._panel.threads.lock:
            self._refuse_beside(thread)
            said = f"Results of {len(results)} cell{'' if len(results) == 1 else 's'}"
            task = self._agent_task(thread, turn, cells, question=said, model=pair.requested_model, told=told)
            thread.pairs.append(task.pair)
        return {"exchange": self._begin(thread, task)}

    def _refuse_beside(self, thread: Thread) -> None:
        if thread.running is not None:
            raise BadInput("An answer is on its way.", hint="Stop it first.")

    def _agent_task(self, thread: Thread, turn: AgentTurn, cells: NotebookCells, **more: Any) -> AgentTask:
        question, model = more.pop("question", turn.task), more.pop("model", "")
        pair = MessagePair(question, task="do", requested_model=model, agent=turn.as_dict())
        command, progress = SlashCommand("ask", turn.task), self._progress(thread, pair)
        return AgentTask(self._panel, thread, pair, command, progress, turn=turn, cells=cells, **more)

    def _task(self, thread: Thread, message: Message) -> AnswerTask:
        panel, snapshot = self._panel, self._panel.snapshot()
        replaces = thread.pair(message.replaces) if message.replaces else None
        if message.notebook is not None:
            if not message.text.strip():
                raise BadInput("There is nothing to do.", hint="Write what should be done in the notebook.")
            turn = panel.turns.begin(message.text.strip())
            return self._agent_task(thread, turn, message.notebook, model=message.model, _replaces=replaces)
        # Only R knows its last error, and it is asked when the question is prepared.
        has_error = snapshot.error is not None or _r_runs() or message.about is not None
        pictures = message.pictures or (replaces.pictures if replaces else ())
        # A question that is asked again has the names of its pictures in it.
        lines = _without_names(message.text) if pictures else [message.text]
        asked = "\n".join([*lines, *map(str, pictures)]).strip()
        command = messages.read("/explain" if message.about else asked, has_error=has_error)
        pair = MessagePair(asked, task=command.action, requested_model=message.model, about=message.about)
        pair.pictures = pictures
        if pictures and command.action in {"ask", "sql_ai"}:  # what is refused here stays in the box
            refuse_pictures(self._assistant, thread.chat, message.model, is_sql=command.action == "sql_ai")
        if command.action == "sql_ai":
            pair.topic = connection_and_text(command.text, self._assistant, snapshot)[1]
        return AnswerTask(panel, thread, pair, command, self._progress(thread, pair), replaces)

    def _progress(self, thread: Thread, pair: MessagePair) -> Callable[..., None]:
        """What tells the views of a pair's progress."""
        panel = self._panel

        def progress(kind: str, **more: Any) -> None:
            if pair in thread.pairs:  # else it was removed meanwhile
                panel.threads.tell(thread, pair, kind, **more)
            if kind == "exchange":
                self._running.pop(pair.id, None)
                panel.threads.changed()
                if panel.keep:
                    panel.write_transcript()

        return progress

    def stop(self, thread: Thread) -> None:
        """Stop the answer of a thread, upstream too; harmless when there is none."""
        if (pair := thread.running) is not None and (task := self._running.get(pair.id)):
            task.stop()

    # Context.

    def completions(self, prefix: str) -> list[dict[str, str]]:
        """What an ``@`` can stand for."""
        r_names = [each.name for each in self._of_r()]
        beside = Attachments(self._assistant).offers(prefix) if not prefix.startswith("#") else []
        return messages.completions(prefix, self._panel.snapshot(), self._catalog(), r_names, beside)

    def starters(self) -> list[str]:
        """What an empty conversation offers to ask."""
        name, catalog = "", self._catalog()
        if catalog is None and (name := next(self._assistant.connections.at_hand(self._panel.namespace), "")):
            catalog = self._catalog_of(name)
        tables = [each for each in self._of_r() if each.is_table]
        return starters(self._panel.snapshot(), catalog, name, tables)

    # What R holds; nothing where it does not run, or its thread is busy.
    def _of_r(self) -> Sequence[RObject]:
        if _r_runs():
            with suppress(TimeoutError):
                return self._panel.main_thread.call(objects_of_r, patience=_TYPING_PATIENCE)
        return ()

    def _catalog_of(self, name: str) -> Catalog | None:
        connections, namespace = self._assistant.connections, self._panel.namespace
        level = self._assistant.locator.most(self._assistant.settings.privacy)
        read = partial(connections.catalog_of, name, namespace, level)
        with suppress(TimeoutError):
            bound = connections.is_bound(name, namespace)
            return self._panel.main_thread.call(read, patience=_TYPING_PATIENCE) if bound else read()
        return None

    # Tables of the connection in use; of one that answers only the main thread, when that is free.
    def _catalog(self) -> Catalog | None:
        if not self._assistant.connections.is_bound("", self._panel.namespace):
            return self._assistant.catalog_in_use()
        try:
            return self._panel.main_thread.call(self._assistant.catalog_in_use, patience=_TYPING_PATIENCE)
        except TimeoutError:
            return None

    def chips(self, thread: Thread, message: Message) -> dict[str, Any]:
        """The mentions of a message with what each adds to it, and the tokens of it all."""
        task = self._draft(thread, message)
        self._assistant.locator.unknown_policy()
        try:
            preview = task.prepare(patience=_TYPING_PATIENCE, lenient=True)
        except Busy as busy:
            chip = {"kind": "waiting", "tokens": 0, "shown": str(busy), "missing": ""}
            return {"chips": [{"text": name, **chip} for name in messages.names_in(message.text)], "tokens": 0}
        return {"chips": [task.chip(each, preview) for each in task.mentions], "tokens": preview.tokens}

    def preview(self, thread: Thread, message: Message) -> dict[str, Any]:
        """Exactly what a message would send, and the name by which ``send`` sends it as it is."""
        task, unsure = self._draft(thread, message), self._assistant.locator.unknown_policy()
        state = self._state(thread)
        preview = task.prepare(patience=_PREVIEW_PATIENCE)
        notes = preview.context.notes if preview.context else ()
        name = "" if unsure else new_id()
        if name:
            self._previews[name] = _Preview(message, state, task)
            for old in list(self._previews)[:-_MOST_PREVIEWS]:
                self._previews.pop(old, None)
        return {
            "messages": list(preview.messages),
            "pictures": [{"name": str(each), "url": each.url} for each in task.pair.pictures],
            "tokens": preview.tokens,
            "model": self._assistant.settings.resolve(message.model or None) or "",
            "notes": [*notes, *([unsure] if unsure else [])],
            "seen": name,
        }

    def _draft(self, thread: Thread, message: Message) -> AnswerTask:
        if (task := self._task(thread, message)).pair.task not in {"ask", "sql_ai", "do"}:
            raise BadInput(f"{message.text.split(maxsplit=1)[0]} sends nothing.")
        return task

    # What a request depends on beside its question; equal as long as a request would be the same.
    def _state(self, thread: Thread) -> tuple[Any, ...]:
        cells = getattr(self._panel.shell, "execution_count", 0)
        return (cells, self.code_runs, self._assistant.connections.last, tuple(thread.chat.turns))


def _without_names(text: str) -> list[str]:
    return [line for line in text.split("\n") if not _PICTURE.fullmatch(line.strip())]


def _r_runs() -> bool:
    if "rpy2" not in sys.modules:
        return False
    from rsql_magic.context import r

    return r.r_running()
