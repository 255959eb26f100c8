"""Previews that were looked at: what was shown is what is sent, or nothing is.

A preview holds the request itself. When the question is sent, that request goes out as it is, unless the notebook has
changed since; then the user is shown what would be sent now.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rsql_magic.errors import BadInput
from rsql_magic.panel.threads import new_id

if TYPE_CHECKING:
    from rsql_magic.panel.answer_task import AnswerTask

_MOST = 8
"""Previews that are kept; a view has one."""


class Outdated(BadInput):
    """The notebook has changed since the preview was looked at."""


@dataclass(frozen=True)
class Message:
    """A message as a view sends it.

    Args:
        thread: Id of the conversation.
        text: As typed.
        model: Model or alias; empty for the configured one.
        replaces: Id of an exchange that goes, with all after it.
    """

    thread: str
    text: str
    model: str = ""
    replaces: str = ""


@dataclass(frozen=True)
class _Seen:
    message: Message
    state: Any
    asking: AnswerTask


class Previews:
    """The last previews of a panel."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def keep(self, message: Message, state: Any, asking: AnswerTask) -> str:
        """Keep a prepared question.

        Args:
            message: What it answers to.
            state: The notebook as it was; equal as long as it is the same.
            asking: The question.

        Returns:
            The name by which it is found again.
        """
        name = new_id()
        self._seen[name] = _Seen(message, state, asking)
        for old in list(self._seen)[:-_MOST]:
            self._seen.pop(old, None)
        return name

    def take(self, name: str, message: Message, state: Any) -> AnswerTask | None:
        """The prepared question of a message; None when no preview of it was looked at. It is given once.

        Raises:
            Outdated: What would be sent now may be something else.
        """
        seen = self._seen.pop(name, None)
        if seen is None or seen.message != message:
            return None
        if seen.state != state:
            raise Outdated("The notebook has changed since you looked.", hint="Look at what would be sent now.")
        return seen.asking
