"""The chat panel: for people who would rather talk than type magics, with the same conversation, context and limits.

    from rsql_magic import ChatPanel
    ChatPanel()

One ``ChatPanel`` has threads; the first is the notebook's own conversation, which the magics share. Its views, one in
each page that shows it, send requests (``requests``) and receive what changes.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from rsql_magic.display import safe_markdown
from rsql_magic.panel import requests
from rsql_magic.panel.main_thread import MainThread
from rsql_magic.panel.questions import Questions
from rsql_magic.panel.threads import Conversations
from rsql_magic.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rsql_magic.answers import NotebookSnapshot
    from rsql_magic.assistant import Assistant
    from rsql_magic.panel.threads import MessagePair, Thread

# The output in front ends that do not draw the panel.
_ABSENT = "The chat panel; run the cell to open it. %rsql history prints what was said."


class ChatPanel:
    """A chat about the notebook.

    ``keep`` writes the conversation into the notebook's file, for nbconvert and for others to read.

    Example:
        >>> from rsql_magic import ChatPanel  # doctest: +SKIP
        >>> ChatPanel()  # doctest: +SKIP
    """

    def __init__(
        self, assistant: Assistant, snapshot: Callable[[], NotebookSnapshot], *, shell: Any = None, keep: bool = False
    ) -> None:
        self.assistant = assistant
        self.snapshot = snapshot
        self.shell = shell
        self.main_thread = MainThread.of(shell)
        self.threads = Conversations(assistant, changed=self.push_heads, heard=self._push_turn)
        self.questions = Questions(self)
        self._slow = ThreadPoolExecutor(4, thread_name_prefix="rsql-panel")
        self._widget: Any = None
        self._keep = keep
        self._transcript: Any = None

    @property
    def namespace(self) -> dict[str, Any]:
        """The user's variables."""
        return self.shell.user_ns if self.shell is not None else {}

    # Showing.

    def _ipython_display_(self) -> None:
        self.show()

    def show(self) -> None:
        """Show a view below the cell; the conversation as text where no front end draws it."""
        from IPython.display import DisplayHandle, display

        if self.assistant.batch or getattr(self.shell, "kernel", None) is None:
            bundle = {"text/plain": printable(str(self)), "text/markdown": safe_markdown(self.markdown)}
            display(bundle, raw=True)  # type: ignore[no-untyped-call]
            return
        self.open()
        display({**self._widget.mimebundle, "text/plain": _ABSENT}, raw=True)  # type: ignore[no-untyped-call]
        # Only a cell that runs can make an output; later it can be changed from anywhere.
        self._transcript = DisplayHandle()  # type: ignore[no-untyped-call]
        self._transcript.display(self._kept, raw=True)

    def open(self, **options: Any) -> None:
        """Make the widget that views belong to, without showing one; options are the widget's, such as ``model_id``."""
        if self._widget is None:
            from rsql_magic.panel.widget import PanelWidget

            self._widget = PanelWidget(self._receive, **options)

    @property
    def markdown(self) -> str:
        """All conversations of the panel as Markdown."""
        conversations = [thread.markdown for thread in self.threads if thread.pairs]
        return "\n\n".join(conversations) or "*Nothing has been said yet.*"

    def __repr__(self) -> str:
        turns = sum(len(thread.pairs) for thread in self.threads)
        return f"<ChatPanel threads={len(self.threads)} turns={turns}>"

    def __str__(self) -> str:
        hint = "The chat panel needs a notebook; here %ask asks, and %rsql history tells what was said."
        return "\n\n".join([hint, *(thread.markdown for thread in self.threads if thread.pairs)])

    @property
    def keep(self) -> bool:
        """Whether the conversation is written into the notebook's file."""
        return self._keep

    @keep.setter
    def keep(self, on: bool) -> None:
        self._keep = on
        self.write_transcript()

    def write_transcript(self) -> None:
        """Update the transcript's own output: a change of the panel's would draw the panel anew."""
        if self._transcript is not None:
            self._transcript.update(self._kept, raw=True)

    @property
    def _kept(self) -> dict[str, str]:
        if not self._keep:
            return {"text/markdown": "", "text/plain": ""}
        folded = f"<details><summary>Conversation</summary>\n\n{safe_markdown(self.markdown)}\n\n</details>"
        return {"text/markdown": folded, "text/plain": printable(self.markdown)}

    def close(self) -> None:
        """Stop running answers, and take the panel from its views."""
        self.questions.close()
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
            self._slow.submit(lambda: self.send(self.answer(message)))
        else:
            self.send(self.answer(message))

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request of a view; see `requests.answer`."""
        return requests.answer(self, message)

    def send(self, content: Mapping[str, Any]) -> None:
        """Send a message to all views."""
        if self._widget is not None:
            self._widget.send(dict(content))

    def push(self, thread: Thread, pair: MessagePair, kind: str, **more: Any) -> None:
        """Send all views a change of a question and its answer."""
        if kind == "exchange":
            more = {"exchange": pair.as_dict()}
        self.send({"push": kind, "thread": thread.id, "id": pair.id, **more})

    def push_heads(self) -> None:
        """Send all views the list of threads."""
        self.send({"push": "threads", "threads": self.threads.heads()})

    def _push_turn(self, thread: Thread, pair: MessagePair) -> None:
        self.push(thread, pair, "exchange")
        self.push_heads()
