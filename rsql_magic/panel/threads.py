"""Threads: the conversations of a panel, as it shows them."""

# A `Chat` holds the turns that a model reads again; a thread holds what a person sees: also questions that failed, what
# they cost, the rating, the table. The first thread of every panel stands for the one conversation of the notebook,
# which `%%ask` and `%%sql_ai` share.

from __future__ import annotations

import re
import threading
import uuid
from copy import copy
from dataclasses import dataclass, field
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.answers import cited
from rsql_magic.display import fenced, usage_line
from rsql_magic.errors import BadInput
from rsql_magic.gateway import INTERRUPTED, Turn
from rsql_magic.panel.messages import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rsql_magic.assistant import Assistant
    from rsql_magic.gateway import Chat
    from rsql_magic.text2sql import SQLResult

SHARED = "Notebook"  # title of the thread that the magics share
ANSWERS = "rsql-panel-answer"  # name of a Python thread that writes an answer of a panel

State = Literal["running", "done", "stopped", "failed"]

_LONGEST_TITLE = 48  # characters


def new_id() -> str:
    """A name for a thread or a pair that no other has."""
    return uuid.uuid4().hex[:12]


@dataclass(eq=False)
class MessagePair:
    """A question and its answer, as a panel shows them."""

    question: str  # as typed, with its ``@mentions``
    answer: str = ""  # Markdown, as far as it has come
    state: State = "running"
    task: str = "ask"  # ``ask``, ``sql_ai``, or a command whose report this is, such as ``help``
    by: Literal["panel", "cell"] = "panel"  # a cell's magics talk in the notebook's thread too
    status: str = ""  # such as ``writing``
    footer: str = ""
    model: str = ""
    requested_model: str = ""  # empty for the default
    request_id: str = ""
    rating: str = ""
    sources: tuple[str, ...] = ()  # as one would type them
    citations: tuple[Mapping[str, Any], ...] = ()  # passages of documents: ``label``, ``text``, ``borne_out``
    problems: tuple[str, ...] = ()  # of the code in it, one sentence each
    notes: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None  # ``message``, ``hint``, ``code``, and ``retry_after`` in seconds
    result: Mapping[str, Any] | None = None  # see `outputs.sql_result`
    turn: Turn | None = field(default=None, repr=False)  # as the model will read it
    drawing: Any = field(default=None, repr=False)  # a Vega-Lite specification
    query: SQLResult | None = field(default=None, repr=False)  # to keep it as verified
    topic: str = ""  # the question without a connection before it
    id: str = field(default_factory=new_id)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a view."""
        names = ("id", "question", "answer", "state", "task", "by", "status", "footer", "model", "requested_model")
        more = ("request_id", "rating", "sources", "citations", "problems", "notes", "error", "result")
        return {name: getattr(self, name) for name in (*names, *more)}

    @property
    def markdown(self) -> str:
        """Question and answer for an export."""
        query = fenced(self.result["sql"], "sql") if self.result else ""
        table = _table(self.result) if self.result else ""
        drawn = f"from {', '.join(f'`{source}`' for source in self.sources)}" if self.sources else ""
        wrong = f"*{self.error['message']}*" if self.error else ""
        stopped = INTERRUPTED if self.state == "stopped" else ""
        asked = "\n".join(f"> {line}".rstrip() for line in self.question.splitlines())
        return "\n\n".join(part for part in (asked, query, table, self.answer.strip(), drawn, stopped, wrong) if part)


def _table(result: Mapping[str, Any]) -> str:
    if not result.get("columns"):
        return ""
    columns = result["columns"]
    lines = [[column["name"] for column in columns], ["--:" if column["right"] else "---" for column in columns]]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in [*lines, *result["rows"]])
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def of_turn(turn: Turn) -> MessagePair:
    """A turn that a magic made, as a panel shows it."""
    return MessagePair(
        turn.question,
        turn.answer,
        "stopped" if turn.interrupted else "done",
        turn.task,
        "cell",
        footer=usage_line(turn.usage),
        model=turn.usage.model,
        request_id=turn.usage.request_id,
        sources=tuple(cited(turn.sources)),
        turn=turn,
    )


@dataclass
class Thread:
    """One conversation of a panel; the title is empty until the first question gives it one."""

    chat: Chat
    title: str = ""
    shared: bool = False
    pairs: list[MessagePair] = field(default_factory=list)
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.pairs = [*self.pairs, *map(of_turn, self.chat.turns)]

    @property
    def name(self) -> str:
        """What it is called in a list."""
        if self.title:
            return self.title
        first = next((each.topic or each.question for each in self.pairs), "")
        line = re.sub(r"^/\w+ (?=.)", "", " ".join(first.split()))
        return shortened(line, _LONGEST_TITLE) or "New conversation"

    @property
    def running(self) -> MessagePair | None:
        """The question that is being answered."""
        return next((each for each in self.pairs if each.state == "running"), None)

    def pair(self, name: str) -> MessagePair:
        """The pair of an id."""
        if (found := next((each for each in self.pairs if each.id == name), None)) is None:
            raise BadInput("This answer is gone.", hint="Another view of the panel has removed it.")
        return found

    def replaced(self) -> MessagePair | None:
        """A pair of a cell that has run again: its turn is gone."""
        remembered = {id(turn) for turn in self.chat.turns}
        return next((each for each in self.pairs if each.turn is not None and id(each.turn) not in remembered), None)

    def cut(self, start: MessagePair) -> None:
        """Forget a pair and all after it; the model's history ends before them too."""
        self.chat.turns[:] = self._turns_before(start)
        del self.pairs[self.pairs.index(start) :]

    def before(self, start: MessagePair | None) -> Chat:
        """The model's conversation before a pair; None for all of it."""
        if start is None or start not in self.pairs:
            return self.chat
        chat = copy(self.chat)
        chat.turns = self._turns_before(start)
        return chat

    def _turns_before(self, start: MessagePair) -> list[Turn]:
        place = self.pairs.index(start)
        gone = {id(each.turn) for each in self.pairs[place:] if each.turn is not None}
        return [turn for turn in self.chat.turns if id(turn) not in gone]

    def clear(self) -> None:
        """Forget everything."""
        self.chat.reset()
        self.pairs.clear()

    def head(self) -> dict[str, Any]:
        """What a list of threads shows."""
        busy = self.running is not None
        return {"id": self.id, "title": self.name, "shared": self.shared, "turns": len(self.pairs), "busy": busy}

    @property
    def markdown(self) -> str:
        """The whole conversation for an export."""
        return "\n\n---\n\n".join([f"# {self.name}", *(each.markdown for each in self.pairs)])


