"""What has changed between two versions of a cell: a card whose lines are coloured, and text."""

from __future__ import annotations

import re
from difflib import unified_diff

from rsql_magic.display.markdown import card
from rsql_magic.plain_text import html_text, printable

_AROUND = 2  # lines that stay, beside those that change
# Inline styles and colours as those of cards. A line is as wide as the card, so that its colour is, too.
_LINE = "display:inline-block;width:100%;text-decoration:none;background-color:"
_TAGS = {"-": ("del", f"{_LINE}rgba(248,81,73,0.2)"), "+": ("ins", f"{_LINE}rgba(63,185,80,0.2)")}


def difference(before: str, after: str) -> dict[str, str]:
    r"""What has changed from one text to another, as representations of one output.

    Example:
        >>> print(difference("x = 1\ny = 2", "x = 1\ny = 3")["text/plain"])
        @@ -1,2 +1,2 @@
         x = 1
        -y = 2
        +y = 3
    """
    changes = [*unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=_AROUND)][2:]
    lines = "\n".join(filter(None, map(_line, changes)))
    return {"text/markdown": card("Change", f"<pre>{lines}</pre>"), "text/plain": printable("\n".join(changes))}


def _line(change: str) -> str:
    if place := re.match(r"@@ -(\d+)", change):
        return f"<em>from line {place[1]}</em>" if place[1] != "1" else ""
    tag, style = _TAGS.get(change[:1], ("", ""))
    return f'<{tag} style="{style}">{html_text(change)}</{tag}>' if tag else html_text(change)
