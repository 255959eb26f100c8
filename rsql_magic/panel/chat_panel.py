"""The chat panel: for people who would rather talk than type magics, with the same conversation, context and limits.

    from rsql_magic import ChatPanel
    ChatPanel()

One ``ChatPanel`` has threads; the first is the notebook's own conversation, which the magics share. Its views, one in
each page that shows it, ask for what they need (``requests``) and are told what changes.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rsql_magic import reports
from rsql_magic.display import safe_markdown
from rsql_magic.errors import BadInput, GatewayError, UnknownName
from rsql_magic.panel import exporting, mentions, requests, results, running, slash
from rsql_magic.panel.answer_task import AnswerTask, Busy, connection_and_text
from rsql_magic.panel.conversations import Conversations
from rsql_magic.panel.main_thread import MainThread
from rsql_magic.panel.previews import Message, Previews
from rsql_magic.panel.threads import MessagePair
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rsql_magic.ask import NotebookSnapshot
    from rsql_magic.assistant import Assistant
    from rsql_magic.panel.threads import Thread
    from rsql_magic.sql import Catalog

_ABSENT = "The chat panel; run the cell to open it. %rsql history prints what was said."
"""What a notebook shows where nobody draws the panel."""

_TELL = {"up", "down"}
_R_PATIENCE = 0.3
"""Seconds to wait for the main thread while somebody types."""
_LOOK_PATIENCE = 1.0
"""Seconds to wait for it when somebody wants to see what would be sent."""


class ChatPanel:
    """A chat about the notebook.

    Args:
        assistant: What the magics of the notebook share.
        snapshot: Gives the notebook as it is now.
        shell: The user's shell; None outside IPython.
        keep: Whether the conversation is written into the notebook's file, for nbconvert and for others to read.

    Example:
        >>> from rsql_magic import ChatPanel  # doctest: +SKIP
        >>> ChatPanel()  # doctest: +SKIP
    """

    def __init__(
        self, assistant: Assistant, snapshot: Callable[[], NotebookSnapshot], *, shell: Any = None, keep: bool = False
    ) -> None:
        self.assistant = assistant
        self.snapshot = snapshot
        self._shell = shell
        self._main = MainThread.of(shell)
        self.threads = Conversations(assistant, changed=self._push_heads, heard=self._push_turn)
        self._running: dict[str, AnswerTask] = {}
        self._previews = Previews()
        self._ran = 0
        self._requests = requests.Requests(self)
        self._slow = ThreadPoolExecutor(4, thread_name_prefix="rsql-panel")
        self._widget: Any = None
        self._keep = keep
        self._transcript: Any = None

    # Showing.

    def _ipython_display_(self) -> None:
        self.show()

    def show(self) -> None:
        """Show a view below the cell; where no front end draws it, what was said as text."""
        from IPython.display import DisplayHandle, display

        if self.assistant.batch or getattr(self._shell, "kernel", None) is None:
            display(self._bundle(), raw=True)  # type: ignore[no-untyped-call]
            return
        self.open()
        bundle = {**self._widget.mimebundle, "text/plain": _ABSENT}
        display(bundle, raw=True)  # type: ignore[no-untyped-call]
        # Only a cell that runs can make an output; later it can be changed from anywhere.
        self._transcript = DisplayHandle()  # type: ignore[no-untyped-call]
        self._transcript.display(self._kept, raw=True)

    def open(self, **options: Any) -> None:
        """Make the widget that views belong to, without showing one.

        Args:
            **options: Those of the widget, such as ``model_id``.
        """
        if self._widget is None:
            from rsql_magic.panel.widget import PanelWidget

            self._widget = PanelWidget(self._receive, **options)

    def _bundle(self) -> dict[str, str]:
        return {"text/plain": printable(str(self)), "text/markdown": safe_markdown(self.markdown)}

    @property
    def markdown(self) -> str:
        """All conversations of the panel as Markdown."""
        said = [thread.markdown for thread in self.threads if thread.exchanges]
        return "\n\n".join(said) or "*Nothing has been said yet.*"

    def __repr__(self) -> str:
        turns = sum(len(thread.exchanges) for thread in self.threads)
        return f"<ChatPanel threads={len(self.threads)} turns={turns}>"

    def __str__(self) -> str:
        hint = "The chat panel needs a notebook; here %ask asks, and %rsql history tells what was said."
        return "\n\n".join([hint, *(thread.markdown for thread in self.threads if thread.exchanges)])

    @property
    def keep(self) -> bool:
        """Whether the conversation is written into the notebook's file."""
        return self._keep

    @keep.setter
    def keep(self, on: bool) -> None:
        self._keep = on
        self._write_transcript()

    def _write_transcript(self) -> None:
        """Write what was said into an output of its own: updating the panel's would draw the panel anew."""
        if self._transcript is not None:
            self._transcript.update(self._kept, raw=True)

    @property
    def _kept(self) -> dict[str, str]:
        """What the notebook's file holds of the conversation."""
        if not self._keep:
            return {"text/markdown": "", "text/plain": ""}
        folded = f"<details><summary>Conversation</summary>\n\n{safe_markdown(self.markdown)}\n\n</details>"
        return {"text/markdown": folded, "text/plain": printable(self.markdown)}

    def close(self) -> None:
        """Stop what runs, and take the panel from its views."""
        for asking in list(self._running.values()):
            asking.stop()
        self.threads.close()
        self._slow.shutdown(wait=False, cancel_futures=True)
        if self._widget is not None:
            self._widget.close()

    # Talking to views.

    @property
    def view_id(self) -> str:
        """The name by which front ends know the widget."""
        return str(self._widget.model_id) if self._widget is not None else ""

    def _receive(self, message: dict[str, Any]) -> None:
        name = message.get("do")
        if not requests.known(name):
            return
        if name in requests.SLOW:
            self._slow.submit(self._reply, message)
        else:
            self._reply(message)

    def _reply(self, message: dict[str, Any]) -> None:
        self._send(requests.answer(self._requests, message))

    def _send(self, content: Mapping[str, Any]) -> None:
        if self._widget is not None:
            self._widget.send(dict(content))

    def _push(self, thread: Thread, exchange: MessagePair, kind: str, **more: Any) -> None:
        """Tell all views of a change to an exchange."""
        if kind == "exchange":
            more = {"exchange": exchange.as_dict()}
        self._send({"push": kind, "thread": thread.id, "id": exchange.id, **more})

    def _push_heads(self) -> None:
        self._send({"push": "threads", "threads": self.threads.heads()})

    def _push_turn(self, thread: Thread, exchange: MessagePair) -> None:
        self._push(thread, exchange, "exchange")
        self._push_heads()

    def delete(self, thread: Thread) -> None:
        """Forget a thread, and stop what is said in it; the notebook's is emptied."""
        self.stop(thread)
        self.threads.delete(thread)
        if self._keep:
            self._write_transcript()

    # Questions.

    def send(self, thread: Thread, text: str, *, model: str = "", replaces: str = "", seen: str = "") -> dict[str, Any]:
        """Take a message.

        Args:
            thread: Where it is said.
            text: As typed.
            model: Model or alias; empty for the configured one.
            replaces: Id of an exchange that goes, with all after it.
            seen: Name of a preview of it; its request is sent as it is.

        Returns:
            What the view that sent it is told: its exchange, or that the thread was emptied.

        Raises:
            BadInput: It is empty, no such command, or another question is being answered.
            Outdated: The notebook has changed since the preview.
        """
        message = Message(thread.id, text, model, replaces)
        asking = self._asking(thread, message)
        with self.threads.lock:
            if thread.running is not None:
                raise BadInput("An answer is on its way.", hint="Stop it first, or ask in another conversation.")
            asking = self._previews.take(seen, message, self._state(thread)) or asking
            if replaces:
                thread.cut(thread.exchange(replaces))
            if asking.exchange.task == "clear":
                thread.clear()
                self._push_heads()
                return {"cleared": True}
            thread.exchanges.append(asking.exchange)
        return {"exchange": self._begin(thread, asking)}

    def _begin(self, thread: Thread, asking: AnswerTask) -> dict[str, Any]:
        """Show a question and have it answered."""
        exchange = asking.exchange
        if exchange.task in {"usage", "help"}:
            self._report(thread, exchange)
        self._push(thread, exchange, "exchange")
        self._push_heads()
        begun = exchange.as_dict()
        if exchange.state == "running":
            self._running[exchange.id] = asking
            asking.start()
        return begun

    def _asking(self, thread: Thread, message: Message) -> AnswerTask:
        """A message as a question."""
        snapshot = self.snapshot()
        # Only R knows its last error, and it is asked when the question is prepared.
        order = slash.read(message.text, has_error=snapshot.error is not None or _r_runs())
        exchange = MessagePair(message.text.strip(), task=order.action, requested_model=message.model)
        if order.action == "sql_ai":
            exchange.topic = connection_and_text(order.text, self.assistant, snapshot)[1]
        return AnswerTask(
            order,
            thread,
            exchange,
            assistant=self.assistant,
            snapshot=self.snapshot,
            main=self._main,
            push=lambda kind, **more: self._progress(thread, exchange, kind, **more),
            keep=lambda frame: results.kept(frame, self._namespace),
            replaces=thread.exchange(message.replaces) if message.replaces else None,
        )

    def _progress(self, thread: Thread, exchange: MessagePair, kind: str, **more: Any) -> None:
        """Tell all views of a question that is being answered."""
        if exchange in thread.exchanges:  # else it was removed meanwhile
            self._push(thread, exchange, kind, **more)
        if kind == "exchange":
            self._running.pop(exchange.id, None)
            self._push_heads()
            if self._keep:
                self._write_transcript()

    def _state(self, thread: Thread) -> tuple[Any, ...]:
        """What a request depends on beside its question; equal as long as a request would be the same."""
        count = getattr(self._shell, "execution_count", 0)
        return (count, self._ran, self.assistant.connections.last, tuple(thread.chat.turns))

    def _report(self, thread: Thread, exchange: MessagePair) -> None:
        exchange.state = "done"
        exchange.answer = slash.help_text() if exchange.task == "help" else self._usage(thread)

    def _usage(self, thread: Thread) -> str:
        try:
            rows = reports.usage_rows(self.assistant, thread.chat, [each.chat for each in self.threads])
        except GatewayError as error:
            return str(error)
        return "\n".join(["| what | used |", "|---|---|", *(f"| {what} | {used} |" for what, used in rows)])

    def stop(self, thread: Thread) -> None:
        """Stop the answer of a thread, upstream too; harmless when there is none."""
        exchange = thread.running
        asking = self._running.get(exchange.id) if exchange else None
        if asking is not None:
            asking.stop()

    # Context.

    def catalog(self) -> Catalog | None:
        """Tables of the connection in use; of one that answers only the main thread, when that is free."""
        if not self.assistant.connections.is_bound("", self._namespace):
            return self.assistant.catalog_in_use()
        try:
            return self._main.call(self.assistant.catalog_in_use, patience=_R_PATIENCE)
        except TimeoutError:
            return None

    def r_names(self) -> list[str]:
        """Objects of R, when R runs and is free."""
        if not _r_runs():
            return []
        from rsql_magic.context import r

        try:
            found = self._main.call(r.survey, patience=_R_PATIENCE)
        except (TimeoutError, r.NoR):
            return []
        return [each.name for each in found.objects]

    def chips(self, thread: Thread, text: str) -> dict[str, Any]:
        """The mentions of a message with what each adds to it, and the tokens of it all."""
        asking = self._draft(thread, Message(thread.id, text))
        self.assistant.locator.unknown_policy()
        try:
            preview = asking.prepare(patience=_R_PATIENCE, lenient=True)
        except Busy as busy:
            return {"chips": [mentions.waiting(name, str(busy)) for name in mentions.names_in(text)], "tokens": 0}
        return {"chips": [asking.chip(each, preview) for each in asking.mentions], "tokens": preview.tokens}

    def preview(self, thread: Thread, text: str, *, model: str = "", replaces: str = "") -> dict[str, Any]:
        """Exactly what a message would send, and the name by which ``send`` sends it as it is.

        Raises:
            UnknownName: A mention names nothing.
            BadInput: Nothing would be sent, or a cell is running and what is named can be read after it.
        """
        message = Message(thread.id, text, model, replaces)
        asking, unsure = self._draft(thread, message), self.assistant.locator.unknown_policy()
        state = self._state(thread)
        preview = asking.prepare(patience=_LOOK_PATIENCE)
        notes = preview.context.notes if preview.context else ()
        return {
            "messages": list(preview.messages),
            "tokens": preview.tokens,
            "model": self.assistant.settings.resolve(model or None) or "",
            "notes": [*notes, *([unsure] if unsure else [])],
            "seen": "" if unsure else self._previews.keep(message, state, asking),
        }

    def _draft(self, thread: Thread, message: Message) -> AnswerTask:
        """A message as a question that is not asked yet."""
        asking = self._asking(thread, message)
        if asking.exchange.task not in {"ask", "sql_ai"}:
            raise BadInput(f"{message.text.split(maxsplit=1)[0]} sends nothing.")
        return asking

    # Answers.

    @property
    def _namespace(self) -> dict[str, Any]:
        return self._shell.user_ns if self._shell is not None else {}

    def run(self, code: str, language: str, connection: str = "") -> list[running.Output]:
        """Run a block of code on the main thread, as a cell is; it waits for the running one."""
        self._ran += 1
        return self._main.call(
            lambda: running.run(
                code, language.lower(), shell=self._shell, assistant=self.assistant, connection=connection
            ),
            waiting=lambda: self._send({"push": "wait", "text": "waiting for the running cell"}),
        )

    def as_cell(self, code: str, language: str, connection: str = "") -> list[exporting.Cell]:
        """A block of code as cells; SQL that does not say where it belongs is for the connection in use."""
        source = exporting.as_cell(code, language, connection or self._connection)
        return exporting.with_extensions([{"kind": "code", "source": source}], self._knows)

    def as_cells(self, thread: Thread) -> list[exporting.Cell]:
        """A conversation as cells of the notebook."""
        return exporting.with_extensions(exporting.cells(thread, self._connection), self._knows)

    @property
    def _connection(self) -> str:
        return self.assistant.connections.in_use(self._namespace)

    def _knows(self, magic: str) -> bool:
        return self._shell is None or self._shell.find_cell_magic(magic.lstrip("%")) is not None

    def rate(self, exchange: MessagePair, rating: str, comment: str) -> str:
        """Tell the gateway what the user thinks of an answer; a query that is good is kept as verified.

        Returns:
            The file that the query is kept in, empty when none was kept.

        Raises:
            BadInput: No such rating, nobody can be told, or the file cannot be written.
            GatewayError: The gateway refused.
        """
        if rating not in _TELL:
            raise BadInput("A rating is up or down.")
        if not exchange.request_id:
            raise BadInput("The gateway gave this answer no number.", hint="Only its own answers can be rated.")
        body = {"request_id": exchange.request_id, "rating": rating}
        self.assistant.locator.gateway.post("feedback", body | ({"comment": comment} if comment else {}))
        before, exchange.rating = exchange.rating, rating
        return self._verified(exchange, before)

    def _verified(self, exchange: MessagePair, before: str) -> str:
        """Keep the query of a good answer; take it back when the user thinks better of it."""
        if exchange.query is None:
            return ""
        if exchange.rating == "up":
            return str(self.assistant.verify(exchange.query))
        if before == "up":
            self.assistant.unverify(exchange.query)
        return ""

    def save(self, exchange: MessagePair, name: str) -> str:
        """Keep a SQL answer's rows under another name too.

        Raises:
            BadInput: Not a name.
            UnknownName: The rows are gone.
        """
        name = name.strip()
        if not name.isidentifier():
            raise BadInput(f"{name!r} is not a name for a variable.", hint="Use letters, digits and _.")
        known = str((exchange.result or {}).get("variable") or "")
        if known not in self._namespace:
            raise UnknownName("The rows are gone.", hint="Ask again to have them back.")
        self._namespace[name] = self._namespace[known]
        exchange.result = {**(exchange.result or {}), "variable": name}
        return name

    def quota(self) -> dict[str, Any]:
        """What is left: the window that has least of it, and the money."""
        try:
            told = self.assistant.locator.gateway.get("stats", timeout=5.0)
        except GatewayError:
            return {}
        return {"limits": told.get("limits") or {}, "cost": told.get("cost") or {}} if isinstance(told, dict) else {}


def _r_runs() -> bool:
    if "rpy2" not in sys.modules:
        return False
    from rsql_magic.context import r

    return r.r_running()