class Conversations:
    """The threads of a panel, the notebook's first; ``heard`` takes a thread and a pair that a magic has added."""

    def __init__(
        self, assistant: Assistant, *, changed: Callable[[], None], heard: Callable[[Thread, MessagePair], None]
    ) -> None:
        self.lock = threading.RLock()  # held while something is changed
        self._assistant = assistant
        self._changed = changed
        self._on_turn = heard
        self._threads = [Thread(assistant.chat, SHARED, shared=True)]
        self.current = self._threads[0].id  # id of the one that is shown
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

    # Another one talked in the notebook's conversation.
    def _heard(self, turn: Turn) -> None:
        thread = self._threads[0]
        with self.lock:
            own = thread.running
            # The turn of the panel's own answer belongs to the pair that is running, not to a cell.
            if own is not None and threading.current_thread().name == ANSWERS:
                own.turn = turn
                return
            pair = of_turn(turn)
            if (old := thread.replaced()) is None:
                thread.pairs.append(pair)
            else:
                pair.id = old.id
                thread.pairs[thread.pairs.index(old)] = pair
        self._on_turn(thread, pair)

    def find(self, name: str) -> Thread:
        """The thread of an id."""
        with self.lock:
            found = next((thread for thread in self._threads if thread.id == name), None)
        if found is None:
            raise BadInput("This conversation is gone.", hint="Choose another, or begin a new one.")
        return found

    def pairs(self, *, but: str) -> dict[str, list[dict[str, Any]]]:
        """The pairs of all threads but one, by the threads' ids."""
        with self.lock:
            others = [thread for thread in self._threads if thread.id != but]
        return {thread.id: [each.as_dict() for each in thread.pairs] for thread in others}

    def new(self, title: str = "") -> Thread:
        """Begin a conversation."""
        chat = self._assistant.new_chat()
        thread = Thread(chat, self._free_title(title) if title else "")

        def note(turn: Turn) -> None:
            if (own := thread.running) is not None:
                own.turn = turn

        chat.watchers.append(note)
        with self.lock:
            self._threads.append(thread)
        self._changed()
        return thread

    def rename(self, thread: Thread, title: str) -> None:
        """Give a thread a title of its own; the notebook's keeps its name."""
        if thread.shared:
            raise BadInput("The notebook's conversation keeps its name.", hint="Begin a new one with +.")
        if not title.strip():
            raise BadInput("A conversation needs a name.")
        with self.lock:
            thread.title = self._free_title(" ".join(title.split())[:80], thread)
        self._changed()

    def _free_title(self, title: str, own: Thread | None = None) -> str:
        taken = {thread.name for thread in self._threads if thread is not own}
        free = chain([title], (f"{title} ({number})" for number in count(2)))
        return next(each for each in free if each not in taken)

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

    def restore(self, threads: Sequence[Mapping[str, Any]]) -> None:
        """Take over conversations from a view whose kernel is gone: ``{"title", "shared", "exchanges": [pair, …]}``."""
        for each in threads:
            thread = self._threads[0] if each.get("shared") else self.new(str(each.get("title") or ""))
            for old in each.get("exchanges") or ():
                pair = _restored(old)
                thread.pairs.append(pair)
                if pair.turn is not None:
                    thread.chat.turns.append(pair.turn)
        self._changed()


# A pair of a kernel that is gone, as plain text; its rows and charts are gone too.
def _restored(old: Mapping[str, Any]) -> MessagePair:
    question, answer = str(old.get("question") or ""), str(old.get("answer") or "")
    pair = MessagePair(question, answer, "stopped" if old.get("state") in {"running", "stopped"} else "done")
    pair.footer = str(old.get("footer") or "")
    pair.turn = Turn(question, answer, "chat", interrupted=pair.state == "stopped") if answer else None
    return pair
