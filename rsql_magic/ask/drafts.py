"""Draft, check, repair: written once, as a generator that talks to nobody.

``write`` yields messages to send, is sent the reply, and goes on until a draft passes or the rounds are used up.
``drive`` runs it with a function that sends; an event loop can do the same with ``asend`` in the same seven lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from rsql_magic.gateway import Message


class Reply(Protocol):
    """What a model answered."""

    @property
    def text(self) -> str:
        """All of it."""
        ...


R = TypeVar("R", bound=Reply)
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Attempt(Generic[R, D]):
    """One round: what was sent, what came back, the draft read from it, and what is wrong with that.

    ``mended`` says what was changed of the draft before it, when this one was made of it by rules and nobody was asked.
    """

    messages: tuple[Message, ...]
    reply: R
    draft: D
    problems: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()


def write(
    messages: Sequence[Message],
    *,
    read: Callable[[R], D],
    check: Callable[[D], Sequence[str]],
    repair: Callable[[D, Sequence[str]], str],
    retries: int,
    mend: Callable[[D], tuple[D, tuple[str, ...]] | None] | None = None,
) -> Generator[list[Message], R, list[Attempt[R, D]]]:
    """Ask, read the draft, check it, and ask again with what is wrong, at most ``retries`` times.

    A round of repair sends the first messages, the last draft and its problems; earlier drafts would only cost tokens.

    Args:
        messages: System, history and question.
        read: The draft in a reply. May raise: then there is nothing to repair.
        check: What is wrong with a draft, one sentence each; empty when it passes. May raise to refuse it.
        repair: The message that asks for a correction.
        retries: Rounds of repair.
        mend: Puts a draft that failed right by rules, and says what it changed; None when it cannot.

    Yields:
        Messages to send.

    Returns:
        All attempts; the last one passed when it has no problems.

    Example:
        >>> from types import SimpleNamespace as Said
        >>> ask = {"role": "user", "content": "a number"}
        >>> steps = write([ask], read=lambda r: r.text, check=lambda d: [] if d.isdigit() else ["not one"],
        ...               repair=lambda d, problems: f"{d} is {problems[0]}", retries=1)
        >>> replies = iter([Said(text="x"), Said(text="7")])
        >>> [attempt.draft for attempt in drive(steps, lambda messages: next(replies))]
        ['x', '7']
    """
    attempts: list[Attempt[R, D]] = []
    sent = list(messages)
    for left in range(retries, -1, -1):
        reply = yield sent
        draft = read(reply)
        problems = tuple(check(draft))
        attempts.append(Attempt(tuple(sent), reply, draft, problems))
        better = mend(draft) if problems and mend else None
        if better is not None:
            draft, changes = better
            problems = tuple(check(draft))
            attempts.append(Attempt(tuple(sent), reply, draft, problems, changes))
        if not problems or not left:
            break
        sent = [
            *messages,
            {"role": "assistant", "content": reply.text},
            {"role": "user", "content": repair(draft, problems)},
        ]
    return attempts


def drive(steps: Generator[list[Message], R, D], send: Callable[[list[Message]], R]) -> D:
    """Run a generator of messages with a function that sends them."""
    try:
        messages = next(steps)
        while True:
            messages = steps.send(send(messages))
    except StopIteration as end:
        result: D = end.value
        return result
