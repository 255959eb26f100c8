"""The turns of ``POST chat``, kept in memory and bounded in every direction.

They are a convenience for scripts and terminals: a restart forgets them, and a caller sees only its own.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Message = dict[str, str]


class Conversations:
    """Recent conversations of each caller.

    Args:
        callers: Callers remembered; the one silent for longest goes first.
        sessions: Conversations of one caller.
        characters: Text of one conversation; its oldest turns go first.

    Example:
        >>> conversations = Conversations()
        >>> conversations.add("ada", "s1", "What is a p-value?", "The probability …")
        >>> [message["role"] for message in conversations.of("ada", "s1")]
        ['user', 'assistant']
        >>> conversations.of("bob", "s1")
        []
    """

    def __init__(self, *, callers: int = 1_000, sessions: int = 20, characters: int = 40_000) -> None:
        self._callers = callers
        self._sessions = sessions
        self._characters = characters
        self._kept: OrderedDict[str, OrderedDict[str, list[Message]]] = OrderedDict()

    @staticmethod
    def new_id(repeatable: str = "") -> str:
        """A new name for a conversation; for the same ``repeatable`` text the same one."""
        name = hashlib.sha256(f"rsql chat\0{repeatable}".encode()).hexdigest()[:16] if repeatable else ""
        return f"chat-{name or secrets.token_hex(8)}"

    def of(self, caller: str, session: str) -> list[Message]:
        """The turns so far, oldest first."""
        sessions = self._kept.get(caller)
        return list(sessions.get(session, ())) if sessions else []

    def add(self, caller: str, session: str, question: str, answer: str) -> None:
        """Append a turn, unless it is the last one again."""
        turn = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        sessions = self._kept.setdefault(caller, OrderedDict())
        earlier = sessions.get(session, [])
        sessions[session] = earlier if earlier[-2:] == turn else self._recent([*earlier, *turn])
        sessions.move_to_end(session)
        self._kept.move_to_end(caller)
        while len(sessions) > self._sessions:
            sessions.popitem(last=False)
        while len(self._kept) > self._callers:
            self._kept.popitem(last=False)

    def forget(self, caller: str) -> None:
        """Forget all of a caller."""
        self._kept.pop(caller, None)

    def _recent(self, messages: Sequence[Message]) -> list[Message]:
        """Whole turns from the end that fit; none when even the last is too long."""
        size, start = 0, len(messages)
        for at in range(len(messages) - 2, -1, -2):
            size += len(messages[at]["content"]) + len(messages[at + 1]["content"])
            if size > self._characters:
                break
            start = at
        return list(messages[start:])
