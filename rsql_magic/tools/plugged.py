"""Tools of other distributions (``rsql.tools``): offered beside ours, within the privacy level, and never instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from rsql_magic.context import LEVELS, within
from rsql_magic.errors import BadInput
from rsql_magic.plugins import PlugIn, PlugInFailed, Unfit, ask, plugged
from rsql_magic.tools.looking import Tool
from rsql_magic.tools.ours import OURS

if TYPE_CHECKING:
    from rsql_magic.sql import Privacy

GROUP = "rsql.tools"

_SECONDS = 30.0  # that a call may take
_LONGEST = 400  # characters that a model reads about a tool, and about each parameter
_MOST = 8  # parameters
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class PluggedTool(Tool):
    """A tool of a plug-in as it was when it was loaded; a call that raises or gives no text has failed."""

    plug: PlugIn
    tool: Tool
    # Of this one, where those of ours are of a class.
    name: str  # type: ignore[misc]
    parameters: Mapping[str, str]  # type: ignore[misc]
    purpose: str = ""
    level: Privacy = "sample"  # type: ignore[misc]

    def run(self, arguments: Mapping[str, str]) -> str:
        """What the plug-in tells; the caller filters, fences and cuts it as what ours tell."""
        try:
            return ask(self.plug, lambda: self._text(arguments), passes=(BadInput,))
        except PlugInFailed:
            raise BadInput(f"The tool {self.name} failed.", hint="Answer without it.") from None

    def _text(self, arguments: Mapping[str, str]) -> str:
        text = within(_SECONDS, lambda: self.tool.run(arguments))
        if not isinstance(text, str):
            raise Unfit("a call gave no text")
        return text


@cache
def plugged_tools(level: Privacy) -> tuple[Tool, ...]:
    """The tools of plug-ins whose results may leave at a privacy level.

    Example:
        >>> plugged_tools("sample")
        ()
    """
    return tuple(tool for tool in _all() if LEVELS.index(tool.level) <= LEVELS.index(level))


@cache
def _all() -> tuple[PluggedTool, ...]:
    return tuple(plugged(GROUP, _read).values())


def _read(plug: PlugIn) -> PluggedTool:
    tool = plug.value() if isinstance(plug.value, type) else plug.value
    if not isinstance(tool, Tool):
        raise Unfit("it is no rsql_magic.api.Tool")
    if tool.name != plug.name or not _NAME.fullmatch(plug.name):
        raise Unfit("its 'name' must be that of its entry point: lower-case letters, digits and _")
    if tool.name in {kind.name for kind in OURS}:
        raise Unfit("rsql has a tool of this name")
    if tool.level not in LEVELS:
        raise Unfit(f"its 'level' must be one of {', '.join(LEVELS)}")
    given, purpose = tool.parameters, tool.purpose
    texts = [purpose, *given.values()] if isinstance(given, Mapping) and len(given) <= _MOST else [None]
    if not all(isinstance(text, str) and text.strip() and len(text) <= _LONGEST for text in texts):
        raise Unfit(f"its purpose and at most {_MOST} parameters need a description of 1 to {_LONGEST} characters each")
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in given):
        raise Unfit("its parameters need names of lower-case letters, digits and _")
    return PluggedTool(plug, tool, tool.name, dict(given), purpose, tool.level)
