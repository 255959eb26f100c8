"""The chat panel: for people who would rather talk than type magics, with the same conversation, context and limits.

    from rsql_magic import ChatPanel
    ChatPanel()

One ``ChatPanel`` has threads; the first is the notebook's own conversation, which the magics share. Its views, one in
each page that shows it, ask for what they need (``requests``) and are told what changes.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rsql_magic import reports
from rsql_magic.chat import Turn
from rsql_magic.display import safe_markdown
from rsql_magic.errors import BadInput, GatewayError, UnknownName
from rsql_magic.panel import requests, results, running, slash
from rsql_magic.panel.asking import Asking, connection_and_text
from rsql_magic.panel.main_thread import MainThread
from rsql_magic.panel.threads import Exchange, Thread, of_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rsql_magic.answer_writer import Scene
    from rsql_magic.assistant import Assistant, Preview
    from rsql_magic.context import Catalog

SHARED = "Notebook"
"""Title of the thread that the magics share."""

_ABSENT = "The chat panel; run the cell to open it. %rsql history prints what was said."
"""What a notebook shows where nobody draws the panel."""

_TELL = {"up", "down"}
_R_PATIENCE = 0.3


class ChatPanel:
    """A chat about the notebook.

    Args:
        assistant: What the magics of the notebook share.
        scene: Gives the notebook as it is now.
        shell: The user's shell; None outside IPython.
        keep: Whether the conversation is written into the notebook's file, for nbconvert and for others to read.

    Example:
        >>> from rsql_magic import ChatPanel  # doctest: +SKIP
        >>> ChatPanel()  # doctest: +SKIP
    """

    def __init__(
        self, assistant: Assistant, scene: Callable[[], Scene], *, shell: Any = None, keep: bool = False
    ) -> None:
        self.assistant = assistant
        self.scene = scene
        self._shell = shell
        self._main = MainThread.of(shell)
        self._lock = threading.RLock()
        self._threads = [Thread(assistant.chat, SHARED, shared=True)]
        self.current = self._threads[0].id
        self._running: dict[str, Asking] = {}
        self._requests = requests.Requests(self)
        self._slow = ThreadPoolExecutor(4, thread_name_prefix="rsql-panel")
        self._widget: Any = None
        self._keep = keep
        self._transcript: Any = None
        assistant.chat.watchers.append(self._heard)

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
        return {"text/plain": str(self), "text/markdown": self.markdown}

    @property
    def markdown(self) -> str:
        """All conversations of the panel as Markdown."""
        said = [thread.markdown for thread in self._threads if thread.exchanges]
        return "\n\n".join(said) or "*Nothing has been said yet.*"

    def __repr__(self) -> str:
        turns = sum(len(thread.exchanges) for thread in self._threads)
        return f"<ChatPanel threads={len(self._threads)} turns={turns}>"

    def __str__(self) -> str:
        hint = "The chat panel needs a notebook; here %ask asks, and %rsql history tells what was said."
        return "\n\n".join([hint, *(thread.markdown for thread in self._threads if thread.exchanges)])

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
        return {"text/markdown": folded, "text/plain": self.markdown}

    def close(self) -> None:
        """Stop what runs, and take the panel from its views."""
        for asking in list(self._running.values()):
            asking.stop()
        if self._heard in self.assistant.chat.watchers:
            self.assistant.chat.watchers.remove(self._heard)
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

    def _push(self, thread: Thread, exchange: Exchange, kind: str, **more: Any) -> None:
        """Tell all views of a change to an exchange."""
        if kind == "exchange":
            more = {"exchange": exchange.as_dict()}
        self._send({"push": kind, "thread": thread.id, "id": exchange.id, **more})

    def heads(self) -> list[dict[str, Any]]:
        """The threads, as a list shows them."""
        with self._lock:
            return [thread.head() for thread in self._threads]

    def _push_heads(self) -> None:
        self._send({"push": "threads", "threads": self.heads()})

    def _heard(self, turn: Turn) -> None:
        """Another one talked in the notebook's conversation."""
        thread = self._threads[0]
        with self._lock:
            own = thread.running
            if own is not None and threading.current_thread().name == "rsql-panel-answer":
                own.turn = turn
                return
            exchange = of_turn(turn)
            thread.exchanges.append(exchange)
        self._push(thread, exchange, "exchange")
        self._push_heads()

    # Threads.

    def thread(self, name: str) -> Thread:
        """The thread of an id.

        Raises:
            BadInput: It is gone.
        """
        with self._lock:
            found = next((thread for thread in self._threads if thread.id == name), None)
        if found is None:
            raise BadInput("This conversation is gone.", hint="Choose another, or begin a new one.")
        return found

    def said(self, *, but: str) -> dict[str, list[dict[str, Any]]]:
        """What was said in all threads but one, by their ids."""
        with self._lock:
            others = [thread for thread in self._threads if thread.id != but]
        return {thread.id: [each.as_dict() for each in thread.exchanges] for thread in others}

    def new_thread(self, title: str = "") -> Thread:
        """Begin a conversation."""
        chat = self.assistant.new_chat()
        thread = Thread(chat, self._free_title(title) if title else "")
        chat.watchers.append(lambda turn: self._note(thread, turn))
        with self._lock:
            self._threads.append(thread)
        self._push_heads()
        return thread

    def _note(self, thread: Thread, turn: Turn) -> None:
        if (own := thread.running) is not None:
            own.turn = turn

    def rename(self, thread: Thread, title: str) -> None:
        """Give a thread a title of its own.

        Raises:
            BadInput: It is empty, or the thread is the notebook's.
        """
        if thread.shared:
            raise BadInput("The notebook's conversation keeps its name.", hint="Begin a new one with +.")
        if not title.strip():
            raise BadInput("A conversation needs a name.")
        with self._lock:
            thread.title = self._free_title(" ".join(title.split())[:80], thread)
        self._push_heads()

    def _free_title(self, title: str, own: Thread | None = None) -> str:
        """The title, with a number after it when another thread has it."""
        taken = {thread.name for thread in self._threads if thread is not own}
        number = 2
        free = title
        while free in taken:
            free, number = f"{title} ({number})", number + 1
        return free

    def delete(self, thread: Thread) -> None:
        """Forget a thread; the notebook's is emptied."""
        self.stop(thread)
        with self._lock:
            if thread.shared:
                thread.clear()
            else:
                place = self._threads.index(thread)
                self._threads.remove(thread)
                if self.current == thread.id:
                    self.current = self._threads[max(0, place - 1)].id
        self._push_heads()
        if self._keep:
            self._write_transcript()

    def restore(self, said: Sequence[Mapping[str, Any]]) -> None:
        """Take over conversations from a view whose kernel is gone.

        Args:
            said: Threads as ``{"title", "shared", "exchanges": [{"question", "answer", …}]}``.
        """
        for each in said:
            thread = self._threads[0] if each.get("shared") else self.new_thread(str(each.get("title") or ""))
            for old in each.get("exchanges") or ():
                exchange = _restored(old)
                thread.exchanges.append(exchange)
                if exchange.turn is not None:
                    thread.chat.turns.append(exchange.turn)
        self._push_heads()

    # Questions.

    def send(self, thread: Thread, text: str, *, model: str = "", replaces: str = "") -> dict[str, Any]:
        """Take a message.

        Args:
            thread: Where it is said.
            text: As typed.
            model: Model or alias; empty for the configured one.
            replaces: Id of an exchange that goes, with all after it.

        Returns:
            What the view that sent it is told: its exchange, or that the thread was emptied.

        Raises:
            BadInput: It is empty, no such command, or another question is being answered.
        """
        scene = self.scene()
        order = slash.read(text, has_error=scene.error is not None)
        with self._lock:
            if thread.running is not None:
                raise BadInput("An answer is on its way.", hint="Stop it first, or ask in another conversation.")
            if replaces:
                thread.cut(thread.exchange(replaces))
            if order.action == "clear":
                thread.clear()
                self._push_heads()
                return {"cleared": True}
            exchange = Exchange(text.strip(), task=order.action, wished=model)
            if order.action == "sql_ai":
                exchange.topic = connection_and_text(order.text, self.assistant, scene)[1]
            thread.exchanges.append(exchange)
        if order.action in {"usage", "help"}:
            self._report(exchange)
        self._push(thread, exchange, "exchange")
        self._push_heads()
        if exchange.state == "running":
            self._start(order, thread, exchange, scene)
        return {"exchange": exchange.as_dict()}

    def _start(self, order: slash.Order, thread: Thread, exchange: Exchange, scene: Scene) -> None:
        def push(kind: str, **more: Any) -> None:
            self._push(thread, exchange, kind, **more)
            if kind == "exchange":
                self._running.pop(exchange.id, None)
                self._push_heads()
                if self._keep:
                    self._write_transcript()

        asking = self._asking(order, thread, exchange, scene, push)
        self._running[exchange.id] = asking
        asking.start()

    def _asking(
        self, order: slash.Order, thread: Thread, exchange: Exchange, scene: Scene, push: Callable[..., None]
    ) -> Asking:
        return Asking(
            order,
            thread,
            exchange,
            assistant=self.assistant,
            scene=scene,
            main=self._main,
            push=push,
            keep=lambda frame: results.kept(frame, self._namespace),
        )

    def _report(self, exchange: Exchange) -> None:
        exchange.state = "done"
        exchange.answer = slash.help_text() if exchange.task == "help" else self._usage()

    def _usage(self) -> str:
        try:
            rows = reports.usage_rows(self.assistant)
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
        """Tables of the connection in use."""
        return self.assistant.catalog_in_use()

    def r_names(self) -> list[str]:
        """Objects of R, when R runs and is free."""
        if "rpy2" not in sys.modules:
            return []
        from rsql_magic.context import r

        try:
            if not r.r_running():
                return []
            found = self._main.call(r.survey, patience=_R_PATIENCE)
        except (TimeoutError, r.NoR):
            return []
        return [each.name for each in found.objects]

    def chips(self, thread: Thread, text: str) -> dict[str, Any]:
        """The mentions of a message with what each adds to it, and the tokens of it all."""
        asking = self._draft(thread, text)
        known = [each for each in asking.mentions if each.known]
        asking.mentions, all_mentions = known, asking.mentions
        preview = asking.preview()
        return {"chips": [asking.chip(each, preview) for each in all_mentions], "tokens": preview.tokens}

    def preview(self, thread: Thread, text: str) -> Preview:
        """Exactly what a message would send."""
        asking = self._draft(thread, text)
        asking.refuse_missing()
        return asking.preview()

    def _draft(self, thread: Thread, text: str) -> Asking:
        """A message as a question that is not asked."""
        scene = self.scene()
        order = slash.read(text, has_error=scene.error is not None)
        if order.action not in {"ask", "sql_ai"}:
            raise BadInput(f"{text.split(maxsplit=1)[0]} sends nothing.")
        return self._asking(order, thread, Exchange(text), scene, lambda *_, **__: None)

    # Answers.

    @property
    def _namespace(self) -> dict[str, Any]:
        return self._shell.user_ns if self._shell is not None else {}

    def run(self, code: str, language: str) -> list[running.Output]:
        """Run a block of code on the main thread, as a cell is; it waits for the running one."""
        return self._main.call(
            lambda: running.run(code, language.lower(), shell=self._shell, assistant=self.assistant),
            waiting=lambda: self._send({"push": "wait", "text": "waiting for the running cell"}),
        )

    def rate(self, exchange: Exchange, rating: str, comment: str) -> str:
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
        self.assistant.reach.gateway.post("feedback", body | ({"comment": comment} if comment else {}))
        before, exchange.rating = exchange.rating, rating
        return self._verified(exchange, before)

    def _verified(self, exchange: Exchange, before: str) -> str:
        """Keep the query of a good answer; take it back when the user thinks better of it."""
        if exchange.query is None:
            return ""
        if exchange.rating == "up":
            return str(self.assistant.verify(exchange.query))
        if before == "up":
            self.assistant.unverify(exchange.query)
        return ""

    def save(self, exchange: Exchange, name: str) -> str:
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
            told = self.assistant.reach.gateway.get("stats", timeout=5.0)
        except GatewayError:
            return {}
        return {"limits": told.get("limits") or {}, "cost": told.get("cost") or {}} if isinstance(told, dict) else {}


def _restored(old: Mapping[str, Any]) -> Exchange:
    """An exchange of a kernel that is gone, as plain text; its rows and charts are gone too."""
    question, answer = str(old.get("question") or ""), str(old.get("answer") or "")
    exchange = Exchange(question, answer, "stopped" if old.get("state") in {"running", "stopped"} else "done")
    exchange.footer = str(old.get("footer") or "")
    exchange.turn = Turn(question, answer, "chat", interrupted=exchange.state == "stopped") if answer else None
    return exchange
