"""Chat: the turns of one notebook, shared by ``%%ask``, ``%%sql_ai`` and the panel.

A chat sends messages, adds up what came back, and remembers it as a turn, also when the user stopped it: the part that
arrived stays, marked ``[interrupted]``. It knows nothing of data frames or databases, and does not print.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from rsql_magic.context import count_tokens
from rsql_magic.context.privacy import redact
from rsql_magic.errors import AnswerCut, Stopped
from rsql_magic.events import Done, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from rsql_magic.client import Client, Message
    from rsql_magic.events import Event

Task = Literal["ask", "sql_ai", "chat"]

INTERRUPTED = "[interrupted]"
MAIN = "main"
"""The thread that every chat begins in."""

_THINKS, _THOUGHT = "<think>", "</think>"


@dataclass(slots=True)
class Reply:
    """An answer as it grows.

    Args:
        messages: What was sent.
        started: When, by the chat's clock, in seconds.
        text: What was said so far, without a model's thinking.
        raw: All that came.
    """

    messages: tuple[Message, ...] = ()
    started: float = 0.0
    text: str = ""
    raw: str = ""
    done: Done | None = None
    first_word: float | None = None
    ended: float = 0.0
    interrupted: bool = False
    redacted: Counter[str] = field(default_factory=Counter)

    @property
    def seconds(self) -> float:
        """From sending to the last word."""
        return max(0.0, self.ended - self.started)

    @property
    def cut(self) -> bool:
        """Whether the model ran out of tokens before it was done."""
        return self.done is not None and self.done.finish_reason == "length"


def filtered(messages: Sequence[Message]) -> tuple[list[Message], Counter[str]]:
    """Messages as they may leave: secrets and personal identifiers replaced, and counted.

    Every message passes here, whatever it was made from. The system prompt is ours and stays as it is.
    """
    found: Counter[str] = Counter()
    sent = []
    for message in messages:
        if message["role"] != "system":
            text, count = redact(message["content"])
            message = {**message, "content": text}  # noqa: PLW2901
            found += count
        sent.append(message)
    return sent, found


def spoken(text: str) -> str:
    r"""An answer without the thinking that some models write before it, in ``<think>`` tags; also of a part of one.

    Example:
        >>> spoken("<think>2 + 2 …</think>\n\n4"), spoken("<think>2 +"), spoken("<thi"), spoken("<b>")
        ('4', '', '', '<b>')
    """
    start = text.lstrip()
    if not start.startswith(_THINKS):
        return "" if start and _THINKS.startswith(start) else text
    return start.partition(_THOUGHT)[2].lstrip()


def restored(answer: str, question: str) -> str:
    """An answer in which the placeholders of a question stand for what the user wrote again.

    What was replaced never left, and yet a query for ``ada@example.org`` finds her. A placeholder that stands for
    several values stays: which is which is not known.

    Args:
        answer: The answer, made from the redacted question.
        question: The question as the user wrote it.

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


@dataclass(frozen=True, slots=True)
class Usage:
    """What answers took, in all.

    Args:
        prompt_tokens: Tokens read.
        completion_tokens: Tokens written.
        requests: Requests sent; repairs are requests too.
        seconds: From the first request to the last word.
        queue_seconds: Part of it spent waiting for a free key.
        cached: True when all of it came from a cache.
        replayed: True when all of it came from a file of answers; then no time is told, for it has none.
        cost_usd: Money, when the gateway has prices.
        model: The model that answered last.
        request_id: The last request's id.
        limits: What is left of the caller's limits, by short name.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    seconds: float = 0.0
    queue_seconds: float = 0.0
    cached: bool = False
    replayed: bool = False
    cost_usd: float | None = None
    model: str = ""
    request_id: str = ""
    limits: tuple[tuple[str, str], ...] = ()

    @property
    def total_tokens(self) -> int:
        """Read and written together."""
        return self.prompt_tokens + self.completion_tokens


def usage_of(replies: Sequence[Reply]) -> Usage:
    """The usage of some answers together, such as a draft and its repairs.

    Example:
        >>> usage_of([]).total_tokens
        0
    """
    done = [reply.done for reply in replies if reply.done]
    costs = [event.rsql["cost_usd"] for event in done if event.rsql.get("cost_usd") is not None]
    last = done[-1] if done else Done()
    replayed = bool(done) and all(event.rsql.get("replayed") for event in done)
    return Usage(
        prompt_tokens=sum(int(event.usage.get("prompt_tokens") or 0) for event in done),
        completion_tokens=sum(int(event.usage.get("completion_tokens") or 0) for event in done),
        requests=len(replies),
        seconds=0.0 if replayed else sum(reply.seconds for reply in replies),
        queue_seconds=0.0 if replayed else sum(float(event.rsql.get("queue_seconds") or 0) for event in done),
        cached=bool(done) and all(event.rsql.get("cached") for event in done),
        replayed=replayed,
        cost_usd=sum(costs) if costs else None,
        model=last.model,
        request_id=str(last.rsql.get("request_id") or ""),
        limits=tuple(sorted(last.limits.items())),
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer, as the next question's history shows it: without the data that went with it."""

    question: str
    answer: str
    task: Task = "ask"
    usage: Usage = field(default_factory=Usage)
    interrupted: bool = False
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"## {self.task}: {self.question}\n\n{self.answer}{f' {INTERRUPTED}' if self.interrupted else ''}"


