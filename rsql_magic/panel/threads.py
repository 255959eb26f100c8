"""Threads: the conversations of a panel, as it shows them."""

# A `Chat` holds the turns that a model reads again; a thread holds what a person sees: also questions that failed, what
# they cost, the rating, the table. The first thread of every panel stands for the one conversation of the notebook,
# which `%%ask` and `%%sql_ai` share.

from __future__ import annotations

import re
import time
import uuid
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.answers import cited
from rsql_magic.display import fenced, usage_line
from rsql_magic.errors import BadInput
from rsql_magic.gateway import INTERRUPTED, Turn
from rsql_magic.panel.messages import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rsql_magic.gateway import Chat
    from rsql_magic.panel.failed_cell import FailedCell
    from rsql_magic.panel.uploads import Picture
    from rsql_magic.text2sql import Verified

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
    pictures: tuple[Picture, ...] = field(default=(), repr=False)  # that went with the question
    drawing: Any = field(default=None, repr=False)  # a Vega-Lite specification
    query: Verified | None = field(default=None, repr=False)  # to keep it as verified
    topic: str = ""  # the question without a connection before it
    at: float = field(default_factory=time.time)  # when it was asked first, Unix time
    about: FailedCell | None = None  # the cell whose error it is about
    changes: tuple[Mapping[str, Any], ...] = ()  # of the notebook that are proposed: `Change.as_dict`, and ``state``
    agent: Mapping[str, Any] | None = None  # of a turn of the assistant: what its budget was and is (`AgentTurn`)
    undo: Mapping[str, Any] | None = field(default=None, repr=False)  # what a view needs to take applied changes back
    id: str = field(default_factory=new_id)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a view."""
        names = ("id", "question", "answer", "state", "task", "by", "status", "footer", "model", "requested_model")
        more = ("at", "request_id", "rating", "sources", "citations", "problems", "notes", "error", "result")
        about = asdict(self.about) if self.about else None
        of_agent = {"changes": self.changes, "agent": self.agent, "undo": self.undo}
        return {name: getattr(self, name) for name in (*names, *more)} | {"about": about} | of_agent

    @property
    def markdown(self) -> str:
        """Question and answer for an export."""
        query = fenced(self.result["sql"], "sql") if self.result else ""
        table = _table(self.result) if self.result else ""
        drawn = f"from {', '.join(f'`{source}`' for source in self.sources)}" if self.sources else ""
        wrong = f"*{self.error['message']}*" if self.error else ""
        stopped = INTERRUPTED if self.state == "stopped" else ""
        asked = "\n".join(f"> {line}".rstrip() for line in self.question.splitlines())
        said = (asked, query, table, self.answer.strip(), *map(_changed, self.changes), drawn, stopped, wrong)
        return "\n\n".join(part for part in said if part)


# A change of the notebook that was proposed, and what became of it.
def _changed(change: Mapping[str, Any]) -> str:
    language = "python" if change["type"] == "code" else "markdown"
    title = f"**{change['title']}** ({change['state']}): {change['reason']}"
    return f"{title}\n\n{fenced(change['source'], language)}"


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


def _is_again(turn: Turn, before: Turn) -> bool:
    if turn.origin.cell or before.origin.cell:
        return turn.origin.cell == before.origin.cell
    return (turn.question, turn.task) == (before.question, before.task)


@dataclass
class Thread:
    """One conversation of a panel; the title is empty until the first question gives it one."""

    chat: Chat
    title: str = ""
    shared: bool = False
    pairs: list[MessagePair] = field(default_factory=list)
    id: str = field(default_factory=new_id)
    notebook: int | None = None  # the number of another notebook that it belongs to
    earlier: int = 0  # pairs before these that are kept and not read yet
    first: int | None = None  # the place of the first one that was read
    is_read: bool = True  # whether what is kept of it was read
    elsewhere: set[str] = field(default_factory=set)  # ids of pairs that another kernel is answering
    gone: set[str] = field(default_factory=set)  # ids of pairs that were taken out
    kept_name: str | None = None  # what it was called when it was written or read last

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

    def replaced(self, turn: Turn) -> MessagePair | None:
        """The pair that a turn stands in place of: that of its cell, whose turn is gone."""
        remembered = {id(each) for each in self.chat.turns}
        return next(
            (
                each
                for each in reversed(self.pairs)
                if each.turn is not None and id(each.turn) not in remembered and _is_again(turn, each.turn)
            ),
            None,
        )

    def take_up(self, kept: Sequence[MessagePair]) -> list[MessagePair]:
        """Put pairs of earlier sessions before those of this one; gives those of cells that have run again since."""
        cells = {turn.origin.cell for turn in self.chat.turns} - {""}
        known = {pair.id for pair in self.pairs}  # which this session itself has kept
        earlier = [pair for pair in kept if pair.id not in known]
        again = [pair for pair in earlier if pair.turn is not None and pair.turn.origin.cell in cells]
        before = [pair for pair in earlier if pair not in again]
        turned = [(pair, pair.turn) for pair in before if pair.turn is not None]
        resumed = self.chat.resume([turn for _, turn in turned])
        for (pair, _), turn in zip(turned, resumed, strict=True):
            pair.turn = turn
        self.pairs[:0] = before
        return again

    def take_in(self, pair: MessagePair) -> None:
        """Put a pair that another kernel has written in its place, or among these at its time."""
        if pair.turn is not None:
            pair.turn = replace(pair.turn, place=max((turn.place for turn in self.chat.turns), default=0) + 1)
            self.chat.turns.append(pair.turn)
        known = next((n for n, each in enumerate(self.pairs) if each.id == pair.id), None)
        if known is not None:
            self.pairs[known] = pair
        else:
            after = next((n for n, each in enumerate(self.pairs) if each.at > pair.at), len(self.pairs))
            self.pairs.insert(after, pair)

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
        self.earlier, self.first = 0, None

    def head(self) -> dict[str, Any]:
        """What a list of threads shows."""
        busy, turns = self.running is not None, len(self.pairs) + self.earlier
        return {"id": self.id, "title": self.name, "shared": self.shared, "turns": turns, "busy": busy}

    def as_dict(self) -> dict[str, Any]:
        """The whole conversation as plain values for an export."""
        pairs = [pair.as_dict() | {"chart": pair.drawing} for pair in self.pairs]
        for pair in pairs:
            del pair["status"], pair["undo"]
        return {"title": self.name, "pairs": pairs}

    @property
    def markdown(self) -> str:
        """The whole conversation for an export."""
        return "\n\n---\n\n".join([f"# {self.name}", *(each.markdown for each in self.pairs)])
