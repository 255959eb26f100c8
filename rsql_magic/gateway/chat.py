"""Chat: the turns of one notebook, shared by ``%%ask``, ``%%sql_ai`` and the panel, and what may leave with them."""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from rsql_magic.context import LEVELS, follows
from rsql_magic.gateway.events import Reply, Usage, usage_of
from rsql_magic.redaction import redact
from rsql_magic.sql import count_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from typing import Unpack

    from rsql_magic.gateway.client import LLMClient, Message, StreamOptions
    from rsql_magic.gateway.events import Event
    from rsql_magic.gateway.patience import WaitingClient
    from rsql_magic.gateway.replay import ReplayingClient
    from rsql_magic.gateway.spending import SpendingClient
    from rsql_magic.sql import Privacy

Task = Literal["ask", "sql_ai", "chat"]

# Parameters by which the same question has the same answer, the likeliest one.
LIKELIEST: StreamOptions = {"temperature": 0, "seed": 1}
VARIED: StreamOptions = {"temperature": 0.7}  # parameters for asking again, as another answer is wanted

INTERRUPTED = "[interrupted]"
MAIN = "main"  # the thread that every chat begins in
_OF_SESSION = "\0"  # between a connection's name and what tells it apart in this session

_QUOTES = re.compile(r"""['"`\[\]\\\s]+""")
_WITHHELD = "[withheld]"
# Values of these are words of the form and tell nothing.
_FORM = frozenset({"task", "language", "sheet", "kind", "dialect", "measure"})
_QUOTED = 60  # most characters of an earlier question in a footer


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a question stands: the id of its cell, empty where the front end sends none, and of this run of it."""

    cell: str = ""
    run: str = ""

    def repeats(self, other: Origin) -> bool:
        """Whether this is another run of the same cell."""
        return bool(self.cell) and self.cell == other.cell and self.run != other.run


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer, as the next question's history shows it: without the data that went with it."""

    question: str
    answer: str  # what is kept of it
    task: Task = "ask"
    usage: Usage = field(default_factory=Usage)
    interrupted: bool = False  # by the user
    sources: tuple[str, ...] = ()  # what the answer names of the notebook
    origin: Origin = Origin()
    place: int = 0  # in the conversation; a cell keeps its place when it runs again
    follows: bool = False  # whether it was built upon the turn before it
    connection: str = ""  # the database it was asked of; empty for none
    level: Privacy = "stats"

    def __str__(self) -> str:
        return f"## {self.task}: {self.question}\n\n{self.answer}{f' {INTERRUPTED}' if self.interrupted else ''}"

    @property
    def lasting_connection(self) -> str:
        """The connection's name alone, which still means it in another session."""
        return self.connection.partition(_OF_SESSION)[0]

    def fits(self, connection: str) -> bool:
        """Whether it may be told to a question about a connection; one of another session is known by its name."""
        return self.connection in {"", connection, connection.partition(_OF_SESSION)[0]} or not connection


def connection_mark(name: str, connection: object) -> str:
    """How turns name a connection: two of one name in a session are told apart."""
    return f"{name}{_OF_SESSION}{id(connection)}"


