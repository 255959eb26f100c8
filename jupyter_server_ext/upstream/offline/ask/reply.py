"""The answer to an ``%%ask`` prompt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .. import frames as frame_text
from .describe import describe

if TYPE_CHECKING:
    from ..frames import Frame
    from ..prompt import Prompt

_DESCRIBE = re.compile(
    r"\b(describe|summar(?:y|ise|ize|ies)|what is|what's|what are|tell me about|overview|explain|explore|look like|"
    r"columns|missing)\b",
    re.IGNORECASE,
)


def reply(prompt: Prompt) -> str:
    """The answer, or an empty text when the question is beyond the offline model."""
    known = frame_text.read(prompt.of_kind("frame", "r"))
    asked = [frame for frame in known if re.search(rf"(?<![\w.]){re.escape(frame.name)}(?![\w])", prompt.question)]
    if _DESCRIBE.search(prompt.question) and (asked or len(known) == 1):
        return "\n\n".join(_describe(asked or known))
    return ""


def _describe(frames: list[Frame]) -> list[str]:
    return [describe(frame) for frame in frames[:3]]
