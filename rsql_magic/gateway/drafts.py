"""Drafts: the code blocks of a reply, and write, check, repair as a generator without I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from rsql_magic.gateway.client import Message
    from rsql_magic.gateway.events import Reply


# A fence that nothing closes reaches to the end of the text, as in Markdown.
_BLOCK = re.compile(
    r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<lang>[^\s`{]*|\{[^}\n]*\})[^\n]*\n"
    r"(?P<code>.*?)(?P<end>^[ \t]*(?P=fence)[`~]*[ \t]*$|\Z)",
    re.M | re.S,
)
_MAGIC_OF_R = re.compile(r"\s*%%R\b")
_LANGUAGES = {"py": "python", "python3": "python", "ipython": "python", "{r}": "r", "rscript": "r", "postgresql": "sql"}

_SAME_WAY = 2  # drafts that fail before another approach is tried

D = TypeVar("D")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of code; its language in lower case, empty where the fence has none."""

    language: str
    code: str
    closed: bool = True  # False when the text ended inside it


def blocks_of(text: str) -> tuple[Block, ...]:
    r"""The fenced blocks of a Markdown text, in order.

    Example:
        >>> blocks_of("So:\n```py\n1 + 1\n```")
        (Block(language='python', code='1 + 1', closed=True),)
    """
    found = []
    for match in _BLOCK.finditer(text):
        lines = [line.removeprefix(match["indent"]) for line in match["code"].splitlines()]
        language = _LANGUAGES.get(match["lang"].lower(), match["lang"].lower())
        if language == "r" and lines and _MAGIC_OF_R.match(lines[0]):  # the magic is the notebook's, not R's
            lines = lines[1:]
        found.append(Block(language, "\n".join(lines).rstrip(), bool(match["end"])))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Round(Generic[D]):
    """One round: the messages sent, the reply, the draft read from it, and the draft's problems."""

    messages: tuple[Message, ...]
    reply: Reply
    draft: D
    problems: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()  # changes to the draft before it, when rules made this one from it


def write(
    messages: Sequence[Message],
    *,
    read: Callable[[Reply], D],
    check: Callable[[D], Sequence[str]],
    repair: Callable[[D, Sequence[str]], str],
    retries: int,
    mend: Callable[[D], tuple[D, tuple[str, ...]] | None] | None = None,
    anew: Callable[[Sequence[Round[D]]], list[Message] | None] = lambda _: None,
    in_turn: bool = True,
) -> Generator[list[Message], Reply, list[Round[D]]]:
    """Ask, read the draft, check it, and ask again with its problems, at most ``retries`` times; gives all rounds.

    The last round passed when it has no problems. With ``in_turn`` the draft and what is wrong with it are two turns
    more; otherwise the problems stand below the question. ``read`` and ``check`` may raise: nothing is to repair then.
    ``mend`` fixes a draft that failed by rules, and lists the changes; None when it cannot. After a second draft that
    failed ``anew`` gives other first messages; without them, the rounds end when the model repeats itself.

    Example:
        >>> from types import SimpleNamespace as Said
        >>> ask = {"role": "user", "content": "a number"}
        >>> steps = write([ask], read=lambda r: r.text, check=lambda d: [] if d.isdigit() else ["not one"],
        ...               repair=lambda d, problems: f"{d} is {problems[0]}", retries=1)
        >>> replies = iter([Said(text="x"), Said(text="7")])
        >>> [each.draft for each in drive(steps, lambda messages: next(replies))]
        ['x', '7']
    """
    rounds: list[Round[D]] = []
    first = sent = list(messages)
    replies: list[str] = []
    for left in range(retries, -1, -1):
        reply = yield sent
        replies.append(reply.text)
        draft = read(reply)
        problems = tuple(check(draft))
        rounds.append(Round(tuple(sent), reply, draft, problems))
        better = mend(draft) if problems and mend else None
        if better is not None:
            draft, changes = better
            problems = tuple(check(draft))
            rounds.append(Round(tuple(sent), reply, draft, problems, changes))
        if not problems or not left:
            break
        if len(replies) == _SAME_WAY and (other := anew(rounds)):
            first = sent = other
            continue
        if replies[-1] in replies[:-1]:  # nothing changes any more
            break
        asked = repair(draft, problems)
        turns: list[Message] = [{"role": "assistant", "content": reply.text}, {"role": "user", "content": asked}]
        below: Message = {**first[-1], "content": f"{first[-1]['content']}\n\n{asked}"}
        # Without earlier drafts, which would only cost tokens.
        sent = [*first, *turns] if in_turn else [*first[:-1], below]
    return rounds


def drive(steps: Generator[list[Message], Reply, T], send: Callable[[list[Message]], Reply]) -> T:
    """Run a generator of messages with a function that sends them."""
    try:
        messages = next(steps)
        while True:
            messages = steps.send(send(messages))
    except StopIteration as end:
        result: T = end.value
        return result
