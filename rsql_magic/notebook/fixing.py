"""``%ask fix``: the corrected cell goes below, with what changed as a diff."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from rsql_magic.context import known_names
from rsql_magic.display import difference, oddities
from rsql_magic.panel import CellChange, FailedCell, NoChange, as_cell
from rsql_magic.redaction import without_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.interactiveshell import InteractiveShell

    from rsql_magic.answers import Answer, NotebookSnapshot
    from rsql_magic.assistant import Assistant
    from rsql_magic.display import Screen

_ALIKE = 0.75  # from where on a line is another form of one that was sent
_LEFT_OUT = "…"  # stands for text of a cell that is not sent
_UNFINISHED = "⚠ … stands for text of your cell that was not sent; put it in, or ask by %ask --privacy sample fix."


def offer_fix(
    answer: Answer, snapshot: NotebookSnapshot, shell: InteractiveShell, screen: Screen, assistant: Assistant
) -> None:
    """Put the cell that an answer proposes for the failed one below it; show the difference, and what it would do."""
    failed = snapshot.failed
    if not failed:  # it was not run as a cell: there is nothing to compare with
        if answer.code:
            shell.set_next_input(as_cell(answer.code, answer.blocks[0].language), replace=False)
        return
    try:
        told = CellChange(failed, FailedCell(failed, "", "")).proposed(answer)
    except NoChange as nothing:
        screen.say(f"{nothing.message} Nothing was put below.")
        return
    sent = without_data(failed, known_names(snapshot.namespace, assistant.catalog_in_use()))
    source = with_texts(told["source"], failed, sent)
    for odd in oddities(source):
        screen.say(f"⚠ {odd}")
    screen.also(difference(failed, source))
    if _LEFT_OUT in source and _LEFT_OUT not in failed:
        screen.say(_UNFINISHED)
    if effects := assistant.proposals.effects(source, snapshot.namespace):
        screen.say(f"⚠ Run, this cell {'; '.join(map(str, effects))}.")
    shell.set_next_input(source, replace=False)


def with_texts(proposed: str, failed: str, sent: str) -> str:
    r"""The proposed code with the texts that were not sent put back, where a line came back as it was sent, or alike.

    Example:
        >>> with_texts("x = f('…')\ny = g['…']", "x = f('Emmy')\ny = h['Ada']", "x = f('…')\ny = h['…']")
        "x = f('Emmy')\ny = g['Ada']"
    """
    shown, whole = ([line.strip() for line in text.strip().splitlines()] for text in (sent, failed))
    if len(shown) != len(whole):
        return proposed
    lines = dict(zip(shown, whole, strict=True))
    return "\n".join(_with_texts(line, lines) if _LEFT_OUT in line else line for line in proposed.split("\n"))


# By the line that is most like this one, of those in which as many texts were left out.
def _with_texts(line: str, lines: Mapping[str, str]) -> str:
    similar = [each for each in lines if each.count(_LEFT_OUT) == line.count(_LEFT_OUT)]
    for sent in get_close_matches(line.strip(), similar, 1, _ALIKE):
        pattern = "(.*?)".join(map(re.escape, sent.split(_LEFT_OUT)))
        if found := re.fullmatch(pattern, lines[sent]):
            between = line.split(_LEFT_OUT)
            return "".join(chain.from_iterable(zip_longest(between, found.groups(), fillvalue="")))
    return line