class Chat:
    """The conversation of one notebook.

    Args:
        client: Gives the client to ask; called for each request, so that a chat survives ``%rsql connect``.
        history_tokens: Most tokens of earlier turns sent with a question; the newest are kept.
        clock: Source of time, in seconds.

    Example:
        >>> from rsql_magic.events import Done, Text
        >>> class Echo:
        ...     def stream(self, messages, **options):
        ...         yield Text(messages[-1]["content"].upper())
        ...         yield Done(usage={"prompt_tokens": 4, "completion_tokens": 2}, model="echo")
        >>> chat = Chat(Echo)
        >>> for event in chat.stream(chat.messages("Be brief.", "hello"), reply := Reply()): pass
        >>> chat.add("hello", [reply])
        >>> chat
        <Chat echo turns=1 input=4 output=2>
    """

    def __init__(
        self, client: Callable[[], Client], *, history_tokens: int = 1000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self.history_tokens = history_tokens
        self._clock = clock
        self.turns: list[Turn] = []
        self.thread = MAIN
        self._threads = {MAIN: self.turns}
        self.watchers: list[Callable[[Turn], None]] = []

    def messages(self, system: str, user: str, *, history: bool = True) -> list[Message]:
        """System, as much of the history as fits, and the question."""
        earlier = self.history() if history else []
        return [{"role": "system", "content": system}, *earlier, {"role": "user", "content": user}]

    def history(self) -> list[Message]:
        """The newest turns that fit into ``history_tokens``, oldest first, their questions without context."""
        kept: list[Message] = []
        left = self.history_tokens
        for turn in reversed(self.turns):
            answer = f"{turn.answer} {INTERRUPTED}" if turn.interrupted else turn.answer
            left -= count_tokens(turn.question) + count_tokens(answer)
            if left < 0:
                break
            kept = [{"role": "user", "content": turn.question}, {"role": "assistant", "content": answer}, *kept]
        return kept

    def stream(
        self,
        messages: Sequence[Message],
        reply: Reply,
        *,
        model: str | None = None,
        task: Task = "ask",
        timeout: float | None = None,
    ) -> Generator[Event, None, None]:
        """Send messages and yield events; ``reply`` grows as they come and holds what arrived when this raises.

        Args:
            messages: As ``messages`` gives them.
            reply: An empty reply to fill.
            model: Model, or None for the gateway's default.
            task: What it is for.
            timeout: Most seconds without a byte.

        Raises:
            Stopped: The user interrupted; the request is closed.
            GatewayError: The gateway refused or failed.
        """
        sent, reply.redacted = filtered(messages)
        reply.messages = tuple(sent)
        reply.started = reply.ended = self._clock()
        try:
            with closing(self._client().stream(sent, model=model, task=task, timeout=timeout)) as events:
                for event in events:
                    if (shown := self._noted(event, reply)) is not None:
                        yield shown
        except KeyboardInterrupt:
            reply.interrupted = True
            raise Stopped("Stopped; what had arrived is kept.") from None
        except AnswerCut as error:
            reply.interrupted = True
            reply.text = reply.text or spoken(error.partial)
            raise
        finally:
            reply.ended = self._clock()

    def _noted(self, event: Event, reply: Reply) -> Event | None:
        """The event as it is shown; None while a model thinks aloud."""
        if isinstance(event, Done):
            reply.done = event
        if not isinstance(event, Text):
            return event
        reply.raw += event.text
        before, reply.text = len(reply.text), spoken(reply.raw)
        if len(reply.text) <= before:
            return None
        reply.first_word = reply.first_word if reply.first_word is not None else self._clock()
        return Text(reply.text[before:])

    def add(
        self,
        question: str,
        replies: Sequence[Reply],
        *,
        answer: str | None = None,
        task: Task = "ask",
        sources: tuple[str, ...] = (),
    ) -> None:
        """Remember a turn: the question and the answer to keep, by default the last reply's text; as they may leave."""
        last = replies[-1] if replies else Reply()
        said = last.text if answer is None else answer
        turn = Turn(redact(question)[0], redact(said)[0], task, usage_of(replies), last.interrupted, sources)
        self.turns.append(turn)
        for watch in self.watchers:
            watch(turn)

    def reset(self) -> None:
        """Forget all turns of this thread."""
        self.turns.clear()

    def switch(self, name: str) -> None:
        """Go on in the thread of this name, a new one where there is none."""
        self.thread = name
        self.turns = self._threads.setdefault(name, [])

    @contextmanager
    def in_thread(self, name: str) -> Iterator[None]:
        """For a question or two go on in another thread; an empty name stays in this one."""
        before = self.thread
        self.switch(name or before)
        try:
            yield
        finally:
            self.switch(before)

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
        return Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in used),
            completion_tokens=sum(usage.completion_tokens for usage in used),
            requests=sum(usage.requests for usage in used),
            seconds=sum(usage.seconds for usage in used),
            queue_seconds=sum(usage.queue_seconds for usage in used),
            cost_usd=sum(costs) if costs else None,
            model=next((usage.model for usage in reversed(used) if usage.model), ""),
        )

    def __len__(self) -> int:
        return len(self.turns)

    def __repr__(self) -> str:
        total = self.usage
        cost = f" cost=${total.cost_usd:.2f}" if total.cost_usd is not None else ""
        return (
            f"<Chat {total.model or 'new'} turns={len(self.turns)} "
            f"input={total.prompt_tokens} output={total.completion_tokens}{cost}>"
        )

    def __str__(self) -> str:
        return "\n\n".join([repr(self), *map(str, self.turns)])
