"""The conversations of one notebook: those of this session and those that are kept; panels watch them."""

from __future__ import annotations

import threading
from itertools import chain, count
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.panel.kept.copies import ConversationCopies
from rsql_magic.panel.kept.making import of_answer
from rsql_magic.panel.kept.reading import ThreadReader
from rsql_magic.panel.kept.writing import Keeper
from rsql_magic.panel.threads import ANSWERS, SHARED, MessagePair, Thread, of_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rsql_magic.answers import Answer
    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import Turn
    from rsql_magic.panel.answer_task import AnswerTask
    from rsql_magic.panel.kept.store import Head
    from rsql_magic.text2sql import SQLResult

    Watcher = Callable[[Thread, MessagePair, str, dict[str, Any]], None]

_MOST = 50  # kept conversations of the notebook that are at hand; a search or the whole list finds the others


class Conversations:
    """The threads of one notebook, the one that its cells share first.

    ``watchers`` are told of a pair that changed, with the thread, the kind of change and more of it; ``listed`` is
    called when the list has changed.
    """

    def __init__(self, assistant: Assistant, keeper: Keeper | None = None) -> None:
        self.lock = threading.RLock()  # held while something is changed
        self.keeper = keeper or Keeper(None, assistant.settings)
        self.reader = ThreadReader(self.keeper)
        self.copies = ConversationCopies(
            self.keeper,
            lambda: assistant.locator.gateway if assistant.locator.is_within_reach() else None,
            lambda: self.keeper.writes and assistant.settings.copy_conversations,
        )
        self.keeper.wrote.append(self.copies.changed)
        self.keeper.ending.append(self.copies.close)
        self.copies.fetched.append(lambda: self.open(anew=True))
        self.watchers: list[Watcher] = []
        self.listed: list[Callable[[], None]] = self.keeper.listeners
        self.tasks: dict[str, AnswerTask] = {}  # by the ids of the pairs that they answer
        self._assistant = assistant
        self._threads = [Thread(assistant.chat, SHARED, shared=True, is_read=False)]
        self.current = self._threads[0].id  # id of the one that is shown
        self._is_open = False
        if said := self._threads[0].pairs:
            self.keeper.changed(self._threads[0], *said)
        self.last_heard = said[-1] if said else None  # of the magics
        assistant.chat.watchers.append(self._heard)
        assistant.answered.append(self._answered)

    def close(self) -> None:
        """Hear no more of the magics, and write what is not written yet."""
        if self._heard in self._assistant.chat.watchers:
            self._assistant.chat.watchers.remove(self._heard)
            self._assistant.answered.remove(self._answered)
        self.keeper.close()

    def __iter__(self) -> Iterator[Thread]:
        return iter(list(self._threads))

    def __len__(self) -> int:
        return len(self._threads)

    def heads(self) -> list[dict[str, Any]]:
        """The threads at hand, as a list shows them."""
        with self.lock:
            return [thread.head() for thread in self._threads]

    # Telling panels, and keeping.

    def tell(self, thread: Thread, pair: MessagePair, kind: str, **more: Any) -> None:
        """Tell the panels of a change, and have it written."""
        self.keeper.changed(thread, pair)
        for watcher in list(self.watchers):
            watcher(thread, pair, kind, more)

    def changed(self) -> None:
        """Tell the panels that the list has changed."""
        for tell in list(self.listed):
            tell()

    # A magic, or a panel's own answer, talked in the notebook's conversation.
    def _heard(self, turn: Turn) -> None:
        thread = self._threads[0]
        self.keeper.seen([turn.origin.cell])
        with self.lock:
            own = thread.running
            # The turn of the panel's own answer belongs to the pair that is running, not to a cell.
            if own is not None and threading.current_thread().name == ANSWERS:
                own.turn = turn
                return
            pair = of_turn(turn)
            if (old := thread.replaced(turn)) is None:
                thread.pairs.append(pair)
            else:
                pair.id, pair.at = old.id, old.at
                thread.pairs[thread.pairs.index(old)] = pair
                self.keeper.changed(thread, renewed=[pair.id])
            self.last_heard = pair
        self.tell(thread, pair, "exchange")
        self.changed()

    # What a magic's answer made is kept with the pair that it became.
    def _answered(self, answer: Answer | SQLResult) -> None:
        if (pair := self.last_heard) is not None:
            connection = self._assistant.connections.lasting
            self.keeper.changed(self.of_cells, made=lambda: of_answer(pair, answer, connection))

    # What is kept.

    def open(self, *, anew: bool = False) -> None:
        """Have the kept conversations of this notebook at hand; `Keeper.trouble` says why where they cannot be read.

        ``anew`` has those at hand, too, that have come from other machines since, and tells the panels.
        """
        was_open = self._is_open and not anew
        if was_open or not self.keeper.writes:
            return
        try:
            has_news = anew or self.copies.pull() > 0  # it waits for the gateway, and nobody for it
            heads = self.keeper.store.heads(self.keeper.notebook, _MOST)
        except BadInput as error:
            self.keeper.trouble = str(error)
            return
        with self.lock:
            if self._is_open and not has_news:
                return
            was_open, self._is_open = self._is_open, True
            known = {thread.id for thread in self._threads}
            self._threads += [self._unread(head) for head in heads if not head.shared and head.id not in known]
            is_first = not (was_open or self._threads[0].pairs) and len(known) == 1
            if is_first and heads:  # go on where the last one was left
                last = next((each for each in self._threads if each.id == heads[0].id), self._threads[0])
                self.current = last.id
            for head in heads:
                if head.shared and not self._threads[0].is_read:
                    self._threads[0].earlier = head.pairs
        if anew:
            self.changed()

    def _unread(self, head: Head, notebook: int | None = None) -> Thread:
        title = PurePath(head.notebook).stem if head.shared else head.title
        thread = Thread(self._assistant.new_chat(), title, id=head.id, notebook=notebook, is_read=False)
        thread.earlier, thread.kept_name = head.pairs, title
        _hear(thread)
        return thread

    def find(self, name: str) -> Thread:
        """The thread of an id, with what is kept of it, the end of a long one first.

        Raises:
            BadInput: There is none, or it cannot be read.
        """
        self.open()
        with self.lock:
            if (found := self.at_hand(name)) is None:
                self._threads.append(found := self._kept(name))
            if not found.is_read:
                self._read(found)
            return found

    def _kept(self, name: str) -> Thread:
        head = self.keeper.store.head(name) if self.keeper.writes else None
        if head is None:
            raise BadInput("This conversation is gone.", hint="Choose another, or begin a new one.")
        return self._unread(head, self.keeper.store.owner(name))

    def whole(self, name: str) -> Thread:
        """All of a conversation, to export it; one that is not at hand stays in its place.

        Raises:
            BadInput: There is none, or it cannot be read.
        """
        self.open()
        with self.lock:
            thread = self.at_hand(name) or self._kept(name)
            if not thread.is_read:
                self._read(thread)
            while thread.earlier and self.reader.earlier(thread):
                pass
            return thread

    def refresh(self, thread: Thread) -> None:
        """Read what other kernels have written since."""
        with self.lock:
            self._read(thread)

    @property
    def of_cells(self) -> Thread:
        """The thread that the notebook's cells share."""
        return self._threads[0]

    def at_hand(self, name: str) -> Thread | None:
        """The thread of an id where it is at hand."""
        return next((thread for thread in self._threads if thread.id == name), None)

    def _read(self, thread: Thread) -> None:
        if again := self.reader.read(thread):
            self.keeper.changed(thread, gone=[pair.id for pair in again])

    # Changing.

    def new(self, title: str = "") -> Thread:
        """Begin a conversation."""
        title = _free(title, [each.name for each in self._threads]) if title else ""
        thread = Thread(self._assistant.new_chat(), title)
        _hear(thread)
        with self.lock:
            self._threads.append(thread)
        self.changed()
        return thread

    def rename(self, name: str, title: str) -> None:
        """Give a conversation, at hand or only kept, a title of its own; the notebook's keeps its name."""
        thread = self.at_hand(name)
        if thread is not None and thread.shared:
            raise BadInput("The notebook's conversation keeps its name.", hint="Begin a new one with +.")
        if not (title := " ".join(title.split())[:80]):
            raise BadInput("A conversation needs a name.")
        if thread is None:
            if not (self.keeper.writes and self.keeper.store.rename(name, title)):
                raise BadInput("This conversation is gone.", hint="Choose another, or begin a new one.")
            self.copies.changed(name)
            return
        with self.lock:
            thread.title = _free(title, [each.name for each in self._threads if each is not thread])
        if thread.pairs or thread.earlier:
            self.keeper.changed(thread)
        self.changed()

    def cut(self, thread: Thread, start: MessagePair) -> None:
        """Forget a pair of a thread and all after it."""
        gone = thread.pairs[thread.pairs.index(start) :]
        thread.cut(start)
        self.keeper.changed(thread, gone=[pair.id for pair in gone])

    def clear(self, thread: Thread) -> None:
        """Empty a thread, and what is kept of it."""
        with self.lock:
            thread.clear()
        self.copies.delete(thread)
        self.changed()

    def reset(self) -> None:
        """Forget the conversation that the notebook's cells are in."""
        if self._assistant.chat.is_named:  # one of `%rsql thread`, which is not kept apart
            self._assistant.chat.reset()
        else:
            self.clear(self._threads[0])

    def delete(self, name: str) -> None:
        """Forget a conversation, at hand or only kept; the notebook's is emptied."""
        with self.lock:
            thread = self.at_hand(name)
            if thread is None:
                if not self.copies.delete_kept(name):
                    raise BadInput("This conversation is gone.", hint="Choose another, or begin a new one.")
            elif thread.shared:
                thread.clear()
            else:
                place = self._threads.index(thread)
                self._threads.remove(thread)
                if self.current == thread.id:
                    self.current = self._threads[max(0, place - 1)].id
        if thread is not None:
            self.copies.delete(thread)
        self.changed()

    def forget(self) -> int:
        """Delete all conversations of all notebooks, with what their answers made, and their copies.

        Copies that are not deleted yet are deleted beside (`ConversationCopies.settle`).

        Returns:
            How many were kept here.

        Raises:
            BadInput: They cannot be deleted.
        """
        with self.lock:
            self.keeper.flush(1.0)
            for thread in self._threads:
                self.keeper.drop(thread.id)
                thread.clear()
            del self._threads[1:]
            self.current = self._threads[0].id
            gone = self.keeper.store.forget()
            self.keeper.forgotten()
        self.changed()
        self.copies.forget()
        return gone


# Have the pair that is being answered know its turn.
def _hear(thread: Thread) -> None:
    def note(turn: Turn) -> None:
        if (own := thread.running) is not None:
            own.turn = turn

    thread.chat.watchers.append(note)


def _free(title: str, taken: Sequence[str]) -> str:
    free = chain([title], (f"{title} ({number})" for number in count(2)))
    return next(each for each in free if each not in taken)