class Chat:
    """The conversation of one notebook.

    ``client`` is called for each request, so that a chat survives ``%rsql connect``. The newest turns within
    ``history_tokens`` go with a question.

    Example:
        >>> from rsql_magic.gateway.events import Done, Text
        >>> class Echo:
        ...     def stream(self, messages, **options):
        ...         yield Text(messages[-1]["content"].upper())
        ...         yield Done(usage={"prompt_tokens": 4, "completion_tokens": 2}, model="echo")
        >>> chat = Chat(Echo)
        >>> entry = chat.entry("hello")
        >>> for event in entry.stream(entry.messages("Be brief.", "hello"), reply := Reply()): pass
        >>> entry.add([reply])
        >>> chat
        <Chat echo turns=1 input=4 output=2>
    """

    def __init__(
        self,
        client: Callable[[], LLMClient | WaitingClient | SpendingClient | ReplayingClient],
        *,
        history_tokens: int = 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._clock, self.history_tokens = client, clock, history_tokens
        self.answer_tokens = 0  # most tokens an answer may have; 0 leaves it to the gateway
        self.answer_seconds = 0.0  # most seconds an answer may take from its first word; 0 is without end
        self.parameters = LIKELIEST
        self.turns: list[Turn] = []
        self.thread = MAIN
        self._threads = {MAIN: self.turns}
        self._places: dict[tuple[str, str], int] = {}
        self._asked_by_name = False
        self.watchers: list[Callable[[Turn], None]] = []

    def through(self, wrapped: Callable[[Any], Any]) -> Chat:
        """This conversation, whose requests go by what ``wrapped`` makes of its client."""
        chat, client = copy(self), self._client
        chat._client = lambda: wrapped(client())  # noqa: SLF001 - a copy of this one
        return chat

    def entry(
        self,
        question: str,
        origin: Origin | None = None,
        *,
        task: Task = "ask",
        whole: bool = False,
        connection: str = "",
        level: Privacy = "stats",
    ) -> ChatEntry:
        """The place of a question in this conversation, and the turns that it builds upon.

        ``whole`` counts all turns, as in a conversation that is shown; otherwise the question stands alone unless its
        words say that it follows. Turns about other connections, or asked at a laxer privacy level, are left out.

        Example:
            >>> chat = Chat(lambda: None)
            >>> chat.entry("How many flights?").add([Reply(text="SELECT 1")])
            >>> chat.entry("only those to Oslo").note, chat.entry("How many airports?").note
            ('building on “How many flights?”', '')
        """
        origin, following = origin or Origin(), follows(question)
        own = [turn for turn in self.turns if origin.repeats(turn.origin)]
        last = self.turns[-1] if self.turns and not whole else None
        # The same question again, where cells have no ids.
        if not own and last and not (origin.cell or last.origin.cell):
            own = [last] if (last.question, last.task) == (redact(question)[0], task) else []
        place = self._place(origin, own)
        gone = set(map(id, own))  # by identity: two turns may hold the same words
        before = [turn for turn in self.turns if id(turn) not in gone and turn.place <= place]
        # The last turn, and those that it was built upon.
        first = next((n for n in range(len(before) - 1, -1, -1) if not before[n].follows), 0)
        candidates = before if whole or self.is_named else before[first:] if following else []
        here = [turn for turn in candidates if turn.fits(connection)]
        fits = [turn for turn in here if LEVELS.index(turn.level) <= LEVELS.index(level)]
        lost = "of another connection" if len(here) < len(candidates) else "at a laxer level of privacy"
        lost = lost if len(fits) < len(candidates) else ""
        return ChatEntry(
            self, question, tuple(fits), origin, task, place, tuple(own), connection, level, lost, following
        )

    # The place that a cell had, also when its last run failed; a new one otherwise.
    def _place(self, origin: Origin, own: Sequence[Turn]) -> int:
        if own:
            return own[0].place
        new = max((turn.place for turn in self.turns), default=0) + 1
        return self._places.setdefault((self.thread, origin.cell), new) if origin.cell else new

    def history(self, turns: Sequence[Turn] | None = None) -> list[Message]:
        """The newest turns that fit into ``history_tokens``, oldest first, their questions without context."""
        kept: list[Message] = []
        left = self.history_tokens
        for turn in reversed(self.turns if turns is None else turns):
            answer = f"{turn.answer} {INTERRUPTED}" if turn.interrupted else turn.answer
            left -= count_tokens(turn.question) + count_tokens(answer)
            if left < 0:
                break
            kept = [{"role": "user", "content": turn.question}, {"role": "assistant", "content": answer}, *kept]
        return kept

    def stream(
        self, messages: Sequence[Message], reply: Reply, **options: Unpack[StreamOptions]
    ) -> Generator[Event, None, None]:
        """Send messages and yield events; ``reply`` grows as they come and holds what arrived when this raises."""
        sent, reply.redacted = filtered(messages)
        pictures = options.pop("pictures", ())
        options = {**self.parameters, **options}
        if self.answer_tokens:
            options["max_tokens"] = self.answer_tokens
        if (described := options.get("described")) is not None:
            prompt = "\n".join(message["content"] for message in sent)
            options["described"] = lambda: described_within(described(), prompt)
        sent = with_pictures(sent, pictures)
        reply.messages, reply.clock = tuple(sent), self._clock
        if self.answer_seconds:
            reply.most_seconds, options["heard"] = self.answer_seconds, reply.hear
        return reply.read(lambda: self._client().stream(sent, **options))

    def is_offline(self, model: str | None) -> bool:
        """Whether the gateway announces that fixed rules answer for this model."""
        return (model or "default") in self._client().offline_models

    @property
    def rules(self) -> str:
        """A model for which fixed rules answer; empty where the gateway has none."""
        return min((name for name in self._client().offline_models if name != "default"), default="")

    def resume(self, turns: Sequence[Turn]) -> list[Turn]:
        """Put turns of an earlier session before those of this one; a cell that has run again since has its new turn.

        Returns:
            What was taken over, in order.
        """
        cells = {turn.origin.cell for turn in self.turns} - {""}
        earlier = [turn for turn in turns if turn.origin.cell not in cells]
        resumed = [replace(turn, place=n - len(earlier) + 1) for n, turn in enumerate(earlier)]
        self.turns[:0] = resumed
        return resumed

    def take(self, turn: Turn, instead_of: Sequence[Turn] = ()) -> None:
        """Remember a turn at its place, in place of those that it replaces."""
        self.forget(instead_of)
        after = next((n for n, other in enumerate(self.turns) if other.place > turn.place), len(self.turns))
        self.turns.insert(after, turn)
        for watch in list(self.watchers):  # one may leave, or bring another
            watch(turn)

    def forget(self, turns: Sequence[Turn]) -> None:
        """Take turns out."""
        gone = set(map(id, turns))
        self.turns[:] = [turn for turn in self.turns if id(turn) not in gone]

    def reset(self) -> None:
        """Forget all turns of this thread."""
        self.turns.clear()
        self._places = {(thread, cell): n for (thread, cell), n in self._places.items() if thread != self.thread}

    def switch(self, name: str) -> None:
        """Go on in the thread of this name, a new one where there is none."""
        self.thread = name
        self.turns = self._threads.setdefault(name, [])

    @contextmanager
    def in_thread(self, name: str) -> Iterator[None]:
        """For a question or two go on in another thread; an empty name stays in this one."""
        before, self._asked_by_name = self.thread, bool(name)
        self.switch(name or before)
        try:
            yield
        finally:
            self._asked_by_name = False
            self.switch(before)

    @property
    def is_named(self) -> bool:
        """Whether the user named the thread, and so wants its conversation to count."""
        return self._asked_by_name or self.thread != MAIN

    @property
    def threads(self) -> dict[str, int]:
        """The number of turns of each thread that has any, and of the current one."""
        return {name: len(turns) for name, turns in self._threads.items() if turns or name == self.thread}

    def as_markdown(self) -> str:
        """The turns of this thread as a page, to be saved where the user asks."""
        title = f"# Conversation{'' if self.thread == MAIN else f': {self.thread}'}"
        return "\n\n".join([title, *map(str, self.turns)]) + "\n"

    @property
    def usage(self) -> Usage:
        """What all turns took together."""
        used = [turn.usage for turn in self.turns]
        costs = [usage.cost_usd for usage in used if usage.cost_usd is not None]
        summed = ("prompt_tokens", "completion_tokens", "requests", "seconds", "queue_seconds")
        return Usage(
            **{name: sum(getattr(usage, name) for usage in used) for name in summed},
            cost_usd=sum(costs) if costs else None,
            model=next((usage.model for usage in reversed(used) if usage.model), ""),
        )

    def __len__(self) -> int:
        return len(self.turns)

    def __repr__(self) -> str:
        total = self.usage
        cost = f" cost=${total.cost_usd:.2f}" if total.cost_usd is not None else ""
        tokens = f"input={total.prompt_tokens} output={total.completion_tokens}"
        return f"<Chat {total.model or 'new'} turns={len(self.turns)} {tokens}{cost}>"

    def __str__(self) -> str:
        return "\n\n".join([repr(self), *map(str, self.turns)])


@dataclass(frozen=True)
class ChatEntry:
    """A question at its place in a conversation."""

    chat: Chat
    question: str
    earlier: tuple[Turn, ...] = ()  # the turns that it builds upon, oldest first
    origin: Origin = Origin()
    task: Task = "ask"
    place: int = 0
    own: tuple[Turn, ...] = ()  # turns of earlier runs of its cell, which its turn replaces
    connection: str = ""
    level: Privacy = "stats"
    lost: str = ""  # how the turns were asked that are left out
    follows: bool = False  # whether its words say so

    @property
    def note(self) -> str:
        """The footer's note on the turns that are sent along, or left out."""
        if self.earlier and not self.chat.history(self.earlier):
            return "the question before is not told: it is longer than Rsql.history_tokens"
        if self.earlier:
            line = " ".join(self.earlier[-1].question.split())
            return f"building on “{line if len(line) <= _QUOTED else line[: _QUOTED - 1].rstrip() + '…'}”"
        if self.lost:
            return f"what was asked {self.lost} is not told"
        return "nothing was asked before that this could follow" if self.follows else ""

    def messages(self, system: str, user: str) -> list[Message]:
        """System, as much of the earlier turns as fits, and the question."""
        history = self.chat.history(self.earlier)
        return [{"role": "system", "content": system}, *history, {"role": "user", "content": user}]

    def begin(self) -> None:
        """Take the turns of earlier runs of its cell out."""
        self.chat.forget(self.own)

    def stream(
        self, messages: Sequence[Message], reply: Reply, **options: Unpack[StreamOptions]
    ) -> Generator[Event, None, None]:
        """Send messages for this question, as `Chat.stream` does, for its own task where no other is named."""
        options.setdefault("task", self.task)
        options["question"] = self.question
        return self.chat.stream(messages, reply, **options)

    def history(self) -> list[dict[str, str]]:
        """The earlier turns that `messages` holds, as questions and answers."""
        candidates = [message["content"] for message in self.chat.history(self.earlier)]
        return [{"question": candidates[n], "answer": candidates[n + 1]} for n in range(0, len(candidates), 2)]

    def add(self, replies: Sequence[Reply], *, answer: str | None = None, sources: tuple[str, ...] = ()) -> None:
        """Remember the question and the answer to keep, by default the last reply's text; as they may leave."""
        last = replies[-1] if replies else Reply()
        kept = last.text if answer is None else answer
        question, answer, usage = redact(self.question)[0], redact(kept)[0], usage_of(replies)
        stands = (self.origin, self.place, bool(self.earlier), self.connection, self.level)
        self.chat.take(Turn(question, answer, self.task, usage, last.interrupted, sources, *stands), self.own)


# Messages as they may leave.


def filtered(messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
    """Messages as they may leave: secrets and personal identifiers replaced, and counted."""
    # Every message passes here, whatever it was made from. The system prompt is ours and stays as it is.
    found: Counter[str] = Counter()
    sent = []
    for message in messages:
        if message["role"] != "system":
            text, count = redact(message["content"])
            message = {**message, "content": text}  # noqa: PLW2901
            found += count
        sent.append(message)
    return sent, found


def with_pictures(messages: Sequence[Message], pictures: Sequence[str]) -> list[Message]:
    """Messages with pictures at the last one of the user, as parts of its content.

    Example:
        >>> asked = [{"role": "user", "content": "What is this?"}]
        >>> with_pictures(asked, ["data:image/png;base64,aGk="])[0]["content"][1]
        {'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,aGk='}}
    """
    place = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=-1)
    if place < 0 or not pictures:
        return list(messages)
    parts = [{"type": "image_url", "image_url": {"url": each}} for each in pictures]
    seen = {**messages[place], "content": [{"type": "text", "text": messages[place]["content"]}, *parts]}
    return [*messages[:place], seen, *messages[place + 1 :]]


def described_within(values: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """Values as they may leave beside a prompt: redacted, and without a text that the prompt does not hold.

    They are texts, numbers, and mappings, lists and dataclasses of these; the prompt is all messages as they are sent.

    Example:
        >>> described_within({"tables": ["sales", "wages"]}, "CREATE TABLE sales ()")
        {'tables': ['sales', '[withheld]']}
    """
    import msgspec

    held = _unquoted(prompt)

    @cache
    def text_of(text: str) -> str:
        if _unquoted(text) in held or _unquoted(repr(text)) in held:  # which is redacted already
            return text
        redacted = redact(text)[0]
        return redacted if _unquoted(redacted) in held else _WITHHELD

    def allowed(value: Any) -> Any:
        if isinstance(value, dict):
            stated = {name: each if name in _FORM else allowed(each) for name, each in value.items()}
            # What is not set need not be sent: 900 columns lack ten times what they have.
            unset = {name for name, each in stated.items() if each in (None, "", [], {}) or each is False}
            return {name: each for name, each in stated.items() if name not in unset and name != "nullable"}
        if isinstance(value, list | tuple):
            return [allowed(each) for each in value]
        return text_of(value) if isinstance(value, str) else value

    found: dict[str, Any] = allowed(msgspec.to_builtins(values))
    return found


# A text without quotes and blanks: a name or value may stand in quotes that double its own, and on one line.
def _unquoted(text: str) -> str:
    return _QUOTES.sub("", text)


def restored(answer: str, question: str) -> str:
    """An answer in which the placeholders of a question stand for what the user wrote again.

    What was replaced never left, and yet a query for ``ada@example.org`` finds her. A placeholder that stands for
    several values stays: which is which is not known.

    Example:
        >>> restored("WHERE mail = '[email]'", "orders of ada@example.org")
        "WHERE mail = 'ada@example.org'"
    """
    sent, found = redact(question)
    if not found:
        return answer
    names = "|".join(re.escape(name) for name in found)
    texts = re.split(rf"\[({names})\]", sent)
    pattern = "".join(re.escape(text) if place % 2 == 0 else "(.+?)" for place, text in enumerate(texts))
    values = re.fullmatch(pattern, question, re.S)
    places = texts[1::2]
    for name, value in zip(places, values.groups() if values else (), strict=False):
        if places.count(name) == 1:
            answer = answer.replace(f"[{name}]", value)
    return answer
