"""``%rsql study``: the study sets that are kept, what of them is due, and one of them to practise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsql_magic.display import listing
from rsql_magic.errors import BadInput
from rsql_magic.panel import StudySets

if TYPE_CHECKING:
    from rsql_magic.display import Screen
    from rsql_magic.panel import Conversations, KeptSet

_SHORT = 6  # characters of an id in the list


def practise(start: str, conversations: Conversations, screen: Screen, *, batch: bool) -> None:
    """Show the set whose id begins so; without one, list them all."""
    keeper = conversations.keeper
    kept = StudySets(keeper).all() if keeper.writes else []
    if not start:
        if not kept:
            kept_none = "" if keeper.writes else " None are kept here: see %config Rsql.conversations."
            screen.say(f"There are no study sets. %%ask --as flashcards makes one.{kept_none}")
            return
        screen.show(listing([_row(one) for one in kept], ("id", "kind", "title", "items", "due", "right")))
        return
    found = [one for one in kept if one.file.id.startswith(start)]
    if len(found) != 1:
        wrong = f"There is no study set {start}" if not found else f"{len(found)} study sets begin with {start}"
        raise BadInput(f"{wrong}.", hint="%rsql study lists them.")
    screen.also(found[0].bundle(practised=screen.draws and not batch))


def _row(kept: KeptSet) -> tuple[str, ...]:
    count, progress = len(kept.sheet.items), kept.progress
    answers = [progress.of(item) for item in range(count)]
    asked = sum(one.answers for one in answers)
    right = f"{sum(one.right for one in answers)} of {asked}" if asked else ""
    return kept.file.id[:_SHORT], kept.sheet.kind, kept.sheet.title, str(count), str(progress.due(count)), right
