"""Threads: the conversations of a panel, as it shows them.

A ``Chat`` remembers what a model is told of earlier turns; a thread remembers what a person sees: also questions that
failed, what they cost, the rating, the table. The first thread of every panel stands for the one conversation of the
notebook, which ``%%ask`` and ``%%sql_ai`` share.
"""

from __future__ import annotations

import re
import uuid
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.ask import cited
from rsql_magic.display import fenced, usage_line
from rsql_magic.errors import BadInput
from rsql_magic.gateway import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rsql_magic.gateway import Chat, Turn
    from rsql_magic.text2sql import SQLResult

State = Literal["running", "done", "stopped", "failed"]

_LONGEST_TITLE = 48


def new_id() -> str:
    """A name for a thread or an exchange that no other has."""
    return uuid.uuid4().hex[:12]


@dataclass(eq=False)
class MessagePair:
    """A question and its answer, as a panel shows them.

    Args:
        question: As it was typed, with its ``@mentions``.
        answer: Markdown, as far as it has come.
        state: Where it stands.
        task: ``ask``, ``sql_ai``, or the name of a command whose report this is, such as ``help``.
        by: ``panel``, or ``cell`` when a magic asked.
        status: What is being done now, such as ``writing``.
        footer: The usage line.
        model: The model that answered.
        requested_model: The model that was asked for, empty for the default.
        request_id: The gateway's id, for the rating.
        rating: ``up``, ``down`` or empty.
        sources: What of the notebook the answer names, as one would type it.
        problems: What is wrong with the code in it, one sentence each.
        notes: Facts worth saying, one sentence each.
        error: What went wrong: ``message``, ``hint``, ``code``, and ``retry_after`` in seconds where it is known.
        result: A SQL answer's query, table and variable; see ``panel.results``.
        turn: What the model will be told of it.
        drawing: The chart of a SQL answer, as a Vega-Lite specification.
        query: A SQL answer as the assistant gave it, to keep it as verified.
        topic: The question without a connection before it; empty where there is none.
    """

    question: str
    answer: str = ""
    state: State = "running"
    task: str = "ask"
    by: Literal["panel", "cell"] = "panel"
    status: str = ""
    footer: str = ""
    model: str = ""
    requested_model: str = ""
    request_id: str = ""
    rating: str = ""
    sources: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    turn: Turn | None = field(default=None, repr=False)
    drawing: Any = field(default=None, repr=False)
    query: SQLResult | None = field(default=None, repr=False)
    topic: str = ""
    id: str = field(default_factory=new_id)

    def as_dict(self) -> dict[str, Any]:
        """What a view is told; plain values."""
        names = ("id", "question", "answer", "state", "task", "by", "status", "footer", "model", "requested_model")
        more = ("request_id", "rating", "sources", "problems", "notes", "error", "result")
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
    """The shown rows of a SQL answer as a Markdown table."""
    if not result.get("columns"):
        return ""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    sides = ["--:" if column["right"] else "---" for column in result["columns"]]
    head = line(column["name"] for column in result["columns"])
    return "\n".join([head, "| " + " | ".join(sides) + " |", *map(line, result["rows"])])


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
    """One conversation of a panel.

    Args:
        chat: What the model is told of it.
        title: Its name; empty until the first question gives it one.
        shared: Whether the magics talk in it too.
        exchanges: What was said, oldest first.
    """

    chat: Chat
    title: str = ""
    shared: bool = False
    exchanges: list[MessagePair] = field(default_factory=list)
    id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.exchanges = [*self.exchanges, *map(of_turn, self.chat.turns)]

    @property
    def name(self) -> str:
        """What it is called in a list."""
        if self.title:
            return self.title
        first = next((each.topic or each.question for each in self.exchanges), "")
        line = " ".join(first.split())
        line = re.sub(r"^/\w+ (?=.)", "", line)
        return (line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "…") or "New conversation"

    @property
    def running(self) -> MessagePair | None:
        """The question that is being answered."""
        return next((each for each in self.exchanges if each.state == "running"), None)

    def exchange(self, name: str) -> MessagePair:
        """The exchange of an id.

        Raises:
            BadInput: There is none.
        """
        found = next((each for each in self.exchanges if each.id == name), None)
        if found is None:
            raise BadInput("This answer is gone.", hint="Another view of the panel has removed it.")
        return found

    def replaced(self) -> MessagePair | None:
        """An exchange of a cell that has run again: its turn is gone."""
        told = {id(turn) for turn in self.chat.turns}
        return next((each for each in self.exchanges if each.turn is not None and id(each.turn) not in told), None)

    def cut(self, start: MessagePair) -> None:
        """Forget an exchange and all after it; the model is not told of them any more."""
        self.chat.turns[:] = self._turns_before(start)
        del self.exchanges[self.exchanges.index(start) :]

    def before(self, start: MessagePair | None) -> Chat:
        """What the model is told of the conversation before an exchange; None for all of it."""
        if start is None or start not in self.exchanges:
            return self.chat
        chat = copy(self.chat)
        chat.turns = self._turns_before(start)
        return chat

    def _turns_before(self, start: MessagePair) -> list[Turn]:
        place = self.exchanges.index(start)
        gone = {id(each.turn) for each in self.exchanges[place:] if each.turn is not None}
        return [turn for turn in self.chat.turns if id(turn) not in gone]

    def clear(self) -> None:
        """Forget everything."""
        self.chat.reset()
        self.exchanges.clear()

    def head(self) -> dict[str, Any]:
        """What a list of threads shows."""
        busy = self.running is not None
        return {"id": self.id, "title": self.name, "shared": self.shared, "turns": len(self.exchanges), "busy": busy}

    @property
    def markdown(self) -> str:
        """The whole conversation for an export."""
        return "\n\n---\n\n".join([f"# {self.name}", *(each.markdown for each in self.exchanges)])
