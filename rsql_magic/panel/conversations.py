"""The threads of one panel: found, begun, named, forgotten, and taken over from a kernel that is gone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.gateway import Turn
from rsql_magic.panel.threads import MessagePair, Thread, of_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.assistant import Assistant

SHARED = "Notebook"
"""Title of the thread that the magics share."""
ANSWERS = "rsql-panel-answer"
"""Name of a Python thread that writes an answer of a panel."""


class Conversations:
    """The threads of a panel, the notebook's first.

    Args:
        assistant: Makes chats; its own belongs to the first thread.
        changed: Called when the list has changed.
        heard: Called with a thread and an exchange that a magic has added to it.
    """

    def __init__(
        self, assistant: Assistant, *, changed: Callable[[], None], heard: Callable[[Thread, MessagePair], None]
    ) -> None:
        self.lock = threading.RLock()
        """Held while something is changed."""
        self._assistant = assistant
        self._changed = changed
        self._told = heard
        self._threads = [Thread(assistant.chat, SHARED, shared=True)]
        self.current = self._threads[0].id
        """Id of the one that is shown."""
        assistant.chat.watchers.append(self._heard)

    def close(self) -> None:
        """Hear no more of the magics."""
        if self._heard in self._assistant.chat.watchers:
            self._assistant.chat.watchers.remove(self._heard)

    def __iter__(self) -> Iterator[Thread]:
        return iter(list(self._threads))

    def __len__(self) -> int:
        return len(self._threads)

    def heads(self) -> list[dict[str, Any]]:
        """The threads, as a list shows them."""
        with self.lock:
            return [thread.head() for thread in self._threads]

    def _heard(self, turn: Turn) -> None:
        """Another one talked in the notebook's conversation."""
        thread = self._threads[0]
        with self.lock:
            own = thread.running
            if own is not None and threading.current_thread().name == ANSWERS:
                own.turn = turn
                return
            exchange = of_turn(turn)
            if (old := thread.replaced()) is None:
                thread.exchanges.append(exchange)
            else:
                exchange.id = old.id
                thread.exchanges[thread.exchanges.index(old)] = exchange
        self._told(thread, exchange)

    def find(self, name: str) -> Thread:
        """The thread of an id.

        Raises:
            BadInput: It is gone.
        """
        with self.lock:
            found = next((thread for thread in self._threads if thread.id == name), None)
        if found is None:
            raise BadInput("This conversation is gone.", hint="Choose another, or begin a new one.")
        return found

    def said(self, *, but: str) -> dict[str, list[dict[str, Any]]]:
        """What was said in all threads but one, by their ids."""
        with self.lock:
            others = [thread for thread in self._threads if thread.id != but]
        return {thread.id: [each.as_dict() for each in thread.exchanges] for thread in others}

    def new(self, title: str = "") -> Thread:
        """Begin a conversation."""
        chat = self._assistant.new_chat()
        thread = Thread(chat, self._free_title(title) if title else "")
        chat.watchers.append(lambda turn: self._note(thread, turn))
        with self.lock:
            self._threads.append(thread)
        self._changed()
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
        with self.lock:
            thread.title = self._free_title(" ".join(title.split())[:80], thread)
        self._changed()

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
        with self.lock:
            if thread.shared:
                thread.clear()
            else:
                place = self._threads.index(thread)
                self._threads.remove(thread)
                if self.current == thread.id:
                    self.current = self._threads[max(0, place - 1)].id
        self._changed()

    def restore(self, said: Sequence[Mapping[str, Any]]) -> None:
        """Take over conversations from a view whose kernel is gone.

        Args:
            said: Threads as ``{"title", "shared", "exchanges": [{"question", "answer", …}]}``.
        """
        for each in said:
            thread = self._threads[0] if each.get("shared") else self.new(str(each.get("title") or ""))
            for old in each.get("exchanges") or ():
                exchange = _restored(old)
                thread.exchanges.append(exchange)
                if exchange.turn is not None:
                    thread.chat.turns.append(exchange.turn)
        self._changed()


def _restored(old: Mapping[str, Any]) -> MessagePair:
    """An exchange of a kernel that is gone, as plain text; its rows and charts are gone too."""
    question, answer = str(old.get("question") or ""), str(old.get("answer") or "")
    exchange = MessagePair(question, answer, "stopped" if old.get("state") in {"running", "stopped"} else "done")
    exchange.footer = str(old.get("footer") or "")
    exchange.turn = Turn(question, answer, "chat", interrupted=exchange.state == "stopped") if answer else None
    return exchange
