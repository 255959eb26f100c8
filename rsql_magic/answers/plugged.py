"""Checks of answers by other distributions (``rsql.answer_checks``): what they find goes back to the model once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from rsql_magic.context import within
from rsql_magic.plain_text import printable
from rsql_magic.plugins import PlugIn, PlugInFailed, Unfit, ask, plugged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rsql_magic.gateway import Block

    AnswerCheck = Callable[["CheckedAnswer"], Iterable[str]]

GROUP = "rsql.answer_checks"
_SECONDS = 10.0  # that a check may take
_MOST, _LONGEST = 5, 300  # sentences of one check, and characters of each


@dataclass(frozen=True)
class CheckedAnswer:
    r"""An answer before it is shown, as checks of plug-ins get it: nothing of the data or the session comes with it.

    Example:
        >>> from rsql_magic.gateway import blocks_of
        >>> text = "Attach it:\n```r\nattach(cars)\n```"
        >>> [block.language for block in CheckedAnswer("How?", text, blocks_of(text)).blocks]
        ['r']
    """

    question: str
    text: str
    blocks: Sequence[Block]  # its code, each with ``language`` and ``code``


def problems_by_plug_ins(question: str, text: str, blocks: Sequence[Block]) -> list[str]:
    """What checks of plug-ins find wrong with an answer, a sentence each; one that fails finds nothing."""
    answer = CheckedAnswer(question, text, tuple(blocks))
    return [sentence for plug, check in plugged_checks() for sentence in _said(plug, check, answer)]


@cache
def plugged_checks() -> tuple[tuple[PlugIn, AnswerCheck], ...]:
    """The checks of plug-ins."""
    return tuple(plugged(GROUP, _read).values())


def _read(plug: PlugIn) -> tuple[PlugIn, AnswerCheck]:
    if isinstance(plug.value, type) or not callable(plug.value):
        raise Unfit("it is no function of an answer")
    return plug, plug.value


def _said(plug: PlugIn, check: AnswerCheck, answer: CheckedAnswer) -> list[str]:
    try:
        return ask(plug, lambda: within(_SECONDS, lambda: _sentences(check(answer))))
    except PlugInFailed:
        return []


def _sentences(found: Iterable[str]) -> list[str]:
    first = list(islice(found, _MOST))
    if isinstance(found, str) or not all(isinstance(each, str) for each in first):
        raise Unfit("it gave something else than sentences")
    return [line[:_LONGEST] for each in first if (line := " ".join(printable(each).split()))]
