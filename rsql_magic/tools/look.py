"""The tool `look`: one frame, chart or other object of the notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rsql_magic.errors import BadInput, UnknownName
from rsql_magic.tools.looking import Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rsql_magic.context import Context


@dataclass(frozen=True)
class LookAt(Tool):
    """Describes a thing of the notebook as prompts do, with more room.

    Args:
        things: The names of what can be looked at.
        gathered: What may be told of the thing of a name.
    """

    things: Sequence[str]
    gathered: Callable[[str], Context]
    name = "look"
    level = "names"
    purpose = "Look at one frame, chart or other object of the notebook that the prompt describes in short, or not."
    parameters: ClassVar = {"name": "Its name"}

    def run(self, arguments: Mapping[str, str]) -> str:
        """All that the privacy level allows to tell of it, within a budget."""
        name = arguments["name"].strip("`'\" ")
        if name not in self.things:
            there = f"There are: {', '.join(self.things[:50])}."
            raise UnknownName(f"Nothing in the notebook is called {name[:80]!r}.", hint=there)
        piece = next((piece for piece in self.gathered(name).pieces if piece.name == name), None)
        if piece is None or not piece.text:
            raise BadInput(f"{name} is not told: {piece.reason if piece else 'it cannot be read now'}.")
        return piece.text
